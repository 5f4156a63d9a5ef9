"""Collect simulated fleets, whole and with troubles."""

import json
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


@pytest.fixture(scope="module")
def snapshot(demo: Simulated) -> Snapshot:
    """Collect the demo's 12 appliances once."""
    return collect(demo.fleet, clock=epoch)


def by_appliance(frame: pd.DataFrame, column: str) -> dict[str, object]:
    """Give one column of a frame by appliance."""
    return dict(zip(frame["appliance"], frame[column], strict=True))


class TestWholeFleet:
    """One round over a fleet in which nearly all goes well."""

    def test_frames(self, snapshot: Snapshot) -> None:
        """Every frame of a snapshot keeps its contract."""
        OBSERVATIONS.check(snapshot.observations)
        POLLS.check(snapshot.polls)
        SCHEDULES.check(snapshot.schedules)
        ERRORS.check(snapshot.errors)
        JOBS.check(snapshot.jobs)

    def test_one_failed_appliance(self, snapshot: Snapshot) -> None:
        """The appliance that is down is one row in errors and in polls; the others are complete."""
        assert snapshot.errors["appliance"].to_list() == ["vc-tyo-03"]
        assert snapshot.errors["error"].to_list() == ["unreachable"]
        assert by_appliance(snapshot.polls, "ok") == {
            name: name != "vc-tyo-03" for name in snapshot.polls["appliance"]
        }
        assert repr(snapshot).startswith("Snapshot: 11 of 12 appliances read, 8")

    def test_polls_in_the_order_of_the_fleet(self, snapshot: Snapshot, demo: Simulated) -> None:
        """Polls come in the order of fleet.toml, whoever answered first."""
        assert snapshot.polls["appliance"].to_list() == [one.name for one in demo.fleet]

    def test_every_version(self, snapshot: Snapshot) -> None:
        """Each appliance is read in the flavour it speaks; 6.5 job by job."""
        spoken = by_appliance(snapshot.polls, "api")
        assert spoken["vc-ham-01"] == "api"
        assert spoken["vc-nyc-02"] == "rest"
        sources = snapshot.observations.groupby("appliance")["source"].unique()
        assert list(sources["vc-nyc-04"]) == ["job"]
        assert list(sources["vc-nyc-02"]) == ["details"]

    def test_schedules_in_the_appliance_zone(self, snapshot: Snapshot) -> None:
        """Schedules carry the zone that the appliance itself tells."""
        zones = by_appliance(snapshot.schedules, "timezone")
        assert zones["vc-ham-01"] == "Europe/Berlin"

    def test_no_session_left(self, demo: Simulated) -> None:
        """A round leaves no session open."""
        collect(demo.fleet, clock=epoch)
        assert demo.appliances.open_sessions == 0

    def test_display(self, snapshot: Snapshot) -> None:
        """A snapshot shows its errors as a table."""
        shown = snapshot._repr_html_()
        assert "11 of 12 appliances" in shown
        assert "refused the connection" in shown


class TestOnlyWhatIsNew:
    """A second round asks for no finished job again."""

    def test_twenty_thousand_jobs(self, tmp_path: Path) -> None:
        """50 x 400 jobs come once; the second round asks for none of them."""
        scenario = Scenario.steady(appliances=50, jobs=400, seed=1, epoch=EPOCH)
        with simulated(scenario, tmp_path) as running:
            history = History(tmp_path / "history.db")
            history.append(collect(running.fleet, clock=epoch))
            assert len(history.jobs()) == 20_000
            running.appliances.clear_requests()
            again = collect(running.fleet, known=history, clock=epoch)
            asked = Counter(
                request.path.rpartition("/")[2] for request in running.appliances.requests
            )
        assert len(again.observations) == 0
        assert asked["job"] == 50
        assert again.polls["requests"].max() <= 4
        assert not any(path.startswith(("details", "2026")) for path in asked)

    def test_open_job_is_followed(self, demo: Simulated, snapshot: Snapshot) -> None:
        """A job that was still running is asked for again, by name."""
        demo.appliances.clear_requests()
        again = collect(demo.fleet, known=snapshot, clock=epoch)
        assert again.observations["state"].to_list() == ["INPROGRESS"]
        named = [
            (request.appliance, request.path)
            for request in demo.appliances.requests
            if "details" in request.path
        ]
        assert named == [("vc-ham-04", "/api/appliance/recovery/backup/job/details")]

    def test_many_new_jobs(self, tmp_path: Path) -> None:
        """With many new jobs details of all are asked for at once, and only the new ones kept."""
        scenario = Scenario.steady(appliances=1, jobs=300, seed=1, epoch=EPOCH, flavours=("api",))
        with simulated(scenario, tmp_path) as running:
            first = collect(running.fleet, clock=epoch)
            running.appliances.clear_requests()
            known = replace(first, observations=first.observations.iloc[:50])
            again = collect(running.fleet, known=known, clock=epoch)
            paths = [request.path for request in running.appliances.requests]
        assert len(again.observations) == 300  # a known one that changed would be seen, too
        assert sum("details" in path for path in paths) == 1


class TestTroubles:
    """What goes wrong stays with the appliance it went wrong on."""

    def test_each_in_its_own_way(self, own_demo: Simulated) -> None:
        """A stopped one, a wrong password, no rights and a proxy page each have their own kind."""
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
        """A round in which nobody could be read is loud."""
        with pytest.warns(BackupkitWarning, match=r"None of 1 appliances could be read \(unr"):
            snapshot = collect([demo.fleet["vc-tyo-03"]], clock=epoch)
        assert len(snapshot.errors) == 1

    def test_missing_password(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A password that is nowhere is that appliance's error, and it is not even asked."""
        monkeypatch.delenv("VCSA_PASSWORD")
        with pytest.warns(BackupkitWarning):
            snapshot = collect([odd.appliance()])
        assert snapshot.errors["error"].to_list() == ["credential"]
        assert snapshot.polls["requests"].to_list() == [0]
        assert odd.seen == []

    def test_prompt_once(self, odd: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever types passwords is asked once for each user, not once for each appliance."""
        asked: list[str] = []

        def answer(question: str) -> str:
            asked.append(question)
            return "typed"

        monkeypatch.setattr("getpass.getpass", answer)
        odd.speak_api()
        prompt = PasswordSource("prompt", "the fleet")
        first, second = (odd.appliance(name) for name in ("vc-1", "vc-2"))
        for one in (first, second):
            object.__setattr__(one, "password", prompt)
        snapshot = collect(Fleet([first, second]))
        assert snapshot.polls["ok"].all()
        assert asked == ["Password of u@v for the fleet: "]

    def test_unknown_strategy(self, odd: OddServer) -> None:
        """A strategy that does not exist is refused before anybody is asked."""
        with pytest.raises(SettingsError, match='strategy: "guess" must be "auto" or "job"'):
            collect([odd.appliance()], strategy="guess")  # type: ignore[arg-type] # that is it
        assert odd.seen == []

    def test_empty_fleet(self) -> None:
        """A fleet without appliances gives an empty snapshot."""
        snapshot = collect([])
        assert repr(snapshot) == "Snapshot: 0 of 0 appliances read, 0 jobs new or unfinished"
        assert "<table" not in snapshot._repr_html_()

    def test_progress_bar(self, odd: OddServer, capsys: pytest.CaptureFixture[str]) -> None:
        """The bar counts appliances, on stderr."""
        odd.speak_api()
        collect([odd.appliance()], progress=True)
        captured = capsys.readouterr()
        assert "1/1" in captured.err
        assert captured.out == ""


class TestOddAnswers:
    """One bad record spoils that record alone."""

    def test_bad_job_amid_good_ones(self, odd: OddServer) -> None:
        """A job whose details cannot be used is named; its neighbours are kept."""
        odd.speak_api()
        odd.tell(LIST, b'["good", "bad"]')
        odd.tell(f"{LIST}/details", json.dumps({"good": GOOD, "bad": {"status": 7}}).encode())
        snapshot = collect([odd.appliance()])
        assert snapshot.jobs["job_id"].to_list() == ["good"]
        assert snapshot.errors["job_id"].to_list() == ["bad"]
        assert snapshot.polls["ok"].all()

    def test_details_fail(self, odd: OddServer) -> None:
        """Where details fail, job by job works; a vanished and a damaged job spoil nothing."""
        odd.speak_api()
        odd.tell(LIST, b'["good", "gone", "damaged"]')
        odd.tell(f"{LIST}/details", b"", 500)
        status = {"id": "good", "state": "SUCCEEDED", "messages": [], "progress": 100}
        odd.tell(
            f"{LIST}/good", json.dumps({**status, "start_time": "2026-11-08T01:00:00Z"}).encode()
        )
        odd.tell(f"{LIST}/damaged", b'{"id": "damaged", "sta')
        snapshot = collect([odd.appliance()], limits=QUICK)
        assert snapshot.jobs["job_id"].to_list() == ["good"]
        assert snapshot.errors["job_id"].to_list() == ["damaged"]

    def test_schedules_version_and_zone_fail(self, odd: OddServer) -> None:
        """Jobs count even if nothing else can be read; each trouble has its row."""
        odd.speak_api()
        odd.tell("GET /api/appliance/recovery/backup/schedules", b"[]]")
        odd.tell("GET /api/appliance/system/version", b"", 500)
        odd.tell("GET /api/appliance/system/time/timezone", b"{}")
        snapshot = collect([odd.appliance()], limits=QUICK)
        assert snapshot.polls["ok"].all()
        assert snapshot.errors["error"].to_list() == ["server", "payload", "payload"]

    def test_bad_schedule_amid_good_ones(self, odd: OddServer) -> None:
        """A schedule that cannot be used is named; the other is kept."""
        odd.speak_api()
        good = {"enable": True, "location": "nfs://10.10.10.10:/nfs", "parts": ["common"]}
        odd.tell(
            "GET /api/appliance/recovery/backup/schedules",
            json.dumps({"default": good, "odd": {"enable": "perhaps"}}).encode(),
        )
        snapshot = collect([odd.appliance()])
        assert snapshot.schedules["schedule"].to_list() == ["default"]
        assert snapshot.schedules["hour"].isna().all()
        assert "the schedule odd" in snapshot.errors["detail"].iloc[0]

    def test_unknown_state(self, odd: OddServer) -> None:
        """A state never seen before is kept as it is, warned of, and no success."""
        odd.speak_api()
        odd.tell(LIST, b'["new"]')
        body = json.dumps({"new": {**GOOD, "status": "QUANTUM"}})
        odd.tell(f"{LIST}/details", body.encode())
        with pytest.warns(BackupkitWarning, match="QUANTUM"):
            snapshot = collect([odd.appliance()])
        assert snapshot.jobs["state"].to_list() == ["QUANTUM"]
        assert snapshot.jobs["outcome"].to_list() == ["other"]

    def test_unasked_jobs_are_not_kept(self, odd: OddServer) -> None:
        """An appliance that passes over the filter, and tells of more jobs, confuses nobody."""
        odd.speak_api()
        odd.tell(f"{LIST}/details", json.dumps({"one": GOOD}).encode())
        first = collect([odd.appliance()])
        odd.tell(LIST, b'["one", "two"]')
        odd.tell(f"{LIST}/details", json.dumps({"one": GOOD, "two": GOOD, "odd": 1}).encode())
        again = collect([odd.appliance()], known=first)
        assert again.jobs["job_id"].to_list() == ["two"]
        assert again.errors.empty

    def test_messages_travel_whole(self, odd: OddServer) -> None:
        """Messages keep id, text, arguments and translation."""
        odd.speak_api()
        odd.tell(LIST, b'["one"]')
        message = {"id": "m", "default_message": "<b>", "args": ["1", 2], "localized": "ü"}
        failed = {**GOOD, "status": "FAILED", "messages": [message]}
        odd.tell(f"{LIST}/details", json.dumps({"one": failed}).encode())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            [messages] = collect([odd.appliance()]).jobs["messages"]
        assert messages == [
            {"id": "m", "default_message": "<b>", "args": ["1", "2"], "localized": "ü"}
        ]
