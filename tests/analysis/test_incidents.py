"""Incidents, MTTR and MTBF."""

import pandas as pd

from backupkit.analysis import incident_figures, incidents
from tests.builders import jobs_of, moment

START, END = moment("02T00:00"), moment("07T00:00")


def overdue(*rows: tuple[str, str]) -> pd.DataFrame:
    """Build judged slots from (appliance, overdue) rows."""
    times = [moment(time) for _, time in rows]
    return pd.DataFrame(
        {
            "appliance": pd.Series([name for name, _ in rows], dtype="str"),
            "overdue": pd.Series(times, dtype="datetime64[us, UTC]"),
        }
    )


def found_in(jobs: pd.DataFrame, slots: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the incidents of 2 to 6 November, with everything known to the end."""
    known = pd.Series(dtype="datetime64[us, UTC]")
    slots = overdue() if slots is None else slots
    return incidents(jobs, slots, start=START, end=END, known_until=known)


class TestIncidents:
    """`incidents`."""

    def test_one_row_an_incident(self) -> None:
        """All failures up to the next success, of any type, are one incident."""
        jobs = jobs_of(
            [
                ("a", "success", "02T00:00", "02T01:00"),
                ("a", "failure", "03T00:00", "03T01:00"),
                ("a", "failure", "04T00:00", "04T01:00"),
                ("a", "success", "04T06:00", "04T07:00"),
                ("a", "failure", "06T00:00", "06T01:00"),
            ]
        )
        got = found_in(jobs)
        assert got["onset"].to_list() == [moment("03T01:00"), moment("06T01:00")]
        assert got["recovery"].to_list() == [moment("04T07:00"), pd.NaT]
        assert got["duration"].to_list() == [pd.Timedelta(hours=30), pd.Timedelta(hours=23)]
        assert got["open"].to_list() == [False, True]
        assert got["kind"].to_list() == ["failed", "failed"]

    def test_open_incident_ends_at_known_until(self) -> None:
        """An open incident lasts at least until `known_until`, and never less than 0."""
        jobs = jobs_of(
            [("a", "failure", "03T00:00", "03T01:00"), ("b", "failure", "03T00:00", "03T01:00")]
        )
        known = pd.Series({"a": moment("04T00:00"), "b": moment("02T12:00")})
        got = incidents(jobs, overdue(), start=START, end=END, known_until=known)
        assert got["duration"].to_list() == [pd.Timedelta(hours=23), pd.Timedelta(0)]

    def test_run_that_did_not_start(self) -> None:
        """An overdue run opens an incident, unless one is already open."""
        jobs = jobs_of([("a", "failure", "03T00:00", "03T01:00")])
        slots = overdue(("a", "04T02:00"), ("b", "04T02:00"))
        got = found_in(jobs, slots)
        assert got["kind"].to_dict() == {0: "failed", 1: "norun"}
        assert got["onset"].to_list() == [moment("03T01:00"), moment("04T02:00")]

    def test_failure_at_the_time_of_a_success(self) -> None:
        """A failure at the time of a success is before it: a closed incident of 0 h."""
        jobs = jobs_of(
            [("a", "success", "03T00:00", "03T01:00"), ("a", "failure", "03T00:00", "03T01:00")]
        )
        got = found_in(jobs)
        assert got["duration"].to_list() == [pd.Timedelta(0)]
        assert got["open"].to_list() == [False]

    def test_bounds_of_the_period(self) -> None:
        """Incidents outside the period are left out; one open at its start is carried over."""
        jobs = jobs_of(
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
        got = found_in(jobs)
        assert got["appliance"].to_list() == ["b", "d"]
        assert got["carried_over"].to_list() == [True, False]
        assert got["onset"].to_list() == [moment("01T01:00"), moment("06T01:00")]
        assert got["open"].to_list() == [False, True]

    def test_nothing(self) -> None:
        """Without jobs and slots there is no incident."""
        assert found_in(jobs_of([])).empty


class TestFigures:
    """MTTR and MTBF."""

    def test_carried_over_and_open(self) -> None:
        """New closed incidents count in MTTR, all observed incident time shortens MTBF."""
        jobs = jobs_of(
            [
                ("a", "failure", "01T00:00", "01T12:00"),
                ("a", "success", "02T00:00", "02T06:00"),
                ("a", "failure", "03T00:00", "03T00:00"),
                ("a", "success", "03T00:00", "03T10:00"),
                ("a", "failure", "05T00:00", "05T00:00"),
            ]
        )
        found = found_in(jobs)
        index = pd.Index(["a", "b"], dtype="str", name="appliance")
        pieces = pd.DataFrame(
            {
                "appliance": ["a", "a", "b"],
                "state": ["compliant", "unknown", "unknown"],
                "start": [START, moment("06T00:00"), START],
                "end": [moment("06T00:00"), END, END],
                "excluded_by_rule": [False, False, False],
            }
        )
        got = incident_figures(found, pieces, appliances=index)
        assert got["incidents"].to_list() == [2, 0]
        assert got["incidents_closed"].to_list() == [1, 0]
        assert got["restore_time"].to_list() == [pd.Timedelta(hours=10), pd.Timedelta(0)]
        assert got["incident_free"].to_list() == [pd.Timedelta(hours=56), pd.Timedelta(0)]
        assert got["mttr"].to_list() == [pd.Timedelta(hours=10), pd.NaT]
        # 96 h observed, of which 6 + 10 + 24 h are in incidents, two of them new
        assert got["mtbf"].to_list() == [pd.Timedelta(hours=28), pd.NaT]
        assert got["incident_since"].to_list() == [moment("05T00:00"), pd.NaT]
