"""Simulated fleets, an HTTPS server with configurable responses, and places for histories."""

import contextlib
import http.server
import os
import signal
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, settings
from xdist.scheduler import (  # type: ignore[import-untyped] # xdist says no types
    LoadScopeScheduling,
    Scheduling,
)

from backupkit import Appliance, Fleet, History, Limits, PasswordSource
from backupkit.simulator import Scenario, SimulatedFleet
from tests.postgres import (
    REASON,
    PostgresServer,
    find_binaries,
    postgres_server,
    postgres_url,
)
from tests.receiver import Receiver, receiving

__all__ = ["postgres_server", "postgres_url"]

LONG = bool(os.environ.get("LONG"))
"""The long tests run at full length, as in `make test-long`."""

SEED = int(os.environ.get("SEED", "1"))
"""Seed of random times and fleets."""

# short runs have fixed examples, so that each run covers the same lines
for _name, _repeatable in (("short", True), ("long", False)):
    settings.register_profile(
        _name,
        deadline=None,
        derandomize=_repeatable,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],  # the machine may have other work
    )
settings.load_profile("long" if LONG else "short")


def repeats(short: int, long: int) -> int:
    """Return how often a test repeats something: `long` times in `make test-long`."""
    return long if LONG else short


# a background job of a shell ignores Ctrl-C, and so would the processes of the tests
signal.signal(signal.SIGINT, signal.default_int_handler)

QUICK = Limits(connect=2, read=2, response=5, deadline=30, backoff=0.001)
"""Timeouts for loopback, with hardly any wait between attempts."""

EPOCH = datetime(2026, 11, 9, 6, 0, tzinfo=UTC)
"""The current time of all simulated fleets in the tests."""


def epoch() -> datetime:
    """Return EPOCH, as the clock of simulated fleets."""
    return EPOCH


class GroupedScheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist is not typed
    """Scheduling that runs tests with a shared slow start in one worker."""

    def _split_scope(self, nodeid: str) -> str:
        shared = (
            "tests/jupyter/",  # a JupyterLab
            "tests/test_browser.py",  # the reports of large fleets
            "tests/test_executors.py",  # processes and a Dask cluster
            "tests/test_scale.py",  # a Dask cluster
            "tests/test_large_fleet.py",  # 500 appliances
            "tests/test_postgres_killed.py",  # a PostgreSQL server that may be killed
            "tests/test_postgres_server.py",
            "tests/test_durability.py",  # a trace of system calls
            "tests/test_release.py",  # an archive of all wheels
            "tests/test_site.py",  # the documentation
        )
        return next((scope for scope in shared if nodeid.startswith(scope)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Return the scheduler for xdist."""
    return GroupedScheduling(config, log)


@dataclass(frozen=True)
class Simulated:
    """A running simulated fleet, and its fleet.toml."""

    appliances: SimulatedFleet
    path: Path

    @property
    def fleet(self) -> Fleet:
        """The fleet that backupkit reads."""
        return Fleet.load(self.path)


@contextlib.contextmanager
def simulated(
    scenario: Scenario, folder: Path, clock: Callable[[], datetime] | None = epoch
) -> Iterator[Simulated]:
    """Run a scenario on loopback, by default with a fixed clock."""
    with SimulatedFleet(scenario, clock=clock) as appliances:
        path = folder / "fleet.toml"
        appliances.write_fleet(path)
        yield Simulated(appliances, path)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Run the headless browser of this process; Playwright allows only one."""
    from tests.chromium import launched  # noqa: PLC0415 # only where there is a browser

    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """Run the demo's 12 appliances; tests that change them must use `own_demo`."""
    with simulated(Scenario.demo(seed=1, epoch=EPOCH), tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def own_demo(tmp_path: Path) -> Iterator[Simulated]:
    """Run the demo's 12 appliances for one test that changes them."""
    with simulated(Scenario.demo(seed=1, epoch=EPOCH), tmp_path) as running:
        yield running


@pytest.fixture
def live_demo(tmp_path: Path) -> Iterator[Simulated]:
    """Run the demo's 12 appliances with the clock of the machine, as the command line does."""
    scenario = Scenario.demo(seed=1, epoch=datetime.now(UTC))
    with simulated(scenario, tmp_path, clock=None) as running:
        yield running


Place = Callable[[], contextlib.AbstractContextManager[str]]
"""Context of a path or URL for a new history, which is removed at the end."""


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a function that creates places for histories: files, then databases."""
    if request.param == "postgresql":
        if find_binaries() is None:
            pytest.skip(REASON)
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return server.fresh_database

    @contextlib.contextmanager
    def file() -> Iterator[str]:
        with tempfile.TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
            yield str(Path(folder) / "history.db")

    return file


@pytest.fixture
def places(place: Place) -> Iterator[Callable[[], str]]:
    """Return a function that creates places for histories until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(place())


@pytest.fixture
def target(places: Callable[[], str]) -> str:
    """Return a place for a new history, in SQLite, then in PostgreSQL."""
    return places()


@pytest.fixture
def make_history(places: Callable[[], str]) -> Callable[[], History]:
    """Return a function that creates an empty history in the same kind of database."""
    return lambda: History(places())


Response = tuple[int, Mapping[str, str], bytes]


@dataclass
class OddServer:
    """An HTTPS server with the responses that a test sets; 404 for other paths."""

    host: str
    ca_bundle: Path
    responses: dict[str, Response] = field(default_factory=dict)
    seen: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def respond(self, path: str, body: bytes, status: int = 200, **headers: str) -> None:
        """Set the response to `METHOD path`."""
        self.responses[path] = (status, headers, body)

    def serve_api(self) -> None:
        """Set the responses of an appliance without jobs and schedules."""
        self.respond("POST /api/session", b'"token-of-the-odd-server"', 201)
        self.respond("DELETE /api/session", b"", 204)
        self.respond("GET /api/appliance/recovery/backup/job", b"[]")
        self.respond("GET /api/appliance/recovery/backup/job/details", b"{}")
        self.respond("GET /api/appliance/recovery/backup/schedules", b"{}")
        self.respond("GET /api/appliance/system/version", b'{"version": "8.0.3.00400"}')
        self.respond("GET /api/appliance/system/time/timezone", b'"Etc/UTC"')
        node = b'[{"node": "%s", "type": "VCSA_EMBEDDED"}]' % self.host.encode()
        self.respond("GET /api/vcenter/topology/nodes", node)

    def appliance(self, name: str = "vc-odd") -> Appliance:
        """Return the appliance of this server; its password is in VCSA_PASSWORD."""
        source = PasswordSource("env", "VCSA_PASSWORD")
        return Appliance(
            name=name, host=self.host, user="u@v", password=source, ca_bundle=self.ca_bundle
        )


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OddServer]:
    """Run an HTTPS server with configurable responses."""
    monkeypatch.setenv("VCSA_PASSWORD", "correct horse battery staple")
    authority = trustme.CA()
    ca_bundle = tmp_path / "odd-ca.pem"
    authority.cert_pem.write_to_path(str(ca_bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    odd_server = OddServer("", ca_bundle)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            odd_server.seen.append((self.command, self.path, dict(self.headers.items())))
            odd_server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            path = f"{self.command} {self.path.partition('?')[0]}"
            status, headers, body = odd_server.responses.get(path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 # names of the library

        def log_message(self, *_args: object) -> None:
            """Write no log."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        odd_server.host = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield odd_server
        server.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run an HTTP server that stores what it gets."""
    with receiving() as running:
        yield running


Listen = Callable[[Callable[[socket.socket], None]], str]
"""Function that serves one connection on a new port, and returns its address."""


@pytest.fixture
def listener() -> Iterator[Listen]:
    """Return a function that listens on a TCP port and passes the first connection on."""
    with contextlib.ExitStack() as stack:

        def listen(serve: Callable[[socket.socket], None]) -> str:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def accept() -> None:
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        serve(connection)

            thread = threading.Thread(target=accept, daemon=True)
            thread.start()
            stack.callback(thread.join, 5)
            return f"127.0.0.1:{server.getsockname()[1]}"

        yield listen
