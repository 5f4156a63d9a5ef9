"""Notes of operators: in the history, and ``backupkit note``."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backupkit.cli import main
from backupkit.errors import HistoryError
from backupkit.history import History
from backupkit.tables.notes import Note
from tests.builders import snapshot

NOW = datetime(2026, 11, 9, tzinfo=UTC)
NOTE = Note(appliance="vc-1", at=NOW, by="Kim", ticket="CHG-1", text="disk replaced", added_at=NOW)


class TestNoteLog:
    """`History.notes`, on both databases."""

    def test_life(self, make_history: Callable[[], History], tmp_path: Path) -> None:
        """A note is stored once, kept when it is withdrawn, copied by a backup, and forgotten."""
        history = make_history()
        assert history.notes.read() == ()
        history.append(snapshot(0))
        stored = history.notes.add(NOTE)
        assert stored == replace(NOTE, number=1)
        assert history.notes.add(NOTE) == stored
        earlier = replace(NOTE, text="<b>later</b>", at=NOW - timedelta(days=1))
        assert history.notes.add(earlier).number == 2
        withdrawn = history.notes.withdraw(1, by="Lee", at=NOW)
        assert (withdrawn.withdrawn_at, withdrawn.withdrawn_by) == (NOW, "Lee")
        assert history.notes.read() == (replace(earlier, number=2), withdrawn)
        copy = History(history.backup(tmp_path / "copy.db"))
        assert copy.notes.read() == history.notes.read()
        assert history.verify().empty
        history.prune(NOW)
        assert history.notes.read() == (withdrawn,)

    def test_withdrawn_twice(self, make_history: Callable[[], History]) -> None:
        """A note that is withdrawn, or does not exist, cannot be withdrawn."""
        history = make_history()
        history.notes.add(NOTE)
        history.notes.withdraw(1, by="Lee", at=NOW)
        for number in (1, 2):
            with pytest.raises(HistoryError, match=f"There is no note {number} that is valid"):
                history.notes.withdraw(number, by="Lee", at=NOW + timedelta(days=1))


class TestCommand:
    """``backupkit note``."""

    @pytest.fixture
    def history(self, tmp_path: Path) -> Path:
        """Return the file of a history with one appliance."""
        path = tmp_path / "history.db"
        History(path).append(snapshot(0))
        return path

    def run(self, history: Path, command: str, *argv: str) -> int:
        """Run a command on the history."""
        return main(["note", command, "--history", str(history), *argv])

    def test_add_list_remove(self, history: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A note is added, listed, withdrawn and still listed; forgetting removes it."""
        argv = ("--appliance", "vc-1", "--by", "Kim", "--text", "disk\n replaced \x1b[31m")
        assert self.run(history, "add", *argv, "--ticket", "CHG-1") == 0
        assert self.run(history, "add", *argv, "--at", "2026-11-09T01:00:00Z") == 0
        capsys.readouterr()
        assert self.run(history, "list") == 0
        first, second = capsys.readouterr().out.splitlines()
        assert first == "2  2026-11-09 01:00 UTC  vc-1: disk replaced [31m, by Kim"
        assert second.endswith(" UTC  vc-1: disk replaced [31m (CHG-1), by Kim")
        assert self.run(history, "remove", "2", "--by", "Lee") == 0
        assert self.run(history, "list") == 0
        assert "by Kim [withdrawn by Lee]" in capsys.readouterr().out
        assert self.run(history, "list", "--json") == 0
        assert json.loads(capsys.readouterr().out)["notes"][1]["ticket"] == "CHG-1"
        assert main(["history", "forget", "--history", str(history), "--yes", "vc-1"]) == 0
        assert History(history).notes.read() == ()

    @pytest.mark.parametrize(
        ("changed", "problem"),
        [
            ({"--appliance": "vc-9"}, 'knows no appliance "vc-9"'),
            ({"--text": " "}, "--text is empty"),
            ({"--at": "2999-01-01T00:00:00Z"}, "is in the future"),
        ],
    )
    def test_wrong(
        self,
        history: Path,
        capsys: pytest.CaptureFixture[str],
        changed: dict[str, str],
        problem: str,
    ) -> None:
        """An unknown appliance, an empty text and a time in the future are errors."""
        options = {"--appliance": "vc-1", "--by": "Kim", "--text": "done", **changed}
        assert self.run(history, "add", *(word for pair in options.items() for word in pair)) == 1
        assert problem in capsys.readouterr().err
