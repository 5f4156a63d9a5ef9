"""The newest observation of each job, worked out on Arrow columns.

Texts are looked at as little as can be: an appliance and a job's id become one number, and what is
chosen is taken out of the columns once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backupkit.tables.contract import TEXT, Column
from backupkit.tables.frames import JOBS, OBSERVATIONS
from backupkit.tables.jobs import DETAILS_ONLY, ENDED, LISTED, OUTCOME
from backupkit.tables.numbering import AT_ONCE, BITS, Numbers, numbers_of, room

__all__ = ["jobs_from", "newest_of"]

_T = TypeVar("_T")
_U = TypeVar("_U")
_Ranks = npt.NDArray[np.unsignedinteger[Any]]
_Numbers = npt.NDArray[np.int64]
_Rows = npt.NDArray[np.integer[Any]]
_Flags = npt.NDArray[np.bool_]

_ROW: Final = 32  # bits that tell a row

_SHORT: Final = np.iinfo(np.int32).max
"""Bytes of texts whose places need 32 bits; pandas wants 64, but not before they are chosen."""

_OTHER: Final = "other"
_TEXT: Final = pa.large_string()
_UTC: Final = pa.timestamp("us", tz="UTC")

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
    stored = dict(zip(rows.column_names, rows.columns, strict=True))
    del rows  # so that each column is let go once its values were taken from it

    def whole(column: Column) -> pa.Array:
        return _whole(column, stored.pop(column.name))

    told = dict(zip(OBSERVATIONS.names, _side_by_side(whole, OBSERVATIONS), strict=True))
    told["outcome"] = _outcomes(told["status"])
    found = _find(told)

    def taken(name: str) -> pa.ChunkedArray:
        otherwise = found.newest if name in DETAILS_ONLY else found.chosen
        return _taken(told.pop(name), found.tellers.get(name, otherwise))

    columns = dict(zip(names := list(told), _side_by_side(taken, names), strict=True))
    end, start = (columns[name].cast(pa.int64()) for name in ("end_time", "start_time"))
    columns["duration"] = pc.subtract(end, start)
    columns["first_seen_at"] = _times(found.first)
    columns["last_seen_at"] = _times(found.last)
    columns["vanished_at"] = _times(found.vanished)
    return JOBS.from_arrow(pa.table(columns))


@dataclass(frozen=True, slots=True)
class _Told:
    """What must be known of some rows to find the jobs.

    Attributes
    ----------
    rows : ndarray of int
        Which rows of the table these are.
    ids : StringArray or LargeStringArray
        The id of the job, of all rows of the table.
    number : ndarray of int
        The id as a number: the same id has the same one, and nearly no other has.
    rank : ndarray of int
        The appliance's place in the alphabet.
    time, start : ndarray of int
        When it was observed, when the job started [us since 1970]; int64's largest if unknown.
    gone, ended : ndarray of bool
        Whether the job was found to be gone, or had ended.
    has : dict of str to ndarray of bool
        Whether the row tells a column, of those that only details tell.
    """

    rows: _Rows
    ids: pa.Array
    number: Numbers
    rank: _Ranks
    time: _Numbers
    start: _Numbers
    gone: _Flags
    ended: _Flags
    has: dict[str, _Flags]

    def take(self, rows: _Rows) -> "_Told":
        """Give some of the rows of the whole table."""
        places = rows.astype(np.intp)  # what numpy would make of them each time
        return _Told(
            rows,
            self.ids,
            self.number[places],
            self.rank[places],
            self.time[places],
            self.start[places],
            self.gone[places],
            self.ended[places],
            {name: flags[places] for name, flags in self.has.items()},
        )

    def jobs(self, places: _Rows) -> pa.Array:
        """Give the ids of some of these rows."""
        return self.ids.take(pa.array(self.rows[places]))


@dataclass(frozen=True, slots=True)
class _Found:
    """Which rows tell of each job, by appliance and start.

    Attributes
    ----------
    chosen, newest : ndarray of int
        The row that counts, and the one that was learnt last.
    tellers : dict of str to ndarray of int
        The row that counts for a column that not every row tells.
    first, last : ndarray of int
        When the job was first and last told [us since 1970].
    vanished : ndarray of int
        When the job was first seen to be gone [us since 1970]; int64's least if it was not.
    """

    chosen: _Rows
    newest: _Rows
    tellers: dict[str, _Rows]
    first: _Numbers
    last: _Numbers
    vanished: _Numbers

    @classmethod
    def joined(cls, parts: Sequence["_Found"]) -> "_Found":
        """Put what was found of some appliances after what was found of those before them."""
        return cls(
            _joined([part.chosen for part in parts]),
            _joined([part.newest for part in parts]),
            {name: _joined([part.tellers[name] for part in parts]) for name in parts[0].tellers},
            _joined([part.first for part in parts]),
            _joined([part.last for part in parts]),
            _joined([part.vanished for part in parts]),
        )


def _joined(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Join arrays."""
    return np.concatenate(parts, out=room(sum(map(len, parts)), parts[0].dtype))


def _find(told: Mapping[str, pa.Array]) -> _Found:
    """Find which rows tell of each job, some appliances at a time."""
    work: list[Callable[[], Any]] = [
        lambda: numbers_of(told["job_id"]),
        lambda: _ranked(told["appliance"]),
        lambda: _int64(told["observed_at"]),
        lambda: _int64(told["start_time"]),
        lambda: _among(told["source"], {LISTED}),
        lambda: _among(told["status"], ENDED),
    ]
    number, (rank, rows), time, start, gone, ended = _side_by_side(lambda one: one(), work)
    has = {name: _flags(told[name].is_valid()) for name in DETAILS_ONLY if told[name].null_count}
    whole = _Told(rows, told["job_id"], number, rank, time, start, gone, ended, has)

    def found(piece: tuple[int, int]) -> _Found:
        return _Found.joined([_found_in(whole.take(rows[slice(*piece)]))])

    return _Found.joined(_side_by_side(found, pairwise(_cuts(rank[rows]))))


def _cuts(rank: _Ranks) -> list[int]:
    """Give where to cut sorted rows into pieces, each appliance wholly in one."""
    begins = np.append(_begins(rank), len(rank))
    wanted = np.arange(0, max(1, len(rank)), AT_ONCE)
    cuts = np.unique(begins[np.searchsorted(begins, wanted, side="right") - 1])
    return [*cuts.tolist(), len(rank)]


def _found_in(told: _Told) -> _Found:
    """Find which rows tell of each job."""
    keys, order = _by_job_and_time(told)
    if told.gone.any():
        order = order[~told.gone[order]]
    starts = _begins(keys[order])  # of each job
    newest = order[np.append(starts[1:], len(order))[: len(starts)] - 1]
    chosen = _last_of(told.ended, order, starts, newest, otherwise=newest)
    place = _by_appliance_and_start(told, keys, chosen)
    return _Found(
        told.rows[chosen[place]],
        told.rows[newest[place]],
        {
            name: told.rows[_last_of(flags, order, starts, newest, otherwise=chosen)[place]]
            for name, flags in told.has.items()
        },
        told.time[order[starts[place]]],
        told.time[newest[place]],
        _vanished(keys, told, newest)[place],
    )


def _whole(column: Column, stored: pa.ChunkedArray) -> pa.Array:
    """Give a column in one piece: repeated texts as numbers and a few texts, if they are stored so.

    A column that a file lacks is filled with a text that is missing, and that Arrow cannot unify.
    """
    if pa.types.is_dictionary(stored.type):
        unified = not any(chunk.dictionary.null_count for chunk in stored.chunks)
        if unified and column.name != "job_id":  # of which all letters are looked at
            return stored.unify_dictionaries().combine_chunks()
    elif column.dtype == TEXT and stored.nbytes <= _SHORT:
        return stored.cast(pa.string()).combine_chunks()
    return column.loaded(stored).combine_chunks()


def _ranked(names: pa.Array) -> tuple[_Ranks, _Rows]:
    """Give each row's appliance as its place in the alphabet, and the rows by it.

    Both in as few bytes as will do.
    """
    if not pa.types.is_dictionary(names.type):
        names = names.dictionary_encode()
    size = len(names.dictionary)
    rank: _Ranks = np.empty(size, dtype=np.min_scalar_type(size))
    rank[pc.array_sort_indices(names.dictionary).to_numpy()] = np.arange(size)
    ranks = pa.array(rank).take(names.indices)
    rows = pc.array_sort_indices(ranks).cast(pa.uint32())
    return ranks.to_numpy(), rows.to_numpy()


def _by_job_and_time(told: _Told) -> tuple[Numbers, _Rows]:
    """Give each row's job as a number, and the rows of each job together, by time.

    Rows of one moment keep their order; the jobs of an appliance follow one another.
    """
    keys, order, same = _by_job(told, told.number)
    if not same.any():
        return keys, order
    if told.jobs(order[1:][same]) != told.jobs(order[:-1][same]):
        exact = told.jobs(np.arange(len(order))).dictionary_encode().indices
        keys, order, same = _by_job(told, exact.to_numpy().astype(np.uint64))
    # few jobs are observed more than once: only their rows are still to be sorted
    places = _with_neighbours(same)
    few = order[places]
    job = np.cumsum(np.diff(keys[few], prepend=keys[few[:1]]) != 0)
    few = np.sort(job << _ROW | few) & ((1 << _ROW) - 1)
    times = told.time[few]
    if ((times[1:] < times[:-1]) & (job[1:] == job[:-1])).any():  # not kept in order
        few = few[np.lexsort((times, job))]
    order[places] = few
    return keys, order


def _by_job(told: _Told, number: Numbers) -> tuple[Numbers, _Rows, _Flags]:
    """Put the appliance's place before the number of the job, and sort by both.

    Also tell which rows are of the same job as the one before.
    """
    place = np.cumsum(np.diff(told.rank, prepend=told.rank[:1]) != 0, dtype=np.uint64)
    keys: Numbers = (place << np.uint64(BITS)) | number
    order = np.argsort(keys)
    ordered = keys[order]
    return keys, order, ordered[1:] == ordered[:-1]


def _begins(ordered: npt.NDArray[Any]) -> _Rows:
    """Give where each run of the same values begins."""
    new = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return np.flatnonzero(new)


def _with_neighbours(same: _Flags) -> _Rows:
    """Give the places that are the same as the one before or after."""
    return np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))


def _taken(whole: pa.Array, chosen: _Rows) -> pa.ChunkedArray:
    """Give some of the values as they are in memory."""
    indices = pa.array(chosen)
    if pa.types.is_primitive(whole.type):
        return pa.chunked_array([whole.take(indices)])
    # of texts some at a time: they fit the memory that was let go of
    parts = (indices.slice(begin, AT_ONCE) for begin in range(0, len(indices), AT_ONCE))
    if pa.types.is_string(whole.type):
        return pa.chunked_array((whole.take(part).cast(_TEXT) for part in parts), _TEXT)
    if not pa.types.is_dictionary(whole.type):
        return pa.chunked_array((whole.take(part) for part in parts), whole.type)
    # of the numbers only those that are wanted become texts
    texts = whole.dictionary.cast(_TEXT)
    return pa.chunked_array((texts.take(whole.indices.take(part)) for part in parts), texts.type)


def _last_of(
    flags: _Flags, order: _Rows, starts: _Rows, newest: _Rows, *, otherwise: _Rows
) -> _Rows:
    """Give the last row of each job that has a flag, and another one where none has."""
    size = np.diff(starts, append=len(order))
    sought = (size > 1) & ~(flags[newest] & (otherwise == newest))
    if not sought.any():  # most jobs end once, and are told no more
        return otherwise
    position = np.where(flags[order], np.arange(len(order)), -1)
    last = np.maximum.reduceat(position, starts)
    return np.where(last < 0, otherwise, order[last])


def _by_appliance_and_start(told: _Told, keys: Numbers, chosen: _Rows) -> _Rows:
    """Give the order in which the jobs are told: by appliance, start and, rarely needed, id."""
    # of rows as they are stored the starts rise nearly always: that is quick to sort
    place = np.full(len(keys), -1)
    place[chosen] = np.arange(len(chosen))
    place = place[place >= 0]
    # numbers of 16 bits are what numpy sorts in no time
    names, starts = (keys[chosen] >> np.uint64(BITS)).astype(np.uint16), told.start[chosen]
    place = place[np.argsort(starts[place], kind="stable")]
    place = place[np.argsort(names[place], kind="stable")]
    same = (np.diff(names[place]) == 0) & (np.diff(starts[place]) == 0)
    if not same.any():
        return place
    tied = _with_neighbours(same)
    who = place[tied]
    ids = pc.rank(told.jobs(chosen[who]).cast(pa.string()), tiebreaker="min")
    place[tied] = who[np.lexsort((ids.to_numpy(), starts[who], names[who]))]
    return place


def _vanished(keys: Numbers, told: _Told, newest: _Rows) -> _Numbers:
    """Give when each job was first seen to be gone since it was last told; int64's least if not."""
    when = np.full(len(newest), _NONE)
    gone = np.flatnonzero(told.gone)
    if len(newest) and len(gone):
        job = np.minimum(np.searchsorted(keys[newest], keys[gone]), len(newest) - 1)
        since = (keys[newest[job]] == keys[gone]) & (told.time[gone] > told.time[newest[job]])
        job, times = job[since], told.time[gone[since]]
        when[job] = _LAST
        np.minimum.at(when, job, times)
    return when


def _outcomes(status: pa.Array) -> pa.Array:
    """Give what became of each job, by its status."""
    if pa.types.is_dictionary(status.type):  # each of the few texts is looked at once
        words = pa.concat_arrays([_outcomes(status.dictionary), pa.array([_OTHER], _TEXT)])
        return pa.DictionaryArray.from_arrays(status.indices.fill_null(len(words) - 1), words)
    word = pc.index_in(status, value_set=pa.array(list(OUTCOME), status.type))
    outcomes = pa.array([*OUTCOME.values(), _OTHER], _TEXT)
    return outcomes.take(word.fill_null(len(OUTCOME)))


def _among(texts: pa.Array, words: Iterable[str]) -> _Flags:
    """Tell which of some texts is one of these words."""
    if not pa.types.is_dictionary(texts.type):
        return _flags(pc.is_in(texts, value_set=pa.array(sorted(words), texts.type)))
    return _flags(pa.array(_among(texts.dictionary, words)).take(texts.indices))


def _int64(times: pa.Array) -> _Numbers:
    """Give times as microseconds since 1970; numpy's own detour would make a float of them."""
    stamps: _Numbers = times.cast(pa.int64()).fill_null(_LAST).to_numpy()
    return stamps


def _times(stamps: _Numbers) -> pa.Array:
    # to say which are missing would be to write them anew: what numpy takes for none does as well
    return pa.array(stamps).view(_UTC)


def _flags(values: pa.Array) -> _Flags:
    flags: _Flags = values.fill_null(False).to_numpy(zero_copy_only=False)  # it is a value
    return flags


def _side_by_side(action: Callable[[_T], _U], many: Iterable[_T]) -> list[_U]:
    """Do it with each, in as many threads as Arrow takes: numpy and Arrow let others work."""
    with ThreadPoolExecutor(pa.cpu_count()) as pool:
        return list(pool.map(action, many))
