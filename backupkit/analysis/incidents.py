"""Incidents: the time from a failure or an overdue slot to the next success."""

from typing import Final

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import (
    NAT,
    Codes,
    Flags,
    Spans,
    Times,
    build_tie_break_keys,
    find_asof_index,
    find_sort_order,
    from_codes,
    to_codes,
    to_instant,
    to_times,
    to_utc_column,
)
from backupkit.analysis.jobs import job_times
from backupkit.tables import INCIDENTS, OBSERVED_STATES
from backupkit.tables.incident_ids import format_incident_id

__all__ = ["cut_incidents", "incident_figures", "incidents", "mean_restore_time", "observed_time"]

_ZERO: Final = np.timedelta64(0, "us")
_SUCCESS, _FAILED, _OVERDUE = range(3)


def incidents(
    jobs: pd.DataFrame,
    slots: pd.DataFrame,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    known_until: pd.Series,
) -> pd.DataFrame:
    """Find the incidents that overlap the period.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once, corrected for clock skew.
    slots : DataFrame
        Result of `judge_slots`, from before the last success ahead of the period on; reads
        ``overdue`` [UTC].
    start, end : Timestamp
        The period, half-open.
    known_until : Series of datetime64
        The known_until of each appliance [UTC].

    Returns
    -------
    DataFrame
        Of `backupkit.tables.INCIDENTS`, sorted by appliance and onset.

    Notes
    -----
    An incident begins at the end of the first failed job after a success, or when the first slot
    is overdue. It ends at the end of the next success of any type. A failure at the same instant
    as a success comes before it. An incident that is open at the period's end has no recovery. Its
    duration is a lower bound, up to the end, or to known_until if that is earlier.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 15, and section 5, "censored intervals".
    """
    index = pd.Index(np.sort(jobs["appliance"].unique()), dtype="str")
    index = index.union(pd.Index(slots["appliance"].unique(), dtype="str"))
    first, last = to_instant(start), to_instant(end)
    codes, times, kinds = _list_events(jobs, slots, index, last)
    problem = kinds != _SUCCESS
    onset = problem.copy()
    onset[1:] &= ~((codes[1:] == codes[:-1]) & problem[:-1])
    begins = np.flatnonzero(onset)
    recovered = _find_next_success(codes, problem)[begins]
    recovery = np.append(times, NAT)[recovered]
    touches = (times[begins] < last) & ~(recovery <= first)
    begins, recovery = begins[touches], recovery[touches]
    is_open = np.isnat(recovery)
    onsets = times[begins]
    seen = to_times(known_until.reindex(index))[codes[begins]]
    until = np.maximum(np.fmin(last, seen), onsets)
    owners = from_codes(codes[begins], index)
    began = to_utc_column(onsets)
    return INCIDENTS.frame(
        {
            "appliance": owners,
            "incident": pd.Series(map(format_incident_id, owners, began), dtype="str"),
            "onset": began,
            "recovery": to_utc_column(recovery),
            "duration": pd.Series(np.where(is_open, until, recovery) - onsets),
            "open": pd.Series(is_open),
            "kind": pd.Series(np.where(kinds[begins] == _FAILED, "failed", "norun"), dtype="str"),
            "carried_over": pd.Series(onsets < first),
        }
    )


def _list_events(
    jobs: pd.DataFrame,
    slots: pd.DataFrame,
    index: pd.Index,
    last: np.datetime64,
) -> tuple[Codes, Times, Codes]:
    """Return appliance, time and kind of the events up to `last`, sorted."""
    _, ended_at = job_times(jobs)
    overdue = to_times(slots["overdue"])
    times = np.concatenate([ended_at, overdue])
    codes = np.concatenate(
        [to_codes(jobs["appliance"], index), to_codes(slots["appliance"], index)]
    )
    job_kinds = np.where(jobs["outcome"].eq("success").to_numpy(), _SUCCESS, _FAILED)
    kinds = np.concatenate([job_kinds, np.full(len(overdue), _OVERDUE)]).astype(np.intp)
    happened = times <= last
    times, codes, kinds = times[happened], codes[happened], kinds[happened]
    # at the same instant: failure, overdue slot, success
    order = find_sort_order(
        codes,
        build_tie_break_keys(kinds == _OVERDUE, build_tie_break_keys(kinds == _SUCCESS, times)),
    )
    return codes[order], times[order], kinds[order]


def _find_next_success(codes: Codes, problem: Flags) -> Codes:
    """Return the position of the appliance's next success for each event, -1 if none."""
    size = len(codes)
    position = np.where(problem, size, np.arange(size))
    following = np.minimum.accumulate(position[::-1])[::-1] if size else position
    exists = following < size
    exists[exists] = codes[following[exists]] == codes[exists]
    return np.where(exists, following, -1)


def incident_figures(
    incidents: pd.DataFrame,
    segments: pd.DataFrame,
    *,
    appliances: pd.Index,
) -> pd.DataFrame:
    """Compute the mean times of each appliance's incidents.

    Parameters
    ----------
    incidents : DataFrame
        Result of `incidents`.
    segments : DataFrame
        Result of `segments`; compliant, in breach and onboarding time is observed.
    appliances : Index of str
        The appliances to report.

    Returns
    -------
    DataFrame
        By appliance: incidents (with their onset in the period), incidents_closed (those that
        ended), incident_since [UTC] (onset of the open one), and timedelta64: restore_time (sum of
        the closed ones), incident_free (observed time outside all incidents), mttr and mtbf.

    Notes
    -----
    mttr is the mean of the closed incidents with their onset in the period, without open ones.
    mtbf is the observed time outside all incidents, divided by the incidents with their onset in
    the period, including open ones. Without any it is missing, not infinite.

    References
    ----------
    .. [1] docs/sla.md, section 4, numbers 16 and 17.
    """
    new = _select_new(incidents)
    durations = _select_closed(incidents).groupby("appliance")["duration"]
    still_open = incidents["open"].astype("bool")
    figures = pd.DataFrame(index=appliances)
    figures["incidents"] = new["appliance"].value_counts().reindex(appliances, fill_value=0)
    figures["incident_since"] = incidents[still_open].groupby("appliance")["onset"].last()
    figures["incidents_closed"] = durations.size().reindex(appliances, fill_value=0)
    figures["restore_time"] = durations.sum().reindex(appliances, fill_value=pd.Timedelta(0))
    figures["mttr"] = mean_restore_time(incidents, appliances=appliances)
    figures["incident_free"] = _sum_observed_time_outside(incidents, segments, appliances)
    number = figures["incidents"].where(figures["incidents"] > 0)
    figures["mtbf"] = (figures["incident_free"] / number).astype("timedelta64[us]")
    return figures


def _select_new(incidents: pd.DataFrame) -> pd.DataFrame:
    return incidents[~incidents["carried_over"].astype("bool")]


def _select_closed(incidents: pd.DataFrame) -> pd.DataFrame:
    """Return the closed incidents with their onset in the period."""
    new = _select_new(incidents)
    return new[~new["open"].astype("bool")]


def mean_restore_time(incidents: pd.DataFrame, *, appliances: pd.Index) -> pd.Series:
    """Average the closed incidents of each appliance that began in the period.

    Parameters
    ----------
    incidents : DataFrame
        Result of `incidents` or `cut_incidents`.
    appliances : Index of str
        The appliances to report.

    Returns
    -------
    Series of timedelta64
        By appliance; missing without a closed incident.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 16.
    """
    return _select_closed(incidents).groupby("appliance")["duration"].mean().reindex(appliances)


def cut_incidents(
    incidents: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """Return the incidents that overlap a part of their period, as of its end.

    Parameters
    ----------
    incidents : DataFrame
        Result of `incidents`, of a period that has this one in it.
    start, end : Timestamp
        The part, half-open [UTC].

    Returns
    -------
    DataFrame
        Of `backupkit.tables.INCIDENTS`: one that ended later is open.

    Examples
    --------
    >>> from backupkit.tables import INCIDENTS
    >>> onset = pd.Timestamp("2026-11-05T01:05Z")
    >>> columns = {"recovery": [onset + pd.Timedelta(hours=5)], "open": [False]}
    >>> rows = INCIDENTS.frame({"appliance": ["vc-1"], "onset": [onset], **columns})
    >>> noon = pd.Timestamp("2026-11-05T12:00Z")
    >>> [
    ...     cut_incidents(rows, start=onset - pd.Timedelta(days=1), end=end)["open"].to_list()
    ...     for end in (noon, onset + pd.Timedelta(hours=1), onset)
    ... ]
    [[False], [True], []]
    """
    rows = incidents[(incidents["onset"] < end) & ~(incidents["recovery"] <= start)]
    ended = rows["recovery"] <= end
    known_end = rows["onset"] + rows["duration"]
    return INCIDENTS.conform(
        rows.assign(
            recovery=rows["recovery"].where(ended),
            duration=rows["duration"].where(known_end <= end, end - rows["onset"]),
            open=~ended,
            carried_over=rows["onset"] < start,
        )
    )


def _sum_observed_time_outside(
    incidents: pd.DataFrame, segments: pd.DataFrame, appliances: pd.Index
) -> pd.Series:
    """Sum the observed time outside all incidents."""
    all_codes = np.arange(len(appliances), dtype=np.intp)
    first_start = np.full(
        len(appliances), to_instant(segments["start"].min()) if len(segments) else NAT
    )
    last_end = to_instant(segments["end"].max()) if len(segments) else NAT
    total = observed_time(
        segments, all_codes, first_start, np.full(len(appliances), last_end), appliances=appliances
    )
    begin, recovery = to_times(incidents["onset"]), to_times(incidents["recovery"])
    until = np.where(np.isnat(recovery), last_end, recovery)
    codes = to_codes(incidents["appliance"], appliances)
    inside = np.zeros(len(appliances), dtype="timedelta64[us]")
    np.add.at(inside, codes, observed_time(segments, codes, begin, until, appliances=appliances))
    observed = total - inside
    return pd.Series(observed, index=appliances)


def observed_time(
    segments: pd.DataFrame, codes: Codes, begin: Times, until: Times, *, appliances: pd.Index
) -> Spans:
    """Sum the observed time of each span.

    Parameters
    ----------
    segments : DataFrame
        Result of `segments`. Compliant, in breach and onboarding time is observed; unknown time
        and time that a rule excludes is not.
    codes : array
        The appliance of each span, as its position in `appliances`.
    begin, until : array
        Start and end of each span.
    appliances : Index of str
        The appliances.

    Returns
    -------
    array of timedelta64
        The observed time of each span.
    """
    observed = (
        segments["state"].isin([*OBSERVED_STATES, "excluded"]) & ~segments["excluded_by_rule"]
    )
    starts, ends = to_times(segments["start"]), to_times(segments["end"])
    length = np.where(observed.to_numpy(), ends - starts, _ZERO)
    before = np.concatenate([[_ZERO], np.cumsum(length)])
    owners = to_codes(segments["appliance"], appliances)
    first = np.searchsorted(owners, codes)

    def sum_until(times: Times) -> Spans:
        row = find_asof_index(owners, starts, codes, times)
        at = np.where(row >= 0, row, 0)
        inside = np.fmin(times - starts[at], length[at]) if len(starts) else before[at]
        total: Spans = np.where(row >= 0, before[at] + inside, before[first])
        return total

    return sum_until(until) - sum_until(begin)
