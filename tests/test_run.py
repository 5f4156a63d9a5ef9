"""backupkit run: all steps, their lines, and the exit code."""

import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

import backupkit as bk
from backupkit.cli import main
from backupkit.cli.run_settings import RunSettings
from backupkit.errors import SettingsError
from backupkit.settings import read_toml
from backupkit.simulator import Scenario
from tests.conftest import OddServer, Simulated, simulated
from tests.receiver import Receiver
from tests.smtp import USER, Mailbox, serving


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """Run an appliance with the clock of the machine."""
    scenario = Scenario.steady(appliances=1, jobs=3, epoch=datetime.now(UTC), flavours=("api",))
    with simulated(scenario, tmp_path_factory.mktemp("live"), clock=None) as running:
        yield running


class Output(NamedTuple):
    """Exit code of a run, and the line of each step."""

    code: int
    lines: dict[str, str]


Run = Callable[..., Output]


@pytest.fixture
def run(
    live: Simulated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Return a function that runs the command with additions to fleet.toml."""
    for path in live.path.parent.iterdir():
        shutil.copy(path, tmp_path)
    fleet = tmp_path / "fleet.toml"
    text = fleet.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def run_command(added: str, *argv: object, poll: bool = True) -> Output:
        own = text if poll else '[policy]\nrpo = "24h"\n'
        fleet.write_text(f"{own}\n{added}\n", encoding="utf-8")
        capsys.readouterr()
        code = main(["run", *map(str, argv)])
        lines = capsys.readouterr().out.splitlines()
        return Output(code, dict(line.split(": ", 1) for line in lines))

    return run_command


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """Run a mail server."""
    with serving(trustme.CA()) as serve:
        yield serve("none")


def mail_table(port: int) -> str:
    """Return [mail] of fleet.toml."""
    return (
        f'[mail]\nhost = "127.0.0.1"\nport = {port}\nsecurity = "none"\nsender = "{USER}"\n'
        'to = ["ops@example.com"]\n'
    )


def test_all_steps(run: Run, tmp_path: Path, mailbox: Mailbox) -> None:
    """Each step is done and has a line; the mail is sent once a day."""
    added = (
        '[run]\nreport = "reports"\nkeep = 2\nlast = "2d"\nmetrics = "b.prom"\nmail = "always"\n'
        + mail_table(mailbox.port)
    )
    old = [tmp_path / "reports" / f"report-2026-01-0{day}.html" for day in (1, 2)]
    old[0].parent.mkdir()
    for path in old:
        path.touch()
    code, lines = run(added)
    assert code == 0
    assert list(lines) == ["collect", "report", "metrics", "mail"]
    assert lines["collect"].startswith("ok: Read 1 of 1 appliances: 3 jobs listed, 3 new")
    [page] = [path for path in (tmp_path / "reports").glob("*.html") if path not in old]
    assert lines["report"].startswith(f"ok: reports/{page.name}: TARGET ")
    assert [path.exists() for path in old] == [False, True]
    assert "backupkit_verdict" in (tmp_path / "b.prom").read_text(encoding="utf-8")
    assert lines["mail"] == "ok: sent to ops@example.com"
    [message] = mailbox.messages
    assert page.name in [part.get_filename() for part in message.walk()]

    code, lines = run(added)
    assert code == 0
    assert lines["mail"] == "skipped: a report of this day was mailed already"
    assert len(mailbox.messages) == 1


def test_days_of_mail(run: Run, mailbox: Mailbox) -> None:
    """A report is mailed only on the days of the week that are named."""
    today = datetime.now(UTC)
    now, other = (f"{today + timedelta(days=days):%A}".lower() for days in (0, 3))
    table = f'[run]\nlast = "2d"\nmail = "always"\nmail_on = "{{}}"\n{mail_table(mailbox.port)}'
    code, lines = run(table.format(other[:3]))
    assert (code, lines["mail"]) == (0, f"skipped: mailed on {other}")
    assert run(table.format(f"{other}, {now}")).lines["mail"] == "ok: sent to ops@example.com"
    assert len(mailbox.messages) == 1


def test_failed_steps(run: Run, tmp_path: Path, mailbox: Mailbox) -> None:
    """A step that fails does not stop the next ones; the worst code counts."""
    (tmp_path / "file").touch()
    table = '[run]\nreport = "file/reports"\nlast = "2d"\nmail = "always"\n'
    code, lines = run(table + mail_table(mailbox.port))
    assert code == 1
    assert lines["report"].startswith("failed: Cannot change files in ")
    assert lines["mail"].startswith(
        "failed: sent to ops@example.com, but this is not noted. Cannot"
    )
    [message] = mailbox.messages
    assert {part.get_filename() for part in message.walk()} == {None}


def test_mail_without_report(run: Run, mailbox: Mailbox) -> None:
    """Without a folder each run mails, if a verdict asks for it; without a server it fails."""
    table = '[run]\nlast = "2d"\nmail = "{}"\n'
    code, lines = run(table.format("always") + mail_table(1))
    assert (code, list(lines)) == (6, ["collect", "mail"])
    assert lines["mail"].startswith("failed: The mail server 127.0.0.1:1 cannot be reached")
    code, lines = run(table.format("unknown") + mail_table(mailbox.port))
    assert (code, lines["mail"]) == (0, "skipped: no verdict is one of unknown")
    assert mailbox.messages == []
    assert run(table.format("compliant") + mail_table(mailbox.port)).code == 0
    assert len(mailbox.messages) == 1


def test_bug(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error is a failed step without a traceback or its text."""

    def fail(*_arguments: object) -> None:
        raise ValueError("secret")

    monkeypatch.setattr("backupkit.reports.openmetrics.write_openmetrics", fail)
    code, lines = run('[run]\nmetrics = "b.prom"\n')
    assert code == 1
    assert (
        lines["metrics"] == "failed: ValueError. This is a bug; backupkit -v run logs where it is."
    )


def test_alerts(run: Run, receiver: Receiver) -> None:
    """Alerts go out, and the heartbeat is called at the end; a failed step silences it."""
    alert = (
        f'[run]\nlast = "2d"\n[alert]\nheartbeat = "{receiver.url}"\n'
        f'[alert.webhook.ops]\nurl = "{receiver.url}"\n'
    )
    code, lines = run(alert)
    assert (code, list(lines)) == (0, ["collect", "alerts", "heartbeat"])
    assert (lines["alerts"], lines["heartbeat"]) == ("ok: nothing changed", "ok: called")
    receiver.status = 500
    code, lines = run(f'{alert}[[appliance]]\nname = "vc-off"\nhost = "127.0.0.1:1"\n')
    assert code == 6
    assert lines["alerts"].startswith("failed: ops: 127.0.0.1 responded with status 500. Check")
    assert lines["heartbeat"] == "skipped: failed: alerts"
    assert [method for method, _, _, _ in receiver.seen] == ["GET", "POST"]


def test_heartbeat(run: Run, receiver: Receiver) -> None:
    """A heartbeat needs no channel; if it fails, it has a line. An empty table does nothing."""
    receiver.status = 404
    code, lines = run(f'[alert]\nheartbeat = "{receiver.url}"\n')
    assert (code, list(lines)) == (6, ["collect", "heartbeat"])
    assert lines["heartbeat"].startswith("failed: 127.0.0.1 responded with status 404")
    assert list(run("[alert]\n").lines) == ["collect"]


class TestExitCode:
    """Exit codes of the collection and of the verdicts."""

    def test_verdict(self, run: Run) -> None:
        """--fail-on has its own code, and none if no verdict is named."""
        assert run("", "--fail-on", "compliant").code == 5
        assert run("", "--fail-on", "breach").code == 0

    def test_none_read(self, run: Run) -> None:
        """If no appliance was read, the metrics are written all the same."""
        dead = (
            '[[appliance]]\nname = "vc"\nhost = "127.0.0.1:1"\nuser = "u"\npassword = {env = "X"}'
        )
        code, lines = run(f'[run]\nmetrics = "b.prom"\n{dead}\n', poll=False)
        assert code == 4
        assert lines["collect"].startswith("incomplete: Read 0 of 1")
        assert lines["metrics"] == "ok: b.prom"
        assert run(dead, "--fail-on", "unknown", poll=False).code == 4

    def test_nothing_to_read(self, run: Run) -> None:
        """Without an appliance and a history every step fails with the reason."""
        code, lines = run('[run]\nmetrics = "b.prom"\n', "--fail-on", "breach", poll=False)
        assert code == 1
        assert lines["collect"] == (
            "failed: fleet.toml: no appliance to poll; add one as [[appliance]]."
        )
        assert lines["metrics"].startswith("failed: ")
        assert lines["verdict"].startswith("failed: ")

    def test_stopped(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C ends the run; the next steps are not done."""
        monkeypatch.setattr(
            "backupkit.collection.collector._submit_poll",
            lambda *_orders: signal.raise_signal(signal.SIGTERM),
        )
        code, lines = run('[run]\nmetrics = "b.prom"\n', "--fail-on", "compliant")
        assert (code, list(lines)) == (130, ["collect"])
        assert lines["collect"].startswith("stopped: ")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("repot = 1", 'fleet.toml, [run]: unknown key "repot"; did you mean "report"?'),
        ("keep = 0", 'fleet.toml, [run]: "keep" must be at least 1; for example: keep = 30'),
        ('last = "x"', 'fleet.toml, [run]: "last": "x" is not a duration'),
        ('mail_on = "mo"', 'fleet.toml, [run]: "mail_on": "mo" is no day of the week; for example'),
        ('mail = "bad"', 'fleet.toml, [run]: "mail": "bad" is none of missed,'),
    ],
)
def test_wrong_settings(run: Run, table: str, expected: str) -> None:
    """A wrong entry ends the run before it polls."""
    assert run(f"[run]\n{table}\n").code == 1
    assert not Path("history.db").exists()
    with pytest.raises(SettingsError) as caught:
        RunSettings.load(read_toml("fleet.toml"))
    assert expected in str(caught.value)


def test_discover(run: Run, live: Simulated, odd: OddServer) -> None:
    """The step compares fleet.toml with the SSO domains, and its exit code is 3 if they differ."""
    added = "[run]\ndiscover = true\n"
    nodes = "nodes of the SSO domains missing in fleet.toml"
    code, lines = run(added)
    assert (code, lines["discover"]) == (0, f"ok: 0 of 1 {nodes}")
    others = live.appliances["vc-0001"].domain.others
    others.append(("vc-new.test", "VCSA_EMBEDDED"))
    code, lines = run(added)
    others.clear()
    assert (code, lines["discover"]) == (3, f"missing: 1 of 2 {nodes} (vc-new.test)")
    odd.serve_api()
    odd.respond("GET /api/vcenter/topology/nodes", b"", 404)
    entry = f'[[appliance]]\nname = "odd"\nhost = "{odd.host}"\nuser = "u@v"\n'
    entry += f'password = {{ env = "VCSA_PASSWORD" }}\nca_bundle = "{odd.ca_bundle}"\n'
    code, lines = run(added + entry)
    assert code == 3
    assert lines["discover"] == f"incomplete: 0 of 1 {nodes}; the SSO domain is unknown of odd"
    assert list(lines) == ["collect", "discover"]


def test_selection(run: Run) -> None:
    """Only the selected appliances are polled."""
    assert run("", "--appliance", "vc-0001").code == 0
    code, lines = run("", "--appliance", "vc-2")
    assert code == 1
    assert "no appliance is named" in lines["collect"]
    assert set(bk.History("history.db").polls()["appliance"]) == {"vc-0001"}
