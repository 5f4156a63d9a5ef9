"""Reading of odd records field by field: what can be read is kept, and the rest is named.

A record that follows the API is decoded as a whole (`backupkit.wire.decode`). Of any other record,
state, times and the schedule's time of day decide a verdict, so what is wrong with them becomes the
record's read error. Texts for people, sizes and other details are dropped if they are odd.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from backupkit.texts import mask_user
from backupkit.wire.payloads import (
    STARTED,
    Argument,
    Count,
    Job,
    Message,
    Recurrence,
    Retention,
    Schedule,
    Time,
    job_of,
)

__all__ = [
    "JOB_ID",
    "join_messages",
    "load_entries",
    "load_json",
    "powershell_fields",
    "read_job",
    "read_messages",
    "read_schedule",
    "read_texts",
    "undo_powershell",
]

T = TypeVar("T")

JOB_ID: Final = re.compile(r"\d{8}-\d{6}-\S*")
"""Job ids as vCenter makes them: date, time and build."""

_UNREAD_DAY: Final = "?"
_MAX_DIGITS: Final = 40
_MAX_TEXT: Final = 2_000  # characters of a message in another form
_CUT_LIST: Final = "System.Object[]"  # PowerShell's text for a list that is too deep
_POWERSHELL_FIELD: Final = re.compile(r"; (?=\w+=)")
_POWERSHELL_OBJECTS: Final = re.compile(r"(?<=\}) (?=@\{)")
_POWERSHELL_TIME: Final = re.compile(r"(\d\d)/(\d\d)/(\d{4}) (\d\d:\d\d:\d\d)")
_MESSAGE_FIELDS: Final = frozenset({"id", "default_message", "args", "params", "localized"})


def load_json(body: bytes) -> Any:  # noqa: ANN401 # any JSON value
    """Parse JSON, also with numbers, escapes or bytes that a strict parser refuses.

    A key that an object has several times has its last value. Invalid JSON raises `ValueError`, too
    deep a nesting `RecursionError`.

    Examples
    --------
    >>> load_json(b'{"size": 1e999, "id": "a"}')
    {'size': inf, 'id': 'a'}
    """
    text = body.decode("utf-8", "replace")
    return json.loads(text, parse_int=_parse_int, strict=False)


def load_entries(body: bytes, *, enveloped: bool) -> list[tuple[object, Any]] | None:
    """Parse a map in any of its forms, with each key as often as the map has it.

    A map is an object, a list of pairs, or one such pair, as PowerShell writes a list of one. Of
    an item that is no pair the key is None. Another value than a map is None.

    Examples
    --------
    >>> load_entries(b'{"a": {"b": 1}, "a": 2}', enveloped=False)
    [('a', {'b': 1}), ('a', 2)]
    >>> load_entries(b'{"value": [{"key": "a", "value": 1}, 7]}', enveloped=True)
    [('a', 1), (None, None)]
    """
    text = body.decode("utf-8", "replace")
    found = json.loads(text, parse_int=_parse_int, object_pairs_hook=_Pairs, strict=False)
    if enveloped:
        found = dict(found).get("value") if isinstance(found, _Pairs) else None
    if isinstance(found, _Pairs):
        pair = dict(found)
        if pair.keys() == {"key", "value"} and isinstance(pair["key"], str):
            found = [found]
        else:
            return [(key, _join_pairs(value)) for key, value in found]
    if not isinstance(found, list):
        return None
    items = [_join_pairs(item) for item in found]
    return [(_get(item, "key"), _get(item, "value")) for item in items]


class _Pairs(list[tuple[str, Any]]):
    """Keys and values of an object."""


def _join_pairs(value: Any) -> Any:  # noqa: ANN401 # any JSON value
    if isinstance(value, _Pairs):
        return {key: _join_pairs(item) for key, item in value}
    return [_join_pairs(item) for item in value] if isinstance(value, list) else value


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float("inf")


def read_job(job_id: str, record: object, *, source: str) -> Job:
    """Read what can be read of the record of one job; `source` is ``job`` or ``details``.

    Examples
    --------
    >>> job = read_job("a", {"state": "FAILED", "messages": None, "start_time": 7}, source="job")
    >>> job.state, job.start_time, job.read_error
    ('FAILED', None, 'start_time is a number')
    """
    fields = _Fields.of(record)
    details = source == "details"
    status = fields.read("status" if details else "state", _read_word)
    start = fields.read("start_time", _read_time, needed=status in STARTED)
    end = fields.read("end_time", _read_end, needed=False)
    messages = read_messages(fields.get("messages"))
    if details and status == "FAILED":
        messages = join_messages(messages, fields.get("error"))
    progress = fields.get("progress")
    completed, total = (
        (_get(progress, "completed"), _get(progress, "total")) if details else (progress, 100)
    )
    build = _get(fields.get("build"), "build_number")
    extras: dict[str, Any] = {
        "type": _text_or_none(fields.get("type")),
        "size": _count_or_none(fields.get("size")),
        "location": _text_or_none(fields.get("location")),
        "build": _text_or_none(build),
    }
    return job_of(
        job_id,
        status=status,
        completed=_number_or_none(completed),
        total=_number_or_none(total),
        start_time=start,
        end_time=end,
        messages=messages,
        source=source,
        read_error=fields.problem,
        **(extras if details else {}),
    )


def read_schedule(record: object) -> Schedule:
    """Read what can be read of one schedule.

    Examples
    --------
    >>> plan = {"enable": True, "location": None, "recurrence_info": {"hour": 2, "minute": 0}}
    >>> schedule = read_schedule(plan)
    >>> schedule.recurrence_info, schedule.read_error
    (Recurrence(hour=2, minute=0, days=None), 'location is null')
    """
    fields = _Fields.of(record)
    enable = fields.read("enable", _read_flag)
    location = fields.read("location", _read_word)
    recurrence = retention = None
    if fields.get("recurrence_info") is not None:
        own = fields.enter("recurrence_info")
        hour, minute = own.read("hour", _read_below(24)), own.read("minute", _read_below(60))
        days = own.read("days", _read_days, needed=False)
        if days is None and own.get("days"):  # odd: no days would mean every day
            days = read_texts(own.get("days")) or [_UNREAD_DAY]
        recurrence = Recurrence(hour, minute, days)
    if fields.get("retention_info") is not None:
        own = fields.enter("retention_info")
        kept = own.read("max_count", _read_count, needed=False)
        retention = None if kept is None else Retention(kept)
    return Schedule(
        enable=enable,
        location=location and mask_user(location),
        parts=read_texts(fields.get("parts")),
        recurrence_info=recurrence,
        retention_info=retention,
        read_error=fields.problem,
    )


def read_messages(value: object) -> tuple[Message, ...]:
    """Read messages in any form, also one alone, a text, or the body of an error.

    Examples
    --------
    >>> read_messages("Disk full.")
    (Message(id='', default_message='Disk full.', args=[], localized=None),)
    >>> read_messages({"error_type": "ERROR", "messages": [{"id": "a", "args": None}]})
    (Message(id='a', default_message='', args=[], localized=None),)
    """
    if isinstance(value, Mapping):  # the body of an error, or a message
        value = _get(value, "messages") or _get(value.get("value"), "messages") or value
    if isinstance(value, str):
        value = _POWERSHELL_OBJECTS.split(value) if value.startswith("@{") else [value]
    items = value if isinstance(value, list) else [value]
    return tuple(_read_message(item) for item in items if item not in (None, "", {}, _CUT_LIST))


def join_messages(messages: tuple[Message, ...], error: object) -> tuple[Message, ...]:
    """Return the messages of a job, and those of its `error` that are not among them."""
    return messages + tuple(own for own in read_messages(error) if own not in messages)


def read_texts(value: object) -> list[str] | None:
    """Read a list of words; a text with words, as PowerShell writes a deep list, is one, too."""
    if isinstance(value, str):
        return None if value == _CUT_LIST else _clean(value).split()
    if not isinstance(value, list):
        return None
    return [_clean(item) for item in value if isinstance(item, str)]


def _read_message(item: object) -> Message:
    if isinstance(item, str):
        fields = powershell_fields(item)
        if not fields or not fields.keys() <= _MESSAGE_FIELDS:
            return Message(default_message=_clean(item)[:_MAX_TEXT])
        item = fields
    if not isinstance(item, Mapping) or not item.keys() & _MESSAGE_FIELDS:
        return Message(default_message=_to_json(item))
    args = item.get("args")
    if not isinstance(args, list):
        args = [] if args in (None, "", _CUT_LIST) else [args]
    return Message(
        _text_of(item.get("id")) or "",
        _text_of(item.get("default_message")) or "",
        [_read_argument(arg) for arg in args],
        _text_of(item.get("localized")),
    )


def _text_of(value: object) -> str | None:
    """Return a text or a number as text."""
    if isinstance(value, str):
        return _clean(value)
    return str(value) if isinstance(value, (int, float)) else None


def _read_argument(value: object) -> Argument:
    if isinstance(value, str):
        return _clean(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return _to_json(value)


def _to_json(value: object) -> str:
    """Return a value of no known form as text."""
    try:
        return _clean(json.dumps(value, ensure_ascii=False))[:_MAX_TEXT]
    except RecursionError:
        return "nested too deeply"


def powershell_fields(text: str) -> dict[str, str]:
    """Return the fields of an object that PowerShell wrote as text, as it does below its depth.

    A null and a nested object are empty there. A time that ended in Z has another form, without Z.

    Examples
    --------
    >>> powershell_fields("@{status=FAILED; location=nfs://h/a;b; progress=}")
    {'status': 'FAILED', 'location': 'nfs://h/a;b', 'progress': ''}
    >>> powershell_fields("@{start_time=01/31/2026 13:00:00}")
    {'start_time': '2026-01-31T13:00:00Z'}
    """
    if not (text.startswith("@{") and text.endswith("}")):
        return {}
    items = [part.partition("=") for part in _POWERSHELL_FIELD.split(text[2:-1])]
    return {
        name: _POWERSHELL_TIME.sub(r"\3-\1-\2T\4Z", value) if name.endswith("_time") else value
        for name, equals, value in items
        if equals
    }


def undo_powershell(body: bytes) -> tuple[bytes, bool]:
    """Return a body with the lists that PowerShell wrote as objects, and whether it was cut.

    A body that is no JSON is returned as it is.

    Examples
    --------
    >>> undo_powershell(b'{"messages": {"value": ["@{id=a}"], "Count": 1}}')
    (b'{"messages": ["@{id=a}"]}', True)
    """
    is_cut = b'"@{' in body or _CUT_LIST.encode() in body
    if b'"Count"' not in body:
        return body, is_cut
    try:
        return json.dumps(_unwrap_lists(load_json(body))).encode(), is_cut
    except (ValueError, RecursionError):
        return body, is_cut


def _unwrap_lists(value: Any) -> Any:  # noqa: ANN401 # any JSON value
    if isinstance(value, dict):
        if value.keys() == {"value", "Count"}:
            inner = value["value"]
            return _unwrap_lists(inner if isinstance(inner, list) else [inner])
        return {key: _unwrap_lists(item) for key, item in value.items()}
    return [_unwrap_lists(item) for item in value] if isinstance(value, list) else value


class _FieldError(Exception):
    """Problem of a field, as the end of a sentence."""


@dataclass(slots=True)
class _Fields:
    """Fields of an object, None if there is no object; and what is wrong with those read."""

    values: Mapping[str, Any] | None
    prefix: str = ""
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, record: object, prefix: str = "", problems: list[str] | None = None) -> "_Fields":
        problems = [] if problems is None else problems
        if isinstance(record, str):
            record = powershell_fields(record) or record
        if isinstance(record, Mapping):
            return cls(record, prefix, problems)
        name = prefix.removesuffix(".") or "the record"
        problems.append(f"{name} is {_describe(record)}")
        return cls(None, prefix, problems)

    def get(self, name: str) -> Any:  # noqa: ANN401 # any JSON value
        """Return a field as it is, None if it is missing."""
        return _get(self.values, name)

    def enter(self, name: str) -> "_Fields":
        """Return the fields of a field; they share the list of problems."""
        return _Fields.of(self.get(name), f"{self.prefix}{name}.", self.problems)

    def read(self, name: str, convert: Callable[[Any], T], *, needed: bool = True) -> T | None:
        """Return a converted field; if it is odd, or needed and missing, note it, return None."""
        value = self.get(name)
        if value is None and (not needed or self.values is None):
            return None
        try:
            if value is not None:
                return convert(value)
            raise _FieldError("is null" if name in (self.values or ()) else "is missing")  # noqa: TRY301
        except _FieldError as error:
            self.problems.append(f"{self.prefix}{name} {error}")
        return None

    @property
    def problem(self) -> str | None:
        """Everything that is wrong, None if nothing is."""
        return ", ".join(self.problems) or None


def _describe(value: object) -> str:
    """Return the kind of a value, never the value: it is untrusted."""
    if value is None:
        return "null"
    if value in ("", _CUT_LIST):
        return "cut off" if value else "empty"
    kinds = ((bool, "a flag"), (str, "a text"), (Mapping, "an object"), (list, "a list"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "a number")


def _clean(text: str) -> str:
    """Replace what cannot be stored as UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _get(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _text_or_none(value: object) -> str | None:
    return _clean(value) if isinstance(value, str) and value else None


def _number_or_none(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return _count_or_none(value)


def _count_or_none(value: object) -> int | None:
    try:
        return _read_count(value)
    except _FieldError:
        return None


def _read_word(value: object) -> str:
    if not isinstance(value, str) or value == _CUT_LIST:
        raise _FieldError(f"is {_describe(value)}")
    if not value.strip():
        raise _FieldError("is empty")
    return _clean(value)


def _read_time(value: object) -> datetime:
    text = _read_word(value)
    try:
        return msgspec.convert(text, Time)
    except msgspec.ValidationError as error:
        has_no_zone = "timezone component" in str(error)
        raise _FieldError("has no time zone" if has_no_zone else "is not a time") from error


def _read_end(value: object) -> datetime | None:
    """Read an end; an empty one is none."""
    return None if value == "" else _read_time(value)


def _read_flag(value: object) -> bool:
    words = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise _FieldError(f"is {_describe(value)}")


def _read_count(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < _MAX_DIGITS:
        value = int(value)
    if isinstance(value, float):
        if not value.is_integer():
            raise _FieldError("is no whole number")
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _FieldError(f"is {_describe(value)}")
    try:
        return msgspec.convert(value, Count)
    except msgspec.ValidationError as error:
        raise _FieldError("is out of range") from error


def _read_below(limit: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        number = _read_count(value)
        if number >= limit:
            raise _FieldError("is out of range")
        return number

    return read


def _read_days(value: object) -> list[str] | None:
    """Read days; an empty text is none, as PowerShell writes a null."""
    days = read_texts(value)
    if days is None:
        raise _FieldError(f"is {_describe(value)}")
    if isinstance(value, list) and len(days) < len(value):
        raise _FieldError("has an item that is no text")
    return days if value else None
