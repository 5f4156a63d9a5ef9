"""Deletion by age (prune), of one appliance (forget), and of unneeded old polls (thin)."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from backupkit.errors import HistoryError, SettingsError
from backupkit.history.databases import Connection, Database
from backupkit.history.jobs import rewrite_jobs, store_observations_apart
from backupkit.history.ledger import (
    KINDS,
    Digests,
    add_entry,
    compute_digest,
    compute_left_digest,
    read_chunks,
    read_stored_rows,
    to_canonical_rows,
)
from backupkit.history.queries import build_cadence_table
from backupkit.history.rows import build_select_list, find_next_id
from backupkit.history.schema import COLUMNS, LIST_READ, OUTCOME_IDS, TEXT_TABLES, sql_kind
from backupkit.settings import SettingsFile, convert, parse_duration, read_toml
from backupkit.tables import POLLS
from backupkit.tables.constants import CADENCE_GAPS, TOLERATED_SKEW

__all__ = ["KEEP_POLLS", "forget", "load_keep_polls", "prune", "thin_polls"]

KEEP_POLLS: Final = timedelta(days=90)
_MIN_KEEP_POLLS: Final = timedelta(days=1)
_FOREVER: Final = "forever"
_EXAMPLE: Final = f'keep_polls = "90d" (or "{_FOREVER}")'

_APPENDS_PER_CALL: Final = 8
_POLLS_PER_CALL: Final = 20_000
"""Appends, and about how many of their polls, that one call of `thin` checks."""

_DAY: Final = 86_400_000_000  # us
_TOLERATED_SKEW: Final = TOLERATED_SKEW // timedelta(microseconds=1)
_MIN_TIME: Final = -(2**63)  # us since 1970


def prune(database: Database, before: int) -> dict[str, int]:
    """Remove what was learnt before an instant; see `backupkit.History.prune`."""
    wanted = {
        "observations": f"o.observed_at < {before}",
        "polls": f"o.polled_at < {before}",
        # of each schedule the newest row before that instant is in force, and stays
        "schedules": f"o.seen_at < {before} AND EXISTS (SELECT 1 FROM schedules n "
        "WHERE n.appliance_id = o.appliance_id AND n.schedule = o.schedule "
        f"AND n.seen_at > o.seen_at AND n.seen_at < {before})",
    }
    run_id = secrets.token_hex(16)
    removed = database.write(lambda connection: _remove_rows(connection, "prune", wanted, run_id))
    database.shrink()
    return removed


def forget(database: Database, appliance: str) -> dict[str, int]:
    """Remove all of one appliance; see `backupkit.History.forget`."""
    run_id = secrets.token_hex(16)

    def action(connection: Connection) -> dict[str, int]:
        if (done := _find_earlier_removal(connection, run_id)) is not None:
            return done
        found = connection.execute("SELECT id FROM appliances WHERE name = ?", [appliance])
        if not found:
            raise HistoryError(
                f"The history {database.uri} knows no appliance {appliance!r}. Its names are those "
                "of fleet.toml; nothing was removed."
            )
        [(number,)] = found
        wanted = {
            "observations": f"o.job IN (SELECT id FROM jobs WHERE appliance_id = {number})",
            "polls": f"o.appliance_id = {number}",
            "schedules": f"o.appliance_id = {number}",
        }
        removed = _remove_rows(connection, "forget", wanted, run_id)
        connection.execute("DELETE FROM appliances WHERE id = ?", [number])
        return removed

    removed = database.write(action)
    database.shrink()
    return removed


def _find_earlier_removal(connection: Connection, run_id: str) -> dict[str, int] | None:
    """Return how much an earlier try removed whose acknowledgement was lost; None without one."""
    query = f"SELECT {', '.join(KINDS)} FROM appends WHERE run_id = ?"
    found = connection.execute(query, [run_id])
    return dict(zip(KINDS, found[0], strict=True)) if found else None


def _remove_rows(
    connection: Connection, kind: str, wanted: Mapping[str, str], run_id: str
) -> dict[str, int]:
    """Remove rows, update jobs and sums, and record the removal."""
    if (earlier_counts := _find_earlier_removal(connection, run_id)) is not None:
        return earlier_counts
    rows = {}
    append_ids: set[int] = set()
    for table, condition in wanted.items():
        found = read_stored_rows(connection, table, condition)
        append_ids.update(found["append_id"].to_pylist())
        rows[table] = list(to_canonical_rows(connection, table, found))
    counts = {table: len(own) for table, own in rows.items()}
    job_query = f"SELECT o.job FROM observations o WHERE {wanted['observations']}"
    job_ids = sorted({job for (job,) in connection.execute(job_query)})
    removed_polls = f"FROM polls o WHERE o.appliance_id = appliances.id AND ({wanted['polls']})"
    read = LIST_READ.format("o.")
    connection.execute(
        f"UPDATE appliances SET polls = polls - (SELECT COUNT({read}) {removed_polls}), "
        f"polls_ok = polls_ok - (SELECT COALESCE(SUM({read}), 0) {removed_polls})"
    )
    store_observations_apart(connection, job_ids)
    for table, condition in wanted.items():
        stored = "observations_apart" if table == "observations" else table
        connection.execute(f"DELETE FROM {stored} AS o WHERE {condition}")
    rewrite_jobs(connection, job_ids)
    if append_ids:
        digests = Digests(only=append_ids)
        for chunk in read_chunks(connection):
            digests.add(connection, chunk)
        _record_removal(
            connection,
            kind,
            rows,
            {
                number: {name: digests.digest(number, name) for name in KINDS}
                for number in append_ids
            },
            run_id,
        )
    _drop_unused_texts(connection)
    return counts


def _record_removal(
    connection: Connection,
    kind: str,
    removed: Mapping[str, Sequence[Sequence[Any]]],
    left: Mapping[int, Mapping[str, str]],
    run_id: str,
) -> None:
    """Record a removal in the ledger, with digests of the remaining rows of the same appends."""
    marks = ", ".join(f"{name}_left = ?" for name in KINDS)
    connection.execute_many(
        f"UPDATE appends SET {marks} WHERE id = ?",
        [(*(own[name] for name in KINDS), number) for number, own in left.items()],
    )
    touched = ", ".join(map(str, left))
    # an earlier removal of the same appends covers further ones: take these over
    groups = connection.execute(
        "SELECT DISTINCT removal_id FROM appends "
        f"WHERE id IN ({touched}) AND removal_id IS NOT NULL"
    )
    earlier_removals = ", ".join(str(number) for (number,) in groups) or "NULL"
    number = find_next_id(connection, "appends")
    connection.execute(
        f"UPDATE appends SET removal_id = ? WHERE id IN ({touched}) "
        f"OR removal_id IN ({earlier_removals})",
        [number],
    )
    names = ", ".join(f"{name}_left" for name in KINDS)
    own = connection.execute(f"SELECT id, {names} FROM appends WHERE removal_id = ?", [number])
    add_entry(
        connection,
        run_id=run_id,
        kind=kind,
        digests={name: compute_digest(rows) for name, rows in removed.items()},
        counts={name: len(rows) for name, rows in removed.items()},
        left=compute_left_digest(own),
    )


def _drop_unused_texts(connection: Connection) -> None:
    """Remove the texts that no row needs any more."""
    for stored in ("texts", "messages"):
        used = " UNION ".join(
            f"SELECT {column.name} FROM {table} WHERE {column.name} IS NOT NULL"
            for table, columns in COLUMNS.items()
            for column in columns
            if TEXT_TABLES.get(sql_kind(column)) == stored
        )
        first = len(OUTCOME_IDS) if stored == "texts" else 0
        connection.execute(f"DELETE FROM {stored} WHERE id > {first} AND id NOT IN ({used})")


def thin_polls(connection: Connection, now: int, keep: int) -> int:
    """Remove some old polls that no figure needs, and return how many.

    Parameters
    ----------
    connection : Connection
        A transaction that writes.
    now, keep : int
        Current time [us since 1970], or the newest append if that is older; and the time before
        it in which all polls stay [us].

    Notes
    -----
    A poll is removed if the polls before and after it are of the same UTC day and have the same
    result, or if it counts as neither good nor failed. So of each day the first and the last good
    poll stay, and both sides of each change between good and failed, or of the clock by more than
    5 minutes. The good polls that give the cadence stay, too, however old they are.
    """
    [(thinned_to,)] = connection.execute("SELECT thinned_to FROM history")
    appended = "FROM appends WHERE kind IN ('append', 'import')"
    newest = connection.execute(f"SELECT latest_at {appended} ORDER BY id DESC LIMIT 1")
    before = min([now, *(latest for (latest,) in newest)]) - keep
    found = connection.execute(
        f"SELECT id, polls, earliest_at, latest_at {appended} AND polls > 0 AND id > ? "
        "ORDER BY id LIMIT ?",
        [thinned_to, _APPENDS_PER_CALL],
    )
    removed: list[Sequence[Any]] = []
    left: dict[int, dict[str, str]] = {}
    poll_count = 0
    for number, polls, earliest, latest in found:
        if latest >= before or poll_count > _POLLS_PER_CALL:
            break
        poll_count, thinned_to = poll_count + polls, number
        polls_of_append = _read_polls(connection, number, earliest, latest)
        removable_polls = _read_polls(
            connection, number, earliest, latest, _build_removable_condition(before)
        )
        names = (
            dict(connection.execute("SELECT name, id FROM appliances")) if removable_polls else {}
        )
        bounds = _find_cadence_bounds(connection, {names[row[0]] for row in removable_polls})
        removable_polls = [
            row for row in removable_polls if row[2] != 1 or row[1] < bounds[names[row[0]]]
        ]
        if removable_polls:
            connection.execute_many(
                "DELETE FROM polls WHERE appliance_id = ? AND polled_at = ?",
                [(names[row[0]], row[1]) for row in removable_polls],
            )
            removed += removable_polls
            kept = set(map(tuple, polls_of_append)) - set(map(tuple, removable_polls))
            [digests] = connection.execute(
                "SELECT COALESCE(observations_left, observations_sha256), "
                "COALESCE(schedules_left, schedules_sha256) FROM appends WHERE id = ?",
                [number],
            )
            left[number] = {
                "observations": digests[0],
                "polls": compute_digest(kept),
                "schedules": digests[1],
            }
    connection.execute("UPDATE history SET thinned_to = ?", [thinned_to])
    if left:
        _record_removal(connection, "thin", {"polls": removed}, left, secrets.token_hex(16))
    return len(removed)


def _find_cadence_bounds(connection: Connection, appliances: Collection[int]) -> dict[int, int]:
    """Return the time of the oldest good poll that each cadence needs [us since 1970].

    An appliance with too few polls has `_MIN_TIME`.
    """
    own = f"a.id IN ({', '.join(map(str, appliances)) or 'NULL'})"
    rows = connection.execute(
        f"WITH RECURSIVE {build_cadence_table(own)} SELECT appliance_id, polled_at FROM c "
        f"WHERE n = {CADENCE_GAPS} AND polled_at IS NOT NULL"
    )
    return dict.fromkeys(appliances, _MIN_TIME) | dict(rows)


def _read_polls(
    connection: Connection, number: int, earliest: int, latest: int, *more: str
) -> list[tuple[Any, ...]]:
    """Return the polls of an append; its times find them by the key of the table."""
    columns, types = build_select_list("polls", POLLS.names, "p.")
    conditions = " AND ".join([f"p.append_id = {number}", *more])
    rows = connection.table(
        f"SELECT {columns} FROM appliances a "
        f"JOIN polls p ON p.appliance_id = a.id AND p.polled_at BETWEEN {earliest} AND {latest} "
        f"WHERE {conditions}",
        types,
    )
    return list(to_canonical_rows(connection, "polls", rows))


def _build_removable_condition(before: int) -> str:
    """Return the condition for polls that no figure needs, if the cadence does not."""
    own, other = LIST_READ.format("p."), LIST_READ.format("q.")

    def beside(sign: str, order: str) -> str:
        return (
            f"EXISTS (SELECT 1 FROM (SELECT {other} AS list_read, q.polled_at, "
            "COALESCE(q.clock_skew, 0) AS skew FROM polls q "
            f"WHERE q.appliance_id = p.appliance_id AND q.polled_at {sign} p.polled_at "
            f"AND {other} IS NOT NULL ORDER BY q.polled_at {order} LIMIT 1) w "
            f"WHERE w.list_read = {own} AND w.polled_at / {_DAY} = p.polled_at / {_DAY} "
            f"AND ABS(w.skew - COALESCE(p.clock_skew, 0)) <= {_TOLERATED_SKEW})"
        )

    between = f"{beside('<', 'DESC')} AND {beside('>', 'ASC')}"
    return f"p.polled_at < {before} AND ({own} IS NULL OR ({between}))"


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The table [history] of fleet.toml."""

    keep_polls: str | None = None


def load_keep_polls(path: str | Path | SettingsFile) -> timedelta | None:
    """Read `keep_polls` from the table [history] of fleet.toml; None means forever."""
    where = f"{path}, [history]"
    table = read_toml(path).table("history")
    entry = convert(table, _Entry, where=where, examples={"keep_polls": _EXAMPLE})
    if entry.keep_polls is None:
        return KEEP_POLLS
    text = entry.keep_polls.strip().lower()
    if text == _FOREVER:
        return None
    span = parse_duration(text, where=f"{where}: keep_polls")
    if span < _MIN_KEEP_POLLS:
        raise SettingsError(
            f'{where}: keep_polls = "{text}" is too short; it must be at least one day, for '
            f"example: {_EXAMPLE}"
        )
    return span
