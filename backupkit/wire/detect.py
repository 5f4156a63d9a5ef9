"""Detection of the response type by content, because saved files can have any name."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Raw

from backupkit.errors import PayloadError, one_line
from backupkit.wire.decode import DECODE_EXCEPTIONS, payload_error
from backupkit.wire.error_answers import decode_error
from backupkit.wire.lenient import JOB_ID, powershell_fields
from backupkit.wire.payloads import Flavour

__all__ = ["Kind", "detect_kind", "split_list"]

_SHOWN_FIELDS: Final = 5
_ERROR_FIELDS: Final = ({"error_type"}, {"type", "value"}, {"localizableMessages"})
"""Fields of each of the three formats of an error body."""

_ANY: Final = msgspec.json.Decoder(dict[str, Raw] | list[Raw] | str)
_TEXT: Final = msgspec.json.Decoder(str)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])


class Kind(StrEnum):
    """Type of a response."""

    JOB = "a job"
    JOB_IDS = "the job list"
    DETAILS = "job details"
    SCHEDULES = "schedules"
    VERSION = "the version"
    TEXT = "a text"
    EMPTY_LIST = "an empty list"


def detect_kind(body: bytes) -> tuple[Kind, Flavour]:
    """Return the type and flavour of a successful response.

    EMPTY_LIST is an empty list below ``/rest``: the job list, details or schedules. An unknown
    type, or the body of an error, raises a `PayloadError`.

    Examples
    --------
    >>> detect_kind(b'{"value": ["20260103-085630-24322831"]}')
    (<Kind.JOB_IDS: 'the job list'>, <Flavour.REST: 'rest'>)
    """
    top = _decode_outer(body)
    if isinstance(top, dict) and any(top.keys() >= fields for fields in _ERROR_FIELDS):
        _refuse_error(body)
    if isinstance(top, dict) and top.keys() == {"value"}:
        inner = _decode_outer(bytes(top["value"]))
        flavour, kind = Flavour.REST, _find_kind(inner)
    else:
        inner, flavour, kind = top, Flavour.API, _find_kind(top)
        if kind is Kind.EMPTY_LIST:  # below /api an empty map is an object
            kind = Kind.JOB_IDS
    if kind is None:
        *others, last = (k.value for k in Kind if k not in (Kind.TEXT, Kind.EMPTY_LIST))
        raise PayloadError(
            f"the response is of no known type: expected {', '.join(others)}, {last} or the time "
            f"zone, got {_field_summary(inner)}.",
            advice="",
        )
    return kind, flavour


def split_list(body: bytes, fields: AbstractSet[str]) -> list[Raw] | None:
    """Return the items of a list if any is an object with one of some fields, else None.

    Examples
    --------
    >>> split_list(b'[{"id": 1}, 2]', {"id"})[1] == Raw(b"2")
    True
    >>> split_list(b'{"id": 1}', {"id"}), split_list(b'["id"]', {"id"})
    (None, None)
    """
    value = _decode_outer(body)
    if isinstance(value, list) and any(_fields(item).keys() & fields for item in value):
        return value
    return None


def _refuse_error(body: bytes) -> None:
    """Raise if the body is that of an error."""
    if answer := decode_error(body):
        text = answer.text.rstrip(".")
        raise PayloadError(
            f"the response is an error ({one_line(answer.error_type, limit=40)})"
            + (f': "{text}"' if text else ""),
            advice="Send the request again, and save its response.",
            error_type=answer.error_type or None,
            messages=answer.messages,
            data=answer.data,
        )


def _decode_outer(body: bytes) -> Any:  # noqa: ANN401 # any of the three
    """Decode only the outermost layer."""
    try:
        return _ANY.decode(body)
    except DECODE_EXCEPTIONS as error:
        raise payload_error("the response", body, error) from error


def _find_kind(value: dict[str, Raw] | list[Raw] | str) -> Kind | None:
    """Return the type of a bare value by its fields."""
    if isinstance(value, str):  # PowerShell writes a list of one id as the id
        return Kind.JOB_IDS if JOB_ID.fullmatch(value) else Kind.TEXT
    if isinstance(value, list):
        return _find_list_kind(value)
    texts = {name for name, raw in value.items() if _is_text(raw)}
    if any(not _is_object(value[name]) for name in value.keys() & {"state", "start_time"}):
        return Kind.JOB
    if texts >= {"version", "product"}:
        return Kind.VERSION
    is_empty_or_odd = not value or any(map(JOB_ID.fullmatch, value))
    return Kind.DETAILS if is_empty_or_odd else _find_map_kind(value.values())


def _find_list_kind(value: list[Raw]) -> Kind | None:
    """Return the type of a list by its items."""
    if any(map(_is_text, value)):
        return Kind.JOB_IDS
    pairs = (_fields(pair).get("value") for pair in value)
    return _find_map_kind(pairs) if value else Kind.EMPTY_LIST


def _find_map_kind(entries: Iterable[Raw | None]) -> Kind | None:
    """Return the type of a map by its entries; skip damaged entries."""
    for entry in entries:
        fields = _fields(entry) if entry is not None else {}
        if "status" in fields:
            return Kind.DETAILS
        if "enable" in fields:
            return Kind.SCHEDULES
    return None


def _fields(raw: Raw) -> dict[str, Raw]:
    try:
        if _is_text(raw):
            return dict.fromkeys(powershell_fields(_TEXT.decode(raw)), raw)
        return _OBJECT.decode(raw)
    except DECODE_EXCEPTIONS:
        return {}


def _is_object(raw: Raw) -> bool:
    return memoryview(raw)[:1].tobytes() == b"{"


def _is_text(raw: Raw) -> bool:
    return memoryview(raw)[:1].tobytes() == b'"'  # copies only one byte


def _field_summary(value: dict[str, Raw] | list[Raw]) -> str:
    """Describe a value by its field names only; its values are untrusted."""
    if isinstance(value, list):
        return "a list of something else"
    names = [one_line(name, limit=40) for name in list(value)[:_SHOWN_FIELDS]]
    more = ", ..." if len(value) > _SHOWN_FIELDS else ""
    return f"an object with {', '.join(names)}{more}"
