"""HTTP endpoint of ``backupkit metrics --listen``: an assessment at most once a minute."""

import base64
import hmac
import logging
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from backupkit._version import __version__
from backupkit.cli.metrics_settings import Address, MetricsSettings
from backupkit.errors import BackupkitError, OutputError

__all__ = ["CachedMetrics", "MetricsServer"]

CACHE_SECONDS: Final = 60.0
_TIMEOUT: Final = 10.0  # of a client that sends nothing [s]
_OPENMETRICS: Final = "application/openmetrics-text"
_TEXT: Final = "text/plain; charset=utf-8"
_TYPES: Final = {
    True: f"{_OPENMETRICS}; version=1.0.0; charset=utf-8",
    False: "text/plain; version=0.0.4; charset=utf-8",
}
_LOG: Final = logging.getLogger(__name__)


@dataclass
class CachedMetrics:
    """Text of the metrics, computed at most once a minute.

    Parameters
    ----------
    compute : callable
        Returns the text; what it raises becomes the answer of the scrapes of that minute.
    clock : callable
        Returns a time that never goes back [s].

    Examples
    --------
    >>> ticks = iter([0.0, 30.0, 61.0])
    >>> texts = iter(["first", "second"])
    >>> cached = CachedMetrics(lambda: next(texts), clock=lambda: next(ticks))
    >>> [cached.read()[1] for _ in range(3)]
    ['first', 'first', 'second']
    """

    compute: Callable[[], str]
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _read_at: float | None = None
    _answer: tuple[bool, str] = (False, "")

    def read(self) -> tuple[bool, str]:
        """Return whether the newest assessment went well, and its text or its error."""
        with self._lock:
            now = self.clock()
            if self._read_at is None or now - self._read_at >= CACHE_SECONDS:
                self._answer = self._compute()
                self._read_at = now
            return self._answer

    def _compute(self) -> tuple[bool, str]:
        try:
            return True, self.compute()
        except BackupkitError as error:
            return False, str(error)
        except Exception as error:  # noqa: BLE001 # the endpoint outlives any error
            _LOG.exception("The metrics could not be computed.")
            return False, f"{type(error).__name__}: see the log of backupkit metrics."


class MetricsServer(ThreadingHTTPServer):
    """Server of the metrics; `serve_forever` runs until `shutdown` or Ctrl-C.

    Raises
    ------
    SettingsError
        If other machines can connect and TLS or login is missing, or the certificate is wrong.
    OutputError
        If the address cannot be bound.
    """

    daemon_threads = True  # a client that waits must not hold up the end
    block_on_close = False

    def __init__(self, address: Address, settings: MetricsSettings, metrics: CachedMetrics) -> None:
        settings.check_exposure(address)
        context = settings.build_tls_context()
        self.metrics = metrics
        self.login: bytes | None = None
        if settings.user is not None and settings.password is not None:
            login = f"{settings.user}:{settings.password.read(settings.user)}"
            self.login = base64.b64encode(login.encode())
        self.address_family = address.family
        try:
            super().__init__((address.ip, address.port), _Handler)
        except OSError as error:
            raise OutputError(
                f"--listen: {address.ip}, port {address.port}: {error.strerror}. Choose another "
                "port, or end the program that uses it."
            ) from error
        if context is not None:
            # the handshake is in the thread of the client, which may be slow
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if context is None else "https"
        host = f"[{address.ip}]" if ":" in address.ip else address.ip
        self.url = f"{scheme}://{host}:{self.server_address[1]}/metrics"

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 # as the base class
        """Log what ended a connection; the others go on."""
        del request
        _LOG.info("%s: the connection ended.", client_address[0], exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """Answer of one connection."""

    server: MetricsServer
    timeout = _TIMEOUT
    server_version = f"backupkit/{__version__}"
    sys_version = ""

    def do_GET(self) -> None:
        """Send the metrics, or an error in one line."""
        if not self._is_allowed():
            self._send(HTTPStatus.UNAUTHORIZED, "Log in with the user of [metrics].")
        elif self.path.partition("?")[0] != "/metrics":
            self._send(HTTPStatus.NOT_FOUND, "The metrics are at /metrics.")
        else:
            is_good, text = self.server.metrics.read()
            if is_good:
                kind = _TYPES[_OPENMETRICS in self.headers.get("Accept", "")]
                self._send(HTTPStatus.OK, text, kind)
            else:
                self._send(HTTPStatus.SERVICE_UNAVAILABLE, text)

    do_HEAD = do_GET  # noqa: N815 # a name of the base class

    def _is_allowed(self) -> bool:
        if self.server.login is None:
            return True
        kind, _, login = self.headers.get("Authorization", "").partition(" ")
        given = login.strip().encode("utf-8", "surrogateescape")
        return kind.lower() == "basic" and hmac.compare_digest(given, self.server.login)

    def _send(self, status: HTTPStatus, text: str, kind: str = _TEXT) -> None:
        content = text.encode() if text.endswith("\n") else f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="backupkit", charset="UTF-8"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def handle(self) -> None:
        """Answer; a client that breaks off, or speaks no TLS, is no error of the server."""
        try:
            super().handle()
        except (ssl.SSLError, ConnectionError, TimeoutError) as error:
            _LOG.info("%s: %s", self.client_address[0], error)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 # as the base class
        """Log a request, which is shown with --verbose."""
        _LOG.info(f"%s: {format}", self.client_address[0], *args)
