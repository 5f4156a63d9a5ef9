"""History: append, queries, round trips and concurrency, in SQLite and in PostgreSQL."""

import pickle
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from backupkit.errors import HistoryError, SettingsError, TableError
from backupkit.history import AppendResult, History
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES, Table, sync_state_from
from tests.builders import (
    FIRST,
    MESSAGE,
    SECOND,
    at,
    frame,
    observation,
    snapshot,
    snapshot_of,
    vanished_job,
)
from tests.conftest import Place, repeats


@pytest.fixture
def history(make_history: Callable[[], History]) -> History:
    """Return a history of one collection."""
    made = make_history()
    made.append(FIRST)
    return made


@pytest.fixture(scope="module")
def two(place: Place) -> Iterator[History]:
    """Return a history of two collections, for tests that only read."""
    with place() as target:
        made = History(target)
        made.append(FIRST)
        made.append(SECOND)
        yield made


def assert_like(found: pd.DataFrame, expected: pd.DataFrame, *keys: str) -> None:
    """Compare frames without regard to the order of their rows."""
    by = [*keys]
    assert_frame_equal(
        found.sort_values(by, ignore_index=True), expected.sort_values(by, ignore_index=True)
    )


class TestOpen:
    """History() and its properties."""

    def test_create(self, make_history: Callable[[], History]) -> None:
        """A new history is empty and verifies."""
        history = make_history()
        assert_frame_equal(history.observations(), OBSERVATIONS.empty())
        assert_frame_equal(history.polls(), POLLS.empty())
        assert_frame_equal(history.schedules(), SCHEDULES.empty())
        assert_frame_equal(history.jobs(), JOBS.empty())
        assert history.sync_state() == {}
        assert history.facts()["Kept"] == "nothing yet"
        assert history.head == ""
        assert history.verify().empty

    def test_reopen(self, history: History) -> None:
        """A reopened history has the same rows, also with create=False."""
        again = History(history.uri, create=False)
        assert_frame_equal(again.observations(), history.observations())
        assert again.head == history.head
        assert repr(again) == f"History({history.uri!r})"

    def test_no_create(self, target: str) -> None:
        """With create=False nothing is created, and the error names the command that fills one."""
        with pytest.raises(HistoryError, match=r"holds no history yet\. Fill it first with: ba"):
            History(target, create=False)
        assert not Path(target).exists()
        History(target)
        History(target, create=False)

    def test_travels(self, history: History) -> None:
        """A history can be pickled."""
        again = pickle.loads(pickle.dumps(history))  # noqa: S301 # our own
        assert_frame_equal(again.jobs(), history.jobs())

    def test_identity(self, make_history: Callable[[], History]) -> None:
        """The identity of a history is constant and unique."""
        one, other = make_history(), make_history()
        assert len(one.identity) == 16
        assert History(one.uri, create=False).identity == one.identity
        assert one.identity != other.identity

    def test_facts(self, history: History) -> None:
        """Facts count what is stored."""
        history.append(SECOND)
        facts = history.facts()
        assert facts.pop("Size").endswith(" MiB")
        assert facts == {
            "Appliances": "2",
            "Jobs": "2",
            "Observations": "3",
            "First observation": "2026-11-09 20:01 UTC",
            "Last poll": "2026-11-09 20:02 UTC",
            "Polls": "4, of which 0 failed",
            "Appends": "2",
            "Head": history.head,
        }


class TestFile:
    """A path is one SQLite file."""

    def test_folders(self, tmp_path: Path) -> None:
        """Missing folders are created, and the history is one file."""
        history = History(tmp_path / "a" / "b" / "history.db")
        history.append(FIRST)
        assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["history.db"]

    @pytest.mark.parametrize(
        "name",
        ["h[1]", "h^2|x", "h%20x", "h%41", "a b #1", "q?mode=ro&x=1", "{h}", "Größe", "~", "'"],
    )
    def test_any_name(self, tmp_path: Path, name: str) -> None:
        """Every character that the system allows works in the name of a folder and of the file."""
        target = tmp_path / name / name
        History(target).append(FIRST)
        history = History(target, create=False)
        assert len(history.observations()) == len(FIRST.observations)
        assert history.verify().empty
        assert [path.name for path in (tmp_path / name).iterdir()] == [name]

    def test_empty_file(self, tmp_path: Path) -> None:
        """An empty file becomes a history."""
        path = tmp_path / "history.db"
        path.touch()
        with pytest.raises(HistoryError, match="holds no history yet"):
            History(path, create=False)
        assert len(History(path).jobs()) == 0

    def test_copied(self, tmp_path: Path) -> None:
        """A copy of the file is the same history."""
        history = History(tmp_path / "history.db")
        history.append(FIRST)
        copy = tmp_path / "copy.db"
        copy.write_bytes((tmp_path / "history.db").read_bytes())
        assert History(copy, create=False).head == history.head
        assert History(copy).verify().empty


class TestAppend:
    """History.append."""

    def test_first(self, make_history: Callable[[], History]) -> None:
        """A first snapshot is stored completely."""
        history = make_history()
        assert history.append(FIRST) == AppendResult(new=2, polls=2, schedules=2)
        assert_frame_equal(history.observations(), FIRST.observations)
        assert_frame_equal(history.polls(), FIRST.polls)
        assert_frame_equal(history.schedules(), FIRST.schedules)

    def test_twice(self, history: History) -> None:
        """The same snapshot again adds no row and no entry of the ledger."""
        before, head = history.observations(), history.head
        assert history.append(FIRST) == AppendResult()
        assert_frame_equal(history.observations(), before)
        assert history.head == head

    def test_nothing(self, make_history: Callable[[], History]) -> None:
        """An empty snapshot changes nothing."""
        history = make_history()
        assert history.append(snapshot(1, names=())) == AppendResult()
        assert history.head == ""

    def test_changes_only(self, history: History) -> None:
        """A later collection adds the changed jobs and every poll."""
        assert history.append(SECOND) == AppendResult(changed=1, polls=2)
        assert history.observations()["progress"].to_list() == [pd.NA, 10, 60]

    def test_changed_schedule(self, history: History) -> None:
        """A schedule is stored again when it has changed."""
        assert history.append(snapshot(3, hour=1)).schedules == 2
        assert history.schedules()["hour"].to_list() == [23, 23, 1, 1]
        assert history.append(snapshot(4, hour=1)).schedules == 0

    def test_late(self, history: History) -> None:
        """An older snapshot adds polls, jobs and earlier states; the newest state stays."""
        late = snapshot(
            0, observation("vc-1", "1", "INPROGRESS"), observation("vc-1", "0", "FAILED")
        )
        assert history.append(late) == AppendResult(new=1, changed=1, polls=2, schedules=2)
        assert history.append(late) == AppendResult()
        assert history.schedules()["seen_at"].to_list() == [at(0), at(0)]
        assert history.jobs(appliances=["vc-1"])["outcome"].to_list() == ["failure", "success"]
        assert history.observations()["observed_at"].is_monotonic_increasing
        assert history.verify().empty

    @pytest.mark.parametrize("names", [(), ("vc-1",)])
    def test_polls_only(self, history: History, names: tuple[str, ...]) -> None:
        """A collection that changes no job adds only its polls."""
        assert history.append(snapshot(3, names=names)) == AppendResult(polls=len(names))

    def test_doubled_poll(self, make_history: Callable[[], History]) -> None:
        """A poll that occurs twice in a snapshot is stored once."""
        history = make_history()
        assert history.append(snapshot(1, names=("vc-1", "vc-1"))).polls == 1
        assert history.verify().empty

    def test_details_stay(self, history: History) -> None:
        """Fields from the details of a job stay when job/{id} does not have them."""
        details = {"type": "MANUAL", "size": 7, "location": "nfs://h/x", "build": "1"}
        history.append(
            snapshot(2, observation("vc-2", "1", "RUNNING", source="details", **details))
        )
        history.append(snapshot(3, observation("vc-2", "1", "SUCCEEDED", source="job")))
        [known] = history.jobs(appliances=["vc-2"]).to_dict("records")
        assert known["outcome"] == "success"
        assert {name: known[name] for name in details} == details

    def test_vanished(self, history: History) -> None:
        """A job that the job list lacks has vanished, until it is listed again."""
        gone = vanished_job("vc-1", "1")
        assert history.append(snapshot(2, gone)) == AppendResult(vanished=1, polls=2)
        assert history.jobs(appliances=["vc-1"])["vanished_at"].to_list() == [at(2)]
        assert history.jobs(appliances=["vc-1"])["outcome"].to_list() == ["success"]
        assert history.sync_state()["vc-1"].listed == frozenset()
        assert history.append(snapshot(3, gone)) == AppendResult(polls=2)
        assert history.append(snapshot(4, observation("vc-1", "1", "SUCCEEDED"))).changed == 1
        assert history.jobs(appliances=["vc-1"])["vanished_at"].isna().all()
        assert history.verify().empty

    def test_only_vanished(self, history: History) -> None:
        """A job that is only known to have vanished is no job until it is observed."""
        history.append(snapshot(2, vanished_job("vc-1", "2")))
        assert len(history.jobs()) == 2
        assert len(history.observations()) == 3
        assert history.verify().empty
        history.append(snapshot(3, observation("vc-1", "2", "FAILED")))
        assert history.jobs(appliances=["vc-1"])["outcome"].to_list() == ["success", "failure"]
        assert history.verify().empty

    def test_conflicts(self, history: History) -> None:
        """A finished job that is later reported with another end is a conflict; both are stored."""
        end = snapshot(2, observation("vc-1", "1", "SUCCEEDED", end_time=at(1)))
        other = snapshot(3, observation("vc-1", "1", "SUCCEEDED", end_time=at(2)))
        history.append(end)
        added = history.append(other)
        assert added.conflicts["known_end_time"].to_list() == [at(1)]
        conflicts = history.conflicts()
        assert_frame_equal(conflicts, added.conflicts)
        assert conflicts["end_time"].to_list() == [at(2)]
        assert history.jobs(appliances=["vc-1"])["end_time"].to_list() == [at(2)]
        assert history.conflicts(at=at(2)).empty
        assert len(history.conflicts(since=at(3))) == 1
        assert history.conflicts(since=at(4)).empty
        assert history.conflicts(appliances=["vc-2"]).empty

    def test_finished_stays_finished(self, history: History) -> None:
        """A finished job that is later reported as running stays finished."""
        history.append(snapshot(2, observation("vc-1", "1", "INPROGRESS", progress=5)))
        history.append(snapshot(3, observation("vc-1", "1", "INPROGRESS", progress=6)))
        [known] = history.jobs(appliances=["vc-1"]).to_dict("records")
        assert (known["outcome"], known["last_seen_at"]) == ("success", at(3))
        assert history.verify().empty

    def test_refused(self, history: History) -> None:
        """A frame that breaks its contract is an error, and nothing is written."""
        bad = snapshot(9, observation("vc-9", "1", "FAILED"))
        bad.polls = bad.polls.drop(columns="ok")
        with pytest.raises(TableError, match="polls: the column 'ok' is missing"):
            history.append(bad)
        assert len(history.observations()) == 2

    def test_two_users(self, history: History) -> None:
        """Two History objects of one place see each other's rows."""
        other = History(history.uri)
        assert other.append(SECOND).observations == 1
        assert history.append(SECOND) == AppendResult()
        history.append(snapshot(3, observation("vc-1", "2", "FAILED")))
        assert_frame_equal(other.observations(), history.observations())
        assert len(other.observations()) == 4
        assert other.verify().empty

    def test_several_polls(self, make_history: Callable[[], History]) -> None:
        """A snapshot of several polls may contain a new job, its change and its end on the list."""
        one = snapshot(
            1,
            observation("vc-1", "1", "INPROGRESS"),
            observation("vc-1", "1", "SUCCEEDED", observed_at=at(2)),
            vanished_job("vc-1", "1", observed_at=at(3)),
        )
        later = [snapshot(minute) for minute in (2, 3)]
        one.polls = pd.concat([one.polls, *(other.polls for other in later)], ignore_index=True)
        history = make_history()
        added = history.append(one)
        assert (added.new, added.changed, added.vanished, added.polls) == (1, 1, 1, 6)
        assert history.jobs()["vanished_at"].to_list() == [at(3)]
        assert history.verify().empty


class TestRead:
    """Queries with `at`, `since`, `appliances` and `columns`."""

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
            ({"appliances": ("vc-2",), "at": at(1)}, [10]),
            ({"appliances": ["vc-1", "vc-2", "vc-9"]}, [pd.NA, 10, 60]),
            ({"appliances": ["vc-9"]}, []),
            ({"appliances": []}, []),
        ],
    )
    def test_observations(self, two: History, choice: dict[str, Any], progress: list[Any]) -> None:
        """Each option filters by time or name; both ends of a time range are included."""
        frame = two.observations(**choice)
        assert OBSERVATIONS.check(frame)["progress"].to_list() == progress

    def test_any_iterable(self, two: History) -> None:
        """The appliances may come from any iterable."""
        assert len(two.jobs(appliances=(f"vc-{number}" for number in (1, 2)))) == 2

    def test_jobs(self, two: History) -> None:
        """Jobs are as known at an instant, or those that changed since one."""
        assert two.jobs(at=at(1))["progress"].to_list() == [pd.NA, 10]
        assert two.jobs()["progress"].to_list() == [pd.NA, 60]
        changed = JOBS.check(two.jobs(since=at(2)))
        assert changed["appliance"].to_list() == ["vc-2"]
        assert changed["first_seen_at"].to_list() == [at(1)]

    def test_columns(self, history: History) -> None:
        """A query of some columns returns them in the requested order."""
        history.append(snapshot(5, observation("vc-2", "1", "SUCCEEDED", end_time=at(4))))
        for columns in (["outcome", "appliance"], ["duration"], ["messages", "end_time"]):
            for then in (None, at(1)):
                expected = history.jobs(at=then)[columns]
                assert_frame_equal(history.jobs(at=then, columns=columns), expected)

    @pytest.mark.parametrize(("name", "count"), [("polls", 2), ("schedules", 0)])
    def test_others(self, two: History, name: str, count: int) -> None:
        """Polls and schedules are filtered by their own times."""
        read = getattr(two, name)
        assert len(read(since=at(2))) == count
        assert len(read(at=at(1), appliances=["vc-1"])) == 1
        assert read(appliances=[]).empty

    @pytest.mark.parametrize("name", ["observations", "jobs", "polls", "schedules", "conflicts"])
    @pytest.mark.parametrize("choice", ["at", "since"])
    def test_no_instant(self, two: History, name: str, choice: str) -> None:
        """A time without a zone is an error."""
        with pytest.raises(SettingsError, match="has no time zone"):
            getattr(two, name)(**{choice: "2026-11-09"})

    def test_sync_state(self, history: History) -> None:
        """The state for the next collection follows from all that is stored."""
        history.append(SECOND)
        polls = [
            {"appliance": "vc-1", "polled_at": at(3), "ok": True, "api": "api", "version": "8"},
            {"appliance": "vc-1", "polled_at": at(4), "ok": False, "error": "unreachable"},
            {"appliance": "vc-2", "polled_at": at(3), "ok": True, "api": "rest"},
            {"appliance": "vc-3", "polled_at": at(3), "ok": False},
        ]
        history.append(snapshot_of(polls=polls))
        state = history.sync_state()
        assert state == sync_state_from(
            history.observations(), history.polls(), history.schedules()
        )
        assert state["vc-1"].finished == {"1"}
        assert state["vc-1"].api == "api"

    def test_known_jobs(self, history: History) -> None:
        """Known and finished jobs are found among the ids of a job list."""
        jobs = [observation("vc-1", f"{number}", "FAILED") for number in range(2, 1_000)]
        history.append(snapshot(2, *jobs, observation("vc-1", "0", "INPROGRESS")))
        every = frozenset(f"{number}" for number in range(1_000))
        assert history.known_jobs("vc-1", every) == (every, every - {"0"})
        # some of the known ones are missing on the list
        assert history.known_jobs("vc-1", ["0", "x\0y"]) == (every, every - {"0"})
        assert history.known_jobs("vc-1", []) == (every, every - {"0"})
        assert history.known_jobs("vc-2", ["1", "2", "2"]) == (frozenset("1"), frozenset())
        assert history.known_jobs("vc-9", ["1"]) == (frozenset(), frozenset())
        history.append(snapshot(3, *(vanished_job("vc-1", one) for one in every - {"0", "1", "7"})))
        left = frozenset({"0", "1", "7"})
        assert history.known_jobs("vc-1", ["0", "1", "7", "new"]) == (left, left - {"0"})
        assert history.known_jobs("vc-1", ["1"]) == (left, left - {"0"})
        odd = ["", "x\0y", "long" * 1_000, "o'hara"]
        history.append(
            snapshot(4, *(observation("vc-3", one, "FAILED") for one in odd), names=("vc-3",))
        )
        assert history.known_jobs("vc-3", odd) == (frozenset(odd), frozenset(odd))
        assert history.known_jobs("vc-3", [])[0] >= {"", "o'hara"}

    def test_view(self, history: History) -> None:
        """A view has jobs, polls and schedules of the same instant."""
        history.append(SECOND)
        known = history.view()
        assert_frame_equal(known.jobs, history.jobs())
        assert_frame_equal(known.polls, history.polls())
        assert_frame_equal(known.schedules, history.schedules())
        then = history.view(at=at(1), appliances=["vc-2"])
        assert then.jobs["progress"].to_list() == [10]
        assert len(then.polls) == len(then.schedules) == 1


class TestSql:
    """History.sql."""

    def test_views(self, make_history: Callable[[], History]) -> None:
        """Views have ISO 8601 times, and names in place of numbers."""
        history = make_history()
        history.append(
            snapshot(
                9,
                observation(
                    "vc-1",
                    "1",
                    "SUCCEEDED",
                    end_time=at(8) + timedelta(milliseconds=250),
                    size=7,
                    location="nfs://h/x",
                    messages=[MESSAGE],
                ),
                observation("vc-1", "2", "FAILED", start_time=at(1)),
                observation("vc-2", "3", "INPROGRESS", progress=40, start_time=None),
            )
        )
        jobs = history.sql("SELECT * FROM v_jobs ORDER BY appliance, job_id").to_dict("records")
        one = jobs[0]
        assert (one["appliance"], one["job_id"]) == ("vc-1", "1")
        assert (one["outcome"], one["state"], one["status"]) == ("success", *["SUCCEEDED"] * 2)
        assert one["start_time"] == "2026-11-09T20:00:00.000Z"
        assert one["end_time"] == "2026-11-09T20:08:00.250Z"
        assert one["duration_s"] == 480.25
        assert (one["size"], one["location"]) == (7, "nfs://h/x")
        assert '"default_message":"done"' in one["messages"]
        assert one["last_seen_at"] == "2026-11-09T20:09:00.000Z"
        assert pd.isna(jobs[2]["start_time"])
        assert jobs[2]["progress"] == 40
        assert history.sql("SELECT job_id FROM v_failures")["job_id"].to_list() == ["2"]
        last = history.sql("SELECT * FROM v_last_success ORDER BY appliance")
        assert last["appliance"].to_list() == ["vc-1", "vc-2"]
        assert last["end_time"].to_list()[0] == "2026-11-09T20:08:00.250Z"
        assert pd.isna(last["end_time"].to_list()[1])

    def test_starts_with_missing(self, make_history: Callable[[], History]) -> None:
        """A column that begins with missing values has its type."""
        history = make_history()
        jobs = [observation("vc-1", f"{number:05}", "FAILED") for number in range(2_000)]
        jobs[-1] |= {"size": 7, "progress": 0.5, "location": "x"}
        history.append(snapshot(1, *jobs))
        assert JOBS.check(history.jobs())["size"].to_list()[-1] == 7
        frame = history.sql("SELECT size, progress, location FROM v_jobs ORDER BY job_id")
        assert frame.iloc[-1].to_list() == [7, 0.5, "x"]
        assert frame["size"].isna().sum() == 1_999

    @pytest.mark.parametrize(
        "query",
        [
            "DELETE FROM jobs",
            "UPDATE jobs SET size = 1",
            "INSERT INTO texts VALUES (99, '', '')",
            "DROP TABLE jobs",
            "SELECT nothing FROM jobs",
            "not SQL",
            "",
        ],
    )
    def test_refused(self, history: History, query: str) -> None:
        """A statement that writes, or is not valid, is an error and changes nothing."""
        with pytest.raises(HistoryError, match="cannot be read"):
            history.sql(query)
        assert len(history.jobs()) == 2
        assert history.verify().empty

    def test_placeholders(self, history: History) -> None:
        """Percent and question marks reach the database unchanged."""
        frame = history.sql("SELECT job_id FROM v_jobs WHERE location LIKE '%?%' OR job_id = '1'")
        assert len(frame) == 2


HOSTILE = [
    "",
    " ",
    "NULL",
    "nan",
    "'; DROP TABLE jobs; --",
    'quote " and \\ back\\slash',
    "line\nbreak\r\n\ttab",
    "\\N",
    "\\.",
    "%s ? :name $1 {}",
    "Größe, 日本語, Ω, 🚀, e\u0301 \u202e",
    "\x01\x7f\ufeff\uffff",
    "\U0010ffff",
    "x" * 5_000,
]
"""Texts that databases, COPY and drivers may misinterpret."""


class TestRoundTrip:
    """Everything that fits the contract is returned unchanged."""

    @pytest.mark.parametrize(
        ("table", "fixed", "names"),
        [
            (OBSERVATIONS, {"observed_at": at(1)}, "state status type location build source"),
            (POLLS, {"polled_at": at(1)}, "error detail api version timezone"),
            (SCHEDULES, {"seen_at": at(1), "parts": []}, "schedule timezone"),
        ],
        ids=["observations", "polls", "schedules"],
    )
    def test_hostile_texts(
        self, make_history: Callable[[], History], table: Table, fixed: dict[str, Any], names: str
    ) -> None:
        """Any text is stored in every column of texts."""
        own = []
        for number, text in enumerate(HOSTILE):
            row = {"appliance": f"vc-{number}", **fixed, **dict.fromkeys(names.split(), text)}
            if table is OBSERVATIONS:
                message = MESSAGE | {"localized": text, "args": [text, text]}
                row |= {"appliance": text[:400], "job_id": text[:400], "messages": [message]}
            elif table is SCHEDULES:
                row["days"] = [text, text]
            own.append(row)
        original = snapshot(1, names=())
        setattr(original, str(table.name), frame(table, own))
        history = make_history()
        history.append(original)
        assert_like(history.observations(), original.observations, "appliance")
        assert_like(history.polls(), original.polls, "appliance")
        assert_like(history.schedules(), original.schedules, "appliance")
        assert history.append(original) == AppendResult()
        assert history.verify().empty
        assert len(History(history.uri).jobs()) == len(original.observations)

    def test_nul(self, make_history: Callable[[], History]) -> None:
        """NUL in a text is replaced, in a list it stays: PostgreSQL stores no NUL."""
        history = make_history()
        nul = "a\0b"
        original = snapshot(
            1,
            observation(nul, nul, nul, location=nul, messages=[MESSAGE | {"localized": nul}]),
            names=(nul,),
        )
        original.schedules["schedule"] = pd.Series([nul], dtype="str")
        assert history.append(original) == AppendResult(new=1, polls=1, schedules=1)
        assert history.append(original) == AppendResult()
        [known] = history.jobs().to_dict("records")
        for name in ("appliance", "job_id", "state", "status", "location"):
            assert known[name] == "a\ufffdb"
        assert known["messages"][0]["localized"] == nul
        assert history.schedules()["schedule"].to_list() == ["a\ufffdb"]
        assert len(history.jobs(appliances=["a\ufffdb"])) == 1
        later = snapshot(2, observation(nul, nul, "SUCCEEDED", location=nul), names=(nul,))
        assert history.append(later).changed == 1
        assert len(history.jobs()) == 1
        assert history.verify().empty
        assert history.forget("a\ufffdb")["observations"] == 2

    def test_extremes(self, make_history: Callable[[], History]) -> None:
        """Numbers and times at the ends of their range are stored."""
        history = make_history()
        first = datetime(1, 1, 1, tzinfo=UTC)
        last = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
        values: list[dict[str, object]] = [
            {"size": 2**63 - 1, "start_time": first, "end_time": last, "progress": 1.7e308},
            {"size": 2**63 - 1, "start_time": last, "end_time": first, "progress": -0.0},
            {"size": 2**63 - 1, "start_time": None, "end_time": last, "progress": 5e-324},
            {"size": -(2**63), "start_time": datetime(1970, 1, 1, tzinfo=UTC), "progress": 0.1},
            {"size": 0, "start_time": datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
        ]
        original = snapshot(
            1,
            *(
                observation("vc-1", f"{number}", "SUCCEEDED", **own)
                for number, own in enumerate(values)
            ),
        )
        original.polls["requests"] = pd.Series([2**63 - 1, -(2**63)], dtype="Int64")
        history.append(original)
        assert_like(history.observations(), original.observations, "job_id")
        assert_frame_equal(history.polls(), original.polls)
        assert history.verify().empty
        jobs = [
            observation("vc-1", f"1{number}", "SUCCEEDED", size=2**63 - 1) for number in range(3)
        ]
        history.append(snapshot(2, *jobs))
        history.append(snapshot(3, observation("vc-1", "0", "FAILED", size=1)))
        assert history.verify().empty

    @pytest.mark.parametrize("size", [3_000, 1_500_000])
    def test_long(self, make_history: Callable[[], History], size: int) -> None:
        """Texts, messages and job ids may have any length."""
        history = make_history()
        text = "".join(chr(0x4E00 + number % 20_000) for number in range(size))
        original = snapshot(
            1,
            *(
                observation(
                    "vc-1",
                    f"{number}{text}",
                    "FAILED",
                    location=text,
                    messages=[MESSAGE | {"default_message": text}],
                )
                for number in range(2)
            ),
            names=("vc-1",),
        )
        history.append(original)
        stored = history.observations()
        others = stored.columns.drop("job_id")
        assert_frame_equal(stored[others], original.observations[others])
        # of such a long id the beginning is stored, and a digest of all of it
        assert (stored["job_id"].str.len() == 400).all()
        assert stored["job_id"].str[:300].to_list() == [f"{n}{text[:299]}" for n in range(2)]
        assert history.append(original) == AppendResult()
        assert (
            history.append(snapshot(2, observation("vc-1", f"0{text}", "SUCCEEDED"))).changed == 1
        )
        assert len(history.jobs()) == 2
        assert history.verify().empty

    @pytest.mark.parametrize(
        "table", [OBSERVATIONS, POLLS, SCHEDULES], ids=lambda table: str(table.name)
    )
    def test_lone_values(self, make_history: Callable[[], History], table: Table) -> None:
        """All values except the key may be missing."""
        history = make_history()
        original = snapshot(1, names=())
        keys: dict[str, dict[str, object]] = {
            "observations": {"job_id": "1", "observed_at": at(1)},
            "polls": {"polled_at": at(1)},
            "schedules": {"schedule": "default", "seen_at": at(1)},
        }
        setattr(original, table.name, frame(table, [{"appliance": "vc-1"} | keys[table.name]]))
        history.append(original)
        assert_frame_equal(getattr(history, table.name)(), getattr(original, table.name))
        assert history.append(original) == AppendResult()
        assert history.verify().empty

    @pytest.mark.property
    @settings(max_examples=repeats(3, 30))
    @given(data=st.data())
    def test_anything(self, place: Place, data: st.DataObject) -> None:
        """Any drawn jobs are stored."""
        texts = st.none() | st.text(max_size=5).map(lambda text: text.replace("\0", ""))
        times = st.none() | st.datetimes(timezones=st.just(UTC))
        values = {
            "progress": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "start_time": times,
            "end_time": times,
            "size": st.none() | st.integers(-(2**63), 2**63 - 1),
            "type": texts,
            "location": texts,
            "messages": st.none()
            | st.lists(
                st.fixed_dictionaries(
                    {
                        "id": st.text(max_size=3),
                        "default_message": st.text(max_size=3),
                        "args": st.lists(st.text(max_size=3), max_size=2),
                        "localized": st.none() | st.text(max_size=3),
                    }
                ),
                max_size=2,
            ),
        }
        ids = data.draw(
            st.lists(
                st.text(max_size=4).map(lambda text: text.replace("\0", "")),
                min_size=1,
                max_size=4,
                unique=True,
            )
        )
        words = st.sampled_from(["SUCCEEDED", "FAILED", "RUNNING", "NEW"])
        jobs = [
            observation(
                "vc-1", job_id, data.draw(words), **data.draw(st.fixed_dictionaries(values))
            )
            for job_id in ids
        ]
        with place() as target:
            stored = History(target)
            brought = snapshot(1, *jobs)
            stored.append(brought)
            assert_like(stored.observations(), brought.observations, "job_id")
            assert stored.append(brought) == AppendResult()
            assert stored.verify().empty


class TestConcurrency:
    """Concurrent use by several threads."""

    def test_read_while_appending(self, target: str) -> None:
        """A reader sees each append completely or not at all."""
        writer = History(target)
        stop = threading.Event()
        problems: list[str] = []

        def read() -> None:
            reader = History(target, create=False)
            while not stop.is_set():
                known = reader.view()
                by = known.jobs.groupby("appliance").size() if len(known.jobs) else pd.Series([0])
                if set(by) - {len(known.polls) // 2}:
                    problems.append(  # pragma: no cover # only where it fails
                        f"{by.to_list()} jobs and {len(known.polls)} polls"
                    )

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for minute in range(10):
                jobs = [observation(name, f"{minute}", "SUCCEEDED") for name in ("vc-1", "vc-2")]
                writer.append(snapshot(minute, *jobs))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert problems == []
        assert len(writer.jobs()) == 20

    def test_append_by_threads(self, target: str) -> None:
        """Concurrent appends lose nothing and store nothing twice."""
        failed: list[Exception] = []

        def append(name: str) -> None:
            try:
                history = History(target)
                for minute in range(5):
                    jobs = [
                        observation(name, f"{minute}", "SUCCEEDED"),
                        observation("vc-0", f"{minute}", "FAILED"),
                    ]
                    history.append(snapshot(minute, *jobs, names=(name, "vc-0")))
            except Exception as error:  # noqa: BLE001 # pragma: no cover # only where it fails
                failed.append(error)

        threads = [threading.Thread(target=append, args=(f"vc-{n}",)) for n in range(1, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        history = History(target, create=False)
        assert len(history.jobs()) == 3 * 5 + 5
        assert len(history.polls()) == 3 * 5 + 5
        assert not history.observations().duplicated(["appliance", "job_id"]).any()
        assert history.verify().empty


def test_many_names(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter by many names gives the same rows as a filter by few names."""
    history = History(target)
    history.append(FIRST)
    names = ["vc-1", "vc-2", "vc-none"]
    few = history.jobs(appliances=names)
    monkeypatch.setattr("backupkit.history.rows._READ_BY_ID_LIMIT", 1)
    assert_frame_equal(history.jobs(appliances=names), few)
    assert len(few) == 2


def test_as_of_and_since(target: str) -> None:
    """A query may have both a first and a last instant."""
    history = History(target)
    history.append(snapshot(1, observation("vc-1", "1", "SUCCEEDED")))
    history.append(snapshot(2, observation("vc-1", "2", "SUCCEEDED")))
    history.append(snapshot(3, observation("vc-1", "3", "SUCCEEDED")))
    assert history.jobs(at=at(2), since=at(2))["job_id"].to_list() == ["2"]
