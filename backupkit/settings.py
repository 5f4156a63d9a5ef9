"""Parsers for settings and arguments; their errors name the wrong entry."""

import codecs
import difflib
import ipaddress
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from backupkit.errors import SettingsError, one_line

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Instant",
    "SettingsFile",
    "check_host",
    "check_text",
    "check_url",
    "convert",
    "decode_text",
    "has_control_characters",
    "is_loopback",
    "parse_duration",
    "parse_instant",
    "read_toml",
    "time_zone",
    "unknown_key",
]

Instant = datetime | str
"""Time as a caller gives it; a Timestamp of pandas is a datetime."""

T = TypeVar("T")

_UNIT_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:\s*[0-9]+(?:\.[0-9]+)?\s*[wdhms])+\s*")
_LONGEST: Final = timedelta(days=365_000)
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([wdhms])")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`")
_MISSING_FIELD = re.compile(r"Object missing required field `(?P<key>[^`]*)`")
_AT = re.compile(r" - at `\$\.?(?P<key>[^`]*)`$")
_BACKSLASHES: Final = (
    r"In double quotes a backslash begins an escape: use single quotes, as in 'CORP\backup', or "
    r"write each backslash twice."
)
_RETYPE: Final = "Write it again without one: copied text may have it unseen."
_MULTILINE: Final = frozenset({"exclude", "reason"})
"""Keys of free texts, which may have several lines."""

_MAX_DEPTH: Final = 20
_MAX_HOST_LENGTH: Final = 253
_NOT_IANA: Final = re.compile(r"localtime|posixrules|(posix|right)/.*", re.DOTALL)
"""Files beside the zones of the IANA list, which the system may have."""


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """Parsed TOML file; its string is its path, for messages."""

    path: Path
    tables: dict[str, Any] = field(repr=False)  # may hold a password

    def __str__(self) -> str:
        return str(self.path)

    def table(self, name: str) -> dict[str, Any]:
        """Return a table, empty if it is absent; raise if the entry is not a table."""
        table = self.tables.get(name, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{self}: {name} must be a table: [{name}]")
        return table


def read_toml(path: str | Path | SettingsFile) -> SettingsFile:
    """Parse a TOML file; a file that was parsed before is returned unchanged.

    Raises
    ------
    SettingsError
        If the file cannot be read or is not TOML; the message names the file and the line.
    """
    if isinstance(path, SettingsFile):
        return path
    try:
        text = decode_text(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise SettingsError(
            f"{path}: no such file. Name an existing one with --fleet or BACKUPKIT_FLEET, or write "
            "one with: backupkit init"
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: cannot be read: it is not UTF-8 text.") from error
    except (OSError, ValueError) as error:  # ValueError: a path with NUL
        reason = getattr(error, "strerror", None) or "there is no such path"
        raise SettingsError(f"{path}: cannot be read: {reason}.") from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = f" {_BACKSLASHES}" if re.search("scape|hex value", str(error)) else ""
        raise SettingsError(f"{path}: is not valid TOML: {one_line(str(error))}.{hint}") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: its tables or lists are nested too deep.") from error
    except ValueError as error:  # Python's limit for the digits of a number
        raise SettingsError(f"{path}: a number in it has too many digits.") from error
    for where, key, value in _walk(tables, path=path):
        _check_entry(value, where=where, multiline=key in _MULTILINE)
    return SettingsFile(Path(path), tables)


def decode_text(content: bytes) -> str:
    r"""Decode a text file: UTF-8, or UTF-16 if it begins with the byte order mark of that.

    Editors and shells of Windows write such a mark, which is no part of the text.

    Examples
    --------
    >>> decode_text(b"\xef\xbb\xbfsecret"), decode_text("secret".encode("utf-16"))
    ('secret', 'secret')
    """
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig")


def _walk(tables: Mapping[str, Any], *, path: str | Path) -> Iterator[tuple[str, str, object]]:
    """Yield place, key and value of each entry; not recursive, as tables may be deep."""
    waiting: list[tuple[str, str, object, int]] = [(str(path), "", tables, 0)]
    while waiting:
        where, key, value, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise SettingsError(f"{path}: its tables or lists are nested too deep.")
        if isinstance(value, dict):
            for name, entry in value.items():
                shown = one_line(name, limit=60)
                yield where, "", name
                waiting.append((f"{where}, {shown}", name, entry, depth + 1))
        elif isinstance(value, list):
            waiting += [
                (f"{where} {number}", key, entry, depth + 1)
                for number, entry in enumerate(value, start=1)
            ]
        else:
            yield where, key, value


def _check_entry(value: object, *, where: str, multiline: bool) -> None:
    """Raise if an entry is a text with control characters, or a number beyond 64 bits."""
    if isinstance(value, str):
        text = " ".join(value.split()) if multiline else value
        check_text(text, where=where, advice=_BACKSLASHES)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise SettingsError(f"{where}: the number has too many digits.")


def has_control_characters(text: str) -> bool:
    r"""Return whether a text has a control character, or a byte that could not be decoded.

    Examples
    --------
    >>> has_control_characters("CORP\backup"), has_control_characters("Grüße, Zoë")
    (True, False)
    """
    return not text.isprintable() and any(unicodedata.category(c) in {"Cc", "Cs"} for c in text)


def check_text(text: str, *, where: str, advice: str = _RETYPE) -> None:
    """Raise if a text has control characters; the error does not quote it.

    A TOML text in double quotes gets them by mistake: a backslash and b are a backspace.
    `advice` is for the place that the text is from.
    """
    if has_control_characters(text):
        raise SettingsError(f"{where}: the text has a control character. {advice}")


def check_host(host: str, *, where: str) -> None:
    """Raise if no host can have this name: an empty or too long part, or a control character.

    Examples
    --------
    >>> check_host("vc..example.com", where="vc-1: host")
    Traceback (most recent call last):
        ...
    backupkit.errors.SettingsError: vc-1: host: no host is named "vc..example.com": the parts ...
    """
    try:
        too_long = len(host.encode("idna").removesuffix(b".")) > _MAX_HOST_LENGTH
    except UnicodeError:  # a label
        too_long = True
    if too_long or has_control_characters(host):
        raise SettingsError(
            f'{where}: no host is named "{one_line(host, limit=80)}": the parts between its dots '
            "have 1 to 63 characters, the whole name at most 253. Check the spelling."
        )


def check_url(url: str, *, where: str) -> None:
    """Raise if a URL is not an HTTPS address; HTTP is allowed on this machine only.

    The error does not quote it, because it may hold a secret.

    Examples
    --------
    >>> check_url("http://127.0.0.1:8080/x", where="url"), check_url("https://a.test", where="url")
    (None, None)
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    if not (secure and host) or not url.isascii() or not url.isprintable() or " " in url:
        raise SettingsError(
            f"{where}: the URL must begin with https:// and a host; http:// is only for this "
            "machine. Check it where it is stored."
        )
    check_host(host, where=where)


def is_loopback(host: str) -> bool:
    """Return whether the host is this machine.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("mail.example.com")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def convert(
    entries: Mapping[str, Any],
    kind: type[T],
    *,
    where: str,
    examples: Mapping[str, str] | None = None,
) -> T:
    """Convert a TOML table to a `msgspec.Struct` that forbids unknown fields.

    An error names `where` (file and table) and the key, with its entry of `examples`.

    Examples
    --------
    >>> class Door(msgspec.Struct, forbid_unknown_fields=True):
    ...     colour: str
    >>> convert({"color": "red"}, Door, where="house.toml, [door]")
    Traceback (most recent call last):
        ...
    backupkit.errors.SettingsError: house.toml, [door]: unknown key "color"; did you mean "colour"?
    """
    try:
        return msgspec.convert(entries, kind, strict=True)
    except msgspec.ValidationError as error:
        text = str(error)
        known = [field.encode_name for field in msgspec.structs.fields(kind)]  # type: ignore[arg-type] # T is a Struct
        raise SettingsError(f"{where}: {_explain(text, known, examples or {})}") from error


def _explain(text: str, known: list[str], examples: Mapping[str, str]) -> str:
    """Return the error message for a validation error of msgspec."""
    at = _AT.search(text)
    key = at["key"] if at else ""
    if unknown := _UNKNOWN_FIELD.match(text):
        if key:  # a nested table; `known` lists keys of the outer one
            hint = f"for example: {examples[key]}" if key in examples else "leave it out."
            return f'unknown key "{unknown["key"]}" in "{key}"; {hint}'
        return unknown_key(unknown["key"], known)
    if missing := _MISSING_FIELD.match(text):
        example = examples.get(missing["key"])
        return f'"{missing["key"]}" is missing' + (f"; for example: {example}" if example else ".")
    example = examples.get(key.split("[")[0].split(".")[0])
    said = _AT.sub("", text).replace("`", "").replace(" | null", "")  # TOML has no null
    return f'"{key}": {said[:1].lower()}{said[1:]}' + (
        f"; for example: {example}" if example else "."
    )


def unknown_key(key: str, known: list[str]) -> str:
    """Return the error message for an unknown key."""
    close = difflib.get_close_matches(key, known, n=1)
    hint = f'did you mean "{close[0]}"?' if close else f"known keys: {', '.join(known)}."
    return f'unknown key "{key}"; {hint}'


def parse_duration(value: str, *, where: str) -> timedelta:
    """Parse a duration such as ``24h``, ``90m``, ``1h30m``, ``30d`` or ``2w``.

    Examples
    --------
    >>> parse_duration("1h30m", where="grace")
    datetime.timedelta(seconds=5400)
    """
    text = value.strip().lower()
    if _DURATION.fullmatch(text):
        seconds = sum(float(n) * _UNIT_SECONDS[unit] for n, unit in _DURATION_PART.findall(text))
        if seconds <= _LONGEST.total_seconds():
            return timedelta(seconds=seconds)
        raise SettingsError(
            f'{where}: "{one_line(value, limit=40)}" is too long: at most {_LONGEST.days}d '
            "(1,000 years)."
        )
    raise SettingsError(
        f'{where}: "{value}" is not a duration; write numbers with their units '
        "w, d, h, m or s, for example 24h, 90m, 1h30m or 30d."
    )


def parse_instant(value: Instant, *, where: str, zone: str | None = None) -> "pd.Timestamp":
    """Parse an aware datetime, or ISO 8601 text, as UTC to the microsecond.

    Text without a time zone is a time in `zone`, if one is given.

    Examples
    --------
    >>> parse_instant("2026-11-09T01:00:00+01:00", where="start")
    Timestamp('2026-11-09 00:00:00+0000', tz='UTC')
    >>> parse_instant("2026-07-01", where="start", zone="Europe/Berlin")
    Timestamp('2026-06-30 22:00:00+0000', tz='UTC')
    """
    import pandas as pd  # noqa: PLC0415 # reading settings needs no pandas

    try:
        if isinstance(value, str):
            # not by pandas, which reads "09/11/2026" as 11 September
            value = datetime.fromisoformat(value)
            if zone is not None and value.tzinfo is None:
                value = value.replace(tzinfo=ZoneInfo(zone))
        instant = pd.Timestamp(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise SettingsError(
            f'{where}: "{value}" is not a time; for example: 2026-11-09T00:00:00Z.'
        ) from error
    if instant.tzinfo is None:  # also true for NaT
        raise SettingsError(
            f'{where}: "{value}" has no time zone; for example: 2026-11-09T00:00:00Z.'
        )
    utc = instant.tz_convert("UTC").as_unit("us")
    if not MINYEAR <= utc.year <= MAXYEAR:  # the conversion may leave the range
        raise SettingsError(f"{where}: the time is out of range.")
    return utc


def time_zone(name: str, *, where: str) -> ZoneInfo:
    """Return the IANA time zone of a name.

    Examples
    --------
    >>> time_zone("Europe/Berlin", where="vc-1")
    zoneinfo.ZoneInfo(key='Europe/Berlin')
    """
    try:
        return ZoneInfo("" if _NOT_IANA.fullmatch(name) else name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(
            f'{where}: "{name}" is not a time zone of the IANA list; for example: '
            '"Europe/Berlin" or "Etc/UTC".'
        ) from error
