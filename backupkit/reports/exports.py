"""JSON of an assessment, with the policy and all tables."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd

from backupkit._version import __version__
from backupkit.analysis import choose_trend_steps, trend
from backupkit.assessment import Assessment, PeriodVerdict
from backupkit.policy import PARAMETERS, Exclusion, Policy
from backupkit.policy.policy import digest_of
from backupkit.reports.columns import stream_csv, stream_records
from backupkit.reports.notes import build_note_records
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
    INVENTORY,
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
from backupkit.tables.notes import Note

__all__ = [
    "SCHEMA_VERSION",
    "TABLES",
    "TREND_ROWS",
    "build_trend_rows",
    "format_messages",
    "select_table",
    "stream_json",
    "stream_table_csv",
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
        "inventory": INVENTORY,
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


def stream_json(
    assessment: Assessment, *, aliased: bool = False, notes: Iterable[Note] = ()
) -> Iterator[bytes]:
    """Yield the whole assessment in pieces of one JSON document, in UTF-8.

    It is valid against ``report.schema.json`` of this package. Times are ISO 8601 in UTC. Keys of
    durations end in ``_seconds``. Missing values are null.
    """
    facts = {
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
    }
    yield msgspec.json.encode(facts).removesuffix(b"}")
    for name in TABLES:
        yield f',"{name}":'.encode()
        yield from stream_records(select_table(assessment, name))
    yield b',"trend":'
    yield from stream_records(build_trend_rows(assessment))
    yield b',"notes":' + msgspec.json.encode(build_note_records(assessment, notes))
    yield b"}\n"


def stream_table_csv(assessment: Assessment, name: str) -> Iterator[bytes]:
    """Yield a frame of an assessment in pieces of CSV; it is selected when the first one is."""
    yield from stream_csv(select_table(assessment, name))


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
