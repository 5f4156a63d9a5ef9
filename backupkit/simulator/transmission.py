"""Transmission of a reply: complete, in part, byte by byte, or not at all."""

import http
from collections.abc import Iterator

from backupkit.simulator.wire import Delivery, Reply

CHUNK = 1 << 16  # [bytes] of padding per chunk
CLOSING_MODES = frozenset(Delivery) - {
    Delivery.COMPLETE,
    Delivery.BYTEWISE_BODY,
    Delivery.BYTEWISE,
}
"""Modes that close the connection."""


def chunks(reply: Reply) -> Iterator[bytes]:
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
    >>> list(chunks(Reply(204)))
    [b'HTTP/1.1 204 No Content\r\n\r\n']
    >>> list(chunks(Reply(200, body=b"12", delivery=Delivery.BYTEWISE_BODY)))[1:]
    [b'1', b'2']
    """
    body = reply.body
    match reply.delivery:
        case Delivery.DROP | Delivery.SILENT:
            return
        case Delivery.RAW:
            yield body
        case Delivery.TRUNCATED | Delivery.RESET_IN_BODY:
            yield _head(reply) + body[: len(body) // 2]
        case Delivery.BYTEWISE_BODY:
            yield _head(reply)
            yield from _bytewise(body)
        case Delivery.BYTEWISE:
            yield from _bytewise(_head(reply) + body)
        case _:
            yield _head(reply) + body
            for offset in range(0, reply.padding, CHUNK):
                yield b" " * min(CHUNK, reply.padding - offset)


def _bytewise(data: bytes) -> Iterator[bytes]:
    return (data[index : index + 1] for index in range(len(data)))


def _head(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {http.HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    if reply.status != http.HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(reply.body) + reply.padding}")
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("latin-1")
