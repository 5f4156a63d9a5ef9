"""As of a moment: whatever is learnt later, and however it corrects the past, changes nothing."""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import backupkit as bk
from backupkit.cli import main
from backupkit.tables import OBSERVATIONS, POLLS, SCHEDULES, Table
from tests.conftest import EPOCH, QUICK, Place, Simulated, repeats

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
    """Give a moment of a night of November."""
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def job(name: str, day: int, status: str = "SUCCEEDED", **more: object) -> dict[str, object]:
    """Tell of the job of a night: 01:00 to 01:20, if nothing else is said."""
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
        **more,
    }


def gone(name: str, day: int) -> dict[str, object]:
    """Tell that a job is listed no more."""
    return {"appliance": name, "job_id": f"night-{day}", "source": "list"}


def visit(name: str, **more: object) -> dict[str, object]:
    """Tell of a good visit."""
    return {
        "appliance": name,
        "ok": True,
        "api": "api",
        "version": "8.0.3.00400",
        "timezone": "Etc/UTC",
        "details": True,
        "requests": 4,
        "elapsed": timedelta(milliseconds=20),
        "clock_skew": timedelta(0),
        "jobs_listed": 7,
        **more,
    }


def plan(name: str, **more: object) -> dict[str, object]:
    """Tell of a schedule: each night at one."""
    return {
        "appliance": name,
        "schedule": "default",
        "enabled": True,
        "hour": 1,
        "minute": 0,
        "timezone": "Etc/UTC",
        "location": PLACE,
        "parts": ["common"],
        **more,
    }


def framed(table: Table, rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Make rows a frame of a table."""
    told = list(rows)
    return table.frame({name: [row.get(name) for row in told] for name in table.names})


def told(
    when: datetime,
    jobs: Sequence[dict[str, object]] = (),
    visits: Sequence[dict[str, object]] = (),
    plans: Sequence[dict[str, object]] = (),
) -> SimpleNamespace:
    """Make what one round brought back at a moment; whoever tells something was visited."""
    names = dict.fromkeys(str(row["appliance"]) for row in (*visits, *jobs, *plans))
    polls = {name: visit(name) for name in names} | {str(row["appliance"]): row for row in visits}
    return SimpleNamespace(
        observations=framed(OBSERVATIONS, ({**row, "observed_at": when} for row in jobs)),
        polls=framed(POLLS, ({**row, "polled_at": when} for row in polls.values())),
        schedules=framed(SCHEDULES, ({**row, "seen_at": when} for row in plans)),
    )


OLD = visit("vc-4", api="rest", version="6.5.0.37000", details=False)
"""The visit to an appliance that tells neither details nor schedules."""

BY_T = (
    told(
        T - timedelta(days=1),
        [job(f"vc-{number}", day) for number in (1, 2, 3) for day in range(3, 9)]
        + [job("vc-4", 8, type=None, size=None, location=None, build=None, source="job")],
        [*map(visit, ("vc-1", "vc-2", "vc-3")), OLD],
        [plan(f"vc-{number}") for number in (1, 2, 3)],
    ),
    told(  # the moment itself counts
        T,
        [
            job("vc-1", 9),
            job("vc-2", 9, "RUNNING", state="INPROGRESS", progress=40.0, end_time=None, size=2_000),
            job("vc-3", 9, "FAILED", progress=12.0, end_time=night(9, 1, 5)),
            job("vc-4", 9, type=None, size=None, location=None, build=None, source="job"),
        ],
        [*map(visit, ("vc-1", "vc-2", "vc-3")), OLD],
    ),
)
"""What is known at T: vc-2's job of that night runs, vc-3's failed, of vc-4 two jobs are known."""


@dataclass(frozen=True)
class Kept:
    """A history and its fleet.toml, and what was told of it at T."""

    history: Path
    fleet: Path
    files: dict[str, bytes]
    assessment: bk.Assessment


def report(history: Path, fleet: Path, out: Path, *options: str) -> dict[str, bytes]:
    """Write a report with the command, and read its files."""
    out.mkdir()
    where = ("--history", str(history), "--fleet", str(fleet), "--out", str(out / "report.html"))
    assert main(["report", *where, *options]) == 0
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def as_of_t(history: Path, fleet: Path, out: Path) -> dict[str, bytes]:
    """Write the report as of T, compared with the one of two hours before."""
    period = ("--start", START.isoformat(), "--end", T.isoformat())
    return report(history, fleet, out, *period, "--as-of", T.isoformat(), "--compare-with", "2h")


def judged(history: Path, fleet: Path, now: datetime) -> bk.Assessment:
    """Judge what was known at a moment."""
    kept = bk.History(history, create=False)
    return bk.evaluate(kept, bk.Policy.load(fleet), start=START, now=now)


def assert_same(one: bk.Assessment, other: bk.Assessment) -> None:
    """Compare every fact of two assessments."""
    for field in dataclasses.fields(one):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, pd.DataFrame):
            assert_frame_equal(left, right, obj=field.name)
        else:
            assert left == right, field.name


@pytest.fixture(scope="module")
def at_t(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Keep what is known at T and report it then: the history holds nothing else yet."""
    folder = tmp_path_factory.mktemp("as-of")
    fleet = folder / "fleet.toml"
    names = [f'\n[[appliance]]\nname = "vc-{n}"\nhost = "vc-{n}.example"\n' for n in range(1, 5)]
    fleet.write_text(FLEET + "".join(names), encoding="utf-8")
    history = bk.History(folder / "history.db")
    for one in BY_T:
        history.append(one)
    files = as_of_t(folder / "history.db", fleet, folder / "then")
    return Kept(folder / "history.db", fleet, files, judged(folder / "history.db", fleet, T))


@pytest.fixture
def own(at_t: Kept, tmp_path: Path) -> Kept:
    """Give a copy of the history, which a test may change."""
    copy = shutil.copy(at_t.history, tmp_path / "history.db")
    return dataclasses.replace(at_t, history=Path(copy))


Fact = Callable[[bk.Assessment], object]


def plain(value: Any) -> object:  # noqa: ANN401 # a cell of any dtype
    """Give None for what is missing."""
    return None if pd.isna(value) else value


def of(table: str, column: str, name: str) -> Fact:
    """Read one appliance's cell of a table of an assessment."""
    return lambda facts: plain(getattr(facts, table).loc[name, column])


def of_job(name: str, day: int, column: str) -> Fact:
    """Read one job's cell."""

    def fact(facts: bk.Assessment) -> object:
        jobs = facts.jobs.set_index(["appliance", "job_id"])
        return plain(jobs.loc[(name, f"night-{day}"), column])

    return fact


def hours(facts: bk.Assessment) -> list[int]:
    """Read at which hours the schedules in force start."""
    plans = facts.schedules
    return [int(hour) for hour in plans.loc[plans["appliance"] == "vc-1", "hour"]]


CORRECTIONS: dict[str, tuple[SimpleNamespace, Fact, object, object]] = {
    # what is told later; a fact that it changes; that fact at T, and later
    "a finished job has another end": (
        told(AFTER, [job("vc-1", 8, end_time=night(8, 3, 20))]),
        of_job("vc-1", 8, "duration"),
        timedelta(minutes=20),
        timedelta(hours=2, minutes=20),
    ),
    "a finished job has another start": (
        told(AFTER, [job("vc-1", 9, start_time=night(9, 0, 30))]),
        of("appliances", "last_success", "vc-1"),
        night(9),
        night(9, 0, 30),
    ),
    "a running job failed": (
        told(AFTER, [job("vc-2", 9, "FAILED", end_time=night(9, 2))]),
        of("appliances", "strikes", "vc-2"),
        0,
        1,
    ),
    "a failure became a success": (
        told(AFTER, [job("vc-3", 9)]),
        of("appliances", "state", "vc-3"),
        "breach",  # 29 h since the success of the 8th
        "compliant",
    ),
    "a success became a failure": (
        told(AFTER, [job("vc-1", 9, "FAILED")]),
        of("appliances", "state", "vc-1"),
        "compliant",
        "breach",
    ),
    "a finished job is told to run": (
        told(AFTER, [job("vc-1", 9, "RUNNING", state="INPROGRESS", end_time=None)]),
        of_job("vc-1", 9, "last_seen_at"),
        T,
        AFTER,
    ),
    "a job has a state never seen": (
        told(AFTER, [job("vc-2", 9, "EXPLODED")]),
        of_job("vc-2", 9, "outcome"),
        "open",
        "other",
    ),
    "jobs of the past come with an upgrade": (
        told(AFTER, [job("vc-4", day) for day in range(3, 8)], plans=[plan("vc-4")]),
        of("appliances", "attempts", "vc-4"),
        2,
        7,
    ),
    "details come later": (
        told(AFTER, [job("vc-4", 9)]),
        of_job("vc-4", 9, "location"),
        None,
        f"{PLACE}/vc-4",
    ),
    "a job is listed no more": (
        told(AFTER, [gone("vc-1", 3)]),
        of_job("vc-1", 3, "vanished_at"),
        None,
        AFTER,
    ),
    "the schedule is another": (
        told(AFTER, plans=[plan("vc-1", hour=4)]),
        hours,
        [1],
        [4],
    ),
    "an appliance is new": (
        told(AFTER, [job("vc-9", day) for day in range(3, 10)], plans=[plan("vc-9")]),
        lambda facts: list(facts.appliances.index),
        ["vc-2", "vc-3", "vc-1", "vc-4"],
        ["vc-2", "vc-3", "vc-1", "vc-4", "vc-9"],
    ),
    "the version is another": (
        told(AFTER, visits=[visit("vc-1", version="9.0.0.0100")]),
        of("coverage", "version", "vc-1"),
        "8.0.3.00400",
        "9.0.0.0100",
    ),
    "a visit failed": (
        told(AFTER, visits=[visit("vc-1", ok=False, error="unreachable", detail="No answer.")]),
        of("coverage", "error", "vc-1"),
        None,
        "unreachable",
    ),
    "a visit was stopped": (
        told(AFTER, visits=[visit("vc-1", ok=None)]),
        of("coverage", "polls", "vc-1"),
        2,
        2,  # it counts as none
    ),
    "the clock is wrong": (
        told(AFTER, visits=[visit("vc-1", clock_skew=timedelta(hours=1))]),
        of("appliances", "exposure", "vc-1"),
        timedelta(hours=5),
        timedelta(hours=6, minutes=1),  # its 01:00 was midnight
    ),
}


def moved(brought: SimpleNamespace, when: datetime) -> SimpleNamespace:
    """Give the same round at another moment."""
    return SimpleNamespace(
        observations=brought.observations.assign(observed_at=pd.Timestamp(when).as_unit("us")),
        polls=brought.polls.assign(polled_at=pd.Timestamp(when).as_unit("us")),
        schedules=brought.schedules.assign(seen_at=pd.Timestamp(when).as_unit("us")),
    )


class TestCorrected:
    """What is appended after T leaves the report as of T as it was."""

    def test_is_of_t(self, at_t: Kept) -> None:
        """The report was made of eight visits, and tells what they found."""
        assert sorted(at_t.files) == [
            "report.csv",
            "report.html",
            "report.jobs.csv",
            "report.json",
        ]
        document = json.loads(at_t.files["report.json"])
        assert document["data_version"] == bk.History(at_t.history).head
        assert document["verdict"]["sentence"] == "2 of 4 in scope breach their RPO"
        assert len(document["jobs"]) == 7 + 7 + 7 + 2

    @pytest.mark.parametrize("name", CORRECTIONS)
    def test_alone(self, own: Kept, name: str) -> None:
        """Each correction is known afterwards, and not at T."""
        correction, fact, before, after = CORRECTIONS[name]
        bk.History(own.history).append(correction)
        known, corrected = (judged(own.history, own.fleet, now) for now in (T, AFTER))
        assert_same(known, own.assessment)
        assert [fact(known), fact(corrected)] == [before, after]

    def test_all(self, own: Kept, tmp_path: Path) -> None:
        """So it is with all of them."""
        history = bk.History(own.history)
        for number, (correction, *_) in enumerate(CORRECTIONS.values()):
            moment = AFTER + timedelta(hours=number)
            history.append(moved(correction, moment))
        assert len(history.conflicts()) > 0
        assert as_of_t(own.history, own.fleet, tmp_path / "again") == own.files
        assert_same(judged(own.history, own.fleet, T), own.assessment)

    def test_a_moment_later(self, own: Kept) -> None:
        """What came a microsecond after T is not known at T."""
        moment = T + timedelta(microseconds=1)
        bk.History(own.history).append(told(moment, [job("vc-3", 9)]))
        assert_same(judged(own.history, own.fleet, T), own.assessment)
        assert judged(own.history, own.fleet, moment).appliances.loc["vc-3", "state"] == "compliant"

    def test_by_the_clock(self, live_demo: Simulated, tmp_path: Path) -> None:
        """A report of the present is made again as of its moment, after the fleet has changed."""
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
        fleet.start("vc-tyo-03")  # it was unreachable: its past is seen for the first time
        for memory in (history, None):  # what is known is not asked for; then all is
            history.append(bk.collect(live_demo.fleet, known=memory, limits=QUICK))

        assert len(history.conflicts(since=moment)) == len(finished) - 1  # one cannot be read
        assert len(history.jobs(appliances=["vc-tyo-03"])) > 80
        again = report(path, live_demo.path, tmp_path / "again", *last, "--as-of", moment)
        assert again == then


class TestImported:
    """What another history brings is known from when it was learnt, not from when it came."""

    @pytest.fixture
    def other(self, tmp_path: Path) -> bk.History:
        """Keep what another site learnt: one round before T, one after it."""
        other = bk.History(tmp_path / "other.db")
        other.append(told(T - timedelta(hours=1), [job("vc-8", 9)], plans=[plan("vc-8")]))
        other.append(told(AFTER, [job("vc-8", 9, end_time=night(9, 5)), job("vc-8", 8)]))
        return other

    def test_learnt_later(self, own: Kept, tmp_path: Path) -> None:
        """What was learnt after T changes nothing."""
        later = bk.History(tmp_path / "later.db")
        later.append(told(AFTER, [job("vc-8", 9), job("vc-3", 9)], plans=[plan("vc-8")]))
        argv = ["history", "import", "--history", str(own.history), later.uri]
        assert main(argv) == 0
        assert_same(judged(own.history, own.fleet, T), own.assessment)
        assert len(judged(own.history, own.fleet, AFTER).appliances) == 5

    def test_learnt_before(self, own: Kept, other: bk.History) -> None:
        """What was learnt before T is in a report as of T from then on, and its version says so.

        It is the report of whoever had had both at T.
        """
        both = Path(shutil.copy(own.history, own.history.with_name("both.db")))
        early = told(T - timedelta(hours=1), [job("vc-8", 9)], plans=[plan("vc-8")])
        bk.History(both).append(early)
        expected = judged(both, own.fleet, T)
        bk.History(own.history).merge(other.uri)
        found = judged(own.history, own.fleet, T)
        assert_same(dataclasses.replace(found, version=expected.version), expected)
        assert found.version != own.assessment.version
        assert found.appliances.loc["vc-8", "attempts"] == 1

    def test_a_round_under_way(self, own: Kept) -> None:
        """So it is with a round that began before T and was kept after it."""
        bk.History(own.history).append(told(T - timedelta(seconds=9), [job("vc-2", 9)]))
        found = judged(own.history, own.fleet, T)
        assert found.version != own.assessment.version


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
vanished = st.builds(gone, st.sampled_from(NAMES), st.integers(1, 3))
visits = st.builds(
    lambda name, ok, minutes: visit(name, ok=ok, clock_skew=timedelta(minutes=minutes)),
    st.sampled_from(NAMES),
    st.sampled_from([True, False, None]),
    st.integers(-1, 1),
)
plans = st.builds(
    lambda name, hour: plan(name, hour=hour), st.sampled_from(NAMES), st.none() | st.integers(0, 2)
)


def once(rows: Sequence[dict[str, object]], *keys: str) -> list[dict[str, object]]:
    """Leave one row of each key: a round tells each thing once."""
    return list({tuple(row.get(key) for key in keys): row for row in rows}.values())


@st.composite
def rounds(draw: st.DrawFn, most: int) -> list[SimpleNamespace]:
    """Draw some rounds, one after the other, over one or several months."""
    steps = draw(st.lists(st.sampled_from([1, 60, 24 * 60, 31 * 24 * 60]), max_size=most))
    made, when = [], BEGIN
    for step in steps:
        when += timedelta(minutes=step, microseconds=draw(st.integers(0, 1)))
        rows = draw(st.lists(jobs | vanished, max_size=6))
        made.append(
            told(
                when,
                once(rows, "appliance", "job_id"),
                once(draw(st.lists(visits, max_size=2)), "appliance"),
                once(draw(st.lists(plans, max_size=2)), "appliance"),
            )
        )
    return made


def moments(*made: Sequence[SimpleNamespace]) -> list[datetime]:
    """Give when something was learnt, the microsecond before each, and one before and after all."""
    own = {BEGIN - timedelta(days=1), BEGIN + timedelta(days=999)}
    for one in (one for some in made for one in some if len(one.polls)):
        when = one.polls["polled_at"].iloc[0].to_pydatetime()
        own |= {when, when - timedelta(microseconds=1)}
    return sorted(own)


def known(history: bk.History, at: datetime | None = None) -> list[pd.DataFrame]:
    """Read all that is known, or was."""
    return [
        read(at=at)
        for read in (
            history.observations,
            history.jobs,
            history.polls,
            history.schedules,
            history.conflicts,
        )
    ]


def assert_known(found: list[pd.DataFrame], expected: list[pd.DataFrame]) -> None:
    """Compare what is known with what was; of one moment, jobs come as they were first kept."""
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
    """Whatever the rounds are, and wherever the cut."""

    @settings(max_examples=repeats(3, 20))
    @given(made=rounds(5))
    def test_cut(self, place: Place, made: list[SimpleNamespace]) -> None:
        """A history as of a moment is the history as it was when it had what came by then."""
        with place() as target:
            history = bk.History(target)
            was = [(BEGIN, known(history))]
            for one in made:
                history.append(one)
                when = one.polls["polled_at"].min()  # without polls nothing is known of it
                was.append((was[-1][0] if pd.isna(when) else when.to_pydatetime(), known(history)))
            for moment in moments(made):
                then = [frames for when, frames in was if when <= max(moment, BEGIN)][-1]
                assert_known(known(history, moment), then)

    @settings(max_examples=repeats(3, 20))
    @given(one=rounds(3), other=rounds(3), data=st.data())
    def test_merged(
        self,
        place: Place,
        one: list[SimpleNamespace],
        other: list[SimpleNamespace],
        data: st.DataObject,
    ) -> None:
        """Two histories merged, as of a moment, are what they were then, merged then."""
        cut = data.draw(st.sampled_from(moments(one, other)))
        with contextlib.ExitStack() as stack:
            merged = []
            for moment in (None, cut):
                pair = [bk.History(stack.enter_context(place())) for _ in range(2)]
                for history, made in zip(pair, (one, other), strict=True):
                    for brought in made:
                        if moment is None or (brought.polls["polled_at"] <= moment).all():
                            history.append(brought)
                pair[0].merge(pair[1].uri)
                assert pair[0].verify().empty
                merged.append(pair[0])
            assert_known(known(merged[0], cut), known(merged[1]))
