"""Frames of a fleet that backs up each night, in the form of each engine."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from backupkit import analysis
from backupkit.analysis.arrays import Times, to_utc_column
from backupkit.policy import Policy
from backupkit.tables import JOBS, POLLS, SCHEDULES
from tests.benchmarks.engines import Question

__all__ = ["PERIOD", "Fleet", "fleet_of"]

PERIOD: Final = 30
"""Days of the usual period."""

ZONES = ("UTC", "Europe/Berlin", "America/New_York")
FIRST = np.datetime64("2024-06-03", "us")
FAILURES = 0.04
SECOND = np.timedelta64(1, "s").astype("timedelta64[us]")
DAY = np.timedelta64(1, "D")
POLLED = np.timedelta64(16 * 60 + 30, "m").astype("timedelta64[us]")
"""When each appliance is polled, after midnight UTC: the night is over everywhere."""

TEXTS = (
    "Disk full on nas-{number}.example.com: {size} bytes missing.",
    "Connection to nas-{number}.example.com timed out after {size} seconds.",
    "The user backup-{number}@example.com has no access to /backup/{size}.",
    "Location sftp://nas-{number}.example.com/vc/{size} is not reachable.",
    "Host key of nas-{number}.example.com has changed.",
    "Backup part common could not be written: error 28 after {size} bytes.",
    "The database dump ended early.",
    "Another backup with id 20250101-01{number:02}00 is in progress.",
)
"""Messages of failed jobs; most are of one job only."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The same fleet in the form of each engine."""

    jobs: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame
    start: pd.Timestamp
    end: pd.Timestamp
    question: Question

    @property
    def size(self) -> int:
        """Bytes of the frames in memory."""
        frames = (self.jobs, self.polls, self.schedules)
        return sum(int(frame.memory_usage(deep=True).sum()) for frame in frames)


def fleet_of(appliances: int, nights: int, *, days: int | None = None) -> Fleet:
    """Make a fleet that is polled after each night, and tries half of its failures again.

    Parameters
    ----------
    appliances, nights : int
        How many.
    days : int, optional
        Length of the period, which ends with the last night. By default, all but the first week.
    """
    random = np.random.default_rng(7)
    names = np.array([f"vc-{number:04}" for number in range(appliances)], dtype=object)
    plan = _plan(names, random)
    schedules = SCHEDULES.frame({str(name): plan[name] for name in plan})
    # in the evening, when the last night is over everywhere
    last = pd.Timestamp(FIRST + nights * DAY, tz="UTC") - pd.Timedelta(hours=6)
    jobs = _jobs(schedules, names, last, random)
    polls = _polls(names, nights, last)
    start = pd.Timestamp(FIRST + 7 * DAY, tz="UTC")
    if days is not None:
        start = max(start, last - pd.Timedelta(days=days))
    return Fleet(jobs, polls, schedules, start, last, _question(jobs, plan, start, last))


def _plan(names: np.ndarray, random: np.random.Generator) -> pd.DataFrame:
    minutes = random.integers(4 * 60, 8 * 60, len(names))  # clocks are changed before
    return pd.DataFrame(
        {
            "appliance": names,
            "enabled": True,
            "schedule": "default",
            "hour": minutes // 60,
            "minute": minutes % 60,
            "timezone": np.array(ZONES, dtype=object)[np.arange(len(names)) % len(ZONES)],
            "location": [f"sftp://nas-{number % 8}.example.com/vc" for number in range(len(names))],
            "max_count": 30,
        }
    )


def _jobs(
    schedules: pd.DataFrame, names: np.ndarray, last: pd.Timestamp, random: np.random.Generator
) -> pd.DataFrame:
    """Return the jobs that end before a moment, by appliance and time."""
    rules = Policy().rules(names)
    nights = analysis.expected_slots(
        schedules,
        fallback=rules["timezone"],
        since=pd.Series(pd.Timestamp(FIRST, tz="UTC"), index=rules.index),
        end=last,
    )
    begun = _naive(nights["slot"]) + random.integers(0, 300, len(nights)) * SECOND
    failed = random.random(len(nights)) < FAILURES
    again = np.flatnonzero(failed & (random.random(len(nights)) < 0.5))
    owner = np.concatenate([np.arange(len(nights)), again])
    begun = np.concatenate([begun, begun[again] + 7_200 * SECOND])
    failed = np.concatenate([failed, random.random(len(again)) < FAILURES])
    usual = random.integers(600, 2_400, len(names))[np.searchsorted(names, nights["appliance"])]
    length = usual[owner] * random.lognormal(0, 0.05, len(owner))
    ended = begun + length.astype(np.int64) * SECOND
    order = np.lexsort((begun, owner))
    order = order[ended[order] < last.to_datetime64()]
    owner, begun, ended, failed = owner[order], begun[order], ended[order], failed[order]
    word = np.where(failed, "FAILED", "SUCCEEDED")
    seen = to_utc_column(_polled_after(ended, last))
    columns = {
        "appliance": nights["appliance"].to_numpy()[owner],
        "job_id": pd.Series(begun).dt.strftime("%Y%m%d-%H%M%S-24322831").to_numpy(),
        "outcome": np.where(failed, "failure", "success"),
        "state": word,
        "status": word,
        "progress": np.full(len(owner), 100.0),
        "type": ["SCHEDULED"] * len(owner),
        "messages": _messages(failed, random),
        "start_time": to_utc_column(begun),
        "end_time": to_utc_column(ended),
        "duration": pd.Series(ended - begun),
        "size": (length[order] * 1_000_000).astype(np.int64),
        "location": nights["location"].to_numpy()[owner],
        "build": ["24322831"] * len(owner),
        "source": ["details"] * len(owner),
        "first_seen_at": seen,
        "last_seen_at": seen,
    }
    return JOBS.frame({name: pd.Series(values) for name, values in columns.items()})


def _messages(failed: np.ndarray, random: np.random.Generator) -> pd.Series:
    """Return a list of messages for each job, empty if it succeeded."""
    kinds = random.choice(len(TEXTS), failed.sum(), p=np.array([30, 20, 15, 10, 10, 8, 5, 2]) / 100)
    numbers, sizes = (
        random.integers(0, 40, len(kinds)),
        random.integers(1_000, 1_000_000_000, 10**6),
    )
    texts = [
        TEXTS[kind].format(number=number, size=size)
        for kind, number, size in zip(kinds, numbers, sizes[: len(kinds)], strict=True)
    ]
    size = len(texts)
    kind = JOBS.arrow_schema.field("messages").type
    ids = pa.array([f"com.vmware.applmgmt.backup.{kind}" for kind in kinds])
    given = {"id": ids, "default_message": pa.array(texts), "args": pa.array([[]] * size)}
    fields = [kind.value_type.field(place) for place in range(kind.value_type.num_fields)]
    parts = [
        given[f.name].cast(f.type) if f.name in given else pa.nulls(size, f.type) for f in fields
    ]
    ends = pa.array(np.concatenate([[0], np.cumsum(failed)]).astype(np.int32))
    messages = pa.ListArray.from_arrays(ends, pa.StructArray.from_arrays(parts, fields=fields))
    return pd.Series(pd.arrays.ArrowExtensionArray(messages.cast(kind)))


def _polled_after(ended: Times, last: pd.Timestamp) -> Times:
    """Return the poll after each job."""
    same: Times = ended.astype("datetime64[D]").astype("datetime64[us]") + POLLED
    polled: Times = np.where(same >= ended, same, same + DAY)
    return np.minimum(polled, np.datetime64(last.tz_localize(None), "us"))


def _polls(names: np.ndarray, nights: int, last: pd.Timestamp) -> pd.DataFrame:
    times = (FIRST + np.arange(nights) * DAY + POLLED).astype("datetime64[us]")
    times = np.append(times[times < last.to_datetime64()], last.to_datetime64())
    size = len(names) * len(times)
    return POLLS.frame(
        {
            "appliance": pd.Series(np.tile(names, len(times)), dtype="str"),
            "polled_at": to_utc_column(times.repeat(len(names))),
            "ok": pd.Series(np.ones(size, dtype=bool)),
            "api": pd.Series(["api"] * size),
            "version": pd.Series(["8.0.3.00400"] * size),
            "details": pd.Series(np.ones(size, dtype=bool)),
            "requests": pd.Series(np.full(size, 5)),
            "elapsed": pd.Series(np.full(size, 50_000, dtype="timedelta64[us]")),
            "jobs_listed": pd.Series(np.full(size, 30)),
            "jobs_changed": pd.Series(np.ones(size, dtype=np.int64)),
        }
    )


def _question(
    jobs: pd.DataFrame, plan: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp
) -> Question:
    rules = Policy().rules(plan["appliance"]).iloc[0]
    text = pa.compute.list_element(
        pa.compute.if_else(
            pa.compute.equal(pa.array(jobs["outcome"]), "failure"), pa.array(jobs["messages"]), None
        ),
        0,
    )
    return Question(
        jobs=pl.DataFrame(
            {
                "appliance": pl.from_arrow(pa.array(jobs["appliance"])),
                "outcome": pl.from_arrow(pa.array(jobs["outcome"])),
                "start": _naive(jobs["start_time"]),
                "end": _naive(jobs["end_time"]),
                "text": pl.from_arrow(pa.compute.struct_field(text, "default_message")),
            }
        ),
        frame=jobs,
        plans=pl.DataFrame(
            {name: plan[name].to_list() for name in ("appliance", "hour", "minute", "timezone")}
        ),
        start=start.tz_localize(None).to_pydatetime(),
        end=end.tz_localize(None).to_pydatetime(),
        **{name: rules[name].to_pytimedelta() for name in ("threshold", "early", "late")},
    )


def _naive(column: pd.Series) -> Times:
    """Return times as UTC without a zone."""
    naive: Times = column.dt.tz_localize(None).to_numpy("datetime64[us]")
    return naive
