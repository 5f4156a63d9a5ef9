"""How many appliances are asked at once: as many as the processor has time for."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backupkit import collect
from backupkit.collection.local_state import ConcurrencyControl
from backupkit.simulator import Scenario, SimulatedFleet
from tests.conftest import EPOCH, QUICK, Simulated, epoch


@dataclass
class Machine:
    """A clock, and a process that works as much as a test says."""

    time: float = 100.0
    used: float = 7.0

    def goes_on(self, seconds: float, *, busy: float) -> None:
        """Let time pass, with such a share of it spent on work."""
        self.time += seconds
        self.used += busy * seconds

    def pace(self) -> ConcurrencyControl:
        """Watch this machine."""
        return ConcurrencyControl(lambda: self.time, lambda: self.used)


class TestPace:
    """When more is worth trying."""

    @pytest.mark.parametrize(("busy", "more"), [(0.0, True), (0.5, True), (0.7, False), (2, False)])
    def test_share(self, busy: float, more: bool) -> None:  # noqa: FBT001 # a column of the table
        """While the process uses less than 0.6 of a processor."""
        machine = Machine()
        pace = machine.pace()
        machine.goes_on(0.01, busy=busy)
        assert pace.may_grow() is more

    def test_too_soon(self) -> None:
        """Within 4 ms it says what it said before."""
        machine = Machine()
        pace = machine.pace()
        machine.goes_on(0.003, busy=0)
        assert not pace.may_grow()
        machine.goes_on(0.003, busy=0)
        assert pace.may_grow()
        machine.goes_on(0.003, busy=1)
        assert pace.may_grow()
        machine.goes_on(0.003, busy=1)
        assert not pace.may_grow()

    def test_busy_with_something_else(self) -> None:
        """Each second it says so anyway: the work may be another's."""
        machine = Machine()
        pace = machine.pace()
        said = []
        for _ in range(300):
            machine.goes_on(0.01, busy=1)
            said.append(pace.may_grow())
        assert said.count(True) == pytest.approx(3, abs=1)
        assert not any(said[:99])


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Simulated]:
    """Run 24 appliances that answer after 0.1 s each."""
    scenario = Scenario.steady(appliances=24, jobs=2, seed=1, epoch=EPOCH)
    with SimulatedFleet(scenario, clock=epoch, latency=0.1) as appliances:
        appliances.write_fleet(tmp_path / "fleet.toml")
        yield Simulated(appliances, tmp_path / "fleet.toml")


def test_slow_answers_widen_a_round(slow: Simulated) -> None:
    """Where answers take their time, a round takes far less than its visits after each other."""
    began = time.perf_counter()
    snapshot = collect(slow.fleet, limits=QUICK, clock=epoch)
    taken = time.perf_counter() - began
    assert snapshot.polls["ok"].all()
    visits = snapshot.polls["elapsed"].dt.total_seconds().sum()
    assert visits / taken > 4  # of them at once, on average
