"""Properties of evaluations: the order of rows, split periods, and what is known later."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

import pandas as pd
import pytest

from backupkit import Policy, evaluate_frames
from backupkit.assessment.context import Period
from backupkit.tables import (
    JOBS,
    POLLS,
    SLOT_STATES,
    STATES,
    HistoryView,
)
from tests.builders import END, START, frame, schedules_of
from tests.conftest import SEED, repeats
from tests.random_fleets import APPLIANCES, Case, assert_same, random_case

CASES = repeats(1, 60)
DAY, HOUR, MINUTE = pd.Timedelta(days=1), pd.Timedelta(hours=1), pd.Timedelta(minutes=1)


def some_cases() -> Iterator[tuple[Random, Case]]:
    """Yield random fleets, each with the source of its random numbers."""
    for number in range(CASES):
        random = Random(f"{SEED} {number}")  # noqa: S311 # no secret
        yield random, random_case(random)


def change_rows(known: HistoryView, change: Callable[[pd.DataFrame], pd.DataFrame]) -> HistoryView:
    """Change the rows of jobs, polls and schedules."""
    return HistoryView(change(known.jobs), change(known.polls), change(known.schedules))


@pytest.mark.property
def test_rows_in_any_order() -> None:
    """The order of the rows changes nothing, and rows that are there twice change nothing."""
    for random, case in some_cases():
        seed = random.randrange(10**6)
        schedules = case.known.schedules.drop_duplicates(["appliance", "schedule", "seen_at"])
        polls = case.known.polls.drop_duplicates(["appliance", "polled_at"])
        known = HistoryView(case.known.jobs, polls, schedules)
        expected = case.evaluate_frames(known)
        permuted = change_rows(known, partial(pd.DataFrame.sample, frac=1, random_state=seed))
        assert_same(case.evaluate_frames(permuted), expected)
        doubled = change_rows(known, lambda rows: pd.concat([rows, rows], ignore_index=True))
        got = case.evaluate_frames(doubled)
        assert_same(replace(got, version=expected.version), expected)


@pytest.mark.property
def test_split_periods() -> None:
    """The times and the slots of two periods add up to those of both together."""
    for random, case in some_cases():
        times = case.times
        step = (times.end - times.start) / 40
        middle = (times.start + random.randrange(1, 40) * step).floor("min")
        one, two, both = (
            Case(case.known, case.policy, Period(start, end, times.now, "Etc/UTC"), case.as_if)
            for start, end in (
                (times.start, middle),
                (middle, times.end),
                (times.start, times.end),
            )
        )
        first, second, whole = (each.evaluate_frames(case.known) for each in (one, two, both))
        columns = [*STATES, *(f"slots_{state}" for state in SLOT_STATES)]
        columns += ["attempts", "attempts_ok", "first_attempts", "first_attempts_ok"]
        order = whole.appliances.index
        total = first.appliances.loc[order, columns] + second.appliances.loc[order, columns]
        pd.testing.assert_frame_equal(total, whole.appliances[columns])
        slots = pd.concat([first.slots, second.slots])
        by = ["appliance", "slot"]
        pd.testing.assert_frame_equal(
            slots.sort_values(by, ignore_index=True),
            whole.slots.sort_values(by, ignore_index=True),
        )


def nights_of(random: Random) -> list[dict[str, Any]]:
    """Draw runs of a week, with their final states."""
    rows = []
    for name in (f"vc-{number}" for number in range(APPLIANCES)):
        for night in range(8):
            for attempt in range(random.choice([0, 1, 1, 1, 2])):
                start = START + night * DAY + HOUR
                start += random.choice([0, 0, 10, 59, 61, 300, 1100]) * MINUTE
                rows.append(
                    {
                        "appliance": name,
                        "job_id": f"{night}-{attempt}",
                        "outcome": random.choice(["success", "success", "failure"]),
                        "start_time": start,
                        "end_time": start + random.choice([5, 20, 90, 700, 1500]) * MINUTE,
                        "type": random.choice(["SCHEDULED", "SCHEDULED", "MANUAL"]),
                    }
                )
    return rows


def judge_as_of(
    rows: list[dict[str, Any]], polls: pd.DataFrame, policy: Policy, now: pd.Timestamp
) -> dict[tuple[str, pd.Timestamp], str]:
    """Judge the slots by what the polls up to a time have seen: the state of each."""
    seen = polls[(polls["polled_at"] <= now) & polls["ok"]].groupby("appliance")["polled_at"].max()
    known = []
    for row in rows:
        last = seen.get(row["appliance"], START - DAY)
        if row["start_time"] <= last and row["end_time"] > last:
            known.append(row | {"outcome": "open", "end_time": None})
        elif row["start_time"] <= last:
            known.append(row)
    names = [f"vc-{number}" for number in range(APPLIANCES)]
    plans = schedules_of([(name, "01T00:00", 1, 0) for name in names])
    a = evaluate_frames(
        frame(JOBS, known), polls, plans, policy, start=START, end=min(now, END), now=now
    )
    keys = zip(a.slots["appliance"], a.slots["slot"], strict=True)
    return dict(zip(keys, a.slots["state"], strict=True))


MAY_BECOME = {
    "met": {"met"},
    "rescued": {"rescued", "met"},
    "late": {"late"},
    "missed_failed": {"missed_failed", "late"},
    "missed_overrun": {"missed_overrun", "missed_failed", "late"},
}
"""States of a slot, and those that it may have later; a slot without a run may still get one."""


@pytest.mark.property
def test_later_now() -> None:
    """A slot that is resolved stays so, except that a missed one may be late in the end."""
    seen: set[tuple[str, str]] = set()
    for number in range(repeats(2, 100)):
        random = Random(f"{SEED} {number} later")  # noqa: S311 # no secret
        rows = nights_of(random)
        polls = frame(
            POLLS,
            [
                {"appliance": f"vc-{name}", "polled_at": START + hour * HOUR, "ok": good}
                for name in range(APPLIANCES)
                for hour in range(-24, 10 * 24, 3)
                for good in [random.random() < 0.7]
            ],
        )
        policy = Policy(completion=random.choice([None, "2h"]), late=random.choice(["1h", "3h"]))
        moments = sorted(START + random.randrange(24, 240) * HOUR for _ in range(4))
        judged = [judge_as_of(rows, polls, policy, now) for now in moments]
        for then, after in pairwise(judged):
            pairs = {(state, after[slot]) for slot, state in then.items()}
            seen |= pairs
            for before, now in pairs:
                assert now in MAY_BECOME.get(before, {*SLOT_STATES}), (number, before, now)
                if before == "missed_norun":
                    assert now not in ("met", "pending", "unknown"), (number, now)
    assert ("missed_overrun", "late") in seen
