"""Commands `backupkit alert`."""

import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

import backupkit as bk
from backupkit.alerts import AlertSettings, Fact, Facts
from backupkit.alerts.sending import send_facts
from backupkit.cli import main
from backupkit.history.alerts import AlertLog
from tests.alerts.scripted import CrashError, ScriptedChannel
from tests.builders import snapshot
from tests.receiver import Receiver

FLEET = """
[defaults]
user = "u"
password = { env = "VCSA_PASSWORD" }
[[appliance]]
name = "vc-1"
host = "vc-1"
site = "Tokyo"
[[appliance]]
name = "vc-2"
host = "vc-2"
"""
ROOT = Path(__file__).parent.parent
SCHEMA = json.loads((ROOT / "docs" / "alert.schema.json").read_text(encoding="utf-8"))
BREACH = Fact(kind="breach", subject="vc-1", site="Tokyo", detail="30 h old", level=2)
UNKNOWN = Fact(kind="unknown", subject="vc-2", detail="not polled")


class Office:
    """A working directory with a history and a fleet."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        bk.History(folder / "history.db").append(snapshot(0))
        (folder / "fleet.toml").write_text(FLEET, encoding="utf-8")

    @property
    def log(self) -> AlertLog:
        """The alerts of the history."""
        return bk.History(self.folder / "history.db").alerts

    def record(self, *facts: Fact, ago: float = 1.0, mode: str = "works") -> None:
        """Send facts some hours ago."""
        now = datetime.now(UTC) - timedelta(hours=ago)
        settings = AlertSettings(channels=(ScriptedChannel("ops", mode),))
        send_facts(Facts(present=facts), self.log, settings, now=now, clock=lambda: now)

    def configure(self, text: str) -> None:
        """Add a text to the fleet."""
        with (self.folder / "fleet.toml").open("a", encoding="utf-8") as file:
            file.write(text)

    def run(self, *argv: str) -> tuple[int, str, str]:
        """Run a command; return exit code, stdout and stderr."""
        code = main(["alert", *argv])
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def list(self) -> list[str]:
        """Return the lines of the list."""
        code, out, _ = self.run("list")
        assert code == 0
        return out.splitlines()


@pytest.fixture
def office(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Office:
    """Return a working directory with a history of two appliances."""
    monkeypatch.chdir(tmp_path)
    return Office(tmp_path, capsys)


class TestList:
    """alert list."""

    def test_empty(self, office: Office) -> None:
        """A history without alerts has none."""
        assert office.list() == ["No open alerts."]

    def test_open(self, office: Office) -> None:
        """Open alerts are listed, the worst first, with state and detail."""
        office.record(UNKNOWN, BREACH)
        lines = office.list()
        assert lines[0] == "2 open alerts. Times are UTC. Details: backupkit alert show KEY"
        assert lines[1:4] == ["", "breach:vc-1 (critical, level 2)", "    30 h old"]
        assert lines[4].startswith("    open since 20")
        assert ", last message 20" in lines[4]
        assert lines[5:7] == ["", "unknown:vc-2 (warning)"]

    def test_terminal(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a terminal of 80 columns no line is longer, and no name is cut."""
        long = replace(BREACH, detail="word " * 50, subject="vc-" + "long-" * 10)
        office.record(long, mode="fails")
        office.run("mute", "site=Tokyo", "--until", "4h", "--by", "ben", "--reason", "move " * 30)
        monkeypatch.setattr("shutil.get_terminal_size", lambda **_: os.terminal_size((80, 24)))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        text = "\n".join(office.list())
        assert max(map(len, text.splitlines())) <= 80
        assert f"breach:{long.subject} (critical, level 2)" in text
        assert text.count("word") == 50

    def test_unstable(self, office: Office) -> None:
        """An unstable alert says so."""
        for hours in range(8, 1, -2):
            office.record(BREACH, ago=hours)
            office.record(ago=hours - 1)
        office.record(BREACH, ago=0.5)
        assert any(line.startswith("    unstable since 20") for line in office.list())

    def test_failed_channel(self, office: Office) -> None:
        """A channel that failed is listed with its error."""
        office.record(BREACH, mode="fails")
        [line] = [line for line in office.list() if line.startswith("Channel")]
        assert line.startswith("Channel ops: 1 queued, failed 1 time, next try after 20")
        assert line.endswith(": ops: the service is down. Start it.")

    def test_queued(self, office: Office) -> None:
        """A channel that could not be tried yet is listed with what is queued."""
        now = datetime.now(UTC)
        channels = (ScriptedChannel("first", "dies before"), ScriptedChannel("second"))
        settings = AlertSettings(channels=channels)
        with pytest.raises(CrashError):
            send_facts(Facts(present=(BREACH,)), office.log, settings, now=now, clock=lambda: now)
        assert office.list()[-1] == "Channel second: 1 queued"

    def test_perhaps_sent(self, office: Office) -> None:
        """A message of a process that died is listed with its changes."""
        with pytest.raises(CrashError):
            office.record(BREACH, mode="dies after")
        line = office.list()[-1]
        assert line.startswith("Perhaps sent: the message of 20")
        assert line.endswith(" on ops: opened breach:vc-1")

    def test_json(self, office: Office) -> None:
        """The same as JSON."""
        office.record(BREACH, mode="fails")
        with pytest.raises(CrashError):
            office.record(BREACH, UNKNOWN, ago=0.5, mode="dies after")
        office.run("mute", "site=Tokyo", "--until", "4h", "--by", "ben", "--reason", "move")
        _, out, _ = office.run("list", "--json")
        document = json.loads(out)
        first, second = document["alerts"]
        assert (first["severity"], first["channels"]) == ("critical", ["ops"])
        assert (first["key"], first["muted"], first["detail"]) == ("breach:vc-1", True, "30 h old")
        assert (second["key"], second["muted"], len(second["openings"])) == (
            "unknown:vc-2",
            False,
            1,
        )
        assert [mute["selector"] for mute in document["mutes"]] == ["site=Tokyo"]
        assert [channel["failures"] for channel in document["channels"]] == [1]
        assert [one["channel"] for one in document["perhaps_sent"]] == ["ops"]


class TestShow:
    """alert show."""

    def test_story(self, office: Office) -> None:
        """The story has each change, who got it, and who acknowledged."""
        office.record(replace(BREACH, level=1, group="production"), ago=50)
        office.record(BREACH, ago=40, mode="fails")
        office.run("ack", "breach:vc-1", "--by", "anna", "--reason", "4711")
        office.run("mute", "vc-1", "--until", "4h", "--by", "ben", "--reason", "move")
        code, out, _ = office.run("show", "breach:vc-1")
        lines = out.splitlines()
        assert code == 0
        assert lines[:3] == [
            "breach:vc-1 (critical, level 2)",
            "    site Tokyo",
            "    30 h old",
        ]
        assert lines[3].startswith("    open since 20")
        assert lines[4] == "    acknowledged by anna: 4711"
        assert lines[5].startswith("    muted until 20")
        assert lines[6:8] == ["", "Times are UTC."]
        assert [line[16:] for line in lines[8:]] == [
            "  opened                sent: ops",
            "  worse (level 2)       queued: ops",
            "  acknowledged          by anna: 4711",
        ]

    def test_closed(self, office: Office) -> None:
        """A closed alert has its story, too; what was not sent has the reason."""
        office.run("mute", "all", "--until", "4h", "--by", "ben", "--reason", "move")
        now = datetime.now(UTC)
        settings = AlertSettings(channels=(ScriptedChannel("ops"),))
        for present in ((UNKNOWN,), ()):
            send_facts(Facts(present=present), office.log, settings, now=now, clock=datetime.now)
        code, out, _ = office.run("show", "unknown:vc-2")
        lines = out.splitlines()
        assert (code, lines[0]) == (0, "unknown:vc-2 (closed)")
        assert lines[1] == "    no longer assessed"
        assert lines[2].startswith("    closed at 20")
        assert [line[16:].split() for line in lines[-2:]] == [
            ["opened", "not", "sent:", "muted"],
            ["closed", "not", "sent:", "recorded"],
        ]

    def test_perhaps_sent(self, office: Office) -> None:
        """A message of a process that died was perhaps sent."""
        with pytest.raises(CrashError):
            office.record(BREACH, mode="dies after")
        assert "  perhaps sent: ops" in office.run("show", "breach:vc-1")[1]
        with pytest.raises(CrashError):
            office.record(BREACH, UNKNOWN, ago=0, mode="dies after")
        assert "  perhaps sent: ops" in office.run("show", "breach:vc-1")[1]
        assert "  sending: ops" in office.run("show", "unknown:vc-2")[1]

    def test_pruned(self, office: Office) -> None:
        """Without its log, the state is shown."""
        office.run("mute", "all", "--until", "4h", "--by", "ben", "--reason", "move")
        office.record(UNKNOWN, ago=0)
        bk.History(office.folder / "history.db").prune(datetime.now(UTC) + timedelta(hours=1))
        assert office.run("show", "unknown:vc-2")[1].endswith("no change of it any more.\n")

    def test_json(self, office: Office) -> None:
        """The same as JSON."""
        office.record(BREACH)
        code, out, _ = office.run("show", "breach:vc-1", "--json")
        document = json.loads(out)
        assert (code, document["alert"]["key"]) == (0, "breach:vc-1")
        [change] = document["changes"]
        assert (change["change"], change["level"], change["outcome"]) == ("opened", 2, "send")
        assert change["channels"] == [{"channel": "ops", "state": "sent"}]

    def test_wrong_key(self, office: Office) -> None:
        """A key that does not exist is an error, with the one that is perhaps meant."""
        code, _, err = office.run("show", "breach:vc-1")
        assert (code, "No alert has the key" in err, "mean" in err) == (1, True, False)
        office.record(BREACH)
        for key in ("vc-1", "braech:vc-1"):
            code, _, err = office.run("show", key)
            assert (code, 'Did you mean "breach:vc-1"?' in err) == (1, True)
            code, _, err = office.run("ack", key, "--by", "anna", "--reason", "x")
            assert (code, 'Did you mean "breach:vc-1"?' in err) == (1, True)
        assert "mean" not in office.run("show", "")[2]


class TestAnswers:
    """alert ack, mute and unmute."""

    def test_acknowledge(self, office: Office) -> None:
        """An acknowledgement is shown in the list."""
        office.record(BREACH)
        code, out, _ = office.run("ack", "breach:vc-1", "--by", "anna", "--reason", "4711")
        assert (code, out.startswith("Acknowledged: breach:vc-1.")) == (0, True)
        assert "    acknowledged by anna: 4711" in office.list()

    def test_no_such_key(self, office: Office) -> None:
        """A key without an open alert is an error."""
        code, _, err = office.run("ack", "breach:vc-9", "--by", "anna", "--reason", "4711")
        assert (code, "backupkit alert list" in err) == (1, True)

    def test_empty_reason(self, office: Office) -> None:
        """A reason of blanks is none."""
        code, _, err = office.run("ack", "breach:vc-9", "--by", "anna", "--reason", " ")
        assert (code, "--reason is empty" in err) == (1, True)

    def test_mute(self, office: Office) -> None:
        """A mute is listed until somebody ends it."""
        office.record(BREACH)
        until = (datetime.now(UTC) + timedelta(days=2)).isoformat()
        code, out, _ = office.run("mute", "vc-1", "--until", until, "--by", "ben", "--reason", "x")
        assert (code, out.startswith("Muted: appliance=vc-1 until 20")) == (0, True)
        lines = office.list()
        assert lines[5].startswith("    muted until 20")
        assert lines[5].endswith(" by ben: x")
        assert lines[7].startswith("Muted: appliance=vc-1 until 20")
        assert office.run("unmute", "vc-1", "--by", "ben", "--reason", "done")[:2] == (
            0,
            "No longer muted: appliance=vc-1\n",
        )
        assert len(office.list()) == 5
        assert office.run("unmute", "vc-1", "--by", "ben", "--reason", "done")[0] == 1

    @pytest.mark.parametrize(
        ("until", "problem"),
        [
            ("2020-01-01T00:00:00Z", "is over"),
            ("900d", "more than a year ahead"),
            ("soon", "is not a time"),
            ("", "is not a time"),
            ("xh", "is not a duration"),
        ],
    )
    def test_wrong_end(self, office: Office, until: str, problem: str) -> None:
        """A wrong end is an error."""
        code, _, err = office.run("mute", "all", "--until", until, "--by", "b", "--reason", "x")
        assert (code, problem in err) == (1, True)


class TestFilter:
    """Channels that choose."""

    def test_dry_run(self, office: Office, receiver: Receiver) -> None:
        """A dry run names the channels of each change; what no channel chooses is not sent."""
        office.configure(
            f'[alert.webhook.tokyo]\nurl = "{receiver.url}"\n'
            f'[alert.webhook.pager]\nurl = "{receiver.url}"\n'
            '[alert.filter.tokyo]\nsites = ["Tokyo"]\n'
            '[alert.filter.pager]\nmin_severity = "critical"\n'
        )
        lines = office.run("send", "--dry-run")[1].splitlines()
        assert lines[0] == "Would be sent: 1, to tokyo, pager. Nothing was sent or stored."
        assert "send to tokyo  opened: unknown:vc-1, because no message reported it yet" in lines
        assert "not sent (not chosen)  opened: unknown:vc-2, because no channel chooses it" in lines
        assert office.run("send") == (0, "Sent to tokyo: 1 change\n", "")
        assert office.run("send", "--dry-run")[1].startswith("Would be sent: 0, to tokyo, pager.")
        _, out, _ = office.run("send", "--json")
        [other] = json.loads(out)["decisions"]
        assert (other["key"], other["outcome"], other["channels"]) == (
            "unknown:vc-2",
            "not chosen",
            [],
        )


class TestTest:
    """alert test."""

    def test_no_channel(self, office: Office) -> None:
        """Without a channel the error says how to add one."""
        code, _, err = office.run("test")
        assert (code, "there is no channel to test. Add a table [alert]" in err) == (1, True)

    def test_accepted(self, office: Office, receiver: Receiver) -> None:
        """Each channel gets a message that is marked as a test; the heartbeat is not called."""
        receiver.status = 200
        office.configure(
            f'[alert]\nheartbeat = "{receiver.url}"\n'
            f'[alert.webhook.ops]\nurl = "{receiver.url}"\n'
            f'[alert.webhook.tickets]\nurl = "{receiver.url}"\n'
        )
        assert office.run("test") == (0, "ops: accepted\ntickets: accepted\n", "")
        for document in receiver.documents:
            jsonschema.validate(document, SCHEMA)
        found = [(one["test"], one["subject"], one["changes"]) for one in receiver.documents]
        assert found == [(True, "[TEST] vCenter backup alerts", [])] * 2
        assert len({one["message"] for one in receiver.documents}) == 2
        assert office.run("test", "tickets", "tickets") == (0, "tickets: accepted\n", "")
        assert office.run("test", "heartbeat") == (0, "heartbeat: accepted\n", "")
        assert [method for method, _, _, _ in receiver.seen] == ["POST"] * 3 + ["GET"]
        assert office.log.read(now=datetime.now(UTC)).channels == ()

    def test_failed(self, office: Office, receiver: Receiver) -> None:
        """A channel that fails is named, with the next step; the others are tested."""
        office.configure(
            '[alert]\nurls = { chat = { env = "NO_SUCH_CHAT" } }\n'
            f'[alert.webhook.ops]\nurl = "{receiver.url}"\n'
        )
        code, out, err = office.run("test")
        assert (code, out) == (6, "ops: accepted\n")
        assert err.startswith("backupkit: alerts, channel chat: fleet.toml, [alert]: urls.chat: ")
        code, out, _ = office.run("test", "--json")
        chat, ops = json.loads(out)["tested"]
        assert (code, chat["channel"], ops) == (6, "chat", {"channel": "ops", "error": None})
        assert "NO_SUCH_CHAT" in chat["error"]

    def test_wrong_name(self, office: Office, receiver: Receiver) -> None:
        """An unknown channel is an error that lists the channels; nothing is sent."""
        office.configure(f'[alert.webhook.ops]\nurl = "{receiver.url}"\n')
        code, _, err = office.run("test", "ops", "chat")
        assert code == 1
        assert 'no channel is named "chat"; there are ops.' in err
        assert not receiver.seen


class TestSend:
    """alert send."""

    def test_no_channel(self, office: Office) -> None:
        """Without a channel the error says how to add one."""
        code, _, err = office.run("send")
        assert (code, "Add a table [alert]" in err) == (1, True)

    def test_dry_run(self, office: Office) -> None:
        """A dry run prints what would go out and why, and stores nothing."""
        office.run("mute", "site=Tokyo", "--until", "4h", "--by", "ben", "--reason", "move")
        code, out, _ = office.run("send", "--dry-run")
        lines = out.splitlines()
        assert code == 0
        assert lines[0].endswith("to no channel. Nothing was sent or stored.")
        assert "send  opened: unknown:vc-2, because no message reported it yet" in lines
        [muted] = [line for line in lines if line.startswith("not sent")]
        assert muted.startswith("not sent (muted)  opened: unknown:vc-1, because muted until 20")
        assert office.log.read(now=datetime.now(UTC)).alerts == ()

    def test_sent(self, office: Office, receiver: Receiver) -> None:
        """Changes are sent once; then the heartbeat is called."""
        receiver.status = 200
        office.configure(
            f'[alert]\nheartbeat = "{receiver.url}"\n[alert.webhook.ops]\nurl = "{receiver.url}"\n'
        )
        code, out, err = office.run("send")
        assert (code, err) == (0, "")
        assert out == "Sent to ops: 2 changes\n"
        assert [method for method, _, _, _ in receiver.seen] == ["POST", "GET"]
        assert office.run("send") == (0, "Nothing to send.\n", "")
        assert [method for method, _, _, _ in receiver.seen] == ["POST", "GET", "GET"]

    def test_one_change(self, office: Office, receiver: Receiver) -> None:
        """Without a heartbeat only the message is sent; its number is a singular."""
        office.run("mute", "site=Tokyo", "--until", "4h", "--by", "ben", "--reason", "move")
        office.configure(f'[alert.webhook.ops]\nurl = "{receiver.url}"\n')
        assert office.run("send") == (0, "Sent to ops: 1 change\n", "")
        code, out, _ = office.run("send", "--json")
        document = json.loads(out)
        assert (code, document["sent"], document["failed"]) == (0, [], [])
        assert [one["outcome"] for one in document["decisions"]] == ["muted"]
        assert len(receiver.seen) == 1

    def test_failed(self, office: Office, receiver: Receiver) -> None:
        """A channel that fails is named, the exit code is 6, and the heartbeat is not called.

        What is secret in its URL is neither printed nor stored.
        """
        receiver.status = 500
        office.configure(
            f'[alert]\nheartbeat = "{receiver.url}"\n'
            f'[alert.webhook.ops]\nurl = "{receiver.url}?key=s3cr3t"\n'
        )
        code, _, err = office.run("send")
        assert code == 6
        assert err.startswith("backupkit: alerts, channel ops: 127.0.0.1 responded with status 500")
        assert err.endswith("It is tried again later.\n")
        assert (
            "from earlier runs, to ops: 2 queued, failed 1 time"
            in office.run("send", "--dry-run")[1]
        )
        code, out, err = office.run("send", "--json")
        assert (code, len(receiver.seen)) == (6, 1)
        assert "s3cr3t" not in out + err
        stored = b"".join(path.read_bytes() for path in office.folder.glob("history.db*"))
        assert b"responded with status 500" in stored
        assert b"s3cr3t" not in stored
        [failure] = json.loads(out)["failed"]
        assert (failure["channel"], "queued, failed 1 time" in failure["error"]) == ("ops", True)

    def test_heartbeat_fails(self, office: Office, receiver: Receiver) -> None:
        """A heartbeat that fails is named, too."""
        receiver.status = 200
        office.configure(
            '[alert]\nheartbeat = { env = "NO_SUCH_HEARTBEAT" }\n'
            f'[alert.webhook.ops]\nurl = "{receiver.url}"\n'
        )
        code, out, err = office.run("send")
        assert (code, out.startswith("Sent to ops")) == (6, True)
        assert "channel heartbeat: fleet.toml, [alert]: heartbeat: the environment" in err
