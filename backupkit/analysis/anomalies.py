"""Jobs whose duration or size is unusual for their appliance."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import Codes, to_codes, to_instant, to_times
from backupkit.analysis.jobs import job_times
from backupkit.analysis.measured_jobs import SECOND, MeasuredJobs, Numbers, measure_jobs
from backupkit.analysis.usual_range import PastRuns, UsualRange
from backupkit.tables import ANOMALIES
from backupkit.tables.constants import BASELINE_RUNS
from backupkit.tables.estimates import MIN_STALL, STALL_SHARE

__all__ = ["AnomalyLimits", "anomalies"]


@dataclass(frozen=True, slots=True)
class AnomalyLimits:
    """Limits of an anomaly.

    Attributes
    ----------
    false_alarms : float
        The accepted share of ordinary values that are reported, each way taken together.
    min_ratio : float
        The smallest multiple of the usual value that is reported; its inverse downwards.
    """

    false_alarms: float = 1e-5
    min_ratio: float = 1.65


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
    """Find the jobs that deviate from the appliance's own past.

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
        The false-alarm rate and the smallest ratio.
    polled : Series of datetime64, optional
        The newest good poll [UTC] by appliance; without it, stalls are not checked.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.ANOMALIES`, sorted by appliance, start, job and kind.

    Notes
    -----
    The usual value of a job is the median of the last ten successes that ended before it started;
    for sizes, of those that have one. Where the last four runs on its weekday all deviated the same
    way, it is adapted to the weekday. With fewer than ten successes, nothing is reported. The
    deviation is a logarithm, so that twice and half are equally far. It is compared with the
    deviations of the 100 successes before, each from its own ten; see
    `backupkit.analysis.usual_range`.
    A running job is compared in the same way, upwards only. It is stalled if it did not change for
    more than 10 min and 10 % of the typical duration, up to the newest good poll; this needs no ten
    successes. Running jobs that are no longer listed are ignored.

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
    [['duration', 2700.0, 900.0, '3.00 times the usual, above 1.65 times']]
    """
    limits = limits or AnomalyLimits()
    smallest = math.log(limits.min_ratio)
    codes = to_codes(jobs["appliance"], appliances)
    started_at, ended_at = job_times(jobs)
    success = jobs["outcome"].eq("success").to_numpy()
    inside = success & (ended_at >= to_instant(start)) & (ended_at < to_instant(end)) & (codes >= 0)
    vanished = jobs["vanished_at"].notna().to_numpy()
    open_now = jobs["outcome"].eq("open").to_numpy() & ~vanished & (codes >= 0)
    running = np.flatnonzero(open_now & (started_at <= to_instant(now)))
    elapsed = (to_instant(now) - started_at[running]) / SECOND
    results, typical = [], np.full(len(running), np.nan)
    for kind, values in measure_jobs(jobs).items():
        known = success & ~np.isnan(values)
        order = MeasuredJobs.select(codes, ended_at, np.arange(len(jobs), dtype=np.float64), known)
        places = order.measured.astype(np.intp)
        runs = MeasuredJobs(order.codes, order.ended_at, values[places])
        past = PastRuns.measure(runs, started_at[places])
        rows = np.flatnonzero(inside & known)
        suspects = rows[past.find_suspects(codes[rows], started_at[rows], values[rows], smallest)]
        compared = [(kind, suspects, values[suspects])]
        if kind == "duration":
            compared.append(("overrun", running, elapsed))
        for name, chosen, amounts in compared:
            usual = past.find_range(codes[chosen], started_at[chosen], limits.false_alarms)
            results.append(_find_outliers(name, chosen, amounts, usual, smallest))
            if name == "overrun":
                typical = usual.middle
    if polled is not None:
        polled_at = to_times(polled.reindex(appliances))[codes[running]]
        unchanged = (polled_at - to_times(jobs["last_seen_at"])[running]) / SECOND
        results.append(_find_stalled_jobs(running, unchanged, typical))
    combined = pd.concat(results, ignore_index=True)
    which = jobs[["appliance", "job_id", "start_time"]].iloc[combined["row"].to_numpy()]
    combined = pd.concat([combined, which.reset_index(drop=True)], axis="columns")
    by = ["appliance", "start_time", "job_id", "kind"]
    return ANOMALIES.conform(combined.sort_values(by, kind="stable"))


def _find_outliers(
    kind: str, rows: Codes, values: Numbers, usual: UsualRange, smallest: float
) -> pd.DataFrame:
    """Return the rows with a value out of the usual range."""
    deviation = usual.deviate(values)
    above, below = np.maximum(usual.above, smallest), np.maximum(usual.below, smallest)
    is_outlier = (
        deviation > above if kind == "overrun" else (deviation > above) | (deviation < -below)
    )
    kept = np.flatnonzero(is_outlier & (usual.counts == BASELINE_RUNS))
    texts = [
        _describe_rule(
            values[row], usual.middle[row], above[row], below[row], usual.by_weekday[row]
        )
        for row in kept
    ]
    return pd.DataFrame(
        {
            "row": rows[kept],
            "kind": kind,
            "value": values[kept],
            "typical": usual.middle[kept],
            "score": (deviation / usual.spread)[kept],
            "rule": pd.Series(texts, dtype="str"),
        }
    )


def _describe_rule(
    value: float, typical: float, above: float, below: float, by_weekday: np.bool_
) -> str:
    """Describe a value and the end of the usual range."""
    usual = "the usual of this weekday" if by_weekday else "the usual"
    if typical == 0:
        return f"{usual} is 0"
    ratio = value / typical
    end = f"above {math.exp(above):,.2f}" if ratio > 1 else f"below {math.exp(-below):.2f}"
    return f"{ratio:,.2f} times {usual}, {end} times"


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
