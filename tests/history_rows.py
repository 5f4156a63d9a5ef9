"""Stored rows of frames, for tests of what an append computes row by row."""

from collections import defaultdict

import pandas as pd

from backupkit.history.observations import Job, Key, Observation, find_changes
from backupkit.history.rows import to_stored_columns
from backupkit.history.schema import COLUMNS
from backupkit.tables import JOBS, OBSERVATIONS

__all__ = ["changed_observations", "group_rows", "to_jobs", "to_rows"]


def to_rows(observations: pd.DataFrame) -> list[Observation]:
    """Return a frame of observations as stored rows."""
    columns = to_stored_columns(OBSERVATIONS, OBSERVATIONS.columns, observations)
    return [Observation(*row) for row in zip(*columns, strict=True)]


def to_jobs(jobs: pd.DataFrame) -> list[Job]:
    """Return a frame of jobs as stored rows."""
    columns = to_stored_columns(JOBS, COLUMNS["jobs"], jobs)
    return [Job(*row) for row in zip(*columns, strict=True)]


def group_rows(rows: list[Observation]) -> dict[Key, list[Observation]]:
    """Return rows by job."""
    groups: dict[Key, list[Observation]] = defaultdict(list)
    for row in rows:
        groups[row.key].append(row)
    return groups


def changed_observations(new: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return the observations that differ from the one before them of their job."""
    rows = to_rows(new)
    stored = group_rows(to_rows(known))
    places: dict[Key, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        places[row.key].append(place)
    kept = [
        own[place]
        for key, own in places.items()
        for place in find_changes([rows[one] for one in own], stored.get(key, []))
    ]
    return new.iloc[sorted(kept)]
