"""Assessment: the worked examples of docs/sla.md, and properties of random data."""

from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import backupkit.tables as t
from backupkit.assessment import Assessment, Verdict, evaluate, failures_by
from backupkit.causes import Cause
from backupkit.errors import SettingsError, TableError
from backupkit.policy import Member, Policy
from backupkit.tables import JOBS, POLLS, SCHEDULES
from tests.builders import message
from tests.conftest import repeats
from tests.sla_examples import (
    BY_NAME,
    END,
    EXAMPLES,
    START,
    Known,
    daily_schedule,
    example,
    job_record,
    jobs_of_records,
    polls_at,
    row_of,
)

HOUR = pd.Timedelta(hours=1)


def hours(span: pd.Timedelta | None) -> float | None:
    """Return a duration in hours, None for a missing one."""
    return None if span is None or pd.isna(span) else span / HOUR


EXACT = Policy(staleness="0h")
"""The policy of the examples: knowledge ends with the last good poll."""


@cache
def evaluated(name: str) -> Assessment:
    """Evaluate a worked example, once for all tests."""
    return example(name).evaluate(EXACT)


def test_mean_exposure() -> None:
    """Example A: (31.556 + 6 x 296 + 264.444) h² in 168 h."""
    a = evaluated("ex01 healthy")
    assert hours(a.appliances["mean_exposure"].iloc[0]) == pytest.approx(2072 / 168, abs=1e-6)
    assert a.fleet.loc["mean_exposure", "value"] == pytest.approx(2072 / 168)


@pytest.mark.parametrize("worked", EXAMPLES, ids=lambda worked: str(worked["name"]))
class TestWorkedExamples:
    """Examples A to M of docs/sla.md, section 7."""

    def test_time_in_each_state(self, worked: dict[str, Any]) -> None:
        """The hours in each state are those of the example."""
        row = row_of(evaluated(worked["name"]).appliances)
        expected = worked["expected"]["hours"]
        got = {state: row[state] / HOUR for state in t.STATES}
        assert got == pytest.approx(expected, abs=1e-6)
        for state, spent in got.items():  # the examples are whole seconds, rounded to 6 digits
            assert row[state] == pd.Timedelta(hours=expected[state]).round("s"), (state, spent)

    def test_ratios(self, worked: dict[str, Any]) -> None:
        """RPO and slot compliance, strict and observed, are those of the example."""
        row = row_of(evaluated(worked["name"]).appliances)
        for column, name in {
            "rpo_strict": "rpo_compliance_strict",
            "rpo_observed": "rpo_compliance_observed",
            "slot_strict": "slot_compliance_strict",
            "slot_observed": "slot_compliance",
        }.items():
            expected = worked["expected"][name]
            assert row[column] == (
                None if expected is None else pytest.approx(expected, abs=1e-6)
            ), name

    def test_counts(self, worked: dict[str, Any]) -> None:
        """Attempts, slots and failures in a row are those of the example."""
        row, expected = row_of(evaluated(worked["name"]).appliances), worked["expected"]
        slots = {state: row[f"slots_{state}"] for state in t.SLOT_STATES}
        assert {state: count for state, count in slots.items() if count} == expected["slots"]
        good, attempts, share = expected["attempt_success"]
        assert [row["attempts_ok"], row["attempts"]] == [good, attempts]
        figure = row_of(evaluated(worked["name"]).fleet, "attempts_micro")["value"]
        assert figure == (None if share is None else pytest.approx(share, abs=1e-6))
        assert row["strikes"] == expected["strikes_current"]
        assert row["strikes_worst"] == expected["strikes_max"]

    def test_incidents(self, worked: dict[str, Any]) -> None:
        """Incidents, MTTR, MTBF and the worst exposure are those of the example."""
        a, expected = evaluated(worked["name"]), worked["expected"]
        row = row_of(a.appliances)
        short = "%m-%dT%H:%M"
        closed = a.incidents[~a.incidents["open"].astype(bool)]
        found = [
            [f"{onset:{short}}", f"{recovery:{short}}", pytest.approx(span / HOUR, abs=1e-6)]
            for onset, recovery, span in closed[["onset", "recovery", "duration"]].itertuples(
                index=False
            )
        ]
        assert found == expected["incidents"]
        running = a.incidents[a.incidents["open"].astype(bool)]
        assert len(running) == (expected["open_incident"] is not None)
        for onset, span in running[["onset", "duration"]].itertuples(index=False):
            assert f"{onset:{short}}" == expected["open_incident"][0]
            assert span / HOUR == pytest.approx(expected["open_incident"][1], abs=1e-6)
            assert row["incident_since"] == onset
        for column, name in {
            "mttr": "mttr_h",
            "mtbf": "mtbf_h",
            "worst_exposure": "max_exposure_h",
        }.items():
            number = expected[name]
            wanted = None if number is None else pytest.approx(number, abs=1e-6)
            assert hours(row[column]) == wanted, name

    def test_tables_keep_their_contract(self, worked: dict[str, Any]) -> None:
        """Each frame of an assessment follows its contract."""
        a = evaluated(worked["name"])
        for table, frame in (
            (t.METRICS, a.fleet),
            (t.APPLIANCES, a.appliances),
            (t.INTERVALS, a.intervals),
            (t.SLOTS, a.slots),
            (t.INCIDENTS, a.incidents),
            (t.FAILURES, a.failures),
            (t.COVERAGE, a.coverage),
            (t.ASSESSED_JOBS, a.assessed_jobs),
            (t.JOINED_JOBS, a.jobs),
            (t.SCHEDULES, a.schedules),
        ):
            assert table.check(frame) is frame
            assert [*([table.index] if table.index else []), *frame.columns] == table.names


def assert_same(left: Assessment, right: Assessment, *, but: str = "") -> None:
    """Check that two assessments are equal, except for one table."""
    names = [
        "appliances",
        "coverage",
        "failures",
        "fleet",
        "incidents",
        "intervals",
        "jobs",
        "slots",
    ]
    for name in (name for name in names if name != but):
        pd.testing.assert_frame_equal(getattr(left, name), getattr(right, name), obj=name)
    assert left.verdict == right.verdict


class TestPartsOfTheExamples:
    """Facts of single worked examples."""

    @pytest.mark.parametrize("name", ["ex02", "ex05", "ex12"])
    def test_duplicates_change_nothing(self, name: str) -> None:
        """Each record twice, in reverse order, gives the same tables (example L)."""
        known = example(name)
        doubled = known + known
        reverse = Known(doubled.jobs[::-1], doubled.polls[::-1], known.schedules[::-1])
        left, right = evaluated(name), reverse.evaluate(EXACT)
        assert len(right.jobs) == len(BY_NAME[name]["jobs"])
        assert_same(left, right, but="coverage")

    def test_evidence_mode(self) -> None:
        """E: an unreachable appliance stays compliant until its recovery point is too old."""
        policy = Policy(staleness="0h", unknown_mode="evidence")
        a = example("ex05").evaluate(policy)
        expected = BY_NAME["ex05"]["expected"]
        row = row_of(a.appliances)
        assert {s: row[s] / HOUR for s in t.STATES} == expected["evidence_mode_hours"]
        assert row["rpo_strict"] == pytest.approx(expected["evidence_mode_strict"], abs=1e-6)
        earlier = example("ex05").evaluate(policy, end="2026-11-07T02:00:00Z")
        assert row_of(earlier.appliances)["state"] == "compliant"
        assert "judged by its last known recovery point" in row_of(earlier.appliances)["reason"]

    @pytest.mark.parametrize(
        ("name", "state", "reason"),
        [
            ("ex01", "compliant", None),
            ("ex03", "breach", "3 failures in a row since 2026-11-06 01:05 UTC: no message"),
            ("ex05", "unknown", "not polled since 2026-11-07 00:00 UTC"),
            ("ex09", "breach", "no recovery point ever seen, no schedule"),
            ("ex10", "breach", "no run since 2026-11-07 01:00 UTC"),
            ("ex13", "breach", "no newer backup than 2026-11-06 01:00 UTC, no schedule"),
        ],
    )
    def test_reason(self, name: str, state: str, reason: str | None) -> None:
        """The state at the end comes with its reason."""
        row = row_of(evaluated(name).appliances)
        assert row["state"] == state
        assert (None if pd.isna(row["reason"]) else row["reason"]) == reason

    def test_exposure_of_a_failing_newcomer_is_a_lower_bound(self) -> None:
        """H: without a success the exposure is missing; its lower bound is the known time."""
        row = row_of(evaluated("ex08").appliances)
        assert hours(row["exposure"]) is None
        assert hours(row["exposure_at_least"]) == 168

    def test_nothing_at_all(self) -> None:
        """I: without any job there is a lower bound of the exposure, and no attempt."""
        a = evaluated("ex09")
        row = row_of(a.appliances)
        assert hours(row["exposure"]) is None
        assert hours(row["exposure_at_least"]) == 168
        assert (row["attempts"], row["first_attempts"]) == (0, 0)
        assert a.fleet.loc[["attempts_micro", "first_attempts_micro"], "value"].isna().all()

    def test_first_attempt(self) -> None:
        """B: 6 of 7 first attempts were good, 0.857143."""
        figure = evaluated("ex02").fleet.loc["first_attempts_micro"]
        assert (figure["numerator"], figure["denominator"]) == (6, 7)
        assert figure["value"] == pytest.approx(0.857143, abs=1e-6)

    def test_overlap(self) -> None:
        """K: the recovery point is the later start, even if the longer job ends last."""
        a = evaluated("ex11")
        assert hours(row_of(a.appliances)["exposure"]) == 22
        assert row_of(a.appliances)["last_success"] == pd.Timestamp("2026-11-08T02:00Z")

    def test_coverage(self) -> None:
        """E: coverage has the observed part of the time in scope, and its end."""
        row = row_of(evaluated("ex05").coverage)
        assert (hours(row["observed"]), hours(row["in_scope"])) == (120, 168)
        assert row["ratio"] == pytest.approx(120 / 168)
        assert row["known_until"] == pd.Timestamp("2026-11-07T00:00Z")
        assert (row["timezone"], row["timezone_source"]) == ("UTC", "appliance")
        assert (row["polls"], row["polls_ok"], row["jobs"]) == (2, 2, 6)


class TestNewYorkClockChange:
    """Example N: a nightly schedule in the week the clocks change."""

    RUNS = ("2026-10-30T03:59Z", "2026-10-31T03:59Z", "2026-11-01T03:59Z", "2026-11-02T04:59Z")

    def known(self) -> Known:
        """Return four good runs at 23:59 New York time."""
        polls = polls_at("vc", ("2026-10-01T00:00Z", True), ("2026-11-03T00:00Z", True))
        zone = daily_schedule("vc", 23, 59, timezone="America/New_York")
        return Known(jobs_of_records([*map(job_record, self.RUNS)]), polls, zone)

    @pytest.mark.parametrize(("grace", "breach"), [("2h", 0.0), ("0h", 5 / 3)])
    def test_the_day_of_25_hours_needs_grace(self, grace: str, breach: float) -> None:
        """With 2 h of grace all 60 h are compliant, without 1.667 h are in breach."""
        policy = Policy(grace=grace, staleness="0h")
        a = self.known().evaluate(
            policy, start="2026-10-31T12:00Z", end="2026-11-03T00:00Z", now="2026-11-03T00:00Z"
        )
        row = row_of(a.appliances)
        assert hours(row["breach"]) == pytest.approx(breach, abs=1e-9)
        pieces = a.intervals[a.intervals["state"] == "breach"]
        assert (pieces["end"] - pieces["start"]).to_list() == (
            [pd.Timedelta(minutes=20), pd.Timedelta(minutes=80)] if breach else []
        )
        assert row["rpo_strict"] == pytest.approx((60 - breach) / 60)
        assert hours(row["worst_exposure"]) == pytest.approx(25 + 1 / 3)
        assert [f"{slot:%d %H:%M}" for slot in a.slots["slot"]] == ["01 03:59", "02 04:59"]
        assert set(a.slots["state"]) == {"met"}


def fleet_of_ten() -> tuple[Known, Policy]:
    """Return example P: 6 compliant, 2 in breach, 1 unreachable, 1 excluded."""
    kinds = ["ex01"] * 6 + ["ex03"] * 2 + ["ex05", "ex09"]
    known = example(kinds[0], "vc-0")
    for number, kind in enumerate(kinds[1:], start=1):
        known += example(kind, f"vc-{number}")
    members = [Member(appliance=f"vc-{number}") for number in range(9)]
    retired = Member(appliance="vc-9", exclude="being retired")
    return known, Policy(staleness="0h", members=[*members, retired])


class TestFleet:
    """Roll-up of the appliances."""

    def test_one_instant(self) -> None:
        """P: strict 6/9, observed 6/8, coverage 8/9; the excluded appliance is in no ratio."""
        known, policy = fleet_of_ten()
        a = known.evaluate(policy)
        assert a.verdict == Verdict(compliant=6, breach=2, unknown=1, excluded=1)
        assert a.verdict.sentence == "2 of 9 in scope breach their RPO, 1 unknown, 1 excluded"
        got = a.fleet.loc[["appliances_strict", "appliances_observed", "coverage_appliances"]]
        assert got["value"].to_list() == pytest.approx([0.666667, 0.75, 0.888889], abs=1e-6)
        assert got[["numerator", "denominator"]].to_numpy().tolist() == [[6, 9], [6, 8], [8, 9]]

    def test_burn_rate(self) -> None:
        """Q: 8 of 200 runs missed in 24 h are 4 times the rate that 99 % allow."""
        names = [f"vc-{number:03}" for number in range(200)]
        jobs = jobs_of_records(BY_NAME["ex01"]["jobs"])
        known = example("ex01")
        everyone = Known(
            *(
                table.conform(
                    pd.concat([frame.assign(appliance=name) for name in names], ignore_index=True)
                )
                for table, frame in (
                    (JOBS, jobs),
                    (POLLS, known.polls),
                    (SCHEDULES, known.schedules),
                )
            )
        )
        last_night = everyone.jobs["start_time"] >= pd.Timestamp("2026-11-08T00:00Z")
        failed = last_night & everyone.jobs["appliance"].isin(names[:8])
        everyone.jobs.loc[failed, ["state", "outcome"]] = ["FAILED", "failure"]
        a = everyone.evaluate(Policy(staleness="0h", target=0.99))
        burn = a.fleet.loc["burn_rate_24h"]
        assert (burn["numerator"], burn["denominator"]) == (8, pytest.approx(2))
        assert burn["value"] == pytest.approx(4.0)
        # the same 8 of 1,400 in the week
        assert a.fleet.loc["burn_rate_7d", "value"] == pytest.approx(8 / 14)

    def test_budget_of_one(self) -> None:
        """Q: one appliance may miss 0.3 of its 30 runs; one miss spends 333 %."""
        first = pd.Timestamp("2026-10-10T01:00Z")
        starts = [first + pd.Timedelta(days=day) for day in range(30) if day != 12]
        known = replace(example("ex01"), jobs=jobs_of_records([*map(job_record, starts)]))
        policy = Policy(staleness="0h", target=0.99)
        budget = known.evaluate(policy, start="2026-10-10T00:00Z").fleet.loc["error_budget"]
        assert (budget["numerator"], budget["denominator"]) == (1, pytest.approx(0.3))
        assert budget["value"] == pytest.approx(3.333, abs=1e-3)

    def test_burn_rate_reaches_past_the_period(self) -> None:
        """The burn rate of 7 days counts misses before the period."""
        healthy = example("ex01")
        missed = healthy.jobs["start_time"].dt.day.isin([3, 4])
        known = replace(healthy, jobs=healthy.jobs[~missed].reset_index(drop=True))
        fleet = known.evaluate(
            Policy(staleness="0h", target=0.99), start="2026-11-08T00:00:00Z"
        ).fleet
        assert fleet.loc["burn_rate_7d", "numerator"] == 2
        assert fleet.loc["burn_rate_7d", "value"] == pytest.approx(2 / 0.07)
        assert fleet.loc["burn_rate_24h", "value"] == 0
        assert fleet.loc["error_budget", "numerator"] == 0

    def test_worst_first(self) -> None:
        """Appliances in breach come first, then unknown, compliant and excluded ones."""
        known, policy = fleet_of_ten()
        a = known.evaluate(policy)
        assert a.appliances.index.to_list() == [
            *("vc-6", "vc-7", "vc-8"),
            *(f"vc-{number}" for number in range(6)),
            "vc-9",
        ]
        assert a.coverage.index.to_list() == a.appliances.index.to_list()

    def test_exclusion_by_rule(self) -> None:
        """All time and slots of an excluded appliance are excluded; it is in no ratio."""
        known = example("ex03")
        policy = Policy(staleness="0h", members=[Member(appliance="vc", exclude="being retired")])
        a = known.evaluate(policy)
        row = row_of(a.appliances)
        assert (row["state"], row["reason"]) == ("excluded", "being retired")
        assert hours(row["excluded"]) == 168
        assert row["slots_excluded"] == 7
        assert hours(row["worst_exposure"]) is None
        assert row["strikes"] == 3
        assert a.incidents.empty
        assert a.failures.empty
        assert a.fleet.loc["attempts_micro", "denominator"] == 0
        assert a.verdict.state == "unknown"
        assert a.verdict.sentence == "nothing to judge, no appliance is in scope, 1 excluded"


class TestKnowledge:
    """States of unreachable, new and never polled appliances."""

    def test_failed_poll(self) -> None:
        """An appliance is unknown from its first failed poll on."""
        healthy = example("ex01")
        failed = polls_at(
            "vc", (END, True), ("2026-11-09T00:10:00Z", False), error="login", detail="Refused."
        )
        a = (healthy + Known(polls=failed)).evaluate(
            Policy(), end="2026-11-09T00:20:00Z", now="2026-11-09T00:20:00Z"
        )
        row = row_of(a.appliances)
        assert row["state"] == "unknown"
        assert row["unknown"] == pd.Timedelta(minutes=10)
        assert row["reason"] == "login, since 2026-11-09 00:10 UTC: Refused."
        assert a.verdict.state == "unknown"
        assert a.verdict.sentence == "1 of 1 in scope is unknown"

    def test_never_polled(self) -> None:
        """An appliance that is only in the policy is unknown for the entire period."""
        a = Known().evaluate(Policy(members=[Member(appliance="vc")]))
        row = row_of(a.appliances)
        assert (row["state"], row["reason"]) == ("unknown", "never polled")
        assert hours(row["unknown"]) == 168
        assert row["rpo_strict"] == 0
        assert row["rpo_observed"] is None

    def test_failed_poll_of_an_unread_appliance(self) -> None:
        """A failed poll of an appliance that was never read changes no figure of the fleet."""
        members = [Member(appliance="vc"), Member(appliance="vc-2")]
        policy = Policy(staleness="0h", members=members)
        healthy = example("ex01")
        failed = Known(polls=polls_at("vc-2", ("2026-11-08T00:00Z", False)))
        for known in (healthy, healthy + failed):
            fleet = known.evaluate(policy).fleet
            figures = fleet.loc[["rpo_strict_micro", "coverage_time"], ["numerator", "denominator"]]
            assert figures.to_numpy("float64").tolist() == [[168, 336], [168, 336]]

    def test_repeated_polls(self) -> None:
        """Duplicate polls, and pairs of polls, do not shorten the staleness."""
        days = [f"2026-11-0{day}T00:00:00Z" for day in range(1, 9)]
        after = [day.replace("00:00Z", "05:00Z") for day in days]
        jobs = example("ex01").jobs
        for times in (days, days * 2, [*days, *after]):
            polls = polls_at("vc", *((time, True) for time in times))
            row = row_of(
                Known(jobs, polls).evaluate(Policy(), end="2026-11-08T20:00:00Z").appliances
            )
            assert (hours(row["compliant"]), hours(row["unknown"])) == (164, 0)

    def test_close_polls(self) -> None:
        """Two polls 6 s apart say nothing about how often it is polled: they count for a day."""
        polls = polls_at("vc", ("2026-11-07T12:00:00Z", True), ("2026-11-07T12:00:06Z", True))
        a = Known(polls=polls).evaluate(Policy(rpo="24h", grace="2h"))
        assert hours(row_of(a.appliances)["unknown"]) == pytest.approx(12 - 6 / 3600)
        assert row_of(a.coverage)["staleness"] == pd.Timedelta("24h")

    def test_policy_says_how_long(self) -> None:
        """A staleness in the policy counts, however often the appliance is polled."""
        polls = polls_at("vc", ("2026-11-08T00:00Z", True), ("2026-11-08T00:10Z", True))
        a = Known(polls=polls).evaluate(Policy(rpo="24h", grace="2h", staleness="2h"))
        assert hours(row_of(a.appliances)["unknown"]) == pytest.approx(22 - 10 / 60)
        assert row_of(a.coverage)["staleness"] == pd.Timedelta("2h")

    def test_read_in_the_period(self) -> None:
        """Only a good poll in the period counts as polled."""
        late = Known(polls=polls_at("vc", ("2026-11-15T00:00Z", True)))
        a = late.evaluate(Policy(members=[Member(appliance="vc")]), now="2026-11-20T00:00:00Z")
        polled = a.fleet.loc[["coverage_polled"], ["numerator", "denominator"]]
        assert polled.to_numpy("float64").tolist() == [[0, 1]]

    def test_first_attempt_still_running(self) -> None:
        """A first attempt that is open past its deadline is an attempt that did not succeed."""
        healthy = example("ex01")
        jobs = healthy.jobs.copy()
        stuck = jobs["start_time"] == pd.Timestamp("2026-11-04T01:00Z")
        jobs.loc[stuck, ["state", "outcome"]] = ["INPROGRESS", "open"]
        jobs.loc[stuck, "end_time"] = pd.NaT
        row = row_of(replace(healthy, jobs=jobs).evaluate(EXACT).appliances)
        assert row["slots_missed_overrun"] == 1
        assert (row["first_attempts_ok"], row["first_attempts"]) == (6, 7)

    def test_first_attempt_of_a_pending_run(self) -> None:
        """A pending slot is in no ratio, whatever its first attempt did."""
        healthy = example("ex01")
        jobs = healthy.jobs.copy()
        last = jobs["start_time"] == pd.Timestamp("2026-11-08T01:00Z")
        jobs.loc[last, ["state", "outcome"]] = ["FAILED", "failure"]
        noon = "2026-11-08T12:00:00Z"
        polls = polls_at("vc", ("2026-10-01T00:00:00Z", True), (noon, True))
        known = Known(jobs, polls, healthy.schedules)
        row = row_of(known.evaluate(EXACT, end=noon, now=noon).appliances)
        assert row["slots_pending"] == 1
        assert (row["first_attempts_ok"], row["first_attempts"]) == (6, 6)

    def test_only_failed_polls(self) -> None:
        """An appliance with failed polls only is unknown for the entire period."""
        polls = polls_at("vc", ("2026-11-05T00:00Z", False), ("2026-11-06T00:00Z", False))
        known = Known(polls=polls, schedules=daily_schedule("vc", 1, 0))
        a = known.evaluate(Policy())
        row = row_of(a.appliances)
        assert (hours(row["unobserved"]), hours(row["unknown"])) == (0, 168)
        assert row["slots_unknown"] == 7
        assert row["reason"] == "not read, never read: no message"
        assert row_of(a.coverage)["failing_since"] == pd.Timestamp("2026-11-05T00:00Z")

    def test_seen_after_the_period(self) -> None:
        """An appliance that was first polled after the period is unobserved."""
        known = Known(polls=polls_at("vc", (END, True)))
        a = known.evaluate(EXACT, end="2026-11-08T00:00:00Z")
        assert row_of(a.appliances)["state"] == "unobserved"
        assert row_of(a.appliances)["reason"] == "not known before 2026-11-09 00:00 UTC"
        assert a.verdict == Verdict(unobserved=1)
        assert a.verdict.state == "unknown"

    def test_in_the_data_but_not_in_the_policy(self) -> None:
        """An appliance that is neither configured nor polled is unobserved."""
        a = Known(example("ex01").jobs).evaluate(Policy(members=[Member(appliance="other")]))
        assert row_of(a.appliances)["state"] == "unobserved"
        assert row_of(a.appliances)["reason"] == "never read"
        assert a.coverage["configured"].to_dict() == {"other": True, "vc": False}

    def test_onboarding(self) -> None:
        """A new appliance without a success is excluded until its threshold has passed."""
        polls = polls_at("vc", ("2026-11-08T12:00Z", True), (END, True))
        a = Known(polls=polls).evaluate(EXACT)
        row = row_of(a.appliances)
        assert row["state"] == "excluded"
        assert row["reason"] == "onboarding: no success yet, until 2026-11-09 14:00 UTC"

    def test_no_data_at_all(self) -> None:
        """Without data the verdict is unknown, and the assessment can be printed."""
        a = Known().evaluate(Policy())
        assert a.verdict == Verdict()
        assert a.verdict.state == "unknown"
        assert a.fleet["value"].isna().all()
        assert "no data (0 of 0 runs)" in repr(a)

    def test_later_data_is_ignored(self) -> None:
        """Polls, schedules and jobs first seen after `now` do not count."""
        later = pd.Timestamp("2026-11-08T06:00:00Z")
        known = example("ex01")
        known.jobs.loc[known.jobs.index[-1], "first_seen_at"] = later
        known = replace(
            known,
            schedules=daily_schedule("vc", 1, 0, seen_at=later),
            polls=polls_at("vc", ("2026-10-01T00:00Z", True), ("2026-11-08T06:00Z", True)),
        )
        a = known.evaluate(Policy(staleness="60d"), end=END, now="2026-11-08T04:00:00Z")
        assert a.end == pd.Timestamp("2026-11-08T04:00Z")
        assert len(a.jobs) == 7
        assert a.slots.empty
        assert row_of(a.coverage)["polls"] == 1
        assert row_of(a.appliances)["state"] == "breach"


class TestAwkwardJobs:
    """Contradictory records."""

    @staticmethod
    def evaluate(*records: tuple[str, str | None, str | None], **columns: Any) -> Assessment:  # noqa: ANN401 # any column
        """Evaluate (state, start, end) records of one appliance without a schedule."""
        rows = [
            {"id": str(number), "type": "MANUAL", "state": state, "start": start, "end": end}
            for number, (state, start, end) in enumerate(records)
        ]
        polls = polls_at("vc", (START, True), (END, True), **columns)
        return Known(jobs_of_records(rows), polls).evaluate(EXACT)

    @pytest.mark.parametrize(
        ("record", "expected"),
        [
            pytest.param(
                ("SUCCEEDED", "2026-11-08T12:00Z", "2026-11-08T11:00Z"),
                {"exposure": 12 * HOUR, "worst_exposure": 12 * HOUR},
                id="end-before-start",
            ),
            pytest.param(
                ("SUCCEEDED", "2026-11-10T12:00Z", "2026-11-10T13:00Z"),
                {"state": "breach", "exposure": None, "last_attempt": None},
                id="future",
            ),
            pytest.param(
                ("EXPLODED", "2026-11-08T12:00Z", "2026-11-08T13:00Z"),
                {"state": "breach", "attempts": 0, "strikes": 0, "last_outcome": "other"},
                id="unknown-state",
            ),
            pytest.param(
                ("SUCCEEDED", None, "2026-11-08T13:00Z"),
                {"state": "breach", "exposure": None, "attempts_ok": 1},
                id="no-start",
            ),
        ],
    )
    def test_record(
        self, record: tuple[str, str | None, str | None], expected: dict[str, object]
    ) -> None:
        """A contradictory job counts as far as its times and state are valid."""
        row = row_of(self.evaluate(record).appliances)
        actual = {name: None if pd.isna(row[name]) else row[name] for name in expected}
        assert actual == expected

    def test_clock_far_off(self) -> None:
        """A clock two hours ahead is corrected in all figures, but not in the jobs."""
        a = self.evaluate(
            ("SUCCEEDED", "2026-11-08T12:00Z", "2026-11-08T13:00Z"),
            clock_skew=pd.Timedelta(hours=2),
        )
        assert hours(row_of(a.appliances)["exposure"]) == 14
        assert a.jobs["start_time"].to_list() == [pd.Timestamp("2026-11-08T12:00Z")]
        near = self.evaluate(
            ("SUCCEEDED", "2026-11-08T12:00Z", "2026-11-08T13:00Z"),
            clock_skew=pd.Timedelta(minutes=5),
        )
        assert hours(row_of(near.appliances)["exposure"]) == 12

    def test_schedule_of_a_clock_far_off(self) -> None:
        """The slots of an appliance with a wrong clock are corrected like its jobs."""
        known = example("ex01")
        skew = pd.Timedelta(hours=3)
        polls = polls_at("vc", ("2026-10-01T00:00Z", True), (END, True), clock_skew=skew)
        a = replace(known, polls=polls).evaluate(EXACT)
        assert a.slots["slot"].dt.hour.unique().tolist() == [22]
        row = row_of(a.appliances)
        assert (row["slots_met"], row["slots_missed_norun"]) == (6, 1)  # the last is still to come


class TestInference:
    """Types and zones that the appliance did not report."""

    def test_type(self) -> None:
        """A job near a slot is inferred as SCHEDULED, any other as MANUAL."""
        known = example("ex02")
        jobs = known.jobs.assign(type=pd.Series(None, index=known.jobs.index, dtype="str"))
        a = replace(known, jobs=jobs).evaluate(EXACT)
        types = a.jobs.set_index("job_id")["type"]
        assert types["20261105-060000"] == "MANUAL"
        assert set(types.drop("20261105-060000")) == {"SCHEDULED"}
        assert a.jobs["type_inferred"].all()
        assert row_of(a.appliances)["slots_rescued"] == 1

    def test_type_of_the_oldest(self) -> None:
        """The oldest job is SCHEDULED, too, if it began 7 s after its slot."""
        records = [
            job_record(f"2026-11-0{day}T01:00:07Z", type=None, end=f"2026-11-0{day}T01:20:00Z")
            for day in range(3, 9)
        ]
        polls = polls_at("vc", ("2026-11-03T06:00:00Z", True), (END, True))
        known = Known(jobs_of_records(records), polls, daily_schedule("vc", 1, 0))
        a = known.evaluate(Policy(staleness="0h", window="01:00-02:00"))
        row = row_of(a.appliances)
        assert set(a.jobs["type"]) == {"SCHEDULED"}
        assert (row["window_ok"], row["window_runs"]) == (6, 6)
        assert row["slots_met"] == 5  # the one before it was known is not expected

    def test_zone_that_is_none(self) -> None:
        """An unknown zone name falls back to UTC, and coverage has the reason."""
        known = replace(example("ex01"), schedules=daily_schedule("vc", 1, 0, timezone="Mars/Base"))
        row = row_of(known.evaluate(EXACT).coverage)
        assert row["timezone"] == "UTC"
        assert row["timezone_source"] == 'assumed; "Mars/Base" of appliance is no zone'


class TestFailures:
    """The error patterns of an assessment."""

    def test_signature_and_reason(self) -> None:
        """A message is in the failures and the reason; its error pattern is in the jobs."""
        known = example("ex03")
        failed = known.jobs["outcome"] == "failure"
        values = [[message("Db health is BAD (3).")] if bad else None for bad in failed]
        messages = pd.Series(values, index=known.jobs.index, dtype=object)
        jobs = JOBS.conform(known.jobs.assign(messages=messages))
        a = replace(known, jobs=jobs).evaluate(EXACT)
        [row] = a.failures.to_dict("records")
        assert (row["signature"], row["jobs"], row["share"]) == ("Db health is BAD (<n>).", 3, 1.0)
        assert row_of(a.appliances)["reason"].endswith("06 01:05 UTC: Db health is BAD (3).")
        assert a.jobs["signature"].dropna().unique().tolist() == ["Db health is BAD (<n>)."]

    def test_own_causes_and_parts(self) -> None:
        """An own cause of the policy is in failures and jobs; the parts of failures add up."""
        known = example("ex03")
        failed = known.jobs["outcome"] == "failure"
        values = [[message("Backup failed"), message("Error: the moon is 3/4 full")]] * len(failed)
        messages = pd.Series(values, index=known.jobs.index, dtype=object).where(failed, None)
        jobs = JOBS.conform(known.jobs.assign(messages=messages))
        cause = Cause(
            name="moon", texts=("moon is",), cause="Moon.", next_step="Wait.", source="wiki"
        )
        a = replace(known, jobs=jobs).evaluate(replace(EXACT, causes=[cause]))
        [row] = a.failures.to_dict("records")
        assert (row["cause_name"], row["next_step"], row["source"]) == ("moon", "Wait.", "wiki")
        assert row["chain"] == ["Backup failed", "Error: the moon is 3/4 full"]
        assert a.jobs["cause_name"].dropna().unique().tolist() == ["moon"]
        for by in ("appliance", "site", "group", "target", "build", "hour", "day"):
            assert failures_by(a, by=by)["jobs"].sum() == row["jobs"] == 3


class TestPeriod:
    """Invalid periods and frames."""

    def test_naive_times(self) -> None:
        """A time without a zone is refused."""
        with pytest.raises(SettingsError, match="has no time zone"):
            example("ex01").evaluate(EXACT, start="2026-11-02T00:00:00")

    @pytest.mark.parametrize("start", [END, "2026-11-10T00:00:00Z", "1970-01-01T00:00:00Z"])
    def test_empty(self, start: str) -> None:
        """A period that does not begin before its end, or begins before 1980, is refused."""
        with pytest.raises(SettingsError, match="must begin in 1980 or later and before its end"):
            example("ex01").evaluate(EXACT, start=start)

    def test_frames_are_checked(self) -> None:
        """A frame that does not follow its contract is refused by name."""
        known = example("ex01")
        with pytest.raises(TableError, match="jobs"):
            replace(known, jobs=known.polls).evaluate(EXACT)


class RecordingHistory:
    """A history that records its queries."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self.asked: list[object] = []

    def view(self, **asked: object) -> t.HistoryView:
        """Return all frames."""
        self.asked.append(asked)
        return t.HistoryView(self._known.jobs, self._known.polls, self._known.schedules)


class TestEvaluate:
    """`evaluate`, over a history or a snapshot."""

    def test_history_at_an_instant(self) -> None:
        """With `now` the history is read as of then, for the 30 days before."""
        history = RecordingHistory(example("ex01"))
        a = evaluate(history, EXACT, now=END)
        assert history.asked == [
            {"at": pd.Timestamp(END), "start": a.start, "end": a.end, "now": a.now, "hosts": {}}
        ]
        assert (a.start, a.end, a.now) == (
            pd.Timestamp("2026-10-10T00:00Z"),
            pd.Timestamp(END),
            pd.Timestamp(END),
        )

    def test_history_now(self) -> None:
        """Without `now` all of it is read, and the period ends at the current time."""
        history = RecordingHistory(example("ex01"))
        before = pd.Timestamp.now("UTC")
        a = evaluate(history, EXACT)
        assert history.asked == [
            {"at": None, "start": a.start, "end": a.end, "now": a.now, "hosts": {}}
        ]
        assert before <= a.now == a.end <= pd.Timestamp.now("UTC")

    def test_snapshot(self) -> None:
        """A snapshot is evaluated like frames."""
        known = example("ex02")
        assert_same(evaluate(known, EXACT, start=START, now=END), known.evaluate(EXACT))

    @pytest.mark.parametrize("last", ["7d", timedelta(days=7)])
    def test_last(self, last: str | timedelta) -> None:
        """`last` is the length of the period, back from its end."""
        a = evaluate(example("ex01"), EXACT, end=END, now="2026-11-20T00:00Z", last=last)
        assert (a.start, a.end) == (pd.Timestamp(START), pd.Timestamp(END))

    def test_last_and_start(self) -> None:
        """`start` and `last` exclude each other."""
        with pytest.raises(SettingsError, match="give one of them"):
            evaluate(example("ex01"), EXACT, start=START, last="7d")


class TestVerdict:
    """Word and sentence of the verdict."""

    @pytest.mark.parametrize(
        ("verdict", "state", "sentence"),
        [
            (Verdict(compliant=9), "compliant", "all 9 in scope are inside their RPO"),
            (Verdict(compliant=1), "compliant", "the one appliance in scope is inside its RPO"),
            (Verdict(compliant=1, breach=1), "breach", "1 of 2 in scope breaches its RPO"),
            (
                Verdict(compliant=7, unknown=2, unobserved=1),
                "unknown",
                "2 of 9 in scope are unknown, 7 compliant, 1 unobserved",
            ),
            (
                Verdict(compliant=2, unobserved=1),
                "unknown",
                "all 2 in scope are inside their RPO, 1 unobserved",
            ),
        ],
    )
    def test_words(self, verdict: Verdict, state: str, sentence: str) -> None:
        """A breach prevails over unknown, and unknown over compliant."""
        assert (verdict.state, verdict.sentence) == (state, sentence)


EXAMPLES_EACH = repeats(3, 30)
"""Few, but of six appliances each: the cost is per evaluation, not per appliance."""

STATES = ("SUCCEEDED", "FAILED", "INPROGRESS", "NONE", "STRANGE")
MINUTES = st.integers(min_value=0, max_value=20 * 24 * 60)
ORIGIN = pd.Timestamp("2026-10-25T00:00Z")


@st.composite
def random_frames(draw: st.DrawFn) -> Known:
    """Draw jobs, polls and a schedule of six appliances around the examples' week."""
    known = Known()
    for name in (f"vc-{number}" for number in range(6)):
        jobs = draw(
            st.lists(
                st.tuples(st.sampled_from(STATES), MINUTES, st.integers(-30, 3_000)), max_size=8
            )
        )
        records = [
            {
                "id": str(number),
                "type": draw(st.sampled_from(["SCHEDULED", "MANUAL", None])),
                "state": state,
                "start": draw(st.sampled_from([(ORIGIN + minute(start)).isoformat(), None])),
                "end": None
                if state in ("INPROGRESS", "NONE")
                else (ORIGIN + minute(start + length)).isoformat(),
            }
            for number, (state, start, length) in enumerate(jobs)
        ]
        drawn = draw(st.lists(st.tuples(MINUTES, st.booleans()), max_size=5))
        polls = polls_at(name, *(((ORIGIN + minute(at)).isoformat(), ok) for at, ok in drawn))
        schedule = daily_schedule(
            name,
            draw(st.integers(0, 23)),
            draw(st.integers(0, 59)),
            enabled=draw(st.booleans()),
            timezone=draw(st.sampled_from(["America/New_York", "Nowhere", None])),
        )
        known += Known(jobs_of_records(records, name), polls, schedule)
    return known


def minute(number: int) -> pd.Timedelta:
    """Return a number of minutes as a duration."""
    return pd.Timedelta(minutes=number)


STRICT = ("rpo_strict", "slot_strict", "on_time_strict")

POLICIES = st.builds(
    Policy,
    anchor=st.sampled_from(["start", "end"]),
    unknown_mode=st.sampled_from(["strict", "evidence"]),
    staleness=st.sampled_from([None, "0h", "12h"]),
    completion=st.sampled_from([None, "2h"]),
    rpo=st.sampled_from(["6h", "24h"]),
)


@pytest.mark.property
class TestProperties:
    """Properties of the assessment of random frames."""

    @given(known=random_frames(), policy=POLICIES)
    @settings(max_examples=EXAMPLES_EACH)
    def test_states_partition_the_period(self, known: Known, policy: Policy) -> None:
        """The intervals of each appliance cover the period without a gap or an overlap."""
        a = known.evaluate(policy)
        week = a.end - a.start
        for name, rows in a.intervals.groupby("appliance"):
            assert rows["start"].iloc[0] == a.start
            assert rows["end"].iloc[-1] == a.end
            assert rows["start"].to_list()[1:] == rows["end"].to_list()[:-1]
            assert (rows["end"] > rows["start"]).all()
            assert (rows["state"] != rows["state"].shift()).all()
            assert a.appliances.loc[str(name), list(t.STATES)].sum() == week
        assert set(a.intervals["appliance"]) == set(a.appliances.index)

    @given(known=random_frames(), policy=POLICIES)
    @settings(max_examples=EXAMPLES_EACH)
    def test_figures_are_possible(self, known: Known, policy: Policy) -> None:
        """Ratios are in 0 to 1, counts are consistent, and no duration is negative."""
        a = known.evaluate(policy)
        ratios = ["rpo_strict", "rpo_observed", "slot_strict", "slot_observed"]
        spent = a.fleet.index.str.startswith(("error_budget", "burn_rate"))  # may be overspent
        assert (a.fleet.loc[spent, "value"].dropna() >= 0).all()
        fleet = a.fleet.loc[~spent, "value"]
        values = pd.concat([fleet, *(a.appliances[name] for name in ratios)]).dropna()
        assert values.between(0, 1).all()
        assert (a.appliances["rpo_strict"] <= a.appliances["rpo_observed"]).dropna().all()
        assert (a.appliances["attempts_ok"] <= a.appliances["attempts"]).all()
        assert (a.appliances["strikes_worst"] <= a.jobs["outcome"].eq("failure").sum()).all()
        counts = a.appliances[[f"slots_{state}" for state in t.SLOT_STATES]].sum().sum()
        assert counts == len(a.slots)
        for spans in (
            *(
                a.appliances[name].dropna()
                for name in ("exposure", "worst_exposure", "mttr", "mtbf")
            ),
            a.incidents["duration"],
        ):
            assert (spans >= pd.Timedelta(0)).all()
        assert a.slots["slot"].between(a.start, a.end, inclusive="left").all()
        assert (a.slots["deadline"] > a.slots["slot"]).all()

    @given(known=random_frames(), policy=POLICIES, order=st.randoms(use_true_random=False))
    @settings(max_examples=EXAMPLES_EACH)
    def test_order_and_duplicates_do_not_matter(
        self,
        known: Known,
        policy: Policy,
        order: Any,  # noqa: ANN401 # a random.Random of hypothesis
    ) -> None:
        """Shuffled rows with duplicates give the same assessment."""

        def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
            again = [order.randrange(len(frame)) for _ in range(len(frame) // 2)]
            rows = [*range(len(frame)), *again]
            order.shuffle(rows)
            return frame.iloc[rows]

        other = Known(shuffled(known.jobs), shuffled(known.polls), shuffled(known.schedules))
        assert_same(known.evaluate(policy), other.evaluate(policy))

    @given(known=random_frames(), policy=POLICIES, at=st.integers(5 * 24 * 60, 15 * 24 * 60))
    @settings(max_examples=EXAMPLES_EACH)
    def test_a_failed_poll_never_helps(self, known: Known, policy: Policy, at: int) -> None:
        """One more failed poll raises no compliant time, good slots, ratio or fleet figure."""
        known += example("ex01", "vc-healthy")  # with much compliant time
        names = {*known.jobs["appliance"], *known.polls["appliance"], "vc-1", "vc-never"}
        policy = replace(policy, members=tuple(Member(appliance=name) for name in sorted(names)))
        moment = (ORIGIN + minute(at)).isoformat()
        failed = pd.concat(
            [polls_at(name, (moment, False)) for name in ("vc-1", "vc-never")], ignore_index=True
        )
        before = known.evaluate(policy)
        after = (known + Known(polls=failed)).evaluate(policy)
        counts = ("compliant", "slots_met", "slots_rescued", "slots_late")
        left, right = before.appliances.reindex(after.appliances.index), after.appliances
        for column in counts:
            assert (right[column] <= left[column]).all(), column
        for column in STRICT:  # a missing ratio does not become a good one
            assert (right[column].fillna(0) <= left[column].fillna(0)).all(), column
        for figure in (
            *(f"{ratio}_{way}" for ratio in STRICT for way in ("micro", "macro")),
            *("appliances_strict", "appliances_lookback", "coverage_appliances"),
            *("coverage_polled", "coverage_time"),
        ):
            was, now = (
                a.fleet.loc[[figure], "value"].to_numpy("float64", na_value=0.0)
                for a in (before, after)
            )
            assert now[0] <= was[0] + 1e-12, figure

    @given(known=random_frames(), policy=POLICIES, at=MINUTES)
    @settings(max_examples=EXAMPLES_EACH)
    def test_a_success_never_hurts(self, known: Known, policy: Policy, at: int) -> None:
        """One more success never lowers compliant time or good slots, never adds a missed one."""
        before = known.evaluate(policy)
        start = ORIGIN + minute(at)
        since = before.coverage["known_since"].get("vc-1", pd.NaT)
        assume(since <= start)  # an older job would extend the known time
        good = jobs_of_records([job_record(start)], "vc-1")
        after = (known + Known(good)).evaluate(policy)
        left, right = (a.appliances.loc[["vc-1"]].iloc[0] for a in (before, after))
        assert right["compliant"] >= left["compliant"]
        assert right["attempts_ok"] >= left["attempts_ok"]
        for ratio in STRICT:
            assert pd.isna(left[ratio]) or right[ratio] >= left[ratio], ratio
        kinds = [f"slots_{state}" for state in ("met", "rescued", "late")]
        assert right[kinds].sum() >= left[kinds].sum()
        assert right["slots_missed_norun"] <= left["slots_missed_norun"]

    @given(known=random_frames(), policy=POLICIES)
    @settings(max_examples=EXAMPLES_EACH)
    def test_without_data_nothing_is_compliant(self, known: Known, policy: Policy) -> None:
        """Without a job, or without a good poll, no appliance is compliant."""
        failed = known.polls.assign(ok=pd.Series(False, index=known.polls.index, dtype="boolean"))
        for poor in (replace(known, jobs=JOBS.empty()), replace(known, polls=failed)):
            a = poor.evaluate(policy)
            assert a.verdict.state != "compliant"
            assert a.verdict.compliant == 0
            assert not a.appliances["compliant"].gt(pd.Timedelta(0)).any()
            for figure in ("appliances_strict", "rpo_strict_micro"):
                assert not a.fleet.loc[[figure], "value"].gt(0).any(), figure

    @given(known=random_frames(), policy=POLICIES, at=st.integers(1, 7 * 24 * 60 - 1))
    @settings(max_examples=EXAMPLES_EACH)
    def test_halves_add_up(self, known: Known, policy: Policy, at: int) -> None:
        """The times, slots and attempts of two parts of a week add up, if all is known."""
        policy = replace_unknown(policy)
        cut = (pd.Timestamp(START) + minute(at)).isoformat()
        always = polls_at("vc-1", ("2026-10-01T00:00Z", True), (END, True))
        names = [f"vc-{number}" for number in range(6)]
        polls = pd.concat([always.assign(appliance=name) for name in names], ignore_index=True)
        polls = POLLS.conform(polls)
        known = replace(known, polls=polls)
        complete = known.evaluate(policy).appliances.sort_index()
        left = known.evaluate(policy, end=cut).appliances.sort_index()
        right = known.evaluate(policy, start=cut).appliances.sort_index()
        columns = [*t.STATES, "attempts", "attempts_ok"]
        columns += [f"slots_{state}" for state in t.SLOT_STATES]
        pd.testing.assert_frame_equal(complete[columns], left[columns] + right[columns])

    @given(known=random_frames(), policy=POLICIES)
    @settings(max_examples=EXAMPLES_EACH)
    def test_inputs_are_unchanged(self, known: Known, policy: Policy) -> None:
        """No input frame is changed."""
        copies = [frame.copy() for frame in (known.jobs, known.polls, known.schedules)]
        known.evaluate(policy)
        for frame, copy in zip((known.jobs, known.polls, known.schedules), copies, strict=True):
            pd.testing.assert_frame_equal(frame, copy)


def replace_unknown(policy: Policy) -> Policy:
    """Return the policy with the default staleness."""
    return Policy(rpo=policy.rpo, anchor=policy.anchor, completion=policy.completion)
