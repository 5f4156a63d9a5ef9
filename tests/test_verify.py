"""Verification finds every change that was made by hand, in both databases."""

# ruff: noqa: S608 # all statements are our own

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from backupkit.history import History
from backupkit.history.chunks import add_digests, read_chunks
from backupkit.history.databases import open_database
from backupkit.history.ledger import (
    ENTRY_FIELDS,
    KINDS,
    Digests,
    compute_entry_digest,
    compute_left_digest,
)
from backupkit.history.thinning import thin_polls
from tests import raw
from tests.builders import MESSAGE, at, observation, snapshot, vanished_job
from tests.conftest import Place

HEADS = 3
"""The append whose head a report was made from."""


def collections() -> Iterator[Any]:
    """Yield five snapshots: jobs that run, end, contradict each other, and vanish."""
    full = {
        "progress": 50,
        "end_time": at(1),
        "messages": [MESSAGE],
        "type": "SCHEDULED",
        "size": 7,
        "location": "nfs://h/x",
        "build": "1",
        "source": "details",
    }
    yield snapshot(
        1, observation("vc-1", "1", "FAILED", **full), observation("vc-2", "1", "INPROGRESS")
    )
    yield snapshot(
        2,
        observation("vc-1", "2", "SUCCEEDED", **full),
        observation("vc-2", "1", "SUCCEEDED", size=9),
    )
    yield snapshot(3, observation("vc-1", "3", "SUCCEEDED", **full), hour=4)
    ended = full | {"end_time": at(2)}
    yield snapshot(4, observation("vc-1", "2", "SUCCEEDED", **ended), vanished_job("vc-2", "7"))
    yield snapshot(5, vanished_job("vc-1", "1"), observation("vc-2", "2", "FAILED"))


@dataclass
class Stored:
    """A history, all its rows, and the digest after each of its appends."""

    history: History
    rows: raw.Dump
    heads: list[str]

    def run(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement past all checks."""
        return raw.run(self.history.uri, query, parameters)

    def problems(self, head: str | None = None) -> str:
        """Verify the history; return a line for each problem."""
        problems = self.history.verify(head=head)
        return "\n".join(f"{what}: {problem}" for what, problem in problems.to_numpy().tolist())


@pytest.fixture(scope="module")
def unchanged(place: Place) -> Iterator[Stored]:
    """Return a history of five collections, for tests that only read."""
    with place() as target:
        history = History(target)
        heads = []
        for one in collections():
            history.append(one)
            heads.append(history.head)
        yield Stored(history, raw.dump(target), heads)


@pytest.fixture
def stored(unchanged: Stored) -> Iterator[Stored]:
    """Return that history, and restore its rows afterwards."""
    yield unchanged
    raw.restore(unchanged.history.uri, unchanged.rows)


COLUMNS = {
    "observations_apart": (
        "job observed_at state status progress start_time end_time messages type size location "
        "build source read_error append_id"
    ),
    "polls": (
        "appliance_id polled_at ok error detail error_type error_messages error_data api version "
        "timezone details requests elapsed clock_skew jobs_listed jobs_changed jobs_unread "
        "schedules_read schedules_error append_id"
    ),
    "schedules": (
        "appliance_id schedule seen_at enabled hour minute days timezone max_count location parts "
        "removed read_error append_id"
    ),
    "jobs": (
        "id appliance_id job_id state status progress start_time end_time messages type size "
        "location build source read_error outcome first_seen_at last_seen_at vanished_at append_id"
    ),
    "appends": (
        "id run_id kind appended_at collector version earliest_at latest_at observations polls "
        "schedules observations_sha256 polls_sha256 schedules_sha256 left_sha256 previous digest "
        "removal_id observations_left polls_left schedules_left"
    ),
    "appliances": "id name polls jobs polls_ok oldest_start jobs_listed list_digest sized_jobs "
    "sized_bytes",
    "texts": "id sha256 text",
    "messages": "id sha256 text",
    "history": "head",
}
FIRST_ROW = {
    "observations_apart": "append_id = 4 AND size IS NOT NULL",
    "polls": "polled_at = (SELECT MIN(polled_at) FROM polls) AND appliance_id = 1",
    "schedules": "seen_at = (SELECT MAX(seen_at) FROM schedules) AND appliance_id = 1",
    "jobs": "job_id = '2' AND appliance_id = 1",
    "appends": "id = 2",
    "appliances": "id = 1",
    "texts": "id = (SELECT MAX(status) FROM jobs WHERE job_id = '3')",
    "messages": "id = (SELECT MAX(messages) FROM jobs WHERE job_id = '3')",
    "history": "1 = 1",
}
"""The row of each table that a test changes."""


def other(value: object) -> object:
    """Return another value for a cell."""
    if value is None:
        return 1
    if isinstance(value, (bytes, memoryview)):
        return bytes(value)[::-1]
    if isinstance(value, str):
        return value[::-1] if value[::-1] != value else f"{value}x"
    return value + 1  # type: ignore[operator] # int or float


class TestValue:
    """Changed values."""

    def test_unchanged(self, unchanged: Stored) -> None:
        """An unchanged history has no problem, with any of its heads."""
        for head in (None, "", *unchanged.heads):
            assert unchanged.problems(head) == ""

    def test_every_column(self, unchanged: Stored) -> None:
        """The table of columns is complete."""
        history = "schema_version identity created_at head thinned_to"
        for table in raw.TABLES:
            columns = raw.columns_of(unchanged.history.uri, table)
            expected = history if table == "history" else COLUMNS[table]
            assert sorted(columns) == sorted(expected.split())

    @pytest.mark.parametrize(("table", "where"), [*FIRST_ROW.items(), ("jobs", "job_id = '3'")])
    def test_changed(self, stored: Stored, table: str, where: str) -> None:
        """A change of any column is found."""
        missed = []
        columns = COLUMNS[table].split()
        if "3" in where:
            columns.remove("id")  # nothing refers to it
        for column in columns:
            [(value,)] = stored.run(f"SELECT {column} FROM {table} WHERE {where}")
            changed = other(value)
            if value is None and (column.endswith(("_left", "_digest"))):
                changed = "0" * 64
            if column in {"id", "job", "append_id", "appliance_id"}:
                changed = 77  # no row has it
            stored.run(f"UPDATE {table} SET {column} = ? WHERE {where}", changed)
            if not stored.problems():
                missed.append(column)  # pragma: no cover # only where it fails
            raw.restore(stored.history.uri, stored.rows)
        assert missed == []
        assert stored.problems() == ""

    def test_names_append(self, stored: Stored) -> None:
        """A problem names the append, its time and its collector."""
        stored.run("UPDATE observations_apart SET progress = 99 WHERE append_id = 2")
        lines = stored.problems()
        assert "append 2 of 20" in lines
        assert "its observations were changed: there are 2, it added 2" in lines
        assert "job 1 of vc-2: does not agree with its observations" in lines

    @pytest.mark.parametrize("change", ["size = 1", "vanished_at = 7", "outcome = 1"])
    def test_bare_job(self, stored: Stored, change: str) -> None:
        """A change of a job that is only known to have vanished is found."""
        stored.run(f"UPDATE jobs SET {change} WHERE first_seen_at IS NULL")
        assert "job 7 of vc-2: does not agree with its observations" in stored.problems()


class TestRow:
    """Missing and additional rows."""

    @pytest.mark.parametrize("table", [name for name in FIRST_ROW if name != "history"])
    def test_removed(self, stored: Stored, table: str) -> None:
        """A removed row is found."""
        stored.run(f"DELETE FROM {table} WHERE {FIRST_ROW[table]}")
        assert stored.problems() != ""

    def test_vanished_job_removed(self, stored: Stored) -> None:
        """The removal of a job that is only known to have vanished is found."""
        stored.run("DELETE FROM jobs WHERE first_seen_at IS NULL")
        assert stored.problems() != ""

    def test_unobserved_job_added(self, stored: Stored) -> None:
        """A job without an observation is found."""
        stored.run("INSERT INTO jobs (id, appliance_id, job_id) VALUES (77, 1, '77')")
        assert "job 77 of vc-1" in stored.problems()

    def test_added(self, stored: Stored) -> None:
        """An additional poll of a known append is found."""
        stored.run("INSERT INTO polls (appliance_id, polled_at, ok, append_id) VALUES (1, 7, 1, 2)")
        assert "its polls were changed: there are 3, it added 2" in stored.problems()

    def test_added_beside_the_ledger(self, stored: Stored) -> None:
        """Rows of an append that the ledger lacks are found."""
        stored.run("INSERT INTO polls (appliance_id, polled_at, ok, append_id) VALUES (1, 7, 1, 9)")
        assert "append 9: is missing in the ledger, but has rows" in stored.problems()


def without_newest(stored: Stored) -> None:
    """Remove the newest append, its rows, and its effect on the ledger."""
    fresh = History(stored.history.uri, create=False)
    [(newest,)] = stored.run("SELECT MAX(id) FROM appends")
    for table in ("observations_apart", "polls", "schedules"):
        stored.run(f"DELETE FROM {table} WHERE append_id = ?", newest)
    stored.run("UPDATE jobs SET append_id = NULL WHERE append_id = ?", newest)
    stored.run("DELETE FROM appends WHERE id = ?", newest)
    assert "one was removed" in stored.problems()
    stored.run("UPDATE history SET head = ?", stored.heads[-2])
    # jobs and appliances still show it
    assert fresh.verify()["what"].str.startswith(("job", "appliance")).all()


def digests_now(stored: Stored, number: int) -> list[str]:
    """Return the digests of an append's present rows."""
    digests = Digests()
    with open_database(stored.history.uri, create=False).read() as reader:
        for chunk in read_chunks(reader):
            add_digests(digests, reader, chunk)
    return [digests.digest(number, kind) for kind in KINDS]


class TestLedger:
    """Changes of the ledger."""

    def test_newest_removed(self, stored: Stored) -> None:
        """Removal of the newest entry is found if its rows stay."""
        stored.run("DELETE FROM appends WHERE id = 5")
        stored.run("UPDATE history SET head = ?", stored.heads[-2])
        assert "append 5: is missing in the ledger, but has rows" in stored.problems()

    def test_newest_removed_with_rows(self, stored: Stored) -> None:
        """Removal of the newest entry with its rows is found by the jobs."""
        without_newest(stored)
        assert "job 2 of vc-2: does not agree with its observations" in stored.problems()

    def test_newest_removed_completely(self, stored: Stored, place: Place) -> None:
        """Removal of the newest entry, its rows and its jobs is found only with the head."""
        with place() as target:
            honest = History(target)
            for one in [*collections()][:-1]:
                honest.append(one)
            rows = raw.dump(target)
        rows["appends"] = [row for row in stored.rows["appends"] if row[0] < 5]
        rows["history"] = [
            tuple(stored.heads[-2] if cell == stored.heads[-1] else cell for cell in row)
            for row in stored.rows["history"]
        ]
        raw.restore(stored.history.uri, rows)
        assert stored.problems() == ""
        assert stored.problems(stored.heads[-2]) == ""
        assert stored.problems(stored.heads[-1]) == (
            f"head {stored.heads[-1]}: is not in the ledger: "
            "this history does not contain that past"
        )

    def rewritten(self, stored: Stored, number: int, **changes: object) -> None:
        """Change an entry, and compute the chain again from there on."""
        names = [*ENTRY_FIELDS, "digest"]
        rows = stored.run(f"SELECT {', '.join(names)} FROM appends ORDER BY id")
        before = ""
        for row in rows:
            entry = dict(zip(names, row, strict=True))
            if entry["id"] == number:
                entry |= changes
            entry["previous"] = before
            before = compute_entry_digest(entry)
            marks = ", ".join(f"{name} = ?" for name in ENTRY_FIELDS)
            values = [entry[name] for name in ENTRY_FIELDS]
            stored.run(
                f"UPDATE appends SET {marks}, digest = ? WHERE id = ?", *values, before, entry["id"]
            )
        stored.run("UPDATE history SET head = ?", before)

    def test_rewritten(self, stored: Stored) -> None:
        """A changed entry with a recomputed chain is found with the head."""
        self.rewritten(stored, 2, collector="nobody@nowhere")
        assert stored.problems() == ""
        assert "does not contain that past" in stored.problems(stored.heads[HEADS])
        assert stored.problems(stored.heads[0]) == ""  # that came before

    def test_row_and_chain_rewritten(self, stored: Stored) -> None:
        """A changed row with recomputed digests is found with the head."""
        stored.run("UPDATE polls SET requests = 5 WHERE append_id = 2")
        problem = stored.problems()
        assert "append 2" in problem
        self.rewritten(stored, 2, polls_sha256=digests_now(stored, 2)[KINDS.index("polls")])
        assert stored.problems() == ""
        for head in stored.heads[1:]:
            assert "does not contain that past" in stored.problems(head)

    def test_entry_alone(self, stored: Stored) -> None:
        """A changed entry with its own recomputed digest breaks the chain."""
        names = ", ".join(ENTRY_FIELDS)
        [row] = stored.run(f"SELECT {names} FROM appends WHERE id = 2")
        entry = dict(zip(ENTRY_FIELDS, row, strict=True)) | {"version": "0"}
        stored.run(
            "UPDATE appends SET version = '0', digest = ? WHERE id = 2", compute_entry_digest(entry)
        )
        assert "append 3" in stored.problems()
        assert "does not follow the entry before it" in stored.problems()

    def test_removal_made_up(self, stored: Stored) -> None:
        """A removal that was never recorded does not explain a changed row."""
        stored.run("UPDATE polls SET requests = 5 WHERE append_id = 2")
        left = digests_now(stored, 2)
        marks = ", ".join(f"{kind}_left = ?" for kind in KINDS)
        stored.run(f"UPDATE appends SET {marks} WHERE id = 2", *left)
        assert "has removed rows, but no entry of their removal" in stored.problems()
        assert stored.problems(stored.heads[-1]) != ""
        for number in (1, 3, 99):
            stored.run("UPDATE appends SET removal_id = ? WHERE id = 2", number)
            assert "the rows that it left of earlier appends were changed" in stored.problems()
        # a fitting digest does not help if the entry was not made with it
        stored.run(
            "UPDATE appends SET left_sha256 = ? WHERE id = 3", compute_left_digest([[2, *left]])
        )
        stored.run("UPDATE appends SET removal_id = 3 WHERE id = 2")
        assert "append 3" in stored.problems()


class TestRemoved:
    """Recorded removals."""

    def test_append(self, stored: Stored) -> None:
        """A later append changes no earlier head."""
        stored.history.append(snapshot(9, observation("vc-1", "3", "SUCCEEDED", end_time=at(8))))
        for head in (None, "", *stored.heads, stored.history.head):
            assert stored.problems(head) == ""

    def test_prune(self, stored: Stored) -> None:
        """Verification with an earlier head names the removed kinds of rows and the removal."""
        stored.history.prune(at(3))
        assert stored.problems() == ""
        assert stored.problems(stored.history.head) == ""
        lines = stored.problems(stored.heads[0]).splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("append 1 of 20")
        assert "observations, polls, schedules were removed later, by prune 6 of 20" in lines[
            0
        ] or ("observations, polls were removed later, by prune 6 of 20" in lines[0])
        assert len(stored.problems(stored.heads[-1]).splitlines()) == 2

    def test_forget(self, stored: Stored) -> None:
        """Verification with an earlier head does not name a forgotten appliance."""
        stored.history.forget("vc-2")
        assert stored.problems() == ""
        assert stored.problems(stored.history.head) == ""
        problems = stored.problems(stored.heads[-1])
        assert len(problems.splitlines()) == 5
        assert "were removed later, by forget 6 of 20" in problems
        assert "vc-2" not in problems

    def test_sequence(self, stored: Stored) -> None:
        """Removals and appends may follow each other in any order."""
        history = stored.history
        steps: list[Callable[[], object]] = [
            lambda: history.prune(at(2)),
            lambda: history.append(
                snapshot(8, observation("vc-3", "1", "FAILED"), names=("vc-3",))
            ),
            lambda: history.forget("vc-1"),
            lambda: history.prune(at(4)),
            lambda: history.append(snapshot(9, observation("vc-1", "9", "FAILED"))),
            lambda: history.forget("vc-3"),
            lambda: history.prune(at(99)),
        ]
        for step in steps:
            step()
            assert stored.problems() == ""
            assert stored.problems(history.head) == ""

    def test_changed_afterwards(self, stored: Stored) -> None:
        """Changes of what a removal left are found."""
        stored.history.prune(at(2))
        rows = raw.dump(stored.history.uri)
        for change in (
            "UPDATE polls SET requests = 5 WHERE append_id = 3",
            "DELETE FROM polls WHERE append_id = 2",
            "UPDATE appends SET polls_left = schedules_left WHERE id = 1",
            "UPDATE appends SET removal_id = NULL WHERE id = 1",
            "UPDATE appends SET polls_left = NULL WHERE id = 1",
            "UPDATE appends SET polls = 0 WHERE kind = 'prune'",
            "UPDATE appends SET left_sha256 = '' WHERE kind = 'prune'",
            "DELETE FROM appends WHERE kind = 'prune'",
        ):
            stored.run(change)
            assert stored.problems() != "", change
            raw.restore(stored.history.uri, rows)
        assert stored.problems() == ""

    def test_thin(self, stored: Stored) -> None:
        """A history still contains its past after thinning."""
        database = open_database(stored.history.uri, create=False)
        now = int((at(0) + timedelta(days=400)).timestamp() * 1_000_000)
        newer = snapshot(60 * 24 * 399)
        hourly = [snapshot(60 * (24 * 399 + hour)).polls for hour in range(21)]
        newer.polls = pd.concat(hourly, ignore_index=True)
        stored.history.append(newer)
        day = 86_400_000_000
        assert database.write(lambda connection: thin_polls(connection, now, 90 * day)) == 2 * 3
        for head in (None, *stored.heads, stored.history.head):
            assert stored.problems(head) == ""
        stored.run("UPDATE appliances SET polls = polls - 1, polls_ok = polls_ok - 1 WHERE id = 1")
        assert stored.problems() == ""  # the ledger does not say whose polls were removed
        stored.run("UPDATE appliances SET polls = polls + 9 WHERE id = 1")
        assert "its counts do not agree with its polls" in stored.problems()


def test_unreadable(stored: Stored) -> None:
    """A missing table is a problem, not an error."""
    with contextlib.ExitStack() as stack:
        raw.run(stored.history.uri, "ALTER TABLE polls RENAME TO lost")
        stack.callback(raw.run, stored.history.uri, "ALTER TABLE lost RENAME TO polls")
        problems = stored.history.verify()
    assert problems["what"].to_list()[-1] == "the database"
    assert isinstance(problems, pd.DataFrame)


def test_many_jobs_differ(target: str) -> None:
    """Twenty jobs are named, the others are counted."""
    history = History(target)
    history.append(
        snapshot(1, *(observation("vc-1", str(number), "FAILED") for number in range(25)))
    )
    raw.run(target, "UPDATE jobs SET outcome = 1")
    problems = history.verify()
    assert problems["what"].str.startswith("job ").sum() == 20
    assert "5 more do not agree with their observations" in problems["problem"].to_list()
