"""Alerts in a history: their state, the log of changes, mutes, and the messages to send.

The tables are made when the first alert is recorded. They are apart from the ledger: no digest
covers them, and neither an export nor an import contains them. A backup does.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from backupkit.errors import HistoryError, one_line
from backupkit.history.databases import Connection, Database
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

__all__ = ["AlertLog", "AlertState", "create_alert_tables", "forget_alerts", "prune_alerts"]

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
  by_name TEXT NOT NULL, reason TEXT NOT NULL, ended_at BIGINT, ended_by TEXT
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
    """

    alerts: tuple[Alert, ...] = ()
    mutes: tuple[Mute, ...] = ()
    channels: tuple[ChannelState, ...] = ()
    unclear: tuple[OutgoingMessage, ...] = ()


class AlertLog:
    """The alerts of one history; each method is one transaction.

    Parameters
    ----------
    database : Database
        That of the history.

    Examples
    --------
    >>> import tempfile
    >>> from datetime import UTC, datetime
    >>> from pathlib import Path
    >>> from backupkit import History
    >>> log = History(Path(tempfile.mkdtemp()) / "history.db").alerts
    >>> log.read(now=datetime(2026, 11, 9, tzinfo=UTC)).alerts
    ()
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, *, now: datetime) -> AlertState:
        """Return all that is stored; at `now`, which decides who died while sending [UTC]."""

        def action(connection: Connection) -> AlertState:
            if not connection.has_table(FIRST_TABLE):
                return AlertState()
            return AlertState(
                alerts=tuple(_read_rows(connection, "alerts", Alert)),
                mutes=tuple(_read_rows(connection, "alert_mutes", Mute)),
                channels=_read_channels(connection),
                unclear=_read_unclear(connection, now),
            )

        return self._database.run_lookup(action)

    def read_changes(self, *, since: datetime) -> list[AlertChange]:
        """Return the log from a time on, the oldest first."""

        def action(connection: Connection) -> list[AlertChange]:
            if not connection.has_table(FIRST_TABLE):
                return []
            return _read_changes(connection, "c.at >= ?", [to_microseconds(since)])

        return self._database.run_lookup(action)

    def record(
        self,
        decide: Callable[[Sequence[Alert], Sequence[Mute]], tuple[list[Alert], list[AlertChange]]],
        *,
        channels: Collection[str],
    ) -> None:
        """Store new states and log rows, and queue what goes out for each channel.

        Parameters
        ----------
        decide : callable
            Returns the changed alerts and the rows of the log, from the stored alerts and mutes. It
            may run again after a broken connection, and must then return nothing new.
        channels : collection of str
            The channels that get each row with the outcome ``send``.
        """

        def action(connection: Connection) -> None:
            create_alert_tables(connection)
            alerts = list(_read_rows(connection, "alerts", Alert))
            changed, rows = decide(alerts, list(_read_rows(connection, "alert_mutes", Mute)))
            _replace_alerts(connection, changed)
            queued = [row.number for row in _add_changes(connection, rows) if row.outcome == "send"]
            connection.insert(
                "alert_items",
                ("change_number", "channel"),
                [(number, channel) for number in queued for channel in sorted(channels)],
            )

        self._database.write(action)

    def begin_message(self, channel: str, *, token: str, now: datetime) -> OutgoingMessage | None:
        """Mark what is queued for a channel as sending, before it is sent.

        Parameters
        ----------
        channel : str
            Its name.
        token : str
            Random name of the message.
        now : datetime
            Time of the run.

        Returns
        -------
        OutgoingMessage or None
            None if nothing is queued, or the channel failed and is not due yet.
        """
        moment = to_microseconds(now)

        def action(connection: Connection) -> OutgoingMessage | None:
            if connection.execute("SELECT 1 FROM alert_messages WHERE token = ?", [token]):
                return _read_message(connection, token)  # an earlier try was committed
            waits = connection.execute(
                "SELECT 1 FROM alert_channels WHERE channel = ? AND next_try_at > ?",
                [channel, moment],
            )
            queued = connection.execute(
                "SELECT 1 FROM alert_items WHERE channel = ? AND token IS NULL", [channel]
            )
            if waits or not queued:
                return None
            connection.execute(
                "UPDATE alert_messages SET state = 'perhaps sent' "
                "WHERE channel = ? AND state = 'sending' AND created_at < ?",
                [channel, to_microseconds(now - SENDING_LIMIT)],
            )
            connection.execute(
                "INSERT INTO alert_messages VALUES (?, ?, 'sending', ?, NULL, NULL)",
                [token, channel, moment],
            )
            connection.execute(
                "UPDATE alert_items SET token = ? WHERE channel = ? AND token IS NULL",
                [token, channel],
            )
            connection.execute(
                "UPDATE alert_messages SET mentioned_in = ? "
                "WHERE channel = ? AND state = 'perhaps sent' AND mentioned_in IS NULL",
                [token, channel],
            )
            return _read_message(connection, token)

        return self._database.write(action)

    def finish_message(
        self,
        message: OutgoingMessage,
        *,
        state: str,
        now: datetime,
        error: str = "",
        next_try_at: datetime | None = None,
    ) -> None:
        """Store how sending ended.

        Parameters
        ----------
        message : OutgoingMessage
            The message.
        state : str
            sent, "perhaps sent", or queued: it was not sent, and its changes wait for the next try.
        now : datetime
            Time of the end.
        error : str
            Why it failed.
        next_try_at : datetime, optional
            Before this time the channel is not tried again.
        """
        token = message.token

        def action(connection: Connection) -> None:
            if state == "queued":
                connection.execute("UPDATE alert_items SET token = NULL WHERE token = ?", [token])
                connection.execute(
                    "UPDATE alert_messages SET mentioned_in = NULL WHERE mentioned_in = ?", [token]
                )
                connection.execute("DELETE FROM alert_messages WHERE token = ?", [token])
            else:
                connection.execute(
                    "UPDATE alert_messages SET state = ?, sent_at = ? WHERE token = ?",
                    [state, to_microseconds(now) if state == "sent" else None, token],
                )
            failures = 0
            if error:
                found = connection.execute(
                    "SELECT failures FROM alert_channels WHERE channel = ?", [message.channel]
                )
                failures = 1 + (found[0][0] if found else 0)
            connection.execute("DELETE FROM alert_channels WHERE channel = ?", [message.channel])
            connection.execute(
                "INSERT INTO alert_channels VALUES (?, ?, ?, ?)",
                [
                    message.channel,
                    failures,
                    None if next_try_at is None else to_microseconds(next_try_at),
                    one_line(error, limit=500),
                ],
            )

        self._database.write(action)

    def acknowledge(self, key: str, *, by: str, reason: str, at: datetime) -> Alert:
        """Record that somebody knows of an open alert, and return it.

        Raises
        ------
        HistoryError
            If no open alert has this key.
        """

        def action(connection: Connection) -> Alert:
            create_alert_tables(connection)
            alerts = {
                alert.key: alert
                for alert in _read_rows(connection, "alerts", Alert)
                if alert.is_open
            }
            if key not in alerts:
                raise HistoryError(
                    f'No open alert has the key "{one_line(key)}". List the keys with: '
                    "backupkit alert list"
                )
            alert = replace(
                alerts[key], acknowledged_at=at, acknowledged_by=by, acknowledged_reason=reason
            )
            _replace_alerts(connection, [alert])
            row = AlertChange(
                kind=alert.kind,
                subject=alert.subject,
                cause=alert.cause,
                change="acknowledged",
                level=alert.level,
                at=at,
                detail=alert.detail,
                outcome="recorded",
                by=by,
                reason=reason,
            )
            _add_changes(connection, [row])
            return alert

        return self._database.write(action)

    def mute(self, mute: Mute) -> None:
        """Add a mute."""

        def action(connection: Connection) -> None:
            create_alert_tables(connection)
            same = [mute.selector, to_microseconds(mute.muted_at)]
            connection.execute("DELETE FROM alert_mutes WHERE selector = ? AND muted_at = ?", same)
            connection.execute(
                "INSERT INTO alert_mutes VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)",
                [
                    _next_number(connection, "alert_mutes"),
                    *same,
                    to_microseconds(mute.until),
                    mute.by,
                    mute.reason,
                ],
            )

        self._database.write(action)

    def unmute(self, selector: str, *, by: str, at: datetime) -> int:
        """End the mutes with a selector that are in force, and return their number.

        Raises
        ------
        HistoryError
            If there is none.
        """

        def action(connection: Connection) -> int:
            create_alert_tables(connection)
            mutes = [
                mute
                for mute in _read_rows(connection, "alert_mutes", Mute)
                if mute.selector == selector and mute.end > at
            ]
            if not mutes:
                raise HistoryError(
                    f'No mute with the selector "{one_line(selector)}" is in force. List them '
                    "with: backupkit alert list"
                )
            connection.execute_many(
                "UPDATE alert_mutes SET ended_at = ?, ended_by = ? WHERE number = ?",
                [(to_microseconds(at), by, mute.number) for mute in mutes],
            )
            return len(mutes)

        return self._database.write(action)


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
    keys = tuple(build_alert_key(kind, appliance) for kind in ALERT_KINDS)
    numbers = [
        (mute.number,)
        for mute in _read_rows(connection, "alert_mutes", Mute)
        if mute.selector == f"appliance={appliance}"
        or mute.selector.removeprefix("key=").startswith(keys)
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
    connection.execute(
        f"DELETE FROM alert_changes WHERE at < ? AND number NOT IN ({waiting})", [before]
    )
    connection.execute(
        "DELETE FROM alert_items WHERE change_number NOT IN (SELECT number FROM alert_changes)"
    )


def _next_number(connection: Connection, table: str) -> int:
    [(number,)] = connection.execute(f"SELECT COALESCE(MAX(number), 0) + 1 FROM {table}")
    return int(number)


def _columns(kind: type[Any]) -> list[str]:
    return [_RENAMED.get(one.name, one.name) for one in fields(kind)]


def _read_rows(connection: Connection, table: str, kind: type[_T]) -> Iterable[_T]:
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


def _replace_alerts(connection: Connection, alerts: Sequence[Alert]) -> None:
    columns = _columns(Alert)
    connection.execute_many(
        "DELETE FROM alerts WHERE kind = ? AND subject = ? AND cause = ?",
        [(alert.kind, alert.subject, alert.cause) for alert in alerts],
    )
    connection.insert("alerts", columns, [_encode(alert) for alert in alerts])


def _add_changes(connection: Connection, rows: Sequence[AlertChange]) -> list[AlertChange]:
    """Add rows to the log, and return them with their numbers."""
    first = _next_number(connection, "alert_changes")
    numbered = [replace(row, number=number) for number, row in enumerate(rows, start=first)]
    connection.insert("alert_changes", _columns(AlertChange), list(map(_encode, numbered)))
    return numbered


def _read_changes(
    connection: Connection, condition: str, parameters: Sequence[Any]
) -> list[AlertChange]:
    columns = ", ".join(f"c.{name}" for name in _columns(AlertChange))
    rows = connection.execute(
        f"SELECT {columns} FROM alert_changes c WHERE {condition} ORDER BY c.number",
        parameters,
    )
    return [_decode(AlertChange, row) for row in rows]


def _read_message(connection: Connection, token: str) -> OutgoingMessage:
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
            _read_changes(
                connection,
                "EXISTS (SELECT 1 FROM alert_items i "
                "WHERE i.change_number = c.number AND i.token = ?)",
                [token],
            )
        ),
        unclear=tuple(_read_message(connection, other) for (other,) in unclear),
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
        replace(_read_message(connection, token), state="perhaps sent") for (token,) in tokens
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
