"""HTTP requests of the API, and errors for HTTP status codes; no I/O.

Contains the paths of both flavours. No other module maps an HTTP status to an error.

References
----------
.. [1] vSphere Automation API, appliance/recovery/backup, and its predecessor below ``/rest``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, Literal
from urllib.parse import quote, urlencode

from backupkit.errors import (
    ADVICE,
    ApplianceError,
    BusyError,
    LoginError,
    NotFoundError,
    PayloadError,
    RightsError,
    ServerError,
    one_line,
)
from backupkit.wire import Flavour, decode_error

__all__ = [
    "NO_COOKIE",
    "SESSION_HEADER",
    "Request",
    "clock_skew",
    "get_details",
    "get_job",
    "get_schedules",
    "get_timezone",
    "get_version",
    "list_jobs",
    "log_in",
    "log_out",
    "raise_for_status",
]

SESSION_HEADER: Final = "vmware-api-session-id"

NO_COOKIE: Final = {"vmware-use-header-authn": "true"}
"""Header that stops a login from setting a cookie."""

_OK: Final = 200
_REDIRECT: Final = 300
_CLIENT_ERROR: Final = 400
_TOO_MANY: Final = 429
_SESSION: Final = {Flavour.API: "/api/session", Flavour.REST: "/rest/com/vmware/cis/session"}


@dataclass(frozen=True, slots=True)
class Request:
    """HTTP request before it is sent.

    Attributes
    ----------
    path : str
        Quoted path with query.
    what : str
        Name of the requested resource, for error messages.
    login : bool
        Whether to send user and password instead of the session token.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    what: str
    login: bool = False


def log_in(flavour: Flavour) -> Request:
    """Return the request that opens a session; the response is a token."""
    return Request("POST", _SESSION[flavour], "the login", login=True)


def log_out(flavour: Flavour) -> Request:
    """Return the request that closes the session."""
    return Request("DELETE", _SESSION[flavour], "the logout")


def list_jobs(flavour: Flavour) -> Request:
    """Return the request for the ids of all jobs."""
    return Request("GET", _backup(flavour, "job"), "the job list")


def get_job(flavour: Flavour, job_id: str) -> Request:
    """Return the request for the status of one job.

    Examples
    --------
    >>> get_job(Flavour.REST, "2026/1").path
    '/rest/appliance/recovery/backup/job/2026%2F1'
    """
    return Request(
        "GET", _backup(flavour, f"job/{quote(job_id, safe='')}"), f"job {one_line(job_id)}"
    )


def get_details(flavour: Flavour, job_ids: Iterable[str] = ()) -> Request:
    """Return the request for the details of some jobs; without ids, of all jobs.

    Examples
    --------
    >>> get_details(Flavour.API, ["a", "b"]).path
    '/api/appliance/recovery/backup/job/details?jobs=a&jobs=b'
    >>> get_details(Flavour.REST, ["a", "b"]).path
    '/rest/appliance/recovery/backup/job/details?filter.jobs.1=a&filter.jobs.2=b'
    """
    if flavour is Flavour.API:
        query = urlencode([("jobs", job_id) for job_id in job_ids])
    else:
        query = urlencode([(f"filter.jobs.{n}", job_id) for n, job_id in enumerate(job_ids, 1)])
    path = _backup(flavour, "job/details")
    return Request("GET", f"{path}?{query}" if query else path, "the job details")


def get_schedules(flavour: Flavour) -> Request:
    """Return the request for the backup schedules."""
    return Request("GET", _backup(flavour, "schedules"), "the schedules")


def get_version(flavour: Flavour) -> Request:
    """Return the request for the appliance's version."""
    return Request("GET", f"/{flavour}/appliance/system/version", "the version")


def get_timezone(flavour: Flavour) -> Request:
    """Return the request for the appliance's time zone."""
    return Request("GET", f"/{flavour}/appliance/system/time/timezone", "the time zone")


def _backup(flavour: Flavour, rest: str) -> str:
    return f"/{flavour}/appliance/recovery/backup/{rest}"


def raise_for_status(
    request: Request, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Raise the error for an HTTP status other than 200 to 299.

    Examples
    --------
    >>> raise_for_status(log_in(Flavour.API), 401, {}, b"")
    Traceback (most recent call last):
        ...
    backupkit.errors.LoginError: login failed (401). Check the user and password ...
    """
    if _OK <= status < _REDIRECT:
        return
    answer = decode_error(body)
    text = one_line(answer.text or answer.message_id) if answer else ""
    quoted = f'({status}): "{text}"' if text else f"({status})"
    kind: type[ApplianceError]
    advice = None
    match status:
        case _ if status < _CLIENT_ERROR:
            kind = PayloadError
            problem = f"{request.what} was redirected ({status}); redirects are not followed"
            advice = "Set host in fleet.toml to the appliance's own address."
        case 401 if request.login:
            kind, problem = LoginError, "login failed (401)"
        case 401:
            kind = LoginError
            problem, advice = (
                f"the session ended before {request.what} was read (401)",
                "Try again.",
            )
        case 403:
            kind, problem = RightsError, f"the user may not read {request.what} {quoted}"
        case 404:
            kind, problem = NotFoundError, f"{request.what} does not exist {quoted}"
        case 429 | 503 if status == _TOO_MANY or answer:
            kind = BusyError
            full = answer is not None and "SessionCount" in answer.message_id
            problem = f"{'no free session' if full else 'the appliance is busy'} {quoted}"
        case _:
            kind, problem = ServerError, f"the request for {request.what} failed {quoted}"
    if kind in {NotFoundError, ServerError} and answer is None:  # of a proxy, or during a start
        problem, advice = f"{problem}, and the response is not from the API", ADVICE["payload"]
    wait = headers.get("Retry-After") or ""  # a date is ignored
    raise kind(
        problem,
        advice=advice,
        status_code=status,
        retry_after=float(wait) if wait.isascii() and wait.isdigit() else None,
    )


def clock_skew(date_header: str | None, *, sent: datetime, received: datetime) -> timedelta | None:
    """Return the appliance's clock minus ours; None without a valid Date header.

    `sent` and `received` are by our clock [UTC]. The skew is zero if the header's resolution of one
    second explains the difference.

    Examples
    --------
    >>> noon = datetime(2026, 11, 9, 12, tzinfo=UTC)
    >>> clock_skew("Mon, 09 Nov 2026 12:07:00 GMT", sent=noon, received=noon)
    datetime.timedelta(seconds=420)
    """
    if not date_header:
        return None
    try:
        date = parsedate_to_datetime(date_header)
        earliest = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        latest = earliest + timedelta(seconds=1)
    except (ValueError, TypeError, OverflowError):
        return None
    if earliest > received:
        return earliest - received
    if latest < sent:
        return latest - sent
    return timedelta(0)
