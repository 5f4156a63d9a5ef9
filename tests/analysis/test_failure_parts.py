"""Failures by signature and one more property."""

import pandas as pd
import pytest

from backupkit.analysis import failure_parts
from backupkit.errors import SettingsError
from backupkit.tables import FAILURE_COUNTS, FAILURE_PARTS
from tests.builders import moment

COUNTS = FAILURE_COUNTS.frame(
    {
        "signature": ["full", "full", "full", "lost"],
        "appliance": ["a", "b", "b", "c"],
        "day": [moment("02T00:00"), moment("02T00:00"), moment("03T00:00"), moment("03T00:00")],
        "hour": [1, 1, 23, 1],
        "build": ["7", "8", "8", None],
        "target": ["sftp://x", "sftp://x", "sftp://y", "sftp://y"],
        "jobs": [2, 1, 3, 9],
    }
)
MEMBERS = pd.DataFrame(
    {"site": ["north", "south", "south"], "group": [None, "g", None]},
    index=pd.Index(["a", "b", "c"], dtype="str"),
    dtype="str",
)


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("appliance", [["lost", "c", 9, 1], ["full", "b", 4, 1], ["full", "a", 2, 1]]),
        ("site", [["lost", "south", 9, 1], ["full", "south", 4, 1], ["full", "north", 2, 1]]),
        ("group", [["lost", "-", 9, 1], ["full", "g", 4, 1], ["full", "-", 2, 1]]),
        (
            "target",
            [["lost", "sftp://y", 9, 1], ["full", "sftp://x", 3, 2], ["full", "sftp://y", 3, 1]],
        ),
        ("build", [["lost", "-", 9, 1], ["full", "8", 4, 1], ["full", "7", 2, 1]]),
        ("hour", [["lost", "01:00", 9, 1], ["full", "01:00", 3, 2], ["full", "23:00", 3, 1]]),
        (
            "day",
            [
                ["lost", "2026-11-03", 9, 1],
                ["full", "2026-11-02", 3, 2],
                ["full", "2026-11-03", 3, 1],
            ],
        ),
    ],
)
def test_sums(by: str, rows: list[list[object]]) -> None:
    """The jobs of each part add up, the most frequent signature and part first."""
    parts = failure_parts(COUNTS, MEMBERS, by=by)
    assert FAILURE_PARTS.check(parts).fillna("-").to_numpy().tolist() == rows
    assert parts["jobs"].sum() == COUNTS["jobs"].sum()


def test_empty() -> None:
    """Without failures there is no part."""
    for by in ("appliance", "hour", "day"):
        assert failure_parts(FAILURE_COUNTS.empty(), MEMBERS, by=by).empty


def test_unknown_property() -> None:
    """Another property is an error that names the possible ones."""
    with pytest.raises(SettingsError, match='by: "colour" must be one of appliance, site, group'):
        failure_parts(COUNTS, MEMBERS, by="colour")
