"""Clocks of appliances that are wrong, and that are set."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from backupkit import Assessment, History, Policy, evaluate, evaluate_frames
from backupkit.analysis import Clocks, restrict_to_period
from backupkit.analysis.arrays import to_times
from backupkit.tables import JOBS, POLLS, HistoryView, find_set_clocks
from tests.builders import (
    frame,
    job,
    jobs_of,
    moment,
    poll,
    polls_of,
    schedule,
    schedules_of,
    snapshot_of,
)

HOUR = pd.Timedelta(hours=1)
NAMES = pd.Index(["a", "b"], dtype="str", name="appliance")
WEEK = {"start": moment("02T00:00"), "end": moment("09T00:00")}


def clocks_of(*measured: tuple[str, str, float | None]) -> Clocks:
    """Return the clocks of polls: appliance, time and skew [h]."""
    polls = polls_of(
        [(name, at, True) for name, at, _ in measured],
        clock_skew=[None if skew is None else skew * HOUR for *_, skew in measured],
    )
    return Clocks.of(polls, NAMES, **WEEK)


def correct(clocks: Clocks, *texts: str | None) -> list[str]:
    """Return times of appliance a by our clock."""
    times = to_times(pd.Series([moment(text) for text in texts], dtype="datetime64[us, UTC]"))
    got = clocks.correct(np.zeros(len(texts), dtype=np.intp), times)
    return ["" if np.isnat(at) else f"{at.item():%dT%H:%M}" for at in got]


class TestClocks:
    """`Clocks`."""

    def test_constant(self) -> None:
        """A clock that was not set has its newest difference for all time; up to 5 min is none."""
        clocks = clocks_of(("a", "01T00:00", 2), ("a", "08T00:00", 2.05), ("b", "08T00:00", 0.08))
        assert correct(clocks, "01T12:00", "08T12:00", None) == ["01T09:57", "08T09:57", ""]
        assert clocks.corrections.tolist() == [2.05 * HOUR, 0 * HOUR]

    def test_set_back(self) -> None:
        """It was 2 h ahead until 12:00. What it showed twice, 12:00 to 14:00, counts once."""
        clocks = clocks_of(
            ("a", "01T00:00", 2), ("a", "08T11:00", 2), ("a", "08T12:00", 0), ("a", "09T00:00", 0)
        )
        times = ["01T03:00", "08T11:59", "08T13:59", "08T14:00", "08T15:00"]
        expected = ["01T01:00", "08T09:59", "08T11:59", "08T14:00", "08T15:00"]
        assert correct(clocks, *times) == expected

    def test_set_forward(self) -> None:
        """It was 2 h behind until 12:00. What it never showed is when it was set."""
        clocks = clocks_of(("a", "01T00:00", -2), ("a", "08T12:00", 0), ("a", "09T00:00", None))
        times = ["08T09:59", "08T10:00", "08T11:59", "08T12:00", "08T13:00"]
        expected = ["08T11:59", "08T12:00", "08T12:00", "08T12:00", "08T13:00"]
        assert correct(clocks, *times) == expected

    def test_unknown(self) -> None:
        """Without a measured difference nothing is corrected."""
        assert correct(clocks_of(("b", "01T00:00", 2)), "03T00:00") == ["03T00:00"]

    @pytest.mark.parametrize(
        ("skews", "found"),
        [((2, 2, 2), False), ((2, 0, 0), True), ((0, 0, 2), True), ((0, 0.08, 0.16), False)],
    )
    def test_set_clocks(self, skews: tuple[float, ...], found: bool) -> None:  # noqa: FBT001 # a parameter
        """A clock was set if the polls around the period differ by more than 5 minutes."""
        polls = polls_of(
            [("a", at, True) for at in ("01T00:00", "05T00:00", "09T12:00")],
            clock_skew=[skew * HOUR for skew in skews],
        )
        assert (find_set_clocks(polls, **WEEK) == {"a"}) is found


def rows_of(change: str, **seen: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:  # noqa: ANN401 # any column
    """Build runs at 01:00, 03:00 by a clock that is 2 h ahead until `change`, and hourly polls."""
    times = pd.date_range(moment("01T00:00"), moment("09T00:00"), freq="h")
    polls = [
        poll("a", time, clock_skew=2 * HOUR if time < moment(change) else 0 * HOUR, details=True)
        for time in times
    ]
    jobs = []
    for night in range(6):
        row = job("a", night, **seen)
        jobs.append(row | {name: row[name] + 2 * HOUR for name in ("start_time", "end_time")})
    return jobs, polls


def judge(now: str, **seen: Any) -> Assessment:  # noqa: ANN401 # any column
    """Judge 2 to 6 November as of a time; the clock was set on 8 November at 12:00."""
    jobs, polls = rows_of("08T12:00", **seen)
    frames = frame(JOBS, jobs), frame(POLLS, polls), schedules_of([("a", "01T00:00", 3, 0)])
    period = {"start": moment("02T00:00"), "end": moment("06T00:00"), "now": moment(now)}
    return evaluate_frames(*frames, Policy(rpo="24h", grace="15m"), **period)


class TestPast:
    """The figures of the time before a clock was set."""

    @pytest.mark.parametrize(
        "seen", [{"first_seen_at": None}, {"last_seen_at": moment("07T12:00")}]
    )
    def test_stays(self, seen: dict[str, Any]) -> None:
        """States, exposure and slots of the first days are the same before and after."""
        before, after = judge("08T11:00", **seen), judge("08T13:00", **seen)
        for name in ("intervals", "slots"):
            pd.testing.assert_frame_equal(getattr(before, name), getattr(after, name))
        assert after.slots["slot"].to_list() == [moment(f"0{day}T01:00") for day in (2, 3, 4, 5)]
        assert after.slots["state"].to_list() == ["met"] * 4
        assert after.appliances.loc["a", "exposure"] == 23 * HOUR

    def test_seen_later(self) -> None:
        """A job that was first seen with the right clock has its times."""
        jobs, polls = rows_of("08T12:00")
        jobs.append(job("a", 6, first_seen_at=moment("08T13:00"), last_seen_at=moment("08T13:00")))
        jobs[-1] |= {"start_time": moment("08T12:30"), "end_time": moment("08T12:50")}
        frames = frame(JOBS, jobs), frame(POLLS, polls), schedules_of([])
        a = evaluate_frames(*frames, Policy(), **WEEK, now=WEEK["end"])
        assert a.appliances.loc["a", "last_success"] == moment("08T12:30")

    def test_restricted(self) -> None:
        """Polls of a clock that was set are kept, those of one that was not are left out."""
        jobs, polls = rows_of("08T12:00")
        data = HistoryView(frame(JOBS, jobs), frame(POLLS, polls), schedules_of([]))
        period = {"start": moment("02T00:00"), "end": moment("06T00:00")}
        kept = restrict_to_period(data, **period, now=moment("08T13:00"))
        assert len(kept.polls) == len(polls)
        before = data.polls[data.polls["polled_at"] < moment("08T12:00")]
        known = HistoryView(data.jobs, before, data.schedules)
        assert len(restrict_to_period(known, **period, now=moment("08T11:00")).polls) < 40

    def test_history(self, tmp_path: Any) -> None:  # noqa: ANN401 # a path
        """A history gives the same figures as its frames."""
        jobs, polls = rows_of("08T12:00")
        observed = [
            {
                **{name: row[name] for name in ("appliance", "job_id", "state", "status", "type")},
                **{name: row[name] for name in ("start_time", "end_time", "messages")},
                "observed_at": row["end_time"] - 1 * HOUR,
                "source": "details",
            }
            for row in jobs
        ]
        plan = schedule("a", hour=3, seen_at=moment("01T00:00"))
        history = History(tmp_path / "history.db")
        history.append(snapshot_of(observed, polls, [plan]))
        period = {"start": moment("02T00:00"), "end": moment("06T00:00"), "now": moment("09T00:00")}
        a = evaluate(history, Policy(), **period)
        assert a.slots["slot"].to_list() == [moment(f"0{day}T01:00") for day in (2, 3, 4, 5)]
        assert a.slots["state"].to_list() == ["met"] * 4
        known = history.view(at=moment("09T00:00"))
        frames = known.jobs, known.polls, known.schedules
        again = evaluate_frames(*frames, Policy(), **period)
        pd.testing.assert_frame_equal(a.appliances, again.appliances)
        pd.testing.assert_frame_equal(a.intervals, again.intervals)


def test_duration_across_a_change() -> None:
    """A run that the change of the clock cuts is as long as it was."""
    polls = polls_of(
        [("a", at, True) for at in ("01T00:00", "02T01:30", "02T02:30", "09T00:00")],
        clock_skew=[2 * HOUR, 2 * HOUR, 0 * HOUR, 0 * HOUR],
    )
    # from 01:00 to 02:00; its end is by the right clock
    jobs = jobs_of(
        [("a", "success", "02T03:00", "02T02:00")],
        first_seen_at=[moment("02T01:30")],
        last_seen_at=[moment("02T02:30")],
    )
    policy = Policy(duration_limit="59m")
    a = evaluate_frames(jobs, polls, schedules_of([]), policy, **WEEK, now=WEEK["end"])
    row = a.appliances.loc["a"]
    assert (row["duration_runs"], row["duration_ok"]) == (1, 0)
    assert row["last_success"] == moment("02T01:00")
