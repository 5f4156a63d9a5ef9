"""The files that somebody saved: whose each is, of when, and what is in it.

Links are not followed, and what has no business there is named and spoils nothing.
"""

import codecs
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from backupkit.collect.snapshot import Trouble
from backupkit.errors import BackupkitError, PayloadError, SettingsError, one_line
from backupkit.settings import Instant, parse_instant

__all__ = ["EXAMPLE", "SPAN", "SavedFile", "content_of", "find_files", "row_about", "stamp"]

SPAN: Final = timedelta(minutes=15)
"""Files written within so long are of one visit; and so far two clocks may differ."""

EARLIEST: Final = datetime(2016, 11, 15, tzinfo=UTC)
"""When 6.5 came out, the first version that can be asked for its backups."""

EXAMPLE: Final = "20261109T060000Z"
"""The name of a folder that says when its files were asked for."""

_LONGEST: Final = 500
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # Windows has neither


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A saved answer, before it is read.

    Attributes
    ----------
    path : Path
        The file.
    where : str
        Its place below the folder, for a person.
    appliance : str
        Whose answer it is.
    when : datetime
        When it was asked for [UTC].
    stated : bool
        Whether somebody said so; else it is when the file was written.
    """

    path: Path
    where: str
    appliance: str
    when: datetime
    stated: bool


def find_files(
    folder: Path, *, observed_at: Instant | None, now: datetime
) -> tuple[list[SavedFile], list[Trouble]]:
    """Find the saved answers.

    Parameters
    ----------
    folder : Path
        Holds a folder for each appliance.
    observed_at : datetime or str or None
        When they were asked for, where no folder's name says it.
    now : datetime
        The present [UTC].

    Returns
    -------
    files : list of SavedFile
        Appliance by appliance.
    troubles : list of tuple
        What is in the wrong place, or of an impossible time.

    Raises
    ------
    SettingsError
        If the folder cannot be read, or `observed_at` is no time that can be.
    """
    stated = None
    if observed_at is not None:
        stated = _possible(parse_instant(observed_at, where="observed_at").to_pydatetime(), now)
    files: list[SavedFile] = []
    troubles: list[Trouble] = []
    for path, about in _listing(folder):
        name = one_line(path.name)
        try:
            if _is_answer(path, about):
                raise PayloadError(
                    "It belongs to no appliance. Put it into a folder named as the appliance."
                )
            if stat.S_ISDIR(about.st_mode):
                if path.name != name:
                    raise PayloadError("No appliance has such a name.")
                owner = _Owner(name, stated, now, troubles)
                files += owner.files(path, name)
        except BackupkitError as error:
            troubles.append(row_about(None, name, error))
    return files, troubles


@dataclass(frozen=True, slots=True)
class _Owner:
    """An appliance whose folder is looked through."""

    name: str
    stated: datetime | None
    now: datetime
    troubles: list[Trouble]

    def files(self, folder: Path, where: str, named: datetime | None = None) -> Iterator[SavedFile]:
        """Find its answers in its own folder, and in those named by a time."""
        stated = named or self.stated
        for path, about in _listing(folder):
            place = f"{where}/{one_line(path.name)}"
            try:
                if _is_answer(path, about):
                    when = stated or _written(about, self.now)
                    yield SavedFile(path, place, self.name, when, stated is not None)
                elif stat.S_ISDIR(about.st_mode):
                    if named is not None:
                        raise PayloadError("A folder so deep is not looked into.")
                    yield from self.files(path, place, _named(path.name, self.now))
            except BackupkitError as error:
                self.troubles.append(row_about(self.name, place, error))


def _listing(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Give what is in a folder, by name, but what is hidden."""
    try:
        visible = (path for path in folder.iterdir() if not path.name.startswith("."))
        return [(path, path.lstat()) for path in sorted(visible)]
    except (OSError, ValueError) as error:  # ValueError: a path with NUL
        reason = getattr(error, "strerror", None) or "there is no such path"
        raise SettingsError(f"{folder} cannot be read: {reason}.") from error


def _is_answer(path: Path, about: os.stat_result) -> bool:
    if stat.S_ISLNK(about.st_mode):
        raise PayloadError("It is a link, and links are not followed. Copy what it leads to.")
    return path.suffix.lower() == ".json"


def _written(about: os.stat_result, now: datetime) -> datetime:
    """Tell when a file was last written, to the second: copies often keep no more."""
    seconds = about.st_mtime_ns // 10**9
    if not EARLIEST.timestamp() <= seconds <= (now + SPAN).timestamp():
        raise SettingsError(
            "The time at which the file was written cannot be when it was asked for. State that "
            "time."
        )
    return datetime.fromtimestamp(seconds, UTC)


def _named(name: str, now: datetime) -> datetime:
    """Read the time that is a folder's name."""
    try:
        when = parse_instant(name, where="")
    except SettingsError as error:
        raise SettingsError(
            "Only folders named by a time with its zone are looked into here; for example: "
            f"{EXAMPLE}."
        ) from error
    return _possible(when.to_pydatetime(), now)


def _possible(when: datetime, now: datetime) -> datetime:
    """Refuse a time at which nobody can have asked: what is true later would count as older."""
    if not EARLIEST <= when <= now + SPAN:
        raise SettingsError(
            f"Nobody asked at {stamp(when)}: expected a time from {EARLIEST:%Y} to now."
        )
    return when


def content_of(file: SavedFile, *, largest: int) -> bytes:
    """Read a file.

    Parameters
    ----------
    file : SavedFile
        The file.
    largest : int
        The most that is read [bytes].

    Returns
    -------
    bytes
        What it holds, in UTF-8 whatever Unicode a shell wrote it in.

    Raises
    ------
    PayloadError
        If it cannot be read, or is larger.
    """
    try:
        # it may have become a link or a pipe since: neither is followed, nor waited for
        with open(file.path, "rb", opener=_opened) as opened:
            content = opened.read(largest + 1) or b""
        if len(content) > largest:
            raise PayloadError(f"It is larger than {largest / 2**20:.3g} MiB and was not read.")
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # PowerShell's ">"
            return content.decode("utf-16").encode()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not Unicode"
        raise PayloadError(f"It cannot be read: {reason}.") from error
    return content.removeprefix(codecs.BOM_UTF8)


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | _NO_LINK)


def row_about(
    appliance: str | None, where: str, error: BackupkitError, job_id: str | None = None
) -> Trouble:
    """Give the row of errors about a file, which names it."""
    return appliance, error.kind, one_line(f"{where}: {error}", limit=_LONGEST), job_id


def stamp(when: datetime) -> str:
    """Write a time for a person."""
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
