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
from backupkit.history.notes import create_notes_table
from backupkit.tables.notes import Note
from tests.builders import at, observation, snapshot

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
        assert history.verify().empty
        history.prune(NOW + timedelta(days=1))
        assert (history.notes.read(), history.verify().empty) == ((), True)

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE notes SET text = 'nothing was wrong'",
            "DELETE FROM notes WHERE number = 1",
            "UPDATE notes SET withdrawn_at = NULL",
            "DROP TABLE notes",
        ],
    )
    def test_changed_outside(self, make_history: Callable[[], History], change: str) -> None:
        """The ledger covers the notes: verify notices any change in another way."""
        history = make_history()
        history.append(snapshot(0))
        head = history.head
        history.notes.add(NOTE)
        history.notes.add(replace(NOTE, text="x", onset=NOW))
        history.notes.withdraw(2, by="Lee", at=NOW)
        assert history.notes.withdraw(2, by="Lee", at=NOW).number == 2
        assert history.verify(head=head).empty
        assert history.info()["appends"] == 4
        history._database.write(lambda connection: connection.execute(change))
        [problem] = history.verify().to_dict("records")
        assert problem == {
            "what": "the notes",
            "problem": "one was changed, added or removed outside of backupkit",
        }

    def test_forged(self, make_history: Callable[[], History]) -> None:
        """A note that no entry of the ledger is about is noticed."""
        history = make_history()
        history.append(snapshot(0))
        history._database.write(create_notes_table)
        assert history.verify().empty
        history._database.write(
            lambda connection: connection.execute(
                "INSERT INTO notes VALUES (1, 'vc-1', 0, 'x', '', 'x', 0, NULL, NULL, '')"
            )
        )
        assert history.verify()["problem"].to_list() == ["there are 1, but the ledger has none"]

    def test_merge(self, make_history: Callable[[], History], tmp_path: Path) -> None:
        """Notes come with an export or another history, each once, and so does a withdrawal."""
        first, second = make_history(), make_history()
        first.append(snapshot(0))
        first.export(tmp_path / "none")
        second.notes.add(replace(NOTE, text="own"))
        first.notes.add(replace(NOTE, text="=1+1", onset=NOW))
        first.notes.add(replace(NOTE, by="Lee"))
        paths = first.export(tmp_path / "export")
        assert [path for path in paths if path.endswith("notes.json")]
        for source in (tmp_path / "export", first.uri, tmp_path / "none"):
            second.merge(source)
            second.merge(source)
            texts = [(note.number, note.by, note.text) for note in second.notes.read()]
            assert texts == [(1, "Kim", "own"), (2, "Kim", "=1+1"), (3, "Lee", NOTE.text)]
        first.notes.withdraw(2, by="Kim", at=NOW)
        second.merge(first.uri)
        withdrawn = [note.number for note in second.notes.read() if note.withdrawn_at]
        assert (withdrawn, second.notes.read()[1].onset) == ([3], NOW)
        assert second.verify().empty
        first.merge(first.uri)
        assert len(first.notes.read()) == 2
        *_, notes = first.export(tmp_path / "csv", kind="csv")
        rows = Path(notes).read_text(encoding="utf-8").splitlines()
        assert rows[1] == (
            "vc-1,vc-1/2026-11-09T00:00:00Z,2026-11-09T00:00:00.000000Z,Kim,CHG-1,'=1+1,"
            "2026-11-09T00:00:00.000000Z,,"
        )

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("[]", "is incomplete: notes.json has 0 notes of 1"),
            ("[{", "notes.json cannot be read"),
            (None, "The export .* cannot be read"),
        ],
    )
    def test_damaged_export(
        self,
        make_history: Callable[[], History],
        tmp_path: Path,
        content: str | None,
        problem: str,
    ) -> None:
        """A file of notes that is missing, cut or not JSON is an error."""
        history = make_history()
        history.append(snapshot(0))
        history.notes.add(NOTE)
        history.export(tmp_path / "export")
        file = tmp_path / "export" / "notes.json"
        file.unlink() if content is None else file.write_text(content)
        with pytest.raises(HistoryError, match=problem):
            make_history().merge(tmp_path / "export")

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

    @pytest.fixture
    def incident(self, history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """Store a failed job of vc-1 of 19:30 on 9 Nov., and return the id of its incident."""
        job = observation("vc-1", "a", "FAILED", end_time=at(-30), start_time=at(-40))
        History(history).append(snapshot(1, job))
        (tmp_path / "fleet.toml").write_text('[policy]\nrpo = "24h"\n')
        monkeypatch.chdir(tmp_path)
        return "vc-1/2026-11-09T19:30:00Z"

    def test_incident(
        self, history: Path, incident: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A note is added to an incident by its id, which also selects notes of the list."""
        texts = ("--by", "Kim", "--text")
        assert self.run(history, "add", "--incident", f" {incident}", *texts, "one") == 0
        assert capsys.readouterr().out == f"Note 1 about {incident} added.\n"
        both = ("--incident", incident, "--appliance", "vc-1", "--at", "2026-11-08T00:00:00Z")
        assert self.run(history, "add", *both, *texts, "two") == 0
        for time in ("2026-11-09T19:40:00Z", "2026-11-09T19:20:00Z"):
            argv = ("--appliance", "vc-1", "--at", time)
            assert self.run(history, "add", *argv, *texts, time) == 0
        capsys.readouterr()
        assert self.run(history, "list", "--incident", incident, "--json") == 0
        found = json.loads(capsys.readouterr().out)["notes"]
        assert {(note["text"], note["incident"]) for note in found} == {
            ("one", incident),
            ("two", incident),
            ("2026-11-09T19:40:00Z", None),
        }
        assert self.run(history, "list") == 0
        assert f"  {incident}: two, by Kim" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("argv", "problem"),
        [
            (["--incident", "vc-1"], "is no id of an incident"),
            (["--incident", "vc-1/2026-11-09"], "is no id of an incident"),
            (["--incident", "vc-1/2026-11-09T19:31:00Z"], "are vc-1/2026-11-09T19:30:00Z."),
            (["--incident", "vc-1/2999-01-01T00:00:00Z"], "there is no such incident"),
            (["--incident", "vc-9/2026-11-09T19:30:00Z"], "it has no incident since then"),
            (["--incident", "{incident}", "--appliance", "vc-2"], 'not of the appliance "vc-2"'),
            ([], "--appliance or --incident is missing"),
        ],
    )
    def test_wrong_incident(
        self,
        history: Path,
        incident: str,
        capsys: pytest.CaptureFixture[str],
        argv: list[str],
        problem: str,
    ) -> None:
        """An id that no incident has is an error, which names those that exist."""
        words = [word.format(incident=incident) for word in argv]
        assert self.run(history, "add", *words, "--by", "Kim", "--text", "x") == 1
        assert problem in capsys.readouterr().err

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
