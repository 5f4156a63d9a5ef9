"""A watcher for hours: it must not leak, and must not miss anything.

    python -m tests.benchmarks.soak_watch --minutes 30

A simulated fleet, whose clock runs thirty times as fast, starts jobs, ends them, lets some fail and
some stall, and loses appliances. Each minute a line states memory, numbers of widgets and threads,
and what the watcher showed. Exit code 1 if any of them grew, or a session is left open.
"""

import argparse
import random
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import ipywidgets

import backupkit as bk
from backupkit.simulator import Scenario, SimulatedFleet
from backupkit.simulator.appliance import BusyError
from backupkit.widgets import Watcher

FASTER: Final = 30
APPLIANCES: Final = 24
TICK: Final = 0.25
"""How often the fleet changes and the watcher is read [s]."""

GROWTH: Final = 1.05
"""The limit of the last third of the time, relative to the second."""

PATIENT: Final = bk.Limits(connect=2, read=5, deadline=60, backoff=0.05)
"""For appliances that come and go."""


@dataclass
class Clock:
    """A clock that runs faster than the machine's."""

    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    _zero: float = field(default_factory=time.monotonic)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.began + timedelta(seconds=(time.monotonic() - self._zero) * FASTER)


@dataclass
class Seen:
    """Events that the watcher showed."""

    counts: Counter[str] = field(default_factory=Counter)
    _states: dict[tuple[str, str], tuple[str, bool]] = field(default_factory=dict)
    _lost: set[str] = field(default_factory=set)

    def notice(self, watcher: Watcher) -> None:
        """Compare with the values before."""
        frame = watcher.value
        now = {
            (row["appliance"], row["job_id"]): (row["state"], row["stalled"])
            for row in frame.to_dict("records")
        }
        for key, (state, stalled) in now.items():
            before, was_stalled = self._states.get(key, ("", False))
            self.counts["started"] += not before
            self.counts["finished"] += state == "SUCCEEDED" != before
            self.counts["failed"] += state == "FAILED" != before
            self.counts["stalled"] += stalled and not was_stalled
        self._states = now
        lost = set(frame.loc[frame["detail"].notna(), "appliance"])
        lost |= set(watcher.errors["appliance"])
        self.counts["lost"] += len(lost - self._lost)
        self.counts["regained"] += len(self._lost - lost)
        self._lost = lost


@dataclass
class Changes:
    """Random changes of the simulated fleet."""

    fleet: SimulatedFleet
    clock: Clock
    dice: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 # no secret
    down: dict[str, float] = field(default_factory=dict)

    def change_one(self) -> None:
        """Change a random appliance."""
        for name, until in list(self.down.items()):
            if time.monotonic() > until:
                self.fleet.start(name)
                del self.down[name]
        one = self.dice.choice(self.fleet.appliances)
        chance = self.dice.random()
        running = [job for job in one.jobs() if job.start <= self.clock() < job.end]
        if chance < 0.02 and len(self.down) < APPLIANCES // 4:  # a share
            self.fleet.stop(one.name)
            self.down[one.name] = time.monotonic() + self.dice.uniform(2, 30)
        elif not running:
            try:
                one.create("soak")
            except BusyError:  # a scheduled job runs
                return
        elif chance < 0.08:  # a share
            # it stalls until it is cancelled
            end = self.clock() + timedelta(days=100)
            self.fleet.rewrite(one.name, running[0].id, end=end)
        elif chance < 0.3:  # a share
            one.cancel(running[0].id)


@dataclass
class Sample:
    """The measurements of a minute."""

    memory: float
    widgets: int
    threads: int

    def __str__(self) -> str:
        return f"{self.memory:.1f} MiB, {self.widgets} widgets, {self.threads} threads"


def soak(minutes: float) -> int:
    """Watch for some minutes, print a line each minute, and return the exit code."""
    clock, seen = Clock(), Seen()
    scenario = Scenario.steady(appliances=APPLIANCES, jobs=30, seed=1, epoch=clock.began)
    samples: list[Sample] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        SimulatedFleet(scenario, clock=clock) as fleet,
    ):
        path = Path(folder) / "fleet.toml"
        fleet.write_fleet(path)
        changes = Changes(fleet, clock)
        before = len(ipywidgets.widgets.widget._instances)
        watcher = Watcher(
            bk.Fleet.load(path),
            bk.History(Path(folder) / "history"),
            every=0.5,
            find_every=5,
            limits=PATIENT,
            clock=clock,
        )
        with watcher:
            began, end = time.monotonic(), time.monotonic() + minutes * 60
            threads = []
            while time.monotonic() < end:
                time.sleep(TICK)
                changes.change_one()
                seen.notice(watcher)
                threads.append(threading.active_count())
                if time.monotonic() - began >= 60 * (len(samples) + 1):
                    fleet.clear_requests()  # keep the simulator's log small
                    samples.append(
                        Sample(
                            memory(),
                            len(ipywidgets.widgets.widget._instances),
                            min(threads),
                        )
                    )
                    threads.clear()
                    print_minute(len(samples), samples[-1], watcher, seen)
        watcher.close()
        for name in changes.down:  # their sessions could not be closed and ended with the restart
            fleet.start(name)
        left, after = fleet.open_sessions, len(ipywidgets.widgets.widget._instances)
    print(f"sessions left open: {left}; widgets left: {after - before}", flush=True)
    return int(left != 0 or after != before or watcher.running or grown(samples))


def memory() -> float:
    """Return the memory of this process [MiB]."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def print_minute(minute: int, sample: Sample, watcher: Watcher, seen: Seen) -> None:
    """Print the line of one minute."""
    words = ", ".join(
        f"{seen.counts[name]} {name}"
        for name in ("started", "finished", "failed", "stalled", "lost", "regained")
    )
    print(
        f"{minute:3} min: {sample.memory:6.1f} MiB, {sample.widgets} widgets, "
        f"{sample.threads} threads, {watcher.refreshes} refreshes, "
        f"{len(watcher.value)} rows; {words}",
        flush=True,
    )


def grown(samples: list[Sample]) -> bool:
    """Return whether any measurement grew in the last third of the time."""
    third = len(samples) // 3
    if not third:  # too short to compare
        return False
    before, last = _most(samples[third : 2 * third]), _most(samples[2 * third :])
    print(f"at most, in the second third: {before}; in the last: {last}", flush=True)
    return (
        last.memory > GROWTH * before.memory
        or last.widgets > before.widgets
        or last.threads > GROWTH * before.threads + 2
    )


def _most(samples: list[Sample]) -> Sample:
    return Sample(*(max(column) for column in zip(*map(astuple, samples), strict=True)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long [min]")
    sys.exit(soak(parser.parse_args().minutes))
