"""Expected runs and schedule zones."""

import pandas as pd
import pytest

from backupkit.analysis import Clocks, current_schedules, expected_slots, schedule_zones
from tests.builders import moment, schedules_of


def runs(
    schedules: pd.DataFrame, since: str, end: str, *, zone: str | None = None, **more: Clocks
) -> pd.DataFrame:
    """Return the expected runs of appliance a."""
    index = pd.Index(["a"], dtype="str", name="appliance")
    return expected_slots(
        schedules,
        fallback=pd.Series([zone], index=index, dtype="str"),
        since=pd.Series([pd.Timestamp(since, tz="UTC")], index=index),
        end=pd.Timestamp(end, tz="UTC"),
        **more,
    )


def short(times: pd.Series) -> list[str]:
    """Return times as day and hour."""
    return [f"{time:%m-%d %H:%M}" for time in times]


class TestExpectedRuns:
    """`expected_slots`."""

    @pytest.mark.parametrize(
        ("zone", "hour", "minute", "since", "end", "slots", "widened"),
        [
            (
                "America/New_York",
                23,
                59,
                "2026-10-31",
                "2026-11-03",
                ["10-31 03:59", "11-01 03:59", "11-02 04:59"],
                [0, 0, 0],
            ),
            (
                "Europe/Berlin",
                2,
                30,
                "2026-10-24",
                "2026-10-27",
                ["10-24 00:30", "10-25 00:30", "10-26 01:30"],
                [0, 0, 0],
            ),
            (
                "Europe/Berlin",
                2,
                30,
                "2026-03-28",
                "2026-03-31",
                ["03-28 01:30", "03-29 01:30", "03-30 00:30"],
                [0, 60, 0],
            ),
            (
                "Australia/Lord_Howe",
                2,
                15,
                "2026-10-02T12:00",
                "2026-10-05T12:00",
                ["10-02 15:45", "10-03 15:45", "10-04 15:15"],
                [0, 30, 0],
            ),
        ],
    )
    def test_clock_changes(
        self,
        zone: str,
        hour: int,
        minute: int,
        since: str,
        end: str,
        slots: list[str],
        widened: list[int],
    ) -> None:
        """Example N: one slot a day, at the old offset if skipped, once if repeated."""
        got = runs(schedules_of([("a", None, hour, minute)], timezone=[zone]), since, end)
        assert short(got["slot"]) == slots
        assert (got["dst_tolerance"].dt.total_seconds() / 60).to_list() == widened
        assert short(got["next_slot"])[:-1] == slots[1:]

    def test_days(self) -> None:
        """Only the given days count, in local time; the next run may be a week later."""
        schedules = schedules_of([("a", None, 1, 0)], days=[["MONDAY"]], timezone=["Asia/Tokyo"])
        got = runs(schedules, "2026-11-01", "2026-11-10")
        assert short(got["slot"]) == ["11-01 16:00", "11-08 16:00"]
        assert short(got["next_slot"]) == ["11-08 16:00", "11-15 16:00"]

    @pytest.mark.parametrize(
        ("column", "value"),
        [("enabled", False), ("enabled", None), ("hour", None), ("hour", 24), ("minute", -1)],
    )
    def test_no_runs(self, column: str, value: object) -> None:
        """A disabled schedule, or one without a possible time, has no runs."""
        schedules = schedules_of([("a", None, 1, 0)], **{column: [value]})
        assert runs(schedules, "2026-11-01", "2026-11-10").empty

    def test_unknown_day(self) -> None:
        """An unknown day has no runs."""
        schedules = schedules_of([("a", None, 1, 0)], days=[["SOMEDAY"]])
        assert runs(schedules, "2026-11-01", "2026-11-10").empty

    def test_changes(self) -> None:
        """The first row has no lower bound; each later row applies from when it was seen."""
        rows = [("a", "03T00:00", 1, 0), ("a", "04T12:00", 5, 0)]
        got = runs(schedules_of(rows), "2026-11-02", "2026-11-07")
        assert short(got["slot"]) == [
            *("11-02 01:00", "11-03 01:00", "11-04 01:00"),
            *("11-05 05:00", "11-06 05:00"),
        ]
        assert short(got["next_slot"])[2] == "11-05 01:00"

    def test_switched_off_later(self) -> None:
        """Runs are expected until the schedule was seen disabled, and again once it is enabled."""
        rows = [("a", "02T00:00", 1, 0), ("a", "04T00:00", 1, 0), ("a", "06T00:00", 1, 0)]
        got = runs(schedules_of(rows, enabled=[True, False, True]), "2026-11-02", "2026-11-07")
        assert short(got["slot"]) == ["11-02 01:00", "11-03 01:00", "11-06 01:00"]
        assert short(got["next_slot"])[1] == "11-04 01:00"

    def test_two_schedules(self) -> None:
        """The runs of all schedules are merged, and equal times count once."""
        rows = [("a", None, 1, 0), ("a", None, 13, 0), ("a", None, 13, 0)]
        schedules = schedules_of(rows, schedule=["night", "noon", "also-noon"])
        got = runs(schedules, "2026-11-02", "2026-11-03")
        assert got["schedule"].to_list() == ["night", "also-noon"]
        assert short(got["next_slot"]) == ["11-02 13:00", "11-03 01:00"]

    def test_clock_ahead(self) -> None:
        """The runs of a clock that is ahead start earlier in UTC."""
        corrections = pd.Series([pd.Timedelta(hours=2)], index=["a"]).astype("timedelta64[us]")
        schedules = schedules_of([("a", None, 1, 0)])
        got = runs(schedules, "2026-11-02", "2026-11-03", clocks=Clocks.constant(corrections))
        assert short(got["slot"]) == ["11-02 23:00"]

    @pytest.mark.parametrize("days", [-12, -5, 5, 12])
    def test_clock_days_off(self, days: int) -> None:
        """A clock that is days off loses no run at either end."""
        corrections = pd.Series([pd.Timedelta(days=days)], index=["a"]).astype("timedelta64[us]")
        schedules = schedules_of([("a", None, 3, 0)])
        got = runs(schedules, "2026-11-02", "2026-11-05", clocks=Clocks.constant(corrections))
        assert short(got["slot"]) == ["11-02 03:00", "11-03 03:00", "11-04 03:00"]
        assert short(got["next_slot"]) == ["11-03 03:00", "11-04 03:00", "11-05 03:00"]

    def test_unknown_since(self) -> None:
        """An appliance that is unknown has no expected runs."""
        index = pd.Index(["a"])
        got = expected_slots(
            schedules_of([("a", None, 1, 0)]),
            fallback=pd.Series(["UTC"], index=index, dtype="str"),
            since=pd.Series([pd.NaT], index=index, dtype="datetime64[us, UTC]"),
            end=pd.Timestamp("2026-11-03T00:00Z"),
        )
        assert got.empty


class TestZones:
    """`schedule_zones`."""

    @pytest.mark.parametrize(
        ("own", "member", "zone", "source"),
        [
            ("Europe/Berlin", "Asia/Tokyo", "Europe/Berlin", "appliance"),
            (None, "Asia/Tokyo", "Asia/Tokyo", "fleet.toml"),
            (None, None, "UTC", "assumed"),
            (
                "Mars/Base",
                "Asia/Tokyo",
                "Asia/Tokyo",
                'fleet.toml; "Mars/Base" of appliance is no zone',
            ),
            (
                "../../etc/\npasswd",
                None,
                "UTC",
                'assumed; "../../etc/passwd" of appliance is no zone',
            ),
        ],
    )
    def test_choice(self, own: str | None, member: str | None, zone: str, source: str) -> None:
        """The zone is the appliance's, else fleet.toml's, else UTC; invalid names are skipped."""
        schedules = schedules_of([("a", None, 1, 0)], timezone=[own])
        fallback = pd.Series([member], index=["a"], dtype="str")
        got = schedule_zones(schedules, fallback=fallback)
        assert got.to_numpy().tolist() == [[zone, source]]


def test_current_schedules() -> None:
    """The newest row of each schedule seen by then is in force, before that the first."""
    rows = [("a", "03T00:00", 1, 0), ("a", "05T00:00", 2, 0), ("b", "07T00:00", 3, 0)]
    got = current_schedules(schedules_of(rows), at=moment("04T00:00"))
    assert got["hour"].to_list() == [1, 3]
