"""Concurrency of a collection: limited by the processor."""

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
    """A clock, and the processor time of a process."""

    time: float = 100.0
    used: float = 7.0

    def advance(self, seconds: float, *, busy: float) -> None:
        """Advance the clock; `busy` is the share of processor time."""
        self.time += seconds
        self.used += busy * seconds

    def control(self) -> ConcurrencyControl:
        """Return the control for this machine."""
        return ConcurrencyControl(lambda: self.time, lambda: self.used)


class TestMayGrow:
    """ConcurrencyControl.may_grow."""

    @pytest.mark.parametrize(("busy", "more"), [(0.0, True), (0.5, True), (0.7, False), (2, False)])
    def test_share(self, busy: float, more: bool) -> None:  # noqa: FBT001 # a column of the table
        """The concurrency may grow while the process uses less than 0.6 of a processor."""
        machine = Machine()
        control = machine.control()
        machine.advance(0.01, busy=busy)
        assert control.may_grow() is more

    def test_too_soon(self) -> None:
        """Within 4 ms the result does not change."""
        machine = Machine()
        control = machine.control()
        machine.advance(0.003, busy=0)
        assert not control.may_grow()
        machine.advance(0.003, busy=0)
        assert control.may_grow()
        machine.advance(0.003, busy=1)
        assert control.may_grow()
        machine.advance(0.003, busy=1)
        assert not control.may_grow()

    def test_busy(self) -> None:
        """A busy process may grow once a second, since other work may be the reason."""
        machine = Machine()
        control = machine.control()
        results = []
        for _ in range(300):
            machine.advance(0.01, busy=1)
            results.append(control.may_grow())
        assert results.count(True) == pytest.approx(3, abs=1)
        assert not any(results[:99])


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Simulated]:
    """Run 24 appliances with a latency of 0.1 s."""
    scenario = Scenario.steady(appliances=24, jobs=2, seed=1, epoch=EPOCH)
    with SimulatedFleet(scenario, clock=epoch, latency=0.1) as appliances:
        appliances.write_fleet(tmp_path / "fleet.toml")
        yield Simulated(appliances, tmp_path / "fleet.toml")


def test_slow_responses(slow: Simulated) -> None:
    """Slow appliances are polled concurrently."""
    began = time.perf_counter()
    snapshot = collect(slow.fleet, limits=QUICK, clock=epoch)
    taken = time.perf_counter() - began
    assert snapshot.polls["ok"].all()
    total = snapshot.polls["elapsed"].dt.total_seconds().sum()
    assert total / taken > 4  # polls at the same time, on average
