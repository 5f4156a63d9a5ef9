"""Collectors append while the PostgreSQL server is killed or restarted."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep

import psycopg
import pytest

from backupkit.history import History
from tests.collect_helpers import complete_collections, make_collection
from tests.conftest import SEED, repeats
from tests.postgres import NEEDED, PostgresServer
from tests.processes import WorkerProcesses, check_complete, wait_until, worker_processes

pytestmark = NEEDED

TIMES = repeats(4, 100)
"""Number of kills."""

NAMES = ("vc-a", "vc-b")

SPAN = 0.4
"""Maximum time from the start of an append to the end of the server [s]."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Run a durable server."""
    with PostgresServer(durable=True) as server:
        yield server


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    """Return an empty database."""
    with server.fresh_database() as url:
        yield url


def count_begun(workers: WorkerProcesses) -> int:
    """Count the collections whose append began."""
    return sum(len(workers.acknowledged.collections(f"{name}:begun")) for name in NAMES)


@pytest.mark.long
@pytest.mark.parametrize(
    ("stop", "times"), [(PostgresServer.kill, TIMES), (PostgresServer.stop, 2)]
)
def test_collectors(
    server: PostgresServer,
    url: str,
    tmp_path: Path,
    stop: Callable[[PostgresServer], None],
    times: int,
) -> None:
    """Appends wait for the server and continue; nothing is lost, stored twice or read partly."""
    chance = random.Random(SEED)  # noqa: S311 # nothing secret
    with worker_processes(url, tmp_path) as workers:
        working = [*(workers.append(name) for name in NAMES), workers.read(patient=True)]
        wait_until(
            lambda: len({name for name, _ in workers.acknowledged.collections()}) == len(NAMES)
        )
        for _ in range(times):
            begun = count_begun(workers)
            wait_until(lambda: count_begun(workers) > begun)  # noqa: B023
            sleep(chance.random() * SPAN)
            stop(server)
            before = len(workers.acknowledged.collections())
            sleep(chance.random() * 0.1)
            server.start()
            wait_until(lambda: len(workers.acknowledged.collections()) > before)  # noqa: B023
        alive = [workers.acknowledged.collections(name) for name in NAMES]
        for name, known in zip(NAMES, alive, strict=True):
            wait_until(lambda: workers.acknowledged.collections(name) > known)  # noqa: B023
        wait_until(lambda: len({name for name, _ in workers.reads.collections()}) == 2)
        assert all(process.is_alive() for process in working)
        workers.kill()
        check_complete(workers)


@pytest.fixture
def broken(
    server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[int]]:
    """Return a function after which two connections break right after their commit."""

    def begin() -> list[int]:
        leave = psycopg.Transaction.__exit__
        broken: list[int] = []

        def break_after(transaction: psycopg.Transaction, *error: object) -> bool:
            left = leave(transaction, *error)  # type: ignore[arg-type] # as it is called
            if len(broken) < 2:
                broken.append(transaction.connection.info.backend_pid)
                server.execute(url, f"SELECT pg_terminate_backend({broken[-1]}, 5000)")
                transaction.connection.execute("SELECT 1")
            return left

        monkeypatch.setattr(psycopg.Transaction, "__exit__", break_after)
        return broken

    return begin


def test_lost_acknowledgement(url: str, broken: Callable[[], list[int]]) -> None:
    """An append whose acknowledgement is lost is repeated, and stored once."""
    history = History(url)
    history.append(make_collection("vc-a", 0))
    breaks = broken()
    added = history.append(make_collection("vc-a", 1))
    assert len(set(breaks)) == 2
    assert (added.observations, added.polls, added.schedules) == (6, 1, 1)
    assert complete_collections(history) == {("vc-a", 0), ("vc-a", 1)}
    assert history.verify().empty


@pytest.mark.parametrize("kind", ["forget", "prune"])
def test_lost_removal(url: str, broken: Callable[[], list[int]], kind: str) -> None:
    """A removal whose acknowledgement is lost returns the removed rows."""
    history = History(url)
    history.append(make_collection("vc-a", 0))
    history.append(make_collection("vc-b", 0))
    before = len(history.observations())
    breaks = broken()
    removed = history.forget("vc-a") if kind == "forget" else history.prune("2100-01-01T00:00Z")
    assert len(set(breaks)) == 2
    assert removed["observations"] == before - len(history.observations()) > 0
    assert history.verify().empty
