"""Failures by signature and one more property."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import pandas as pd

from backupkit.errors import SettingsError
from backupkit.tables import FAILURE_PARTS

__all__ = ["PROPERTIES", "failure_parts"]

PROPERTIES: Final[Mapping[str, Callable[[pd.DataFrame, pd.DataFrame], pd.Series]]] = (
    MappingProxyType(
        {
            "appliance": lambda counts, _: counts["appliance"],
            "site": lambda counts, members: counts["appliance"].map(members["site"]),
            "group": lambda counts, members: counts["appliance"].map(members["group"]),
            "target": lambda counts, _: counts["target"],
            "build": lambda counts, _: counts["build"],
            "hour": lambda counts, _: counts["hour"].map("{:02}:00".format),
            "day": lambda counts, _: counts["day"].dt.strftime("%Y-%m-%d"),
        }
    )
)
"""The part of each row of the counts, by property."""


def failure_parts(counts: pd.DataFrame, members: pd.DataFrame, *, by: str) -> pd.DataFrame:
    """Add up failed jobs by signature and appliance, site, group, target, build, hour or day.

    Parameters
    ----------
    counts : DataFrame
        Of `backupkit.tables.FAILURE_COUNTS`.
    members : DataFrame
        Site and group of each appliance.
    by : str
        appliance, site, group, target, build, hour (UTC) or day (UTC).

    Returns
    -------
    DataFrame
        Of `backupkit.tables.FAILURE_PARTS`: the most frequent signature first, and in it the part
        with the most jobs. A part that is not known is missing.

    Raises
    ------
    SettingsError
        If `by` is none of these.
    """
    if by not in PROPERTIES:
        raise SettingsError(f'by: "{by}" must be one of {", ".join(PROPERTIES)}.')
    part = PROPERTIES[by](counts, members).astype("str")
    grouped = counts.assign(part=part).groupby(["signature", "part"], dropna=False)
    parts = grouped.agg(jobs=("jobs", "sum"), appliances=("appliance", "nunique")).reset_index()
    parts["total"] = parts.groupby("signature")["jobs"].transform("sum")
    ranked = parts.sort_values(
        ["total", "signature", "jobs", "part"], ascending=[False, True, False, True], kind="stable"
    )
    return FAILURE_PARTS.conform(ranked)
