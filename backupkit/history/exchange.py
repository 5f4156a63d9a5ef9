"""A history's tables as Parquet, CSV or SQLite, for other programs and other histories."""

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, get_args

import pandas as pd
import pyarrow.parquet as pq

from backupkit.errors import HistoryError
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES, Table

__all__ = ["Kind", "read_parquet", "write_tables"]

Kind = Literal["parquet", "csv", "sqlite"]

_TABLES: Final[Mapping[str, Table]] = {
    "jobs": JOBS,
    "observations": OBSERVATIONS,
    "polls": POLLS,
    "schedules": SCHEDULES,
}


def write_tables(frames: Mapping[str, pd.DataFrame], target: Path, kind: Kind) -> tuple[Path, ...]:
    """Write the tables of a history.

    Parameters
    ----------
    frames : mapping of str to DataFrame
        jobs, observations, polls and schedules, of these tables.
    target : Path
        A new folder for Parquet and CSV, a new file for SQLite.
    kind : {"parquet", "csv", "sqlite"}
        What to write. In CSV and SQLite times are ISO 8601 in UTC, durations seconds, and lists are
        JSON.

    Returns
    -------
    tuple of Path
        The files.

    Raises
    ------
    HistoryError
        If the target exists already, or cannot be written.
    """
    if kind not in get_args(Kind):
        raise HistoryError(f'"{kind}" is none of {", ".join(get_args(Kind))}.')
    if target.exists():
        raise HistoryError(f"{target} is there already; name a new one, or remove it first.")
    try:
        if kind == "sqlite":
            with contextlib.closing(sqlite3.connect(target)) as database:
                for name, frame in frames.items():
                    _plain(frame).to_sql(name, database, index=False)
            return (target,)
        target.mkdir(parents=True)
        written = []
        for name, frame in frames.items():
            path = target / f"{name}.{kind}"
            if kind == "parquet":
                pq.write_table(_TABLES[name].to_arrow(frame), path)
            else:
                _plain(frame).to_csv(path, index=False)
            written.append(path)
        return tuple(written)
    except (OSError, sqlite3.Error) as error:
        raise HistoryError(f"{target} cannot be written: {error}") from error


def read_parquet(folder: Path) -> dict[str, pd.DataFrame]:
    """Read what `write_tables` wrote as Parquet.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    dict of str to DataFrame
        observations, polls and schedules.

    Raises
    ------
    HistoryError
        If a file is missing or cannot be read.
    """
    frames = {}
    for name in ("observations", "polls", "schedules"):
        path = folder / f"{name}.parquet"
        try:
            frames[name] = _TABLES[name].from_arrow(pq.read_table(path))
        except (OSError, ValueError) as error:
            raise HistoryError(
                f"{path} cannot be read: {error}. Name a history folder, or one that "
                "backupkit history export --format parquet wrote."
            ) from error
    return frames


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Give times, durations and lists as other programs know them."""
    columns = {}
    for name, column in frame.items():
        if column.dtype.kind == "M":
            columns[name] = column.dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        elif column.dtype.kind == "m":
            columns[name] = column.dt.total_seconds()
        elif isinstance(column.dtype, pd.ArrowDtype):
            texts = [json.dumps(cell) if isinstance(cell, list) else None for cell in column.array]
            columns[name] = pd.Series(texts, column.index, "str")
        else:
            columns[name] = column
    return pd.DataFrame(columns)
