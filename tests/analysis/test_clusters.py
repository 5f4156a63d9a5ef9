"""Properties that appliances with the same failure share."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backupkit.analysis import (
    clusters,
    duplicate_appliances,
    failure_counts,
    failure_signatures,
    recent_jobs,
)
from backupkit.tables import CLUSTERS, FAILURE_COUNTS, JOBS
from tests.builders import jobs_of, message, moment
from tests.conftest import repeats

NO_MEMBERS = pd.DataFrame({"site": [], "group": []}, dtype="str")
DAY = pd.Timestamp("2026-11-02", tz="UTC")


def messages(*texts: str) -> list[list[dict[str, Any]]]:
    """Return the messages of each job."""
    return [[message(text)] for text in texts]


def fleet(
    rows: Sequence[tuple[str, str | None, str | None, str | None]],
    members: pd.DataFrame = NO_MEMBERS,
) -> pd.DataFrame:
    """Find the clusters of (appliance, failure or None for a success, target, build) jobs."""
    names, texts, _, builds = zip(*rows, strict=True)
    count = len(rows)
    jobs = JOBS.frame(
        {
            "appliance": names,
            "job_id": [f"job-{number}" for number in range(count)],
            "outcome": ["success" if text is None else "failure" for text in texts],
            "end_time": [DAY + pd.Timedelta(minutes=number) for number in range(count)],
            "messages": messages(*(text or "" for text in texts)),
            "location": [target and f"sftp://{target}/x/{name}" for name, _, target, _ in rows],
            "build": builds,
        }
    )
    found = clusters(
        jobs, failure_signatures(jobs), members, start=DAY, end=DAY + pd.Timedelta(days=1)
    )
    return CLUSTERS.check(found)


def failing(count: int, target: str = "nas-1") -> list[tuple[str, str, str, None]]:
    """Return failures of `count` appliances on one target."""
    return [(f"bad-{number}", "x", target, None) for number in range(count)]


def plain(count: int, target: str, *, first: int = 0) -> list[tuple[str, None, str, None]]:
    """Return successes of `count` appliances on one target."""
    return [(f"ok-{number}", None, target, None) for number in range(first, first + count)]


class TestFailureCounts:
    """Failures by signature, appliance and day."""

    def test_counts(self) -> None:
        """The end of a job decides the day and the period; only failures count."""
        jobs = jobs_of(
            [
                ("b", "failure", "01T22:00", "01T23:59"),
                ("b", "failure", "01T23:00", "02T00:00"),
                ("b", "failure", "02T01:00", "02T23:59"),
                ("a", "failure", "02T01:00", "03T00:00"),
                ("a", "success", "02T01:00", "02T02:00"),
                ("a", "open", "02T01:00", None),
                ("a", "failure", "02T01:00", "02T02:00"),
                ("a", "failure", "04T01:00", "05T00:00"),
            ],
            messages=messages("x", "x", "x", "x", "x", "x", "y", "x"),
        )
        got = failure_counts(
            jobs, failure_signatures(jobs), start=moment("02T00:00"), end=moment("05T00:00")
        )
        FAILURE_COUNTS.check(got)
        assert got.drop(columns=["build", "target"]).to_numpy().tolist() == [
            ["x", "a", moment("03T00:00"), 0, 1],
            ["x", "b", moment("02T00:00"), 0, 1],
            ["x", "b", moment("02T00:00"), 23, 1],
            ["y", "a", moment("02T00:00"), 2, 1],
        ]

    def test_shuffled_subset(self) -> None:
        """The rows may be any subset of those with signatures, in any order."""
        jobs = jobs_of(
            [
                ("a", "failure", "02T01:00", "02T02:00"),
                ("b", "success", "02T01:00", "02T02:00"),
                ("c", "failure", "02T01:00", "02T02:00"),
            ],
            messages=messages("x", "", "z"),
        )
        period = {"start": moment("02T00:00"), "end": moment("03T00:00")}
        got = failure_counts(jobs.iloc[[2, 1]], failure_signatures(jobs), **period)
        assert got[["signature", "appliance"]].to_numpy().tolist() == [["z", "c"]]

    def test_nothing(self) -> None:
        """Without jobs there are no counts."""
        jobs, period = JOBS.empty(), {"start": moment("02T00:00"), "end": moment("03T00:00")}
        assert FAILURE_COUNTS.check(failure_counts(jobs, failure_signatures(jobs), **period)).empty


class TestClusters:
    """Shared properties and their lift."""

    def test_none_elsewhere(self) -> None:
        """Seven of seven on one target and none of 33 elsewhere is a cluster without a lift."""
        got = fleet([*failing(7), *plain(33, "nas-2")])
        sentence = "7 of 7 on the same target sftp://nas-1, no other appliance (0 of 33)"
        assert got.drop(columns="lift").to_numpy().tolist() == [
            ["x", "target", "sftp://nas-1", 7, 7, 7, 33, sentence]
        ]
        assert got["lift"].isna().all()

    def test_lift(self) -> None:
        """6 of 8 on nas-1 and 1 of 12 elsewhere have a lift of (6 / 8) / (1 / 12) = 9."""
        got = fleet(
            [
                *failing(6),
                ("bad-6", "x", "nas-2", None),
                *plain(2, "nas-1"),
                *plain(11, "nas-2", first=2),
            ]
        )
        assert got.drop(columns="finding").to_numpy().tolist() == [
            ["x", "target", "sftp://nas-1", 6, 7, 8, 12, 9.0]
        ]
        assert got["finding"].to_list() == [
            "6 of 7 on the same target sftp://nas-1, 9.0x more often than the rest"
        ]

    @pytest.mark.parametrize(
        ("elsewhere", "kept"),
        [(5, False), (6, False), (7, True)],
    )
    def test_lift_above(self, elsewhere: int, *, kept: bool) -> None:
        """2 of 4 on nas-1 against 1 of 2, 3 or 4 elsewhere: only a lift above 1.5 is kept."""
        others = plain(elsewhere - 4, "nas-2", first=2)
        got = fleet([*failing(2), ("bad-2", "x", "nas-2", None), *plain(2, "nas-1"), *others])
        assert len(got) == kept

    def test_shared_by_all(self) -> None:
        """A property of all appliances is no cluster."""
        assert fleet([*failing(3), *plain(5, "nas-1")]).empty

    def test_one_failing_appliance(self) -> None:
        """A property of one failing appliance is no cluster."""
        assert fleet([("bad", "x", "nas-1", None), *plain(5, "nas-2")]).empty

    def test_half_is_not_most(self) -> None:
        """Two of four is no majority; two of three is."""
        two = [("bad-1", "x", "nas-1", None), ("bad-2", "x", "nas-1", None)]
        odd = [("bad-3", "x", "nas-3", None), ("bad-4", "x", "nas-4", None)]
        assert fleet([*two, *odd, *plain(20, "nas-2")]).empty
        assert fleet([*two, odd[0], *plain(20, "nas-2")])["affected"].to_list() == [3]

    def test_unknown_is_left_out(self) -> None:
        """Appliances with an unknown target count on neither side."""
        unknown = [("bad-8", "x", None, None), ("bad-9", "x", None, None), ("ok", None, None, None)]
        got = fleet([*failing(2), *unknown, *plain(3, "nas-2")])
        counts = got[["appliances", "affected", "sharing", "others"]]
        assert counts.to_numpy().tolist() == [[2, 2, 2, 3]]

    def test_unreadable_location(self) -> None:
        """A location that is no URI is unknown."""
        assert fleet([*failing(2, "[nas"), *plain(3, "nas-2")]).empty

    def test_newest_known_value(self) -> None:
        """The newest job with a known value counts."""
        rows = [
            ("bad-1", "x", "nas-2", "1"),
            ("bad-1", "x", "nas-1", "2"),
            ("bad-1", "x", None, None),
            ("bad-2", "x", "nas-1", "2"),
            *plain(2, "nas-2"),
            ("ok-0", None, "nas-3", None),
        ]
        got = fleet(rows)
        assert got[["property", "value", "others"]].to_numpy().tolist() == [
            ["target", "sftp://nas-1", 2]
        ]

    def test_failed_jobs_decide(self) -> None:
        """An appliance counts with the target on which it failed, and once."""
        rows = [
            ("bad-1", "x", "nas-1", None),
            ("bad-1", None, "nas-2", None),
            ("bad-2", "x", "nas-1", None),
            ("bad-2", None, None, None),
            ("bad-3", "x", None, None),
            ("bad-3", None, "nas-2", None),
            *plain(1, "nas-1"),
            *plain(4, "nas-2", first=1),
        ]
        got = fleet(rows)
        counts = got[["appliances", "affected", "sharing", "others"]]
        # nas-1: bad-1, bad-2, ok-0; nas-2: ok-1 to ok-4; the target of bad-3 is unknown
        assert counts.to_numpy().tolist() == [[2, 2, 3, 4]]

    def test_build_site_group(self) -> None:
        """Builds, sites and groups each have their own sentence."""
        rows = [("bad-1", "x", None, "7"), ("bad-2", "x", None, "7"), ("ok", None, None, "8")]
        members = pd.DataFrame(
            {"site": ["Bonn", "Bonn", "Oslo", "Rome"], "group": ["p", "p", "q", "q"]},
            index=pd.Index(["bad-1", "bad-2", "ok", "silent"], dtype="str"),
        )
        assert fleet(rows, members)["finding"].to_list() == [
            "2 of 2 on the same build 7, no other appliance (0 of 1)",
            "2 of 2 at the same site Bonn, no other appliance (0 of 1)",
            "2 of 2 in the same group p, no other appliance (0 of 1)",
        ]

    def test_order(self) -> None:
        """The signature with the most appliances comes first, then the higher lift."""
        rows = [
            ("a", "few", "nas-9", "1"),
            ("b", "few", "nas-9", "1"),
            ("c", "many", "nas-1", "2"),
            ("d", "many", "nas-1", "2"),
            ("e", "many", "nas-2", "2"),
            *[(f"ok-{number}", None, "nas-2", "3") for number in range(6)],
        ]
        got = fleet(rows)
        assert got[["signature", "property"]].to_numpy().tolist() == [
            ["many", "build"],  # none elsewhere
            ["many", "target"],  # (2 / 2) / (1 / 9) = 9
            ["few", "target"],
            ["few", "build"],
        ]
        assert got["lift"].dropna().to_list() == [9.0]

    def test_outside_the_period(self) -> None:
        """Jobs that end outside the period, or have not ended, do not count."""
        jobs = jobs_of(
            [
                ("a", "failure", "02T01:00", "02T02:00"),
                ("b", "failure", "02T01:00", "02T02:00"),
                ("c", "failure", "03T01:00", "04T00:00"),
                ("d", "open", "02T01:00", None),
                ("e", "success", "01T23:00", "02T00:00"),
            ],
            location=[f"sftp://nas-{number}/x" for number in (1, 1, 1, 2, 2)],
        )
        got = clusters(
            jobs,
            failure_signatures(jobs),
            NO_MEMBERS,
            start=moment("02T00:00"),
            end=moment("04T00:00"),
        )
        assert got[["affected", "sharing", "others"]].to_numpy().tolist() == [[2, 2, 1]]

    def test_long_value(self) -> None:
        """A very long build is cut in the sentence."""
        rows = [("bad-1", "x", None, "7" * 500), ("bad-2", "x", None, "7" * 500)]
        got = fleet([*rows, ("ok", None, None, "8")])
        assert len(got["finding"][0]) < 200

    def test_nothing(self) -> None:
        """Without jobs or without failures there is no cluster."""
        jobs = JOBS.empty()
        period = {"start": DAY, "end": DAY + pd.Timedelta(days=1)}
        assert CLUSTERS.check(clusters(jobs, failure_signatures(jobs), NO_MEMBERS, **period)).empty
        assert fleet(plain(3, "nas-1")).empty

    @pytest.mark.property
    @settings(max_examples=repeats(10, 100))
    @given(
        st.lists(
            st.tuples(
                st.sampled_from("abcdef"),
                st.sampled_from(["x", "y", None]),
                st.sampled_from(["nas-1", "nas-2", None]) | st.text(max_size=5),
                st.sampled_from(["1", "2", None]),
            ),
            min_size=1,
            max_size=25,
        )
    )
    @example(
        [
            *[(name, "x", None, "1") for name in "abc"],
            *[(name, None, None, "2") for name in "def"],
        ]
    )
    def test_any_fleet(self, rows: list[tuple[str, str | None, str | None, str | None]]) -> None:
        """The counts agree with a loop over the jobs."""
        got = fleet(rows)
        assert (got["appliances"] <= got["affected"]).all()
        assert (got["appliances"] <= got["sharing"]).all()
        assert (got["sharing"] + got["others"] <= len({name for name, *_ in rows})).all()
        assert not got.duplicated(["signature", "property"]).any()
        for row in got[got["property"] == "build"].itertuples():
            usual = {name: build for name, _, _, build in rows if build}
            failed = {
                name: next(
                    (b for n, t, _, b in rows[::-1] if (n, t) == (name, row.signature) and b), None
                )
                for name, text, *_ in rows
                if text == row.signature
            }
            builds = {name: build for name, build in (usual | failed).items() if build}
            shared = [name for name, build in builds.items() if build == row.value]
            assert row.sharing == len(shared)
            assert row.others == len(builds) - len(shared)
            assert row.appliances == len(set(shared) & set(failed))
            assert row.affected == len(set(builds) & set(failed))


class TestDuplicates:
    """One appliance with two names."""

    def test_newest_hundred(self) -> None:
        """The newest 100 jobs are compared, in any order of rows."""
        times = [
            f"2026-{month:02}-{day:02}T01:00:00" for month in range(1, 11) for day in range(1, 29)
        ]
        ids = [f"job-{number}" for number in range(len(times))]
        rows = [(name, "success", time, time) for name in "ab" for time in times]
        jobs = jobs_of(rows, job_id=ids * 2)
        assert recent_jobs(jobs)["job_id"].to_list() == ids[-100:] * 2
        for listed in (jobs, jobs[::-1], recent_jobs(jobs)):
            assert duplicate_appliances(listed).to_numpy().tolist() == [["a", "b", 100]]

    def test_few_jobs(self) -> None:
        """Jobs without start or end are not compared; three others are enough."""
        rows: list[Any] = [
            (name, "success", f"0{day}T01:00", f"0{day}T02:00") for name in "ab" for day in (1, 2)
        ]
        rows += [("a", "open", "03T01:00", None), ("b", "success", None, "03T01:00")]
        jobs = jobs_of(rows, job_id=["1", "2", "1", "2", "3", "3"])
        assert len(recent_jobs(jobs)) == 4
        assert duplicate_appliances(jobs).empty
        third = jobs_of(
            [(name, "failure", "04T01:00", "04T02:00") for name in "ab"], job_id=["4"] * 2
        )
        assert duplicate_appliances(pd.concat([jobs, third])).to_numpy().tolist() == [["a", "b", 3]]
