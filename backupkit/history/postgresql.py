"""A history in a schema of a PostgreSQL database."""

import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import SplitResult, parse_qs, urlsplit

from backupkit.errors import HistoryError, describe_installation, one_line
from backupkit.history import databases
from backupkit.history.databases import (
    Connection,
    Database,
    check_version,
    history_not_found,
    insert_first_rows,
)
from backupkit.history.locks import lock_session
from backupkit.history.schema import build_statements

if TYPE_CHECKING:
    from backupkit.history.arrow_reader import ArrowReader

__all__ = ["Postgres", "refuse_password"]

_T = TypeVar("_T")

_SCHEMA: Final = "backupkit"
_LOCK_ID: Final = 0x76634270  # of PostgreSQL's advisory locks: one append at a time
_RUN_LOCK_ID: Final = _LOCK_ID + 1  # one run at a time
_GROWING_TABLES: Final = ("observations_apart", "jobs", "polls", "schedules", "texts", "messages")
_IDLE_STATUS: Final = 0  # libpq's status of a connection without a transaction


class _PostgresConnection(Connection):
    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows by COPY, which is much faster than statements."""
        with self._cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def has_table(self, name: str) -> bool:
        """Return whether the schema of the history has a table."""
        query = "SELECT 1 FROM pg_tables WHERE schemaname = ? AND tablename = ?"
        return bool(self.execute(query, [_SCHEMA, name]))

    def analyze(self) -> None:
        """Update the statistics now; PostgreSQL itself does so only after a minute."""
        self.execute(f"ANALYZE {', '.join(_GROWING_TABLES)}")


class Postgres(Database):
    """A schema of a PostgreSQL database."""

    def __init__(self, url: str, *, create: bool) -> None:
        self.uri = url
        self.lock = threading.RLock()
        self._connection_and_pid: list[Any] = []
        weakref.finalize(self, _close_all, self._connection_and_pid)
        _DATABASES.add(self)
        refuse_password(url)
        self._driver = _import_driver()
        self._has_connected = False
        there = self.run_lookup(
            lambda connection: connection.execute("SELECT to_regclass('backupkit.history')::text")
        )
        if there == [(None,)]:
            if not create:
                raise history_not_found(self.uri)
            self.write(self._create_tables)
        [(version, identity)] = self.run_lookup(
            lambda connection: connection.execute("SELECT schema_version, identity FROM history")
        )
        check_version(self.uri, version)
        self._identity = identity

    def _create_tables(self, connection: Connection) -> None:
        # to_regclass may return what was cached before the wait for the lock
        tables = connection.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = ?",
            [_SCHEMA],
        )
        if ("history",) in tables:
            return  # another process was faster
        if tables:
            raise HistoryError(
                f"{self.uri} has a schema {_SCHEMA} of another program. Name another database; "
                "this one is unchanged."
            )
        if not connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = ?", [_SCHEMA]):
            connection.execute(f"CREATE SCHEMA {_SCHEMA}")
        types = {
            "big": "BIGINT",
            "real": "DOUBLE PRECISION",
            "blob": "BYTEA",
            "without_rowid": "",
        }
        iso = (
            "to_char(to_timestamp({} / 1000000.0) AT TIME ZONE 'UTC', "
            """'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
        )
        for statement in build_statements(types, iso):
            connection.execute(statement)
        insert_first_rows(connection)

    def _get_connection(self) -> Any:  # noqa: ANN401 # psycopg's connection
        """Return a working connection; it is reused, because opening takes some milliseconds."""
        if self._connection_and_pid and self._connection_and_pid[1] != os.getpid():
            # in a forked child; it is the parent's
            self._connection_and_pid.clear()  # pragma: no cover
        if (
            self._connection_and_pid
            and self._connection_and_pid[0].info.transaction_status != _IDLE_STATUS
        ):
            # broken, or interrupted in a transaction: the next statements would be a part of that
            # and never be committed
            self._connection_and_pid[0].close()
            self._connection_and_pid.clear()
        if not self._connection_and_pid:
            connection = self._driver.connect(self.uri, autocommit=True, application_name=_SCHEMA)
            connection.execute(f"SET search_path TO {_SCHEMA}")
            connection.execute("SET synchronous_commit TO on")
            connection.execute("SET jit TO off")  # compiling takes longer than most queries
            # after the wait for the lock, see what was committed meanwhile
            connection.execute("SET default_transaction_isolation TO 'read committed'")
            self._connection_and_pid[:] = [connection, os.getpid()]
            self._has_connected = True
        return self._connection_and_pid[0]

    @contextlib.contextmanager
    def read(self) -> Iterator["ArrowReader"]:
        import adbc_driver_postgresql  # noqa: PLC0415 # an append needs neither, nor pyarrow

        from backupkit.history.arrow_reader import (  # noqa: PLC0415
            AdbcError,
            ArrowReader,
            ReadError,
        )

        begin = (
            f"SET search_path TO {_SCHEMA}",
            "SET jit TO off",
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        )
        try:
            database = adbc_driver_postgresql.connect(self.uri)
            with ArrowReader.open(database, begin, typed=True) as reader:
                self.check_identity(reader)
                yield reader
        except (AdbcError, ReadError) as error:
            raise self.build_error(error, "read") from error

    def write(self, action: Callable[[Connection], _T]) -> _T:
        def locked(connection: Connection) -> _T:
            connection.execute(f"SET LOCAL lock_timeout TO {databases.LOCK_TIMEOUT * 1000:.0f}")
            connection.execute("SELECT pg_advisory_xact_lock(?)", [_LOCK_ID])
            return action(connection)

        return self._run_with_retries(locked, "written", self._driver.Connection.transaction)

    def run_lookup(self, action: Callable[[Connection], _T]) -> _T:
        return self._run_with_retries(action, "read", contextlib.nullcontext)

    def _run_with_retries(
        self,
        action: Callable[[Connection], _T],
        verb: str,
        begin: Callable[[Any], contextlib.AbstractContextManager[Any]],
    ) -> _T:
        """Run an action; run it again after a restart of the server."""
        until = time.monotonic() + databases.LOCK_TIMEOUT
        pause = 0.05
        while True:
            connection = None
            try:
                with self.lock:
                    connection = self._get_connection()
                    with begin(connection), connection.cursor() as cursor:
                        opened = _PostgresConnection(cursor, "%s")
                        self.check_identity(opened)
                        return action(opened)
            except self._driver.Error as error:
                if _was_interrupted(error):
                    raise KeyboardInterrupt from error
                gone = connection is None or connection.closed
                if not (gone and self._is_restarting(error)) or time.monotonic() > until:
                    raise self.build_error(error, verb) from error
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _is_restarting(self, error: Exception) -> bool:
        """Return whether a server that worked before is gone, as during a restart."""
        state = getattr(error, "sqlstate", None) or ""
        lost = state[:2] in {"08", "57"} if state else True
        return self._has_connected and lost and isinstance(error, self._driver.OperationalError)

    @contextlib.contextmanager
    def lock_run(self, *, wait: float) -> Iterator[None]:
        def connect(name: str) -> Any:  # noqa: ANN401 # psycopg's connection
            return self._driver.connect(self.uri, autocommit=True, application_name=name)

        try:
            with lock_session(connect, self.uri, _RUN_LOCK_ID, wait=wait):
                yield
        except self._driver.Error as error:
            raise self.build_error(error, "locked") from error

    def check(self) -> list[str]:
        """Return nothing: the server checks its own pages, and `verify` reads every row."""
        return []

    def shrink(self) -> None:
        with self.lock:
            try:
                connection = self._get_connection()
                for table in _GROWING_TABLES:
                    connection.execute(f"VACUUM {table}")
            except self._driver.Error as error:
                why, advice = self._explain_error(error)
                raise HistoryError(
                    "The rows are removed, but the server may keep their bytes until its next "
                    f"VACUUM of the schema {_SCHEMA} of {self.uri}: {why}. {advice}"
                ) from error

    def size(self) -> int:
        [(number,)] = self.run_lookup(
            lambda connection: connection.execute(
                "SELECT COALESCE(SUM(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c "
                "JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname = ? AND c.relkind = 'r'",
                [_SCHEMA],
            )
        )
        return int(number)

    def _explain_error(self, error: Exception) -> tuple[str, str]:
        state = getattr(error, "sqlstate", None) or ""
        words = one_line(str(error), limit=300)
        for known, advice in _POSTGRES_ADVICE:
            if state.startswith(known):
                return words, advice
        if "password" in words or "authentication" in words:
            return words, _LIBPQ_ADVICE
        if not state and "database" in words and "does not exist" in words:
            return words, "Create the database first, with: createdb NAME."
        return words, "Check that the server runs, and can be reached from here."


_LIBPQ_ADVICE: Final = (
    "Give the user's password by PGPASSWORD, a file that PGPASSFILE names, or a service file."
)
_POSTGRES_ADVICE: Final = (
    ("28", _LIBPQ_ADVICE),
    ("42501", "Grant the user the privileges that docs/history.md, PostgreSQL, lists."),
    ("3D000", "Create the database first, with: createdb NAME."),
    ("55P03", "Another program has locked it. Try again later."),
    ("53100", "Free space on the server's disk; the history is unchanged."),
    ("25006", "The server is read-only; name the primary server."),
)


def _was_interrupted(error: BaseException) -> bool:
    """Return whether Ctrl-C was the cause; psycopg may report it as a failed statement."""
    before = error.__context__
    return before is not None and (
        isinstance(before, KeyboardInterrupt) or _was_interrupted(before)
    )


def _close_all(connections: list[Any]) -> None:
    for connection in connections[:1]:
        if connections[1] == os.getpid():  # pragma: no branch # a forked child leaves it open
            connection.close()


def _import_driver() -> Any:  # noqa: ANN401 # a module
    try:
        import adbc_driver_postgresql  # noqa: F401, PLC0415 # only whether it is installed
        import psycopg  # noqa: PLC0415 # optional
    except ImportError as error:
        raise HistoryError(
            f"A history in PostgreSQL needs a driver. {describe_installation('postgresql')}"
        ) from error
    return psycopg


def refuse_password(url: str) -> None:
    """Raise if a URL holds a password, which would be in logs and displays."""
    try:
        parts = urlsplit(url)
        options = parse_qs(parts.query)
        # a password that holds a slash makes the rest of the URL a path
        has_password = parts.password is not None or (
            not parts.username and "@" in url and _has_invalid_port(parts)
        )
    except ValueError as error:
        raise HistoryError(
            f"The URL of the history is wrong: {one_line(str(error))}. It must have the form "
            "postgresql://user@host:port/database."
        ) from None
    if has_password or "password" in options or "sslpassword" in options:
        host = one_line(url.rpartition("@")[2].partition("?")[0])
        raise HistoryError(
            f"The URL of the history on {host} holds a password. Leave it out: {_LIBPQ_ADVICE}"
        )


def _has_invalid_port(parts: SplitResult) -> bool:
    """Return whether the port is not a number."""
    _, colon, port = parts.netloc.rpartition(":")
    return bool(colon) and not port.isdigit()


def _replace_locks() -> None:
    """Replace locks in a forked child: other threads of the parent may hold them."""
    for database in list(_DATABASES):
        database.lock = threading.RLock()


_DATABASES: Final["weakref.WeakSet[Postgres]"] = weakref.WeakSet()
if sys.platform != "win32":  # pragma: no branch
    os.register_at_fork(after_in_child=_replace_locks)
