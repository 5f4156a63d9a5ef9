"""Policies that change within the period, exclusions, and schedules of the policy."""

from typing import Any

import pandas as pd
import pytest

from backupkit.assessment import Assessment
from backupkit.policy import Exclusion, Member, Policy
from tests.sla_examples import Known, example, job_record, jobs_of_records, polls_at, row_of

HOUR = pd.Timedelta(hours=1)


def policy(**values: Any) -> Policy:  # noqa: ANN401 # any number of a policy
    """Return a policy under which a poll counts until the next one."""
    return Policy(staleness="0h", **values)


def hours(a: Assessment) -> dict[str, float]:
    """Return the hours in each state that occurs."""
    row = row_of(a.appliances, "vc")
    spent = {state: row[state] / HOUR for state in ("compliant", "breach", "unknown", "excluded")}
    return {state: round(span, 6) for state, span in spent.items() if span}


HEALTHY = example("ex01")
NO_RUN = example("ex04")
"""Example D: no job ran on 5 November."""


class TestChanges:
    """Each time is judged by the policy of that time."""

    STRICTER = policy(
        rpo="24h", changes={"2026-11-05T00:00:00Z": policy(rpo="12h", late="30m", target=0.9)}
    )

    def test_time(self) -> None:
        """The threshold is 26 h until the 5th, then 14 h: 9 h 40 min of each day are too old."""
        a = HEALTHY.evaluate(self.STRICTER)
        # from 15:00 to 01:20 of the next day, and the 5th from midnight to 01:20
        breach = 1 + 20 / 60 + 3 * (10 + 20 / 60) + 9
        assert hours(a) == {"compliant": round(168 - breach, 6), "breach": round(breach, 6)}
        assert a.appliances.loc["vc", "threshold"] == 14 * HOUR
        assert a.intervals["state"].to_list() == ["compliant", "breach"] * 5

    def test_window_and_limit(self) -> None:
        """Each run is compared with the window and limit of its end."""
        changed = policy(
            window="01:00-02:00",
            duration_limit="30m",
            changes={
                "2026-11-05T00:00:00Z": policy(window="03:00-04:00", duration_limit="10m"),
            },
        )
        row = row_of(HEALTHY.evaluate(changed).appliances)
        # the runs of the 2nd to 4th meet both, those of the 5th to 8th neither
        assert (row["window_ok"], row["window_runs"]) == (3, 7)
        assert (row["duration_ok"], row["duration_runs"]) == (3, 7)
        assert row["window_running"] == 0

    def test_added_limit(self) -> None:
        """If only one policy has a limit, only the runs of its time are judged."""
        later = policy(changes={"2026-11-05T00:00:00Z": policy(duration_limit="10m")})
        row = row_of(HEALTHY.evaluate(later).appliances)
        assert (row["duration_ok"], row["duration_runs"]) == (0, 4)
        assert row["window_runs"] is None

    def test_missing_end(self) -> None:
        """A run without an end ended when it was last observed, also before a change."""
        jobs = HEALTHY.jobs.copy()
        open_ended = jobs["start_time"] == pd.Timestamp("2026-11-03T01:00Z")
        jobs.loc[open_ended, "last_seen_at"] = jobs.loc[open_ended, "end_time"]
        jobs.loc[open_ended, "end_time"] = pd.NaT
        changed = policy(
            duration_limit="30m", changes={"2026-11-05T00:00:00Z": policy(duration_limit="10m")}
        )
        row = row_of(Known(jobs, HEALTHY.polls, HEALTHY.schedules).evaluate(changed).appliances)
        assert (row["duration_ok"], row["duration_runs"]) == (3, 7)

    def test_backup_day(self) -> None:
        """A backup day begins at noon until the 5th, then at midnight; days do not overlap."""
        hour = policy(backup_day="00:00")
        changed = policy(changes={"2026-11-05T00:00:00Z": hour})
        row = row_of(NO_RUN.evaluate(changed).appliances)
        # the 2nd, 3rd and 4th (which ends at noon of the 5th), then the 6th, 7th and 8th
        assert (row["days"], row["days_missed"]) == (6, 1)
        row = row_of(NO_RUN.evaluate(changed, as_if=True).appliances)
        assert (row["days"], row["days_missed"]) == (7, 1)

    def test_same_backup_day(self) -> None:
        """A change of another parameter does not split a backup day."""
        for moment in ("2026-11-05T00:00:00Z", "2026-11-05T12:00:00Z", "2026-10-20T00:00:00Z"):
            row = row_of(NO_RUN.evaluate(policy(changes={moment: policy(rpo="12h")})).appliances)
            assert (row["days"], row["days_missed"]) == (6, 1)

    def test_as_if(self) -> None:
        """With as_if, the newest policy holds for the period."""
        a = HEALTHY.evaluate(self.STRICTER, as_if=True)
        assert hours(a)["breach"] == pytest.approx(7 * (10 + 20 / 60))
        then = "2026-11-04T00:00:00Z"
        before = HEALTHY.evaluate(self.STRICTER, as_if=True, end=then)
        assert hours(before)["breach"] == pytest.approx(2 * (10 + 20 / 60))

    def test_slots(self) -> None:
        """A run 40 minutes late is met under the old tolerance, and rescued under the new one."""
        jobs = jobs_of_records([job_record(f"2026-11-0{day}T01:40:00Z") for day in range(1, 9)])
        a = Known(jobs, HEALTHY.polls, HEALTHY.schedules).evaluate(self.STRICTER)
        assert a.slots["state"].to_list() == ["met"] * 3 + ["rescued"] * 4
        again = Known(jobs, HEALTHY.polls, HEALTHY.schedules).evaluate(self.STRICTER, as_if=True)
        assert again.slots["state"].to_list() == ["rescued"] * 7

    def test_change_outside_period(self) -> None:
        """A change after the period has no effect; one before it holds for all of it."""
        later = policy(changes={"2026-11-09": policy(rpo="1h")})
        assert hours(HEALTHY.evaluate(later)) == {"compliant": 168}
        earlier = policy(changes={"2026-11-01": policy(rpo="12h")})
        assert hours(HEALTHY.evaluate(earlier))["breach"] == pytest.approx(7 * (10 + 20 / 60))
        now = policy(changes={"2026-11-02": policy(rpo="12h")})
        assert hours(HEALTHY.evaluate(now)) == hours(HEALTHY.evaluate(earlier))


class TestExcluded:
    """Maintenance windows."""

    NIGHT = Exclusion(
        reason="storage move", start="2026-11-05T00:00:00Z", end="2026-11-06T02:00:00Z"
    )

    def test_time_and_slots(self) -> None:
        """An excluded night counts neither as time, nor as a slot, nor as an incident."""
        a = NO_RUN.evaluate(policy(exclusions=[self.NIGHT]))
        assert hours(a) == {"compliant": 142, "excluded": 26}
        row = a.appliances.loc["vc"]
        assert (row["slots_met"], row["slots_excluded"], row["slots_missed_norun"]) == (5, 2, 0)
        assert (row["rpo_strict"], row["slot_strict"], row["incidents"]) == (1, 1, 0)
        assert a.intervals["state"].to_list() == ["compliant", "excluded", "compliant"]
        # from noon to noon the 2nd, 3rd, 6th and 7th are complete, the 4th and 5th are not
        assert (row["days"], row["days_missed"]) == (4, 0)

    def test_failures_inside(self) -> None:
        """A failure in excluded time begins no incident; the attempt counts."""
        retry = example("ex02")
        with_it, without = retry.evaluate(policy()), retry.evaluate(policy(exclusions=[self.NIGHT]))
        assert with_it.appliances.loc["vc", "incidents"] == 1
        assert without.appliances.loc["vc", "incidents"] == 0
        assert without.appliances.loc["vc", "attempts"] == 8

    def test_at_the_end(self) -> None:
        """An appliance that is excluded at the end has that state and the reason."""
        for rule in (
            Exclusion(reason="being retired", start="2026-11-08T12:00:00Z"),
            Exclusion(reason="being retired"),
        ):
            a = HEALTHY.evaluate(policy(exclusions=[rule]))
            row = a.appliances.loc["vc"]
            assert (row["state"], row["reason"]) == ("excluded", "being retired")
            assert a.verdict.excluded == 1

    def test_ended_exclusion(self) -> None:
        """An exclusion that has ended does not change the state."""
        a = HEALTHY.evaluate(policy(exclusions=[self.NIGHT]))
        assert a.appliances.loc["vc", "state"] == "compliant"


class TestSchedules:
    """The policy states a schedule for appliances that cannot report one."""

    OLD = Known(
        NO_RUN.jobs,
        polls_at(
            "vc", ("2026-10-01T00:00:00Z", True), ("2026-11-09T00:00:00Z", True), details=False
        ),
    )

    def test_slots(self) -> None:
        """Runs are expected by the policy's schedule, in the time zone of fleet.toml."""
        a = self.OLD.evaluate(policy(schedule="01:00"))
        assert a.slots["state"].value_counts().to_dict() == {"met": 6, "missed_norun": 1}
        assert set(a.slots["schedule"]) == {"policy"}
        oslo = Member(appliance="vc", timezone="Europe/Oslo")
        there = self.OLD.evaluate(policy(schedule="02:00", members=[oslo]))
        assert there.slots["slot"].to_list() == a.slots["slot"].to_list()

    def test_own_schedule(self) -> None:
        """A schedule of the appliance takes precedence; one that can report none has no slots."""
        known = Known(self.OLD.jobs, self.OLD.polls, NO_RUN.schedules)
        assert set(known.evaluate(policy(schedule="05:00")).slots["schedule"]) == {"default"}
        able = Known(self.OLD.jobs, NO_RUN.polls)
        assert able.evaluate(policy(schedule="05:00")).slots.empty
        assert self.OLD.evaluate(policy()).slots.empty
