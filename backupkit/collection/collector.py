"""Collection from many appliances concurrently: `collect`."""

import logging
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final, Protocol, runtime_checkable

from backupkit import display
from backupkit.client import Limits
from backupkit.collection.local_state import (
    SAMPLE_INTERVAL,
    LocalState,
    create_local_state,
)
from backupkit.collection.poll import poll
from backupkit.collection.poll_result import PollOrder, PollResult, Strategy
from backupkit.collection.snapshot import (
    CollectionErrors,
    Snapshot,
    build_snapshot,
    was_list_read,
)
from backupkit.errors import (
    ApplianceError,
    BackupkitWarning,
    DeadlineError,
    SettingsError,
    StoppedError,
    WorkerError,
    one_line,
)
from backupkit.fleet import Appliance, Fleet, limits_of
from backupkit.progress import is_notebook, open_bar
from backupkit.tables import SyncState
from backupkit.tables.constants import OUTCOME_BY_STATUS

__all__ = [
    "MAX_WAITING",
    "StateSource",
    "check_strategy",
    "collect",
    "report_problems",
    "run_collection",
]

INITIAL_CONCURRENCY: Final = 2
"""Number of concurrent polls at the start of a collection."""

MAX_WAITING: Final = 512
"""Maximum number of polls that wait without holding up others."""

SHUTDOWN_TIMEOUT: Final = 10.0
"""Time after the deadline, or after Ctrl-C, for running polls to log out [s]."""

_log = logging.getLogger(__name__)


class StateSource(Protocol):
    """Source of earlier results: a `backupkit.History`, or the last `Snapshot`."""

    def sync_state(self) -> Mapping[str, SyncState]:
        """Return the known state of each appliance."""
        ...


@runtime_checkable
class IndexedStateSource(Protocol):
    """Source that looks up jobs by key: a `backupkit.History`."""

    def sync_state(self, *, ids: bool = True) -> Mapping[str, SyncState]:
        """Return the known state of each appliance, with or without the ids of its jobs."""
        ...

    def known_jobs(
        self, appliance: str, listed: Collection[str]
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Return which jobs were listed before, and which of these have ended."""
        ...


def collect(
    fleet: Fleet | Iterable[Appliance],
    *,
    known: StateSource | None = None,
    strategy: Strategy = "auto",
    executor: Executor | None = None,
    limits: Limits | None = None,
    progress: bool | None = None,
    clock: Callable[[], datetime] | None = None,
) -> Snapshot:
    """Read the backup jobs and schedules of every appliance.

    Parameters
    ----------
    fleet : Fleet or iterable of Appliance
        Appliances to poll.
    known : History or Snapshot, optional
        Result of earlier collections: jobs that had ended are not read again. Default: read
        everything.
    strategy : {"auto", "job"}
        ``auto`` needs the fewest requests: it reads the details of many jobs at once, if
        available. ``job`` reads each job alone, without type, size, location and build.
    executor : Executor, optional
        Runs the polls; default: threads of this process. An executor of processes, or of a Dask
        cluster (``Client.get_executor()``), receives each appliance with the source of its
        password, never the password. The worker reads environment, files and CA bundles.
    limits : Limits, optional
        Timeouts, attempts and concurrency; default: those of the fleet. The limits of an
        appliance count more.
    progress : bool, optional
        Whether to show a progress bar; default: in a terminal or a notebook. In a log or a pipe,
        a long run then has a line each half minute.
    clock : callable, optional
        Returns the current time as an aware datetime; default: the system clock. Workers in other
        processes must be able to import it.

    Returns
    -------
    Snapshot
        Result of the polls. A failed appliance is a row in ``errors`` and ``polls``. After Ctrl-C
        it holds what was read by then, and ``stopped`` is true.

    Warns
    -----
    BackupkitWarning
        If no appliance could be read, the collection was stopped, or a job has an unknown state.

    Raises
    ------
    SettingsError
        If the strategy is unknown, or two appliances have the same name.
    """
    check_strategy(strategy)
    appliances = list(fleet if isinstance(fleet, Fleet) else Fleet(fleet))
    snapshot = run_collection(
        appliances,
        known=known,
        strategy=strategy,
        executor=executor,
        limits=limits_of(fleet, limits),
        progress=progress,
        clock=clock,
    )
    report_problems(snapshot, len(appliances), progress=progress)
    return snapshot


def check_strategy(strategy: str) -> None:
    """Raise a `SettingsError` if there is no such strategy."""
    if strategy not in ("auto", "job"):
        raise SettingsError(f'strategy: "{strategy}" must be "auto" or "job".')


def run_collection(  # noqa: PLR0913 # those of collect, and two for a watch
    appliances: Sequence[Appliance],
    *,
    known: StateSource | None = None,
    strategy: Strategy = "auto",
    executor: Executor | None = None,
    limits: Limits | None = None,
    progress: bool | None = False,
    clock: Callable[[], datetime] | None = None,
    stop: threading.Event | None = None,
    on_poll: Callable[[PollResult], object] = bool,
) -> Snapshot:
    """Collect without printing a summary or warnings; parameters as in `collect`.

    `stop` ends the collection like Ctrl-C, once another thread sets it. `on_poll` is called with
    the result of each poll that ends by itself.
    """
    # an executor's workers cannot query the history: send them all ids
    indexed_source = known if executor is None and isinstance(known, IndexedStateSource) else None
    if indexed_source is not None:
        sync_states = indexed_source.sync_state(ids=False)
    else:
        sync_states = {} if known is None else known.sync_state()
    lookup = None if indexed_source is None else indexed_source.known_jobs
    limits = limits or Limits()
    deadline = time.time() + limits.deadline
    with create_local_state(appliances, stop=stop, known_jobs=lookup) as state:
        orders = [
            PollOrder(
                appliance,
                sync_states.get(appliance.name, SyncState()),
                strategy,
                limits.override(appliance.limits),
                deadline,
                state.key,
                clock,
            )
            for appliance in appliances
        ]
        results = _run_polls(orders, state, executor=executor, progress=progress, on_poll=on_poll)
    ordered = [results[appliance.name] for appliance in appliances if appliance.name in results]
    return build_snapshot(ordered, stopped=state.stop.is_set())


def _run_polls(
    orders: Sequence[PollOrder],
    state: LocalState,
    *,
    executor: Executor | None,
    progress: bool | None,
    on_poll: Callable[[PollResult], object],
) -> dict[str, PollResult]:
    """Run the polls, and return them by appliance; after Ctrl-C only those that were started."""
    results: dict[str, PollResult] = {}
    with (
        _open_executor(executor, orders) as pool,
        open_bar(len(orders), "Collecting", progress=progress) as bar,
    ):
        futures: dict[Future[PollResult], PollOrder] = {}
        try:
            failed = jobs = 0
            initial_concurrency = len(orders)
            if executor is None and orders:
                initial_concurrency = min(INITIAL_CONCURRENCY, orders[0].limits.concurrency)
            for future in _run_concurrently(
                pool, orders, futures, state=state, concurrency=initial_concurrency
            ):
                result = _get_poll_result(future, futures[future])
                results[result.appliance] = result
                if result.error == StoppedError.kind:
                    raise KeyboardInterrupt  # noqa: TRY301 # Ctrl-C reached the workers first
                on_poll(result)
                failed += result.error is not None
                jobs += len(result.jobs)
                bar.set_postfix(failed=failed, jobs=jobs, refresh=False)
                bar.update()
        except KeyboardInterrupt:
            # after Ctrl-C the user expects a message
            level = logging.INFO if state.stop.is_set() else logging.WARNING
            state.stop.set()
            with suppress(KeyboardInterrupt):  # pressed again: do not wait
                _log.log(level, "Stopping: logging out of appliances that are being read.")
                wait(
                    {future for future in futures if not future.cancel()}, timeout=SHUTDOWN_TIMEOUT
                )
            for future, order in futures.items():
                pending = future.cancel() or not future.done()
                if not pending and order.appliance.name not in results:
                    result = _get_poll_result(future, order, stopping=True)
                    results[result.appliance] = result
        if not state.stop.is_set():
            for future in futures:
                future.cancel()
            for order in orders:
                error = DeadlineError(
                    f"it was not read within {order.limits.deadline:g} s, and its worker did not "
                    "respond either"
                )
                results.setdefault(order.appliance.name, _build_failed_poll(order, error))
    return results


def _run_concurrently(
    pool: Executor,
    orders: Sequence[PollOrder],
    futures: dict[Future[PollResult], PollOrder],
    *,
    state: LocalState,
    concurrency: int,
) -> Iterator[Future[PollResult]]:
    """Run orders with adaptive concurrency, and yield each future when it is done.

    A poll that waits, before its next attempt or for a silent appliance, gives its place to
    another one.
    """
    waiting, running, done = deque(orders), 0, SimpleQueue[Future[PollResult] | None]()
    state.waiting.on_change = partial(done.put, None)
    give_up_at = orders[0].deadline + SHUTDOWN_TIMEOUT if orders else 0.0
    while waiting or running:
        while waiting and running < concurrency + min(state.waiting.count, MAX_WAITING):
            order = waiting.popleft()
            future = _submit_poll(pool, order)
            futures[future] = order
            future.add_done_callback(done.put)
            running += 1
        can_grow = waiting and concurrency < orders[0].limits.concurrency
        time_left = give_up_at - time.time()
        if time_left <= 0:
            _log.warning("Some polls did not end after the deadline; their results are ignored.")
            return
        with suppress(Empty):
            finished = done.get(timeout=SAMPLE_INTERVAL if can_grow else time_left)
            if finished is not None:
                running -= 1
                yield finished
        if can_grow and state.control.may_grow():
            concurrency = min(2 * concurrency, orders[0].limits.concurrency)


@contextmanager
def _open_executor(executor: Executor | None, orders: Sequence[PollOrder]) -> Iterator[Executor]:
    """Yield the caller's executor, or a thread pool that does not wait for hanging threads."""
    if executor is not None:
        yield executor
        return
    limit = orders[0].limits.concurrency + MAX_WAITING if orders else 1
    pool = ThreadPoolExecutor(max(1, min(limit, len(orders))), thread_name_prefix="collect")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _submit_poll(pool: Executor, order: PollOrder) -> Future[PollResult]:
    """Submit an order; return a failed future if the pool is broken."""
    try:
        return pool.submit(poll, order)
    except BrokenExecutor as error:
        failed: Future[PollResult] = Future()
        failed.set_exception(error)
        return failed


def _get_poll_result(
    future: Future[PollResult], order: PollOrder, *, stopping: bool = False
) -> PollResult:
    """Return the result of a poll; a failed worker yields a failed poll."""
    try:
        error = future.exception()  # not raised: a KeyboardInterrupt may be the worker's
    except CancelledError as cancelled:
        error = cancelled
    if error is None:
        return future.result()
    if stopping or isinstance(error, KeyboardInterrupt):  # Ctrl-C reaches workers, too
        return _build_failed_poll(
            order, StoppedError("the collection was stopped before it was read")
        )
    _log.error("%s: the poll failed", order.appliance.name, exc_info=error)
    return _build_failed_poll(order, WorkerError(f"its worker failed: {type(error).__name__}"))


def _build_failed_poll(order: PollOrder, error: ApplianceError) -> PollResult:
    """Return the failed poll of an order without a result."""
    result = PollResult.of(order.appliance.name, order.now(), order.state)
    result.failure = error
    return result


def report_problems(snapshot: Snapshot, total: int, *, progress: bool | None) -> None:
    """Warn about problems that are easy to miss in the rows, and show the errors."""
    observations, polls, errors = snapshot.rows("observations", "polls", "errors")
    messages = []
    if snapshot.stopped:
        read = sum(ok is True for ok in polls["ok"])
        messages.append(
            f"The collection was stopped: {read} of {total} appliances were read by then."
        )
    elif len(polls) and not any(was_list_read(polls)):
        reasons = ", ".join(sorted({error for error in polls["error"] if error is not None}))
        messages.append(
            f"None of {len(polls)} appliances could be read ({reasons}). "
            "The attribute errors has the reason for each."
        )
    known = {*OUTCOME_BY_STATUS, None}
    if unknown := sorted(set(observations["status"]) - known):
        words = ", ".join(one_line(word, limit=40) for word in unknown[:5])
        messages.append(
            f"Jobs with an unknown state: {words}. "
            "They are stored, and count neither as success nor as failure."
        )
    for message in messages:
        warnings.warn(message, BackupkitWarning, stacklevel=3)
    if progress is not False and len(errors) and is_notebook():
        display.show(CollectionErrors(snapshot.errors))
