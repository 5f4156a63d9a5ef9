"""Faults of an appliance affect only that appliance: retries overcome some, rows name the rest."""

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
from backupkit.errors import ADVICE, BackupkitWarning
from backupkit.simulator import Fault, Request, Scenario, SimulatedFleet
from tests.builders import scenario
from tests.conftest import QUICK, OddServer, Simulated, epoch, simulated

OLD, MIDDLE, NEW = "vc-65", "vc-67", "vc-80"
FAULTY = (OLD, MIDDLE, NEW)
VERSIONS = {OLD: "6.5", MIDDLE: "6.7", NEW: "8.0.3", "vc-near": "9.0.0", "vc-far": "7.0.1"}
JOBS = 10
SMALL = replace(QUICK, body=250_000)


def faulty_fleet(jobs: int = JOBS, versions: dict[str, str] = VERSIONS) -> Scenario:
    """Return a scenario of one appliance of each version."""
    return scenario(versions, jobs=jobs)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """Run five appliances for the fixture `running`."""
    with simulated(faulty_fleet(), tmp_path_factory.mktemp("faults")) as fleet:
        yield fleet


@pytest.fixture
def running(shared: Simulated) -> Iterator[Simulated]:
    """Yield the five appliances without faults, and remove the faults after the test."""
    shared.appliances.clear_requests()
    yield shared
    shared.appliances.set_faults([])
    for appliance in shared.appliances.appliances:
        appliance.sessions.clear()


def inject(running: Simulated, kind: str, **fields: object) -> None:
    """Inject a fault into three appliances; the other two stay healthy."""
    faults = [Fault(kind, appliance=name, **fields) for name in FAULTY]  # type: ignore[arg-type] # the test knows the fields
    running.appliances.set_faults(faults)


def jobs_of(snapshot: Snapshot) -> dict[str, int]:
    """Count the jobs of each appliance that has any."""
    counts = snapshot.jobs["appliance"].value_counts()
    return {str(name): int(count) for name, count in counts.items()}


def errors_of(snapshot: Snapshot, name: str) -> pd.DataFrame:
    """Return the errors of one appliance."""
    return snapshot.errors[snapshot.errors["appliance"] == name]


def ok_of(snapshot: Snapshot) -> dict[str, bool]:
    """Return whether each appliance was read, NA if in part."""
    return dict(zip(snapshot.polls["appliance"], snapshot.polls["ok"], strict=True))


def requests_to(running: Simulated, name: str, method: str = "GET") -> list[Request]:
    """Return the requests to one appliance."""
    return [
        request
        for request in running.appliances.requests
        if (request.appliance, request.method) == (name, method)
    ]


def count_logins(running: Simulated, name: str) -> int:
    """Count the sessions that one appliance opened."""
    return sum(one.status in {200, 201} for one in requests_to(running, name, method="POST"))


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


TRANSIENT = (
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
HARMLESS = ("content_type", "extra_fields", "offset_time", "odd_ids", "undetailed")


class TestTransient:
    """Faults that the next try overcomes."""

    @pytest.mark.parametrize("kind", TRANSIENT)
    def test_once(self, running: Simulated, kind: str) -> None:
        """A broken, refused or failed request is sent again, and nothing is missing."""
        inject(running, kind, route="data", times=1)
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert_complete(snapshot)
        assert running.appliances.open_sessions == 0
        assert {one.appliance for one in running.appliances.requests if one.fault} == set(FAULTY)

    @pytest.mark.parametrize("kind", TRANSIENT)
    def test_once_on_a_job(self, running: Simulated, kind: str) -> None:
        """A request for one job of an old appliance is sent again."""
        running.appliances.set_faults([Fault(kind, 1.0, OLD, "job", 1)])
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
        assert running.appliances.open_sessions == 0

    @pytest.mark.parametrize("kind", ["html", "error", "unavailable", "bad_gateway"])
    def test_once_at_login(self, running: Simulated, kind: str) -> None:
        """A login that failed is sent again, and opens one session."""
        inject(running, kind, route="log-in", times=1)
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
        assert [count_logins(running, name) for name in FAULTY] == [1, 1, 1]
        assert running.appliances.open_sessions == 0

    def test_broken_login(self, running: Simulated) -> None:
        """A login whose response was lost may have opened a session, and is not sent again."""
        running.appliances.set_faults([Fault("truncated", 1.0, NEW, "log-in")])
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert errors_of(snapshot, NEW)["error"].to_list() == ["unreachable"]
        assert count_logins(running, NEW) == 1

    @pytest.mark.parametrize("kind", HARMLESS)
    def test_harmless(self, running: Simulated, kind: str) -> None:
        """Unusual but valid responses lose nothing, however often they occur."""
        inject(running, kind)
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
        assert running.appliances.open_sessions == 0

    def test_duplicates(self, running: Simulated) -> None:
        """A job that the details have twice is read once, and an error tells of it."""
        inject(running, "duplicate_ids")
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert jobs_of(snapshot) == dict.fromkeys(VERSIONS, JOBS)
        assert all(ok_of(snapshot).values())
        assert dict(zip(snapshot.errors["appliance"], snapshot.errors["job_id"], strict=True)) == {
            name: running.appliances.affected_jobs(name)[0] for name in (MIDDLE, NEW)
        }

    @pytest.mark.parametrize("kind", ["unavailable", "too_many"])
    @pytest.mark.parametrize("route", ["log-in", "data"])
    def test_retry_after(
        self, running: Simulated, caplog: pytest.LogCaptureFixture, kind: str, route: str
    ) -> None:
        """A busy appliance gets no request for as long as it asks, and the log has a warning."""
        inject(running, kind, route=route, times=1, retry_after=1)
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
        warnings = [one for one in caplog.records if one.levelno == logging.WARNING]
        assert len(warnings) == len(FAULTY)
        for record in warnings:
            assert isinstance(record.args, tuple)
            assert "busy (" in str(record.args[1])
            assert 1 <= record.args[2] < 2  # type: ignore[operator] # the wait [s]

    @pytest.mark.parametrize("after", ["Wed, 21 Oct 2026 07:28:00 GMT", "soon", "-5", "\u0661"])
    def test_odd_retry_after(self, running: Simulated, after: str) -> None:
        """A Retry-After that is no number of seconds is ignored."""
        inject(running, "too_many", times=1, retry_after=after.encode().decode("latin-1"))
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))

    def test_retry_after_deadline(self, running: Simulated) -> None:
        """A Retry-After beyond the deadline ends the poll at once."""
        inject(running, "too_many", route="data", retry_after=3600)
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert errors_of(snapshot, NEW)["error"].to_list() == ["busy"]
        assert len(requests_to(running, NEW)) == 1
        assert_others_complete(snapshot)

    def test_no_free_session(self, running: Simulated, caplog: pytest.LogCaptureFixture) -> None:
        """Without a free session the login waits, and a warning gives the reason."""
        inject(running, "session_limit", times=1)
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
        warnings = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
        assert len(warnings) == len(FAULTY)
        assert all("no free session" in text and "retrying in" in text for text in warnings)

    def test_renewed_session(self, running: Simulated) -> None:
        """A session that ends during the poll is renewed once."""
        inject(running, "unauthenticated", route="data", times=1)
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
        assert {name: count_logins(running, name) for name in VERSIONS} == {
            name: 1 + (name in FAULTY) for name in VERSIONS
        }
        assert running.appliances.open_sessions == 0

    def test_concurrent_renewal(self, tmp_path: Path) -> None:
        """Concurrent requests whose session ends share one new login."""
        with simulated(faulty_fleet(120, {OLD: "6.5"}), tmp_path) as running:
            running.appliances.set_faults([Fault("unauthenticated", 1.0, OLD, "job", 1)])
            snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
            assert count_logins(running, OLD) == 2
            assert running.appliances.open_sessions == 0
        assert len(snapshot.jobs) == 120
        assert snapshot.errors.empty

    def test_one_in_ten(self, tmp_path: Path) -> None:
        """An appliance that fails one request in ten is read completely."""
        with simulated(faulty_fleet(200, {OLD: "6.5"}), tmp_path) as running:
            running.appliances.set_faults([Fault("error", 0.1, OLD, "data")])
            # sequential requests, so that the same ones fail each time
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
    "unauthenticated": ("login", "the session ended before reading the job list (401)"),
    "forbidden": ("rights", "SystemConfiguration.Administrators"),
    "not_found": ("not_found", "the appliance did not find the job list (404)"),
    "redirect": ("payload", "the job list was redirected (302); redirects are not followed"),
}
LATE = {
    "drip": "took longer than 1.5 s",
    "drip_headers": "took longer than 1.5 s",
    "slow": "did not respond to",
    "silence": "did not respond to",
}
NO_LOGIN = {
    **LASTING,
    "session_limit": ("busy", "no free session (503)"),
    "empty": ("payload", "the login is empty"),
}
del NO_LOGIN["unauthenticated"]  # it affects sessions


class TestLasting:
    """Faults that no retry overcomes: a row names them, and nothing else is affected."""

    @pytest.mark.parametrize("kind", LASTING)
    def test_named(self, running: Simulated, kind: str) -> None:
        """Each fault has its kind and message, in every flavour; the others are complete."""
        inject(running, kind, route="data", size=1_000_000, retry_after=0)
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

    @pytest.mark.parametrize("kind", NO_LOGIN)
    def test_no_login(self, running: Simulated, kind: str) -> None:
        """A failed login is named, and no other request is sent."""
        inject(running, kind, route="log-in", size=1_000_000, retry_after=0)
        snapshot = collect(running.fleet, limits=SMALL, clock=epoch)
        for name in FAULTY:
            assert errors_of(snapshot, name)["error"].to_list() == [NO_LOGIN[kind][0]]
            assert requests_to(running, name) == []
            assert len(requests_to(running, name, method="POST")) <= 2 * QUICK.attempts
        assert_others_complete(snapshot)

    def test_slow_response(self, tmp_path: Path) -> None:
        """Responses that drip, stall or never come are cut off, and the collection continues."""
        names = {f"{kind}-{name}": VERSIONS[name] for kind in LATE for name in FAULTY}
        faults = [Fault(kind, 1.0, f"{kind}-*", "data", wait=3) for kind in LATE]
        faults[:2] = [Fault(kind, 1.0, f"{kind}-*", "data", wait=0.25) for kind in LATE][:2]
        limits = replace(QUICK, read=1, response=1.5, attempts=1)
        with simulated(faulty_fleet(3, {**names, "vc-near": "9.0.0"}), tmp_path) as running:
            running.appliances.set_faults(faults)
            snapshot = collect(running.fleet, limits=limits, clock=epoch)
            assert running.appliances.open_sessions == 0
        for name in names:
            kind, _, _ = name.partition("-")
            errors = errors_of(snapshot, name)
            assert errors["error"].to_list() == ["unreachable"]
            assert LATE[kind] in errors["detail"].iloc[0]
        assert jobs_of(snapshot) == {"vc-near": 3}

    def test_memory(self, running: Simulated) -> None:
        """A response far above the limit, compressed or not, is never held in memory."""
        for kind in ("huge", "bomb"):
            inject(running, kind, route="data", size=64 << 20)
            collect(running.fleet, limits=SMALL, clock=epoch)  # the simulator packs its bombs once
            tracemalloc.start()
            snapshot = collect(running.fleet, limits=SMALL, clock=epoch)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 16 << 20
            assert set(snapshot.errors["error"]) == {"payload"}

    def test_logout(self, running: Simulated) -> None:
        """A failed logout is no error; the session expires by itself."""
        for kind in ("reset", "error", "forbidden", "unavailable", "html", "redirect"):
            inject(running, kind, route="log-out")
            assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
            # none of the three sessions was closed
            assert [len(one.sessions) for one in running.appliances.appliances] == [1, 1, 1, 0, 0]
            for appliance in running.appliances.appliances:
                appliance.sessions.clear()

    @pytest.mark.parametrize("kind", ["reset_body", "truncated", "cut", "unauthenticated"])
    def test_logout_with_bad_response(self, running: Simulated, kind: str) -> None:
        """A logout whose response is lost has closed the session."""
        inject(running, kind, route="log-out")
        assert_complete(collect(running.fleet, limits=QUICK, clock=epoch))
        assert running.appliances.open_sessions == 0


class TestOptional:
    """Version, time zone and schedules: the jobs count also without them."""

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
    def test_jobs_are_read(self, running: Simulated, route: str, kind: str, word: str) -> None:
        """A fault of an optional request is a row; the poll is good and all jobs are read."""
        inject(running, kind, route=route)
        limits = replace(QUICK, attempts=2)
        snapshot = collect(running.fleet, limits=limits, clock=epoch)
        assert jobs_of(snapshot) == dict.fromkeys(VERSIONS, JOBS)
        assert all(ok_of(snapshot).values())
        affected = FAULTY if route != "schedules" else (MIDDLE, NEW)  # 6.5 has none
        assert sorted(snapshot.errors["appliance"]) == sorted(affected)
        assert set(snapshot.errors["error"]) == {word}
        assert snapshot.errors["job_id"].isna().all()
        assert running.appliances.open_sessions == 0

    @pytest.mark.parametrize("route", ["details", "schedules"])
    def test_passing_not_found(self, running: Simulated, route: str) -> None:
        """After a 404 during the start of services, the next collection asks again."""
        inject(running, "not_found", route=route)
        first = collect(running.fleet, limits=QUICK, clock=epoch)
        assert jobs_of(first) == dict.fromkeys(VERSIONS, JOBS)
        assert all(ok_of(first).values())
        told = first.polls.set_index("appliance")["schedules_error"].dropna()
        assert set(told.index) == ({MIDDLE, NEW} if route == "schedules" else set())
        assert ({MIDDLE, NEW} <= set(first.schedules["appliance"])) == (route == "details")
        running.appliances.set_faults([])
        again = collect(running.fleet, known=first, limits=QUICK, clock=epoch)
        details = again.polls.set_index("appliance")["details"]
        assert details.to_dict() == {name: name != OLD for name in VERSIONS}
        assert {NEW, MIDDLE} <= set(again.schedules["appliance"])

    @pytest.mark.parametrize(
        "kind",
        ["reset", "error", "unavailable", "bad_gateway", "forbidden", "cut", "page", "redirect"],
    )
    def test_no_details(self, running: Simulated, kind: str) -> None:
        """Each job is requested alone if only the details fail."""
        inject(running, kind, route="details")
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert_complete(snapshot)
        sources = snapshot.jobs.groupby("appliance")["source"].unique()
        assert {name: list(words) for name, words in sources.items()} == {
            name: ["job"] if name in FAULTY else ["details"] for name in VERSIONS
        }

    def test_no_listed_job(self, running: Simulated) -> None:
        """Without any job that exists, each is unread, and the poll is partial."""
        running.appliances.set_faults([Fault("not_found", 1.0, OLD, "job")])
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        poll = snapshot.polls.set_index("appliance").loc[OLD]
        assert (poll["error"], poll["jobs_listed"], poll["jobs_unread"]) == ("partial", JOBS, JOBS)
        unread = snapshot.jobs[snapshot.jobs["appliance"] == OLD]
        assert set(unread["read_error"]) == {NOT_THERE}
        assert set(unread["outcome"]) == {"other"}
        assert sum("/job/2" in one.path for one in requests_to(running, OLD)) == 2 * JOBS
        assert_others_complete(snapshot)


INVALID = {
    "missing_field": {"status is missing", "state is missing", "start_time is missing"},
    "null_text": {"status is null", "state is null", "start_time is null"},
    "zoneless_time": {"start_time has no time zone, end_time has no time zone"},
    "second_60": {"start_time is not a time, end_time is not a time"},
}
"""Faults of three jobs, and the reasons why some of them are unread."""

NOT_THERE = "the appliance lists it, and does not have it (404, asked twice)"


def unread_jobs(snapshot: Snapshot, name: str) -> dict[str, str]:
    """Return the unread jobs of one appliance, with the reasons."""
    jobs = snapshot.jobs[snapshot.jobs["appliance"] == name]
    unread = jobs.set_index("job_id")["read_error"].dropna()
    return {str(job_id): reason for job_id, reason in unread.items()}


class TestBadJob:
    """A bad job affects only itself."""

    @pytest.mark.parametrize("kind", INVALID)
    def test_named(self, running: Simulated, kind: str) -> None:
        """A job that is invalid everywhere is kept as unread, and named once; the others are good.

        Of the three jobs, those that lack only what no verdict needs are read.
        """
        inject(running, kind, jobs=3)
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        polls = snapshot.polls.set_index("appliance")
        assert jobs_of(snapshot) == dict.fromkeys(VERSIONS, JOBS)
        for name in FAULTY:
            unread = unread_jobs(snapshot, name)
            assert set(unread) <= set(running.appliances.affected_jobs(name))
            assert set(unread.values()) <= INVALID[kind]
            errors = errors_of(snapshot, name).set_index("job_id")
            assert set(errors["error"]) == {"payload"}
            assert errors["detail"].to_dict() == {
                job: f"job {job} could not be read: {reason}. {ADVICE['partial']}"
                for job, reason in unread.items()
            }
            assert (polls["error"][name], polls["jobs_unread"][name]) == ("partial", len(unread))
        assert_others_complete(snapshot)

    @pytest.mark.parametrize("kind", INVALID)
    def test_bad_details(self, running: Simulated, kind: str) -> None:
        """A field that is invalid only in the details is read by job/{id}; the rest is kept."""
        inject(running, kind, route="details", jobs=3)
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert_complete(snapshot)
        by_job = snapshot.jobs[snapshot.jobs["source"] == "job"]
        for name in (MIDDLE, NEW):
            replaced = by_job[by_job["appliance"] == name]
            assert len(replaced)
            assert set(replaced["job_id"]) <= set(running.appliances.affected_jobs(name))
            assert replaced["type"].notna().all()
            assert replaced["size"].notna().equals(replaced["outcome"].eq("success"))

    def test_absurd_numbers(self, running: Simulated) -> None:
        """An impossible size or progress is missing; the job is read."""
        inject(running, "absurd_numbers", jobs=3)
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert_complete(snapshot)
        for name in FAULTY:
            bad = snapshot.jobs["job_id"].isin(running.appliances.affected_jobs(name))
            jobs = snapshot.jobs[bad & (snapshot.jobs["appliance"] == name)]
            assert len(jobs) == 3
            assert jobs["progress"].isna().all()

    def test_unknown_state(self, running: Simulated) -> None:
        """An unknown state is stored unchanged, with a warning; its outcome is other."""
        inject(running, "unknown_state")
        with pytest.warns(BackupkitWarning, match="unknown state: SUSPENDED"):
            snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert_complete(snapshot)
        odd = snapshot.jobs[snapshot.jobs["outcome"] == "other"]
        assert dict(zip(odd["appliance"], odd["job_id"], strict=True)) == {
            name: running.appliances.affected_jobs(name)[0] for name in FAULTY
        }

    def test_unusual_ids(self, running: Simulated) -> None:
        """Ids with slashes, dots, blanks and umlauts are read unchanged."""
        inject(running, "odd_ids")
        first = collect(running.fleet, limits=QUICK, clock=epoch)
        for name in FAULTY:
            assert set(running.appliances.affected_jobs(name)) <= set(first.jobs["job_id"])
        again = collect(running.fleet, known=first, limits=QUICK, clock=epoch)
        assert again.observations.empty
        assert again.errors.empty

    def test_missing_in_details(self, running: Simulated) -> None:
        """A job that the details lack is read by job/{id} in the same collection."""
        inject(running, "undetailed")
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert_complete(snapshot)
        by_job = snapshot.jobs[snapshot.jobs["source"] == "job"].set_index("appliance")["job_id"]
        for name in (MIDDLE, NEW):
            assert (by_job[name],) == running.appliances.affected_jobs(name)

    def test_removed_during_poll(self, running: Simulated) -> None:
        """A listed job that no longer exists is unread: it may have succeeded."""
        inject(running, "gone")
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert jobs_of(snapshot) == dict.fromkeys(VERSIONS, JOBS)
        for name in FAULTY:
            [job_id] = running.appliances.affected_jobs(name)
            assert unread_jobs(snapshot, name) == {job_id: NOT_THERE}
            assert errors_of(snapshot, name)["error"].to_list() == ["not_found"]
        assert_others_complete(snapshot)

    @pytest.mark.parametrize(
        ("kind", "unread"),
        [
            ("unknown_state", 0),
            ("missing_field", 1),
            ("odd_ids", 0),
            ("gone", 1),
            ("absurd_numbers", 0),
            ("second_60", 1),
        ],
    )
    @pytest.mark.filterwarnings("ignore::backupkit.errors.BackupkitWarning")
    def test_job_by_job(self, running: Simulated, kind: str, unread: int) -> None:
        """With the strategy `job`, each flavour has the same bad jobs."""
        inject(running, kind)
        alone = collect(running.fleet, strategy="job", limits=QUICK, clock=epoch)
        assert jobs_of(alone) == dict.fromkeys(VERSIONS, JOBS)
        for name in FAULTY:
            assert len(unread_jobs(alone, name)) == len(errors_of(alone, name)) == unread


class TestRedirect:
    """Password and token are sent only to the appliance's host."""

    @pytest.mark.parametrize("route", ["log-in", "data", "log-out", "*"])
    def test_other_host(self, running: Simulated, odd: OddServer, route: str) -> None:
        """A redirect to another host is not followed."""
        odd.serve_api()
        inject(running, "redirect", route=route, to=f"https://{odd.host}/api/session")
        snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
        assert odd.seen == []
        assert_others_complete(snapshot)
        assert set(snapshot.errors["error"]) <= {"payload"}

    @pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 399])
    def test_same_host(self, odd: OddServer, status: int) -> None:
        """A redirect to the same host is not followed."""
        odd.serve_api()
        odd.respond("POST /api/session", b"", status, Location="/elsewhere")
        with pytest.warns(BackupkitWarning):
            snapshot = collect([odd.appliance()], limits=QUICK)
        assert f"redirected ({status})" in snapshot.errors["detail"].iloc[0]
        assert [path for _, path, _ in odd.seen] == ["/api/session"]


class TestLimits:
    """The number of requests is limited, whatever fails."""

    @pytest.mark.parametrize(
        ("kind", "most"), [("reset", 20), ("error", 310), ("unavailable", 20), ("bad_gateway", 310)]
    )
    def test_retry_budget(self, tmp_path: Path, kind: str, most: int) -> None:
        """An appliance that always fails gets few requests beyond one for each job.

        One that is busy or drops connections gets few in all.
        """
        scenario = faulty_fleet(300, {OLD: "6.5", MIDDLE: "6.7", NEW: "8.0.3", "vc-near": "9.0.0"})
        with simulated(scenario, tmp_path) as running:
            for route in ("data", "details", "job"):
                inject(running, kind, route=route)
                running.appliances.clear_requests()
                collect(running.fleet, limits=QUICK, clock=epoch)
                for name in FAULTY:
                    requests = sum(bool(one.fault) for one in requests_to(running, name))
                    assert requests <= (most if route == "job" else 20)

    @pytest.mark.parametrize("lanes", [1, 4])
    def test_all_jobs_fail(self, tmp_path: Path, lanes: int) -> None:
        """Each job that fails is unread, however many there are."""
        with simulated(faulty_fleet(100, {OLD: "6.5", "vc-near": "9.0.0"}), tmp_path) as running:
            running.appliances.set_faults([Fault("error", 1.0, OLD, "job")])
            limits = replace(QUICK, per_appliance=lanes)
            snapshot = collect(running.fleet, limits=limits, clock=epoch)
        assert len(unread_jobs(snapshot, OLD)) == 100
        errors = errors_of(snapshot, OLD)
        assert set(errors["error"]) == {"server"}
        assert errors["job_id"].nunique() == 100
        assert snapshot.polls["jobs_unread"].to_list() == [100, 0]

    def test_some_jobs_fail(self, running: Simulated) -> None:
        """Failed jobs are named, and the others are read."""
        running.appliances.set_faults([Fault("error", 1.0, OLD, "job", 4)])
        snapshot = collect(running.fleet, limits=replace(QUICK, attempts=1), clock=epoch)
        unread = unread_jobs(snapshot, OLD)
        assert len(unread) == 4
        assert set(errors_of(snapshot, OLD)["job_id"]) == set(unread)
        assert jobs_of(snapshot)[OLD] == JOBS

    def test_unread_again(self, running: Simulated) -> None:
        """Jobs that failed are asked for in the next collection, and no others."""
        running.appliances.set_faults([Fault("error", 1.0, OLD, "job", 4)])
        first = collect(running.fleet, limits=replace(QUICK, attempts=1), clock=epoch)
        running.appliances.clear_requests()
        again = collect(running.fleet, known=first, limits=QUICK, clock=epoch)
        read = again.jobs[again.jobs["appliance"] == OLD]
        assert set(read["job_id"]) == set(unread_jobs(first, OLD))
        assert sum("/job/2" in one.path for one in requests_to(running, OLD)) == 4
        assert all(ok_of(again).values())
        assert again.errors.empty

    def test_one_renewal(self, running: Simulated) -> None:
        """A session that keeps ending is renewed once."""
        inject(running, "unauthenticated", route="data")
        collect(running.fleet, limits=QUICK, clock=epoch)
        assert [count_logins(running, name) for name in FAULTY] == [2, 2, 2]

    def test_wrong_password(self, tmp_path: Path) -> None:
        """A refused password is sent once: a second try could lock the user."""
        with simulated(faulty_fleet(), tmp_path) as running:
            for name in FAULTY:
                running.appliances.set_password(name, "another")
            snapshot = collect(running.fleet, limits=QUICK, clock=epoch)
            for name in FAULTY:
                refused = [one.status for one in requests_to(running, name, method="POST")]
                assert refused.count(401) == 1
        assert snapshot.errors["error"].to_list() == ["login"] * 3
        assert_others_complete(snapshot)

    @pytest.mark.parametrize("token", ["", "a\r\nX-Odd: 1", "日本", "\x00"])
    def test_odd_token(self, odd: OddServer, token: str) -> None:
        """A token that fits no header is an invalid response, and is not sent."""
        odd.serve_api()
        odd.respond("POST /api/session", json_text(token), 201)
        with pytest.warns(BackupkitWarning):
            snapshot = collect([odd.appliance()], limits=QUICK)
        assert snapshot.errors["error"].to_list() == ["payload"]
        assert len(odd.seen) == 1


def json_text(text: str) -> bytes:
    """Encode a text as JSON with escapes."""
    escaped = "".join(f"\\u{ord(character):04x}" for character in text)
    return f'"{escaped}"'.encode()


class TestDeadline:
    """A collection ends at its deadline."""

    def test_some_hang(self, tmp_path: Path) -> None:
        """Appliances that hang and appliances not polled have different messages."""
        hanging, waiting = ("vc-a", "vc-b"), ("vc-c", "vc-d", "vc-e")
        names = dict.fromkeys(("vc-0", *hanging, *waiting), "8.0.3")
        limits = Limits(deadline=2.5, concurrency=2, read=60)
        with simulated(faulty_fleet(3, names), tmp_path) as running:
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
                "deadline of the collection passed before reading the job list"
                in errors_of(snapshot, name)["detail"].iloc[0]
            )
        for name in waiting:
            assert "before the poll began" in errors_of(snapshot, name)["detail"].iloc[0]

    def test_some_jobs(self, tmp_path: Path) -> None:
        """Jobs that were read before the deadline are in the snapshot."""
        with simulated(faulty_fleet(60, {OLD: "6.5", "vc-near": "9.0.0"}), tmp_path) as running:
            running.appliances.set_faults([Fault("slow", 1.0, OLD, "job", wait=0.2)])
            limits = Limits(deadline=2, per_appliance=1)
            snapshot = collect(running.fleet, limits=limits, clock=epoch)
            assert running.appliances.open_sessions == 0
        assert errors_of(snapshot, OLD)["error"].to_list() == ["deadline"]
        assert 0 < jobs_of(snapshot)[OLD] < 60
        assert ok_of(snapshot)["vc-near"]

    @pytest.mark.parametrize("route", ["schedules", "version"])
    def test_after_the_jobs(self, tmp_path: Path, route: str) -> None:
        """All jobs are in the snapshot if the deadline passes during an optional request."""
        with simulated(faulty_fleet(3, {NEW: "8.0.3", "vc-near": "9.0.0"}), tmp_path) as running:
            running.appliances.set_faults([Fault("silence", 1.0, NEW, route)])
            snapshot = collect(running.fleet, limits=Limits(deadline=1, read=60), clock=epoch)
            assert running.appliances.open_sessions == 0
        assert errors_of(snapshot, NEW)["error"].to_list() == ["deadline"]
        assert jobs_of(snapshot)[NEW] == 3

    def test_one_concurrent_request(self, tmp_path: Path) -> None:
        """Limits.concurrency holds also with more threads."""
        names = ("vc-a", "vc-b")
        with (
            simulated(faulty_fleet(3, dict.fromkeys(names, "8.0.3")), tmp_path) as running,
            ThreadPoolExecutor(2) as threads,
        ):
            running.appliances.set_faults([Fault("slow", 1.0, "vc-a", "log-in", wait=0.6)])
            limits = Limits(concurrency=1)
            snapshot = collect(running.fleet, limits=limits, executor=threads, clock=epoch)
        assert ok_of(snapshot) == dict.fromkeys(names, True)

    def test_wait_before_retry(self, tmp_path: Path) -> None:
        """A wait between two attempts does not outlast the deadline."""
        with simulated(faulty_fleet(3, {NEW: "8.0.3", "vc-near": "9.0.0"}), tmp_path) as running:
            running.appliances.set_faults([Fault("error", 1.0, NEW, "data")])
            limits = Limits(deadline=1, backoff=60, attempts=9)
            snapshot = collect(running.fleet, limits=limits, clock=epoch)
        assert set(errors_of(snapshot, NEW)["error"]) <= {"server", "deadline"}
        assert ok_of(snapshot) == {NEW: False, "vc-near": True}


@dataclass
class Concurrency:
    """Number of concurrent requests, per appliance and in total, and its maximum."""

    most: Counter[str] = field(default_factory=Counter)
    now: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def change(self, name: str, by: int) -> None:
        """Count a request that begins or ends."""
        with self.lock:
            for key in (name, "all"):
                self.now[key] += by
                self.most[key] = max(self.most[key], self.now[key])


@pytest.fixture
def concurrency(monkeypatch: pytest.MonkeyPatch) -> Concurrency:
    """Measure the concurrent requests of every simulated fleet."""
    counted = Concurrency()
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


class TestConcurrency:
    """A collection does not overload the appliances."""

    @pytest.mark.parametrize("most", [1, 3])
    def test_per_appliance(self, tmp_path: Path, concurrency: Concurrency, most: int) -> None:
        """One appliance has at most Limits.per_appliance concurrent requests."""
        names = {OLD: "6.5", "vc-older": "6.5"}
        with simulated(faulty_fleet(90, names), tmp_path) as running:
            limits = replace(QUICK, per_appliance=most)
            snapshot = collect(running.fleet, limits=limits, clock=epoch)
        assert len(snapshot.jobs) == 180
        assert max(concurrency.most[name] for name in names) == most

    def test_in_total(self, tmp_path: Path, concurrency: Concurrency) -> None:
        """All appliances have at most Limits.concurrency concurrent requests."""
        names = {f"vc-{number}": "6.5" for number in range(6)}
        with simulated(faulty_fleet(40, names), tmp_path) as running:
            limits = replace(QUICK, per_appliance=4, concurrency=3)
            snapshot = collect(running.fleet, limits=limits, clock=epoch)
        assert len(snapshot.jobs) == 240
        assert concurrency.most["all"] == 3
