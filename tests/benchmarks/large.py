"""A large history, appended many nights at a time: by single nights it would take an hour."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

import backupkit as bk
from backupkit.tables import OBSERVATIONS, POLLS, SCHEDULES

__all__ = ["NIGHT", "YEAR", "large_history", "list_names", "one_night"]

NIGHT: Final = pd.Timestamp("2023-11-01T01:00Z")
"""When the first night's jobs begin."""

YEAR: Final = 365
"""Nights at the end of a history of which the polls are kept."""

_AT_ONCE = 50_000
"""Jobs that one append brings."""

_FAILURES = 0.04
_UTC = pa.timestamp("us", tz="UTC")


def large_history(
    target: str | Path, *, appliances: int, nights: int, first: pd.Timestamp = NIGHT
) -> bk.History:
    """Make a history of a job of each appliance each night, and a poll each night of a year.

    Parameters
    ----------
    target : str or Path
        A new place.
    appliances, nights : int
        How many; one job in 25 failed.
    first : Timestamp
        When the first night's jobs begin.

    Returns
    -------
    History
        Its polls are not thinned out.
    """
    history = bk.History(target, keep_polls=None)
    step = max(1, _AT_ONCE // appliances)
    for begin in range(0, nights, step):
        some = range(begin, min(nights, begin + step))
        history.append(some_nights(appliances, some, polled=nights - YEAR, first=first))
    return history


def list_names(appliances: int) -> list[str]:
    """Return the names of the appliances."""
    return [f"vc-{number:04}.example.com" for number in range(appliances)]


def one_night(appliances: int, night: int) -> SimpleNamespace:
    """Return the snapshot of a collection after one night."""
    return some_nights(appliances, range(night, night + 1))


def some_nights(
    appliances: int, nights: range, *, polled: int = 0, first: pd.Timestamp = NIGHT
) -> SimpleNamespace:
    """Return the snapshot of some nights, with polls from one night on."""
    names = np.array(list_names(appliances), dtype=object)
    random = np.random.default_rng(nights.start)
    size = appliances * len(nights)
    who = np.tile(np.arange(appliances), len(nights))
    night = np.repeat(np.array(nights), appliances)
    midnight = np.datetime64(first.tz_localize(None), "us") + night * np.timedelta64(1, "D")
    # each starts at its own time every night
    start = midnight + (who % 3_600) * np.timedelta64(1, "s")
    length = random.integers(600, 1_800, size) * np.timedelta64(1, "s")
    seen = midnight + np.timedelta64(5, "h") + random.integers(0, 60_000_000, size)
    failed = random.random(size) < _FAILURES
    word = np.where(failed, "FAILED", "SUCCEEDED")
    why: list[dict[str, Any]] = [
        {"id": "x", "default_message": "Disk full.", "args": [], "localized": None}
    ]
    kinds = pa.array([[], why], type=OBSERVATIONS.arrow_schema.field("messages").type)
    days = pd.Series(start).dt.strftime("%Y%m%d-%H%M%S-24322831")
    columns = {
        "appliance": pa.array(names[who]),
        "job_id": pa.array(days.to_numpy()),
        "observed_at": pa.array(seen).cast(_UTC),
        "state": pa.array(word),
        "status": pa.array(word),
        "progress": pa.array(np.full(size, 100.0)),
        "start_time": pa.array(start).cast(_UTC),
        "end_time": pa.array(start + length).cast(_UTC),
        "messages": kinds.take(pa.array(failed.astype(np.int8))),
        "type": pa.array(["SCHEDULED"] * size),
        "size": pa.array(random.integers(4_000_000_000, 6_000_000_000, size)),
        "location": pa.array([f"sftp://nas-{one % 20}.example.com/vc/{one}" for one in who]),
        "build": pa.array(["24322831"] * size),
        "source": pa.array(["details"] * size),
    }
    schema = OBSERVATIONS.arrow_schema
    missing = {name: pa.nulls(size) for name in schema.names if name not in columns}
    rows = pa.table(columns | missing).select(schema.names).cast(schema)
    polls: dict[str, Any] = {
        "appliance": names[who],
        "polled_at": pd.Series(seen).dt.tz_localize("UTC"),
        "ok": [True] * size,
        "api": ["api"] * size,
        "version": ["8.0.3.00400"] * size,
        "timezone": ["Etc/UTC"] * size,
        "details": [True] * size,
        "requests": [4] * size,
        "elapsed": pd.Series(random.integers(20_000, 90_000, size).astype("timedelta64[us]")),
        "clock_skew": pd.Series(random.integers(-900, 900, size).astype("timedelta64[ms]")),
        "jobs_listed": [30] * size,
        "jobs_changed": [1] * size,
    }
    plans: dict[str, Any] = {
        "appliance": names,
        "schedule": ["default"] * appliances,
        "seen_at": [pd.Timestamp(seen[0], tz="UTC")] * appliances,
        "enabled": [True] * appliances,
        "hour": [1] * appliances,
        "minute": [0] * appliances,
        "timezone": ["UTC"] * appliances,
        "max_count": [30] * appliances,
    }
    return SimpleNamespace(
        observations=OBSERVATIONS.from_arrow(rows),
        polls=POLLS.frame(polls)[night >= polled].reset_index(drop=True),
        schedules=SCHEDULES.frame(plans),
    )
