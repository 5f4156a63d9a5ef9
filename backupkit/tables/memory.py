"""What earlier collections found out of each appliance, so that the next asks for news alone."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from backupkit.tables.jobs import has_ended
from backupkit.tables.newest import jobs_from

__all__ = ["Remembered", "poll_facts", "remembered_from"]


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of one appliance before it is asked.

    Attributes
    ----------
    listed : frozenset of str
        The ids that were on its job list.
    finished : frozenset of str
        Those of them that have ended, and need not be asked for again.
    jobs : int
        How many ids were on its job list, also where they are looked up only once it is asked.
    api : str or None
        Which flavour answered last; None if that is to be found out, as after an upgrade.
    details : bool or None
        Whether it has job details and schedules.
    version, timezone : str or None
        As last told.
    """

    listed: frozenset[str] = frozenset()
    finished: frozenset[str] = frozenset()
    jobs: int = 0
    api: str | None = None
    details: bool | None = None
    version: str | None = None
    timezone: str | None = None


def remembered_from(observations: pd.DataFrame, polls: pd.DataFrame) -> dict[str, Remembered]:
    """Sum up what earlier collections found out, by appliance.

    Parameters
    ----------
    observations : DataFrame
        Of `backupkit.tables.OBSERVATIONS`, in any order.
    polls : DataFrame
        Of `backupkit.tables.POLLS`, in any order.

    Returns
    -------
    dict of str to Remembered
        For each appliance that was read, or of which a job is known.
    """
    jobs = jobs_from(observations)
    jobs = jobs[jobs["vanished_at"].isna()]
    listed = _ids_by_appliance(jobs)
    finished = _ids_by_appliance(jobs[has_ended(jobs["status"])])
    facts = poll_facts(polls)
    return {
        name: Remembered(
            own := listed.get(name, frozenset()),
            finished.get(name, frozenset()),
            len(own),
            **facts.get(name, {}),
        )
        for name in {*listed, *facts}
    }


def _ids_by_appliance(jobs: pd.DataFrame) -> dict[str, frozenset[str]]:
    return {str(name): frozenset(ids) for name, ids in jobs.groupby("appliance")["job_id"]}


def poll_facts(polls: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return what the newest good poll of each appliance says.

    Parameters
    ----------
    polls : DataFrame
        Of `backupkit.tables.POLLS`, in any order: at least the newest two good ones of each.

    Returns
    -------
    dict of str to dict
        By appliance: api, details, version and timezone. An appliance whose version changed
        between its last two good polls was upgraded: its api is None, to be found out anew.
    """
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
