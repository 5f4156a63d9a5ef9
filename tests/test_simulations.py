"""Chance findings of simulated fleets: a short form of `python -m tests.simulations`."""

import pytest

from tests.conftest import repeats
from tests.simulations.durations import count_doublings, count_false_alarms
from tests.simulations.shared_values import simulate_false_findings, simulate_power


@pytest.mark.long
class TestSharedValues:
    """Values that failing appliances have in common."""

    @pytest.mark.parametrize("size", [12, 50, *repeats(0, 1) * [200, 2000]])
    def test_false_findings(self, size: int) -> None:
        """Failures at random are named in at most 5 % of the nights."""
        nights = repeats(8, 300)
        # of 8 or 300 nights at 5 %, 2 or 24 are exceeded once in 50 or more
        assert simulate_false_findings(size, nights) <= repeats(2, 24)

    @pytest.mark.parametrize(
        ("size", "failing", "targets"),
        [(50, 6, 5), *repeats(0, 1) * [(200, 10, 10), (2000, 5, 40)]],
    )
    def test_power(self, size: int, failing: int, targets: int) -> None:
        """The target of a real cluster is named in at least 90 % of the nights."""
        nights = repeats(4, 200)
        assert simulate_power(size, failing, targets, nights) >= 0.9 * nights


@pytest.mark.long
class TestDurations:
    """Unusual durations and sizes."""

    def test_false_alarms(self) -> None:
        """2,000 ordinary appliances have at most one false alarm in a week."""
        appliances, weeks = repeats(100, 2_000), repeats(1, 4)
        found = count_false_alarms(appliances, 7 * weeks, slow=0)
        assert sum(found.values()) <= repeats(0, 4)

    def test_doubled_duration(self) -> None:
        """A run that takes twice as long is found where runs vary by 8 %, and by 10 % in a week."""
        appliances = repeats(40, 1_000)
        assert count_doublings(appliances, 0.08) >= 0.95 * appliances
        assert count_doublings(appliances, 0.1, lasting=7) >= 0.95 * appliances
