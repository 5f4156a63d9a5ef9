"""Trend by day, and the data version of an assessment."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Final

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupkit.analysis import TrendStep, choose_trend_steps, data_fingerprint, trend
from backupkit.tables import INTERVALS, POLLS, SLOT_STATES, SLOTS, STATES, TREND
from tests.builders import assess_week
from tests.conftest import repeats

NOON = pd.Timestamp("2026-11-02T12:00Z")
HOUR = pd.Timedelta(hours=1)
DAY = pd.Timedelta(days=1)


class TestTrend:
    """`trend`."""

    def test_days_are_cut_at_midnight(self) -> None:
        """A state that lasts over midnight counts in both days; a partial day is shorter."""
        intervals = INTERVALS.frame(
            {
                "appliance": ["a", "a", "b"],
                "state": ["compliant", "unknown", "breach"],
                "start": [NOON, NOON + 18 * HOUR, NOON],
                "end": [NOON + 18 * HOUR, NOON + 24 * HOUR, NOON + 24 * HOUR],
            }
        )
        days = trend(intervals, SLOTS.empty(), start=NOON, end=NOON + 24 * HOUR)
        TREND.check(days)
        assert [f"{day:%d}" for day in days.index] == ["02", "03"]
        assert [span / HOUR for span in days["compliant"]] == [12, 6]
        assert [span / HOUR for span in days["breach"]] == [12, 12]
        assert [span / HOUR for span in days["unknown"]] == [0, 6]
        assert days["rpo_strict"].to_list() == [0.5, 0.25]
        assert days["rpo_observed"].to_list() == [0.5, pytest.approx(1 / 3)]

    def test_the_end_is_no_day_of_its_own(self) -> None:
        """A period that ends at midnight excludes the next day, and empty days are NA."""
        start = NOON.normalize()
        days = trend(INTERVALS.empty(), SLOTS.empty(), start=start, end=start + 48 * HOUR)
        assert len(days) == 2
        assert days["rpo_strict"].isna().all()

    def test_a_run_is_of_the_day_it_was_planned(self) -> None:
        """Runs are counted by state on the UTC day of their slot."""
        slots = SLOTS.frame(
            {
                "appliance": ["a"] * 3,
                "state": ["met", "late", "met"],
                "slot": [NOON, NOON + 11 * HOUR, NOON + 12 * HOUR],
            }
        )
        days = trend(INTERVALS.empty(), slots, start=NOON, end=NOON + 24 * HOUR)
        assert days["slots_met"].to_list() == [1, 1]
        assert days["slots_late"].to_list() == [1, 0]

    def test_the_days_add_up_to_the_period(self) -> None:
        """The days add up to the period."""
        week = assess_week()
        days = trend(week.intervals, week.slots, start=week.start, end=week.end)
        for state in STATES:
            assert days[state].sum() == week.appliances[state].sum()
        for state in SLOT_STATES:
            assert days[f"slots_{state}"].sum() == week.slots["state"].eq(state).sum()


MONDAY: Final = pd.Timestamp("2026-12-21T00:00Z")
"""A period that begins then touches two years."""


class TestWeeksAndMonths:
    """`trend` by week and by month."""

    def test_an_iso_week_begins_on_monday(self) -> None:
        """Weeks may belong to two years: 28 December to 3 January is one."""
        start, end = pd.Timestamp("2026-12-23T06:00Z"), MONDAY + 21 * DAY
        weeks = trend(INTERVALS.empty(), SLOTS.empty(), start=start, end=end, by="week")
        assert [f"{day:%Y-%m-%d}" for day in weeks.index] == [
            "2026-12-21",
            "2026-12-28",
            "2027-01-04",
        ]

    def test_a_month_is_a_calendar_month(self) -> None:
        """Months are cut at their first day; a period of one minute touches one month."""
        start = pd.Timestamp("2026-11-30T23:59Z")
        months = trend(
            INTERVALS.empty(), SLOTS.empty(), start=start, end=start + 64 * DAY, by="month"
        )
        assert [f"{day:%m-%d}" for day in months.index] == ["11-01", "12-01", "01-01", "02-01"]
        minute = trend(
            INTERVALS.empty(), SLOTS.empty(), start=start, end=start + HOUR / 60, by="month"
        )
        assert [f"{day:%m-%d}" for day in minute.index] == ["11-01"]

    def test_time_and_slots_of_a_week(self) -> None:
        """102 of 168 h are compliant until Friday 06:00; a run on Sunday is of that week."""
        good = MONDAY + 4 * DAY + 6 * HOUR
        intervals = INTERVALS.frame(
            {
                "appliance": ["a"] * 3,
                "state": ["compliant", "breach", "compliant"],
                "start": [MONDAY, good, MONDAY + 9 * DAY],
                "end": [good, MONDAY + 9 * DAY, MONDAY + 14 * DAY],
            }
        )
        slots = SLOTS.frame(
            {
                "appliance": ["a"] * 2,
                "state": ["met", "late"],
                "slot": [MONDAY + 7 * DAY - HOUR, MONDAY + 7 * DAY],
            }
        )
        weeks = trend(intervals, slots, start=MONDAY, end=MONDAY + 14 * DAY, by="week")
        assert weeks["rpo_strict"].to_list() == pytest.approx([102 / 168, 120 / 168])
        assert weeks["slots_met"].to_list() == [1, 0]
        assert weeks["slots_late"].to_list() == [0, 1]

    def test_steps_of_a_period(self) -> None:
        """Weeks are for more than five weeks, months for more than 100 days."""
        steps = [choose_trend_steps(MONDAY, MONDAY + n * DAY) for n in (35, 36, 100, 101)]
        assert [len(found) for found in steps] == [1, 2, 2, 3]


def periods_of(edges: list[pd.Timestamp]) -> Iterator[tuple[pd.Timestamp, pd.Timestamp]]:
    """Yield the spans between times."""
    yield from pairwise(edges)


@pytest.mark.property
@settings(max_examples=repeats(15, 300), deadline=None)
@given(
    st.sampled_from(["day", "week", "month"]),
    st.lists(st.integers(0, 60 * 24 * 130), min_size=2, max_size=9, unique=True),
    st.data(),
)
def test_rows_add_up(by: TrendStep, minutes: list[int], data: st.DataObject) -> None:
    """Each row has the time that lies in it, and all rows add up to the period."""
    edges = [MONDAY + timedelta(minutes=number) for number in sorted(minutes)]
    states = data.draw(st.lists(st.sampled_from(STATES), min_size=len(edges) - 1))
    spans = list(zip(states, periods_of(edges), strict=False))
    intervals = INTERVALS.frame(
        {
            "appliance": ["a"] * len(spans),
            "state": [state for state, _ in spans],
            "start": [begin for _, (begin, _) in spans],
            "end": [end for _, (_, end) in spans],
        }
    )
    runs = edges[:-1]
    slots = SLOTS.frame(
        {"appliance": ["a"] * len(runs), "state": ["met"] * len(runs), "slot": runs}
    )
    rows = trend(intervals, slots, start=edges[0], end=edges[-1], by=by)
    bounds = [*rows.index, edges[-1]]
    for number, (first, last) in enumerate(periods_of(bounds)):
        for state in STATES:
            inside = [
                min(end, last) - max(begin, first)
                for name, (begin, end) in spans
                if name == state and min(end, last) > max(begin, first)
            ]
            assert rows[state].iloc[number] == sum(inside, timedelta(0))
    assert rows["slots_met"].sum() == len(runs)


class TestDataVersion:
    """`data_fingerprint`."""

    def test_data_version_depends_on_the_polls(self) -> None:
        """The data version depends on the set of polls and not on their order."""
        polls = POLLS.frame({"appliance": ["a", "b"], "polled_at": [NOON, NOON + HOUR]})
        name = data_fingerprint(polls)
        assert name.startswith("2-")
        assert data_fingerprint(polls[::-1]) == name
        swapped = polls.assign(appliance=polls["appliance"].to_numpy()[::-1])
        assert data_fingerprint(swapped) != name
        assert data_fingerprint(polls.assign(polled_at=polls["polled_at"] + HOUR)) != name

    def test_data_version_counts_the_polls(self) -> None:
        """An assessment counts the polls up to its own time."""
        week = assess_week()
        assert week.version.startswith(f"{week.coverage['polls'].sum()}-")
