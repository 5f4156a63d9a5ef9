"""The range of usual durations or sizes, from the appliance's own past.

A deviation is the logarithm of a value over the median of the ten successes before it. The spread
of the deviations of the last 100 successes, and Student's t distribution, give the deviation that
an ordinary run exceeds with a stated probability.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from backupkit.analysis.arrays import Codes, Flags, Times
from backupkit.analysis.measured_jobs import MeasuredJobs, Numbers, compute_row_medians
from backupkit.tables.constants import BASELINE_RUNS, SPREAD_RUNS

__all__ = ["PastRuns", "UsualRange", "student_t_limit"]

_MAD_TO_SIGMA: Final = 0.6745  # MAD of a normal distribution in sigmas (Iglewicz and Hoaglin)
_CLIP: Final = 2.5  # sigmas; larger deviations count as this
_CLIPPED_VARIANCE: Final = 0.97756  # of a normal distribution whose values are clipped there
_PRIOR_RUNS: Final = 8
_PRIOR_SIGMA: Final = 0.12
_MEDIAN_VARIANCE: Final = 1.57  # of a median, in variances of the mean
_WEEKDAYS: Final = 7
_RHYTHM_RUNS: Final = 4  # fewest runs on a weekday that show a rhythm
_FAR_RUNS: Final = 2  # of the runs of a rhythm, that deviate as far as their median
_ROUNDING: Final = 1 - 1e-9
_SMALLEST: Final = 1.0  # second or byte; smaller values count as this
_DAY: Final = np.timedelta64(1, "D")
_EPOCH: Final = np.datetime64(0, "us")


@dataclass(frozen=True, slots=True)
class UsualRange:
    """The usual value of each job, and how far it may deviate.

    Attributes
    ----------
    counts : array of int
        Successes in the median, at most 10.
    middle : array of float
        The usual value, that of the weekday where there is a rhythm; NaN without a success.
    spread : array of float
        The spread of the deviations; logarithm.
    above, below : array of float
        The largest usual deviation upwards and downwards; logarithms, both positive.
    by_weekday : array of bool
        Whether the usual value is that of the weekday.
    """

    counts: Codes
    middle: Numbers
    spread: Numbers
    above: Numbers
    below: Numbers
    by_weekday: Flags

    def deviate(self, values: Numbers) -> Numbers:
        """Return the deviation of each value from the usual one."""
        return _log(values) - _log(self.middle)


@dataclass(frozen=True, slots=True)
class PastRuns:
    """The successes with a value, and how each deviated from those before it.

    Attributes
    ----------
    runs : MeasuredJobs
        The successes.
    days : array of float
        Their starts, in days since 1970; NaN if missing.
    middle : array of float
        The median of the newest ten up to each of them.
    deviations : array of float
        The logarithm of each value over the median of the ten before it, and of the first ten over
        their own median.
    """

    runs: MeasuredJobs
    days: Numbers
    middle: Numbers
    deviations: Numbers

    @classmethod
    def measure(cls, runs: MeasuredJobs, starts: Times) -> "PastRuns":
        """Compute medians and deviations.

        Parameters
        ----------
        runs : MeasuredJobs
            The successes with a value.
        starts : array of datetime64
            Their starts.

        Returns
        -------
        PastRuns
            What jobs can be compared with.
        """
        places = np.arange(len(runs.codes))
        first = np.searchsorted(runs.codes, runs.codes, side="left")
        last = np.searchsorted(runs.codes, runs.codes, side="right") - 1
        ranks = places - first
        counts = np.minimum(ranks + 1, BASELINE_RUNS)
        middle = runs.compute_medians(places, counts, BASELINE_RUNS)
        first_ten = np.minimum(first + BASELINE_RUNS - 1, last)
        until = np.where(ranks < BASELINE_RUNS, first_ten, places - 1)
        deviations = _log(runs.measured) - _log(middle[until])
        return cls(runs, _count_days(starts), middle, deviations)

    def find_suspects(self, codes: Codes, times: Times, values: Numbers, smallest: float) -> Codes:
        """Return the jobs that may deviate by more than a limit; the others do not.

        Parameters
        ----------
        codes, times, values : array
            The appliances, starts and values of jobs.
        smallest : float
            The limit; a logarithm.

        Returns
        -------
        array of int
            Positions of jobs with ten successes before them, ascending.

        Notes
        -----
        A job deviates from the median of ten runs, and that of its weekday is taken out. If the
        difference exceeds the limit, one of both exceeds half of it. That of the weekday is a
        median of four runs or more. Two of them at least exceed what it exceeds, the same way.
        They lie within half a day of the same time of the week: on one of two days of the week.
        """
        found, positions = self.runs.find_before(codes, times)
        rows = np.flatnonzero(found >= BASELINE_RUNS)
        until = positions[rows] + 1
        begin = until - np.minimum(found[rows], SPREAD_RUNS)
        half = smallest / 2 * _ROUNDING
        deviation = _log(values[rows]) - _log(self.middle[until - 1])
        is_suspect = np.abs(deviation) > half
        two_days = np.floor(_count_days(times[rows]) - 0.5)[:, None] + np.arange(2)
        two_days = (two_days % _WEEKDAYS).astype(np.intp)
        weekdays = np.floor(self.days) % _WEEKDAYS == np.arange(_WEEKDAYS)[:, None]
        totals = np.zeros((_WEEKDAYS, len(self.days) + 1), dtype=np.int64)
        for deviations in (self.deviations, -self.deviations):
            np.cumsum(weekdays & (deviations > half), axis=1, out=totals[:, 1:])
            far = totals[two_days, until[:, None]] - totals[two_days, begin[:, None]]
            is_suspect |= far.sum(axis=1) >= _FAR_RUNS
        rows, deviation = rows[is_suspect], deviation[is_suspect]
        is_suspect = np.abs(deviation) > smallest * _ROUNDING
        windows = self._iterate_windows(positions[rows], found[rows], times[rows])
        for chunk, window, weekdays in windows:
            has_rhythm, offset = _find_rhythm(window, weekdays == 0, 0.0)
            is_far = np.abs(deviation[chunk][has_rhythm] - offset) > smallest * _ROUNDING
            is_suspect[chunk][has_rhythm] |= is_far
        return rows[is_suspect]

    def find_range(self, codes: Codes, times: Times, false_alarms: float) -> UsualRange:
        """Return what is usual for jobs that start at some times.

        Parameters
        ----------
        codes, times : array
            The appliances and starts of the jobs to compare. Only successes that ended before a
            start count for it.
        false_alarms : float
            The accepted probability that an ordinary value is out of range.

        Returns
        -------
        UsualRange
            One entry for each job to compare.

        Notes
        -----
        The spread is the root mean square of the deviations, each clipped at 2.5 times the robust
        spread by the median. It is pooled with 8 imagined runs with a spread of 12 %, which decide
        where there are few. A weekday has a rhythm if its last four deviations are all above, or
        all below, the spread. Then the median of its deviations is taken out of them, and is added
        to the usual value. What two of the 100 runs before exceeded is usual, too.

        References
        ----------
        .. [1] docs/sla.md, section 4, number 19.
        """
        found, positions = self.runs.find_before(codes, times)
        middle = np.append(self.middle, np.nan)[positions]
        shift, spread, above, below = (np.zeros(len(codes)) for _ in range(4))
        for chunk, window, weekdays in self._iterate_windows(positions, found, times):
            shift[chunk], widening = _remove_rhythm(window, weekdays)
            spread[chunk], limit = _estimate_spread(window, false_alarms)
            spread[chunk] *= widening
            above[chunk], below[chunk] = (
                np.maximum(limit * spread[chunk], _find_second_largest(one))
                for one in (window, -window)
            )
        baseline_runs = np.minimum(found, BASELINE_RUNS)
        return UsualRange(baseline_runs, middle * np.exp(shift), spread, above, below, shift != 0)

    def _iterate_windows(
        self, positions: Codes, found: Codes, times: Times
    ) -> Iterator[tuple[slice, Numbers, Numbers]]:
        """Yield in chunks the deviations of the 100 runs before jobs, and their days of the week.

        Day 0 is that of the job itself, whatever it is called; NaN is that of a missing start.
        """
        counts, own_days = np.minimum(found, SPREAD_RUNS), _count_days(times)
        windows = zip(
            self.runs.iterate_windows(positions, counts, SPREAD_RUNS, self.deviations),
            self.runs.iterate_windows(positions, counts, SPREAD_RUNS, self.days),
            strict=True,
        )
        for (chunk, window), (_, days) in windows:
            distances = np.rint(own_days[chunk, None] - days)
            # the remainder; numpy's own takes ten times as long
            yield chunk, window, distances - _WEEKDAYS * np.floor(distances / _WEEKDAYS)


def _count_days(times: Times) -> Numbers:
    """Return the days since 1970, NaN for a missing time."""
    days: Numbers = (times - _EPOCH) / _DAY
    return days


def _log(values: Numbers) -> Numbers:
    """Return logarithms; values below one second or byte count as one."""
    logs: Numbers = np.log(np.maximum(values, _SMALLEST))
    return logs


def _remove_rhythm(window: Numbers, weekdays: Numbers) -> tuple[Numbers, Numbers]:
    """Take the rhythm of each weekday out of the deviations, in place.

    Return the deviation of the weekday of the job itself, which is 0, and by which factor its
    uncertainty widens the range.
    """
    shift, widening = np.zeros(len(window)), np.ones(len(window))
    usual = compute_row_medians(np.abs(window)) / _MAD_TO_SIGMA
    for weekday in range(_WEEKDAYS):
        own = weekdays == weekday
        rows, offset = _find_rhythm(window, own, usual)
        window[rows] -= np.where(own[rows], offset[:, None], 0.0)
        if weekday == 0:
            shift[rows] = offset
            number = np.count_nonzero(own[rows], axis=1)
            widening[rows] = np.sqrt(1 + _MEDIAN_VARIANCE / number)
    return shift, widening


def _find_rhythm(window: Numbers, own: Flags, usual: Numbers | float) -> tuple[Codes, Numbers]:
    """Return the rows in which some runs have a rhythm, and the median of those runs.

    The last four of them all deviate by more than what is usual, in the same direction.
    """
    newest = np.cumsum(own[:, ::-1], axis=1)[:, ::-1] <= _RHYTHM_RUNS
    recent = own & newest
    lowest = np.min(window, axis=1, where=recent, initial=np.inf)
    highest = np.max(window, axis=1, where=recent, initial=-np.inf)
    is_complete = np.count_nonzero(own, axis=1) >= _RHYTHM_RUNS
    rows = np.flatnonzero(is_complete & ((lowest > usual) | (highest < -usual)))
    return rows, compute_row_medians(np.where(own[rows], window[rows], np.nan))


def _estimate_spread(window: Numbers, false_alarms: float) -> tuple[Numbers, Numbers]:
    """Return the spread of each row, and how many spreads an ordinary deviation can be."""
    distances = np.abs(window)
    robust = compute_row_medians(distances) / _MAD_TO_SIGMA
    clipped = np.minimum(distances, _CLIP * robust[:, None])
    number = np.count_nonzero(~np.isnan(window), axis=1)
    total = np.nansum(clipped**2, axis=1) / _CLIPPED_VARIANCE
    pooled = (_PRIOR_RUNS * _PRIOR_SIGMA**2 + total) / (_PRIOR_RUNS + number)
    return np.sqrt(pooled), student_t_limit(_PRIOR_RUNS + number.astype(np.float64), false_alarms)


def student_t_limit(degrees: Numbers, probability: float) -> Numbers:
    """Return the limit that Student's t exceeds, up or down, with a probability.

    Parameters
    ----------
    degrees : array of float
        Degrees of freedom, 1 or more.
    probability : float
        Of both tails together.

    Returns
    -------
    array of float
        By the approximation of Wallace, which is within 1 % from 8 degrees on.

    References
    ----------
    .. [1] D. L. Wallace, Bounds on normal approximations to Student's and the chi-square
       distributions, Ann. Math. Stat. 30 (1959), 1121-1130.

    Examples
    --------
    >>> student_t_limit(np.array([18.0, 108.0]), 1e-5).round(2).tolist()
    [6.07, 4.64]
    """
    normal = -NormalDist().inv_cdf(probability / 2)
    scaled = normal * (8 * degrees + 3) / (8 * degrees + 1)
    limits: Numbers = np.sqrt(degrees * np.expm1(scaled**2 / degrees))
    return limits


def _find_second_largest(window: Numbers) -> Numbers:
    """Return the second largest value of each row, at least 0."""
    filled = np.where(np.isnan(window), -math.inf, window)
    second: Numbers = np.partition(filled, -2, axis=1)[:, -2]
    return np.maximum(second, 0.0)
