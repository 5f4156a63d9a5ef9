"""Requests with a fault, with a socket and without."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from backupkit.simulator import Fault, Scenario, SimulatedAppliance, SimulatedFleet
from backupkit.simulator.faults.replies import FaultContext, apply_fault
from backupkit.simulator.wire import Reply, Request

EPOCH = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
BACKUP = "/appliance/recovery/backup"


@pytest.fixture
def faulty_reply() -> Callable[..., Reply]:
    """Return a function that applies a fault to one request with a session."""

    def answer(
        appliance: SimulatedAppliance,
        kind: str,
        target: str = f"/api{BACKUP}/job",
        method: str = "GET",
        **settings: object,
    ) -> Reply:
        token = appliance.sessions.create(appliance.user)
        headers = {"vmware-api-session-id": token}
        request = Request(method=method, target=target, headers=headers)
        fault = Fault(kind, **settings)  # type: ignore[arg-type]  # fields of Fault
        return apply_fault(FaultContext(fault, appliance, request, seed=1))

    return answer


class Live:
    """A fleet of one running appliance, and a client that is logged in."""

    def __init__(self, fleet: SimulatedFleet, session: requests.Session) -> None:
        self.fleet = fleet
        self.session = session
        self.appliance = fleet.appliances[0]
        self.url = f"https://{self.appliance.host}"

    def get(self, target: str = f"/api{BACKUP}/job") -> requests.Response:
        """Send a GET request, by default for the job list."""
        return self.session.get(self.url + target, timeout=5)

    def log_in(self) -> requests.Response:
        """Log in and keep the token."""
        pair = (self.appliance.user, self.appliance.password)
        response = self.session.post(f"{self.url}/api/session", auth=pair, timeout=5)
        self.session.headers["vmware-api-session-id"] = response.json()
        return response


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """Run one appliance without faults; a test sets them."""
    scenario = Scenario.steady(appliances=1, jobs=3, epoch=EPOCH)
    with (
        SimulatedFleet(scenario, clock=lambda: EPOCH) as fleet,
        requests.Session() as session,
    ):
        bundle = tmp_path / "ca.pem"
        bundle.write_bytes(fleet.authority)
        session.trust_env = False
        session.verify = str(bundle)
        running = Live(fleet, session)
        running.log_in()
        fleet.clear_requests()
        yield running
