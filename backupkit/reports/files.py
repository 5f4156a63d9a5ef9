"""Atomic writing of files."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from backupkit.errors import OutputError

__all__ = ["write_files"]


def write_files(contents: Mapping[Path, bytes]) -> tuple[Path, ...]:
    """Write files atomically: a reader never sees an incomplete one.

    Parameters
    ----------
    contents : mapping of Path to bytes
        Content of each file. The folders must exist.

    Returns
    -------
    tuple of Path
        The files, in the same order.

    Raises
    ------
    OutputError
        If a file cannot be written. No file is replaced before all are written, and temporary
        files are removed.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in contents}
    try:
        for path, content in contents.items():
            temporary[path].write_bytes(content)
        for path, file in temporary.items():
            file.replace(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        folder = next(iter(contents)).parent
        raise OutputError(
            f"Cannot write to {folder}: {reason} ({error.filename}). Check that the"
            " folder exists, that you may write to it and that it has space left, or choose"
            " another path."
        ) from error
    finally:
        for file in temporary.values():
            # after a failure the temporary file may not exist or not be accessible
            with suppress(OSError):
                file.unlink(missing_ok=True)
    return tuple(temporary)
