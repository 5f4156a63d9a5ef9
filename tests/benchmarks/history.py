"""Appending to a history and reading it, against the same rows read by pyarrow alone."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

import backupkit as bk
from backupkit.tables import OBSERVATIONS, POLLS, SCHEDULES
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.judge import fleet_of
from tests.benchmarks.measuring import Contestant, measured
from tests.benchmarks.scale import Scale

__all__ = ["sections"]

ROWS = 1_000
"""Of each append."""

FEW = 20
"""The first and the last so many appends are compared."""


def sections(scale: Scale) -> Iterator[Section]:
    """Measure many appends, then reads of what they left."""
    folder = Path(tempfile.mkdtemp(prefix="backupkit-bench-"))
    try:
        history = bk.History(folder / "history")
        yield _appends(history, scale.appends)
        yield _reads(history, scale.rounds)
    finally:
        shutil.rmtree(folder)


def _appends(history: bk.History, number: int) -> Section:
    """Append rounds of new jobs of a hundred appliances."""
    took = []
    for place in range(number):
        if place % 100 == 0:
            print(f"  append {place:,} of {number:,}", file=sys.stderr, flush=True)
        snapshot = _round(place)
        began = time.perf_counter()
        history.append(snapshot)
        took.append(time.perf_counter() - began)
    first, last = median(took[:FEW]), median(took[-FEW:])
    return Section(
        f"{number:,} appends of {ROWS:,} observations, each acknowledged when it is on disk",
        {},
        [
            Figure("the first appends", 1e3 * first, "ms"),
            Figure("the last appends", 1e3 * last, "ms"),
            Figure("time: the last appends / the first", last / first, "x", 1.5, True),
            Figure("the longest, which put files together", max(took), "s"),
        ],
    )


def _reads(history: bk.History, rounds: int) -> Section:
    """Read all observations and all jobs; pyarrow reads the same files, unverified."""
    rows = len(history.observations())
    files = DeltaTable(str(history.path / "observations")).file_uris()

    def raw() -> int:
        table: pa.Table = ds.dataset(files).to_table(columns=OBSERVATIONS.names)
        return len(table.to_pandas(types_mapper=pd.ArrowDtype))

    timings = measured(
        [
            Contestant("pyarrow to pandas, the same columns", raw, rows),
            Contestant("observations()", lambda: len(history.observations()), rows),
            Contestant(
                "observations(), newly opened",
                lambda: len(bk.History(history.path).observations()),
                rows,
            ),
            Contestant("jobs()", lambda: len(history.jobs())),
        ],
        rounds=rounds,
    )
    seconds = [timing.seconds for timing in timings.values()]
    size = sum(path.stat().st_size for path in history.path.rglob("*") if path.is_file())
    return Section(
        f"{rows:,} observations read; every file is held against its seal when it is first read",
        timings,
        [
            Figure("time: observations() / pyarrow", seconds[1] / seconds[0]),
            Figure("time: observations(), newly opened / pyarrow", seconds[2] / seconds[0]),
            Figure("time: jobs() / pyarrow", seconds[3] / seconds[0], "x", 2, True),
            Figure("size on disk, for each observation", size / rows, "bytes"),
        ],
    )


def _round(place: int) -> SimpleNamespace:
    """Make what one round brings: ten new jobs of each of a hundred appliances."""
    jobs = fleet_of(ROWS // 10, 12).jobs.groupby("appliance").head(10)
    passed = pd.Timedelta(minutes=10 * place)
    moment = pd.Timestamp("2026-01-01", tz="UTC") + passed
    names = jobs["appliance"].unique()
    told = jobs.assign(
        job_id=[f"{place:06}-{number:04}" for number in range(len(jobs))],
        observed_at=moment,
        source="details",
        start_time=jobs["start_time"] + passed,
        end_time=jobs["end_time"] + passed,
    )
    polls: dict[str, Any] = {
        "appliance": names,
        "polled_at": [moment] * len(names),
        "ok": [True] * len(names),
    }
    return SimpleNamespace(
        observations=OBSERVATIONS.conform(told),
        polls=POLLS.frame(polls),
        schedules=SCHEDULES.empty(),
    )
