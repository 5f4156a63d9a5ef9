"""Incidents, MTTR and MTBF."""

from collections.abc import Callable

import pandas as pd
import pytest

from backupkit.analysis import incident_figures, incidents

Build = Callable[..., pd.DataFrame]
Moment = Callable[[str], pd.Timestamp]


@pytest.fixture
def overdue(moment: Moment) -> Callable[..., pd.DataFrame]:
    """Build judged slots from (appliance, overdue) rows."""

    def make(*rows: tuple[str, str]) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "appliance": pd.Series([name for name, _ in rows], dtype="str"),
                "overdue": pd.Series(
                    [moment(time) for _, time in rows], dtype="datetime64[us, UTC]"
                ),
            }
        )

    return make


def found_in(
    jobs: pd.DataFrame, slots: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """Return the incidents, with everything known to the period's end."""
    known = pd.Series(dtype="datetime64[us, UTC]")
    return incidents(jobs, slots, start=start, end=end, known_until=known)


class TestIncidents:
    """`incidents`."""

    def test_one_row_a_stretch(self, make_jobs: Build, overdue: Build, moment: Moment) -> None:
        """All failures up to the next success, of any type, are one incident."""
        jobs = make_jobs(
            [
                ("a", "success", "02T00:00", "02T01:00"),
                ("a", "failure", "03T00:00", "03T01:00"),
                ("a", "failure", "04T00:00", "04T01:00"),
                ("a", "success", "04T06:00", "04T07:00"),
                ("a", "failure", "06T00:00", "06T01:00"),
            ]
        )
        got = found_in(jobs, overdue(), start=moment("02T00:00"), end=moment("07T00:00"))
        assert got["onset"].to_list() == [moment("03T01:00"), moment("06T01:00")]
        assert got["recovery"].to_list() == [moment("04T07:00"), pd.NaT]
        assert got["duration"].to_list() == [pd.Timedelta(hours=30), pd.Timedelta(hours=23)]
        assert got["open"].to_list() == [False, True]
        assert got["kind"].to_list() == ["failed", "failed"]

    def test_what_is_not_known_is_not_counted(
        self, make_jobs: Build, overdue: Build, moment: Moment
    ) -> None:
        """An open incident lasts at least until `known_until`, and never less than 0."""
        jobs = make_jobs(
            [("a", "failure", "03T00:00", "03T01:00"), ("b", "failure", "03T00:00", "03T01:00")]
        )
        known = pd.Series({"a": moment("04T00:00"), "b": moment("02T12:00")})
        got = incidents(
            jobs,
            overdue(),
            start=moment("02T00:00"),
            end=moment("07T00:00"),
            known_until=known,
        )
        assert got["duration"].to_list() == [pd.Timedelta(hours=23), pd.Timedelta(0)]

    def test_run_that_did_not_start(self, make_jobs: Build, overdue: Build, moment: Moment) -> None:
        """An overdue run opens an incident, unless one is already open."""
        jobs = make_jobs([("a", "failure", "03T00:00", "03T01:00")])
        slots = overdue(("a", "04T02:00"), ("b", "04T02:00"))
        got = found_in(jobs, slots, start=moment("02T00:00"), end=moment("07T00:00"))
        assert got["kind"].to_dict() == {0: "failed", 1: "norun"}
        assert got["onset"].to_list() == [moment("03T01:00"), moment("04T02:00")]

    def test_failure_at_the_instant_of_a_success(
        self, make_jobs: Build, overdue: Build, moment: Moment
    ) -> None:
        """A failure at the time of a success is before it: a closed incident of 0 h."""
        jobs = make_jobs(
            [("a", "success", "03T00:00", "03T01:00"), ("a", "failure", "03T00:00", "03T01:00")]
        )
        got = found_in(jobs, overdue(), start=moment("02T00:00"), end=moment("07T00:00"))
        assert got["duration"].to_list() == [pd.Timedelta(0)]
        assert got["open"].to_list() == [False]

    def test_bounds_of_the_period(self, make_jobs: Build, overdue: Build, moment: Moment) -> None:
        """Incidents outside the period are left out; one open at its start is carried over."""
        jobs = make_jobs(
            [
                ("a", "failure", "01T00:00", "01T01:00"),
                ("a", "success", "01T02:00", "02T00:00"),
                ("b", "failure", "01T00:00", "01T01:00"),
                ("b", "success", "03T00:00", "03T01:00"),
                ("c", "failure", "01T00:00", "07T00:00"),
                ("d", "failure", "06T00:00", "06T01:00"),
                ("d", "success", "07T00:00", "07T00:01"),
            ]
        )
        got = found_in(jobs, overdue(), start=moment("02T00:00"), end=moment("07T00:00"))
        assert got["appliance"].to_list() == ["b", "d"]
        assert got["carried_over"].to_list() == [True, False]
        assert got["onset"].to_list() == [moment("01T01:00"), moment("06T01:00")]
        assert got["open"].to_list() == [False, True]

    def test_nothing(self, make_jobs: Build, overdue: Build, moment: Moment) -> None:
        """Without jobs and slots there is no incident."""
        got = found_in(make_jobs([]), overdue(), start=moment("02T00:00"), end=moment("07T00:00"))
        assert got.empty


class TestFigures:
    """MTTR and MTBF."""

    def test_carried_over_and_open(self, make_jobs: Build, overdue: Build, moment: Moment) -> None:
        """New closed incidents count in MTTR, all observed incident time shortens MTBF."""
        jobs = make_jobs(
            [
                ("a", "failure", "01T00:00", "01T12:00"),
                ("a", "success", "02T00:00", "02T06:00"),
                ("a", "failure", "03T00:00", "03T00:00"),
                ("a", "success", "03T00:00", "03T10:00"),
                ("a", "failure", "05T00:00", "05T00:00"),
            ]
        )
        start, end = moment("02T00:00"), moment("07T00:00")
        found = found_in(jobs, overdue(), start=start, end=end)
        index = pd.Index(["a", "b"], dtype="str", name="appliance")
        pieces = pd.DataFrame(
            {
                "appliance": ["a", "a", "b"],
                "state": ["compliant", "unknown", "unknown"],
                "start": [start, moment("06T00:00"), start],
                "end": [moment("06T00:00"), end, end],
                "excluded_by_rule": [False, False, False],
            }
        )
        got = incident_figures(found, pieces, appliances=index)
        assert got["incidents"].to_list() == [2, 0]
        assert got["mttr"].to_list() == [pd.Timedelta(hours=10), pd.NaT]
        # 96 h observed, of which 6 + 10 + 24 h are in incidents, two of them new
        assert got["mtbf"].to_list() == [pd.Timedelta(hours=28), pd.NaT]
        assert got["incident_since"].to_list() == [moment("05T00:00"), pd.NaT]
