"""Timeline of the jobs: start, duration, outcome and progress."""

from datetime import timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from backupkit.plots import style, themes, time_axis
from backupkit.plots.density import draw_density, encode_outcomes
from backupkit.plots.running import draw_running_jobs, find_running_jobs, find_shown_end
from backupkit.plots.sources import Source, check_columns, find_assessment
from backupkit.plots.time_axis import MomentLike, to_day_number, to_moment, to_span
from backupkit.tables import SLOTS
from backupkit.tables.constants import OUTCOME_BY_STATUS

__all__ = ["explain_blank_row", "timeline"]

Rows = npt.NDArray[np.intp]

_COLUMNS: Final = ("appliance", "outcome", "start_time", "end_time")

_MAX_BARS = 10_000
"""Maximum number of jobs to draw as bars; more are drawn as a density."""

_MIN_HATCHED_WIDTH = 1.5
"""Minimum width of the widest bar to draw a hatch [pixel]."""

_HALF_HEIGHT = {"success": 0.24, "failure": 0.38}
_OTHER_HALF_HEIGHT = 0.31
_BLANK: Final = {
    "unknown": "unknown: could not be read",
    "excluded": "excluded",
    "unobserved": "not observed: not read yet",
    "breach": "in breach: no job and no expected run",
}
"""Why the row of an appliance in this state has nothing to draw."""

_NO_JOB: Final = "no job and no expected run"
_Z_ORDER = {"open": 1.5, "failure": 2.5}  # a long running bar must not hide a failure


def timeline(  # noqa: PLR0913 # the options of a figure
    jobs: Source,
    *,
    ax: Axes | None = None,
    slots: pd.DataFrame | None = None,
    states: pd.Series | None = None,
    anomalies: pd.DataFrame | None = None,
    start: MomentLike | None = None,
    end: MomentLike | None = None,
    last: str | timedelta | None = None,
    limit: int = 25,
    figsize: style.Size | None = None,
    theme: str = "light",
) -> Axes:
    """Draw each job as a bar in the row of its appliance, running ones filled by their progress.

    Parameters
    ----------
    jobs : Assessment or DataFrame
        An assessment also gives slots, states, anomalies and period. A frame has ``appliance``,
        ``outcome``, ``start_time`` [UTC], ``end_time`` [UTC] and, if there, ``progress`` [%],
        ``last_seen_at`` and ``vanished_at`` [UTC] of `backupkit.tables.JOBS`; or it is of
        ``RUNNING``, as `backupkit.watch` has it.
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    slots : DataFrame, optional
        Slots, drawn as ticks; reads ``appliance`` and ``slot`` [UTC] of `backupkit.tables.SLOTS`.
        Their appliances have a row even without a job.
    states : Series of str, optional
        State of each appliance in the order of the rows, such as ``a.appliances["state"]``. The
        caption counts the states of the rows that are not drawn. By default, rows are sorted by
        the start of the newest success: none first, then the oldest.
    anomalies : DataFrame, optional
        Anomalies, of which those of kind stall and overrun are written beside running jobs; reads
        ``appliance``, ``start_time`` and ``kind`` of `backupkit.tables.ANOMALIES`.
    start, end : Timestamp or str, optional
        Period to show; by default that of the data.
    last : str or timedelta, optional
        Length of the part before the end to show, such as "3d", in place of `start`.
    limit : int
        Maximum number of rows to draw; a caption counts the rest.
    figsize : tuple of float, optional
        Width and height of the new figure [inch]; by default as the data needs.
    theme : {"light", "dark", "rc"}
        Colour theme; "rc" takes style and colours from matplotlib's settings.

    Returns
    -------
    Axes
        With one collection per outcome; row n is at y = n. Above 10,000 jobs, with one image
        instead: the colour of a cell shows its most serious outcome, its depth the number of jobs.
        Cells are whole hours or days.

    Notes
    -----
    The newest running job of a row reaches to its estimated end; the filled share is its progress.
    The estimate is that of `backupkit.watch`. With ten successes of the appliance in the frame, a
    line spans the ends by the 10 % and the 90 % quantile of their durations. Without an estimate,
    it reaches to `end`, or to the last time in the data, and ends with an arrow. A job that
    vanished from its appliance's list without an end extends to that time.

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
    assessed = find_assessment(jobs, "timeline", "a.jobs")
    if assessed is not None:
        jobs = assessed.jobs
        slots = assessed.slots if slots is None else slots
        states = assessed.figures["state"] if states is None else states
        anomalies = assessed.anomalies if anomalies is None else anomalies
        start, end = start or assessed.start, end or assessed.end
    started, expected = _check_frames(jobs, slots, anomalies)
    start, end = to_moment(start), to_moment(end)
    order = (
        _sort_worst_first(started, expected) if states is None else [str(n) for n in states.index]
    )
    drawn_names = order[:limit]
    with style.apply_style(theme) as active_theme:
        height = 1.4 + style.compute_height(max(len(drawn_names), 4))
        ax = style.prepare_axes(ax, height=height, figsize=figsize)
        if not order or (started.empty and expected.empty):
            return style.draw_message(ax, "No backup job in this period")
        now = end or _find_newest_times(started, expected)
        start = now - to_span(last) if last is not None else start
        rows = _find_rows(started, drawn_names)
        is_drawn = (rows >= 0) & _mark_overlapping_jobs(started, start, end)
        running = find_running_jobs(started, drawn_names, now, anomalies)
        is_drawn[[job.place for job in running]] = False  # drawn apart from the others
        drawn_jobs, rows = started[is_drawn], rows[is_drawn]
        handles: list[Artist] = []
        if len(drawn_jobs) > _MAX_BARS:
            handles += draw_density(ax, drawn_jobs, rows, since=start, now=now, theme=active_theme)
        else:
            handles += _draw_bars(ax, drawn_jobs, rows, now=now, active_theme=active_theme)
        handles += draw_running_jobs(ax, running, now, active_theme)
        handles += _draw_slots(ax, expected, drawn_names, active_theme)
        blank = {*range(len(drawn_names))} - {*rows.tolist()} - {job.row for job in running}
        blank -= {*_find_rows(expected, drawn_names).tolist()}
        _explain_blank_rows(ax, {row: drawn_names[row] for row in blank}, states, active_theme)
        style.label_rows(ax, drawn_names, width=32)
        ax.autoscale_view(scaley=False)
        shown_end = find_shown_end(running, start, end)
        time_axis.format_time_axis(ax, start, shown_end)
        if shown_end != end:
            ax.axvline(to_day_number(now), color=active_theme.muted, lw=0.8, gid="now", zorder=1)
        ax.grid(axis="x")
        plural = "s" if len(order) > 1 else ""
        style.draw_title_and_legend(ax, f"Backup jobs of {len(order):,} appliance{plural}", handles)
        omitted = len(order) - len(drawn_names)
        style.draw_caption(ax, style.count_omitted(omitted, "with a newer success", states))
    return ax


def _check_frames(
    jobs: Source, slots: pd.DataFrame | None, anomalies: pd.DataFrame | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the jobs with a start, and the slots."""
    if isinstance(jobs, pd.DataFrame) and {"time_left", "state"} <= {*jobs.columns}:  # of watch
        jobs = jobs.assign(outcome=jobs["state"].map(OUTCOME_BY_STATUS).fillna("other"))
    jobs = check_columns(jobs, _COLUMNS, "timeline", "a.jobs")
    if anomalies is not None:
        columns = ("appliance", "start_time", "kind")
        check_columns(anomalies, columns, "timeline", "a.anomalies", argument="anomalies")
    if slots is None:
        slots = SLOTS.empty()
    slots = check_columns(slots, ("appliance", "slot"), "timeline", "a.slots", argument="slots")
    jobs = time_axis.drop_implausible_times(jobs)
    return jobs[jobs["start_time"].notna()], slots


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
        overlaps &= ~time_axis.find_job_ends(jobs).lt(start).to_numpy()
    if end is not None:
        overlaps &= jobs["start_time"].lt(end).to_numpy()
    return overlaps


def _find_newest_times(jobs: pd.DataFrame, slots: pd.DataFrame) -> pd.Timestamp:
    times = [jobs[name] for name in ("start_time", "end_time", "last_seen_at") if name in jobs]
    newest: pd.Timestamp = pd.Series([column.max() for column in (*times, slots["slot"])]).max()
    return newest


def _draw_slots(
    ax: Axes, slots: pd.DataFrame, drawn_names: list[str], active_theme: themes.Theme
) -> list[Line2D]:
    rows = _find_rows(slots, drawn_names)
    if not (rows >= 0).any():
        return []
    return ax.plot(
        time_axis.to_day_numbers(slots["slot"][rows >= 0]),
        rows[rows >= 0] + 0.42,
        linestyle="none",
        marker="|",
        markersize=5,
        color=active_theme.muted,
        label="expected",
        zorder=1,
    )


def explain_blank_row(state: str | None) -> str:
    """Return why the row of an appliance, whose state may be known, has nothing to draw.

    Examples
    --------
    >>> explain_blank_row("unknown"), explain_blank_row("compliant")
    ('unknown: could not be read', 'no job and no expected run')
    """
    return _NO_JOB if state is None else _BLANK.get(state, _NO_JOB)


def _explain_blank_rows(
    ax: Axes, names: dict[int, str], states: pd.Series | None, active_theme: themes.Theme
) -> None:
    """Write into each row without a job or an expected run why it is empty."""
    for row, name in sorted(names.items()):
        ax.text(
            0.01,
            row,
            explain_blank_row(None if states is None else states[name]),
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=active_theme.muted,
            gid="blank",
        )


def _draw_bars(
    ax: Axes, jobs: pd.DataFrame, rows: Rows, *, now: pd.Timestamp, active_theme: themes.Theme
) -> list[Patch]:
    codes = encode_outcomes(jobs)
    return [
        _draw_outcome(
            ax,
            jobs[codes == code],
            rows[codes == code],
            outcome,
            now=now,
            active_theme=active_theme,
        )
        for code, outcome in enumerate(themes.OUTCOME_STYLES)
        if (codes == code).any()
    ]


def _draw_outcome(
    ax: Axes,
    jobs: pd.DataFrame,
    rows: Rows,
    outcome: str,
    *,
    now: pd.Timestamp,
    active_theme: themes.Theme,
) -> Patch:
    status_style = themes.OUTCOME_STYLES[outcome]
    colour = active_theme.of(status_style.colour)
    ends = time_axis.find_job_ends(jobs)
    running = ends.isna().to_numpy()
    left = time_axis.to_day_numbers(jobs["start_time"])
    right = time_axis.to_day_numbers(ends.fillna(now))
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
