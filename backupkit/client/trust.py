"""TLS settings: trusted certificates, and the certificate of a host."""

import functools
import hashlib
import socket
import ssl
from pathlib import Path
from typing import Any

import urllib3

from backupkit.client.read_limits import DeadlineSocket
from backupkit.errors import SettingsError
from backupkit.fleet import Appliance

__all__ = ["fetch_fingerprint", "tls_options"]


def tls_options(appliance: Appliance) -> dict[str, Any]:
    """Return the TLS options of urllib3: trust a pinned certificate or an authority.

    Parameters
    ----------
    appliance : Appliance
        Provides the fingerprint or the CA bundle.

    Returns
    -------
    dict
        Keyword arguments of a urllib3 pool.

    Raises
    ------
    SettingsError
        If the CA bundle cannot be used.
    """
    if appliance.fingerprint is not None:
        return {
            "ssl_context": _pinned_context(),
            "assert_fingerprint": appliance.fingerprint,
            "assert_hostname": False,
            "cert_reqs": "CERT_NONE",  # the fingerprint is checked instead
        }
    return {"ssl_context": _ca_context(appliance.ca_bundle), "cert_reqs": "CERT_REQUIRED"}


def _ca_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return the TLS context of a CA bundle or of the system's authorities."""
    if ca_bundle is None:
        return _context(None, 0)
    try:
        return _context(ca_bundle, ca_bundle.stat().st_mtime_ns)
    except (OSError, ssl.SSLError) as error:
        no_pem = isinstance(error, ssl.SSLError)
        reason = "it holds no PEM certificate" if no_pem else error.strerror
        raise SettingsError(f"The CA bundle {ca_bundle} cannot be used: {reason}.") from error


@functools.lru_cache(maxsize=32)
def _context(ca_bundle: Path | None, _changed: int) -> ssl.SSLContext:
    """Load authorities once per version of the file: it is the slowest step of a poll."""
    context = ssl.create_default_context(cafile=ca_bundle)
    # Python 3.13 rejects authorities without the fields that RFC 5280 requires of public ones
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.sslsocket_class = DeadlineSocket
    return context


@functools.lru_cache(maxsize=1)
def _pinned_context() -> ssl.SSLContext:
    """Return the TLS context for a pinned certificate; it verifies no authority."""
    context = _unverified_context()
    context.sslsocket_class = DeadlineSocket
    return context


def _unverified_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def fetch_fingerprint(host: str, timeout: float) -> str:
    """Return the fingerprint of a host's certificate; send only the TLS handshake.

    Parameters
    ----------
    host : str
        Host name or address, with ``:port`` unless it is 443.
    timeout : float
        Timeout of each step [s].

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits; empty if it cannot be read.
    """
    url = urllib3.util.parse_url(f"https://{host}")
    address = ((url.host or "").strip("[]"), url.port or 443)
    try:
        with (
            socket.create_connection(address, timeout=timeout) as plain,
            _unverified_context().wrap_socket(plain, server_hostname=address[0]) as secure,
        ):
            certificate = secure.getpeercert(binary_form=True) or b""
    except OSError:
        return ""
    return hashlib.sha256(certificate).hexdigest()
