"""The messages of a failed job, from the most general to the most specific."""

import re
from typing import Any, Final

from backupkit.causes import MAX_SEARCHED_LENGTH, known_causes

__all__ = ["message_of", "order_messages", "plain_text_of"]

_MAX_MESSAGES: Final = 50  # messages of a job that are read
_FAILURE_WORDS: Final = re.compile(
    r"error|fail|exception|unhealthy|denied|refused|cannot|could not|unable|invalid|not found"
    r"|timed out|abort|missing|exceed|rejected|unknown|unreachable",
    re.IGNORECASE,
)
_NOTE, _NOTHING, _PLACE, _CAUSE = range(4)
"""What a message tells: no failure; only that it failed; where, or a reason that is not known; a
known cause."""


def message_of(messages: object) -> dict[str, Any] | None:
    """Return the message that explains best why a job failed.

    Parameters
    ----------
    messages : list of dict or NA
        One cell of the column ``messages``.

    Returns
    -------
    dict or None
        The message: id, default_message, args, localized; None if all are empty.

    Notes
    -----
    Messages have no severity. A message with a known cause is preferred, of several the one that
    comes first in the catalogue. Next are messages that tell where or what failed, the last of
    them: an appliance lists what failed first, and then its causes. Next are messages that tell
    only that the job failed, and at last those that mention no failure, the first of them.

    Examples
    --------
    >>> job = {"id": "a", "default_message": "Backup job failed.", "args": [], "localized": None}
    >>> why = job | {"id": "b", "default_message": "No space left on device"}
    >>> message_of([why, job])["id"]
    'b'
    """
    ordered = order_messages(messages)
    return ordered[-1] if ordered else None


def order_messages(messages: object) -> list[dict[str, Any]]:
    """Return the messages of a job from the most general to the most specific, without empty ones.

    Parameters
    ----------
    messages : list of dict or NA
        One cell of the column ``messages``; its first 50 messages are read.

    Returns
    -------
    list of dict
        The last one is that of `message_of`.
    """
    if not isinstance(messages, list):
        return []
    given = [item for item in messages[:_MAX_MESSAGES] if plain_text_of(item)]
    if len(given) < 2:  # noqa: PLR2004 # there is nothing to order
        return given
    ranked = [(_rank_message(item, place), item) for place, item in enumerate(given)]
    ranked.sort(key=lambda pair: pair[0])
    if ranked[-1][0][0] == _NOTE:
        return [*given[1:], given[0]]
    return [item for _, item in ranked]


def plain_text_of(message: dict[str, Any]) -> str:
    """Return the untranslated text of a message, else the translated one, else its id."""
    return message["default_message"] or message["localized"] or message["id"] or ""


def _rank_message(message: dict[str, Any], place: int) -> tuple[int, int]:
    """Return how much a message tells; among equals the later one tells more."""
    text = plain_text_of(message)[:MAX_SEARCHED_LENGTH]
    known = known_causes().find(text, message["id"])
    if known is not None:
        if known.tells == "cause":
            return _CAUSE, -known_causes().rank(known)
        return (_PLACE if known.tells == "place" else _NOTHING), place
    return (_NOTE if _FAILURE_WORDS.search(text) is None else _PLACE), place
