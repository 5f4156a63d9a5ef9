"""A large history, written table by table: a real one of this size would take months of rounds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

import backupkit as bk
from backupkit.tables import OBSERVATIONS, POLLS, SCHEDULES, Table

__all__ = ["large_history"]

_FIRST = np.datetime64("2023-11-01", "us")
_SPAN = 3 * 365 * 86_400
"""How long the jobs go back [s]."""

_AT_ONCE = 500_000
"""Observations that are written at once; each such batch is what one visit to each brought."""

_FAILURES = 0.04
_UTC = pa.timestamp("us", tz="UTC")


def large_history(
    folder: Path, *, appliances: int, observations: int, twice: int = 0
) -> bk.History:
    """Make a history of jobs that are evenly spread over three years.

    Parameters
    ----------
    folder : Path
        A new folder.
    appliances, observations : int
        How many, or a few less; one job in 25 failed.
    twice : int
        One in so many jobs was seen running, too; by default none.

    Returns
    -------
    History
        Sealed and tidied.
    """
    history = bk.History(folder)
    names = [f"vc-{number:04}.example.com" for number in range(appliances)]
    number = observations if not twice else observations * twice // (twice + 1)
    each = number // appliances
    step = max(60, _SPAN // each)
    at_once = max(1, _AT_ONCE // appliances)
    random = np.random.default_rng(3)
    moments = []
    batches = _batches(np.array(names, dtype=object), each, step, at_once, random)
    seen = (one for batch in batches for one in _seen(*batch, twice))
    for rows, moment in seen:
        _write(history, OBSERVATIONS, rows)
        moments.append(moment)
        polls: dict[str, Any] = {
            "appliance": names,
            "polled_at": [moment] * appliances,
            "ok": [True] * appliances,
        }
        _write(history, POLLS, POLLS.to_arrow(POLLS.frame(polls)))
    plans = SCHEDULES.frame(
        {
            "appliance": names,
            "schedule": ["default"] * appliances,
            "seen_at": [moments[0]] * appliances,
            "enabled": [True] * appliances,
            "hour": [1] * appliances,
            "minute": [0] * appliances,
            "timezone": ["UTC"] * appliances,
            "max_count": [30] * appliances,
        }
    )
    _write(history, SCHEDULES, SCHEDULES.to_arrow(plans))
    history.compact()
    return history


def _write(history: bk.History, table: Table, rows: pa.Table) -> None:
    """Write rows as an append does, without looking for what is known."""
    history._store.tables[table.name].write(rows, run="large")


def _seen(
    rows: pa.Table, moment: pd.Timestamp, twice: int
) -> Iterator[tuple[pa.Table, pd.Timestamp]]:
    """Give what one visit told, and before it some of the jobs as they ran."""
    if twice:
        before = moment - pd.Timedelta(minutes=1)
        some = OBSERVATIONS.from_arrow(rows.take(pa.array(range(0, rows.num_rows, twice))))
        ran = some.drop(columns="end_time").assign(
            observed_at=before, state="INPROGRESS", status="INPROGRESS"
        )
        yield OBSERVATIONS.to_arrow(OBSERVATIONS.conform(ran)), before
    yield rows, moment


def _batches(
    names: npt.NDArray[np.object_],
    each: int,
    step: int,
    at_once: int,
    random: np.random.Generator,
) -> Iterator[tuple[pa.Table, pd.Timestamp]]:
    """Give the observations of one visit to each appliance after the other, and its moment."""
    late = random.integers(0, step // 4, len(names))  # they do not all start at once
    for first in range(0, each, at_once):
        jobs = np.arange(first, min(each, first + at_once))
        who, job = np.tile(np.arange(len(names)), len(jobs)), np.repeat(jobs, len(names))
        start = _FIRST + (1_000_000 * (job * step + late[who])).astype("timedelta64[us]")
        length = random.integers(step // 8, step // 2, len(who))
        end = start + (1_000_000 * length).astype("timedelta64[us]")
        seen = _FIRST + np.timedelta64(int(jobs[-1] + 1) * step, "s")
        failed = random.random(len(who)) < _FAILURES
        yield _observations(names[who], start, end, seen, failed), pd.Timestamp(seen, tz="UTC")


def _observations(
    appliance: npt.NDArray[np.object_],
    start: npt.NDArray[np.datetime64],
    end: npt.NDArray[np.datetime64],
    seen: np.datetime64,
    failed: npt.NDArray[np.bool_],
) -> pa.Table:
    """Put columns together without a detour over Python's objects."""
    number = len(start)
    why: list[dict[str, Any]] = [
        {"id": "x", "default_message": "Disk full.", "args": [], "localized": None}
    ]
    kinds = pa.array([[], why], type=OBSERVATIONS.arrow_schema.field("messages").type)
    word = np.where(failed, "FAILED", "SUCCEEDED")
    columns = {
        "appliance": pa.array(appliance),
        "job_id": pa.array(pd.Series(start).dt.strftime("%Y%m%d-%H%M%S").to_numpy()),
        "observed_at": pa.array(np.full(number, seen)).cast(_UTC),
        "state": pa.array(word),
        "status": pa.array(word),
        "progress": pa.array(np.full(number, 100.0)),
        "start_time": pa.array(start).cast(_UTC),
        "end_time": pa.array(end).cast(_UTC),
        "messages": kinds.take(pa.array(failed.astype(np.int8))),
        "type": pa.array(["SCHEDULED"]).take(pa.array(np.zeros(number, np.int8))),
        "size": pa.array((end - start).astype(np.int64)),
        "location": pa.array(["sftp://nas.example.com/vc"]).take(
            pa.array(np.zeros(number, np.int8))
        ),
        "build": pa.array(["24322831"]).take(pa.array(np.zeros(number, np.int8))),
        "source": pa.array(["details"]).take(pa.array(np.zeros(number, np.int8))),
    }
    rows: pa.Table = pa.table(columns).select(OBSERVATIONS.names).cast(OBSERVATIONS.arrow_schema)
    return rows
