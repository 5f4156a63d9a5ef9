"""Unusual durations and sizes, overruns and stalls."""

import math
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupkit.analysis import measured_jobs
from backupkit.analysis.anomalies import AnomalyLimits, anomalies
from backupkit.analysis.measured_jobs import MeasuredJobs
from backupkit.analysis.usual_range import PastRuns, student_t_limit
from backupkit.tables import ANOMALIES, JOBS
from tests.builders import jobs_of, moment
from tests.conftest import repeats

Row = tuple[str, str, str, str | None]

NAMES = pd.Index(["a", "b"], dtype="str", name="appliance")
FIRST = pd.Timestamp("2026-11-01T01:00:00")
BEGIN = pd.Timestamp("2026-10-01", tz="UTC")
END = pd.Timestamp("2027-10-01", tz="UTC")
R = (900, 880, 910, 905, 895, 890, 900, 915, 885, 920)
WIDE = (10, 10, 10, 10, 100, 100, 200, 200, 200, 200)  # median 100, MAD 90


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


class TestFinished:
    """Finished runs compared with the ten before them."""

    @pytest.mark.parametrize(
        ("before", "took", "score"),
        [
            # spread: root of (8 x 0.12^2 + small) / 18 = 0.081; log(3) / 0.081
            (R, 2700, 13.62),
            (R, 1080, None),
            ((900,) * 10, 1000, None),
        ],
    )
    def test_example_r(self, before: tuple[int, ...], took: int, score: float | None) -> None:
        """Example R in docs/sla.md, section 7, has the same unusual run."""
        got = find(jobs_of(nights([*before, took])))
        assert got["score"].to_list() == ([] if score is None else [pytest.approx(score, abs=0.01)])
        if score is not None:
            [found] = got.to_dict("records")
            assert (found["appliance"], found["job_id"], found["kind"]) == (
                "a",
                "job-10",
                "duration",
            )
            assert (found["value"], found["typical"]) == (2700, 900)
            assert found["start_time"] == pd.Timestamp("2026-11-11T01:00Z")
            assert found["rule"] == "3.00 times the usual, above 1.65 times"

    @pytest.mark.parametrize(
        ("before", "took", "rule"),
        [
            (R, 450, "0.50 times the usual, below 0.61 times"),
            ((900,) * 10, 1486, "1.65 times the usual, above 1.65 times"),
            ((900,) * 10, 1484, None),
            ((900,) * 10, 545, "0.61 times the usual, below 0.61 times"),
            ((900,) * 10, 546, None),
            # so wide a past has a spread of 1.149, and 6.07 of them are a factor of 1,000
            (WIDE, 5000, None),
            (WIDE, 0, None),
            ((0,) * 10, 60, "the usual is 0"),
            ((0,) * 10, 1, None),  # a second more or less is nothing
            (R[:9], 9000, None),  # nine runs are too few for a baseline
        ],
    )
    def test_durations(self, before: tuple[int, ...], took: int, rule: str | None) -> None:
        """The end of the usual range decides, up and down."""
        got = find(jobs_of(nights([*before, took])))
        assert got["rule"].to_list() == ([] if rule is None else [rule])

    @pytest.mark.parametrize(
        ("before", "size", "rule"),
        [
            ((100,) * 10, 60, "0.60 times the usual, below 0.61 times"),
            ((100,) * 10, 61, None),
            (WIDE, 1, None),
            ((0,) * 10, 2, "the usual is 0"),
        ],
    )
    def test_sizes(self, before: tuple[int, ...], size: int, rule: str | None) -> None:
        """Sizes have the same range, and a usual duration does not hide an unusual size."""
        got = find(jobs_of(nights([60] * 11), size=[*before, size]))
        assert got["rule"].to_list() == ([] if rule is None else [rule])
        assert got["kind"].to_list() == ["size"] * len(got)

    def test_spread(self) -> None:
        """Runs that always vary by 20 % may vary more than runs that do not."""
        steady, shaky = [1000] * 60, [820, 1220] * 30
        assert len(find(jobs_of(nights([*steady, 1900])))) == 1
        assert find(jobs_of(nights([*shaky, 1900]))).empty
        assert len(find(jobs_of(nights([*shaky, 5000])))) == 1

    def test_weekday(self) -> None:
        """Runs on Sundays that begin to take twice as long are usual after a while."""
        took = [900 if night % 7 or night < 21 else 1800 for night in range(77)]
        assert find(jobs_of(nights([*took, 1800])))["job_id"].to_list() == ["job-21", "job-28"]
        slow = find(jobs_of(nights([*took, 3600])))
        assert slow[["job_id", "typical", "rule"]].to_numpy()[-1].tolist() == [
            "job-77",
            pytest.approx(1800),
            "2.00 times the usual of this weekday, above 1.65 times",
        ]

    def test_weekday_that_is_short(self) -> None:
        """A run on Sunday as long as on other days is unusual where it takes twice as long."""
        took = [900 if night % 7 else 1800 for night in range(70)]
        [found] = find(jobs_of(nights([*took, 900])), start=moment("2027-01-01T00:00")).to_dict(
            "records"
        )
        assert found["rule"] == "0.50 times the usual of this weekday, below 0.61 times"

    def test_what_two_runs_exceeded(self) -> None:
        """A deviation that two of the 100 runs before had is usual."""
        odd = [900] * 20 + [2700] + [900] * 20 + [2700] + [900] * 20
        assert find(jobs_of(nights(odd)))["job_id"].to_list() == ["job-20", "job-41"]
        third = find(jobs_of(nights([*odd, 2700])))
        assert "job-62" not in third["job_id"].to_list()
        longer = find(jobs_of(nights([*odd, 2701])))
        assert longer["rule"].to_list()[-1] == "3.00 times the usual, above 3.00 times"

    def test_lasting_change(self) -> None:
        """Runs that take twice as long from a day on are named, and are usual a week later."""
        got = find(jobs_of(nights([900] * 40 + [1800] * 40)))
        assert got["job_id"].to_list() == ["job-40", "job-41"]

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
        """The false-alarm rate and the smallest ratio can be changed."""
        jobs = jobs_of(nights([*R, 1080]), size=[100] * 10 + [89])
        limits = AnomalyLimits(false_alarms=0.2, min_ratio=1.05)
        # 1.28 times the spread, a little more for 18 degrees of freedom: 1.33
        assert find(jobs, limits=limits)["rule"].to_list() == [
            "1.20 times the usual, above 1.11 times",
            "0.89 times the usual, below 0.90 times",
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
            (R, "20T01:35", "1.67 times the usual, above 1.65 times"),  # 1500 s
            (R, "20T01:40", None),  # 1200 s
            (R, "20T01:30", "2.00 times the usual, above 1.65 times"),  # 1800 s
            (R, "20T00:31", "5.93 times the usual, above 1.65 times"),  # 5340 s
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


def usual_by_loop(
    values: list[float], days: list[float], today: float
) -> tuple[float, float, float]:
    """Return the usual value, and the limits of the deviation, from the runs before."""
    logs = [math.log(max(value, 1)) for value in values]
    first = median(values[:10])
    deviations = [
        log - math.log(max(median(values[place - 10 : place]) if place >= 10 else first, 1))
        for place, log in enumerate(logs)
    ][-100:]
    usual = median(map(abs, deviations)) / 0.6745
    shift, widening = 0.0, 1.0
    weekdays = [round(today - day) % 7 for day in days[-100:]]
    for weekday in range(7):
        own = [place for place, other in enumerate(weekdays) if other == weekday]
        recent = [deviations[place] for place in own[-4:]]
        if len(own) >= 4 and (min(recent) > usual or max(recent) < -usual):
            offset = median(deviations[place] for place in own)
            if weekday == 0:
                shift, widening = offset, math.sqrt(1 + 1.57 / len(own))
            for place in own:
                deviations[place] -= offset
    number = len(deviations)
    clip = 2.5 * median(map(abs, deviations)) / 0.6745
    total = sum(min(abs(one), clip) ** 2 for one in deviations) / 0.97756
    spread = math.sqrt((8 * 0.12**2 + total) / (8 + number)) * widening
    degrees = 8 + number
    normal = 4.417173413 * (8 * degrees + 3) / (8 * degrees + 1)
    limit = spread * math.sqrt(degrees * math.expm1(normal**2 / degrees))
    above, below = (
        max(limit, sorted(sign * one for one in deviations)[-2], math.log(1.65)) for sign in (1, -1)
    )
    return median(values[-10:]) * math.exp(shift), above, below


def anomalies_by_loop(jobs: pd.DataFrame) -> list[tuple[Any, str]]:
    """Find the unusual durations and sizes in a loop over the jobs."""
    found: list[tuple[Any, str]] = []
    good = jobs[jobs["outcome"] == "success"]
    day = pd.Timedelta(days=1)
    for job in good.itertuples():
        own = good[(good["appliance"] == job.appliance) & (good["end_time"] < job.start_time)]
        ordered = own.sort_values("end_time", kind="stable")
        for kind in ("duration", "size"):
            known = ordered[ordered[kind].notna()]
            x = getattr(job, kind)
            if len(known) < 10 or pd.isna(x):
                continue
            values = [float(value) for value in known[kind]]
            begun = [(time - BEGIN) / day for time in known["start_time"]]
            middle, above, below = usual_by_loop(
                values,
                begun,
                (pd.Timestamp(job.start_time) - BEGIN) / day,  # type: ignore[arg-type] # of a row
            )
            deviation = math.log(max(x, 1)) - math.log(max(middle, 1))
            if deviation > above or deviation < -below:
                found.append((job.job_id, kind))
    return sorted(found)


@pytest.mark.property
@settings(max_examples=repeats(6, 60))
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from(["success"] * 5 + ["failure"]),
            st.integers(0, 130),
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
        patch.setattr(measured_jobs, "_CHUNK_VALUES", 700)
        got = find(jobs)
    assert sorted(zip(got["job_id"], got["kind"], strict=True)) == anomalies_by_loop(loop)


@pytest.mark.property
@settings(max_examples=repeats(3, 40))
@given(seed=st.integers(0, 2**32 - 1), doubled=st.integers(1, 9))
def test_long_pasts_agree_with_a_loop(seed: int, doubled: int) -> None:
    """The same holds for pasts of more than 100 runs, with a rhythm and odd runs."""
    random = np.random.default_rng(seed)
    took = 900 * np.exp(0.1 * random.standard_normal(140))
    took[::7] *= doubled
    took[random.integers(140, size=4)] *= random.uniform(0.2, 5)
    jobs = jobs_of(nights(took.round().tolist()))
    jobs["size"] = jobs["size"].astype("Int64")
    loop = jobs.assign(duration=(jobs["end_time"] - jobs["start_time"]).dt.total_seconds())
    got = find(jobs)
    assert sorted(zip(got["job_id"], got["kind"], strict=True)) == anomalies_by_loop(loop)


@pytest.mark.parametrize("degrees", [8, 18, 58, 108])
@pytest.mark.parametrize("chance", [1e-5, 1e-3, 0.05])
def test_limit_of_students_t(degrees: int, chance: float) -> None:
    """The limit is exceeded with the stated chance, by integration of the density."""
    limit = student_t_limit(np.array([float(degrees)]), chance)[0]
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2))
    at = np.linspace(limit, limit + 60, 200_001)
    density = scale / math.sqrt(degrees * math.pi) * (1 + at**2 / degrees) ** (-(degrees + 1) / 2)
    assert 2 * np.trapezoid(density, at) == pytest.approx(chance, rel=0.12)


@pytest.mark.property
@settings(max_examples=repeats(10, 200))
@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.02, 0.1, 0.4]),
    rhythm=st.sampled_from([0.0, 0.3, 0.8]),
    step=st.sampled_from([6.0, 24.0, 25.0]),
    smallest=st.sampled_from([0.0, 0.1, math.log(1.65)]),
)
def test_suspects(seed: int, spread: float, rhythm: float, step: float, smallest: float) -> None:
    """A run that is no suspect does not deviate by more than the limit."""
    random = np.random.default_rng(seed)
    hours = np.arange(150) * step + random.normal(0, 2, 150)
    by_day = random.normal(0, rhythm, 7)[(hours // 24).astype(int) % 7]
    took = 900 * np.exp(by_day + random.normal(0, spread, 150))
    starts = np.sort(np.datetime64("2026-11-02", "us") + (hours * 3.6e9).astype("timedelta64[us]"))
    codes = np.zeros(150, dtype=np.intp)
    past = PastRuns.measure(MeasuredJobs(codes, starts + np.timedelta64(1, "s"), took), starts)
    suspects = past.find_suspects(codes, starts, took, smallest)
    deviations = past.find_range(codes, starts, 1e-5).deviate(took)
    assert not len(suspects) or suspects[0] >= 10
    others = np.setdiff1d(np.arange(10, 150), suspects)
    assert (np.abs(deviations[others]) <= smallest).all()
