"""The way from what is known to an assessment: each fact is computed once, in one place."""

from datetime import timedelta
from typing import Final, Protocol

import pandas as pd

from backupkit import analysis
from backupkit.assessment.judging import Times, judge
from backupkit.assessment.result import Assessment
from backupkit.errors import SettingsError
from backupkit.policy import Policy
from backupkit.settings import Instant, parse_duration, parse_instant
from backupkit.tables import JOBS, POLLS, SCHEDULES, Known

__all__ = ["evaluate", "evaluate_frames"]

_PERIOD: Final = timedelta(days=30)
_EARLIEST: Final = pd.Timestamp("1980-01-01", tz="UTC")


class _History(Protocol):
    """Frames as they were known at an instant, such as `backupkit.History` gives."""

    def known(self, *, at: Instant | None = None) -> Known: ...


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
    as_if: bool = False,
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
    as_if : bool
        Judge all of the past by the policy of `now`, as if it had always held. By default each
        moment is judged by the policy of its time.

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
    known = source.known(at=None if now is None else moment) if hasattr(source, "known") else source
    return evaluate_frames(
        known.jobs,
        known.polls,
        known.schedules,
        policy,
        start=begin,
        end=until,
        now=moment,
        as_if=as_if,
    )


def evaluate_frames(
    jobs: pd.DataFrame,
    polls: pd.DataFrame,
    schedules: pd.DataFrame,
    policy: Policy,
    *,
    start: Instant,
    end: Instant,
    now: Instant,
    as_if: bool = False,
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
    as_if : bool
        As in `evaluate`.

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
    their jobs, but are in no ratio, no incident and no failure signature. In time excluded by a
    date slots do not count, and failures begin no incident; a success there is a recovery point.

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
    known = Known(known_jobs, known_polls, known_schedules)
    return judge(known, policy, in_data, Times(begin, until, moment), as_if=as_if)
