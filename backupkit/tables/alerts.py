"""Values of alerts, as a history stores them and `backupkit.alerts` decides on them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backupkit.errors import SettingsError, one_line

__all__ = [
    "ALERT_KINDS",
    "DEFAULT_KINDS",
    "FLEET_SUBJECT",
    "SEVERITIES",
    "Alert",
    "AlertChange",
    "ChannelState",
    "Mute",
    "OutgoingMessage",
    "build_alert_key",
    "check_selector",
    "find_severity",
]

ALERT_KINDS: Final = (
    *("breach", "target", "breach-soon", "unknown", "running", "failure"),
    "slower",
)
"""Kinds of alert, the most serious first."""

DEFAULT_KINDS: Final = ("breach", "target", "breach-soon", "unknown", "failure")
"""Kinds of alert that are sent unless fleet.toml says otherwise."""

FLEET_SUBJECT: Final = "fleet"
"""Subject of an alert about the whole fleet."""

SEVERITIES: Final = ("warning", "critical")
"""How serious an alert is, the lowest first."""

_SELECTORS: Final = ("appliance", "site", "group", "kind", "key")
_ALL: Final = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Newest state of one alert.

    Attributes
    ----------
    kind : str
        One of `ALERT_KINDS`.
    subject : str
        Appliance, or site, or "fleet".
    cause : str
        Short name of the cause of failures; "" for other kinds.
    site, group : str
        Those of the appliance in fleet.toml; "" without.
    detail : str
        The state in a sentence.
    level : int
        How bad it is: the highest level since it was opened; 0 if it is closed.
    announced_level : int
        Level in the newest message; 0 if it reported the end, or if there was none.
    announced_at : datetime, optional
        Time of the newest message [UTC].
    announced_unstable : bool
        True if the newest message reported that the alert is unstable.
    opened_at, changed_at, seen_at, closed_at : datetime, optional
        Last opening, last change, last run that could judge it, and end [UTC].
    openings : tuple of datetime
        Openings within the window of the flapping rule [UTC].
    unstable_since : datetime, optional
        Since when it opens and closes too often [UTC].
    acknowledged_at, acknowledged_by, acknowledged_reason
        The acknowledgement in force; None and "" without one.
    """

    kind: str
    subject: str
    cause: str = ""
    site: str = ""
    group: str = ""
    detail: str = ""
    level: int = 0
    announced_level: int = 0
    announced_at: datetime | None = None
    announced_unstable: bool = False
    opened_at: datetime | None = None
    changed_at: datetime | None = None
    seen_at: datetime | None = None
    closed_at: datetime | None = None
    openings: tuple[datetime, ...] = ()
    unstable_since: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    acknowledged_reason: str = ""

    @property
    def key(self) -> str:
        """The text that names the alert on the command line, such as ``breach:vc-ham-01``."""
        return build_alert_key(self.kind, self.subject, self.cause)

    @property
    def is_open(self) -> bool:
        """True while the problem lasts."""
        return self.level > 0

    @property
    def is_about_appliance(self) -> bool:
        """True if the subject is an appliance, not a site or the fleet."""
        return self.kind != "target"

    @property
    def severity(self) -> str:
        """One of `SEVERITIES`."""
        return find_severity(self.kind, self.level)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChange:
    """One change of an alert, or one answer of a person to it; a row of the log.

    Attributes
    ----------
    change : str
        opened, worse, closed, repeated, "still open", unstable, stable, or acknowledged.
    outcome : str
        send, muted, acknowledged, "not chosen", unstable or recorded: why a message goes out, or
        why not.
    number : int
        Number of the row; 0 before it is stored.
    at : datetime
        When [UTC].
    by, reason : str
        Who acknowledged, and why; "" for other changes.
    """

    kind: str
    subject: str
    cause: str
    change: str
    level: int
    at: datetime
    detail: str
    outcome: str
    by: str = ""
    reason: str = ""
    number: int = 0

    @property
    def key(self) -> str:
        """The key of the alert."""
        return build_alert_key(self.kind, self.subject, self.cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """A time in which no message about some alerts goes out.

    Attributes
    ----------
    selector : str
        ``all``, or ``appliance=``, ``site=``, ``group=``, ``kind=`` or ``key=`` and a name.
    muted_at, until : datetime
        Start and end [UTC].
    by, reason : str
        Who, and why.
    ended_at : datetime, optional
        When somebody ended it early [UTC].
    ended_by, ended_reason : str
        Who ended it, and why; "" if nobody did.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> day = datetime(2026, 11, 9, tzinfo=UTC)
    >>> mute = Mute(
    ...     selector="site=Tokyo", muted_at=day, until=day.replace(day=10), by="x", reason="y"
    ... )
    >>> alert = Alert(kind="breach", subject="vc-1", site="Tokyo")
    >>> mute.covers(alert), mute.covers(alert, at=day), mute.covers(alert, at=mute.end)
    (True, True, False)
    """

    selector: str
    muted_at: datetime
    until: datetime
    by: str
    reason: str
    ended_at: datetime | None = None
    ended_by: str = ""
    ended_reason: str = ""
    number: int = 0

    @property
    def end(self) -> datetime:
        """When it ends, or has ended [UTC]."""
        return self.until if self.ended_at is None else min(self.until, self.ended_at)

    def covers(self, alert: Alert, *, at: datetime | None = None) -> bool:
        """Return True if it is about an alert, and is in force at a time."""
        if at is not None and not self.muted_at <= at < self.end:
            return False
        kind, _, name = self.selector.partition("=")
        about = {
            _ALL: True,
            "appliance": alert.is_about_appliance and alert.subject == name,
            "site": alert.site == name,
            "group": alert.group == name,
            "kind": alert.kind == name,
            "key": alert.key == name,
        }
        return about[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """One message to one channel.

    Attributes
    ----------
    token : str
        Random name of the message.
    channel : str
        Name of the channel.
    state : str
        sending, sent, or "perhaps sent".
    created_at, sent_at : datetime
        When it was begun, and when the channel accepted it [UTC].
    changes : tuple of AlertChange
        What it reports.
    unclear : tuple of OutgoingMessage
        Earlier messages that were perhaps sent, and that it mentions.
    """

    token: str
    channel: str
    state: str
    created_at: datetime
    sent_at: datetime | None = None
    changes: tuple[AlertChange, ...] = ()
    unclear: tuple["OutgoingMessage", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """State of a channel: its queue, and its newest error.

    Attributes
    ----------
    channel : str
        Its name.
    failures : int
        Failed attempts in a row.
    next_try_at : datetime, optional
        When it is tried again [UTC].
    error : str
        The newest error; "" after a success.
    queued : int
        Changes that wait for it.
    """

    channel: str
    failures: int = 0
    next_try_at: datetime | None = None
    error: str = ""
    queued: int = 0

    @property
    def text(self) -> str:
        """Queue and newest error as text."""
        parts = [f"{self.queued:,} queued"] if self.queued else []
        if self.next_try_at is not None:
            times = "time" if self.failures == 1 else "times"
            parts.append(f"failed {self.failures:,} {times}")
            parts.append(f"next try after {self.next_try_at:%Y-%m-%d %H:%M} UTC")
        return ", ".join(parts) + (f": {self.error}" if self.error else "")


def find_severity(kind: str, level: int) -> str:
    """Return how serious an alert is: a breach and a missed target are critical.

    Examples
    --------
    >>> find_severity("target", 1), find_severity("target", 2), find_severity("breach", 1)
    ('warning', 'critical', 'critical')
    """
    is_critical = kind == "breach" or (kind == "target" and level > 1)
    return "critical" if is_critical else "warning"


def build_alert_key(kind: str, subject: str, cause: str = "") -> str:
    """Return the key of an alert.

    Examples
    --------
    >>> build_alert_key("failure", "vc-ham-01", "disk full")
    'failure:vc-ham-01:disk full'
    """
    plain = subject.replace("%", "%25").replace(":", "%3A")
    return f"{kind}:{plain}:{cause}" if cause else f"{kind}:{plain}"


def check_selector(text: str) -> str:
    """Return the selector of a mute; raise if it selects nothing.

    Raises
    ------
    SettingsError
        If it is not ``all`` or a known word, ``=`` and a name.

    Examples
    --------
    >>> check_selector("site=Tokyo"), check_selector("breach:vc-1"), check_selector("vc-1")
    ('site=Tokyo', 'key=breach:vc-1', 'appliance=vc-1')
    """
    word, sign, name = text.partition("=")
    if text == _ALL or (sign and word in _SELECTORS and name):
        if word == "kind" and name not in ALERT_KINDS:
            raise SettingsError(
                f'SELECTOR: "{one_line(name)}" is not a kind of alert; there are '
                f"{', '.join(ALERT_KINDS)}."
            )
        return text
    if text and not sign:
        kind, colon, _ = text.partition(":")
        return f"key={text}" if colon and kind in ALERT_KINDS else f"appliance={text}"
    raise SettingsError(
        f'SELECTOR: "{one_line(text)}" selects nothing. Write all, the name of an appliance, the '
        "key of an alert, or appliance=, site=, group= or kind= and a name."
    )
