"""Fixtures of the tests of reports."""

import pytest

from backupkit.assessment import Assessment
from tests.builders import assess_week


@pytest.fixture(scope="session")
def week() -> Assessment:
    """Return a week in which each kind of problem affects one appliance."""
    return assess_week()
