"""Builders of rows, frames, snapshots and appliances, for all tests."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from backupkit import Appliance, PasswordSource
from backupkit.analysis import coverage, poll_summary
from backupkit.assessment import Assessment, evaluate_frames
from backupkit.policy import Member, Policy
from backupkit.simulator import Scenario
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES, Table
from tests.conftest import EPOCH

START = pd.Timestamp("2026-11-02", tz="UTC")
END = pd.Timestamp("2026-11-09", tz="UTC")
DISK_FULL: list[dict[str, Any]] = [
    {"id": "x.disk", "default_message": "No space left", "args": [], "localized": None}
]
DETAILS: dict[str, object] = {
    "type": "SCHEDULED",
    "size": 7,
    "location": "nfs://h/x",
    "build": "1",
    "source": "details",
}
"""Values that an observation has from job/details only."""

LOCATION = "sftp://backup:secret@10.0.0.250/vc"

Rows = Iterable[Mapping[str, Any]]
"""Rows as mappings; a missing key is a missing value."""


@dataclass
class Clock:
    """A clock that a test advances."""

    now: datetime = EPOCH

    def __call__(self) -> datetime:
        """Return the present."""
        return self.now

    def advance(self, **span: float) -> None:
        """Advance the clock by the arguments of a timedelta."""
        self.now += timedelta(**span)


def appliance(name: str = "vc-1", **changed: object) -> Appliance:
    """Build an appliance whose password is in VCSA_PASSWORD."""
    fields: dict[str, object] = {
        "name": name,
        "host": name,
        "user": "u@v",
        "password": PasswordSource("env", "VCSA_PASSWORD"),
    }
    return Appliance(**fields | changed)  # type: ignore[arg-type] # tests pass invalid values, too


def assess(
    jobs: Rows | pd.DataFrame = (),
    polls: Rows | pd.DataFrame = (),
    schedules: Rows | pd.DataFrame = (),
    members: Sequence[Member] = (),
    start: pd.Timestamp = START,
    end: pd.Timestamp = END,
) -> Assessment:
    """Evaluate rows over a week as of its end."""
    frames = frame(JOBS, jobs), frame(POLLS, polls), frame(SCHEDULES, schedules)
    return evaluate_frames(*frames, Policy(members=members), start=start, end=end, now=end)


@functools.cache
def assess_large_fleet(appliances: int) -> Assessment:
    """Evaluate a month in which every tenth appliance fails and every 40th is unreachable."""
    names = pd.Series([f"vc-site-{place:04}" for place in range(appliances)], dtype="str")
    failures = pd.Series(range(appliances)).map(lambda n: 0 if n % 10 else 1 + n % 4)
    earlier = pd.Timedelta(days=23)
    kinds = []
    for failed, group in names.groupby(failures):
        single = frame(JOBS, nights("", "s" * (31 - failed) + "f" * failed))
        repeated = single.iloc[np.tile(np.arange(31), len(group))].reset_index(drop=True)
        kinds.append(repeated.assign(appliance=np.repeat(group.to_numpy(), 31)))
    jobs = pd.concat(kinds, ignore_index=True)
    times = ["start_time", "end_time", "first_seen_at"]
    jobs[times] = jobs[times] - earlier
    return assess(
        JOBS.conform(jobs),
        [poll(name, END, None if n % 40 else "unreachable") for n, name in enumerate(names)],
        [schedule(name, seen_at=START - pd.Timedelta(days=60)) for name in names],
        start=END - pd.Timedelta(days=30),
    )


@functools.cache
def assess_week() -> Assessment:
    """Evaluate a week in which each kind of problem affects one appliance."""
    rows = {
        "vc-good": "ssssssss",
        "vc-strikes": "sssssfff",
        "vc-silent": "ssss....",
        "vc-off": "ssss....",
        "vc-shaky": "ssssssss",
        "vc-retired": "ssssssss",
        "vc-running": "ssssss.o",
    }
    extra = END - pd.Timedelta(hours=6)
    return assess(
        [
            *(row for name, outcomes in rows.items() for row in nights(name, outcomes)),
            job("vc-shaky", 6, "failure", job_id="extra", start_time=extra, end_time=extra),
        ],
        [
            *(poll(name) for name in rows if name != "vc-shaky"),
            poll("vc-shaky", clock_skew=pd.Timedelta(minutes=-9)),
            poll("vc-gone", END - pd.Timedelta(days=2)),
            poll("vc-gone", END - pd.Timedelta(days=1), "certificate"),
        ],
        [
            *(schedule(name) for name in rows if name != "vc-off"),
            schedule("vc-off", enabled=False),
            schedule("vc-strikes", schedule="extra", days=["SUNDAY"], hour=None),
        ],
        [
            *(Member(appliance=name, site="Hamburg") for name in rows if name != "vc-retired"),
            Member(appliance="vc-gone", group="edge"),
            Member(appliance="vc-retired", exclude="being retired, change 4711"),
            Member(appliance="vc-never"),
        ],
    )


def at(minute: float) -> datetime:
    """Return a time in minutes after 9 November 2026, 20:00 UTC."""
    return datetime(2026, 11, 9, 20, tzinfo=UTC) + timedelta(minutes=minute)


def coverage_of(
    jobs: pd.DataFrame, polls: pd.DataFrame, rules: pd.DataFrame, start: pd.Timestamp
) -> pd.DataFrame:
    """Build COVERAGE of the appliances in `rules` from jobs and polls."""
    oldest = jobs.groupby("appliance")["start_time"].min()
    return coverage(oldest, poll_summary(polls, appliances=rules.index), rules, start=start)


def frame(table: Table, rows: Rows | pd.DataFrame) -> pd.DataFrame:
    """Build a frame of a table from rows; return a frame unchanged."""
    if isinstance(rows, pd.DataFrame):
        return rows
    records = list(rows)
    return table.frame({name: [row.get(name) for row in records] for name in table.names})


def job(appliance: str, night: int, outcome: str = "success", **changed: Any) -> dict[str, Any]:  # noqa: ANN401 # any column
    """Build a row of JOBS: 20 minutes from 01:00 of a night counted from START."""
    start = START + pd.Timedelta(days=night, hours=1)
    end = None if outcome == "open" else start + pd.Timedelta(minutes=20)
    state = {"success": "SUCCEEDED", "failure": "FAILED", "open": "INPROGRESS"}[outcome]
    return {
        "appliance": appliance,
        "job_id": f"{start:%Y%m%d-%H%M%S}-24322831",
        "outcome": outcome,
        "state": state,
        "status": state,
        "type": "SCHEDULED",
        "start_time": start,
        "end_time": end,
        "duration": None if end is None else end - start,
        "messages": DISK_FULL if outcome == "failure" else [],
        "size": 6_442_450_944,
        "location": LOCATION,
        "build": "24322831",
        "first_seen_at": START - pd.Timedelta(days=7),
        **changed,
    }


def jobs_of(rows: Sequence[tuple[Any, ...]], **columns: Iterable[Any]) -> pd.DataFrame:
    """Build JOBS from tuples (appliance, outcome, start, end), with times as for `moment`."""
    names, outcomes, starts, ends = zip(*rows, strict=True) if rows else ((),) * 4
    values: dict[str, Any] = {
        "appliance": names,
        "job_id": [f"job-{number}" for number in range(len(rows))],
        "outcome": outcomes,
        "start_time": [moment(start) for start in starts],
        "end_time": [moment(end) for end in ends],
        "type": ["SCHEDULED"] * len(rows),
    }
    return JOBS.frame(values | columns)


def message(
    text: str, message_id: str = "m", args: Sequence[str] = (), localized: str | None = None
) -> dict[str, Any]:
    """Build a message of a job."""
    return {"id": message_id, "default_message": text, "args": list(args), "localized": localized}


def moment(text: str | None) -> Any:  # noqa: ANN401 # a time for a text, None for None
    """Parse ``08T01:00`` as a time in November 2026, and a longer text as it is; UTC."""
    if text is None:
        return None
    full = text if len(text) > len("08T01:00:00") else f"2026-11-{text}"
    return pd.Timestamp(full, tz="UTC")


def nights(appliance: str, outcomes: str) -> list[dict[str, Any]]:
    """Build a job for each letter (s, f, o) from the night before START on; a dot is no job."""
    words = {"s": "success", "f": "failure", "o": "open"}
    return [
        job(appliance, night - 1, words[letter])
        for night, letter in enumerate(outcomes)
        if letter != "."
    ]


def observation(
    appliance: str = "vc-1", job_id: str = "1", status: str = "SUCCEEDED", **changed: object
) -> dict[str, object]:
    """Build a row of OBSERVATIONS; `snapshot` adds the times."""
    row = {"appliance": appliance, "job_id": job_id, "state": status, "status": status}
    return row | changed


def observation_at(minute: int, status: str, **changed: object) -> dict[str, object]:
    """Build a complete row of OBSERVATIONS of job 1 of vc-1, at a minute as for `at`."""
    states = {"RUNNING": "INPROGRESS", "PENDING": "NONE", "BLOCKED": "NONE"}
    times = {"observed_at": at(minute), "start_time": at(0), "messages": [], "source": "job"}
    return observation(status=status) | {"state": states.get(status, status)} | times | changed


def observations(*rows: Mapping[str, Any]) -> pd.DataFrame:
    """Build OBSERVATIONS from rows."""
    return frame(OBSERVATIONS, rows)


def poll(
    appliance: str, polled_at: object = END, error: str | None = None, **changed: object
) -> dict[str, Any]:
    """Build a row of POLLS: a good poll, or one that failed with an error."""
    return {
        "appliance": appliance,
        "polled_at": polled_at,
        "ok": error is None,
        "error": error,
        "detail": error and f"{appliance} said: {error}.",
        "api": "api",
        "version": "8.0.3.00400",
        "clock_skew": pd.Timedelta(0),
        **changed,
    }


def polls_of(rows: Sequence[tuple[Any, ...]], **columns: Iterable[Any]) -> pd.DataFrame:
    """Build POLLS from tuples (appliance, polled_at, ok), with times as for `moment`."""
    names, times, oks = zip(*rows, strict=True) if rows else ((),) * 3
    values: dict[str, Any] = {
        "appliance": names,
        "polled_at": [moment(time) for time in times],
        "ok": oks,
    }
    return POLLS.frame(values | columns)


def scenario(
    versions: Mapping[str, str],
    jobs: int | None = 10,
    **changed: Any,  # noqa: ANN401 # fields of a spec
) -> Scenario:
    """Build the scenario of equal appliances with these names and versions."""
    [spec] = Scenario.steady(appliances=1, jobs=jobs or 1, seed=1, epoch=EPOCH).specs
    specs = (
        replace(spec, name=name, version=version, jobs=jobs, **changed)
        for name, version in versions.items()
    )
    return Scenario(seed=1, epoch=EPOCH, specs=tuple(specs))


def schedule(appliance: str, **changed: Any) -> dict[str, Any]:  # noqa: ANN401 # any column
    """Build a row of SCHEDULES: every night at 01:00 UTC."""
    return {
        "appliance": appliance,
        "schedule": "default",
        "seen_at": START - pd.Timedelta(days=30),
        "enabled": True,
        "hour": 1,
        "minute": 0,
        "timezone": "Etc/UTC",
        "location": LOCATION,
        **changed,
    }


def schedules_of(rows: Sequence[tuple[Any, ...]], **columns: Iterable[Any]) -> pd.DataFrame:
    """Build SCHEDULES from tuples (appliance, seen_at, hour, minute), times as for `moment`."""
    names, seen, hours, minutes = zip(*rows, strict=True) if rows else ((),) * 4
    values: dict[str, Any] = {
        "appliance": names,
        "schedule": ["default"] * len(rows),
        "seen_at": [moment(time) for time in seen],
        "enabled": [True] * len(rows),
        "hour": hours,
        "minute": minutes,
        "timezone": ["UTC"] * len(rows),
    }
    return SCHEDULES.frame(values | columns)


def snapshot(
    minute: float,
    *jobs: Mapping[str, Any],
    names: tuple[str, ...] = ("vc-1", "vc-2"),
    hour: int = 23,
) -> SimpleNamespace:
    """Build the snapshot of one collection: observations, and a good poll and a schedule each."""
    polled_at = at(minute)
    times = {"observed_at": polled_at, "start_time": at(0), "messages": []}
    elapsed = timedelta(milliseconds=20)
    return snapshot_of(
        [{**times, **row} for row in jobs],
        [
            {"appliance": name, "polled_at": polled_at, "ok": True, "elapsed": elapsed}
            for name in names
        ],
        [
            {
                "appliance": name,
                "schedule": "default",
                "seen_at": polled_at,
                "hour": hour,
                "parts": ["common"],
            }
            for name in names
        ],
    )


def snapshot_of(observations: Rows = (), polls: Rows = (), schedules: Rows = ()) -> SimpleNamespace:
    """Build what `History.append` takes from rows: an object with three frames."""
    return SimpleNamespace(
        observations=frame(OBSERVATIONS, observations),
        polls=frame(POLLS, polls),
        schedules=frame(SCHEDULES, schedules),
    )


def vanished_job(appliance: str, job_id: str, **changed: object) -> dict[str, object]:
    """Build a row of OBSERVATIONS for a job that its appliance no longer lists."""
    row = {"appliance": appliance, "job_id": job_id, "source": "list"}
    return row | {"start_time": None, "messages": None} | changed


MESSAGE = message("done", args=["a"])
FIRST = snapshot(1, observation(), observation("vc-2", status="INPROGRESS", progress=10))
SECOND = snapshot(2, observation(), observation("vc-2", status="INPROGRESS", progress=60))
