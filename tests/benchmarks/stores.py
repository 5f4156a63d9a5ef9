"""Newest observation of each job: a history, raw pyarrow, SQLite and DuckDB holding the same rows.

Each reads in a process of its own, so that its peak memory is its own, and reads twice: the second
time is compared, the first one tells what opening costs.
"""

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable

import backupkit as bk
from backupkit.tables import OBSERVATIONS
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.large import large_history
from tests.benchmarks.scale import Scale
from tests.benchmarks.scale_out import APPLIANCES, peak_memory

__all__ = ["sections"]

SQLITE_AT_MOST = 1_000_000
"""Rows; above, SQLite takes minutes."""

_LARGE, _FEW_ROUNDS = 5_000_000, 3
"""From so many rows on less often: DuckDB takes 20 s each time."""

_TWICE = 10
"""One in so many jobs was seen running, too."""

ONE = "vc-0007.example.com"
NEWEST = """
select * exclude (place) from (
  select *, row_number() over (partition by appliance, job_id order by observed_at desc) as place
  from observations {where}
) where place = 1
"""


def sections(scale: Scale) -> Iterator[Section]:
    """Measure each size."""
    for number in scale.kept:
        with tempfile.TemporaryDirectory(prefix="backupkit-bench-") as place:
            yield _section(Path(place), number, scale.rounds if number < _LARGE else _FEW_ROUNDS)


def _section(place: Path, number: int, rounds: int) -> Section:
    history = large_history(
        place / "history", appliances=APPLIANCES, observations=number, twice=_TWICE
    )
    rows = _files(history.path).to_table(columns=OBSERVATIONS.names)
    pq.write_table(rows, place / "plain.parquet")
    with duckdb.connect(place / "duck.db") as connection:
        connection.execute(
            "create table observations as from read_parquet(?)", [str(place / "plain.parquet")]
        )
    sizes = {
        "backupkit": sum(_sizes(history.path)),
        "plain Parquet": (place / "plain.parquet").stat().st_size,
        "DuckDB": (place / "duck.db").stat().st_size,
    }
    ways = [name for name in WAYS if not name.startswith("SQLite")]
    if number <= SQLITE_AT_MOST:
        ways = list(WAYS)
        _fill_sqlite(place / "rows.sqlite", rows)
        sizes["SQLite"] = (place / "rows.sqlite").stat().st_size
    del rows
    told: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name in ways:
            told[name].append(_apart(place, name))
    seconds = {name: median(turn["seconds"] for turn in turns) for name, turns in told.items()}
    peaks = {name: median(turn["peak"] for turn in turns) for name, turns in told.items()}
    # pyarrow alone gives all rows of each job
    newest = [name for name in ways if not name.endswith(", one") and name != RAW]
    if len({turn["rows"] for name in newest for turn in told[name]}) > 1:
        raise SystemExit(f"not the same rows: {told}")
    return Section(
        f"{number:,} observations of {APPLIANCES:,} appliances; median of {rounds} rounds"
        + ("" if number <= SQLITE_AT_MOST else "; SQLite left out, it takes minutes"),
        {},
        [
            *(Figure(f"time: {name}", 1e3 * seconds[name], "ms") for name in ways),
            Figure("time: jobs() / pyarrow", seconds[JOBS] / seconds[RAW], "x", 2, True),
            Figure("memory: jobs() / pyarrow", peaks[JOBS] / peaks[RAW], "x", 1.5, True),
            *(
                Figure(f"time: jobs() / {name}", seconds[JOBS] / seconds[name])
                for name in ways
                if name in (DUCK, SQLITE)
            ),
            *(
                Figure(f"time: jobs(appliances=[one]) / {name}", seconds[JOBS_ONE] / seconds[name])
                for name in ways
                if name.endswith(", one") and name != JOBS_ONE
            ),
            Figure(
                "time: jobs(), newly opened / pyarrow",
                median(turn["first"] for turn in told[JOBS]) / seconds[RAW],
            ),
            *(
                Figure(f"bytes an observation: {name}", size / number)
                for name, size in sizes.items()
            ),
        ],
    )


def _sizes(history: Path) -> list[int]:
    adds = DeltaTable(str(history / "observations")).get_add_actions(flatten=True)
    return [int(size) for size in adds.column("size_bytes").to_pylist()]


def _files(history: Path) -> ds.Dataset:
    """Give the history's files without any check."""
    return ds.dataset(DeltaTable(str(history / "observations")).file_uris())


def _fill_sqlite(path: Path, rows: pa.Table) -> None:
    with closing(sqlite3.connect(path)) as connection:
        frame = rows.to_pandas()
        frame["messages"] = [json.dumps(list(cell), default=str) for cell in frame["messages"]]
        frame.to_sql("observations", connection, index=False, chunksize=100_000)
        connection.execute(
            "create index newest on observations (appliance, job_id, observed_at desc)"
        )


def _raw(place: Path) -> pd.DataFrame:
    table = _files(place / "history").to_table(columns=OBSERVATIONS.names)
    return _to_pandas(table)


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def _raw_one(place: Path) -> pd.DataFrame:
    wanted = ds.field("appliance") == ONE
    table = _files(place / "history").to_table(columns=OBSERVATIONS.names, filter=wanted)
    return _to_pandas(table)


def _duck(place: Path, where: str = "") -> pd.DataFrame:
    with duckdb.connect(place / "duck.db", read_only=True) as connection:
        return connection.execute(NEWEST.format(where=where)).df()


def _sqlite(place: Path, where: str = "") -> pd.DataFrame:
    # SQLite knows no exclude
    query = NEWEST.format(where=where).replace("* exclude (place)", "*")
    with closing(sqlite3.connect(place / "rows.sqlite")) as connection:
        return pd.read_sql(query, connection)


_opened: dict[Path, bk.History] = {}


def _history(place: Path) -> bk.History:
    return _opened.setdefault(place, bk.History(place / "history", create=False))


RAW, JOBS, DUCK, SQLITE = "pyarrow to pandas, the same columns", "jobs()", "DuckDB", "SQLite"
JOBS_ONE = "jobs(), one"
WHERE = f"where appliance = '{ONE}'"
WAYS: dict[str, Callable[[Path], pd.DataFrame]] = {
    RAW: _raw,
    JOBS: lambda place: _history(place).jobs(),
    DUCK: _duck,
    SQLITE: _sqlite,
    JOBS_ONE: lambda place: _history(place).jobs(appliances=[ONE]),
    "pyarrow, one": _raw_one,
    "DuckDB, one": lambda place: _duck(place, WHERE),
    "SQLite, one": lambda place: _sqlite(place, WHERE),
}


def _apart(place: Path, name: str) -> dict[str, float]:
    """Read in a process of its own."""
    print(f"  {name}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "tests.benchmarks.stores", str(place), name]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    told: dict[str, float] = json.loads(out)
    return told


def main(place: str, name: str) -> None:
    """Read twice, and tell how long it took and how much memory."""
    took = []
    for _ in range(2):
        began = time.perf_counter()
        rows = len(WAYS[name](Path(place)))
        took.append(time.perf_counter() - began)
    first, seconds = took
    print(json.dumps({"first": first, "seconds": seconds, "rows": rows, "peak": peak_memory()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
