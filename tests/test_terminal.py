"""Nothing that an appliance says controls the terminal of a command."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

import backupkit as bk
from backupkit.cli import main
from tests.conftest import OddServer

EVIL: Final = "\x1b[31mOK\x1b]0;pwned\x07\x1b[2J\x9b2J\r\u202eabc"
CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
BACKUP: Final = "GET /api/appliance/recovery/backup/"


@pytest.fixture
def fleet(odd: OddServer, tmp_path: Path) -> Path:
    """Return the fleet.toml of an appliance that tries to control a terminal, and of one more."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=9)
    message = {"id": EVIL, "default_message": f"bad {EVIL}", "args": [EVIL], "localized": EVIL}
    ended: dict[str, object] = {
        "status": "FAILED",
        "type": EVIL,
        "location": f"sftp://h/{EVIL}",
        "messages": [message],
        "start_time": f"{start - timedelta(hours=5):%Y-%m-%dT%H:%M:%S}.000Z",
        "end_time": f"{start - timedelta(hours=4):%Y-%m-%dT%H:%M:%S}.000Z",
    }
    running: dict[str, object] = {
        **ended,
        "status": "RUNNING",
        "start_time": f"{start:%Y-%m-%dT%H:%M:%S}.000Z",
        "end_time": None,
        "progress": {"total": 100, "completed": 40},
    }
    jobs = {
        "a": ended,
        f"b{EVIL}": {**ended, "status": f"X{EVIL}"},
        f"c{EVIL}": {**ended, "start_time": EVIL},
        f"run{EVIL}": running,
    }
    odd.serve_api()
    odd.respond(f"{BACKUP}job", json.dumps(list(jobs)).encode())
    odd.respond(f"{BACKUP}job/details", json.dumps(jobs).encode())
    followed: dict[str, object] = {name: running[name] for name in ("messages", "start_time")}
    followed |= {"id": f"run{EVIL}", "state": "INPROGRESS", "progress": 40}
    path = quote(f"run{EVIL}", safe="")
    odd.respond(f"{BACKUP}job/{path}", json.dumps(followed).encode())
    odd.respond(f"{BACKUP}schedules", json.dumps({EVIL: {"enable": EVIL}}).encode())
    odd.respond("GET /api/appliance/system/version", json.dumps({"version": EVIL}).encode())
    error = {"error_type": f"ODD{EVIL}", "messages": [message]}
    odd.respond("GET /api/appliance/system/time/timezone", json.dumps(error).encode(), 400)
    text = "".join(
        f'[[appliance]]\nname = "{name}"\nhost = "{host}"\nuser = "u@v"\n'
        f'password = {{ env = "VCSA_PASSWORD" }}\nca_bundle = "{odd.ca_bundle.name}"\n'
        for name, host in (("vc-odd", odd.host), ("vc-off", "127.0.0.1:1"))
    )
    target = tmp_path / "fleet.toml"
    target.write_text(f'[policy]\nrpo = "24h"\n{text}', encoding="utf-8")
    return target


def test_commands(fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither stream of a command, nor its JSON, has a control character."""
    store = ["--history", str(tmp_path / "h.db")]
    of_fleet = ["--fleet", str(fleet)]
    commands = (
        ["collect", *of_fleet, *store],
        ["collect", *of_fleet, "--history", str(tmp_path / "other.db"), "--json"],
        ["doctor", *of_fleet, "--all"],
        ["doctor", *of_fleet, "--json"],
        ["check", *of_fleet, *store],
        ["check", *of_fleet, *store, "--json"],
        ["report", *of_fleet, *store, "--out", str(tmp_path / "r.html")],
        ["history", "info", *store],
        ["history", "verify", *store, "--json"],
    )
    texts = []
    for command in commands:
        main(command)
        captured = capsys.readouterr()
        texts += [captured.out, captured.err]
        assert not CONTROLS.search(captured.out + captured.err), command
        if "--json" in command:
            texts.append(str(json.loads(captured.out)))
    assert "pwned" in "".join(texts)  # proves that the texts were there


def test_log(fleet: Path, tmp_path: Path) -> None:
    """Neither the log nor the bars of a watch on a terminal control it."""
    argv = ["watch", "--every", "1s", "--fleet", str(fleet), "--history", str(tmp_path / "h.db")]
    primary, replica = pty.openpty()
    termios.tcsetwinsize(replica, (50, 200))  # without a size, no bar is drawn
    with subprocess.Popen(
        [sys.executable, "-m", "backupkit", "--verbose", *argv],
        stdin=replica,
        stdout=replica,
        stderr=replica,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(replica)
        shown = b""
        while b"40 %" not in shown:  # the bar of the running job
            assert select.select([primary], [], [], 20)[0], shown
            shown += os.read(primary, 65_536)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the process has closed its end
            while chunk := os.read(primary, 65_536):
                shown += chunk
    os.close(primary)
    assert b"pwned" in shown
    for escape in (b"\x1b]", b"\x1b[2J", b"\x1b[31m", "\x9b".encode(), "\u202e".encode(), b"\x07"):
        assert escape not in shown


def test_one_function_prints() -> None:
    """Commands print by one function alone, which removes control characters."""
    folder = Path(bk.__file__).parent / "cli"
    callers = [
        path.name
        for path in folder.rglob("*.py")
        if re.search(r"\btyper\.(echo|secho)\(|\bprint\(", path.read_text(encoding="utf-8"))
    ]
    assert callers == ["options.py"]


def test_many_bad_jobs(odd: OddServer, fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An appliance with many bad jobs has three lines; those of the others are printed, too."""
    ids = [f"job-{number:02}" for number in range(20)]
    odd.serve_api()
    odd.respond(f"{BACKUP}job", json.dumps(ids).encode())
    odd.respond(f"{BACKUP}job/details", json.dumps(dict.fromkeys(ids, 1)).encode())
    main(["collect", "--fleet", str(fleet), "--history", str(fleet.with_name("m.db"))])
    lines = capsys.readouterr().err.splitlines()
    of_odd = [line for line in lines if line.startswith("  vc-odd: ")]
    assert len(of_odd) == 4
    assert re.search(r"vc-odd: and \d\d more; --json and the report list all of them", of_odd[-1])
    assert any(line.startswith("  vc-off: 127.0.0.1:1 refused") for line in lines)
