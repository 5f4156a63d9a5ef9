"""The way from what is known to an assessment: each fact is computed once, in one place."""

from datetime import timedelta
from typing import Final, Protocol

import pandas as pd

from backupkit import analysis
from backupkit.assessment.result import Assessment, Verdict
from backupkit.errors import SettingsError
from backupkit.policy import Policy
from backupkit.settings import Instant, parse_duration, parse_instant
from backupkit.tables import (
    APPLIANCES,
    ASSESSED_JOBS,
    COVERAGE,
    JOBS,
    POLLS,
    SCHEDULES,
    SLOTS,
    STATES,
)

__all__ = ["evaluate", "evaluate_frames"]

_PERIOD: Final = timedelta(days=30)
_WORST_FIRST: Final = ("breach", "unknown", "unobserved", "compliant", "excluded")
_LOOK_BACK: Final = pd.Timedelta(days=1_000)  # expected runs before that change no figure
_AFTER: Final = pd.Timedelta(minutes=10)  # a job may start a little before the run it is
_EARLIEST: Final = pd.Timestamp("1980-01-01", tz="UTC")
_DAY: Final = pd.Timedelta(days=1)


class _History(Protocol):
    """Frames as they were known at an instant, such as `backupkit.History` gives."""

    def jobs(self, *, at: Instant | None = None) -> pd.DataFrame: ...
    def polls(self, *, at: Instant | None = None) -> pd.DataFrame: ...
    def schedules(self, *, at: Instant | None = None) -> pd.DataFrame: ...


class _Snapshot(Protocol):
    """Frames of one round, such as `backupkit.collect` gives."""

    @property
    def jobs(self) -> pd.DataFrame: ...
    @property
    def polls(self) -> pd.DataFrame: ...
    @property
    def schedules(self) -> pd.DataFrame: ...


def evaluate(
    source: _History | _Snapshot,
    policy: Policy,
    *,
    start: Instant | None = None,
    end: Instant | None = None,
    now: Instant | None = None,
    last: str | timedelta | None = None,
) -> Assessment:
    """Judge a fleet over a period.

    Parameters
    ----------
    source : History or Snapshot
        What is known. Of a history only what was known at `now`, if that is given.
    policy : Policy
        The numbers to judge by, and which appliances there are.
    start, end : datetime or str, optional
        The period, half-open: aware datetimes, or ISO 8601 text with its zone. The end is `now` by
        default and never later, the start 30 days before the end.
    now : datetime or str, optional
        The moment of the judgement; by default the current time.
    last : str or timedelta, optional
        The length of the period, such as ``"7d"``, instead of `start`.

    Returns
    -------
    Assessment
        All facts.

    Raises
    ------
    SettingsError
        If a time has no zone, both `start` and `last` are given, or the period is empty.
    """
    if start is not None and last is not None:
        raise SettingsError("start and last exclude each other: give one of them.")
    moment = pd.Timestamp.now("UTC") if now is None else parse_instant(now, where="now")
    until = min(moment, moment if end is None else parse_instant(end, where="end"))
    if start is None:
        length = _PERIOD if last is None else last
        begin = until - (
            parse_duration(length, where="last") if isinstance(length, str) else length
        )
    else:
        begin = parse_instant(start, where="start")
    if callable(source.jobs):
        at = None if now is None else moment
        frames = source.jobs(at=at), source.polls(at=at), source.schedules(at=at)
    else:
        frames = source.jobs, source.polls, source.schedules
    return evaluate_frames(*frames, policy, start=begin, end=until, now=moment)


def evaluate_frames(
    jobs: pd.DataFrame,
    polls: pd.DataFrame,
    schedules: pd.DataFrame,
    policy: Policy,
    *,
    start: Instant,
    end: Instant,
    now: Instant,
) -> Assessment:
    """Judge a fleet by frames: the pure core of `evaluate`.

    Parameters
    ----------
    jobs, polls, schedules : DataFrame
        Of `backupkit.tables.JOBS`, ``POLLS`` and ``SCHEDULES``, in any order; not changed.
    policy : Policy
        The numbers to judge by, and which appliances there are.
    start, end : datetime or str
        The period, half-open; the end is cut to `now`.
    now : datetime or str
        The moment of the judgement. Visits, schedules and jobs first seen later are left out.

    Returns
    -------
    Assessment
        All facts.

    Raises
    ------
    SettingsError
        If a time has no zone, or the period is empty or begins before 1980.
    TableError
        If a frame is not of its table.

    Notes
    -----
    States are told as at the period's end. Expected runs are judged by all that is known at
    `now`, so that the period's last night is not cut off. Appliances excluded by a rule keep
    their jobs, but are in no ratio, no incident and no failure signature.

    References
    ----------
    .. [1] sla.md, sections 3 to 6.
    """
    moment = parse_instant(now, where="now")
    begin, until = parse_instant(start, where="start"), parse_instant(end, where="end")
    until = min(until, moment)
    if not _EARLIEST <= begin < until:
        raise SettingsError(
            f"start: the period must begin in 1980 or later and before its end, got {begin} to "
            f"{until}; for example: start 2026-11-02T00:00:00Z, end 2026-11-09T00:00:00Z."
        )
    first_seen = JOBS.check(jobs)["first_seen_at"]
    known_jobs = analysis.distinct_jobs(jobs[first_seen.isna() | (first_seen <= moment)])
    known_polls = polls[POLLS.check(polls)["polled_at"] <= moment]
    seen_at = SCHEDULES.check(schedules)["seen_at"]
    known_schedules = schedules[seen_at.isna() | (seen_at <= moment)]
    in_data = {
        name
        for frame in (known_jobs, known_polls, known_schedules)
        for name in frame["appliance"].unique()
    }
    rules = policy.rules(in_data)
    return _judge(known_jobs, known_polls, known_schedules, policy, rules, (begin, until, moment))


def _judge(
    own_jobs: pd.DataFrame,
    polls: pd.DataFrame,
    schedules: pd.DataFrame,
    policy: Policy,
    rules: pd.DataFrame,
    times: tuple[pd.Timestamp, pd.Timestamp, pd.Timestamp],
) -> Assessment:
    start, end, now = times
    visited = analysis.visits(polls, appliances=rules.index)
    corrections = analysis.clock_corrections(visited["clock_skew"])
    jobs = analysis.on_our_clock(own_jobs, corrections)
    known = analysis.knowledge(jobs, visited, rules, start=start)

    points = analysis.recovery_points(jobs, anchor=rules["anchor"])
    pieces = analysis.segments(points, known, rules, start=start, end=end)

    expected = analysis.expected_runs(
        schedules,
        fallback=rules["timezone"],
        since=_expect_since(jobs, known, start),
        end=end + _AFTER,
        corrections=corrections,
    )
    jobs = analysis.infer_types(jobs, expected)
    due = expected[expected["slot"] < end].reset_index(drop=True)
    judged = analysis.judge_slots(jobs, due, known, rules, now=now)
    slots = SLOTS.conform(judged[judged["slot"] >= start])

    scoped_jobs, scoped_slots = _scoped(jobs, rules), _scoped(judged, rules)
    incidents = analysis.incidents(scoped_jobs, scoped_slots, start=start, end=end)

    current = analysis.current_schedules(schedules, at=end)
    facts = pd.concat(
        [
            rules,
            visited,
            known,
            analysis.states_at(points, known, rules, at=end),
            _exposures(jobs, rules, known, end),
            analysis.last_attempts(jobs, at=end, appliances=rules.index),
            analysis.time_in_states(pieces, appliances=rules.index),
            analysis.worst_exposure(pieces, appliances=rules.index),
            analysis.attempt_counts(jobs, start=start, end=end, appliances=rules.index),
            analysis.slot_counts(slots, appliances=rules.index),
            analysis.strikes(jobs, start=start, end=end, appliances=rules.index),
            analysis.incident_figures(incidents, pieces, appliances=rules.index),
        ],
        axis="columns",
    )
    facts = facts.join(analysis.ratios(facts))
    signatures = analysis.failure_signatures(own_jobs)
    failed = _failing(jobs, signatures["text"], facts["last_success_end"], end)
    facts["reason"] = analysis.reasons(facts, failed, current, end=end)
    ordered = facts.iloc[_worst_first(facts)]
    assessed = own_jobs.assign(
        type=jobs["type"], type_inferred=jobs["type_inferred"], signature=signatures["signature"]
    )
    numbers = facts["state"].value_counts()
    return Assessment(
        start=start,
        end=end,
        now=now,
        policy=policy,
        verdict=Verdict(**{state: int(numbers.get(state, 0)) for state in STATES}),
        fleet=analysis.fleet_metrics(facts[facts["exclude"].isna()]),
        appliances=APPLIANCES.conform(ordered),
        intervals=analysis.state_intervals(pieces),
        slots=slots,
        incidents=incidents,
        failures=analysis.failures(scoped_jobs, signatures, start=start, end=end),
        coverage=_coverage(ordered, current, own_jobs),
        jobs=ASSESSED_JOBS.conform(assessed),
        schedules=SCHEDULES.conform(current),
    )


def _scoped(frame: pd.DataFrame, rules: pd.DataFrame) -> pd.DataFrame:
    """Drop the rows of appliances that a rule excludes."""
    excluded = rules.index[rules["exclude"].notna()]
    return frame[~frame["appliance"].isin(excluded)]


def _expect_since(jobs: pd.DataFrame, known: pd.DataFrame, start: pd.Timestamp) -> pd.Series:
    """Say from when to list expected runs.

    The period's start is not enough: an incident open then began after the last success before it,
    and the type of an older job may have to be worked out.
    """
    before = jobs[(jobs["outcome"] == "success") & (jobs["end_time"] <= start)]
    success = before.groupby("appliance")["end_time"].max().reindex(known.index)
    untyped = jobs[jobs["type"].isna()].groupby("appliance")["start_time"].min()
    limit = pd.Series(start - _LOOK_BACK, index=known.index)
    wanted = pd.concat([success.fillna(limit), untyped.reindex(known.index)], axis="columns")
    earliest = pd.concat([wanted.min(axis="columns") - _DAY, limit], axis="columns")
    since = pd.concat([known["since"], earliest.max(axis="columns")], axis="columns")
    return since.max(axis="columns").where(known["since"].notna())


def _exposures(
    jobs: pd.DataFrame, rules: pd.DataFrame, known: pd.DataFrame, end: pd.Timestamp
) -> pd.DataFrame:
    """Give what each appliance would lose at the end, and its newest success."""
    _, done = analysis.job_times(jobs)
    finished = pd.Series(done, index=jobs.index).dt.tz_localize("UTC")
    good = jobs.assign(done=finished)[(jobs["outcome"] == "success") & (finished <= end)]
    newest = good.groupby("appliance")[["start_time", "done"]].max().reindex(rules.index)
    exposure = analysis.exposure(jobs, at=end, anchor=rules["anchor"]).reindex(rules.index)
    lower_bound = (end - known["known_since"]).where(newest["done"].isna())
    return pd.DataFrame(
        {
            "exposure": exposure,
            "exposure_at_least": lower_bound.where(known["known_since"] <= end),
            "last_success": newest["start_time"],
            "last_success_end": newest["done"],
        }
    )


def _failing(
    jobs: pd.DataFrame, text: pd.Series, last_success: pd.Series, end: pd.Timestamp
) -> pd.DataFrame:
    """Give for each appliance that fails now its newest failure's text and since when it fails."""
    _, done = analysis.job_times(jobs)
    failures = jobs[["appliance"]].assign(
        text=text,
        done=pd.Series(done, index=jobs.index).dt.tz_localize("UTC"),
        success=last_success.reindex(jobs["appliance"]).set_axis(jobs.index),
    )[jobs["outcome"] == "failure"]
    after = failures["success"].isna() | (failures["done"] > failures["success"])
    row = failures[after & (failures["done"] <= end)].sort_values("done", kind="stable")
    newest = row.drop_duplicates("appliance", keep="last").set_index("appliance")["text"]
    return pd.DataFrame({"text": newest, "since": row.groupby("appliance")["done"].min()})


def _worst_first(facts: pd.DataFrame) -> pd.Series:
    """Give the positions in the order in which a person should read them."""
    rank = facts["state"].map({state: rank for rank, state in enumerate(_WORST_FIRST)})
    age = facts["exposure"].fillna(facts["exposure_at_least"]).fillna(pd.Timedelta(0))
    order = pd.DataFrame({"rank": rank, "age": -age}).reset_index()
    return order.sort_values(["rank", "age", "appliance"], kind="stable").index.to_series()


def _coverage(facts: pd.DataFrame, current: pd.DataFrame, jobs: pd.DataFrame) -> pd.DataFrame:
    """Tell what the judgement of each appliance rests on."""
    zones = analysis.schedule_zones(current, fallback=facts["timezone"])
    zones = zones.assign(appliance=current["appliance"]).drop_duplicates("appliance")
    zones = zones.set_index("appliance").reindex(facts.index)
    told = facts.drop(columns="timezone").assign(
        timezone=zones["zone"],
        timezone_source=zones["source"],
        jobs=jobs["appliance"].value_counts().reindex(facts.index, fill_value=0),
    )
    return COVERAGE.conform(told.join(analysis.coverage_ratio(facts)))
