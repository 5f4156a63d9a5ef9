"""The PostgreSQL server of the tests: found, started, killed, and gone without a trace."""

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
    """Run a server that keeps what it was told to keep."""
    with PostgresServer(durable=True) as server:
        yield server


def installed(folder: Path) -> Path:
    """Lay out a folder as PostgreSQL's programs are."""
    folder.mkdir(parents=True)
    for name in ("initdb", "postgres", "pg_ctl"):
        (folder / name).touch(mode=0o755)
    return folder


def processes(folder: Path) -> list[int]:
    """Find who is at work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cwd").readlink().is_relative_to(folder):
                found.append(int(path.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def segment(server: PostgresServer) -> str:
    """Give the number of its shared memory in the kernel."""
    assert server.folder is not None
    return (server.folder / "data" / "postmaster.pid").read_text("ascii").split("\n")[6].split()[1]


def segments() -> set[str]:
    """List the numbers of all shared memory in the kernel."""
    lines = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()
    return {line.split()[1] for line in lines[1:]}


def everything(server: PostgresServer) -> list[tuple[str]]:
    """List databases and roles."""
    databases = "SELECT datname FROM pg_database"
    roles = "SELECT rolname FROM pg_roles"
    return server.execute("postgres", f"{databases} UNION ALL {roles} ORDER BY 1")


class TestBinaries:
    """Where the programs are."""

    def test_path_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is on PATH is meant, and links lead to it."""
        monkeypatch.setattr(postgres, "_DEBIAN", tmp_path)
        installed(tmp_path / "17" / "bin")
        real = installed(tmp_path / "own")
        (tmp_path / "links").mkdir()
        (tmp_path / "links" / "initdb").symlink_to(real / "initdb")
        monkeypatch.setenv("PATH", str(tmp_path / "links"))
        assert find_binaries() == real

    def test_newest_of_debian(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Numbers are compared as such, and what is not whole is passed over."""
        monkeypatch.setattr(postgres, "_DEBIAN", tmp_path)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_binaries() is None
        for version in ("9.6", "15", "17"):
            installed(tmp_path / version / "bin")
        (tmp_path / "17" / "bin" / "postgres").unlink()
        assert find_binaries() == tmp_path / "15" / "bin"

    def test_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without them there is no server."""
        monkeypatch.setattr(postgres, "_DEBIAN", tmp_path)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(RuntimeError, match="needs PostgreSQL"):
            PostgresServer()


class TestDatabases:
    """What one test gets."""

    def test_fresh(self, postgres_server: PostgresServer, postgres_url: str) -> None:
        """Each database is another one, and empty."""
        other = postgres_server.create_database()
        assert other != postgres_url
        assert postgres_server.execute(postgres_url, "CREATE TABLE t (n int)") == []
        tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        assert postgres_server.execute(postgres_url, tables) == [(1,)]
        assert postgres_server.execute(other, tables) == [(0,)]
        postgres_server.drop_database(other)
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            postgres_server.execute(other, tables)

    def test_dropped_while_in_use(self, postgres_server: PostgresServer) -> None:
        """Whoever is connected is thrown out."""
        url = postgres_server.create_database()
        with psycopg.connect(url) as connection:
            connection.execute("SELECT 1")
            postgres_server.drop_database(url)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        postgres_server.drop_database(url)  # once more does no harm

    @pytest.mark.parametrize(("language", "first"), [(None, "B"), ("en-US", "a")])
    def test_order(self, postgres_server: PostgresServer, language: str | None, first: str) -> None:
        """Text is sorted by code points, or as a language has it."""
        url = postgres_server.create_database(language=language)
        rows = postgres_server.execute(url, "SELECT * FROM (VALUES ('a'), ('B')) AS v ORDER BY 1")
        assert rows[0] == (first,)
        postgres_server.drop_database(url)

    def test_role(self, postgres_server: PostgresServer, postgres_url: str) -> None:
        """Its password is asked for over TCP, and it may do what it was granted."""
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

    def test_gone_afterwards(self, postgres_server: PostgresServer) -> None:
        """Database and roles are dropped, even if the server was killed and the test failed."""

        def use() -> None:
            with postgres_server.fresh_database() as url:
                postgres_server.create_role("owner", "secret")
                postgres_server.execute(url, "ALTER SCHEMA public OWNER TO owner")
                postgres_server.kill()
                raise LookupError

        before = everything(postgres_server)
        with pytest.raises(LookupError):
            use()
        assert everything(postgres_server) == before
        assert "owner" not in postgres_server.roles


@NEEDED
class TestLife:
    """Started, stopped and killed."""

    def test_kill(self, durable: PostgresServer) -> None:
        """All its processes are gone, a busy one too; what was committed is there afterwards."""
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
        """It can be stopped in both ways, with clients, and is the same afterwards."""
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
        """The superuser can be asked for one."""
        with PostgresServer(trusting=False) as server:
            url = server.create_database()
            assert server.execute(url, "SELECT 1") == [(1,)]
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(url.replace(f":{server.password}", ""))

    def test_settings(self) -> None:
        """What is set is in force, on the socket too; nothing is left at the end."""
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

    def test_does_not_start(self) -> None:
        """What it said is told."""
        server = PostgresServer(settings={"shared_buffers": "plenty"})
        with pytest.raises(RuntimeError, match=r"did not start:[^$]*shared_buffers.*plenty"):
            server.__enter__()
        assert server.folder is None

    def test_orphan(self) -> None:
        """When the process of the tests is killed, the server and its folder go too."""
        program = (
            "import time\n"
            "from tests.postgres import PostgresServer\n"
            "server = PostgresServer()\n"
            "server.start()\n"
            "print(server.folder, flush=True)\n"
            "time.sleep(60)\n"
        )
        words = [sys.executable, "-c", program]
        root = Path(__file__).parent.parent
        with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=root, text=True) as owner:
            assert owner.stdout is not None
            folder = Path(owner.stdout.readline().strip())
            assert len(processes(folder)) > 3
            owner.send_signal(signal.SIGKILL)
        deadline = monotonic() + 20
        while folder.exists() and monotonic() < deadline:
            sleep(0.02)
        assert not folder.exists()
        assert processes(folder) == []
