"""HTTP requests of the API as values, in both flavours; no I/O.

References
----------
.. [1] vSphere Automation API, appliance/recovery/backup and vcenter/topology/nodes, and its
       predecessor below ``/rest``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote, urlencode

from backupkit.errors import one_line
from backupkit.wire import Flavour

__all__ = [
    "NO_COOKIE",
    "SESSION_HEADER",
    "Request",
    "exchange_token",
    "get_details",
    "get_job",
    "get_schedules",
    "get_timezone",
    "get_version",
    "list_jobs",
    "list_nodes",
    "log_in",
    "log_out",
]

SESSION_HEADER: Final = "vmware-api-session-id"

NO_COOKIE: Final = {"vmware-use-header-authn": "true"}
"""Header that stops a login from setting a cookie."""

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
        Whether to send the credentials instead of the session token.
    exchange : bool
        Whether the login exchanges an access token for a SAML token.
    essential : bool
        Whether jobs are lost without it, so that it is sent again if nothing came in time.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    what: str
    login: bool = False
    exchange: bool = False
    essential: bool = False


def log_in(flavour: Flavour) -> Request:
    """Return the request that opens a session; the response is a token."""
    return Request("POST", _SESSION[flavour], "the login", login=True)


def exchange_token() -> Request:
    """Return the request that exchanges an access token for a SAML token, from 7.0 U2.

    References
    ----------
    .. [1] vSphere Automation API, ``POST /api/vcenter/authentication/token``; RFC 8693.
    """
    path = "/api/vcenter/authentication/token"
    return Request("POST", path, "the token exchange", login=True, exchange=True)


def log_out(flavour: Flavour) -> Request:
    """Return the request that closes the session."""
    return Request("DELETE", _SESSION[flavour], "the logout")


def list_jobs(flavour: Flavour) -> Request:
    """Return the request for the ids of all jobs."""
    return Request("GET", _backup(flavour, "job"), "the job list", essential=True)


def get_job(flavour: Flavour, job_id: str) -> Request:
    """Return the request for the status of one job.

    Examples
    --------
    >>> get_job(Flavour.REST, "2026/1").path
    '/rest/appliance/recovery/backup/job/2026%2F1'
    """
    path = _backup(flavour, f"job/{quote(job_id, safe='')}")
    return Request("GET", path, f"job {one_line(job_id)}", essential=True)


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


def list_nodes(flavour: Flavour) -> Request:
    """Return the request for the nodes of the SSO domain, from 6.7 U2."""
    return Request("GET", f"/{flavour}/vcenter/topology/nodes", "the nodes of the SSO domain")


def _backup(flavour: Flavour, rest: str) -> str:
    return f"/{flavour}/appliance/recovery/backup/{rest}"
