"""Deletion by age (prune), of one appliance (forget), and of unneeded old polls (thin)."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from backupkit.errors import HistoryError
from backupkit.history.databases import Connection, Database
from backupkit.history.jobs import keep_apart, rewrite_jobs
from backupkit.history.ledger import FIELDS, KINDS, add_entry, digest_of, left_digest
from backupkit.history.rows import next_id, select, values_of
from backupkit.history.scan import Digests, canonical_rows, chunks
from backupkit.history.schema import CODED, COLUMNS, OUTCOME_IDS, sql_kind
from backupkit.tables import POLLS
from backupkit.tables.constants import CADENCE_FLOOR, CADENCE_GAPS

__all__ = ["forget", "prune", "thin"]

_APPENDS: Final = 8
_POLLS: Final = 20_000
"""Appends, and about how many of their polls, that one call of `thin` checks."""

_DAY: Final = 86_400_000_000  # us
_ALWAYS: Final = -(2**63)  # us since 1970
_TEXTS: Final = ("texts", "messages")


def prune(database: Database, before: int) -> dict[str, int]:
    """Remove what was learnt before an instant; see `backupkit.History.prune`."""
    wanted = {
        "observations": f"o.observed_at < {before}",
        "polls": f"o.polled_at < {before}",
        # the newest row of each schedule before that instant is in force, and stays
        "schedules": f"o.seen_at < {before} AND EXISTS (SELECT 1 FROM schedules n "
        "WHERE n.appliance_id = o.appliance_id AND n.schedule = o.schedule "
        f"AND n.seen_at > o.seen_at AND n.seen_at < {before})",
    }
    run_id = secrets.token_hex(16)
    removed = database.write(lambda connection: _remove(connection, "prune", wanted, run_id))
    database.shrink()
    return removed


def forget(database: Database, appliance: str) -> dict[str, int]:
    """Remove all of one appliance; see `backupkit.History.forget`."""
    run_id = secrets.token_hex(16)

    def action(connection: Connection) -> dict[str, int]:
        if (done := _counts(connection, run_id)) is not None:
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
        removed = _remove(connection, "forget", wanted, run_id)
        connection.execute("DELETE FROM appliances WHERE id = ?", [number])
        return removed

    removed = database.write(action)
    database.shrink()
    return removed


def _counts(connection: Connection, run_id: str) -> dict[str, int] | None:
    """Return how much an earlier try removed whose acknowledgement was lost; None without one."""
    query = f"SELECT {', '.join(KINDS)} FROM appends WHERE run_id = ?"
    found = connection.execute(query, [run_id])
    return dict(zip(KINDS, found[0], strict=True)) if found else None


def _remove(
    connection: Connection, kind: str, wanted: Mapping[str, str], run_id: str
) -> dict[str, int]:
    """Remove rows, bring jobs and sums up to what is left, and record it."""
    if (done := _counts(connection, run_id)) is not None:
        return done
    rows = {}
    touched: set[int] = set()
    for table, condition in wanted.items():
        rows[table] = _rows(connection, table, condition)
        touched |= {number for number, _ in rows[table]}
    counts = {table: len(own) for table, own in rows.items()}
    chosen = f"SELECT o.job FROM observations o WHERE {wanted['observations']}"
    partly = sorted({job for (job,) in connection.execute(chosen)})
    gone = f"FROM polls o WHERE o.appliance_id = appliances.id AND ({wanted['polls']})"
    connection.execute(
        f"UPDATE appliances SET polls = polls - (SELECT COUNT(o.ok) {gone}), "
        f"polls_ok = polls_ok - (SELECT COALESCE(SUM(o.ok), 0) {gone})"
    )
    keep_apart(connection, partly)
    for table, condition in wanted.items():
        stored = "observations_apart" if table == "observations" else table
        connection.execute(f"DELETE FROM {stored} AS o WHERE {condition}")
    rewrite_jobs(connection, partly)
    if touched:
        digests = Digests(only=touched)
        for chunk in chunks(connection):
            digests.add(connection, chunk)
        _record(
            connection,
            kind,
            {table: [row for _, row in own] for table, own in rows.items()},
            {number: {name: digests.digest(number, name) for name in KINDS} for number in touched},
            run_id,
        )
    _drop_unused_texts(connection)
    return counts


def _rows(connection: Connection, table: str, condition: str) -> list[tuple[int, tuple[Any, ...]]]:
    """Return rows in their canonical form, each with the append that brought it."""
    columns, types = select(table, FIELDS[table], "o.")
    types |= {"append_id": "integer"}
    source, more = f"{table} o", ""
    if table == "observations":
        source = "observations o JOIN jobs j ON j.id = o.job"
        more = ", j.appliance_id AS appliance, j.job_id"
        types |= {"appliance": "integer", "job_id": "text"}
    found = connection.table(
        f"SELECT {columns}, o.append_id{more} FROM {source} WHERE {condition}",
        types,
    )
    numbers = found["append_id"].to_pylist()
    return list(zip(numbers, canonical_rows(connection, table, found), strict=True))


def _record(
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
    former = ", ".join(str(number) for (number,) in groups) or "NULL"
    number = next_id(connection, "appends")
    connection.execute(
        f"UPDATE appends SET removal_id = ? WHERE id IN ({touched}) OR removal_id IN ({former})",
        [number],
    )
    names = ", ".join(f"{name}_left" for name in KINDS)
    own = connection.execute(f"SELECT id, {names} FROM appends WHERE removal_id = ?", [number])
    add_entry(
        connection,
        run_id=run_id,
        kind=kind,
        digests={name: digest_of(rows) for name, rows in removed.items()},
        counts={name: len(rows) for name, rows in removed.items()},
        left=left_digest(own),
    )


def _drop_unused_texts(connection: Connection) -> None:
    """Remove the texts that no row needs any more."""
    for kept in _TEXTS:
        used = " UNION ".join(
            f"SELECT {column.name} FROM {table} WHERE {column.name} IS NOT NULL"
            for table, columns in COLUMNS.items()
            for column in columns
            if CODED.get(sql_kind(column)) == kept
        )
        first = len(OUTCOME_IDS) if kept == "texts" else 0
        connection.execute(f"DELETE FROM {kept} WHERE id > {first} AND id NOT IN ({used})")


def thin(connection: Connection, now: int, keep: int) -> int:
    """Remove some old polls that no figure needs; return how many.

    Parameters
    ----------
    connection : Connection
        A transaction that writes.
    now, keep : int
        The moment [us since 1970], and for how long before it all polls are kept [us]. If the
        newest append is older than now, its polls are meant instead.

    Notes
    -----
    A poll goes if the ones before and after it are of the same UTC day and came out the same; and
    one that says nothing of its appliance (it only followed a running job, or was stopped). So of
    each day the first and the last good poll stay, and both sides of each change between good and
    failed. The good polls whose gaps make the cadence stay, too, however old they are.
    """
    [(done,)] = connection.execute("SELECT thinned_to FROM history")
    appended = "FROM appends WHERE kind IN ('append', 'import')"
    newest = connection.execute(f"SELECT latest_at {appended} ORDER BY id DESC LIMIT 1")
    before = min([now, *(latest for (latest,) in newest)]) - keep
    found = connection.execute(
        f"SELECT id, polls, earliest_at, latest_at {appended} AND polls > 0 AND id > ? "
        "ORDER BY id LIMIT ?",
        [done, _APPENDS],
    )
    removed: list[Sequence[Any]] = []
    left: dict[int, dict[str, str]] = {}
    seen = 0
    for number, polls, earliest, latest in found:
        if latest >= before or seen > _POLLS:
            break
        seen, done = seen + polls, number
        own = _polls_of(connection, number, earliest, latest)
        gone = _polls_of(connection, number, earliest, latest, _removable(before))
        names = dict(connection.execute("SELECT name, id FROM appliances")) if gone else {}
        bounds = _cadence_bounds(connection, {names[row[0]] for row in gone})
        gone = [row for row in gone if row[2] != 1 or row[1] < bounds[names[row[0]]]]
        if gone:
            connection.execute_many(
                "DELETE FROM polls WHERE appliance_id = ? AND polled_at = ?",
                [(names[row[0]], row[1]) for row in gone],
            )
            removed += gone
            kept = set(map(tuple, own)) - set(map(tuple, gone))
            [digests] = connection.execute(
                "SELECT COALESCE(observations_left, observations_sha256), "
                "COALESCE(schedules_left, schedules_sha256) FROM appends WHERE id = ?",
                [number],
            )
            left[number] = {
                "observations": digests[0],
                "polls": digest_of(kept),
                "schedules": digests[1],
            }
    connection.execute("UPDATE history SET thinned_to = ?", [done])
    if left:
        _record(connection, "thin", {"polls": removed}, left, secrets.token_hex(16))
    return len(removed)


def _cadence_bounds(connection: Connection, appliances: Collection[int]) -> dict[int, int]:
    """Return of each appliance the oldest good poll that its cadence needs [us since 1970].

    It is the first in time where there are too few of them.
    """
    before = (
        "(SELECT q.polled_at FROM polls q WHERE q.appliance_id = {} AND q.ok = 1{} "
        "ORDER BY q.polled_at DESC LIMIT 1)"
    )
    floor = f" AND q.polled_at <= c.polled_at - {CADENCE_FLOOR // timedelta(microseconds=1)}"
    rows = connection.execute(
        "WITH RECURSIVE c (id, polled_at, n) AS ("
        f"SELECT a.id, {before.format('a.id', '')}, 0 FROM appliances a "
        f"WHERE a.id IN ({', '.join(map(str, appliances)) or 'NULL'}) "
        f"UNION ALL SELECT c.id, {before.format('c.id', floor)}, c.n + 1 FROM c "
        f"WHERE c.n < {CADENCE_GAPS} AND c.polled_at IS NOT NULL) "
        f"SELECT id, polled_at FROM c WHERE n = {CADENCE_GAPS} AND polled_at IS NOT NULL"
    )
    return dict.fromkeys(appliances, _ALWAYS) | dict(rows)


def _polls_of(
    connection: Connection, number: int, earliest: int, latest: int, *more: str
) -> list[tuple[Any, ...]]:
    """Return polls that an append brought; they are found by their time, in the table's key."""
    columns, types = select("polls", POLLS.names, "p.")
    conditions = " AND ".join([f"p.append_id = {number}", *more])
    rows = connection.table(
        f"SELECT {columns} FROM appliances a "
        f"JOIN polls p ON p.appliance_id = a.id AND p.polled_at BETWEEN {earliest} AND {latest} "
        f"WHERE {conditions}",
        types,
    )
    fields = {column.name: column for column in POLLS}
    values = values_of(connection, [fields[name] for name in FIELDS["polls"]], rows)
    return list(zip(*values, strict=True))


def _removable(before: int) -> str:
    """Return the condition for polls that no figure needs, if the cadence does not."""

    def beside(sign: str, order: str) -> str:
        return (
            "EXISTS (SELECT 1 FROM (SELECT q.ok, q.polled_at FROM polls q "
            f"WHERE q.appliance_id = p.appliance_id AND q.polled_at {sign} p.polled_at "
            f"AND q.ok IS NOT NULL ORDER BY q.polled_at {order} LIMIT 1) w "
            f"WHERE w.ok = p.ok AND w.polled_at / {_DAY} = p.polled_at / {_DAY})"
        )

    between = f"{beside('<', 'DESC')} AND {beside('>', 'ASC')}"
    return f"p.polled_at < {before} AND (p.ok IS NULL OR ({between}))"
