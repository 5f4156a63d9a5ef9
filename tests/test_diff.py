"""Comparison of two assessments of a fleet."""

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

import backupkit as bk
from backupkit.assessment import CHANGE_KINDS, Assessment, Comparison
from backupkit.policy import Member, Policy
from backupkit.tables import CHANGES, JOBS, POLLS, SCHEDULES, WARNING_SCORES
from tests.builders import DISK_FULL, END, frame, message, nights, poll, schedule

DAY = pd.Timedelta(days=1)
PIPE = [message("Broken pipe", "x.pipe")]
FLEET = {
    # nights from the 1st on; compared are the 6th and the 9th
    "recovers": "sssff.ss",
    "breaks": "ssssssff",
    "goes": "ssssssss",
    "comes": "ssssssss",
    "same": "ssssssss",
    "leaves": "ssssssss",
    "joins": "....ssss",
    "joins-bad": "......ff",
    "paused": "ssssssss",
    "resumes": "ssssssss",
}


def daily_polls(name: str) -> list[dict[str, Any]]:
    """Build the polls of an appliance at each midnight."""
    times = [END - n * DAY for n in range(7, -1, -1)]
    if name == "leaves":
        return [poll(name, time) for time in times[:5]]
    if name in {"joins", "joins-bad"}:
        return [poll(name, time) for time in times[5:]]
    failed = {"goes": times[4:], "comes": times[:5]}.get(name, [])
    return [poll(name, time, "unreachable" if time in failed else None) for time in times]


@pytest.fixture(scope="module")
def evaluate() -> Callable[[pd.Timestamp], Assessment]:
    """Return a function that evaluates the three days before a time."""
    jobs = [row for name, outcomes in FLEET.items() for row in nights(name, outcomes)]
    for row in jobs:
        row["first_seen_at"] = row["end_time"]
        if row["outcome"] == "failure":
            row["messages"] = DISK_FULL if row["appliance"] == "recovers" else PIPE
    polls = [row for name in FLEET for row in daily_polls(name)]
    schedules = [schedule(name) for name in FLEET]
    names = [name for name in FLEET if name != "leaves"]

    def at(moment: pd.Timestamp) -> Assessment:
        excluded = "paused" if moment == END else "resumes"
        policy = Policy(
            rpo="24h",
            grace="2h",
            staleness="25h",
            members=[
                Member(appliance=name, exclude="moved" if name == excluded else None)
                for name in names
            ],
        )
        frames = frame(JOBS, jobs), frame(POLLS, polls), frame(SCHEDULES, schedules)
        return bk.evaluate_frames(*frames, policy, start=moment - 3 * DAY, end=moment, now=moment)

    return at


@pytest.fixture(scope="module")
def comparison(evaluate: Callable[[pd.Timestamp], Assessment]) -> Comparison:
    """Return the comparison of the 9th with the 6th."""
    return bk.compare(evaluate(END - 3 * DAY), evaluate(END))


def test_each_kind_is_found(comparison: Comparison) -> None:
    """Each changed appliance has the kind of its change, the worst first."""
    changes = comparison.changes
    CHANGES.check(changes)
    found = changes.loc[changes["appliance"].notna(), ["kind", "appliance"]].to_numpy().tolist()
    assert sorted(map(tuple, found)) == sorted(
        [
            ("newly in breach", "breaks"),
            ("newly in breach", "joins-bad"),
            ("newly unknown", "goes"),
            ("no longer in fleet.toml", "leaves"),
            ("newly excluded", "paused"),
            ("new appliance", "joins"),
            ("recovered", "recovers"),
            ("readable again", "comes"),
            ("back in scope", "resumes"),
        ]
    )
    order = [CHANGE_KINDS.index(kind) for kind in changes["kind"]]
    assert order == sorted(order)


def test_states_and_reasons(comparison: Comparison) -> None:
    """A change has the state before and after, and the reason."""
    about = comparison.changes.dropna(subset=["appliance"])
    rows = {row["appliance"]: row for row in about.to_dict("records")}
    assert (rows["breaks"]["state_before"], rows["breaks"]["state_after"]) == (
        "compliant",
        "breach",
    )
    assert "2 failures in a row" in rows["breaks"]["detail"]
    assert pd.isna(rows["joins"]["state_before"])
    assert pd.isna(rows["leaves"]["state_after"])


def test_signatures(comparison: Comparison) -> None:
    """New error patterns, and those that ended, are changes."""
    rows = comparison.changes[comparison.changes["signature"].notna()].set_index("kind")
    assert rows.loc["new failure", "signature"] == "Broken pipe"
    assert rows.loc["new failure", "detail"] == "4 jobs of 2 appliances"
    assert rows.loc["failure not seen again", "signature"] == "No space left"


def test_sentence(comparison: Comparison) -> None:
    """The sentence counts the kinds, the worst first."""
    assert comparison.sentence == (
        "2 newly in breach, 1 newly unknown, 1 new failure, 1 no longer in fleet.toml, "
        "1 newly excluded, 1 new appliance, 1 recovered, 1 readable again, 1 back in scope, "
        "1 failure not seen again"
    )


def test_plurals(comparison: Comparison) -> None:
    """Two changes of each kind are in the plural; states have none."""
    twice = pd.concat([comparison.changes] * 2, ignore_index=True)
    assert replace(comparison, changes=twice).sentence == (
        "4 newly in breach, 2 newly unknown, 2 new failures, 2 no longer in fleet.toml, "
        "2 newly excluded, 2 new appliances, 2 recovered, 2 readable again, 2 back in scope, "
        "2 failures not seen again"
    )


def test_nothing_changed(evaluate: Callable[[pd.Timestamp], Assessment]) -> None:
    """An assessment compared with itself has no change."""
    same = evaluate(END)
    equal = bk.compare(same, same)
    assert (len(equal.changes), equal.sentence) == (0, "nothing changed")


def test_a_vanished_appliance(evaluate: Callable[[pd.Timestamp], Assessment]) -> None:
    """An appliance without data in the later assessment is reported as gone."""
    before = evaluate(END - 3 * DAY)
    after = evaluate(END)
    others = [name for name in after.appliances.index if name != "same"]
    smaller = after.replaced(appliances=after.appliances.loc[others])
    rows = bk.compare(before, smaller).changes
    assert ["no longer in fleet.toml", "same", "compliant"] in (
        rows[["kind", "appliance", "state_before"]].to_numpy().tolist()
    )


def test_before_the_first_poll(evaluate: Callable[[pd.Timestamp], Assessment]) -> None:
    """A comparison with an assessment without data has no change, and a sentence of its own."""
    before, after = evaluate(END - 9 * DAY), evaluate(END)
    unknown = bk.compare(before, after)
    assert (len(unknown.changes), unknown.sentence) == (0, "nothing was known yet then")
    of_history = bk.compare(dataclasses.replace(before, version=""), after)
    assert of_history.sentence == "nothing was known yet then"


class TestWarnings:
    """Warnings of the earlier assessment, scored by the later one."""

    def test_scored(self, evaluate: Callable[[pd.Timestamp], Assessment]) -> None:
        """Each warning of then has a result, and a breach without one is missed."""
        before, after = evaluate(END - 2 * DAY + pd.Timedelta(hours=2)), evaluate(END)
        assert before.warnings["appliance"].to_list() == ["breaks"]
        scores = bk.compare(before, after).warnings.set_index("appliance")["result"].to_dict()
        assert scores["breaks"] == "came true"

    @pytest.mark.parametrize(
        ("results", "sentence"),
        [
            ([], ""),
            (["came true", "open", "open"], "of 3 warnings: 1 came true, 2 open"),
            (["came true", "missed"], "of 1 warning: 1 came true; 1 in breach without a warning"),
            (["missed"], "no warning was issued; 1 in breach without a warning"),
        ],
    )
    def test_sentence(
        self,
        evaluate: Callable[[pd.Timestamp], Assessment],
        results: list[str],
        sentence: str,
    ) -> None:
        """The sentence counts the warnings by result."""
        comparison = bk.compare(evaluate(END), evaluate(END))
        assert comparison.warnings.empty
        scored = WARNING_SCORES.frame({"result": results})
        assert dataclasses.replace(comparison, warnings=scored).warning_sentence == sentence
