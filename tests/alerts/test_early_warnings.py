"""Early warnings: breaches to come, running jobs that are too slow, and runs that grow."""

from pathlib import Path
from typing import Any

import pandas as pd

from backupkit import History
from backupkit.alerts import AlertSettings, Fact, find_facts, send_alerts
from backupkit.assessment import Assessment
from backupkit.policy import Member
from backupkit.tables.alerts import ALERT_KINDS
from tests.alerts.scripted import ScriptedChannel
from tests.builders import END, START, assess, assess_week, job, moment, nights, poll, schedule

HOUR, MINUTE = pd.Timedelta(hours=1), pd.Timedelta(minutes=1)
MEMBER = Member(appliance="vc-1", site="Hamburg", group="production")
NIGHTS = "s" * 8  # from 1 Nov to 8 Nov, at 01:00


def find(assessment: Assessment, kind: str) -> list[Fact]:
    """Return the facts of a kind, of an assessment in which all kinds are judged."""
    facts = find_facts(assessment, kinds=ALERT_KINDS)
    return [fact for fact in facts.present if fact.kind == kind]


def undecided(assessment: Assessment) -> set[str]:
    """Return the kinds that cannot be judged of vc-1."""
    facts = find_facts(assessment, kinds=ALERT_KINDS)
    return {kind for kind, subject in facts.undecided if subject == "vc-1"}


class TestBreachSoon:
    """A breach that no scheduled run can prevent."""

    def test_no_run(self) -> None:
        """The newest backup is of 8 Nov 01:00, so without a run the breach is on 9 Nov 03:00."""
        rows, polls = nights("vc-1", NIGHTS), [poll("vc-1")]
        [fact] = find(
            assess(rows, polls, [schedule("vc-1", enabled=False)], [MEMBER]), "breach-soon"
        )
        assert (fact.subject, fact.site, fact.group, fact.level) == (
            "vc-1",
            "Hamburg",
            "production",
            1,
        )
        assert fact.detail.startswith("will be in breach in 3 h, from 2026-11-09 03:00 UTC, unless")

    def test_run_in_time(self) -> None:
        """A run of 9 Nov 01:00 is over before, so there is no warning."""
        found = assess(nights("vc-1", NIGHTS), [poll("vc-1")], [schedule("vc-1")])
        assert find(found, "breach-soon") == []
        assert undecided(found) == set()

    def test_open_job(self) -> None:
        """While a job is open, it is undecided: an alert stays, and none opens."""
        running = job("vc-1", 7, "open", start_time=END - HOUR, last_seen_at=END)
        found = assess(
            [*nights("vc-1", NIGHTS), running], [poll("vc-1")], [schedule("vc-1", enabled=False)]
        )
        assert find(found, "breach-soon") == []
        assert undecided(found) == {"breach-soon"}

    def test_unknown(self) -> None:
        """Of an appliance that cannot be read, nothing is decided."""
        polls = [poll("vc-1", END - 60 * HOUR), poll("vc-1", END, "certificate")]
        found = assess(nights("vc-1", "ssssss"), polls, [schedule("vc-1")])
        assert undecided(found) == set(ALERT_KINDS) - {"target", "unknown"}

    def test_past_period(self) -> None:
        """Of a period that is over, nothing is to come: alerts stay as they are."""
        week = assess_week()
        past = week.replaced(now=week.end + HOUR)
        facts = find_facts(past, kinds=ALERT_KINDS)
        assert set(facts.kinds) == {"breach", "target", "unknown", "failure"}


class TestRunning:
    """A running job that is stalled, or longer than usual."""

    @staticmethod
    def facts(
        started: pd.Timedelta, unchanged: pd.Timedelta, successes: str = "s" * 11
    ) -> list[Fact]:
        """Return the facts of a job that runs, and did not change for some time."""
        earlier = [
            one | {key: one[key] - 4 * 24 * HOUR for key in ("start_time", "end_time")}
            for one in nights("vc-1", successes)
        ]
        running = job(
            "vc-1", 7, "open", job_id="now", start_time=END - started, last_seen_at=END - unchanged
        )
        return find(assess([*earlier, running], [poll("vc-1")], [schedule("vc-1")]), "running")

    def test_usual(self) -> None:
        """After 10 of 20 min, and with progress, nothing is wrong."""
        assert self.facts(10 * MINUTE, 0 * MINUTE) == []

    def test_overrun(self) -> None:
        """After an hour, it takes longer than usual."""
        [fact] = self.facts(60 * MINUTE, 0 * MINUTE)
        assert fact.level == 1
        assert fact.detail == (
            "job now since 2026-11-08 23:00 UTC: 3.00 times the usual, above 1.65 times"
        )

    def test_stalled(self) -> None:
        """Without progress for 35 min it is stalled, which is worse than a long duration."""
        [fact] = self.facts(60 * MINUTE, 35 * MINUTE)
        assert fact.level == 2
        assert fact.detail == (
            "job now since 2026-11-08 23:00 UTC: no change for 35 min, more than 10 min"
        )

    def test_stalled_without_a_past(self) -> None:
        """A stall needs no earlier runs."""
        [fact] = self.facts(15 * MINUTE, 15 * MINUTE, "s")
        assert fact.level == 2

    def test_excluded(self) -> None:
        """An excluded appliance has no warning."""
        running = job("vc-1", 7, "open", start_time=END - HOUR, last_seen_at=END - 35 * MINUTE)
        member = Member(appliance="vc-1", exclude="change 4711")
        rows = [*nights("vc-1", NIGHTS), running]
        assert find(assess(rows, [poll("vc-1")], [schedule("vc-1")], [member]), "running") == []


def test_slower() -> None:
    """Runs that take a minute longer each night, now 92 min, need more than 26 h in 30 days."""
    rows = []
    for number in range(30):
        start = END - (30 - number) * 24 * HOUR + HOUR
        end = start + (77 + number) * MINUTE
        rows.append(
            job(
                "vc-1",
                0,
                job_id=str(number),
                start_time=start,
                end_time=end,
                duration=end - start,
                first_seen_at=end,
            )
        )
    found = assess(rows, [poll("vc-1")], [schedule("vc-1")], [MEMBER])
    [fact] = find(found, "slower")
    assert (fact.subject, fact.site) == ("vc-1", "Hamburg")
    assert fact.detail.startswith("runs take 30 min longer in 30 days")


def test_slower_in_breach() -> None:
    """In breach it is undecided, so that an alert does not close and open again."""
    found = assess(nights("vc-1", "ssssffff"), [poll("vc-1")], [schedule("vc-1")])
    assert undecided(found) == {"slower"}


def test_switched_off() -> None:
    """Running jobs and growing runs are not judged unless fleet.toml has them."""
    assert set(find_facts(assess_week()).kinds) == set(ALERT_KINDS) - {"running", "slower"}
    assert AlertSettings().kinds == find_facts(assess_week()).kinds


RUNS: tuple[tuple[str, list[str]], ...] = (
    ("08T00:30", []),
    ("08T01:50", []),  # the run of 01:00 may still begin, until 02:00
    ("08T02:10", ["opened breach-soon:vc-1"]),
    ("08T02:50", []),
    ("08T03:30", ["opened breach:vc-1", "closed breach-soon:vc-1"]),
    ("08T06:30", []),
    ("08T12:10", []),  # a job by hand is open
    ("08T12:30", ["closed breach:vc-1"]),
    ("08T18:30", []),
    ("09T00:30", []),
    ("09T02:30", []),
)
"""Times of runs, and what each sends."""


def test_missed_night(tmp_path: Path) -> None:
    """A night without a run: one warning, one breach, one end, and nothing twice.

    The backups are of 01:00 to 01:20. That of 8 Nov does not start, so the breach begins at 03:00,
    26 h after the one of 7 Nov. A run by hand lasts from 12:00 to 12:20.
    """
    log, channel = History(tmp_path / "history.db").alerts, ScriptedChannel()
    settings = AlertSettings(channels=(channel,), kinds=("breach", "breach-soon"))
    sent: list[list[str]] = []
    for text, _ in RUNS:
        end = moment(text)
        before = len(channel.changes)
        send_alerts(_assess_until(end), log, settings, now=end.to_pydatetime())
        sent.append([change for one in channel.changes[before:] for change in one])
    assert sent == [changes for _, changes in RUNS]


def _assess_until(end: pd.Timestamp) -> Assessment:
    """Return the assessment at a time, from what was known by then."""
    by_hand = job(
        "vc-1", 6, job_id="by hand", start_time=moment("08T12:00"), end_time=moment("08T12:20")
    )
    rows: list[dict[str, Any]] = []
    for one in [*nights("vc-1", "sssssss"), by_hand, job("vc-1", 7)]:
        if one["start_time"] > end:
            continue
        is_open = one["end_time"] > end
        open_now = {"outcome": "open", "state": "INPROGRESS", "end_time": None, "duration": None}
        rows.append(one | open_now if is_open else one)
    polls = [poll("vc-1", end - hours * 6 * HOUR) for hours in range(28)]
    return assess(rows, polls, [schedule("vc-1")], start=end - (END - START), end=end)
