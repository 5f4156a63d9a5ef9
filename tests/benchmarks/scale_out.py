"""The judgement in one process and on a Dask cluster of two workers, each in processes of its own.

By hand, for other sizes: ``python -m tests.benchmarks.scale_out FOLDER OBSERVATIONS [WAY ...]``
makes the history if it is not there, and judges it by one, pieces, dask or period.
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
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

import backupkit as bk
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.large import large_history
from tests.benchmarks.scale import Scale

__all__ = ["APPLIANCES", "peak_memory", "sections"]

WAYS = {
    "one": "one process",
    "pieces": "one process, piece by piece, the jobs of the period alone",
    "dask": "Dask, 2 workers",
    "period": "Dask, 2 workers, the jobs of the period alone",
}
APPLIANCES = 2_000
LAST = "30d"


def sections(scale: Scale) -> Iterator[Section]:
    """Judge a large history by all ways, and refuse to measure who does not come to the same."""
    folder = Path(tempfile.mkdtemp(prefix="backupkit-bench-"))
    try:
        large_history(folder / "history", appliances=APPLIANCES, observations=scale.judged_apart)
        told = {way: _apart(folder / "history", way) for way in WAYS}
    finally:
        shutil.rmtree(folder)
    if len({one["figures"] for one in told.values()}) > 1:
        raise SystemExit(f"not the same figures: {told}")
    one = told["one"]
    yield Section(
        f"{scale.judged_apart:,} jobs of {APPLIANCES:,} appliances judged over {LAST}; every "
        "figure is the same; once each",
        {},
        [
            figure
            for way, name in WAYS.items()
            for figure in (
                Figure(f"{name}", told[way]["seconds"], "s"),
                Figure(f"{name}: peak memory here", told[way]["peak"], "GiB"),
                *(
                    Figure(f"{name}: peak memory of a worker", peak, "GiB")
                    for peak in told[way]["workers"][:1]
                ),
                Figure(f"time: {name} / one process", told[way]["seconds"] / one["seconds"]),
            )
        ],
    )


def _apart(folder: Path, way: str) -> dict[str, Any]:
    """Judge in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, "-m", "tests.benchmarks.scale_out", str(folder), "0", way]
    print(f"  {WAYS[way]}", file=sys.stderr, flush=True)
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    return told


def judged(folder: Path, way: str) -> dict[str, Any]:
    """Judge by one way, and tell how long it took, how much memory, and a digest of all figures."""
    history, policy = bk.History(folder, create=False), bk.Policy()
    now = history.polls()["polled_at"].max() + pd.Timedelta(minutes=5)
    workers: list[float] = []
    if way in {"one", "pieces"}:
        began = time.perf_counter()
        if way == "one":
            a = bk.evaluate(history, policy, last=LAST, now=now)
        else:
            a = bk.evaluate_dask(history, policy, last=LAST, now=now, all_jobs=False)
        seconds = time.perf_counter() - began
    else:
        from distributed import Client, LocalCluster  # noqa: PLC0415 # the other way needs none

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
            a = bk.evaluate_dask(
                history, policy, last=LAST, now=now, client=client, all_jobs=way == "dask"
            )
            seconds = time.perf_counter() - began
            workers = sorted(client.run(peak_memory).values(), reverse=True)
    return {
        "way": way,
        "seconds": seconds,
        "peak": peak_memory(),
        "workers": workers,
        "jobs": len(a.jobs),
        "verdict": a.verdict.sentence,
        "figures": _digest(a),
    }


def peak_memory() -> float:
    """Give the most memory this process ever had [GiB]."""
    # getrusage would tell that of the process that started this one, if it is more
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def _digest(assessment: bk.Assessment) -> str:
    """Sum up every figure; the jobs are what one of the ways leaves out."""
    digest = hashlib.sha256()
    for field in fields(bk.Assessment):
        frame = getattr(assessment, field.name)
        if isinstance(frame, pd.DataFrame) and field.name != "jobs":
            digest.update(f"{field.name}\n{frame.reset_index().to_csv(index=False)}".encode())
    return digest.hexdigest()


def main() -> None:
    """Make a history where there is none, and judge it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("observations", type=int)
    parser.add_argument("way", nargs="*", choices=[*WAYS], default=[*WAYS])
    asked = parser.parse_args()
    if not asked.folder.exists():
        began = time.perf_counter()
        large_history(asked.folder, appliances=APPLIANCES, observations=asked.observations)
        print(f"written in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    for way in asked.way:
        print(json.dumps(judged(asked.folder, way)), flush=True)


if __name__ == "__main__":
    main()
