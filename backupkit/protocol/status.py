"""Errors for HTTP status codes, and the headers of responses; no I/O.

No other module maps an HTTP status of an appliance to an error.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

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
from backupkit.protocol.request import Request
from backupkit.wire import ErrorAnswer, decode_error, decode_oauth_error

__all__ = ["NO_TRUST", "clock_skew", "raise_for_status"]

_OK: Final = 200
_REDIRECT: Final = 300
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_UNAUTHENTICATED: Final = 401
_UNAVAILABLE: Final = 503
_REFUSALS: Final = frozenset({400, 401, 403})
"""Statuses of a token exchange that was refused, also without a body of the API."""

_REFUSAL_TYPES: Final = frozenset({"", "INVALID_ARGUMENT", "UNAUTHENTICATED", "UNAUTHORIZED"})
"""Types of error with such a status; the others have an advice of their own."""

_PASSING_STATUSES: Final = frozenset({408, 425, 429})
"""Statuses below 500 that a retry may overcome."""

_NOT_AUTHENTICATED: Final = "com.vmware.vapi.endpoint.method.authentication.required"
"""Message of any 401, whatever its reason."""

_KIND_BY_STATUS: Final[Mapping[int, type[ApplianceError]]] = {
    401: LoginError,
    403: RightsError,
    404: NotFoundError,
    429: BusyError,
    503: BusyError,
}

_KIND_BY_TYPE: Final[Mapping[str, type[ApplianceError]]] = {
    "UNAUTHENTICATED": LoginError,
    "UNAUTHORIZED": RightsError,
    "NOT_FOUND": NotFoundError,
    "OPERATION_NOT_FOUND": NotFoundError,
    "SERVICE_UNAVAILABLE": BusyError,
    "RESOURCE_BUSY": BusyError,
}
"""Class of each standard type of error; the others are a `ServerError`."""

_RETRYABLE_TYPES: Final = frozenset(
    {
        "CANCELED",
        "CONCURRENT_CHANGE",
        "ERROR",
        "INTERNAL_SERVER_ERROR",
        "RESOURCE_BUSY",
        "SERVICE_UNAVAILABLE",
        "TIMED_OUT",
        "UNABLE_TO_ALLOCATE_RESOURCE",
    }
)
"""Types of error that may be gone after some seconds."""

_REFUSING_TYPES: Final = frozenset(
    {
        "ALREADY_EXISTS",
        "ALREADY_IN_DESIRED_STATE",
        "FEATURE_IN_USE",
        "INVALID_ARGUMENT",
        "INVALID_ELEMENT_CONFIGURATION",
        "INVALID_ELEMENT_TYPE",
        "INVALID_REQUEST",
        "NOT_ALLOWED_IN_CURRENT_STATE",
        "NOT_FOUND",
        "OPERATION_NOT_FOUND",
        "RESOURCE_INACCESSIBLE",
        "RESOURCE_IN_USE",
        "UNEXPECTED_INPUT",
        "UNSUPPORTED",
        "UNVERIFIED_PEER",
    }
)
"""Types of error that the same request gets again."""

_REPORT_REQUEST: Final = (
    "The appliance does not accept this request. Check that its version has the backup API, and "
    "report the message to the authors of backupkit."
)
_ADVICE_BY_TYPE: Final = {
    "ALREADY_EXISTS": _REPORT_REQUEST,
    "ALREADY_IN_DESIRED_STATE": _REPORT_REQUEST,
    "INVALID_ARGUMENT": _REPORT_REQUEST,
    "INVALID_ELEMENT_CONFIGURATION": _REPORT_REQUEST,
    "INVALID_ELEMENT_TYPE": _REPORT_REQUEST,
    "INVALID_REQUEST": _REPORT_REQUEST,
    "UNEXPECTED_INPUT": _REPORT_REQUEST,
    "UNSUPPORTED": _REPORT_REQUEST,
    "FEATURE_IN_USE": "Collect again when the backup or restore that uses it has ended.",
    "NOT_ALLOWED_IN_CURRENT_STATE": "Check the state of the appliance in its management "
    "interface: it may be starting, or a restore or an upgrade may be running.",
    "RESOURCE_INACCESSIBLE": "Check that the appliance can reach its disks and backup targets.",
    "RESOURCE_IN_USE": "Collect again when what uses it has ended.",
    "TIMED_OUT": "Check the load of the appliance, then collect again.",
    "UNABLE_TO_ALLOCATE_RESOURCE": "Check the free memory and disk space of the appliance.",
    "UNVERIFIED_PEER": "Check the certificates that the appliance trusts: it could not verify "
    "another server.",
}
"""Next step for types of error that need another one than their class."""


_NO_EXCHANGE: Final = (
    "A sign-in with a token needs vCenter Server 7.0 Update 2 or later. State a password for this "
    "appliance in fleet.toml: it replaces token and oauth of [defaults]."
)
NO_TRUST: Final = (
    "Check that this vCenter Server trusts the identity provider, that the client or user of the "
    "token has a role in it, and that the token has not expired. docs/sign-in.md has the steps."
)


def raise_for_status(
    request: Request,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime | None = None,
) -> None:
    """Raise the error for an HTTP status other than 200 to 299.

    The type of the error in the body decides, and without one that is known, the status. `now` is
    the current time, for a Retry-After header with a date.

    Examples
    --------
    >>> from backupkit.protocol import log_in
    >>> from backupkit.wire import Flavour
    >>> raise_for_status(log_in(Flavour.API), 401, {}, b"")
    Traceback (most recent call last):
        ...
    backupkit.errors.LoginError: login failed (401). Check the user and password ...
    """
    if _OK <= status < _REDIRECT:
        return
    if status < _CLIENT_ERROR:
        raise PayloadError(
            f"{request.what} was redirected ({status}); redirects are not followed",
            advice="Name the appliance by its own address.",
            status_code=status,
        )
    answer = decode_error(body)
    if request.exchange and (answer is not None or status in _REFUSALS):
        _raise_for_exchange(request, status, headers, body, answer)
    error_type = answer.error_type if answer else ""
    kind = _choose_kind(status, error_type, from_api=answer is not None)
    advice = _ADVICE_BY_TYPE.get(error_type)
    if kind is LoginError and not request.login:
        advice = "Try again."
    problem = f"{_format_problem(request, kind, answer)} {_quote(request, status, answer)}"
    if kind in {NotFoundError, ServerError} and answer is None:  # of a proxy, or during a start
        problem, advice = f"{problem}, and the response is not from the API", ADVICE["payload"]
    raise kind(
        problem,
        advice=advice,
        status_code=status,
        retry_after=_parse_retry_after(headers, now),
        retryable=_is_retryable(kind, status, answer),
        error_type=error_type or None,
        messages=answer.messages if answer else (),
        data=answer.data if answer else None,
    )


def _raise_for_exchange(
    request: Request,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    answer: ErrorAnswer | None,
) -> None:
    """Raise the error of a token exchange that was refused; return if it may succeed later."""
    kind = _choose_kind(status, answer.error_type if answer else "", from_api=answer is not None)
    oauth = decode_oauth_error(body)
    if kind is NotFoundError:
        problem, advice = "the appliance does not exchange access tokens", _NO_EXCHANGE
    elif status in _REFUSALS and (answer.error_type if answer else "") in _REFUSAL_TYPES:
        problem, advice = "the appliance refused the access token", NO_TRUST
        kind = LoginError if kind is ServerError else kind
    else:
        return
    quoted = f'({status}): "{oauth}"' if oauth else _quote(request, status, answer)
    raise kind(
        f"{problem} {quoted}",
        advice=advice,
        status_code=status,
        retry_after=_parse_retry_after(headers, None),
        retryable=False,  # an account may be locked after some attempts
        error_type=(answer.error_type if answer else "") or None,
        messages=answer.messages if answer else (),
        data=answer.data if answer else None,
    )


def _choose_kind(status: int, error_type: str, *, from_api: bool) -> type[ApplianceError]:
    """Return the class of an error, by its type first and by the status second."""
    if error_type in _KIND_BY_TYPE:
        return _KIND_BY_TYPE[error_type]
    if error_type in _RETRYABLE_TYPES | _REFUSING_TYPES:
        return ServerError
    if status == _UNAVAILABLE and not from_api:  # of a proxy: not an overload of the appliance
        return ServerError
    return _KIND_BY_STATUS.get(status, ServerError)


def _format_problem(
    request: Request, kind: type[ApplianceError], answer: ErrorAnswer | None
) -> str:
    """Return what happened, without the status and the words of the appliance."""
    if kind is LoginError:
        return (
            "login failed" if request.login else f"the session ended before reading {request.what}"
        )
    if kind is RightsError:
        return f"the user may not read {request.what}"
    if kind is NotFoundError:
        return f"the appliance did not find {request.what}"
    if kind is BusyError:
        full = answer and any("SessionCount" in message["id"] for message in answer.messages)
        return "no free session" if full else "the appliance is busy"
    return f"the request for {request.what} failed"


def _quote(request: Request, status: int, answer: ErrorAnswer | None) -> str:
    """Return the status, and the words of the appliance if they say more."""
    if answer is None or (status == _UNAUTHENTICATED and not request.login):
        return f"({status})"
    if answer.text:
        says_more = any(message["id"] != _NOT_AUTHENTICATED for message in answer.messages)
        return f'({status}): "{answer.text}"' if says_more else f"({status})"
    error_type = one_line(answer.error_type, limit=40)
    return f"({status}, {error_type})" if error_type else f"({status})"


def _is_retryable(kind: type[ApplianceError], status: int, answer: ErrorAnswer | None) -> bool:
    """Return whether the same request may succeed later."""
    if kind in {LoginError, RightsError}:  # an account may be locked after some attempts
        return False
    if answer is not None:
        if answer.is_transient is not None:
            return answer.is_transient
        if answer.error_type in _REFUSING_TYPES:
            return False
        if answer.error_type in _RETRYABLE_TYPES:
            return True
    return kind.retryable and (status >= _SERVER_ERROR or status in _PASSING_STATUSES)


def _parse_retry_after(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """Return the wait that the appliance asks for [s]; None without a valid header."""
    text = headers.get("Retry-After") or ""
    if text.isascii() and text.isdigit():
        return float(text)
    date = _parse_http_date(text)
    # by the appliance's own clock, which may differ from ours
    sent = _parse_http_date(headers.get("Date")) or now
    return None if date is None or sent is None else max((date - sent).total_seconds(), 0.0)


def _parse_http_date(text: str | None) -> datetime | None:
    """Parse the date of a header; None if it is missing or invalid."""
    if not text:
        return None
    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


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
    earliest = _parse_http_date(date_header)
    if earliest is None:
        return None
    try:
        latest = earliest + timedelta(seconds=1)
    except OverflowError:
        return None
    if earliest > received:
        return earliest - received
    if latest < sent:
        return latest - sent
    return timedelta(0)
