"""Decoder of error bodies, which keeps what it can read of a damaged one."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from backupkit.errors import one_line
from backupkit.wire.lenient import load_json, read_messages
from backupkit.wire.payloads import message_to_dict

__all__ = ["ErrorAnswer", "decode_error", "encode_error_data"]

MAX_MESSAGES: Final = 50
"""Maximum number of messages that are kept of an error."""

MAX_SHOWN_MESSAGES: Final = 6
"""Maximum number of messages in a sentence: the first and the last ones."""

MAX_DATA: Final = 10_000
"""Maximum length of the data of an error as JSON [characters]."""

_NOT_FOUND: Final = 404
_TYPE_PREFIX: Final = "com.vmware."
_TEXTS: Final = ("localized", "default_message", "id")


class ErrorAnswer(Struct, frozen=True):
    """Error body of an appliance.

    Attributes
    ----------
    error_type : str
        One of the 25 standard types, such as NOT_FOUND, or an unknown word; "" if missing.
    messages : tuple of dict
        Stack of messages: the first is about the operation, each other one about the cause of the
        one before. Fields as in the column ``messages`` of observations.
    data : object
        Data of the error, as sent.
    """

    error_type: str = ""
    messages: tuple[dict[str, Any], ...] = ()
    data: Any = None

    @property
    def text(self) -> str:
        """Return the stack of messages as one line.

        Examples
        --------
        >>> answer = ErrorAnswer("", ({"default_message": "No."}, {"default_message": "Full."}))
        >>> answer.text
        'No because Full.'
        """
        texts = [text for message in self.messages if (text := _message_text(message))]
        if len(texts) > MAX_SHOWN_MESSAGES:
            half = MAX_SHOWN_MESSAGES // 2
            texts = [*texts[:half], "…", *texts[-half:]]
        return " because ".join([*(text.rstrip(".") for text in texts[:-1]), *texts[-1:]])

    @property
    def is_transient(self) -> bool | None:
        """Return whether the appliance says that a retry may succeed; None if it does not say."""
        for fields in _with_nested(self.data):
            if isinstance(flag := fields.get("is_transient"), bool):
                return flag
        return None


def _message_text(message: Mapping[str, Any]) -> str:
    texts = map(message.get, _TEXTS)
    return next(filter(None, (one_line(text) for text in texts if text)), "")


def _with_nested(data: object) -> Iterator[Mapping[str, Any]]:
    """Yield an object, and those directly inside: below /rest, data is inside its type's name."""
    if isinstance(data, dict):
        yield data
        yield from (value for value in data.values() if isinstance(value, dict))


def decode_error(body: bytes) -> ErrorAnswer | None:
    """Decode an error body of any of the three known formats; None for others, as of a proxy.

    Fields that are missing or of a wrong type are left out.

    Examples
    --------
    >>> decode_error(b'{"error_type": "NOT_FOUND", "messages": []}').error_type
    'NOT_FOUND'
    >>> decode_error(b"<html>Bad gateway</html>") is None
    True
    """
    try:
        decoded = load_json(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(decoded, dict):
        return None
    if legacy := decoded.get("localizableMessages"):  # the oldest format, of unknown addresses
        renamed = [
            {**entry, "default_message": entry.get("defaultMessage")}
            for entry in (legacy if isinstance(legacy, list) else [legacy])
            if isinstance(entry, dict)
        ]
        known = decoded.get("majorErrorCode") == _NOT_FOUND
        return ErrorAnswer("NOT_FOUND" if known else "", _read_stack(renamed))
    value = decoded.get("value")
    inner = value if isinstance(value, dict) else decoded
    error_type = _text(inner.get("error_type"))
    if not error_type and (name := _text(decoded.get("type"))).startswith(_TYPE_PREFIX):
        error_type = name.rpartition(".")[2]
    messages = _read_stack(inner.get("messages"))
    if not error_type and not messages:
        return None
    return ErrorAnswer(_clean(error_type.upper()), messages, inner.get("data"))


def encode_error_data(data: object) -> str | None:
    """Return the data of an error as JSON; None if there is none, or if it is too long.

    Examples
    --------
    >>> encode_error_data({"is_transient": True})
    '{"is_transient": true}'
    """
    if data is None:
        return None
    try:
        text = _clean(json.dumps(data, ensure_ascii=False, allow_nan=False))
    except (ValueError, RecursionError):  # a number that JSON does not have
        return None
    return text if len(text) <= MAX_DATA else None


def _read_stack(sent: object) -> tuple[dict[str, Any], ...]:
    """Return the messages that say something."""
    if not isinstance(sent, (list, dict, str)):
        return ()
    messages = map(message_to_dict, read_messages(sent)[:MAX_MESSAGES])
    return tuple(message for message in messages if any(map(message.get, _TEXTS)))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _clean(text: str) -> str:
    """Replace what cannot be stored as UTF-8."""
    return text.encode("utf-8", "replace").decode()
