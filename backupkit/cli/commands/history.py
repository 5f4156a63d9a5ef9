"""Commands ``backupkit history``: maintenance of a history."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

import backupkit as bk
from backupkit.cli.commands.collect import SOME_UNREAD, echo_truncated
from backupkit.cli.options import AsJson, HistoryOption, print_json
from backupkit.errors import SettingsError

if TYPE_CHECKING:
    from backupkit.history import AppendResult, History

__all__ = ["history"]

_DIGITS: Final = 64

history = typer.Typer(
    name="history",
    help="Look after what is kept: info, verify, backup, export, import, prune, forget.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@history.command()
def info(history: HistoryOption, *, as_json: AsJson = False) -> None:
    """Count what is kept: appliances, jobs, polls, since when, size; and the head digest."""
    facts = bk.History(history, create=False).facts()
    if as_json:
        print_json(facts)
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            typer.echo(f"{name:{width}}  {value}")


@history.command()
def verify(
    history: HistoryOption,
    *,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST",
            help="The digest that a report was made from: does the history still contain exactly "
            "that past?",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Recompute all digests and all jobs, and name what differs; exit 1 if anything does.

    Whole means: the database's own check finds nothing, each append holds the rows that it was
    acknowledged for, none of them is missing, and the jobs are what the observations say.
    """
    store = bk.History(history, create=False)
    expected_head = None if head is None else _digest(head)
    problems = store.verify(head=expected_head)
    newest = store.head if problems.empty else None
    if as_json:
        print_json({"head": newest, "problems": problems.to_dict("records")})
    elif problems.empty:
        typer.echo(f"{history} is whole. Head: {newest or 'none, it is empty'}")
        if expected_head is not None:
            typer.echo(f"It contains exactly the past of {expected_head}")
    else:
        for row in problems.to_dict("records"):
            typer.echo(f"{row['what']}: {row['problem']}")
        typer.echo(
            f"{history}: {_count_text(len(problems), 'problem')}. Compare it with a "
            "backup; what the appliances still list can be collected again into a new history.",
            err=True,
        )
    return 0 if problems.empty else 1


def _digest(text: str) -> str:
    digest = text.strip().lower()
    if len(digest) != _DIGITS or not set(digest) <= set("0123456789abcdef"):
        raise SettingsError(
            f'--head: "{text}" is not a digest of {_DIGITS} hexadecimal digits. A report names its '
            "own in the section Method, and in data_version of its .json file."
        )
    return digest


@history.command()
def backup(
    history: HistoryOption,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A new file.")],
) -> None:
    """Copy the history into a new file, while others go on appending."""
    typer.echo(f"{bk.History(history, create=False).backup(target)}")


@history.command()
def export(
    history: HistoryOption,
    out: Annotated[
        str, typer.Option(metavar="TARGET", help="A new folder; for parquet, a URL, too.")
    ],
    *,
    kind: Annotated[
        Literal["parquet", "csv"], typer.Option("--format", help="What to write.")
    ] = "parquet",
) -> None:
    """Write jobs, observations, polls and schedules for other programs.

    Parquet is partitioned by month.
    """
    for path in bk.History(history, create=False).export(out, kind=kind):
        typer.echo(f"{path}")


@history.command("import")
def import_(
    history: HistoryOption,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Another history, a file or a URL; or the folder or URL of an export as parquet; "
            "or a folder of saved answers of the API.",
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
    store = bk.History(history)
    store.check_writable()
    folder = Path(source)  # no folder if it is a URL
    if folder.is_dir() and not _is_export(folder):
        return _import_answers(store, folder, observed_at)
    if observed_at is not None:
        raise SettingsError(
            f"--observed-at is for saved answers of the API; {source} holds none, and a history "
            "knows its times."
        )
    _echo_added(store, store.merge(source), source)
    return 0


def _is_export(folder: Path) -> bool:
    """Return whether a folder is an export, complete or not, instead of saved answers."""
    from backupkit.history.export_reader import MANIFEST  # noqa: PLC0415 # it loads pyarrow

    return (folder / MANIFEST).exists() or any(folder.rglob("*.parquet"))


def _import_answers(store: "History", source: Path, observed_at: str | None) -> int:
    """Store saved answers, and print what could not be used."""
    from backupkit.collection import saved_answers  # noqa: PLC0415 # it loads pandas

    snapshot = saved_answers(source, observed_at=observed_at, known=store)
    _echo_added(store, store.append(snapshot), source)
    polls = snapshot.polls
    good = polls[polls["ok"].fillna(value=False).astype("bool")]
    first, last = (f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in polls["polled_at"].agg(["min", "max"]))
    typer.echo(
        f"{good['appliance'].nunique()} of {polls['appliance'].nunique()} appliances read whole, "
        f"asked for {f'at {first}' if first == last else f'from {first} to {last}'}.",
        err=True,
    )
    echo_truncated(snapshot.errors["detail"].to_list())
    return SOME_UNREAD if len(snapshot.errors) else 0


def _echo_added(store: "History", added: "AppendResult", source: str | Path) -> None:
    rows = _rows_text(added.observations, added.polls, added.schedules)
    typer.echo(f"{store.uri}: {rows} added from {source}")


@history.command()
def prune(
    history: HistoryOption,
    older_than: Annotated[
        str, typer.Option(metavar="SPAN", help="Of what age, such as 400d or 104w.")
    ],
) -> None:
    """Remove for good what was learnt longer ago; the ledger records it.

    The schedules in force stay. What an appliance still lists comes back with the next round.
    Reports of the time before cannot be made again as they were.
    """
    from backupkit.settings import parse_duration  # noqa: PLC0415 # it loads pandas

    span = parse_duration(older_than, where="--older-than")
    _echo_removed(history, bk.History(history, create=False).prune(datetime.now(UTC) - span))


@history.command()
def forget(
    history: HistoryOption,
    appliance: Annotated[str, typer.Argument(metavar="NAME", help="Its name in fleet.toml.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> int:
    """Remove all that is known of an appliance for good; the ledger does not name it.

    While it is in fleet.toml it comes back with the next round.
    """
    if not yes and not typer.confirm(f"Remove all that {history} knows of {appliance}?", err=True):
        typer.echo("Nothing is removed.", err=True)
        return 1
    _echo_removed(history, bk.History(history, create=False).forget(appliance))
    return 0


def _echo_removed(history: str, removed: dict[str, int]) -> None:
    rows = _rows_text(removed["observations"], removed["polls"], removed["schedules"])
    typer.echo(f"{history}: {rows} removed")


def _rows_text(observations: int, polls: int, schedules: int) -> str:
    return (
        f"{_count_text(observations, 'observation')}, {_count_text(polls, 'poll')} and "
        f"{_count_text(schedules, 'schedule')}"
    )


def _count_text(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
