"""The newest observation of each job, against the rules told row by row in plain Python."""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from backupkit.tables import JOBS, OBSERVATIONS, newest_of
from tests.tables.test_jobs import DETAILS, at, observations, seen

NEWEST: Any = sys.modules["backupkit.tables.newest"]
NUMBERING: Any = sys.modules["backupkit.tables.numbering"]
WORDS = ["SUCCEEDED", "FAILED", "INPROGRESS", "PENDING", "NONE", "NEW", None]


def _limit(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    """Change what is looked at at once, or how texts are numbered."""
    for name, value in values.items():
        for module in (NEWEST, NUMBERING):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw observations of a few jobs, in any order, no two of a job at one moment."""
    names = st.sampled_from(["vc-1", "vc-10", "vc-2", "Ä"])
    jobs = st.sampled_from(["a", "b", "", "Ω", "20260301-040000-1", "20260301-040000-1234567890"])
    keys = draw(st.sets(st.tuples(names, jobs, st.integers(0, 9)), max_size=24))
    told = [draw(observation(*key)) for key in sorted(keys)]
    return draw(st.permutations(told))


@st.composite
def observation(draw: st.DrawFn, name: str, job: str, minute: int) -> dict[str, Any]:
    """Draw one observation."""
    other = DETAILS | {"type": "MANUAL", "size": 8, "location": "nfs://h/y", "build": "2"}
    lacking = draw(st.sampled_from([[None], []]))  # of none, what is told lately counts as well
    details = {
        key: draw(st.sampled_from([*lacking, value, other[key]])) for key, value in DETAILS.items()
    }
    details["source"] = draw(st.sampled_from(["job", "details", "list"]))
    ended = draw(st.sampled_from([None, 3, 4]))
    return (
        seen(minute, "", appliance=name, job_id=job)
        | details
        | {
            "status": draw(st.sampled_from(WORDS)),
            "start_time": draw(st.sampled_from([None, at(0), at(1)])),
            "end_time": None if ended is None else at(ended),
            "progress": draw(st.sampled_from([None, 50])),
            "messages": draw(st.sampled_from([[], None, [{"id": "x", "args": [name]}]])),
        }
    )


OUTCOMES = {
    "SUCCEEDED": "success",
    "FAILED": "failure",
    "INPROGRESS": "open",
    "PENDING": "open",
    "NONE": "void",
}


def told_of(own: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Tell what is known of one job, if it was ever told."""
    own = sorted(own, key=lambda row: row["observed_at"])
    told = [row for row in own if row["source"] != "list"]
    if not told:
        return
    chosen = ([row for row in told if row["status"] in ("SUCCEEDED", "FAILED")] or told)[-1]
    details = {}
    for name in ("type", "size", "location", "build"):
        having = [row[name] for row in told if row[name] is not None]
        details[name] = having[-1] if having else chosen[name]
    last = told[-1]["observed_at"]
    gone = [row["observed_at"] for row in own if row["source"] == "list"]
    start, end = chosen["start_time"], chosen["end_time"]
    yield (
        chosen
        | details
        | {
            "outcome": OUTCOMES.get(chosen["status"], "other"),
            "duration": None if start is None or end is None else end - start,
            "first_seen_at": told[0]["observed_at"],
            "last_seen_at": last,
            "vanished_at": min((moment for moment in gone if moment > last), default=None),
        }
    )


def jobs_of(told: list[dict[str, Any]]) -> pd.DataFrame:
    """Tell what is known of each job, by appliance, start (unknown ones last) and id."""
    keys = {(row["appliance"], row["job_id"]) for row in told}
    jobs = [
        job
        for key in keys
        for job in told_of([row for row in told if (row["appliance"], row["job_id"]) == key])
    ]
    jobs.sort(
        key=lambda job: (
            job["appliance"],
            job["start_time"] is None,
            job["start_time"] or at(0),
            job["job_id"],
        )
    )
    return JOBS.frame({name: [job[name] for job in jobs] for name in JOBS.names})


def as_stored(table: pa.Table, *, parts: int, encoded: bool) -> pa.Table:
    """Give rows as they come from several files, each with texts of its own."""
    names = ["appliance", "source", "state", "status", "type"]
    size = max(1, -(-len(table) // parts))
    pieces = []
    for begin in range(0, len(table), size):
        piece = table.slice(begin, size)
        for place, name in enumerate(piece.column_names if encoded else []):
            if name in names:
                column = piece[name].cast(pa.string()).dictionary_encode()
                piece = piece.set_column(place, name, column)
        pieces.append(piece)
    return pa.concat_tables(pieces) if pieces else table


@pytest.mark.property
@pytest.mark.parametrize(
    "within", [{}, {"AT_ONCE": 1}, {"AT_ONCE": 5}, {"_SPREAD": np.uint64(0)}, {"_SHORT": -1}]
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows(), st.integers(1, 3), st.booleans())
def test_newest_of(
    monkeypatch: pytest.MonkeyPatch,
    within: dict[str, Any],
    told: list[dict[str, Any]],
    parts: int,
    encoded: bool,  # noqa: FBT001 # hypothesis hands it over
) -> None:
    """It does not matter how rows are stored, how many are looked at at once, or numbered alike."""
    _limit(monkeypatch, **within)
    table = as_stored(OBSERVATIONS.to_arrow(observations(*told)), parts=parts, encoded=encoded)
    assert_frame_equal(newest_of(table), jobs_of(told))


ONE, OTHER = "20260301-040000-24322831", "20260302-040000-24322831"


@pytest.mark.parametrize("spread", [NUMBERING._SPREAD, np.uint64(0)])
def test_numbered_alike(monkeypatch: pytest.MonkeyPatch, spread: np.uint64) -> None:
    """Jobs are told apart by their ids, should two have the same number."""
    _limit(monkeypatch, _SPREAD=spread)
    told = observations(
        *(seen(0, "INPROGRESS", job_id=name, start_time=at(0)) for name in (OTHER, ONE)),
        *(seen(2, "SUCCEEDED", job_id=name, start_time=at(0)) for name in (ONE, OTHER)),
    )
    jobs = newest_of(OBSERVATIONS.to_arrow(told))
    assert jobs["job_id"].to_list() == [ONE, OTHER]
    assert jobs["status"].to_list() == ["SUCCEEDED", "SUCCEEDED"]


def test_numbered_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id has the same number beside ids of any length."""
    _limit(monkeypatch, AT_ONCE=2)
    long = ONE + "0"
    told = [(0, ONE), (1, OTHER), (2, ONE), (3, long), (4, long), (5, OTHER), (6, "20260301")]
    rows = observations(*(seen(minute, "INPROGRESS", job_id=name) for minute, name in told))
    assert sorted(newest_of(OBSERVATIONS.to_arrow(rows))["job_id"]) == [
        "20260301",
        ONE,
        long,
        OTHER,
    ]


def test_ids_as_few_texts() -> None:
    """Any text may be dictionary encoded."""
    table = OBSERVATIONS.to_arrow(observations(seen(0, "INPROGRESS"), seen(2, "SUCCEEDED")))
    for place, name in enumerate(table.column_names):
        if pa.types.is_string(table[name].type):
            table = table.set_column(place, name, table[name].dictionary_encode())
    assert newest_of(table)["status"].to_list() == ["SUCCEEDED"]


def test_not_stored_by_time() -> None:
    """Of rows that lie in another order than they were learnt in, the latest counts."""
    told = observations(*(seen(minute, "INPROGRESS", progress=minute) for minute in (5, 9, 1)))
    jobs = newest_of(OBSERVATIONS.to_arrow(told))
    assert jobs["progress"].to_list() == [9]
    assert jobs["first_seen_at"].to_list() == [pd.Timestamp(at(1))]


@pytest.mark.parametrize("beside", [[], [seen(9, "", job_id="2")]])
def test_details_after_the_end(beside: list[dict[str, Any]]) -> None:
    """What only details tell comes from the newest row that has it, whatever other jobs tell."""
    first = seen(0, "SUCCEEDED", end_time=at(0), **DETAILS)
    later = seen(5, "INPROGRESS", **(DETAILS | {"size": 8}))
    jobs = newest_of(OBSERVATIONS.to_arrow(observations(first, later, *beside)))
    assert jobs["status"].to_list()[0] == "SUCCEEDED"
    assert jobs["size"].to_list()[0] == 8


def test_frame_may_be_written_to() -> None:
    """What was read belongs to the frame alone."""
    table = OBSERVATIONS.to_arrow(observations(seen(0, "SUCCEEDED", end_time=at(3), size=1)))
    jobs: Any = newest_of(table)
    times = [name for name in JOBS.names if name.endswith(("_time", "_at", "duration"))]
    for name in [*times, "size", "progress", "appliance"]:
        jobs.loc[0, name] = jobs.loc[0, name]
    jobs.loc[0, "end_time"] = jobs.loc[0, "start_time"]
    assert jobs["end_time"].to_list() == [pd.Timestamp(at(0))]
    assert table["end_time"].to_pylist() == [pd.Timestamp(at(3))]
