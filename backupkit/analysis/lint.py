"""Schedule and policy checks of the fleet."""

from collections.abc import Collection, Mapping
from typing import Final

import pandas as pd

from backupkit.analysis.feasibility import (
    feasibility,
    list_enabled_schedules,
    list_schedule_slots,
    list_weekly_minutes,
)
from backupkit.analysis.lint_schedule import VAMI, Finding, Findings, check_schedules
from backupkit.analysis.target_load import target_of
from backupkit.display.format import format_exactly
from backupkit.errors import one_line
from backupkit.tables import LINT, TOLERATED_SKEW

__all__ = ["MIN_SIMULTANEOUS_STARTS", "lint", "unread_schedules"]

MIN_SIMULTANEOUS_STARTS: Final = 10
"""Number of appliances that start in one minute on one target from which a warning is raised."""

_WEEK: Final = pd.Timedelta(days=7)
_MINUTE: Final = pd.Timedelta(minutes=1)
_HOUR_MINUTES: Final = 60  # minutes
_SEVERITY_RANKS: Final = {"error": 0, "warning": 1, "note": 2}


def lint(  # noqa: PLR0913 # each check has its input
    current: pd.DataFrame,
    resolved_policy: pd.DataFrame,
    baselines: pd.DataFrame,
    *,
    zones: pd.DataFrame,
    at: pd.Timestamp,
    skew: pd.Series,
    schedule_unknown: Collection[str] = (),
    schedules_error: Mapping[str, str] | None = None,
    drift: pd.DataFrame | None = None,
    duplicates: pd.DataFrame | None = None,
    local_runs: pd.Series | None = None,
) -> pd.DataFrame:
    """Check the schedules and the configuration of the fleet.

    Parameters
    ----------
    current : DataFrame
        The schedules in force, of `backupkit.tables.SCHEDULES`.
    resolved_policy : DataFrame
        Result of `Policy.rules`. Appliances that a rule excludes are left out.
    baselines : DataFrame
        Of `backupkit.tables.BASELINES`; reads typical_duration.
    zones : DataFrame
        Result of `schedule_zones` for `current`.
    at : Timestamp
        The moment; clock changes in the 12 months after it are considered.
    skew : Series of timedelta64
        The appliance's clock minus the collector's, by appliance.
    schedule_unknown : collection of str
        Appliances without a known schedule: no API for it (6.5), or never read.
    schedules_error : mapping of str to str, optional
        Why the schedules of appliances could not be read.
    drift : DataFrame, optional
        Result of `schedule_drift`.
    duplicates : DataFrame, optional
        Result of `duplicate_appliances`.
    local_runs : Series of int, optional
        By appliance, how many runs of the period are no recovery points because they are on the
        appliance itself; missing if there is none.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.LINT`: errors first, then warnings and notes, each by rule and
        appliance. The appliance is missing for a finding about a backup target.

    Notes
    -----
    Disabled schedules are not checked in detail. Only scheme, host and port of a location are
    shown.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 23; section 5, "schedule disabled", "duplicate records".

    Examples
    --------
    >>> from backupkit.policy import Member, Policy
    >>> from backupkit.tables import BASELINES, SCHEDULES
    >>> resolved_policy = Policy(members=[Member(appliance="vc-1")]).rules()
    >>> result = lint(
    ...     SCHEDULES.empty(),
    ...     resolved_policy,
    ...     BASELINES.empty(),
    ...     zones=pd.DataFrame({"zone": [], "source": []}, dtype="str"),
    ...     at=pd.Timestamp("2026-11-23", tz="UTC"),
    ...     skew=pd.Series(dtype="timedelta64[us]"),
    ... )
    >>> result[["appliance", "rule", "severity"]].to_numpy().tolist()
    [['vc-1', 'no-schedule', 'error']]
    """
    scope = resolved_policy[resolved_policy["exclude"].isna()]
    rows = list_enabled_schedules(current, zones=zones, appliances=scope.index)
    week = list_weekly_minutes(rows)
    names = [current["appliance"], rows["appliance"], rows["appliance"].iloc[week["row"]]]
    checked = feasibility(current, scope, baselines["typical_duration"], zones=zones, at=at)
    findings = [
        *_find_appliances_without_slots(
            scope,
            [set(column) for column in names],
            set(schedule_unknown),
            unread_schedules(current) | dict(schedules_error or {}),
        ),
        *_find_infeasible_schedules(checked.join(scope[["rpo", "threshold"]])),
        *check_schedules(
            rows, week, resolved_policy, at=at, schedule_unknown=set(schedule_unknown)
        ),
        *_find_assumed_zones(rows),
        *_find_simultaneous_starts(rows, at),
        *_find_clock_skews(skew.reindex(scope.index).astype("timedelta64[us]")),
    ]
    if drift is not None:
        findings += _find_drift(drift[drift["appliance"].isin(scope.index)])
    if duplicates is not None:
        findings += _find_duplicates(duplicates, set(scope.index))
    if local_runs is not None:
        findings += _find_local_runs(local_runs.reindex(scope.index).dropna())
    frame = LINT.conform(pd.DataFrame(findings, columns=list(Finding._fields)))
    ordered = frame.assign(rank=frame["severity"].map(_SEVERITY_RANKS)).sort_values(
        ["rank", "rule", "appliance"], kind="stable"
    )
    return LINT.conform(ordered)


def _find_appliances_without_slots(
    scope: pd.DataFrame,
    names: list[set[str]],
    schedule_unknown: set[str],
    unread: Mapping[str, str],
) -> Findings:
    """Yield appliances without a slot; `names` have a schedule, an enabled one, one with a time."""
    with_schedule, with_enabled, with_slots = names
    for name, rpo in scope["rpo"].items():
        often = f"that runs at least every {format_exactly(rpo)}"
        if name in with_slots:
            continue
        if name in unread:
            yield Finding(
                str(name),
                "schedule-unknown",
                "warning",
                f"its schedule could not be read: {unread[str(name)]}",
                "Collect again, and run backupkit doctor if it fails again.",
            )
        elif name in with_enabled:
            yield Finding(
                str(name),
                "schedule-without-time",
                "error",
                "its schedule is on, but has no time of day: nothing starts by itself",
                f"Set a recurrence {often} in {VAMI}.",
            )
        elif name in with_schedule:
            yield Finding(
                str(name),
                "schedule-disabled",
                "error",
                "its schedule is switched off",
                f"Switch it on in {VAMI}, or exclude the appliance, with a reason, in fleet.toml.",
            )
        elif name in schedule_unknown:
            yield Finding(
                str(name),
                "schedule-unknown",
                "note",
                "its schedule is not known: it was never read, or its version (6.5) reports none",
                "Write the schedule into its policy in fleet.toml, or collect it first.",
            )
        else:
            yield Finding(
                str(name),
                "no-schedule",
                "error",
                "it has no schedule",
                f"Create one {often} in {VAMI}.",
            )


def unread_schedules(current: pd.DataFrame) -> dict[str, str]:
    """Return why the schedules of appliances could not be read, of their rows."""
    unread = current[current["read_error"].notna()].drop_duplicates("appliance")
    return {
        str(name): one_line(text)
        for name, text in zip(unread["appliance"], unread["read_error"], strict=True)
    }


def _find_drift(drift: pd.DataFrame) -> Findings:
    """Yield the schedules that were changed in the period."""
    for row in drift.to_dict("records"):
        name = one_line(str(row["schedule"]), limit=60)
        yield Finding(
            row["appliance"],
            "drift",
            "note",
            f'schedule "{name}" was changed: {row["change"]}, '
            f"since {row['since']:%Y-%m-%d %H:%M} UTC",
            f"Check whether the change was intended, in {VAMI}.",
        )


def _find_infeasible_schedules(rows: pd.DataFrame) -> Findings:
    """Yield the appliances whose schedule cannot meet the RPO."""
    for row in rows[rows["feasible"].notna()].reset_index().to_dict("records"):
        limit = f"RPO + grace are {format_exactly(row['threshold'])}"
        typical = row["needed"] - row["max_gap"]
        run = f" + {_format_span(typical)} for a run" if typical else ""
        if not row["feasible"]:
            gap = f"up to {format_exactly(row['max_gap'])} between runs{run}"
            total = f" = {_format_span(row['needed'])}" if run else ""
            room = row["threshold"] - typical
            change = (
                f"Let it run at least every {format_exactly(room.floor('min'))}"
                if room >= _MINUTE
                else f"Find out why a run takes {_format_span(typical)}"
            )
            yield Finding(
                row["appliance"],
                "rpo-infeasible",
                "error",
                f"{gap}{total}, but {limit}",
                f"{change}, or change the policy.",
            )
        elif row["needed_at_change"] > row["threshold"]:
            grace = (row["needed_at_change"] - row["rpo"]).ceil("min")
            needed = _format_span(row["needed_at_change"])
            yield Finding(
                row["appliance"],
                "rpo-tight",
                "note",
                f"when the clocks go back it needs {needed}, but {limit}",
                f"Set the grace to {format_exactly(grace)} or more.",
            )


def _find_assumed_zones(rows: pd.DataFrame) -> Findings:
    """Yield the appliances whose time zone is assumed."""
    guessed = rows["source"].str.contains("^assumed|is no zone")
    for row in rows[guessed].drop_duplicates("appliance").to_dict("records"):
        yield Finding(
            row["appliance"],
            "zone-assumed",
            "note",
            f"its schedule is read in {row['zone']} ({row['source']})",
            'Write its zone into fleet.toml, such as timezone = "Europe/Berlin".'
            if row["source"].startswith("assumed")
            else "Set its time zone in its management interface (port 5480, Time).",
        )


def _find_simultaneous_starts(rows: pd.DataFrame, at: pd.Timestamp) -> Findings:
    """Yield the targets on which many appliances start in the same minute."""
    targets = rows["location"].map(target_of, na_action="ignore").astype("str")
    slots = list_schedule_slots(rows, rows["zone"], start=at, end=at + _WEEK)
    starts = pd.DataFrame(
        {
            "target": targets.iloc[slots["row"]].to_numpy(),
            "slot": slots["slot"],
            "appliance": rows["appliance"].iloc[slots["row"]].to_numpy(),
        }
    )
    together = starts.groupby(["target", "slot"])["appliance"].nunique()
    crowded = together[together >= MIN_SIMULTANEOUS_STARTS].rename("number").reset_index()
    largest_first = crowded.sort_values(["number", "slot"], ascending=[False, True], kind="stable")
    for row in largest_first.drop_duplicates("target").to_dict("records"):
        number = row["number"]
        over = (
            f"an hour, one every {_HOUR_MINUTES // number} min"
            if number <= _HOUR_MINUTES
            else f"{-(-number // _HOUR_MINUTES)} h, one a minute"
        )
        yield Finding(
            None,
            "crowded-start",
            "warning",
            f"{number} appliances start in the same minute on {row['target']}, next on"
            f" {row['slot']:%Y-%m-%d %H:%M} UTC",
            f"Spread their starts over {over}.",
        )


def _find_clock_skews(skew: pd.Series) -> Findings:
    """Yield the appliances with a large clock skew."""
    for name, off in skew[skew.abs() > TOLERATED_SKEW].items():
        side = "ahead of" if off > pd.Timedelta(0) else "behind"
        yield Finding(
            str(name),
            "clock-off",
            "warning",
            f"its clock is {_format_span(abs(off))} {side} ours",
            "Compare the time and the NTP servers of the appliance and of the collecting machine.",
        )


def _find_local_runs(runs: pd.Series) -> Findings:
    """Yield the appliances with backups on the appliance itself."""
    for name, number in runs.items():
        what = "1 backup is" if number == 1 else f"{number:,.0f} backups are"
        yield Finding(
            str(name),
            "local-backup",
            "warning",
            f"{what} on the appliance itself: no recovery point",
            "Save to another host, or allow it with count_local = true in the policy.",
        )


def _find_duplicates(pairs: pd.DataFrame, scope: set[str]) -> Findings:
    """Yield the appliances that list each other's jobs."""
    in_scope = pairs[pairs["appliance"].isin(scope) & pairs["duplicate"].isin(scope)]
    for row in in_scope.to_dict("records"):
        yield Finding(
            row["appliance"],
            "same-appliance",
            "warning",
            f"{row['jobs']} of its jobs, with the same ids and times, are those of"
            f" {row['duplicate']} too",
            f"If both names are one appliance, take {row['duplicate']} out of fleet.toml: it counts"
            " twice.",
        )


def _format_span(span: pd.Timedelta) -> str:
    """Format a duration, rounded up to a second."""
    return format_exactly(span.ceil("s"))
