"""A policy resolved for each appliance, as frames."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import pandas as pd

from backupkit.policy.scope import Member
from backupkit.tables import SCHEDULES

if TYPE_CHECKING:
    from backupkit.policy.policy import Policy

__all__ = ["exclusion_frame", "plans_of", "rules_of"]

_DURATION: Final = "timedelta64[us]"
_DURATIONS: Final = (
    "rpo",
    "grace",
    "threshold",
    "early",
    "late",
    "completion",
    "staleness",
    "window_tolerance",
    "duration_limit",
    "lookback",
    "backup_day",
)


def rules_of(policy: "Policy", appliances: Iterable[str]) -> pd.DataFrame:
    """Return the parameters of each appliance; see `Policy.rules`."""
    resolved_members = _all_members(policy, appliances)
    names = [member.appliance for member in resolved_members]
    configured = {member.appliance for member in policy.members}
    applied = [_policy_of(policy, member) for member in resolved_members]
    columns: dict[str, pd.Series] = {
        name: pd.Series([getattr(own, name) for own in applied], dtype=_DURATION)
        for name in _DURATIONS
    }
    windows = [own.window for own in applied]
    for name in ("start", "length"):
        spans = [None if window is None else getattr(window, name) for window in windows]
        columns[f"window_{name}"] = pd.Series(spans, dtype=_DURATION)
    for name in ("anchor", "unknown_mode"):
        columns[name] = pd.Series([getattr(own, name) for own in applied], dtype="str")
    columns["target"] = pd.Series([own.target for own in applied], dtype="float64")
    columns["retention"] = pd.Series([own.retention for own in applied], dtype="Int64")
    columns["parts"] = pd.Series([own.parts for own in applied], dtype="object")
    for name in ("host", "site", "group", "timezone"):
        columns[name] = pd.Series(
            [getattr(member, name) for member in resolved_members], dtype="str"
        )
    undated = [exclusion for exclusion in policy.exclusions if not exclusion.dated]
    reasons = [
        member.exclude or next((e.reason for e in undated if e.covers(member)), None)
        for member in resolved_members
    ]
    columns["exclude"] = pd.Series(reasons, dtype="str")
    columns["configured"] = pd.Series(
        [not configured or name in configured for name in names], dtype="bool"
    )
    return pd.DataFrame(columns).set_axis(pd.Index(names, dtype="str", name="appliance"))


def plans_of(policy: "Policy", appliances: Iterable[str]) -> pd.DataFrame:
    """Return the schedules that a policy sets; see `Policy.plans`."""
    rows = []
    for date in (None, *policy.effective_dates):
        dated = policy.at(date)
        for member in _all_members(dated, appliances):
            plan = _policy_of(dated, member).schedule
            minutes = None if plan is None else int(plan.start.total_seconds()) // 60
            rows.append(
                {
                    "appliance": member.appliance,
                    "schedule": "policy",
                    "seen_at": date,
                    "enabled": plan is not None,
                    "hour": None if minutes is None else minutes // 60,
                    "minute": None if minutes is None else minutes % 60,
                    "days": list(plan.days) or None if plan is not None else None,
                }
            )
    planned = {row["appliance"] for row in rows if row["enabled"]}
    kept = [row for row in rows if row["appliance"] in planned]
    columns = {name: [row[name] for row in kept] for name in rows[0]} if rows else {}
    return SCHEDULES.frame(columns)


def exclusion_frame(policy: "Policy", appliances: Iterable[str]) -> pd.DataFrame:
    """Return the dated exclusions of each appliance; see `Policy.excluded`."""
    everyone = _all_members(policy, appliances)
    rows = [
        (member.appliance, exclusion.start, exclusion.end, exclusion.reason)
        for exclusion in policy.exclusions
        if exclusion.dated
        for member in everyone
        if exclusion.covers(member)
    ]
    frame = pd.DataFrame(rows, columns=["appliance", "start", "end", "reason"])
    time = "datetime64[us, UTC]"
    return frame.astype({"appliance": "str", "start": time, "end": time, "reason": "str"})


def _policy_of(policy: "Policy", member: Member) -> "Policy":
    """Return the policy of one appliance: its own, else its group's, else `policy`."""
    name = member.policy or policy.groups.get(member.group or "")
    return policy if name is None else policy.named[name]


def _all_members(policy: "Policy", appliances: Iterable[str]) -> list[Member]:
    """Return the members and the other appliances, sorted by name."""
    members = {member.appliance: member for member in policy.members}
    return [members.get(name, Member(appliance=name)) for name in sorted({*members, *appliances})]
