"""Totals of the jobs of each appliance, stored in the table `appliances`."""

from collections.abc import Mapping

import pandas as pd

from backupkit.history.databases import Connection
from backupkit.history.schema import OUTCOME_IDS
from backupkit.tables.constants import LARGEST_SUM

__all__ = ["sums_of", "update_totals"]


def sums_of(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return the totals of the jobs of each appliance.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`.

    Returns
    -------
    DataFrame
        By appliance: jobs, jobs_listed, sized_jobs, sized_bytes (missing if it is more than any
        disk holds) and oldest_start.
    """
    size = jobs["size"].where(jobs["outcome"].eq("success") & jobs["size"].ge(0))
    listed = jobs["vanished_at"].isna()
    by = jobs.assign(size=size, listed=listed, about=size.astype("Float64")).groupby("appliance")
    total = by["size"].sum().mask(by["about"].sum() > LARGEST_SUM)
    return pd.DataFrame(
        {
            "jobs": by.size(),
            "jobs_listed": by["listed"].sum(),
            "sized_jobs": by["size"].count(),
            "sized_bytes": total,
            "oldest_start": by["start_time"].min(),
        }
    )


def update_totals(
    connection: Connection,
    before: pd.DataFrame,
    after: pd.DataFrame,
    appliances: Mapping[str, int],
) -> None:
    """Update the totals of appliances after a change of some of their jobs.

    Parameters
    ----------
    connection : Connection
        A transaction that writes.
    before, after : DataFrame
        Of `backupkit.tables.JOBS`: the same jobs before and after the change.
    appliances : mapping of str to int
        The id of each appliance.
    """
    observed = before[before["first_seen_at"].notna()]
    old, new = sums_of(observed), sums_of(after)
    _count_bytes(connection, old["sized_bytes"], new["sized_bytes"], appliances)
    old, new = (one.reindex(old.index.union(new.index)) for one in (old, new))
    numbers = ["jobs", "jobs_listed", "sized_jobs"]
    more = new[numbers].fillna(0).astype("int64") - old[numbers].fillna(0).astype("int64")
    marks = ", ".join(f"{name} = {name} + ?" for name in numbers)
    connection.execute_many(
        f"UPDATE appliances SET {marks} WHERE id = ?",
        [
            (*map(int, values), appliances[str(name)])
            for name, *values in more[more.ne(0).any(axis="columns")].itertuples()
        ],
    )
    first = new["oldest_start"].dropna()
    earlier = [
        (moment, appliances[str(name)], moment) for name, moment in first.astype("int64").items()
    ]
    connection.execute_many(
        "UPDATE appliances SET oldest_start = ? WHERE id = ? "
        "AND (oldest_start IS NULL OR oldest_start > ?)",
        earlier,
    )
    moved = old["oldest_start"].notna() & ~(new["oldest_start"] <= old["oldest_start"])
    connection.execute_many(
        "UPDATE appliances SET oldest_start = "
        "(SELECT MIN(start_time) FROM jobs WHERE appliance_id = ?) WHERE id = ?",
        [(appliances[str(name)],) * 2 for name in moved.index[moved]],
    )


def _count_bytes(
    connection: Connection, old: pd.Series, new: pd.Series, appliances: Mapping[str, int]
) -> None:
    """Update the sums of sizes; one that is too large is NULL."""
    names = {appliances[str(name)]: name for name in old.index.union(new.index)}
    numbers = ", ".join(map(str, names)) or "NULL"
    sums = []
    for number, known in connection.execute(
        f"SELECT id, sized_bytes FROM appliances WHERE id IN ({numbers})"
    ):
        before, after = (
            0 if name not in one.index else one[name]
            for one, name in ((old, names[number]), (new, names[number]))
        )
        total = None
        if known is None or pd.isna(before) or pd.isna(after):
            # a sum that was too large is not stored: add up all sizes
            sizes = connection.execute(
                "SELECT size FROM jobs WHERE appliance_id = ? AND outcome = ? AND size >= 0",
                [number, OUTCOME_IDS["success"]],
            )
            total = sum(size for (size,) in sizes)
        else:
            total = known + int(after) - int(before)
        sums.append((None if total > LARGEST_SUM else total, number))
    connection.execute_many("UPDATE appliances SET sized_bytes = ? WHERE id = ?", sums)
