"""Output of ``backupkit alert``: the open alerts, the story of one, and their JSON."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from backupkit.cli.options import echo
from backupkit.cli.wrapping import wrap_line

if TYPE_CHECKING:
    from backupkit.history.alert_tables import AlertState, LoggedChange
    from backupkit.tables.alerts import Alert, ChannelState, Mute, OutgoingMessage

__all__ = ["build_list", "build_story", "format_time", "print_list", "print_story", "to_json"]

_INDENT: Final = "    "


def print_list(state: "AlertState", now: datetime) -> None:
    """Print open alerts, mutes, channels that failed, and messages that were perhaps sent."""
    alerts = _sort_open_alerts(state)
    if alerts:
        noun = "alert" if len(alerts) == 1 else "alerts"
        echo(f"{len(alerts):,} open {noun}. Times are UTC. Details: backupkit alert show KEY")
    else:
        echo("No open alerts.")
    for one in alerts:
        echo("")
        echo(f"{one.key} ({_describe_severity(one)})")
        _print_lines([one.detail, _describe_times(one)])
        _print_lines(_list_silences(one, state.mutes, now))
    others = list(_list_others(state, now))
    if others:
        echo("")
    _print_lines(others, indent="")


def print_story(
    alert: "Alert", state: "AlertState", log: "Sequence[LoggedChange]", now: datetime
) -> None:
    """Print the state of an alert, and what happened to it, the oldest first."""
    echo(f"{alert.key} ({_describe_severity(alert) if alert.is_open else 'closed'})")
    places = [("site", alert.site), ("group", alert.group)]
    _print_lines([", ".join(f"{word} {name}" for word, name in places if name), alert.detail])
    if alert.is_open:
        _print_lines([_describe_times(alert)])
    else:
        _print_lines([f"closed at {format_time(alert.closed_at)}"])
    _print_lines(_list_silences(alert, state.mutes, now))
    echo("")
    echo("Times are UTC." if log else "The log has no change of it any more.")
    for one in log:
        change = one.change
        level = f" (level {change.level})" if change.level > 1 and not change.by else ""
        prefix = f"{format_time(change.at)}  {change.change + level:<20}  "
        for line in wrap_line(_describe_delivery(one), prefix):
            echo(line)


def build_list(state: "AlertState", now: datetime) -> dict[str, Any]:
    """Return the list as JSON."""
    return {
        "alerts": [_build_alert(one, state, now) for one in _sort_open_alerts(state)],
        "mutes": [to_json(mute) for mute in state.mutes if mute.muted_at <= now < mute.end],
        "channels": [to_json(channel) for channel in state.channels],
        "perhaps_sent": [_build_message(message) for message in state.unclear],
    }


def build_story(
    alert: "Alert", state: "AlertState", log: "Iterable[LoggedChange]", now: datetime
) -> dict[str, Any]:
    """Return the story of an alert as JSON."""
    return {
        "alert": _build_alert(alert, state, now),
        "changes": [
            {
                "at": one.change.at.isoformat(),
                "change": one.change.change,
                "level": one.change.level,
                "detail": one.change.detail,
                "outcome": one.change.outcome,
                "by": one.change.by,
                "reason": one.change.reason,
                "channels": [
                    {"channel": name, "state": word} for name, word in one.deliveries.items()
                ],
            }
            for one in log
        ],
    }


def to_json(record: "Alert | Mute | ChannelState") -> dict[str, Any]:
    """Return the fields of a record, with times as ISO 8601."""

    def plain(value: object) -> object:
        if isinstance(value, datetime):
            return value.isoformat()
        return list(map(plain, value)) if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in asdict(record).items()}


def format_time(moment: datetime | None) -> str:
    """Return a time as text, to the minute; "" if there is none."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _sort_open_alerts(state: "AlertState") -> "list[Alert]":
    """Return the open alerts, the worst first."""
    from backupkit.tables.alerts import ALERT_KINDS  # noqa: PLC0415 # keeps --help fast

    alerts = [one for one in state.alerts if one.is_open]
    return sorted(alerts, key=lambda one: (ALERT_KINDS.index(one.kind), -one.level, one.key))


def _print_lines(texts: Iterable[str], *, indent: str = _INDENT) -> None:
    for text in texts:
        for line in wrap_line(text, indent) if text else ():
            echo(line)


def _describe_severity(alert: "Alert") -> str:
    level = f", level {alert.level}" if alert.level > 1 else ""
    return f"{alert.severity}{level}"


def _describe_times(alert: "Alert") -> str:
    sent_at = alert.announced_at if alert.announced_level else None
    message = "no message" if sent_at is None else f"last message {format_time(sent_at)}"
    return f"open since {format_time(alert.opened_at)}, {message}"


def _list_silences(alert: "Alert", mutes: "Iterable[Mute]", now: datetime) -> Iterator[str]:
    """Yield why no message about an alert goes out."""
    if alert.acknowledged_at is not None:
        yield f"acknowledged by {alert.acknowledged_by}: {alert.acknowledged_reason}"
    for mute in mutes:
        if mute.covers(alert, at=now):
            yield f"muted until {format_time(mute.end)} by {mute.by}: {mute.reason}"
    if alert.unstable_since is not None:
        yield f"unstable since {format_time(alert.unstable_since)}"


def _list_others(state: "AlertState", now: datetime) -> Iterator[str]:
    """Yield the mutes, the channels with an error, and the messages that were perhaps sent."""
    for mute in state.mutes:
        if mute.muted_at <= now < mute.end:
            end = format_time(mute.end)
            yield f"Muted: {mute.selector} until {end} by {mute.by}: {mute.reason}"
    for channel in state.channels:
        if channel.queued or channel.error:
            yield f"Channel {channel.channel}: {channel.text}"
    for message in state.unclear:
        keys = ", ".join(f"{change.change} {change.key}" for change in message.changes)
        moment = format_time(message.created_at)
        yield f"Perhaps sent: the message of {moment} on {message.channel}: {keys}"


def _describe_delivery(one: "LoggedChange") -> str:
    """Return whom a change was sent to, or why it was not sent."""
    change = one.change
    if change.by:
        return f"by {change.by}: {change.reason}"
    if change.outcome != "send":
        return f"not sent: {change.outcome}"
    names: dict[str, list[str]] = {}
    for name, state in one.deliveries.items():
        names.setdefault(state, []).append(name)
    texts = [f"{state}: {', '.join(found)}" for state, found in names.items()]
    return "; ".join(texts) or "sent to no channel"


def _build_alert(alert: "Alert", state: "AlertState", now: datetime) -> dict[str, Any]:
    return {
        "key": alert.key,
        **to_json(alert),
        "severity": alert.severity if alert.is_open else None,
        "muted": any(mute.covers(alert, at=now) for mute in state.mutes),
        "channels": sorted(state.informed.get(alert.key, ())),
    }


def _build_message(message: "OutgoingMessage") -> dict[str, Any]:
    return {
        "message": message.token,
        "channel": message.channel,
        "created_at": message.created_at.isoformat(),
        "changes": [{"key": one.key, "change": one.change} for one in message.changes],
    }
