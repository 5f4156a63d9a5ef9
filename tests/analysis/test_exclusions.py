"""Exclusions with a date, and observed time."""

import numpy as np
import pandas as pd

from backupkit.analysis import NO_EXCLUSIONS, Exclusions, observed_time
from backupkit.policy import Exclusion, Policy
from tests.builders import moment

NAMES = pd.Index(["a", "b"], dtype="str")


def contains(excluded: Exclusions, *times: str) -> list[bool]:
    """Return for each time of November whether appliance a is excluded."""
    moments = np.array([f"2026-11-{time}" for time in times], dtype="datetime64[us]")
    return [bool(held) for held in excluded.contains(np.zeros(len(times), dtype=np.intp), moments)]


class TestExclusions:
    """`Exclusions`."""

    def test_joined(self) -> None:
        """Overlapping and adjacent exclusions of an appliance are joined; they are half-open."""
        rules = [
            Exclusion(reason="x", start="2026-11-05T00:00:00Z", end="2026-11-07T00:00:00Z"),
            Exclusion(reason="y", start="2026-11-05T12:00:00Z", end="2026-11-06T00:00:00Z"),
            Exclusion(reason="z", start="2026-11-07", end="2026-11-08", appliances=["a"]),
            Exclusion(reason="w", start="2026-11-10", appliances=["a", "stranger"]),
        ]
        excluded = Exclusions.of(Policy(exclusions=rules).excluded(["a", "b", "stranger"]), NAMES)
        assert excluded.codes.tolist() == [0, 0, 1]
        assert excluded.starts.astype("datetime64[D]").astype(str).tolist() == [
            "2026-11-05",
            "2026-11-10",
            "2026-11-05",
        ]
        times = ("04T23:59", "05T00:00", "07T00:00", "07T23:59", "08T00:00", "30T00:00")
        assert contains(excluded, *times) == [False, True, True, True, False, True]

    def test_without_a_start(self) -> None:
        """An exclusion without a start has no lower bound."""
        rule = Exclusion(reason="x", end="2026-11-05")
        excluded = Exclusions.of(Policy(exclusions=[rule]).excluded(["a"]), NAMES)
        assert contains(excluded, "01T00:00", "05T00:00") == [True, False]

    def test_none(self) -> None:
        """Without exclusions no appliance is excluded."""
        assert contains(NO_EXCLUSIONS, "01T00:00") == [False]
        assert len(Exclusions.of(Policy().excluded(["a"]), NAMES).codes) == 0


def test_observed_between() -> None:
    """Unknown time, time excluded by a rule and time outside the segments is not observed."""
    pieces = pd.DataFrame(
        {
            "appliance": ["a", "a", "a", "a", "b"],
            "state": ["compliant", "unknown", "excluded", "excluded", "breach"],
            "start": [moment(f"0{day}T00:00") for day in (2, 3, 4, 5, 2)],
            "end": [moment(f"0{day}T00:00") for day in (3, 4, 5, 6, 6)],
            "excluded_by_rule": [False, False, True, False, False],
        }
    )
    codes = np.array([0, 0, 0, 1, 1], dtype=np.intp)
    begin = np.array([f"2026-11-0{day}" for day in (1, 2, 3, 1, 5)], dtype="datetime64[us]")
    until = np.array([f"2026-11-0{day}T12:00" for day in (2, 5, 4, 7, 5)], dtype="datetime64[us]")
    got = observed_time(pieces, codes, begin, until, appliances=NAMES)
    assert (got / np.timedelta64(1, "h")).tolist() == [12, 36, 0, 96, 12]
