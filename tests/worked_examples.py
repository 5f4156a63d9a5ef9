"""The worked examples of docs/sla.md, and builders of frames in their notation."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from backupkit.assessment import Assessment, evaluate_frames
from backupkit.policy import Policy
from backupkit.tables import JOBS, POLLS, SCHEDULES, outcome_of

START, END = "2026-11-02T00:00:00Z", "2026-11-09T00:00:00Z"
EXAMPLES: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("sla-examples.json").read_text(encoding="utf-8")
)["examples"]
BY_NAME = {example["name"][:4]: example for example in EXAMPLES}
EXACT = Policy(staleness="0h")
"""The examples' policy: knowledge ends with the last good poll."""


@dataclass(frozen=True)
class Known:
    """The frames that `evaluate_frames` takes."""

    jobs: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame

    def judge(self, policy: Policy, *, as_if: bool = False, **times: str) -> Assessment:
        """Evaluate the frames, by default over the week of the examples."""
        period: dict[str, Any] = {"start": START, "end": END, "now": END} | times
        frames = self.jobs, self.polls, self.schedules
        return evaluate_frames(*frames, policy, as_if=as_if, **period)

    def __add__(self, other: "Known") -> "Known":
        return Known(
            pd.concat([self.jobs, other.jobs], ignore_index=True),
            pd.concat([self.polls, other.polls], ignore_index=True),
            pd.concat([self.schedules, other.schedules], ignore_index=True),
        )


def jobs_of(records: Sequence[Mapping[str, Any]], appliance: str = "vc") -> pd.DataFrame:
    """Build jobs from the examples' records."""
    states = pd.Series([record["state"] for record in records], dtype="str")
    return JOBS.frame(
        {
            "appliance": [appliance] * len(records),
            "job_id": [record["id"] for record in records],
            "state": states,
            "start_time": [when(record["start"]) for record in records],
            "end_time": [when(record["end"]) for record in records],
            "type": [record["type"] for record in records],
            "outcome": outcome_of(states),
        }
    )


def polls_of(appliance: str, *polls: tuple[str, bool], **columns: Any) -> pd.DataFrame:  # noqa: ANN401 # any column
    """Build polls from (time, ok)."""
    return POLLS.frame(
        {
            "appliance": [appliance] * len(polls),
            "polled_at": [when(time) for time, _ in polls],
            "ok": [ok for _, ok in polls],
            **{name: [value] * len(polls) for name, value in columns.items()},
        }
    )


def schedule_of(appliance: str, hour: int, minute: int, **columns: Any) -> pd.DataFrame:  # noqa: ANN401 # any column
    """Build one daily schedule."""
    values = {
        "appliance": appliance,
        "schedule": "default",
        "seen_at": when("2026-10-01T00:00:00Z"),
        "enabled": True,
        "hour": hour,
        "minute": minute,
        "timezone": "UTC",
    }
    return SCHEDULES.frame({name: [value] for name, value in (values | columns).items()})


def known_of(example: Mapping[str, Any], appliance: str = "vc") -> Known:
    """Build the frames of a worked example."""
    schedule = example["schedule"]
    return Known(
        jobs_of(example["jobs"], appliance),
        polls_of(appliance, (example["known_since"], True), (example["known_until"], True)),
        SCHEDULES.empty() if schedule is None else schedule_of(appliance, schedule[0], schedule[1]),
    )


def when(text: str | None) -> pd.Timestamp | None:
    """Parse a time of the examples, in UTC."""
    return None if text is None else pd.Timestamp(text).tz_convert("UTC")


def row_of(frame: pd.DataFrame, name: str = "vc") -> dict[str, Any]:
    """Return a row of a frame by column."""
    return {str(column): value for column, value in frame.loc[name].to_dict().items()}
