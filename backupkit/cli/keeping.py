"""``backupkit history``: look after what is kept."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

import backupkit as bk
from backupkit.cli.collecting import SOME_UNREAD, say_some
from backupkit.cli.options import AsJson, HistoryPlace, print_json
from backupkit.errors import SettingsError

if TYPE_CHECKING:
    from backupkit.history import Appended, History

__all__ = ["history"]

_HISTORIES: Final = ("backupkit-history.json", "*/_delta_log", "*.parquet")
"""What is found in a history or its export, and not among saved answers."""

history = typer.Typer(
    name="history",
    help="Look after what is kept: info, verify, compact, export, import, prune, forget.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@history.command()
def info(history: HistoryPlace, *, as_json: AsJson = False) -> None:
    """Count what is kept: appliances, jobs, visits, since when, size."""
    facts = bk.History(history, create=False).facts()
    if as_json:
        print_json(facts)
    else:
        wide = max(map(len, facts))
        for name, value in facts.items():
            typer.echo(f"{name:{wide}}  {value}")


@history.command()
def verify(history: HistoryPlace, *, as_json: AsJson = False) -> int:
    """Hold each file against its seal and read every row; exit 1 if anything is damaged.

    At a URL there are no seals: every row is read.
    """
    from backupkit.history.place import is_url  # noqa: PLC0415 # it loads pyarrow: no --help does

    kept = bk.History(history, create=False)
    found = kept.verify()
    if as_json:
        print_json(found.to_dict("records"))
    elif found.empty:
        seals = " It is of an earlier version: the next round seals it."
        if kept.sealed or is_url(history):
            seals = ""
        typer.echo(f"{history} is whole.{seals}")
    else:
        for row in found.to_dict("records"):
            typer.echo(f"{row['file']}: {row['problem']}")
            typer.echo(f"    Without it: {row['lost']}")
        typer.echo(
            f"{history}: {len(found)} damaged. Put these files back from a backup; what the "
            "appliances still list can be collected again into a new history.",
            err=True,
        )
    return 0 if found.empty else 1


@history.command()
def compact(history: HistoryPlace) -> None:
    """Put small files together now; it happens by itself every so many rounds."""
    kept = bk.History(history, create=False)
    kept.compact()
    typer.echo(f"{history}: {kept.facts().get('Size', 'done')}")


@history.command()
def export(
    history: HistoryPlace,
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
    history: HistoryPlace,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Another history, a folder or a URL; or the folder of its export as Parquet, or "
            "of saved answers of the API.",
        ),
    ],
    *,
    observed_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When the saved answers were asked for, as 2026-11-09T06:00:00Z, where no "
            "folder's name says it.  [default: when each file was written]",
        ),
    ] = None,
) -> int:
    """Take over another history, or saved answers of the API; doing so again changes nothing.

    Saved answers are JSON files, as curl writes them, in a folder for each appliance that is named
    as in fleet.toml: vc-1/job.json is the job list, and beside it are, under any name, job details,
    single jobs, schedules, version and time zone, of /api or /rest. Files in a folder named by a
    time, vc-1/20261109T060000Z/job.json, were asked for then. Without the job list, or with a job
    of it missing, all is kept, but the appliance does not count as read.

    Exit code: 0 all was taken over, 3 of saved answers something is missing or could not be used.
    """
    kept = bk.History(history)
    folder = Path(source)  # of a URL there is none
    if folder.is_dir() and not any(any(folder.glob(pattern)) for pattern in _HISTORIES):
        return _import_answers(kept, folder, observed_at)
    if observed_at is not None:
        raise SettingsError(
            f"--observed-at is for saved answers of the API; {source} holds none, and a history "
            "knows its times."
        )
    _say_added(kept, kept.merge(source), source)
    return 0


def _import_answers(kept: "History", source: Path, observed_at: str | None) -> int:
    """Keep saved answers, and say what of them could not be used."""
    from backupkit.collect import saved_answers  # noqa: PLC0415 # it loads pandas: no --help does

    snapshot = saved_answers(source, observed_at=observed_at, known=kept)
    _say_added(kept, kept.append(snapshot), source)
    polls = snapshot.polls
    good = polls[polls["ok"].fillna(value=False).astype("bool")]
    first, last = (f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in polls["polled_at"].agg(["min", "max"]))
    typer.echo(
        f"{good['appliance'].nunique()} of {polls['appliance'].nunique()} appliances read whole, "
        f"asked for {f'at {first}' if first == last else f'from {first} to {last}'}.",
        err=True,
    )
    say_some(snapshot.errors["detail"].to_list())
    return SOME_UNREAD if len(snapshot.errors) else 0


def _say_added(kept: "History", added: "Appended", source: str | Path) -> None:
    typer.echo(
        f"{kept.uri}: {added.observations:,} observations, {added.polls:,} visits and "
        f"{added.schedules:,} schedules added from {source}"
    )


@history.command()
def prune(
    history: HistoryPlace,
    older_than: Annotated[
        str, typer.Option(metavar="SPAN", help="Of what age, such as 400d or 104w.")
    ],
) -> None:
    """Remove for good what was learnt longer ago; the history keeps a record of it.

    The schedules in force stay. What an appliance still lists comes back with the next round.
    Reports of the time before cannot be made again as they were.
    """
    from backupkit.settings import parse_duration  # noqa: PLC0415 # it loads pandas: no --help does

    span = parse_duration(older_than, where="--older-than")
    removed = bk.History(history, create=False).prune(datetime.now(UTC) - span)
    typer.echo(
        f"{history}: {removed['observations']:,} observations and {removed['polls']:,} visits "
        "removed"
    )


@history.command()
def forget(
    history: HistoryPlace,
    appliance: Annotated[str, typer.Argument(metavar="NAME", help="Its name in fleet.toml.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> int:
    """Remove all that is known of an appliance for good; the record does not name it.

    While it is in fleet.toml it comes back with the next round.
    """
    if not yes and not typer.confirm(f"Remove all that {history} knows of {appliance}?", err=True):
        typer.echo("Nothing is removed.", err=True)
        return 1
    removed = bk.History(history, create=False).forget(appliance)
    typer.echo(
        f"{history}: {removed['observations']:,} observations, {removed['polls']:,} visits and "
        f"{removed['schedules']:,} schedules removed"
    )
    return 0
