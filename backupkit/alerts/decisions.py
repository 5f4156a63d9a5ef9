"""The rules of alerts: what changed, and which of it goes out. Pure functions of their arguments.

The newest message about an alert is compared with its present state. So a change that could not be
sent while a mute lasted is not lost: it goes out as soon as it may.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from backupkit.tables.alerts import ALERT_KINDS, Alert, AlertChange, Mute

__all__ = ["CHANGES", "Decision", "Fact", "Facts", "Route", "Rules", "decide", "sort_changes"]

CHANGES: Final = (
    "opened",
    "worse",
    "unstable",
    "still open",
    "stable",
    "repeated",
    "closed",
)
"""What a message reports of an alert, the most urgent first."""

Route = Callable[[str, Alert], Sequence[str]]
"""Function of a change and its alert that returns the names of the channels that get it."""

_QUIET_IF_ACKNOWLEDGED: Final = frozenset(CHANGES) - {"worse", "closed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A problem that exists now.

    Attributes
    ----------
    kind, subject, cause, site, group, detail
        As in `backupkit.tables.alerts.Alert`.
    level : int
        How bad it is, from 1.
    """

    kind: str
    subject: str
    cause: str = ""
    site: str = ""
    group: str = ""
    detail: str = ""
    level: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Knowledge of one assessment.

    Attributes
    ----------
    present : tuple of Fact
        The problems that exist.
    undecided : frozenset of (str, str)
        Kind and subject of what could not be judged: alerts about it stay as they are.
    kinds : collection of str
        The kinds that were judged: alerts of another kind stay as they are, and are not sent.
    subjects : frozenset of str, optional
        The subjects that were judged, with the same meaning; default: all.
    states : mapping of str to str
        A sentence on each subject that was judged, for alerts that end.
    """

    present: tuple[Fact, ...] = ()
    undecided: frozenset[tuple[str, str]] = frozenset()
    states: Mapping[str, str] = field(default_factory=dict)
    kinds: Collection[str] = ALERT_KINDS
    subjects: frozenset[str] | None = None

    def covers(self, kind: str, subject: str) -> bool:
        """Return True if alerts of this kind and subject were judged."""
        return kind in self.kinds and (self.subjects is None or subject in self.subjects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Parameters of the decisions.

    Attributes
    ----------
    repeat : timedelta
        How long after a message an open alert is repeated.
    flapping : int
        Openings within the window above which an alert is unstable.
    flapping_within : timedelta
        That window.

    Examples
    --------
    >>> Rules().repeat
    datetime.timedelta(days=1)
    """

    repeat: timedelta = timedelta(hours=24)
    flapping: int = 3
    flapping_within: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Result of one run for one alert.

    Attributes
    ----------
    alert : Alert
        Its new state.
    change : str
        One of `CHANGES`: what goes out, or what would without `outcome`.
    outcome : str
        send, or why nothing goes out: muted, acknowledged, "not chosen", unstable or recorded.
    why : str
        The reason, in a sentence.
    is_new : bool
        True if this run observed a change. An older one may still wait for the end of a mute.
    at : datetime
        Time of the run [UTC].
    channels : tuple of str
        Names of the channels that get it, if there is a route.
    """

    alert: Alert
    change: str
    outcome: str
    why: str
    is_new: bool
    at: datetime
    channels: tuple[str, ...] = ()

    @property
    def log_row(self) -> AlertChange:
        """The change as it is logged."""
        alert = self.alert
        return AlertChange(
            kind=alert.kind,
            subject=alert.subject,
            cause=alert.cause,
            change=self.change,
            level=alert.level,
            at=self.at,
            detail=alert.detail,
            outcome=self.outcome,
        )


def decide(
    facts: Facts,
    alerts: Iterable[Alert],
    mutes: Sequence[Mute],
    rules: Rules,
    now: datetime,
    *,
    route: Route | None = None,
) -> tuple[list[Alert], list[Decision]]:
    """Decide which alerts open, change and close, and what goes out.

    Parameters
    ----------
    facts : Facts
        What the newest assessment knows.
    alerts : iterable of Alert
        The stored alerts.
    mutes : sequence of Mute
        All mutes, also those that have ended.
    rules : Rules
        Parameters of the decisions.
    now : datetime
        Time of the run [UTC].
    route : callable, optional
        Chooses the channels of each change. A change that no channel gets does not go out; by
        default each does.

    Returns
    -------
    alerts : list of Alert
        New states of the alerts that differ from the stored ones.
    decisions : list of Decision
        What happened, the worst first. Those with the outcome ``send`` go out.

    Notes
    -----
    An alert that a later run has judged already stays as it is, so runs may overlap.

    Examples
    --------
    >>> from datetime import UTC
    >>> facts = Facts(present=(Fact(kind="breach", subject="vc-1", detail="26 h old"),))
    >>> now = datetime(2026, 11, 9, tzinfo=UTC)
    >>> [alert], [decision] = decide(facts, [], [], Rules(), now)
    >>> decision.change, decision.outcome, alert.key
    ('opened', 'send', 'breach:vc-1')
    >>> decide(facts, [alert], [], Rules(), now + timedelta(hours=1))[1]
    []
    """
    present = {(fact.kind, fact.subject, fact.cause): fact for fact in facts.present}
    stored = {(alert.kind, alert.subject, alert.cause): alert for alert in alerts}
    changed, decisions = [], []
    for key in sorted(present.keys() | stored.keys()):
        fact = present.get(key)
        before = stored.get(key, Alert(kind=key[0], subject=key[1], cause=key[2]))
        is_later = before.seen_at is not None and before.seen_at > now
        if is_later or not facts.covers(*key[:2]):
            continue
        if fact is None and key[:2] in facts.undecided:
            observed, event = before, ""
        else:
            observed, event = _observe(before, fact, facts.states.get(key[1], ""), now)
            observed, event = _judge_stability(observed, event, rules, now)
        decision = _decide_on(observed, event, mutes, rules, now, route)
        after = observed if decision is None else decision.alert
        if decision is not None:
            decisions.append(decision)
        if after != before:
            changed.append(after)
    return changed, sorted(decisions, key=lambda one: _rank(one.change, one.alert))


def sort_changes(changes: Iterable[AlertChange]) -> list[AlertChange]:
    """Return changes in the order of a message: the most urgent and worst first."""
    return sorted(changes, key=lambda one: _rank(one.change, one))


def _rank(change: str, alert: Alert | AlertChange) -> tuple[int, int, int, str, str]:
    kind = ALERT_KINDS.index(alert.kind)
    return change == "closed", kind, -alert.level, alert.key, change


def _observe(before: Alert, fact: Fact | None, state: str, now: datetime) -> tuple[Alert, str]:
    """Return the alert with what is known now, and what changed: opened, worse, closed or ""."""
    seen = replace(before, seen_at=now)
    if fact is None:
        if not before.is_open:
            return before, ""
        ended = state or "no longer assessed"
        return replace(seen, level=0, closed_at=now, changed_at=now, detail=ended), "closed"
    seen = replace(seen, site=fact.site, group=fact.group, detail=fact.detail)
    if not before.is_open:
        opened = replace(
            seen,
            level=fact.level,
            opened_at=now,
            changed_at=now,
            closed_at=None,
            openings=(*before.openings, now),
        )
        return opened, "opened"
    if fact.level > before.level:
        return replace(seen, level=fact.level, changed_at=now), "worse"
    return seen, ""


def _judge_stability(alert: Alert, event: str, rules: Rules, now: datetime) -> tuple[Alert, str]:
    """Return the alert with the flapping rule applied; an acknowledgement ends with a change."""
    openings = tuple(one for one in alert.openings if one > now - rules.flapping_within)
    was_unstable = alert.unstable_since is not None
    unstable_since = alert.unstable_since
    if was_unstable and not openings:
        unstable_since = None
    elif not was_unstable and len(openings) > rules.flapping:
        unstable_since = now
    alert = replace(alert, openings=openings, unstable_since=unstable_since)
    if event == "worse" or (event and not was_unstable):
        alert = replace(alert, acknowledged_at=None, acknowledged_by="", acknowledged_reason="")
    if unstable_since is not None and not was_unstable:
        return alert, "unstable"
    return alert, event


def _decide_on(
    alert: Alert,
    event: str,
    mutes: Sequence[Mute],
    rules: Rules,
    now: datetime,
    route: Route | None,
) -> Decision | None:
    """Return the decision on an alert; None if nothing happened and nothing is due."""
    change, why = _find_due_change(alert, mutes, rules, now)
    mute = next((one for one in mutes if one.covers(alert, at=now)), None)
    channels = () if route is None or not change else tuple(route(change, alert))
    is_chosen = route is None or bool(channels)
    if not change:
        if not event:
            return None
        outcome = "unstable" if alert.unstable_since is not None else "recorded"
        why = {
            "unstable": "it is unstable: openings and closings are not sent",
            "recorded": "no message reported it as open",
        }[outcome]
        change = event
    elif mute is not None:
        outcome = "muted"
        why = f"muted until {mute.end:%Y-%m-%d %H:%M} UTC by {mute.by}: {mute.reason}"
    elif alert.acknowledged_at is not None and change in _QUIET_IF_ACKNOWLEDGED:
        outcome = "acknowledged"
        why = f"acknowledged by {alert.acknowledged_by}: {alert.acknowledged_reason}"
    else:
        outcome = "send" if is_chosen else "not chosen"
        if not is_chosen:
            why = "no channel chooses it" if alert.is_open else "no channel got a message about it"
        if is_chosen or not alert.is_open:
            alert = replace(
                alert,
                announced_level=alert.level,
                announced_at=now,
                announced_unstable=alert.unstable_since is not None,
            )
    if outcome != "send" and event:
        change = event
    return Decision(
        alert=alert,
        change=change,
        outcome=outcome,
        why=why,
        is_new=bool(event),
        at=now,
        channels=channels if outcome == "send" else (),
    )


def _find_due_change(
    alert: Alert, mutes: Sequence[Mute], rules: Rules, now: datetime
) -> tuple[str, str]:
    """Return what a message must report, and why; ("", "") if nothing."""
    window = f"{rules.flapping_within / timedelta(days=1):g} d"
    if alert.unstable_since is not None and not alert.announced_unstable:
        return "unstable", f"it opened {len(alert.openings)} times within {window}"
    if alert.level > alert.announced_level > 0:
        return "worse", "it became worse"
    if alert.unstable_since is None and alert.announced_unstable:
        return "stable" if alert.is_open else "closed", f"it did not open again for {window}"
    if alert.unstable_since is None and alert.is_open != (alert.announced_level > 0):
        return (
            ("opened", "no message reported it yet")
            if alert.is_open
            else ("closed", "a message reported it as open")
        )
    return _find_due_reminder(alert, mutes, rules, now)


def _find_due_reminder(
    alert: Alert, mutes: Sequence[Mute], rules: Rules, now: datetime
) -> tuple[str, str]:
    """Return why a message must repeat an open alert; ("", "") if it must not."""
    sent_at = alert.announced_at
    if not alert.is_open or sent_at is None:
        return "", ""
    if any(sent_at < one.end <= now and one.covers(alert) for one in mutes):
        return "still open", "a mute has ended"
    if now - sent_at >= rules.repeat:
        hours = (now - sent_at) / timedelta(hours=1)
        return "repeated", f"the newest message is {hours:.0f} h old"
    return "", ""
