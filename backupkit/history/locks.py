"""Lock of a history for one run: a second collector waits, or learns who holds it.

The operating system, or the server, releases the lock of a process that dies.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from backupkit.errors import HistoryError, HistoryLockedError, one_line

__all__ = ["lock_file", "lock_session"]

_RETRY_INTERVAL: Final = 0.1  # s
_MAX_NAME_LENGTH: Final = 63  # bytes; PostgreSQL cuts a longer application_name
_PREFIX: Final = "backupkit run"


@contextlib.contextmanager
def lock_file(path: Path, *, wait: float) -> Iterator[None]:
    """Lock a file beside a history.

    Parameters
    ----------
    path : Path
        File of the history. ``.lock`` and, while it is held, ``.holder`` stand beside it.
    wait : float
        How long to wait for another process [s].

    Raises
    ------
    HistoryLockedError
        If another process holds it for longer.
    HistoryError
        If the lock file cannot be written.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 # a reading command needs no lock

    real = Path(os.path.realpath(path))  # all names of a file have one lock
    holder = real.with_name(f"{real.name}.holder")
    lock = FileLock(real.with_name(f"{real.name}.lock"), timeout=wait)
    try:
        lock.acquire(poll_interval=_RETRY_INTERVAL)
    except Timeout:
        raise _build_error(str(path), _read_holder(holder)) from None
    except OSError as error:
        raise HistoryError(
            f"The lock file {lock.lock_file} cannot be written: {error.strerror or error}. Allow "
            "writing to its folder."
        ) from error
    try:
        with contextlib.suppress(OSError):  # only the message of another process needs it
            holder.write_text(_describe_process(), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def lock_session(
    connect: Callable[[str], Any], uri: str, lock_id: int, *, wait: float
) -> Iterator[None]:
    """Take an advisory lock of PostgreSQL in a session of its own.

    Parameters
    ----------
    connect : callable
        Returns a connection of psycopg that commits each statement; its argument is the
        application's name, which shows other processes who holds the lock.
    uri : str
        URL of the history, for messages.
    lock_id : int
        Id of the lock, up to 32 bits.
    wait : float
        How long to wait for another process [s].

    Raises
    ------
    HistoryLockedError
        If another session holds it for longer.
    """
    deadline = time.monotonic() + wait
    with contextlib.closing(connect(_format_session_name())) as connection:
        while not connection.execute("SELECT pg_try_advisory_lock(%s)", [lock_id]).fetchone()[0]:
            if time.monotonic() >= deadline:
                raise _build_error(uri, _find_session(connection, lock_id))
            time.sleep(_RETRY_INTERVAL)
        yield


def _describe_process() -> str:
    """Return the holder as JSON: pid, host and time."""
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": _format_now()})


def _read_holder(path: Path) -> str:
    """Return the holder in words; "" if it is not known."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return _format_holder(holder["pid"], holder["host"], holder["since"])
    except (OSError, ValueError, KeyError, TypeError):  # it was just released, or just taken
        return ""


def _format_session_name() -> str:
    """Return pid, time and host in the name of a session; others can read no more of it."""
    text = f"{_PREFIX} {os.getpid()} {_format_now()} {socket.gethostname()}"
    return text.encode("ascii", "replace")[:_MAX_NAME_LENGTH].decode()


def _find_session(connection: Any, lock_id: int) -> str:  # noqa: ANN401 # psycopg's
    """Return the holder of an advisory lock in words; "" if it is not known."""
    row = connection.execute(
        "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
        "JOIN pg_database d ON d.oid = l.database AND d.datname = current_database() "
        "WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objid = %s",
        [lock_id],
    ).fetchone()
    words = (row[0] if row else "").removeprefix(_PREFIX).split(maxsplit=2)
    match words:
        case [pid, since, host]:
            return _format_holder(pid, host, since)
        case _:
            return ""


def _format_now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _format_holder(pid: object, host: str, since: str) -> str:
    return one_line(f"pid {pid} on {host} since {since}", limit=200)


def _build_error(uri: str, holder: str) -> HistoryLockedError:
    return HistoryLockedError(
        f"another run works with this history{f': {holder}' if holder else ''}", subject=uri
    )
