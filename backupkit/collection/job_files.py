"""Import of job files: CSV, JSON, and zip files of both, from those who may poll."""

import codecs
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from backupkit import wire
from backupkit.client import Limits
from backupkit.collection.collector import StateSource
from backupkit.collection.job_rows import read_rows
from backupkit.collection.poll_result import PollResult, api_error_columns
from backupkit.collection.saved_files import POLL_WINDOW
from backupkit.collection.snapshot import ErrorRow, Snapshot, build_snapshot
from backupkit.errors import BackupkitError, PayloadError, SettingsError, one_line
from backupkit.settings import Instant, parse_instant
from backupkit.tables import ENDED, SyncState
from backupkit.tables.constants import EARLIEST_TIME, LARGEST_LEAD

__all__ = ["SUFFIXES", "read_job_files"]

SUFFIXES: Final = (".csv", ".json", ".zip")
"""Suffixes of the files that `read_job_files` reads."""

_MAX_DETAIL: Final = 500


class _Content(NamedTuple):
    """Content of one file, also of one inside a zip file."""

    path: PurePosixPath
    where: str
    body: bytes


@dataclass
class _Reader:
    """Jobs by appliance and time of the file, and errors, of the files that were read."""

    now: datetime
    appliance: str | None
    columns: Mapping[str, str]
    zone: str | None
    max_size: int
    jobs: dict[tuple[str, datetime], dict[str, wire.Job]] = field(default_factory=dict)
    errors: list[ErrorRow] = field(default_factory=list)
    lost: Counter[tuple[str | None, datetime]] = field(default_factory=Counter)
    """Number of jobs that cannot be kept; None is an appliance that is not known."""

    def read(self, path: Path, when: datetime) -> None:
        """Read a file; each problem is an error row."""
        try:
            for content in self._list_contents(path, when):
                try:
                    self._read_content(content, when)
                except BackupkitError as error:
                    self._lose(None, content.where, error, when)
        except BackupkitError as error:
            self._lose(None, one_line(path.name), error, when)

    def _list_contents(self, path: Path, when: datetime) -> Iterator[_Content]:
        where = one_line(path.name)
        try:
            if path.suffix.lower() != ".zip":
                with path.open("rb") as stream:
                    body = stream.read(self.max_size + 1)
                yield _Content(PurePosixPath(path.as_posix()), where, self._check_size(body))
                return
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    yield from self._list_members(archive, info, where, when)
        except (OSError, zipfile.BadZipFile) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise PayloadError(f"it cannot be read: {reason}", advice="") from error

    def _list_members(
        self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str, when: datetime
    ) -> Iterator[_Content]:
        """Yield a file of a zip file, unless it is hidden or a folder."""
        path = PurePosixPath(info.filename)
        if info.is_dir() or any(part.startswith((".", "__MACOSX")) for part in path.parts):
            return
        name = f"{where}/{one_line(info.filename)}"
        if path.suffix.lower() not in SUFFIXES[:2]:
            error = PayloadError("it is neither a .csv nor a .json file", advice="")
            self._add_error(None, name, error)
            return
        try:
            with archive.open(info) as stream:
                body = self._check_size(stream.read(self.max_size + 1))
        except PayloadError as large:
            self._lose(None, name, large, when)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as damage:
            unreadable = PayloadError(f"it cannot be read: {damage}", advice="")
            self._lose(None, name, unreadable, when)
        else:
            yield _Content(path, name, body)

    def _check_size(self, body: bytes) -> bytes:
        if len(body) > self.max_size:
            raise PayloadError(
                f"it is larger than {self.max_size / 2**20:.3g} MiB and was not read", advice=""
            )
        return body

    def _read_content(self, content: _Content, when: datetime) -> None:
        text = _decode(content.body)
        if content.path.suffix.lower() == ".csv":
            rows = read_rows(text, columns=self.columns, appliance=self.appliance, zone=self.zone)
            for row in rows:
                where = f"{content.where}, row {row.number}"
                if row.job is not None:
                    self._add_job(row.appliance, row.job, where, when)
                if row.error is not None and row.job is not None:
                    self._add_error(row.appliance, where, row.error)
                elif row.error is not None:
                    self._lose(row.appliance or None, where, row.error, when)
            return
        stem = content.path.stem
        jobs, errors = wire.decode_job_file(text.encode(), name=stem)
        name = self.appliance or _find_name(content.path, jobs)
        for key, error in errors.items():
            self._lose(name, f"{content.where}, {one_line(key)}", error, when)
        for job in jobs:
            where = f"{content.where}, job {one_line(job.job_id)}"
            if job.read_error is not None:
                self._add_error(name, where, PayloadError(job.read_error, advice=""))
            self._add_job(name, job, where, when)

    def _add_job(self, appliance: str, job: wire.Job, where: str, when: datetime) -> None:
        """Keep a job; of two with one id, the one that could be read and that ended."""
        newest = max(filter(None, (job.start_time, job.end_time)), default=None)
        if newest is not None and when + POLL_WINDOW < newest <= self.now + LARGEST_LEAD:
            error = PayloadError(
                f"it has the time {newest:%Y-%m-%dT%H:%M:%SZ}, but the file is of "
                f"{when:%Y-%m-%dT%H:%M:%SZ}",
                advice="State the time of the file: --observed-at TIME.",
            )
            self._lose(appliance, where, error, when)
            return
        jobs = self.jobs.setdefault((appliance, when), {})
        known = jobs.get(job.job_id)
        if known is None or _rank(job) >= _rank(known):
            jobs[job.job_id] = job

    def _lose(
        self, appliance: str | None, where: str, error: BackupkitError, when: datetime
    ) -> None:
        """Report a job that cannot be kept, or a file that may have some."""
        self._add_error(appliance, where, error)
        self.lost[appliance, when] += 1

    def _add_error(self, appliance: str | None, where: str, error: BackupkitError) -> None:
        detail = one_line(f"{where}: {error.detail}", limit=_MAX_DETAIL)
        self.errors.append((appliance, error.kind, detail, None, *api_error_columns(error)))


def read_job_files(  # noqa: PLR0913 # each is a choice of the user
    paths: Iterable[str | Path],
    *,
    appliance: str | None = None,
    columns: Mapping[str, str] | None = None,
    timezone: str | None = None,
    observed_at: Instant | None = None,
    complete: bool = False,
    known: StateSource | None = None,
    limits: Limits | None = None,
    clock: Callable[[], datetime] | None = None,
) -> Snapshot:
    r"""Read files of jobs into a snapshot, as `backupkit.collect` returns it.

    Parameters
    ----------
    paths : iterable of str or Path
        A CSV file has a row per job, such as the ``.jobs.csv`` of a report. A JSON file has job
        details, one job, or a list of jobs, as the API returns them. A zip file has such files.
    appliance : str, optional
        Appliance of all files. Default: the column ``appliance`` of a CSV file; of a JSON file its
        name without suffix, or, if that is the id of a job, the name of its folder.
    columns : mapping of str to str, optional
        Headings of CSV columns with other names, such as ``{"start_time": "Started"}``.
    timezone : str, optional
        IANA zone of times in CSV files that state none; without it they are errors.
    observed_at : datetime or str, optional
        Time that the files are of. Default: the modification time of each file.
    complete : bool
        Whether the files have all jobs that each appliance listed at that time. Only then does an
        appliance count as read, and are jobs that are missing now no longer listed. With a row that
        cannot be used, its appliance is read in part; with such a file, no appliance is read.
    known : History or Snapshot, optional
        Result of earlier collections.
    limits : Limits, optional
        ``body`` is the maximum size of a file.
    clock : callable, optional
        Returns the current time as an aware datetime; default: the system clock.

    Returns
    -------
    Snapshot
        A file, row or job that cannot be used is a row in ``errors``, with its place.

    Raises
    ------
    SettingsError
        If `observed_at` is not a possible time.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "jobs.csv"
    >>> _ = file.write_text("appliance,state,start_time\nvc-1,ok,2026-11-09T01:00:00Z\n")
    >>> read_job_files([file], observed_at="2026-11-09T06:00:00Z", complete=True)
    Snapshot: 1 of 1 appliance read, 1 jobs new or unfinished
    """
    now = clock() if clock else datetime.now(UTC)
    stated = None
    if observed_at is not None:
        stated = parse_instant(observed_at, where="observed_at").to_pydatetime()
        if not EARLIEST_TIME <= stated <= now + POLL_WINDOW:
            raise SettingsError(
                f"observed_at: {stated:%Y-%m-%dT%H:%M:%SZ} is not a possible time of the files: "
                f"expected {EARLIEST_TIME:%Y} to now."
            )
    reader = _Reader(now, appliance, columns or {}, timezone, (limits or Limits()).body)
    for path in map(Path, paths):
        reader.read(path, stated or _find_time(path, now))
    states = {} if known is None else dict(known.sync_state())
    results = []
    for (name, when), jobs in sorted(reader.jobs.items(), key=lambda item: item[0][::-1]):
        result, states[name] = _build_poll(
            name,
            when,
            jobs,
            states.get(name, SyncState()),
            lost=reader.lost[name, when],
            complete=complete and not reader.lost[None, when],
        )
        results.append(result)
    return build_snapshot(results, error_rows=reader.errors)


def _find_time(path: Path, now: datetime) -> datetime:
    """Return the modification time of a file to the second; of one that is missing, the present."""
    try:
        info = path.stat()
    except OSError:  # reading it reports why
        return now
    seconds = info.st_mtime_ns // 10**9 if stat.S_ISREG(info.st_mode) else now.timestamp()
    return datetime.fromtimestamp(seconds, UTC)


def _decode(body: bytes) -> str:
    """Return the text of a file in UTF-8, or in the UTF-16 of Windows."""
    try:
        if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return body.decode("utf-16")
        return body.decode("utf-8-sig")
    except UnicodeError as error:
        raise PayloadError("it is not in UTF-8", advice="Save it again in UTF-8.") from error


def _find_name(path: PurePosixPath, jobs: list[wire.Job]) -> str:
    """Return the appliance of a JSON file: its name, or that of its folder if it is one job."""
    is_job = len(jobs) == 1 and jobs[0].job_id == path.stem
    name = path.parent.name if is_job else path.stem
    if not name or name != one_line(name):
        raise PayloadError(
            "it names no appliance",
            advice="Name the file or its folder as the appliance, or use --appliance NAME.",
        )
    return name


def _rank(job: wire.Job) -> tuple[bool, bool]:
    return job.read_error is None, job.status in ENDED


def _build_poll(
    appliance: str,
    when: datetime,
    jobs: Mapping[str, wire.Job],
    state: SyncState,
    *,
    lost: int,
    complete: bool,
) -> tuple[PollResult, SyncState]:
    """Return the poll that files of one time stand for, and the state after it."""
    result = PollResult.of(appliance, when, state)
    result.requests = result.elapsed = None
    result.jobs = list(jobs.values())
    result.complete = complete
    listed = state.listed | jobs.keys()
    if complete:
        result.list_unread = lost
        result.jobs_listed = len(jobs) + lost
        if not lost:
            listed = frozenset(jobs)
            result.vanished = sorted(state.listed - listed)
    ended = {key for key, job in jobs.items() if job.status in ENDED and not job.read_error}
    return result, replace(state, listed=listed, finished=(state.finished | ended) & listed)
