"""Key figures, strip of the fleet, days of an appliance, runs, and heat map of the page."""

import dataclasses
import math
import re

import pandas as pd
import pytest

from backupkit.assessment import Assessment, compare
from backupkit.display import Badge
from backupkit.policy import Member
from backupkit.reports.cards import Card, build_cards
from backupkit.reports.days import build_matrix, build_trend
from backupkit.reports.heat_map import HeatMap, build_heat_map
from backupkit.reports.page import render_page
from backupkit.reports.sparks import draw_line
from backupkit.reports.summary import build_links
from tests.builders import assess, assess_large_fleet, job, message, nights, poll, schedule


def assess_two(first: str, second: str = "ssssssss") -> Assessment:
    """Evaluate two appliances by their nights."""
    rows = [*nights("a", first), *nights("b", second)]
    return assess(rows, [poll("a"), poll("b")], [schedule("a"), schedule("b")])


def section(html: str, name: str) -> str:
    """Return the HTML of a section."""
    found = re.search(rf'(?s)<section id="{name}".*?</section>', html)
    assert found is not None
    return found.group()


def cards(assessment: Assessment, before: Assessment | None = None) -> dict[str, Card]:
    """Return the cards by name."""
    comparison = None if before is None else compare(before, assessment)
    days = build_trend(assessment).days[::-1]
    return {card.name: card for card in build_cards(assessment, comparison, days)}


class TestCards:
    """The four key figures."""

    def test_values_targets_and_changes(self) -> None:
        """Each has its value and fraction, the result against its target, and the change."""
        # of a, four of seven runs are there, of b all seven
        found = cards(assess_two("sssss..."), assess_two("ssssssss"))
        assert [(c.name, c.value, c.fraction, c.result, c.change) for c in found.values()][::2] == [
            (
                "Appliances inside their RPO",
                "50.0 %",
                "(1 of 2 appliances)",
                None,
                "▼ 50.0 points since the earlier report",
            ),
            (
                "Scheduled backups completed",
                "78.6 %",
                "(11 of 14 runs)",
                Badge("breach", "✕ Target 99 % missed"),
                "▼ 21.4 points since the earlier report",
            ),
        ]
        assert found["Time inside the RPO"].result == Badge("breach", "✕ Target 99 % missed")
        budget = found["Error budget left"]
        assert (budget.value, budget.fraction) == ("None", "3 missed, 0.14 allowed")
        assert budget.result == Badge("breach", "✕ Spent 21.4 times")
        assert budget.change == "▼ 100.0 points since the earlier report"

    def test_pictures_state_what_they_show(self) -> None:
        """The text of a picture has the lowest and the last day; the budget its end."""
        found = cards(assess_two("sssss..."))
        assert (
            'aria-label="Scheduled backups completed by day: lowest 50.0 % on 2026-11-06, '
            'last 50.0 % on 2026-11-08."'
        ) in found["Scheduled backups completed"].picture
        # 1 - 3 / 0.14
        assert (
            "from 100 % at the start to -2,043 % at the end" in found["Error budget left"].picture
        )
        assert found["Appliances inside their RPO"].picture == ""

    def test_a_better_and_an_equal_period(self) -> None:
        """A rise points up, and no change is stated; without an earlier report there is none."""
        good, bad = assess_two("ssssssss"), assess_two("sssss...")
        name = "Scheduled backups completed"
        assert cards(good, bad)[name].change == "▲ 21.4 points since the earlier report"
        assert cards(good, good)[name].change == "= as in the earlier report"
        assert cards(good)[name].change == ""
        assert cards(good)[name].result == Badge("compliant", "● Target 99 % met")

    def test_a_budget_that_is_left(self) -> None:
        """The rest of the error budget has its fraction."""
        judged = assess_two("ssssssss")
        fleet = judged.fleet.copy()
        fleet.loc["error_budget", ["numerator", "denominator"]] = [1.0, 4.0]
        budget = cards(judged.replaced(fleet=fleet))["Error budget left"]
        assert (budget.value, budget.fraction) == ("75.0 %", "(3 of 4 runs)")
        assert budget.result == Badge("compliant", "● 1 missed")

    def test_nothing_to_judge(self) -> None:
        """Without data there is no percentage, result or picture."""
        for card in cards(assess()).values():
            assert (card.value, card.result, card.change, card.picture) == ("no data", None, "", "")

    def test_gaps_of_a_line(self) -> None:
        """A day without a value interrupts the line."""
        line = draw_line([1.0, math.nan, 0.5, 0.75], target=1.0, label="x")
        assert 'class="line" d="M3 3M172.3 37L257 20"' in line
        assert 'class="end" d="M257 20h0"' in line


class TestFleet:
    """The strip of all appliances, and the days of those with problems."""

    def test_a_small_fleet_has_names(self, week: Assessment) -> None:
        """Each appliance is a link with the symbol of its state, the worst first."""
        chips = re.findall(
            r'<li><span class="(\w+)">(.)</span> <a href="#a(\d+)">([\w-]+)</a></li>',
            section(render_page(week), "fleet"),
        )
        states = week.appliances["state"]
        assert [(kind, name) for kind, _, _, name in chips] == [
            (state, name) for name, state in states.items()
        ]
        assert [int(row) for _, _, row, _ in chips] == list(range(len(states)))
        assert chips[0][1] == "✕"

    def test_a_large_fleet_has_symbols(self) -> None:
        """Of many appliances each is a symbol in the order of the rows."""
        judged = assess_large_fleet(120)
        html = section(render_page(judged), "fleet")
        assert html.count("<i>") == 120
        counts = judged.appliances["state"].value_counts()
        assert f'<span class="breach">{"<i>✕</i>" * counts["breach"]}</span>' in html

    def test_an_empty_fleet(self) -> None:
        """Without an appliance there is a sentence."""
        assert "There is no appliance in this report." in section(render_page(assess()), "fleet")

    def test_days_of_an_appliance(self, week: Assessment) -> None:
        """Each appliance that needs attention has a picture of its days, which says the same."""
        html = section(render_page(week), "act")
        assert "Last 7 days" in html
        assert 'aria-label="4 met, 3 failed (6 Nov, 7 Nov, 8 Nov)"' in html
        assert html.count('<svg class="mini"') == 5

    def test_an_appliance_without_a_row_of_days(
        self, week: Assessment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An appliance beyond the limit of the matrix has no picture."""
        monkeypatch.setattr("backupkit.reports.days._MAX_MATRIX_ROWS", 2)
        assert section(render_page(week), "act").count('<svg class="mini"') == 2

    def test_breach_on_days_without_a_run(self) -> None:
        """An appliance in breach is marked on the days on which no run is expected."""
        judged = assess(nights("a", "ss......"), [poll("a")], [schedule("a", days=["MONDAY"])])
        [block] = build_matrix(judged, build_links(judged)).blocks
        assert "".join(symbol for _, symbol in block.rows[0].cells) == "●!!!!!!"

    def test_a_site_counts_its_excluded_appliances(self) -> None:
        """A site lists its excluded appliances, too, each with the reason."""
        members = [
            Member(appliance="a", site="Rome"),
            Member(appliance="b", site="Rome", exclude="retired"),
            Member(appliance="c", site="Oslo"),
        ]
        rows = [*nights("a", "s" * 8), *nights("c", "s" * 8)]
        judged = assess(rows, [*map(poll, "abc")], [*map(schedule, "ac")], members)
        text = section(render_page(judged), "nights")
        assert "Rome (2 appliances)" in text
        assert "7 excluded; excluded: retired" in text
        assert "Oslo (1 appliance)" in text


class TestRuns:
    """The timeline of the last week."""

    def test_finding(self) -> None:
        """The sentence counts the runs of the last seven days by outcome."""
        html = section(render_page(assess_two("sssssffo")), "runs")
        said = (
            "2026-11-02 00:00 to 2026-11-09 00:00 UTC: 14 runs, 11 succeeded, 2 failed, "
            "1 without an end yet."
        )
        assert html.count(said) == 2  # above the picture, and in its text
        assert 'src="data:image/' in html

    def test_an_unknown_outcome(self) -> None:
        """Other outcomes are counted, too."""
        rows = [job("a", 3), job("a", 4) | {"outcome": "other"}]
        assert "2 runs, 1 succeeded, 1 other." in render_page(assess(rows, [poll("a")]))

    def test_without_runs(self) -> None:
        """Without a run there is a sentence."""
        html = section(render_page(assess()), "runs")
        assert "No run was expected or seen" in html
        assert "<img" not in html


def heat_of(causes: dict[str, str]) -> HeatMap | None:
    """Return the heat map of appliances whose failures have the words of a text as messages."""
    rows = [
        job(name, night, "failure", messages=[message(word, word)])
        for name, words in causes.items()
        for night, word in enumerate(words.split())
    ]
    judged = assess(rows, [*map(poll, causes)], [*map(schedule, causes)])
    return build_heat_map(judged, build_links(judged))


class TestHeatMap:
    """Failed jobs by error pattern and appliance."""

    def test_totals_on_both_sides(self) -> None:
        """Rows, columns and totals begin with the most, and add up."""
        heat = heat_of({"a": "full", "b": "full slow full"})
        assert heat is not None
        assert [link.name for link in heat.columns] == ["b", "a"]
        assert [(r.signature, [n for n, _ in r.cells], r.total) for r in heat.rows] == [
            ("full", [2, 1], 3),
            ("slow", [1, 0], 1),
        ]
        assert ([n for n, _ in heat.in_all.cells], heat.in_all.total) == ([3, 1], 4)
        assert [strength for row in heat.rows for _, strength in row.cells] == [5, 4, 4, 0]

    def test_others_are_added_up(self) -> None:
        """Beyond 12 appliances and 10 patterns the others are one column and one row."""
        words = "alfa bravo carol delta echo fox"
        more = "golf hotel india julia kilo"
        heat = heat_of({"a": words, "b": more} | {f"c{n:02}": "alfa" for n in range(12)})
        assert heat is not None
        assert (len(heat.columns), heat.omitted, len(heat.rows)) == (12, 2, 11)
        last = heat.rows[-1]
        assert (last.signature, last.total) == ("1 more", 1)
        for row in (*heat.rows, heat.in_all):
            assert sum(jobs for jobs, _ in row.cells) == row.total
        columns = zip(*(row.cells for row in heat.rows), strict=True)
        assert [sum(n for n, _ in column) for column in columns] == [
            jobs for jobs, _ in heat.in_all.cells
        ]

    def test_one_appliance(self) -> None:
        """Failures of one appliance are no comparison."""
        assert heat_of({"a": "full slow"}) is None

    def test_on_the_page(self) -> None:
        """The table links the appliances, and names the pattern of each row."""
        rows = [*nights("a", "sssssssf"), *nights("b", "ssssssff")]
        judged = assess(rows, [poll("a"), poll("b")], [schedule("a"), schedule("b")])
        html = section(render_page(judged), "why")
        table = re.search(r'(?s)<table class="heat">.*?</table>', html)
        assert table is not None
        assert table.group().count('<th scope="col" class="turned"><span><a href="#a') == 2
        assert '<td class="h5">2</td>' in table.group()


def test_the_earlier_figures_are_kept() -> None:
    """A comparison has the fleet's figures of the earlier assessment."""
    before = assess_two("ssssssss")
    comparison = compare(before, assess_two("sssss..."))
    pd.testing.assert_frame_equal(comparison.fleet, before.fleet)
    assert {field.name for field in dataclasses.fields(comparison)} >= {"fleet", "changes"}
