"""Files that survive a power cut: synced to disk, and so is the folder that names them."""

import os
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

__all__ = ["sync", "sync_one", "write_whole"]


def sync(files: Iterable[Path], root: Path) -> None:
    """Have files written to disk, and the folders that name them.

    Parameters
    ----------
    files : iterable of Path
        Files that are complete. A file that is gone again is passed over.
    root : Path
        The folder that was there before; the folders on the way to it may be new.

    Raises
    ------
    OSError
        If one cannot be written to disk.
    """
    folders: dict[Path, None] = {}
    for file in files:
        try:
            sync_one(file)
        except FileNotFoundError:  # another process tidied it away
            continue
        folders |= dict.fromkeys(takewhile(root.parent.__ne__, file.parents))
    for folder in folders:
        sync_one(folder)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, also after a power cut.

    Parameters
    ----------
    path : Path
        The file; what it held is replaced.
    content : bytes
        What it holds.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        sync_one(draft)
        draft.replace(path)
        sync_one(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def sync_one(path: Path) -> None:
    """Have one file, or one folder, written to disk."""
    if os.name == "nt" and path.is_dir():  # pragma: no cover # Windows syncs no folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
