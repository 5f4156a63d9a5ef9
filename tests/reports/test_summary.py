"""Facts on the page."""

import re

import pandas as pd

from backupkit.assessment import Assessment
from backupkit.reports.exports import format_messages
from backupkit.reports.page import render_page
from backupkit.reports.summary import summarize
from tests.builders import assess, assess_large_fleet


class TestActs:
    """Appliances that need attention."""

    def test_breaches_then_those_at_risk(self, week: Assessment) -> None:
        """Breaches come first, then compliant appliances whose newest run failed."""
        items = summarize(week).action_items
        assert [(a.appliance.name, a.state.kind) for a in items] == [
            ("vc-off", "breach"),
            ("vc-silent", "breach"),
            ("vc-strikes", "breach"),
            ("vc-running", "breach"),
            ("vc-shaky", "late"),
        ]

    def test_the_step_fits_the_problem(self, week: Assessment) -> None:
        """Each kind of problem has its own next step."""
        steps = {a.appliance.name: a.advice for a in summarize(week).action_items}
        assert "Enable its schedule" in steps["vc-off"]
        assert "a run did not start" in steps["vc-silent"]
        assert "message" in steps["vc-strikes"]
        assert "running since 2026-11-08 01:00 UTC" in steps["vc-running"]


class TestUnread:
    """Unreachable appliances."""

    def test_error_and_step(self, week: Assessment) -> None:
        """A failed poll has its error and its start; an appliance without a poll is listed, too."""
        gone, never = summarize(week).unread
        assert (gone.appliance.name, gone.error, gone.failing_since, gone.last_ok.age) == (
            "vc-gone",
            "certificate",
            pd.Timestamp("2026-11-08T00:00Z"),
            "48 h ago",
        )
        assert "fingerprint" in gone.advice
        assert (never.appliance.name, never.error, never.last_ok.age) == (
            "vc-never",
            "not polled recently",
            "",
        )


class TestFigures:
    """The key figures."""

    def test_each_has_its_fraction(self, week: Assessment) -> None:
        """A percentage has its numerator and denominator."""
        figures = {f.name: f for f in summarize(week).figures}
        strict = figures["inside their RPO (strict)"].ratio
        assert (strict.percent, strict.fraction) == ("25.0 %", "2 of 8 appliances")

    def test_every_percentage_on_the_page_has_its_fraction(self, week: Assessment) -> None:
        """Every percentage has its fraction, except targets and the progress of running jobs."""
        text = re.sub(r"<(style|script)>.*?</\1>|<[^>]*>", "", render_page(week), flags=re.DOTALL)
        lonely = re.findall(r"\d %(?! \()", re.sub("target\\s*99 %", "", text, flags=re.IGNORECASE))
        assert lonely == []


class TestPeriod:
    """The text of the period."""

    def test_a_start_within_a_day_shows_its_time(self, week: Assessment) -> None:
        """A period that does not begin at midnight has the minute."""
        shifted = week.replaced(start=week.start + pd.Timedelta(hours=6))
        assert summarize(shifted).period == "2026-11-02 06:00 to 2026-11-09 00:00 UTC"

    def test_newest_data(self, week: Assessment) -> None:
        """The page says until when it has data, or that nothing was polled in the period."""
        assert summarize(week).newest_data == "data up to 2026-11-09 00:00 UTC"
        assert summarize(assess()).newest_data == "no poll in the period"


class TestSignatures:
    """Failure causes."""

    def test_names_beyond_five_are_counted(self) -> None:
        """A signature names five appliances and counts the others."""
        (signature,) = summarize(assess_large_fleet(120)).signatures
        assert len(signature.appliances.links) == 5
        assert signature.appliances.omitted == signature.appliances.total - 5

    def test_missing_lists_are_empty(self, week: Assessment) -> None:
        """A signature without builds and targets has empty lists."""
        bare = week.failures.assign(
            builds=pd.Series([None], dtype=week.failures["builds"].dtype),
            targets=pd.Series([None], dtype=week.failures["targets"].dtype),
        )
        (signature,) = summarize(week.replaced(failures=bare)).signatures
        assert signature.origin == ""


class TestMessagesText:
    """`format_messages`."""

    def test_the_most_readable_form(self) -> None:
        """A message is its localized text, else its default, else its id; each is a line."""
        messages = [
            {"id": "a", "default_message": "b", "localized": "c"},
            {"id": "a", "default_message": "b", "localized": None},
            {"id": "a", "default_message": None, "localized": None},
            {"id": None, "default_message": None, "localized": None},
        ]
        assert format_messages(messages) == "c\nb\na"

    def test_missing(self) -> None:
        """A missing list has no text."""
        assert format_messages(pd.NA) == ""
