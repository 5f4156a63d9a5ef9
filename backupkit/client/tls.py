"""TLS contexts and sockets: trusted certificates, and time limits for each read.

A read timeout does not bound a response that trickles in, and cannot be interrupted. So sockets
wait in short steps, and check the deadline and the stop event between them.
"""

import functools
import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeVar

import urllib3

from backupkit.errors import SettingsError
from backupkit.fleet import Appliance

__all__ = [
    "DeadlineSocket",
    "build_tls_options",
    "fetch_certificate",
    "format_fingerprint",
    "grace_period",
    "load_ca_context",
    "read_limits",
]

T = TypeVar("T")

STOP_CHECK_INTERVAL: Final = 0.25
"""Interval between two checks of the stop event [s]."""

SILENT_AFTER: Final = 5.0
"""Time without a byte after which a request no longer counts as load [s]."""


def build_tls_options(appliance: Appliance) -> dict[str, Any]:
    """Return the TLS options of a urllib3 pool: trust a pinned certificate or an authority."""
    if appliance.fingerprint is not None:
        return {
            "ssl_context": _create_pinned_context(),
            "assert_fingerprint": appliance.fingerprint,
            "assert_hostname": False,
            "cert_reqs": "CERT_NONE",  # the fingerprint is checked instead
        }
    return {"ssl_context": load_ca_context(appliance.ca_bundle), "cert_reqs": "CERT_REQUIRED"}


def load_ca_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return the TLS context of a CA bundle or of the system's authorities."""
    if ca_bundle is None:
        return _create_ca_context(None, 0)
    try:
        return _create_ca_context(ca_bundle, ca_bundle.stat().st_mtime_ns)
    except (OSError, ssl.SSLError) as error:
        no_pem = isinstance(error, ssl.SSLError)
        reason = "it contains no PEM certificate" if no_pem else error.strerror
        raise SettingsError(
            f"the CA bundle {ca_bundle} cannot be used: {reason}",
            advice="Name a PEM file with the certificate of the authority.",
        ) from error


@functools.lru_cache(maxsize=32)
def _create_ca_context(ca_bundle: Path | None, _changed: int) -> ssl.SSLContext:
    """Load authorities once per version of the file: it is the slowest step of a poll."""
    context = ssl.create_default_context(cafile=ca_bundle)
    # Python 3.13 rejects authorities without the fields that RFC 5280 requires of public ones
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.sslsocket_class = DeadlineSocket
    return context


@functools.lru_cache(maxsize=1)
def _create_pinned_context() -> ssl.SSLContext:
    """Return the TLS context for a pinned certificate; it verifies no authority."""
    context = _create_unverified_context()
    context.sslsocket_class = DeadlineSocket
    return context


def _create_unverified_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def fetch_certificate(host: str, timeout: float) -> bytes:
    """Return the certificate of a host, unverified, as DER; empty if it cannot be read.

    Only the TLS handshake is sent. The timeout [s] applies to each step.
    """
    url = urllib3.util.parse_url(f"https://{host}")
    address = ((url.host or "").strip("[]"), url.port or 443)
    try:
        with (
            socket.create_connection(address, timeout=timeout) as tcp_socket,
            _create_unverified_context().wrap_socket(
                tcp_socket, server_hostname=address[0]
            ) as tls_socket,
        ):
            return tls_socket.getpeercert(binary_form=True) or b""
    except OSError:
        return b""


def format_fingerprint(certificate: bytes) -> str:
    """Return the fingerprint of a certificate, as in fleet.toml; empty without a certificate."""
    return f"sha256:{hashlib.sha256(certificate).hexdigest()}" if certificate else ""


class _ReadLimits(threading.local):
    """Limits of the current request of this thread; no limits by default."""

    read: float = float("inf")
    deadline: float = float("inf")
    stop: threading.Event | None = None
    grace: float = 0.0
    on_silence: Callable[[], object] = bool


_limits = _ReadLimits()


@contextmanager
def read_limits(
    *,
    read: float,
    deadline: float,
    stop: threading.Event | None,
    on_silence: Callable[[], object] = bool,
) -> Iterator[None]:
    """Limit the reads of this thread while the context lasts.

    `read` is the timeout for the next bytes [s], `deadline` that of the entire response, by the
    monotonic clock [s]. `stop` ends any wait once set. `on_silence` is called once if nothing comes
    for 5 s.
    """
    _limits.read, _limits.deadline, _limits.stop = read, deadline, stop
    _limits.on_silence = on_silence
    try:
        yield
    finally:
        del _limits.read, _limits.deadline, _limits.stop, _limits.on_silence


@contextmanager
def grace_period(seconds: float) -> Iterator[None]:
    """Let this thread wait so long for the current response after the stop event is set."""
    _limits.grace = seconds
    try:
        yield
    finally:
        del _limits.grace


class DeadlineSocket(ssl.SSLSocket):
    """TLS socket that applies the limits of `read_limits` to each wait.

    A wait raises `TimeoutError` after its time, and `ConnectionAbortedError` after a stop.
    """

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 # as ssl has it
        """Perform the TLS handshake within the socket's timeout."""
        timeout = self.gettimeout()
        limit = float("inf") if timeout is None else timeout
        self._run_in_slices(partial(super().do_handshake, block), timeout=limit, grace=0.0)
        self.settimeout(timeout)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 # as ssl has it
        """Read some bytes within the limits."""
        action = partial(super().recv_into, *args, **kwargs)
        return self._run_in_slices(action, timeout=_limits.read, grace=_limits.grace)

    def _run_in_slices(self, action: Callable[[], T], *, timeout: float, grace: float) -> T:
        """Run an action in short waits, and check the stop event between them."""
        began = now = monotonic()
        timeout_at = now + timeout
        while now < (end := min(timeout_at, _limits.deadline)):
            if _limits.stop is not None and _limits.stop.is_set():
                if not grace:
                    raise ConnectionAbortedError("stopped")
                _limits.deadline, _limits.stop = min(_limits.deadline, now + grace), None
                continue
            self.settimeout(min(STOP_CHECK_INTERVAL, end - now))
            try:
                return action()
            except TimeoutError:
                now = monotonic()
                if now - began >= SILENT_AFTER:
                    on_silence, _limits.on_silence = _limits.on_silence, bool  # only once
                    on_silence()
        raise TimeoutError("nothing was read in time")
