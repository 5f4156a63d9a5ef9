"""Session with one appliance: `ApplianceClient`."""

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self, TypeVar, cast

from backupkit import protocol, wire
from backupkit.client.connection_errors import CONNECTION_ERRORS, connection_error, is_timeout
from backupkit.client.credentials import Credentials, decode_session_token
from backupkit.client.poll_time import PollTime
from backupkit.client.retries import Retries
from backupkit.client.tls import grace_period
from backupkit.client.transport import Response, Transport
from backupkit.errors import (
    ApplianceError,
    BusyError,
    LoginError,
    NotFoundError,
    PayloadError,
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

_LOGIN_ADVICE: Final = (
    "Check --user and its password. The user needs its SSO domain, as in "
    "administrator@vsphere.local. The account may be locked or expired."
)
"""Next step after a refused login with the options of a command."""

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
        Password, access token or secret of the client, as `Appliance.login` says. Kept in memory
        for the session only, never in text.
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
        self._time = PollTime(appliance.host, self._limits, deadline=deadline, stop=stop)
        self._waiting, self._thread = waiting, threading.get_ident()
        self._now = clock or (lambda: datetime.now(UTC))
        self._credentials = Credentials(appliance, password)
        self._renewed = False
        self._last_date_header: str | None = None
        self._retries = Retries(self._limits)
        self._request_semaphore = _get_request_semaphore(self._limits.concurrency)
        self._lock = threading.Lock()
        self._renewal_lock = threading.Lock()  # not `_lock`, which each request takes, too
        self._transport = Transport(appliance, self._limits)

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
        self._time.extend(LOGOUT_TIMEOUT)
        try:
            self._send_once(protocol.log_out(self._current_flavour))
        except ApplianceError as logout_error:
            _log.info("%s: the logout failed: %s", self.appliance.name, logout_error.text)
            if error is not None:  # the caller must see the first error
                error.add_note(f"The logout failed too: {logout_error.text}")
            # otherwise ignore it: the appliance ends an idle session by itself
        finally:
            self._credentials.set_session_token("")
            self._transport.close()

    def begin_poll(self) -> None:
        """Grant the time of one poll from now on; for each poll of a long session."""
        self._time.begin()

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
        if self._credentials.needs_exchange:  # which /rest does not have
            self._open_session(Flavour.API)
            return
        [second] = set(Flavour) - {self._preferred_flavour}
        try:
            self._open_session(self._preferred_flavour)
        except NotFoundError:
            self._open_session(second)

    def _open_session(self, flavour: Flavour) -> None:
        if self._credentials.needs_exchange:
            self._credentials.fetch_access_token(self._limits, self._time)
            body = self._send_with_retries(protocol.exchange_token())
            self._name_appliance(self._credentials.set_assertion, body)
        try:
            body = self._send_with_retries(protocol.log_in(flavour))
        except LoginError as error:
            if self._credentials.needs_exchange:  # there is no password to check
                error.advice = protocol.NO_TRUST
            elif self.appliance.options:
                error.advice = _LOGIN_ADVICE
            raise
        self.flavour = flavour
        token = self._decode(body, decode_session_token)
        self._credentials.set_session_token(token)

    def _read(self, request: protocol.Request, decode: Callable[[bytes, Flavour], T]) -> T:
        """Return a response without the password in its texts."""
        body = self._send(request)
        decoded = self._decode(body, decode)
        if self._credentials.mask.is_in_data(body):
            return cast("T", wire.change_texts(decoded, self._credentials.mask.mask_text))
        return decoded

    def _decode(self, body: bytes, decode: Callable[[bytes, Flavour], T]) -> T:
        """Decode a response; an error names this appliance."""
        flavour = self._current_flavour
        return self._name_appliance(lambda body: decode(body, flavour), body)

    def _name_appliance(self, decode: Callable[[bytes], T], body: bytes) -> T:
        try:
            return decode(body)
        except PayloadError as error:
            error.subject = self.appliance.name
            raise

    def _send(self, request: protocol.Request) -> bytes:
        """Send a request within the session; renew an ended session once."""
        token = self._credentials.session_token
        try:
            return self._send_with_retries(request)
        except LoginError:
            if not self._renew_session(token):
                raise
        return self._send_with_retries(request)

    def _renew_session(self, token: str) -> bool:
        """Log in again, once; return whether the session is no longer that of `token`."""
        with self._renewal_lock:
            if self._credentials.session_token != token:  # renewed by another thread
                return True
            if self._renewed:
                return False
            self._renewed = True
            _log.info("%s: the session ended, logging in again", self.appliance.name)
            self._open_session(self._current_flavour)
            return True

    def _send_with_retries(self, request: protocol.Request) -> bytes:
        """Send a request; retry it after retryable errors. An error names this appliance."""
        attempts = 0
        while True:
            silence_left = self._time.silence_left
            try:
                body = self._send_once(request)
            except ApplianceError as error:
                error.subject = self.appliance.name
                attempts += 1
                # the session may already be open
                may_be_open = request.login and isinstance(error, UnreachableError)
                stays_silent = self._time.silence_left < silence_left and attempts >= (
                    SILENT_ATTEMPTS if request.essential else 1
                )
                if may_be_open or stays_silent:
                    raise
                backoff = self._retries.backoff(error, attempts=attempts, time_left=self._time.left)
                if backoff is None:
                    raise
                level = logging.WARNING if isinstance(error, BusyError) else logging.INFO
                _log.log(level, "%s: %s; retrying in %.1f s", error.subject, error.problem, backoff)
                # other threads of the poll go on meanwhile
                own = self._thread == threading.get_ident()
                with self._waiting() if own else nullcontext():
                    self._time.stop.wait(backoff)
            else:
                self._retries.record_success()
                return body

    def _send_once(self, request: protocol.Request) -> bytes:
        """Send a request once and return the body of a successful response."""
        while not self._request_semaphore.acquire(timeout=max(0.0, min(self._time.left, 0.25))):
            self._time.check(request.what)
        with ExitStack() as place:
            place.callback(self._request_semaphore.release)

            def give_place_up() -> None:
                """Let other requests go first: the appliance is silent, and this one is no load."""
                place.close()
                if self._thread == threading.get_ident():
                    place.enter_context(self._waiting())

            self._time.check(request.what)
            return self._exchange(request, give_place_up)

    def _exchange(self, request: protocol.Request, on_silence: Callable[[], None]) -> bytes:
        headers, body = self._credentials.build(request)
        with self._lock:
            self.requests += 1
        began, sent = time.monotonic(), self._now()
        deadline = min(self._time.end, began + self._limits.response)
        read = min(self._limits.read, self._time.silence_left)
        try:
            # wait for the response to a login: the logout needs its token
            with grace_period(LOGOUT_TIMEOUT if request.login else 0.0):
                response = self._transport.exchange(
                    request.method,
                    request.path,
                    headers,
                    body=body,
                    read=read,
                    deadline=deadline,
                    stop=self._time.stop,
                    on_silence=on_silence,
                )
        except CONNECTION_ERRORS as error:
            self._time.check(request.what)
            if is_timeout(error):
                self._time.spend_silence(min(time.monotonic() - began, read))
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
        content = self._remove_secrets(request, response)
        protocol.raise_for_status(
            request, response.status, response.headers, content, now=self._now()
        )
        return content

    def _remove_secrets(self, request: protocol.Request, response: Response) -> bytes:
        """Mask secrets in the body, in case an appliance or a proxy echoes them."""
        if request.login and response.ok:  # the new token
            return response.body
        return self._credentials.mask.mask_body(response.body, ok=response.ok)

    def _update_clock_skew(self, date: str | None, sent: datetime) -> None:
        """Update the clock skew, once per value of the Date header."""
        if date == self._last_date_header:
            return
        self._last_date_header = date
        skew = protocol.clock_skew(date, sent=sent, received=self._now())
        self.clock_skew = self.clock_skew if skew is None else skew


@functools.lru_cache(maxsize=8)
def _get_request_semaphore(concurrency: int) -> threading.BoundedSemaphore:
    """Return the semaphore that limits concurrent requests of this process."""
    return threading.BoundedSemaphore(concurrency)
