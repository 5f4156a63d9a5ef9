"""Polls of each appliance: their summary, the known time and the excluded time."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import (
    NAT,
    Codes,
    Flags,
    Times,
    build_tie_break_keys,
    find_asof_index,
    find_sort_order,
    mark_group_starts,
    to_codes,
    to_instant,
    to_spans,
    to_times,
    to_utc_column,
)
from backupkit.tables import list_was_read
from backupkit.tables.constants import CADENCE_FLOOR, CADENCE_GAPS, CADENCE_MIN_GAPS

__all__ = [
    "NO_EXCLUSIONS",
    "Exclusions",
    "coverage",
    "data_fingerprint",
    "find_cadence_polls",
    "find_counted_polls",
    "poll_summary",
]

_DEFAULT_CADENCE: Final = timedelta(hours=24)
_NO_START: Final = np.datetime64("1900-01-01", "us")
_NO_END: Final = np.datetime64("2200-01-01", "us")


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
        median gap between the newest good polls that are at least 1 h apart; 24 h if there are
        fewer than 9 such gaps); error and detail of the newest poll if it failed; clock_skew,
        api, version, details and own_timezone of the newest good poll, and what it read.

    Notes
    -----
    Failed polls do not change the cadence; otherwise a failure could keep an old poll valid for
    longer. The gaps are counted back from the newest good poll, up to 20 of them. The next poll is
    the newest one at least 1 h earlier, so that polls in quick succession do not shorten the
    cadence. A few gaps show no habit yet: the first looks at a new history would decide how long
    its polls count. A poll that Ctrl-C stopped, or that only followed a running job, is ignored.
    """
    counted = polls.iloc[find_counted_polls(polls)]
    good = counted[list_was_read(counted).astype("bool")]
    by, by_good = counted.groupby("appliance"), good.groupby("appliance")
    facts = pd.DataFrame(index=appliances)
    facts["first_poll"], facts["last_poll"] = by["polled_at"].min(), by["polled_at"].max()
    facts["first_ok"], facts["last_ok"] = by_good["polled_at"].min(), by_good["polled_at"].max()
    facts["cadence"] = _compute_cadence(good, appliances)
    last_ok = facts["last_ok"].reindex(counted["appliance"]).reset_index(drop=True)
    polled_at = counted["polled_at"].reset_index(drop=True)
    after = (last_ok.isna() | (polled_at > last_ok)).to_numpy()
    since = counted[after].groupby("appliance")
    facts["failing_since"] = since["polled_at"].min()
    newest = counted[after].drop_duplicates("appliance", keep="last").set_index("appliance")
    newest_good = good.drop_duplicates("appliance", keep="last").set_index("appliance")
    for name in ("error", "detail"):  # of a good poll, there is one if it is partial
        facts[name] = newest[name].reindex(appliances).fillna(newest_good[name].reindex(appliances))
    for name in (
        *("clock_skew", "api", "version", "details"),
        *("jobs_unread", "schedules_read", "schedules_error"),
    ):
        facts[name] = newest_good[name].reindex(appliances)
    facts["own_timezone"] = newest_good["timezone"].reindex(appliances)
    return facts


def find_counted_polls(polls: pd.DataFrame) -> Codes:
    """Return the positions of the polls that count, without duplicates, by appliance and time.

    At the same instant, the failed poll comes first. A poll that was stopped, or that only followed
    a running job, does not count.

    Examples
    --------
    >>> from backupkit.tables import POLLS
    >>> times = [pd.Timestamp(f"2026-11-0{day}", tz="UTC") for day in (3, 2, 2, 4)]
    >>> columns = {"appliance": ["a"] * 4, "polled_at": times, "ok": [True, True, True, None]}
    >>> find_counted_polls(POLLS.frame(columns))
    array([1, 0])
    """
    was_read = list_was_read(polls)
    rows = np.flatnonzero(was_read.notna().to_numpy())
    names = pd.Index(np.sort(polls["appliance"].unique()), dtype="str")
    codes = to_codes(polls["appliance"], names)[rows]
    times = to_times(polls["polled_at"])[rows]
    good = was_read.to_numpy(dtype=bool, na_value=False)[rows]
    order = find_sort_order(codes, build_tie_break_keys(good, times))
    codes, times, good = codes[order], times[order], good[order]
    counted: Codes = rows[order[mark_group_starts(codes, times, good)]]
    return counted


def _compute_cadence(good: pd.DataFrame, appliances: pd.Index) -> pd.Series:
    """Return the cadence of each appliance; good polls are sorted by appliance and time."""
    codes = to_codes(good["appliance"], appliances)
    times = to_times(good["polled_at"])[codes >= 0]
    codes = codes[codes >= 0]
    chosen = np.append(times, NAT)[find_cadence_polls(codes, times, len(appliances))]
    gaps = np.sort(chosen[:-1] - chosen[1:], axis=0)  # NaT comes last
    counts = np.count_nonzero(~np.isnat(gaps), axis=0)
    all_codes = np.arange(len(appliances))
    low, high = gaps[np.maximum(counts - 1, 0) // 2, all_codes], gaps[counts // 2, all_codes]
    usual = low + (high - low) // 2
    cadence = np.where(counts >= CADENCE_MIN_GAPS, usual, np.timedelta64(_DEFAULT_CADENCE))
    return pd.Series(cadence.astype("timedelta64[us]"), index=appliances)


def find_cadence_polls(codes: Codes, times: Times, number: int) -> Codes:
    """Return the positions of the good polls between which the gaps of the cadence lie.

    `codes` and `times` are sorted by both. The result has a column per appliance: the newest poll,
    then the newest one at least 1 h before it, and so on for up to 20 gaps; -1 if there is none.

    Examples
    --------
    >>> hours = np.array([0, 5, 23, 24], dtype="datetime64[h]").astype("datetime64[us]")
    >>> find_cadence_polls(np.zeros(4, dtype=np.intp), hours + np.timedelta64(5, "m"), 1)[:4, 0]
    array([3, 2, 1, 0])
    """
    floor = np.timedelta64(CADENCE_FLOOR).astype("timedelta64[us]")
    before = np.append(find_asof_index(codes, times, codes, times - floor), -1)
    ends = np.searchsorted(codes, np.arange(number), side="right")
    at = np.where(ends > np.searchsorted(codes, np.arange(number)), ends - 1, -1)
    chain = [at]
    for _ in range(CADENCE_GAPS):
        chain.append(before[chain[-1]])
    return np.stack(chain)


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
        By appliance, all [UTC]: known_since, known_until, newest_good_poll and
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
    newest_good_poll = to_times(poll_summary["last_ok"])
    is_never_read = np.isnat(newest_good_poll)
    oldest_start = to_times(oldest.reindex(resolved_policy.index))
    known_since = np.where(
        is_never_read, NAT, np.fmin(to_times(poll_summary["first_ok"]), oldest_start)
    )
    staleness = resolved_policy["staleness"].fillna(poll_summary["cadence"])
    known_until = np.fmin(
        newest_good_poll + to_spans(staleness), to_times(poll_summary["failing_since"])
    )
    first_poll = to_times(poll_summary["first_poll"])
    # a failed poll must not shorten the unknown time
    expected = np.where(resolved_policy["configured"].to_numpy(), to_instant(start), NAT)
    first_sign = np.fmin(first_poll, expected)
    times = {
        "known_since": known_since,
        "known_until": np.where(is_never_read, NAT, known_until),
        "newest_good_poll": newest_good_poll,
        "since": np.where(is_never_read, first_sign, known_since),
    }
    columns = {name: to_utc_column(values) for name, values in times.items()}
    return pd.DataFrame(columns).set_axis(resolved_policy.index)


@dataclass(frozen=True, slots=True, eq=False)
class Exclusions:
    """The times in which appliances are out of scope, merged where they overlap.

    Attributes
    ----------
    codes : array of intp
        The appliance's position in the rules.
    starts, ends : array of datetime64[us]
        Start and end of each exclusion, half-open [UTC].

    Examples
    --------
    >>> day = pd.to_datetime(["2026-11-02T00:00Z", "2026-11-02T06:00Z", "2026-11-02T12:00Z"])
    >>> exclusion_rows = pd.DataFrame({"appliance": "vc-1", "start": day[:2], "end": day[1:]})
    >>> Exclusions.of(exclusion_rows, pd.Index(["vc-1"])).ends
    array(['2026-11-02T12:00:00.000000'], dtype='datetime64[us]')
    """

    codes: Codes
    starts: Times
    ends: Times

    @classmethod
    def of(cls, exclusion_rows: pd.DataFrame, index: pd.Index) -> Self:
        """Merge the exclusions of `Policy.excluded`.

        Parameters
        ----------
        exclusion_rows : DataFrame
            appliance, start and end [UTC, NaT is no limit].
        index : Index of str
            The appliances of the rules.
        """
        codes = to_codes(exclusion_rows["appliance"], index)
        starts, ends = to_times(exclusion_rows["start"]), to_times(exclusion_rows["end"])
        starts = np.where(np.isnat(starts), _NO_START, starts)
        ends = np.where(np.isnat(ends), _NO_END, ends)
        order = np.lexsort((starts, codes))
        order = order[codes[order] >= 0]
        codes, starts, ends = codes[order], starts[order], ends[order]
        latest_ends = pd.Series(ends.astype(np.int64)).groupby(codes).cummax().to_numpy()
        begins = mark_group_starts(codes)
        begins[1:] |= starts[1:].astype(np.int64) > latest_ends[:-1]
        last = np.append(begins[1:], np.True_)[: len(codes)]
        return cls(codes[begins], starts[begins], latest_ends[last].astype("datetime64[us]"))

    def contains(self, codes: Codes, times: Times) -> Flags:
        """Return whether each (appliance, time) is out of scope; False without a time."""
        inside = np.zeros(len(times), dtype=bool)
        if len(self.codes):
            row = find_asof_index(self.codes, self.starts, codes, times)
            has_start = row >= 0
            inside[has_start] = times[has_start] < self.ends[row[has_start]]
        return inside


NO_EXCLUSIONS: Final = Exclusions(
    np.array([], dtype=np.intp),
    np.array([], dtype="datetime64[us]"),
    np.array([], dtype="datetime64[us]"),
)
"""No exclusions."""


def data_fingerprint(polls: pd.DataFrame) -> str:
    """Return a fingerprint of the polls that the data comes from.

    Parameters
    ----------
    polls : DataFrame
        Reads ``appliance`` and ``polled_at`` of `backupkit.tables.POLLS`, in any order.

    Returns
    -------
    str
        The number of polls and a digest of their names and times, which does not depend on their
        order. For an earlier moment, pass only the polls up to it.

    Examples
    --------
    >>> from backupkit.tables import POLLS
    >>> polls = POLLS.frame({"appliance": ["a"], "polled_at": ["2026-11-02T01:00Z"]})
    >>> data_fingerprint(polls)
    '1-...'
    >>> data_fingerprint(POLLS.empty())
    '0-0000000000000000'
    """
    which, distinct = pd.factorize(polls["appliance"])
    names = pd.util.hash_array(distinct.to_numpy(dtype=object))[which]
    moments = pd.util.hash_array(to_times(polls["polled_at"]).astype(np.int64))
    # the sum does not depend on the order; the product joins each name and its time
    digest = int(np.sum((2 * names + np.uint64(1)) * (2 * moments + np.uint64(1)), dtype=np.uint64))
    return f"{len(polls)}-{digest if len(polls) else 0:016x}"
