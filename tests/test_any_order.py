"""Snapshots that arrive in any order give the same frames as in their order."""

from collections.abc import Callable, Sequence
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from backupkit.assessment import evaluate
from backupkit.history import History
from backupkit.policy import Policy
from tests.builders import START, observation, poll, schedule, snapshot_of
from tests.conftest import Place, repeats

DAY, HOUR = pd.Timedelta(days=1), pd.Timedelta(hours=1)
POLICY = Policy(staleness="2d")
ORDERS = ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3])


def morning(day: int) -> SimpleNamespace:
    """Return what a collector reads that knows nothing: all jobs, as they are that morning.

    Each night has a job from 01:00 to 02:30, the last of which still runs at 02:00. On the third
    day the schedule moves to 01:30, and on the fifth one it is gone.
    """
    now = START + day * DAY + 2 * HOUR
    rows = []
    for night in range(max(day - 2, 0), day + 1):
        start = START + night * DAY + HOUR
        is_open = night == day
        rows.append(
            observation("vc", f"{night}", "RUNNING" if is_open else "SUCCEEDED", type="SCHEDULED")
            | {
                "state": "INPROGRESS" if is_open else "SUCCEEDED",
                "start_time": start,
                "end_time": None if is_open else start + 1.5 * HOUR,
                "observed_at": now,
                "progress": 60 if is_open else 100,
                "source": "details",
            }
        )
    if day > 2:  # it is no longer listed
        rows.append({"appliance": "vc", "job_id": "0", "observed_at": now, "source": "list"})
    plan = schedule("vc", seen_at=now, minute=0 if day < 2 else 30)
    if day == 4:
        gone = {"appliance": "vc", "schedule": "default", "seen_at": now, "removed": True}
        plan = gone
    return snapshot_of(rows, [poll("vc", now, schedules_read=int(day < 4))], [plan])


SNAPSHOTS = [morning(day) for day in range(5)]


def fill(target: str, order: Sequence[int], imported: Sequence[bool] = (False,) * 5) -> History:
    """Append snapshots in an order."""
    history = History(target)
    for day, keep_all in zip(order, imported, strict=True):
        history._append(SNAPSHOTS[day], keep_all=keep_all)
    return history


def assert_alike(history: History, expected: History) -> None:
    """Compare all frames of two histories, and what follows from them."""
    assert_frame_equal(history.jobs(), expected.jobs())
    assert_frame_equal(history.schedules(), expected.schedules())
    assert_frame_equal(history.polls(), expected.polls())
    for day in (2.5, 3.5):
        at = START + day * DAY
        assert_frame_equal(history.jobs(at=at), expected.jobs(at=at))
        assert_frame_equal(history.schedules(at=at), expected.schedules(at=at))
    period: dict[str, Any] = {"start": START, "end": START + 5 * DAY, "now": START + 5 * DAY}
    got, wanted = (evaluate(one, POLICY, **period) for one in (history, expected))
    for name in ("appliances", "slots", "jobs", "coverage", "intervals", "lint"):
        assert_frame_equal(getattr(got, name), getattr(wanted, name))
    assert history.verify().empty


def test_in_order(target: str) -> None:
    """Slots of the past are judged by the schedule of their time."""
    history = fill(target, range(5))
    assert history.jobs()["outcome"].to_list() == [*["success"] * 4, "open"]
    assert history.jobs()["vanished_at"].notna().to_list() == [True, *[False] * 4]
    assert history.schedules()["minute"].fillna(-1).to_list() == [0, 30, -1]


@pytest.mark.parametrize("order", ORDERS)
def test_order(target: str, order: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Snapshots appended in another order give the same frames."""
    expected = fill(str(tmp_path_factory.mktemp("expected") / "history.db"), range(5))
    history = fill(target, order)
    assert_alike(history, expected)
    for day in order:
        assert history.append(SNAPSHOTS[day]).observations == 0


@pytest.mark.property
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_there_and_back(make_history: Callable[[], History], order: tuple[int, ...]) -> None:
    """A schedule that was changed and changed back is as if all had arrived in order."""
    snapshots = [
        snapshot_of(
            [],
            [poll("vc", START + day * DAY, schedules_read=1)],
            [schedule("vc", seen_at=START + day * DAY, minute=minute)],
        )
        for day, minute in enumerate((0, 30, 0))
    ]
    histories = [make_history(), make_history()]
    for history, days in zip(histories, (range(3), order), strict=True):
        for day in days:
            history.append(snapshots[day])
    expected, got = (history.schedules() for history in histories)
    assert expected["minute"].to_list() == [0, 30, 0]
    assert_frame_equal(got, expected)


@settings(max_examples=repeats(2, 100))
@given(
    order=st.permutations(range(5)),
    imported=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_any_order(place: Place, order: list[int], imported: list[bool]) -> None:
    """Appends and imports in any order give the same frames."""
    with place() as one, place() as other:
        assert_alike(fill(one, order, imported), fill(other, range(5)))
