"""The newest observation of each job, worked out on Arrow columns.

Texts are looked at as little as can be: an appliance and a job's id become one number, and what is
chosen is taken out of the columns once.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backupkit.tables.frames import JOBS, OBSERVATIONS
from backupkit.tables.jobs import DETAILS_ONLY, ENDED, LISTED, OUTCOME

__all__ = ["jobs_from", "newest_of"]

_Numbers = npt.NDArray[np.int64]
_Rows = npt.NDArray[np.intp]
_Flags = npt.NDArray[np.bool_]

_LAST: Final = np.iinfo(np.int64).max
_NONE: Final = np.iinfo(np.int64).min
"""What numpy takes for no time."""


def jobs_from(observations: pd.DataFrame) -> pd.DataFrame:
    """Give the newest observation of each job.

    Parameters
    ----------
    observations : DataFrame
        Of `backupkit.tables.OBSERVATIONS`, in any order, doubled or not.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.JOBS`, one row per (appliance, job_id), by appliance and start.

    Notes
    -----
    A finished state beats an open one whatever the order of arrival; of two finished ones the later
    observation counts. What only details tell (type, size, location, build) is taken from the
    newest observation that has it, because job/{id} never does.
    """
    return newest_of(OBSERVATIONS.to_arrow(observations))


def newest_of(rows: pa.Table) -> pd.DataFrame:
    """Do what `jobs_from` does, from observations as they are stored.

    Parameters
    ----------
    rows : pyarrow.Table
        Of the columns of `backupkit.tables.OBSERVATIONS`. Text may be dictionary encoded, which
        makes it quicker.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.JOBS`, as `jobs_from` gives it.
    """
    keys, rank = _keys(rows)
    times = _int64(rows["observed_at"])
    gone = _flags(pc.equal(rows["source"], LISTED))
    order = _by_job_and_time(keys, times)
    if gone.any():
        order = order[~gone[order]]
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))  # of each job; no key is below 0
    newest = order[np.append(starts[1:], len(order))[: len(starts)] - 1]
    ended = _flags(pc.is_in(rows["status"], value_set=pa.array(sorted(ENDED))))
    chosen = _last_of(ended, order, starts, otherwise=newest)
    place = _by_appliance_and_start(rows, chosen, rank)

    columns: dict[str, pa.ChunkedArray] = {}
    for column in OBSERVATIONS:  # one after the other: memory is what millions of jobs lack
        told, teller = column.loaded(rows[column.name]), chosen
        if column.name in DETAILS_ONLY and told.null_count:
            teller = _last_of(_flags(told.is_valid()), order, starts, otherwise=chosen)
        columns[column.name] = told.take(teller[place])
        if column.name == "observed_at":
            columns["first_seen_at"] = told.take(order[starts][place])
            columns["last_seen_at"] = told.take(newest[place])
    word = pc.index_in(columns["status"], value_set=pa.array(list(OUTCOME)))
    columns["outcome"] = pa.array([*OUTCOME.values(), "other"]).take(word.fill_null(len(OUTCOME)))
    end, start = (columns[name].cast(pa.int64()) for name in ("end_time", "start_time"))
    columns["duration"] = pc.subtract(end, start)
    vanished = _vanished(keys, times, np.flatnonzero(gone), newest)[place]
    columns["vanished_at"] = pa.array(vanished.view("datetime64[us]")).cast(
        rows["observed_at"].type
    )
    return JOBS.from_arrow(pa.table(columns))


def _keys(rows: pa.Table) -> tuple[_Numbers, _Numbers]:
    """Give each row's job as a number, and each row's appliance as its place in the alphabet."""
    names, name = _encoded(rows["appliance"])
    ids, job = _encoded(rows["job_id"])
    rank = np.empty(len(names), dtype=np.int64)
    rank[pc.array_sort_indices(names).to_numpy()] = np.arange(len(names))
    return name * max(len(ids), 1) + job, rank[name]


def _encoded(column: pa.ChunkedArray) -> tuple[pa.Array, _Numbers]:
    """Give the distinct texts of a column, and each row's as its position among them."""
    if pa.types.is_dictionary(column.type):
        whole = column.unify_dictionaries().combine_chunks()
    else:  # at once: else each chunk has a dictionary of all before it
        whole = column.cast(pa.large_string()).combine_chunks().dictionary_encode()
    return whole.dictionary, whole.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _by_job_and_time(keys: _Numbers, times: _Numbers) -> _Rows:
    """Give the rows of each job together, by time; rows of one moment keep their order."""
    if np.all(times[1:] >= times[:-1]):
        return np.argsort(keys, kind="stable")
    return np.lexsort((times, keys))


def _last_of(flags: _Flags, order: _Rows, starts: _Rows, *, otherwise: _Rows) -> _Rows:
    """Give the last row of each job that has a flag, and another one where none has."""
    if not len(starts):
        return otherwise
    position = np.where(flags[order], np.arange(len(order)), -1)
    last = np.maximum.reduceat(position, starts)
    return np.where(last < 0, otherwise, order[last])


def _by_appliance_and_start(rows: pa.Table, chosen: _Rows, rank: _Numbers) -> _Rows:
    """Give the order in which the jobs are told: by appliance, start and, rarely needed, id."""
    names = rank[chosen]
    starts = _int64(rows["start_time"].take(chosen).cast(pa.int64()).fill_null(_LAST))
    place = np.lexsort((starts, names))
    same = (np.diff(names[place]) == 0) & (np.diff(starts[place]) == 0)
    if not same.any():
        return place
    tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    who = place[tied]
    ids = pc.rank(rows["job_id"].take(chosen[who]).cast(pa.string()), tiebreaker="min").to_numpy()
    place[tied] = who[np.lexsort((ids, starts[who], names[who]))]
    return place


def _vanished(keys: _Numbers, times: _Numbers, gone: _Rows, newest: _Rows) -> _Numbers:
    """Give when each job was first seen to be gone since it was last told; int64's least if not."""
    when = np.full(len(newest), _LAST)
    if len(newest):
        job = np.minimum(np.searchsorted(keys[newest], keys[gone]), len(newest) - 1)
        since = (keys[newest[job]] == keys[gone]) & (times[gone] > times[newest[job]])
        np.minimum.at(when, job[since], times[gone[since]])
    return np.where(when == _LAST, _NONE, when)


def _int64(column: pa.ChunkedArray) -> _Numbers:
    """Give times as microseconds since 1970; numpy's own detour would make a float of them."""
    stamps: _Numbers = column.cast(pa.int64()).fill_null(_NONE).to_numpy()
    return stamps


def _flags(column: pa.ChunkedArray) -> _Flags:
    flags: _Flags = column.fill_null(False).to_numpy()  # it is a value
    return flags
