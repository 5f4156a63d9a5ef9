"""Probability of a breach within a day, and its reliability."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import backupkit as bk
from backupkit.assessment import Assessment
from backupkit.policy import Member, Policy
from backupkit.tables import FORECAST, JOBS, POLLS, RELIABILITY, SCHEDULES
from backupkit.tables.constants import WEEKDAYS
from tests.builders import END, frame, poll, schedule

DAY = pd.Timedelta(days=1)
HOUR = pd.Timedelta(hours=1)


def evaluate(
    outcomes: dict[str, str],
    *,
    end: pd.Timestamp = END,
    **changed: Any,  # noqa: ANN401 # any column of a schedule
) -> Assessment:
    """Evaluate nightly runs at 01:00, the last letter for the last night before END.

    "s" is a success and "f" a failure.
    """
    rows = []
    for name, letters in outcomes.items():
        for place, letter in enumerate(letters):
            start = END - (len(letters) - place) * DAY + HOUR
            rows.append(
                {
                    "appliance": name,
                    "job_id": str(place),
                    "status": "SUCCEEDED" if letter == "s" else "FAILED",
                    "outcome": "success" if letter == "s" else "failure",
                    "type": "SCHEDULED",
                    "start_time": start,
                    "end_time": start + HOUR / 3,
                }
            )
    nights = max(map(len, outcomes.values()))
    first = END - nights * DAY
    return bk.evaluate_frames(
        frame(JOBS, rows),
        frame(POLLS, [poll(name, time) for name in outcomes for time in (first, end)]),
        frame(SCHEDULES, [schedule(name, seen_at=first, **changed) for name in outcomes]),
        Policy(members=[Member(appliance=name) for name in outcomes]),
        start=first,
        end=end,
        now=end,
    )


def forecast_of(assessment: Assessment) -> pd.DataFrame:
    """Return the forecasts by appliance."""
    return FORECAST.check(bk.forecast(assessment).forecast).set_index("appliance")


class TestForecast:
    """Forecasts of the next day."""

    def test_after_a_success(self) -> None:
        """One slot is left, and the rate after a success decides."""
        got = forecast_of(evaluate({"a": "s" * 20 + "f" + "s" * 9}))
        [told] = got.to_dict("records")
        assert (told["runs_left"], told["known_slots"], told["missed_slots"]) == (1, 30, 1)
        assert told["next_slot"] == END + HOUR
        assert told["breach_at"] == END + 3 * HOUR  # 8 Nov 01:00 + 26 h
        # 1 of 29 slots after a success was missed; the fleet is this appliance: 1.5 of 30
        assert told["probability"] == pytest.approx((1 + 5 * 1.5 / 30) / (29 + 5))

    def test_no_slot_left(self) -> None:
        """Without a slot before the breach, it is certain."""
        at = END - DAY + 90 * HOUR / 60  # 8 Nov 01:30, the run at 01:00 failed at 01:20
        got = forecast_of(evaluate({"a": "s" * 29 + "f"}, end=at + HOUR))
        assert got["runs_left"].to_list() == [0]
        assert got["probability"].to_list() == [1.0]

    def test_next_slot(self) -> None:
        """A schedule of another day has no slot within a day."""
        not_on_monday = evaluate({"a": "s" * 30}, days=list(WEEKDAYS[1:]))  # END is a Monday
        assert forecast_of(not_on_monday)["next_slot"].isna().to_list() == [True]

    def test_left_out(self) -> None:
        """Appliances in breach and those with fewer than 10 resolved slots have no forecast."""
        assert forecast_of(evaluate({"few": "s" * 9})).empty
        got = forecast_of(evaluate({"bad": "s" * 20 + "fff", "good": "s" * 23}))
        assert got.index.to_list() == ["good"]

    def test_worst_first(self) -> None:
        """The most probable breach comes first."""
        got = forecast_of(evaluate({"a": "s" * 30, "b": "sfs" * 10, "c": "s" * 27 + "fss"}))
        assert got.index.to_list() == ["b", "c", "a"]
        assert got["probability"].between(0, 1).all()

    def test_nothing(self) -> None:
        """Without appliances there is nothing."""
        nothing = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
        a = bk.evaluate_frames(*nothing, Policy(), start=END - DAY, end=END, now=END)
        forecasts = bk.forecast(a)
        assert FORECAST.check(forecasts.forecast).empty
        assert RELIABILITY.check(forecasts.reliability).empty


def test_reliability() -> None:
    """The forecasts of a simulated fleet are right as often as they say."""
    random = np.random.default_rng(7)
    letters = {}
    for number in range(60):
        rate, nights = random.uniform(0, 0.3), ["s"]
        for _ in range(59):
            chance = 0.6 if nights[-1] == "f" else rate
            nights.append("f" if random.random() < chance else "s")
        letters[f"vc-{number}"] = "".join(nights)
    table = bk.forecast(evaluate(letters)).reliability
    assert table["forecasts"].sum() > 1_000
    expected = table["predicted"] * table["forecasts"]
    error = np.sqrt(table["forecasts"] * table["predicted"] * (1 - table["predicted"]))
    assert ((table["observed"] - expected).abs() <= 3.5 * error + 1).all()
    assert table["share"].is_monotonic_increasing
