"""Backups, exports and imports of a history contain the same rows."""

import csv
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import fsspec
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from backupkit import History
from backupkit.errors import HistoryError
from backupkit.history import AppendResult, Kind, chunks, exchange
from backupkit.history.export_reader import MANIFEST, Export
from backupkit.history.sqlite import SQLite
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES
from tests.builders import message, observation, poll, schedule, snapshot_of

START = pd.Timestamp("2026-01-25T02:00:00", tz="UTC")
DAY = pd.Timedelta(days=1)
HOUR = pd.Timedelta(hours=1)
NAMES = ("vc-ham-01", "vc-ham-02", "vc-nyc-01", "Über=1/2 %41")
DAYS = 12
ODD = "[a] ^b|c#d?e&f %41=1 ü "
"""A valid file name that means something else in a URL or a pattern."""


def polled(day: int, *names: str) -> SimpleNamespace:
    """Build the snapshot of a day: jobs, polls and schedules of each appliance."""
    moment = START + day * DAY
    rows: list[dict[str, Any]] = []
    for name in names:
        if day % 5 == 4:
            continue
        failed = (day + len(name)) % 4 == 0
        ended = observation(
            name,
            f"{day:03}",
            "FAILED" if failed else "SUCCEEDED",
            observed_at=moment + HOUR,
            start_time=moment,
            end_time=moment + HOUR / 2,
            messages=[message(f'=cmd|"{name}"\n,;{day}', "x", ["a", "b"])] if failed else [],
            size=1 << (30 + day),
            location=f"sftp://nas/{name}",
            source="details",
        )
        rows.append(ended)
        if day % 3 == 0:
            runs = {"state": "INPROGRESS", "status": "RUNNING", "end_time": None}
            rows.append(ended | runs | {"observed_at": moment + HOUR / 4, "messages": None})
        if day >= 3:
            gone = {"appliance": name, "job_id": f"{day - 3:03}", "source": "list"}
            rows.append(gone | {"observed_at": moment + HOUR})
    error = "timeout" if day % 5 == 4 else None
    elapsed = pd.Timedelta(microseconds=1_234_567)
    polls = [poll(name, moment + HOUR, error, elapsed=elapsed, requests=3) for name in names]
    schedules = [
        schedule(name, seen_at=moment + HOUR, hour=day // 6, days=["MONDAY"]) for name in names
    ]
    return snapshot_of(rows, polls, schedules)


def fill(history: History) -> History:
    """Append some days."""
    for day in range(DAYS):
        history.append(polled(day, *NAMES))
    return history


def assert_same(one: History, other: History) -> None:
    """Check that two histories have the same rows."""
    by = ["appliance", "job_id", "observed_at"]
    left, right = (
        history.observations().sort_values(by, ignore_index=True) for history in (one, other)
    )
    assert_frame_equal(left, right)
    assert_frame_equal(one.jobs(), other.jobs())
    assert_frame_equal(one.polls(), other.polls())
    assert_frame_equal(one.schedules(), other.schedules())


def has_files(path: Path) -> bool:
    """Return whether a folder or its subfolders contain a file."""
    return any(entry.is_file() for entry in path.rglob("*"))


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> History:
    """Return a history of some days, in SQLite, then in PostgreSQL."""
    if request.param == "sqlite":
        return fill(History(tmp_path / "history.db"))
    url: str = request.getfixturevalue("postgres_url")
    return fill(History(url))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set small chunks for reads and writes."""
    monkeypatch.setattr(chunks, "_ROWS_PER_CHUNK", 1)
    monkeypatch.setattr(exchange, "_ROW_GROUP_SIZE", 3)
    monkeypatch.setattr("backupkit.history.exchange._ROWS_PER_BATCH", 1)


# --- backup ---------------------------------------------------------------------------------------


def test_backup(stored: History, tmp_path: Path) -> None:
    """A backup is a complete history with the same past."""
    stored.prune(START + 2 * DAY)
    target = tmp_path / "new" / f"{ODD}.db"
    assert stored.backup(target) == target
    copy = History(target, create=False)
    assert (copy.head, copy.identity) == (stored.head, stored.identity)
    assert copy.verify(head=stored.head).empty
    assert_same(copy, stored)
    copy.append(polled(DAYS, *NAMES))
    assert len(copy.polls()) == len(stored.polls()) + len(NAMES)
    assert copy.verify(head=stored.head).empty
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_backup_of_nothing(tmp_path: Path, postgres_url: str) -> None:
    """An empty history can be backed up."""
    for number, history in enumerate((History(tmp_path / "a.db"), History(postgres_url))):
        copy = History(history.backup(tmp_path / f"{number}.db"))
        assert copy.identity == history.identity
        assert copy.verify().empty


def test_backup_into_a_file(stored: History, tmp_path: Path) -> None:
    """A backup into a file in place of a folder is an error, and changes nothing."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(HistoryError, match=r"cannot be copied to .* the history is unchanged") as e:
        stored.backup(tmp_path / "file" / "copy.db")
    assert ".part" not in str(e.value)


def test_export_of_nothing(tmp_path: Path, target: str) -> None:
    """The import of an empty history adds nothing."""
    History(target).export(tmp_path / "export")
    assert History(tmp_path / "other.db").merge(tmp_path / "export") == AppendResult()


def test_backup_during_appends(stored: History, tmp_path: Path) -> None:
    """A backup during appends is consistent."""
    begun, done = threading.Event(), threading.Event()

    def append() -> None:
        day = DAYS
        while not done.is_set():
            stored.append(polled(day, *NAMES))
            begun.set()
            day += 1

    thread = threading.Thread(target=append)
    thread.start()
    begun.wait()
    try:
        copies = [History(stored.backup(tmp_path / f"{number}.db")) for number in range(3)]
    finally:
        done.set()
        thread.join()
    for copy in copies:
        assert copy.verify().empty
        assert stored.verify(head=copy.head).empty


def test_backup_is_refused(stored: History, tmp_path: Path) -> None:
    """A backup does not overwrite a file."""
    target = tmp_path / "copy.db"
    target.write_text("a letter")
    with pytest.raises(HistoryError, match=r"copy\.db exists already\. Name a new one"):
        stored.backup(target)
    assert target.read_text() == "a letter"


_FULL = """
import resource, signal, sys
from pathlib import Path
from backupkit import History
from backupkit.errors import HistoryError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
history = History(sys.argv[1], create=False)
resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
for act in (
    lambda: history.backup(sys.argv[2] + "/copy.db"),
    lambda: history.export(sys.argv[2] + "/export"),
    lambda: history.export(sys.argv[2] + "/csv", kind="csv"),
):
    try:
        act()
    except HistoryError as error:
        print(error)
"""


def test_full_disk(stored: History, tmp_path: Path) -> None:
    """On a full disk backups and exports are errors, and leave no file."""
    snapshot = polled(1, *(f"vc-{number}-{os.urandom(40).hex()}" for number in range(2_500)))
    stored.append(snapshot)
    folder = tmp_path / "folder"
    folder.mkdir()
    command = [sys.executable, "-c", _FULL, stored.uri, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done
    assert all(str(folder) in line for line in lines)
    assert "disk" in lines[0]
    assert all("cannot be written: " in line and "too large" in line for line in lines[1:])
    assert not has_files(folder)


def test_backup_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    """An interrupted backup leaves no file."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SQLite, "copy_to", interrupt)
    monkeypatch.setattr("backupkit.history.exchange._copy_tables", interrupt)
    for name in (tmp_path / "a.db", postgres_url):
        history = History(name)
        with pytest.raises(KeyboardInterrupt):
            history.backup(tmp_path / "copies" / "copy.db")
        assert not has_files(tmp_path / "copies")


# --- Parquet --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_pieces")
def test_parquet(stored: History, tmp_path: Path) -> None:
    """Each row of a Parquet export is in the folder of its month, sorted by appliance."""
    target = tmp_path / ODD
    names = ("jobs", "observations", "polls", "schedules", "appends")
    assert stored.export(target) == tuple(f"{target}/{name}" for name in names)
    times = {"jobs": "start_time", "observations": "observed_at", "polls": "polled_at"}
    frames = {}
    for table in (JOBS, OBSERVATIONS, POLLS, SCHEDULES):
        files = sorted((target / table.name).rglob("*.parquet"))
        months = [path.parent.name for path in files]
        expected = ["month=2026-01", "month=2026-02"]
        assert months == (expected if table.name in times else [table.name])
        parts = []
        for path in files:
            file = pq.ParquetFile(path)
            assert file.schema_arrow.equals(table.arrow_schema)
            assert file.num_row_groups > 1
            part = table.from_arrow(file.read())
            assert part["appliance"].is_monotonic_increasing
            if table.name in times:
                month = part[times[table.name]].dt.strftime("month=%Y-%m")
                assert (month == path.parent.name).all()
            parts.append(part)
        frames[table.name] = pd.concat(parts, ignore_index=True)
    for name, by in (
        ("jobs", ["appliance", "start_time"]),
        ("observations", ["appliance", "job_id", "observed_at"]),
        ("polls", ["appliance", "polled_at"]),
        ("schedules", ["appliance", "seen_at"]),
    ):
        expected = getattr(stored, name)().sort_values(by, ignore_index=True)
        assert_frame_equal(frames[name].sort_values(by, ignore_index=True), expected)
    manifest = Export(target).manifest
    assert manifest.head == stored.head
    assert manifest.rows == {**{name: len(frames[name]) for name in names[:4]}, "appends": DAYS}
    assert list(manifest.appliances) == sorted(NAMES)
    assert manifest.appliances[NAMES[0]].polls == DAYS
    first = stored.jobs()["first_seen_at"].min()
    assert manifest.appliances[NAMES[0]].first_at == first.value // 1000


def test_duckdb(stored: History, tmp_path: Path) -> None:
    """DuckDB reads an export, with the same results as pandas."""
    stored.export(tmp_path / "export")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(
            "SELECT appliance, count(*), avg((outcome = 'success')::INT), sum(duration) / 1e6, "
            "min(start_time)::VARCHAR "
            "FROM read_parquet(?, hive_partitioning = true) "
            "WHERE outcome IN ('success', 'failure') AND month >= '2026-02' "
            "GROUP BY appliance ORDER BY appliance",
            [f"{tmp_path}/export/jobs/**/*.parquet"],
        ).fetchall()
    jobs = stored.jobs()
    february = jobs["start_time"] >= pd.Timestamp("2026-02-01", tz="UTC")
    over = jobs[february & jobs["outcome"].isin(["success", "failure"])]
    by = over.groupby("appliance")
    assert [row[0] for row in rows] == sorted(NAMES)
    assert [row[1] for row in rows] == by.size().to_list()
    rate = by["outcome"].apply(lambda outcome: (outcome == "success").mean())
    assert [row[2] for row in rows] == pytest.approx(rate.to_list())
    assert [row[3] for row in rows] == by["duration"].sum().dt.total_seconds().to_list()
    assert rows[0][4] == str(by["start_time"].min().iloc[0]).replace("+00:00", "+00")


def test_urls(stored: History, tmp_path: Path) -> None:
    """A URL of pyarrow or of fsspec can be a target and a source."""
    urls = [(tmp_path / ODD).as_uri(), f"memory://exports/{tmp_path.name}"]
    for number, url in enumerate(urls):
        stored.export(url)
        other = History(tmp_path / f"{number}.db")
        other.merge(url)
        assert_same(other, stored)
    assert (tmp_path / ODD / MANIFEST).exists()
    fsspec.filesystem("memory").rm("/exports", recursive=True)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("nowhere://folder", r"cannot be opened\. pyarrow: .* fsspec: .*nowhere"),
        ("s3://key:Gr3ek@bucket/x", r"export on bucket/x holds a password\. Leave it out"),
        ("file", r"file exists already"),
        ("full", r"full exists already"),
        ("file/in", r"cannot be written: "),
    ],
)
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_bad_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, expected: str, kind: Kind
) -> None:
    """No target is overwritten, and no error contains a password."""
    if kind == "csv" and "://" in target:
        expected = "CSV files cannot be written to a URL"
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("a letter")
    Path("full").mkdir()
    Path("full/letter").write_text("a letter")
    with pytest.raises(HistoryError, match=expected) as caught:
        History("history.db").export(target, kind=kind)
    assert "Gr3ek" not in str(caught.value)
    assert Path("file").read_text() == Path("full/letter").read_text() == "a letter"


def test_no_such_kind(tmp_path: Path) -> None:
    """An unknown format is refused."""
    with pytest.raises(HistoryError, match='"xml" must be one of parquet, csv'):
        History(tmp_path / "a.db").export(tmp_path / "x", kind="xml")  # type: ignore[arg-type]


def test_export_is_cut(stored: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted export leaves no file."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(exchange, "find_head", interrupt)
    with pytest.raises(KeyboardInterrupt):
        stored.export(tmp_path / "export")
    assert not has_files(tmp_path / "export")
    monkeypatch.undo()
    stored.export(tmp_path / "export")
    monkeypatch.setattr(exchange, "_convert_for_csv", interrupt)
    with pytest.raises(KeyboardInterrupt):
        stored.export(tmp_path / "csv", kind="csv")
    assert not has_files(tmp_path / "csv")


# --- CSV ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_pieces")
def test_csv(stored: History, tmp_path: Path) -> None:
    """CSV has times in ISO 8601, durations in seconds, and lists in JSON."""
    paths = stored.export(tmp_path / ODD, kind="csv")
    names = ["jobs", "observations", "polls", "schedules"]
    assert [Path(path).name for path in paths] == [f"{name}.csv" for name in names]
    rows = {}
    for name, path in zip(names, paths, strict=True):
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows[name] = list(csv.DictReader(file))
        assert len(rows[name]) == len(getattr(stored, name)())
    job = next(row for row in rows["jobs"] if row["outcome"] == "failure")
    assert job["start_time"].startswith("2026-")
    assert job["start_time"].endswith(":00.000000Z")
    assert float(job["duration"]) == 1_800
    [failure] = json.loads(job["messages"])
    assert failure["default_message"].startswith('=cmd|"')
    assert rows["polls"][0]["elapsed"] == "1.234567"
    assert rows["schedules"][0]["days"] == '["MONDAY"]'
    assert [row["appliance"] for row in rows["jobs"]] == sorted(
        r["appliance"] for r in rows["jobs"]
    )


def test_csv_formulas(make_history: Callable[[], History], tmp_path: Path) -> None:
    """No cell of a CSV export runs as a formula, as in the CSV of a report."""
    history = make_history()
    evil = "=1+1", "x;@sum(a)", "\t-2", "plain"
    rows = [observation("vc-1", text, type=text, location=text, observed_at=START) for text in evil]
    history.append(snapshot_of(rows))
    paths = history.export(tmp_path / "csv", kind="csv")
    with Path(paths[0]).open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    safe = {"'=1+1", "x;'@sum(a)", "'\t-2", "plain"}
    for name in ("job_id", "type", "location"):
        assert {row[name] for row in found} == safe
    assert {row["build"] for row in found} == {""}


# --- import ---------------------------------------------------------------------------------------

Source = Callable[[History, Path], str | Path]
SOURCES: dict[str, Source] = {
    "history": lambda history, _: history.uri,
    "export": lambda history, folder: Path(history.export(folder / "export")[0]).parent,
}


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("into", ["sqlite", "postgresql"])
def test_merge(
    stored: History,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    source: Source,
    into: str,
) -> None:
    """A merge adds all rows once; after merges in both directions two histories are equal."""
    server = request.getfixturevalue("postgres_server")
    url = server.create_database() if into == "postgresql" else tmp_path / "other.db"
    other = History(url)
    place = source(stored, tmp_path)
    added = other.merge(place)
    assert added.observations == len(stored.observations())
    assert_same(other, stored)
    assert other.verify().empty
    head = other.head
    again = other.merge(place)
    assert (again.observations, again.polls, again.schedules) == (0, 0, 0)
    assert other.head == head
    other.append(polled(DAYS, "vc-new"))
    stored.append(polled(DAYS, *NAMES))
    stored.merge(other.uri)
    other.merge(stored.uri)
    assert_same(other, stored)
    assert stored.verify().empty


def test_merge_of_itself(stored: History) -> None:
    """A merge of a history with itself adds nothing."""
    head = stored.head
    assert stored.merge(stored.uri).observations == 0
    assert stored.head == head


def test_bad_sources(stored: History, tmp_path: Path) -> None:
    """An incomplete export, or one of another version, is refused."""
    target = tmp_path / "export"
    stored.export(target)
    other = History(tmp_path / "other.db")
    manifest = target / MANIFEST
    text = manifest.read_text()
    manifest.write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(HistoryError, match=r"format 2; this one knows 1\). Update backupkit"):
        other.merge(target)
    manifest.write_text(text[:99])
    with pytest.raises(HistoryError, match=f"{MANIFEST} cannot be read: .* Export the history"):
        other.merge(target)
    manifest.write_text(text)
    (file, *_) = (target / "polls").rglob("*.parquet")
    file.unlink()
    with pytest.raises(HistoryError, match=r"is incomplete: polls has \d+ rows of 48\. Export"):
        other.merge(target)
    manifest.unlink()
    with pytest.raises(HistoryError, match=f"is no complete export of a history: {MANIFEST} is"):
        other.merge(target)
    with pytest.raises(HistoryError, match="holds no history yet"):
        other.merge(tmp_path / "none.db")
    assert other.merge(stored.uri).polls == 48
