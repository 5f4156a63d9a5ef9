"""Result of one collection: `Snapshot`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from backupkit import display, tables, wire
from backupkit.collection.poll_result import PollResult, api_error_columns
from backupkit.errors import one_line
from backupkit.tables import (
    ERRORS,
    LISTED,
    OBSERVATIONS,
    POLLS,
    SCHEDULES,
    Records,
    SyncState,
)

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

__all__ = [
    "CollectionErrors",
    "ErrorRow",
    "Snapshot",
    "build_error_records",
    "build_snapshot",
    "jobs_to_observations",
    "render_errors_table",
    "was_list_read",
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


_TABLES: Final = {table.name: table for table in (OBSERVATIONS, POLLS, SCHEDULES, ERRORS)}


class Snapshot:
    """Result of one `collect`, or content of a folder of saved answers.

    Parameters
    ----------
    observations, polls, schedules, errors : DataFrame or Records
        Frames, or plain rows of which a frame is made when it is asked for.
    stopped : bool
        Whether Ctrl-C stopped the collection before all appliances were polled.
    list_digests : mapping of str to str
        Digest of the job list of each appliance of which all jobs have ended and are known.

    Attributes
    ----------
    records : mapping of str to Records, or None
        The plain rows; None if the snapshot was made of frames.
    """

    def __init__(
        self,
        observations: "pd.DataFrame | Records",
        polls: "pd.DataFrame | Records",
        schedules: "pd.DataFrame | Records",
        errors: "pd.DataFrame | Records",
        stopped: bool = False,  # noqa: FBT001, FBT002 # as it was
        *,
        list_digests: Mapping[str, str] | None = None,
    ) -> None:
        self._parts: Mapping[str, Any] = {
            "observations": observations,
            "polls": polls,
            "schedules": schedules,
            "errors": errors,
        }
        self.stopped = stopped
        self.list_digests = list_digests or {}

    @property
    def records(self) -> Mapping[str, Records] | None:
        """The plain rows by table; None if the snapshot was made of frames."""
        plain = all(isinstance(part, Records) for part in self._parts.values())
        return self._parts if plain else None

    def rows(self, *names: str) -> list[Records]:
        """Return plain rows of some tables, also if the snapshot was made of frames."""
        return [
            part
            if isinstance(part := self._parts[name], Records)
            else Records.from_frame(_TABLES[name], part)
            for name in names
        ]

    def without(self, appliances: Collection[str]) -> "Snapshot":
        """Return a snapshot without the rows of some appliances."""
        if not appliances:
            return self
        observations, polls, schedules, errors = (
            part.select([name not in appliances for name in part["appliance"]])
            for part in self.rows(*_TABLES)
        )
        return Snapshot(
            observations,
            polls,
            schedules,
            errors,
            stopped=self.stopped,
            list_digests=self.list_digests,
        )

    @cached_property
    def observations(self) -> "pd.DataFrame":
        """Rows of `backupkit.tables.OBSERVATIONS`."""
        return self._build_frame("observations")

    @cached_property
    def polls(self) -> "pd.DataFrame":
        """Rows of `backupkit.tables.POLLS`: one per poll."""
        return self._build_frame("polls")

    @cached_property
    def schedules(self) -> "pd.DataFrame":
        """Rows of `backupkit.tables.SCHEDULES`."""
        return self._build_frame("schedules")

    @cached_property
    def errors(self) -> "pd.DataFrame":
        """Rows of `backupkit.tables.ERRORS`.

        One per failed appliance, and one per item of other appliances that could not be read.
        """
        return self._build_frame("errors")

    def _build_frame(self, name: str) -> "pd.DataFrame":
        part = self._parts[name]
        return part.frame() if isinstance(part, Records) else part

    @property
    def jobs(self) -> "pd.DataFrame":
        """Jobs that were read, as rows of `backupkit.tables.JOBS`."""
        return tables.jobs_from(self.observations)

    @property
    def list_was_read(self) -> "pd.Series":
        """Flag of each poll: it read the job list, perhaps without some of its jobs."""
        return tables.list_was_read(self.polls).fillna(value=False).astype("bool")

    def sync_state(self) -> dict[str, SyncState]:
        """Return the known state of each appliance, for the next `collect`."""
        return tables.sync_state_from(self.observations, self.polls, self.schedules)

    def __repr__(self) -> str:
        observations, polls = self.rows("observations", "polls")
        read = {name for name, ok in polls.rows("appliance", "ok") if ok}
        partial = was_list_read(polls).count(True) - sum(ok is True for ok in polls["ok"])
        jobs = sum(source != LISTED for source in observations["source"])
        polled = len(set(polls["appliance"]))
        plural = "" if polled == 1 else "s"
        text = f"Snapshot: {len(read)} of {polled} appliance{plural} read"
        text += f" and {partial} in part" if partial else ""
        text += f", {jobs} jobs new or unfinished"
        return text + (", stopped early" if self.stopped else "")

    def _repr_html_(self) -> str:
        parts = [
            display.render_paragraph(repr(self), "sentence"),
            display.render_paragraph(self._counts()),
        ]
        return str(
            display.render_container(
                *parts, render_errors_table(self.errors) if len(self.errors) else ""
            )
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

    errors: "pd.DataFrame"

    def __repr__(self) -> str:
        return "\n".join(
            f"{row.appliance}: {one_line(str(row.detail))}" for row in self.errors.itertuples()
        )

    def _repr_html_(self) -> str:
        return str(display.render_container(render_errors_table(self.errors)))


def render_errors_table(errors: "pd.DataFrame", *, limit: int = 20) -> "Markup":
    """Return the errors of a collection as an HTML table of at most `limit` rows."""
    head = errors.head(limit).astype(object).where(errors.head(limit).notna(), None)
    names = ["appliance", "error", "detail", "job_id"]
    columns = {"Appliance": "", "Error": "w", "Message": "text", "Job": ""}
    rows = list(head[names].itertuples(index=False, name=None))
    appliances = errors["appliance"].nunique()
    caption = (
        f"{appliances:,} appliance{'s' if appliances != 1 else ''} could not be read completely"
    )
    return display.table(columns, rows, caption=caption, limit=limit, total=len(errors))


def build_snapshot(
    results: Sequence[PollResult],
    *,
    stopped: bool = False,
    error_rows: Sequence[ErrorRow] | None = None,
) -> Snapshot:
    """Convert polls to rows, column by column; `error_rows` replace the errors of the polls."""
    return Snapshot(
        observations=_build_observations(results),
        polls=_build_polls(results),
        schedules=_build_schedules(results),
        errors=build_error_records(_list_errors(results) if error_rows is None else error_rows),
        stopped=stopped,
        list_digests={
            result.appliance: result.list_digest for result in results if result.list_digest
        },
    )


def jobs_to_observations(
    jobs: Sequence[wire.Job], *, appliances: Sequence[str], observed_at: Sequence[datetime]
) -> Records:
    """Convert jobs to rows of `backupkit.tables.OBSERVATIONS`, column by column."""
    columns = wire.job_columns(jobs)
    return Records.build(
        OBSERVATIONS, {**columns, "appliance": appliances, "observed_at": observed_at}
    )


def _build_observations(results: Sequence[PollResult]) -> Records:
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
    vanished_rows = Records.build(
        OBSERVATIONS,
        {
            "appliance": [result.appliance for result, _ in vanished],
            "job_id": [job_id for _, job_id in vanished],
            "observed_at": [result.polled_at for result, _ in vanished],
            "source": [LISTED] * len(vanished),
        },
    )
    return read.extend(vanished_rows)


def _repeat_values(values: Sequence[T], counts: Sequence[int]) -> list[T]:
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]


def _build_polls(results: Sequence[PollResult]) -> Records:
    return Records.build(
        POLLS,
        {
            "api": [result.flavour and result.flavour.value for result in results],
            "jobs_changed": [
                sum(job.read_error is None for job in result.jobs) for result in results
            ],
            **{
                name: [getattr(result, name) for result in results]
                for name in POLLS.names
                if name not in {"api", "jobs_changed"}
            },
        },
    )


def _build_schedules(results: Sequence[PollResult]) -> Records:
    plans = [
        (result, name, plan)
        for result in results
        for name, plan in sorted(result.schedules.items())
    ]
    runs = [plan.recurrence_info for _, _, plan in plans]
    current = Records.build(
        SCHEDULES,
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
        },
    )
    removed = [(result, name) for result in results for name in result.removed_schedules]
    if not removed:
        return current
    ended = Records.build(
        SCHEDULES,
        {
            "appliance": [result.appliance for result, _ in removed],
            "schedule": [name for _, name in removed],
            "seen_at": [result.polled_at for result, _ in removed],
            "removed": [True] * len(removed),
        },
    )
    return current.extend(ended)


def _list_errors(results: Sequence[PollResult]) -> list[ErrorRow]:
    rows: list[ErrorRow] = []
    for result in results:
        errors = [(result.failure, None)] if result.failure else []
        rows += [
            (result.appliance, error.kind, error.text, job_id, *api_error_columns(error))
            for error, job_id in [*errors, *result.item_errors]
        ]
    return rows


def build_error_records(rows: Sequence[ErrorRow]) -> Records:
    """Convert errors to rows of `backupkit.tables.ERRORS`."""
    columns = zip(*rows, strict=True)
    return Records.build(ERRORS, dict(zip(ERRORS.names, columns, strict=True)) if rows else {})


def was_list_read(polls: Records) -> list[bool]:
    """Return whether each poll read the job list, as `Snapshot.list_was_read`."""
    return [bool(unread) if ok is None else ok for ok, unread in polls.rows("ok", "jobs_unread")]
