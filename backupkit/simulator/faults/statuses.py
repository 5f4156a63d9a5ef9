"""Faults that return another HTTP status."""

import dataclasses
import http

from backupkit.simulator.faults.case import Answering, Case
from backupkit.simulator.faults.chance import route_of
from backupkit.simulator.model import Message
from backupkit.simulator.routes import no_such_job, token_of, too_many_sessions, unauthorized
from backupkit.simulator.wire import FaultError, Reply, nowhere

TEXT = (("Content-Type", "text/plain"),)
ERROR = FaultError(
    http.HTTPStatus.INTERNAL_SERVER_ERROR,
    "INTERNAL_SERVER_ERROR",
    Message(
        "vapi.bindings.method.impl.unexpected",
        "Provider method implementation threw unexpected exception: null",
        ("null",),
    ),
)
STARTING = FaultError(
    http.HTTPStatus.SERVICE_UNAVAILABLE,
    "SERVICE_UNAVAILABLE",
    Message("sample.service.starting", "The service is not available yet."),
)


def _error(case: Case) -> Reply:
    return case.refused(ERROR)


def _unavailable(case: Case) -> Reply:
    return _later(case.refused(STARTING), case.fault.retry_after)


def _bad_gateway(_case: Case) -> Reply:
    text = b"upstream connect error or disconnect/reset before headers"
    return Reply(http.HTTPStatus.BAD_GATEWAY, TEXT, text)


def _too_many(case: Case) -> Reply:
    reply = Reply(http.HTTPStatus.TOO_MANY_REQUESTS, TEXT, b"local_rate_limited")
    return _later(reply, 1 if case.fault.retry_after is None else case.fault.retry_after)


def _later(reply: Reply, retry_after: int | str | None) -> Reply:
    if retry_after is None:
        return reply
    headers = (*reply.headers, ("Retry-After", str(retry_after)))
    return dataclasses.replace(reply, headers=headers)


def _unauthenticated(case: Case) -> Reply:
    """End the session, so that the regular reply is a 401."""
    case.appliance.sessions.end(token_of(case.request) or "")
    return case.normal()


def _forbidden(case: Case) -> Reply:
    return case.refused(unauthorized())


def _not_found(case: Case) -> Reply:
    if route_of(case.request) == "job":
        return case.refused(no_such_job(case.request.last))
    return nowhere(case.request.flavour, case.appliance.release)


def _session_limit(case: Case) -> Reply:
    appliance = case.appliance
    return case.refused(too_many_sessions(appliance.sessions.limit, appliance.user))


def _redirect(case: Case) -> Reply:
    return Reply(http.HTTPStatus.FOUND, (("Location", case.fault.to),))


STATUSES: dict[str, Answering] = {
    "error": _error,
    "unavailable": _unavailable,
    "bad_gateway": _bad_gateway,
    "too_many": _too_many,
    "unauthenticated": _unauthenticated,
    "forbidden": _forbidden,
    "not_found": _not_found,
    "session_limit": _session_limit,
    "redirect": _redirect,
}
