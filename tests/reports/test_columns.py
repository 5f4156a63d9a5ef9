"""Frames as JSON and CSV: each value as its own encoder would write it."""

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit.reports.columns import stream_csv, stream_records
from backupkit.tables.dtypes import COUNT, FLAG, MESSAGES, NUMBER, TEXT, TEXTS, TIME
from backupkit.texts import escape_formula, mask_user

TEXT_VALUES = ["plain", "", 'quo"te, and', "=1+1", "a\nb", "back\\slash", "\x00", "ü", None]
MESSAGE = {"id": "a.b", "default_message": "Disk full", "args": ["x", None], "localized": None}
MANY = 20_000
"""Rows; more than are encoded at once."""

texts = st.lists(st.none() | st.text(st.characters(codec="utf-8")) | st.sampled_from(TEXT_VALUES))


def frame_of(values: Iterable[Any], dtype: Any) -> pd.DataFrame:  # noqa: ANN401 # as of `Column`
    """Return a frame of a number and of values."""
    column = pd.Series(list(values), dtype=dtype)
    return pd.DataFrame({"n": range(len(column)), "x": column})


def records_of(frame: pd.DataFrame) -> list[Any]:
    """Return the values of the column x in JSON."""
    return [row["x"] for row in json.loads(b"".join(stream_records(frame)))]


def cells_of(frame: pd.DataFrame) -> list[str]:
    """Return the cells of the column x in CSV."""
    text = b"".join(stream_csv(frame)).decode()
    return [row[1] for row in list(csv.reader(io.StringIO(text, newline="")))[1:]]


@pytest.mark.parametrize(
    ("dtype", "values", "records", "cells"),
    [
        (COUNT, [7, -1, None], [7, -1, None], ["7", "-1", ""]),
        (
            NUMBER,
            [0.1, 100.0, 1e22, None, float("inf")],
            [0.1, 100.0, 1e22, None, None],
            ["0.1", "100.0", "1e+22", "", "inf"],
        ),
        (FLAG, [True, False, None], [True, False, None], ["True", "False", ""]),
        (
            TIME,
            ["2026-11-08T01:00:00Z", "2026-11-08T01:00:00.000001Z", None],
            ["2026-11-08T01:00:00.000000Z", "2026-11-08T01:00:00.000001Z", None],
            ["2026-11-08T01:00:00.000000Z", "2026-11-08T01:00:00.000001Z", ""],
        ),
        (
            TEXT,
            ["a", 'b"', "sftp://joe:secret@nas/vc", "=1", "", None],
            ["a", 'b"', "sftp://***@nas/vc", "=1", "", None],
            ["a", 'b"', "sftp://***@nas/vc", "'=1", "", ""],
        ),
    ],
)
def test_values(dtype: str, values: list[Any], records: list[Any], cells: list[str]) -> None:
    """Each value has its form in JSON and CSV, and a missing one is null or empty."""
    frame = frame_of(values, dtype)
    assert records_of(frame) == records
    assert cells_of(frame) == cells


def test_durations() -> None:
    """Durations are seconds, and the name of the column says so."""
    frame = pd.DataFrame({"x": pd.to_timedelta([90, None], unit="s")})
    assert json.loads(b"".join(stream_records(frame))) == [
        {"x_seconds": 90.0},
        {"x_seconds": None},
    ]
    assert b"".join(stream_csv(frame)).splitlines()[:2] == [b"x_seconds", b"90.0"]


def test_not_a_number_is_missing() -> None:
    """A figure that is not a number is null in JSON, which has no other word, and empty in CSV."""
    frame = frame_of([0.0, 1.0], NUMBER)
    frame["x"] = frame["x"] / frame["x"]
    assert records_of(frame) == [None, 1.0]
    assert cells_of(frame) == ["", "1.0"]


def test_lists() -> None:
    """Lists are arrays; a missing one is null."""
    lists = [["a", 'b"', None], [], None, ["sftp://joe@nas"]]
    assert records_of(frame_of(lists, TEXTS)) == [
        ["a", 'b"', None],
        [],
        None,
        ["sftp://***@nas"],
    ]


def test_messages() -> None:
    """JSON has whole messages, and CSV the most readable form of each, without users."""
    other = {**MESSAGE, "localized": "Kein Platz auf sftp://joe:secret@nas", "args": None}
    bare: dict[str, Any] = {"id": "c.d", "default_message": "", "args": [], "localized": None}
    blank = {"id": None, "default_message": "", "args": None, "localized": ""}
    frame = frame_of([[MESSAGE, other], [], None, [bare, blank, None]], MESSAGES)
    masked = {**other, "localized": "Kein Platz auf sftp://***@nas"}
    assert records_of(frame) == [[MESSAGE, masked], [], None, [bare, blank, None]]
    assert cells_of(frame) == ["Disk full\nKein Platz auf sftp://***@nas", "", "", "c.d"]
    # rows of a larger frame
    assert cells_of(frame.iloc[2:]) == ["", "c.d"]
    assert records_of(frame.iloc[3:]) == [[bare, blank, None]]


def test_an_index_is_a_column() -> None:
    """A named index is the first column."""
    frame = pd.DataFrame({"x": [1]}, index=pd.Index(["vc-1"], name="appliance"))
    assert b"".join(stream_csv(frame)) == b"appliance,x\r\nvc-1,1\r\n"
    assert b"".join(stream_records(frame)) == b'[{"appliance":"vc-1","x":1}]'


def test_no_rows() -> None:
    """Without a row, JSON has an empty array and CSV the names."""
    frame = frame_of([], TEXT)
    assert b"".join(stream_records(frame)) == b"[]"
    assert b"".join(stream_csv(frame)) == b"n,x\r\n"


def test_many_rows() -> None:
    """Rows are encoded in several pieces, which join to all rows in order."""
    frame = frame_of([f"job {number}" for number in range(MANY)], TEXT)
    pieces = list(stream_records(frame))
    assert len(pieces) > 3
    assert records_of(frame) == cells_of(frame) == frame["x"].to_list()


@given(texts)
def test_any_text(values: list[str | None]) -> None:
    """Any text is encoded as the JSON encoder and the CSV writer would."""
    frame = frame_of(values, TEXT)
    masked = [None if value is None else mask_user(value) for value in values]
    assert records_of(frame) == masked
    assert b"".join(stream_csv(frame)).decode() == written_by_csv(masked)


def written_by_csv(values: list[str | None]) -> str:
    """Return what the CSV writer makes of the values, with formulas escaped."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(["n", "x"])
    writer.writerows(
        (number, None if value is None else escape_formula(value))
        for number, value in enumerate(values)
    )
    return file.getvalue()
