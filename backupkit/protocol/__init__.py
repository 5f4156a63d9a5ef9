"""HTTP requests of the API, and errors for HTTP status codes; no I/O."""

from backupkit.protocol.request import (
    NO_COOKIE,
    SESSION_HEADER,
    Request,
    exchange_token,
    get_details,
    get_job,
    get_schedules,
    get_timezone,
    get_version,
    list_jobs,
    list_nodes,
    log_in,
    log_out,
)
from backupkit.protocol.sign_in import (
    FORM,
    basic_header,
    bearer_header,
    exchange_form,
    grant_form,
    sign_header,
)
from backupkit.protocol.status import NO_TRUST, clock_skew, raise_for_status

__all__ = [
    "FORM",
    "NO_COOKIE",
    "NO_TRUST",
    "SESSION_HEADER",
    "Request",
    "basic_header",
    "bearer_header",
    "clock_skew",
    "exchange_form",
    "exchange_token",
    "get_details",
    "get_job",
    "get_schedules",
    "get_timezone",
    "get_version",
    "grant_form",
    "list_jobs",
    "list_nodes",
    "log_in",
    "log_out",
    "raise_for_status",
    "sign_header",
]
