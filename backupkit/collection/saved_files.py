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
without the suffix ``.json`` are ignored. Links are not followed. Misplaced files are reported and
skipped.
"""

import codecs
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final

from backupkit import wire
from backupkit.client import Limits
from backupkit.collection.collector import StateSource
from backupkit.collection.poll_result import PollResult, api_error_columns
from backupkit.collection.snapshot import ErrorRow, Snapshot, build_snapshot
from backupkit.errors import BackupkitError, NotFoundError, PayloadError, SettingsError, one_line
from backupkit.settings import Instant, parse_instant, time_zone
from backupkit.tables import ENDED, SyncState
from backupkit.tables.constants import EARLIEST_TIME, LARGEST_LEAD
from backupkit.wire import Kind

__all__ = ["read_saved_answers"]

POLL_WINDOW: Final = timedelta(minutes=15)
"""Time range of the files of one poll, and tolerated difference of two clocks."""

EXAMPLE: Final = "20261109T060000Z"
"""Example of a folder name that states the time of the requests."""

_MAX_ERRORS: Final = 5
_MAX_DETAIL: Final = 500
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # Windows has neither


def read_saved_answers(
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
    the job list and each listed job, except jobs known to have ended. It is missing without the job
    list, and if jobs are missing: these are observations with a ``read_error``. A job that started
    or ended more than 15 minutes after the time of its file is skipped, because the time of the
    file is wrong; a time in the future is kept.

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
    >>> read_saved_answers(folder)
    Snapshot: 1 of 1 appliance read, 1 jobs new or unfinished
    """
    now = clock() if clock else datetime.now(UTC)
    files, error_rows = _find_files(Path(folder), observed_at, now)
    states = {} if known is None else known.sync_state()
    max_size = (limits or Limits()).body
    results: list[PollResult] = []
    for name, appliance_files in groupby(files, key=attrgetter("appliance")):
        state = states.get(name, SyncState())
        results += _convert_files_to_polls(
            name, appliance_files, state, error_rows, max_size=max_size, now=now
        )
    if not results:
        raise SettingsError(_describe_unusable_folder(folder, error_rows))
    return build_snapshot(results, error_rows=error_rows)


def _describe_unusable_folder(folder: str | Path, error_rows: list[ErrorRow]) -> str:
    """Return the error message for a folder without usable files."""
    summary = (
        f"{folder}: no saved answer in it can be used. Expected JSON files in a folder for each "
        f"appliance, as vc-1/job.json or vc-1/{EXAMPLE}/job.json."
    )
    lines = [summary, *(f"  {detail}" for _, _, detail, *_ in error_rows[:_MAX_ERRORS])]
    if len(error_rows) > _MAX_ERRORS:
        lines.append(f"  and {len(error_rows) - _MAX_ERRORS:,} more")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _SavedFile:
    """Saved answer before it is read.

    Attributes
    ----------
    where : str
        Path below the folder, for messages.
    when : datetime
        Time of the request [UTC].
    stated : bool
        Whether the time was stated; otherwise it is the file's modification time.
    """

    path: Path
    where: str
    appliance: str
    when: datetime
    stated: bool


def _find_files(
    folder: Path, observed_at: Instant | None, now: datetime
) -> tuple[list[_SavedFile], list[ErrorRow]]:
    """Return the files in a folder, sorted by appliance, and errors of misplaced ones."""
    stated = None
    if observed_at is not None:
        when = parse_instant(observed_at, where="observed_at").to_pydatetime()
        stated = _check_plausible_time(when, now)
    files: list[_SavedFile] = []
    error_rows: list[ErrorRow] = []
    for path, info in _visible_entries(folder):
        name = one_line(path.name)
        try:
            if _is_answer_file(path, info):
                raise PayloadError(
                    "it belongs to no appliance",
                    advice="Put it into a folder named as the appliance.",
                )
            if stat.S_ISDIR(info.st_mode):
                if path.name != name:
                    raise PayloadError("no appliance has such a name")
                files += _find_appliance_files(path, name, name, stated, now, error_rows)
        except BackupkitError as error:
            error_rows.append(_build_error_row(None, name, error))
    return files, error_rows


def _find_appliance_files(  # recursive
    folder: Path,
    where: str,
    appliance: str,
    stated: datetime | None,
    now: datetime,
    error_rows: list[ErrorRow],
    *,
    deepest: bool = False,
) -> Iterator[_SavedFile]:
    """Yield the files in the folder of an appliance, and in subfolders named by a time."""
    for path, info in _visible_entries(folder):
        relative = f"{where}/{one_line(path.name)}"
        try:
            if _is_answer_file(path, info):
                when = stated or _get_modification_time(info, now)
                yield _SavedFile(path, relative, appliance, when, stated is not None)
            elif stat.S_ISDIR(info.st_mode):
                if deepest:
                    raise PayloadError("a folder at this depth is not read")
                when = _parse_folder_time(path.name, now)
                yield from _find_appliance_files(
                    path, relative, appliance, when, now, error_rows, deepest=True
                )
        except BackupkitError as error:
            error_rows.append(_build_error_row(appliance, relative, error))


def _visible_entries(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Return the entries of a folder that are not hidden, sorted by name."""
    try:
        visible = (path for path in folder.iterdir() if not path.name.startswith("."))
        return [(path, path.lstat()) for path in sorted(visible)]
    except (OSError, ValueError) as error:  # ValueError: a path with NUL
        reason = getattr(error, "strerror", None) or "there is no such path"
        raise SettingsError(f"{folder} cannot be read: {reason}.") from error


def _is_answer_file(path: Path, info: os.stat_result) -> bool:
    if stat.S_ISLNK(info.st_mode):
        raise PayloadError(
            "it is a link, and links are not followed", advice="Copy the file or folder itself."
        )
    return path.suffix.lower() == ".json"


def _get_modification_time(info: os.stat_result, now: datetime) -> datetime:
    """Return the modification time of a file, to the second: copies often keep no more."""
    seconds = info.st_mtime_ns // 10**9
    if not EARLIEST_TIME.timestamp() <= seconds <= (now + POLL_WINDOW).timestamp():
        raise SettingsError(
            "The modification time of the file cannot be the time of the request. State that time."
        )
    return datetime.fromtimestamp(seconds, UTC)


def _parse_folder_time(name: str, now: datetime) -> datetime:
    """Parse a folder's name as a time."""
    try:
        when = parse_instant(name, where="")
    except SettingsError as error:
        raise SettingsError(
            f"Only folders named by a time with its zone are read here; for example: {EXAMPLE}."
        ) from error
    return _check_plausible_time(when.to_pydatetime(), now)


def _check_plausible_time(when: datetime, now: datetime) -> datetime:
    """Return a time if a request was possible then; raise otherwise."""
    if not EARLIEST_TIME <= when <= now + POLL_WINDOW:
        raise SettingsError(
            f"{_format_time(when)} is not a possible time of a request: expected "
            f"{EARLIEST_TIME:%Y} to now."
        )
    return when


@dataclass(slots=True)
class _PollFiles:
    """Content of the files of one poll, merged into `result` once all are read."""

    result: PollResult
    now: datetime
    error_rows: list[ErrorRow]
    listed: dict[str, None] | None = None
    jobs: dict[str, wire.Job] = field(default_factory=dict)
    flavours: set[wire.Flavour] = field(default_factory=set)

    def add_file(self, file: _SavedFile, max_size: int) -> None:
        """Add the content of one file; several job lists are merged."""
        content = self._undo_powershell(file, _read_content(file, max_size))
        kind, flavour = wire.detect_kind(content)
        if kind is Kind.EMPTY_LIST and file.path.stem.lower() == "job":
            kind = Kind.JOB_IDS
        jobs: list[wire.Job] = []
        match kind:
            case Kind.JOB:
                jobs = [wire.decode_job(content, flavour)]
            case Kind.JOB_IDS:
                ids, decode_errors = wire.decode_job_ids(content, flavour)
                self._add_decode_errors(file, decode_errors, of_jobs=False)
                self.result.list_unread += len(decode_errors)
                self.listed = (self.listed or {}) | dict.fromkeys(ids)
            case Kind.DETAILS:
                jobs, decode_errors = wire.decode_details(content, flavour)
                self._add_decode_errors(file, decode_errors, of_jobs=True)
                self.result.details = True
            case Kind.SCHEDULES:
                self._add_schedules(file, *wire.decode_schedules(content, flavour))
            case Kind.VERSION:
                self.result.version = wire.decode_version(content, flavour)
            case Kind.TEXT:
                text = wire.decode_text(content, flavour, "the time zone")
                self.result.timezone = _check_time_zone(text)
        odd = {job.job_id: _describe_odd_job(job) for job in jobs if job.read_error}
        self._add_decode_errors(file, odd, of_jobs=True)
        added = [self._add_job(file, job) for job in jobs]
        if any(added) or not jobs:
            self.flavours.add(flavour)

    def _add_schedules(
        self,
        file: _SavedFile,
        schedules: Mapping[str, wire.Schedule],
        decode_errors: wire.DecodeErrors,
    ) -> None:
        """Add schedules; what is wrong with them is reported, and what could be read is kept."""
        result = self.result
        odd = {
            name: PayloadError(f"the schedule {one_line(name)}: {schedule.read_error}")
            for name, schedule in schedules.items()
            if schedule.read_error
        }
        self._add_decode_errors(file, odd | decode_errors, of_jobs=False)
        result.details = True
        result.schedules |= schedules
        if decode_errors:
            result.schedules_error = "; ".join(error.problem for error in decode_errors.values())
        else:
            result.schedules_read = len(result.schedules)

    def _undo_powershell(self, file: _SavedFile, content: bytes) -> bytes:
        """Undo what PowerShell's ConvertTo-Json does to lists, and report what it cut."""
        plain, is_cut = wire.undo_powershell(content)
        if is_cut:
            error = PayloadError(
                "PowerShell's ConvertTo-Json cut what is nested too deeply, such as messages",
                advice="Save it again with ConvertTo-Json -Depth 10.",
            )
            self.error_rows.append(_build_error_row(file.appliance, file.where, error))
        return plain

    def _add_job(self, file: _SavedFile, job: wire.Job) -> bool:
        """Keep the best record of a job: one that ended, then details, then that of the newer file.

        Skip a job that is later than its file, and return False.
        """
        newest = max(filter(None, (job.start_time, job.end_time)), default=None)
        # a time far ahead is wrong itself, and says nothing of the file's
        if newest is not None and file.when + POLL_WINDOW < newest <= self.now + LARGEST_LEAD:
            error = PayloadError(
                f"job {one_line(job.job_id)} has the time {_format_time(newest)}, but the request "
                f"was at {_format_time(file.when)}",
                advice="State the time of the request.",
            )
            self.error_rows.append(_build_error_row(file.appliance, file.where, error, job.job_id))
            return False
        if _rank_job(job) >= _rank_job(self.jobs.get(job.job_id)):
            self.jobs[job.job_id] = job
        return True

    def _add_decode_errors(
        self, file: _SavedFile, decode_errors: Mapping[str, BackupkitError], *, of_jobs: bool
    ) -> None:
        self.error_rows += [
            _build_error_row(file.appliance, file.where, error, (of_jobs and key) or None)
            for key, error in decode_errors.items()
        ]

    def add_unread_jobs(self, state: SyncState) -> None:
        """Add the listed jobs without a saved answer, as unread."""
        for job_id in self.listed or ():
            if job_id not in self.jobs and job_id not in state.finished:
                reason = "there is no saved answer for it that can be read"
                self.jobs[job_id] = wire.Job(
                    job_id, None, None, None, None, None, (), "job", read_error=reason
                )

    def merge_state(self, state: SyncState) -> SyncState:
        """Complete the result with the state before it, and return the state after it."""
        result, jobs = self.result, self.jobs
        listed = state.listed | jobs.keys()
        if self.listed is not None:
            result.jobs_listed = len(self.listed) + result.list_unread
            listed = frozenset(self.listed.keys() | jobs.keys())
            result.vanished = sorted(state.listed - listed)
        if len(self.flavours) == 1:  # with both, the next collection detects it
            [result.flavour] = self.flavours
        ended = {key for key, job in jobs.items() if job.status in ENDED and not job.read_error}
        schedules = state.schedules
        if result.schedules_read is not None:
            result.removed_schedules = sorted(schedules.difference(result.schedules))
            schedules = frozenset(result.schedules)
        return SyncState(
            listed=listed,
            finished=(state.finished | ended) & listed,
            details=result.details,
            version=result.version,
            timezone=result.timezone,
            schedules=schedules,
        )


def _convert_files_to_polls(
    appliance: str,
    files: Iterable[_SavedFile],
    state: SyncState,
    error_rows: list[ErrorRow],
    *,
    max_size: int,
    now: datetime,
) -> list[PollResult]:
    """Convert the files of one appliance to polls, each with the state after the one before."""
    results = []
    seen_jobs: dict[str, wire.Job] = {}
    for moment, poll_files in _group_by_poll(files):
        result = PollResult.of(appliance, moment, state)
        result.requests = result.elapsed = None
        poll = _PollFiles(result, now, error_rows)
        for file in poll_files:
            try:
                poll.add_file(file, max_size)
            except BackupkitError as error:
                error_rows.append(_build_error_row(appliance, file.where, error))
        if poll.flavours:
            result.complete = poll.listed is not None
            poll.add_unread_jobs(state)
            result.jobs = [job for key, job in poll.jobs.items() if seen_jobs.get(key) != job]
            seen_jobs |= poll.jobs
            state = poll.merge_state(state)
            results.append(result)
    if results and not any(result.complete for result in results):
        no_list = NotFoundError(
            "all is stored, but no poll is complete: the job list is missing (GET "
            "recovery/backup/job, as job.json)"
        )
        error_rows.append(_build_error_row(appliance, appliance, no_list))
    elif results and (problem := results[-1].problem) is not None:
        error_rows.append(_build_error_row(appliance, appliance, problem))
    return results


def _group_by_poll(files: Iterable[_SavedFile]) -> list[tuple[datetime, list[_SavedFile]]]:
    """Group the files of one appliance by poll, sorted by time."""
    polls: dict[datetime, list[_SavedFile]] = {}
    first_time: datetime | None = None
    for file in sorted(files, key=attrgetter("when")):
        poll_time = file.when
        if not file.stated:
            if first_time is None or poll_time - first_time > POLL_WINDOW:
                first_time = poll_time
            poll_time = first_time
        polls.setdefault(poll_time, []).append(file)
    return sorted(polls.items())


def _describe_odd_job(job: wire.Job) -> PayloadError:
    return PayloadError(
        f"job {one_line(job.job_id)} could not be read completely: {job.read_error}",
        advice="Send the request again, and save its response.",
    )


def _rank_job(job: wire.Job | None) -> tuple[bool, bool, bool]:
    if job is None:
        return (False, False, False)
    return (job.read_error is None, job.status in ENDED, job.source == "details")


def _check_time_zone(text: str) -> str:
    """Check that a text is a time zone; never quote another text, it may be a token."""
    try:
        return time_zone(text, where="").key
    except SettingsError:
        raise PayloadError(
            "the response is text, but no time zone",
            advice="If it is the token of a session, remove it.",
        ) from None


def _read_content(file: _SavedFile, max_size: int) -> bytes:
    """Return the content of a file in UTF-8, converted from UTF-16 if the shell wrote that."""
    try:
        # it may have been replaced by a link or a pipe: do not follow, do not wait
        with open(file.path, "rb", opener=_open_without_links) as stream:
            content = stream.read(max_size + 1) or b""
        if len(content) > max_size:
            raise PayloadError(f"it is larger than {max_size / 2**20:.3g} MiB and was not read")
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # PowerShell's ">"
            return content.decode("utf-16").encode()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not Unicode"
        raise PayloadError(f"it cannot be read: {reason}") from error
    return content.removeprefix(codecs.BOM_UTF8)


def _open_without_links(path: str, flags: int) -> int:
    return os.open(path, flags | _NO_LINK)


def _build_error_row(
    appliance: str | None, where: str, error: BackupkitError, job_id: str | None = None
) -> ErrorRow:
    """Return the error row of a file; its detail names the file."""
    detail = one_line(f"{where}: {error.detail}", limit=_MAX_DETAIL)
    return appliance, error.kind, detail, job_id, *api_error_columns(error)


def _format_time(when: datetime) -> str:
    """Format a time as ISO 8601, to the second."""
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
