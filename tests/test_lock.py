"""The lock of a history: two runs do not overlap, and a process that is killed releases it."""

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import backupkit as bk
from backupkit.cli import main
from backupkit.errors import HistoryError, HistoryLockedError
from tests.postgres import NEEDED

HOLDER = """
import sys
import backupkit as bk
with bk.History(sys.argv[1]).lock_run():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def holding(target: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock until its stdin is closed."""
    command = [sys.executable, "-c", HOLDER, target]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def take(history: bk.History, *, wait: float = 0) -> None:
    """Lock a history, and release it."""
    with history.lock_run(wait=wait) as nothing:
        assert nothing is None


def test_one_run(target: str) -> None:
    """A second run learns who holds the lock; appends and reads go on."""
    history = bk.History(target)
    with holding(target) as process:
        with pytest.raises(HistoryLockedError) as caught:
            take(history)
        text = str(caught.value)
        assert text.startswith(f"{target}: another run works with this history: pid {process.pid} ")
        assert f" on {socket.gethostname()[:20]}" in text
        assert " since 20" in text
        assert text.endswith("Try again when it has ended, or wait for it with --wait 10m.")
        history.check_writable()
        assert len(history.jobs()) == 0


def test_killed(target: str) -> None:
    """The lock of a process that is killed is free at once."""
    history = bk.History(target)
    with holding(target) as process:
        process.kill()
        process.wait()
        take(history, wait=30)
    take(history)


def test_wait(target: str) -> None:
    """A second run waits for the first one."""
    history = bk.History(target)
    with holding(target) as process:
        assert process.stdin is not None
        threading.Timer(0.2, process.stdin.close).start()
        with history.lock_run(wait=30):
            assert process.wait() == 0


def test_released_after_an_error(target: str) -> None:
    """An error in a run releases the lock."""
    history = bk.History(target)
    with pytest.raises(KeyError), history.lock_run():
        raise KeyError
    take(history)


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Collecting commands exit with a code of their own and change nothing; others do not wait."""
    fleet, target = tmp_path / "fleet.toml", str(tmp_path / "history.db")
    fleet.write_text(
        '[[appliance]]\nname = "vc"\nhost = "127.0.0.1:1"\nuser = "u"\npassword = {env = "X"}\n',
        encoding="utf-8",
    )
    both = ["--fleet", str(fleet), "--history", target]
    assert main(["collect", *both]) == 4
    with holding(target) as process:
        for command in ("collect", "run"):
            capsys.readouterr()
            assert main([command, *both, "--wait", "0s"]) == 7
            captured = capsys.readouterr()
            assert f"pid {process.pid} on " in captured.err
            assert captured.out == ""
        assert len(bk.History(target).polls()) == 1
        assert main(["check", *both]) == 3
        assert main(["history", "info", "--history", target]) == 0
    assert main(["run", *both]) == 4


def test_names_of_a_file(tmp_path: Path) -> None:
    """A link to a history has the same lock."""
    history = bk.History(tmp_path / "history.db")
    link = tmp_path / "link.db"
    link.symlink_to("history.db")
    with bk.History(link).lock_run(), pytest.raises(HistoryLockedError):
        take(history)


def test_unknown_holder(tmp_path: Path) -> None:
    """If the holder is not known, the error says so without it."""
    history = bk.History(tmp_path / "history.db")
    with history.lock_run():
        (tmp_path / "history.db.holder").write_text("[]", encoding="utf-8")
        with pytest.raises(HistoryLockedError, match=r"with this history\. Try"):
            take(history)


def test_lock_file_not_writable(tmp_path: Path) -> None:
    """A lock file that cannot be written is an error that names it."""
    history = bk.History(tmp_path / "history.db")
    (tmp_path / "history.db.lock").mkdir()
    with pytest.raises(HistoryError, match=r"history\.db\.lock cannot be"):
        take(history)


@NEEDED
def test_other_session(postgres_url: str) -> None:
    """A lock of a session without our name has no holder in the error."""
    history = bk.History(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True, application_name="psql") as other:
        other.execute("SELECT pg_advisory_lock(%s)", [0x76634271])
        with pytest.raises(HistoryLockedError, match=r"with this history\. Try"):
            take(history)


@NEEDED
def test_server_gone(postgres_url: str) -> None:
    """Without a server the error is that of the history."""
    history = bk.History(postgres_url)
    name = postgres_url.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(postgres_url, dbname="postgres", autocommit=True) as other:
        other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    with pytest.raises(HistoryError, match="cannot be locked"):
        take(history)
