"""Requests and replies of the simulator: both flavours' envelopes and errors, as bytes."""

import dataclasses
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
    """A map of the API: an object in the new flavour, a list of key/value in the legacy one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, off the wire."""

    method: str
    target: str  # path and query
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)  # names in lower case
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's parameters."""
        return urllib.parse.parse_qs(self.target.partition("?")[2], keep_blank_values=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """One answer, for the wire."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cut: bool = False  # send half of the body, then drop the connection


class FaultError(Exception):
    """An error that the API answers.

    Parameters
    ----------
    status : int
        Of HTTP.
    kind : str
        The API's ``error_type``.
    source : Message
        What it says.
    challenge : str or None
        How to log in, with a 401.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        source: Message,
        *,
        challenge: str | None = None,
    ) -> None:
        super().__init__(source.default_message)
        self.status = status
        self.kind = kind
        self.source = source
        self.challenge = challenge


def answered(flavour: Flavour, status: int, value: object) -> Reply:
    """Wrap what an operation returned.

    Parameters
    ----------
    flavour : {"api", "rest"}
        Decides the envelope.
    status : int
        Of HTTP.
    value : object
        None for an operation that returns nothing.

    Returns
    -------
    Reply
        Without a body where there is no value.

    Examples
    --------
    >>> answered("api", 200, Map(a=1)).body, answered("rest", 200, Map(a=1)).body
    (b'{"a":1}', b'{"value":[{"key":"a","value":1}]}')
    """
    if value is None:
        return Reply(status)
    if flavour == "rest":
        if isinstance(value, Map):
            value = [{"key": key, "value": item} for key, item in value.items()]
        value = {"value": value}
    return Reply(status, JSON, msgspec.json.encode(value))


def failed(flavour: Flavour, release: Release, fault: FaultError) -> Reply:
    """Wrap an error.

    Parameters
    ----------
    flavour : {"api", "rest"}
        Decides the envelope.
    release : Release
        Old ones say less.
    fault : FaultError
        What went wrong.

    Returns
    -------
    Reply
        With the challenge as a header too, as HTTP wants it.
    """
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


def nowhere(flavour: Flavour, release: Release) -> Reply:
    """Answer a request for an address that does not exist.

    Parameters
    ----------
    flavour : {"api", "rest"}
        Decides the envelope.
    release : Release
        Before 7.0 the body had a shape of its own.

    Returns
    -------
    Reply
        404, whether or not one is logged in.
    """
    identifier, text = "com.vmware.vapi.rest.httpNotFound", "Not found."
    if release.has_error_type:
        fault = FaultError(http.HTTPStatus.NOT_FOUND, "NOT_FOUND", Message(identifier, text))
        return failed(flavour, release, fault)
    body = {
        "localizableMessages": [{"defaultMessage": text, "id": identifier}],
        "majorErrorCode": 404,
        "name": identifier,
    }
    return Reply(http.HTTPStatus.NOT_FOUND, JSON, msgspec.json.encode(body))


def proxied() -> Reply:
    """Answer as a proxy does while the appliance's services start."""
    page = b"<html><head><title>503</title></head><body>no healthy upstream</body></html>\n"
    return Reply(
        http.HTTPStatus.SERVICE_UNAVAILABLE, (("Content-Type", "text/html; charset=utf-8"),), page
    )
