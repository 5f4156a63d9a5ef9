"""Connection checks of an appliance: address, connection, certificate, secret, login."""

import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from time import perf_counter
from typing import Final, Literal

import pandas as pd
from cryptography import x509
from cryptography.x509.oid import NameOID

from backupkit.client import ApplianceClient, Limits
from backupkit.client.connection_errors import connection_error
from backupkit.client.tls import build_tls_options, fetch_certificate, format_fingerprint
from backupkit.diagnostics.nodes import DomainNode, Resolve, resolve_host
from backupkit.display.format import format_duration
from backupkit.errors import BackupkitError, one_line
from backupkit.fleet import Appliance
from backupkit.passwords import PasswordCache

__all__ = [
    "CheckContext",
    "Finding",
    "check_address",
    "check_certificate",
    "check_connection",
    "check_login",
    "check_secret",
    "create_failed_finding",
]

EXPIRES_SOON: Final = timedelta(days=30)
"""Remaining validity of a certificate below which there is a warning."""

_WRONG_NAME: Final = frozenset({62, 64})  # OpenSSL: host name mismatch, address mismatch
_OUT_OF_DATE: Final = frozenset({9, 10})  # OpenSSL: not yet valid, has expired


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check."""

    result: Literal["ok", "warning", "failed", "skipped"]
    found: str
    advice: str | None = None


@dataclass
class CheckContext:
    """State of the checks of one appliance, for the checks that follow."""

    appliance: Appliance
    passwords: PasswordCache
    limits: Limits
    deadline: float
    stop: threading.Event
    now: Callable[[], datetime]
    known: Sequence[Appliance] | None = None
    resolve: Resolve = resolve_host
    stack: ExitStack = field(default_factory=ExitStack)
    name: str = ""
    port: int = 443
    connection: socket.socket = field(init=False)
    password: str = field(init=False, repr=False)
    client: ApplianceClient = field(init=False)
    skew: timedelta | None = None
    job_ids: list[str] = field(default_factory=list)
    nodes: list[DomainNode] | None = None

    def __post_init__(self) -> None:
        host = self.appliance.host
        name, colon, port = host.rpartition(":")
        if not colon or host.endswith("]"):
            name, port = host, "443"
        self.name, self.port = name.strip("[]"), int(port)

    @property
    def management_url(self) -> str:
        """URL of the appliance's management interface."""
        return f"https://{bracket_ipv6(self.name)}:5480"


def bracket_ipv6(address: str) -> str:
    """Return an address, with brackets if it is IPv6, so that a port can follow."""
    return f"[{address}]" if ":" in address else address


def create_failed_finding(error: BackupkitError) -> Finding:
    """Return the finding for an error."""
    return Finding("failed", error.problem, error.advice)


def check_address(context: CheckContext) -> Finding:
    """Check that the host name can be resolved."""
    try:
        addresses = socket.getaddrinfo(context.name, context.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return create_failed_finding(connection_error(error, context.appliance, context.limits))
    return Finding("ok", ", ".join(dict.fromkeys(str(entry[4][0]) for entry in addresses)))


def check_connection(context: CheckContext) -> Finding:
    """Check that a connection can be opened."""
    began = perf_counter()
    try:
        connection = socket.create_connection(
            (context.name, context.port), timeout=context.limits.connect
        )
        peer = context.stack.enter_context(connection).getpeername()[0]
    except OSError as error:
        return create_failed_finding(connection_error(error, context.appliance, context.limits))
    context.connection, milliseconds = connection, ceil((perf_counter() - began) * 1_000)
    return Finding("ok", f"{bracket_ipv6(peer)}:{context.port} responded within {milliseconds} ms")


def check_certificate(context: CheckContext) -> Finding:
    """Perform the TLS handshake, and check the certificate."""
    appliance = context.appliance
    tls_context: ssl.SSLContext = build_tls_options(appliance)["ssl_context"]
    try:
        with tls_context.wrap_socket(
            context.connection, server_hostname=context.name
        ) as tls_socket:
            der = tls_socket.getpeercert(binary_form=True) or b""
        if appliance.fingerprint not in {None, hashlib.sha256(der).hexdigest()}:
            raise ssl.SSLCertVerificationError("it is not the one that is pinned")
    except TimeoutError:
        return Finding(
            "failed",
            f"{appliance.host} accepts connections, but does not respond to the TLS handshake "
            f"within {context.limits.connect:g} s",
            "Check the port in fleet.toml. If it is right, check the load of the appliance.",
        )
    except OSError as error:
        tls_error = connection_error(error, appliance, context.limits, resource="the TLS handshake")
        tls_error.advice = _find_tls_advice(context, error) or tls_error.advice
        return create_failed_finding(tls_error)
    parsed_certificate = _parse_certificate(der)
    if parsed_certificate is None:
        return Finding("ok", _describe_trust(appliance))
    summary = f"{_describe_trust(appliance)}, issued by {_format_issuer(parsed_certificate)}"
    expiry = parsed_certificate.not_valid_after_utc
    remaining = expiry - context.now()
    if remaining >= EXPIRES_SOON:
        return Finding("ok", f"{summary}, expires {expiry:%Y-%m-%d}")
    distance = format_duration(pd.Timedelta(abs(remaining)))
    has_expired = remaining <= timedelta(0)
    when = f"expired {expiry:%Y-%m-%d}, {distance} ago"
    return Finding(
        "warning",
        f"{summary}, {when if has_expired else f'expires {expiry:%Y-%m-%d}, in {distance}'}",
        "Renew it in the vSphere Client under Administration, Certificates"
        + (", then pin the new one in fleet.toml." if appliance.fingerprint else "."),
    )


def _describe_trust(appliance: Appliance) -> str:
    """Return why a certificate is trusted."""
    if appliance.fingerprint:
        return "the one pinned in fleet.toml"
    by = appliance.ca_bundle.name if appliance.ca_bundle else "this machine's authorities"
    return f"trusted by {by}"


def _parse_certificate(certificate: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(certificate)
    except ValueError:  # OpenSSL accepts more
        return None


def _format_issuer(certificate: x509.Certificate) -> str:
    parts = [
        str(attribute.value)
        for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
        for attribute in certificate.issuer.get_attributes_for_oid(kind)
    ]
    return one_line(", ".join(parts), limit=60) or "an authority without a name"


def _find_tls_advice(context: CheckContext, error: Exception) -> str:
    """Return advice for errors that a trusted authority would not fix; empty for others."""
    code = getattr(error, "verify_code", 0)
    if code in _OUT_OF_DATE:
        return (
            "Check this machine's date. If it is right, renew the certificate in the vSphere "
            "Client under Administration, Certificates."
        )
    if code not in _WRONG_NAME:
        return ""
    der = fetch_certificate(context.appliance.host, context.limits.connect)
    names = _format_host_names(_parse_certificate(der))
    if not names:
        return ""
    return (
        f"The certificate is for {names}: write that as host for {context.appliance.name} in "
        "fleet.toml. Or, if the appliance itself shows the same certificate, trust this one only: "
        f'fingerprint = "{format_fingerprint(der)}".'
    )


def _format_host_names(certificate: x509.Certificate | None) -> str:
    """Return the host names of a certificate; empty if there are none."""
    if certificate is not None:
        with suppress(ValueError, x509.ExtensionNotFound):
            kind = x509.SubjectAlternativeName
            names = certificate.extensions.get_extension_for_class(kind).value
            return one_line(", ".join(str(name.value) for name in names))
    return ""


def check_secret(context: CheckContext) -> Finding:
    """Check that the source has the password, the access token or the client's secret."""
    appliance, source = context.appliance, context.appliance.password
    context.password = context.passwords.read(source, appliance.account, stop=context.stop)
    origins = {
        "env": f"in the environment variable {source.place}",
        "file": f"in the file {source.place}",
        "keyring": f"in the keyring, for {source.place}",
        "command": f"printed by {source.place}",
        "prompt": "typed",
    }
    secret = source.secret
    if appliance.provider is not None:
        secret += f" of {appliance.provider.client}"
    return Finding("ok", f"{secret} {origins[source.kind]}")


def check_login(context: CheckContext) -> Finding:
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
    appliance = context.appliance
    way = {
        "password": f"as {appliance.user}",
        "token": "with an access token",
        "oauth": f"as the client {appliance.account}, with an access token",
    }
    return Finding("ok", f"{way[appliance.login]}, by /{client.flavour}")
