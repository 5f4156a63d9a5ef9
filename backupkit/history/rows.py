"""Conversion of frames to stored rows and back."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backupkit.errors import HistoryError
from backupkit.history.databases import Reader
from backupkit.history.schema import TEXT_TABLES, sql_kind
from backupkit.history.stored import split_keys
from backupkit.tables import OBSERVATIONS, POLLS, SCHEDULES, Column, Table
from backupkit.tables.job_ids import MAX_ID_LENGTH, to_stored_id
from backupkit.tables.kinds import FLAG

__all__ = [
    "find_appliance_ids",
    "read_stored_columns",
    "to_frame",
    "to_stored_columns",
    "to_stored_frames",
    "to_stored_texts",
]

_READ_BY_ID_LIMIT: Final = 500
"""Up to this number, texts and names are read by id, above it the complete table."""

_Positions = npt.NDArray[np.int64]
_NO_APPLIANCES: Final = (pa.array([], pa.large_string()), np.zeros(0, dtype=np.int64))


# --- from frames ---------------------------------------------------------------------------------


def to_stored_columns(
    table: Table, columns: Sequence[Column], frame: pd.DataFrame
) -> list[list[Any]]:
    """Return columns of a frame as they are stored and hashed.

    The values are texts, microseconds, 0 or 1, JSON for lists, and None where missing.
    """
    rows = table.to_arrow(frame)
    return [_to_stored_values(column, rows[column.name]) for column in columns]


def to_stored_frames(
    observations: pd.DataFrame, polls: pd.DataFrame, schedules: pd.DataFrame
) -> dict[str, dict[str, list[Any]]]:
    """Return the columns of three frames as they are stored; raise if one is not of its table."""
    frames = ((OBSERVATIONS, observations), (POLLS, polls), (SCHEDULES, schedules))
    return {
        table.name: dict(
            zip(
                table.names,
                to_stored_columns(table, table.columns, to_stored_texts(table.check(frame))),
                strict=True,
            )
        )
        for table, frame in frames
    }


def _to_stored_values(column: Column, values: pa.ChunkedArray) -> list[Any]:
    kind = sql_kind(column)
    if kind in {"messages", "list"}:
        texts: dict[bytes, str] = {}
        encoded: list[str | None] = []
        for value in values.to_pylist():
            if value is None:
                encoded.append(None)
                continue
            raw = msgspec.json.encode(value)
            encoded.append(texts.setdefault(raw, raw.decode()))
        return encoded
    if kind == "integer":
        values = values.cast(pa.int8() if column.kind == FLAG else pa.int64())
    if kind == "real":
        values = pc.add(values, 0.0)  # SQLite has no negative zero
    plain: list[Any] = values.to_pylist()
    return plain


def to_stored_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with its texts as they are stored; see `to_stored_id`."""
    changed = {}
    for name in frame.columns:
        texts = frame[name]
        if not isinstance(texts.dtype, pd.StringDtype):
            continue
        needs_change = texts.str.contains("\0", regex=False)
        if name == "job_id":
            needs_change |= texts.str.len() > MAX_ID_LENGTH
            if needs_change.any():
                changed[name] = texts.where(~needs_change, texts.map(to_stored_id))
        elif needs_change.any():
            changed[name] = texts.str.replace("\0", "\ufffd", regex=False)
    return frame.assign(**changed) if changed else frame


# --- to frames -----------------------------------------------------------------------------------


def to_frame(
    reader: Reader,
    table: Table,
    rows: pa.Table,
    *,
    columns: Sequence[str] | None = None,
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """Return rows that `select` chose as a frame, or some of its columns.

    `by` orders the rows by appliance (alphabetically), times, and a text.
    """
    wanted = [column for column in table if columns is None or column.name in columns]
    names, positions = (
        _read_appliance_names(reader, rows) if "appliance" in rows.column_names else _NO_APPLIANCES
    )
    order = _find_row_order(rows, positions, by)
    texts = _Texts(reader, rows, wanted)
    arrays = {}
    for column in wanted:
        if column.name not in rows.column_names:
            values = pa.chunked_array([pa.nulls(len(rows), column.arrow)])
        elif (kind := sql_kind(column)) == "appliance":
            index = positions if order is None else positions[order.to_numpy()]
            values = pa.chunked_array([names.take(pa.array(index))])
        else:
            values = rows[column.name]
            values = values if order is None else values.take(order)
            if kind in TEXT_TABLES:
                values = texts.decoded(column, values)
            elif column.kind == FLAG:
                values = values.cast(pa.bool_())
            elif kind == "integer":
                values = values.cast(column.arrow)
        # arrays, as pandas would align series by their index
        arrays[column.name] = column.to_series(column.load(values)).array
    return pd.DataFrame(arrays, index=pd.RangeIndex(len(rows)), copy=False)


class _Texts:
    """Texts and lists by the numbers that stand for them in some columns."""

    def __init__(self, reader: Reader, rows: pa.Table, columns: Sequence[Column]) -> None:
        self._known: dict[str, tuple[pa.Array, pa.Array]] = {}
        for stored in sorted(set(TEXT_TABLES.values())):
            own = [
                pc.unique(rows[column.name]).drop_null()
                for column in columns
                if TEXT_TABLES.get(sql_kind(column)) == stored and column.name in rows.column_names
            ]
            if own:
                self._known[stored] = _read_texts(reader, stored, pc.unique(pa.concat_arrays(own)))

    def plain(self, column: Column, numbers: pa.ChunkedArray) -> list[str | None]:
        """Return the texts of a column as they are stored."""
        ids, texts = self._known[TEXT_TABLES[sql_kind(column)]]
        taken: list[str | None] = texts.take(_find_positions(numbers, ids)).to_pylist()
        return taken

    def decoded(self, column: Column, numbers: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the values of a column of a frame."""
        ids, texts = self._known[TEXT_TABLES[sql_kind(column)]]
        if sql_kind(column) == "text":
            return pa.chunked_array(
                [texts.cast(pa.large_string()).take(_find_positions(numbers, ids))]
            )
        own = pc.unique(numbers).drop_null()  # other columns may have texts that are no lists
        lists = texts.take(pc.index_in(own, value_set=ids)).to_pylist()
        try:
            values = pa.array(
                [None if text is None else msgspec.json.decode(text) for text in lists],
                column.arrow,
            )
        except (msgspec.DecodeError, pa.ArrowException) as error:
            raise HistoryError(
                f"The column {column.name} of the history cannot be read: a text in it is damaged. "
                "List all damage with: backupkit history verify"
            ) from error
        return pa.chunked_array([values.take(_find_positions(numbers, own))])


def _find_positions(numbers: pa.ChunkedArray, ids: pa.Array) -> pa.Array:
    """Return the position of each number in ids; faster than the hash table of Arrow."""
    known, wanted = ids.to_numpy(), numbers.fill_null(0).to_numpy()
    positions = np.full(
        int(max(known.max(initial=0), wanted.max(initial=0))) + 1, -1, dtype=np.int32
    )
    positions[known] = np.arange(len(known))
    found = positions[wanted]
    return pa.array(found, mask=(found < 0) | numbers.is_null().to_numpy())


def _find_row_order(rows: pa.Table, positions: _Positions, by: Sequence[str]) -> pa.Array | None:
    """Return the order of rows; missing times are last, and a text decides only between equals."""
    keys: list[_Positions] = []
    texts: pa.Array | None = None
    for name in by:
        if name == "appliance":
            keys.append(positions)
        elif pa.types.is_string(rows[name].type):
            texts = rows[name].combine_chunks()
        else:
            keys.append(rows[name].fill_null(np.iinfo(np.int64).max).to_numpy())
    if not keys:
        return None
    order = np.lexsort(keys[::-1])
    if texts is not None:
        differs = np.zeros(max(len(order) - 1, 0), dtype=bool)
        for key in keys:
            differs |= key[order[1:]] != key[order[:-1]]
        if not differs.all():
            equal = np.flatnonzero(~np.append(differs, True) | ~np.insert(differs, 0, True))
            group = np.cumsum(np.insert(differs, 0, False))[equal]
            ranks = pc.rank(texts.take(pa.array(order[equal])), tiebreaker="dense").to_numpy()
            order[equal] = order[equal][np.lexsort((ranks, group))]
    return None if (np.diff(order) == 1).all() else pa.array(order)


def _read_appliance_names(reader: Reader, rows: pa.Table) -> tuple[pa.Array, _Positions]:
    """Return the names in alphabetical order, and the position of each row's name."""
    types = {"name": "text", "id": "integer"}
    query = "SELECT name, id FROM appliances"
    owners = pc.unique(rows["appliance"])
    if len(owners) <= _READ_BY_ID_LIMIT:
        query += f" WHERE id IN ({', '.join(map(str, owners.to_pylist())) or 'NULL'})"
    known = sorted(reader.rows(query, types))
    size = max((number for _, number in known), default=0) + 1
    positions = np.zeros(size, dtype=np.int64)
    positions[[number for _, number in known]] = np.arange(len(known))
    names = pa.array([name for name, _ in known], pa.large_string())
    return names, positions[rows["appliance"].to_numpy()]


def find_appliance_ids(reader: Reader, names: Collection[str]) -> dict[str, int]:
    """Return the numbers of appliances by name; unknown names are left out."""
    types = {"name": "text", "id": "integer"}
    query = "SELECT name, id FROM appliances"
    if len(names) <= _READ_BY_ID_LIMIT:
        quoted = ("'" + name.replace("'", "''").replace("\0", "") + "'" for name in names)
        query += f" WHERE name IN ({', '.join(quoted) or 'NULL'})"
    return {name: number for name, number in reader.rows(query, types) if name in names}


def _read_texts(reader: Reader, table: str, ids: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return numbers, and their texts in the same order."""
    types = {"id": "integer", "text": "text"}
    query = f"SELECT id, text FROM {table}"
    if len(ids) <= _READ_BY_ID_LIMIT:
        parts = [
            reader.table(f"{query} WHERE id IN ({', '.join(map(str, part))})", types)
            for part in split_keys(ids.to_pylist())
        ]
        rows = pa.concat_tables(parts) if parts else pa.table([[], []], names=list(types))
    else:
        rows = reader.table(query, types)
        rows = rows.filter(pc.is_in(rows["id"], value_set=ids))
    return (
        rows["id"].cast(pa.int64()).combine_chunks(),
        rows["text"].cast(pa.string()).combine_chunks(),
    )


def read_stored_columns(
    reader: Reader, columns: Sequence[Column], rows: pa.Table
) -> list[list[Any]]:
    """Return stored rows in the form of `to_stored_columns`."""
    texts = _Texts(reader, rows, columns)
    plain: list[list[Any]] = []
    for column in columns:
        kind = sql_kind(column)
        if kind == "appliance":
            names, places = _read_appliance_names(reader, rows)
            plain.append(names.take(pa.array(places)).to_pylist())
        elif kind in TEXT_TABLES:
            plain.append(texts.plain(column, rows[column.name]))
        else:
            plain.append(rows[column.name].to_pylist())
    return plain
