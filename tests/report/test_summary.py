"""The facts on the page."""

import dataclasses
import re
from collections.abc import Callable

import pandas as pd
import pytest

from backupkit.assessment import Assessment
from backupkit.report.messages import messages_text
from backupkit.report.page import page
from backupkit.report.rows import job_facts
from backupkit.report.summary import summarize

Judge = Callable[..., Assessment]


class TestActs:
    """What to act on."""

    def test_breaches_then_those_at_risk(self, week: Assessment) -> None:
        """Breaches come worst first, then compliant appliances whose newest run failed."""
        acts = summarize(week).acts
        assert [(a.appliance.name, a.state) for a in acts] == [
            ("vc-off", "breach"),
            ("vc-silent", "breach"),
            ("vc-strikes", "breach"),
            ("vc-running", "breach"),
            ("vc-shaky", "late"),
        ]

    def test_the_step_fits_the_trouble(self, week: Assessment) -> None:
        """Each kind of trouble has its own next step."""
        steps = {a.appliance.name: a.advice for a in summarize(week).acts}
        assert "Enable its schedule" in steps["vc-off"]
        assert "a run did not start" in steps["vc-silent"]
        assert "message" in steps["vc-strikes"]
        assert "running since 2026-11-08 01:00 UTC" in steps["vc-running"]


class TestUnread:
    """What could not be read."""

    def test_fault_and_step(self, week: Assessment) -> None:
        """A failed visit shows its fault and since when; one that never was says so."""
        gone, never = summarize(week).unread
        assert (gone.appliance.name, gone.kind, gone.since, gone.age) == (
            "vc-gone",
            "certificate",
            "2026-11-08 00:00",
            "48 h ago",
        )
        assert "fingerprint" in gone.advice
        assert (never.appliance.name, never.kind, never.last_ok) == (
            "vc-never",
            "not visited lately",
            "no data",
        )


class TestFigures:
    """The key numbers."""

    def test_each_has_its_fraction(self, week: Assessment) -> None:
        """A percentage comes with the fraction it was made of."""
        figures = {f.name: f for f in summarize(week).figures}
        strict = figures["inside their RPO (strict)"]
        assert (strict.percent, strict.fraction) == ("25.0 %", "2/8 appliances")

    def test_every_percentage_on_the_page_has_its_fraction(self, week: Assessment) -> None:
        """No percentage stands alone, except the target and the progress of a running job."""
        text = re.sub(r"<style>.*</style>|<[^>]*>", "", page(week), flags=re.DOTALL)
        lonely = re.findall(r"\d %(?! \()", text.replace("target 99 %", ""))
        assert lonely == []


class TestMatrix:
    """Appliance by day."""

    def test_symbols_and_words_agree(self, week: Assessment) -> None:
        """The symbols of a row are summed up in its words, misses with their days."""
        rows = {row.appliance.name: row for row in summarize(week).matrix.rows}
        strikes = rows["vc-strikes"]
        assert [symbol for _, symbol in strikes.cells] == ["●"] * 4 + ["✕"] * 3
        assert strikes.words == "4 met, 3 failed (6 Nov, 7 Nov, 8 Nov)"

    def test_only_what_was_used_is_in_the_legend(self, week: Assessment) -> None:
        """The legend explains the symbols that appear, and no other."""
        matrix = summarize(week).matrix
        shown = {state for row in matrix.rows for state, _ in row.cells}
        assert {state for state, _, _ in matrix.legend} == shown - {"none"}

    def test_a_large_fleet_shows_trouble_only(self, fleet: Callable[[int], Assessment]) -> None:
        """Of a large fleet the appliances without a missed day are counted, not listed."""
        matrix = summarize(fleet(120)).matrix
        assert len(matrix.rows) + matrix.more == 120
        assert all(re.search("failed|unknown|late", row.words) for row in matrix.rows)

    def test_days_without_a_run_are_blank(self, week: Assessment) -> None:
        """A day without an expected run is blank; of many misses the last days are named."""
        weekly = week.slots[week.slots["appliance"] == "vc-silent"].iloc[[0, 3, 4, 5, 6]]
        late = weekly.assign(state="missed_norun")
        matrix = summarize(dataclasses.replace(week, slots=late)).matrix
        (row,) = matrix.rows
        assert ("none", " ") in row.cells
        assert row.words == "5 did not run (last 5 Nov, 6 Nov, 7 Nov, 8 Nov)"


class TestAppliances:
    """All appliances."""

    def test_runs_are_the_newest_first(self, week: Assessment) -> None:
        """An appliance opens to its newest runs, with job id and message."""
        rows = {row.appliance.name: row for row in summarize(week).appliances}
        newest = rows["vc-strikes"].runs[0]
        assert (newest.start, newest.message) == ("2026-11-08 01:00", "No space left")
        assert newest.job_id == "20261108-010000-24322831"
        assert rows["vc-strikes"].slots == "57.1 % (4/7)"
        assert rows["vc-running"].runs[0].word == "▶ running"

    def test_schedules_in_words(self, week: Assessment) -> None:
        """A schedule says when, in which zone, to where and whether it is switched off."""
        plans = {row.appliance.name: row.schedules for row in summarize(week).appliances}
        assert plans["vc-off"] == (
            "“default”: daily 01:00 Etc/UTC, switched off, to sftp://***@10.0.0.250/vc",
        )
        assert "“extra”: Sunday at no known time Etc/UTC" in plans["vc-strikes"][1]

    def test_local_time(self, week: Assessment) -> None:
        """Where the appliance lives in another zone its own time is beside UTC."""
        coverage = week.coverage.assign(timezone="Asia/Tokyo")
        row = summarize(dataclasses.replace(week, coverage=coverage)).appliances[0]
        assert (row.zone, row.runs[0].local) == ("Asia/Tokyo", "10:00")

    @pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "UTC", None])
    def test_a_zone_that_is_none_is_left_out(self, week: Assessment, zone: str | None) -> None:
        """UTC, no zone, or a text that is no zone adds no column."""
        coverage = week.coverage.assign(timezone=pd.Series([zone] * 9, week.coverage.index, "str"))
        row = summarize(dataclasses.replace(week, coverage=coverage)).appliances[0]
        assert row.zone == ""

    def test_a_large_fleet_opens_the_worst(self, fleet: Callable[[int], Assessment]) -> None:
        """Of a large fleet only appliances in breach open to their runs."""
        rows = summarize(fleet(120)).appliances
        assert {row.state for row in rows if row.runs} == {"breach"}
        assert all(row.jobs == 31 for row in rows)

    def test_progress_of_a_running_job(self, week: Assessment) -> None:
        """A running job says how far it is."""
        running = week.jobs[week.jobs["outcome"] == "open"].assign(progress=40.0)
        ((name, run),) = job_facts(running)
        assert (name, run.word) == ("vc-running", "▶ running, 40 %")


class TestSources:
    """What the judgement rests on."""

    def test_a_wrong_clock_is_named(self, week: Assessment) -> None:
        """A clock that is far off is named with its direction."""
        skews = {source.appliance.name: source.skew for source in summarize(week).sources}
        assert skews["vc-shaky"] == "9 min slow, corrected for"
        assert skews["vc-good"] == "0 s"
        assert skews["vc-never"] == "no data"
        fast = week.coverage.assign(clock_skew=pd.Timedelta(minutes=7))
        source = summarize(dataclasses.replace(week, coverage=fast)).sources[0]
        assert source.skew == "7 min fast, corrected for"

    def test_a_large_fleet_lists_the_remarkable(self, fleet: Callable[[int], Assessment]) -> None:
        """Of a large fleet only appliances with a gap, a fault or a wrong clock are listed."""
        summary = summarize(fleet(120))
        assert 0 < len(summary.sources) < 120
        assert len(summary.sources) + summary.sources_more == 120


class TestPeriod:
    """The words for the period."""

    def test_a_start_within_a_day_shows_its_time(self, week: Assessment) -> None:
        """A period that does not begin at midnight names the minute."""
        shifted = dataclasses.replace(week, start=week.start + pd.Timedelta(hours=6))
        assert summarize(shifted).period == "2026-11-02 06:00 to 2026-11-09 00:00 UTC"


class TestSignatures:
    """Why backups failed."""

    def test_names_beyond_five_are_counted(self, fleet: Callable[[int], Assessment]) -> None:
        """A signature names five appliances and counts the others."""
        (signature,) = summarize(fleet(120)).signatures
        assert len(signature.names) == 5
        assert signature.more == signature.appliances - 5

    def test_missing_lists_are_empty(self, week: Assessment) -> None:
        """A signature without builds and targets has none to show."""
        bare = week.failures.assign(
            builds=pd.Series([None], dtype=week.failures["builds"].dtype),
            targets=pd.Series([None], dtype=week.failures["targets"].dtype),
        )
        (signature,) = summarize(dataclasses.replace(week, failures=bare)).signatures
        assert (signature.builds, signature.targets) == ("", "")


class TestMessagesText:
    """`messages_text`."""

    def test_the_most_readable_form(self) -> None:
        """A message is its localized text, else its default, else its id; several are lines."""
        messages = [
            {"id": "a", "default_message": "b", "localized": "c"},
            {"id": "a", "default_message": "b", "localized": None},
            {"id": "a", "default_message": None, "localized": None},
            {"id": None, "default_message": None, "localized": None},
        ]
        assert messages_text(messages) == "c\nb\na"

    def test_missing(self) -> None:
        """A missing list is no text."""
        assert messages_text(pd.NA) == ""
