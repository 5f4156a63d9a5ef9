"""What is known of each appliance, since when and until when."""

from typing import Final

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import (
    NAT,
    Codes,
    Times,
    codes_of,
    instant,
    spans_of,
    times_of,
    utc,
)

__all__ = ["clock_corrections", "distinct_jobs", "job_times", "knowledge", "on_our_clock", "visits"]

_TERMINAL: Final = ("success", "failure")
_TOLERATED_SKEW: Final = pd.Timedelta(minutes=5)
_CADENCE_FLOOR: Final = pd.Timedelta(hours=1)
_CADENCE_GUESS: Final = pd.Timedelta(hours=24)


def distinct_jobs(jobs: pd.DataFrame) -> pd.DataFrame:
    """Merge the records that are about the same job.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, in any order.

    Returns
    -------
    DataFrame
        One row per (appliance, job_id), by appliance, start and id, on a new range index.

    Notes
    -----
    A finished record beats an open one; of two finished ones the one seen last counts.

    References
    ----------
    .. [1] sla.md, section 5, "duplicate records".
    """
    if jobs.duplicated(["appliance", "job_id"]).any():
        jobs = _newest_records(jobs)
    return jobs.sort_values(["appliance", "start_time", "job_id"], kind="stable", ignore_index=True)


def _newest_records(jobs: pd.DataFrame) -> pd.DataFrame:
    """Keep of each job the record to believe."""
    ranked = jobs.assign(_finished=jobs["outcome"].isin(_TERMINAL)).sort_values(
        ["appliance", "job_id", "_finished", "last_seen_at", "end_time", "state"],
        kind="stable",
        na_position="first",
    )
    kept = ranked.drop_duplicates(["appliance", "job_id"], keep="last")
    return kept.drop(columns="_finished")


def job_times(jobs: pd.DataFrame) -> tuple[Times, Times]:
    """Give the instants at which each job started and at which its result was there.

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
    An end before the start is a clock that was set back: the result counts from the start. A
    finished job that tells no end was done when it was last seen.
    """
    start, end = times_of(jobs["start_time"]), times_of(jobs["end_time"])
    finished = jobs["outcome"].isin(_TERMINAL).to_numpy()
    told = np.where(np.isnat(end), times_of(jobs["last_seen_at"]), end)
    return start, np.where(finished, np.fmax(told, np.where(np.isnat(told), NAT, start)), NAT)


def visits(polls: pd.DataFrame, *, appliances: pd.Index) -> pd.DataFrame:
    """Sum up the visits to each appliance.

    Parameters
    ----------
    polls : DataFrame
        Of `backupkit.tables.POLLS`, in any order.
    appliances : Index of str
        The appliances to tell about, sorted.

    Returns
    -------
    DataFrame
        By appliance: polls, polls_ok (counts); first_poll, last_poll, first_ok, last_ok,
        failing_since [UTC]; cadence (the median gap between good visits, at least 1 h; 24 h while
        there are fewer than two); error and detail of the newest visit if it failed; clock_skew,
        api, version and details of the newest good one.

    Notes
    -----
    Only good visits make the cadence: else one more failure could widen the gap, and with it the
    time for which an old answer counts as knowledge. A visit that Ctrl-C cut short, or that only
    followed a running job, says nothing about the appliance, and counts as none.
    """
    counted = polls[polls["ok"].notna()]
    seen = counted.sort_values(["appliance", "polled_at", "ok"], kind="stable")
    good = seen[seen["ok"].astype("bool")]
    by, by_good = seen.groupby("appliance"), good.groupby("appliance")
    facts = pd.DataFrame(index=appliances)
    facts["polls"] = by.size().reindex(appliances, fill_value=0)
    facts["polls_ok"] = by_good.size().reindex(appliances, fill_value=0)
    facts["first_poll"], facts["last_poll"] = by["polled_at"].min(), by["polled_at"].max()
    facts["first_ok"], facts["last_ok"] = by_good["polled_at"].min(), by_good["polled_at"].max()
    facts["cadence"] = by_good["polled_at"].diff().groupby(good["appliance"]).median()
    cadence = facts["cadence"].mask(facts["cadence"] < _CADENCE_FLOOR, _CADENCE_FLOOR)
    facts["cadence"] = cadence.fillna(_CADENCE_GUESS).astype("timedelta64[us]")
    last_ok = facts["last_ok"].reindex(seen["appliance"]).reset_index(drop=True)
    polled_at = seen["polled_at"].reset_index(drop=True)
    after = (last_ok.isna() | (polled_at > last_ok)).to_numpy()
    since = seen[after].groupby("appliance")
    facts["failing_since"] = since["polled_at"].min()
    newest = seen[after].drop_duplicates("appliance", keep="last").set_index("appliance")
    newest_good = good.drop_duplicates("appliance", keep="last").set_index("appliance")
    for name in ("error", "detail"):
        facts[name] = newest[name].reindex(appliances)
    for name in ("clock_skew", "api", "version", "details"):
        facts[name] = newest_good[name].reindex(appliances)
    return facts


def on_our_clock(jobs: pd.DataFrame, corrections: pd.Series) -> pd.DataFrame:
    """Move the jobs of appliances whose clock is off onto our clock.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`.
    corrections : Series of timedelta64
        What `clock_corrections` gave, for every appliance in `jobs`.

    Returns
    -------
    DataFrame
        A copy with ``start_time`` and ``end_time`` shifted.
    """
    codes = codes_of(jobs["appliance"], corrections.index)
    shift = pd.Series(spans_of(corrections)[codes], index=jobs.index)
    return jobs.assign(start_time=jobs["start_time"] - shift, end_time=jobs["end_time"] - shift)


def clock_corrections(skew: pd.Series) -> pd.Series:
    """Give what to take off each appliance's times to have them on our clock.

    Parameters
    ----------
    skew : Series of timedelta64
        The appliance's clock minus ours, by appliance; missing where unknown.

    Returns
    -------
    Series of timedelta64
        The skew where it is larger than 5 minutes, else 0; an error that small is within what
        policies tolerate, and measuring it is no more exact.

    Examples
    --------
    >>> skew = pd.Series(pd.to_timedelta(["-2h", "299s", None]), index=["a", "b", "c"])
    >>> clock_corrections(skew).to_list()
    [Timedelta('-1 days +22:00:00'), Timedelta('0 days 00:00:00'), Timedelta('0 days 00:00:00')]
    """
    return skew.where(skew.abs() > _TOLERATED_SKEW, pd.Timedelta(0)).astype("timedelta64[us]")


def knowledge(
    jobs: pd.DataFrame,
    visited: pd.DataFrame,
    rules: pd.DataFrame,
    *,
    start: pd.Timestamp,
) -> pd.DataFrame:
    """Tell since when and until when each appliance is known.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, on our clock.
    visited : DataFrame
        What `visits` gave.
    rules : DataFrame
        What `Policy.rules` gave, with the same index.
    start : Timestamp
        The period's start.

    Returns
    -------
    DataFrame
        By appliance, all [UTC]: known_since, known_until, evidence (the newest good visit) and
        since (from when its time counts at all). NaT where there is no knowledge.

    Notes
    -----
    known_since is the first good visit or the start of the oldest job, the earlier one.
    known_until is the newest good visit plus the staleness allowance, but no later than the first
    failed visit after it: an appliance that stopped answering is unknown at once. One that never
    answered has neither, and its time counts, as unknown, from its first visit, or from the
    period's start if it is configured and was never visited.

    References
    ----------
    .. [1] sla.md, section 3, "known_since" and "known_until".
    """
    index, size = rules.index, len(rules)
    began, _ = job_times(jobs)
    codes: Codes = codes_of(jobs["appliance"], index)
    oldest = np.full(size, NAT)
    started = ~np.isnat(began)
    np.fmin.at(oldest, codes[started], began[started])
    evidence = times_of(visited["last_ok"])
    never = np.isnat(evidence)
    known_since = np.where(never, NAT, np.fmin(times_of(visited["first_ok"]), oldest))
    staleness = rules["staleness"].fillna(visited["cadence"])
    known_until = np.fmin(evidence + spans_of(staleness), times_of(visited["failing_since"]))
    first_poll = times_of(visited["first_poll"])
    fallback = np.where(rules["configured"].to_numpy(), instant(start), NAT)
    first_sign = np.where(np.isnat(first_poll), fallback, first_poll)
    times = {
        "known_since": known_since,
        "known_until": np.where(never, NAT, known_until),
        "evidence": evidence,
        "since": np.where(never, first_sign, known_since),
    }
    columns = {name: utc(values) for name, values in times.items()}
    return pd.DataFrame(columns).set_axis(index)
