"""What earlier rounds found out of each appliance, so that the next asks only for what is new."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from backupkit.tables.jobs import LISTED, has_ended

__all__ = ["Remembered", "remembered_from"]


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of one appliance before it is asked.

    Attributes
    ----------
    listed : frozenset of str
        The ids that were on its job list.
    finished : frozenset of str
        Those of them that have ended, and need not be asked for again.
    api : str or None
        Which flavour answered last; None if that is to be found out, as after an upgrade.
    details : bool or None
        Whether it has job details and schedules.
    version, timezone : str or None
        As last told.
    """

    listed: frozenset[str] = frozenset()
    finished: frozenset[str] = frozenset()
    api: str | None = None
    details: bool | None = None
    version: str | None = None
    timezone: str | None = None


def remembered_from(observations: pd.DataFrame, polls: pd.DataFrame) -> dict[str, Remembered]:
    """Sum up what earlier rounds found out, by appliance.

    Parameters
    ----------
    observations : DataFrame
        Reads appliance, job_id, observed_at, status and source of
        `backupkit.tables.OBSERVATIONS`, in any order.
    polls : DataFrame
        Of `backupkit.tables.POLLS`, in any order.

    Returns
    -------
    dict of str to Remembered
        For each appliance that was read, or of which a job is known.

    Notes
    -----
    An appliance whose version changed between its last two good polls was upgraded: which flavour
    it speaks is found out anew.
    """
    gone = observations["source"] == LISTED
    known = observations
    if gone.any():
        keys = ["appliance", "job_id"]
        vanishing = pd.MultiIndex.from_frame(observations.loc[gone, keys]).unique()
        affected = pd.MultiIndex.from_frame(observations[keys]).isin(vanishing)
        newest = (
            observations[affected]
            .sort_values("observed_at", kind="stable")
            .drop_duplicates(keys, keep="last")
        )
        back = newest[newest["source"] != LISTED]
        returned = pd.MultiIndex.from_frame(observations[keys]).isin(
            pd.MultiIndex.from_frame(back[keys])
        )
        known = observations[~affected | returned]
        known = known[known["source"] != LISTED]
    listed = _ids_by_appliance(known)
    finished = _ids_by_appliance(known[has_ended(known["status"])])
    facts = _facts(polls)
    return {
        name: Remembered(
            listed.get(name, frozenset()), finished.get(name, frozenset()), **facts.get(name, {})
        )
        for name in {*listed, *facts}
    }


def _ids_by_appliance(known: pd.DataFrame) -> dict[str, frozenset[str]]:
    codes, names = pd.factorize(known["appliance"])
    order = np.argsort(codes, kind="stable")
    ids = known["job_id"].array.take(order).to_numpy(dtype=object).tolist()
    ends = np.cumsum(np.bincount(codes, minlength=len(names))).tolist()
    return {
        str(name): frozenset(ids[start:end])
        for name, start, end in zip(names, [0, *ends], ends, strict=False)
    }


def _facts(polls: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Give what the newest good poll of each appliance says."""
    good = polls[polls["ok"].fillna(value=False).astype("bool")]
    ordered = good.sort_values("polled_at", kind="stable")
    before = ordered.groupby("appliance")["version"].shift()
    upgraded = before.notna() & ordered["version"].notna() & (before != ordered["version"])
    newest = (
        ordered.assign(api=ordered["api"].mask(upgraded))
        .drop_duplicates("appliance", keep="last")
        .set_index("appliance")[["api", "details", "version", "timezone"]]
        .astype(object)
    )
    plain = newest.where(newest.notna(), None)
    return dict(zip(map(str, plain.index), plain.to_dict("records"), strict=True))  # type: ignore[arg-type] # keys are the columns
