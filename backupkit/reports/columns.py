"""Frames as JSON and CSV, encoded by column with Arrow: value by value takes many times as long."""

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backupkit.tables.messages import find_offsets, join_items, readable_messages
from backupkit.texts import escape_formula, mask_user

__all__ = ["build_export_name", "join_messages", "stream_csv", "stream_records"]

_ROWS_AT_ONCE: Final = 4_096  # limits the memory; more rows are no faster
_TEXT: Final = pa.large_string()

# a text that matches is encoded in Python; "@" may follow a user and a password
_SPECIAL_IN_JSON: Final = '["\\\\@\x00-\x1f]'
_SPECIAL_IN_CSV: Final = '["@,;\x00-\x1f\x7f\ufffe\uffff]|^[^0-9A-Za-z]'


def stream_records(frame: pd.DataFrame) -> Iterator[bytes]:
    """Yield the rows of a frame in pieces of JSON: an array of objects, in UTF-8.

    Times are ISO 8601 in UTC. Keys of durations end in ``_seconds``. Missing values are null. Users
    in URIs are masked.

    Examples
    --------
    >>> frame = pd.DataFrame({"jobs": [2, 3], "took": pd.to_timedelta([60, None], unit="s")})
    >>> b"".join(stream_records(frame))
    b'[{"jobs":2,"took_seconds":60.0},{"jobs":3,"took_seconds":null}]'
    """
    yield b"["
    for number, rows in enumerate(_split(frame)):
        parts: list[Any] = []
        for name in rows:
            key = msgspec.json.encode(build_export_name(str(name), rows[name])).decode()
            parts += [f",{key}:" if parts else f",{{{key}:", _encode_json(_to_arrow(rows[name]))]
        records = _join(*parts, "}")
        yield records if number else records[1:]  # no comma before the first
    yield b"]"


def stream_csv(frame: pd.DataFrame, *, separator: str = ",") -> Iterator[bytes]:
    r"""Yield a frame in pieces of CSV, in UTF-8 and safe to open in a spreadsheet.

    Names of durations end in ``_seconds``. Users in URIs are masked. The messages of a job are one
    cell, with a line for each.

    Examples
    --------
    >>> frame = pd.DataFrame({"appliance": ["vc-1", "=1+1"], "jobs": [2, 3]})
    >>> b"".join(stream_csv(frame))
    b"appliance,jobs\r\nvc-1,2\r\n'=1+1,3\r\n"
    >>> b"".join(stream_csv(frame, separator="\t"))
    b"appliance\tjobs\r\nvc-1\t2\r\n'=1+1\t3\r\n"
    """
    names = [build_export_name(str(name), column) for name, column in _flatten(frame).items()]
    yield f"{_format_csv(names, separator)}\r\n".encode()
    for rows in _split(frame):
        parts: list[Any] = []
        for name in rows:
            parts += [separator, _encode_csv(_to_arrow(rows[name]), separator)]
        yield _join(*parts[1:], "\r\n")


def build_export_name(name: str, column: pd.Series) -> str:
    """Return the exported name of a column; that of durations ends in ``_seconds``."""
    return f"{name}_seconds" if column.dtype.kind == "m" else name


def join_messages(column: pd.Series) -> list[str | None]:
    """Return the messages of each job as one text, as in CSV."""
    texts: list[str | None] = _join_messages(_to_arrow(column)).to_pylist()
    return texts


def _flatten(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.reset_index() if frame.index.name is not None else frame


def _split(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    flat = _flatten(frame)
    for start in range(0, len(flat), _ROWS_AT_ONCE):
        yield flat.iloc[start : start + _ROWS_AT_ONCE]


def _to_arrow(column: pd.Series) -> pa.Array:
    """Convert a column; a duration becomes seconds, and NaN is missing."""
    values = pa.array(column.dt.total_seconds() if column.dtype.kind == "m" else column)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_floating(values.type):
        return pc.if_else(pc.is_nan(values), None, values)
    return values


def _encode_json(values: pa.Array) -> pa.Array:
    """Return each value as JSON."""
    kind = values.type
    if pa.types.is_list(kind):
        inner = join_items(_encode_json(values.flatten()), find_offsets(values), ",")
        texts = pc.if_else(values.is_valid(), _concatenate("[", inner, "]"), None)
    elif pa.types.is_struct(kind):
        parts: list[Any] = []
        for field, child in zip(kind, values.flatten(), strict=True):
            parts += [f'{"," if parts else "{"}"{field.name}":', _encode_json(child)]
        texts = pc.if_else(values.is_valid(), _concatenate(*parts, "}"), None)
    elif pa.types.is_timestamp(kind):
        texts = _concatenate('"', _format_times(values), '"')
    elif pa.types.is_floating(kind):
        texts = _map_distinct(values, _encode_numbers)
    elif pa.types.is_large_string(kind) or pa.types.is_string(kind):
        values = values.cast(_TEXT)
        texts = _replace_matches(
            _concatenate('"', values, '"'),
            pc.match_substring_regex(values, _SPECIAL_IN_JSON),
            values,
            lambda text: msgspec.json.encode(mask_user(text)).decode(),
        )
    else:
        texts = values.cast(_TEXT)
    return texts.fill_null("null")


def _encode_csv(values: pa.Array, separator: str) -> pa.Array:
    """Return each value as a cell of CSV; "" if it is missing."""
    kind = values.type
    if pa.types.is_list(kind):
        values = _join_messages(values)
    if pa.types.is_timestamp(kind):
        texts = _format_times(values)
    elif pa.types.is_floating(kind):
        texts = _map_distinct(values, lambda numbers: [repr(number) for number in numbers])
    elif pa.types.is_boolean(kind):
        texts = pc.if_else(values, _literal("True"), _literal("False"))
    elif pa.types.is_integer(kind):
        texts = values.cast(_TEXT)
    else:
        values = values.cast(_TEXT)
        texts = _replace_matches(
            values,
            pc.match_substring_regex(values, _SPECIAL_IN_CSV),
            values,
            lambda text: _format_csv([escape_formula(mask_user(text))], separator),
        )
    return texts.fill_null("")


def _format_times(values: pa.Array) -> pa.Array:
    """Return times as ISO 8601 in UTC."""
    # with a zone, Arrow looks it up for each value
    texts = values.cast(pa.timestamp("us")).cast(_TEXT)
    return _concatenate(pc.replace_substring(texts, " ", "T", max_replacements=1), "Z")


def _join_messages(values: pa.Array) -> pa.Array:
    """Return the messages of each job, one per line, each in its most readable form."""
    texts, offsets = readable_messages(values)
    texts = _replace_matches(texts, pc.match_substring(texts, "@"), texts, mask_user)
    return join_items(texts, offsets, "\n")


def _map_distinct(values: pa.Array, encode: Callable[[list[Any]], list[str]]) -> pa.Array:
    """Encode each distinct value once."""
    distinct = values.dictionary_encode()
    return pa.array(encode(distinct.dictionary.to_pylist()), _TEXT).take(distinct.indices)


def _encode_numbers(numbers: list[float]) -> list[str]:
    return msgspec.json.encode(numbers)[1:-1].decode().split(",")


def _replace_matches(
    texts: pa.Array, is_match: pa.Array, originals: pa.Array, replace: Callable[[str], str]
) -> pa.Array:
    """Replace the texts that match by those of their originals, each distinct one once."""
    is_match = is_match.fill_null(False)
    matches = originals.filter(is_match)
    replaced = _map_distinct(matches, lambda found: [replace(text) for text in found])
    return pc.replace_with_mask(texts, is_match, replaced)


def _format_csv(cells: list[str], separator: str) -> str:
    """Return cells as CSV, in quotes where needed."""
    file = io.StringIO()
    csv.writer(file, delimiter=separator, lineterminator="\r\n").writerow(cells)
    return file.getvalue().removesuffix("\r\n")


def _literal(text: str) -> pa.Scalar:
    return pa.scalar(text, _TEXT)


def _concatenate(*parts: pa.Array | str) -> pa.Array:
    """Join arrays, and texts that are the same in each row, row by row."""
    literals = (_literal(part) if isinstance(part, str) else part for part in parts)
    return pc.binary_join_element_wise(*literals, _literal(""))


def _join(*parts: pa.Array | str) -> bytes:
    """Join arrays and texts as above, and then all rows."""
    rows = _concatenate(*parts)
    content: bytes = rows.buffers()[2].to_pybytes()
    return content
