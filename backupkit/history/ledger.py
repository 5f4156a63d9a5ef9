"""The ledger: a chain of digests of everything that was appended or removed.

Each entry has a SHA-256 of the rows of its append and the digest of the entry before, and its own
digest covers both. So the newest digest, the head, stands for everything that was ever appended.
Rows that are removed on purpose leave their digests. The entry of a removal has their number
and a digest of the remaining rows of the same appends.
"""

import hashlib
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from backupkit._version import __version__
from backupkit.history.databases import Connection, get_collector_name
from backupkit.history.stored import find_next_id
from backupkit.tables import OBSERVATIONS, POLLS, SCHEDULES, Table

__all__ = [
    "ENTRY_FIELDS",
    "KINDS",
    "NOTE_KIND",
    "TABLES",
    "Digests",
    "add_entry",
    "compute_digest",
    "compute_entry_digest",
    "compute_left_digest",
    "record_removal",
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

NOTE_KIND: Final = "note"
"""Kind of an entry about the notes of operators: `left_sha256` is the digest of all of them."""

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
        append, import, prune, forget, thin or note.
    digests, counts : mapping
        By `KINDS`: of the rows appended or removed.
    between : tuple of int
        Times of the first and the last of the appended rows [us since 1970].
    left : str
        For a removal: the `compute_left_digest` of the appends that it touched. For notes: the
        digest of all of them.
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


def record_removal(
    connection: Connection,
    kind: str,
    removed: Mapping[str, Sequence[Sequence[Any]]],
    left: Mapping[int, Mapping[str, str]],
    run_id: str,
) -> None:
    """Record a removal in the ledger, with digests of the remaining rows of the same appends."""
    marks = ", ".join(f"{name}_left = ?" for name in KINDS)
    connection.execute_many(
        f"UPDATE appends SET {marks} WHERE id = ?",
        [(*(own[name] for name in KINDS), number) for number, own in left.items()],
    )
    touched = ", ".join(map(str, left))
    # an earlier removal of the same appends covers further ones: take these over
    groups = connection.execute(
        "SELECT DISTINCT removal_id FROM appends "
        f"WHERE id IN ({touched}) AND removal_id IS NOT NULL"
    )
    earlier_removals = ", ".join(str(number) for (number,) in groups) or "NULL"
    number = find_next_id(connection, "appends")
    connection.execute(
        f"UPDATE appends SET removal_id = ? WHERE id IN ({touched}) "
        f"OR removal_id IN ({earlier_removals})",
        [number],
    )
    names = ", ".join(f"{name}_left" for name in KINDS)
    own = connection.execute(f"SELECT id, {names} FROM appends WHERE removal_id = ?", [number])
    add_entry(
        connection,
        run_id=run_id,
        kind=kind,
        digests={name: compute_digest(rows) for name, rows in removed.items()},
        counts={name: len(rows) for name, rows in removed.items()},
        left=compute_left_digest(own),
    )


# --- digests of rows -----------------------------------------------------------------------------


class Digests:
    """Digests of the rows of appends, by append and kind; `only` restricts the appends.

    A digest is a SHA-256 of the digests of the appliances, in the order of their names. The digest
    of an appliance is a SHA-256 of its rows as sorted lines of JSON.
    """

    def __init__(self, only: Collection[int] | None = None) -> None:
        self._only = only
        self._hashes: dict[tuple[int, str], Any] = defaultdict(hashlib.sha256)
        self.counts: dict[tuple[int, str], int] = defaultdict(int)

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
