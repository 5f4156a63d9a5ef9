"""HTTPS server: one thread accepts for all appliances, one more serves each connection."""

import contextlib
import http
import http.server
import os
import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator

from backupkit.simulator.wire import Delivery, Reply, Request

HANDSHAKE_TIMEOUT = 10.0  # [s]
IDLE_TIMEOUT = 120.0  # [s] a connection may idle
MAX_REQUEST_BODY = 1 << 20  # [bytes] of a request's body
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
CHUNK = 1 << 16  # [bytes] of padding per chunk
CLOSING_MODES = frozenset(Delivery) - {
    Delivery.COMPLETE,
    Delivery.BYTEWISE_BODY,
    Delivery.BYTEWISE,
}
"""Modes that close the connection."""

Handler = Callable[[Request], Reply]


class Listener:
    """Listening port: open, or closed and reserved, so that no other process takes it.

    Port 0 picks a free one.
    """

    def __init__(self, answer: Handler, tls: ssl.SSLContext, address: tuple[str, int]) -> None:
        self.answer = answer
        self._tls = tls
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self.socket = _bound(address)
        self.address: tuple[str, int] = self.socket.getsockname()[:2]

    def open(self) -> None:
        """Start listening."""
        self._closing.clear()
        self.socket.listen(128)
        self.socket.setblocking(False)

    def close(self) -> None:
        """Close every connection and stop listening."""
        self._closing.set()
        with self._lock:
            self.socket.close()
            connections = dict(self._connections)
        for connection in connections.values():
            with contextlib.suppress(OSError):  # the client closed it first
                # not the TLS method, which would break the thread that reads
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in connections:
            thread.join(HANDSHAKE_TIMEOUT)

    def sleep(self, seconds: float) -> bool:
        """Sleep for a time [s], and return whether the port was closed meanwhile."""
        return self._closing.wait(seconds)

    def reserve(self) -> None:
        """Reserve the port after `close`."""
        self.socket = _bound(self.address)

    def accept(self) -> None:
        """Accept one connection and serve it in a new thread."""
        with self._lock:
            try:
                connection, peer = self.socket.accept()
            except OSError:
                return  # the port was closed, or the client disconnected
            connection.settimeout(HANDSHAKE_TIMEOUT)
            try:
                tls = self._tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            except OSError:
                connection.close()
                return  # reset before the handshake
            thread = threading.Thread(target=self._serve, args=(tls, peer), daemon=True)
            self._connections[thread] = tls
            thread.start()

    def _serve(self, tls: ssl.SSLSocket, peer: object) -> None:
        try:
            with tls, contextlib.suppress(OSError):  # resets and refused certificates are normal
                tls.do_handshake()
                _Connection(tls, peer, self)  # type: ignore[arg-type]  # needs no socketserver
        finally:
            with self._lock:
                del self._connections[threading.current_thread()]


def _bound(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


class Acceptor:
    """Thread that accepts connections on all open ports."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wakeup_r, self._wakeup_w = os.pipe()
        self._selector.register(self._wakeup_r, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._wait, name="simulator", daemon=True)
        self._thread.start()

    def add(self, listener: Listener) -> None:
        """Accept connections on an open port."""
        self._selector.register(listener.socket, selectors.EVENT_READ, listener)

    def remove(self, listener: Listener) -> None:
        """Stop accepting on a port; call this before closing the port."""
        self._selector.unregister(listener.socket)

    def close(self) -> None:
        """Stop the thread; the ports stay as they are."""
        os.write(self._wakeup_w, b".")
        self._thread.join()
        self._selector.close()
        os.close(self._wakeup_r)
        os.close(self._wakeup_w)

    def _wait(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data.accept()


def chunks(reply: Reply) -> Iterator[bytes]:
    r"""Yield a reply as HTTP/1.1, chunk by chunk; nothing for a reply that sends nothing.

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


class _Connection(http.server.BaseHTTPRequestHandler):
    """HTTP/1.1 handler with keep-alive; each reply is sent chunk by chunk."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_TIMEOUT
    server: Listener  # type: ignore[assignment]  # it has no socketserver above it

    def answer(self) -> None:
        """Read a whole request of any method, and send the reply."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self._refuse(http.HTTPStatus.LENGTH_REQUIRED)
            return
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > MAX_REQUEST_BODY:
            self._refuse(http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        request = Request(
            method=self.command,
            target=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(length)),
        )
        self._transmit(self.server.answer(request))

    def _refuse(self, status: int) -> None:
        """Refuse a request without reading its body, and close the connection."""
        self.close_connection = True
        self._transmit(Reply(status, (("Connection", "close"),)))

    def _transmit(self, reply: Reply) -> None:
        """Send a reply in its transmission mode; closing the port ends every wait."""
        self.close_connection |= reply.delivery in CLOSING_MODES
        for chunk in chunks(reply):
            if reply.pause and self.server.sleep(reply.pause):
                self.close_connection = True
                return
            self.wfile.write(chunk)
        if reply.delivery is Delivery.RESET_IN_BODY:
            linger = struct.pack("ii", 1, 0)  # close with a reset, without waiting
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if reply.delivery is Delivery.SILENT:
            self.connection.settimeout(None)
            while self.connection.recv(1024):
                pass  # until the client disconnects, or the port is closed

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Do nothing: the fleet keeps the log."""


for _method in METHODS:
    setattr(_Connection, f"do_{_method}", _Connection.answer)
