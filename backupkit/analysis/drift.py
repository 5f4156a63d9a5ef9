"""Changes of schedules over time, as texts."""

from collections.abc import Hashable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from backupkit.analysis.target_load import target_of
from backupkit.errors import one_line

__all__ = ["describe_schedule_change", "schedule_drift"]

_Plan = Mapping[Hashable, Any]

_DRIFT_FIELDS: Final = ("schedule", "start", "days", "timezone", "location", "backups kept")
_UNREAD: Final = "not known"


def schedule_drift(
    schedules: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """Return how each schedule was last changed in a period.

    Parameters
    ----------
    schedules : DataFrame
        Of `backupkit.tables.SCHEDULES`, in any order.
    start, end : Timestamp
        The period, half-open.

    Returns
    -------
    DataFrame
        appliance, schedule, change (a sentence: what, from and to) and since [UTC].
    """
    ordered = schedules[~(schedules["seen_at"] >= end)].sort_values(
        ["appliance", "schedule", "seen_at"], kind="stable", na_position="first"
    )
    key = ["appliance", "schedule"]
    ordered = ordered.drop_duplicates([*key, "seen_at"], keep="last")
    newest = ordered.drop_duplicates(key, keep="last")
    earlier = ordered.drop(newest.index).drop_duplicates(key, keep="last").set_index(key)
    rows = []
    for row in newest[newest["seen_at"] >= start].to_dict("records"):
        place = (row["appliance"], row["schedule"])
        if place in earlier.index:
            rows.append((*place, describe_schedule_change(earlier.loc[place], row), row["seen_at"]))
    columns = ["appliance", "schedule", "change", "since"]
    found = pd.DataFrame(rows, columns=columns).astype({"change": "str"})
    return found[found["change"] != ""].reset_index(drop=True)


def describe_schedule_change(before: _Plan, after: _Plan) -> str:
    """Describe what changed between two rows of a schedule; "" if nothing that is read did."""
    texts = [_describe_plan(plan) for plan in (before, after)]
    return ", ".join(
        f"{name} {texts[0][name]} -> {texts[1][name]}"
        for name in _DRIFT_FIELDS
        if texts[0][name] != texts[1][name] and _UNREAD not in (texts[0][name], texts[1][name])
    )


def _describe_plan(plan: _Plan) -> dict[str, str]:
    """Return the values of a schedule as texts."""
    texts = dict.fromkeys(_DRIFT_FIELDS, _UNREAD)
    if isinstance(plan["removed"], (bool, np.bool_)) and plan["removed"]:
        return texts | {"schedule": "removed"}
    if not pd.isna(plan["enabled"]):
        texts["schedule"] = "on" if plan["enabled"] else "off"
    if not (pd.isna(plan["hour"]) or pd.isna(plan["minute"])):
        texts["start"] = f"{plan['hour']:02}:{plan['minute']:02}"
    if isinstance(plan["read_error"], str):
        return texts
    days = plan["days"]
    texts["days"] = ", ".join(map(str, days)) if isinstance(days, (list, np.ndarray)) else "all"
    kept = plan["max_count"]
    texts["backups kept"] = "all" if pd.isna(kept) or kept < 1 else str(kept)
    for name in ("timezone", "location"):
        if isinstance(plan[name], str):
            texts[name] = plan[name]
    if isinstance(plan["location"], str):
        texts["location"] = target_of(plan["location"]) or _UNREAD
    return {name: one_line(text, limit=80) for name, text in texts.items()}
