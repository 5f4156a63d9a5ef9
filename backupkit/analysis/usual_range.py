"""The range of usual durations or sizes, from the appliance's own past.

A deviation is the logarithm of a value over the median of the ten successes before it. The spread
of the deviations of the last 100 successes, and Student's t distribution, give the deviation that
an ordinary run exceeds with a stated probability.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from backupkit.analysis.arrays import Codes, Flags, Times
from backupkit.analysis.measured_jobs import MeasuredJobs, Numbers, compute_row_medians
from backupkit.tables.constants import BASELINE_RUNS, SPREAD_RUNS

__all__ = ["UsualRange", "find_usual_range", "student_t_limit"]

_MAD_TO_SIGMA: Final = 0.6745  # MAD of a normal distribution in sigmas (Iglewicz and Hoaglin)
_CLIP: Final = 2.5  # sigmas; larger deviations count as this
_CLIPPED_VARIANCE: Final = 0.97756  # of a normal distribution whose values are clipped there
_PRIOR_RUNS: Final = 8
_PRIOR_SIGMA: Final = 0.12
_MEDIAN_VARIANCE: Final = 1.57  # of a median, in variances of the mean
_WEEKDAYS: Final = 7
_RHYTHM_RUNS: Final = 4  # fewest runs on a weekday that show a rhythm
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


def find_usual_range(
    past: MeasuredJobs,
    past_starts: Times,
    codes: Codes,
    times: Times,
    false_alarms: float,
) -> UsualRange:
    """Return what is usual for jobs that start at some times.

    Parameters
    ----------
    past : MeasuredJobs
        The successes with a value.
    past_starts : array of datetime64
        Their starts.
    codes, times : array
        The appliances and starts of the jobs to compare. Only successes that ended before a start
        count for it.
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
    where there are few. The first ten successes of an appliance are compared with their own median.
    A weekday has a rhythm if its last four deviations are all above, or all below, the spread. Then
    the median of its deviations is taken out of them, and is added to the usual value. What two of
    the 100 runs before exceeded is usual, too.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 19.
    """
    found, positions = past.find_before(codes, times)
    counts = np.minimum(found, BASELINE_RUNS)
    middle = past.compute_medians(positions, counts, BASELINE_RUNS)
    deviations = _measure_deviations(past)
    days = (past_starts - _EPOCH) / _DAY
    own_days = (times - _EPOCH) / _DAY
    size = len(codes)
    shift, spread, above, below = (np.zeros(size) for _ in range(4))
    spread_counts = np.minimum(found, SPREAD_RUNS)
    windows = zip(
        past.iterate_windows(positions, spread_counts, SPREAD_RUNS, deviations),
        past.iterate_windows(positions, spread_counts, SPREAD_RUNS, days),
        strict=True,
    )
    for (chunk, window), (_, window_days) in windows:
        distances = np.rint(own_days[chunk, None] - window_days)
        weekdays = np.where(np.isnan(distances), -1, distances % _WEEKDAYS)
        shift[chunk], widening = _remove_rhythm(window, weekdays)
        spread[chunk], limit = _estimate_spread(window, false_alarms)
        spread[chunk] *= widening
        above[chunk], below[chunk] = (
            np.maximum(limit * spread[chunk], _find_second_largest(one))
            for one in (window, -window)
        )
    return UsualRange(counts, middle * np.exp(shift), spread, above, below, shift != 0)


def _log(values: Numbers) -> Numbers:
    """Return logarithms; values below one second or byte count as one."""
    logs: Numbers = np.log(np.maximum(values, _SMALLEST))
    return logs


def _measure_deviations(past: MeasuredJobs) -> Numbers:
    """Return the deviation of each success from the ten before it; see `find_usual_range`."""
    places = np.arange(len(past.codes))
    ranks = places - np.searchsorted(past.codes, past.codes, side="left")
    last = np.searchsorted(past.codes, past.codes, side="right") - 1
    is_early = ranks < BASELINE_RUNS
    first_ten = np.minimum(places - ranks + BASELINE_RUNS - 1, last)
    until = np.where(is_early, first_ten, places - 1)
    counts = np.where(is_early, until - (places - ranks) + 1, BASELINE_RUNS)
    middle = past.compute_medians(until, counts, BASELINE_RUNS)
    return _log(past.measured) - _log(middle)


def _remove_rhythm(window: Numbers, weekdays: Numbers) -> tuple[Numbers, Numbers]:
    """Take the rhythm of each weekday out of the deviations, in place.

    Return the deviation of the weekday of the job itself, which is 0, and by which factor its
    uncertainty widens the range.
    """
    shift, widening = np.zeros(len(window)), np.ones(len(window))
    usual = compute_row_medians(np.abs(window)) / _MAD_TO_SIGMA
    for weekday in range(_WEEKDAYS):
        own = (weekdays == weekday) & ~np.isnan(window)
        newest = np.cumsum(own[:, ::-1], axis=1)[:, ::-1] <= _RHYTHM_RUNS
        recent = own & newest
        lowest = np.min(window, axis=1, where=recent, initial=np.inf)
        highest = np.max(window, axis=1, where=recent, initial=-np.inf)
        number = np.count_nonzero(own, axis=1)
        has_rhythm = (number >= _RHYTHM_RUNS) & ((lowest > usual) | (highest < -usual))
        rows = np.flatnonzero(has_rhythm)
        offset = compute_row_medians(np.where(own[rows], window[rows], np.nan))
        window[rows] -= np.where(own[rows], offset[:, None], 0.0)
        if weekday == 0:
            shift[rows] = offset
            widening[rows] = np.sqrt(1 + _MEDIAN_VARIANCE / number[rows])
    return shift, widening


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
