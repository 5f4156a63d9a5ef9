"""Fields of a job's details by status, and its numbers."""

from datetime import UTC, datetime, timedelta

import pytest

from backupkit.simulator import Scenario
from backupkit.simulator.model import Job, Message
from backupkit.simulator.payloads import job_info, job_status, share, status

START = datetime(2026, 11, 23, 1, 0, 0, 318999, tzinfo=UTC)
SPEC = Scenario.demo(epoch=START).specs[0]
TIMED = {"duration", "size", "progress"}


def job(*, ok: bool = True) -> Job:
    """Return a job of 602 s: 2 s pending, 100 s blocked, 500 s running."""
    return Job(
        id="20261123-010000-24322831",
        kind="SCHEDULED",
        start=START,
        end=START + timedelta(seconds=602),
        ok=ok,
        size=1000,
        final_progress=100 if ok else 10,
        location="sftp://h/p",
        release=SPEC.release,
        messages=() if ok else (Message("sample.x", "Broken {}"),),
        blocked=timedelta(seconds=100),
    )


class TestJobInfo:
    """The details of a job."""

    @pytest.mark.parametrize(
        ("seconds", "ok", "word", "fields"),
        [
            (0, True, "PENDING", set()),
            (2, True, "BLOCKED", {"start_time"}),
            (102, True, "RUNNING", {"start_time", *TIMED}),
            (602, True, "SUCCEEDED", {"start_time", "end_time", *TIMED}),
            (602, False, "FAILED", {"start_time", "end_time", *TIMED}),
        ],
    )
    def test_union(self, seconds: int, ok: bool, word: str, fields: set[str]) -> None:  # noqa: FBT001  # a table's column
        """Each status has its fields, and no others of the optional ones."""
        info = job_info(job(ok=ok), START + timedelta(seconds=seconds), SPEC)
        optional = {"start_time", "end_time", "error", *TIMED}
        assert info["status"] == word
        assert optional & set(info) == fields
        assert info["cancelable"] == (word == "RUNNING")
        assert bool(info["messages"]) == (word == "FAILED")

    def test_numbers(self) -> None:
        """At half of the duration size and progress are slightly above one half."""
        info = job_info(job(), START + timedelta(seconds=352), SPEC)
        assert (info["duration"], info["size"]) == (352, 537)
        assert info["progress"] == {
            "total": 100,
            "completed": 53,
            "message": {
                "id": "sample.backup.progress",
                "default_message": "Backup progress",
                "args": [],
            },
        }


class TestJobStatus:
    """The response to job get."""

    @pytest.mark.parametrize(
        ("seconds", "state", "progress"),
        [(0, "NONE", 0), (50, "NONE", 0), (352, "INPROGRESS", 53), (602, "SUCCEEDED", 100)],
    )
    def test_states(self, seconds: int, state: str, progress: int) -> None:
        """PENDING and BLOCKED are NONE, RUNNING is INPROGRESS, the ends keep their names."""
        answer = job_status(job(), START + timedelta(seconds=seconds))
        assert (answer["state"], answer["progress"]) == (state, progress)
        assert answer["start_time"] == "2026-11-23T01:00:00.318Z"
        assert ("end_time" in answer) == (state == "SUCCEEDED")

    def test_failure(self) -> None:
        """A failed job keeps the progress that it had reached, with its message."""
        answer = job_status(job(ok=False), START + timedelta(hours=1))
        assert (answer["state"], answer["progress"]) == ("FAILED", 10)
        assert answer["messages"] == [
            {"id": "sample.x", "default_message": "Broken {}", "args": []}
        ]


class TestShare:
    """The share of the work."""

    def test_rises(self) -> None:
        """The share never decreases, and goes from 0 to 1."""
        shares = [share(job(), START + timedelta(seconds=second)) for second in range(700)]
        assert shares == sorted(shares)
        assert (shares[0], shares[-1]) == (0, 1)

    def test_short_failure(self) -> None:
        """A job that fails while it waits has only failed."""
        short = job(ok=False)
        assert status(short, short.end) == "FAILED"
