"""Session with one appliance: `ApplianceClient`."""

import functools
import logging
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self, TypeVar, cast

from backupkit import protocol, wire
from backupkit.client.connection_errors import CONNECTION_ERRORS, connection_error, is_timeout
from backupkit.client.masking import SecretMask
from backupkit.client.retries import Retries
from backupkit.client.tls import grace_period
from backupkit.client.transport import Response, Transport
from backupkit.errors import (
    ApplianceError,
    BusyError,
    DeadlineError,
    LoginError,
    NotFoundError,
    PayloadError,
    StoppedError,
    UnreachableError,
)
from backupkit.fleet import Appliance
from backupkit.limits import Limits
from backupkit.wire import Flavour

__all__ = ["ApplianceClient"]

T = TypeVar("T")

DETAILS_FILTER_LIMIT: Final = 50
"""Maximum job ids per details request; more would make the URL too long."""

SILENT_ATTEMPTS: Final = 2
"""Maximum attempts of an essential request that gets no response in time; of others one."""

LOGOUT_TIMEOUT: Final = 5.0
"""Timeout of the logout [s]; an appliance ends idle sessions by itself."""

_log = logging.getLogger(__name__)


class ApplianceClient:
    """Session with one appliance; thread-safe.

    Use it as a context manager: it logs in at the start and out at the end, also after an error.
    Retryable errors are retried within `limits`. A session that ends early is renewed once.

    Parameters
    ----------
    password : str
        Kept in memory for the session only, never in text.
    flavour : Flavour, optional
        Flavour to try first at login; default: the newer one.
    deadline : float, optional
        By the monotonic clock [s]; default: `limits.deadline` from now.
    stop : Event, optional
        Ends the work once set; the logout is still sent.
    clock : callable, optional
        Returns the current time as an aware datetime; default: the system clock.
    waiting : callable, optional
        Returns a context for a wait between two attempts in the thread that created the client.

    Attributes
    ----------
    flavour : Flavour or None
        Flavour of the appliance, detected at login.
    requests : int
        Number of requests sent.
    clock_skew : timedelta or None
        The appliance's clock minus ours, from the newest response.
    """

    def __init__(
        self,
        appliance: Appliance,
        password: str,
        *,
        limits: Limits | None = None,
        flavour: Flavour | None = None,
        deadline: float | None = None,
        stop: threading.Event | None = None,
        clock: Callable[[], datetime] | None = None,
        waiting: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.appliance = appliance
        self.flavour: Flavour | None = None
        self.requests = 0
        self.clock_skew: timedelta | None = None
        self._limits = limits or Limits()
        self._preferred_flavour = flavour or Flavour.API
        self._deadline = time.monotonic() + self._limits.deadline if deadline is None else deadline
        self._stop = stop or threading.Event()
        self._waiting, self._thread = waiting, threading.get_ident()
        self._now = clock or (lambda: datetime.now(UTC))
        self._mask = SecretMask(appliance.user, password)
        self._basic_credentials = b64encode(f"{appliance.user}:{password}".encode()).decode("ascii")
        self._token = ""
        self._renewed = False
        self._last_date_header: str | None = None
        self._retries = Retries(self._limits)
        self._request_semaphore = _get_request_semaphore(self._limits.concurrency)
        self._lock = threading.Lock()
        self._renewal_lock = threading.Lock()  # not `_lock`, which each request takes, too
        self._transport = Transport(appliance, self._limits)
        self.begin_poll()

    def __repr__(self) -> str:
        return f"ApplianceClient({self.appliance.name!r}, flavour={self.flavour})"

    def __enter__(self) -> Self:
        try:
            self._log_in()
        except BaseException:
            self._transport.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # log out even after the deadline or a stop: sessions are scarce
        self._deadline, self._stop = time.monotonic() + LOGOUT_TIMEOUT, threading.Event()
        self.begin_poll()
        try:
            self._send_once(protocol.log_out(self._current_flavour))
        except ApplianceError as logout_error:
            _log.info("%s: the logout failed: %s", self.appliance.name, logout_error.text)
            if error is not None:  # the caller must see the first error
                error.add_note(f"The logout failed too: {logout_error.text}")
            # otherwise ignore it: the appliance ends an idle session by itself
        finally:
            self._token = ""
            self._transport.close()

    def begin_poll(self) -> None:
        """Grant the time of one poll from now on; for each poll of a long session."""
        self._poll_end = time.monotonic() + self._limits.poll
        self._silence_left = self._limits.silence

    def job_ids(self) -> tuple[list[str], wire.DecodeErrors]:
        """Return the ids of all jobs, each once in the appliance's order, and errors."""
        body = self._send(protocol.list_jobs(self._current_flavour))
        return self._decode(body, wire.decode_job_ids)

    def job(self, job_id: str) -> wire.Job:
        """Return one job; this endpoint returns neither type, size, location nor build."""
        if not job_id.strip("."):  # "." and ".." would change the path
            raise PayloadError(
                f'the job id "{job_id}" would change the path of the URL and cannot be requested',
                advice="All other jobs are read.",
                subject=self.appliance.name,
            )
        request = protocol.get_job(self._current_flavour, job_id)
        return self._read(request, functools.partial(wire.decode_job, job_id=job_id))

    def details(
        self, job_ids: Sequence[str] = ()
    ) -> Iterator[tuple[list[wire.Job], wire.DecodeErrors]]:
        """Yield jobs with details, and the errors of other jobs by id, page by page.

        Without `job_ids` there is one page with all jobs. An appliance before 6.7 has no details:
        `NotFoundError`.
        """
        starts = range(0, len(job_ids), DETAILS_FILTER_LIMIT) if job_ids else [0]
        for start in starts:
            page = job_ids[start : start + DETAILS_FILTER_LIMIT]
            request = protocol.get_details(self._current_flavour, page)
            yield self._read(request, wire.decode_details)

    def schedules(self) -> tuple[dict[str, wire.Schedule], wire.DecodeErrors]:
        """Return the backup schedules, and the errors of other schedules, both by name.

        An appliance before 6.7 has no schedules: `NotFoundError`.
        """
        return self._read(protocol.get_schedules(self._current_flavour), wire.decode_schedules)

    def version(self) -> str:
        """Return the appliance's version, for example ``8.0.3.00400``."""
        return self._read(protocol.get_version(self._current_flavour), wire.decode_version)

    def timezone(self) -> str:
        """Return the appliance's time zone, an IANA name."""
        request = protocol.get_timezone(self._current_flavour)
        return self._read(request, functools.partial(wire.decode_text, what=request.what))

    def nodes(self) -> tuple[list[wire.Node], wire.DecodeErrors]:
        """Return the nodes of the appliance's SSO domain, and errors.

        An appliance before 6.7 U2 has no such list: `NotFoundError`.
        """
        return self._read(protocol.list_nodes(self._current_flavour), wire.decode_nodes)

    @property
    def _current_flavour(self) -> Flavour:
        if self.flavour is None:
            raise RuntimeError("the client is used outside its context")
        return self.flavour

    def _log_in(self) -> None:
        """Log in with either flavour: /api is missing before 7.0 U2, /rest may be removed later."""
        [second] = set(Flavour) - {self._preferred_flavour}
        try:
            body = self._send_with_retries(protocol.log_in(self._preferred_flavour))
            self.flavour = self._preferred_flavour
        except NotFoundError:
            body = self._send_with_retries(protocol.log_in(second))
            self.flavour = second
        self._set_token(self._decode(body, _decode_token))

    def _set_token(self, token: str) -> None:
        self._mask.add_token(token)
        self._token = token

    def _read(self, request: protocol.Request, decode: Callable[[bytes, Flavour], T]) -> T:
        """Return a response without the password in its texts."""
        body = self._send(request)
        decoded = self._decode(body, decode)
        if self._mask.is_in_data(body):
            return cast("T", wire.change_texts(decoded, self._mask.mask_text))
        return decoded

    def _decode(self, body: bytes, decode: Callable[[bytes, Flavour], T]) -> T:
        """Decode a response; an error names this appliance."""
        try:
            return decode(body, self._current_flavour)
        except PayloadError as error:
            error.subject = self.appliance.name
            raise

    def _send(self, request: protocol.Request) -> bytes:
        """Send a request within the session; renew an ended session once."""
        token = self._token
        try:
            return self._send_with_retries(request)
        except LoginError:
            if not self._renew_session(token):
                raise
        return self._send_with_retries(request)

    def _renew_session(self, token: str) -> bool:
        """Log in again, once; return whether the session is no longer that of `token`."""
        with self._renewal_lock:
            if self._token != token:  # renewed by another thread
                return True
            if self._renewed:
                return False
            self._renewed = True
            _log.info("%s: the session ended, logging in again", self.appliance.name)
            body = self._send_with_retries(protocol.log_in(self._current_flavour))
            self._set_token(self._decode(body, _decode_token))
            return True

    def _send_with_retries(self, request: protocol.Request) -> bytes:
        """Send a request; retry it after retryable errors. An error names this appliance."""
        attempts = 0
        while True:
            silence_left = self._silence_left
            try:
                body = self._send_once(request)
            except ApplianceError as error:
                error.subject = self.appliance.name
                attempts += 1
                # the session may already be open
                may_be_open = request.login and isinstance(error, UnreachableError)
                stays_silent = self._silence_left < silence_left and attempts >= (
                    SILENT_ATTEMPTS if request.essential else 1
                )
                if may_be_open or stays_silent:
                    raise
                backoff = self._retries.backoff(error, attempts=attempts, time_left=self._time_left)
                if backoff is None:
                    raise
                level = logging.WARNING if isinstance(error, BusyError) else logging.INFO
                _log.log(level, "%s: %s; retrying in %.1f s", error.subject, error.problem, backoff)
                # other threads of the poll go on meanwhile
                own = self._thread == threading.get_ident()
                with self._waiting() if own else nullcontext():
                    self._stop.wait(backoff)
            else:
                self._retries.record_success()
                return body

    @property
    def _time_left(self) -> float:
        """Time left for this poll [s]."""
        return min(self._deadline, self._poll_end) - time.monotonic()

    def _send_once(self, request: protocol.Request) -> bytes:
        """Send a request once and return the body of a successful response."""
        while not self._request_semaphore.acquire(timeout=max(0.0, min(self._time_left, 0.25))):
            self._check_stop_and_deadline(request)
        with ExitStack() as place:
            place.callback(self._request_semaphore.release)

            def give_place_up() -> None:
                """Let other requests go first: the appliance is silent, and this one is no load."""
                place.close()
                if self._thread == threading.get_ident():
                    place.enter_context(self._waiting())

            self._check_stop_and_deadline(request)
            return self._exchange(request, give_place_up)

    def _check_stop_and_deadline(self, request: protocol.Request) -> None:
        """Raise if the collection was stopped, or the deadline has passed."""
        if self._stop.is_set():
            raise StoppedError(f"the collection was stopped before reading {request.what}")
        if self._time_left <= 0:
            if self._deadline <= self._poll_end:
                raise DeadlineError(
                    f"the deadline of the collection passed before reading {request.what}"
                )
            raise DeadlineError(
                f"the poll took longer than {self._limits.poll:g} s, and ended before reading "
                f"{request.what}",
                advice="Allow more time (poll in fleet.toml, or --poll), or check why the "
                "appliance responds slowly.",
            )
        if self._silence_left <= 0:
            raise UnreachableError(
                f"{self.appliance.host} was silent for {self._limits.silence:g} s in all, "
                f"without a response to {request.what}",
                advice="Check whether the appliance is on and not overloaded.",
            )

    def _exchange(self, request: protocol.Request, on_silence: Callable[[], None]) -> bytes:
        headers = (
            {"Authorization": f"Basic {self._basic_credentials}", **protocol.NO_COOKIE}
            if request.login
            else {protocol.SESSION_HEADER: self._token}
        )
        with self._lock:
            self.requests += 1
        began, sent = time.monotonic(), self._now()
        deadline = min(self._deadline, self._poll_end, began + self._limits.response)
        read = min(self._limits.read, self._silence_left)
        try:
            # wait for the response to a login: the logout needs its token
            with grace_period(LOGOUT_TIMEOUT if request.login else 0.0):
                response = self._transport.exchange(
                    request.method,
                    request.path,
                    headers,
                    read=read,
                    deadline=deadline,
                    stop=self._stop,
                    on_silence=on_silence,
                )
        except CONNECTION_ERRORS as error:
            self._check_stop_and_deadline(request)
            if is_timeout(error):
                with self._lock:
                    self._silence_left -= min(time.monotonic() - began, read)
            if time.monotonic() >= deadline:
                raise UnreachableError(
                    f"the response to {request.what} took longer than {self._limits.response:g} s",
                    advice="Check the network, and the load of the appliance.",
                ) from error
            raise connection_error(
                error, self.appliance, self._limits, resource=request.what
            ) from error
        if len(response.body) > self._limits.body:
            raise PayloadError(
                f"the response to {request.what} is larger than {self._limits.body / 2**20:.3g} "
                "MiB and was not read"
            )
        self._update_clock_skew(response.headers.get("Date"), sent)
        body = self._remove_secrets(request, response)
        protocol.raise_for_status(request, response.status, response.headers, body, now=self._now())
        return body

    def _remove_secrets(self, request: protocol.Request, response: Response) -> bytes:
        """Mask secrets in the body, in case an appliance or a proxy echoes them."""
        if request.login and response.ok:  # the new token
            return response.body
        return self._mask.mask_body(response.body, ok=response.ok)

    def _update_clock_skew(self, date: str | None, sent: datetime) -> None:
        """Update the clock skew, once per value of the Date header."""
        if date == self._last_date_header:
            return
        self._last_date_header = date
        skew = protocol.clock_skew(date, sent=sent, received=self._now())
        self.clock_skew = self.clock_skew if skew is None else skew


def _decode_token(body: bytes, flavour: Flavour) -> str:
    """Decode the token of a login response; raise if it does not fit into a header."""
    token = wire.decode_text(body, flavour, "the login")
    if not (token and token.isascii() and token.isprintable()):
        raise PayloadError("the response to the login does not follow the API: no token")
    return token


@functools.lru_cache(maxsize=8)
def _get_request_semaphore(concurrency: int) -> threading.BoundedSemaphore:
    """Return the semaphore that limits concurrent requests of this process."""
    return threading.BoundedSemaphore(concurrency)
