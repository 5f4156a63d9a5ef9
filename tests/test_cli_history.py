"""``backupkit history``: what is kept is counted, verified, copied, exported, imported, removed."""

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
from backupkit.history.retention import load_keep_polls
from tests.builders import FIRST, MESSAGE, SECOND, observation, snapshot

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs one of the commands: exit code, stdout and stderr."""

    def command(*argv: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["history", *map(str, argv)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


@pytest.fixture
def own(target: str) -> History:
    """Return a history of two rounds, in SQLite, then in PostgreSQL."""
    history = History(target)
    history.append(FIRST)
    history.append(SECOND)
    return history


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the file of a history of two rounds."""
    path = tmp_path / "history.db"
    for one in (FIRST, SECOND):
        History(path).append(one)
    return path


def told(history: History) -> tuple[pd.DataFrame, ...]:
    """Read all that a history holds."""
    return history.jobs(), history.observations(), history.polls(), history.schedules()


def assert_same(one: History, other: History) -> None:
    """Hold two histories against each other."""
    for left, right in zip(told(one), told(other), strict=True):
        assert_frame_equal(left, right)


class TestInfo:
    """What is kept, in figures."""

    def test_counts(self, own: History, run: Run) -> None:
        """They are told to people and as JSON, with the head digest."""
        code, out, err = run("info", "--history", own.uri)
        assert (code, err) == (0, "")
        assert "Observations       3\n" in out
        assert "Polls              4, of which 0 failed\n" in out
        assert out.endswith(f"Head               {own.head}\n")
        facts = json.loads(run("info", "--history", own.uri, "--json")[1])
        assert facts["Observations"] == "3"
        assert facts["Head"] == own.head

    def test_no_history(self, tmp_path: Path, run: Run) -> None:
        """A place without one is an error, and stays as it is."""
        code, _, err = run("info", "--history", tmp_path / "none.db")
        assert code == 1
        assert "holds no history yet" in err
        assert not list(tmp_path.iterdir())


class TestVerify:
    """Whether a history is whole."""

    def test_whole(self, own: History, run: Run) -> None:
        """A whole history is said to be, with its head; exit 0."""
        whole = f"{own.uri}: no problems. Head: {own.head}\n"
        assert run("verify", "--history", own.uri) == (0, whole, "")
        told = json.loads(run("verify", "--history", own.uri, "--json")[1])
        assert told == {"head": own.head, "problems": []}

    def test_empty(self, tmp_path: Path, run: Run) -> None:
        """An empty history has no head yet."""
        History(tmp_path / "h.db")
        _, out, _ = run("verify", "--history", tmp_path / "h.db")
        assert out.endswith(": no problems. Head: none, it is empty\n")

    def test_head(self, own: History, run: Run) -> None:
        """The past of a report is still contained after later appends, another's is not."""
        before = own.head
        own.append(snapshot(9, observation("vc-1", "9", "SUCCEEDED")))
        code, out, _ = run("verify", "--history", own.uri, "--head", f" {before.upper()}")
        assert code == 0
        assert out.splitlines() == [
            f"{own.uri}: no problems. Head: {own.head}",
            f"It contains exactly the past of digest {before}",
        ]
        code, out, err = run("verify", "--history", own.uri, "--head", "0" * 64)
        assert code == 1
        assert out.startswith(f"head {'0' * 64}: is not in the ledger")
        assert "1 problem. Compare it with a backup" in err

    @pytest.mark.parametrize("digest", ["", "abc", "x" * 64])
    def test_no_digest(self, own: History, run: Run, digest: str) -> None:
        """What is no digest is wrong input."""
        code, out, err = run("verify", "--history", own.uri, "--head", digest)
        assert (code, out) == (1, "")
        assert "is not a digest of 64 hexadecimal digits" in err

    def test_changed_by_hand(self, file: Path, run: Run) -> None:
        """One line for each problem; exit 1."""
        with sqlite3.connect(file) as database:
            database.execute("UPDATE polls SET elapsed = 7")
        database.close()
        code, out, err = run("verify", "--history", file)
        assert code == 1
        assert len(out.splitlines()) == 2
        assert all("its polls were changed" in line for line in out.splitlines())
        assert f"{file}: 2 problems. " in err
        told = json.loads(run("verify", "--history", file, "--json")[1])
        assert told["head"] is None
        assert len(told["problems"]) == 2


class TestBackup:
    """A copy."""

    def test_same(self, own: History, run: Run, tmp_path: Path) -> None:
        """It is a file that holds the same, with the same head; nothing is written over."""
        copy = tmp_path / "copy.db"
        assert run("backup", "--history", own.uri, copy) == (0, f"{copy}\n", "")
        assert_same(History(copy), own)
        assert History(copy).head == own.head
        code, _, err = run("backup", "--history", own.uri, copy)
        assert code == 1
        assert "exists already" in err


class TestExchange:
    """Export and import."""

    def test_parquet_and_back(self, own: History, run: Run, tmp_path: Path) -> None:
        """What is exported and imported is the same history; twice adds nothing."""
        own.append(snapshot(3, observation("vc-1", "2", "FAILED", messages=[MESSAGE])))
        out = tmp_path / "out"
        code, said, _ = run("export", "--history", own.uri, "--out", out)
        assert code == 0
        names = ["appends", "jobs", "observations", "polls", "schedules"]
        assert sorted(Path(line).name for line in said.split()) == names
        assert (out / "jobs" / "month=2026-11").is_dir()
        new = tmp_path / "new.db"
        code, said, _ = run("import", "--history", new, out)
        assert code == 0
        assert said == f"{new}: 4 observations, 6 polls and 2 schedules added from {out}\n"
        assert_same(History(new), own)
        assert "0 observations, 0 polls and 0 s" in run("import", "--history", new, out)[1]

    def test_csv(self, own: History, run: Run, tmp_path: Path) -> None:
        """CSV holds the same rows, with times as text."""
        out = tmp_path / "csv"
        code, _, _ = run("export", "--history", own.uri, "--out", out, "--format", "csv")
        assert code == 0
        rows = pd.read_csv(out / "jobs.csv")
        assert rows["start_time"].to_list() == ["2026-11-09T20:00:00.000000Z"] * 2

    def test_refused(self, own: History, run: Run, tmp_path: Path) -> None:
        """Nothing is written over, an unknown kind is named, and so is what is no source."""
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "file").touch()
        code, _, err = run("export", "--history", own.uri, "--out", tmp_path / "full")
        assert code == 1
        assert "exists already" in err
        where = ("--history", own.uri, "--out", tmp_path / "xml")
        assert run("export", *where, "--format", "xml")[0] == 2
        code, _, err = run("import", "--history", own.uri, tmp_path / "none.db")
        assert code == 1
        assert "none.db holds no history yet" in err

    def test_another_history(
        self, own: History, run: Run, make_history: Callable[[], History]
    ) -> None:
        """Of two histories each takes over what the other holds; twice adds nothing."""
        other = make_history()
        other.append(snapshot(9, observation("vc-9", "x", "SUCCEEDED"), names=("vc-9",)))
        said = run("import", "--history", own.uri, other.uri)[1]
        assert said == f"{own.uri}: 1 observation, 1 poll and 1 schedule added from {other.uri}\n"
        assert "0 observations, 0 polls" in run("import", "--history", own.uri, other.uri)[1]
        assert run("import", "--history", other.uri, own.uri)[0] == 0
        assert_same(own, other)


class TestRemoval:
    """Prune and forget."""

    def test_prune(self, own: History, run: Run) -> None:
        """What was learnt longer ago is gone, and counted."""
        code, out, _ = run("prune", "--history", own.uri, "--older-than", "0d")
        assert code == 0
        assert out == f"{own.uri}: 3 observations, 4 polls and 0 schedules removed\n"
        assert own.jobs().empty
        assert own.verify().empty
        assert "is not a duration" in run("prune", "--history", own.uri, "--older-than", "x")[2]

    def test_forget(self, own: History, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """An appliance is forgotten once somebody says so; a name that is not there is told."""
        where = ("--history", own.uri)
        monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
        assert run("forget", *where, "vc-1") == (1, "", "Nothing was deleted.\n")
        assert len(own.polls()) == 4
        code, out, _ = run("forget", *where, "vc-1", "--yes")
        assert code == 0
        assert out == f"{own.uri}: 1 observation, 2 polls and 1 schedule removed\n"
        assert set(own.polls()["appliance"]) == {"vc-2"}
        assert run("forget", *where, "vc-1", "--yes")[0] == 1


class TestKeepPolls:
    """The table [history] of fleet.toml."""

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
        """A span, or forever; 90 days if nothing is said."""
        path = tmp_path / "fleet.toml"
        path.write_text(text, encoding="utf-8")
        assert load_keep_polls(path) == span

    @pytest.mark.parametrize(
        ("text", "said"),
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
    def test_wrong(self, tmp_path: Path, text: str, said: str) -> None:
        """Whatever is wrong is named, with an example."""
        path = tmp_path / "fleet.toml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SettingsError, match=said):
            load_keep_polls(path)
