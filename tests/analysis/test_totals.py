"""Totals of everything that is known."""

from typing import Any

import pandas as pd
import pytest

from backupkit.analysis import totals_of
from backupkit.tables import TOTALS
from backupkit.tables.constants import LARGEST_SUM
from tests.builders import jobs_of, moment, polls_of


class TestTotals:
    """`totals_of`."""

    def test_polls(self) -> None:
        """A good or failed poll counts once; a stopped one does not."""
        polls = polls_of(
            [
                ("b", "02T00:00", True),
                ("a", "02T07:00", False),
                ("a", "02T00:00", True),
                ("a", "02T00:00", True),
                ("a", "02T00:00", False),
                ("a", "02T08:00", None),
                ("c", "02T08:00", None),
            ]
        )
        totals = totals_of(jobs_of([]), polls)
        assert TOTALS.check(totals) is totals
        assert totals[["polls", "polls_ok"]].T.to_dict("list") == {
            "a": [3, 1],
            "b": [1, 1],
            "c": [0, 0],
        }
        assert totals["jobs"].to_list() == [0, 0, 0]

    def test_jobs(self) -> None:
        """Jobs of any outcome count; the oldest is the one that started first."""
        jobs = jobs_of(
            [
                ("b", "open", None, None),
                ("a", "void", "02T00:00", None),
                ("a", "failure", "01T00:00", "04T00:00"),
            ]
        )
        totals = totals_of(jobs, polls_of([("0", "01T00:00", True)]))
        assert totals["jobs"].to_dict() == {"0": 0, "a": 2, "b": 1}
        assert totals["oldest_start"].to_list() == [pd.NaT, moment("01T00:00"), pd.NaT]

    @pytest.mark.parametrize(
        ("sizes", "count", "total"),
        [
            ([], 0, None),
            ([5, 0, 7], 3, 12),
            ([5, None, -1], 1, 5),
            ([None], 0, None),
            ([2**62, 2**62], 2, None),
            ([LARGEST_SUM - 2048], 1, LARGEST_SUM - 2048),
        ],
    )
    def test_sizes(self, sizes: list[int | None], count: int, total: int | None) -> None:
        """Known sizes are summed; an impossible sum is missing."""
        rows: list[Any] = [("a", "success", "01T00:00", "01T01:00") for _ in sizes]
        rows += [("a", "failure", "01T00:00", "01T01:00"), ("a", "success", "01T00:00", None)]
        totals = totals_of(jobs_of(rows, size=[*sizes, 100, 100]), polls_of([])).loc["a"]
        assert totals["sized_jobs"] == count
        assert totals.fillna(-1)["sized_bytes"] == (-1 if total is None else total)
