"""The SLA's numbers, and to which appliance which of them apply."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Self, get_args

import msgspec
import pandas as pd

from backupkit.errors import SettingsError
from backupkit.fleet import Fleet
from backupkit.settings import convert, parse_duration, read_toml

__all__ = ["Anchor", "Member", "Policy", "UnknownMode"]

Anchor = Literal["start", "end"]
UnknownMode = Literal["strict", "evidence"]

_EXAMPLES: Final = {
    "rpo": 'rpo = "24h"',
    "grace": 'grace = "2h"',
    "early": 'early = "1h"',
    "late": 'late = "1h"',
    "completion": 'completion = "4h"',
    "anchor": 'anchor = "start" (or "end")',
    "target": "target = 0.99",
    "staleness": 'staleness = "6h"',
    "unknown_mode": 'unknown_mode = "strict" (or "evidence")',
}
_SPAN: Final = "timedelta64[us]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """What fleet.toml says of one appliance, as far as the judgement needs it.

    Attributes
    ----------
    appliance : str
        Its name.
    site, group : str, optional
        For grouping.
    timezone : str, optional
        The IANA zone to assume where the appliance does not tell its own.
    exclude : str, optional
        The reason why it is out of the SLA's scope.
    policy : str, optional
        The named policy that applies to it.
    """

    appliance: str
    site: str | None = None
    group: str | None = None
    timezone: str | None = None
    exclude: str | None = None
    policy: str | None = None


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One policy table of fleet.toml; what is left out is inherited."""

    rpo: str | msgspec.UnsetType = msgspec.UNSET
    grace: str | msgspec.UnsetType = msgspec.UNSET
    early: str | msgspec.UnsetType = msgspec.UNSET
    late: str | msgspec.UnsetType = msgspec.UNSET
    completion: str | msgspec.UnsetType = msgspec.UNSET
    anchor: str | msgspec.UnsetType = msgspec.UNSET
    target: float | msgspec.UnsetType = msgspec.UNSET
    staleness: str | msgspec.UnsetType = msgspec.UNSET
    unknown_mode: str | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, init=False)
class Policy:
    """The SLA's numbers.

    Parameters
    ----------
    rpo : str or timedelta
        Recovery point objective: the most data one accepts to lose, such as ``"24h"``.
    grace : str or timedelta
        Added to the RPO before it counts as broken. A nightly backup that takes 20 minutes would
        otherwise break an RPO of 24 h every night.
    early, late : str or timedelta
        How far from its scheduled moment a run may start and still be that run.
    completion : str or timedelta, optional
        How long after its scheduled moment a run must be done; by default before the next one.
    anchor : {"start", "end"}
        Whether a backup holds the data of its start (the safe choice) or of its end.
    target : float
        The share of expected runs, or of time, that should go well, above 0 and up to 1.
    staleness : str or timedelta, optional
        How long the newest answer of an appliance counts as knowledge; by default the usual
        interval between its answers.
    unknown_mode : {"strict", "evidence"}
        What counts while an appliance cannot be read: nothing (strict), or its last known recovery
        point until that is too old (evidence).
    members : iterable of Member
        The appliances the policy is about; without any, all that appear in the data.
    named : mapping of str to Policy
        The policies that members name.

    Raises
    ------
    SettingsError
        If a value makes no sense; the message has an example of a right one.

    Examples
    --------
    >>> policy = Policy(rpo="24h", grace="90m")
    >>> policy.threshold
    datetime.timedelta(days=1, seconds=5400)
    >>> print(policy)
    RPO 24 h + 1 h 30 min grace, recovery point = job start, runs 1 h early to 1 h late,
    unknown is not compliant, target 99 %
    """

    rpo: timedelta
    grace: timedelta
    early: timedelta
    late: timedelta
    completion: timedelta | None
    anchor: Anchor
    target: float
    staleness: timedelta | None
    unknown_mode: UnknownMode
    members: tuple[Member, ...]
    named: Mapping[str, "Policy"]

    def __init__(  # noqa: PLR0913 # the parameters are the policy
        self,
        *,
        rpo: str | timedelta = "24h",
        grace: str | timedelta = "2h",
        early: str | timedelta = "1h",
        late: str | timedelta = "1h",
        completion: str | timedelta | None = None,
        anchor: Anchor = "start",
        target: float = 0.99,
        staleness: str | timedelta | None = None,
        unknown_mode: UnknownMode = "strict",
        members: Iterable[Member] = (),
        named: Mapping[str, "Policy"] | None = None,
    ) -> None:
        values = {
            "rpo": _duration("rpo", rpo, above_zero=True),
            "grace": _duration("grace", grace),
            "early": _duration("early", early),
            "late": _duration("late", late),
            "completion": _optional("completion", completion, above_zero=True),
            "anchor": _choice("anchor", anchor, get_args(Anchor)),
            "target": _share("target", target),
            "staleness": _optional("staleness", staleness),
            "unknown_mode": _choice("unknown_mode", unknown_mode, get_args(UnknownMode)),
            "members": tuple(members),
            "named": MappingProxyType(dict(named or {})),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        for member in self.members:
            if member.policy is not None and member.policy not in self.named:
                raise SettingsError(_no_such_policy(member, self.named))

    @property
    def threshold(self) -> timedelta:
        """The exposure beyond which an appliance is in breach: RPO + grace."""
        return self.rpo + self.grace

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read ``[policy]``, ``[policy.NAME]`` and the appliances of fleet.toml.

        Parameters
        ----------
        path : str or Path
            The file. An appliance that is not enabled is left out.

        Returns
        -------
        Policy
            With one member for each appliance; no password is read.

        Raises
        ------
        SettingsError
            If the file is missing or an entry is wrong; the message names file, table and key.
        """
        fleet = Fleet.load(path)
        table = read_toml(path).get("policy", {})
        if not isinstance(table, dict):
            raise SettingsError(f"{path}: policy must be a table: [policy]")
        named = {
            name: entry
            for name, entry in table.items()
            if isinstance(entry, dict) and name not in _EXAMPLES
        }
        own = {name: entry for name, entry in table.items() if name not in named}
        base = _entries(own, where=f"{path}, [policy]")
        policies = {
            name: _build({**base, **_entries(entry, where=where)}, where=where)
            for name, entry in named.items()
            for where in [f"{path}, [policy.{name}]"]
        }
        _build(base, where=f"{path}, [policy]")
        members = [
            Member(
                appliance=appliance.name,
                site=appliance.site,
                group=appliance.group,
                timezone=appliance.timezone,
                exclude=appliance.exclude,
                policy=appliance.policy,
            )
            for appliance in fleet
        ]
        try:
            return cls(**base, members=members, named=policies)
        except SettingsError as error:
            raise SettingsError(f"{path}: {error}") from error

    def rules(self, appliances: Iterable[str] = ()) -> pd.DataFrame:
        """Spell the policy out for each appliance.

        Parameters
        ----------
        appliances : iterable of str
            The appliances that appear in the data; the members are added.

        Returns
        -------
        DataFrame
            By ``appliance``, sorted: rpo, grace, threshold, early, late, completion, staleness
            (timedelta64), anchor, unknown_mode, target, site, group, timezone, exclude, configured.
            An appliance that is no member has the default numbers and is not configured; without
            any members every appliance counts as configured.

        Examples
        --------
        >>> policy = Policy(members=[Member(appliance="vc-1", site="Hamburg")])
        >>> policy.rules(["vc-2"])[["threshold", "site", "configured"]]
                        threshold     site  configured
        appliance
        vc-1      1 days 02:00:00  Hamburg        True
        vc-2      1 days 02:00:00      NaN       False
        """
        members = {member.appliance: member for member in self.members}
        names = sorted({*members, *appliances})
        which = [members.get(name, Member(appliance=name)) for name in names]
        applied = [self if item.policy is None else self.named[item.policy] for item in which]
        columns: dict[str, pd.Series] = {
            name: pd.Series([getattr(policy, name) for policy in applied], dtype=_SPAN)
            for name in ("rpo", "grace", "threshold", "early", "late", "completion", "staleness")
        }
        for name in ("anchor", "unknown_mode"):
            columns[name] = pd.Series([getattr(policy, name) for policy in applied], dtype="str")
        columns["target"] = pd.Series([policy.target for policy in applied], dtype="float64")
        for name in ("site", "group", "timezone", "exclude"):
            columns[name] = pd.Series([getattr(item, name) for item in which], dtype="str")
        columns["configured"] = pd.Series(
            [not members or name in members for name in names], dtype="bool"
        )
        return pd.DataFrame(columns).set_axis(pd.Index(names, dtype="str", name="appliance"))

    def __str__(self) -> str:
        parts = [
            f"RPO {_words(self.rpo)} + {_words(self.grace)} grace",
            f"recovery point = job {self.anchor}",
            f"runs {_words(self.early)} early to {_words(self.late)} late",
        ]
        if self.completion is not None:
            parts.append(f"done within {_words(self.completion)}")
        if self.staleness is not None:
            parts.append(f"answers count for {_words(self.staleness)}")
        parts.append(
            "unknown is not compliant"
            if self.unknown_mode == "strict"
            else "unknown once the last recovery point is too old"
        )
        parts.append(f"target {self.target:.6%}".rstrip("%").rstrip("0").rstrip(".") + " %")
        return ", ".join(parts)


def _entries(table: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Check a policy table and keep what it sets."""
    entry = convert(table, _Entry, where=where, examples=_EXAMPLES)
    values = msgspec.structs.asdict(entry)
    return {name: value for name, value in values.items() if value is not msgspec.UNSET}


def _build(values: Mapping[str, Any], *, where: str) -> Policy:
    """Make a policy out of checked entries, naming their place in an error."""
    try:
        return Policy(**values)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error


def _duration(name: str, value: str | timedelta, *, above_zero: bool = False) -> timedelta:
    span = value if isinstance(value, timedelta) else _parse(name, value)
    if span < timedelta(0) or (above_zero and not span):
        bound = "longer than 0" if above_zero else "0 or longer"
        raise SettingsError(
            f'"{name}" must be {bound}, got {value}; for example: {_EXAMPLES[name]}'
        )
    return timedelta(days=span.days, seconds=span.seconds, microseconds=span.microseconds)


def _parse(name: str, value: object) -> timedelta:
    if not isinstance(value, str):
        raise SettingsError(
            f'"{name}" must be a duration, got {value!r}; for example: {_EXAMPLES[name]}'
        )
    return parse_duration(value, where=f'"{name}"')


def _optional(
    name: str, value: str | timedelta | None, *, above_zero: bool = False
) -> timedelta | None:
    return None if value is None else _duration(name, value, above_zero=above_zero)


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise SettingsError(
            f'"{name}" must be one of {", ".join(allowed)}, got "{value}"; '
            f"for example: {_EXAMPLES[name]}"
        )
    return value


def _share(name: str, value: float) -> float:
    if not 0 < value <= 1:
        raise SettingsError(
            f'"{name}" must be above 0 and at most 1, got {value}; for example: {_EXAMPLES[name]}'
        )
    return float(value)


def _no_such_policy(member: Member, named: Mapping[str, Policy]) -> str:
    known = ", ".join(sorted(named)) or "none"
    return (
        f'appliance "{member.appliance}": policy = "{member.policy}" names no policy (there are: '
        f"{known}); write a table [policy.{member.policy}]"
    )


def _words(span: timedelta) -> str:
    """Write a duration in hours, minutes and seconds."""
    minutes, seconds = divmod(span.total_seconds(), 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [f"{hours} h"] if hours else []
    parts += [f"{minutes} min"] if minutes else []
    parts += [f"{seconds:g} s"] if seconds else []
    return " ".join(parts) or "0 h"
