"""Acknowledged appends are on disk: traced, after a power cut, on a full and a read-only disk."""

import contextlib
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from backupkit import Policy, evaluate
from backupkit.errors import HistoryError
from backupkit.history import History
from backupkit.history.arrow_reader import ArrowReader
from tests.collect_helpers import complete_collections, make_collection
from tests.conftest import SEED, repeats
from tests.postgres import NEEDED, PostgresServer

NAME = "vc-1"
APPENDS = 4

APPEND = f"""
import os, sys
from backupkit.history import History
from tests.collect_helpers import make_collection

history = History(sys.argv[1])
for number in range({APPENDS}):
    os.write(1, b"begin %d\\n" % number)
    history.append(make_collection("{NAME}", number))
    os.write(1, b"acknowledged %d\\n" % number)
"""

_CALLS = "openat,pwrite64,write,ftruncate,unlink,fsync,fdatasync"
_LINE = re.compile(r"(\w+)\((?:\d+<([^>]*)>|AT_FDCWD<[^>]*>)?(?:, )?(.*)\) += (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True)
class Call:
    """A system call: its name, its file, its bytes and its number."""

    name: str
    path: str
    content: bytes = b""
    number: int = 0


def plain(text: str) -> bytes:  # pragma: no cover # where there is a strace
    """Return what strace writes as hexadecimal digits."""
    return bytes.fromhex(text.replace("\\x", ""))


def parse(line: str) -> Iterator[Call]:  # pragma: no cover # where there is a strace
    """Parse a line of strace; skip failed calls."""
    found = _LINE.match(line)
    if not found or found[4] == "-1":
        return
    name, path, rest = found[1], plain(found[2] or "").decode(), found[3]
    text = _TEXT.search(rest)
    content = plain(text[1]) if text else b""
    if name in {"openat", "unlink"}:
        yield Call("create" if "O_CREAT" in rest else name, content.decode())
    elif name in {"pwrite64", "ftruncate"}:
        yield Call(name, path, content, int(rest.rpartition(", ")[2]))
    else:
        yield Call("sync" if name.endswith("sync") else name, path, content)


@pytest.fixture(scope="module")
def trace(  # pragma: no cover # where there is a strace
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[Call]]:
    """Record the system calls of a process that appends."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    folder = tmp_path_factory.mktemp("trace")
    path = folder / "new" / "history.db"
    words = [strace, "-ff", "-y", "-xx", "-s", "70000", "-e", f"trace={_CALLS}", "-o", "trace"]
    ran = subprocess.run(
        [*words, sys.executable, "-c", APPEND, str(path)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "PTRACE" in ran.stderr or "ptrace" in ran.stderr:
        pytest.skip("strace may not trace here")
    assert ran.returncode == 0, ran.stderr
    # one file per thread: select the one of the appending thread
    by_thread = [file.read_text(encoding="utf-8") for file in folder.glob("trace.*")]
    [text] = [text for text in by_thread if "write(1<" in text]
    return path, [call for line in text.splitlines() for call in parse(line)]


def markers(
    calls: list[Call], word: str
) -> list[int]:  # pragma: no cover # where there is a strace
    """Return the places of the calls that printed a word."""
    return [
        place
        for place, call in enumerate(calls)
        if call.name == "write" and call.content.startswith(word.encode())
    ]


class TestTrace:
    """Data is synced before an append returns."""

    def test_synced(
        self, trace: tuple[Path, list[Call]]
    ) -> None:  # pragma: no cover # where there is a strace
        """All writes of an append are synced before it is acknowledged."""
        path, calls = trace
        begun, ended = markers(calls, "begin"), markers(calls, "acknowledged")
        assert len(begun) == len(ended) == APPENDS
        for begin, end in zip(begun, ended, strict=True):
            dirty: set[str] = set()
            written: set[str] = set()
            syncs = 0
            for call in calls[begin:end]:
                if call.name == "pwrite64" and not call.path.endswith("-shm"):
                    dirty.add(call.path)
                    written.add(call.path)
                elif call.name == "sync":
                    dirty.discard(call.path)
                    syncs += 1
                elif call.name == "unlink" and call.path.endswith("-wal"):
                    assert not dirty  # the file holds all of the log by now
            assert not dirty
            assert written == {str(path), f"{path}-wal"}
            # the log's header, its folder, the commit; then the log again, and the file
            assert syncs == 5

    def test_settings(self, tmp_path: Path) -> None:
        """SQLite is set to sync each commit."""
        history = History(tmp_path / "history.db")
        for pragma, value in (("synchronous", 2), ("journal_mode", "wal"), ("foreign_keys", 1)):
            found = history._database.write(lambda c: c.execute(f"PRAGMA {pragma}"))  # noqa: B023
            assert found == [(value,)]


@dataclass
class Inode:  # pragma: no cover # where there is a strace
    """A file on a disk: its synced content, and the calls since then."""

    synced: bytes = b""
    pending: list[Call] = field(default_factory=list)

    def sync(self) -> None:
        """Apply all pending calls."""
        self.synced = self.after(self.pending)
        self.pending = []

    def after(self, calls: list[Call]) -> bytes:
        """Return the content once some of the calls have reached the disk."""
        content = bytearray(self.synced)
        for call in calls:
            if call.name == "ftruncate":
                content = content[: call.number].ljust(call.number, b"\0")
            else:
                end = call.number + len(call.content)
                content = content.ljust(end, b"\0")
                content[call.number : end] = call.content
        return bytes(content)


class Disk:  # pragma: no cover # where there is a strace
    """The files of a folder; a power cut keeps synced writes and some of the others."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._names: dict[str, Inode] = {}
        self._synced: dict[str, Inode] = {}

    def apply(self, call: Call) -> None:
        """Apply one system call."""
        if call.path == self._folder and call.name == "sync":
            self._synced = dict(self._names)
        if not call.path.startswith(f"{self._folder}{os.sep}"):
            return
        name = Path(call.path).name
        if call.name == "unlink":
            del self._names[name]
        elif call.name == "create":
            self._names.setdefault(name, Inode())
        elif call.name == "sync":
            self._names[name].sync()
        elif call.name in {"pwrite64", "ftruncate"}:
            self._names[name].pending.append(call)

    def cut_power(self, folder: Path, chance: random.Random) -> Path:
        """Write the files after a power cut to a folder; keep a random part of unsynced writes."""
        folder.mkdir()
        for name in sorted(self._names.keys() | self._synced.keys()):
            inode = chance.choice([self._names.get(name), self._synced.get(name)])
            if inode is None or name.endswith("-shm"):  # shared memory
                continue
            part = chance.choice([0, 0.5, 1])
            calls = [call for call in inode.pending if chance.random() < part]
            (folder / name).write_bytes(inode.after(calls))
        return folder / "history.db"


@pytest.mark.long
class TestPowerCut:  # pragma: no cover # where there is a strace
    """Power cuts at random moments."""

    def test_any_moment(self, trace: tuple[Path, list[Call]], tmp_path: Path) -> None:
        """After a power cut acknowledged appends are stored, others completely or not at all."""
        path, calls = trace
        chance = random.Random(SEED)  # noqa: S311 # nothing secret
        times = repeats(4, 100)
        own = [
            place
            for place, call in enumerate(calls)
            if call.path.startswith(str(path.parent)) and call.name != "openat"
        ]
        moments = {*chance.sample(own, times), *markers(calls, "acknowledged")}
        disk, acknowledged = Disk(path.parent), set()
        for place, call in enumerate(calls):
            disk.apply(call)
            if call.name == "write" and call.content.startswith(b"acknowledged"):
                acknowledged.add((NAME, int(call.content.split()[1])))
            if place in moments:
                history = History(disk.cut_power(tmp_path / str(place), chance))
                stored = complete_collections(history)
                assert acknowledged <= stored
                assert len(stored) <= len(acknowledged) + 1
                history.append(make_collection(NAME, APPENDS))
                assert complete_collections(history) == stored | {(NAME, APPENDS)}
        assert history.verify().empty


@contextlib.contextmanager
def mounted(folder: Path, *words: str) -> Iterator[Path]:  # pragma: no cover # where root may mount
    """Mount a file system on a new folder; skip the test without the rights."""
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if not mount or not umount or os.geteuid() != 0:
        pytest.skip("only root may mount")
    if subprocess.run([mount, *words, str(folder)], check=False).returncode:
        pytest.skip("this root may not mount")
    try:
        yield folder
    finally:
        subprocess.run([umount, "-l", str(folder)], check=True)


def fill(path: Path) -> None:  # pragma: no cover # where root may mount
    """Fill a disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(handle, b"x" * 1024)
    os.close(handle)


class TestFullDisk:
    """No space is left."""

    def test_file(self, tmp_path: Path) -> None:  # pragma: no cover # where root may mount
        """A full disk is reported, loses nothing, and the next append works once there is space."""
        with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=2M", "tmpfs") as disk:
            history = History(disk / "history.db")
            ballast = disk / "ballast"
            for done, space in enumerate((0, 40, 200)):  # KiB
                history.append(make_collection(NAME, done))
                fill(ballast)
                os.truncate(ballast, ballast.stat().st_size - 1024 * space)
                with pytest.raises(HistoryError, match=r"the disk is full\. Free space in .*disk;"):
                    history.append(make_collection(NAME, done + 1, 4_000))
                ballast.unlink()
                assert complete_collections(history) == {
                    (NAME, number) for number in range(done + 1)
                }
            assert history.verify().empty

    def test_no_room_for_locks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A disk I/O error of SQLite on a full disk is reported as a full disk."""
        database = History(tmp_path / "history.db")._database
        error = sqlite3.OperationalError("disk I/O error")
        assert "the disk has an error" in str(database.build_error(error, "read"))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
        assert "the disk is full" in str(database.build_error(error, "read"))

    @NEEDED
    def test_server(self) -> None:  # pragma: no cover # where root may mount
        """A full disk of the PostgreSQL server is reported, and loses nothing."""
        with PostgresServer() as server:
            folder = server.folder or Path()
            with mounted(folder / "disk", "-t", "tmpfs", "-o", "size=24M", "tmpfs") as disk:
                owner = (folder / "data").stat()
                os.chown(disk, owner.st_uid, owner.st_gid)
                server.execute("postgres", f"CREATE TABLESPACE small LOCATION '{disk}'")
                server.execute("postgres", "CREATE DATABASE small TABLESPACE small")
                history = History(server.url("small"))
                history.append(make_collection(NAME, 0))
                fill(disk / "ballast")
                with pytest.raises(HistoryError, match=r"Free space on the server's disk"):
                    history.append(make_collection(NAME, 1, 10_000))
                (disk / "ballast").unlink()
                history.append(make_collection(NAME, 1))
                assert complete_collections(history) == {(NAME, 0), (NAME, 1)}
                assert history.verify().empty
                server.stop()


@contextlib.contextmanager
def read_only(
    folder: Path, name: Path
) -> Iterator[Path]:  # pragma: no cover # where root may mount
    """Return a folder with the files that is read-only."""
    if os.geteuid() != 0:  # root may write whatever the rights are
        for path in (*folder.iterdir(), folder):
            path.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    with mounted(name, "-o", "bind,ro", str(folder)) as mount:
        yield mount


@pytest.fixture
def stored(tmp_path: Path) -> History:
    """Return a history of three collections in a folder of its own."""
    history = History(tmp_path / "stored" / "history.db")
    for number in range(3):
        history.append(make_collection(NAME, number))
    return history


class TestReadOnly:
    """A history that cannot be written."""

    def test_report(
        self, stored: History, tmp_path: Path
    ) -> None:  # pragma: no cover # where root may mount
        """A read-only history can be read and evaluated; an append names the next step."""
        folder = Path(stored.uri).parent
        now = make_collection(NAME, 5).polls["polled_at"][0]
        truth = evaluate(stored, Policy(), last="1d", now=now)
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with read_only(folder, tmp_path / "mounted") as mount:
            history = History(mount / "history.db", create=False)
            assert len(complete_collections(history)) == 3
            assert "0-0" in history.known_jobs(NAME, ["0-0", "7-0"])[0]
            assert evaluate(history, Policy(), last="1d", now=now).verdict == truth.verdict
            assert history.verify().empty
            with pytest.raises(
                HistoryError, match=r"it is read-only\. Allow writing to .*history\.db and its fol"
            ):
                history.append(make_collection(NAME, 3))
            assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    def test_without_rights(self, stored: History, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the right to write, a read is refused if the history changed during it."""
        table = ArrowReader.table

        def append_and_read(*arguments: Any) -> pa.Table:  # noqa: ANN401 # as it is called
            with monkeypatch.context() as patch:
                patch.setattr(os, "access", may)
                patch.setattr(ArrowReader, "table", table)
                stored.append(make_collection(NAME, 3))
            return table(*arguments)

        may = os.access
        monkeypatch.setattr(os, "access", lambda *_: False)
        history = History(stored.uri)
        assert len(complete_collections(history)) == 3
        assert "0-0" in history.known_jobs(NAME, ["0-0"])[0]
        with pytest.raises(HistoryError, match=r"it is read-only\. Allow writing to"):
            history.append(make_collection(NAME, 3))
        with monkeypatch.context() as patch:
            patch.setattr(ArrowReader, "table", append_and_read)
            with pytest.raises(HistoryError, match=r"changed while it was read\. Try again"):
                history.polls()
        assert len(complete_collections(history)) == 4
        assert "3-0" in history.known_jobs(NAME, ["3-0"])[0]
        Path(stored.uri).unlink()
        with pytest.raises(HistoryError, match="cannot be read: the file is gone"):
            history.polls()

    def test_with_a_log(
        self, stored: History, tmp_path: Path
    ) -> None:  # pragma: no cover # where root may mount
        """The log of a killed collector is read, or the error names the next step."""
        folder = tmp_path / "killed"
        folder.mkdir()
        with stored._database.read() as reader:
            # an open reader keeps the log from being written to the file
            reader.rows("SELECT id FROM appends", {"id": "integer"})
            run = [sys.executable, "-c", LAST, stored.uri]
            env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
            subprocess.run(run, env=env, check=True)
            for ending in ("", "-wal", "-shm"):
                shutil.copy(f"{stored.uri}{ending}", folder / f"history.db{ending}")
        with read_only(folder, tmp_path / "with-memory") as mount:
            assert len(complete_collections(History(mount / "history.db"))) == 4
        (folder / "history.db-shm").unlink()
        with (
            read_only(folder, tmp_path / "without") as mount,
            pytest.raises(HistoryError, match="cannot be used: it cannot be opened"),
        ):
            History(mount / "history.db").jobs()
        assert len(complete_collections(History(folder / "history.db"))) == 4


LAST = f"""
import sys
from backupkit.history import History
from tests.collect_helpers import make_collection

History(sys.argv[1]).append(make_collection("{NAME}", 3))
"""
