"""The watcher with simulated appliances, without a browser."""

import gc
import json
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import html5lib
import ipywidgets
import pandas as pd
import pytest

import backupkit as bk
from backupkit.errors import CredentialError, HistoryError
from backupkit.simulator import Scenario
from backupkit.tables import ERRORS, RUNNING
from backupkit.widgets import Watcher, watch
from backupkit.widgets.bars import State, render_bars
from tests.conftest import EPOCH, QUICK, OddServer, Simulated, simulated
from tests.widgets.conftest import find

NOW = pd.Timestamp("2026-11-09T06:00:00Z")
EVIL = "<script>alert(1)</script> $x^2$ \x1b[31mred"


@dataclass
class Clock:
    """A clock that the test sets."""

    now: datetime = field(default=EPOCH)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def goes_on(self, **span: float) -> None:
        """Move the clock forward."""
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that starts at the epoch of the simulation."""
    return Clock()


@pytest.fixture
def running(tmp_path: Path, clock: Clock) -> Iterator[Simulated]:
    """Run the demo, in which one job runs at the epoch, with the test's clock."""
    with simulated(Scenario.demo(seed=1, epoch=EPOCH), tmp_path, clock=clock) as fleet:
        yield fleet


@pytest.fixture
def history(tmp_path: Path) -> bk.History:
    """Return an empty history."""
    return bk.History(tmp_path / "history.db")


@pytest.fixture
def watcher(running: Simulated, history: bk.History, clock: Clock) -> Iterator[Watcher]:
    """Return a watcher of the demo that polls with short pauses."""
    with Watcher(
        running.fleet, history, every=0.01, find_every=0.05, limits=QUICK, clock=clock
    ) as one:
        yield one
    one.close()


def until(condition: Callable[[], object], *, seconds: float = 20.0) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def shown(watcher: Watcher) -> str:
    """Return the HTML for front ends without widgets, without its style."""
    return watcher._repr_html_().partition("</style>")[2]


def poll_of(**changes: object) -> pd.DataFrame:
    """Return one poll of one job."""
    row = {
        "appliance": "vc-1",
        "job_id": "one",
        "state": "INPROGRESS",
        "progress": 40.0,
        "observed_at": NOW,
        "changed_at": NOW,
        "elapsed": timedelta(minutes=80),
        "time_left": timedelta(minutes=3, seconds=4),
        "stalled": False,
        **changes,
    }
    return RUNNING.frame({name: [value] for name, value in row.items()})


def cells(frame: pd.DataFrame) -> list[list[str]]:
    """Return the table of some polls."""
    state = State(appliance_count=12, running=True, frame=frame, refreshed_at=NOW, collected_at=NOW)
    tree = html5lib.parse(render_bars(state), namespaceHTMLElements=False)
    return [["".join(cell.itertext()) for cell in row] for row in tree.findall(".//tbody/tr")]


class TestWatch:
    """Jobs are found, followed and removed."""

    def test_to_the_end_and_on(
        self, running: Simulated, history: bk.History, watcher: Watcher, clock: Clock
    ) -> None:
        """A job is followed to its end and then removed; a later job is found."""
        until(lambda: len(watcher.value) == 1)
        [job] = watcher.value.to_dict("records")
        assert job["appliance"] == "vc-ham-04"
        assert "1 job is running" in shown(watcher)
        assert "<progress max" in shown(watcher)
        clock.goes_on(hours=1)
        until(lambda: watcher.value["state"].to_list() == ["SUCCEEDED"])
        assert "✓ succeeded" in shown(watcher)
        assert "No job is running" in shown(watcher)
        clock.goes_on(minutes=2)
        until(lambda: watcher.value.empty)
        running.appliances["vc-ham-01"].create("by hand")
        until(lambda: "vc-ham-01" in watcher.value["appliance"].to_list())
        watcher.stop()
        assert running.appliances.open_sessions == 0
        assert not watcher.running
        assert "Stopped, as of" in shown(watcher)
        kept = history.jobs(appliances=["vc-ham-04"]).set_index("job_id").loc[job["job_id"]]
        assert kept["outcome"] == "success"

    def test_two_jobs_of_one_appliance(
        self, running: Simulated, watcher: Watcher, clock: Clock
    ) -> None:
        """Several jobs of one appliance are followed."""
        until(lambda: len(watcher.value) == 1)
        clock.goes_on(hours=1)
        until(lambda: watcher.value["state"].to_list() == ["SUCCEEDED"])
        running.appliances["vc-ham-04"].create("by hand")
        until(lambda: len(watcher.value) == 2)
        clock.goes_on(seconds=10)
        until(lambda: watcher.value["state"].to_list() == ["SUCCEEDED", "INPROGRESS"])

    def test_unreachable_for_some_time(self, running: Simulated, watcher: Watcher) -> None:
        """An unreachable appliance keeps its bar, with the reason, until it is back."""
        until(lambda: len(watcher.value) == 1)
        running.appliances.stop("vc-ham-04")
        until(lambda: watcher.value["detail"].notna().all())
        assert "refused the connection" in shown(watcher)
        running.appliances.start("vc-ham-04")
        until(lambda: watcher.value["detail"].isna().all())
        until(lambda: set(watcher.errors["appliance"]) == {"vc-tyo-03"})

    def test_no_appliance_answers(self, running: Simulated, watcher: Watcher) -> None:
        """A collection without any answer is shown, and the watcher continues."""
        until(lambda: watcher.refreshes > 0)
        for one in running.fleet:
            if one.name != "vc-tyo-03":  # one appliance is down from the beginning
                running.appliances.stop(one.name)
        until(lambda: len(watcher.errors) == 12)
        assert "12 of 12 appliances could not be read" in shown(watcher)
        assert "and 2 more" in shown(watcher)
        running.appliances.start("vc-ham-01")
        until(lambda: len(watcher.errors) == 11)

    def test_history_that_cannot_be_written(
        self, running: Simulated, history: bk.History, clock: Clock
    ) -> None:
        """An error is shown in a sentence, and removed after the next success."""
        broken = [True]

        class Full(bk.History):
            """A history on a disk that may be full."""

            def append(self, snapshot: Any) -> Any:  # noqa: ANN401 # as History has it
                if broken[0]:
                    raise HistoryError("no <space> left")
                return super().append(snapshot)

        full = Full(history.uri)
        with Watcher(
            running.fleet, full, every=0.01, find_every=0.01, limits=QUICK, clock=clock
        ) as watcher:
            until(lambda: "HistoryError: no &lt;space&gt; left" in shown(watcher))
            broken[0] = False
            until(lambda: "HistoryError" not in shown(watcher))
            until(lambda: len(watcher.value) == 1)
        watcher.close()


class TestStop:
    """Stopping takes little time and ends all sessions."""

    def test_while_it_sleeps(self, running: Simulated, history: bk.History, clock: Clock) -> None:
        """Stop does not wait for the next poll, even with pauses of an hour."""
        watcher = watch(
            running.fleet, history, every=3600, find_every=3600, limits=QUICK, clock=clock
        )
        until(lambda: watcher.refreshes == 1)
        watcher.stop()
        assert not watcher.running
        assert running.appliances.open_sessions == 0
        watcher.close()

    def test_during_a_collection(self, odd: OddServer, history: bk.History) -> None:
        """A collection that hangs at an appliance ends at once, and its session ends."""
        odd.serve_api()
        asked, go = threading.Event(), threading.Event()

        class Slow(dict[str, Any]):
            """Responses that delay one request."""

            def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 # as dict has it
                if key == "GET /api/appliance/recovery/backup/job":
                    asked.set()
                    go.wait(20)
                return super().get(key, default)

        odd.responses = Slow(odd.responses)
        watcher = watch([odd.appliance()], history, limits=QUICK)
        assert asked.wait(20)
        assert "Polling 1 appliance" in shown(watcher)
        watcher.stop()
        assert not watcher.running
        go.set()
        methods = [seen[0] for seen in odd.seen if seen[1] == "/api/session"]
        assert methods == ["POST", "DELETE"]
        watcher.close()

    def test_by_its_own_thread(self, running: Simulated, history: bk.History, clock: Clock) -> None:
        """A stop from the watcher's own thread does not wait for itself."""

        class Once(bk.History):
            """A history that stops the watcher after one collection."""

            def append(self, snapshot: Any) -> Any:  # noqa: ANN401 # as History has it
                one.stop()
                return super().append(snapshot)

        one = Watcher(running.fleet, Once(history.uri), limits=QUICK, clock=clock)
        one.start()
        until(lambda: not one.running)
        assert len(history.jobs()) > 0
        assert running.appliances.open_sessions == 0
        one.close()

    def test_buttons(self, running: Simulated, watcher: Watcher) -> None:
        """Only one of the buttons Stop and Start can be pressed."""
        start, stop = (find(watcher.box, description=word) for word in ("Start", "Stop"))
        until(lambda: watcher.refreshes > 0)
        assert (start.disabled, stop.disabled) == (True, False)
        stop.click()
        until(lambda: not watcher.running)
        assert (start.disabled, stop.disabled) == (False, True)
        assert running.appliances.open_sessions == 0
        start.click()
        watcher.start()  # no effect
        until(lambda: watcher.refreshes > 0)
        assert watcher.running

    def test_start_that_fails(
        self, odd: OddServer, history: bk.History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a password the caller gets the error, or the widget shows it."""
        monkeypatch.setattr("getpass.getpass", lambda _prompt: "")
        typed = bk.Appliance(
            name="vc-1",
            host=odd.host,
            user="u",
            password=bk.PasswordSource("prompt", "the fleet"),
        )
        watcher = Watcher([typed], history)
        with pytest.raises(CredentialError, match="none was typed"):
            watcher.start()
        find(watcher.box, description="Stop").click()
        find(watcher.box, description="Start").click()
        assert "none was typed" in shown(watcher)
        assert not watcher.running
        watcher.close()

    def test_no_widget_left(self, running: Simulated, history: bk.History, clock: Clock) -> None:
        """Polls create no widgets; closing removes all, with their layouts and styles."""
        known = ipywidgets.widgets.widget._instances
        before = set(known)
        watcher = watch(running.fleet, history, every=0.01, limits=QUICK, clock=clock)
        made = len(known)
        until(lambda: watcher.refreshes > 5)
        assert len(known) == made
        watcher.close()
        assert set(known) == before

    def test_without_a_reference(
        self, running: Simulated, history: bk.History, clock: Clock
    ) -> None:
        """A watcher without any reference stops and logs out."""
        watcher = watch(running.fleet, history, every=0.01, limits=QUICK, clock=clock)
        start, run, gone = watcher._start, watcher._thread, weakref.ref(watcher)
        until(lambda: running.appliances.open_sessions == 1)
        assert run is not None
        del watcher
        gc.collect()
        until(lambda: gone() is None)
        until(lambda: not run.is_alive())
        assert running.appliances.open_sessions == 0
        start.click()  # a button that is left on a page has no effect

    def test_end_of_the_interpreter(self, live_demo: Simulated, tmp_path: Path) -> None:
        """A kernel that ends while it watches does not hang, and logs out."""
        code = (
            "import sys, time, backupkit as bk\n"
            f"fleet = bk.Fleet.load({str(live_demo.path)!r})\n"
            f"watcher = bk.widgets.watch(fleet, bk.History({str(tmp_path / 'h')!r}), every=0.05)\n"
            "while not len(watcher.value): time.sleep(0.01)\n"
            "while watcher.refreshes < 3: time.sleep(0.01)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stderr == ""
        until(lambda: live_demo.appliances.open_sessions == 0)


class TestDisplay:
    """The display in a front end."""

    def test_widget_and_still(self, watcher: Watcher) -> None:
        """A front end without widgets gets the same bars as a page."""
        until(lambda: "vc-ham-04" in shown(watcher))
        bundle = watcher._repr_mimebundle_(include=None, exclude=None)
        model = bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
        assert model == watcher.box.model_id
        assert "vc-ham-04" in bundle["text/html"]
        json.dumps(bundle)

    def test_before_it_is_started(self, running: Simulated, history: bk.History) -> None:
        """A watcher that was never started shows that, and its Start button."""
        watcher = Watcher(running.fleet, history)
        assert "Not polled yet" in watcher._repr_mimebundle_()["text/html"]
        watcher.close()

    def test_a_cell_run_again(
        self, running: Simulated, history: bk.History, clock: Clock, watcher: Watcher
    ) -> None:
        """Another watcher of the same fleet and history stops the one before."""
        watcher._repr_mimebundle_()
        again = watch(running.fleet, history, every=0.01, limits=QUICK, clock=clock)
        again._repr_mimebundle_()
        until(lambda: not watcher.running)
        assert again.running
        again.close()

    def test_bar(self) -> None:
        """A running job has its progress, the time left and the time so far."""
        assert cells(poll_of(message="Copying")) == [
            ["vc-1", "one", "40 % 40 %", "about 3 min", "1 h 20 min", "Copying"]
        ]

    @pytest.mark.parametrize(
        ("changes", "column", "expected"),
        [
            ({"progress": None}, 2, " INPROGRESS"),
            ({"time_left": None}, 3, ""),
            ({"elapsed": None}, 4, ""),
            (
                {"stalled": True, "changed_at": NOW - pd.Timedelta(minutes=12)},
                5,
                "⚠ stalled: no progress for 12 min",
            ),
            ({"detail": "refused", "message": "Copying"}, 5, "refusedCopying"),
            ({"state": "SUCCEEDED", "time_left": timedelta(0)}, 2, "✓ succeeded"),
            ({"state": "SUCCEEDED", "time_left": timedelta(0)}, 3, ""),
            ({"state": "FAILED", "detail": "gone", "message": "Disk full"}, 2, "✕ FAILED"),
            ({"state": "FAILED", "detail": "gone", "message": "Disk full"}, 5, "Disk full"),
        ],
    )
    def test_cells(self, changes: dict[str, object], column: int, expected: str) -> None:
        """Missing values are left out; warnings come before messages."""
        assert cells(poll_of(**changes))[0][column] == expected

    def test_order(self) -> None:
        """Stalled and lost jobs come first, then the slowest, then the newest ended."""
        rows = [
            poll_of(appliance="ended", state="SUCCEEDED", time_left=timedelta(0), detail="x"),
            poll_of(appliance="quick"),
            poll_of(appliance="slow", time_left=timedelta(hours=3)),
            poll_of(appliance="unclear", time_left=None),
            poll_of(appliance="stalled", stalled=True),
            poll_of(appliance="lost", detail="refused"),
        ]
        names = [row[0] for row in cells(RUNNING.conform(pd.concat(rows, ignore_index=True)))]
        assert names == ["lost", "stalled", "unclear", "slow", "quick", "ended"]

    def test_many(self) -> None:
        """Of hundreds of jobs thirty are shown, and the others are counted."""
        rows = [poll_of(job_id=f"{n}", stalled=n == 7) for n in range(200)]
        frame = RUNNING.conform(pd.concat(rows, ignore_index=True))
        page = render_bars(
            State(appliance_count=9, running=True, frame=frame, refreshed_at=NOW, collected_at=NOW)
        )
        assert page.count("<tr>") == 31
        assert "and 170 more" in page
        assert "200 jobs are running, 1 stalled." in page
        times = "as of 2026-11-09 06:00:00 UTC, newest collection at 06:00:00 UTC"
        assert f"Watching, {times}." in page

    def test_errors(self) -> None:
        """A problem is shown in its full sentence."""
        errors = ERRORS.frame(
            {"appliance": ["vc-9"], "error": ["login"], "detail": ["Ask <Joe>."], "job_id": [None]}
        )
        page = render_bars(State(appliance_count=9, running=True, collected_at=NOW, errors=errors))
        unread = "1 of 9 appliances could not be read in the newest collection"
        assert f"No job is running; {unread}." in page
        assert "Ask &lt;Joe&gt;." in page

    def test_hostile_text_is_text(self) -> None:
        """Markup, mathematics and control characters of an appliance are text."""
        said = dict.fromkeys(("appliance", "job_id", "state", "detail", "message"), EVIL)
        frame = poll_of(progress=None, **said)
        page = render_bars(
            State(appliance_count=1, frame=frame, collected_at=NOW, messages=(EVIL,))
        )
        assert "<script" not in page
        assert "\x1b" not in page
        assert page.count("&lt;script&gt;") == 6

    def test_no_mathematics(self, watcher: Watcher) -> None:
        """The page does not treat dollar signs as mathematics."""
        assert 'class="bk mathjax_ignore tex2jax_ignore"' in watcher._repr_html_()
