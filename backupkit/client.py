"""ApplianceClient: one session with one appliance; the one user of `requests`."""

import functools
import hashlib
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import requests
import urllib3
from requests.adapters import HTTPAdapter

from backupkit import protocol, wire
from backupkit.errors import (
    ApplianceError,
    CertificateError,
    NotFoundError,
    PayloadError,
    SettingsError,
    UnreachableError,
)
from backupkit.fleet import Appliance
from backupkit.wire import Flavour

__all__ = ["ApplianceClient"]

CONNECT_TIMEOUT: Final = 10.0
"""How long to wait for a connection [s]."""

READ_TIMEOUT: Final = 60.0
"""How long to wait for the next bytes of an answer [s]."""

BODY_LIMIT: Final = 64 * 2**20
"""The largest body that is read [bytes]; VMware documents 7 MB for its API."""

DETAILS_FILTER_LIMIT: Final = 50
"""How many ids one details request names; more would make its address too long."""


class ApplianceClient:
    """One session with one appliance.

    Use it as a context: it logs in at the start and out at the end, also after an error. Which of
    the two flavours the appliance speaks is found out at log-in.

    Parameters
    ----------
    appliance : Appliance
        Whom to ask.
    password : str
        Its user's password; kept in memory for the session alone, and in no text.
    connect_timeout, read_timeout : float
        How long to wait for a connection, and for the next bytes of an answer [s].
    clock : callable, optional
        Gives the present as an aware datetime; by default the machine's clock.

    Attributes
    ----------
    flavour : Flavour or None
        Found out at log-in.
    requests : int
        How many were sent.
    clock_skew : timedelta or None
        The appliance's clock minus ours, as of the newest answer.
    """

    def __init__(
        self,
        appliance: Appliance,
        password: str,
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.appliance = appliance
        self.flavour: Flavour | None = None
        self.requests = 0
        self.clock_skew: timedelta | None = None
        self._now = clock or (lambda: datetime.now(UTC))
        self._timeout = (connect_timeout, read_timeout)
        self._basic = b64encode(f"{appliance.user}:{password}".encode()).decode("ascii")
        self._token = ""
        self._http = requests.Session()
        self._http.trust_env = False  # no netrc, no proxy or CA bundle out of the environment
        self._http.verify = appliance.fingerprint is None  # a pin is checked in its place
        self._http.mount("https://", _TrustAdapter(_trust_of(appliance)))

    def __repr__(self) -> str:
        return f"ApplianceClient({self.appliance.name!r}, flavour={self.flavour})"

    def __enter__(self) -> Self:
        try:
            self._log_in()
        except BaseException:
            self._http.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._send(protocol.log_out(self._speaks))
        except ApplianceError as gone:
            if error is not None:  # what went wrong first is what the caller must see
                error.add_note(f"The log-out failed too: {gone}")
            # else all was read; the appliance ends an idle session by itself
        finally:
            self._token = ""
            self._http.close()

    def job_ids(self) -> list[str]:
        """Ask for the ids of all jobs.

        Returns
        -------
        list of str
            Each id once, in the appliance's order.

        Raises
        ------
        ApplianceError
            If they cannot be read.
        """
        return wire.decode_job_ids(self._send(protocol.list_jobs(self._speaks)), self._speaks)

    def job(self, job_id: str) -> wire.Job:
        """Ask for the status of one job.

        Parameters
        ----------
        job_id : str
            Its id.

        Returns
        -------
        Job
            Without type, size, location and build, which this endpoint does not tell.

        Raises
        ------
        ApplianceError
            If it cannot be read.
        """
        if not job_id.strip("."):  # such a segment would climb in the path instead of naming a job
            raise PayloadError(f'The job id "{job_id}" cannot be asked for.')
        request = protocol.get_job(self._speaks, job_id)
        return wire.decode_job(self._send(request), self._speaks, job_id)

    def details(
        self, job_ids: Sequence[str] = ()
    ) -> Iterator[tuple[list[wire.Job], dict[str, str]]]:
        """Ask for the details of some jobs, page by page.

        Parameters
        ----------
        job_ids : sequence of str
            Which jobs; none means all, in one request.

        Yields
        ------
        jobs : list of Job
            Those that could be read.
        spoiled : dict of str to str
            Why others could not, by job id.

        Raises
        ------
        NotFoundError
            If the appliance is older than 6.7 and has no details.
        ApplianceError
            If they cannot be read.
        """
        starts = range(0, len(job_ids), DETAILS_FILTER_LIMIT) if job_ids else [0]
        for start in starts:
            page = job_ids[start : start + DETAILS_FILTER_LIMIT]
            body = self._send(protocol.get_details(self._speaks, page))
            yield wire.decode_details(body, self._speaks)

    def schedules(self) -> tuple[dict[str, wire.Schedule], dict[str, str]]:
        """Ask for the backup schedules.

        Returns
        -------
        schedules : dict of str to Schedule
            By name.
        spoiled : dict of str to str
            Why others could not be read, by name.

        Raises
        ------
        NotFoundError
            If the appliance is older than 6.7 and has no schedules.
        ApplianceError
            If they cannot be read.
        """
        body = self._send(protocol.get_schedules(self._speaks))
        return wire.decode_schedules(body, self._speaks)

    def version(self) -> str:
        """Ask for the appliance's version, for example ``8.0.3.00400``."""
        return wire.decode_version(self._send(protocol.get_version(self._speaks)), self._speaks)

    def timezone(self) -> str:
        """Ask for the appliance's time zone, an IANA name."""
        body = self._send(protocol.get_timezone(self._speaks))
        return wire.decode_text(body, self._speaks, "the time zone")

    @property
    def _speaks(self) -> Flavour:
        if self.flavour is None:
            raise RuntimeError("the client is used outside its context")
        return self.flavour

    def _log_in(self) -> None:
        """Try the newer flavour first; an appliance before 7.0 U2 does not know its path."""
        try:
            body = self._send(protocol.log_in(Flavour.API))
            self.flavour = Flavour.API
        except NotFoundError:
            body = self._send(protocol.log_in(Flavour.REST))
            self.flavour = Flavour.REST
        self._token = wire.decode_text(body, self.flavour, "log-in")

    def _send(self, request: protocol.Request) -> bytes:
        """Send one request and give the body of a good answer."""
        self.requests += 1
        headers = {"Accept": "application/json", "vmware-use-header-authn": "true"}
        if request.login:
            headers["Authorization"] = f"Basic {self._basic}"
        else:
            headers[protocol.SESSION_HEADER] = self._token
        sent = self._now()
        try:
            with self._http.request(
                request.method,
                f"https://{self.appliance.host}{request.path}",
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,  # the token stays with the host it belongs to
                stream=True,
            ) as response:
                received = self._now()
                body = response.raw.read(BODY_LIMIT + 1, decode_content=True)
                status, answer_headers = response.status_code, response.headers
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise self._connection_error(error, request) from error
        if len(body) > BODY_LIMIT:
            raise PayloadError(
                f"The answer of {self.appliance.host} to {request.what} is larger than "
                f"{BODY_LIMIT // 2**20} MiB and was not read."
            )
        skew = protocol.clock_skew(answer_headers.get("Date"), sent=sent, received=received)
        self.clock_skew = self.clock_skew if skew is None else skew
        protocol.raise_for_status(request, status, answer_headers, body, host=self.appliance.host)
        return body

    def _connection_error(self, error: Exception, request: protocol.Request) -> ApplianceError:
        """Say in a sentence why there is no answer."""
        host, causes = self.appliance.host, list(_causes(error))

        def caused_by(*kinds: type[BaseException]) -> bool:
            return any(isinstance(cause, kinds) for cause in causes)

        if caused_by(ssl.SSLCertVerificationError) or "Fingerprints did not match" in str(error):
            return CertificateError(self._untrusted(causes))
        if caused_by(socket.gaierror, urllib3.exceptions.NameResolutionError):
            return UnreachableError(
                f"No host is named {host}: the name lookup failed. Check the spelling in "
                "fleet.toml."
            )
        if caused_by(ConnectionRefusedError):
            return UnreachableError(
                f"{host} refused the connection: nothing listens there. Check the address and the "
                "port, and whether the appliance is up."
            )
        if caused_by(urllib3.exceptions.TimeoutError, TimeoutError):
            connect, read = self._timeout
            return UnreachableError(
                f"{host} gave no answer to {request.what} in time ({connect:g} s to connect, "
                f"{read:g} s to answer). Check whether it is up and not behind a firewall."
            )
        if caused_by(ssl.SSLError):
            return UnreachableError(
                f"{host} does not speak TLS on this port. Check the port in fleet.toml."
            )
        reason = next((c.strerror for c in causes if isinstance(c, OSError) and c.strerror), "")
        return UnreachableError(
            f"The connection to {host} broke at {request.what}"
            f"{': ' + reason if reason else ''}. Try again later."
        )

    def _untrusted(self, causes: Sequence[BaseException]) -> str:
        host, name = self.appliance.host, self.appliance.name
        shown = _shown_fingerprint(host, self._timeout[0])
        if self.appliance.fingerprint is not None:
            return (
                f"The certificate of {host} is not the one pinned for {name} in fleet.toml"
                f"{f': it shows sha256:{shown}' if shown else ''}. If it was renewed, and you have "
                "checked so on the appliance, put the new fingerprint there."
            )
        verify = next((c for c in causes if isinstance(c, ssl.SSLCertVerificationError)), None)
        why = verify.verify_message if verify else "it could not be verified"
        text = (
            f"The certificate of {host} is not trusted: {why}. To trust it, save its authority's "
            f'certificate as a PEM file and write ca_bundle = "ca.pem" for {name} in fleet.toml'
        )
        if shown:
            text += (
                "; or, if you have checked on the appliance that it is its own, "
                f'fingerprint = "sha256:{shown}"'
            )
        return text + "."


class _TrustAdapter(HTTPAdapter):
    """HTTPS with the trust that is decided here, and not by requests."""

    def __init__(self, trust: Mapping[str, Any]) -> None:
        self._trust = trust
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 # as requests has it
        super().init_poolmanager(*args, **{**kwargs, **self._trust})

    def cert_verify(self, *args: Any) -> None:  # noqa: ANN401 # as requests has it
        """Load nothing: requests would add the public authorities to the context, each time."""


def _trust_of(appliance: Appliance) -> dict[str, Any]:
    """Say to urllib3 which certificate to accept: the pinned one, or an authority's."""
    if appliance.fingerprint is not None:
        return {"assert_fingerprint": appliance.fingerprint, "assert_hostname": False}
    return {"ssl_context": _trusting(appliance.ca_bundle)}


def _trusting(ca_bundle: Path | None) -> ssl.SSLContext:
    """Give the context that trusts a CA bundle, or the system's authorities; one per bundle."""
    if ca_bundle is None:
        return _context(None, 0)
    try:
        return _context(ca_bundle, ca_bundle.stat().st_mtime_ns)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "it holds no PEM certificate"
        raise SettingsError(f"The CA bundle {ca_bundle} cannot be used: {reason}.") from error


@functools.lru_cache(maxsize=32)
def _context(ca_bundle: Path | None, _changed: int) -> ssl.SSLContext:
    """Load authorities once, and again when the file changed: it is the dearest step of a visit."""
    return ssl.create_default_context(cafile=ca_bundle)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk from an error to what caused it, through chained and wrapped ones."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        cause = waiting.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]


def _shown_fingerprint(host: str, timeout: float) -> str:
    """Read which certificate a host shows, to name it in an error; nothing is sent to it."""
    url = urllib3.util.parse_url(f"https://{host}")
    address = ((url.host or "").strip("[]"), url.port or 443)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(address, timeout=timeout) as plain,
            context.wrap_socket(plain, server_hostname=address[0]) as secure,
        ):
            certificate = secure.getpeercert(binary_form=True) or b""
    except OSError:
        return ""
    return hashlib.sha256(certificate).hexdigest()
