"""Several processes append to one history; one is killed repeatedly, another reads."""

import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic, sleep

import pyarrow as pa
import pytest

from backupkit import Policy, evaluate
from backupkit.errors import HistoryError
from backupkit.history import History, postgresql, sqlite
from backupkit.history.arrow_reader import ArrowReader
from backupkit.history.postgresql import Postgres
from tests.collect_helpers import (
    ENDED,
    RUNNING,
    append_on_request,
    append_through_interrupts,
    check_consistent,
    complete_collections,
    count_collections,
    create,
    make_collection,
)
from tests.conftest import SEED, repeats
from tests.processes import (
    PROCESSES,
    TIMEOUT,
    WorkerProcesses,
    check_complete,
    wait_until,
    worker_processes,
)

KILLS = repeats(6, 100)
"""Number of kills or interrupts."""

SPAN = 0.3
"""The longest time between two interrupts [s]."""

PAUSE = 0.2
"""Pause of the other processes between two appends, so that the killed one has its turn [s]."""

VICTIM = "vc-victim"

BY_THREAD = 6
"""Collections that a thread appends while others read."""

HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print(flush=True)
time.sleep(float(sys.argv[2]))
"""
"""A program that locks a file for a time [s], as another one does that creates a history."""

FORK = """
import multiprocessing, sys, threading
from backupkit.history import History
from tests.collect_helpers import append_collections, make_collection

history = History(sys.argv[1])
history.append(make_collection("vc-parent", 0))
fork = multiprocessing.get_context("fork")
thread = threading.Thread(target=append_collections, args=(history, "vc-thread", 4))
thread.start()
children = [
    fork.Process(target=append_collections, args=(history, name, 2)) for name in ("vc-0", "vc-1")
]
for child in children:
    child.start()
history.append(make_collection("vc-parent", 1))
for child in children:
    child.join()
thread.join()
history.append(make_collection("vc-parent", 2))
sys.exit(any(child.exitcode for child in children))
"""

FORKED = 3 + 4 + 2 * 2
"""Collections that FORK appends."""


@pytest.fixture
def workers(target: str, tmp_path: Path) -> Iterator[WorkerProcesses]:
    """Return processes that are killed at the end."""
    with worker_processes(target, tmp_path) as running:
        yield running


def kill_repeatedly(workers: WorkerProcesses) -> None:
    """Start an appending process and kill it at a random time, repeatedly."""
    chance = random.Random(SEED)  # noqa: S311 # nothing secret
    notes, span = workers.acknowledged, 0.0
    for kill in range(KILLS):
        before = notes.collections(f"{VICTIM}:begun")
        victim = workers.append(VICTIM, 60 * kill)  # an hour later each time
        wait_until(lambda: notes.collections(f"{VICTIM}:begun") != before)  # noqa: B023
        begun = monotonic()
        if kill == 0:
            wait_until(lambda: bool(notes.collections(VICTIM)))
            span = 1.3 * (monotonic() - begun)
        sleep(chance.random() * span)
        workers.kill(victim)


@pytest.mark.long
class TestKilled:
    """SIGKILL to a process that appends."""

    def test_beside_others(self, workers: WorkerProcesses) -> None:
        """After kills each acknowledged collection is complete and stored once; others go on."""
        others = [*(workers.append(name, pause=PAUSE) for name in ("vc-a", "vc-b")), workers.read()]
        kill_repeatedly(workers)
        wait_until(lambda: len({name for name, _ in workers.acknowledged.collections()}) == 3)
        wait_until(lambda: len({name for name, _ in workers.reads.collections()}) == 2)
        assert all(process.is_alive() for process in others)
        workers.kill(*others)
        check_complete(workers)

    def test_alone(self, tmp_path: Path) -> None:
        """A single process that is killed loses nothing: each append writes the log to the file."""
        with worker_processes(str(tmp_path / "history.db"), tmp_path) as workers:
            kill_repeatedly(workers)
            check_complete(workers)


@pytest.mark.long
class TestInterrupted:
    """Ctrl-C and SIGTERM in the middle of an append."""

    def test_ctrl_c(self, workers: WorkerProcesses) -> None:
        """An interrupted append is stored completely or not at all, and the History goes on."""
        chance = random.Random(SEED)  # noqa: S311 # nothing secret
        notes = workers.acknowledged
        process = workers.start(append_through_interrupts, "vc-a", notes.path)
        wait_until(lambda: bool(notes.collections("begun")))
        while len(notes.collections("interrupted")) < KILLS:
            before = len(notes.collections("interrupted"))
            sleep(chance.random() * SPAN)
            os.kill(process.pid or 0, signal.SIGINT)
            # Python ignores one that comes during a finalizer
            deadline = monotonic() + TIMEOUT / 10
            while len(notes.collections("interrupted")) == before and monotonic() < deadline:
                sleep(0.005)
            assert process.is_alive()
        process.terminate()
        process.join()
        assert process.exitcode == -signal.SIGTERM
        history = History(workers.target)
        assert notes.collections("vc-a") <= complete_collections(history)
        assert history.verify().empty


class GrowingHistory:
    """A History to which another process appends a collection before each read of a table."""

    def __init__(self, target: str, requests: Connection) -> None:
        self.history = History(target)
        self._requests = requests
        self.collections = 0

    def append(self) -> None:
        """Request one more collection from the other process."""
        if self.collections:
            self._requests.send("one more")
        assert self._requests.poll(TIMEOUT)
        self.collections = self._requests.recv()


@pytest.fixture
def growing(workers: WorkerProcesses, monkeypatch: pytest.MonkeyPatch) -> GrowingHistory:
    """Return a history that grows before each read of a table."""
    ours, theirs = PROCESSES.Pipe()
    workers.start(append_on_request, "vc-a", theirs)
    growing, table = GrowingHistory(workers.target, ours), ArrowReader.table

    def append_and_read(reader: ArrowReader, query: str, types: Mapping[str, str]) -> pa.Table:
        if growing.collections < 5:
            growing.append()
        return table(reader, query, types)

    growing.append()
    monkeypatch.setattr(ArrowReader, "table", append_and_read)
    return growing


class TestConcurrentReads:
    """Reads see each poll completely or not at all."""

    def test_known(self, growing: GrowingHistory) -> None:
        """A view is of one moment."""
        known = check_consistent(growing.history.view())
        assert 1 <= known < growing.collections

    def test_evaluated(self, growing: GrowingHistory) -> None:
        """An evaluation has the jobs and schedules of the polls that it counts."""
        now = make_collection("vc-a", 1_000).polls["polled_at"][0]
        evaluated = evaluate(growing.history, Policy(), last="1d", now=now)
        [polls] = evaluated.coverage["polls"]
        assert 1 <= polls < growing.collections
        assert len(evaluated.jobs) == ENDED * polls + 1
        assert evaluated.schedules["hour"].to_list() == [polls]

    def test_merged(self, growing: GrowingHistory, tmp_path: Path) -> None:
        """A merge takes over complete collections."""
        other = History(tmp_path / "other.db")
        added = other.merge(growing.history.uri)
        assert 1 <= added.polls < growing.collections
        assert len(complete_collections(other)) == added.polls

    def test_backup(self, workers: WorkerProcesses, tmp_path: Path) -> None:
        """A backup during appends contains complete collections."""
        workers.append("vc-a")
        workers.append("vc-b")
        history = History(workers.target)
        for number in range(3):
            wait_until(lambda: len(workers.acknowledged.collections()) > 2 * number)  # noqa: B023
            before = workers.acknowledged.collections()
            copy = History(history.backup(tmp_path / f"{number}.db"), create=False)
            assert before <= complete_collections(copy)
            assert copy.verify().empty


class TestSameProcess:
    """Threads, forks and pickles."""

    def test_threads(self, workers: WorkerProcesses) -> None:
        """Threads append and read with one History while another process appends."""
        workers.append("vc-b")
        history = History(workers.target)
        done = threading.Event()

        def read() -> int:
            for number in count(1):
                check_consistent(history.view())
                count_collections(history)
                history.known_jobs("vc-a", [RUNNING])
                if done.is_set():
                    return number
            raise AssertionError  # pragma: no cover # count() does not end

        def append() -> None:
            for number in range(BY_THREAD):
                history.append(make_collection("vc-a", number))
                workers.acknowledged.add("vc-a", number)

        with ThreadPoolExecutor(4) as threads:
            readers = [threads.submit(read) for _ in range(3)]
            try:
                threads.submit(append).result()
            finally:
                done.set()
            assert all(reader.result() > 1 for reader in readers)
        wait_until(lambda: len(workers.acknowledged.collections("vc-b")) > 2)
        workers.kill()
        check_complete(workers)
        assert len(workers.acknowledged.collections("vc-a")) == BY_THREAD

    def test_created_by_several(self, target: str) -> None:
        """Several processes can create the same history concurrently."""
        processes = [PROCESSES.Process(target=create, args=(target,)) for _ in range(6)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * 6
        history = History(target, create=False)
        assert history.sql("SELECT head FROM history")["head"].to_list() == [""]
        assert history.verify().empty

    @pytest.mark.parametrize(("seconds", "patience"), [(0.5, 60.0), (60, 0.1)])
    def test_creation_waits(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, patience: float
    ) -> None:
        """A file that another process is making into a history is waited for, not forever."""
        monkeypatch.setattr("backupkit.history.databases.LOCK_TIMEOUT", patience)
        path = tmp_path / "history.db"
        words = [sys.executable, "-c", HOLD, str(path), str(seconds)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()
            try:
                if seconds < patience:
                    assert History(path).verify().empty
                else:
                    with pytest.raises(HistoryError, match="another program has locked it"):
                        History(path)
            finally:
                other.kill()

    def test_fork(self, target: str) -> None:
        """A forked process and its parent use the same History."""
        words = [sys.executable, "-W", "ignore", "-c", FORK, target]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert len(complete_collections(History(target))) == FORKED
        assert History(target).verify().empty

    def test_fork_waits(self, tmp_path: Path) -> None:
        """A fork waits until no thread has a file open."""
        histories = [History(tmp_path / f"{number}.db") for number in range(3)]
        histories[0].known_jobs("vc-a", [])  # keeps a connection
        reading, done = threading.Event(), threading.Event()

        def read() -> None:
            with histories[1]._database.read():
                reading.set()
                sleep(0.3)
                done.set()

        with ThreadPoolExecutor(1) as threads:
            reader = threads.submit(read)
            assert reading.wait(TIMEOUT)
            sqlite._acquire_all()
            assert done.is_set()
            sqlite._release_all()
            reader.result()
        for history in histories:
            history.append(make_collection("vc-a", 0))
            assert len(complete_collections(history)) == 1

    @pytest.mark.parametrize("place", ["postgresql"], indirect=True)
    def test_fork_with_a_connection(self, target: str) -> None:
        """A forked child does not wait for locks of the parent's threads."""
        history = History(target)
        database = history._database
        assert isinstance(database, Postgres)
        lock = database.lock
        postgresql._replace_locks()
        assert database.lock is not lock

    @pytest.mark.parametrize("place", ["postgresql"], indirect=True)
    def test_transaction_left_open(self, target: str) -> None:
        """An append after an interrupt is not part of the transaction before."""
        history = History(target)
        database = history._database
        assert isinstance(database, Postgres)
        database._connection_and_pid[0].execute("BEGIN")  # and Ctrl-C before psycopg knows
        history.append(make_collection("vc-a", 0))
        assert len(complete_collections(History(target))) == 1

    def test_pickle(self, target: str) -> None:
        """A pickled History keeps its path or URL and its limit for polls."""
        history = History(target, keep_polls=timedelta(days=7))
        history.append(make_collection("vc-a", 0))
        again = pickle.loads(pickle.dumps(history))  # noqa: S301 # our own
        again.append(make_collection("vc-a", 1))
        history.append(make_collection("vc-a", 2))
        assert len(complete_collections(again)) == len(complete_collections(history)) == 3
        assert again._keep == history._keep
