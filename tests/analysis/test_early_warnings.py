"""Warnings before a breach, and their score."""

from collections.abc import Sequence

import pandas as pd
import pytest

from backupkit.analysis import score_warnings, warn_at_risk, warn_slower
from backupkit.tables import APPLIANCES, INTERVALS, WARNING_SCORES, WARNINGS
from tests.builders import jobs_of, moment

AT = moment("10T00:00")
HOUR = pd.Timedelta(hours=1)
DAY = pd.Timedelta(days=1)


class TestAtRisk:
    """Appliances at risk."""

    def test_reasons(self) -> None:
        """An exposure above the RPO is the reason, else the open incident."""
        rows = APPLIANCES.frame(
            {
                "appliance": ["late", "failing", "none"],
                "exposure": [25 * HOUR, 3 * HOUR, None],
                "incident_since": [None, moment("09T22:00"), moment("09T23:00")],
            }
        )
        rpo = pd.Series(DAY, index=["failing", "late", "none", "other"])
        got = WARNINGS.check(warn_at_risk(rows, rpo, at=AT))
        assert got["text"].to_list() == [
            "the newest backup is 25 h old, the RPO is 24 h",
            "no run succeeded since 2026-11-09 22:00 UTC",
            "no run succeeded since 2026-11-09 23:00 UTC",
        ]
        assert set(got["kind"]) == {"at risk"}
        assert (got["until"] - got["issued_at"]).to_list() == [DAY] * 3


def slower(
    minutes: Sequence[float], *, state: str = "compliant", threshold: pd.Timedelta = 26 * HOUR
) -> pd.DataFrame:
    """Return the warnings of an appliance with daily runs of these durations, up to the 9th."""
    starts = [AT - (len(minutes) - place) * DAY for place in range(len(minutes))]
    jobs = jobs_of(
        [
            ("a", "success", str(start.tz_localize(None)), str((start + took).tz_localize(None)))
            for start, took in zip(starts, pd.to_timedelta(list(minutes), unit="min"), strict=True)
        ]
    )
    rows = APPLIANCES.frame({"appliance": ["a"], "state": [state], "max_gap": [DAY]})
    return WARNINGS.check(warn_slower(rows, jobs, pd.Series({"a": threshold}), at=AT))


class TestSlower:
    """Runs that take longer from day to day."""

    def test_growing(self) -> None:
        """Growing by 1 minute a day, 75 + 30 minutes stay below 2 h, and 92 + 30 do not."""
        assert slower(range(60, 90)).empty  # the median is 74.5
        [told] = slower(range(77, 107)).to_dict("records")  # the median is 91.5
        assert told["kind"] == "slower"
        assert told["until"] - told["issued_at"] == 30 * DAY
        assert told["text"] == (
            "runs take 30 min longer in 30 days: "
            "with the longest gap of 24 h they need 26 h 1 min, more than 26 h"
        )

    def test_not_growing(self) -> None:
        """Steady runs, shrinking runs and few runs are no reason for a warning."""
        assert slower([119] * 30).empty
        assert slower(range(119, 89, -1)).empty
        assert slower([80, 90, 100, 110]).empty

    def test_already_too_long(self) -> None:
        """Runs that do not fit today are no warning, and neither is an appliance in breach."""
        assert slower(range(110, 140)).empty
        assert slower(range(77, 107), state="breach").empty
        assert len(slower(range(77, 107))) == 1

    def test_later_jobs(self) -> None:
        """Jobs that ended after the time of the warning are ignored."""
        assert slower([*[60] * 30, *[3000] * 3]).empty


def score(
    until: Sequence[pd.Timedelta], intervals: Sequence[tuple[str, str, float, float]], known: float
) -> list[tuple[str, str]]:
    """Score warnings of a, b and so on, by intervals in hours, up to some hours later."""
    names = [chr(ord("a") + place) for place in range(len(until))]
    warnings = WARNINGS.frame(
        {
            "appliance": names,
            "kind": ["at risk"] * len(names),
            "issued_at": [AT] * len(names),
            "until": [AT + span for span in until],
        }
    )
    owners, states, begins, ends = zip(*intervals, strict=True)
    frame = INTERVALS.frame(
        {
            "appliance": owners,
            "state": states,
            "start": [AT + hours * HOUR for hours in begins],
            "end": [AT + hours * HOUR for hours in ends],
        }
    )
    before = pd.Series("compliant", index=[*names, "x"])
    before["y"] = "breach"
    got = score_warnings(warnings, before, frame, since=AT, known_until=AT + known * HOUR)
    WARNING_SCORES.check(got)
    return list(zip(got["appliance"], got["result"], strict=True))


class TestScore:
    """Results of warnings."""

    @pytest.mark.parametrize(
        ("intervals", "known", "result"),
        [
            ([("a", "compliant", -9, 3), ("a", "breach", 3, 5)], 48, "came true"),
            ([("a", "compliant", -9, 24), ("a", "breach", 24, 48)], 48, "did not come true"),
            ([("a", "compliant", -9, 3), ("a", "unknown", 3, 48)], 48, "not known"),
            ([("a", "unknown", 1, 3), ("a", "breach", 3, 48)], 48, "came true"),
            ([("a", "compliant", -9, 12)], 12, "open"),
            ([("a", "breach", 3, 12)], 12, "came true"),
            ([("a", "compliant", 30, 48)], 48, "not known"),  # the period begins too late
            ([("z", "compliant", -9, 48)], 48, "not known"),  # no longer in the fleet
            ([("a", "breach", -9, 0), ("a", "compliant", 0, 48)], 48, "did not come true"),
        ],
    )
    def test_result(
        self, intervals: list[tuple[str, str, float, float]], known: float, result: str
    ) -> None:
        """The first breach after the warning decides, up to its horizon."""
        assert score([DAY], intervals, known) == [("a", result)]

    def test_missed(self) -> None:
        """A breach of an appliance that was compliant and had no warning is missed, once."""
        rows = [("a", "breach", 1, 2), ("x", "breach", 1, 2), ("x", "breach", 5, 6)]
        rows += [("y", "breach", 0, 9), ("new", "breach", 1, 2), ("z", "compliant", 0, 9)]
        assert score([DAY], rows, 48) == [("a", "came true"), ("x", "missed")]
