"""Fleets to report on, judged by the real judgement from frames that are spelled out here."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backupkit.assessment import Assessment, evaluate_frames
from backupkit.policy import Member, Policy
from backupkit.tables import JOBS, POLLS, SCHEDULES, Table

START = pd.Timestamp("2026-11-02", tz="UTC")
END = pd.Timestamp("2026-11-09", tz="UTC")
DISK_FULL: list[dict[str, Any]] = [
    {"id": "x.disk", "default_message": "No space left", "args": [], "localized": None}
]

Rows = Sequence[Mapping[str, Any]]
Judge = Callable[..., Assessment]


def frame(table: Table, rows: Rows | pd.DataFrame) -> pd.DataFrame:
    """Build a frame from rows that name only the columns they care for."""
    if isinstance(rows, pd.DataFrame):
        return rows
    return table.frame({name: [row.get(name) for row in rows] for name in table.names})


def job(appliance: str, night: int, outcome: str = "success", **more: Any) -> dict[str, Any]:  # noqa: ANN401 # any column
    """Give a job of 20 minutes that starts at 01:00 of a night counted from the period's start."""
    start = START + pd.Timedelta(days=night, hours=1)
    end = None if outcome == "open" else start + pd.Timedelta(minutes=20)
    state = {"success": "SUCCEEDED", "failure": "FAILED", "open": "INPROGRESS"}[outcome]
    values = {
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
        "location": "sftp://backup:secret@10.0.0.250/vc",
        "build": "24322831",
        "first_seen_at": START - pd.Timedelta(days=7),
    }
    return {**values, **more}


def nights(appliance: str, outcomes: str) -> list[dict[str, Any]]:
    """Give a job for each letter, from the eve of the period on; a dot is a night without."""
    words = {"s": "success", "f": "failure", "o": "open"}
    return [
        job(appliance, night - 1, words[letter])
        for night, letter in enumerate(outcomes)
        if letter != "."
    ]


def poll(appliance: str, at: pd.Timestamp = END, error: str | None = None) -> dict[str, Any]:
    """Give a visit."""
    return {
        "appliance": appliance,
        "polled_at": at,
        "ok": error is None,
        "error": error,
        "detail": error and f"{appliance} said: {error}.",
        "api": "api",
        "version": "8.0.3.00400",
        "clock_skew": pd.Timedelta(0),
    }


def schedule(appliance: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 # any column
    """Give a schedule that starts every night at 01:00 UTC."""
    values = {
        "appliance": appliance,
        "schedule": "default",
        "seen_at": START - pd.Timedelta(days=30),
        "enabled": True,
        "hour": 1,
        "minute": 0,
        "timezone": "Etc/UTC",
        "location": "sftp://backup:secret@10.0.0.250/vc",
    }
    return {**values, **more}


@pytest.fixture(scope="session")
def judge() -> Judge:
    """Judge rows of jobs, polls and schedules over one week."""

    def judged(
        jobs: Rows | pd.DataFrame = (),
        polls: Rows = (),
        schedules: Rows = (),
        members: Sequence[Member] = (),
        start: pd.Timestamp = START,
    ) -> Assessment:
        return evaluate_frames(
            frame(JOBS, jobs),
            frame(POLLS, polls),
            frame(SCHEDULES, schedules),
            Policy(members=members),
            start=start,
            end=END,
            now=END,
        )

    return judged


@pytest.fixture(scope="session")
def week(judge: Judge) -> Assessment:
    """Judge a week in which each kind of trouble happens to one appliance."""
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
    skewed = {**poll("vc-shaky"), "clock_skew": pd.Timedelta(minutes=-9)}
    return judge(
        [
            *(one for name, outcomes in rows.items() for one in nights(name, outcomes)),
            job("vc-shaky", 6, "failure", job_id="extra", start_time=extra, end_time=extra),
        ],
        [
            *(poll(name) for name in rows if name != "vc-shaky"),
            skewed,
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


@pytest.fixture(scope="session")
def fleet(judge: Judge) -> Callable[[int], Assessment]:
    """Judge a month of a fleet in which every tenth appliance fails and every 40th is silent."""

    @functools.cache
    def judged(appliances: int) -> Assessment:
        names = pd.Series([f"vc-site-{place:04}" for place in range(appliances)], dtype="str")
        failures = pd.Series(range(appliances)).map(lambda n: 0 if n % 10 else 1 + n % 4)
        earlier = pd.Timedelta(days=23)
        kinds = []
        for failed, group in names.groupby(failures):
            one = frame(JOBS, nights("", "s" * (31 - failed) + "f" * failed))
            many = one.iloc[np.tile(np.arange(31), len(group))].reset_index(drop=True)
            kinds.append(many.assign(appliance=np.repeat(group.to_numpy(), 31)))
        jobs = pd.concat(kinds, ignore_index=True)
        times = ["start_time", "end_time", "first_seen_at"]
        jobs[times] = jobs[times] - earlier
        return judge(
            JOBS.conform(jobs),
            [poll(name, END, None if n % 40 else "unreachable") for n, name in enumerate(names)],
            [schedule(name, seen_at=START - pd.Timedelta(days=60)) for name in names],
            start=END - pd.Timedelta(days=30),
        )

    return judged
