"""Errors for requests without a response, with the next step."""

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import requests
import urllib3

from backupkit.client.tls import fetch_certificate, format_fingerprint
from backupkit.errors import ApplianceError, CertificateError, UnreachableError
from backupkit.fleet import Appliance
from backupkit.limits import Limits

__all__ = ["CONNECTION_ERRORS", "connection_error", "exception_chain", "is_timeout"]

CONNECTION_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""Exceptions of an exchange that gets no response."""


def is_timeout(error: Exception) -> bool:
    """Return whether an exchange got no response because nothing came in time."""
    return any(
        isinstance(cause, (urllib3.exceptions.TimeoutError, TimeoutError))
        for cause in exception_chain(error)
    )


def connection_error(
    error: Exception, appliance: Appliance, limits: Limits, *, resource: str = ""
) -> ApplianceError:
    """Return the error for a request without a response.

    `what` names the requested resource; without it, the error is from opening a connection. The
    error is retryable if the connection broke or a read timed out.
    """
    host, causes = appliance.host, list(exception_chain(error))

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if caused_by(ssl.SSLCertVerificationError) or "Fingerprints did not match" in str(error):
        verification_error = next(
            (c for c in causes if isinstance(c, ssl.SSLCertVerificationError)), None
        )
        reason = getattr(verification_error, "verify_message", "it could not be verified")
        return _certificate_error(appliance, reason, limits.connect)
    retryable = False
    opening = not resource or caused_by(urllib3.exceptions.NewConnectionError)
    reason = next((c.strerror for c in causes if isinstance(c, OSError) and c.strerror), "")
    advice = "Check whether the appliance is on, and whether a firewall blocks its port."
    if caused_by(socket.gaierror, urllib3.exceptions.NameResolutionError):
        problem = f"no host is named {host}: the name lookup failed"
        advice = (
            "Check the spelling of the host, and whether the name server of this machine knows it."
        )
    elif caused_by(ConnectionRefusedError):
        problem = f"{host} refused the connection: no service listens there"
        advice = "Check the address and the port, and whether the appliance is on."
    elif caused_by(urllib3.exceptions.ConnectTimeoutError) or (opening and caused_by(TimeoutError)):
        problem = f"{host} cannot be reached: no response within {limits.connect:g} s"
    elif caused_by(urllib3.exceptions.TimeoutError, TimeoutError):
        retryable = True
        problem = (
            f"{host} did not respond to {resource} in time ({limits.connect:g} s to connect, "
            f"{limits.read:g} s for each next byte)"
        )
        advice = "Check whether the appliance is on and not overloaded."
    elif caused_by(ssl.SSLError) and not caused_by(
        ssl.SSLEOFError, urllib3.exceptions.ProtocolError
    ):
        problem = f"{host} does not use TLS on this port"
        advice = "Check the port."
    elif opening:
        retryable = True
        problem = f"{host} cannot be reached: {reason or 'the connection broke'}"
    else:
        retryable = True
        problem = f"the connection to {host} broke at {resource}{f': {reason}' if reason else ''}"
        advice = "Try again later."
    return UnreachableError(problem, advice=advice, retryable=retryable)


def _certificate_error(appliance: Appliance, reason: str, timeout: float) -> CertificateError:
    host, name, options = appliance.host, appliance.name, appliance.options
    fingerprint = format_fingerprint(fetch_certificate(host, timeout))
    if appliance.fingerprint is not None:
        pinned = "by --fingerprint" if options else f"for {name} in fleet.toml"
        problem = f"the certificate of {host} is not the one pinned {pinned}"
        problem += f": it is {fingerprint}" if fingerprint else ""
        advice = "If it was renewed, compare it with the one on the appliance, and "
        advice += (
            "state the new fingerprint."
            if options
            else "write the new fingerprint into fleet.toml."
        )
    elif "mismatch" in reason:
        problem = f"the certificate of {host} is for another name: {reason}"
        advice = f"Write that name as host of {name} in fleet.toml."
        if options:
            advice = "Name the appliance by that name."
    else:
        problem = f"the certificate of {host} is not trusted: {reason}"
        advice = "To trust it, save the certificate of its authority as a PEM file and "
        pin = f'write fingerprint = "{fingerprint}"'
        if options:
            advice += "name the file: --ca-bundle ca.pem."
            pin = f"trust it alone: --fingerprint {fingerprint}"
        else:
            advice += f'write ca_bundle = "ca.pem" for {name} in fleet.toml.'
        if fingerprint and (not options or "--fingerprint" in options):
            advice += f" Or, if the appliance itself shows the same one, {pin}."
    return CertificateError(problem, advice=advice)


def exception_chain(error: BaseException) -> Iterator[BaseException]:
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
