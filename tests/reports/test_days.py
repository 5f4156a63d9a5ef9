"""Trend by day, and the matrix of appliances and days."""

import re

import pandas as pd
import pytest

from backupkit.assessment import Assessment
from backupkit.policy import Member
from backupkit.reports import days
from backupkit.reports.columns import stream_csv
from backupkit.reports.facts import Link, Matrix, MatrixRow
from backupkit.reports.page import render_page
from backupkit.reports.summary import build_links
from tests.builders import assess, assess_large_fleet, nights, poll, schedule


def matrix(assessment: Assessment) -> Matrix:
    """Return the matrix."""
    return days.build_matrix(assessment, build_links(assessment))


def rows(laid: Matrix) -> list[MatrixRow]:
    """Return the rows of all blocks."""
    return [row for block in laid.blocks for row in block.rows]


class TestTrend:
    """Trend by day."""

    def test_days_and_finding(self) -> None:
        """Each day is a row, the newest first, and a sentence names the worst day."""
        judged = assess(
            [*nights("a", "sssss..."), *nights("b", "ssssssss")],
            [poll("a"), poll("b")],
            [schedule("a"), schedule("b")],
        )
        trend = days.build_trend(judged)
        assert [day.day for day in trend.days] == [f"2026-11-{n:02}" for n in range(8, 1, -1)]
        newest, oldest = trend.days[0], trend.days[-1]
        assert (str(oldest.share), oldest.met, oldest.missed) == ("100.0 % (48 of 48 h)", 2, 0)
        assert (newest.met, newest.missed) == (1, 1)
        # the last backup of a began on the 5th at 01:00, so the RPO ends on the 6th at 03:00
        assert str(trend.days[2].share) == "56.2 % (27 of 48 h)"
        assert trend.finding == (
            "Worst on 7 Nov: 50.0 % (24 of 48 h) of the time inside the RPO, strict; "
            "on 8 Nov, the last day: 50.0 % (24 of 48 h)."
        )
        assert trend.picture is not None
        assert trend.finding in trend.picture.alt

    def test_the_last_day_is_the_worst(self) -> None:
        """A day is named once, and a fleet without a problem has no worst day."""
        late = assess(nights("a", "sssssss."), [poll("a")], [schedule("a")])
        assert days.build_trend(late).finding == (
            "Worst on 8 Nov: 12.5 % (3 of 24 h) of the time inside the RPO, strict, the last day."
        )
        good = assess(nights("a", "ssssssss"), [poll("a")], [schedule("a")])
        assert days.build_trend(good).finding.endswith("100.0 % (24 of 24 h) on every day.")

    def test_weeks_and_months(self) -> None:
        """A period above 5 weeks has weeks, one above 100 days months first, the newest on top."""
        good = assess(nights("a", "ssssssss"), [poll("a")], [schedule("a")])
        assert days.build_trend(good).longer == ()
        begin = good.end - pd.Timedelta(days=40)
        [weeks] = days.build_trend(good.replaced(start=begin)).longer
        assert [(row.day, str(row.share), row.met) for row in weeks.rows] == [
            ("2026-W45, from 2026-11-02", "100.0 % (168 of 168 h)", 7)
        ]
        begin = good.end - pd.Timedelta(days=101)
        months, again = days.build_trend(good.replaced(start=begin)).longer
        assert (months.step, again) == ("month", weeks)
        assert [row.day for row in months.rows] == ["2026-11"]
        html = render_page(good.replaced(start=begin))
        assert "Calendar months (UTC)" in html
        assert "ISO weeks, from Monday (UTC)" in html

    def test_no_appliance_in_scope(self) -> None:
        """Without an appliance in scope there is no figure and no day."""
        members = [Member(appliance="a", exclude="retired")]
        trend = days.build_trend(assess([], [], [], members))
        assert (trend.picture, trend.days) == (None, ())
        assert "No appliance was in scope" in trend.finding


class TestMatrix:
    """The matrix of appliances and days."""

    def test_symbols_and_words_agree(self, week: Assessment) -> None:
        """The words beside a row count its symbols, and name the days of missed slots."""
        strikes = {row.appliance.name: row for row in rows(matrix(week))}["vc-strikes"]
        assert [symbol for _, symbol in strikes.cells] == ["●"] * 4 + ["✕"] * 3
        assert strikes.summary == "4 met, 3 failed (6 Nov, 7 Nov, 8 Nov)"

    def test_only_what_was_used_is_in_the_legend(self, week: Assessment) -> None:
        """The legend explains exactly the symbols that appear."""
        laid = matrix(week)
        shown = {state for row in rows(laid) for state, _ in row.cells}
        assert {state for state, _, _ in laid.legend} == shown - {"none"}

    def test_a_large_fleet_has_a_row_each(self) -> None:
        """In a large fleet every appliance has a row, those with a missed day first."""
        laid = matrix(assess_large_fleet(120))
        assert (len(rows(laid)), laid.omitted) == (120, 0)
        good = [row.good for row in rows(laid)]
        assert good == sorted(good)
        assert [bool(re.search("failed|unknown|late", row.summary)) for row in rows(laid)] == [
            not one for one in good
        ]
        html = render_page(assess_large_fleet(120))
        assert '<div class="scroll tall" tabindex="0" role="region"' in html
        assert "Appliances without a missed, late or unknown day are not printed." in html

    def test_rows_beyond_the_limit_are_counted(
        self, week: Assessment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of a huge fleet those with the fewest missed days are counted, and are in a file."""
        monkeypatch.setattr(days, "_MAX_MATRIX_ROWS", 2)
        laid = matrix(week)
        assert (len(rows(laid)), laid.omitted) == (2, 7)
        assert "7 more appliances are not listed here" in render_page(week)

    def test_an_appliance_without_a_run_shows_its_state(self, week: Assessment) -> None:
        """Each appliance in scope has a row: without a slot, its worst state of each day."""
        found = {row.appliance.name: row for row in rows(matrix(week))}
        assert set(found) == set(week.appliances.index)  # vc-retired has excluded slots
        assert {state for state, _ in found["vc-never"].cells} == {"unknown"}
        # the last success of vc-off began on the 4th at 01:00, so its RPO ends on the 5th at 03:00
        assert [symbol for _, symbol in found["vc-off"].cells] == ["▪"] * 3 + ["!"] * 4
        assert found["vc-off"].summary == (
            "3 compliant (no run expected), "
            "4 in breach (no run expected) (5 Nov, 6 Nov, 7 Nov, 8 Nov)"
        )
        assert not found["vc-off"].good
        assert found["vc-off"].runs == [("compliant", "▪ ▪ ▪", 3), ("breach", "! ! ! !", 4)]

    def test_long_runs_are_cut(self) -> None:
        """Equal cells are one element of at most 31, for which the style sheet has a width."""
        row = MatrixRow(Link("a"), (("met", "●"),) * 40, "", good=True)
        assert [(state, number) for state, _, number in row.runs] == [("met", 31), ("met", 9)]
        html = render_page(assess_large_fleet(50))
        widths = {int(n) for n in re.findall(r"\.bk \.cells \.n(\d+) {", html)}
        assert widths == set(range(2, 32))

    def test_the_file_has_a_column_per_day(self, week: Assessment) -> None:
        """The .days.csv file has the same states as the page."""
        lines = b"".join(stream_csv(days.build_days_frame(week))).decode().splitlines()
        assert lines[0] == ",".join(["appliance", *(f"2026-11-0{day}" for day in range(2, 9))])
        assert "vc-off,compliant,compliant,compliant,breach,breach,breach,breach" in lines
        assert len(lines) == 1 + len(week.appliances)

    def test_nobody_in_scope(self) -> None:
        """An excluded appliance has a row with the reason; without any appliance there is none."""
        retired = assess([], [], [], [Member(appliance="a", exclude="retired")])
        [row] = rows(matrix(retired))
        assert row.summary == "7 excluded; excluded: retired"
        assert row.good
        assert matrix(assess()).blocks == ()
        assert "There is no appliance in this report." in render_page(assess())

    def test_days_without_a_run_are_blank(self, week: Assessment) -> None:
        """A day without an expected run is blank; of many missed days the last are named."""
        weekly = week.slots[week.slots["appliance"] == "vc-silent"].iloc[[0, 3, 4, 5, 6]]
        late = weekly.assign(state="missed_norun")
        laid = matrix(week.replaced(slots=late))
        [row] = [row for row in rows(laid) if row.appliance.name == "vc-silent"]
        assert ("none", " ") in row.cells
        assert row.summary == "5 did not run (last 5 Nov, 6 Nov, 7 Nov, 8 Nov)"

    def test_sites_are_blocks(self, week: Assessment) -> None:
        """Each of several sites has a block, the worst first; without sites the groups have."""
        names = week.appliances.index
        sites = pd.Series(["Oslo" if name == "vc-good" else None for name in names], names, "str")
        blocks = matrix(week.replaced(appliances=week.appliances.assign(site=sites)))
        assert [block.name for block in blocks.blocks] == ["no site", "Oslo"]
        both = week.appliances.assign(site="Oslo", group=sites)
        blocks = matrix(week.replaced(appliances=both))
        assert [block.name for block in blocks.blocks] == ["no group", "Oslo"]
        alike = week.appliances.assign(site="Oslo", group="test")
        (block,) = matrix(week.replaced(appliances=alike)).blocks
        assert block.name == ""

    def test_sites_share_one_time_axis(self, week: Assessment) -> None:
        """The blocks of all sites are in one table with one head, so that their days align."""
        html = render_page(week)
        section = html[html.index('<section id="nights"') : html.index('<section id="load"')]
        assert section.count("<table") == section.count("<thead>") == 1
        assert section.count('scope="rowgroup"') == len(matrix(week).blocks) == 2
