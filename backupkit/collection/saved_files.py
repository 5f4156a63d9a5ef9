"""Files of saved answers: appliance, time and content of each.

Links are not followed. Misplaced files are reported and skipped.
"""

import codecs
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from backupkit.collection.snapshot import ErrorRow
from backupkit.errors import BackupkitError, PayloadError, SettingsError, one_line
from backupkit.settings import Instant, parse_instant

__all__ = ["EXAMPLE", "POLL_WINDOW", "SavedFile", "content_of", "error_row", "find_files", "stamp"]

POLL_WINDOW: Final = timedelta(minutes=15)
"""Time range of the files of one poll, and tolerated difference of two clocks."""

EARLIEST: Final = datetime(2016, 11, 15, tzinfo=UTC)
"""Release date of 6.5, the first version with the backup API."""

EXAMPLE: Final = "20261109T060000Z"
"""Example of a folder name that states the time of the requests."""

_MAX_DETAIL: Final = 500
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # Windows has neither


@dataclass(frozen=True, slots=True)
class SavedFile:
    """Saved answer before it is read.

    Attributes
    ----------
    path : Path
        Path of the file.
    where : str
        Path below the folder, for messages.
    appliance : str
        Name of the appliance.
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


def find_files(
    folder: Path, *, observed_at: Instant | None, now: datetime
) -> tuple[list[SavedFile], list[ErrorRow]]:
    """Return the saved answers in a folder.

    Parameters
    ----------
    folder : Path
        Contains one folder per appliance.
    observed_at : datetime or str or None
        Time of the requests, for files outside folders named by a time.
    now : datetime
        Current time [UTC].

    Returns
    -------
    files : list of SavedFile
        Sorted by appliance.
    error_rows : list of tuple
        Misplaced files, and files of an impossible time.

    Raises
    ------
    SettingsError
        If the folder cannot be read, or `observed_at` is not a possible time.
    """
    stated = None
    if observed_at is not None:
        stated = _plausible_time(
            parse_instant(observed_at, where="observed_at").to_pydatetime(), now
        )
    files: list[SavedFile] = []
    error_rows: list[ErrorRow] = []
    for path, info in _visible_entries(folder):
        name = one_line(path.name)
        try:
            if _is_answer(path, info):
                raise PayloadError(
                    "it belongs to no appliance",
                    advice="Put it into a folder named as the appliance.",
                )
            if stat.S_ISDIR(info.st_mode):
                if path.name != name:
                    raise PayloadError("no appliance has such a name")
                appliance_folder = _ApplianceFolder(name, stated, now, error_rows)
                files += appliance_folder.files(path, name)
        except BackupkitError as error:
            error_rows.append(error_row(None, name, error))
    return files, error_rows


@dataclass(frozen=True, slots=True)
class _ApplianceFolder:
    """Appliance whose folder is searched for files."""

    name: str
    stated: datetime | None
    now: datetime
    error_rows: list[ErrorRow]

    def files(
        self, folder: Path, where: str, stated_by_name: datetime | None = None
    ) -> Iterator[SavedFile]:
        """Yield the files in its folder, and in subfolders named by a time."""
        stated = stated_by_name or self.stated
        for path, info in _visible_entries(folder):
            relative = f"{where}/{one_line(path.name)}"
            try:
                if _is_answer(path, info):
                    when = stated or _modification_time(info, self.now)
                    yield SavedFile(path, relative, self.name, when, stated is not None)
                elif stat.S_ISDIR(info.st_mode):
                    if stated_by_name is not None:
                        raise PayloadError("a folder at this depth is not read")
                    yield from self.files(path, relative, _time_from_name(path.name, self.now))
            except BackupkitError as error:
                self.error_rows.append(error_row(self.name, relative, error))


def _visible_entries(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Return the entries of a folder that are not hidden, sorted by name."""
    try:
        visible = (path for path in folder.iterdir() if not path.name.startswith("."))
        return [(path, path.lstat()) for path in sorted(visible)]
    except (OSError, ValueError) as error:  # ValueError: a path with NUL
        reason = getattr(error, "strerror", None) or "there is no such path"
        raise SettingsError(f"{folder} cannot be read: {reason}.") from error


def _is_answer(path: Path, info: os.stat_result) -> bool:
    if stat.S_ISLNK(info.st_mode):
        raise PayloadError(
            "it is a link, and links are not followed", advice="Copy the file or folder itself."
        )
    return path.suffix.lower() == ".json"


def _modification_time(info: os.stat_result, now: datetime) -> datetime:
    """Return the modification time of a file, to the second: copies often keep no more."""
    seconds = info.st_mtime_ns // 10**9
    if not EARLIEST.timestamp() <= seconds <= (now + POLL_WINDOW).timestamp():
        raise SettingsError(
            "The time at which the file was written cannot be when it was asked for. State that "
            "time."
        )
    return datetime.fromtimestamp(seconds, UTC)


def _time_from_name(name: str, now: datetime) -> datetime:
    """Parse a folder's name as a time."""
    try:
        when = parse_instant(name, where="")
    except SettingsError as error:
        raise SettingsError(
            "Only folders named by a time with its zone are looked into here; for example: "
            f"{EXAMPLE}."
        ) from error
    return _plausible_time(when.to_pydatetime(), now)


def _plausible_time(when: datetime, now: datetime) -> datetime:
    """Return a time if a request was possible then; raise otherwise."""
    if not EARLIEST <= when <= now + POLL_WINDOW:
        raise SettingsError(
            f"Nobody asked at {stamp(when)}: expected a time from {EARLIEST:%Y} to now."
        )
    return when


def content_of(file: SavedFile, *, max_size: int) -> bytes:
    """Return the content of a file.

    Parameters
    ----------
    file : SavedFile
        File to read.
    max_size : int
        Maximum size [bytes].

    Returns
    -------
    bytes
        Content in UTF-8, converted from UTF-16 if the shell wrote that.

    Raises
    ------
    PayloadError
        If it cannot be read, or is too large.
    """
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


def error_row(
    appliance: str | None, where: str, error: BackupkitError, job_id: str | None = None
) -> ErrorRow:
    """Return the error row of a file; its detail names the file."""
    return appliance, error.kind, one_line(f"{where}: {error.detail}", limit=_MAX_DETAIL), job_id


def stamp(when: datetime) -> str:
    """Format a time as ISO 8601, to the second."""
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
