"""Coverage: since when and until when each appliance is known."""

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from backupkit.analysis import (
    correct_clock_skew,
    deduplicate_jobs,
    job_times,
    poll_summary,
    skew_corrections,
)
from backupkit.policy import Member, Policy
from tests.builders import coverage_of, jobs_of, moment, polls_of


class TestDistinctJobs:
    """`deduplicate_jobs`."""

    def test_finished_beats_open(self) -> None:
        """A finished record replaces an open one that was seen later."""
        jobs = jobs_of(
            [("a", "failure", "02T01:00", "02T02:00"), ("a", "open", "02T01:00", None)],
            job_id=["1", "1"],
            last_seen_at=pd.to_datetime(["2026-11-02T02:00Z", "2026-11-02T03:00Z"]),
        )
        assert deduplicate_jobs(jobs)["outcome"].to_list() == ["failure"]

    def test_later_of_two_finished(self) -> None:
        """Of two finished records the one seen last counts, in any order of rows."""
        jobs = jobs_of(
            [
                ("a", "success", "02T01:00", "02T02:00"),
                ("a", "failure", "02T01:00", "02T02:00"),
            ],
            job_id=["1", "1"],
            last_seen_at=pd.to_datetime(["2026-11-02T03:00Z", "2026-11-02T02:00Z"]),
        )
        for rows in (jobs, jobs[::-1]):
            assert deduplicate_jobs(rows)["outcome"].to_list() == ["success"]

    def test_same_id_elsewhere(self) -> None:
        """The same id on another appliance is another job."""
        jobs = jobs_of([("a", "open", None, None), ("b", "open", None, None)], job_id=["1", "1"])
        assert len(deduplicate_jobs(jobs)) == 2


def test_job_times() -> None:
    """The end, or the start if that is later, or when it was last seen, is the time of a result."""
    jobs = jobs_of(
        [
            ("a", "success", "02T01:00", "02T02:00"),
            ("a", "success", "02T03:00", "02T02:00"),
            ("a", "failure", "02T01:00", None),
            ("a", "open", "02T01:00", "02T02:00"),
            ("a", "success", "02T01:00", None),
            ("a", "success", None, "02T02:00"),
        ],
        last_seen_at=[None, None, pd.Timestamp("2026-11-02T04:00Z"), None, None, None],
    )
    _, end = job_times(jobs)
    got = [None if pd.isna(time) else pd.Timestamp(time).hour for time in end]
    assert got == [2, 3, 4, None, None, 2]


class TestPolls:
    """`poll_summary`."""

    def test_summary(self) -> None:
        """The summary has the newest good poll, the error of the newest poll and the version."""
        polls = polls_of(
            [
                ("a", "02T00:00", True),
                ("a", "02T06:00", True),
                ("a", "02T07:00", False),
                ("a", "02T08:00", False),
                ("b", "02T00:00", False),
            ],
            error=[None, None, "login", "busy", "rights"],
            version=["8.0.2", "8.0.3", None, None, None],
        )
        got = poll_summary(polls[::-1], appliances=pd.Index(["a", "b", "c"]))
        assert got.loc["a", "last_ok"] == moment("02T06:00")
        assert got.loc["a", "failing_since"] == moment("02T07:00")
        assert got["error"].fillna("").to_list() == ["busy", "rights", ""]
        assert got["version"].fillna("").to_list() == ["8.0.3", "", ""]

    def test_neither_good_nor_failed(self) -> None:
        """A stopped poll counts neither as good nor as failed."""
        counted = [("a", "02T00:00", True), ("a", "02T06:00", True), ("b", "02T00:00", False)]
        cut = [("a", "02T03:00", None), ("a", "02T07:00", None), ("b", "01T00:00", None)]
        cut += [("b", "03T00:00", None), ("c", "02T00:00", None)]
        appliances = pd.Index(["a", "b", "c"])
        expected = poll_summary(
            polls_of(counted, error=[None, None, "busy"]), appliances=appliances
        )
        errors = [None, None, "busy", *["stopped"] * len(cut)]
        got = poll_summary(polls_of([*counted, *cut], error=errors), appliances=appliances)
        assert_frame_equal(got, expected)
        assert got["failing_since"].to_list() == [pd.NaT, moment("02T00:00"), pd.NaT]

    def test_stopped_poll_ends_nothing(self) -> None:
        """A later poll that was stopped does not end what is known."""
        polls = polls_of([("a", "02T00:00", True), ("a", "02T02:00", None)])
        rules = Policy(staleness="6h").rules(["a"])
        known = coverage_of(jobs_of([]), polls, rules, moment("01T00:00"))
        assert known["known_until"].to_list() == [moment("02T06:00")]

    @pytest.mark.parametrize(
        ("hours", "expected"),
        [
            ([], 24),
            ([5], 24),
            ([0, 6, 12, 23], 24),
            ([0, 0.1, 0.2], 24),
            ([number * 6 for number in range(9)], 24),  # eight gaps
            ([number * 6 for number in range(10)], 6),
            ([*(number * 6 for number in range(9)), 48.1], 24),
            ([number / 60 for number in range(500)], 24),  # every minute: eight gaps of an hour
            ([at for number in range(11) for at in (number * 10, number * 10 + 0.1)], 10),  # pairs
            # counted back: the poll half an hour before is ignored
            ([*(number * 5 for number in range(11)), 50.5], 5),
            ([0, *(number * 5 + 20 for number in range(11))], 5),
            ([*range(0, 40, 4), *range(40, 61)], 1),  # only the newest 20 gaps
            ([*range(0, 40, 4), *range(44, 61)], 1),
            ([number / 6 for number in range(500)], 1),  # every 10 minutes
            ([number * 1.5 for number in range(500)], 1.5),
        ],
    )
    def test_cadence(self, hours: list[float], expected: float) -> None:
        """The cadence is the median of 9 to 20 gaps between good polls, with fewer 24 h."""
        start = pd.Timestamp("2026-10-02T00:00:00")
        rows = [("a", str(start + pd.Timedelta(hours=hour).round("s")), True) for hour in hours]
        rows += [("a", "2026-11-03T12:34:56", False)]
        got = poll_summary(polls_of(rows), appliances=pd.Index(["a"]))
        assert got["cadence"].to_list() == [pd.Timedelta(hours=expected)]

    def test_second_poll(self) -> None:
        """Polls soon after a good poll do not shorten how long its result counts."""
        days = [("a", f"0{day}T06:00", True) for day in range(1, 9)]
        until = []
        for again in (
            [],
            [("a", "08T06:20", True)],
            [("a", "08T06:20", True), ("a", "08T06:40", True)],
        ):
            summary = poll_summary(polls_of([*days, *again]), appliances=pd.Index(["a"])).loc["a"]
            until.append(summary["last_ok"] + summary["cadence"])
        assert until == sorted(until)


class TestClocks:
    """Clock differences."""

    def test_small_skew_stays(self) -> None:
        """A difference up to 5 minutes is tolerated, a larger one corrected, an unknown one 0."""
        skew = pd.Series(pd.to_timedelta(["300s", "-301s", None]), index=["a", "b", "c"])
        assert skew_corrections(skew).dt.total_seconds().to_list() == [0, -301, 0]

    def test_jobs_move(self) -> None:
        """Only the jobs of the appliance with the wrong clock move; the input is unchanged."""
        jobs = jobs_of([("a", "open", "02T03:00", None), ("b", "open", "02T03:00", None)])
        corrections = pd.Series(pd.to_timedelta(["1h", "0h"]), index=["a", "b"])
        moved = correct_clock_skew(jobs, corrections)
        assert moved["start_time"].to_list() == [moment("02T02:00"), moment("02T03:00")]
        assert jobs["start_time"].to_list() == [moment("02T03:00")] * 2


class TestCoverage:
    """`coverage`."""

    def known(self, jobs: pd.DataFrame, polls: pd.DataFrame, policy: Policy) -> pd.DataFrame:
        """Return the coverage from 2 November on."""
        return coverage_of(jobs, polls, policy.rules(["a"]), moment("02T00:00"))

    def test_oldest_job_goes_back(self) -> None:
        """An appliance is known since its oldest job, if that is before the first poll."""
        jobs = jobs_of([("a", "success", "02T01:00", "02T02:00"), ("a", "open", None, None)])
        row = self.known(jobs, polls_of([("a", "03T00:00", True)]), Policy(staleness="6h"))
        assert row["known_since"].to_list() == [moment("02T01:00")]
        assert row["known_until"].to_list() == [moment("03T06:00")]
        assert row["newest_good_poll"].to_list() == [moment("03T00:00")]

    def test_failed_poll_ends_it(self) -> None:
        """A failed poll after the newest good one ends what is known; an earlier one does not."""
        polls = polls_of(
            [("a", "02T01:00", False), ("a", "02T02:00", True), ("a", "02T03:00", False)]
        )
        row = self.known(jobs_of([]), polls, Policy())
        assert row["known_until"].to_list() == [moment("02T03:00")]

    def test_unknown_appliance(self) -> None:
        """Without a poll a configured appliance counts from the period's start, others never."""
        jobs = jobs_of([("a", "success", "02T01:00", "02T02:00")])
        members = [Member(appliance="b")]
        rows = self.known(jobs, polls_of([]), Policy(members=members))
        assert rows["since"].notna().to_dict() == {"a": False, "b": True}
        assert rows["known_since"].isna().all()
