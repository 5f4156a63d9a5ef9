"""backupkit history: info, verify, backup, export, import, prune, forget."""

import json
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from backupkit.cli import main
from backupkit.errors import SettingsError
from backupkit.history import History
from backupkit.history.thinning import load_keep_polls
from tests.builders import FIRST, MESSAGE, SECOND, observation, snapshot

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command; it returns exit code, stdout and stderr."""

    def command(*argv: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["history", *map(str, argv)])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return command


@pytest.fixture
def history(target: str) -> History:
    """Return a history of two collections, in SQLite, then in PostgreSQL."""
    history = History(target)
    history.append(FIRST)
    history.append(SECOND)
    return history


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the file of a history of two collections."""
    path = tmp_path / "history.db"
    for collection in (FIRST, SECOND):
        History(path).append(collection)
    return path


def assert_same(one: History, other: History) -> None:
    """Check that two histories have the same rows."""
    for name in ("jobs", "observations", "polls", "schedules"):
        assert_frame_equal(getattr(one, name)(), getattr(other, name)())


class TestInfo:
    """history info."""

    def test_counts(self, history: History, run: Run) -> None:
        """The counts and the head digest are printed as text or as JSON."""
        code, out, err = run("info", "--history", history.uri)
        assert (code, err) == (0, "")
        assert "Observations       3\n" in out
        assert "Polls              4, of which 0 failed\n" in out
        assert out.endswith(f"Head               {history.head}\n")
        facts = json.loads(run("info", "--history", history.uri, "--json")[1])
        assert facts["observations"] == 3
        assert facts["head"] == history.head

    def test_no_history(self, tmp_path: Path, run: Run) -> None:
        """A path without a history is an error, and no file is created."""
        code, _, err = run("info", "--history", tmp_path / "none.db")
        assert code == 1
        assert "holds no history yet" in err
        assert not list(tmp_path.iterdir())


class TestVerify:
    """history verify."""

    def test_intact(self, history: History, run: Run) -> None:
        """An intact history exits with 0; its head is printed."""
        line = f"{history.uri}: no problems. Head: {history.head}\n"
        assert run("verify", "--history", history.uri) == (0, line, "")
        result = json.loads(run("verify", "--history", history.uri, "--json")[1])
        assert result == {"head": history.head, "problems": []}

    def test_empty(self, tmp_path: Path, run: Run) -> None:
        """An empty history has no head yet."""
        History(tmp_path / "h.db")
        _, out, _ = run("verify", "--history", tmp_path / "h.db")
        assert out.endswith(": no problems. Head: none, it is empty\n")

    def test_head(self, history: History, run: Run) -> None:
        """The past of a report is contained after later appends; an unknown head is an error."""
        before = history.head
        history.append(snapshot(9, observation("vc-1", "9", "SUCCEEDED")))
        code, out, _ = run("verify", "--history", history.uri, "--head", f" {before.upper()}")
        assert code == 0
        assert out.splitlines() == [
            f"{history.uri}: no problems. Head: {history.head}",
            f"It contains exactly the past of digest {before}",
        ]
        code, out, err = run("verify", "--history", history.uri, "--head", "0" * 64)
        assert code == 1
        assert out.startswith(f"head {'0' * 64}: is not in the ledger")
        assert "1 problem. Compare it with a backup" in err

    @pytest.mark.parametrize("digest", ["", "abc", "x" * 64])
    def test_no_digest(self, history: History, run: Run, digest: str) -> None:
        """An invalid digest is an error."""
        code, out, err = run("verify", "--history", history.uri, "--head", digest)
        assert (code, out) == (1, "")
        assert "is not a digest of 64 hexadecimal digits" in err

    def test_changed_by_hand(self, file: Path, run: Run) -> None:
        """A changed history has a line for each problem, and exits with 1."""
        with sqlite3.connect(file) as database:
            database.execute("UPDATE polls SET elapsed = 7")
        database.close()
        code, out, err = run("verify", "--history", file)
        assert code == 1
        assert len(out.splitlines()) == 2
        assert all("its polls were changed" in line for line in out.splitlines())
        assert f"{file}: 2 problems. " in err
        result = json.loads(run("verify", "--history", file, "--json")[1])
        assert result["head"] is None
        assert len(result["problems"]) == 2


class TestBackup:
    """history backup."""

    def test_same(self, history: History, run: Run, tmp_path: Path) -> None:
        """A backup has the same rows and head, and does not overwrite a file."""
        copy = tmp_path / "copy.db"
        assert run("backup", "--history", history.uri, copy) == (0, f"{copy}\n", "")
        assert_same(History(copy), history)
        assert History(copy).head == history.head
        code, _, err = run("backup", "--history", history.uri, copy)
        assert code == 1
        assert "exists already" in err


class TestExchange:
    """history export and history import."""

    def test_parquet_and_back(self, history: History, run: Run, tmp_path: Path) -> None:
        """An export can be imported; a second import adds nothing."""
        history.append(snapshot(3, observation("vc-1", "2", "FAILED", messages=[MESSAGE])))
        out = tmp_path / "out"
        code, printed, _ = run("export", "--history", history.uri, "--out", out)
        assert code == 0
        names = ["appends", "jobs", "observations", "polls", "schedules"]
        assert sorted(Path(line).name for line in printed.split()) == names
        assert (out / "jobs" / "month=2026-11").is_dir()
        new = tmp_path / "new.db"
        code, printed, _ = run("import", "--history", new, out)
        assert code == 0
        assert printed == f"{new}: 4 observations, 6 polls and 2 schedules added from {out}\n"
        assert_same(History(new), history)
        assert "0 observations, 0 polls and 0 s" in run("import", "--history", new, out)[1]

    def test_csv(self, history: History, run: Run, tmp_path: Path) -> None:
        """A CSV export has times as text."""
        out = tmp_path / "csv"
        code, _, _ = run("export", "--history", history.uri, "--out", out, "--format", "csv")
        assert code == 0
        rows = pd.read_csv(out / "jobs.csv")
        assert rows["start_time"].to_list() == ["2026-11-09T20:00:00.000000Z"] * 2

    def test_refused(self, history: History, run: Run, tmp_path: Path) -> None:
        """An existing target, an unknown format and a missing source are errors."""
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "file").touch()
        code, _, err = run("export", "--history", history.uri, "--out", tmp_path / "full")
        assert code == 1
        assert "exists already" in err
        options = ("--history", history.uri, "--out", tmp_path / "xml", "--format", "xml")
        assert run("export", *options)[0] == 2
        code, _, err = run("import", "--history", history.uri, tmp_path / "none.db")
        assert code == 1
        assert "none.db holds no history yet" in err

    def test_another_history(
        self, history: History, run: Run, make_history: Callable[[], History]
    ) -> None:
        """Two histories import each other and are equal; a second import adds nothing."""
        other = make_history()
        other.append(snapshot(9, observation("vc-9", "x", "SUCCEEDED"), names=("vc-9",)))
        printed = run("import", "--history", history.uri, other.uri)[1]
        assert (
            printed
            == f"{history.uri}: 1 observation, 1 poll and 1 schedule added from {other.uri}\n"
        )
        assert "0 observations, 0 polls" in run("import", "--history", history.uri, other.uri)[1]
        assert run("import", "--history", other.uri, history.uri)[0] == 0
        assert_same(history, other)


class TestRemoval:
    """history prune and history forget."""

    def test_prune(self, history: History, run: Run) -> None:
        """Rows older than the limit are removed and counted."""
        code, out, _ = run("prune", "--history", history.uri, "--older-than", "0d")
        assert code == 0
        assert out == f"{history.uri}: 3 observations, 4 polls and 0 schedules removed\n"
        assert history.jobs().empty
        assert history.verify().empty
        assert "is not a duration" in run("prune", "--history", history.uri, "--older-than", "x")[2]

    def test_forget(self, history: History, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """An appliance is forgotten after a confirmation; an unknown name is an error."""
        options = ("--history", history.uri)
        monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
        assert run("forget", *options, "vc-1") == (1, "", "Nothing was deleted.\n")
        assert len(history.polls()) == 4
        code, out, _ = run("forget", *options, "vc-1", "--yes")
        assert code == 0
        assert out == f"{history.uri}: 1 observation, 2 polls and 1 schedule removed\n"
        assert set(history.polls()["appliance"]) == {"vc-2"}
        assert run("forget", *options, "vc-1", "--yes")[0] == 1


class TestKeepPolls:
    """keep_polls in [history] of fleet.toml."""

    @pytest.mark.parametrize(
        ("text", "span"),
        [
            ("", timedelta(days=90)),
            ("[history]", timedelta(days=90)),
            ('[history]\nkeep_polls = "52w"', timedelta(weeks=52)),
            ('[history]\nkeep_polls = " Forever "', None),
        ],
    )
    def test_right(self, tmp_path: Path, text: str, span: timedelta | None) -> None:
        """keep_polls is a duration or "forever"; the default is 90 days."""
        path = tmp_path / "fleet.toml"
        path.write_text(text, encoding="utf-8")
        assert load_keep_polls(path) == span

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("history = 1", r"fleet\.toml: history must be a table: \[history\]"),
            ("[history]\nkeep_pols = 1", r'\[history\]: unknown key "keep_pols"; did you mean'),
            ("[history]\nkeep_polls = 90", r'\[history\]: "keep_polls": .*keep_polls = "90d"'),
            ('[history]\nkeep_polls = "long"', r'\[history\]: keep_polls: "long" is not a dur'),
            (
                '[history]\nkeep_polls = "6h"',
                r'keep_polls = "6h" is too short; it must be at',
            ),
        ],
    )
    def test_wrong(self, tmp_path: Path, text: str, expected: str) -> None:
        """A wrong value is an error with an example."""
        path = tmp_path / "fleet.toml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SettingsError, match=expected):
            load_keep_polls(path)
