"""ApplianceClient: one session with one appliance."""

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
from backupkit.client.faults import NO_ANSWER, connection_error
from backupkit.client.limits import Limits
from backupkit.client.patience import lingering
from backupkit.client.retries import Retries
from backupkit.client.transport import Answer, Transport
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
"""How many ids one details request names; more would make its address too long."""

FAREWELL: Final = 5.0
"""How long a log-out may take; the appliance ends an idle session by itself [s]."""

_log = logging.getLogger(__name__)


class ApplianceClient:
    """One session with one appliance; safe to share between threads.

    Use it as a context: it logs in at the start and out at the end, also after an error. Requests
    that fail in a way that passes are sent again, within `limits`; a session that ends in between
    is renewed once.

    Parameters
    ----------
    appliance : Appliance
        Whom to ask.
    password : str
        Its user's password; kept in memory for the session alone, and in no text.
    limits : Limits, optional
        How long to wait, how often to try, and how much to ask for at once.
    flavour : Flavour, optional
        Which flavour to try first at log-in; by default the newer one.
    due : float, optional
        When everything must be done, by the monotonic clock [s]; by default `limits.round` from
        now.
    stop : Event, optional
        Ends the session's work once it is set; the log-out is still sent.
    clock : callable, optional
        Gives the present as an aware datetime; by default the machine's clock.

    Attributes
    ----------
    flavour : Flavour or None
        What the appliance speaks; found out at log-in.
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
        limits: Limits | None = None,
        flavour: Flavour | None = None,
        due: float | None = None,
        stop: threading.Event | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.appliance = appliance
        self.flavour: Flavour | None = None
        self.requests = 0
        self.clock_skew: timedelta | None = None
        self._limits = limits or Limits()
        self._first = flavour or Flavour.API
        self._due = time.monotonic() + self._limits.round if due is None else due
        self._stop = stop or threading.Event()
        self._now = clock or (lambda: datetime.now(UTC))
        self._password = password
        self._basic = b64encode(f"{appliance.user}:{password}".encode()).decode("ascii")
        self._token = ""
        self._renewed = False
        self._date: str | None = None
        self._retries = Retries(self._limits)
        self._gate = _gate(self._limits.at_once)
        self._lock = threading.Lock()
        self._renewal = threading.Lock()  # held while a log-in is sent, which counts as a request
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
        # a round that is over, or was stopped, still says good-bye: sessions are scarce
        self._due, self._stop = time.monotonic() + FAREWELL, threading.Event()
        try:
            self._attempt(protocol.log_out(self._speaks))
        except ApplianceError as gone:
            _log.info("%s: the log-out failed: %s", self.appliance.name, gone)
            if error is not None:  # what went wrong first is what the caller must see
                error.add_note(f"The log-out failed too: {gone}")
            # else all was read; the appliance ends an idle session by itself
        finally:
            self._token = ""
            self._transport.close()

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
        """Try one flavour, then the other: before 7.0 U2 there is no /api, one day no /rest."""
        [second] = set(Flavour) - {self._first}
        try:
            body = self._retried(protocol.log_in(self._first))
            self.flavour = self._first
        except NotFoundError:
            body = self._retried(protocol.log_in(second))
            self.flavour = second
        self._token = self._token_in(body)

    def _token_in(self, body: bytes) -> str:
        """Give the token of a log-in's answer; one that fits no header is none."""
        token = wire.decode_text(body, self._speaks, "log-in")
        if not (token and token.isascii() and token.isprintable()):
            raise PayloadError("The answer to log-in is not what the API promises: no token.")
        return token

    def _send(self, request: protocol.Request) -> bytes:
        """Send one request within the session, which is renewed once if it ended."""
        token = self._token
        try:
            return self._retried(request)
        except LoginError:
            if not self._renew(token):
                raise
        return self._retried(request)

    def _renew(self, token: str) -> bool:
        """Log in again, once; tell whether there is another session than that of the token."""
        with self._renewal:
            if self._token != token:  # another thread was faster
                return True
            if self._renewed:
                return False
            self._renewed = True
            _log.info("%s ended the session, logging in again", self.appliance.name)
            self._token = self._token_in(self._retried(protocol.log_in(self._speaks)))
            return True

    def _retried(self, request: protocol.Request) -> bytes:
        """Send one request, again if it fails in a way that passes."""
        tried = 0
        while True:
            try:
                body = self._attempt(request)
            except ApplianceError as error:
                tried += 1
                broke = isinstance(error, UnreachableError)  # maybe after the session was opened
                wait = (
                    None
                    if request.login and broke
                    else self._retries.wait(error, tried=tried, left=self._left)
                )
                if wait is None:
                    raise
                urgency = logging.WARNING if isinstance(error, BusyError) else logging.INFO
                _log.log(urgency, "%s Waiting %.1f s before another try.", error, wait)
                self._stop.wait(wait)
            else:
                self._retries.succeeded()
                return body

    @property
    def _left(self) -> float:
        """What is left of the round [s]."""
        return self._due - time.monotonic()

    def _attempt(self, request: protocol.Request) -> bytes:
        """Send one request once and give the body of a good answer."""
        while not self._gate.acquire(timeout=max(0.0, min(self._left, 0.25))):
            self._check_time(request)
        try:
            self._check_time(request)
            return self._exchange(request)
        finally:
            self._gate.release()

    def _check_time(self, request: protocol.Request) -> None:
        """End the visit when the round was stopped, or is over."""
        if self._stop.is_set():
            raise StoppedError(f"The round was stopped before {request.what} was read.")
        if self._left <= 0:
            raise DeadlineError(
                f"The round's time was up before {request.what} of {self.appliance.host} was read. "
                "Give the round more time, or ask fewer appliances in it."
            )

    def _exchange(self, request: protocol.Request) -> bytes:
        host = self.appliance.host
        headers = (
            {"Authorization": f"Basic {self._basic}", **protocol.NO_COOKIE}
            if request.login
            else {protocol.SESSION_HEADER: self._token}
        )
        with self._lock:
            self.requests += 1
        due = min(self._due, time.monotonic() + self._limits.answer)
        sent = self._now()
        try:
            # a log-in that was sent is heard out: without its token nobody could log out
            with lingering(FAREWELL if request.login else 0.0):
                answer = self._transport.exchange(
                    request.method, request.path, headers, due=due, stop=self._stop
                )
        except NO_ANSWER as error:
            self._check_time(request)
            if time.monotonic() >= due:
                raise UnreachableError(
                    f"{host} took longer than {self._limits.answer:g} s to answer {request.what}, "
                    "and was cut off. Look at the network and the appliance's load."
                ) from error
            raise connection_error(
                error, self.appliance, self._limits, what=request.what
            ) from error
        if len(answer.body) > self._limits.body:
            raise PayloadError(
                f"The answer of {host} to {request.what} is larger than "
                f"{self._limits.body / 2**20:.3g} MiB and was not read."
            )
        self._compare_clocks(answer.headers.get("Date"), sent)
        body = self._without_secrets(answer)
        protocol.raise_for_status(request, answer.status, answer.headers, body, host=host)
        return body

    def _without_secrets(self, answer: Answer) -> bytes:
        """Take out what was sent as a secret, should an appliance or a proxy echo it."""
        secrets = [self._token, self._basic]
        if not answer.ok:  # elsewhere a password that is a common word would spoil data
            secrets.append(self._password)
        body = answer.body
        for secret in filter(None, secrets):
            body = body.replace(secret.encode(), b"[secret]")
        return body

    def _compare_clocks(self, date: str | None, sent: datetime) -> None:
        """Measure the skew, once for each second the header tells."""
        if date == self._date:
            return
        self._date = date
        skew = protocol.clock_skew(date, sent=sent, received=self._now())
        self.clock_skew = self.clock_skew if skew is None else skew


@functools.lru_cache(maxsize=8)
def _gate(at_once: int) -> threading.BoundedSemaphore:
    """Let so many requests of this process through at once, whoever makes them."""
    return threading.BoundedSemaphore(at_once)
