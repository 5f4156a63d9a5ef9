"""Seeded stories about fleets: which appliances there are, and what is special about each."""

import dataclasses
import random
import zoneinfo
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Self

from backupkit.simulator.model import OLD_TARGET, RELEASES, TARGETS, Release, Target, Trait, dice

WEEK = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
NIGHT = (0, 1, 2, 3, 4, 5, 22, 23)  # hours at which people let backups start
SKEW = timedelta(minutes=7, seconds=20)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The character of one appliance; with seed and epoch it fixes every job it ever has."""

    name: str
    site: str
    group: str
    version: str
    timezone: str  # IANA name; the schedule is read in it
    traits: tuple[Trait, ...]
    target: Target
    hour: int
    minute: int
    days: tuple[str, ...] | None = None  # None: every day
    nights: int = 90  # of history at the epoch
    jobs: int | None = None  # exactly so many finished jobs at the epoch, whatever `nights` says
    believed_timezone: str | None = None  # what the administrator writes down, if anything
    exclude: str | None = None  # why the administrator leaves it out of the SLA
    legacy: bool = True  # False: it does not answer `/rest` at all

    @property
    def release(self) -> Release:
        """The release that runs on it."""
        return RELEASES[self.version]

    @property
    def skew(self) -> timedelta:
        """How far its clock is fast."""
        return SKEW if Trait.CLOCK_SKEW in self.traits else timedelta()

    def slot(self, day: date) -> datetime:
        """When the schedule fires on a day of the appliance's calendar.

        Parameters
        ----------
        day : date
            The local day.

        Returns
        -------
        datetime
            UTC. A local time that occurs twice means the first; one that a clock change
            skips means the offset before the change.
        """
        zone = zoneinfo.ZoneInfo(self.timezone)
        local = datetime.combine(day, time(self.hour, self.minute), tzinfo=zone)
        return local.astimezone(UTC)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A fleet's story.

    Parameters
    ----------
    seed : int
        Same seed, epoch and clock: the same bytes in every answer.
    epoch : datetime
        The story's "now", with a time zone: three strikes, new and running are relative to
        it. Histories go on after it, and nothing that happened before ever changes.
    plans : tuple of Plan
        One per appliance.
    """

    seed: int
    epoch: datetime
    plans: tuple[Plan, ...]

    def __post_init__(self) -> None:
        if self.epoch.tzinfo is None:
            raise ValueError("The epoch needs a time zone, such as datetime(..., tzinfo=UTC).")
        for plan in self.plans:
            if plan.version not in RELEASES:
                known = ", ".join(RELEASES)
                raise ValueError(
                    f"{plan.name}: no release {plan.version!r}; there are {known}.",
                )
        if len({plan.name for plan in self.plans}) < len(self.plans):
            raise ValueError("Two appliances of the scenario share a name.")

    @classmethod
    def demo(cls, *, seed: int = 1, epoch: datetime, days: int = 90) -> Self:
        """Twelve appliances on three sites that show every trait.

        At the epoch, with an RPO of 24 h and a grace of 2 h, six are compliant, three in
        breach, one is unreachable, one was just replaced and one is excluded.

        Parameters
        ----------
        seed : int
            Of all that is drawn at random.
        epoch : datetime
            The story's "now", with a time zone.
        days : int
            Nights of history at the epoch.

        Returns
        -------
        Scenario
            To be handed to `SimulatedFleet`.

        Examples
        --------
        >>> scenario = Scenario.demo(epoch=datetime(2026, 11, 23, tzinfo=UTC))
        >>> len(scenario.plans), scenario.plans[0].name
        (12, 'vc-ham-01')
        """
        t = Trait
        rows: tuple[tuple[str, str, str, str, str, Sequence[Trait]], ...] = (
            ("vc-ham-01", "Hamburg", "production", "8.0.3", "Europe/Berlin", [t.HEALTHY]),
            ("vc-ham-02", "Hamburg", "production", "7.0.3", "Europe/Berlin", [t.FLAKY]),
            ("vc-ham-03", "Hamburg", "production", "8.0.3", "Europe/Berlin", [t.THREE_STRIKES]),
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
        plans = [
            _plan(
                dice(f"{seed}/{name}/plan"),
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
            "vc-ham-01": {"days": WEEK},  # all seven, spelt out: as good as none
            "vc-nyc-01": {"believed_timezone": "America/New_York"},
            "vc-nyc-04": {"exclude": "being retired, change 4711"},
        }
        return cls(
            seed=seed,
            epoch=epoch,
            plans=tuple(_changed(plan, changes.get(plan.name, {})) for plan in plans),
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
        """Build a fleet of any size, every appliance reachable, with histories of equal length.

        Parameters
        ----------
        appliances : int
            How many.
        jobs : int
            Finished jobs of each at the epoch, exactly; none runs at that moment.
        seed : int
            Of all that is drawn at random.
        epoch : datetime
            The story's "now", with a time zone.
        flavours : iterable of str
            ``api``: an appliance that has both flavours, ``rest``: one that has the legacy
            one alone, ``api-only``: one that has given it up. They take turns.

        Returns
        -------
        Scenario
            To be handed to `SimulatedFleet`.

        Examples
        --------
        >>> scenario = Scenario.steady(appliances=3, epoch=datetime(2026, 11, 23, tzinfo=UTC))
        >>> [(plan.name, plan.version) for plan in scenario.plans]
        [('vc-0001', '8.0.3'), ('vc-0002', '6.7'), ('vc-0003', '7.0.3')]
        """
        versions = {
            "api": ("8.0.3", "7.0.3", "9.0.0", "8.0.1"),
            "rest": ("6.7", "7.0.1"),
            "api-only": ("9.0.0",),
        }
        turns = tuple(flavours)
        if not turns or not set(turns) <= set(versions):
            raise ValueError(f"flavours are some of {', '.join(versions)}; got {turns!r}.")
        mix = (
            *[Trait.HEALTHY] * 5,
            *[Trait.FLAKY] * 2,
            Trait.GROWING,
            Trait.THREE_STRIKES,
            Trait.MISSED_NIGHT,
        )
        places = (
            ("Hamburg", "Europe/Berlin"),
            ("New York", "America/New_York"),
            ("Tokyo", "Asia/Tokyo"),
            ("London", "Etc/UTC"),
        )
        plans = []
        for index in range(appliances):
            lap, turn = divmod(index, len(turns))
            choice = versions[turns[turn]]
            name = f"vc-{index + 1:04d}"
            rng = dice(f"{seed}/{name}/plan")
            site, timezone = rng.choice(places)
            plan = _plan(
                rng,
                epoch,
                name=name,
                site=site,
                group=rng.choice(("production", "production", "test", "edge")),
                version=choice[lap % len(choice)],
                timezone=timezone,
                traits=(mix[lap % len(mix)],),
            )
            plans.append(_changed(plan, {"jobs": jobs, "legacy": turns[turn] != "api-only"}))
        return cls(seed=seed, epoch=epoch, plans=tuple(plans))


def _changed(plan: Plan, changes: dict[str, object]) -> Plan:
    return dataclasses.replace(plan, **changes)  # type: ignore[arg-type]  # rows of a table


def _plan(rng: random.Random, epoch: datetime, **fields: object) -> Plan:
    version = str(fields["version"])
    plan = Plan(
        target=OLD_TARGET if version == "6.5" else rng.choice(TARGETS),
        hour=0,
        minute=rng.choice((0, 15, 30, 45, 59)),
        **fields,  # type: ignore[arg-type]  # the callers pass the rest of Plan's fields
    )
    night = rng.sample(NIGHT, k=len(NIGHT))
    day = [hour for hour in range(24) if hour not in NIGHT]
    return next(
        candidate
        for hour in (*night, *day)
        if _quiet(candidate := dataclasses.replace(plan, hour=hour), epoch)
    )


def _quiet(plan: Plan, epoch: datetime) -> bool:
    """Whether the schedule fires neither shortly before the epoch nor just after it.

    So the last run has ended at the epoch, and started less than a day ago.
    """
    before = timedelta(hours=5 if Trait.OVERRUNNING in plan.traits else 2)
    today = epoch.astimezone(zoneinfo.ZoneInfo(plan.timezone)).date()
    slots = [plan.slot(today + timedelta(days=offset)) for offset in (-1, 0, 1)]
    return all(not epoch - before < slot < epoch + timedelta(hours=1) for slot in slots)
