"""The short summary of a report, as text and as Markdown."""

import functools
import re

import mistune
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit.assessment import Assessment
from backupkit.policy import Member
from backupkit.reports import report
from backupkit.reports.exceptions import find_exceptions
from backupkit.texts import escape_markdown
from tests.builders import END, assess, job, message, nights, poll, schedule

MAX_LINES = 60
WIDTH = 80
HOSTILE = (
    "a|b `c` *d* _e_ [f](https://evil.example) ![g](x) <b>h</b> https://evil.example/x "
    "www.evil.example admin@evil.example #12 \\| ~~i~~ $j$ &amp;\n| --- |\n# k"
)
render = mistune.create_markdown(plugins=["table", "url", "strikethrough", "math"])


def hostile_week() -> Assessment:
    """Evaluate a week in which one appliance fails with a hostile message."""
    failures = [job("vc-1", night, "failure", messages=[message(HOSTILE)]) for night in range(8)]
    return assess(
        failures, [poll("vc-1")], [schedule("vc-1")], [Member(appliance="vc-1", site="H|m")]
    )


@functools.cache
def failing_fleet() -> Assessment:
    """Evaluate a week of 20 appliances without a good backup, and one that was not polled."""
    names = [f"vc-{number:02}" for number in range(20)]
    return assess(
        [job(name, night, "failure") for name in names for night in range(8)],
        [poll(name) for name in names],
        [schedule(name) for name in names],
        [Member(appliance="vc-gone")],
    )


class TestText:
    """``Report.to_text``."""

    def test_content(self, week: Assessment) -> None:
        """It has verdicts, figures, who needs attention, why, and who could not be read."""
        text = report(week).to_text()
        lines = text.splitlines()
        assert lines[0].startswith("TARGET MISSED, BREACH")
        assert any(line.startswith("Now: ") for line in lines)
        assert "of the time inside the RPO: " in text
        assert "NEEDS ATTENTION (5)" in lines
        assert "UNREACHABLE OR NOT FULLY READ (2)" in lines
        assert sum(line.startswith("    Why: ") for line in lines) == 7
        assert sum(line.startswith("    Next: ") for line in lines) == 7
        assert any(
            line.startswith("? Unknown: vc-gone, last good poll 2026-11-07 00:00") for line in lines
        )
        assert any(line.startswith("? Unknown: vc-never, no good poll known") for line in lines)
        assert lines[-2].startswith("As of 2026-11-09 00:00 UTC, data up to ")

    def test_limits(self) -> None:
        """It has the appliances that fit 60 lines of 80 columns, and counts the others."""
        fleet = failing_fleet()
        text = report(fleet, before=fleet).to_text()
        lines = text.splitlines()
        assert len(lines) <= MAX_LINES
        assert max(map(len, lines)) <= WIDTH
        assert any(line.startswith("Since 2026-11-09 00:00 UTC: ") for line in lines)
        assert any(line.startswith("Never backed up: vc-00, vc-01, ") for line in lines)
        assert "and 15 more" in text
        shown = sum(line.startswith("✕ Breach: ") for line in lines)
        assert f"and {20 - shown} more, in the report" in lines
        assert "UNREACHABLE OR NOT FULLY READ (1)" in lines
        assert "? Unknown: vc-gone, no good poll known" in text

    def test_soon_in_breach(self) -> None:
        """A breach that no run can prevent is a sentence of its own, and an exception."""
        end = END - pd.Timedelta(hours=3)
        soon = assess(nights("vc-1", "ssssssss"), [poll("vc-1", end)], end=end)
        lines = report(soon).to_text().splitlines()
        assert any(
            line.startswith("Soon: 1 compliant appliance will be in breach within a day")
            for line in lines
        )
        assert "◐ Breach soon: vc-1, last success 2026-11-08 01:00" in lines
        assert find_exceptions(soon).to_list() == ["vc-1"]

    def test_past_period(self, week: Assessment) -> None:
        """Of a period that is over, it says why there are no next steps."""
        past = week.replaced(now=END + pd.Timedelta(days=30))
        text = report(past).to_text()
        assert "Next steps: " in text
        assert "    Next: " not in text

    def test_aliases(self, week: Assessment) -> None:
        """A redacted one says so, and has no name."""
        redacted = report(week).redacted(b"secret")
        assert "Names are replaced by aliases." in redacted.to_text()
        assert "vc-strikes" not in redacted.to_text() + redacted.to_markdown()

    def test_controls(self) -> None:
        """Control characters of a name do not reach the text."""
        text = report(assess(members=[Member(appliance="vc\u202e\x1b[31m-1")])).to_text()
        assert not re.search("[\x1b\u202e]", text)


class TestMarkdown:
    """``Report.to_markdown``."""

    def test_tables(self, week: Assessment) -> None:
        """Each row of each table has as many cells as its header."""
        html = str(render(report(week).to_markdown()))
        assert html.count("<table>") == 3
        for table in re.findall("<table>.*?</table>", html, re.DOTALL):
            rows = [row.count("<td") + row.count("<th") for row in re.split("<tr>", table)[1:]]
            assert len(set(rows)) == 1
        assert "<td>vc-strikes</td>" in html
        assert "<strong>Needs attention (5)</strong>" in html

    def test_hostile(self) -> None:
        """A hostile message is a text in one cell, without any link."""
        html = str(render(report(hostile_week()).to_markdown()))
        assert html.count("<table>") == 2
        assert not re.search(r"<(a|img|b|em|del|code|h1)\b", html)
        assert "a|b `c` *d* _e_ [f](https" in html

    def test_large_fleet(self) -> None:
        """Of many appliances it has at most 60 lines, and counts those left out."""
        lines = report(failing_fleet()).to_markdown().splitlines()
        assert len(lines) <= MAX_LINES
        assert "and 8 more, in the report" in lines

    def test_all_good(self) -> None:
        """Without a problem there is only the table of figures."""
        html = str(render(report(assess([], [poll("vc-1")])).to_markdown()))
        assert html.count("<table>") == 1


@pytest.mark.property
@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("|\\`*_[](){}<>#@:/w.")))
def test_any_text_is_plain(text: str) -> None:
    """Any text is one cell of a table without markup."""
    html = str(render(f"| A |\n| --- |\n| x{escape_markdown(text)} |"))
    assert html.count("<td>") == 1
    inner = html.partition("<td>")[2].partition("</td>")[0]
    assert "<" not in inner
