"""Files that are there whole or not at all."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from backupkit.errors import OutputError

__all__ = ["write_files"]


def write_files(contents: Mapping[Path, bytes]) -> tuple[Path, ...]:
    """Write some files so that no reader ever sees a half of one.

    Parameters
    ----------
    contents : mapping of Path to bytes
        What to write where. The folders must exist.

    Returns
    -------
    tuple of Path
        The files, in the same order.

    Raises
    ------
    OutputError
        If one cannot be written; then none of those not yet in place is left behind.
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
            # after a failure its part file may never have come to be, or be out of reach
            with suppress(OSError):
                part.unlink(missing_ok=True)
    return tuple(parts)
