"""Snapshot: everything one round brought back, as frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

import pandas as pd
from markupsafe import Markup

from backupkit import wire
from backupkit.collect.visit import Visit
from backupkit.display import container, paragraph, table
from backupkit.errors import one_line
from backupkit.tables import (
    ERRORS,
    LISTED,
    OBSERVATIONS,
    POLLS,
    SCHEDULES,
    Remembered,
    jobs_from,
    remembered_from,
)

__all__ = [
    "Snapshot",
    "Trouble",
    "Troubles",
    "errors_of",
    "errors_table",
    "observations_of",
    "snapshot_of",
]

T = TypeVar("T")

Trouble = tuple[str | None, str, str | None, str | None]
"""A row of `backupkit.tables.ERRORS`."""

_OUTCOMES: Final = {
    "success": "succeeded",
    "failure": "failed",
    "open": "running",
    "void": "never started",
    "other": "in a state not known",
}


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Everything one `collect` brought back, or a folder of saved answers holds.

    Attributes
    ----------
    observations : DataFrame
        Of `backupkit.tables.OBSERVATIONS`.
    polls : DataFrame
        Of `backupkit.tables.POLLS`: one row per visit.
    schedules : DataFrame
        Of `backupkit.tables.SCHEDULES`.
    errors : DataFrame
        Of `backupkit.tables.ERRORS`: one row per failed appliance, and per thing that could not be
        read of the others.
    stopped : bool
        Whether the round was stopped by Ctrl-C before all were visited.
    """

    observations: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame
    errors: pd.DataFrame
    stopped: bool = False

    @property
    def jobs(self) -> pd.DataFrame:
        """The jobs that were read, of `backupkit.tables.JOBS`."""
        return jobs_from(self.observations)

    def remembered(self) -> dict[str, Remembered]:
        """Sum up what is known of each appliance, for the next `collect`."""
        return remembered_from(self.observations, self.polls)

    def __repr__(self) -> str:
        good = self.polls["ok"].fillna(value=False).astype("bool")
        read, asked = (polls["appliance"].nunique() for polls in (self.polls[good], self.polls))
        jobs = int((self.observations["source"] != LISTED).sum())
        plural = "" if asked == 1 else "s"
        text = f"Snapshot: {read} of {asked} appliance{plural} read, {jobs} jobs new or unfinished"
        return text + (", stopped before its end" if self.stopped else "")

    def _repr_html_(self) -> str:
        parts = [paragraph(repr(self), "sentence"), paragraph(self._counts())]
        return str(container(*parts, errors_table(self.errors) if len(self.errors) else ""))

    def _counts(self) -> str:
        """Count the jobs that were read, by what became of them."""
        outcomes = self.jobs["outcome"].value_counts()
        told = ", ".join(
            f"{outcomes[name]:,} {word}"
            for name, word in _OUTCOMES.items()
            if outcomes.get(name, 0)
        )
        took = f"{int(self.polls['requests'].sum()):,} requests, {len(self.schedules):,} schedules"
        return f"Jobs: {told or 'none'}. {took}."


@dataclass(frozen=True)
class Troubles:
    """What went wrong in a round, to be shown at its end.

    Attributes
    ----------
    errors : DataFrame
        Of `backupkit.tables.ERRORS`.
    """

    errors: pd.DataFrame

    def __repr__(self) -> str:
        return "\n".join(
            f"{row.appliance}: {one_line(str(row.detail))}" for row in self.errors.itertuples()
        )

    def _repr_html_(self) -> str:
        return str(container(errors_table(self.errors)))


def errors_table(errors: pd.DataFrame, *, limit: int = 20) -> Markup:
    """Show what went wrong in a round, each in its whole sentence.

    Parameters
    ----------
    errors : DataFrame
        Of `backupkit.tables.ERRORS`.
    limit : int
        How many are shown.

    Returns
    -------
    Markup
        HTML in which every text is escaped.
    """
    shown = errors.head(limit).astype(object).where(errors.head(limit).notna(), None)
    names = ["appliance", "error", "detail", "job_id"]
    columns = {"Appliance": "", "Error": "w", "What happened, and what to do": "text", "Job": ""}
    rows = list(shown[names].itertuples(index=False, name=None))
    who = errors["appliance"].nunique()
    caption = f"Not everything could be read of {who:,} appliance{'s' if who != 1 else ''}"
    return table(columns, rows, caption=caption, limit=limit, total=len(errors))


def snapshot_of(visits: Sequence[Visit], *, stopped: bool = False) -> Snapshot:
    """Turn visits into frames, column by column."""
    return Snapshot(
        observations=_observations(visits),
        polls=_polls(visits),
        schedules=_schedules(visits),
        errors=_errors(visits),
        stopped=stopped,
    )


def observations_of(
    jobs: Sequence[wire.Job], *, appliances: Sequence[str], observed_at: Sequence[datetime]
) -> pd.DataFrame:
    """Turn jobs into observations, column by column.

    Parameters
    ----------
    jobs : sequence of Job
        As `backupkit.wire` decodes them.
    appliances : sequence of str
        Whose job each is.
    observed_at : sequence of datetime
        When each was read.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.OBSERVATIONS`.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> job = wire.Job("a", "INPROGRESS", "RUNNING", 40.0, None, None, (), "details")
    >>> now = datetime(2026, 11, 9, tzinfo=UTC)
    >>> observations_of([job], appliances=["vc-1"], observed_at=[now])["progress"].to_list()
    [40.0]
    """
    return OBSERVATIONS.frame(
        {**wire.job_columns(jobs), "appliance": appliances, "observed_at": observed_at}
    )


def _observations(visits: Sequence[Visit]) -> pd.DataFrame:
    """Put what was told and what vanished below each other."""
    counts = [len(visit.jobs) for visit in visits]
    told = observations_of(
        [job for visit in visits for job in visit.jobs],
        appliances=_repeated([visit.appliance for visit in visits], counts),
        observed_at=_repeated([visit.polled_at for visit in visits], counts),
    )
    gone = [(visit, job_id) for visit in visits for job_id in visit.vanished]
    if not gone:
        return told
    missing = OBSERVATIONS.frame(
        {
            "appliance": [visit.appliance for visit, _ in gone],
            "job_id": [job_id for _, job_id in gone],
            "observed_at": [visit.polled_at for visit, _ in gone],
            "source": [LISTED] * len(gone),
        }
    )
    return pd.concat([told, missing], ignore_index=True)


def _repeated(values: Sequence[T], counts: Sequence[int]) -> list[T]:
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]


def _polls(visits: Sequence[Visit]) -> pd.DataFrame:
    return POLLS.frame(
        {
            "api": [visit.flavour for visit in visits],
            "jobs_changed": [len(visit.jobs) for visit in visits],
            **{
                name: [getattr(visit, name) for visit in visits]
                for name in POLLS.names
                if name not in {"api", "jobs_changed"}
            },
        }
    )


def _schedules(visits: Sequence[Visit]) -> pd.DataFrame:
    plans = [
        (visit, name, plan) for visit in visits for name, plan in sorted(visit.schedules.items())
    ]
    runs = [plan.recurrence_info for _, _, plan in plans]
    return SCHEDULES.frame(
        {
            "appliance": [visit.appliance for visit, _, _ in plans],
            "schedule": [name for _, name, _ in plans],
            "seen_at": [visit.polled_at for visit, _, _ in plans],
            "enabled": [plan.enable for _, _, plan in plans],
            "hour": [run and run.hour for run in runs],
            "minute": [run and run.minute for run in runs],
            "days": [run and run.days for run in runs],
            "timezone": [visit.timezone for visit, _, _ in plans],
            "max_count": [
                plan.retention_info and plan.retention_info.max_count for _, _, plan in plans
            ],
            "location": [plan.location for _, _, plan in plans],
            "parts": [plan.parts for _, _, plan in plans],
        }
    )


def _errors(visits: Sequence[Visit]) -> pd.DataFrame:
    rows: list[Trouble] = []
    for visit in visits:
        if visit.error is not None:
            rows.append((visit.appliance, visit.error, visit.detail, None))
        rows += [(visit.appliance, *trouble) for trouble in visit.troubles]
    return errors_of(rows)


def errors_of(rows: Sequence[Trouble]) -> pd.DataFrame:
    """Turn what went wrong into a frame of `backupkit.tables.ERRORS`."""
    names = ["appliance", "error", "detail", "job_id"]
    return ERRORS.frame(dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {})
