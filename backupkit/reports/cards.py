"""Key figures of the report's first screen: each with its target, its change and its days."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from markupsafe import Markup

from backupkit.assessment import Assessment, Comparison
from backupkit.assessment.verdict import build_ratio
from backupkit.display import Badge, target_badge
from backupkit.display.format import NO_DATA, Ratio, format_number
from backupkit.reports.facts import TrendDay
from backupkit.reports.sparks import draw_line

__all__ = ["Card", "build_cards"]

_SMALLEST_CHANGE: Final = 0.05  # percentage points


class Card(NamedTuple):
    """Key figure: its value and fraction, the result against the target, change and picture."""

    name: str
    value: str
    fraction: str
    result: Badge | None
    change: str
    picture: Markup


def build_cards(
    assessment: Assessment, comparison: Comparison | None, days: Sequence[TrendDay]
) -> tuple[Card, ...]:
    """Return the figures of the period, with a value of each day.

    Parameters
    ----------
    assessment : Assessment
        The assessment.
    comparison : Comparison, optional
        With the figures of the earlier report.
    days : sequence of TrendDay
        Days of the period, the oldest first.

    Returns
    -------
    tuple of Card
        Appliances inside their RPO at the end, time inside it, completed backups, error budget.
    """
    drawn = {
        "rpo_strict_micro": ("Time inside the RPO", [day.share.value for day in days]),
        "slot_strict_micro": ("Scheduled backups completed", [_find_done(day) for day in days]),
    }
    cards = [
        _build_card("Appliances inside their RPO", assessment, comparison, "appliances_strict")
    ]
    for metric, (name, values) in drawn.items():
        card = _build_card(name, assessment, comparison, metric)
        target = assessment.ratio(metric).target
        picture = draw_line(values, target=target, label=_describe_values(name, values, days))
        cards.append(card._replace(picture=picture))
    return (*cards, _build_budget_card(assessment, comparison, days))


def _build_card(
    name: str, assessment: Assessment, comparison: Comparison | None, metric: str
) -> Card:
    ratio = assessment.ratio(metric)
    state = str(assessment.fleet["target_state"].fillna("")[metric])
    return Card(
        name=name,
        value=ratio.percent,
        fraction=f"({ratio.fraction})" if ratio.fraction else "",
        result=_describe_target(state, ratio.target) if state else None,
        change=_describe_change(ratio, _find_earlier(comparison, metric)),
        picture=Markup(),
    )


def _build_budget_card(
    assessment: Assessment, comparison: Comparison | None, days: Sequence[TrendDay]
) -> Card:
    """Return the share of the error budget that is left, and how it was spent."""
    spent = assessment.ratio("error_budget")
    name = "Error budget left"
    if not spent.fraction:
        return Card(name, NO_DATA, "no slot, or the target allows no miss", None, "", Markup())
    missed, allowed = _to_numbers(spent)
    left = _find_left(spent)
    values = [1.0, *(1 - sum_missed / allowed for sum_missed in accumulate(d.missed for d in days))]
    return Card(
        name=name,
        value=left.percent if left.value > 0 else "None",
        fraction=f"({left.numerator:.3g} of {allowed:.3g} runs)"
        if left.value > 0
        else f"{format_number(missed)} missed, {allowed:.3g} allowed",
        result=Badge("compliant", f"● {format_number(missed)} missed")
        if left.value > 0
        else Badge("breach", f"✕ Spent {format_number(spent.value)} times"),
        change=_describe_change(left, _find_left(_find_earlier(comparison, "error_budget"))),
        picture=draw_line(
            values,
            target=0.0,
            label=f"{name}: from 100 % at the start to {100 * values[-1]:,.0f} % at the end.",
        ),
    )


def _to_numbers(ratio: Ratio) -> tuple[float, float]:
    return float(ratio.numerator), float(ratio.denominator)  # type: ignore[arg-type] # has data


def _find_left(spent: Ratio) -> Ratio:
    """Return the part of an error budget that is not spent, at least 0."""
    if not spent.fraction:
        return spent
    missed, allowed = _to_numbers(spent)
    return Ratio(max(allowed - missed, 0.0), allowed)


def _find_earlier(comparison: Comparison | None, metric: str) -> Ratio:
    """Return a figure of the earlier assessment; no data without one, or without polls then."""
    if comparison is None or comparison.is_empty:
        return Ratio(0, 0)
    (row,) = comparison.fleet.loc[[metric]].to_dict("records")
    return build_ratio(row)


def _find_done(day: TrendDay) -> float:
    done = day.met + day.rescued + day.late
    return Ratio(done, done + day.missed + day.unknown_slots).value


def _describe_target(state: str, target: float) -> Badge:
    badge = target_badge(state)
    share = f"{target:.6%}".rstrip("%").rstrip("0").rstrip(".")
    return Badge(badge.kind, badge.label.replace("Target", f"Target {share} %"))


def _describe_change(now: Ratio, then: Ratio) -> str:
    """Describe the change since the earlier assessment in percentage points.

    Examples
    --------
    >>> _describe_change(Ratio(7, 10), Ratio(8, 10)), _describe_change(Ratio(1, 1), Ratio(0, 0))
    ('▼ 10.0 points since the earlier report', '')
    """
    change = 100 * (now.value - then.value)
    if math.isnan(change):
        return ""
    if abs(change) < _SMALLEST_CHANGE:
        return "= as in the earlier report"
    return f"{'▲' if change > 0 else '▼'} {abs(change):.1f} points since the earlier report"


def _describe_values(name: str, values: Sequence[float], days: Sequence[TrendDay]) -> str:
    """Describe a value per day: the lowest and the last."""
    known = [
        (value, day.day) for value, day in zip(values, days, strict=True) if not math.isnan(value)
    ]
    if not known:
        return name
    (low, worst), (last, newest) = min(known), known[-1]
    return (
        f"{name} by day: lowest {100 * low:.1f} % on {worst}, last {100 * last:.1f} % on {newest}."
    )
