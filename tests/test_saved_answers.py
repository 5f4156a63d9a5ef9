"""Saved responses of the API: their rows, their times, and rejected files."""

import contextlib
import json
import os
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from backupkit import Fleet, History, Limits, Policy, Snapshot, collect, evaluate
from backupkit.cli import main
from backupkit.collection import read_saved_answers
from backupkit.errors import PayloadError, SettingsError
from backupkit.simulator.appliance import PASSWORD, USER
from backupkit.tables import ERRORS, JOBS, OBSERVATIONS, POLLS, SCHEDULES
from backupkit.wire import Flavour, Kind, detect_kind
from tests.conftest import EPOCH, Simulated, epoch
from tests.json_strategies import DOCUMENTS, FAILED, RUNNING, SAMPLES, SUCCEEDED

NOON = datetime(2026, 1, 4, 12, tzinfo=UTC)
"""Default time of a saved response in these tests: one job is running then."""

EXCEPTION = "BackupManager encountered an exception. Please check logs for details."
ODD_PLAN = "recurrence_info is empty, retention_info is empty"

Save = Callable[..., Path]


def body(job_id: str, state: str = "SUCCEEDED", **fields: object) -> bytes:
    """Return the response of job/{id} for a job that ran from 1:00 to 1:20 on 4 January."""
    record: dict[str, object] = {
        "id": job_id,
        "state": state,
        "messages": [],
        "progress": 100,
        "start_time": "2026-01-04T01:00:00Z",
        "end_time": "2026-01-04T01:20:00Z",
    }
    return json.dumps(record | fields).encode()


def plan(**fields: object) -> dict[str, object]:
    """Return a schedule as the API describes it."""
    return {"parts": ["seat"], "location": "sftp://nas.example.test/vc", "enable": True} | fields


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Return a function that saves a response, by default at noon, and returns the folder."""
    folder = tmp_path / "answers"

    def write(place: str, content: object, at: datetime = NOON) -> Path:
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        os.utime(path, (at.timestamp(), at.timestamp()))
        return folder

    return write


def read(folder: Path, **options: Any) -> Snapshot:  # noqa: ANN401 # what read_saved_answers takes
    """Read a folder on 9 November 2026, and check every frame against its contract."""
    snapshot = read_saved_answers(folder, clock=epoch, **options)
    OBSERVATIONS.check(snapshot.observations)
    POLLS.check(snapshot.polls)
    SCHEDULES.check(snapshot.schedules)
    ERRORS.check(snapshot.errors)
    JOBS.check(snapshot.jobs)
    return snapshot


def only_row(frame: pd.DataFrame) -> dict[str, Any]:
    """Return a frame's only row, missing values as None."""
    (row,) = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return {str(name): value for name, value in row.items()}


def details_of(snapshot: Snapshot) -> list[str]:
    """Return the details of all errors."""
    return snapshot.errors["detail"].to_list()


class TestOnePoll:
    """The documented responses of one poll, as curl saves them."""

    @pytest.mark.parametrize("flavour", ["api", "rest"])
    def test_list_details_schedules(self, save: Save, flavour: str) -> None:
        """Jobs, a schedule and a good poll are read from both flavours."""
        for name in ("job_list", "job_details", "schedules_list"):
            folder = save(f"vc-1/{name}.json", SAMPLES[f"{flavour}_{name}_200"])
        snapshot = read(folder)
        jobs = snapshot.jobs.set_index("job_id")
        assert jobs["state"].to_dict() == {
            FAILED: "FAILED",
            SUCCEEDED: "SUCCEEDED",
            RUNNING: "INPROGRESS",
        }
        assert jobs["size"][FAILED] == 20_971_520
        assert jobs["start_time"][FAILED] == pd.Timestamp("2026-01-02T21:59:00.318Z")
        assert set(snapshot.observations["observed_at"]) == {NOON}
        poll = only_row(snapshot.polls)
        assert (poll["appliance"], poll["polled_at"], poll["ok"]) == ("vc-1", NOON, True)
        assert (poll["api"], poll["details"]) == (flavour, True)
        assert (poll["jobs_listed"], poll["jobs_changed"]) == (3, 3)
        schedule = only_row(snapshot.schedules)
        assert schedule["hour"] == {"api": 23, "rest": 1}[flavour]
        days = {"api": [], "rest": ["MONDAY", "THURSDAY"]}[flavour]
        assert list(schedule["days"] if schedule["days"] is not None else ()) == days
        assert snapshot.errors.empty

    def test_missing_values(self, save: Save) -> None:
        """Everything that no file contains is missing."""
        save("vc-1/a.json", SAMPLES["api_job_get_inprogress_200"])
        folder = save("vc-1/s.json", {"default": plan()})
        snapshot = read(folder)
        poll = only_row(snapshot.polls)
        unknown = ("ok", "error", "detail", "version", "timezone", "requests", "elapsed")
        assert [poll[name] for name in (*unknown, "clock_skew", "jobs_listed")] == [None] * 9
        schedule = only_row(snapshot.schedules)
        assert [schedule[name] for name in ("hour", "minute", "days", "timezone")] == [None] * 4
        job = only_row(snapshot.jobs)
        assert (job["end_time"], job["type"], job["progress"]) == (None, None, 42)

    def test_version_and_zone(self, save: Save) -> None:
        """Version and time zone are read, and the schedule has that zone."""
        version = {"version": "6.7.0.45000", "product": "VMware vCenter Server", "type": "embedded"}
        save("vc-1/v.json", {"value": version})
        save("vc-1/z.json", {"value": "Europe/Berlin"})
        folder = save("vc-1/s.json", SAMPLES["rest_schedules_list_200"])
        snapshot = read(folder)
        poll = only_row(snapshot.polls)
        assert (poll["version"], poll["timezone"]) == ("6.7.0.45000", "Europe/Berlin")
        assert only_row(snapshot.schedules)["timezone"] == "Europe/Berlin"

    def test_file_names(self, save: Save) -> None:
        """The id of a job is the one in its file, whatever the file's name."""
        save("vc-1/schedules.JSON", body("a/../b"))
        folder = save("vc-1/details.json", ["a/../b"])
        snapshot = read(folder)
        assert snapshot.jobs["job_id"].to_list() == ["a/../b"]
        assert snapshot.polls["ok"].to_list() == [True]

    def test_duplicate_job(self, save: Save) -> None:
        """Of two records of a job the one that ended counts, then details, then the newer one."""
        save("vc-1/1.json", SAMPLES["api_job_details_200"])
        save("vc-1/2.json", SAMPLES["api_job_get_succeeded_200"])
        save("vc-1/3.json", body(RUNNING, end_time="2026-01-04T11:00:00Z"))
        save("vc-1/4.json", body("b", "INPROGRESS", progress=10, end_time=None))
        later = NOON + timedelta(minutes=5)
        folder = save("vc-1/0.json", body("b", "INPROGRESS", progress=60, end_time=None), later)
        jobs = read(folder).jobs.set_index("job_id")
        assert jobs["source"].to_dict() == {
            FAILED: "details",
            SUCCEEDED: "details",
            RUNNING: "job",
            "b": "job",
        }
        assert jobs["state"][RUNNING] == "SUCCEEDED"
        assert jobs["progress"]["b"] == 60

    def test_powershell(self, save: Save) -> None:
        """UTF-16, and UTF-8 with a byte order mark, are read."""
        text = SAMPLES["api_job_get_succeeded_200"].decode()
        save("vc-1/a.json", text.encode("utf-16"))
        save("vc-1/b.json", text.replace(SUCCEEDED, "b").encode("utf-8-sig"))
        folder = save("vc-1/job.json", [SUCCEEDED, "b"])
        assert read(folder).polls["ok"].to_list() == [True]

    def test_both_flavours(self, save: Save) -> None:
        """Responses of both flavours leave the flavour open."""
        save("vc-1/a.json", SAMPLES["api_job_list_200"])
        folder = save("vc-1/b.json", SAMPLES["rest_job_details_200"])
        poll = only_row(read(folder).polls)
        assert (poll["api"], poll["ok"]) == (None, True)


API_DETAILS = json.loads(SAMPLES["api_job_details_200"])


def cut(value: object, depth: int = 2) -> object:
    """Return a value as ConvertTo-Json writes it: what is deeper than `depth` becomes text."""
    if not isinstance(value, (dict, list)):
        return value
    if depth < 0:
        if isinstance(value, list):
            return " ".join(str(cut(item, -1)) for item in value)
        return f"@{{{'; '.join(f'{key}={_cut_field(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return [cut(item, depth - 1) for item in value]
    return {key: cut(item, depth - 1) for key, item in value.items()}


def _cut_field(value: object) -> object:
    """Return the value of a field in the text of an object."""
    if isinstance(value, list):
        return "System.Object[]"
    return "" if value is None or isinstance(value, dict) else value


class TestPowerShell:
    """Responses saved with Invoke-RestMethod and ConvertTo-Json."""

    @pytest.mark.parametrize("flavour", ["api", "rest"])
    def test_depth_2(self, save: Save, flavour: str) -> None:
        """At the default depth states and times are kept, and -Depth is named."""
        names = ("job_list", "job_details", "schedules_list")
        for name in names:
            value = json.loads(SAMPLES[f"{flavour}_{name}_200"])
            save(f"whole/{name}.json", value)
            folder = save(f"vc-1/{name}.json", cut(value))
        both = read(folder)
        whole, jobs = (
            both.jobs[both.jobs["appliance"] == name].set_index("job_id")
            for name in ("whole", "vc-1")
        )
        kept = [
            "state",
            "start_time",
            "end_time",
            "size",
            "type",
            "location",
            "source",
            "read_error",
        ]
        assert_frame_equal(jobs[kept], whole[kept])
        assert jobs["read_error"].isna().all()
        polls = both.polls.set_index("appliance")
        assert polls["ok"].to_dict() == {"whole": True, "vc-1": True}
        texts = [message["default_message"] for message in jobs["messages"][FAILED]]
        assert texts == ([EXCEPTION] if flavour == "api" else [])
        plans = both.schedules.set_index("appliance")
        known = ["enabled", "location", *(["hour", "minute"] if flavour == "api" else [])]
        first, second = plans[known].to_numpy().tolist()
        assert first == second
        assert plans["read_error"].fillna("-").to_dict() == {
            "whole": "-",
            "vc-1": "-" if flavour == "api" else ODD_PLAN,
        }
        advice = "such as messages. Save it again with ConvertTo-Json -Depth 10."
        assert {detail for detail in details_of(both) if "-Depth" in detail} == {
            f"vc-1/{name}.json: PowerShell's ConvertTo-Json cut what is nested too deeply, {advice}"
            for name in (["job_details"] if flavour == "api" else names[1:])
        }

    def test_text_of_messages(self, save: Save) -> None:
        """The texts of a failed job are those that came, also with a deep cut."""
        message = "@{id=com.example.fail; default_message=Full; sad.; args=System.Object[]}"
        record = API_DETAILS[FAILED] | {"messages": [message]}
        save("vc-1/job.json", FAILED)
        snapshot = read(save("vc-1/d.json", {FAILED: record}))
        job = only_row(snapshot.jobs)
        assert (job["state"], job["read_error"]) == ("FAILED", None)
        [kept] = job["messages"]
        assert (kept["id"], kept["default_message"]) == ("com.example.fail", "Full; sad.")
        assert len(kept["args"]) == 0
        assert snapshot.polls["ok"].to_list() == [True]

    def test_lists_with_a_count(self, save: Save) -> None:
        """Lists of the form {"value": [...], "Count": n}, as 5.1 writes some, are lists."""
        ids = [FAILED, SUCCEEDED]
        save("vc-1/job.json", {"value": ids, "Count": 2})
        record = API_DETAILS[FAILED]
        own = {"value": record["messages"], "Count": len(record["messages"])}
        odd = {FAILED: record | {"messages": own}, SUCCEEDED: API_DETAILS[SUCCEEDED]}
        save("vc-1/d.json", odd)
        save("vc-1/s.json", {"default": plan(parts={"value": "seat", "Count": 1})})
        save("vc-2/job.json", {"value": {"value": ids[:1], "Count": 1}})
        folder = save("vc-2/d.json", {"value": [{"key": FAILED, "value": record}], "Count": 1})
        snapshot = read(folder)
        assert snapshot.errors.empty
        assert snapshot.polls["ok"].to_list() == [True, True]
        failed = snapshot.jobs[snapshot.jobs["job_id"] == FAILED]
        assert [len(messages) for messages in failed["messages"]] == [1, 1]
        assert list(only_row(snapshot.schedules)["parts"]) == ["seat"]

    def test_lists_of_one(self, save: Save) -> None:
        """A list of one is written as its item: an id, a pair, a message, a day, a part."""
        record = API_DETAILS[FAILED]
        save("vc-1/job.json", FAILED)
        save("vc-1/d.json", {"key": FAILED, "value": record | {"messages": record["messages"][0]}})
        recurrence = {"hour": 1, "minute": 0, "days": "MONDAY"}
        one = plan(parts="seat", recurrence_info=recurrence)
        snapshot = read(save("vc-1/s.json", {"value": {"key": "default", "value": one}}))
        assert snapshot.errors.empty
        assert snapshot.polls["ok"].to_list() == [True]
        [message] = only_row(snapshot.jobs)["messages"]
        assert message["default_message"] == EXCEPTION
        schedule = only_row(snapshot.schedules)
        assert [list(schedule[name]) for name in ("days", "parts")] == [["MONDAY"], ["seat"]]
        assert schedule["read_error"] is None

    @pytest.mark.parametrize(
        "content", [b'{"Count": ', b'{"Count": "@{"' + b"[" * 100_000, b'{"value": 5, "Count": 1}']
    )
    def test_damaged(self, save: Save, content: bytes) -> None:
        """A damaged file with such a list is an error row as any other."""
        save("vc-1/job.json", [])
        snapshot = read(save("vc-1/z.json", content))
        assert snapshot.polls["ok"].to_list() == [True]
        assert details_of(snapshot)[-1].startswith("vc-1/z.json: the response is ")

    def test_case(self, save: Save) -> None:
        """Both failed jobs of a details file that was cut are kept, with their texts."""
        one = API_DETAILS[SUCCEEDED]
        record = one | {
            "status": "FAILED",
            "description": {"id": "d", "default_message": "d", "args": ""},
            "progress": {"total": 100, "completed": 100, "message": "@{id=; args=System.Object[]}"},
            "messages": [
                "@{id=com.example.fail; default_message=It failed.; args=System.Object[]}"
            ],
        }
        save("vc-1/job.json", [SUCCEEDED, FAILED, RUNNING])
        snapshot = read(save("vc-1/d.json", {SUCCEEDED: one, FAILED: record, RUNNING: record}))
        jobs = snapshot.jobs.set_index("job_id")
        assert jobs["outcome"].to_dict() == {
            SUCCEEDED: "success",
            FAILED: "failure",
            RUNNING: "failure",
        }
        assert [
            messages[0]["default_message"] for messages in jobs["messages"][[FAILED, RUNNING]]
        ] == [
            "It failed.",
            "It failed.",
        ]
        assert snapshot.polls["ok"].to_list() == [True]
        assert "ConvertTo-Json -Depth 10" in only_row(snapshot.errors)["detail"]


class TestComplete:
    """`ok` is true only if the files contain the complete job list."""

    def test_details_alone(self, save: Save) -> None:
        """Details alone may be incomplete."""
        snapshot = read(save("vc-1/details.json", SAMPLES["api_job_details_200"]))
        assert snapshot.polls["ok"].isna().all()
        assert len(snapshot.jobs) == 3
        assert only_row(snapshot.errors)["detail"] == (
            "vc-1: all is stored, but no poll is complete: the job list is missing "
            "(GET recovery/backup/job, as job.json)"
        )
        assert repr(snapshot) == "Snapshot: 0 of 1 appliance read, 3 jobs new or unfinished"

    def test_missing_job(self, save: Save) -> None:
        """A listed job without a file is named."""
        save("vc-1/job.json", ["a", "b", "c"])
        folder = save("vc-1/a.json", body("a"))
        snapshot = read(folder)
        assert snapshot.polls["ok"].isna().all()
        assert snapshot.polls["jobs_listed"].to_list() == [3]
        assert snapshot.polls[["error", "jobs_unread"]].to_numpy().tolist() == [["partial", 2]]
        unread = snapshot.observations.set_index("job_id")["read_error"]
        assert unread.isna().to_dict() == {"a": True, "b": False, "c": False}
        assert unread["b"] == "there is no saved answer for it that can be read"
        assert only_row(snapshot.errors)["detail"] == (
            "vc-1: 2 of 3 listed jobs could not be read: job b, there is no saved answer for it "
            "that can be read"
        )

    def test_known_job(self, save: Save, tmp_path: Path) -> None:
        """A job that the history knows as finished needs no file; an open one does."""
        history = History(tmp_path / "history.db")
        before = NOON - timedelta(hours=4)
        save("vc-1/a.json", body("a"), before)
        folder = save("vc-1/b.json", body("b", "INPROGRESS", end_time=None), before)
        history.append(read(folder))
        (folder / "vc-1" / "a.json").unlink()
        (folder / "vc-1" / "b.json").unlink()
        save("vc-1/job.json", ["a", "b"])
        assert read(folder, known=history).polls["ok"].isna().all()
        save("vc-1/b.json", body("b"))
        assert read(folder, known=history).polls["ok"].to_list() == [True]
        assert read(folder).polls["ok"].isna().all()

    @pytest.mark.parametrize(
        ("name", "content", "ok"),
        [
            ("job.json", {"value": []}, True),
            ("JOB.json", {"value": []}, True),
            ("schedules.json", {"value": []}, False),
            ("any.json", [], True),
            ("job.json", {}, False),
        ],
    )
    def test_no_jobs(self, save: Save, name: str, content: object, *, ok: bool) -> None:
        """An empty list is the job list if it can be nothing else or if its name says so."""
        snapshot = read(save(f"vc-1/{name}", content))
        assert snapshot.polls["ok"].fillna(value=False).to_list() == [ok]
        assert snapshot.polls["jobs_listed"].fillna(-1).to_list() == [0 if ok else -1]
        assert snapshot.jobs.empty

    def test_two_lists(self, save: Save) -> None:
        """A job on either of two lists of one poll needs a file."""
        save("vc-1/1.json", ["a"])
        save("vc-1/2.json", ["b"])
        save("vc-1/a.json", body("a"))
        folder = save("vc-1/job.json", {"value": []})
        assert read(folder).polls["ok"].isna().all()
        save("vc-1/b.json", body("b"))
        poll = only_row(read(folder).polls)
        assert (poll["ok"], poll["jobs_listed"]) == (True, 2)


class TestTimes:
    """Times of the saved responses."""

    def test_to_the_second(self, save: Save) -> None:
        """The time of a file counts to the second, as in archives."""
        folder = save("vc-1/job.json", [], NOON + timedelta(milliseconds=700))
        assert read(folder).polls["polled_at"].to_list() == [NOON]

    def test_quarter_of_an_hour(self, save: Save) -> None:
        """Files within 15 minutes are one poll at the oldest time; a later file begins another."""
        save("vc-1/a.json", body("a"), NOON)
        save("vc-1/job.json", ["a"], NOON + timedelta(minutes=15))
        folder = save("vc-1/c.json", body("c"), NOON + timedelta(minutes=15, seconds=1))
        polls = read(folder).polls.sort_values("polled_at")
        assert polls["polled_at"].to_list() == [NOON, NOON + timedelta(minutes=15, seconds=1)]
        assert polls["ok"].fillna(value=False).to_list() == [True, False]

    def test_folder_of_a_time(self, save: Save) -> None:
        """The name of a folder is a time in any zone; polls a minute apart are separate."""
        save("vc-1/20260104T120000Z/a.json", body("a", "INPROGRESS", progress=10, end_time=None))
        folder = save(
            "vc-1/2026-01-04T13:01:00+01:00/a.json",
            body("a", "INPROGRESS", progress=20, end_time=None),
            EPOCH,
        )
        seen = read(folder, observed_at=NOON + timedelta(days=9)).observations
        assert dict(zip(seen["observed_at"], seen["progress"], strict=True)) == {
            pd.Timestamp(NOON): 10,
            pd.Timestamp(NOON + timedelta(minutes=1)): 20,
        }

    def test_stated(self, save: Save) -> None:
        """A stated time takes precedence over the times of the files."""
        save("vc-1/a.json", body("a"), EPOCH)
        folder = save("vc-1/job.json", ["a"], NOON - timedelta(days=400))
        poll = only_row(read(folder, observed_at="2026-01-04T13:00:00+01:00").polls)
        assert (poll["polled_at"], poll["ok"]) == (NOON, True)

    @pytest.mark.parametrize(
        ("stated", "message"),
        [
            ("2026-01-04T12:00:00", "observed_at: .* has no time zone"),
            ("yesterday", 'observed_at: "yesterday" is not a time'),
            (EPOCH + timedelta(hours=1), "07:00:00Z is not a possible time of a request: expected"),
            ("2016-01-01T00:00:00Z", "2016-01-01T00:00:00Z is not a possible time"),
        ],
    )
    def test_stated_wrongly(self, save: Save, stated: datetime | str, message: str) -> None:
        """A stated time that is invalid, has no zone or is impossible is an error."""
        with pytest.raises(SettingsError, match=message):
            read(save("vc-1/job.json", []), observed_at=stated)

    @pytest.mark.parametrize("at", [datetime(1980, 1, 1, tzinfo=UTC), EPOCH + timedelta(hours=1)])
    def test_impossible_time(self, save: Save, at: datetime) -> None:
        """A file of an impossible time is an error row, unless the time is stated."""
        save("vc-2/job.json", [])
        folder = save("vc-1/job.json", [], at)
        snapshot = read(folder)
        assert snapshot.polls["appliance"].to_list() == ["vc-2"]
        assert only_row(snapshot.errors)["appliance"] == "vc-1"
        assert (
            "vc-1/job.json: The modification time of the file cannot be"
            in only_row(snapshot.errors)["detail"]
        )
        assert len(read(folder, observed_at=NOON).polls) == 2

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("old", "Only folders named by a time with its zone"),
            ("20260104", "Only folders named by a time with its zone"),
            ("20270104T120000Z", "2027-01-04T12:00:00Z is not a possible time"),
        ],
    )
    def test_other_folder(self, save: Save, name: str, message: str) -> None:
        """A folder whose name is no valid time is an error row and is not read."""
        save("vc-1/job.json", [])
        snapshot = read(save(f"vc-1/{name}/a.json", body("a")))
        assert snapshot.jobs.empty
        assert f"vc-1/{name}: {message}" in only_row(snapshot.errors)["detail"]

    def test_job_of_the_future(self, save: Save) -> None:
        """A job with a time that is still to come is kept as it came."""
        save("vc-1/job.json", ["a"])
        snapshot = read(save("vc-1/a.json", body("a", end_time="9999-12-31T00:00:00Z")))
        assert snapshot.jobs["state"].to_list() == ["SUCCEEDED"]
        assert snapshot.jobs["end_time"].to_list() == [pd.Timestamp("9999-12-31", tz="UTC")]

    def test_job_of_later(self, save: Save) -> None:
        """A job that ended after the poll is an error row, and unread."""
        save("vc-1/job.json", ["a", "b"])
        save("vc-1/a.json", body("a", end_time="2026-01-04T12:15:00Z"))
        folder = save("vc-1/b.json", body("b", end_time="2026-01-04T12:15:01Z"))
        snapshot = read(folder)
        assert snapshot.jobs.set_index("job_id")["state"].fillna("-").to_dict() == {
            "a": "SUCCEEDED",
            "b": "-",
        }
        assert snapshot.polls["ok"].isna().all()
        first, second = snapshot.errors.to_dict("records")
        assert first["job_id"] == "b"
        assert first["detail"] == (
            "vc-1/b.json: job b has the time 2026-01-04T12:15:01Z, but the request was at "
            "2026-01-04T12:00:00Z. State the time of the request."
        )
        assert "1 of 2 listed jobs could not be read: job b" in second["detail"]
        for name in ("job", "a"):
            (folder / "vc-1" / f"{name}.json").unlink()
        with pytest.raises(SettingsError, match="job b has the time 2026-01-04T12:15:01Z"):
            read(folder)


class TestSeveralPolls:
    """Several polls of one appliance."""

    def test_changes(self, save: Save) -> None:
        """A job is observed again only where it changed; polls are in order of time."""
        for hour, progress in ((10, 50), (9, 50), (8, 40)):
            running = body("a", "INPROGRESS", progress=progress, end_time=None)
            save(f"vc-1/20260104T{hour:02}0000Z/a.json", running)
        folder = save("vc-1/20260104T110000Z/a.json", body("a"))
        snapshot = read(folder)
        seen = snapshot.observations.sort_values("observed_at")
        assert seen["progress"].to_list() == [40, 50, 100]
        assert snapshot.polls["polled_at"].is_monotonic_increasing
        assert len(snapshot.polls) == 4

    def test_vanished(self, save: Save, tmp_path: Path) -> None:
        """A job that a later list lacks has vanished, as in a collection."""
        save("vc-1/20260104T080000Z/job.json", ["a", "b"])
        save("vc-1/20260104T080000Z/a.json", body("a"))
        save("vc-1/20260104T080000Z/b.json", body("b"))
        save("vc-1/20260104T090000Z/job.json", ["b"])
        folder = save("vc-1/20260104T090000Z/new.json", body("new"))  # began after the list came
        history = History(tmp_path / "history.db")
        added = history.append(read(folder))
        assert (added.observations, added.vanished, added.polls) == (4, 1, 2)
        jobs = history.jobs().set_index("job_id")["vanished_at"]
        assert jobs["a"] == pd.Timestamp("2026-01-04T09:00:00Z")
        assert jobs[["b", "new"]].isna().all()
        assert history.polls()["ok"].to_list() == [True, True]

    def test_last_version(self, save: Save) -> None:
        """A poll without version and time zone has those of the poll before."""
        version = {"product": "VMware vCenter Server", "type": "embedded", "summary": ""}
        save("vc-1/20260104T080000Z/v.json", version | {"version": "8.0.3.00400"})
        save("vc-1/20260104T080000Z/z.json", "Asia/Tokyo")
        save("vc-1/20260104T090000Z/s.json", {"nightly": plan()})
        save("vc-2/20260104T090000Z/s.json", {"nightly": plan()})
        folder = save("vc-1/20260104T100000Z/v.json", version | {"version": "9.0.0"})
        snapshot = read(folder)
        polls = snapshot.polls[snapshot.polls["appliance"] == "vc-1"]
        assert polls["version"].to_list() == ["8.0.3.00400", "8.0.3.00400", "9.0.0"]
        assert polls["timezone"].to_list() == ["Asia/Tokyo"] * 3
        zones = snapshot.schedules.set_index("appliance")["timezone"]
        assert zones["vc-1"] == "Asia/Tokyo"
        assert pd.isna(zones["vc-2"])

    def test_one_complete_poll(self, save: Save) -> None:
        """An incomplete poll is no error beside a complete one."""
        save("vc-1/20260104T080000Z/job.json", ["a"])
        save("vc-1/20260104T080000Z/a.json", body("a"))
        folder = save("vc-1/20260104T220500Z/b.json", SAMPLES["api_job_get_none_200"])
        snapshot = read(folder)
        assert snapshot.polls["ok"].fillna(value=False).to_list() == [True, False]
        assert snapshot.errors.empty


class TestHistory:
    """Saved responses in a history."""

    def test_twice(self, save: Save, tmp_path: Path) -> None:
        """The same folder again adds nothing."""
        for name in ("job_list", "job_details", "schedules_list"):
            folder = save(f"vc-1/{name}.json", SAMPLES[f"rest_{name}_200"])
        history = History(tmp_path / "history.db")
        added = history.append(read(folder))
        assert (added.observations, added.polls, added.schedules) == (3, 1, 1)
        assert len(history.observations()) == 3
        assert len(history.schedules()) == 1
        for known in (None, history):
            again = history.append(read(folder, known=known))
            assert (again.observations, again.polls, again.schedules) == (0, 0, 0)

    def test_sync_state(self, save: Save, tmp_path: Path) -> None:
        """The next collection knows finished jobs, flavour and time zone."""
        save("vc-1/job.json", ["a", "b"])
        save("vc-1/a.json", body("a"))
        save("vc-1/b.json", body("b", "INPROGRESS", end_time=None))
        folder = save("vc-1/z.json", "Etc/UTC")
        history = History(tmp_path / "history.db")
        history.append(read(folder))
        state = history.sync_state()["vc-1"]
        assert state.listed == {"a", "b"}
        assert state.finished == {"a"}
        assert (state.api, state.timezone) == ("api", "Etc/UTC")


BAD: dict[str, tuple[bytes, str]] = {
    "cut": (SAMPLES["api_job_details_200"][:200], "is not valid JSON: it is truncated or damaged"),
    "empty": (b"", "is empty"),
    "page": (b"<html>Bad gateway</html>", "is HTML and not JSON"),
    "headers": (b"HTTP/1.1 200 OK\r\n\r\n[]", "is not valid JSON"),
    "number": (b"5", ", got int"),
    "null": (b'{"value": null}', ", got null"),
    "numbers": (b"[1, 2]", "got a list of something else"),
    "object": (
        b'{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6}',
        "schedules, the version or the time zone, got an object with a, b, c, d, e, ...",
    ),
    "archive": (b'{"version": "8.0.1", "timestamp": "x"}', "got an object with version, timestamp"),
    "restore": (
        b'{"state": "NONE", "messages": [], "progress": 0}',
        "the response to a job does not follow the API: it has no usable id",
    ),
    "schedule": (json.dumps(plan()).encode(), "got an object with parts, location, enable"),
    "rpc": (SAMPLES["jsonrpc_job_get_succeeded"], "got an object with jsonrpc, id, result"),
    "refused": (
        SAMPLES["api_error_401_unauthenticated"],
        'the response is an error (UNAUTHENTICATED): "Authentication required". Send the request',
    ),
    "unknown": (SAMPLES["rest_error_404_job_not_found"], "the response is an error (NOT_FOUND)"),
    "dumb": (
        b'{"error_type": "CANCELED", "messages": []}',
        "the response is an error (CANCELED). ",
    ),
    "latin": (b'"Europe/M\xfcnchen"', "is not valid JSON"),
    "half": (b"\xff\xfe[", "it cannot be read: it is not Unicode"),
    "deep": (b"[" * 200_000, "is not valid JSON"),
    "place": (b'"Europe/Atlantis"', "the response is text, but no time zone"),
    "path": (b'"../../etc/passwd"', "the response is text, but no time zone"),
    "nothing": (b'""', "the response is text, but no time zone"),
}


class TestBadFiles:
    """A bad file is an error row and affects no other file."""

    @pytest.mark.parametrize("kind", BAD)
    def test_error_row(self, save: Save, kind: str) -> None:
        """The error row names the file, what was expected and what was found."""
        content, message = BAD[kind]
        save("vc-1/job.json", ["a"])
        save("vc-1/a.json", body("a"))
        folder = save("vc-1/z.json", content)
        snapshot = read(folder)
        row = only_row(snapshot.errors)
        assert (row["appliance"], row["error"], row["job_id"]) == ("vc-1", "payload", None)
        assert row["detail"].startswith("vc-1/z.json: ")
        assert message in row["detail"]
        assert snapshot.jobs["job_id"].to_list() == ["a"]
        assert snapshot.polls["ok"].to_list() == [True]
        (folder / "vc-1" / "job.json").unlink()
        (folder / "vc-1" / "a.json").unlink()
        with pytest.raises(SettingsError, match=r"no saved answer in it can be used.*\n  vc-1/z"):
            read(folder)

    def test_no_secret(self, save: Save) -> None:
        """A saved session token is not repeated."""
        save("vc-1/job.json", [])
        snapshot = read(save("vc-1/token.json", SAMPLES["api_session_create_201"]))
        assert "If it is the token of a session, remove it." in only_row(snapshot.errors)["detail"]
        for frame in (snapshot.polls, snapshot.errors):
            assert "a5adf880" not in frame.to_string(max_colwidth=None)

    def test_odd_records(self, save: Save) -> None:
        """The good parts of odd jobs and schedules are kept, and each is an error row."""
        details = json.loads(SAMPLES["api_job_details_200"])
        del details[FAILED]["location"]
        details[SUCCEEDED]["status"] = None
        pairs = [
            {"value": plan()},
            {"key": "bad", "value": plan(enable="maybe")},
            {"key": "good", "value": plan()},
        ]
        save("vc-1/job.json", [RUNNING, SUCCEEDED, FAILED, "x", 5])
        save("vc-1/s.json", {"value": pairs})
        save("vc-1/x.json", body("x", end_time="2026-01-04T01:20:00"))
        snapshot = read(save("vc-1/d.json", details))
        jobs = snapshot.jobs.set_index("job_id")
        assert jobs["state"].fillna("-").to_dict() == {
            FAILED: "FAILED",
            SUCCEEDED: "-",
            RUNNING: "INPROGRESS",
            "x": "SUCCEEDED",
        }
        assert jobs["start_time"].notna().all()
        assert jobs["read_error"].dropna().to_dict() == {
            SUCCEEDED: "status is null",
            "x": "end_time has no time zone",
        }
        plans = snapshot.schedules.set_index("schedule")
        assert plans["location"].to_dict() == dict.fromkeys(("bad", "good"), plan()["location"])
        assert plans["read_error"].dropna().to_dict() == {"bad": "enable is a text"}
        poll = only_row(snapshot.polls)
        assert [poll[name] for name in ("ok", "error", "jobs_listed", "jobs_unread")] == [
            None,
            "partial",
            5,
            3,
        ]
        assert poll["schedules_read"] is None
        assert poll["schedules_error"] == "1 of 3 entries of the schedules have no usable key"
        rows = snapshot.errors[["error", "job_id"]].fillna("-").to_numpy().tolist()
        assert rows == [
            ["payload", SUCCEEDED],
            ["payload", "-"],
            ["payload", "-"],
            ["payload", "-"],
            ["payload", "x"],
            ["partial", "-"],
        ]
        texts = [detail.removeprefix("vc-1/").partition(". ")[0] for detail in details_of(snapshot)]
        assert texts == [
            f"d.json: job {SUCCEEDED} could not be read completely: status is null",
            "job.json: item 5 of the job list is no id",
            "s.json: the schedule bad: enable is a text",
            "s.json: 1 of 3 entries of the schedules have no usable key",
            "x.json: job x could not be read completely: end_time has no time zone",
            f"vc-1: 3 of 5 listed jobs could not be read: job {SUCCEEDED}, status is null",
        ]

    def test_other_job(self, save: Save) -> None:
        """A better record of an odd job, in another file of the poll, makes the poll good."""
        save("vc-1/job.json", [FAILED])
        save("vc-1/a.json", SAMPLES["api_job_get_failed_200"])
        details = json.loads(SAMPLES["api_job_details_200"])
        snapshot = read(save("vc-1/d.json", {FAILED: details[FAILED] | {"status": 5}}))
        assert only_row(snapshot.jobs)["state"] == "FAILED"
        assert snapshot.polls["ok"].to_list() == [True]

    def test_other_files(self, save: Save) -> None:
        """Other files, hidden files and empty folders are ignored."""
        save("README.txt", b"")
        save(".DS_Store", b"")
        save("vc-1/note.txt", b"")
        save("vc-1/._job.json", b"\x00\x05")
        save("vc-1/20260104T120000Z/headers.txt", b"")
        save("empty/.keep", b"")
        assert read(save("vc-1/job.json", [])).errors.empty

    def test_wrong_place(self, save: Save) -> None:
        """A file outside an appliance's folder, or in a folder too deep, is an error row."""
        save("job.json", [])
        save("vc-1/job.json", [])
        snapshot = read(save("vc-1/20260104T120000Z/more/job.json", []))
        assert snapshot.errors["appliance"].isna().to_list() == [True, False]
        assert details_of(snapshot) == [
            "job.json: it belongs to no appliance. Put it into a folder named as the appliance.",
            "vc-1/20260104T120000Z/more: a folder at this depth is not read",
        ]

    def test_no_response(self, save: Save, tmp_path: Path) -> None:
        """A folder without a usable response is an error that names the expected layout."""
        for number in range(7):
            folder = save(f"{number}.json", [])
        with pytest.raises(SettingsError, match="Expected JSON files in a folder for e") as caught:
            read(folder)
        assert str(caught.value).count("it belongs to no appliance") == 5
        assert str(caught.value).endswith("\n  and 2 more")
        for place, message in (
            (tmp_path / "none", "cannot be read: No such file"),
            (folder / "0.json", "cannot be read: Not a directory"),
            (Path("a\0b"), "cannot be read: there is no such path"),
        ):
            with pytest.raises(SettingsError, match=message):
                read(place)


class TestHostile:
    """Hostile folders do no harm."""

    def test_links(self, save: Save, tmp_path: Path) -> None:
        """Symbolic links are not followed."""
        (tmp_path / "secret").mkdir()
        (tmp_path / "secret" / "a.json").write_bytes(body("secret"))
        folder = save("vc-1/20260104T120000Z/job.json", [])
        (folder / "vc-2").symlink_to(tmp_path / "secret")
        (folder / "vc-1" / "20260104T110000Z").symlink_to(tmp_path / "secret")
        (folder / "vc-1" / "b.json").symlink_to(tmp_path / "secret" / "a.json")
        (folder / "vc-1" / "20260104T120000Z" / "c.json").symlink_to("/dev/zero")
        snapshot = read(folder)
        assert snapshot.jobs.empty
        assert sorted(detail.partition(":")[0] for detail in details_of(snapshot)) == [
            "vc-1/20260104T110000Z",
            "vc-1/20260104T120000Z/c.json",
            "vc-1/b.json",
            "vc-2",
        ]
        assert all("links are not followed" in detail for detail in details_of(snapshot))

    def test_special_files(self, save: Save) -> None:
        """A pipe does not block, and a folder named .json is no file."""
        folder = save("vc-1/20260104T120000Z/job.json", [])
        os.mkfifo(folder / "vc-1" / "20260104T120000Z" / "pipe.json")
        (folder / "vc-1" / "20260104T120000Z" / "x.json").mkdir()
        assert details_of(read(folder)) == [
            "vc-1/20260104T120000Z/pipe.json: the response is empty",
            "vc-1/20260104T120000Z/x.json: it cannot be read: Is a directory",
        ]

    def test_huge(self, save: Save) -> None:
        """A file larger than the limit is not read."""
        save("vc-1/job.json", [])
        folder = save("vc-1/big.json", b"")
        with (folder / "vc-1" / "big.json").open("r+b") as file:
            file.truncate(2**40)
        os.utime(folder / "vc-1" / "big.json", (NOON.timestamp(), NOON.timestamp()))
        detail = only_row(read(folder, limits=Limits(body=2**20)).errors)["detail"]
        assert detail == "vc-1/big.json: it is larger than 1 MiB and was not read"

    def test_names(self, save: Save) -> None:
        """Control characters in names are removed from messages; no appliance has them."""
        save("vc-1/job.json", [])
        save("vc-1/x\x1b[2J\n.json", b"")
        save("vc-1/\x1b]0;\x07/a.json", body("a"))
        save("vc-2\x1b[2J/job.json", [])
        folder = save("vc-3/job.json", [])
        os.mkdir(os.fsencode(folder) + b"/vc-\xff")  # noqa: PTH102 # no text
        snapshot = read(folder)
        assert snapshot.polls["appliance"].to_list() == ["vc-1", "vc-3"]
        text = "".join(details_of(snapshot))
        assert text.isprintable()
        assert "vc-1/x [2J .json: the response is empty" in text
        assert text.count("no appliance has such a name") == 2

    def test_ids_and_words(self, save: Save) -> None:
        """Control characters in ids are stored, and removed from messages."""
        evil = "../../\x1b[2J"
        save("vc-1/job.json", [evil, "gone\x07"])
        snapshot = read(save("vc-1/a.json", body(evil, "EXPLODED")))
        assert snapshot.jobs.set_index("job_id")["state"].fillna("-").to_dict() == {
            evil: "EXPLODED",
            "gone\x07": "-",
        }
        assert only_row(snapshot.errors)["detail"].isprintable()


class TestRecognise:
    """wire.detect_kind."""

    @pytest.mark.parametrize("name", [name for name in SAMPLES if name[:-1].endswith("_20")])
    def test_samples(self, name: str) -> None:
        """Every good sample is recognised by its content."""
        flavour, _, resource = name.partition("_")
        kinds = {
            "job_list": Kind.JOB_IDS,
            "job_details": Kind.DETAILS,
            "job_get": Kind.JOB,
            "schedules": Kind.SCHEDULES,
            "session": Kind.TEXT,
        }
        kind = next(kind for start, kind in kinds.items() if resource.startswith(start))
        assert detect_kind(SAMPLES[name]) == (kind, Flavour(flavour))

    def test_odd_maps(self) -> None:
        """Maps are recognised by any good entry, whatever their keys."""
        for name in ("state", "type", "error_type", "version"):
            assert detect_kind(json.dumps({name: plan()}).encode()) == (Kind.SCHEDULES, Flavour.API)
        entries: list[object] = [5, {"key": "a"}, {"key": "b", "value": {"status": "FAILED"}}]
        assert detect_kind(json.dumps({"value": entries}).encode()) == (Kind.DETAILS, Flavour.REST)

    @pytest.mark.property
    @settings(deadline=None)
    @given(DOCUMENTS.map(lambda document: json.dumps(document).encode()) | st.binary())
    def test_any_body(self, content: bytes) -> None:
        """Any JSON and any bytes are recognised, or are a PayloadError."""
        with contextlib.suppress(PayloadError):
            kind, flavour = detect_kind(content)
            assert kind in Kind
            assert flavour in Flavour


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Return a function that imports into a history, and returns exit code, stdout and stderr."""

    def command(*argv: object) -> tuple[int, str, str]:
        capsys.readouterr()
        place = ("--history", str(tmp_path / "history.db"))
        code = main(["history", "import", *place, *map(str, argv)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


Run = Callable[..., tuple[int, str, str]]


class TestCommand:
    """``backupkit history import``."""

    def test_complete(self, save: Save, run: Run, tmp_path: Path) -> None:
        """Everything is stored and counted, with exit code 0; again nothing is added."""
        save("vc-1/job.json", SAMPLES["api_job_list_200"])
        folder = save("vc-1/details.json", SAMPLES["api_job_details_200"])
        history = tmp_path / "history.db"
        assert run(folder) == (
            0,
            f"{history}: 3 observations, 1 poll and 0 schedules added from {folder}\n",
            "1 of 1 appliances read completely, at 2026-01-04T12:00:00Z.\n",
        )
        assert "0 observations, 0 polls and 0 schedules added" in run(folder)[1]
        assert len(History(history).jobs()) == 3

    def test_incomplete(self, save: Save, run: Run) -> None:
        """Errors are on stderr, with exit code 3; the good responses are stored."""
        save("vc-1/20260104T120000Z/job.json", [])
        save("vc-1/20260105T120000Z/job.json", [])
        for number in range(30):
            folder = save(f"vc-2/{number:02}.json", b"<html>")
        code, out, err = run(folder)
        assert code == 3
        assert "0 observations, 2 polls" in out
        assert err.startswith(
            "1 of 1 appliances read completely, from 2026-01-04T12:00:00Z to "
            "2026-01-05T12:00:00Z.\n  vc-2/00.json: the response is HTML and not JSON"
        )
        assert err.endswith("\n  and 27 more\n")

    def test_observed_at(self, save: Save, run: Run) -> None:
        """A stated time is used; an invalid one is an error."""
        folder = save("vc-1/job.json", [])
        code, _, err = run(folder, "--observed-at", "2026-02-01T00:00:00Z")
        assert code == 0
        assert "completely, at 2026-02-01T00:00:00Z" in err
        code, _, err = run(folder, "--observed-at", "noon")
        assert code == 1
        assert '"noon" is not a time' in err

    def test_no_response(self, save: Save, run: Run) -> None:
        """A folder without a usable response is invalid input."""
        code, out, err = run(save("vc-1/job.json", b""))
        assert (code, out) == (1, "")
        assert "no saved answer in it can be used" in err
        assert "vc-1/job.json: the response is empty" in err

    def test_other_sources(self, save: Save, run: Run, tmp_path: Path) -> None:
        """A history, also an empty one, and an export are recognised as such."""
        path = tmp_path / "other.db"
        other = History(path)
        code, out, _ = run(path)
        assert code == 0
        assert f"0 observations, 0 polls and 0 schedules added from {path}\n" in out
        other.append(read(save("vc-1/job.json", [])))
        other.export(tmp_path / "export")
        for source in (path, tmp_path / "export"):
            code, _, err = run(source, "--observed-at", "2026-02-01T00:00:00Z")
            assert code == 1
            assert "only for saved answers of the API and files of jobs" in err
        assert "0 observations, 1 poll" in run(tmp_path / "export")[1]
        assert "0 observations, 0 polls" in run(path)[1]


def fetch(host: str, ca_bundle: Path, folder: Path) -> None:
    """Send the requests that a person sends with curl, and save the responses."""
    context = ssl.create_default_context(cafile=str(ca_bundle))

    def ask(path: str, method: str = "GET", **headers: str) -> bytes | None:
        request = urllib.request.Request(
            f"https://{host}{path}",
            method=method,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        try:
            with urllib.request.urlopen(request, context=context) as answer:  # noqa: S310 # https
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                return None

    basic = f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
    base = "/api/appliance"
    login = ask("/api/session", "POST", Authorization=basic)
    if login is None:
        base = "/rest/appliance"
        login = ask("/rest/com/vmware/cis/session", "POST", Authorization=basic)
    session = {"vmware_api_session_id": (login or b"").decode().split('"')[-2]}
    wanted = {
        "job": "recovery/backup/job",
        "details": "recovery/backup/job/details",
        "schedules": "recovery/backup/schedules",
        "version": "system/version",
        "timezone": "system/time/timezone",
    }
    answers = {name: ask(f"{base}/{path}", **session) for name, path in wanted.items()}
    if answers["details"] is None:  # 6.5
        listed = json.loads(answers["job"] or b"")["value"]
        for job_id in listed:
            answers[job_id] = ask(f"{base}/recovery/backup/job/{job_id}", **session)
    folder.mkdir(parents=True)
    for name, content in answers.items():
        if content is not None:
            (folder / f"{name}.json").write_bytes(content)


class TestSimulator:
    """Responses of simulated appliances, saved and imported."""

    def test_as_collected(self, own_demo: Simulated, tmp_path: Path) -> None:
        """Eleven appliances of every version have the same rows as in a collection."""
        fleet = Fleet([one for one in own_demo.fleet if one.name != "vc-tyo-03"])  # is down
        for one in fleet:
            assert one.ca_bundle is not None
            place = tmp_path / "answers" / one.name / "20261109T060000Z"
            fetch(one.host, one.ca_bundle, place)
        saved = read(tmp_path / "answers")
        collected = collect(fleet, clock=epoch)
        assert saved.errors.empty
        for name, by in (
            ("observations", ["appliance", "job_id"]),
            ("schedules", ["appliance", "schedule"]),
        ):
            left, right = (
                getattr(source, name).sort_values(by, ignore_index=True)
                for source in (saved, collected)
            )
            assert len(left) >= 10
            assert_frame_equal(left, right)
        # the requests were not saved; only a request shows that 6.5 has no details
        columns = ["appliance", "polled_at", "ok", "api", "version", "timezone", "jobs_listed"]
        left, right = (
            source.polls[columns].sort_values("appliance", ignore_index=True)
            for source in (saved, collected)
        )
        assert left["ok"].all()
        assert_frame_equal(left, right)

    def test_same_assessment(self, own_demo: Simulated, tmp_path: Path) -> None:
        """A history of saved responses has the same assessment as a collected one."""
        one = own_demo.fleet["vc-ham-03"]
        assert one.ca_bundle is not None
        fetch(one.host, one.ca_bundle, tmp_path / "answers" / one.name / "20261109T060000Z")
        policy = Policy(rpo="24h", grace="2h")
        assessments = []
        for name, snapshot in (
            ("saved", read(tmp_path / "answers")),
            ("collected", collect([one], clock=epoch)),
        ):
            history = History(tmp_path / f"{name}.db")
            history.append(snapshot)
            assessments.append(evaluate(history, policy, last="30d", now=EPOCH).appliances)
        saved, collected = assessments
        assert_frame_equal(saved, collected)
        assert saved["state"].to_list() == ["breach"]
