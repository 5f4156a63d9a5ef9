"""HTTP exchange with one host, limited in size and time."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter

from backupkit._version import __version__
from backupkit.client.decompression import ACCEPTED_ENCODINGS, decompress
from backupkit.client.tls import build_tls_options, read_limits
from backupkit.fleet import Appliance
from backupkit.limits import Limits

__all__ = ["Response", "Transport"]

_HEADERS: Final[dict[str, str]] = {
    "Accept": "application/json",
    "Accept-Encoding": ACCEPTED_ENCODINGS,
    "User-Agent": f"backupkit/{__version__}",
}


class _QuotedHeaders(logging.Filter):
    """Filter of urllib3's warning about odd headers: it quotes them, and they may echo a secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is another one."""
        return not str(record.msg).startswith("Failed to parse headers")


logging.getLogger("urllib3.connection").addFilter(_QuotedHeaders())


@dataclass(frozen=True, slots=True)
class Response:
    """HTTP response.

    The lookup in `headers` ignores case. `body` is decompressed, and at most one byte longer than
    `Limits.body`.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Return whether the status is neither a redirect nor an error."""
        return 200 <= self.status < 300  # noqa: PLR2004 # HTTP's


class Transport:
    """Connections to one appliance; thread-safe."""

    def __init__(self, appliance: Appliance, limits: Limits) -> None:
        self._base = f"https://{appliance.host}"
        self._limits = limits
        language = {"Accept-Language": appliance.language} if appliance.language else {}
        self._headers = _HEADERS | language
        self._adapter = _Adapter(
            self._base, build_tls_options(appliance), connections=limits.per_appliance
        )

    def exchange(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        *,
        body: bytes = b"",
        read: float,
        deadline: float,
        stop: threading.Event | None = None,
        on_silence: Callable[[], object] = bool,
    ) -> Response:
        """Send a request and return the response, with any status; redirects are not followed.

        `path` is quoted. `body` is sent with a POST. `read` is the timeout for the next bytes [s],
        `deadline` that of the entire response, by the monotonic clock [s]. `stop` ends the wait
        once set.
        `on_silence` is called once if nothing comes for 5 s.
        Without a response it raises one of `CONNECTION_ERRORS`.
        """
        request = requests.PreparedRequest()  # by hand: preparing is as slow as sending
        request.method, request.url = method, path
        request.headers = self._headers | headers  # type: ignore[assignment] # each is there once
        if method == "POST":
            request.body = body or None
            request.headers["Content-Length"] = str(len(body))
        connect = max(0.001, min(self._limits.connect, deadline - monotonic()))
        with read_limits(read=read, deadline=deadline, stop=stop, on_silence=on_silence):
            response = self._adapter.exchange(request, timeout=(connect, None))
            try:
                limit = self._limits.body + 1
                received = bytearray()
                while piece := response.read(limit - len(received), decode_content=False):
                    received += piece
                encoding = response.headers.get("Content-Encoding", "")
                content = decompress(bytes(received), encoding, limit=limit)
                if len(received) == limit:
                    response.close()  # else the rest is read to reuse the connection
            except BaseException:
                response.close()
                raise
            finally:
                response.release_conn()
        return Response(response.status, response.headers, content)

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()


class _Adapter(HTTPAdapter):
    """HTTP adapter for one host that caches what requests looks up for each request.

    It is used without a requests session: no cookies, no redirects, no environment settings.
    """

    def __init__(self, base: str, options: Mapping[str, Any], *, connections: int) -> None:
        self._base, self._options = base, options
        self._pool: Any = None
        super().__init__(pool_connections=1, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 # as requests has it
        super().init_poolmanager(*args, **{**kwargs, **self._options})

    def get_connection_with_tls_context(self, *_args: Any, **_kwargs: Any) -> Any:  # noqa: ANN401 # as requests has it
        if self._pool is None:
            self._pool = self.poolmanager.connection_from_url(self._base)
        return self._pool

    def cert_verify(self, *args: Any) -> None:  # noqa: ANN401 # as requests has it
        """Do nothing: requests would load the public authorities for each request."""

    def request_url(self, request: requests.PreparedRequest, proxies: object) -> str:  # noqa: ARG002 # as requests has it
        return request.url or ""

    def build_response(self, req: object, resp: Any) -> Any:  # noqa: ANN401, ARG002 # as requests has it
        """Return the urllib3 response: that of requests adds a cookie jar and guesses a charset."""
        return resp

    def exchange(
        self, request: requests.PreparedRequest, timeout: tuple[float, None]
    ) -> urllib3.BaseHTTPResponse:
        """Send a request, with the errors of requests, and return the urllib3 response."""
        response: Any = self.send(request, stream=True, timeout=timeout)
        return cast("urllib3.BaseHTTPResponse", response)
