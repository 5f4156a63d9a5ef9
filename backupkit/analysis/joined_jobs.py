"""Jobs with what is known of their appliances, targets and slots."""

import numpy as np
import pandas as pd
import pyarrow as pa

from backupkit.analysis.arrays import (
    NAT,
    Codes,
    Times,
    from_codes,
    to_codes,
    to_times,
    to_utc_column,
)
from backupkit.analysis.target_load import encode_targets
from backupkit.tables import JOINED_JOBS
from backupkit.tables.messages import join_messages

__all__ = ["join_jobs"]


def join_jobs(jobs: pd.DataFrame, slots: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
    """Join the jobs of an assessment with their appliances, targets and slots.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.ASSESSED_JOBS`.
    slots : DataFrame
        Of `backupkit.tables.SLOTS`.
    members : DataFrame
        Site, group and version of each appliance.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.JOINED_JOBS`, in the order of `jobs`. Every value is hashable, so that
        rows can be compared, grouped and deduplicated.

    Examples
    --------
    >>> from backupkit.tables import ASSESSED_JOBS, SLOTS
    >>> row = {"appliance": ["vc-1"], "job_id": ["7"]}
    >>> night = pd.to_datetime(["2026-11-09T01:00Z"])
    >>> members = pd.DataFrame({"site": ["Ham"], "group": [None], "version": ["8.0"]}, ["vc-1"])
    >>> jobs = ASSESSED_JOBS.frame({**row, "location": ["sftp://nas/vc-1"]})
    >>> joined = join_jobs(jobs, SLOTS.frame({**row, "slot": night}), members.astype("str"))
    >>> joined[["site", "target", "slot"]].astype("str").to_numpy().tolist()
    [['Ham', 'sftp://nas', '2026-11-09 01:00:00+00:00']]
    """
    codes = to_codes(jobs["appliance"], members.index)
    facts = {
        name: from_codes(codes, pd.Index(members[name])) for name in ("site", "group", "version")
    }
    messages = pa.chunked_array(pa.array(jobs["messages"].array)).combine_chunks()
    return JOINED_JOBS.conform(
        jobs.reset_index(drop=True).assign(
            **facts,
            target=from_codes(*encode_targets(jobs["location"])),
            slot=to_utc_column(_find_slots(jobs, codes, slots, members.index)),
            messages=pd.Series(join_messages(messages), dtype="str"),
        )
    )


def _find_slots(
    jobs: pd.DataFrame, codes: Codes, slots: pd.DataFrame, appliances: pd.Index
) -> Times:
    """Return the slot that each job decided, NaT if none."""
    decided = slots[slots["job_id"].notna()]
    ids = pd.concat([decided["job_id"], jobs["job_id"]], ignore_index=True)
    owners = np.concatenate([to_codes(decided["appliance"], appliances), codes])
    # one integer for appliance and id; -1 stands for a missing id
    keys = (pd.factorize(ids)[0] + 1) * (len(appliances) + 1) + owners + 1
    number = len(decided)
    found = pd.Index(keys[:number]).get_indexer(keys[number:])
    times: Times = np.append(to_times(decided["slot"]), NAT)[found]
    return times
