"""Changes of a running appliance: lost and rewritten jobs, upgrades."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from backupkit.simulator import Fault, Scenario, SimulatedAppliance, SimulatedFleet
from backupkit.simulator.routes import respond
from backupkit.simulator.wire import Request

EPOCH = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
BACKUP = "/appliance/recovery/backup"
NAME = "vc-0001"
Ask = Callable[..., tuple[int, object]]


@pytest.fixture
def fleet(moment: list[datetime]) -> SimulatedFleet:
    """Return a fleet of one appliance without open ports."""
    scenario = Scenario.steady(appliances=1, jobs=5, epoch=EPOCH)
    return SimulatedFleet(scenario, clock=lambda: moment[0])


@pytest.fixture
def appliance(fleet: SimulatedFleet) -> SimulatedAppliance:
    """Return the appliance of the fleet."""
    return fleet[NAME]


def ids(appliance: SimulatedAppliance) -> list[str]:
    """Return the ids of the appliance's jobs."""
    return [job.id for job in appliance.jobs()]


class TestForget:
    """Forgotten jobs."""

    def test_one(self, fleet: SimulatedFleet, appliance: SimulatedAppliance, ask: Ask) -> None:
        """A forgotten job is in neither list nor details, and a request for it fails."""
        before = ids(appliance)
        fleet.forget(NAME, before[2])
        assert ids(appliance) == before[:2] + before[3:]
        assert list(appliance.details(None)) == ids(appliance)
        assert ask(appliance, f"{BACKUP}/job/{before[2]}")[0] == 404

    def test_all(
        self, fleet: SimulatedFleet, appliance: SimulatedAppliance, moment: list[datetime]
    ) -> None:
        """All jobs can be forgotten; the next night's job appears."""
        old = ids(appliance)
        fleet.forget(NAME)
        assert ids(appliance) == []
        moment[0] += timedelta(days=1)
        assert len(ids(appliance)) == 1
        assert not set(ids(appliance)) & set(old)


class TestRewrite:
    """Rewritten jobs."""

    def test_end(self, fleet: SimulatedFleet, appliance: SimulatedAppliance, ask: Ask) -> None:
        """A new end is in the job and in its details."""
        job = appliance.jobs()[2]
        appliance.details(None)
        fleet.rewrite(NAME, job.id, end=job.end + timedelta(hours=1))
        _, details = ask(appliance, f"{BACKUP}/job/details?jobs={job.id}")
        _, status = ask(appliance, f"{BACKUP}/job/{job.id}")
        assert isinstance(details, dict)
        assert isinstance(status, dict)
        end = f"{job.end + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}"
        assert details[job.id]["end_time"][:19] == status["end_time"][:19] == end
        assert status["start_time"][:19] == f"{job.start:%Y-%m-%dT%H:%M:%S}"

    def test_start(self, fleet: SimulatedFleet, appliance: SimulatedAppliance) -> None:
        """A new start moves the job in the list, and its id stays."""
        before = ids(appliance)
        fleet.rewrite(NAME, before[0], start=EPOCH - timedelta(minutes=1))
        assert ids(appliance) == [*before[1:], before[0]]
        assert appliance.jobs()[-1].start == EPOCH - timedelta(minutes=1)


class TestSessions:
    """Sessions that end."""

    def test_expire(self, fleet: SimulatedFleet, appliance: SimulatedAppliance) -> None:
        """Every session ends, and a new one can begin."""
        token = appliance.sessions.create("somebody")
        fleet.expire_sessions(NAME)
        assert appliance.sessions.touch(token) is None
        assert fleet.open_sessions == 0
        appliance.sessions.create("somebody")
        assert fleet.open_sessions == 1


class TestUpgrade:
    """Upgrades."""

    @pytest.fixture
    def old(self, moment: list[datetime]) -> SimulatedFleet:
        """Return an appliance of 6.5."""
        scenario = Scenario.steady(appliances=1, jobs=5, epoch=EPOCH)
        spec = dataclasses.replace(scenario.specs[0], version="6.5")
        return SimulatedFleet(dataclasses.replace(scenario, specs=(spec,)), clock=lambda: moment[0])

    def test_flavours(self, old: SimulatedFleet, ask: Ask) -> None:
        """The newer flavour and the details appear, and sessions end."""
        appliance = old[NAME]
        assert ask(appliance, f"{BACKUP}/job")[0] == 404
        assert ask(appliance, f"{BACKUP}/job/details", flavour="rest")[0] == 404
        old.upgrade(NAME, "8.0.3")
        assert old.open_sessions == 0
        assert appliance.version == "8.0.3"
        assert ask(appliance, f"{BACKUP}/job")[0] == 200
        assert ask(appliance, f"{BACKUP}/job/details", flavour="rest")[0] == 200

    def test_jobs(self, old: SimulatedFleet, moment: list[datetime]) -> None:
        """Jobs stay unchanged, and new ones have the new release."""
        appliance = old[NAME]
        before = appliance.jobs()
        old.upgrade(NAME, "8.0.3")
        moment[0] += timedelta(days=1)
        jobs = appliance.jobs()
        assert jobs[: len(before)] == before
        builds = [job.release.build for job in jobs]
        assert builds == ["18499837"] * len(before) + ["24322831"]
        assert [job.id.rpartition("-")[2] for job in jobs] == builds
        assert b"18499837" in bytes(appliance.details([jobs[0].id])[jobs[0].id])

    def test_without_legacy(self, fleet: SimulatedFleet) -> None:
        """An upgrade may remove the legacy flavour with its log-in."""
        fleet.upgrade(NAME, "9.0.0", legacy=False)
        for path in ("/com/vmware/cis/session", f"{BACKUP}/job"):
            reply = respond(fleet[NAME], Request(method="GET", target=f"/rest{path}"))
            assert reply.status == 404
            assert msgspec.json.decode(reply.body)["error_type"] == "NOT_FOUND"
        assert respond(fleet[NAME], Request(method="GET", target=f"/api{BACKUP}/job")).status == 401


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fleet: fleet.forget(NAME, "x"), "vc-0001 has no job 'x'"),
        (lambda fleet: fleet.rewrite(NAME, "x", end=EPOCH), "vc-0001 has no job 'x'"),
        (lambda fleet: fleet.upgrade(NAME, "5.5"), r"vc-0001: no release '5\.5'; there are 6\.5"),
    ],
    ids=["forget", "rewrite", "upgrade"],
)
def test_unknown(
    fleet: SimulatedFleet, change: Callable[[SimulatedFleet], None], message: str
) -> None:
    """An unknown job or release is an error."""
    with pytest.raises(ValueError, match=message):
        change(fleet)


def test_affected_jobs(fleet: SimulatedFleet, appliance: SimulatedAppliance) -> None:
    """Jobs with faults are returned by the ids that the appliance lists."""
    assert fleet.affected_jobs(NAME) == ()
    fleet.set_faults([Fault("slow", route="log-in"), Fault("gone", jobs=2)])
    assert len(fleet.affected_jobs(NAME)) == 2
    assert set(fleet.affected_jobs(NAME)) <= set(ids(appliance))
    fleet.set_faults([Fault("odd_ids")])
    assert any("/" in identifier for identifier in fleet.affected_jobs(NAME))


def test_api_only() -> None:
    """A fleet may have only appliances without the legacy flavour."""
    scenario = Scenario.steady(appliances=4, epoch=EPOCH, flavours=("api", "api-only"))
    assert [spec.legacy for spec in scenario.specs] == [True, False] * 2
    assert [spec.version for spec in scenario.specs] == ["8.0.3", "9.0.0", "7.0.3", "9.0.0"]
