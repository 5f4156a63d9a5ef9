"""Why an appliance is in its state."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from backupkit.analysis import reasons
from backupkit.policy import Policy

Build = Callable[..., pd.DataFrame]
TIMES = (
    *("last_success", "incident_since", "known_since", "known_until"),
    *("failing_since", "last_poll", "last_ok"),
)
NOON = pd.Timestamp("2026-11-08T12:00Z")


def reason(
    current: pd.DataFrame,
    text: str | None = None,
    **given: Any,  # noqa: ANN401 # a cell of any column
) -> str | None:
    """Return the reason of appliance a, of which only what is given is known."""
    facts = Policy().rules(["a"])
    for name in TIMES:
        facts[name] = pd.Series([given.pop(name, None)], index=facts.index).astype(
            "datetime64[us, UTC]"
        )
    for name in ("state", "error", "detail", "last_outcome", "excluded_because"):
        facts[name] = pd.Series([given.pop(name, None)], index=facts.index, dtype="str")
    facts["strikes"] = pd.Series([given.pop("strikes", 0)], index=facts.index, dtype="Int64")
    assert not given
    texts = pd.Series([text], index=facts.index, dtype="str")
    failed = pd.DataFrame({"text": texts, "since": NOON})
    [sentence] = reasons(facts, failed, current, end=pd.Timestamp("2026-11-09T00:00Z"))
    return None if pd.isna(sentence) else str(sentence)


class TestReasons:
    """One sentence for each case."""

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
        ],
    )
    def test_breach(self, make_schedules: Build, given: dict[str, Any], expected: str) -> None:
        """A breach says what happened last."""
        current = make_schedules([("a", None, 1, 0)])
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
    def test_unknown(self, make_schedules: Build, given: dict[str, Any], expected: str) -> None:
        """Unknown says why it could not be read, and since when."""
        assert reason(make_schedules([]), state="unknown", **given) == expected

    @pytest.mark.parametrize(
        ("hour", "enabled", "expected"),
        [
            (None, False, "no recovery point ever seen, schedule disabled"),
            (None, True, "no recovery point ever seen, schedule without a time"),
            (1, True, "no recovery point ever seen"),
        ],
    )
    def test_schedule(
        self, make_schedules: Build, hour: int | None, *, enabled: bool, expected: str
    ) -> None:
        """A schedule that cannot start a run is part of the reason."""
        current = make_schedules([("a", None, hour, 0)], enabled=[enabled])
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
    def test_compliant(
        self, make_schedules: Build, given: dict[str, Any], expected: str | None
    ) -> None:
        """A compliant appliance gets a remark only where something is amiss."""
        current = make_schedules([("a", None, 1, 0)])
        assert reason(current, state="compliant", **given) == expected

    def test_compliant_without_schedule(self, make_schedules: Build) -> None:
        """That it will breach for want of a schedule is worth a remark."""
        assert reason(make_schedules([]), state="compliant") == "no schedule"

    def test_words_of_an_appliance_are_tamed(self, make_schedules: Build) -> None:
        """An appliance's own words become one line of at most 200 characters."""
        text = "line\nbreak \x1b[31m" + "x" * 1_000_000
        got = reason(make_schedules([]), text, state="compliant", strikes=1)
        assert got is not None
        assert got.startswith("the last attempt failed: line break [31mxxx")
        assert got.endswith("x…")
        assert len(got) == len("the last attempt failed: ") + 200
