"""Dated exclusions, and the observed part of time spans."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.analysis.arrays import Codes, Spans, Times, asof_index, times_of, to_codes
from backupkit.tables import OBSERVED_STATES

__all__ = ["NO_EXCLUSIONS", "Exclusions", "observed_time"]

_FIRST: Final = np.datetime64("1900-01-01", "us")
_LAST: Final = np.datetime64("2200-01-01", "us")
_ZERO: Final = np.timedelta64(0, "us")


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
        starts, ends = times_of(exclusion_rows["start"]), times_of(exclusion_rows["end"])
        starts = np.where(np.isnat(starts), _FIRST, starts)
        ends = np.where(np.isnat(ends), _LAST, ends)
        order = np.lexsort((starts, codes))
        order = order[codes[order] >= 0]
        codes, starts, ends = codes[order], starts[order], ends[order]
        reach = pd.Series(ends.astype(np.int64)).groupby(codes).cummax().to_numpy()
        begins = np.ones(len(codes), dtype=bool)
        begins[1:] = (codes[1:] != codes[:-1]) | (starts[1:].astype(np.int64) > reach[:-1])
        last = np.append(begins[1:], np.True_)[: len(codes)]
        return cls(codes[begins], starts[begins], reach[last].astype("datetime64[us]"))

    def contains(self, codes: Codes, times: Times) -> npt.NDArray[np.bool_]:
        """Return whether each (appliance, time) is out of scope; False without a time."""
        inside = np.zeros(len(times), dtype=bool)
        if len(self.codes):
            row = asof_index(self.codes, self.starts, codes, times)
            has_start = row >= 0
            inside[has_start] = times[has_start] < self.ends[row[has_start]]
        return inside


NO_EXCLUSIONS: Final = Exclusions(
    np.array([], dtype=np.intp),
    np.array([], dtype="datetime64[us]"),
    np.array([], dtype="datetime64[us]"),
)
"""No exclusions."""


def observed_time(
    segments: pd.DataFrame, codes: Codes, begin: Times, until: Times, *, appliances: pd.Index
) -> Spans:
    """Sum the observed time of each span.

    Parameters
    ----------
    segments : DataFrame
        Result of `segments`. Compliant, in breach and onboarding time is observed; unknown time
        and time that a rule excludes is not.
    codes : array
        The appliance of each span, as its position in `appliances`.
    begin, until : array
        Start and end of each span.
    appliances : Index of str
        The appliances.

    Returns
    -------
    array of timedelta64
        The observed time of each span.
    """
    observed = segments["state"].isin([*OBSERVED_STATES, "excluded"]) & ~segments["ruled"]
    starts, ends = times_of(segments["start"]), times_of(segments["end"])
    length = np.where(observed.to_numpy(), ends - starts, _ZERO)
    before = np.concatenate([[_ZERO], np.cumsum(length)])
    owners = to_codes(segments["appliance"], appliances)
    first = np.searchsorted(owners, codes)

    def up_to(times: Times) -> Spans:
        row = asof_index(owners, starts, codes, times)
        at = np.where(row >= 0, row, 0)
        inside = np.fmin(times - starts[at], length[at]) if len(starts) else before[at]
        total: Spans = np.where(row >= 0, before[at] + inside, before[first])
        return total

    return up_to(until) - up_to(begin)
