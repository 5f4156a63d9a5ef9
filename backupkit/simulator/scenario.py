"""Seeded scenarios: the appliances of a simulated fleet and their properties."""

import dataclasses
import random
import zoneinfo
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Self

from backupkit.simulator.model import (
    OLD_TARGET,
    RELEASES,
    TARGETS,
    Release,
    Target,
    Trait,
    seeded_rng,
)

WEEK = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
NIGHT = (0, 1, 2, 3, 4, 5, 22, 23)  # usual start hours of backups
SKEW = timedelta(minutes=7, seconds=20)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ApplianceSpec:
    """Properties of one appliance; with seed and epoch they determine all its jobs."""

    name: str
    site: str
    group: str
    version: str
    timezone: str  # IANA name; the schedule is in this zone
    traits: tuple[Trait, ...]
    target: Target
    hour: int
    minute: int
    days: tuple[str, ...] | None = None  # None: every day
    nights: int = 90  # of history at the epoch
    jobs: int | None = None  # exact number of finished jobs at the epoch, instead of `nights`
    configured_timezone: str | None = None  # zone in fleet.toml, if any
    exclude: str | None = None  # reason for exclusion from the SLA
    legacy: bool = True  # False: no `/rest`

    @property
    def release(self) -> Release:
        """Release of the appliance."""
        return RELEASES[self.version]

    @property
    def skew(self) -> timedelta:
        """Time by which its clock is ahead."""
        return SKEW if Trait.CLOCK_SKEW in self.traits else timedelta()

    def slot(self, day: date) -> datetime:
        """Return when the schedule starts a backup on a local day.

        Parameters
        ----------
        day : date
            The local day.

        Returns
        -------
        datetime
            Start [UTC]. A local time that occurs twice means the first; one that a clock change
            skips uses the offset before the change.
        """
        zone = zoneinfo.ZoneInfo(self.timezone)
        local = datetime.combine(day, time(self.hour, self.minute), tzinfo=zone)
        return local.astimezone(UTC)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Appliances of a simulated fleet, with seed and epoch.

    Parameters
    ----------
    seed : int
        The same seed, epoch and clock give the same bytes in every response.
    epoch : datetime
        Reference time, aware: last three failed, new and running are relative to it. Jobs continue
        after it; earlier jobs never change.
    specs : tuple of ApplianceSpec
        One per appliance.
    """

    seed: int
    epoch: datetime
    specs: tuple[ApplianceSpec, ...]

    def __post_init__(self) -> None:
        if self.epoch.tzinfo is None:
            raise ValueError("The epoch needs a time zone, such as datetime(..., tzinfo=UTC).")
        for spec in self.specs:
            if spec.version not in RELEASES:
                releases = ", ".join(RELEASES)
                raise ValueError(
                    f"{spec.name}: no release {spec.version!r}; there are {releases}.",
                )
        if len({spec.name for spec in self.specs}) < len(self.specs):
            raise ValueError("Two appliances of the scenario share a name.")

    @classmethod
    def demo(cls, *, seed: int = 1, epoch: datetime, days: int = 90) -> Self:
        """Return twelve appliances on three sites that show every trait.

        At the epoch, with an RPO of 24 h and a grace of 2 h: six compliant, three in breach,
        one unreachable, one just replaced, one excluded.

        Parameters
        ----------
        seed : int
            Seed of all random values.
        epoch : datetime
            Reference time, an aware datetime.
        days : int
            Nights with jobs before the epoch.

        Returns
        -------
        Scenario
            Scenario for `SimulatedFleet`.

        Examples
        --------
        >>> scenario = Scenario.demo(epoch=datetime(2026, 11, 23, tzinfo=UTC))
        >>> len(scenario.specs), scenario.specs[0].name
        (12, 'vc-ham-01')
        """
        t = Trait
        rows: tuple[tuple[str, str, str, str, str, Sequence[Trait]], ...] = (
            ("vc-ham-01", "Hamburg", "production", "8.0.3", "Europe/Berlin", [t.HEALTHY]),
            ("vc-ham-02", "Hamburg", "production", "7.0.3", "Europe/Berlin", [t.FLAKY]),
            ("vc-ham-03", "Hamburg", "production", "8.0.3", "Europe/Berlin", [t.LAST_THREE_FAILED]),
            ("vc-ham-04", "Hamburg", "test", "9.0.0", "Etc/UTC", [t.RUNNING, t.GROWING]),
            ("vc-nyc-01", "New York", "production", "8.0.1", "Etc/UTC", [t.WRONG_TIME_ZONE]),
            (
                "vc-nyc-02",
                "New York",
                "production",
                "6.7",
                "America/New_York",
                [t.MISSED_NIGHT, t.OVERRUNNING],
            ),
            ("vc-nyc-03", "New York", "test", "7.0.1", "America/New_York", [t.SCHEDULE_DISABLED]),
            ("vc-nyc-04", "New York", "edge", "6.5", "America/New_York", [t.FLAKY]),
            ("vc-tyo-01", "Tokyo", "production", "8.0.3", "Asia/Tokyo", [t.CLOCK_SKEW, t.NEW]),
            ("vc-tyo-02", "Tokyo", "test", "7.0.2", "Asia/Tokyo", [t.ALWAYS_FAILING]),
            ("vc-tyo-03", "Tokyo", "edge", "8.0.3", "Asia/Tokyo", [t.UNREACHABLE]),
            ("vc-tyo-04", "Tokyo", "edge", "9.0.0", "Asia/Tokyo", [t.REPLACED]),
        )
        specs = [
            _spec(
                seeded_rng(f"{seed}/{name}/plan"),
                epoch,
                name=name,
                site=site,
                group=group,
                version=version,
                timezone=timezone,
                traits=tuple(traits),
                nights=days,
            )
            for name, site, group, version, timezone, traits in rows
        ]
        changes: dict[str, dict[str, object]] = {
            "vc-ham-01": {"days": WEEK},  # all seven days: the same as None
            "vc-nyc-01": {"configured_timezone": "America/New_York"},
            "vc-nyc-04": {"exclude": "being retired, change 4711"},
        }
        return cls(
            seed=seed,
            epoch=epoch,
            specs=tuple(_changed(spec, changes.get(spec.name, {})) for spec in specs),
        )

    @classmethod
    def steady(
        cls,
        *,
        appliances: int = 50,
        jobs: int = 400,
        seed: int = 1,
        epoch: datetime,
        flavours: Iterable[str] = ("api", "rest"),
    ) -> Self:
        """Return a fleet of any size; every appliance is reachable and has as many jobs.

        Parameters
        ----------
        appliances : int
            Number of appliances.
        jobs : int
            Exact number of finished jobs per appliance at the epoch; none runs at that time.
        seed : int
            Seed of all random values.
        epoch : datetime
            Reference time, an aware datetime.
        flavours : iterable of str
            ``api``: an appliance with both flavours, ``rest``: only the legacy one, ``api-only``:
            only the newer one. They alternate.

        Returns
        -------
        Scenario
            Scenario for `SimulatedFleet`.

        Examples
        --------
        >>> scenario = Scenario.steady(appliances=3, epoch=datetime(2026, 11, 23, tzinfo=UTC))
        >>> [(spec.name, spec.version) for spec in scenario.specs]
        [('vc-0001', '8.0.3'), ('vc-0002', '6.7'), ('vc-0003', '7.0.3')]
        """
        versions = {
            "api": ("8.0.3", "7.0.3", "9.0.0", "8.0.1"),
            "rest": ("6.7", "7.0.1"),
            "api-only": ("9.0.0",),
        }
        cycle = tuple(flavours)
        if not cycle or not set(cycle) <= set(versions):
            raise ValueError(f"flavours are some of {', '.join(versions)}; got {cycle!r}.")
        mix = (
            *[Trait.HEALTHY] * 5,
            *[Trait.FLAKY] * 2,
            Trait.GROWING,
            Trait.LAST_THREE_FAILED,
            Trait.MISSED_NIGHT,
        )
        sites = (
            ("Hamburg", "Europe/Berlin"),
            ("New York", "America/New_York"),
            ("Tokyo", "Asia/Tokyo"),
            ("London", "Etc/UTC"),
        )
        specs = []
        for index in range(appliances):
            quotient, position = divmod(index, len(cycle))
            choice = versions[cycle[position]]
            name = f"vc-{index + 1:04d}"
            rng = seeded_rng(f"{seed}/{name}/plan")
            site, timezone = rng.choice(sites)
            spec = _spec(
                rng,
                epoch,
                name=name,
                site=site,
                group=rng.choice(("production", "production", "test", "edge")),
                version=choice[quotient % len(choice)],
                timezone=timezone,
                traits=(mix[quotient % len(mix)],),
            )
            specs.append(_changed(spec, {"jobs": jobs, "legacy": cycle[position] != "api-only"}))
        return cls(seed=seed, epoch=epoch, specs=tuple(specs))


def _changed(spec: ApplianceSpec, changes: dict[str, object]) -> ApplianceSpec:
    return dataclasses.replace(spec, **changes)  # type: ignore[arg-type]  # rows of a table


def _spec(rng: random.Random, epoch: datetime, **fields: object) -> ApplianceSpec:
    version = str(fields["version"])
    spec = ApplianceSpec(
        target=OLD_TARGET if version == "6.5" else rng.choice(TARGETS),
        hour=0,
        minute=rng.choice((0, 15, 30, 45, 59)),
        **fields,  # type: ignore[arg-type]  # the callers pass the rest of ApplianceSpec's fields
    )
    night = rng.sample(NIGHT, k=len(NIGHT))
    day = [hour for hour in range(24) if hour not in NIGHT]
    return next(
        candidate
        for hour in (*night, *day)
        if _no_start_near_epoch(candidate := dataclasses.replace(spec, hour=hour), epoch)
    )


def _no_start_near_epoch(spec: ApplianceSpec, epoch: datetime) -> bool:
    """Return whether no backup starts shortly before or after the epoch.

    So the last job has ended at the epoch, and started less than a day before.
    """
    before = timedelta(hours=5 if Trait.OVERRUNNING in spec.traits else 2)
    today = epoch.astimezone(zoneinfo.ZoneInfo(spec.timezone)).date()
    slots = [spec.slot(today + timedelta(days=offset)) for offset in (-1, 0, 1)]
    return all(not epoch - before < slot < epoch + timedelta(hours=1) for slot in slots)
