"""Reasons for the state of an appliance."""

from typing import Any

import pandas as pd
import pytest

from backupkit.analysis import reasons
from backupkit.policy import Policy
from tests.builders import schedules_of

TIMES = (
    *("last_success", "incident_since", "known_since", "known_until", "onboarding_until"),
    *("failing_since", "last_poll", "last_ok"),
)
NOON = pd.Timestamp("2026-11-08T12:00Z")


def reason(
    current: pd.DataFrame,
    text: str | None = None,
    **given: Any,  # noqa: ANN401 # a cell of any column
) -> str | None:
    """Return the reason of appliance a for the given facts."""
    facts = Policy().rules(["a"])
    for name in TIMES:
        facts[name] = pd.Series([given.pop(name, None)], index=facts.index).astype(
            "datetime64[us, UTC]"
        )
    for name in ("state", "error", "detail", "last_outcome", "excluded_because", "undecided"):
        facts[name] = pd.Series([given.pop(name, None)], index=facts.index, dtype="str")
    facts["strikes"] = pd.Series([given.pop("strikes", 0)], index=facts.index, dtype="Int64")
    assert not given
    texts = pd.Series([text], index=facts.index, dtype="str")
    failed = pd.DataFrame({"text": texts, "since": NOON})
    [sentence] = reasons(facts, failed, current, end=pd.Timestamp("2026-11-09T00:00Z"))
    return None if pd.isna(sentence) else str(sentence)


class TestReasons:
    """`reasons`."""

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({"strikes": 1}, "the last attempt failed since 2026-11-08 12:00 UTC: no message"),
            ({"strikes": 2}, "2 failures in a row since 2026-11-08 12:00 UTC: no message"),
            ({}, "no recovery point ever seen"),
            ({"last_success": NOON}, "no newer backup than 2026-11-08 12:00 UTC"),
            (
                {"last_success": NOON, "incident_since": NOON},
                "no run since 2026-11-08 12:00 UTC",
            ),
            (
                {"last_success": NOON, "last_outcome": "open"},
                "no newer backup than 2026-11-08 12:00 UTC, a backup is running",
            ),
            (
                {"last_success": NOON, "incident_since": NOON, "undecided": "job a is odd"},
                "no newer backup than 2026-11-08 12:00 UTC, job a is odd",
            ),
            ({"undecided": "job a is odd"}, "no recovery point ever seen, job a is odd"),
        ],
    )
    def test_breach(self, given: dict[str, Any], expected: str) -> None:
        """The reason of a breach is the last event."""
        current = schedules_of([("a", None, 1, 0)])
        assert reason(current, state="breach", **given) == expected

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({}, "never polled"),
            ({"last_poll": NOON, "last_ok": NOON}, "not polled since 2026-11-08 12:00 UTC"),
            (
                {"last_poll": NOON, "failing_since": NOON, "error": "login", "detail": "Wrong."},
                "login, never read: Wrong.",
            ),
            (
                {"last_poll": NOON, "last_ok": NOON, "failing_since": NOON, "error": "busy"},
                "busy, since 2026-11-08 12:00 UTC: no message",
            ),
        ],
    )
    def test_unknown(self, given: dict[str, Any], expected: str) -> None:
        """The reason of unknown is why and since when the appliance could not be read."""
        assert reason(schedules_of([]), state="unknown", **given) == expected

    @pytest.mark.parametrize(
        ("hour", "enabled", "expected"),
        [
            (None, False, "no recovery point ever seen, schedule disabled"),
            (None, True, "no recovery point ever seen, schedule without a time"),
            (1, True, "no recovery point ever seen"),
        ],
    )
    def test_schedule(self, hour: int | None, *, enabled: bool, expected: str) -> None:
        """A schedule that cannot start a run is part of the reason."""
        current = schedules_of([("a", None, hour, 0)], enabled=[enabled])
        assert reason(current, state="breach") == expected

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({}, None),
            ({"strikes": 1}, "the last attempt failed: no message"),
            (
                {"incident_since": NOON},
                "an expected run did not start, overdue since 2026-11-08 12:00 UTC",
            ),
            (
                {"known_until": NOON, "last_poll": NOON},
                "judged by its last known recovery point; not polled since 2026-11-08 12:00 UTC",
            ),
        ],
    )
    def test_compliant(self, given: dict[str, Any], expected: str | None) -> None:
        """A compliant appliance has a reason only if there is a problem."""
        current = schedules_of([("a", None, 1, 0)])
        assert reason(current, state="compliant", **given) == expected

    def test_compliant_without_schedule(self) -> None:
        """A compliant appliance without a schedule has a reason."""
        assert reason(schedules_of([]), state="compliant") == "no schedule"

    def test_texts_of_an_appliance_are_cut(self) -> None:
        """A text of an appliance becomes one line of at most 200 characters."""
        text = "line\nbreak \x1b[31m" + "x" * 1_000_000
        got = reason(schedules_of([]), text, state="compliant", strikes=1)
        assert got is not None
        assert got.startswith("the last attempt failed: line break [31mxxx")
        assert got.endswith("x…")
        assert len(got) == len("the last attempt failed: ") + 200
