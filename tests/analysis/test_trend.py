"""Trend by day, and the data version of an assessment."""

import pandas as pd
import pytest

from backupkit.analysis import data_fingerprint, trend
from backupkit.tables import INTERVALS, POLLS, SLOT_STATES, SLOTS, STATES, TREND
from tests.builders import assess_week

NOON = pd.Timestamp("2026-11-02T12:00Z")
HOUR = pd.Timedelta(hours=1)


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
