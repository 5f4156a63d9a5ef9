"""Windows, error budget, incidents, exposure and throughput, of the fleet and of an appliance."""

import math
from collections.abc import Iterator
from typing import Final

import pandas as pd
from pandas.api.typing import NAType

from backupkit.assessment import Assessment
from backupkit.display.format import (
    NO_DATA,
    Ratio,
    Size,
    format_count,
    format_duration,
    format_number,
)
from backupkit.reports.facts import Level
from backupkit.reports.rows import Row

__all__ = ["build_levels", "describe_levels", "format_budget", "format_throughput"]

_HOUR: Final = pd.Timedelta(hours=1)
_BUDGETS: Final = {
    "error_budget": "Error budget spent",
    "error_budget_strict": "Error budget spent, unknown runs included",
}
_BURN_RATES: Final = {
    "burn_rate_24h": "Burn rate of the last 24 h",
    "burn_rate_7d": "Burn rate of the last 7 days",
}


def build_levels(assessment: Assessment) -> tuple[Level, ...]:
    """Return the figures of the fleet about windows, budget, incidents and exposure."""
    return (
        *_list_limits(assessment),
        *_list_budgets(assessment),
        *_list_means(assessment),
    )


def _list_limits(assessment: Assessment) -> Iterator[Level]:
    """Yield the results of the backup window and of the duration limit."""
    rows = assessment.appliances
    if rows["window_runs"].isna().all():
        yield Level("Runs inside the backup window", NO_DATA, "the policy has no window")
    else:
        yield _build_share("Runs inside the backup window", assessment.ratio("window_micro"))
        running = int(rows["window_running"].sum())
        yield Level(
            "Time past the window, of all runs",
            format_duration(pd.Timedelta(rows["window_overrun"].sum())),
            f"finished runs; {format_count(running, 'more run')} past it at the end",
        )
    if rows["duration_runs"].isna().all():
        yield Level("Runs inside the duration limit", NO_DATA, "the policy has no duration limit")
    else:
        yield _build_share("Runs inside the duration limit", assessment.ratio("duration_micro"))


def _build_share(name: str, share: Ratio) -> Level:
    return Level(name, str(share), "scheduled runs" if share.fraction else "no scheduled run")


def _list_budgets(assessment: Assessment) -> Iterator[Level]:
    """Yield the error budget and the burn rates."""
    for metric, name in (*_BUDGETS.items(), *_BURN_RATES.items()):
        share = assessment.ratio(metric)
        if not share.fraction:
            yield Level(name, NO_DATA, "no slot, or the target allows no miss")
            continue
        missed = "missed or unknown" if metric == "error_budget_strict" else "missed"
        basis = f"{format_number(share.numerator)} of {share.denominator:.4g} allowed"
        result = (
            format_budget(share)
            if metric in _BUDGETS
            else f"{format_number(round(share.value, 1))} times"
        )
        yield Level(name, result, f"slots {missed}, {basis}")


def format_budget(spent: Ratio) -> str:
    """Format the spent part of an error budget, with the missed and the allowed runs.

    Examples
    --------
    >>> format_budget(Ratio(1, 0.25)), format_budget(Ratio(0, 0))
    ('400.0 % (1 of 0.25)', 'no data')
    """
    if not spent.fraction:
        return NO_DATA
    return f"{spent.percent} ({format_number(spent.numerator)} of {spent.denominator:.4g})"


def _list_means(assessment: Assessment) -> Iterator[Level]:
    """Yield the mean times of the incidents, and the mean exposure."""
    incidents = assessment.incidents
    mttr, mtbf, exposure = (
        assessment.ratio(metric) for metric in ("mttr", "mtbf", "mean_exposure")
    )
    notes = [
        f"{format_count(int(incidents[name].sum()), 'incident')} {text}"
        for name, text in (("open", "open"), ("carried_over", "from before the period"))
        if incidents[name].any()
    ]
    yield Level(
        "Mean time to restore (MTTR)",
        _format_hours(mttr.value) if mttr.fraction else "no incident was closed",
        ", ".join([f"{format_number(mttr.denominator)} closed", *notes]),
    )
    yield Level(
        "Mean time between incidents (MTBF)",
        _format_hours(mtbf.value)
        if mtbf.fraction
        else f"none in {format_number(mtbf.numerator)} h observed",
        f"{format_number(mtbf.denominator)} new, {format_number(mtbf.numerator)} h observed"
        " without an incident",
    )
    yield Level(
        "Mean exposure",
        _format_hours(exposure.value),
        f"{format_number(exposure.denominator)} h observed with a recovery point",
    )


def _format_hours(hours: float) -> str:
    return NO_DATA if math.isnan(hours) else format_duration(pd.Timedelta(hours=hours))


def format_throughput(rate: float | NAType) -> str:
    """Format a throughput [bytes/s], which may be NA.

    Examples
    --------
    >>> format_throughput(5_242_880.0), format_throughput(pd.NA)
    ('5.0 MiB/s', 'no data')
    """
    return NO_DATA if pd.isna(rate) else f"{Size(rate)}/s"


def describe_levels(appliance: Row) -> str:
    """Return the figures of an appliance about exposure, incidents, windows and throughput.

    Parameters
    ----------
    appliance : Series or mapping
        Row of the appliance in `backupkit.tables.APPLIANCES`.

    Returns
    -------
    str
        A line of text; a figure without a rule of the policy is left out.

    Examples
    --------
    >>> from backupkit.tables import APPLIANCES
    >>> hours = [pd.Timedelta(hours=h) for h in (12.5, 168)]
    >>> columns = {"mean_exposure": hours[:1], "incidents": [0], "incident_free": hours[1:]}
    >>> describe_levels(APPLIANCES.frame({"appliance": ["vc-1"], **columns}).loc["vc-1"])
    'Mean exposure 12 h 30 min; MTBF none in 168 h observed'
    """
    return "; ".join(_describe_levels(appliance))


def _describe_levels(row: Row) -> Iterator[str]:
    if pd.notna(row["mean_exposure"]):
        yield f"Mean exposure {format_duration(row['mean_exposure'])}"
    if pd.notna(row["mttr"]):
        closed = format_count(int(row["incidents_closed"]), "closed incident")
        yield f"MTTR {format_duration(row['mttr'])} ({closed})"
    observed = format_number(row["incident_free"] / _HOUR)
    between = format_duration(row["mtbf"]) if row["incidents"] else f"none in {observed} h observed"
    yield f"MTBF {between}"
    if pd.notna(row["window_runs"]):
        late = pd.notna(row["window_overrun"]) and row["window_overrun"] > pd.Timedelta(0)
        past = f", {format_duration(row['window_overrun'])} past it" if late else ""
        yield f"inside the window {Ratio(row['window_ok'], row['window_runs'], 'runs')}{past}"
    if pd.notna(row["duration_runs"]):
        kept = Ratio(row["duration_ok"], row["duration_runs"], "runs")
        yield f"inside the duration limit {kept}"
    if pd.notna(row["throughput"]):
        yield f"throughput {format_throughput(row['throughput'])}"
