"""Collectors are killed: the history stays consistent, and the next collection goes on."""

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

import pandas as pd
import pytest

import backupkit as bk
from backupkit.collection.batches import JOBS_PER_BATCH, collect_into
from backupkit.history import AppendResult, databases
from backupkit.simulator import Scenario, SimulatedFleet
from backupkit.simulator.fleet_file import write_fleet_file
from backupkit.tables import OBSERVATIONS, POLLS, SCHEDULES
from tests.conftest import SEED, repeats
from tests.processes import wait_until

KILLS = repeats(2, 20)
SIZE, JOBS = 12, 60


class Collectors:
    """Processes that each collect twelve appliances into one history."""

    def __init__(self, appliances: SimulatedFleet, folder: Path) -> None:
        self.appliances, self.folder = appliances, folder
        self.history = bk.History(folder / "history.db")
        self.fleets = []
        for first in range(0, len(appliances.appliances), SIZE):
            fleet = appliances.appliances[first : first + SIZE]
            path = folder / f"{first}.toml"
            write_fleet_file(path, fleet, appliances.authority)
            self.fleets.append(bk.Fleet.load(path))

    @contextmanager
    def started(self, number: int) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a collector, and kill it at the end."""
        words = [sys.executable, "-m", "backupkit", "collect", "--concurrency", "4"]
        words += ["--fleet", str(self.folder / f"{number * SIZE}.toml")]
        words += ["--history", self.history.uri]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.kill()

    def await_requests(self, number: int, method: str, times: int) -> None:
        """Wait until a collector has sent a number of requests: log-ins or log-outs."""
        names = {appliance.name for appliance in self.fleets[number]}

        def sent() -> int:
            requests = self.appliances.requests
            return sum(r.method == method and r.appliance in names for r in requests)

        wait_until(lambda: sent() >= times)


@pytest.fixture
def collectors(tmp_path: Path) -> Iterator[Collectors]:
    """Run slow appliances, so that a collection takes some time."""
    scenario = Scenario.steady(
        appliances=(1 + KILLS) * SIZE, jobs=JOBS, seed=1, epoch=datetime.now(UTC)
    )
    with SimulatedFleet(scenario, latency=0.02) as appliances:
        yield Collectors(appliances, tmp_path)


def check_complete(history: bk.History) -> set[str]:
    """Check that all stored polls are complete; return their appliances."""
    polls = POLLS.check(history.polls())
    observations = OBSERVATIONS.check(history.observations())
    schedules = SCHEDULES.check(history.schedules())
    moments = pd.MultiIndex.from_frame(polls[["appliance", "polled_at"]])
    assert moments.is_unique
    for frame, time in ((observations, "observed_at"), (schedules, "seen_at")):
        assert pd.MultiIndex.from_frame(frame[["appliance", time]]).isin(moments).all()
    assert polls["ok"].all()
    assert not observations.duplicated(["appliance", "job_id"]).any()
    numbers = observations["appliance"].value_counts()
    assert polls["jobs_listed"].to_list() == [numbers[name] for name in polls["appliance"]]
    assert history.verify().empty
    return set(polls["appliance"])


@pytest.mark.long
class TestProcess:
    """A collector process that is killed."""

    def test_repeatedly(self, collectors: Collectors) -> None:
        """After kills at any time polls are complete, and one more collection adds the others."""
        moments = drawn(*measured(collectors), seed=SEED)
        fleets = [{appliance.name for appliance in fleet} for fleet in collectors.fleets]
        for number, (method, times, delay) in enumerate(moments, start=1):
            with collectors.started(number):
                collectors.await_requests(number, method, times)
                sleep(delay)
            read = check_complete(collectors.history)
            assert all(names <= read or not names & read for names in fleets)
        everyone = {appliance.name: appliance for fleet in collectors.fleets for appliance in fleet}
        snapshot = bk.collect(everyone.values(), known=collectors.history)
        collectors.history.append(snapshot)
        assert check_complete(collectors.history) == set(everyone)
        jobs = collectors.history.jobs()
        assert jobs["appliance"].value_counts().to_dict() == dict.fromkeys(everyone, JOBS)


class TestBatches:
    """A long collection is stored while it goes on."""

    APPLIANCES, JOBS = 30, 400

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Iterator[Path]:
        """Serve appliances with more jobs than two batches, and write their fleet.toml."""
        scenario = Scenario.steady(
            appliances=self.APPLIANCES, jobs=self.JOBS, seed=1, epoch=datetime.now(UTC)
        )
        with SimulatedFleet(scenario, latency=0.05) as running:
            write_fleet_file(tmp_path / "fleet.toml", running.appliances, running.authority)
            yield tmp_path

    def test_killed(self, folder: Path) -> None:
        """A kill leaves what was stored before whole, and it is not read again."""
        history = bk.History(folder / "history.db")
        words = [sys.executable, "-m", "backupkit", "collect", "--concurrency", "2"]
        words += ["--fleet", str(folder / "fleet.toml"), "--history", history.uri]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
            wait_until(lambda: not history.polls().empty)
            process.kill()
        stored = check_complete(history)
        assert self.JOBS * len(stored) >= JOBS_PER_BATCH
        assert len(stored) < self.APPLIANCES
        fleet = bk.Fleet.load(folder / "fleet.toml")
        snapshot, added = collect_into(history, fleet, progress=False)
        assert added.new == self.JOBS * (self.APPLIANCES - len(stored))
        assert len(snapshot.polls) == self.APPLIANCES == added.polls
        assert history.verify().empty
        assert set(history.jobs()["appliance"].value_counts()) == {self.JOBS}

    def test_sum(self, folder: Path) -> None:
        """All batches together add what one append of the whole would add."""
        history = bk.History(folder / "history.db")
        fleet = bk.Fleet.load(folder / "fleet.toml")
        snapshot, added = collect_into(history, fleet, progress=False)
        assert added == AppendResult(
            new=self.APPLIANCES * self.JOBS,
            polls=self.APPLIANCES,
            schedules=len(snapshot.schedules),
        )
        assert history.sql("SELECT COUNT(*) AS n FROM appends")["n"].item() > 1
        assert bk.History(folder / "whole.db").append(snapshot) == added

    def test_locked(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A batch that cannot be stored is kept, and stored at the end."""
        monkeypatch.setattr(databases, "LOCK_TIMEOUT", 0.1)
        history = bk.History(folder / "history.db")
        history.check_writable()
        fleet = bk.Fleet.load(folder / "fleet.toml")
        with (
            closing(sqlite3.connect(history.uri, isolation_level=None)) as other,
            ThreadPoolExecutor(1) as pool,
        ):
            other.execute("BEGIN IMMEDIATE")
            collection = pool.submit(collect_into, history, fleet, progress=False)
            wait_until(lambda: "stored later" in caplog.text)
            monkeypatch.setattr(databases, "LOCK_TIMEOUT", 60)
            other.execute("ROLLBACK")
            _, added = collection.result()
        assert added.new == self.APPLIANCES * self.JOBS
        assert history.verify().empty


def measured(collectors: Collectors) -> tuple[float, float]:
    """Time the polls of a collection, and the part after them [s]."""
    with collectors.started(0) as process:
        collectors.await_requests(0, "POST", 1)
        began = monotonic()
        collectors.await_requests(0, "DELETE", SIZE)
        read = monotonic()
        assert process.wait(60) == 0
    return read - began, monotonic() - read


def drawn(polls: float, after: float, *, seed: int) -> list[tuple[str, int, float]]:
    """Draw times, spread over the polls and over the part after them."""
    draw = random.Random(seed)  # noqa: S311 # no secret
    ways = [("POST", 1, polls)] * (KILLS // 2) + [("DELETE", SIZE, after)] * (KILLS // 2)
    moments = [
        (method, times, span * (place % (KILLS // 2) + draw.random()) / (KILLS // 2))
        for place, (method, times, span) in enumerate(ways)
    ]
    draw.shuffle(moments)
    return moments
