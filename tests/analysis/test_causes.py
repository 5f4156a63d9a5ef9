"""Known causes of failures."""

import dataclasses
import time

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit.analysis.causes import CAUSES, Cause, cause_of


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "BackupManager encountered an exception. Full backup not allowed during VM snapshot",
            "snapshot",
        ),
        (
            "Db health is UNHEALTHY, Backup Failed.Disable health check to take backup.",
            "database-health",
        ),
        ("Error during component wcp backup", "component"),
        ("error during component vum backup", "component"),
        ("Failed to dispatch WAL directory structure.", "database-log"),
        ("SCP location nas-1:/x is invalid", "scp-location"),
        ("Invalid SCP location", "scp-location"),
        ("Failed to upload /a/b to nas-1: curl error 79", "ssh-session"),
        ("curl error: (79) of the session", "ssh-session"),
        ("Connection to nas-1 lost: broken pipe", "connection-lost"),
        ("User session count is limited to 550. Existing session count is 550", "sessions"),
        (
            "BackupManager encountered an exception. Please check logs for details.",
            "see-log",
        ),
    ],
)
def test_known_texts(text: str, name: str) -> None:
    """Each text seen in the field has its cause; of two that match, the longer one counts."""
    found = cause_of(text)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Backup failed",
        "Not enough space on nas-1: 900 MB needed, 20 MB free.",
        "Db health is HEALTHY",
        "Error during component  backup",
        "curl error 7",
        "curl error 790",
        "SCP location set. The password is invalid",
        "unbroken pipeline",
        "x" * 4_000 + "broken pipe",
    ],
)
def test_unknown_texts(text: str) -> None:
    """A text that is unknown, or that begins too far in, has no cause."""
    assert cause_of(text) is None


def test_ids() -> None:
    """A known id is enough, and an unknown one does not hide the text."""
    busy = cause_of("", "com.vmware.vapi.endpoint.failedToLoginMaxUserSessionCountReached")
    clock = cause_of(None, "com.vmware.applmgmt.err_ntp_sync_failed")
    pipe = cause_of("broken pipe", "sample.backup.broken_pipe")
    assert [found and found.name for found in (busy, clock, pipe)] == [
        "sessions",
        "clock",
        "connection-lost",
    ]
    assert cause_of("", "") is None
    assert cause_of(None) is None


def test_missing_values() -> None:
    """A missing value has no cause."""
    for nothing in (pd.NA, float("nan")):
        assert cause_of(nothing, nothing) is None  # type: ignore[arg-type] # as a cell may be


def test_table() -> None:
    """Each cause has its own name, three sentences and a source, and is immutable."""
    assert len({cause.name for cause in CAUSES}) == len(CAUSES)
    for cause in CAUSES:
        assert cause.cause.endswith(".")
        assert cause.next_step.endswith(".")
        assert cause.source
    with pytest.raises(dataclasses.FrozenInstanceError):
        CAUSES[0].name = "other"  # type: ignore[misc] # that is the point


@pytest.mark.property
@given(st.text(), st.none() | st.text())
def test_any_text(text: str, message_id: str | None) -> None:
    """Any text has a cause or none, without an error."""
    assert isinstance(cause_of(text, message_id), Cause | None)


@pytest.mark.parametrize("text", ["SCP location ", "Error during component ", "curl error ", "(79"])
def test_linear(text: str) -> None:
    """A long text takes time in proportion to its length."""
    begin = time.perf_counter()
    cause_of(text * 100_000)
    assert time.perf_counter() - begin < 1
