"""collect, with simulated fleets and with invalid responses."""

import json
import os
import warnings
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import pytest

from backupkit import Fleet, History, Snapshot, collect
from backupkit.errors import ADVICE, BackupkitWarning, SettingsError
from backupkit.passwords import PasswordSource
from backupkit.simulator import Scenario
from backupkit.tables import ERRORS, JOBS, OBSERVATIONS, POLLS, SCHEDULES
from tests.conftest import EPOCH, QUICK, OddServer, Simulated, epoch, simulated

GOOD = {
    "location": "sftp://10.0.0.250/srv/backups",
    "location_user": "root",
    "type": "SCHEDULED",
    "messages": [],
    "status": "SUCCEEDED",
    "duration": 1200,
    "size": 5,
    "progress": {"total": 100, "completed": 100, "message": {"id": "", "default_message": ""}},
    "start_time": "2026-11-08T01:00:00.000Z",
    "end_time": "2026-11-08T01:20:00.000Z",
}
LIST = "GET /api/appliance/recovery/backup/job"


SCHEDULES_PATH = "GET /api/appliance/recovery/backup/schedules"
PLAN = {
    "enable": True,
    "location": "nfs://10.10.10.10:/nfs",
    "parts": ["common"],
    "recurrence_info": {"hour": 1, "minute": 5},
}
ODD_FLAG = "enable is a text"


def serve_jobs(odd: OddServer, **details: object) -> None:
    """Set the responses of an appliance with these jobs."""
    odd.serve_api()
    odd.respond(LIST, json.dumps(list(details)).encode())
    odd.respond(f"{LIST}/details", json.dumps(details).encode())


def serve_job(odd: OddServer, job_id: str, **changes: object) -> None:
    """Set the response to a request for one job, which succeeded."""
    record = {"id": job_id, "state": "SUCCEEDED", "messages": [], "progress": 100}
    times = {name: GOOD[name] for name in ("start_time", "end_time")}
    odd.respond(f"{LIST}/{job_id}", json.dumps({**record, **times, **changes}).encode())


def serve_schedules(odd: OddServer, **plans: object) -> None:
    """Set the responses of an appliance with these schedules, and without jobs."""
    odd.serve_api()
    odd.respond(SCHEDULES_PATH, json.dumps(plans).encode())


def repeated_records(*records: object) -> bytes:
    """Return details that have the job `one` several times."""
    entries = ", ".join(f'"one": {json.dumps(record)}' for record in records)
    return f"{{{entries}}}".encode()


@dataclass
class Known:
    """Result of earlier collections: the snapshot of the last one, or a history of all."""

    history: History | None
    snapshots: list[Snapshot] = field(default_factory=list)

    def add(self, snapshot: Snapshot) -> None:
        """Add a collection."""
        self.snapshots.append(snapshot)
        if self.history is not None:
            self.history.append(snapshot)

    @property
    def newest(self) -> Snapshot:
        """The last collection."""
        return self.snapshots[-1]

    @property
    def state(self) -> History | Snapshot:
        """The known state, as `collect` takes it."""
        return self.history or self.all

    @property
    def all(self) -> Snapshot:
        """All collections as one."""
        frames = {
            name: pd.concat([getattr(one, name) for one in self.snapshots], ignore_index=True)
            for name in ("observations", "polls", "schedules", "errors")
        }
        return Snapshot(**frames)

    @property
    def jobs(self) -> pd.DataFrame:
        """Newest state of each job."""
        jobs = self.all.jobs if self.history is None else self.history.jobs()
        return jobs.sort_values("job_id")


@pytest.fixture(params=["snapshot", "history"])
def known(request: pytest.FixtureRequest, tmp_path: Path) -> Known:
    """Return an empty state: in memory, then in a history."""
    in_history = request.param == "history"
    return Known(History(tmp_path / "history.db") if in_history else None)


@pytest.fixture(scope="module")
def snapshot(demo: Simulated) -> Snapshot:
    """Return one collection of the demo's 12 appliances."""
    return collect(demo.fleet, clock=epoch)


def by_appliance(frame: pd.DataFrame, column: str) -> dict[str, object]:
    """Return a column of a frame by appliance."""
    return dict(zip(frame["appliance"], frame[column], strict=True))


class TestFleet:
    """One collection of the demo."""

    def test_frames(self, snapshot: Snapshot) -> None:
        """Each frame of a snapshot follows its contract."""
        OBSERVATIONS.check(snapshot.observations)
        POLLS.check(snapshot.polls)
        SCHEDULES.check(snapshot.schedules)
        ERRORS.check(snapshot.errors)
        JOBS.check(snapshot.jobs)

    def test_one_failed_appliance(self, snapshot: Snapshot) -> None:
        """An unreachable appliance is a row in errors and a failed poll; the others are good."""
        assert snapshot.errors["appliance"].to_list() == ["vc-tyo-03"]
        assert snapshot.errors["error"].to_list() == ["unreachable"]
        assert by_appliance(snapshot.polls, "ok") == {
            name: name != "vc-tyo-03" for name in snapshot.polls["appliance"]
        }
        assert repr(snapshot).startswith("Snapshot: 11 of 12 appliances read, 8")

    def test_polls_in_the_order_of_the_fleet(self, snapshot: Snapshot, demo: Simulated) -> None:
        """Polls are in the order of fleet.toml."""
        assert snapshot.polls["appliance"].to_list() == [appliance.name for appliance in demo.fleet]

    def test_every_version(self, snapshot: Snapshot) -> None:
        """Each appliance is read through its API flavour; 6.5 job by job."""
        flavours = by_appliance(snapshot.polls, "api")
        assert flavours["vc-ham-01"] == "api"
        assert flavours["vc-nyc-02"] == "rest"
        sources = snapshot.observations.groupby("appliance")["source"].unique()
        assert list(sources["vc-nyc-04"]) == ["job"]
        assert list(sources["vc-nyc-02"]) == ["details"]

    def test_schedules_in_the_appliance_zone(self, snapshot: Snapshot) -> None:
        """Schedules have the time zone that the appliance reports."""
        zones = by_appliance(snapshot.schedules, "timezone")
        assert zones["vc-ham-01"] == "Europe/Berlin"

    def test_no_session_left(self, demo: Simulated) -> None:
        """A collection closes all sessions."""
        collect(demo.fleet, clock=epoch)
        assert demo.appliances.open_sessions == 0

    def test_display(self, snapshot: Snapshot) -> None:
        """A snapshot shows its errors as a table."""
        shown = snapshot._repr_html_()
        assert "11 of 12 appliances" in shown
        assert "refused the connection" in shown


class TestKnownJobs:
    """A second collection requests no finished job again."""

    def test_twenty_thousand_jobs(self, tmp_path: Path) -> None:
        """20,000 finished jobs are requested once."""
        scenario = Scenario.steady(appliances=50, jobs=400, seed=1, epoch=EPOCH)
        with simulated(scenario, tmp_path) as running:
            history = History(tmp_path / "history.db")
            history.append(collect(running.fleet, clock=epoch))
            assert len(history.jobs()) == 20_000
            running.appliances.clear_requests()
            again = collect(running.fleet, known=history, clock=epoch)
            requested = Counter(
                request.path.rpartition("/")[2] for request in running.appliances.requests
            )
        assert len(again.observations) == 0
        assert requested["job"] == 50
        assert again.polls["requests"].max() <= 4
        assert not any(path.startswith(("details", "2026")) for path in requested)

    def test_open_job_is_followed(self, demo: Simulated, snapshot: Snapshot) -> None:
        """A job that was running is requested again, by its id."""
        demo.appliances.clear_requests()
        again = collect(demo.fleet, known=snapshot, clock=epoch)
        assert again.observations["state"].to_list() == ["INPROGRESS"]
        requested = [
            (request.appliance, request.path)
            for request in demo.appliances.requests
            if "details" in request.path
        ]
        assert requested == [("vc-ham-04", "/api/appliance/recovery/backup/job/details")]

    def test_many_new_jobs(self, tmp_path: Path) -> None:
        """Details of many new jobs are one request."""
        scenario = Scenario.steady(appliances=1, jobs=300, seed=1, epoch=EPOCH, flavours=("api",))
        with simulated(scenario, tmp_path) as running:
            first = collect(running.fleet, clock=epoch)
            running.appliances.clear_requests()
            known = Snapshot(
                first.observations.iloc[:50], first.polls, first.schedules, first.errors
            )
            again = collect(running.fleet, known=known, clock=epoch)
            paths = [request.path for request in running.appliances.requests]
        assert len(again.observations) == 300  # known ones included
        assert sum("details" in path for path in paths) == 1


class TestErrors:
    """Errors of single appliances."""

    def test_kinds(self, own_demo: Simulated) -> None:
        """Each failed appliance is a row in errors with its kind, and stops no other poll."""
        fleet = own_demo.appliances
        fleet.stop("vc-ham-01")
        fleet.set_password("vc-ham-02", "another")
        fleet.revoke("vc-ham-03")
        fleet.answer_html("vc-nyc-01")
        snapshot = collect(own_demo.fleet, clock=epoch)
        assert by_appliance(snapshot.errors, "error") == {
            "vc-ham-01": "unreachable",
            "vc-ham-02": "login",
            "vc-ham-03": "rights",
            "vc-nyc-01": "server",
            "vc-tyo-03": "unreachable",
        }
        assert snapshot.polls["ok"].sum() == 7
        assert not set(snapshot.observations["appliance"]) & set(snapshot.errors["appliance"])

    def test_all_failed(self, demo: Simulated) -> None:
        """A collection without any good poll warns."""
        with pytest.warns(BackupkitWarning, match=r"None of 1 appliances could be read \(unr"):
            snapshot = collect([demo.fleet["vc-tyo-03"]], clock=epoch)
        assert len(snapshot.errors) == 1

    def test_missing_password(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A missing password is an error of its appliance, which gets no request."""
        monkeypatch.delenv("VCSA_PASSWORD")
        with pytest.warns(BackupkitWarning):
            snapshot = collect([odd.appliance()])
        assert snapshot.errors["error"].to_list() == ["credential"]
        assert snapshot.polls["requests"].to_list() == [0]
        assert odd.seen == []

    def test_prompt_once(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A password is prompted for once per user."""
        questions: list[str] = []

        def answer(question: str) -> str:
            questions.append(question)
            return "typed"

        monkeypatch.setattr("getpass.getpass", answer)
        odd.serve_api()
        prompt = PasswordSource("prompt", "the fleet")
        first, second = (replace(odd.appliance(name), password=prompt) for name in ("vc-1", "vc-2"))
        snapshot = collect(Fleet([first, second]))
        assert snapshot.polls["ok"].all()
        assert questions == ["Password of u@v for the fleet: "]

    def test_prompt_without_an_answer(
        self, odd: OddServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A password that is not typed fails its own appliances; the others are read."""
        monkeypatch.setattr("getpass.getpass", lambda _question: "")
        odd.serve_api()
        prompt = PasswordSource("prompt", "the fleet")
        snapshot = collect([replace(odd.appliance("vc-1"), password=prompt), odd.appliance("vc-2")])
        assert snapshot.polls["ok"].to_list() == [False, True]
        assert snapshot.polls["error"].to_list()[0] == "credential"
        assert snapshot.polls["detail"].to_list()[0].startswith("none was typed")

    def test_password_that_is_no_text(
        self, odd: OddServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A password with a byte that is not UTF-8 fails its own appliance; the other is read."""
        monkeypatch.setenv("VC_1", os.fsdecode(b"p\xe4ss"))
        odd.serve_api()
        latin = replace(odd.appliance("vc-1"), password=PasswordSource("env", "VC_1"))
        snapshot = collect([latin, odd.appliance("vc-2")])
        assert snapshot.polls["error"].fillna("").to_list() == ["credential", ""]
        assert "the password of env VC_1 has a control" in snapshot.polls["detail"].to_list()[0]

    def test_unknown_strategy(self, odd: OddServer) -> None:
        """An unknown strategy is refused before any request."""
        with pytest.raises(SettingsError, match='strategy: "guess" must be "auto" or "job"'):
            collect([odd.appliance()], strategy="guess")  # type: ignore[arg-type] # that is it
        assert odd.seen == []

    def test_empty_fleet(self) -> None:
        """A fleet without appliances has an empty snapshot."""
        snapshot = collect([])
        assert repr(snapshot) == "Snapshot: 0 of 0 appliances read, 0 jobs new or unfinished"
        assert "<table" not in snapshot._repr_html_()

    def test_progress_bar(self, odd: OddServer, capsys: pytest.CaptureFixture[str]) -> None:
        """The progress bar counts appliances on stderr."""
        odd.serve_api()
        collect([odd.appliance()], progress=True)
        captured = capsys.readouterr()
        assert "1/1" in captured.err
        assert captured.out == ""


class TestApiErrors:
    """Errors of the API in the frames."""

    def test_columns(self, odd: OddServer) -> None:
        """Type, messages and data of an error are columns of polls and errors."""
        odd.serve_api()
        messages = [
            {"id": "top", "default_message": "It failed.", "args": ["a"], "localized": "Pech."},
            {"id": "root", "default_message": "It is on fire.", "args": None},
        ]
        sent = {"error_type": "INVALID_REQUEST", "messages": messages, "data": {"primary": "x"}}
        for name in ("job", "job/details"):
            path = f"GET /api/appliance/recovery/backup/{name}"
            odd.respond(path, json.dumps(sent).encode(), 400)
        with pytest.warns(BackupkitWarning):
            snapshot = collect([odd.appliance()], limits=QUICK)
        for frame in (snapshot.polls, snapshot.errors):
            [row] = frame.to_dict("records")
            assert row["error"] == "server"
            assert row["error_type"] == "INVALID_REQUEST"
            assert row["error_data"] == '{"primary": "x"}'
            assert [message["id"] for message in row["error_messages"]] == ["top", "root"]
            assert row["error_messages"][0]["localized"] == "Pech."
            assert '(400): "Pech because It is on fire."' in row["detail"]


class TestUnreadJobs:
    """A listed job that could not be read is kept as unread, and the poll is partial."""

    def test_invalid_job(self, odd: OddServer) -> None:
        """An invalid job is kept with the reason and what could be read; the others are good."""
        serve_jobs(odd, good=GOOD, bad={**GOOD, "status": 7})
        snapshot = collect([odd.appliance()])
        assert repr(snapshot) == (
            "Snapshot: 0 of 1 appliance read and 1 in part, 2 jobs new or unfinished"
        )
        jobs = snapshot.jobs.set_index("job_id")
        assert jobs["outcome"].to_dict() == {"good": "success", "bad": "other"}
        assert jobs["read_error"].fillna("").to_dict() == {"good": "", "bad": "status is a number"}
        assert jobs["start_time"]["bad"] == pd.Timestamp("2026-11-08T01:00Z")
        assert jobs["size"]["bad"] == 5
        [poll] = snapshot.polls.to_dict("records")
        assert pd.isna(poll["ok"])
        assert poll["error"] == "partial"
        assert poll["detail"] == (
            "1 of 2 listed jobs could not be read: job bad, status is a number"
        )
        assert [poll[name] for name in ("jobs_listed", "jobs_unread", "jobs_changed")] == [2, 1, 1]
        [error] = snapshot.errors.to_dict("records")
        assert [error[name] for name in ("error", "job_id", "detail")] == [
            "payload",
            "bad",
            f"job bad could not be read: status is a number. {ADVICE['partial']}",
        ]

    def test_odd_details(self, odd: OddServer) -> None:
        """A field that is odd in the details is read from the job itself; the rest is kept."""
        serve_jobs(odd, one={**GOOD, "start_time": None})
        serve_job(odd, "one")
        snapshot = collect([odd.appliance()])
        [job] = snapshot.jobs.to_dict("records")
        assert (job["outcome"], job["source"], job["size"]) == ("success", "job", 5)
        assert job["start_time"] == pd.Timestamp("2026-11-08T01:00Z")
        assert snapshot.polls["ok"].all()
        assert snapshot.errors.empty

    def test_odd_twice(self, odd: OddServer) -> None:
        """A job that is odd in the details and by itself has what either of them has."""
        serve_jobs(odd, one={**GOOD, "end_time": "soon"})
        serve_job(odd, "one", start_time=None)
        snapshot = collect([odd.appliance()])
        [job] = snapshot.jobs.to_dict("records")
        assert job["outcome"] == "success"
        assert pd.isna(job["read_error"])
        assert job["start_time"] == pd.Timestamp("2026-11-08T01:00Z")
        assert snapshot.polls["jobs_unread"].to_list() == [0]

    def test_details_fail(self, odd: OddServer) -> None:
        """If details fail, jobs are read one by one; removed and damaged jobs are kept unread."""
        odd.serve_api()
        odd.respond(LIST, b'["good", "gone", "damaged"]')
        odd.respond(f"{LIST}/details", b"", 500)
        serve_job(odd, "good")
        odd.respond(f"{LIST}/damaged", b'{"id": "damaged", "sta')
        snapshot = collect([odd.appliance()], limits=QUICK)
        jobs = snapshot.jobs.set_index("job_id")
        assert jobs["outcome"].to_dict() == {"good": "success", "gone": "other", "damaged": "other"}
        assert jobs["read_error"].fillna("").to_dict() == {
            "good": "",
            "gone": "the appliance lists it, and does not have it (404, asked twice)",
            "damaged": "the response to job damaged is not valid JSON: it is truncated or damaged",
        }
        errors = snapshot.errors.set_index("job_id")
        assert errors["error"].to_dict() == {"gone": "not_found", "damaged": "payload"}
        assert errors["detail"]["gone"] == (
            "job gone: the appliance lists it, and does not have it (404, asked twice). "
            "Collect again: it was removed meanwhile, or its record is damaged."
        )
        assert [path for _, path, _ in odd.seen].count(f"{LIST[4:]}/gone") == 2

    def test_error_of_one_job(self, odd: OddServer) -> None:
        """A job that the appliance refuses is unread; the others are read."""
        serve_jobs(odd, extra=GOOD)
        odd.respond(LIST, b'["refused", "one", "two"]')
        odd.respond(f"{LIST}/refused", b"", 401)
        serve_job(odd, "one")
        serve_job(odd, "two")
        snapshot = collect([odd.appliance()], limits=QUICK)
        unread = snapshot.jobs.set_index("job_id")["read_error"].dropna()
        assert unread.to_dict() == {"refused": "the session ended before reading job refused (401)"}
        assert snapshot.polls["error"].to_list() == ["partial"]
        assert snapshot.errors[["error", "job_id"]].to_numpy().tolist() == [["login", "refused"]]

    @pytest.mark.parametrize(("status", "error"), [(401, "login"), (503, "busy")])
    def test_two_in_a_row(self, odd: OddServer, status: int, error: str) -> None:
        """Two jobs in a row without a session, or at a busy appliance, end the poll."""
        odd.serve_api()
        odd.respond(LIST, b'["a", "b", "c"]')
        body = json.dumps({"error_type": "SERVICE_UNAVAILABLE", "messages": []}).encode()
        for job_id in "abc":
            odd.respond(f"{LIST}/{job_id}", b"" if status == 401 else body, status)
        with pytest.warns(BackupkitWarning, match="None of 1"):
            snapshot = collect([odd.appliance()], limits=QUICK)
        assert snapshot.polls["error"].to_list() == [error]
        assert snapshot.polls["ok"].to_list() == [False]
        assert f"{LIST[4:]}/c" not in [path for _, path, _ in odd.seen]

    def test_two_apart(self, odd: OddServer) -> None:
        """Two lost jobs with another response between them do not end the poll."""
        odd.serve_api()
        odd.respond(LIST, b'["a", "b", "c", "d"]')
        odd.respond(f"{LIST}/a", b"", 401)
        odd.respond(f"{LIST}/b", b"{", 200)
        odd.respond(f"{LIST}/c", b"", 401)
        serve_job(odd, "d")
        snapshot = collect([odd.appliance()], limits=QUICK)
        assert snapshot.polls[["error", "jobs_unread"]].to_numpy().tolist() == [["partial", 3]]
        assert snapshot.jobs.set_index("job_id")["outcome"]["d"] == "success"

    def test_items_that_are_no_ids(self, odd: OddServer) -> None:
        """Items of the list that are no ids are unread jobs, and no known job counts as removed."""
        serve_jobs(odd, one=GOOD, two=GOOD)
        first = collect([odd.appliance()])
        odd.respond(LIST, b'["one", null, "one", 7]')
        again = collect([odd.appliance()], known=first)
        [poll] = again.polls.to_dict("records")
        assert (poll["jobs_listed"], poll["jobs_unread"], poll["error"]) == (3, 2, "partial")
        assert poll["detail"] == (
            "2 of 3 listed jobs could not be read: an item of the list is no id"
        )
        assert [text.partition(". ")[0] for text in again.errors["detail"]] == [
            "item 2 of the job list is no id",
            "item 4 of the job list is no id",
        ]
        assert again.observations.empty

    def test_repeated_in_details(self, odd: OddServer) -> None:
        """Of two records of one job the one that has ended counts, and an error tells of both."""
        runs = {**GOOD, "status": "RUNNING", "end_time": None}
        serve_jobs(odd, one=GOOD)
        odd.respond(f"{LIST}/details", repeated_records(GOOD, runs))
        snapshot = collect([odd.appliance()])
        assert snapshot.jobs["outcome"].to_list() == ["success"]
        assert snapshot.polls["ok"].all()
        [error] = snapshot.errors.to_dict("records")
        assert error["job_id"] == "one"
        assert error["detail"].startswith("the job details have job one several times. ")

    def test_repeated_with_two_ends(self, odd: OddServer) -> None:
        """A job that ended in two ways is unread, unless the job itself tells how it ended."""
        serve_jobs(odd, one=GOOD)
        odd.respond(f"{LIST}/details", repeated_records(GOOD, {**GOOD, "status": "FAILED"}))
        snapshot = collect([odd.appliance()])
        [job] = snapshot.jobs.to_dict("records")
        assert job["outcome"] == "other"
        assert job["read_error"] == (
            "the job details have it several times, as FAILED and as SUCCEEDED"
        )
        serve_job(odd, "one")
        again = collect([odd.appliance()], known=snapshot)
        assert again.jobs["outcome"].to_list() == ["success"]
        assert again.polls["ok"].all()

    def test_readable_later(self, odd: OddServer, known: Known) -> None:
        """An unread job that can be read in the next poll replaces what was stored."""
        serve_jobs(odd, one=GOOD, two=None)
        known.add(collect([odd.appliance()]))
        assert known.jobs["outcome"].to_list() == ["success", "other"]
        serve_jobs(odd, one=GOOD, two=GOOD)
        known.add(collect([odd.appliance()], known=known.state))
        assert known.jobs["outcome"].to_list() == ["success", "success"]
        assert known.jobs["read_error"].isna().all()
        assert known.newest.polls["ok"].all()
        assert known.newest.errors.empty

    def test_running_job_becomes_unreadable(self, odd: OddServer, known: Known) -> None:
        """A running job that cannot be read any more keeps its start, and its outcome is other."""
        serve_jobs(odd, one={**GOOD, "status": "RUNNING", "end_time": None})
        known.add(collect([odd.appliance()]))
        assert known.jobs["outcome"].to_list() == ["open"]
        serve_jobs(odd, one=None)
        known.add(collect([odd.appliance()], known=known.state))
        [job] = known.jobs.to_dict("records")
        assert (job["outcome"], job["read_error"]) == ("other", "the record is null")
        assert job["start_time"] == pd.Timestamp("2026-11-08T01:00Z")


class TestUnreadList:
    """Without the job list the poll fails; what the details have is kept."""

    @pytest.mark.parametrize(
        ("status", "body", "error"),
        [(500, b"", "server"), (404, b"", "not_found"), (200, b"null", "payload")],
    )
    def test_details_work(self, odd: OddServer, status: int, body: bytes, error: str) -> None:
        """The jobs of the details are kept, and none counts as removed."""
        serve_jobs(odd, one=GOOD, two=GOOD)
        first = collect([odd.appliance()])
        serve_jobs(odd, one=GOOD, three=GOOD)
        odd.respond(LIST, body, status)
        with pytest.warns(BackupkitWarning, match="None of 1"):
            snapshot = collect([odd.appliance()], known=first, limits=QUICK)
        assert sorted(snapshot.jobs["job_id"]) == ["one", "three"]
        [poll] = snapshot.polls.to_dict("records")
        assert (poll["ok"], poll["error"]) == (False, error)
        assert pd.isna(poll["jobs_listed"])
        assert pd.isna(poll["jobs_unread"])
        assert "the job list" in poll["detail"]

    def test_details_fail_too(self, odd: OddServer) -> None:
        """If the details fail as well, the error of the list counts."""
        odd.serve_api()
        odd.respond(LIST, b"", 500)
        odd.respond(f"{LIST}/details", b"", 403)
        with pytest.warns(BackupkitWarning, match="None of 1"):
            snapshot = collect([odd.appliance()], limits=QUICK)
        assert snapshot.errors["error"].to_list() == ["server"]
        assert "the job list" in snapshot.errors["detail"].iloc[0]

    def test_job_by_job(self, odd: OddServer) -> None:
        """With the strategy `job` the details are not asked for."""
        serve_jobs(odd, one=GOOD)
        odd.respond(LIST, b"", 500)
        with pytest.warns(BackupkitWarning, match="None of 1"):
            collect([odd.appliance()], strategy="job", limits=QUICK)
        assert f"{LIST[4:]}/details" not in [path for _, path, _ in odd.seen]


class TestSchedules:
    """Schedules that could not be read, and schedules that were removed."""

    def test_invalid_schedule(self, odd: OddServer) -> None:
        """An odd schedule is stored with the reason and what could be read."""
        serve_schedules(odd, default=PLAN, other={**PLAN, "enable": "perhaps"})
        snapshot = collect([odd.appliance()])
        plans = snapshot.schedules.set_index("schedule")
        assert plans["read_error"].fillna("").to_dict() == {"default": "", "other": ODD_FLAG}
        assert plans["hour"].to_dict() == {"default": 1, "other": 1}
        [poll] = snapshot.polls.to_dict("records")
        assert (poll["ok"], poll["schedules_read"]) == (True, 2)
        assert (
            snapshot.errors["detail"]
            .iloc[0]
            .startswith(
                f"the schedule other could not be read: {ODD_FLAG}. Save the schedule again"
            )
        )

    @pytest.mark.parametrize(
        ("status", "body", "problem"),
        [
            (404, b"", "the appliance did not find the schedules (404)"),
            (500, b"", "the request for the schedules failed (500)"),
            (200, b"null", "the response to the schedules does not follow the API: it is neither"),
            (200, b"[]]", "the response to the schedules is not valid JSON: it is truncated"),
        ],
    )
    def test_unread(self, odd: OddServer, status: int, body: bytes, problem: str) -> None:
        """Schedules that could not be read are no reason to think that there are none."""
        serve_schedules(odd, default=PLAN)
        first = collect([odd.appliance()])
        odd.respond(SCHEDULES_PATH, body, status)
        again = collect([odd.appliance()], known=first, limits=QUICK)
        assert again.schedules.empty
        [poll] = again.polls.to_dict("records")
        assert poll["ok"]
        assert pd.isna(poll["schedules_read"])
        assert poll["schedules_error"].startswith(problem)
        assert again.errors["detail"].iloc[0].startswith(problem)

    def test_entries_without_a_name(self, odd: OddServer) -> None:
        """A schedule without a name is an error, and then no known schedule counts as removed."""
        serve_schedules(odd, default=PLAN, weekly=PLAN)
        first = collect([odd.appliance()])
        serve_schedules(odd, **{"default": PLAN, "": PLAN})
        again = collect([odd.appliance()], known=first)
        assert again.schedules["schedule"].to_list() == ["default"]
        assert again.polls["schedules_error"].to_list() == [
            "1 of 2 entries of the schedules have no usable key"
        ]

    def test_removed(self, odd: OddServer, known: Known) -> None:
        """A schedule that is not there any more has a last row that says so, once."""
        serve_schedules(odd, default=PLAN, weekly=PLAN)
        known.add(collect([odd.appliance()]))
        serve_schedules(odd, default=PLAN)
        for expected in ({"default": False, "weekly": True}, {"default": False}):
            known.add(collect([odd.appliance()], known=known.state))
            rows = known.newest.schedules.set_index("schedule")["removed"]
            assert rows.fillna(value=False).to_dict() == expected
        serve_schedules(odd, default=PLAN, weekly=PLAN)
        known.add(collect([odd.appliance()], known=known.state))
        rows = known.newest.schedules.set_index("schedule")["removed"]
        assert not rows.fillna(value=False).any()


class TestInvalidResponses:
    """An invalid response affects no other."""

    def test_schedules_version_and_zone_fail(self, odd: OddServer) -> None:
        """Failures of schedules, version and time zone are errors of a good poll."""
        odd.serve_api()
        odd.respond("GET /api/appliance/recovery/backup/schedules", b"[]]")
        odd.respond("GET /api/appliance/system/version", b"", 500)
        odd.respond("GET /api/appliance/system/time/timezone", b"{}")
        snapshot = collect([odd.appliance()], limits=QUICK)
        assert snapshot.polls["ok"].all()
        assert snapshot.errors["error"].to_list() == ["server", "payload", "payload"]

    def test_details_while_services_start(self, odd: OddServer) -> None:
        """A 404 of the details is no reason not to ask for the schedules, except of 6.5."""
        serve_schedules(odd, default=PLAN)
        odd.respond(LIST, b'["one"]')
        odd.respond(f"{LIST}/details", b"", 404)
        serve_job(odd, "one")
        snapshot = collect([odd.appliance()], limits=QUICK)
        assert snapshot.polls["schedules_read"].to_list() == [1]
        odd.seen.clear()
        odd.respond("GET /api/appliance/system/version", b'{"version": "6.5.0.37000"}')
        snapshot = collect([odd.appliance()], limits=QUICK)
        assert snapshot.polls["details"].to_list() == [False]
        assert snapshot.errors.empty
        assert SCHEDULES_PATH[4:] not in [path for _, path, _ in odd.seen]

    def test_unknown_state(self, odd: OddServer) -> None:
        """An unknown state is stored unchanged, with a warning, and is no success."""
        serve_jobs(odd, new={**GOOD, "status": "QUANTUM"})
        with pytest.warns(BackupkitWarning, match="QUANTUM"):
            snapshot = collect([odd.appliance()])
        assert snapshot.jobs["state"].to_list() == ["QUANTUM"]
        assert snapshot.jobs["outcome"].to_list() == ["other"]

    def test_unrequested_jobs(self, odd: OddServer) -> None:
        """Jobs that were not requested are ignored."""
        serve_jobs(odd, one=GOOD)
        first = collect([odd.appliance()])
        serve_jobs(odd, one=GOOD, two=GOOD, extra=1)
        odd.respond(LIST, b'["one", "two"]')
        again = collect([odd.appliance()], known=first)
        assert again.jobs["job_id"].to_list() == ["two"]
        assert again.errors.empty

    def test_messages(self, odd: OddServer) -> None:
        """A message keeps its id, text, arguments and translation."""
        message = {"id": "m", "default_message": "<b>", "args": ["1", 2], "localized": "ü"}
        failed = {**GOOD, "status": "FAILED", "messages": [message]}
        serve_jobs(odd, one=failed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            [messages] = collect([odd.appliance()]).jobs["messages"]
        assert messages == [
            {"id": "m", "default_message": "<b>", "args": ["1", "2"], "localized": "ü"}
        ]
