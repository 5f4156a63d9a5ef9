"""Updates of the jobs, and of their totals, by the observations of an append or a removal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.history.arrow_types import rows_to_arrow
from backupkit.history.databases import Connection
from backupkit.history.rows import (
    build_select_list,
    find_next_id,
    split_keys,
    store_texts,
    to_frame,
    to_stored_columns,
)
from backupkit.history.schema import (
    COLUMNS,
    OUTCOME_IDS,
    PLAUSIBLE_START,
    TEXT_TABLES,
    sql_kind,
)
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
from backupkit.tables.constants import EARLIEST_TIME, LARGEST_SUM

__all__ = ["JobUpdate", "TextIds", "rewrite_jobs", "store_observations_apart", "sum_jobs"]

_JOBS_PER_BATCH: Final = 20_000  # jobs that are computed again at once
_JOB_KEY: Final = ["appliance", "job_id"]


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
        keys = observations[_JOB_KEY].drop_duplicates()
        pairs = [
            (appliances[name], job)
            for name, job in zip(keys["appliance"], keys["job_id"], strict=True)
        ]
        self._before, self.ids = _read_jobs(connection, _build_pair_queries(pairs))
        [(latest,)] = connection.execute("SELECT MAX(latest_at) FROM appends")
        needs_all = _needs_all_observations(
            self._before, observations, None if keep_all else latest
        )
        numbers = [
            number
            for number, is_needed in zip(self.ids.values(), needs_all, strict=True)
            if is_needed
        ]
        earlier_observations, foldable_jobs = (
            _read_observations(connection, numbers),
            self._before[~needs_all],
        )
        self.stored = pd.concat(
            [observations_from(foldable_jobs), earlier_observations], ignore_index=True
        )
        new = (
            _drop_stored(observations, self.stored)
            if keep_all
            else changed_observations(observations, self.stored)
        )
        self.new = new.reset_index(drop=True)
        is_foldable = _is_about_jobs_of(self.new, foldable_jobs)
        all_observations = pd.concat(
            [earlier_observations, self.new[~is_foldable]], ignore_index=True
        )
        self._after = pd.concat(
            [
                fold_observations(
                    foldable_jobs[_is_about_jobs_of(foldable_jobs, self.new)], self.new[is_foldable]
                ),
                jobs_from(all_observations[_is_about_jobs_of(all_observations, self.new)]),
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
        vanished_only = self.new[~_is_about_jobs_of(self.new, self._after)][
            _JOB_KEY
        ].drop_duplicates()
        before = self._before[_is_about_jobs_of(self._before, self._after)]
        observed = self.new["source"] != LISTED
        is_repeated = self.new.assign(seen=observed).duplicated([*_JOB_KEY, "seen"], keep=False)
        is_single = (observed & ~is_repeated).to_numpy() & ~_is_about_jobs_of(
            self.new, self._before
        )
        differs = before[_is_about_jobs_of(before, self.new[observed])]
        store_observations_apart(
            self._connection, [self.ids[key] for key in _iterate_keys(differs)]
        )
        single = dict.fromkeys(_iterate_keys(self.new[is_single]), append_id)
        _write_jobs(
            self._connection,
            before,
            self._after,
            vanished_only,
            self.ids,
            self._appliances,
            texts,
            single,
        )
        return is_single


def _iterate_keys(frame: pd.DataFrame) -> Iterator[tuple[str, str]]:
    return zip(frame["appliance"], frame["job_id"], strict=True)


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
        after = jobs_from(observations)
        vanished_only = observations[~_is_about_jobs_of(observations, after)][
            _JOB_KEY
        ].drop_duplicates()
        remaining_keys = set(_iterate_keys(observations))
        removed_ids = [(number,) for key, number in ids.items() if key not in remaining_keys]
        # first, because the oldest start is that of the remaining jobs
        connection.execute_many("DELETE FROM jobs WHERE id = ?", removed_ids)
        texts = TextIds(connection, {})
        _write_jobs(connection, before, after, vanished_only, ids, appliances, texts, {})


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
) -> tuple[pd.DataFrame, dict[tuple[str, str], int]]:
    """Return jobs, and their numbers by key in the same order."""
    columns, types = build_select_list("jobs", JOBS.names, "j.")
    types = {"id": "integer"} | types
    rows: list[tuple[Any, ...]] = []
    for source, parameters in sources:
        rows += connection.execute(f"SELECT j.id, {columns} FROM {source}", parameters)
    stored = rows_to_arrow(rows, types)
    frame = to_frame(connection, JOBS, stored)
    return frame, dict(zip(_iterate_keys(frame), stored["id"].to_pylist(), strict=True))


def _read_observations(connection: Connection, numbers: Sequence[int]) -> pd.DataFrame:
    """Return all observations of some jobs."""
    columns, types = build_select_list("observations", OBSERVATIONS.names, "o.")
    types = {"appliance": "integer", "job_id": "text"} | types
    rows: list[tuple[Any, ...]] = []
    for part in _build_id_lists(numbers):
        rows += connection.execute(
            f"SELECT j.appliance_id, j.job_id, {columns} "
            f"FROM jobs j JOIN observations o ON o.job = j.id WHERE j.id IN ({part})"
        )
    return to_frame(connection, OBSERVATIONS, rows_to_arrow(rows, types))


def _write_jobs(
    connection: Connection,
    before: pd.DataFrame,
    after: pd.DataFrame,
    vanished_only: pd.DataFrame,
    ids: dict[tuple[str, str], int],
    appliances: Mapping[str, int],
    texts: TextIds,
    single: Mapping[tuple[str, str], int],
) -> None:
    """Write jobs, and update the totals of their appliances; `ids` gets the new numbers."""
    columns = COLUMNS["jobs"]
    names = [column.name for column in columns]
    plain = dict(zip(names, to_stored_columns(JOBS, columns, after), strict=True))
    for name in names:
        plain[name] += (
            vanished_only[name].to_list() if name in _JOB_KEY else [None] * len(vanished_only)
        )
    texts.add("jobs", plain)
    stored = [
        [appliances[name] for name in plain["appliance"]]
        if sql_kind(column) == "appliance"
        else texts.stored(column, plain[column.name])
        for column in columns
    ]
    number = find_next_id(connection, "jobs")
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


def _is_about_jobs_of(frame: pd.DataFrame, others: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return a mask of the rows about a job of other rows."""
    keys = set(_iterate_keys(others))
    return np.fromiter((key in keys for key in _iterate_keys(frame)), np.bool_, len(frame))


def _drop_stored(observations: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """Return the observations that are not stored yet."""
    keys = [*_JOB_KEY, "observed_at"]
    newest = observations.drop_duplicates(keys, keep="last")
    there = pd.MultiIndex.from_frame(stored[keys])
    return newest[~pd.MultiIndex.from_frame(newest[keys]).isin(there)]


def _needs_all_observations(
    before: pd.DataFrame, observations: pd.DataFrame, latest: int | None
) -> Any:  # noqa: ANN401 # an array of bool
    """Return a mask of the jobs for which all observations must be read.

    These are jobs with observations that arrive late, or as open although they had ended, or
    without the start that is known. An observation is not late if it is newer than all that was
    stored until `latest` [us since 1970]. Without that, all are read.
    """
    if latest is None or before.empty:
        return np.full(len(before), fill_value=True)
    index = pd.MultiIndex.from_frame(before[_JOB_KEY])
    by = observations.groupby(_JOB_KEY)["observed_at"].min().reindex(index).reset_index(drop=True)
    open_again = observations[
        ~has_ended(observations["status"]) & (observations["source"] != LISTED)
    ]
    contradicts = has_ended(before["status"]) & _is_about_jobs_of(before, open_again)
    # the start of the job is that of an earlier observation
    without_start = observations[
        observations["start_time"].isna() & (observations["source"] != LISTED)
    ]
    contradicts |= before["start_time"].notna() & _is_about_jobs_of(before, without_start)
    # of a job that was only seen to be no longer listed, there is no state to update
    is_late = (by.astype("int64") <= latest) | before["last_seen_at"].isna()
    return (is_late | contradicts).to_numpy(dtype=bool)


def sum_jobs(jobs: pd.DataFrame) -> pd.DataFrame:
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


def _update_totals(
    connection: Connection,
    before: pd.DataFrame,
    after: pd.DataFrame,
    appliances: Mapping[str, int],
) -> None:
    """Update the totals of appliances from the same jobs before and after a change."""
    observed = before[before["first_seen_at"].notna()]
    old, new = sum_jobs(observed), sum_jobs(after)
    _update_sized_bytes(connection, old["sized_bytes"], new["sized_bytes"], appliances)
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
        "(SELECT MIN(start_time) FROM jobs WHERE appliance_id = ? "
        f"AND {PLAUSIBLE_START.format('')}) WHERE id = ?",
        [(appliances[str(name)],) * 2 for name in moved.index[moved]],
    )


def _update_sized_bytes(
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
