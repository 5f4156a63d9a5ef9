"""Connectivity checks of an appliance: address, connection, certificate, password, login."""

import hashlib
import socket
import ssl
from contextlib import suppress
from datetime import timedelta
from math import ceil
from time import perf_counter
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from backupkit.client import ApplianceClient
from backupkit.client.faults import connection_error
from backupkit.client.trust import trust_of
from backupkit.doctor.finding import Finding, Visit, bracketed, failure, span
from backupkit.errors import (
    CredentialError,
    one_line,
)
from backupkit.fleet import Appliance

__all__ = ["address", "certificate", "connection", "log_in", "password"]

EXPIRES_SOON: Final = timedelta(days=30)
"""Remaining validity of a certificate below which there is a warning."""

_WRONG_NAME: Final = frozenset({62, 64})  # OpenSSL: host name mismatch, address mismatch
_OUT_OF_DATE: Final = frozenset({9, 10})  # OpenSSL: not yet valid, has expired


def address(visit: Visit) -> Finding:
    """Check that the host name can be resolved."""
    try:
        answers = socket.getaddrinfo(visit.name, visit.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # UnicodeError: an invalid label
        return Finding(
            "failed",
            f"no host is named {visit.name}: the name lookup failed",
            f"Check the spelling of host for {visit.appliance.name} in fleet.toml, and whether "
            "this machine's name server knows the appliance.",
        )
    return Finding("ok", ", ".join(dict.fromkeys(str(answer[4][0]) for answer in answers)))


def connection(visit: Visit) -> Finding:
    """Check that a connection can be opened."""
    host, began = visit.appliance.host, perf_counter()
    try:
        connection = socket.create_connection(
            (visit.name, visit.port), timeout=visit.limits.connect
        )
        peer = visit.stack.enter_context(connection).getpeername()[0]
    except ConnectionRefusedError:
        return Finding(
            "failed",
            f"{host} refused the connection: nothing listens there",
            "Check the address and the port in fleet.toml, and whether the appliance is up.",
        )
    except OSError as error:
        late = isinstance(error, TimeoutError)
        why = f"no answer within {visit.limits.connect:g} s" if late else error.strerror
        return Finding(
            "failed",
            f"{host} cannot be reached: {why or 'the connection broke'}",
            f"Check whether the appliance is up, and whether a firewall lets this machine reach "
            f"its port {visit.port}.",
        )
    visit.connection, took = connection, ceil((perf_counter() - began) * 1_000)
    return Finding("ok", f"{bracketed(peer)}:{visit.port} answered within {took} ms")


def certificate(visit: Visit) -> Finding:
    """Perform the TLS handshake, and check the certificate."""
    appliance = visit.appliance
    context: ssl.SSLContext = trust_of(appliance)["ssl_context"]
    try:
        shown = _handshake(visit.connection, context, visit.name)
        if appliance.fingerprint not in {None, hashlib.sha256(shown).hexdigest()}:
            raise ssl.SSLCertVerificationError("it is not the one that is pinned")
    except TimeoutError:
        return Finding(
            "failed",
            f"{appliance.host} takes connections, but does not answer the TLS handshake within "
            f"{visit.limits.connect:g} s",
            "Check the port in fleet.toml; if it is right, look at the appliance's load.",
        )
    except OSError as error:
        fault = connection_error(error, appliance, visit.limits, what="the TLS handshake")
        return failure(fault, advice=_remedy(visit, error))
    parsed = _parsed(shown)
    if parsed is None:
        return Finding("ok", _trust(appliance))
    found = f"{_trust(appliance)}, issued by {_issuer(parsed)}"
    ends = parsed.not_valid_after_utc
    left = ends - visit.now()
    if left >= EXPIRES_SOON:
        return Finding("ok", f"{found}, expires {ends:%Y-%m-%d}")
    when = f"in {span(left)}" if left > timedelta(0) else f"{span(left)} ago"
    tense = "expires" if left > timedelta(0) else "expired"
    return Finding(
        "warning",
        f"{found}, {tense} {ends:%Y-%m-%d}, {when}",
        "Renew it in the vSphere Client under Administration, Certificates"
        + (", then pin the new one in fleet.toml." if appliance.fingerprint else "."),
    )


def _trust(appliance: Appliance) -> str:
    """Return why a certificate is trusted."""
    if appliance.fingerprint:
        return "the one pinned in fleet.toml"
    by = appliance.ca_bundle.name if appliance.ca_bundle else "this machine's authorities"
    return f"trusted by {by}"


def _handshake(connection: socket.socket, context: ssl.SSLContext, name: str) -> bytes:
    """Perform the TLS handshake, and return the certificate; send nothing else."""
    with context.wrap_socket(connection, server_hostname=name) as secure:
        return secure.getpeercert(binary_form=True) or b""


def _parsed(certificate: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(certificate)
    except ValueError:  # OpenSSL accepts more
        return None


def _issuer(certificate: x509.Certificate) -> str:
    parts = [
        str(attribute.value)
        for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
        for attribute in certificate.issuer.get_attributes_for_oid(kind)
    ]
    return one_line(", ".join(parts), limit=60) or "an authority without a name"


def _remedy(visit: Visit, error: Exception) -> str:
    """Return advice for errors that a trusted authority would not fix; empty for others."""
    code = getattr(error, "verify_code", 0)
    if code in _OUT_OF_DATE:
        return (
            "Check this machine's date. If it is right, renew the certificate in the vSphere "
            "Client under Administration, Certificates."
        )
    shown = _unverified(visit) if code in _WRONG_NAME else b""
    names = _names(_parsed(shown))
    if not names:
        return ""
    return (
        f"It was made for {names}: write that as host for {visit.appliance.name} in fleet.toml. "
        "Or, if you have checked on the appliance that the certificate is its own, trust this very "
        f'one: fingerprint = "sha256:{hashlib.sha256(shown).hexdigest()}".'
    )


def _unverified(visit: Visit) -> bytes:
    """Return the certificate without verifying it; empty if there is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = (visit.name, visit.port)
    with (
        suppress(OSError),
        socket.create_connection(address, timeout=visit.limits.connect) as connection,
    ):
        return _handshake(connection, context, visit.name)
    return b""


def _names(certificate: x509.Certificate | None) -> str:
    """Return the host names of a certificate; empty if there are none."""
    if certificate is not None:
        with suppress(ValueError, x509.ExtensionNotFound):
            kind = x509.SubjectAlternativeName
            names = certificate.extensions.get_extension_for_class(kind).value
            return one_line(", ".join(str(name.value) for name in names))
    return ""


def password(visit: Visit) -> Finding:
    """Check that the source has a password."""
    source, user = visit.appliance.password, visit.appliance.user
    password = visit.typed.get((source, user)) or source.read(user)
    if isinstance(password, CredentialError):
        raise password
    visit.password = password
    found = {
        "env": f"in the environment variable {source.place}",
        "file": f"in the file {source.place}",
        "keyring": f"in the keyring, for {source.place}",
        "prompt": "typed",
    }
    return Finding("ok", found[source.kind])


def log_in(visit: Visit) -> Finding:
    """Log in; the logout follows after the last check."""
    client = ApplianceClient(
        visit.appliance,
        visit.password,
        limits=visit.limits,
        due=visit.due,
        stop=visit.stop,
        clock=visit.now,
    )
    try:
        visit.client = visit.stack.enter_context(client)
    finally:
        visit.skew = client.clock_skew  # known even if the login fails
    return Finding("ok", f"as {visit.appliance.user}, by /{client.flavour}")
