"""Stop a round in its middle: what was read is kept, and everybody is logged out."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from time import sleep
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import backupkit as bk
from backupkit.collection import collector
from backupkit.collection.local_state import LOCAL_STATES
from backupkit.errors import BackupkitWarning
from backupkit.simulator import Fault, Scenario
from backupkit.tables import POLLS
from tests.conftest import EPOCH, Simulated, epoch, simulated

Serve = Callable[[Callable[[socket.socket], None]], str]


COLLECT = (sys.executable, "-m", "backupkit", "collect")


@pytest.fixture
def still(tmp_path: Path) -> Iterator[Simulated]:
    """Run twelve appliances with twenty jobs each, by a clock that stands still."""
    scenario = Scenario.steady(appliances=12, jobs=20, seed=1, epoch=EPOCH, flavours=("api",))
    with simulated(scenario, tmp_path) as running:
        yield running


@pytest.fixture
def steady(tmp_path: Path) -> Iterator[Simulated]:
    """Run twelve appliances with twenty jobs each, by the machine's clock."""
    scenario = Scenario.steady(
        appliances=12, jobs=20, seed=1, epoch=datetime.now(UTC), flavours=("api",)
    )
    with simulated(scenario, tmp_path, clock=None) as running:
        yield running


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that comes soon."""
    looks = count()
    while not condition():
        assert next(looks) < 4000
        sleep(0.01)


def asked(simulation: Simulated, route: str) -> Counter[str]:
    """Count by appliance the requests so far whose method and last word are these."""
    return Counter(
        one.appliance
        for one in simulation.appliances.requests
        if route == f"{one.method} {one.path.rpartition('/')[2]}"
    )


@contextmanager
def started(words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a process of its own, as in a terminal of its own."""
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def ctrl_c(*moments: Callable[[], bool]) -> Iterator[None]:
    """Press Ctrl-C here each time something has come true."""

    def press() -> None:
        for moment in moments:
            wait_until(moment)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    hand = threading.Thread(target=press)
    hand.start()
    try:
        yield
    finally:
        hand.join()
        signal.signal(signal.SIGINT, before)


class TestCommand:
    """``backupkit collect``, stopped from outside."""

    @pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
    def test_in_the_middle(self, steady: Simulated, tmp_path: Path, word: signal.Signals) -> None:
        """Visits done are kept, visits under way say good-bye, and the others never begin."""
        silent = [f"vc-{number:04d}" for number in range(5, 13)]
        steady.appliances.set_faults([Fault("silence", 1, name, "details") for name in silent])
        place = tmp_path / "history.db"
        argv = [
            *COLLECT,
            "--fleet",
            str(steady.path),
            "--history",
            str(place),
            "--concurrency",
            "3",
        ]
        with started(argv) as process:
            wait_until(lambda: asked(steady, "DELETE session").total() == 4)
            wait_until(lambda: (asked(steady, "GET details") & Counter(silent)).total() == 3)
            process.send_signal(word)
            _, err = process.communicate(timeout=30)  # it would be silent for 60
        assert process.returncode == 130
        assert "The collection was stopped: 4 of 12 appliances were read by then.\n" in err
        assert "Read 4 of 7 appliances: 80 jobs listed, 80 new, in " in err
        assert "vc-0005: the collection was stopped before the job details" in err
        assert steady.appliances.open_sessions == 0
        history = bk.History(place, create=False)
        assert len(history.jobs()) == 80
        polls = history.polls().set_index("appliance").sort_index()
        assert polls.index.to_list() == [f"vc-{number:04d}" for number in range(1, 8)]
        assert polls["ok"].to_list() == [True] * 4 + [pd.NA] * 3
        assert polls["error"].to_list()[4:] == ["stopped"] * 3

    def test_slow_log_in(self, tmp_path: Path) -> None:
        """A log-in under way is heard out: without its token nobody could log out."""
        scenario = Scenario.steady(appliances=3, jobs=1, epoch=datetime.now(UTC), flavours=("api",))
        place = tmp_path / "history.db"
        with simulated(scenario, tmp_path, clock=None) as running:
            running.appliances.set_faults([Fault("slow", route="log-in", wait=2)])
            argv = [*COLLECT, "--json", "--fleet", str(running.path), "--history", str(place)]
            with started(argv) as process:
                wait_until(lambda: asked(running, "POST session").total() == 3)
                process.send_signal(signal.SIGTERM)
                out, err = process.communicate(timeout=30)
            assert running.appliances.open_sessions == 0
            assert asked(running, "DELETE session").total() == 3
        assert process.returncode == 130
        assert "The collection was stopped: 0 of 3 appliances were read by then.\n" in err
        told = json.loads(out)
        assert (told["read"], told["polled"], told["stopped"]) == (0, 3, True)
        assert {poll["ok"] for poll in told["polls"]} == {None}
        assert bk.History(place).jobs().empty


WORKERS = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import backupkit as bk

with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
    snapshot = bk.collect(bk.Fleet.load(sys.argv[1]), executor=pool)
    print(snapshot.stopped, *snapshot.polls["error"].fillna("read"))
"""


class Interrupted(ThreadPoolExecutor):
    """Threads, in whose way somebody comes as they get their third order."""

    def __init__(self, action: Callable[[], object], *, instead: bool) -> None:
        super().__init__(2)
        self._action, self._instead = action, instead
        self.orders: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 # as Executor has it
        """Hand an order on."""
        words = (fn, *args)
        if args[0].appliance.name == "vc-0003":
            if self._instead:
                words = (self._action,)
            else:
                self._action()
        self.orders.append(super().submit(*words, **kwargs))
        return self.orders[-1]


class TestHere:
    """collect(), stopped by Ctrl-C in this process."""

    def test_done_begun_and_neither(self, still: Simulated) -> None:
        """Visits done are good, one begun is neither good nor failed, the others have no row."""
        still.appliances.set_faults([Fault("silence", 1, "vc-0003", "details")])
        limits = bk.Limits(concurrency=1, read=300)
        with (
            pytest.warns(
                BackupkitWarning, match="The collection was stopped: 2 of 12 appliances were"
            ),
            ctrl_c(lambda: asked(still, "GET details")["vc-0003"] == 1),
        ):
            snapshot = bk.collect(still.fleet, limits=limits, clock=epoch)
        assert snapshot.stopped
        assert repr(snapshot).endswith("40 jobs new or unfinished, stopped early")
        POLLS.check(snapshot.polls)
        assert snapshot.polls["appliance"].to_list() == ["vc-0001", "vc-0002", "vc-0003"]
        assert snapshot.polls["ok"].to_list() == [True, True, pd.NA]
        assert snapshot.errors["appliance"].to_list() == ["vc-0003"]
        assert snapshot.errors["error"].to_list() == ["stopped"]
        assert still.appliances.open_sessions == 0

    def test_judged(self, still: Simulated, tmp_path: Path) -> None:
        """What was known before a round that was stopped is known after it, and no less."""
        history, policy = bk.History(tmp_path / "history.db"), bk.Policy.load(still.path)
        history.append(bk.collect(still.fleet, clock=epoch))
        now = EPOCH + timedelta(hours=2)
        before = bk.evaluate(history, policy, now=now, last="1d")
        still.appliances.set_faults([Fault("silence", 1, "vc-0001", "list")])
        with (
            pytest.warns(
                BackupkitWarning, match="The collection was stopped: 0 of 12 appliances were"
            ),
            ctrl_c(lambda: asked(still, "GET job")["vc-0001"] == 1),
        ):
            stopped = bk.collect(
                still.fleet,
                known=history,
                limits=bk.Limits(concurrency=1, read=300),
                clock=lambda: EPOCH + timedelta(hours=1),
            )
        assert history.append(stopped).polls == 1
        after = bk.evaluate(history, policy, now=now, last="1d")
        assert after.verdict == before.verdict
        assert after.verdict.unknown == 0
        assert_frame_equal(after.appliances, before.appliances)
        assert_frame_equal(after.coverage, before.coverage)
        alone = bk.evaluate(stopped, policy, now=now, last="1d")
        assert alone.coverage[["polls", "polls_ok"]].loc[["vc-0001"]].to_numpy().tolist() == [
            [0, 0]
        ]
        assert alone.verdict.unknown == 12

    def test_silent_at_the_handshake(self, still: Simulated, listener: Serve) -> None:
        """Who takes the connection and says nothing holds nobody up."""
        taken = threading.Event()

        def say_nothing(connection: socket.socket) -> None:
            taken.set()
            while connection.recv(99):
                pass

        mute = replace(still.fleet["vc-0001"], host=listener(say_nothing))
        with (
            pytest.warns(
                BackupkitWarning, match="The collection was stopped: 0 of 1 appliances were"
            ),
            ctrl_c(taken.is_set),
        ):
            snapshot = bk.collect([mute], limits=bk.Limits(connect=300))
        assert snapshot.polls["error"].to_list() == ["stopped"]

    def test_while_orders_are_given(self, still: Simulated) -> None:
        """Ctrl-C before all orders are given stops those that were."""
        press = partial(signal.default_int_handler, signal.SIGINT, None)
        with (
            Interrupted(press, instead=False) as threads,
            pytest.warns(BackupkitWarning, match="The collection was stopped"),
        ):
            snapshot = bk.collect(still.fleet, executor=threads, clock=epoch)
        assert snapshot.stopped
        assert set(snapshot.polls["appliance"]) <= {"vc-0001", "vc-0002"}
        assert still.appliances.open_sessions == 0

    def test_twice(self, still: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who presses again does not want to wait for good-byes, and loses nothing."""
        monkeypatch.setattr(collector, "SHUTDOWN_TIMEOUT", 300)
        free = threading.Event()
        with Interrupted(free.wait, instead=True) as threads, ExitStack() as stack:
            stack.callback(free.set)  # whatever happens
            with (
                pytest.warns(BackupkitWarning, match="stopped: 11 of 12 appliances were read"),
                ctrl_c(
                    lambda: sum(order.done() for order in threads.orders) == 11,
                    lambda: any(here.stop.is_set() for here in LOCAL_STATES.values()),
                ),
            ):
                snapshot = bk.collect(still.fleet, executor=threads, clock=epoch)
        assert len(snapshot.jobs) == 220
        assert "vc-0003" not in set(snapshot.polls["appliance"])

    def test_twice_in_a_row(self, still: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
        """The second one may come while the first is still being seen to."""
        presses = iter([None])

        def press(future: Future[Any]) -> bool:
            for _ in presses:
                signal.default_int_handler(signal.SIGINT, None)
            return cancel(future)

        cancel = Future.cancel
        monkeypatch.setattr(Future, "cancel", press)
        free = threading.Event()
        with Interrupted(free.wait, instead=True) as threads, ExitStack() as stack:
            stack.callback(free.set)
            with (
                pytest.warns(BackupkitWarning, match="stopped: 11 of 12 appliances were read"),
                ctrl_c(lambda: sum(order.done() for order in threads.orders) == 11),
            ):
                snapshot = bk.collect(still.fleet, executor=threads, clock=epoch)
        assert next(presses, "none") == "none"
        assert len(snapshot.jobs) == 220

    def test_workers_in_a_terminal(self, still: Simulated) -> None:
        """Ctrl-C in a terminal reaches worker processes as well: no appliance has failed."""
        still.appliances.set_faults(
            [Fault("silence", 1, name, "details") for name in ("vc-0002", "vc-0012")]
        )
        words = [sys.executable, "-W", "ignore", "-c", WORKERS, str(still.path)]
        with started(words) as process:
            wait_until(lambda: asked(still, "GET details").total() == 12)
            os.killpg(process.pid, signal.SIGINT)
            out, _ = process.communicate(timeout=30)
        said, *errors = out.split()
        assert said == "True"
        assert Counter(errors) == {"read": 10, "stopped": 2}
        assert still.appliances.open_sessions == 0
