"""What one collection brings back, made by hand, for the tests of the history."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pandas as pd

from backupkit.simulator import Scenario
from backupkit.tables import OBSERVATIONS, POLLS, SCHEDULES, Table
from tests.conftest import EPOCH

MESSAGE = {"id": "m", "default_message": "done", "args": ["a"], "localized": None}


def at(minute: float) -> datetime:
    """Return a minute of an evening."""
    return datetime(2026, 11, 9, 20, tzinfo=UTC) + timedelta(minutes=minute)


def job(appliance: str, job_id: str, status: str, **more: object) -> dict[str, object]:
    """Return what one poll said about one job."""
    return {"appliance": appliance, "job_id": job_id, "state": status, "status": status} | more


def rows(table: Table, told: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a frame of a table; what they do not tell is missing."""
    own = list(told)
    return table.frame({name: [row.get(name) for row in own] for name in table.names})


def snapshot(
    minute: float, *jobs: dict[str, Any], names: tuple[str, ...] = ("vc-1", "vc-2"), hour: int = 23
) -> SimpleNamespace:
    """Return what one collection brought back: anything with three frames will do."""
    moment = at(minute)
    return SimpleNamespace(
        observations=rows(
            OBSERVATIONS,
            ({"observed_at": moment, "start_time": at(0), "messages": []} | one for one in jobs),
        ),
        polls=rows(
            POLLS,
            (
                {
                    "appliance": name,
                    "polled_at": moment,
                    "ok": True,
                    "elapsed": timedelta(milliseconds=20),
                }
                for name in names
            ),
        ),
        schedules=rows(
            SCHEDULES,
            (
                {
                    "appliance": name,
                    "schedule": "default",
                    "seen_at": moment,
                    "hour": hour,
                    "parts": ["common"],
                }
                for name in names
            ),
        ),
    )


FIRST = snapshot(1, job("vc-1", "1", "SUCCEEDED"), job("vc-2", "1", "INPROGRESS", progress=10))
SECOND = snapshot(2, job("vc-1", "1", "SUCCEEDED"), job("vc-2", "1", "INPROGRESS", progress=60))


def vanished_job(appliance: str, job_id: str, **more: object) -> dict[str, object]:
    """Return the observation of a job that its appliance no longer lists."""
    gone = {"source": "list", "start_time": None, "messages": None}
    return {"appliance": appliance, "job_id": job_id} | gone | more


@dataclass
class Clock:
    """A clock that a test advances."""

    now: datetime = EPOCH

    def __call__(self) -> datetime:
        """Return the present."""
        return self.now

    def advance(self, **span: float) -> None:
        """Advance the clock by a timedelta's arguments."""
        self.now += timedelta(**span)


def scenario(
    versions: Mapping[str, str],
    jobs: int | None = 10,
    **changed: Any,  # noqa: ANN401 # fields of a spec
) -> Scenario:
    """Return the scenario of equal appliances with these names and versions."""
    [spec] = Scenario.steady(appliances=1, jobs=jobs or 1, seed=1, epoch=EPOCH).specs
    specs = (
        replace(spec, name=name, version=version, jobs=jobs, **changed)
        for name, version in versions.items()
    )
    return Scenario(seed=1, epoch=EPOCH, specs=tuple(specs))
