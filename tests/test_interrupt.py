"""A collection that is stopped keeps what was read, and closes all sessions."""

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
from pathlib import Path
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
from tests.processes import wait_until

Serve = Callable[[Callable[[socket.socket], None]], str]


COLLECT = (sys.executable, "-m", "backupkit", "collect")


def steady_scenario(appliances: int = 12, jobs: int = 20, epoch: datetime = EPOCH) -> Scenario:
    """Return a scenario of equal appliances."""
    return Scenario.steady(appliances=appliances, jobs=jobs, seed=1, epoch=epoch, flavours=("api",))


@pytest.fixture
def steady(tmp_path: Path) -> Iterator[Simulated]:
    """Run twelve appliances with twenty jobs each, with a fixed clock."""
    with simulated(steady_scenario(), tmp_path) as running:
        yield running


def requests_to(simulation: Simulated, route: str) -> Counter[str]:
    """Count by appliance the requests with this method and last part of the path."""
    return Counter(
        one.appliance
        for one in simulation.appliances.requests
        if route == f"{one.method} {one.path.rpartition('/')[2]}"
    )


@contextmanager
def started(words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a process group of its own, as a terminal does."""
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
def ctrl_c(*conditions: Callable[[], bool]) -> Iterator[None]:
    """Send SIGINT to the main thread after each condition becomes true."""

    def press() -> None:
        for condition in conditions:
            wait_until(condition)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=press)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)


class TestCommand:
    """Signals to ``backupkit collect``."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signal(self, tmp_path: Path, number: signal.Signals) -> None:
        """Finished polls are stored, running polls log out, and the other polls never begin."""
        silent = [f"vc-{number:04d}" for number in range(5, 13)]
        place = tmp_path / "history.db"
        with simulated(steady_scenario(epoch=datetime.now(UTC)), tmp_path, clock=None) as steady:
            faults = [Fault("silence", 1, name, "details") for name in silent]
            steady.appliances.set_faults(faults)
            argv = [*COLLECT, "--fleet", str(steady.path), "--history", str(place)]
            with started([*argv, "--concurrency", "3"]) as process:
                wait_until(lambda: requests_to(steady, "DELETE session").total() == 4)
                busy = Counter(silent)
                wait_until(lambda: (requests_to(steady, "GET details") & busy).total() == 3)
                process.send_signal(number)
                _, err = process.communicate(timeout=30)  # the faults last for 60 s
            assert steady.appliances.open_sessions == 0
        assert "The collection was stopped: 4 of 12 appliances were read by then.\n" in err
        assert "Read 4 of 7 appliances: 140 jobs listed, 80 new, in " in err
        assert "vc-0005: the collection was stopped before reading the job details" in err
        history = bk.History(place, create=False)
        assert len(history.jobs()) == 80
        polls = history.polls().set_index("appliance").sort_index()
        assert polls.index.to_list() == [f"vc-{number:04d}" for number in range(1, 8)]
        assert polls["ok"].to_list() == [True] * 4 + [pd.NA] * 3
        assert polls["error"].to_list()[4:] == ["stopped"] * 3

    def test_slow_login(self, tmp_path: Path) -> None:
        """A login that was sent is awaited: its token is needed to log out."""
        scenario = steady_scenario(appliances=3, jobs=1, epoch=datetime.now(UTC))
        place = tmp_path / "history.db"
        with simulated(scenario, tmp_path, clock=None) as running:
            running.appliances.set_faults([Fault("slow", route="log-in", wait=2)])
            argv = [*COLLECT, "--json", "--fleet", str(running.path), "--history", str(place)]
            with started(argv) as process:
                wait_until(lambda: requests_to(running, "POST session").total() == 3)
                process.send_signal(signal.SIGTERM)
                out, err = process.communicate(timeout=30)
            assert running.appliances.open_sessions == 0
            assert requests_to(running, "DELETE session").total() == 3
        assert process.returncode == 130
        assert "The collection was stopped: 0 of 3 appliances were read by then.\n" in err
        result = json.loads(out)
        assert (result["read"], result["polled"], result["stopped"]) == (0, 3, True)
        assert {poll["ok"] for poll in result["polls"]} == {None}
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
    """Threads with an action before, or instead of, the third task."""

    def __init__(self, action: Callable[[], object], *, instead: bool) -> None:
        super().__init__(2)
        self._action, self._instead = action, instead
        self.tasks: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 # as Executor has it
        """Submit a task."""
        call = (fn, *args)
        if args[0].appliance.name == "vc-0003":
            if self._instead:
                call = (self._action,)
            else:
                self._action()
        self.tasks.append(super().submit(*call, **kwargs))
        return self.tasks[-1]


class TestCollect:
    """Ctrl-C during collect()."""

    def test_polls(self, steady: Simulated) -> None:
        """A finished poll is good, a running one is neither good nor failed, others have no row."""
        steady.appliances.set_faults([Fault("silence", 1, "vc-0003", "details")])
        limits = bk.Limits(concurrency=1, read=300)
        with (
            pytest.warns(
                BackupkitWarning, match="The collection was stopped: 2 of 12 appliances were"
            ),
            ctrl_c(lambda: requests_to(steady, "GET details")["vc-0003"] == 1),
        ):
            snapshot = bk.collect(steady.fleet, limits=limits, clock=epoch)
        assert snapshot.stopped
        assert repr(snapshot).endswith("40 jobs new or unfinished, stopped early")
        POLLS.check(snapshot.polls)
        assert snapshot.polls["appliance"].to_list() == ["vc-0001", "vc-0002", "vc-0003"]
        assert snapshot.polls["ok"].to_list() == [True, True, pd.NA]
        assert snapshot.errors["appliance"].to_list() == ["vc-0003"]
        assert snapshot.errors["error"].to_list() == ["stopped"]
        assert steady.appliances.open_sessions == 0

    def test_assessment(self, steady: Simulated, tmp_path: Path) -> None:
        """A stopped collection does not change the assessment."""
        history, policy = bk.History(tmp_path / "history.db"), bk.Policy.load(steady.path)
        history.append(bk.collect(steady.fleet, clock=epoch))
        now = EPOCH + timedelta(hours=2)
        before = bk.evaluate(history, policy, now=now, last="1d")
        steady.appliances.clear_requests()
        steady.appliances.set_faults([Fault("silence", 1, "vc-0001", "list")])
        with (
            pytest.warns(
                BackupkitWarning, match="The collection was stopped: 0 of 12 appliances were"
            ),
            ctrl_c(lambda: requests_to(steady, "GET job")["vc-0001"] == 1),
        ):
            stopped = bk.collect(
                steady.fleet,
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
        polls = alone.coverage.loc[["vc-0001"], ["polls", "polls_ok"]]
        assert polls.to_numpy().tolist() == [[0, 0]]
        assert alone.verdict.unknown == 12

    def test_tls_handshake(self, steady: Simulated, listener: Serve) -> None:
        """A server that accepts the connection and sends nothing does not block."""
        accepted = threading.Event()

        def ignore(connection: socket.socket) -> None:
            accepted.set()
            while connection.recv(99):
                pass

        mute = replace(steady.fleet["vc-0001"], host=listener(ignore))
        with (
            pytest.warns(
                BackupkitWarning, match="The collection was stopped: 0 of 1 appliances were"
            ),
            ctrl_c(accepted.is_set),
        ):
            snapshot = bk.collect([mute], limits=bk.Limits(connect=300))
        assert snapshot.polls["error"].to_list() == ["stopped"]

    def test_while_submitting(self, steady: Simulated) -> None:
        """Ctrl-C before all polls are submitted stops the submitted ones."""
        press = partial(signal.default_int_handler, signal.SIGINT, None)
        with (
            Interrupted(press, instead=False) as threads,
            pytest.warns(BackupkitWarning, match="The collection was stopped"),
        ):
            snapshot = bk.collect(steady.fleet, executor=threads, clock=epoch)
        assert snapshot.stopped
        assert set(snapshot.polls["appliance"]) <= {"vc-0001", "vc-0002"}
        assert steady.appliances.open_sessions == 0

    def test_twice(self, steady: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
        """A second Ctrl-C does not wait for running polls, and keeps the finished ones."""
        monkeypatch.setattr(collector, "SHUTDOWN_TIMEOUT", 300)
        free = threading.Event()
        with Interrupted(free.wait, instead=True) as threads, ExitStack() as stack:
            stack.callback(free.set)  # whatever happens
            with (
                pytest.warns(BackupkitWarning, match="stopped: 11 of 12 appliances were read"),
                ctrl_c(
                    lambda: sum(task.done() for task in threads.tasks) == 11,
                    lambda: any(state.stop.is_set() for state in LOCAL_STATES.values()),
                ),
            ):
                snapshot = bk.collect(steady.fleet, executor=threads, clock=epoch)
        assert len(snapshot.jobs) == 220
        assert "vc-0003" not in set(snapshot.polls["appliance"])

    def test_twice_at_once(self, steady: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
        """A second Ctrl-C may come while the first is handled."""
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
                ctrl_c(lambda: sum(task.done() for task in threads.tasks) == 11),
            ):
                snapshot = bk.collect(steady.fleet, executor=threads, clock=epoch)
        assert next(presses, "none") == "none"
        assert len(snapshot.jobs) == 220

    def test_process_group(self, steady: Simulated) -> None:
        """Ctrl-C that reaches the worker processes, too, is no failure of an appliance."""
        steady.appliances.set_faults(
            [Fault("silence", 1, name, "details") for name in ("vc-0002", "vc-0012")]
        )
        words = [sys.executable, "-W", "ignore", "-c", WORKERS, str(steady.path)]
        with started(words) as process:
            wait_until(lambda: requests_to(steady, "GET details").total() == 12)
            os.killpg(process.pid, signal.SIGINT)
            out, _ = process.communicate(timeout=30)
        stopped, *errors = out.split()
        assert stopped == "True"
        assert Counter(errors) == {"read": 10, "stopped": 2}
        assert steady.appliances.open_sessions == 0
