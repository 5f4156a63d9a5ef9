"""Filters: the alerts that a channel gets; tables ``[alert.filter.NAME]`` of fleet.toml."""

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from backupkit.errors import SettingsError, one_line
from backupkit.fleet import Appliance, Fleet
from backupkit.settings import SettingsFile
from backupkit.tables.alerts import FLEET_SUBJECT, SEVERITIES, Alert

__all__ = ["ChannelFilter", "FilterEntry", "build_filters"]

_MAX_NAMES: Final = 10
_NO_GROUP: Final = ""
_NOUNS: Final = {
    "kinds": "kind of alert that [alert] sends",
    "sites": "site",
    "groups": "group",
    "appliances": "appliance",
}


class FilterEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Table [alert.filter.NAME] of fleet.toml."""

    kinds: tuple[str, ...] | None = None
    min_severity: str | None = None
    sites: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    appliances: tuple[str, ...] | None = None
    fleet: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFilter:
    """Choice of the alerts that a channel gets: those that match each property that is stated.

    Attributes
    ----------
    kinds, sites, groups, appliances : tuple of str
        Names, of which an alert must match one; () for all. The group "" is that of the appliances
        without one.
    min_severity : {"warning", "critical"}
        The lowest severity.
    fleet : bool, optional
        Choose alerts about the whole fleet. By default, a filter without sites, groups and
        appliances chooses them.

    Examples
    --------
    >>> hamburg = ChannelFilter(sites=("Hamburg",))
    >>> hamburg.chooses(Alert(kind="breach", subject="vc-1", site="Hamburg", level=1))
    True
    >>> hamburg.chooses(Alert(kind="target", subject="fleet", level=2))
    False
    """

    kinds: tuple[str, ...] = ()
    min_severity: str = SEVERITIES[0]
    sites: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    appliances: tuple[str, ...] = ()
    fleet: bool | None = None

    def chooses(self, alert: Alert) -> bool:
        """Return True if the channel gets messages about an open alert."""
        if self.kinds and alert.kind not in self.kinds:
            return False
        if SEVERITIES.index(alert.severity) < SEVERITIES.index(self.min_severity):
            return False
        if not alert.is_about_appliance:
            if alert.subject == FLEET_SUBJECT:
                narrowed = bool(self.sites or self.groups or self.appliances)
                return not narrowed if self.fleet is None else self.fleet
            if self.groups or self.appliances:
                return False
            return not self.sites or alert.site in self.sites
        return self._covers(alert.subject, alert.site, alert.group)

    def covers(self, appliance: Appliance) -> bool:
        """Return True if alerts about an appliance can be chosen."""
        return self._covers(appliance.name, appliance.site or "", appliance.group or "")

    def _covers(self, name: str, site: str, group: str) -> bool:
        return (
            (not self.sites or site in self.sites)
            and (not self.groups or group in self.groups)
            and (not self.appliances or name in self.appliances)
        )


def build_filters(
    entries: dict[str, FilterEntry],
    file: SettingsFile,
    *,
    channels: Sequence[str],
    kinds: Sequence[str],
    where: str,
) -> dict[str, ChannelFilter]:
    """Return the filter of each channel that has one.

    Parameters
    ----------
    entries : dict of str to FilterEntry
        The tables by the name of the channel.
    file : SettingsFile
        fleet.toml, whose appliances have the names, sites and groups that exist.
    channels, kinds : sequence of str
        Names of the channels, and the kinds that are sent at all.
    where : str
        The table, for errors.

    Raises
    ------
    SettingsError
        If a name does not exist, or a list is empty; the message has the names that exist.

    Examples
    --------
    >>> from pathlib import Path
    >>> file = SettingsFile(path=Path("fleet.toml"), tables={})
    >>> found = build_filters(
    ...     {"mail": FilterEntry(min_severity="critical")},
    ...     file,
    ...     channels=["mail"],
    ...     kinds=["breach"],
    ...     where="fleet.toml, [alert]",
    ... )
    >>> found["mail"].min_severity
    'critical'
    """
    if not entries:
        return {}
    fleet = Fleet.load(file)
    names = tuple(one.name for one in fleet.appliances)
    existing: dict[str, Collection[str]] = {
        "kinds": kinds,
        "sites": sorted({one.site for one in fleet.appliances if one.site}),
        "groups": [*sorted({one.group for one in fleet.appliances if one.group}), _NO_GROUP],
        "appliances": names,
    }
    found = {}
    for channel, entry in entries.items():
        _check_name(channel, channels, "channel", f"{where}: filter")
        place = f"{where}: filter.{one_line(channel)}"
        severity = entry.min_severity or SEVERITIES[0]
        _check_name(severity, SEVERITIES, "severity", f"{place}: min_severity")
        chosen: dict[str, tuple[str, ...]] = {}
        for key, known in existing.items():
            chosen[key] = _read_names(getattr(entry, key), key, f"{place}: {key}")
            # a fleet.toml that has a policy alone takes its appliances from the history
            for name in chosen[key] if names or key != "appliances" else ():
                _check_name(name, known, _NOUNS[key], f"{place}: {key}")
        found[channel] = ChannelFilter(min_severity=severity, fleet=entry.fleet, **chosen)
        if names and not any(map(found[channel].covers, fleet.appliances)):
            raise SettingsError(
                f"{place}: no appliance matches all of sites, groups and appliances. Each key "
                "narrows the choice; leave one out."
            )
    return found


def _read_names(names: tuple[str, ...] | None, key: str, where: str) -> tuple[str, ...]:
    if names == ():
        raise SettingsError(f"{where} is empty, which chooses nothing. Leave {key} out for all.")
    return names or ()


def _check_name(name: str, existing: Collection[str], noun: str, where: str) -> None:
    """Raise unless a name exists; the error lists those that do."""
    if name in existing:
        return
    shown = [f'"{one_line(one)}"' for one in existing]
    more = len(shown) - _MAX_NAMES
    listed = ", ".join(shown[:_MAX_NAMES]) + (f" and {more:,} more" if more > 0 else "")
    similar = difflib.get_close_matches(name, existing, n=1)
    hint = f' Did you mean "{one_line(similar[0])}"?' if similar else ""
    there = f"there are {listed}" if shown else "there is none"
    raise SettingsError(f'{where}: "{one_line(name)}" is no {noun}; {there}.{hint}')
