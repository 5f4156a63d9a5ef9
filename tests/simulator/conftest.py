"""Simulated appliances without sockets, and fleets, with clocks that tests set."""

import base64
import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import requests

from backupkit.simulator import Scenario, SimulatedAppliance, SimulatedFleet
from backupkit.simulator.routes import respond
from backupkit.simulator.wire import Reply, Request

EPOCH = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


@pytest.fixture
def moment() -> list[datetime]:
    """Return a list with the time of the clock; a test may set it."""
    return [EPOCH]


@pytest.fixture
def make(moment: list[datetime]) -> Callable[..., SimulatedAppliance]:
    """Return a function that builds one of the demo's appliances, with changes."""

    def build(
        name: str = "vc-ham-01", *, session_limit: int = 550, **changes: object
    ) -> SimulatedAppliance:
        demo = Scenario.demo(epoch=EPOCH, days=30)
        spec = next(spec for spec in demo.specs if spec.name == name)
        spec = dataclasses.replace(spec, **changes)  # type: ignore[arg-type]  # fields of ApplianceSpec
        scenario = dataclasses.replace(demo, specs=(spec,))
        return SimulatedAppliance(
            spec, scenario, clock=lambda: moment[0], session_limit=session_limit
        )

    return build


def credentials(appliance: SimulatedAppliance, password: str | None = None) -> dict[str, str]:
    """Return the header of a log-in."""
    pair = f"{appliance.user}:{password or appliance.password}"
    return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


@pytest.fixture
def log_in() -> Callable[..., Reply]:
    """Return a function that logs in, in either flavour."""

    def post(
        appliance: SimulatedAppliance,
        flavour: str = "rest",
        password: str | None = None,
        **headers: str,
    ) -> Reply:
        target = "/api/session" if flavour == "api" else "/rest/com/vmware/cis/session"
        spelt = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {**credentials(appliance, password), **spelt}
        return respond(appliance, Request(method="POST", target=target, headers=sent))

    return post


@pytest.fixture
def ask(log_in: Callable[..., Reply]) -> Callable[..., tuple[int, object]]:
    """Return a function that logs in, sends one request and decodes the response."""

    def exchange(
        appliance: SimulatedAppliance,
        target: str,
        *,
        method: str = "GET",
        body: object = None,
        flavour: str = "api",
    ) -> tuple[int, object]:
        token = msgspec.json.decode(log_in(appliance, "rest").body)["value"]
        reply = respond(
            appliance,
            Request(
                method=method,
                target=f"/{flavour}{target}",
                headers={"vmware-api-session-id": token},
                body=b"" if body is None else msgspec.json.encode(body),
            ),
        )
        return reply.status, msgspec.json.decode(reply.body) if reply.body else None

    return exchange


@pytest.fixture
def run(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[..., tuple[SimulatedFleet, requests.Session]]:
    """Return a function that runs a fleet of one appliance, with a client that trusts it."""

    def start(**options: object) -> tuple[SimulatedFleet, requests.Session]:
        scenario = Scenario.steady(appliances=1, jobs=3, epoch=EPOCH)
        fleet = SimulatedFleet(scenario, clock=lambda: EPOCH, **options)  # type: ignore[arg-type]  # the test's options
        fleet.__enter__()
        request.addfinalizer(lambda: fleet.__exit__(None, None, None))
        bundle = tmp_path / "ca.pem"
        bundle.write_bytes(fleet.authority)
        session = requests.Session()
        request.addfinalizer(session.close)
        session.trust_env = False
        session.verify = str(bundle)
        return fleet, session

    return start


@pytest.fixture(scope="module")
def fleet() -> Iterator[SimulatedFleet]:
    """Run the demo over HTTPS, at its epoch."""
    with SimulatedFleet(Scenario.demo(epoch=EPOCH, days=30), clock=lambda: EPOCH) as running:
        yield running


@pytest.fixture(scope="module")
def authority(fleet: SimulatedFleet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of the certificate of `fleet`."""
    path = tmp_path_factory.mktemp("fleet") / "ca.pem"
    path.write_bytes(fleet.authority)
    return path


@pytest.fixture
def browser(authority: Path) -> Iterator[requests.Session]:
    """Return an HTTP client that trusts `fleet`, independent of the environment."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(authority)
        yield session
