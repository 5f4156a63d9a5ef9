"""Table contracts: names and dtypes, in memory and on disk."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from backupkit.errors import TableError
from backupkit.tables.contract import (
    COUNT,
    FLAG,
    MESSAGE_LIST,
    NUMBER,
    SPAN,
    TEXT,
    TEXT_LIST,
    TIME,
    Column,
    Table,
)
from backupkit.tables.dtypes import MESSAGES
from tests.conftest import repeats

THINGS = Table(
    "things",
    (
        Column("name", TEXT, "The key."),
        Column("seen", TIME, "When.", "UTC"),
        Column("took", SPAN, "How long.", "s"),
        Column("jobs", COUNT, "How many."),
        Column("share", NUMBER, "Of all."),
        Column("ok", FLAG, "Whether."),
        Column("said", MESSAGE_LIST, "What."),
        Column("parts", TEXT_LIST, "Which."),
    ),
)
KEYED = Table("keyed", THINGS.columns, index="name")

NOON = datetime(2026, 11, 9, 12, tzinfo=UTC)
SAID = [{"id": "x", "default_message": "No.", "args": ["a", None], "localized": None}]
VALUES: dict[str, list[Any]] = {
    "name": ["a", None],
    "seen": [NOON, None],
    "took": [timedelta(microseconds=1), None],
    "jobs": [2**63 - 1, None],
    "share": [0.5, None],
    "ok": [False, None],
    "said": [SAID, None],
    "parts": [[], None],
}


class TestColumn:
    """`Column`."""

    @pytest.mark.parametrize(
        ("name", "in_memory", "stored"),
        [
            ("name", pa.string(), pa.string()),
            ("seen", pa.timestamp("us", tz="UTC"), pa.timestamp("us", tz="UTC")),
            ("took", pa.duration("us"), pa.int64()),
            ("jobs", pa.int64(), pa.int64()),
            ("share", pa.float64(), pa.float64()),
            ("ok", pa.bool_(), pa.bool_()),
            ("said", MESSAGES.pyarrow_dtype, MESSAGES.pyarrow_dtype),
            ("parts", pa.list_(pa.string()), pa.list_(pa.string())),
        ],
    )
    def test_arrow(self, name: str, in_memory: pa.DataType, stored: pa.DataType) -> None:
        """Durations are stored as full microseconds, all other values unchanged."""
        [column] = [column for column in THINGS if column.name == name]
        assert column.in_memory == in_memory
        assert column.arrow == stored


class TestFrame:
    """`Table.frame`."""

    def test_values(self) -> None:
        """Every value is unchanged, and None is missing."""
        frame = THINGS.frame(VALUES)
        assert list(frame.columns) == THINGS.names
        assert [str(dtype) for dtype in frame.dtypes] == [str(one.dtype) for one in THINGS]
        assert frame.iloc[0].to_dict() == {name: values[0] for name, values in VALUES.items()}
        assert frame.iloc[1].isna().all()

    def test_left_out(self) -> None:
        """A column left out has only missing values."""
        frame = THINGS.frame({"name": ["a", "b"]})
        assert len(frame) == 2
        assert frame.drop(columns="name").isna().all(axis=None)

    def test_index(self) -> None:
        """The key of a keyed table is the index and no column."""
        frame = KEYED.frame({"name": ["a"], "jobs": [1]})
        assert frame.index.name == "name"
        assert frame.loc["a", "jobs"] == 1
        assert "name" not in frame

    def test_labels_are_ignored(self) -> None:
        """Series are combined by position, whatever their labels."""
        names = pd.Series(["x", "a", "y", "b"])[[1, 3]]
        assert THINGS.frame({"name": names, "jobs": [1, 2]})["name"].to_list() == ["a", "b"]

    def test_unknown(self) -> None:
        """An unknown column is an error."""
        with pytest.raises(TableError, match=r"^things: unknown column \['nme'\]; known: \['name'"):
            THINGS.frame({"nme": ["a"]})

    def test_short(self) -> None:
        """Columns of different lengths are an error."""
        with pytest.raises(TableError, match=r"^things: expected 2 rows, got fewer in \['jobs'\]"):
            THINGS.frame({"name": ["a", "b"], "jobs": [1]})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("jobs", 1.5),
            ("jobs", "many"),
            ("jobs", 2**63),
            ("share", "half"),
            ("ok", "yes"),
            ("ok", 2),
            ("seen", "noon"),
            ("took", "long"),
            ("said", "text"),
            ("parts", 5),
            ("parts", [["a"]]),
            ("parts", ["\ud800"]),
        ],
    )
    def test_misfit(self, name: str, value: object) -> None:
        """A value of the wrong type is an error that names the column."""
        with pytest.raises(TableError, match=rf"^things: the values of '{name}' do not fit "):
            THINGS.frame({name: [value]})

    @pytest.mark.parametrize("table", [THINGS, KEYED])
    def test_empty(self, table: Table) -> None:
        """The frame without rows has the same columns and dtypes."""
        empty = table.empty()
        assert len(empty) == 0
        assert_frame_equal(empty, table.frame(VALUES).iloc[:0], check_index_type=False)


class TestConform:
    """`Table.conform`."""

    def test_conform(self) -> None:
        """Order and dtypes are set, columns added or dropped; the input is unchanged."""
        given_ = pd.DataFrame(
            {"jobs": [1, 2], "colour": ["r", "g"], "name": ["a", "b"]}, index=[7, 9]
        )
        before = given_.copy()
        frame = THINGS.conform(given_)
        assert_frame_equal(frame, THINGS.frame({"name": ["a", "b"], "jobs": [1, 2]}))
        assert_frame_equal(given_, before)

    def test_index_or_column(self) -> None:
        """The key of a keyed table may be the index or a column."""
        column = pd.DataFrame({"name": ["a"], "jobs": [1]})
        expected = KEYED.frame({"name": ["a"], "jobs": [1]})
        assert_frame_equal(KEYED.conform(column), expected)
        assert_frame_equal(KEYED.conform(column.set_index("name")), expected)

    def test_idempotent(self) -> None:
        """A frame of the contract stays as it is."""
        assert_frame_equal(THINGS.conform(THINGS.frame(VALUES)), THINGS.frame(VALUES))

    def test_misfit(self) -> None:
        """Values of the wrong type are an error."""
        with pytest.raises(TableError, match="'jobs' do not fit"):
            THINGS.conform(pd.DataFrame({"jobs": ["many"]}))


class TestCheck:
    """`Table.check`."""

    def test_same_object(self) -> None:
        """A correct frame is returned, and additional columns are allowed."""
        frame = THINGS.frame(VALUES).assign(colour="r")
        assert THINGS.check(frame) is frame
        keyed = KEYED.frame(VALUES)
        assert KEYED.check(keyed) is keyed

    def test_missing(self) -> None:
        """A missing column is named in the error."""
        with pytest.raises(TableError, match=r"^things: the column 'took' is missing\."):
            THINGS.check(THINGS.frame(VALUES).drop(columns="took"))

    def test_index(self) -> None:
        """A keyed table without its index is an error."""
        with pytest.raises(TableError, match=r"^keyed: expected the index 'name', got None\."):
            KEYED.check(THINGS.frame(VALUES))

    @pytest.mark.parametrize(
        ("name", "dtype"),
        [
            ("name", "object"),
            ("name", "category"),
            ("name", "string"),
            ("seen", "datetime64[ns, UTC]"),
            ("seen", "datetime64[us, Europe/Berlin]"),
            ("took", "timedelta64[ns]"),
            ("jobs", "Int32"),
            ("jobs", "Float64"),
            ("share", "float64"),
            ("ok", "object"),
            ("parts", "object"),
        ],
    )
    def test_dtype(self, name: str, dtype: str) -> None:
        """The dtype must match exactly."""
        frame = THINGS.frame(VALUES).iloc[1:].astype({name: dtype})
        with pytest.raises(TableError, match=rf"^things: the column '{name}' must be .*, got "):
            THINGS.check(frame)


class TestArrow:
    """`Table.to_arrow` and `Table.from_arrow`."""

    def test_schema(self) -> None:
        """Stored rows have the contract's schema."""
        stored = THINGS.to_arrow(THINGS.frame(VALUES))
        assert stored.schema == THINGS.arrow_schema
        assert stored.column("took").to_pylist() == [1, None]

    def test_round_trip(self) -> None:
        """Every value and dtype is the same after reading, the largest integer too."""
        frame = THINGS.frame(VALUES)
        assert_frame_equal(THINGS.from_arrow(THINGS.to_arrow(frame)), frame)

    def test_empty(self) -> None:
        """A frame without rows keeps its dtypes."""
        assert_frame_equal(THINGS.from_arrow(THINGS.to_arrow(THINGS.empty())), THINGS.empty())

    def test_wide_and_partial(self) -> None:
        """Large types and missing columns of other writers are read."""
        table = pa.table({"name": pa.array(["a"], pa.large_string()), "more": [1]})
        assert_frame_equal(THINGS.from_arrow(table), THINGS.frame({"name": ["a"]}))

    @pytest.mark.property
    @settings(max_examples=repeats(25, 200))
    @given(
        st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.none() | st.text(max_size=5),
                    "seen": st.none() | st.datetimes(timezones=st.just(UTC)),
                    "took": st.none() | st.timedeltas(timedelta(-100_000), timedelta(100_000)),
                    "jobs": st.none() | st.integers(-(2**63), 2**63 - 1),
                    "share": st.none() | st.floats(allow_nan=False),
                    "ok": st.none() | st.booleans(),
                    "said": st.none()
                    | st.lists(
                        st.fixed_dictionaries(
                            {
                                "id": st.text(max_size=3),
                                "default_message": st.text(max_size=3),
                                "args": st.lists(st.text(max_size=2), max_size=2),
                                "localized": st.none() | st.text(max_size=2),
                            }
                        ),
                        max_size=2,
                    ),
                    "parts": st.none() | st.lists(st.text(max_size=3), max_size=2),
                }
            ),
            max_size=4,
        )
    )
    def test_any_round_trip(self, rows: list[dict[str, object]]) -> None:
        """Values that fit the contract are unchanged on disk."""
        frame = THINGS.frame({name: [row[name] for row in rows] for name in THINGS.names})
        assert_frame_equal(THINGS.from_arrow(THINGS.to_arrow(frame)), frame)
