"""From frames to a judgement: backupkit, polars (lazy) and DuckDB on the same jobs."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import polars as pl

import backupkit as bk
from backupkit import analysis
from backupkit.analysis.arrays import Times, to_utc_column
from backupkit.policy import Policy
from backupkit.tables import JOBS, POLLS, SCHEDULES
from tests.benchmarks.engines import Core, Question, by_duckdb, by_polars
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.measuring import Contestant, measured
from tests.benchmarks.scale import Scale

__all__ = ["Fleet", "fleet_of", "sections"]

CORE, COMPLETE = "backupkit, core figures", "backupkit, the complete assessment"
POLARS, DUCKDB = "polars (lazy), core figures", "DuckDB, core figures"

ZONES = ("UTC", "Europe/Berlin", "America/New_York")
FIRST = np.datetime64("2024-06-03", "us")
WEEK = np.timedelta64(7, "D")
FAILURES = 0.04
SECOND = np.timedelta64(1, "s").astype("timedelta64[us]")


@dataclass(frozen=True, slots=True)
class Fleet:
    """The same fleet in the form of each engine."""

    jobs: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame
    start: pd.Timestamp
    end: pd.Timestamp
    question: Question


def sections(scale: Scale) -> Iterator[Section]:
    """Measure the judgement of many jobs, and how its cost grows with them."""
    fleet = fleet_of(scale.judged, scale.judged_jobs)
    number = len(fleet.jobs)
    ways: dict[str, Callable[[], Core]] = {
        CORE: functools.partial(_core, fleet),
        COMPLETE: functools.partial(_complete, fleet),
        POLARS: functools.partial(by_polars, fleet.question),
        DUCKDB: functools.partial(by_duckdb, fleet.question),
    }
    _compare(ways)
    timings = measured(
        [Contestant(name, functools.partial(_count, way, number)) for name, way in ways.items()],
        turns=scale.turns,
    )
    seconds = {name: timing.seconds for name, timing in timings.items()}
    yield Section(
        f"{number:,} jobs of {scale.judged:,} appliances judged; core figures are RPO time, slots "
        f"and failures in a row, with equal results; median of {scale.turns} turns",
        timings,
        [
            Figure(f"time: {CORE} / polars", seconds[CORE] / seconds[POLARS], "x", 1.5, True),
            Figure(f"time: {CORE} / DuckDB", seconds[CORE] / seconds[DUCKDB], "x", 1, True),
            Figure(f"time: {COMPLETE} / polars, core figures", seconds[COMPLETE] / seconds[POLARS]),
            Figure(f"time: {COMPLETE} / DuckDB, core figures", seconds[COMPLETE] / seconds[DUCKDB]),
            Figure(COMPLETE + ", for each job", 1e6 * seconds[COMPLETE] / number, "us"),
        ],
    )
    yield _growth(scale)


def _growth(scale: Scale) -> Section:
    """Measure ten times as many jobs of as many appliances."""
    fleets = [fleet_of(scale.judged, scale.judged_jobs // less) for less in (10, 1)]
    ways = {
        f"{name}, {len(fleet.jobs):,} jobs": (functools.partial(way, fleet), len(fleet.jobs))
        for name, way in ((CORE, _core), (COMPLETE, _complete))
        for fleet in fleets
    }
    timings = measured(
        [
            Contestant(name, functools.partial(_count, way, number))
            for name, (way, number) in ways.items()
        ],
        turns=scale.turns,
    )
    few, many, few_complete, many_complete = (timing.seconds for timing in timings.values())
    return Section(
        f"Ten times the jobs of {scale.judged:,} appliances; median of {scale.turns} turns",
        timings,
        [
            Figure(f"time: {CORE}, 10x the jobs", many / few, "x", 14, True),
            Figure(f"time: {COMPLETE}, 10x the jobs", many_complete / few_complete, "x", 14, True),
        ],
    )


def _count(way: Callable[[], Core], number: int) -> int:
    """Evaluate, and return the given number of jobs."""
    way()
    return number


def _compare(ways: dict[str, Callable[[], Core]]) -> None:
    """Run each once, and exit if the results differ."""
    results = {name: way() for name, way in ways.items()}
    if any(core != results[CORE] for core in results.values()):
        raise SystemExit("\n".join(f"{name}: {core}" for name, core in results.items()))


def _core(fleet: Fleet) -> Core:
    """Compute the core figures with the functions of the analysis."""
    names = pd.Index(fleet.schedules["appliance"])
    rules = Policy().rules(names)
    start, end, index = fleet.start, fleet.end, rules.index
    visited = analysis.poll_summary(fleet.polls, appliances=index)
    oldest = fleet.jobs.groupby("appliance")["start_time"].min()
    known = analysis.coverage(oldest, visited, rules, start=start)
    points = analysis.recovery_points(fleet.jobs, anchor=rules["anchor"])
    spent = analysis.time_in_states(
        analysis.segments(points, known, rules, start=start, end=end), appliances=index
    )
    expected = analysis.expected_slots(
        fleet.schedules,
        fallback=rules["timezone"],
        since=pd.Series(start, index=index),
        end=end,
    )
    numbers = analysis.slot_parameters(expected, [(None, rules)], [known["known_until"]])
    slots = analysis.judge_slots(fleet.jobs, expected, known, numbers, now=end)
    return _core_of(
        spent,
        analysis.slot_counts(slots, appliances=index),
        analysis.strikes(fleet.jobs, start=start, end=end, appliances=index),
    )


def _complete(fleet: Fleet) -> Core:
    """Evaluate the fleet, and return the core figures of the assessment."""
    judged = bk.evaluate_frames(
        fleet.jobs,
        fleet.polls,
        fleet.schedules,
        Policy(),
        start=fleet.start,
        end=fleet.end,
        now=fleet.end,
    ).appliances
    return _core_of(judged, judged, judged)


def _core_of(spent: pd.DataFrame, slots: pd.DataFrame, strikes: pd.DataFrame) -> Core:
    """Sum the figures for the comparison."""
    missed = slots[[name for name in slots if str(name).startswith("slots_missed")]]
    return {
        "compliant": int(spent["compliant"].to_numpy("timedelta64[us]").astype(np.int64).sum()),
        "met": int(slots["slots_met"].sum()),
        "rescued": int(slots["slots_rescued"].sum()),
        "missed": int(missed.to_numpy("int64").sum()),
        "strikes": int(strikes["strikes"].sum()),
        "worst": int(strikes["strikes_worst"].sum()),
    }


def fleet_of(appliances: int, jobs: int) -> Fleet:
    """Make a fleet that backs up each night, sometimes fails, and tries most failures again."""
    random = np.random.default_rng(7)
    names = np.array([f"vc-{number:04}" for number in range(appliances)], dtype=object)
    zones = np.array(ZONES, dtype=object)[np.arange(appliances) % len(ZONES)]
    minutes = random.integers(4 * 60, 8 * 60, appliances)  # clocks are changed before
    plan = pd.DataFrame(
        {
            "appliance": names,
            "enabled": True,
            "schedule": "default",
            "hour": minutes // 60,
            "minute": minutes % 60,
            "timezone": zones,
            "location": [f"sftp://nas-{number % 8}.example.com/vc" for number in range(appliances)],
            "max_count": 30,
        }
    )
    schedules = SCHEDULES.frame({str(name): plan[name] for name in plan})
    # in the evening, when the last night is over everywhere
    last = pd.Timestamp(FIRST + jobs * np.timedelta64(1, "D"), tz="UTC") - pd.Timedelta(hours=6)
    rules = Policy().rules(names)
    nights = analysis.expected_slots(
        schedules,
        fallback=rules["timezone"],
        since=pd.Series(pd.Timestamp(FIRST, tz="UTC"), index=rules.index),
        end=last,
    )
    begun = _naive(nights["slot"]) + random.integers(0, 300, len(nights)) * SECOND
    failed = random.random(len(nights)) < FAILURES
    again = np.flatnonzero(failed & (random.random(len(nights)) < 0.5))
    owner = np.concatenate([np.arange(len(nights)), again])
    begun = np.concatenate([begun, begun[again] + 7_200 * SECOND])
    failed = np.concatenate([failed, random.random(len(again)) < FAILURES])
    usual = random.integers(600, 2_400, appliances)[np.searchsorted(names, nights["appliance"])]
    length = usual[owner] * random.lognormal(0, 0.05, len(owner))
    ended = begun + length.astype(np.int64) * SECOND
    inside = ended < last.to_datetime64()
    order = np.lexsort((begun, owner))
    order = order[inside[order]]
    size = length * 1_000_000
    frame = (
        pd.DataFrame(
            {
                "appliance": nights["appliance"].to_numpy()[owner],
                "job_id": pd.Series(begun).dt.strftime("%Y%m%d-%H%M%S").to_numpy(),
                "outcome": np.where(failed, "failure", "success"),
                "state": np.where(failed, "FAILED", "SUCCEEDED"),
                "type": "SCHEDULED",
                "start_time": to_utc_column(begun),
                "end_time": to_utc_column(ended),
                "size": size.astype(np.int64),
                "location": nights["location"].to_numpy()[owner],
            }
        )
        .iloc[order]
        .reset_index(drop=True)
    )
    start = pd.Timestamp(FIRST + WEEK, tz="UTC")
    polled = POLLS.frame(
        {
            "appliance": pd.Series(np.tile(names, 2), dtype="str"),
            "polled_at": pd.Series([start] * appliances + [last] * appliances),
            "ok": [True] * (2 * appliances),
        }
    )
    numbers = rules.iloc[0]
    question = Question(
        jobs=pl.DataFrame(
            {
                "appliance": frame["appliance"].to_numpy(dtype=object),
                "outcome": frame["outcome"].to_numpy(dtype=object),
                "start": _naive(frame["start_time"]),
                "end": _naive(frame["end_time"]),
            }
        ),
        plans=pl.DataFrame(
            {name: plan[name].to_list() for name in ("appliance", "hour", "minute", "timezone")}
        ),
        start=start.tz_localize(None).to_pydatetime(),
        end=last.tz_localize(None).to_pydatetime(),
        **{name: numbers[name].to_pytimedelta() for name in ("threshold", "early", "late")},
    )
    jobs_frame = JOBS.frame({str(name): frame[name] for name in frame})
    return Fleet(jobs_frame, polled, schedules, start, last, question)


def _naive(column: pd.Series) -> Times:
    """Return times as UTC without a zone."""
    naive: Times = column.dt.tz_localize(None).to_numpy("datetime64[us]")
    return naive
