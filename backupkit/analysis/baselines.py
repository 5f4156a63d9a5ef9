"""Robust baselines of duration and size, and the jobs that deviate from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.analysis.arrays import (
    Codes,
    Flags,
    Times,
    find_asof_index,
    find_sort_order,
    sum_sizes,
    to_codes,
    to_instant,
    to_times,
)
from backupkit.analysis.jobs import job_times, totals_of
from backupkit.tables import ANOMALIES, BASELINES, POLLS
from backupkit.tables.constants import BASELINE_RUNS, GROWTH_SIZES
from backupkit.tables.estimates import MIN_STALL, STALL_SHARE

__all__ = ["AnomalyLimits", "anomalies", "baselines", "count_retained_backups"]

Numbers = npt.NDArray[np.float64]

_MIN_GROWTH_SIZES: Final = 5
_MIN_GROWTH_DAYS: Final = 7.0  # days that the sizes must span for a growth rate
_GROWTH_DAYS: Final = 30.0  # days
_MIN_MAD_SHARE: Final = 0.05  # of the median; the MAD of ten equal jobs is 0
_MAD_TO_SIGMA: Final = 0.6745  # MAD of a normal distribution in sigmas (Iglewicz and Hoaglin)
_CHUNK_SIZE: Final = 100_000  # windows held in memory at once
_TICK: Final = np.timedelta64(1, "us")
_SECOND: Final = np.timedelta64(1, "s")
_EPOCH: Final = np.datetime64(0, "us")
_DAY: Final = np.timedelta64(1, "D")


@dataclass(frozen=True, slots=True)
class AnomalyLimits:
    """Thresholds of an anomaly.

    Attributes
    ----------
    z_score : float
        The largest usual modified z-score, up or down.
    max_ratio : float
        The largest usual multiple of the median.
    min_ratio : float
        The smallest usual size, as a share of the median.
    """

    z_score: float = 3.5
    max_ratio: float = 5.0
    min_ratio: float = 0.5


@dataclass(frozen=True, slots=True)
class _MeasuredJobs:
    """Successful jobs sorted by appliance and end, with one measured value each."""

    codes: Codes
    ended_at: Times
    measured: Numbers

    @classmethod
    def select(cls, codes: Codes, ended_at: Times, values: Numbers, rows: Flags) -> "_MeasuredJobs":
        """Select and sort rows."""
        chosen = np.flatnonzero(rows & (codes >= 0) & ~np.isnat(ended_at))
        order = chosen[find_sort_order(codes[chosen], ended_at[chosen])]
        return cls(codes[order], ended_at[order], values[order])

    def find_newest(self, number: int) -> tuple[Codes, Codes]:
        """Return the count and the newest position of each of `number` appliances."""
        all_codes = np.arange(number)
        first_after = np.searchsorted(self.codes, all_codes, side="right")
        return first_after - np.searchsorted(self.codes, all_codes, side="left"), first_after - 1

    def iterate_windows(self, positions: Codes, counts: Codes) -> Iterator[tuple[slice, Numbers]]:
        """Yield in chunks the newest `counts` values up to each position, padded with NaN."""
        padded = np.concatenate([np.full(BASELINE_RUNS, np.nan), self.measured])
        views = np.lib.stride_tricks.sliding_window_view(padded, BASELINE_RUNS)
        age = np.arange(BASELINE_RUNS)[::-1]
        for begin in range(0, len(positions), _CHUNK_SIZE):
            chunk = slice(begin, begin + _CHUNK_SIZE)
            window = views[positions[chunk] + 1]
            window[age >= counts[chunk, None]] = np.nan
            yield chunk, window

    def summarise_before(self, codes: Codes, times: Times) -> tuple[Codes, Numbers, Numbers]:
        """Return number, median and MAD of the last jobs that ended before each time."""
        position = find_asof_index(self.codes, self.ended_at, codes, times - _TICK)
        first = np.searchsorted(self.codes, codes, side="left")
        counts = np.where(position < 0, 0, np.minimum(position - first + 1, BASELINE_RUNS))
        middle, spread = np.full(len(codes), np.nan), np.full(len(codes), np.nan)
        for chunk, window in self.iterate_windows(position, counts):
            middle[chunk] = _compute_row_medians(window)
            spread[chunk] = _compute_row_medians(np.abs(window - middle[chunk, None]))
        return counts, middle, spread


def _compute_row_medians(rows: Numbers) -> Numbers:
    """Return the median of each row, NaN for a row without numbers."""
    ordered = np.sort(rows, axis=1)
    counts = np.count_nonzero(~np.isnan(ordered), axis=1)
    at = np.arange(len(rows))
    low, high = ordered[at, np.maximum(counts - 1, 0) // 2], ordered[at, counts // 2]
    middle: Numbers = (low + high) / 2
    return middle


def _measure_jobs(jobs: pd.DataFrame) -> dict[str, Numbers]:
    """Return each job's duration [s] and size [bytes], NaN where missing or below 0."""
    length = (to_times(jobs["end_time"]) - to_times(jobs["start_time"])) / _SECOND
    size = jobs["size"].to_numpy("float64", na_value=np.nan)
    measured = {"duration": length, "size": size}
    return {kind: np.where(values >= 0, values, np.nan) for kind, values in measured.items()}


def anomalies(
    jobs: pd.DataFrame,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    now: pd.Timestamp,
    appliances: pd.Index,
    limits: AnomalyLimits | None = None,
    polled: pd.Series | None = None,
) -> pd.DataFrame:
    """Find the jobs that deviate from the appliance's ten successes before them.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once, corrected for clock skew.
    start, end : Timestamp
        The period, half-open; a success counts by its end. Running jobs are always checked.
    now : Timestamp
        The time up to which running jobs are measured.
    appliances : Index of str
        The appliances to report, sorted.
    limits : AnomalyLimits, optional
        The thresholds.
    polled : Series of datetime64, optional
        The newest good poll [UTC] by appliance; without it, stalls are not checked.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.ANOMALIES`, sorted by appliance, start, job and kind.

    Notes
    -----
    A job is compared with the last ten successes that ended before it started, its size with the
    last ten that have one. With fewer successes, no anomaly is reported. The score is
    0.6745 (x - median) / max(MAD, 0.05 median). If the median is 0, there is no score, and any
    value above 0 exceeds 5 times the median.
    A running job is compared with the same successes and thresholds, upwards only. It is stalled
    if it did not change for more than 10 min and 10 % of the typical duration, up to the newest
    good poll; this needs no ten successes. Running jobs that are no longer listed are ignored.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 19.

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> first = pd.Timestamp("2026-11-01T01:00Z")
    >>> starts = [first + pd.Timedelta(days=day) for day in range(11)]
    >>> ends = [begun + pd.Timedelta(minutes=15) for begun in starts]
    >>> ends[-1] += pd.Timedelta(minutes=30)
    >>> jobs = JOBS.frame(
    ...     {
    ...         "appliance": ["vc-1"] * 11,
    ...         "outcome": ["success"] * 11,
    ...         "start_time": starts,
    ...         "end_time": ends,
    ...     }
    ... )
    >>> period = {"start": first, "end": ends[-1] + pd.Timedelta(days=1)}
    >>> names = pd.Index(["vc-1"], name="appliance")
    >>> result = anomalies(jobs, **period, now=period["end"], appliances=names)
    >>> result[["kind", "value", "typical", "rule"]].values.tolist()
    [['duration', 2700.0, 900.0, 'score 27.0 > 3.5']]
    """
    limits = limits or AnomalyLimits()
    codes = to_codes(jobs["appliance"], appliances)
    started_at, ended_at = job_times(jobs)
    success = jobs["outcome"].eq("success").to_numpy()
    measures = _measure_jobs(jobs)
    runs = {
        kind: _MeasuredJobs.select(codes, ended_at, values, success & ~np.isnan(values))
        for kind, values in measures.items()
    }
    inside = success & (ended_at >= to_instant(start)) & (ended_at < to_instant(end)) & (codes >= 0)
    results = []
    for kind, values in measures.items():
        rows = np.flatnonzero(inside & ~np.isnan(values))
        usual = runs[kind].summarise_before(codes[rows], started_at[rows])
        results.append(_find_outliers(kind, rows, values[rows], usual, limits))
    vanished = jobs["vanished_at"].notna().to_numpy()
    open_now = jobs["outcome"].eq("open").to_numpy() & ~vanished & (codes >= 0)
    rows = np.flatnonzero(open_now & (started_at <= to_instant(now)))
    usual = runs["duration"].summarise_before(codes[rows], started_at[rows])
    elapsed = (to_instant(now) - started_at[rows]) / _SECOND
    results.append(_find_outliers("overrun", rows, elapsed, usual, limits))
    if polled is not None:
        polled_at = to_times(polled.reindex(appliances))[codes[rows]]
        unchanged = (polled_at - to_times(jobs["last_seen_at"])[rows]) / _SECOND
        results.append(_find_stalled_jobs(rows, unchanged, usual[1]))
    combined = pd.concat(results, ignore_index=True)
    which = jobs[["appliance", "job_id", "start_time"]].iloc[combined["row"].to_numpy()]
    combined = pd.concat([combined, which.reset_index(drop=True)], axis="columns")
    by = ["appliance", "start_time", "job_id", "kind"]
    return ANOMALIES.conform(combined.sort_values(by, kind="stable"))


def _find_outliers(
    kind: str,
    rows: Codes,
    values: Numbers,
    usual: tuple[Codes, Numbers, Numbers],
    limits: AnomalyLimits,
) -> pd.DataFrame:
    """Return the rows with a value beyond a threshold, with median and score."""
    counts, middle, spread = usual
    scale = np.fmax(spread, _MIN_MAD_SHARE * middle)
    scale[scale == 0] = np.nan
    score = _MAD_TO_SIGMA * (values - middle) / scale
    is_outlier = score > limits.z_score if kind == "overrun" else np.abs(score) > limits.z_score
    is_outlier |= values > limits.max_ratio * middle
    if kind == "size":
        is_outlier |= values < limits.min_ratio * middle
    kept = np.flatnonzero(is_outlier & (counts == BASELINE_RUNS))
    frame = pd.DataFrame(
        {"row": rows, "kind": kind, "value": values, "typical": middle, "score": score}
    ).iloc[kept]
    figures = zip(frame["value"], frame["typical"], frame["score"], strict=True)
    texts = [_describe_rule(kind, *figure, limits) for figure in figures]
    return frame.assign(rule=pd.Series(texts, index=frame.index, dtype="str"))


def _describe_rule(
    kind: str, value: float, typical: float, score: float, limits: AnomalyLimits
) -> str:
    """Describe the thresholds that a value exceeds."""
    phrases = []
    if abs(score) > limits.z_score:
        sign, relation = ("", ">") if score > 0 else ("-", "<")
        digits = 1 if abs(score) > limits.z_score + 0.1 else 4  # never "3.5 > 3.5"
        phrases.append(f"score {score:,.{digits}f} {relation} {sign}{limits.z_score:g}")
    if value > limits.max_ratio * typical:
        phrases.append(f"{value / typical:,.1f} times the median" if typical else "the median is 0")
    if kind == "size" and value < limits.min_ratio * typical:
        phrases.append(f"{value / typical:.0%} of the median size".replace("%", " %"))
    return "; ".join(phrases)


def _find_stalled_jobs(rows: Codes, unchanged: Numbers, typical: Numbers) -> pd.DataFrame:
    """Return the running jobs that have not changed for too long."""
    limit = np.fmax(MIN_STALL.total_seconds(), STALL_SHARE * typical)
    kept = np.flatnonzero(unchanged > limit)
    texts = [
        f"no change for {value / 60:,.0f} min, more than {allowed / 60:,.0f} min"
        for value, allowed in zip(unchanged[kept], limit[kept], strict=True)
    ]
    columns = {"row": rows[kept], "kind": "stall", "value": unchanged[kept], "rule": texts}
    return pd.DataFrame(columns)


def baselines(
    jobs: pd.DataFrame,
    current: pd.DataFrame,
    *,
    end: pd.Timestamp,
    appliances: pd.Index,
    totals: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Compute the usual duration, size and growth of each appliance.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once, corrected for clock skew.
    current : DataFrame
        Of `backupkit.tables.SCHEDULES`, one row per schedule, as in force at `end`.
    end : Timestamp
        Jobs that ended later are ignored.
    appliances : Index of str
        The appliances to report, sorted.
    totals : DataFrame, optional
        Of ``TOTALS``; needed if `jobs` is not complete.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.BASELINES`, one row per appliance.

    Notes
    -----
    The newest successes are those that ended last. Growth needs 5 sizes over 7 days and uses the
    newest 100, so that there are at most 4,950 pairs. `growth_share` is relative to the median of
    the same sizes. The footprint is the sum of the newest sizes, up to the largest ``max_count`` of
    the enabled schedules. It is the sum of all sizes if one of them keeps all, or if none exists.

    References
    ----------
    .. [1] docs/sla.md, section 4, numbers 19 to 21.

    Examples
    --------
    >>> from backupkit.tables import JOBS, SCHEDULES
    >>> starts = pd.date_range("2026-11-01T01:00Z", periods=5, freq="7D").as_unit("us")
    >>> jobs = JOBS.frame(
    ...     {
    ...         "appliance": ["vc-1"] * 5,
    ...         "outcome": ["success"] * 5,
    ...         "start_time": starts,
    ...         "end_time": starts + pd.Timedelta(minutes=20),
    ...         "size": [600, 607, 614, 650, 628],
    ...     }
    ... )
    >>> names = pd.Index(["vc-1"], name="appliance")
    >>> result = baselines(
    ...     jobs, SCHEDULES.empty(), end=starts[-1] + pd.Timedelta("1D"), appliances=names
    ... )
    >>> result[["sample_size", "growth", "footprint"]].values.tolist()
    [[5, 1.0, 3099]]
    """
    number = len(appliances)
    codes = to_codes(jobs["appliance"], appliances)
    started_at, ended_at = job_times(jobs)
    success = jobs["outcome"].eq("success").to_numpy()
    good = success & (ended_at <= to_instant(end))
    measures = _measure_jobs(jobs)
    typical = {}
    for kind, values in measures.items():
        measured = _MeasuredJobs.select(codes, ended_at, values, good)
        counts, newest = measured.find_newest(number)
        sample_size = np.minimum(counts, BASELINE_RUNS)
        typical[kind] = np.full(number, np.nan)
        for chunk, window in measured.iterate_windows(newest, sample_size):
            typical[kind][chunk] = _compute_row_medians(window)
    sized = good & ~np.isnan(measures["size"])
    # the measured value is the row in `jobs`
    sizes = _MeasuredJobs.select(codes, ended_at, np.arange(len(jobs), dtype=np.float64), sized)
    rows = sizes.measured.astype(np.intp)
    growth, share = _compute_growth_rates(sizes, started_at[rows], measures["size"][rows], number)
    counts, newest = sizes.find_newest(number)
    if totals is None:
        totals = totals_of(jobs, POLLS.empty())
    later = np.where(
        success & (ended_at > to_instant(end)) & ~np.isnan(measures["size"]), codes, -1
    )
    sized_totals = totals[["sized_jobs", "sized_bytes"]].reindex(appliances).reset_index(drop=True)
    all_jobs = sized_totals["sized_jobs"].fillna(0) - np.bincount(
        later[later >= 0], minlength=number
    )
    all_bytes = sized_totals["sized_bytes"] - sum_sizes(later, jobs["size"], number=number).fillna(
        0
    )
    kept_counts = count_retained_backups(current, appliances)
    kept = newest[sizes.codes] - np.arange(len(rows)) < kept_counts[sizes.codes]
    kept_bytes = sum_sizes(sizes.codes[kept], jobs["size"].iloc[rows[kept]], number=number)
    is_all_kept = kept_counts >= all_jobs.to_numpy("float64")
    columns = {
        "appliance": pd.Series(appliances, dtype="str"),
        "sample_size": pd.Series(sample_size),
        "typical_duration": pd.Series(np.rint(typical["duration"] * 1e6).astype("timedelta64[us]")),
        "typical_size": pd.Series(typical["size"]),
        "growth": pd.Series(growth),
        "growth_share": pd.Series(share),
        "footprint": all_bytes.where(all_jobs > 0).where(is_all_kept, kept_bytes),
        "footprint_jobs": all_jobs.where(is_all_kept, np.minimum(counts, kept_counts)),
    }
    return BASELINES.frame(columns)


def _compute_growth_rates(
    sizes: _MeasuredJobs, started_at: Times, size: Numbers, number: int
) -> tuple[Numbers, Numbers]:
    """Return each appliance's growth [bytes/day], and 30 days of it / the median size."""
    growth, share = np.full(number, np.nan), np.full(number, np.nan)
    usable = ~np.isnat(started_at)
    codes, started_at, size = sizes.codes[usable], started_at[usable], size[usable]
    days = (started_at - _EPOCH) / _DAY
    after = np.searchsorted(codes, np.arange(number), side="right")
    before = np.searchsorted(codes, np.arange(number), side="left")
    for code in np.flatnonzero(after - before >= _MIN_GROWTH_SIZES):
        newest = slice(max(before[code], after[code] - GROWTH_SIZES), after[code])
        window_days, window_sizes = days[newest], size[newest]
        if np.ptp(window_days) < _MIN_GROWTH_DAYS:
            continue
        growth[code] = _compute_slope(window_days, window_sizes)
        middle = np.median(window_sizes)
        if middle > 0:
            share[code] = _GROWTH_DAYS * growth[code] / middle
    return growth, share


def _compute_slope(days: Numbers, sizes: Numbers) -> float:
    """Return the Theil-Sen slope: the median slope of all pairs of points."""
    first, second = _list_pairs(len(days))
    distances = days[second] - days[first]
    is_distinct = distances != 0
    return float(np.median((sizes[second] - sizes[first])[is_distinct] / distances[is_distinct]))


@lru_cache(maxsize=GROWTH_SIZES)
def _list_pairs(number: int) -> tuple[Codes, Codes]:
    """Return the positions of all pairs of `number` points."""
    return np.triu_indices(number, k=1)


def count_retained_backups(current: pd.DataFrame, appliances: pd.Index) -> Numbers:
    """Return how many backups each appliance keeps.

    That is the largest ``max_count`` of its enabled schedules. It is infinity if one of them keeps
    all, or if there is none.
    """
    enabled = current[current["enabled"].fillna(value=False).astype("bool")]
    codes = to_codes(enabled["appliance"], appliances)
    max_counts = enabled["max_count"].to_numpy("float64", na_value=np.inf)
    kept_counts = np.zeros(len(appliances))
    np.maximum.at(
        kept_counts, codes[codes >= 0], np.where(max_counts < 1, np.inf, max_counts)[codes >= 0]
    )
    return np.where(kept_counts == 0, np.inf, kept_counts)
