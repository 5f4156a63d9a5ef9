"""Assessments that the tests of reports share."""

from collections.abc import Callable

import pytest

from backupkit.assessment import Assessment
from tests.builders import assess, assess_large_fleet, assess_week

Judge = Callable[..., Assessment]


@pytest.fixture(scope="session")
def judge() -> Judge:
    """Return the function that evaluates rows over one week."""
    return assess


@pytest.fixture(scope="session")
def week() -> Assessment:
    """Return a week in which each kind of problem affects one appliance."""
    return assess_week()


@pytest.fixture(scope="session")
def fleet() -> Callable[[int], Assessment]:
    """Return the function that evaluates a month of a large fleet."""
    return assess_large_fleet
