"""Slots and the jobs that belong to them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from backupkit.analysis import (
    deduplicate_jobs,
    expected_slots,
    infer_types,
    judge_slots,
    recent_slots,
    slot_counts,
    slot_parameters,
)
from backupkit.policy import Policy
from tests.builders import coverage_of, jobs_of, moment, polls_of, schedules_of

Row = tuple[str, str, str | None, str]
"""Outcome, start, end and type of a job of appliance a, on 2 or 3 November."""

GOOD: Row = ("success", "02T01:00", "02T01:20", "SCHEDULED")


def expected_of(schedules: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """Return the expected runs of appliance a."""
    index = pd.Index(["a"])
    fallback, since = pd.Series("UTC", index, dtype="str"), pd.Series([start], index)
    return expected_slots(schedules, fallback=fallback, since=since, end=end)


def judge(
    jobs: pd.DataFrame,
    schedules: pd.DataFrame | None = None,
    *,
    policy: Policy | None = None,
    start: str = "02T00:00",
    end: str = "03T00:00",
    polled: str = "03T00:00",
    now: str = "03T00:00",
) -> pd.DataFrame:
    """Judge the slots of appliance a, by default of 2 November and a schedule at 01:00."""
    rules = (policy or Policy(staleness="0h")).rules(["a"])
    expected = expected_of(
        schedules_of([("a", None, 1, 0)]) if schedules is None else schedules,
        moment(start),
        moment(end),
    )
    known = coverage_of(jobs, polls_of([("a", polled, True)]), rules, moment(start))
    parameters = slot_parameters(expected, [(None, rules)], [known["known_until"]])
    return judge_slots(deduplicate_jobs(jobs), expected, known, parameters, now=moment(now))


def judge_rows(rows: Sequence[Row], **options: Any) -> dict[str, Any]:  # noqa: ANN401 # of judge
    """Judge the only slot of some jobs of appliance a."""
    types = pd.Series([row[3] for row in rows], dtype="str")
    [slot] = judge(jobs_of([("a", *row[:3]) for row in rows], type=types), **options).to_dict(
        "records"
    )
    return {str(name): value for name, value in slot.items()}


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
            ([("other", "02T01:00", "02T01:20", "SCHEDULED")], "unknown", "job-0", 1),
            ([], "missed_norun", None, 0),
        ],
    )
    def test_after_the_deadline(
        self,
        rows: list[Row],
        state: str,
        job: str | None,
        attempts: int,
    ) -> None:
        """At the deadline the attempts decide the state of a slot."""
        slot = judge_rows(rows)
        assert slot["state"] == state
        assert (None if pd.isna(slot["job_id"]) else slot["job_id"]) == job
        assert slot["attempts"] == attempts

    @pytest.mark.parametrize(
        ("rows", "polled", "state"),
        [
            ([], "02T01:59", "pending"),
            ([], "02T02:00", "missed_norun"),
            ([("failure", "02T01:00", "02T01:05", "SCHEDULED")], "02T12:00", "pending"),
            ([("open", "02T01:00", None, "SCHEDULED")], "02T12:00", "pending"),
            ([GOOD], "02T12:00", "met"),
        ],
    )
    def test_before_the_deadline(self, rows: list[Row], polled: str, state: str) -> None:
        """Before the deadline a slot is pending, unless its run succeeded or did not start."""
        assert judge_rows(rows, polled=polled, now=polled)["state"] == state

    def test_not_known(self) -> None:
        """A slot that was pending at the newest good poll is unknown later."""
        assert judge_rows([], polled="02T01:30", now="02T12:00")["state"] == "unknown"

    @pytest.mark.parametrize(("completion", "state"), [("20m", "met"), ("19m", "late")])
    def test_completion_target(self, completion: str, state: str) -> None:
        """With `completion` the deadline is that long after the slot."""
        policy = Policy(completion=completion, staleness="0h")
        slot = judge_rows([GOOD], policy=policy)
        assert slot["state"] == state
        assert slot["deadline"] == moment("02T01:00") + pd.Timedelta(completion)

    @pytest.mark.parametrize(
        ("rows", "polled", "overdue"),
        [
            ([], "02T01:59", None),
            ([], "02T02:00", "02T02:00"),
            ([GOOD], "02T12:00", None),
            ([("success", "02T06:00", "02T06:20", "MANUAL")], "02T12:00", "02T02:00"),
        ],
    )
    def test_overdue(self, rows: list[Row], polled: str, overdue: str | None) -> None:
        """A run is overdue once `late` has passed without a start, even if a run follows."""
        got = judge_rows(rows, polled=polled, now=polled)["overdue"]
        assert (None if pd.isna(got) else got) == (None if overdue is None else moment(overdue))


def test_close_slots_share_the_time_between() -> None:
    """Slots closer than `early` share the time between them equally."""
    jobs = jobs_of(
        [("a", "success", "02T01:14", "02T01:14"), ("a", "success", "02T01:15", "02T01:16")]
    )
    schedules = schedules_of([("a", None, 1, 0), ("a", None, 1, 30)], schedule=["x", "y"])
    slots = judge(jobs, schedules)
    assert slots["job_id"].to_list() == ["job-0", "job-1"]
    assert slots["deadline"].to_list() == [moment("02T01:15"), moment("03T00:00")]
    counts = slot_counts(slots, appliances=pd.Index(["a"])).T["a"]
    assert {name: number for name, number in counts.items() if number} == {
        "slots_met": 2,
        "first_attempts": 2,
        "first_attempts_ok": 2,
    }


@pytest.mark.parametrize(
    ("start", "state"), [("26T01:00", "met"), ("26T00:59", "missed_norun"), ("29T12:00", "met")]
)
def test_early_has_a_limit(start: str, state: str) -> None:
    """`early` counts up to half a week."""
    began = f"2026-10-{start}:00.0"  # the run is expected on 29 October at 13:00
    slots = judge(
        jobs_of([("a", "success", began, began)]),
        schedules_of([("a", None, 13, 0)], days=[["THURSDAY"]]),
        policy=Policy(staleness="0h", early="30d"),
        start="2026-10-29T00:00:00.0",
        end="01T00:00",
        polled="08T00:00",
        now="08T00:00",
    )
    assert slots["state"].to_list() == [state]


def test_spring_gap_widens_the_tolerance() -> None:
    """On the day without 02:30, a run at 04:45 local time is still in time."""
    end = "2026-03-30T00:00:00.0"
    slots = judge(
        jobs_of([("a", "success", "2026-03-29T02:45:00", "2026-03-29T03:00:00")]),
        schedules_of([("a", None, 2, 30)], timezone=["Europe/Berlin"]),
        start="2026-03-29T00:00:00.0",
        end=end,
        polled=end,
        now=end,
    )
    assert slots["state"].to_list() == ["met"]


class TestInferTypes:
    """`infer_types`."""

    def test_ten_minutes(self) -> None:
        """A job within 10 minutes of an expected run is SCHEDULED, otherwise MANUAL."""
        starts = ["02T00:49", "02T00:50", "02T01:10", "02T01:11", None, "02T06:00"]
        types = [None] * 5 + ["LOCAL_BACKUP"]
        jobs = jobs_of([("a", "success", start, None) for start in starts], type=types)
        schedules = schedules_of([("a", None, 1, 0)])
        expected = expected_of(schedules, moment("01T00:00"), moment("03T00:00"))
        got = infer_types(jobs, expected)
        assert got["type"].fillna("?").to_list() == [
            *("MANUAL", "SCHEDULED", "SCHEDULED", "MANUAL"),
            *("?", "LOCAL_BACKUP"),
        ]
        assert got["type_inferred"].to_list() == [True] * 4 + [False] * 2

    def test_without_a_schedule(self) -> None:
        """Without expected runs every job is MANUAL."""
        expected = expected_of(schedules_of([]), moment("01T00:00"), moment("03T00:00"))
        jobs = jobs_of([("a", "success", "02T01:00", None)], type=[None])
        assert infer_types(jobs, expected)["type"].to_list() == ["MANUAL"]


class TestRecentSlots:
    """`recent_slots`."""

    @staticmethod
    def counts(*rows: tuple[int, str], days: int) -> pd.Series:
        """Count slots from (days before the end, state) for a period of some days."""
        end = pd.Timestamp("2026-11-09T00:00Z")
        slots = pd.DataFrame(
            {
                "appliance": pd.Series(["a"] * len(rows), dtype="str"),
                "slot": [end - pd.Timedelta(days=ago) for ago, _ in rows],
                "state": pd.Series([state for _, state in rows], dtype="str"),
                "target": [0.99] * len(rows),
            }
        )
        start = end - pd.Timedelta(days=days)
        return recent_slots(slots, start=start, end=end, appliances=pd.Index(["a"])).T["a"]

    def test_a_day_and_a_week(self) -> None:
        """One and seven days count back from the end, also before the period's start."""
        counts = self.counts(*((ago, "missed_norun") for ago in (1, 2, 3, 7, 8)), days=2)
        assert (counts["missed_24h"], counts["missed_7d"]) == (1, 4)
        assert list(counts[["allowed_24h", "allowed_7d", "allowed"]]) == pytest.approx(
            [0.01, 0.04, 0.02]
        )

    def test_example_q(self) -> None:
        """8 of 200 missed in 24 h with a target of 99 % are a burn rate of 4."""
        states = ["missed_failed"] * 8 + ["met"] * 192 + ["pending", "excluded"]
        counts = self.counts(*((1, state) for state in states), days=1)
        assert counts["missed_24h"] / counts["allowed_24h"] == pytest.approx(4.0)

    def test_one_miss_of_thirty(self) -> None:
        """One miss of 30 runs uses 333 % of the error budget of 0.3."""
        rows = ((ago, "missed_failed" if ago == 4 else "met") for ago in range(1, 31))
        assert 1 / self.counts(*rows, days=30)["allowed"] == pytest.approx(3.333, abs=1e-3)
