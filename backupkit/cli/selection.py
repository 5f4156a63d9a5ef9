"""Appliances that ``--appliance``, ``--group`` and ``--site`` select."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from backupkit.errors import SettingsError, one_line

if TYPE_CHECKING:
    from backupkit.fleet import Appliance, Fleet

__all__ = ["Selection", "join_first_names"]

MAX_NAMES: Final = 5


@dataclass(frozen=True, slots=True)
class Selection:
    """Names of appliances, groups and sites.

    An appliance is selected if it matches each option that is stated; the names of one option are
    alternatives. Without any option, all appliances are selected.

    Examples
    --------
    >>> bool(Selection()), bool(Selection(sites=["Hamburg"]))
    (False, True)
    """

    appliances: Sequence[str] | None = None
    groups: Sequence[str] | None = None
    sites: Sequence[str] | None = None

    def __bool__(self) -> bool:
        return bool(self.appliances or self.groups or self.sites)

    def find(self, fleet: "Fleet") -> tuple["Appliance", ...]:
        """Return the selected appliances of a fleet, also disabled ones that are named.

        Raises
        ------
        SettingsError
            If a name does not exist, or no appliance matches all options.
        """
        check_names(self.appliances, (one.name for one in fleet.appliances), "appliance", fleet)
        check_names(self.groups, (one.group for one in fleet.appliances), "group", fleet)
        check_names(self.sites, (one.site for one in fleet.appliances), "site", fleet)
        found = tuple(
            one
            for one in fleet.appliances
            if (one.name in self.appliances if self.appliances else one.enabled)
            and (not self.groups or one.group in self.groups)
            and (not self.sites or one.site in self.sites)
        )
        if not found and self:
            raise SettingsError(
                f"{fleet.source}: no appliance matches all of --appliance, --group and --site. "
                "Each option narrows the selection; leave one out."
            )
        return found

    def apply(self, fleet: "Fleet") -> "Fleet":
        """Return the fleet of the selected appliances; a disabled one is an error."""
        if not self:
            return fleet
        found = self.find(fleet)
        for one in found:
            if not one.enabled:
                raise SettingsError(
                    f'{fleet.source}: appliance "{one_line(one.name)}" is disabled. Remove '
                    "enabled = false from its table to poll and assess it."
                )
        return replace(fleet, appliances=found)

    def names(self, fleet: "Fleet", stored: Iterable[str]) -> tuple[str, ...]:
        """Return the names of the selected appliances.

        `stored` are the appliances of the history. They count for a fleet.toml that lists no
        appliance, only a policy.
        """
        if fleet.appliances or self.groups or self.sites:
            return tuple(one.name for one in self.apply(fleet))
        check_names(self.appliances, stored, "appliance", fleet)
        return tuple(self.appliances or ())


def check_names(
    names: Sequence[str] | None, existing: Iterable[str | None], kind: str, fleet: "Fleet"
) -> None:
    """Raise if a name is none of the existing ones; the error suggests or lists those."""
    known = list(dict.fromkeys(name for name in existing if name))
    for name in names or ():
        if name not in known:
            similar = difflib.get_close_matches(name, known, n=1)
            there = f"there are {join_first_names(known)}" if known else "there is none"
            hint = f'did you mean "{one_line(similar[0])}"?' if similar else f"{there}."
            raise SettingsError(f'{fleet.source}: no {kind} is named "{one_line(name)}"; {hint}')


def join_first_names(names: Sequence[str], *, limit: int = MAX_NAMES) -> str:
    """Join names, and count those beyond the limit.

    Examples
    --------
    >>> join_first_names(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    more = len(names) - limit
    text = ", ".join(one_line(name) for name in names[:limit])
    return f"{text} and {more:,} more" if more > 0 else text
