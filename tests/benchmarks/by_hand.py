"""Reads of a history by hand-written statements: by ADBC, and by an index with the usual driver.

They return numbers instead of names, texts and states, and no order: less than a history returns.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

__all__ = ["ByHand"]

JOBS = (
    "SELECT id, appliance_id, job_id, state, status, progress, start_time, end_time, messages, "
    "type, size, location, build, source, outcome, first_seen_at, last_seen_at, vanished_at "
    "FROM jobs"
)
OBSERVATIONS = (
    "SELECT j.appliance_id, j.job_id, o.observed_at, o.state, o.status, o.progress, o.start_time, "
    "o.end_time, o.messages, o.type, o.size, o.location, o.build, o.source "
    "FROM observations o JOIN jobs j ON j.id = o.job"
)
SEARCH = "SET search_path TO backupkit"
BATCH = 65_536
"""Rows that ADBC reads at once."""


class ByHand:
    """Two open connections to the database of a history.

    Parameters
    ----------
    place : str
        Path of the file, or the URL of PostgreSQL.
    """

    def __init__(self, place: str) -> None:
        self._is_file = "://" not in place
        self._arrow: Any
        self._rows: Any
        if self._is_file:
            import adbc_driver_sqlite.dbapi  # noqa: PLC0415 # it imports polars

            self._arrow = adbc_driver_sqlite.dbapi.connect(place)
            self._rows = sqlite3.connect(place)
        else:
            import adbc_driver_postgresql.dbapi  # noqa: PLC0415
            import psycopg  # noqa: PLC0415

            self._arrow = adbc_driver_postgresql.dbapi.connect(place)
            self._rows = psycopg.connect(place, autocommit=True)
            self._rows.execute(SEARCH)
            with self._arrow.cursor() as cursor:
                cursor.execute(SEARCH)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._arrow.close()
        self._rows.close()

    def jobs(self) -> int:
        """Read all jobs as Arrow columns, and return how many they are."""
        return self._table(JOBS)

    def observations(self) -> int:
        """Read all observations as Arrow columns, and return how many they are."""
        return self._table(OBSERVATIONS)

    def jobs_since(self, moment: int) -> int:
        """Read the jobs last seen since a moment [us since 1970] as Arrow columns."""
        return self._table(f"{JOBS} WHERE last_seen_at >= {moment}")

    def jobs_of(self, name: str) -> int:
        """Read one appliance's jobs as rows, by an index."""
        number = self._execute("SELECT id FROM appliances WHERE name = ?", [name])[0][0]
        return len(self._execute(f"{JOBS} WHERE appliance_id = ?", [number]))

    def known(self, listed: Mapping[str, Sequence[str]]) -> int:
        """Look up the listed jobs of each appliance by key, and return how many are known."""
        numbers = dict(self._execute("SELECT name, id FROM appliances", []))
        found = 0
        for name, job_ids in listed.items():
            marks = ", ".join("?" * len(job_ids))
            query = f"SELECT job_id, outcome FROM jobs WHERE job_id IN ({marks})"  # noqa: S608 # marks
            found += len(self._execute(f"{query} AND appliance_id = ?", [*job_ids, numbers[name]]))
        return found

    def _table(self, query: str) -> int:
        with self._arrow.cursor() as cursor:
            if self._is_file:
                cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(BATCH)})
            cursor.execute(query)
            return int(cursor.fetch_arrow_table().num_rows)

    def _execute(self, query: str, values: Sequence[object]) -> list[Any]:
        query = query if self._is_file else query.replace("?", "%s")
        rows: list[Any] = self._rows.execute(query, values).fetchall()
        return rows
