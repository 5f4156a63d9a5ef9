"""Notebook view of an assessment: verdict, figures and the worst appliances."""

from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
from markupsafe import Markup

from backupkit.display import container, paragraph, table
from backupkit.display.format import (
    NO_DATA,
    STATE_LABELS,
    format_duration,
    format_timestamp,
    ratio,
)

if TYPE_CHECKING:
    from backupkit.assessment.result import Assessment

__all__ = ["HEAD_FIGURES", "exposure", "html_of"]

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
    """Format an appliance's exposure, or its lower bound if no success is known.

    Parameters
    ----------
    row : Series
        Its row of `backupkit.tables.APPLIANCES`.

    Returns
    -------
    str
        A duration; a lower bound begins with "over".
    """
    if pd.notna(row["exposure"]):
        return format_duration(row["exposure"])
    if pd.notna(row["exposure_at_least"]):
        return f"over {format_duration(row['exposure_at_least'])}"
    return NO_DATA


def html_of(assessment: "Assessment") -> Markup:
    """Render the verdict, the key figures, and the appliances that are not compliant.

    Parameters
    ----------
    assessment : Assessment
        The assessment of one period.

    Returns
    -------
    Markup
        HTML with all text escaped.
    """
    verdict, rows = assessment.verdict, assessment.appliances
    period = f"{format_timestamp(assessment.start)} to {format_timestamp(assessment.end)} UTC"
    head = Markup("<h1><b>{}</b>vCenter backups - {}</h1>").format(verdict.state.upper(), period)
    facts = assessment.fleet.to_dict("index")
    figures = Markup('<dl class="figures">{}</dl>').format(
        Markup().join(_figure(facts[metric], name) for metric, name in HEAD_FIGURES.items())
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


def _figure(row: Mapping[Hashable, Any], name: str) -> Markup:
    """Render a percentage and its fraction."""
    text = ratio(row["numerator"], row["denominator"], row["unit"])
    percent, _, fraction = text.partition(" (")
    beside = Markup(" <span>({}</span>").format(fraction) if fraction else ""
    return Markup("<div><dt>{}</dt><dd><b>{}</b>{}</dd></div>").format(name, percent, beside)


def _row(name: str, row: pd.Series) -> list[str | Markup | None]:
    state = str(row["state"])
    return [
        name,
        Markup('<span class="{}">{}</span>').format(state, STATE_LABELS[state]),
        exposure(row),
        format_timestamp(row["last_success"]),
        NO_DATA if pd.isna(row["strikes"]) else str(row["strikes"]),
        None if pd.isna(row["reason"]) else str(row["reason"]),
    ]
