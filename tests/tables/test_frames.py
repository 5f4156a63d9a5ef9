"""The columns of the frames: one meaning, one unit, one dtype each."""

import re

import pandas as pd
import pytest

from backupkit import tables
from backupkit.tables import APPLIANCES, JOBS, OBSERVATIONS, SLOT_STATES, STATES, Table
from backupkit.tables.dtypes import COUNT, FLAG, MESSAGES, NUMBER, SPAN, TEXT, TEXTS, TIME

TABLES = [value for value in vars(tables).values() if isinstance(value, Table)]
COLUMNS = [(table, column) for table in TABLES for column in table]


class TestColumns:
    """Names, units and dtypes."""

    @pytest.mark.parametrize(
        ("table", "column"), COLUMNS, ids=[f"{t.name}.{c.name}" for t, c in COLUMNS]
    )
    def test_documented(self, table: Table, column: tables.Column) -> None:
        """Every column has a snake_case name, a sentence, and a unit where its dtype has one."""
        assert re.fullmatch("[a-z][a-z_]*", column.name), table.name
        assert re.fullmatch(r"(?s)\S.*\.", column.meaning)
        if column.dtype == TIME:
            assert column.unit == "UTC"
        elif column.dtype == SPAN:
            assert column.unit == "s"
        elif column.dtype not in (COUNT, NUMBER):
            assert column.unit == ""

    @pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
    def test_names(self, table: Table) -> None:
        """Names differ within a table, and the index is one of them."""
        assert len(set(table.names)) == len(table.names)
        assert table.index in ("", *table.names)

    @pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
    def test_frame(self, table: Table) -> None:
        """Every table's frame without rows passes its own check."""
        assert table.check(table.empty()).empty

    def test_table_names(self) -> None:
        """Table names are unique, and all tables are exported."""
        assert len({table.name for table in TABLES}) == len(TABLES)
        assert {name for name, value in vars(tables).items() if isinstance(value, Table)} <= set(
            tables.__all__
        )

    def test_dtypes(self) -> None:
        """Only the dtypes of the contract are used."""
        allowed = (TEXT, TIME, SPAN, COUNT, NUMBER, FLAG, MESSAGES, TEXTS)
        assert all(column.dtype in allowed for _, column in COLUMNS)
        assert pd.api.types.pandas_dtype(TEXT) == pd.Series(["a"]).dtype

    def test_one_name_one_dtype(self) -> None:
        """A time, a name or a key has the same dtype in every table."""
        shared = ("appliance", "job_id", "start_time", "end_time", "schedule", "site", "group")
        for name in shared:
            assert len({str(one.dtype) for _, one in COLUMNS if one.name == name}) == 1, name


class TestFrames:
    """Relations between tables."""

    def test_jobs_are_observations(self) -> None:
        """Jobs have the columns of observations, with first and last time seen."""
        more = ["duration", "outcome", "first_seen_at", "last_seen_at", "vanished_at"]
        shared = [name for name in OBSERVATIONS.names if name != "observed_at"]
        assert JOBS.names == [*shared, *more]

    def test_states(self) -> None:
        """An appliance has a time for each state, and a count for each slot state."""
        expected = [*STATES, *(f"slots_{state}" for state in SLOT_STATES)]
        assert set(expected) <= set(APPLIANCES.names)
