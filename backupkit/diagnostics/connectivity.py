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
from backupkit.client.connection_errors import connection_error
from backupkit.client.trust import tls_options
from backupkit.diagnostics.findings import CheckContext, Finding, bracketed, failure, span
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


def address(context: CheckContext) -> Finding:
    """Check that the host name can be resolved."""
    try:
        addresses = socket.getaddrinfo(context.name, context.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # UnicodeError: an invalid label
        return Finding(
            "failed",
            f"no host is named {context.name}: the name lookup failed",
            f"Check the spelling of host for {context.appliance.name} in fleet.toml, and whether "
            "this machine's name server knows the appliance.",
        )
    return Finding("ok", ", ".join(dict.fromkeys(str(entry[4][0]) for entry in addresses)))


def connection(context: CheckContext) -> Finding:
    """Check that a connection can be opened."""
    host, began = context.appliance.host, perf_counter()
    try:
        connection = socket.create_connection(
            (context.name, context.port), timeout=context.limits.connect
        )
        peer = context.stack.enter_context(connection).getpeername()[0]
    except ConnectionRefusedError:
        return Finding(
            "failed",
            f"{host} refused the connection: nothing listens there",
            "Check the address and the port in fleet.toml, and whether the appliance is up.",
        )
    except OSError as error:
        timed_out = isinstance(error, TimeoutError)
        reason = f"no answer within {context.limits.connect:g} s" if timed_out else error.strerror
        return Finding(
            "failed",
            f"{host} cannot be reached: {reason or 'the connection broke'}",
            f"Check whether the appliance is up, and whether a firewall lets this machine reach "
            f"its port {context.port}.",
        )
    context.connection, milliseconds = connection, ceil((perf_counter() - began) * 1_000)
    return Finding("ok", f"{bracketed(peer)}:{context.port} answered within {milliseconds} ms")


def certificate(context: CheckContext) -> Finding:
    """Perform the TLS handshake, and check the certificate."""
    appliance = context.appliance
    tls_context: ssl.SSLContext = tls_options(appliance)["ssl_context"]
    try:
        der = _handshake(context.connection, tls_context, context.name)
        if appliance.fingerprint not in {None, hashlib.sha256(der).hexdigest()}:
            raise ssl.SSLCertVerificationError("it is not the one that is pinned")
    except TimeoutError:
        return Finding(
            "failed",
            f"{appliance.host} takes connections, but does not answer the TLS handshake within "
            f"{context.limits.connect:g} s",
            "Check the port in fleet.toml; if it is right, look at the appliance's load.",
        )
    except OSError as error:
        tls_error = connection_error(error, appliance, context.limits, what="the TLS handshake")
        return failure(tls_error, advice=_tls_advice(context, error))
    parsed = _parse_certificate(der)
    if parsed is None:
        return Finding("ok", _trust_reason(appliance))
    summary = f"{_trust_reason(appliance)}, issued by {_issuer(parsed)}"
    expiry = parsed.not_valid_after_utc
    remaining = expiry - context.now()
    if remaining >= EXPIRES_SOON:
        return Finding("ok", f"{summary}, expires {expiry:%Y-%m-%d}")
    distance = f"in {span(remaining)}" if remaining > timedelta(0) else f"{span(remaining)} ago"
    tense = "expires" if remaining > timedelta(0) else "expired"
    return Finding(
        "warning",
        f"{summary}, {tense} {expiry:%Y-%m-%d}, {distance}",
        "Renew it in the vSphere Client under Administration, Certificates"
        + (", then pin the new one in fleet.toml." if appliance.fingerprint else "."),
    )


def _trust_reason(appliance: Appliance) -> str:
    """Return why a certificate is trusted."""
    if appliance.fingerprint:
        return "the one pinned in fleet.toml"
    by = appliance.ca_bundle.name if appliance.ca_bundle else "this machine's authorities"
    return f"trusted by {by}"


def _handshake(connection: socket.socket, tls_context: ssl.SSLContext, name: str) -> bytes:
    """Perform the TLS handshake, and return the certificate; send nothing else."""
    with tls_context.wrap_socket(connection, server_hostname=name) as secure:
        return secure.getpeercert(binary_form=True) or b""


def _parse_certificate(certificate: bytes) -> x509.Certificate | None:
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


def _tls_advice(context: CheckContext, error: Exception) -> str:
    """Return advice for errors that a trusted authority would not fix; empty for others."""
    code = getattr(error, "verify_code", 0)
    if code in _OUT_OF_DATE:
        return (
            "Check this machine's date. If it is right, renew the certificate in the vSphere "
            "Client under Administration, Certificates."
        )
    der = _unverified(context) if code in _WRONG_NAME else b""
    names = _names(_parse_certificate(der))
    if not names:
        return ""
    return (
        f"It was made for {names}: write that as host for {context.appliance.name} in fleet.toml. "
        "Or, if you have checked on the appliance that the certificate is its own, trust this very "
        f'one: fingerprint = "sha256:{hashlib.sha256(der).hexdigest()}".'
    )


def _unverified(context: CheckContext) -> bytes:
    """Return the certificate without verifying it; empty if there is none."""
    tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls_context.check_hostname, tls_context.verify_mode = False, ssl.CERT_NONE
    address = (context.name, context.port)
    with (
        suppress(OSError),
        socket.create_connection(address, timeout=context.limits.connect) as connection,
    ):
        return _handshake(connection, tls_context, context.name)
    return b""


def _names(certificate: x509.Certificate | None) -> str:
    """Return the host names of a certificate; empty if there are none."""
    if certificate is not None:
        with suppress(ValueError, x509.ExtensionNotFound):
            kind = x509.SubjectAlternativeName
            names = certificate.extensions.get_extension_for_class(kind).value
            return one_line(", ".join(str(name.value) for name in names))
    return ""


def password(context: CheckContext) -> Finding:
    """Check that the source has a password."""
    source, user = context.appliance.password, context.appliance.user
    password = context.typed.get((source, user)) or source.read(user)
    if isinstance(password, CredentialError):
        raise password
    context.password = password
    origins = {
        "env": f"in the environment variable {source.place}",
        "file": f"in the file {source.place}",
        "keyring": f"in the keyring, for {source.place}",
        "prompt": "typed",
    }
    return Finding("ok", origins[source.kind])


def log_in(context: CheckContext) -> Finding:
    """Log in; the logout follows after the last check."""
    client = ApplianceClient(
        context.appliance,
        context.password,
        limits=context.limits,
        deadline=context.deadline,
        stop=context.stop,
        clock=context.now,
    )
    try:
        context.client = context.stack.enter_context(client)
    finally:
        context.skew = client.clock_skew  # known even if the login fails
    return Finding("ok", f"as {context.appliance.user}, by /{client.flavour}")
