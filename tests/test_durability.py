"""What is acknowledged is on disk: traced, after a power cut, on a full disk, and read-only."""

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
from backupkit.history.databases import ArrowReader
from tests.conftest import SEED, repeats
from tests.postgres import NEEDED, PostgresServer
from tests.rounds import make_round, whole_rounds

NAME = "vc-1"
APPENDS = 4

APPEND = f"""
import os, sys
from tests.conftest import SEED, repeats
from backupkit.history import History
from tests.rounds import make_round

history = History(sys.argv[1])
for number in range({APPENDS}):
    os.write(1, b"begin %d\\n" % number)
    history.append(make_round("{NAME}", number))
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
    """Read a line of strace; what failed is left out."""
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
    """Record what a process that appends asks of the system."""
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
    # a file for each thread: the one that appends is the one that says so
    by_thread = [file.read_text(encoding="utf-8") for file in folder.glob("trace.*")]
    [text] = [text for text in by_thread if "write(1<" in text]
    return path, [call for line in text.splitlines() for call in parse(line)]


def markers(
    calls: list[Call], word: str
) -> list[int]:  # pragma: no cover # where there is a strace
    """Return where the process said a word."""
    sign = word.encode()
    return [
        place
        for place, call in enumerate(calls)
        if call.name == "write" and call.content.startswith(sign)
    ]


class TestTrace:
    """Data is synced before an append returns."""

    def test_synced(
        self, trace: tuple[Path, list[Call]]
    ) -> None:  # pragma: no cover # where there is a strace
        """Whatever an append writes is synced before it is acknowledged."""
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
            # the log's beginning, its folder, the commit; then the log once more, and the file
            assert syncs == 5

    def test_settings(self, tmp_path: Path) -> None:
        """SQLite is told to sync each commit."""
        history = History(tmp_path / "history.db")
        for pragma, value in (("synchronous", 2), ("journal_mode", "wal"), ("foreign_keys", 1)):
            found = history._database.write(lambda c: c.execute(f"PRAGMA {pragma}"))  # noqa: B023
            assert found == [(value,)]


@dataclass
class Inode:  # pragma: no cover # where there is a strace
    """A file on a disk: what was synced, and what was written since, in order."""

    synced: bytes = b""
    pending: list[Call] = field(default_factory=list)

    def sync(self) -> None:
        """Take over all that was written."""
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
    """A disk that keeps what was synced; of the rest, after a power cut, nobody knows what.

    Parameters
    ----------
    folder : Path
        Whose files it holds.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._names: dict[str, Inode] = {}
        self._synced: dict[str, Inode] = {}

    def apply(self, call: Call) -> None:
        """Do what a process asked for."""
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
        """Write what is left to a folder: of what was not synced, any part may be."""
        folder.mkdir()
        for name in sorted(self._names.keys() | self._synced.keys()):
            inode = chance.choice([self._names.get(name), self._synced.get(name)])
            if inode is None or name.endswith("-shm"):  # which is memory
                continue
            kept = chance.choice([0, 0.5, 1])
            calls = [call for call in inode.pending if chance.random() < kept]
            (folder / name).write_bytes(inode.after(calls))
        return folder / "history.db"


@pytest.mark.long
class TestPowerCut:  # pragma: no cover # where there is a strace
    """The power goes at any moment."""

    def test_any_moment(self, trace: tuple[Path, list[Call]], tmp_path: Path) -> None:
        """What was acknowledged is there, the rest whole or not at all, and appends go on."""
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
                there = whole_rounds(history)
                assert acknowledged <= there
                assert len(there) <= len(acknowledged) + 1
                history.append(make_round(NAME, APPENDS))
                assert whole_rounds(history) == there | {(NAME, APPENDS)}
        assert history.verify().empty


@contextlib.contextmanager
def mounted(folder: Path, *words: str) -> Iterator[Path]:  # pragma: no cover # where root may mount
    """Mount something on a new folder, if this user may."""
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
    """Leave no space on a disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(handle, b"x" * 1024)
    os.close(handle)


class TestFullDisk:
    """No space is left."""

    def test_file(self, tmp_path: Path) -> None:  # pragma: no cover # where root may mount
        """The error says so, nothing is lost, and the next append works once there is room."""
        with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=2M", "tmpfs") as disk:
            history = History(disk / "history.db")
            ballast = disk / "ballast"
            for done, space in enumerate((0, 40, 200)):  # KiB
                history.append(make_round(NAME, done))
                fill(ballast)
                os.truncate(ballast, ballast.stat().st_size - 1024 * space)
                with pytest.raises(HistoryError, match=r"the disk is full\. Free space in .*disk;"):
                    history.append(make_round(NAME, done + 1, 4_000))
                ballast.unlink()
                assert whole_rounds(history) == {(NAME, number) for number in range(done + 1)}
            assert history.verify().empty

    def test_no_room_for_locks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """SQLite calls it an error of the disk if it cannot make the memory for its locks."""
        database = History(tmp_path / "history.db")._database
        error = sqlite3.OperationalError("disk I/O error")
        assert "the disk has an error" in str(database.failure(error, "read"))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
        assert "the disk is full" in str(database.failure(error, "read"))

    @NEEDED
    def test_server(self) -> None:  # pragma: no cover # where root may mount
        """So it is where the server's disk is full."""
        with PostgresServer() as server:
            folder = server.folder or Path()
            with mounted(folder / "disk", "-t", "tmpfs", "-o", "size=24M", "tmpfs") as disk:
                owner = (folder / "data").stat()
                os.chown(disk, owner.st_uid, owner.st_gid)
                server.execute("postgres", f"CREATE TABLESPACE small LOCATION '{disk}'")
                server.execute("postgres", "CREATE DATABASE small TABLESPACE small")
                history = History(server.url("small"))
                history.append(make_round(NAME, 0))
                fill(disk / "ballast")
                with pytest.raises(HistoryError, match=r"Free space on the server's disk"):
                    history.append(make_round(NAME, 1, 10_000))
                (disk / "ballast").unlink()
                history.append(make_round(NAME, 1))
                assert whole_rounds(history) == {(NAME, 0), (NAME, 1)}
                assert history.verify().empty
                server.stop()


@contextlib.contextmanager
def read_only(
    folder: Path, name: Path
) -> Iterator[Path]:  # pragma: no cover # where root may mount
    """Return a folder's files where they can only be read."""
    if os.geteuid() != 0:  # root may write whatever the rights are
        for path in (*folder.iterdir(), folder):
            path.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    with mounted(name, "-o", "bind,ro", str(folder)) as there:
        yield there


@pytest.fixture
def kept(tmp_path: Path) -> History:
    """Keep some rounds in a folder of its own."""
    history = History(tmp_path / "kept" / "history.db")
    for number in range(3):
        history.append(make_round(NAME, number))
    return history


class TestReadOnly:
    """Where nothing may be written."""

    def test_report(
        self, kept: History, tmp_path: Path
    ) -> None:  # pragma: no cover # where root may mount
        """All can be read; an append says what to do; nothing is left beside the file."""
        folder = Path(kept.uri).parent
        now = make_round(NAME, 5).polls["polled_at"][0]
        truth = evaluate(kept, Policy(), last="1d", now=now)
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with read_only(folder, tmp_path / "mounted") as there:
            history = History(there / "history.db", create=False)
            assert len(whole_rounds(history)) == 3
            assert "0-0" in history.known_jobs(NAME, ["0-0", "7-0"])[0]
            assert evaluate(history, Policy(), last="1d", now=now).verdict == truth.verdict
            assert history.verify().empty
            with pytest.raises(
                HistoryError, match=r"it is read-only\. Allow writing to .*history\.db and its fol"
            ):
                history.append(make_round(NAME, 3))
            assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    def test_without_rights(self, kept: History, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who may not write can take no locks: a read during which others wrote is refused."""
        table = ArrowReader.table

        def append_and_read(*arguments: Any) -> pa.Table:  # noqa: ANN401 # as it is called
            with monkeypatch.context() as patch:
                patch.setattr(os, "access", may)
                patch.setattr(ArrowReader, "table", table)
                kept.append(make_round(NAME, 3))
            return table(*arguments)

        may = os.access
        monkeypatch.setattr(os, "access", lambda *_: False)
        history = History(kept.uri)
        assert len(whole_rounds(history)) == 3
        assert "0-0" in history.known_jobs(NAME, ["0-0"])[0]
        with pytest.raises(HistoryError, match=r"it is read-only\. Allow writing to"):
            history.append(make_round(NAME, 3))
        with monkeypatch.context() as patch:
            patch.setattr(ArrowReader, "table", append_and_read)
            with pytest.raises(HistoryError, match=r"changed while it was read\. Try again"):
                history.polls()
        assert len(whole_rounds(history)) == 4
        assert "3-0" in history.known_jobs(NAME, ["3-0"])[0]
        Path(kept.uri).unlink()
        with pytest.raises(HistoryError, match="cannot be read: it cannot be opened"):
            history.polls()

    def test_with_a_log(
        self, kept: History, tmp_path: Path
    ) -> None:  # pragma: no cover # where root may mount
        """What a killed collector left in the log is read, or the error says what to do."""
        folder = tmp_path / "killed"
        folder.mkdir()
        with kept._database.read() as reader:
            # while it is open the log is not put into the file
            reader.rows("SELECT id FROM appends", {"id": "integer"})
            run = [sys.executable, "-c", LAST, kept.uri]
            env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
            subprocess.run(run, env=env, check=True)
            for ending in ("", "-wal", "-shm"):
                shutil.copy(f"{kept.uri}{ending}", folder / f"history.db{ending}")
        with read_only(folder, tmp_path / "with-memory") as there:
            assert len(whole_rounds(History(there / "history.db"))) == 4
        (folder / "history.db-shm").unlink()
        with (
            read_only(folder, tmp_path / "without") as there,
            pytest.raises(HistoryError, match="cannot be used: it cannot be opened"),
        ):
            History(there / "history.db").jobs()
        assert len(whole_rounds(History(folder / "history.db"))) == 4


LAST = f"""
import sys
from tests.conftest import SEED, repeats
from backupkit.history import History
from tests.rounds import make_round

History(sys.argv[1]).append(make_round("{NAME}", 3))
"""
