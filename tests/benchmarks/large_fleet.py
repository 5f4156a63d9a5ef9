"""A whole process of `backupkit collect` for many appliances with latency: first, then steady.

The client shares the machine with the server, so its own CPU is stated. The bound by latency is
the time of all requests if as many as allowed are concurrent and nothing else takes time.
"""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import backupkit as bk
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.measuring import Contestant, measured
from tests.benchmarks.process import list_environment, peak_memory_of
from tests.benchmarks.scale import Scale
from tests.benchmarks.serving import ROOT, served_at

__all__ = ["sections"]

DELAY = 20
"""Of each response [ms]."""

FIRST, STEADY = "backupkit collect, first", "backupkit collect, nothing new"
LEAN = "requests lean + msgspec, details only"
MEMORY = 250
"""The limit of a collection [MiB]."""


def sections(scale: Scale) -> Iterator[Section]:
    """Measure first and steady collections of one fleet."""
    appliances, jobs = scale.collected
    with (
        served_at(appliances, jobs, delay=DELAY) as fleet,
        tempfile.TemporaryDirectory(prefix="backupkit-bench-") as folder,
    ):
        place = Path(folder)
        numbers = iter(range(1_000_000))
        known = place / "known.db"
        _collect(fleet, known)

        def first() -> int:
            return _collect(fleet, place / f"{next(numbers)}.db")

        def lean() -> int:
            threads = bk.Limits().concurrency
            return int(_python("-m", "tests.benchmarks.lean", str(fleet), str(threads)))

        def steady() -> int:
            return _collect(fleet, known)

        timings = measured(
            [
                Contestant(FIRST, first, appliances * jobs),
                Contestant(STEADY, steady, 0),
                Contestant(LEAN, lean, appliances * jobs),
            ],
            turns=min(3, scale.turns),
        )
        polls = bk.History(known).polls().sort_values("polled_at")["requests"]
        requests = {FIRST: polls.head(appliances), STEADY: polls.tail(appliances)}
        figures = [
            Figure(f"CPU: {FIRST} / {LEAN}", timings[FIRST].cpu / timings[LEAN].cpu),
            Figure(f"CPU: {STEADY} / {LEAN}", timings[STEADY].cpu / timings[LEAN].cpu),
        ]
        for name, each in requests.items():
            links = max(int(each.max()), math.ceil(each.sum() / bk.Limits().concurrency))
            bound = links * DELAY / 1000
            figures += [
                Figure(f"{name}: requests of each appliance", each.mean(), "requests"),
                Figure(f"{name}: bound by latency", bound, "s"),
                Figure(f"{name}: time / that bound", timings[name].seconds / bound, "x", 1.3, True),
                Figure(f"{name}: CPU / that bound", timings[name].cpu / bound),
            ]
        options = ["--fleet", str(fleet), "--history"]
        for name, path in ((FIRST, place / "again.db"), (STEADY, known)):
            peak = peak_memory_of(["collect", *options, str(path), "--json"])
            figures.append(Figure(f"{name}: peak memory", peak, "MiB", MEMORY, True))
    yield Section(
        f"{appliances:,} appliances x {jobs} jobs, {DELAY} ms added to each response; whole "
        "processes",
        timings,
        figures,
    )


def _collect(fleet: Path, history: Path) -> int:
    """Collect, and return the number of new jobs."""
    options = ["--fleet", str(fleet), "--history", str(history), "--json"]
    return int(json.loads(_python("-m", "backupkit", "collect", *options))["observations_added"])


def _python(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=list_environment(),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
