"""Evaluation as of a time: data that is appended later changes nothing."""

import contextlib
import dataclasses
import itertools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace as Snapshot
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import backupkit as bk
from backupkit.cli import main
from tests.builders import poll, schedule, snapshot_of
from tests.conftest import EPOCH, QUICK, Place, Simulated, repeats
from tests.equal import assert_equal

START = datetime(2026, 11, 2, 6, tzinfo=UTC)
T = EPOCH
AFTER = T + timedelta(minutes=1)
PLACE = "nfs://10.0.0.9/backups"

FLEET = """
[defaults]
user = "u@v"
password = { env = "VCSA_PASSWORD" }

[policy]
rpo = "24h"
grace = "2h"
target = 0.99
"""


def night(day: int, hour: int = 1, minute: int = 0) -> datetime:
    """Return a time in November 2026."""
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def job(name: str, day: int, status: str = "SUCCEEDED", **changed: object) -> dict[str, object]:
    """Build the observation of a nightly job, by default from 01:00 to 01:20."""
    return {
        "appliance": name,
        "job_id": f"night-{day}",
        "state": status,
        "status": status,
        "progress": 100.0,
        "start_time": night(day),
        "end_time": night(day, 1, 20),
        "messages": [],
        "type": "SCHEDULED",
        "size": 7_000,
        "location": f"{PLACE}/{name}",
        "build": "24322831",
        "source": "details",
        **changed,
    }


def vanished_job(name: str, day: int) -> dict[str, object]:
    """Build the observation that a job is no longer listed."""
    return {"appliance": name, "job_id": f"night-{day}", "source": "list"}


Rows = Sequence[Mapping[str, object]]


def collected(time: datetime, jobs: Rows = (), polls: Rows = (), plans: Rows = ()) -> Snapshot:
    """Build the snapshot of one collection, with a good poll of each appliance in it."""
    names = dict.fromkeys(str(row["appliance"]) for row in (*polls, *jobs, *plans))
    by_name = {name: poll(name) for name in names} | {row["appliance"]: row for row in polls}
    return snapshot_of(
        [{**row, "observed_at": time} for row in jobs],
        [{**row, "polled_at": time} for row in by_name.values()],
        [{**row, "seen_at": time} for row in plans],
    )


OLD = poll("vc-4", api="rest", version="6.5.0.37000", details=False)
"""The poll of an appliance that has neither details nor schedules."""

BY_T = (
    collected(
        T - timedelta(days=1),
        [job(f"vc-{number}", day) for number in (1, 2, 3) for day in range(3, 9)]
        + [job("vc-4", 8, type=None, size=None, location=None, build=None, source="job")],
        [OLD],
        [schedule(f"vc-{number}") for number in (1, 2, 3)],
    ),
    collected(  # T itself counts
        T,
        [
            job("vc-1", 9),
            job("vc-2", 9, "RUNNING", state="INPROGRESS", progress=40.0, end_time=None, size=2_000),
            job("vc-3", 9, "FAILED", progress=12.0, end_time=night(9, 1, 5)),
            job("vc-4", 9, type=None, size=None, location=None, build=None, source="job"),
        ],
        [OLD],
    ),
)
"""The data at T: vc-2's job of that night runs, vc-3's failed, and vc-4 has two jobs."""


@dataclass(frozen=True)
class Stored:
    """A history and its fleet.toml, with the report and the assessment made at T."""

    history: Path
    fleet: Path
    files: dict[str, bytes]
    assessment: bk.Assessment


def report(history: Path, fleet: Path, out: Path, *options: str) -> dict[str, bytes]:
    """Run `backupkit report`; return its files."""
    out.mkdir()
    paths = ("--history", str(history), "--fleet", str(fleet), "--out", str(out / "report.html"))
    assert main(["report", *paths, *options]) == 0
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def as_of_t(history: Path, fleet: Path, out: Path) -> dict[str, bytes]:
    """Run the report as of T, compared with the one of two hours before."""
    period = ("--start", START.isoformat(), "--end", T.isoformat())
    return report(history, fleet, out, *period, "--as-of", T.isoformat(), "--compare-with", "2h")


def assess(history: Path, fleet: Path, now: datetime) -> bk.Assessment:
    """Evaluate a history as of a time."""
    stored = bk.History(history, create=False)
    return bk.evaluate(stored, bk.Policy.load(fleet), start=START, now=now)


@pytest.fixture(scope="module")
def at_t(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """Return a history with the data at T only, and its report."""
    folder = tmp_path_factory.mktemp("as-of")
    fleet = folder / "fleet.toml"
    names = [f'\n[[appliance]]\nname = "vc-{n}"\nhost = "vc-{n}.example"\n' for n in range(1, 5)]
    fleet.write_text(FLEET + "".join(names), encoding="utf-8")
    history = bk.History(folder / "history.db")
    for snapshot in BY_T:
        history.append(snapshot)
    files = as_of_t(folder / "history.db", fleet, folder / "then")
    return Stored(folder / "history.db", fleet, files, assess(folder / "history.db", fleet, T))


@pytest.fixture
def stored(at_t: Stored, tmp_path: Path) -> Stored:
    """Return a copy of the history, which a test may change."""
    copy = shutil.copy(at_t.history, tmp_path / "history.db")
    return dataclasses.replace(at_t, history=Path(copy))


Fact = Callable[[bk.Assessment], object]


def plain(value: Any) -> object:  # noqa: ANN401 # a cell of any dtype
    """Return None for a missing value."""
    return None if pd.isna(value) else value


def of(table: str, column: str, name: str) -> Fact:
    """Return a reader of one cell of an assessment: a table's column of an appliance."""
    return lambda facts: plain(getattr(facts, table).loc[name, column])


def of_job(name: str, day: int, column: str) -> Fact:
    """Return a reader of one cell of a job."""

    def fact(facts: bk.Assessment) -> object:
        jobs = facts.jobs.set_index(["appliance", "job_id"])
        return plain(jobs.loc[(name, f"night-{day}"), column])

    return fact


def hours(facts: bk.Assessment) -> list[int]:
    """Return the hours of vc-1's schedules."""
    schedules = facts.schedules
    return [int(hour) for hour in schedules.loc[schedules["appliance"] == "vc-1", "hour"]]


CORRECTIONS: dict[str, tuple[Snapshot, Fact, object, object]] = {
    # a later snapshot; a fact that it changes; that fact at T, and later
    "a finished job has another end": (
        collected(AFTER, [job("vc-1", 8, end_time=night(8, 3, 20))]),
        of_job("vc-1", 8, "duration"),
        timedelta(minutes=20),
        timedelta(hours=2, minutes=20),
    ),
    "a finished job has another start": (
        collected(AFTER, [job("vc-1", 9, start_time=night(9, 0, 30))]),
        of("appliances", "last_success", "vc-1"),
        night(9),
        night(9, 0, 30),
    ),
    "a running job failed": (
        collected(AFTER, [job("vc-2", 9, "FAILED", end_time=night(9, 2))]),
        of("appliances", "strikes", "vc-2"),
        0,
        1,
    ),
    "a failure became a success": (
        collected(AFTER, [job("vc-3", 9)]),
        of("appliances", "state", "vc-3"),
        "breach",  # 29 h since the success of the 8th
        "compliant",
    ),
    "a success became a failure": (
        collected(AFTER, [job("vc-1", 9, "FAILED")]),
        of("appliances", "state", "vc-1"),
        "compliant",
        "breach",
    ),
    "a finished job runs again": (
        collected(AFTER, [job("vc-1", 9, "RUNNING", state="INPROGRESS", end_time=None)]),
        of_job("vc-1", 9, "last_seen_at"),
        T,
        AFTER,
    ),
    "a job has a new state": (
        collected(AFTER, [job("vc-2", 9, "EXPLODED")]),
        of_job("vc-2", 9, "outcome"),
        "open",
        "other",
    ),
    "jobs of the past come with an upgrade": (
        collected(AFTER, [job("vc-4", day) for day in range(3, 8)], plans=[schedule("vc-4")]),
        of("appliances", "attempts", "vc-4"),
        2,
        7,
    ),
    "details come later": (
        collected(AFTER, [job("vc-4", 9)]),
        of_job("vc-4", 9, "location"),
        None,
        f"{PLACE}/vc-4",
    ),
    "a job is no longer listed": (
        collected(AFTER, [vanished_job("vc-1", 3)]),
        of_job("vc-1", 3, "vanished_at"),
        None,
        AFTER,
    ),
    "the schedule is another": (
        collected(AFTER, plans=[schedule("vc-1", hour=4)]),
        hours,
        [1],
        [4],
    ),
    "an appliance is new": (
        collected(AFTER, [job("vc-9", day) for day in range(3, 10)], plans=[schedule("vc-9")]),
        lambda facts: list(facts.appliances.index),
        ["vc-2", "vc-3", "vc-1", "vc-4"],
        ["vc-2", "vc-3", "vc-1", "vc-4", "vc-9"],
    ),
    "the version is another": (
        collected(AFTER, polls=[poll("vc-1", version="9.0.0.0100")]),
        of("coverage", "version", "vc-1"),
        "8.0.3.00400",
        "9.0.0.0100",
    ),
    "a poll failed": (
        collected(AFTER, polls=[poll("vc-1", error="unreachable")]),
        of("coverage", "error", "vc-1"),
        None,
        "unreachable",
    ),
    "a poll was stopped": (
        collected(AFTER, polls=[poll("vc-1", ok=None)]),
        of("coverage", "polls", "vc-1"),
        2,
        2,  # an interrupted poll does not count
    ),
    "the clock is wrong": (
        collected(AFTER, polls=[poll("vc-1", clock_skew=timedelta(hours=1))]),
        of("coverage", "clock_skew", "vc-1"),
        timedelta(0),
        timedelta(hours=1),
    ),
}


def moved(snapshot: Snapshot, time: datetime) -> Snapshot:
    """Return the same snapshot at another time."""
    moment = pd.Timestamp(time).as_unit("us")
    return Snapshot(
        observations=snapshot.observations.assign(observed_at=moment),
        polls=snapshot.polls.assign(polled_at=moment),
        schedules=snapshot.schedules.assign(seen_at=moment),
    )


class TestCorrected:
    """Data appended after T."""

    def test_is_of_t(self, at_t: Stored) -> None:
        """The report as of T contains the data at T."""
        assert sorted(at_t.files) == [
            "report.appliances.csv",
            "report.csv",
            "report.days.csv",
            "report.html",
            "report.jobs.csv",
            "report.json",
            "report.trend.csv",
            "report.verdicts.csv",
        ]
        document = json.loads(at_t.files["report.json"])
        assert document["data_version"] == bk.History(at_t.history).head
        assert document["verdict"]["sentence"] == "2 of 4 in scope breach their RPO"
        assert len(document["jobs"]) == 7 + 7 + 7 + 2

    @pytest.mark.parametrize("name", CORRECTIONS)
    def test_alone(self, stored: Stored, name: str) -> None:
        """Each correction changes the assessment after T, and not the one at T."""
        correction, fact, before, after = CORRECTIONS[name]
        bk.History(stored.history).append(correction)
        known, corrected = (assess(stored.history, stored.fleet, now) for now in (T, AFTER))
        assert_equal(known, stored.assessment)
        assert [fact(known), fact(corrected)] == [before, after]

    def test_all(self, stored: Stored, tmp_path: Path) -> None:
        """All corrections together leave the report as of T unchanged, byte by byte."""
        history = bk.History(stored.history)
        for number, (correction, *_) in enumerate(CORRECTIONS.values()):
            moment = AFTER + timedelta(hours=number)
            history.append(moved(correction, moment))
        assert len(history.conflicts()) > 0
        assert as_of_t(stored.history, stored.fleet, tmp_path / "again") == stored.files
        assert_equal(assess(stored.history, stored.fleet, T), stored.assessment)

    def test_a_moment_later(self, stored: Stored) -> None:
        """Data of a microsecond after T is not in the assessment at T."""
        moment = T + timedelta(microseconds=1)
        bk.History(stored.history).append(collected(moment, [job("vc-3", 9)]))
        assert_equal(assess(stored.history, stored.fleet, T), stored.assessment)
        assert (
            assess(stored.history, stored.fleet, moment).appliances.loc["vc-3", "state"]
            == "compliant"
        )

    def test_by_the_clock(self, live_demo: Simulated, tmp_path: Path) -> None:
        """A report can be reproduced as of its time after the fleet has changed."""
        path = tmp_path / "history.db"
        history = bk.History(path)
        history.append(bk.collect(live_demo.fleet, limits=QUICK))
        last = ("--last", "7d")
        then = report(path, live_demo.path, tmp_path / "then", *last)
        moment = json.loads(then["report.json"])["generated_at"]

        fleet = live_demo.appliances
        known = history.jobs()
        finished = known[known["outcome"] == "success"].drop_duplicates("appliance", keep="last")
        for name, job_id, end in finished[["appliance", "job_id", "end_time"]].itertuples(
            index=False, name=None
        ):
            fleet.rewrite(name, job_id, end=end + timedelta(minutes=7))
        fleet.forget("vc-ham-01", known.loc[known["appliance"] == "vc-ham-01", "job_id"].iloc[0])
        fleet["vc-ham-02"].create("by hand")
        fleet.stop("vc-ham-03")
        fleet.upgrade("vc-nyc-04", "8.0.3")
        (running,) = known.loc[known["outcome"] == "open", "job_id"]
        fleet["vc-ham-04"].cancel(running)
        fleet.start("vc-tyo-03")  # it was unreachable: its jobs are new
        for memory in (history, None):  # incrementally, then in full
            history.append(bk.collect(live_demo.fleet, known=memory, limits=QUICK))

        assert len(history.conflicts(since=moment)) == len(finished) - 1  # one cannot be read
        assert len(history.jobs(appliances=["vc-tyo-03"])) > 80
        again = report(path, live_demo.path, tmp_path / "again", *last, "--as-of", moment)
        assert again == then


class TestImported:
    """Imported data counts from the time of its poll, not of the import."""

    @pytest.fixture
    def other(self, tmp_path: Path) -> bk.History:
        """Return a history with one collection before T and one after it."""
        other = bk.History(tmp_path / "other.db")
        other.append(collected(T - timedelta(hours=1), [job("vc-8", 9)], plans=[schedule("vc-8")]))
        other.append(collected(AFTER, [job("vc-8", 9, end_time=night(9, 5)), job("vc-8", 8)]))
        return other

    def test_learnt_later(self, stored: Stored, tmp_path: Path) -> None:
        """Imported polls after T do not change the assessment at T."""
        later = bk.History(tmp_path / "later.db")
        later.append(collected(AFTER, [job("vc-8", 9), job("vc-3", 9)], plans=[schedule("vc-8")]))
        argv = ["history", "import", "--history", str(stored.history), later.uri]
        assert main(argv) == 0
        assert_equal(assess(stored.history, stored.fleet, T), stored.assessment)
        assert len(assess(stored.history, stored.fleet, AFTER).appliances) == 5

    def test_learnt_before(self, stored: Stored, other: bk.History) -> None:
        """Imported polls before T are in the assessment at T, which gets another data version."""
        both = Path(shutil.copy(stored.history, stored.history.with_name("both.db")))
        early = collected(T - timedelta(hours=1), [job("vc-8", 9)], plans=[schedule("vc-8")])
        bk.History(both).append(early)
        expected = assess(both, stored.fleet, T)
        bk.History(stored.history).merge(other.uri)
        found = assess(stored.history, stored.fleet, T)
        assert_equal(found, expected, but=["version"])
        assert found.version != stored.assessment.version
        assert found.appliances.loc["vc-8", "attempts"] == 1

    def test_collection_across_t(self, stored: Stored) -> None:
        """A collection before T that was appended after T changes the data version at T."""
        bk.History(stored.history).append(collected(T - timedelta(seconds=9), [job("vc-2", 9)]))
        found = assess(stored.history, stored.fleet, T)
        assert found.version != stored.assessment.version


NAMES = ("vc-1", "vc-2")
WORDS = ("SUCCEEDED", "FAILED", "RUNNING", "NONE", "EXPLODED")
BEGIN = datetime(2026, 10, 30, tzinfo=UTC)

jobs = st.builds(
    lambda name, day, word, end, size: job(name, day, word, end_time=end, size=size),
    st.sampled_from(NAMES),
    st.integers(1, 3),
    st.sampled_from(WORDS),
    st.none() | st.sampled_from([night(9, 2), night(9, 3)]),
    st.none() | st.integers(1, 2),
)
vanished = st.builds(vanished_job, st.sampled_from(NAMES), st.integers(1, 3))
polls = st.builds(
    lambda name, ok, minutes: poll(name, ok=ok, clock_skew=timedelta(minutes=minutes)),
    st.sampled_from(NAMES),
    st.sampled_from([True, False, None]),
    st.integers(-1, 1),
)
plans = st.builds(
    lambda name, hour: schedule(name, hour=hour),
    st.sampled_from(NAMES),
    st.none() | st.integers(0, 2),
)


def once(rows: Rows, *keys: str) -> list[Mapping[str, object]]:
    """Return one row of each key."""
    return list({tuple(row.get(key) for key in keys): row for row in rows}.values())


@st.composite
def collections(draw: st.DrawFn, most: int) -> list[Snapshot]:
    """Draw successive collections over one or several months."""
    steps = draw(st.lists(st.sampled_from([1, 60, 24 * 60, 31 * 24 * 60]), max_size=most))
    made, when = [], BEGIN
    for step in steps:
        when += timedelta(minutes=step, microseconds=draw(st.integers(0, 1)))
        rows = draw(st.lists(jobs | vanished, max_size=6))
        made.append(
            collected(
                when,
                once(rows, "appliance", "job_id"),
                once(draw(st.lists(polls, max_size=2)), "appliance"),
                once(draw(st.lists(plans, max_size=2)), "appliance"),
            )
        )
    return made


def moments(*made: Sequence[Snapshot]) -> list[datetime]:
    """Return each poll time, the microsecond before it, and a time before and after all."""
    times = {BEGIN - timedelta(days=1), BEGIN + timedelta(days=999)}
    for snapshot in itertools.chain(*made):
        for time in snapshot.polls["polled_at"].head(1).dt.to_pydatetime():
            times |= {time, time - timedelta(microseconds=1)}
    return sorted(times)


def known(history: bk.History, at: datetime | None = None) -> list[pd.DataFrame]:
    """Read all frames of a history, as of a time."""
    names = ("observations", "jobs", "polls", "schedules", "conflicts")
    return [getattr(history, name)(at=at) for name in names]


def assert_known(found: list[pd.DataFrame], expected: list[pd.DataFrame]) -> None:
    """Check that frames are equal; observations of one time may have any order."""
    for one, other in zip(found, expected, strict=True):
        keys = [name for name in ("observed_at", "appliance", "job_id") if name in one]
        if "observed_at" in keys:
            assert_frame_equal(
                one.sort_values(keys, ignore_index=True), other.sort_values(keys, ignore_index=True)
            )
        else:
            assert_frame_equal(one, other)


@pytest.mark.property
class TestAnyHistory:
    """Random collections, as of random times."""

    @settings(max_examples=repeats(3, 20))
    @given(made=collections(5))
    def test_cut(self, place: Place, made: list[Snapshot]) -> None:
        """A history as of a time equals the history that was appended up to then."""
        with place() as target:
            history = bk.History(target)
            was = [(BEGIN, known(history))]
            for snapshot in made:
                history.append(snapshot)
                when = snapshot.polls["polled_at"].min()  # missing without a poll
                was.append((was[-1][0] if pd.isna(when) else when.to_pydatetime(), known(history)))
            for moment in moments(made):
                then = [frames for when, frames in was if when <= max(moment, BEGIN)][-1]
                assert_known(known(history, moment), then)

    @settings(max_examples=repeats(3, 20))
    @given(one=collections(3), other=collections(3), data=st.data())
    def test_merged(
        self,
        place: Place,
        one: list[Snapshot],
        other: list[Snapshot],
        data: st.DataObject,
    ) -> None:
        """A merged history as of a time equals the merge of the histories as of that time."""
        cut = data.draw(st.sampled_from(moments(one, other)))
        with contextlib.ExitStack() as stack:
            merged = []
            for moment in (None, cut):
                pair = [bk.History(stack.enter_context(place())) for _ in range(2)]
                for history, made in zip(pair, (one, other), strict=True):
                    for snapshot in made:
                        if moment is None or (snapshot.polls["polled_at"] <= moment).all():
                            history.append(snapshot)
                pair[0].merge(pair[1].uri)
                assert pair[0].verify().empty
                merged.append(pair[0])
            assert_known(known(merged[0], cut), known(merged[1]))
