"""Known time of each appliance, summary of its polls, and correction of its clock skew."""

from datetime import timedelta
from typing import Final

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import (
    NAT,
    Codes,
    Times,
    asof_index,
    instant,
    sort_order,
    spans_of,
    tie_break_after,
    times_of,
    to_codes,
    utc,
)
from backupkit.tables.constants import CADENCE_FLOOR, CADENCE_GAPS, TERMINAL, TOLERATED_SKEW

__all__ = [
    "cadence_polls",
    "correct_clock_skew",
    "counted_polls",
    "coverage",
    "deduplicate_jobs",
    "job_times",
    "poll_summary",
    "skew_corrections",
]

_DEFAULT_CADENCE: Final = timedelta(hours=24)


def deduplicate_jobs(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return one record of each job.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, in any order.

    Returns
    -------
    DataFrame
        One row per (appliance, job_id), sorted by appliance, start and id, on a new range index.

    Notes
    -----
    A finished record takes precedence over an open one; of two finished ones, the last seen.

    References
    ----------
    .. [1] docs/sla.md, section 5, "duplicate records".
    """
    names = pd.Index(np.sort(jobs["appliance"].unique()), dtype="str")
    codes = to_codes(jobs["appliance"], names)
    ids, distinct = pd.factorize(jobs["job_id"])
    if pd.Series(codes * (len(distinct) + 1) + ids).duplicated().any():
        jobs = _newest_records(jobs)
        codes = to_codes(jobs["appliance"], names)
    start = times_of(jobs["start_time"])
    order = sort_order(codes, start)
    codes, start = codes[order], start[order]
    if np.any((codes[1:] == codes[:-1]) & ~(start[1:] > start[:-1])):  # equal or missing starts
        by = ["appliance", "start_time", "job_id"]
        return jobs.sort_values(by, kind="stable", ignore_index=True)
    return jobs.iloc[order].reset_index(drop=True)


def _newest_records(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return the record of each job that takes precedence."""
    ranked = jobs.assign(_finished=jobs["outcome"].isin(TERMINAL)).sort_values(
        ["appliance", "job_id", "_finished", "last_seen_at", "end_time", "state"],
        kind="stable",
        na_position="first",
    )
    kept = ranked.drop_duplicates(["appliance", "job_id"], keep="last")
    return kept.drop(columns="_finished")


def job_times(jobs: pd.DataFrame) -> tuple[Times, Times]:
    """Return when each job started, and when its result was available.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`; reads ``outcome``, ``start_time``, ``end_time`` [UTC] and
        ``last_seen_at`` [UTC].

    Returns
    -------
    start, end : array of datetime64[us]
        NaT where unknown. A job that has not finished has no end.

    Notes
    -----
    If the end is before the start, the clock was set back, and the start is used. A finished job
    without an end ended when it was last seen.
    """
    start, end = times_of(jobs["start_time"]), times_of(jobs["end_time"])
    finished = to_codes(jobs["outcome"], pd.Index(TERMINAL)) >= 0
    ended = np.where(np.isnat(end), times_of(jobs["last_seen_at"]), end)
    return start, np.where(finished, np.fmax(ended, np.where(np.isnat(ended), NAT, start)), NAT)


def poll_summary(polls: pd.DataFrame, *, appliances: pd.Index) -> pd.DataFrame:
    """Summarise the polls of each appliance.

    Parameters
    ----------
    polls : DataFrame
        Of `backupkit.tables.POLLS`, in any order.
    appliances : Index of str
        The appliances to report, sorted.

    Returns
    -------
    DataFrame
        By appliance: first_poll, last_poll, first_ok, last_ok, failing_since [UTC]; cadence (the
        median gap between the newest good polls that are at least 1 h apart; 1 h if there are
        only closer ones, 24 h if there are fewer than two); error and detail of the newest poll
        if it failed; clock_skew, api, version and details of the newest good poll.

    Notes
    -----
    Failed polls do not change the cadence; otherwise a failure could keep an old poll valid for
    longer. The gaps are counted back from the newest good poll, up to 20 of them. The next poll is
    the newest one at least 1 h earlier, so that two polls in quick succession do not shorten the
    cadence. A poll that Ctrl-C stopped, or that only followed a running job, is ignored.
    """
    counted = polls.iloc[counted_polls(polls)]
    good = counted[counted["ok"].astype("bool")]
    by, by_good = counted.groupby("appliance"), good.groupby("appliance")
    facts = pd.DataFrame(index=appliances)
    facts["first_poll"], facts["last_poll"] = by["polled_at"].min(), by["polled_at"].max()
    facts["first_ok"], facts["last_ok"] = by_good["polled_at"].min(), by_good["polled_at"].max()
    facts["cadence"] = _cadence(good, appliances)
    last_ok = facts["last_ok"].reindex(counted["appliance"]).reset_index(drop=True)
    polled_at = counted["polled_at"].reset_index(drop=True)
    after = (last_ok.isna() | (polled_at > last_ok)).to_numpy()
    since = counted[after].groupby("appliance")
    facts["failing_since"] = since["polled_at"].min()
    newest = counted[after].drop_duplicates("appliance", keep="last").set_index("appliance")
    newest_good = good.drop_duplicates("appliance", keep="last").set_index("appliance")
    for name in ("error", "detail"):
        facts[name] = newest[name].reindex(appliances)
    for name in ("clock_skew", "api", "version", "details"):
        facts[name] = newest_good[name].reindex(appliances)
    return facts


def counted_polls(polls: pd.DataFrame) -> Codes:
    """Return the positions of the polls that count, without duplicates.

    Parameters
    ----------
    polls : DataFrame
        Of `backupkit.tables.POLLS`, in any order.

    Returns
    -------
    array of intp
        Positions sorted by appliance and time; at the same instant, the failed poll comes first.
        A poll that was stopped, or that only followed a running job, is left out.

    Examples
    --------
    >>> from backupkit.tables import POLLS
    >>> times = [pd.Timestamp(f"2026-11-0{day}", tz="UTC") for day in (3, 2, 2, 4)]
    >>> columns = {"appliance": ["a"] * 4, "polled_at": times, "ok": [True, True, True, None]}
    >>> counted_polls(POLLS.frame(columns))
    array([1, 0])
    """
    rows = np.flatnonzero(polls["ok"].notna().to_numpy())
    names = pd.Index(np.sort(polls["appliance"].unique()), dtype="str")
    codes = to_codes(polls["appliance"], names)[rows]
    times = times_of(polls["polled_at"])[rows]
    good = polls["ok"].to_numpy(dtype=bool, na_value=False)[rows]
    order = sort_order(codes, tie_break_after(good, times))
    codes, times, good = codes[order], times[order], good[order]
    repeated = np.zeros(len(order), dtype=bool)
    repeated[1:] = (codes[1:] == codes[:-1]) & (times[1:] == times[:-1]) & (good[1:] == good[:-1])
    counted: Codes = rows[order[~repeated]]
    return counted


def _cadence(good: pd.DataFrame, appliances: pd.Index) -> pd.Series:
    """Return the cadence of each appliance; good polls are sorted by appliance and time."""
    rows = good[good["appliance"].isin(appliances)]
    codes, times = to_codes(rows["appliance"], appliances), times_of(rows["polled_at"])
    chosen = np.append(times, NAT)[cadence_polls(codes, times, len(appliances))]
    gaps = np.sort(chosen[:-1] - chosen[1:], axis=0)  # NaT comes last
    counts = np.count_nonzero(~np.isnat(gaps), axis=0)
    every = np.arange(len(appliances))
    low, high = gaps[np.maximum(counts - 1, 0) // 2, every], gaps[counts // 2, every]
    usual = np.where(counts > 0, low + (high - low) // 2, np.timedelta64(CADENCE_FLOOR))
    several = np.bincount(codes, minlength=len(appliances)) > 1
    cadence = np.where(several, usual, np.timedelta64(_DEFAULT_CADENCE))
    return pd.Series(cadence.astype("timedelta64[us]"), index=appliances)


def cadence_polls(codes: Codes, times: Times, number: int) -> Codes:
    """Return the good polls between which the gaps of the cadence lie.

    Parameters
    ----------
    codes, times : array
        Appliance and time of each good poll, sorted by both.
    number : int
        Number of appliances.

    Returns
    -------
    array of intp
        Positions, one column per appliance: the newest poll, then the newest one at least 1 h
        before it, and so on for up to 20 gaps; -1 if there is none.

    Examples
    --------
    >>> hours = np.array([0, 5, 23, 24], dtype="datetime64[h]").astype("datetime64[us]")
    >>> cadence_polls(np.zeros(4, dtype=np.intp), hours + np.timedelta64(5, "m"), 1)[:4, 0]
    array([3, 2, 1, 0])
    """
    floor = np.timedelta64(CADENCE_FLOOR).astype("timedelta64[us]")
    before = np.append(asof_index(codes, times, codes, times - floor), -1)
    ends = np.searchsorted(codes, np.arange(number), side="right")
    at = np.where(ends > np.searchsorted(codes, np.arange(number)), ends - 1, -1)
    chain = [at]
    for _ in range(CADENCE_GAPS):
        chain.append(before[chain[-1]])
    return np.stack(chain)


def correct_clock_skew(jobs: pd.DataFrame, corrections: pd.Series) -> pd.DataFrame:
    """Correct job times for the clock skew of their appliances.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`.
    corrections : Series of timedelta64
        Result of `skew_corrections`, for every appliance in `jobs`.

    Returns
    -------
    DataFrame
        A copy with ``start_time`` and ``end_time`` shifted.
    """
    codes = to_codes(jobs["appliance"], corrections.index)
    shift = pd.Series(spans_of(corrections)[codes], index=jobs.index)
    return jobs.assign(start_time=jobs["start_time"] - shift, end_time=jobs["end_time"] - shift)


def skew_corrections(skew: pd.Series) -> pd.Series:
    """Return the clock correction to subtract from each appliance's times.

    Parameters
    ----------
    skew : Series of timedelta64
        The appliance's clock minus the collector's, by appliance; missing where unknown.

    Returns
    -------
    Series of timedelta64
        The skew where it is larger than 5 minutes, else 0. Policies tolerate smaller errors, and
        their measurement is not reliable.

    Examples
    --------
    >>> skew = pd.Series(pd.to_timedelta(["-2h", "299s", None]), index=["a", "b", "c"])
    >>> skew_corrections(skew).to_list()
    [Timedelta('-1 days +22:00:00'), Timedelta('0 days 00:00:00'), Timedelta('0 days 00:00:00')]
    """
    return skew.where(skew.abs() > TOLERATED_SKEW, pd.Timedelta(0)).astype("timedelta64[us]")


def coverage(
    oldest: pd.Series,
    poll_summary: pd.DataFrame,
    resolved_policy: pd.DataFrame,
    *,
    start: pd.Timestamp,
) -> pd.DataFrame:
    """Return since when and until when the state of each appliance is known.

    Parameters
    ----------
    oldest : Series of datetime64
        Corrected start of the oldest job [UTC], by appliance; missing if there is none.
    poll_summary : DataFrame
        Result of `poll_summary`.
    resolved_policy : DataFrame
        Result of `Policy.rules`, with the same index.
    start : Timestamp
        The period's start.

    Returns
    -------
    DataFrame
        By appliance, all [UTC]: known_since, known_until, evidence (the newest good poll) and
        since (its time before that is unobserved). NaT if there is none.

    Notes
    -----
    known_since is the first good poll or the start of the oldest job, whichever is earlier.
    known_until is the newest good poll plus the staleness allowance, but no later than the first
    failed poll after it: an appliance that stops answering is unknown at once. An appliance that
    was never read has neither. It is unknown from the period's start if it is configured, else
    from its first poll.

    References
    ----------
    .. [1] docs/sla.md, section 3, "known_since" and "known_until".
    """
    evidence = times_of(poll_summary["last_ok"])
    never = np.isnat(evidence)
    oldest_start = times_of(oldest.reindex(resolved_policy.index))
    known_since = np.where(never, NAT, np.fmin(times_of(poll_summary["first_ok"]), oldest_start))
    staleness = resolved_policy["staleness"].fillna(poll_summary["cadence"])
    known_until = np.fmin(evidence + spans_of(staleness), times_of(poll_summary["failing_since"]))
    first_poll = times_of(poll_summary["first_poll"])
    # a failed poll must not shorten the unknown time
    expected = np.where(resolved_policy["configured"].to_numpy(), instant(start), NAT)
    first_sign = np.fmin(first_poll, expected)
    times = {
        "known_since": known_since,
        "known_until": np.where(never, NAT, known_until),
        "evidence": evidence,
        "since": np.where(never, first_sign, known_since),
    }
    columns = {name: utc(values) for name, values in times.items()}
    return pd.DataFrame(columns).set_axis(resolved_policy.index)
