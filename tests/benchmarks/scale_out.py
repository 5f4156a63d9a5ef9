"""The judgement of an export in one process and on a Dask cluster of two workers.

By hand, for other sizes: ``python -m tests.benchmarks.scale_out FOLDER OBSERVATIONS [WAY ...]``
makes the export if it is not there, and judges it by one, pieces or dask.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pyarrow import fs

import backupkit as bk
from backupkit.assessment.merged import FRAMES
from backupkit.history.exchange import MonthlyWriter
from backupkit.history.export_reader import MANIFEST, SCHEMAS, ApplianceCounts, Manifest
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.machine import peak_memory
from tests.benchmarks.scale import Scale

__all__ = ["APPLIANCES", "large_export", "sections"]

WAYS = {
    "one": "one process, all at once",
    "pieces": "one process, piece by piece",
    "dask": "Dask, 2 workers",
}
APPLIANCES = 2_000
LAST = "30d"

_FIRST = np.datetime64("2023-11-01", "us")
_DAYS = 3 * 365
_DAY = np.timedelta64(86_400_000_000, "us")
_KEPT = 90  # days for which all polls are kept
_FAILURES = 0.04
_AT_ONCE = 500_000  # jobs that are made together
_UTC = pa.timestamp("us", tz="UTC")
_Times = npt.NDArray[np.datetime64]


def sections(scale: Scale) -> Iterator[Section]:
    """Judge a large export by some ways, and exit if the results differ."""
    folder = Path(tempfile.mkdtemp(prefix="backupkit-bench-"))
    try:
        large_export(folder / "export", appliances=scale.judged, observations=scale.judged_apart)
        ways = WAYS if scale.thorough else ("one", "pieces")
        results = {way: _apart(folder / "export", way) for way in ways}
    finally:
        shutil.rmtree(folder)
    if len({one["figures"] for one in results.values()}) > 1:
        raise SystemExit(f"not the same figures: {results}")
    one = results["one"]
    yield Section(
        f"An export of {scale.judged_apart:,} jobs of {scale.judged:,} appliances judged over "
        f"{LAST}; every figure is the same; once each",
        {},
        [
            figure
            for way, name in WAYS.items()
            if way in results
            for figure in (
                Figure(f"{name}", results[way]["seconds"], "s"),
                Figure(f"{name}: peak memory here", results[way]["peak"], "GiB"),
                *(
                    Figure(f"{name}: peak memory of a worker", peak, "GiB")
                    for peak in results[way]["workers"][:1]
                ),
                Figure(f"time: {name} / one process", results[way]["seconds"] / one["seconds"]),
            )
        ],
    )


def _apart(folder: Path, way: str) -> dict[str, Any]:
    """Judge in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, "-m", "tests.benchmarks.scale_out", str(folder), "0", way]
    print(f"  {WAYS[way]}", file=sys.stderr, flush=True)
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result


def judged(folder: Path, way: str) -> dict[str, Any]:
    """Judge by one way; return how long it took, how much memory, and a digest of all figures."""
    now = pd.Timestamp(_FIRST + _DAYS * _DAY, tz="UTC")
    workers: list[float] = []
    if way != "dask":
        began = time.perf_counter()
        pieces = 1 if way == "one" else None
        a = bk.evaluate_dask(folder, bk.Policy(), last=LAST, now=now, partitions=pieces)
        seconds = time.perf_counter() - began
    else:
        from distributed import Client, LocalCluster  # noqa: PLC0415 # the other ways need none

        cluster: Any = LocalCluster  # of no types
        connect: Any = Client
        with (
            tempfile.TemporaryDirectory() as place,
            cluster(
                n_workers=2,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                local_directory=place,
            ) as two,
            connect(two) as client,
        ):
            began = time.perf_counter()
            a = bk.evaluate_dask(folder, bk.Policy(), last=LAST, now=now, client=client)
            seconds = time.perf_counter() - began
            workers = sorted((one / 1024 for one in client.run(peak_memory).values()), reverse=True)
    return {
        "way": way,
        "seconds": seconds,
        "peak": peak_memory() / 1024,
        "workers": workers,
        "jobs": len(a.assessed_jobs),
        "verdict": a.verdict.sentence,
        "figures": _digest(a),
    }


def _digest(assessment: bk.Assessment) -> str:
    """Sum up every figure; the jobs by their number."""
    digest = hashlib.sha256(str(len(assessment.assessed_jobs)).encode())
    for name in FRAMES:
        frame = getattr(assessment, name)
        if name != "jobs":
            digest.update(f"{name}\n{frame.reset_index().to_csv(index=False)}".encode())
    return digest.hexdigest()


def large_export(folder: Path, *, appliances: int, observations: int) -> None:
    """Write an export of jobs that are evenly spread over three years, as an export writes them.

    Parameters
    ----------
    folder : Path
        A new folder.
    appliances, observations : int
        How many, or a few less; each job was observed once, one in 25 failed. Each appliance was
        polled once a day, and each hour of the last 90 days.
    """
    names = [f"vc-{number:04}.example.com" for number in range(appliances)]
    each = observations // appliances
    at_once = max(1, _AT_ONCE // each)
    random = np.random.default_rng(3)
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(MonthlyWriter(fs.LocalFileSystem(), str(folder), name))
            for name in SCHEMAS
        }
        for begin in range(0, appliances, at_once):
            some = names[begin : begin + at_once]
            for name, rows in _jobs(some, each, random).items():
                files[name].add(rows)
            files["polls"].add(_polls(some))
            files["schedules"].add(_schedules(some))
        entries = {"id": [1], "kind": ["import"], "digest": ["0" * 64], "earliest_at": [0]}
        files["appends"].add(_table("appends", entries, 1))
        for written in files.values():
            written.finish()
    polls = len(_poll_times())
    share = ApplianceCounts(
        first_at=int(_FIRST.astype(int)), jobs=each, observations=each, polls=polls
    )
    manifest = Manifest(
        head="0" * 64,
        latest_at=int((_FIRST + _DAYS * _DAY).astype(int)),
        rows={name: written.rows for name, written in files.items()},
        appliances=dict.fromkeys(names, share),
    )
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))


def _table(name: str, values: dict[str, Any], number: int) -> pa.Table:
    """Return a table with these columns; the others are missing."""
    schema = SCHEMAS[name]
    columns = []
    for field in schema:
        if field.name not in values:
            columns.append(pa.nulls(number, field.type))
            continue
        value = values[field.name]
        if isinstance(value, str | int | float):
            columns.append(pa.repeat(pa.scalar(value, field.type), number))
        else:
            array = value if isinstance(value, pa.Array) else pa.array(value)
            columns.append(array.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _jobs(names: list[str], each: int, random: np.random.Generator) -> dict[str, pa.Table]:
    """Return the jobs of some appliances, and their observations."""
    number = len(names) * each
    step = _DAYS * _DAY / each
    late = random.random(len(names)).repeat(each)  # their starts differ
    began = _FIRST + ((np.tile(np.arange(each), len(names)) + late / 2) * step)
    ended = began + step * random.uniform(0.1, 0.3, number)
    seen = ended + step / 10
    failed = random.random(number) < _FAILURES
    message: list[dict[str, Any]] = [
        {"id": "x", "default_message": "Disk full.", "args": [], "localized": None}
    ]
    kinds = pa.array([[], message], type=SCHEMAS["jobs"].field("messages").type)
    places = pa.array(failed.astype(np.int8))
    word = pa.array(["SUCCEEDED", "FAILED"]).take(places)
    common: dict[str, Any] = {
        "appliance": pa.array(names).take(pa.array(np.arange(len(names)).repeat(each))),
        "job_id": pa.array(np.tile(np.arange(each), len(names)) + 10**9).cast(pa.string()),
        "state": word,
        "status": word,
        "progress": 100.0,
        "start_time": _stamps(began),
        "end_time": _stamps(ended),
        "messages": kinds.take(places),
        "type": "SCHEDULED",
        "size": (ended - began).astype(np.int64),
        "location": "sftp://nas.example.com/vc",
        "build": "24322831",
        "source": "details",
    }
    folded = {
        "duration": (ended - began).astype(np.int64),
        "outcome": pa.array(["success", "failure"]).take(places),
        "first_seen_at": _stamps(seen),
        "last_seen_at": _stamps(seen),
    }
    return {
        "observations": _table("observations", common | {"observed_at": _stamps(seen)}, number),
        "jobs": _table("jobs", common | folded, number),
    }


def _stamps(times: _Times) -> pa.Array:
    return pa.array(times).cast(_UTC)


def _poll_times() -> _Times:
    days = _FIRST + np.arange(1, _DAYS - _KEPT) * _DAY
    hours = _FIRST + (_DAYS - _KEPT) * _DAY + np.arange(1, _KEPT * 24) * (_DAY // 24)
    return np.concatenate([days, hours])


def _polls(names: list[str]) -> pa.Table:
    times = _poll_times()
    number = len(names) * len(times)
    return _table(
        "polls",
        {
            "appliance": pa.array(names).take(pa.array(np.arange(len(names)).repeat(len(times)))),
            "polled_at": _stamps(np.tile(times, len(names))),
            "ok": pa.repeat(pa.scalar(value=True), number),
            "version": "8.0.3",
            "requests": 4,
        },
        number,
    )


def _schedules(names: list[str]) -> pa.Table:
    return _table(
        "schedules",
        {
            "appliance": names,
            "schedule": "default",
            "seen_at": _stamps(np.full(len(names), _FIRST)),
            "enabled": pa.repeat(pa.scalar(value=True), len(names)),
            "hour": 1,
            "minute": 0,
            "timezone": "UTC",
            "max_count": 30,
        },
        len(names),
    )


def main() -> None:
    """Make an export where there is none, and judge it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("observations", type=int)
    parser.add_argument("way", nargs="*", default=[*WAYS], help=", ".join(WAYS))
    asked = parser.parse_args()
    if not set(asked.way) <= set(WAYS):
        parser.error(f"ways are {', '.join(WAYS)}")
    if not asked.folder.exists():
        began = time.perf_counter()
        large_export(asked.folder, appliances=APPLIANCES, observations=asked.observations)
        print(f"written in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    for way in asked.way:
        print(json.dumps(judged(asked.folder, way)), flush=True)


if __name__ == "__main__":
    main()
