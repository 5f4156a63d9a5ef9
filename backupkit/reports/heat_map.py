"""Heat map of the report: failed jobs by error pattern and appliance, with both totals."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from backupkit.assessment import Assessment, failures_by
from backupkit.display.format import sanitise
from backupkit.reports.facts import Link

__all__ = ["HeatMap", "HeatRow", "build_heat_map"]

_MAX_CAUSES: Final = 10
_MAX_COLUMNS: Final = 12
_LEVELS: Final = 5


class HeatRow(NamedTuple):
    """Failed jobs with one error pattern: (number, strength) by appliance, and the total."""

    signature: str
    cells: tuple[tuple[int, int], ...]
    total: int


class HeatMap(NamedTuple):
    """Failed jobs by error pattern and appliance; `omitted` are the appliances added up last."""

    columns: tuple[Link, ...]
    omitted: int
    rows: tuple[HeatRow, ...]
    in_all: HeatRow


def build_heat_map(assessment: Assessment, links: Mapping[str, Link]) -> HeatMap | None:
    """Return the failed jobs of the worst appliances; None if at most one appliance failed."""
    parts = failures_by(assessment)
    numbers: Counter[tuple[str, str]] = Counter()
    for signature, name, jobs in zip(
        parts["signature"].fillna(""), parts["part"], parts["jobs"].tolist(), strict=True
    ):
        numbers[signature, str(name)] += int(jobs)
    signatures, names = Counter[str](), Counter[str]()
    for (signature, name), jobs in numbers.items():
        signatures[signature] += jobs
        names[name] += jobs
    if len(names) < 2:  # noqa: PLR2004 # nothing to compare
        return None
    columns = [name for name, _ in names.most_common(_MAX_COLUMNS)]
    strongest = max(numbers.values())

    def build_row(text: str, cells: list[int], total: int) -> HeatRow:
        marked = [(jobs, _find_strength(jobs, strongest)) for jobs in cells]
        rest = [(total - sum(cells), 0)] if len(names) > len(columns) else []
        return HeatRow(text, tuple(marked + rest), total)

    rows = [
        build_row(
            sanitise(signature, limit=120) or "(no message)",
            [numbers[signature, name] for name in columns],
            total,
        )
        for signature, total in signatures.most_common(_MAX_CAUSES)
    ]
    in_all = build_row("All", [names[name] for name in columns], signatures.total())
    if len(signatures) > len(rows):
        shown = list(zip(*(row.cells for row in rows), strict=True))
        cells = [
            jobs - sum(number for number, _ in column)
            for (jobs, _), column in zip(in_all.cells, shown, strict=True)
        ][: len(columns)]
        text = f"{len(signatures) - len(rows):,} more"
        rows.append(build_row(text, cells, in_all.total - sum(row.total for row in rows)))
    return HeatMap(
        columns=tuple(links.get(name, Link(sanitise(name, limit=80))) for name in columns),
        omitted=len(names) - len(columns),
        rows=tuple(rows),
        in_all=in_all,
    )


def _find_strength(jobs: int, strongest: int) -> int:
    """Return the strength of the colour of a cell, 0 for no job, 5 for the most.

    Examples
    --------
    >>> [_find_strength(jobs, 30) for jobs in (0, 1, 5, 30)]
    [0, 2, 3, 5]
    """
    return min(_LEVELS, math.ceil(_LEVELS * math.log1p(jobs) / math.log1p(strongest)))
