"""Rounds whose every row follows from their number, so that a test sees what is there of each."""

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

from backupkit.errors import HistoryError
from backupkit.history import History
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES, HistoryView

ENDED = 5
"""Jobs that each round adds; one more runs on and on, and is observed again by each round."""

RUNNING = "runs"
"""The id of the job that runs on and on."""

_FIRST = datetime(2026, 11, 9, 20, tzinfo=UTC)
_TIMES = (("observations", "observed_at"), ("polls", "polled_at"), ("schedules", "seen_at"))


def make_round(name: str, number: int, size: int = ENDED) -> SimpleNamespace:
    """Make what a round brought of one appliance: jobs, a poll and a schedule that changed."""
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


Rounds = set[tuple[str, int]]
"""Rounds: of which appliance, and which number."""


class Acknowledged:
    """A file to which processes write each round that was acknowledged.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str, number: int) -> None:
        """Write one line at once, whoever else writes."""
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{name} {number}\n".encode())
        os.close(handle)

    def rounds(self, name: str | None = None) -> Rounds:
        """Read which rounds were acknowledged, of one appliance or of all."""
        if not self.path.exists():
            return set()
        lines = self.path.read_text(encoding="utf-8").splitlines()
        found = {(line.split()[0], int(line.split()[1])) for line in lines}
        if name is None:
            return {one for one in found if not one[0].endswith(":begun")}
        return {one for one in found if one[0] == name}


def create(target: str) -> None:  # pragma: no cover # in other processes
    """Make a history, or open it if it is there by now."""
    History(target)


def append_rounds(history: History, name: str, number: int) -> None:
    """Append the first rounds of an appliance, and read them back."""
    for one in range(number):
        history.append(make_round(name, one))
        jobs = history.jobs(appliances=[name])
        assert len(jobs) == ENDED * (one + 1) + 1


def append_on_and_on(  # pragma: no cover # in other processes
    target: str, name: str, first: int, acknowledged: Path, pause: float
) -> None:
    """Append round after round of one appliance; write down when each begins, and is kept.

    Parameters
    ----------
    target : str
        The history.
    name, first
        The appliance, and the number of its first round.
    acknowledged : Path
        For what is written down.
    pause : float
        How long to rest after each round, so that others have their turn [s].
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
        added = history.append(make_round(name, number))
        assert (added.observations, added.polls, added.schedules) == (ENDED + 1, 1, 1)
        notes.add(name, number)
        sleep(pause)


def append_through_interrupts(  # pragma: no cover # in other processes
    target: str, name: str, acknowledged: Path
) -> None:
    """Append on and on by one History, whoever presses Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    history, notes = History(target), Acknowledged(acknowledged)
    notes.add("begun", 0)
    for number in count():
        try:
            history.append(make_round(name, number))
            notes.add(name, number)
        except KeyboardInterrupt:
            notes.add("interrupted", number)


def append_when_told(  # pragma: no cover # in other processes
    target: str, name: str, orders: Connection
) -> None:
    """Append one round for each order, and say how many there are."""
    history = History(target)
    for number in count(1):
        history.append(make_round(name, number))
        orders.send(number)
        orders.recv()


def read_on_and_on(  # pragma: no cover # in other processes
    target: str, notes: Path, *, patient: bool
) -> None:
    """Read again and again what belongs together, and write down how much it was."""
    history, found = History(target), Acknowledged(notes)
    while True:
        try:
            found.add("read", check_consistent(history.view()))
            found.add("counted", count_rounds(history))
        except HistoryError:
            if not patient:
                raise


def whole_rounds(history: History, size: int = ENDED) -> Rounds:
    """Read all tables, and return the rounds in them: each is there whole, and once."""
    kept = {name: getattr(history, name)() for name, _ in _TIMES}
    rounds: dict[str, list[tuple[str, int]]] = {}
    for name, time in _TIMES:
        numbers = (kept[name][time] - _FIRST) // timedelta(minutes=1)
        rounds[name] = list(zip(kept[name]["appliance"], numbers, strict=True))
    there = set(rounds["polls"])
    assert sorted(rounds["polls"]) == sorted(rounds["schedules"]) == sorted(there)
    expected = [
        (name, job, number)
        for name, number in there
        for job in (*(f"{number}-{place}" for place in range(size)), RUNNING)
    ]
    observed = zip(rounds["observations"], kept["observations"]["job_id"], strict=True)
    assert sorted((*key[:1], job, key[1]) for key, job in observed) == sorted(expected)
    check_consistent(HistoryView(history.jobs(), kept["polls"], kept["schedules"]), size)
    ledger = history.sql("SELECT kind, observations, polls, schedules FROM appends")
    summed = ledger[["observations", "polls", "schedules"]].sum().to_list()
    assert summed == [len(expected), len(there), len(there)]
    appended = ledger[ledger["kind"].eq("append")]
    assert appended["polls"].eq(1).all()
    assert appended["observations"].eq(size + 1).all()
    return {(str(name), int(number)) for name, number in there}


def check_consistent(known: HistoryView, size: int = ENDED) -> int:
    """Check that polls, schedules and jobs tell of the same rounds; return how many."""
    JOBS.check(known.jobs)
    for name, polls in known.polls.groupby("appliance"):
        jobs = known.jobs[known.jobs["appliance"] == name]
        schedules = known.schedules[known.schedules["appliance"] == name]
        moments = polls["polled_at"].sort_values(ignore_index=True)
        assert schedules["seen_at"].sort_values(ignore_index=True).equals(moments)
        ended = jobs[jobs["job_id"] != RUNNING]
        by_round = ended["first_seen_at"].value_counts().sort_index()
        assert by_round.index.equals(pd.DatetimeIndex(moments))
        assert by_round.eq(size).all()
        (running,) = jobs[jobs["job_id"] == RUNNING].itertuples()
        assert (running.first_seen_at, running.last_seen_at) == (moments.iloc[0], moments.iloc[-1])
        assert running.progress == (moments.iloc[-1] - _FIRST) // timedelta(minutes=1)
    assert set(known.jobs["appliance"]) == set(known.polls["appliance"])
    return len(known.polls)


def count_rounds(history: History) -> int:
    """Check by one statement that all tables hold the same rounds; return how many."""
    counted = ("observations", "polls", "schedules", "jobs", "appends", "appliances")
    counts = [f"(SELECT COUNT(*) FROM {name}) AS {name}" for name in counted]  # noqa: S608 # our own
    counts.append("(SELECT CAST(COALESCE(SUM(jobs), 0) AS BIGINT) FROM appliances) AS summed")
    [found] = history.sql(f"SELECT {', '.join(counts)}").to_numpy().tolist()  # our own
    observations, polls, schedules, jobs, appends, appliances, summed = map(int, found)
    assert polls == schedules == appends
    assert observations == (ENDED + 1) * polls
    assert jobs == summed == ENDED * polls + appliances
    return polls
