"""View models of the summary sections of the report."""

import platform
from collections.abc import Mapping

import pandas as pd

from backupkit._version import __version__
from backupkit.assessment import Assessment, Comparison
from backupkit.assessment.result import HEAD_FIGURES
from backupkit.display.format import format_relative, format_timestamp, ratio, sanitise
from backupkit.reports import advice
from backupkit.reports.changes import changes_of, period_of
from backupkit.reports.facts import (
    STATE_LABELS,
    ActionItem,
    Count,
    Exclusion,
    Figure,
    Link,
    Signature,
    Summary,
    Unreachable,
)
from backupkit.reports.rows import exposure, rows_of

__all__ = ["figures_of", "links_of", "summarize"]

_ACTION_ITEMS = 25
_UNREACHABLE = 100
_SIGNATURES = 25
_NAMES = 5
_SHARED = 5
_HEAD_DIGITS = 64  # of a SHA-256


def summarize(assessment: Assessment, comparison: Comparison | None = None) -> Summary:
    """Return the summary sections of the report.

    Parameters
    ----------
    assessment : Assessment
        Assessment of one period.
    comparison : Comparison, optional
        Comparison with an earlier assessment.

    Returns
    -------
    Summary
        Values as texts; ages are relative to the assessment's `now`.
    """
    links = links_of(assessment)
    action_items = _action_items(assessment, links)
    unreachable = _unreachable(assessment, links)
    heading, title = _title(assessment)
    return Summary(
        title=title,
        heading=heading,
        state=assessment.verdict.state,
        sentence=assessment.verdict.sentence,
        period=period_of(assessment.start, assessment.end),
        generated=format_timestamp(assessment.now),
        data_until=format_timestamp(assessment.coverage["last_poll"].max()),
        data_version=assessment.version,
        verify_command=_verify_command(assessment.version),
        policy=str(assessment.policy),
        counts=_counts(assessment, links),
        changes=None if comparison is None else changes_of(comparison, links),
        figures=figures_of(assessment.fleet, HEAD_FIGURES),
        action_items=action_items[:_ACTION_ITEMS],
        action_items_omitted=max(len(action_items) - _ACTION_ITEMS, 0),
        unreachable=unreachable[:_UNREACHABLE],
        unreachable_omitted=max(len(unreachable) - _UNREACHABLE, 0),
        finding=_finding(assessment.failures),
        failed_jobs=int(assessment.failures["jobs"].sum()),
        signatures=_signatures(assessment.failures, links),
        signatures_omitted=max(len(assessment.failures) - _SIGNATURES, 0),
        shared=_shared(assessment.clusters),
        exclusions=_exclusions(assessment.appliances, links),
        versions=(
            f"backupkit {__version__}, pandas {pd.__version__}, Python {platform.python_version()}"
        ),
    )


def _verify_command(version: str) -> str:
    """Return the command that verifies that a history still contains the assessed data."""
    if len(version) != _HEAD_DIGITS:  # assessed from frames or an empty history
        return ""
    return f"backupkit history verify --history HISTORY --head {version}"


def links_of(assessment: Assessment) -> dict[str, Link]:
    """Return the link to each appliance's row.

    Parameters
    ----------
    assessment : Assessment
        Reads its appliances.

    Returns
    -------
    dict of str to Link
        By appliance name. The anchors do not contain the name.
    """
    return {
        str(name): Link(name=sanitise(name, limit=80), anchor=f"a{index}")
        for index, name in enumerate(assessment.appliances.index)
    }


def _counts(assessment: Assessment, links: Mapping[str, Link]) -> tuple[Count, ...]:
    """Count the appliances of each state that occurs, in the order of the rows."""
    states = assessment.appliances["state"]
    counts = states.value_counts(sort=False)
    firsts = {state: str(name) for name, state in states[::-1].items()}
    return tuple(
        Count(str(state), STATE_LABELS[state], int(counts[state]), links[firsts[state]].anchor)
        for state in states.unique()
    )


def _title(assessment: Assessment) -> tuple[str, str]:
    verdict = assessment.verdict
    count, label = {
        "breach": (verdict.breach, "BREACH"),
        "unknown": (verdict.unknown + verdict.unobserved, "UNKNOWN"),
    }.get(verdict.state, (verdict.compliant, "OK"))
    period = period_of(assessment.start, assessment.end)
    heading = f"{label} {count:,} of {verdict.in_scope:,}"
    return heading, f"{heading} - vCenter backups - {period}"


def figures_of(fleet: pd.DataFrame, names: Mapping[str, str]) -> tuple[Figure, ...]:
    """Return figures of the fleet, each with its fraction.

    Parameters
    ----------
    fleet : DataFrame
        Of `backupkit.tables.METRICS`.
    names : mapping of str to str
        Name of each figure, by metric.

    Returns
    -------
    tuple of Figure
        In the order of `names`.
    """
    rows = dict(rows_of(fleet))
    figures = []
    for metric, name in names.items():
        row = rows[metric]
        text = ratio(row["numerator"], row["denominator"], sanitise(row["unit"]))
        percent, _, fraction = text.partition(" (")
        figures.append(Figure(name=name, percent=percent, fraction=fraction.rstrip(")")))
    return tuple(figures)


def _action_items(assessment: Assessment, links: Mapping[str, Link]) -> tuple[ActionItem, ...]:
    rows = assessment.appliances
    schedules = dict(iter(assessment.schedules.groupby("appliance")))
    none = assessment.schedules.iloc[:0]
    items = []
    for selected in (rows[rows["state"] == "breach"], rows.loc[assessment.at_risk]):
        for name, row in rows_of(selected):
            at_risk = row["state"] == "compliant"
            items.append(
                ActionItem(
                    appliance=links[name],
                    state="late" if at_risk else "breach",
                    label="◐ At risk" if at_risk else STATE_LABELS["breach"],
                    exposure=exposure(row),
                    last_success=format_timestamp(row["last_success"]),
                    age=format_relative(row["last_success"], assessment.now),
                    strikes=0 if pd.isna(row["strikes"]) else int(row["strikes"]),
                    reason=sanitise(row["reason"], limit=600),
                    advice=advice.for_breach(row, schedules.get(name, none)),
                )
            )
    return tuple(items)


def _unreachable(assessment: Assessment, links: Mapping[str, Link]) -> tuple[Unreachable, ...]:
    rows = assessment.appliances
    selected = rows[rows["state"].isin(["unknown", "unobserved"])]
    coverage_rows = assessment.coverage.reindex(selected.index)
    return tuple(
        Unreachable(
            appliance=links[name],
            state=str(row["state"]),
            label=STATE_LABELS[row["state"]],
            since=format_timestamp(coverage["failing_since"]),
            kind=sanitise(coverage["error"], limit=80) or "not polled recently",
            detail=sanitise(coverage["detail"], limit=600) or sanitise(row["reason"], limit=600),
            last_ok=format_timestamp(coverage["last_ok"]),
            age=format_relative(coverage["last_ok"], assessment.now),
            advice=advice.for_unreachable(coverage),
        )
        for (name, row), (_, coverage) in zip(
            rows_of(selected), rows_of(coverage_rows), strict=True
        )
    )


def _finding(failures: pd.DataFrame) -> str:
    """Return a sentence about the most frequent failure signature."""
    if failures.empty:
        return "No backup job failed in this period."
    top = failures.sort_values("jobs", ascending=False, kind="stable").iloc[0]
    share = ratio(top["jobs"], failures["jobs"].sum(), "failed jobs")
    return f"Most frequent: “{sanitise(top['signature'], limit=120)}”, {share}."


def _signatures(failures: pd.DataFrame, links: Mapping[str, Link]) -> tuple[Signature, ...]:
    ranked = failures.sort_values("jobs", ascending=False, kind="stable")
    total = ranked["jobs"].sum()
    signatures = []
    for _, row in ranked.head(_SIGNATURES).iterrows():
        names = _texts(row["names"])
        visible = tuple(links[name] for name in names[:_NAMES] if name in links)
        signatures.append(
            Signature(
                text=sanitise(row["signature"], limit=600),
                message_id=sanitise(row["message_id"], limit=200),
                example=sanitise(row["text"]),
                jobs=int(row["jobs"]),
                share=ratio(row["jobs"], total),
                appliances=int(row["appliances"]),
                names=visible,
                omitted=len(names) - len(visible),
                first_seen=format_timestamp(row["first_seen"]),
                last_seen=format_timestamp(row["last_seen"]),
                builds=sanitise(", ".join(_texts(row["builds"])), limit=300),
                targets=sanitise(", ".join(_texts(row["targets"])), limit=300),
            )
        )
    return tuple(signatures)


def _shared(clusters: pd.DataFrame) -> tuple[str, ...]:
    """Return what appliances with the same failure signature have in common."""
    rows = clusters.head(_SHARED)
    return tuple(
        f"“{sanitise(signature, limit=200)}”: {sanitise(finding, limit=400)}"
        for signature, finding in zip(rows["signature"], rows["finding"], strict=True)
    )


def _texts(value: object) -> list[str]:
    # a missing list is NA; other cells are lists or arrays of texts
    return [] if value is None or value is pd.NA else [str(text) for text in value]  # type: ignore[attr-defined] # a cell of an Arrow list column has no type of its own


def _exclusions(appliances: pd.DataFrame, links: Mapping[str, Link]) -> tuple[Exclusion, ...]:
    excluded = appliances.loc[appliances["state"] == "excluded", "reason"]
    return tuple(
        Exclusion(appliance=links[name], reason=sanitise(reason) or "no reason given")
        for name, reason in zip(excluded.index.astype(str), excluded, strict=True)
    )
