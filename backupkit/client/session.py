"""Session with one appliance: `ApplianceClient`."""

import functools
import logging
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

from backupkit import protocol, wire
from backupkit.client.connection_errors import CONNECTION_ERRORS, connection_error
from backupkit.client.limits import Limits
from backupkit.client.read_limits import grace_period
from backupkit.client.retries import Retries
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
from backupkit.wire import Flavour

__all__ = ["ApplianceClient"]

DETAILS_FILTER_LIMIT: Final = 50
"""Maximum job ids per details request; more would make the URL too long."""

LOGOUT_TIMEOUT: Final = 5.0
"""Timeout of the logout [s]; an appliance ends idle sessions by itself."""

_log = logging.getLogger(__name__)


class ApplianceClient:
    """Session with one appliance; thread-safe.

    Use it as a context manager: it logs in at the start and out at the end, also after an error.
    Retryable errors are retried within `limits`. A session that ends early is renewed once.

    Parameters
    ----------
    appliance : Appliance
        Appliance to connect to.
    password : str
        Password of its user; kept in memory for the session only, never in text.
    limits : Limits, optional
        Timeouts, attempts and concurrency.
    flavour : Flavour, optional
        Flavour to try first at login; default: the newer one.
    deadline : float, optional
        Deadline, by the monotonic clock [s]; default: `limits.deadline` from now.
    stop : Event, optional
        Ends the work once set; the logout is still sent.
    clock : callable, optional
        Returns the current time as an aware datetime; default: the system clock.

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
    ) -> None:
        self.appliance = appliance
        self.flavour: Flavour | None = None
        self.requests = 0
        self.clock_skew: timedelta | None = None
        self._limits = limits or Limits()
        self._preferred_flavour = flavour or Flavour.API
        self._deadline = time.monotonic() + self._limits.deadline if deadline is None else deadline
        self._stop = stop or threading.Event()
        self._now = clock or (lambda: datetime.now(UTC))
        self._password = password
        self._basic_credentials = b64encode(f"{appliance.user}:{password}".encode()).decode("ascii")
        self._token = ""
        self._renewed = False
        self._last_date_header: str | None = None
        self._retries = Retries(self._limits)
        self._request_semaphore = _request_semaphore(self._limits.concurrency)
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
        self._deadline, self._stop = time.monotonic() + LOGOUT_TIMEOUT, threading.Event()
        try:
            self._send_once(protocol.log_out(self._current_flavour))
        except ApplianceError as logout_error:
            _log.info("%s: the log-out failed: %s", self.appliance.name, logout_error)
            if error is not None:  # the caller must see the first error
                error.add_note(f"The log-out failed too: {logout_error}")
            # otherwise ignore it: the appliance ends an idle session by itself
        finally:
            self._token = ""
            self._transport.close()

    def job_ids(self) -> list[str]:
        """Return the ids of all jobs.

        Returns
        -------
        list of str
            Each id once, in the appliance's order.

        Raises
        ------
        ApplianceError
            If they cannot be read.
        """
        return wire.decode_job_ids(
            self._send(protocol.list_jobs(self._current_flavour)), self._current_flavour
        )

    def job(self, job_id: str) -> wire.Job:
        """Return the status of one job.

        Parameters
        ----------
        job_id : str
            Id of the job.

        Returns
        -------
        Job
            Job without type, size, location and build, which this endpoint does not return.

        Raises
        ------
        ApplianceError
            If it cannot be read.
        """
        if not job_id.strip("."):  # "." and ".." would change the path
            raise PayloadError(f'The job id "{job_id}" cannot be asked for.')
        request = protocol.get_job(self._current_flavour, job_id)
        return wire.decode_job(self._send(request), self._current_flavour, job_id)

    def details(
        self, job_ids: Sequence[str] = ()
    ) -> Iterator[tuple[list[wire.Job], dict[str, str]]]:
        """Yield the details of some jobs, page by page.

        Parameters
        ----------
        job_ids : sequence of str
            Ids of the jobs; none means all jobs, in one request.

        Yields
        ------
        jobs : list of Job
            Jobs that could be decoded.
        decode_errors : dict of str to str
            Error of each other job, by job id.

        Raises
        ------
        NotFoundError
            If the appliance has no details (before 6.7).
        ApplianceError
            If they cannot be read.
        """
        starts = range(0, len(job_ids), DETAILS_FILTER_LIMIT) if job_ids else [0]
        for start in starts:
            page = job_ids[start : start + DETAILS_FILTER_LIMIT]
            body = self._send(protocol.get_details(self._current_flavour, page))
            yield wire.decode_details(body, self._current_flavour)

    def schedules(self) -> tuple[dict[str, wire.Schedule], dict[str, str]]:
        """Return the backup schedules.

        Returns
        -------
        schedules : dict of str to Schedule
            Schedules by name.
        decode_errors : dict of str to str
            Error of each schedule that could not be decoded, by name.

        Raises
        ------
        NotFoundError
            If the appliance has no schedules (before 6.7).
        ApplianceError
            If they cannot be read.
        """
        body = self._send(protocol.get_schedules(self._current_flavour))
        return wire.decode_schedules(body, self._current_flavour)

    def version(self) -> str:
        """Return the appliance's version, for example ``8.0.3.00400``."""
        return wire.decode_version(
            self._send(protocol.get_version(self._current_flavour)), self._current_flavour
        )

    def timezone(self) -> str:
        """Return the appliance's time zone, an IANA name."""
        body = self._send(protocol.get_timezone(self._current_flavour))
        return wire.decode_text(body, self._current_flavour, "the time zone")

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
        self._token = self._token_in(body)

    def _token_in(self, body: bytes) -> str:
        """Return the token of a login response; raise if it does not fit into a header."""
        token = wire.decode_text(body, self._current_flavour, "log-in")
        if not (token and token.isascii() and token.isprintable()):
            raise PayloadError("The answer to log-in is not what the API promises: no token.")
        return token

    def _send(self, request: protocol.Request) -> bytes:
        """Send a request within the session; renew an ended session once."""
        token = self._token
        try:
            return self._send_with_retries(request)
        except LoginError:
            if not self._renew(token):
                raise
        return self._send_with_retries(request)

    def _renew(self, token: str) -> bool:
        """Log in again, once; return whether the session is no longer that of `token`."""
        with self._renewal_lock:
            if self._token != token:  # renewed by another thread
                return True
            if self._renewed:
                return False
            self._renewed = True
            _log.info("%s ended the session, logging in again", self.appliance.name)
            self._token = self._token_in(
                self._send_with_retries(protocol.log_in(self._current_flavour))
            )
            return True

    def _send_with_retries(self, request: protocol.Request) -> bytes:
        """Send a request; retry it after retryable errors."""
        attempts = 0
        while True:
            try:
                body = self._send_once(request)
            except ApplianceError as error:
                attempts += 1
                # the session may already be open
                connection_lost = isinstance(error, UnreachableError)
                backoff = (
                    None
                    if request.login and connection_lost
                    else self._retries.backoff(error, tried=attempts, time_left=self._time_left)
                )
                if backoff is None:
                    raise
                level = logging.WARNING if isinstance(error, BusyError) else logging.INFO
                _log.log(level, "%s Waiting %.1f s before another try.", error, backoff)
                self._stop.wait(backoff)
            else:
                self._retries.succeeded()
                return body

    @property
    def _time_left(self) -> float:
        """Time left until the deadline [s]."""
        return self._deadline - time.monotonic()

    def _send_once(self, request: protocol.Request) -> bytes:
        """Send a request once and return the body of a successful response."""
        while not self._request_semaphore.acquire(timeout=max(0.0, min(self._time_left, 0.25))):
            self._check_time(request)
        try:
            self._check_time(request)
            return self._exchange(request)
        finally:
            self._request_semaphore.release()

    def _check_time(self, request: protocol.Request) -> None:
        """Raise if the collection was stopped, or the deadline has passed."""
        if self._stop.is_set():
            raise StoppedError(f"The collection was stopped before {request.what} was read.")
        if self._time_left <= 0:
            raise DeadlineError(
                f"The deadline passed before {request.what} of {self.appliance.host} was read. "
                "Raise it, or collect from fewer appliances at a time."
            )

    def _exchange(self, request: protocol.Request) -> bytes:
        host = self.appliance.host
        headers = (
            {"Authorization": f"Basic {self._basic_credentials}", **protocol.NO_COOKIE}
            if request.login
            else {protocol.SESSION_HEADER: self._token}
        )
        with self._lock:
            self.requests += 1
        deadline = min(self._deadline, time.monotonic() + self._limits.answer)
        sent = self._now()
        try:
            # wait for the response to a login: the logout needs its token
            with grace_period(LOGOUT_TIMEOUT if request.login else 0.0):
                response = self._transport.exchange(
                    request.method, request.path, headers, deadline=deadline, stop=self._stop
                )
        except CONNECTION_ERRORS as error:
            self._check_time(request)
            if time.monotonic() >= deadline:
                raise UnreachableError(
                    f"{host} took longer than {self._limits.answer:g} s to answer {request.what}, "
                    "and was cut off. Look at the network and the appliance's load."
                ) from error
            raise connection_error(
                error, self.appliance, self._limits, what=request.what
            ) from error
        if len(response.body) > self._limits.body:
            raise PayloadError(
                f"The answer of {host} to {request.what} is larger than "
                f"{self._limits.body / 2**20:.3g} MiB and was not read."
            )
        self._compare_clocks(response.headers.get("Date"), sent)
        body = self._without_secrets(response)
        protocol.raise_for_status(request, response.status, response.headers, body, host=host)
        return body

    def _without_secrets(self, response: Response) -> bytes:
        """Remove secrets from the body, in case an appliance or a proxy echoes them."""
        secrets = [self._token, self._basic_credentials]
        if not response.ok:  # in data, it may be a common word
            secrets.append(self._password)
        body = response.body
        for secret in filter(None, secrets):
            body = body.replace(secret.encode(), b"[secret]")
        return body

    def _compare_clocks(self, date: str | None, sent: datetime) -> None:
        """Update the clock skew, once per value of the Date header."""
        if date == self._last_date_header:
            return
        self._last_date_header = date
        skew = protocol.clock_skew(date, sent=sent, received=self._now())
        self.clock_skew = self.clock_skew if skew is None else skew


@functools.lru_cache(maxsize=8)
def _request_semaphore(concurrency: int) -> threading.BoundedSemaphore:
    """Return the semaphore that limits concurrent requests of this process."""
    return threading.BoundedSemaphore(concurrency)
