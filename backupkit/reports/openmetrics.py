"""Output for Prometheus: OpenMetrics text, for the textfile collector of the node exporter."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest

from backupkit._version import __version__
from backupkit.assessment import Assessment
from backupkit.reports.files import write_files
from backupkit.tables import IN_SCOPE_STATES, INVENTORY_RESULTS, STATES, TARGET_STATES

__all__ = ["openmetrics", "write_openmetrics"]

_MEMBER_LABELS: Final = ("appliance", "site", "group")
_COLUMNS: Final = {
    "exposure": ("exposure", "seconds", "Time since the newest recovery point began."),
    "exposure_at_least": (
        "exposure_at_least",
        "seconds",
        "Lower bound of the exposure if no recovery point is known.",
    ),
    "rpo_threshold": ("threshold", "seconds", "RPO plus grace: a larger exposure is a breach."),
    "last_success_timestamp": ("last_success", "seconds", "Start of the newest successful backup."),
    "last_run_start_timestamp": ("last_attempt", "seconds", "Start of the newest job."),
    "last_run_end_timestamp": (
        "last_attempt_end",
        "seconds",
        "End of the newest job; missing while it runs.",
    ),
    "breach_since_timestamp": ("breach_since", "seconds", "Since when it is in breach."),
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
    """Return an assessment as OpenMetrics text that readers of the classic format take, too.

    All metrics are gauges: a node exporter reads the classic text format, which lacks the newer
    types and takes ``# UNIT`` and ``# EOF`` for comments. The names begin with ``backupkit_``: the
    verdict, appliances by state, the fleet's ratios with numerators and denominators, and values
    per appliance [s, UTC]. A missing value has no sample.

    References
    ----------
    .. [1] OpenMetrics 1.0, https://prometheus.io/docs/specs/om/open_metrics_spec/
    .. [2] Text-based format, https://prometheus.io/docs/instrumenting/exposition_formats/

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
    >>> [line for line in text.splitlines() if line.startswith("backupkit_verdict")][-1]
    'backupkit_verdict{state="unknown"} 1.0'
    """
    registry = CollectorRegistry()
    registry.register(_Source(tuple(_build_metrics(assessment))))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call] # no types there
    return text.decode()


def write_openmetrics(assessment: Assessment, path: str | Path) -> Path:
    """Write the OpenMetrics text to a file, atomically.

    A node exporter reads files that end in ``.prom``.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    (written,) = write_files({Path(path): openmetrics(assessment).encode()})
    return written


def _build_metrics(assessment: Assessment) -> Iterator[Metric]:
    verdict = assessment.verdict
    # a gauge, not of type "info": the node exporter refuses a file with a type that only
    # OpenMetrics has
    yield _build_gauge("build_info", "Version of backupkit.", ("version",), [((__version__,), 1)])
    yield _build_gauge(
        "verdict",
        "1 for the state of the fleet, 0 for the others.",
        ("state",),
        [((state,), float(verdict.state == state)) for state in IN_SCOPE_STATES],
    )
    yield _build_gauge(
        "period_verdict",
        "1 for the state of the period's targets, 0 for the others.",
        ("state",),
        [
            ((state,), float(assessment.period_verdict.state == state))
            for state in reversed(TARGET_STATES)
        ],
    )
    yield _build_gauge(
        "appliances",
        "Appliances in each state.",
        ("state",),
        [((state,), getattr(verdict, state)) for state in STATES],
    )
    for name, time, description in (
        ("judged_timestamp", assessment.now, "Time of the assessment."),
        ("period_start_timestamp", assessment.start, "Start of the period."),
        ("period_end_timestamp", assessment.end, "End of the period."),
    ):
        yield _build_gauge(name, description, (), [((), time)], unit="seconds")
    for column in ("value", "numerator", "denominator"):
        name = "fleet_ratio" if column == "value" else f"fleet_{column}"
        rows = zip(assessment.fleet.index, assessment.fleet["unit"], strict=True)
        samples = zip(rows, assessment.fleet[column], strict=True)
        yield _build_gauge(name, f"The {column} of each ratio.", ("metric", "counts"), samples)
    yield _build_gauge(
        "fleet_target",
        "The target of each ratio that has one.",
        ("metric",),
        zip(((name,) for name in assessment.fleet.index), assessment.fleet["target"], strict=True),
    )
    yield from _build_inventory_metrics(assessment.inventory)
    yield from _build_group_metrics(assessment.verdicts)
    yield from _build_appliance_metrics(assessment)


def _build_inventory_metrics(inventory: pd.DataFrame) -> Iterator[Metric]:
    """Yield how fleet.toml and the SSO domains differ; without a discovery, there is no sample."""
    results = inventory["result"]
    yield _build_gauge(
        "sso_nodes",
        "Nodes of the SSO domains and appliances of fleet.toml, by result of the comparison.",
        ("result",),
        [((result,), int(results.eq(result).sum())) for result in INVENTORY_RESULTS]
        if len(results)
        else (),
    )
    missing = inventory[results == "missing"]
    yield _build_gauge(
        "sso_node_missing",
        "1 for each vCenter of the SSO domains that fleet.toml does not have.",
        ("host",),
        (((host,), 1) for host in missing["host"].unique()),
    )
    yield _build_gauge(
        "sso_read_timestamp",
        "When the oldest list of an SSO domain was read.",
        (),
        [((), inventory.loc[results != "unknown", "seen_at"].min())],
        unit="seconds",
    )


def _build_group_metrics(verdicts: pd.DataFrame) -> Iterator[Metric]:
    """Yield both verdicts of each site and each group."""
    rows = verdicts[verdicts["property"] != "fleet"]
    for name, column, description in (
        ("group_verdict", "state", "1 for the state of each site and each group."),
        ("group_period_verdict", "target_state", "1 for the state of its targets."),
    ):
        judged = rows[rows[column].notna()]  # else all its appliances are excluded
        labels = zip(judged["property"], judged["name"], judged[column], strict=True)
        yield _build_gauge(
            name, description, ("property", "name", "state"), ((label, 1) for label in labels)
        )


def _build_appliance_metrics(assessment: Assessment) -> Iterator[Metric]:
    appliances = assessment.appliances
    members = [
        tuple("" if pd.isna(text) else str(text) for text in row)
        for row in zip(appliances.index, appliances["site"], appliances["group"], strict=True)
    ]
    yield _build_gauge(
        "appliance_state",
        "1 for the state of each appliance.",
        (*_MEMBER_LABELS, "state"),
        [((*member, state), 1) for member, state in zip(members, appliances["state"], strict=True)],
    )
    judged = appliances["target_state"].dropna()
    by_name = dict(zip(appliances.index, members, strict=True))
    yield _build_gauge(
        "appliance_target",
        "1 for the state of each appliance's targets in the period.",
        (*_MEMBER_LABELS, "state"),
        [((*by_name[name], state), 1) for name, state in judged.items()],
    )
    for name, (column, unit, description) in _COLUMNS.items():
        samples = zip(members, appliances[column], strict=True)
        yield _build_gauge(f"appliance_{name}", description, _MEMBER_LABELS, samples, unit=unit)
    yield _build_gauge(
        "appliance_period_failed_jobs",
        "Failed jobs of the period by cause; it falls when they leave the period.",
        (*_MEMBER_LABELS, "cause"),
        [((*by_name[name], cause), jobs) for (name, cause), jobs in _count_failed(assessment)],
    )
    yield _build_gauge(
        "appliance_poll_state",
        "1 for the result of the newest poll: complete, partial or failed.",
        (*_MEMBER_LABELS, "state"),
        [((*by_name[name], state), 1) for name, state in _list_poll_states(assessment)],
    )
    yield _build_gauge(
        "appliance_jobs_unread",
        "Listed jobs that the newest good poll could not read.",
        _MEMBER_LABELS,
        zip(members, assessment.coverage["jobs_unread"].reindex(appliances.index), strict=True),
    )
    last_ok = assessment.coverage["last_ok"].reindex(appliances.index)
    yield _build_gauge(
        "appliance_last_read_timestamp",
        "When the appliance was last read.",
        _MEMBER_LABELS,
        zip(members, last_ok, strict=True),
        unit="seconds",
    )


def _count_failed(assessment: Assessment) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield appliance and cause with the number of failed jobs; none is 0."""
    causes = assessment.failures.set_index("signature")["cause_name"].fillna("unknown")
    counts = assessment.failure_counts
    jobs = counts.groupby([counts["appliance"], counts["signature"].map(causes)])["jobs"].sum()
    yield from jobs[jobs.gt(0)].items()  # type: ignore[misc] # both levels are texts


def _list_poll_states(assessment: Assessment) -> Iterator[tuple[str, str]]:
    """Yield appliance and result of its newest poll; none for one that was never polled."""
    coverage = assessment.coverage.reindex(assessment.figures.index)
    unread = coverage["jobs_unread"].gt(0).fillna(value=False) | coverage["error"].eq("partial")
    states = pd.Series("complete", index=coverage.index)
    states = states.mask(unread, "partial").mask(coverage["failing_since"].notna(), "failed")
    yield from states[coverage["last_poll"].notna()].items()  # type: ignore[misc] # texts


def _build_gauge(
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
