"""Baselines, anomalies, growth and footprint."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import pytest

from backupkit.analysis.baselines import baselines
from backupkit.tables import BASELINES, JOBS, SCHEDULES
from tests.builders import jobs_of

Row = tuple[str, str, str, str | None]

NAMES = pd.Index(["a", "b"], dtype="str", name="appliance")
FIRST = pd.Timestamp("2026-11-01T01:00:00")
BEGIN = pd.Timestamp("2026-10-01", tz="UTC")
END = pd.Timestamp("2027-10-01", tz="UTC")
R = (900, 880, 910, 905, 895, 890, 900, 915, 885, 920)
WIDE = (10, 10, 10, 10, 100, 100, 200, 200, 200, 200)  # median 100, MAD 90
GIB = 2**30


def nights(
    durations: Sequence[float], *, name: str = "a", outcome: str = "success", first: int = 0
) -> list[Row]:
    """Return one run of the given number of seconds for each night."""
    starts = [FIRST + pd.Timedelta(days=first + night) for night in range(len(durations))]
    return [
        (name, outcome, str(start), str(start + pd.Timedelta(seconds=took)))
        for start, took in zip(starts, durations, strict=True)
    ]


learn = partial(baselines, current=SCHEDULES.empty(), end=END, appliances=NAMES)


class TestTypical:
    """Medians of the newest ten successes."""

    def test_medians(self) -> None:
        """The baseline has ten successes and those sizes that are known."""
        rows = [*nights([9000, *R]), *nights([50000], outcome="failure", first=11)]
        sizes = [1, None, None, None, None, None, None, None, 5, 7, 8, 99]
        got = learn(jobs_of([*rows, *nights([60, 71], name="b")], size=[*sizes, None, None]))
        assert got["sample_size"].to_list() == [10, 2]
        assert got["typical_duration"].to_list() == [
            pd.Timedelta(seconds=900),
            pd.Timedelta(seconds=65.5),
        ]
        assert got["typical_size"].fillna(-1).to_list() == [7, -1]

    def test_as_known_at_the_end(self) -> None:
        """Jobs that end later and other appliances are left out."""
        jobs = jobs_of([*nights([60, 90]), *nights([60], name="x")])
        end = pd.Timestamp("2026-11-02T01:01:29Z")
        got = learn(jobs, end=end)
        assert got["sample_size"].to_list() == [1, 0]
        assert got["typical_duration"].to_list() == [pd.Timedelta(seconds=60), pd.NaT]
        assert learn(jobs, end=end + pd.Timedelta(seconds=1))["sample_size"].to_list() == [2, 0]

    def test_nothing(self) -> None:
        """Without jobs there is no baseline; without appliances there is no row."""
        got = learn(JOBS.empty())
        assert BASELINES.check(got).index.to_list() == ["a", "b"]
        assert got["sample_size"].to_list() == got["footprint_jobs"].to_list() == [0, 0]
        assert got.drop(columns=["sample_size", "footprint_jobs"]).isna().to_numpy().all()
        assert learn(JOBS.empty(), appliances=NAMES[:0]).empty


def weekly(sizes: Sequence[float | None], days: Sequence[float]) -> pd.DataFrame:
    """Return successes of the given sizes [bytes] on the given days."""
    starts = [FIRST.tz_localize("UTC") + pd.Timedelta(days=day) for day in days]
    return JOBS.frame(
        {
            "appliance": ["a"] * len(days),
            "outcome": ["success"] * len(days),
            "start_time": starts,
            "end_time": [start + pd.Timedelta(minutes=20) for start in starts],
            "size": sizes,
        }
    )


class TestGrowth:
    """The slope of the sizes."""

    def test_example_s(self) -> None:
        """Example S of docs/sla.md, section 7: an outlier does not change the slope."""
        sizes = [round(size * GIB) for size in (6.00, 6.07, 6.14, 6.50, 6.28)]
        got = learn(weekly(sizes, [0, 7, 14, 21, 28])).loc["a"]
        assert got["growth"] / GIB == pytest.approx(0.0100, abs=1e-9)
        assert got["growth_share"] == pytest.approx(0.04886, abs=5e-6)

    @pytest.mark.parametrize(
        ("sizes", "days", "growth"),
        [
            ([10, 11, 12, 13, 17], [0, 1, 2, 3, 7], 1.0),
            ([10, 11, 12, 13, 17], [0, 1, 2, 3, 6.99], None),
            ([10, 11, 12, 17], [0, 1, 2, 7], None),
            ([10, 11, 12, 13, None, 17], [0, 1, 2, 3, 4, 7], 1.0),
            ([10, 11, 12, -13, 17], [0, 1, 2, 3, 7], None),
            ([10, 10, 12, 13, 17], [0, 0, 2, 3, 7], 1.0),  # two runs with the same start
        ],
    )
    def test_enough_points(
        self, sizes: list[int | None], days: list[float], growth: float | None
    ) -> None:
        """At least five sizes over seven days are needed."""
        got = learn(weekly(sizes, days)).loc["a"]
        assert got.fillna({"growth": -1})["growth"] == (-1 if growth is None else growth)
        assert pd.isna(got["growth_share"]) == (growth is None)

    def test_median_of_zero(self) -> None:
        """Growth relative to a median of 0 is unknown."""
        got = learn(weekly([0, 0, 0, 0, 9], [0, 1, 2, 3, 8])).loc["a"]
        assert got["growth"] == 0
        assert pd.isna(got["growth_share"])

    def test_newest_hundred(self) -> None:
        """Only the newest 100 sizes count."""
        sizes = [1000] * 150 + list(range(1001, 1101))
        got = learn(weekly(sizes, range(250))).loc["a"]
        assert got["growth"] == 1
        assert got["growth_share"] == pytest.approx(30 / 1050.5)

    def test_without_start(self) -> None:
        """A run without a start is not part of the slope, but its size is part of the footprint."""
        jobs = weekly([10, 11, 12, 13, 17, 500], [0, 1, 2, 3, 7, 8])
        jobs.loc[5, "start_time"] = pd.NaT
        got = learn(jobs).loc["a"]
        assert (got["growth"], got["footprint"]) == (1, 563)


class TestFootprint:
    """The space that retained backups take on the target."""

    JOBS = weekly([1, 2, 4, None, 8, 16], range(6))

    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            ([], (31, 5)),  # all backups are retained
            ([("a", True, None)], (31, 5)),
            ([("a", True, 3)], (28, 3)),
            ([("a", True, 99)], (31, 5)),
            ([("a", True, 1), ("a", True, 2)], (24, 2)),
            ([("a", True, 1), ("a", True, None)], (31, 5)),
            ([("a", True, 1), ("a", False, None)], (16, 1)),
            ([("a", False, 1)], (31, 5)),
            ([("a", None, 1)], (31, 5)),
            ([("a", True, 0)], (31, 5)),
            ([("a", True, -4)], (31, 5)),
            ([("b", True, 1), ("x", True, 1)], (31, 5)),
        ],
    )
    def test_retention(self, rows: list[Any], expected: tuple[int, int]) -> None:
        """The newest sizes are summed, up to the number that the enabled schedules retain."""
        columns = zip(*rows, strict=True) if rows else ((), (), ())
        names = ("appliance", "enabled", "max_count")
        current = SCHEDULES.frame(dict(zip(names, columns, strict=True)))
        got = learn(self.JOBS, current=current)[["footprint", "footprint_jobs"]]
        assert tuple(got.loc["a"]) == expected
        assert got["footprint"].isna().to_list() == [False, True]

    def test_more_than_a_count_holds(self) -> None:
        """A sum that exceeds the limit of integers is missing."""
        got = learn(weekly([2**63 - 1, 2**63 - 1, 5], range(3))).loc["a"]
        assert pd.isna(got["footprint"])
        assert got["footprint_jobs"] == 3
