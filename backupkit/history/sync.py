"""Look-ups for the next collection: what is known of each appliance and of its jobs."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from backupkit.history.databases import Connection
from backupkit.history.schema import LIST_READ, OUTCOME_IDS
from backupkit.history.stored import build_select_list, decode_rows, split_keys
from backupkit.tables import POLLS, TERMINAL, SyncState
from backupkit.tables.job_ids import to_stored_id

__all__ = ["find_known_jobs", "read_sync_state"]

_ENDED_IDS = {OUTCOME_IDS[outcome] for outcome in TERMINAL}
_ROWS_OF_A_LOOKUP = 2  # rows in a row that are read in the time of a look-up by id
_FACTS = ("api", "details", "version", "timezone")


def read_sync_state(connection: Connection, *, ids: bool) -> dict[str, SyncState]:
    """Return what the next collection needs to know; `ids` adds the ids of the listed jobs."""
    known = {
        name: own
        for name, *own in connection.execute(
            "SELECT name, jobs_listed, list_digest FROM appliances WHERE jobs > 0 OR polls_ok > 0"
        )
    }
    facts = _read_facts(connection)
    plans = _read_schedule_names(connection)
    listed, finished = _read_listed_ids(connection) if ids else ({}, {})
    return {
        name: SyncState(
            listed.get(name, frozenset()),
            finished.get(name, frozenset()),
            known[name][0] if name in known else 0,
            **facts.get(name, {}),
            schedules=plans.get(name, frozenset()),
            list_digest=known[name][1] if name in known else None,
        )
        for name in {*known, *facts}
    }


def _read_facts(connection: Connection) -> dict[str, dict[str, Any]]:
    """Return api, details, version and timezone of the newest good poll of each appliance.

    If the version changed since the good poll before, the appliance was upgraded: api is None and
    must be detected again.
    """
    columns, _ = build_select_list("polls", POLLS.names, "p.")
    newest = " UNION ".join(
        "SELECT a.id, (SELECT q.polled_at FROM polls q WHERE q.appliance_id = a.id "
        f"AND {LIST_READ.format('q.')} = 1 ORDER BY q.polled_at DESC LIMIT 1 OFFSET {skipped}) "
        "FROM appliances a"
        for skipped in (0, 1)
    )
    rows = connection.execute(
        f"WITH w (appliance_id, polled_at) AS ({newest}) SELECT {columns} FROM w "
        "JOIN polls p ON p.appliance_id = w.appliance_id AND p.polled_at = w.polled_at "
        "ORDER BY p.polled_at"
    )
    facts: dict[str, dict[str, Any]] = {}
    for row in decode_rows(connection, POLLS.columns, rows):
        poll = dict(zip(POLLS.names, row, strict=True))
        before = facts.get(poll["appliance"], {}).get("version")
        own = {name: poll[name] for name in _FACTS}
        own["details"] = None if own["details"] is None else bool(own["details"])
        if before is not None and own["version"] not in {None, before}:
            own["api"] = None
        facts[poll["appliance"]] = own
    return facts


def _read_schedule_names(connection: Connection) -> dict[str, frozenset[str]]:
    """Return the names of the schedules on each appliance, by all that was seen of them."""
    rows = connection.execute(
        "SELECT a.name, t.text, s.removed FROM schedules s "
        "JOIN appliances a ON a.id = s.appliance_id JOIN texts t ON t.id = s.schedule "
        "ORDER BY s.seen_at"
    )
    removed = {(name, schedule): flag for name, schedule, flag in rows}
    names: dict[str, set[str]] = defaultdict(set)
    for (name, schedule), flag in removed.items():
        if not flag:
            names[name].add(schedule)
    return {name: frozenset(own) for name, own in names.items()}


def _read_listed_ids(
    connection: Connection,
) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    """Return the ids of the jobs that are still listed, and of those that have ended."""
    rows = connection.execute(
        "SELECT a.name, j.job_id, CASE WHEN j.read_error IS NULL THEN j.outcome END "
        "FROM jobs j JOIN appliances a ON a.id = j.appliance_id "
        "WHERE j.first_seen_at IS NOT NULL AND j.vanished_at IS NULL"
    )
    listed: dict[str, set[str]] = defaultdict(set)
    finished: dict[str, set[str]] = defaultdict(set)
    for name, job, outcome in rows:
        listed[name].add(job)
        if outcome in _ENDED_IDS:
            finished[name].add(job)
    return _freeze(listed), _freeze(finished)


def _freeze(sets: dict[str, set[str]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(own) for name, own in sets.items()}


def find_known_jobs(
    connection: Connection, appliance: str, listed: Collection[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return which jobs of an appliance were listed before, and which of these need no reading.

    The jobs of `listed` are looked up by id. All of the appliance are read where that costs less,
    or where some that were listed before are missing in `listed`.
    """
    facts = connection.execute(
        "SELECT id, jobs, jobs_listed FROM appliances WHERE name = ?", [appliance]
    )
    if not facts:
        return frozenset(), frozenset()
    (number, jobs, listed_before) = facts[0]
    query = (
        "SELECT job_id, CASE WHEN read_error IS NULL THEN outcome END FROM jobs "
        "WHERE appliance_id = ? AND first_seen_at IS NOT NULL AND vanished_at IS NULL"
    )
    original_ids = {to_stored_id(one): one for one in listed}
    rows: list[tuple[Any, ...]] = []
    by_id = jobs > _ROWS_OF_A_LOOKUP * len(original_ids)
    if by_id:
        for part in split_keys(sorted(original_ids)):
            named = f" AND job_id IN ({', '.join('?' * len(part))})"
            rows += connection.execute(query + named, [number, *part])
    if not by_id or listed_before > len(rows):  # else some are no longer listed
        rows = list(connection.execute(query, [number]))
    get = original_ids.get
    return (
        frozenset(get(job, job) for job, _ in rows),
        frozenset(get(job, job) for job, outcome in rows if outcome in _ENDED_IDS),
    )
