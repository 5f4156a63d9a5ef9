"""Views of frames: the input of an assessment, and the sync state of a collection."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pandas as pd

from backupkit.tables.domain_nodes import SeenNode
from backupkit.tables.jobs import has_ended, jobs_from, list_was_read
from backupkit.tables.sync import SyncState

__all__ = ["HistoryView", "newest_api_facts", "schedule_names", "sync_state_from"]


@dataclass(frozen=True, slots=True)
class HistoryView:
    """Jobs (each once), polls and schedules that belong together.

    `totals` are the counts over all jobs and polls, if the frames hold only those that a period
    needs. `version` is the version of the data, such as the head digest of a history; if None,
    `backupkit.analysis.data_fingerprint` computes it from `polls`. `domain_nodes` are
    those of the SSO domains, as last read.
    """

    jobs: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame
    totals: pd.DataFrame | None = None
    version: str | None = None
    domain_nodes: tuple[SeenNode, ...] = ()

    def only(self, appliances: Collection[str]) -> "HistoryView":
        """Return the rows of some appliances."""
        frames = (self.jobs, self.polls, self.schedules)
        jobs, polls, schedules = (frame[frame["appliance"].isin(appliances)] for frame in frames)
        totals = self.totals
        if totals is not None:
            totals = totals[totals.index.isin(appliances)]
        return HistoryView(jobs, polls, schedules, totals, self.version, self.domain_nodes)


def sync_state_from(
    observations: pd.DataFrame, polls: pd.DataFrame, schedules: pd.DataFrame
) -> dict[str, SyncState]:
    """Return the sync state of each appliance with a good poll or a listed job."""
    jobs = jobs_from(observations)
    jobs = jobs[jobs["vanished_at"].isna()]
    listed = _group_ids_by_appliance(jobs)
    finished = _group_ids_by_appliance(jobs[has_ended(jobs["status"]) & jobs["read_error"].isna()])
    facts, plans = newest_api_facts(polls), schedule_names(schedules)
    return {
        name: SyncState(
            own := listed.get(name, frozenset()),
            finished.get(name, frozenset()),
            len(own),
            **facts.get(name, {}),
            schedules=plans.get(name, frozenset()),
        )
        for name in {*listed, *facts}
    }


def _group_ids_by_appliance(jobs: pd.DataFrame) -> dict[str, frozenset[str]]:
    return {str(name): frozenset(ids) for name, ids in jobs.groupby("appliance")["job_id"]}


def schedule_names(schedules: pd.DataFrame) -> dict[str, frozenset[str]]:
    """Return the names of the schedules on each appliance, by all that was seen of them."""
    ordered = schedules.sort_values("seen_at", kind="stable")
    newest = ordered.drop_duplicates(["appliance", "schedule"], keep="last")
    there = newest[~newest["removed"].fillna(value=False).astype("bool")]
    return {str(name): frozenset(own) for name, own in there.groupby("appliance")["schedule"]}


def newest_api_facts(polls: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return api, details, version and timezone of the newest good poll of each appliance.

    `polls` has at least the newest two good polls of each. If the version changed between them, the
    appliance was upgraded: api is None and must be detected again.
    """
    good = polls[list_was_read(polls).fillna(value=False).astype("bool")]
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
