"""Integrity check of a history: recompute all digests and jobs and compare."""

from collections.abc import Iterator
from typing import Any, Final

import pandas as pd

from backupkit.errors import HistoryError
from backupkit.history.chunks import Chunk, add_digests, read_chunks
from backupkit.history.databases import Database, Reader, hash_text
from backupkit.history.ledger import (
    ENTRY_FIELDS,
    KINDS,
    Digests,
    compute_entry_digest,
    compute_left_digest,
)
from backupkit.history.notes import find_note_problem
from backupkit.history.rows import read_stored_columns, to_frame, to_stored_columns
from backupkit.history.schema import COLUMNS, LIST_READ
from backupkit.history.stored import to_microseconds
from backupkit.tables import JOBS, OBSERVATIONS, TERMINAL, jobs_from
from backupkit.tables.constants import EARLIEST_TIME, LARGEST_SUM
from backupkit.tables.job_ids import digest_job_list

__all__ = ["find_problems"]

_MAX_SHOWN: Final = 20
_TEXT_COLUMNS: Final = {
    "run_id",
    "kind",
    "collector",
    "version",
    "left_sha256",
    "previous",
    "digest",
    *(f"{kind}_sha256" for kind in KINDS),
    *(f"{kind}_left" for kind in KINDS),
}
_Problem = tuple[str, str]


def find_problems(database: Database, head: str | None = None) -> pd.DataFrame:
    """Return the differences from what was appended; see `backupkit.History.verify`."""
    found: list[_Problem] = [("the database", text) for text in database.check()]
    try:
        if not found:  # a damaged file cannot be read any further
            with database.read() as reader:
                found += _find_all_problems(reader, head)
    except HistoryError as error:
        found.append(("the database", str(error)))
    return pd.DataFrame(found, columns=["what", "problem"], dtype="str")


def _find_all_problems(reader: Reader, head: str | None) -> Iterator[_Problem]:
    entries = _read_entries(reader)
    [(newest,)] = reader.rows("SELECT head FROM history", {"head": "text"})
    yield from _check_chain(entries, newest)
    yield from _check_removals(entries)
    yield from _check_texts(reader)  # before other rows are decoded by them
    digests = Digests()
    for chunk in read_chunks(reader):
        add_digests(digests, reader, chunk)
        yield from _check_jobs(reader, chunk)
    yield from _check_appended_rows(entries, digests)
    yield from _check_poll_counts(reader, entries)
    if problem := find_note_problem(reader):
        yield "the notes", problem
    if head is not None:
        yield from _check_contains_head(entries, head)


def _read_entries(reader: Reader) -> list[dict[str, Any]]:
    names = [*ENTRY_FIELDS, "digest", "removal_id", *(f"{kind}_left" for kind in KINDS)]
    types = {name: "text" if name in _TEXT_COLUMNS else "integer" for name in names}
    query = f"SELECT {', '.join(names)} FROM appends"
    rows = [dict(zip(names, row, strict=True)) for row in reader.rows(query, types)]
    return sorted(rows, key=lambda entry: int(entry["id"]))


def _describe_entry(entry: dict[str, Any]) -> str:
    when = pd.Timestamp(entry["appended_at"], unit="us", tz="UTC")
    return f"{entry['kind']} {entry['id']} of {when:%Y-%m-%d %H:%M:%S} UTC by {entry['collector']}"


def _check_chain(entries: list[dict[str, Any]], newest: str) -> Iterator[_Problem]:
    """Check that each entry covers the one before, from the first to the head."""
    before, number = "", 0
    for entry in entries:
        if entry["previous"] != before or entry["id"] != number + 1:
            yield (
                _describe_entry(entry),
                "does not follow the entry before it: one was removed or changed",
            )
        if compute_entry_digest(entry) != entry["digest"]:
            yield _describe_entry(entry), "its entry in the ledger was changed"
        before, number = entry["digest"], entry["id"]
    if before != newest:
        yield "the ledger", f"its newest entry is not the head {newest[:16]}: one was removed"


def _check_removals(entries: list[dict[str, Any]]) -> Iterator[_Problem]:
    """Check the remaining rows of appends against the digest in the removal's entry."""
    by_id = {entry["id"]: entry for entry in entries}
    groups: dict[int, list[list[Any]]] = {}
    for entry in entries:
        if entry["removal_id"] is not None:
            left = [entry[f"{kind}_left"] for kind in KINDS]
            groups.setdefault(entry["removal_id"], []).append([entry["id"], *left])
        elif any(entry[f"{kind}_left"] is not None for kind in KINDS):
            yield _describe_entry(entry), "has removed rows, but no entry of their removal"
    for number, left in groups.items():
        removal = by_id.get(number)
        if removal is None or compute_left_digest(left) != removal["left_sha256"]:
            what = "the ledger" if removal is None else _describe_entry(removal)
            yield what, "the rows that it left of earlier appends were changed"


def _check_appended_rows(entries: list[dict[str, Any]], digests: Digests) -> Iterator[_Problem]:
    """Check the rows of each append."""
    known = set()
    for entry in entries:
        if entry["kind"] not in {"append", "import"}:
            continue
        known.add(entry["id"])
        for kind in KINDS:
            left, count = entry[f"{kind}_left"], digests.counts.get((entry["id"], kind), 0)
            wanted = entry[f"{kind}_sha256"] if left is None else left
            if digests.digest(entry["id"], kind) != wanted:
                wanted_count = f"{entry[kind]:,}" if left is None else "fewer"
                yield (
                    _describe_entry(entry),
                    f"its {kind} were changed: there are {count:,}, it added {wanted_count}",
                )
    orphans = sorted({number for number, _ in digests.counts if number not in known})
    for number in orphans[:_MAX_SHOWN]:
        yield f"append {number}", "is missing in the ledger, but has rows"


def _check_jobs(reader: Reader, chunk: Chunk) -> Iterator[_Problem]:
    """Check that jobs and the totals of appliances agree with the observations."""
    jobs = jobs_from(to_frame(reader, OBSERVATIONS, chunk.rows["observations"]))
    columns = COLUMNS["jobs"]
    names = [column.name for column in columns]
    appliance, job = names.index("appliance"), names.index("job_id")
    stored, computed = (
        {(row[appliance], row[job]): row for row in zip(*values, strict=True)}
        for values in (
            read_stored_columns(reader, columns, chunk.jobs),
            to_stored_columns(JOBS, columns, jobs),
        )
    )
    wrong = sorted(
        key for key in stored.keys() | computed.keys() if stored.get(key) != computed.get(key)
    )
    for name, job_id in wrong[:_MAX_SHOWN]:
        yield f"job {job_id} of {name}", "does not agree with its observations"
    if len(wrong) > _MAX_SHOWN:
        yield "the jobs", f"{len(wrong) - _MAX_SHOWN:,} more do not agree with their observations"
    yield from _check_totals(reader, chunk, jobs)


def _check_totals(reader: Reader, chunk: Chunk, jobs: pd.DataFrame) -> Iterator[_Problem]:
    numbers = ("jobs", "jobs_listed", "sized_jobs", "sized_bytes", "oldest_start")
    types = {"name": "text", "list_digest": "text", **dict.fromkeys(numbers, "integer")}
    stored = reader.rows(f"SELECT name, list_digest, {', '.join(numbers)} FROM appliances", types)
    sums = _sum_jobs(jobs)
    list_digests = _digest_job_lists(jobs)
    for name, list_digest, *values in stored:
        if name not in chunk.names:
            continue
        if list_digest not in {None, list_digests.get(name, digest_job_list([]))}:
            yield f"appliance {name}", "the digest of its job list does not agree with its jobs"
        computed: list[int | None] = [0, 0, 0, 0, None]
        if name in sums.index:
            row = sums.loc[name]
            start = row["oldest_start"]
            computed = [None if pd.isna(row[one]) else int(row[one]) for one in numbers[:-1]]
            computed.append(None if pd.isna(start) else to_microseconds(start))
        if values != computed:
            yield f"appliance {name}", "its totals do not agree with its jobs"


def _digest_job_lists(jobs: pd.DataFrame) -> dict[str, str | None]:
    """Return the digest of the job list of each appliance; None if a job has not ended."""
    listed = jobs[jobs["vanished_at"].isna()]
    ended = listed["outcome"].isin(TERMINAL) & listed["read_error"].isna()
    return {
        str(name): digest_job_list(own["job_id"]) if ended[own.index].all() else None
        for name, own in listed.groupby("appliance")
    }


def _sum_jobs(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return the totals of the jobs of each appliance; too large a sum of sizes is missing."""
    size = jobs["size"].where(jobs["outcome"].eq("success") & jobs["size"].ge(0))
    listed = jobs["vanished_at"].isna()
    by = jobs.assign(size=size, listed=listed, about=size.astype("Float64")).groupby("appliance")
    starts = jobs["start_time"].where(jobs["start_time"] >= EARLIEST_TIME)
    total = by["size"].sum().mask(by["about"].sum() > LARGEST_SUM)
    return pd.DataFrame(
        {
            "jobs": by.size(),
            "jobs_listed": by["listed"].sum(),
            "sized_jobs": by["size"].count(),
            "sized_bytes": total,
            "oldest_start": starts.groupby(jobs["appliance"]).min(),
        }
    )


def _check_poll_counts(reader: Reader, entries: list[dict[str, Any]]) -> Iterator[_Problem]:
    """Check the counts of polls, and the jobs that were only seen to be no longer listed."""
    read = LIST_READ.format("p.")
    counted = {"polls": f"COUNT({read})", "polls_ok": f"COALESCE(SUM({read}), 0)"}
    rows = reader.rows(
        "SELECT a.name, "
        + ", ".join(
            f"a.{name} - (SELECT {count} FROM polls p WHERE p.appliance_id = a.id) AS {name}"
            for name, count in counted.items()
        )
        + " FROM appliances a",
        {"name": "text", **dict.fromkeys(counted, "integer")},
    )
    # thinned polls are still counted
    thinned = sum(entry["polls"] for entry in entries if entry["kind"] == "thin")
    for name, more, more_ok in rows:
        if not 0 <= more_ok <= more <= thinned:
            yield f"appliance {name}", "its counts do not agree with its polls"
    filled = [c.name for c in COLUMNS["jobs"] if c.name not in {"appliance", "job_id"}]
    bare = reader.rows(
        "SELECT a.name, j.job_id FROM jobs j JOIN appliances a ON a.id = j.appliance_id "
        f"WHERE j.first_seen_at IS NULL AND (COALESCE({', '.join(filled)}, append_id) IS NOT NULL "
        "OR NOT EXISTS (SELECT 1 FROM observations o WHERE o.job = j.id))",
        {"name": "text", "job_id": "text"},
    )
    for name, job in bare[:_MAX_SHOWN]:
        yield f"job {job} of {name}", "does not agree with its observations"


def _check_texts(reader: Reader) -> Iterator[_Problem]:
    """Check the keys of texts."""
    for table in ("texts", "messages"):
        rows = reader.rows(
            f"SELECT id, sha256, text FROM {table}",
            {"id": "integer", "sha256": "bytes", "text": "text"},
        )
        wrong = [number for number, key, text in rows if key != hash_text(text)]
        for number in wrong[:_MAX_SHOWN]:
            yield f"text {number} in {table}", "does not agree with its key"


def _check_contains_head(entries: list[dict[str, Any]], head: str) -> Iterator[_Problem]:
    """Check that everything up to a head is still there, unchanged."""
    digests = {entry["digest"]: entry["id"] for entry in entries}
    if head not in {"", *digests}:
        yield f"head {head}", "is not in the ledger: this history does not contain that past"
        return
    until = digests.get(head, 0)
    by_id = {entry["id"]: entry for entry in entries}
    for entry in entries:
        own = [
            name for name in KINDS if entry[f"{name}_left"] not in {None, entry[f"{name}_sha256"]}
        ]
        if entry["id"] <= until and own and entry["kind"] in {"append", "import"}:
            removal = by_id.get(entry["removal_id"])
            if removal is None:
                continue  # reported above
            if removal["id"] > until and (removal["kind"] != "thin" or own != ["polls"]):
                yield (
                    _describe_entry(entry),
                    f"{', '.join(own)} were removed later, by {_describe_entry(removal)}",
                )
