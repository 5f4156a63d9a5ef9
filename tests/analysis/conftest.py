"""Builders of the small frames that the analysis is tested with."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pytest

from backupkit.tables import JOBS, POLLS, SCHEDULES

Row = tuple[Any, ...]


def at(text: str | None) -> pd.Timestamp | None:
    """Read ``08T01:00`` as that moment of November 2026, anything longer as it stands."""
    if text is None:
        return None
    full = text if len(text) > len("08T01:00:00") else f"2026-11-{text}"
    return pd.Timestamp(full, tz="UTC")


def oldest(jobs: pd.DataFrame) -> pd.Series:
    """Return the start of each appliance's oldest job."""
    return jobs.groupby("appliance")["start_time"].min()


@pytest.fixture
def moment() -> Callable[[str], pd.Timestamp]:
    """Read a short time as a moment of November 2026."""

    def read(text: str) -> pd.Timestamp:
        read_moment = at(text)
        assert read_moment is not None
        return read_moment

    return read


@pytest.fixture
def make_jobs() -> Callable[..., pd.DataFrame]:
    """Build jobs from (appliance, outcome, start, end) rows, more columns by keyword."""

    def make(rows: Sequence[Row], **columns: Sequence[Any]) -> pd.DataFrame:
        names, outcomes, starts, ends = zip(*rows, strict=True) if rows else ((),) * 4
        values: dict[str, Any] = {
            "appliance": names,
            "job_id": [f"job-{number}" for number in range(len(rows))],
            "outcome": outcomes,
            "start_time": [at(start) for start in starts],
            "end_time": [at(end) for end in ends],
            "type": ["SCHEDULED"] * len(rows),
        }
        return JOBS.frame(values | columns)

    return make


@pytest.fixture
def make_polls() -> Callable[[Sequence[Row]], pd.DataFrame]:
    """Build visits from (appliance, polled_at, ok) rows."""

    def make(rows: Sequence[Row], **columns: Sequence[Any]) -> pd.DataFrame:
        names, times, oks = zip(*rows, strict=True) if rows else ((),) * 3
        values: dict[str, Any] = {
            "appliance": names,
            "polled_at": [at(time) for time in times],
            "ok": oks,
        }
        return POLLS.frame(values | columns)

    return make


@pytest.fixture
def make_schedules() -> Callable[..., pd.DataFrame]:
    """Build schedules from (appliance, seen_at, hour, minute) rows, more columns by keyword."""

    def make(rows: Sequence[Row], **columns: Sequence[Any]) -> pd.DataFrame:
        names, seen, hours, minutes = zip(*rows, strict=True) if rows else ((),) * 4
        values: dict[str, Any] = {
            "appliance": names,
            "schedule": ["default"] * len(rows),
            "seen_at": [at(time) for time in seen],
            "enabled": [True] * len(rows),
            "hour": hours,
            "minute": minutes,
            "timezone": ["UTC"] * len(rows),
        }
        return SCHEDULES.frame(values | columns)

    return make
