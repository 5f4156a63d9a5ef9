"""Windows, error budget, incidents, exposure and throughput in the report."""

from typing import Any

import pandas as pd

from backupkit.assessment import Assessment, evaluate_frames
from backupkit.policy import Member, Policy
from backupkit.reports.levels import build_levels, describe_levels
from backupkit.reports.page import render_page
from backupkit.tables import JOBS, POLLS, SCHEDULES
from tests.builders import END, START, assess, frame, job, nights, poll, schedule

GIB = 1_073_741_824


def levels(assessment: Assessment) -> dict[str, tuple[str, str]]:
    """Return result and basis of each figure, by name."""
    return {level.name: (level.result, level.basis) for level in build_levels(assessment)}


def own(assessment: Assessment) -> str:
    """Return the figures of appliance a."""
    [(_, row)] = assessment.appliances.iterrows()
    return describe_levels(row)


def judge(rows: list[dict[str, Any]], **numbers: Any) -> Assessment:  # noqa: ANN401 # a number of any kind
    """Evaluate the week of appliance a."""
    frames = (
        frame(JOBS, rows),
        frame(POLLS, [poll("a")]),
        frame(SCHEDULES, [schedule("a")]),
    )
    policy = Policy(members=[Member(appliance="a")], **numbers)
    return evaluate_frames(*frames, policy, start=START, end=END, now=END)


def test_a_quiet_week() -> None:
    """Without window, limit and incident, the figures say what there was to count."""
    quiet = judge(nights("a", "ssssssss"))
    assert levels(quiet) == {
        "Runs inside the backup window": ("no data", "the policy has no window"),
        "Runs inside the duration limit": ("no data", "the policy has no duration limit"),
        "Error budget spent": ("0.0 % (0 of 0.07)", "slots missed, 0 of 0.07 allowed"),
        "Error budget spent, unknown runs included": (
            "0.0 % (0 of 0.07)",
            "slots missed or unknown, 0 of 0.07 allowed",
        ),
        "Burn rate of the last 24 h": ("0 times", "slots missed, 0 of 0.01 allowed"),
        "Burn rate of the last 7 days": ("0 times", "slots missed, 0 of 0.07 allowed"),
        "Mean time to restore (MTTR)": ("no incident was closed", "0 closed"),
        "Mean time between incidents (MTBF)": (
            "none in 168 h observed",
            "0 new, 168 h observed without an incident",
        ),
        "Mean exposure": ("12 h 20 min", "168 h observed with a recovery point"),
    }
    assert own(quiet) == (
        "Mean exposure 12 h 20 min; MTBF none in 168 h observed; throughput 5.1 MiB/s"
    )


def test_a_week_with_incidents() -> None:
    """Example B of docs/sla.md, an incident from before, and one that is open."""
    rows = nights("a", "f.sfss.f")
    rows[0] |= {"type": "MANUAL"}
    rows.append(job("a", 2, job_id="retry", start_time=START + pd.Timedelta(days=2, hours=6)))
    rows[-1]["end_time"] = rows[-1]["start_time"] + pd.Timedelta(minutes=20)
    got = judge(rows, window="00:30-01:15", duration_limit="30m")
    found = levels(got)
    assert found["Runs inside the backup window"] == ("0.0 % (0 of 6 jobs)", "scheduled runs")
    assert found["Time past the window, of all runs"] == (
        "5 h 30 min",
        "finished runs; 0 more runs past it at the end",
    )
    assert found["Runs inside the duration limit"] == ("100.0 % (6 of 6 jobs)", "scheduled runs")
    assert found["Error budget spent"] == (
        "4285.7 % (3 of 0.07)",
        "slots missed, 3 of 0.07 allowed",
    )
    assert found["Burn rate of the last 24 h"] == (
        "100 times",
        "slots missed, 1 of 0.01 allowed",
    )
    # closed: 4 Nov 01:20 to 06:20; carried over: 1 Nov 01:20 to 3 Nov 01:20; open: 7 Nov 02:00
    assert found["Mean time to restore (MTTR)"] == (
        "5 h",
        "1 closed, 1 incident open, 1 incident from before the period",
    )
    assert found["Mean time between incidents (MTBF)"] == (
        "45 h 50 min",
        "2 new, 91.7 h observed without an incident",
    )
    text = own(got)
    assert "MTTR 5 h (1 closed incident); MTBF 45 h 50 min" in text
    assert "inside the window 0.0 % (0 of 6 runs), 5 h 30 min past it" in text
    assert "inside the duration limit 100.0 % (6 of 6 runs)" in text


def test_runs_inside_the_window_are_not_past_it() -> None:
    """An appliance whose runs keep to the window has no time past it."""
    text = own(judge(nights("a", "ssssssss"), window="00:00-02:00"))
    assert "inside the window 100.0 % (7 of 7 runs); " in text


def test_nothing_is_known() -> None:
    """Without a success and a slot there is no figure, only what there was to count."""
    empty = assess(members=[Member(appliance="a")])
    found = levels(empty)
    assert found["Error budget spent"] == ("no data", "no slot, or the target allows no miss")
    assert found["Mean exposure"] == ("no data", "0 h observed with a recovery point")
    assert own(empty) == "MTBF none in 0 h observed"


def test_no_run_of_a_window() -> None:
    """With a window and without a scheduled run there is nothing to divide by."""
    unused = judge([], window="01:00-02:00")
    assert levels(unused)["Runs inside the backup window"] == ("no data", "no scheduled run")


def test_in_the_page(week: Assessment) -> None:
    """The page has the figures of the fleet, of an appliance and of a target."""
    html = render_page(week)
    assert "Mean time between incidents (MTBF)" in html
    assert "Mean exposure 12 h 20 min; MTBF none in 168 h observed; throughput" in html
    assert "Usual throughput" in html
    assert "5.1 MiB/s" in html
