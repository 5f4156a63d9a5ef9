"""RPO time, slots, failures and failures in a row in polars (lazy) and in SQL for DuckDB.

They do less than backupkit: nothing is unknown, excluded or open, every appliance has one schedule,
every job has a start, an end and a type, and the policy is the default one. The measured fleet is
like that, so that all results can be compared. They read only `LOOK_BACK` before the period.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import duckdb
import pandas as pd
import polars as pl

__all__ = ["LOOK_BACK", "Core", "Question", "by_duckdb", "by_polars"]

Core = dict[str, int]
"""Microseconds compliant, slots by state, failures in a row, failures and their patterns."""

LOOK_BACK: Final = timedelta(days=10)
"""Before the period; enough for the measured fleet, which has no such long gap."""


@dataclass(frozen=True, slots=True)
class Question:
    """The input of each engine.

    Attributes
    ----------
    jobs : DataFrame
        appliance, outcome (success or failure), start and end (UTC without a zone), text of the
        failure.
    frame : DataFrame
        The same jobs in pandas.
    plans : DataFrame
        appliance, hour, minute, timezone.
    start, end : datetime
        The period, UTC without a zone.
    threshold, early, late : timedelta
        Of the policy.
    """

    jobs: pl.DataFrame
    frame: pd.DataFrame
    plans: pl.DataFrame
    start: datetime
    end: datetime
    threshold: timedelta
    early: timedelta
    late: timedelta


def by_polars(asked: Question) -> Core:
    """Answer with one lazy query for each figure, all run together."""
    jobs = asked.jobs.lazy().filter(pl.col("end") >= asked.start - LOOK_BACK)
    protected, slots, strikes, failures = pl.collect_all(
        [
            _protected(jobs, asked),
            _slots(jobs, asked),
            _strikes(jobs, asked),
            _failures(jobs, asked),
        ]
    )
    states = dict(slots.iter_rows())
    return {
        "compliant": protected.item(),
        **{state: states.get(state, 0) for state in ("met", "rescued", "missed")},
        "strikes": strikes["now"].item(),
        "worst": strikes["worst"].item(),
        "failed": failures["failed"].item(),
        "patterns": failures["patterns"].item(),
    }


def _protected(jobs: pl.LazyFrame, asked: Question) -> pl.LazyFrame:
    """Sum the time in which the newest recovery point was young enough."""
    until = pl.min_horizontal(
        pl.col("end").shift(-1).over("appliance").fill_null(asked.end),
        pl.col("point") + asked.threshold,
        pl.lit(asked.end),
    )
    span = until - pl.max_horizontal("end", pl.lit(asked.start))
    return (
        jobs.filter(pl.col("outcome") == "success")
        .sort("appliance", "end")
        .with_columns(point=pl.col("start").cum_max().over("appliance"))
        .select(span.clip(lower_bound=timedelta(0)).sum().dt.total_microseconds())
    )


def _slots(jobs: pl.LazyFrame, asked: Question) -> pl.LazyFrame:
    """Count the slots by state."""
    slots = _expected(asked)
    attempts = jobs.sort("start").join_asof(
        slots.sort("lower"),
        left_on="start",
        right_on="lower",
        by="appliance",
        check_sortedness=False,
    )
    good = pl.col("outcome") == "success"
    in_time = good & (pl.col("end") <= pl.col("upper"))
    outcomes = (
        attempts.filter(pl.col("start") < pl.col("upper"))
        .sort("appliance", "start")
        .group_by("appliance", "slot")
        .agg(
            first=(in_time & (pl.col("start") <= pl.col("slot") + asked.late)).first(),
            any=in_time.any(),
        )
    )
    state = (
        pl.when("first")
        .then(pl.lit("met"))
        .when("any")
        .then(pl.lit("rescued"))
        .when(pl.col("first").is_null() | (pl.col("upper") <= asked.end))
        .then(pl.lit("missed"))
        .otherwise(pl.lit("pending"))
    )
    return (
        slots.filter((pl.col("slot") >= asked.start) & (pl.col("slot") < asked.end))
        .join(outcomes, on=["appliance", "slot"], how="left")
        .group_by(state=state)
        .len()
    )


def _expected(asked: Question) -> pl.LazyFrame:
    """Return the expected runs, computed for each zone, because a column has one zone."""
    day = timedelta(days=1)
    days = pl.datetime_range(asked.start - day, asked.end + 2 * day, "1d", eager=True)
    wall = pl.col("day").dt.truncate("1d") + pl.duration(hours="hour", minutes="minute")
    each = [
        asked.plans.lazy()
        .filter(pl.col("timezone") == zone)
        .join(pl.LazyFrame({"day": days}), how="cross")
        .select(
            "appliance",
            slot=wall.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
            .dt.convert_time_zone("UTC")
            .dt.replace_time_zone(None),
        )
        for zone in asked.plans["timezone"].unique().sort()
    ]
    slots = pl.concat(each).sort("appliance", "slot")
    lower = pl.col("slot") - asked.early
    return slots.with_columns(lower=lower, upper=lower.shift(-1).over("appliance"))


def _strikes(jobs: pl.LazyFrame, asked: Question) -> pl.LazyFrame:
    """Sum the failures since the last success, and the longest sequences of failures."""
    success = (pl.col("outcome") == "success").cast(pl.Int64)
    return (
        jobs.filter(pl.col("end") <= asked.end)
        .sort("appliance", "end")
        .with_columns(run=success.cum_sum().over("appliance"), failed=1 - success)
        .group_by("appliance", "run")
        .agg(streak=pl.col("failed").sum(), begins=pl.col("end").first())
        .sort("appliance", "run")
        .with_columns(
            reaches=(pl.col("begins").shift(-1).over("appliance") > asked.start).fill_null(True)
        )
        .group_by("appliance")
        .agg(
            now=pl.col("streak").sort_by("run").last(),
            worst=pl.when("reaches").then("streak").otherwise(0).max(),
        )
        .select(pl.col("now").sum(), pl.col("worst").sum())
    )


def _failures(jobs: pl.LazyFrame, asked: Question) -> pl.LazyFrame:
    """Count the failures in the period, and what they are without their numbers."""
    return jobs.filter((pl.col("outcome") == "failure") & (pl.col("end") >= asked.start)).select(
        failed=pl.len(), patterns=pl.col("text").str.replace_all(r"\d+", "#").n_unique()
    )


_SQL = """
with jobs as (
  select * from all_jobs where "end" >= $start - $look_back
), points as (
  select appliance, "end",
    max(start) over (partition by appliance order by "end" rows unbounded preceding) as point,
    lead("end") over (partition by appliance order by "end") as following
  from jobs where outcome = 'success'
), spans as (
  select least(coalesce(following, $end), point + $threshold, $end) - greatest("end", $start) as s
  from points
), protected as (
  select sum(greatest(0, epoch_us(timestamp '2000-01-01' + s) - epoch_us(timestamp '2000-01-01')))
    as compliant from spans
), walls as (
  select appliance, timezone('UTC', timezone(timezone, day + to_hours(hour) + to_minutes(minute)))
    as slot
  from plans, generate_series(date_trunc('day', $start - interval 1 day),
                              date_trunc('day', $end + interval 2 day), interval 1 day) as d(day)
), bounded as (
  select appliance, slot, slot - $early as lower,
    lead(slot - $early) over (partition by appliance order by slot) as upper
  from walls
), attempts as (
  select jobs.*, slot, upper,
    outcome = 'success' and "end" <= upper as in_time
  from jobs asof join bounded
    on jobs.appliance = bounded.appliance and jobs.start >= bounded.lower
  where start < upper
), outcomes as (
  select appliance, slot, arg_min(in_time and start <= slot + $late, start) as first,
    bool_or(in_time) as any_good
  from attempts group by all
), states as (
  select case when first then 'met' when any_good then 'rescued'
    when first is null or upper <= $end then 'missed' else 'pending' end as state
  from bounded left join outcomes using (appliance, slot)
  where slot >= $start and slot < $end
), runs as (
  select appliance, "end", outcome = 'failure' as failed,
    sum((outcome = 'success')::int)
      over (partition by appliance order by "end" rows unbounded preceding) as run
  from jobs where "end" <= $end
), streaks as (
  select appliance, run, sum(failed::int) as streak, min("end") as begins
  from runs group by all
), followed as (
  select *, coalesce(lead(begins) over (partition by appliance order by run) > $start, true)
    as reaches
  from streaks
), in_a_row as (
  select appliance, arg_max(streak, run) as now,
    max(case when reaches then streak else 0 end) as worst
  from followed group by all
), failures as (
  select count(*) as failed, count(distinct regexp_replace(text, '\\d+', '#', 'g')) as patterns
  from jobs where outcome = 'failure' and "end" >= $start
)
select (select compliant from protected),
  (select count(*) from states where state = 'met'),
  (select count(*) from states where state = 'rescued'),
  (select count(*) from states where state = 'missed'),
  (select sum(now) from in_a_row), (select sum(worst) from in_a_row),
  (select failed from failures), (select patterns from failures)
"""


def by_duckdb(asked: Question) -> Core:
    """Answer with one statement."""
    names = ("start", "end", "threshold", "early", "late")
    numbers = {name: getattr(asked, name) for name in names} | {"look_back": LOOK_BACK}
    with duckdb.connect() as connection:
        connection.register("all_jobs", asked.jobs.to_arrow())
        connection.register("plans", asked.plans.to_arrow())
        row = connection.execute(_SQL, numbers).fetchone()
    if row is None:
        raise SystemExit("DuckDB gave no row")
    columns = ("compliant", "met", "rescued", "missed", "strikes", "worst", "failed", "patterns")
    return {name: int(value) for name, value in zip(columns, row, strict=True)}
