"""Polls as of the end of a period."""

from typing import Any

import pandas as pd

from backupkit.analysis import poll_summary, polls_at_end
from backupkit.tables import POLLS
from tests.builders import END, frame, poll

DAY = pd.Timedelta(days=1)
INDEX = pd.Index(["a"], dtype="str", name="appliance")
PART: dict[str, Any] = {"ok": None, "jobs_unread": 2, "schedules_error": "no rights"}


def at_end(*polls: dict[str, Any]) -> dict[str, Any]:
    """Return the facts about a at END."""
    rows = frame(POLLS, polls)
    summary = poll_summary(rows, appliances=INDEX)
    found = polls_at_end(rows, summary, end=END)
    [row] = found.to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_later_polls_are_ignored() -> None:
    """Error, version and newest poll are those of the end; the cadence is that of all polls."""
    got = at_end(
        poll("a", END - 2 * DAY, version="8.0.2"),
        poll("a", END - DAY, "login"),
        poll("a", END + DAY, version="8.0.3"),
        poll("a", END + 2 * DAY, "certificate"),
    )
    assert (got["error"], got["detail"]) == ("login", "a said: login.")
    assert (got["failing_since"], got["last_poll"]) == (END - DAY, END - DAY)
    assert (got["last_ok"], got["version"]) == (END - 2 * DAY, "8.0.2")


def test_without_later_polls() -> None:
    """If all polls are up to the end, the summary is unchanged."""
    rows = frame(POLLS, [poll("a", END)])
    summary = poll_summary(rows, appliances=INDEX)
    assert polls_at_end(rows, summary, end=END) is summary


def test_what_was_read_later_is_not_missing() -> None:
    """A partial poll stays partial, unless a later poll read the rest."""
    part = poll("a", END - DAY, "partial", **PART)
    stays = at_end(part, poll("a", END + DAY, "partial", **PART | {"jobs_unread": 5}))
    assert (stays["jobs_unread"], stays["error"]) == (2, "partial")
    assert stays["schedules_error"] == "no rights"
    gone = at_end(part, poll("a", END + DAY, jobs_unread=0))
    assert gone["jobs_unread"] == 0
    assert pd.isna(gone["error"])
    assert pd.isna(gone["detail"])
    assert pd.isna(gone["schedules_error"])


def test_never_polled_by_then() -> None:
    """Without a poll up to the end nothing is known of it."""
    got = at_end(poll("a", END + DAY, jobs_unread=0))
    names = ("last_poll", "last_ok", "failing_since", "error", "version", "jobs_unread")
    assert all(pd.isna(got[name]) for name in names)
