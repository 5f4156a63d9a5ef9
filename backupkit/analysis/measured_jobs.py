"""Successful jobs with one measured value each, and the newest ones before a moment."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.analysis.arrays import (
    Codes,
    Flags,
    Times,
    find_asof_index,
    find_sort_order,
    to_times,
)

__all__ = ["SECOND", "MeasuredJobs", "Numbers", "compute_row_medians", "measure_jobs"]

Numbers = npt.NDArray[np.float64]

SECOND = np.timedelta64(1, "s")
_CHUNK_VALUES = 200_000  # values in memory at once: they fit into the cache of a processor
_TICK = np.timedelta64(1, "us")


@dataclass(frozen=True, slots=True)
class MeasuredJobs:
    """Successful jobs sorted by appliance and end, with one measured value each."""

    codes: Codes
    ended_at: Times
    measured: Numbers

    @classmethod
    def select(cls, codes: Codes, ended_at: Times, values: Numbers, rows: Flags) -> "MeasuredJobs":
        """Select and sort rows."""
        chosen = np.flatnonzero(rows & (codes >= 0) & ~np.isnat(ended_at))
        order = chosen[find_sort_order(codes[chosen], ended_at[chosen])]
        return cls(codes[order], ended_at[order], values[order])

    def find_newest(self, number: int) -> tuple[Codes, Codes]:
        """Return the count and the newest position of each of `number` appliances."""
        all_codes = np.arange(number)
        first_after = np.searchsorted(self.codes, all_codes, side="right")
        return first_after - np.searchsorted(self.codes, all_codes, side="left"), first_after - 1

    def find_before(self, codes: Codes, times: Times) -> tuple[Codes, Codes]:
        """Return the count, and the newest position, of the jobs that ended before each time."""
        positions = find_asof_index(self.codes, self.ended_at, codes, times - _TICK)
        first = np.searchsorted(self.codes, codes, side="left")
        return np.where(positions < 0, 0, positions - first + 1), positions

    def iterate_windows(
        self, positions: Codes, counts: Codes, length: int, values: Numbers | None = None
    ) -> Iterator[tuple[slice, Numbers]]:
        """Yield in chunks the newest `counts` values up to each position, padded with NaN.

        At most `length` values are in a row, the newest last. `values` has other values of the same
        jobs.
        """
        measured = self.measured if values is None else values
        padded = np.concatenate([np.full(length, np.nan), measured])
        views = np.lib.stride_tricks.sliding_window_view(padded, length)
        age = np.arange(length)[::-1]
        step = max(1, _CHUNK_VALUES // length)
        for begin in range(0, len(positions), step):
            chunk = slice(begin, begin + step)
            window = views[positions[chunk] + 1]
            window[age >= counts[chunk, None]] = np.nan
            yield chunk, window

    def compute_medians(self, positions: Codes, counts: Codes, length: int) -> Numbers:
        """Return the median of the newest `length` values up to each position, NaN without one."""
        middle = np.full(len(positions), np.nan)
        for chunk, window in self.iterate_windows(positions, counts, length):
            middle[chunk] = compute_row_medians(window)
        return middle


def compute_row_medians(rows: Numbers) -> Numbers:
    """Return the median of each row, NaN for a row without numbers."""
    ordered = np.sort(rows, axis=1)
    counts = np.count_nonzero(~np.isnan(ordered), axis=1)
    at = np.arange(len(rows))
    low, high = ordered[at, np.maximum(counts - 1, 0) // 2], ordered[at, counts // 2]
    middle: Numbers = (low + high) / 2
    return middle


def measure_jobs(jobs: pd.DataFrame) -> dict[str, Numbers]:
    """Return each job's duration [s] and size [bytes], NaN where missing or below 0."""
    length = (to_times(jobs["end_time"]) - to_times(jobs["start_time"])) / SECOND
    size = jobs["size"].to_numpy("float64", na_value=np.nan)
    measured = {"duration": length, "size": size}
    return {kind: np.where(values >= 0, values, np.nan) for kind, values in measured.items()}
