"""Deletion by age (prune), and of one appliance (forget)."""

import secrets
from collections.abc import Mapping

from backupkit.errors import HistoryError
from backupkit.history.alert_tables import forget_alerts, prune_alerts
from backupkit.history.chunks import (
    add_digests,
    read_chunks,
    read_stored_rows,
    to_canonical_rows,
)
from backupkit.history.databases import Connection, Database
from backupkit.history.domain_nodes import forget_domain_nodes, prune_domain_nodes
from backupkit.history.jobs import rewrite_jobs, store_observations_apart
from backupkit.history.ledger import KINDS, Digests, record_removal
from backupkit.history.notes import forget_notes, prune_notes
from backupkit.history.schema import COLUMNS, LIST_READ, OUTCOME_IDS, TEXT_TABLES, sql_kind

__all__ = ["forget", "prune"]


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

    def action(connection: Connection) -> dict[str, int]:
        prune_alerts(connection, before)
        prune_notes(connection, before)
        prune_domain_nodes(connection, before)
        return _remove_rows(connection, "prune", wanted, run_id)

    removed = database.write(action)
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
        forget_alerts(connection, appliance)
        forget_notes(connection, appliance)
        forget_domain_nodes(connection, appliance)
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
        "UPDATE appliances SET list_digest = NULL, "
        f"polls = polls - (SELECT COUNT({read}) {removed_polls}), "
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
            add_digests(digests, connection, chunk)
        record_removal(
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
