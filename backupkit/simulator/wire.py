"""Requests and replies of the simulator, with the envelopes and errors of both flavours."""

import dataclasses
import enum
import http
import urllib.parse
from collections.abc import Mapping
from typing import Literal

import msgspec

from backupkit.simulator.model import Message, Release
from backupkit.simulator.payloads import Object, message

Flavour = Literal["api", "rest"]
JSON = (("Content-Type", "application/json"),)


class Map(dict[str, object]):
    """Map of the API: an object in the new flavour, a list of key/value in the legacy one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Received HTTP request."""

    method: str
    target: str  # path and query
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)  # names in lower case
    body: bytes = b""

    @property
    def path(self) -> str:
        """Target without its query."""
        return self.target.partition("?")[0]

    @property
    def last(self) -> str:
        """Last segment of the path, unquoted."""
        return urllib.parse.unquote(self.path.rpartition("/")[2])

    @property
    def flavour(self) -> Flavour:
        """Flavour of the request."""
        return "rest" if self.target.startswith("/rest/") else "api"

    @property
    def query(self) -> dict[str, list[str]]:
        """Parameters of the query."""
        return urllib.parse.parse_qs(self.target.partition("?")[2], keep_blank_values=True)


class Delivery(enum.Enum):
    """Transmission mode of a reply."""

    COMPLETE = enum.auto()
    TRUNCATED = enum.auto()  # half of the body, then a closed connection
    RESET_IN_BODY = enum.auto()  # half of the body, then a reset
    BYTEWISE_BODY = enum.auto()  # the body byte by byte
    BYTEWISE = enum.auto()  # headers and body byte by byte
    RAW = enum.auto()  # the body alone, without HTTP
    DROP = enum.auto()  # nothing, then a closed connection
    SILENT = enum.auto()  # nothing, and the connection stays open


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """HTTP reply to send."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    delivery: Delivery = Delivery.COMPLETE
    pause: float = 0.0  # [s] before each chunk
    padding: int = 0  # [bytes] of blanks after the body


class FaultError(Exception):
    """Error that the API returns: status, ``error_type``, message, and challenge of a 401."""

    def __init__(
        self, status: int, kind: str, source: Message, *, challenge: str | None = None
    ) -> None:
        super().__init__(source.default_message)
        self.status = status
        self.kind = kind
        self.source = source
        self.challenge = challenge


def success_reply(flavour: Flavour, status: int, value: object) -> Reply:
    """Return the reply with the result of an operation; without a body if it is None.

    Examples
    --------
    >>> success_reply("api", 200, Map(a=1)).body, success_reply("rest", 200, Map(a=1)).body
    (b'{"a":1}', b'{"value":[{"key":"a","value":1}]}')
    """
    if value is None:
        return Reply(status)
    if flavour == "rest":
        if isinstance(value, Map):
            value = [{"key": key, "value": item} for key, item in value.items()]
        value = {"value": value}
    return Reply(status, JSON, msgspec.json.encode(value))


def error_reply(flavour: Flavour, release: Release, fault: FaultError) -> Reply:
    """Return the reply with an error; releases before 7.0 omit some fields."""
    extra: Object = {}
    headers: tuple[tuple[str, str], ...] = JSON
    if release.has_error_type:
        extra["error_type"] = fault.kind
        if fault.challenge is not None:
            extra["challenge"] = fault.challenge
    if fault.challenge is not None:
        headers = (*JSON, ("WWW-Authenticate", fault.challenge))
    body: Object = {**extra, "messages": [message(fault.source)]}
    if flavour == "rest":
        body = {"type": f"com.vmware.vapi.std.errors.{fault.kind.lower()}", "value": body}
    return Reply(fault.status, headers, msgspec.json.encode(body))


def not_found_reply(flavour: Flavour, release: Release) -> Reply:
    """Return the 404 for an unknown address; releases before 7.0 use another format."""
    identifier, text = "com.vmware.vapi.rest.httpNotFound", "Not found."
    if release.has_error_type:
        fault = FaultError(http.HTTPStatus.NOT_FOUND, "NOT_FOUND", Message(identifier, text))
        return error_reply(flavour, release, fault)
    body = {
        "localizableMessages": [{"defaultMessage": text, "id": identifier}],
        "majorErrorCode": 404,
        "name": identifier,
    }
    return Reply(http.HTTPStatus.NOT_FOUND, JSON, msgspec.json.encode(body))


def proxy_error_reply() -> Reply:
    """Return the reply of a proxy while the appliance's services start."""
    page = b"<html><head><title>503</title></head><body>no healthy upstream</body></html>\n"
    return Reply(
        http.HTTPStatus.SERVICE_UNAVAILABLE, (("Content-Type", "text/html; charset=utf-8"),), page
    )
