"""Properties that appliances with the same failure share."""

import math
import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backupkit.analysis import (
    clusters,
    duplicate_appliances,
    failure_counts,
    failure_signatures,
    find_shared_values,
    recent_jobs,
)
from backupkit.analysis.clusters import SharedValues
from backupkit.analysis.exact_tests import askable_limit, hypergeometric_tail, q_values
from backupkit.tables import CLUSTER_TESTS, CLUSTERS, FAILURE_COUNTS, JOBS
from tests.builders import jobs_of, message, moment
from tests.conftest import repeats

NO_MEMBERS = pd.DataFrame({"site": [], "group": []}, dtype="str")
DAY = pd.Timestamp("2026-11-02", tz="UTC")


def messages(*texts: str) -> list[list[dict[str, Any]]]:
    """Return the messages of each job."""
    return [[message(text)] for text in texts]


Row = tuple[str, str | None, str | None, str | None]
"""Appliance, failure (None for a success), target and build."""


def share(rows: Sequence[Row], members: pd.DataFrame = NO_MEMBERS) -> SharedValues:
    """Find the shared values of the appliances with these jobs."""
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
    return find_shared_values(
        jobs, failure_signatures(jobs), members, start=DAY, end=DAY + pd.Timedelta(days=1)
    )


def fleet(rows: Sequence[Row], members: pd.DataFrame = NO_MEMBERS) -> pd.DataFrame:
    """Find the clusters of the appliances with these jobs."""
    return CLUSTERS.check(share(rows, members).clusters)


def questions(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the tests of the appliances with these jobs."""
    return CLUSTER_TESTS.check(share(rows).tests)


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
    """Shared properties, with the chance of each."""

    def test_none_elsewhere(self) -> None:
        """Seven of seven on one target and none of 33 elsewhere is a cluster without a lift."""
        got = fleet([*failing(7), *plain(33, "nas-2")])
        sentence = (
            "7 of 7 on the same target sftp://nas-1, no other appliance (0 of 33); "
            "p < 0.000001, q < 0.000001"
        )
        chance = pytest.approx(1 / math.comb(40, 7))
        assert got.drop(columns="lift").to_numpy().tolist() == [
            ["x", "target", "sftp://nas-1", 7, 7, 7, 33, chance, chance, sentence]
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
        # 6 or 7 of the 7 affected are among 8 of 20; the second question is about nas-2
        chance = (math.comb(8, 6) * 12 + 8) / math.comb(20, 7)
        assert got.drop(columns="finding").to_numpy().tolist() == [
            [
                *("x", "target", "sftp://nas-1", 6, 7, 8, 12, 9.0),
                *(pytest.approx(chance), pytest.approx(2 * chance)),
            ]
        ]
        assert got["finding"].to_list() == [
            "6 of 7 on the same target sftp://nas-1, 9.0x more often than the rest (1 of 12); p = 0.0044, q = 0.0089"  # noqa: E501 # as it is shown
        ]

    @pytest.mark.parametrize(("others", "kept"), [(4, False), (5, True)])
    def test_level(self, others: int, *, kept: bool) -> None:
        """2 of 2 on nas-1 are a finding if at most 1 of 20 choices of 2 appliances has both."""
        # 1 of the 15 choices of 2 of 6, or 1 of the 21 choices of 2 of 7
        assert len(fleet([*failing(2), *plain(others, "nas-2")])) == kept

    def test_more_questions(self) -> None:
        """The same appliances are no finding where many questions are asked."""
        rows = [*failing(3), *plain(9, "nas-2")]  # 1 of 220 choices
        assert len(fleet(rows)) == 1
        many = [
            (name, f"failure-{kind}", "nas-2" if name != "ok-0" else "nas-1", None)
            for kind in "abcdefghijklm"
            for name in ("ok-0", "ok-1", "ok-2")
        ]
        assert fleet([*rows, *many]).empty

    def test_shared_by_all(self) -> None:
        """A property of all appliances is no cluster."""
        assert fleet([*failing(3), *plain(5, "nas-1")]).empty

    def test_one_failing_appliance(self) -> None:
        """A property of one failing appliance is no cluster, however rare it is."""
        assert fleet([("bad", "x", "nas-1", None), *plain(50, "nas-2")]).empty

    def test_one_of_two(self) -> None:
        """One affected appliance on a rare target is no cluster."""
        pair = [("bad-1", "x", "nas-1", None), ("bad-2", "x", "nas-2", None)]
        assert fleet([*pair, ("ok", None, "nas-1", None), *plain(80, "nas-2")]).empty

    def test_two_values(self) -> None:
        """Two targets can be shared by the appliances with one failure."""
        second = [(f"bad-{number}", "x", "nas-3", None) for number in range(5, 10)]
        got = fleet([*failing(5), *second, *plain(90, "nas-2")])
        assert got["value"].to_list() == ["sftp://nas-1", "sftp://nas-3"]

    def test_unknown_is_left_out(self) -> None:
        """Appliances with an unknown target count on neither side."""
        unknown = [("bad-8", "x", None, None), ("bad-9", "x", None, None), ("ok", None, None, None)]
        got = fleet([*failing(2), *unknown, *plain(13, "nas-2")])
        counts = got[["appliances", "affected", "sharing", "others", "p_value"]]
        assert counts.to_numpy().tolist() == [[2, 2, 2, 13, pytest.approx(1 / math.comb(15, 2))]]

    def test_unreadable_location(self) -> None:
        """A location that is no URI is unknown."""
        assert fleet([*failing(2, "[nas"), *plain(13, "nas-2")]).empty

    def test_newest_known_value(self) -> None:
        """The newest job with a known value counts."""
        rows = [
            ("bad-1", "x", "nas-2", "1"),
            ("bad-1", "x", "nas-1", "2"),
            ("bad-1", "x", None, None),
            ("bad-2", "x", "nas-1", "2"),
            *plain(10, "nas-2"),
            ("ok-0", None, "nas-3", None),
        ]
        got = fleet(rows)
        assert got[["property", "value", "others"]].to_numpy().tolist() == [
            ["target", "sftp://nas-1", 10]
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
            *plain(29, "nas-2", first=1),
        ]
        got = fleet(rows)
        counts = got[["appliances", "affected", "sharing", "others"]]
        # nas-1: bad-1, bad-2, ok-0; nas-2: ok-1 to ok-29; the target of bad-3 is unknown
        assert counts.to_numpy().tolist() == [[2, 2, 3, 29]]

    def test_build_site_group(self) -> None:
        """Builds, sites and groups each have their own sentence."""
        rows: list[tuple[str, str | None, str | None, str | None]] = [
            (f"bad-{number}", "x", None, "7") for number in range(3)
        ]
        rows += [(f"ok-{number}", None, None, "8") for number in range(10)]
        members = pd.DataFrame(
            {"site": ["Bonn"] * 3 + ["Oslo"] * 11, "group": ["p"] * 3 + ["q"] * 11},
            index=pd.Index([*(name for name, *_ in rows), "silent"], dtype="str"),
        )
        # 1 of the 286 choices of 3 of 13; 286 is q, too: all three are findings
        chance = "no other appliance (0 of 10); p = 0.0035, q = 0.0035"
        assert fleet(rows, members)["finding"].to_list() == [
            f"3 of 3 on the same build 7, {chance}",
            f"3 of 3 at the same site Bonn, {chance}",
            f"3 of 3 in the same group p, {chance}",
        ]

    def test_order(self) -> None:
        """The signature with the most appliances comes first, then the smaller p value."""
        rows = [
            *((name, "few", "nas-9", "1") for name in "abc"),
            *((name, "many", "nas-1", "2") for name in "defg"),
            ("h", "many", "nas-2", "2"),
            *[(f"ok-{number}", None, "nas-2", "3") for number in range(20)],
        ]
        got = fleet(rows)
        assert got[["signature", "property"]].to_numpy().tolist() == [
            ["many", "build"],  # 1 of the choices of 5 of 28
            ["many", "target"],  # 24 of them
            ["few", "target"],
            ["few", "build"],
        ]
        assert got["lift"].dropna().to_list() == [24.0]  # (4 / 4) / (1 / 24)

    def test_outside_the_period(self) -> None:
        """Jobs that end outside the period, or have not ended, do not count."""
        jobs = jobs_of(
            [
                ("a", "failure", "02T01:00", "02T02:00"),
                ("b", "failure", "02T01:00", "02T02:00"),
                ("c", "failure", "03T01:00", "04T00:00"),
                ("d", "open", "02T01:00", None),
                *((f"ok-{number}", "success", "01T23:00", "02T00:00") for number in range(10)),
            ],
            location=[f"sftp://nas-{number}/x" for number in (1, 1, 1, *[2] * 11)],
        )
        got = clusters(
            jobs,
            failure_signatures(jobs),
            NO_MEMBERS,
            start=moment("02T00:00"),
            end=moment("04T00:00"),
        )
        assert got[["affected", "sharing", "others"]].to_numpy().tolist() == [[2, 2, 10]]

    def test_long_value(self) -> None:
        """A very long build is cut in the sentence."""
        rows = [("bad-1", "x", None, "7" * 500), ("bad-2", "x", None, "7" * 500)]
        got = fleet([*rows, *((f"ok-{number}", None, None, "8") for number in range(10))])
        assert len(got["finding"][0]) < 250

    def test_nothing(self) -> None:
        """Without jobs or without failures there is no cluster, and nothing is tested."""
        jobs = JOBS.empty()
        period = {"start": DAY, "end": DAY + pd.Timedelta(days=1)}
        shared = find_shared_values(jobs, failure_signatures(jobs), NO_MEMBERS, **period)
        assert CLUSTERS.check(shared.clusters).empty
        assert CLUSTER_TESTS.check(shared.tests).empty
        assert fleet(plain(3, "nas-1")).empty


class TestQuestions:
    """Tests, and cases in which no test can tell."""

    def test_no_test_can_tell(self) -> None:
        """Three failures on three targets cannot be more than chance."""
        rows = [(f"bad-{number}", "x", f"nas-{number}", None) for number in range(3)]
        [told] = questions(rows).to_dict("records")
        assert told == {
            "signature": "x",
            "property": "target",
            "affected": 3,
            "compared": 3,
            "value_count": 3,
            "asked": 0,
            "smallest_p": 1.0,
            "found": 0,
            "result": "no test can tell",
        }

    def test_results(self) -> None:
        """Each kind of value has its number of questions and its result."""
        rows: list[tuple[str, str | None, str | None, str | None]] = [
            (f"bad-{number}", "x", "nas-1", str(number % 2)) for number in range(4)
        ]
        rows += [(f"ok-{number}", None, "nas-2", str(number % 2)) for number in range(16)]
        rows += [("ok-16", None, "nas-3", None)]
        got = questions(rows)
        counts = got[["property", "compared", "value_count", "asked", "found", "result"]]
        assert counts.to_numpy().tolist() == [
            ["target", 21, 3, 1, 1, "shared"],
            # best: 4 of 4 with the same build of 10 are 210 of 4,845
            ["build", 20, 2, 0, 0, "no test can tell"],
        ]
        # best: 4 of 4 on nas-1 are 1 of 5,985 choices of 4 of 21, on nas-2 1,820 of them: not asked
        assert got["smallest_p"][0] == pytest.approx(1 / 5985)

    def test_no_finding(self) -> None:
        """A question without a finding is counted."""
        rows = [*failing(2), ("bad-2", "x", "nas-2", None), *plain(3, "nas-1")]
        [told] = questions([*rows, *plain(10, "nas-2", first=3)]).to_dict("records")
        # 3 of 3 on nas-1 would be 10 of the 560 choices of 3 of 16; 2 are 120 of them
        assert (told["asked"], told["found"], told["result"]) == (1, 0, "no finding")

    def test_single_appliance(self) -> None:
        """A failure of one appliance is not tested."""
        assert questions([*failing(1), *plain(9, "nas-2")]).empty

    @pytest.mark.property
    @settings(max_examples=repeats(15, 200))
    @given(st.data())
    def test_tail_is_exact(self, data: st.DataObject) -> None:
        """The tail is the count of choices, in integers."""
        population = data.draw(st.integers(1, 60))
        sharing, affected = (data.draw(st.integers(0, population)) for _ in range(2))
        observed = data.draw(st.integers(0, population))
        exact = sum(
            math.comb(sharing, count) * math.comb(population - sharing, affected - count)
            for count in range(observed, affected + 1)
        ) / math.comb(population, affected)
        arguments = (np.array([value]) for value in (population, sharing, affected, observed))
        assert hypergeometric_tail(*arguments)[0] == pytest.approx(exact, rel=1e-9)

    def test_large_fleet(self) -> None:
        """Numbers of a large fleet neither overflow nor vanish."""
        numbers = (np.array([value]) for value in (100_000, 500, 400, 40))
        exact = sum(
            math.comb(500, count) * math.comb(99_500, 400 - count) for count in range(40, 401)
        )
        chance = float(Fraction(exact, math.comb(100_000, 400)))
        assert hypergeometric_tail(*numbers)[0] == pytest.approx(chance, rel=1e-7)

    @pytest.mark.property
    @settings(max_examples=repeats(15, 200))
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
    def test_limit_and_q_values(self, chances: list[float]) -> None:
        """Limit and q values agree with their definitions, one by one."""
        values = np.array(chances)
        fewest = next(
            number
            for number in range(1, len(chances) + 1)
            if sum(chance <= 0.05 / number for chance in chances) <= number
        )
        limit = askable_limit(values, np.ones(len(chances), dtype=np.int64), rate=0.05)
        assert limit == 0.05 / fewest
        number = len(chances) + 3
        expected = [
            min(
                1.0,
                *(
                    other * number / sum(one <= other for one in chances)
                    for other in chances
                    if other >= chance
                ),
            )
            for chance in chances
        ]
        assert q_values(values, number) == pytest.approx(expected)


class TestAnyFleet:
    """Random fleets."""

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
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys.modules[clusters.__module__], "FALSE_DISCOVERY_RATE", 1.0)
            got = fleet(rows)
        assert (got["appliances"] <= got["affected"]).all()
        assert (got["appliances"] <= got["sharing"]).all()
        assert (got["sharing"] + got["others"] <= len({name for name, *_ in rows})).all()
        assert not got.duplicated(["signature", "property", "value"]).any()
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
