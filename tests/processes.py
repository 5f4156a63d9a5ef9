"""Processes that append to one history, or read it, until they are killed."""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic, sleep

from backupkit.history import History
from tests.rounds import Acknowledged, append_on_and_on, read_on_and_on, whole_rounds

PATIENCE = 60
"""How long anything may take that has to happen [s]."""

# children are forked from a server that has imported all and used nothing: Arrow's threads and a
# fork do not go together
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.rounds", "adbc_driver_sqlite.dbapi"])


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for something that comes soon."""
    deadline = monotonic() + PATIENCE
    while not happened():
        assert monotonic() < deadline
        sleep(0.005)


class Hands:
    """Processes that append, or read, until they are killed.

    Parameters
    ----------
    target : str
        The history.
    folder : Path
        For what they write down.
    """

    def __init__(self, target: str, folder: Path) -> None:
        self.target = target
        self.acknowledged = Acknowledged(folder / "acknowledged")
        self.reads = Acknowledged(folder / "reads")
        self.running: list[BaseProcess] = []

    def append(self, name: str, first: int = 0, pause: float = 0) -> BaseProcess:
        """Start to append the rounds of an appliance, from a number on."""
        notes = self.acknowledged.path
        return self._start(append_on_and_on, self.target, name, first, notes, pause)

    def start(self, work: Callable[..., None], *arguments: object) -> BaseProcess:
        """Start something else that is done with the history."""
        return self._start(work, self.target, *arguments)

    def read(self, *, patient: bool = False) -> BaseProcess:
        """Start to read; who is patient goes on after a HistoryError."""
        return self._start(read_on_and_on, self.target, self.reads.path, patient=patient)

    def _start(self, work: Callable[..., None], *arguments: object, **more: object) -> BaseProcess:
        process = PROCESSES.Process(target=work, args=arguments, kwargs=more, daemon=True)
        process.start()
        self.running.append(process)
        return process

    def kill(self, *processes: BaseProcess) -> None:
        """Kill some of them, or all."""
        for process in processes or self.running:
            process.kill()
            process.join()


@contextlib.contextmanager
def at_work(target: str, folder: Path) -> Iterator[Hands]:
    """Kill all that was started at the end."""
    History(target)
    some = Hands(target, folder)
    try:
        yield some
    finally:
        some.kill()


def check_whole(hands: Hands) -> None:
    """Check that each acknowledged round is there, and nothing by halves."""
    history = History(hands.target, create=False)
    assert hands.acknowledged.rounds() <= whole_rounds(history)
    assert history.verify().empty
