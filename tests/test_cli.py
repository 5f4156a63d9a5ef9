"""The command line: arguments, files, streams and exit codes."""

import contextlib
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import html5lib
import pytest

import backupkit as bk
from backupkit.cli import COMMANDS, main
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


class Output(NamedTuple):
    """The exit code and the streams of a command."""

    code: int
    out: str
    err: str


Run = Callable[..., Output]


def find_free_ports(count: int) -> int:
    """Return the first of some successive ports that are free."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            first = 0
            for offset in range(count):
                place = ("127.0.0.1", first + offset if first else 0)
                taken = stack.enter_context(socket.create_server(place))
                first = first or taken.getsockname()[1]
            return first


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command in this process."""

    def run_command(*argv: object) -> Output:
        capsys.readouterr()
        code = main([str(argument) for argument in argv])
        return Output(code, *capsys.readouterr())

    return run_command


class TestHelp:
    """Help and version."""

    def test_version(self, run: Run) -> None:
        """--version prints the package's version."""
        assert run("--version") == (0, f"backupkit {bk.__version__}\n", "")

    def test_no_arguments(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without arguments the help is printed."""
        monkeypatch.setattr(sys, "argv", ["backupkit"])
        assert main() == 0
        assert "collect" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "name",
        [
            "demo",
            "init",
            "discover",
            "doctor",
            "collect",
            "report",
            "open",
            "check",
            "alert",
            "kit",
            "simulate",
        ],
    )
    def test_every_command(self, run: Run, name: str) -> None:
        """Each command and each option has a help text."""
        code, out, _ = run(name, "--help")
        lines = out.splitlines()
        assert code == 0
        options = [line.split() for line in lines if line.strip().startswith("--")]
        assert len(lines[2]) > 20
        assert all(len(words) > 3 for words in options)

    def test_each_command_is_documented(self) -> None:
        """The page of the commands has each of them."""
        page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
        assert [name for name in COMMANDS if f"backupkit {name}" not in page] == []

    @pytest.mark.parametrize("argv", [["metrics"], ["dance"], ["report", "--wings"]])
    def test_wrong_use(self, run: Run, argv: list[str]) -> None:
        """Wrong use exits with 2 and names --help."""
        code, _, err = run(*argv)
        assert code == 2
        assert "--help" in err

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

    def test_some_not_read(self, live_demo: Simulated, tmp_path: Path, run: Run) -> None:
        """Unread appliances: exit 3, in the report with the reason, and not compliant."""
        live_demo.appliances.stop("vc-ham-01")
        live_demo.appliances.set_password("vc-ham-02", "another")
        history, out = tmp_path / "history.db", tmp_path / "report.html"
        options = ("--fleet", live_demo.path, "--history", history)
        collected = run("collect", *options)
        assert (collected.code, collected.out) == (3, "")
        assert "Read 9 of 12 appliances" in collected.err
        assert "login failed (401)" in collected.err

        assert run("report", *options, "--out", out, "--fail-on", "breach,unknown").code == 5
        page = html5lib.parse(out.read_text(encoding="utf-8"), namespaceHTMLElements=False)
        [unread] = [part for part in page.iter("section") if part.get("id") == "unread"]
        text = " ".join("".join(unread.itertext()).split())
        for name, reason in (("vc-ham-01", "refused the connection"), ("vc-ham-02", "password")):
            assert name in text
            assert reason in text

        a = bk.evaluate(bk.History(history), bk.Policy.load(live_demo.path))
        assert set(a.appliances.loc[["vc-ham-01", "vc-ham-02"], "state"]) == {"unknown"}
        assert len(a.jobs[a.jobs["appliance"] == "vc-nyc-02"]) > 80

    def test_second_collection(self, live_demo: Simulated, tmp_path: Path, run: Run) -> None:
        """A second collection requests no finished job again, and says so."""
        argv = ("collect", "--fleet", live_demo.path, "--history", tmp_path / "h.db")
        run(*argv)
        err = run(*argv).err
        assert re.search(r" 0 new, .*[78]\d\d known and not read again", err)

    def test_all_read(self, tmp_path: Path, run: Run) -> None:
        """All read is exit 0; --json prints the result of the collection."""
        scenario = Scenario.steady(appliances=2, jobs=3, seed=1, epoch=EPOCH)
        with simulated(scenario, tmp_path) as fleet:
            options = ("--fleet", fleet.path, "--history", tmp_path / "h.db", "--json")
            code, out, _ = run("collect", *options)
        result = json.loads(out)
        assert code == 0
        assert result["read"] == result["polled"] == 2
        assert result["observations_added"] == 6
        assert result["errors"] == []
        assert result["polls"][0]["clock_skew"] < 0

    def test_none_read(self, tmp_path: Path, run: Run) -> None:
        """None read is exit 4, and the failed poll is stored."""
        fleet = write_fleet(tmp_path, "vc-1")
        code, _, err = run("collect", "--fleet", fleet, "--history", tmp_path / "h.db")
        assert code == 4
        assert "NOT_SET_ANYWHERE" in err
        assert len(bk.History(tmp_path / "h.db").polls()) == 1

    def test_invalid_jobs(self, odd: OddServer, tmp_path: Path, run: Run) -> None:
        """An unknown state is a warning; an unread job is named each time, with exit code 3."""
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
        argv = ("collect", "--fleet", fleet, "--history", tmp_path / "h.db")
        unread = "  vc-odd: job bad could not be read: the record is a number. Collect again."
        for state, counts in (
            ("unknown state: QUANTUM", "2 new, 1 could not be read, in"),
            ("", "0 new, 1 could not be read, in"),
        ):
            code, _, err = run(*argv)
            assert code == 3
            assert f"Read 0 of 1 appliances and 1 in part: 2 jobs listed, {counts}" in err
            assert unread in err
            assert state in err

    def test_many_errors(self, tmp_path: Path, run: Run) -> None:
        """Of many errors 20 are printed, and the others are counted."""
        fleet = write_fleet(tmp_path, *(f"vc-{n}" for n in range(25)))
        code, _, err = run("collect", "--fleet", fleet, "--history", tmp_path / "h.db")
        lines = err.splitlines()
        assert (code, len(lines)) == (4, 22)
        assert "and 5 more" in lines[-1]

    def test_interrupted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
        """Ctrl-C exits with 130, without a traceback."""

        def interrupt(*_args: object, **_kwargs: object) -> None:
            raise KeyboardInterrupt

        fleet = write_fleet(tmp_path, "vc-1")
        monkeypatch.setattr(bk.Fleet, "load", interrupt)
        argv = ("collect", "--fleet", fleet, "--history", tmp_path / "h.db")
        assert run(*argv) == (130, "", "Stopped.\n")


@pytest.mark.parametrize("command", ["collect", "watch"])
class TestHistoryFirst:
    """The history is opened before the first poll."""

    def test_locked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, command: str
    ) -> None:
        """With a locked history no appliance is polled."""
        fleet, path = write_fleet(tmp_path, "vc-1"), tmp_path / "h.db"
        history = bk.History(path)
        monkeypatch.setattr("backupkit.history.databases.LOCK_TIMEOUT", 0.1)
        monkeypatch.setattr(bk, command, lambda *_, **__: pytest.fail("an appliance was polled"))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            code, _, err = run(command, "--fleet", fleet, "--history", path)
        assert code == 1
        assert f"{path} cannot be written: another program has locked it" in err
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
        read: list[Path] = []
        read_bytes = Path.read_bytes

        def record(path: Path) -> bytes:
            read.append(path)
            return read_bytes(path)

        monkeypatch.setattr(Path, "read_bytes", record)
        argv = [command, "--fleet", str(fleet)]
        argv += [] if command == "doctor" else ["--history", str(history)]
        if command == "report":
            argv += ["--out", str(tmp_path / "r.html"), "--mail-to", "b@example.com"]
        main(argv)
        assert read.count(fleet) == 1


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
            (
                "simulate --appliances 1 --jobs 1 --for 0 --write-fleet none/fleet.toml",
                ["none/fleet.toml cannot be written: No such file", "another --write-fleet"],
            ),
        ],
    )
    def test_sentence(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        run: Run,
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

        code, out, err = run(*argv.split())
        assert (code, out) == (1, "")
        assert err.startswith("backupkit: ")
        assert "Traceback" not in err
        for piece in expected:
            assert any(choice in err for choice in piece.split("|")), err
        assert (tmp_path / "a_file").read_text() == "precious"

    def test_port_in_use(self, run: Run) -> None:
        """A port in use is an error."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            code, _, err = run("simulate", "--port", port, "--appliances", 1, "--for", 0)
        assert code == 1
        assert "in use" in err


class TestReport:
    """backupkit report, and backupkit check of the same history."""

    @pytest.fixture
    def options(self, live_demo: Simulated, tmp_path: Path, run: Run) -> tuple[object, ...]:
        """Collect the demo; return the options with its fleet and history."""
        options = ("--fleet", live_demo.path, "--history", tmp_path / "history.db")
        assert run("collect", *options).code == 3
        return options

    def test_report(self, options: tuple[object, ...], tmp_path: Path, run: Run) -> None:
        """The report and three data files are written; stdout has verdict and path, or JSON."""
        out = tmp_path / "r" / "report.html"
        out.parent.mkdir()
        code, printed, _ = run("report", *options, "--out", out)
        heading, period, now, path = printed.splitlines()
        assert (code, path) == (0, f"Report: {out}")
        assert heading == "TARGET MISSED, BREACH 3 of 10 now"
        assert period.startswith("  target missed: ")
        assert now.startswith("  now: 3 of 10 in scope breach their RPO")
        assert sorted(file.name for file in out.parent.iterdir()) == [
            "report.appliances.csv",
            "report.csv",
            "report.days.csv",
            "report.html",
            "report.jobs.csv",
            "report.json",
            "report.trend.csv",
            "report.verdicts.csv",
        ]
        code, printed, _ = run("report", *options, "--out", out, "--json", "--last", "7d")
        result = json.loads(printed)
        assert (code, result["verdict"], result["files"][0]) == (0, "breach", str(out))

    def test_check(self, options: tuple[object, ...], run: Run) -> None:
        """`check` prints a line with counts, or JSON, and exits with 2 on a breach."""
        code, out, _ = run("check", *options)
        [line] = out.splitlines()
        assert code == 2
        assert line.startswith("CRITICAL: 3 of 10 in scope breach their RPO")
        assert "(vc-tyo-02, vc-nyc-03, vc-ham-03, vc-tyo-03)" in line
        performance = "breach=3;;0;0;10 unknown=1;;0;0;10 compliant=6;;;0;10 excluded=2;;;0"
        assert line.partition(" | ")[2].startswith(performance)
        earlier = run("check", *options, "--as-of", "2020-01-01T00:00:00Z")
        assert earlier.code == 3  # nothing was known then
        code, out, _ = run("check", *options, "--json")
        result = json.loads(out)
        assert (code, result["status"], result["code"]) == (2, "CRITICAL", 2)
        assert result["breach"] == 3
        assert [row["appliance"] for row in result["breaches"]] == [
            *("vc-tyo-02", "vc-nyc-03", "vc-ham-03")
        ]


class TestCheck:
    """backupkit check: the exit codes of monitoring plug-ins."""

    def test_compliant(self, demo: Simulated, tmp_path: Path, run: Run) -> None:
        """A compliant fleet is OK, with exit code 0."""
        fleet, history = tmp_path / "one.toml", tmp_path / "history.db"
        fleet.write_text(
            f'[[appliance]]\nname = "vc-ham-01"\nhost = "{demo.fleet["vc-ham-01"].host}"\n'
            'user = "u"\npassword = { env = "X" }\n[policy]\nrpo = "5200w"\ntarget = 0.01\n'
        )
        bk.History(history).append(bk.collect([demo.fleet["vc-ham-01"]]))
        code, line, _ = run("check", "--fleet", fleet, "--history", history)
        assert code == 0
        assert line.startswith("OK: ")
        assert "(vc-" not in line

    def test_unknown(self, tmp_path: Path, run: Run) -> None:
        """An error, or a fleet without data, is UNKNOWN on stdout, with exit code 3."""
        options = ("--fleet", write_fleet(tmp_path, "vc-1"), "--history", tmp_path / "h.db")
        missing = run("check", *options)
        run("collect", *options)
        for code, out, _ in (missing, run("check", *options)):
            assert code == 3
            assert out.startswith("UNKNOWN: ")


class TestMetrics:
    """backupkit metrics."""

    def test_written(self, demo: Simulated, tmp_path: Path, run: Run) -> None:
        """Stdout has the verdict and the path of the file."""
        history, out = tmp_path / "history.db", tmp_path / "backupkit.prom"
        bk.History(history).append(bk.collect([demo.fleet["vc-ham-01"]]))
        fleet = write_fleet(tmp_path, "vc-ham-01")
        code, printed, _ = run("metrics", "--fleet", fleet, "--history", history, "--out", out)
        heading, _, _, location = printed.splitlines()
        assert re.match("TARGET (MET|MISSED|UNKNOWN), (OK|BREACH|UNKNOWN)", heading)
        assert (code, location) == (0, f"Metrics: {out}")
        assert 'backupkit_verdict{state="' in out.read_text(encoding="utf-8")


class TestDemo:
    """backupkit demo."""

    def test_twice(self, tmp_path: Path, run: Run) -> None:
        """The first run prints verdict and path, the second collects only new jobs."""
        argv = ("demo", "--out", tmp_path / "demo")
        first, second = run(*argv), run(*argv)
        assert (first.code, second.code) == (0, 0)
        heading, _, _, path = first.out.splitlines()
        assert heading.startswith("TARGET MISSED, BREACH ")
        assert Path(path.removeprefix("Report: ")).stat().st_size > 10_000
        assert re.search(r" [78]\d\d new", first.err)  # depends on the date
        assert " 0 new" in second.err


class TestSimulate:
    """backupkit simulate."""

    def test_writes_a_fleet(self, tmp_path: Path, run: Run) -> None:
        """Stdout has the addresses, and the fleet file, too."""
        path = tmp_path / "f.toml"
        argv = "simulate --appliances 2 --jobs 3 --flavour rest --fault reset=0.1 --for 0.01"
        code, out, _ = run(*argv.split(), "--write-fleet", path)
        assert code == 0
        assert out.splitlines() == [f"{a.name}\thttps://{a.host}" for a in bk.Fleet.load(path)]

    def test_without_a_fleet_file(self, run: Run) -> None:
        """Without --write-fleet only the addresses are printed."""
        code, out, _ = run("simulate", "--appliances", 1, "--jobs", 1, "--for", 0)
        assert code == 0
        assert out.startswith("vc-0001\thttps://127.0.0.1:")

    def test_interrupted(self, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
        """Ctrl-C ends the simulator without a traceback."""

        def interrupted(_seconds: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("backupkit.cli.commands.simulate.time.sleep", interrupted)
        code, _, err = run("simulate", "--appliances", 1, "--jobs", 1, "--for", 9)
        assert code == 0
        assert err.endswith("Stopped.\n")

    @pytest.mark.parametrize(
        "call",
        [
            "from backupkit.cli import main; sys.exit(main(['simulate']))",
            "from backupkit.cli import main; sys.exit(main(['demo']))",
            "import backupkit as bk; bk.simulator.SimulatedFleet",
        ],
    )
    def test_without_trustme(self, tmp_path: Path, call: str) -> None:
        """Without trustme the error names the command which installs it, and nothing is written."""
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.modules['trustme'] = None; {call}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].endswith(
            'The simulator needs trustme. Install it with: pip install "backupkit[demo]"'
        )
        assert ("Traceback" in done.stderr) == ("SimulatedFleet" in call)
        assert not list(tmp_path.iterdir())

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

    def test_identity_provider(self, tmp_path: Path) -> None:
        """A process serves an identity provider, and another one collects with its tokens."""
        path, history = tmp_path / "f.toml", tmp_path / "history.db"
        argv = [str(COMMAND), "simulate", "--appliances", "3", "--jobs", "4"]
        argv += ["--identity-provider", "--write-fleet", str(path)]
        collect = [str(COMMAND), "collect", "--fleet", str(path), "--history", str(history)]
        with subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                assert len([process.stdout.readline() for _ in range(3)]) == 3
                found = bk.Fleet.load(path)["vc-0001"]
                collected = subprocess.run(
                    collect, capture_output=True, text=True, timeout=60, check=False
                )
                by_password = path.read_text().replace("oauth = ", 'user = "u@v"\n# ')
                secret = 'password = { file = "f.secret" }\nca_bundle = "f.ca.pem"'
                other = tmp_path / "other.toml"
                other.write_text(by_password.replace('\nca_bundle = "f.ca.pem"', f"\n{secret}"))
                collect[3] = str(other)
                refused = subprocess.run(
                    collect, capture_output=True, text=True, timeout=60, check=False
                )
            finally:
                process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)
        assert found.provider is not None
        assert err.splitlines()[1:5] == [
            f"Token endpoint: {found.provider.url}",
            "Client id:      backupkit",
            f"Client secret:  in {tmp_path / 'f.secret'}",
            f"In {path}: oauth = {{ ... }} has these. The appliances refuse passwords.",
        ]
        assert found.provider.path == "/acs/t/CUSTOMER/token"
        assert (collected.returncode, "Read 3 of 3 appliances: 12 jobs" in collected.stderr) == (
            0,
            True,
        )
        assert refused.returncode == 4
        assert "login failed (401)" in refused.stderr
        assert len(bk.History(history).jobs()) == 12

    def test_identity_provider_port(self, run: Run, tmp_path: Path) -> None:
        """With --port, the identity provider has the port after those of the appliances."""
        port = find_free_ports(3)
        options = ["--appliances", 2, "--jobs", 1, "--for", 0, "--port", port]
        fleet = tmp_path / "f.toml"
        code, _, _ = run("simulate", *options, "--identity-provider", "--write-fleet", fleet)
        assert code == 0
        provider = bk.Fleet.load(fleet)["vc-0001"].provider
        assert provider is not None
        assert provider.host == f"127.0.0.1:{port + 2}"

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ([], "--identity-provider needs --write-fleet"),
            (["--write-fleet", "f.toml", "--flavour", "api,rest"], "rest is before 7.0 Update 2"),
        ],
    )
    def test_identity_provider_needs(
        self, run: Run, options: list[str], problem: str, tmp_path: Path
    ) -> None:
        """Options that an identity provider cannot go with are an error."""
        code, _, err = run("simulate", "--identity-provider", "--for", 0, *options)
        assert code == 1
        assert problem in err
        assert list(tmp_path.iterdir()) == []
