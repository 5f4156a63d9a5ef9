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
    ApplianceError,
    BusyError,
    LoginError,
    NotFoundError,
    PayloadError,
    RightsError,
    ServerError,
    one_line,
)
from backupkit.wire import ErrorAnswer, Flavour, decode_error

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
    method : str
        GET, POST or DELETE.
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
    """Return the request that opens a session.

    Parameters
    ----------
    flavour : Flavour
        API flavour.

    Returns
    -------
    Request
        Request to send with user and password; the response is a token.

    Examples
    --------
    >>> log_in(Flavour.API).path
    '/api/session'
    """
    return Request("POST", _SESSION[flavour], "log-in", login=True)


def log_out(flavour: Flavour) -> Request:
    """Return the request that closes the session."""
    return Request("DELETE", _SESSION[flavour], "log-out")


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
    """Return the request for the details of some jobs.

    Parameters
    ----------
    flavour : Flavour
        API flavour.
    job_ids : iterable of str
        Ids of the jobs; none means all jobs.

    Returns
    -------
    Request
        Request with the filter in the syntax of the flavour.

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
    request: Request, status: int, headers: Mapping[str, str], body: bytes, *, host: str
) -> None:
    """Raise the error for an unsuccessful HTTP status.

    Parameters
    ----------
    request : Request
        Request that was sent.
    status : int
        HTTP status of the response.
    headers : mapping of str to str
        Response headers; the lookup should ignore case.
    body : bytes
        Response body.
    host : str
        Host name, for the error message.

    Raises
    ------
    ApplianceError
        The matching subclass; a status from 200 to 299 raises nothing.

    Examples
    --------
    >>> raise_for_status(log_in(Flavour.API), 401, {}, b"", host="vc-1")
    Traceback (most recent call last):
        ...
    backupkit.errors.LoginError: vc-1 refused user and password (401). Check both, ...
    """
    if _OK <= status < _REDIRECT:
        return
    if status < _CLIENT_ERROR:
        raise PayloadError(
            f"{host} answered {request.what} with a redirect ({status}), which is never followed. "
            "Put the appliance's own address into fleet.toml.",
            status_code=status,
        )
    answer = decode_error(body)
    said = _said(answer)
    hint = "" if answer else "; the answer is not the API's own: a proxy, or a start-up"
    after = _retry_after(headers.get("Retry-After"))
    error: ApplianceError
    match status:
        case 401 if request.login:
            error = LoginError(
                f"{host} refused user and password (401). Check both, and that the user has its "
                "SSO domain, as in administrator@vsphere.local.",
                status_code=status,
            )
        case 401:
            error = LoginError(
                f"{host} ended the session before {request.what} was read (401). Try again.",
                status_code=status,
            )
        case 403:
            error = RightsError(
                f"{host} does not let this user read {request.what} (403){said}. Put the user into "
                "the SSO group SystemConfiguration.Administrators.",
                status_code=status,
            )
        case 404:
            error = NotFoundError(
                f"{host} does not have {request.what} (404){said}{hint}.", status_code=status
            )
        case 429 | 503 if status == _TOO_MANY or answer:
            full = " has no free session" if _is_session_limit(answer) else " is busy"
            error = BusyError(
                f"{host}{full} ({status}){said}. Try again later.",
                status_code=status,
                retry_after=after,
            )
        case _:
            error = ServerError(
                f"{host} failed at {request.what} ({status}){said}{hint}. Try again later.",
                status_code=status,
                retry_after=after,
            )
    raise error


def _is_session_limit(answer: ErrorAnswer | None) -> bool:
    return answer is not None and "SessionCount" in answer.message_id


def _said(answer: ErrorAnswer | None) -> str:
    """Quote the appliance's error message on one line."""
    text = one_line(answer.text or answer.message_id) if answer else ""
    return f': "{text}"' if text else ""


def _retry_after(value: str | None) -> float | None:
    """Parse a Retry-After header in seconds [s]; return None for a date."""
    return float(value) if value and value.isascii() and value.isdigit() else None


def clock_skew(date_header: str | None, *, sent: datetime, received: datetime) -> timedelta | None:
    """Return how far the appliance's clock is ahead of ours.

    Parameters
    ----------
    date_header : str or None
        Date header of the response, in whole seconds.
    sent, received : datetime
        When the request was sent and the response arrived, by our clock [UTC].

    Returns
    -------
    timedelta or None
        The appliance's clock minus ours; zero if the header's resolution of one second explains
        the difference; None without a valid header.

    Examples
    --------
    >>> noon = datetime(2026, 11, 9, 12, tzinfo=UTC)
    >>> clock_skew("Mon, 09 Nov 2026 12:07:00 GMT", sent=noon, received=noon)
    datetime.timedelta(seconds=420)
    """
    if not date_header:
        return None
    try:
        told = parsedate_to_datetime(date_header)
        earliest = told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
        latest = earliest + timedelta(seconds=1)
    except (ValueError, TypeError, OverflowError):
        return None
    if earliest > received:
        return earliest - received
    if latest < sent:
        return latest - sent
    return timedelta(0)
