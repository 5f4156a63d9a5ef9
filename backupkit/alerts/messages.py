"""The text of a message: one digest of all changes that go out to one channel."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from backupkit._version import __version__
from backupkit.alerts.decisions import sort_changes
from backupkit.display.format import format_count
from backupkit.errors import one_line
from backupkit.tables.alerts import ALERT_KINDS, AlertChange, OutgoingMessage
from backupkit.texts import mask_user

__all__ = ["Digest", "compose_digest", "compose_test", "describe_change", "escape_chat"]

_WORDS: Final = {
    "breach": "in breach",
    "target": "target at risk",
    "breach-soon": "soon in breach",
    "unknown": "unknown",
    "running": "job runs longer than usual",
    "failure": "failing",
    "slower": "runs grow too long",
}
_WORSE: Final = {"target": "target missed", "running": "job stalled"}
_ENDED: Final = {
    "breach-soon": "no longer soon in breach",
    "running": "job no longer too slow",
    "slower": "runs no longer grow too long",
}
_RECOVERED: Final = "recovered"
_MAX_CHANGES: Final = 50
_MAX_CHANGES_IN_CHAT: Final = 15
_MAX_SUBJECT: Final = 150  # characters
_MAX_DETAIL: Final = 300
_FORMAT: Final = "backupkit-alert/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """One message in the forms of all channels.

    Attributes
    ----------
    token : str
        Name of the message: the same when the same changes are sent to the same channel again, so
        that a receiver can drop it.
    created_at : datetime
        When it was begun [UTC].
    title : str
        One line with the numbers of changes, without any name.
    subject : str
        The same with the worst change.
    text : str
        Plain text, for mail.
    chat : str
        Markdown for chats, in which texts of appliances format, link and notify nothing.
    body : bytes
        JSON for a webhook, as docs/alert.schema.json describes it.
    """

    token: str
    created_at: datetime
    title: str
    subject: str
    text: str
    chat: str
    body: bytes


def compose_digest(message: OutgoingMessage) -> Digest:
    """Compose a message from the changes that it reports.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = datetime(2026, 11, 9, 6, tzinfo=UTC)
    >>> change = AlertChange(
    ...     kind="breach",
    ...     subject="vc-1",
    ...     cause="",
    ...     change="opened",
    ...     level=1,
    ...     at=day,
    ...     detail="no backup for 30 h",
    ...     outcome="send",
    ... )
    >>> message = OutgoingMessage(
    ...     token="1f", channel="mail", state="sending", created_at=day, changes=(change,)
    ... )
    >>> digest = compose_digest(message)
    >>> digest.subject
    '[BREACH 1] vCenter backup alerts: vc-1 in breach'
    >>> print(digest.text)
    1 change, the worst first. Times are UTC.
    <BLANKLINE>
    opened: vc-1 in breach (2026-11-09 06:00)
      no backup for 30 h
      key: breach:vc-1
    <BLANKLINE>
    To stop the repeats of one: backupkit alert ack KEY --by NAME --reason TEXT
    """
    changes = sort_changes(message.changes)
    subject = _format_subject(changes)
    return Digest(
        token=_name_message(message),
        created_at=message.created_at,
        title=_format_title(changes),
        subject=subject,
        text=_format_text(message, changes),
        chat=_format_chat(message, changes),
        body=json.dumps(_build_document(message, changes, subject)).encode(),
    )


def compose_test(channel: str, *, now: datetime) -> Digest:
    """Compose a message that tests a channel.

    Examples
    --------
    >>> from datetime import UTC
    >>> compose_test("operations", now=datetime(2026, 11, 9, 6, tzinfo=UTC)).chat
    'This message tests the channel `operations`. No alert is meant.'
    """
    title = "[TEST] vCenter backup alerts"
    text = "This message tests the channel {}. No alert is meant."
    message = OutgoingMessage(token="", channel=channel, state="sending", created_at=now)
    token = _digest(["test", channel, now.isoformat()])
    document = _build_document(message, [], title) | {"message": token, "test": True}
    return Digest(
        token=token,
        created_at=now,
        title=title,
        subject=f"{title}: {_clean(channel, limit=_MAX_SUBJECT)}",
        text=text.format(_clean(channel)),
        chat=text.format(escape_chat(channel)),
        body=json.dumps(document).encode(),
    )


def escape_chat(text: str) -> str:
    """Return untrusted text for a chat, in which it formats, links and notifies nothing.

    It becomes a code span. Angle brackets, with which some chats begin a command, are replaced.

    Examples
    --------
    >>> escape_chat("*disk* full <!channel> `x`")
    "`*disk* full (!channel) 'x'`"
    """
    return f"`{_clean(text).translate(_CHAT_CHARACTERS)}`"


_CHAT_CHARACTERS: Final = str.maketrans({"`": "'", "<": "(", ">": ")"})


def _clean(text: str, *, limit: int = _MAX_DETAIL) -> str:
    return one_line(mask_user(text), limit=limit)


def describe_change(change: AlertChange) -> str:
    """Return subject and state in a few words."""
    word = _WORDS[change.kind]
    if change.change == "closed":
        word = _ENDED.get(change.kind, _RECOVERED)
    elif change.level > 1:
        word = _WORSE.get(change.kind, word)
    cause = f" ({change.cause})" if change.cause else ""
    return _clean(f"{change.subject} {word}{cause}")


def _choose_tag(change: AlertChange) -> str:
    """Return the word under which a title counts a change; a warning may end by a breach."""
    if change.change != "closed":
        return change.kind
    return "ended" if change.kind in _ENDED else _RECOVERED


def _format_title(changes: list[AlertChange]) -> str:
    counts = Counter(map(_choose_tag, changes))
    tags = (*ALERT_KINDS, _RECOVERED, "ended")
    tag = " | ".join(f"{name.upper()} {counts[name]:,}" for name in tags if counts[name])
    return f"[{tag}] vCenter backup alerts"


def _format_subject(changes: list[AlertChange]) -> str:
    more = f" and {format_count(len(changes) - 1, 'more change')}" if len(changes) > 1 else ""
    worst = _clean(describe_change(changes[0]), limit=_MAX_SUBJECT)
    return f"{_format_title(changes)}: {worst}{more}"


def _format_text(message: OutgoingMessage, changes: list[AlertChange]) -> str:
    lines = [f"{format_count(len(changes), 'change')}, the worst first. Times are UTC."]
    for change in changes[:_MAX_CHANGES]:
        lines += [
            "",
            f"{change.change}: {describe_change(change)} ({_format_time(change.at)})",
            f"  {_clean(change.detail)}",
            f"  key: {_clean(change.key)}",
        ]
    lines += ["", *_format_more(len(changes) - _MAX_CHANGES)]
    for unclear in message.unclear:
        lines += [f"The message of {_format_time(unclear.created_at)} was perhaps not delivered:"]
        lines += [f"  {text}" for text in _list_unclear(unclear)]
        lines += [""]
    lines += ["To stop the repeats of one: backupkit alert ack KEY --by NAME --reason TEXT"]
    return "\n".join(lines)


def _format_chat(message: OutgoingMessage, changes: list[AlertChange]) -> str:
    lines = [
        f"* **{change.change}** {escape_chat(describe_change(change))}: "
        f"{escape_chat(change.detail)}"
        for change in changes[:_MAX_CHANGES_IN_CHAT]
    ]
    lines += _format_more(len(changes) - _MAX_CHANGES_IN_CHAT)
    for unclear in message.unclear:
        lines += [f"The message of {_format_time(unclear.created_at)} was perhaps not delivered:"]
        lines += [f"* {escape_chat(text)}" for text in _list_unclear(unclear)]
    return "\n".join(lines)


def _format_more(more: int) -> list[str]:
    return [f"And {more:,} more. List them with: backupkit alert list", ""] if more > 0 else []


def _list_unclear(message: OutgoingMessage) -> list[str]:
    changes = sort_changes(message.changes)[:_MAX_CHANGES_IN_CHAT]
    return [f"{change.change}: {describe_change(change)}" for change in changes]


def _format_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _name_change(change: AlertChange) -> str:
    """Return the name of a change; a run decides at most one for each alert."""
    return _digest([change.key, change.change, change.at.astimezone(UTC).isoformat()])


def _name_message(message: OutgoingMessage) -> str:
    """Return the name of a message, which depends on what it reports alone."""
    mentioned = [_name_message(unclear) for unclear in message.unclear]
    return _digest([message.channel, sorted(map(_name_change, message.changes)), mentioned])


def _find_time(message: OutgoingMessage) -> str:
    """Return the time of the newest change: the same in each try of a message."""
    moment = max((change.at for change in message.changes), default=message.created_at)
    return moment.astimezone(UTC).isoformat()


def _build_document(
    message: OutgoingMessage, changes: list[AlertChange], subject: str
) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "version": __version__,
        "message": _name_message(message),
        "created_at": _find_time(message),
        "test": False,
        "subject": subject,
        "changes": list(map(_build_change, changes)),
        "perhaps_not_delivered": [
            {
                "message": _name_message(unclear),
                "created_at": _find_time(unclear),
                "changes": list(map(_build_change, sort_changes(unclear.changes))),
            }
            for unclear in message.unclear
        ],
    }


def _build_change(change: AlertChange) -> dict[str, Any]:
    return {
        "id": _name_change(change),
        "key": change.key,
        "kind": change.kind,
        "subject": change.subject,
        "cause": change.cause or None,
        "change": change.change,
        "level": change.level,
        "at": change.at.isoformat(),
        "detail": _clean(change.detail),
    }
