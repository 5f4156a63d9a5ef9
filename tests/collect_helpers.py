"""Numbered collections whose rows follow from the number, and processes that append them."""

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any

import pandas as pd
from coverage import Coverage

from backupkit.errors import HistoryError
from backupkit.history import History
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES, HistoryView

ENDED = 5
"""Ended jobs in each collection; the job RUNNING is in each of them, too."""

RUNNING = "runs"
"""The id of the job that never ends."""

_FIRST = datetime(2026, 11, 9, 20, tzinfo=UTC)
_TIMES = (("observations", "observed_at"), ("polls", "polled_at"), ("schedules", "seen_at"))


def make_collection(name: str, number: int, size: int = ENDED) -> SimpleNamespace:
    """Build a numbered snapshot of one appliance: jobs, a poll and a changed schedule."""
    moment = _FIRST + timedelta(minutes=number)
    ids = [f"{number}-{place}" for place in range(size)]
    return SimpleNamespace(
        observations=OBSERVATIONS.frame(
            {
                "appliance": [name] * (size + 1),
                "job_id": [*ids, RUNNING],
                "observed_at": [moment] * (size + 1),
                "state": ["SUCCEEDED"] * size + ["INPROGRESS"],
                "status": ["SUCCEEDED"] * size + ["RUNNING"],
                "progress": [100.0] * size + [float(number)],
                "size": [1_000 * number] * (size + 1),
                "start_time": [moment] * size + [_FIRST],
                "end_time": [moment] * size + [None],
            }
        ),
        polls=POLLS.frame({"appliance": [name], "polled_at": [moment], "ok": [True]}),
        schedules=SCHEDULES.frame(
            {
                "appliance": [name],
                "schedule": ["default"],
                "seen_at": [moment],
                "hour": [number % 24],
                "minute": [number // 24 % 60],
            }
        ),
    )


Collections = set[tuple[str, int]]
"""Collections as (appliance, number)."""


class Acknowledged:
    """A file to which processes write each acknowledged collection."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str, number: int) -> None:
        """Append one line atomically."""
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{name} {number}\n".encode())
        os.close(handle)

    def collections(self, name: str | None = None) -> Collections:
        """Read the acknowledged collections of one appliance or of all."""
        if not self.path.exists():
            return set()
        lines = self.path.read_text(encoding="utf-8").splitlines()
        found = {(line.split()[0], int(line.split()[1])) for line in lines}
        return {
            (owner, number)
            for owner, number in found
            if (owner == name if name else not owner.endswith(":begun"))
        }


def create(target: str) -> None:  # pragma: no cover # in other processes
    """Create a history, or open it if it exists."""
    History(target)


def append_collections(history: History, name: str, number: int) -> None:
    """Append the first collections of an appliance, and read them back."""
    for place in range(number):
        history.append(make_collection(name, place))
        jobs = history.jobs(appliances=[name])
        assert len(jobs) == ENDED * (place + 1) + 1


def append_repeatedly(  # pragma: no cover # in other processes
    target: str, name: str, first: int, acknowledged: Path, pause: float
) -> None:
    """Append collections of one appliance until killed, with a pause after each [s].

    Each begin and each acknowledgement is written to a file.
    """
    history, notes = History(target), Acknowledged(acknowledged)
    write = history._database.write

    def announce(action: Callable[[Any], Any]) -> Any:  # noqa: ANN401 # whatever it returns
        def begin(connection: Any) -> Any:  # noqa: ANN401
            notes.add(f"{name}:begun", number)
            return action(connection)

        return write(begin)

    history._database.write = announce  # type: ignore[method-assign]
    for number in count(first):
        added = history.append(make_collection(name, number))
        assert (added.observations, added.polls, added.schedules) == (ENDED + 1, 1, 1)
        notes.add(name, number)
        sleep(pause)


def append_through_interrupts(  # pragma: no cover # in other processes
    target: str, name: str, acknowledged: Path
) -> None:
    """Append with one History, and continue after each KeyboardInterrupt."""
    if measuring := Coverage.current():  # an interrupt would leave its lock locked
        measuring.stop()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    history, notes = History(target), Acknowledged(acknowledged)
    # the first conversion of a frame loads modules; pyarrow does not survive an interrupt of that
    history.append(make_collection(name, 0))
    notes.add(name, 0)
    notes.add("begun", 0)
    for number in count(1):
        try:
            history.append(make_collection(name, number))
            notes.add(name, number)
        except KeyboardInterrupt:
            notes.add("interrupted", number)


def append_on_request(  # pragma: no cover # in other processes
    target: str, name: str, requests: Connection
) -> None:
    """Append one collection for each request, and send their number."""
    history = History(target)
    for number in count(1):
        history.append(make_collection(name, number))
        requests.send(number)
        requests.recv()


def read_repeatedly(  # pragma: no cover # in other processes
    target: str, notes: Path, *, patient: bool
) -> None:
    """Read and check the history until killed; write the counts to a file."""
    history, found = History(target), Acknowledged(notes)
    while True:
        try:
            found.add("read", check_consistent(history.view()))
            found.add("counted", count_collections(history))
        except HistoryError:
            if not patient:
                raise


def complete_collections(history: History, size: int = ENDED) -> Collections:
    """Check that each collection is stored completely and once; return them."""
    frames = {name: getattr(history, name)() for name, _ in _TIMES}
    stored: dict[str, list[tuple[str, int]]] = {}
    for name, time in _TIMES:
        numbers = (frames[name][time] - _FIRST) // timedelta(minutes=1)
        stored[name] = list(zip(frames[name]["appliance"], numbers, strict=True))
    found = set(stored["polls"])
    assert sorted(stored["polls"]) == sorted(stored["schedules"]) == sorted(found)
    expected = [
        (name, job, number)
        for name, number in found
        for job in (*(f"{number}-{place}" for place in range(size)), RUNNING)
    ]
    observed = zip(stored["observations"], frames["observations"]["job_id"], strict=True)
    assert sorted((*key[:1], job, key[1]) for key, job in observed) == sorted(expected)
    check_consistent(HistoryView(history.jobs(), frames["polls"], frames["schedules"]), size)
    ledger = history.sql("SELECT kind, observations, polls, schedules FROM appends")
    summed = ledger[["observations", "polls", "schedules"]].sum().to_list()
    assert summed == [len(expected), len(found), len(found)]
    appended = ledger[ledger["kind"].eq("append")]
    assert appended["polls"].eq(1).all()
    assert appended["observations"].eq(size + 1).all()
    return {(str(name), int(number)) for name, number in found}


def check_consistent(known: HistoryView, size: int = ENDED) -> int:
    """Check that polls, schedules and jobs are of the same collections; return their number."""
    JOBS.check(known.jobs)
    for name, polls in known.polls.groupby("appliance"):
        jobs = known.jobs[known.jobs["appliance"] == name]
        schedules = known.schedules[known.schedules["appliance"] == name]
        moments = polls["polled_at"].sort_values(ignore_index=True)
        assert schedules["seen_at"].sort_values(ignore_index=True).equals(moments)
        ended = jobs[jobs["job_id"] != RUNNING]
        by_collection = ended["first_seen_at"].value_counts().sort_index()
        assert by_collection.index.equals(pd.DatetimeIndex(moments))
        assert by_collection.eq(size).all()
        (running,) = jobs[jobs["job_id"] == RUNNING].itertuples()
        assert (running.first_seen_at, running.last_seen_at) == (moments.iloc[0], moments.iloc[-1])
        assert running.progress == (moments.iloc[-1] - _FIRST) // timedelta(minutes=1)
    assert set(known.jobs["appliance"]) == set(known.polls["appliance"])
    return len(known.polls)


def count_collections(history: History) -> int:
    """Check with one statement that all tables hold the same collections; return their number."""
    counted = ("observations", "polls", "schedules", "jobs", "appends", "appliances")
    counts = [f"(SELECT COUNT(*) FROM {name}) AS {name}" for name in counted]  # noqa: S608 # our own
    counts.append("(SELECT CAST(COALESCE(SUM(jobs), 0) AS BIGINT) FROM appliances) AS summed")
    [found] = history.sql(f"SELECT {', '.join(counts)}").to_numpy().tolist()  # our own
    observations, polls, schedules, jobs, appends, appliances, summed = map(int, found)
    assert polls == schedules == appends
    assert observations == (ENDED + 1) * polls
    assert jobs == summed == ENDED * polls + appliances
    return polls
