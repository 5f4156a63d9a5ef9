"""Running jobs are followed: what is shown, what is stored, and how it ends."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pandas as pd
import pytest

import backupkit as bk
from backupkit import wire
from backupkit.cli import main
from backupkit.cli.commands.watch import BarDisplay, format_summary, make_display
from backupkit.collection import watcher
from backupkit.collection.followed_jobs import FollowedAppliance
from backupkit.collection.watcher import Watch
from backupkit.errors import BackupkitWarning
from backupkit.simulator import Fault, Scenario
from backupkit.tables import RUNNING
from backupkit.tables.estimates import is_stalled, time_left, typical_duration
from tests.builders import Clock
from tests.conftest import EPOCH, QUICK, OddServer, Simulated, simulated
from tests.processes import wait_until

LIST = "GET /api/appliance/recovery/backup/job"
RUNS = {
    "location": "nfs://10.0.0.1:/nfs",
    "location_user": "n",
    "type": "SCHEDULED",
    "messages": [],
    "status": "RUNNING",
    "duration": 600,
    "size": 5,
    "progress": {"total": 100, "completed": 40},
    "start_time": "2026-11-09T05:00:00.000Z",
}
STATUS = {
    "id": "one",
    "state": "INPROGRESS",
    "messages": [],
    "progress": 40,
    "start_time": "2026-11-09T05:00:00.000Z",
}


@pytest.fixture
def clock() -> Clock:
    """Return a clock at the epoch of the scenario."""
    return Clock()


@pytest.fixture
def running(tmp_path: Path, clock: Clock) -> Iterator[Simulated]:
    """Run the demo, in which one job runs at the epoch."""
    with simulated(Scenario.demo(seed=1, epoch=EPOCH), tmp_path, clock=clock) as fleet:
        yield fleet


@pytest.fixture
def history(tmp_path: Path) -> bk.History:
    """Return an empty history."""
    return bk.History(tmp_path / "history.db")


def odd_job(odd: OddServer, **changes: object) -> None:
    """Let the server have one job, in the details and alone."""
    odd.serve_api()
    odd.respond(LIST, b'["one"]')
    odd.respond(f"{LIST}/details", json.dumps({"one": RUNS}).encode())
    odd.respond(f"{LIST}/one", json.dumps({**STATUS, **changes}).encode())


def _count(running: Simulated, route: str) -> int:
    """Count the requests with this method and path."""
    return sum(f"{one.method} {one.path}" == route for one in running.appliances.requests)


class TestFollow:
    """A job is followed to its end."""

    def test_to_the_end(self, running: Simulated, history: bk.History, clock: Clock) -> None:
        """Each poll shows progress, each change is stored, and at the end the details are read."""
        polls = []
        for poll in bk.watch(running.fleet, history, every=0.001, limits=QUICK, clock=clock):
            RUNNING.check(poll)
            polls.append(poll.iloc[0])
            assert running.appliances.open_sessions == (len(polls) > 1)
            clock.advance(minutes=3)
        assert running.appliances.open_sessions == 0
        frame = pd.DataFrame(polls)
        assert set(frame["appliance"]) == {"vc-ham-04"}
        assert frame["progress"].is_monotonic_increasing
        assert frame["time_left"].is_monotonic_decreasing
        assert frame["state"].to_list()[-2:] == ["INPROGRESS", "SUCCEEDED"]
        assert not frame["stalled"].any()
        last = frame.iloc[-1]
        assert last["elapsed"] == last["end_time"] - last["start_time"]
        stored = history.observations(appliances=["vc-ham-04"])
        stored = stored[stored["job_id"] == last["job_id"]]
        assert stored["progress"].to_list() == frame["progress"].to_list()
        [job] = history.jobs().query("job_id == @last['job_id']").to_dict("records")
        assert (job["outcome"], job["type"]) == ("success", "MANUAL")
        assert job["size"] > 0  # only the details have it

    def test_one_request(self, running: Simulated, history: bk.History, clock: Clock) -> None:
        """A poll is one request for each job, within one session."""
        polls = bk.watch(running.fleet, history, every=0.001, limits=QUICK, clock=clock)
        next(polls)
        next(polls)
        running.appliances.clear_requests()
        next(polls)
        assert [one.path.rpartition("/")[0] for one in running.appliances.requests] == [
            "/api/appliance/recovery/backup/job"
        ]
        polls.close()  # type: ignore[attr-defined] # it is a generator
        assert running.appliances.open_sessions == 0

    def test_not_a_good_poll(self, running: Simulated, history: bk.History, clock: Clock) -> None:
        """A poll of one job is not a good poll of the appliance."""
        for _ in bk.watch(running.fleet, history, every=0.001, limits=QUICK, clock=clock):
            clock.advance(minutes=5)
        polls = history.polls(appliances=["vc-ham-04"])
        assert polls["ok"].to_list()[0]
        assert polls["ok"].iloc[1:].isna().all()

    def test_nothing_runs(self, odd: OddServer, history: bk.History) -> None:
        """If nothing runs, there is one empty frame."""
        odd.serve_api()
        [poll] = bk.watch([odd.appliance()], history, limits=QUICK)
        assert RUNNING.check(poll).empty

    def test_unreachable(self, running: Simulated, history: bk.History, clock: Clock) -> None:
        """An unreachable appliance is polled again, and the watch continues."""
        details = []
        for poll in bk.watch(running.fleet, history, every=0.001, limits=QUICK, clock=clock):
            details.append(poll["detail"].isna().all())
            if len(details) == 2:
                running.appliances.stop("vc-ham-04")
            if len(details) in (3, 4):
                assert "refused the connection" in poll["detail"].iloc[0]
            if len(details) == 4:
                running.appliances.start("vc-ham-04")
            clock.advance(minutes=2)
        assert details[:5] == [True, True, False, False, True]
        assert history.jobs(appliances=["vc-ham-04"])["outcome"].ne("open").all()

    def test_slow_response(
        self, odd: OddServer, history: bk.History, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A job whose appliance has not responded yet stays; an ended job is removed later."""
        odd_job(odd)
        answers, poll = Event(), FollowedAppliance.poll

        def late(one: FollowedAppliance) -> list[wire.Job]:
            answers.wait(QUICK.connect)
            return poll(one)

        later = clock.now + timedelta(days=1)
        with Watch([odd.appliance()], history, limits=QUICK, clock=clock) as watch:
            watch.ingest(watch.collect())
            odd_job(odd, state="SUCCEEDED", end_time="2026-11-09T05:30:00Z")
            odd.respond(f"{LIST}/details", b"{}")
            monkeypatch.setattr(FollowedAppliance, "poll", late)
            watch.poll(timeout=0)
            watch.forget(later)
            assert watch.get_progress()["state"].to_list() == ["INPROGRESS"]
            answers.set()
            watch.poll()
            assert watch.get_progress()["state"].to_list() == ["SUCCEEDED"]
            watch.forget(later)
            assert watch.get_progress().empty

    def test_unreadable(self, odd: OddServer, history: bk.History, clock: Clock) -> None:
        """A job that cannot be read is said to be so, and keeps what was known until it ends."""
        odd_job(odd)
        polls = bk.watch([odd.appliance()], history, every=0.001, limits=QUICK, clock=clock)
        assert next(polls)["detail"].isna().all()
        stored = len(history.observations())
        odd_job(odd, state=None)
        [row] = next(polls).to_dict("records")
        assert row["detail"] == "job one could not be read: state is null"
        assert (row["state"], row["progress"]) == ("INPROGRESS", 40)
        assert len(history.observations()) == stored
        clock.advance(minutes=1)
        odd_job(odd, progress=50, start_time=None)
        [row] = next(polls).to_dict("records")
        assert (row["progress"], row["start_time"]) == (50, pd.Timestamp("2026-11-09T05:00Z"))
        clock.advance(minutes=1)
        odd_job(odd, state="SUCCEEDED", end_time="2026-11-09T06:00:00Z")
        odd.respond(f"{LIST}/details", json.dumps({"one": {**RUNS, "status": None}}).encode())
        [last] = polls
        assert last["state"].to_list() == ["SUCCEEDED"]
        assert history.jobs()["outcome"].to_list() == ["success"]

    def test_stall(self, odd: OddServer, history: bk.History, clock: Clock) -> None:
        """A job without progress for more than 10 minutes is stalled, until it continues."""
        odd_job(odd)
        polls = bk.watch([odd.appliance()], history, every=0.001, limits=QUICK, clock=clock)
        stalled = [bool(next(polls)["stalled"].iloc[0])]
        for minutes in (9, 2):
            clock.advance(minutes=minutes)
            stalled.append(bool(next(polls)["stalled"].iloc[0]))
        odd_job(odd, progress=41)
        stalled.append(bool(next(polls)["stalled"].iloc[0]))
        assert stalled == [False, False, True, False]
        odd_job(odd, state="FAILED", end_time="2026-11-09T06:11:00Z")
        odd.respond(f"{LIST}/details", b"", 404)
        [last] = polls
        assert last["state"].to_list() == ["FAILED"]
        assert last["elapsed"].to_list() == [pd.Timedelta(minutes=71)]

    def test_newest_message(self, odd: OddServer, history: bk.History, clock: Clock) -> None:
        """The newest message of a job is shown; a message alone is not stored."""
        odd_job(odd)
        polls = bk.watch([odd.appliance()], history, every=0.001, limits=QUICK, clock=clock)
        shown = [next(polls)["message"].isna().iloc[0]]
        stored = len(history.observations())
        texts = [
            {
                "id": "a.b",
                "default_message": "Copying %s",
                "args": ["seat"],
                "localized": "Copying",
            },
            {"id": "a.c", "default_message": "Copied"},
            {"id": "a.d"},
            {},
        ]
        for count in range(1, 5):
            odd_job(odd, messages=texts[:count])
            shown.append(next(polls)["message"].iloc[0])
        assert shown[:4] == [True, "Copying", "Copied", "a.d"]
        assert pd.isna(shown[4])
        assert len(history.observations()) == stored
        polls.close()

    def test_vanished(self, odd: OddServer, history: bk.History, clock: Clock) -> None:
        """A job that is no longer listed is named, and is not followed any more."""
        odd_job(odd)
        polls = bk.watch([odd.appliance()], history, every=0.001, limits=QUICK, clock=clock)
        next(polls)
        odd.respond(f"{LIST}/one", b"", 404)
        [last] = polls
        assert last["detail"].to_list() == ["vc-odd no longer lists this job."]

    def test_missing_in_details(self, odd: OddServer, history: bk.History, clock: Clock) -> None:
        """An ended job has ended also if the details lack it; without a start no time is known."""
        odd_job(odd)
        pending = {**RUNS, "status": "PENDING"}
        del pending["start_time"], pending["progress"]
        odd.respond(f"{LIST}/details", json.dumps({"one": pending}).encode())
        polls = bk.watch([odd.appliance()], history, every=0.001, limits=QUICK, clock=clock)
        first = next(polls)
        assert first[["elapsed", "time_left"]].isna().all(axis=None)
        odd_job(odd, state="SUCCEEDED", end_time="2026-11-09T05:30:00Z")
        odd.respond(f"{LIST}/details", b"{}")
        assert next(polls)["state"].to_list() == ["SUCCEEDED"]

    def test_stopped_collection(self, running: Simulated, history: bk.History) -> None:
        """Ctrl-C in the first collection ends the watch, and what was read by then is stored."""
        running.appliances.set_faults([Fault("silence", 1.0, "vc-ham-01", "details")])

        def press() -> None:
            logged_out = "DELETE /api/session"
            wait_until(lambda: _count(running, logged_out) >= 5)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        thread = threading.Thread(target=press)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            next(bk.watch(running.fleet, history, limits=replace(QUICK, read=60), clock=Clock()))
        thread.join()
        polls = history.polls().set_index("appliance")["ok"]
        assert polls.sum() >= 5
        assert pd.isna(polls["vc-ham-01"])
        assert running.appliances.open_sessions == 0

    def test_late_appliance(
        self,
        running: Simulated,
        history: bk.History,
        clock: Clock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A silent appliance delays neither the first look nor the next ones, and is named."""
        monkeypatch.setattr(watcher, "FIRST_LOOK_TIMEOUT", 1.0)
        running.appliances.set_faults([Fault("silence", 1.0, "vc-ham-01", "data")])
        limits = replace(QUICK, read=60, silence=60, response=60, deadline=90)
        polls = bk.watch(running.fleet, history, every=0.01, limits=limits, clock=clock)
        began = time.monotonic()
        with pytest.warns(BackupkitWarning, match="Not read yet: .*vc-ham-01"):
            looks = [next(polls)]
        while len(looks[-1]) == 0 and time.monotonic() < began + 30:  # this machine may be slow
            looks = [next(polls)]
        clock.advance(minutes=1)
        looks.append(next(polls))
        while looks[-1]["progress"].equals(looks[0]["progress"]) and time.monotonic() < began + 30:
            looks.append(next(polls))
        assert time.monotonic() - began < 40  # the silent appliance takes 60 s
        polls.close()  # type: ignore[attr-defined] # it is a generator
        assert looks[-1]["progress"].iloc[0] > looks[0]["progress"].iloc[0]
        assert history.polls(appliances=["vc-ham-01"])["error"].to_list() == ["stopped"]
        assert running.appliances.open_sessions == 0

    def test_late_job(
        self, odd: OddServer, history: bk.History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The row of an appliance that does not respond says since when."""
        odd_job(odd)
        monkeypatch.setattr(watcher, "LOOK_TIMEOUT", 0.1)
        polls = bk.watch([odd.appliance()], history, every=0.001, limits=QUICK, clock=Clock())
        first = next(polls)["detail"].isna().all()
        answers, respond = Event(), odd.responses.get

        class Slow(dict[str, Any]):
            def get(self, path: str, default: Any = None) -> Any:  # noqa: ANN401 # as dict has it
                answers.wait(QUICK.connect)
                return respond(path, default)

        odd.responses = Slow()
        second = next(polls)["detail"].to_list()
        answers.set()
        until = time.monotonic() + 20
        while not (third := next(polls)["detail"].isna().all()) and time.monotonic() < until:
            pass
        polls.close()  # type: ignore[attr-defined] # it is a generator
        assert first
        assert second == ["no response since 06:00:00 UTC"]
        assert third


def test_unread_fleet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says that no appliance could be read, not only that no job runs."""
    monkeypatch.setenv("VCSA_PASSWORD", "x")
    fleet = tmp_path / "fleet.toml"
    source = '{ env = "VCSA_PASSWORD" }'
    fleet.write_text(
        f'[[appliance]]\nname = "vc-1"\nhost = "127.0.0.1:1"\nuser = "u@v"\npassword = {source}\n'
    )
    assert main(["watch", "--fleet", str(fleet), "--history", str(tmp_path / "h.db")]) == 0
    assert "None of 1 appliances could be read (unreachable)." in capsys.readouterr().err


class TestEstimates:
    """Expected remaining time, compared with results by hand."""

    @pytest.mark.parametrize(
        ("elapsed", "progress", "typical", "expected"),
        [
            (12, 50, 20, 10),  # 12 at its pace, 8 as usual: half of each
            (0, 0, 20, 20),  # no progress: as long as usual
            (5, None, 20, 15),
            (30, None, 20, 0),  # longer than usual, and no pace to go by
            (60, 50, 20, 30),  # longer than usual: half of 60 at its pace
            (10, 20, None, 40),
            (10, 4, None, None),  # too early for a pace
            (10, None, None, None),
            (20, 100, 20, 0),
            (20, 250, 20, 0),  # an invalid progress counts as done
        ],
    )
    def test_time_left(
        self, elapsed: int, progress: float | None, typical: int | None, expected: int | None
    ) -> None:
        """The job's own pace and earlier runs are weighted by progress."""
        usual = None if typical is None else timedelta(minutes=typical)
        left = time_left(timedelta(minutes=elapsed), progress, usual)
        assert left == (None if expected is None else timedelta(minutes=expected))

    def test_typical_duration(self) -> None:
        """Only the newest ten successes count."""
        runs = [timedelta(hours=9)] * 5 + [timedelta(minutes=10)] * 10
        assert typical_duration(runs) == timedelta(minutes=10)
        assert typical_duration([]) is None

    def test_is_stalled(self) -> None:
        """The time without progress after which a job is stalled grows with its typical time."""
        assert not is_stalled(timedelta(minutes=10), None)
        assert is_stalled(timedelta(minutes=10, seconds=1), None)
        assert not is_stalled(timedelta(minutes=59), timedelta(hours=10))
        assert is_stalled(timedelta(minutes=61), timedelta(hours=10))


def running_job(**changes: object) -> pd.DataFrame:
    """Return RUNNING with one job."""
    row = {
        "appliance": "vc-1",
        "job_id": "one",
        "state": "INPROGRESS",
        "progress": 40.0,
        "elapsed": timedelta(minutes=80),
        "time_left": timedelta(minutes=3, seconds=4),
        "stalled": False,
        **changes,
    }
    return RUNNING.frame({name: [value] for name, value in row.items()})


class TestDisplay:
    """Progress in a terminal and in a log."""

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, "40 %, about 3 min 4 s left"),
            ({"time_left": None}, "40 %"),
            ({"progress": None, "time_left": None}, "INPROGRESS"),
            ({"stalled": True}, "40 %, stalled, about 3 min 4 s left"),
            ({"detail": "gone\x1b[2J"}, "gone [2J"),
            ({"state": "SUCCEEDED"}, "succeeded after 1 h 20 min"),
            ({"state": "FAILED", "elapsed": None}, "FAILED after an unknown time"),
        ],
    )
    def test_lines(
        self, changes: dict[str, object], expected: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """In a log each change is a line."""
        with make_display() as display:
            display.show(running_job(**changes))
            display.show(running_job(**changes))
        assert capsys.readouterr().err == f"vc-1 one: {expected}\n"

    def test_bars(self, capsys: pytest.CaptureFixture[str]) -> None:
        """In a terminal each job has a bar; braces in a message are no format."""
        with BarDisplay() as display:
            display.show(running_job(progress=None))
            display.show(running_job(detail="{x}", progress=100.0))
        drawn = capsys.readouterr().err
        assert "vc-1 one |████████████████████████| {x}" in drawn

    def test_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only a terminal has bars."""
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        assert isinstance(make_display(), BarDisplay)

    def test_summary(self) -> None:
        """The last sentence counts the outcomes."""
        states = ("SUCCEEDED", "FAILED", "SUCCEEDED")
        ended = pd.concat([running_job(state=state) for state in states])
        text = format_summary(RUNNING.conform(ended))
        assert text == "All jobs have ended: 2 succeeded, 1 FAILED."


class TestCommand:
    """``backupkit watch``."""

    def test_nothing_runs(
        self, odd: OddServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The command reports that nothing runs, with exit code 0."""
        odd.serve_api()
        assert main(self.argv(odd, tmp_path, "--json")) == 0
        out, err = capsys.readouterr()
        assert json.loads(out) == []
        assert err == "No job is running.\n"

    def test_no_appliance(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A fleet without appliances is an error."""
        fleet = tmp_path / "empty.toml"
        fleet.write_text("")
        assert main(["watch", "--fleet", str(fleet), "--history", str(tmp_path / "h.db")]) == 1
        assert "no appliance to poll" in capsys.readouterr().err

    def test_ctrl_c(self, odd: OddServer, tmp_path: Path) -> None:
        """Ctrl-C closes the session, stores what was read, and returns exit code 130."""
        odd_job(odd)
        argv = [sys.executable, "-m", "backupkit", *self.argv(odd, tmp_path, "--every", "0.05s")]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert "vc-odd one: 40 %" in process.stderr.readline()
            while ("GET", "/api/appliance/recovery/backup/job/one") not in [
                seen[:2] for seen in odd.seen
            ]:
                pass
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
            assert process.stderr.read().endswith("Stopped.\n")
        methods = [seen[0] for seen in odd.seen if seen[1] == "/api/session"]
        assert methods == ["POST", "DELETE", "POST", "DELETE"]
        assert len(bk.History(tmp_path / "h.db").jobs()) == 1

    def argv(self, odd: OddServer, folder: Path, *more: str) -> list[str]:
        """Return the arguments of the command for the server."""
        fleet = folder / "odd.toml"
        fleet.write_text(
            f'[[appliance]]\nname = "vc-odd"\nhost = "{odd.host}"\nuser = "u"\n'
            f'password = {{ env = "VCSA_PASSWORD" }}\nca_bundle = "{odd.ca_bundle.name}"\n'
        )
        return ["watch", "--fleet", str(fleet), "--history", str(folder / "h.db"), *more]
