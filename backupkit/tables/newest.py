"""The newest observation of each job, worked out on Arrow columns.

Texts are looked at as little as can be: an appliance and a job's id become one number, and what is
chosen is taken out of the columns once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backupkit.tables.contract import Column
from backupkit.tables.frames import JOBS, OBSERVATIONS
from backupkit.tables.jobs import DETAILS_ONLY, ENDED, LISTED, OUTCOME

__all__ = ["jobs_from", "newest_of"]

_Ranks = npt.NDArray[np.unsignedinteger[Any]]
_Numbers = npt.NDArray[np.int64]
_Rows = npt.NDArray[np.intp]
_Flags = npt.NDArray[np.bool_]

_AT_ONCE: Final = 1 << 14
"""Rows whose jobs are numbered at once: the table of their ids fits a processor's cache."""

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
        makes it quicker. A caller that does not keep the table needs much less memory.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.JOBS`, as `jobs_from` gives it.
    """
    told = {column.name: _unified(rows[column.name]) for column in OBSERVATIONS}
    del rows  # so that each column is let go once the jobs' values were taken from it
    found = _find(told)
    seen = told["observed_at"]
    columns = {"first_seen_at": seen.take(found.first), "last_seen_at": seen.take(found.last)}
    for column in OBSERVATIONS:
        teller = found.tellers.get(column.name, found.chosen)
        columns[column.name] = _taken(column, told.pop(column.name), teller)
    word = pc.index_in(columns["status"], value_set=pa.array(list(OUTCOME), pa.large_string()))
    columns["outcome"] = pa.array([*OUTCOME.values(), "other"]).take(word.fill_null(len(OUTCOME)))
    end, start = (columns[name].cast(pa.int64()) for name in ("end_time", "start_time"))
    columns["duration"] = pc.subtract(end, start)
    columns["vanished_at"] = pa.array(found.vanished.view("datetime64[us]")).cast(seen.type)
    return JOBS.from_arrow(pa.table(columns))


@dataclass(frozen=True, slots=True)
class _Found:
    """Which rows tell of each job, by appliance and start.

    Attributes
    ----------
    chosen : ndarray of int
        The row that counts.
    tellers : dict of str to ndarray of int
        The row that counts for a column, where that is another one.
    first, last : ndarray of int
        The first and the last row of the job.
    vanished : ndarray of int
        When the job was first seen to be gone [us since 1970]; int64's least if it was not.
    """

    chosen: _Rows
    tellers: dict[str, _Rows]
    first: _Rows
    last: _Rows
    vanished: _Numbers


def _find(told: Mapping[str, pa.ChunkedArray]) -> _Found:
    """Find which rows tell of each job."""
    rank = _rank(told["appliance"])
    keys, times = _keys(told["job_id"], rank), _int64(told["observed_at"])
    order = _by_job_and_time(keys, times)
    gone = _flags(pc.equal(told["source"], LISTED))
    if gone.any():
        order = order[~gone[order]]
    starts = _begins(keys[order])  # of each job
    newest = order[np.append(starts[1:], len(order))[: len(starts)] - 1]
    vanished = _vanished(keys, times, np.flatnonzero(gone), newest)
    del keys, times, gone  # memory is what millions of jobs lack
    ended = _flags(pc.is_in(told["status"], value_set=pa.array(sorted(ENDED))))
    chosen = _last_of(ended, order, starts, otherwise=newest)
    place = _by_appliance_and_start(told, chosen, rank)
    tellers = {
        name: _last_of(_flags(told[name].is_valid()), order, starts, otherwise=chosen)[place]
        for name in DETAILS_ONLY
        if told[name].null_count
    }
    return _Found(chosen[place], tellers, order[starts[place]], newest[place], vanished[place])


def _unified(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Have all chunks of a column refer to the same texts, if they are dictionary encoded."""
    if not pa.types.is_dictionary(column.type):
        return column
    # a column that a file lacks is filled with a text that is missing, and that Arrow cannot unify
    if any(chunk.dictionary.null_count for chunk in column.chunks):
        return column.cast(pa.large_string())
    return column.unify_dictionaries()


def _rank(column: pa.ChunkedArray) -> _Ranks:
    """Give each row's appliance as its place in the alphabet, in as few bytes as will do."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode().unify_dictionaries()
    whole = column.combine_chunks()
    names = whole.dictionary
    # up to 16 bits are what numpy sorts in no time
    rank: _Ranks = np.empty(len(names), dtype=np.min_scalar_type(len(names)))
    rank[pc.array_sort_indices(names).to_numpy()] = np.arange(len(names))
    ranks: _Ranks = rank[whole.indices.to_numpy()]
    return ranks


def _keys(ids: pa.ChunkedArray, rank: _Ranks) -> _Numbers:
    """Give each row's job as a number; the jobs of an appliance follow one another."""
    rows = np.argsort(rank, kind="stable")
    rank = rank[rows]
    ids = ids.cast(pa.large_string()).take(rows).combine_chunks()
    # some appliances at a time, each wholly in one piece
    begins = np.append(_begins(rank), len(rank))
    cuts = begins[np.searchsorted(begins, np.arange(0, len(rank), _AT_ONCE))]
    cuts = np.unique(np.append(cuts, len(rank)))
    most = int(np.diff(cuts).max(initial=0))
    keys = np.empty(len(rank), dtype=np.int64)
    for begin, end in pairwise(cuts.tolist()):
        job = ids.slice(begin, end - begin).dictionary_encode().indices.to_numpy()
        keys[rows[begin:end]] = rank[begin:end].astype(np.int64) * most + job
    return keys


def _by_job_and_time(keys: _Numbers, times: _Numbers) -> _Rows:
    """Give the rows of each job together, by time; rows of one moment keep their order."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    if same.any():  # few jobs are observed more than once: only their rows are still to be sorted
        places = _with_neighbours(same)
        few = order[places]
        order[places] = few[np.lexsort((times[few], keys[few]))]
    return order


def _begins(ordered: npt.NDArray[Any]) -> _Rows:
    """Give where each run of the same values begins."""
    new = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return np.flatnonzero(new)


def _with_neighbours(same: _Flags) -> _Rows:
    """Give the places that are the same as the one before or after."""
    return np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))


def _taken(column: Column, stored: pa.ChunkedArray, chosen: _Rows) -> pa.ChunkedArray:
    """Give some of the values as they are in memory."""
    if not pa.types.is_dictionary(stored.type):
        return column.loaded(stored).take(chosen)
    # of the numbers only those that are wanted become texts
    whole = stored.combine_chunks()
    return column.loaded(whole.dictionary).take(whole.indices.take(pa.array(chosen)))


def _last_of(flags: _Flags, order: _Rows, starts: _Rows, *, otherwise: _Rows) -> _Rows:
    """Give the last row of each job that has a flag, and another one where none has."""
    if not len(starts):
        return otherwise
    position = np.where(flags[order], np.arange(len(order)), -1)
    last = np.maximum.reduceat(position, starts)
    return np.where(last < 0, otherwise, order[last])


def _by_appliance_and_start(
    told: Mapping[str, pa.ChunkedArray], chosen: _Rows, rank: _Ranks
) -> _Rows:
    """Give the order in which the jobs are told: by appliance, start and, rarely needed, id."""
    names = rank[chosen]
    starts = _int64(told["start_time"].take(chosen).cast(pa.int64()).fill_null(_LAST))
    place = np.lexsort((starts, names))
    same = (np.diff(names[place]) == 0) & (np.diff(starts[place]) == 0)
    if not same.any():
        return place
    tied = _with_neighbours(same)
    who = place[tied]
    ids = pc.rank(told["job_id"].take(chosen[who]).cast(pa.string()), tiebreaker="min").to_numpy()
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
