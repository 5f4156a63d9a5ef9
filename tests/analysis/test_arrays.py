"""Columns as arrays, and searching them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit.analysis.arrays import (
    NAT,
    find_asof_index,
    find_group_first,
    find_sort_order,
    to_codes,
    to_instant,
    to_times,
    to_utc_column,
)

EPOCH = np.datetime64("2026-11-02", "us")


def test_times_and_back() -> None:
    """A zone-aware column stays the same when converted to times and back, with missing values."""
    column = pd.Series([pd.Timestamp("2026-11-02T01:00Z"), pd.NaT], dtype="datetime64[us, UTC]")
    pd.testing.assert_series_equal(to_utc_column(to_times(column)), column)


def test_instant_of_another_zone() -> None:
    """A time of any zone becomes the same time in UTC."""
    assert to_instant(pd.Timestamp("2026-11-02T01:00+01:00")) == EPOCH


def test_unknown_appliances_have_no_code() -> None:
    """An appliance outside the index has the code -1."""
    assert to_codes(pd.Series(["b", "x"]), pd.Index(["a", "b"])).tolist() == [1, -1]


def test_first_of_each_group() -> None:
    """The first row by time of each group is found in any order of rows."""
    times = EPOCH + np.array([3, 1, 2], dtype="timedelta64[h]")
    groups, rows = find_group_first(np.array([7, 7, 2]), times)
    assert (groups.tolist(), rows.tolist()) == ([2, 7], [2, 1])


def test_times_far_apart() -> None:
    """Times too far apart to be numbered in microseconds are still distinguished."""
    days = ["9000-01-01", "1000-01-01", "NaT", "9000-01-02"]
    times = np.array(days, dtype="datetime64[us]")
    codes = np.array([90, 90, 90, 0])
    assert find_sort_order(codes, times).tolist() == [3, 1, 0, 2]
    assert find_asof_index(codes, times, codes, times).tolist() == [0, 1, -1, 3]


EVENTS = st.lists(st.tuples(st.integers(0, 2), st.one_of(st.none(), st.integers(0, 6))), max_size=9)


@pytest.mark.property
@given(keys=EVENTS, queries=EVENTS)
def test_latest_is_what_a_search_finds(
    keys: list[tuple[int, int | None]], queries: list[tuple[int, int | None]]
) -> None:
    """The search finds the same row as a loop over all keys."""

    def arrays(events: list[tuple[int, int | None]]) -> tuple[np.ndarray, np.ndarray]:
        hours = [NAT if hour is None else EPOCH + np.timedelta64(hour, "h") for _, hour in events]
        return np.array([code for code, _ in events], np.intp), np.array(hours, "datetime64[us]")

    found = find_asof_index(*arrays(keys), *arrays(queries)).tolist()
    for (code, hour), position in zip(queries, found, strict=True):
        before = [
            (key_hour, number)
            for number, (key_code, key_hour) in enumerate(keys)
            if key_code == code and hour is not None and key_hour is not None and key_hour <= hour
        ]
        assert position == max(before, default=(0, -1))[1]
