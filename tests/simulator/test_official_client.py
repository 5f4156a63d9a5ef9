"""VMware's own client, over verified HTTPS, reads every response."""

import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from backupkit.simulator import Scenario, SimulatedAppliance, SimulatedFleet

with warnings.catch_warnings():
    # the client loads its texts in a way that is deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    from com.vmware.appliance.recovery.backup.job_client import Details
    from com.vmware.appliance.recovery.backup_client import Job, Parts, Schedules
    from com.vmware.appliance.system.time_client import Timezone
    from com.vmware.appliance.system_client import Version
    from com.vmware.vapi.std.errors_client import (
        FeatureInUse,
        NotFound,
        Unauthenticated,
        Unauthorized,
    )
    from com.vmware.vcenter.topology_client import Nodes
    from vmware.vapi.lib.connect import get_requests_connector
    from vmware.vapi.security.client.security_context_filter import LegacySecurityContextFilter
    from vmware.vapi.security.session import create_session_security_context
    from vmware.vapi.stdlib.client.factories import StubConfigurationFactory

EPOCH = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
NAMES = ("vc-ham-01", "vc-ham-02", "vc-ham-03", "vc-nyc-02", "vc-nyc-03", "vc-tyo-04")
Connect = Callable[..., Any]


@pytest.fixture
def moment() -> list[datetime]:
    """Return a list with the time of the fleet's clock."""
    return [EPOCH]


@pytest.fixture
def fleet(moment: list[datetime]) -> Iterator[SimulatedFleet]:
    """Run the demo over HTTPS, with a clock that the test sets."""
    scenario = Scenario.demo(epoch=EPOCH, days=30)
    with SimulatedFleet(scenario, clock=lambda: moment[0]) as running:
        yield running


@pytest.fixture
def connect(fleet: SimulatedFleet, tmp_path: Path) -> Iterator[Connect]:
    """Log in with the legacy flavour and configure the client's stubs, with verification."""
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(fleet.authority)
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(bundle)

        def configure(appliance: SimulatedAppliance, token: str | None = None) -> object:
            base = f"https://{appliance.host}/rest"
            response = session.post(
                f"{base}/com/vmware/cis/session",
                auth=(appliance.user, appliance.password),
                headers={"vmware-use-header-authn": "true"},
            )
            context = create_session_security_context(token or response.json()["value"])
            connector = get_requests_connector(
                session=session,
                msg_protocol="rest",
                url=base,
                provider_filter_chain=[LegacySecurityContextFilter(security_context=context)],
            )
            return StubConfigurationFactory.new_std_configuration(connector)

        yield configure


class TestReading:
    """Everything that backupkit reads, in the client's own types."""

    @pytest.mark.parametrize("name", NAMES)
    def test_jobs(self, fleet: SimulatedFleet, connect: Connect, name: str) -> None:
        """The list has the newest job first, and every job of it can be read."""
        appliance = fleet[name]
        client = Job(connect(appliance))
        expected = appliance.jobs()[::-1]
        ids = client.list()
        assert ids == [job.id for job in expected]
        for job in expected[:4]:
            got = client.get(job.id)
            assert (got.id, got.state, got.progress) == (
                job.id,
                "SUCCEEDED" if job.ok else "FAILED",
                job.final_progress,
            )
            assert abs(got.end_time.replace(tzinfo=UTC) - job.end) < timedelta(milliseconds=1)
            assert [m.default_message for m in got.messages] == [
                m.default_message for m in job.messages
            ]

    def test_nodes(self, fleet: SimulatedFleet, connect: Connect) -> None:
        """The nodes of the SSO domain follow the client's own union rules."""
        nodes = Nodes(connect(fleet["vc-ham-01"])).list()
        hosts = [fleet[f"vc-ham-0{number}"].host for number in range(1, 5)]
        assert [node.node for node in nodes] == hosts
        assert nodes[0].replication_partners == hosts[1:]
        assert {str(node.type) for node in nodes} == {"VCSA_EMBEDDED"}

    @pytest.mark.parametrize("name", [*NAMES, "vc-ham-04", "vc-tyo-02"])
    def test_details(self, fleet: SimulatedFleet, connect: Connect, name: str) -> None:
        """The details follow the client's own union rules."""
        appliance = fleet[name]
        details = Details(connect(appliance)).list()
        assert list(details) == [job.id for job in appliance.jobs()]
        assert {info.service for info in details.values()} <= {
            "com.vmware.appliance.recovery.backup.job"
        }

    def test_every_state(
        self, fleet: SimulatedFleet, connect: Connect, moment: list[datetime]
    ) -> None:
        """A job goes NONE, INPROGRESS, SUCCEEDED; another one is cancelled and FAILED."""
        appliance = fleet["vc-nyc-02"]  # its jobs are blocked for some time
        configuration = connect(appliance)
        client, details = Job(configuration), Details(configuration)
        wanted = Job.BackupRequest(
            parts=["common"],
            backup_password=None,
            location_type=Job.LocationType.SFTP,
            location="sftp://10.0.0.250/srv/backups",
            location_user="root",
            location_password="secret",
            comment="by the client",
        )
        created = client.create(wanted)
        seen = []
        with pytest.raises(FeatureInUse):
            client.create(wanted)
        for wait in (1, 10, 100, 8 * 3600):
            moment[0] = EPOCH + timedelta(seconds=wait)
            if wait > 3600:  # the session has expired
                configuration = connect(appliance)
                client, details = Job(configuration), Details(configuration)
            seen.append((client.get(created.id).state, details.list()[created.id].status))
        assert seen == [
            ("NONE", "PENDING"),
            ("NONE", "BLOCKED"),
            ("INPROGRESS", "RUNNING"),
            ("SUCCEEDED", "SUCCEEDED"),
        ]
        second = client.create(wanted)
        assert client.cancel(second.id).status == "OK"
        assert (client.get(second.id).state, details.list()[second.id].status) == (
            "FAILED",
            "FAILED",
        )

    def test_schedules(self, fleet: SimulatedFleet, connect: Connect) -> None:
        """Schedules are listed, read and run."""
        appliance = fleet["vc-ham-01"]
        client = Schedules(connect(appliance))
        assert list(client.list()) == ["default"]
        schedule = client.get("default")
        recurrence = schedule.recurrence_info
        assert (schedule.enable, recurrence.hour, recurrence.minute, len(recurrence.days)) == (
            True,
            appliance.spec.hour,
            appliance.spec.minute,
            7,
        )
        assert client.run("default", comment="now").state == "NONE"

    def test_parts(self, fleet: SimulatedFleet, connect: Connect) -> None:
        """Parts have a size in megabytes."""
        client = Parts(connect(fleet["vc-ham-01"]))
        assert {part.id: client.get(part.id) for part in client.list()} == {
            "common": 480,
            "seat": 1210,
        }

    def test_system(self, fleet: SimulatedFleet, connect: Connect) -> None:
        """Release, build and time zone are read."""
        configuration = connect(fleet["vc-tyo-01"])
        version = Version(configuration).get()
        assert (version.version, version.build) == ("8.0.3.00400", "24322831")
        assert Timezone(configuration).get() == "Asia/Tokyo"

    def test_6_5(self, fleet: SimulatedFleet, connect: Connect) -> None:
        """The oldest release has jobs, and neither details nor schedules."""
        configuration = connect(fleet["vc-nyc-04"])
        client = Job(configuration)
        assert client.get(client.list()[0]).state == "SUCCEEDED"
        with pytest.raises(NotFound):
            Details(configuration).list()


class TestErrors:
    """Errors of the client."""

    def test_not_found(self, fleet: SimulatedFleet, connect: Connect) -> None:
        """An unknown job is NotFound."""
        with pytest.raises(NotFound) as caught:
            Job(connect(fleet["vc-ham-01"])).get("20000101-000000-1")
        assert caught.value.messages[0].args == ["20000101-000000-1"]

    def test_unauthenticated(self, fleet: SimulatedFleet, connect: Connect) -> None:
        """An unknown token is Unauthenticated."""
        with pytest.raises(Unauthenticated) as caught:
            Job(connect(fleet["vc-ham-01"], "0" * 32)).list()
        assert caught.value.challenge.startswith("Basic realm=")

    def test_unauthorized(self, fleet: SimulatedFleet, connect: Connect) -> None:
        """A user without rights is Unauthorized."""
        fleet.revoke("vc-ham-01")
        with pytest.raises(Unauthorized):
            Schedules(connect(fleet["vc-ham-01"])).list()
