"""Sections of the report about each day: compliance trend, and matrix of slots."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

from backupkit import plots
from backupkit.analysis import TrendStep, choose_trend_steps, trend
from backupkit.assessment import Assessment
from backupkit.display.format import Ratio, format_day, sanitise, time_ratio
from backupkit.plots.matrix import CELL_STYLES, nights
from backupkit.reports.facts import (
    Link,
    Matrix,
    MatrixBlock,
    MatrixRow,
    Picture,
    Trend,
    TrendDay,
    TrendTable,
)
from backupkit.reports.rows import Row, iterate_rows
from backupkit.tables import MISSED_SLOTS, SLOTS

__all__ = ["build_days_frame", "build_matrix", "build_trend", "summarise_days"]

_MAX_MATRIX_ROWS: Final = 2_000
_MAX_MATRIX_DAYS: Final = 92
_MAX_NAMED_DAYS: Final = 4
_NAMED_CELLS: Final = frozenset({*MISSED_SLOTS, "breach"})
_GOOD_CELLS: Final = frozenset({"met", "compliant", "excluded", "pending"})
_CELLS: Final[Mapping[object, tuple[str, str]]] = MappingProxyType(
    {state: (state, cell_style.symbol) for state, cell_style in CELL_STYLES.items()}
)
_NO_CELL: Final = ("none", " ")
_STEP_FORMATS: Final[Mapping[TrendStep, str]] = MappingProxyType(
    {"day": "%Y-%m-%d", "week": "%G-W%V, from %Y-%m-%d", "month": "%Y-%m"}
)


def build_trend(assessment: Assessment) -> Trend:
    """Return the compliance of the fleet by UTC day, the newest first.

    A period of more than five weeks also has its weeks, one of more than 100 days its months.
    """
    counted = _sum_by(assessment, "day")
    if counted.empty:
        return Trend(None, "No appliance was in scope in this period.", ())
    least = int(counted["rpo_strict"].argmin())
    low, last = counted.iloc[least], counted.iloc[-1]
    worst, newest = counted.index[least], counted.index[-1]
    if low["rpo_strict"] == 1:
        finding = (
            "The whole fleet was inside its RPO all the time, as far as is known: "
            f"{_compute_share(low)} on every day."
        )
    else:
        ending = (
            ", the last day."
            if worst == newest
            else f"; on {format_day(newest)}, the last day: {_compute_share(last)}."
        )
        finding = (
            f"Worst on {format_day(worst)}: {_compute_share(low)} of the time inside the RPO, "
            f"strict{ending}"
        )
    ax = plots.compliance(assessment)
    return Trend(
        picture=Picture.of(ax, f"Share of the appliances that were compliant. {finding}"),
        finding=finding,
        days=_build_trend_rows(counted, "day"),
        longer=tuple(
            TrendTable(step, _build_trend_rows(_sum_by(assessment, step), step))
            for step in choose_trend_steps(assessment.start, assessment.end)[:0:-1]
        ),
    )


def _sum_by(assessment: Assessment, step: TrendStep) -> pd.DataFrame:
    """Return the rows of the trend that have time in scope."""
    start, end = assessment.start, assessment.end
    rows = trend(assessment.intervals, assessment.slots, start=start, end=end, by=step)
    counted: pd.DataFrame = rows[_sum_in_scope(rows) > pd.Timedelta(0)]
    return counted


def _build_trend_rows(rows: pd.DataFrame, step: TrendStep) -> tuple[TrendDay, ...]:
    return tuple(_build_trend_day(time, row, step) for time, row in iterate_rows(rows[::-1]))


def _sum_in_scope(durations: Any) -> Any:  # noqa: ANN401 # of one day or of a frame
    return durations["compliant"] + durations["breach"] + durations["unknown"]


def _compute_share(row: Row) -> Ratio:
    return time_ratio(row["compliant"], _sum_in_scope(row))


def _build_trend_day(label: object, row: Row, step: TrendStep) -> TrendDay:
    time = pd.Timestamp(label)  # type: ignore[arg-type] # the index holds times
    return TrendDay(
        day=time.strftime(_STEP_FORMATS[step]),
        share=_compute_share(row),
        unknown=time_ratio(row["unknown"], _sum_in_scope(row)),
        met=int(row["slots_met"]),
        rescued=int(row["slots_rescued"]),
        late=int(row["slots_late"]),
        missed=sum(int(row[f"slots_{state}"]) for state in MISSED_SLOTS),
        unknown_slots=int(row["slots_unknown"]),
    )


def build_matrix(assessment: Assessment, links: Mapping[str, Link]) -> Matrix:
    """Return the states by appliance and day, of the newest 92 days at most.

    Each appliance has a row; of more than 2,000, those with the most missed days. Without a slot,
    it shows the appliance's own state. One that is excluded at the end has the reason. There is one
    block per site if there are several, else per group; the block with the worst one is first.
    """
    table = _list_nights(assessment)
    visible = table[:_MAX_MATRIX_ROWS]
    days = [pd.Timestamp(time) for time in visible.columns]
    states = dict(zip(visible.index.tolist(), visible.to_numpy(dtype=object).tolist(), strict=True))
    used = {state for row in states.values() for state in row if isinstance(state, str)}
    recent = days[-_MAX_MATRIX_DAYS:]
    blocks: dict[str, list[MatrixRow]] = {}
    block_names = _name_blocks(assessment.appliances)
    totals = Counter(block_names.values())
    rows = assessment.appliances
    reasons = rows.loc[rows["state"] == "excluded", "reason"].to_dict()
    for name, row in states.items():
        blocks.setdefault(block_names[name], []).append(
            MatrixRow(
                appliance=links[name],
                cells=tuple(_CELLS.get(state, _NO_CELL) for state in row[-_MAX_MATRIX_DAYS:]),
                summary=_add_exclusion(summarise_days(row, days), reasons.get(name)),
                good=_GOOD_CELLS.issuperset(state for state in row if isinstance(state, str)),
            )
        )
    return Matrix(
        days=tuple(recent),
        blocks=tuple(MatrixBlock(name, tuple(rows), totals[name]) for name, rows in blocks.items()),
        omitted=len(table) - len(visible),
        legend=tuple(
            (state, cell_style.symbol, cell_style.label)
            for state, cell_style in CELL_STYLES.items()
            if state in used
        ),
    )


def _add_exclusion(summary: str, reason: object) -> str:
    """Add why an appliance is excluded; a missing reason adds nothing."""
    text = sanitise(reason, limit=200)
    return f"{summary}; excluded: {text}" if text else summary


def build_days_frame(assessment: Assessment) -> pd.DataFrame:
    """Return the matrix as a frame: one row per appliance, one text column per UTC day."""
    table = _list_nights(assessment)
    days = [f"{pd.Timestamp(day):%Y-%m-%d}" for day in table.columns]
    return table.set_axis(days, axis="columns").reset_index()


def _list_nights(assessment: Assessment) -> pd.DataFrame:
    """Return the most serious slot state of each appliance and day, or "breach" without a slot."""
    intervals = assessment.intervals
    table = nights(assessment.slots, intervals)
    breaches = nights(SLOTS.empty(), intervals[intervals["state"] == "breach"])
    in_breach = breaches.reindex(index=table.index, columns=table.columns).notna()
    return table.mask(table.isna() & in_breach, "breach")


def _name_blocks(appliances: pd.DataFrame) -> dict[str, str]:
    """Return each appliance's site; its group if all sites are equal; "" if groups are too."""
    for column, default in (("site", "no site"), ("group", "no group")):
        names = [sanitise(text, limit=80) or default for text in appliances[column]]
        if len(set(names)) > 1:
            return dict(zip(appliances.index.astype(str), names, strict=True))
    return dict.fromkeys(appliances.index.astype(str), "")


def summarise_days(states: Sequence[object], days: Sequence[pd.Timestamp]) -> str:
    """Return the number of days in each state, and the dates of the newest bad ones."""
    counts = []
    times: dict[object, list[pd.Timestamp]] = {}
    for time, state in zip(days, states, strict=True):
        times.setdefault(state, []).append(time)
    for state in reversed([state for state in CELL_STYLES if state in times]):
        matches = times[state]
        names = (
            [format_day(time) for time in matches[-_MAX_NAMED_DAYS:]]
            if state in _NAMED_CELLS
            else []
        )
        prefix = "last " if len(matches) > len(names) else ""
        newest = f" ({prefix}{', '.join(names)})" if names else ""
        counts.append(f"{len(matches)} {CELL_STYLES[state].label}{newest}")
    return ", ".join(counts)
