"""Jobs of each trait, and jobs of the past."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from backupkit.simulator import Scenario, SimulatedAppliance, Trait
from backupkit.simulator.model import CAUSES, Job

EPOCH = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
Make = Callable[..., SimulatedAppliance]


def hours(job: Job) -> float:
    """Return how long a job lasts [h]."""
    return (job.end - job.start) / timedelta(hours=1)


class TestUntil:
    """Jobs as a function of the clock."""

    @pytest.mark.parametrize("index", range(12))
    def test_past_never_changes(self, index: int) -> None:
        """The jobs of the past are unchanged an hour and three days later."""
        scenario = Scenario.demo(epoch=EPOCH)
        spec = scenario.specs[index]
        moment = [EPOCH]
        living = SimulatedAppliance(spec, scenario, clock=lambda: moment[0])
        old = living.jobs()
        for wait in (timedelta(hours=1), timedelta(days=3)):
            moment[0] = EPOCH + wait
            fresh = SimulatedAppliance(spec, scenario, clock=lambda: moment[0])
            assert living.jobs() == fresh.jobs()
            assert living.jobs()[: len(old)] == old
        grown = len(living.jobs()) - len(old)
        assert (grown >= 3) != (Trait.SCHEDULE_DISABLED in spec.traits)

    @pytest.mark.parametrize("index", range(12))
    def test_sorted_and_unique(self, index: int) -> None:
        """Jobs are sorted by start, and each has its own id."""
        scenario = Scenario.demo(epoch=EPOCH)
        now = EPOCH + timedelta(days=20)
        jobs = SimulatedAppliance(scenario.specs[index], scenario, clock=lambda: now).jobs()
        assert jobs == sorted(jobs, key=lambda job: job.start)
        assert len({job.id for job in jobs}) == len(jobs)

    def test_clock_set_back(self, make: Make, moment: list[datetime]) -> None:
        """A clock that is set back has the jobs of that time."""
        appliance = make()
        before = appliance.jobs()
        moment[0] += timedelta(days=5)
        assert len(appliance.jobs()) > len(before)
        moment[0] -= timedelta(days=5)
        assert appliance.jobs() == before

    def test_seed(self) -> None:
        """Another seed has other jobs."""
        stories = [
            SimulatedAppliance(scenario.specs[0], scenario, clock=lambda: EPOCH).jobs()
            for scenario in (Scenario.demo(seed=seed, epoch=EPOCH) for seed in (1, 2))
        ]
        assert stories[0] != stories[1]


class TestJobs:
    """Fields of a job."""

    def test_scheduled(self, make: Make) -> None:
        """A scheduled job starts at the slot, in the appliance's zone, within seconds."""
        appliance = make()
        for job in appliance.jobs():
            local = job.start.astimezone(ZoneInfo(appliance.timezone))
            assert (local.hour, local.minute) == (appliance.spec.hour, appliance.spec.minute)
            assert job.kind == "SCHEDULED"
            assert job.id == f"{job.start:%Y%m%d-%H%M%S}-24322831"

    def test_folder(self, make: Make) -> None:
        """The folder has kind, release, time and the comment in base 32."""
        job = make("vc-ham-04").jobs()[-1]
        folder = job.location.rpartition("/")[2]
        assert folder == "M_9.0.0.0100_20261123-134500_MJSWM33SMUQHI2DFEB2XAZDBORSQ===="
        assert "/vCenter/sn_vc-ham-04.example.test/" in job.location

    def test_healthy_within_a_day(self, make: Make) -> None:
        """A healthy appliance has only successes of 5 to 40 minutes, the newest within a day."""
        jobs = make().jobs()
        assert all(job.ok and 5 / 60 < hours(job) < 40 / 60 for job in jobs)
        assert EPOCH - jobs[-1].start < timedelta(days=1)

    def test_days(self, make: Make) -> None:
        """A schedule of some days of the week runs only on these."""
        jobs = make(days=("MONDAY", "THURSDAY"), timezone="Etc/UTC").jobs()
        assert {f"{job.start:%A}" for job in jobs} == {"Monday", "Thursday"}


class TestTraits:
    """Traits."""

    def test_flaky(self, make: Make) -> None:
        """After each failure of a flaky appliance there is a manual success on the same day."""
        jobs = make("vc-ham-02", nights=200).jobs()
        failures = [index for index, job in enumerate(jobs) if not job.ok]
        assert 10 < len(failures) < 60
        for index in failures:
            retry = jobs[index + 1]
            assert (retry.kind, retry.ok, retry.user) == (
                "MANUAL",
                True,
                "administrator@vsphere.local",
            )
            assert retry.start - jobs[index].end < timedelta(hours=8)

    def test_last_three_failed(self, make: Make, moment: list[datetime]) -> None:
        """The last three nights fail for one reason, and so does the next one."""
        appliance = make("vc-ham-03")
        assert [job.ok for job in appliance.jobs()[-5:]] == [True, True, False, False, False]
        moment[0] += timedelta(days=2)
        last = appliance.jobs()[-5:]
        assert not any(job.ok for job in last)
        assert len({job.messages[0].id for job in last}) == 1

    def test_missed_night(self, make: Make) -> None:
        """One night of the last week has no job."""
        jobs = make("vc-nyc-02").jobs()
        gaps = [
            round((later.start - earlier.start) / timedelta(days=1))
            for earlier, later in itertools.pairwise(jobs)
        ]
        assert gaps[-5:] == [1, 2, 1, 1, 1]

    def test_overrunning(self, make: Make) -> None:
        """Runs become longer, up to hours."""
        jobs = make("vc-nyc-02", nights=90).jobs()
        assert hours(jobs[0]) < 0.6
        assert 3 < hours(jobs[-1]) < 4.5

    def test_growing(self, make: Make) -> None:
        """Size and duration double within ninety nights."""
        jobs = [job for job in make("vc-ham-04", nights=90).jobs() if job.kind == "SCHEDULED"]
        assert 1.8 < jobs[-1].size / jobs[0].size < 2.3
        assert 1.6 < hours(jobs[-1]) / hours(jobs[0]) < 2.6

    def test_schedule_disabled(self, make: Make) -> None:
        """Nothing ran for weeks, and the schedule is disabled."""
        appliance = make("vc-nyc-03")
        assert EPOCH - appliance.jobs()[-1].start > timedelta(weeks=3)
        assert appliance.schedules()["default"]["enable"] is False

    def test_new(self, make: Make) -> None:
        """The first job ran less than a week ago."""
        first = make("vc-tyo-01").jobs()[0]
        assert timedelta(days=4) < EPOCH - first.start < timedelta(days=7)

    def test_clock_skew(self, make: Make) -> None:
        """The clock is ahead, and so are the times of the jobs."""
        appliance = make("vc-tyo-01")
        assert appliance.now() - EPOCH == timedelta(minutes=7, seconds=20)

    def test_replaced(self, make: Make, moment: list[datetime]) -> None:
        """A replaced appliance has no job until its next slot."""
        appliance = make("vc-tyo-04")
        assert appliance.jobs() == []
        moment[0] += timedelta(days=1)
        assert [job.ok for job in appliance.jobs()] == [True]

    def test_always_failing(self, make: Make) -> None:
        """Every job failed for one reason."""
        jobs = make("vc-tyo-02").jobs()
        assert not any(job.ok for job in jobs)
        assert len({job.messages[0].id for job in jobs}) == 1

    def test_failures_vary(self, make: Make) -> None:
        """A flaky appliance fails for most of the known reasons; variable parts are args."""
        jobs = make("vc-ham-02", nights=900).jobs()
        messages = [job.messages[0] for job in jobs if not job.ok]
        assert {message.id for message in messages} == {cause.id for cause in CAUSES}
        for message in messages:
            assert all(word in message.default_message for word in message.args)
