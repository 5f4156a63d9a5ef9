"""Builders as fixtures, for the tests of the analysis."""

from collections.abc import Callable

import pandas as pd
import pytest

from tests import builders


def oldest(jobs: pd.DataFrame) -> pd.Series:
    """Return the start of each appliance's oldest job."""
    return jobs.groupby("appliance")["start_time"].min()


@pytest.fixture
def moment() -> Callable[[str], pd.Timestamp]:
    """Return the parser of short times in November 2026."""
    return builders.moment


@pytest.fixture
def make_jobs() -> Callable[..., pd.DataFrame]:
    """Return the builder of jobs from (appliance, outcome, start, end)."""
    return builders.jobs_of


@pytest.fixture
def make_polls() -> Callable[..., pd.DataFrame]:
    """Return the builder of polls from (appliance, polled_at, ok)."""
    return builders.polls_of


@pytest.fixture
def make_schedules() -> Callable[..., pd.DataFrame]:
    """Return the builder of schedules from (appliance, seen_at, hour, minute)."""
    return builders.schedules_of
