"""What a history holds, in a few figures."""

from collections.abc import Iterable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from backupkit.history.mark import Mark

__all__ = ["facts_of"]

_JOB: Final = ["appliance", "job_id"]


def facts_of(
    told: Iterable[pa.Table], polls: pa.Table, *, size: int | None, mark: Mark
) -> dict[str, str]:
    """Count what is kept.

    Parameters
    ----------
    told : iterable of pyarrow.Table
        Of the observations appliance, job_id and observed_at; those of a job are in one of them.
    polls : pyarrow.Table
        Of the polls appliance, polled_at and ok.
    size : int or None
        Of the files [bytes]; None where that is not known.
    mark : Mark
        The history's mark.

    Returns
    -------
    dict of str to str
        As `backupkit.History.facts` gives it.
    """
    facts = {} if size is None else {"Size": f"{size / 2**20:,.1f} MiB"}
    facts |= {f"Removed {one.at[:10]}": f"{one.rows:,} rows: {one.what}" for one in mark.removed}
    if not polls.num_rows:
        return {"Kept": "nothing yet", **facts}
    last = pc.max(polls["polled_at"]).as_py()
    failed = pc.sum(pc.equal(polls["ok"], False)).as_py() or 0  # it is a value
    jobs, observations, first = 0, 0, None
    for rows in told:
        jobs, observations = jobs + _number_of_jobs(rows), observations + rows.num_rows
        earliest = pc.min(rows["observed_at"]).as_py()
        first = min(filter(None, (first, earliest)), default=None)
    return {
        "Appliances": f"{len(pc.unique(polls['appliance'])):,}",
        "Jobs": f"{jobs:,}",
        "Observations": f"{observations:,}",
        "First observation": "none" if first is None else f"{first:%Y-%m-%d %H:%M} UTC",
        "Last visit": "none" if last is None else f"{last:%Y-%m-%d %H:%M} UTC",
        "Visits": f"{polls.num_rows - polls['ok'].null_count:,}, of which {failed:,} failed",
        **facts,
    }


def _number_of_jobs(told: pa.Table) -> int:
    # as plain text: Arrow groups no dictionaries that differ from file to file
    keys = pa.table([told[name].cast(pa.string()) for name in _JOB], names=_JOB)
    return int(keys.group_by(_JOB).aggregate([]).num_rows)
