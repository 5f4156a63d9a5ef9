"""What earlier rounds found out of each appliance, so that the next asks only for what is new."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backupkit.tables.jobs import ENDED, LISTED

__all__ = ["MEMORY", "Remembered", "remembered_from"]


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


MEMORY: Final = ("appliance", "job_id", "observed_at", "status", "source")
"""The columns of observations that are enough to remember."""


def remembered_from(observations: pa.Table, polls: pd.DataFrame) -> dict[str, Remembered]:
    """Sum up what earlier rounds found out, by appliance.

    Parameters
    ----------
    observations : pyarrow.Table
        The columns `MEMORY` of `backupkit.tables.OBSERVATIONS`, in any order. Text may be
        dictionary encoded: with millions of jobs that is most of the time saved.
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
    known = _without_vanished(observations)
    ended = pc.is_in(known["status"], value_set=pa.array(sorted(ENDED)))
    listed = _ids_by_appliance(known)
    finished = listed if pc.all(ended).as_py() else _ids_by_appliance(known.filter(ended))
    facts = _facts(polls)
    return {
        name: Remembered(
            listed.get(name, frozenset()), finished.get(name, frozenset()), **facts.get(name, {})
        )
        for name in {*listed, *facts}
    }


def _without_vanished(observations: pa.Table) -> pa.Table:
    """Leave out the jobs that were last told to be listed no more."""
    gone = pc.equal(observations["source"], LISTED)
    if not pc.any(gone).as_py():
        return observations
    keys = ["appliance", "job_id"]
    told = observations.select([*keys, "observed_at", "source"])  # Arrow joins no nulls of status
    frame = told.to_pandas().astype(dict.fromkeys((*keys, "source"), "str"))
    newest = frame.sort_values("observed_at", kind="stable").drop_duplicates(keys, keep="last")
    vanished = pd.MultiIndex.from_frame(newest.loc[newest["source"] == LISTED, keys])
    out = pd.MultiIndex.from_frame(frame[keys]).isin(vanished)
    return observations.filter(pa.array(~out & (frame["source"] != LISTED).to_numpy()))


def _ids_by_appliance(known: pa.Table) -> dict[str, frozenset[str]]:
    names = known["appliance"].unify_dictionaries().combine_chunks()
    if not pa.types.is_dictionary(names.type):
        names = names.dictionary_encode()
    codes = names.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    ids = known["job_id"].to_numpy()[order]  # twice as fast as a list
    ends = np.cumsum(np.bincount(codes, minlength=len(names.dictionary))).tolist()
    return {
        name: frozenset(ids[start:end].tolist())
        for name, start, end in zip(names.dictionary.to_pylist(), [0, *ends], ends, strict=False)
        if end > start
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
