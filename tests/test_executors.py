"""Collect with threads, with processes, and with a Dask cluster; what travels, and who dies."""

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
from backupkit.collection.local_state import NO_STATE
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
    """Collect them with the default."""
    return collect(steady.fleet, clock=epoch)


def processes(workers: int = 2) -> ProcessPoolExecutor:
    """Make a pool of processes that share nothing with this one."""
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


@contextmanager
def dask_workers(*, lives: int = 3) -> Iterator[Executor]:
    """Run a Dask cluster of two processes on loopback; a task may cost so many workers' lives."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": lives}),
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
    """Give workers of each kind, and their kind."""
    with KINDS[request.param]() as executor:
        yield request.param, executor


class Sending(Executor):
    """Makes each visit here and at once, and keeps what would travel there and back."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 # as Executor has it
        """Do it."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        self.sent += [pickle.dumps((fn, args, kwargs)), pickle.dumps(future.result())]
        return future


class Instead(Executor):
    """Hands visits on, but for some appliances something else."""

    def __init__(self, workers: Executor, **instead: Callable[[], object]) -> None:
        self._workers = workers
        self._instead = {name.replace("_", "-"): action for name, action in instead.items()}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 # as Executor has it
        """Hand it on."""
        action = self._instead.get(args[0].appliance.name)
        return self._workers.submit(action) if action else self._workers.submit(fn, *args, **kwargs)


class Cancelling(Executor):
    """Takes each order and cancels it, as a cluster does that is shut down by somebody."""

    def submit(self, _fn: Callable[..., Any], /, *_args: Any, **_kwargs: Any) -> Future[Any]:  # noqa: ANN401 # as Executor has it
        """Cancel it."""
        future: Future[Any] = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def told(snapshot: Snapshot, column: str = "error") -> dict[str, object]:
    """Give one column of the polls by appliance, None where it is missing."""
    values = snapshot.polls[column].astype(object)
    return dict(zip(snapshot.polls["appliance"], values.where(values.notna(), None), strict=True))


class TestSameFrames:
    """Who visits makes no difference."""

    def test_frames(
        self, steady: Simulated, expected: Snapshot, workers: tuple[str, Executor]
    ) -> None:
        """Any executor brings back the same frames."""
        _, executor = workers
        got = collect(steady.fleet, executor=executor, clock=epoch)
        assert len(got.jobs) == 120
        for name in FRAMES:
            frames = [getattr(snapshot, name) for snapshot in (got, expected)]
            assert_frame_equal(
                *[frame.drop(columns="elapsed", errors="ignore") for frame in frames]
            )
        assert steady.appliances.open_sessions == 0

    def test_known_travels(
        self, steady: Simulated, expected: Snapshot, workers: tuple[str, Executor]
    ) -> None:
        """What is known is not asked for again, whoever asks."""
        _, executor = workers
        got = collect(steady.fleet, known=expected, executor=executor, clock=epoch)
        assert got.polls["jobs_changed"].to_list() == [0] * 6
        assert got.polls["jobs_listed"].to_list() == [20] * 6

    def test_errors_travel(self, steady: Simulated, workers: tuple[str, Executor]) -> None:
        """What goes wrong far away is told as here."""
        _, executor = workers
        good, other = list(steady.fleet)[:2]
        pinned = replace(other, ca_bundle=None, fingerprint="ab" * 32)
        snapshot = collect([good, pinned], executor=executor, clock=epoch)
        assert told(snapshot) == {good.name: None, other.name: "certificate"}


class TestWhatTravels:
    """Orders tell where a password is, and never what it is."""

    @pytest.mark.parametrize("kind", ["file", "env"])
    def test_no_password(
        self, steady: Simulated, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither what is sent nor what comes back holds password or token."""
        monkeypatch.setenv("VCSA_PASSWORD", PASSWORD)
        tokens: list[str] = []
        create = Sessions.create

        def created(self: Sessions, user: str) -> str:
            tokens.append(create(self, user))
            return tokens[-1]

        monkeypatch.setattr(Sessions, "create", created)
        fleet = list(steady.fleet)
        if kind == "env":
            fleet = [replace(one, password=PasswordSource("env", "VCSA_PASSWORD")) for one in fleet]
        executor = Sending()
        snapshot = collect(fleet, executor=executor, clock=epoch)
        assert snapshot.polls["ok"].all()
        everything = b"".join(executor.sent)
        assert fleet[0].password.place.encode() in everything  # so the search would find it
        basic = b64encode(f"{fleet[0].user}:{PASSWORD}".encode()).decode()
        assert len(tokens) == len(fleet)
        for secret in (PASSWORD, basic, *tokens):
            assert secret.encode() not in everything

    def test_nobody_types_elsewhere(self, steady: Simulated) -> None:
        """A worker in another process, to whom nobody typed it, has no such password."""
        asked = replace(next(iter(steady.fleet)), password=PasswordSource("prompt", "the fleet"))
        with pytest.raises(CredentialError, match="is not sent to another process"):
            NO_STATE.password_of(asked)

    def test_typed_password(
        self,
        steady: Simulated,
        workers: tuple[str, Executor],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A typed password serves threads; elsewhere its absence is each appliance's error."""
        kind, executor = workers
        monkeypatch.setattr("getpass.getpass", lambda _question: PASSWORD)
        prompt = PasswordSource("prompt", "the fleet")
        fleet = [replace(one, password=prompt) for one in steady.fleet]
        if kind == "threads":
            assert collect(fleet, executor=executor, clock=epoch).polls["ok"].all()
            return
        with pytest.warns(BackupkitWarning, match=r"None of 6 .* \(credential\)"):
            snapshot = collect(fleet, executor=executor, clock=epoch)
        assert set(told(snapshot).values()) == {"credential"}
        assert told(snapshot, "detail")["vc-0001"] == (
            f"{fleet[0].user} would have to type it for vc-0001, and a typed password is not sent "
            "to another process. Store it where the worker can read it: env, file or keyring."
        )


DIES = partial(os._exit, 1)
"""What ends a worker without a word, as the kernel does when memory is short."""


class TestWorkersDie:
    """A worker that fails is its appliance's error, and no other's."""

    @pytest.fixture
    def steady(self, tmp_path: Path) -> Iterator[Simulated]:
        """Run a fleet for each test: who dies logs nobody out."""
        with simulated(STEADY, tmp_path) as running:
            yield running

    def test_visit_raises(self, steady: Simulated) -> None:
        """Whatever comes back in place of a visit is a row that names it."""
        with ThreadPoolExecutor(2) as threads:
            executor = Instead(threads, vc_0002=partial(int, "x"), vc_0004=partial(os.stat, "/no"))
            snapshot = collect(steady.fleet, executor=executor, clock=epoch)
        errors = told(snapshot)
        assert [errors.pop(name) for name in ("vc-0002", "vc-0004")] == ["worker"] * 2
        assert set(errors.values()) == {None}
        assert len(snapshot.jobs) == 80
        assert snapshot.errors["detail"].to_list() == [
            f"its worker failed: ValueError. {ADVICE['worker']}",
            f"its worker failed: FileNotFoundError. {ADVICE['worker']}",
        ]

    def test_process_dies(self, steady: Simulated) -> None:
        """What a pool of processes brought back before one died is kept; the rest are rows."""
        with processes(1) as pool:
            pool.submit(os.getpid).result()
            executor = Instead(pool, vc_0004=DIES)
            snapshot = collect(steady.fleet, executor=executor, clock=epoch)
        rest = ["vc-0004", "vc-0005", "vc-0006"]
        assert {name for name, error in told(snapshot).items() if error == "worker"} == {*rest}
        assert len(snapshot.jobs) == 60
        assert snapshot.errors["detail"].str.contains("failed: BrokenProcessPool").all()

    def test_pool_is_broken_before(self, steady: Simulated) -> None:
        """A pool that takes no orders any more makes rows, too."""
        with processes(1) as pool:
            with pytest.raises(BrokenProcessPool):
                pool.submit(DIES).result()
            with pytest.warns(BackupkitWarning, match=r"None of 6 .* \(worker\)"):
                snapshot = collect(steady.fleet, executor=pool, clock=epoch)
        assert set(told(snapshot).values()) == {"worker"}

    def test_cancelled(self, steady: Simulated) -> None:
        """A visit that somebody else cancelled is a row that says so."""
        with pytest.warns(BackupkitWarning, match=r"None of 6 .* \(worker\)"):
            snapshot = collect(steady.fleet, executor=Cancelling(), clock=epoch)
        assert snapshot.errors["detail"].str.contains("failed: CancelledError").all()

    def test_dask_worker_dies(self, steady: Simulated) -> None:
        """A cluster goes on with the workers that are left."""
        with dask_workers(lives=0) as cluster:
            executor = Instead(cluster, vc_0003=DIES)
            snapshot = collect(steady.fleet, executor=executor, clock=epoch)
        errors = told(snapshot)
        assert errors["vc-0003"] == "worker"  # and maybe those that waited for the same worker
        assert set(errors.values()) == {None, "worker"}
        assert len(snapshot.jobs) == 20 * list(errors.values()).count(None)

    def test_ctrl_c_at_a_worker(self, steady: Simulated) -> None:
        """In a terminal workers get Ctrl-C too: that stops the round, and is nobody's failure."""
        with ThreadPoolExecutor(1) as thread:
            executor = Instead(thread, vc_0003=partial(signal.default_int_handler, 2, None))
            with pytest.warns(BackupkitWarning, match=r"stopped: \d of 6 appliances were read"):
                snapshot = collect(steady.fleet, executor=executor, clock=epoch)
        assert snapshot.stopped
        errors = told(snapshot)
        assert [errors[name] for name in ("vc-0001", "vc-0002", "vc-0003")] == [
            None,
            None,
            "stopped",
        ]
        assert "worker" not in errors.values()
        assert steady.appliances.open_sessions == 0


class TestOutOfTime:
    """A round ends when it must, whoever still works."""

    def test_worker_hangs(self, steady: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker that never comes back is waited for until the round is over, and a little."""
        monkeypatch.setattr(collector, "SHUTDOWN_TIMEOUT", 0.1)
        free = threading.Event()
        limits = Limits(deadline=3)
        with ThreadPoolExecutor(3) as threads:
            executor = Instead(threads, vc_0002=free.wait)
            snapshot = collect(steady.fleet, executor=executor, limits=limits, clock=epoch)
            assert not free.is_set()
            free.set()
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
        """When time is up, visits under way and visits to come end at once, and log out."""
        monkeypatch.setattr(collector, "SHUTDOWN_TIMEOUT", 300)  # nobody needs it
        steady.appliances.set_faults(
            [Fault("silence", appliance=f"vc-000{number}", route="details") for number in (3, 4)]
        )
        limits = Limits(deadline=3, read=300, response=300, concurrency=2)
        try:
            snapshot = collect(steady.fleet, limits=limits, clock=epoch)
        finally:
            steady.appliances.set_faults([])
        errors = told(snapshot)
        assert [name for name, error in errors.items() if error is None] == ["vc-0001", "vc-0002"]
        assert {error for error in errors.values() if error} == {"deadline"}
        details = told(snapshot, "detail")
        assert "deadline of the collection passed before the job details" in str(details["vc-0003"])
        assert "before the poll began" in str(details["vc-0006"])
        assert len(snapshot.jobs) == 40
        assert steady.appliances.open_sessions == 0
