"""The clocks of the appliances: what to subtract from their times, at each time."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import (
    Codes,
    Spans,
    Times,
    compute_group_cummax,
    find_asof_index,
    mark_among,
    mark_group_starts,
    to_codes,
    to_spans,
    to_times,
)
from backupkit.tables import TOLERATED_SKEW, find_set_clocks, list_measured_skews

__all__ = ["Clocks", "skew_corrections"]

_ALWAYS: Final = np.datetime64("1900-01-01", "us")
_NEVER: Final = np.datetime64("2200-01-01", "us")
_ZERO: Final = np.timedelta64(0, "us")


def skew_corrections(skew: pd.Series) -> pd.Series:
    """Return the clock correction to subtract from times.

    Parameters
    ----------
    skew : Series of timedelta64
        The appliance's clock minus the collector's; missing where unknown.

    Returns
    -------
    Series of timedelta64
        The skew where it is larger than 5 minutes, else 0. Policies tolerate smaller errors, and
        their measurement is not reliable.

    Examples
    --------
    >>> skew = pd.Series(pd.to_timedelta(["-2h", "299s", None]), index=["a", "b", "c"])
    >>> skew_corrections(skew).to_list()
    [Timedelta('-1 days +22:00:00'), Timedelta('0 days 00:00:00'), Timedelta('0 days 00:00:00')]
    """
    return skew.where(skew.abs() > TOLERATED_SKEW, pd.Timedelta(0)).astype("timedelta64[us]")


@dataclass(frozen=True, slots=True, eq=False)
class Clocks:
    """The clock corrections of each appliance, and from when each of them holds.

    Attributes
    ----------
    index : Index of str
        The appliances.
    codes : array of intp
        The appliance's position in `index`, sorted.
    begins : array of datetime64[us]
        From when a correction holds [UTC], by the clock of the collector, sorted by appliance. The
        first one of an appliance covers all earlier time.
    corrections : array of timedelta64[us]
        The appliance's clock minus the collector's, 0 up to 5 minutes.
    """

    index: pd.Index
    codes: Codes
    begins: Times
    corrections: Spans

    @classmethod
    def of(
        cls, polls: pd.DataFrame, appliances: pd.Index, *, start: pd.Timestamp, end: pd.Timestamp
    ) -> Self:
        """Derive the corrections from polls.

        Parameters
        ----------
        polls : DataFrame
            Of `backupkit.tables.POLLS`, in any order.
        appliances : Index of str
            The appliances.
        start, end : Timestamp
            The period, for `backupkit.tables.find_set_clocks`.

        Notes
        -----
        A clock that was not set has the newest difference for all time: small changes are errors of
        the measurement. One that was set has that of each time: a difference holds from the first
        poll that measured it, until a poll measures one that is more than 5 minutes off.

        References
        ----------
        .. [1] docs/sla.md, section 4, number 31.
        """
        measured = list_measured_skews(polls)
        measured = measured[mark_among(measured["appliance"], appliances)]
        was_set = measured["appliance"].isin(find_set_clocks(polls, start=start, end=end))
        same = measured["appliance"].eq(measured["appliance"].shift())
        jump = was_set & (measured["clock_skew"].diff().abs() > TOLERATED_SKEW)
        begins = (~same | jump).to_numpy(dtype=bool)
        newest = np.append(begins[1:], np.True_)[: len(begins)]  # of each stretch
        codes = to_codes(measured["appliance"], appliances)[begins]
        since = to_times(measured["polled_at"])[begins].copy()
        since[mark_group_starts(codes)] = _ALWAYS
        corrections = to_spans(skew_corrections(measured["clock_skew"]))[newest]
        order = np.argsort(codes, kind="stable")
        return cls(appliances, codes[order], since[order], corrections[order])

    @classmethod
    def constant(cls, corrections: pd.Series) -> Self:
        """Return one correction for all time of each appliance, from `skew_corrections`."""
        codes = np.arange(len(corrections), dtype=np.intp)
        begins = np.full(len(corrections), _ALWAYS)
        return cls(corrections.index, codes, begins, to_spans(corrections))

    @property
    def was_set(self) -> bool:
        """True if a clock has several corrections."""
        return bool(np.any(self.codes[1:] == self.codes[:-1]))

    def find_corrections(self, codes: Codes, times: Times) -> Spans:
        """Return the correction at each time by the clock of the collector; without one, 0."""
        if not self.was_set:  # the first one of an appliance covers all time
            by_code = np.full(len(self.index) + 1, _ZERO)  # the last one is that of code -1
            by_code[self.codes] = self.corrections
            return np.where(np.isnat(times), _ZERO, by_code[codes])
        row = find_asof_index(self.codes, self.begins, codes, times)
        return np.append(self.corrections, _ZERO)[row]

    def correct(self, codes: Codes, times: Times) -> Times:
        """Convert times by the appliances' clocks to those of the collector's.

        A time that a clock showed twice is the first one. One that it never showed is when the
        clock had been set. Missing times stay missing.
        """
        ends = np.full(len(self.codes), _NEVER)
        same = self.codes[1:] == self.codes[:-1]
        ends[:-1] = np.where(same, self.begins[1:] + self.corrections[:-1], _NEVER)
        # by its own clock, a stretch begins when all before it are over
        shown_from = np.full(len(self.codes), _ALWAYS)
        shown_from[1:] = np.where(same, compute_group_cummax(self.codes, ends)[:-1], _ALWAYS)
        row = find_asof_index(self.codes, shown_from, codes, times)
        corrected = times - np.append(self.corrections, _ZERO)[row]
        return np.maximum(corrected, np.append(self.begins, _ALWAYS)[row])
