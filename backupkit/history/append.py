"""The append of new rows to all tables, in one transaction."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import compress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from backupkit.history import ledger
from backupkit.history.databases import Connection
from backupkit.history.jobs import JobUpdate, TextIds
from backupkit.history.observations import Observation, find_repeats
from backupkit.history.schema import OUTCOME_IDS
from backupkit.history.stored import (
    build_select_list,
    decode_rows,
    find_next_id,
    split_keys,
    to_datetime,
)
from backupkit.tables import CONFLICTS, POLLS, SCHEDULES, TERMINAL, Records
from backupkit.tables.constants import TOLERATED_SKEW
from backupkit.tables.job_ids import digest_job_list

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AppendResult", "Stored", "append"]

Stored = Mapping[str, Mapping[str, Sequence[Any]]]
"""Columns of observations, polls and schedules as they are stored."""

_Row = tuple[Any, ...]

_ANALYZE_ABOVE: Final = 20_000
"""Rows of an append after which the database updates its statistics."""
_TIME_COLUMNS: Final = {"observations": "observed_at", "polls": "polled_at", "schedules": "seen_at"}
_TOLERATED_SKEW: Final = TOLERATED_SKEW // timedelta(microseconds=1)
_OK, _UNREAD, _LISTED = (POLLS.names.index(name) for name in ("ok", "jobs_unread", "jobs_listed"))
_LISTS_PER_QUERY: Final = 500
"""Appliances whose job lists are read at once."""
_KEY_AND_TIME: Final = 3
"""The first columns of observations and schedules: appliance, job or schedule, and time."""


@dataclass(frozen=True, slots=True)
class AppendResult:
    """Number of rows that an append added; all other rows were stored already.

    Attributes
    ----------
    new, changed, vanished : int
        Observations of new jobs, of known jobs, and of jobs that are no longer listed.
    polls, schedules : int
        Rows of these.
    conflict_records : Records
        The rows of `conflicts`.
    late : dict of str to datetime
        Time of the newest poll that was stored before [UTC], by appliance with an older new poll:
        the clock of a collector may be wrong. An import has none.
    """

    new: int = 0
    changed: int = 0
    vanished: int = 0
    polls: int = 0
    schedules: int = 0
    conflict_records: Records = field(
        default_factory=lambda: Records.build(CONFLICTS, {}), compare=False, repr=False
    )
    late: dict[str, datetime] = field(default_factory=dict, compare=False, repr=False)

    def __add__(self, other: "AppendResult") -> "AppendResult":
        """Return the sum of two appends."""
        names = ("new", "changed", "vanished", "polls", "schedules")
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        conflicts = self.conflict_records.extend(other.conflict_records)
        return AppendResult(**sums, conflict_records=conflicts, late=self.late | other.late)

    @property
    def observations(self) -> int:
        """Observations added, of any kind."""
        return self.new + self.changed + self.vanished

    @property
    def conflicts(self) -> "pd.DataFrame":
        """Jobs that had ended and now have another start or end: `backupkit.tables.CONFLICTS`.

        Both observations are stored; the newer one counts.
        """
        return self.conflict_records.frame()


def append(
    connection: Connection,
    snapshot: Stored,
    *,
    run_id: str,
    keep_all: bool = False,
    list_digests: Mapping[str, str] = MappingProxyType({}),
) -> AppendResult | None:
    """Append what is new in a snapshot.

    Parameters
    ----------
    connection : Connection
        A transaction that writes.
    snapshot : mapping
        Its columns as they are stored.
    run_id : str
        Identifies this append; one that is stored already is not repeated.
    keep_all : bool
        Whether to store every row that is not stored yet, as an import does; else only rows that
        differ from the newest one.
    list_digests : mapping of str to str
        Digests of job lists, see `backupkit.tables.SyncState`.

    Returns
    -------
    AppendResult or None
        None if an earlier try has stored this append.
    """
    if connection.execute("SELECT 1 FROM appends WHERE run_id = ?", [run_id]):
        return None
    given = {
        kind: list(zip(*(snapshot[kind][name] for name in table.names), strict=True))
        for kind, table in ledger.TABLES.items()
    }
    appliances = _register_appliances(
        connection, {row[0] for rows in given.values() for row in rows}
    )
    jobs = JobUpdate(
        connection,
        [Observation(*row) for row in given["observations"]],
        appliances,
        keep_all=keep_all,
    )
    rows: dict[str, Sequence[_Row]] = {
        "observations": jobs.new,
        "polls": _select_new_polls(connection, given["polls"], appliances),
        "schedules": _select_new_schedules(
            connection, given["schedules"], appliances, keep_all=keep_all
        ),
    }
    new, changed, vanished = jobs.count()
    result = AppendResult(
        new,
        changed,
        vanished,
        len(rows["polls"]),
        len(rows["schedules"]),
        conflict_records=_build_conflicts(jobs.find_conflicts()),
    )
    if not keep_all:
        result = replace(result, late=_find_late_polls(connection, rows["polls"]))
    if not any(rows.values()):
        return result
    plain = {kind: _to_columns(table.names, rows[kind]) for kind, table in ledger.TABLES.items()}
    moments = [moment for kind in plain for moment in plain[kind][_TIME_COLUMNS[kind]]]
    number = ledger.add_entry(
        connection,
        run_id=run_id,
        kind="import" if keep_all else "append",
        digests={kind: ledger.compute_digest(own) for kind, own in rows.items()},
        counts={kind: len(own) for kind, own in rows.items()},
        between=(min(moments), max(moments)),
    )
    texts = TextIds(connection, plain)
    is_job = jobs.write(texts, number)
    apart = list(compress(jobs.new, [not stored for stored in is_job]))
    texts.insert(
        "observations",
        _to_columns(Observation._fields, apart),
        {"job": [jobs.ids[row.key] for row in apart]},
        number,
        into="observations_apart",
    )
    for kind in ("polls", "schedules"):
        owner_ids = [appliances[name] for name in plain[kind]["appliance"]]
        texts.insert(kind, plain[kind], {"appliance_id": owner_ids}, number)
    _count_polls(connection, rows["polls"], appliances)
    _keep_list_digests(connection, rows, appliances, list_digests)
    if sum(map(len, rows.values())) >= _ANALYZE_ABOVE:
        connection.analyze()
    return result


def _to_columns(names: Sequence[str], rows: Sequence[_Row]) -> dict[str, list[Any]]:
    columns = map(list, zip(*rows, strict=True)) if rows else ([] for _ in names)
    return dict(zip(names, columns, strict=True))


def _build_conflicts(rows: Iterable[_Row]) -> Records:
    """Return conflicts with plain times."""
    plain = [
        (*row[:2], *(None if time is None else to_datetime(time) for time in row[2:]))
        for row in rows
    ]
    return Records.build(CONFLICTS, _to_columns(CONFLICTS.names, plain))


def _register_appliances(connection: Connection, names: set[str]) -> dict[str, int]:
    """Return the number of each appliance, after adding those that are new."""
    known = dict(connection.execute("SELECT name, id FROM appliances"))
    new = sorted(names - known.keys())
    if new:
        number = find_next_id(connection, "appliances")
        rows = [(number + place, name) for place, name in enumerate(new)]
        connection.insert("appliances", ("id", "name"), rows)
        known |= {name: number for number, name in rows}
    return known


def _select_new_polls(
    connection: Connection, polls: Sequence[_Row], appliances: Mapping[str, int]
) -> list[_Row]:
    """Drop the polls that are stored already; of equal times the first counts."""
    by_key = {(appliances[row[0]], row[1]): row for row in reversed(polls)}
    stored_keys: set[tuple[int, int]] = set()
    pairs = sorted(by_key)
    for part in split_keys(pairs):
        values = ", ".join(["(?, ?)"] * len(part))
        stored_keys |= set(
            connection.execute(
                f"SELECT p.appliance_id, p.polled_at FROM (VALUES {values}) AS k "
                "JOIN polls p ON p.appliance_id = k.column1 AND p.polled_at = k.column2",
                [value for pair in part for value in pair],
            )
        )
    new = {id(row) for key, row in by_key.items() if key not in stored_keys}
    return [row for row in polls if id(row) in new]


def _was_list_read(poll: _Row) -> bool | None:
    """Return whether a poll read the job list, as `backupkit.tables.list_was_read`."""
    if poll[_OK] is None:
        return True if (poll[_UNREAD] or 0) > 0 else None
    return bool(poll[_OK])


def _find_late_polls(connection: Connection, polls: Sequence[_Row]) -> dict[str, datetime]:
    """Return the newest stored poll of each appliance with an older new one."""
    newest = dict(
        connection.execute(
            "SELECT a.name, (SELECT MAX(p.polled_at) FROM polls p WHERE p.appliance_id = a.id) "
            "FROM appliances a WHERE a.polls > 0"
        )
    )
    first: dict[str, int] = {}
    for row in polls:
        if row[_OK] is not None:
            first[row[0]] = min(row[1], first.get(row[0], row[1]))
    return {
        name: to_datetime(newest[name])
        for name, moment in sorted(first.items())
        if newest.get(name) is not None and moment < newest[name] - _TOLERATED_SKEW
    }


def _select_new_schedules(
    connection: Connection,
    schedules: Sequence[_Row],
    appliances: Mapping[str, int],
    *,
    keep_all: bool,
) -> list[_Row]:
    """Return the schedules that changed, or all that are not stored yet."""
    if not schedules:
        return []
    numbers = sorted({appliances[row[0]] for row in schedules})
    columns, _ = build_select_list("schedules", SCHEDULES.names)
    rows = connection.execute(
        f"SELECT {columns} FROM schedules WHERE appliance_id IN ({', '.join(map(str, numbers))})"
    )
    known: dict[tuple[str, str], dict[int, _Row]] = defaultdict(dict)
    for row in decode_rows(connection, SCHEDULES.columns, rows):
        known[row[0], row[1]][row[2]] = row
    arrived: dict[tuple[str, str], dict[int, _Row]] = defaultdict(dict)
    for row in schedules:  # of equal times the last counts
        arrived[row[0], row[1]].pop(row[2], None)
        arrived[row[0], row[1]][row[2]] = row
    kept = set()
    for key, own in arrived.items():
        times = sorted(known[key].keys() | own.keys())
        merged = [known[key].get(time, own.get(time)) for time in times]
        repeats = [False] * len(times) if keep_all else find_repeats(merged, key=_KEY_AND_TIME)
        kept |= {
            id(own[time])
            for time, repeated in zip(times, repeats, strict=True)
            if time not in known[key] and not repeated
        }
    new = [row for row in schedules if id(row) in kept]
    return new if keep_all else [*new, *_find_unchanged_since(connection, new, known, appliances)]


def _find_unchanged_since(
    connection: Connection,
    changed: Sequence[_Row],
    known: Mapping[tuple[str, str], Mapping[int, _Row]],
    appliances: Mapping[str, int],
) -> list[_Row]:
    """Return what later polls had seen, for rows of schedules that arrive late.

    A later poll without a row of its own had seen the same as the row before the late one.
    """
    added = []
    for name, plan, seen_at, *_ in changed:
        own = dict(known[name, plan]) | {
            row[2]: row for row in changed if (row[0], row[1]) == (name, plan)
        }
        before = max((time for time in own if time < seen_at), default=None)
        if before is None:
            continue
        [(polled_at,)] = connection.execute(
            "SELECT MIN(polled_at) FROM polls WHERE appliance_id = ? AND polled_at > ? "
            "AND schedules_read IS NOT NULL",
            [appliances[name], seen_at],
        )
        if polled_at is not None and not any(seen_at < time <= polled_at for time in own):
            added.append((name, plan, polled_at, *own[before][_KEY_AND_TIME:]))
    return added


def _count_polls(
    connection: Connection, polls: Iterable[_Row], appliances: Mapping[str, int]
) -> None:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in polls:
        if (read := _was_list_read(row)) is not None:
            counts[row[0]][0] += 1
            counts[row[0]][1] += read
    rows = [(number, ok, appliances[name]) for name, (number, ok) in sorted(counts.items())]
    if rows:
        connection.execute_many(
            "UPDATE appliances SET polls = polls + ?, polls_ok = polls_ok + ? WHERE id = ?", rows
        )


def _keep_list_digests(
    connection: Connection,
    rows: Mapping[str, Sequence[_Row]],
    appliances: Mapping[str, int],
    list_digests: Mapping[str, str],
) -> None:
    """Keep the digests of job lists with which the stored jobs agree.

    They may differ: another collector stored a later list first, or what was known of the jobs was
    not in this history. Without a digest, the next collection compares its list with the jobs.
    """
    stored = {
        name: own
        for name, *own in connection.execute(
            "SELECT name, jobs_listed, list_digest FROM appliances"
        )
    }
    listed = {row[0]: row[_LISTED] for row in rows["polls"]}
    touched = {row[0] for own in rows.values() for row in own}
    claimed = {
        appliances[name]: list_digests[name]
        for name in touched & list_digests.keys()
        if listed.get(name) == stored[name][0]
    }
    unchanged = {appliances[name] for name in touched if stored[name][1] == list_digests.get(name)}
    observed = {appliances[row[0]] for row in rows["observations"]}
    wanted = {appliances[name] for name in touched} - (unchanged - observed)
    computed = _digest_stored_lists(connection, sorted(wanted & claimed.keys()))
    connection.execute_many(
        "UPDATE appliances SET list_digest = ? WHERE id = ?",
        [
            (digest if digest == claimed.get(number) else None, number)
            for number in sorted(wanted)
            for digest in [computed.get(number)]
        ],
    )


def _digest_stored_lists(connection: Connection, numbers: Sequence[int]) -> dict[int, str]:
    """Return the digests of the job lists of which all jobs have ended and are read."""
    ended = ", ".join(str(OUTCOME_IDS[outcome]) for outcome in TERMINAL)
    digests: dict[int, str] = {}
    for begin in range(0, len(numbers), _LISTS_PER_QUERY):
        part = numbers[begin : begin + _LISTS_PER_QUERY]
        ids: dict[int, list[str]] = {number: [] for number in part}
        unread = set()
        for number, job_id, is_read in connection.execute(
            "SELECT appliance_id, job_id, "
            f"CASE WHEN read_error IS NULL AND outcome IN ({ended}) THEN 1 END FROM jobs "
            f"WHERE appliance_id IN ({', '.join(map(str, part))}) "
            "AND first_seen_at IS NOT NULL AND vanished_at IS NULL"
        ):
            ids[number].append(job_id)
            if not is_read:
                unread.add(number)
        digests |= {
            number: digest_job_list(own) for number, own in ids.items() if number not in unread
        }
    return digests
