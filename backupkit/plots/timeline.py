"""Timeline of the jobs: start, duration and outcome."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from backupkit.plots import style
from backupkit.tables import SLOTS

__all__ = ["timeline"]

Rows = npt.NDArray[np.intp]

_MAX_BARS = 10_000
"""Maximum number of jobs to draw as bars; more are drawn as a density."""

_DENSITY_COLUMNS = 480
"""Number of cells across the density, about two pixels each."""

_MIN_HATCHED_WIDTH = 1.5
"""Minimum width of the widest bar to draw a hatch [pixel]."""

_BY_SEVERITY = ("void", "success", "open", "other", "failure")
_HALF_HEIGHT = {"success": 0.24, "failure": 0.38}
_OTHER_HALF_HEIGHT = 0.31
_Z_ORDER = {"open": 1.5, "failure": 2.5}  # a long running bar must not hide a failure


def timeline(
    jobs: pd.DataFrame,
    *,
    ax: Axes | None = None,
    slots: pd.DataFrame | None = None,
    states: pd.Series | None = None,
    start: pd.Timestamp | None = None,
    end: pd.Timestamp | None = None,
    limit: int = 25,
    theme: str = "light",
) -> Axes:
    """Draw each job as a bar in the row of its appliance.

    Parameters
    ----------
    jobs : DataFrame
        Reads ``appliance``, ``outcome``, ``start_time`` [UTC], ``end_time`` [UTC] and, if there,
        ``last_seen_at`` and ``vanished_at`` [UTC] of `backupkit.tables.JOBS`.
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    slots : DataFrame, optional
        Slots, drawn as ticks; reads ``appliance`` and ``slot`` [UTC] of `backupkit.tables.SLOTS`.
        Their appliances have a row even without a job.
    states : Series of str, optional
        State of each appliance in the order of the rows, such as ``a.appliances["state"]``. The
        caption counts the states of the rows that are not drawn. By default, rows are sorted by
        the start of the newest success: none first, then the oldest.
    start, end : Timestamp, optional
        Period to show; by default that of the data.
    limit : int
        Maximum number of rows to draw; a caption counts the rest.
    theme : {"light", "dark"}
        Colour theme.

    Returns
    -------
    Axes
        With one collection per outcome; row n is at y = n. Above 10,000 jobs, with one image
        instead: the colour of a cell shows its most serious outcome, its depth the number of jobs.

    Notes
    -----
    A running job extends to `end`, or to the last time in the data, and ends with an arrow. A job
    that vanished from its appliance's list without an end extends to that time.

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> timeline(
    ...     JOBS.frame(
    ...         {
    ...             "appliance": ["vc-1"],
    ...             "outcome": ["failure"],
    ...             "start_time": ["2026-11-08T01:00Z"],
    ...             "end_time": ["2026-11-08T01:05Z"],
    ...         }
    ...     )
    ... ).get_title("left")
    'Backup jobs of 1 appliance'
    """
    jobs = style.drop_implausible_times(jobs)
    started = jobs[jobs["start_time"].notna()]
    expected = SLOTS.empty() if slots is None else slots
    order = (
        _sort_worst_first(started, expected) if states is None else [str(n) for n in states.index]
    )
    drawn_names = order[:limit]
    with style.apply_style(theme) as active_theme:
        ax = style.prepare_axes(ax, height=1.4 + style.compute_height(max(len(drawn_names), 4)))
        if not order or (started.empty and expected.empty):
            return style.draw_message(ax, "No backup job in this period")
        rows = _find_rows(started, drawn_names)
        is_drawn = (rows >= 0) & _mark_overlapping_jobs(started, start, end)
        drawn_jobs, rows = started[is_drawn], rows[is_drawn]
        now = end or _find_newest_times(started, expected)
        slot_handles = _draw_slots(ax, expected, drawn_names, active_theme)
        if len(drawn_jobs) > _MAX_BARS:
            job_handles = _draw_density(
                ax, drawn_jobs, rows, since=start, now=now, active_theme=active_theme
            )
        else:
            job_handles = _draw_bars(ax, drawn_jobs, rows, now=now, active_theme=active_theme)
        style.label_rows(ax, drawn_names, width=32)
        ax.autoscale_view(scaley=False)
        style.format_time_axis(ax, start, end)
        ax.grid(axis="x")
        style.draw_title_and_legend(
            ax,
            f"Backup jobs of {len(order):,} appliance{'s' if len(order) > 1 else ''}",
            [*job_handles, *slot_handles],
        )
        omitted = len(order) - len(drawn_names)
        style.draw_caption(ax, style.count_omitted(omitted, "with a newer success", states))
    return ax


def _sort_worst_first(jobs: pd.DataFrame, slots: pd.DataFrame) -> list[str]:
    names = pd.concat([frame["appliance"].astype("str") for frame in (jobs, slots)])
    names = names.drop_duplicates().sort_values()
    successes = jobs[jobs["outcome"] == "success"]
    succeeded = successes.groupby("appliance", observed=True)["start_time"].max()
    age = succeeded.reindex(names).sort_values(na_position="first", kind="stable")
    return [str(name) for name in age.index]


def _find_rows(frame: pd.DataFrame, drawn_names: list[str]) -> Rows:
    """Return the row in the figure of each line of a frame; -1 if it is not drawn."""
    codes, names = pd.factorize(frame["appliance"])
    positions = pd.Index(drawn_names).get_indexer(pd.Index(names.astype("str")))
    rows: Rows = np.append(positions, -1)[codes]
    return rows


def _mark_overlapping_jobs(
    jobs: pd.DataFrame, start: pd.Timestamp | None, end: pd.Timestamp | None
) -> npt.NDArray[np.bool_]:
    """Return a mask of the jobs that overlap the period."""
    overlaps = np.ones(len(jobs), dtype=bool)
    if start is not None:
        overlaps &= ~style.find_job_ends(jobs).lt(start).to_numpy()
    if end is not None:
        overlaps &= jobs["start_time"].lt(end).to_numpy()
    return overlaps


def _find_newest_times(jobs: pd.DataFrame, slots: pd.DataFrame) -> pd.Timestamp:
    times = [jobs[name] for name in ("start_time", "end_time", "last_seen_at") if name in jobs]
    newest: pd.Timestamp = pd.Series([column.max() for column in (*times, slots["slot"])]).max()
    return newest


def _encode_outcomes(jobs: pd.DataFrame) -> Rows:
    """Return the position of each outcome in `style.OUTCOME_STYLES`; unknown ones are ``other``."""
    codes, uniques = pd.factorize(jobs["outcome"])
    names = list(style.OUTCOME_STYLES)
    positions = pd.Index(names).get_indexer(pd.Index(uniques.astype("str")))
    outcome_codes: Rows = np.append(positions, -1)[codes]
    return np.where(outcome_codes < 0, names.index("other"), outcome_codes)


def _draw_slots(
    ax: Axes, slots: pd.DataFrame, drawn_names: list[str], active_theme: style.Theme
) -> list[Line2D]:
    rows = _find_rows(slots, drawn_names)
    if not (rows >= 0).any():
        return []
    return ax.plot(
        style.to_day_numbers(slots["slot"][rows >= 0]),
        rows[rows >= 0] + 0.42,
        linestyle="none",
        marker="|",
        markersize=5,
        color=active_theme.muted,
        label="expected",
        zorder=1,
    )


def _draw_bars(
    ax: Axes, jobs: pd.DataFrame, rows: Rows, *, now: pd.Timestamp, active_theme: style.Theme
) -> list[Patch]:
    codes = _encode_outcomes(jobs)
    return [
        _draw_outcome(
            ax,
            jobs[codes == code],
            rows[codes == code],
            outcome,
            now=now,
            active_theme=active_theme,
        )
        for code, outcome in enumerate(style.OUTCOME_STYLES)
        if (codes == code).any()
    ]


def _draw_outcome(
    ax: Axes,
    jobs: pd.DataFrame,
    rows: Rows,
    outcome: str,
    *,
    now: pd.Timestamp,
    active_theme: style.Theme,
) -> Patch:
    status_style = style.OUTCOME_STYLES[outcome]
    colour = active_theme.of(status_style.colour)
    ends = style.find_job_ends(jobs)
    running = ends.isna().to_numpy()
    left = style.to_day_numbers(jobs["start_time"])
    right = style.to_day_numbers(ends.fillna(now))
    half_height = _HALF_HEIGHT.get(outcome, _OTHER_HALF_HEIGHT)
    corners: Any = np.stack(  # an array is faster than the sequence that is declared
        [
            np.stack([left, rows - half_height], axis=-1),
            np.stack([right, rows - half_height], axis=-1),
            np.stack([right, rows + half_height], axis=-1),
            np.stack([left, rows + half_height], axis=-1),
        ],
        axis=1,
    )
    face = colour if outcome == "success" else active_theme.tint(colour)
    # outlines keep short jobs visible that are thinner than a pixel
    bars = _Bars(
        corners,
        facecolor=face,
        edgecolor=colour,
        hatch=status_style.hatch,
        linewidth=0.9,
        label=status_style.label,
        gid=outcome,
        zorder=_Z_ORDER.get(outcome, 2),
    )
    ax.add_collection(bars)
    if running.any():
        ax.plot(
            right[running],
            rows[running],
            linestyle="none",
            marker=">",
            markersize=6,
            color=colour,
            clip_on=False,  # the arrow is at the edge of the axes
        )
    return Patch(
        facecolor=face, edgecolor=colour, hatch=status_style.hatch, label=status_style.label
    )


class _Bars(PolyCollection):
    """Bars without a hatch if they are too thin to show it: it takes most of the drawing time."""

    def draw(self, renderer: RendererBase) -> None:
        axes, hatch = self.axes, self.get_hatch()
        if axes is not None and hatch:
            left, right = axes.get_xlim()
            widest = max(path.get_extents().width for path in self.get_paths())
            if widest * axes.bbox.width < _MIN_HATCHED_WIDTH * abs(right - left):
                self.set_hatch("")
        super().draw(renderer)
        self.set_hatch(hatch)


def _draw_density(
    ax: Axes,
    jobs: pd.DataFrame,
    rows: Rows,
    *,
    since: pd.Timestamp | None,
    now: pd.Timestamp,
    active_theme: style.Theme,
) -> list[Patch]:
    """Draw the number of jobs per row and time, coloured by the most serious outcome."""
    start = style.to_day_numbers(jobs["start_time"])
    if since is not None:
        start = np.maximum(start, style.to_day_number(since))
    first, last = start.min(), max(style.to_day_number(now), start.max() + 1e-3)
    column = np.minimum(
        (start - first) / (last - first) * _DENSITY_COLUMNS, _DENSITY_COLUMNS - 1
    ).astype(np.int64)
    height = int(rows.max()) + 1
    cells, codes = rows * _DENSITY_COLUMNS + column, _encode_outcomes(jobs)
    pixels = np.zeros((height * _DENSITY_COLUMNS, 4))
    handles = []
    names = list(style.OUTCOME_STYLES)
    for outcome in _BY_SEVERITY:
        outcome_cells = cells[codes == names.index(outcome)]
        if not len(outcome_cells):
            continue
        counts = np.bincount(outcome_cells, minlength=height * _DENSITY_COLUMNS)
        colour = active_theme.of(style.OUTCOME_STYLES[outcome].colour)
        opacity = 0.35 + 0.65 * counts / counts.max()
        pixels[counts > 0, :3] = to_rgb(colour)
        pixels[counts > 0, 3] = opacity[counts > 0]
        handles.append(Patch(facecolor=colour, label=style.OUTCOME_STYLES[outcome].label))
    ax.imshow(
        pixels.reshape(height, _DENSITY_COLUMNS, 4),
        aspect="auto",
        interpolation="nearest",
        extent=(first, last, height - 0.5, -0.5),
        zorder=2,
    )
    return handles[::-1]
