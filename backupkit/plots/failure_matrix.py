"""Matrix of failure signatures by appliance, site or another property."""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from backupkit.plots import style
from backupkit.plots.style import Floats

__all__ = ["failure_matrix"]

_LIGHTEST: Final = 0.06
_DARKEST: Final = 0.45  # share of the colour in the paper, so that the numbers stay legible
_NOT_KNOWN: Final = "(not known)"


def failure_matrix(
    parts: pd.DataFrame,
    *,
    ax: Axes | None = None,
    limit: int = 10,
    columns: int = 15,
    theme: str = "light",
) -> Axes:
    """Draw how often each failure signature occurred on each appliance, site, target, ...

    Parameters
    ----------
    parts : DataFrame
        Reads ``signature``, ``part`` and ``jobs`` of `backupkit.tables.FAILURE_PARTS`, the result
        of `backupkit.failures_by`.
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    limit : int
        Maximum number of signatures, the most frequent on top; the others share the last row.
    columns : int
        Maximum number of parts, the most frequent at the left; the others share the last column.
    theme : {"light", "dark"}
        Colour theme.

    Returns
    -------
    Axes
        With one image; row and column n are at y = n and x = n. Each cell with failures has their
        number as text. The more failures, the stronger the one colour.

    Examples
    --------
    >>> from backupkit.tables import FAILURE_PARTS
    >>> rows = {"signature": ["disk full"] * 2, "part": ["vc-1", "vc-2"], "jobs": [3, 1]}
    >>> [text.get_text() for text in failure_matrix(FAILURE_PARTS.frame(rows)).texts[:2]]
    ['3', '1']
    """
    rows, row_codes = _rank(parts["signature"].fillna("(no message)"), parts["jobs"])
    names, column_codes = _rank(parts["part"].fillna(_NOT_KNOWN), parts["jobs"])
    row_labels = _label(rows, limit, "other signature")
    column_labels = _label(names, columns, "other")
    counts = np.zeros((len(row_labels), len(column_labels)))
    jobs = parts["jobs"].to_numpy(dtype=np.float64)
    np.add.at(counts, (np.minimum(row_codes, limit), np.minimum(column_codes, columns)), jobs)
    with style.apply_style(theme) as active_theme:
        ax = style.prepare_axes(ax, height=1.6 + 0.3 * max(len(row_labels), 2))
        if not len(parts):
            return style.draw_message(ax, "No backup job failed in this period")
        ax.imshow(_shade(counts, active_theme), aspect="auto", interpolation="nearest")
        for row, column in zip(*np.nonzero(counts), strict=True):
            ax.text(
                column,
                row,
                f"{counts[row, column]:,.0f}",
                color=active_theme.ink,
                fontsize=8,
                ha="center",
                va="center",
            )
        style.label_rows(ax, row_labels, width=58)
        ax.set_ylim(len(row_labels) - 0.5, -0.5)
        ax.set_xticks(
            range(len(column_labels)),
            [style.sanitise_text(label, width=20) for label in column_labels],
            ha="right",
            rotation_mode="anchor",
        )
        for label in ax.get_xticklabels():
            label.set_parse_math(False)
        ax.set_xticks(np.arange(len(column_labels) + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(len(row_labels) + 1) - 0.5, minor=True)
        ax.grid(which="minor")
        ax.tick_params(which="both", length=0)
        ax.tick_params(axis="x", labelrotation=40)
        ax.set_axisbelow(False)
        ax.set_title("Failed jobs by error pattern")
    return ax


def _rank(labels: pd.Series, jobs: pd.Series) -> tuple[list[str], np.ndarray]:
    """Return the labels with the most jobs first, and the position of each row's label."""
    totals = jobs.astype("float64").groupby(labels.astype("str").to_numpy()).sum()
    ranked = totals.sort_values(ascending=False, kind="stable").index
    return list(ranked), ranked.get_indexer(pd.Index(labels.astype("str")))


def _label(names: list[str], limit: int, others: str) -> list[str]:
    """Return the labels of the first names, and one for the others."""
    omitted = len(names) - limit
    plural = "s" if omitted > 1 else ""
    return names if omitted <= 0 else [*names[:limit], f"{omitted:,} {others}{plural}"]


def _shade(counts: Floats, active_theme: style.Theme) -> Floats:
    """Return the colour of each cell: the paper, and the more of the colour, the more failures."""
    strength = np.log1p(counts) / np.log1p(counts.max())
    share = np.where(counts > 0, _LIGHTEST + (_DARKEST - _LIGHTEST) * strength, 0)[:, :, np.newaxis]
    paper, colour = (
        np.array(to_rgb(name)) for name in (active_theme.paper, active_theme.of(style.ORANGE))
    )
    shades: Floats = (1 - share) * paper + share * colour
    return shades
