"""What cannot be done with a history is said in one sentence, with what to do next."""

import builtins
import contextlib
import os
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from backupkit.cli import main
from backupkit.errors import HistoryError
from backupkit.history import AppendResult, History, databases, postgresql, sqlite
from tests import raw
from tests.builders import FIRST, SECOND, observation, snapshot
from tests.postgres import PostgresServer

Say = Callable[[str], str]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that asks for a history's facts by the command, and what it says."""

    def run(place: str) -> str:
        capsys.readouterr()
        assert main(["history", "info", "--history", place]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert "Traceback" not in told.err
        assert len(told.err.strip().splitlines()) == 1
        return told.err

    return run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a history in a file."""
    path = tmp_path / "history.db"
    History(path).append(FIRST)
    return path


def unchanged(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder."""
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}


class TestWhatItIs:
    """What is no history is refused, and left as it is."""

    def test_folder(self, tmp_path: Path, say: Say) -> None:
        """A folder."""
        with pytest.raises(HistoryError, match=r"is a folder\. Name a file in it, such as .*\.db"):
            History(tmp_path)
        assert str(tmp_path) in say(str(tmp_path))
        assert unchanged(tmp_path) == {}

    def test_missing(self, tmp_path: Path, say: Say) -> None:
        """Nothing: what only reads makes none."""
        told = say(str(tmp_path / "history.db"))
        assert "holds no history yet. Fill it first with: backupkit collect" in told
        assert unchanged(tmp_path) == {}

    @pytest.mark.parametrize("content", [b"hello", b"{}" * 5_000, b"SQLite format 3\0" + b"x" * 99])
    def test_other_file(self, tmp_path: Path, say: Say, content: bytes) -> None:
        """Another file."""
        path = tmp_path / "thesis.tex"
        path.write_bytes(content)
        told = say(str(path))
        assert str(path) in told
        assert "is not a database" in told
        with pytest.raises(HistoryError, match="Name another file"):
            History(path)
        assert unchanged(tmp_path) == {"thesis.tex": content}

    @pytest.mark.parametrize("mode", ["delete", "wal"])
    def test_other_program(self, tmp_path: Path, say: Say, mode: str) -> None:
        """Another program's database, also while that program has it open."""
        path = tmp_path / "music.db"
        with contextlib.closing(sqlite3.connect(path)) as theirs:
            theirs.execute(f"PRAGMA journal_mode = {mode}")
            theirs.execute("CREATE TABLE songs (title TEXT)")
            theirs.execute("INSERT INTO songs VALUES ('x')")
            theirs.commit()
            before = path.read_bytes()
            assert "is a database of another program" in say(str(path))
            assert path.read_bytes() == before
        before = path.read_bytes()
        with pytest.raises(HistoryError, match=r"another program\. Name another file"):
            History(path)
        assert unchanged(tmp_path) == {"music.db": before}

    def test_other_program_that_was_killed(self, tmp_path: Path) -> None:
        """What it had no time to write into its file is left to it."""
        path = tmp_path / "music.db"
        with contextlib.closing(sqlite3.connect(path)) as theirs:
            theirs.execute("PRAGMA journal_mode = wal")
            theirs.execute("CREATE TABLE songs (title TEXT)")
            theirs.commit()
            killed = tmp_path / "killed"
            killed.mkdir()
            for ending in ("", "-wal"):
                (killed / f"music.db{ending}").write_bytes(Path(f"{path}{ending}").read_bytes())
        before = unchanged(killed)
        with pytest.raises(HistoryError, match="another program"):
            History(killed / "music.db")
        after = unchanged(killed)
        after.pop("music.db-shm", None)
        assert after == before

    def test_newer(self, path: Path, say: Say) -> None:
        """A history of a later version."""
        raw.run(str(path), "PRAGMA user_version = 99")
        before = path.read_bytes()
        assert "schema 99; this one knows schema 1). Update backupkit" in say(str(path))
        assert path.read_bytes() == before

    @pytest.mark.parametrize(
        "place", ["s3://bucket/history", "https://host/history.db", "mysql://h/d"]
    )
    def test_other_url(self, say: Say, place: str) -> None:
        """A URL of another kind."""
        told = say(place)
        assert place in told
        assert "cannot hold a history. Name a file such as history.db" in told

    def test_below_a_file(self, tmp_path: Path) -> None:
        """Where no file can be made, the system's reason is given."""
        (tmp_path / "a").touch()
        with pytest.raises(HistoryError, match=r"b\.db cannot be used: .*[a-z]\. .*folder you may"):
            History(tmp_path / "a" / "b.db")


class TestDamage:
    """A file that was damaged."""

    @pytest.fixture
    def large(self, tmp_path: Path) -> Path:
        """Make a history of some hundred pages."""
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
        """Pages that are gone, or not what they were, are found; nothing raises but our error."""
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
        """Damage that comes later is found by verify."""
        history = History(large)
        content = large.read_bytes()
        large.write_bytes(b"\0" * 100 + content[100:])
        [problem] = history.verify()["problem"]
        assert "it is not a database" in problem

    def test_first_page(self, large: Path, say: Say) -> None:
        """Without its first page it is no database."""
        content = bytearray(large.read_bytes())
        content[:100] = bytes(100)
        large.write_bytes(content)
        assert "is not a database" in say(str(large))


class TestLocked:
    """Another program holds it."""

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Wait for a moment only."""
        monkeypatch.setattr(databases, "LOCK_TIMEOUT", 0.2)

    def test_file(self, path: Path) -> None:
        """Of a file, whoever reads is not held up, who appends gives up after a time."""
        history = History(path)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(HistoryError, match=r"written: another .* locked.* Try again later"):
                history.append(SECOND)
            assert len(history.jobs()) == 2
            other.execute("ROLLBACK")
        assert history.append(SECOND) == AppendResult(changed=1, polls=2)

    def test_whole_file(self, path: Path, say: Say) -> None:
        """So does who reads where not even that is allowed."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            other.execute("UPDATE history SET thinned_to = 0")
            assert "another program has locked it" in say(str(path))

    def test_database(self, postgres_url: str) -> None:
        """In PostgreSQL it is the same."""
        history = History(postgres_url)
        history.append(FIRST)
        with psycopg.connect(postgres_url) as other:
            other.execute("SELECT pg_advisory_xact_lock(%s)", [postgresql._LOCK])
            with pytest.raises(HistoryError, match=r"Another program has locked it\. Try again l"):
                history.append(SECOND)
            assert len(history.jobs()) == 2
        assert history.append(SECOND) == AppendResult(changed=1, polls=2)


class TestDisk:
    """The disk gives no more."""

    def test_full(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A full disk is said, and what was kept is still there."""
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
        """What may only be read can be read; to append says what is wrong."""
        access = os.access
        monkeypatch.setattr(os, "access", lambda name, mode: mode != os.W_OK and access(name, mode))
        history = History(path, create=False)
        assert len(history.jobs()) == 2
        assert history.verify().empty
        assert history.known_jobs("vc-1", ["1"])[0] == {"1"}
        with pytest.raises(HistoryError, match=r"it is read-only\. Allow writing to .*history\.db"):
            history.append(SECOND)
        assert unchanged(path.parent).keys() == {"history.db"}


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
    """Whatever the system allows as a file's name will do."""
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
    """PostgreSQL: what is wrong with the server, the user or the database."""

    def test_down(self, say: Say) -> None:
        """No server."""
        with socket.create_server(("127.0.0.1", 0)) as door:
            port = door.getsockname()[1]
        place = f"postgresql://collector@127.0.0.1:{port}/backups"
        told = say(place)
        assert place in told
        assert "Check that the server runs, and can be reached from here." in told

    def test_no_such_host(self, say: Say) -> None:
        """A name without an address."""
        assert "Check that the server runs" in say("postgresql://u@no-such-host.invalid/backups")

    @pytest.fixture
    def server(self, postgres_server: PostgresServer, postgres_url: str) -> Callable[..., str]:
        """Give a server with a role that needs its password, and a database."""
        postgres_server.create_role("collector", "secret")

        def url(user: str = "collector", database: str = postgres_url) -> str:
            return postgres_server.url(database, user)

        return url

    def test_password(
        self, server: Callable[..., str], say: Say, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without the password, or with a wrong one, it is said how to give it."""
        monkeypatch.delenv("PGPASSWORD", raising=False)
        for given in (None, "wrong-one"):
            if given:
                monkeypatch.setenv("PGPASSWORD", given)
            told = say(server())
            assert server() in told
            assert "Give the user's password by PGPASSWORD" in told
            assert "wrong-one" not in told

    def test_role(self, server: Callable[..., str], say: Say) -> None:
        """A role that is not there."""
        told = say(server("nobody-here"))
        assert "nobody-here" in told
        assert "PGPASSWORD" in told

    def test_database(
        self, server: Callable[..., str], say: Say, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A database that is not there."""
        monkeypatch.setenv("PGPASSWORD", "secret")
        assert "Create the database first, with: createdb" in say(server(database="missing"))

    def test_grant(self, server: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
        """A role that may not make a schema."""
        monkeypatch.setenv("PGPASSWORD", "secret")
        with pytest.raises(HistoryError, match="Grant the user the privileges that README"):
            History(server())
        with pytest.raises(HistoryError, match="holds no history yet"):
            History(server(), create=False)

    def test_empty(self, postgres_url: str, say: Say) -> None:
        """A database without a history: what only reads makes none."""
        told = say(postgres_url)
        assert (
            f"Fill it first with: backupkit collect --fleet fleet.toml --history {postgres_url}"
            in told
        )
        tables = "SELECT COUNT(*) FROM pg_namespace WHERE nspname = 'backupkit'"
        with psycopg.connect(postgres_url) as connection:
            assert connection.execute(tables).fetchall() == [(0,)]

    def test_other_program(self, postgres_url: str) -> None:
        """Another program's schema of our name."""
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA backupkit")
            connection.execute("CREATE TABLE backupkit.songs (title text)")
            with pytest.raises(HistoryError, match=r"a schema backupkit of another program\. Name"):
                History(postgres_url)
            names = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'backupkit'"
            )
            assert names.fetchall() == [("songs",)]

    def test_newer(self, postgres_url: str, say: Say) -> None:
        """A history of a later version."""
        History(postgres_url)
        raw.run(postgres_url, "UPDATE history SET schema_version = 99")
        assert "schema 99; this one knows schema 1). Update backupkit" in say(postgres_url)

    def test_driver(self, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the packages it is said how to get them."""
        place = "postgresql://u@127.0.0.1:1/backups"
        importing = builtins.__import__

        def without(name: str, *args: Any, **more: Any) -> Any:  # noqa: ANN401 # as it is called
            if name in {"psycopg", "adbc_driver_postgresql"}:
                raise ImportError(name)
            return importing(name, *args, **more)

        monkeypatch.setattr(builtins, "__import__", without)
        for name in ("psycopg", "adbc_driver_postgresql"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        assert "pip install 'backupkit[postgresql]'" in say(place)

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
    def test_password_in_url(self, say: Say, place: str) -> None:
        """A password in the URL is refused, and shown nowhere."""
        told = say(place)
        assert "holds a password. Leave it out: Give the user's password by PGPASSWORD" in told
        assert "hun" not in told
        assert "ter2" not in told

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
    def test_wrong_url(self, say: Say, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A URL that cannot be read."""
        monkeypatch.setenv("PGHOST", "127.0.0.1")
        monkeypatch.setenv("PGPORT", "1")
        assert "history" in say(place)


class TestRemoved:
    """Rows are removed, and what they said cannot be overwritten."""

    def test_locked(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another program writes."""
        monkeypatch.setattr(databases, "LOCK_TIMEOUT", 0.1)
        database = databases.open_database(path, create=False)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(HistoryError, match=r"rows are removed, but .* has locked it"):
                database.shrink()
        database.shrink()

    def test_connection_lost(self, postgres_url: str) -> None:
        """The server ends the connection."""
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


def test_ctrl_c_in_a_statement(postgres_url: str) -> None:
    """The driver may tell of Ctrl-C as of a statement that failed."""

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
    """The ledger names the machine alone."""

    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr("getpass.getuser", nobody)
    history = History(tmp_path / "history.db")
    history.append(FIRST)
    [collector] = history.sql("SELECT collector FROM appends")["collector"]
    assert collector == f"unknown@{socket.gethostname()}"


def test_made_by_another(path: Path) -> None:
    """Who finds the tables made meanwhile leaves them as they are."""
    database = databases.open_database(path, create=False)
    assert isinstance(database, sqlite.SQLite)
    database.write(database._make)
    assert len(History(path).jobs()) == 2
