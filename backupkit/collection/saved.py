"""Import of saved answers: JSON files, for sites that backupkit may not poll.

The files are responses to ``GET`` below ``/api/appliance`` or ``/rest/appliance``, as curl writes
them, in this layout::

    FOLDER/
        vc-ham-01/                the appliance's name in fleet.toml
            20261109T060000Z/     time of the requests; optional
                job.json          recovery/backup/job
                details.json      recovery/backup/job/details
                schedules.json    recovery/backup/schedules
                version.json      system/version
                timezone.json     system/time/timezone
                any name.json     recovery/backup/job/{id}, one per job

All files are optional. The content of a file decides what it is, with one exception: below
``/rest`` all empty lists look alike, so an empty job list must be named ``job.json``. Files
without the suffix ``.json`` are ignored.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final

from backupkit import wire
from backupkit.client import Limits
from backupkit.collection.collector import StateSource
from backupkit.collection.poll import PollResult
from backupkit.collection.saved_files import (
    EXAMPLE,
    POLL_WINDOW,
    SavedFile,
    content_of,
    error_row,
    find_files,
    stamp,
)
from backupkit.collection.snapshot import ErrorRow, Snapshot, errors_of, snapshot_of
from backupkit.errors import BackupkitError, NotFoundError, PayloadError, SettingsError, one_line
from backupkit.settings import Instant, time_zone
from backupkit.tables import ENDED, SyncState
from backupkit.wire import Kind

__all__ = ["saved_answers"]

_MAX_ERRORS: Final = 5


def saved_answers(
    folder: str | Path,
    *,
    observed_at: Instant | None = None,
    known: StateSource | None = None,
    limits: Limits | None = None,
    clock: Callable[[], datetime] | None = None,
) -> Snapshot:
    """Read saved answers of the API into a snapshot, as `backupkit.collect` returns it.

    Parameters
    ----------
    folder : str or Path
        Contains one folder per appliance, named like the appliance; see the module docstring.
    observed_at : datetime or str, optional
        Time of the requests. A folder named by a time overrides it for its own files. Default:
        the modification time of each file, to the second; state the time for copied files.
    known : History or Snapshot, optional
        Result of earlier collections: the files may omit jobs that had ended, and jobs that are no
        longer listed are detected. Default: nothing.
    limits : Limits, optional
        ``body`` is the maximum size of a file.
    clock : callable, optional
        Returns the current time as an aware datetime; default: the system clock. Files of a later
        time are rejected.

    Returns
    -------
    Snapshot
        Snapshot to append to a history. A file that cannot be used is a row in ``errors``, and so
        is an appliance without a complete poll.

    Raises
    ------
    SettingsError
        If the folder holds no usable file, or `observed_at` is not a possible time.

    Notes
    -----
    All files in a folder named by a time form one poll. Other files form one poll if they were
    written within 15 minutes, starting with the oldest. ``ok`` of a poll is true if its files hold
    the job list and each listed job, except jobs known to have ended; otherwise it is missing. A
    job that started or ended more than 15 minutes after the time of its file is skipped, because
    the time is wrong.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> poll = folder / "vc-1" / "20261109T060000Z"
    >>> poll.mkdir(parents=True)
    >>> _ = (poll / "job.json").write_text('["a"]')
    >>> _ = (poll / "a.json").write_text(
    ...     '{"id": "a", "state": "SUCCEEDED", "messages": [], "progress": 100,'
    ...     ' "start_time": "2026-11-09T01:00:00Z", "end_time": "2026-11-09T01:20:00Z"}'
    ... )
    >>> saved_answers(folder)
    Snapshot: 1 of 1 appliance read, 1 jobs new or unfinished
    """
    now = clock() if clock else datetime.now(UTC)
    files, error_rows = find_files(Path(folder), observed_at=observed_at, now=now)
    state = {} if known is None else known.sync_state()
    max_size = (limits or Limits()).body
    results: list[PollResult] = []
    for name, appliance_files in groupby(files, key=attrgetter("appliance")):
        results += _poll_results(
            name, appliance_files, state.get(name, SyncState()), max_size, error_rows
        )
    if not results:
        raise SettingsError(_nothing_usable(folder, error_rows))
    return replace(snapshot_of(results), errors=errors_of(error_rows))


@dataclass(slots=True)
class _PollFiles:
    """Content of the files of one poll, merged into `visit` once all are read."""

    result: PollResult
    error_rows: list[ErrorRow]
    listed: set[str] | None = None
    jobs: dict[str, wire.Job] = field(default_factory=dict)
    flavours: set[wire.Flavour] = field(default_factory=set)

    def add_file(self, file: SavedFile, content: bytes) -> None:
        """Add the content of one file; several job lists are merged."""
        kind, flavour = wire.recognise(content)
        if kind is Kind.EMPTY_LIST and file.path.stem.lower() == "job":
            kind = Kind.JOB_IDS
        jobs: list[wire.Job] = []
        match kind:
            case Kind.JOB:
                jobs = [wire.decode_job(content, flavour)]
            case Kind.JOB_IDS:
                self.listed = {*(self.listed or ()), *wire.decode_job_ids(content, flavour)}
            case Kind.DETAILS:
                jobs = self._decode_details(file, content, flavour)
            case Kind.SCHEDULES:
                self._add_schedules(file, content, flavour)
            case Kind.VERSION:
                self.result.version = wire.decode_version(content, flavour)
            case Kind.TEXT:
                text = wire.decode_text(content, flavour, "the time zone")
                self.result.timezone = _time_zone(text)
        added = [self._add_job(file, job) for job in jobs]
        if any(added) or not jobs:
            self.flavours.add(flavour)

    def _decode_details(
        self, file: SavedFile, content: bytes, flavour: wire.Flavour
    ) -> list[wire.Job]:
        jobs, decode_errors = wire.decode_details(content, flavour)
        for job_id, message in decode_errors.items():
            self._add_error(file, PayloadError(message), job_id or None)
        self.result.details = True
        return jobs

    def _add_schedules(self, file: SavedFile, content: bytes, flavour: wire.Flavour) -> None:
        schedules, decode_errors = wire.decode_schedules(content, flavour)
        for message in decode_errors.values():
            self._add_error(file, PayloadError(message))
        self.result.schedules |= schedules
        self.result.details = True

    def _add_job(self, file: SavedFile, job: wire.Job) -> bool:
        """Keep the best record of a job: one that ended, then details, then that of the newer file.

        Skip a job that is later than its file, and return False.
        """
        newest = max(filter(None, (job.start_time, job.end_time)), default=None)
        if newest is not None and newest - file.when > POLL_WINDOW:
            error = PayloadError(
                f"Job {one_line(job.job_id)} tells of {stamp(newest)}, and the answer is said to "
                f"be of {stamp(file.when)}. State when it was asked for."
            )
            self._add_error(file, error, job.job_id)
            return False
        if _rank(job) >= _rank(self.jobs.get(job.job_id)):
            self.jobs[job.job_id] = job
        return True

    def _add_error(self, file: SavedFile, error: BackupkitError, job_id: str | None = None) -> None:
        self.error_rows.append(error_row(file.appliance, file.where, error, job_id))


def _poll_results(
    appliance: str,
    files: Iterable[SavedFile],
    state: SyncState,
    max_size: int,
    error_rows: list[ErrorRow],
) -> list[PollResult]:
    """Convert the files of one appliance to polls, each with the state after the one before."""
    results = []
    seen_jobs: dict[str, wire.Job] = {}
    missing = ""
    for moment, poll_files in _group_by_poll(files):
        result = PollResult(
            appliance,
            moment,
            version=state.version,
            timezone=state.timezone,
            details=state.details,
            requests=None,
            elapsed=None,
        )
        poll = _PollFiles(result, error_rows)
        for file in poll_files:
            try:
                poll.add_file(file, content_of(file, max_size=max_size))
            except BackupkitError as error:
                error_rows.append(error_row(appliance, file.where, error))
        if poll.flavours:
            missing = _missing(poll, state)
            result.complete = not missing
            result.jobs = [job for key, job in poll.jobs.items() if seen_jobs.get(key) != job]
            seen_jobs |= poll.jobs
            state = _merge_state(poll, state)
            results.append(result)
    if results and not any(result.complete for result in results):
        partial = NotFoundError(f"All is kept, but no poll is complete: {missing}.")
        error_rows.append(error_row(appliance, appliance, partial))
    return results


def _group_by_poll(files: Iterable[SavedFile]) -> list[tuple[datetime, list[SavedFile]]]:
    """Group the files of one appliance by poll, sorted by time."""
    polls: dict[datetime, list[SavedFile]] = {}
    first_time: datetime | None = None
    for file in sorted(files, key=attrgetter("when")):
        poll_time = file.when
        if not file.stated:
            if first_time is None or poll_time - first_time > POLL_WINDOW:
                first_time = poll_time
            poll_time = first_time
        polls.setdefault(poll_time, []).append(file)
    return sorted(polls.items())


def _missing(poll: _PollFiles, state: SyncState) -> str:
    """Return what a complete poll of the job list lacks; "" if nothing."""
    if poll.listed is None:
        return "the job list is missing (GET recovery/backup/job, as job.json)"
    missing = sorted(poll.listed - poll.jobs.keys() - state.finished)
    if not missing:
        return ""
    return (
        f"of {len(poll.listed):,} jobs on its list {len(missing):,} are missing or unreadable, "
        f"{one_line(missing[0])} for one"
    )


def _merge_state(poll: _PollFiles, state: SyncState) -> SyncState:
    """Complete a poll with the state before it, and return the state after it."""
    result, jobs = poll.result, poll.jobs
    listed = state.listed | jobs.keys()
    if poll.listed is not None:
        result.jobs_listed = len(poll.listed)
        listed = frozenset(poll.listed | jobs.keys())
        result.vanished = sorted(state.listed - listed)
    if len(poll.flavours) == 1:  # with both, the next collection detects it
        [result.flavour] = poll.flavours
    ended = {key for key, job in jobs.items() if job.status in ENDED}
    return SyncState(
        listed=listed,
        finished=(state.finished | ended) & listed,
        details=result.details,
        version=result.version,
        timezone=result.timezone,
    )


def _rank(job: wire.Job | None) -> tuple[bool, bool]:
    return (False, False) if job is None else (job.status in ENDED, job.source == "details")


def _time_zone(text: str) -> str:
    """Check that a text is a time zone; never quote another text, it may be a token."""
    try:
        return time_zone(text, where="").key
    except SettingsError:
        raise PayloadError(
            "The answer is a text and no time zone. If it is the token of a session, remove it."
        ) from None


def _nothing_usable(folder: str | Path, error_rows: list[ErrorRow]) -> str:
    """Return the error message for a folder without usable files."""
    summary = (
        f"{folder}: no saved answer in it can be used. Expected JSON files in a folder for each "
        f"appliance, as vc-1/job.json or vc-1/{EXAMPLE}/job.json."
    )
    lines = [summary, *(f"  {detail}" for _, _, detail, _ in error_rows[:_MAX_ERRORS])]
    if len(error_rows) > _MAX_ERRORS:
        lines.append(f"  and {len(error_rows) - _MAX_ERRORS:,} more")
    return "\n".join(lines)
