"""``backupkit history``: look after what is kept."""

from pathlib import Path
from typing import Annotated

import typer

import backupkit as bk
from backupkit.cli.options import AsJson, HistoryFolder, print_json

__all__ = ["history"]

history = typer.Typer(
    name="history",
    help="Look after what is kept: info, verify, compact, export, import.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@history.command()
def info(history: HistoryFolder, *, as_json: AsJson = False) -> None:
    """Count what is kept: appliances, jobs, visits, since when, size."""
    facts = bk.History(history, create=False).facts()
    if as_json:
        print_json(facts)
    else:
        wide = max(map(len, facts))
        for name, value in facts.items():
            typer.echo(f"{name:{wide}}  {value}")


@history.command()
def verify(history: HistoryFolder, *, as_json: AsJson = False) -> int:
    """Hold each file against its seal and read every row; exit 1 if anything is damaged."""
    kept = bk.History(history, create=False)
    found = kept.verify()
    if as_json:
        print_json(found.to_dict("records"))
    elif found.empty:
        seals = "" if kept.sealed else " It is of an earlier version: the next round seals it."
        typer.echo(f"{history} is whole.{seals}")
    else:
        for row in found.to_dict("records"):
            typer.echo(f"{row['file']}: {row['problem']}")
            typer.echo(f"    Without it: {row['lost']}")
        typer.echo(
            f"{history}: {len(found)} damaged. Put these files back from a backup; what the "
            "appliances still list can be collected again into a new folder.",
            err=True,
        )
    return 0 if found.empty else 1


@history.command()
def compact(history: HistoryFolder) -> None:
    """Put small files together now; it happens by itself every so many rounds."""
    kept = bk.History(history, create=False)
    kept.compact()
    typer.echo(f"{history}: {kept.facts()['Size']}")


@history.command()
def export(
    history: HistoryFolder,
    out: Annotated[
        Path, typer.Option(metavar="PATH", help="A new folder, or for sqlite a new file.")
    ],
    *,
    kind: Annotated[
        str, typer.Option("--format", metavar="KIND", help="parquet, csv or sqlite.")
    ] = "parquet",
) -> None:
    """Write jobs, observations, visits and schedules for other programs."""
    for path in bk.History(history, create=False).export(out, kind=kind):  # type: ignore[arg-type] # it checks
        typer.echo(f"{path}")


@history.command("import")
def import_(
    history: HistoryFolder,
    source: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Another history, or its export as Parquet."),
    ],
) -> None:
    """Take over what another history holds; doing so again changes nothing."""
    added = bk.History(history).merge(source)
    typer.echo(
        f"{history}: {added.observations:,} observations, {added.polls:,} visits and "
        f"{added.schedules:,} schedules added from {source}"
    )
