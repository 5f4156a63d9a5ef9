"""Saved answers: a folder of JSON files, for sites where only someone else may ask.

The layout is one that anybody with curl can make, ``GET`` paths below ``/api/appliance`` or
``/rest/appliance``::

    FOLDER/
        vc-ham-01/                the appliance's name in fleet.toml
            20261109T060000Z/     when it was asked; may be left out
                job.json          recovery/backup/job
                details.json      recovery/backup/job/details
                schedules.json    recovery/backup/schedules
                version.json      system/version
                timezone.json     system/time/timezone
                any name.json     recovery/backup/job/{id}, as many as there are

None has to be there. A file is known by what it holds; only below ``/rest``, where an empty job
list looks like any other empty list, it must be named ``job.json``. Files that are not named
``.json`` are passed over.
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
    """Read the answers of the API that somebody saved, as if `backupkit.collect` had asked.

    Parameters
    ----------
    folder : str or Path
        Holds a folder for each appliance, named as the appliance; the module tells what in it.
    observed_at : datetime or str, optional
        When the answers were asked for. A folder whose name is a time says so for its own files;
        elsewhere the default is when each file was last written, to the second: state it for files
        that were copied since.
    known : History or Snapshot, optional
        What earlier rounds found out: jobs that had ended need not be among the files again, and
        those that are listed no more are told. By default nothing.
    limits : Limits, optional
        Its ``body`` is the largest file that is read.
    clock : callable, optional
        Gives the present as an aware datetime; by default the machine's clock. Nothing is taken
        that was asked later.

    Returns
    -------
    Snapshot
        To be appended to a history. What could not be used is a row in ``errors``, and so is an
        appliance that the files do not show whole.

    Raises
    ------
    SettingsError
        If the folder holds nothing to be used, or `observed_at` is no time that can be.

    Notes
    -----
    All files in a folder named by a time are one visit; so are the others that were written within
    15 minutes, beginning with the oldest. A visit's ``ok`` is true where its files hold the job
    list and each job on it, or the job is known to have ended; else it is missing, since nobody can
    tell. A job that began or ended more than 15 minutes after its file was written is left out: the
    time is wrong.

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
    """What the files of one visit tell, put together in `visit` once all are taken."""

    visit: Visit
    troubles: list[Trouble]
    listed: set[str] | None = None
    jobs: dict[str, wire.Job] = field(default_factory=dict)
    flavours: set[wire.Flavour] = field(default_factory=set)

    def take(self, file: SavedFile, content: bytes) -> None:
        """Take what one file tells; several lists count together."""
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
        """Keep the best record of a job: one that ended, then details, then the newer file's.

        A job of later than its answer is left out, and then this is false.
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
    """Turn the files of one appliance into visits, each knowing of those before it."""
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
    """Put the files of one appliance together by visit, in the order of time."""
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
    """Say what is missing to know that the whole job list was read; "" if nothing is."""
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
    """Complete a visit by what was known before, and give what is known after it."""
    visit, jobs = answers.visit, answers.jobs
    there = memory.listed | jobs.keys()
    if answers.listed is not None:
        visit.jobs_listed = len(answers.listed)
        there = frozenset(answers.listed | jobs.keys())
        visit.vanished = sorted(memory.listed - there)
    if len(answers.flavours) == 1:  # else both answered, and the next round finds out
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
    """Hold a text to be a time zone; else it is not repeated, since it may be a token."""
    try:
        return time_zone(text, where="").key
    except SettingsError:
        raise PayloadError(
            "The answer is a text and no time zone. If it is the token of a session, remove it."
        ) from None


def _nothing(folder: str | Path, troubles: list[Trouble]) -> str:
    """Say that a folder is of no use, and why."""
    said = (
        f"{folder}: no saved answer in it can be used. Expected JSON files in a folder for each "
        f"appliance, as vc-1/job.json or vc-1/{EXAMPLE}/job.json."
    )
    lines = [said, *(f"  {detail}" for _, _, detail, _ in troubles[:_SHOWN])]
    if len(troubles) > _SHOWN:
        lines.append(f"  and {len(troubles) - _SHOWN:,} more")
    return "\n".join(lines)
