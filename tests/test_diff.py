"""What changed between two judgements of one fleet."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import backupkit as bk
from backupkit.assessment import CHANGE_KINDS, Assessment, Comparison
from backupkit.policy import Member, Policy
from backupkit.tables import CHANGES, JOBS, POLLS, SCHEDULES
from tests.builders import END, frame, nights, poll, schedule

DAY = pd.Timedelta(days=1)
DISK: list[dict[str, Any]] = [
    {"id": "x.disk", "default_message": "No space left", "args": [], "localized": None}
]
PIPE: list[dict[str, Any]] = [
    {"id": "x.pipe", "default_message": "Broken pipe", "args": [], "localized": None}
]
FLEET = {
    # nights from the 1st on: what was so on the 6th, and what is so on the 9th
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


def visits(name: str) -> list[dict[str, Any]]:
    """Visit an appliance each midnight, as far as it could be read."""
    moments = [END - n * DAY for n in range(7, -1, -1)]
    if name == "leaves":
        return [poll(name, when) for when in moments[:5]]
    if name in {"joins", "joins-bad"}:
        return [poll(name, when) for when in moments[5:]]
    blind = {"goes": moments[4:], "comes": moments[:5]}.get(name, [])
    return [poll(name, when, "unreachable" if when in blind else None) for when in moments]


@pytest.fixture(scope="module")
def judged() -> Callable[[pd.Timestamp], Assessment]:
    """Judge the fleet as of a moment, over the three days before it."""
    jobs = [row for name, outcomes in FLEET.items() for row in nights(name, outcomes)]
    for row in jobs:
        row["first_seen_at"] = row["end_time"]
        if row["outcome"] == "failure":
            row["messages"] = DISK if row["appliance"] == "recovers" else PIPE
    polls = [row for name in FLEET for row in visits(name)]
    plans = [schedule(name) for name in FLEET]
    members = [Member(appliance=name) for name in FLEET if name != "leaves"]

    def at(moment: pd.Timestamp) -> Assessment:
        apart = {"paused" if moment == END else "resumes"}
        policy = Policy(
            rpo="24h",
            grace="2h",
            staleness="25h",
            members=[
                Member(appliance=one.appliance, exclude="moved" if one.appliance in apart else None)
                for one in members
            ],
        )
        frames = frame(JOBS, jobs), frame(POLLS, polls), frame(SCHEDULES, plans)
        return bk.evaluate_frames(*frames, policy, start=moment - 3 * DAY, end=moment, now=moment)

    return at


@pytest.fixture(scope="module")
def comparison(judged: Callable[[pd.Timestamp], Assessment]) -> Comparison:
    """Compare the 9th with the 6th."""
    return bk.compare(judged(END - 3 * DAY), judged(END))


def test_each_kind_is_found(comparison: Comparison) -> None:
    """Each appliance that changed is told with the kind of its change, the worst first."""
    changes = comparison.changes
    CHANGES.check(changes)
    told = changes.loc[changes["appliance"].notna(), ["kind", "appliance"]].to_numpy().tolist()
    assert sorted(map(tuple, told)) == sorted(
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
    """A change tells the state before and after, and why."""
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
    """A failure never seen before is named with its weight, and one that is over is named."""
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


def test_nothing_changed(judged: Callable[[pd.Timestamp], Assessment]) -> None:
    """A judgement held against itself says that nothing changed."""
    same = judged(END)
    told = bk.compare(same, same)
    assert (len(told.changes), told.sentence) == (0, "nothing changed")


def test_a_vanished_appliance(judged: Callable[[pd.Timestamp], Assessment]) -> None:
    """An appliance of which no data are left is told as gone, too."""
    before = judged(END - 3 * DAY)
    after = judged(END)
    gone = [name for name in after.appliances.index if name != "same"]
    rest = {
        name: getattr(after, name) for name in after.__dataclass_fields__ if name != "appliances"
    }
    smaller = Assessment(**rest, appliances=after.appliances.loc[gone])
    rows = bk.compare(before, smaller).changes
    assert ["no longer in fleet.toml", "same", "compliant"] in (
        rows[["kind", "appliance", "state_before"]].to_numpy().tolist()
    )


def test_before_the_first_visit(judged: Callable[[pd.Timestamp], Assessment]) -> None:
    """Where nothing was known yet nothing changed, and the sentence says so."""
    before, after = judged(END - 9 * DAY), judged(END)
    told = bk.compare(before, after)
    assert (len(told.changes), told.sentence) == (0, "nothing was known yet then")
    of_history = bk.compare(dataclasses.replace(before, version=""), after)
    assert of_history.sentence == "nothing was known yet then"
