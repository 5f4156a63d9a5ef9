"""Files that a command must not replace: its own input, and what another program wrote."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from backupkit.errors import OutputError, one_line

__all__ = ["refuse_foreign_fleet", "refuse_inputs"]

_MARK: Final = b"# Written by the backupkit simulator"
"""How a fleet.toml of the simulator begins."""


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
