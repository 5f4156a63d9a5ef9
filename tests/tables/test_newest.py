"""The newest observation of each job, compared with the rules in plain Python."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from backupkit.history.observations import fold, to_observations
from backupkit.tables import JOBS, jobs_from
from tests.builders import DETAILS, at, observation_at, observations
from tests.conftest import repeats
from tests.history_rows import group_rows, to_jobs, to_rows

WORDS = ["SUCCEEDED", "FAILED", "INPROGRESS", "PENDING", "NONE", "NEW", None]


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw observations of a few jobs, in any order, no two of a job at one time."""
    names = st.sampled_from(["vc-1", "vc-10", "vc-2", "Ä"])
    jobs = st.sampled_from(["a", "b", "", "Ω", "20260301-040000-1", "20260301-040000-1234567890"])
    keys = draw(st.sets(st.tuples(names, jobs, st.integers(0, 9)), max_size=24))
    observed = [draw(observation(*key)) for key in sorted(keys)]
    return draw(st.permutations(observed))


@st.composite
def observation(draw: st.DrawFn, name: str, job: str, minute: int) -> dict[str, Any]:
    """Draw one observation."""
    other = DETAILS | {"type": "MANUAL", "size": 8, "location": "nfs://h/y", "build": "2"}
    lacking = draw(st.sampled_from([[None], []]))  # without [], the latest reported value counts
    details = {
        key: draw(st.sampled_from([*lacking, value, other[key]])) for key, value in DETAILS.items()
    }
    details["source"] = draw(st.sampled_from(["job", "details", "list"]))
    ended = draw(st.sampled_from([None, 3, 4]))
    return (
        observation_at(minute, "", appliance=name, job_id=job)
        | details
        | {
            "status": draw(st.sampled_from(WORDS)),
            "start_time": draw(st.sampled_from([None, at(0), at(1)])),
            "end_time": None if ended is None else at(ended),
            "progress": draw(st.sampled_from([None, 50])),
            "read_error": draw(st.sampled_from([None, "start_time is null"])),
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


def job_of(own: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the job of some observations, if it was ever reported."""
    own = sorted(own, key=lambda row: row["observed_at"])
    observed = [row for row in own if row["source"] != "list"]
    if not observed:
        return
    chosen = ([row for row in observed if row["status"] in ("SUCCEEDED", "FAILED")] or observed)[-1]
    details = {}
    for name in ("type", "size", "location", "build"):
        having = [row[name] for row in observed if row[name] is not None]
        details[name] = having[-1] if having else chosen[name]
    last = observed[-1]["observed_at"]
    gone = [row["observed_at"] for row in own if row["source"] == "list"]
    started = [row["start_time"] for row in observed if row["start_time"] is not None]
    start = chosen["start_time"] or (started[-1] if started else None)
    end = chosen["end_time"]
    yield (
        chosen
        | details
        | {
            "outcome": OUTCOMES.get(chosen["status"], "other"),
            "start_time": start,
            "duration": None if start is None or end is None else end - start,
            "first_seen_at": observed[0]["observed_at"],
            "last_seen_at": last,
            "vanished_at": min((moment for moment in gone if moment > last), default=None),
        }
    )


def jobs_of(observed: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the jobs by appliance, start (missing ones last) and id."""
    keys = {(row["appliance"], row["job_id"]) for row in observed}
    jobs = [
        job
        for key in keys
        for job in job_of([row for row in observed if (row["appliance"], row["job_id"]) == key])
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


@pytest.mark.property
@settings(max_examples=repeats(30, 300))
@given(rows())
def test_jobs_from(observed: list[dict[str, Any]]) -> None:
    """Jobs are what the rules, applied row by row, return for observations in any order."""
    assert_frame_equal(jobs_from(observations(*observed)), jobs_of(observed))


@pytest.mark.property
@settings(max_examples=repeats(30, 300))
@given(rows())
def test_fold(observed: list[dict[str, Any]]) -> None:
    """An append makes the same jobs, row by row."""
    groups = group_rows(to_rows(observations(*observed)))
    jobs = [job for rows in groups.values() if (job := fold(rows)) is not None]
    assert sorted(jobs) == sorted(to_jobs(jobs_of(observed)))


@pytest.mark.property
@settings(max_examples=repeats(30, 300))
@given(rows())
def test_fold_known(observed: list[dict[str, Any]]) -> None:
    """Folding later observations into known jobs equals folding all observations."""
    early = [row for row in observed if row["observed_at"] < at(5)]
    known = jobs_from(observations(*early))
    ended = known.set_index(["appliance", "job_id"])["outcome"].isin(["success", "failure"])
    # of a job that ended, only finished observations
    late = [
        row
        for row in observed
        if row["observed_at"] >= at(5)
        and (
            row["source"] == "list"
            or not ended.get((row["appliance"], row["job_id"]), False)
            or row["status"] in ("SUCCEEDED", "FAILED")
        )
    ]
    jobs = {job.key: job for job in to_jobs(known)}
    new = group_rows(to_rows(observations(*late)))
    folded = [
        fold(
            [*(to_observations(jobs[key]) if key in jobs else ()), *new.get(key, ())],
            first_seen_at=jobs[key].first_seen_at if key in jobs else None,
        )
        for key in jobs.keys() | new.keys()
    ]
    alone = [
        row
        for row in early
        if not any(
            row["appliance"] == name and row["job_id"] == job
            for name, job in known[["appliance", "job_id"]].to_numpy().tolist()
        )
    ]
    rest = [row for row in early if row not in alone]
    expected = {job.key: job for job in to_jobs(jobs_of([*rest, *late]))}
    assert {job.key: job for job in folded if job is not None} == expected


def test_out_of_order() -> None:
    """Of rows in another order than observed the latest counts."""
    observed = observations(
        *(observation_at(minute, "INPROGRESS", progress=minute) for minute in (5, 9, 1))
    )
    jobs = jobs_from(observed)
    assert jobs["progress"].to_list() == [9]
    assert jobs["first_seen_at"].to_list() == [pd.Timestamp(at(1))]


@pytest.mark.parametrize("beside", [[], [observation_at(9, "", job_id="2")]])
def test_details_after_the_end(beside: list[dict[str, Any]]) -> None:
    """Details come from the newest row that has them, independent of other jobs."""
    first = observation_at(0, "SUCCEEDED", end_time=at(0), **DETAILS)
    later = observation_at(5, "INPROGRESS", **(DETAILS | {"size": 8}))
    jobs = jobs_from(observations(first, later, *beside))
    assert jobs["status"].to_list()[0] == "SUCCEEDED"
    assert jobs["size"].to_list()[0] == 8
