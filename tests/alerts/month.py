"""A scripted month of alerts: which messages went out, and why; a table of docs/alerts.md.

``python -m tests.alerts.month`` writes the table; a test checks that it is in the page.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from backupkit import History
from backupkit.alerts import AlertSettings, Fact, Facts, decide
from backupkit.alerts.filters import ChannelFilter
from backupkit.alerts.sending import send_facts
from backupkit.tables.alerts import Mute
from tests.alerts.scripted import CrashError, ScriptedChannel

PAGE: Final = Path(__file__).parents[2] / "docs" / "alerts.md"
BEGIN: Final = "<!-- begin of the scripted month -->"
END: Final = "<!-- end of the scripted month -->"
START: Final = datetime(2026, 11, 1, tzinfo=UTC)
CRITICAL: Final = ChannelFilter(min_severity="critical")
_EVERY: Final = timedelta(hours=6)

# first and last time (day, hour) at which a problem is seen, and its level
PROBLEMS: Final = (
    ((2, 6), (4, 18), Fact(kind="breach", subject="vc-ham-01", site="Hamburg")),
    ((5, 0), (5, 12), Fact(kind="breach", subject="vc-ham-01", site="Hamburg", level=2)),
    *(((day, 6), (day, 6), Fact(kind="unknown", subject="vc-nyc-03")) for day in range(7, 12)),
    ((12, 6), (13, 6), Fact(kind="breach", subject="vc-tyo-01", site="Tokyo")),
    ((15, 6), (15, 6), Fact(kind="breach-soon", subject="vc-ham-02", site="Hamburg")),
    ((15, 12), (15, 18), Fact(kind="breach", subject="vc-ham-02", site="Hamburg")),
    ((18, 6), (18, 18), Fact(kind="breach", subject="vc-ham-02", site="Hamburg")),
    ((21, 6), (21, 12), Fact(kind="breach", subject="vc-nyc-01", site="New York")),
    ((22, 12), (24, 18), Fact(kind="unknown", subject="vc-tyo-02", site="Tokyo")),
    ((25, 6), (26, 0), Fact(kind="target", subject="fleet")),
    ((26, 6), (27, 6), Fact(kind="target", subject="fleet", level=2)),
)


def moment(day: int, hour: int) -> datetime:
    """Return a time of the month."""
    return START + timedelta(days=day - 1, hours=hour)


@dataclass
class Month:
    """The month, run by run.

    Attributes
    ----------
    rows : list of (datetime, str, str, str)
        Time, channel or event, changes, and why.
    """

    history: History
    mail: ScriptedChannel = field(default_factory=lambda: ScriptedChannel("mail"))
    chat: ScriptedChannel = field(default_factory=lambda: ScriptedChannel("chat"))
    pager: ScriptedChannel = field(default_factory=lambda: ScriptedChannel("pager"))
    filters: dict[str, ChannelFilter] = field(default_factory=lambda: {"pager": CRITICAL})
    rows: list[tuple[datetime, str, str, str]] = field(default_factory=list)
    reasons: dict[tuple[str, str], str] = field(default_factory=dict)
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def run(self) -> None:
        """Run the alerts each six hours for 28 days."""
        now = START
        while now < moment(29, 0):
            self._answer(now)
            self.mail.mode = "dies after" if now == moment(18, 6) else "works"
            is_down = moment(21, 6) <= now < moment(22, 6)
            self.chat.mode = "fails" if is_down else "works"
            channels = self.mail, self.chat, self.pager
            before = [len(channel.delivered) for channel in channels]
            self._send(now)
            for channel, start in zip(channels, before, strict=True):
                for document in channel.delivered[start:]:
                    self._add_message(now, channel.name, document)
            now += _EVERY

    def _answer(self, now: datetime) -> None:
        """Acknowledge, mute and change the filter as the script says."""
        log = self.history.alerts
        if now == moment(3, 12):
            log.acknowledge("breach:vc-ham-01", by="anna", reason="ticket 4711", at=now)
            self.rows.append((now, "", "anna acknowledges breach:vc-ham-01", "ticket 4711"))
        if now == moment(12, 0):
            mute = Mute(
                selector="site=Tokyo",
                muted_at=now,
                until=moment(13, 0),
                by="ben",
                reason="storage move",
            )
            log.mute(mute)
            self.rows.append((now, "", "ben mutes site=Tokyo for a day", "storage move"))
        if now == moment(23, 6):
            self.filters.clear()
            self.rows.append((now, "", "the filter of pager is removed", "it gets all from now on"))

    def _send(self, now: datetime) -> None:
        facts = Facts(
            present=tuple(
                fact for first, last, fact in PROBLEMS if moment(*first) <= now <= moment(*last)
            )
        )
        settings = AlertSettings(
            channels=(self.mail, self.chat, self.pager), filters=dict(self.filters)
        )
        log = self.history.alerts
        stored = log.read(now=now)
        for one in decide(facts, stored.alerts, stored.mutes, settings.rules, now)[1]:
            self.reasons[one.alert.key, now.isoformat()] = one.why
            what = f"{one.change} {one.alert.key}"
            if one.outcome != "send" and (what, one.why) not in self._seen:
                self._seen.add((what, one.why))
                self.rows.append((now, "none", what, one.why))
        with suppress(CrashError):
            run = send_facts(facts, log, settings, now=now, clock=lambda: now)
            for name in run.failed:
                self.rows.append((now, "none", f"the message to {name} fails", "it is down"))
            return
        self.rows.append(
            (now, "", "the process dies while mail is sent", "before it stored that it was sent")
        )

    def _add_message(self, now: datetime, channel: str, document: dict[str, object]) -> None:
        changes, lost = document["changes"], document["perhaps_not_delivered"]
        assert isinstance(changes, list)
        assert isinstance(lost, list)
        texts = [f"{one['change']} {one['key']}" for one in changes]
        reasons = [
            self.reasons[one["key"], one["at"]]
            + (
                f" (queued since day {one['at'][8:10]} at {one['at'][11:16]})"
                * self._was_queued(one, now)
            )
            for one in changes
        ]
        texts += [f"mentions what was perhaps not delivered: {self._name_lost(lost)}"] * bool(lost)
        self.rows.append((now, channel, "; ".join(texts), "; ".join(dict.fromkeys(reasons))))

    @staticmethod
    def _was_queued(change: dict[str, str], now: datetime) -> bool:
        return change["at"] != now.isoformat()

    @staticmethod
    def _name_lost(lost: list[dict[str, list[dict[str, str]]]]) -> str:
        return ", ".join(
            f"{one['change']} {one['key']}" for each in lost for one in each["changes"]
        )

    def table(self) -> str:
        """Return the table in Markdown."""
        return "\n".join(
            [
                "| time | channel | what | why |",
                "| --- | --- | --- | --- |",
                *(f"| {' | '.join(cells)} |" for cells in self._list_cells()),
            ]
        )

    def _list_cells(self) -> Iterator[tuple[str, ...]]:
        """Yield the cells of each row; equal messages to several channels are one row."""
        merged: dict[tuple[datetime, str, str], list[str]] = {}
        for when, channel, what, why in self.rows:
            merged.setdefault((when, what, why), []).append(channel)
        for (when, what, why), channels in merged.items():
            yield f"day {when:%d} at {when:%H:%M}", ", ".join(channels) or " ", what, why


def run_month(history: History) -> Month:
    """Run the month."""
    month = Month(history)
    month.run()
    return month


def write_table(page: Path, table: str) -> None:
    """Write the table into the page."""
    text = page.read_text(encoding="utf-8")
    section = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    page.write_text(section.sub(lambda _: f"{BEGIN}\n\n{table}\n\n{END}", text), encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        write_table(PAGE, run_month(History(Path(folder) / "history.db")).table())
