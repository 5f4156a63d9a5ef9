"""A collector whose clock was ahead for one collection."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from backupkit.assessment import evaluate
from backupkit.errors import BackupkitWarning
from backupkit.history import History
from backupkit.policy import Policy
from tests.builders import observation, poll, snapshot_of

NOW = pd.Timestamp.now("UTC").floor("s")
HOUR, DAY = pd.Timedelta(hours=1), pd.Timedelta(days=1)


def read_at(moment: pd.Timestamp, status: str, **changed: object) -> SimpleNamespace:
    """Return a snapshot of one poll that reads one job."""
    times = {"start_time": NOW - 5 * HOUR, "observed_at": moment, "source": "details"}
    row = observation("vc", "1", status, **changed) | times
    return snapshot_of([row], [poll("vc", moment)])


def test_job_ends(target: str) -> None:
    """A later poll with an earlier time is kept, with a warning."""
    history = History(target)
    history.append(read_at(NOW - 4 * HOUR, "RUNNING", progress=10))
    history.append(read_at(NOW + 30 * DAY, "RUNNING", progress=20))
    with pytest.warns(BackupkitWarning, match=r"a poll of vc of .* is in the future: the clock"):
        added = history.append(read_at(NOW - 3 * HOUR, "RUNNING", progress=30))
    assert added.changed == 1
    assert added.late == {"vc": NOW + 30 * DAY}
    period: dict[str, Any] = {"start": NOW - DAY, "end": NOW, "now": NOW}
    assert evaluate(history, Policy(), **period).jobs["progress"].to_list() == [30]
    ended = read_at(NOW - 2 * HOUR, "SUCCEEDED", end_time=NOW - 2 * HOUR)
    with pytest.warns(BackupkitWarning):
        history.append(ended)
    a = evaluate(history, Policy(), **period)
    assert a.appliances["state"].to_list() == ["compliant"]
    assert history.jobs()["outcome"].to_list() == ["success"]
    assert history.verify().empty


def test_second_collector(tmp_path: Path) -> None:
    """A poll that arrives late is in the result, and no warning if no clock is ahead."""
    history = History(tmp_path / "history.db")
    history.append(read_at(NOW - HOUR, "RUNNING"))
    assert history.append(read_at(NOW - HOUR - pd.Timedelta("4min"), "RUNNING")).late == {}
    assert history.append(read_at(NOW - 2 * HOUR, "RUNNING")).late == {"vc": NOW - HOUR}
    assert history.append(read_at(NOW - 2 * HOUR, "RUNNING")).late == {}
    other = History(tmp_path / "other.db")
    other.append(read_at(NOW - 3 * HOUR, "RUNNING"))
    assert history.merge(other.uri).late == {}
