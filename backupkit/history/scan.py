"""Scan of a whole history in chunks of appliances, in the order of the digests."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pyarrow as pa

from backupkit.history.databases import Reader
from backupkit.history.ledger import FIELDS
from backupkit.history.rows import select, values_of
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES

__all__ = ["Chunk", "Digests", "canonical_rows", "chunks"]

_AT_ONCE: Final = 250_000
"""Jobs and polls that are read at once."""

_TABLES: Final = {"observations": OBSERVATIONS, "polls": POLLS, "schedules": SCHEDULES}


@dataclass(frozen=True, slots=True)
class Chunk:
    """All that is stored of some appliances.

    Attributes
    ----------
    names : tuple of str
        The appliances, in order.
    rows : dict of str to pyarrow.Table
        By kind, as they are stored.
    jobs : pyarrow.Table
        Their jobs, as they are stored.
    """

    names: tuple[str, ...]
    rows: dict[str, pa.Table]
    jobs: pa.Table


def chunks(reader: Reader) -> Iterator[Chunk]:
    """Read a history, some appliances at a time, in the order of their names."""
    found = reader.rows(
        "SELECT id, name, jobs + polls AS size FROM appliances",
        {"id": "integer", "name": "text", "size": "integer"},
    )
    batch: list[tuple[int, str]] = []
    size = 0
    for number, name, rows in sorted(found, key=lambda row: row[1]):
        if batch and size + rows > _AT_ONCE:
            yield _chunk(reader, batch)
            batch, size = [], 0
        batch.append((number, name))
        size += rows
    if batch:
        yield _chunk(reader, batch)


def _chunk(reader: Reader, batch: list[tuple[int, str]]) -> Chunk:
    numbers = ", ".join(str(number) for number, _ in batch)
    rows = {}
    for kind, table in _TABLES.items():
        columns, types = select(kind, table.names, "o.")
        types |= {"append_id": "integer"}
        if kind == "observations":
            types |= {"appliance": "integer", "job_id": "text"}
            rows[kind] = reader.table(
                f"SELECT {columns}, o.append_id, j.appliance_id AS appliance, j.job_id "
                "FROM jobs j JOIN observations o ON o.job = j.id "
                f"WHERE j.appliance_id IN ({numbers})",
                types,
            )
        else:
            rows[kind] = reader.table(
                f"SELECT {columns}, o.append_id FROM {kind} o WHERE o.appliance_id IN ({numbers})",
                types,
            )
    columns, types = select("jobs", JOBS.names)
    jobs = reader.table(
        f"SELECT {columns} FROM jobs "
        f"WHERE first_seen_at IS NOT NULL AND appliance_id IN ({numbers})",
        types,
    )
    return Chunk(tuple(name for _, name in batch), rows, jobs)


def canonical_rows(reader: Reader, kind: str, rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Return stored rows in the form of which digests are made."""
    columns = {column.name: column for column in _TABLES[kind]}
    values = values_of(reader, [columns[name] for name in FIELDS[kind]], rows)
    return zip(*values, strict=True)


class Digests:
    """The digests of appends, made of chunks in order; `digest_of` gives the same of all rows.

    Parameters
    ----------
    only : collection of int, optional
        Only these appends.
    """

    def __init__(self, only: Collection[int] | None = None) -> None:
        self._only = only
        self._hashes: dict[tuple[int, str], Any] = defaultdict(hashlib.sha256)
        self.counts: dict[tuple[int, str], int] = defaultdict(int)

    def add(self, reader: Reader, chunk: Chunk) -> None:
        """Add the rows of some appliances that come after those before."""
        for kind, rows in chunk.rows.items():
            lines: dict[tuple[str, int], list[bytes]] = defaultdict(list)
            appends = rows["append_id"].to_pylist()
            for number, row in zip(appends, canonical_rows(reader, kind, rows), strict=True):
                if self._only is None or number in self._only:
                    lines[row[0], number].append(msgspec.json.encode(row))
            for (_, number), own in sorted(lines.items()):
                part = hashlib.sha256()
                for line in sorted(own):
                    part.update(line + b"\n")
                self._hashes[number, kind].update(part.digest())
                self.counts[number, kind] += len(own)

    def digest(self, number: int, kind: str) -> str:
        """Return the digest of the rows of one kind that an append brought."""
        found = self._hashes.get((number, kind))
        return (found or hashlib.sha256()).hexdigest()
