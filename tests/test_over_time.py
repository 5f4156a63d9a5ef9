"""A policy that changes inside the period, time that is excluded, and plans the policy states."""

from typing import Any

import pandas as pd
import pytest

from backupkit.assessment import Assessment
from backupkit.policy import Exclusion, Member, Policy
from backupkit.tables import SCHEDULES
from tests.sla_examples import Known, example, job_record, jobs_of_records, polls_at, row_of

HOUR = pd.Timedelta(hours=1)


def policy(**values: Any) -> Policy:  # noqa: ANN401 # any number of a policy
    """Make a policy under which knowledge ends with the last good visit."""
    return Policy(staleness="0h", **values)


def hours(a: Assessment) -> dict[str, float]:
    """Give the hours in each state that occurs."""
    row = row_of(a.appliances, "vc")
    spent = {state: row[state] / HOUR for state in ("compliant", "breach", "unknown", "excluded")}
    return {state: round(span, 6) for state, span in spent.items() if span}


HEALTHY = example("ex01")
NO_RUN = example("ex04")
"""Example D: nothing ran on 5 November."""


class TestChanges:
    """Each moment is judged by the policy of its time."""

    STRICTER = policy(
        rpo="24h", changes={"2026-11-05T00:00:00Z": policy(rpo="12h", late="30m", target=0.9)}
    )

    def test_time(self) -> None:
        """Until the 5th 26 h are allowed, from then on 14 h: of each day 9 h 40 min are too old."""
        a = HEALTHY.evaluate(self.STRICTER)
        # from 15:00 to 01:20 of the next day, and the 5th from midnight to 01:20
        breach = 1 + 20 / 60 + 3 * (10 + 20 / 60) + 9
        assert hours(a) == {"compliant": round(168 - breach, 6), "breach": round(breach, 6)}
        assert a.appliances.loc["vc", "threshold"] == 14 * HOUR
        assert a.intervals["state"].to_list() == ["compliant", "breach"] * 5

    def test_window_and_limit(self) -> None:
        """Each run is held against the window and the limit of the time it ended."""
        changed = policy(
            window="01:00-02:00",
            duration_limit="30m",
            changes={
                "2026-11-05T00:00:00Z": policy(window="03:00-04:00", duration_limit="10m"),
            },
        )
        row = row_of(HEALTHY.evaluate(changed).appliances)
        # those of the 2nd to 4th keep to both, those of the 5th to 8th to neither
        assert (row["window_ok"], row["window_runs"]) == (3, 7)
        assert (row["duration_ok"], row["duration_runs"]) == (3, 7)
        assert row["window_running"] == 0

    def test_a_limit_from_then_on(self) -> None:
        """Where only one of the policies has a limit, the runs of its time are the ones judged."""
        later = policy(changes={"2026-11-05T00:00:00Z": policy(duration_limit="10m")})
        row = row_of(HEALTHY.evaluate(later).appliances)
        assert (row["duration_ok"], row["duration_runs"]) == (0, 4)
        assert row["window_runs"] is None

    def test_an_end_that_nobody_told(self) -> None:
        """A run without an end was done when it was last seen, also before a change."""
        jobs = HEALTHY.jobs.copy()
        mute = jobs["start_time"] == pd.Timestamp("2026-11-03T01:00Z")
        jobs.loc[mute, "last_seen_at"] = jobs.loc[mute, "end_time"]
        jobs.loc[mute, "end_time"] = pd.NaT
        changed = policy(
            duration_limit="30m", changes={"2026-11-05T00:00:00Z": policy(duration_limit="10m")}
        )
        row = row_of(Known(jobs, HEALTHY.polls, HEALTHY.schedules).evaluate(changed).appliances)
        assert (row["duration_ok"], row["duration_runs"]) == (3, 7)

    def test_backup_day(self) -> None:
        """From noon to noon until the 5th, then from midnight; no moment is of two days."""
        hour = policy(backup_day="00:00")
        changed = policy(changes={"2026-11-05T00:00:00Z": hour})
        row = row_of(NO_RUN.evaluate(changed).appliances)
        # those of the 2nd, 3rd and 4th (nothing until noon of the 5th), then the 6th, 7th and 8th
        assert (row["days"], row["days_missed"]) == (6, 1)
        row = row_of(NO_RUN.evaluate(changed, as_if=True).appliances)
        assert (row["days"], row["days_missed"]) == (7, 1)

    def test_the_same_backup_day(self) -> None:
        """A change of something else cuts no day in two."""
        for moment in ("2026-11-05T00:00:00Z", "2026-11-05T12:00:00Z", "2026-10-20T00:00:00Z"):
            row = row_of(NO_RUN.evaluate(policy(changes={moment: policy(rpo="12h")})).appliances)
            assert (row["days"], row["days_missed"]) == (6, 1)

    def test_as_if(self) -> None:
        """As if the newest policy had always held."""
        a = HEALTHY.evaluate(self.STRICTER, as_if=True)
        assert hours(a)["breach"] == pytest.approx(7 * (10 + 20 / 60))
        then = "2026-11-04T00:00:00Z"
        before = HEALTHY.evaluate(self.STRICTER, as_if=True, end=then)
        assert hours(before)["breach"] == pytest.approx(2 * (10 + 20 / 60))

    def test_slots(self) -> None:
        """A run 40 minutes late is met under the old tolerance, rescued under the new one."""
        jobs = jobs_of_records([job_record(f"2026-11-0{day}T01:40:00Z") for day in range(1, 9)])
        a = Known(jobs, HEALTHY.polls, HEALTHY.schedules).evaluate(self.STRICTER)
        assert a.slots["state"].to_list() == ["met"] * 3 + ["rescued"] * 4
        again = Known(jobs, HEALTHY.polls, HEALTHY.schedules).evaluate(self.STRICTER, as_if=True)
        assert again.slots["state"].to_list() == ["rescued"] * 7

    def test_a_change_outside_the_period(self) -> None:
        """A change after the period says nothing about it; one before it all."""
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
        """The missed night does not count: neither its time, nor its slot, nor an incident."""
        a = NO_RUN.evaluate(policy(exclusions=[self.NIGHT]))
        assert hours(a) == {"compliant": 142, "excluded": 26}
        row = a.appliances.loc["vc"]
        assert (row["slots_met"], row["slots_excluded"], row["slots_missed_norun"]) == (5, 2, 0)
        assert (row["rpo_strict"], row["slot_strict"], row["incidents"]) == (1, 1, 0)
        assert a.intervals["state"].to_list() == ["compliant", "excluded", "compliant"]
        # noon to noon: the 2nd, 3rd, 6th and 7th are whole, those of the 4th and 5th are not
        assert (row["days"], row["days_missed"]) == (4, 0)

    def test_failures_inside(self) -> None:
        """A failure inside begins no incident; the attempt is counted as it was."""
        retry = example("ex02")
        with_it, without = retry.evaluate(policy()), retry.evaluate(policy(exclusions=[self.NIGHT]))
        assert with_it.appliances.loc["vc", "incidents"] == 1
        assert without.appliances.loc["vc", "incidents"] == 0
        assert without.appliances.loc["vc", "attempts"] == 8

    def test_at_the_end(self) -> None:
        """An appliance that is excluded now is, and says why."""
        for rule in (
            Exclusion(reason="being retired", start="2026-11-08T12:00:00Z"),
            Exclusion(reason="being retired"),
        ):
            a = HEALTHY.evaluate(policy(exclusions=[rule]))
            row = a.appliances.loc["vc"]
            assert (row["state"], row["reason"]) == ("excluded", "being retired")
            assert a.verdict.excluded == 1

    def test_over_before_the_end(self) -> None:
        """One that has ended leaves no trace in the state."""
        a = HEALTHY.evaluate(policy(exclusions=[self.NIGHT]))
        assert a.appliances.loc["vc", "state"] == "compliant"


class TestPlans:
    """The policy states a schedule for appliances that have none to tell."""

    OLD = Known(
        NO_RUN.jobs,
        polls_at(
            "vc", ("2026-10-01T00:00:00Z", True), ("2026-11-09T00:00:00Z", True), details=False
        ),
        SCHEDULES.empty(),
    )

    def test_slots(self) -> None:
        """Runs are expected as the policy says, in the zone of fleet.toml."""
        a = self.OLD.evaluate(policy(schedule="01:00"))
        assert a.slots["state"].value_counts().to_dict() == {"met": 6, "missed_norun": 1}
        assert set(a.slots["schedule"]) == {"policy"}
        oslo = Member(appliance="vc", timezone="Europe/Oslo")
        there = self.OLD.evaluate(policy(schedule="02:00", members=[oslo]))
        assert there.slots["slot"].to_list() == a.slots["slot"].to_list()

    def test_only_without_an_own_schedule(self) -> None:
        """What the appliance tells itself comes first; one that has schedules is asked for them."""
        known = Known(self.OLD.jobs, self.OLD.polls, NO_RUN.schedules)
        assert set(known.evaluate(policy(schedule="05:00")).slots["schedule"]) == {"default"}
        able = Known(self.OLD.jobs, NO_RUN.polls)
        assert able.evaluate(policy(schedule="05:00")).slots.empty
        assert self.OLD.evaluate(policy()).slots.empty
