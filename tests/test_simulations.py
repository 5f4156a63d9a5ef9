"""Chance findings of simulated fleets: a short form of `python -m tests.simulations`."""

import pytest

from tests.conftest import repeats
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
