"""Exact tests of whether a value occurs more often than chance explains."""

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["FALSE_DISCOVERY_RATE", "askable_limit", "hypergeometric_tail", "q_values"]

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

FALSE_DISCOVERY_RATE: Final = 0.05
"""Largest expected share of findings that are chance."""


def hypergeometric_tail(
    population: Counts, sharing: Counts, affected: Counts, observed: Counts
) -> Numbers:
    """Return the chance that at least `observed` of the affected share a value.

    Parameters
    ----------
    population, sharing, affected, observed : array of int
        How many are compared, how many of them share the value, how many are affected, and how
        many of the affected share it. All have the same length.

    Returns
    -------
    array of float
        P(X >= observed), where the affected are a random choice from the population.

    References
    ----------
    .. [1] R. A. Fisher, The logic of inductive inference, J. R. Stat. Soc. 98 (1935), 39-82.

    Examples
    --------
    Three of ten appliances fail, and all three are on a target with four: 4 of 120 choices.

    >>> ten, four, three = np.array([10]), np.array([4]), np.array([3])
    >>> float(hypergeometric_tail(ten, four, three, three)[0])
    0.0333333333333
    """
    rows = np.column_stack([population, sharing, affected, observed]).astype(np.int64)
    distinct, inverse = np.unique(rows, axis=0, return_inverse=True)
    log_factorials = _tabulate_log_factorials(int(distinct[:, 0].max(initial=0)))
    tails = [_sum_tail(log_factorials, *map(int, row)) for row in distinct]
    return np.array(tails, dtype=np.float64)[inverse.reshape(-1)]


def _tabulate_log_factorials(largest: int) -> Numbers:
    """Return the logarithms of 0! to `largest`!."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, largest + 1)))])


def _sum_tail(
    log_factorials: Numbers, population: int, sharing: int, affected: int, observed: int
) -> float:
    """Sum the probabilities of `observed` and more."""
    counts = np.arange(
        max(observed, affected + sharing - population, 0), min(sharing, affected) + 1
    )
    if not len(counts):
        return 0.0

    def choose(total: int, chosen: Counts | int) -> Numbers:
        picked: Numbers = (
            log_factorials[total] - log_factorials[chosen] - log_factorials[total - chosen]
        )
        return picked

    logs = choose(sharing, counts) + choose(population - sharing, affected - counts)
    total = float(np.sum(np.exp(logs - choose(population, affected))))
    # the least count that is possible has a tail of 1, up to rounding
    return min(1.0, float(f"{total:.12g}"))


def askable_limit(smallest: Numbers, weights: Counts, *, rate: float) -> float:
    """Return the largest p value that a question may need at best, to be asked at all.

    Parameters
    ----------
    smallest : array of float
        The smallest p value that each question can have, whatever the answer is.
    weights : array of int
        How many questions each entry stands for.
    rate : float
        The false discovery rate.

    Returns
    -------
    float
        `rate` / K, for the smallest K with at most K questions that can have a p value as small.
        Questions above it could never be answered with yes.

    References
    ----------
    .. [1] P. B. Gilbert, A modified false discovery rate multiple-comparisons procedure for
       discrete data, J. R. Stat. Soc. C 54 (2005), 143-158.

    Examples
    --------
    Of three questions, one can at best have 0.5. The other two are asked at 0.05 / 2.

    >>> askable_limit(np.array([0.001, 0.02, 0.5]), np.array([1, 1, 1]), rate=0.05)
    0.025
    """
    order = np.argsort(smallest)
    ordered, totals = smallest[order], np.concatenate([[0], np.cumsum(weights[order])])
    low, high = 1, max(1, int(totals[-1]))
    while low < high:
        middle = (low + high) // 2
        possible = totals[np.searchsorted(ordered, rate / middle, side="right")]
        low, high = (low, middle) if possible <= middle else (middle + 1, high)
    return rate / low


def q_values(p_values: Numbers, asked: int) -> Numbers:
    """Return the false discovery rates at which the findings would be reported.

    Parameters
    ----------
    p_values : array of float
        The p values of the questions that may be findings; that of every other one is 1.
    asked : int
        The number of all questions asked.

    Returns
    -------
    array of float
        The least rate at which each question is a finding, at most 1.

    References
    ----------
    .. [1] Y. Benjamini and Y. Hochberg, Controlling the false discovery rate, J. R. Stat. Soc. B 57
       (1995), 289-300.

    Examples
    --------
    >>> q_values(np.array([0.001, 0.03]), asked=4).tolist()
    [0.004, 0.06]
    """
    order = np.argsort(p_values)
    scaled = p_values[order] * asked / np.arange(1, len(p_values) + 1)
    least = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    rates = np.empty(len(p_values))
    rates[order] = least
    return rates
