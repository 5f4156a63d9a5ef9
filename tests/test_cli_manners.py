"""Manners of the command line: defaults, help, completion, terminals, and the last report."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

import pandas as pd
import pytest

import backupkit as bk
from backupkit.cli import COMMANDS, main
from backupkit.cli.commands.watch import BarDisplay
from backupkit.tables import RUNNING

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

ROOT: Final = Path(__file__).parent.parent
COMMAND: Final = Path(sys.executable).with_name("backupkit")
NOW: Final = "2026-11-23T23:30:00Z"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with the sample as fleet.toml and history.db."""
    monkeypatch.chdir(tmp_path)
    for name in ("BACKUPKIT_FLEET", "BACKUPKIT_HISTORY"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(ROOT / "data" / "history.db", tmp_path)
    shutil.copy(ROOT / "data" / "fleet.example.toml", tmp_path / "fleet.toml")
    return tmp_path


class TestHelp:
    """Help on help."""

    @pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["history", "info"]])
    def test_short(self, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """-h is --help, for each command."""
        assert main([*command, "-h"]) == 0
        short = capsys.readouterr().out
        main([*command, "--help"])
        assert short == capsys.readouterr().out
        assert "-h, --help" in short

    @pytest.mark.parametrize(
        ("argv", "expected"),
        [
            (["report", "--wings"], "See: backupkit report --help"),
            (["history", "info", "--wings"], "See: backupkit history info --help"),
            (["dance"], "See: backupkit --help"),
        ],
    )
    def test_one_path(
        self, argv: list[str], expected: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """An error of usage names the one help to read."""
        assert main(argv) == 2
        assert capsys.readouterr().err.splitlines()[-1] == expected


class TestDefaults:
    """Fleet and history without options."""

    def test_working_directory(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """fleet.toml and history.db of the working directory are the defaults."""
        assert main(["report", "--as-of", NOW]) == 0
        assert "3 of 10 in scope breach" in capsys.readouterr().out
        assert (folder / "report.html").is_file()

    def test_environment(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Variables name others; an option counts more."""
        monkeypatch.setenv("BACKUPKIT_HISTORY", str((folder / "history.db").rename("other.db")))
        monkeypatch.setenv("BACKUPKIT_FLEET", str((folder / "fleet.toml").rename("other.toml")))
        assert main(["report", "--as-of", NOW]) == 0
        capsys.readouterr()
        assert main(["history", "info", "--history", "none.db"]) == 1
        assert "none.db holds no history yet" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("argv", "code", "expected"),
        [
            (["collect"], 1, "fleet.toml: no such file. Name an existing one with --fleet or BACK"),
            (["doctor"], 1, "fleet.toml: no such file"),
            (["history", "info"], 1, "history.db holds no history yet. Fill it first with: "),
            (["history", "verify"], 1, "name another one with --history or BACKUPKIT_HISTORY"),
            (["check"], 3, "UNKNOWN: fleet.toml: no such file"),
        ],
    )
    def test_missing(
        self,
        argv: list[str],
        code: int,
        expected: str,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """A default that does not exist is named, with how to name or make one, and not created."""
        for path in folder.iterdir():
            path.unlink()
        assert main(argv) == code
        captured = capsys.readouterr()
        assert expected in captured.out + captured.err
        assert list(folder.iterdir()) == []


class TestCompletion:
    """Completion by a real bash, which asks the command."""

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ("col", ["collect"]),
            ("report --mo", ["--month"]),
            ("history ver", ["verify"]),
            ("history export --format c", ["csv"]),
        ],
    )
    @pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
    def test_bash(self, words: str, expected: list[str]) -> None:
        """The script of --show-completion completes commands, options and values."""
        number = len(words.split())
        script = (
            f'eval "$("{COMMAND}" --show-completion)"; '
            f"COMP_WORDS=(backupkit {words}); COMP_CWORD={number}; "
            '_backupkit_completion backupkit; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        path = f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "--norc", "-c", script],  # noqa: S607 # the one of the user
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.split() == expected, done.stderr


def read_terminal(primary: int) -> str:
    """Return all that was written to a terminal whose writers have closed it."""
    drawn = b""
    with contextlib.suppress(OSError):  # the end
        while chunk := os.read(primary, 65_536):
            drawn += chunk
    os.close(primary)
    return drawn.decode()


class TestTerminal:
    """Width and colours."""

    JOBS: Final = RUNNING.frame(
        {
            "appliance": ["vc-hamburg-01", "vc-ny"],
            "job_id": ["20261123-194500-24755230", "20261123-200000-24755230"],
            "state": ["INPROGRESS", "INPROGRESS"],
            "progress": [40.0, 7.0],
            "stalled": [False, True],
            "time_left": [timedelta(minutes=3, seconds=4), timedelta(hours=2, minutes=1)],
            "elapsed": [timedelta(minutes=2), timedelta(minutes=9)],
        }
    )

    def draw(self, frame: pd.DataFrame, columns: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Return the last lines of a watch on a terminal of some width."""
        primary, replica = pty.openpty()
        termios.tcsetwinsize(replica, (24, columns))
        with open(replica, "w", encoding="utf-8") as stream:  # noqa: PTH123 # of the terminal
            monkeypatch.setattr(sys, "stderr", stream)
            with BarDisplay() as display:
                display.show(frame)
            monkeypatch.undo()
        drawn = read_terminal(primary)
        assert "\x1b[3" not in drawn  # no colour, with NO_COLOR or without
        lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[A", "\n", drawn))
        return [line.rstrip() for line in lines if "%" in line][-2:]

    @pytest.mark.parametrize(
        ("columns", "expected"),
        [
            (
                50,
                [
                    "vc-hamburg-01 40 %, about 3 min 4 s left",
                    "vc-ny         7 %, stalled, about 2 h 1 min left",
                ],
            ),
            (
                45,
                [
                    "vc-ha... 40 %, about 3 min 4 s left",
                    "vc-ny    7 %, stalled, about 2 h 1 min left",
                ],
            ),
            (
                66,
                [
                    "vc-hamburg-01 |████      | 40 %, about 3 min 4 s left",
                    "vc-ny         |▋         | 7 %, stalled, about 2 h 1 min left",
                ],
            ),
        ],
    )
    def test_narrow(
        self, columns: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A narrow terminal keeps percent and time left of each job."""
        drawn = self.draw(self.JOBS, columns, monkeypatch)
        assert drawn == expected
        assert all(len(line) <= columns for line in drawn)

    def test_wide(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wide one has a long bar and the ids of the jobs."""
        first, _ = self.draw(self.JOBS, 120, monkeypatch)
        assert first.startswith(
            "vc-hamburg-01 20261123-194500-24755230 |█████████▌              | 40"
        )

    def test_no_colour(self, folder: Path) -> None:
        """A terminal gets no colour, and a help as wide as it is."""
        environment = {name: text for name, text in os.environ.items() if name != "COLUMNS"}
        primary, replica = pty.openpty()
        termios.tcsetwinsize(replica, (24, 60))
        subprocess.run(
            [COMMAND, "report", "--help"],
            cwd=folder,
            stdout=replica,
            check=True,
            env={**environment, "NO_COLOR": "1", "TERM": "xterm-256color"},
        )
        os.close(replica)
        drawn = read_terminal(primary)
        assert "\x1b" not in drawn
        assert max(map(len, drawn.splitlines())) <= 60


class TestOpen:
    """backupkit open."""

    @pytest.fixture
    def opened(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Set a browser that writes the address that it opens; return its file."""
        seen = folder / "seen"
        browser = folder / "browser.sh"
        browser.write_text(f'#!/bin/sh\nprintf %s "$1" > "{seen}"\n')
        browser.chmod(0o755)
        monkeypatch.setattr("webbrowser._tryorder", None)  # read BROWSER again
        monkeypatch.setattr("webbrowser._browsers", {})
        monkeypatch.setenv("BROWSER", f"{browser} %s")
        return seen

    def write(self, path: Path, *, age: int) -> Path:
        """Write a report that is some seconds old."""
        sample = bk.sample()
        document = bk.report(bk.evaluate(sample.history, sample.policy, last="1d", now=sample.now))
        path.write_text(document.html(), encoding="utf-8")
        os.utime(path, (1_800_000_000 - age,) * 2)
        return path

    def test_newest(self, folder: Path, opened: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The newest report is opened, and no other page, whatever the names."""
        newest = self.write(folder / "monday & tuesday.html", age=1)
        self.write(folder / "report.html", age=5)
        (folder / "index.html").write_text("<title>Backup SLA report</title>")
        assert main(["open"]) == 0
        assert capsys.readouterr().out == f"{newest}\n"
        assert opened.read_text() == newest.as_uri()

    def test_named(self, folder: Path, opened: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A file or a folder can be named."""
        other = folder / "other"
        other.mkdir()
        report = self.write(other / "r.html", age=1)
        for place in ("other", "other/r.html"):
            assert main(["open", place]) == 0
            assert capsys.readouterr().out == f"{report}\n"
        assert opened.read_text() == report.as_uri()

    def test_unreadable(self, folder: Path, opened: Path) -> None:
        """A file that cannot be read does not hide the reports beside it."""
        (folder / "folder.html").mkdir()
        (folder / "gone.html").symlink_to("nowhere")
        report = self.write(folder / "r.html", age=1)
        assert main(["open"]) == 0
        assert opened.read_text() == report.as_uri()

    @pytest.mark.parametrize(
        ("place", "expected"),
        [
            (".", "has no report of backupkit. Write one with: backupkit report"),
            ("page.html", "page.html is no report of backupkit"),
            ("none.html", "none.html: cannot be read: No such file"),
        ],
    )
    def test_no_report(
        self, place: str, expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without a report the error says how to write one."""
        (folder / "page.html").write_text("<p>No report</p>")
        assert main(["open", place]) == 1
        assert expected in capsys.readouterr().err

    def test_no_browser(
        self,
        folder: Path,
        opened: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Without a browser the path is printed, and the exit code is 1."""
        report = self.write(folder / "report.html", age=1)
        monkeypatch.setenv("BROWSER", "no-such-browser")
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.delenv("DISPLAY", raising=False)
        assert main(["open"]) == 1
        captured = capsys.readouterr()
        assert captured.out == f"{report}\n"
        assert "No browser was found" in captured.err
        assert not opened.exists()
