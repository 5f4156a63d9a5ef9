"""An assessment computes each frame when it is asked for, and its copies hold them."""

from dataclasses import replace
from random import Random

import cloudpickle  # type: ignore[import-untyped] # no types there
import pandas as pd
import pytest

from backupkit import Assessment, analysis
from backupkit.assessment.merged import FRAMES
from tests.random_fleets import Case, assert_same, random_case


@pytest.fixture(scope="module")
def case() -> Case:
    """Return a random fleet."""
    return random_case(Random(5))  # noqa: S311 # not for cryptography


@pytest.fixture
def fresh(case: Case) -> Assessment:
    """Evaluate the fleet, without a look at any frame."""
    return case.evaluate_frames(case.known)


def refuse(*_: object, **__: object) -> None:  # pragma: no cover # a failure of the test
    """Stand in for a figure that is not asked for."""
    raise AssertionError


@pytest.mark.parametrize(
    "name",
    ["lint", "find_shared_values", "failures", "target_concurrency", "anomalies", "group_metrics"],
)
def test_only_what_is_asked_for(
    fresh: Assessment, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The verdicts need none of the figures that compare appliances or look for oddities."""
    monkeypatch.setattr(analysis, name, refuse)
    assert fresh.heading
    assert len(fresh.appliances) == len(fresh.coverage)


def test_computed_once(fresh: Assessment) -> None:
    """A frame is kept."""
    assert all(getattr(fresh, name) is getattr(fresh, name) for name in FRAMES)


def test_copies(fresh: Assessment) -> None:
    """A copy has all frames and values, also one in another process."""
    for copied in (cloudpickle.loads(cloudpickle.dumps(fresh)), fresh.replaced()):
        assert_same(fresh, copied)


def test_replaced(fresh: Assessment) -> None:
    """A copy with another frame keeps nothing of the former one."""
    none = fresh.assessed_jobs.iloc[:0]
    changed = fresh.replaced(assessed_jobs=none, timezone="Europe/Berlin")
    assert changed.assessed_jobs is none
    assert changed.timezone == "Europe/Berlin"
    assert changed.slots is fresh.slots
    assert set(vars(changed)) == set(vars(fresh.replaced()))
    assert changed.jobs.empty
    with pytest.raises(TypeError, match="no job, slot"):
        fresh.replaced(slot=none, job=none)


def test_later_changes_of_the_input(case: Case) -> None:
    """Changes of the frames after the evaluation change no figure."""
    jobs = case.known.jobs.copy()
    assessment = case.evaluate_frames(replace(case.known, jobs=jobs))
    jobs["outcome"] = "failure"
    jobs.loc[:, "end_time"] = pd.NaT
    assert_same(assessment, case.evaluate_frames(case.known))
