"""One run of the alerts: what is stored, what is sent, and what a crash leaves."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupkit import History
from backupkit.alerts import (
    AlertRun,
    AlertSettings,
    Fact,
    Facts,
    Rules,
    preview_alerts,
    send_alerts,
)
from backupkit.alerts.filters import ChannelFilter
from backupkit.alerts.sending import send_facts
from backupkit.errors import HistoryError
from backupkit.history.alert_tables import SENDING_LIMIT
from backupkit.tables.alerts import Mute
from tests.alerts.scripted import CrashError, ScriptedChannel
from tests.builders import assess_week, snapshot
from tests.conftest import EPOCH, repeats
from tests.processes import wait_until
from tests.receiver import Receiver

HOUR = timedelta(hours=1)
MakeHistory = Callable[[], History]


def breach(name: str = "vc-1", level: int = 1) -> Fact:
    """Build a breach."""
    return Fact(kind="breach", subject=name, detail="no backup for 30 h", level=level)


class Office:
    """A history with channels, and runs at hours after EPOCH."""

    def __init__(self, history: History, *channels: ScriptedChannel) -> None:
        self.history, self.channels = history, channels
        self.settings = AlertSettings(channels=channels, rules=Rules())

    def run(self, hours: float, *facts: Fact) -> AlertRun:
        """Run the alerts."""
        now = EPOCH + hours * HOUR
        self.settings = replace(self.settings, channels=self.channels)
        return send_facts(
            Facts(present=facts), self.history.alerts, self.settings, now=now, clock=lambda: now
        )


@pytest.fixture
def office(make_history: MakeHistory) -> Office:
    """Return a history with one channel, in SQLite, then in PostgreSQL."""
    return Office(make_history(), ScriptedChannel())


class TestRun:
    """Runs without a crash."""

    def test_digest(self, office: Office) -> None:
        """All changes of a run are one message; a run without a change sends nothing."""
        assert office.run(0, breach(), breach("vc-2")).sent == {"ops": 2}
        assert office.run(1, breach(), breach("vc-2")).sent == {}
        assert office.run(2, breach("vc-2")).sent == {"ops": 1}
        assert office.channels[0].changes == [
            ["opened breach:vc-1", "opened breach:vc-2"],
            ["closed breach:vc-1"],
        ]

    def test_log(self, office: Office) -> None:
        """Each change is logged with what became of it."""
        office.run(0, breach())
        office.run(1)
        log = office.history.alerts.read_changes(since=EPOCH + HOUR)
        assert [(row.change, row.outcome, row.key) for row in log] == [
            ("closed", "send", "breach:vc-1")
        ]

    def test_failing_channel(self, office: Office) -> None:
        """A channel that fails keeps its changes, and is tried again after twice the time."""
        [channel] = office.channels
        channel.mode = "fails"
        run = office.run(0, breach())
        assert run.failed == {"ops": "ops: the service is down. Start it."}
        assert not run.ok
        run = office.run(0.05, breach())
        assert (run.failed, run.waiting["ops"].queued) == ({}, 1)
        assert office.run(0.1, breach()).failed
        assert office.run(0.25, breach(), breach("vc-2")).waiting
        [state] = office.history.alerts.read(now=EPOCH).channels
        assert (state.failures, state.queued, state.error) == (2, 2, run.waiting["ops"].error)
        assert state.next_try_at == EPOCH + 0.1 * HOUR + timedelta(minutes=10)
        channel.mode = "works"
        assert office.run(0.3, breach(), breach("vc-2")).sent == {"ops": 2}
        [state] = office.history.alerts.read(now=EPOCH).channels
        assert (state.failures, state.queued, state.error) == (0, 0, "")

    def test_longest_wait(self, office: Office) -> None:
        """A channel is tried at least each 6 hours."""
        [channel] = office.channels
        channel.mode = "fails"
        tried = sum(bool(office.run(6 * number, breach()).failed) for number in range(12))
        assert tried == 12

    def test_other_channels(self, make_history: MakeHistory) -> None:
        """A channel that fails does not keep the others from sending."""
        bad, good = ScriptedChannel("bad", "fails"), ScriptedChannel("good")
        run = Office(make_history(), bad, good).run(0, breach())
        assert (set(run.failed), run.sent) == ({"bad"}, {"good": 1})

    def test_no_response(self, office: Office) -> None:
        """A message that perhaps arrived is not repeated; the next one mentions it."""
        [channel] = office.channels
        channel.mode = "hangs up"
        assert office.run(0, breach()).failed
        channel.mode = "works"
        [unclear] = office.history.alerts.read(now=EPOCH + HOUR).unclear
        assert [change.key for change in unclear.changes] == ["breach:vc-1"]
        assert office.run(1, breach()).sent == {}
        assert office.run(2).sent == {"ops": 1}
        assert channel.changes[1:] == [["closed breach:vc-1"]]
        [mention] = channel.delivered[1]["perhaps_not_delivered"]
        assert mention["changes"][0]["change"] == "opened"
        office.run(3, breach())
        assert channel.delivered[2]["perhaps_not_delivered"] == []

    def test_preview(self, office: Office) -> None:
        """A preview decides the same and changes nothing."""
        assessment, now = assess_week(), EPOCH
        log = office.history.alerts
        found = preview_alerts(assessment, log, office.settings, now=now)
        assert log.read(now=now).alerts == ()
        run = send_alerts(assessment, log, office.settings, now=now)
        assert run.decisions == found
        assert office.channels[0].delivered[0]["changes"][0]["key"] == found[0].alert.key
        assert preview_alerts(assessment, log, office.settings, now=now + HOUR) == []


class TestFilters:
    """Channels that choose their alerts: mail gets all, and the pager some."""

    @pytest.fixture
    def mail(self) -> ScriptedChannel:
        """Return a channel without a filter."""
        return ScriptedChannel("mail")

    @pytest.fixture
    def pager(self) -> ScriptedChannel:
        """Return a channel with the filter of a test."""
        return ScriptedChannel("pager")

    @pytest.fixture
    def office(
        self, make_history: MakeHistory, mail: ScriptedChannel, pager: ScriptedChannel
    ) -> Office:
        """Return a history with both channels."""
        return Office(make_history(), mail, pager)

    @staticmethod
    def choose(office: Office, **chosen: Any) -> None:  # noqa: ANN401 # as the filter has them
        """Set the filter of the pager."""
        office.settings = replace(office.settings, filters={"pager": ChannelFilter(**chosen)})

    def test_kinds(self, office: Office, mail: ScriptedChannel, pager: ScriptedChannel) -> None:
        """A channel gets the kinds that it chooses, from the opening to the end."""
        self.choose(office, kinds=("breach",))
        unknown = Fact(kind="unknown", subject="vc-2")
        assert office.run(0, breach(), unknown).sent == {"mail": 2, "pager": 1}
        assert office.run(24, breach(), unknown).sent == {"mail": 2, "pager": 1}
        assert office.run(25).sent == {"mail": 2, "pager": 1}
        assert pager.changes == [
            ["opened breach:vc-1"],
            ["repeated breach:vc-1"],
            ["closed breach:vc-1"],
        ]
        assert mail.changes[0] == ["opened breach:vc-1", "opened unknown:vc-2"]

    def test_severity(self, office: Office, mail: ScriptedChannel, pager: ScriptedChannel) -> None:
        """A channel for critical alerts hears of a target when it is missed, and of its end."""
        self.choose(office, min_severity="critical")
        for hours, level in ((0, 1), (1, 2)):
            office.run(hours, Fact(kind="target", subject="fleet", level=level))
        office.run(2)
        assert pager.changes == [["worse target:fleet"], ["closed target:fleet"]]
        office.run(3, Fact(kind="target", subject="fleet"))
        office.run(4)
        assert len(pager.changes) == 2
        assert mail.changes[3:] == [["opened target:fleet"], ["closed target:fleet"]]

    def test_widened(self, office: Office, pager: ScriptedChannel) -> None:
        """A wider filter brings open alerts with their next message, and no old end."""
        self.choose(office, kinds=("target",))
        office.run(0, breach(), breach("vc-2"), breach("vc-3"))
        office.run(1, breach(), breach("vc-2"))
        self.choose(office)
        assert office.run(2, breach(), breach("vc-2")).sent == {}
        assert office.run(3, breach()).sent == {"mail": 1}
        assert office.run(24, breach()).sent == {"mail": 1, "pager": 1}
        assert office.run(25).sent == {"mail": 1, "pager": 1}
        assert pager.changes == [["repeated breach:vc-1"], ["closed breach:vc-1"]]

    def test_narrowed(self, office: Office, pager: ScriptedChannel) -> None:
        """A narrower filter still brings the end of an alert that the channel knows."""
        office.run(0, breach(), breach("vc-2"))
        self.choose(office, appliances=("vc-2",))
        assert office.run(24, breach(), breach("vc-2")).sent == {"mail": 2, "pager": 1}
        office.run(25)
        assert pager.changes[-1] == ["closed breach:vc-1", "closed breach:vc-2"]

    def test_moved(self, office: Office, pager: ScriptedChannel) -> None:
        """If an appliance moves to another site, its end goes to whom knew of it."""
        self.choose(office, sites=("Tokyo",))
        office.run(0, replace(breach(), site="Tokyo"))
        assert office.run(24, replace(breach(), site="Osaka")).sent == {"mail": 1}
        office.run(25)
        assert pager.changes == [["opened breach:vc-1"], ["closed breach:vc-1"]]

    def test_not_chosen(self, make_history: MakeHistory, pager: ScriptedChannel) -> None:
        """An alert that no channel chooses counts as not sent, and opens once one chooses it."""
        office = Office(make_history(), pager)
        self.choose(office, kinds=("target",))
        run = office.run(0, breach(), breach("vc-2"))
        assert [(one.outcome, one.why) for one in run.decisions] == [
            ("not chosen", "no channel chooses it")
        ] * 2
        assert (run.sent, run.ok) == ({}, True)
        office.run(1, breach())
        alerts = office.history.alerts.read(now=EPOCH).alerts
        assert [alert.announced_at for alert in alerts] == [None, None]
        self.choose(office)
        office.run(2, breach())
        assert pager.changes == [["opened breach:vc-1"]]
        outcomes = [
            (row.change, row.outcome) for row in office.history.alerts.read_changes(since=EPOCH)
        ]
        assert outcomes == [
            ("opened", "not chosen"),
            ("opened", "not chosen"),
            ("closed", "recorded"),
            ("opened", "send"),
        ]

    def test_channel_added(self, make_history: MakeHistory, mail: ScriptedChannel) -> None:
        """A new channel gets no end of an alert that it never got."""
        history = make_history()
        Office(history, mail).run(0, breach(), breach("vc-2"))
        added = ScriptedChannel("added")
        office = Office(history, mail, added)
        assert office.run(1, breach()).sent == {"mail": 1}
        assert office.run(24, breach()).sent == {"mail": 1, "added": 1}
        assert added.changes == [["repeated breach:vc-1"]]

    def test_channel_renamed(self, make_history: MakeHistory, mail: ScriptedChannel) -> None:
        """If no channel knows of an alert any more, its end is recorded, and it may open again."""
        history = make_history()
        Office(history, mail).run(0, breach())
        renamed = ScriptedChannel("renamed")
        office = Office(history, renamed)
        [decision] = office.run(1).decisions
        assert (decision.outcome, decision.why) == (
            "not chosen",
            "no channel got a message about it",
        )
        office.run(2, breach())
        assert renamed.changes == [["opened breach:vc-1"]]

    def test_pruned(self, office: Office, pager: ScriptedChannel) -> None:
        """The end of an alert is sent even if its messages are older than what is kept."""
        office.run(0, breach())
        office.history.alerts.acknowledge("breach:vc-1", by="anna", reason="4711", at=EPOCH)
        office.run(900, breach())
        office.history.prune(EPOCH + 800 * HOUR)
        office.run(901)
        assert pager.changes == [["opened breach:vc-1"], ["closed breach:vc-1"]]


class TestAnswers:
    """Acknowledgements and mutes in a history."""

    def test_acknowledged(self, office: Office) -> None:
        """The log keeps who acknowledged, when and why, also after the end."""
        office.run(0, breach())
        log = office.history.alerts
        log.acknowledge("breach:vc-1", by="anna", reason="4711", at=EPOCH + HOUR)
        assert office.run(30, breach()).sent == {}
        [alert] = log.read(now=EPOCH).alerts
        assert (alert.acknowledged_by, alert.acknowledged_at) == ("anna", EPOCH + HOUR)
        office.run(31)
        rows = [row for row in log.read_changes(since=EPOCH) if row.change == "acknowledged"]
        assert [(row.by, row.reason, row.at) for row in rows] == [("anna", "4711", EPOCH + HOUR)]

    def test_nothing_to_acknowledge(self, office: Office) -> None:
        """A key without an open alert is an error."""
        office.run(0, breach())
        office.run(1)
        with pytest.raises(HistoryError, match='No open alert has the key "breach:vc-1"'):
            office.history.alerts.acknowledge("breach:vc-1", by="a", reason="b", at=EPOCH)

    def test_muted(self, office: Office) -> None:
        """A mute holds until it ends, or until somebody ends it."""
        log = office.history.alerts
        mute = Mute(
            selector="appliance=vc-1", muted_at=EPOCH, until=EPOCH + 9 * HOUR, by="b", reason="c"
        )
        log.mute(mute)
        log.mute(mute)
        assert len(log.read(now=EPOCH).mutes) == 1
        assert office.run(1, breach()).sent == {}
        assert log.unmute("appliance=vc-1", by="d", reason="e", at=EPOCH + 2 * HOUR) == 1
        [ended] = log.read(now=EPOCH).mutes
        assert (ended.ended_by, ended.ended_reason, ended.end) == ("d", "e", EPOCH + 2 * HOUR)
        assert office.run(3, breach()).sent == {"ops": 1}
        with pytest.raises(HistoryError, match="No mute with the selector"):
            log.unmute("appliance=vc-1", by="d", reason="e", at=EPOCH + 3 * HOUR)

    def test_empty_history(self, make_history: MakeHistory) -> None:
        """A history without alerts has none, and gets no table by reading."""
        log = make_history().alerts
        state = log.read(now=EPOCH)
        assert (state.alerts, state.mutes, state.channels, state.unclear) == ((), (), (), ())
        assert log.read_changes(since=EPOCH) == []


class TestHistory:
    """Other commands on a history with alerts."""

    def test_verify_and_backup(self, office: Office, tmp_path: Path) -> None:
        """The digests do not cover alerts, and a backup contains them."""
        head = office.history.head
        office.run(0, breach())
        assert office.history.head == head
        assert office.history.verify().empty
        copy = History(office.history.backup(tmp_path / "copy.db"))
        assert [alert.key for alert in copy.alerts.read(now=EPOCH).alerts] == ["breach:vc-1"]
        assert Office(copy, ScriptedChannel()).run(1, breach()).sent == {}

    def test_forget(self, office: Office) -> None:
        """To forget an appliance removes its alerts, log rows and mutes, and no others."""
        history, log = office.history, office.history.alerts
        history.append(snapshot(0))
        office.run(0, breach(), breach("vc-2"), Fact(kind="target", subject="vc-1"))
        for number, selector in enumerate(
            (
                "appliance=vc-1",
                "key=unknown:vc-1",
                "key=failure:vc-1:disk-full",
                "appliance=vc-10",
                "key=unknown:vc-10",
                "site=vc-1",
            )
        ):
            at = EPOCH + number * HOUR
            log.mute(Mute(selector=selector, muted_at=at, until=at + HOUR, by="b", reason="c"))
        history.forget("vc-1")
        state = log.read(now=EPOCH)
        assert [alert.key for alert in state.alerts] == ["breach:vc-2", "target:vc-1"]
        keys = [change.key for change in log.read_changes(since=EPOCH)]
        assert sorted(keys) == ["breach:vc-2", "target:vc-1"]
        assert [mute.selector for mute in state.mutes] == [
            "appliance=vc-10",
            "key=unknown:vc-10",
            "site=vc-1",
        ]
        assert history.verify().empty

    def test_prune(self, office: Office) -> None:
        """To prune removes closed alerts, sent messages and old rows; what waits stays."""
        history, log = office.history, office.history.alerts
        [channel] = office.channels
        mute = Mute(selector="all", muted_at=EPOCH, until=EPOCH, by="b", reason="c")
        log.mute(mute)
        office.run(0, breach(), breach("vc-2"))
        office.run(1, breach("vc-2"))
        channel.mode = "fails"
        office.run(2, breach("vc-2"), breach("vc-3"))
        history.prune(EPOCH + 9 * HOUR)
        state = log.read(now=EPOCH)
        assert [alert.key for alert in state.alerts] == ["breach:vc-2", "breach:vc-3"]
        # of the open one the messages stay, as its end goes to the channels that got them
        rows = [(change.change, change.key) for change in log.read_changes(since=EPOCH)]
        assert rows == [("opened", "breach:vc-2"), ("opened", "breach:vc-3")]
        assert state.mutes == ()
        channel.mode = "works"
        office.run(10, breach("vc-2"), breach("vc-3"))
        assert channel.changes[-1] == ["opened breach:vc-3"]

    def test_without_alerts(self, make_history: MakeHistory) -> None:
        """A history without alerts is pruned, and its appliances forgotten, as before."""
        history = make_history()
        history.append(snapshot(0))
        history.forget("vc-1")
        history.prune(EPOCH + 1000 * HOUR)
        assert history.alerts.read(now=EPOCH).alerts == ()


class TestStory:
    """The story of one alert."""

    def test_deliveries(self, make_history: MakeHistory) -> None:
        """Each change has the channels that get it, with the state of the delivery."""
        mail, pager = ScriptedChannel("mail"), ScriptedChannel("pager")
        office = Office(make_history(), mail, pager)
        office.run(0, breach())
        office.history.alerts.acknowledge("breach:vc-1", by="anna", reason="4711", at=EPOCH)
        pager.mode = "fails"
        mail.mode = "hangs up"
        office.run(1, breach(level=2))
        alert, log = office.history.alerts.read_story("breach:vc-1", now=EPOCH + HOUR)
        assert (alert.level, alert.acknowledged_by) == (2, "")
        assert [(one.change.change, dict(one.deliveries)) for one in log] == [
            ("opened", {"mail": "sent", "pager": "sent"}),
            ("acknowledged", {}),
            ("worse", {"mail": "perhaps sent", "pager": "queued"}),
        ]
        state = office.history.alerts.read(now=EPOCH)
        assert state.informed == {"breach:vc-1": {"mail", "pager"}}
        mail.mode = pager.mode = "works"
        office.run(2)
        assert office.history.alerts.read(now=EPOCH).informed == {}

    def test_empty_history(self, make_history: MakeHistory) -> None:
        """Without alerts there is no story, and no table is made."""
        log = make_history().alerts
        with pytest.raises(HistoryError, match='No alert has the key "breach:vc-1"'):
            log.read_story("breach:vc-1", now=EPOCH)
        assert log.read(now=EPOCH).alerts == ()


class TestCrash:
    """Processes that die while they send."""

    @pytest.mark.parametrize("mode", ["dies before", "dies after"])
    def test_not_sent_again(self, office: Office, mode: str) -> None:
        """A message that was begun is never sent again; the next one mentions it."""
        [channel] = office.channels
        channel.mode = mode
        with pytest.raises(CrashError):
            office.run(0, breach())
        channel.mode = "works"
        before = len(channel.delivered)
        assert office.history.alerts.read(now=EPOCH).unclear == ()
        [unclear] = office.history.alerts.read(now=EPOCH + HOUR).unclear
        assert unclear.state == "perhaps sent"
        assert office.run(1, breach()).sent == {}
        office.run(2, breach(), breach("vc-2"))
        assert channel.changes[before:] == [["opened breach:vc-2"]]
        [mention] = channel.delivered[before]["perhaps_not_delivered"]
        assert mention["changes"][0]["key"] == "breach:vc-1"

    def test_broken_connection(self, office: Office) -> None:
        """A transaction that runs again, as its first try was committed, begins one message."""
        Office(office.history, ScriptedChannel("ops", "fails")).run(0, breach())
        log, now = office.history.alerts, EPOCH + HOUR
        first = log.begin_message("ops", token="1f", now=now)
        assert first is not None
        assert log.begin_message("ops", token="1f", now=now) == first
        assert log.begin_message("ops", token="2e", now=now) is None

    def test_mention_is_kept(self, office: Office) -> None:
        """If the message that mentions it fails, the next one does."""
        [channel] = office.channels
        channel.mode = "dies before"
        with pytest.raises(CrashError):
            office.run(0, breach())
        channel.mode = "fails"
        office.run(1)
        channel.mode = "works"
        office.run(2)
        assert len(channel.delivered[0]["perhaps_not_delivered"]) == 1

    def test_killed(self, tmp_path: Path, receiver: Receiver) -> None:
        """A process that is killed while the service has its request sends nothing twice."""
        history = History(tmp_path / "history.db")
        program = (
            "import sys;\n"
            "from datetime import datetime;\n"
            "from backupkit import History;\n"
            "from backupkit.alerts import AlertSettings, Fact, Facts;\n"
            "from backupkit.alerts.channels import SecretURL, WebhookChannel;\n"
            "from backupkit.alerts.sending import send_facts;\n"
            "path, url, now = sys.argv[1:];\n"
            "channel = WebhookChannel('ops', SecretURL(url, None, 'ops'));\n"
            "moment = datetime.fromisoformat(now);\n"
            "facts = Facts(present=(Fact(kind='breach', subject='vc-1'),));\n"
            "send_facts(facts, History(path).alerts, AlertSettings(channels=(channel,)),\n"
            "           now=moment, clock=lambda: moment);\n"
        )
        words = [sys.executable, "-c", program, history.uri, receiver.url, EPOCH.isoformat()]
        receiver.gate.clear()
        with subprocess.Popen(words) as process:
            wait_until(lambda: bool(receiver.seen))
            os.kill(process.pid, signal.SIGKILL)
        receiver.gate.set()
        assert len(receiver.documents) == 1
        channel = ScriptedChannel()
        office = Office(history, channel)
        assert office.run(1, breach()).sent == {}
        assert office.run(2).sent == {"ops": 1}
        [mention] = channel.delivered[0]["perhaps_not_delivered"]
        assert mention["message"] == receiver.documents[0]["message"]


MODES = ("works", "fails", "dies before", "dies after", "hangs up")
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.2, 1.0, 5.0, 26.0]),
        st.sets(st.sampled_from(["vc-1", "vc-2"])),
        st.integers(1, 2),
        st.sampled_from(MODES),
        st.sampled_from(MODES),
        st.sampled_from(["", "", "ack", "mute", "unmute"]),
    ),
    max_size=8,
)


FILTER_STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.2, 5.0, 26.0]),
        st.sets(st.sampled_from(["vc-1", "vc-2"])),
        st.sampled_from(["works", "fails"]),
        st.sampled_from([None, ("vc-1",), ("vc-2",), ("vc-3",)]),
    ),
    max_size=8,
)


@pytest.mark.property
class TestInterleaving:
    """Any order of runs, failures and crashes."""

    @settings(max_examples=repeats(10, 1000))
    @given(steps=FILTER_STEPS)
    def test_filters(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        steps: list[tuple[float, set[str], str, tuple[str, ...] | None]],
    ) -> None:
        """With any filter at any time, a channel gets the end of what it knows, and no other."""
        history = History(tmp_path_factory.mktemp("alerts") / "history.db")
        mail, pager = ScriptedChannel("mail"), ScriptedChannel("pager")
        office, hours = Office(history, mail, pager), 0.0
        office.settings = replace(office.settings, rules=Rules(flapping=100))
        for pause, names, pager.mode, chosen in steps:
            hours += pause
            filters = {} if chosen is None else {"pager": ChannelFilter(appliances=chosen)}
            office.settings = replace(office.settings, filters=filters)
            office.run(hours, *map(breach, sorted(names)))
        pager.mode = "works"
        office.run(hours + 100)
        for channel in (mail, pager):
            for key in ("breach:vc-1", "breach:vc-2"):
                got = [
                    one["change"] == "closed"
                    for document in channel.delivered
                    for one in sorted(document["changes"], key=lambda row: row["at"])
                    if one["key"] == key
                ]
                assert got == [] or got[-1]
                assert got[:1] != [True]
                assert (True, True) not in set(pairwise(got))

    @settings(max_examples=repeats(10, 1000))
    @given(steps=STEPS)
    def test_once(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        steps: list[tuple[float, set[str], int, str, str, str]],
    ) -> None:
        """No channel gets a change twice, and no open alert is lost."""
        history = History(tmp_path_factory.mktemp("alerts") / "history.db")
        first, second = ScriptedChannel("first"), ScriptedChannel("second")
        office, hours = Office(history, first, second), 0.0
        for pause, names, level, first.mode, second.mode, answer in steps:
            hours += pause
            _answer(history, answer, EPOCH + hours * HOUR)
            with suppress(CrashError):
                office.run(hours, *(breach(name, level) for name in sorted(names)))
            _check_once(first)
            _check_once(second)
            _check_nothing_lost(history, EPOCH + hours * HOUR, (first, second))


def _answer(history: History, answer: str, now: datetime) -> None:
    log = history.alerts
    with suppress(HistoryError):
        if answer == "ack":
            log.acknowledge("breach:vc-1", by="anna", reason="4711", at=now)
        elif answer == "mute":
            until = now + 10 * HOUR
            log.mute(Mute(selector="all", muted_at=now, until=until, by="b", reason="c"))
        elif answer == "unmute":
            log.unmute("all", by="b", reason="c", at=now)


def _list_deliveries(channel: ScriptedChannel) -> Iterator[tuple[str, str]]:
    for document in channel.delivered:
        for change in document["changes"]:
            yield change["key"], change["at"]


def _check_once(channel: ScriptedChannel) -> None:
    """No change was delivered twice: a run decides at most one for each alert."""
    counts = Counter(_list_deliveries(channel))
    assert all(count == 1 for count in counts.values()), counts


def _check_nothing_lost(
    history: History, now: datetime, channels: tuple[ScriptedChannel, ...]
) -> None:
    """Each open alert was sent, is queued, is in a message begun, or is muted or acknowledged."""
    later = now + SENDING_LIMIT + timedelta(microseconds=1)
    state = history.alerts.read(now=later)
    logged = history.alerts.read_changes(since=EPOCH)
    queued = {channel.channel for channel in state.channels if channel.queued}
    for alert in state.alerts:
        if not alert.is_open:
            continue
        if alert.announced_level == 0:
            is_muted = any(mute.covers(alert, at=alert.changed_at) for mute in state.mutes)
            assert is_muted or alert.acknowledged_at or alert.unstable_since
            continue
        newest = [row for row in logged if row.key == alert.key and row.outcome == "send"][-1]
        for channel in channels:
            unclear = {
                (change.key, change.at.isoformat())
                for message in state.unclear
                if message.channel == channel.name
                for change in message.changes
            }
            known = set(_list_deliveries(channel)) | unclear
            assert (newest.key, newest.at.isoformat()) in known or channel.name in queued
