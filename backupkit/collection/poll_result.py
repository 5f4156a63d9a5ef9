"""Order and result of the poll of one appliance."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from backupkit import wire
from backupkit.client import Limits
from backupkit.errors import (
    ApplianceError,
    BackupkitError,
    PartialError,
    StoppedError,
    one_line,
)
from backupkit.fleet import Appliance
from backupkit.tables import SyncState

__all__ = ["PollOrder", "PollResult", "Strategy", "api_error_columns"]

Strategy = Literal["auto", "job"]


@dataclass(frozen=True, slots=True)
class PollOrder:
    """Instructions for one poll, as sent to a worker; without the password.

    Attributes
    ----------
    state : SyncState
        Known state from earlier collections.
    deadline : float
        In seconds since 1970, because monotonic clocks differ between machines.
    state_key : str
        Key of the process-local state, see `backupkit.collection.local_state`.
    clock : callable or None
        Returns the current time; None means the system clock.
    """

    appliance: Appliance
    state: SyncState
    strategy: Strategy
    limits: Limits
    deadline: float
    state_key: str
    clock: Callable[[], datetime] | None = None

    def now(self) -> datetime:
        """Return the current time."""
        return self.clock() if self.clock else datetime.now(UTC)


@dataclass(slots=True)
class PollResult:
    """Result of one poll, before it becomes rows.

    Without a `failure`, the job list was read. A job of it that could not be read, or not
    completely, is in `jobs` with its ``read_error``; then the poll is partial. `item_errors` are
    of such jobs, each with its id, and of other items. `list_unread` counts items of the list
    without a usable id. `list_digest` is that of the job list, if all its jobs have ended and are
    read. `complete` is False only for saved answers without the job list.
    """

    appliance: str
    polled_at: datetime
    failure: BackupkitError | None = None
    jobs: list[wire.Job] = field(default_factory=list)
    jobs_listed: int | None = None
    list_unread: int = 0
    list_digest: str | None = None
    vanished: list[str] = field(default_factory=list)
    schedules: dict[str, wire.Schedule] = field(default_factory=dict)
    schedules_read: int | None = None
    schedules_error: str | None = None
    removed_schedules: list[str] = field(default_factory=list)
    timezone: str | None = None
    version: str | None = None
    flavour: wire.Flavour | None = None
    details: bool | None = None
    requests: int | None = 0
    elapsed: timedelta | None = timedelta(0)
    clock_skew: timedelta | None = None
    item_errors: list[tuple[BackupkitError, str | None]] = field(default_factory=list)
    complete: bool = True

    @classmethod
    def of(cls, appliance: str, polled_at: datetime, state: SyncState) -> Self:
        """Return a result that starts from the known state of the appliance."""
        return cls(
            appliance,
            polled_at,
            version=state.version,
            timezone=state.timezone,
            details=state.details,
        )

    @property
    def jobs_unread(self) -> int | None:
        """Number of listed jobs that could not be read completely; None without the list."""
        if self.jobs_listed is None:
            return None
        return self.list_unread + sum(job.read_error is not None for job in self.jobs)

    @property
    def problem(self) -> BackupkitError | None:
        """Why the poll failed, or is only partial; None if it is good."""
        if self.failure is not None or not self.jobs_unread:
            return self.failure
        unread = [job for job in self.jobs if job.read_error]
        example = (
            f": job {one_line(unread[0].job_id)}, {unread[0].read_error}"
            if unread
            else ": an item of the list is no id"
        )
        of = f"{self.jobs_unread:,} of {self.jobs_listed:,} listed jobs"
        return PartialError(f"{of} could not be read{example}")

    @property
    def ok(self) -> bool | None:
        """Return whether the poll is good; None if it is partial, stopped or incomplete."""
        if isinstance(self.problem, (StoppedError, PartialError)) or not self.complete:
            return None
        return self.failure is None

    @property
    def error(self) -> str | None:
        """Kind of the problem."""
        return None if self.problem is None else self.problem.kind

    @property
    def detail(self) -> str | None:
        """Problem as text, without the usual advice of its kind."""
        return None if self.problem is None else self.problem.detail

    @property
    def error_type(self) -> str | None:
        """Type of the error that the API sent, if any."""
        return api_error_columns(self.failure)[0]

    @property
    def error_messages(self) -> Sequence[Mapping[str, Any]]:
        """Messages of the error that the API sent."""
        return api_error_columns(self.failure)[1]

    @property
    def error_data(self) -> str | None:
        """Data of the error that the API sent, as JSON."""
        return api_error_columns(self.failure)[2]


def api_error_columns(
    error: BackupkitError | None,
) -> tuple[str | None, Sequence[Mapping[str, Any]], str | None]:
    """Return type, messages and data of an error of the API; empty values for other errors."""
    if not isinstance(error, ApplianceError):
        return None, (), None
    return error.error_type, error.messages, wire.encode_error_data(error.data)
