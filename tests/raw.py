"""Raw access to the tables of a history, past backupkit."""

# ruff: noqa: S608 # all statements are our own

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

TABLES = (
    "history",
    "texts",
    "messages",
    "appliances",
    "appends",
    "jobs",
    "observations_apart",
    "polls",
    "schedules",
)
"""All tables; a table refers only to those before it."""

Dump = dict[str, list[tuple[Any, ...]]]


@contextlib.contextmanager
def connected(uri: str) -> Iterator[Any]:
    """Connect to the database of a history, without foreign keys."""
    if uri.startswith("postgresql:"):
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute("SET search_path TO backupkit")
            connection.execute("SET session_replication_role TO replica")  # no foreign keys
            yield connection
    else:
        with contextlib.closing(sqlite3.connect(uri, isolation_level=None)) as connection:
            yield connection


def run(uri: str, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a statement with ``?`` for each parameter, and return its rows."""
    with connected(uri) as connection:
        mark = "%s" if uri.startswith("postgresql:") else "?"
        cursor = connection.execute(query.replace("?", mark), tuple(parameters))
        return cursor.fetchall() if cursor.description else []


def columns_of(uri: str, table: str) -> list[str]:
    """Return the names of a table's columns."""
    with connected(uri) as connection:
        cursor = connection.execute(f"SELECT * FROM {table} WHERE 1 = 0")
        return [str(column[0]) for column in cursor.description]


def dump(uri: str) -> Dump:
    """Return all rows of all tables."""
    with connected(uri) as connection:
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}


def restore(uri: str, rows: Dump) -> None:
    """Replace all rows by those of a dump."""
    mark = "%s" if uri.startswith("postgresql:") else "?"
    with connected(uri) as connection:
        cursor = connection.cursor()
        for table in reversed(TABLES):
            cursor.execute(f"DELETE FROM {table}")
        for table in TABLES:
            for row in rows[table]:
                marks = ", ".join([mark] * len(row))
                cursor.execute(f"INSERT INTO {table} VALUES ({marks})", row)
