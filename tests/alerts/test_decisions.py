"""The rules of alerts: what opens, changes and closes, and which of it goes out."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from backupkit.alerts import Decision, Fact, Facts, Rules, decide
from backupkit.alerts.decisions import sort_changes
from backupkit.errors import SettingsError
from backupkit.tables.alerts import ALERT_KINDS, Alert, Mute, check_selector
from tests.conftest import EPOCH

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BREACH = Fact(kind="breach", subject="vc-1", site="Hamburg", group="production", detail="30 h old")
RULES = Rules()


class Book:
    """The stored alerts of a test, and what each run sent."""

    def __init__(self, *mutes: Mute, rules: Rules = RULES) -> None:
        self.alerts: dict[str, Alert] = {}
        self.mutes, self.rules = list(mutes), rules
        self.decisions: list[Decision] = []

    def run(
        self, hours: float, *facts: Fact, undecided: Iterable[tuple[str, str]] = ()
    ) -> list[str]:
        """Run some hours after EPOCH, and return what goes out."""
        known = Facts(
            present=facts, undecided=frozenset(undecided), states={"vc-1": "the backup is 1 h old"}
        )
        changed, self.decisions = decide(
            known, self.alerts.values(), self.mutes, self.rules, EPOCH + hours * HOUR
        )
        self.alerts |= {alert.key: alert for alert in changed}
        return [one.change for one in self.decisions if one.outcome == "send"]

    def acknowledge(self, hours: float, key: str = "breach:vc-1") -> None:
        """Acknowledge an alert."""
        self.alerts[key] = replace(
            self.alerts[key],
            acknowledged_at=EPOCH + hours * HOUR,
            acknowledged_by="anna",
            acknowledged_reason="ticket 4711",
        )

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """Changes and outcomes of the newest run."""
        return [(one.change, one.outcome) for one in self.decisions]


def mute(start: float, end: float, selector: str = "all", ended: float | None = None) -> Mute:
    """Build a mute from and to some hours after EPOCH."""
    return Mute(
        selector=selector,
        muted_at=EPOCH + start * HOUR,
        until=EPOCH + end * HOUR,
        by="ben",
        reason="storage move",
        ended_at=None if ended is None else EPOCH + ended * HOUR,
    )


class TestLife:
    """An alert from its opening to its end."""

    def test_opened_repeated_closed(self) -> None:
        """It is sent once when it opens, again after each repeat, and when it closes."""
        book = Book()
        sent = [book.run(hours, BREACH) for hours in (0, 1, 23, 24, 25, 48)]
        assert sent == [["opened"], [], [], ["repeated"], [], ["repeated"]]
        assert book.run(49) == ["closed"]
        assert book.alerts["breach:vc-1"].detail == "the backup is 1 h old"
        assert book.run(50) == []
        assert book.run(51, BREACH) == ["opened"]

    @pytest.mark.parametrize("kind", ALERT_KINDS)
    def test_each_kind(self, kind: str) -> None:
        """An alert of each kind opens, is repeated, acknowledged, muted and closed."""
        fact = Fact(kind=kind, subject="vc-1")
        book = Book(mute(50, 60, f"kind={kind}"))
        assert [book.run(hours, fact) for hours in (0, 23, 24)] == [["opened"], [], ["repeated"]]
        book.acknowledge(25, f"{kind}:vc-1")
        assert book.run(48, fact) == []
        assert book.run(49) == ["closed"]
        assert [book.run(hours, fact) for hours in (50, 60)] == [[], ["opened"]]

    def test_worse(self) -> None:
        """A higher level is sent at once, and only once; a lower one is not sent."""
        book = Book()
        assert book.run(0, BREACH) == ["opened"]
        assert book.run(1, replace(BREACH, level=2)) == ["worse"]
        assert book.run(2, BREACH) == []
        assert book.run(3, replace(BREACH, level=2)) == []
        assert book.alerts["breach:vc-1"].level == 2

    def test_undecided_stays(self) -> None:
        """An alert that could not be judged neither closes nor opens."""
        book = Book()
        unclear = [("breach", "vc-1")]
        assert book.run(0, undecided=unclear) == []
        assert book.run(1, BREACH) == ["opened"]
        assert book.run(2, undecided=unclear) == []
        assert book.run(25, undecided=unclear) == ["repeated"]
        assert book.run(26) == ["closed"]

    def test_subject_gone(self) -> None:
        """An appliance that is no longer assessed ends its alerts, and the message says so."""
        book = Book()
        other = replace(BREACH, subject="vc-2")
        book.run(0, other)
        assert book.run(1) == ["closed"]
        assert book.alerts["breach:vc-2"].detail == "no longer assessed"

    def test_kind_not_judged(self) -> None:
        """An alert of a kind that is switched off stays as it is, and is not sent."""
        book = Book()
        book.run(0, BREACH)
        facts = Facts(kinds=("unknown",))
        changed, decisions = decide(facts, book.alerts.values(), [], RULES, EPOCH + 48 * HOUR)
        assert (changed, decisions) == ([], [])

    def test_older_run(self) -> None:
        """A run that is older than the stored state changes nothing."""
        book = Book()
        book.run(2, BREACH)
        assert book.run(1) == []
        assert book.alerts["breach:vc-1"].is_open

    def test_order(self) -> None:
        """The worst comes first, and ends come last."""
        book = Book()
        book.run(0, replace(BREACH, subject="vc-9", level=3))
        facts = [
            Fact(kind="failure", subject="vc-1", cause="disk-full"),
            Fact(kind="unknown", subject="vc-1"),
            Fact(kind="target", subject="fleet"),
            BREACH,
            replace(BREACH, subject="vc-2", level=2),
        ]
        book.run(1, *facts)
        keys = [one.alert.key for one in book.decisions]
        assert keys == [
            "breach:vc-2",
            "breach:vc-1",
            "target:fleet",
            "unknown:vc-1",
            "failure:vc-1:disk-full",
            "breach:vc-9",
        ]
        rows = [one.log_row for one in book.decisions]
        assert [row.key for row in sort_changes(reversed(rows))] == keys


class TestAcknowledged:
    """Acknowledgements."""

    def test_no_repeats(self) -> None:
        """An acknowledged alert is not repeated; its end is sent."""
        book = Book()
        book.run(0, BREACH)
        book.acknowledge(1)
        assert book.run(30, BREACH) == []
        assert book.outcomes == [("repeated", "acknowledged")]
        assert book.decisions[0].why == "acknowledged by anna: ticket 4711"
        assert book.run(31) == ["closed"]

    def test_ends_when_worse(self) -> None:
        """It holds until the alert becomes worse: then it is sent and repeated."""
        book = Book()
        book.run(0, BREACH)
        book.acknowledge(1)
        assert book.run(2, replace(BREACH, level=2)) == ["worse"]
        assert book.run(26, replace(BREACH, level=2)) == ["repeated"]

    def test_ends_when_closed(self) -> None:
        """It does not hold for the next opening."""
        book = Book()
        book.run(0, BREACH)
        book.acknowledge(1)
        book.run(2)
        assert book.run(3, BREACH) == ["opened"]
        assert book.alerts["breach:vc-1"].acknowledged_at is None


class TestMuted:
    """Mutes."""

    def test_opened_while_muted(self) -> None:
        """An opening waits for the end of the mute."""
        book = Book(mute(0, 10))
        assert book.run(0, BREACH) == []
        assert book.outcomes == [("opened", "muted")]
        assert book.decisions[0].why == "muted until 2026-11-09 16:00 UTC by ben: storage move"
        assert book.run(1, BREACH) == []
        assert book.run(10, BREACH) == ["opened"]

    def test_still_open(self) -> None:
        """An alert that was sent before is sent again after the mute, if it is still open."""
        book = Book(mute(1, 5))
        book.run(0, BREACH)
        assert book.run(2, BREACH) == []
        assert book.run(5, BREACH) == ["still open"]
        assert book.run(6, BREACH) == []

    def test_closed_while_muted(self) -> None:
        """An end during the mute is sent afterwards, if the opening was sent."""
        book = Book(mute(1, 5))
        book.run(0, BREACH)
        assert book.run(2) == []
        assert book.run(5) == ["closed"]

    def test_opened_and_closed_while_muted(self) -> None:
        """An alert that opened and closed during the mute is only recorded."""
        book = Book(mute(0, 5))
        book.run(1, BREACH)
        book.run(2)
        assert book.outcomes == [("closed", "recorded")]
        assert book.run(6) == []

    def test_ended_early(self) -> None:
        """A mute that somebody ended is over."""
        book = Book(mute(0, 10, ended=2))
        assert book.run(1, BREACH) == []
        assert book.run(2, BREACH) == ["opened"]

    @pytest.mark.parametrize(
        ("selector", "covered"),
        [
            ("all", True),
            ("appliance=vc-1", True),
            ("appliance=vc-2", False),
            ("site=Hamburg", True),
            ("group=edge", False),
            ("kind=breach", True),
            ("key=breach:vc-1", True),
            ("key=unknown:vc-1", False),
        ],
    )
    def test_selectors(self, selector: str, *, covered: bool) -> None:
        """A selector covers what it names."""
        book = Book(mute(0, 10, selector))
        assert book.run(1, BREACH) == ([] if covered else ["opened"])

    def test_selector_of_appliance(self) -> None:
        """The name of an appliance does not select a target with the same subject."""
        book = Book(mute(0, 10, "appliance=fleet"))
        assert book.run(1, Fact(kind="target", subject="fleet")) == ["opened"]

    @pytest.mark.parametrize(
        ("text", "selector"),
        [
            ("vc-1", "appliance=vc-1"),
            ("breach:vc-1", "key=breach:vc-1"),
            ("host:8443", "appliance=host:8443"),
            ("kind=breach", "kind=breach"),
            ("all", "all"),
        ],
    )
    def test_short_forms(self, text: str, selector: str) -> None:
        """A name or a key alone is a selector."""
        assert check_selector(text) == selector

    @pytest.mark.parametrize("text", ["", "site=", "city=Rome", "kind=worst"])
    def test_wrong_selectors(self, text: str) -> None:
        """A selector that selects nothing is an error."""
        with pytest.raises(SettingsError, match="SELECTOR"):
            check_selector(text)


class TestUnstable:
    """The flapping rule."""

    def test_flapping(self) -> None:
        """The fourth opening within the window is one message; then it is quiet until stable."""
        book = Book()
        sent = []
        for hour in range(0, 16, 2):
            sent.append(book.run(hour, BREACH))
            sent.append(book.run(hour + 1))
        assert sent[:7] == [["opened"], ["closed"]] * 3 + [["unstable"]]
        assert sent[7:] == [[]] * 9
        assert book.outcomes == [("closed", "unstable")]
        assert book.run(14 + 168) == ["closed"]
        assert book.run(14 + 169) == []
        assert book.run(14 + 170, BREACH) == ["opened"]

    def test_stable_and_open(self) -> None:
        """An unstable alert that stays open is repeated, and sent when it is stable."""
        book = Book(rules=Rules(flapping=1, flapping_within=3 * DAY))
        book.run(0, BREACH)
        book.run(1)
        assert book.run(2, BREACH) == ["unstable"]
        assert book.run(27, BREACH) == ["repeated"]
        assert book.run(30, replace(BREACH, level=2)) == ["worse"]
        book.acknowledge(31)
        assert book.run(74, BREACH) == []
        assert book.outcomes == [("stable", "acknowledged")]
        assert book.run(75, replace(BREACH, level=3)) == ["worse"]

    def test_stable(self) -> None:
        """Without an acknowledgement, a message says that it is stable and open."""
        book = Book(rules=Rules(flapping=1, flapping_within=DAY))
        book.run(0, BREACH)
        book.run(1)
        book.run(2, BREACH)
        assert book.run(25.9, BREACH) == []
        assert book.run(26, BREACH) == ["stable"]
        assert book.run(27) == ["closed"]

    def test_acknowledged(self) -> None:
        """An acknowledgement of an unstable alert survives its closings."""
        book = Book(rules=Rules(flapping=1))
        book.run(0, BREACH)
        book.run(1)
        book.run(2, BREACH)
        book.acknowledge(3)
        book.run(4)
        assert book.run(30, BREACH) == []
        assert book.alerts["breach:vc-1"].acknowledged_by == "anna"

    def test_muted(self) -> None:
        """If it becomes unstable while it is muted, the message waits."""
        book = Book(mute(0, 10), rules=Rules(flapping=1))
        for hour in (0, 2):
            book.run(hour, BREACH)
            book.run(hour + 1)
        assert book.run(10) == ["unstable"]


def test_key() -> None:
    """A colon in a name cannot be taken for the one before the cause."""
    assert Alert(kind="unknown", subject="[::1]:8443").key == "unknown:[%3A%3A1]%3A8443"


def test_now_is_datetime() -> None:
    """Decisions have the time of the run."""
    book = Book()
    book.run(3, BREACH)
    [decision] = book.decisions
    assert isinstance(decision.at, datetime)
    assert decision.log_row.at == EPOCH + 3 * HOUR
