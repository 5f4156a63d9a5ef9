"""Errors for requests without a response, with the next step."""

import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Any

import requests
import urllib3

from backupkit.client.limits import Limits
from backupkit.client.trust import fetch_fingerprint
from backupkit.errors import ApplianceError, CertificateError, UnreachableError
from backupkit.fleet import Appliance

__all__ = ["CONNECTION_ERRORS", "connection_error"]

CONNECTION_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""Exceptions of an exchange that gets no response."""


def connection_error(
    error: Exception, appliance: Appliance, limits: Limits, *, what: str
) -> ApplianceError:
    """Return the error for a request without a response.

    Parameters
    ----------
    error : Exception
        One of `CONNECTION_ERRORS`.
    appliance : Appliance
        Appliance that did not respond.
    limits : Limits
        Timeouts of the request.
    what : str
        Name of the requested resource, for the message.

    Returns
    -------
    ApplianceError
        A `CertificateError` or an `UnreachableError`; the latter is retryable if the connection
        broke or a read timed out.
    """
    host, causes = appliance.host, list(_exception_chain(error))

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if caused_by(ssl.SSLCertVerificationError) or "Fingerprints did not match" in str(error):
        return CertificateError(_untrusted(appliance, causes, limits.connect))
    retryable = False
    if caused_by(socket.gaierror, urllib3.exceptions.NameResolutionError):
        text = f"No host is named {host}: the name lookup failed. Check the spelling in fleet.toml."
    elif caused_by(ConnectionRefusedError):
        text = (
            f"{host} refused the connection: nothing listens there. Check the address and the "
            "port, and whether the appliance is up."
        )
    elif caused_by(urllib3.exceptions.ConnectTimeoutError):
        text = (
            f"{host} could not be reached within {limits.connect:g} s. Check whether it is up and "
            "not behind a firewall."
        )
    elif caused_by(urllib3.exceptions.TimeoutError, TimeoutError):
        retryable = True
        text = (
            f"{host} gave no answer to {what} in time ({limits.connect:g} s to connect, "
            f"{limits.read:g} s for each next byte). Check whether it is up and not overloaded."
        )
    elif caused_by(ssl.SSLError) and not caused_by(
        ssl.SSLEOFError, urllib3.exceptions.ProtocolError
    ):
        text = f"{host} does not speak TLS on this port. Check the port in fleet.toml."
    else:
        retryable = True
        reason = next((c.strerror for c in causes if isinstance(c, OSError) and c.strerror), "")
        suffix = f": {reason}" if reason else ""
        text = f"The connection to {host} broke at {what}{suffix}. Try again later."
    return UnreachableError(text, retryable=retryable)


def _untrusted(appliance: Appliance, causes: Sequence[BaseException], timeout: float) -> str:
    host, name = appliance.host, appliance.name
    shown = fetch_fingerprint(host, timeout)
    if appliance.fingerprint is not None:
        return (
            f"The certificate of {host} is not the one pinned for {name} in fleet.toml"
            f"{f': it shows sha256:{shown}' if shown else ''}. If it was renewed, and you have "
            "checked so on the appliance, put the new fingerprint there."
        )
    verify = next((c for c in causes if isinstance(c, ssl.SSLCertVerificationError)), None)
    why = verify.verify_message if verify else "it could not be verified"
    if "mismatch" in why:
        return (
            f"The certificate of {host} was made for another name: {why}. Write that name as host "
            f"of {name} in fleet.toml."
        )
    text = (
        f"The certificate of {host} is not trusted: {why}. To trust it, save its authority's "
        f'certificate as a PEM file and write ca_bundle = "ca.pem" for {name} in fleet.toml'
    )
    if shown:
        text += (
            "; or, if you have checked on the appliance that it is its own, "
            f'fingerprint = "sha256:{shown}"'
        )
    return text + "."


def _exception_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all its causes, chained or wrapped."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        cause = waiting.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
