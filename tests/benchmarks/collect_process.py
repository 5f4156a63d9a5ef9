"""A whole process of `backupkit collect` with nothing new, against a bare script.

The script, `tests.benchmarks.bare_collect`, sends the same requests with requests, and looks up the
known ids with sqlite3.
"""

import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import backupkit as bk
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.measuring import Contestant, measured
from tests.benchmarks.process import list_environment, peak_memory_of
from tests.benchmarks.scale import Scale
from tests.benchmarks.serving import ROOT, served_at

__all__ = ["sections"]

APPLIANCES: Final = 10
BARE: Final = "bare script: requests, sqlite3"
OURS: Final = "backupkit collect"
CPU, MEMORY = 1.5, 2.0
"""Limits of the whole process, relative to the bare script."""

MIB: Final = 1024
"""KiB."""

_MODULE: Final = "tests.benchmarks.bare_collect"
_WITH_MEMORY: Final = f"""
import runpy
runpy.run_module("{_MODULE}", run_name="__main__", alter_sys=True)
with open("/proc/self/status") as status:
    print(*[line for line in status if line.startswith("VmHWM")])
"""


def sections(scale: Scale) -> Iterator[Section]:
    """Measure both in turns."""
    with (
        served_at(APPLIANCES, scale.jobs) as fleet,
        tempfile.TemporaryDirectory(prefix="backupkit-bench-") as folder,
    ):
        history, known = Path(folder) / "history.db", Path(folder) / "known.db"
        bk.History(history).append(bk.collect(bk.Fleet.load(fleet), progress=False))
        _write_known(history, known)
        argv = ["collect", "--fleet", str(fleet), "--history", str(history)]
        bare = [str(fleet), str(known)]
        listed = APPLIANCES * scale.jobs

        def run_bare() -> int:
            found, new = map(int, _run("-m", _MODULE, *bare).split())
            if new:
                raise SystemExit(f"{new} jobs are new to the bare script")
            return found

        def run_collect() -> int:
            _run("-m", "backupkit", *argv)
            return listed

        timings = measured(
            [Contestant(BARE, run_bare, listed), Contestant(OURS, run_collect, listed)],
            turns=scale.turns,
        )
        figures = [
            Figure(
                f"CPU: {OURS} / bare script", timings[OURS].cpu / timings[BARE].cpu, "x", CPU, True
            )
        ]
        if scale.thorough:
            least = int(_run("-c", _WITH_MEMORY, *bare).split()[-2]) / MIB
            figures.append(
                Figure(
                    f"memory: {OURS} / bare script", peak_memory_of(argv) / least, "x", MEMORY, True
                )
            )
    yield Section(
        f"A whole process of backupkit collect, nothing new, {APPLIANCES} appliances with "
        f"{scale.jobs} jobs each; median of {scale.turns} turns",
        timings,
        figures,
    )


def _run(*arguments: str) -> str:
    """Run Python, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=list_environment(),
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return done.stdout


def _write_known(history: Path, known: Path) -> None:
    """Write the known ids to a database with one table and its index."""
    jobs = bk.History(history).jobs(columns=["appliance", "job_id"])
    with closing(sqlite3.connect(known)) as store, store:
        store.execute("CREATE TABLE job (appliance TEXT, id TEXT, PRIMARY KEY (appliance, id))")
        store.executemany(
            "INSERT INTO job VALUES (?, ?)", zip(jobs["appliance"], jobs["job_id"], strict=True)
        )
