"""backupkit doctor: output and exit codes."""

import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from backupkit.cli.commands.doctor import doctor
from backupkit.errors import SettingsError
from backupkit.simulator import Scenario
from backupkit.simulator.appliance import PASSWORD
from tests.conftest import EPOCH, OddServer, Simulated, simulated

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.command()(doctor)


def run(*argv: str) -> int:
    """Run the command."""
    return app(args=list(argv), standalone_mode=False) or 0


def idle(folder: Path, *names: str) -> str:
    """Write a fleet.toml of appliances on a closed port."""
    path = folder / "idle.toml"
    path.write_text(
        "".join(
            f'[[appliance]]\nname = {json.dumps(name)}\nhost = "127.0.0.1:1"\nuser = "u"\n'
            'password = { env = "NOT_SET_ANYWHERE" }\n'
            for name in names
        ),
        encoding="utf-8",
    )
    return str(path)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Callable[..., io.TextIOWrapper]:
    """Return a function that replaces stdout."""

    def replace(*, encoding: str = "utf-8", terminal: bool = False) -> io.TextIOWrapper:
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(stream, "isatty", lambda: terminal)
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    return replace


def read(stream: io.TextIOWrapper) -> list[str]:
    """Return the lines that were printed."""
    stream.flush()
    stream.seek(0)
    return stream.read().splitlines()


class TestText:
    """Text output."""

    def test_demo(self, live_demo: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
        """A healthy appliance has a line, any other its checks; the last line is the summary."""
        assert run("--fleet", str(live_demo.path)) == 3
        streams = capsys.readouterr()
        assert streams.err == ""
        lines = streams.out.splitlines()
        assert lines[0] == "✓ vc-ham-01  ok: 8.0.3.00400, 90 jobs"
        assert lines[3:6] == [
            "✓ vc-ham-04  ok: 9.0.0.0100, 91 jobs",
            "",
            "! vc-nyc-01  warning: time zone",
        ]
        at = lines.index("! vc-nyc-03  warning: schedule")
        assert lines[at - 3 : at] == ["", "✓ vc-nyc-02  ok: 6.7.0.52000, 88 jobs", ""]
        at = lines.index("✗ vc-tyo-03  failed: connection")
        host = live_demo.fleet["vc-tyo-03"].host
        secret = live_demo.path.with_suffix(".password")
        skipped = "certificate, log-in, job list, job details, schedule, version, clock, time zone"
        advice = "Check the address and the port, and whether the appliance is on."
        assert lines[at + 1 : at + 6] == [
            "  ✓ ok       address      127.0.0.1",
            f"  ✗ failed   connection   {host} refused the connection: no service listens there",
            f"  ✓ ok       secret       password in the file {secret}",
            f"  - skipped  {skipped}, SSO domain",
            "",
        ]
        assert lines.count("What to do:") == 1
        at = lines.index("What to do:")
        assert lines[at + 1 : at + 3] == ["  connection: vc-tyo-03", f"    > {advice}"]
        said = [line for line in lines if line.startswith("    > ")]
        assert len(said) == len(set(said)) >= 3
        assert lines[-1] == (
            "6 of 12 appliances are fine; 5 with a warning: vc-nyc-01, vc-nyc-03, vc-nyc-04, "
            "vc-tyo-01, vc-tyo-04; 1 failed: vc-tyo-03"
        )
        assert PASSWORD not in streams.out

    def test_all_fine(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a problem the exit code is 0."""
        scenario = Scenario.steady(appliances=2, jobs=3, seed=1, epoch=EPOCH)
        with simulated(scenario, tmp_path, clock=None) as running:
            assert run("--fleet", str(running.path)) == 0
        first, second, gap, last = capsys.readouterr().out.splitlines()
        assert first.startswith("✓ vc-0001  ok: 8.0.3.00400, ")
        assert second.startswith("✓ vc-0002  ok: 6.7.0.52000, ")
        assert gap == ""
        assert last == "2 of 2 appliances are fine"

    def test_warnings(self, live_demo: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
        """With warnings the exit code is 0; only the named appliance is checked."""
        live_demo.appliances.clear_requests()
        assert run("--fleet", str(live_demo.path), "vc-tyo-01") == 0
        assert {request.appliance for request in live_demo.appliances.requests} == {"vc-tyo-01"}
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "! vc-tyo-01  warning: clock"
        assert lines[-1] == "0 of 1 appliance is fine; 1 with a warning: vc-tyo-01"

    def test_every_check(self, live_demo: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
        """--all prints each check of each appliance."""
        assert run("--fleet", str(live_demo.path), "vc-tyo-03", "vc-ham-01", "--all") == 3
        out = capsys.readouterr().out
        lines = out.splitlines()
        assert lines[:2] == [
            "✓ vc-ham-01  ok: 8.0.3.00400, 90 jobs",
            "  ✓ ok       address      127.0.0.1",
        ]
        assert "  - skipped  time zone    needs the connection" in lines
        assert len([line for line in lines if line.startswith("  ")]) == 2 * 12 + 2
        assert lines[-1] == "1 of 2 appliances is fine; 1 failed: vc-tyo-03"
        assert "\n\n\n" not in out

    def test_all_failed(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """If all appliances fail, the exit code is 4, and the summary names the first five."""
        assert run("--fleet", idle(tmp_path, *(f"vc-{n}" for n in range(7)))) == 4
        assert capsys.readouterr().out.splitlines()[-1] == (
            "0 of 7 appliances are fine; 7 failed: vc-0, vc-1, vc-2, vc-3, vc-4 and 2 more"
        )

    def test_both(self, odd: OddServer, capsys: pytest.CaptureFixture[str]) -> None:
        """An appliance with failures and warnings has both in its line."""
        odd.serve_api()
        odd.respond("GET /api/appliance/system/version", b"")
        path = odd.ca_bundle.with_name("odd.toml")
        path.write_text(
            f'[[appliance]]\nname = "vc-odd"\nhost = "{odd.host}"\nuser = "u"\n'
            f'password = {{ env = "VCSA_PASSWORD" }}\nca_bundle = "{odd.ca_bundle.name}"\n'
        )
        assert run("--fleet", str(path)) == 4
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "✗ vc-odd  failed: version; warning: job list, schedule"

    def test_disabled_by_name(
        self, live_demo: Simulated, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A disabled appliance is checked if it is named."""
        text = live_demo.path.read_text(encoding="utf-8")
        name = 'name = "vc-ham-01"\n'
        live_demo.path.write_text(text.replace(name, f"{name}enabled = false\n"), "utf-8")
        assert run("--fleet", str(live_demo.path), "vc-ham-01") == 0
        assert "1 of 1 appliance is fine" in capsys.readouterr().out

    def test_names_are_untrusted(self, tmp_path: Path) -> None:
        """A name with control characters is refused, and the error has none of them."""
        with pytest.raises(SettingsError, match="name: the text has a control char") as caught:
            run("--fleet", idle(tmp_path, "vc\x1b[2J"))
        assert "\x1b" not in str(caught.value)

    def test_advice_for_many(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Advice that differs only in name and address is one, without them."""
        scenario = Scenario.steady(appliances=3, jobs=3, seed=1, epoch=EPOCH)
        with simulated(scenario, tmp_path, clock=None) as running:
            text = running.path.read_text(encoding="utf-8")
            shifted = re.sub(r'(name = "vc-\d+"\n)', r'\1timezone = "Asia/Tokyo"\n', text)
            running.path.write_text(shifted, encoding="utf-8")
            assert run("--fleet", str(running.path)) == 0
        lines = capsys.readouterr().out.splitlines()
        at = lines.index("  time zone: vc-0001, vc-0002")
        assert "Correct timezone for APPLIANCE in fleet.toml" in lines[at + 1]
        assert "https://APPLIANCE:5480" in lines[at + 1]


class TestStreams:
    """Terminals and other streams."""

    def test_ascii(self, tmp_path: Path, streams: Callable[..., io.TextIOWrapper]) -> None:
        """A stdout without Unicode gets ASCII symbols."""
        stdout = streams(encoding="ascii")
        assert run("--fleet", idle(tmp_path, "vc-köln")) == 4
        lines = read(stdout)
        assert lines[0] == "x vc-k?ln  failed: connection, secret"
        assert lines[1].startswith("  + ok       address ")
        assert lines[4].startswith("  - skipped  certificate, ")

    def test_terminal(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        streams: Callable[..., io.TextIOWrapper],
    ) -> None:
        """On a terminal long lines are wrapped with an indent."""
        monkeypatch.setattr("shutil.get_terminal_size", lambda **_: os.terminal_size((70, 24)))
        stdout = streams(terminal=True)
        assert run("--fleet", idle(tmp_path, "vc-1")) == 4
        lines = read(stdout)
        assert lines[2:4] == [
            "  ✗ failed   connection   127.0.0.1:1 refused the connection: no",
            "                          service listens there",
        ]
        at = lines.index("What to do:")
        assert lines[at + 1 : at + 3] == [
            "  connection: vc-1",
            "    > Check the address and the port, and whether the appliance is on.",
        ]

    def test_advice_once(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """One piece of advice is printed once, with the appliances that it concerns."""
        assert run("--fleet", idle(tmp_path, *(f"vc-{n:02}" for n in range(25)))) == 4
        lines = capsys.readouterr().out.splitlines()
        names = ", ".join(f"vc-{n:02}" for n in range(20))
        at = lines.index(f"  connection: {names} and 5 more")
        assert lines[at + 1].startswith("    > Check the address and the port")
        assert sum("Check the address and the port" in line for line in lines) == 1


class TestJson:
    """JSON output."""

    def test_records(self, live_demo: Simulated, capsys: pytest.CaptureFixture[str]) -> None:
        """--json prints a record for each check."""
        assert run("--fleet", str(live_demo.path), "vc-ham-01", "vc-tyo-03", "--json") == 3
        records = json.loads(capsys.readouterr().out)
        assert len(records) == 24
        assert records[0].pop("elapsed") >= 0
        assert records[0] == {
            "appliance": "vc-ham-01",
            "check": "address",
            "result": "ok",
            "found": "127.0.0.1",
            "advice": None,
        }
        assert [row["check"] for row in records if row["result"] == "failed"] == ["connection"]


class TestBadInput:
    """Invalid input."""

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (["vc-33"], 'idle.toml: no appliance is named "vc-33"; did you mean "vc-3"?'),
            (["vc-1", "x"], 'named "x"; there are vc-0, vc-1, vc-2, vc-3, vc-4 and 1 more.'),
        ],
    )
    def test_unknown_name(self, tmp_path: Path, names: list[str], expected: str) -> None:
        """An unknown name is an error with a suggestion or the known names."""
        fleet = idle(tmp_path, *(f"vc-{n}" for n in range(6)))
        with pytest.raises(SettingsError) as caught:
            run("--fleet", fleet, *names)
        assert expected in str(caught.value)

    def test_empty_fleet(self, tmp_path: Path) -> None:
        """A fleet without appliances is an error that says how to add one."""
        with pytest.raises(SettingsError, match=r"no appliance to check; add one as \[\[appliance"):
            run("--fleet", idle(tmp_path))

    def test_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The help names every option."""
        assert run("--help") == 0
        out = capsys.readouterr().out
        assert all(word in out for word in ("--fleet", "--all", "--json", "[NAME]...", "Exit code"))
