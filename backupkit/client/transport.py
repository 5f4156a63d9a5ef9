"""One HTTP exchange with one host, bounded in size and time, without what it does not need."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter

from backupkit._version import __version__
from backupkit.client.limits import Limits
from backupkit.client.patience import patience
from backupkit.client.trust import trust_of
from backupkit.fleet import Appliance

__all__ = ["Answer", "Transport"]

_HEADERS: Final[dict[str, str]] = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": f"backupkit/{__version__}",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes
    ----------
    status : int
        Of HTTP.
    headers : mapping of str to str
        Keys in any case.
    body : bytes
        Decompressed, and at most one byte longer than `Limits.body`.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether this is what was asked for, and neither a redirect nor an error."""
        return 200 <= self.status < 300  # noqa: PLR2004 # HTTP's


class Transport:
    """The connections to one appliance; safe to share between threads.

    Parameters
    ----------
    appliance : Appliance
        Says where it is and which certificate to believe.
    limits : Limits
        How long to wait, how large an answer may be, and how many connections are kept.
    """

    def __init__(self, appliance: Appliance, limits: Limits) -> None:
        self._base = f"https://{appliance.host}"
        self._limits = limits
        self._adapter = _Adapter(self._base, trust_of(appliance), connections=limits.per_appliance)

    def exchange(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        *,
        due: float,
        stop: threading.Event | None = None,
    ) -> Answer:
        """Send one request and read its answer; a redirect is an answer like any other.

        Parameters
        ----------
        method, path : str
            What to ask; the path with its query, quoted.
        headers : mapping of str to str
            Besides those that every request has.
        due : float
            When the answer must be there, by the monotonic clock [s].
        stop : Event, optional
            Ends the wait for the answer once it is set.

        Returns
        -------
        Answer
            Whatever its status.

        Raises
        ------
        requests.RequestException, urllib3.exceptions.HTTPError, OSError
            If there is none.
        """
        request = requests.PreparedRequest()  # filled by hand: preparing costs as much as sending
        request.method, request.url = method, path
        request.headers = _HEADERS | headers  # type: ignore[assignment] # each is there once
        if method == "POST":
            request.headers["Content-Length"] = "0"
        connect = max(0.001, min(self._limits.connect, due - monotonic()))
        with patience(read=self._limits.read, due=due, stop=stop):
            response = self._adapter.exchange(request, timeout=(connect, None))
            try:
                body = response.read(self._limits.body + 1, decode_content=True)
                if len(body) > self._limits.body:
                    response.close()  # else the rest would be read to use the connection again
            except BaseException:
                response.close()
                raise
            finally:
                response.release_conn()
        return Answer(response.status, response.headers, body)

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()


class _Adapter(HTTPAdapter):
    """requests' way to one host, without what is looked up for each request and never changes.

    Its session is left out: cookies, redirects and settings of the environment have no place here.
    """

    def __init__(self, base: str, trust: Mapping[str, Any], *, connections: int) -> None:
        self._base, self._trust = base, trust
        self._pool: Any = None
        super().__init__(pool_connections=1, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 # as requests has it
        super().init_poolmanager(*args, **{**kwargs, **self._trust})

    def get_connection_with_tls_context(self, *_args: Any, **_kwargs: Any) -> Any:  # noqa: ANN401 # as requests has it
        if self._pool is None:
            self._pool = self.poolmanager.connection_from_url(self._base)
        return self._pool

    def cert_verify(self, *args: Any) -> None:  # noqa: ANN401 # as requests has it
        """Load nothing: requests would add the public authorities to the context, each time."""

    def request_url(self, request: requests.PreparedRequest, proxies: object) -> str:  # noqa: ARG002 # as requests has it
        return request.url or ""

    def build_response(self, req: object, resp: Any) -> Any:  # noqa: ANN401, ARG002 # as requests has it
        """Give urllib3's own: one of requests would bring a cookie jar and guess a charset."""
        return resp

    def exchange(
        self, request: requests.PreparedRequest, timeout: tuple[float, None]
    ) -> urllib3.BaseHTTPResponse:
        """Send a request as requests does, with its errors; give what `build_response` gives."""
        response: Any = self.send(request, stream=True, timeout=timeout)
        return cast("urllib3.BaseHTTPResponse", response)
