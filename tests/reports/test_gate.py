"""The check of a pipeline gate: the age of the newest recovery point of each appliance."""

from datetime import timedelta

import pandas as pd
import pytest

from backupkit.assessment import Assessment
from backupkit.policy import Member
from backupkit.reports.gate import check_age
from tests.builders import END, assess, job, poll

DAY = timedelta(hours=24)


def assess_named(*names: str) -> Assessment:
    """Evaluate appliances of which each is in the state that its name says.

    The newest job starts at 01:00 of the last day: it is 23 h old.
    """
    jobs = [job(name, 6) for name in names if "never" not in name and "old" not in name]
    jobs += [job(name, 4) for name in names if "old" in name]
    polls = [
        poll(name, END, jobs_listed=2, jobs_unread=1 if "partial" in name else 0)
        for name in names
        if "off" not in name and "unseen" not in name
    ]
    before = END - pd.Timedelta(minutes=5)
    for name in names:
        if "off" in name:
            polls += [poll(name, before), poll(name, END, "unreachable", detail="no | route.")]
    members = [Member(appliance=name) for name in names]
    return assess([one for one in jobs if "unseen" not in one["appliance"]], polls, [], members)


@pytest.mark.parametrize(
    ("name", "code", "sentence", "exposure"),
    [
        ("vc-1", 0, "vc-1: the newest recovery point is 23 h old (limit 24 h)", "82800s"),
        ("vc-off", 0, "vc-off: the newest recovery point is 23 h old (limit 24 h)", "82800s"),
        ("vc-old", 2, "vc-old: the newest recovery point is 71 h old (limit 24 h)", "255600s"),
        ("vc-never", 2, "vc-never: it has no recovery point", "U"),
        (
            "vc-old-off",
            3,
            "vc-old-off: {}, but it could not be read: no / route",
            "255600s",
        ),
        (
            "vc-old-partial",
            3,
            "vc-old-partial: {}, but some of its jobs could not be read",
            "255600s",
        ),
        ("vc-unseen", 3, "vc-unseen: it was never read", "U"),
    ],
)
def test_one_appliance(name: str, code: int, sentence: str, exposure: str) -> None:
    """One appliance is judged by the age alone, and unknown only if a newer backup may exist."""
    result, [age] = check_age(assess_named(name), DAY)
    assert (result.code, result.status) == (code, age.status)
    reason = sentence.format("the newest recovery point is 71 h old (limit 24 h)")
    assert result.line == f"{result.status}: {reason} | worst_exposure={exposure};;86400;0"


def test_limit_is_inclusive() -> None:
    """A recovery point that is exactly as old as the limit is OK."""
    a = assess_named("vc-1")
    assert check_age(a, timedelta(hours=23))[0].code == 0
    assert check_age(a, timedelta(hours=23) - timedelta(microseconds=1))[0].code == 2


def test_excluded_appliance() -> None:
    """An exclusion from the SLA does not matter for the gate."""
    members = [Member(appliance="vc-1", exclude="retired")]
    a = assess([job("vc-1", 4)], [poll("vc-1")], [], members)
    assert a.figures["state"].to_list() == ["excluded"]
    assert check_age(a, DAY)[0].code == 2


def test_worst_decides() -> None:
    """Of several appliances the worst decide, and only they are named."""
    good = assess_named("vc-1", "vc-2")
    assert check_age(good, DAY)[0].line == (
        "OK: the newest recovery point of each of 2 appliances is at most 24 h old | "
        "worst_exposure=82800s;;86400;0"
    )
    unknown = check_age(assess_named("vc-1", "vc-unseen"), DAY)[0]
    assert (unknown.code, unknown.sentence) == (
        3,
        "1 of 2 appliances: vc-unseen: it was never read",
    )
    worst = check_age(assess_named("vc-unseen", *(f"old-{n}" for n in range(7))), DAY)[0]
    assert worst.code == 2
    assert worst.sentence.startswith("7 of 8 appliances: old-0: the newest recovery point is 71 h")
    assert worst.sentence.endswith("; and 2 more")
    assert "vc-unseen" not in worst.sentence


def test_no_appliance() -> None:
    """Without an appliance the result is unknown."""
    result, ages = check_age(assess(), DAY)
    assert (result.line, ages) == (
        "UNKNOWN: no appliance is selected | worst_exposure=U;;86400;0",
        (),
    )


def test_json() -> None:
    """Ages are seconds and times ISO 8601; what is not known is null."""
    _, [never, known] = check_age(assess_named("vc-1", "never"), DAY)
    assert never.to_json() == {
        "appliance": "never",
        "status": "CRITICAL",
        "reason": "it has no recovery point",
        "age": None,
        "recovery_point": None,
    }
    assert known.to_json() | {"reason": ""} == {
        "appliance": "vc-1",
        "status": "OK",
        "reason": "",
        "age": 82800.0,
        "recovery_point": "2026-11-08T01:00:00+00:00",
    }
