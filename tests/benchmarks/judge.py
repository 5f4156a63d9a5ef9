"""From frames to an assessment of 30 days, of a year, and of ever longer histories.

Peers compute the time inside the RPO, slots, failures and failures in a row, with equal results:
pandas and numpy by hand, polars (lazy), DuckDB. The assessment is complete: every frame is read.
"""

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import backupkit as bk
from backupkit.assessment import Assessment
from backupkit.policy import Policy
from tests.benchmarks.by_pandas import by_pandas
from tests.benchmarks.engines import Core, by_duckdb, by_polars
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.fleet import PERIOD, Fleet, fleet_of
from tests.benchmarks.machine import peak_memory, reset_peak_memory
from tests.benchmarks.measuring import Contestant, measured
from tests.benchmarks.scale import Scale
from tests.benchmarks.serving import ROOT

__all__ = ["assess", "sections"]

COMPLETE, VERDICT = "backupkit, every frame", "backupkit, verdict and appliances"
PEERS: dict[str, Callable[..., Core]] = {
    "pandas and numpy by hand": by_pandas,
    "polars (lazy)": by_polars,
    "DuckDB": by_duckdb,
}
YEAR = 365
WEEK = 7
"""Nights before the first period begins."""


def sections(scale: Scale) -> Iterator[Section]:
    """Measure a month of a long history, other lengths of history, a year, and memory."""
    fleet = fleet_of(scale.judged, scale.judged_nights[-2], days=PERIOD)
    yield _month(fleet, scale)
    del fleet
    yield _lengths(scale)
    yield _year(scale)
    yield _memory(scale)


def assess(fleet: Fleet) -> Assessment:
    """Evaluate a fleet, and read every frame of the result."""
    a = _assessment(fleet)
    for name in dir(a):
        if not name.startswith("_"):
            getattr(a, name)
    return a


def _assessment(fleet: Fleet) -> Assessment:
    return bk.evaluate_frames(
        fleet.jobs,
        fleet.polls,
        fleet.schedules,
        Policy(),
        start=fleet.start,
        end=fleet.end,
        now=fleet.end,
    )


def _verdict(fleet: Fleet) -> object:
    """Evaluate what `backupkit check` prints."""
    a = _assessment(fleet)
    return a.appliances, a.verdict, a.period_verdict


def _done(work: Callable[[Any], object], argument: object, number: int) -> int:
    """Call a function, and return the number of jobs."""
    work(argument)
    return number


def _month(fleet: Fleet, scale: Scale) -> Section:
    """Measure one month against the peers."""
    _compare(fleet)
    number = len(fleet.jobs)
    contestants = [
        Contestant(COMPLETE, functools.partial(_done, assess, fleet, number)),
        Contestant(VERDICT, functools.partial(_done, _verdict, fleet, number)),
        *(
            Contestant(name, functools.partial(_done, way, fleet.question, number))
            for name, way in PEERS.items()
        ),
    ]
    timings = measured(contestants, turns=scale.turns)
    cpu = {name: timing.cpu for name, timing in timings.items()}
    return Section(
        f"{PERIOD} days out of {number:,} jobs of {scale.judged:,} appliances, in memory; the "
        "peers compute RPO time, slots, failures and failures in a row, with equal results",
        timings,
        [
            Figure(f"CPU: {one} / {other}", cpu[one] / cpu[other])
            for one in (COMPLETE, VERDICT)
            for other in PEERS
        ],
    )


def _lengths(scale: Scale) -> Section:
    """Measure the same month with histories of several lengths before it."""
    fleets = {nights: fleet_of(scale.judged, nights, days=PERIOD) for nights in scale.judged_nights}
    timings = measured(
        [
            Contestant(_nights(nights), functools.partial(_done, assess, fleet, len(fleet.jobs)))
            for nights, fleet in fleets.items()
        ],
        turns=scale.turns,
    )
    first, *others = scale.judged_nights
    return Section(
        f"{PERIOD} days of {scale.judged:,} appliances, by the length of the history in memory",
        timings,
        [
            Figure(
                f"CPU: {_nights(nights)} / {_nights(first)}",
                timings[_nights(nights)].cpu / timings[_nights(first)].cpu,
                "x",
                1.3,
                True,
            )
            for nights in others
        ],
    )


def _nights(number: int) -> str:
    return f"{number:,} nights"


def _year(scale: Scale) -> Section:
    """Measure a year of all appliances."""
    fleet = fleet_of(scale.judged, min(YEAR + WEEK, scale.judged_nights[-1]))
    number = len(fleet.jobs)
    contestants = [
        Contestant(COMPLETE, functools.partial(_done, assess, fleet, number)),
        *(
            Contestant(name, functools.partial(_done, way, fleet.question, number))
            for name, way in PEERS.items()
        ),
    ]
    timings = measured(contestants, turns=min(3, scale.turns))
    return Section(
        f"{(fleet.end - fleet.start).days} days, {len(fleet.jobs):,} jobs of {scale.judged:,} "
        "appliances: all of a history is in the period",
        timings,
        [
            Figure(f"CPU: {COMPLETE} / {name}", timings[COMPLETE].cpu / timings[name].cpu)
            for name in PEERS
        ]
        + [Figure("CPU of each job", 1e6 * timings[COMPLETE].cpu / len(fleet.jobs), "us")],
    )


def _memory(scale: Scale) -> Section:
    """Measure the memory that an assessment adds, in a process of its own."""
    figures = []
    for days in (PERIOD, YEAR)[: 2 if scale.thorough else 1]:
        nights = (
            scale.judged_nights[-2] if days == PERIOD else min(YEAR + WEEK, scale.judged_nights[-1])
        )
        command = ["-m", "tests.benchmarks.judge", *map(str, (scale.judged, nights, days))]
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
        )
        result = json.loads(done.stdout)
        title = f"{days} days out of {nights:,} nights"
        figures += [
            Figure(f"{title}: the frames", result["frames"], "MiB"),
            Figure(f"{title}: added at the peak", result["added"], "MiB"),
            Figure(f"{title}: added at the peak / the frames", result["added"] / result["frames"]),
        ]
    return Section(
        f"Memory of a complete assessment of {scale.judged:,} appliances, in a process of its own; "
        "the frames are there before",
        {},
        figures,
    )


def _compare(fleet: Fleet) -> None:
    """Compute each once, and exit if the results differ."""
    results = {name: way(fleet.question) for name, way in PEERS.items()}
    results[COMPLETE] = _core_of(assess(fleet))
    if any(core != results[COMPLETE] for core in results.values()):
        raise SystemExit("\n".join(f"{name}: {core}" for name, core in results.items()))


def _core_of(a: Assessment) -> Core:
    """Sum the figures for the comparison."""
    figures = a.appliances
    missed = figures[[name for name in figures if str(name).startswith("slots_missed")]]
    return {
        "compliant": int(figures["compliant"].to_numpy("timedelta64[us]").astype("int64").sum()),
        "met": int(figures["slots_met"].sum()),
        "rescued": int(figures["slots_rescued"].sum()),
        "missed": int(missed.to_numpy("int64").sum()),
        "strikes": int(figures["strikes"].sum()),
        "worst": int(figures["strikes_worst"].sum()),
        "failed": int(a.failures["jobs"].sum()),
        "patterns": len(a.failures),
    }


def main() -> None:
    """Print the memory of one assessment; for `_memory`."""
    appliances, nights, days = map(int, sys.argv[1:])
    fleet = fleet_of(appliances, nights, days=days)
    before = reset_peak_memory()
    assess(fleet)
    print(json.dumps({"frames": fleet.size / 2**20, "added": peak_memory() - before}))


if __name__ == "__main__":
    main()
