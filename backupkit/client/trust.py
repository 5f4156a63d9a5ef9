"""Which certificates are believed, and which one a host shows."""

import functools
import hashlib
import socket
import ssl
from pathlib import Path
from typing import Any

import urllib3

from backupkit.client.patience import PatientSocket
from backupkit.errors import SettingsError
from backupkit.fleet import Appliance

__all__ = ["shown_fingerprint", "trust_of"]


def trust_of(appliance: Appliance) -> dict[str, Any]:
    """Say to urllib3 which certificate to accept: the pinned one, or an authority's.

    Parameters
    ----------
    appliance : Appliance
        Names the fingerprint or the CA bundle.

    Returns
    -------
    dict
        Keywords of a urllib3 pool.

    Raises
    ------
    SettingsError
        If the CA bundle cannot be used.
    """
    if appliance.fingerprint is not None:
        return {
            "ssl_context": _pinning(),
            "assert_fingerprint": appliance.fingerprint,
            "assert_hostname": False,
            "cert_reqs": "CERT_NONE",  # the pin is checked in its place
        }
    return {"ssl_context": _trusting(appliance.ca_bundle), "cert_reqs": "CERT_REQUIRED"}


def _trusting(ca_bundle: Path | None) -> ssl.SSLContext:
    """Give the context that trusts a CA bundle, or the system's authorities; one per bundle."""
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
    """Load authorities once, and again when the file changed: it is the dearest step of a visit."""
    context = ssl.create_default_context(cafile=ca_bundle)
    # Python 3.13 began to refuse authorities that omit what RFC 5280 asks of public ones
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.sslsocket_class = PatientSocket
    return context


@functools.lru_cache(maxsize=1)
def _pinning() -> ssl.SSLContext:
    """Give the context that leaves it to the pin whom to believe."""
    context = _unverified()
    context.sslsocket_class = PatientSocket
    return context


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def shown_fingerprint(host: str, timeout: float) -> str:
    """Read which certificate a host shows, to name it in an error; nothing is sent to it.

    Parameters
    ----------
    host : str
        With its port if it is not 443.
    timeout : float
        For each step [s].

    Returns
    -------
    str
        Its SHA-256, 64 hexadecimal digits; empty if it cannot be read.
    """
    url = urllib3.util.parse_url(f"https://{host}")
    address = ((url.host or "").strip("[]"), url.port or 443)
    try:
        with (
            socket.create_connection(address, timeout=timeout) as plain,
            _unverified().wrap_socket(plain, server_hostname=address[0]) as secure,
        ):
            certificate = secure.getpeercert(binary_form=True) or b""
    except OSError:
        return ""
    return hashlib.sha256(certificate).hexdigest()
