"""Members of a policy, and exclusions from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import pandas as pd

from backupkit.errors import SettingsError
from backupkit.policy.times import moment_of
from backupkit.settings import convert

__all__ = ["Exclusion", "Member"]

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


@dataclass(frozen=True, init=False)
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
    start: pd.Timestamp | None
    end: pd.Timestamp | None
    appliances: frozenset[str]
    groups: frozenset[str]
    sites: frozenset[str]

    def __init__(
        self,
        *,
        reason: str,
        start: object = None,
        end: object = None,
        appliances: Iterable[str] = (),
        groups: Iterable[str] = (),
        sites: Iterable[str] = (),
    ) -> None:
        if not reason.strip():
            raise SettingsError(f'"exclude" needs a reason; for example: {_EXAMPLE}')
        begin = None if start is None else moment_of(start, where='"exclude", start')
        until = None if end is None else moment_of(end, where='"exclude", end')
        if begin is not None and until is not None and not begin < until:
            raise SettingsError(
                f'"exclude" must end after it starts, got {begin} to {until}; '
                f"for example: {_EXAMPLE}"
            )
        values = {
            "reason": reason,
            "start": begin,
            "end": until,
            "appliances": frozenset(appliances),
            "groups": frozenset(groups),
            "sites": frozenset(sites),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def parse(cls, table: Mapping[str, Any], *, where: str) -> "Exclusion":
        """Parse one ``[[policy.exclude]]``.

        Raises
        ------
        SettingsError
            If an entry is wrong; the message begins with `where`.
        """
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
