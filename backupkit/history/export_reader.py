"""Layout and reader of an export as Parquet.

A folder or URL has a folder for each table: ``jobs`` (by the month of start_time, else of
last_seen_at), ``observations`` (of observed_at) and ``polls`` (of polled_at) in folders such as
``month=2026-03``, ``schedules``, and ``appends``, the ledger. The appliances in each file are in
order, so that a reader of some of them skips the rest. The manifest is written last: an export
without one is incomplete.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

from backupkit._version import __version__
from backupkit.errors import HistoryError, one_line
from backupkit.history.arrow_types import ARROW_TYPES
from backupkit.history.ledger import ENTRY_FIELDS, KINDS
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES
from backupkit.tables.notes import Note

__all__ = [
    "LEDGER_TYPES",
    "MANIFEST",
    "NOTES_FILE",
    "SCHEMAS",
    "ApplianceCounts",
    "Export",
    "Manifest",
    "open_folder",
]

MANIFEST: Final = "backupkit-export.json"
NOTES_FILE: Final = "notes.json"
FORMAT: Final = 1
_INTEGER_COLUMNS: Final = {"id", "appended_at", "earliest_at", "latest_at", *KINDS}
LEDGER_TYPES: Final = {
    name: "integer" if name in _INTEGER_COLUMNS else "text" for name in (*ENTRY_FIELDS, "digest")
}
"""The columns of ``appends``."""

SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    **{table.name: table.arrow_schema for table in (JOBS, OBSERVATIONS, POLLS, SCHEDULES)},
    "appends": pa.schema([(name, ARROW_TYPES[kind]) for name, kind in LEDGER_TYPES.items()]),
}
"""The columns of each table; durations are microseconds."""

_MONTH: Final = pa.schema([("month", pa.string())])
_EXPORT_AGAIN: Final = "Export the history again, into a new folder."


class ApplianceCounts(msgspec.Struct):
    """Row counts of one appliance in an export."""

    first_at: int | None = None  # time of its first job, poll or schedule [us since 1970]
    jobs: int = 0
    observations: int = 0
    polls: int = 0


class Manifest(msgspec.Struct, kw_only=True):
    """Manifest of an export."""

    format: int = FORMAT
    version: str = __version__
    head: str  # of the ledger
    latest_at: int | None  # time of the newest row [us since 1970]
    rows: dict[str, int]  # by table
    appliances: dict[str, ApplianceCounts]  # by name, in order
    notes: int = 0


def open_folder(target: str | Path) -> tuple[Any, str]:
    """Return the file system of a folder or a URL, and the path in it."""
    text = str(target)
    if "://" not in text:
        return fs.LocalFileSystem(), Path(text).absolute().as_posix()
    if urlsplit(text).password is not None:
        raise HistoryError(
            f"The URL of the export on {one_line(text.rpartition('@')[2])} holds a password. Leave "
            "it out, and put the keys into the environment, such as AWS_SECRET_ACCESS_KEY."
        )
    try:
        system, path = fs.FileSystem.from_uri(text)
    except (ValueError, OSError, NotImplementedError) as error:
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415 # optional

            found, path = url_to_fs(text)
        except (ImportError, ValueError, OSError) as second:
            raise HistoryError(
                f"{one_line(text)} cannot be opened. pyarrow: {one_line(str(error))}; "
                f"fsspec: {one_line(str(second))}."
            ) from second
        system = fs.PyFileSystem(fs.FSSpecHandler(found))
    return system, path.rstrip("/")


class Export:
    """Reader of an export; raises `HistoryError` if it is incomplete."""

    def __init__(self, source: str | Path) -> None:
        self.uri = str(source)
        self._system, self._path = open_folder(source)
        self._tables: dict[str, Any] = {}
        with self._translate_errors():
            found = self._system.get_file_info(f"{self._path}/{MANIFEST}")
            if found.type == fs.FileType.NotFound:
                raise HistoryError(
                    f"{self.uri} is no complete export of a history: {MANIFEST} is missing. Name "
                    "a folder that backupkit history export wrote, or export again."
                )
            with self._system.open_input_stream(found.path) as file:
                text = file.read()
        try:
            self.manifest = msgspec.json.decode(text, type=Manifest)
        except msgspec.DecodeError as error:
            raise HistoryError(
                f"{self.uri}: {MANIFEST} cannot be read: {error}. {_EXPORT_AGAIN}"
            ) from error
        if self.manifest.format != FORMAT:
            raise HistoryError(
                f"{self.uri} was exported by another version of backupkit (format "
                f"{self.manifest.format}; this one knows {FORMAT}). Update backupkit."
            )

    def check(self) -> None:
        """Check the number of rows of each table, to detect a missing file."""
        for name in SCHEMAS:
            with self._translate_errors():
                number = self._open_table(name).count_rows()
            if number != self.manifest.rows[name]:
                raise HistoryError(
                    f"{self.uri} is incomplete: {name} has {number:,} rows of "
                    f"{self.manifest.rows[name]:,}. {_EXPORT_AGAIN}"
                )

    def read_notes(self) -> tuple[Note, ...]:
        """Return the notes of operators."""
        if not self.manifest.notes:
            return ()
        try:
            with (
                self._translate_errors(),
                self._system.open_input_stream(f"{self._path}/{NOTES_FILE}") as file,
            ):
                notes = msgspec.json.decode(file.read(), type=tuple[Note, ...])
        except msgspec.DecodeError as error:
            raise HistoryError(
                f"{self.uri}: {NOTES_FILE} cannot be read: {error}. {_EXPORT_AGAIN}"
            ) from error
        if len(notes) != self.manifest.notes:
            raise HistoryError(
                f"{self.uri} is incomplete: {NOTES_FILE} has {len(notes):,} notes of "
                f"{self.manifest.notes:,}. {_EXPORT_AGAIN}"
            )
        return notes

    def batches(self, max_rows: int) -> Iterator[list[str]]:
        """Yield the appliances in batches of about `most` rows."""
        batch: list[str] = []
        size = 0
        for name, share in self.manifest.appliances.items():
            rows = share.observations + share.polls
            if batch and size + rows > max_rows:
                yield batch
                batch, size = [], 0
            batch.append(name)
            size += rows
        if batch:
            yield batch

    def read(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        appliances: Collection[str] | None = None,
        wanted: ds.Expression | None = None,
    ) -> pa.Table:
        """Return rows of a table by month, then by appliance; ``month`` is also a column."""
        condition = wanted
        if appliances is not None:
            own = self._build_condition(appliances)
            condition = own if wanted is None else own & wanted
        with self._translate_errors():
            table = self._open_table(name)
            return table.to_table(columns=columns or SCHEMAS[name].names, filter=condition)

    def _build_condition(self, appliances: Collection[str]) -> ds.Expression:
        """Return the condition for some appliances; comparing a contiguous range is faster."""
        field, known = ds.field("appliance"), list(self.manifest.appliances)
        own = sorted(self.manifest.appliances.keys() & set(appliances))
        place = known.index(own[0]) if own else 0
        if own and known[place : place + len(own)] == own:
            return (field >= own[0]) & (field <= own[-1])
        return field.isin(pa.array(own, pa.string()))

    def _open_table(self, name: str) -> Any:  # noqa: ANN401 # pyarrow has no types
        if name not in self._tables:
            folder = f"{self._path}/{name}"
            inside = fs.FileSelector(folder, recursive=True, allow_not_found=True)
            infos = self._system.get_file_info(inside)
            self._tables[name] = ds.dataset(
                sorted(info.path for info in infos if info.path.endswith(".parquet")),
                schema=pa.schema([*SCHEMAS[name], *_MONTH]),
                format="parquet",
                filesystem=self._system,
                partitioning=ds.partitioning(_MONTH, flavor="hive"),
                partition_base_dir=folder,
            )
        return self._tables[name]

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise HistoryError(
                f"The export {self.uri} cannot be read: {one_line(str(error))}. {_EXPORT_AGAIN}"
            ) from error
