"""Transmission of a reply: complete, in part, byte by byte, or not at all."""

import http
from collections.abc import Iterator

from backupkit.simulator.wire import Reply, Way

CHUNK = 1 << 16  # [bytes] of padding per chunk
LAST = frozenset(Way) - {Way.WHOLE, Way.DRIP, Way.DRIP_HEADERS}  # closes the connection


def pieces(reply: Reply) -> Iterator[bytes]:
    r"""Yield a reply as HTTP/1.1, chunk by chunk.

    Parameters
    ----------
    reply : Reply
        Reply to send; its padding is split into small chunks.

    Yields
    ------
    bytes
        One chunk; nothing is yielded for a reply that sends nothing.

    Examples
    --------
    >>> list(pieces(Reply(204)))
    [b'HTTP/1.1 204 No Content\r\n\r\n']
    >>> list(pieces(Reply(200, body=b"12", way=Way.DRIP)))[1:]
    [b'1', b'2']
    """
    body = reply.body
    match reply.way:
        case Way.DROP | Way.SILENCE:
            return
        case Way.BARE:
            yield body
        case Way.HALF | Way.TORN:
            yield _head(reply) + body[: len(body) // 2]
        case Way.DRIP:
            yield _head(reply)
            yield from _bytewise(body)
        case Way.DRIP_HEADERS:
            yield from _bytewise(_head(reply) + body)
        case _:
            yield _head(reply) + body
            for sent in range(0, reply.padding, CHUNK):
                yield b" " * min(CHUNK, reply.padding - sent)


def _bytewise(data: bytes) -> Iterator[bytes]:
    return (data[place : place + 1] for place in range(len(data)))


def _head(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {http.HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    if reply.status != http.HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(reply.body) + reply.padding}")
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("latin-1")
