"""Recovery points, exposure and states."""

import pandas as pd
import pytest

from backupkit.analysis import (
    exposure,
    recovery_points,
    segments,
    state_intervals,
    states_at,
    time_in_states,
    worst_exposure,
)
from backupkit.policy import Policy
from tests.builders import coverage_of, jobs_of, moment, polls_of

Frames = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


class TestRecoveryPoints:
    """`recovery_points`."""

    def test_never_backwards(self) -> None:
        """A long job that ends last does not move the point back, and failures have no point."""
        jobs = jobs_of(
            [
                ("a", "success", "08T01:00", "08T03:30"),
                ("a", "success", "08T02:00", "08T02:15"),
                ("a", "failure", "08T04:00", "08T05:00"),
            ]
        )
        points = recovery_points(jobs)
        assert points["available"].to_list() == [moment("08T02:15"), moment("08T03:30")]
        assert points["point"].to_list() == [moment("08T02:00")] * 2

    def test_anchor(self) -> None:
        """The point is the start or the end of the job, as the rule of each appliance says."""
        jobs = jobs_of(
            [("a", "success", "08T01:00", "08T02:00"), ("b", "success", "08T01:00", "08T02:00")]
        )
        anchor = pd.Series(["start", "end"], index=["a", "b"])
        points = recovery_points(jobs, anchor=anchor)
        assert points["point"].to_list() == [moment("08T01:00"), moment("08T02:00")]
        assert recovery_points(jobs, anchor="end")["point"].to_list() == [moment("08T02:00")] * 2


class TestExposure:
    """`exposure`."""

    def test_counts_only_what_had_ended(self) -> None:
        """A success that ends later does not count yet."""
        jobs = jobs_of(
            [("a", "success", "07T01:00", "07T02:00"), ("a", "success", "08T01:00", "08T02:00")]
        )
        assert exposure(jobs, at=moment("08T01:59"))["a"] == pd.Timedelta(hours=24, minutes=59)
        assert exposure(jobs, at=moment("08T02:00"))["a"] == pd.Timedelta(hours=1)

    def test_none_and_never_negative(self) -> None:
        """Without a success exposure is missing, and a point is not available before its start."""
        jobs = jobs_of([("a", "failure", "07T01:00", "07T02:00")])
        assert exposure(jobs, at=moment("08T00:00")).isna().to_list() == [True]
        ahead = recovery_points(jobs_of([("a", "success", "09T00:00", "08T00:00")]))
        assert ahead["available"].to_list() == [moment("09T00:00")]

    def test_no_rows(self) -> None:
        """Without jobs the dtype is right."""
        assert str(exposure(jobs_of([]), at=moment("08T00:00")).dtype) == "timedelta64[us]"


class TestStates:
    """The state at an instant and over a period."""

    @pytest.fixture
    def frames(self) -> Frames:
        """Return one success at 2 November 00:00, known until the 5th, RPO 24 h without grace."""
        jobs = jobs_of([("a", "success", "02T00:00", "02T01:00")])
        rules = Policy(grace="0h", staleness="0h").rules(["a"])
        polls = polls_of([("a", "01T00:00", True), ("a", "05T00:00", True)])
        known = coverage_of(jobs, polls, rules, moment("01T00:00"))
        return recovery_points(jobs), known, rules

    @pytest.mark.parametrize(
        ("at", "state"),
        [
            ("2026-10-31T23:59:59", "unobserved"),
            ("01T00:00", "excluded"),
            ("02T00:00", "excluded"),
            ("02T00:30", "breach"),
            ("02T01:00", "compliant"),
            ("03T00:00", "compliant"),
            ("2026-11-03T00:00:00.000001", "breach"),
            ("05T00:00", "breach"),
            ("05T00:01", "unknown"),
        ],
    )
    def test_at(self, frames: Frames, at: str, state: str) -> None:
        """Each bound belongs to the better state: exactly the threshold is compliant."""
        assert states_at(*frames, at=moment(at)).to_dict() == {"a": state}

    def test_over_a_period(self, frames: Frames) -> None:
        """The intervals change exactly where the state changes."""
        start, end = moment("2026-10-31T00:00:00"), moment("06T00:00")
        pieces = segments(*frames, start=start, end=end)
        found = state_intervals(pieces)[["state", "start"]].itertuples(index=False, name=None)
        assert [(state, f"{begin:%d %H:%M}") for state, begin in found] == [
            ("unobserved", "31 00:00"),
            ("excluded", "01 00:00"),
            ("breach", "02 00:00"),
            ("compliant", "02 01:00"),
            ("breach", "03 00:00"),
            ("unknown", "05 00:00"),
        ]
        index = frames[2].index
        spent = time_in_states(pieces, appliances=index).loc["a"]
        assert spent.sum() == end - start
        assert worst_exposure(pieces, appliances=index)["a"] == pd.Timedelta(days=3)

    def test_a_point_ahead_of_its_time(self, frames: Frames) -> None:
        """A recovery point later than its availability has an exposure of 0."""
        _, known, rules = frames
        points = pd.DataFrame(
            {
                "appliance": pd.Series(["a"], dtype="str"),
                "available": [moment("02T00:00")],
                "point": [moment("04T00:00")],
            }
        )
        start, end = moment("02T00:00"), moment("03T00:00")
        pieces = segments(points, known, rules, start=start, end=end)
        assert worst_exposure(pieces, appliances=rules.index)["a"] == pd.Timedelta(0)
