"""Each error of a history is one sentence and the next step."""

import builtins
import contextlib
import os
import socket
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
from typing import Any

import psycopg
import pytest

from backupkit.cli import main
from backupkit.errors import HistoryError
from backupkit.history import AppendResult, History, databases, postgresql, sqlite
from backupkit.history.schema import SCHEMA_VERSION
from tests import raw
from tests.builders import FIRST, SECOND, observation, snapshot
from tests.postgres import PostgresServer

Fail = Callable[[str], str]


@pytest.fixture
def fail(capsys: pytest.CaptureFixture[str]) -> Fail:
    """Return a function that runs `history info`, which fails, and returns its message."""

    def run(place: str) -> str:
        capsys.readouterr()
        assert main(["history", "info", "--history", place]) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "Traceback" not in printed.err
        assert len(printed.err.strip().splitlines()) == 1
        return printed.err

    return run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the file of a history."""
    path = tmp_path / "history.db"
    History(path).append(FIRST)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files of a folder."""
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}


class TestNoHistory:
    """A place that holds no history is refused and left contents."""

    def test_folder(self, tmp_path: Path, fail: Fail) -> None:
        """A folder is refused."""
        with pytest.raises(HistoryError, match=r"is a folder\. Name a file in it, such as .*\.db"):
            History(tmp_path)
        assert str(tmp_path) in fail(str(tmp_path))
        assert contents(tmp_path) == {}

    def test_missing(self, tmp_path: Path, fail: Fail) -> None:
        """A read of a missing file creates nothing."""
        message = fail(str(tmp_path / "history.db"))
        assert "holds no history yet. Fill it first with: backupkit collect" in message
        assert contents(tmp_path) == {}

    @pytest.mark.parametrize("content", [b"hello", b"{}" * 5_000, b"SQLite format 3\0" + b"x" * 99])
    def test_other_file(self, tmp_path: Path, fail: Fail, content: bytes) -> None:
        """A file that is no database is refused."""
        path = tmp_path / "thesis.tex"
        path.write_bytes(content)
        message = fail(str(path))
        assert str(path) in message
        assert "is not a database" in message
        with pytest.raises(HistoryError, match="Name another file"):
            History(path)
        assert contents(tmp_path) == {"thesis.tex": content}

    @pytest.mark.parametrize("mode", ["delete", "wal"])
    def test_other_program(self, tmp_path: Path, fail: Fail, mode: str) -> None:
        """The database of another program is refused, also while that program has it open."""
        path = tmp_path / "music.db"
        with contextlib.closing(sqlite3.connect(path)) as theirs:
            theirs.execute(f"PRAGMA journal_mode = {mode}")
            theirs.execute("CREATE TABLE songs (title TEXT)")
            theirs.execute("INSERT INTO songs VALUES ('x')")
            theirs.commit()
            before = path.read_bytes()
            assert "is a database of another program" in fail(str(path))
            assert path.read_bytes() == before
        before = path.read_bytes()
        with pytest.raises(HistoryError, match=r"another program\. Name another file"):
            History(path)
        assert contents(tmp_path) == {"music.db": before}

    def test_killed_program(self, tmp_path: Path) -> None:
        """The write-ahead log of another, killed program is left contents."""
        path = tmp_path / "music.db"
        with contextlib.closing(sqlite3.connect(path)) as theirs:
            theirs.execute("PRAGMA journal_mode = wal")
            theirs.execute("CREATE TABLE songs (title TEXT)")
            theirs.commit()
            killed = tmp_path / "killed"
            killed.mkdir()
            for ending in ("", "-wal"):
                (killed / f"music.db{ending}").write_bytes(Path(f"{path}{ending}").read_bytes())
        before = contents(killed)
        with pytest.raises(HistoryError, match="another program"):
            History(killed / "music.db")
        after = contents(killed)
        after.pop("music.db-shm", None)
        assert after == before

    def test_newer(self, path: Path, fail: Fail) -> None:
        """A history of a later version is refused."""
        raw.run(str(path), "PRAGMA user_version = 99")
        before = path.read_bytes()
        assert f"schema 99; this one knows schema {SCHEMA_VERSION}). Update backupkit" in fail(
            str(path)
        )
        assert path.read_bytes() == before

    @pytest.mark.parametrize("place", ["s3://bucket/history", "https://host/h.db", "mysql://h/d"])
    def test_other_url(self, fail: Fail, place: str) -> None:
        """A URL of another kind is refused."""
        message = fail(place)
        assert place in message
        assert "cannot hold a history. Name a file such as history.db" in message

    def test_below_a_file(self, tmp_path: Path) -> None:
        """The reason of the operating system is reported."""
        (tmp_path / "a").touch()
        with pytest.raises(HistoryError, match=r"b\.db cannot be used: .*[a-z]\. .*folder you may"):
            History(tmp_path / "a" / "b.db")


class TestDamage:
    """Damaged files."""

    @pytest.fixture
    def large(self, tmp_path: Path) -> Path:
        """Return the file of a history of some hundred pages."""
        path = tmp_path / "history.db"
        history = History(path)
        for minute in range(3):
            jobs = [
                observation("vc-1", f"{minute}-{number:09}", "FAILED") for number in range(3_000)
            ]
            history.append(snapshot(minute, *jobs))
        return path

    @pytest.mark.parametrize("damage", ["zeros", "cut", "noise"])
    def test_pages(self, large: Path, damage: str) -> None:
        """Missing or overwritten pages are found; no other error is raised."""
        content = bytearray(large.read_bytes())
        half = len(content) // 2 // 4096 * 4096
        if damage == "cut":
            del content[half:]
        else:
            junk = b"\0" if damage == "zeros" else b"\xa5"
            content[4096 * 4 : half] = junk * (half - 4096 * 4)
        large.write_bytes(content)
        with pytest.raises(HistoryError):
            History(large, create=False).verify()
        with contextlib.suppress(HistoryError):
            History(large).append(snapshot(9, observation("vc-1", "9", "FAILED")))
        with contextlib.suppress(HistoryError):
            History(large).jobs()

    def test_while_open(self, large: Path) -> None:
        """Verify finds damage that happens while the history is open."""
        history = History(large)
        content = large.read_bytes()
        large.write_bytes(b"\0" * 100 + content[100:])
        [problem] = history.verify()["problem"]
        assert "it is not a database" in problem

    def test_first_page(self, large: Path, fail: Fail) -> None:
        """A file without its first page is no database."""
        content = bytearray(large.read_bytes())
        content[:100] = bytes(100)
        large.write_bytes(content)
        assert "is not a database" in fail(str(large))


KNOWN = (frozenset({"1"}), frozenset({"1"}))

CALLS: dict[str, Callable[[History], object]] = {
    # the look-up first: it uses a connection that stays open
    "look-up": lambda history: history.known_jobs("vc-1", ["1"]),
    "jobs": History.jobs,
    "view": History.view,
    "sync": History.sync_state,
    "head": lambda history: history.head,
    "facts": History.facts,
    "sql": lambda history: history.sql("SELECT * FROM v_jobs"),
    "writable": History.check_writable,
    "append": lambda history: history.append(SECOND),
    "prune": lambda history: history.prune("2030-01-01T00:00Z"),
}


def each_call_fails(history: History, match: str) -> None:
    """Check that each call fails with one sentence and an advice."""
    for name, call in CALLS.items():
        with pytest.raises(HistoryError, match=match) as raised:
            call(history)
        assert "\n" not in str(raised.value), name


class TestGone:
    """A history that goes away while it is open is neither empty nor appended to."""

    @pytest.fixture
    def opened(self, path: Path) -> History:
        """Return an open history with a connection for look-ups."""
        history = History(path)
        assert history.known_jobs("vc-1", ["1"]) == KNOWN
        return history

    @pytest.mark.parametrize("gone", ["file", "folder"])
    def test_moved(self, path: Path, opened: History, gone: str, tmp_path: Path) -> None:
        """A file or folder that is moved away is gone, and works again when it is back."""
        there = path if gone == "file" else path.parent
        away = tmp_path.with_name(f"{tmp_path.name}-{gone}")
        there.rename(away)
        each_call_fails(opened, r"cannot be (read|written): the file is gone\. Put it back")
        with pytest.raises(HistoryError, match="the file is gone"):
            opened.backup(away.with_name(f"{away.name}-copy"))
        assert not path.exists()
        away.rename(there)
        assert opened.known_jobs("vc-1", ["1"]) == KNOWN
        assert opened.append(SECOND).changed == 1

    def test_other_history(self, path: Path, opened: History) -> None:
        """Another history in its place is neither read nor written, and stays as it is."""
        path.unlink()
        other = History(path)
        each_call_fails(opened, "holds another history than the one that was opened")
        assert (len(other.jobs()), other.head) == (0, "")

    def test_overwritten(self, path: Path, opened: History, tmp_path: Path) -> None:
        """Another history that is copied over the file is noticed, too."""
        History(tmp_path / "other.db")
        path.write_bytes((tmp_path / "other.db").read_bytes())
        each_call_fails(opened, "holds another history than the one that was opened")

    def test_restored(self, path: Path, opened: History, tmp_path: Path) -> None:
        """The same history from a backup is still the same history."""
        backup = opened.backup(tmp_path / "backup.db")
        opened.append(SECOND)
        backup.replace(path)
        assert len(opened.polls()) == 2
        assert opened.append(SECOND).polls == 2

    def test_emptied(self, path: Path, opened: History) -> None:
        """An empty file in its place holds no history."""
        path.unlink()
        path.touch()
        each_call_fails(opened, "its tables are gone. Restore them from a backup")
        assert path.read_bytes() == b""

    def test_while_it_writes(self, path: Path, opened: History) -> None:
        """A file that is removed while an append waits for its lock was not appended to."""
        with (
            contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other,
            ThreadPoolExecutor(1) as executor,
        ):
            other.execute("BEGIN IMMEDIATE")
            appended = executor.submit(opened.append, SECOND)
            sleep(0.3)  # if it is too short, the append fails for another reason
            path.unlink()
            other.execute("ROLLBACK")
            with pytest.raises(HistoryError, match=r"while it was written|the file is gone"):
                appended.result()

    def test_schema(self, postgres_url: str) -> None:
        """A schema that is dropped is gone; a new one is another history."""
        history = History(postgres_url)
        history.append(FIRST)
        raw.run(postgres_url, "DROP SCHEMA backupkit CASCADE")
        each_call_fails(history, "its tables are gone. Restore them from a backup")
        other = History(postgres_url)
        each_call_fails(history, "holds another history than the one that was opened")
        assert (len(other.jobs()), other.head) == (0, "")

    def test_server(
        self,
        postgres_server: PostgresServer,
        postgres_url: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A database that is gone is an error, after the time that a restart may take."""
        history = History(postgres_url)
        history.append(FIRST)
        monkeypatch.setattr(databases, "LOCK_TIMEOUT", 0.1)
        postgres_server.drop_database(postgres_url)
        each_call_fails(history, r"cannot be (read|written): .*does not exist")


class TestLocked:
    """Locks of other programs."""

    @pytest.fixture(autouse=True)
    def short_timeout(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Wait for a lock only a moment."""
        monkeypatch.setattr(databases, "LOCK_TIMEOUT", 0.2)

    def test_file(self, path: Path) -> None:
        """A read of a locked file succeeds, an append fails after the time limit."""
        history = History(path)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(HistoryError, match=r"written: another .* locked.* Try again later"):
                history.append(SECOND)
            assert len(history.jobs()) == 2
            other.execute("ROLLBACK")
        assert history.append(SECOND) == AppendResult(changed=1, polls=2)

    def test_exclusive(self, path: Path, fail: Fail) -> None:
        """A read of an exclusively locked file fails after the time limit."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            other.execute("UPDATE history SET thinned_to = 0")
            assert "another program has locked it" in fail(str(path))

    def test_database(self, postgres_url: str) -> None:
        """In PostgreSQL a read succeeds, too, and an append fails."""
        history = History(postgres_url)
        history.append(FIRST)
        with psycopg.connect(postgres_url) as other:
            other.execute("SELECT pg_advisory_xact_lock(%s)", [postgresql._LOCK_ID])
            with pytest.raises(HistoryError, match=r"Another program has locked it\. Try again l"):
                history.append(SECOND)
            assert len(history.jobs()) == 2
        assert history.append(SECOND) == AppendResult(changed=1, polls=2)


class TestDisk:
    """Disks that cannot be written."""

    def test_full(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A full disk is an error, and the stored rows stay."""
        connect = sqlite.SQLite._connect

        def full(self: sqlite.SQLite, mode: str = "rw") -> sqlite3.Connection:
            connection = connect(self, mode)
            connection.execute("PRAGMA max_page_count = 1")  # as many as there are
            return connection

        history = History(path)
        many = snapshot(
            2, *(observation("vc-1", f"{number:0100}", "FAILED") for number in range(3_000))
        )
        with monkeypatch.context() as patch:
            patch.setattr(sqlite.SQLite, "_connect", full)
            with pytest.raises(HistoryError, match=r"the disk is full\. Free space in .*unchanged"):
                history.append(many)
        assert len(history.jobs()) == 2
        assert history.verify().empty
        assert history.append(many).new == 3_000

    def test_read_only(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A read-only history can be read; an append is an error."""
        access = os.access
        monkeypatch.setattr(os, "access", lambda name, mode: mode != os.W_OK and access(name, mode))
        history = History(path, create=False)
        assert len(history.jobs()) == 2
        assert history.verify().empty
        assert history.known_jobs("vc-1", ["1"])[0] == {"1"}
        with pytest.raises(HistoryError, match=r"it is read-only\. Allow writing to .*history\.db"):
            history.append(SECOND)
        assert contents(path.parent).keys() == {"history.db"}


ODD_NAMES = [
    "[1].db",
    "a^b|c.db",
    "100%.db",
    "%41.db",
    "a#b.db",
    "what?.db",
    "a&b;c.db",
    'it\'s "quoted".db',
    "Größe ünd 日本.db",
    " leading.db",
    "trailing ",
    "a+b=c,d.db",
    "~home.db",
    "$HOME.db",
    "*.db",
    "back\\slash.db",
    "file:x.db",
    "C:x.db",
    "-rf.db",
    ":memory:",
    "mode=ro&x.db",
    "new\nline.db",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history may have any file name that the operating system allows."""
    for place in (tmp_path / name, tmp_path / f"folder {name}" / name):
        history = History(place)
        history.append(FIRST)
        assert place.is_file()
        assert len(History(str(place), create=False).jobs()) == 2
        assert history.verify().empty
        assert history.forget("vc-1")["polls"] == 1
        assert [one.name for one in place.parent.iterdir() if one.is_file()] == [name]
    monkeypatch.chdir(tmp_path)
    assert len(History(name).jobs()) == 1


class TestServer:
    """Errors of the PostgreSQL server, user or database."""

    def test_down(self, fail: Fail) -> None:
        """An unreachable server is an error."""
        with socket.create_server(("127.0.0.1", 0)) as door:
            port = door.getsockname()[1]
        place = f"postgresql://collector@127.0.0.1:{port}/backups"
        message = fail(place)
        assert place in message
        assert "Check that the server runs, and can be reached from here." in message

    def test_no_such_host(self, fail: Fail) -> None:
        """A host name without an address is an error."""
        assert "Check that the server runs" in fail("postgresql://u@no-such-host.invalid/backups")

    @pytest.fixture
    def server(self, postgres_server: PostgresServer, postgres_url: str) -> Callable[..., str]:
        """Return a function for the URL of a role that needs its password."""
        postgres_server.create_role("collector", "secret")

        def url(user: str = "collector", database: str = postgres_url) -> str:
            return postgres_server.url(database, user)

        return url

    def test_password(
        self, server: Callable[..., str], fail: Fail, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A missing or wrong password is an error that says how to supply it."""
        monkeypatch.delenv("PGPASSWORD", raising=False)
        for given in (None, "wrong-one"):
            if given:
                monkeypatch.setenv("PGPASSWORD", given)
            message = fail(server())
            assert server() in message
            assert "Give the user's password by PGPASSWORD" in message
            assert "wrong-one" not in message

    def test_role(self, server: Callable[..., str], fail: Fail) -> None:
        """An unknown role is an error."""
        message = fail(server("nobody-here"))
        assert "nobody-here" in message
        assert "PGPASSWORD" in message

    def test_database(
        self, server: Callable[..., str], fail: Fail, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A missing database is an error that names the command which creates it."""
        monkeypatch.setenv("PGPASSWORD", "secret")
        assert "Create the database first, with: createdb" in fail(server(database="missing"))

    def test_grant(self, server: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
        """A role without the right to create a schema is an error."""
        monkeypatch.setenv("PGPASSWORD", "secret")
        with pytest.raises(HistoryError, match="the privileges that docs/history"):
            History(server())
        with pytest.raises(HistoryError, match="holds no history yet"):
            History(server(), create=False)

    def test_empty(self, postgres_url: str, fail: Fail) -> None:
        """A read of a database without a history creates nothing."""
        message = fail(postgres_url)
        assert (
            f"Fill it first with: backupkit collect --fleet fleet.toml --history {postgres_url}"
            in message
        )
        tables = "SELECT COUNT(*) FROM pg_namespace WHERE nspname = 'backupkit'"
        with psycopg.connect(postgres_url) as connection:
            assert connection.execute(tables).fetchall() == [(0,)]

    def test_other_program(self, postgres_url: str) -> None:
        """Another program's schema of our name is left contents."""
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA backupkit")
            connection.execute("CREATE TABLE backupkit.songs (title text)")
            with pytest.raises(HistoryError, match=r"a schema backupkit of another program\. Name"):
                History(postgres_url)
            names = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'backupkit'"
            )
            assert names.fetchall() == [("songs",)]

    def test_newer(self, postgres_url: str, fail: Fail) -> None:
        """A history of a later version is refused."""
        History(postgres_url)
        raw.run(postgres_url, "UPDATE history SET schema_version = 99")
        assert f"schema 99; this one knows schema {SCHEMA_VERSION}). Update backupkit" in fail(
            postgres_url
        )

    def test_driver(self, fail: Fail, monkeypatch: pytest.MonkeyPatch) -> None:
        """Missing packages are an error that names the command which installs them."""
        place = "postgresql://u@127.0.0.1:1/backups"
        importing = builtins.__import__

        def without(name: str, *args: Any, **more: Any) -> Any:  # noqa: ANN401 # as it is called
            if name in {"psycopg", "adbc_driver_postgresql"}:
                raise ImportError(name)
            return importing(name, *args, **more)

        monkeypatch.setattr(builtins, "__import__", without)
        for name in ("psycopg", "adbc_driver_postgresql"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        assert 'pip install "backupkit[postgresql]"' in fail(place)

    @pytest.mark.parametrize(
        "place",
        [
            "postgresql://u:hunter2@host:5432/backups",
            "postgresql://u:hun%2fter2@host/backups",
            "postgresql://u:hun/ter2@host/backups",
            "postgresql://u:hunter2?@host/backups",
            "postgresql://u:hun#ter2@host/backups",
            "postgresql://u:@host/backups",
            "postgresql://host/backups?user=u&password=hunter2",
            "postgresql://host/backups?sslpassword=hunter2",
            "postgres://u:hunter2@[::1]:5432/backups",
        ],
    )
    def test_password_in_url(self, fail: Fail, place: str) -> None:
        """A password in the URL is refused, and not shown."""
        message = fail(place)
        assert "holds a password. Leave it out: Give the user's password by PGPASSWORD" in message
        assert "hun" not in message
        assert "ter2" not in message

    @pytest.mark.parametrize(
        "place",
        [
            "postgresql://[::1/backups",
            "postgresql://u@host:port/backups",
            "postgresql://u@host:99999999/backups",
            "postgresql://u@127.0.0.1:1/backups?nonsense=1",
            "postgresql://u@127.0.0.1:1/backups?sslmode=sometimes",
            "postgresql://",
        ],
    )
    def test_wrong_url(self, fail: Fail, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """An invalid URL is an error."""
        monkeypatch.setenv("PGHOST", "127.0.0.1")
        monkeypatch.setenv("PGPORT", "1")
        assert "history" in fail(place)


class TestShrink:
    """Removed rows whose bytes cannot be overwritten yet."""

    def test_locked(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A lock of another program is reported."""
        monkeypatch.setattr(databases, "LOCK_TIMEOUT", 0.1)
        database = databases.open_database(path, create=False)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(HistoryError, match=r"rows are removed, but .* has locked it"):
                database.shrink()
        database.shrink()

    def test_connection_lost(self, postgres_url: str) -> None:
        """A lost connection is reported."""
        History(postgres_url).append(FIRST)
        database = databases.open_database(postgres_url, create=False)
        raw.run(
            postgres_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        with pytest.raises(HistoryError, match="rows are removed, but the server may keep"):
            database.shrink()
        database.shrink()


def test_interrupted_statement(postgres_url: str) -> None:
    """Ctrl-C that the driver reports as a failed statement is KeyboardInterrupt."""

    def interrupted(_: databases.Connection) -> None:
        try:
            raise KeyboardInterrupt  # noqa: TRY301
        except KeyboardInterrupt:
            raise psycopg.OperationalError("busy")  # noqa: B904 # as the driver has it

    database = databases.open_database(postgres_url, create=True)
    with pytest.raises(KeyboardInterrupt):
        database.write(interrupted)
    assert len(History(postgres_url).jobs()) == 0


def test_user_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a user name the ledger names only the machine."""

    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr("getpass.getuser", nobody)
    history = History(tmp_path / "history.db")
    history.append(FIRST)
    [collector] = history.sql("SELECT collector FROM appends")["collector"]
    assert collector == f"unknown@{socket.gethostname()}"


def test_concurrent_creation(path: Path) -> None:
    """Tables that another process has created meanwhile are left contents."""
    database = databases.open_database(path, create=False)
    assert isinstance(database, sqlite.SQLite)
    database.write(database._create_tables)
    assert len(History(path).jobs()) == 2
