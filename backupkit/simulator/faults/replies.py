"""Replies to requests with a fault.

Faults that change a reply run the operation first, so a login may leave a session open. Faults
that replace the reply do not run it.
"""

import dataclasses
import functools
import http
import struct
import zlib
from collections.abc import Callable

from backupkit.simulator.appliance import SimulatedAppliance
from backupkit.simulator.faults.contents import change_jobs
from backupkit.simulator.faults.fault import KINDS, Fault, route_of
from backupkit.simulator.model import Message
from backupkit.simulator.routes import (
    get_token,
    job_not_found,
    respond,
    too_many_sessions,
    unauthorized,
)
from backupkit.simulator.wire import (
    JSON,
    Delivery,
    FaultError,
    Reply,
    Request,
    error_reply,
    not_found_reply,
    proxy_error_reply,
)

DEFAULT_DELAY = 5.0  # [s] default delay of a slow reply
DEFAULT_PAUSE = 0.05  # [s] default pause between two bytes
DEFAULT_SIZE = 256 << 20  # [bytes] default size of a huge body
DEPTH = 100_000
PAGE = b"<!doctype html>\n<html><head><title>Sign in</title></head><body>Sign in</body></html>\n"
RAW_DEFLATE = -zlib.MAX_WBITS
GZIP_HEADER = b"\x1f\x8b\x08" + bytes(7)
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
BAD_GATEWAY = Reply(
    http.HTTPStatus.BAD_GATEWAY, TEXT, b"upstream connect error or disconnect/reset before headers"
)


@dataclasses.dataclass(frozen=True, slots=True)
class FaultContext:
    """Fault with its appliance and request."""

    fault: Fault
    appliance: SimulatedAppliance
    request: Request
    seed: int

    def regular_reply(self) -> Reply:
        """Run the operation, and return its regular reply."""
        return respond(self.appliance, self.request)

    def error_reply(self, error: FaultError) -> Reply:
        """Return an error of the API in the format of flavour and release."""
        return error_reply(self.request.flavour, self.appliance.release, error)


ReplyFunction = Callable[[FaultContext], Reply]


def _modified(change: Callable[[FaultContext, Reply], Reply]) -> ReplyFunction:
    """Run the operation, then change its reply; a reply without a body stays as it is."""

    def answer(context: FaultContext) -> Reply:
        reply = context.regular_reply()
        return change(context, reply) if reply.body else reply

    return answer


def _transmitted(delivery: Delivery, pause: float = 0.0) -> ReplyFunction:
    def answer(context: FaultContext) -> Reply:
        wait = pause if context.fault.wait is None else context.fault.wait
        return dataclasses.replace(context.regular_reply(), delivery=delivery, pause=wait)

    return answer


def _constant(reply: Reply) -> ReplyFunction:
    return lambda _context: reply


def _cut_json(_context: FaultContext, reply: Reply) -> Reply:
    return dataclasses.replace(reply, body=reply.body[: len(reply.body) // 2])


def _invalid_utf8(_context: FaultContext, reply: Reply) -> Reply:
    before, _, after = reply.body.rpartition(b'"')
    body = before + b'\xff"' + after if before else b'"\xff"'
    return dataclasses.replace(reply, body=body)


def _with_header(reply: Reply, name: str, value: str) -> Reply:
    """Return the reply with one header changed."""
    others = (pair for pair in reply.headers if pair[0] != name)
    return dataclasses.replace(reply, headers=(*others, (name, value)))


def _content_type(_context: FaultContext, reply: Reply) -> Reply:
    return _with_header(reply, "Content-Type", "text/plain")


def _huge(context: FaultContext, reply: Reply) -> Reply:
    return dataclasses.replace(reply, padding=max(0, _size(context) - len(reply.body)))


def _bomb(context: FaultContext, reply: Reply) -> Reply:
    body = _gzip_padded(reply.body, _size(context))
    return dataclasses.replace(_with_header(reply, "Content-Encoding", "gzip"), body=body)


def _size(context: FaultContext) -> int:
    return DEFAULT_SIZE if context.fault.size is None else context.fault.size


@functools.lru_cache(maxsize=64)
def _gzip_padded(body: bytes, size: int) -> bytes:
    """Compress a body and blanks up to a size, quickly and without holding all in memory."""
    compressor, blanks = zlib.compressobj(wbits=RAW_DEFLATE), b" " * (1 << 20)
    repeats, rest = divmod(max(0, size - len(body)), len(blanks))
    checksum = zlib.crc32(body)
    for _ in range(repeats):
        checksum = zlib.crc32(blanks, checksum)
    checksum = zlib.crc32(blanks[:rest], checksum)
    start = compressor.compress(body) + compressor.flush(zlib.Z_FULL_FLUSH)
    # after a full flush a block stands for itself: compressed once, and repeated
    block = compressor.compress(blanks) + compressor.flush(zlib.Z_FULL_FLUSH)
    end = compressor.compress(blanks[:rest]) + compressor.flush()
    trailer = struct.pack("<LL", checksum, max(size, len(body)) & 0xFFFFFFFF)
    return GZIP_HEADER + start + block * repeats + end + trailer


def _nest_deeply(context: FaultContext) -> Reply:
    value = b"[" * DEPTH + b"]" * DEPTH
    body = b'{"value":%s}' % value if context.request.flavour == "rest" else value
    return Reply(http.HTTPStatus.OK, JSON, body)


def _unavailable(context: FaultContext) -> Reply:
    return _later(context.error_reply(STARTING), context.fault.retry_after)


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
    context.appliance.sessions.end(get_token(context.request) or "")
    return context.regular_reply()


def _not_found(context: FaultContext) -> Reply:
    if route_of(context.request) == "job":
        return context.error_reply(job_not_found(context.request.last))
    return not_found_reply(context.request.flavour, context.appliance.release)


def _session_limit(context: FaultContext) -> Reply:
    appliance = context.appliance
    return context.error_reply(too_many_sessions(appliance.sessions.limit, appliance.user))


def _redirect(context: FaultContext) -> Reply:
    return Reply(http.HTTPStatus.FOUND, (("Location", context.fault.to),))


REPLY_FUNCTIONS: dict[str, ReplyFunction] = {
    # the connection
    "reset": _constant(Reply(0, delivery=Delivery.DROP)),
    "reset_body": _transmitted(Delivery.RESET_IN_BODY),
    "drip": _transmitted(Delivery.BYTEWISE_BODY, DEFAULT_PAUSE),
    "drip_headers": _transmitted(Delivery.BYTEWISE, DEFAULT_PAUSE),
    "slow": _transmitted(Delivery.COMPLETE, DEFAULT_DELAY),
    "silence": _constant(Reply(0, delivery=Delivery.SILENT)),
    "garbage": _constant(Reply(0, body=b"SSH-2.0-OpenSSH_9.6\r\n", delivery=Delivery.RAW)),
    # the body
    "truncated": _transmitted(Delivery.TRUNCATED),
    "cut": _modified(_cut_json),
    "empty": _constant(Reply(http.HTTPStatus.OK, JSON)),
    "html": _constant(proxy_error_reply()),
    "page": _constant(Reply(http.HTTPStatus.OK, (("Content-Type", "text/html"),), PAGE)),
    "invalid_utf8": _modified(_invalid_utf8),
    "content_type": _modified(_content_type),
    "huge": _modified(_huge),
    "bomb": _modified(_bomb),
    "deep": _nest_deeply,
    # the status
    "error": lambda context: context.error_reply(ERROR),
    "unavailable": _unavailable,
    "bad_gateway": _constant(BAD_GATEWAY),
    "too_many": _too_many,
    "unauthenticated": _unauthenticated,
    "forbidden": lambda context: context.error_reply(unauthorized()),
    "not_found": _not_found,
    "session_limit": _session_limit,
    "redirect": _redirect,
    # the content of jobs
    **{name: change_jobs for name, kind in KINDS.items() if kind.group == "content"},
}


def apply_fault(context: FaultContext) -> Reply:
    """Return the reply to a request with a fault."""
    return REPLY_FUNCTIONS[context.fault.kind](context)
