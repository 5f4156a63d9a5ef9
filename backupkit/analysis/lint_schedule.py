"""Checks of one schedule: target, parts, retention and start."""

from collections.abc import Collection, Hashable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from pandas.api.typing import NAType

from backupkit.analysis.feasibility import find_dst_transitions
from backupkit.analysis.target_load import target_of
from backupkit.errors import one_line
from backupkit.tables import WEEKDAYS, is_local

__all__ = ["VAMI", "Finding", "Findings", "check_schedules"]

VAMI: Final = "its management interface (port 5480, Backup)"
"""Where to change an appliance's schedule."""

_MAX_NAME_LENGTH: Final = 60  # characters of a schedule's name
_UNENCRYPTED_SCHEMES: Final = ("ftp://", "http://")
_HOUR_MINUTES: Final = 60
_DAY_MINUTES: Final = 24 * _HOUR_MINUTES  # minutes

_Row = dict[Hashable, Any]


class Finding(NamedTuple):
    """One row of `backupkit.tables.LINT`; a finding about a backup target has no appliance."""

    appliance: str | None
    rule: str
    severity: str
    finding: str
    advice: str


Findings = Iterator[Finding]
"""The findings of a check."""


def check_schedules(
    rows: pd.DataFrame,
    week: pd.DataFrame,
    resolved_policy: pd.DataFrame,
    *,
    at: pd.Timestamp,
    schedule_unknown: Collection[str],
) -> Findings:
    """Check each schedule by itself, in order.

    `week` is the result of `list_weekly_minutes` for `rows`. `resolved_policy` covers the fleet,
    because a target may be another appliance. The schedule of an appliance in `schedule_unknown`
    is the policy's, which has no retention.
    """
    hosts: dict[str, str] = {}
    for name, host in resolved_policy["host"].dropna().items():
        hosts.setdefault(_get_host(target_of(f"https://{host}")), str(name))
    parameters = resolved_policy[["retention", "parts", "host", "count_local"]].to_dict("index")
    minutes = week.groupby("row")["minute"].agg(list).reindex(range(len(rows)))
    columns = ["appliance", "schedule", "max_count", "location", "parts", "days", "zone"]
    kept = rows["max_count"].mask(rows["max_count"] < 1)  # 0 keeps all
    plans = rows[columns].assign(max_count=kept).to_dict("records")
    for row, starts in zip(plans, minutes, strict=True):
        policy = parameters[row["appliance"]]
        local = list(_check_local(row, policy))
        yield from local or _check_target(row, hosts)
        yield from _check_parts(row, policy["parts"])
        yield from _check_days(row)
        if row["appliance"] not in schedule_unknown:
            yield from _check_retention(row, policy["retention"])
        if isinstance(starts, list):
            yield from _check_dst_starts(row, starts, at)


def _check_local(row: _Row, policy: _Row) -> Findings:
    """Check whether the backups go to the appliance itself, and that does not count."""
    location, host = row["location"], policy["host"]
    if policy["count_local"] or not isinstance(location, str):
        return
    if is_local(location, host if isinstance(host, str) else None):
        yield Finding(
            row["appliance"],
            "local-backup",
            "error",
            f"{_get_label(row)} saves on the appliance itself: its backups are no recovery points",
            f"Set a location on another host in {VAMI}, or allow it with count_local = true.",
        )


def _check_target(row: _Row, hosts: dict[str, str]) -> Findings:
    """Check where the backups go."""
    location = row["location"]
    target = target_of(location) if isinstance(location, str) else None
    if target is None:
        return
    if owner := hosts.get(_get_host(target)):
        yield Finding(
            row["appliance"],
            "target-on-fleet",
            "error",
            f"{_get_label(row)} writes to {target}, and that is {owner} of this fleet",
            "Write to a host that does not need an appliance of the fleet to be restored.",
        )
    if target.startswith(_UNENCRYPTED_SCHEMES):
        yield Finding(
            row["appliance"],
            "plain-transport",
            "warning",
            f"{_get_label(row)} writes to {target}: user and password cross the network readable",
            "Use SFTP, SCP, FTPS or HTTPS.",
        )


def _check_parts(row: _Row, wanted: object) -> Findings:
    """Check which optional parts are saved; common is saved in any case, listed or not."""
    listed = row["parts"]
    if not isinstance(listed, (list, np.ndarray)):
        return
    saved = {str(part).lower() for part in listed}
    required = [str(part) for part in wanted] if isinstance(wanted, (tuple, list)) else None
    missing = [part for part in required or () if part.lower() not in saved]
    if others := ", ".join(part for part in missing if part.lower() != "common"):
        yield Finding(
            row["appliance"],
            "parts-left-out",
            "warning",
            f"{_get_label(row)} leaves out {others}, which the policy wants saved",
            f"Add {others} in {VAMI}.",
        )
    if required is None and "seat" not in saved:
        yield Finding(
            row["appliance"],
            "parts-left-out",
            "note",
            f"{_get_label(row)} leaves out seat: statistics, events and tasks are not saved",
            f"Add the part seat in {VAMI}, or list the parts you want in the policy.",
        )


def _check_days(row: _Row) -> Findings:
    """Check for words that are no days."""
    listed = row["days"] if isinstance(row["days"], (list, np.ndarray)) else []
    if odd := [one_line(str(day), limit=20) for day in listed if str(day).upper() not in WEEKDAYS]:
        yield Finding(
            row["appliance"],
            "days-unknown",
            "note",
            f"{_get_label(row)} names days that are not known: {', '.join(odd[:7])}",
            f"Check its days in {VAMI}; no run is expected on a day that is not known.",
        )


def _check_retention(row: _Row, wanted: int | NAType) -> Findings:
    """Check how many backups are kept."""
    kept = row["max_count"]
    if pd.isna(kept):
        least = "" if pd.isna(wanted) else f", {wanted} or more,"
        yield Finding(
            row["appliance"],
            "no-retention",
            "note",
            f"{_get_label(row)} keeps all backups: nothing on the target is ever deleted",
            f"Set a number of backups to keep{least} in {VAMI}, or watch the target's space.",
        )
    elif pd.notna(wanted) and kept < wanted:
        yield Finding(
            row["appliance"],
            "retention-short",
            "warning",
            f"{_get_label(row)} keeps {kept} backups, the policy wants {wanted}",
            f"Let it keep {wanted} or more in {VAMI}.",
        )


def _check_dst_starts(row: _Row, starts: list[int], at: pd.Timestamp) -> Findings:
    """Check for starts in the hour that a clock change skips or repeats."""
    phrases, hours, times = [], [], set()
    for change in find_dst_transitions(row["zone"], at.to_pydatetime()):
        if affected := {start % _DAY_MINUTES for start in starts if change.contains(start)}:
            phrases.append(f"{'has twice' if change.back else 'skips'} on {change.begin:%Y-%m-%d}")
            hours.append(f"{change.begin:%H:%M} to {change.end:%H:%M}")
            times |= affected
    if phrases:
        clock = ", ".join(
            f"{time // _HOUR_MINUTES:02}:{time % _HOUR_MINUTES:02}" for time in sorted(times)
        )
        yield Finding(
            row["appliance"],
            "dst-hour",
            "note",
            f"{_get_label(row)} starts at {clock}, "
            f"a time that {row['zone']} {' and '.join(phrases)}",
            f"Start it outside {' and '.join(dict.fromkeys(hours))}.",
        )


def _get_label(row: _Row) -> str:
    """Return the schedule's name in printable characters, if it has one."""
    name = row["schedule"] if isinstance(row["schedule"], str) else ""
    printable = "".join(letter for letter in name[:_MAX_NAME_LENGTH] if letter.isprintable())
    return f'schedule "{printable}"' if printable else "its schedule"


def _get_host(target: str | None) -> str:
    """Return the host of a target, the result of `target_of`."""
    return (urlsplit(target or "").hostname or "").rstrip(".")
