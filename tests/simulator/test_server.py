"""Behaviour on the wire: TLS, keep-alive, broken and hostile requests."""

import contextlib
import http.client
import socket
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from backupkit.simulator import Scenario, SimulatedFleet
from backupkit.simulator.server import Acceptor, Listener
from backupkit.simulator.wire import Reply, Request

EPOCH = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
JOBS = "/api/appliance/recovery/backup/job"


def connect(fleet: SimulatedFleet, authority: Path, name: str) -> ssl.SSLSocket:
    """Open one TLS connection."""
    host, _, port = fleet[name].host.partition(":")
    context = ssl.create_default_context(cafile=str(authority))
    plain = socket.create_connection((host, int(port)), timeout=5)
    return context.wrap_socket(plain, server_hostname=host)


def answer(tls: ssl.SSLSocket) -> http.client.HTTPResponse:
    """Read one response to its end."""
    response = http.client.HTTPResponse(tls)
    response.begin()
    return response


class TestTls:
    """TLS."""

    def test_untrusting_client(self, fleet: SimulatedFleet) -> None:
        """A client that does not know the authority refuses the appliance."""
        with requests.Session() as session:
            session.trust_env = False
            with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
                session.get(f"https://{fleet['vc-ham-01'].host}{JOBS}")

    def test_localhost(self, fleet: SimulatedFleet, browser: requests.Session) -> None:
        """The certificate is valid for ``localhost`` too, and plain HTTP has no response."""
        port = fleet["vc-ham-01"].host.partition(":")[2]
        assert browser.get(f"https://localhost:{port}{JOBS}").status_code == 401
        with pytest.raises(requests.exceptions.ConnectionError):
            browser.get(f"http://localhost:{port}{JOBS}")

    def test_unreachable(self, fleet: SimulatedFleet, browser: requests.Session) -> None:
        """The port of an unreachable appliance is closed."""
        with pytest.raises(requests.exceptions.ConnectionError, match="refused"):
            browser.get(f"https://{fleet['vc-tyo-03'].host}{JOBS}")


class TestConnection:
    """Several requests on one connection."""

    def test_get_with_body(self, fleet: SimulatedFleet, authority: Path) -> None:
        """The body of a GET is read, and the next request on the connection is answered."""
        body = b'{"filter":{"jobs":["a"]}}'
        head = f"GET {JOBS} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with connect(fleet, authority, "vc-ham-01") as tls:
            for _ in range(3):
                tls.sendall(head + body)
                response = answer(tls)
                assert response.status == 401
                assert b"Authentication required." in response.read()

    def test_date(self, fleet: SimulatedFleet, browser: requests.Session) -> None:
        """The Date header has the appliance's own clock, right or wrong."""
        dates = [
            browser.get(f"https://{fleet[name].host}{JOBS}").headers["Date"]
            for name in ("vc-ham-01", "vc-tyo-01")
        ]
        assert dates == ["Mon, 23 Nov 2026 14:00:00 GMT", "Mon, 23 Nov 2026 14:07:20 GMT"]

    @pytest.mark.parametrize(
        ("header", "status"),
        [
            ("Transfer-Encoding: chunked", 411),
            ("Content-Length: 99999999", 413),
            ("Content-Length: minus one", 413),
        ],
    )
    def test_unreadable_body(
        self, fleet: SimulatedFleet, authority: Path, header: str, status: int
    ) -> None:
        """A body that cannot be read ends the connection."""
        with connect(fleet, authority, "vc-ham-01") as tls:
            tls.sendall(f"POST {JOBS} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
            response = answer(tls)
            assert (response.status, response.read()) == (status, b"")
            assert tls.recv(1) == b""

    def test_quiet_on_reset(
        self, fleet: SimulatedFleet, authority: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Clients that disconnect, or never speak TLS, leave nothing in the log."""
        tls = connect(fleet, authority, "vc-ham-01")
        tls.sendall(b"GET /api/sess")
        tls.close()
        host, _, port = fleet["vc-ham-01"].host.partition(":")
        with socket.create_connection((host, int(port)), timeout=5) as plain:
            plain.sendall(b"hello?\r\n\r\n")
            with contextlib.suppress(OSError):  # an alert or a reset
                plain.recv(100)
        assert capfd.readouterr() == ("", "")

    def test_parallel(self, fleet: SimulatedFleet, browser: requests.Session) -> None:
        """Appliances respond concurrently."""
        urls = [f"https://{fleet[f'vc-ham-0{n}'].host}{JOBS}" for n in (1, 2, 3, 4)]
        statuses: list[int] = []
        threads = [
            threading.Thread(target=lambda url=url: statuses.append(browser.get(url).status_code))
            for url in urls
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [401] * 4


class TestListener:
    """Open and closed ports."""

    def test_taken_port(self, fleet: SimulatedFleet) -> None:
        """A port in use is an error, and no other port stays open."""
        port = int(fleet["vc-ham-01"].host.partition(":")[2])
        scenario = Scenario.steady(appliances=1, jobs=1, epoch=EPOCH)
        with pytest.raises(OSError, match="in use"):
            SimulatedFleet(scenario, port=port).__enter__()

    def test_consecutive_ports(self) -> None:
        """A given port is the first one's, the others follow; IPv6 hosts have brackets."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        scenario = Scenario.steady(appliances=2, jobs=1, epoch=EPOCH)
        with SimulatedFleet(scenario, host="::1", port=port) as running:
            hosts = [appliance.host for appliance in running.appliances]
        assert hosts == [f"[::1]:{port}", f"[::1]:{port + 1}"]

    def test_client_gone_before_tls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A connection that is reset before TLS begins is dropped."""

        def refuse(*_args: object, **_keywords: object) -> None:
            raise ConnectionResetError

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        monkeypatch.setattr(ssl.SSLContext, "wrap_socket", refuse)
        listener = Listener(lambda _: Reply(200), context, ("127.0.0.1", 0))
        listener.open()
        listener.accept()
        with socket.create_connection(listener.address, timeout=5) as client:
            listener.socket.setblocking(True)
            listener.accept()
            assert client.recv(1) == b""
        listener.close()


class TestAcceptor:
    """The thread that accepts connections."""

    def test_close(self) -> None:
        """Closing ends the thread at once."""
        acceptor = Acceptor()
        assert acceptor._thread.is_alive()
        acceptor.close()
        assert not acceptor._thread.is_alive()


def test_wire_request() -> None:
    """A request's path is its target without the query."""
    request = Request(method="GET", target="/a?b=1&b=2")
    assert (request.path, request.query) == ("/a", {"b": ["1", "2"]})
