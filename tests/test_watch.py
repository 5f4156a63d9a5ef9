"""Follow running jobs: what is told, what is kept, and how it ends."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pandas as pd
import pytest

import backupkit as bk
from backupkit import wire
from backupkit.cli import main
from backupkit.cli.commands.watch import BarDisplay, make_display, summary
from backupkit.collection.followed_jobs import FollowedAppliance
from backupkit.collection.watcher import Watch
from backupkit.simulator import Scenario
from backupkit.tables import RUNNING
from backupkit.tables.estimates import is_stalled, time_left, typical_duration
from tests.conftest import EPOCH, QUICK, OddServer, Simulated, simulated

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


@dataclass
class Clock:
    """A clock that the test sets."""

    now: datetime = field(default=EPOCH)

    def __call__(self) -> datetime:
        """Give the present."""
        return self.now

    def goes_on(self, **span: float) -> None:
        """Move it forward."""
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    """Start at the story's epoch."""
    return Clock()


@pytest.fixture
def running(tmp_path: Path, clock: Clock) -> Iterator[Simulated]:
    """Run the demo, in which one job runs at the epoch, by the test's clock."""
    with simulated(Scenario.demo(seed=1, epoch=EPOCH), tmp_path, clock=clock) as fleet:
        yield fleet


@pytest.fixture
def history(tmp_path: Path) -> bk.History:
    """Give an empty history."""
    return bk.History(tmp_path / "history.db")


def odd_job(odd: OddServer, **changes: object) -> None:
    """Let the odd server have one job, by details and alone."""
    odd.serve_api()
    odd.respond(LIST, b'["one"]')
    odd.respond(f"{LIST}/details", json.dumps({"one": RUNS}).encode())
    odd.respond(f"{LIST}/one", json.dumps({**STATUS, **changes}).encode())


class TestFollow:
    """A job is followed to its end."""

    def test_to_the_end(self, running: Simulated, history: bk.History, clock: Clock) -> None:
        """Each look tells more, each change is kept, and the end is told whole."""
        looks = []
        for look in bk.watch(running.fleet, history, every=0.001, limits=QUICK, clock=clock):
            RUNNING.check(look)
            looks.append(look.iloc[0])
            assert running.appliances.open_sessions == (len(looks) > 1)
            clock.goes_on(minutes=3)
        assert running.appliances.open_sessions == 0
        frame = pd.DataFrame(looks)
        assert set(frame["appliance"]) == {"vc-ham-04"}
        assert frame["progress"].is_monotonic_increasing
        assert frame["time_left"].is_monotonic_decreasing
        assert frame["state"].to_list()[-2:] == ["INPROGRESS", "SUCCEEDED"]
        assert not frame["stalled"].any()
        last = frame.iloc[-1]
        assert last["elapsed"] == last["end_time"] - last["start_time"]
        kept = history.observations(appliances=["vc-ham-04"])
        kept = kept[kept["job_id"] == last["job_id"]]
        assert kept["progress"].to_list() == frame["progress"].to_list()
        [job] = history.jobs().query("job_id == @last['job_id']").to_dict("records")
        assert (job["outcome"], job["type"]) == ("success", "MANUAL")
        assert job["size"] > 0  # job/{id} does not tell it: details were asked at the end

    def test_one_request_a_look(
        self, running: Simulated, history: bk.History, clock: Clock
    ) -> None:
        """A look costs one request for each job, within one session."""
        looks = bk.watch(running.fleet, history, every=0.001, limits=QUICK, clock=clock)
        next(looks)
        next(looks)
        running.appliances.clear_requests()
        next(looks)
        assert [one.path.rpartition("/")[0] for one in running.appliances.requests] == [
            "/api/appliance/recovery/backup/job"
        ]
        looks.close()  # type: ignore[attr-defined] # it is a generator
        assert running.appliances.open_sessions == 0

    def test_watching_is_no_visit(
        self, running: Simulated, history: bk.History, clock: Clock
    ) -> None:
        """Following one job is not taken for a look at the whole appliance."""
        for _ in bk.watch(running.fleet, history, every=0.001, limits=QUICK, clock=clock):
            clock.goes_on(minutes=5)
        polls = history.polls(appliances=["vc-ham-04"])
        assert polls["ok"].to_list()[0]
        assert polls["ok"].iloc[1:].isna().all()

    def test_nothing_runs(self, odd: OddServer, history: bk.History) -> None:
        """Where nothing runs, one empty frame says so."""
        odd.serve_api()
        [look] = bk.watch([odd.appliance()], history, limits=QUICK)
        assert RUNNING.check(look).empty

    def test_away_for_a_while(self, running: Simulated, history: bk.History, clock: Clock) -> None:
        """An appliance that does not answer is asked again, and the watch goes on."""
        details = []
        for look in bk.watch(running.fleet, history, every=0.001, limits=QUICK, clock=clock):
            details.append(look["detail"].isna().all())
            if len(details) == 2:
                running.appliances.stop("vc-ham-04")
            if len(details) in (3, 4):
                assert "refused the connection" in look["detail"].iloc[0]
            if len(details) == 4:
                running.appliances.start("vc-ham-04")
            clock.goes_on(minutes=2)
        assert details[:5] == [True, True, False, False, True]
        assert history.jobs(appliances=["vc-ham-04"])["outcome"].ne("open").all()

    def test_still_being_asked(
        self, odd: OddServer, history: bk.History, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who has not answered yet is not forgotten; what is over is, once all have answered."""
        odd_job(odd)
        answers, look = Event(), FollowedAppliance.poll

        def late(one: FollowedAppliance) -> list[wire.Job]:
            answers.wait(QUICK.connect)
            return look(one)

        later = clock.now + timedelta(days=1)
        with Watch([odd.appliance()], history, limits=QUICK, clock=clock) as watch:
            watch.ingest(watch.collect())
            odd_job(odd, state="SUCCEEDED", end_time="2026-11-09T05:30:00Z")
            odd.respond(f"{LIST}/details", b"{}")
            monkeypatch.setattr(FollowedAppliance, "poll", late)
            watch.poll(timeout=0)
            watch.forget(later)
            assert watch.running()["state"].to_list() == ["INPROGRESS"]
            answers.set()
            watch.poll()
            assert watch.running()["state"].to_list() == ["SUCCEEDED"]
            watch.forget(later)
            assert watch.running().empty

    def test_stall(self, odd: OddServer, history: bk.History, clock: Clock) -> None:
        """A job that does not move for more than 10 minutes is called stalled, until it moves."""
        odd_job(odd)
        looks = bk.watch([odd.appliance()], history, every=0.001, limits=QUICK, clock=clock)
        stalled = [bool(next(looks)["stalled"].iloc[0])]
        for minutes in (9, 2):
            clock.goes_on(minutes=minutes)
            stalled.append(bool(next(looks)["stalled"].iloc[0]))
        odd_job(odd, progress=41)
        stalled.append(bool(next(looks)["stalled"].iloc[0]))
        assert stalled == [False, False, True, False]
        odd_job(odd, state="FAILED", end_time="2026-11-09T06:11:00Z")
        odd.respond(f"{LIST}/details", b"", 404)
        [last] = looks
        assert last["state"].to_list() == ["FAILED"]
        assert last["elapsed"].to_list() == [pd.Timedelta(minutes=71)]

    def test_last_words(self, odd: OddServer, history: bk.History, clock: Clock) -> None:
        """The newest message of a job is told as soon as it is there; alone it is not kept."""
        odd_job(odd)
        looks = bk.watch([odd.appliance()], history, every=0.001, limits=QUICK, clock=clock)
        said = [next(looks)["message"].isna().iloc[0]]
        kept = len(history.observations())
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
            said.append(next(looks)["message"].iloc[0])
        assert said[:4] == [True, "Copying", "Copied", "a.d"]
        assert pd.isna(said[4])
        assert len(history.observations()) == kept
        looks.close()

    def test_vanished(self, odd: OddServer, history: bk.History, clock: Clock) -> None:
        """A job that is no longer there ends the watch of it, and is said so."""
        odd_job(odd)
        looks = bk.watch([odd.appliance()], history, every=0.001, limits=QUICK, clock=clock)
        next(looks)
        odd.respond(f"{LIST}/one", b"", 404)
        [last] = looks
        assert last["detail"].to_list() == ["vc-odd no longer lists this job."]

    def test_details_do_not_know_it(
        self, odd: OddServer, history: bk.History, clock: Clock
    ) -> None:
        """A job that ended counts as ended even if details leave it out; no start, no elapsed."""
        odd_job(odd)
        pending = {**RUNS, "status": "PENDING"}
        del pending["start_time"], pending["progress"]
        odd.respond(f"{LIST}/details", json.dumps({"one": pending}).encode())
        looks = bk.watch([odd.appliance()], history, every=0.001, limits=QUICK, clock=clock)
        first = next(looks)
        assert first[["elapsed", "time_left"]].isna().all(axis=None)
        odd_job(odd, state="SUCCEEDED", end_time="2026-11-09T05:30:00Z")
        odd.respond(f"{LIST}/details", b"{}")
        assert next(looks)["state"].to_list() == ["SUCCEEDED"]

    def test_stopped_in_the_first_round(
        self, odd: OddServer, history: bk.History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ctrl-C in the first round ends the watch, and what was read is kept."""
        odd.serve_api()
        real = bk.collect

        def stopped(*args: Any, **kwargs: Any) -> bk.Snapshot:  # noqa: ANN401 # as collect has it
            return replace(real(*args, **kwargs), stopped=True)

        monkeypatch.setattr(sys.modules["backupkit.collection.watcher"], "collect", stopped)
        with pytest.raises(KeyboardInterrupt):
            next(bk.watch([odd.appliance()], history, limits=QUICK))
        assert len(history.polls()) == 1


class TestEstimates:
    """How long it will still take, worked out by hand."""

    @pytest.mark.parametrize(
        ("elapsed", "progress", "typical", "expected"),
        [
            (12, 50, 20, 10),  # 12 at its pace, 8 as usual: half of each
            (0, 0, 20, 20),  # nothing done: as long as usual
            (5, None, 20, 15),
            (30, None, 20, 0),  # longer than usual, and no pace to go by
            (60, 50, 20, 30),  # longer than usual: half of 60 at its pace
            (10, 20, None, 40),
            (10, 4, None, None),  # too early to tell a pace
            (10, None, None, None),
            (20, 100, 20, 0),
            (20, 250, 20, 0),  # nonsense counts as done
        ],
    )
    def test_time_left(
        self, elapsed: int, progress: float | None, typical: int | None, expected: int | None
    ) -> None:
        """Its own pace and earlier runs are mixed by how far the job is."""
        usual = None if typical is None else timedelta(minutes=typical)
        left = time_left(timedelta(minutes=elapsed), progress, usual)
        assert left == (None if expected is None else timedelta(minutes=expected))

    def test_typical_is_of_the_newest(self) -> None:
        """Only the newest ten successes count."""
        runs = [timedelta(hours=9)] * 5 + [timedelta(minutes=10)] * 10
        assert typical_duration(runs) == timedelta(minutes=10)
        assert typical_duration([]) is None

    def test_stall_grows_with_the_run(self) -> None:
        """A long backup moves a percent seldom."""
        assert not is_stalled(timedelta(minutes=10), None)
        assert is_stalled(timedelta(minutes=10, seconds=1), None)
        assert not is_stalled(timedelta(minutes=59), timedelta(hours=10))
        assert is_stalled(timedelta(minutes=61), timedelta(hours=10))


def look(**changes: object) -> pd.DataFrame:
    """Give one look at one job."""
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


class TestShown:
    """What a person reads."""

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
        """In a log each change is a line, and what is the same is not repeated."""
        with make_display() as shown:
            shown.show(look(**changes))
            shown.show(look(**changes))
        assert capsys.readouterr().err == f"vc-1 one: {expected}\n"

    def test_bars(self, capsys: pytest.CaptureFixture[str]) -> None:
        """In a terminal each job has a bar; braces of an appliance are no format."""
        with BarDisplay() as shown:
            shown.show(look(progress=None))
            shown.show(look(detail="{x}", progress=100.0))
        drawn = capsys.readouterr().err
        assert "vc-1 one |████████████████████████| {x}" in drawn

    def test_suited_to_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Bars are for terminals."""
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        assert isinstance(make_display(), BarDisplay)

    def test_summary(self) -> None:
        """The last sentence counts how all ended."""
        ended = pd.concat([look(state="SUCCEEDED"), look(state="FAILED"), look(state="SUCCEEDED")])
        text = summary(RUNNING.conform(ended))
        assert text == "All jobs have ended: 2 succeeded, 1 FAILED."


class TestCommand:
    """``backupkit watch``."""

    def test_nothing_runs(
        self, odd: OddServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It says that nothing runs, and that is fine."""
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
        """Ctrl-C leaves cleanly: logged out, what was seen is kept, exit code 130."""
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
        """Give the command's arguments, for the odd server."""
        fleet = folder / "odd.toml"
        fleet.write_text(
            f'[[appliance]]\nname = "vc-odd"\nhost = "{odd.host}"\nuser = "u"\n'
            f'password = {{ env = "VCSA_PASSWORD" }}\nca_bundle = "{odd.ca_bundle.name}"\n'
        )
        return ["watch", "--fleet", str(fleet), "--history", str(folder / "h.db"), *more]
