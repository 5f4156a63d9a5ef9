"""Alerts: what changed since the newest message, and who gets a message about it."""

from backupkit.alerts.decisions import Decision, Fact, Facts, Rules, decide
from backupkit.alerts.facts import find_facts
from backupkit.alerts.sending import (
    AlertRun,
    ping_heartbeat,
    preview_alerts,
    send_alerts,
    try_channels,
)
from backupkit.alerts.settings import AlertSettings

__all__ = [
    "AlertRun",
    "AlertSettings",
    "Decision",
    "Fact",
    "Facts",
    "Rules",
    "decide",
    "find_facts",
    "ping_heartbeat",
    "preview_alerts",
    "send_alerts",
    "try_channels",
]
