"""Jobs from observations, and changed observations and schedules."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from backupkit.collection import Snapshot
from backupkit.history import History
from backupkit.tables import (
    ERRORS,
    JOBS,
    OBSERVATIONS,
    OUTCOMES,
    POLLS,
    SCHEDULES,
    Records,
    jobs_from,
    outcome_of,
)
from tests.builders import DETAILS, at, frame, observation_at, observations
from tests.conftest import repeats
from tests.history_rows import changed_observations

Observed = tuple[int, str, dict[str, Any]]
"""Minute, status and other values of an observation."""


class TestOutcomeOf:
    """`outcome_of`."""

    @pytest.mark.parametrize(
        ("word", "outcome"),
        [
            ("SUCCEEDED", "success"),
            ("FAILED", "failure"),
            ("INPROGRESS", "open"),
            ("RUNNING", "open"),
            ("PENDING", "open"),
            ("BLOCKED", "open"),
            ("NONE", "void"),
            ("succeeded", "other"),
            ("IN PROGRESS", "other"),
            ("", "other"),
            (None, "other"),
        ],
    )
    def test_words(self, word: str | None, outcome: str) -> None:
        """Each word of docs/sla.md, section 3, has its class, and no other word is a success."""
        assert outcome_of(pd.Series([word], dtype="str")).to_list() == [outcome]
        assert outcome in OUTCOMES

    def test_empty(self) -> None:
        """Without words there are no classes, of the same dtype."""
        assert outcome_of(pd.Series([], dtype="str")).dtype == "str"


class TestJobsFrom:
    """`jobs_from`."""

    def test_life_of_a_job(self) -> None:
        """A job seen pending, running and succeeded is one row."""
        rows = [
            observation_at(0, "PENDING", start_time=None),
            observation_at(1, "RUNNING", progress=40, **DETAILS),
            observation_at(9, "SUCCEEDED", progress=100, end_time=at(8)),
        ]
        jobs = jobs_from(observations(*rows))
        assert JOBS.check(jobs) is jobs
        [job] = jobs.to_dict("records")
        assert (job["state"], job["status"], job["outcome"]) == (
            "SUCCEEDED",
            "SUCCEEDED",
            "success",
        )
        assert (job["progress"], job["source"]) == (100, "job")
        assert (job["first_seen_at"], job["last_seen_at"]) == (at(0), at(9))
        assert (job["start_time"], job["end_time"]) == (at(0), at(8))
        assert job["duration"] == timedelta(minutes=8)
        assert [job[name] for name in ("type", "size", "location", "build")] == [
            "SCHEDULED",
            7,
            "nfs://h/x",
            "1",
        ]

    def test_running(self) -> None:
        """A running job has neither end nor duration."""
        [job] = jobs_from(observations(observation_at(1, "INPROGRESS"))).to_dict("records")
        assert job["outcome"] == "open"
        assert pd.isna(job["end_time"])
        assert pd.isna(job["duration"])

    def test_finished_stays_finished(self) -> None:
        """An open state that arrives after a finished one does not reopen the job."""
        rows = [observation_at(5, "FAILED", end_time=at(5)), observation_at(6, "INPROGRESS")]
        [job] = jobs_from(observations(*rows)).to_dict("records")
        assert (job["outcome"], job["end_time"], job["last_seen_at"]) == ("failure", at(5), at(6))

    def test_later_end_counts(self) -> None:
        """Of two finished states the later observation counts."""
        rows = [observation_at(6, "SUCCEEDED"), observation_at(5, "FAILED")]
        assert jobs_from(observations(*rows))["outcome"].to_list() == ["success"]

    def test_newest_details_count(self) -> None:
        """Newer details replace older ones, column by column."""
        rows = [
            observation_at(1, "RUNNING", **DETAILS),
            observation_at(2, "RUNNING", size=9, source="details"),
            observation_at(3, "SUCCEEDED"),
        ]
        [job] = jobs_from(observations(*rows)).to_dict("records")
        assert (job["size"], job["type"]) == (9, "SCHEDULED")

    def test_keys(self) -> None:
        """Equal ids of two appliances are two jobs, sorted by appliance and start."""
        rows = [
            observation_at(1, "FAILED", appliance="vc-2", job_id="a"),
            observation_at(1, "FAILED", job_id="b", start_time=at(1)),
            observation_at(1, "FAILED", job_id="a", start_time=at(2)),
            observation_at(1, "NONE", job_id="c", start_time=None),
        ]
        jobs = jobs_from(observations(*rows))
        keys = list(zip(jobs["appliance"], jobs["job_id"], strict=True))
        assert keys == [("vc-1", "b"), ("vc-1", "a"), ("vc-1", "c"), ("vc-2", "a")]
        assert jobs.index.to_list() == [0, 1, 2, 3]

    def test_empty(self) -> None:
        """Without observations there are no jobs."""
        assert_frame_equal(jobs_from(OBSERVATIONS.empty()), JOBS.empty())


class TestChangedObservations:
    """`backupkit.history.observations.find_changes`."""

    def test_first(self) -> None:
        """Everything is new if nothing is known."""
        new = observations(observation_at(1, "RUNNING"), observation_at(1, "FAILED", job_id="2"))
        assert_frame_equal(changed_observations(new, OBSERVATIONS.empty()), new)

    @pytest.mark.parametrize(
        ("change", "news"),
        [
            ({}, False),
            ({"source": "details"}, False),
            ({"progress": 50}, True),
            ({"progress": None}, True),
            ({"status": "SUCCEEDED", "state": "SUCCEEDED"}, True),
            ({"end_time": at(2)}, True),
            ({"start_time": at(1)}, True),
            ({"start_time": None}, True),
            ({"messages": [{"id": "x", "args": ["a"]}]}, True),
            ({"messages": None}, True),
            ({"type": "MANUAL"}, True),
            ({"type": None, "size": None, "location": None, "build": None}, False),
            ({"size": 8}, True),
            ({"location": "nfs://h/y"}, True),
            ({"build": "2"}, True),
        ],
    )
    def test_change(self, change: dict[str, object], news: bool) -> None:  # noqa: FBT001 # a table's column
        """A changed value is new; another endpoint, or missing details, are not."""
        known = observations(observation_at(1, "RUNNING", progress=40, **DETAILS))
        new = observations(observation_at(2, "RUNNING", progress=40, **DETAILS) | change)
        assert len(changed_observations(new, known)) == news

    @pytest.mark.parametrize(
        ("known", "new", "changed"),
        [
            pytest.param([], [], 0, id="nothing"),
            pytest.param([(1, "RUNNING", {})], [], 0, id="nothing new"),
            pytest.param(
                [(1, "RUNNING", DETAILS), (2, "RUNNING", {"progress": 5})],
                [(3, "RUNNING", DETAILS | {"progress": 5})],
                0,
                id="details are compared with the newest details",
            ),
            pytest.param(
                [(1, "RUNNING", DETAILS), (2, "RUNNING", {"progress": 5})],
                [(3, "RUNNING", DETAILS | {"progress": 5, "size": 8})],
                1,
                id="changed details",
            ),
            pytest.param(
                [(1, "SUCCEEDED", {})], [(2, "SUCCEEDED", DETAILS)], 1, id="first details"
            ),
            pytest.param([(1, "SUCCEEDED", {})], [(0, "FAILED", {})], 1, id="earlier"),
            pytest.param(
                [(1, "RUNNING", {}), (3, "FAILED", {})], [(2, "RUNNING", {})], 0, id="between"
            ),
            pytest.param([(1, "SUCCEEDED", {})], [(1, "FAILED", {})], 0, id="not later"),
            pytest.param(
                [(1, "RUNNING", {"progress": 1}), (2, "RUNNING", {"progress": 2})],
                [(3, "RUNNING", {"progress": 1})],
                1,
                id="changed back",
            ),
        ],
    )
    def test_sequence(self, known: list[Observed], new: list[Observed], changed: int) -> None:
        """An observation is compared with the one before it of its job."""
        before, after = (
            observations(*(observation_at(minute, status, **more) for minute, status, more in rows))
            for rows in (known, new)
        )
        assert len(changed_observations(after, before)) == changed

    def test_other_jobs_do_not_matter(self) -> None:
        """A job is only compared with itself."""
        known = observations(
            observation_at(1, "SUCCEEDED"), observation_at(1, "FAILED", appliance="vc-2")
        )
        new = observations(
            observation_at(2, "SUCCEEDED"),
            observation_at(2, "FAILED", job_id="2"),
            observation_at(2, "SUCCEEDED", appliance="vc-2"),
        )
        kept = changed_observations(new, known)
        assert list(zip(kept["appliance"], kept["job_id"], strict=True)) == [
            ("vc-1", "2"),
            ("vc-2", "1"),
        ]

    def test_equal_keys(self) -> None:
        """Of two rows of one job and time the last is kept."""
        new = observations(observation_at(1, "RUNNING"), observation_at(1, "SUCCEEDED"))
        kept = changed_observations(new, OBSERVATIONS.empty())
        assert kept["status"].to_list() == ["SUCCEEDED"]

    def test_inputs_unchanged(self) -> None:
        """The inputs are unchanged."""
        new, known = (
            observations(observation_at(2, "FAILED")),
            observations(observation_at(1, "RUNNING")),
        )
        before = new.copy(), known.copy()
        changed_observations(new, known)
        jobs_from(new)
        assert_frame_equal(new, before[0])
        assert_frame_equal(known, before[1])


class TestChangedSchedules:
    """Schedules that an append stores."""

    PLAN: dict[str, object] = {  # noqa: RUF012 # read only
        "appliance": "vc-1",
        "schedule": "default",
        "seen_at": at(1),
        "enabled": True,
        "hour": 23,
        "minute": 59,
        "days": None,
        "timezone": "Etc/UTC",
        "location": "nfs://h/x",
        "parts": ["seat", "common"],
    }

    @pytest.mark.parametrize(
        ("change", "news"),
        [
            ({}, False),
            ({"schedule": "other"}, True),
            ({"appliance": "vc-2"}, True),
            ({"enabled": False}, True),
            ({"hour": None}, True),
            ({"days": ["MONDAY"]}, True),
            ({"days": []}, True),
            ({"parts": ["common", "seat"]}, True),
            ({"timezone": "Europe/Berlin"}, True),
            ({"timezone": None}, True),
            ({"max_count": 5}, True),
        ],
    )
    def test_change(self, change: dict[str, object], news: bool, tmp_path: Path) -> None:  # noqa: FBT001 # a table's column
        """Any changed value is new."""
        history = History(tmp_path / "history.db")
        assert history.append(self.seen(self.PLAN)).schedules == 1
        changed = self.PLAN | {"seen_at": at(2)} | change
        assert history.append(self.seen(changed)).schedules == news

    @staticmethod
    def seen(plan: dict[str, object]) -> Snapshot:
        """Return a snapshot with one schedule."""
        plans = Records.from_frame(SCHEDULES, frame(SCHEDULES, [plan]))
        observations, polls, errors = (
            Records.build(table, {}) for table in (OBSERVATIONS, POLLS, ERRORS)
        )
        return Snapshot(observations, polls, plans, errors)


ROWS = st.lists(
    st.builds(
        lambda minute, job_id, status, progress, details: observation_at(
            minute, status, job_id=job_id, progress=progress, **(DETAILS if details else {})
        ),
        st.integers(0, 20),
        st.sampled_from("12"),
        st.sampled_from(["PENDING", "RUNNING", "INPROGRESS", "SUCCEEDED", "FAILED", "NEW"]),
        st.sampled_from([None, 0, 50]),
        st.booleans(),
    ),
    max_size=6,
    unique_by=lambda row: (row["job_id"], row["observed_at"]),
)


@pytest.mark.property
class TestProperties:
    """Properties of every set of observations."""

    @settings(max_examples=repeats(8, 100))
    @given(ROWS, st.randoms(use_true_random=False))
    def test_order(self, rows: list[dict[str, object]], random: Any) -> None:  # noqa: ANN401 # hypothesis' own Random
        """The order of arrival, and repeated rows, change no job."""
        shuffled = [*rows, *rows[:2]]
        random.shuffle(shuffled)
        assert_frame_equal(jobs_from(observations(*shuffled)), jobs_from(observations(*rows)))

    @settings(max_examples=repeats(8, 100))
    @given(ROWS)
    def test_idempotent(self, rows: list[dict[str, object]]) -> None:
        """Known observations are never new."""
        known = observations(*rows)
        assert changed_observations(known, known).empty

    @settings(max_examples=repeats(8, 100))
    @given(ROWS)
    def test_dropping_loses_nothing(self, rows: list[dict[str, object]]) -> None:
        """The changes alone, found step by step, give the same jobs as all observations."""
        known = OBSERVATIONS.empty()
        for row in sorted(rows, key=lambda row: str(row["observed_at"])):
            news = changed_observations(observations(row), known)
            known = OBSERVATIONS.conform(pd.concat([known, news]))
        columns = [
            name for name in JOBS.names if name not in ("last_seen_at", "source", "observed_at")
        ]
        assert_frame_equal(jobs_from(known)[columns], jobs_from(observations(*rows))[columns])
