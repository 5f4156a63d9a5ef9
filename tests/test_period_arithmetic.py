"""Figures of a period in rarer settings, each with an expectation worked out by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backupkit import Assessment, Policy, evaluate_frames
from backupkit.analysis import backup_days, current_schedules, expected_slots, schedule_drift
from backupkit.policy import Member
from backupkit.tables import POLLS, SCHEDULES
from tests.builders import frame, jobs_of, moment, poll, schedule, schedules_of

DAY, HOUR, MINUTE = pd.Timedelta(days=1), pd.Timedelta(hours=1), pd.Timedelta(minutes=1)
NAMES = pd.Index(["a"], dtype="str", name="appliance")


def hourly(first: str, last: str, **columns: Any) -> pd.DataFrame:  # noqa: ANN401 # any column
    """Build a good poll in each hour."""
    times = pd.date_range(moment(first), moment(last), freq="h")
    return frame(POLLS, [poll("a", time, **columns) for time in times])


def runs(*starts: str, minutes: int = 20, outcome: str = "success") -> list[tuple[Any, ...]]:
    """Build rows for `jobs_of` with the same length."""
    return [
        ("a", outcome, f"{moment(start):%FT%T}", f"{moment(start) + minutes * MINUTE:%FT%T}")
        for start in starts
    ]


def assess(
    jobs: Sequence[tuple[Any, ...]],
    polls: pd.DataFrame,
    plans: pd.DataFrame,
    policy: Policy,
    period: Mapping[str, str],
    *,
    as_if: bool = False,
) -> Assessment:
    """Evaluate appliance a over the period, by default as of its end."""
    start, end, now = (moment(period.get(name, period["end"])) for name in ("start", "end", "now"))
    frames = jobs_of(jobs), polls, plans
    return evaluate_frames(*frames, policy, start=start, end=end, now=now, as_if=as_if)


def slots(a: Assessment) -> list[tuple[str, str]]:
    """Return slot and state, the slot as day and minute."""
    return [
        (f"{at:%dT%H:%M}", state)
        for at, state in zip(a.slots["slot"], a.slots["state"], strict=True)
    ]


class TestPolicySchedule:
    """A schedule that the policy states, and that changes with it (6.5)."""

    POLICY = Policy(
        schedule="01:00",
        rpo="48h",
        members=[Member(appliance="a", timezone="Etc/UTC")],
        changes={"2026-11-05": Policy(schedule="13:00", rpo="48h")},
    )

    def test_each_time_has_its_plan(self) -> None:
        """Runs are expected at 01:00 before the change and at 13:00 after it, one a day."""
        jobs = runs("02T01:00", "03T01:00", "04T01:00", "05T13:00", "06T13:00", "07T13:00")
        polls = hourly("01T00:00", "08T00:00", details=False)
        period = {"start": "02T00:00", "end": "08T00:00"}
        a = assess(jobs, polls, SCHEDULES.empty(), self.POLICY, period)
        assert slots(a) == [
            *((f"0{day}T01:00", "met") for day in (2, 3, 4)),
            *((f"0{day}T13:00", "met") for day in (5, 6, 7)),
        ]
        assert a.schedules["hour"].to_list() == [13]

    def test_current(self) -> None:
        """The plan in force is that of the time; the row without a time is the first."""
        plans = self.POLICY.plans()
        shuffled = plans.iloc[::-1].reset_index(drop=True)
        for rows in (plans, shuffled):
            hours = [current_schedules(rows, at=moment(at))["hour"][0] for at in ("04", "05")]
            assert hours == [1, 13]

    def test_drift(self) -> None:
        """The change of the plan is one from 01:00 to 13:00, and not the other way round."""
        got = schedule_drift(self.POLICY.plans(), start=moment("02"), end=moment("09"))
        assert got["change"].to_list() == ["start 01:00 -> 13:00"]


class TestNewSchedule:
    """A schedule that is first seen although earlier polls read the schedules."""

    def test_expected_from_when_it_was_seen(self) -> None:
        """Nothing is expected, missed or an incident before a schedule was seen."""
        jobs = runs("01T12:00", "03T12:00", "05T12:00", "06T01:00", "07T01:00", "08T01:00")
        polls = hourly("01T00:00", "09T00:00", details=True)
        plans = schedules_of([("a", "06T00:00", 1, 0)])
        period = {"start": "02T00:00", "end": "09T00:00"}
        a = assess(jobs, polls, plans, Policy(), period)
        assert slots(a) == [(f"0{day}T01:00", "met") for day in (6, 7, 8)]
        assert a.incidents.empty

    @pytest.mark.parametrize(
        "columns",
        [
            {"details": False},
            {"details": None},
            {"details": True, "schedules_error": "403"},
            {"details": True, "error": "timeout"},
        ],
    )
    def test_polls_that_tell_nothing(self, columns: dict[str, Any]) -> None:
        """A poll that failed, or could not read the schedules, does not say that there are none."""
        polls = frame(POLLS, [poll("a", moment("02"), **columns), poll("a", moment("07"))])
        plans = schedules_of([("a", "06T00:00", 1, 0)])
        period = {"start": "03T00:00", "end": "07T00:00"}
        a = assess(runs("01T01:00"), polls, plans, Policy(), period)
        assert [at for at, _ in slots(a)] == ["03T01:00", "04T01:00", "05T01:00", "06T01:00"]

    def test_polls_that_tell_how_many(self) -> None:
        """If some polls say how many schedules they read, the others read none."""
        first = poll("a", moment("02"), details=True)
        polls = [first, poll("a", moment("07"), details=True, schedules_read=1)]
        plans = schedules_of([("a", "06T00:00", 1, 0)])
        period = {"start": "03T00:00", "end": "07T00:00"}
        a = assess(runs("01T01:00"), frame(POLLS, polls), plans, Policy(), period)
        assert len(a.slots) == 4


class TestSkippedDay:
    """Samoa skipped 30 December 2011: its 02:30 is the instant of 31 December, 02:30."""

    def test_slots(self) -> None:
        """The two wall times are one slot, which ends an hour before the next one."""
        plans = schedules_of([("a", "2011-12-01T00:00:00", 2, 30)], timezone=["Pacific/Apia"])
        got = expected_slots(
            plans,
            fallback=pd.Series("UTC", index=NAMES),
            since=pd.Series(moment("2011-12-28T13:00:00"), index=NAMES),
            end=moment("2012-01-01T00:00:00"),
        )
        nights = [f"2011-12-{day}T12:30" for day in (29, 30, 31)]
        assert [f"{at:%FT%H:%M}" for at in got["slot"]] == nights
        following = [f"{at:%FT%H:%M}" for at in got["next_slot"]]
        assert following == [*nights[1:], "2012-01-01T12:30"]
        assert set(got["slot"].sub(got["previous_slot"])) == {DAY}
        assert got["dst_tolerance"].to_list() == [0 * HOUR] * 3

    def test_deadlines(self) -> None:
        """Each deadline is the next different slot minus an hour."""
        plans = schedules_of([("a", "2011-12-01T00:00:00", 2, 30)], timezone=["Pacific/Apia"])
        polls = hourly("2011-12-20T00:00:00", "2012-01-01T12:00:00")
        period = {"start": "2011-12-28T00:00:00", "end": "2011-12-31T00:00:00"}
        period["now"] = "2012-01-01T12:00:00"
        a = assess([], polls, plans, Policy(), period)
        deadlines = [f"{at:%dT%H:%M}" for at in a.slots["deadline"]]
        assert deadlines == ["29T11:30", "30T11:30", "31T11:30"]

    def test_backup_days(self) -> None:
        """The skipped day is no backup day: noon follows noon once more."""
        period = moment("2011-12-28T22:00:00"), moment("2012-01-01T22:00:00")
        segments = pd.DataFrame(
            {
                "appliance": pd.Series(["a"], dtype="str"),
                "state": ["compliant"],
                "start": [period[0]],
                "end": [period[1]],
                "excluded_by_rule": [False],
            }
        )
        zones = pd.Series(["Pacific/Apia"], index=NAMES, dtype="str")
        got = backup_days(jobs_of([]), segments, [(None, Policy().rules(["a"]))], zones)
        assert got.to_numpy().tolist() == [[4, 4]]


class TestEndOfASlot:
    """The end of a slot does not depend on the end of the period."""

    POLICY = Policy(early="1h", changes={"2026-11-07T12:00:00Z": Policy(early="3h")})
    JOBS = (
        *runs("06T01:00"),
        *runs("07T01:00", minutes=5, outcome="failure"),
        *runs("07T22:30", "08T01:00"),
    )

    @pytest.mark.parametrize("end", ["08T00:00", "09T00:00", "07T11:00"])
    def test_early_of_the_next_slot(self, end: str) -> None:
        """The next slot begins 3 h before its time, so the retry at 22:30 belongs to it."""
        plans = schedules_of([("a", "01T00:00", 1, 0)])
        polls = hourly("01T00:00", "09T00:00")
        period = {"start": "06T00:00", "end": end, "now": "09T00:00"}
        a = assess(self.JOBS, polls, plans, self.POLICY, period)
        [row] = a.slots[a.slots["slot"] == moment("07T01:00")].to_dict("records")
        assert (row["deadline"], row["state"]) == (moment("07T22:00"), "missed_failed")

    def test_first_slot(self) -> None:
        """The first slot that counts begins no earlier than half the gap to the one before it."""
        plans = schedules_of([("a", "01T00:00", 1, 0)])
        got = expected_slots(
            plans,
            fallback=pd.Series("UTC", index=NAMES),
            since=pd.Series(moment("05T00:30"), index=NAMES),
            end=moment("07T00:00"),
        )
        assert got["previous_slot"].to_list() == [moment("04T01:00"), moment("05T01:00")]

    def test_after_a_changed_schedule(self) -> None:
        """A slot ends where its own next one would begin, and the slot after it begins later."""
        rows = [("a", "01T00:00", 1, 0), ("a", "03T12:00", 2, 0)]
        plans = schedules_of(rows, days=[None, ["SUNDAY"]])
        got = expected_slots(
            plans,
            fallback=pd.Series("UTC", index=NAMES),
            since=pd.Series(moment("02T00:00"), index=NAMES),
            end=moment("09T00:00"),
        )
        expected = [("02T01", "03T01"), ("03T01", "04T01"), ("08T02", "15T02")]
        assert list(zip(got["slot"], got["next_slot"], strict=True)) == [
            (moment(f"{at}:00"), moment(f"{after}:00")) for at, after in expected
        ]
        assert got["previous_slot"].to_list()[-1] == moment("04T01:00")


class TestWindowAcrossAClockChange:
    """Window 22:00-01:00 in Berlin: it closes at 01:00, and elapsed time counts."""

    @pytest.mark.parametrize(
        ("start", "end", "closes"),
        [
            ("2026-10-24T20:00:00", "2026-10-25T03:00:00", "2026-10-24T23:00:00"),
            ("2026-03-28T21:00:00", "2026-03-29T03:00:00", "2026-03-29T00:00:00"),
        ],
        ids=["autumn", "spring"],
    )
    def test_overrun(self, start: str, end: str, closes: str) -> None:
        """In autumn a run to 04:00 is over by 4 h; in spring, a run to 05:00 by 3 h."""
        first, last = moment(start), moment(end)
        polls = frame(POLLS, [poll("a", first - DAY), poll("a", last + 6 * HOUR)])
        plan = schedule("a", hour=22, timezone="Europe/Berlin", seen_at=first - DAY)
        plans = frame(SCHEDULES, [plan])
        rest = {"start": first, "end": last + 6 * HOUR, "now": last + 6 * HOUR}
        jobs = jobs_of([("a", "success", start, end)])
        a = evaluate_frames(jobs, polls, plans, Policy(window="22:00-01:00"), **rest)
        row = a.appliances.loc["a"]
        assert row["window_overrun"] == last - moment(closes)
        assert (row["window_runs"], row["window_ok"]) == (1, 0)

    @pytest.mark.parametrize(
        ("start", "over"), [("2026-10-25T10:29:00", 11), ("2026-10-25T10:30:00", 0)]
    )
    def test_nearest_window(self, start: str, over: int) -> None:
        """From 23:00Z to 22:00Z no window is open: the middle, 10:30Z, decides which is nearer.

        A run from 10:29Z to 10:49Z is 11 h 49 min past the old window, one from 10:30Z is too early
        for the new one.
        """
        policy = Policy(window="23:00-01:00")
        plans = frame(SCHEDULES, [schedule("a", hour=23, timezone="Europe/Berlin")])
        end = "2026-10-26T00:00:00"
        polls = hourly("2026-10-23T00:00:00", end)
        period = {"start": "2026-10-25T00:00:00", "end": end}
        a = assess(runs(start), polls, plans, policy, period)
        row = a.appliances.loc["a"]
        assert (row["window_ok"], row["window_overrun"].floor("h")) == (0, over * HOUR)


class TestFailuresInARow:
    """A row of failures that began before the period and goes on."""

    NIGHTS = (*runs("01T01:00"), *runs("02T01:00", "03T01:00", "04T01:00", outcome="failure"))

    @pytest.mark.parametrize(
        ("more", "start", "expected"),
        [
            ((), "05T00:00", (3, 3)),
            (runs("06T01:00"), "05T00:00", (0, 3)),
            (runs("06T01:00"), "06T12:00", (0, 0)),
            (runs("06T01:00"), "06T01:20", (0, 0)),
            (runs("06T01:00", outcome="failure"), "05T00:00", (4, 4)),
        ],
    )
    def test_worst(self, more: list[Any], start: str, expected: tuple[int, int]) -> None:
        """The worst is never less than now: what is not over at the start counts."""
        polls = hourly("01T00:00", "07T00:00")
        period = {"start": start, "end": "07T00:00", "now": "07T00:00"}
        a = assess([*self.NIGHTS, *more], polls, SCHEDULES.empty(), Policy(), period)
        row = a.appliances.loc["a"]
        assert (row["strikes"], row["strikes_worst"]) == expected


class TestOwnZone:
    """The zone that an appliance tells, where no schedule has one."""

    def test_policy_schedule(self) -> None:
        """01:00 in New York is 05:00Z in summer."""
        nights = [f"2026-07-{day:02}T05:00:00" for day in range(2, 6)]
        polls = hourly(
            "2026-06-30T00:00:00", "2026-07-06T00:00:00", details=False, timezone="America/New_York"
        )
        period = {"start": "2026-07-02T00:00:00", "end": "2026-07-06T00:00:00"}
        policy = Policy(schedule="01:00", members=[Member(appliance="a", timezone="Asia/Tokyo")])
        a = assess(runs(*nights), polls, SCHEDULES.empty(), policy, period)
        assert slots(a) == [(f"{night[8:10]}T05:00", "met") for night in nights]
        row = a.coverage.loc["a"]
        assert (row["timezone"], row["timezone_source"]) == ("America/New_York", "appliance")

    def test_window_without_a_schedule(self) -> None:
        """A window and the backup days are in the zone that the appliance tells."""
        polls = hourly("01T00:00", "04T00:00", timezone="Asia/Tokyo")
        period = {"start": "02T00:00", "end": "04T00:00"}
        policy = Policy(window="01:00-02:00")
        a = assess(runs("02T16:00"), polls, SCHEDULES.empty(), policy, period)
        row = a.appliances.loc["a"]
        assert (row["window_runs"], row["window_ok"]) == (1, 1)
        # noon in Tokyo is 03:00Z: one whole day, 2 Nov 03:00Z to 3 Nov 03:00Z
        assert (row["days"], row["days_missed"]) == (1, 0)

    def test_of_the_schedule(self) -> None:
        """A schedule with a zone is read in its own."""
        polls = hourly("01T00:00", "03T00:00", timezone="Asia/Tokyo")
        period = {"start": "02T00:00", "end": "03T00:00"}
        plans = schedules_of([("a", "01T00:00", 1, 0)])
        a = assess(runs("02T01:00"), polls, plans, Policy(), period)
        assert slots(a) == [("02T01:00", "met")]


class TestAtRisk:
    """The RPO that decides is that of the policy that judged the state."""

    @pytest.mark.parametrize(
        ("change", "as_if", "expected"),
        [
            ("2026-11-08T13:00:00Z", True, ["a"]),
            ("2026-11-08T13:00:00Z", False, []),
            ("2026-11-08T12:00:00Z", False, []),
            ("2026-11-08T11:59:00Z", False, ["a"]),
        ],
    )
    def test_change(self, change: str, as_if: bool, expected: list[str]) -> None:  # noqa: FBT001 # a parameter
        """Exposure is 11 h: at risk with an RPO of 4 h, and not with one of 24 h."""
        stricter = Policy(rpo="4h", grace="46h")
        policy = Policy(rpo="24h", grace="26h", changes={change: stricter})
        polls = hourly("01T00:00", "09T00:00")
        period = {"start": "02T00:00", "end": "08T12:00", "now": "09T00:00"}
        nights = runs(*(f"0{day}T01:00" for day in range(1, 9)))
        plans = schedules_of([("a", "01T00:00", 1, 0)])
        a = assess(nights, polls, plans, policy, period, as_if=as_if)
        assert list(a.at_risk) == expected


class TestBackupDays:
    """Backup days after a change of their hour."""

    @pytest.mark.parametrize(("start", "days"), [("02T12:00", 3), ("02T15:00", 2)])
    def test_no_overlap(self, start: str, days: int) -> None:
        """The day from 2 Nov 12:00 ends on the 3rd: only then a day may begin at 18:00.

        That holds if the period begins within this day, too.
        """
        policy = Policy(changes={"2026-11-02T16:00:00Z": Policy(backup_day="18:00")})
        polls = hourly("01T00:00", "06T00:00")
        period = {"start": start, "end": "05T20:00", "now": "06T00:00"}
        a = assess(runs("01T01:00"), polls, SCHEDULES.empty(), policy, period)
        assert a.appliances.loc["a", "days"] == days
        assert np.all(a.appliances["days_missed"] == days)
