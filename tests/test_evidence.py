"""Evidence: rows of a history that an evaluation does not need change nothing."""

from dataclasses import replace
from random import Random
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from backupkit.analysis import data_fingerprint, restrict_to_period
from backupkit.assessment import evaluate
from backupkit.assessment.context import Period
from backupkit.assessment.evaluation import as_of
from backupkit.errors import TableError
from backupkit.policy import Policy
from backupkit.tables import JOBS, POLLS, SCHEDULES, TOTALS, HistoryView, constants
from tests.builders import END, frame
from tests.conftest import repeats
from tests.random_fleets import DAY, HOUR, MINUTE, assert_same, random_case

EXAMPLES = repeats(6, 60)


def add_rows(least: HistoryView, known: HistoryView, random: np.random.Generator) -> HistoryView:
    """Add random other rows to the needed jobs and polls."""

    def some(few: pd.DataFrame, every: pd.DataFrame, key: list[str]) -> pd.DataFrame:
        needed = pd.MultiIndex.from_frame(every[key]).isin(pd.MultiIndex.from_frame(few[key]))
        kept: pd.DataFrame = every[needed | (random.random(len(every)) < random.random())]
        return kept.reset_index(drop=True)

    return replace(
        least,
        jobs=some(least.jobs, known.jobs, ["appliance", "job_id"]),
        polls=some(least.polls, known.polls, ["appliance", "polled_at", "ok"]),
        version=data_fingerprint(known.polls),
    )


class Source:
    """A history that returns the same view for every period."""

    def __init__(self, known: HistoryView) -> None:
        self.known = known

    def view(self, **_query: object) -> HistoryView:
        """Return the view."""
        return self.known


def check_case(random: Random) -> None:
    """Evaluate a random fleet from all frames, from the needed rows, and from some more rows."""
    case = random_case(random)
    complete = case.evaluate_unrestricted()
    restricted = case.evaluate_frames(case.known)
    assert_same(complete, restricted)

    known = as_of(case.known, case.times.now)
    least = case.restrict(known)
    more = add_rows(least, known, np.random.default_rng(random.randrange(2**32)))
    for view in (least, more):
        again = case.restrict(view)
        for name in ("jobs", "polls", "schedules", "totals"):
            assert_frame_equal(getattr(again, name), getattr(least, name), obj=name)
    read = case.evaluate(Source(more))
    assert_same(complete, read)
    assert_frame_equal(read.jobs, restricted.jobs)


def nightly(name: str, nights: int, outcome: str, **columns: Any) -> list[dict[str, Any]]:  # noqa: ANN401 # any column
    """Build a job a night, the newest in the last night of the period."""
    return [
        {
            "appliance": name,
            "job_id": f"{night:05}",
            "outcome": outcome,
            "state": outcome,
            "start_time": END - (night + 1) * DAY + HOUR,
            "end_time": END - (night + 1) * DAY + 2 * HOUR,
            "last_seen_at": END - (night + 1) * DAY + 3 * HOUR,
            "size": 10,
            **columns,
        }
        for night in range(nights)
    ]


class TestRestricted:
    """restrict_to_period."""

    TIMES = Period.from_times(start=END - 7 * DAY, end=END, now=END, zone="Etc/UTC")

    def needed(
        self, jobs: list[dict[str, Any]], polls: list[dict[str, Any]] | None = None
    ) -> HistoryView:
        """Restrict jobs and polls to the last week."""
        known = HistoryView(frame(JOBS, jobs), frame(POLLS, polls or []), SCHEDULES.empty())
        times = self.TIMES
        return restrict_to_period(
            as_of(known, times.now), start=times.start, end=times.end, now=times.now
        )

    def test_healthy(self) -> None:
        """Of years of successes a week and the 110 before it are kept; the totals are of all."""
        needed = self.needed(nightly("a", 2_000, "success"))
        assert needed.jobs["job_id"].max() == "00116"
        assert len(needed.jobs) == 7 + 110
        assert needed.totals is not None
        totals = needed.totals.loc["a"].to_dict()
        assert (totals["jobs"], totals["sized_jobs"], totals["sized_bytes"]) == (2000, 2000, 20_000)
        assert totals["oldest_start"] == END - 2_000 * DAY + HOUR

    def test_no_success(self) -> None:
        """All jobs of an appliance without a success are kept."""
        assert len(self.needed(nightly("a", 900, "failure")).jobs) == 900

    def test_old_success(self) -> None:
        """All jobs since two weeks before the last success are kept."""
        jobs = nightly("a", 900, "success", size=None)
        for job in jobs[:300]:
            job["outcome"] = "failure"
        # night 300 is the last success; that night itself, and the 14 before it
        assert len(self.needed(jobs).jobs) == 300 + 15

    def test_open(self) -> None:
        """An open job is kept at any age, without the jobs after it."""
        old = {"job_id": "old", "start_time": END - 3_000 * DAY, "end_time": None}
        gone = {"vanished_at": END - 2_999 * DAY, "last_seen_at": END - 3_000 * DAY}
        left = nightly("a", 1, "open", **old, **gone)
        needed = self.needed([*nightly("a", 500, "success"), *left])
        assert len(needed.jobs) == 118
        assert needed.jobs["job_id"].iloc[0] == "old"

    def test_no_time_at_all(self) -> None:
        """A job without any time is only counted."""
        bare = {"start_time": None, "end_time": None, "last_seen_at": None, "job_id": "bare"}
        needed = self.needed([*nightly("a", 3, "failure"), *nightly("a", 1, "failure", **bare)])
        assert len(needed.jobs) == 3
        assert needed.totals is not None
        assert needed.totals["jobs"].to_list() == [4]

    def test_polls(self) -> None:
        """Of a year of polls every 10 minutes only a few are kept."""
        polls = [
            {"appliance": name, "polled_at": END - number * 10 * MINUTE, "ok": ok}
            for name, failed in (("b", 300), ("a", 0))
            for number in range(50_000)
            for ok in [None if number == 7 else number >= failed]
        ]
        needed = self.needed([], polls)
        kept = needed.polls.groupby("appliance")["polled_at"].agg(list)
        first = END - 49_999 * 10 * MINUTE
        assert kept["a"] == [first, *(END - hour * HOUR for hour in range(20, -1, -1))]
        newest = END - 300 * 10 * MINUTE
        assert kept["b"] == [
            first,
            *(newest - hour * HOUR for hour in range(20, -1, -1)),
            newest + 10 * MINUTE,
            END,
        ]

    def test_nothing(self) -> None:
        """Empty frames stay empty."""
        needed = self.needed([])
        assert needed.jobs.empty
        assert needed.polls.empty
        assert needed.totals is not None
        assert needed.totals.empty

    def test_margin(self) -> None:
        """The margin is longer than any job can be from its slot."""
        least = DAY + constants.LATEST_START + constants.EARLIEST_START
        assert least + DAY <= constants.SLOT_MARGIN  # a zone may skip a day


class TestTotals:
    """Totals and version of a view."""

    POLL: ClassVar = {"appliance": "a", "polled_at": END - DAY, "ok": True}

    def view(self, **changed: Any) -> HistoryView:  # noqa: ANN401 # any part
        """Return a week of an appliance, with totals of years."""
        columns: dict[str, list[Any]] = {
            "appliance": ["a", "b"],
            "polls": [700, 1],
            "polls_ok": [600, 0],
            "jobs": [900, 0],
            "oldest_start": [END - 900 * DAY, None],
            "sized_jobs": [800, 0],
            "sized_bytes": [8_000, None],
        }
        return HistoryView(
            frame(JOBS, nightly("a", 5, "success")),
            frame(POLLS, [self.POLL]),
            SCHEDULES.empty(),
            **{"totals": TOTALS.frame(columns), "version": "the newest", **changed},
        )

    def test_totals(self) -> None:
        """Coverage, footprint and version are from the totals, for all appliances."""
        a = evaluate(Source(self.view()), Policy(), end=END, now=END, last="7d")
        assert a.version == "the newest"
        assert a.coverage.loc[["a", "b"], ["polls", "polls_ok", "jobs"]].to_numpy().tolist() == [
            [700, 600, 900],
            [1, 0, 0],
        ]
        assert a.coverage.loc["a", "known_since"] == END - 900 * DAY
        assert tuple(a.baselines.loc["a", ["footprint", "footprint_jobs"]]) == (8_000, 800)

    def test_earlier_period(self) -> None:
        """Backups after the period are not in its footprint."""
        a = evaluate(Source(self.view()), Policy(), end=END - 2 * DAY, now=END, last="7d")
        assert tuple(a.baselines.loc["a", ["footprint", "footprint_jobs"]]) == (7_980, 798)

    def test_some_appliances(self) -> None:
        """A view of some appliances has their totals."""
        few = self.view().only(["b"])
        assert few.totals is not None
        assert few.totals.index.to_list() == ["b"]
        assert (len(few.jobs), few.version) == (0, "the newest")
        assert self.view(totals=None).only(["b"]).totals is None

    def test_checked(self) -> None:
        """Totals that do not follow their contract are refused by name."""
        wrong = self.view(totals=TOTALS.empty().reset_index())
        with pytest.raises(TableError, match="totals: expected the index 'appliance'"):
            evaluate(Source(wrong), Policy(), now=END)


@pytest.mark.property
def test_other_rows_change_nothing() -> None:
    """Every figure is that of all jobs and polls, with and without unneeded rows."""

    @seed(0)
    @given(random=st.randoms(use_true_random=True))
    @settings(
        max_examples=EXAMPLES,
        database=None,
        phases=[Phase.generate],  # a random fleet does not shrink
    )
    def check(random: Random) -> None:
        check_case(random)

    check()
