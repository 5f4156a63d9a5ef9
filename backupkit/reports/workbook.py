"""Excel workbook of an assessment: one sheet per table, without formulas, reproducible."""

import io
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from backupkit.assessment import Assessment
from backupkit.errors import OutputError, describe_installation
from backupkit.reports.columns import build_export_name, join_messages
from backupkit.reports.days import build_days_frame
from backupkit.reports.exports import build_trend_rows, select_table
from backupkit.tables.dtypes import MESSAGES, TEXTS
from backupkit.texts import mask_user, replace_controls

if TYPE_CHECKING:
    from xlsxwriter import Workbook

__all__ = ["build_workbook"]

_SHEETS: Final = {
    "Appliances": "appliances",
    "Expected runs": "slots",
    "Incidents": "incidents",
    "Failures": "failures",
    "Jobs": "jobs",
    "Schedules": "schedules",
    "Checks": "lint",
    "SSO domains": "inventory",
    "Sources": "coverage",
    "Fleet": "fleet",
    "Groups": "groups",
}
_MAX_ROWS: Final = 1_048_576  # the limit of the format
_MAX_TEXT_LENGTH: Final = 32_767  # characters of a cell, the limit of the format
_TRUNCATED: Final = "... (cut; the .json file has all)"
_WIDTH_RANGE: Final = (10, 60)
_OPTIONS: Final = {
    "in_memory": True,
    "default_date_format": "yyyy-mm-dd hh:mm:ss",
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
}


def build_workbook(assessment: Assessment) -> bytes:
    """Return an assessment as an Excel workbook: the verdict, and one sheet for each of 13 tables.

    Times are UTC. Durations are seconds; their column names end in ``_seconds``. No text is a
    formula.

    Raises
    ------
    OutputError
        If XlsxWriter is not installed.
    """
    try:
        import xlsxwriter  # noqa: PLC0415 # an extra
    except ImportError as error:
        raise OutputError(
            f"A spreadsheet needs XlsxWriter. {describe_installation('xlsx')}"
        ) from error
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, _OPTIONS) as book:
        # else the file holds the present time, and its bytes are not reproducible
        book.set_properties({"created": assessment.now.tz_localize(None).to_pydatetime()})
        _add_sheet(book, "Verdict", ("What", "Value"), _list_facts(assessment), (24, 80))
        frames = {title: select_table(assessment, name) for title, name in _SHEETS.items()}
        frames |= {"Days": build_days_frame(assessment), "Trend": build_trend_rows(assessment)}
        for title, frame in frames.items():
            flat = frame.reset_index() if frame.index.name is not None else frame
            names = [build_export_name(str(column), flat[column]) for column in flat]
            columns = [_to_cells(flat[column]) for column in flat]
            widths = [
                _choose_width(head, cells) for head, cells in zip(names, columns, strict=True)
            ]
            _add_sheet(book, title, names, zip(*columns, strict=True), widths)
    return content.getvalue()


def _list_facts(assessment: Assessment) -> list[tuple[str, str]]:
    return [
        ("Period", assessment.period_name),
        ("Period [UTC]", f"{assessment.start:%Y-%m-%d %H:%M} to {assessment.end:%Y-%m-%d %H:%M}"),
        ("Verdict on the period", assessment.period_verdict.heading),
        ("In a sentence", assessment.period_verdict.sentence),
        (f"Verdict {assessment.moment}", assessment.verdict.heading),
        ("In a sentence", assessment.verdict.sentence),
        ("As of [UTC]", f"{assessment.now:%Y-%m-%d %H:%M}"),
        ("Policy", str(assessment.policy)),
        ("History digest", assessment.version),
    ]


def _add_sheet(
    book: "Workbook",
    title: str,
    names: Sequence[str],
    rows: Iterable[tuple[Any, ...]],
    widths: Sequence[int],
) -> None:
    sheet = book.add_worksheet(title)
    sheet.freeze_panes(1, 1)
    sheet.write_row(0, 0, names, book.add_format({"bold": True}))
    for column, width in enumerate(widths):
        sheet.set_column(column, column, width)
    written = 0
    for written, row in enumerate(islice(rows, _MAX_ROWS - 1), start=1):  # the other files hold all
        for number, value in enumerate(row):
            if value is not None:
                sheet.write(written, number, value)
    sheet.autofilter(0, 0, written, len(names) - 1)


def _to_cells(column: pd.Series) -> list[Any]:
    """Return the values of a column as spreadsheet types."""
    if column.dtype.kind == "M":
        times: list[Any] = column.dt.tz_localize(None).to_numpy("datetime64[s]").tolist()
        return times
    if column.dtype.kind == "m":
        return [None if np.isnan(span) else span for span in column.dt.total_seconds().tolist()]
    if column.dtype == "str":
        return _clean_texts(column.tolist())
    if column.dtype == MESSAGES:
        return _clean_texts(join_messages(column))
    values: list[Any] = pa.array(column).to_pylist()
    if column.dtype == TEXTS:
        return _clean_texts([None if value is None else ", ".join(value) for value in values])
    return values


def _clean_texts(texts: Sequence[Any]) -> list[str | None]:
    """Clean texts, each distinct one once; users in URIs are masked."""
    cleaned = {text: _clean_text(mask_user(text)) for text in set(texts) if isinstance(text, str)}
    return [cleaned.get(text) for text in texts]


def _clean_text(text: str) -> str | None:
    clean = replace_controls(text)
    if len(clean) > _MAX_TEXT_LENGTH:
        clean = clean[: _MAX_TEXT_LENGTH - len(_TRUNCATED)] + _TRUNCATED
    return clean or None


def _choose_width(name: str, cells: Sequence[Any]) -> int:
    """Return a column width from its name and its first 100 cells [characters]."""
    lengths = [len(str(cell)) for cell in cells[:100] if cell is not None]
    return min(max(len(name) + 3, *lengths, _WIDTH_RANGE[0]), _WIDTH_RANGE[1])
