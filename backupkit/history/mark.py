"""The mark that makes a folder a history: the version of its layout, and who it is."""

import json
import secrets
from pathlib import Path
from typing import Final

import msgspec

from backupkit.errors import HistoryError
from backupkit.history.durable import write_whole

__all__ = ["FORMAT", "Mark", "add_step", "identity", "is_history", "opened"]

FORMAT: Final = 1
"""The version of the folder's layout; another one cannot be read."""

STEPS: Final = ("seals",)
"""What a history of this version has from its beginning, and an earlier one is given."""

_NAME: Final = "backupkit-history.json"
_DAMAGED: Final = "Put the file back from a backup, or name a key file with --redact-key."


class Mark(msgspec.Struct):
    """What the mark holds.

    Attributes
    ----------
    format : int
        The version of the layout.
    id : str
        Random, of this history alone; "" in one of an earlier version.
    steps : tuple of str
        What was done to the folder since its version began, by name.
    """

    format: int
    id: str = ""
    steps: tuple[str, ...] = ()


def opened(folder: Path, *, create: bool) -> Mark:
    """Read the mark of a folder, or make it a history.

    Parameters
    ----------
    folder : Path
        The folder.
    create : bool
        Whether a missing or an empty folder becomes one.

    Raises
    ------
    HistoryError
        If the folder is something else, or cannot be used.
    """
    path = folder / _NAME
    try:
        if folder.exists() and not folder.is_dir():
            raise HistoryError(
                f"{folder} is a file and not a history folder. Name a folder with --history."
            )
        if not path.exists():
            if folder.is_dir() and not all(map(_is_draft, folder.iterdir())):
                raise HistoryError(
                    f"{folder} is a folder with other things in it and no history. Name a "
                    "history folder, or a new one, with --history."
                )
            if not create:
                raise HistoryError(
                    f"{folder} holds no history yet. Fill it first with: "
                    f"backupkit collect --fleet fleet.toml --history {folder}"
                )
            folder.mkdir(parents=True, exist_ok=True)
            _write(path, Mark(FORMAT, secrets.token_hex(16), STEPS))
        known = _read(path)
    except OSError as error:
        raise HistoryError(f"The history {folder} cannot be used: {error.strerror}.") from error
    except msgspec.MsgspecError as error:
        raise HistoryError(
            f"The history {folder} is damaged: {_NAME} cannot be read. Put it back from a "
            f'backup, or write {{"format": {FORMAT}}} into it.'
        ) from error
    if known.format != FORMAT:
        raise HistoryError(
            f"The history {folder} has format {known.format}; this version of backupkit reads "
            f"format {FORMAT}. Update backupkit."
        )
    return known


def is_history(folder: Path) -> bool:
    """Tell whether a folder holds a history."""
    return (folder / _NAME).is_file()


def identity(folder: Path) -> bytes:
    """Give random bytes of a history alone, and keep them in one that has none yet.

    Raises
    ------
    HistoryError
        If they cannot be read, or not be kept.
    """
    path = folder / _NAME
    try:
        known = _read(path)
        if not known.id and known.format == FORMAT:
            _write(path, Mark(FORMAT, secrets.token_hex(16), known.steps))
            known = _read(path)
        return bytes.fromhex(known.id)
    except OSError as error:
        raise HistoryError(
            f"The history {folder} has no identity yet, and none can be written: "
            f"{error.strerror}. Name a key file with --redact-key."
        ) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise HistoryError(
            f"The history {folder} is damaged: the identity in {_NAME} cannot be read. {_DAMAGED}"
        ) from error


def add_step(folder: Path, step: str) -> None:
    """Record what was done to a folder that an earlier version began.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = folder / _NAME
    known = _read(path)
    if step not in known.steps:
        _write(path, Mark(known.format, known.id, (*known.steps, step)))


def _read(path: Path) -> Mark:
    return msgspec.json.decode(path.read_bytes(), type=Mark)


def _write(path: Path, told: Mark) -> None:
    write_whole(path, json.dumps(msgspec.to_builtins(told)).encode() + b"\n")


def _is_draft(path: Path) -> bool:
    """Tell whether this is a mark that another process is about to write, or did not finish."""
    return path.name.startswith(f".{_NAME}.")
