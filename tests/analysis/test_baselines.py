"""Baselines, anomalies, growth and footprint."""

import sys
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupkit.analysis.baselines import AnomalyLimits, anomalies, baselines
from backupkit.tables import ANOMALIES, BASELINES, JOBS, SCHEDULES
from tests.builders import jobs_of, moment
from tests.conftest import repeats

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


find = partial(anomalies, start=BEGIN, end=END, now=END, appliances=NAMES)
learn = partial(baselines, current=SCHEDULES.empty(), end=END, appliances=NAMES)


class TestFinished:
    """Finished runs compared with the ten before them."""

    @pytest.mark.parametrize(
        ("before", "took", "score"),
        [
            (R, 2700, 26.98),
            (R, 1080, None),  # 2.698; without the floor it would be 12.14
            ((900,) * 10, 1000, None),  # 1.499, and no division by zero
        ],
    )
    def test_example_r(self, before: tuple[int, ...], took: int, score: float | None) -> None:
        """The results of example R in docs/sla.md, section 7, are reproduced."""
        got = find(jobs_of(nights([*before, took])))
        assert got["score"].to_list() == ([] if score is None else [pytest.approx(score)])
        if score is not None:
            [found] = got.to_dict("records")
            assert (found["appliance"], found["job_id"], found["kind"]) == (
                "a",
                "job-10",
                "duration",
            )
            assert (found["value"], found["typical"]) == (2700, 900)
            assert found["start_time"] == pd.Timestamp("2026-11-11T01:00Z")
            assert found["rule"] == "score 27.0 > 3.5"

    @pytest.mark.parametrize(
        ("before", "took", "score"),
        [
            (R, 1080, 2.698),  # 0.6745 x 180 / 45
            ((900,) * 10, 1000, 1.499),  # 0.6745 x 100 / 45
            # the same spread around 100: the MAD of 10 is above the floor of 5, 0.6745 x 180 / 10
            ([took - 800 for took in R], 280, 12.14),
        ],
    )
    def test_scores_of_example_r(self, before: Sequence[int], took: int, score: float) -> None:
        """The scores of the usual runs of example R are reproduced."""
        got = find(jobs_of(nights([*before, took])), limits=AnomalyLimits(z_score=1))
        assert got["score"].to_list() == [pytest.approx(score, abs=1e-3)]

    @pytest.mark.parametrize(
        ("before", "took", "rule"),
        [
            (R, 450, "score -6.7 < -3.5"),
            ((900,) * 10, 1134, "score 3.5074 > 3.5"),  # 0.6745 x 234 / 45
            ((900,) * 10, 1133, None),  # 3.4924
            (WIDE, 510, "5.1 times the median"),  # score 3.07
            (WIDE, 500, None),
            (WIDE, 600, "score 3.7 > 3.5; 6.0 times the median"),
            (WIDE, 0, None),
            ((0,) * 10, 60, "the median is 0"),
            ((0,) * 10, 0, None),
            (R[:9], 9000, None),  # nine runs are too few for a baseline
        ],
    )
    def test_durations(self, before: tuple[int, ...], took: int, rule: str | None) -> None:
        """Each limit alone decides on either side."""
        got = find(jobs_of(nights([*before, took])))
        assert got["rule"].to_list() == ([] if rule is None else [rule])

    @pytest.mark.parametrize(
        ("before", "size", "rule"),
        [
            (WIDE, 49, "49 % of the median size"),
            (WIDE, 50, None),
            (WIDE, 501, "5.0 times the median"),
            ((100,) * 10, 49, "score -6.9 < -3.5; 49 % of the median size"),
            ((0,) * 10, 1, "the median is 0"),
        ],
    )
    def test_sizes(self, before: tuple[int, ...], size: int, rule: str | None) -> None:
        """A size also has a lower limit, and a usual duration does not hide an unusual size."""
        got = find(jobs_of(nights([60] * 11), size=[*before, size]))
        assert got["rule"].to_list() == ([] if rule is None else [rule])
        assert got["kind"].to_list() == ["size"] * len(got)
        assert got["score"].isna().all() == (max(before) == 0 or rule is None)

    def test_two_rows(self) -> None:
        """A run with an unusual duration and an unusual size has two rows."""
        got = find(jobs_of(nights([60] * 10 + [600]), size=[100] * 10 + [1]))
        assert got["kind"].to_list() == ["duration", "size"]
        assert got["value"].to_list() == [600, 1]

    def test_only_known_sizes(self) -> None:
        """Runs with an unknown or negative size are ignored."""
        sizes = [100] * 5 + [None, -5] + [100] * 4
        learning = find(jobs_of(nights([60] * 12), size=[*sizes, 900]))
        assert learning.empty
        found = find(jobs_of(nights([60] * 13), size=[*sizes, 100, 900]))
        assert found["job_id"].to_list() == ["job-12"]

    def test_only_successes(self) -> None:
        """Failures are neither checked nor part of a baseline."""
        rows = nights([9000], outcome="failure", first=30) + nights([60] * 5)
        rows += nights([9000] * 5, outcome="failure", first=5) + nights([60] * 5, first=10)
        assert find(jobs_of([*rows, *nights([900], first=20)]))["job_id"].to_list() == ["job-16"]

    def test_each_appliance_has_its_own(self) -> None:
        """Each appliance has its own baseline, and only the given appliances are checked."""
        rows = [*nights([60] * 9), *nights([60] * 4, name="b"), *nights([900], name="b", first=9)]
        others = [*nights([60] * 10, name="x"), *nights([900], name="x", first=10)]
        assert find(jobs_of([*rows, *others])).empty

    def test_only_runs_that_had_ended(self) -> None:
        """A run that had not ended when this one began is not part of its baseline."""
        before = nights([60] * 9)
        overlapping = ("a", "success", "2026-11-10T01:00:00", "2026-11-11T01:00:00")
        longer = nights([900], first=10)
        assert find(jobs_of([*before, overlapping, *longer])).empty
        ended = ("a", "success", "2026-11-10T01:00:00", "2026-11-11T00:59:59")
        assert find(jobs_of([*before, ended, *longer]))["job_id"].to_list() == ["job-10"]

    @pytest.mark.parametrize(
        ("start", "end", "found"),
        [
            ("2026-11-11T01:15", "2026-11-11T01:16", 1),
            ("2026-11-11T01:14", "2026-11-11T01:15", 0),
            ("2026-11-11T01:16", "2026-11-11T02:00", 0),
        ],
    )
    def test_period(self, start: str, end: str, found: int) -> None:
        """Runs that end in the half-open period are checked."""
        begin, until = pd.Timestamp(start, tz="UTC"), pd.Timestamp(end, tz="UTC")
        jobs = jobs_of(nights([60] * 10 + [900]))
        assert len(find(jobs, start=begin, end=until)) == found

    def test_impossible_times(self) -> None:
        """A run without a start, or with an end before its start, has no duration."""
        rows: list[Any] = nights([60] * 10)
        rows += nights([-86400.0 * 9], first=20)
        rows += [("a", "success", None, "2026-11-25T00:00:00")]
        rows += [("a", "success", "2026-11-26T00:00:00", None), ("a", "success", None, None)]
        assert find(jobs_of(rows)).empty

    def test_limits(self) -> None:
        """The limits can be changed."""
        jobs = jobs_of(nights([*R, 1080]), size=[100] * 10 + [89])
        strict = AnomalyLimits(z_score=2.5, max_ratio=1.1, min_ratio=0.9)
        assert find(jobs, limits=strict)["rule"].to_list() == [
            "score 2.7 > 2.5; 1.2 times the median",
            "89 % of the median size",
        ]

    def test_nothing(self) -> None:
        """Without jobs or without appliances there are no anomalies."""
        assert ANOMALIES.check(find(JOBS.empty())).empty
        assert find(JOBS.empty(), appliances=NAMES[:0]).empty


class TestRunning:
    """Jobs that are running."""

    NOW = pd.Timestamp("2026-11-20T02:00Z")

    @pytest.mark.parametrize(
        ("before", "start", "rule"),
        [
            (R, "20T01:40", "score 4.5 > 3.5"),  # 1200 s
            (R, "20T01:42", None),  # 1080 s
            (R, "20T01:30", "score 13.5 > 3.5"),  # 1800 s
            (R, "20T00:31", "score 66.6 > 3.5; 5.9 times the median"),  # 5340 s
            (R, "20T01:59", None),  # too short, but not over
            (R, "20T02:01", None),
            (R, None, None),
            (R[1:], "20T00:30", None),
        ],
    )
    def test_overrun(self, before: tuple[int, ...], start: str | None, rule: str | None) -> None:
        """A running job is compared with the runs before it, upwards only."""
        got = find(jobs_of([*nights(before), ("a", "open", start, None)]), now=self.NOW)
        assert got["rule"].to_list() == ([] if rule is None else [rule])
        assert got["kind"].to_list() == ["overrun"] * len(got)

    def test_overrun_value(self) -> None:
        """The value is the time since the start, independent of the period."""
        jobs = jobs_of([*nights(R), ("a", "open", "20T01:00", None)])
        got = find(jobs, now=self.NOW, start=moment("01T00:00"), end=moment("02T00:00"))
        assert got[["kind", "value", "typical"]].to_numpy().tolist() == [["overrun", 3600, 900]]

    @pytest.mark.parametrize(
        ("before", "seen", "polled", "rule"),
        [
            (R, "20T01:40", "20T01:50:01", "no change for 10 min, more than 10 min"),
            (R, "20T01:40", "20T01:50", None),
            (R, "20T01:40", "20T01:39", None),
            (R, "20T01:40", None, None),
            (R, None, "20T01:50:01", None),
            ((), "20T01:20", "20T01:55", "no change for 35 min, more than 10 min"),
            ((18000,) * 3, "20T01:20", "20T01:55", "no change for 35 min, more than 30 min"),
            ((18000,) * 3, "20T01:20", "20T01:50", None),
        ],
    )
    def test_stall(
        self, before: tuple[int, ...], seen: str | None, polled: str | None, rule: str | None
    ) -> None:
        """A job without a change for a long time is a stall."""
        seen_at = [*[None] * len(before), seen and moment(seen)]
        jobs = jobs_of([*nights(before), ("a", "open", "20T01:59", None)], last_seen_at=seen_at)
        newest_polls = pd.Series({"a": polled and moment(polled)}, dtype="datetime64[us, UTC]")
        got = find(jobs, now=self.NOW, polled=newest_polls)
        assert got["rule"].to_list() == ([] if rule is None else [rule])
        assert got["kind"].to_list() == ["stall"] * len(got)
        assert got[["typical", "score"]].isna().to_numpy().all()

    def test_vanished(self) -> None:
        """A vanished job is not considered running."""
        rows = [*nights(R), ("a", "open", "20T00:00", None)]
        assert len(find(jobs_of(rows), now=self.NOW)) == 1
        gone = [*[None] * 10, moment("20T01:00")]
        assert find(jobs_of(rows, vanished_at=gone), now=self.NOW).empty

    def test_order(self) -> None:
        """Rows are ordered by appliance, start, job and kind."""
        rows: list[Row] = [("b", "open", "20T00:00", None), ("a", "open", "20T00:00", None)]
        rows += nights([60] * 10 + [600])
        seen = [moment("20T00:01")] * 2 + [None] * 11
        newest_polls = pd.Series(moment("20T01:00"), index=NAMES)
        got = find(jobs_of(rows, last_seen_at=seen), now=self.NOW, polled=newest_polls)
        found = list(zip(got["appliance"], got["kind"], strict=True))
        assert found == [("a", "duration"), ("a", "overrun"), ("a", "stall"), ("b", "stall")]


def anomalies_by_loop(jobs: pd.DataFrame) -> list[tuple[Any, str]]:
    """Find the unusual durations and sizes in a loop over the jobs."""
    found: list[tuple[Any, str]] = []
    good = jobs[jobs["outcome"] == "success"]
    for job in good.itertuples():
        own = good[(good["appliance"] == job.appliance) & (good["end_time"] < job.start_time)]
        ordered = own.sort_values("end_time", kind="stable")
        for kind in ("duration", "size"):
            known = ordered[kind].dropna()
            x = getattr(job, kind)
            if len(known) < 10 or pd.isna(x):
                continue
            last = [float(value) for value in known.to_list()[-10:]]
            middle = median(last)
            spread = max(median(abs(value - middle) for value in last), 0.05 * middle)
            score = 0.6745 * (x - middle) / spread if spread else 0
            if abs(score) > 3.5 or x > 5 * middle or (kind == "size" and x < middle / 2):
                found.append((job.job_id, kind))
    return sorted(found)


@pytest.mark.property
@settings(max_examples=repeats(6, 60))
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from(["success"] * 5 + ["failure"]),
            st.integers(0, 100),
            st.sampled_from([0, 1, 3, 4, 5, 40]),
            st.sampled_from([0, 5, 6, 6, 40, None]),
        ),
        min_size=20,
        max_size=70,
    ),
)
def test_anomalies_agree_with_a_loop(rows: list[Any]) -> None:
    """The anomalies are those that a loop finds, in any order of the jobs."""
    names, outcomes, hours, took, sizes = zip(*rows, strict=True)
    starts = pd.DatetimeIndex(FIRST.tz_localize("UTC") + pd.to_timedelta(hours, unit="h"))
    # no two ends are equal, or the older of two runs would be ambiguous
    starts = starts + pd.to_timedelta(np.arange(len(rows)), unit="s")
    spans = pd.to_timedelta(took, unit="h")
    jobs = JOBS.frame(
        {
            "appliance": names,
            "job_id": [str(number) for number in range(len(rows))],
            "outcome": outcomes,
            "start_time": list(starts),
            "end_time": list(starts + spans),
            "size": sizes,
        }
    )
    loop = jobs.assign(duration=spans.total_seconds())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[anomalies.__module__], "_CHUNK_SIZE", 7)
        got = find(jobs)
    assert sorted(zip(got["job_id"], got["kind"], strict=True)) == anomalies_by_loop(loop)


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
