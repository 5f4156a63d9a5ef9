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
from backupkit.collect.rounds import Memory
from backupkit.collect.saved_files import (
    EXAMPLE,
    SPAN,
    SavedFile,
    content_of,
    find_files,
    row_about,
    stamp,
)
from backupkit.collect.snapshot import Snapshot, Trouble, errors_of, snapshot_of
from backupkit.collect.visit import Visit
from backupkit.errors import BackupkitError, NotFoundError, PayloadError, SettingsError, one_line
from backupkit.settings import Instant, time_zone
from backupkit.tables import ENDED, Remembered
from backupkit.wire import Kind

__all__ = ["saved_answers"]

_SHOWN: Final = 5


def saved_answers(
    folder: str | Path,
    *,
    observed_at: Instant | None = None,
    known: Memory | None = None,
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
    >>> visit = folder / "vc-1" / "20261109T060000Z"
    >>> visit.mkdir(parents=True)
    >>> _ = (visit / "job.json").write_text('["a"]')
    >>> _ = (visit / "a.json").write_text(
    ...     '{"id": "a", "state": "SUCCEEDED", "messages": [], "progress": 100,'
    ...     ' "start_time": "2026-11-09T01:00:00Z", "end_time": "2026-11-09T01:20:00Z"}'
    ... )
    >>> saved_answers(folder)
    Snapshot: 1 of 1 appliance read, 1 jobs new or unfinished
    """
    now = clock() if clock else datetime.now(UTC)
    files, troubles = find_files(Path(folder), observed_at=observed_at, now=now)
    memory = {} if known is None else known.remembered()
    largest = (limits or Limits()).body
    visits: list[Visit] = []
    for name, own in groupby(files, key=attrgetter("appliance")):
        visits += _visits(name, own, memory.get(name, Remembered()), largest, troubles)
    if not visits:
        raise SettingsError(_nothing(folder, troubles))
    return replace(snapshot_of(visits), errors=errors_of(troubles))


@dataclass(slots=True)
class _Answers:
    """Content of the files of one poll, merged into `visit` once all are read."""

    visit: Visit
    troubles: list[Trouble]
    listed: set[str] | None = None
    jobs: dict[str, wire.Job] = field(default_factory=dict)
    flavours: set[wire.Flavour] = field(default_factory=set)

    def take(self, file: SavedFile, content: bytes) -> None:
        """Add the content of one file; several job lists are merged."""
        kind, flavour = wire.recognise(content)
        if kind is Kind.EMPTY and file.path.stem.lower() == "job":
            kind = Kind.JOB_IDS
        jobs: list[wire.Job] = []
        match kind:
            case Kind.JOB:
                jobs = [wire.decode_job(content, flavour)]
            case Kind.JOB_IDS:
                self.listed = {*(self.listed or ()), *wire.decode_job_ids(content, flavour)}
            case Kind.DETAILS:
                jobs = self._details(file, content, flavour)
            case Kind.SCHEDULES:
                self._take_schedules(file, content, flavour)
            case Kind.VERSION:
                self.visit.version = wire.decode_version(content, flavour)
            case Kind.TEXT:
                text = wire.decode_text(content, flavour, "the time zone")
                self.visit.timezone = _time_zone(text)
        taken = [self._add(file, job) for job in jobs]
        if any(taken) or not jobs:
            self.flavours.add(flavour)

    def _details(self, file: SavedFile, content: bytes, flavour: wire.Flavour) -> list[wire.Job]:
        jobs, spoiled = wire.decode_details(content, flavour)
        for job_id, why in spoiled.items():
            self._note(file, PayloadError(why), job_id or None)
        self.visit.details = True
        return jobs

    def _take_schedules(self, file: SavedFile, content: bytes, flavour: wire.Flavour) -> None:
        schedules, spoiled = wire.decode_schedules(content, flavour)
        for why in spoiled.values():
            self._note(file, PayloadError(why))
        self.visit.schedules |= schedules
        self.visit.details = True

    def _add(self, file: SavedFile, job: wire.Job) -> bool:
        """Keep the best record of a job: one that ended, then details, then that of the newer file.

        Skip a job that is later than its file, and return False.
        """
        newest = max(filter(None, (job.start_time, job.end_time)), default=None)
        if newest is not None and newest - file.when > SPAN:
            error = PayloadError(
                f"Job {one_line(job.job_id)} tells of {stamp(newest)}, and the answer is said to "
                f"be of {stamp(file.when)}. State when it was asked for."
            )
            self._note(file, error, job.job_id)
            return False
        if _rank(job) >= _rank(self.jobs.get(job.job_id)):
            self.jobs[job.job_id] = job
        return True

    def _note(self, file: SavedFile, error: BackupkitError, job_id: str | None = None) -> None:
        self.troubles.append(row_about(file.appliance, file.where, error, job_id))


def _visits(
    appliance: str,
    files: Iterable[SavedFile],
    memory: Remembered,
    largest: int,
    troubles: list[Trouble],
) -> list[Visit]:
    """Convert the files of one appliance to polls, each with the state after the one before."""
    visits = []
    told: dict[str, wire.Job] = {}
    lacking = ""
    for moment, own in _occasions(files):
        visit = Visit(
            appliance,
            moment,
            version=memory.version,
            timezone=memory.timezone,
            details=memory.details,
            requests=None,
            elapsed=None,
        )
        answers = _Answers(visit, troubles)
        for file in own:
            try:
                answers.take(file, content_of(file, largest=largest))
            except BackupkitError as error:
                troubles.append(row_about(appliance, file.where, error))
        if answers.flavours:
            lacking = _lacking(answers, memory)
            visit.whole = not lacking
            visit.jobs = [job for key, job in answers.jobs.items() if told.get(key) != job]
            told |= answers.jobs
            memory = _settled(answers, memory)
            visits.append(visit)
    if visits and not any(visit.whole for visit in visits):
        partial = NotFoundError(f"All is kept, but no visit shows the appliance whole: {lacking}.")
        troubles.append(row_about(appliance, appliance, partial))
    return visits


def _occasions(files: Iterable[SavedFile]) -> list[tuple[datetime, list[SavedFile]]]:
    """Group the files of one appliance by poll, sorted by time."""
    occasions: dict[datetime, list[SavedFile]] = {}
    began: datetime | None = None
    for file in sorted(files, key=attrgetter("when")):
        moment = file.when
        if not file.stated:
            if began is None or moment - began > SPAN:
                began = moment
            moment = began
        occasions.setdefault(moment, []).append(file)
    return sorted(occasions.items())


def _lacking(answers: _Answers, memory: Remembered) -> str:
    """Return what a complete poll of the job list lacks; "" if nothing."""
    if answers.listed is None:
        return "the job list is missing (GET recovery/backup/job, as job.json)"
    missing = sorted(answers.listed - answers.jobs.keys() - memory.finished)
    if not missing:
        return ""
    return (
        f"of {len(answers.listed):,} jobs on its list {len(missing):,} are missing or unreadable, "
        f"{one_line(missing[0])} for one"
    )


def _settled(answers: _Answers, memory: Remembered) -> Remembered:
    """Complete a poll with the state before it, and return the state after it."""
    visit, jobs = answers.visit, answers.jobs
    there = memory.listed | jobs.keys()
    if answers.listed is not None:
        visit.jobs_listed = len(answers.listed)
        there = frozenset(answers.listed | jobs.keys())
        visit.vanished = sorted(memory.listed - there)
    if len(answers.flavours) == 1:  # with both, the next collection detects it
        [visit.flavour] = answers.flavours
    ended = {key for key, job in jobs.items() if job.status in ENDED}
    return Remembered(
        listed=there,
        finished=(memory.finished | ended) & there,
        details=visit.details,
        version=visit.version,
        timezone=visit.timezone,
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


def _nothing(folder: str | Path, troubles: list[Trouble]) -> str:
    """Return the error message for a folder without usable files."""
    said = (
        f"{folder}: no saved answer in it can be used. Expected JSON files in a folder for each "
        f"appliance, as vc-1/job.json or vc-1/{EXAMPLE}/job.json."
    )
    lines = [said, *(f"  {detail}" for _, _, detail, _ in troubles[:_SHOWN])]
    if len(troubles) > _SHOWN:
        lines.append(f"  and {len(troubles) - _SHOWN:,} more")
    return "\n".join(lines)
