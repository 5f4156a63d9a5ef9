"""The command line: arguments, files, streams and exit codes."""

import contextlib
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import html5lib
import pytest

import backupkit as bk
from backupkit.cli import app, main
from backupkit.simulator import Scenario
from tests.conftest import EPOCH, OddServer, Simulated, simulated

COMMAND = Path(sys.executable).with_name("backupkit")
ROOT = Path(__file__).parent.parent


def write_fleet(folder: Path, *appliances: str) -> Path:
    """Write a fleet.toml of appliances without a password."""
    path = folder / "idle.toml"
    entries = "".join(
        f'[[appliance]]\nname = "{name}"\nhost = "{name}.test"\nuser = "u"\n'
        'password = { env = "NOT_SET_ANYWHERE" }\n'
        for name in appliances
    )
    path.write_text(f'[policy]\nrpo = "24h"\n{entries}', encoding="utf-8")
    return path


class TestHelp:
    """Help and version."""

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        """--version prints the package's version."""
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"backupkit {bk.__version__}\n"

    def test_no_arguments(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without arguments the help is printed."""
        monkeypatch.setattr(sys, "argv", ["backupkit"])
        assert main() == 0
        assert "collect" in capsys.readouterr().out

    @pytest.mark.parametrize("name", ["demo", "doctor", "collect", "report", "check", "simulate"])
    def test_every_command(self, capsys: pytest.CaptureFixture[str], name: str) -> None:
        """Each command and each option has a help text."""
        assert main([name, "--help"]) == 0
        lines = capsys.readouterr().out.splitlines()
        options = [line.split() for line in lines if line.strip().startswith("--")]
        assert len(lines[2]) > 20
        assert all(len(words) > 3 for words in options)

    def test_readme_names_every_command(self) -> None:
        """README names each command."""
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        names = [
            command.callback.__name__ for command in app.registered_commands if command.callback
        ]
        assert [name for name in names if f"backupkit {name}" not in readme] == []

    @pytest.mark.parametrize("argv", [["collect"], ["dance"], ["report", "--wings"]])
    def test_wrong_use(self, capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
        """Wrong use exits with 2 and names --help."""
        assert main(argv) == 2
        assert "--help" in capsys.readouterr().err

    def test_help_is_quick(self) -> None:
        """--help imports no large library."""
        probe = (
            "import sys; from backupkit.cli import main; main(['--help']); "
            "print(sorted({'pandas', 'requests', 'matplotlib', 'pyarrow'} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "[]"

    def test_as_a_module(self) -> None:
        """`python -m backupkit` is the same command, with its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "backupkit", "dance"], capture_output=True, check=False
        )
        assert done.returncode == 2


class TestCollect:
    """backupkit collect."""

    def test_some_not_read(
        self, live_demo: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Unread appliances: exit 3, in the report with the reason, and not compliant."""
        live_demo.appliances.stop("vc-ham-01")
        live_demo.appliances.set_password("vc-ham-02", "another")
        history, out = tmp_path / "history.db", tmp_path / "report.html"
        options = ["--fleet", str(live_demo.path), "--history", str(history)]
        assert main(["collect", *options]) == 3
        streams = capsys.readouterr()
        assert "Read 9 of 12 appliances" in streams.err
        assert "login failed (401)" in streams.err
        assert streams.out == ""

        assert main(["report", *options, "--out", str(out), "--fail-on", "breach,unknown"]) == 5
        page = html5lib.parse(out.read_text(encoding="utf-8"), namespaceHTMLElements=False)
        [unread] = [part for part in page.iter("section") if part.get("id") == "unread"]
        text = " ".join("".join(unread.itertext()).split())
        for name, reason in (("vc-ham-01", "refused the connection"), ("vc-ham-02", "password")):
            assert name in text
            assert reason in text

        a = bk.evaluate(bk.History(history), bk.Policy.load(live_demo.path))
        assert set(a.appliances.loc[["vc-ham-01", "vc-ham-02"], "state"]) == {"unknown"}
        assert len(a.jobs[a.jobs["appliance"] == "vc-nyc-02"]) > 80

    def test_second_collection(
        self, live_demo: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A second collection requests no finished job again, and says so."""
        argv = ["collect", "--fleet", str(live_demo.path), "--history", str(tmp_path / "h.db")]
        main(argv)
        capsys.readouterr()
        main(argv)
        err = capsys.readouterr().err
        assert re.search(r" 0 new, .*[78]\d\d known and not read again", err)

    def test_all_read(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """All read is exit 0; --json prints the result of the collection."""
        scenario = Scenario.steady(appliances=2, jobs=3, seed=1, epoch=EPOCH)
        with simulated(scenario, tmp_path) as fleet:
            options = ["--fleet", str(fleet.path), "--history", str(tmp_path / "h.db"), "--json"]
            assert main(["collect", *options]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["read"] == result["polled"] == 2
        assert result["observations_added"] == 6
        assert result["errors"] == []
        assert result["polls"][0]["clock_skew"] < 0

    def test_none_read(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """None read is exit 4, and the failed poll is stored."""
        fleet = write_fleet(tmp_path, "vc-1")
        assert main(["collect", "--fleet", str(fleet), "--history", str(tmp_path / "h.db")]) == 4
        assert "NOT_SET_ANYWHERE" in capsys.readouterr().err
        assert len(bk.History(tmp_path / "h.db").polls()) == 1

    def test_invalid_jobs(
        self, odd: OddServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """An unknown state is a warning, and an invalid job is not counted as known."""
        odd.serve_api()
        jobs = "GET /api/appliance/recovery/backup/job"
        record = {"location": "nfs://n", "type": "MANUAL", "messages": [], "status": "QUANTUM"}
        odd.respond(jobs, b'["new", "bad"]')
        odd.respond(f"{jobs}/details", json.dumps({"new": record, "bad": 1}).encode())
        fleet = tmp_path / "odd.toml"
        fleet.write_text(
            f'[[appliance]]\nname = "vc-odd"\nhost = "{odd.host}"\nuser = "u"\n'
            f'password = {{ env = "VCSA_PASSWORD" }}\nca_bundle = "{odd.ca_bundle.name}"\n'
        )
        argv = ["collect", "--fleet", str(fleet), "--history", str(tmp_path / "h.db")]
        assert main(argv) == 0
        assert "unknown state: QUANTUM" in capsys.readouterr().err
        assert main(argv) == 0
        assert "2 jobs listed, 0 new, in" in capsys.readouterr().err

    def test_many_errors(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Of many errors 20 are printed, and the others are counted."""
        fleet = write_fleet(tmp_path, *(f"vc-{n}" for n in range(25)))
        assert main(["collect", "--fleet", str(fleet), "--history", str(tmp_path / "h.db")]) == 4
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 22
        assert "and 5 more" in lines[-1]

    def test_interrupted(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Ctrl-C exits with 130, without a traceback."""

        def interrupt(*_args: object, **_kwargs: object) -> None:
            raise KeyboardInterrupt

        fleet = write_fleet(tmp_path, "vc-1")
        monkeypatch.setattr(bk.Fleet, "load", interrupt)
        assert main(["collect", "--fleet", str(fleet), "--history", str(tmp_path / "h.db")]) == 130
        assert capsys.readouterr().err == "Stopped.\n"


@pytest.mark.parametrize("command", ["collect", "watch"])
class TestHistoryFirst:
    """The history is opened before the first poll."""

    def test_locked(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        command: str,
    ) -> None:
        """With a locked history no appliance is polled."""
        fleet, path = write_fleet(tmp_path, "vc-1"), tmp_path / "h.db"
        history = bk.History(path)
        monkeypatch.setattr("backupkit.history.databases.LOCK_TIMEOUT", 0.1)
        monkeypatch.setattr(bk, command, lambda *_, **__: pytest.fail("an appliance was polled"))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert main([command, "--fleet", str(fleet), "--history", str(path)]) == 1
        assert f"{path} cannot be written: another program has locked it" in capsys.readouterr().err
        assert history.head == ""

    def test_keep_polls(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
    ) -> None:
        """The history is opened with keep_polls of fleet.toml; a wrong value is an error."""
        fleet, history = write_fleet(tmp_path, "vc-1"), bk.History
        calls: list[dict[str, Any]] = []
        before = fleet.read_text(encoding="utf-8")

        def record(place: str, **options: Any) -> bk.History:  # noqa: ANN401 # any option
            calls.append(options)
            return history(place, **options)

        monkeypatch.setattr(bk, "History", record)
        argv = [command, "--fleet", str(fleet), "--history", str(tmp_path / "h.db")]
        for text in ('"forever"', '"30d"', '"1h"'):
            fleet.write_text(f"[history]\nkeep_polls = {text}\n{before}", encoding="utf-8")
            code = main(argv)
        assert code == 1
        assert calls == [{"keep_polls": None}, {"keep_polls": timedelta(days=30)}]


class TestFleetFile:
    """fleet.toml of a command."""

    @pytest.mark.parametrize("command", ["doctor", "collect", "watch", "report", "check"])
    def test_read_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
        """Each command reads the file once."""
        fleet, history = write_fleet(tmp_path, "vc-1"), tmp_path / "h.db"
        with fleet.open("a", encoding="utf-8") as file:
            file.write('[mail]\nhost = "127.0.0.1:1"\nsender = "a@example.com"\n')
        bk.History(history).append(_unread(fleet))
        texts: list[Path] = []
        read_text = Path.read_text

        def record(path: Path, *args: Any, **options: Any) -> str:  # noqa: ANN401 # any option
            texts.append(path)
            return read_text(path, *args, **options)

        monkeypatch.setattr(Path, "read_text", record)
        argv = [command, "--fleet", str(fleet)]
        argv += [] if command == "doctor" else ["--history", str(history)]
        if command == "report":
            argv += ["--out", str(tmp_path / "r.html"), "--mail-to", "b@example.com"]
        main(argv)
        assert texts.count(fleet) == 1


def _unread(path: Path) -> bk.Snapshot:
    """Collect from appliances whose password is missing."""
    with pytest.warns(UserWarning, match="None of 1"):
        return bk.collect(bk.Fleet.load(path))


class TestBadInput:
    """Invalid input."""

    @pytest.mark.parametrize(
        ("argv", "expected"),
        [
            ("collect --fleet none.toml --history h", ["none.toml: no such file", "--fleet"]),
            (
                "collect --fleet broken.toml --history h",
                ["broken.toml", "not valid TOML", "line 1"],
            ),
            ("collect --fleet empty.toml --history h", ["no appliance to poll", "[[appliance]]"]),
            ("collect --fleet idle.toml --history a_file", ["a_file cannot be", "not a database"]),
            ("collect --fleet idle.toml --history other", ["other is a folder", "history.db"]),
            ("report --fleet idle.toml --history none", ["holds no history yet", "collect"]),
            ("report --fleet idle.toml --history unread", ["is empty", "collect"]),
            ("report --fleet idle.toml --history polled --fail-on x", ["--fail-on", "breach"]),
            (
                "report --fleet idle.toml --history polled --last 3",
                ['"3" is not a duration', "30d"],
            ),
            (
                "report --fleet idle.toml --history polled --start now",
                ["has no time zone|not a time"],
            ),
            ("report --fleet idle.toml --history polled --last 1d --start 2026", ["exclude each"]),
            (
                "report --fleet idle.toml --history polled --out a_file/r.html",
                ["Cannot write to a_file"],
            ),
            ("report --fleet idle.toml --history polled --out other", ["other"]),
            ("demo --out a_file", ["a_file cannot be written", "--out"]),
            ("demo --out spoiled", ["story.json is damaged"]),
            ("demo --out seeded", ["demo of seed 5", "--out"]),
            ("simulate --flavour soap", ["--flavour", "api,rest"]),
            ("simulate --fault reset", ["KIND=RATE"]),
            ("simulate --fault plague=0.1", ["plague"]),
            ("simulate --host 192.0.2.1 --for 0", ["simulator cannot start"]),
        ],
    )
    def test_sentence(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        argv: str,
        expected: list[str],
    ) -> None:
        """Invalid input is an error with the thing and the next step, and changes no file."""
        monkeypatch.chdir(tmp_path)
        write_fleet(tmp_path, "vc-1")
        (tmp_path / "broken.toml").write_text("[[appliance]\n")
        (tmp_path / "empty.toml").write_text("")
        (tmp_path / "a_file").write_text("precious")
        for name, content in (("other", "x"), ("spoiled", "{"), ("seeded", "")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "story.json").write_text(content)
        story = {"seed": 5, "epoch": EPOCH.isoformat()}
        (tmp_path / "seeded" / "story.json").write_text(json.dumps(story))
        bk.History(tmp_path / "unread")
        bk.History(tmp_path / "polled").append(_unread(Path("idle.toml")))

        assert main(argv.split()) == 1
        streams = capsys.readouterr()
        assert streams.out == ""
        assert streams.err.startswith("backupkit: ")
        assert "Traceback" not in streams.err
        for piece in expected:
            assert any(choice in streams.err for choice in piece.split("|")), streams.err
        assert (tmp_path / "a_file").read_text() == "precious"

    def test_port_in_use(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A port in use is an error."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            assert main(["simulate", "--port", str(port), "--appliances", "1", "--for", "0"]) == 1
        assert "in use" in capsys.readouterr().err


class TestReport:
    """backupkit report, and backupkit check of the same history."""

    @pytest.fixture
    def stored(self, live_demo: Simulated, tmp_path: Path) -> list[str]:
        """Collect the demo; return the options with its fleet and history."""
        options = ["--fleet", str(live_demo.path), "--history", str(tmp_path / "history.db")]
        assert main(["collect", *options]) == 3
        return options

    def test_files(
        self, stored: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The report and three data files are written; stdout has verdict and path."""
        out = tmp_path / "r" / "report.html"
        out.parent.mkdir()
        capsys.readouterr()
        assert main(["report", *stored, "--out", str(out)]) == 0
        verdict, path = capsys.readouterr().out.splitlines()
        assert verdict.startswith("BREACH: 3 of 10 in scope breach their RPO")
        assert path == f"Report: {out}"
        assert sorted(file.name for file in out.parent.iterdir()) == [
            "report.csv",
            "report.html",
            "report.jobs.csv",
            "report.json",
        ]

    def test_json(
        self, stored: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """--json prints verdict and files."""
        capsys.readouterr()
        argv = ["report", *stored, "--out", str(tmp_path / "r.html"), "--json", "--last", "7d"]
        assert main(argv) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["verdict"] == "breach"
        assert result["files"][0] == str(tmp_path / "r.html")

    def test_check_breach(self, stored: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """Check prints one line with counts and exits with 2 on a breach."""
        capsys.readouterr()
        assert main(["check", *stored]) == 2
        [line] = capsys.readouterr().out.splitlines()
        assert line.startswith("CRITICAL: 3 of 10 in scope breach their RPO")
        assert "(vc-tyo-02, vc-nyc-03, vc-ham-03, vc-tyo-03)" in line
        performance = "breach=3;;0;0;10 unknown=1;;0;0;10 compliant=6;;;0;10 excluded=2;;;0"
        assert line.partition(" | ")[2].startswith(performance)

    def test_check_json(self, stored: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """Check --json prints the same result."""
        capsys.readouterr()
        assert main(["check", *stored, "--json"]) == 2
        result = json.loads(capsys.readouterr().out)
        assert (result["status"], result["code"], result["breach"]) == ("CRITICAL", 2, 3)


class TestCheck:
    """backupkit check: the exit codes of monitoring plug-ins."""

    def test_compliant(
        self, demo: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A compliant fleet is OK, with exit code 0."""
        history = bk.History(tmp_path / "history.db")
        fleet = tmp_path / "one.toml"
        fleet.write_text(
            f'[[appliance]]\nname = "vc-ham-01"\nhost = "{demo.fleet["vc-ham-01"].host}"\n'
            'user = "u"\npassword = { env = "X" }\n[policy]\nrpo = "5200w"\ntarget = 0.01\n'
        )
        history.append(bk.collect([demo.fleet["vc-ham-01"]]))
        assert (
            main(["check", "--fleet", str(fleet), "--history", str(tmp_path / "history.db")]) == 0
        )
        line = capsys.readouterr().out
        assert line.startswith("OK: ")
        assert "(vc-" not in line

    def test_error(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An error is UNKNOWN on stdout, with exit code 3."""
        fleet = write_fleet(tmp_path, "vc-1")
        assert main(["check", "--fleet", str(fleet), "--history", str(tmp_path / "none")]) == 3
        assert capsys.readouterr().out.startswith("UNKNOWN: ")

    def test_none_read(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A fleet without data is UNKNOWN."""
        fleet = write_fleet(tmp_path, "vc-1")
        options = ["--fleet", str(fleet), "--history", str(tmp_path / "h.db")]
        main(["collect", *options])
        capsys.readouterr()
        assert main(["check", *options]) == 3
        assert capsys.readouterr().out.startswith("UNKNOWN: ")


class TestMetrics:
    """backupkit metrics."""

    def test_written(
        self, demo: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Stdout has the verdict and the path of the file."""
        history, out = tmp_path / "history.db", tmp_path / "backupkit.prom"
        bk.History(history).append(bk.collect([demo.fleet["vc-ham-01"]]))
        fleet = ["--fleet", str(write_fleet(tmp_path, "vc-ham-01"))]
        assert main(["metrics", *fleet, "--history", str(history), "--out", str(out)]) == 0
        verdict, location = capsys.readouterr().out.splitlines()
        assert re.match("OK|BREACH|UNKNOWN", verdict)
        assert location == f"Metrics: {out}"
        assert 'backupkit_verdict{state="' in out.read_text(encoding="utf-8")


class TestDemo:
    """backupkit demo."""

    def test_twice(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The first run prints verdict and path, the second collects only new jobs."""
        argv = ["demo", "--out", str(tmp_path / "demo")]
        assert main(argv) == 0
        first = capsys.readouterr()
        verdict, path = first.out.splitlines()
        assert verdict.startswith("BREACH: ")
        assert Path(path.removeprefix("Report: ")).stat().st_size > 10_000
        assert re.search(r" [78]\d\d new", first.err)  # depends on the date
        assert main(argv) == 0
        assert " 0 new" in capsys.readouterr().err


class TestSimulate:
    """backupkit simulate."""

    def test_writes_a_fleet(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Stdout has the addresses, and the fleet file, too."""
        path = tmp_path / "f.toml"
        argv = ["simulate", "--appliances", "2", "--jobs", "3", "--flavour", "rest"]
        argv += ["--fault", "reset=0.1", "--for", "0.01", "--write-fleet", str(path)]
        assert main(argv) == 0
        printed = capsys.readouterr().out.splitlines()
        assert printed == [f"{a.name}\thttps://{a.host}" for a in bk.Fleet.load(path)]

    def test_without_a_fleet_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without --write-fleet only the addresses are printed."""
        assert main(["simulate", "--appliances", "1", "--jobs", "1", "--for", "0"]) == 0
        assert capsys.readouterr().out.startswith("vc-0001\thttps://127.0.0.1:")

    def test_interrupted(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Ctrl-C ends the simulator without a traceback."""

        def interrupted(_seconds: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("backupkit.cli.commands.simulate.time.sleep", interrupted)
        assert main(["simulate", "--appliances", "1", "--jobs", "1", "--for", "9"]) == 0
        assert capsys.readouterr().err.endswith("Stopped.\n")

    def test_process(self, tmp_path: Path) -> None:
        """A process can be polled, and Ctrl-C ends it."""
        path = tmp_path / "f.toml"
        argv = [str(COMMAND), "simulate", "--appliances", "3", "--jobs", "4"]
        with subprocess.Popen(
            [*argv, "--write-fleet", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert len([process.stdout.readline() for _ in range(3)]) == 3
            snapshot = bk.collect(bk.Fleet.load(path))
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)
        assert process.returncode == 0
        assert err.endswith("Stopped.\n")
        assert len(snapshot.jobs) == 12
