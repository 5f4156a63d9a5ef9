"""Usual duration, size and growth of each appliance."""

from functools import lru_cache
from typing import Final

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import Codes, Spans, Times, sum_sizes, to_codes, to_instant
from backupkit.analysis.jobs import job_times, totals_of
from backupkit.analysis.measured_jobs import MeasuredJobs, Numbers, measure_jobs
from backupkit.tables import BASELINES, POLLS
from backupkit.tables.constants import BASELINE_RUNS, GROWTH_SIZES

__all__ = ["baselines", "compute_growth_rates", "count_retained_backups", "typical_durations"]

_MIN_GROWTH_SIZES: Final = 5
_MIN_GROWTH_DAYS: Final = 7.0  # days that the sizes must span for a growth rate
_GROWTH_DAYS: Final = 30.0  # days
_EPOCH: Final = np.datetime64(0, "us")
_DAY: Final = np.timedelta64(1, "D")


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
    measures = measure_jobs(jobs)
    typical = {}
    for kind, values in measures.items():
        measured = MeasuredJobs.select(codes, ended_at, values, good)
        counts, newest = measured.find_newest(number)
        sample_size = np.minimum(counts, BASELINE_RUNS)
        typical[kind] = measured.compute_medians(newest, sample_size, BASELINE_RUNS)
    sized = good & ~np.isnan(measures["size"])
    # the measured value is the row in `jobs`
    sizes = MeasuredJobs.select(codes, ended_at, np.arange(len(jobs), dtype=np.float64), sized)
    rows = sizes.measured.astype(np.intp)
    growth, share = compute_growth_rates(sizes, started_at[rows], measures["size"][rows], number)
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
        "typical_duration": pd.Series(_to_spans(typical["duration"])),
        "typical_size": pd.Series(typical["size"]),
        "growth": pd.Series(growth),
        "growth_share": pd.Series(share),
        "footprint": all_bytes.where(all_jobs > 0).where(is_all_kept, kept_bytes),
        "footprint_jobs": all_jobs.where(is_all_kept, np.minimum(counts, kept_counts)),
    }
    return BASELINES.frame(columns)


def typical_durations(jobs: pd.DataFrame, *, end: pd.Timestamp, appliances: pd.Index) -> pd.Series:
    """Return the typical duration of each appliance, as in `baselines`."""
    _, ended_at = job_times(jobs)
    good = jobs["outcome"].eq("success").to_numpy() & (ended_at <= to_instant(end))
    codes = to_codes(jobs["appliance"], appliances)
    measured = MeasuredJobs.select(codes, ended_at, measure_jobs(jobs)["duration"], good)
    counts, newest = measured.find_newest(len(appliances))
    seconds = measured.compute_medians(newest, np.minimum(counts, BASELINE_RUNS), BASELINE_RUNS)
    return pd.Series(_to_spans(seconds), index=appliances, name="typical_duration")


def _to_spans(seconds: Numbers) -> Spans:
    return np.rint(seconds * 1e6).astype("timedelta64[us]")


def compute_growth_rates(
    sizes: MeasuredJobs, started_at: Times, size: Numbers, number: int
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
