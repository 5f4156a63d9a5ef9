"""Faults of the connection and of the body.

Faults that change a reply run the operation first, so a login may leave a session open. Faults
that replace the reply do not run it.
"""

import dataclasses
import functools
import http
import zlib
from collections.abc import Callable

from backupkit.simulator.faults.case import Answering, Case
from backupkit.simulator.wire import JSON, Reply, Way, proxied

LATE = 5.0  # [s] default delay of a slow reply
PAUSE = 0.05  # [s] default pause between two bytes
LARGE = 256 << 20  # [bytes] default size of a huge body
DEPTH = 100_000
PAGE = b"<!doctype html>\n<html><head><title>Sign in</title></head><body>Sign in</body></html>\n"
GZIP = 16 + zlib.MAX_WBITS


def _spoilt(change: Callable[[Case, Reply], Reply]) -> Answering:
    """Run the operation, then change its reply; a reply without a body stays as it is."""

    def answer(case: Case) -> Reply:
        reply = case.normal()
        return change(case, reply) if reply.body else reply

    return answer


def _sent(way: Way, pause: float = 0.0) -> Answering:
    def answer(case: Case) -> Reply:
        wait = pause if case.fault.wait is None else case.fault.wait
        return dataclasses.replace(case.normal(), way=way, pause=wait)

    return answer


def _always(reply: Reply) -> Answering:
    return lambda _case: reply


def _cut(_case: Case, reply: Reply) -> Reply:
    return dataclasses.replace(reply, body=reply.body[: len(reply.body) // 2])


def _invalid_utf8(_case: Case, reply: Reply) -> Reply:
    before, _, after = reply.body.rpartition(b'"')
    body = before + b'\xff"' + after if before else b'"\xff"'
    return dataclasses.replace(reply, body=body)


def _typed(reply: Reply, name: str, value: str) -> Reply:
    """Return the reply with one header changed."""
    others = (pair for pair in reply.headers if pair[0] != name)
    return dataclasses.replace(reply, headers=(*others, (name, value)))


def _content_type(_case: Case, reply: Reply) -> Reply:
    return _typed(reply, "Content-Type", "text/plain")


def _huge(case: Case, reply: Reply) -> Reply:
    return dataclasses.replace(reply, padding=max(0, _size(case) - len(reply.body)))


def _bomb(case: Case, reply: Reply) -> Reply:
    body = _packed(reply.body, _size(case))
    return dataclasses.replace(_typed(reply, "Content-Encoding", "gzip"), body=body)


def _size(case: Case) -> int:
    return LARGE if case.fault.size is None else case.fault.size


@functools.lru_cache(maxsize=64)
def _packed(body: bytes, size: int) -> bytes:
    """Compress a body and blanks up to a size, without holding all in memory."""
    packer = zlib.compressobj(wbits=GZIP)
    blanks = b" " * (1 << 20)
    left = max(0, size - len(body))
    packed = [packer.compress(body)]
    packed += [packer.compress(blanks) for _ in range(left // len(blanks))]
    packed += [packer.compress(blanks[: left % len(blanks)]), packer.flush()]
    return b"".join(packed)


def _deep(case: Case) -> Reply:
    value = b"[" * DEPTH + b"]" * DEPTH
    body = b'{"value":%s}' % value if case.request.flavour == "rest" else value
    return Reply(http.HTTPStatus.OK, JSON, body)


CONNECTIONS: dict[str, Answering] = {
    "reset": _always(Reply(0, way=Way.DROP)),
    "reset_body": _sent(Way.TORN),
    "drip": _sent(Way.DRIP, PAUSE),
    "drip_headers": _sent(Way.DRIP_HEADERS, PAUSE),
    "slow": _sent(Way.WHOLE, LATE),
    "silence": _always(Reply(0, way=Way.SILENCE)),
    "garbage": _always(Reply(0, body=b"SSH-2.0-OpenSSH_9.6\r\n", way=Way.BARE)),
}
BODIES: dict[str, Answering] = {
    "truncated": _sent(Way.HALF),
    "cut": _spoilt(_cut),
    "empty": _always(Reply(http.HTTPStatus.OK, JSON)),
    "html": _always(proxied()),
    "page": _always(Reply(http.HTTPStatus.OK, (("Content-Type", "text/html"),), PAGE)),
    "invalid_utf8": _spoilt(_invalid_utf8),
    "content_type": _spoilt(_content_type),
    "huge": _spoilt(_huge),
    "bomb": _spoilt(_bomb),
    "deep": _deep,
}
