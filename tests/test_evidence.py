"""What a judgement rests on: the rest of a history, however much is read of it, changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from random import Random
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from backupkit.analysis import data_fingerprint, restrict_to_period
from backupkit.assessment import Assessment, evaluate, evaluate_frames
from backupkit.assessment.context import EvaluationContext, Period
from backupkit.assessment.evaluation import appliances_in, as_of, merge_assessments
from backupkit.assessment.partial import assess_appliances
from backupkit.errors import TableError
from backupkit.policy import Exclusion, Member, Policy
from backupkit.tables import JOBS, POLLS, SCHEDULES, TOTALS, HistoryView, constants
from tests.conftest import repeats

EXAMPLES = repeats(6, 60)
APPLIANCES = 25
SECOND, MINUTE, HOUR, DAY = (
    timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days")
)
END = pd.Timestamp("2026-11-09T00:00Z")
WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
OUTCOMES = {
    "steady": ["success"],
    "healthy": ["success"] * 12 + ["failure", "open", "void", "other"],
    "shaky": ["success", "failure", "failure", "void", "other", "open"],
    "failing": ["failure"] * 8 + ["void", "other", "open"],
}
SKEWS = [0 * DAY, 2 * MINUTE, -2 * HOUR, 3 * HOUR, 4 * DAY, -5 * DAY]
LENGTHS = [
    0 * MINUTE,
    20 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    5 * HOUR,
    30 * HOUR,
    9 * DAY,
    -1 * HOUR,
]
STEPS = [HOUR, 6 * HOUR, 12 * HOUR, DAY, DAY, DAY, 7 * DAY, 7 * DAY, 33 * DAY]
TEXTS = ["Disk full on host 7.", "Log-in to nas-1 refused.", ""]


@dataclass(frozen=True)
class Case:
    """A made-up fleet, and the period to judge it over."""

    known: HistoryView
    policy: Policy
    times: Period
    as_if: bool

    def whole(self) -> Assessment:
        """Judge by everything that is known."""
        known = as_of(self.known, self.times.now)
        setting = EvaluationContext.of(
            self.policy, appliances_in(known), self.times, as_if=self.as_if
        )
        return merge_assessments(
            [assess_appliances(known, setting)], setting, version=data_fingerprint(known.polls)
        )

    def needed(self, known: HistoryView) -> HistoryView:
        """Restrict what is known to the period."""
        times = self.times
        return restrict_to_period(known, start=times.start, end=times.end, now=times.now)


def some_jobs(random: Random, name: str, times: Period) -> Iterator[dict[str, Any]]:
    """Make up the jobs of one appliance, over half a year or far less."""
    step = random.choice(STEPS)
    latest = random.choice([times.now, times.now, times.end, times.start, times.start - 20 * DAY])
    number = min(random.choice([0, 3, 12, 40, 130, 260, 600]), int(900 * DAY / step))
    moods = random.choices(list(OUTCOMES), k=3) if random.random() < 0.7 else ["steady"] * 3
    gaps = random.choice([0.0, 0.02, 0.2])  # how often something is missing
    sizes: list[int | None] = random.choice([[None, -1, 0, 10, 9**18], [10, 11, 12], [10, 400]])
    stuck = random.choice([None, None, number - 20])  # a long time ago, and never over
    at = latest + random.choice([0 * DAY, 2 * DAY])
    for place in range(number):
        at -= step if random.random() < 0.9 else random.choice(STEPS)
        start = at + random.choice([0 * MINUTE, 0 * MINUTE, 7 * MINUTE, -9 * HOUR, 30 * HOUR])
        outcome = random.choice(OUTCOMES[moods[3 * place // number]])
        if place == stuck:
            outcome = "open"
        end = start + random.choice(LENGTHS if random.random() < 0.3 else LENGTHS[1:3])
        finished = outcome in ("success", "failure") or random.random() < 0.2
        seen = max(start, end) + random.choice([MINUTE, 3 * HOUR])
        yield {
            "appliance": name,
            "job_id": f"{number - place:04}",
            "outcome": outcome,
            "state": outcome,
            "start_time": None if random.random() < gaps else start,
            "end_time": end if finished and random.random() >= gaps else None,
            "last_seen_at": None if random.random() < gaps else seen,
            "first_seen_at": start if random.random() < 0.1 else None,
            "vanished_at": seen + DAY if random.random() < 0.1 else None,
            "type": random.choice(["SCHEDULED", "SCHEDULED", "MANUAL", None]),
            "size": random.choice(sizes),
            "location": random.choice(["sftp://nas-1/vc", "sftp://nas-2/vc", None]),
            "build": random.choice(["1", "2", None]),
            "messages": [message(random)] if outcome == "failure" else None,
        }


def message(random: Random) -> dict[str, Any]:
    """Make up what a failed job says."""
    return {"id": "x", "default_message": random.choice(TEXTS), "args": [], "localized": None}


def some_polls(random: Random, name: str, times: Period) -> Iterator[dict[str, Any]]:
    """Make up the polls of one appliance: regular ones, and some at any time."""
    step = random.choice([10 * MINUTE, 10 * MINUTE, 25 * MINUTE, HOUR, 5 * HOUR, DAY, 8 * DAY])
    number, skew = random.choice([0, 1, 2, 5, 30, 160]), random.choice(SKEWS)
    at = (
        times.now
        - random.choice([0 * MINUTE, HOUR, 3 * DAY, 50 * DAY])
        + random.choice([0, 1]) * DAY
    )
    well: list[bool | None] = random.choice(
        [[True], [True, True, False, None], [False, None], [False, False, True]]
    )
    for place in range(number):
        at -= step if random.random() < 0.9 else random.choice([2 * step, step / 3, 0 * step])
        ok = random.choice(well)
        yield {
            "appliance": name,
            "polled_at": at,
            "ok": ok,
            "error": None if ok else random.choice(["login", "timeout"]),
            "detail": None if ok else f"Fault {place}.",
            "clock_skew": skew if ok and random.random() < 0.9 else None,
            "version": random.choice(["8.0.2", "8.0.3"]) if ok else None,
            "details": random.random() < 0.7 if ok else None,
        }


def some_schedules(
    random: Random, name: str, times: Period, keeps: list[int | None]
) -> Iterator[dict[str, Any]]:
    """Make up the schedules of one appliance, as they changed."""
    for place in range(random.choice([0, 1, 1, 2, 4])):
        yield {
            "appliance": name,
            "schedule": random.choice(["default", "extra"]),
            "seen_at": times.end - random.randrange(-30, 400) * DAY - place * MINUTE,
            "enabled": random.random() < 0.85,
            "hour": random.randrange(24),
            "minute": random.choice([0, 30]),
            "days": random.choice([None, None, ["SUNDAY"], list(WEEKDAYS[:3])]),
            "timezone": random.choice(["UTC", "Europe/Berlin", "Pacific/Apia", "nowhere", None]),
            "max_count": random.choice(keeps),
            "location": "sftp://nas-1/vc",
        }


def some_numbers(random: Random) -> dict[str, Any]:
    """Make up the numbers of a policy, some of them absurd."""
    return {
        "rpo": random.choice([6 * HOUR, DAY, 8 * DAY, 90 * DAY]),
        "early": random.choice([HOUR, HOUR, 0 * HOUR, 2 * DAY, 40 * DAY]),
        "late": random.choice([HOUR, HOUR, 0 * HOUR, 3 * DAY, 40 * DAY]),
        "completion": random.choice([None, None, 2 * HOUR, 20 * DAY]),
        "staleness": random.choice([None, None, 0 * HOUR, 60 * DAY]),
        "anchor": random.choice(["start", "end"]),
        "unknown_mode": random.choice(["strict", "evidence"]),
        "window": random.choice([None, "22:00-06:00"]),
        "duration_limit": random.choice([None, HOUR]),
        "lookback": random.choice([DAY, 30 * DAY]),
        "schedule": random.choice([None, "01:00", {"time": "01:00", "days": ["SUNDAY"]}]),
    }


def some_policy(random: Random, times: Period) -> Policy:
    """Make up a policy that changes, and that leaves some appliances and times out."""
    names = [f"vc-{number}" for number in range(APPLIANCES + 1)]

    def around() -> pd.Timestamp:
        return times.end - random.randrange(-20, 60) * DAY - random.randrange(24) * HOUR

    begins = [around() for _ in range(random.choice([0, 0, 2, 4]))]
    return Policy(
        **some_numbers(random),
        changes={around(): Policy(**some_numbers(random)) for _ in range(random.choice([0, 0, 1]))},
        members=[
            Member(appliance=name, exclude=random.choice([None, None, None, "retired"]))
            for name in names[: random.choice([0, 2, APPLIANCES + 1])]
        ],
        exclusions=[
            Exclusion(
                reason="works",
                start=begin,
                end=begin + random.randrange(1, 300) * HOUR,
                appliances=random.sample(names, 2),
            )
            for begin in begins
        ],
    )


def some_case(random: Random) -> Case:
    """Make up a fleet, a period and a policy."""
    now = END + random.choice([0 * DAY, 0 * DAY, HOUR, 3 * DAY, 40 * DAY])
    start = END - random.choice([HOUR, DAY, 7 * DAY, 7 * DAY, 30 * DAY, 100 * DAY])
    times = Period.validated(start=start, end=END, now=now)
    names = [f"vc-{number}" for number in range(APPLIANCES)]
    jobs = {name: list(some_jobs(random, name, times)) for name in names}
    if random.random() < 0.3:  # two names for one appliance
        jobs["vc-1"] = [job | {"appliance": "vc-1"} for job in jobs["vc-0"]]
    keeps = random.choice([[None, 0, 1, 7, 30], [None, 0, 1, 7, 30, 120, 180, 10**6]])
    plans = [row for name in names for row in some_schedules(random, name, times, keeps)]
    edges = [times.start, times.end, times.now]
    for rows in jobs.values():  # and something at the very instants
        for row in random.sample(rows, min(len(rows), random.choice([0, 0, 4]))):
            row[random.choice(["start_time", "end_time", "last_seen_at"])] = random.choice(edges)
    known = HistoryView(
        frame_of(JOBS, [row for rows in jobs.values() for row in rows]),
        frame_of(POLLS, [row for name in names for row in some_polls(random, name, times)]),
        frame_of(SCHEDULES, plans),
    )
    return Case(known, some_policy(random, times), times, as_if=random.random() < 0.2)


def frame_of(table: Any, rows: list[dict[str, Any]]) -> pd.DataFrame:  # noqa: ANN401 # a table
    """Build a frame from rows."""
    columns = {name: [row.get(name) for row in rows] for name in table.names}
    frame: pd.DataFrame = table.frame(columns)
    return frame


def more_than(least: HistoryView, known: HistoryView, random: np.random.Generator) -> HistoryView:
    """Add to the needed jobs and polls some of the others, as a source that reads too much."""

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
    """A history that gives what it was given."""

    def __init__(self, told: HistoryView) -> None:
        self.told = told

    def view(self, **_asked: object) -> HistoryView:
        """Return it, whatever the period."""
        return self.told


def assert_same(one: Assessment, other: Assessment) -> None:
    """Hold two assessments to be equal, but for the jobs that no figure needs."""
    for field in fields(Assessment):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if field.name == "jobs":
            key = ["appliance", "job_id"]
            both = pd.MultiIndex.from_frame(left[key]).isin(pd.MultiIndex.from_frame(right[key]))
            assert_frame_equal(left[both].reset_index(drop=True), right, obj="jobs")
        elif isinstance(left, pd.DataFrame):
            assert_frame_equal(left, right, obj=field.name)
        else:
            assert left == right, field.name


def agree(random: Random) -> None:
    """Judge a made-up fleet by all, by what is needed, and by something between."""
    case = some_case(random)
    times = case.times
    whole = case.whole()
    told = case.known
    restricted = evaluate_frames(
        told.jobs,
        told.polls,
        told.schedules,
        case.policy,
        start=times.start,
        end=times.end,
        now=times.now,
        as_if=case.as_if,
    )
    assert_same(whole, restricted)

    known = as_of(told, times.now)
    least = case.needed(known)
    between = more_than(least, known, np.random.default_rng(random.randrange(2**32)))
    for more in (least, between):
        again = case.needed(more)
        for name in ("jobs", "polls", "schedules", "totals"):
            assert_frame_equal(getattr(again, name), getattr(least, name), obj=name)
    read = evaluate(
        Source(between),
        case.policy,
        start=times.start,
        end=times.end,
        now=times.now,
        as_if=case.as_if,
    )
    assert_same(whole, read)
    assert_frame_equal(read.jobs, restricted.jobs)


def nightly(name: str, nights: int, outcome: str, **columns: Any) -> list[dict[str, Any]]:  # noqa: ANN401 # any column
    """Make up a job a night, the newest in the last night of the period."""
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
    """What is kept of a history."""

    TIMES = Period.validated(start=END - 7 * DAY, end=END, now=END)

    def needed(
        self, jobs: list[dict[str, Any]], polls: list[dict[str, Any]] | None = None
    ) -> HistoryView:
        """Restrict jobs and polls to the last week."""
        known = HistoryView(frame_of(JOBS, jobs), frame_of(POLLS, polls or []), SCHEDULES.empty())
        times = self.TIMES
        return restrict_to_period(
            as_of(known, times.now), start=times.start, end=times.end, now=times.now
        )

    def test_healthy(self) -> None:
        """Of years of good nights the newest 100 are enough; the totals are those of all."""
        needed = self.needed(nightly("a", 2_000, "success"))
        assert needed.jobs["job_id"].max() == "00099"
        assert len(needed.jobs) == 100
        assert needed.totals is not None
        told = needed.totals.loc["a"]
        assert (told["jobs"], told["sized_jobs"], told["sized_bytes"]) == (2_000, 2_000, 20_000)
        assert told["oldest_start"] == END - 2_000 * DAY + HOUR

    def test_never_well(self) -> None:
        """Of one without a success all is kept: that is how long it has failed."""
        assert len(self.needed(nightly("a", 900, "failure")).jobs) == 900

    def test_well_long_ago(self) -> None:
        """Of one that fails all is kept since two weeks before its last success."""
        jobs = nightly("a", 900, "success", size=None)
        for job in jobs[:300]:
            job["outcome"] = "failure"
        # night 300 is the last success; that night itself, and the 14 before it
        assert len(self.needed(jobs).jobs) == 300 + 15

    def test_open(self) -> None:
        """What nobody saw end is kept, however old; without it nothing more is."""
        old = {"job_id": "old", "start_time": END - 3_000 * DAY, "end_time": None}
        gone = {"vanished_at": END - 2_999 * DAY, "last_seen_at": END - 3_000 * DAY}
        left = nightly("a", 1, "open", **old, **gone)
        needed = self.needed([*nightly("a", 500, "success"), *left])
        assert len(needed.jobs) == 101
        assert needed.jobs["job_id"].iloc[0] == "old"

    def test_no_time_at_all(self) -> None:
        """A job that tells no time is in no figure but the count."""
        bare = {"start_time": None, "end_time": None, "last_seen_at": None, "job_id": "bare"}
        needed = self.needed([*nightly("a", 3, "failure"), *nightly("a", 1, "failure", **bare)])
        assert len(needed.jobs) == 3
        assert needed.totals is not None
        assert needed.totals["jobs"].to_list() == [4]

    def test_polls(self) -> None:
        """Of a year of polls every 10 minutes few are kept, by appliance and time."""
        polls = [
            {"appliance": name, "polled_at": END - number * 10 * MINUTE, "ok": ok}
            for name, well in (("b", 300), ("a", 0))
            for number in range(50_000)
            for ok in [None if number == 7 else number >= well]
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
        """Of nothing nothing is kept."""
        needed = self.needed([])
        assert needed.jobs.empty
        assert needed.polls.empty
        assert needed.totals is not None
        assert needed.totals.empty

    def test_margin(self) -> None:
        """No job of an expected run that is judged can lie before the margin."""
        least = DAY + constants.LATEST_START + constants.EARLIEST_START
        assert least + DAY <= constants.SLOT_MARGIN  # and a zone may skip a day


class TestTold:
    """What a source tells beside the rows."""

    POLL: ClassVar = {"appliance": "a", "polled_at": END - DAY, "ok": True}

    def told(self, **more: Any) -> HistoryView:  # noqa: ANN401 # any part
        """Return a week of an appliance, with totals of years."""
        columns: dict[str, list[Any]] = {
            "appliance": ["a", "b"],
            "polls": [700, 1],
            "polls_ok": [600, 0],
        }
        columns |= {"jobs": [900, 0], "oldest_start": [END - 900 * DAY, None]}
        columns |= {"sized_jobs": [800, 0], "sized_bytes": [8_000, None]}
        return HistoryView(
            frame_of(JOBS, nightly("a", 5, "success")),
            frame_of(POLLS, [self.POLL]),
            SCHEDULES.empty(),
            **{"totals": TOTALS.frame(columns), "version": "the newest", **more},
        )

    def test_totals(self) -> None:
        """Coverage, footprint and version are told by the source; nobody is left out."""
        a = evaluate(Source(self.told()), Policy(), end=END, now=END, last="7d")
        assert a.version == "the newest"
        assert a.coverage.loc[["a", "b"], ["polls", "polls_ok", "jobs"]].to_numpy().tolist() == [
            [700, 600, 900],
            [1, 0, 0],
        ]
        assert a.coverage.loc["a", "known_since"] == END - 900 * DAY
        assert tuple(a.baselines.loc["a", ["footprint", "footprint_jobs"]]) == (8_000, 800)

    def test_earlier_period(self) -> None:
        """What was saved after the period is not in its footprint."""
        a = evaluate(Source(self.told()), Policy(), end=END - 2 * DAY, now=END, last="7d")
        assert tuple(a.baselines.loc["a", ["footprint", "footprint_jobs"]]) == (7_980, 798)

    def test_some_appliances(self) -> None:
        """Of some appliances the totals are theirs."""
        few = self.told().only(["b"])
        assert few.totals is not None
        assert few.totals.index.to_list() == ["b"]
        assert (len(few.jobs), few.version) == (0, "the newest")
        assert self.told(totals=None).only(["b"]).totals is None

    def test_checked(self) -> None:
        """Totals that are none are refused by name."""
        wrong = self.told(totals=TOTALS.empty().reset_index())
        with pytest.raises(TableError, match="totals: expected the index 'appliance'"):
            evaluate(Source(wrong), Policy(), now=END)


@pytest.mark.property
def test_the_rest_changes_nothing() -> None:
    """Every figure is that of all jobs and polls, whatever a source leaves out of the others."""

    @seed(0)
    @given(random=st.randoms(use_true_random=True))
    @settings(
        max_examples=EXAMPLES,
        database=None,
        phases=[Phase.generate],  # a made-up fleet does not shrink
    )
    def made_up(random: Random) -> None:
        agree(random)

    made_up()
