"""Exposure, current failures and severity order of the appliances at the period's end."""

import pandas as pd

from backupkit import analysis
from backupkit.tables import STATES_BY_SEVERITY

__all__ = [
    "by_severity",
    "current_failures",
    "exposure_at_end",
    "schedule_unknown",
    "without_schedule_api",
]


def exposure_at_end(
    jobs: pd.DataFrame, recovery_points: pd.DataFrame, coverage: pd.DataFrame, end: pd.Timestamp
) -> pd.DataFrame:
    """Return the exposure of each appliance at the end, and its newest success."""
    _, done = analysis.job_times(jobs)
    finished = pd.Series(done, index=jobs.index).dt.tz_localize("UTC")
    successful = ((jobs["outcome"] == "success") & (finished <= end)).to_numpy()
    ended = jobs.loc[successful, ["appliance", "start_time"]].assign(done=finished[successful])
    newest = ended.groupby("appliance").max().reindex(coverage.index)
    exposure = analysis.exposure_at(recovery_points, at=end, appliances=coverage.index)
    lower_bound = (end - coverage["known_since"]).where(newest["done"].isna())
    return pd.DataFrame(
        {
            "exposure": exposure,
            "exposure_at_least": lower_bound.where(coverage["known_since"] <= end),
            "last_success": newest["start_time"],
            "last_success_end": newest["done"],
        }
    )


def current_failures(
    jobs: pd.DataFrame, text: pd.Series, last_success: pd.Series, end: pd.Timestamp
) -> pd.DataFrame:
    """Return the newest failure's text and the first failure's end of each failing appliance."""
    _, done = analysis.job_times(jobs)
    failed = jobs["outcome"].eq("failure").to_numpy()
    failures = jobs.loc[failed, ["appliance"]]
    failures = failures.assign(
        text=text[failed],
        done=pd.Series(done[failed], index=failures.index).dt.tz_localize("UTC"),
        success=last_success.reindex(failures["appliance"]).set_axis(failures.index),
    )
    after = failures["success"].isna() | (failures["done"] > failures["success"])
    rows = failures[after & (failures["done"] <= end)].sort_values("done", kind="stable")
    newest = rows.drop_duplicates("appliance", keep="last").set_index("appliance")["text"]
    return pd.DataFrame({"text": newest, "since": rows.groupby("appliance")["done"].min()})


def by_severity(facts: pd.DataFrame) -> pd.Series:
    """Return the row positions by severity, the worst first."""
    rank = facts["state"].map({state: rank for rank, state in enumerate(STATES_BY_SEVERITY)})
    age = facts["exposure"].fillna(facts["exposure_at_least"]).fillna(pd.Timedelta(0))
    order = pd.DataFrame({"rank": rank, "age": -age}).reset_index()
    return order.sort_values(["rank", "age", "appliance"], kind="stable").index.to_series()


def without_schedule_api(poll_summary: pd.DataFrame) -> pd.Index:
    """Return the appliances whose API has no schedules (6.5)."""
    return poll_summary.index[poll_summary["details"].eq(other=False).fillna(value=False)]


def schedule_unknown(poll_summary: pd.DataFrame) -> pd.Index:
    """Return the appliances without a known schedule: no API for it (6.5), or never read."""
    return without_schedule_api(poll_summary).union(
        poll_summary.index[poll_summary["last_ok"].isna()]
    )
