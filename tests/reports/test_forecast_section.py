"""The section Forecast: the most probable breaches of the next day."""

import dataclasses

import pandas as pd
import pytest

from backupkit.assessment import Assessment
from backupkit.reports.facts import Forecast
from backupkit.reports.forecast import build_forecast
from backupkit.reports.page import render_page
from backupkit.reports.summary import build_links
from tests.builders import END, START, assess, nights, poll, schedule

HOUR = pd.Timedelta(hours=1)
DAY = pd.Timedelta(days=1)
WEEKS = 23 * DAY  # from the start of the 31 nights to START
EVIL = "<b>vc</b>"


def month(outcomes: dict[str, str], *, end: pd.Timestamp = END) -> Assessment:
    """Evaluate 30 nights and the one before, the last letter for the last night before END."""
    moved = [
        {**job, **{name: job[name] - WEEKS for name in ("start_time", "end_time")}}
        for name, letters in outcomes.items()
        for job in nights(name, letters)
    ]
    return assess(
        moved,
        [poll(name, time) for name in outcomes for time in (START - WEEKS, end)],
        [schedule(name, seen_at=START - WEEKS - DAY) for name in outcomes],
        start=END - 30 * DAY,
        end=end,
    )


def section(assessment: Assessment) -> Forecast:
    """Return the content of the section."""
    found = build_forecast(assessment, build_links(assessment))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def shaky() -> Assessment:
    """Return a month in which one of twelve appliances missed one run of 30."""
    names = [f"vc-{number:02}" for number in range(11)]
    return month({EVIL: "s" * 20 + "f" + "s" * 10, **dict.fromkeys(names, "s" * 31)})


def test_the_most_probable_first(shaky: Assessment) -> None:
    """The ten most probable breaches have the numbers that they come from."""
    found = section(shaky)
    assert found.finding == (
        "On average, 0.037 breaches within a day are expected of 12 compliant appliances:"
        " the sum of their probabilities."
    )
    assert (len(found.chances), found.chances.omitted) == (10, 2)
    first, second = found.chances[:2]
    # 29 of 30 slots follow a success, one of them missed; 1.5 of 360 of the fleet. The others:
    # 5 * 1.5 / 360 / 35 = 0.0006 each, which is 0.037 with eleven of them
    assert first.probability == f"{(1 + 5 * 1.5 / 360) / 34 * 100:.1f} %" == "3.0 %"
    assert str(first.missed) == "3.3 % (1 of 30 runs)"
    assert (first.runs_left, first.breach_at) == (1, END + 3 * HOUR)
    assert first.next_slot == END + HOUR
    assert str(second.missed) == "0.0 % (0 of 30 runs)"


def test_reliability(shaky: Assessment) -> None:
    """The forecasts of the past are compared with what happened, with numbers."""
    rows = section(shaky).reliability
    assert {row.came_true.unit for row in rows} == {"forecasts"}
    ranges = {"0 %", "above 0 % up to 1 %", "above 1 % up to 5 %", "above 5 % up to 20 %"}
    assert {row.probability for row in rows} <= ranges
    # 12 appliances on the days on which 10 slots or more were known
    assert sum(row.came_true.denominator for row in rows) > 12 * 15


def test_in_the_page(shaky: Assessment) -> None:
    """The page escapes the names, counts the others and folds the reliability."""
    html = render_page(shaky)
    text = html[html.index('<section id="forecast"') : html.index('<section id="load"')]
    assert "&lt;b&gt;vc&lt;/b&gt;" in text
    assert EVIL not in text
    assert "and 2 more" in text
    assert "<details><summary>How reliable such forecasts were</summary>" in text
    assert '<a href="#forecast">' in html


def test_a_period_that_is_over(shaky: Assessment) -> None:
    """A report on the past has no forecast, and no link to it."""
    past = shaky.replaced(now=shaky.end + HOUR)
    assert build_forecast(past, build_links(past)) is None
    assert "#forecast" not in render_page(past)


def test_too_little_data() -> None:
    """With fewer than ten known runs the section is one sentence."""
    few = assess(nights("a", "ssssssss"), [poll("a")], [schedule("a")])
    found = section(few)
    assert (found.chances, found.reliability) == ((), ())
    assert found.finding == (
        "There is too little data for a forecast: it needs a compliant appliance with 10 expected"
        " runs in this period whose results are known."
    )
    html = render_page(few)
    assert found.finding in html
    assert "How reliable such forecasts were" not in html


def test_more_than_one_breach() -> None:
    """Breaches that are certain add up to a number without needless digits."""
    end = END - DAY + 2.5 * HOUR  # both runs of 01:00 failed, and the breach begins at 03:00
    found = section(month({"a": "s" * 30 + "f", "b": "s" * 30 + "f"}, end=end))
    assert found.finding.startswith("On average, 2 breaches within a day are expected of 2 ")
    assert [(one.probability, one.runs_left) for one in found.chances] == [("100.0 %", 0)] * 2
    single = section(month({"a": "s" * 30 + "f"}, end=end))
    assert single.finding.startswith("On average, 1 breach within a day is expected of 1 ")


def test_no_breach_within_a_day() -> None:
    """No breach can begin if the threshold is more than a day away."""
    wide = month({"a": "s" * 31})
    later = wide.replaced(policy=dataclasses.replace(wide.policy, rpo=3 * DAY.to_pytimedelta()))
    found = section(later)
    assert found.chances == ()
    assert found.finding == (
        "No breach of 1 compliant appliance can begin within a day, whatever the next runs do."
    )
