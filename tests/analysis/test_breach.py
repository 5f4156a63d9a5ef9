"""Since when appliances are in breach, and which breaches are about to begin."""

from collections.abc import Hashable
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from backupkit.assessment import Assessment, evaluate_frames, find_coming_breach
from backupkit.policy import Exclusion, Member, Policy
from backupkit.tables import JOBS, POLLS, SCHEDULES
from tests.builders import END, START, assess, frame, job, nights, poll, schedule

HOUR = pd.Timedelta(hours=1)


def assess_one(policy: Policy, outcomes: str, start: pd.Timestamp = START) -> dict[Hashable, Any]:
    """Evaluate one appliance by its nights, and return its row."""
    a = evaluate_frames(
        frame(JOBS, nights("vc-1", outcomes)),
        frame(POLLS, [poll("vc-1", START), poll("vc-1")]),
        frame(SCHEDULES, [schedule("vc-1")]),
        policy,
        start=start,
        end=END,
        now=END,
    )
    return dict(a.appliances.to_dict("records")[0])


class TestBreachSince:
    """The column `breach_since`."""

    def test_in_the_period(self) -> None:
        """The newest backup of 5 Nov 01:00 is old enough for a breach on 6 Nov 03:00."""
        row = assess_one(Policy(), "sssss...")
        assert row["breach_since"] == pd.Timestamp("2026-11-06T03:00Z")

    def test_before_the_period(self) -> None:
        """A breach that was on at the period's start has its own beginning, not that of it."""
        row = assess_one(Policy(), "ss......", start=END - 48 * HOUR)
        assert row["breach_since"] == pd.Timestamp("2026-11-03T03:00Z")

    def test_never_backed_up(self) -> None:
        """Without any success, the breach begins a threshold after the first knowledge."""
        row = assess_one(Policy(), "........")
        assert row["breach_since"] == START + 26 * HOUR
        assert pd.isna(row["last_success"])

    @pytest.mark.parametrize("outcomes", ["ssssssss", "sssss.ss"])
    def test_missing_without_a_breach(self, outcomes: str) -> None:
        """An appliance that is compliant again has none."""
        assert pd.isna(assess_one(Policy(), outcomes)["breach_since"])

    def test_unknown(self) -> None:
        """Neither has an appliance whose state is not known, however old its backup is."""
        polls = [poll("vc-1", START), poll("vc-1", END, "unreachable")]
        [since] = assess(nights("vc-1", "ss......"), polls).appliances["breach_since"]
        assert pd.isna(since)

    @pytest.mark.parametrize("start", [START, START + 120 * HOUR])
    def test_after_an_exclusion(self, start: pd.Timestamp) -> None:
        """An excluded time is no breach, in the period or before it."""
        over = pd.Timestamp("2026-11-06T12:00Z")
        work = Exclusion(
            appliances=frozenset({"vc-1"}), reason="maintenance", start=START, end=over
        )
        policy = Policy(members=[Member(appliance="vc-1")], exclusions=[work])
        assert assess_one(policy, "sss.....", start=start)["breach_since"] == over

    def test_after_a_change_of_the_policy(self) -> None:
        """A shorter RPO begins the breach when it becomes valid."""
        change = pd.Timestamp("2026-11-07T00:00Z")
        policy = Policy(rpo="7d", changes={change: Policy(rpo="24h")})
        assert assess_one(policy, "ssss....")["breach_since"] == change

    def test_before_a_longer_rpo(self) -> None:
        """A breach by an older rule, before the period, began at the latest with the period."""
        change = pd.Timestamp("2026-11-08T00:00Z")
        policy = Policy(rpo="24h", changes={change: Policy(rpo="4d")})
        row = assess_one(policy, "ss......", start=pd.Timestamp("2026-11-05T00:00Z"))
        assert row["breach_since"] == pd.Timestamp("2026-11-05T00:00Z")


class TestComingBreaches:
    """`find_coming_breach`."""

    @staticmethod
    def assess_at(hours: float, *jobs: dict[str, object], **own: object) -> Assessment:
        """Evaluate a week, some hours after the last night of 8 Nov 01:00 that succeeded."""
        end = pd.Timestamp("2026-11-08T01:00Z") + timedelta(hours=hours)
        planned = [schedule("vc-1", **own)] if own else []
        rows = [*nights("vc-1", "ssssssss"), *jobs]
        return assess(rows, [poll("vc-1", START), poll("vc-1", end)], planned, end=end)

    def test_without_a_schedule(self) -> None:
        """The breach is certain 26 h after the newest backup: no run is expected before."""
        coming = find_coming_breach(self.assess_at(20))
        assert coming.to_dict() == {"vc-1": pd.Timestamp("2026-11-09T03:00Z")}

    def test_far_away(self) -> None:
        """A breach that is more than a day away is not named."""
        assert find_coming_breach(self.assess_at(1)).empty

    def test_a_run_is_expected_before(self) -> None:
        """A run at 01:00 that takes 20 min may prevent the breach of 03:00."""
        assert find_coming_breach(self.assess_at(20, hour=1)).empty

    def test_a_run_is_too_late(self) -> None:
        """A run at 02:50 ends at 03:10, too late for the breach of 03:00."""
        coming = find_coming_breach(self.assess_at(20, hour=2, minute=50))
        assert list(coming.index) == ["vc-1"]

    def test_a_job_is_running(self) -> None:
        """A running job may prevent it."""
        running = job("vc-1", 6, "open", job_id="x", start_time=pd.Timestamp("2026-11-08T20:30Z"))
        assert find_coming_breach(self.assess_at(20, running)).empty

    def test_in_breach_already(self) -> None:
        """A breach that has begun is not to come."""
        assert find_coming_breach(self.assess_at(27)).empty

    def test_a_period_that_is_over(self) -> None:
        """Of a period that is over nothing is forecast."""
        a = self.assess_at(20)
        assert find_coming_breach(a.replaced(now=a.end + HOUR)).empty
