"""Density of the timeline: very many jobs as cells of whole hours or days."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from backupkit.plots import style, themes, time_axis

__all__ = ["draw_density", "encode_outcomes"]

Rows = npt.NDArray[np.intp]

_CELL_HOURS: Final = (1, 2, 3, 4, 6, 8, 12, 24)
"""Lengths of a cell; longer ones are whole days. Others would show patterns of their own."""

_CELLS_PER_INCH: Final = 45
"""Maximum number of cells for an inch of the figure, about two pixels each."""

_BY_SEVERITY = ("void", "success", "open", "other", "failure")


def encode_outcomes(jobs: pd.DataFrame) -> Rows:
    """Return the position of each outcome in `OUTCOME_STYLES`; unknown ones are ``other``."""
    codes, uniques = pd.factorize(jobs["outcome"])
    names = list(themes.OUTCOME_STYLES)
    positions = pd.Index(names).get_indexer(pd.Index(uniques.astype("str")))
    outcome_codes: Rows = np.append(positions, -1)[codes]
    return np.where(outcome_codes < 0, names.index("other"), outcome_codes)


def draw_density(
    ax: Axes,
    jobs: pd.DataFrame,
    rows: Rows,
    *,
    since: pd.Timestamp | None,
    now: pd.Timestamp,
    theme: themes.Theme,
) -> list[Patch]:
    """Draw the number of jobs per row and time, coloured by the most serious outcome."""
    start = time_axis.to_day_numbers(jobs["start_time"])
    if since is not None:
        start = np.maximum(start, time_axis.to_day_number(since))
    last = max(time_axis.to_day_number(now), start.max() + 1e-3)
    cell = _choose_cell(last - start.min(), style.get_width(ax) * _CELLS_PER_INCH)
    first = np.floor(start.min() / cell)
    column = (np.floor(start / cell) - first).astype(np.intp)
    width = max(int(np.ceil(last / cell) - first), int(column.max()) + 1)
    height = int(rows.max()) + 1
    cells, codes = rows * width + column, encode_outcomes(jobs)
    pixels = np.zeros((height * width, 4))
    handles = []
    names = list(themes.OUTCOME_STYLES)
    for outcome in _BY_SEVERITY:
        outcome_cells = cells[codes == names.index(outcome)]
        if not len(outcome_cells):
            continue
        counts = np.bincount(outcome_cells, minlength=height * width)
        colour = theme.of(themes.OUTCOME_STYLES[outcome].colour)
        opacity = 0.35 + 0.65 * counts / counts.max()
        pixels[counts > 0, :3] = to_rgb(colour)
        pixels[counts > 0, 3] = opacity[counts > 0]
        handles.append(Patch(facecolor=colour, label=themes.OUTCOME_STYLES[outcome].label))
    ax.imshow(
        pixels.reshape(height, width, 4),
        aspect="auto",
        interpolation="nearest",
        extent=(first * cell, (first + width) * cell, height - 0.5, -0.5),
        zorder=2,
    )
    return handles[::-1]


def _choose_cell(span: float, limit: float) -> float:
    """Return the length of a cell, so that a span has no more than a number of them [days]."""
    lengths = [hours / 24 for hours in _CELL_HOURS if span / (hours / 24) <= limit]
    return lengths[0] if lengths else float(np.ceil(span / limit))
