"""Indexed read of the rows that an evaluation of a period needs.

`backupkit.analysis.restrict_to_period` has the exact rule; this module reads at least those rows.
For each appliance it reads the jobs of the period and a fixed number before it. Where that is not
enough, for example after a long series of failures, it reads more, in the end all. It reads all of
an appliance whose last success before the period is on the appliance itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backupkit.history.databases import Reader
from backupkit.history.queries import (
    Filter,
    add_durations,
    find_head,
    has_newer_rows,
    read_table,
    read_view,
)
from backupkit.history.rows import to_frame
from backupkit.history.schema import JOB_SECOND, LIST_READ, OUTCOME_IDS
from backupkit.history.stored import build_select_list
from backupkit.history.thinning import build_cadence_table
from backupkit.tables import (
    JOBS,
    POLLS,
    SCHEDULES,
    TOTALS,
    HistoryView,
    find_implausible_times,
    find_set_clocks,
    list_measured_skews,
    mark_local_jobs,
)
from backupkit.tables.constants import (
    BASELINE_RUNS,
    DUPLICATE_JOBS,
    GROWTH_SIZES,
    LARGEST_SUM,
    RECENT,
    SLOT_MARGIN,
    SPREAD_RUNS,
    TOLERATED_SKEW,
)

__all__ = ["read_evidence"]

_Numbers = npt.NDArray[np.int64]

_PAST_RUNS: Final = SPREAD_RUNS + BASELINE_RUNS
_FIRST_READ_JOBS: Final = max(GROWTH_SIZES, _PAST_RUNS) + 20
_READ_FACTOR: Final = 8
"""Jobs before the period in the first read, and the factor for each further read.

A further read costs more than some surplus rows.
"""

_SECOND: Final = 1_000_000  # us
_MICROSECOND: Final = np.timedelta64(1, "us")
_MARGIN: Final = int((RECENT + SLOT_MARGIN) / _MICROSECOND)
_MIN_TIME: Final = np.iinfo(np.int64).min // 2  # before all times
_MAX_TIME: Final = np.iinfo(np.int64).max
_NO_TIME: Final = np.datetime64("NaT", "us")


def read_evidence(
    reader: Reader,
    wanted: Filter,
    *,
    start: int,
    end: int,
    now: int,
    hosts: Mapping[str, str],
) -> HistoryView:
    """Read what an evaluation of a period needs [us since 1970; the period is half-open].

    `hosts` has the host of each appliance, to find the backups on the appliance itself.
    The totals of everything are missing if a view of an earlier moment had to be read.
    """
    moment = now if wanted.at is None else wanted.at
    if has_newer_rows(reader, moment):
        return read_view(reader, Filter(at=moment, appliances=wanted.appliances))
    schedules = read_table(reader, SCHEDULES, wanted)
    polls = _read_polls(reader, wanted, start, end)
    times = {"start": _to_timestamp(start), "end": _to_timestamp(end)}
    set_clocks = find_set_clocks(polls, **times)
    if set_clocks:
        polls = _add_measured_skews(reader, polls, set_clocks)
    appliances = _read_totals(reader, wanted)
    jobs = _read_jobs(
        reader,
        appliances,
        _find_large_skews(polls),
        _find_largest_retention(schedules),
        set_clocks,
        hosts,
        start=start,
        end=end,
    )
    totals = TOTALS.conform(appliances.drop(columns="id"))
    return HistoryView(jobs, polls, schedules, totals, find_head(reader, moment) or None)


def _read_totals(reader: Reader, wanted: Filter) -> pd.DataFrame:
    """Return the sums of each appliance, and its number."""
    names = ["polls", "polls_ok", "jobs", "oldest_start", "sized_jobs", "sized_bytes"]
    types = {"id": "integer", "name": "text", **dict.fromkeys(names, "integer")}
    # also an appliance with only polls that count as neither good nor failed
    named = "(jobs > 0 OR EXISTS (SELECT 1 FROM polls p WHERE p.appliance_id = appliances.id))"
    condition = " AND ".join([named, *wanted.build_appliance_conditions(reader, "id")])
    rows = reader.table(
        f"SELECT id, name, {', '.join(names)} FROM appliances WHERE {condition}",
        types,
    )
    frame = pd.DataFrame({name: pd.array(rows[name].to_pylist(), "Int64") for name in names})
    frame.insert(0, "id", rows["id"].to_pylist())
    frame.index = pd.Index(rows["name"].to_pylist(), dtype="str", name="appliance")
    frame["oldest_start"] = pd.to_datetime(frame["oldest_start"], unit="us", utc=True)
    sums = frame["sized_bytes"]
    frame["sized_bytes"] = sums.mask((frame["sized_jobs"] == 0) | (sums > LARGEST_SUM))
    return frame.sort_index()


def _to_timestamp(moment: int) -> pd.Timestamp:
    return pd.Timestamp(moment, unit="us", tz="UTC")


def _add_measured_skews(
    reader: Reader, polls: pd.DataFrame, appliances: frozenset[str]
) -> pd.DataFrame:
    """Add all good polls with a clock skew of the appliances whose clock was set."""
    columns, types = build_select_list("polls", POLLS.names, "p.")
    names = Filter(appliances=tuple(sorted(appliances)))
    owners = " AND ".join(names.build_appliance_conditions(reader, "p.appliance_id"))
    read = LIST_READ.format("p.")
    rows = reader.table(
        f"SELECT {columns} FROM polls p WHERE {owners} AND {read} = 1 AND p.clock_skew IS NOT NULL",
        types,
    )
    by = ["polled_at", "appliance"]
    combined = pd.concat([polls, to_frame(reader, POLLS, rows, by=by)], ignore_index=True)
    return combined.drop_duplicates(by).sort_values(by, ignore_index=True)


def _read_polls(reader: Reader, wanted: Filter, start: int, end: int) -> pd.DataFrame:
    """Read the polls that coverage needs: first, newest, and those that make the cadence."""
    columns, types = build_select_list("polls", POLLS.names, "p.")
    owners = " AND ".join(["a.id > 0", *wanted.build_appliance_conditions(reader, "a.id")])

    def one(condition: str, order: str) -> str:
        return (
            f"(SELECT q.polled_at FROM polls q WHERE q.appliance_id = a.id AND {condition} "
            f"ORDER BY q.polled_at {order} LIMIT 1)"
        )

    read = LIST_READ.format("q.")
    newest_good = one(f"{read} = 1", "DESC")
    newest_good_by_end = one(f"{read} = 1 AND q.polled_at <= {end}", "DESC")
    measured = f"{read} = 1 AND q.clock_skew IS NOT NULL"
    single_polls = " UNION ".join(
        f"SELECT a.id, {single} FROM appliances a WHERE {owners}"
        for single in (
            one(f"{read} IS NOT NULL", "ASC"),
            one(f"{read} IS NOT NULL", "DESC"),
            one(f"{read} = 1", "ASC"),
            newest_good_by_end,
            one(f"{read} IS NOT NULL AND q.polled_at <= {end}", "DESC"),
            one(f"{read} = 1 AND q.schedules_read IS NOT NULL", "ASC"),
            one(f"{read} = 1 AND q.details = 1 AND q.schedules_error IS NULL", "ASC"),
            one(f"{read} IS NOT NULL AND q.polled_at > {newest_good}", "ASC"),
            one(f"{read} IS NOT NULL AND q.polled_at > {newest_good_by_end}", "ASC"),
            one(measured, "ASC"),
            one(measured, "DESC"),
            one(f"{measured} AND q.polled_at <= {start}", "DESC"),
            one(f"{measured} AND q.polled_at <= {end}", "DESC"),
        )
    )
    rows = reader.table(
        f"WITH RECURSIVE {build_cadence_table(owners)}, w (appliance_id, polled_at) AS ("
        f"SELECT appliance_id, polled_at FROM c UNION {single_polls}) "
        f"SELECT {columns} FROM w JOIN polls p "
        "ON p.appliance_id = w.appliance_id AND p.polled_at = w.polled_at",
        types,
    )
    return to_frame(reader, POLLS, rows, by=["polled_at", "appliance"])


def _find_large_skews(polls: pd.DataFrame) -> dict[str, int]:
    """Return the clock skew of the appliances where it is large enough to count [us]."""
    newest = list_measured_skews(polls).drop_duplicates("appliance", keep="last")
    skew = newest.set_index("appliance")["clock_skew"]
    large = skew[skew.abs() > TOLERATED_SKEW].astype("int64")
    return {str(name): int(value) for name, value in large.items()}


def _find_largest_retention(schedules: pd.DataFrame) -> int:
    """Return the most backups that any schedule keeps."""
    kept = schedules["max_count"].max()
    return 0 if pd.isna(kept) else int(kept)


def _read_jobs(
    reader: Reader,
    appliances: pd.DataFrame,
    skews: Mapping[str, int],
    retention: int,
    set_clocks: frozenset[str],
    hosts: Mapping[str, str],
    *,
    start: int,
    end: int,
) -> pd.DataFrame:
    """Read the newest jobs, and more for appliances that need older ones."""
    columns, types = build_select_list("jobs", JOBS.names, "j.")
    types = {"id": "integer"} | types
    listed = f"j.id, {columns}"
    skew = pd.Series({name: skews.get(name, 0) for name in appliances.index}, dtype="int64")
    period_starts = start + skew.clip(upper=0)  # in SQL, times are not corrected
    period_starts[period_starts.index.isin(set_clocks)] = _MIN_TIME  # all are read
    numbers = ", ".join(map(str, appliances["id"]))
    still_open = reader.table(
        f"SELECT {listed} FROM jobs j "
        f"WHERE j.outcome = {OUTCOME_IDS['open']} AND j.appliance_id IN ({numbers or 'NULL'})",
        types,
    )
    number = _FIRST_READ_JOBS
    tables: list[pa.Table] = [still_open]
    unread_ids = appliances["id"]
    oldest_needed = _find_earliest_starts(still_open, unread_ids, skew).clip(upper=start)
    while len(unread_ids):
        read_starts = _find_read_starts(reader, unread_ids, period_starts, number)
        values = ", ".join(
            f"({number}, {moment})"
            for number, moment in zip(unread_ids.to_list(), read_starts.to_list(), strict=True)
        )
        rows = reader.table(
            f"SELECT {listed} FROM (VALUES {values}) AS v JOIN jobs j "
            f"ON j.appliance_id = v.column1 AND {JOB_SECOND} >= v.column2 / {_SECOND}",
            types,
        )
        # of times that are corrected, all from here on are read
        read_starts += (-skew[unread_ids.index]).clip(lower=0)
        times = _correct_times(rows, unread_ids, skew)
        last_runs = rows.take(pa.array(_find_last_successes(rows, times, start=start)))
        has_enough = ~unread_ids.index.isin(_find_local(reader, last_runs, hosts))
        has_enough &= _has_enough_jobs(
            rows,
            times,
            unread_ids,
            read_starts,
            oldest_needed,
            start=start,
            end=end,
            retention=retention,
        )
        has_enough |= (read_starts < _MIN_TIME // 2).to_numpy()  # all are read
        finished_ids = pa.array(unread_ids[has_enough].to_numpy())
        tables.append(rows.filter(pc.is_in(rows["appliance"], value_set=finished_ids)))
        unread_ids = unread_ids[~has_enough]
        number *= _READ_FACTOR
    rows = pa.concat_tables(tables)
    _, first = np.unique(rows["id"].to_numpy(), return_index=True)
    rows = rows.take(pa.array(first)).drop_columns(["id"])
    return to_frame(reader, JOBS, add_durations(rows), by=["appliance", "start_time", "job_id"])


@dataclass(frozen=True, slots=True)
class _Times:
    """Times of jobs as an evaluation uses them [us since 1970]; `_MAX_TIME` if not known.

    They are corrected for clock skew. Those that are not plausible are not known.
    """

    started: _Numbers
    ended: _Numbers
    over: _Numbers


def _correct_times(jobs: pa.Table, appliances: pd.Series, skew: pd.Series) -> _Times:
    owner = pd.Index(appliances).get_indexer(pd.Index(jobs["appliance"].to_numpy()))
    shift = skew[appliances.index].to_numpy()[owner].astype("timedelta64[us]")
    started, ended, seen = (
        jobs[name].cast(pa.timestamp("us")).to_numpy()
        for name in ("start_time", "end_time", "last_seen_at")
    )
    started, ended = (
        np.where(find_implausible_times(times, seen, shift), _NO_TIME, times) - shift
        for times in (started, ended)
    )
    over = np.fmax(started, np.where(np.isnat(ended), seen, ended))
    return _Times(
        *(
            np.where(np.isnat(times), _MAX_TIME, times.astype(np.int64))
            for times in (started, ended, over)
        )
    )


def _find_earliest_starts(jobs: pa.Table, appliances: pd.Series, skew: pd.Series) -> pd.Series:
    """Return the earliest start of some jobs of each appliance; `_MAX_TIME` without a job."""
    began = pd.Series(_correct_times(jobs, appliances, skew).started)
    first = began.groupby(jobs["appliance"].to_numpy()).min()
    found = first.reindex(appliances.to_numpy(), fill_value=_MAX_TIME).to_numpy()
    return pd.Series(found, appliances.index)


def _find_read_starts(
    reader: Reader, appliance_ids: pd.Series, period_starts: pd.Series, job_count: int
) -> pd.Series:
    """Return the time from which to read, so that `job_count` jobs are before the period."""
    values = ", ".join(
        f"({one}, {period_starts[name]})"
        for name, one in zip(appliance_ids.index, appliance_ids, strict=True)
    )
    rows = reader.rows(
        "SELECT v.column1 AS id, ("
        f"SELECT {JOB_SECOND} FROM jobs WHERE appliance_id = v.column1 "
        f"AND {JOB_SECOND} < v.column2 / {_SECOND} "
        f"ORDER BY {JOB_SECOND} DESC LIMIT 1 OFFSET {job_count - 1}) * {_SECOND} AS since "
        f"FROM (VALUES {values}) AS v",
        {"id": "integer", "since": "integer"},
    )
    since = dict(rows)
    latest = period_starts[appliance_ids.index] - _MARGIN
    moments = [_MIN_TIME if since[one] is None else since[one] for one in appliance_ids]
    return pd.Series(np.minimum(moments, latest), index=appliance_ids.index, dtype="int64")


def _find_last_successes(jobs: pa.Table, times: _Times, *, start: int) -> _Numbers:
    """Return the rows of the last success before the period, by its end and by its start."""
    known = (times.over < start) & (
        jobs["outcome"].fill_null(0).to_numpy() == OUTCOME_IDS["success"]
    )
    rows = np.flatnonzero(known)
    owners = jobs["appliance"].to_numpy()[rows]
    found = []
    for values in (
        times.over[rows],
        np.where(times.started == _MAX_TIME, _MIN_TIME, times.started)[rows],
    ):
        order = np.lexsort((values, owners))
        last = np.append(owners[order][1:] != owners[order][:-1], np.True_)[: len(order)]
        found.append(rows[order[last]])
    return np.unique(np.concatenate(found))


def _find_local(reader: Reader, jobs: pa.Table, hosts: Mapping[str, str]) -> pd.Series:
    """Return the appliances of the jobs that are on the appliance itself."""
    frame = to_frame(reader, JOBS, jobs, columns=("appliance", "type", "location"))
    return frame.loc[mark_local_jobs(frame, hosts), "appliance"]


def _has_enough_jobs(
    rows: pa.Table,
    times: _Times,
    appliance_ids: pd.Series,
    read_starts: pd.Series,
    oldest_needed: pd.Series,
    *,
    start: int,
    end: int,
    retention: int,
) -> npt.NDArray[np.bool_]:
    """Return a mask of the appliances whose rows suffice for an evaluation."""
    size = len(appliance_ids)
    names = appliance_ids.index
    owner = pd.Index(appliance_ids).get_indexer(pd.Index(rows["appliance"].to_numpy()))
    read_start, oldest = (one[names].to_numpy() for one in (read_starts, oldest_needed))
    sizes, outcome = (rows[name].fill_null(_MAX_TIME).to_numpy() for name in ("size", "outcome"))
    began, ended, time = times.started, times.ended, times.over
    success = (outcome == OUTCOME_IDS["success"]) & (time != _MAX_TIME)
    started = began != _MAX_TIME
    sized = success & (sizes != _MAX_TIME) & (sizes >= 0)

    def count(chosen: npt.NDArray[np.bool_]) -> _Numbers:
        return np.bincount(owner[chosen], minlength=size)

    def newest(values: _Numbers, chosen: npt.NDArray[np.bool_]) -> _Numbers:
        most = np.full(size, _MIN_TIME)
        np.maximum.at(most, owner[chosen], values[chosen])
        return most

    inside = success & (time >= start) & (time < end)
    oldest = oldest.copy()
    np.minimum.at(oldest, owner[inside & started], began[inside & started])
    before = success & (time < start)
    until = time <= end
    earlier = time < oldest[owner]
    timed = success & started & (ended != _MAX_TIME) & (ended >= began)
    recent = np.minimum(newest(time, before), newest(began, before & started))
    has_read_all = read_start < _MIN_TIME // 2
    enough: npt.NDArray[np.bool_] = has_read_all | (
        (count(sized & started & until) >= max(GROWTH_SIZES, retention))
        & (count(timed & earlier) >= _PAST_RUNS)
        & (count(sized & earlier) >= _PAST_RUNS)
        & (
            np.minimum(recent, start - int(RECENT / _MICROSECOND)) - int(SLOT_MARGIN / _MICROSECOND)
            >= read_start
        )
        & (newest(began, started & until & (outcome != OUTCOME_IDS["void"])) >= read_start)
        & (count(started & (ended != _MAX_TIME) & (began >= read_start[owner])) >= DUPLICATE_JOBS)
    )
    return enough
