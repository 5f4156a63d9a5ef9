"""Backup window, duration limit, and days without a backup."""

from typing import Any

import pandas as pd
import pytest

from backupkit.analysis import backup_days, duration_runs, window_runs
from backupkit.policy import Policy
from tests.builders import jobs_of, moment

NAMES = pd.Index(["a"], dtype="str", name="appliance")
UTC = pd.Series(["UTC"], index=NAMES, dtype="str")
MINUTE = pd.Timedelta(minutes=1)
NIGHT = Policy(window="01:00-01:30")
WEEK = {"start": moment("02T00:00"), "end": moment("09T00:00")}


def row_of(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the row of appliance a."""
    return {str(name): value for name, value in frame.loc["a"].items()}


def windows(
    jobs: pd.DataFrame, policy: Policy = NIGHT, zone: pd.Series = UTC, **period: pd.Timestamp
) -> dict[str, Any]:
    """Return the window figures of appliance a, by default of a week."""
    return row_of(window_runs(jobs, policy.rules(["a"]), zone, **WEEK | period))


class TestWindow:
    """`window_runs`, with example O of docs/sla.md, section 7."""

    RUNS = (
        ("a", "success", "02T01:00", "02T01:20"),
        ("a", "success", "03T01:00", "03T01:29"),
        ("a", "success", "04T01:00", "04T01:41"),
        ("a", "failure", "05T00:58", "05T01:15"),
        ("a", "success", "06T01:25", "06T01:45"),
    )

    @pytest.mark.parametrize(("tolerance", "kept"), [("0m", 2), ("2m", 3), ("5m", 3)])
    def test_example(self, tolerance: str, kept: int) -> None:
        """Two of five runs are within 01:00 to 01:30, three with a tolerance; overrun 26 min."""
        policy = Policy(window="01:00-01:30", window_tolerance=tolerance)
        got = windows(jobs_of(self.RUNS), policy)
        assert (got["window_runs"], got["window_ok"], got["window_running"]) == (5, kept, 0)
        assert got["window_overrun"] == 26 * MINUTE
        assert got["window_ok"] / got["window_runs"] == {2: 0.4, 3: 0.6}[kept]

    @pytest.mark.parametrize(
        ("run", "overrun"), list(zip(range(5), (0, 0, 11, 0, 15), strict=True))
    )
    def test_each_overrun(self, run: int, overrun: int) -> None:
        """The third run is 11 minutes over, the fifth 15, the others 0."""
        assert windows(jobs_of([self.RUNS[run]]))["window_overrun"] == overrun * MINUTE

    def test_without_a_window(self) -> None:
        """Without a window there are no figures."""
        assert pd.isna([*windows(jobs_of(self.RUNS), Policy()).values()]).all()

    def test_vanished(self) -> None:
        """A vanished open run is not considered running."""
        jobs = jobs_of([("a", "open", "02T01:00", None)], vanished_at=[moment("03T00:00")])
        assert windows(jobs)["window_running"] == 0
        rules = Policy(duration_limit="30m").rules(["a"])
        assert row_of(duration_runs(jobs, rules, **WEEK))["duration_runs"] == 0

    def test_running(self) -> None:
        """A run that is open after the window's end at the period's end is an overrun."""
        jobs = jobs_of([("a", "open", "02T01:00", None), ("a", "success", "02T01:05", "04T00:00")])
        for end, late in (("02T01:30", 0), ("02T01:31", 2)):
            got = windows(jobs, end=moment(end))
            assert (got["window_runs"], got["window_running"]) == (0, late)

    def test_over_midnight_in_its_zone(self) -> None:
        """A window over midnight is one window; a run belongs to the nearest one, in local time."""
        berlin = pd.Series(["Europe/Berlin"], index=NAMES, dtype="str")
        jobs = jobs_of(
            [
                ("a", "success", "02T21:00", "03T04:59"),  # 22:00 to 05:59
                ("a", "success", "03T22:30", "04T05:10"),  # 23:30 to 06:10: 10 min over
                ("a", "success", "05T12:59", "05T13:00"),  # 13:59: 8 h after the window
                ("a", "success", "06T13:00", "06T13:30"),  # 14:00: 8 h before the next
                ("a", "success", "07T20:59", "07T21:30"),  # one minute early
            ]
        )
        got = windows(jobs, Policy(window="22:00-06:00"), berlin)
        assert (got["window_runs"], got["window_ok"]) == (5, 1)
        assert got["window_overrun"] == (10 + 8 * 60) * MINUTE

    def test_manual_runs_do_not_count(self) -> None:
        """Only scheduled runs that end in the period are compared with the window."""
        jobs = jobs_of(self.RUNS, type=["MANUAL", "SCHEDULED", "SCHEDULED", "MANUAL", None])
        period = {"start": moment("03T01:30"), "end": moment("04T01:41")}
        assert windows(jobs, **period)["window_runs"] == 0


class TestDuration:
    """`duration_runs`."""

    def test_runs(self) -> None:
        """Exactly the limit is within it; a running job counts with its duration so far."""
        rules = Policy(duration_limit="30m").rules(["a"])
        jobs = jobs_of(
            [
                ("a", "success", "02T01:00", "02T01:30"),
                ("a", "failure", "03T01:00", "03T01:31"),
                ("a", "open", "04T01:00", None),
            ]
        )
        counts = []
        for end in ("04T01:30", "04T01:31"):
            period = {"start": moment("02T00:00"), "end": moment(end)}
            got = row_of(duration_runs(jobs, rules, **period))
            counts.append((got["duration_ok"], got["duration_runs"]))
        assert counts == [(2, 3), (1, 3)]

    def test_without_a_limit(self) -> None:
        """Without a limit there are no figures."""
        got = duration_runs(jobs_of([]), Policy().rules(["a"]), **WEEK)
        assert got.isna().all(axis=None)


def pieces_of(*rows: tuple[str, pd.Timestamp, pd.Timestamp]) -> pd.DataFrame:
    """Build segments of appliance a."""
    states, starts, ends = zip(*rows, strict=True) if rows else ((),) * 3
    return pd.DataFrame(
        {
            "appliance": pd.Series(["a"] * len(rows), dtype="str"),
            "state": pd.Series(states, dtype="str"),
            "start": pd.Series(starts, dtype="datetime64[us, UTC]"),
            "end": pd.Series(ends, dtype="datetime64[us, UTC]"),
            "excluded_by_rule": [state == "excluded" for state in states],
        }
    )


class TestBackupDays:
    """`backup_days`."""

    def test_noon_to_noon(self) -> None:
        """A week has six complete days from noon to noon; a success at noon belongs to the next."""
        jobs = jobs_of(
            [
                ("a", "success", "03T11:00", "03T11:59"),
                ("a", "success", "04T11:00", "04T12:00"),
                ("a", "failure", "06T01:00", "06T02:00"),
                ("a", "success", "07T01:00", "07T02:00"),
            ]
        )
        pieces = pieces_of(("compliant", moment("02T00:00"), moment("09T00:00")))
        got = row_of(backup_days(jobs, pieces, [(None, Policy().rules(["a"]))], UTC))
        # the days of the 2nd, 4th and 6th have a success; the 3rd, 5th and 7th have none
        assert got == {"days": 6, "days_missed": 3}

    def test_only_observed_days(self) -> None:
        """A day that is not observed from start to end does not count."""
        pieces = pieces_of(
            ("unobserved", moment("02T00:00"), moment("03T12:00")),
            ("breach", moment("03T12:00"), moment("05T13:00")),
            ("excluded", moment("05T13:00"), moment("05T14:00")),
            ("breach", moment("05T14:00"), moment("07T12:00")),
            ("unknown", moment("07T12:00"), moment("09T00:00")),
        )
        got = row_of(backup_days(jobs_of([]), pieces, [(None, Policy().rules(["a"]))], UTC))
        assert got == {"days": 3, "days_missed": 3}

    def test_local_hour(self) -> None:
        """The day begins at the policy's hour in the zone of the appliance."""
        jobs = jobs_of([("a", "success", "03T20:00", "03T21:59")])
        pieces = pieces_of(("compliant", moment("02T22:00"), moment("04T22:00")))
        tokyo = pd.Series(["Asia/Tokyo"], index=NAMES, dtype="str")
        rules = Policy(backup_day="07:00").rules(["a"])  # 22:00 UTC
        assert row_of(backup_days(jobs, pieces, [(None, rules)], tokyo)) == {
            "days": 2,
            "days_missed": 1,
        }
        assert row_of(backup_days(jobs, pieces, [(None, rules)], UTC)) == {
            "days": 1,
            "days_missed": 0,
        }

    def test_without_segments(self) -> None:
        """Without segments no day counts."""
        got = backup_days(jobs_of([]), pieces_of(), [(None, Policy().rules(["a"]))], UTC)
        assert row_of(got) == {"days": 0, "days_missed": 0}
