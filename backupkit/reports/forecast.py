"""Most probable breaches of the next day, and how reliable such forecasts were."""

from collections.abc import Mapping
from typing import Final

import pandas as pd

from backupkit.assessment import Assessment, forecast
from backupkit.display import Rows
from backupkit.display.format import Ratio, format_count, format_number
from backupkit.reports.facts import BreachChance, Forecast, Link, ReliabilityRow
from backupkit.reports.period import is_current
from backupkit.reports.rows import Row, iterate_rows

__all__ = ["build_forecast"]

_MAX_CHANCES: Final = 10


def build_forecast(assessment: Assessment, links: Mapping[str, Link]) -> Forecast | None:
    """Return the most probable breaches of the next day; None for a period that is over.

    Parameters
    ----------
    assessment : Assessment
        The assessment; its period is the past that the forecast learns from.
    links : mapping of str to Link
        The link to each appliance.

    Returns
    -------
    Forecast or None
        The ten appliances with the highest probability above 0, and the forecasts of the past.
    """
    if not is_current(assessment):
        return None
    forecasts = forecast(assessment)
    known = forecasts.forecast
    chosen = known[known["probability"] > 0]
    chances = (_build_chance(row, links) for _, row in iterate_rows(chosen.head(_MAX_CHANCES)))
    return Forecast(
        finding=_describe(known["probability"]),
        chances=Rows(chances, len(chosen)),
        reliability=tuple(
            _build_reliability(row) for _, row in iterate_rows(forecasts.reliability)
        ),
    )


def _describe(probabilities: pd.Series) -> str:
    """Return one sentence about the whole fleet."""
    if probabilities.empty:
        return (
            "There is too little data for a forecast: it needs a compliant appliance with 10"
            " expected runs in this period whose results are known."
        )
    among = format_count(len(probabilities), "compliant appliance")
    total = probabilities.sum()
    if not total:
        return f"No breach of {among} can begin within a day, whatever the next runs do."
    number = f"{total:.2g}" if total < 1 else format_number(round(total, 1))
    expected = "breach within a day is" if number == "1" else "breaches within a day are"
    return f"On average, {number} {expected} expected of {among}: the sum of their probabilities."


def _build_chance(row: Row, links: Mapping[str, Link]) -> BreachChance:
    return BreachChance(
        appliance=links[row["appliance"]],
        probability=_format_probability(row["probability"]),
        runs_left=row["runs_left"],
        breach_at=row["breach_at"],
        next_slot=row["next_slot"],
        missed=Ratio(row["missed_slots"], row["known_slots"], "runs"),
    )


def _build_reliability(row: Row) -> ReliabilityRow:
    low, high = row["low"], row["high"]
    return ReliabilityRow(
        probability=f"above {low:.0%} up to {high:.0%}".replace("%", " %") if high else "0 %",
        predicted=_format_probability(row["predicted"]),
        came_true=Ratio(row["observed"], row["forecasts"], "forecasts"),
    )


def _format_probability(probability: float) -> str:
    """Format a probability; only a certain breach has 100 %."""
    return Ratio(probability, 1).percent
