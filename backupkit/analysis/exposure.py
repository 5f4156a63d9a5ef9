"""Recovery points, exposure, and the states of each appliance over a period."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import (
    NAT,
    NO_SPAN,
    Codes,
    Flags,
    Spans,
    Times,
    compute_group_cummax,
    find_asof_index,
    find_sort_order,
    from_codes,
    mark_group_starts,
    to_codes,
    to_instant,
    to_spans,
    to_times,
    to_utc_column,
)
from backupkit.analysis.coverage import NO_EXCLUSIONS, Exclusions
from backupkit.analysis.jobs import job_times
from backupkit.tables import INTERVALS, OBSERVED_STATES, STATES

__all__ = [
    "exposure",
    "exposure_at",
    "recovery_points",
    "segments",
    "state_intervals",
    "states_at",
    "time_in_states",
    "worst_exposure",
]

_COMPLIANT, _BREACH, _UNKNOWN, _EXCLUDED, _UNOBSERVED = range(len(STATES))
_ZERO: Final = np.timedelta64(0, "us")


def recovery_points(jobs: pd.DataFrame, *, anchor: str | pd.Series = "start") -> pd.DataFrame:
    """Return the recovery points in the order in which they became available.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.
    anchor : {"start", "end"} or Series of str
        Whether a point has the time of its job's start or end; a Series has one per appliance.

    Returns
    -------
    DataFrame
        appliance, available [UTC] (the job's end) and point [UTC] (the newest data that can be
        restored from then on), sorted by appliance and available.

    Notes
    -----
    A long job that ends after a later, shorter one does not move the point backwards. A success
    without a start has no point with ``anchor="start"``, because its end is too late.

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> night = pd.Timestamp("2026-11-08", tz="UTC")
    >>> hours = [night + pd.Timedelta(hours=h) for h in (1.0, 3.5, 2.0, 2.25)]
    >>> jobs = JOBS.frame(
    ...     {
    ...         "appliance": ["vc-1", "vc-1"],
    ...         "outcome": ["success", "success"],
    ...         "start_time": hours[0::2],
    ...         "end_time": hours[1::2],
    ...     }
    ... )
    >>> [str(point.time()) for point in recovery_points(jobs)["point"]]
    ['02:00:00', '02:00:00']
    """
    start, end = job_times(jobs)
    by_end = (
        anchor.reindex(jobs["appliance"]).eq("end").to_numpy()
        if isinstance(anchor, pd.Series)
        else np.full(len(jobs), anchor == "end")
    )
    point = np.where(by_end, end, start)
    usable = jobs["outcome"].eq("success").to_numpy() & ~np.isnat(end) & ~np.isnat(point)
    rows = np.flatnonzero(usable)
    names = pd.Index(np.sort(jobs["appliance"].unique()), dtype="str")
    codes = to_codes(jobs["appliance"], names)
    rows = rows[find_sort_order(codes[rows], end[rows])]
    return pd.DataFrame(
        {
            "appliance": from_codes(codes[rows], names),
            "available": to_utc_column(end[rows]),
            "point": to_utc_column(compute_group_cummax(codes[rows], point[rows])),
        }
    )


def exposure(
    jobs: pd.DataFrame, *, at: pd.Timestamp, anchor: str | pd.Series = "start"
) -> pd.Series:
    """Compute the age of each appliance's newest recovery point from its jobs.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.
    at : Timestamp
        The instant to measure from, with a time zone. Jobs that end later are ignored.
    anchor : {"start", "end"} or Series of str
        As in `recovery_points`.

    Returns
    -------
    Series of timedelta64
        One value per appliance in `jobs`, by ``appliance``; NaT where no success is known. Never
        below 0, even if the appliance's clock is ahead.

    References
    ----------
    .. [1] docs/sla.md, section 3, "exposure".

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> at = pd.Timestamp("2026-11-09", tz="UTC")
    >>> hours = [at - pd.Timedelta(hours=h) for h in (47, 46, 23, 22)]
    >>> jobs = JOBS.frame(
    ...     {
    ...         "appliance": ["vc-1", "vc-1"],
    ...         "outcome": ["success", "failure"],
    ...         "start_time": hours[0::2],
    ...         "end_time": hours[1::2],
    ...     }
    ... )
    >>> exposure(jobs, at=at)
    appliance
    vc-1   1 days 23:00:00
    Name: exposure, dtype: timedelta64[us]
    """
    index = pd.Index(np.sort(jobs["appliance"].unique()), dtype="str", name="appliance")
    return exposure_at(recovery_points(jobs, anchor=anchor), at=at, appliances=index)


def exposure_at(
    recovery_points: pd.DataFrame, *, at: pd.Timestamp, appliances: pd.Index
) -> pd.Series:
    """Compute the age of each appliance's newest recovery point.

    Parameters
    ----------
    recovery_points : DataFrame
        Result of `recovery_points`.
    at : Timestamp
        The instant to measure from. Points that became available later are ignored.
    appliances : Index of str
        The appliances to report.

    Returns
    -------
    Series of timedelta64
        By appliance, never below 0; NaT without a point.
    """
    all_codes = np.arange(len(appliances), dtype=np.intp)
    moment = np.full(len(appliances), to_instant(at))
    codes = to_codes(recovery_points["appliance"], appliances)
    row = find_asof_index(codes, to_times(recovery_points["available"]), all_codes, moment)
    age = moment - np.append(to_times(recovery_points["point"]), NAT)[row]
    return pd.Series(np.where(age < _ZERO, _ZERO, age), index=appliances, name="exposure")


@dataclass(frozen=True, slots=True)
class _StateInputs:
    """Inputs of the states, as arrays over the appliances and the recovery points."""

    rule_excluded: Flags
    by_evidence: Flags
    threshold: Spans
    since: Times
    known_since: Times
    known_until: Times
    point_codes: Codes
    available: Times
    points: Times
    possible_codes: Codes
    possible_available: Times
    possible_points: Times
    excluded: Exclusions

    @classmethod
    def of(
        cls,
        recovery_points: pd.DataFrame,
        coverage: pd.DataFrame,
        resolved_policy: pd.DataFrame,
        excluded: Exclusions,
        possible: pd.DataFrame | None,
    ) -> "_StateInputs":
        possible = recovery_points[:0] if possible is None else possible
        return cls(
            excluded=excluded,
            rule_excluded=resolved_policy["exclude"].notna().to_numpy(),
            by_evidence=resolved_policy["unknown_mode"].eq("evidence").to_numpy(),
            threshold=to_spans(resolved_policy["threshold"]),
            since=to_times(coverage["since"]),
            known_since=to_times(coverage["known_since"]),
            known_until=to_times(coverage["known_until"]),
            point_codes=to_codes(recovery_points["appliance"], resolved_policy.index),
            available=to_times(recovery_points["available"]),
            points=to_times(recovery_points["point"]),
            possible_codes=to_codes(possible["appliance"], resolved_policy.index),
            possible_available=to_times(possible["available"]),
            possible_points=to_times(possible["point"]),
        )

    def states(
        self, codes: Codes, times: Times, *, end: np.datetime64, right_limit: bool
    ) -> tuple[Codes, Times]:
        """Return the state and the recovery point in force at each (appliance, time).

        With `right_limit`, return the state right after the time. It differs where an age is
        exactly the threshold.
        """
        within = np.less if right_limit else np.less_equal
        row = find_asof_index(self.point_codes, self.available, codes, times)
        point = np.append(self.points, NAT)[row]  # position -1, no point, reads NaT
        row = find_asof_index(self.possible_codes, self.possible_available, codes, times)
        possible = np.append(self.possible_points, NAT)[row]
        threshold = self.threshold[codes]
        compliant = within(times - point, threshold)
        undecided = within(times - possible, threshold)
        onboarding = (
            np.isnat(point)
            & np.isnat(possible)
            & within(times - self.known_since[codes], threshold)
        )
        state = np.select(
            [compliant, undecided, onboarding], [_COMPLIANT, _UNKNOWN, _EXCLUDED], default=_BREACH
        )
        until = self.known_until[codes]
        stale = np.isnat(until) | ((times >= until) & (end > until))
        carried = self.by_evidence[codes] & compliant & ~np.isnat(until)
        state[stale & ~carried] = _UNKNOWN
        since = self.since[codes]
        state[np.isnat(since) | (times < since)] = _UNOBSERVED
        state[self.is_excluded(codes, times)] = _EXCLUDED
        return state, point

    def is_excluded(self, codes: Codes, times: Times) -> Flags:
        """Return where a rule or a dated exclusion excludes the appliance."""
        by_rule: Flags = self.rule_excluded[codes]
        return by_rule | self.excluded.contains(codes, times)


def states_at(
    recovery_points: pd.DataFrame,
    coverage: pd.DataFrame,
    resolved_policy: pd.DataFrame,
    *,
    at: pd.Timestamp,
    excluded: Exclusions = NO_EXCLUSIONS,
    possible: pd.DataFrame | None = None,
) -> pd.Series:
    """Return the state of each appliance at one instant.

    Parameters
    ----------
    recovery_points : DataFrame
        Result of `recovery_points`.
    coverage : DataFrame
        Result of `backupkit.analysis.coverage`.
    resolved_policy : DataFrame
        Result of `Policy.rules`, with the same index.
    at : Timestamp
        The instant. It is known if it is not after known_until.
    excluded : Exclusions
        The dated exclusions.
    possible : DataFrame, optional
        Result of `possible_recovery_points`: of the jobs that may or may not have succeeded.

    Returns
    -------
    Series of str
        compliant, breach, unknown, excluded or unobserved, by appliance.

    Notes
    -----
    The first that holds: excluded by a rule; unobserved before ``since``; unknown after known_until
    (with ``unknown_mode="evidence"`` only once the last recovery point is too old); compliant up
    to an exposure of exactly the threshold; unknown if it were compliant with the possible recovery
    points; excluded as onboarding, while there is no success and no possible one yet and the
    appliance is known for no longer than the threshold; else breach.

    References
    ----------
    .. [1] docs/sla.md, section 3, "States".
    """
    all_codes = np.arange(len(resolved_policy), dtype=np.intp)
    moment = to_instant(at)
    inputs = _StateInputs.of(recovery_points, coverage, resolved_policy, excluded, possible)
    state, _ = inputs.states(
        all_codes, np.full(len(resolved_policy), moment), end=moment, right_limit=False
    )
    return from_codes(state, STATES).set_axis(resolved_policy.index).rename("state")


def segments(
    recovery_points: pd.DataFrame,
    coverage: pd.DataFrame,
    resolved_policy: pd.DataFrame,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    excluded: Exclusions = NO_EXCLUSIONS,
    possible: pd.DataFrame | None = None,
    period_end: pd.Timestamp | None = None,
) -> pd.DataFrame:
    """Split the period into segments in which nothing changes for an appliance.

    Parameters
    ----------
    recovery_points, coverage, resolved_policy : DataFrame
        As in `states_at`.
    start, end : Timestamp
        The time to split, half-open.
    excluded : Exclusions
        The dated exclusions.
    possible : DataFrame, optional
        As in `states_at`.
    period_end : Timestamp, optional
        The end of the whole period, if `start` to `end` is only a part with its own rules.

    Returns
    -------
    DataFrame
        appliance, state, start, end [UTC], point [UTC] (the recovery point in force) and
        excluded_by_rule, sorted by appliance and start: a partition of the time. State,
        recovery point and threshold are constant within a segment.
    """
    inputs = _StateInputs.of(recovery_points, coverage, resolved_policy, excluded, possible)
    first, last = to_instant(start), to_instant(end)
    all_codes = np.arange(len(resolved_policy), dtype=np.intp)
    cuts = [
        (inputs.point_codes, inputs.available),
        (inputs.point_codes, inputs.points + inputs.threshold[inputs.point_codes]),
        (inputs.possible_codes, inputs.possible_available),
        (inputs.possible_codes, inputs.possible_points + inputs.threshold[inputs.possible_codes]),
        (all_codes, inputs.since),
        (all_codes, inputs.known_since + inputs.threshold),
        (all_codes, inputs.known_until),
        (excluded.codes, excluded.starts),
        (excluded.codes, excluded.ends),
    ]
    inside = [((times > first) & (times < last)) for _, times in cuts]
    codes = np.concatenate([all_codes, *(c[i] for (c, _), i in zip(cuts, inside, strict=True))])
    begins = np.concatenate(
        [
            np.full(len(resolved_policy), first),
            *(t[i] for (_, t), i in zip(cuts, inside, strict=True)),
        ]
    )
    order = find_sort_order(codes, begins)
    codes, begins = codes[order], begins[order]
    kept = mark_group_starts(codes, begins)
    codes, begins = codes[kept], begins[kept]
    ends = np.full(len(codes), last)
    ends[:-1] = np.where(codes[1:] == codes[:-1], begins[1:], last)
    horizon = last if period_end is None else to_instant(period_end)
    state, point = inputs.states(codes, begins, end=horizon, right_limit=True)
    return pd.DataFrame(
        {
            "appliance": from_codes(codes, resolved_policy.index),
            "state": from_codes(state, STATES),
            "start": to_utc_column(begins),
            "end": to_utc_column(ends),
            "point": to_utc_column(point),
            "excluded_by_rule": inputs.is_excluded(codes, begins),
        }
    )


def state_intervals(segments: pd.DataFrame) -> pd.DataFrame:
    """Merge neighbouring segments with the same state.

    Parameters
    ----------
    segments : DataFrame
        Result of `segments`.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.INTERVALS`: a partition of the period for each appliance.
    """
    begins = (segments["appliance"] != segments["appliance"].shift()) | (
        segments["state"] != segments["state"].shift()
    )
    joined = segments[begins]
    last = begins.shift(-1, fill_value=True)
    ends = segments["end"][last.to_numpy()].reset_index(drop=True)
    return INTERVALS.conform(joined.reset_index(drop=True).assign(end=ends))


def time_in_states(segments: pd.DataFrame, *, appliances: pd.Index) -> pd.DataFrame:
    """Sum the time of each appliance in each state.

    Parameters
    ----------
    segments : DataFrame
        Result of `segments`.
    appliances : Index of str
        The appliances to report.

    Returns
    -------
    DataFrame
        By appliance, a timedelta64 column for each of `backupkit.tables.STATES`; a row adds up to
        the period.
    """
    codes = to_codes(segments["appliance"], appliances)
    states = to_codes(segments["state"], pd.Index(STATES))
    spent = np.zeros(len(appliances) * len(STATES), dtype=np.int64)  # faster than timedelta64
    length = to_times(segments["end"]) - to_times(segments["start"])
    np.add.at(spent, codes * len(STATES) + states, length.view(np.int64))
    table = spent.view("timedelta64[us]").reshape(len(appliances), len(STATES))
    return pd.DataFrame(table, index=appliances, columns=list(STATES))


def worst_exposure(segments: pd.DataFrame, *, appliances: pd.Index) -> pd.Series:
    """Find the largest exposure in the observed part of the period.

    Parameters
    ----------
    segments : DataFrame
        Result of `segments`.
    appliances : Index of str
        The appliances to report.

    Returns
    -------
    Series of timedelta64
        By appliance; NaT where no recovery point was known.
    """
    observed = segments[segments["state"].isin(OBSERVED_STATES)]
    codes = to_codes(observed["appliance"], appliances)
    age = to_times(observed["end"]) - to_times(observed["point"])
    worst = np.full(len(appliances), NO_SPAN)
    np.fmax.at(worst, codes, np.where(age < _ZERO, _ZERO, age))
    return pd.Series(worst, index=appliances, name="worst_exposure")
