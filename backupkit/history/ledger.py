"""The ledger: what was ever appended or removed, as a chain of digests.

Each entry holds a SHA-256 over the rows that it brought and the digest of the entry before, and its
own digest covers both. So the newest digest, the head, stands for all that was ever appended.
Rows that are removed on purpose leave their digests. The entry of a removal records their number
and a digest of the remaining rows of the same appends.
"""

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from backupkit._version import __version__
from backupkit.history.databases import Connection, collector_name
from backupkit.history.rows import next_id
from backupkit.history.schema import COLUMNS

__all__ = ["EMPTY", "ENTRY", "KINDS", "add_entry", "digest_of", "entry_digest", "left_digest"]

KINDS: Final = ("observations", "polls", "schedules")
"""Kinds of rows that an append adds; each has a digest."""

EMPTY: Final = hashlib.sha256().hexdigest()
"""The digest of no rows."""

ENTRY: Final = (
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

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "observations": (
        "appliance",
        "job_id",
        "observed_at",
        *(c.name for c in COLUMNS["observations"] if c.name != "observed_at"),
    ),
    "polls": tuple(column.name for column in COLUMNS["polls"]),
    "schedules": tuple(column.name for column in COLUMNS["schedules"]),
}
"""The columns of a row in its canonical form; the first tells the appliance."""


def digest_of(rows: Iterable[Sequence[Any]]) -> str:
    """Return the digest of some rows of one kind.

    Parameters
    ----------
    rows : iterable of sequence
        Each in its canonical form: the columns `FIELDS`, in any order of rows.

    Returns
    -------
    str
        SHA-256, hexadecimal: over the digests of the appliances, in the order of their names; each
        over its rows as JSON, a line each, in order.
    """
    # compared as text: columns may hold None
    lines = sorted((str(row[0]), msgspec.json.encode(row)) for row in rows)
    whole = hashlib.sha256()
    for _, own in groupby(lines, key=lambda line: line[0]):
        part = hashlib.sha256()
        for _, line in own:
            part.update(line + b"\n")
        whole.update(part.digest())
    return whole.hexdigest()


def entry_digest(entry: Mapping[str, Any]) -> str:
    """Return the digest of an entry of the ledger, which covers the one before."""
    return hashlib.sha256(msgspec.json.encode([entry[name] for name in ENTRY])).hexdigest()


def left_digest(left: Iterable[Sequence[Any]]) -> str:
    """Return the digest of what is left of some appends.

    Parameters
    ----------
    left : iterable of sequence
        Of each its id, and the digests of the observations, polls and schedules that are left.
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
    """Append an entry to the ledger.

    Parameters
    ----------
    connection : Connection
        A transaction that writes.
    run_id : str
        Of the caller: a second try finds it.
    kind : str
        append, import, prune, forget or thin.
    digests, counts : mapping
        By `KINDS`: of the rows appended, or removed.
    between : tuple of int
        When the first and the last of them were learnt [us since 1970].
    left : str
        Of a removal: what `left_digest` gave of the appends that it touched.

    Returns
    -------
    int
        The number of the entry.
    """
    [(head,)] = connection.execute("SELECT head FROM history")
    entry: dict[str, Any] = {
        "id": next_id(connection, "appends"),
        "run_id": run_id,
        "kind": kind,
        "appended_at": time.time_ns() // 1000,
        "collector": collector_name(),
        "version": __version__,
        "earliest_at": between[0],
        "latest_at": between[1],
        **{name: counts.get(name, 0) for name in KINDS},
        **{f"{name}_sha256": digests.get(name, EMPTY) for name in KINDS},
        "left_sha256": left,
        "previous": head,
    }
    entry["digest"] = entry_digest(entry)
    connection.insert("appends", tuple(entry), [tuple(entry.values())])
    connection.execute("UPDATE history SET head = ?", [entry["digest"]])
    number: int = entry["id"]
    return number
