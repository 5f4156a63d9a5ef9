"""The assessment for machines: everything as JSON, a row per expected run and per job as CSV."""

from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from backupkit.assessment import Assessment
from backupkit.display.wording import without_user
from backupkit.report.messages import messages_text

__all__ = ["SCHEMA_VERSION", "jobs_csv", "json_document", "slots_csv"]

SCHEMA_VERSION = 1
"""Raised when a key of the JSON document changes its meaning or goes away."""

_TABLES = (
    "fleet",
    "appliances",
    "intervals",
    "slots",
    "incidents",
    "failures",
    "coverage",
    "jobs",
    "schedules",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def json_document(assessment: Assessment) -> bytes:
    """Write the whole assessment as one JSON document.

    Parameters
    ----------
    assessment : Assessment
        The judgement of one period.

    Returns
    -------
    bytes
        UTF-8. Times are ISO 8601 in UTC; a duration's key ends in ``_seconds``; missing is null.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "start": assessment.start.isoformat(),
        "end": assessment.end.isoformat(),
        "generated_at": assessment.now.isoformat(),
        "policy": str(assessment.policy),
        "verdict": {
            name: getattr(assessment.verdict, name)
            for name in (
                "state",
                "sentence",
                "in_scope",
                "compliant",
                "breach",
                "unknown",
                "excluded",
                "unobserved",
            )
        },
        **{name: _records(getattr(assessment, name)) for name in _TABLES},
    }
    return msgspec.json.encode(document) + b"\n"


def slots_csv(assessment: Assessment) -> bytes:
    """Write one row per expected run.

    Parameters
    ----------
    assessment : Assessment
        Reads its slots.

    Returns
    -------
    bytes
        UTF-8, safe to open in a spreadsheet.
    """
    return _csv(assessment.slots)


def jobs_csv(jobs: pd.DataFrame) -> bytes:
    """Write one row per job, its messages whole.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.ASSESSED_JOBS`.

    Returns
    -------
    bytes
        UTF-8, safe to open in a spreadsheet.
    """
    said = [messages_text(cell) for cell in _plain(jobs["messages"])]
    return _csv(jobs.assign(messages=pd.Series(said, jobs.index, "str")))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    flat = frame.reset_index() if frame.index.name is not None else frame
    names = [_key(name, flat[name]) for name in flat.columns]
    columns = [_plain(flat[name]) for name in flat.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _csv(frame: pd.DataFrame) -> bytes:
    plain = pd.DataFrame(
        {_key(name, frame[name]): _cells(frame[name]) for name in frame.columns}, dtype=object
    )
    return plain.to_csv(index=False, lineterminator="\r\n").encode()


def _key(name: str, column: pd.Series) -> str:
    return f"{name}_seconds" if column.dtype.kind == "m" else name


def _cells(column: pd.Series) -> list[Any]:
    """Give a column's values, with no text that a spreadsheet would run as a formula."""
    values = _plain(column)
    if column.dtype != "str":
        return values
    return [
        f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
        for value in values
    ]


def _plain(column: pd.Series) -> list[Any]:
    """Give a column's values as JSON knows them; users in URIs are taken out of text."""
    kind = column.dtype.kind
    if kind == "M":
        # a zone-aware column would become Python objects one by one
        texts = np.datetime_as_string(column.dt.tz_localize(None).to_numpy(), unit="us")
        return [None if text == "NaT" else f"{text}Z" for text in texts.tolist()]
    if kind == "m":
        return [None if np.isnan(span) else span for span in column.dt.total_seconds().tolist()]
    if column.dtype == "str":
        return [without_user(text) if isinstance(text, str) else None for text in column.tolist()]
    return [_without_users(value) for value in pa.array(column).to_pylist()]


def _without_users(value: object) -> object:
    match value:
        case str():
            return without_user(value)
        case list():
            return [_without_users(part) for part in value]
        case dict():
            return {key: _without_users(part) for key, part in value.items()}
        case _:
            return value
