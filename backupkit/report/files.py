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
    parts = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in contents}
    try:
        for path, content in contents.items():
            parts[path].write_bytes(content)
        for path, part in parts.items():
            part.replace(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        where = next(iter(contents)).parent
        raise OutputError(
            f"Cannot write to {where}: {reason} ({error.filename}). Check that the"
            " folder exists, that you may write to it and that it has space left, or choose"
            " another path."
        ) from error
    finally:
        for part in parts.values():
            # after a failure the temporary file may not exist or not be accessible
            with suppress(OSError):
                part.unlink(missing_ok=True)
    return tuple(parts)
