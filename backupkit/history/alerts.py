"""Alerts in a history: their state, the log of changes, mutes, and the messages to send.

The tables are made when the first alert is recorded. They are apart from the ledger: no digest
covers them, and neither an export nor an import contains them. A backup does.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from backupkit.errors import HistoryError, one_line
from backupkit.history.alert_tables import (
    FIRST_TABLE,
    SENDING_LIMIT,
    AlertState,
    LoggedChange,
    add_changes,
    create_alert_tables,
    find_next_number,
    read_changes,
    read_deliveries,
    read_message,
    read_rows,
    read_state,
    replace_alerts,
)
from backupkit.history.databases import Connection
from backupkit.history.log import HistoryLog
from backupkit.history.stored import to_microseconds
from backupkit.tables.alerts import Alert, AlertChange, Mute, OutgoingMessage

__all__ = ["AlertLog"]


class AlertLog(HistoryLog):
    """The alerts of one history; each method is one transaction.

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

    def read(self, *, now: datetime) -> AlertState:
        """Return all that is stored; at `now`, which decides who died while sending [UTC]."""
        return self._database.run_lookup(lambda rows: read_state(rows, now))

    def read_changes(self, *, since: datetime) -> list[AlertChange]:
        """Return the log from a time on, the oldest first."""

        def action(connection: Connection) -> list[AlertChange]:
            if not connection.has_table(FIRST_TABLE):
                return []
            return read_changes(connection, "c.at >= ?", [to_microseconds(since)])

        return self._database.run_lookup(action)

    def read_story(self, key: str, *, now: datetime) -> tuple[Alert, list[LoggedChange]]:
        """Return an alert, open or closed, and its log, the oldest change first.

        Raises
        ------
        HistoryError
            If no alert has this key.
        """

        def action(connection: Connection) -> tuple[Alert, list[LoggedChange]]:
            alert = _find_alert(connection, key, "alert")
            return alert, read_deliveries(connection, alert, now)

        return self._database.run_lookup(action)

    def record(
        self,
        decide: Callable[[AlertState], tuple[list[Alert], list[tuple[AlertChange, Sequence[str]]]]],
        *,
        now: datetime,
    ) -> None:
        """Store new states and log rows, and queue what goes out for each channel.

        Parameters
        ----------
        decide : callable
            Returns the changed alerts, and each row of the log with the channels that get it, from
            what is stored. It may run again after a broken connection, and must then return nothing
            new.
        now : datetime
            Time of the run [UTC].
        """

        def action(connection: Connection) -> None:
            create_alert_tables(connection)
            changed, routed = decide(read_state(connection, now))
            replace_alerts(connection, changed)
            rows = add_changes(connection, [row for row, _ in routed])
            connection.insert(
                "alert_items",
                ("change_number", "channel"),
                [
                    (row.number, channel)
                    for row, (_, channels) in zip(rows, routed, strict=True)
                    for channel in sorted(channels)
                ],
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
                return read_message(connection, token)  # an earlier try was committed
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
            return read_message(connection, token)

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
            alert = replace(
                _find_alert(connection, key, "open alert"),
                acknowledged_at=at,
                acknowledged_by=by,
                acknowledged_reason=reason,
            )
            replace_alerts(connection, [alert])
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
            add_changes(connection, [row])
            return alert

        return self._database.write(action)

    def mute(self, mute: Mute) -> None:
        """Add a mute."""

        def action(connection: Connection) -> None:
            create_alert_tables(connection)
            same = [mute.selector, to_microseconds(mute.muted_at)]
            connection.execute("DELETE FROM alert_mutes WHERE selector = ? AND muted_at = ?", same)
            connection.execute(
                "INSERT INTO alert_mutes VALUES (?, ?, ?, ?, ?, ?, NULL, '', '')",
                [
                    find_next_number(connection, "alert_mutes"),
                    *same,
                    to_microseconds(mute.until),
                    mute.by,
                    mute.reason,
                ],
            )

        self._database.write(action)

    def unmute(self, selector: str, *, by: str, reason: str, at: datetime) -> int:
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
                for mute in read_rows(connection, "alert_mutes", Mute)
                if mute.selector == selector and mute.end > at
            ]
            if not mutes:
                raise HistoryError(
                    f'No mute with the selector "{one_line(selector)}" is in force. List them '
                    "with: backupkit alert list"
                )
            connection.execute_many(
                "UPDATE alert_mutes SET ended_at = ?, ended_by = ?, ended_reason = ? "
                "WHERE number = ?",
                [(to_microseconds(at), by, reason, mute.number) for mute in mutes],
            )
            return len(mutes)

        return self._database.write(action)


def _find_alert(connection: Connection, key: str, noun: str) -> Alert:
    """Return the alert with a key; raise if there is none, with keys that are meant perhaps."""
    rows = read_rows(connection, "alerts", Alert) if connection.has_table(FIRST_TABLE) else ()
    alerts = {alert.key: alert for alert in rows if alert.is_open or noun == "alert"}
    if key in alerts:
        return alerts[key]
    similar = [name for name in alerts if key and key in name] or difflib.get_close_matches(
        key, alerts, n=1
    )
    hint = f' Did you mean "{one_line(similar[0])}"?' if similar else ""
    raise HistoryError(
        f'No {noun} has the key "{one_line(key)}".{hint} List the keys with: backupkit alert list'
    )
