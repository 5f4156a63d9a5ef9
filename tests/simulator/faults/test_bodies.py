"""Faults of the body and of the connection, on the wire."""

import gzip
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest
import requests

from backupkit.simulator import Fault, SimulatedAppliance
from backupkit.simulator.server import CHUNK, chunks
from backupkit.simulator.wire import Reply
from tests.simulator.faults.conftest import BACKUP, Live

Make = Callable[..., SimulatedAppliance]
FaultyReply = Callable[..., Reply]
JOBS = f"/api{BACKUP}/job"


class TestBodies:
    """Faults of the body."""

    def test_truncated(self, live: Live) -> None:
        """The connection ends after half of the body."""
        live.fleet.set_faults([Fault("truncated")])
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            live.get()

    def test_cut(self, live: Live) -> None:
        """The body has the stated length, and is invalid JSON."""
        right = live.get().content
        live.fleet.set_faults([Fault("cut")])
        assert live.get().content == right[: len(right) // 2]

    def test_empty(self, live: Live) -> None:
        """The status is right, and the body is empty."""
        live.fleet.set_faults([Fault("empty")])
        assert (live.get().status_code, live.get().content) == (200, b"")

    @pytest.mark.parametrize(("kind", "status"), [("html", 503), ("page", 200)])
    def test_page(self, live: Live, kind: str, status: int) -> None:
        """The body is an HTML page."""
        live.fleet.set_faults([Fault(kind)])
        response = live.get()
        assert response.status_code == status
        assert response.headers["Content-Type"].startswith("text/html")
        assert "<html>" in response.text

    @pytest.mark.parametrize("target", [JOBS, f"/rest{BACKUP}/job/details", "/api/session"])
    def test_invalid_utf8(self, make: Make, faulty_reply: FaultyReply, target: str) -> None:
        """The JSON is valid except for one byte inside a string."""
        body = faulty_reply(make(), "invalid_utf8", target).body
        msgspec.json.decode(body.replace(b"\xff", b""))
        with pytest.raises(UnicodeDecodeError):
            body.decode()

    def test_invalid_utf8_without_text(self, make: Make, faulty_reply: FaultyReply) -> None:
        """A body without a string gets one with an invalid byte."""
        assert faulty_reply(make("vc-tyo-04"), "invalid_utf8").body == b'"\xff"'

    def test_content_type(self, live: Live) -> None:
        """The JSON is valid with another content type."""
        right = live.get()
        live.fleet.set_faults([Fault("content_type")])
        wrong = live.get()
        assert wrong.json() == right.json()
        assert wrong.headers["Content-Type"] == "text/plain"

    def test_huge(self, live: Live) -> None:
        """The body has the given size, and is valid except for its length."""
        right = live.get().json()
        live.fleet.set_faults([Fault("huge", size=3 * CHUNK + 1)])
        response = live.get()
        assert response.headers["Content-Length"] == str(3 * CHUNK + 1)
        assert len(response.content) == 3 * CHUNK + 1
        assert response.json() == right

    def test_huge_in_pieces(self, make: Make, faulty_reply: FaultyReply) -> None:
        """A huge body is sent in small pieces."""
        sizes = map(len, chunks(faulty_reply(make(), "huge")))
        assert next(sizes) < CHUNK
        assert set(sizes) <= {CHUNK, *range(CHUNK)}

    def test_bomb(self, live: Live) -> None:
        """A small compressed body is large when decompressed, and valid."""
        right = live.get().json()
        live.fleet.set_faults([Fault("bomb", size=5 << 20)])
        response = live.get()
        assert int(response.headers["Content-Length"]) < 10_000
        assert len(response.content) == 5 << 20
        assert response.json() == right

    def test_bomb_is_one_stream(self, make: Make, faulty_reply: FaultyReply) -> None:
        """The body is one gzip stream; without a size it is hundreds of megabytes."""
        small = faulty_reply(make(), "bomb", size=0)
        assert msgspec.json.decode(gzip.decompress(small.body))
        large = faulty_reply(make(), "bomb")
        assert len(large.body) < 1 << 20
        assert int.from_bytes(large.body[-4:], "little") == 256 << 20

    @pytest.mark.parametrize(("flavour", "start"), [("api", b"[[["), ("rest", b'{"value":[[[')])
    def test_deep(self, make: Make, faulty_reply: FaultyReply, flavour: str, start: bytes) -> None:
        """The body has a hundred thousand nested brackets."""
        body = faulty_reply(make(), "deep", f"/{flavour}{BACKUP}/job").body
        assert body.startswith(start)
        assert body.count(b"[") == body.count(b"]") == 100_000

    @pytest.mark.parametrize("kind", ["cut", "huge", "bomb", "content_type", "invalid_utf8"])
    def test_empty_body(self, make: Make, faulty_reply: FaultyReply, kind: str) -> None:
        """A response without a body is unchanged, and its request was executed."""
        appliance = make()
        assert faulty_reply(appliance, kind, "/api/session", "DELETE") == Reply(204)
        assert len(appliance.sessions) == 0


def raw(live: Live) -> ssl.SSLSocket:
    """Request the job list without an HTTP library."""
    host, _, port = live.appliance.host.partition(":")
    context = ssl.create_default_context(cafile=str(live.session.verify))
    tls = context.wrap_socket(
        socket.create_connection((host, int(port)), timeout=5), server_hostname=host
    )
    token = live.session.headers["vmware-api-session-id"]
    head = f"GET {JOBS} HTTP/1.1\r\nHost: x\r\nvmware-api-session-id: {token!s}\r\n\r\n"
    tls.sendall(head.encode())
    return tls


class TestConnections:
    """Faults of the connection."""

    def test_reset(self, live: Live) -> None:
        """The connection ends without a response, and the log has the status 0."""
        live.fleet.set_faults([Fault("reset")])
        with pytest.raises(requests.exceptions.ConnectionError):
            live.get()
        assert [(one.status, one.fault) for one in live.fleet.requests] == [(0, "reset")]

    def test_reset_body(self, live: Live) -> None:
        """The connection is reset after a part of the body."""
        live.fleet.set_faults([Fault("reset_body")])
        with raw(live) as tls:
            assert len(socket.socket.recv(tls, 4000)) > 100
            with pytest.raises(ConnectionResetError):
                list(iter(lambda: socket.socket.recv(tls, 4000), b""))

    def test_garbage(self, live: Live) -> None:
        """The response is not HTTP."""
        live.fleet.set_faults([Fault("garbage")])
        with pytest.raises(requests.exceptions.ConnectionError, match="SSH-2"):
            live.get()

    def test_slow(self, live: Live) -> None:
        """A slow response is late and valid."""
        right = live.get().json()
        live.fleet.set_faults([Fault("slow", wait=0.05)])
        begin = time.monotonic()
        assert live.get().json() == right
        assert time.monotonic() - begin >= 0.05

    @pytest.mark.parametrize("kind", ["drip", "drip_headers"])
    def test_drip(self, live: Live, kind: str) -> None:
        """The response arrives byte by byte."""
        right = live.get().json()
        live.fleet.set_faults([Fault(kind, wait=0)])
        assert live.get().json() == right

    def test_drips(self, live: Live) -> None:
        """With pauses no read waits long, and the response does not end."""
        live.fleet.set_faults([Fault("drip", wait=0.02)])
        with raw(live) as tls:
            response = http.client.HTTPResponse(tls)
            response.begin()
            assert [len(response.read1(100)) for _ in range(5)] == [1] * 5

    def test_silence(self, live: Live) -> None:
        """Nothing arrives, and the connection stays open until the client closes it."""
        live.fleet.set_faults([Fault("silence", times=1)])
        tls = raw(live)
        tls.settimeout(0.05)
        with pytest.raises(TimeoutError):
            tls.recv(1)
        tls.sendall(b"anybody there?")
        tls.close()
        assert live.get().status_code == 200
        assert [(one.status, one.fault) for one in live.fleet.requests] == [
            (0, "silence"),
            (200, ""),
        ]


class TestClose:
    """Closing a fleet while clients wait."""

    @pytest.fixture
    def hung(self, live: Live) -> Iterator[Callable[[str], None]]:
        """Let clients wait for a response that never ends."""
        open_: list[ssl.SSLSocket] = []

        def hang(kind: str) -> None:
            live.fleet.set_faults([Fault(kind, wait=3600)])
            open_.extend(raw(live) for _ in range(3))
            beat = threading.Event()
            assert any(len(live.fleet.requests) == 3 or beat.wait(0.001) for _ in range(10_000))

        yield hang
        for tls in open_:
            tls.close()

    @pytest.mark.parametrize("kind", ["drip", "drip_headers", "silence", "slow"])
    def test_stop(self, live: Live, hung: Callable[[str], None], kind: str) -> None:
        """An appliance stops and starts again while clients wait."""
        hung(kind)
        stopping = threading.Thread(target=live.fleet.stop, args=(live.appliance.name,))
        stopping.start()
        stopping.join(8)
        assert not stopping.is_alive()
        live.fleet.set_faults([])
        live.fleet.start(live.appliance.name)
        assert live.log_in().status_code == 201

    def test_latency(self, live: Live) -> None:
        """An appliance stops while a response waits for the latency."""
        live.fleet._latency = 3600
        with raw(live):
            live.fleet.stop(live.appliance.name)
