"""Columns as numpy arrays, and the one look-up that all of the analysis is built on.

Inside the analysis an instant is a naive ``datetime64[us]`` in UTC and an appliance is its position
in the sorted index of the rules: both sort, subtract and compare without building Python objects.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["NAT", "NO_SPAN", "Codes", "Spans", "Times", "codes_of", "first_of", "instant", "latest"]
__all__ += ["spans_of", "times_of", "utc"]

Times = npt.NDArray[np.datetime64]
Spans = npt.NDArray[np.timedelta64]
Codes = npt.NDArray[np.intp]

NAT: Final = np.datetime64("NaT", "us")
NO_SPAN: Final = np.timedelta64("NaT", "us")


def times_of(column: pd.Series) -> Times:
    """Give a zone-aware time column as naive UTC instants.

    Examples
    --------
    >>> times_of(pd.Series(pd.to_datetime(["2026-11-02T01:00Z", None])))
    array(['2026-11-02T01:00:00.000000', 'NaT'], dtype='datetime64[us]')
    """
    naive: Times = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]")
    return naive


def utc(times: Times) -> pd.Series:
    """Give naive UTC instants as a zone-aware column, the opposite of `times_of`."""
    return pd.Series(pd.DatetimeIndex(times, dtype="datetime64[us]").tz_localize("UTC"))


def spans_of(column: pd.Series) -> Spans:
    """Give a duration column as ``timedelta64[us]``."""
    spans: Spans = column.to_numpy("timedelta64[us]")
    return spans


def instant(moment: pd.Timestamp) -> np.datetime64:
    """Give a zone-aware moment as a naive UTC instant."""
    naive: np.datetime64 = moment.tz_convert("UTC").to_datetime64().astype("datetime64[us]")
    return naive


def codes_of(appliance: pd.Series, index: pd.Index) -> Codes:
    """Give each row's appliance as its position in `index`, -1 if it is not there."""
    return index.get_indexer(pd.Index(appliance)).astype(np.intp)


def latest(key_codes: Codes, key_times: Times, codes: Codes, times: Times) -> Codes:
    """Find for each query the last key of the same appliance at or before its time.

    Parameters
    ----------
    key_codes, key_times : array
        The keys, in any order. A key without a time is never found.
    codes, times : array
        The queries. One without a time finds nothing.

    Returns
    -------
    array of intp
        The position among the keys, -1 where there is none. Of keys at the same instant the last.

    Notes
    -----
    Keys and queries are sorted together once: cost n log n over both, whatever the fleet's size.

    Examples
    --------
    >>> day = np.array(["2026-11-02", "2026-11-04"], dtype="datetime64[us]")
    >>> latest(np.array([0, 0]), day, np.array([0, 1]), day)
    array([ 0, -1])
    """
    held = np.flatnonzero(~np.isnat(key_times))
    asked = np.flatnonzero(~np.isnat(times))
    all_codes = np.concatenate([key_codes[held], codes[asked]])
    all_times = np.concatenate([key_times[held], times[asked]])
    is_query = np.arange(len(all_codes)) >= len(held)
    order = np.lexsort((is_query, all_times, all_codes))
    result = np.full(len(times), -1, dtype=np.intp)
    if not len(order):
        return result
    newest = np.maximum.accumulate(np.where(is_query[order], -1, np.arange(len(order))))
    at_query = is_query[order]
    query, newest = order[at_query], newest[at_query]
    key = order[np.maximum(newest, 0)]
    found = (newest >= 0) & (all_codes[key] == all_codes[query])
    result[asked[query[found] - len(held)]] = held[key[found]]
    return result


def first_of(groups: Codes, order_by: Times) -> tuple[Codes, Codes]:
    """Find the row with the smallest time in each group.

    Parameters
    ----------
    groups : array
        The group of each row.
    order_by : array
        The time of each row.

    Returns
    -------
    groups, rows : array of intp
        The groups that occur, ascending, and the position of the first row of each.
    """
    order = np.lexsort((order_by, groups))
    ordered = groups[order]
    starts = np.ones(len(ordered), dtype=bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    return ordered[starts], order[starts]
