"""Second and third rounds: what is asked again, what is kept, and what of a changed past."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from backupkit import History, Snapshot, collect
from backupkit.cli import main
from backupkit.history import AppendResult
from backupkit.simulator import Request, Scenario, Trait
from tests.conftest import EPOCH, QUICK, Simulated, epoch, simulated

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
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@dataclass
class Clock:
    """A clock that a test sets, for the appliances and for who asks them."""

    now: datetime = EPOCH

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now


@dataclass
class Moving:
    """A running fleet, its history, and the time, which passes when a test says so."""

    running: Simulated
    history: History
    clock: Clock

    def wait(self, time: timedelta) -> None:
        """Let time pass."""
        self.clock.now += time

    def collect(self, *, full: bool = False, **how: str) -> Snapshot:
        """Make a round, and let a minute pass; the log has this round's requests alone."""
        self.running.appliances.clear_requests()
        known = None if full else self.history
        snapshot = collect(
            self.running.fleet,
            known=known,
            limits=QUICK,
            clock=self.clock,
            **how,  # type: ignore[arg-type] # the strategy
        )
        self.wait(MINUTE)
        assert snapshot.errors.empty
        assert self.running.appliances.open_sessions == 0
        return snapshot

    def round(self, *, full: bool = False) -> AppendResult:
        """Make a round and keep it."""
        return self.history.append(self.collect(full=full))

    @property
    def requests(self) -> dict[str, int]:
        """How many requests each appliance got in this round."""
        return dict(Counter(one.appliance for one in self.running.appliances.requests))

    def asked(self, name: str) -> list[Request]:
        """Give the requests one appliance got in this round."""
        return [one for one in self.running.appliances.requests if one.appliance == name]

    def asked_jobs(self, name: str) -> list[str]:
        """Give the jobs that one appliance was asked for by name, in details or alone."""
        ids = [value for one in self.asked(name) for _, value in parse_qsl(one.query)]
        tails = [one.path.partition("/backup/job/")[2] for one in self.asked(name)]
        return sorted([*ids, *(tail for tail in tails if tail not in {"", "details"})])

    def newest(self, name: str) -> str:
        """Give the newest job of an appliance."""
        return self.running.appliances[name].jobs()[-1].id

    def jobs(self, name: str) -> pd.DataFrame:
        """Give what the history knows of an appliance."""
        return self.history.jobs(appliances=[name]).set_index("job_id")


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[Moving]:
    """Run an appliance of each version, each with eight jobs that have ended."""
    [spec] = Scenario.steady(appliances=1, jobs=JOBS, seed=1, epoch=EPOCH).specs
    specs = tuple(
        replace(spec, name=name, version=version, traits=(Trait.HEALTHY,))
        for name, version in VERSIONS.items()
    )
    clock = Clock()
    with simulated(Scenario(seed=1, epoch=EPOCH, specs=specs), tmp_path, clock=clock) as running:
        yield Moving(running, History(tmp_path / "history.db"), clock)


class TestFewRequests:
    """What is known is not asked for."""

    def test_nothing_new(self, moving: Moving) -> None:
        """Where nothing is new three or four requests are enough, in every version."""
        assert moving.round().new == len(VERSIONS) * JOBS
        added = moving.round()
        assert added == AppendResult(polls=len(VERSIONS))
        assert moving.requests == {name: 3 + (name != "vc-65") for name in VERSIONS}
        assert all(moving.asked_jobs(name) == [] for name in VERSIONS)
        told = moving.history.polls().groupby("appliance")["requests"].last()
        assert told.to_dict() == moving.requests

    def test_one_open(self, moving: Moving) -> None:
        """An open job costs one request more: five at most."""
        for name in VERSIONS:
            moving.running.appliances[name].create("by hand")
        moving.round()
        moving.round()
        assert moving.requests == {name: 4 + (name != "vc-65") for name in VERSIONS}
        for name in VERSIONS:
            assert moving.asked_jobs(name) == [moving.newest(name)]

    def test_new_jobs_alone(self, moving: Moving) -> None:
        """A day later the new jobs are asked for, each by its name, and no other."""
        moving.round()
        before = {name: set(moving.jobs(name).index) for name in VERSIONS}
        moving.wait(DAY)
        added = moving.round()
        assert added.new >= len(VERSIONS)
        assert added.observations == added.new
        for name in VERSIONS:
            listed = {job.id for job in moving.running.appliances[name].jobs()}
            assert moving.asked_jobs(name) == sorted(listed - before[name])
            assert set(moving.jobs(name).index) == listed
        moving.round()
        assert max(moving.requests.values()) <= 4

    def test_open_until_it_ends(self, moving: Moving) -> None:
        """An open job is asked for again until it has ended, and then no more."""
        created = {name: moving.running.appliances[name].create("it").id for name in VERSIONS}
        moving.wait(2 * MINUTE)
        moving.round()
        moving.wait(MINUTE)
        assert moving.round().changed == len(VERSIONS)
        for name, job in created.items():
            assert moving.jobs(name).loc[job, "outcome"] == "open"
        moving.wait(timedelta(hours=6))
        moving.round()
        for name, job in created.items():
            assert job in moving.asked_jobs(name)
            assert moving.jobs(name).loc[job, "outcome"] in {"success", "failure"}
            seen = moving.history.observations(appliances=[name])
            progress = seen.loc[seen["job_id"] == job, "progress"].to_list()
            assert len(progress) == 3
            assert progress == sorted(progress)
        moving.round()
        assert not any(job in moving.asked_jobs(name) for name, job in created.items())

    def test_snapshot_as_known(self, moving: Moving) -> None:
        """The last snapshot serves as well as the history it went into."""
        moving.running.appliances["vc-80"].create("by hand")
        moving.running.appliances["vc-65"].create("by hand")
        first = moving.collect()
        moving.history.append(first)
        moving.wait(DAY)
        now = moving.clock.now
        by_history = moving.collect()
        requests = sorted(map(str, moving.running.appliances.requests))
        moving.clock.now = now
        moving.running.appliances.clear_requests()
        by_snapshot = collect(moving.running.fleet, known=first, limits=QUICK, clock=moving.clock)
        assert sorted(map(str, moving.running.appliances.requests)) == requests
        assert_frame_equal(by_snapshot.observations, by_history.observations)
        assert_frame_equal(by_snapshot.schedules, by_history.schedules)


class TestVanished:
    """Jobs that an appliance lists no more."""

    def test_one(self, moving: Moving) -> None:
        """A vanished job stays, is marked once, and is unmarked when it comes back."""
        moving.round()
        gone = {name: moving.newest(name) for name in VERSIONS}
        for name, job in gone.items():
            moving.running.appliances.forget(name, job)
        when = moving.clock.now
        assert moving.round() == AppendResult(vanished=len(VERSIONS), polls=len(VERSIONS))
        assert moving.round() == AppendResult(polls=len(VERSIONS))
        for name, job in gone.items():
            jobs = moving.jobs(name)
            assert len(jobs) == JOBS
            assert jobs.loc[job, "vanished_at"] == when
            assert jobs.loc[job, "outcome"] in {"success", "failure"}
            assert jobs["vanished_at"].notna().sum() == 1
            moving.running.appliances[name]._forgotten.clear()
        added = moving.round()
        assert (added.new, added.changed, added.vanished) == (0, len(VERSIONS), 0)
        assert moving.history.jobs()["vanished_at"].isna().all()
        assert len(moving.history.jobs()) == len(VERSIONS) * JOBS
        assert moving.round() == AppendResult(polls=len(VERSIONS))

    def test_all(self, moving: Moving) -> None:
        """An appliance that loses its whole list keeps its past here, and goes on."""
        moving.round()
        for name in VERSIONS:
            moving.running.appliances.forget(name)
        assert moving.round().vanished == len(VERSIONS) * JOBS
        assert max(moving.requests.values()) <= 4
        moving.wait(DAY)
        added = moving.round()
        assert added.vanished == 0
        assert added.new >= len(VERSIONS)
        jobs = moving.history.jobs()
        assert jobs["vanished_at"].notna().sum() == len(VERSIONS) * JOBS
        assert not jobs.duplicated(["appliance", "job_id"]).any()

    def test_in_an_unread_round(self, moving: Moving) -> None:
        """An appliance that was not read has lost nothing."""
        moving.round()
        for name in VERSIONS:
            moving.running.appliances.stop(name)
        with pytest.warns(UserWarning, match="None of 6 appliances"):
            snapshot = collect(
                moving.running.fleet, known=moving.history, limits=QUICK, clock=moving.clock
            )
        assert moving.history.append(snapshot) == AppendResult(polls=len(VERSIONS))
        for name in VERSIONS:
            moving.running.appliances.start(name)
        moving.wait(MINUTE)
        moving.round()
        assert moving.requests == {name: 3 + (name != "vc-65") for name in VERSIONS}


class TestRewritten:
    """Jobs that had ended, and are told otherwise later."""

    def test_full_round(self, moving: Moving) -> None:
        """A full round sees them; old and new times are told, and the newer count."""
        moving.round()
        changed = {name: moving.running.appliances[name].jobs()[2] for name in VERSIONS}
        for name, job in changed.items():
            end = job.end + timedelta(minutes=42)
            moving.running.appliances.rewrite(name, job.id, end=end)
        assert moving.round().observations == 0  # who is known is not asked for
        added = moving.round(full=True)
        assert (added.new, added.changed, added.vanished) == (0, len(VERSIONS), 0)
        conflicts = added.conflicts.set_index("appliance")
        assert sorted(conflicts.index) == sorted(VERSIONS)
        for name, job in changed.items():
            told = conflicts.loc[name]
            assert told["job_id"] == job.id
            assert told["end_time"] - told["known_end_time"] == timedelta(minutes=42)
            assert told["start_time"] == told["known_start_time"]
            assert moving.jobs(name).loc[job.id, "end_time"] == told["end_time"]
            assert len(moving.jobs(name)) == JOBS
        assert_frame_equal(moving.history.conflicts(), added.conflicts)
        assert moving.round(full=True).conflicts.empty
        assert len(moving.history.conflicts()) == len(VERSIONS)
        assert moving.history.conflicts(since=moving.clock.now).empty

    def test_twice(self, moving: Moving) -> None:
        """Each further change is a conflict with the one before it."""
        moving.round()
        job = moving.running.appliances["vc-80"].jobs()[2]
        for hours in (1, 2):
            start = job.start - timedelta(hours=hours)
            moving.running.appliances.rewrite("vc-80", job.id, start=start)
            assert len(moving.round(full=True).conflicts) == 1
        told = moving.history.conflicts()
        assert (told["known_start_time"] - told["start_time"]).to_list() == [timedelta(hours=1)] * 2
        assert told["known_start_time"].iloc[1] == told["start_time"].iloc[0]

    def test_job_by_job_takes_nothing_away(self, moving: Moving) -> None:
        """A full round that asks for each job alone is no change: sizes stay as details told."""
        moving.round()
        before = moving.history.jobs()
        again = moving.history.append(moving.collect(full=True, strategy="job"))
        assert again.observations == 0
        assert again.conflicts.empty
        assert_frame_equal(moving.history.jobs(), before)
        assert before.loc[before["appliance"] != "vc-65", "size"].notna().all()

    def test_command_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """`backupkit collect --full` says which job is told otherwise, from when to when."""
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
        said = capsys.readouterr().err
        times = [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in (job.start, job.end, later)]
        assert (
            f"  vc-0001: job {job.id} ran {times[0]} to {times[1]}, and is now reported as "
            f"{times[0]} to {times[2]}. The history keeps both, and uses the newer one.\n"
        ) in said


class TestUpgraded:
    """Appliances that change under us."""

    def test_from_6_5(self, moving: Moving) -> None:
        """After an upgrade details, schedules and the newer flavour are found again."""
        moving.round()
        moving.running.appliances.upgrade("vc-65", "8.0.3")
        moving.wait(DAY)
        moving.round()
        jobs = moving.jobs("vc-65")
        new = jobs[jobs["first_seen_at"] > EPOCH]
        assert set(new["source"]) == {"details"}
        assert new["size"].notna().all()
        assert len(moving.history.schedules(appliances=["vc-65"])) == 1
        moving.round()
        polls = moving.history.polls(appliances=["vc-65"])
        assert polls["version"].str[:3].to_list() == ["6.5", "8.0", "8.0"]
        assert polls["api"].to_list() == ["rest", "rest", "api"]
        assert polls["details"].to_list() == [False, True, True]
        moving.round()
        assert moving.requests["vc-65"] == 4

    def test_no_more_rest(self, moving: Moving) -> None:
        """An appliance that gave /rest up is found below /api, in the same round."""
        moving.round()
        for name in ("vc-65", "vc-67"):
            moving.running.appliances.upgrade(name, "9.0.0", legacy=False)
        moving.wait(DAY)
        added = moving.round()
        assert added.new >= len(VERSIONS)
        told = moving.history.polls().groupby("appliance")["api"].last()
        assert told["vc-65"] == told["vc-67"] == "api"

    def test_no_more_api(self, moving: Moving) -> None:
        """An appliance that was put back to an older release is found below /rest."""
        moving.round()
        moving.running.appliances.upgrade("vc-80", "6.7")
        moving.running.appliances.upgrade("vc-90", "6.5")
        moving.wait(DAY)
        moving.round()
        polls = moving.history.polls().groupby("appliance").last()
        assert polls["api"][["vc-80", "vc-90"]].to_list() == ["rest", "rest"]
        assert polls["details"][["vc-80", "vc-90"]].to_list() == [True, False]
        for name in ("vc-80", "vc-90"):
            listed = {job.id for job in moving.running.appliances[name].jobs()}
            assert set(moving.jobs(name).index) == listed

    def test_session_ends_meanwhile(self, moving: Moving) -> None:
        """Sessions are each round's own: one that an administrator ends matters to nobody."""
        moving.round()
        for name in VERSIONS:
            moving.running.appliances.expire_sessions(name)
        moving.round()
        assert max(moving.requests.values()) <= 4


SHARED = ["state", "start_time", "end_time", "messages"]


class TestStrategies:
    """Details of many jobs, and each job alone: two ways to the same facts."""

    def test_same_facts(self, tmp_path: Path) -> None:
        """Both give the same jobs, states, times, messages and progress, in every version."""
        [spec] = Scenario.steady(appliances=1, jobs=30, seed=1, epoch=EPOCH).specs
        traits = (Trait.FLAKY, Trait.RUNNING)
        specs = tuple(
            replace(spec, name=name, version=version, jobs=None, nights=30, traits=traits)
            for name, version in VERSIONS.items()
        )
        with simulated(Scenario(seed=1, epoch=EPOCH, specs=specs), tmp_path) as running:
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
