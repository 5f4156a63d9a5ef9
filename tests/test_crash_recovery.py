"""Kill a collector in the middle of its round: the history stays whole, the next round goes on."""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import monotonic, sleep

import pandas as pd
import pytest

import backupkit as bk
from backupkit.simulator import Scenario, SimulatedFleet
from backupkit.simulator.fleet import write_fleet_file
from backupkit.tables import OBSERVATIONS, POLLS, SCHEDULES
from tests.conftest import SEED, repeats

KILLS = repeats(2, 20)
SIZE, JOBS = 12, 60


class Rounds:
    """Rounds of twelve appliances each, by processes, into one history."""

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
        """Run one, and kill it at the end."""
        words = [sys.executable, "-m", "backupkit", "collect", "--concurrency", "4"]
        words += ["--fleet", str(self.folder / f"{number * SIZE}.toml")]
        words += ["--history", self.history.uri]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.kill()

    def await_requests(self, number: int, method: str, times: int) -> None:
        """Wait until one has come so far: to its first log-in, or its last log-out."""
        names = {one.name for one in self.fleets[number]}
        looks = count()
        while (
            sum(
                request.method == method and request.appliance in names
                for request in self.appliances.requests
            )
            < times
        ):
            assert next(looks) < 10_000
            sleep(0.003)


@pytest.fixture
def rounds(tmp_path: Path) -> Iterator[Rounds]:
    """Run appliances that take their time, so that a round has a middle."""
    scenario = Scenario.steady(
        appliances=(1 + KILLS) * SIZE, jobs=JOBS, seed=1, epoch=datetime.now(UTC)
    )
    with SimulatedFleet(scenario, latency=0.02) as appliances:
        yield Rounds(appliances, tmp_path)


def check_whole(history: bk.History) -> set[str]:
    """Check that all that can be read is whole polls; return whose."""
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
    """A real collector, ended without a word."""

    def test_again_and_again(self, rounds: Rounds) -> None:
        """Whenever it dies, what can be read is whole, and one more round brings the rest."""
        moments = drawn(*measured(rounds), seed=SEED)
        fleets = [{one.name for one in fleet} for fleet in rounds.fleets]
        for number, (method, times, delay) in enumerate(moments, start=1):
            with rounds.started(number):
                rounds.await_requests(number, method, times)
                sleep(delay)
            read = check_whole(rounds.history)
            assert all(names <= read or not names & read for names in fleets)
        everyone = {one.name: one for fleet in rounds.fleets for one in fleet}
        snapshot = bk.collect(everyone.values(), known=rounds.history)
        rounds.history.append(snapshot)
        assert check_whole(rounds.history) == set(everyone)
        jobs = rounds.history.jobs()
        assert jobs["appliance"].value_counts().to_dict() == dict.fromkeys(everyone, JOBS)


def measured(rounds: Rounds) -> tuple[float, float]:
    """Make a whole round, and time its polls and what comes after them."""
    with rounds.started(0) as process:
        rounds.await_requests(0, "POST", 1)
        began = monotonic()
        rounds.await_requests(0, "DELETE", SIZE)
        read = monotonic()
        assert process.wait(60) == 0
    return read - began, monotonic() - read


def drawn(polls: float, rest: float, *, seed: int) -> list[tuple[str, int, float]]:
    """Draw moments, spread over the polls and over what comes after them."""
    draw = random.Random(seed)  # noqa: S311 # no secret
    ways = [("POST", 1, polls)] * (KILLS // 2) + [("DELETE", SIZE, rest)] * (KILLS // 2)
    moments = [
        (method, times, span * (place % (KILLS // 2) + draw.random()) / (KILLS // 2))
        for place, (method, times, span) in enumerate(ways)
    ]
    draw.shuffle(moments)
    return moments
