"""Fleets to measure against, each served by a process of its own."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import backupkit as bk
from tests.benchmarks.fast_server import READY

__all__ = ["ROOT", "served", "served_at"]

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def served(
    appliances: int, jobs: int, *, delay: float = 0, each: bool = False
) -> Iterator[bk.Fleet]:
    """Serve a steady fleet for as long as the context lasts.

    Parameters
    ----------
    appliances, jobs : int
        How many, and how many jobs each has.
    delay : float
        Delay of each response [ms].
    each : bool
        Whether the responses to job/{id} are made before.

    Yields
    ------
    Fleet
        What leads to it.
    """
    with served_at(appliances, jobs, delay=delay, each=each) as path:
        yield bk.Fleet.load(path)


@contextlib.contextmanager
def served_at(
    appliances: int, jobs: int, *, delay: float = 0, each: bool = False
) -> Iterator[Path]:
    """Serve such a fleet, and yield the path of its fleet.toml."""
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "tests.benchmarks.fast_server", folder]
        argv += ["--appliances", str(appliances), "--jobs", str(jobs), "--delay", str(delay)]
        argv += ["--each"] * each
        # the server ends with its stdin, so even a benchmark that is killed leaves none behind
        with subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                if process.stdout.readline().strip() != READY:
                    raise SystemExit("the fast server did not start")
                yield Path(folder) / "fleet.toml"
            finally:
                process.terminate()
