"""Rows of a history: their fields are those of the contracts, and damage to them is an error."""

from pathlib import Path

import pytest

from backupkit.errors import HistoryError
from backupkit.history import History
from backupkit.history.observations import Job, Observation
from backupkit.history.schema import COLUMNS
from backupkit.tables import OBSERVATIONS
from tests.builders import observation, snapshot

PAGE = 4096
"""Bytes of a page of SQLite."""


def test_fields() -> None:
    """The fields of the rows are the stored columns, in their order."""
    assert list(Observation._fields) == OBSERVATIONS.names
    assert list(Job._fields) == [column.name for column in COLUMNS["jobs"]]


def test_damaged_rows(tmp_path: Path) -> None:
    """Damage that a read meets after its first rows is stated as such."""
    path = tmp_path / "history.db"
    history = History(path)
    jobs = [observation(job_id=f"job-{number:05}") for number in range(3_000)]
    history.append(snapshot(1, *jobs, names=("vc-1",)))
    content = bytearray(path.read_bytes())
    # the pages of the jobs follow each other in the middle of the file
    middle = len(content) // 2 // PAGE * PAGE
    content[middle : middle + 20 * PAGE] = bytes(20 * PAGE)
    path.write_bytes(content)
    with pytest.raises(HistoryError, match=r"cannot be read: the file is damaged\. Restore"):
        history.jobs()
