"""The tables of alerts in a history, and their rows."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from backupkit.history.databases import Connection
from backupkit.history.stored import to_datetime, to_microseconds
from backupkit.tables.alerts import (
    ALERT_KINDS,
    Alert,
    AlertChange,
    ChannelState,
    Mute,
    OutgoingMessage,
    build_alert_key,
)

__all__ = [
    "FIRST_TABLE",
    "SENDING_LIMIT",
    "AlertState",
    "LoggedChange",
    "add_changes",
    "create_alert_tables",
    "find_next_number",
    "forget_alerts",
    "prune_alerts",
    "read_changes",
    "read_deliveries",
    "read_informed",
    "read_message",
    "read_rows",
    "read_state",
    "replace_alerts",
]

SENDING_LIMIT: Final = timedelta(minutes=15)
"""How long sending may take; an older message in this state is one of a process that died."""

_SHOWN_FOR: Final = timedelta(days=7)
"""How long a message that was perhaps sent is shown after another one mentioned it."""

FIRST_TABLE: Final = "alerts"
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS alerts (
  kind TEXT NOT NULL, subject TEXT NOT NULL, cause TEXT NOT NULL,
  site TEXT NOT NULL, group_name TEXT NOT NULL, detail TEXT NOT NULL,
  level BIGINT NOT NULL, announced_level BIGINT NOT NULL, announced_at BIGINT,
  announced_unstable BIGINT NOT NULL,
  opened_at BIGINT, changed_at BIGINT, seen_at BIGINT, closed_at BIGINT,
  openings TEXT NOT NULL, unstable_since BIGINT,
  acknowledged_at BIGINT, acknowledged_by TEXT NOT NULL, acknowledged_reason TEXT NOT NULL,
  PRIMARY KEY (kind, subject, cause)
);
CREATE TABLE IF NOT EXISTS alert_changes (
  number BIGINT PRIMARY KEY,
  kind TEXT NOT NULL, subject TEXT NOT NULL, cause TEXT NOT NULL,
  change TEXT NOT NULL, level BIGINT NOT NULL, at BIGINT NOT NULL, detail TEXT NOT NULL,
  outcome TEXT NOT NULL, by_name TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS alert_mutes (
  number BIGINT PRIMARY KEY,
  selector TEXT NOT NULL, muted_at BIGINT NOT NULL, until BIGINT NOT NULL,
  by_name TEXT NOT NULL, reason TEXT NOT NULL,
  ended_at BIGINT, ended_by TEXT NOT NULL, ended_reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS alert_messages (
  token TEXT PRIMARY KEY,
  channel TEXT NOT NULL, state TEXT NOT NULL,
  created_at BIGINT NOT NULL, sent_at BIGINT, mentioned_in TEXT
);
CREATE TABLE IF NOT EXISTS alert_items (
  change_number BIGINT NOT NULL, channel TEXT NOT NULL, token TEXT,
  PRIMARY KEY (change_number, channel)
);
CREATE TABLE IF NOT EXISTS alert_channels (
  channel TEXT PRIMARY KEY, failures BIGINT NOT NULL, next_try_at BIGINT, error TEXT NOT NULL
)
"""

_T = TypeVar("_T", Alert, AlertChange, Mute)
_RENAMED: Final = {"group": "group_name", "by": "by_name"}
_FLAGS: Final = frozenset({"announced_unstable"})
_TIMES: Final = frozenset({"at", "until"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """All that is stored of alerts, at one moment.

    Attributes
    ----------
    alerts : tuple of Alert
        Open and closed ones.
    mutes : tuple of Mute
        Also those that have ended.
    channels : tuple of ChannelState
        Each channel with a queued change, or with an error.
    unclear : tuple of OutgoingMessage
        Messages that were perhaps sent, the newest first.
    informed : mapping of str to frozenset of str
        By the key of an alert, the channels that got a message that it is open, and none yet that
        it has ended.
    """

    alerts: tuple[Alert, ...] = ()
    mutes: tuple[Mute, ...] = ()
    channels: tuple[ChannelState, ...] = ()
    unclear: tuple[OutgoingMessage, ...] = ()
    informed: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedChange:
    """A change, and what became of it.

    Attributes
    ----------
    change : AlertChange
        The row of the log.
    deliveries : mapping of str to str
        By channel: sent, sending, "perhaps sent" or queued.
    """

    change: AlertChange
    deliveries: Mapping[str, str]


def create_alert_tables(connection: Connection) -> None:
    """Create the tables of alerts, unless they exist."""
    if connection.has_table(FIRST_TABLE):  # else the user would need the right to create tables
        return
    for statement in _TABLES.split(";"):
        connection.execute(statement)


def forget_alerts(connection: Connection, appliance: str) -> None:
    """Remove all alerts, log rows and mutes that name an appliance."""
    if not connection.has_table(FIRST_TABLE):
        return
    about = [appliance]
    connection.execute(
        "DELETE FROM alert_items WHERE change_number IN "
        "(SELECT number FROM alert_changes WHERE subject = ? AND kind <> 'target')",
        about,
    )
    for table in ("alert_changes", "alerts"):
        connection.execute(f"DELETE FROM {table} WHERE subject = ? AND kind <> 'target'", about)
    keys = [f"key={build_alert_key(kind, appliance)}" for kind in ALERT_KINDS if kind != "target"]
    numbers = [
        (mute.number,)
        for mute in read_rows(connection, "alert_mutes", Mute)
        if mute.selector in {f"appliance={appliance}", *keys}
        or mute.selector.startswith(tuple(f"{key}:" for key in keys))
    ]
    connection.execute_many("DELETE FROM alert_mutes WHERE number = ?", numbers)


def prune_alerts(connection: Connection, before: int) -> None:
    """Remove closed alerts, sent messages and log rows of the time before an instant [us]."""
    if not connection.has_table(FIRST_TABLE):
        return
    connection.execute(
        "DELETE FROM alerts WHERE level = 0 AND announced_level = 0 AND closed_at < ?", [before]
    )
    connection.execute("DELETE FROM alert_mutes WHERE until < ?", [before])
    connection.execute("DELETE FROM alert_messages WHERE created_at < ?", [before])
    waiting = "SELECT change_number FROM alert_items WHERE token IS NULL"
    # an end is sent to the channels that got the messages before, so these rows are needed
    informed = (
        "SELECT c.number FROM alert_changes c JOIN alerts a "
        "ON a.kind = c.kind AND a.subject = c.subject AND a.cause = c.cause "
        "WHERE c.outcome = 'send' AND (a.announced_level > 0 OR a.announced_unstable > 0)"
    )
    connection.execute(
        f"DELETE FROM alert_changes WHERE at < ? AND number NOT IN ({waiting}) "
        f"AND number NOT IN ({informed})",
        [before],
    )
    connection.execute(
        "DELETE FROM alert_items WHERE change_number NOT IN (SELECT number FROM alert_changes)"
    )


def find_next_number(connection: Connection, table: str) -> int:
    """Return the next free number of a table."""
    [(number,)] = connection.execute(f"SELECT COALESCE(MAX(number), 0) + 1 FROM {table}")
    return int(number)


def _columns(kind: type[Any]) -> list[str]:
    return [_RENAMED.get(one.name, one.name) for one in fields(kind)]


def read_rows(connection: Connection, table: str, kind: type[_T]) -> Iterable[_T]:
    """Return the rows of a table as records, in the order of their first columns."""
    columns = _columns(kind)
    rows = connection.execute(
        f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(columns[:3])}"
    )
    return (_decode(kind, row) for row in rows)


def _decode(kind: type[_T], row: Sequence[Any]) -> _T:
    values: dict[str, Any] = {}
    for one, value in zip(fields(kind), row, strict=True):
        if one.name == "openings":
            values[one.name] = tuple(map(to_datetime, json.loads(value)))
        elif value is not None and _is_time(one.name):
            values[one.name] = to_datetime(value)
        else:
            values[one.name] = bool(value) if one.name in _FLAGS else value
    return kind(**values)


def _encode(record: Alert | AlertChange) -> list[Any]:
    values = []
    for one in fields(record):
        value = getattr(record, one.name)
        if one.name == "openings":
            value = json.dumps([to_microseconds(moment) for moment in value])
        elif isinstance(value, datetime):
            value = to_microseconds(value)
        elif isinstance(value, bool):
            value = int(value)
        values.append(value)
    return values


def _is_time(name: str) -> bool:
    return name in _TIMES or name.endswith(("_at", "_since"))


def replace_alerts(connection: Connection, alerts: Sequence[Alert]) -> None:
    """Store the new states of alerts."""
    columns = _columns(Alert)
    connection.execute_many(
        "DELETE FROM alerts WHERE kind = ? AND subject = ? AND cause = ?",
        [(alert.kind, alert.subject, alert.cause) for alert in alerts],
    )
    connection.insert("alerts", columns, [_encode(alert) for alert in alerts])


def add_changes(connection: Connection, rows: Sequence[AlertChange]) -> list[AlertChange]:
    """Add rows to the log, and return them with their numbers."""
    first = find_next_number(connection, "alert_changes")
    numbered = [replace(row, number=number) for number, row in enumerate(rows, start=first)]
    connection.insert("alert_changes", _columns(AlertChange), list(map(_encode, numbered)))
    return numbered


def read_changes(
    connection: Connection, condition: str, parameters: Sequence[Any]
) -> list[AlertChange]:
    """Return the rows of the log `c` that meet a condition, the oldest first."""
    columns = ", ".join(f"c.{name}" for name in _columns(AlertChange))
    rows = connection.execute(
        f"SELECT {columns} FROM alert_changes c WHERE {condition} ORDER BY c.number",
        parameters,
    )
    return [_decode(AlertChange, row) for row in rows]


def read_deliveries(connection: Connection, alert: Alert, now: datetime) -> list[LoggedChange]:
    """Return the log of an alert with the deliveries, the oldest change first."""
    about = "c.kind = ? AND c.subject = ? AND c.cause = ?"
    key = [alert.kind, alert.subject, alert.cause]
    deliveries: dict[int, dict[str, str]] = {}
    for number, channel, token, state, created_at in connection.execute(
        "SELECT i.change_number, i.channel, i.token, m.state, m.created_at FROM alert_items i "
        "JOIN alert_changes c ON c.number = i.change_number "
        f"LEFT JOIN alert_messages m ON m.token = i.token WHERE {about} ORDER BY i.channel",
        key,
    ):
        word = state or ("sent" if token else "queued")  # a message that was pruned was sent
        if word == "sending" and to_datetime(created_at) < now - SENDING_LIMIT:
            word = "perhaps sent"
        deliveries.setdefault(number, {})[channel] = word
    return [
        LoggedChange(change=row, deliveries=deliveries.get(row.number, {}))
        for row in read_changes(connection, about, key)
    ]


def read_informed(connection: Connection) -> Mapping[str, frozenset[str]]:
    """Return by alert the channels that know of it as open: a closing is sent to these."""
    informed: dict[str, set[str]] = {}
    for channel, kind, subject, cause in connection.execute(
        "SELECT n.channel, c.kind, c.subject, c.cause FROM ("
        "SELECT i.channel AS channel, MAX(c.number) AS number FROM alert_items i "
        "JOIN alert_changes c ON c.number = i.change_number "
        "GROUP BY i.channel, c.kind, c.subject, c.cause"
        ") n JOIN alert_changes c ON c.number = n.number WHERE c.change <> 'closed'"
    ):
        informed.setdefault(build_alert_key(kind, subject, cause), set()).add(channel)
    return {key: frozenset(channels) for key, channels in informed.items()}


def read_message(connection: Connection, token: str) -> OutgoingMessage:
    """Return a message, with its changes and the earlier messages that it mentions."""
    [(channel, state, created_at, sent_at)] = connection.execute(
        "SELECT channel, state, created_at, sent_at FROM alert_messages WHERE token = ?", [token]
    )
    unclear = connection.execute(
        "SELECT token FROM alert_messages WHERE mentioned_in = ? ORDER BY created_at", [token]
    )
    return OutgoingMessage(
        token=token,
        channel=channel,
        state=state,
        created_at=to_datetime(created_at),
        sent_at=None if sent_at is None else to_datetime(sent_at),
        changes=tuple(
            read_changes(
                connection,
                "EXISTS (SELECT 1 FROM alert_items i "
                "WHERE i.change_number = c.number AND i.token = ?)",
                [token],
            )
        ),
        unclear=tuple(read_message(connection, other) for (other,) in unclear),
    )


def _read_unclear(connection: Connection, now: datetime) -> tuple[OutgoingMessage, ...]:
    """Return the messages that were perhaps sent, the newest first."""
    tokens = connection.execute(
        "SELECT token FROM alert_messages WHERE (state = 'perhaps sent' "
        "AND (mentioned_in IS NULL OR created_at > ?)) "
        "OR (state = 'sending' AND created_at < ?) ORDER BY created_at DESC",
        [to_microseconds(now - _SHOWN_FOR), to_microseconds(now - SENDING_LIMIT)],
    )
    return tuple(
        replace(read_message(connection, token), state="perhaps sent") for (token,) in tokens
    )


def _read_channels(connection: Connection) -> tuple[ChannelState, ...]:
    queued: Mapping[str, int] = dict(
        connection.execute(
            "SELECT channel, COUNT(*) FROM alert_items WHERE token IS NULL GROUP BY channel"
        )
    )
    states = {
        channel: ChannelState(
            channel=channel,
            failures=failures,
            next_try_at=None if moment is None else to_datetime(moment),
            error=error,
        )
        for channel, failures, moment, error in connection.execute(
            "SELECT channel, failures, next_try_at, error FROM alert_channels"
        )
    }
    return tuple(
        replace(states.get(name, ChannelState(channel=name)), queued=queued.get(name, 0))
        for name in sorted(queued.keys() | states.keys())
    )


def read_state(connection: Connection, now: datetime) -> AlertState:
    """Return all that is stored; `now` decides which messages were perhaps sent."""
    if not connection.has_table(FIRST_TABLE):
        return AlertState()
    return AlertState(
        alerts=tuple(read_rows(connection, "alerts", Alert)),
        mutes=tuple(read_rows(connection, "alert_mutes", Mute)),
        channels=_read_channels(connection),
        unclear=_read_unclear(connection, now),
        informed=read_informed(connection),
    )
