"""The PostgreSQL server of the tests: found, started, killed and removed."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import psycopg
import pytest

from tests import postgres
from tests.postgres import NEEDED, PostgresServer, find_binaries


@pytest.fixture(scope="module")
def durable() -> Iterator[PostgresServer]:
    """Run a durable server."""
    with PostgresServer(durable=True) as server:
        yield server


def installed(folder: Path) -> Path:
    """Create the files of PostgreSQL's programs in a folder."""
    folder.mkdir(parents=True)
    for name in ("initdb", "postgres", "pg_ctl"):
        (folder / name).touch(mode=0o755)
    return folder


def processes(folder: Path) -> list[int]:
    """Return the processes whose working directory is in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cwd").readlink().is_relative_to(folder):
                found.append(int(path.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def segment(server: PostgresServer) -> str:
    """Return the id of the server's shared memory."""
    assert server.folder is not None
    return (server.folder / "data" / "postmaster.pid").read_text("ascii").split("\n")[6].split()[1]


def segments() -> set[str]:
    """Return the ids of all shared memory."""
    lines = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()
    return {line.split()[1] for line in lines[1:]}


def names(server: PostgresServer) -> list[tuple[str]]:
    """Return the names of databases and roles."""
    databases = "SELECT datname FROM pg_database"
    roles = "SELECT rolname FROM pg_roles"
    return server.execute("postgres", f"{databases} UNION ALL {roles} ORDER BY 1")


class TestFindBinaries:
    """find_binaries."""

    def test_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Programs on PATH come first; links are resolved."""
        monkeypatch.setattr(postgres, "_DEBIAN", tmp_path)
        installed(tmp_path / "17" / "bin")
        real = installed(tmp_path / "own")
        (tmp_path / "links").mkdir()
        (tmp_path / "links" / "initdb").symlink_to(real / "initdb")
        monkeypatch.setenv("PATH", str(tmp_path / "links"))
        assert find_binaries() == real

    def test_debian(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The newest complete version of Debian is found."""
        monkeypatch.setattr(postgres, "_DEBIAN", tmp_path)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_binaries() is None
        for version in ("9.6", "15", "17"):
            installed(tmp_path / version / "bin")
        (tmp_path / "17" / "bin" / "postgres").unlink()
        assert find_binaries() == tmp_path / "15" / "bin"

    def test_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the programs there is no server."""
        monkeypatch.setattr(postgres, "_DEBIAN", tmp_path)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(RuntimeError, match="needs PostgreSQL"):
            PostgresServer()


class TestDatabases:
    """Databases and roles of a test."""

    def test_fresh(self, postgres_server: PostgresServer, postgres_url: str) -> None:
        """Each database is a new, empty one."""
        other = postgres_server.create_database()
        assert other != postgres_url
        assert postgres_server.execute(postgres_url, "CREATE TABLE t (n int)") == []
        tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        assert postgres_server.execute(postgres_url, tables) == [(1,)]
        assert postgres_server.execute(other, tables) == [(0,)]
        postgres_server.drop_database(other)
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            postgres_server.execute(other, tables)

    def test_drop(self, postgres_server: PostgresServer) -> None:
        """A database with a connection is dropped."""
        url = postgres_server.create_database()
        with psycopg.connect(url) as connection:
            connection.execute("SELECT 1")
            postgres_server.drop_database(url)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        postgres_server.drop_database(url)  # a missing one is no error

    @pytest.mark.parametrize(("language", "first"), [(None, "B"), ("en-US", "a")])
    def test_order(self, postgres_server: PostgresServer, language: str | None, first: str) -> None:
        """Text is sorted by code points, or by the rules of a language."""
        url = postgres_server.create_database(language=language)
        rows = postgres_server.execute(url, "SELECT * FROM (VALUES ('a'), ('B')) AS v ORDER BY 1")
        assert rows[0] == (first,)
        postgres_server.drop_database(url)

    def test_role(self, postgres_server: PostgresServer, postgres_url: str) -> None:
        """A role needs its password over TCP, and has only its grants."""
        postgres_server.execute(postgres_url, "CREATE TABLE t AS SELECT 42 AS n")
        postgres_server.create_role(
            "reader@home", "p/ss:w'rd", 'GRANT SELECT ON t TO "reader@home"', database=postgres_url
        )
        url = postgres_server.url(postgres_url, "reader@home", "p/ss:w'rd")
        with psycopg.connect(url, autocommit=True) as connection:
            assert connection.execute("SELECT n FROM t").fetchall() == [(42,)]
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("DELETE FROM t")
        for password in ("wrong", None):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(postgres_server.url(postgres_url, "reader@home", password))

    def test_fresh_database(self, postgres_server: PostgresServer) -> None:
        """Database and roles are dropped, even if the server was killed and the test failed."""

        def use() -> None:
            with postgres_server.fresh_database() as url:
                postgres_server.create_role("owner", "secret")
                postgres_server.execute(url, "ALTER SCHEMA public OWNER TO owner")
                postgres_server.kill()
                raise LookupError

        before = names(postgres_server)
        with pytest.raises(LookupError):
            use()
        assert names(postgres_server) == before
        assert "owner" not in postgres_server.roles


@NEEDED
class TestServer:
    """Start, stop and kill."""

    def test_kill(self, durable: PostgresServer) -> None:
        """Kill ends all processes; committed rows are there after the next start."""
        assert durable.folder is not None
        url = durable.create_database()
        durable.execute(url, "CREATE TABLE t (n int)")
        for _ in range(3):
            durable.execute(url, "INSERT INTO t SELECT count(*) FROM t")
            busy, unfinished = psycopg.connect(url), psycopg.connect(url)
            busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 10000000000)")
            unfinished.execute("INSERT INTO t VALUES (-1)")
            memory = segment(durable)
            assert memory in segments()
            assert len(processes(durable.folder)) > 3
            durable.kill()
            assert not durable.running
            assert processes(durable.folder) == []
            assert memory not in segments()
            with pytest.raises(psycopg.OperationalError, match="refused"):
                psycopg.connect(url)
            busy.close()
            unfinished.close()
            durable.start()
        assert durable.execute(url, "SELECT n FROM t ORDER BY n") == [(0,), (1,), (2,)]

    @pytest.mark.parametrize("immediate", [False, True])
    def test_stop(self, durable: PostgresServer, *, immediate: bool) -> None:
        """A server with clients can be stopped in both ways, and started again."""
        url = durable.create_database()
        durable.execute(url, "CREATE TABLE t (n int)")
        with psycopg.connect(url):
            durable.stop(immediate=immediate)
        assert not durable.running
        durable.stop()
        durable.start()
        assert durable.execute(url, "SELECT n FROM t") == []
        with pytest.raises(RuntimeError, match="already"):
            durable.start()

    def test_password(self) -> None:
        """The superuser may need a password."""
        with PostgresServer(trusting=False) as server:
            url = server.create_database()
            assert server.execute(url, "SELECT 1") == [(1,)]
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(url.replace(f":{server.password}", ""))

    def test_settings(self) -> None:
        """Settings are in force; the folder and shared memory are removed at the end."""
        with PostgresServer(settings={"timezone": "Asia/Kathmandu"}) as server:
            folder = server.folder
            assert folder is not None
            with psycopg.connect(host=str(folder), port=server.port, user="postgres") as by_socket:
                shown = by_socket.execute("SHOW timezone").fetchone()
            assert shown == ("Asia/Kathmandu",)
            memory = segment(server)
            server.kill()
            with pytest.raises(RuntimeError, match="does not run"):
                server.kill()
        assert not folder.exists()
        assert memory not in segments()

    def test_failed_start(self) -> None:
        """The log is in the error of a server that does not start."""
        server = PostgresServer(settings={"shared_buffers": "plenty"})
        with pytest.raises(RuntimeError, match=r"did not start:[^$]*shared_buffers.*plenty"):
            server.__enter__()
        assert server.folder is None

    def test_orphan(self) -> None:
        """When the process of the tests is killed, the server and its folder are removed."""
        program = (
            "import time\n"
            "from tests.postgres import PostgresServer\n"
            "server = PostgresServer()\n"
            "server.start()\n"
            "print(server.folder, flush=True)\n"
            "time.sleep(60)\n"
        )
        command = [sys.executable, "-c", program]
        root = Path(__file__).parent.parent
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) as owner:
            assert owner.stdout is not None
            folder = Path(owner.stdout.readline().strip())
            assert len(processes(folder)) > 3
            owner.send_signal(signal.SIGKILL)
        deadline = monotonic() + 20
        while folder.exists() and monotonic() < deadline:
            sleep(0.02)
        assert not folder.exists()
        assert processes(folder) == []
