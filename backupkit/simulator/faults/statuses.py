"""Faults that return another HTTP status."""

import dataclasses
import http

from backupkit.simulator.faults.context import FaultContext, ReplyFunction
from backupkit.simulator.faults.selection import route_of
from backupkit.simulator.model import Message
from backupkit.simulator.routes import no_such_job, token_of, too_many_sessions, unauthorized
from backupkit.simulator.wire import FaultError, Reply, not_found_reply

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


def _error(context: FaultContext) -> Reply:
    return context.error_reply(ERROR)


def _unavailable(context: FaultContext) -> Reply:
    return _later(context.error_reply(STARTING), context.fault.retry_after)


def _bad_gateway(_context: FaultContext) -> Reply:
    text = b"upstream connect error or disconnect/reset before headers"
    return Reply(http.HTTPStatus.BAD_GATEWAY, TEXT, text)


def _too_many(context: FaultContext) -> Reply:
    reply = Reply(http.HTTPStatus.TOO_MANY_REQUESTS, TEXT, b"local_rate_limited")
    return _later(reply, 1 if context.fault.retry_after is None else context.fault.retry_after)


def _later(reply: Reply, retry_after: int | str | None) -> Reply:
    if retry_after is None:
        return reply
    headers = (*reply.headers, ("Retry-After", str(retry_after)))
    return dataclasses.replace(reply, headers=headers)


def _unauthenticated(context: FaultContext) -> Reply:
    """End the session, so that the regular reply is a 401."""
    context.appliance.sessions.end(token_of(context.request) or "")
    return context.regular_reply()


def _forbidden(context: FaultContext) -> Reply:
    return context.error_reply(unauthorized())


def _not_found(context: FaultContext) -> Reply:
    if route_of(context.request) == "job":
        return context.error_reply(no_such_job(context.request.last))
    return not_found_reply(context.request.flavour, context.appliance.release)


def _session_limit(context: FaultContext) -> Reply:
    appliance = context.appliance
    return context.error_reply(too_many_sessions(appliance.sessions.limit, appliance.user))


def _redirect(context: FaultContext) -> Reply:
    return Reply(http.HTTPStatus.FOUND, (("Location", context.fault.to),))


STATUSES: dict[str, ReplyFunction] = {
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
