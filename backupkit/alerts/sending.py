"""One run of the alerts: decide, store, send. What is stored before sending is not sent twice."""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from backupkit.alerts.channels import Channel
from backupkit.alerts.decisions import Decision, Facts, Route, decide
from backupkit.alerts.facts import find_facts
from backupkit.alerts.messages import compose_digest, compose_test
from backupkit.alerts.settings import AlertSettings
from backupkit.assessment import Assessment
from backupkit.errors import BackupkitError, DeliveryError
from backupkit.history.alert_tables import AlertState
from backupkit.history.alerts import AlertLog
from backupkit.tables.alerts import Alert, AlertChange, ChannelState

__all__ = ["AlertRun", "ping_heartbeat", "preview_alerts", "send_alerts", "try_channels"]

_FIRST_WAIT: Final = timedelta(minutes=5)
_LONGEST_WAIT: Final = timedelta(hours=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRun:
    """Result of one run.

    Attributes
    ----------
    decisions : list of Decision
        What happened, the worst first.
    sent : dict of str to int
        Number of changes sent, by channel.
    failed : dict of str to str
        Error of each channel that did not accept its message.
    waiting : dict of str to ChannelState
        Channels that failed before, and are tried again later.
    """

    decisions: list[Decision] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, ChannelState] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True if no channel failed or waits."""
        return not self.failed and not self.waiting

    @property
    def errors(self) -> dict[str, str]:
        """A sentence on each channel that failed or waits."""
        failed = {
            name: f"{error.rstrip('.')}. It is tried again later."
            for name, error in self.failed.items()
        }
        return failed | {name: state.text for name, state in self.waiting.items()}


def preview_alerts(
    assessment: Assessment, log: AlertLog, settings: AlertSettings, *, now: datetime
) -> list[Decision]:
    """Return what `send_alerts` would decide; change nothing.

    Parameters as for `send_alerts`.
    """
    stored = log.read(now=now)
    facts = _find_facts(assessment, settings)
    route = _build_route(settings, stored) if settings.channels else None
    return decide(facts, stored.alerts, stored.mutes, settings.rules, now, route=route)[1]


def send_alerts(
    assessment: Assessment,
    log: AlertLog,
    settings: AlertSettings,
    *,
    now: datetime,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> AlertRun:
    """Decide what changed, and send one message to each channel.

    Parameters
    ----------
    assessment : Assessment
        Of a period that ends now.
    log : AlertLog
        The alerts of the history.
    settings : AlertSettings
        Rules and channels.
    now : datetime
        Time of the run [UTC].
    clock : callable
        Returns the present time, for the end of sending.

    Returns
    -------
    AlertRun
        What was sent, and which channels failed: their changes stay queued.

    Raises
    ------
    HistoryError
        If the history cannot be written.

    Notes
    -----
    A message is stored as sending before it is sent. If the process dies then, it is not sent
    again, as nobody knows whether it arrived: the next message mentions it. A channel that fails is
    tried again in a later run, after 5 minutes, then after twice the time, at most 6 hours.
    """
    return send_facts(_find_facts(assessment, settings), log, settings, now=now, clock=clock)


def send_facts(
    facts: Facts,
    log: AlertLog,
    settings: AlertSettings,
    *,
    now: datetime,
    clock: Callable[[], datetime],
) -> AlertRun:
    """Do the same for facts."""
    decisions: list[Decision] = []

    def store(stored: AlertState) -> tuple[list[Alert], list[tuple[AlertChange, Sequence[str]]]]:
        route = _build_route(settings, stored)
        changed, found = decide(
            facts, stored.alerts, stored.mutes, settings.rules, now, route=route
        )
        decisions[:] = found or decisions  # a repeat after a broken connection finds nothing
        logged: list[tuple[AlertChange, Sequence[str]]] = [
            (one.log_row, one.channels) for one in found if one.is_new or one.outcome == "send"
        ]
        return changed, logged

    log.record(store, now=now)
    run = AlertRun(decisions=decisions)
    states = {state.channel: state for state in log.read(now=now).channels}
    for channel in settings.channels:
        state = states.get(channel.name, ChannelState(channel=channel.name))
        _send_queued(channel, state, log, run, now=now, clock=clock)
    return run


def ping_heartbeat(settings: AlertSettings) -> str:
    """Call the heartbeat, if there is one, and return the error; "" if all is well."""
    if settings.heartbeat is None:
        return ""
    try:
        settings.heartbeat.ping()
    except BackupkitError as error:
        return str(error)
    return ""


def try_channels(channels: Iterable[Channel], *, now: datetime) -> dict[str, str]:
    """Send a message that tests each channel, and return the errors.

    Parameters
    ----------
    channels : iterable of Channel
        The channels.
    now : datetime
        Time of the test [UTC].

    Returns
    -------
    dict of str to str
        The error of each channel by its name; "" if it accepted the message.

    Examples
    --------
    >>> from datetime import UTC
    >>> try_channels(AlertSettings().channels, now=datetime(2026, 11, 9, tzinfo=UTC))
    {}
    """
    errors = {}
    for channel in channels:
        errors[channel.name] = ""
        try:
            channel.send(compose_test(channel.name, now=now))
        except BackupkitError as error:
            errors[channel.name] = str(error)
    return errors


def _build_route(settings: AlertSettings, stored: AlertState) -> Route:
    """Return the route: a channel gets what it chooses, and the end of what it knows as open."""

    def route(change: str, alert: Alert) -> Sequence[str]:
        if change != "closed":
            return settings.choose_channels(alert)
        informed = stored.informed.get(alert.key, frozenset())
        return [channel.name for channel in settings.channels if channel.name in informed]

    return route


def _find_facts(assessment: Assessment, settings: AlertSettings) -> Facts:
    return find_facts(assessment, kinds=settings.kinds, target_within=settings.target_within)


def _send_queued(
    channel: Channel,
    state: ChannelState,
    log: AlertLog,
    run: AlertRun,
    *,
    now: datetime,
    clock: Callable[[], datetime],
) -> None:
    """Send what is queued for a channel; add the result to the run."""
    message = log.begin_message(channel.name, token=secrets.token_hex(16), now=now)
    if message is None:
        if state.queued:
            run.waiting[channel.name] = state
        return
    try:
        channel.send(compose_digest(message))
    except BackupkitError as error:
        delivery = error.delivery if isinstance(error, DeliveryError) else "none"
        run.failed[channel.name] = str(error)
        wait = min(_FIRST_WAIT * 2 ** min(state.failures, 10), _LONGEST_WAIT)
        log.finish_message(
            message,
            state={"none": "queued", "perhaps": "perhaps sent", "partly": "sent"}[delivery],
            now=clock(),
            error=str(error),
            next_try_at=now + wait,
        )
    else:
        log.finish_message(message, state="sent", now=clock())
        run.sent[channel.name] = len(message.changes)
