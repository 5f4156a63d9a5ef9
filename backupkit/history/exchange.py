"""Backup, export and import of a history."""

import contextlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from backupkit.errors import HistoryError, one_line
from backupkit.history.alert_tables import FIRST_TABLE, create_alert_tables
from backupkit.history.arrow_reader import ArrowReader
from backupkit.history.chunks import Chunk, read_chunks
from backupkit.history.databases import Connection, Database, Reader, open_database
from backupkit.history.domain_nodes import DOMAIN_NODES_TABLE, create_domain_nodes_table
from backupkit.history.export_reader import (
    LEDGER_TYPES,
    MANIFEST,
    NOTES_FILE,
    SCHEMAS,
    ApplianceCounts,
    Export,
    Manifest,
    open_folder,
)
from backupkit.history.notes import NOTES_TABLE, NoteLog, create_notes_table, read_notes_table
from backupkit.history.queries import add_durations, find_head
from backupkit.history.rows import to_frame
from backupkit.history.sqlite import SQLite
from backupkit.history.stored import to_microseconds
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES, Table
from backupkit.tables.notes import Note, build_note_frame
from backupkit.texts import escape_formula

__all__ = ["Frames", "MonthlyWriter", "backup", "export", "is_export", "read_frames", "read_notes"]

_KINDS: Final = ("parquet", "csv")
_TABLES: Final[Mapping[str, Table]] = {
    table.name: table for table in (JOBS, OBSERVATIONS, POLLS, SCHEDULES)
}
_SORT_COLUMNS: Final = {
    "jobs": ("appliance", "start_time", "job_id"),
    "observations": ("appliance", "observed_at"),
    "polls": ("appliance", "polled_at"),
    "schedules": ("appliance", "seen_at"),
}
_FIRST_SEEN_COLUMNS: Final = {"jobs": "first_seen_at", "polls": "polled_at", "schedules": "seen_at"}
_MONTH_COLUMNS: Final = {
    "jobs": ("start_time", "last_seen_at"),
    "observations": ("observed_at",),
    "polls": ("polled_at",),
}
"""Times that decide the month of a row: the first that is not missing."""

_ROW_GROUP_SIZE: Final = 16_384
"""Rows in a row group, the smallest part that is read. A writer buffers as many for each month."""


class MonthlyWriter(contextlib.ExitStack):
    """Writes a table into a file for each month; leaving the context closes the files."""

    def __init__(self, system: Any, path: str, name: str) -> None:  # noqa: ANN401 # pyarrow has no types
        super().__init__()
        self._system, self._path, self._name = system, path, name
        self.rows = 0
        self._files: dict[str, Any] = {}
        self._buffered: dict[str, list[pa.Table]] = {}

    def add(self, rows: pa.Table) -> None:
        """Add rows of appliances that follow those before."""
        self.rows += len(rows)
        if self._name not in _MONTH_COLUMNS:
            self._buffer_rows("", rows)
            return
        moments = pc.coalesce(*(rows[name] for name in _MONTH_COLUMNS[self._name])).to_numpy()
        months = moments.astype("datetime64[M]")
        for month in np.unique(months):
            self._buffer_rows(f"/month={month}", rows.filter(pa.array(months == month)))

    def finish(self) -> None:
        """Write the buffered rows, and close the files."""
        for month in self._buffered:
            self._write_month(month)
        self.close()

    def _buffer_rows(self, month: str, rows: pa.Table) -> None:
        waiting = self._buffered.setdefault(month, [])
        waiting.append(rows)
        if sum(map(len, waiting)) >= _ROW_GROUP_SIZE:
            self._write_month(month)

    def _write_month(self, month: str) -> None:
        if month not in self._files:
            folder = f"{self._path}/{self._name}{month}"
            self._system.create_dir(folder, recursive=True)
            self._files[month] = self.enter_context(
                pq.ParquetWriter(
                    f"{folder}/part-0.parquet",
                    SCHEMAS[self._name],
                    filesystem=self._system,
                    compression="zstd",
                )
            )
        rows = self._buffered[month]
        if rows:
            self._files[month].write_table(pa.concat_tables(rows), row_group_size=_ROW_GROUP_SIZE)
        self._buffered[month] = []


def export(database: Database, target: str, kind: str) -> tuple[str, ...]:
    """Write the tables of a history for other programs; see `backupkit.History.export`."""
    if kind not in _KINDS:
        raise HistoryError(f'The kind "{kind}" must be one of {", ".join(_KINDS)}.')
    write = _write_parquet if kind == "parquet" else _write_csv
    with database.read() as reader:
        try:
            paths: tuple[str, ...] = write(reader, target, read_notes_table(reader))
        except (OSError, pa.ArrowException) as error:
            raise HistoryError(
                f"{target} cannot be written: {one_line(str(error))}. The history is unchanged."
            ) from error
    return paths


def _write_parquet(reader: Reader, target: str, notes: Sequence[Note]) -> tuple[str, ...]:
    system, path = open_folder(target)
    inside = fs.FileSelector(path, allow_not_found=True)
    is_file = system.get_file_info(path).type == fs.FileType.File
    _raise_if_exists(target, exists=is_file or bool(system.get_file_info(inside)))
    try:
        manifest = _write_tables(reader, system, path)
        manifest.notes = len(notes)
        if notes:
            with system.open_output_stream(f"{path}/{NOTES_FILE}") as file:
                file.write(msgspec.json.format(msgspec.json.encode(notes)))
        with system.open_output_stream(f"{path}/{MANIFEST}") as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest)))
    except BaseException:
        for name in SCHEMAS:
            with contextlib.suppress(OSError):
                system.delete_dir(f"{path}/{name}")
        with contextlib.suppress(OSError):
            system.delete_file(f"{path}/{NOTES_FILE}")
        raise
    names = [*SCHEMAS, *([NOTES_FILE] if notes else [])]
    return tuple(f"{target.rstrip('/')}/{name}" for name in names)


def _write_tables(reader: Reader, system: Any, path: str) -> Manifest:  # noqa: ANN401 # pyarrow has no types
    shares: dict[str, ApplianceCounts] = {}
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context(MonthlyWriter(system, path, name)) for name in SCHEMAS}
        for chunk in read_chunks(reader):
            for name, frame in _build_frames(reader, chunk):
                files[name].add(_TABLES[name].to_arrow(frame))
                _count_rows(shares, name, frame)
        entries = reader.table(
            f"SELECT {', '.join(LEDGER_TYPES)} FROM appends", LEDGER_TYPES
        ).sort_by("id")
        files["appends"].add(entries)
        for written in files.values():
            written.finish()
    return Manifest(
        head=find_head(reader),
        latest_at=pc.max(entries["latest_at"]).as_py(),
        rows={name: written.rows for name, written in files.items()},
        appliances=dict(sorted(shares.items())),
    )


def _build_frames(reader: Reader, chunk: Chunk) -> Iterator[tuple[str, pd.DataFrame]]:
    """Return the frames of some appliances by table, each in order."""
    rows = {"jobs": add_durations(chunk.jobs), **chunk.rows}
    for name, table in _TABLES.items():
        yield name, to_frame(reader, table, rows[name], by=_SORT_COLUMNS[name])


def _count_rows(shares: dict[str, ApplianceCounts], name: str, frame: pd.DataFrame) -> None:
    """Add the rows of a frame to the shares of the appliances."""
    by = frame.groupby("appliance")
    for appliance, number in by.size().items():
        share = shares.setdefault(str(appliance), ApplianceCounts())
        if name != "schedules":
            setattr(share, name, number)
    if name in _FIRST_SEEN_COLUMNS:
        for appliance, moment in by[_FIRST_SEEN_COLUMNS[name]].min().items():
            share, first = shares[str(appliance)], to_microseconds(moment)
            share.first_at = first if share.first_at is None else min(first, share.first_at)


def _write_csv(reader: Reader, target: str, notes: Sequence[Note]) -> tuple[str, ...]:
    """Write a file for each table; a quote stands before what looks like a formula."""
    if "://" in target:
        raise HistoryError("CSV files cannot be written to a URL. Name a folder.")
    folder = Path(target)
    _raise_if_exists(target, exists=folder.is_file() or (folder.is_dir() and any(folder.iterdir())))
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.csv" for name in (*_TABLES, *(["notes"] if notes else []))}
    try:
        with contextlib.ExitStack() as stack:
            files = {
                name: stack.enter_context(path.open("w", encoding="utf-8", newline=""))
                for name, path in paths.items()
            }
            if notes:
                _convert_for_csv(build_note_frame(notes)).to_csv(files["notes"], index=False)
            for name, table in _TABLES.items():
                _convert_for_csv(table.empty()).to_csv(files[name], index=False)
            for chunk in read_chunks(reader):
                for name, frame in _build_frames(reader, chunk):
                    _convert_for_csv(frame).to_csv(files[name], index=False, header=False)
    except BaseException:
        for path in paths.values():
            path.unlink(missing_ok=True)
        raise
    return tuple(map(str, paths.values()))


def _convert_for_csv(frame: pd.DataFrame) -> pd.DataFrame:
    """Return times as ISO 8601, durations as seconds, and lists as JSON."""
    columns = {}
    for name, column in frame.items():
        if column.dtype.kind == "M":
            columns[name] = column.dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        elif column.dtype.kind == "m":
            columns[name] = column.dt.total_seconds()
        elif isinstance(column.dtype, pd.ArrowDtype):
            texts = [json.dumps(cell) if isinstance(cell, list) else None for cell in column.array]
            columns[name] = _escape_formulas(pd.Series(texts, column.index, "str"))
        elif column.dtype == "str":
            columns[name] = _escape_formulas(column)
        else:
            columns[name] = column
    return pd.DataFrame(columns)


def _escape_formulas(column: pd.Series) -> pd.Series:
    """Escape formulas in a column of texts; each distinct text once."""
    codes, texts = pd.factorize(column)
    escaped = pd.Series([escape_formula(text) for text in texts], dtype="str")
    return escaped.reindex(codes).set_axis(column.index)  # code -1, missing, has no text


def _raise_if_exists(target: str | Path, *, exists: bool) -> None:
    """Raise if the target exists."""
    if exists:
        raise HistoryError(f"{target} exists already. Name a new one, or remove it first.")


_ROWS_PER_BATCH: Final = 500_000
"""Rows of an export to read at once."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Three frames to append."""

    observations: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame


def backup(database: Database, target: Path) -> Path:
    """Copy a history into a new file; see `backupkit.History.backup`."""
    _raise_if_exists(target, exists=os.path.lexists(target))
    copy = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    with database.read():  # raises if the history is gone
        pass
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(database, SQLite):
            database.copy_to(copy)
        else:
            with database.read() as reader:
                SQLite(copy, create=True).write(lambda new: _copy_tables(reader, new))
        _raise_if_exists(target, exists=os.path.lexists(target))
        copy.rename(target)
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)  # without the temporary name
        raise HistoryError(
            f"The history {database.uri} cannot be copied to {target}: {one_line(reason)}. "
            "Check the disk, or name another file; the history is unchanged."
        ) from error
    finally:
        for ending in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                copy.with_name(f"{copy.name}{ending}").unlink()
    return target


def _copy_tables(reader: ArrowReader, new: Connection) -> None:
    """Copy all rows with their numbers, from PostgreSQL."""
    if reader.has_table(FIRST_TABLE):
        create_alert_tables(new)
    if reader.has_table(NOTES_TABLE):
        create_notes_table(new)
    if reader.has_table(DOMAIN_NODES_TABLE):
        create_domain_nodes_table(new)
    tables = new.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
    for (table,) in tables:
        new.execute(f"DELETE FROM {table}")
        columns = [row[1] for row in new.execute(f"PRAGMA table_info({table})")]
        for rows in reader.batches(f"SELECT {', '.join(columns)} FROM {table}"):
            values = (column.to_pylist() for column in rows.columns)
            new.insert(table, columns, zip(*values, strict=True))


def is_export(source: str | Path) -> bool:
    """Return whether a source is the folder or URL of an export, not a history."""
    scheme, separator, _ = str(source).partition("://")
    if separator and not isinstance(source, Path):
        return scheme not in {"postgresql", "postgres"}
    return Path(source).is_dir()


def read_frames(source: str | Path, *, into: Database) -> Iterator[Frames]:
    """Yield the frames of a history or an export, some appliances at a time.

    Nothing is yielded if `into` is the file of the source itself.
    """
    if is_export(source):
        yield from _read_exported_frames(Export(source))
        return
    database = open_database(source, create=False)
    if (
        isinstance(into, SQLite)
        and isinstance(database, SQLite)
        and os.path.realpath(into.path) == os.path.realpath(database.path)
    ):
        return
    with database.read() as reader:
        for chunk in read_chunks(reader):
            frames = dict(_build_frames(reader, chunk))
            yield Frames(frames["observations"], frames["polls"], frames["schedules"])


def read_notes(source: str | Path) -> tuple[Note, ...]:
    """Return the notes of a history or an export."""
    if is_export(source):
        return Export(source).read_notes()
    return NoteLog(open_database(source, create=False)).read()


def _read_exported_frames(source: Export) -> Iterator[Frames]:
    source.check()
    for names in source.batches(_ROWS_PER_BATCH):
        yield Frames(
            *(
                table.from_arrow(source.read(table.name, appliances=names))
                for table in (OBSERVATIONS, POLLS, SCHEDULES)
            )
        )
