"""A history that an earlier version began is read as it is, and brought up to date by an append.

Each folder of samples/histories was written by the version of its time.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from deltalake import DeltaTable, write_deltalake

from backupkit.history import History
from backupkit.history.sealed import Sealed
from backupkit.tables import OBSERVATIONS, POLLS
from tests.test_history import job, snapshot
from tests.test_sealed import told

SAMPLES = Path(__file__).parent / "samples" / "histories"
STEPS = ["seals", "months"]


def at(text: str) -> pd.Timestamp:
    """Give an instant."""
    return pd.Timestamp(text, tz="UTC")


@pytest.fixture(params=["first", "timezones", "seals"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Copy a history of an earlier version."""
    folder: Path = shutil.copytree(SAMPLES / request.param, tmp_path / request.param)
    return folder


def test_all_are_tried() -> None:
    """No sample is left out."""
    assert sorted(path.name for path in SAMPLES.iterdir()) == ["first", "seals", "timezones"]


def test_read(folder: Path) -> None:
    """It tells what was kept, and reading changes nothing."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    history = History(folder, create=False)
    jobs = history.jobs()
    assert jobs[["appliance", "job_id", "outcome"]].to_numpy().tolist() == [
        ["vc-1", "a", "success"],
        ["vc-1", "b", "success"],
        ["vc-2", "a", "failure"],
    ]
    assert jobs["size"].to_list() == [7, pd.NA, pd.NA]
    assert jobs["first_seen_at"].to_list() == [
        at("2026-10-31T23:00"),
        at("2026-10-31T23:00"),
        at("2026-11-01T01:00"),
    ]
    polls = history.polls()
    assert polls["version"].to_list() == ["8.0.3", "6.7.0"] * 2
    zones = ["UTC", "Europe/Berlin"] * 2 if folder.name != "first" else [None] * 4
    assert [None if pd.isna(zone) else zone for zone in polls["timezone"]] == zones
    assert history.schedules()["hour"].to_list() == [1]
    assert history.jobs(at="2026-10-31T23:30Z")["outcome"].to_list() == ["success", "open"]
    assert history.verify().empty
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_brought_up_to_date(folder: Path) -> None:
    """The first append does all that is new, once, and records it; what was kept is the same."""
    before = told(History(folder))
    History(folder).append(snapshot(1, job("vc-1", "new", "SUCCEEDED")))
    history = History(folder)
    after = told(history)
    for old, new in zip(before, after, strict=True):
        known = new[new[new.columns[1]] != "new"]
        assert len(old) == 0 or known.head(len(old)).equals(old.head(len(known)))
    mark = json.loads((folder / "backupkit-history.json").read_text(encoding="utf-8"))
    assert (mark["format"], mark["steps"]) == (2, STEPS)
    months = {
        path.parent.name for path in map(Path, DeltaTable(folder / "observations").file_uris())
    }
    assert months == {"month=2026-10", "month=2026-11"}
    assert history.verify().empty
    assert history.sealed


def test_an_earlier_version_beside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier version appends while the rows are laid out anew is read, and forgotten."""
    other = History(folder)
    polls, jobs = other.polls().iloc[[0]], other.observations().iloc[[0]]
    when = at("2026-11-05T00:00")
    late = {
        "polls": POLLS.to_arrow(polls.assign(polled_at=when)),
        "observations": OBSERVATIONS.to_arrow(jobs.assign(observed_at=when, job_id="late")),
    }

    def beside(target: Any, rows: Any, *, mode: Any, **more: Any) -> None:  # noqa: ANN401 # Delta's
        place = folder / (name := Path(str(getattr(target, "table_uri", target))).name)
        if mode == "overwrite" and name in late:
            plain = late.pop(name).select(DeltaTable(place).schema().to_arrow().names)
            write_deltalake(place, plain, mode="append")
        write_deltalake(target, rows, mode=mode, **more)

    with monkeypatch.context() as patch:
        patch.setattr("backupkit.history.stored.write_deltalake", beside)
        patch.setattr("backupkit.history.sealed.TIDY_EVERY", 1)
        other.append(snapshot(9, job("vc-1", "new", "SUCCEEDED")))
    assert not late
    for number in range(2):
        for history in (other, History(folder)):
            for names in (None, ["vc-1"]):
                ids = history.jobs(appliances=names)["job_id"].to_list()
                assert (ids.count("late"), ids.count("new")) == (1, 1)
        files = DeltaTable(folder / "observations").file_uris()
        assert all("month=2" in file for file in files) == bool(number)
        other.compact()  # puts it in its place
    other.forget("vc-1")
    assert "late" not in History(folder).jobs()["job_id"].to_list()
    assert History(folder).verify().empty


@pytest.mark.parametrize("step", ["seal", "lay_out"])
def test_killed_in_the_middle(folder: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A step that did not come to its end is done again, and no row is lost or doubled."""
    do = getattr(Sealed, step)

    def dies(stored: Sealed) -> None:
        do(stored)
        if stored.table.name == "observations":
            raise KeyboardInterrupt

    before = told(History(folder))
    with monkeypatch.context() as patch:
        patch.setattr(Sealed, step, dies)
        with pytest.raises(KeyboardInterrupt):
            History(folder).compact()
    assert all(a.equals(b) for a, b in zip(told(History(folder)), before, strict=True))
    History(folder).compact()
    assert all(a.equals(b) for a, b in zip(told(History(folder)), before, strict=True))
    mark = json.loads((folder / "backupkit-history.json").read_text(encoding="utf-8"))
    assert mark["steps"] == STEPS
    assert History(folder).verify().empty
