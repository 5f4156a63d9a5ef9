"""Updates of the jobs, and of their totals, by the observations of an append or a removal."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from backupkit.history.databases import Connection
from backupkit.history.observations import (
    Job,
    Key,
    Observation,
    find_changes,
    find_conflicts,
    fold,
    to_observations,
)
from backupkit.history.schema import (
    COLUMNS,
    OUTCOME_IDS,
    PLAUSIBLE_START,
    TEXT_TABLES,
    sql_kind,
)
from backupkit.history.stored import (
    build_select_list,
    decode_rows,
    find_next_id,
    split_keys,
    store_texts,
    to_microseconds,
)
from backupkit.tables import JOBS, OBSERVATIONS, Column
from backupkit.tables.constants import EARLIEST_TIME, ENDED, LARGEST_SUM

__all__ = ["JobUpdate", "TextIds", "rewrite_jobs", "store_observations_apart"]

_JOBS_PER_BATCH: Final = 20_000  # jobs that are computed again at once
_EARLIEST: Final = to_microseconds(EARLIEST_TIME)
_NO_START: Final = 2**63 - 1  # a job without a start is the last of its appliance


class TextIds:
    """Ids of the texts of one append."""

    def __init__(
        self, connection: Connection, plain: Mapping[str, Mapping[str, list[Any]]]
    ) -> None:
        self._connection = connection
        self.numbers: dict[str, dict[Any, int]] = {"texts": {}, "messages": {}}
        for kind, columns in plain.items():
            self.add(kind, columns)

    def add(self, table: str, columns: Mapping[str, list[Any]]) -> None:
        """Add the numbers of the texts in some columns."""
        for stored in self.numbers:
            texts = {
                text
                for column in COLUMNS[table]
                if TEXT_TABLES.get(sql_kind(column)) == stored
                for text in columns[column.name]
            }
            new = texts - self.numbers[stored].keys()
            self.numbers[stored] |= store_texts(self._connection, stored, new)

    def stored(self, column: Column, values: list[Any]) -> list[Any]:
        """Return values as they are stored."""
        table = TEXT_TABLES.get(sql_kind(column))
        return values if table is None else [self.numbers[table].get(value) for value in values]

    def insert(
        self,
        table: str,
        columns: Mapping[str, list[Any]],
        keys: Mapping[str, list[int]],
        number: int,
        *,
        into: str | None = None,
    ) -> None:
        """Insert the rows of an append, into the table of that name or another."""
        own = [column for column in COLUMNS[table] if sql_kind(column) != "appliance"]
        stored = [self.stored(column, columns[column.name]) for column in own]
        size = len(stored[0])
        names = (*keys, *(column.name for column in own), "append_id")
        rows = zip(*keys.values(), *stored, [number] * size, strict=True)
        # in the order of the key, so that neighbouring rows are written together
        self._connection.insert(into or table, names, sorted(rows, key=itemgetter(0)))


class JobUpdate:
    """Jobs that an append adds or changes.

    Attributes
    ----------
    new : list of Observation
        New observations to store.
    stored : dict
        Stored observations of the same jobs by key, or what their newest one implies.
    ids : dict
        The number of each job, by appliance and its own id; once they are written, of all.
    """

    def __init__(
        self,
        connection: Connection,
        observations: Sequence[Observation],
        appliances: Mapping[str, int],
        *,
        keep_all: bool,
    ) -> None:
        self._connection, self._appliances = connection, appliances
        places: dict[Key, list[int]] = defaultdict(list)
        for place, row in enumerate(observations):
            places[row.key].append(place)
        arrived = {key: [observations[place] for place in own] for key, own in places.items()}
        self._before, self.ids = _read_jobs(
            connection, _build_pair_queries([(appliances[name], job) for name, job in places])
        )
        [(latest,)] = connection.execute("SELECT MAX(latest_at) FROM appends")
        unfoldable = {
            key
            for key, job in self._before.items()
            if keep_all or latest is None or _needs_all_observations(job, arrived[key], latest)
        }
        self.stored = {
            key: list(to_observations(job))
            for key, job in self._before.items()
            if key not in unfoldable
        }
        self.stored |= _read_observations(connection, [self.ids[key] for key in unfoldable])
        find = _find_unknown if keep_all else find_changes
        kept = sorted(
            own[place]
            for key, own in places.items()
            for place in find(arrived[key], self.stored.get(key, ()))
        )
        self.new = [observations[place] for place in kept]
        self._new_by_job: dict[Key, list[Observation]] = defaultdict(list)
        for row in self.new:
            self._new_by_job[row.key].append(row)
        self._after: dict[Key, Job] = {}
        for key, rows in self._new_by_job.items():
            known = self._before[key] if key in self._before and key not in unfoldable else None
            job = fold(
                [*self.stored.get(key, ()), *rows],
                first_seen_at=None if known is None else known.first_seen_at,
            )
            if job is not None:
                self._after[key] = job

    def count(self) -> tuple[int, int, int]:
        """Return the number of observations of new jobs, of known ones, and of vanished ones."""
        seen = [row for row in self.new if row.is_seen]
        new = len({row.key for row in seen} - self.stored.keys())
        return new, len(seen) - new, len(self.new) - len(seen)

    def find_conflicts(self) -> Iterator[tuple[Any, ...]]:
        """Yield rows of `backupkit.tables.CONFLICTS` that the new observations add."""
        for key in sorted(self._new_by_job):
            yield from find_conflicts(self._new_by_job[key], self.stored.get(key, ()))

    def write(self, texts: TextIds, append_id: int) -> list[bool]:
        """Write the new state of the jobs.

        Returns
        -------
        list of bool
            Which new observations are thereby stored, as the only ones of their jobs.
        """
        # a job that was only seen to be no longer listed needs a row for its observation
        vanished_only = [key for key in self._new_by_job if key not in self._after]
        seen = {key: sum(row.is_seen for row in rows) for key, rows in self._new_by_job.items()}
        changed = [self.ids[key] for key in self._before if seen.get(key) and key in self._after]
        store_observations_apart(self._connection, changed)
        single = {
            key: append_id
            for key, number in seen.items()
            if number == 1 and key not in self._before
        }
        _write_jobs(
            self._connection,
            [job for key, job in self._before.items() if key in self._after],
            list(self._after.values()),
            vanished_only,
            self.ids,
            self._appliances,
            texts,
            single,
        )
        return [row.is_seen and row.key in single for row in self.new]


def store_observations_apart(connection: Connection, numbers: Sequence[int]) -> None:
    """Store the only observations of jobs apart, before the jobs change."""
    own = ", ".join(column.name for column in COLUMNS["observations"])
    names, values = f"job, {own}, append_id", own.replace("observed_at", "last_seen_at")
    for part in _build_id_lists(numbers):
        connection.execute(
            f"INSERT INTO observations_apart ({names}) "
            f"SELECT id, {values}, append_id FROM jobs "
            f"WHERE append_id IS NOT NULL AND id IN ({part})"
        )
        connection.execute(f"UPDATE jobs SET append_id = NULL WHERE id IN ({part})")


def rewrite_jobs(connection: Connection, numbers: Sequence[int]) -> None:
    """Compute jobs again from their remaining observations; remove jobs without any."""
    appliances = dict(connection.execute("SELECT name, id FROM appliances"))
    for begin in range(0, len(numbers), _JOBS_PER_BATCH):
        part = numbers[begin : begin + _JOBS_PER_BATCH]
        before, ids = _read_jobs(
            connection, ((f"jobs j WHERE j.id IN ({own})", []) for own in _build_id_lists(part))
        )
        observations = _read_observations(connection, part)
        after = {key: job for key, rows in observations.items() if (job := fold(rows)) is not None}
        vanished_only = [key for key in observations if key not in after]
        removed_ids = [(number,) for key, number in ids.items() if key not in observations]
        # first, because the oldest start is that of the remaining jobs
        connection.execute_many("DELETE FROM jobs WHERE id = ?", removed_ids)
        _write_jobs(
            connection,
            list(before.values()),
            list(after.values()),
            vanished_only,
            ids,
            appliances,
            TextIds(connection, {}),
            {},
        )


def _build_pair_queries(pairs: Sequence[tuple[int, str]]) -> Iterator[tuple[str, list[Any]]]:
    for part in split_keys(pairs):
        values = ", ".join(["(?, ?)"] * len(part))
        own = "j.appliance_id = k.column1 AND j.job_id = k.column2"
        source = f"(VALUES {values}) AS k JOIN jobs j ON {own}"
        yield source, [value for pair in part for value in pair]


def _build_id_lists(numbers: Sequence[int]) -> Iterator[str]:
    for part in split_keys(numbers):
        yield ", ".join(map(str, part))


def _read_jobs(
    connection: Connection, sources: Iterable[tuple[str, list[Any]]]
) -> tuple[dict[Key, Job], dict[Key, int]]:
    """Return jobs, and their numbers, by key."""
    columns, _ = build_select_list("jobs", JOBS.names, "j.")
    rows: list[tuple[Any, ...]] = []
    for source, parameters in sources:
        rows += connection.execute(f"SELECT {columns}, j.id FROM {source}", parameters)
    stored = decode_rows(connection, COLUMNS["jobs"], [row[:-1] for row in rows])
    jobs = [Job(*values) for values in stored]
    return (
        {job.key: job for job in jobs},
        {job.key: row[-1] for job, row in zip(jobs, rows, strict=True)},
    )


def _read_observations(
    connection: Connection, numbers: Sequence[int]
) -> dict[Key, list[Observation]]:
    """Return all observations of some jobs, by key."""
    columns, _ = build_select_list("observations", OBSERVATIONS.names, "o.")
    rows: list[tuple[Any, ...]] = []
    for part in _build_id_lists(numbers):
        rows += connection.execute(
            f"SELECT j.appliance_id, j.job_id, {columns} "
            f"FROM jobs j JOIN observations o ON o.job = j.id WHERE j.id IN ({part})"
        )
    found: dict[Key, list[Observation]] = defaultdict(list)
    for values in decode_rows(connection, OBSERVATIONS.columns, rows):
        row = Observation(*values)
        found[row.key].append(row)
    return dict(found)


def _write_jobs(
    connection: Connection,
    before: Sequence[Job],
    after: Sequence[Job],
    vanished_only: Sequence[Key],
    ids: dict[Key, int],
    appliances: Mapping[str, int],
    texts: TextIds,
    single: Mapping[Key, int],
) -> None:
    """Write jobs, and update the totals of their appliances; `ids` gets the new numbers."""
    columns = COLUMNS["jobs"]
    jobs = [*sorted(after, key=_get_order), *(Job(*key) for key in vanished_only)]
    plain = {name: [getattr(job, name) for job in jobs] for name in Job._fields}
    texts.add("jobs", plain)
    stored = [
        [appliances[name] for name in plain["appliance"]]
        if sql_kind(column) == "appliance"
        else texts.stored(column, plain[column.name])
        for column in columns
    ]
    number = find_next_id(connection, "jobs")
    added, changed = [], []
    for job, row in zip(jobs, zip(*stored, strict=True), strict=True):
        if job.key in ids:
            changed.append((*row, ids[job.key]))
        else:
            ids[job.key] = number
            added.append((number, *row, single.get(job.key)))
            number += 1
    own = ["appliance_id" if name == "appliance" else name for name in Job._fields]
    connection.insert("jobs", ("id", *own, "append_id"), added)
    marks = ", ".join(f"{name} = ?" for name in own)
    connection.execute_many(f"UPDATE jobs SET {marks} WHERE id = ?", changed)
    _update_totals(connection, before, after, appliances)


def _get_order(job: Job) -> tuple[str, int, str]:
    start = _NO_START if job.start_time is None else job.start_time
    return job.appliance, start, job.job_id


def _find_unknown(new: Sequence[Observation], known: Sequence[Observation]) -> list[int]:
    """Return the positions of the new observations of a job that are not stored yet."""
    times = {row.observed_at for row in known}
    last = {row.observed_at: place for place, row in enumerate(new)}
    return sorted(place for moment, place in last.items() if moment not in times)


def _needs_all_observations(job: Job, new: Sequence[Observation], latest: int) -> bool:
    """Return whether all observations of a job must be read.

    It has observations that arrive late, or as open although it had ended, or without the start
    that is known. An observation is not late if it is newer than all that was stored until `latest`
    [us since 1970].
    """
    # of a job that was only seen to be no longer listed, there is no state to update
    if job.last_seen_at is None or min(row.observed_at for row in new) <= latest:
        return True
    seen = [row for row in new if row.is_seen]
    if job.status in ENDED and any(row.status not in ENDED for row in seen):
        return True
    # the start of the job is that of an earlier observation
    return job.start_time is not None and any(row.start_time is None for row in seen)


# --- totals of appliances -------------------------------------------------------------------------


@dataclass(slots=True)
class _Totals:
    """Totals of some jobs of one appliance; `sized_bytes` may be too large to store."""

    jobs: int = 0
    jobs_listed: int = 0
    sized_jobs: int = 0
    sized_bytes: int = 0
    oldest_start: int | None = None


def _sum_jobs(jobs: Iterable[Job]) -> dict[str, _Totals]:
    """Return the totals of the jobs of each appliance."""
    sums: dict[str, _Totals] = defaultdict(_Totals)
    for job in jobs:
        total = sums[job.appliance]
        total.jobs += 1
        total.jobs_listed += job.vanished_at is None
        if job.outcome == "success" and job.size is not None and job.size >= 0:
            total.sized_jobs += 1
            total.sized_bytes += job.size
        start = job.start_time
        if start is not None and start >= _EARLIEST:
            oldest = total.oldest_start
            total.oldest_start = start if oldest is None else min(oldest, start)
    return dict(sums)


def _update_totals(
    connection: Connection,
    before: Iterable[Job],
    after: Iterable[Job],
    appliances: Mapping[str, int],
) -> None:
    """Update the totals of appliances from the same jobs before and after a change."""
    old, new = _sum_jobs(job for job in before if job.first_seen_at is not None), _sum_jobs(after)
    pairs = {
        name: (old.get(name, _Totals()), new.get(name, _Totals()))
        for name in sorted(old.keys() | new.keys())
    }
    _update_sized_bytes(connection, {appliances[name]: pair for name, pair in pairs.items()})
    numbers = ("jobs", "jobs_listed", "sized_jobs")
    more = [
        (*(getattr(now, one) - getattr(then, one) for one in numbers), appliances[name])
        for name, (then, now) in pairs.items()
    ]
    marks = ", ".join(f"{name} = {name} + ?" for name in numbers)
    connection.execute_many(
        f"UPDATE appliances SET {marks} WHERE id = ?", [row for row in more if any(row[:-1])]
    )
    earlier = [
        (now.oldest_start, appliances[name], now.oldest_start)
        for name, (_, now) in pairs.items()
        if now.oldest_start is not None
    ]
    connection.execute_many(
        "UPDATE appliances SET oldest_start = ? WHERE id = ? "
        "AND (oldest_start IS NULL OR oldest_start > ?)",
        earlier,
    )
    moved = [
        (appliances[name],) * 2
        for name, (then, now) in pairs.items()
        if then.oldest_start is not None
        and (now.oldest_start is None or now.oldest_start > then.oldest_start)
    ]
    connection.execute_many(
        "UPDATE appliances SET oldest_start = "
        "(SELECT MIN(start_time) FROM jobs WHERE appliance_id = ? "
        f"AND {PLAUSIBLE_START.format('')}) WHERE id = ?",
        moved,
    )


def _update_sized_bytes(
    connection: Connection, pairs: Mapping[int, tuple[_Totals, _Totals]]
) -> None:
    """Update the sums of sizes; one that is too large is NULL."""
    numbers = ", ".join(map(str, pairs)) or "NULL"
    sums = []
    for number, known in connection.execute(
        f"SELECT id, sized_bytes FROM appliances WHERE id IN ({numbers})"
    ):
        if known is None:
            # a sum that was too large is not stored: add up all sizes
            sizes = connection.execute(
                "SELECT size FROM jobs WHERE appliance_id = ? AND outcome = ? AND size >= 0",
                [number, OUTCOME_IDS["success"]],
            )
            total = sum(size for (size,) in sizes)
        else:
            then, now = pairs[number]
            total = known + now.sized_bytes - then.sized_bytes
        sums.append((None if total > LARGEST_SUM else total, number))
    connection.execute_many("UPDATE appliances SET sized_bytes = ? WHERE id = ?", sums)
