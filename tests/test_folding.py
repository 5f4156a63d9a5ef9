"""The jobs of a history follow from its observations, whatever the order of appends."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from backupkit.history import History
from backupkit.tables import jobs_from, sync_state_from
from tests.builders import MESSAGE, at, observation, snapshot, snapshot_of, vanished_job
from tests.conftest import Place, repeats

NAMES = st.sampled_from(["vc-1", "vc-10", "Ä"])
IDS = st.sampled_from(["1", "2", ""])
MINUTES = st.integers(0, 8)
WORDS = st.sampled_from(["SUCCEEDED", "FAILED", "INPROGRESS", "PENDING", "NONE", "NEW", None])


@st.composite
def any_observation(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an observation of a job, or of its absence from the list."""
    key = {"appliance": draw(NAMES), "job_id": draw(IDS), "observed_at": at(draw(MINUTES))}
    if draw(st.booleans()) and draw(st.booleans()):
        return key | {"source": "list"}
    word = draw(WORDS)
    moment = st.sampled_from([None, 0, 1, 5])
    start, end = draw(moment), draw(moment)
    return key | {
        "state": word,
        "status": word,
        "start_time": None if start is None else at(start),
        "end_time": None if end is None else at(end),
        "progress": draw(st.sampled_from([None, 0, 50])),
        "messages": draw(st.sampled_from([None, [], [MESSAGE]])),
        "type": draw(st.sampled_from([None, "MANUAL", "SCHEDULED"])),
        "size": draw(st.sampled_from([None, 0, 7, 2**63 - 1])),
        "source": draw(st.sampled_from(["job", "details"])),
    }


@st.composite
def collection(draw: st.DrawFn) -> SimpleNamespace:
    """Draw a snapshot of any time: late, doubled or contradictory."""
    polls = draw(
        st.lists(st.tuples(NAMES, MINUTES, st.sampled_from([True, False, None])), max_size=3)
    )
    plans = draw(st.lists(st.tuples(NAMES, MINUTES, st.integers(0, 1)), max_size=2))
    return snapshot_of(
        draw(st.lists(any_observation(), max_size=6)),
        [{"appliance": name, "polled_at": at(minute), "ok": ok} for name, minute, ok in polls],
        [
            {"appliance": name, "schedule": "s", "seen_at": at(minute), "hour": hour}
            for name, minute, hour in plans
        ],
    )


def assert_folded(history: History) -> None:
    """Compare the stored jobs with those that follow from the observations."""
    seen = history.observations()
    assert_frame_equal(history.jobs(), jobs_from(seen))
    problems = history.verify()
    assert problems.empty, problems.to_string()


@pytest.mark.property
@settings(max_examples=repeats(4, 40))
@given(made=st.lists(collection(), max_size=5), data=st.data())
def test_any_sequence(place: Place, made: list[SimpleNamespace], data: st.DataObject) -> None:
    """Stored jobs follow from the observations after each append, import and removal."""
    with place() as target:
        history = History(target)
        for one in made:
            keep_all = data.draw(st.booleans())
            history._append(one, keep_all=keep_all)
            assert_folded(history)
            assert history._append(one, keep_all=keep_all).observations == 0
        sync_state = history.sync_state()
        expected = sync_state_from(history.observations(), history.polls(), history.schedules())
        for name in expected:
            assert sync_state[name] == expected[name]
        step = data.draw(st.sampled_from(["prune", "forget", "none"]))
        if step == "prune":
            history.prune(at(data.draw(MINUTES)))
        elif step == "forget" and len(history.polls()):
            name = str(history.polls()["appliance"].iloc[0])  # pragma: no cover # not in every run
            history.forget(name)  # pragma: no cover
        assert_folded(history)
        for one in made[:2]:
            history.append(one)
        assert_folded(history)


def test_stored_once(target: str) -> None:
    """A job observed once is one row; after a second observation both rows are separate."""
    history = History(target)

    def counts() -> list[int]:
        found = history.sql(
            "SELECT (SELECT COUNT(*) FROM jobs), (SELECT COUNT(*) FROM observations), "
            "(SELECT COUNT(*) FROM observations_apart)"
        )
        return [int(number) for number in found.iloc[0]]

    history.append(
        snapshot(1, observation("vc-1", "1", "INPROGRESS"), observation("vc-1", "2", "SUCCEEDED"))
    )
    assert counts() == [2, 2, 0]
    history.append(snapshot(2, observation("vc-1", "1", "SUCCEEDED")))
    assert counts() == [2, 3, 2]
    history.append(snapshot(3, vanished_job("vc-1", "2")))
    assert counts() == [2, 4, 3]
    assert_folded(history)
    assert history.jobs(at=at(1.5))["outcome"].to_list() == ["open", "success"]
    history.prune(at(1.5))
    assert counts() == [2, 2, 2]
    assert history.jobs()["outcome"].to_list() == ["success"]
    assert_folded(history)
