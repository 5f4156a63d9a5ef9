"""The policy of fleet.toml: tables with inheritance and effective dates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from backupkit.errors import SettingsError
from backupkit.fleet import Fleet
from backupkit.policy.checks import EXAMPLES
from backupkit.policy.numbers import Policy
from backupkit.policy.scope import Exclusion, Member
from backupkit.policy.times import moment_of
from backupkit.settings import convert, read_toml

__all__ = ["load_policy"]

P = TypeVar("P", bound=Policy)

_Set = Mapping[str, Any]
"""The settings of one table."""

_LISTS: Final = ("change", "exclude")
_ALL_EXAMPLES: Final = EXAMPLES | {
    "groups": 'groups = ["production"]',
    "valid_from": "valid_from = 2026-11-01T00:00:00Z",
}
_Text = str | msgspec.UnsetType


class _Numbers(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The settings of a policy table; absent ones are inherited."""

    rpo: _Text = msgspec.UNSET
    grace: _Text = msgspec.UNSET
    early: _Text = msgspec.UNSET
    late: _Text = msgspec.UNSET
    completion: _Text = msgspec.UNSET
    anchor: _Text = msgspec.UNSET
    target: float | msgspec.UnsetType = msgspec.UNSET
    staleness: _Text = msgspec.UNSET
    unknown_mode: _Text = msgspec.UNSET
    window: _Text = msgspec.UNSET
    window_tolerance: _Text = msgspec.UNSET
    duration_limit: _Text = msgspec.UNSET
    lookback: _Text = msgspec.UNSET
    backup_day: Any = msgspec.UNSET
    retention: int | msgspec.UnsetType = msgspec.UNSET
    parts: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    schedule: Any = msgspec.UNSET


class _Change(_Numbers, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One ``[[policy.change]]``."""

    valid_from: Any


class _Named(_Numbers, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One ``[policy.NAME]``."""

    groups: tuple[str, ...] = ()


def load_policy(kind: type[P], path: str | Path) -> P:
    """Read the policy and its members from fleet.toml; see `Policy.load`.

    Parameters
    ----------
    kind : type
        The class to build.
    path : str or Path
        The file.

    Returns
    -------
    Policy
        The policy.

    Raises
    ------
    SettingsError
        If the file is missing or an entry is wrong; the message names file, table and key.
    """
    fleet = Fleet.load(path)
    table = read_toml(path).get("policy", {})
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: policy must be a table: [policy]")
    exclusions = [
        Exclusion.parse(entry, where=f"{path}, [[policy.exclude]]")
        for entry in _list(table, "exclude", where=f"{path}, [policy]")
    ]
    named = {
        name: entry
        for name, entry in table.items()
        if isinstance(entry, dict) and name not in EXAMPLES
    }
    own = {name: entry for name, entry in table.items() if name not in (*named, *_LISTS)}
    base = _entries(own, _Numbers, where=f"{path}, [policy]")
    turns = _turns(table, where=f"{path}, [policy")
    policies: dict[str, Policy] = {}
    groups: dict[str, str] = {}
    for name, entry in named.items():
        where = f"{path}, [policy.{name}"
        plain = {key: value for key, value in entry.items() if key != "change"}
        numbers = _entries(plain, _Named, where=f"{where}]")
        for group in numbers.pop("groups"):
            if group in groups:
                raise SettingsError(
                    f'{where}]: group "{group}" already has the policy "{groups[group]}"; '
                    "name it in one of them."
                )
            groups[group] = name
        own_turns = _turns(entry, where=where)
        policies[name] = _build(base, turns, numbers, own_turns, where=f"{where}]")
    whole = _build(base, turns, {}, {}, where=f"{path}, [policy]")
    members = [
        Member(
            appliance=appliance.name,
            host=appliance.host,
            site=appliance.site,
            group=appliance.group,
            timezone=appliance.timezone,
            exclude=appliance.exclude,
            policy=appliance.policy,
        )
        for appliance in fleet
    ]
    try:
        return kind(
            **base,
            members=members,
            named=policies,
            groups=groups,
            exclusions=exclusions,
            changes=whole.changes,
        )
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def _list(table: Mapping[str, Any], name: str, *, where: str) -> list[Any]:
    """Return an array of tables, empty if it is absent."""
    found = table.get(name, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise SettingsError(f'{where}: "{name}" must be an array of tables: [[policy.{name}]]')
    return found


def _entries(table: _Set, kind: type[_Numbers], *, where: str) -> dict[str, Any]:
    """Validate a policy table and return its settings."""
    entry = convert(table, kind, where=where, examples=_ALL_EXAMPLES)
    values = msgspec.structs.asdict(entry)
    return {name: value for name, value in values.items() if value is not msgspec.UNSET}


def _turns(table: _Set, *, where: str) -> dict[Any, dict[str, Any]]:
    """Return the settings of each change of a table by effective date, sorted."""
    turns: dict[Any, dict[str, Any]] = {}
    for entry in _list(table, "change", where=f"{where}]"):
        place = f"{where.replace('[', '[[', 1)}.change]]"
        values = _entries(entry, _Change, where=place)
        try:
            moment = moment_of(values.pop("valid_from"), where='"valid_from"')
        except SettingsError as error:
            raise SettingsError(f"{place}: {error}") from error
        if moment in turns:
            raise SettingsError(f"{place}: two changes are valid from {moment}; join them.")
        turns[moment] = values
    return dict(sorted(turns.items()))


def _build(
    base: _Set,
    turns: Mapping[Any, _Set],
    own: _Set,
    own_turns: Mapping[Any, _Set],
    *,
    where: str,
) -> Policy:
    """Build the policy of a table and its changes, with what they inherit."""
    below, above = dict(base), dict(own)
    changes = {}
    try:
        first = Policy(**{**below, **above})
        for moment in sorted({*turns, *own_turns}):
            below |= turns.get(moment, {})
            above |= own_turns.get(moment, {})
            changes[moment] = Policy(**{**below, **above})
        return Policy(**{**base, **own}, changes=changes) if changes else first
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error
