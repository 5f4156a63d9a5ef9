"""Known failure messages, with cause, next step and source."""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["CAUSES", "Cause", "cause_of"]

_MAX_SEARCHED_LENGTH: Final = 4_000  # characters of a message that are searched
_FIELD_SOURCE: Final = "docs/api-contract.md, section 3, texts seen in the field"


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a known failure message.

    Attributes
    ----------
    name : str
        The short name of the pattern.
    cause : str
        The cause, in a sentence.
    next_step : str
        What to check next, in a sentence.
    source : str
        The source of the message and of its explanation.
    """

    name: str
    cause: str
    next_step: str
    source: str


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A rule that finds a cause by a text in the message, or by the message's id."""

    cause: Cause
    text: re.Pattern[str] | None = None
    message_id: str | None = None

    def matches(self, text: str, message_id: str | None) -> bool:
        by_id = self.message_id is not None and self.message_id == message_id
        return by_id or (self.text is not None and self.text.search(text) is not None)


def _compile_pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# The first match counts, so specific rules come first. Each pattern is linear in the text.
_PATTERNS: Final = (
    _Pattern(
        Cause(
            "snapshot",
            "The appliance holds back its backup because it takes itself to be inside a snapshot"
            " of its virtual machine; reported where /etc/vmware/backupMarker.txt was left over.",
            "If no snapshot of it is being taken, see whether /etc/vmware/backupMarker.txt is left"
            " over from an earlier one.",
            f"community reports; {_FIELD_SOURCE}",
        ),
        _compile_pattern(r"Full backup not allowed during VM snapshot"),
    ),
    _Pattern(
        Cause(
            "database-health",
            "The health check of its database, made before each backup, found it unhealthy.",
            "Follow VMware KB 86084. A backup with the check disabled saves the database as it is.",
            f"VMware KB 86084; {_FIELD_SOURCE}",
        ),
        _compile_pattern(r"Db health is UNHEALTHY"),
    ),
    _Pattern(
        Cause(
            "component",
            "One component of the appliance, named in the message, could not be saved.",
            "See whether that component's service is healthy, and read its part of the appliance's"
            " backup log.",
            f"seen for wcp and vum; {_FIELD_SOURCE}",
        ),
        _compile_pattern(r"Error during component [\w.-]{1,60} backup"),
    ),
    _Pattern(
        Cause(
            "database-log",
            "The database's write-ahead log (WAL) could not be handed on; why is not known in"
            " public.",
            "Read the appliance's backup log around the job's end.",
            _FIELD_SOURCE,
        ),
        _compile_pattern(r"Failed to dispatch WAL directory structure"),
    ),
    _Pattern(
        Cause(
            "scp-location",
            "The appliance does not accept the location for SCP.",
            "Compare the location in its schedule with the folder on the backup target.",
            _FIELD_SOURCE,
        ),
        _compile_pattern(r"\bSCP location\b[^.\n]{0,100}\binvalid\b|\binvalid SCP location\b"),
    ),
    _Pattern(
        Cause(
            "ssh-session",
            "The SSH session with the backup target failed: curl's error 79 (CURLE_SSH).",
            "Log in to the backup target by hand, with the schedule's user and protocol, and read"
            " the target's own log around the job's end.",
            f"{_FIELD_SOURCE}; the number: https://curl.se/libcurl/c/libcurl-errors.html",
        ),
        _compile_pattern(r"\bcurl error:? {0,3}\(?79\b"),
    ),
    _Pattern(
        Cause(
            "connection-lost",
            "The backup target, or something on the way to it, closed the connection while data"
            " was sent (broken pipe).",
            "Read the backup target's own log around the job's end.",
            _FIELD_SOURCE,
        ),
        _compile_pattern(r"\bbroken pipe\b"),
    ),
    _Pattern(
        Cause(
            "clock",
            "The appliance could not set its clock by NTP.",
            "Check its NTP servers in its management interface.",
            _FIELD_SOURCE,
        ),
        message_id="com.vmware.applmgmt.err_ntp_sync_failed",
    ),
    _Pattern(
        Cause(
            "sessions",
            "The user has as many sessions as the appliance allows.",
            "Look for clients that do not log out; idle sessions end by themselves, after 30 to"
            " 120 minutes.",
            "Broadcom KB 375546; docs/api-contract.md, section 1",
        ),
        _compile_pattern(r"User session count is limited to \d{1,9}\b"),
        "com.vmware.vapi.endpoint.failedToLoginMaxUserSessionCountReached",
    ),
    _Pattern(
        Cause(
            "see-log",
            "The message has no reason; only the appliance's own log does.",
            "Read the appliance's backup log around the job's end.",
            f"seen on 6.5 U1c, 7.0 and 9.0.2; {_FIELD_SOURCE}",
        ),
        _compile_pattern(r"BackupManager encountered an exception"),
    ),
)

CAUSES: Final = tuple(pattern.cause for pattern in _PATTERNS)
"""All known causes, the most specific first."""


def cause_of(text: str | None, message_id: str | None = None) -> Cause | None:
    """Return the known cause of a failure message.

    Parameters
    ----------
    text : str or None
        The message; only its first 4,000 characters are searched.
    message_id : str, optional
        The message's id.

    Returns
    -------
    Cause or None
        The first of `CAUSES` that matches, None if there is none.

    Notes
    -----
    The ids of backup messages are not public, so the text is matched, and two known ids. Messages
    in other languages are not recognised.

    Examples
    --------
    >>> cause_of("Error during component wcp backup").name
    'component'
    >>> cause_of("Not enough space on nas-1") is None
    True
    """
    searched = text[:_MAX_SEARCHED_LENGTH] if isinstance(text, str) else ""
    known_id = message_id if isinstance(message_id, str) else None
    return next(
        (pattern.cause for pattern in _PATTERNS if pattern.matches(searched, known_id)), None
    )
