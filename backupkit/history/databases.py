"""Interface of a history to its database, SQLite or PostgreSQL.

The DB-API drivers (sqlite3, psycopg) write rows and read few rows. `ArrowReader` reads many rows.
"""

import contextlib
import getpass
import hashlib
import re
import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from backupkit.errors import HistoryError, one_line
from backupkit.history.schema import OUTCOME_IDS, SCHEMA_VERSION

if TYPE_CHECKING:
    import pyarrow as pa

    from backupkit.history.arrow_reader import ArrowReader

__all__ = [
    "LOCK_TIMEOUT",
    "Connection",
    "Database",
    "Reader",
    "check_version",
    "get_collector_name",
    "hash_text",
    "history_not_found",
    "insert_first_rows",
    "open_database",
]

_T = TypeVar("_T")

LOCK_TIMEOUT: Final = 60.0  # s; how long a lock, or a server that restarts, is waited for
_MISSING_TABLE: Final = re.compile(r"no such table: history\b|relation \"history\" does not exist")
"""Message of either database; every read and write begins with this table."""
_GONE_CAUSE: Final = "its tables are gone"
_GONE_ADVICE: Final = "Restore them from a backup, or fill a new history."


class Reader(ABC):
    """One consistent view of the tables."""

    @abstractmethod
    def table(self, query: str, types: Mapping[str, str]) -> "pa.Table":
        """Return the rows of a SELECT without an order; `types` has a type by column."""

    def rows(self, query: str, types: Mapping[str, str]) -> list[tuple[Any, ...]]:
        """Return the rows of a query as tuples."""
        columns = self.table(query, types).to_pydict().values()
        return list(zip(*columns, strict=True))

    @abstractmethod
    def has_table(self, name: str) -> bool:
        """Return whether the history has a table."""


class Connection(Reader):
    """A transaction that writes; `mark` is the driver's placeholder of a parameter."""

    def __init__(self, cursor: Any, placeholder: str) -> None:  # noqa: ANN401 # of either driver
        self._cursor, self._placeholder = cursor, placeholder

    def execute(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement, with ``?`` for each parameter, and return its rows."""
        self._cursor.execute(query.replace("?", self._placeholder), parameters)
        return self._cursor.fetchall() if self._cursor.description else []

    def execute_many(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row."""
        self._cursor.executemany(query.replace("?", self._placeholder), rows)

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows."""
        marks = ", ".join("?" * len(columns))
        self.execute_many(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)

    def has_table(self, name: str) -> bool:
        """Return whether the history has a table."""
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return bool(self.execute(query, [name]))

    def analyze(self) -> None:
        """Update the statistics of the query planner; SQLite needs none."""

    def rows(self, query: str, types: Mapping[str, str]) -> list[tuple[Any, ...]]:  # noqa: ARG002 # as the database has them
        """Return the rows of a query as tuples."""
        return self.execute(query)

    def table(self, query: str, types: Mapping[str, str]) -> "pa.Table":
        """Return the rows of a query as Arrow columns."""
        from backupkit.history.arrow_types import rows_to_arrow  # noqa: PLC0415 # loads pyarrow

        return rows_to_arrow(self.execute(query), types)


class Database(ABC):
    """Database of a history."""

    uri: str  # path or URL as the user gave it, without a password
    _identity: str | None = None  # of the history that was opened; None until it is

    @abstractmethod
    def read(self) -> contextlib.AbstractContextManager["ArrowReader"]:
        """Open a reader that sees all tables as of one moment."""

    @abstractmethod
    def write(self, action: Callable[[Connection], _T]) -> _T:
        """Run an action in one transaction and return its result.

        The action may run again after a broken connection. It must check by itself whether its
        first try was committed.
        """

    @abstractmethod
    def run_lookup(self, action: Callable[[Connection], _T]) -> _T:
        """Run an action that reads a few rows by key."""

    @abstractmethod
    def lock_run(self, *, wait: float) -> contextlib.AbstractContextManager[None]:
        """Lock the history for one run; wait up to `wait` [s] for another one."""

    @abstractmethod
    def check(self) -> list[str]:
        """Run the integrity check of the database and return its findings."""

    @abstractmethod
    def shrink(self) -> None:
        """Free and overwrite the space of removed rows."""

    @abstractmethod
    def size(self) -> int:
        """Return the size of the database [bytes]."""

    def check_identity(self, reader: Reader) -> None:
        """Refuse another history in the place of the one that was opened."""
        if self._identity is None:
            return
        [(found,)] = reader.rows("SELECT identity FROM history", {"identity": "text"})
        if found != self._identity:
            raise HistoryError(
                f"{self.uri} holds another history than the one that was opened. Open it again, "
                "or put the first one back."
            )

    def build_error(self, error: Exception, verb: str) -> HistoryError:
        """Return the error for the user."""
        cause, advice = (
            (_GONE_CAUSE, _GONE_ADVICE)
            if _MISSING_TABLE.search(str(error))
            else self._explain_error(error)
        )
        return HistoryError(f"The history {self.uri} cannot be {verb}: {cause}. {advice}".strip())

    @abstractmethod
    def _explain_error(self, error: Exception) -> tuple[str, str]:
        """Return the cause and the advice."""


def open_database(target: str | Path, *, create: bool) -> Database:
    """Open the database of a history by file or URL, and create its tables if it may."""
    text = str(target)
    scheme, separator, _ = text.partition("://")
    if not separator or isinstance(target, Path):
        from backupkit.history.sqlite import SQLite  # noqa: PLC0415 # it builds on this module

        return SQLite(Path(target), create=create)
    if scheme in {"postgresql", "postgres"}:
        from backupkit.history.postgresql import Postgres  # noqa: PLC0415 # it builds on this module

        return Postgres(text, create=create)
    raise HistoryError(
        f"{one_line(text)} cannot hold a history. Name a file such as history.db, or a "
        "database such as postgresql://user@host/database."
    )


def history_not_found(uri: str) -> HistoryError:
    """Return the error for a history that does not exist and must not be created."""
    return HistoryError(
        f"{uri} holds no history yet. Fill it first with: "
        f"backupkit collect --fleet fleet.toml --history {uri} "
        "(or name another one with --history or BACKUPKIT_HISTORY)."
    )


def check_version(uri: str, version: int) -> None:
    """Refuse a history of another schema."""
    if version != SCHEMA_VERSION:
        advice = (
            "Update backupkit."
            if version > SCHEMA_VERSION
            else "Export it with that version (backupkit history export), and import the export "
            "into a new history with this one (backupkit history import)."
        )
        raise HistoryError(
            f"The history {uri} was made by another version of backupkit (schema {version}; this "
            f"one knows schema {SCHEMA_VERSION}). {advice}"
        )


def insert_first_rows(connection: Connection) -> None:
    """Insert the rows that every new history has."""
    connection.insert(
        "texts",
        ("id", "sha256", "text"),
        [(number, hash_text(text), text) for text, number in OUTCOME_IDS.items()],
    )
    connection.execute(
        "INSERT INTO history VALUES (?, ?, ?, ?, ?)",
        [SCHEMA_VERSION, secrets.token_hex(16), time.time_ns() // 1000, "", 0],
    )


def hash_text(text: str) -> bytes:
    """Return the key of a stored text: the first half of its SHA-256."""
    return hashlib.sha256(text.encode()).digest()[:16]


def get_collector_name() -> str:
    """Return the name of the appending process: user@machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may have no name for its user
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
