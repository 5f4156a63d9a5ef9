"""Data files of a report, parsed."""

import csv
import io
import json
from typing import Any

import pandas as pd

from backupkit.assessment import Assessment
from backupkit.reports.columns import stream_csv
from backupkit.reports.exports import stream_json

__all__ = ["parse_csv", "parse_json"]


def parse_json(assessment: Assessment) -> dict[str, Any]:
    """Return the JSON document of an assessment."""
    document: dict[str, Any] = json.loads(b"".join(stream_json(assessment)))
    return document


def parse_csv(frame: pd.DataFrame) -> list[dict[str, str]]:
    """Return the rows of the CSV file of a frame."""
    text = b"".join(stream_csv(frame)).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))
