"""Evaluation of a history, a snapshot or frames."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

import pandas as pd

from backupkit import analysis
from backupkit.assessment.context import EvaluationContext, Period
from backupkit.assessment.partial import PartialAssessment
from backupkit.assessment.result import Assessment
from backupkit.policy import Policy
from backupkit.settings import Instant, time_zone
from backupkit.tables import JOBS, POLLS, SCHEDULES, TOTALS, HistoryView

__all__ = ["as_of", "evaluate", "evaluate_frames", "list_appliances"]


class _History(Protocol):
    """A source of the data known at an instant, such as `backupkit.History`.

    With a period, it may leave out what `backupkit.analysis.restrict_to_period` drops.
    """

    def view(
        self,
        *,
        at: Instant | None = None,
        appliances: Iterable[str] | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        now: Instant | None = None,
        hosts: Mapping[str, str] | None = None,
    ) -> HistoryView: ...


class _Snapshot(Protocol):
    """Frames of one collection, such as the result of `backupkit.collect`."""

    @property
    def jobs(self) -> pd.DataFrame: ...
    @property
    def polls(self) -> pd.DataFrame: ...
    @property
    def schedules(self) -> pd.DataFrame: ...


def evaluate(  # noqa: PLR0913 # one parameter per way to give a period
    source: _History | _Snapshot,
    policy: Policy,
    *,
    appliances: Iterable[str] | None = None,
    start: Instant | None = None,
    end: Instant | None = None,
    now: Instant | None = None,
    last: str | timedelta | None = None,
    month: str | None = None,
    quarter: str | None = None,
    timezone: str | None = None,
    as_if: bool = False,
) -> Assessment:
    """Evaluate a fleet over a period.

    Parameters
    ----------
    source : History or Snapshot
        The data. From a history, only what was known at `now`, if that is given.
    policy : Policy
        The policy and its appliances.
    appliances : iterable of str, optional
        Only these appliances; default: those of the policy and of the data.
    start, end : datetime or str, optional
        The period, half-open: aware datetimes, or ISO 8601 text. The end is `now` by default and
        never later. By default, the start is 30 days before the end.
    now : datetime or str, optional
        The time of the assessment; by default the current time.
    last : str or timedelta, optional
        The length of the period, such as ``"7d"``, instead of `start`.
    month, quarter : str, optional
        A calendar period instead: ``"2026-03"``, ``"2026-Q1"``, or ``"last"``, the newest one that
        is over.
    timezone : str, optional
        IANA time zone of months, quarters and texts without a zone. Default: `report_timezone` of
        the policy.
    as_if : bool
        Apply the policy of `now` to all of the past. By default, the policy of its time applies
        to each moment.

    Returns
    -------
    Assessment
        Both verdicts (``period_verdict``, ``verdict``), and the frames behind them: ``fleet``,
        ``groups``, ``appliances``, ``intervals``, ``slots``, ``incidents``, ``failures``,
        ``clusters``, ``baselines``, ``anomalies``, ``loads``, ``lint``, ``inventory``,
        ``coverage``, ``jobs`` and ``schedules``. Each is computed when it is first asked for.
        ``help(bk.Assessment)`` describes them; `backupkit.tables` has their columns.

    Raises
    ------
    SettingsError
        If options exclude each other, a time cannot be parsed, or the period is empty.
    """
    zone = time_zone(timezone or policy.report_timezone, where="timezone").key
    period = Period.from_options(
        start=start, end=end, now=now, last=last, month=month, quarter=quarter, zone=zone
    )
    at = None if now is None else period.now
    names = None if appliances is None else frozenset(appliances)
    fleet_hosts = policy.fleet_hosts
    if names is not None:
        members = tuple(one for one in policy.members if one.appliance in names)
        policy = replace(policy, members=members)
    if hasattr(source, "view"):
        query: dict[str, Any] = {"start": period.start, "end": period.end, "now": period.now}
        if names is not None:
            query["appliances"] = names
        data = source.view(at=at, **query, hosts=policy.hosts)
    else:
        data = (
            source
            if isinstance(source, HistoryView)
            else HistoryView(source.jobs, source.polls, source.schedules)
        )
        data = data if names is None else data.only(names)
    return _evaluate(
        data, policy, period, as_if=as_if, is_selection=names is not None, fleet_hosts=fleet_hosts
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
    """Evaluate a fleet from frames: the pure core of `evaluate`.

    Parameters
    ----------
    jobs, polls, schedules : DataFrame
        Of `backupkit.tables.JOBS`, ``POLLS`` and ``SCHEDULES``, in any order; not changed.
    policy : Policy
        The policy and its appliances.
    start, end : datetime or str
        The period, half-open; the end is cut to `now`.
    now : datetime or str
        The time of the assessment. Polls, schedules and jobs first seen later are ignored.
    as_if : bool
        As in `evaluate`.

    Returns
    -------
    Assessment
        As that of `evaluate`: both verdicts, and the frames behind them.

    Raises
    ------
    SettingsError
        If a time has no zone, or the period is empty or begins before 1980.
    TableError
        If a frame is not of its table.

    Notes
    -----
    States are those at the period's end. Slots are judged by everything known at `now`, so that
    the last night of the period is complete. Appliances excluded by a rule keep their jobs, but
    are in no ratio, no incident and no failure signature. During a dated exclusion, slots do not
    count and failures begin no incident. A success in that time is still a recovery point.

    References
    ----------
    .. [1] docs/sla.md, sections 3 to 6.
    """
    period = Period.from_times(start=start, end=end, now=now, zone=policy.report_timezone)
    return _evaluate(HistoryView(jobs, polls, schedules), policy, period, as_if=as_if)


def _evaluate(
    data: HistoryView,
    policy: Policy,
    period: Period,
    *,
    as_if: bool,
    is_selection: bool = False,
    fleet_hosts: Mapping[str, str | None] | None = None,
) -> Assessment:
    """Evaluate a period from the rows that its figures need; `fleet_hosts`: of all fleet.toml."""
    data = as_of(data, period.now)
    version = analysis.data_fingerprint(data.polls) if data.version is None else data.version
    needed = analysis.restrict_to_period(
        data, start=period.start, end=period.end, now=period.now, hosts=policy.hosts
    )
    context = EvaluationContext.of(policy, list_appliances(needed), period, as_if=as_if)
    context = replace(
        context,
        is_selection=is_selection,
        domain_nodes=data.domain_nodes,
        fleet_hosts=fleet_hosts or {},
    )
    return Assessment(context=context, parts=[PartialAssessment(needed, context)], version=version)


def list_appliances(data: HistoryView) -> set[str]:
    """Return the names of the appliances in the data."""
    frames = (data.jobs, data.polls, data.schedules)
    names = {str(name) for frame in frames for name in frame["appliance"].unique()}
    return names if data.totals is None else names.union(data.totals.index)


def as_of(data: HistoryView, moment: pd.Timestamp) -> HistoryView:
    """Return the data known at a moment, each job once.

    Totals, if present, must be those of the moment. Raises `TableError` if a frame is not of its
    table.
    """
    first_seen = JOBS.check(data.jobs)["first_seen_at"]
    seen_at = SCHEDULES.check(data.schedules)["seen_at"]
    if data.totals is not None:
        TOTALS.check(data.totals)
    return replace(
        data,
        jobs=analysis.deduplicate_jobs(data.jobs[first_seen.isna() | (first_seen <= moment)]),
        polls=data.polls[POLLS.check(data.polls)["polled_at"] <= moment],
        schedules=data.schedules[seen_at.isna() | (seen_at <= moment)],
    )
