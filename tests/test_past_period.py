"""A report on a period that is over has nothing of the time after it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import backupkit as bk
from backupkit.assessment import Assessment
from backupkit.policy import Member, Policy
from backupkit.reports.mail import compose_mail
from backupkit.reports.period import PERIOD_OVER, select_period_jobs
from tests.builders import DETAILS, message, observation, snapshot_of

DAY, HOUR = pd.Timedelta(days=1), pd.Timedelta(hours=1)
START, END = pd.Timestamp("2026-10-01", tz="UTC"), pd.Timestamp("2026-11-01", tz="UTC")
NOW = pd.Timestamp("2026-11-20T12:00Z")
NAMES = ("good", "failing", "gone", "lost-later", "running")
ALLOWED = re.compile(
    r"2026-11-01(T00:00:00(\.0+)?(Z|\+00:00)| 00:00)|2026-11-20(T12:00:00(\+00:00)?| 12:00)"
)
"""The period's end, and the time of the report."""

LATER = re.compile(r"2026-?11-?\d\d|\b\d{1,2} Nov\b|eleventh", re.IGNORECASE)
"""A date of November, as a text or in the id of a job, or a message of November."""


def month_of(time: pd.Timestamp) -> str:
    """Return a word that a message of this time has."""
    return "the tenth month" if time < END else "the eleventh month"


def jobs_at(night: pd.Timestamp) -> Iterator[dict[str, Any]]:
    """Yield the jobs of one night, as read at noon."""
    for name in NAMES:
        start = night + HOUR
        failed = name == "failing" and night >= END - 3 * DAY
        if name == "gone" and night >= END - 6 * DAY:
            continue
        running = name == "running" and night == NOW.normalize()
        status = "FAILED" if failed else "RUNNING" if running else "SUCCEEDED"
        text = message(f"no space left in {month_of(night)}")
        yield observation(
            name,
            f"{start:%Y%m%d-%H%M%S}-1",
            status,
            **DETAILS
            | {
                "observed_at": night + 12 * HOUR,
                "start_time": start,
                "end_time": None if running else start + HOUR / 3,
                "messages": [text] if failed else [],
            },
        )


def polls_at(noon: pd.Timestamp) -> Iterator[dict[str, Any]]:
    """Yield the polls of one noon."""
    for name in NAMES:
        is_lost = name == "gone" and noon >= END - 6 * DAY
        is_lost |= name == "lost-later" and END + DAY <= noon < NOW
        yield {
            "appliance": name,
            "polled_at": noon,
            "ok": not is_lost,
            "error": "unreachable" if is_lost else None,
            "detail": f"no route in {month_of(noon)}" if is_lost else None,
            "details": True,
            "version": "8.0.2" if noon < END else "8.0.3.eleventh",
            "clock_skew": pd.Timedelta(0),
            "schedules_read": 1,
        }


@pytest.fixture(scope="module")
def october(tmp_path_factory: pytest.TempPathFactory) -> Assessment:
    """Assess October on 20 November, from a history of both months."""
    history = bk.History(tmp_path_factory.mktemp("past") / "history.db")
    plan = {"schedule": "default", "enabled": True, "hour": 1, "minute": 0, "timezone": "Etc/UTC"}
    for night in pd.date_range(START - 3 * DAY, NOW.normalize()):
        noon = night + 12 * HOUR
        changed = [
            {**plan, "appliance": name, "seen_at": noon, "hour": 1 if noon < END else 2}
            for name in NAMES
            if night in {START - 3 * DAY, END + DAY}
        ]
        vanished = {"source": "list", "start_time": None, "messages": None, "observed_at": noon}
        gone = [
            observation("good", "20261005-010000-1") | vanished for _ in range(night == END + DAY)
        ]
        history.append(snapshot_of([*jobs_at(night), *gone], list(polls_at(noon)), changed))
    policy = Policy(members=[Member(appliance=name, site="Oslo") for name in NAMES])
    return bk.evaluate(history, policy, start=START, end=END, now=NOW)


def later_texts(text: str) -> list[str]:
    """Return what a text has of November, besides the period's end and the report's time."""
    return [found.group() for found in LATER.finditer(ALLOWED.sub("", text))]


def test_the_history_has_november(october: Assessment) -> None:
    """The assessment knows the jobs of November: it judged the last night by them, if need be."""
    assert (october.jobs["start_time"] >= END).sum() > 60
    assert october.jobs["in_period"].sum() == 4 * 31 + 25


def test_nothing_of_november(october: Assessment, tmp_path: Path) -> None:
    """The page, its data files and the mail have no date, job or message of November."""
    document = bk.report(october)
    paths = document.save(tmp_path / "past.html")
    contents = {path.name: path.read_text(encoding="utf-8") for path in paths}
    mail = compose_mail(october)
    for part in mail.walk():
        if part.get_content_maintype() == "text":
            contents[part.get_content_type()] = part.get_content()
    assert len(contents) == 10
    assert {name: later_texts(text) for name, text in contents.items() if later_texts(text)} == {}
    assert "no space left in the tenth month" in contents["past.jobs.csv"]


def test_what_an_october_page_says(october: Assessment) -> None:
    """Ages, errors and next steps are those of the end of October."""
    html = bk.report(october).html()
    assert "Running now" not in html
    assert "ollect again" not in html
    assert PERIOD_OVER in html
    assert "no route in the tenth month" in html
    assert "ages as of 2026-11-01 00:00 UTC" in html
    assert "5 d 12 h ago" not in html  # the newest good poll was on 25 October at noon
    assert "6 d 12 h ago" in html


def test_what_was_known_at_the_end(october: Assessment) -> None:
    """Polls, errors and versions are those up to the end; a later poll proves the last states."""
    rows = october.coverage
    assert (rows["last_poll"] == END - 12 * HOUR).all()
    assert (rows["version"] == "8.0.2").all()
    assert rows["error"].dropna().to_dict() == {"gone": "unreachable"}
    assert rows.loc["gone", "failing_since"] == END - 6 * DAY + 12 * HOUR
    assert rows["known_until"].max() == END
    assert october.appliances["state"].to_dict() == {
        "failing": "breach",
        "gone": "unknown",
        "good": "compliant",
        "lost-later": "compliant",
        "running": "compliant",
    }
    assert october.slots["state"].ne("pending").all()
    assert october.anomalies.empty


def test_a_report_up_to_now_has_the_next_steps(october: Assessment) -> None:
    """Without time after the period, jobs keep their observations, and there is advice."""
    current = bk.evaluate_frames(
        october.assessed_jobs[[*bk.tables.JOBS.names]],
        bk.tables.POLLS.empty(),
        october.schedules,
        october.policy,
        start=START,
        end=NOW,
        now=NOW,
    )
    assert select_period_jobs(current)["vanished_at"].notna().any()
    assert PERIOD_OVER not in bk.report(current).html()
