"""How each appliance stands at the period's end, and in what order a person should read them."""

from typing import Final

import pandas as pd

from backupkit import analysis

__all__ = ["exposures", "failing", "worst_first"]

_WORST_FIRST: Final = ("breach", "unknown", "unobserved", "compliant", "excluded")


def exposures(
    jobs: pd.DataFrame, rules: pd.DataFrame, known: pd.DataFrame, end: pd.Timestamp
) -> pd.DataFrame:
    """Give what each appliance would lose at the end, and its newest success."""
    _, done = analysis.job_times(jobs)
    finished = pd.Series(done, index=jobs.index).dt.tz_localize("UTC")
    good = jobs.assign(done=finished)[(jobs["outcome"] == "success") & (finished <= end)]
    newest = good.groupby("appliance")[["start_time", "done"]].max().reindex(rules.index)
    exposure = analysis.exposure(jobs, at=end, anchor=rules["anchor"]).reindex(rules.index)
    lower_bound = (end - known["known_since"]).where(newest["done"].isna())
    return pd.DataFrame(
        {
            "exposure": exposure,
            "exposure_at_least": lower_bound.where(known["known_since"] <= end),
            "last_success": newest["start_time"],
            "last_success_end": newest["done"],
        }
    )


def failing(
    jobs: pd.DataFrame, text: pd.Series, last_success: pd.Series, end: pd.Timestamp
) -> pd.DataFrame:
    """Give for each appliance that fails now its newest failure's text and since when it fails."""
    _, done = analysis.job_times(jobs)
    failures = jobs[["appliance"]].assign(
        text=text,
        done=pd.Series(done, index=jobs.index).dt.tz_localize("UTC"),
        success=last_success.reindex(jobs["appliance"]).set_axis(jobs.index),
    )[jobs["outcome"] == "failure"]
    after = failures["success"].isna() | (failures["done"] > failures["success"])
    row = failures[after & (failures["done"] <= end)].sort_values("done", kind="stable")
    newest = row.drop_duplicates("appliance", keep="last").set_index("appliance")["text"]
    return pd.DataFrame({"text": newest, "since": row.groupby("appliance")["done"].min()})


def worst_first(facts: pd.DataFrame) -> pd.Series:
    """Give the positions in the order in which a person should read them."""
    rank = facts["state"].map({state: rank for rank, state in enumerate(_WORST_FIRST)})
    age = facts["exposure"].fillna(facts["exposure_at_least"]).fillna(pd.Timedelta(0))
    order = pd.DataFrame({"rank": rank, "age": -age}).reset_index()
    return order.sort_values(["rank", "age", "appliance"], kind="stable").index.to_series()
