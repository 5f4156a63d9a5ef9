"""A history in one SQLite file."""

import contextlib
import os
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from backupkit.errors import HistoryError, one_line
from backupkit.history import databases
from backupkit.history.databases import (
    Connection,
    Database,
    check_version,
    history_not_found,
    insert_first_rows,
)
from backupkit.history.locks import lock_file
from backupkit.history.schema import SCHEMA_VERSION, build_statements

if TYPE_CHECKING:
    from backupkit.history.arrow_reader import ArrowReader

__all__ = ["SQLite"]

_T = TypeVar("_T")

_APPLICATION_ID: Final = 0x76634270  # "vcBp"
_ID_OFFSET: Final = 68  # byte of a file, by https://sqlite.org/fileformat.html
_CACHE_KIB: Final = 65_536  # KiB; an append touches a page of each appliance in each index
_RETRY_INTERVAL: Final = 0.01  # s
_MIN_FREE_BYTES: Final = 2**17  # bytes; SQLite needs some to open a file


class _FileLock:
    """Allows one connection of this process at a time to a file.

    POSIX locks belong to the process. If one of the two SQLite libraries in the process (Python's
    and that of ADBC) closes a file, the locks of the other are lost.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._cached: sqlite3.Connection | None = None
        self._opened: tuple[int, ...] = ()

    def get_cached(
        self, connect: Callable[[], sqlite3.Connection], state: tuple[int, ...]
    ) -> sqlite3.Connection:
        """Return a connection that stays open for further look-ups, because opening is slow.

        It is opened again if the file has another state: it may be another file.
        """
        opened = (os.getpid(), *state)
        if self._opened != opened:
            self.clear()
        if self._cached is None:
            self._cached, self._opened = connect(), opened
        return self._cached

    def clear(self) -> None:
        """Close the cached connection."""
        cached, self._cached = self._cached, None
        if cached is not None and self._opened[0] == os.getpid():  # after a fork: the parent's
            cached.close()


class SQLite(Database):
    """One file.

    Connections are closed after use, except the one for look-ups, which the next read or write
    closes. After the last one is closed, the file is complete and can be copied.
    """

    locks: Final[dict[str, _FileLock]] = {}  # shared by all

    def __init__(self, path: Path, *, create: bool) -> None:
        self.uri = str(path)
        self.path = path.absolute()  # the current folder may change
        self._file_lock = self.locks.setdefault(os.path.realpath(path), _FileLock())
        if path.is_dir():
            raise HistoryError(
                f"{path} is a folder. Name a file in it, such as {path / 'history.db'}."
            )
        try:
            if not path.exists() or path.stat().st_size == 0:
                self._create(allowed=create)
            else:
                self._check_is_history(create=create)
            with self._open_connection() as connection:
                [self._identity] = connection.execute("SELECT identity FROM history").fetchone()
        except (OSError, sqlite3.Error) as error:
            raise self.build_error(error, "used") from error

    def _create(self, *, allowed: bool) -> None:
        if not allowed:
            raise history_not_found(str(self.path))
        _create_folder(self.path.absolute().parent)
        with self._open_connection(mode="rwc") as connection:
            _keep_log_beside(connection)
        self.write(self._create_tables)

    def _create_tables(self, connection: Connection) -> None:
        if connection.execute("PRAGMA application_id") == [(_APPLICATION_ID,)]:
            return  # another process was faster
        types = {"big": "INTEGER", "real": "REAL", "blob": "BLOB", "without_rowid": "WITHOUT ROWID"}
        iso = "strftime('%Y-%m-%dT%H:%M:%fZ', {} / 1000000.0, 'unixepoch')"
        for statement in build_statements(types, iso):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        insert_first_rows(connection)

    def _check_is_history(self, *, create: bool) -> None:
        """Check that the file is a history, without a change to a file of another program."""
        with self._lock_exclusively(), self.path.open("rb") as file:
            file.seek(_ID_OFFSET)
            is_history = int.from_bytes(file.read(4)) == _APPLICATION_ID
        mode = "rw"
        if not is_history:
            # a connection that may write would roll back what another program left unfinished
            mode = "ro" if self._wal_path.exists() else "ro&immutable=1"
        with self._open_connection(mode=mode) as connection:
            connection.execute("BEGIN")  # another process may be making the tables
            [application], [version], [tables] = (
                connection.execute(query).fetchone()
                for query in (
                    "PRAGMA application_id",
                    "PRAGMA user_version",
                    "SELECT COUNT(*) FROM sqlite_master",
                )
            )
        if application == 0 and tables == 0:
            self._create(allowed=create)
        elif application != _APPLICATION_ID:
            raise HistoryError(
                f"{self.path} is a database of another program. Name another file; this one is "
                "unchanged."
            )
        else:
            check_version(self.uri, version)

    @contextlib.contextmanager
    def _lock_exclusively(self) -> Iterator[None]:
        """Wait until no other connection of this process is open."""
        with self._file_lock.lock:
            self._file_lock.clear()
            yield

    @contextlib.contextmanager
    def _open_connection(self, *, mode: str = "rw") -> Iterator[sqlite3.Connection]:
        with self._lock_exclusively(), contextlib.closing(self._connect(mode)) as connection:
            with contextlib.closing(connection.cursor()) as cursor:
                self.check_identity(Connection(cursor, "?"))
            yield connection

    def _connect(self, mode: str = "rw") -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._build_uri(mode),
            uri=True,
            timeout=databases.LOCK_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,  # the file lock allows one thread at a time
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _build_uri(self, mode: str = "rw") -> str:
        if mode != "rwc" and not self._is_writable():
            # a lock needs a new file beside it, which cannot be written; see _check_unchanged
            mode = "ro" if self._wal_path.exists() else "ro&immutable=1"
        return f"{self.path.absolute().as_uri()}?mode={mode}"

    @property
    def _wal_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}-wal")

    def _is_writable(self) -> bool:
        return os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)

    @contextlib.contextmanager
    def read(self) -> Iterator["ArrowReader"]:
        import adbc_driver_sqlite  # noqa: PLC0415 # an append needs neither, nor pyarrow

        from backupkit.history.arrow_reader import (  # noqa: PLC0415
            AdbcError,
            ArrowReader,
            ReadError,
        )

        begin = (
            f"PRAGMA busy_timeout = {databases.LOCK_TIMEOUT * 1000:.0f}",
            "PRAGMA query_only = ON",
            "BEGIN",
        )
        try:
            with self._lock_exclusively(), self._check_unchanged():
                database = adbc_driver_sqlite.connect(self._build_uri())
                with ArrowReader.open(database, begin, typed=False) as reader:
                    self.check_identity(reader)
                    yield reader
        except (AdbcError, ReadError) as error:
            raise self.build_error(error, "read") from error

    @contextlib.contextmanager
    def _check_unchanged(self) -> Iterator[None]:
        """Raise if the file changes while it is read without locks."""
        before = None if self._is_writable() or self._wal_path.exists() else self._read_file_state()
        try:
            yield
        finally:
            if before is not None and before != self._read_file_state():
                raise HistoryError(f"The history {self.uri} changed while it was read. Try again.")

    def _read_file_state(self) -> tuple[int, ...]:
        """Return what tells the file from another one, or another state; () if it is gone."""
        try:
            state = self.path.stat()
        except OSError:  # opening it will report why
            return ()
        has_log = self._wal_path.exists()
        return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, has_log

    def write(self, action: Callable[[Connection], _T]) -> _T:
        file_id = self._read_file_state()[:2]
        try:
            with self._open_connection() as connection:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    result = action(Connection(connection.cursor(), "?"))
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
                if self._read_file_state()[:2] != file_id:
                    raise HistoryError(
                        f"The history {self.uri} was moved or removed while it was written. Put "
                        "it back, and try again."
                    )
                return result
        except sqlite3.Error as error:
            raise self.build_error(error, "written") from error

    def run_lookup(self, action: Callable[[Connection], _T]) -> _T:
        try:
            if not self._is_writable():  # a cached connection without locks would miss changes
                with self._open_connection() as opened:
                    return action(Connection(opened.cursor(), "?"))
            with (
                self._file_lock.lock,
                contextlib.closing(
                    self._file_lock.get_cached(self._connect, self._read_file_state()[:4]).cursor()
                ) as cursor,
            ):
                connection = Connection(cursor, "?")
                self.check_identity(connection)
                return action(connection)
        except sqlite3.Error as error:
            raise self.build_error(error, "read") from error

    def lock_run(self, *, wait: float) -> contextlib.AbstractContextManager[None]:
        return lock_file(Path(self.uri), wait=wait)

    def check(self) -> list[str]:
        def run(connection: Connection) -> list[str]:
            found = connection.execute("PRAGMA integrity_check")
            return [str(text) for (text,) in found if text != "ok"]

        try:
            return self.run_lookup(run)
        except HistoryError as error:
            return [str(error)]

    def shrink(self) -> None:
        try:
            with self._open_connection() as connection:
                connection.execute("VACUUM")
                [(busy, *_)] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if not busy:
                return
            why, advice = "another program reads it", "They go when that program has closed it."
        except sqlite3.Error as error:
            why, advice = self._explain_error(error)
        raise HistoryError(
            f"The rows are removed, but their bytes are still in the file {self.uri} or its log: "
            f"{why}. {advice}".strip()
        )

    def copy_to(self, target: Path) -> None:
        """Copy the file, even while others write."""
        with (
            self._open_connection() as connection,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            connection.backup(copy)

    def size(self) -> int:
        return sum(
            path.stat().st_size
            for ending in ("", "-wal")
            if (path := self.path.with_name(f"{self.path.name}{ending}")).exists()
        )

    def _explain_error(self, error: Exception) -> tuple[str, str]:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        words = str(error).lower()
        if self._identity is not None and not self.path.exists():
            return (
                "the file is gone",
                "Put it back, or name the place that it was moved to.",
            )
        if "i/o error" in words and shutil.disk_usage(self.path.parent).free < _MIN_FREE_BYTES:
            code = sqlite3.SQLITE_FULL  # no space for the file of shared memory
        for known, sign, why, advice in _SQLITE_ERRORS:
            if code == known or (not code and sign in words):
                return why, advice.format(folder=self.path.absolute().parent, path=self.path)
        if isinstance(error, OSError):
            return error.strerror or str(error), "Name a file in a folder you may write to."
        return one_line(str(error)), ""


def _keep_log_beside(connection: sqlite3.Connection) -> None:
    """Switch to a write-ahead log, so that reads and writes do not block each other.

    SQLite itself does not wait where two processes switch at the same moment.
    """
    until = time.monotonic() + databases.LOCK_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_RETRY_INTERVAL)
        else:
            return


_RESTORE_ADVICE: Final = (
    "Restore the file from a backup; jobs that the appliances still list can be collected into a "
    "new history."
)
_LOCKED_CAUSE: Final = f"another program has locked it for {databases.LOCK_TIMEOUT:.0f} s"
_FULL_ADVICE: Final = "Free space in {folder}; the history is unchanged."
_SQLITE_ERRORS: Final = (  # result code, part of the message, cause, advice
    (5, "locked", _LOCKED_CAUSE, "Try again later."),
    (6, "locked", _LOCKED_CAUSE, "Try again later."),
    (13, "disk is full", "the disk is full", _FULL_ADVICE),
    (8, "readonly", "it is read-only", "Allow writing to {path} and its folder."),
    (14, "to open", "it cannot be opened", "Check that {path} may be read and written."),
    (26, "not a database", "it is not a database", "Name another file; this one is unchanged."),
    (11, "malformed", "the file is damaged", _RESTORE_ADVICE),
    (10, "i/o error", "the disk has an error", "See the system log, and check {folder}."),
)


def _create_folder(folder: Path) -> None:
    """Create a folder that still exists after a power cut."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform != "win32":  # pragma: no branch # it has no handle of a folder
        for one in missing:
            handle = os.open(one.parent, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)


def _acquire_all() -> None:
    """Wait before a fork until no file is open: the child does not inherit its locks."""
    while True:
        with contextlib.ExitStack() as held:
            for file_lock in list(SQLite.locks.values()):
                # its owner may wait for one that is held here
                if not file_lock.lock.acquire(timeout=0.1):
                    break
                held.callback(file_lock.lock.release)
                file_lock.clear()
            else:
                _HELD_LOCKS.append(held.pop_all())
                return


def _release_all() -> None:
    """Release all locks, in the parent and in the child."""
    while _HELD_LOCKS:
        _HELD_LOCKS.pop().close()


_HELD_LOCKS: Final[list[contextlib.ExitStack]] = []
if sys.platform != "win32":  # pragma: no branch
    os.register_at_fork(
        before=_acquire_all, after_in_parent=_release_all, after_in_child=_release_all
    )
