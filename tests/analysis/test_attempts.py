"""Attempts and failures in a row."""

import pandas as pd
import pytest

from backupkit.analysis import attempt_counts, last_attempts, strikes
from tests.builders import jobs_of, moment

NAMES = pd.Index(["a", "b"], dtype="str", name="appliance")


def test_attempts_count_by_their_end() -> None:
    """Jobs that ended in the half-open period count, whenever they started."""
    jobs = jobs_of(
        [
            ("a", "success", "01T23:00", "02T00:00"),
            ("a", "failure", "02T12:00", "02T13:00"),
            ("a", "success", "02T23:00", "03T00:00"),
            ("a", "open", "02T12:00", None),
            ("x", "success", "02T12:00", "02T13:00"),
        ]
    )
    got = attempt_counts(jobs, start=moment("02T00:00"), end=moment("03T00:00"), appliances=NAMES)
    assert list(got.loc["a"]) == [2, 1]
    assert list(got.loc["b"]) == [0, 0]


class TestFailuresInARow:
    """Failures in a row."""

    @pytest.mark.parametrize(
        ("outcomes", "now", "worst"),
        [
            ("", 0, 0),
            ("s", 0, 0),
            ("f", 1, 1),
            ("sff", 2, 2),
            ("ffs", 0, 2),
            ("fffsf", 1, 3),
            ("sfsffs", 0, 2),
            ("fosf", 1, 1),
        ],
    )
    def test_streaks(self, outcomes: str, now: int, worst: int) -> None:
        """A success resets the count, an open job keeps it; each appliance counts alone."""
        words = {"s": "success", "f": "failure", "o": "open"}
        rows = [
            (name, words[letter], f"02T{hour:02}:00", f"02T{hour:02}:30")
            for name, letters in (("a", outcomes), ("b", "ff"))
            for hour, letter in enumerate(letters)
        ]
        got = strikes(
            jobs_of(rows[::-1]),
            start=moment("02T00:00"),
            end=moment("03T00:00"),
            appliances=NAMES,
        )
        assert list(got.loc["a"]) == [now, worst]
        assert list(got.loc["b"]) == [2, 2]

    def test_carried_over(self) -> None:
        """Failures before the period count if they belong to a sequence that is not over."""
        rows = [
            ("a", "failure", "01T00:00", "01T01:00"),
            ("a", "failure", "01T02:00", "01T03:00"),
            ("a", "failure", "02T00:00", "02T01:00"),
            ("b", "failure", "01T00:00", "01T01:00"),
            ("b", "success", "02T00:00", "02T01:00"),
        ]
        period = {"start": moment("02T00:00"), "end": moment("03T00:00")}
        got = strikes(jobs_of(rows), **period, appliances=NAMES)
        assert got.to_numpy().tolist() == [[3, 3], [0, 1]]


def test_last_attempts() -> None:
    """The newest job that had started by then is returned; a void job never started."""
    jobs = jobs_of(
        [
            ("a", "failure", "01T00:00", "01T01:00"),
            ("a", "open", "02T00:00", None),
            ("a", "void", "02T06:00", None),
            ("a", "success", "04T00:00", "04T01:00"),
        ]
    )
    got = last_attempts(jobs, at=moment("03T00:00"), appliances=NAMES)
    assert got["last_attempt"].to_list() == [moment("02T00:00"), pd.NaT]
    assert got["last_outcome"].fillna("").to_list() == ["open", ""]
    assert got["last_attempt_end"].isna().all()
    got = last_attempts(jobs, at=moment("05T00:00"), appliances=NAMES)
    assert got["last_attempt_end"].to_list() == [moment("04T01:00"), pd.NaT]
