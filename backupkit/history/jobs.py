"""Updates of the jobs, and of their totals, by the observations of an append or a removal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.history.databases import Connection, as_table
from backupkit.history.rows import (
    intern,
    key_chunks,
    next_id,
    plain_columns,
    select,
    to_frame,
)
from backupkit.history.schema import CODED, COLUMNS, OUTCOME_IDS, sql_kind
from backupkit.tables import (
    JOBS,
    LISTED,
    OBSERVATIONS,
    Column,
    changed_observations,
    fold_observations,
    has_ended,
    jobs_from,
    observations_from,
)
from backupkit.tables.constants import LARGEST_SUM

__all__ = ["JobUpdate", "TextIds", "keep_apart", "rewrite_jobs", "sums_of"]

_MANY: Final = 20_000  # jobs that are computed again at once
_KEY: Final = ["appliance", "job_id"]


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
                if CODED.get(sql_kind(column)) == stored
                for text in columns[column.name]
            }
            new = texts - self.numbers[stored].keys()
            self.numbers[stored] |= intern(self._connection, stored, new)

    def stored(self, column: Column, values: list[Any]) -> list[Any]:
        """Return values as they are stored."""
        table = CODED.get(sql_kind(column))
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
        self._connection.insert(into or table, names, sorted(rows, key=lambda row: row[0]))


class JobUpdate:
    """Jobs that an append adds or changes.

    Attributes
    ----------
    new : DataFrame
        New observations to store.
    stored : DataFrame
        Stored observations of the same jobs, or what their newest one implies.
    ids : dict
        The number of each job, by appliance and its own id; once they are written, of all.
    """

    def __init__(
        self,
        connection: Connection,
        observations: pd.DataFrame,
        appliances: Mapping[str, int],
        *,
        keep_all: bool,
    ) -> None:
        self._connection, self._appliances = connection, appliances
        keys = observations[_KEY].drop_duplicates()
        pairs = [
            (appliances[name], job)
            for name, job in zip(keys["appliance"], keys["job_id"], strict=True)
        ]
        self._before, self.ids = _stored_jobs(connection, _pair_queries(pairs))
        slow = _needs_all(self._before, observations, keep_all=keep_all)
        numbers = [
            number for number, is_slow in zip(self.ids.values(), slow, strict=True) if is_slow
        ]
        early, quick = _all_observations(connection, numbers), self._before[~slow]
        self.stored = pd.concat([observations_from(quick), early], ignore_index=True)
        new = (
            _without_stored(observations, self.stored)
            if keep_all
            else changed_observations(observations, self.stored)
        )
        self.new = new.reset_index(drop=True)
        is_quick = _in_jobs_of(self.new, quick)
        again = pd.concat([early, self.new[~is_quick]], ignore_index=True)
        self._after = pd.concat(
            [
                fold_observations(quick[_in_jobs_of(quick, self.new)], self.new[is_quick]),
                jobs_from(again[_in_jobs_of(again, self.new)]),
            ],
            ignore_index=True,
        )

    def write(self, texts: TextIds, append_id: int) -> npt.NDArray[np.bool_]:
        """Write the new state of the jobs.

        Returns
        -------
        array of bool
            The new observations that are thereby stored, as the only ones of their jobs.
        """
        # a job that was only seen to be no longer listed needs a row for its observation
        bare = self.new[~_in_jobs_of(self.new, self._after)][_KEY].drop_duplicates()
        before = self._before[_in_jobs_of(self._before, self._after)]
        observed = self.new["source"] != LISTED
        again = self.new.assign(seen=observed).duplicated([*_KEY, "seen"], keep=False)
        once = (observed & ~again).to_numpy() & ~_in_jobs_of(self.new, self._before)
        differs = before[_in_jobs_of(before, self.new[observed])]
        keep_apart(self._connection, [self.ids[key] for key in _keys(differs)])
        single = dict.fromkeys(_keys(self.new[once]), append_id)
        _write_jobs(
            self._connection, before, self._after, bare, self.ids, self._appliances, texts, single
        )
        return once


def _keys(frame: pd.DataFrame) -> Iterator[tuple[str, str]]:
    return zip(frame["appliance"], frame["job_id"], strict=True)


def keep_apart(connection: Connection, numbers: Sequence[int]) -> None:
    """Store the only observations of jobs apart, before the jobs change."""
    own = ", ".join(column.name for column in COLUMNS["observations"])
    names, values = f"job, {own}, append_id", own.replace("observed_at", "last_seen_at")
    for part in _lists(numbers):
        connection.execute(
            f"INSERT INTO observations_apart ({names}) "
            f"SELECT id, {values}, append_id FROM jobs "
            f"WHERE append_id IS NOT NULL AND id IN ({part})"
        )
        connection.execute(f"UPDATE jobs SET append_id = NULL WHERE id IN ({part})")


def rewrite_jobs(connection: Connection, numbers: Sequence[int]) -> None:
    """Compute jobs again from their remaining observations; remove jobs without any."""
    appliances = dict(connection.execute("SELECT name, id FROM appliances"))
    for begin in range(0, len(numbers), _MANY):
        part = numbers[begin : begin + _MANY]
        before, ids = _stored_jobs(
            connection, ((f"jobs j WHERE j.id IN ({own})", []) for own in _lists(part))
        )
        left = _all_observations(connection, part)
        after = jobs_from(left)
        bare = left[~_in_jobs_of(left, after)][_KEY].drop_duplicates()
        there = set(_keys(left))
        gone = [(number,) for key, number in ids.items() if key not in there]
        # first, because the oldest start is that of the remaining jobs
        connection.execute_many("DELETE FROM jobs WHERE id = ?", gone)
        texts = TextIds(connection, {})
        _write_jobs(connection, before, after, bare, ids, appliances, texts, {})


def _pair_queries(pairs: Sequence[tuple[int, str]]) -> Iterator[tuple[str, list[Any]]]:
    for part in key_chunks(pairs):
        values = ", ".join(["(?, ?)"] * len(part))
        own = "j.appliance_id = k.column1 AND j.job_id = k.column2"
        source = f"(VALUES {values}) AS k JOIN jobs j ON {own}"
        yield source, [value for pair in part for value in pair]


def _lists(numbers: Sequence[int]) -> Iterator[str]:
    for part in key_chunks(numbers):
        yield ", ".join(map(str, part))


def _stored_jobs(
    connection: Connection, sources: Iterable[tuple[str, list[Any]]]
) -> tuple[pd.DataFrame, dict[tuple[str, str], int]]:
    """Return jobs, and their numbers by key in the same order."""
    columns, types = select("jobs", JOBS.names, "j.")
    types = {"id": "integer"} | types
    rows: list[tuple[Any, ...]] = []
    for source, parameters in sources:
        rows += connection.execute(f"SELECT j.id, {columns} FROM {source}", parameters)
    stored = as_table(rows, types)
    frame = to_frame(connection, JOBS, stored)
    return frame, dict(zip(_keys(frame), stored["id"].to_pylist(), strict=True))


def _all_observations(connection: Connection, numbers: Sequence[int]) -> pd.DataFrame:
    """Return all observations of some jobs."""
    columns, types = select("observations", OBSERVATIONS.names, "o.")
    types = {"appliance": "integer", "job_id": "text"} | types
    rows: list[tuple[Any, ...]] = []
    for part in _lists(numbers):
        rows += connection.execute(
            f"SELECT j.appliance_id, j.job_id, {columns} "
            f"FROM jobs j JOIN observations o ON o.job = j.id WHERE j.id IN ({part})"
        )
    return to_frame(connection, OBSERVATIONS, as_table(rows, types))


def _write_jobs(
    connection: Connection,
    before: pd.DataFrame,
    after: pd.DataFrame,
    bare: pd.DataFrame,
    ids: dict[tuple[str, str], int],
    appliances: Mapping[str, int],
    texts: TextIds,
    single: Mapping[tuple[str, str], int],
) -> None:
    """Write jobs, and update the totals of their appliances; `ids` gets the new numbers."""
    columns = COLUMNS["jobs"]
    names = [column.name for column in columns]
    plain = dict(zip(names, plain_columns(JOBS, columns, after), strict=True))
    for name in names:
        plain[name] += bare[name].to_list() if name in _KEY else [None] * len(bare)
    texts.add("jobs", plain)
    stored = [
        [appliances[name] for name in plain["appliance"]]
        if sql_kind(column) == "appliance"
        else texts.stored(column, plain[column.name])
        for column in columns
    ]
    number = next_id(connection, "jobs")
    added, changed = [], []
    keys = zip(plain["appliance"], plain["job_id"], strict=True)
    for key, row in zip(keys, zip(*stored, strict=True), strict=True):
        if key in ids:
            changed.append((*row, ids[key]))
        else:
            ids[key] = number
            added.append((number, *row, single.get(key)))
            number += 1
    own = ["appliance_id" if name == "appliance" else name for name in names]
    connection.insert("jobs", ("id", *own, "append_id"), added)
    marks = ", ".join(f"{name} = ?" for name in own)
    connection.execute_many(f"UPDATE jobs SET {marks} WHERE id = ?", changed)
    _update_totals(connection, before, after, appliances)


def _in_jobs_of(frame: pd.DataFrame, others: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return a mask of the rows about a job of other rows."""
    there = set(_keys(others))
    return np.fromiter((key in there for key in _keys(frame)), np.bool_, len(frame))


def _without_stored(observations: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """Return the observations that are not stored yet."""
    keys = [*_KEY, "observed_at"]
    newest = observations.drop_duplicates(keys, keep="last")
    there = pd.MultiIndex.from_frame(stored[keys])
    return newest[~pd.MultiIndex.from_frame(newest[keys]).isin(there)]


def _needs_all(before: pd.DataFrame, observations: pd.DataFrame, *, keep_all: bool) -> Any:  # noqa: ANN401 # an array of bool
    """Return a mask of the jobs for which all observations must be read.

    These are jobs with observations that arrive late, or as open although they had ended.
    """
    if keep_all or before.empty:
        return np.full(len(before), keep_all)
    index = pd.MultiIndex.from_frame(before[_KEY])
    by = observations.groupby(_KEY)["observed_at"].min().reindex(index).reset_index(drop=True)
    last = before[["last_seen_at", "vanished_at"]].max(axis="columns")
    open_again = observations[
        ~has_ended(observations["status"]) & (observations["source"] != LISTED)
    ]
    contradicts = has_ended(before["status"]) & _in_jobs_of(before, open_again)
    return (~(by > last) | contradicts).to_numpy(dtype=bool)


def sums_of(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return the totals of the jobs of each appliance; too large a sum of sizes is missing."""
    size = jobs["size"].where(jobs["outcome"].eq("success") & jobs["size"].ge(0))
    listed = jobs["vanished_at"].isna()
    by = jobs.assign(size=size, listed=listed, about=size.astype("Float64")).groupby("appliance")
    total = by["size"].sum().mask(by["about"].sum() > LARGEST_SUM)
    return pd.DataFrame(
        {
            "jobs": by.size(),
            "jobs_listed": by["listed"].sum(),
            "sized_jobs": by["size"].count(),
            "sized_bytes": total,
            "oldest_start": by["start_time"].min(),
        }
    )


def _update_totals(
    connection: Connection,
    before: pd.DataFrame,
    after: pd.DataFrame,
    appliances: Mapping[str, int],
) -> None:
    """Update the totals of appliances from the same jobs before and after a change."""
    observed = before[before["first_seen_at"].notna()]
    old, new = sums_of(observed), sums_of(after)
    _count_bytes(connection, old["sized_bytes"], new["sized_bytes"], appliances)
    old, new = (one.reindex(old.index.union(new.index)) for one in (old, new))
    numbers = ["jobs", "jobs_listed", "sized_jobs"]
    more = new[numbers].fillna(0).astype("int64") - old[numbers].fillna(0).astype("int64")
    marks = ", ".join(f"{name} = {name} + ?" for name in numbers)
    connection.execute_many(
        f"UPDATE appliances SET {marks} WHERE id = ?",
        [
            (*map(int, values), appliances[str(name)])
            for name, *values in more[more.ne(0).any(axis="columns")].itertuples()
        ],
    )
    first = new["oldest_start"].dropna()
    earlier = [
        (moment, appliances[str(name)], moment) for name, moment in first.astype("int64").items()
    ]
    connection.execute_many(
        "UPDATE appliances SET oldest_start = ? WHERE id = ? "
        "AND (oldest_start IS NULL OR oldest_start > ?)",
        earlier,
    )
    moved = old["oldest_start"].notna() & ~(new["oldest_start"] <= old["oldest_start"])
    connection.execute_many(
        "UPDATE appliances SET oldest_start = "
        "(SELECT MIN(start_time) FROM jobs WHERE appliance_id = ?) WHERE id = ?",
        [(appliances[str(name)],) * 2 for name in moved.index[moved]],
    )


def _count_bytes(
    connection: Connection, old: pd.Series, new: pd.Series, appliances: Mapping[str, int]
) -> None:
    """Update the sums of sizes; one that is too large is NULL."""
    names = {appliances[str(name)]: name for name in old.index.union(new.index)}
    numbers = ", ".join(map(str, names)) or "NULL"
    sums = []
    for number, known in connection.execute(
        f"SELECT id, sized_bytes FROM appliances WHERE id IN ({numbers})"
    ):
        before, after = (
            0 if name not in one.index else one[name]
            for one, name in ((old, names[number]), (new, names[number]))
        )
        total = None
        if known is None or pd.isna(before) or pd.isna(after):
            # a sum that was too large is not stored: add up all sizes
            sizes = connection.execute(
                "SELECT size FROM jobs WHERE appliance_id = ? AND outcome = ? AND size >= 0",
                [number, OUTCOME_IDS["success"]],
            )
            total = sum(size for (size,) in sizes)
        else:
            total = known + int(after) - int(before)
        sums.append((None if total > LARGEST_SUM else total, number))
    connection.execute_many("UPDATE appliances SET sized_bytes = ? WHERE id = ?", sums)
