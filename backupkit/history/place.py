"""Where a history is: a folder of this machine, or any URL that Delta Lake opens."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from backupkit.errors import HistoryError
from backupkit.history.durable import write_whole
from backupkit.history.reason import reason

__all__ = ["Folder", "Place", "Remote", "is_url"]

_MARK: Final = "backupkit-history.json"
_HALF_URL: Final = re.compile(r"([a-z][a-z\d+.-]+):/+(.*)")
_PATIENCE: Final = MappingProxyType({"max_retries": "5", "retry_timeout": "30s"})
"""How long a request that fails is tried again; Delta Lake's own three minutes are long to wait."""
_FOLDER: Final = MappingProxyType(
    {
        "used": "",
        "read": " Run: backupkit history verify --history {uri}. If it is damaged, put it back "
        "from a backup.",
        "written": " Nothing that was kept is changed; check the folder's rights and the free "
        "space.",
    }
)
_CHECK: Final = " Check the URL, the keys in the environment, and the network."
_URL: Final = MappingProxyType(
    {
        "used": _CHECK,
        "read": _CHECK,
        "written": f" Nothing that was kept is changed.{_CHECK}",
    }
)


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

    def advice(self, verb: str) -> str:
        """Say what to do if it cannot be "used", "read" or "written"."""

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
        if half := _HALF_URL.fullmatch(self.uri):
            raise HistoryError(
                f"{self.uri} is neither a folder nor a URL. Write {half[1]}://{half[2]}, as text."
            )

    def advice(self, verb: str) -> str:
        """Say what to do if it cannot be used, read or written."""
        return _FOLDER[verb].format(uri=self.uri)

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

    Attributes
    ----------
    options : dict of str to str
        These, and how long to try.
    """

    def __init__(self, uri: str, options: Mapping[str, str]) -> None:
        self.uri = uri.rstrip("/")
        self.options = {**_PATIENCE, **options}
        self._mark = f"{self.uri}/mark"
        self._as_read: DeltaTable | None = None
        if self.uri.startswith("file:"):  # as at a URL nothing would be sealed or synced
            raise HistoryError(f"{self.uri} is a folder: name it without file://.")

    def advice(self, verb: str) -> str:
        """Say what to do if it cannot be used, read or written."""
        return _URL[verb]

    def read(self) -> bytes | None:
        """Read the mark; None if there is none."""
        try:
            self._as_read = DeltaTable(self._mark, storage_options=self.options)
            (mark,) = self._as_read.to_pyarrow_table()["mark"].to_pylist()
        except TableNotFoundError as error:
            if "scheme" in str(error):
                raise OSError(f"Delta Lake opens no {self.uri.partition(':')[0]}://") from error
            return None
        except (DeltaError, OSError, ValueError) as error:
            raise OSError(reason(error)) from error
        return str(mark).encode()

    def write(self, mark: bytes) -> None:
        """Write the mark: a table of one row, since Delta Lake gets to every kind of URL."""
        new = self._as_read is None
        try:
            write_deltalake(
                # the table as it was read: if it was changed since, Delta refuses
                self._as_read or self._mark,
                pa.table({"mark": [mark.decode()]}),
                mode="error" if new else "overwrite",
                storage_options=self.options,
            )
        except (DeltaError, OSError, ValueError) as error:
            if not (new and self.read()):  # another process was quicker: its mark is as good
                raise OSError(reason(error)) from error

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
