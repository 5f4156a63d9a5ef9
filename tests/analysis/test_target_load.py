"""Load on backup targets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backupkit.analysis import target_concurrency, target_of
from backupkit.analysis.arrays import sum_sizes
from backupkit.tables import JOBS, LOADS
from tests.builders import jobs_of, moment
from tests.conftest import repeats

MIDNIGHT = pd.Timestamp("2026-11-08", tz="UTC")
DAY = {"start": MIDNIGHT, "end": MIDNIGHT + pd.Timedelta(days=1)}
NAS = "sftp://nas.example.com/vc"
FTP = "ftp://10.0.0.1/vc"


def plan(rows: Sequence[tuple[str, pd.Timestamp, str | None]] = ()) -> pd.DataFrame:
    """Build expected runs from (appliance, slot, location) rows."""
    names, slots, locations = zip(*rows, strict=True) if rows else ((),) * 3
    return pd.DataFrame(
        {
            "appliance": pd.Series(names, dtype="str"),
            "slot": pd.Series(slots, dtype="datetime64[us, UTC]"),
            "location": pd.Series(locations, dtype="str"),
        }
    )


def typical_durations(**minutes: float | None) -> pd.Series:
    """Build typical durations [min]."""
    index = pd.Index(list(minutes), dtype="str")
    spans = [value and np.timedelta64(round(value), "m") for value in minutes.values()]
    return pd.Series(spans, dtype="timedelta64[us]", index=index)


def loads_of(
    jobs: pd.DataFrame,
    expected: pd.DataFrame | None = None,
    typical: pd.Series | None = None,
    **period: pd.Timestamp,
) -> pd.DataFrame:
    """Return the loads of the day."""
    got = target_concurrency(
        jobs,
        plan() if expected is None else expected,
        typical_durations() if typical is None else typical,
        **(DAY | period),
    )
    return LOADS.check(got)


class TestTargetOf:
    """`target_of`."""

    @pytest.mark.parametrize(
        ("location", "target"),
        [
            ("sftp://nas.example.com/vc/sn_x", "sftp://nas.example.com"),
            ("SFTP://NAS.Example.com", "sftp://nas.example.com"),
            ("sftp://10.0.0.250:/srv/backups", "sftp://10.0.0.250"),
            ("sftp://nas:22/x", "sftp://nas"),
            ("sftp://nas:2222/x", "sftp://nas:2222"),
            ("ftps://[fe80::1]:991/x", "ftps://[fe80::1]:991"),
            ("ftps://[fe80::1]/x@y", "ftps://[fe80::1]"),
            ("nfs://10.10.10.10:/nfs/iso", "nfs://10.10.10.10"),
            ("odd://nas:1/x", "odd://nas:1"),
            ("sftp://nas/x@y", "sftp://nas"),
            ("sftp://me@nas/x", "sftp://nas"),
            ("sftp://me:secret@nas:22/x@y", "sftp://nas"),
            ("sftp://me:se@cret@nas/x", "sftp://nas"),
            ("sftp://me:se/cret@nas/x", None),
            ("sftp://me:12/cret@nas/x", None),
            ("sftp://me:/cret@nas/x", None),
            ("sftp://me:12?cret@nas/x", None),
            ("sftp://me:12#cret@nas/x", None),
            ("sftp://me%3Asecret%40nas/x", None),
            ("sftp://" + "u" * 5000 + "@nas/x", None),
            ("sftp://me:" + "1" * 5000 + "@nas/x", None),
            ("sftp://nas:99999/x", None),
            ("sftp://nas:abc/x", None),
            ("//nas/share", None),
            ("nas/share", None),
            ("nas:/share", None),
            ("sftp:///x", None),
            ("sftp://na s/x", None),
            ("sftp://na\x1bs/x", None),
            ("//[broken", None),
            ("sftp://[broken/x", None),
            ("sftp://nas\u2100/x", None),
            ("nonsense", None),
            ("", None),
        ],
    )
    def test_locations(self, location: str, target: str | None) -> None:
        """Scheme, host and an unusual port are kept, a user is not."""
        assert target_of(location) == target

    @pytest.mark.property
    @given(st.text(alphabet="sftp:/@?#[]%nas.1\\ é\n", max_size=40))
    def test_anything(self, text: str) -> None:
        """A target never has a user, and the target of a target is itself."""
        for location in (text, f"sftp://{text}"):
            target = target_of(location)
            assert target is None or ("@" not in target and target_of(target) == target)


class TestActual:
    """The actual load."""

    def test_example_k(self) -> None:
        """Example K of docs/sla.md, section 7: the busy time is the union, 2.5 h and not 2.75 h."""
        rows = [
            ("a", "success", "08T01:00", "08T03:30"),
            ("a", "success", "08T02:00", "08T02:15"),
        ]
        got = loads_of(jobs_of(rows, location=[NAS, NAS], size=[100, None]))
        assert got.index.to_list() == ["sftp://nas.example.com"]
        [row] = got.to_dict("records")
        assert row == {
            "appliances": 1,
            "jobs": 2,
            "peak": 2,
            "peak_at": moment("08T02:00"),
            "planned_peak": 0,
            "planned_peak_at": pd.NaT,
            "busy_time": pd.Timedelta(hours=2.5),
            "bytes_sent": 100,
            "throughput": pytest.approx(100 / 9_000),
        }

    def test_targets(self) -> None:
        """Each target has a row, the busiest first; jobs without a target do not count."""
        rows = [
            ("a", "success", "08T01:00", "08T02:00"),
            ("b", "success", "08T01:30", "08T02:30"),
            ("c", "failure", "08T02:00", "08T03:00"),
            ("a", "success", "08T04:00", "08T05:00"),
            ("d", "success", "08T01:00", "08T09:00"),
            ("e", "success", "08T01:00", "08T09:00"),
        ]
        places = [NAS, "sftp://me:pw@nas.example.com/b", NAS, FTP, None, "//[broken"]
        got = loads_of(jobs_of(rows, location=places, size=[1, 2, 4, None, 16, 32]))
        assert got.index.to_list() == ["sftp://nas.example.com", "ftp://10.0.0.1"]
        assert got["appliances"].to_list() == [3, 1]
        assert got["jobs"].to_list() == [3, 1]
        assert got["peak"].to_list() == [2, 1]
        assert got["peak_at"].to_list() == [moment("08T01:30"), moment("08T04:00")]
        assert got["busy_time"].to_list() == [pd.Timedelta(hours=2), pd.Timedelta(hours=1)]
        assert got["bytes_sent"].fillna(-1).to_list() == [7, -1]

    def test_an_end_precedes_a_start(self) -> None:
        """Jobs that follow each other without a gap are not concurrent."""
        rows = [
            ("a", "success", "08T02:00", "08T03:00"),
            ("b", "success", "08T01:00", "08T02:00"),
        ]
        [row] = loads_of(jobs_of(rows, location=[NAS, NAS])).to_dict("records")
        assert (row["peak"], row["peak_at"]) == (1, moment("08T01:00"))
        assert row["busy_time"] == pd.Timedelta(hours=2)

    @pytest.mark.parametrize(
        ("row", "more", "runs", "busy", "sent"),
        [
            (("success", "07T23:00", "08T01:00"), {}, 1, 1, 7),
            (("success", "08T23:00", "09T01:00"), {}, 1, 1, None),
            (("success", "07T01:00", "09T01:00"), {}, 1, 24, None),
            (("success", "07T23:00", "08T00:00"), {}, 0, 0, 7),  # it ended in the period
            (("open", "08T22:00", None), {}, 1, 2, None),
            (("open", "08T01:00", None), {"vanished_at": "08T04:00"}, 1, 3, None),
            (("open", "07T01:00", None), {"vanished_at": "07T04:00"}, None, 0, None),
            (("failure", "08T01:00", "08T01:00"), {}, 1, 0, 7),
            (("failure", "08T05:00", "08T01:00"), {}, 1, 0, 7),
            (("failure", "08T01:00", None), {"last_seen_at": "08T02:00"}, 1, 1, 7),
            (("other", "08T01:00", "08T02:00"), {}, 1, 1, None),
            (("other", "08T01:00", None), {}, 1, 0, None),
            (("void", "08T01:00", "08T02:00"), {}, None, 0, None),
            (("success", None, "08T02:00"), {}, 0, 0, 7),
            (("success", "09T00:00", "09T01:00"), {}, None, 0, None),
            (("open", None, None), {}, None, 0, None),
        ],
    )
    def test_one_job(
        self,
        row: tuple[str, str | None, str | None],
        more: dict[str, str],
        runs: int | None,
        busy: int,
        sent: int | None,
    ) -> None:
        """The load of one job depends on its outcome and its times."""
        columns = {name: [moment(text)] for name, text in more.items()}
        got = loads_of(jobs_of([("a", *row)], location=[NAS], size=[7], **columns))
        if runs is None:
            assert got.empty
            return
        [load] = got.to_dict("records")
        assert (load["jobs"], load["appliances"]) == (runs, min(runs, 1))
        assert load["busy_time"] == pd.Timedelta(hours=busy)
        assert load["peak"] == (1 if busy else 0)
        assert pd.isna(load["peak_at"]) == (not busy)
        assert (None if pd.isna(load["bytes_sent"]) else load["bytes_sent"]) == sent

    def test_nothing(self) -> None:
        """Without jobs and expected runs there is no target."""
        assert loads_of(JOBS.empty()).empty


class TestPlanned:
    """The load that the schedules would cause."""

    def test_concurrent_runs(self) -> None:
        """Each expected run takes its appliance's typical time, half-open like a job."""
        rows = [
            ("a", moment("08T01:00"), NAS),
            ("b", moment("08T01:30"), NAS),
            ("c", moment("08T02:00"), NAS),
            ("c", moment("08T02:00"), FTP),
            ("c", moment("08T02:00"), None),
        ]
        got = loads_of(JOBS.empty(), plan(rows), typical_durations(a=60, b=60, c=60))
        assert got.index.to_list() == ["ftp://10.0.0.1", "sftp://nas.example.com"]
        assert got["planned_peak"].to_list() == [1, 2]
        assert got["planned_peak_at"].to_list() == [moment("08T02:00"), moment("08T01:30")]
        assert got["jobs"].to_list() == got["peak"].to_list() == [0, 0]
        assert got["appliances"].to_list() == [0, 0]
        assert got["bytes_sent"].isna().all()

    def test_only_the_period(self) -> None:
        """Runs expected before the period or at its end do not count."""
        rows = [("a", moment(slot), NAS) for slot in ("07T23:59", "08T00:00", "09T00:00")]
        got = loads_of(JOBS.empty(), plan(rows), typical_durations(a=60))
        assert got["planned_peak"].to_list() == [1]
        assert got["planned_peak_at"].to_list() == [moment("08T00:00")]

    @pytest.mark.parametrize(
        ("typical", "slot", "planned"),
        [
            (typical_durations(a=40, b=9), "08T01:39", 2),
            (typical_durations(a=40, b=9), "08T01:40", 1),
            (typical_durations(b=30, x=50), "08T01:39", 2),  # the median is 40 min
            (typical_durations(b=30, x=50), "08T01:40", 1),
            (typical_durations(a=None, b=30), "08T01:29", 2),
            (typical_durations(a=None, b=30), "08T01:30", 1),
            (typical_durations(), "08T01:59", 2),  # an hour
            (typical_durations(), "08T02:00", 1),
            (typical_durations(a=10**11), "08T23:59", 2),
            (typical_durations(a=0, b=5), "08T01:00", 1),
        ],
    )
    def test_unknown_time(self, typical: pd.Series, slot: str, planned: int) -> None:
        """An appliance without a typical duration has the median of the others, or one hour."""
        rows = [("a", moment("08T01:00"), NAS), ("b", moment(slot), NAS)]
        got = loads_of(JOBS.empty(), plan(rows), typical)
        assert got["planned_peak"].to_list() == [planned]

    def test_order(self) -> None:
        """The actual peak orders the targets, then their names."""
        jobs = jobs_of([("a", "success", "08T01:00", "08T02:00")], location=[NAS])
        rows = [("b", moment("08T01:00"), f"ftp://{host}/x") for host in ("z", "c", "z")]
        got = loads_of(jobs, plan(rows), typical_durations(b=10))
        assert got.index.to_list() == ["sftp://nas.example.com", "ftp://c", "ftp://z"]


SPAN = st.tuples(st.sampled_from("xyz"), st.integers(-3, 14), st.integers(0, 6))


def count_by_hour(
    rows: list[tuple[str, int, int]], target: str
) -> tuple[int, int | None, int, int]:
    """Return runs, peak, its time, and busy hours of a 12 h period, hour by hour."""
    spans = [
        (begin, begin + length)
        for place, begin, length in rows
        if place == target and begin < 12 and (begin + length > 0 or begin >= 0)
    ]
    at_once = [sum(begin <= hour < end for begin, end in spans) for hour in range(12)]
    most = max(at_once)
    when = at_once.index(most) if most else None
    return len(spans), when, most, sum(count > 0 for count in at_once)


@pytest.mark.property
@settings(max_examples=repeats(20, 200))
@given(rows=st.lists(SPAN, max_size=12))
@example(rows=[("x", 3, 0), ("x", 2, 1), ("x", 3, 1), ("y", -2, 2)])
def test_sweep_agrees_with_counting(rows: list[tuple[str, int, int]]) -> None:
    """The sweep agrees with a loop over the hours, for jobs and for expected runs."""
    begins = [MIDNIGHT + pd.Timedelta(hours=begin) for _, begin, _ in rows]
    ends = [
        begin + pd.Timedelta(hours=length)
        for begin, (_, _, length) in zip(begins, rows, strict=True)
    ]
    jobs = JOBS.frame(
        {
            "appliance": [str(number) for number in range(len(rows))],
            "outcome": ["success"] * len(rows),
            "start_time": begins,
            "end_time": ends,
            "location": [f"smb://{place}/share" for place, _, _ in rows],
        }
    )
    half = {"end": MIDNIGHT + pd.Timedelta(hours=12)}
    expected = jobs.rename(columns={"start_time": "slot"})
    typical = pd.Series(jobs["end_time"] - jobs["start_time"]).set_axis(jobs["appliance"])
    got = loads_of(jobs, expected, typical, **half)
    for target in "xyz":
        runs, when, most, busy = count_by_hour(rows, target)
        if runs == 0:
            assert f"smb://{target}" not in got.index or got.loc[f"smb://{target}", "jobs"] == 0
            continue
        row: Any = got.loc[f"smb://{target}"]
        at = pd.NaT if when is None else MIDNIGHT + pd.Timedelta(hours=when)
        assert (row["jobs"], row["appliances"], row["peak"]) == (runs, runs, most)
        assert row["busy_time"] == pd.Timedelta(hours=busy)
        assert row["peak_at"] is at or row["peak_at"] == at
        inside = [row for row in rows if 0 <= row[1] < 12]
        _, plan_when, plan_most, _ = count_by_hour(inside, target) if inside else (0, None, 0, 0)
        assert row["planned_peak"] == plan_most
        assert pd.isna(row["planned_peak_at"]) == (plan_when is None)


def test_sums() -> None:
    """A sum without values, or larger than an integer can be, is missing."""
    groups = np.array([0, 0, 1, 2, 2, -1, 4])
    sizes = pd.Series([1, 0, None, 2**63 - 1, 2**63 - 1, 5, -1], dtype="Int64")
    sums = sum_sizes(groups, sizes, number=5)
    assert sums.dtype == "Int64"
    assert sums.fillna(-1).to_list() == [1, -1, -1, -1, -1]
