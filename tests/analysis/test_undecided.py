"""Jobs whose success is not known: when they may have started, and what hangs on them."""

from typing import Any

import pandas as pd
import pytest

from backupkit.analysis import (
    describe_undecided,
    estimate_starts,
    expected_slots,
    judge_slots,
    possible_recovery_points,
    recovery_points,
    slot_parameters,
    states_at,
)
from backupkit.policy import Policy
from backupkit.tables import JOBS
from tests.builders import coverage_of, frame, jobs_of, moment, polls_of, schedules_of

NIGHT = "20261102-010005-24322831"
"""An id whose time is 2 November 2026, 01:00:05 UTC."""


def undecided_job(**changed: object) -> dict[str, Any]:
    """Build a row of a job of appliance a that could not be read, first seen on 2 November."""
    row = {
        "appliance": "a",
        "job_id": "x",
        "outcome": "other",
        "read_error": "state is null",
        "first_seen_at": moment("02T06:00"),
        "messages": [],
    }
    return row | changed


def undecided_jobs(*rows: dict[str, Any]) -> pd.DataFrame:
    """Build JOBS from rows of `undecided_job`."""
    return frame(JOBS, rows)


class TestEstimateStarts:
    """`estimate_starts`."""

    @pytest.mark.parametrize(
        ("changed", "start"),
        [
            ({"job_id": NIGHT}, "02T01:00:05"),
            ({"job_id": NIGHT, "start_time": moment("02T02:00")}, "02T02:00"),
            ({"job_id": NIGHT, "outcome": "failure", "status": "FAILED"}, "02T01:00:05"),
            ({"job_id": NIGHT, "outcome": "open", "status": "INPROGRESS"}, "02T01:00:05"),
            ({"job_id": NIGHT, "outcome": "open", "status": "PENDING"}, None),
            ({"job_id": NIGHT, "outcome": "success", "status": "SUCCEEDED"}, None),
            ({"job_id": NIGHT, "outcome": "void", "status": "NONE"}, None),
            ({"job_id": "20261102-010005"}, None),
            ({"job_id": "20261131-010005-1"}, None),
            ({"job_id": "19700101-000000-1"}, None),
            ({"job_id": "manual"}, None),
        ],
    )
    def test_by_id(self, changed: dict[str, object], start: str | None) -> None:
        """A job that started has the time in its id as its start, but a success has not."""
        [estimated] = estimate_starts(undecided_jobs(undecided_job(**changed)))["start_time"]
        assert (None if pd.isna(estimated) else estimated) == moment(start)

    def test_others_are_unchanged(self) -> None:
        """Jobs with a start are returned as they are."""
        jobs = jobs_of([("a", "success", "02T01:00", "02T01:20")])
        assert estimate_starts(jobs) is jobs


class TestPossibleRecoveryPoints:
    """`possible_recovery_points`."""

    @pytest.mark.parametrize(
        ("changed", "point", "available"),
        [
            ({"job_id": NIGHT}, "02T01:00:05", "02T01:00:05"),
            ({"job_id": NIGHT, "end_time": moment("02T01:20")}, "02T01:00:05", "02T01:20"),
            ({"start_time": moment("02T03:00")}, "02T03:00", "02T03:00"),
            ({}, "02T06:00", "02T06:00"),
            ({"end_time": moment("02T05:00")}, "02T06:00", "02T06:00"),
            (
                {"job_id": NIGHT, "outcome": "success", "status": "SUCCEEDED"},
                "02T01:00:05",
                "02T01:00:05",
            ),
        ],
    )
    def test_points(self, changed: dict[str, object], point: str, available: str) -> None:
        """The point is the start, by the id, or at the latest when the job was first seen."""
        points = possible_recovery_points(undecided_jobs(undecided_job(**changed)))
        assert points.to_dict("records") == [
            {"appliance": "a", "available": moment(available), "point": moment(point)}
        ]

    @pytest.mark.parametrize(
        "changed",
        [
            {"job_id": NIGHT, "status": "SUSPENDED", "read_error": None},
            {"outcome": "failure", "status": "FAILED"},
            {"outcome": "open", "status": "RUNNING"},
            {"outcome": "success", "status": "SUCCEEDED", "start_time": moment("02T01:00")},
            {"first_seen_at": None},
        ],
    )
    def test_none(self, changed: dict[str, object]) -> None:
        """A known state, a word that is not known, and a job without any time are no such point."""
        assert possible_recovery_points(undecided_jobs(undecided_job(**changed))).empty

    def test_never_backwards(self) -> None:
        """Points are in the order in which they were available, and never go back."""
        jobs = undecided_jobs(
            undecided_job(appliance="b", start_time=moment("02T01:00")),
            undecided_job(start_time=moment("02T04:00"), end_time=moment("02T05:00")),
            undecided_job(start_time=moment("02T03:00"), end_time=moment("02T05:30")),
        )
        assert possible_recovery_points(jobs).to_numpy().tolist() == [
            ["a", moment("02T05:00"), moment("02T04:00")],
            ["a", moment("02T05:30"), moment("02T04:00")],
            ["b", moment("02T01:00"), moment("02T01:00")],
        ]


class TestDescribeUndecided:
    """`describe_undecided`."""

    @pytest.mark.parametrize(
        ("changed", "text"),
        [
            ({}, "job x could not be read: state is null"),
            ({"read_error": "a\nb"}, "job x could not be read: a b"),
            (
                {"status": "SUSPENDED", "read_error": None},
                "job x is in a state not known: SUSPENDED",
            ),
            (
                {"status": "SUSPENDED", "read_error": None, "end_time": moment("02T01:20")},
                "job x ended in a state not known: SUSPENDED",
            ),
            (
                {"outcome": "success", "status": "SUCCEEDED", "read_error": None},
                "job x has no start that is known",
            ),
            ({"read_error": None}, "job x has no start that is known"),
        ],
    )
    def test_text(self, changed: dict[str, object], text: str) -> None:
        """The sentence tells what is not known of the job."""
        since = pd.Series([moment("01T00:00")], index=["a"])
        jobs = undecided_jobs(undecided_job(**changed))
        texts = describe_undecided(jobs, since=since, end=moment("03T00:00"))
        assert texts.to_dict() == {"a": text}

    def test_newest(self) -> None:
        """The newest job of each appliance is stated, with the number of the others of its span."""
        jobs = undecided_jobs(
            undecided_job(job_id="early", first_seen_at=moment("01T06:00")),
            undecided_job(job_id="second", start_time=moment("02T05:00")),
            undecided_job(job_id="newest", start_time=moment("02T09:00")),
            undecided_job(job_id=NIGHT),
            undecided_job(job_id="later", start_time=moment("03T00:01")),
            undecided_job(appliance="b", job_id="only"),
            undecided_job(appliance="c", outcome="failure", status="FAILED"),
        )
        since = pd.Series([moment("02T00:00")] * 3, index=["a", "b", "c"])
        texts = describe_undecided(jobs, since=since, end=moment("03T00:00"))
        assert texts.fillna("").to_dict() == {
            "a": "job newest could not be read: state is null (and 2 more)",
            "b": "job only could not be read: state is null",
            "c": "",
        }


def judge(jobs: pd.DataFrame, polled: str) -> list[str]:
    """Judge the slots of appliance a at 01:00 of 2 and 3 November."""
    rules = Policy(staleness="0h").rules(["a"])
    start, end = moment("02T00:00"), moment("04T00:00")
    index = pd.Index(["a"])
    expected = expected_slots(
        schedules_of([("a", None, 1, 0)]),
        fallback=pd.Series("UTC", index, dtype="str"),
        since=pd.Series([start], index),
        end=end,
    )
    known = coverage_of(jobs, polls_of([("a", polled, True)]), rules, start)
    parameters = slot_parameters(expected, [(None, rules)], [known["known_until"]])
    slots = judge_slots(estimate_starts(jobs), expected, known, parameters, now=moment(polled))
    return [str(state) for state in slots["state"]]


class TestSlots:
    """Slots of undecided jobs."""

    @pytest.mark.parametrize(
        ("changed", "states"),
        [
            # by its id it started at 01:00:05 on the 2nd
            ({"job_id": NIGHT}, ["unknown", "missed_norun"]),
            # first seen on the 2nd at 06:00: it may be the run of that night, not of the next
            ({}, ["unknown", "missed_norun"]),
            # first seen on the 3rd: it may be the run of either night
            ({"first_seen_at": moment("03T06:00")}, ["unknown", "unknown"]),
            # first seen before the slot of the 2nd can begin
            ({"first_seen_at": moment("01T12:00")}, ["missed_norun", "missed_norun"]),
            (
                {"start_time": moment("03T01:00"), "status": "SUSPENDED"},
                ["missed_norun", "unknown"],
            ),
            (
                {"job_id": NIGHT, "outcome": "success", "status": "SUCCEEDED"},
                ["unknown", "missed_norun"],
            ),
            ({"job_id": NIGHT, "outcome": "failure"}, ["missed_failed", "missed_norun"]),
        ],
    )
    def test_states(self, changed: dict[str, object], states: list[str]) -> None:
        """A slot is unknown if an undecided job is, or may be, an attempt of it."""
        assert judge(undecided_jobs(undecided_job(**changed)), "04T00:00") == states

    def test_success_decides(self) -> None:
        """A slot with a success is met, whatever else could not be read."""
        jobs = pd.concat(
            [
                jobs_of([("a", "success", "02T01:00", "02T01:20")]),
                undecided_jobs(undecided_job(), undecided_job(job_id=NIGHT)),
            ],
            ignore_index=True,
        )
        assert judge(jobs, "04T00:00") == ["met", "missed_norun"]


class TestStates:
    """States of appliances with an undecided job."""

    @pytest.mark.parametrize(
        ("rows", "at", "state"),
        [
            # a success of the 1st at 01:00 is in time until the 2nd at 03:00 (26 h)
            ([undecided_job(job_id=NIGHT)], "02T03:00", "compliant"),
            # then it depends on the unread job of the 2nd at 01:00:05, until the 3rd at 03:00:05
            ([undecided_job(job_id=NIGHT)], "02T03:01", "unknown"),
            ([undecided_job(job_id=NIGHT)], "03T03:00:05", "unknown"),
            ([undecided_job(job_id=NIGHT)], "03T03:00:06", "breach"),
            # without a time it may have started as late as it was first seen, 06:00
            ([undecided_job()], "02T05:00", "breach"),
            ([undecided_job()], "03T08:00", "unknown"),
            ([undecided_job()], "03T08:01", "breach"),
            # a word that is not known never counts as a success
            ([undecided_job(job_id=NIGHT, status="SUSPENDED")], "02T03:01", "breach"),
        ],
    )
    def test_after_a_success(self, rows: list[dict[str, Any]], at: str, state: str) -> None:
        """The state is unknown while the verdict hangs on the unread job, else what it is."""
        success = jobs_of([("a", "success", "01T01:00", "01T01:20")])
        jobs = pd.concat([success, undecided_jobs(*rows)], ignore_index=True)
        assert state_of(jobs, at) == state

    @pytest.mark.parametrize(
        ("at", "state"), [("02T00:30", "excluded"), ("02T02:00", "unknown"), ("03T04:00", "breach")]
    )
    def test_without_a_success(self, at: str, state: str) -> None:
        """An appliance with an unread job is not excluded as onboarding: it is unknown."""
        assert state_of(undecided_jobs(undecided_job(job_id=NIGHT)), at) == state


def state_of(jobs: pd.DataFrame, at: str) -> str:
    """Return the state of appliance a, polled since 2 November, with a threshold of 26 h."""
    rules = Policy(rpo="24h", grace="2h", staleness="0h").rules(["a"])
    polls = polls_of([("a", "02T00:00", True), ("a", "05T00:00", True)])
    known = coverage_of(jobs, polls, rules, moment("01T00:00"))
    points, possible = recovery_points(jobs), possible_recovery_points(jobs)
    states = states_at(points, known, rules, at=moment(at), possible=possible)
    return str(states["a"])
