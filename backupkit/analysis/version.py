"""A name for what a judgement rests on."""

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import times_of

__all__ = ["data_version"]


def data_version(polls: pd.DataFrame) -> str:
    """Name the visits that some knowledge comes from: what they did not bring is not known.

    Parameters
    ----------
    polls : DataFrame
        Reads ``appliance`` and ``polled_at`` of `backupkit.tables.POLLS`, in any order.

    Returns
    -------
    str
        The number of visits and a digest of which they were. It stays the same however the tables
        are stored, and while later visits are added: those are not known yet at an earlier moment.

    Examples
    --------
    >>> from backupkit.tables import POLLS
    >>> polls = POLLS.frame({"appliance": ["a"], "polled_at": ["2026-11-02T01:00Z"]})
    >>> data_version(polls)
    '1-...'
    >>> data_version(POLLS.empty())
    '0-0000000000000000'
    """
    names = pd.util.hash_array(polls["appliance"].to_numpy(dtype=object))
    moments = pd.util.hash_array(times_of(polls["polled_at"]).astype(np.int64))
    # a sum knows no order; the product ties each name to its moment
    digest = int(np.sum((2 * names + np.uint64(1)) * (2 * moments + np.uint64(1)), dtype=np.uint64))
    return f"{len(polls)}-{digest if len(polls) else 0:016x}"
