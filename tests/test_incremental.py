"""Later collections: what is requested, what is stored, and changes of the past."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from backupkit import Fleet, History, Snapshot, collect
from backupkit.cli import main
from backupkit.history import AppendResult
from backupkit.simulator import Scenario, Trait
from backupkit.tables import SyncState
from tests.builders import Clock, scenario
from tests.conftest import EPOCH, QUICK, Simulated, epoch, simulated
from tests.written_fleet import PASSWORD, WrittenAppliance, nightly_jobs, serve

VERSIONS = {
    "vc-65": "6.5",
    "vc-67": "6.7",
    "vc-701": "7.0.1",
    "vc-702": "7.0.2",
    "vc-80": "8.0.3",
    "vc-90": "9.0.0",
}
WITH_DETAILS = [name for name in VERSIONS if name != "vc-65"]
JOBS = 8


@dataclass
class Changing:
    """A simulated fleet, its history, and a clock that the test advances."""

    running: Simulated
    history: History
    clock: Clock

    def read(self, *, full: bool = False, **options: str) -> Snapshot:
        """Collect, and advance the clock by a minute; the log has only these requests."""
        self.running.appliances.clear_requests()
        known = None if full else self.history
        snapshot = collect(
            self.running.fleet,
            known=known,
            limits=QUICK,
            clock=self.clock,
            **options,  # type: ignore[arg-type] # the strategy
        )
        self.clock.advance(minutes=1)
        assert snapshot.errors.empty
        assert self.running.appliances.open_sessions == 0
        return snapshot

    def collect(self, *, full: bool = False) -> AppendResult:
        """Collect, and append the snapshot."""
        return self.history.append(self.read(full=full))

    @property
    def requests(self) -> dict[str, int]:
        """Count the requests of the last collection by appliance."""
        return dict(Counter(one.appliance for one in self.running.appliances.requests))

    def requested_jobs(self, name: str) -> list[str]:
        """Return the jobs that were requested by id, from details or alone."""
        requests = [one for one in self.running.appliances.requests if one.appliance == name]
        ids = [value for one in requests for _, value in parse_qsl(one.query)]
        tails = [one.path.partition("/backup/job/")[2] for one in requests]
        return sorted([*ids, *(tail for tail in tails if tail not in {"", "details"})])

    def newest(self, name: str) -> str:
        """Return the newest job of an appliance."""
        return self.running.appliances[name].jobs()[-1].id

    def jobs(self, name: str) -> pd.DataFrame:
        """Return the stored jobs of an appliance by id."""
        return self.history.jobs(appliances=[name]).set_index("job_id")


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[Changing]:
    """Run an appliance of each version, each with eight finished jobs."""
    clock = Clock()
    healthy = scenario(VERSIONS, jobs=JOBS, traits=(Trait.HEALTHY,))
    with simulated(healthy, tmp_path, clock=clock) as running:
        yield Changing(running, History(tmp_path / "history.db"), clock)


class TestFewRequests:
    """Known jobs are not requested."""

    def test_nothing_new(self, changing: Changing) -> None:
        """Without a new job, three or four requests are enough in every version."""
        assert changing.collect().new == len(VERSIONS) * JOBS
        added = changing.collect()
        assert added == AppendResult(polls=len(VERSIONS))
        assert changing.requests == {name: 3 + (name != "vc-65") for name in VERSIONS}
        assert all(changing.requested_jobs(name) == [] for name in VERSIONS)
        requests = changing.history.polls().groupby("appliance")["requests"].last()
        assert requests.to_dict() == changing.requests

    def test_one_open(self, changing: Changing) -> None:
        """An open job costs one more request."""
        for name in VERSIONS:
            changing.running.appliances[name].create("by hand")
        changing.collect()
        changing.collect()
        assert changing.requests == {name: 4 + (name != "vc-65") for name in VERSIONS}
        for name in VERSIONS:
            assert changing.requested_jobs(name) == [changing.newest(name)]

    def test_new_jobs_only(self, changing: Changing) -> None:
        """A day later only the new jobs are requested, each by its id."""
        changing.collect()
        before = {name: set(changing.jobs(name).index) for name in VERSIONS}
        changing.clock.advance(days=1)
        added = changing.collect()
        assert added.new >= len(VERSIONS)
        assert added.observations == added.new
        for name in VERSIONS:
            listed = {job.id for job in changing.running.appliances[name].jobs()}
            assert changing.requested_jobs(name) == sorted(listed - before[name])
            assert set(changing.jobs(name).index) == listed
        changing.collect()
        assert max(changing.requests.values()) <= 4

    def test_open_until_it_ends(self, changing: Changing) -> None:
        """An open job is requested until it has ended."""
        created = {name: changing.running.appliances[name].create("it").id for name in VERSIONS}
        changing.clock.advance(minutes=2)
        changing.collect()
        changing.clock.advance(minutes=1)
        assert changing.collect().changed == len(VERSIONS)
        for name, job in created.items():
            assert changing.jobs(name).loc[job, "outcome"] == "open"
        changing.clock.advance(hours=6)
        changing.collect()
        for name, job in created.items():
            assert job in changing.requested_jobs(name)
            assert changing.jobs(name).loc[job, "outcome"] in {"success", "failure"}
            seen = changing.history.observations(appliances=[name])
            progress = seen.loc[seen["job_id"] == job, "progress"].to_list()
            assert len(progress) == 3
            assert progress == sorted(progress)
        changing.collect()
        assert not any(job in changing.requested_jobs(name) for name, job in created.items())

    def test_known_snapshot(self, changing: Changing) -> None:
        """The last snapshot has the same effect as the history that contains it."""
        changing.running.appliances["vc-80"].create("by hand")
        changing.running.appliances["vc-65"].create("by hand")
        first = changing.read()
        changing.history.append(first)
        changing.clock.advance(days=1)
        now = changing.clock.now
        by_history = changing.read()
        requests = sorted(map(str, changing.running.appliances.requests))
        changing.clock.now = now
        changing.running.appliances.clear_requests()
        by_snapshot = collect(
            changing.running.fleet, known=first, limits=QUICK, clock=changing.clock
        )
        assert sorted(map(str, changing.running.appliances.requests)) == requests
        assert_frame_equal(by_snapshot.observations, by_history.observations)
        assert_frame_equal(by_snapshot.schedules, by_history.schedules)


class Asked:
    """A history that counts how often it was asked for known jobs."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.names: list[str] = []

    def sync_state(self, *, ids: bool = True) -> dict[str, SyncState]:
        """Return the known state of each appliance."""
        return self.history.sync_state(ids=ids)

    def known_jobs(
        self, appliance: str, listed: Collection[str]
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Return the known jobs, and count."""
        self.names.append(appliance)
        return self.history.known_jobs(appliance, listed)


@dataclass
class OddIds:
    """An appliance whose ids a test chooses, and its history."""

    appliance: WrittenAppliance
    fleet: Fleet
    history: History

    def collect(self, *ids: str, executor: Executor | None = None) -> AppendResult:
        """Collect from the appliance with successes of these ids."""
        [success] = nightly_jobs(1).values()
        self.appliance.jobs = dict.fromkeys(ids, success)
        snapshot = collect(self.fleet, known=self.history, executor=executor, limits=QUICK)
        assert snapshot.errors.empty
        return self.history.append(snapshot)


class TestUnchangedList:
    """A job list that did not change is recognised without a look at its jobs."""

    def collect(self, changing: Changing) -> list[str]:
        """Collect, and return the appliances whose jobs were looked up."""
        asked = Asked(changing.history)
        snapshot = collect(
            changing.running.fleet, known=asked, limits=QUICK, clock=changing.clock, progress=False
        )
        changing.clock.advance(minutes=1)
        changing.history.append(snapshot)
        assert changing.history.verify().empty
        listed = snapshot.polls.set_index("appliance")["jobs_listed"]
        for name, number in listed.items():
            assert number == len(changing.running.appliances[str(name)].jobs())
        return sorted(asked.names)

    def test_unchanged(self, changing: Changing) -> None:
        """The first collection looks up all, the next none, also after a change was stored."""
        everything = sorted(VERSIONS)
        assert self.collect(changing) == everything
        assert self.collect(changing) == []
        changing.clock.advance(days=1)
        assert self.collect(changing) == everything
        assert self.collect(changing) == []

    def test_open_job(self, changing: Changing) -> None:
        """With an open job on it, the list is compared until the job has ended and was read."""
        self.collect(changing)
        job = changing.running.appliances["vc-80"].create("by hand").id
        assert self.collect(changing) == ["vc-80"]
        assert self.collect(changing) == ["vc-80"]
        changing.clock.advance(hours=6)
        assert "vc-80" in self.collect(changing)
        assert changing.jobs("vc-80").loc[job, "outcome"] in {"success", "failure"}
        assert self.collect(changing) == []

    def test_other_collector(self, changing: Changing) -> None:
        """After a snapshot without digests, as of a watch, the list is compared again."""
        self.collect(changing)
        snapshot = changing.read()
        plain = Snapshot(snapshot.observations, snapshot.polls, snapshot.schedules, snapshot.errors)
        changing.history.append(plain)
        assert self.collect(changing) == sorted(VERSIONS)
        assert self.collect(changing) == []

    def test_late_snapshot(self, changing: Changing) -> None:
        """An older list that arrives late is not taken for the newest one."""
        self.collect(changing)
        late = changing.read()
        changing.clock.advance(days=1)
        self.collect(changing)
        changing.history.append(late)
        assert changing.history.verify().empty
        assert self.collect(changing) == sorted(VERSIONS)

    def replace_oldest(self, changing: Changing) -> None:
        """Let a day pass; each appliance forgets as many old jobs as it has new ones."""
        running = changing.running.appliances
        before = {name: [job.id for job in running[name].jobs()] for name in VERSIONS}
        changing.clock.advance(days=1)
        for name, old in before.items():
            for job in old[: len(running[name].jobs()) - len(old)]:
                running.forget(name, job)
            assert len(running[name].jobs()) == len(old)

    def test_late_list_of_same_length(self, changing: Changing) -> None:
        """An older list that arrives late is not taken for a newer one with as many jobs."""
        self.collect(changing)
        late = changing.read()
        self.replace_oldest(changing)
        changing.history.append(changing.read())
        changing.history.append(late)
        assert changing.history.verify().empty
        assert self.collect(changing) == sorted(VERSIONS)

    def test_known_elsewhere(self, changing: Changing, tmp_path: Path) -> None:
        """Jobs that only another history knows are read for this one."""
        self.collect(changing)
        other = History(tmp_path / "other.db")
        other.append(changing.read(full=True))
        self.replace_oldest(changing)
        self.collect(changing)
        other.append(changing.read())
        changing.history = other
        assert self.collect(changing) == sorted(VERSIONS)
        listed = {job.id for job in changing.running.appliances["vc-80"].jobs()}
        jobs = changing.jobs("vc-80")
        assert set(jobs[jobs["vanished_at"].isna()].index) == listed

    def test_removal(self, changing: Changing) -> None:
        """After a removal the list is compared again, and what was removed is read again."""
        self.collect(changing)
        later = changing.clock.now
        changing.clock.advance(days=1)
        self.collect(changing)
        before = set(changing.jobs("vc-80").index)
        changing.history.prune(before=later)
        assert changing.history.verify().empty
        self.collect(changing)
        assert set(changing.jobs("vc-80").index) == before
        assert self.collect(changing) == []

    def test_changed_digest(self, changing: Changing) -> None:
        """A digest that was changed by hand is found."""
        self.collect(changing)
        with closing(sqlite3.connect(changing.history.uri)) as database, database:
            database.execute("UPDATE appliances SET list_digest = 'x' WHERE name = 'vc-80'")
        [(what, problem)] = changing.history.verify()[["what", "problem"]].to_numpy().tolist()
        assert what == "appliance vc-80"
        assert problem == "the digest of its job list does not agree with its jobs"


class TestOddIds:
    """Ids that a history stores in another form, or that look like two."""

    pytestmark = pytest.mark.allow_hosts(["127.0.0.0/8"])

    @pytest.fixture
    def odd_ids(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OddIds]:
        """Serve an appliance with one success."""
        monkeypatch.setenv("VCSA_PASSWORD", PASSWORD)
        one = WrittenAppliance("vc-1", nightly_jobs(1))
        with serve([one], tmp_path) as path:
            yield OddIds(one, Fleet.load(path), History(tmp_path / "history.db"))

    def test_line_break(self, odd_ids: OddIds) -> None:
        """A job whose id has a line break is not taken for two jobs with the parts as ids."""
        odd_ids.collect("a", "b")
        assert odd_ids.collect("a\nb") == AppendResult(new=1, vanished=2, polls=1)

    @pytest.mark.parametrize("workers", [0, 1])
    def test_long(self, odd_ids: OddIds, workers: int) -> None:
        """A job with a long id is read once, and stays listed, also if an executor polls."""
        long = "x" * 500
        with ThreadPoolExecutor(1) as pool:
            executor = pool if workers else None
            assert odd_ids.collect(long, "a", executor=executor).new == 2
            added = odd_ids.collect(long, "a", "b", executor=executor)
            assert added == AppendResult(new=1, polls=1)
            added = odd_ids.collect("a", "b", executor=executor)
            assert added == AppendResult(vanished=1, polls=1)
        assert odd_ids.history.verify().empty


class TestVanished:
    """Jobs that an appliance no longer lists."""

    def test_one(self, changing: Changing) -> None:
        """A vanished job stays, is marked once, and is unmarked when it is listed again."""
        changing.collect()
        gone = {name: changing.newest(name) for name in VERSIONS}
        for name, job in gone.items():
            changing.running.appliances.forget(name, job)
        when = changing.clock.now
        assert changing.collect() == AppendResult(vanished=len(VERSIONS), polls=len(VERSIONS))
        assert changing.collect() == AppendResult(polls=len(VERSIONS))
        for name, job in gone.items():
            jobs = changing.jobs(name)
            assert len(jobs) == JOBS
            assert jobs.loc[job, "vanished_at"] == when
            assert jobs.loc[job, "outcome"] in {"success", "failure"}
            assert jobs["vanished_at"].notna().sum() == 1
            changing.running.appliances[name]._forgotten.clear()
        added = changing.collect()
        assert (added.new, added.changed, added.vanished) == (0, len(VERSIONS), 0)
        assert changing.history.jobs()["vanished_at"].isna().all()
        assert len(changing.history.jobs()) == len(VERSIONS) * JOBS
        assert changing.collect() == AppendResult(polls=len(VERSIONS))

    def test_all(self, changing: Changing) -> None:
        """An appliance that loses its list keeps its stored jobs."""
        changing.collect()
        for name in VERSIONS:
            changing.running.appliances.forget(name)
        assert changing.collect().vanished == len(VERSIONS) * JOBS
        assert max(changing.requests.values()) <= 4
        changing.clock.advance(days=1)
        added = changing.collect()
        assert added.vanished == 0
        assert added.new >= len(VERSIONS)
        jobs = changing.history.jobs()
        assert jobs["vanished_at"].notna().sum() == len(VERSIONS) * JOBS
        assert not jobs.duplicated(["appliance", "job_id"]).any()

    def test_unreachable(self, changing: Changing) -> None:
        """No job of an unreachable appliance vanishes."""
        changing.collect()
        for name in VERSIONS:
            changing.running.appliances.stop(name)
        with pytest.warns(UserWarning, match="None of 6 appliances"):
            snapshot = collect(
                changing.running.fleet, known=changing.history, limits=QUICK, clock=changing.clock
            )
        assert changing.history.append(snapshot) == AppendResult(polls=len(VERSIONS))
        for name in VERSIONS:
            changing.running.appliances.start(name)
        changing.clock.advance(minutes=1)
        changing.collect()
        assert changing.requests == {name: 3 + (name != "vc-65") for name in VERSIONS}


class TestRewritten:
    """Finished jobs that are later reported with other times."""

    def test_full_collection(self, changing: Changing) -> None:
        """A full collection finds them; both times are stored, and the newer ones count."""
        changing.collect()
        changed = {name: changing.running.appliances[name].jobs()[2] for name in VERSIONS}
        for name, job in changed.items():
            end = job.end + timedelta(minutes=42)
            changing.running.appliances.rewrite(name, job.id, end=end)
        assert changing.collect().observations == 0  # finished jobs are not requested
        added = changing.collect(full=True)
        assert (added.new, added.changed, added.vanished) == (0, len(VERSIONS), 0)
        conflicts = added.conflicts.set_index("appliance")
        assert sorted(conflicts.index) == sorted(VERSIONS)
        for name, job in changed.items():
            conflict = conflicts.loc[name]
            assert conflict["job_id"] == job.id
            assert conflict["end_time"] - conflict["known_end_time"] == timedelta(minutes=42)
            assert conflict["start_time"] == conflict["known_start_time"]
            assert changing.jobs(name).loc[job.id, "end_time"] == conflict["end_time"]
            assert len(changing.jobs(name)) == JOBS
        assert_frame_equal(changing.history.conflicts(), added.conflicts)
        assert changing.collect(full=True).conflicts.empty
        assert len(changing.history.conflicts()) == len(VERSIONS)
        assert changing.history.conflicts(since=changing.clock.now).empty

    def test_twice(self, changing: Changing) -> None:
        """Each further change is a conflict with the one before it."""
        changing.collect()
        job = changing.running.appliances["vc-80"].jobs()[2]
        for hours in (1, 2):
            start = job.start - timedelta(hours=hours)
            changing.running.appliances.rewrite("vc-80", job.id, start=start)
            assert len(changing.collect(full=True).conflicts) == 1
        conflicts = changing.history.conflicts()
        earlier = conflicts["known_start_time"] - conflicts["start_time"]
        assert earlier.to_list() == [timedelta(hours=1)] * 2
        assert conflicts["known_start_time"].iloc[1] == conflicts["start_time"].iloc[0]

    def test_strategy_job(self, changing: Changing) -> None:
        """A full collection without details changes nothing: known sizes stay."""
        changing.collect()
        before = changing.history.jobs()
        again = changing.history.append(changing.read(full=True, strategy="job"))
        assert again.observations == 0
        assert again.conflicts.empty
        assert_frame_equal(changing.history.jobs(), before)
        assert before.loc[before["appliance"] != "vc-65", "size"].notna().all()

    def test_command_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """`backupkit collect --full` prints which job changed, from when to when."""
        scenario = Scenario.steady(appliances=2, jobs=4, seed=1, epoch=datetime.now(UTC))
        with simulated(scenario, tmp_path, clock=None) as running:
            argv = ["collect", "--fleet", str(running.path), "--history", str(tmp_path / "h.db")]
            assert main(argv) == 0
            job = running.appliances["vc-0001"].jobs()[1]
            later = job.end + timedelta(hours=1)
            running.appliances.rewrite("vc-0001", job.id, end=later)
            assert main(argv) == 0
            assert "The history keeps both" not in capsys.readouterr().err
            assert main([*argv, "--full"]) == 0
        err = capsys.readouterr().err
        times = [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in (job.start, job.end, later)]
        assert (
            f"  vc-0001: job {job.id} ran {times[0]} to {times[1]}, and is now reported as "
            f"{times[0]} to {times[2]}. The history keeps both, and uses the newer one.\n"
        ) in err


class TestUpgraded:
    """Appliances that change their version."""

    def test_from_6_5(self, changing: Changing) -> None:
        """After an upgrade, details, schedules and the newer flavour are used."""
        changing.collect()
        changing.running.appliances.upgrade("vc-65", "8.0.3")
        changing.clock.advance(days=1)
        changing.collect()
        jobs = changing.jobs("vc-65")
        new = jobs[jobs["first_seen_at"] > EPOCH]
        assert set(new["source"]) == {"details"}
        assert new["size"].notna().all()
        assert len(changing.history.schedules(appliances=["vc-65"])) == 1
        changing.collect()
        polls = changing.history.polls(appliances=["vc-65"])
        assert polls["version"].str[:3].to_list() == ["6.5", "8.0", "8.0"]
        assert polls["api"].to_list() == ["rest", "rest", "api"]
        assert polls["details"].to_list() == [False, True, True]
        changing.collect()
        assert changing.requests["vc-65"] == 4

    def test_without_rest(self, changing: Changing) -> None:
        """An appliance that no longer has /rest is read by /api in the same collection."""
        changing.collect()
        for name in ("vc-65", "vc-67"):
            changing.running.appliances.upgrade(name, "9.0.0", legacy=False)
        changing.clock.advance(days=1)
        added = changing.collect()
        assert added.new >= len(VERSIONS)
        api = changing.history.polls().groupby("appliance")["api"].last()
        assert api["vc-65"] == api["vc-67"] == "api"

    def test_without_api(self, changing: Changing) -> None:
        """An appliance that was restored to an older version is read by /rest."""
        changing.collect()
        changing.running.appliances.upgrade("vc-80", "6.7")
        changing.running.appliances.upgrade("vc-90", "6.5")
        changing.clock.advance(days=1)
        changing.collect()
        polls = changing.history.polls().groupby("appliance").last()
        assert polls["api"][["vc-80", "vc-90"]].to_list() == ["rest", "rest"]
        assert polls["details"][["vc-80", "vc-90"]].to_list() == [True, False]
        for name in ("vc-80", "vc-90"):
            listed = {job.id for job in changing.running.appliances[name].jobs()}
            assert set(changing.jobs(name).index) == listed

    def test_ended_session(self, changing: Changing) -> None:
        """Each collection has its own sessions: it does not matter if older ones were ended."""
        changing.collect()
        for name in VERSIONS:
            changing.running.appliances.expire_sessions(name)
        changing.collect()
        assert max(changing.requests.values()) <= 4


SHARED = ["state", "start_time", "end_time", "messages"]


class TestStrategies:
    """Details and single jobs contain the same facts."""

    def test_same_facts(self, tmp_path: Path) -> None:
        """Both strategies have the same jobs, states, times, messages and progress."""
        traits = (Trait.FLAKY, Trait.RUNNING)
        mixed = scenario(VERSIONS, jobs=None, nights=30, traits=traits)
        with simulated(mixed, tmp_path) as running:
            auto, job = (
                collect(running.fleet, strategy=way, limits=QUICK, clock=epoch)
                for way in ("auto", "job")
            )
        every, alone = (
            one.jobs.set_index(["appliance", "job_id"]).sort_index() for one in (auto, job)
        )
        assert len(every) >= 30 * len(VERSIONS)
        assert set(every["state"]) == {"SUCCEEDED", "FAILED", "INPROGRESS"}
        assert every["messages"].map(len).sum() > 0
        assert_frame_equal(every[SHARED], alone[SHARED])
        both = every["progress"].notna() & alone["progress"].notna()
        assert both.mean() > 0.9
        assert_frame_equal(every.loc[both, ["progress"]], alone.loc[both, ["progress"]])
        assert every["outcome"].equals(alone["outcome"])
        for name in WITH_DETAILS:
            assert every.xs(name)["size"].notna().all()
        assert alone["size"].isna().all()
