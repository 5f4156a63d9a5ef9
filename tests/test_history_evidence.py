"""An evaluation that reads a history by index equals one that reads everything."""

from pathlib import Path
from random import Random
from types import SimpleNamespace

import pandas as pd
import pytest

from backupkit.history import History
from backupkit.history import evidence as module
from backupkit.tables import JOBS, OBSERVATIONS
from tests.conftest import SEED, repeats
from tests.random_fleets import Case, assert_same, random_case

FLEETS = repeats(3, 40)
STATUS = {
    "success": "SUCCEEDED",
    "failure": "FAILED",
    "open": "INPROGRESS",
    "void": "NONE",
    "other": "ODD",
}


def observed(case: Case) -> pd.DataFrame:
    """Return each job's observation, at or before the period's now."""
    jobs = case.known.jobs
    status = jobs["outcome"].map(STATUS)
    moments = jobs["last_seen_at"].fillna(jobs["end_time"]).fillna(jobs["start_time"])
    moments = moments.fillna(case.times.start)
    moments = moments.where(moments <= case.times.now, case.times.now)
    columns = {name: jobs[name] for name in OBSERVATIONS.names if name in jobs}
    return OBSERVATIONS.frame(columns | {"status": status, "state": status, "observed_at": moments})


def stored(case: Case, target: Path | str) -> History:
    """Return a history of a random fleet."""
    history = History(target, keep_polls=None)
    now, polls, schedules = case.times.now, case.known.polls, case.known.schedules
    snapshot = SimpleNamespace(
        observations=observed(case),
        polls=polls[polls["polled_at"] <= now].reset_index(drop=True),
        schedules=schedules[schedules["seen_at"] <= now].reset_index(drop=True),
    )
    history._append(snapshot, keep_all=True)
    return history


def compare(seed: int, target: Path | str) -> None:
    """Evaluate a random fleet from all frames, and from the rows that the history reads."""
    case = random_case(Random(seed))  # noqa: S311 # repeatable
    history = stored(case, target)
    complete, indexed = case.evaluate_frames(history.view()), case.evaluate(history)
    object.__setattr__(complete, "version", indexed.version)
    assert_same(complete, indexed)


@pytest.mark.property
@pytest.mark.parametrize("number", range(FLEETS))
@pytest.mark.parametrize("first", [1, 130])
def test_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, first: int) -> None:
    """Both evaluations are equal, however few jobs are read at first."""
    monkeypatch.setattr(module, "_FIRST", first)
    compare(SEED * 1_000 + number, tmp_path / "history.db")


@pytest.mark.property
@pytest.mark.parametrize("number", range(max(1, FLEETS // 4)))
def test_postgresql(postgres_url: str, number: int) -> None:
    """Both evaluations are equal in PostgreSQL."""
    compare(SEED * 2_000 + number, postgres_url)


def test_reads_little(tmp_path: Path) -> None:
    """Of three years of jobs, an evaluation of a week reads some months."""
    nights = pd.Series(pd.date_range("2024-01-01T01:00Z", periods=1_000, freq="D").as_unit("us"))
    jobs = JOBS.frame(
        {
            "appliance": ["vc-1"] * 1_000,
            "job_id": [f"{night:%Y%m%d}" for night in nights],
            "start_time": nights,
            "end_time": nights + pd.Timedelta(minutes=20),
            "size": [7] * 1_000,
        }
    )
    seen = OBSERVATIONS.conform(
        jobs.assign(observed_at=jobs["end_time"], status="SUCCEEDED", state="SUCCEEDED")
    )
    history = History(tmp_path / "history.db")
    empty = history.view()
    history.append(SimpleNamespace(observations=seen, polls=empty.polls, schedules=empty.schedules))
    now = nights.iloc[-1] + pd.Timedelta(hours=6)
    known = history.view(start=now - pd.Timedelta(days=7), end=now, now=now)
    assert known.totals is not None
    assert len(known.jobs) < 200
    assert known.totals[["jobs", "sized_bytes"]].to_numpy().tolist() == [[1_000, 7_000]]
    assert known.totals["oldest_start"].to_list() == [nights[0]]
