"""The worked examples of docs/sla.md as frames."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from backupkit.assessment import Assessment, evaluate_frames
from backupkit.policy import Policy
from backupkit.tables import JOBS, POLLS, SCHEDULES, outcome_of
from tests.builders import frame, moment, schedule

START, END = "2026-11-02T00:00:00Z", "2026-11-09T00:00:00Z"
EXAMPLES: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("sla-examples.json").read_text(encoding="utf-8")
)["examples"]
BY_NAME = {example["name"][:4]: example for example in EXAMPLES}


@dataclass(frozen=True)
class Known:
    """The frames that `evaluate_frames` takes."""

    jobs: pd.DataFrame = field(default_factory=JOBS.empty)
    polls: pd.DataFrame = field(default_factory=POLLS.empty)
    schedules: pd.DataFrame = field(default_factory=SCHEDULES.empty)

    def evaluate(self, policy: Policy, *, as_if: bool = False, **times: str) -> Assessment:
        """Evaluate the frames, by default over the examples' week."""
        period: dict[str, Any] = {"start": START, "end": END, "now": END} | times
        frames = self.jobs, self.polls, self.schedules
        return evaluate_frames(*frames, policy, as_if=as_if, **period)

    def __add__(self, other: "Known") -> "Known":
        return Known(
            pd.concat([self.jobs, other.jobs], ignore_index=True),
            pd.concat([self.polls, other.polls], ignore_index=True),
            pd.concat([self.schedules, other.schedules], ignore_index=True),
        )


def daily_schedule(appliance: str, hour: int, minute: int, **changed: object) -> pd.DataFrame:
    """Build one daily schedule, in UTC."""
    row = {"hour": hour, "minute": minute, "timezone": "UTC"} | changed
    return frame(SCHEDULES, [schedule(appliance, **row)])


def example(name: str, appliance: str = "vc") -> Known:
    """Build the frames of a worked example."""
    record = BY_NAME[name[:4]]
    times = (record["known_since"], record["known_until"])
    return Known(
        jobs_of_records(record["jobs"], appliance),
        polls_at(appliance, *((time, True) for time in times)),
        daily_schedule(appliance, *record["schedule"][:2])
        if record["schedule"]
        else SCHEDULES.empty(),
    )


def job_record(
    start: str | pd.Timestamp,
    minutes: float = 20,
    state: str = "SUCCEEDED",
    **changed: object,
) -> dict[str, object]:
    """Build a job in the form of the examples."""
    begin = pd.Timestamp(start)
    end = begin + pd.Timedelta(minutes=minutes)
    times = {"start": begin.isoformat(), "end": end.isoformat()}
    return {"id": str(start), "type": "SCHEDULED", "state": state} | times | changed


def jobs_of_records(records: Sequence[Mapping[str, Any]], appliance: str = "vc") -> pd.DataFrame:
    """Build jobs from records of the examples."""
    states = pd.Series([record["state"] for record in records], dtype="str")
    return JOBS.frame(
        {
            "appliance": [appliance] * len(records),
            "job_id": [record["id"] for record in records],
            "state": states,
            "start_time": [moment(record["start"]) for record in records],
            "end_time": [moment(record["end"]) for record in records],
            "type": [record["type"] for record in records],
            "outcome": outcome_of(states),
        }
    )


def polls_at(appliance: str, *polls: tuple[str, bool], **columns: object) -> pd.DataFrame:
    """Build polls of an appliance from (time, ok), with the same value in other columns."""
    rows = [
        {"appliance": appliance, "polled_at": moment(time), "ok": ok, **columns}
        for time, ok in polls
    ]
    return frame(POLLS, rows)


def row_of(rows: pd.DataFrame, name: str = "vc") -> dict[str, Any]:
    """Return one row of a frame by column."""
    return {str(column): value for column, value in rows.loc[name].to_dict().items()}
