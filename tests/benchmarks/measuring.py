"""Measurement in turns, so that a noisy machine affects all contestants, by medians."""

import gc
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Contestant", "Timing", "measured"]


@dataclass(frozen=True, slots=True)
class Contestant:
    """One measured implementation.

    Attributes
    ----------
    name : str
        For the table.
    run : callable
        Returns how many jobs it read.
    jobs : int or None
        How many it must read; None if unknown.
    """

    name: str
    run: Callable[[], int]
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """Result of a contestant, each figure the median of all turns.

    Attributes
    ----------
    name : str
        Of the contestant.
    jobs : int
        How many jobs were read.
    seconds : float
        How long a turn took.
    user, system : float
        CPU of this process and of those that it started and waited for [s].
    """

    name: str
    jobs: float
    seconds: float
    user: float
    system: float

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.jobs / self.seconds

    @property
    def cpu(self) -> float:
        """CPU, user and system together [s]."""
        return self.user + self.system


def measured(contestants: Sequence[Contestant], *, turns: int) -> dict[str, Timing]:
    """Measure all contestants in turns.

    Parameters
    ----------
    contestants : sequence of Contestant
        In the order of their turns.
    turns : int
        How many turns each has.

    Returns
    -------
    dict of str to Timing
        By name.

    Raises
    ------
    SystemExit
        If one of them read another number of jobs than there are.
    """
    timings: dict[str, list[Timing]] = {one.name: [] for one in contestants}
    for number in range(1, turns + 1):
        for one in contestants:
            print(f"  turn {number} of {turns}: {one.name}", file=sys.stderr, flush=True)
            timings[one.name].append(_turn(one))
    return {name: _median(taken) for name, taken in timings.items()}


def _turn(one: Contestant) -> Timing:
    gc.collect()  # no contestant collects the garbage of the one before
    before, began = _used(), time.perf_counter()
    got = one.run()
    seconds, after = time.perf_counter() - began, _used()
    if one.jobs is not None and got != one.jobs:
        raise SystemExit(f"{one.name} read {got} jobs and not {one.jobs}")
    user, system = (now - then for now, then in zip(after, before, strict=True))
    return Timing(one.name, got, seconds, user, system)


def _used() -> tuple[float, float]:
    """Return the CPU so far, user and system, of this process and of those that ended [s]."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime for one in usages), sum(one.ru_stime for one in usages)


def _median(turns: Sequence[Timing]) -> Timing:
    return Timing(
        turns[0].name,
        *(
            median(getattr(turn, name) for turn in turns)
            for name in ("jobs", "seconds", "user", "system")
        ),
    )
