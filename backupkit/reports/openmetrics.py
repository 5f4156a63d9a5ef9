"""OpenMetrics export of an assessment, for the textfile collector of Prometheus node exporter."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest

from backupkit._version import __version__
from backupkit.assessment import Assessment
from backupkit.reports.files import write_files
from backupkit.tables import IN_SCOPE_STATES, STATES

__all__ = ["openmetrics", "write_openmetrics"]

_MEMBER: Final = ("appliance", "site", "group")
_COLUMNS: Final = {
    "exposure": ("exposure", "seconds", "Time since the newest recovery point began."),
    "exposure_at_least": (
        "exposure_at_least",
        "seconds",
        "What the exposure is at least where no recovery point is known.",
    ),
    "rpo_threshold": ("threshold", "seconds", "RPO and grace: beyond is a breach."),
    "last_success_timestamp": ("last_success", "seconds", "Start of the newest good backup."),
    "strikes": ("strikes", "", "Failures since the newest success."),
    "rpo_ratio": ("rpo_strict", "ratio", "Share of the time inside the RPO, unknown counts."),
    "slot_ratio": ("slot_strict", "ratio", "Share of scheduled backups completed, unknown counts."),
}
"""Column of the appliances, unit and help text, by metric name."""


@dataclass(frozen=True, eq=False)
class _Source:
    """Prometheus collector of ready-made metrics."""

    metrics: tuple[Metric, ...]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def openmetrics(assessment: Assessment) -> str:
    """Return an assessment as OpenMetrics text.

    Parameters
    ----------
    assessment : Assessment
        The assessment.

    Returns
    -------
    str
        Metrics whose names begin with ``backupkit_``: the verdict, appliances by state, the fleet's
        ratios with numerators and denominators, and values per appliance [s, UTC]. A missing value
        has no sample.

    References
    ----------
    .. [1] OpenMetrics 1.0, https://prometheus.io/docs/specs/om/open_metrics_spec/

    Examples
    --------
    >>> from backupkit import evaluate_frames
    >>> from backupkit.policy import Member, Policy
    >>> from backupkit.tables import JOBS, POLLS, SCHEDULES
    >>> end = "2026-11-09T00:00:00Z"
    >>> week = {"start": "2026-11-02T00:00:00Z", "end": end, "now": end}
    >>> frames = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
    >>> policy = Policy(members=[Member(appliance="vc-1")])
    >>> text = openmetrics(evaluate_frames(*frames, policy, **week))
    >>> [line for line in text.splitlines() if "_verdict" in line][-1]
    'backupkit_verdict{state="unknown"} 1.0'
    """
    registry = CollectorRegistry()
    registry.register(_Source(tuple(_metrics(assessment))))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call] # no types there
    return text.decode()


def write_openmetrics(assessment: Assessment, path: str | Path) -> Path:
    """Write the OpenMetrics text to a file, atomically.

    Parameters
    ----------
    assessment : Assessment
        The assessment.
    path : str or Path
        The file; a node exporter reads files that end in ``.prom``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    (written,) = write_files({Path(path): openmetrics(assessment).encode()})
    return written


def _metrics(assessment: Assessment) -> Iterator[Metric]:
    verdict = assessment.verdict
    yield InfoMetricFamily(
        "backupkit_build", "The backupkit that judged.", value={"version": __version__}
    )
    yield _gauge(
        "verdict",
        "1 for the state of the fleet, 0 for the others.",
        ("state",),
        [((state,), float(verdict.state == state)) for state in IN_SCOPE_STATES],
    )
    yield _gauge(
        "appliances",
        "Appliances in each state.",
        ("state",),
        [((state,), getattr(verdict, state)) for state in STATES],
    )
    for name, time, description in (
        ("judged_timestamp", assessment.now, "The moment of the judgement."),
        ("period_start_timestamp", assessment.start, "Where the period begins."),
        ("period_end_timestamp", assessment.end, "Where the period ends."),
    ):
        yield _gauge(name, description, (), [((), time)], unit="seconds")
    for column in ("value", "numerator", "denominator"):
        name = "fleet_ratio" if column == "value" else f"fleet_{column}"
        rows = zip(assessment.fleet.index, assessment.fleet["unit"], strict=True)
        samples = zip(rows, assessment.fleet[column], strict=True)
        yield _gauge(name, f"The {column} of each ratio.", ("metric", "counts"), samples)
    yield from _appliances(assessment)


def _appliances(assessment: Assessment) -> Iterator[Metric]:
    appliances = assessment.appliances
    members = [
        tuple("" if pd.isna(text) else str(text) for text in row)
        for row in zip(appliances.index, appliances["site"], appliances["group"], strict=True)
    ]
    yield _gauge(
        "appliance_state",
        "1 for the state of each appliance.",
        (*_MEMBER, "state"),
        [((*member, state), 1) for member, state in zip(members, appliances["state"], strict=True)],
    )
    for name, (column, unit, description) in _COLUMNS.items():
        samples = zip(members, appliances[column], strict=True)
        yield _gauge(f"appliance_{name}", description, _MEMBER, samples, unit=unit)
    last_ok = assessment.coverage["last_ok"].reindex(appliances.index)
    yield _gauge(
        "appliance_last_read_timestamp",
        "When the appliance was last read.",
        _MEMBER,
        zip(members, last_ok, strict=True),
        unit="seconds",
    )


def _gauge(
    name: str,
    description: str,
    labels: tuple[str, ...],
    samples: Iterable[tuple[tuple[str, ...], Any]],
    *,
    unit: str = "",
) -> Metric:
    """Return a gauge of the samples that have a value."""
    gauge = GaugeMetricFamily(f"backupkit_{name}", description, labels=labels, unit=unit)
    for label_values, value in samples:
        if not pd.isna(value):
            gauge.add_metric(label_values, _to_float(value))
    return gauge


def _to_float(value: Any) -> float:  # noqa: ANN401 # times, durations and numbers
    if isinstance(value, pd.Timestamp):
        return value.timestamp()
    if isinstance(value, pd.Timedelta):
        return value.total_seconds()
    return float(value)
