"""Schedules that are created, changed, removed, or not read."""

from typing import Any

import pandas as pd
import pytest

from backupkit.assessment import Assessment, compare, evaluate_frames
from backupkit.policy import Member, Policy
from backupkit.tables import JOBS, POLLS, SCHEDULES
from tests.builders import END, START, frame, poll, schedule

DAY = pd.Timedelta(days=1)
POLICY = Policy(staleness="2d", members=[Member(appliance="vc")])


def assess(
    *plans: dict[str, Any],
    reads: tuple[Any, ...] = (1, 1, 1),
    end: pd.Timestamp = END,
    **last: Any,  # noqa: ANN401 # columns of the newest poll
) -> Assessment:
    """Evaluate the week; polls are a month before, at day 3 and at its end."""
    times = (START - 30 * DAY, START + 3 * DAY, END)
    polls = [
        poll("vc", time, schedules_read=read, details=True)
        for time, read in zip(times, reads, strict=True)
    ]
    polls[-1] |= last
    return evaluate_frames(
        JOBS.empty(),
        frame(POLLS, polls),
        frame(SCHEDULES, plans),
        POLICY,
        start=START,
        end=end,
        now=END,
    )


def rules(a: Assessment) -> dict[str, str]:
    """Return the findings about schedules by rule."""
    return dict(zip(a.lint["rule"], a.lint["finding"], strict=True))


class TestValidity:
    """When a schedule expects runs."""

    def test_removed(self) -> None:
        """A removed schedule ends when its absence was seen."""
        gone = schedule("vc", seen_at=START + 3 * DAY) | {"removed": True, "enabled": None}
        a = assess(schedule("vc"), gone | {"hour": None, "minute": None})
        assert a.slots["slot"].dt.day.to_list() == [2, 3, 4]
        assert a.schedules.empty
        assert "no-schedule" in rules(a)
        assert "schedule on -> removed" in rules(a)["drift"]

    @pytest.mark.parametrize(
        ("reads", "days"), [((0, 1, 1), 4), ((None, 1, 1), 7), ((1, 1, 1), 4), ((None, None, 1), 7)]
    )
    def test_created(self, reads: tuple[Any, ...], days: int) -> None:
        """A schedule begins when first seen, if an earlier poll read the schedules without it."""
        a = assess(schedule("vc", seen_at=START + 3 * DAY), reads=reads)
        assert len(a.slots) == days

    def test_changed(self) -> None:
        """A change is a finding, with what, from, to and since, and a change of two reports."""
        plans = (schedule("vc"), schedule("vc", seen_at=START + 3 * DAY, hour=2, days=["MONDAY"]))
        a = assess(*plans)
        assert rules(a)["drift"] == (
            'schedule "default" was changed: start 01:00 -> 02:00, days all -> MONDAY, '
            "since 2026-11-05 00:00 UTC"
        )
        before = assess(*plans, end=START + 2 * DAY)
        changes = compare(before, a).changes
        [detail] = changes.loc[changes["kind"] == "schedule changed", "detail"]
        assert detail == '"default": start 01:00 -> 02:00, days all -> MONDAY'
        assert "drift" not in rules(before)


class TestUnread:
    """Schedules that could not be read are never reported as absent."""

    def test_no_row(self) -> None:
        """Without any row, the reason of the poll is stated."""
        a = assess(reads=(None, None, None), schedules_error="HTTP 500")
        assert "HTTP 500" in rules(a)["schedule-unknown"]
        assert "no-schedule" not in rules(a)
        reason = str(a.appliances["reason"]["vc"])
        assert "schedule not known" in reason
        assert "no schedule" not in reason

    def test_readable_time(self) -> None:
        """A schedule with a readable time expects runs, also if it is not known to be enabled."""
        a = assess(schedule("vc", enabled=None, read_error="enable is null"))
        assert len(a.slots) == 7
        assert "schedule-unknown" not in rules(a)

    def test_no_time(self) -> None:
        """A schedule without a readable time is not known, with the reason."""
        a = assess(schedule("vc", hour=None, read_error="hour is a text"))
        assert a.slots.empty
        assert "hour is a text" in rules(a)["schedule-unknown"]
        assert "schedule not known" in str(a.appliances["reason"]["vc"])

    def test_odd_values(self) -> None:
        """Optional parts without common are no error; odd days are a note; 0 keeps all."""
        a = assess(schedule("vc", parts=["seat"], days=["MONDAY", "FUNDAY"], max_count=0))
        assert "parts-left-out" not in rules(a)
        assert "FUNDAY" in rules(a)["days-unknown"]
        assert "keeps all backups" in rules(a)["no-retention"]
        assert not set(a.lint["rule"]) & {"retention-short"}
