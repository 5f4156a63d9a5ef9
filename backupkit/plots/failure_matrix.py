"""Heat map of failure causes by appliance, site or another property, with totals."""

from typing import Final, NamedTuple

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from backupkit.plots import style, themes
from backupkit.plots.fonts import sanitise_text
from backupkit.plots.sources import Source, check_columns, find_assessment
from backupkit.plots.style import Floats

__all__ = ["FailureCounts", "count_failures", "failure_matrix"]

_COLUMNS: Final = ("signature", "part", "jobs")
_LIGHTEST: Final = 0.06
_DARKEST: Final = 0.45  # share of the colour in the paper, so that the numbers stay legible
_NO_MESSAGE: Final = "(no message)"
_NOT_KNOWN: Final = "(not known)"
_ALL: Final = "all"
_CELL: Final = 0.42  # width of a column [inch]
_MIN_WIDTH: Final = 6.5
_MAX_WIDTH: Final = 11.5
_LABEL_WIDTH: Final = 4.4  # width of the labels of the rows [inch]

Codes = npt.NDArray[np.intp]


def failure_matrix(
    parts: Source,
    *,
    ax: Axes | None = None,
    by: str = "appliance",
    limit: int = 10,
    columns: int = 15,
    figsize: style.Size | None = None,
    theme: str = "light",
) -> Axes:
    """Draw how often each failure cause occurred on each appliance, site, target, ...

    Parameters
    ----------
    parts : Assessment or DataFrame
        A frame has ``signature``, ``part`` and ``jobs`` of `backupkit.tables.FAILURE_PARTS`, the
        result of `backupkit.failures_by`; its rows are signatures. The rows of an assessment are
        causes, each with its most frequent signature, and the signatures without a known cause.
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    by : str
        Property of the columns, if `parts` is an assessment: appliance, site, group, target,
        build, hour or day.
    limit : int
        Maximum number of causes, the most frequent on top; the others share one row.
    columns : int
        Maximum number of parts, the most frequent at the left; the others share one column.
    figsize : tuple of float, optional
        Width and height of the new figure [inch]; by default as the data needs.
    theme : {"light", "dark", "rc"}
        Colour theme; "rc" takes style and colours from matplotlib's settings.

    Returns
    -------
    Axes
        With one image; row and column n are at y = n and x = n. Each cell with failures has their
        number as text. The more failures, the stronger the one colour. The last row and the last
        column, without a colour, are the totals.

    Raises
    ------
    TableError
        If `parts` is no such frame.
    SettingsError
        If `by` names no property.

    Examples
    --------
    >>> from backupkit.tables import FAILURE_PARTS
    >>> rows = {"signature": ["disk full"] * 2, "part": ["vc-1", "vc-2"], "jobs": [3, 1]}
    >>> [text.get_text() for text in failure_matrix(FAILURE_PARTS.frame(rows)).texts]
    ['3', '1', '3', '1', '4', '4']
    """
    assessed = find_assessment(parts, "failure_matrix", "bk.failures_by(a)")
    name, kind = ("pattern", "") if assessed is None else ("cause", f" and {by}")
    if assessed is not None:
        parts = assessed.failures_by(by)
        labels = _label_causes(assessed.failures)
        parts = parts.assign(signature=parts["signature"].map(labels))
    parts = check_columns(parts, _COLUMNS, "failure_matrix", "bk.failures_by(a)")
    counted = count_failures(parts, limit=limit, columns=columns)
    row_labels = _label(counted.rows, counted.other_rows, f"other {name}")
    column_labels = _label(counted.columns, counted.other_columns, "other")
    counts = counted.jobs
    with style.apply_style(theme) as active_theme:
        width = _LABEL_WIDTH + _CELL * (len(column_labels) + 1)
        ax = style.prepare_axes(
            ax,
            height=1.9 + 0.3 * (len(row_labels) + 1),
            width=min(max(width, _MIN_WIDTH), _MAX_WIDTH),
            figsize=figsize,
        )
        if not len(parts):
            return style.draw_message(ax, "No backup job failed in this period")
        _draw_cells(ax, counts, counted.largest, active_theme)
        style.label_rows(ax, [*row_labels, _ALL], width=52)
        _label_columns(ax, [*column_labels, _ALL])
        _draw_grid(ax, counts.shape, active_theme)
        style.draw_title_and_legend(ax, f"Failed jobs by {name}{kind}")
    return ax


class FailureCounts(NamedTuple):
    """Failed jobs by cause and part: a row for each cause, a column for each part.

    If there are other causes or parts, the last row or column of `jobs` has their sum.
    """

    rows: list[str]
    columns: list[str]
    other_rows: int
    other_columns: int
    jobs: Floats

    @property
    def largest(self) -> float:
        """Largest number of a named cell."""
        return float(self.jobs[: len(self.rows), : len(self.columns)].max(initial=0))


def count_failures(parts: pd.DataFrame, *, limit: int, columns: int) -> FailureCounts:
    """Add up failed jobs, the most frequent causes and parts first.

    Parameters
    ----------
    parts : DataFrame
        Reads ``signature``, ``part`` and ``jobs`` of `backupkit.tables.FAILURE_PARTS`.
    limit, columns : int
        Maximum number of causes and of parts with a name.

    Returns
    -------
    FailureCounts
        Of an empty frame without rows and columns.

    Examples
    --------
    >>> from backupkit.tables import FAILURE_PARTS
    >>> rows = {"signature": ["full", "full", "slow"], "part": ["a", "b", "b"], "jobs": [3, 1, 2]}
    >>> counted = count_failures(FAILURE_PARTS.frame(rows), limit=1, columns=5)
    >>> counted.rows, counted.columns, counted.other_rows, counted.jobs.tolist()
    (['full'], ['a', 'b'], 1, [[3.0, 1.0], [0.0, 2.0]])
    """
    rows, row_codes = _rank(parts["signature"].fillna(_NO_MESSAGE), parts["jobs"])
    names, column_codes = _rank(parts["part"].fillna(_NOT_KNOWN), parts["jobs"])
    jobs = np.zeros((min(len(rows), limit + 1), min(len(names), columns + 1)))
    cells = np.minimum(row_codes, limit), np.minimum(column_codes, columns)
    np.add.at(jobs, cells, parts["jobs"].to_numpy(dtype=np.float64))
    omitted = max(len(rows) - limit, 0), max(len(names) - columns, 0)
    return FailureCounts(rows[:limit], names[:columns], *omitted, jobs)


def _label_causes(failures: pd.DataFrame) -> dict[str, str]:
    """Return the label of each signature: its cause and the cause's most frequent signature."""
    ranked = failures.sort_values("jobs", ascending=False, kind="stable")
    first: dict[str, str] = {}
    labels = {}
    for signature, cause in zip(ranked["signature"], ranked["cause_name"], strict=True):
        if pd.notna(cause):
            labels[signature] = f"{cause}: {first.setdefault(cause, signature)}"
        else:
            labels[signature] = signature
    return labels


def _rank(labels: pd.Series, jobs: pd.Series) -> tuple[list[str], Codes]:
    """Return the labels with the most jobs first, and the position of each row's label."""
    totals = jobs.astype("float64").groupby(labels.astype("str").to_numpy()).sum()
    ranked = totals.sort_values(ascending=False, kind="stable").index
    return list(ranked), ranked.get_indexer(pd.Index(labels.astype("str")))


def _label(names: list[str], omitted: int, others: str) -> list[str]:
    """Return the labels of the names, and one for the others."""
    plural = "s" if omitted > 1 else ""
    return [*names, f"{omitted:,} {others}{plural}"] if omitted else names


def _draw_cells(ax: Axes, counts: Floats, largest: float, active_theme: themes.Theme) -> None:
    """Draw cells as colours, the strongest for the largest one, and all numbers with totals."""
    shades = _shade(np.pad(counts, (0, 1)), largest, active_theme)
    ax.imshow(shades, aspect="auto", interpolation="nearest")
    height, width = counts.shape
    by_column = [(column, height, total) for column, total in enumerate(counts.sum(axis=0))]
    by_row = [(width, row, total) for row, total in enumerate(counts.sum(axis=1))]
    cells = [(column, row, counts[row, column]) for row, column in np.argwhere(counts > 0).tolist()]
    totals = [*by_column, *by_row, (width, height, counts.sum())]
    for values, weight in ((cells, "normal"), (totals, "bold")):
        for column, row, count in values:
            ax.text(
                column,
                row,
                f"{count:,.0f}",
                color=active_theme.ink,
                fontsize=8,
                fontweight=weight,
                ha="center",
                va="center",
            )


def _label_columns(ax: Axes, labels: list[str]) -> None:
    ax.set_xticks(
        range(len(labels)),
        [sanitise_text(label, width=20) for label in labels],
        ha="right",
        rotation_mode="anchor",
    )
    for label in ax.get_xticklabels():
        label.set_parse_math(False)
    ax.tick_params(axis="x", labelrotation=40)


def _draw_grid(ax: Axes, shape: tuple[int, ...], active_theme: themes.Theme) -> None:
    """Draw lines between the cells, and stronger ones before the totals."""
    height, width = shape
    ax.set_ylim(height + 0.5, -0.5)
    ax.set_xlim(-0.5, width + 0.5)
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.set_axisbelow(False)
    # two artists; minor ticks with a grid would be four for each line
    lines = {"colors": active_theme.line, "linewidths": mpl.rcParams["grid.linewidth"]}
    ax.hlines(np.arange(height + 2) - 0.5, -0.5, width + 0.5, **lines)
    ax.vlines(np.arange(width + 2) - 0.5, -0.5, height + 0.5, **lines)
    ax.axhline(height - 0.5, color=active_theme.muted, lw=1)
    ax.axvline(width - 0.5, color=active_theme.muted, lw=1)


def _shade(counts: Floats, largest: float, active_theme: themes.Theme) -> Floats:
    """Return the colour of each cell: the paper, and the more of the colour, the more failures."""
    strength = np.log1p(np.minimum(counts, largest)) / np.log1p(largest)
    share = np.where(counts > 0, _LIGHTEST + (_DARKEST - _LIGHTEST) * strength, 0)[:, :, np.newaxis]
    paper, colour = (
        np.array(to_rgb(name)) for name in (active_theme.paper, active_theme.of(themes.ORANGE))
    )
    shades: Floats = (1 - share) * paper + share * colour
    return shades
