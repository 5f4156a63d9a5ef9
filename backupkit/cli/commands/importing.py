"""Import of snapshots into a history: what was added, or would be, and the problems."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import backupkit as bk
from backupkit.cli.commands.collect import SOME_UNREAD
from backupkit.cli.options import echo, echo_by_appliance
from backupkit.errors import SettingsError

if TYPE_CHECKING:
    from backupkit.collection import Snapshot
    from backupkit.history import AppendResult, History

__all__ = [
    "check_options",
    "echo_added",
    "format_count",
    "format_row_counts",
    "import_snapshot",
    "is_job_file",
    "open_known",
]


def is_job_file(source: str) -> bool:
    """Return whether a source is a file of jobs, by its name."""
    from backupkit.collection.job_files import SUFFIXES  # noqa: PLC0415 # keeps --help fast

    return Path(source).suffix.lower() in SUFFIXES and not Path(source).is_dir()


def open_known(history: str, *, is_dry_run: bool) -> "History | None":
    """Open a history; None if it is a file that a dry run must not create."""
    if is_dry_run and "://" not in history and not Path(history).exists():
        return None
    return bk.History(history, create=not is_dry_run)


def check_options(
    sources: Sequence[str], files: Sequence[str], options: Mapping[str, object]
) -> None:
    """Raise an error if an option is given that none of the sources needs."""
    given = [name for name, value in options.items() if value]
    if given and not files:
        raise SettingsError(
            f"{given[0]} is only for files of jobs (.csv, .json, .zip), and {sources[0]} is none."
        )
    if missing := [file for file in files if not Path(file).is_file()]:
        raise SettingsError(f"There is no file {missing[0]}. Check the name.")


def import_snapshot(store: "History | None", snapshot: "Snapshot", source: str) -> int:
    """Store a snapshot, or print what would be stored; print the errors, and return the code."""
    polls, errors, *others = snapshot.rows("polls", "errors", "observations", "schedules")
    if store is None:
        counts = format_row_counts(len(others[0]), len(polls), len(others[1]))
        echo(f"Dry run: at most {counts} would be added from {source}")
    else:
        echo_added(store, store.append(snapshot), source)
    if len(polls):
        read = {name for name, ok in polls.rows("appliance", "ok") if ok}
        times = polls["polled_at"]
        first, last = (f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in (min(times), max(times)))
        echo(
            f"{len(read)} of {len(set(polls['appliance']))} appliances read "
            f"completely, {f'at {first}' if first == last else f'from {first} to {last}'}.",
            err=True,
        )
    echo_by_appliance(errors.rows("appliance", "detail"), named=False)
    return SOME_UNREAD if len(errors) else 0


def echo_added(store: "History", added: "AppendResult", source: str) -> None:
    """Print the numbers of rows that a source added."""
    counts = format_row_counts(added.observations, added.polls, added.schedules)
    echo(f"{store.uri}: {counts} added from {source}")


def format_row_counts(observations: int, polls: int, schedules: int) -> str:
    """Return numbers of rows as a text.

    Examples
    --------
    >>> format_row_counts(2, 1, 0)
    '2 observations, 1 poll and 0 schedules'
    """
    return (
        f"{format_count(observations, 'observation')}, {format_count(polls, 'poll')} and "
        f"{format_count(schedules, 'schedule')}"
    )


def format_count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
