"""Times of jobs that cannot be right: kept in the history, and not known to an assessment."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.dates import num2date
from pandas.testing import assert_frame_equal

from backupkit import plots
from backupkit.assessment import Assessment, evaluate, evaluate_frames
from backupkit.collection import Snapshot
from backupkit.history import History
from backupkit.policy import Policy
from backupkit.reports import report
from backupkit.reports.openmetrics import openmetrics
from backupkit.tables import ERRORS, OBSERVATIONS, POLLS, SCHEDULES, jobs_from
from tests.builders import frame, message, observation, poll, schedule
from tests.conftest import repeats
from tests.exported import parse_csv, parse_json

DAY, HOUR = pd.Timedelta(days=1), pd.Timedelta(hours=1)
END = pd.Timestamp("2026-11-09T00:00Z")
START = END - 7 * DAY
SEEN = pd.Timestamp("2026-11-08T02:00Z")
NIGHTS = [START + number * DAY + HOUR for number in range(7)]
POLICY = Policy(staleness="2d")
FIRST, LAST = -(2**63) + 1, 2**63 - 1


def microseconds(text: str) -> int:
    """Return a time in UTC as microseconds since 1970; pandas cannot hold all of them."""
    return int(np.datetime64(text, "us").astype(np.int64))


EPOCH, YEAR_1, YEAR_9999, EARLY, LATE = map(
    microseconds,
    ("1970-01-01", "0001-01-01", "9999-12-31T23:59", "2016-11-14T23:59", "2026-11-09T02:01"),
)


def rows_of(appliance: str) -> list[dict[str, Any]]:
    """Return a week of good nights, observed each morning."""
    return [
        observation(appliance, f"{night:%Y%m%d}", type="SCHEDULED", size=10)
        | {"start_time": start, "end_time": start + 1_200_000_000, "observed_at": night + HOUR}
        for night in NIGHTS
        for start in [microseconds(f"{night:%Y-%m-%dT%H:%M}")]
    ]


def odd_row(start: int | None, end: int | None, **changed: Any) -> dict[str, Any]:  # noqa: ANN401 # any value
    """Return an observation with any times."""
    row = observation("odd", "1", "SUCCEEDED") | {"observed_at": SEEN, "source": "details"}
    return row | {"start_time": start, "end_time": end, "location": "sftp://nas-1/vc"} | changed


def to_column(times: Iterable[int | None]) -> pd.Series:
    """Convert microseconds to a column: a single timestamp cannot hold all of them."""
    numbers = [np.iinfo(np.int64).min if time is None else time for time in times]
    return pd.Series(np.array(numbers).astype("datetime64[us]")).dt.tz_localize("UTC")


def frames_of(*rows: dict[str, Any], skew: str = "0h") -> tuple[pd.DataFrame, ...]:
    """Return observations, polls and schedules of a healthy appliance, and an odd one."""
    polls = [
        poll(name, SEEN, clock_skew=pd.Timedelta(skew) if name == "odd" else pd.Timedelta(0))
        for name in ("fine", "odd")
    ]
    plans = [schedule(name, hour=1, minute=0, seen_at=SEEN) for name in ("fine", "odd")]
    seen = [*rows_of("fine"), *rows]
    names = ("start_time", "end_time")
    times = {name: to_column(row[name] for row in seen) for name in names}
    plain = [{**row, "start_time": None, "end_time": None} for row in seen]
    return (
        frame(OBSERVATIONS, plain).assign(**times),
        frame(POLLS, polls),
        frame(SCHEDULES, plans),
    )


def assess(*rows: dict[str, Any], skew: str = "0h", now: pd.Timestamp = END) -> Assessment:
    """Evaluate the week."""
    observations, polls, schedules = frames_of(*rows, skew=skew)
    return evaluate_frames(
        jobs_from(observations), polls, schedules, POLICY, start=START, end=END, now=now
    )


def job_of(a: Assessment) -> pd.Series:
    """Return the odd job."""
    return a.jobs[a.jobs["appliance"] == "odd"].iloc[0]


class TestRule:
    """The rule for times that are not plausible."""

    @pytest.mark.parametrize(
        ("start", "end", "remark"),
        [
            (EPOCH, None, "start 1970-01-01 00:00 UTC is not plausible"),
            (YEAR_1, EPOCH, "start 0001-01-01 00:00 UTC is not plausible; end 1970"),
            (EARLY, None, "start 2016-11-14 23:59 UTC is not plausible"),
            (EARLY + 60_000_000, None, None),
            (LATE, None, "start 2026-11-09 02:01 UTC is not plausible"),
            (LATE - 60_000_000, None, None),
            (YEAR_9999, YEAR_9999, "start 9999-12-31 23:59 UTC is not plausible; end 9999-12-31"),
            (LAST, FIRST, "start 294247-01-10"),
        ],
    )
    def test_remark(self, start: int, end: int | None, remark: str | None) -> None:
        """A time before the product, or a day after its observation, is remarked and missing."""
        job = job_of(assess(odd_row(start, end, status="FAILED", state="FAILED")))
        if remark is None:
            assert pd.isna(job["remark"])
            assert pd.notna(job["start_time"])
        else:
            assert job["remark"].startswith(remark)
            assert pd.isna(job["start_time"])
            assert pd.isna(job["end_time"])
        assert pd.isna(job["duration"])

    def test_end_before_start(self) -> None:
        """An end before the start is remarked and gives no duration; the start counts."""
        night = microseconds("2026-11-08T01:00")
        a = assess(odd_row(night, night - 60_000_000))
        job = job_of(a)
        assert job["remark"] == "end 2026-11-08 00:59 UTC is before the start"
        assert pd.isna(job["duration"])
        assert a.appliances.loc["odd", "exposure"] == 23 * HOUR

    @pytest.mark.parametrize("start", [EPOCH, EARLY, YEAR_9999])
    def test_known_time(self, start: int) -> None:
        """An odd start does not widen what is known, and its success decides nothing."""
        a = assess(odd_row(start, microseconds("2026-11-08T01:20")))
        assert a.coverage.loc["odd", "known_since"] == SEEN
        assert a.appliances["last_success"].isna()["odd"]
        assert a.appliances.loc["odd", "state"] == "unknown"

    def test_skew(self) -> None:
        """The times of a clock that is known to be wrong are corrected first."""
        early, late = (microseconds(f"{year}-11-08T01:00") for year in (1970, 2030))
        for start, years in ((early, -56), (late, 4)):
            night = np.datetime64(start, "us")
            skew = night - np.datetime64("2026-11-08T01:00", "us")
            a = assess(odd_row(start, start + 1_200_000_000), skew=str(pd.Timedelta(skew)))
            assert abs(years * 365 - pd.Timedelta(skew).days) < 15
            assert pd.isna(job_of(a)["remark"])
            assert job_of(a)["duration"] == HOUR / 3
            assert a.appliances.loc["odd", "exposure"] == 23 * HOUR

    def test_clock_that_is_wrong_today(self) -> None:
        """A clock that goes wrong later makes no earlier time implausible."""
        a = assess(odd_row(microseconds("2026-11-08T01:00"), None), skew="-9D")
        assert pd.isna(job_of(a)["remark"])

    def test_other_remarks(self) -> None:
        """An unknown state, messages of a success, and what could not be read are remarked."""
        night = microseconds("2026-11-08T01:00")
        jobs = [
            odd_row(night, None, status="EXPLODED", state="EXPLODED"),
            odd_row(night, night, job_id="2", messages=[message("Disk slow")] * 2),
            odd_row(None, None, job_id="3", status=None, state=None, read_error="the answer is {}"),
        ]
        remarks = assess(*jobs).jobs.query("appliance == 'odd'").set_index("job_id")["remark"]
        assert remarks.sort_index().to_list() == [
            "state not known: EXPLODED",
            "succeeded with 2 messages",
            "the answer is {}",
        ]

    def test_times_of_ids(self) -> None:
        """A time in a job's id that cannot be right does not place the job."""
        a = assess(odd_row(None, None, job_id="19700101-000000-1", status="FAILED", state="FAILED"))
        assert a.appliances["last_attempt"].isna()["odd"]


class TestHistory:
    """A history keeps such times as they came, and says the same as frames."""

    @pytest.mark.parametrize(
        ("start", "end"),
        [(EPOCH, YEAR_9999), (YEAR_1, EPOCH), (YEAR_9999, None), (LATE, LATE), (EARLY, LATE)],
    )
    def test_kept(self, target: str, start: int, end: int | None) -> None:
        """The times are stored, a history is intact, and an evaluation gives the same figures."""
        row = odd_row(start, end)
        observations, polls, schedules = frames_of(row)
        history = History(target)
        for part in (observations.iloc[:-1], observations.iloc[-1:]):
            history.append(Snapshot(part, polls, schedules, ERRORS.empty()))
        [job] = history.jobs(appliances=["odd"]).to_dict("records")
        assert job["start_time"] == to_column([start])[0]
        assert job["duration"] is pd.NaT
        assert history.verify().empty
        stored = evaluate(history, POLICY, start=START, end=END, now=END)
        direct = assess(row)
        assert_frame_equal(stored.appliances, direct.appliances)
        assert_frame_equal(stored.coverage, direct.coverage)
        assert_frame_equal(stored.jobs, direct.jobs)
        success = history.sql("SELECT * FROM v_last_success WHERE appliance = 'odd'")
        assert success["start_time"].isna().all()
        assert history.sql("SELECT * FROM v_jobs WHERE duration_s > 86400").empty
        history.forget("fine")
        assert history.verify().empty


times = st.one_of(
    st.none(),
    st.integers(FIRST, LAST),
    st.integers(YEAR_1, YEAR_9999),
    st.sampled_from([EPOCH, EARLY, LATE, FIRST, LAST]),
)


def draw_all(jobs: pd.DataFrame, observations: pd.DataFrame) -> None:
    """Draw every plot of jobs; its axis of time stays near the plausible ones."""
    for ax in (
        plots.timeline(jobs),
        plots.durations(jobs),
        plots.failures_over_time(jobs.assign(signature="x")),
        plots.load(jobs.assign(target="nas-1")),
        plots.progress(observations),
    ):
        ax.figure.canvas.draw()
        if ax.xaxis.get_major_formatter().__class__.__name__ == "ConciseDateFormatter":
            low, high = map(num2date, ax.get_xlim())
            assert (low.year, high.year) >= (2016, 2016)
            assert high.year <= 2027


@pytest.mark.property
@given(start=times, end=times, state=st.sampled_from(["SUCCEEDED", "FAILED", "RUNNING", "WHAT"]))
@settings(max_examples=repeats(4, 500))
@example(EPOCH, YEAR_9999, "SUCCEEDED")
@example(FIRST, LAST, "FAILED")
@example(LAST, FIRST, "SUCCEEDED")
@example(YEAR_9999, None, "RUNNING")
@example(YEAR_1, None, "RUNNING")
def test_any_time(start: int | None, end: int | None, state: str) -> None:
    """Any time of a job is shown everywhere, and changes nothing of another appliance."""
    observations, polls, schedules = frames_of(odd_row(start, end, status=state, state=state))
    jobs = jobs_from(observations)
    a = evaluate_frames(jobs, polls, schedules, POLICY, start=START, end=END, now=END)
    alone = assess()
    assert_frame_equal(a.appliances.loc[["fine"]], alone.appliances.loc[["fine"]])
    assert (a.jobs["duration"].dropna() >= pd.Timedelta(0)).all()
    assert (a.jobs["duration"].dropna() < 4000 * DAY).all()
    assert a.coverage["known_since"].between(SEEN - 3650 * DAY, SEEN).all()
    assert "fine" in report(a).html()
    document = parse_json(a)
    assert {row["appliance"] for row in document["jobs"]} == {"fine", "odd"}
    assert {row["appliance"] for row in parse_csv(a.assessed_jobs)} == {"fine", "odd"}
    assert "odd" in openmetrics(a)
    draw_all(jobs, observations)
