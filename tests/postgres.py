"""A PostgreSQL server for the tests."""

import contextlib
import os
import pwd
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

REASON = "needs PostgreSQL: install Debian's postgresql"
SUPERUSER = "postgres"
PATIENCE = 60.0
"""Time limit for an action of the server [s]."""

_PROGRAMS = ("initdb", "postgres", "pg_ctl")
_DEBIAN = Path("/usr/lib/postgresql")
_DISK = Path("/tmp")  # noqa: S108 # TMPDIR may be closed to the server's user, or too long
_MEMORY = Path("/dev/shm")  # noqa: S108 # creating a database there takes a fifth of the time
_ROOM = 2**30
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}

_SMALL = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "40",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",  # in the folder: nothing is left in /dev/shm by a kill
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_QUICK = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "min_wal_size": "32MB",  # it may be in memory
    "max_wal_size": "128MB",
}

# waits for a line or the end of the tests' process, then stops the server and removes the folder
_CLEANER = """
read -r line
if read -r postmaster < "$1/data/postmaster.pid"; then
  kill -s QUIT "$postmaster"
  kill -s CONT "$postmaster"
  # the file is removed at the end; the process id may exist until the parent waits for it
  for _ in $(seq 200); do [ -e "$1/data/postmaster.pid" ] || break; sleep 0.05; done
fi
rm -rf -- "$1"
"""


def find_binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, from PATH or the newest Debian version."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(_DEBIAN.glob("*/bin"), key=_version, reverse=True)
    return next((one for one in folders if _has_programs(one)), None)


def _version(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder.parent.name)]


def _has_programs(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in _PROGRAMS)


NEEDED = pytest.mark.skipif(find_binaries() is None, reason=REASON)
"""For tests that run servers of their own."""


class PostgresServer:
    """A server in a temporary folder, on a port of 127.0.0.1 and on a socket in the folder.

    Roles other than the superuser always need their password.

    Parameters
    ----------
    durable : bool
        Whether committed rows survive `kill`. Otherwise the server is faster, and in memory if
        there is room.
    trusting : bool
        Whether the superuser needs no password. Otherwise `url` contains it.
    settings : mapping of str to str
        More for postgresql.conf.
    """

    def __init__(
        self,
        *,
        durable: bool = False,
        trusting: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        binaries = find_binaries()
        if binaries is None:
            raise RuntimeError(REASON)
        self.binaries = binaries
        self.folder: Path | None = None
        self.port = 0
        self.password = None if trusting else secrets.token_urlsafe(12)
        self.roles: list[str] = []
        self._settings = _SMALL | ({} if durable else _QUICK) | dict(settings or {})
        self._parent = _DISK if durable or not _is_roomy(_MEMORY) else _MEMORY
        self._account = _account()
        self._process: subprocess.Popen[bytes] | None = None
        self._cleaner: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """True while the server runs."""
        return self._process is not None and self._process.poll() is None

    def url(self, database: str, user: str = SUPERUSER, password: str | None = None) -> str:
        """Return the URL of a database (a name or any URL of it) for a role."""
        password = self.password if user == SUPERUSER and password is None else password
        account = quote(user, safe="")
        if password is not None:
            account += f":{quote(password, safe='')}"
        return f"postgresql://{account}@127.0.0.1:{self.port}/{_name(database)}"

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        if self.running:
            raise RuntimeError("PostgreSQL runs already")
        folder = self.folder or self._create()
        with (folder / "log").open("ab") as log:
            self._process = self._popen("postgres", "-D", "data", output=log.fileno())
        try:
            _wait_until(lambda: self._ready(folder) or not self.running)
        except TimeoutError:
            self.kill()
        if not self.running:
            self._process = None
            raise RuntimeError(f"PostgreSQL did not start:\n{self.log_tail()}")

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server, if it runs, and keep its folder.

        With `immediate` it writes no checkpoint, so that the next start is a recovery.
        """
        if self._process is None:
            return
        self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            log = self.log_tail()
            self.kill()
            raise RuntimeError(f"PostgreSQL did not stop:\n{log}") from None
        self._process = None

    def kill(self) -> None:
        """Kill all processes of the server and wait until they are gone."""
        process, folder = self._process, self.folder
        if process is None or folder is None or not self.running:
            raise RuntimeError("PostgreSQL does not run")
        # a stopped postmaster starts no more children, and does not notice their end
        process.send_signal(signal.SIGSTOP)
        _wait_until(lambda: _status(process.pid)[0] in "TZ")
        children = _children(process.pid)
        for child in children:
            os.kill(child, signal.SIGKILL)
        _wait_until(lambda: all(_status(child)[0] == "Z" for child in children))
        process.kill()
        process.wait(PATIENCE)
        self._process = None
        _remove_locks(folder)

    def close(self) -> None:
        """Stop the server and remove its folder."""
        try:
            self.stop(immediate=True)
        finally:
            if self._cleaner is not None:
                self._cleaner.communicate(b"\n", PATIENCE)
            self._cleaner = self.folder = None
            self.roles.clear()

    def log_tail(self, lines: int = 20) -> str:
        """Return the end of the server's log."""
        if self.folder is None:
            return ""
        log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(log.splitlines()[-lines:])

    def execute(self, database: str, command: str | sql.Composed) -> list[tuple[Any, ...]]:
        """Run SQL as the superuser with autocommit, and return the rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(command)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, *, language: str | None = None) -> str:
        """Create an empty database and return its URL.

        It sorts text by code points, as SQLite, or by the rules of a language such as "en-US".
        """
        name = f"test_{next(self._numbers)}"
        command = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if language is not None:
            command += sql.SQL(" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE {}").format(
                sql.Literal(language)
            )
        self.execute(SUPERUSER, command)
        return self.url(name)

    def drop_database(self, database: str) -> None:
        """Drop a database, if it exists, with its connections."""
        name = sql.Identifier(_name(database))
        command = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name)
        self.execute(SUPERUSER, command)

    @contextlib.contextmanager
    def fresh_database(self) -> Iterator[str]:
        """Yield the URL of an empty database; drop it and the roles of the test afterwards."""
        if not self.running:  # an earlier test killed it
            self.start()
        before = set(self.roles)
        url = self.create_database()
        try:
            yield url
        finally:
            if not self.running:
                self.start()
            self.drop_database(url)
            for role in set(self.roles) - before:
                self.drop_role(role)

    def create_role(
        self, name: str, password: str, *grants: str, database: str = SUPERUSER
    ) -> None:
        """Create a role with a password, and run SQL such as GRANT in a database."""
        command = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
        self.execute(SUPERUSER, command.format(sql.Identifier(name), sql.Literal(password)))
        self.roles.append(name)
        for grant in grants:
            self.execute(database, grant)

    def drop_role(self, name: str) -> None:
        """Drop a role, if it exists, without rights or tables in any database."""
        command = sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name))
        self.execute(SUPERUSER, command)
        self.roles = [role for role in self.roles if role != name]

    def _create(self) -> Path:
        """Create the folder with a cluster, and start the process that will remove it."""
        self.folder = Path(tempfile.mkdtemp(prefix="backupkit-postgres-", dir=self._parent))
        self._cleaner = subprocess.Popen(
            ["/bin/sh", "-c", _CLEANER, "cleaner", self.folder],
            env=_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C must not reach it
        )
        secret = self.folder / "password"
        secret.write_text(self.password or secrets.token_urlsafe(12), encoding="utf-8")
        if self._account is not None:
            for path in (self.folder, secret):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        options = ["-D", "data", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        options += [f"--username={SUPERUSER}", "--pwfile=password", "--auth=scram-sha-256"]
        with (self.folder / "log").open("ab") as log:
            initdb = self._popen("initdb", *options, output=log.fileno())
        try:
            initdb.wait(PATIENCE)
        finally:
            initdb.kill()
            initdb.wait()
        if initdb.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{self.log_tail()}")
        secret.unlink()
        self._configure(self.folder)
        return self.folder

    def _configure(self, folder: Path) -> None:
        method = "scram-sha-256" if self.password else "trust"
        rules = []
        for user, auth in ((SUPERUSER, method), ("all", "scram-sha-256")):
            rules += [f"local all {user} {auth}\n", f"host all {user} 127.0.0.1/32 {auth}\n"]
        (folder / "data" / "pg_hba.conf").write_text("".join(rules), encoding="utf-8")
        self.port = _free_port()
        settings = {"port": str(self.port), "unix_socket_directories": str(folder)}
        with (folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
            for name, value in (settings | self._settings).items():
                file.write("{} = '{}'\n".format(name, value.replace("'", "''")))

    def _popen(self, program: str, *options: str, output: int) -> "subprocess.Popen[bytes]":
        """Start a program of PostgreSQL in the folder, as another user than root."""
        account = self._account
        return subprocess.Popen(
            [self.binaries / program, *options],
            cwd=self.folder,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C must not reach it
            user=account and account.pw_uid,
            group=account and account.pw_gid,
            extra_groups=account and [],
        )

    def _ready(self, folder: Path) -> bool:
        """Return whether the lock file says that the server is ready, as pg_ctl does."""
        process, lines = self._process, _lock_file(folder)
        return (
            process is not None
            and len(lines) >= 8
            and lines[0] == str(process.pid)
            and lines[7].strip() == "ready"
        )


def _account() -> pwd.struct_passwd | None:
    """Return the user of the server if the tests run as root, which the server refuses."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def _is_roomy(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK) and shutil.disk_usage(folder).free > _ROOM


def _name(database: str) -> str:
    """Return the name of a database from the name or a URL."""
    return urlsplit(database).path.removeprefix("/")


def _free_port() -> int:
    """Return a free port below the range of ephemeral ports."""
    draw = random.SystemRandom()
    for _ in range(100):
        port = draw.randrange(15_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("no free port on 127.0.0.1")


def _lock_file(folder: Path) -> list[str]:
    try:
        text = (folder / "data" / "postmaster.pid").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return text.splitlines()


def _remove_locks(folder: Path) -> None:
    """Remove the locks of a killed server: another process may get its id."""
    lines = _lock_file(folder)
    if len(lines) >= 7:
        _key, segment = lines[6].split()
        subprocess.run(["/usr/bin/ipcrm", "-m", segment], capture_output=True, check=False)
    for path in (folder / "data" / "postmaster.pid", *folder.glob(".s.PGSQL.*")):
        path.unlink(missing_ok=True)


def _wait_until(happened: Callable[[], bool]) -> None:
    deadline = monotonic() + PATIENCE
    while not happened():
        if monotonic() > deadline:
            raise TimeoutError
        sleep(0.003)


def _status(process: int) -> tuple[str, int]:
    """Return state and parent of a process; a missing process is a zombie."""
    try:
        line = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "Z", 0
    state, parent = line.rpartition(")")[2].split()[:2]
    return state, int(parent)


def _children(parent: int) -> list[int]:
    numbers = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [number for number in numbers if _status(number)[1] == parent]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Run one server, not durable, for all tests of a process."""
    if find_binaries() is None:
        pytest.skip(REASON)
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Return the URL of an empty database, which is dropped after the test with its roles."""
    with postgres_server.fresh_database() as url:
        yield url
