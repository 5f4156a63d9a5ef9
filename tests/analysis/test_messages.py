"""The messages of a job, from general to specific."""

from typing import Any

import pandas as pd
import pytest

from backupkit.analysis.messages import message_of, order_messages
from tests.builders import message


def texts_of(messages: list[dict[str, Any]]) -> list[str]:
    """Return the texts of ordered messages."""
    return [item["default_message"] for item in order_messages(messages)]


@pytest.mark.parametrize("nothing", [None, pd.NA, [], [message("", "")], [message("", "")] * 3])
def test_none(nothing: object) -> None:
    """No message, or only empty ones, is None."""
    assert message_of(nothing) is None
    assert order_messages(nothing) == []


@pytest.mark.parametrize(
    "texts",
    [
        # a known cause, whatever else sounds bad
        ["Backup job failed.", "No space left on device"],
        ["tar: Cannot write: Broken pipe", "No space left on device"],
        ["BackupManager encountered an exception", "Strange fault: it failed", "Connection reset"],
        # what is not known tells more than that it failed, and the later of two tells more
        ["Started", "Backup failed", "The moon was refused"],
        ["Backup failed", "The copy failed", "The moon was refused"],
        ["Error during component wcp backup", "The moon was refused"],
        ["The moon was refused", "Error during component wcp backup"],
        # a note tells the least
        ["Started", "Copied", "BackupManager encountered an exception"],
    ],
)
def test_order(texts: list[str]) -> None:
    """Messages are ordered from the most general to the most specific."""
    assert texts_of([message(text) for text in texts]) == texts
    best = message_of([message(text) for text in texts])
    assert best is not None
    assert best["default_message"] == texts[-1]


def test_place_does_not_matter() -> None:
    """A known cause is found wherever it stands, and the first of several notes is chosen."""
    assert texts_of([message("No space left on device"), message("Backup failed")]) == [
        "Backup failed",
        "No space left on device",
    ]
    assert texts_of([message("Started"), message("Copied")]) == ["Copied", "Started"]


def test_id_and_translation() -> None:
    """A message without an untranslated text is read by its translation or by its id."""
    clock = message("", "com.vmware.applmgmt.err_ntp_sync_failed")
    translated = message("", "m", localized="Sicherung fehlgeschlagen: No space left on device")
    assert message_of([clock, message("Copy failed")]) == clock
    assert message_of([translated, message("Copy failed")]) == translated
