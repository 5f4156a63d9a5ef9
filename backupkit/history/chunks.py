"""Reading a whole history, some appliances at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from backupkit.history.databases import Reader
from backupkit.history.ledger import KINDS, TABLES, Digests
from backupkit.history.rows import read_stored_columns
from backupkit.history.stored import build_select_list
from backupkit.tables import JOBS

__all__ = ["Chunk", "add_digests", "read_chunks", "read_stored_rows", "to_canonical_rows"]

_ROWS_PER_CHUNK: Final = 250_000
"""Jobs and polls that are read at once."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """All rows of some appliances as they are stored; appliances in the order of their names."""

    names: tuple[str, ...]
    rows: dict[str, pa.Table]  # by kind
    jobs: pa.Table


def read_chunks(reader: Reader) -> Iterator[Chunk]:
    """Read a history, some appliances at a time, in the order of their names."""
    found = reader.rows(
        "SELECT id, name, jobs + polls AS size FROM appliances",
        {"id": "integer", "name": "text", "size": "integer"},
    )
    batch: list[tuple[int, str]] = []
    size = 0
    for number, name, rows in sorted(found, key=lambda row: row[1]):
        if batch and size + rows > _ROWS_PER_CHUNK:
            yield _read_chunk(reader, batch)
            batch, size = [], 0
        batch.append((number, name))
        size += rows
    if batch:
        yield _read_chunk(reader, batch)


def _read_chunk(reader: Reader, batch: list[tuple[int, str]]) -> Chunk:
    own = f"appliance_id IN ({', '.join(str(number) for number, _ in batch)})"
    rows = {
        kind: read_stored_rows(reader, kind, f"{'j' if kind == 'observations' else 'o'}.{own}")
        for kind in KINDS
    }
    columns, types = build_select_list("jobs", JOBS.names)
    jobs = reader.table(
        f"SELECT {columns} FROM jobs WHERE first_seen_at IS NOT NULL AND {own}", types
    )
    return Chunk(tuple(name for _, name in batch), rows, jobs)


def read_stored_rows(reader: Reader, kind: str, condition: str) -> pa.Table:
    """Return stored rows of a kind with their append_id.

    The condition is about the table ``o``; for observations also about their jobs ``j``.
    """
    columns, types = build_select_list(kind, TABLES[kind].names, "o.")
    types |= {"append_id": "integer"}
    source = f"{kind} o"
    if kind == "observations":
        columns += ", o.append_id, j.appliance_id AS appliance, j.job_id"
        types |= {"appliance": "integer", "job_id": "text"}
        source = "jobs j JOIN observations o ON o.job = j.id"
    else:
        columns += ", o.append_id"
    return reader.table(f"SELECT {columns} FROM {source} WHERE {condition}", types)


def to_canonical_rows(reader: Reader, kind: str, rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Return stored rows in the form of which digests are made."""
    return zip(*read_stored_columns(reader, [*TABLES[kind]], rows), strict=True)


def add_digests(digests: Digests, reader: Reader, chunk: Chunk) -> None:
    """Add the rows of some appliances to digests; they must come after those before."""
    for kind, rows in chunk.rows.items():
        appends = rows["append_id"].to_pylist()
        digests.add_rows(kind, zip(appends, to_canonical_rows(reader, kind, rows), strict=True))
