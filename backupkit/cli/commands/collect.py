"""Command ``backupkit collect``: one collection, stored in the history."""

import signal
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

import backupkit as bk
from backupkit.cli.options import (
    FLEET,
    HISTORY,
    MAX_APPLIANCES,
    WAIT,
    ApplianceOption,
    AsJson,
    ConcurrencyOption,
    ConnectOption,
    DeadlineOption,
    FleetOption,
    GroupOption,
    HistoryOption,
    PerApplianceOption,
    PollOption,
    ReadOption,
    ResponseOption,
    SiteOption,
    WaitOption,
    echo,
    echo_by_appliance,
    frame_to_records,
    print_json,
    read_limit_options,
)
from backupkit.cli.selection import Selection
from backupkit.errors import BackupkitWarning, SettingsError, one_line

if TYPE_CHECKING:
    from backupkit.collection import Snapshot, Strategy
    from backupkit.fleet import Fleet
    from backupkit.history import AppendResult, History
    from backupkit.limits import Limits
    from backupkit.settings import SettingsFile

__all__ = [
    "SOME_UNREAD",
    "collect",
    "collect_and_store",
    "exit_code",
    "format_summary",
    "interrupt_on_sigterm",
    "lock_history",
    "open_fleet_and_history",
]

SOME_UNREAD: Final = 3
NONE_READ: Final = 4
STOPPED: Final = 130
_CONFLICT_COLUMNS: Final = (
    *("appliance", "job_id"),
    *("start_time", "end_time", "known_start_time", "known_end_time"),
)


def collect(  # noqa: PLR0913 # one parameter per option
    fleet: FleetOption = FLEET,
    history: HistoryOption = HISTORY,
    *,
    appliance: ApplianceOption = None,
    group: GroupOption = None,
    site: SiteOption = None,
    connect: ConnectOption = None,
    read: ReadOption = None,
    response: ResponseOption = None,
    poll: PollOption = None,
    deadline: DeadlineOption = None,
    concurrency: ConcurrencyOption = None,
    per_appliance: PerApplianceOption = None,
    strategy: Annotated[
        Literal["auto", "job"],
        typer.Option(help="auto: the fewest requests; job: one request per job."),
    ] = "auto",
    full: Annotated[
        bool, typer.Option("--full", help="Read all jobs again, and compare them with the history.")
    ] = False,
    wait: WaitOption = WAIT,
    as_json: AsJson = False,
) -> int:
    """Poll every appliance once, and store what is new in the history.

    Exit code: 0 all appliances were read, 3 some were not, or not completely, 4 none was, 7 another
    run works with the history, 130 stopped with Ctrl-C.
    What was read before Ctrl-C is stored.
    """
    selection = Selection(appliance, group, site)
    appliances, store = open_fleet_and_history(fleet, history, selection)
    limits = read_limit_options(
        appliances,
        connect=connect,
        read=read,
        response=response,
        poll=poll,
        deadline=deadline,
        concurrency=concurrency,
        per_appliance=per_appliance,
    )
    with interrupt_on_sigterm(), lock_history(store, wait):
        snapshot, added = collect_and_store(
            appliances, store, limits=limits, strategy=strategy, full=full
        )
    if as_json:
        print_json(_build_json_summary(snapshot, added))
    return STOPPED if snapshot.stopped else exit_code(snapshot)


def lock_history(store: "History", wait: str) -> AbstractContextManager[None]:
    """Lock the history for this run; `wait` is the text of --wait."""
    from backupkit.settings import parse_duration  # noqa: PLC0415 # keeps --help fast

    return store.lock_run(wait=parse_duration(wait, where="--wait").total_seconds())


def open_fleet_and_history(
    fleet: "Path | SettingsFile", history: str, selection: Selection
) -> tuple["Fleet", "History"]:
    """Read fleet.toml once, select appliances, and open the history for writing."""
    from backupkit.history.thinning import load_keep_polls  # noqa: PLC0415 # keeps --help fast
    from backupkit.settings import read_toml  # noqa: PLC0415 # keeps --help fast

    file = read_toml(fleet)
    appliances = bk.Fleet.load(file)
    if not len(appliances):
        raise SettingsError(f"{fleet}: no appliance to poll; add one as [[appliance]].")
    appliances = selection.apply(appliances)
    store = bk.History(history, keep_polls=load_keep_polls(file))
    store.check_writable()
    return appliances, store


def collect_and_store(
    fleet: "Fleet",
    history: "History",
    *,
    limits: "Limits | None" = None,
    strategy: "Strategy" = "auto",
    full: bool = False,
    with_summary: bool = True,
) -> tuple["Snapshot", "AppendResult"]:
    """Collect, store the result meanwhile, and print a summary and the errors."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", category=BackupkitWarning)
        snapshot, added = bk.collect_into(
            history, fleet, full=full, limits=limits, strategy=strategy
        )
    if with_summary:
        echo(format_summary(snapshot, added), err=True)
    if snapshot.stopped or _count_read(snapshot):  # else the summary says that none was read
        for warning in caught:
            echo(f"  {warning.message}", err=True)
    for name, time in list(added.late.items())[:MAX_APPLIANCES]:
        echo(
            f"  {one_line(name)}: this poll is older than the newest one in the history, of "
            f"{time:%Y-%m-%d %H:%M} UTC. Check the clocks of the collectors.",
            err=True,
        )
    for name, job_id, start, end, known_start, known_end in islice(
        added.conflict_records.rows(*_CONFLICT_COLUMNS), MAX_APPLIANCES
    ):
        echo(
            f"  {name}: job {one_line(job_id)} ran {_format_job_span(known_start, known_end)}, and "
            f"is now reported as {_format_job_span(start, end)}. The history keeps both, and uses "
            "the newer one.",
            err=True,
        )
    [errors] = snapshot.rows("errors")
    echo_by_appliance(
        errors.rows("appliance", "detail"), note="; --json and the report list all of them."
    )
    return snapshot, added


def _count_read(snapshot: "Snapshot") -> int:
    """Return how many polls read the job list."""
    from backupkit.collection.snapshot import was_list_read  # noqa: PLC0415 # keeps --help fast

    [polls] = snapshot.rows("polls")
    return sum(was_list_read(polls))


def format_summary(snapshot: "Snapshot", added: "AppendResult") -> str:
    """Return a summary of the collection in one sentence."""
    from backupkit.collection.snapshot import was_list_read  # noqa: PLC0415 # keeps --help fast

    [polls] = snapshot.rows("polls")
    good = polls.select(was_list_read(polls))
    partial, unread = list(good["ok"]).count(None), _sum(good["jobs_unread"])
    read, listed = len(good) - partial, _sum(polls["jobs_listed"])
    unchanged = _sum(good["jobs_listed"]) - _sum(good["jobs_changed"]) - unread
    parts = [f"{listed:,} jobs listed", f"{added.new:,} new"]
    parts += [f"{added.changed:,} changed"] if added.changed else []
    parts += [f"{added.vanished:,} no longer listed"] if added.vanished else []
    parts += [f"{unchanged:,} known and not read again"] if unchanged > 0 else []
    parts += [f"{unread:,} could not be read"] if unread else []
    return (
        f"Read {read} of {len(polls)} appliances{f' and {partial} in part' if partial else ''}: "
        f"{', '.join(parts)}, in {_sum(polls['requests']):,} requests."
    )


def _sum(counts: Iterable[int | None]) -> int:
    return sum(count or 0 for count in counts)


@contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """Handle SIGTERM like Ctrl-C: log out, and store what was read."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def exit_code(snapshot: "Snapshot") -> int:
    """Return the exit code of a collection that was not stopped."""
    polls, schedules = snapshot.rows("polls", "schedules")
    complete = (ok and error is None for ok, error in polls.rows("ok", "schedules_error"))
    if all(complete) and all(error is None for error in schedules["read_error"]):
        return 0
    return SOME_UNREAD if _count_read(snapshot) else NONE_READ


def _format_job_span(*times: datetime | None) -> str:
    return " to ".join(
        "an unknown time" if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in times
    )


def _build_json_summary(snapshot: "Snapshot", added: "AppendResult") -> dict[str, Any]:
    [polls] = snapshot.rows("polls")
    return {
        "read": sum(ok is True for ok in polls["ok"]),
        "read_in_part": _count_read(snapshot) - sum(ok is True for ok in polls["ok"]),
        "polled": len(polls),
        "stopped": snapshot.stopped,
        "observations_added": added.observations,
        "polls": frame_to_records(snapshot.polls),
        "errors": frame_to_records(snapshot.errors),
        "conflicts": frame_to_records(added.conflicts),
    }
