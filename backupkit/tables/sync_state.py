"""Sync state of each appliance, so that the next collection requests only new data."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from backupkit.tables.jobs import has_ended
from backupkit.tables.newest import jobs_from

__all__ = ["SyncState", "newest_api_facts", "sync_state_from"]


@dataclass(frozen=True, slots=True)
class SyncState:
    """Sync state of one appliance, from earlier collections.

    Attributes
    ----------
    listed : frozenset of str
        The ids on its job list.
    finished : frozenset of str
        The ids of `listed` whose jobs have ended; they are not requested again.
    jobs : int
        Number of ids on its job list, also if `listed` is read only when the poll starts.
    api : str or None
        The API flavour of the newest good poll; None if it must be detected, as after an upgrade.
    details : bool or None
        Whether the API has job details and schedules.
    version, timezone : str or None
        As last reported.
    """

    listed: frozenset[str] = frozenset()
    finished: frozenset[str] = frozenset()
    jobs: int = 0
    api: str | None = None
    details: bool | None = None
    version: str | None = None
    timezone: str | None = None


def sync_state_from(observations: pd.DataFrame, polls: pd.DataFrame) -> dict[str, SyncState]:
    """Return the sync state of each appliance.

    Parameters
    ----------
    observations : DataFrame
        Of `backupkit.tables.OBSERVATIONS`, in any order.
    polls : DataFrame
        Of `backupkit.tables.POLLS`, in any order.

    Returns
    -------
    dict of str to SyncState
        One entry for each appliance with a good poll or a listed job.
    """
    jobs = jobs_from(observations)
    jobs = jobs[jobs["vanished_at"].isna()]
    listed = _ids_by_appliance(jobs)
    finished = _ids_by_appliance(jobs[has_ended(jobs["status"])])
    facts = newest_api_facts(polls)
    return {
        name: SyncState(
            own := listed.get(name, frozenset()),
            finished.get(name, frozenset()),
            len(own),
            **facts.get(name, {}),
        )
        for name in {*listed, *facts}
    }


def _ids_by_appliance(jobs: pd.DataFrame) -> dict[str, frozenset[str]]:
    return {str(name): frozenset(ids) for name, ids in jobs.groupby("appliance")["job_id"]}


def newest_api_facts(polls: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the API facts of the newest good poll of each appliance.

    Parameters
    ----------
    polls : DataFrame
        Of `backupkit.tables.POLLS`, in any order: at least the newest two good polls of each.

    Returns
    -------
    dict of str to dict
        By appliance: api, details, version and timezone. If the version changed between the last
        two good polls, the appliance was upgraded: api is None and must be detected again.
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
