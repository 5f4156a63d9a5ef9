"""Slots and the jobs that belong to them."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from backupkit.analysis import (
    coverage,
    deduplicate_jobs,
    expected_slots,
    infer_types,
    judge_slots,
    poll_summary,
    recent_slots,
    slot_counts,
    slot_parameters,
)
from backupkit.policy import Policy
from tests.analysis.conftest import oldest

Build = Callable[..., pd.DataFrame]
Moment = Callable[[str], pd.Timestamp]
Row = tuple[str, str, str | None, str]
"""Outcome, start, end and type of a job of appliance a, on 2 or 3 November."""

GOOD: Row = ("success", "02T01:00", "02T01:20", "SCHEDULED")


@pytest.fixture
def judge(
    make_jobs: Build, make_polls: Build, make_schedules: Build, moment: Moment
) -> Callable[..., dict[str, Any]]:
    """Judge the run expected on 2 November at 01:00, of a daily schedule."""

    def run(
        *rows: Row, evidence: str = "03T00:00", now: str = "03T00:00", policy: Policy | None = None
    ) -> dict[str, Any]:
        jobs = make_jobs(
            [("a", *row[:3]) for row in rows], type=pd.Series([row[3] for row in rows], dtype="str")
        )
        rules = (policy or Policy(staleness="0h")).rules(["a"])
        seen = poll_summary(make_polls([("a", evidence, True)]), appliances=rules.index)
        start = moment("02T00:00")
        known = coverage(oldest(jobs), seen, rules, start=start)
        expected = expected_slots(
            make_schedules([("a", None, 1, 0)]),
            fallback=rules["timezone"],
            since=pd.Series([start], index=rules.index),
            end=moment("03T00:00"),
        )
        judged = judge_slots(
            deduplicate_jobs(jobs),
            expected,
            known,
            slot_parameters(expected, [(None, rules)]),
            now=moment(now),
        )
        [slot] = judged.to_dict("records")
        return {str(name): value for name, value in slot.items()}

    return run


class TestJudgeSlots:
    """`judge_slots`."""

    @pytest.mark.parametrize(
        ("rows", "state", "job", "attempts"),
        [
            ([GOOD], "met", "job-0", 1),
            ([("success", "02T02:00", "02T02:20", "SCHEDULED")], "met", "job-0", 1),
            ([("success", "02T02:01", "02T02:20", "SCHEDULED")], "rescued", "job-0", 1),
            ([("success", "02T01:00", "02T01:20", "MANUAL")], "rescued", "job-0", 1),
            ([("success", "02T00:00", "02T00:20", "SCHEDULED")], "met", "job-0", 1),
            (
                [("success", "2026-11-01T23:59:59", "02T00:20", "SCHEDULED")],
                "missed_norun",
                None,
                0,
            ),
            ([("success", "02T23:59", "03T00:20", "MANUAL")], "late", "job-0", 1),
            ([("success", "03T00:00", "03T00:20", "SCHEDULED")], "missed_norun", None, 0),
            (
                [("failure", "02T01:00", "02T01:05", "SCHEDULED"), ("success", *GOOD[1:])],
                "rescued",
                "job-1",
                2,
            ),
            ([GOOD, ("failure", "02T06:00", "02T06:05", "MANUAL")], "met", "job-0", 2),
            ([("failure", "02T01:00", "02T01:05", "SCHEDULED")], "missed_failed", "job-0", 1),
            ([("open", "02T01:00", None, "SCHEDULED")], "missed_overrun", "job-0", 1),
            ([("void", "02T01:00", None, "SCHEDULED")], "missed_norun", None, 0),
            ([("other", "02T01:00", "02T01:20", "SCHEDULED")], "missed_norun", None, 0),
            ([], "missed_norun", None, 0),
        ],
    )
    def test_after_the_deadline(
        self,
        judge: Callable[..., dict[str, Any]],
        rows: list[Row],
        state: str,
        job: str | None,
        attempts: int,
    ) -> None:
        """At the deadline the attempts decide the state of a slot."""
        slot = judge(*rows)
        assert slot["state"] == state
        assert (None if pd.isna(slot["job_id"]) else slot["job_id"]) == job
        assert slot["attempts"] == attempts

    @pytest.mark.parametrize(
        ("rows", "evidence", "state"),
        [
            ([], "02T01:59", "pending"),
            ([], "02T02:00", "missed_norun"),
            ([("failure", "02T01:00", "02T01:05", "SCHEDULED")], "02T12:00", "pending"),
            ([("open", "02T01:00", None, "SCHEDULED")], "02T12:00", "pending"),
            ([GOOD], "02T12:00", "met"),
        ],
    )
    def test_before_the_deadline(
        self, judge: Callable[..., dict[str, Any]], rows: list[Row], evidence: str, state: str
    ) -> None:
        """Before the deadline a slot is pending, unless its run succeeded or did not start."""
        assert judge(*rows, evidence=evidence, now=evidence)["state"] == state

    def test_not_known(self, judge: Callable[..., dict[str, Any]]) -> None:
        """A slot that was pending at the newest good poll is unknown later."""
        assert judge(evidence="02T01:30", now="02T12:00")["state"] == "unknown"

    @pytest.mark.parametrize(("completion", "state"), [("20m", "met"), ("19m", "late")])
    def test_completion_target(
        self, judge: Callable[..., dict[str, Any]], moment: Moment, completion: str, state: str
    ) -> None:
        """With `completion` the deadline is that long after the slot."""
        policy = Policy(completion=completion, staleness="0h")
        slot = judge(GOOD, policy=policy)
        assert slot["state"] == state
        assert slot["deadline"] == moment("02T01:00") + pd.Timedelta(completion)

    @pytest.mark.parametrize(
        ("rows", "evidence", "overdue"),
        [
            ([], "02T01:59", None),
            ([], "02T02:00", "02T02:00"),
            ([GOOD], "02T12:00", None),
            ([("success", "02T06:00", "02T06:20", "MANUAL")], "02T12:00", "02T02:00"),
        ],
    )
    def test_overdue(
        self,
        judge: Callable[..., dict[str, Any]],
        moment: Moment,
        rows: list[Row],
        evidence: str,
        overdue: str | None,
    ) -> None:
        """A run is overdue once `late` has passed without a start, even if a run follows."""
        got = judge(*rows, evidence=evidence, now=evidence)["overdue"]
        assert (None if pd.isna(got) else got) == (None if overdue is None else moment(overdue))


def test_close_slots_share_the_time_between(
    make_jobs: Build, make_polls: Build, make_schedules: Build, moment: Moment
) -> None:
    """Slots closer than `early` share the time between them equally."""
    jobs = make_jobs(
        [("a", "success", "02T01:14", "02T01:14"), ("a", "success", "02T01:15", "02T01:16")]
    )
    rules = Policy(staleness="0h").rules(["a"])
    seen = poll_summary(make_polls([("a", "03T00:00", True)]), appliances=rules.index)
    known = coverage(oldest(jobs), seen, rules, start=moment("02T00:00"))
    expected = expected_slots(
        make_schedules([("a", None, 1, 0), ("a", None, 1, 30)], schedule=["x", "y"]),
        fallback=rules["timezone"],
        since=pd.Series([moment("02T00:00")], index=rules.index),
        end=moment("03T00:00"),
    )
    slots = judge_slots(
        jobs, expected, known, slot_parameters(expected, [(None, rules)]), now=moment("03T00:00")
    )
    assert slots["job_id"].to_list() == ["job-0", "job-1"]
    assert slots["deadline"].to_list() == [moment("02T01:15"), moment("03T00:00")]
    counts = slot_counts(slots, appliances=rules.index).loc["a"]
    assert {name: number for name, number in counts.items() if number} == {
        "slots_met": 2,
        "first_attempts": 2,
        "first_attempts_ok": 2,
    }


@pytest.mark.parametrize(
    ("start", "state"), [("26T01:00", "met"), ("26T00:59", "missed_norun"), ("29T12:00", "met")]
)
def test_early_has_a_limit(
    make_jobs: Build,
    make_polls: Build,
    make_schedules: Build,
    moment: Moment,
    start: str,
    state: str,
) -> None:
    """`early` counts up to half a week."""
    began = f"2026-10-{start}:00.0"  # the run is expected on 29 October at 13:00
    jobs = make_jobs([("a", "success", began, began)])
    rules = Policy(staleness="0h", early="30d").rules(["a"])
    seen = poll_summary(make_polls([("a", "08T00:00", True)]), appliances=rules.index)
    known = coverage(oldest(jobs), seen, rules, start=moment("01T00:00"))
    since = pd.Series([pd.Timestamp("2026-10-29T00:00Z")], index=rules.index)
    expected = expected_slots(
        make_schedules([("a", None, 13, 0)], days=[["THURSDAY"]]),
        fallback=rules["timezone"],
        since=since,
        end=moment("01T00:00"),
    )
    numbers = slot_parameters(expected, [(None, rules)])
    judged = judge_slots(jobs, expected, known, numbers, now=moment("08T00:00"))
    assert judged["state"].to_list() == [state]


def test_spring_gap_widens_the_tolerance(
    make_jobs: Build, make_polls: Build, make_schedules: Build
) -> None:
    """On the day without 02:30, a run at 04:45 local time is still in time."""
    jobs = make_jobs([("a", "success", "2026-03-29T02:45:00", "2026-03-29T03:00:00")])
    rules = Policy(staleness="0h").rules(["a"])
    seen = poll_summary(make_polls([("a", "2026-03-30T00:00:00", True)]), appliances=rules.index)
    start, end = pd.Timestamp("2026-03-29T00:00Z"), pd.Timestamp("2026-03-30T00:00Z")
    expected = expected_slots(
        make_schedules([("a", None, 2, 30)], timezone=["Europe/Berlin"]),
        fallback=rules["timezone"],
        since=pd.Series([start], index=rules.index),
        end=end,
    )
    known = coverage(oldest(jobs), seen, rules, start=start)
    numbers = slot_parameters(expected, [(None, rules)])
    assert judge_slots(jobs, expected, known, numbers, now=end)["state"].to_list() == ["met"]


class TestInferTypes:
    """`infer_types`."""

    def test_ten_minutes(self, make_jobs: Build, make_schedules: Build, moment: Moment) -> None:
        """A job within 10 minutes of an expected run is SCHEDULED, otherwise MANUAL."""
        starts = ["02T00:49", "02T00:50", "02T01:10", "02T01:11", None, "02T06:00"]
        types = [None] * 5 + ["LOCAL_BACKUP"]
        jobs = make_jobs([("a", "success", start, None) for start in starts], type=types)
        expected = expected_slots(
            make_schedules([("a", None, 1, 0)]),
            fallback=pd.Series(["UTC"], index=["a"], dtype="str"),
            since=pd.Series([moment("01T00:00")], index=["a"]),
            end=moment("03T00:00"),
        )
        got = infer_types(jobs, expected)
        assert got["type"].fillna("?").to_list() == [
            *("MANUAL", "SCHEDULED", "SCHEDULED", "MANUAL"),
            *("?", "LOCAL_BACKUP"),
        ]
        assert got["type_inferred"].to_list() == [True] * 4 + [False] * 2

    def test_without_a_schedule(self, make_jobs: Build, make_schedules: Build) -> None:
        """Without expected runs every job is MANUAL."""
        index = pd.Index(["a"])
        expected = expected_slots(
            make_schedules([]),
            fallback=pd.Series(["UTC"], index=index, dtype="str"),
            since=pd.Series([pd.Timestamp("2026-11-01T00:00Z")], index=index),
            end=pd.Timestamp("2026-11-03T00:00Z"),
        )
        jobs = make_jobs([("a", "success", "02T01:00", None)], type=[None])
        assert infer_types(jobs, expected)["type"].to_list() == ["MANUAL"]


class TestRecentSlots:
    """`recent_slots`."""

    @staticmethod
    def slots(*rows: tuple[int, str], target: float = 0.99) -> pd.DataFrame:
        """Build slots of one appliance from (days before the end, state)."""
        end = pd.Timestamp("2026-11-09T00:00Z")
        return pd.DataFrame(
            {
                "appliance": pd.Series(["a"] * len(rows), dtype="str"),
                "slot": [end - pd.Timedelta(days=ago) for ago, _ in rows],
                "state": pd.Series([state for _, state in rows], dtype="str"),
                "target": [target] * len(rows),
            }
        )

    def test_a_day_and_a_week(self) -> None:
        """One and seven days count back from the end, also before the period's start."""
        end = pd.Timestamp("2026-11-09T00:00Z")
        given = self.slots(*((ago, "missed_norun") for ago in (1, 2, 3, 7, 8)))
        counts = recent_slots(
            given, start=end - pd.Timedelta(days=2), end=end, appliances=pd.Index(["a"])
        ).loc["a"]
        assert (counts["missed_24h"], counts["missed_7d"]) == (1, 4)
        assert counts["allowed_24h"] == pytest.approx(0.01)
        assert counts["allowed_7d"] == pytest.approx(0.04)
        assert counts["allowed"] == pytest.approx(0.02)

    def test_example_q(self) -> None:
        """8 of 200 missed in 24 h with a target of 99 % are a burn rate of 4."""
        end = pd.Timestamp("2026-11-09T00:00Z")
        states = ["missed_failed"] * 8 + ["met"] * 192 + ["pending", "excluded"]
        given = self.slots(*((1, state) for state in states))
        counts = recent_slots(
            given, start=end - pd.Timedelta(days=1), end=end, appliances=pd.Index(["a"])
        ).loc["a"]
        assert counts["missed_24h"] / counts["allowed_24h"] == pytest.approx(4.0)

    def test_one_miss_of_thirty(self) -> None:
        """One miss of 30 runs uses 333 % of the error budget of 0.3."""
        end = pd.Timestamp("2026-11-09T00:00Z")
        given = self.slots(*((ago, "missed_failed" if ago == 4 else "met") for ago in range(1, 31)))
        counts = recent_slots(
            given, start=end - pd.Timedelta(days=30), end=end, appliances=pd.Index(["a"])
        ).loc["a"]
        assert 1 / counts["allowed"] == pytest.approx(3.333, abs=1e-3)
