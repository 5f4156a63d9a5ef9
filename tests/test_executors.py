"""collect with threads, processes and a Dask cluster: data sent, dying workers, deadlines."""

import multiprocessing
import os
import pickle
import signal
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster
from pandas.testing import assert_frame_equal

from backupkit import Limits, PasswordSource, Snapshot, collect
from backupkit.collection import collector
from backupkit.collection.local_state import find_local_state
from backupkit.errors import ADVICE, BackupkitWarning, CredentialError
from backupkit.simulator import Fault, Scenario
from backupkit.simulator.appliance import PASSWORD, Sessions
from tests.conftest import EPOCH, Simulated, epoch, simulated

STEADY = Scenario.steady(appliances=6, jobs=20, seed=1, epoch=EPOCH)
FRAMES = ("observations", "polls", "schedules", "errors")


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """Run six appliances with twenty jobs each; their password is in a file."""
    with simulated(STEADY, tmp_path_factory.mktemp("steady")) as running:
        yield running


@pytest.fixture(scope="module")
def expected(steady: Simulated) -> Snapshot:
    """Return their snapshot with the default executor."""
    return collect(steady.fleet, clock=epoch)


def processes(workers: int = 2) -> ProcessPoolExecutor:
    """Return a pool of spawned processes."""
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


@contextmanager
def dask_workers(*, allowed_failures: int = 3) -> Iterator[Executor]:
    """Run a Dask cluster of two processes on loopback."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": allowed_failures}),
        LocalCluster(  # type: ignore[no-untyped-call] # distributed does not say
            n_workers=2,
            threads_per_worker=2,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call] # distributed does not say
        client.get_executor(retries=0) as executor,
    ):
        yield executor


KINDS: dict[str, Callable[[], Any]] = {
    "threads": lambda: ThreadPoolExecutor(2),
    "processes": processes,
    "dask": dask_workers,
}


@pytest.fixture(scope="module", params=KINDS)
def workers(request: pytest.FixtureRequest) -> Iterator[tuple[str, Executor]]:
    """Return each kind of executor, with its name."""
    with KINDS[request.param]() as executor:
        yield request.param, executor


class RecordingExecutor(Executor):
    """Executor that runs each poll directly, and pickles its order and result."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 # as Executor has it
        """Run the poll."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        self.sent += [pickle.dumps((fn, args, kwargs)), pickle.dumps(future.result())]
        return future


class ReplacingExecutor(Executor):
    """Executor that runs another function for some appliances."""

    def __init__(self, workers: Executor, **actions: Callable[[], object]) -> None:
        self._workers = workers
        self._actions = {name.replace("_", "-"): action for name, action in actions.items()}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 # as Executor has it
        """Submit the poll, or the function in its place."""
        action = self._actions.get(args[0].appliance.name)
        return self._workers.submit(action) if action else self._workers.submit(fn, *args, **kwargs)


class CancellingExecutor(Executor):
    """Executor that cancels each poll, like a cluster that is shut down."""

    def submit(self, _fn: Callable[..., Any], /, *_args: Any, **_kwargs: Any) -> Future[Any]:  # noqa: ANN401 # as Executor has it
        """Cancel the poll."""
        future: Future[Any] = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def by_appliance(snapshot: Snapshot, column: str = "error") -> dict[str, object]:
    """Return a column of the polls by appliance, None where it is missing."""
    values = snapshot.polls[column].astype(object)
    return dict(zip(snapshot.polls["appliance"], values.where(values.notna(), None), strict=True))


class TestEqual:
    """All executors have the same results."""

    def test_frames(
        self, steady: Simulated, expected: Snapshot, workers: tuple[str, Executor]
    ) -> None:
        """The frames are equal with each executor."""
        _, executor = workers
        got = collect(steady.fleet, executor=executor, clock=epoch)
        assert len(got.jobs) == 120
        for name in FRAMES:
            frames = [getattr(snapshot, name) for snapshot in (got, expected)]
            assert_frame_equal(
                *[frame.drop(columns="elapsed", errors="ignore") for frame in frames]
            )
        assert steady.appliances.open_sessions == 0

    def test_known_jobs(
        self, steady: Simulated, expected: Snapshot, workers: tuple[str, Executor]
    ) -> None:
        """Known jobs are not requested again by any executor."""
        _, executor = workers
        got = collect(steady.fleet, known=expected, executor=executor, clock=epoch)
        assert got.polls["jobs_changed"].to_list() == [0] * 6
        assert got.polls["jobs_listed"].to_list() == [20] * 6

    def test_errors(self, steady: Simulated, workers: tuple[str, Executor]) -> None:
        """Errors of a worker are rows, as without one."""
        _, executor = workers
        good, other = list(steady.fleet)[:2]
        pinned = replace(other, ca_bundle=None, fingerprint="ab" * 32)
        snapshot = collect([good, pinned], executor=executor, clock=epoch)
        assert by_appliance(snapshot) == {good.name: None, other.name: "certificate"}


class TestPasswords:
    """Workers get the source of a password, and not the password."""

    @pytest.mark.parametrize("kind", ["file", "env"])
    def test_not_sent(self, steady: Simulated, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither orders nor results contain a password or a token."""
        monkeypatch.setenv("VCSA_PASSWORD", PASSWORD)
        tokens: list[str] = []
        create = Sessions.create

        def created(self: Sessions, user: str) -> str:
            tokens.append(create(self, user))
            return tokens[-1]

        monkeypatch.setattr(Sessions, "create", created)
        fleet = list(steady.fleet)
        if kind == "env":
            fleet = [replace(a, password=PasswordSource("env", "VCSA_PASSWORD")) for a in fleet]
        executor = RecordingExecutor()
        snapshot = collect(fleet, executor=executor, clock=epoch)
        assert snapshot.polls["ok"].all()
        data = b"".join(executor.sent)
        assert fleet[0].password.place.encode() in data  # proves the search
        basic = b64encode(f"{fleet[0].user}:{PASSWORD}".encode()).decode()
        assert len(tokens) == len(fleet)
        for secret in (PASSWORD, basic, *tokens):
            assert secret.encode() not in data

    def test_no_prompt_in_a_worker(self, steady: Simulated) -> None:
        """A worker in another process has no typed password."""
        appliance = replace(
            next(iter(steady.fleet)), password=PasswordSource("prompt", "the fleet")
        )
        with pytest.raises(CredentialError, match="is not sent to another process"):
            find_local_state("another process").get_password(appliance)

    def test_typed_password(
        self,
        steady: Simulated,
        workers: tuple[str, Executor],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A typed password works with threads; with processes it is an error of each appliance."""
        kind, executor = workers
        monkeypatch.setattr("getpass.getpass", lambda _question: PASSWORD)
        prompt = PasswordSource("prompt", "the fleet")
        fleet = [replace(appliance, password=prompt) for appliance in steady.fleet]
        if kind == "threads":
            assert collect(fleet, executor=executor, clock=epoch).polls["ok"].all()
            return
        with pytest.warns(BackupkitWarning, match=r"None of 6 .* \(credential\)"):
            snapshot = collect(fleet, executor=executor, clock=epoch)
        assert set(by_appliance(snapshot).values()) == {"credential"}
        assert by_appliance(snapshot, "detail")["vc-0001"] == (
            f"{fleet[0].user} would have to type it for vc-0001, and a typed password is not sent "
            "to another process. Store it where the worker can read it: env, file, keyring "
            "or command."
        )


DIES = partial(os._exit, 1)
"""Ends a worker process at once, as the kernel does without memory."""


class TestFailures:
    """Failures of workers."""

    @pytest.fixture
    def steady(self, tmp_path: Path) -> Iterator[Simulated]:
        """Run a fleet for each test, since killed workers leave sessions open."""
        with simulated(STEADY, tmp_path) as running:
            yield running

    def test_exception(self, steady: Simulated) -> None:
        """An exception of a worker is an error of its appliance only."""
        with ThreadPoolExecutor(2) as threads:
            executor = ReplacingExecutor(
                threads, vc_0002=partial(int, "x"), vc_0004=partial(os.stat, "/no")
            )
            snapshot = collect(steady.fleet, executor=executor, clock=epoch)
        errors = by_appliance(snapshot)
        assert [errors.pop(name) for name in ("vc-0002", "vc-0004")] == ["worker"] * 2
        assert set(errors.values()) == {None}
        assert len(snapshot.jobs) == 80
        assert snapshot.errors["detail"].to_list() == [
            f"its worker failed: ValueError. {ADVICE['worker']}",
            f"its worker failed: FileNotFoundError. {ADVICE['worker']}",
        ]

    def test_process_dies(self, steady: Simulated) -> None:
        """After a process died its results so far are used; the other appliances are errors."""
        with processes(1) as pool:
            pool.submit(os.getpid).result()
            executor = ReplacingExecutor(pool, vc_0004=DIES)
            snapshot = collect(steady.fleet, executor=executor, clock=epoch)
        failed = {"vc-0004", "vc-0005", "vc-0006"}
        assert {
            name for name, error in by_appliance(snapshot).items() if error == "worker"
        } == failed
        assert len(snapshot.jobs) == 60
        assert snapshot.errors["detail"].str.contains("failed: BrokenProcessPool").all()

    def test_broken_pool(self, steady: Simulated) -> None:
        """With a broken pool each appliance is an error."""
        with processes(1) as pool:
            with pytest.raises(BrokenProcessPool):
                pool.submit(DIES).result()
            with pytest.warns(BackupkitWarning, match=r"None of 6 .* \(worker\)"):
                snapshot = collect(steady.fleet, executor=pool, clock=epoch)
        assert set(by_appliance(snapshot).values()) == {"worker"}

    def test_cancelled(self, steady: Simulated) -> None:
        """A cancelled poll is an error of its appliance."""
        with pytest.warns(BackupkitWarning, match=r"None of 6 .* \(worker\)"):
            snapshot = collect(steady.fleet, executor=CancellingExecutor(), clock=epoch)
        assert snapshot.errors["detail"].str.contains("failed: CancelledError").all()

    def test_dask_worker_dies(self, steady: Simulated) -> None:
        """After a Dask worker died the others continue."""
        with dask_workers(allowed_failures=0) as cluster:
            executor = ReplacingExecutor(cluster, vc_0003=DIES)
            snapshot = collect(steady.fleet, executor=executor, clock=epoch)
        errors = by_appliance(snapshot)
        assert errors["vc-0003"] == "worker"  # and maybe others of the same worker
        assert set(errors.values()) == {None, "worker"}
        assert len(snapshot.jobs) == 20 * list(errors.values()).count(None)

    def test_ctrl_c_in_a_worker(self, steady: Simulated) -> None:
        """Ctrl-C in a worker stops the collection, and is no failure of the worker."""
        with ThreadPoolExecutor(1) as thread:
            executor = ReplacingExecutor(
                thread, vc_0003=partial(signal.default_int_handler, 2, None)
            )
            with pytest.warns(BackupkitWarning, match=r"stopped: \d of 6 appliances were read"):
                snapshot = collect(steady.fleet, executor=executor, clock=epoch)
        assert snapshot.stopped
        errors = by_appliance(snapshot)
        assert (errors["vc-0001"], errors["vc-0002"], errors["vc-0003"]) == (None, None, "stopped")
        assert "worker" not in errors.values()
        assert steady.appliances.open_sessions == 0


class TestDeadline:
    """The deadline of a collection."""

    def test_worker_hangs(self, steady: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker that hangs is an error soon after the deadline."""
        monkeypatch.setattr(collector, "SHUTDOWN_TIMEOUT", 0.1)
        release = threading.Event()
        limits = Limits(deadline=3)
        with ThreadPoolExecutor(3) as threads:
            executor = ReplacingExecutor(threads, vc_0002=release.wait)
            snapshot = collect(steady.fleet, executor=executor, limits=limits, clock=epoch)
            assert not release.is_set()
            release.set()
        assert snapshot.errors[["appliance", "error", "detail"]].to_dict("records") == [
            {
                "appliance": "vc-0002",
                "error": "deadline",
                "detail": "it was not read within 3 s, and its worker did not respond either. "
                f"{ADVICE['deadline']}",
            }
        ]
        assert snapshot.polls["ok"].sum() == 5
        assert not snapshot.stopped

    def test_appliances_are_silent(
        self, steady: Simulated, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At the deadline running and later polls end at once, and sessions are closed."""
        monkeypatch.setattr(collector, "SHUTDOWN_TIMEOUT", 300)  # not used
        steady.appliances.set_faults(
            [Fault("silence", appliance=f"vc-000{number}", route="details") for number in (3, 4)]
        )
        limits = Limits(deadline=3, read=300, response=300, concurrency=2)
        try:
            snapshot = collect(steady.fleet, limits=limits, clock=epoch)
        finally:
            steady.appliances.set_faults([])
        errors = by_appliance(snapshot)
        assert [name for name, error in errors.items() if error is None] == ["vc-0001", "vc-0002"]
        assert {error for error in errors.values() if error} == {"deadline"}
        details = by_appliance(snapshot, "detail")
        assert "deadline of the collection passed before reading the job details" in str(
            details["vc-0003"]
        )
        assert "before the poll began" in str(details["vc-0006"])
        assert len(snapshot.jobs) == 40
        assert steady.appliances.open_sessions == 0
