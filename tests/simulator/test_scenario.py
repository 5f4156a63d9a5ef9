"""Properties of scenarios and their fleets."""

import dataclasses
from datetime import UTC, date, datetime, timedelta

import pytest

from backupkit.simulator import Scenario, SimulatedAppliance, SimulatedFleet, Trait
from backupkit.simulator.model import TARGETS

EPOCH = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


def appliances(scenario: Scenario, now: datetime) -> list[SimulatedAppliance]:
    """Create the appliances of a scenario without ports."""
    return [SimulatedAppliance(spec, scenario, clock=lambda: now) for spec in scenario.specs]


class TestScenario:
    """Invalid scenarios."""

    def test_naive_epoch(self) -> None:
        """An epoch without a time zone is an error."""
        with pytest.raises(ValueError, match="time zone"):
            Scenario(seed=1, epoch=datetime(2026, 1, 1), specs=())  # noqa: DTZ001  # the point

    def test_unknown_release(self) -> None:
        """An unknown release is an error that names it."""
        spec = dataclasses.replace(Scenario.demo(epoch=EPOCH).specs[0], version="5.5")
        with pytest.raises(ValueError, match=r"vc-ham-01: no release '5\.5'"):
            Scenario(seed=1, epoch=EPOCH, specs=(spec,))

    def test_duplicate_name(self) -> None:
        """A name that occurs twice is an error."""
        spec = Scenario.demo(epoch=EPOCH).specs[0]
        with pytest.raises(ValueError, match="share a name"):
            Scenario(seed=1, epoch=EPOCH, specs=(spec, spec))


class TestSlot:
    """Slots on the days of a clock change."""

    @pytest.mark.parametrize(
        ("day", "expected"),
        [
            (date(2026, 3, 28), datetime(2026, 3, 28, 1, 30, tzinfo=UTC)),
            (date(2026, 3, 29), datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
            (date(2026, 3, 30), datetime(2026, 3, 30, 0, 30, tzinfo=UTC)),
            (date(2026, 10, 25), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
            (date(2026, 10, 26), datetime(2026, 10, 26, 1, 30, tzinfo=UTC)),
        ],
    )
    def test_clock_change(self, day: date, expected: datetime) -> None:
        """A skipped time keeps the old offset, and a repeated one means the first."""
        first = Scenario.demo(epoch=EPOCH).specs[0]
        spec = dataclasses.replace(first, timezone="Europe/Berlin", hour=2, minute=30)
        assert spec.slot(day) == expected


class TestDemo:
    """The demo."""

    def test_covers_every_trait(self) -> None:
        """Twelve appliances on three sites and in three groups have every trait."""
        specs = Scenario.demo(epoch=EPOCH).specs
        assert len(specs) == 12
        assert {trait for spec in specs for trait in spec.traits} == set(Trait)
        assert len({spec.site for spec in specs}) == 3
        assert {spec.group for spec in specs} == {"production", "test", "edge"}

    def test_shares_targets(self) -> None:
        """Several appliances have the same target."""
        bases = [spec.target for spec in Scenario.demo(epoch=EPOCH).specs]
        assert set(bases) <= set(TARGETS)
        assert len(set(bases)) < len(bases)

    def test_beliefs(self) -> None:
        """One time zone in fleet.toml is wrong, and one appliance is excluded with a reason."""
        specs = {spec.name: spec for spec in Scenario.demo(epoch=EPOCH).specs}
        believed = [spec for spec in specs.values() if spec.configured_timezone]
        assert [spec.traits for spec in believed] == [(Trait.WRONG_TIME_ZONE,)]
        assert believed[0].configured_timezone != believed[0].timezone
        assert specs["vc-nyc-04"].exclude == "being retired, change 4711"

    @pytest.mark.parametrize("hour", range(0, 24, 3))
    @pytest.mark.parametrize("seed", [1, 2])
    def test_verdict(self, hour: int, seed: int) -> None:
        """At any time of day six appliances meet 26 h, three do not, one has no history."""
        epoch = datetime(2026, 11, 23, hour, 10, tzinfo=UTC)
        met = {}
        for appliance in appliances(Scenario.demo(seed=seed, epoch=epoch), epoch):
            good = [job.start for job in appliance.jobs() if job.ok and job.end <= epoch]
            met[appliance.name] = bool(good) and epoch - max(good) <= timedelta(hours=26)
        assert {name for name, good in met.items() if not good} == {
            "vc-ham-03",
            "vc-nyc-03",
            "vc-tyo-02",
            "vc-tyo-04",
        }

    def test_running(self) -> None:
        """The running job started before the epoch and ends about ten minutes after it."""
        appliance = appliances(Scenario.demo(epoch=EPOCH), EPOCH)[3]
        job = appliance.jobs()[-1]
        assert (job.kind, job.start < EPOCH) == ("MANUAL", True)
        assert timedelta(minutes=9) < job.end - EPOCH < timedelta(minutes=11)


class TestSteady:
    """Fleets for measurements."""

    @pytest.mark.parametrize("hour", [0, 7, 14, 21])
    def test_exact_count(self, hour: int) -> None:
        """Every appliance has exactly the given number of jobs at the epoch, and all have ended."""
        epoch = datetime(2026, 11, 23, hour, tzinfo=UTC)
        scenario = Scenario.steady(appliances=20, jobs=40, seed=hour, epoch=epoch)
        for appliance in appliances(scenario, epoch):
            jobs = appliance.jobs()
            assert len(jobs) == 40
            assert all(job.end <= epoch for job in jobs)

    def test_one_day_later(self) -> None:
        """A day after the epoch each appliance has at least one more job, and the old ones."""
        scenario = Scenario.steady(appliances=10, jobs=5, epoch=EPOCH)
        later = appliances(scenario, EPOCH + timedelta(days=1))
        for before, after in zip(appliances(scenario, EPOCH), later, strict=True):
            assert after.jobs()[:5] == before.jobs()
            assert len(after.jobs()) > 5

    def test_flavours(self) -> None:
        """Appliances with the legacy flavour alternate with the others."""
        scenario = Scenario.steady(appliances=6, epoch=EPOCH)
        assert [spec.release.has_api for spec in scenario.specs] == [True, False] * 3
        legacy = Scenario.steady(appliances=4, epoch=EPOCH, flavours=("rest",))
        assert not any(spec.release.has_api for spec in legacy.specs)

    def test_mixes_traits(self) -> None:
        """A fleet of fifty has good and bad histories."""
        traits = {p.traits[0] for p in Scenario.steady(appliances=50, epoch=EPOCH).specs}
        assert traits > {Trait.HEALTHY, Trait.FLAKY, Trait.GROWING, Trait.LAST_THREE_FAILED}

    @pytest.mark.parametrize("flavours", [(), ("soap",)])
    def test_unknown_flavour(self, flavours: tuple[str, ...]) -> None:
        """No flavour, and an unknown one, are errors."""
        with pytest.raises(ValueError, match="flavours are some of api, rest"):
            Scenario.steady(epoch=EPOCH, flavours=flavours)

    def test_fleet_names_appliances(self) -> None:
        """A fleet has its appliances in order and by name."""
        fleet = SimulatedFleet(Scenario.steady(appliances=2, jobs=1, epoch=EPOCH))
        assert [appliance.name for appliance in fleet.appliances] == ["vc-0001", "vc-0002"]
        assert fleet["vc-0002"] is fleet.appliances[1]
