"""History: what is kept, what is news, and what is said when a folder is not one."""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from deltalake.table import TableOptimizer
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from backupkit.errors import HistoryError, SettingsError, TableError
from backupkit.history import FORMAT, Appended, History
from backupkit.history.sealed import Sealed
from backupkit.history.seals import Seals
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES

MESSAGE = {"id": "m", "default_message": "done", "args": ["a"], "localized": None}
MARK = "backupkit-history.json"


def at(minute: int) -> datetime:
    """Give a minute of an evening."""
    return datetime(2026, 11, 9, 20, tzinfo=UTC) + timedelta(minutes=minute)


def job(appliance: str, job_id: str, status: str, **more: object) -> dict[str, object]:
    """Give what one poll said about one job."""
    return {"appliance": appliance, "job_id": job_id, "state": status, "status": status} | more


def snapshot(
    minute: int, *jobs: dict[str, Any], names: tuple[str, ...] = ("vc-1", "vc-2"), hour: int = 23
) -> SimpleNamespace:
    """Make what one round brought back: anything with three frames will do."""
    rows = [{"observed_at": at(minute), "start_time": at(0), "messages": []} | one for one in jobs]
    return SimpleNamespace(
        observations=OBSERVATIONS.frame(
            {name: [row.get(name) for row in rows] for name in OBSERVATIONS.names}
        ),
        polls=POLLS.frame(
            {
                "appliance": names,
                "polled_at": [at(minute)] * len(names),
                "ok": [True] * len(names),
                "elapsed": [timedelta(milliseconds=20)] * len(names),
                "clock_skew": [None] * len(names),
            }
        ),
        schedules=SCHEDULES.frame(
            {
                "appliance": names,
                "schedule": ["default"] * len(names),
                "seen_at": [at(minute)] * len(names),
                "hour": [hour] * len(names),
                "parts": [["common"]] * len(names),
            }
        ),
    )


FIRST = snapshot(1, job("vc-1", "1", "SUCCEEDED"), job("vc-2", "1", "INPROGRESS", progress=10))
SECOND = snapshot(2, job("vc-1", "1", "SUCCEEDED"), job("vc-2", "1", "INPROGRESS", progress=60))


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Make a history of one round."""
    made = History(tmp_path / "history")
    made.append(FIRST)
    return made


def commits(history: History, table: str = "observations") -> list[Path]:
    """List the commits of one table, oldest first."""
    return sorted((history.path / table / "_delta_log").glob("*.json"))


def sealed(history: History, name: str) -> Sealed:
    """Give a table of a history in a folder."""
    stored = history._store.tables[name]
    assert isinstance(stored, Sealed)
    return stored


class TestOpen:
    """History(): a folder is created, opened, or refused."""

    def test_create(self, tmp_path: Path) -> None:
        """A new folder, below new ones, becomes a history that knows nothing."""
        history = History(tmp_path / "a" / "b")
        assert json.loads((history.path / MARK).read_text(encoding="utf-8"))["format"] == FORMAT
        assert_frame_equal(history.observations(), OBSERVATIONS.empty())
        assert_frame_equal(history.polls(), POLLS.empty())
        assert_frame_equal(history.schedules(), SCHEDULES.empty())
        assert_frame_equal(history.jobs(), JOBS.empty())

    def test_empty_folder(self, tmp_path: Path) -> None:
        """An empty folder becomes one too, and nothing else is left in it."""
        History(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [MARK]

    def test_reopen(self, history: History) -> None:
        """What was kept is there when it is opened again, also when it must exist."""
        again = History(str(history.path), create=False)
        assert_frame_equal(again.observations(), history.observations())
        assert repr(again) == f"History({str(history.path)!r})"

    def test_unfinished(self, tmp_path: Path) -> None:
        """A mark that another process is writing, or never finished, is in nobody's way."""
        (tmp_path / f".{MARK}.4711").write_text("{", encoding="utf-8")
        assert len(History(tmp_path).polls()) == 0

    def test_no_create(self, tmp_path: Path) -> None:
        """Without leave to create, nothing is created, and the way to fill one is shown."""
        for path in (tmp_path / "none", tmp_path):
            with pytest.raises(
                HistoryError, match=r"holds no history yet\. Fill it first with: ba"
            ):
                History(path, create=False)
        assert not list(tmp_path.iterdir())

    def test_file(self, tmp_path: Path) -> None:
        """A file is no history."""
        (tmp_path / "a").touch()
        with pytest.raises(HistoryError, match="is a file and not a history folder"):
            History(tmp_path / "a")

    def test_other_things(self, tmp_path: Path) -> None:
        """A folder with other things in it is left alone."""
        (tmp_path / "thesis.tex").touch()
        with pytest.raises(
            HistoryError, match="is a folder with other things in it and no history"
        ):
            History(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_cannot_create(self, tmp_path: Path) -> None:
        """Where no folder can be made, the system's reason is given."""
        (tmp_path / "a").touch()
        with pytest.raises(HistoryError, match=r"cannot be used: Not a directory\.$"):
            History(tmp_path / "a" / "b")

    def test_mark_is_folder(self, tmp_path: Path) -> None:
        """A mark that cannot be read is the system's reason too."""
        (tmp_path / MARK).mkdir()
        with pytest.raises(HistoryError, match=r"cannot be used: Is a directory\.$"):
            History(tmp_path)

    @pytest.mark.parametrize("mark", [b"", b"{", b"[]", b"5", b"null", b"{}", b"\xff"])
    def test_damaged_mark(self, tmp_path: Path, mark: bytes) -> None:
        """A damaged mark says how to mend it."""
        (tmp_path / MARK).write_bytes(mark)
        with pytest.raises(HistoryError, match=r'is damaged: .* write \{"format": 1\} into it\.$'):
            History(tmp_path)

    def test_newer_format(self, tmp_path: Path) -> None:
        """A newer layout is not touched by an older backupkit."""
        (tmp_path / MARK).write_text('{"format": 3}', encoding="utf-8")
        with pytest.raises(HistoryError, match=r"format 3; .* reads formats 1 to 2\. Update"):
            History(tmp_path)


class TestIdentity:
    """Random bytes of each history."""

    def test_its_own(self, tmp_path: Path) -> None:
        """It stays the same, and no two histories have the same."""
        one, other = (History(tmp_path / name) for name in ("one", "other"))
        assert len(one.identity) == 16
        assert History(tmp_path / "one", create=False).identity == one.identity
        assert one.identity != other.identity

    def test_of_an_older_history(self, tmp_path: Path) -> None:
        """A history of a time before there was any gets one when it is asked for."""
        history = History(tmp_path / "history")
        (history.path / MARK).write_text(f'{{"format": {FORMAT}}}', encoding="utf-8")
        known = history.identity
        assert len(known) == 16
        assert history.identity == known
        assert json.loads((history.path / MARK).read_text(encoding="utf-8"))["format"] == FORMAT

    def test_cannot_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where it cannot be kept the error names the way out."""
        history = History(tmp_path / "history")
        (history.path / MARK).write_text(f'{{"format": {FORMAT}}}', encoding="utf-8")

        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "replace", refuse)
        with pytest.raises(HistoryError, match=r"(?s)Permission denied.*--redact-key"):
            _ = history.identity

    def test_mark_is_gone(self, tmp_path: Path) -> None:
        """Without a mark there is no identity, and none is made up."""
        history = History(tmp_path / "history")
        (history.path / MARK).unlink()
        with pytest.raises(HistoryError, match="--redact-key"):
            _ = history.identity

    @pytest.mark.parametrize("mark", ["", "[]", '{"format": 1, "id": "xyz"}', '{"id": 7}'])
    def test_damaged(self, tmp_path: Path, mark: str) -> None:
        """An identity that cannot be read is never replaced: aliases would change."""
        history = History(tmp_path / "history")
        (history.path / MARK).write_text(mark, encoding="utf-8")
        with pytest.raises(HistoryError, match="damaged"):
            _ = history.identity
        assert (history.path / MARK).read_text(encoding="utf-8") == mark


class TestAppend:
    """History.append(): only news is kept, and nothing twice."""

    def test_first(self, tmp_path: Path) -> None:
        """A first snapshot is kept whole, whatever kind of object it is."""
        history = History(tmp_path)
        assert history.append(FIRST) == Appended(new=2, polls=2, schedules=2)
        assert_frame_equal(history.observations(), FIRST.observations)
        assert_frame_equal(history.polls(), FIRST.polls)
        assert_frame_equal(history.schedules(), FIRST.schedules)

    def test_twice(self, history: History) -> None:
        """The same snapshot again adds no row and no commit."""
        before = history.observations(), len(commits(history))
        assert history.append(FIRST) == Appended()
        assert_frame_equal(history.observations(), before[0])
        assert len(commits(history)) == before[1]

    def test_changes_only(self, history: History) -> None:
        """Of a later round the changed jobs and every visit are kept."""
        assert history.append(SECOND) == Appended(changed=1, polls=2)
        assert history.observations()["progress"].to_list() == [pd.NA, 10, 60]

    def test_changed_schedule(self, history: History) -> None:
        """A schedule is kept again when it was seen changed."""
        assert history.append(snapshot(3, hour=1)).schedules == 2
        assert history.schedules()["hour"].to_list() == [23, 23, 1, 1]

    def test_late(self, history: History) -> None:
        """An older snapshot adds its visits, but no older words about known jobs."""
        late = snapshot(0, job("vc-1", "1", "INPROGRESS"), job("vc-1", "0", "FAILED"))
        assert history.append(late) == Appended(new=1, polls=2)
        assert history.jobs(appliances=["vc-1"])["outcome"].to_list() == ["failure", "success"]

    @pytest.mark.parametrize("names", [(), ("vc-1",)])
    def test_nothing_to_say(self, history: History, names: tuple[str, ...]) -> None:
        """A round in which no job changed, or nobody answered, is kept like any other."""
        added = history.append(snapshot(3, names=names))
        assert added == Appended(polls=len(names))

    def test_doubled_poll(self, tmp_path: Path) -> None:
        """A visit that is in a snapshot twice is kept once."""
        doubled = snapshot(1, names=("vc-1", "vc-1"))
        assert History(tmp_path).append(doubled).polls == 1

    def test_details_stay(self, history: History) -> None:
        """What details told of a job stays when job/{id} is silent about it."""
        details = {"type": "MANUAL", "size": 7, "location": "nfs://h/x", "build": "1"}
        history.append(snapshot(2, job("vc-2", "1", "RUNNING", source="details", **details)))
        history.append(snapshot(3, job("vc-2", "1", "SUCCEEDED", source="job")))
        [known] = history.jobs(appliances=["vc-2"]).to_dict("records")
        assert known["outcome"] == "success"
        assert {name: known[name] for name in details} == details

    def test_refused(self, history: History) -> None:
        """A frame that is not what its contract says is refused before anything is written."""
        bad = snapshot(9, job("vc-9", "1", "FAILED"))
        bad.polls = bad.polls.drop(columns="ok")
        with pytest.raises(TableError, match="polls: the column 'ok' is missing"):
            history.append(bad)
        assert len(history.observations()) == 2

    def test_two_at_once(self, history: History) -> None:
        """Two users of one folder see each other's rows, and neither's are lost."""
        other = History(history.path)
        assert other.append(SECOND).observations == 1
        assert history.append(SECOND) == Appended()
        history.append(snapshot(3, job("vc-1", "2", "FAILED")))
        assert_frame_equal(other.observations(), history.observations())
        assert len(other.observations()) == 4

    @pytest.mark.property
    @settings(max_examples=8, deadline=None)
    @given(data=st.data())
    def test_round_trip(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        """Whatever fits the contract comes back from the folder as it was."""
        texts = st.none() | st.text(max_size=5)
        values = {
            "progress": st.none() | st.floats(0, 100),
            "start_time": st.none() | st.datetimes(timezones=st.just(UTC)),
            "end_time": st.none() | st.datetimes(timezones=st.just(UTC)),
            "size": st.none() | st.integers(0, 2**63 - 1),
            "type": texts,
            "location": texts,
            "messages": st.none()
            | st.lists(
                st.fixed_dictionaries(
                    {
                        "id": st.text(max_size=3),
                        "default_message": st.text(max_size=3),
                        "args": st.lists(st.text(max_size=3), max_size=2),
                        "localized": texts,
                    }
                ),
                max_size=2,
            ),
        }
        ids = data.draw(st.lists(st.text(max_size=4), min_size=1, max_size=4, unique=True))
        jobs = [
            job("vc-1", job_id, "FAILED", **data.draw(st.fixed_dictionaries(values)))
            for job_id in sorted(ids)
        ]
        kept = History(tmp_path_factory.mktemp("history"))
        brought = snapshot(1, *jobs)
        kept.append(brought)
        assert_frame_equal(kept.observations(), brought.observations)
        assert kept.append(brought) == Appended()


READERS: list[Callable[..., pd.DataFrame]] = [
    History.observations,
    History.jobs,
    History.polls,
    History.schedules,
]


def _files(history: History) -> set[str]:
    """Name the files of the observations."""
    adds = DeltaTable(str(history.path / "observations")).get_add_actions(flatten=True)
    return set(adds.column("path").to_pylist())


class TestTidy:
    """Many small files become few, and nothing else changes."""

    @pytest.fixture(autouse=True)
    def often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tidy after four appends."""
        monkeypatch.setattr("backupkit.history.sealed.TIDY_EVERY", 4)

    def test_rows_stay(self, history: History, tmp_path: Path) -> None:
        """The same rows come from fewer files; readers that are at it lose none."""
        told = [
            snapshot(minute, job("vc-1", f"{minute}", "SUCCEEDED", messages=[MESSAGE]))
            for minute in range(2, 7)
        ]
        untidy = History(tmp_path / "untidy")
        untidy.append(FIRST)
        open_reader = DeltaTable(str(history.path / "observations"))
        for one in told:
            history.append(one)
        with pytest.MonkeyPatch.context() as never:
            never.setattr("backupkit.history.sealed.TIDY_EVERY", 1_000)
            for one in told:
                untidy.append(one)
        for name in ("observations", "polls", "schedules", "jobs"):
            assert_frame_equal(getattr(history, name)(), getattr(untidy, name)())
        assert len(DeltaTable(str(history.path / "observations")).file_uris()) == 3
        assert len(DeltaTable(str(untidy.path / "observations")).file_uris()) == 6
        assert open_reader.to_pyarrow_table().num_rows == 2

    def test_another_is_at_it(self, history: History, caplog: pytest.LogCaptureFixture) -> None:
        """Of two at once one puts together: Delta would let both, and every row were doubled."""
        with (
            FileLock(history.path / ".tidy.lock"),
            caplog.at_level("INFO", logger="backupkit.history"),
        ):
            for minute in range(2, 7):
                history.append(snapshot(minute, job("vc-1", f"{minute}", "SUCCEEDED")))
        assert "is not tidied now" in caplog.text
        assert len(DeltaTable(str(history.path / "observations")).file_uris()) == 6
        history.append(snapshot(7, job("vc-1", "7", "SUCCEEDED")))
        assert len(DeltaTable(str(history.path / "observations")).file_uris()) == 1
        assert len(history.observations()) == 8

    def test_another_was_quicker(
        self, history: History, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An append is done, whether or not the table could be tidied."""

        def refuse(*_args: object, **_more: object) -> None:
            raise CommitFailedError("a concurrent transaction deleted data")

        monkeypatch.setattr(TableOptimizer, "z_order", refuse)
        with caplog.at_level("INFO", logger="backupkit.history"):
            for minute in range(2, 7):
                history.append(snapshot(minute, job("vc-1", f"{minute}", "SUCCEEDED")))
        assert len(history.jobs()) == 7
        assert "is not tidied now: a concurrent transaction" in caplog.text

    def test_a_growing_month(self, tmp_path: Path) -> None:
        """Rows are not written again and again: a large file stays until half as much has come."""
        history = History(tmp_path / "history")
        ids = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(5_000)]
        history.append(snapshot(0, *(job("vc-1", name, "SUCCEEDED") for name in ids)))
        files = _files(history)
        for minute in range(1, 41):
            history.append(snapshot(minute, job("vc-1", f"{minute}", "SUCCEEDED")))
        assert files < _files(history)
        assert len(_files(history)) < 10
        assert len(list((history.path / "observations" / "_delta_log").iterdir())) < 20
        history.compact()
        assert len(_files(history)) == 1
        assert len(history.jobs()) == 5_040

    def test_a_month_that_ended(self, history: History) -> None:
        """Once a month is over its files become one, however their sizes are."""
        many = [job("vc-1", f"1-{number:04}", "SUCCEEDED") for number in range(5_000)]
        history.append(snapshot(2, *many))
        after = 30 * 24 * 60
        for minute in range(after, after + 4):
            history.append(snapshot(minute, job("vc-1", f"{minute}", "SUCCEEDED")))
        months = [path.split("/")[0] for path in _files(history)]
        assert months.count("month=2026-11") == 1
        assert len(history.jobs()) == 5_006

    def test_read_meanwhile(self, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who began to read a log that is dropped meanwhile begins anew, and misses nothing."""
        beside, check = History(history.path), Seals.check
        minutes = iter(range(2, 14))

        def late(seals: Seals, files: Iterable[Path], sealed: Any) -> None:  # noqa: ANN401 # as it is called
            if seals is history._store.seals:
                for minute in minutes:
                    beside.append(snapshot(minute, job("vc-1", f"{minute}", "SUCCEEDED")))
            check(seals, files, sealed)

        monkeypatch.setattr(Seals, "check", late)
        assert len(history.observations()) == 14


@given(
    ids=st.lists(
        st.text(min_size=1, max_size=3).flatmap(
            lambda text: st.sampled_from([1, 20, 40]).map(lambda times: text * times)
        ),
        min_size=1,
        max_size=60,
        unique=True,
    ),
    cut=st.integers(0, 60),
)
@settings(max_examples=15, deadline=None)
def test_any_id_is_found_again(ids: list[str], cut: int) -> None:
    """Whatever the ids of jobs are, long or strange, what is known is not kept twice."""
    with tempfile.TemporaryDirectory() as folder:
        history = History(folder)
        for minute, part in enumerate((ids[:cut], ids[cut:]), start=1):
            history.append(snapshot(minute, *(job("vc-1", name, "SUCCEEDED") for name in part)))
        added = history.append(snapshot(9, *(job("vc-1", name, "SUCCEEDED") for name in ids)))
        assert added.observations == 0
        assert sorted(history.jobs()["job_id"]) == sorted(ids)


def test_several_visits_at_once(tmp_path: Path) -> None:
    """What tells of several visits may tell of a new job, its change, and that it is gone."""
    one = snapshot(
        1,
        job("vc-1", "1", "INPROGRESS"),
        job("vc-1", "1", "SUCCEEDED", observed_at=at(2)),
        job("vc-1", "1", "SUCCEEDED", observed_at=at(3), source="list"),
    )
    later = [snapshot(minute) for minute in (2, 3)]
    one.polls = pd.concat([one.polls, *(other.polls for other in later)], ignore_index=True)
    added = History(tmp_path).append(one)
    assert (added.new, added.changed, added.vanished, added.polls) == (1, 1, 1, 6)


def test_counted_piece_by_piece(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history that is too large to be counted at once comes to the same figures."""
    history.append(snapshot(5, job("vc-0", "7", "SUCCEEDED"), names=("vc-0",)))
    history.append(snapshot(6, job("vc-3", "7", "RUNNING"), names=("vc-3",)))
    history.append(snapshot(7, job("vc-3", "7", "SUCCEEDED"), names=("vc-3",)))
    whole = history.facts()
    assert whole["Jobs"] == "4"
    assert whole["Observations"] == "5"
    assert whole["First observation"] == "2026-11-09 20:01 UTC"
    monkeypatch.setattr(sys.modules["backupkit.history.history"], "_AT_ONCE", 1)
    assert history.facts() == whole


class TestKilled:
    """What a collector left that was killed before it wrote its polls."""

    @pytest.fixture
    def kill(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[History], None]:
        """Append, and die just before the polls."""
        write = Sealed.write

        def dying(stored: Sealed, rows: Any, *, run: str) -> None:  # noqa: ANN401 # Arrow says no types
            if stored.table is POLLS:
                raise KeyboardInterrupt
            write(stored, rows, run=run)

        def killed(history: History) -> None:
            with monkeypatch.context() as patch:
                patch.setattr(Sealed, "write", dying)
                with pytest.raises(KeyboardInterrupt):
                    history.append(SECOND if len(history.polls()) else FIRST)

        return killed

    def test_in_the_first_round(self, tmp_path: Path, kill: Callable[[History], None]) -> None:
        """Rows for which no poll vouches are not read, and are written again."""
        history = History(tmp_path / "history")
        kill(history)
        assert_frame_equal(history.jobs(), JOBS.empty())
        assert_frame_equal(history.schedules(), SCHEDULES.empty())
        history.append(FIRST)
        assert len(history.jobs()) == 2

    def test_in_a_later_round(self, history: History, kill: Callable[[History], None]) -> None:
        """Those of earlier rounds are read as before, and the next round brings the rest once."""
        before = history.observations()
        kill(history)
        assert_frame_equal(history.observations(), before)
        history.append(SECOND)
        assert len(history.observations()) == len(before) + 1


class TestRead:
    """History.observations() and its siblings: at, since, appliances."""

    @pytest.mark.parametrize(
        ("choice", "progress"),
        [
            ({}, [pd.NA, 10, 60]),
            ({"at": at(1)}, [pd.NA, 10]),
            ({"at": at(0)}, []),
            ({"at": "2026-11-09T21:02:00+01:00"}, [pd.NA, 10, 60]),
            ({"since": at(2)}, [60]),
            ({"since": at(3)}, []),
            ({"since": at(1), "at": at(1)}, [pd.NA, 10]),
            ({"appliances": ["vc-1"]}, [pd.NA]),
            ({"appliances": ("vc-2" for _ in range(1)), "at": at(1)}, [10]),
            ({"appliances": ["vc-1", "vc-2", "vc-9"]}, [pd.NA, 10, 60]),
            ({"appliances": []}, []),
        ],
    )
    def test_observations(
        self, history: History, choice: dict[str, Any], progress: list[Any]
    ) -> None:
        """Each choice takes what it says, ends included, by time."""
        history.append(SECOND)
        frame = history.observations(**choice)
        assert OBSERVATIONS.check(frame)["progress"].to_list() == progress

    def test_jobs(self, history: History) -> None:
        """Jobs are as they were known at an instant, or those changed since one."""
        history.append(SECOND)
        assert history.jobs(at=at(1))["progress"].to_list() == [pd.NA, 10]
        assert history.jobs()["progress"].to_list() == [pd.NA, 60]
        changed = JOBS.check(history.jobs(since=at(2)))
        assert changed["appliance"].to_list() == ["vc-2"]
        assert changed["first_seen_at"].to_list() == [at(1)]

    @pytest.mark.parametrize(("reader", "rows"), [(History.polls, 2), (History.schedules, 0)])
    def test_others(self, history: History, reader: Callable[..., pd.DataFrame], rows: int) -> None:
        """Visits and schedules are chosen by their own times."""
        history.append(SECOND)
        assert len(reader(history, since=at(2))) == rows
        assert len(reader(history, at=at(1), appliances=["vc-1"])) == 1

    @pytest.mark.parametrize("reader", READERS)
    @pytest.mark.parametrize("choice", ["at", "since"])
    def test_no_instant(
        self, history: History, reader: Callable[..., pd.DataFrame], choice: str
    ) -> None:
        """A time without a zone is refused, and not taken for UTC."""
        with pytest.raises(SettingsError, match="has no time zone"):
            reader(history, **{choice: "2026-11-09"})


class TestDamage:
    """What is said when the files below are not as they were written."""

    @pytest.mark.parametrize("size", [0, 1, 100])
    @pytest.mark.parametrize("newest", [-1, 0])
    def test_log(self, history: History, size: int, newest: int) -> None:
        """A commit that was cut, or emptied by a power failure, is told and never passed over."""
        history.append(SECOND)
        os.truncate(commits(history)[newest], size)
        for use in (history.observations, history.jobs, lambda: history.append(SECOND)):
            with pytest.raises(HistoryError, match=r"cannot be read: .* put it back from a backup"):
                use()

    def test_rows(self, history: History) -> None:
        """A cut or missing data file is told, on one line."""
        [data] = (history.path / "observations").glob("month=*/*.parquet")
        os.truncate(data, 10)
        with pytest.raises(HistoryError, match="cannot be read") as caught:
            history.observations()
        assert "\n" not in str(caught.value)
        data.unlink()
        with pytest.raises(HistoryError, match="cannot be read"):
            history.observations()

    def test_other_table(self, tmp_path: Path) -> None:
        """A table of other columns in our place can be neither read nor added to."""
        history = History(tmp_path)
        write_deltalake(str(tmp_path / "polls"), pd.DataFrame({"x": [1]}))
        with pytest.raises(HistoryError, match="cannot be read"):
            history.polls()

    def test_unwritable(self, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
        """A write that fails says that what was kept is still there, and so it is."""

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("backupkit.history.stored.write_deltalake", full)
        with pytest.raises(
            HistoryError, match=r"cannot be written: .*No space left.* Nothing that was kept is cha"
        ):
            history.append(SECOND)
        monkeypatch.undo()
        assert_frame_equal(history.observations(), FIRST.observations)
        assert history.append(SECOND) == Appended(changed=1, polls=2)

    def test_without_words(self, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
        """A fault without words is named by its kind."""

        def silent(*_: object, **__: object) -> None:
            raise OSError

        monkeypatch.setattr("backupkit.history.stored.write_deltalake", silent)
        with pytest.raises(HistoryError, match=r"cannot be written: OSError\. Nothing"):
            history.append(SECOND)
