"""The longest incidents in the report."""

import pandas as pd

from backupkit.policy import Member
from backupkit.reports.facts import Link
from backupkit.reports.incidents import list_incidents
from backupkit.reports.page import render_page
from tests.builders import START, assess, job, nights, poll, schedule


def test_the_longest_first() -> None:
    """An open incident has a lower bound; one from before the period has its own begin."""
    rows = nights("a", "f.sfss.f")
    retry = START + pd.Timedelta(days=2, hours=6)
    rows.append(job("a", 2, job_id="retry", start_time=retry))
    rows[-1]["end_time"] = retry + pd.Timedelta(minutes=20)
    listed = list_incidents(assess(rows, [poll("a")], [schedule("a")]), {"a": Link("a", "a0")})
    assert (len(listed), listed.total) == (3, 3)
    assert [one.incident for one in listed] == [
        "a/2026-11-01T01:20:00Z",
        "a/2026-11-07T02:00:00Z",
        "a/2026-11-04T01:20:00Z",
    ]
    assert [tuple(one)[1:-1] for one in listed] == [
        (
            pd.Timestamp("2026-11-01T01:20Z"),
            pd.Timestamp("2026-11-03T01:20Z"),
            "48 h",
            "a run failed",
        ),
        (pd.Timestamp("2026-11-07T02:00Z"), "open", "over 46 h", "a run did not start"),
        (
            pd.Timestamp("2026-11-04T01:20Z"),
            pd.Timestamp("2026-11-04T06:20Z"),
            "5 h",
            "a run failed",
        ),
    ]
    assert {one.appliance for one in listed} == {Link("a", "a0")}


def test_ten_of_many() -> None:
    """Beyond ten, the others are counted."""
    names = [f"vc-{number:02}" for number in range(12)]
    rows = [row for name in names for row in nights(name, "ssssssff")]
    html = render_page(assess(rows, map(poll, names), map(schedule, names)))
    part = html[html.index('<section id="incidents"') : html.index('<section id="levels"')]
    assert part.count("<tr><th") == 10 + 1
    assert "and 2 more in this period." in part


def test_no_incident() -> None:
    """Without an incident there is a sentence."""
    html = render_page(assess(nights("a", "ssssssss"), [poll("a")], [schedule("a")]))
    assert "No run failed, and none was missing." in html


def test_error_budget_of_a_site() -> None:
    """Each site and group has the share of its error budget that it spent."""
    members = [Member(appliance=name, site=name.upper()) for name in ("a", "b")]
    rows = [*nights("a", "ssssssss"), *nights("b", "sssssfss")]
    week = assess(rows, map(poll, "ab"), map(schedule, "ab"), members)
    html = render_page(week)
    assert "Error budget spent (runs)</th>" in html
    # 1 of 7 runs missed; the target of 99 % allows 0.07
    assert 'data-label="Error budget spent">1428.6 % (1 of 0.07)</td>' in html
    assert 'data-label="Error budget spent">0.0 % (0 of 0.07)</td>' in html
