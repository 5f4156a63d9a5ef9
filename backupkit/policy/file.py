"""The policy of fleet.toml: tables with inheritance and effective dates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from backupkit.errors import SettingsError
from backupkit.fleet import Fleet
from backupkit.policy.checks import EXAMPLES
from backupkit.policy.policy import Policy
from backupkit.policy.scope import Exclusion, Member
from backupkit.policy.times import moment_of
from backupkit.settings import SettingsFile, convert, read_toml

__all__ = ["load_policy"]

P = TypeVar("P", bound=Policy)

_Settings = Mapping[str, Any]
"""The settings of one table."""

_LISTS: Final = ("change", "exclude")
_ALL_EXAMPLES: Final = EXAMPLES | {
    "groups": 'groups = ["production"]',
    "valid_from": "valid_from = 2026-11-01T00:00:00Z",
}
_OptionalText = str | msgspec.UnsetType


class _Parameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The settings of a policy table; absent ones are inherited."""

    rpo: _OptionalText = msgspec.UNSET
    grace: _OptionalText = msgspec.UNSET
    early: _OptionalText = msgspec.UNSET
    late: _OptionalText = msgspec.UNSET
    completion: _OptionalText = msgspec.UNSET
    anchor: _OptionalText = msgspec.UNSET
    target: float | msgspec.UnsetType = msgspec.UNSET
    staleness: _OptionalText = msgspec.UNSET
    unknown_mode: _OptionalText = msgspec.UNSET
    window: _OptionalText = msgspec.UNSET
    window_tolerance: _OptionalText = msgspec.UNSET
    duration_limit: _OptionalText = msgspec.UNSET
    lookback: _OptionalText = msgspec.UNSET
    backup_day: Any = msgspec.UNSET
    retention: int | msgspec.UnsetType = msgspec.UNSET
    parts: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    schedule: Any = msgspec.UNSET


class _Change(_Parameters, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One ``[[policy.change]]``."""

    valid_from: Any


class _NamedPolicy(_Parameters, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One ``[policy.NAME]``."""

    groups: tuple[str, ...] = ()


def load_policy(kind: type[P], path: str | Path | SettingsFile) -> P:
    """Read the policy and its members from fleet.toml; see `Policy.load`.

    Parameters
    ----------
    kind : type
        The class to build.
    path : str, Path or SettingsFile
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
    file = read_toml(path)
    fleet = Fleet.load(file)
    table = file.table("policy")
    exclusions = [
        Exclusion.parse(entry, where=f"{path}, [[policy.exclude]]")
        for entry in _array_of_tables(table, "exclude", where=f"{path}, [policy]")
    ]
    named = {
        name: entry
        for name, entry in table.items()
        if isinstance(entry, dict) and name not in EXAMPLES
    }
    top_level = {name: entry for name, entry in table.items() if name not in (*named, *_LISTS)}
    base = _entries(top_level, _Parameters, where=f"{path}, [policy]")
    changes = _changes_by_date(table, where=f"{path}, [policy")
    policies: dict[str, Policy] = {}
    groups: dict[str, str] = {}
    for name, entry in named.items():
        where = f"{path}, [policy.{name}"
        settings = {key: value for key, value in entry.items() if key != "change"}
        parameters = _entries(settings, _NamedPolicy, where=f"{where}]")
        for group in parameters.pop("groups"):
            if group in groups:
                raise SettingsError(
                    f'{where}]: group "{group}" already has the policy "{groups[group]}"; '
                    "name it in one of them."
                )
            groups[group] = name
        own_changes = _changes_by_date(entry, where=where)
        policies[name] = _build(base, changes, parameters, own_changes, where=f"{where}]")
    resolved = _build(base, changes, {}, {}, where=f"{path}, [policy]")
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
            changes=resolved.changes,
        )
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def _array_of_tables(table: Mapping[str, Any], name: str, *, where: str) -> list[Any]:
    """Return an array of tables, empty if it is absent."""
    entries = table.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SettingsError(f'{where}: "{name}" must be an array of tables: [[policy.{name}]]')
    return entries


def _entries(table: _Settings, kind: type[_Parameters], *, where: str) -> dict[str, Any]:
    """Validate a policy table and return its settings."""
    entry = convert(table, kind, where=where, examples=_ALL_EXAMPLES)
    values = msgspec.structs.asdict(entry)
    return {name: value for name, value in values.items() if value is not msgspec.UNSET}


def _changes_by_date(table: _Settings, *, where: str) -> dict[Any, dict[str, Any]]:
    """Return the settings of each change of a table by effective date, sorted."""
    changes: dict[Any, dict[str, Any]] = {}
    for entry in _array_of_tables(table, "change", where=f"{where}]"):
        location = f"{where.replace('[', '[[', 1)}.change]]"
        values = _entries(entry, _Change, where=location)
        try:
            date = moment_of(values.pop("valid_from"), where='"valid_from"')
        except SettingsError as error:
            raise SettingsError(f"{location}: {error}") from error
        if date in changes:
            raise SettingsError(f"{location}: two changes are valid from {date}; join them.")
        changes[date] = values
    return dict(sorted(changes.items()))


def _build(
    base: _Settings,
    changes: Mapping[Any, _Settings],
    own: _Settings,
    own_changes: Mapping[Any, _Settings],
    *,
    where: str,
) -> Policy:
    """Build the policy of a table and its changes, with what they inherit."""
    inherited, overrides = dict(base), dict(own)
    policies = {}
    try:
        first = Policy(**{**inherited, **overrides})
        for date in sorted({*changes, *own_changes}):
            inherited |= changes.get(date, {})
            overrides |= own_changes.get(date, {})
            policies[date] = Policy(**{**inherited, **overrides})
        return Policy(**{**base, **own}, changes=policies) if policies else first
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error
