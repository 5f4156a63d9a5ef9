"""backupkit schedule: units, tasks and crontab lines, checked by the programs that read them."""

import plistlib
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from backupkit.cli import main
from backupkit.cli.units import Job, format_cron, format_launchd, format_systemd, format_windows
from backupkit.errors import SettingsError

ANALYZE: Final = shutil.which("systemd-analyze")
ODD: Final = 'a "b" 100% $x'
"""Name of a folder that each format must quote."""

FLEET: Final = """
[run]
report = "reports"
metrics = "metrics/b.prom"
[[appliance]]
name = "vc-1"
host = "vc-1.test"
user = "u"
password = { prompt = true }
"""
MAX_EXPOSURE: Final = 20  # tenths; systemd's "OK" ends at 4.9, and an unhardened unit has 9.6


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory whose name is hard to quote."""
    made = tmp_path / ODD
    made.mkdir()
    (made / "fleet.toml").write_text(FLEET, encoding="utf-8")
    monkeypatch.chdir(made)
    monkeypatch.setenv("SUDO_USER", "daemon")
    return made


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs the command, and returns what it prints."""

    def run(*argv: str) -> str:
        capsys.readouterr()
        assert main(["schedule", *argv]) == 0
        return capsys.readouterr().out

    return run


def command(folder: Path) -> list[str]:
    """Return the command that is to run."""
    both = ["--fleet", str(folder / "fleet.toml"), "--history", str(folder / "history.db")]
    return [sys.executable, "-m", "backupkit", "run", *both]


def job(**changed: Any) -> Job:  # noqa: ANN401 # any field
    """Return a job each 15 minutes."""
    fields: dict[str, Any] = {
        "command": ["/bin/true"],
        "folder": Path("/"),
        "every": timedelta(minutes=15),
    }
    return Job(**fields | changed)


class TestSystemd:
    """Service and timer."""

    @pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze: Debian's systemd")
    @pytest.mark.parametrize("timing", [["--every", "90m"], ["--at", "06:00", "--user"]])
    def test_verify(
        self, folder: Path, tmp_path: Path, printed: Callable[..., str], timing: list[str]
    ) -> None:
        """systemd-analyze finds nothing wrong, and the service is hardened."""
        out = tmp_path / "units"
        units = printed("systemd", *timing, "--out", str(out)).splitlines()
        assert [Path(unit).name for unit in units] == ["backupkit.service", "backupkit.timer"]
        assert folder.exists()
        manager = ["--user"] if "--user" in timing else []
        verified = self.analyze(tmp_path, "verify", *manager, *units)
        assert (verified.returncode, verified.stdout) == (0, "")
        if not manager:
            threshold = f"--threshold={MAX_EXPOSURE}"
            rated = self.analyze(tmp_path, "security", "--offline=true", threshold, units[0])
            assert rated.returncode == 0, rated.stdout

    def analyze(self, folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run systemd-analyze."""
        return subprocess.run(
            [str(ANALYZE), *argv],
            env={"XDG_RUNTIME_DIR": str(folder), "HOME": str(folder), "PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def test_system(
        self, folder: Path, printed: Callable[..., str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The service runs as the user who calls sudo, and may write to three folders."""
        text = printed("systemd")
        assert "User=daemon\n" in text
        escaped = str(folder).replace('"', r"\"").replace("%", "%%")
        assert f'"{escaped.replace("$", "$$")}/fleet.toml"' in text
        paths = (f'"-{escaped}{name}"' for name in ("", "/reports", "/metrics"))
        assert f"ReadWritePaths={' '.join(paths)}\n" in text
        assert "OnUnitActiveSec=15min" in text
        install = re.findall(r"^# Install: sudo (.*)$", text, re.MULTILINE)
        assert len(install) == 2
        words = shlex.split(install[0])
        assert words[:4] == [sys.executable, "-m", "backupkit", "schedule"]
        assert words[-3:] == ["daemon", "--out", "/etc/systemd/system"]
        main(["schedule", "systemd"])
        err = capsys.readouterr().err
        assert "the password of vc-1 is prompted for" in err
        assert f"{folder}/reports does not exist" in err

    def test_user(self) -> None:
        """The units of a user need no root."""
        files = format_systemd(job(every=None, at="06:00"), install="x")
        assert "sudo" not in "".join(files.values())
        assert "User=" not in files["backupkit.service"]
        assert "systemctl --user enable --now backupkit.timer" in files["backupkit.timer"]
        assert "OnCalendar=*-*-* 06:00:00\nPersistent=yes\n" in files["backupkit.timer"]


class TestCron:
    """Crontab."""

    def test_line(self, folder: Path, printed: Callable[..., str]) -> None:
        """The shell gets the command word by word; cron would cut at a percent sign."""
        *comments, line = printed("cron", "--every", "15m").splitlines()
        assert all(text.startswith("# ") for text in comments)
        assert "/etc/cron.d/backupkit" in comments[0]
        *times, account, rest = line.split(" ", 6)
        assert (times, account) == (["*/15", "*", "*", "*", "*"], "daemon")
        assert not re.search(r"(?<!\\)%", rest)
        words = shlex.split(rest.replace(r"\%", "%"))
        assert words[:3] == ["cd", str(folder), "&&"]
        assert words[3 : words.index("2>&1")] == command(folder)

    @pytest.mark.parametrize(
        ("timing", "fields"),
        [
            ({"every": timedelta(minutes=1)}, "* * * * *"),
            ({"every": timedelta(minutes=20)}, "*/20 * * * *"),
            ({"every": timedelta(hours=1)}, "0 * * * *"),
            ({"every": timedelta(hours=6)}, "0 */6 * * *"),
            ({"every": timedelta(hours=24)}, "0 0 * * *"),
            ({"every": None, "at": "23:05"}, "5 23 * * *"),
        ],
    )
    def test_times(self, timing: dict[str, Any], fields: str) -> None:
        """Each interval has its five fields."""
        assert format_cron(job(**timing)).splitlines()[-1].startswith(f"{fields} cd / && /bin/true")

    @pytest.mark.parametrize("minutes", [7, 90, 300])
    def test_no_such_interval(self, minutes: int) -> None:
        """An interval that cron does not have is an error with those that it has."""
        with pytest.raises(SettingsError, match="such as 15m, 1h or 6h"):
            format_cron(job(every=timedelta(minutes=minutes)))


class TestLaunchd:
    """Property list."""

    def test_daemon(self, folder: Path, printed: Callable[..., str]) -> None:
        """The plist has the documented keys."""
        text = printed("launchd", "--every", "15m", "--account", "ops")
        values = plistlib.loads(text.encode())
        assert values["ProgramArguments"] == command(folder)
        assert values["WorkingDirectory"] == str(folder)
        assert (values["StartInterval"], values["UserName"]) == (900, "ops")
        assert "sudo launchctl bootstrap system /Library/LaunchDaemons/" in text

    def test_agent(self) -> None:
        """An agent starts at a time of day."""
        text = format_launchd(job(every=None, at="06:30"))
        values = plistlib.loads(text.encode())
        assert values["StartCalendarInterval"] == {"Hour": 6, "Minute": 30}
        assert "UserName" not in values
        assert "launchctl bootstrap gui/$UID ~/Library/LaunchAgents/" in text


class TestWindows:
    """Task."""

    NAMESPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"

    def find(self, text: str, path: str) -> ET.Element:
        """Return an element of the task."""
        parts = "/".join(f"{self.NAMESPACE}{part}" for part in path.split("/"))
        found = ET.fromstring(text).find(parts)  # noqa: S314 # our own text
        assert found is not None
        return found

    def test_task(self, folder: Path, printed: Callable[..., str]) -> None:
        """The task has the elements of the documented example, in its order."""
        text = printed("windows", "--every", "15m")
        trigger = self.find(text, "Triggers/CalendarTrigger")
        names = [child.tag.removeprefix(self.NAMESPACE) for child in trigger]
        assert names == ["StartBoundary", "Repetition", "ScheduleByDay"]
        assert self.find(text, "Triggers/CalendarTrigger/Repetition/Interval").text == "PT15M"
        assert self.find(text, "Actions/Exec/Command").text == sys.executable
        arguments = self.find(text, "Actions/Exec/Arguments").text
        assert arguments == subprocess.list2cmdline(command(folder)[1:])
        principal = self.find(text, "Principals/Principal")
        assert principal.get("id") == self.find(text, "Actions").get("Context")
        assert self.find(text, "Principals/Principal/UserId").text == "S-1-5-18"
        assert self.find(text, "Settings/MultipleInstancesPolicy").text == "IgnoreNew"

    @pytest.mark.usefixtures("folder")
    def test_account(self, capsys: pytest.CaptureFixture[str], printed: Callable[..., str]) -> None:
        """A task for another account is refused, with the command that installs one."""
        assert main(["schedule", "windows", "--account", "ops"]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.endswith('/XML backupkit.xml /RU "NAME" /RP *\n')
        assert "It runs as SYSTEM; as another user: add /RU NAME" in printed("windows")
        assert "SYSTEM" not in printed("windows", "--user")

    def test_user(self) -> None:
        """A task of a user runs in his session, at a time of day without a repetition."""
        text = format_windows(job(every=None, at="06:30"))
        assert self.find(text, "Principals/Principal/LogonType").text == "InteractiveToken"
        assert self.find(text, "Triggers/CalendarTrigger/StartBoundary").text == (
            "2026-01-01T06:30:00"
        )
        assert "Repetition" not in text


class TestBadInput:
    """Invalid input."""

    @pytest.mark.parametrize(
        ("argv", "expected"),
        [
            (["--at", "6:00"], '--at: "6:00" is not a time of day; for example: 06:00'),
            (["--at", "06:00", "--every", "1h"], "--every and --at exclude each other"),
            (["--every", "10s"], "--every: use whole minutes, from 1m to 24h"),
            (["--every", "90s"], "--every: use whole minutes"),
            (["--every", "2d"], "--every: use whole minutes"),
            (["--account", "a b"], '--account: "a b" is not a user name'),
            (["--account", "a", "--user"], "--account and --user exclude each other"),
            (["--history", "postgresql://u:secret@db/b"], "holds a password"),
            (["--fleet", "none.toml"], "none.toml: no such file"),
            (["--out", "fleet.toml/x"], "Cannot write to fleet.toml/x"),
        ],
    )
    @pytest.mark.usefixtures("folder")
    def test_sentence(
        self, argv: list[str], expected: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A wrong option is an error of one sentence, and nothing is printed on stdout."""
        assert main(["schedule", "systemd", *argv]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert expected in captured.err
        assert "secret" not in captured.err

    def test_database(self, folder: Path, printed: Callable[..., str]) -> None:
        """The URL of a database stays as it is, and a fleet without prompts needs no warning."""
        table = FLEET.replace("prompt = true", 'env = "BACKUPKIT_PASSWORD"')
        (folder / "fleet.toml").write_text(table, encoding="utf-8")
        url = "postgresql://u@db/b?sslmode=verify-full"
        line = printed("cron", "--history", url, "--user").splitlines()[-1]
        assert shlex.split(line.replace(r"\%", "%"))[-6:-4] == [url, "2>&1"]

    def test_line_break(self) -> None:
        """A line break in a path cannot add an entry."""
        with pytest.raises(SettingsError, match="schedule"):
            job(folder=Path("/a\nUser=root"))
