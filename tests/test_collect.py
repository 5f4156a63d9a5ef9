"""collect, with simulated fleets and with invalid responses."""

import json
import os
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from backupkit import Fleet, History, Snapshot, collect
from backupkit.errors import BackupkitWarning, SettingsError
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


def serve_jobs(odd: OddServer, **details: object) -> None:
    """Set the responses of an appliance with these jobs."""
    odd.serve_api()
    odd.respond(LIST, json.dumps(list(details)).encode())
    odd.respond(f"{LIST}/details", json.dumps(details).encode())


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
            known = replace(first, observations=first.observations.iloc[:50])
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


class TestInvalidResponses:
    """An invalid record or response affects no other."""

    def test_invalid_job(self, odd: OddServer) -> None:
        """An invalid job is a row in errors; the other jobs are stored."""
        serve_jobs(odd, good=GOOD, bad={"status": 7})
        snapshot = collect([odd.appliance()])
        assert snapshot.jobs["job_id"].to_list() == ["good"]
        assert snapshot.errors["job_id"].to_list() == ["bad"]
        assert snapshot.polls["ok"].all()

    def test_details_fail(self, odd: OddServer) -> None:
        """If details fail, jobs are read one by one; removed and damaged jobs affect no other."""
        odd.serve_api()
        odd.respond(LIST, b'["good", "gone", "damaged"]')
        odd.respond(f"{LIST}/details", b"", 500)
        status = {"id": "good", "state": "SUCCEEDED", "messages": [], "progress": 100}
        odd.respond(
            f"{LIST}/good", json.dumps({**status, "start_time": "2026-11-08T01:00:00Z"}).encode()
        )
        odd.respond(f"{LIST}/damaged", b'{"id": "damaged", "sta')
        snapshot = collect([odd.appliance()], limits=QUICK)
        assert snapshot.jobs["job_id"].to_list() == ["good"]
        assert snapshot.errors["job_id"].to_list() == ["damaged"]

    def test_schedules_version_and_zone_fail(self, odd: OddServer) -> None:
        """Failures of schedules, version and time zone are errors of a good poll."""
        odd.serve_api()
        odd.respond("GET /api/appliance/recovery/backup/schedules", b"[]]")
        odd.respond("GET /api/appliance/system/version", b"", 500)
        odd.respond("GET /api/appliance/system/time/timezone", b"{}")
        snapshot = collect([odd.appliance()], limits=QUICK)
        assert snapshot.polls["ok"].all()
        assert snapshot.errors["error"].to_list() == ["server", "payload", "payload"]

    def test_invalid_schedule(self, odd: OddServer) -> None:
        """An invalid schedule is a row in errors; the other one is stored."""
        odd.serve_api()
        good = {"enable": True, "location": "nfs://10.10.10.10:/nfs", "parts": ["common"]}
        odd.respond(
            "GET /api/appliance/recovery/backup/schedules",
            json.dumps({"default": good, "odd": {"enable": "perhaps"}}).encode(),
        )
        snapshot = collect([odd.appliance()])
        assert snapshot.schedules["schedule"].to_list() == ["default"]
        assert snapshot.schedules["hour"].isna().all()
        assert "the schedule odd" in snapshot.errors["detail"].iloc[0]

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
