"""Jobs with their appliances, targets and slots."""

import pandas as pd

from backupkit.analysis import join_jobs
from backupkit.tables import ASSESSED_JOBS, JOINED_JOBS, SLOTS
from tests.builders import DISK_FULL

NIGHT = pd.Timestamp("2026-11-09T01:00Z")
MEMBERS = pd.DataFrame(
    {"site": ["Hamburg", None], "group": ["core", "edge"], "version": ["8.0.3", None]},
    index=["vc-1", "vc-2"],
    dtype="str",
)
JOBS = ASSESSED_JOBS.frame(
    {
        "appliance": ["vc-1", "vc-1", "vc-2"],
        "job_id": ["a", "b", "a"],
        "in_period": [False, True, True],
        "location": ["sftp://me:secret@NAS:22/vc", None, "smb://share/vc"],
        "messages": [DISK_FULL * 2, None, []],
    }
)
JOINED = join_jobs(
    JOBS,
    SLOTS.frame(
        {
            "appliance": ["vc-1", "vc-2", "vc-2"],
            "job_id": ["b", None, "a"],
            "slot": [NIGHT, NIGHT, NIGHT + pd.Timedelta(days=1)],
        }
    ),
    MEMBERS,
)


def test_contract() -> None:
    """The result follows its contract, and keeps rows, order and flags."""
    assert JOINED_JOBS.check(JOINED) is JOINED
    assert JOINED["job_id"].to_list() == ["a", "b", "a"]
    assert JOINED["in_period"].to_list() == [False, True, True]


def test_appliance() -> None:
    """Site, group and version are those of the job's appliance, missing if it has none."""
    assert JOINED["site"].fillna("-").to_list() == ["Hamburg", "Hamburg", "-"]
    assert JOINED["group"].to_list() == ["core", "core", "edge"]
    assert JOINED["version"].fillna("-").to_list() == ["8.0.3", "8.0.3", "-"]


def test_target() -> None:
    """The target has neither user nor folder; without a location it is missing."""
    assert JOINED["target"].fillna("-").to_list() == ["sftp://nas", "-", "smb://share"]


def test_slot() -> None:
    """A job has the slot that it decided; the same id on another appliance is another job."""
    assert JOINED["slot"].isna().to_list() == [True, False, False]
    assert JOINED["slot"].to_list()[1:] == [NIGHT, NIGHT + pd.Timedelta(days=1)]


def test_messages() -> None:
    """Messages are one text with a line for each, missing without any."""
    assert JOINED["messages"].fillna("-").to_list() == ["No space left\nNo space left", "-", "-"]


def test_hashable() -> None:
    """Rows can be deduplicated, and empty frames joined."""
    assert len(pd.concat([JOINED, JOINED]).drop_duplicates()) == 3
    assert join_jobs(JOBS.iloc[:0], SLOTS.empty(), MEMBERS).empty
