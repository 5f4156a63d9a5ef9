"""Rows as they are stored and hashed, from plain values and from the database.

A stored value is a text, microseconds, 0 or 1, a number, JSON for a list, or None where missing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec

from backupkit.history.databases import Connection, hash_text
from backupkit.history.schema import COLUMNS, TEXT_TABLES, sql_kind
from backupkit.tables import Column, Records
from backupkit.tables.job_ids import to_stored_id, to_stored_text
from backupkit.tables.kinds import (
    COUNT,
    FLAG,
    MESSAGE_LIST,
    NUMBER,
    SPAN,
    TEXT,
    TEXT_LIST,
    TIME,
)

__all__ = [
    "build_select_list",
    "decode_rows",
    "find_next_id",
    "split_keys",
    "store_texts",
    "to_datetime",
    "to_microseconds",
    "to_stored",
]

_KEYS_PER_STATEMENT: Final = 400
"""Keys in one statement."""

_RAW: Final = {"plain": "text", "real": "real"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MESSAGE_FIELDS: Final = ("id", "default_message", "args", "localized")
_Key = TypeVar("_Key")


# --- from plain values ----------------------------------------------------------------------------


def to_stored(records: Records) -> dict[str, list[Any]]:
    """Return the columns of plain rows as they are stored.

    Examples
    --------
    >>> from backupkit.tables import POLLS
    >>> polls = {"appliance": ["vc-1"], "ok": [True], "elapsed": [timedelta(seconds=2)]}
    >>> stored = to_stored(Records.build(POLLS, polls))
    >>> stored["appliance"], stored["ok"], stored["elapsed"], stored["version"]
    (['vc-1'], [1], [2000000], [None])
    """
    return {
        column.name: _convert(_converter(column), records[column.name]) for column in records.table
    }


def _converter(column: Column) -> Callable[[Any], Any]:
    return to_stored_id if column.name == "job_id" else _CONVERTERS[column.kind]


def _convert(convert: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    return [None if value is None else convert(value) for value in values]


def to_microseconds(moment: datetime) -> int:
    """Return a moment as it is stored [us since 1970].

    Examples
    --------
    >>> to_microseconds(datetime(1970, 1, 1, 1, tzinfo=UTC))
    3600000000
    """
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(moment: int) -> datetime:
    """Return a stored moment as a time in UTC."""
    return _EPOCH + timedelta(microseconds=moment)


def _encode_messages(messages: Sequence[Mapping[str, Any]]) -> str:
    return _encode([{name: one.get(name) for name in _MESSAGE_FIELDS} for one in messages])


def _encode(value: Sequence[Any]) -> str:
    return msgspec.json.encode(value).decode()


_CONVERTERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    TEXT: to_stored_text,
    TIME: to_microseconds,
    SPAN: lambda span: span // _MICROSECOND,
    COUNT: int,
    NUMBER: lambda number: number + 0.0,  # SQLite has no negative zero
    FLAG: int,
    MESSAGE_LIST: _encode_messages,
    TEXT_LIST: _encode,
}


# --- texts ----------------------------------------------------------------------------------------


def store_texts(connection: Connection, table: str, texts: Iterable[str | None]) -> dict[Any, int]:
    """Return the number of each text but None in ``texts`` or ``messages``; add new ones."""
    keys = {hash_text(text): text for text in set(texts) if text is not None}
    found: dict[bytes, int] = {}
    for part in split_keys(list(keys)):
        marks = ", ".join("?" * len(part))
        query = f"SELECT sha256, id FROM {table} WHERE sha256 IN ({marks})"
        found |= {bytes(key): number for key, number in connection.execute(query, part)}
    new = sorted((text, key) for key, text in keys.items() if key not in found)
    if new:
        number = find_next_id(connection, table)
        rows = [(number + place, key, text) for place, (text, key) in enumerate(new)]
        connection.insert(table, ("id", "sha256", "text"), rows)
        found |= {key: number for number, key, _ in rows}
    return {text: found[key] for key, text in keys.items()}


def find_next_id(connection: Connection, table: str) -> int:
    """Return the next free number of a table; only one append runs at a time."""
    [(number,)] = connection.execute(f"SELECT COALESCE(MAX(id), 0) + 1 FROM {table}")
    return int(number)


def split_keys(keys: Sequence[_Key]) -> Iterator[Sequence[_Key]]:
    """Split keys into chunks for one statement each."""
    return (
        keys[begin : begin + _KEYS_PER_STATEMENT]
        for begin in range(0, len(keys), _KEYS_PER_STATEMENT)
    )


# --- from the database ----------------------------------------------------------------------------


def build_select_list(
    table: str, columns: Sequence[str], prefix: str = ""
) -> tuple[str, dict[str, str]]:
    """Return the SELECT list for the columns of a frame that a table has, and their types.

    The prefix, such as ``"j."``, precedes each name. `Reader.table` takes the types.
    """
    names, types = [], {}
    for column in COLUMNS[table]:
        if column.name in columns:
            kind = sql_kind(column)
            own = "appliance_id" if kind == "appliance" else column.name
            names.append(f"{prefix}{own} AS {column.name}")
            types[column.name] = _RAW.get(kind, "integer")
    return ", ".join(names), types


def decode_rows(
    connection: Connection, columns: Sequence[Column], rows: Sequence[Sequence[Any]]
) -> list[tuple[Any, ...]]:
    """Return rows of the database with the texts and names that numbers stand for."""
    if not rows:
        return []
    values = [list(own) for own in zip(*rows, strict=True)]
    for stored in ("appliances", *sorted(set(TEXT_TABLES.values()))):
        places = [place for place, column in enumerate(columns) if _find_table(column) == stored]
        numbers = {number for place in places for number in values[place]} - {None}
        name = "name" if stored == "appliances" else "text"
        texts: dict[int, str] = {}
        for part in split_keys(sorted(numbers)):
            own = ", ".join(map(str, part))
            found = connection.execute(f"SELECT id, {name} FROM {stored} WHERE id IN ({own})")
            texts.update(found)
        for place in places:
            values[place] = [texts.get(number) for number in values[place]]
    return list(zip(*values, strict=True))


def _find_table(column: Column) -> str | None:
    kind = sql_kind(column)
    return "appliances" if kind == "appliance" else TEXT_TABLES.get(kind)
