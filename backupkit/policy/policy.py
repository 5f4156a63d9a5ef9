"""The SLA policy: its parameters, and the appliances and times they apply to."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

import pandas as pd

from backupkit.causes import Cause, load_causes
from backupkit.display import render_container, render_key_value_table, table
from backupkit.display.format import format_exactly
from backupkit.errors import SettingsError
from backupkit.fleet import Fleet
from backupkit.policy.file import DatedSettings, read_policy_tables
from backupkit.policy.parameters import PARAMETERS, Field, Parameters
from backupkit.policy.scope import Exclusion, Member, build_exclusion_rows, find_excluded_times
from backupkit.policy.values import DURATION, parse_moment
from backupkit.settings import SettingsFile, read_toml
from backupkit.tables import SCHEDULES, TARGETS

__all__ = ["Policy", "digest_of", "format_other_policies", "format_parameters"]

_MAX_OTHER_RPOS: Final = 2  # more are only counted in the sentence


def _parse_changes(changes: Mapping[Any, "Policy"] | None) -> Mapping[pd.Timestamp, "Policy"]:
    given = changes or {}
    parsed = {parse_moment(date, where='"valid_from"'): policy for date, policy in given.items()}
    if len(parsed) < len(given):
        raise SettingsError('"valid_from": two changes begin at the same moment; join them.')
    return MappingProxyType(dict(sorted(parsed.items())))


def _parse_mapping(mapping: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return MappingProxyType(dict(mapping or {}))


@dataclass(kw_only=True, repr=False)
class Policy(Parameters):
    """The parameters of an SLA, and the appliances they apply to.

    Parameters
    ----------
    {parameters}
    members : iterable of Member
        The appliances of the policy; if empty, all appliances in the data.
    disabled : iterable of Member
        The disabled appliances of fleet.toml; only the comparison with the SSO domains reads them.
    named : mapping of str to Policy
        The named policies of members and groups.
    groups : mapping of str to str
        The named policy of each group; a member's own policy takes precedence.
    exclusions : iterable of Exclusion
        Maintenance windows and appliances out of scope.
    changes : mapping of moment to Policy
        The policies by effective date; this policy applies before the first.
    causes : iterable of Cause
        The fleet's own causes of failures, which are preferred to the known ones.

    Raises
    ------
    SettingsError
        If a value is invalid; the message has an example of a valid one.

    Examples
    --------
    >>> policy = Policy(rpo="24h", grace="90m")
    >>> policy.threshold
    datetime.timedelta(days=1, seconds=5400)
    >>> print(policy)
    RPO 24 h + 1 h 30 min grace, recovery point = job start, runs 1 h early to 1 h late,
    unknown is not compliant, target 99 %
    """

    members: Field[Iterable[Member], tuple[Member, ...]] = Field((), tuple)
    disabled: Field[Iterable[Member], tuple[Member, ...]] = Field((), tuple)
    named: Field[Mapping[str, "Policy"] | None, Mapping[str, "Policy"]] = Field(
        None, _parse_mapping
    )
    groups: Field[Mapping[str, str] | None, Mapping[str, str]] = Field(None, _parse_mapping)
    exclusions: Field[Iterable[Exclusion], tuple[Exclusion, ...]] = Field((), tuple)
    changes: Field[Mapping[Any, "Policy"] | None, Mapping[pd.Timestamp, "Policy"]] = Field(
        None, _parse_changes
    )
    causes: Field[Iterable[Cause], tuple[Cause, ...]] = Field((), tuple)

    def __post_init__(self) -> None:
        owners = [(f'appliance "{item.appliance}"', item.policy) for item in self.members]
        owners += [(f'group "{group}"', name) for group, name in self.groups.items()]
        for owner, name in owners:
            if name is not None and name not in self.named:
                available = ", ".join(sorted(self.named)) or "none"
                raise SettingsError(
                    f'{owner}: policy = "{name}" names no policy (there are: {available}); '
                    f"write a table [policy.{name}]"
                )

    @classmethod
    def load(cls, path: str | Path | SettingsFile) -> Self:
        """Read the policies, the appliances and the own causes of fleet.toml.

        Parameters
        ----------
        path : str, Path or SettingsFile
            The file, or one parsed by `backupkit.settings.read_toml`. Disabled appliances are no
            members.

        Returns
        -------
        Policy
            With one member for each appliance; no password is read.

        Raises
        ------
        SettingsError
            If the file is missing or an entry is wrong; the message names file, table and key.
        """
        file = read_toml(path)
        fleet, tables, causes = Fleet.load(file), read_policy_tables(file), load_causes(file)
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
        disabled = [
            Member(appliance=appliance.name, host=appliance.host)
            for appliance in fleet.appliances
            if not appliance.enabled
        ]
        try:
            return cls(
                **tables.default.settings,
                changes=_build_policies(tables.default),
                named={
                    name: Policy(**dated.settings, changes=_build_policies(dated))
                    for name, dated in tables.named.items()
                },
                groups=tables.groups,
                members=members,
                disabled=disabled,
                exclusions=tables.exclusions,
                causes=causes,
            )
        except SettingsError as error:
            raise SettingsError(f"{path}: {error}") from error

    @property
    def effective_dates(self) -> tuple[pd.Timestamp, ...]:
        """The effective dates of all changes, of this policy and of the named ones, sorted."""
        dates = {
            *self.changes,
            *(date for named in self.named.values() for date in named.changes),
        }
        return tuple(sorted(dates))

    @property
    def hosts(self) -> dict[str, str]:
        """The host of each appliance in fleet.toml that has one."""
        return {one.appliance: one.host for one in self.members if one.host is not None}

    @property
    def fleet_hosts(self) -> dict[str, str | None]:
        """The host of each appliance in fleet.toml, also of the disabled ones."""
        return {one.appliance: one.host for one in (*self.members, *self.disabled)}

    def at(self, moment: pd.Timestamp | None) -> "Policy":
        """Return the policy in force at a moment, without changes.

        Parameters
        ----------
        moment : Timestamp or None
            The moment [UTC]; None for the time before any change.

        Returns
        -------
        Policy
            With the same members, groups, exclusions and causes.

        Examples
        --------
        >>> stricter = Policy(rpo="24h", changes={"2026-11-01": Policy(rpo="12h")})
        >>> stricter.at(pd.Timestamp("2026-10-31", tz="UTC")).rpo.total_seconds() / 3600
        24.0
        >>> stricter.at(pd.Timestamp("2026-11-01", tz="UTC")).rpo.total_seconds() / 3600
        12.0
        """
        in_force = [date for date in self.changes if moment is not None and date <= moment]
        current = self.changes[in_force[-1]] if in_force else self
        return replace(
            current,
            members=self.members,
            named={name: policy.at(moment) for name, policy in self.named.items()},
            groups=self.groups,
            exclusions=self.exclusions,
            changes={},
            causes=self.causes,
        )

    def plans(self, appliances: Iterable[str] = ()) -> pd.DataFrame:
        """Return the schedules that the policy sets, in the form of the appliances' own.

        Parameters
        ----------
        appliances : iterable of str
            Appliances to include in addition to the members.

        Returns
        -------
        DataFrame
            Of `backupkit.tables.SCHEDULES`, with the schedule ``policy``: one row per appliance
            and effective date. The first row has no date and covers all earlier time.
        """
        members = self._list_all_members(appliances)
        plans = [
            (member.appliance, date, dated.for_member(member).schedule)
            for date in (None, *self.effective_dates)
            for dated in [self.at(date)]
            for member in members
        ]
        planned = {name for name, _, plan in plans if plan is not None}
        kept = [entry for entry in plans if entry[0] in planned]
        starts = [None if plan is None else plan.start.seconds // 60 for _, _, plan in kept]
        return SCHEDULES.frame(
            {
                "appliance": [name for name, _, _ in kept],
                "schedule": ["policy"] * len(kept),
                "seen_at": [date for _, date, _ in kept],
                "enabled": [plan is not None for _, _, plan in kept],
                "hour": [None if start is None else start // 60 for start in starts],
                "minute": [None if start is None else start % 60 for start in starts],
                "days": [plan and (list(plan.days) or None) for _, _, plan in kept],
            }
        )

    def excluded(self, appliances: Iterable[str] = ()) -> pd.DataFrame:
        """Return the dated exclusions of each appliance.

        Parameters
        ----------
        appliances : iterable of str
            Appliances to include in addition to the members.

        Returns
        -------
        DataFrame
            appliance, start, end [UTC, NaT is no limit] and reason: one row per dated exclusion
            and appliance. Exclusions without a date are in `rules`.
        """
        return find_excluded_times(self._list_all_members(appliances), self.exclusions)

    def rules(self, appliances: Iterable[str] = ()) -> pd.DataFrame:
        """Return the parameters of each appliance, without changes.

        Parameters
        ----------
        appliances : iterable of str
            The appliances that appear in the data; the members are added.

        Returns
        -------
        DataFrame
            By ``appliance``, sorted: each parameter (durations as timedelta64, the window as
            window_start and window_length, no schedule), threshold, host, site, group, timezone,
            exclude, configured.
            An appliance that is no member has the policy's own parameters and is not configured.
            Without members, every appliance is configured.

        Examples
        --------
        >>> member = Member(appliance="vc-1", site="Hamburg")
        >>> policy = Policy(rpo="24h", grace="2h", members=[member])
        >>> policy.rules(["vc-2"])[["threshold", "site", "configured"]]
                        threshold     site  configured
        appliance
        vc-1      1 days 02:00:00  Hamburg        True
        vc-2      1 days 02:00:00      NaN       False
        """
        members = self._list_all_members(appliances)
        applied = [self.for_member(member) for member in members]
        # most members share the parameters of a few policies
        distinct = {id(own): own for own in applied}
        parameters = _tabulate_parameters(list(distinct.values()))
        place = {key: position for position, key in enumerate(distinct)}
        shared = parameters.take([place[id(own)] for own in applied])
        columns: dict[str, pd.Series] = {}
        for name in ("host", "site", "group", "timezone"):
            columns[name] = pd.Series([getattr(member, name) for member in members], dtype="str")
        undated = [exclusion for exclusion in self.exclusions if not exclusion.dated]
        reasons = [
            member.exclude or next((e.reason for e in undated if e.covers(member)), None)
            for member in members
        ]
        columns["exclude"] = pd.Series(reasons, dtype="str")
        names = [member.appliance for member in members]
        configured = {member.appliance for member in self.members}
        columns["configured"] = pd.Series(
            [not configured or name in configured for name in names], dtype="bool"
        )
        own_columns = pd.DataFrame(columns, index=pd.RangeIndex(len(names)))
        rules = pd.concat([shared.reset_index(drop=True), own_columns], axis="columns")
        return rules.set_axis(pd.Index(names, dtype="str", name="appliance"))

    def for_member(self, member: Member) -> "Policy":
        """Return the policy of one appliance: its own, else its group's, else this one."""
        name = member.policy or self.groups.get(member.group or "")
        return self if name is None else self.named[name]

    def _list_all_members(self, appliances: Iterable[str]) -> list[Member]:
        """Return the members and the other appliances, sorted by name."""
        members = {member.appliance: member for member in self.members}
        return [
            members.get(name, Member(appliance=name)) for name in sorted({*members, *appliances})
        ]

    def __str__(self) -> str:
        own = [self.for_member(member) for member in self.members]
        others = Counter((one.rpo, one.grace) for one in own if one.threshold != self.threshold)
        parts = [
            f"RPO {format_exactly(rpo)} + {format_exactly(grace)} grace for "
            f"{count:,} appliance{'' if count == 1 else 's'}"
            for (rpo, grace), count in others.items()
        ]
        if len(parts) > _MAX_OTHER_RPOS:
            parts = [f"other RPOs for {others.total():,} appliances"]
        return "; ".join([super().__str__(), *parts])

    def __repr__(self) -> str:
        counts = [
            (len(getattr(self, name)), name)
            for name in ("members", "named", "exclusions", "changes", "causes")
        ]
        counted = "".join(f", {count:,} {name}" for count, name in counts if count)
        return f"<Policy: {self}{counted}>"

    def _repr_html_(self) -> str:
        parts = [render_key_value_table(format_parameters(self), caption="Policy")]
        if others := format_other_policies(self):
            parts.append(table({"Elsewhere": "", "Numbers": "text"}, others))
        if exclusions := build_exclusion_rows(self.members, self.exclusions):
            columns = {"Excluded": "", "When (UTC)": "w", "Reason": "text"}
            parts.append(table(columns, exclusions))
        return str(render_container(*parts))


if Policy.__doc__:  # not with python -OO
    Policy.__doc__ = Policy.__doc__.replace(
        "{parameters}", "\n    ".join(item.documentation() for item in PARAMETERS.values())
    )


def _build_policies(dated: DatedSettings) -> dict[pd.Timestamp, Policy]:
    return {date: Policy(**settings) for date, settings in dated.changes.items()}


def format_parameters(policy: Policy) -> dict[str, str]:
    """Return the value of each parameter with its unit, by label."""
    return {
        **{parameter.label: parameter.text(policy) for parameter in PARAMETERS.values()},
        "In breach beyond": format_exactly(policy.threshold),
        "Appliances": f"{len(policy.members):,}" if policy.members else "all in the data",
    }


def format_other_policies(policy: Policy) -> list[tuple[str, str]]:
    """Return the named policies and the changes, each as title and text."""
    rows = [(f"policy {name}", str(named)) for name, named in policy.named.items()]
    rows += [(f"from {date:%Y-%m-%d %H:%M}", str(item)) for date, item in policy.changes.items()]
    return rows + [
        (f"policy {name} from {date:%Y-%m-%d %H:%M}", str(change))
        for name, named in policy.named.items()
        for date, change in named.changes.items()
    ]


def digest_of(policy: Policy) -> str:
    """Return a fingerprint of 16 hexadecimal digits, so that two reports can be compared.

    Examples
    --------
    >>> digest_of(Policy(rpo="24h")) == digest_of(Policy(rpo="1d")), digest_of(Policy(rpo="12h"))
    (True, '...')
    """
    return hashlib.sha256(repr(_collect_content(policy)).encode()).hexdigest()[:16]


def _collect_content(policy: Policy) -> list[object]:
    """Return all that a policy says, for its digest; not its wording in a report."""
    return [
        *(str(getattr(policy, name)) for name in PARAMETERS),
        *((str(date), _collect_content(change)) for date, change in policy.changes.items()),
        *((name, _collect_content(named)) for name, named in policy.named.items()),
        *build_exclusion_rows(policy.members, policy.exclusions),
        *policy.groups.items(),
        *policy.members,
    ]


def _tabulate_parameters(policies: list[Policy]) -> pd.DataFrame:
    """Return the parameters of each policy, in the columns of `Policy.rules`."""
    columns: dict[str, pd.Series] = {
        name: pd.Series([getattr(own, name) for own in policies], dtype=parameter.kind.dtype)
        for name, parameter in PARAMETERS.items()
        if parameter.kind.dtype
    }
    spans = {
        "threshold": [own.threshold for own in policies],
        "window_start": [own.window and own.window.start for own in policies],
        "window_length": [own.window and own.window.length for own in policies],
    }
    columns |= {name: pd.Series(s, dtype=DURATION.dtype) for name, s in spans.items()}
    for name in TARGETS.values():
        columns[name] = columns[name].fillna(columns["target"])
    return pd.DataFrame(columns)
