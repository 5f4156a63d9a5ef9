"""Notebook view of an assessment: verdict, figures and the worst appliances."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import pandas as pd
from markupsafe import Markup

from backupkit.display import Cell, container, paragraph, state_badge, table
from backupkit.display.format import NO_DATA, Ratio, format_duration, format_timestamp

if TYPE_CHECKING:
    from backupkit.assessment.result import Assessment

__all__ = ["HEAD_FIGURES", "exposure", "fleet_ratio", "html_of"]

HEAD_FIGURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "appliances_strict": "inside their RPO (strict)",
        "appliances_observed": "of those reachable (observed)",
        "coverage_appliances": "reachable (coverage)",
        "rpo_strict_micro": "of the time inside the RPO",
        "slot_strict_micro": "of scheduled backups completed",
    }
)
"""Labels of the key figures of `backupkit.tables.METRICS`."""

_WORST: Final = 10
_COLUMNS: Final = {
    "Appliance": "",
    "State": "s",
    "Exposure": "n",
    "Last success (UTC)": "w",
    "Failures in a row": "n",
    "Why": "text",
}


def exposure(row: pd.Series) -> str:
    """Format an appliance's exposure, or "over" its lower bound if no success is known."""
    if pd.notna(row["exposure"]):
        return format_duration(row["exposure"])
    if pd.notna(row["exposure_at_least"]):
        return f"over {format_duration(row['exposure_at_least'])}"
    return NO_DATA


def fleet_ratio(fleet: pd.DataFrame, metric: str) -> Ratio:
    """Return a figure of `backupkit.tables.METRICS`."""
    return Ratio(*fleet.loc[metric, ["numerator", "denominator", "unit"]])


def html_of(assessment: "Assessment") -> Markup:
    """Render the verdict, the key figures, and the appliances that are not compliant."""
    verdict, rows = assessment.verdict, assessment.appliances
    period = f"{format_timestamp(assessment.start)} to {format_timestamp(assessment.end)} UTC"
    head = Markup("<h1><b>{}</b>vCenter backups - {}</h1>").format(verdict.state.upper(), period)
    figures = Markup('<dl class="figures">{}</dl>').format(
        Markup().join(
            _figure(fleet_ratio(assessment.fleet, metric), name)
            for metric, name in HEAD_FIGURES.items()
        )
    )
    content = head + paragraph(verdict.sentence, "sentence") + figures
    content += paragraph(str(assessment.policy), "policy")
    box = Markup('<section class="verdict is-{}">{}</section>').format(verdict.state, content)
    bad = rows[~rows["state"].isin(["compliant", "excluded"])]
    worst = table(
        _COLUMNS,
        [_row(str(name), row) for name, row in bad.head(_WORST).iterrows()],
        caption=f"Not compliant, the worst first, as of {format_timestamp(assessment.now)} UTC",
        limit=_WORST,
        total=len(bad),
    )
    return container(
        box, worst if len(bad) else paragraph("No appliance in scope is out of its RPO.")
    )


def _figure(ratio: Ratio, name: str) -> Markup:
    """Render a percentage and its fraction."""
    beside = Markup(" <span>({})</span>").format(ratio.fraction) if ratio.fraction else ""
    return Markup("<div><dt>{}</dt><dd><b>{}</b>{}</dd></div>").format(name, ratio.percent, beside)


def _row(name: str, row: pd.Series) -> list[Cell]:
    return [
        name,
        state_badge(row["state"]),
        exposure(row),
        row["last_success"],
        row["strikes"],
        None if pd.isna(row["reason"]) else row["reason"],
    ]
