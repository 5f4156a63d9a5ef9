"""One table of a history, at any place that Delta Lake can write to."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pa_fs
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from backupkit.history.choice import ALL, Choice
from backupkit.history.layout import MONTH, SHARD, WRITER, laid_out
from backupkit.history.log import Log
from backupkit.history.reason import reason
from backupkit.tables import Table

__all__ = ["TIDY_EVERY", "TIME", "TRIES", "Stored", "as_dataset"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

TIDY_EVERY: Final = 16
"""After so many appends the many small files of a table are put together."""

TIME: Final = {"observations": "observed_at", "polls": "polled_at", "schedules": "seen_at"}
"""The column that tells when a row was learnt, by table."""

_REPEATED: Final = ["appliance", "build", "source", "state", "status", "type"]
_BATCH: Final = 1 << 17  # rows
TRIES: Final = 8
"""So often is done anew what another process's change came between."""

_LARGE: Final = 64 << 20
"""A month is tidy with no more files than two for each of so many bytes."""


class Stored:
    """One Delta table.

    Parameters
    ----------
    table : Table
        Its contract.
    uri : str
        Where it is.
    options : mapping of str to str, optional
        What Delta Lake needs to get there, such as keys; see `backupkit.History`.
    """

    def __init__(self, table: Table, uri: str, options: Mapping[str, str] | None = None) -> None:
        self.table = table
        self.uri = uri
        self.time = TIME[table.name]
        self._options = dict(options or {})
        self._table: DeltaTable | None = None

    def rows(self, columns: Sequence[str], choice: Choice = ALL) -> pa.Table | None:
        """Read some columns of some rows; None before the first.

        Raises
        ------
        OSError, ValueError, DeltaError
            If the table cannot be read.
        """
        dataset = self._dataset()
        if dataset is None:
            return None
        known = dataset.schema.names
        if not {"appliance", self.time} <= set(known):
            raise ValueError(f"the table {self.table.name} has other columns than backupkit's")
        present = [name for name in columns if name in known]
        if not self._all_placed():
            known = [name for name in known if name != SHARD]
        return dataset.to_table(columns=present, filter=choice.condition(self.time, known))

    def _all_placed(self) -> bool:
        """Tell whether every row has a shard."""
        return True

    def _dataset(self) -> ds.Dataset | None:
        """Open the table as it is now; None before its first row."""
        stored = self._opened()
        return None if stored is None else as_dataset(stored)

    def count(self) -> int:
        """Count the rows by the log alone."""
        stored = self._opened()
        if stored is None:
            return 0
        return sum(stored.get_add_actions(flatten=True).column("num_records").to_pylist())

    def _opened(self) -> DeltaTable | None:
        """Give the table as it is now; None if there is none yet."""
        if self._table is not None:
            self._table.update_incremental()  # to open it anew takes several times the requests
            return self._table
        try:
            self._table = DeltaTable(self.uri, storage_options=self._options)
        except TableNotFoundError:
            return None
        return self._table

    def write(self, rows: pa.Table, *, run: str) -> None:
        """Append rows.

        Parameters
        ----------
        rows : pyarrow.Table
            Of the table's columns.
        run : str
            The id of the append; it stands in Delta's log.
        """
        self._write(rows, run=run)
        stored = self._opened()
        if stored is not None and stored.version() % TIDY_EVERY == 0:
            self.tidy()

    def _write(self, rows: pa.Table, *, run: str) -> None:
        _anew(
            lambda: write_deltalake(
                self._opened() or self.uri,
                laid_out(rows, self.time),
                mode="append",
                partition_by=[MONTH],
                schema_mode="merge",  # a folder that an earlier version began lacks newer columns
                writer_properties=WRITER,
                storage_options=self._options,
                commit_properties=CommitProperties(custom_metadata={"backupkit.run": run}),
            )
        )

    def tidy(self, *, whole: bool = False) -> None:
        """Put small files together, so that reading stays quick; no row changes.

        Parameters
        ----------
        whole : bool
            Whether the newest month too is put together as a whole, and sorted: else it is only
            once its small files hold half as much as its large one, so that no row is written
            again and again while the month grows.
        """
        try:
            if (stored := self._opened()) is None:
                return
            for month, below in _untidy(stored, whole=whole):
                self._put_together(stored, month, below=below)
            stored.create_checkpoint()
            stored.vacuum(dry_run=False)  # only what nobody has read for a week
        except (DeltaError, OSError) as error:
            _log.info("%s is not tidied now: %s", self.uri, reason(error))

    def _put_together(self, stored: DeltaTable, month: str, *, below: int | None) -> None:  # noqa: ARG002 # see sealed
        """Write the rows of a month anew, unless another process changes the month meanwhile.

        There is no lock at a URL. Of two z-orders at once Delta lets both, and every row is there
        twice; of two overwrites it lets one.
        """
        rows = stored.to_pyarrow_table(filters=[(MONTH, "=", month)])
        write_deltalake(
            stored,
            rows.sort_by([(SHARD, "ascending"), (self.time, "ascending")]),
            mode="overwrite",
            predicate=f"{MONTH} = '{month}'",
            writer_properties=WRITER,
        )

    def lay_out(self) -> None:
        """Write the rows of a table that an earlier version began as they lie now."""
        stored = self._opened()
        if stored is None or (
            MONTH in stored.metadata().partition_columns and None not in _months(stored)
        ):
            return
        dataset = stored.to_pyarrow_dataset()
        names = [name for name in dataset.schema.names if name not in {MONTH, SHARD}]
        schema = laid_out(dataset.schema.empty_table().select(names), self.time).schema
        batches = (
            batch
            for part in dataset.to_batches(columns=names, batch_size=_BATCH)
            for batch in laid_out(pa.Table.from_batches([part]), self.time).to_batches()
        )
        write_deltalake(
            stored,
            pa.RecordBatchReader.from_batches(schema, batches),
            mode="overwrite",  # what another one appends meanwhile stays
            schema_mode="overwrite",
            partition_by=[MONTH],
            writer_properties=WRITER,
            commit_properties=CommitProperties(custom_metadata={"backupkit.step": "months"}),
        )

    def drop(self, condition: str) -> int:
        """Remove rows for good, also from the files that Delta keeps of earlier versions.

        Parameters
        ----------
        condition : str
            Which rows, as Delta Lake's SQL.

        Returns
        -------
        int
            How many rows were removed.

        Raises
        ------
        OSError, DeltaError
            If the table cannot be written.
        """

        def delete() -> tuple[DeltaTable, int] | None:
            if (stored := self._opened()) is None:
                return None
            told = stored.delete(condition, writer_properties=WRITER)
            return stored, int(told["num_deleted_rows"])

        if (deleted := _anew(delete)) is None:
            return 0
        stored, rows = deleted
        self.seal()  # what is left of the files that go now
        # what is enforced otherwise is that others may go on reading what is gone
        stored.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
        stored.update_incremental()
        stored.create_checkpoint()
        self._forget_log()
        return rows

    def seal(self) -> None:
        """Have all that was written on disk; a URL's own promise is as good."""

    def _forget_log(self) -> None:
        """Drop the commits that a checkpoint sums up: they tell the least and the largest name."""
        files = pa_fs.PyFileSystem(DeltaStorageHandler(self.uri, self._options))
        listed = files.get_file_info(pa_fs.FileSelector("_delta_log"))
        for path in Log.of([Path(one.path) for one in listed]).summed_up():
            files.delete_file(path.as_posix())


def _anew(action: Callable[[], _T], tries: int = TRIES) -> _T:
    """Do once more what another process's commit made Delta refuse: nothing of it was written."""
    try:
        return action()
    except DeltaError as error:
        # the commits that it would be held against may be gone: see Stored.drop
        refused = isinstance(error, CommitFailedError) or "Invalid table version" in str(error)
        if not refused or tries == 1:
            raise
    return _anew(action, tries - 1)


def as_dataset(stored: DeltaTable) -> ds.Dataset:
    """Give a table's rows as Arrow reads them: what is repeated as numbers and a few texts."""
    return stored.to_pyarrow_dataset(
        parquet_read_options=ds.ParquetReadOptions(dictionary_columns=_REPEATED)
    )


def _months(stored: DeltaTable) -> list[str | None]:
    """Give the month of each file; None of one that an earlier version wrote beside."""
    return list(stored.get_add_actions(flatten=True).column(f"partition.{MONTH}").to_pylist())


def _untidy(stored: DeltaTable, *, whole: bool) -> Iterator[tuple[str, int | None]]:
    """Name the months with more files than their rows need.

    Each with the size [bytes] from which on a file may stay as it is; None if none may.
    """
    sizes: dict[str, list[int]] = {}
    told = stored.get_add_actions(flatten=True).column("size_bytes").to_pylist()
    for month, size in zip(_months(stored), told, strict=True):
        if month is not None:
            sizes.setdefault(month, []).append(size)
    for month, own in sorted(sizes.items()):
        if len(own) > 1 + 2 * (sum(own) // _LARGE):
            yield month, None if whole or month < max(sizes) else _below(own)


def _below(sizes: Collection[int]) -> int | None:
    """Tell up to which size files are worth putting together; None if all are.

    Each file that is left is more than twice as large as all smaller ones: so they are few.

    Examples
    --------
    >>> _below([1, 1, 1, 1, 40])
    5
    >>> _below([10, 10, 40])
    >>> _below([9, *[60] * 15])
    >>> _below([1, 40])
    1
    """
    smaller = whole = sum(sizes)
    for size in sorted(sizes, reverse=True):
        smaller -= size
        if size <= 2 * smaller:
            smaller += size
            break
    return None if smaller == whole else smaller + 1
