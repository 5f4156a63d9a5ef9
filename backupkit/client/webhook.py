"""Requests to the services that get alerts: a JSON document, or a sign of life."""

import ssl
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from backupkit._version import __version__
from backupkit.client.connection_errors import CONNECTION_ERRORS, exception_chain
from backupkit.client.tls import load_ca_context, read_limits
from backupkit.errors import DeliveryError

__all__ = ["send_request"]

_HTTP_ERROR: Final = 300
_NOT_CONNECTED: Final = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    ssl.SSLError,
)
"""Errors before the request was sent."""


class _Adapter(HTTPAdapter):
    """HTTP adapter with the TLS context of the clients: verified, by one authority if it is set."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 # as requests has it
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def cert_verify(self, *args: Any) -> None:  # noqa: ANN401 # as requests has it
        """Do nothing: requests would add the public authorities to those of the context."""


def send_request(
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    ca_bundle: Path | None = None,
    timeout: float = 30.0,
) -> None:
    """Send a POST request with a JSON body, or a GET request without one.

    Parameters
    ----------
    url : str
        Where to; it may hold a secret, so errors name its host only.
    body : bytes, optional
        JSON document.
    headers : mapping of str to str, optional
        Further headers.
    ca_bundle : Path, optional
        PEM file of the certificate authority; default: the system's authorities.
    timeout : float
        Time limit [s].

    Raises
    ------
    DeliveryError
        If the service does not accept it. `delivery` says whether it may have arrived.

    Notes
    -----
    Certificates are verified. Redirects are errors. Proxies of the environment are not used.
    """
    host = urlsplit(url).hostname or ""
    all_headers = {"User-Agent": f"backupkit/{__version__}", **(headers or {})}
    method = "GET" if body is None else "POST"
    if body is not None:
        all_headers["Content-Type"] = "application/json"
    request = requests.Request(method, url, headers=all_headers, data=body).prepare()
    deadline = monotonic() + timeout
    try:
        with (
            closing(_Adapter(load_ca_context(ca_bundle))) as adapter,
            read_limits(read=timeout, deadline=deadline, stop=None),
        ):
            response = adapter.send(request, stream=True, timeout=timeout)
            response.close()
    except CONNECTION_ERRORS as error:
        raise _explain(error, host, timeout) from None  # its text has the URL
    if response.status_code >= _HTTP_ERROR:
        raise DeliveryError(
            f"{host} responded with status {response.status_code}",
            advice="Check the URL, and the log of the service.",
        )


def _explain(error: Exception, host: str, timeout: float) -> DeliveryError:
    """Return the error for a request without a response."""
    causes = list(exception_chain(error))

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    untrusted = next((one for one in causes if isinstance(one, ssl.SSLCertVerificationError)), None)
    if untrusted is not None:
        return DeliveryError(
            f"{host} has a certificate that is not trusted: {untrusted.verify_message}",
            advice="If it is the right service, set its authority as ca_bundle in [alert].",
        )
    if caused_by(*_NOT_CONNECTED):
        reason = next(
            (one.strerror for one in causes if isinstance(one, OSError) and one.strerror), ""
        )
        return DeliveryError(
            f"{host} cannot be reached{reason and ': '}{reason}",
            advice="Check the URL, and the network.",
        )
    return DeliveryError(
        f"{host} did not respond within {timeout:g} s, or closed the connection",
        advice="Check the log of the service.",
        delivery="perhaps",
    )
