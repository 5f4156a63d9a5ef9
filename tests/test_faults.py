"""Whatever an appliance does wrong stays with it: passing faults are overcome, others are named."""

import logging
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import pytest

from backupkit import Limits, Snapshot, collect
from backupkit.errors import BackupkitWarning
from backupkit.simulator import Fault, Request, Scenario, SimulatedFleet
from tests.conftest import EPOCH, QUICK, OddServer, Simulated, epoch, simulated

OLD, MIDDLE, NEW = "vc-65", "vc-67", "vc-80"
FAULTY = (OLD, MIDDLE, NEW)
VERSIONS = {OLD: "6.5", MIDDLE: "6.7", NEW: "8.0.3", "vc-near": "9.0.0", "vc-far": "7.0.1"}
JOBS = 10
SMALL = replace(QUICK, body=250_000)


def several(jobs: int = JOBS, names: dict[str, str] = VERSIONS) -> Scenario:
    """Return a scenario with an appliance of each version that makes a difference."""
    [spec] = Scenario.steady(appliances=1, jobs=jobs, seed=1, epoch=EPOCH).specs
    specs = [replace(spec, name=name, version=version) for name, version in names.items()]
    return Scenario(seed=1, epoch=EPOCH, specs=tuple(specs))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """Run five appliances; the tests have them by way of `running`."""
    with simulated(several(), tmp_path_factory.mktemp("faults")) as fleet:
        yield fleet


@pytest.fixture
def running(shared: Simulated) -> Iterator[Simulated]:
    """Yield the five appliances without faults, and remove the faults after the test."""
    shared.appliances.clear_requests()
    yield shared
    shared.appliances.set_faults([])
    for one in shared.appliances.appliances:
        one.sessions.clear()


def befall(running: Simulated, kind: str, **how: object) -> list[Fault]:
    """Inject a fault into three appliances; the other two stay healthy."""
    faults = [Fault(kind, appliance=name, **how) for name in FAULTY]  # type: ignore[arg-type] # the test knows the fields
    running.appliances.set_faults(faults)
    return faults


def jobs_of(snapshot: Snapshot) -> dict[str, int]:
    """Count the jobs of each appliance, those with none left out."""
    return {
        str(name): int(count) for name, count in snapshot.jobs["appliance"].value_counts().items()
    }


def errors_of(snapshot: Snapshot, name: str) -> pd.DataFrame:
    """Return the errors of one appliance."""
    return snapshot.errors[snapshot.errors["appliance"] == name]


def ok_of(snapshot: Snapshot) -> dict[str, bool]:
    """Return whether each appliance was read."""
    return dict(zip(snapshot.polls["appliance"], snapshot.polls["ok"], strict=True))


def asked(running: Simulated, name: str, end: str = "", method: str = "GET") -> list[Request]:
    """Return the requests to one appliance whose path ends so."""
    return [
        one
        for one in running.appliances.requests
        if (one.appliance, one.method) == (name, method) and one.path.endswith(end)
    ]


def log_ins(running: Simulated, name: str) -> int:
    """Count the sessions that one appliance opened."""
    return sum(one.status in {200, 201} for one in asked(running, name, method="POST"))


def assert_others_complete(snapshot: Snapshot) -> None:
    """Assert that the two appliances without a fault are complete."""
    for name in VERSIONS.keys() - set(FAULTY):
        assert ok_of(snapshot)[name]
        assert jobs_of(snapshot)[name] == JOBS
        assert errors_of(snapshot, name).empty


def assert_complete(snapshot: Snapshot) -> None:
    """Assert that every appliance is complete, without an error."""
    assert jobs_of(snapshot) == dict.fromkeys(VERSIONS, JOBS)
    assert all(ok_of(snapshot).values())
    assert snapshot.errors.empty


PASSING = (
    "reset",
    "reset_body",
    "garbage",
    "truncated",
    "html",
    "error",
    "unavailable",
    "bad_gateway",
    "unauthenticated",
)
HARMLESS = ("content_type", "extra_fields", "offset_time", "duplicate_ids", "odd_ids")


class TestPassing:
    """Faults that are gone at the next try."""

    @pytest.mark.parametrize("kind", PASSING)
    def test_once(self, running: Simulated, kind: str) -> None:
        """One broken, refused or failed request is sent again, and nothing is missing."""
        befall(running, kind, route="data", times=1)
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert_complete(snapshot)
        assert running.appliances.open_sessions == 0
        assert {one.appliance for one in running.appliances.requests if one.fault} == set(FAULTY)

    @pytest.mark.parametrize("kind", PASSING)
    def test_once_on_a_job(self, running: Simulated, kind: str) -> None:
        """The same holds where an old appliance is asked for each job alone."""
        running.appliances.set_faults([Fault(kind, 1.0, OLD, "job", 1)])
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
        assert running.appliances.open_sessions == 0

    @pytest.mark.parametrize("kind", ["html", "error", "unavailable", "bad_gateway"])
    def test_once_at_log_in(self, running: Simulated, kind: str) -> None:
        """A log-in that was refused for now is sent again, and opens one session."""
        befall(running, kind, route="log-in", times=1)
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
        assert [log_ins(running, name) for name in FAULTY] == [1, 1, 1]
        assert running.appliances.open_sessions == 0

    def test_broken_log_in_is_not_repeated(self, running: Simulated) -> None:
        """A log-in whose answer was lost may have opened a session: there is no second one."""
        running.appliances.set_faults([Fault("truncated", 1.0, NEW, "log-in")])
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert errors_of(snapshot, NEW)["error"].to_list() == ["unreachable"]
        assert log_ins(running, NEW) == 1

    @pytest.mark.parametrize("kind", HARMLESS)
    def test_harmless(self, running: Simulated, kind: str) -> None:
        """Odd but valid responses lose nothing, however often they come."""
        befall(running, kind)
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
        assert running.appliances.open_sessions == 0

    @pytest.mark.parametrize("kind", ["unavailable", "too_many"])
    @pytest.mark.parametrize("route", ["log-in", "data"])
    def test_retry_after(
        self, running: Simulated, caplog: pytest.LogCaptureFixture, kind: str, route: str
    ) -> None:
        """A busy appliance is left alone for as long as it asks, and the log warns of that."""
        befall(running, kind, route=route, times=1, retry_after=1)
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
        warned = [one for one in caplog.records if one.levelno == logging.WARNING]
        assert len(warned) == len(FAULTY)
        for record in warned:
            assert isinstance(record.args, tuple)
            assert "busy (" in str(record.args[1])
            assert 1 <= record.args[2] < 2  # type: ignore[operator] # the wait [s]

    @pytest.mark.parametrize("after", ["Wed, 21 Oct 2026 07:28:00 GMT", "soon", "-5", "\u0661"])
    def test_odd_retry_after(self, running: Simulated, after: str) -> None:
        """A Retry-After that is no number of seconds is passed over."""
        befall(running, "too_many", times=1, retry_after=after.encode().decode("latin-1"))
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))

    def test_retry_after_the_end(self, running: Simulated) -> None:
        """A Retry-After beyond the deadline is not waited for."""
        befall(running, "too_many", route="data", retry_after=3600)
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert errors_of(snapshot, NEW)["error"].to_list() == ["busy"]
        assert len(asked(running, NEW)) == 1
        assert_others_complete(snapshot)

    def test_no_free_session(self, running: Simulated, caplog: pytest.LogCaptureFixture) -> None:
        """Without a free session the login waits, and a warning gives the reason."""
        befall(running, "session_limit", times=1)
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
        warned = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
        assert len(warned) == len(FAULTY)
        assert all("no free session" in text and "retrying in" in text for text in warned)

    def test_one_more_log_in(self, running: Simulated) -> None:
        """A session that ends in mid-round is renewed, once."""
        befall(running, "unauthenticated", route="data", times=1)
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
        assert {name: log_ins(running, name) for name in VERSIONS} == {
            name: 1 + (name in FAULTY) for name in VERSIONS
        }
        assert running.appliances.open_sessions == 0

    def test_one_more_log_in_for_all_threads(self, tmp_path: Path) -> None:
        """When a session ends under many requests at once, they share one new log-in."""
        with simulated(several(120, {OLD: "6.5"}), tmp_path) as running:
            running.appliances.set_faults([Fault("unauthenticated", 1.0, OLD, "job", 1)])
            snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
            assert log_ins(running, OLD) == 2
            assert running.appliances.open_sessions == 0
        assert len(snapshot.jobs) == 120
        assert snapshot.errors.empty

    def test_one_in_ten(self, tmp_path: Path) -> None:
        """An appliance that fails one request in ten is still read whole."""
        with simulated(several(200, {OLD: "6.5"}), tmp_path) as running:
            running.appliances.set_faults([Fault("error", 0.1, OLD, "data")])
            # one lane, so that the same requests fail each time
            limits = replace(QUICK, per_appliance=1, attempts=6)
            snapshot = collect(running.fleet, limits=limits, clock=epoch)
            assert sum(one.fault == "error" for one in running.appliances.requests) > 10
        assert len(snapshot.jobs) == 200
        assert snapshot.errors.empty


LASTING = {
    "reset": ("unreachable", "broke at the job list"),
    "reset_body": ("unreachable", "broke at the job list"),
    "garbage": ("unreachable", "broke at the job list"),
    "truncated": ("unreachable", "broke at the job list"),
    "cut": ("payload", "the job list is not valid JSON: it is truncated"),
    "empty": ("payload", "the job list is empty"),
    "html": ("server", "the job list failed (503), and the response is not from the API"),
    "page": ("payload", "the job list is HTML and not JSON"),
    "huge": ("payload", "the job list is larger than 0.238 MiB"),
    "bomb": ("payload", "the job list is larger than 0.238 MiB"),
    "deep": ("payload", "the job list does not follow the API"),
    "error": ("server", "the request for the job list failed (500)"),
    "unavailable": ("busy", "the appliance is busy (503)"),
    "bad_gateway": ("server", "the request for the job list failed (502)"),
    "too_many": ("busy", "the appliance is busy (429)"),
    "unauthenticated": ("login", "the session ended before the job details"),
    "forbidden": ("rights", "SystemConfiguration.Administrators"),
    "not_found": ("not_found", "the job list does not exist (404)"),
    "redirect": ("payload", "the job list was redirected (302); redirects are not followed"),
}
LATE = {
    "drip": "took longer than 1.5 s",
    "drip_headers": "took longer than 1.5 s",
    "slow": "did not respond to",
    "silence": "did not respond to",
}
NO_LOG_IN = {
    **LASTING,
    "session_limit": ("busy", "no free session (503)"),
    "empty": ("payload", "the login is empty"),
}
del NO_LOG_IN["unauthenticated"]  # it affects sessions


class TestLasting:
    """Faults that no retry overcomes: a row that names them, and nothing else is spoilt."""

    @pytest.mark.parametrize("kind", LASTING)
    def test_named(self, running: Simulated, kind: str) -> None:
        """Each fault has its kind and message, in every flavour; the others are complete."""
        befall(running, kind, route="data", size=1_000_000, retry_after=0)
        snapshot = collect(running.fleet, limits=SMALL, clock=epoch)
        word, sentence = LASTING[kind]
        for name in FAULTY:
            errors = errors_of(snapshot, name)
            assert errors["error"].to_list() == [word]
            assert errors["job_id"].isna().all()
            [detail] = errors["detail"]
            assert sentence in detail
            assert detail.endswith(".")
            assert not ok_of(snapshot)[name]
        assert_others_complete(snapshot)
        assert running.appliances.open_sessions == 0

    @pytest.mark.parametrize("kind", NO_LOG_IN)
    def test_no_log_in(self, running: Simulated, kind: str) -> None:
        """Without a log-in nothing else is asked, and the row names the same fault."""
        befall(running, kind, route="log-in", size=1_000_000, retry_after=0)
        snapshot = collect(running.fleet, limits=SMALL, clock=epoch)
        for name in FAULTY:
            assert errors_of(snapshot, name)["error"].to_list() == [NO_LOG_IN[kind][0]]
            assert asked(running, name) == []
            assert len(asked(running, name, method="POST")) <= 2 * QUICK.attempts
        assert_others_complete(snapshot)

    def test_late(self, tmp_path: Path) -> None:
        """Answers that drip, stall or never come are cut off, and the round goes on."""
        names = {f"{kind}-{name}": VERSIONS[name] for kind in LATE for name in FAULTY}
        faults = [Fault(kind, 1.0, f"{kind}-*", "data", wait=3) for kind in LATE]
        faults[:2] = [Fault(kind, 1.0, f"{kind}-*", "data", wait=0.25) for kind in LATE][:2]
        limits = replace(QUICK, read=1, response=1.5, attempts=1)
        with simulated(several(3, {**names, "vc-near": "9.0.0"}), tmp_path) as running:
            running.appliances.set_faults(faults)
            snapshot = collect(running.fleet, limits=limits, clock=epoch)
            assert running.appliances.open_sessions == 0
        for name in names:
            kind, _, _ = name.partition("-")
            errors = errors_of(snapshot, name)
            assert errors["error"].to_list() == ["unreachable"]
            assert LATE[kind] in errors["detail"].iloc[0]
        assert jobs_of(snapshot) == {"vc-near": 3}

    def test_large_answers_take_no_memory(self, running: Simulated) -> None:
        """An answer far above the limit, packed or not, is never held in memory."""
        for kind in ("huge", "bomb"):
            befall(running, kind, route="data", size=64 << 20)
            collect(running.fleet, limits=SMALL, clock=epoch)  # the simulator packs its bombs once
            tracemalloc.start()
            snapshot = collect(running.fleet, limits=SMALL, clock=epoch)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 16 << 20
            assert set(snapshot.errors["error"]) == {"payload"}

    def test_log_out(self, running: Simulated) -> None:
        """When only the log-out fails all was read; the session idles out, and is no error."""
        for kind in ("reset", "error", "forbidden", "unavailable", "html", "redirect"):
            befall(running, kind, route="log-out")
            assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
            # the log-out never happened, and is what each of the three was left with
            assert [len(one.sessions) for one in running.appliances.appliances] == [1, 1, 1, 0, 0]
            for one in running.appliances.appliances:
                one.sessions.clear()

    @pytest.mark.parametrize("kind", ["reset_body", "truncated", "cut", "unauthenticated"])
    def test_log_out_with_a_bad_answer(self, running: Simulated, kind: str) -> None:
        """A log-out whose answer is lost has happened all the same."""
        befall(running, kind, route="log-out")
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
        assert running.appliances.open_sessions == 0


class TestBeside:
    """Version, zone and schedules: the jobs count even where these cannot be read."""

    @pytest.mark.parametrize("route", ["version", "timezone", "schedules"])
    @pytest.mark.parametrize(
        ("kind", "word"),
        [
            ("reset", "unreachable"),
            ("error", "server"),
            ("unavailable", "busy"),
            ("forbidden", "rights"),
            ("cut", "payload"),
            ("redirect", "payload"),
        ],
    )
    def test_jobs_count(self, running: Simulated, route: str, kind: str, word: str) -> None:
        """Whatever befalls them has a row; all jobs are there, and the visit was a good one."""
        befall(running, kind, route=route)
        limits = replace(QUICK, attempts=2)
        snapshot = collect(running.fleet, limits=limits, clock=epoch)
        assert jobs_of(snapshot) == dict.fromkeys(VERSIONS, JOBS)
        assert all(ok_of(snapshot).values())
        concerned = FAULTY if route != "schedules" else (MIDDLE, NEW)  # 6.5 has none
        assert sorted(snapshot.errors["appliance"]) == sorted(concerned)
        assert set(snapshot.errors["error"]) == {word}
        assert snapshot.errors["job_id"].isna().all()
        assert running.appliances.open_sessions == 0

    @pytest.mark.parametrize("route", ["details", "schedules"])
    def test_passing_not_found(self, running: Simulated, route: str) -> None:
        """A 404 while services start does not make a new appliance one without details."""
        befall(running, "not_found", route=route)
        first = collect(running.fleet, limits=QUICK, clock=epoch)
        assert jobs_of(first) == dict.fromkeys(VERSIONS, JOBS)
        assert not first.polls.set_index("appliance")["details"][NEW]
        running.appliances.set_faults([])
        again = collect(running.fleet, known=first, limits=QUICK, clock=epoch)
        details = again.polls.set_index("appliance")["details"]
        assert details.to_dict() == {name: name != OLD for name in VERSIONS}
        assert {NEW, MIDDLE} <= set(again.schedules["appliance"])

    @pytest.mark.parametrize("kind", ["reset", "error", "bad_gateway", "cut", "page", "redirect"])
    def test_no_details(self, running: Simulated, kind: str) -> None:
        """Each job is read alone if only the details fail."""
        befall(running, kind, route="details")
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert_complete(snapshot)
        sources = snapshot.jobs.groupby("appliance")["source"].unique()
        assert {name: list(words) for name, words in sources.items()} == {
            name: ["job"] if name in FAULTY else ["details"] for name in VERSIONS
        }

    def test_listed_and_nowhere(self, running: Simulated) -> None:
        """An appliance that has not one of the jobs it lists was not read."""
        running.appliances.set_faults([Fault("not_found", 1.0, OLD, "job")])
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        [detail] = errors_of(snapshot, OLD)["detail"]
        assert "10 jobs are listed, and none of them exists" in detail
        assert not ok_of(snapshot)[OLD]
        assert_others_complete(snapshot)


SPOILT = ("missing_field", "null_text", "zoneless_time", "second_60")


class TestBadJob:
    """A bad job spoils itself alone."""

    @pytest.mark.parametrize("kind", SPOILT)
    def test_named(self, running: Simulated, kind: str) -> None:
        """A job that is invalid everywhere is named once, and the others are read."""
        befall(running, kind, jobs=3)
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        for name in FAULTY:
            errors = errors_of(snapshot, name)
            named = set(errors["job_id"])
            assert named
            assert len(named) == len(errors)
            assert named <= set(running.appliances.affected_jobs(name))
            assert set(errors["error"]) == {"payload"}
            for job, text in zip(errors["job_id"], errors["detail"], strict=True):
                assert f" job {job} does not follow the API: " in text
            read = set(snapshot.jobs.loc[snapshot.jobs["appliance"] == name, "job_id"])
            assert len(read | named) == JOBS
            assert not read & named
        assert all(ok_of(snapshot).values())
        assert_others_complete(snapshot)

    @pytest.mark.parametrize("kind", [*SPOILT, "absurd_numbers"])
    def test_read_otherwise(self, running: Simulated, kind: str) -> None:
        """A job that details alone tell wrongly is read by job/{id}; it lacks only its size."""
        befall(running, kind, route="details", jobs=3)
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert_complete(snapshot)
        by_job = snapshot.jobs[snapshot.jobs["source"] == "job"]
        for name in (MIDDLE, NEW):
            mended = by_job[by_job["appliance"] == name]
            assert len(mended)
            assert set(mended["job_id"]) <= set(running.appliances.affected_jobs(name))
            assert mended["size"].isna().all()

    def test_absurd_numbers(self, running: Simulated) -> None:
        """A size beyond all bounds and a progress of 250 % cost these numbers, not the job."""
        befall(running, "absurd_numbers", jobs=3)
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert_complete(snapshot)
        for name in FAULTY:
            bad = snapshot.jobs["job_id"].isin(running.appliances.affected_jobs(name))
            jobs = snapshot.jobs[bad & (snapshot.jobs["appliance"] == name)]
            assert len(jobs) == 3
            assert jobs["progress"].isna().all()

    def test_unknown_state(self, running: Simulated) -> None:
        """A new word is kept as it is, warned of, and counts as neither success nor failure."""
        befall(running, "unknown_state")
        with pytest.warns(BackupkitWarning, match="unknown state: SUSPENDED"):
            snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert_complete(snapshot)
        odd = snapshot.jobs[snapshot.jobs["outcome"] == "other"]
        assert dict(zip(odd["appliance"], odd["job_id"], strict=True)) == {
            name: running.appliances.affected_jobs(name)[0] for name in FAULTY
        }

    def test_strange_ids(self, running: Simulated) -> None:
        """Ids with slashes, dots, blanks and umlauts come through whole, and are known again."""
        befall(running, "odd_ids")
        first = collect(running.fleet, limits=QUICK, clock=epoch)
        for name in FAULTY:
            assert set(running.appliances.affected_jobs(name)) <= set(first.jobs["job_id"])
        again = collect(running.fleet, known=first, limits=QUICK, clock=epoch)
        assert again.observations.empty
        assert again.errors.empty

    def test_missing_in_details(self, running: Simulated) -> None:
        """A job that details leave out is read by job/{id} as soon as the list is asked for."""
        befall(running, "undetailed")
        first = collect(running.fleet, limits=QUICK, clock=epoch)
        assert first.errors.empty
        again = collect(running.fleet, known=first, limits=QUICK, clock=epoch)
        assert {*first.jobs["job_id"], *again.jobs["job_id"]} >= {
            *running.appliances.affected_jobs(NEW),
            *running.appliances.affected_jobs(MIDDLE),
        }
        assert again.errors.empty

    def test_removed_during_the_visit(self, running: Simulated) -> None:
        """A job that is listed and then nowhere is as good as removed: it spoils nothing."""
        befall(running, "gone")
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert jobs_of(snapshot) == {name: JOBS - (name in FAULTY) for name in VERSIONS}
        assert all(ok_of(snapshot).values())

    @pytest.mark.parametrize(
        "kind", ["unknown_state", "missing_field", "odd_ids", "gone", "absurd_numbers", "second_60"]
    )
    @pytest.mark.filterwarnings("ignore::backupkit.errors.BackupkitWarning")
    def test_job_by_job(self, running: Simulated, kind: str) -> None:
        """Asked for each job alone, every flavour spoils the same jobs."""
        befall(running, kind)
        alone = collect(running.fleet, strategy="job", limits=QUICK, clock=epoch)
        spoilt = {"missing_field", "second_60"}
        assert dict(Counter(alone.errors["appliance"])) == (
            dict.fromkeys(FAULTY, 1) if kind in spoilt else {}
        )
        lost = spoilt | {"gone"}
        assert jobs_of(alone) == {
            name: JOBS - (name in FAULTY and kind in lost) for name in VERSIONS
        }


class TestRedirect:
    """Password and token stay with the host they are for."""

    @pytest.mark.parametrize("route", ["log-in", "data", "log-out", "*"])
    def test_other_host(self, running: Simulated, odd: OddServer, route: str) -> None:
        """A redirect to another host makes no request there."""
        odd.serve_api()
        befall(running, "redirect", route=route, to=f"https://{odd.host}/api/session")
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert odd.seen == []
        assert_others_complete(snapshot)
        assert set(snapshot.errors["error"]) <= {"payload"}

    @pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 399])
    def test_same_host(self, odd: OddServer, status: int) -> None:
        """Not even a redirect to the same host is followed."""
        odd.serve_api()
        odd.respond("POST /api/session", b"", status, Location="/elsewhere")
        with pytest.warns(BackupkitWarning):
            snapshot = collect([odd.appliance()], limits=QUICK)
        assert f"redirected ({status})" in snapshot.errors["detail"].iloc[0]
        assert [path for _, path, _ in odd.seen] == ["/api/session"]


class TestBounds:
    """However much goes wrong, an appliance is not asked without end."""

    @pytest.mark.parametrize("kind", ["reset", "error", "unavailable", "bad_gateway"])
    def test_retry_budget(self, tmp_path: Path, kind: str) -> None:
        """One that always fails is asked some twenty times, however many jobs it has."""
        scenario = several(300, {OLD: "6.5", MIDDLE: "6.7", NEW: "8.0.3", "vc-near": "9.0.0"})
        with simulated(scenario, tmp_path) as running:
            for route in ("data", "details", "job"):
                befall(running, kind, route=route)
                running.appliances.clear_requests()
                collect(running.fleet, limits=QUICK, clock=epoch)
                for name in FAULTY:
                    struck = sum(bool(one.fault) for one in asked(running, name))
                    assert struck <= 20

    @pytest.mark.parametrize("lanes", [1, 4])
    def test_five_in_a_row(self, tmp_path: Path, lanes: int) -> None:
        """After five jobs in a row that fail the appliance is given up."""
        with simulated(several(200, {OLD: "6.5", "vc-near": "9.0.0"}), tmp_path) as running:
            running.appliances.set_faults([Fault("error", 1.0, OLD, "job")])
            limits = replace(QUICK, per_appliance=lanes)
            snapshot = collect(running.fleet, limits=limits, clock=epoch)
            jobs = {one.path for one in asked(running, OLD) if one.fault}
        assert 5 <= len(jobs) < 5 + lanes  # the others were under way
        errors = errors_of(snapshot, OLD)
        assert set(errors["error"]) == {"server"}
        assert errors["job_id"].isna().sum() == 1
        assert len(errors) == len(jobs) + 1

    def test_four_in_a_row(self, running: Simulated) -> None:
        """Up to four it is the jobs' fault: they are named, and the rest is read."""
        running.appliances.set_faults([Fault("error", 1.0, OLD, "job", 4)])
        snapshot = collect(running.fleet, limits=replace(QUICK, attempts=1), clock=epoch)
        assert ok_of(snapshot)[OLD]
        assert jobs_of(snapshot)[OLD] == JOBS - 4
        assert errors_of(snapshot, OLD)["job_id"].nunique() == 4

    def test_one_renewal(self, running: Simulated) -> None:
        """A session that keeps ending is renewed once, and no more."""
        befall(running, "unauthenticated", route="data")
        collect(running.fleet, limits=QUICK, clock=epoch)
        assert [log_ins(running, name) for name in FAULTY] == [2, 2, 2]

    def test_wrong_password_is_not_repeated(self, tmp_path: Path) -> None:
        """A refused password is sent once: a second try could lock the user out."""
        with simulated(several(), tmp_path) as running:
            for name in FAULTY:
                running.appliances.set_password(name, "another")
            snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
            for name in FAULTY:
                refused = [one.status for one in asked(running, name, method="POST")]
                assert refused.count(401) == 1
        assert snapshot.errors["error"].to_list() == ["login"] * 3
        assert_others_complete(snapshot)

    @pytest.mark.parametrize("token", ["", "a\r\nX-Odd: 1", "日本", "\x00"])
    def test_odd_token(self, odd: OddServer, token: str) -> None:
        """A token that fits no header is a bad answer, and is sent nowhere."""
        odd.serve_api()
        odd.respond("POST /api/session", json_text(token), 201)
        with pytest.warns(BackupkitWarning):
            snapshot = collect([odd.appliance()], limits=QUICK)
        assert snapshot.errors["error"].to_list() == ["payload"]
        assert len(odd.seen) == 1


def json_text(text: str) -> bytes:
    """Write a text as JSON."""
    escaped = "".join(f"\\u{ord(character):04x}" for character in text)
    return f'"{escaped}"'.encode()


class TestDeadline:
    """A round ends when it must."""

    def test_some_hang(self, tmp_path: Path) -> None:
        """Appliances that hang and appliances not polled have different messages."""
        hanging, waiting = ("vc-a", "vc-b"), ("vc-c", "vc-d", "vc-e")
        names = dict.fromkeys(("vc-0", *hanging, *waiting), "8.0.3")
        limits = Limits(deadline=2.5, concurrency=2, read=60)
        with simulated(several(3, names), tmp_path) as running:
            running.appliances.set_faults([Fault("silence", 1.0, name, "data") for name in hanging])
            snapshot = collect(running.fleet, limits=limits, clock=epoch)
            assert running.appliances.open_sessions == 0
        assert snapshot.polls["appliance"].to_list() == list(names)
        assert ok_of(snapshot)["vc-0"]
        assert dict(zip(snapshot.errors["appliance"], snapshot.errors["error"], strict=True)) == (
            dict.fromkeys((*hanging, *waiting), "deadline")
        )
        for name in hanging:
            assert (
                "deadline of the collection passed before the job details"
                in errors_of(snapshot, name)["detail"].iloc[0]
            )
        for name in waiting:
            assert "before the poll began" in errors_of(snapshot, name)["detail"].iloc[0]

    def test_in_the_middle(self, tmp_path: Path) -> None:
        """Jobs that were read before the deadline are kept."""
        with simulated(several(60, {OLD: "6.5", "vc-near": "9.0.0"}), tmp_path) as running:
            running.appliances.set_faults([Fault("slow", 1.0, OLD, "job", wait=0.2)])
            limits = Limits(deadline=2, per_appliance=1)
            snapshot = collect(running.fleet, limits=limits, clock=epoch)
            assert running.appliances.open_sessions == 0
        assert errors_of(snapshot, OLD)["error"].to_list() == ["deadline"]
        assert 0 < jobs_of(snapshot)[OLD] < 60
        assert ok_of(snapshot)["vc-near"]

    @pytest.mark.parametrize("route", ["schedules", "version"])
    def test_after_the_jobs(self, tmp_path: Path, route: str) -> None:
        """Jobs that were read are kept if the deadline passes before the rest is read."""
        with simulated(several(3, {NEW: "8.0.3", "vc-near": "9.0.0"}), tmp_path) as running:
            running.appliances.set_faults([Fault("silence", 1.0, NEW, route)])
            snapshot = collect(running.fleet, limits=Limits(deadline=1, read=60), clock=epoch)
            assert running.appliances.open_sessions == 0
        assert errors_of(snapshot, NEW)["error"].to_list() == ["deadline"]
        assert jobs_of(snapshot)[NEW] == 3

    def test_one_request_at_once(self, tmp_path: Path) -> None:
        """However many threads there are, no more requests are under way than may be."""
        names = ("vc-a", "vc-b")
        with (
            simulated(several(3, dict.fromkeys(names, "8.0.3")), tmp_path) as running,
            ThreadPoolExecutor(2) as threads,
        ):
            running.appliances.set_faults([Fault("slow", 1.0, "vc-a", "log-in", wait=0.6)])
            limits = Limits(concurrency=1)
            snapshot = collect(running.fleet, limits=limits, executor=threads, clock=epoch)
        assert ok_of(snapshot) == dict.fromkeys(names, True)

    def test_busy_until_the_end(self, tmp_path: Path) -> None:
        """A wait between two tries does not outlast the round either."""
        with simulated(several(3, {NEW: "8.0.3", "vc-near": "9.0.0"}), tmp_path) as running:
            running.appliances.set_faults([Fault("error", 1.0, NEW, "data")])
            limits = Limits(deadline=1, backoff=60, attempts=9)
            snapshot = collect(running.fleet, limits=limits, clock=epoch)
        assert set(errors_of(snapshot, NEW)["error"]) <= {"server", "deadline"}
        assert ok_of(snapshot) == {NEW: False, "vc-near": True}


@dataclass
class Counting:
    """Maximum number of concurrent requests, per appliance and in total."""

    most: Counter[str] = field(default_factory=Counter)
    now: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def change(self, name: str, by: int) -> None:
        """Count a request that comes or goes."""
        with self.lock:
            for key in (name, "all"):
                self.now[key] += by
                self.most[key] = max(self.most[key], self.now[key])


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """Count what is under way in every simulated fleet that starts from now on."""
    counted = Counting()
    answer: Callable[..., object] = SimulatedFleet._answer

    def counting_answer(fleet: SimulatedFleet, appliance: object, request: object) -> object:
        name = str(getattr(appliance, "name", ""))
        counted.change(name, 1)
        time.sleep(0.01)
        try:
            return answer(fleet, appliance, request)
        finally:
            counted.change(name, -1)

    monkeypatch.setattr(SimulatedFleet, "_answer", counting_answer)
    return counted


class TestAtOnce:
    """A collection does not overload the appliances."""

    @pytest.mark.parametrize("most", [1, 3])
    def test_per_appliance(self, tmp_path: Path, counting: Counting, most: int) -> None:
        """One appliance never has more to answer at once than it may have."""
        names = {OLD: "6.5", "vc-older": "6.5"}
        with simulated(several(90, names), tmp_path) as running:
            limits = replace(QUICK, per_appliance=most)
            snapshot = collect(running.fleet, limits=limits, clock=epoch)
        assert len(snapshot.jobs) == 180
        assert max(counting.most[name] for name in names) == most

    def test_in_all(self, tmp_path: Path, counting: Counting) -> None:
        """All appliances together never have more to answer at once than that."""
        names = {f"vc-{number}": "6.5" for number in range(6)}
        with simulated(several(40, names), tmp_path) as running:
            limits = replace(QUICK, per_appliance=4, concurrency=3)
            snapshot = collect(running.fleet, limits=limits, clock=epoch)
        assert len(snapshot.jobs) == 240
        assert counting.most["all"] == 3
