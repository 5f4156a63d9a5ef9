"""Where a history is: a folder of this machine, or any URL that Delta Lake opens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from backupkit.errors import HistoryError, one_line
from backupkit.history.durable import write_whole

__all__ = ["Folder", "Place", "Remote", "is_url"]

_MARK: Final = "backupkit-history.json"


def is_url(place: str | Path) -> bool:
    """Tell whether a history's place is a URL.

    Examples
    --------
    >>> is_url("s3://backups/history"), is_url("data/history")
    (True, False)
    """
    return isinstance(place, str) and "://" in place


class Place(Protocol):
    """Where the mark of a history is kept."""

    @property
    def uri(self) -> str:
        """What a person calls it."""

    def read(self) -> bytes | None:
        """Read the mark; None if there is none. Raises OSError if it cannot be read."""

    def write(self, mark: bytes) -> None:
        """Write the mark, whole or not at all. Raises OSError if it cannot be written."""

    def claim(self, *, create: bool) -> None:
        """Make sure that a history may begin here. Raises HistoryError if not."""


class Folder:
    """A folder of this machine.

    Parameters
    ----------
    path : Path
        The folder; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uri = str(path)

    def read(self) -> bytes | None:
        """Read the mark; None if there is none."""
        if self.path.exists() and not self.path.is_dir():
            raise HistoryError(
                f"{self.path} is a file and not a history folder. Name a folder with --history."
            )
        mark = self.path / _MARK
        return mark.read_bytes() if mark.exists() else None

    def write(self, mark: bytes) -> None:
        """Write the mark; it is on disk then."""
        write_whole(self.path / _MARK, mark)

    def claim(self, *, create: bool) -> None:
        """Make the folder, if nothing else is in it."""
        if self.path.is_dir() and not all(map(_is_draft, self.path.iterdir())):
            raise HistoryError(
                f"{self.path} is a folder with other things in it and no history. Name a "
                "history folder, or a new one, with --history."
            )
        if not create:
            raise HistoryError(_no_history(self.uri))
        self.path.mkdir(parents=True, exist_ok=True)


class Remote:
    """A URL that Delta Lake opens, such as ``s3://bucket/history``.

    Parameters
    ----------
    uri : str
        The URL.
    options : mapping of str to str
        What Delta Lake needs to get there.
    """

    def __init__(self, uri: str, options: Mapping[str, str]) -> None:
        self.uri = uri.rstrip("/")
        self._mark = f"{self.uri}/mark"
        self._options = dict(options)

    def read(self) -> bytes | None:
        """Read the mark; None if there is none."""
        try:
            if not DeltaTable.is_deltatable(self._mark, self._options):
                return None
            stored = DeltaTable(self._mark, storage_options=self._options)
            (mark,) = stored.to_pyarrow_table()["mark"].to_pylist()
        except (DeltaError, ValueError) as error:
            raise OSError(one_line(str(error)).rstrip(".")) from error
        return str(mark).encode()

    def write(self, mark: bytes) -> None:
        """Write the mark: a table of one row, since Delta Lake gets to every kind of URL."""
        try:
            write_deltalake(
                self._mark,
                pa.table({"mark": [mark.decode()]}),
                mode="overwrite",
                storage_options=self._options,
            )
        except (DeltaError, ValueError) as error:
            raise OSError(one_line(str(error)).rstrip(".")) from error

    def claim(self, *, create: bool) -> None:
        """Do nothing: a URL needs no folder."""
        if not create:
            raise HistoryError(_no_history(self.uri))


def _no_history(uri: str) -> str:
    return (
        f"{uri} holds no history yet. Fill it first with: "
        f"backupkit collect --fleet fleet.toml --history {uri}"
    )


def _is_draft(path: Path) -> bool:
    """Tell whether this is a mark that another process is about to write, or did not finish."""
    return path.name.startswith(f".{_MARK}.")
