"""Appliances of the report that need attention: in breach, soon in breach, or at risk."""

from collections.abc import Mapping
from typing import Final

import pandas as pd

from backupkit.assessment import Assessment, explain_coming_breach
from backupkit.assessment.result import exposure
from backupkit.display import Badge, Rows, state_badge
from backupkit.display.format import format_count, format_duration, sanitise
from backupkit.reports import advice
from backupkit.reports.appliances import build_since
from backupkit.reports.facts import ActionItem, Link
from backupkit.reports.period import is_over
from backupkit.reports.rows import Row, iterate_rows

__all__ = ["describe_coming_breaches", "list_action_items"]

_MAX_ACTION_ITEMS: Final = 25
_MAX_NAMES: Final = 5


def describe_coming_breaches(coming: pd.Series, end: pd.Timestamp) -> str:
    """Describe the breaches that no scheduled run can prevent; "" for none."""
    if coming.empty:
        return ""
    named = [
        f"{sanitise(name, limit=80)} in {format_duration(begins - end)}"
        for name, begins in coming.head(_MAX_NAMES).items()
    ]
    more = f" and {len(coming) - _MAX_NAMES:,} more" if len(coming) > _MAX_NAMES else ""
    return (
        f"{format_count(len(coming), 'compliant appliance')} will be in breach within a day unless"
        f" a backup is started by hand: {', '.join(named)}{more}"
    )


def list_action_items(
    assessment: Assessment, links: Mapping[str, Link], coming: pd.Series
) -> Rows[ActionItem]:
    """Return the appliances in breach, those that soon will be, and those at risk."""
    rows = assessment.appliances
    in_breach = rows[rows["state"] == "breach"]
    at_risk = assessment.at_risk.difference(coming.index, sort=False)
    selected = pd.concat([in_breach, rows.loc[coming.index], rows.loc[at_risk]])
    listed = selected.head(_MAX_ACTION_ITEMS)
    next_steps = _list_next_steps(assessment, listed, links)
    items = (
        ActionItem(
            appliance=links[str(name)],
            state=_choose_badge(str(name), row, coming),
            breach_since=build_since(row),
            exposure=exposure(row),
            last_success=row["last_success"],
            strikes=0 if pd.isna(row["strikes"]) else int(row["strikes"]),
            reason=_explain_item(str(name), row, coming, assessment.end),
            advice=next_steps[str(name)],
        )
        for name, row in iterate_rows(listed)
    )
    return Rows(items, len(selected))


def _choose_badge(name: str, row: Row, coming: pd.Series) -> Badge:
    if row["state"] == "breach":
        return state_badge("breach")
    return Badge("late", "◐ Breach soon" if name in coming.index else "◐ At risk")


def _explain_item(name: str, row: Row, coming: pd.Series, end: pd.Timestamp) -> str:
    """Return why an appliance needs attention: a breach to come first, then its own reason."""
    reason = sanitise(row["reason"], limit=600)
    if name not in coming.index:
        return reason or "no reason known"
    text = explain_coming_breach(coming[name], end)
    return f"{text}; {reason}" if reason else text


def _list_next_steps(
    assessment: Assessment, listed: pd.DataFrame, links: Mapping[str, Link]
) -> dict[str, str]:
    """Return the cause and the next step of each appliance in words, in full only once."""
    if is_over(assessment):
        return dict.fromkeys(listed.index.astype("str"), "")
    is_listed = assessment.assessed_jobs["appliance"].isin(listed.index)
    found = advice.find_next_steps(
        assessment.assessed_jobs[is_listed], assessment.failures, assessment.end
    )
    schedules = assessment.schedules[assessment.schedules["appliance"].isin(listed.index)]
    first_names: dict[str, str] = {}
    steps = {}
    for label, row in iterate_rows(listed):
        name = str(label)
        cause, step = (sanitise(text, limit=400) for text in found.get(name, ("", "")))
        advised = advice.advise_breach(
            row, schedules[schedules["appliance"] == name], f"{cause} {step}".strip()
        )
        is_about_cause = bool(cause) and advised.startswith(cause)
        steps[name] = advice.shorten_repeated(
            advised, cause if is_about_cause else "", links[name].name, first_names
        )
    return steps
