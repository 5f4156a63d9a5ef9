"""The interface of a simulated fleet for tests and the command line."""

import time
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from backupkit.simulator import Request, Scenario, SimulatedFleet

EPOCH = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
JOBS = "/api/appliance/recovery/backup/job"
NAME = "vc-0001"


Run = Callable[..., tuple[SimulatedFleet, requests.Session]]


def log_in(fleet: SimulatedFleet, session: requests.Session, password: str | None = None) -> int:
    """Log in with the new flavour; the session keeps the token."""
    appliance = fleet[NAME]
    response = session.post(
        f"https://{appliance.host}/api/session",
        auth=(appliance.user, password or appliance.password),
    )
    if response.ok:
        session.headers["vmware-api-session-id"] = response.json()
    return response.status_code


def jobs(fleet: SimulatedFleet, session: requests.Session) -> requests.Response:
    """Request the job list."""
    return session.get(f"https://{fleet[NAME].host}{JOBS}")


class TestRequests:
    """The log of requests."""

    def test_log(self, run: Run) -> None:
        """Every request is logged with its status and query, until the log is cleared."""
        fleet, session = run()
        log_in(fleet, session)
        session.get(f"https://{fleet[NAME].host}{JOBS}/details?jobs=a")
        assert fleet.requests == (
            Request(NAME, "POST", "/api/session", 201),
            Request(NAME, "GET", f"{JOBS}/details", 200, "jobs=a"),
        )
        fleet.clear_requests()
        assert len(fleet.requests) == 0

    def test_open_sessions(self, run: Run) -> None:
        """Sessions are counted until they end."""
        fleet, session = run()
        log_in(fleet, session)
        assert fleet.open_sessions == 1
        session.delete(f"https://{fleet[NAME].host}/api/session")
        assert fleet.open_sessions == 0

    def test_latency(self, run: Run) -> None:
        """Every response waits for the latency."""
        fleet, session = run(latency=0.05)
        log_in(fleet, session)
        begin = time.monotonic()
        jobs(fleet, session)
        assert time.monotonic() - begin >= 0.05

    def test_true_clock(self) -> None:
        """Without a clock of its own a fleet uses the machine's time."""
        fleet = SimulatedFleet(Scenario.steady(appliances=1, jobs=1, epoch=EPOCH))
        assert abs((fleet[NAME].now() - datetime.now(UTC)).total_seconds()) < 60


class TestChanges:
    """Changes of a running appliance."""

    def test_stop_and_start(self, run: Run) -> None:
        """A stopped appliance refuses connections; restarted on its port, it has no session."""
        fleet, session = run()
        log_in(fleet, session)
        host = fleet[NAME].host
        fleet.stop(NAME)
        fleet.stop(NAME)
        with pytest.raises(requests.exceptions.ConnectionError):
            jobs(fleet, session)
        fleet.start(NAME)
        fleet.start(NAME)
        assert fleet[NAME].host == host
        assert jobs(fleet, session).status_code == 401
        assert log_in(fleet, session) == 201
        assert len(jobs(fleet, session).json()) == 3

    def test_set_password(self, run: Run) -> None:
        """A new password replaces the old one, and open sessions stay."""
        fleet, session = run()
        old = fleet[NAME].password
        log_in(fleet, session)
        fleet.set_password(NAME, "changed")
        assert jobs(fleet, session).status_code == 200
        assert log_in(fleet, session, old) == 401
        assert log_in(fleet, session) == 201

    def test_revoke(self, run: Run) -> None:
        """Without rights a log-in succeeds and requests are answered with 403."""
        fleet, session = run()
        fleet.revoke(NAME)
        assert log_in(fleet, session) == 201
        assert jobs(fleet, session).status_code == 403

    def test_answer_html(self, run: Run) -> None:
        """Every response is an HTML page until that ends."""
        fleet, session = run()
        fleet.answer_html(NAME)
        assert jobs(fleet, session).text.startswith("<html>")
        fleet.answer_html(NAME, on=False)
        assert log_in(fleet, session) == 201

    def test_session_limit(self, run: Run) -> None:
        """The session limit can be set."""
        fleet, session = run(session_limit=1)
        assert [log_in(fleet, session) for _ in range(2)] == [201, 503]


class TestWriteFleet:
    """The inventory file."""

    def test_content(self, fleet: SimulatedFleet, tmp_path: Path) -> None:
        """The file names every appliance, and the files beside it."""
        fleet.write_fleet(tmp_path / "fleet.toml")
        document = tomllib.loads((tmp_path / "fleet.toml").read_text(encoding="utf-8"))
        assert document["defaults"] == {
            "user": "administrator@vsphere.local",
            "password": {"file": "fleet.password"},
            "ca_bundle": "fleet.ca.pem",
        }
        assert document["policy"] == {"rpo": "24h", "grace": "2h", "target": 0.99}
        rows = {row["name"]: row for row in document["appliance"]}
        assert rows["vc-ham-01"] == {
            "name": "vc-ham-01",
            "host": fleet["vc-ham-01"].host,
            "site": "Hamburg",
            "group": "production",
        }
        assert rows["vc-nyc-01"]["timezone"] == "America/New_York"
        assert rows["vc-nyc-04"]["exclude"] == "being retired, change 4711"
        assert list(rows) == [appliance.name for appliance in fleet.appliances]

    def test_secret(self, fleet: SimulatedFleet, tmp_path: Path) -> None:
        """The password is readable by its owner only, even if the file existed before."""
        secret = tmp_path / "my.password"
        secret.write_text("something longer than any password", encoding="utf-8")
        secret.chmod(0o644)
        fleet.write_fleet(tmp_path / "my.toml")
        password = fleet.appliances[0].password
        assert secret.stat().st_mode & 0o777 == 0o600
        assert secret.read_text(encoding="utf-8") == f"{password}\n"
        assert password not in (tmp_path / "my.toml").read_text(encoding="utf-8")
        assert (tmp_path / "my.ca.pem").read_bytes() == fleet.authority

    def test_repr(self, fleet: SimulatedFleet) -> None:
        """The text of an appliance has its address and not its password."""
        appliance = fleet["vc-ham-01"]
        assert repr(appliance) == f"<SimulatedAppliance vc-ham-01 at {appliance.host}>"
        assert (appliance.site, appliance.group) == ("Hamburg", "production")
        assert (appliance.version, appliance.timezone) == ("8.0.3", "Europe/Berlin")
