"""Rows of appliances with their runs, and the data basis."""

import pandas as pd
import pytest

from backupkit.assessment import Assessment
from backupkit.display import Rows
from backupkit.reports.appliances import build_appliance_facts, build_data_sources, build_job_row
from backupkit.reports.facts import ApplianceFacts, DataSource
from backupkit.reports.summary import build_links
from tests.builders import assess_large_fleet


def appliances(assessment: Assessment) -> tuple[ApplianceFacts, ...]:
    """Return the rows of all appliances."""
    return build_appliance_facts(assessment, build_links(assessment))


def listed(assessment: Assessment) -> Rows[DataSource]:
    """Return the rows of the data basis."""
    return build_data_sources(assessment, build_links(assessment))


class TestAppliances:
    """The appliances."""

    def test_runs_are_the_newest_first(self, week: Assessment) -> None:
        """The details of an appliance are its newest runs, with job id and message."""
        rows = {row.appliance.name: row for row in appliances(week)}
        newest = rows["vc-strikes"].jobs[0]
        assert (newest.start, newest.message) == (
            pd.Timestamp("2026-11-08T01:00Z"),
            "No space left",
        )
        assert newest.job_id == "20261108-010000-24322831"
        assert str(rows["vc-strikes"].slots) == "57.1 % (4 of 7)"
        assert rows["vc-running"].jobs[0].outcome.label == "▶ running"

    def test_schedules_in_words(self, week: Assessment) -> None:
        """A schedule has its time, zone, target and whether it is enabled."""
        plans = {row.appliance.name: row.schedules for row in appliances(week)}
        assert plans["vc-off"] == (
            "“default”: daily 01:00 Etc/UTC, switched off, to sftp://***@10.0.0.250/vc",
        )
        assert "“extra”: Sunday at no known time Etc/UTC" in plans["vc-strikes"][1]

    def test_local_time(self, week: Assessment) -> None:
        """An appliance in another zone has its local time beside UTC."""
        coverage = week.coverage.assign(timezone="Asia/Tokyo")
        row = appliances(week.replaced(coverage=coverage))[0]
        assert (row.zone, row.jobs[0].local) == ("Asia/Tokyo", "10:00")

    @pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "UTC", None])
    def test_a_zone_that_is_none_is_left_out(self, week: Assessment, zone: str | None) -> None:
        """UTC, no zone, or an invalid zone adds no column."""
        coverage = week.coverage.assign(timezone=pd.Series([zone] * 9, week.coverage.index, "str"))
        row = appliances(week.replaced(coverage=coverage))[0]
        assert row.zone == ""

    def test_a_large_fleet_opens_the_worst(self) -> None:
        """In a large fleet only appliances in breach have their runs."""
        rows = appliances(assess_large_fleet(120))
        assert {row.state.kind for row in rows if row.jobs} == {"breach"}
        assert all(row.jobs.total == 30 for row in rows)  # one more ran before the period

    def test_progress_of_a_running_job(self, week: Assessment) -> None:
        """A running job has its progress."""
        running = week.assessed_jobs[week.assessed_jobs["outcome"] == "open"].assign(progress=40.0)
        assert build_job_row(running.iloc[0]).outcome.label == "▶ running, 40 %"


class TestSources:
    """The data basis."""

    def test_a_wrong_clock_is_named(self, week: Assessment) -> None:
        """A wrong clock is named with its direction."""
        skews = {source.appliance.name: source.skew for source in listed(week)}
        assert skews["vc-shaky"] == "9 min slow, corrected for"
        assert skews["vc-good"] == "0 s"
        assert skews["vc-never"] == "no data"
        fast = week.coverage.assign(clock_skew=pd.Timedelta(minutes=7))
        source = listed(week.replaced(coverage=fast))[0]
        assert source.skew == "7 min fast, corrected for"

    def test_a_large_fleet_lists_the_remarkable(self) -> None:
        """In a large fleet only appliances with a gap, an error or a wrong clock are listed."""
        found = listed(assess_large_fleet(120))
        assert 0 < len(found) < 120
        assert len(found) + found.omitted == 120
