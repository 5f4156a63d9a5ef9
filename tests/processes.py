"""Processes that append to one history, or read it, until they are killed."""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic, sleep

from backupkit.history import History
from tests.collect_helpers import (
    Acknowledged,
    append_repeatedly,
    complete_collections,
    read_repeatedly,
)

TIMEOUT = 60
"""Longest wait for anything that must happen [s]."""

# children are forked from a server that has imported all and used nothing: Arrow's threads and a
# fork do not go together
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.collect_helpers", "adbc_driver_sqlite"])


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    deadline = monotonic() + TIMEOUT
    while not happened():
        assert monotonic() < deadline
        sleep(0.005)


class WorkerProcesses:
    """Processes that append to a history, or read it, until they are killed."""

    def __init__(self, target: str, folder: Path) -> None:
        self.target = target
        self.acknowledged = Acknowledged(folder / "acknowledged")
        self.reads = Acknowledged(folder / "reads")
        self.running: list[BaseProcess] = []

    def append(self, name: str, first: int = 0, pause: float = 0) -> BaseProcess:
        """Start a process that appends collections of an appliance from a number on."""
        notes = self.acknowledged.path
        return self._start(append_repeatedly, self.target, name, first, notes, pause)

    def start(self, work: Callable[..., None], *arguments: object) -> BaseProcess:
        """Start a process that runs a function with the history."""
        return self._start(work, self.target, *arguments)

    def read(self, *, patient: bool = False) -> BaseProcess:
        """Start a process that reads; a patient one continues after a HistoryError."""
        return self._start(read_repeatedly, self.target, self.reads.path, patient=patient)

    def _start(self, work: Callable[..., None], *arguments: object, **more: object) -> BaseProcess:
        process = PROCESSES.Process(target=work, args=arguments, kwargs=more, daemon=True)
        process.start()
        self.running.append(process)
        return process

    def kill(self, *processes: BaseProcess) -> None:
        """Kill some processes, or all."""
        for process in processes or self.running:
            process.kill()
            process.join()


@contextlib.contextmanager
def worker_processes(target: str, folder: Path) -> Iterator[WorkerProcesses]:
    """Create a history, and kill all processes at the end."""
    History(target)
    workers = WorkerProcesses(target, folder)
    try:
        yield workers
    finally:
        workers.kill()


def check_complete(workers: WorkerProcesses) -> None:
    """Check that each acknowledged collection is stored, and each stored one is complete."""
    history = History(workers.target, create=False)
    assert workers.acknowledged.collections() <= complete_collections(history)
    assert history.verify().empty
