"""``backupkit history``: what is kept is counted, verified, put together, given out, taken over."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from backupkit.cli import main
from backupkit.errors import HistoryError
from backupkit.history import History
from backupkit.history.store import TABLES
from tests.test_history import MESSAGE, job, sealed, snapshot
from tests.test_sealed import ROOT, ROUNDS, appended, flip, kept, told

__all__ = ["kept"]


@pytest.fixture
def own(kept: History, tmp_path: Path) -> History:
    """Give a copy of the history, which a test may change."""
    return History(shutil.copytree(kept.path, tmp_path / "history"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run one of the commands; gives exit code, stdout and stderr."""

    def command(*argv: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["history", *map(str, argv)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


Run = Callable[..., tuple[int, str, str]]


class TestVerify:
    """History.verify, and the command."""

    def test_whole(self, own: History, run: Run) -> None:
        """A whole history has no problem; the command says so and exits 0."""
        assert own.verify().empty
        assert run("verify", "--history", own.path) == (0, f"{own.path} is whole.\n", "")
        assert run("verify", "--history", own.path, "--json")[1] == "[]\n"

    @pytest.mark.parametrize("damage", [flip, Path.unlink])
    def test_each_file_is_named(
        self,
        kept: History,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        damage: Callable[[Path], None],
    ) -> None:
        """Whichever file in use is damaged, it alone is named, and what hangs on it.

        Of a seal that is gone, what has none any more is named.
        """
        monkeypatch.setattr("backupkit.history.checking._SETTLED", -60)
        everything = {
            *(kept.path / "seals").iterdir(),
            *(path for table in TABLES for path in sealed(kept, table.name).relied_on()),
        }
        names = {path.relative_to(kept.path).as_posix() for path in everything}
        live = {
            path.relative_to(kept.path).as_posix()
            for table in TABLES
            for path in sealed(kept, table.name).live()
        }
        assert len(names) > 10
        for number, name in enumerate(sorted(names)):
            folder = shutil.copytree(kept.path, tmp_path / str(number))
            of_seal = json.loads((folder / name).read_bytes())["files"] if "seals/" in name else {}
            damage(folder / name)
            found = History(folder).verify()
            expected = {name} if damage is flip or not of_seal else of_seal.keys() & live
            assert set(found["file"]) == expected
            assert found["problem"].str.startswith("has no seal").all() == (name not in expected)
            assert found["lost"].str.len().gt(10).all()
            shutil.rmtree(folder)

    def test_just_written(self, own: History) -> None:
        """What was written a moment ago may be sealed in the next."""
        shutil.rmtree(own.path / "seals")
        for path in own.path.rglob("*"):
            os.utime(path)
        assert History(own.path).verify().empty

    def test_what_is_lost(self, own: History, run: Run) -> None:
        """Of a data file it is said how many rows of whom and of when it holds."""
        data = [path for path in sealed(own, "observations").live() if "part-" in path.name]
        largest = max(data, key=lambda path: path.stat().st_size)
        flip(largest)
        code, out, err = run("verify", "--history", own.path)
        assert code == 1
        assert f"{largest.name}: is not as it was written" in out
        assert "observations of vc-1 to vc-1, learnt 2026-11-09" in out
        assert "1 damaged. Put these files back from a backup" in err
        (row,) = json.loads(run("verify", "--history", own.path, "--json")[1])
        assert row["file"].endswith(largest.name)

    def test_an_earlier_version(self, tmp_path: Path, run: Run) -> None:
        """Without seals the rows are read, and it is said that nothing else can be told."""
        folder = shutil.copytree(ROOT / "data" / "history", tmp_path / "history")
        assert "is whole. It is of an earlier version" in run("verify", "--history", folder)[1]
        flip(next((folder / "polls").glob("**/part-*.parquet")))
        (folder / "polls" / "_delta_log" / f"{0:020}.json").write_text("{", encoding="utf-8")
        code, out, _ = run("verify", "--history", folder)
        assert code == 1
        assert out.startswith("polls: ")
        assert "all rows of polls" in out


class TestInfo:
    """Counts."""

    def test_counts(self, own: History, run: Run) -> None:
        """What is kept is counted, for people and as JSON."""
        code, out, _ = run("info", "--history", own.path)
        assert code == 0
        assert f"Jobs               {5 * ROUNDS}" in out
        facts = json.loads(run("info", "--history", own.path, "--json")[1])
        assert facts["Observations"] == str(5 * ROUNDS)

    def test_no_history(self, tmp_path: Path) -> None:
        """A folder that is none is an error, and stays as it is."""
        assert main(["history", "info", "--history", str(tmp_path / "none")]) == 1
        assert not (tmp_path / "none").exists()


class TestCompact:
    """History.compact."""

    def test_rows_stay(self, own: History, run: Run) -> None:
        """The same rows come from one file a table, and one seal vouches for all."""
        before = told(own)
        assert run("compact", "--history", own.path)[0] == 0
        after = History(own.path)
        for left, right in zip(told(after), before, strict=True):
            assert_frame_equal(left, right)
        assert len(list((own.path / "seals").iterdir())) == 1
        assert after.verify().empty
        appended(after, 40)
        assert len(after.observations()) == len(before[0]) + 5
        assert after.verify().empty

    def test_damaged(self, own: History) -> None:
        """A damaged history is not put together: the damage would be sealed."""
        data = next(path for path in sealed(own, "polls").live() if "part-" in path.name)
        flip(data)
        with pytest.raises(HistoryError, match="is not as it was written"):
            own.compact()


class TestExport:
    """History.export, and the command."""

    @pytest.fixture
    def told_all(self, tmp_path: Path) -> History:
        """Keep a job with messages, a running one, and a schedule with days."""
        history = History(tmp_path / "told")
        history.append(
            snapshot(1, job("vc-1", "a", "FAILED", messages=[MESSAGE]), job("vc-2", "b", "RUNNING"))
        )
        return history

    def test_parquet_and_back(self, told_all: History, tmp_path: Path, run: Run) -> None:
        """What is written as Parquet and imported is the same history; twice adds nothing."""
        code, out, _ = run("export", "--history", told_all.path, "--out", tmp_path / "out")
        assert code == 0
        assert [Path(line).name for line in out.split()] == [
            "jobs.parquet",
            "observations.parquet",
            "polls.parquet",
            "schedules.parquet",
        ]
        code, out, _ = run("import", "--history", tmp_path / "new", tmp_path / "out")
        assert code == 0
        assert "2 observations, 2 visits and 2 schedules added" in out
        for left, right in zip(told(History(tmp_path / "new")), told(told_all), strict=True):
            assert_frame_equal(left, right)
        assert (
            "0 observations, 0 visits and 0 s"
            in run("import", "--history", tmp_path / "new", tmp_path / "out")[1]
        )

    def test_csv_and_sqlite(self, told_all: History, tmp_path: Path, run: Run) -> None:
        """CSV and SQLite hold the same rows, with times as text and lists as JSON."""
        for kind, target in (("csv", tmp_path / "csv"), ("sqlite", tmp_path / "h.sqlite")):
            options = ("--history", told_all.path, "--out", target, "--format", kind)
            assert run("export", *options)[0] == 0
        rows = pd.read_csv(tmp_path / "csv" / "jobs.csv")
        assert rows["start_time"].to_list() == ["2026-11-09T20:00:00.000000Z"] * 2
        assert json.loads(rows["messages"][0]) == [MESSAGE]
        with sqlite3.connect(tmp_path / "h.sqlite") as database:
            (count,) = database.execute("select count(*) from polls").fetchone()
            (elapsed,) = database.execute("select elapsed from polls limit 1").fetchone()
        database.close()
        assert (count, elapsed) == (2, 0.02)

    def test_refused(self, told_all: History, tmp_path: Path, run: Run) -> None:
        """Nothing is written over, an unknown kind is named, and so is what is no export."""
        where = ("--history", told_all.path, "--out", tmp_path)
        code, _, err = run("export", *where)
        assert code == 1
        assert "is there already" in err
        assert '"xml" is none of' in run("export", *where, "--format", "xml")[2]
        with pytest.raises(HistoryError, match='"xml" is none of'):
            told_all.export(tmp_path / "x", kind="xml")  # type: ignore[arg-type] # on purpose
        (tmp_path / "file").write_text("", encoding="utf-8")
        with pytest.raises(HistoryError, match="cannot be written"):
            told_all.export(tmp_path / "file" / "out")
        assert "cannot be read" in run("import", "--history", told_all.path, tmp_path / "none")[2]


class TestMerge:
    """History.merge: two sites become one."""

    def test_two_sites(self, own: History, tmp_path: Path) -> None:
        """All of both is there once; doing it again, or the other way round, changes nothing."""
        other = History(tmp_path / "other")
        other.append(snapshot(9, job("vc-9", "x", "SUCCEEDED"), names=("vc-9",)))
        added = own.merge(other.path)
        assert (added.new, added.changed, added.polls, added.schedules) == (1, 0, 1, 1)
        assert len(own.jobs()) == 5 * ROUNDS + 1
        again = own.merge(str(other.path))
        assert (again.observations, again.polls, again.schedules) == (0, 0, 0)
        assert other.merge(own.path).new == 5 * ROUNDS
        for left, right in zip(told(own), told(other), strict=True):
            assert_frame_equal(left, right)
