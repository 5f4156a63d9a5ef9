"""A history that was changed by hand is told apart from a whole one, in both databases."""

# ruff: noqa: S608 # all statements are our own

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from backupkit.history import History
from backupkit.history.databases import open_database
from backupkit.history.ledger import ENTRY, KINDS, Digests, chunks, entry_digest, left_digest
from backupkit.history.retention import thin
from tests import raw
from tests.builders import MESSAGE, at, observation, snapshot
from tests.conftest import Place

HEADS = 3
"""The append whose head a report was made from."""


def collections() -> Iterator[Any]:
    """Return what five collections brought: jobs that run, end, contradict, and vanish."""
    gone = {"source": "list", "start_time": None, "messages": None}
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
    yield snapshot(
        4,
        observation("vc-1", "2", "SUCCEEDED", **(full | {"end_time": at(2)})),
        {"appliance": "vc-2", "job_id": "7", **gone},
    )
    yield snapshot(
        5, {"appliance": "vc-1", "job_id": "1", **gone}, observation("vc-2", "2", "FAILED")
    )


@dataclass
class Kept:
    """A history, all its rows, and the digest after each of its appends."""

    history: History
    rows: raw.Dump
    heads: list[str]

    def run(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Change it by hand."""
        return raw.run(self.history.uri, query, parameters)

    def found(self, head: str | None = None) -> str:
        """Verify it; return what differs, a line each."""
        problems = self.history.verify(head=head)
        return "\n".join(f"{what}: {problem}" for what, problem in problems.to_numpy().tolist())


@pytest.fixture(scope="module")
def whole(place: Place) -> Iterator[Kept]:
    """Keep five collections, once for all tests."""
    with place() as target:
        history = History(target)
        heads = []
        for one in collections():
            history.append(one)
            heads.append(history.head)
        yield Kept(history, raw.dump(target), heads)


@pytest.fixture
def kept(whole: Kept) -> Iterator[Kept]:
    """Return that history, and put it back as it was."""
    yield whole
    raw.restore(whole.history.uri, whole.rows)


COLUMNS = {
    "observations_apart": (
        "job observed_at state status progress start_time end_time messages type size location "
        "build source append_id"
    ),
    "polls": (
        "appliance_id polled_at ok error detail api version timezone details requests elapsed "
        "clock_skew jobs_listed jobs_changed append_id"
    ),
    "schedules": (
        "appliance_id schedule seen_at enabled hour minute days timezone max_count location parts "
        "append_id"
    ),
    "jobs": (
        "id appliance_id job_id state status progress start_time end_time messages type size "
        "location build source outcome first_seen_at last_seen_at vanished_at append_id"
    ),
    "appends": (
        "id run_id kind appended_at collector version earliest_at latest_at observations polls "
        "schedules observations_sha256 polls_sha256 schedules_sha256 left_sha256 previous digest "
        "removal_id observations_left polls_left schedules_left"
    ),
    "appliances": "id name polls polls_ok jobs jobs_listed oldest_start sized_jobs sized_bytes",
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
"""Which row is changed."""


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
    """One value is another."""

    def test_whole(self, whole: Kept) -> None:
        """As long as nothing was changed, nothing is found, at no head."""
        for head in (None, "", *whole.heads):
            assert whole.found(head) == ""

    def test_every_column(self, whole: Kept) -> None:
        """Every column has its case."""
        told = {"history": "schema_version identity created_at head thinned_to"}
        for table in raw.TABLES:
            columns = raw.columns_of(whole.history.uri, table)
            assert columns == (told.get(table) or COLUMNS[table]).split()

    @pytest.mark.parametrize(("table", "where"), [*FIRST_ROW.items(), ("jobs", "job_id = '3'")])
    def test_changed(self, kept: Kept, table: str, where: str) -> None:
        """Any column of a row, also of a job that was observed once."""
        missed = []
        columns = COLUMNS[table].split()
        if "3" in where:
            columns.remove("id")  # nothing refers to it
        for column in columns:
            [(value,)] = kept.run(f"SELECT {column} FROM {table} WHERE {where}")
            changed = other(value)
            if value is None and (column.endswith("_left")):
                changed = "0" * 64
            if column in {"id", "job", "append_id", "appliance_id"}:
                changed = 77  # nobody has it
            kept.run(f"UPDATE {table} SET {column} = ? WHERE {where}", changed)
            if not kept.found():
                missed.append(column)  # pragma: no cover # only where it fails
            raw.restore(kept.history.uri, kept.rows)
        assert missed == []
        assert kept.found() == ""

    def test_names_what_differs(self, kept: Kept) -> None:
        """What is found names the append, its time, and who appended."""
        kept.run("UPDATE observations_apart SET progress = 99 WHERE append_id = 2")
        lines = kept.found()
        assert "append 2 of 20" in lines
        assert "its observations were changed: there are 2, it added 2" in lines
        assert "job 1 of vc-2: does not agree with its observations" in lines

    @pytest.mark.parametrize("change", ["size = 1", "vanished_at = 7", "outcome = 1"])
    def test_bare_job(self, kept: Kept, change: str) -> None:
        """A job of which it is only known that it is gone is none."""
        kept.run(f"UPDATE jobs SET {change} WHERE first_seen_at IS NULL")
        assert "job 7 of vc-2: does not agree with its observations" in kept.found()


class TestRow:
    """A row is missing, or one too many."""

    @pytest.mark.parametrize(
        "table", ["observations_apart", "polls", "schedules", "jobs", "appends", "appliances"]
    )
    def test_removed(self, kept: Kept, table: str) -> None:
        """One row is removed."""
        kept.run(f"DELETE FROM {table} WHERE {FIRST_ROW[table]}")
        assert kept.found() != ""

    @pytest.mark.parametrize("table", ["texts", "messages"])
    def test_text_removed(self, kept: Kept, table: str) -> None:
        """A text that is needed is removed."""
        kept.run(f"DELETE FROM {table} WHERE {FIRST_ROW[table]}")
        assert kept.found() != ""

    def test_bare_job_removed(self, kept: Kept) -> None:
        """Also of one of which it is only known that it is gone."""
        kept.run("DELETE FROM jobs WHERE first_seen_at IS NULL")
        assert kept.found() != ""

    def test_bare_job_added(self, kept: Kept) -> None:
        """A job without any observation."""
        kept.run("INSERT INTO jobs (id, appliance_id, job_id) VALUES (77, 1, '77')")
        assert "job 77 of vc-1" in kept.found()

    def test_added(self, kept: Kept) -> None:
        """A poll that never was, beside those of an append."""
        kept.run("INSERT INTO polls (appliance_id, polled_at, ok, append_id) VALUES (1, 7, 1, 2)")
        assert "its polls were changed: there are 3, it added 2" in kept.found()

    def test_added_beside_the_ledger(self, kept: Kept) -> None:
        """Rows of an append that is not in the ledger."""
        kept.run("INSERT INTO polls (appliance_id, polled_at, ok, append_id) VALUES (1, 7, 1, 9)")
        assert "append 9: is missing in the ledger, but has rows" in kept.found()


def without_newest(kept: Kept) -> None:
    """Remove the newest append, all its rows, and what follows from them: as if it never was."""
    fresh = History(kept.history.uri, create=False)
    [(newest,)] = kept.run("SELECT MAX(id) FROM appends")
    for table in ("observations_apart", "polls", "schedules"):
        kept.run(f"DELETE FROM {table} WHERE append_id = ?", newest)
    kept.run("UPDATE jobs SET append_id = NULL WHERE append_id = ?", newest)
    kept.run("DELETE FROM appends WHERE id = ?", newest)
    assert "one was removed" in kept.found()
    kept.run("UPDATE history SET head = ?", kept.heads[-2])
    # the jobs as they were: made by an honest history of the appends before
    assert fresh.verify()["what"].str.startswith(("job", "appliance")).all()


def digests_now(kept: Kept, number: int) -> list[str]:
    """Compute the digests of what is there of an append."""
    digests = Digests()
    with open_database(kept.history.uri, create=False).read() as reader:
        for chunk in chunks(reader):
            digests.add(reader, chunk)
    return [digests.digest(number, kind) for kind in KINDS]


class TestLedger:
    """The ledger itself is edited."""

    def test_newest_removed(self, kept: Kept) -> None:
        """An entry is removed from the end, its rows stay."""
        kept.run("DELETE FROM appends WHERE id = 5")
        kept.run("UPDATE history SET head = ?", kept.heads[-2])
        assert "append 5: is missing in the ledger, but has rows" in kept.found()

    def test_newest_removed_with_rows(self, kept: Kept) -> None:
        """With its rows the jobs tell."""
        without_newest(kept)
        assert "job 2 of vc-2: does not agree with its observations" in kept.found()

    def test_newest_removed_without_a_trace(self, kept: Kept, place: Place) -> None:
        """Once the jobs are put back, too, only who knows the head finds out."""
        with place() as target:
            honest = History(target)
            for one in [*collections()][:-1]:
                honest.append(one)
            rows = raw.dump(target)
        rows["appends"] = [row for row in kept.rows["appends"] if row[0] < 5]
        rows["history"] = [
            tuple(kept.heads[-2] if cell == kept.heads[-1] else cell for cell in row)
            for row in kept.rows["history"]
        ]
        raw.restore(kept.history.uri, rows)
        assert kept.found() == ""
        assert kept.found(kept.heads[-2]) == ""
        assert kept.found(kept.heads[-1]) == (
            f"head {kept.heads[-1]}: is not in the ledger: this history does not contain that past"
        )

    def rewritten(self, kept: Kept, number: int, **changes: object) -> None:
        """Change an entry, and compute the chain anew from there on."""
        names = [*ENTRY, "digest"]
        rows = kept.run(f"SELECT {', '.join(names)} FROM appends ORDER BY id")
        before = ""
        for row in rows:
            entry = dict(zip(names, row, strict=True))
            if entry["id"] == number:
                entry |= changes
            entry["previous"] = before
            before = entry_digest(entry)
            marks = ", ".join(f"{name} = ?" for name in ENTRY)
            values = [entry[name] for name in ENTRY]
            kept.run(
                f"UPDATE appends SET {marks}, digest = ? WHERE id = ?", *values, before, entry["id"]
            )
        kept.run("UPDATE history SET head = ?", before)

    def test_rewritten(self, kept: Kept) -> None:
        """Whoever edits an entry, and computes the whole chain anew, is betrayed by the head."""
        self.rewritten(kept, 2, collector="nobody@nowhere")
        assert kept.found() == ""
        assert "does not contain that past" in kept.found(kept.heads[HEADS])
        assert kept.found(kept.heads[0]) == ""  # that came before

    def test_row_and_chain_rewritten(self, kept: Kept) -> None:
        """So is whoever changes a row, and all that covers it."""
        kept.run("UPDATE polls SET requests = 5 WHERE append_id = 2")
        problem = kept.found()
        assert "append 2" in problem
        self.rewritten(kept, 2, polls_sha256=digests_now(kept, 2)[KINDS.index("polls")])
        assert kept.found() == ""
        for head in kept.heads[1:]:
            assert "does not contain that past" in kept.found(head)

    def test_entry_alone(self, kept: Kept) -> None:
        """An entry with its own digest made anew breaks the chain."""
        names = ", ".join(ENTRY)
        [row] = kept.run(f"SELECT {names} FROM appends WHERE id = 2")
        entry = dict(zip(ENTRY, row, strict=True)) | {"version": "0"}
        kept.run("UPDATE appends SET version = '0', digest = ? WHERE id = 2", entry_digest(entry))
        assert "append 3" in kept.found()
        assert "does not follow the entry before it" in kept.found()

    def test_removal_made_up(self, kept: Kept) -> None:
        """A changed row cannot be excused by a removal that was never recorded."""
        kept.run("UPDATE polls SET requests = 5 WHERE append_id = 2")
        left = digests_now(kept, 2)
        marks = ", ".join(f"{kind}_left = ?" for kind in KINDS)
        kept.run(f"UPDATE appends SET {marks} WHERE id = 2", *left)
        assert "has removed rows, but no entry of their removal" in kept.found()
        assert kept.found(kept.heads[-1]) != ""
        for number in (1, 3, 99):
            kept.run("UPDATE appends SET removal_id = ? WHERE id = 2", number)
            assert "the rows that it left of earlier appends were changed" in kept.found()
        # nor with a digest that fits, if the entry was not made with it
        kept.run("UPDATE appends SET left_sha256 = ? WHERE id = 3", left_digest([[2, *left]]))
        kept.run("UPDATE appends SET removal_id = 3 WHERE id = 2")
        assert "append 3" in kept.found()


class TestRemoved:
    """What is removed on purpose leaves a history whole, and is told to who knows the head."""

    def test_append(self, kept: Kept) -> None:
        """What is appended later changes nothing of the past."""
        kept.history.append(snapshot(9, observation("vc-1", "3", "SUCCEEDED", end_time=at(8))))
        for head in (None, "", *kept.heads, kept.history.head):
            assert kept.found(head) == ""

    def test_prune(self, kept: Kept) -> None:
        """Of pruned appends it is told what was removed later, and by what."""
        kept.history.prune(at(3))
        assert kept.found() == ""
        assert kept.found(kept.history.head) == ""
        lines = kept.found(kept.heads[0]).splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("append 1 of 20")
        assert "observations, polls, schedules were removed later, by prune 6 of 20" in lines[
            0
        ] or ("observations, polls were removed later, by prune 6 of 20" in lines[0])
        assert len(kept.found(kept.heads[-1]).splitlines()) == 2

    def test_forget(self, kept: Kept) -> None:
        """So with a forgotten appliance, whose name is not told."""
        kept.history.forget("vc-2")
        assert kept.found() == ""
        assert kept.found(kept.history.head) == ""
        told = kept.found(kept.heads[-1])
        assert len(told.splitlines()) == 5
        assert "were removed later, by forget 6 of 20" in told
        assert "vc-2" not in told

    def test_one_after_the_other(self, kept: Kept) -> None:
        """Removals may follow each other, and appends them."""
        history = kept.history
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
            assert kept.found() == ""
            assert kept.found(history.head) == ""

    def test_changed_afterwards(self, kept: Kept) -> None:
        """What a removal left is covered as well."""
        kept.history.prune(at(2))
        rows = raw.dump(kept.history.uri)
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
            kept.run(change)
            assert kept.found() != "", change
            raw.restore(kept.history.uri, rows)
        assert kept.found() == ""

    def test_thin(self, kept: Kept) -> None:
        """Polls that are thinned out are needed by nobody: the past counts as contained."""
        database = open_database(kept.history.uri, create=False)
        now = int((at(0) + timedelta(days=400)).timestamp() * 1_000_000)
        newer = snapshot(60 * 24 * 399)
        hourly = [snapshot(60 * (24 * 399 + hour)).polls for hour in range(21)]
        newer.polls = pd.concat(hourly, ignore_index=True)
        kept.history.append(newer)
        day = 86_400_000_000
        assert database.write(lambda connection: thin(connection, now, 90 * day)) == 2 * 3
        for head in (None, *kept.heads, kept.history.head):
            assert kept.found(head) == ""
        kept.run("UPDATE appliances SET polls = polls - 1, polls_ok = polls_ok - 1 WHERE id = 1")
        assert kept.found() == ""  # of whom polls were thinned out is not recorded
        kept.run("UPDATE appliances SET polls = polls + 9 WHERE id = 1")
        assert "its counts do not agree with its polls" in kept.found()


def test_unreadable(kept: Kept) -> None:
    """A history without a table is told, not raised."""
    with contextlib.ExitStack() as stack:
        raw.run(kept.history.uri, "ALTER TABLE polls RENAME TO lost")
        stack.callback(raw.run, kept.history.uri, "ALTER TABLE lost RENAME TO polls")
        found = kept.history.verify()
    assert found["what"].to_list()[-1] == "the database"
    assert isinstance(found, pd.DataFrame)


def test_many_jobs_differ(target: str) -> None:
    """Twenty are named, the others counted."""
    history = History(target)
    history.append(
        snapshot(1, *(observation("vc-1", str(number), "FAILED") for number in range(25)))
    )
    raw.run(target, "UPDATE jobs SET outcome = 1")
    problems = history.verify()
    assert problems["what"].str.startswith("job ").sum() == 20
    assert "5 more do not agree with their observations" in problems["problem"].to_list()
