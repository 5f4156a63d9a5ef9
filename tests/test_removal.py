"""Removed rows are gone from every file and recorded; the others stay."""

import contextlib
import io
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from backupkit.cli import main
from backupkit.errors import HistoryError
from backupkit.history import History
from tests import raw
from tests.builders import MESSAGE, at, observation, snapshot, vanished_job

NAMES = ("vc-1", "o'hara.example.com")


def four_collections(history: History) -> None:
    """Append four collections of two appliances, 0, 1, 2 and 3 minutes after 20:00."""
    for minute in range(4):
        jobs = [observation(name, f"{minute}", "SUCCEEDED") for name in NAMES]
        history.append(snapshot(minute, *jobs, names=NAMES))


@pytest.fixture
def history(make_history: Callable[[], History]) -> History:
    """Return a history of four collections."""
    history = make_history()
    four_collections(history)
    return history


class TestPrune:
    """History.prune."""

    def test_older_than(self, history: History) -> None:
        """Rows learnt before the instant are removed and counted; later rows stay."""
        assert history.prune(at(2)) == {"observations": 4, "polls": 4, "schedules": 0}
        for one in (history, History(history.uri)):
            assert set(one.observations()["job_id"]) == {"2", "3"}
            assert set(one.jobs()["job_id"]) == {"2", "3"}
            assert one.polls()["polled_at"].min() == at(2)
        [(key, value)] = [fact for fact in history.facts().items() if fact[0].startswith("Remov")]
        assert key.startswith("Removed 2")
        assert value == "8 rows: rows learnt before a date"
        counts = raw.run(history.uri, "SELECT DISTINCT polls, polls_ok, jobs FROM appliances")
        assert counts == [(2, 2, 2)]
        assert history.verify().empty

    def test_goes_on(self, history: History) -> None:
        """A later collection is stored, and no removed row returns."""
        history.prune("2026-11-09T20:02:00Z")
        history.append(snapshot(9, observation("vc-1", "9", "SUCCEEDED")))
        assert set(History(history.uri).observations()["job_id"]) == {"2", "3", "9"}
        assert history.verify().empty

    def test_twice(self, history: History) -> None:
        """Pruning again removes nothing and records nothing."""
        history.prune(at(2))
        head = history.head
        assert history.prune(at(2)) == {"observations": 0, "polls": 0, "schedules": 0}
        assert history.head == head

    def test_schedules_in_force_stay(self, history: History) -> None:
        """The schedule in force at the instant stays."""
        history.append(snapshot(2.5, names=NAMES[:1], hour=4))
        history.append(snapshot(9, names=NAMES[:1], hour=5))
        assert history.prune(at(3))["schedules"] == 1
        plans = history.schedules()
        assert plans[["appliance", "hour"]].to_numpy().tolist() == [
            [NAMES[1], 23],
            ["vc-1", 4],
            ["vc-1", 5],
        ]
        assert plans["seen_at"].to_list() == [at(0), at(2.5), at(9)]
        assert history.prune(at(99))["schedules"] == 1
        assert len(history.schedules()) == 2
        assert history.verify().empty

    def test_part_of_a_job(self, history: History) -> None:
        """A job follows from the observations that are left."""
        for minute, word in ((4, "PENDING"), (5, "INPROGRESS"), (6, "SUCCEEDED")):
            history.append(snapshot(minute, observation("vc-1", "7", word)))
        history.append(snapshot(7, vanished_job("vc-1", "7")))
        history.prune(at(6))
        [known] = history.jobs(appliances=["vc-1"]).to_dict("records")
        assert (known["outcome"], known["first_seen_at"]) == ("success", at(6))
        assert history.verify().empty
        history.prune(at(7))
        assert history.jobs().empty
        assert len(history.observations()) == 1
        assert history.verify().empty
        history.append(snapshot(8, observation("vc-1", "7", "SUCCEEDED")))
        assert len(history.jobs()) == 1
        assert history.verify().empty

    def test_empty(self, make_history: Callable[[], History]) -> None:
        """An empty history has no row to remove."""
        assert sum(make_history().prune(at(0)).values()) == 0


class TestForget:
    """History.forget."""

    def test_removed(self, history: History) -> None:
        """No row or text of the appliance is left; a later collection is stored."""
        before = history.observations(appliances=["vc-1"])
        assert history.forget(NAMES[1]) == {"observations": 4, "polls": 4, "schedules": 1}
        for one in (history, History(history.uri)):
            assert_frame_equal(one.observations(), before)
            assert len(one.jobs()) == 4
            assert set(one.sync_state()) == {"vc-1"}
        assert "9 rows: rows of one appliance" in history.facts().values()
        assert history.verify().empty
        assert "o'hara" not in str(raw.dump(history.uri))
        history.append(snapshot(9, observation(NAMES[1], "9", "SUCCEEDED"), names=NAMES))
        assert len(History(history.uri).jobs()) == 5
        assert history.verify().empty

    def test_unknown(self, history: History) -> None:
        """An unknown name is an error and changes nothing."""
        with pytest.raises(HistoryError, match=r"knows no appliance 'vc-7'\. .* nothing was rem"):
            history.forget("vc-7")
        assert len(history.observations()) == 8

    def test_all(self, history: History) -> None:
        """A history whose last appliance is removed is empty and verifies."""
        for name in NAMES:
            history.forget(name)
        assert history.jobs().empty
        assert history.verify().empty
        assert raw.run(history.uri, "SELECT COUNT(*) FROM messages") == [(0,)]
        four_collections(history)
        assert history.verify().empty


SECRETS = (
    "hidden-name",
    "hidden-job",
    "hidden-place",
    "hidden-message",
    "hidden-detail",
    "hidden-plan",
    "hidden-build",
)


class TestBytes:
    """No byte of a removed row is left in the file."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """Return a history with many changes of an appliance that is then removed."""
        path = tmp_path / "history.db"
        history = History(path)
        name, own_job, place, message, detail, plan, build = SECRETS
        for minute in range(6):
            jobs = [
                observation(
                    name,
                    f"{own_job}-{number}",
                    "INPROGRESS" if minute < 5 else "FAILED",
                    progress=minute,
                    location=f"nfs://{place}/{number}",
                    messages=[MESSAGE | {"default_message": f"{message} {minute}-{number}"}],
                    build=f"{build}-{number}",
                )
                for number in range(40)
            ]
            one = snapshot(
                minute, *jobs, observation("vc-1", f"{minute}", "SUCCEEDED"), names=(name, "vc-1")
            )
            one.polls["detail"] = pd.Series([f"{detail} {minute}", None], dtype="str")
            one.schedules["schedule"] = pd.Series([plan, "other"], dtype="str")
            history.append(one)
        return path

    def found(self, path: Path) -> dict[str, list[str]]:
        """Return the secrets in the file and in its log."""
        contents = {}
        for one in path.parent.glob(f"{path.name}*"):
            content = one.read_bytes()
            contents[one.name] = [secret for secret in SECRETS if secret.encode() in content]
        return contents

    def test_forget(self, file: Path) -> None:
        """No byte of a removed appliance is left."""
        assert self.found(file) == {"history.db": list(SECRETS)}
        History(file).forget(SECRETS[0])
        assert self.found(file) == {"history.db": []}
        assert len(History(file).jobs()) == 6
        assert History(file).verify().empty

    def test_open_elsewhere(self, file: Path) -> None:
        """The file and its log are cleared also while another program has them open."""
        with contextlib.closing(sqlite3.connect(file)) as other:
            assert other.execute("SELECT COUNT(*) FROM jobs").fetchall() == [(46,)]
            History(file).forget(SECRETS[0])
            found = self.found(file)
            assert found.pop("history.db") == []
            assert set(map(tuple, found.values())) == {()}

    def test_prune(self, file: Path) -> None:
        """No byte of a pruned row is left."""
        History(file).prune(at(5))
        content = file.read_bytes()
        for minute in range(5):
            assert f"hidden-message {minute}-".encode() not in content
            assert f"hidden-detail {minute}".encode() not in content
        assert b"hidden-message 5-" in content

    def test_read_elsewhere(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A removal while another program reads an older state says that bytes are left."""
        monkeypatch.setattr("backupkit.history.databases.LOCK_TIMEOUT", 0.2)
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT COUNT(*) FROM jobs").fetchall()
            with pytest.raises(HistoryError, match=r"removed, but .* still in .*reads it"):
                History(file).forget(SECRETS[0])
            assert len(History(file).jobs()) == 6
            other.execute("COMMIT")
        assert History(file).verify().empty  # the next process is the last to close it
        assert self.found(file) == {"history.db": []}


class TestCommands:
    """``backupkit history prune`` and ``forget``."""

    def test_prune(self, history: History, capsys: pytest.CaptureFixture[str]) -> None:
        """Prune takes an age in days, and prints the number of removed rows."""
        command = ["history", "prune", "--history", history.uri, "--older-than"]
        assert main([*command, "36500d"]) == 0
        assert "0 observations, 0 polls and 0 schedules removed" in capsys.readouterr().out
        assert main([*command, "soon"]) == 1
        assert "soon" in capsys.readouterr().err

    def test_forget(
        self,
        history: History,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Forget asks before it removes, except with --yes."""
        command = ["history", "forget", "--history", history.uri, "vc-1"]
        for answer, code, said in (("n\n", 1, "Nothing was deleted."), ("", 130, "Stopped.")):
            monkeypatch.setattr("sys.stdin", io.StringIO(answer))
            assert main(command) == code
            assert said in capsys.readouterr().err
        assert len(history.observations()) == 8
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        assert main(command) == 0
        assert "4 observations, 4 polls and 1 schedule removed" in capsys.readouterr().out
        assert main([*command, "--yes"]) == 1
