"""Reading many rows of a history as Arrow columns, by ADBC: 3 times as fast as by DB-API.

It uses the documented low-level interface of ADBC. Its DB-API layer imports polars, if that is
installed, which takes longer than most reads.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pandas as pd
import pyarrow as pa
from adbc_driver_manager import AdbcConnection, AdbcDatabase, AdbcStatement
from adbc_driver_manager import Error as AdbcError

from backupkit.history.arrow_types import ARROW_TYPES
from backupkit.history.databases import Reader

__all__ = ["AdbcError", "ArrowReader", "ReadError"]

_BATCH_ROWS_OPTION: Final = "adbc.sqlite.query.batch_rows"
_TYPE_SAMPLES: Final = {"integer": "0", "real": "0.5", "text": "''", "bytes": "x''"}


class ReadError(Exception):
    """Raised where the rows of a query end with an error of the database."""


class ArrowReader(Reader):
    """A transaction that reads many rows by ADBC; `typed` if the database has types of columns."""

    def __init__(self, connection: AdbcConnection, *, typed: bool) -> None:
        self._connection, self._typed = connection, typed

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, database: AdbcDatabase, begin: Sequence[str], *, typed: bool
    ) -> Iterator["ArrowReader"]:
        """Open a reader of one transaction, which the last statement of `begin` begins.

        Raises `AdbcError` or `ReadError`.
        """
        with database, AdbcConnection(database) as connection:
            reader = cls(connection, typed=typed)
            for statement in begin:
                reader.run(statement)
            yield reader
            reader.run("COMMIT")

    def run(self, statement: str) -> None:
        """Run a statement that returns no rows."""
        for _ in self.batches(statement):
            pass

    def table(self, query: str, types: Mapping[str, str]) -> pa.Table:
        """Return the rows of a query as Arrow columns."""
        if not self._typed:
            # SQLite's driver infers types from the first rows: start with a row of each type
            row = ", ".join(f"{_TYPE_SAMPLES[kind]} AS {name}" for name, kind in types.items())
            query = f"SELECT {row} UNION ALL SELECT * FROM ({query}) AS q"
        rows = self._fetch(query)
        rows = rows if self._typed else rows.slice(1)
        return rows.cast(pa.schema([(name, ARROW_TYPES[kind]) for name, kind in types.items()]))

    def has_table(self, name: str) -> bool:
        """Return whether the history has a table."""
        condition = (
            f"pg_tables WHERE schemaname = current_schema() AND tablename = '{name}'"
            if self._typed
            else f"sqlite_master WHERE type = 'table' AND name = '{name}'"
        )
        [(count,)] = self.rows(f"SELECT COUNT(*) AS n FROM {condition}", {"n": "integer"})
        return bool(count)

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """Return the rows of a query, some at a time."""
        with self._execute(query, {}) as rows:
            yield from _iterate(rows)

    def frame(self, query: str) -> pd.DataFrame:
        """Return the rows of a user's query."""
        # all rows in one batch, because the types are inferred from the first batch
        options = {} if self._typed else {_BATCH_ROWS_OPTION: str(2**30)}
        frame: pd.DataFrame = self._fetch(query, options).to_pandas()
        return frame

    def _fetch(self, query: str, options: Mapping[str, str] = {}) -> pa.Table:
        with self._execute(query, options) as rows:
            # by a generator, so that Ctrl-C is noticed between two batches
            return pa.Table.from_batches(_iterate(rows), rows.schema)

    @contextlib.contextmanager
    def _execute(self, query: str, options: Mapping[str, str]) -> Iterator[pa.RecordBatchReader]:
        with AdbcStatement(self._connection) as statement:
            statement.set_options(**options)
            statement.set_sql_query(query)
            stream, _ = statement.execute_query()
            with pa.RecordBatchReader.from_stream(stream) as rows:
                yield rows


def _iterate(rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yield the batches; an error of the database is a `ReadError`."""
    batches = iter(rows)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except (pa.ArrowException, OSError) as error:
            raise ReadError(str(error)) from error
        yield batch
