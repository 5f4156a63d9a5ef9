"""Fingerprint of the data of an assessment."""

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import times_of

__all__ = ["data_fingerprint"]


def data_fingerprint(polls: pd.DataFrame) -> str:
    """Return a fingerprint of the polls that the data comes from.

    Parameters
    ----------
    polls : DataFrame
        Reads ``appliance`` and ``polled_at`` of `backupkit.tables.POLLS`, in any order.

    Returns
    -------
    str
        The number of polls and a digest of their names and times, which does not depend on their
        order. For an earlier moment, pass only the polls up to it.

    Examples
    --------
    >>> from backupkit.tables import POLLS
    >>> polls = POLLS.frame({"appliance": ["a"], "polled_at": ["2026-11-02T01:00Z"]})
    >>> data_fingerprint(polls)
    '1-...'
    >>> data_fingerprint(POLLS.empty())
    '0-0000000000000000'
    """
    names = pd.util.hash_array(polls["appliance"].to_numpy(dtype=object))
    moments = pd.util.hash_array(times_of(polls["polled_at"]).astype(np.int64))
    # the sum does not depend on the order; the product joins each name and its time
    digest = int(np.sum((2 * names + np.uint64(1)) * (2 * moments + np.uint64(1)), dtype=np.uint64))
    return f"{len(polls)}-{digest if len(polls) else 0:016x}"
