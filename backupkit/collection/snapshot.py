"""Result of one collection as frames: `Snapshot`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import pandas as pd
from markupsafe import Markup

from backupkit import wire
from backupkit.collection.poll import PollResult, api_error_columns
from backupkit.display import render_container, render_paragraph, table
from backupkit.errors import one_line
from backupkit.tables import (
    ERRORS,
    LISTED,
    OBSERVATIONS,
    POLLS,
    SCHEDULES,
    SyncState,
    jobs_from,
    list_was_read,
    sync_state_from,
)

__all__ = [
    "CollectionErrors",
    "ErrorRow",
    "Snapshot",
    "build_error_frame",
    "build_snapshot",
    "jobs_to_observations",
    "render_errors_table",
]

T = TypeVar("T")

ErrorRow = tuple[Any, ...]
"""Row of `backupkit.tables.ERRORS`."""

_OUTCOMES: Final = {
    "success": "succeeded",
    "failure": "failed",
    "open": "running",
    "void": "never started",
    "other": "in an unknown state",
}


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Result of one `collect`, or content of a folder of saved answers.

    Attributes
    ----------
    observations : DataFrame
        Rows of `backupkit.tables.OBSERVATIONS`.
    polls : DataFrame
        Rows of `backupkit.tables.POLLS`: one per poll.
    schedules : DataFrame
        Rows of `backupkit.tables.SCHEDULES`.
    errors : DataFrame
        Rows of `backupkit.tables.ERRORS`: one per failed appliance, and one per item of other
        appliances that could not be read.
    stopped : bool
        Whether Ctrl-C stopped the collection before all appliances were polled.
    """

    observations: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame
    errors: pd.DataFrame
    stopped: bool = False

    @property
    def jobs(self) -> pd.DataFrame:
        """Jobs that were read, as rows of `backupkit.tables.JOBS`."""
        return jobs_from(self.observations)

    @property
    def list_was_read(self) -> pd.Series:
        """Flag of each poll: it read the job list, perhaps without some of its jobs."""
        return list_was_read(self.polls).fillna(value=False).astype("bool")

    def sync_state(self) -> dict[str, SyncState]:
        """Return the known state of each appliance, for the next `collect`."""
        return sync_state_from(self.observations, self.polls, self.schedules)

    def __repr__(self) -> str:
        good = self.polls["ok"].fillna(value=False).astype("bool")
        read, polled = (polls["appliance"].nunique() for polls in (self.polls[good], self.polls))
        partial = int((self.list_was_read & ~good).sum())
        jobs = int((self.observations["source"] != LISTED).sum())
        plural = "" if polled == 1 else "s"
        text = f"Snapshot: {read} of {polled} appliance{plural} read"
        text += f" and {partial} in part" if partial else ""
        text += f", {jobs} jobs new or unfinished"
        return text + (", stopped early" if self.stopped else "")

    def _repr_html_(self) -> str:
        parts = [render_paragraph(repr(self), "sentence"), render_paragraph(self._counts())]
        return str(
            render_container(*parts, render_errors_table(self.errors) if len(self.errors) else "")
        )

    def _counts(self) -> str:
        """Return the number of jobs by outcome, as text."""
        outcomes = self.jobs["outcome"].value_counts()
        by_outcome = ", ".join(
            f"{outcomes[name]:,} {label}"
            for name, label in _OUTCOMES.items()
            if outcomes.get(name, 0)
        )
        totals = (
            f"{int(self.polls['requests'].sum()):,} requests, {len(self.schedules):,} schedules"
        )
        return f"Jobs: {by_outcome or 'none'}. {totals}."


@dataclass(frozen=True)
class CollectionErrors:
    """Errors of a collection, for display at its end: rows of `backupkit.tables.ERRORS`."""

    errors: pd.DataFrame

    def __repr__(self) -> str:
        return "\n".join(
            f"{row.appliance}: {one_line(str(row.detail))}" for row in self.errors.itertuples()
        )

    def _repr_html_(self) -> str:
        return str(render_container(render_errors_table(self.errors)))


def render_errors_table(errors: pd.DataFrame, *, limit: int = 20) -> Markup:
    """Return the errors of a collection as an HTML table of at most `limit` rows."""
    head = errors.head(limit).astype(object).where(errors.head(limit).notna(), None)
    names = ["appliance", "error", "detail", "job_id"]
    columns = {"Appliance": "", "Error": "w", "Message": "text", "Job": ""}
    rows = list(head[names].itertuples(index=False, name=None))
    appliances = errors["appliance"].nunique()
    caption = (
        f"{appliances:,} appliance{'s' if appliances != 1 else ''} could not be read completely"
    )
    return table(columns, rows, caption=caption, limit=limit, total=len(errors))


def build_snapshot(results: Sequence[PollResult], *, stopped: bool = False) -> Snapshot:
    """Convert polls to frames, column by column."""
    return Snapshot(
        observations=_build_observations(results),
        polls=_build_polls(results),
        schedules=_build_schedules(results),
        errors=_build_errors(results),
        stopped=stopped,
    )


def jobs_to_observations(
    jobs: Sequence[wire.Job], *, appliances: Sequence[str], observed_at: Sequence[datetime]
) -> pd.DataFrame:
    """Convert jobs to rows of `backupkit.tables.OBSERVATIONS`, column by column."""
    return OBSERVATIONS.frame(
        {**wire.job_columns(jobs), "appliance": appliances, "observed_at": observed_at}
    )


def _build_observations(results: Sequence[PollResult]) -> pd.DataFrame:
    """Concatenate the observations of jobs that were read and of jobs that vanished."""
    counts = [len(result.jobs) for result in results]
    read = jobs_to_observations(
        [job for result in results for job in result.jobs],
        appliances=_repeat_values([result.appliance for result in results], counts),
        observed_at=_repeat_values([result.polled_at for result in results], counts),
    )
    vanished = [(result, job_id) for result in results for job_id in result.vanished]
    if not vanished:
        return read
    vanished_rows = OBSERVATIONS.frame(
        {
            "appliance": [result.appliance for result, _ in vanished],
            "job_id": [job_id for _, job_id in vanished],
            "observed_at": [result.polled_at for result, _ in vanished],
            "source": [LISTED] * len(vanished),
        }
    )
    return pd.concat([read, vanished_rows], ignore_index=True)


def _repeat_values(values: Sequence[T], counts: Sequence[int]) -> list[T]:
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]


def _build_polls(results: Sequence[PollResult]) -> pd.DataFrame:
    return POLLS.frame(
        {
            "api": [result.flavour for result in results],
            "jobs_changed": [
                sum(job.read_error is None for job in result.jobs) for result in results
            ],
            **{
                name: [getattr(result, name) for result in results]
                for name in POLLS.names
                if name not in {"api", "jobs_changed"}
            },
        }
    )


def _build_schedules(results: Sequence[PollResult]) -> pd.DataFrame:
    plans = [
        (result, name, plan)
        for result in results
        for name, plan in sorted(result.schedules.items())
    ]
    runs = [plan.recurrence_info for _, _, plan in plans]
    current = SCHEDULES.frame(
        {
            "appliance": [result.appliance for result, _, _ in plans],
            "schedule": [name for _, name, _ in plans],
            "seen_at": [result.polled_at for result, _, _ in plans],
            "enabled": [plan.enable for _, _, plan in plans],
            "hour": [run and run.hour for run in runs],
            "minute": [run and run.minute for run in runs],
            "days": [run and run.days for run in runs],
            "timezone": [result.timezone for result, _, _ in plans],
            "max_count": [
                plan.retention_info and plan.retention_info.max_count for _, _, plan in plans
            ],
            "location": [plan.location for _, _, plan in plans],
            "parts": [plan.parts for _, _, plan in plans],
            "read_error": [plan.read_error for _, _, plan in plans],
        }
    )
    removed = [(result, name) for result in results for name in result.removed_schedules]
    if not removed:
        return current
    ended = SCHEDULES.frame(
        {
            "appliance": [result.appliance for result, _ in removed],
            "schedule": [name for _, name in removed],
            "seen_at": [result.polled_at for result, _ in removed],
            "removed": [True] * len(removed),
        }
    )
    return pd.concat([current, ended], ignore_index=True)


def _build_errors(results: Sequence[PollResult]) -> pd.DataFrame:
    rows: list[ErrorRow] = []
    for result in results:
        errors = [(result.failure, None)] if result.failure else []
        rows += [
            (result.appliance, error.kind, error.text, job_id, *api_error_columns(error))
            for error, job_id in [*errors, *result.item_errors]
        ]
    return build_error_frame(rows)


def build_error_frame(rows: Sequence[ErrorRow]) -> pd.DataFrame:
    """Convert errors to a frame of `backupkit.tables.ERRORS`."""
    columns = zip(*rows, strict=True)
    return ERRORS.frame(dict(zip(ERRORS.names, columns, strict=True)) if rows else {})
