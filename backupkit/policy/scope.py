"""Members of a policy, and exclusions from it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import pandas as pd

from backupkit.errors import SettingsError
from backupkit.policy.parameters import Field
from backupkit.policy.values import parse_moment
from backupkit.settings import convert

__all__ = ["Exclusion", "Member", "build_exclusion_rows", "find_excluded_times"]

_EXAMPLE = (
    '{ reason = "storage move, change 4711", sites = ["Hamburg"], start = 2026-11-07T20:00:00Z, '
    "end = 2026-11-08T06:00:00Z }"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """The settings of one appliance in fleet.toml that an assessment needs.

    Attributes
    ----------
    appliance : str
        The appliance's name.
    host : str, optional
        Host name or address.
    site, group : str, optional
        For grouping.
    timezone : str, optional
        The IANA zone to use if the appliance does not report its own.
    exclude : str, optional
        The reason for which it is out of the SLA's scope.
    policy : str, optional
        The named policy that applies to it.
    """

    appliance: str
    host: str | None = None
    site: str | None = None
    group: str | None = None
    timezone: str | None = None
    exclude: str | None = None
    policy: str | None = None


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One ``[[policy.exclude]]`` of fleet.toml."""

    reason: str
    start: Any = None
    end: Any = None
    appliances: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()


def _parse_limit(name: str, value: object) -> pd.Timestamp | None:
    return None if value is None else parse_moment(value, where=f'"exclude", {name}')


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """An exclusion: a maintenance window, or appliances that are out of scope.

    Parameters
    ----------
    reason : str
        The reason, for the auditor.
    start, end : str or datetime, optional
        The time of the exclusion, half-open, with a zone; a date means midnight UTC. None means
        no limit.
    appliances, groups, sites : iterable of str
        The appliances it applies to: all that match one of the three, or all if these are empty.

    Raises
    ------
    SettingsError
        If there is no reason, a time has no zone, or the end is not after the start.

    Examples
    --------
    >>> move = Exclusion(reason="storage move", end="2026-11-08T06:00:00Z", sites=["Hamburg"])
    >>> move.covers(Member(appliance="vc-1", site="Hamburg"))
    True
    """

    reason: str
    start: Field[object, pd.Timestamp | None] = Field(None, partial(_parse_limit, "start"))
    end: Field[object, pd.Timestamp | None] = Field(None, partial(_parse_limit, "end"))
    appliances: Field[Iterable[str], frozenset[str]] = Field((), frozenset)
    groups: Field[Iterable[str], frozenset[str]] = Field((), frozenset)
    sites: Field[Iterable[str], frozenset[str]] = Field((), frozenset)

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise SettingsError(f'"exclude" needs a reason; for example: {_EXAMPLE}')
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise SettingsError(
                f'"exclude" must end after it starts, got {self.start} to {self.end}; '
                f"for example: {_EXAMPLE}"
            )

    @classmethod
    def parse(cls, table: Mapping[str, Any], *, where: str) -> "Exclusion":
        """Parse one ``[[policy.exclude]]``; an error message begins with `where`."""
        examples = {"reason": 'reason = "storage move, change 4711"', "sites": 'sites = ["Oslo"]'}
        examples |= {"groups": 'groups = ["test"]', "appliances": 'appliances = ["vc-1"]'}
        entry = convert(table, _Entry, where=where, examples=examples)
        try:
            return cls(**msgspec.structs.asdict(entry))
        except SettingsError as error:
            raise SettingsError(f"{where}: {error}") from error

    @property
    def dated(self) -> bool:
        """True if the exclusion has a start or an end."""
        return self.start is not None or self.end is not None

    def covers(self, member: Member) -> bool:
        """Return whether the exclusion applies to an appliance."""
        if not (self.appliances or self.groups or self.sites):
            return True
        return (
            member.appliance in self.appliances
            or member.group in self.groups
            or member.site in self.sites
        )


def build_exclusion_rows(
    members: Iterable[Member], exclusions: Iterable[Exclusion]
) -> list[tuple[str, str | None, str | None]]:
    """Return scope, time [UTC; None means always] and reason of each exclusion, as texts."""
    rows: list[tuple[str, str | None, str | None]] = [
        (member.appliance, None, member.exclude) for member in members if member.exclude is not None
    ]
    for item in exclusions:
        names = [*sorted(item.appliances), *sorted(item.groups), *sorted(item.sites)]
        start = "" if item.start is None else f"from {item.start:%Y-%m-%d %H:%M}"
        word = "to" if start else "until"
        end = "" if item.end is None else f"{word} {item.end:%Y-%m-%d %H:%M}"
        rows.append((", ".join(names) or "all", f"{start} {end}".strip() or None, item.reason))
    return rows


def find_excluded_times(
    members: Collection[Member], exclusions: Iterable[Exclusion]
) -> pd.DataFrame:
    """Return the dated exclusions of each member; see `Policy.excluded`."""
    rows = [
        (member.appliance, exclusion.start, exclusion.end, exclusion.reason)
        for exclusion in exclusions
        if exclusion.dated
        for member in members
        if exclusion.covers(member)
    ]
    frame = pd.DataFrame(rows, columns=["appliance", "start", "end", "reason"])
    time = "datetime64[us, UTC]"
    return frame.astype({"appliance": "str", "start": time, "end": time, "reason": "str"})
