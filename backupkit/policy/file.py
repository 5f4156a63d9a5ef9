"""The policy tables of fleet.toml, parsed, each with the parameters that it inherits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pandas as pd

from backupkit.errors import SettingsError
from backupkit.policy.parameters import PARAMETERS
from backupkit.policy.scope import Exclusion
from backupkit.policy.values import NAMES, parse_moment
from backupkit.settings import SettingsFile, unknown_key

__all__ = ["PolicyTables", "Settings", "read_policy_tables"]

Settings = dict[str, Any]
"""Parsed parameters, by name."""

_TABLE_ARRAYS: Final = ("change", "exclude")


@dataclass
class DatedSettings:
    """The parameters of one policy, and all of them again from each effective date on."""

    settings: Settings
    changes: dict[pd.Timestamp, Settings]


@dataclass
class PolicyTables:
    """The tables of one fleet.toml.

    Attributes
    ----------
    default : DatedSettings
        ``[policy]``.
    named : dict of str to DatedSettings
        ``[policy.NAME]``.
    groups : dict of str to str
        Name of the policy of each group.
    exclusions : list of Exclusion
        ``[[policy.exclude]]``.
    """

    default: DatedSettings
    exclusions: list[Exclusion]
    named: dict[str, DatedSettings] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)


def read_policy_tables(file: SettingsFile) -> PolicyTables:
    """Parse the policy of fleet.toml; errors name file, table and key."""
    table = file.table("policy")
    named = {
        name: entry
        for name, entry in table.items()
        if isinstance(entry, dict) and name not in PARAMETERS
    }
    top_level = {
        name: entry for name, entry in table.items() if name not in (*named, *_TABLE_ARRAYS)
    }
    base = _parse_settings(top_level, where=f"{file}, [policy]")
    changes = _parse_changes(table, file=file, name="policy")
    tables = PolicyTables(
        default=_inherit_settings(base, changes, {}, {}),
        exclusions=[
            Exclusion.parse(entry, where=f"{file}, [[policy.exclude]]")
            for entry in _get_array_of_tables(table, "exclude", where=f"{file}, [policy]")
        ],
    )
    for name, entry in named.items():
        where = f"{file}, [policy.{name}]"
        own_table = {key: value for key, value in entry.items() if key != "change"}
        for group in _parse_groups(own_table.pop("groups", ()), where=where):
            if group in tables.groups:
                raise SettingsError(
                    f'{where}: group "{group}" already has the policy "{tables.groups[group]}"; '
                    "name it in one of them."
                )
            tables.groups[group] = name
        _refuse_report_timezone(own_table, where=where)
        own = _parse_settings(own_table, where=where, also=("groups", "change"))
        own_changes = _parse_changes(entry, file=file, name=f"policy.{name}")
        tables.named[name] = _inherit_settings(base, changes, own, own_changes)
    return tables


def _parse_settings(table: Settings, *, where: str, also: Iterable[str] = ()) -> Settings:
    """Parse the parameters that a table sets; `also` names its other keys, for the message."""
    if unknown := [name for name in table if name not in PARAMETERS]:
        raise SettingsError(f"{where}: {unknown_key(unknown[0], [*PARAMETERS, *also])}")
    try:
        return {name: PARAMETERS[name].parse(value) for name, value in table.items()}
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error


def _refuse_report_timezone(table: Settings, *, where: str) -> None:
    if "report_timezone" in table:
        raise SettingsError(
            f'{where}: "report_timezone" is the zone of reports; move it to [policy].'
        )


def _parse_groups(value: object, *, where: str) -> tuple[str, ...]:
    try:
        names: tuple[str, ...] = NAMES.parse(value)
    except ValueError as error:
        raise SettingsError(
            f'{where}: "groups" must be {NAMES.must_be}, got {value!r}; '
            'for example: groups = ["production"]'
        ) from error
    return names


def _get_array_of_tables(table: Settings, name: str, *, where: str) -> list[Settings]:
    """Return an array of tables, empty if it is absent."""
    entries = table.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SettingsError(f'{where}: "{name}" must be an array of tables: [[policy.{name}]]')
    return entries


def _parse_changes(
    table: Settings, *, file: SettingsFile, name: str
) -> dict[pd.Timestamp, Settings]:
    """Return the parameters that each change of a table sets, by effective date."""
    changes: dict[pd.Timestamp, Settings] = {}
    where = f"{file}, [[{name}.change]]"
    for entry in _get_array_of_tables(table, "change", where=f"{file}, [{name}]"):
        settings = {key: value for key, value in entry.items() if key != "valid_from"}
        if "valid_from" not in entry:
            example = "valid_from = 2026-11-01T00:00:00Z"
            raise SettingsError(f'{where}: "valid_from" is missing; for example: {example}')
        try:
            date = parse_moment(entry["valid_from"], where='"valid_from"')
        except SettingsError as error:
            raise SettingsError(f"{where}: {error}") from error
        if date in changes:
            raise SettingsError(f"{where}: two changes are valid from {date}; join them.")
        _refuse_report_timezone(settings, where=where)
        changes[date] = _parse_settings(settings, where=where, also=["valid_from"])
    return changes


def _inherit_settings(
    base: Settings,
    changes: Mapping[pd.Timestamp, Settings],
    own: Settings,
    own_changes: Mapping[pd.Timestamp, Settings],
) -> DatedSettings:
    """Combine a table with the one it inherits from; its own parameters take precedence."""
    first = base | own
    dated: dict[pd.Timestamp, Settings] = {}
    for date in sorted({*changes, *own_changes}):
        base = base | changes.get(date, {})
        own = own | own_changes.get(date, {})
        dated[date] = base | own
    return DatedSettings(first, dated)
