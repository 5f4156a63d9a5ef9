"""Excel workbook of an assessment: one sheet per table, without formulas, reproducible."""

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from backupkit.assessment import Assessment
from backupkit.errors import OutputError
from backupkit.reports.exports import (
    export_name,
    messages_text,
    to_json_values,
    without_controls,
)
from backupkit.tables.contract import MESSAGES

if TYPE_CHECKING:
    from openpyxl.workbook import Workbook
    from openpyxl.worksheet._write_only import WriteOnlyWorksheet

__all__ = ["workbook"]

_SHEETS: Final = {
    "Appliances": "appliances",
    "Expected runs": "slots",
    "Incidents": "incidents",
    "Failures": "failures",
    "Jobs": "jobs",
    "Schedules": "schedules",
    "Checks": "lint",
    "Sources": "coverage",
    "Fleet": "fleet",
    "Groups": "groups",
}
_ROWS: Final = 1_048_576  # the limit of the format
_TEXT_LENGTH: Final = 32_767  # characters of a cell, the limit of the format
_TRUNCATED: Final = "... (cut; the .json file has all)"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time of the zip format
_STAMPS: Final = re.compile(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*")
_WIDTHS: Final = (10, 60)


def workbook(assessment: Assessment) -> bytes:
    """Return an assessment as an Excel workbook.

    Parameters
    ----------
    assessment : Assessment
        Assessment of one period.

    Returns
    -------
    bytes
        An ``.xlsx`` file: the verdict, and one sheet for each of ten tables. Times are UTC.
        Durations are seconds; their column names end in ``_seconds``. No text is a formula.

    Raises
    ------
    OutputError
        If openpyxl is not installed.
    """
    try:
        import openpyxl  # noqa: PLC0415 # an extra
    except ImportError as error:
        raise OutputError(
            "A spreadsheet needs openpyxl. Install it with: pip install 'backupkit[xlsx]'"
        ) from error
    book = openpyxl.Workbook(write_only=True)
    _sheet(book, "Verdict", ("What", "Value"), _facts(assessment), (24, 80))
    for title, name in _SHEETS.items():
        frame = getattr(assessment, name)
        flat = frame.reset_index() if frame.index.name is not None else frame
        names = [export_name(str(column), flat[column]) for column in flat]
        columns = [_cells(flat[column]) for column in flat]
        widths = [_width(head, cells) for head, cells in zip(names, columns, strict=True)]
        _sheet(book, title, names, zip(*columns, strict=True), widths)
    content = io.BytesIO()
    book.save(content)
    stamp = f"{assessment.now:%Y-%m-%dT%H:%M:%SZ}".encode()
    return _normalise_zip(content.getvalue(), stamp)


def _facts(assessment: Assessment) -> list[tuple[str, str]]:
    return [
        ("Verdict", assessment.verdict.state),
        ("In a sentence", assessment.verdict.sentence),
        ("Period [UTC]", f"{assessment.start:%Y-%m-%d %H:%M} to {assessment.end:%Y-%m-%d %H:%M}"),
        ("As of [UTC]", f"{assessment.now:%Y-%m-%d %H:%M}"),
        ("Policy", str(assessment.policy)),
        ("History digest", assessment.version),
    ]


def _sheet(
    book: "Workbook",
    title: str,
    names: Sequence[str],
    rows: Any,  # noqa: ANN401 # an iterable of tuples of any cells
    widths: Sequence[int],
) -> None:
    from openpyxl.utils.cell import get_column_letter  # noqa: PLC0415 # an extra

    sheet = book.create_sheet(title)
    sheet.freeze_panes = "B2"
    for number, width in enumerate(widths, start=1):
        sheet.column_dimensions[get_column_letter(number)].width = width
    sheet.append(list(_bold(sheet, names)))
    written = 1
    for row in rows:
        if written == _ROWS:  # the other files hold every row
            break
        sheet.append([_cell(sheet, value) for value in row])
        written += 1
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(names))}{written}"


def _bold(sheet: "WriteOnlyWorksheet", names: Sequence[str]) -> Iterator[Any]:
    from openpyxl.cell.cell import WriteOnlyCell  # noqa: PLC0415 # an extra
    from openpyxl.styles.fonts import Font  # noqa: PLC0415 # an extra

    for name in names:
        cell = WriteOnlyCell(sheet, value=name)
        cell.font = Font(bold=True)
        yield cell


def _cell(sheet: "WriteOnlyWorksheet", value: object) -> Any:  # noqa: ANN401 # a cell or a value
    """Return the cell of a value; a text that looks like a formula stays text."""
    if not isinstance(value, str) or not value.startswith(("=", "#")):
        return value
    from openpyxl.cell.cell import WriteOnlyCell  # noqa: PLC0415 # an extra

    cell = WriteOnlyCell(sheet, value=value)
    cell.data_type = "s"
    return cell


def _cells(column: pd.Series) -> list[Any]:
    """Return the values of a column as spreadsheet types."""
    if column.dtype == MESSAGES:
        return [_text(messages_text(cell)) for cell in to_json_values(column)]
    if column.dtype.kind == "M":
        times = column.dt.tz_localize(None).dt.floor("s").astype("object")
        return [None if pd.isna(time) else time.to_pydatetime() for time in times]
    return [_value(value) for value in to_json_values(column)]


def _value(value: object) -> object:
    match value:
        case str():
            return _text(value)
        case list():
            return _text(", ".join(map(str, value)))
        case _:
            return value


def _text(text: str) -> str | None:
    clean = without_controls(text)
    if len(clean) > _TEXT_LENGTH:
        clean = clean[: _TEXT_LENGTH - len(_TRUNCATED)] + _TRUNCATED
    return clean or None


def _width(name: str, cells: Sequence[Any]) -> int:
    """Return a column width from its name and its first 100 cells [characters]."""
    lengths = [len(str(cell)) for cell in cells[:100] if cell is not None]
    return min(max(len(name) + 3, *lengths, _WIDTHS[0]), _WIDTHS[1])


def _normalise_zip(content: bytes, stamp: bytes) -> bytes:
    """Repack a workbook with fixed timestamps and file order, so its bytes are reproducible."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in sorted(old.namelist(), key=lambda name: (name != "[Content_Types].xml", name)):
            member = old.read(name)
            if name == "docProps/core.xml":
                member = _STAMPS.sub(rb"\g<1>" + stamp, member)
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            new.writestr(entry, member)
    return packed.getvalue()
