"""Backup of a history, and the frames of an import."""

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from backupkit.errors import HistoryError, one_line
from backupkit.history.databases import ArrowReader, Connection, Database, open_database
from backupkit.history.export_reader import Export
from backupkit.history.export_writer import Kind, export, frames_in, refuse
from backupkit.history.scan import chunks
from backupkit.history.sqlite import SQLite
from backupkit.tables import OBSERVATIONS, POLLS, SCHEDULES

__all__ = ["Frames", "Kind", "backup", "export", "frames_of", "is_export"]

_AT_ONCE: Final = 500_000
"""Rows of an export that are read at once."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Three frames to append."""

    observations: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame


def backup(database: Database, target: Path) -> Path:
    """Copy a history into a new file; see `backupkit.History.backup`."""
    refuse(target, exists=os.path.lexists(target))
    copy = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(database, SQLite):
            database.copy_to(copy)
        else:
            with database.read() as reader:
                SQLite(copy, create=True).write(lambda new: _copy_tables(reader, new))
        refuse(target, exists=os.path.lexists(target))
        copy.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise HistoryError(
            f"The history {database.uri} cannot be copied to {target}: {one_line(str(error))}. "
            "Check the disk there, or name another place; the history is as it was."
        ) from error
    finally:
        for ending in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                copy.with_name(f"{copy.name}{ending}").unlink()
    return target


def _copy_tables(reader: ArrowReader, new: Connection) -> None:
    """Copy all rows, with the numbers that they have."""
    tables = new.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
    for (table,) in tables:
        new.execute(f"DELETE FROM {table}")
        columns = [row[1] for row in new.execute(f"PRAGMA table_info({table})")]
        for rows in reader.batches(f"SELECT {', '.join(columns)} FROM {table}"):
            values = (column.to_pylist() for column in rows.columns)
            new.insert(table, columns, zip(*values, strict=True))


def is_export(source: str | Path) -> bool:
    """Return whether a source is the folder or URL of an export, and no other history."""
    scheme, separator, _ = str(source).partition("://")
    if separator and not isinstance(source, Path):
        return scheme not in {"postgresql", "postgres"}
    return Path(source).is_dir()


def frames_of(source: str | Path, *, into: Database) -> Iterator[Frames]:
    """Read another history, or an export of one, some appliances at a time.

    Parameters
    ----------
    source : str or Path
        Its path or URL.
    into : Database
        Where the frames go; it may be the source itself, and then holds all of it already.
    """
    if is_export(source):
        yield from _exported_frames(Export(source))
        return
    database = open_database(source, create=False)
    if isinstance(into, SQLite) and isinstance(database, SQLite) and _is_same(database, into):
        return
    with database.read() as reader:
        for chunk in chunks(reader):
            frames = dict(frames_in(reader, chunk))
            yield Frames(frames["observations"], frames["polls"], frames["schedules"])


def _is_same(one: SQLite, other: SQLite) -> bool:
    return os.path.realpath(one.path) == os.path.realpath(other.path)


def _exported_frames(source: Export) -> Iterator[Frames]:
    source.check()
    for names in source.batches(_AT_ONCE):
        yield Frames(
            *(
                table.from_arrow(source.read(table.name, appliances=names))
                for table in (OBSERVATIONS, POLLS, SCHEDULES)
            )
        )
