"""Pictures of the report's first pages: key figures, fleet, days of an appliance, runs, causes."""

from collections import Counter
from itertools import groupby
from typing import Final, NamedTuple

import pandas as pd
from markupsafe import Markup

from backupkit import plots
from backupkit.assessment import Assessment, Comparison
from backupkit.display import Rows
from backupkit.display.format import STATE_LABELS, format_count
from backupkit.reports.cards import Card, build_cards
from backupkit.reports.days import summarise_days
from backupkit.reports.facts import (
    PAGE_WIDTH,
    Details,
    Figure,
    Link,
    Matrix,
    MatrixRow,
    Picture,
    Summary,
    build_data_uri,
)
from backupkit.reports.heat_map import HeatMap, build_heat_map
from backupkit.reports.period import find_period_jobs, select_period_jobs
from backupkit.reports.sparks import draw_days, draw_shares
from backupkit.reports.summary import build_figures, build_links

__all__ = ["Cell", "Overview", "build_overview"]

_MAX_DAYS: Final = 31  # of the small picture of an appliance
_MAX_NAMED: Final = 60  # appliances; of more, the strip has symbols only
_MAX_RUN_ROWS: Final = 15
_RUN_DAYS: Final = 7
_OUTCOMES: Final = {
    "success": "succeeded",
    "failure": "failed",
    "open": "without an end yet",
}
_REACH: Final = {
    "appliances_observed": "of those reachable",
    "coverage_appliances": "reachable",
}


class Cell(NamedTuple):
    """Appliance in the strip of the fleet: its name and row, its state, and the symbol of it."""

    appliance: Link
    state: str
    symbol: str


class Overview(NamedTuple):
    """Contents of the page that the tables repeat in detail.

    A small fleet has `chips` with names, a larger one `dots`: state, symbol and number of each
    state, in the order of the appliances.
    """

    state_bar: Markup
    reach: tuple[Figure, ...]
    cards: tuple[Card, ...]
    chips: tuple[Cell, ...]
    dots: tuple[tuple[str, str, int], ...]
    attention: Rows[tuple[object, ...]]
    mini_days: int
    heat: HeatMap | None
    runs: Picture | None
    runs_finding: str


def build_overview(
    assessment: Assessment,
    comparison: Comparison | None,
    summary: Summary,
    details: Details,
) -> Overview:
    """Return the pictures of the page; the figures of a day are those of the trend."""
    links = build_links(assessment)
    states = assessment.appliances["state"].tolist()
    is_small = len(states) <= _MAX_NAMED
    runs, runs_finding = _draw_runs(assessment)
    return Overview(
        state_bar=_draw_state_bar(summary),
        reach=build_figures(assessment, _REACH),
        cards=build_cards(assessment, comparison, details.trend.days[::-1]),
        chips=tuple(
            Cell(link, state, STATE_LABELS[state][0])
            for link, state in zip(links.values(), states, strict=True)
        )
        if is_small
        else (),
        dots=()
        if is_small
        else tuple(
            (state, STATE_LABELS[state][0], len(list(group))) for state, group in groupby(states)
        ),
        attention=_add_days(summary, details.matrix),
        mini_days=min(_MAX_DAYS, len(details.matrix.days)),
        heat=build_heat_map(assessment, links),
        runs=runs,
        runs_finding=runs_finding,
    )


def _draw_state_bar(summary: Summary) -> Markup:
    counts = {count.state.kind: count.number for count in summary.counts}
    words = (f"{count.state.label[2:]} {count.number:,}" for count in summary.counts)
    return draw_shares(counts, label=", ".join(words)) if counts else Markup()


def _add_days(summary: Summary, matrix: Matrix) -> Rows[tuple[object, ...]]:
    """Return the appliances that need attention, each with a picture of its newest days."""
    rows = {row.appliance: row for block in matrix.blocks for row in block.rows}
    days = list(matrix.days[-_MAX_DAYS:])
    items = summary.action_items

    def draw(row: MatrixRow | None) -> Markup:
        if row is None:
            return Markup()
        states = [state for state, _ in row.cells[-_MAX_DAYS:]]
        return draw_days(states, label=summarise_days(states, days))

    return Rows(
        ((*item[:2], draw(rows.get(item.appliance)), *item[2:]) for item in items), items.total
    )


def _draw_runs(assessment: Assessment) -> tuple[Picture | None, str]:
    """Draw the runs of the last week of the worst appliances."""
    start = max(assessment.start, assessment.end - pd.Timedelta(days=_RUN_DAYS))
    jobs = assessment.assessed_jobs[find_period_jobs(assessment)]
    jobs = jobs[~(jobs["end_time"] < start)]
    slots = assessment.slots[assessment.slots["slot"] >= start]
    if jobs.empty and slots.empty:
        return None, "No run was expected or seen in the last days of this period."
    finding = (
        f"{start:%Y-%m-%d %H:%M} to {assessment.end:%Y-%m-%d %H:%M} UTC: "
        f"{', '.join([format_count(len(jobs), 'run'), *_count_outcomes(jobs['outcome'])])}."
    )
    drawn = assessment.appliances.index[:_MAX_RUN_ROWS]
    ax = plots.timeline(
        select_period_jobs(assessment, drawn),
        slots=slots[slots["appliance"].isin(drawn)],
        states=assessment.appliances["state"],
        anomalies=assessment.anomalies,
        start=start,
        end=assessment.end,
        limit=_MAX_RUN_ROWS,
    )
    alt = f"Timeline of the runs, the worst appliances on top. {finding}"
    return Picture(build_data_uri(ax, width=PAGE_WIDTH), alt), finding


def _count_outcomes(outcomes: pd.Series) -> list[str]:
    counts = Counter(outcomes.tolist())
    phrases = [
        f"{counts.pop(outcome):,} {words}"
        for outcome, words in _OUTCOMES.items()
        if counts[outcome]
    ]
    return [*phrases, f"{counts.total():,} other"] if counts.total() else phrases
