"""The ledger: a chain of digests of everything that was appended or removed.

Each entry has a SHA-256 of the rows of its append and the digest of the entry before, and its own
digest covers both. So the newest digest, the head, stands for everything that was ever appended.
Rows that are removed on purpose leave their digests. The entry of a removal has their number
and a digest of the remaining rows of the same appends.
"""

import hashlib
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pyarrow as pa

from backupkit._version import __version__
from backupkit.history.databases import Connection, Reader, get_collector_name
from backupkit.history.rows import build_select_list, find_next_id, read_stored_columns
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES, Table

__all__ = [
    "ENTRY_FIELDS",
    "KINDS",
    "TABLES",
    "Chunk",
    "Digests",
    "add_entry",
    "compute_digest",
    "compute_entry_digest",
    "compute_left_digest",
    "read_chunks",
    "read_stored_rows",
    "to_canonical_rows",
]

TABLES: Final[Mapping[str, Table]] = {
    "observations": OBSERVATIONS,
    "polls": POLLS,
    "schedules": SCHEDULES,
}
"""Kinds of rows that an append adds; each has a digest.

The canonical form of a row has its values in the order of the contract.
"""

KINDS: Final = tuple(TABLES)

ENTRY_FIELDS: Final = (
    "id",
    "run_id",
    "kind",
    "appended_at",
    "collector",
    "version",
    "earliest_at",
    "latest_at",
    *KINDS,
    *(f"{kind}_sha256" for kind in KINDS),
    "left_sha256",
    "previous",
)
"""Fields that the digest of an entry covers, in this order."""

_EMPTY_DIGEST: Final = hashlib.sha256().hexdigest()
_ROWS_PER_CHUNK: Final = 250_000
"""Jobs and polls that are read at once."""


def to_canonical_rows(reader: Reader, kind: str, rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Return stored rows in the form of which digests are made."""
    return zip(*read_stored_columns(reader, [*TABLES[kind]], rows), strict=True)


# --- entries -------------------------------------------------------------------------------------


def compute_digest(rows: Iterable[Sequence[Any]]) -> str:
    """Return the digest of rows of one kind in their canonical form, in any order."""
    digests = Digests()
    digests.add_rows("", ((0, row) for row in rows))
    return digests.digest(0, "")


def compute_entry_digest(entry: Mapping[str, Any]) -> str:
    """Return the digest of an entry of the ledger, which covers the one before."""
    return hashlib.sha256(msgspec.json.encode([entry[name] for name in ENTRY_FIELDS])).hexdigest()


def compute_left_digest(left: Iterable[Sequence[Any]]) -> str:
    """Return the digest of the remaining rows of some appends.

    `left` has the id of each append and the digests of its remaining rows, in the order of `KINDS`.
    """
    return hashlib.sha256(msgspec.json.encode(sorted(map(list, left)))).hexdigest()


def add_entry(
    connection: Connection,
    *,
    run_id: str,
    kind: str,
    digests: Mapping[str, str],
    counts: Mapping[str, int],
    between: tuple[int | None, int | None] = (None, None),
    left: str = "",
) -> int:
    """Append an entry to the ledger, and return its number.

    Parameters
    ----------
    connection : Connection
        A transaction that writes.
    run_id : str
        Identifies the append or removal, so that a second try finds it.
    kind : str
        append, import, prune, forget or thin.
    digests, counts : mapping
        By `KINDS`: of the rows appended or removed.
    between : tuple of int
        Times of the first and the last of the appended rows [us since 1970].
    left : str
        For a removal: the `compute_left_digest` of the appends that it touched.
    """
    [(head,)] = connection.execute("SELECT head FROM history")
    number = find_next_id(connection, "appends")
    entry: dict[str, Any] = {
        "id": number,
        "run_id": run_id,
        "kind": kind,
        "appended_at": time.time_ns() // 1000,
        "collector": get_collector_name(),
        "version": __version__,
        "earliest_at": between[0],
        "latest_at": between[1],
        **{name: counts.get(name, 0) for name in KINDS},
        **{f"{name}_sha256": digests.get(name, _EMPTY_DIGEST) for name in KINDS},
        "left_sha256": left,
        "previous": head,
    }
    entry["digest"] = compute_entry_digest(entry)
    connection.insert("appends", tuple(entry), [tuple(entry.values())])
    connection.execute("UPDATE history SET head = ?", [entry["digest"]])
    return number


# --- digests of the stored rows ------------------------------------------------------------------


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


class Digests:
    """Digests of the rows of appends, by append and kind; `only` restricts the appends.

    A digest is a SHA-256 of the digests of the appliances, in the order of their names. The digest
    of an appliance is a SHA-256 of its rows as sorted lines of JSON.
    """

    def __init__(self, only: Collection[int] | None = None) -> None:
        self._only = only
        self._hashes: dict[tuple[int, str], Any] = defaultdict(hashlib.sha256)
        self.counts: dict[tuple[int, str], int] = defaultdict(int)

    def add(self, reader: Reader, chunk: Chunk) -> None:
        """Add the rows of some appliances, which must come after those before."""
        for kind, rows in chunk.rows.items():
            appends = rows["append_id"].to_pylist()
            self.add_rows(kind, zip(appends, to_canonical_rows(reader, kind, rows), strict=True))

    def add_rows(self, kind: str, rows: Iterable[tuple[int, Sequence[Any]]]) -> None:
        """Add rows of one kind in their canonical form, each with its append."""
        lines: dict[tuple[str, int], list[bytes]] = defaultdict(list)
        for number, row in rows:
            if self._only is None or number in self._only:
                lines[row[0], number].append(msgspec.json.encode(row))
        for (_, number), own in sorted(lines.items()):
            part = hashlib.sha256()
            for line in sorted(own):
                part.update(line + b"\n")
            self._hashes[number, kind].update(part.digest())
            self.counts[number, kind] += len(own)

    def digest(self, number: int, kind: str) -> str:
        """Return the digest of the rows of one kind that an append added."""
        found = self._hashes.get((number, kind))
        return found.hexdigest() if found else _EMPTY_DIGEST
