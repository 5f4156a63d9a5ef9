"""backupkit metrics --listen: an endpoint over real sockets, with TLS and a login."""

import base64
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import trustme
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from backupkit.cli import main
from backupkit.cli.metrics_server import CachedMetrics, MetricsServer
from backupkit.cli.metrics_settings import MetricsSettings, parse_address
from backupkit.errors import HistoryError, OutputError, SettingsError
from backupkit.settings import read_toml

ROOT: Final = Path(__file__).parent.parent
LOGIN: Final = {"Authorization": f"Basic {base64.b64encode('prométheus:päss'.encode()).decode()}"}
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


def load(folder: Path, table: str = "") -> MetricsSettings:
    """Return the settings of a table."""
    path = folder / "fleet.toml"
    path.write_text(f"[metrics]\n{table}\n", encoding="utf-8")
    return MetricsSettings.load(read_toml(path))


@pytest.fixture
def secured(tmp_path: Path) -> tuple[MetricsSettings, ssl.SSLContext]:
    """Return settings with certificate and login, and a client that trusts them."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "::1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "metrics.crt")
    certificate.private_key_pem.write_to_path(tmp_path / "metrics.key")
    (tmp_path / "metrics.password").write_text("päss\n", encoding="utf-8")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    table = 'certificate = "metrics.crt"\nkey = "metrics.key"\n'
    table += 'user = "prométheus"\npassword = { file = "metrics.password" }'
    return load(tmp_path, table), context


@contextmanager
def serving(
    settings: MetricsSettings, compute: Callable[[], str], address: str = "127.0.0.1:0"
) -> Iterator[MetricsServer]:
    """Serve in a thread, at a free port."""
    with MetricsServer(parse_address(address), settings, CachedMetrics(compute)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def request(
    server: MetricsServer,
    path: str = "/metrics",
    method: str = "GET",
    *,
    headers: dict[str, str] | None = None,
    context: ssl.SSLContext | None = None,
) -> tuple[int, str, str]:
    """Return status, type and body of a response."""
    host, port = server.server_address[:2]
    connection = (
        http.client.HTTPConnection(str(host), port, timeout=20)
        if context is None
        else http.client.HTTPSConnection(str(host), port, timeout=20, context=context)
    )
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read().decode()
    finally:
        connection.close()


class TestScrape:
    """Scrapes without TLS, on this machine."""

    def test_types(self, tmp_path: Path) -> None:
        """The text is OpenMetrics for those who ask for it, else of the classic format."""
        with serving(load(tmp_path), lambda: "# EOF\n") as server:
            assert server.url == f"http://127.0.0.1:{server.server_address[1]}/metrics"
            accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
            assert request(server, headers=accept) == (200, OPENMETRICS, "# EOF\n")
            assert request(server, "/metrics?x=1") == (200, TEXT, "# EOF\n")
            assert request(server, method="HEAD") == (200, TEXT, "")
            assert request(server, "/")[::2] == (404, "The metrics are at /metrics.\n")
            assert request(server, method="POST")[0] == 501

    def test_one_assessment(self, tmp_path: Path) -> None:
        """Scrapes of one minute share an assessment."""
        calls: list[int] = []

        def compute() -> str:
            calls.append(1)
            return "# EOF\n"

        with serving(load(tmp_path), compute) as server:
            assert [request(server)[0] for _ in range(3)] == [200] * 3
        assert len(calls) == 1

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (HistoryError("the database is locked", subject="h.db"), "h.db: the database is"),
            (ZeroDivisionError("secret"), "ZeroDivisionError: see the log of backupkit metrics."),
        ],
    )
    def test_error(self, error: Exception, text: str, tmp_path: Path) -> None:
        """An error of an assessment is the answer of its minute, and the next one goes well."""
        errors = [error]
        times = iter([0.0, 59.0, 60.0])

        def compute() -> str:
            if errors:
                raise errors.pop()
            return "# EOF\n"

        with serving(load(tmp_path), compute) as server:
            server.metrics.clock = lambda: next(times)
            results = [request(server) for _ in range(3)]
        assert [status for status, _, _ in results] == [503, 503, 200]
        assert results[0][2].startswith(text)
        assert "secret" not in results[0][2]

    def test_any_error_of_a_connection(self, tmp_path: Path) -> None:
        """An error that nobody expects ends one connection, and not the server."""
        with serving(load(tmp_path), lambda: "# EOF\n") as server:
            good, server.metrics = server.metrics, None  # type: ignore[assignment] # a fault
            with pytest.raises(http.client.RemoteDisconnected):
                request(server)
            server.metrics = good
            assert request(server)[0] == 200


class TestSecured:
    """Scrapes with TLS and a login."""

    def test_login(self, secured: tuple[MetricsSettings, ssl.SSLContext]) -> None:
        """The certificate is verified by the client, and only the right login gets metrics."""
        settings, context = secured
        with serving(settings, lambda: "# EOF\n", "0.0.0.0:0") as server:
            server.server_address = ("127.0.0.1", server.server_address[1])
            assert server.url.startswith("https://0.0.0.0:")
            assert request(server, headers=LOGIN, context=context) == (200, TEXT, "# EOF\n")
            wrong = base64.b64encode(b"prometheus:pass").decode()
            for headers in (
                {},
                {"Authorization": f"Basic {wrong}"},
                {"Authorization": "Basic ä"},
                {"Authorization": LOGIN["Authorization"].replace("Basic", "Bearer")},
            ):
                answer = request(server, headers=headers, context=context)
                assert answer[::2] == (401, "Log in with the user of [metrics].\n")
            with pytest.raises(ssl.SSLCertVerificationError):
                request(server, headers=LOGIN, context=ssl.create_default_context())

    def test_slow_and_wrong_clients(self, secured: tuple[MetricsSettings, ssl.SSLContext]) -> None:
        """A client that sends nothing, or no TLS, holds up nobody."""
        settings, context = secured
        with serving(settings, lambda: "# EOF\n") as server:
            place = ("127.0.0.1", server.server_address[1])
            with socket.create_connection(place), socket.create_connection(place) as other:
                other.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                assert b"# EOF" not in other.recv(1000)
                assert request(server, headers=LOGIN, context=context)[0] == 200

    @pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
    def test_ipv6(self, tmp_path: Path) -> None:
        """An IPv6 address is in brackets."""
        with serving(load(tmp_path), lambda: "# EOF\n", "[::1]:0") as server:
            assert server.url.startswith("http://[::1]:")
            assert request(server)[0] == 200


class TestRefused:
    """Settings with which nothing is served."""

    @pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
    def test_beyond_loopback(self, address: str, tmp_path: Path) -> None:
        """Other machines cannot connect without TLS and a login; nothing is bound."""
        for table in ("", 'user = "u"\npassword = { env = "X" }'):
            with pytest.raises(SettingsError, match=r"can be reached from other machines.*\[metri"):
                MetricsServer(parse_address(address), load(tmp_path, table), CachedMetrics(str))

    @pytest.mark.parametrize(
        ("table", "text"),
        [
            ('certificate = "c.pem"', "certificate and key go together; for example: certificate"),
            ('user = "u"', 'password go together; for example: user = "prometheus" and password'),
            ('user = "a:b"\npassword = { env = "X" }', '"user" must not be empty nor have a col'),
            ('user = "u"\npassword = "p"', "a password must not be in this file"),
            ('keyy = "u"', r"\[metrics\]"),
        ],
    )
    def test_table(self, table: str, text: str, tmp_path: Path) -> None:
        """A wrong table is an error that names the keys."""
        with pytest.raises(SettingsError, match=text):
            load(tmp_path, table)

    def test_certificate(self, tmp_path: Path) -> None:
        """A certificate that is missing or wrong is an error that names the file."""
        settings = load(tmp_path, 'certificate = "c.pem"\nkey = "k.pem"')
        with pytest.raises(
            SettingsError, match=r"c\.pem with key .*k\.pem cannot be used: No such"
        ):
            settings.build_tls_context()
        (tmp_path / "c.pem").write_text("no certificate")
        (tmp_path / "k.pem").write_text("no key")
        with pytest.raises(SettingsError, match=r"cannot be used: .*Both must be PEM"):
            settings.build_tls_context()

    @pytest.mark.parametrize("text", ["9400", "127.0.0.1", "127.0.0.1:99999", "a b:1", "[x]:1"])
    def test_address(self, text: str) -> None:
        """An address without host or port is refused with an example."""
        with pytest.raises(SettingsError, match=r"is no address with a port; .*127\.0\.0\.1:9400"):
            parse_address(text)

    def test_unknown_host(self) -> None:
        """A name that does not resolve is refused."""
        with pytest.raises(SettingsError, match=r"a\.\.b does not resolve"):
            parse_address("a..b:9400")

    def test_port_in_use(self, tmp_path: Path) -> None:
        """A port that another program has is an error that names it."""
        settings = load(tmp_path)
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(OutputError, match=f"port {port}: Address already in use"):
                MetricsServer(parse_address(f"127.0.0.1:{port}"), settings, CachedMetrics(str))

    @pytest.mark.parametrize("options", [[], ["--out", "x.prom", "--listen", "127.0.0.1:0"]])
    def test_options(self, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """Neither or both of the options is wrong use."""
        assert main(["metrics", *options]) == 2
        expected = "Invalid value for --out FILE or --listen HOST:PORT: name one of them."
        assert expected in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command(number: signal.Signals, tmp_path: Path) -> None:
    """The command serves the history until Ctrl-C or SIGTERM, and then exits with 0."""
    options = [
        "--history",
        ROOT / "data" / "history.db",
        "--fleet",
        ROOT / "data/fleet.example.toml",
    ]
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "backupkit",
            "metrics",
            "--listen",
            "127.0.0.1:0",
            *map(str, options),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("Metrics: ").strip()
        host, port = url.removeprefix("http://").removesuffix("/metrics").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors.splitlines() == ["Serving; stop with Ctrl-C.", "Stopped."]
    names = {family.name for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call] # it says no types
    assert {"backupkit_judged_timestamp_seconds", "backupkit_build_info"} <= names
