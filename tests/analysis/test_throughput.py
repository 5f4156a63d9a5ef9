"""Throughput of jobs, appliances and targets."""

import pandas as pd
import pytest

from backupkit.analysis import target_concurrency, throughput, typical_throughput
from backupkit.tables import SLOTS
from tests.builders import END, START, jobs_of

MB = 1_000_000
RUNS = [
    ("a", "success", "03T01:00", "03T01:20"),
    ("a", "success", "04T01:00", "04T01:20"),
    ("a", "success", "05T01:00", "05T01:20"),
    ("b", "failure", "03T01:00", "03T01:20"),
    ("b", "success", "03T02:00", "03T02:00"),
    ("b", "success", None, "04T02:00"),
    ("b", "success", "05T01:00", "05T01:10"),
    ("b", "success", "01T01:00", "01T01:20"),
]
SIZES = [6_000 * MB, 4_800 * MB, 10_800 * MB, 1_200, 1_200, 1_200, None, 1_200]
INDEX = pd.Index(["a", "b"], dtype="str", name="appliance")


def test_size_by_duration() -> None:
    """6,000 MB in 20 min are 5 MB/s; failures, and unknown sizes or times, have no throughput."""
    got = throughput(jobs_of(RUNS, size=SIZES))
    assert got.iloc[[0, 1, 2, 7]].to_list() == [5 * MB, 4 * MB, 9 * MB, 1]
    assert got.iloc[3:7].isna().all()


def test_a_size_that_cannot_be() -> None:
    """A negative size has no throughput, a size of 0 has one of 0."""
    assert throughput(jobs_of(RUNS[:2], size=[-1, 0])).to_list() == [pd.NA, 0]


def test_median_of_an_appliance() -> None:
    """The median of 4, 5 and 9 MB/s is 5; a run that ended before the period does not count."""
    jobs = jobs_of(RUNS, size=SIZES)
    got = typical_throughput(jobs, start=START, end=END, appliances=INDEX)
    assert got.to_list() == [5 * MB, pd.NA]
    assert typical_throughput(jobs[:0], start=START, end=END, appliances=INDEX).isna().all()


def test_median_of_a_target() -> None:
    """The successes of all appliances on a target count together, those that ended in time."""
    places = ["sftp://nas-1/vc"] * 2 + ["sftp://nas-2/vc"] * 6
    none = SLOTS.empty().assign(location="")
    usual = pd.Series([], dtype="timedelta64[us]")
    jobs = jobs_of(RUNS, size=SIZES, location=places)
    got = target_concurrency(jobs, none, usual, start=START, end=END)["throughput"]
    assert got.to_dict() == pytest.approx({"sftp://nas-1": 4.5 * MB, "sftp://nas-2": 9 * MB})
