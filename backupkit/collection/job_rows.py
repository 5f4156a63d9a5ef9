"""Jobs of a CSV file: one row each, with the columns of an export or others."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from backupkit import wire
from backupkit.errors import BackupkitError, PayloadError, SettingsError, one_line
from backupkit.settings import parse_instant

__all__ = ["COLUMNS", "JobRow", "parse_columns", "read_rows"]

COLUMNS: Final = (
    *("appliance", "job_id", "state", "start_time", "end_time", "messages"),
    *("progress", "type", "size", "location", "build"),
)
"""Columns that are read; state and start_time are needed, and appliance unless it is named."""

_STATES: Final = {
    **dict.fromkeys(("SUCCEEDED", "SUCCESS", "SUCCESSFUL", "OK", "COMPLETED"), "SUCCEEDED"),
    **dict.fromkeys(("FAILED", "FAILURE", "ERROR"), "FAILED"),
    **dict.fromkeys(("INPROGRESS", "RUNNING", "OPEN"), "INPROGRESS"),
    "NONE": "NONE",
}
_SEPARATORS: Final = ",;\t"
_QUOTED_FORMULA: Final = re.compile(r"^'(?=[=+@-])")


class JobRow(NamedTuple):
    """Job of a row, or why it could not be read; both if a part of it could not.

    `number` is that of the row; the header is row 1.
    """

    number: int
    appliance: str
    job: wire.Job | None
    error: BackupkitError | None


def parse_columns(text: str) -> dict[str, str]:
    """Parse names of columns, as ``appliance=VM,start_time=Started``.

    Raises
    ------
    SettingsError
        If a name is none of `COLUMNS`, or has no other name.

    Examples
    --------
    >>> parse_columns("appliance=VM, start_time=Started at")
    {'appliance': 'VM', 'start_time': 'Started at'}
    """
    names: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        name, _, heading = (word.strip() for word in part.partition("="))
        if name not in COLUMNS or not heading:
            raise SettingsError(
                f'--columns: "{one_line(part)}" is not NAME=HEADING with a NAME of '
                f"{', '.join(COLUMNS)}; for example: --columns appliance=VM,start_time=Started"
            )
        names[name] = heading
    return names


def read_rows(
    text: str, *, columns: Mapping[str, str], appliance: str | None, zone: str | None
) -> Iterator[JobRow]:
    r"""Read the jobs of a CSV file, whose separator is a comma, a semicolon or a tab.

    Parameters
    ----------
    text : str
        Content of the file.
    columns : mapping of str to str
        Headings of columns that have other names.
    appliance : str, optional
        Name of the appliance of all rows.
    zone : str, optional
        Time zone of times that state none.

    Yields
    ------
    JobRow
        A row. One that is wrong has an error, and does not affect the others.

    Raises
    ------
    PayloadError
        If a needed column is missing.

    Examples
    --------
    >>> text = "VM,state,start_time\nvc-1,ok,2026-11-09T01:00Z\nvc-1,ok,yesterday\n"
    >>> rows = read_rows(text, columns={"appliance": "VM"}, appliance=None, zone=None)
    >>> [(row.number, row.job and row.job.state) for row in rows]
    [(2, 'SUCCEEDED'), (3, None)]
    """
    head = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    headings = {name: columns.get(name, name) for name in COLUMNS}
    needed = ["state", "start_time"] + (["appliance"] if appliance is None else [])
    present = [heading.strip() for heading in reader.fieldnames or ()]
    reader.fieldnames = present
    missing = [headings[name] for name in needed if headings[name] not in present]
    missing += [heading for heading in columns.values() if heading not in present]
    if missing:
        raise PayloadError(
            f'there is no column "{missing[0]}", but {", ".join(map(one_line, present)) or "none"}',
            advice="Name the columns, as --columns appliance=VM,start_time=Started.",
        )
    try:
        for number, row in enumerate(reader, start=2):
            cells = {
                name: _QUOTED_FORMULA.sub("", (row.get(heading) or "").strip())
                for name, heading in headings.items()
            }
            yield _read_row(number, cells, appliance or cells["appliance"], zone)
    except csv.Error as error:
        raise PayloadError(f"it is no CSV after row {reader.line_num}: {error}") from error


def _read_row(number: int, cells: Mapping[str, str], name: str, zone: str | None) -> JobRow:
    appliance = one_line(name)
    try:
        if not appliance:
            raise PayloadError("it names no appliance", advice="")
        job = _read_job(cells, zone)
    except BackupkitError as error:
        return JobRow(number, appliance, None, error)
    if job.read_error is None:
        return JobRow(number, appliance, job, None)
    return JobRow(number, appliance, job, PayloadError(job.read_error, advice=""))


def _read_job(cells: Mapping[str, str], zone: str | None) -> wire.Job:
    """Read the job of a row as its details of the API would be read."""
    times = {
        name: _parse_time(cells[name], name, zone).isoformat()
        for name in ("start_time", "end_time")
        if cells[name]
    }
    word = cells["state"].upper().replace(" ", "").replace("_", "")
    if word not in _STATES:
        raise PayloadError(
            f'state "{one_line(cells["state"], limit=40)}" is none of {", ".join(_STATES).lower()}',
            advice="",
        )
    job_id = cells["job_id"] or _build_id(times)
    record = {
        "status": _STATES[word],
        "progress": {"completed": _parse_number(cells["progress"]), "total": 100},
        "messages": [
            {"id": "imported", "default_message": line, "args": []}
            for line in cells["messages"].splitlines()
            if line.strip() not in {"", "[]"}
        ],
        "type": cells["type"] or None,
        "size": _parse_number(cells["size"]),
        "location": cells["location"] or None,
        "build": {"build_number": cells["build"] or None},
        **times,
    }
    return wire.read_job(job_id, record, source="details")


def _build_id(times: Mapping[str, str]) -> str:
    """Return the id of a job that has none: its start."""
    if "start_time" not in times:
        raise PayloadError("it has neither a job_id nor a start_time", advice="")
    return f"imported-{times['start_time']}"


def _parse_time(text: str, name: str, zone: str | None) -> datetime:
    try:
        return parse_instant(text, where=name, zone=zone).to_pydatetime()
    except SettingsError as error:
        hint = "" if zone else " Without a zone in the file, name it: --timezone Europe/Berlin."
        raise PayloadError(one_line(f"{error}{hint}", limit=300), advice="") from error


def _parse_number(text: str) -> float | None:
    """Return a number, whole if it is one; None if it is missing or no number."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else number
