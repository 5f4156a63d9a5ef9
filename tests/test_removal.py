"""What is removed on purpose is gone from every file, and recorded; the rest stays."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from backupkit.cli import main
from backupkit.errors import HistoryError
from backupkit.history import History
from tests.test_history import job, sealed, snapshot

NAMES = ("vc-1", "o'hara.example.com")
EIGHT = pd.Timestamp("2026-11-09T20:00", tz="UTC")


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Keep four rounds of two appliances, 0, 1, 2 and 3 minutes after 20:00."""
    history = History(tmp_path / "history")
    for minute in range(4):
        jobs = [job(name, f"{minute}", "SUCCEEDED") for name in NAMES]
        history.append(snapshot(minute, *jobs, names=NAMES))
    return history


class TestPrune:
    """History.prune: by age."""

    def test_older_than(self, history: History) -> None:
        """What was learnt before goes, what was learnt at the instant stays; it is recorded."""
        polls = len(history.polls())
        assert history.prune(EIGHT + pd.Timedelta(minutes=2)) == {
            "polls": polls // 2,
            "observations": 4,
            "schedules": 2,
        }
        for one in (history, History(history.path)):
            assert set(one.observations()["job_id"]) == {"2", "3"}
            assert set(one.jobs()["job_id"]) == {"2", "3"}
        (removed,) = json.loads(
            (history.path / "backupkit-history.json").read_text(encoding="utf-8")
        )["removed"]
        assert removed["what"] == "learnt before 2026-11-09 20:02 UTC"
        assert removed["rows"] == polls // 2 + 4 + 2
        assert any(name.startswith("Removed 2") for name in history.facts())
        assert history.verify().empty

    def test_goes_on(self, history: History) -> None:
        """The next round is kept as ever, and nothing that is gone comes back."""
        history.prune(EIGHT + pd.Timedelta(minutes=2))
        history.append(snapshot(9, job("vc-1", "9", "SUCCEEDED")))
        assert set(History(history.path).observations()["job_id"]) == {"2", "3", "9"}

    def test_twice(self, history: History) -> None:
        """What is gone cannot be removed again: the record says so."""
        history.prune(EIGHT + pd.Timedelta(minutes=2))
        assert history.prune(EIGHT + pd.Timedelta(minutes=2)) == {
            "polls": 0,
            "observations": 0,
            "schedules": 0,
        }

    def test_schedules_in_force_stay(self, history: History) -> None:
        """A schedule is then first seen by the oldest good visit left; a later one stays."""
        history.append(snapshot(9, names=NAMES[:1], hour=4))
        history.prune(EIGHT + pd.Timedelta(minutes=2))
        plans = history.schedules()
        assert plans[["appliance", "hour"]].to_numpy().tolist() == [
            [NAMES[1], 23],
            ["vc-1", 23],
            ["vc-1", 4],
        ]
        two, nine = (EIGHT + pd.Timedelta(minutes=minute) for minute in (2, 9))
        assert plans["seen_at"].to_list() == [two, two, nine]
        history.prune(nine)  # of the other appliance no visit is left
        assert history.schedules()[["appliance", "hour"]].to_numpy().tolist() == [["vc-1", 4]]

    def test_nothing_kept(self, tmp_path: Path) -> None:
        """Of nothing nothing is removed."""
        assert sum(History(tmp_path).prune(EIGHT).values()) == 0


class TestForget:
    """History.forget: all of one appliance."""

    def test_nothing_is_left(self, history: History) -> None:
        """Neither a row nor a byte of any file tells the name, nor does the record."""
        told = history.forget(NAMES[1])
        assert told["observations"] == 4
        for one in (history, History(history.path)):
            assert set(one.observations()["appliance"]) == {"vc-1"}
            assert len(one.jobs()) == 4
        for path in history.path.rglob("*"):
            assert not path.is_file() or b"o'hara" not in path.read_bytes(), path
        assert history.verify().empty
        history.append(snapshot(9, job("vc-1", "9", "SUCCEEDED")))
        assert len(History(history.path).jobs()) == 5

    def test_unknown(self, history: History) -> None:
        """A name that is not known is an error, and nothing changes."""
        with pytest.raises(HistoryError, match=r"knows no appliance 'vc-7'\. .* nothing was rem"):
            history.forget("vc-7")
        assert len(history.observations()) == 8


class TestCommands:
    """``backupkit history prune`` and ``forget``."""

    def test_prune(self, history: History, capsys: pytest.CaptureFixture[str]) -> None:
        """An age in days, and what was removed."""
        command = ["history", "prune", "--history", str(history.path), "--older-than"]
        assert main([*command, "36500d"]) == 0
        assert "0 observations and 0 visits removed" in capsys.readouterr().out
        assert main([*command, "soon"]) == 1
        assert "soon" in capsys.readouterr().err

    def test_forget(
        self,
        history: History,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """All of an appliance, once a person says yes, or --yes is given."""
        command = ["history", "forget", "--history", str(history.path), "vc-1"]
        for answer, code, said in (("n\n", 1, "Nothing is removed."), ("", 130, "Stopped.")):
            monkeypatch.setattr("sys.stdin", io.StringIO(answer))
            assert main(command) == code
            assert said in capsys.readouterr().err
        assert len(history.observations()) == 8
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        assert main(command) == 0
        assert "4 observations, 4 visits and 1 schedules removed" in capsys.readouterr().out
        assert main([*command, "--yes"]) == 1


def test_the_name_is_in_no_statistics(history: History) -> None:
    """What Delta's log tells of the least and the largest name is gone with the name."""
    assert b"o'hara" in b"".join(path.read_bytes() for path in sealed(history, "polls").live())
