"""Files that commands replace, and those they must not: their own input, and what others wrote."""

import os
import shutil
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from backupkit.errors import OutputError, one_line

__all__ = ["refuse_foreign_fleet", "refuse_inputs", "replace_text"]

_MARK: Final = b"# Written by the backupkit simulator"
"""How a fleet.toml of the simulator begins."""

_BEGINNING: Final = 4096
"""Bytes that show whether a file is a text."""


def refuse_inputs(out: Path, inputs: Iterable[Path | str], *, option: str) -> None:
    """Raise if a file to be written is one of the files that are read: fleet.toml, history.

    Raises
    ------
    OutputError
        If it is one of them, also by another path or a link.
    """
    for one in map(Path, inputs):
        try:
            is_same = out.samefile(one)
        except (OSError, ValueError):  # one does not exist, or is no path but a URL
            continue
        if is_same:
            raise OutputError(
                f"{option}: {one_line(str(out))} is read by this command, and would be lost. "
                "Choose another file."
            )


def refuse_foreign_fleet(path: Path, *, option: str) -> None:
    """Raise if a fleet.toml exists that the simulator has not written.

    Raises
    ------
    OutputError
        If there is one, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            is_own = file.read(len(_MARK)) == _MARK
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise OutputError(
            f"{one_line(str(path))} cannot be written: {error.strerror}. Use another {option}."
        ) from error
    if not is_own:
        raise OutputError(
            f"{one_line(str(path))} exists, and is not of the simulator. It stays as it is: use "
            f"another {option}."
        )


def replace_text(path: Path, text: str) -> None:
    """Write a text file; one that exists is replaced atomically, and keeps link and permissions.

    Raises
    ------
    OutputError
        If it cannot be written, or is no text file, such as a history. It stays as it was.
    """
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        exists = target.exists()
        if exists and _is_binary(target):
            raise OutputError(
                f"{one_line(str(path))} is no text file, and stays as it is. Name another file."
            )
        temporary.write_bytes(text.encode())
        if exists:
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        with suppress(OSError):  # it may not exist, or its folder may be a file
            temporary.unlink()
        raise OutputError(
            f"{one_line(str(path))}: cannot be written: {error.strerror}. Check that its folder "
            "exists and that you may write to it."
        ) from error


def _is_binary(path: Path) -> bool:
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING)
    return b"\0" in beginning and not beginning.startswith((BOM_UTF16_BE, BOM_UTF16_LE))
