"""What is usual for each appliance, and the jobs that are not: robust medians over ten runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.analysis.arrays import Codes, Times, codes_of, instant, latest, order_of, times_of
from backupkit.analysis.knowledge import job_times
from backupkit.analysis.loads import sums_of
from backupkit.analysis.totals import totals_of
from backupkit.tables import ANOMALIES, BASELINES, POLLS
from backupkit.tables.evidence import BASELINE_RUNS, GROWTH_SIZES

__all__ = ["AnomalyLimits", "anomalies", "baselines", "retained"]

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_FEWEST_POINTS: Final = 5
_SHORTEST: Final = 7.0  # days of sizes that a growth needs
_MONTH: Final = 30.0  # days
_FLOOR: Final = 0.05  # of the median; else ten equal runs would make any other an anomaly
_TO_SIGMA: Final = 0.6745  # Iglewicz and Hoaglin: the MAD of a normal distribution, in sigmas
_HALT: Final = 600.0  # s; no halt is called a stall before
_HALT_SHARE: Final = 0.1  # of a typical run
_CHUNK: Final = 100_000  # windows held in memory at once
_MOMENT: Final = np.timedelta64(1, "us")
_SECOND: Final = np.timedelta64(1, "s")
_EPOCH: Final = np.datetime64(0, "us")
_DAY: Final = np.timedelta64(1, "D")


@dataclass(frozen=True, slots=True)
class AnomalyLimits:
    """Beyond what a run counts as an anomaly.

    Attributes
    ----------
    score : float
        The largest modified z-score, up or down, that is still usual.
    times : float
        The largest usual multiple of the median.
    share : float
        The smallest usual size, as a share of the median.
    """

    score: float = 3.5
    times: float = 5.0
    share: float = 0.5


@dataclass(frozen=True, slots=True)
class _Runs:
    """Successes by appliance and end, with one measure of each."""

    codes: Codes
    done: Times
    measured: Numbers

    @classmethod
    def of(cls, codes: Codes, done: Times, values: Numbers, rows: Flags) -> "_Runs":
        """Sort the chosen rows."""
        chosen = np.flatnonzero(rows & (codes >= 0) & ~np.isnat(done))
        order = chosen[order_of(codes[chosen], done[chosen])]
        return cls(codes[order], done[order], values[order])

    def newest(self, number: int) -> tuple[Codes, Codes]:
        """Give how many each of `number` appliances has, and the position of its newest."""
        every = np.arange(number)
        after = np.searchsorted(self.codes, every, side="right")
        return after - np.searchsorted(self.codes, every, side="left"), after - 1

    def windows(self, positions: Codes, told: Codes) -> Iterator[tuple[slice, Numbers]]:
        """Give the runs up to each position, at most `told` of them, in chunks; NaN where fewer."""
        padded = np.concatenate([np.full(BASELINE_RUNS, np.nan), self.measured])
        views = np.lib.stride_tricks.sliding_window_view(padded, BASELINE_RUNS)
        age = np.arange(BASELINE_RUNS)[::-1]
        for begin in range(0, len(positions), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            window = views[positions[part] + 1]
            window[age >= told[part, None]] = np.nan
            yield part, window

    def before(self, codes: Codes, times: Times) -> tuple[Codes, Numbers, Numbers]:
        """Tell of the runs that had ended before each time: number, median and MAD."""
        position = latest(self.codes, self.done, codes, times - _MOMENT)
        first = np.searchsorted(self.codes, codes, side="left")
        told = np.where(position < 0, 0, np.minimum(position - first + 1, BASELINE_RUNS))
        middle, spread = np.full(len(codes), np.nan), np.full(len(codes), np.nan)
        for part, window in self.windows(position, told):
            middle[part] = _medians(window)
            spread[part] = _medians(np.abs(window - middle[part, None]))
        return told, middle, spread


def _medians(rows: Numbers) -> Numbers:
    """Give the median of each row's numbers, NaN for a row without any."""
    ordered = np.sort(rows, axis=1)
    told = np.count_nonzero(~np.isnan(ordered), axis=1)
    at = np.arange(len(rows))
    low, high = ordered[at, np.maximum(told - 1, 0) // 2], ordered[at, told // 2]
    middle: Numbers = (low + high) / 2
    return middle


def _measures(jobs: pd.DataFrame) -> dict[str, Numbers]:
    """Give each job's duration [s] and size [bytes]; NaN where missing or below 0."""
    length = (times_of(jobs["end_time"]) - times_of(jobs["start_time"])) / _SECOND
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
    """Find the jobs that are not as the appliance's ten successes before them.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once, on our clock.
    start, end : Timestamp
        The period, half-open; the end of a success decides. Running jobs are looked at whatever
        the period.
    now : Timestamp
        To when a running job has run.
    appliances : Index of str
        The appliances to tell about, sorted.
    limits : AnomalyLimits, optional
        Beyond what a run is unusual.
    polled : Series of datetime64, optional
        The newest good visit [UTC] by appliance; without one no stall is told.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.ANOMALIES`, by appliance, start, job and kind.

    Notes
    -----
    A run is held against the ten successes that had ended last before it began, a size against the
    ten that tell one; with fewer the appliance is still learning, and nothing is said. The score is
    0.6745 (x - median) / max(MAD, 0.05 median). Where the median is 0 there is no score, and only
    the plain rules speak: more than 5 times 0 is anything above 0.
    A running job is held against the same runs and limits, upwards only. It stalls if it was not
    seen to change up to the newest good visit for more than 10 min and 10 % of a typical run; that
    needs no ten runs. A running job that the appliance lists no more is left out.

    References
    ----------
    .. [1] sla.md, section 4, number 19.

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
    >>> found = anomalies(jobs, **period, now=period["end"], appliances=names)
    >>> found[["kind", "value", "typical", "rule"]].values.tolist()
    [['duration', 2700.0, 900.0, 'score 27.0 > 3.5']]
    """
    limits = limits or AnomalyLimits()
    codes = codes_of(jobs["appliance"], appliances)
    began, done = job_times(jobs)
    success = jobs["outcome"].eq("success").to_numpy()
    measures = _measures(jobs)
    runs = {
        kind: _Runs.of(codes, done, values, success & ~np.isnan(values))
        for kind, values in measures.items()
    }
    inside = success & (done >= instant(start)) & (done < instant(end)) & (codes >= 0)
    found = []
    for kind, values in measures.items():
        rows = np.flatnonzero(inside & ~np.isnan(values))
        usual = runs[kind].before(codes[rows], began[rows])
        found.append(_unusual(kind, rows, values[rows], usual, limits))
    gone = jobs["vanished_at"].notna().to_numpy()
    open_now = jobs["outcome"].eq("open").to_numpy() & ~gone & (codes >= 0)
    rows = np.flatnonzero(open_now & (began <= instant(now)))
    usual = runs["duration"].before(codes[rows], began[rows])
    elapsed = (instant(now) - began[rows]) / _SECOND
    found.append(_unusual("overrun", rows, elapsed, usual, limits))
    if polled is not None:
        visited = times_of(polled.reindex(appliances))[codes[rows]]
        unchanged = (visited - times_of(jobs["last_seen_at"])[rows]) / _SECOND
        found.append(_stalled(rows, unchanged, usual[1]))
    told = pd.concat(found, ignore_index=True)
    which = jobs[["appliance", "job_id", "start_time"]].iloc[told["row"].to_numpy()]
    told = pd.concat([told, which.reset_index(drop=True)], axis="columns")
    by = ["appliance", "start_time", "job_id", "kind"]
    return ANOMALIES.conform(told.sort_values(by, kind="stable"))


def _unusual(
    kind: str,
    rows: Codes,
    values: Numbers,
    usual: tuple[Codes, Numbers, Numbers],
    limits: AnomalyLimits,
) -> pd.DataFrame:
    """Keep the rows whose value is beyond a limit, with what they are held against."""
    told, middle, spread = usual
    scale = np.fmax(spread, _FLOOR * middle)
    scale[scale == 0] = np.nan
    score = _TO_SIGMA * (values - middle) / scale
    strange = score > limits.score if kind == "overrun" else np.abs(score) > limits.score
    strange |= values > limits.times * middle
    if kind == "size":
        strange |= values < limits.share * middle
    kept = np.flatnonzero(strange & (told == BASELINE_RUNS))
    frame = pd.DataFrame(
        {"row": rows, "kind": kind, "value": values, "typical": middle, "score": score}
    ).iloc[kept]
    figures = zip(frame["value"], frame["typical"], frame["score"], strict=True)
    words = [_words(kind, *figure, limits) for figure in figures]
    return frame.assign(rule=pd.Series(words, index=frame.index, dtype="str"))


def _words(kind: str, value: float, typical: float, score: float, limits: AnomalyLimits) -> str:
    """Tell the limits that a value broke."""
    said = []
    if abs(score) > limits.score:
        sign, relation = ("", ">") if score > 0 else ("-", "<")
        digits = 1 if abs(score) > limits.score + 0.1 else 4  # never "3.5 > 3.5"
        said.append(f"score {score:,.{digits}f} {relation} {sign}{limits.score:g}")
    if value > limits.times * typical:
        said.append(f"{value / typical:,.1f} times the median" if typical else "the median is 0")
    if kind == "size" and value < limits.share * typical:
        said.append(f"{value / typical:.0%} of the median size".replace("%", " %"))
    return "; ".join(said)


def _stalled(rows: Codes, unchanged: Numbers, typical: Numbers) -> pd.DataFrame:
    """Keep the running jobs that have not changed for suspiciously long."""
    limit = np.fmax(_HALT, _HALT_SHARE * typical)
    kept = np.flatnonzero(unchanged > limit)
    words = [
        f"no change for {value / 60:,.0f} min, more than {most / 60:,.0f} min"
        for value, most in zip(unchanged[kept], limit[kept], strict=True)
    ]
    columns = {"row": rows[kept], "kind": "stall", "value": unchanged[kept], "rule": words}
    return pd.DataFrame(columns)


def baselines(
    jobs: pd.DataFrame,
    current: pd.DataFrame,
    *,
    end: pd.Timestamp,
    appliances: pd.Index,
    totals: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Tell what is usual for each appliance.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once, on our clock.
    current : DataFrame
        Of `backupkit.tables.SCHEDULES`, each schedule once, as in force at `end`.
    end : Timestamp
        Jobs that ended later are ignored.
    appliances : Index of str
        The appliances to tell about, sorted.
    totals : DataFrame, optional
        Of ``TOTALS``, if `jobs` are not all that are known.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.BASELINES`, a row for each of `appliances`.

    Notes
    -----
    The newest successes are those that ended last. Growth needs 5 sizes over 7 days and rests on
    the newest 100, so that there are at most 4,950 pairs; `growth_share` is held against the median
    of the same sizes. The footprint adds the newest sizes up to the largest ``max_count`` of the
    appliance's enabled schedules; where one of them keeps all, or there is none, it adds them all.

    References
    ----------
    .. [1] sla.md, section 4, numbers 19, 20 and 21.

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
    >>> told = baselines(
    ...     jobs, SCHEDULES.empty(), end=starts[-1] + pd.Timedelta("1D"), appliances=names
    ... )
    >>> told[["learnt", "growth", "footprint"]].values.tolist()
    [[5, 1.0, 3099]]
    """
    number = len(appliances)
    codes = codes_of(jobs["appliance"], appliances)
    began, done = job_times(jobs)
    success = jobs["outcome"].eq("success").to_numpy()
    good = success & (done <= instant(end))
    measures = _measures(jobs)
    typical = {}
    for kind, values in measures.items():
        runs = _Runs.of(codes, done, values, good)
        has, newest = runs.newest(number)
        learnt = np.minimum(has, BASELINE_RUNS)
        typical[kind] = np.full(number, np.nan)
        for part, window in runs.windows(newest, learnt):
            typical[kind][part] = _medians(window)
    sized = good & ~np.isnan(measures["size"])
    # what each run is here is its row in the jobs
    sizes = _Runs.of(codes, done, np.arange(len(jobs), dtype=np.float64), sized)
    rows = sizes.measured.astype(np.intp)
    growth, share = _growths(sizes, began[rows], measures["size"][rows], number)
    has, newest = sizes.newest(number)
    if totals is None:
        totals = totals_of(jobs, POLLS.empty())
    later = np.where(success & (done > instant(end)) & ~np.isnan(measures["size"]), codes, -1)
    every = totals[["sized_jobs", "sized_bytes"]].reindex(appliances).reset_index(drop=True)
    all_jobs = every["sized_jobs"].fillna(0) - np.bincount(later[later >= 0], minlength=number)
    all_bytes = every["sized_bytes"] - sums_of(later, jobs["size"], number=number).fillna(0)
    keeps = retained(current, appliances)
    kept = newest[sizes.codes] - np.arange(len(rows)) < keeps[sizes.codes]
    kept_bytes = sums_of(sizes.codes[kept], jobs["size"].iloc[rows[kept]], number=number)
    whole = keeps >= all_jobs.to_numpy("float64")
    columns = {
        "appliance": pd.Series(appliances, dtype="str"),
        "learnt": pd.Series(learnt),
        "typical_duration": pd.Series(np.rint(typical["duration"] * 1e6).astype("timedelta64[us]")),
        "typical_size": pd.Series(typical["size"]),
        "growth": pd.Series(growth),
        "growth_share": pd.Series(share),
        "footprint": all_bytes.where(all_jobs > 0).where(whole, kept_bytes),
        "footprint_jobs": all_jobs.where(whole, np.minimum(has, keeps)),
    }
    return BASELINES.frame(columns)


def _growths(sizes: _Runs, began: Times, size: Numbers, number: int) -> tuple[Numbers, Numbers]:
    """Give each appliance's growth [bytes/day], and 30 days of it as a share of the median size."""
    growth, share = np.full(number, np.nan), np.full(number, np.nan)
    usable = ~np.isnat(began)
    codes, began, size = sizes.codes[usable], began[usable], size[usable]
    days = (began - _EPOCH) / _DAY
    after = np.searchsorted(codes, np.arange(number), side="right")
    before = np.searchsorted(codes, np.arange(number), side="left")
    for code in np.flatnonzero(after - before >= _FEWEST_POINTS):
        newest = slice(max(before[code], after[code] - GROWTH_SIZES), after[code])
        when, much = days[newest], size[newest]
        if np.ptp(when) < _SHORTEST:
            continue
        growth[code] = _slope(when, much)
        middle = np.median(much)
        if middle > 0:
            share[code] = _MONTH * growth[code] / middle
    return growth, share


def _slope(when: Numbers, much: Numbers) -> float:
    """Give the Theil-Sen slope: the median of the slopes of all pairs of points."""
    one, other = _pairs(len(when))
    apart = when[other] - when[one]
    distinct = apart != 0
    return float(np.median((much[other] - much[one])[distinct] / apart[distinct]))


@lru_cache(maxsize=GROWTH_SIZES)
def _pairs(number: int) -> tuple[Codes, Codes]:
    """List all pairs of so many points."""
    return np.triu_indices(number, k=1)


def retained(current: pd.DataFrame, appliances: pd.Index) -> Numbers:
    """Return how many backups each appliance keeps.

    Parameters
    ----------
    current : DataFrame
        The schedules in force, of `backupkit.tables.SCHEDULES`.
    appliances : Index of str
        The appliances to tell about.

    Returns
    -------
    array of float64
        The largest ``max_count`` of the enabled schedules; infinity where one of them keeps all,
        or there is none.
    """
    enabled = current[current["enabled"].fillna(value=False).astype("bool")]
    codes = codes_of(enabled["appliance"], appliances)
    most = enabled["max_count"].to_numpy("float64", na_value=np.inf)
    keeps = np.zeros(len(appliances))
    np.maximum.at(keeps, codes[codes >= 0], np.where(most < 1, np.inf, most)[codes >= 0])
    return np.where(keeps == 0, np.inf, keeps)
