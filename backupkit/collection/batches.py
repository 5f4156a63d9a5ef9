"""Collection into a history, in batches: what was read is stored while the rest is being read."""

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from datetime import datetime
from typing import TYPE_CHECKING, Final

from backupkit.client import Limits
from backupkit.collection.collector import check_strategy, report_problems, run_collection
from backupkit.collection.poll_result import PollResult, Strategy
from backupkit.collection.snapshot import Snapshot, build_snapshot
from backupkit.errors import HistoryError
from backupkit.fleet import Appliance, Fleet, limits_of

if TYPE_CHECKING:
    from backupkit.history import AppendResult, History

__all__ = ["collect_into"]

JOBS_PER_BATCH: Final = 5_000
"""Number of jobs after which they are stored."""

TIME_PER_BATCH: Final = 60.0
"""Time after which what was read is stored [s]."""

_log = logging.getLogger(__name__)


def collect_into(
    history: "History",
    fleet: Fleet | Iterable[Appliance],
    *,
    full: bool = False,
    strategy: Strategy = "auto",
    executor: Executor | None = None,
    limits: Limits | None = None,
    progress: bool | None = None,
    clock: Callable[[], datetime] | None = None,
) -> tuple[Snapshot, "AppendResult"]:
    """Read every appliance, and store what was read while the rest is being read.

    Each 5,000 jobs, or each minute, what is complete of the appliances read by then is stored: if
    the process is killed, only the appliances since then are read again.

    Parameters
    ----------
    history : History
        Receives the result; jobs that have ended in it are not read again.
    fleet : Fleet or iterable of Appliance
        Appliances to poll.
    full : bool
        Whether to read all jobs, also those that have ended.
    strategy, executor, limits, progress, clock
        As for `backupkit.collect`.

    Returns
    -------
    snapshot : Snapshot
        Result of the polls, all of it stored.
    added : AppendResult
        How much of it was new.

    Warns
    -----
    BackupkitWarning
        As `backupkit.collect` and `backupkit.History.append`.

    Raises
    ------
    SettingsError
        If the strategy is unknown, or two appliances have the same name.
    HistoryError
        If the history cannot be written. A batch that could not be stored is tried again at the
        end.

    Examples
    --------
    >>> import tempfile, backupkit as bk
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bk.collect_into(bk.History(f"{folder}/history.db"), bk.Fleet([]), progress=False)[0]
    Snapshot: 0 of 0 appliances read, 0 jobs new or unfinished
    """
    check_strategy(strategy)
    appliances = list(fleet if isinstance(fleet, Fleet) else Fleet(fleet))
    batches = _Batches(history)
    snapshot = run_collection(
        appliances,
        known=None if full else history,
        strategy=strategy,
        executor=executor,
        limits=limits_of(fleet, limits),
        progress=progress,
        clock=clock,
        on_poll=batches.add,
    )
    added = batches.store_rest(snapshot)
    report_problems(snapshot, len(appliances), progress=progress)
    return snapshot, added


class _Batches:
    """Polls that are not stored yet, and what was added by those that are.

    Each poll is stored as a whole.
    """

    def __init__(self, history: "History") -> None:
        self._history = history
        self._waiting: list[PollResult] = []
        self._jobs = 0
        self._stored: set[str] = set()
        self._added: AppendResult | None = None
        self._last = time.monotonic()

    def add(self, result: PollResult) -> None:
        """Add a poll; store it and those before it if they are enough for a batch."""
        self._waiting.append(result)
        self._jobs += len(result.jobs)
        if self._jobs < JOBS_PER_BATCH and time.monotonic() - self._last < TIME_PER_BATCH:
            return
        self._jobs, self._last = 0, time.monotonic()
        try:
            self._append(build_snapshot(self._waiting))
        except HistoryError as error:  # raised at the end, if it persists
            _log.warning("%s; what was read is kept in memory, and stored later", error)
        else:
            self._waiting = []

    def store_rest(self, snapshot: Snapshot) -> "AppendResult":
        """Store the polls of a collection that are not stored yet; return what all added."""
        self._append(snapshot.without(self._stored))
        assert self._added is not None  # noqa: S101 # for the type checker
        return self._added

    def _append(self, snapshot: Snapshot) -> None:
        added = self._history.append(snapshot)
        self._added = added if self._added is None else self._added + added
        [polls] = snapshot.rows("polls")
        self._stored.update(polls["appliance"])
