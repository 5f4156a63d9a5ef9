"""Several processes append to one history, one of them is killed again and again, one reads."""

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
from backupkit.history import History, postgresql, sqlite
from backupkit.history.databases import ArrowReader
from backupkit.history.postgresql import Postgres
from tests.conftest import SEED, repeats
from tests.processes import PATIENCE, PROCESSES, Hands, at_work, check_whole, wait_until
from tests.rounds import (
    ENDED,
    RUNNING,
    append_through_interrupts,
    append_when_told,
    check_consistent,
    count_rounds,
    create,
    make_round,
    whole_rounds,
)

KILLS = repeats(6, 100)
"""How often a process is killed, or interrupted."""

SPAN = 0.3
"""The longest time between two interrupts [s]."""

PAUSE = 0.2
"""How long others rest between two appends, so that one that is killed has its turn [s]."""

VICTIM = "vc-victim"

ROUNDS = 6
"""How many a thread appends beside others."""

FORK = """
import multiprocessing, sys, threading
from backupkit.history import History
from tests.rounds import append_rounds, make_round

history = History(sys.argv[1])
history.append(make_round("vc-parent", 0))
fork = multiprocessing.get_context("fork")
thread = threading.Thread(target=append_rounds, args=(history, "vc-thread", 4))
thread.start()
children = [
    fork.Process(target=append_rounds, args=(history, f"vc-{number}", 2)) for number in range(2)
]
for child in children:
    child.start()
history.append(make_round("vc-parent", 1))
for child in children:
    child.join()
thread.join()
history.append(make_round("vc-parent", 2))
sys.exit(any(child.exitcode for child in children))
"""

FORKED = 3 + 4 + 2 * 2
"""How many rounds that appends."""


@pytest.fixture
def hands(target: str, tmp_path: Path) -> Iterator[Hands]:
    """Return what starts processes that are gone at the end."""
    with at_work(target, tmp_path) as some:
        yield some


def kill_again_and_again(hands: Hands) -> None:
    """Start an appending process and kill it, at a random moment of an append each time."""
    chance = random.Random(SEED)  # noqa: S311 # nothing secret
    notes, span = hands.acknowledged, 0.0
    for kill in range(KILLS):
        before = notes.rounds(f"{VICTIM}:begun")
        victim = hands.append(VICTIM, 60 * kill)  # each an hour later than the one before
        wait_until(lambda: notes.rounds(f"{VICTIM}:begun") != before)  # noqa: B023
        begun = monotonic()
        if kill == 0:
            wait_until(lambda: bool(notes.rounds(VICTIM)))
            span = 1.3 * (monotonic() - begun)
        sleep(chance.random() * span)
        hands.kill(victim)


@pytest.mark.long
class TestKilled:
    """kill -9 of a process that appends."""

    def test_beside_others(self, hands: Hands) -> None:
        """Each acknowledged round is whole and there once, whoever died when; others go on."""
        others = [*(hands.append(name, pause=PAUSE) for name in ("vc-a", "vc-b")), hands.read()]
        kill_again_and_again(hands)
        wait_until(lambda: len({name for name, _ in hands.acknowledged.rounds()}) == 3)
        wait_until(lambda: len({name for name, _ in hands.reads.rounds()}) == 2)
        assert all(process.is_alive() for process in others)
        hands.kill(*others)
        check_whole(hands)

    def test_alone(self, tmp_path: Path) -> None:
        """So it is with one that is alone: each append ends by putting the log into the file."""
        with at_work(str(tmp_path / "history.db"), tmp_path) as hands:
            kill_again_and_again(hands)
            check_whole(hands)


@pytest.mark.long
class TestInterrupted:
    """Ctrl-C and SIGTERM in the middle of an append."""

    def test_ctrl_c(self, hands: Hands) -> None:
        """The append is there whole or not at all, and the same History goes on."""
        chance = random.Random(SEED)  # noqa: S311 # nothing secret
        notes = hands.acknowledged
        process = hands.start(append_through_interrupts, "vc-a", notes.path)
        wait_until(lambda: bool(notes.rounds("begun")))
        while len(notes.rounds("interrupted")) < KILLS:
            before = len(notes.rounds("interrupted"))
            sleep(chance.random() * SPAN)
            os.kill(process.pid or 0, signal.SIGINT)
            # one that comes while Python cleans up something is ignored
            deadline = monotonic() + PATIENCE / 10
            while len(notes.rounds("interrupted")) == before and monotonic() < deadline:
                sleep(0.005)
            assert process.is_alive()
        process.terminate()
        process.join()
        assert process.exitcode == -signal.SIGTERM
        history = History(hands.target)
        there = whole_rounds(history)
        assert notes.rounds("vc-a") <= there
        assert history.verify().empty


class Beside:
    """A History to which another process appends a round before each read of a table."""

    def __init__(self, target: str, orders: Connection) -> None:
        self.history = History(target)
        self._orders = orders
        self.rounds = 0

    def append(self) -> None:
        """Let the other process append a round."""
        if self.rounds:
            self._orders.send("one more")
        assert self._orders.poll(PATIENCE)
        self.rounds = self._orders.recv()


@pytest.fixture
def beside(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> Beside:
    """Return a history to which another process appends a round before each read of a table."""
    ours, theirs = PROCESSES.Pipe()
    hands.start(append_when_told, "vc-a", theirs)
    beside, table = Beside(hands.target, ours), ArrowReader.table

    def append_and_read(reader: ArrowReader, query: str, types: Mapping[str, str]) -> pa.Table:
        if beside.rounds < 5:
            beside.append()
        return table(reader, query, types)

    beside.append()
    monkeypatch.setattr(ArrowReader, "table", append_and_read)
    return beside


class TestReadBesideOthers:
    """Whoever reads knows of each poll all that it brought, or nothing of it."""

    def test_known(self, beside: Beside) -> None:
        """What belongs together is of one moment."""
        known = check_consistent(beside.history.view())
        assert 1 <= known < beside.rounds

    def test_evaluated(self, beside: Beside) -> None:
        """An evaluation rests on polls and on what they brought."""
        now = make_round("vc-a", 1_000).polls["polled_at"][0]
        evaluated = evaluate(beside.history, Policy(), last="1d", now=now)
        [polls] = evaluated.coverage["polls"]
        assert 1 <= polls < beside.rounds
        assert len(evaluated.jobs) == ENDED * polls + 1
        assert evaluated.schedules["hour"].to_list() == [polls]

    def test_merged(self, beside: Beside, tmp_path: Path) -> None:
        """So it is with a history that is taken over."""
        other = History(tmp_path / "other.db")
        added = other.merge(beside.history.uri)
        assert 1 <= added.polls < beside.rounds
        assert len(whole_rounds(other)) == added.polls

    def test_backup(self, hands: Hands, tmp_path: Path) -> None:
        """So it is with a copy that is made while others append."""
        hands.append("vc-a")
        hands.append("vc-b")
        history = History(hands.target)
        for number in range(3):
            wait_until(lambda: len(hands.acknowledged.rounds()) > 2 * number)  # noqa: B023
            before = hands.acknowledged.rounds()
            copy = History(history.backup(tmp_path / f"{number}.db"), create=False)
            assert before <= whole_rounds(copy)
            assert copy.verify().empty


class TestSameProcess:
    """Threads, forks and pickles."""

    def test_threads(self, hands: Hands) -> None:
        """Threads append and read by one History, another process comes and goes."""
        hands.append("vc-b")
        history = History(hands.target)
        done = threading.Event()

        def read() -> int:
            for number in count(1):
                check_consistent(history.view())
                count_rounds(history)
                history.known_jobs("vc-a", [RUNNING])
                if done.is_set():
                    return number
            raise AssertionError  # pragma: no cover # it counts for ever

        def append() -> None:
            for number in range(ROUNDS):
                history.append(make_round("vc-a", number))
                hands.acknowledged.add("vc-a", number)

        with ThreadPoolExecutor(4) as threads:
            readers = [threads.submit(read) for _ in range(3)]
            try:
                threads.submit(append).result()
            finally:
                done.set()
            assert all(reader.result() > 1 for reader in readers)
        wait_until(lambda: len(hands.acknowledged.rounds("vc-b")) > 2)
        hands.kill()
        check_whole(hands)
        assert len(hands.acknowledged.rounds("vc-a")) == ROUNDS

    def test_created_by_several(self, target: str) -> None:
        """Several processes may make the same history at once."""
        several = [PROCESSES.Process(target=create, args=(target,)) for _ in range(6)]
        for process in several:
            process.start()
        for process in several:
            process.join()
        assert [process.exitcode for process in several] == [0] * 6
        history = History(target, create=False)
        assert history.sql("SELECT head FROM history")["head"].to_list() == [""]
        assert history.verify().empty

    def test_fork(self, target: str) -> None:
        """A process that is forked uses the same History, and so goes its parent on."""
        words = [sys.executable, "-W", "ignore", "-c", FORK, target]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert len(whole_rounds(History(target))) == FORKED
        assert History(target).verify().empty

    def test_fork_waits(self, tmp_path: Path) -> None:
        """A fork waits until no thread has a file open, whatever else is held."""
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
            assert reading.wait(PATIENCE)
            sqlite._acquire_all()
            assert done.is_set()
            sqlite._release_all()
            reader.result()
        for history in histories:
            history.append(make_round("vc-a", 0))
            assert len(whole_rounds(history)) == 1

    @pytest.mark.parametrize("place", ["postgresql"], indirect=True)
    def test_fork_with_a_connection(self, target: str) -> None:
        """What another thread of the parent holds is not waited for in the child."""
        history = History(target)
        database = history._database
        assert isinstance(database, Postgres)
        lock = database.lock
        postgresql._forget_connections()
        assert database.lock is not lock

    @pytest.mark.parametrize("place", ["postgresql"], indirect=True)
    def test_transaction_left_open(self, target: str) -> None:
        """What is appended after an interrupt is not a part of the transaction before."""
        history = History(target)
        database = history._database
        assert isinstance(database, Postgres)
        database._open[0].execute("BEGIN")  # and Ctrl-C before psycopg knows
        history.append(make_round("vc-a", 0))
        assert len(whole_rounds(History(target))) == 1

    def test_pickle(self, target: str) -> None:
        """A History travels as its path or URL, and keeps as many polls."""
        history = History(target, keep_polls=timedelta(days=7))
        history.append(make_round("vc-a", 0))
        again = pickle.loads(pickle.dumps(history))  # noqa: S301 # our own
        again.append(make_round("vc-a", 1))
        history.append(make_round("vc-a", 2))
        assert len(whole_rounds(again)) == len(whole_rounds(history)) == 3
        assert again._keep == history._keep
