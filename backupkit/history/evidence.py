"""Indexed read of the rows that an evaluation of a period needs.

`backupkit.analysis.restrict_to_period` has the exact rule; this module reads at least those rows.
For each appliance it reads the jobs of the period and a fixed number before it. Where that is not
enough, for example after a long series of failures, it reads more, in the end all.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backupkit.history.databases import Reader
from backupkit.history.queries import (
    Filter,
    cadence_table,
    has_newer,
    head_at,
    read_table,
    read_view,
    with_durations,
)
from backupkit.history.rows import select, to_frame
from backupkit.history.schema import JOB_SECOND, JOB_TIME, OUTCOME_IDS
from backupkit.tables import JOBS, POLLS, SCHEDULES, TOTALS, HistoryView
from backupkit.tables.constants import (
    BASELINE_RUNS,
    DUPLICATE_JOBS,
    GROWTH_SIZES,
    LARGEST_SUM,
    RECENT,
    SLOT_MARGIN,
    TOLERATED_SKEW,
)

__all__ = ["read_evidence"]

_Numbers = npt.NDArray[np.int64]

_FIRST: Final = GROWTH_SIZES + BASELINE_RUNS + 20
_FACTOR: Final = 8
"""Jobs before the period in the first read, and the factor for each further read.

A further read costs more than some surplus rows.
"""

_SECOND: Final = 1_000_000  # us
_US: Final = np.timedelta64(1, "us")
_MARGIN: Final = int((RECENT + SLOT_MARGIN) / _US)
_ALWAYS: Final = np.iinfo(np.int64).min // 2  # before all times
_NEVER: Final = np.iinfo(np.int64).max


def read_evidence(reader: Reader, wanted: Filter, *, start: int, end: int, now: int) -> HistoryView:
    """Read what an evaluation of a period needs [us since 1970; the period is half-open].

    The totals of everything are missing if a view of an earlier moment had to be read.
    """
    moment = now if wanted.at is None else wanted.at
    if has_newer(reader, moment):
        return read_view(reader, Filter(at=moment, appliances=wanted.appliances))
    schedules = read_table(reader, SCHEDULES, wanted)
    polls = _polls(reader, wanted, end)
    appliances = _totals(reader, wanted)
    jobs = _jobs(reader, appliances, _skews(polls), _most_kept(schedules), start=start, end=end)
    totals = TOTALS.conform(appliances.drop(columns="id"))
    return HistoryView(jobs, polls, schedules, totals, head_at(reader, moment) or None)


def _totals(reader: Reader, wanted: Filter) -> pd.DataFrame:
    """Return the sums of each appliance, and its number."""
    names = ["polls", "polls_ok", "jobs", "oldest_start", "sized_jobs", "sized_bytes"]
    types = {"id": "integer", "name": "text", **dict.fromkeys(names, "integer")}
    # also an appliance with only polls that count as neither good nor failed
    named = "(jobs > 0 OR EXISTS (SELECT 1 FROM polls p WHERE p.appliance_id = appliances.id))"
    condition = " AND ".join([named, *wanted.owners(reader, "id")])
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


def _polls(reader: Reader, wanted: Filter, end: int) -> pd.DataFrame:
    """Read the polls that coverage needs: first, newest, and those that make the cadence."""
    columns, types = select("polls", POLLS.names, "p.")
    owners = " AND ".join(["a.id > 0", *wanted.owners(reader, "a.id")])

    def one(condition: str, order: str) -> str:
        return (
            f"(SELECT q.polled_at FROM polls q WHERE q.appliance_id = a.id AND {condition} "
            f"ORDER BY q.polled_at {order} LIMIT 1)"
        )

    newest_good = one("q.ok = 1", "DESC")
    singles = " UNION ".join(
        f"SELECT a.id, {single} FROM appliances a WHERE {owners}"
        for single in (
            one("q.ok IS NOT NULL", "ASC"),
            one("q.ok IS NOT NULL", "DESC"),
            one("q.ok = 1", "ASC"),
            one(f"q.ok = 1 AND q.polled_at <= {end}", "DESC"),
            one(f"q.ok IS NOT NULL AND q.polled_at > {newest_good}", "ASC"),
        )
    )
    rows = reader.table(
        f"WITH RECURSIVE {cadence_table(owners)}, w (appliance_id, polled_at) AS ("
        f"SELECT appliance_id, polled_at FROM c UNION {singles}) "
        f"SELECT {columns} FROM w JOIN polls p "
        "ON p.appliance_id = w.appliance_id AND p.polled_at = w.polled_at",
        types,
    )
    return to_frame(reader, POLLS, rows, by=["polled_at", "appliance"])


def _skews(polls: pd.DataFrame) -> dict[str, int]:
    """Return the clock skew of the appliances where it is large enough to count [us]."""
    good = polls[polls["ok"].fillna(value=False).astype("bool")]
    skew = good.drop_duplicates("appliance", keep="last").set_index("appliance")["clock_skew"]
    large = skew[skew.abs() > TOLERATED_SKEW].astype("int64")
    return {str(name): int(value) for name, value in large.items()}


def _most_kept(schedules: pd.DataFrame) -> int:
    """Return the most backups that any schedule keeps."""
    kept = schedules["max_count"].max()
    return 0 if pd.isna(kept) else int(kept)


def _jobs(
    reader: Reader,
    appliances: pd.DataFrame,
    skews: Mapping[str, int],
    kept: int,
    *,
    start: int,
    end: int,
) -> pd.DataFrame:
    """Read the newest jobs, and more for appliances that need older ones."""
    columns, types = select("jobs", JOBS.names, "j.")
    types = {"id": "integer"} | types | {"job_time": "integer"}
    listed = f"j.id, {columns}, {JOB_TIME} AS job_time"
    shift = pd.Series({name: skews.get(name, 0) for name in appliances.index}, dtype="int64")
    begin = start + shift  # by the appliance's clock
    numbers = ", ".join(map(str, appliances["id"]))
    still_open = reader.table(
        f"SELECT {listed} FROM jobs j "
        f"WHERE j.outcome = {OUTCOME_IDS['open']} AND j.appliance_id IN ({numbers or 'NULL'})",
        types,
    )
    number = _FIRST
    found: list[pa.Table] = [still_open]
    asked = appliances["id"]
    judged = begin.combine(_earliest(still_open, asked), min)
    while len(asked):
        since = _since(reader, asked, begin, number)
        values = ", ".join(
            f"({number}, {moment})"
            for number, moment in zip(asked.to_list(), since.to_list(), strict=True)
        )
        rows = reader.table(
            f"SELECT {listed} FROM (VALUES {values}) AS v JOIN jobs j "
            f"ON j.appliance_id = v.column1 AND {JOB_SECOND} >= v.column2 / {_SECOND}",
            types,
        )
        enough = _is_enough(rows, asked, since, begin, judged, end + shift, kept)
        done = pa.array(asked[enough].to_numpy())
        found.append(rows.filter(pc.is_in(rows["appliance"], value_set=done)))
        asked = asked[~enough]
        number *= _FACTOR
    rows = pa.concat_tables(found)
    _, first = np.unique(rows["id"].to_numpy(), return_index=True)
    rows = rows.take(pa.array(first)).drop_columns(["id", "job_time"])
    return to_frame(reader, JOBS, with_durations(rows), by=["appliance", "start_time", "job_id"])


def _earliest(jobs: pa.Table, appliances: pd.Series) -> pd.Series:
    """Return the earliest start of some jobs of each appliance; `_NEVER` without a job."""
    began = pd.Series(jobs["start_time"].fill_null(_NEVER).to_numpy())
    first = began.groupby(jobs["appliance"].to_numpy()).min()
    found = first.reindex(appliances.to_numpy(), fill_value=_NEVER).to_numpy()
    return pd.Series(found, appliances.index)


def _since(reader: Reader, asked: pd.Series, begin: pd.Series, number: int) -> pd.Series:
    """Return the time from which to read, so that `number` jobs are before the period."""
    values = ", ".join(
        f"({one}, {begin[name]})" for name, one in zip(asked.index, asked, strict=True)
    )
    rows = reader.rows(
        "SELECT v.column1 AS id, ("
        f"SELECT {JOB_SECOND} FROM jobs WHERE appliance_id = v.column1 "
        f"AND {JOB_SECOND} < v.column2 / {_SECOND} "
        f"ORDER BY {JOB_SECOND} DESC LIMIT 1 OFFSET {number - 1}) * {_SECOND} AS since "
        f"FROM (VALUES {values}) AS v",
        {"id": "integer", "since": "integer"},
    )
    since = dict(rows)
    latest = begin[asked.index] - _MARGIN
    moments = [_ALWAYS if since[one] is None else since[one] for one in asked]
    return pd.Series(np.minimum(moments, latest), index=asked.index, dtype="int64")


def _is_enough(
    rows: pa.Table,
    asked: pd.Series,
    since: pd.Series,
    begin: pd.Series,
    judged: pd.Series,
    end: pd.Series,
    kept: int,
) -> npt.NDArray[np.bool_]:
    """Return a mask of the appliances whose rows suffice for an evaluation."""
    size = len(asked)
    names = asked.index
    owner = pd.Index(asked).get_indexer(pd.Index(rows["appliance"].to_numpy()))
    from_, first, oldest, last = (one[names].to_numpy() for one in (since, begin, judged, end))
    columns: dict[str, Any] = {
        name: rows[name].fill_null(_NEVER).to_numpy()
        for name in ("start_time", "end_time", "size", "outcome", "job_time")
    }
    began, ended, time = columns["start_time"], columns["end_time"], columns["job_time"]
    outcome = columns["outcome"]
    success = (outcome == OUTCOME_IDS["success"]) & (time != _NEVER)
    started = began != _NEVER
    sized = success & (columns["size"] != _NEVER) & (columns["size"] >= 0)

    def count(chosen: npt.NDArray[np.bool_]) -> _Numbers:
        return np.bincount(owner[chosen], minlength=size)

    def newest(values: _Numbers, chosen: npt.NDArray[np.bool_]) -> _Numbers:
        most = np.full(size, _ALWAYS)
        np.maximum.at(most, owner[chosen], values[chosen])
        return most

    inside = success & (time >= first[owner]) & (time < last[owner])
    oldest = oldest.copy()
    np.minimum.at(oldest, owner[inside & started], began[inside & started])
    before = success & (time < first[owner])
    until = time <= last[owner]
    earlier = time < oldest[owner]
    timed = success & started & (ended != _NEVER) & (ended >= began)
    recent = np.minimum(newest(time, before), newest(began, before & started))
    everything = from_ == _ALWAYS
    enough: npt.NDArray[np.bool_] = everything | (
        (count(sized & started & until) >= max(GROWTH_SIZES, kept))
        & (count(timed & earlier) >= BASELINE_RUNS)
        & (count(sized & earlier) >= BASELINE_RUNS)
        & (np.minimum(recent, first - int(RECENT / _US)) - int(SLOT_MARGIN / _US) >= from_)
        & (newest(began, started & until & (outcome != OUTCOME_IDS["void"])) >= from_)
        & (count(started & (ended != _NEVER) & (began >= from_[owner])) >= DUPLICATE_JOBS)
    )
    return enough
