"""The SLA policy: its parameters, and the appliances and times they apply to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self, get_args

import pandas as pd

from backupkit.errors import SettingsError
from backupkit.policy.checks import (
    count,
    duration,
    fraction,
    names,
    one_of,
    optional_duration,
    time_of_day,
)
from backupkit.policy.format import format_duration
from backupkit.policy.render import html_of
from backupkit.policy.resolve import exclusion_frame, plans_of, rules_of
from backupkit.policy.scope import Exclusion, Member
from backupkit.policy.times import Plan, Window, moment_of
from backupkit.settings import SettingsFile

__all__ = ["Anchor", "Policy", "UnknownMode"]

Anchor = Literal["start", "end"]
UnknownMode = Literal["strict", "evidence"]


@dataclass(frozen=True, init=False)
class Policy:
    """The parameters of an SLA, and the appliances they apply to.

    Parameters
    ----------
    rpo : str or timedelta
        Recovery point objective: the largest accepted age of the newest backup, such as ``"24h"``.
    grace : str or timedelta
        Time added to the RPO before an appliance is in breach. Without it, a nightly backup of
        20 minutes breaks an RPO of 24 h every night.
    early, late : str or timedelta
        How much before or after its slot a job may start and still be on time.
    completion : str or timedelta, optional
        Time after the slot by which a job must have succeeded; by default before the next slot.
    anchor : {"start", "end"}
        Whether a recovery point has the time of its job's start (the safe choice) or end.
    target : float
        The share of slots, or of time, that should be good, above 0 and at most 1.
    staleness : str or timedelta, optional
        How long the newest good poll of an appliance stays valid; by default its cadence, the
        usual gap between good polls.
    unknown_mode : {"strict", "evidence"}
        State of an appliance that cannot be read: unknown (strict), or that of its last known
        recovery point until this is too old (evidence).
    window : str, optional
        When backups may run, such as ``"22:00-06:00"``, in the appliance's time zone.
    window_tolerance : str or timedelta
        How much before the window a job may start.
    duration_limit : str or timedelta, optional
        The longest accepted duration of a job.
    lookback : str or timedelta
        Time before the period's end in which the figure appliances_lookback needs a success.
    backup_day : str
        When a backup day begins, in the appliance's time zone; noon keeps a night in one day.
    retention : int, optional
        The minimum number of backups that a schedule should keep.
    parts : iterable of str, optional
        The parts that a schedule should save.
    schedule : str or Plan, optional
        The schedule of appliances whose API does not report one (6.5).
    members : iterable of Member
        The appliances of the policy; if empty, all appliances in the data.
    named : mapping of str to Policy
        The named policies of members and groups.
    groups : mapping of str to str
        The named policy of each group; a member's own policy takes precedence.
    exclusions : iterable of Exclusion
        Maintenance windows and appliances out of scope.
    changes : mapping of moment to Policy
        The policies by effective date; this policy applies before the first.

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

    rpo: timedelta
    grace: timedelta
    early: timedelta
    late: timedelta
    completion: timedelta | None
    anchor: Anchor
    target: float
    staleness: timedelta | None
    unknown_mode: UnknownMode
    window: Window | None
    window_tolerance: timedelta
    duration_limit: timedelta | None
    lookback: timedelta
    backup_day: timedelta
    retention: int | None
    parts: tuple[str, ...] | None
    schedule: Plan | None
    members: tuple[Member, ...]
    named: Mapping[str, "Policy"]
    groups: Mapping[str, str]
    exclusions: tuple[Exclusion, ...]
    changes: Mapping[pd.Timestamp, "Policy"]

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
        window: str | Window | None = None,
        window_tolerance: str | timedelta = "0m",
        duration_limit: str | timedelta | None = None,
        lookback: str | timedelta = "7d",
        backup_day: str | timedelta = "12:00",
        retention: int | None = None,
        parts: Iterable[str] | None = None,
        schedule: str | Mapping[str, Any] | Plan | None = None,
        members: Iterable[Member] = (),
        named: Mapping[str, "Policy"] | None = None,
        groups: Mapping[str, str] | None = None,
        exclusions: Iterable[Exclusion] = (),
        changes: Mapping[Any, "Policy"] | None = None,
    ) -> None:
        values = {
            "rpo": duration("rpo", rpo, above_zero=True),
            "grace": duration("grace", grace),
            "early": duration("early", early),
            "late": duration("late", late),
            "completion": optional_duration("completion", completion, above_zero=True),
            "anchor": one_of("anchor", anchor, get_args(Anchor)),
            "target": fraction("target", target),
            "staleness": optional_duration("staleness", staleness),
            "unknown_mode": one_of("unknown_mode", unknown_mode, get_args(UnknownMode)),
            "window": window if isinstance(window, Window | None) else Window.parse(window),
            "window_tolerance": duration("window_tolerance", window_tolerance),
            "duration_limit": optional_duration("duration_limit", duration_limit, above_zero=True),
            "lookback": duration("lookback", lookback, above_zero=True),
            "backup_day": time_of_day("backup_day", backup_day),
            "retention": count("retention", retention),
            "parts": None if parts is None else names("parts", parts),
            "schedule": schedule if isinstance(schedule, Plan | None) else Plan.parse(schedule),
            "members": tuple(members),
            "named": MappingProxyType(dict(named or {})),
            "groups": MappingProxyType(dict(groups or {})),
            "exclusions": tuple(exclusions),
            "changes": _sorted_changes(changes or {}),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        for member in self.members:
            if member.policy is not None and member.policy not in self.named:
                raise SettingsError(
                    _no_such_policy(f'appliance "{member.appliance}"', member.policy, self.named)
                )
        for group, name in self.groups.items():
            if name not in self.named:
                raise SettingsError(_no_such_policy(f'group "{group}"', name, self.named))

    @property
    def threshold(self) -> timedelta:
        """The exposure beyond which an appliance is in breach: RPO + grace."""
        return self.rpo + self.grace

    @classmethod
    def load(cls, path: str | Path | SettingsFile) -> Self:
        """Read ``[policy]``, ``[policy.NAME]`` and the appliances of fleet.toml.

        Parameters
        ----------
        path : str, Path or SettingsFile
            The file, or one parsed by `backupkit.settings.read_toml`. Disabled appliances are left
            out.

        Returns
        -------
        Policy
            With one member for each appliance; no password is read.

        Raises
        ------
        SettingsError
            If the file is missing or an entry is wrong; the message names file, table and key.
        """
        from backupkit.policy.file import load_policy  # noqa: PLC0415 # circular import

        return load_policy(cls, path)

    @property
    def effective_dates(self) -> tuple[pd.Timestamp, ...]:
        """The effective dates of all changes, of this policy and of the named ones, sorted."""
        dates = {
            *self.changes,
            *(date for named in self.named.values() for date in named.changes),
        }
        return tuple(sorted(dates))

    def at(self, moment: pd.Timestamp | None) -> "Policy":
        """Return the policy in force at a moment, without changes.

        Parameters
        ----------
        moment : Timestamp or None
            The moment [UTC]; None for the time before any change.

        Returns
        -------
        Policy
            With the same members, groups and exclusions.

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
        return plans_of(self, appliances)

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
        return exclusion_frame(self, appliances)

    def rules(self, appliances: Iterable[str] = ()) -> pd.DataFrame:
        """Return the parameters of each appliance, without changes.

        Parameters
        ----------
        appliances : iterable of str
            The appliances that appear in the data; the members are added.

        Returns
        -------
        DataFrame
            By ``appliance``, sorted: rpo, grace, threshold, early, late, completion, staleness,
            window_start, window_length, window_tolerance, duration_limit, lookback, backup_day
            (timedelta64), anchor, unknown_mode, target, retention (Int64), parts (tuples), host,
            site, group, timezone, exclude, configured.
            An appliance that is no member has the policy's own parameters and is not configured.
            Without members, every appliance is configured.

        Examples
        --------
        >>> policy = Policy(members=[Member(appliance="vc-1", site="Hamburg")])
        >>> policy.rules(["vc-2"])[["threshold", "site", "configured"]]
                        threshold     site  configured
        appliance
        vc-1      1 days 02:00:00  Hamburg        True
        vc-2      1 days 02:00:00      NaN       False
        """
        return rules_of(self, appliances)

    def __repr__(self) -> str:
        counts = [
            (len(getattr(self, name)), name)
            for name in ("members", "named", "exclusions", "changes")
        ]
        counted = "".join(f", {count:,} {name}" for count, name in counts if count)
        return f"<Policy: {self}{counted}>"

    def _repr_html_(self) -> str:
        return str(html_of(self))

    def __str__(self) -> str:
        parts = [
            f"RPO {format_duration(self.rpo)} + {format_duration(self.grace)} grace",
            f"recovery point = job {self.anchor}",
            f"runs {format_duration(self.early)} early to {format_duration(self.late)} late",
        ]
        if self.completion is not None:
            parts.append(f"done within {format_duration(self.completion)}")
        if self.staleness is not None:
            parts.append(f"answers count for {format_duration(self.staleness)}")
        parts.append(
            "unknown is not compliant"
            if self.unknown_mode == "strict"
            else "unknown once the last recovery point is too old"
        )
        if self.window is not None:
            parts.append(f"window {self.window}")
        if self.duration_limit is not None:
            parts.append(f"no longer than {format_duration(self.duration_limit)}")
        parts.append(f"target {self.target:.6%}".rstrip("%").rstrip("0").rstrip(".") + " %")
        return ", ".join(parts)


def _sorted_changes(changes: Mapping[Any, Policy]) -> Mapping[pd.Timestamp, Policy]:
    parsed = {moment_of(date, where='"valid_from"'): policy for date, policy in changes.items()}
    if len(parsed) < len(changes):
        raise SettingsError('"valid_from": two changes begin at the same moment; join them.')
    return MappingProxyType(dict(sorted(parsed.items())))


def _no_such_policy(owner: str, name: str, named: Mapping[str, Policy]) -> str:
    available = ", ".join(sorted(named)) or "none"
    return (
        f'{owner}: policy = "{name}" names no policy (there are: {available}); '
        f"write a table [policy.{name}]"
    )
