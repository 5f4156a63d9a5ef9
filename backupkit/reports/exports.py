"""Data files of an assessment: JSON with the policy and all tables, CSV of slots and of jobs."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from backupkit._version import __version__
from backupkit.analysis import choose_trend_steps, trend
from backupkit.assessment import Assessment, PeriodVerdict
from backupkit.policy import PARAMETERS, Exclusion, Policy
from backupkit.policy.policy import digest_of
from backupkit.reports.period import select_period_jobs
from backupkit.tables import (
    ANOMALIES,
    APPLIANCES,
    ASSESSED_JOBS,
    BASELINES,
    CLUSTER_TESTS,
    CLUSTERS,
    COVERAGE,
    FAILURE_COUNTS,
    FAILURES,
    GROUPS,
    INCIDENTS,
    INTERVALS,
    LINT,
    LOADS,
    METRICS,
    SCHEDULES,
    SLOTS,
    STATES,
    TREND,
    VERDICTS,
    WARNINGS,
    Table,
)
from backupkit.tables.contract import TEXT, Column
from backupkit.texts import escape_formula, mask_user

__all__ = [
    "SCHEMA_VERSION",
    "TABLES",
    "TREND_ROWS",
    "build_export_name",
    "build_json_document",
    "build_trend_rows",
    "format_appliances_csv",
    "format_csv",
    "format_jobs_csv",
    "format_messages",
    "format_slots_csv",
    "format_trend_csv",
    "format_verdicts_csv",
    "select_table",
    "to_json_values",
]

SCHEMA_VERSION: Final = 2
"""Version of the JSON document; increased if a key changes its meaning or is removed."""

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {
        "verdicts": VERDICTS,
        "fleet": METRICS,
        "groups": GROUPS,
        "appliances": APPLIANCES,
        "intervals": INTERVALS,
        "slots": SLOTS,
        "incidents": INCIDENTS,
        "failures": FAILURES,
        "failure_counts": FAILURE_COUNTS,
        "clusters": CLUSTERS,
        "cluster_tests": CLUSTER_TESTS,
        "baselines": BASELINES,
        "anomalies": ANOMALIES,
        "warnings": WARNINGS,
        "loads": LOADS,
        "lint": LINT,
        "coverage": COVERAGE,
        "jobs": ASSESSED_JOBS,
        "schedules": SCHEDULES,
    }
)
"""Frames of an assessment; in the document, each is a list of objects."""

TREND_ROWS: Final = Table(
    "trend rows",
    (Column("by", TEXT, "What the row is: day, week (ISO) or month."), *TREND.columns),
)
"""The trend in the data files: the days, and in a long period the weeks and months too."""


def build_json_document(assessment: Assessment, *, aliased: bool = False) -> bytes:
    """Return the whole assessment as one JSON document in UTF-8.

    It is valid against ``report.schema.json`` of this package. Times are ISO 8601 in UTC. Keys of
    durations end in ``_seconds``. Missing values are null.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "backupkit": __version__,
        "start": assessment.start.isoformat(),
        "end": assessment.end.isoformat(),
        "generated_at": assessment.now.isoformat(),
        "data_version": assessment.version,
        "aliased": aliased,
        "policy": build_policy_document(assessment.policy),
        "timezone": assessment.timezone,
        "period": assessment.period_name,
        "heading": assessment.heading,
        "period_verdict": _build_period_verdict(assessment.period_verdict),
        "verdict": {
            name: getattr(assessment.verdict, name)
            for name in ("state", "sentence", "in_scope", *STATES)
        },
        **{name: _build_records(select_table(assessment, name)) for name in TABLES},
        "trend": _build_records(build_trend_rows(assessment)),
    }
    return msgspec.json.encode(document) + b"\n"


def select_table(assessment: Assessment, name: str) -> pd.DataFrame:
    """Return a frame of an assessment; of the jobs, those that overlap the period."""
    if name == "jobs":
        return select_period_jobs(assessment)
    frame: pd.DataFrame = getattr(assessment, name)
    return frame


def _build_period_verdict(verdict: PeriodVerdict) -> dict[str, Any]:
    return {
        "state": verdict.state,
        "sentence": verdict.sentence,
        "targets": [
            {
                "metric": target.metric,
                "state": target.state,
                "value": target.ratio.value,
                "numerator": target.ratio.numerator,
                "denominator": target.ratio.denominator,
                "unit": target.ratio.unit,
                "target": target.ratio.target,
            }
            for target in verdict.targets
        ],
    }


def format_verdicts_csv(assessment: Assessment) -> bytes:
    """Return the verdicts on the fleet, each site and each group as CSV in UTF-8."""
    return format_csv(assessment.verdicts)


def build_trend_rows(assessment: Assessment) -> pd.DataFrame:
    """Return the trend by day, and in a long period by week and month, of `TREND_ROWS`."""
    start, end = assessment.start, assessment.end
    rows = [
        trend(assessment.intervals, assessment.slots, start=start, end=end, by=step)
        .reset_index()
        .assign(by=step)
        .astype({"by": "str"})
        for step in choose_trend_steps(start, end)
    ]
    return TREND_ROWS.conform(pd.concat(rows, ignore_index=True))


def format_appliances_csv(assessment: Assessment) -> bytes:
    """Return the appliances with all their figures as CSV in UTF-8, safe for a spreadsheet."""
    return format_csv(assessment.appliances.reset_index())


def format_trend_csv(assessment: Assessment) -> bytes:
    """Return the trend as CSV in UTF-8: a row per day, then per week and month if it is long."""
    return format_csv(build_trend_rows(assessment))


def format_slots_csv(assessment: Assessment) -> bytes:
    """Return the slots as CSV in UTF-8, safe to open in a spreadsheet."""
    return format_csv(assessment.slots)


def format_jobs_csv(jobs: pd.DataFrame) -> bytes:
    """Return the jobs as CSV in UTF-8, with uncut messages, safe to open in a spreadsheet."""
    texts = [format_messages(cell) for cell in to_json_values(jobs["messages"])]
    return format_csv(jobs.assign(messages=pd.Series(texts, jobs.index, "str")))


def build_policy_document(policy: Policy) -> dict[str, Any]:
    """Return a policy as a JSON-compatible document."""
    return {
        "sentence": str(policy),
        "digest": digest_of(policy),
        "numbers": _build_parameters(policy),
        "changes": _build_changes(policy),
        "named": [
            {"name": name, "numbers": _build_parameters(named), "changes": _build_changes(named)}
            for name, named in policy.named.items()
        ],
        "groups": [{"group": group, "policy": name} for group, name in policy.groups.items()],
        "appliances": [asdict(member) for member in policy.members],
        "exclusions": [_build_exclusion(exclusion) for exclusion in policy.exclusions],
    }


def _build_parameters(policy: Policy) -> dict[str, Any]:
    return {
        parameter.json_key: _to_json_parameter(getattr(policy, name))
        for name, parameter in PARAMETERS.items()
    }


def _to_json_parameter(value: object) -> object:
    match value:
        case timedelta():
            return value.total_seconds()
        case tuple():
            return list(value)
        case None | int() | float():
            return value
        case _:
            return str(value)


def _build_changes(policy: Policy) -> list[dict[str, Any]]:
    return [
        {"valid_from": time.isoformat(), "numbers": _build_parameters(changed)}
        for time, changed in policy.changes.items()
    ]


def _build_exclusion(exclusion: Exclusion) -> dict[str, Any]:
    return {
        "reason": exclusion.reason,
        "start": exclusion.start and exclusion.start.isoformat(),
        "end": exclusion.end and exclusion.end.isoformat(),
        "appliances": sorted(exclusion.appliances),
        "groups": sorted(exclusion.groups),
        "sites": sorted(exclusion.sites),
    }


def format_messages(messages: object) -> str:
    """Join the messages of a job, one per line, each in its most readable form.

    Examples
    --------
    >>> format_messages([{"id": "a.b", "default_message": "Disk full", "localized": None}])
    'Disk full'
    """
    if not isinstance(messages, list | np.ndarray):  # pandas returns either type
        return ""
    texts = (
        message.get("localized") or message.get("default_message") or message.get("id") or ""
        for message in messages
        if isinstance(message, dict)
    )
    return "\n".join(text for text in texts if text)


def _build_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    flat = frame.reset_index() if frame.index.name is not None else frame
    names = [build_export_name(name, flat[name]) for name in flat.columns]
    columns = [to_json_values(flat[name]) for name in flat.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def format_csv(frame: pd.DataFrame) -> bytes:
    """Return a frame as CSV in UTF-8, safe to open in a spreadsheet."""
    escaped = pd.DataFrame(
        {
            build_export_name(name, frame[name]): _escape_cells(frame[name])
            for name in frame.columns
        },
        dtype=object,
    )
    return escaped.to_csv(index=False, lineterminator="\r\n").encode()


def build_export_name(name: str, column: pd.Series) -> str:
    """Return the exported name of a column; that of durations ends in ``_seconds``."""
    return f"{name}_seconds" if column.dtype.kind == "m" else name


def _escape_cells(column: pd.Series) -> list[Any]:
    """Return the values of a column, with formulas escaped."""
    values = to_json_values(column)
    if column.dtype != "str":
        return values
    return [escape_formula(value) if isinstance(value, str) else value for value in values]


def to_json_values(column: pd.Series) -> list[Any]:
    """Return the values of a column as JSON types, with users in URIs masked.

    Times become ISO 8601 text in UTC, durations seconds, and missing values None.
    """
    kind = column.dtype.kind
    if kind == "M":
        # slow for zone-aware columns: they become Python objects one by one
        texts = np.datetime_as_string(column.dt.tz_localize(None).to_numpy(), unit="us")
        return [None if text == "NaT" else f"{text}Z" for text in texts.tolist()]
    if kind == "m":
        return [None if np.isnan(span) else span for span in column.dt.total_seconds().tolist()]
    if column.dtype == "str":
        return [mask_user(text) if isinstance(text, str) else None for text in column.tolist()]
    return [_mask_users(value) for value in pa.array(column).to_pylist()]


def _mask_users(value: object) -> object:
    match value:
        case str():
            return mask_user(value)
        case list():
            return [_mask_users(item) for item in value]
        case dict():
            return {key: _mask_users(item) for key, item in value.items()}
        case _:
            return value
