"""Figure of the concurrent jobs per backup target."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from backupkit.plots import style, themes, time_axis
from backupkit.plots.sources import Source, check_columns, find_assessment
from backupkit.plots.style import Floats
from backupkit.tables.locations import target_of

__all__ = ["load"]

_MAX_STEPS: Final = 10_000
"""Maximum number of steps of a curve; more are reduced to columns."""

_COLUMN_COUNT: Final = 900

Codes = npt.NDArray[np.intp]


def load(
    jobs: Source,
    *,
    ax: Axes | None = None,
    loads: pd.DataFrame | None = None,
    limit: int = 6,
    figsize: style.Size | None = None,
    theme: str = "light",
) -> Axes:
    """Draw the number of concurrent jobs on each backup target.

    Parameters
    ----------
    jobs : Assessment or DataFrame
        A frame has ``target`` or ``location``, ``start_time`` [UTC], ``end_time`` [UTC] and, if
        present, ``vanished_at`` [UTC]. Without a target, that of the location counts. Of an
        assessment, the jobs of its period are drawn, and its loads.
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    loads : DataFrame, optional
        Peaks of the schedules, drawn as dotted lines; reads ``planned`` of
        `backupkit.tables.LOADS`, indexed by target.
    limit : int
        Maximum number of targets to draw, those with the highest peaks; a caption counts the rest.
    figsize : tuple of float, optional
        Width and height of the new figure [inch]; by default as the data needs.
    theme : {"light", "dark", "rc"}
        Colour theme; "rc" takes style and colours from matplotlib's settings.

    Returns
    -------
    Axes
        With one row per target, the highest peak on top. The height of the fill is the number of
        jobs, on the same scale for all rows. A dotted line is the peak of the schedules. More than
        10,000 changes of a target are reduced to the highest number in each of 900 columns.

    Notes
    -----
    Jobs that only touch, end to start, are not concurrent. A job without an end runs until it
    vanished from its appliance's list, otherwise to the last time in the data.

    Examples
    --------
    >>> night = pd.Timestamp("2026-11-08T01:00Z")
    >>> hour = pd.Timedelta(hours=1)
    >>> jobs = pd.DataFrame(
    ...     {
    ...         "target": ["nas-1", "nas-1"],
    ...         "start_time": [night, night + hour / 2],
    ...         "end_time": [night + hour, night + 2 * hour],
    ...     }
    ... )
    >>> load(jobs).get_yticklabels()[0].get_text()
    'nas-1: at most 2'
    """
    assessed = find_assessment(jobs, "load", "a.jobs")
    if assessed is not None:
        jobs = assessed.jobs[assessed.jobs["in_period"]]
        loads = assessed.loads if loads is None else loads
    target = "target" if "target" in getattr(jobs, "columns", ()) else "location"
    jobs = check_columns(jobs, (target, "start_time", "end_time"), "load", "a.jobs")
    jobs = time_axis.drop_implausible_times(jobs)
    if target == "location":
        targets = {place: target_of(place) for place in jobs["location"].dropna().unique()}
        jobs = jobs.assign(target=jobs["location"].map(targets))
    if loads is not None:
        check_columns(loads, ("planned_peak",), "load", "a.loads", argument="loads")
    started = jobs[jobs["start_time"].notna()]
    located = started[started["target"].notna()]
    codes, names = pd.factorize(located["target"])
    with style.apply_style(theme) as active_theme:
        if located.empty:
            ax = style.prepare_axes(ax, height=2, figsize=figsize)
            return style.draw_message(ax, "No job has a known target")
        curves = _build_curves(located, codes, len(names))
        order = np.argsort([-curve[1].max() for curve in curves], kind="stable")[:limit]
        height = 1.2 + 0.5 * max(len(order), 2)
        ax = style.prepare_axes(ax, height=height, figsize=figsize)
        planned_peaks = [_get_planned_peak(loads, str(names[code])) for code in order]
        max_count = max(curves[order[0]][1].max(), *(plan or 0 for plan in planned_peaks), 1)
        labels = []
        for row, code in enumerate(order):
            times, job_counts = curves[code]
            colour = active_theme.of(themes.CURVES[row % len(themes.CURVES)])
            level = row + 0.4 - 0.8 * job_counts / max_count
            ax.fill_between(
                times, row + 0.4, level, step="post", color=colour, linewidth=0.6, gid="load"
            )
            label = f"{names[code]}: at most {job_counts.max():.0f}"
            planned_peak = planned_peaks[row]
            if planned_peak is not None:
                label += f", planned {planned_peak:.0f}"
                level = row + 0.4 - 0.8 * planned_peak / max_count
                ax.axhline(level, color=active_theme.ink, lw=0.8, ls=":", gid="planned")
            labels.append(label)
        style.label_rows(ax, labels, width=48)
        start, end = (None, None) if assessed is None else (assessed.start, assessed.end)
        time_axis.format_time_axis(ax, start, end)
        ax.grid(axis="x")
        style.draw_title_and_legend(ax, "Concurrent jobs per target")
        without_target = len(started) - len(located)
        plural = "" if without_target == 1 else "s"
        style.draw_caption(
            ax,
            style.count_omitted(len(names) - limit, "with a lower peak"),
            f"{without_target:,} job{plural} without a target" if without_target else "",
        )
    return ax


def _get_planned_peak(loads: pd.DataFrame | None, target: str) -> float | None:
    """Return the peak of concurrent jobs that the schedules plan on a target, if known."""
    if loads is None or target not in loads.index:
        return None
    planned = loads.loc[[target], "planned_peak"].iloc[0]
    return None if pd.isna(planned) else float(planned)


def _build_curves(jobs: pd.DataFrame, codes: Codes, count: int) -> list[tuple[Floats, Floats]]:
    """Return the curve of each target, as from `_build_steps`."""
    order = np.argsort(codes.astype(np.min_scalar_type(count)), kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(1, count))
    start, end = (
        time_axis.to_day_numbers(jobs["start_time"]),
        time_axis.to_day_numbers(time_axis.find_job_ends(jobs)),
    )
    last = np.fmax(start.max(), np.fmax.reduce(end))
    end = np.maximum(end, start)
    groups = (np.split(times[order], bounds) for times in (start, end))
    return [_build_steps(starts, stops, last) for starts, stops in zip(*groups, strict=True)]


def _build_steps(start: Floats, end: Floats, last: float) -> tuple[Floats, Floats]:
    """Return the times at which the number of jobs changes, and the number from then on."""
    start, end = np.sort(start), np.sort(end[~np.isnan(end)])  # a running job has no end
    if len(start) + len(end) <= _MAX_STEPS:
        change_times = np.unique(np.concatenate([start, end, [last]]))
        return change_times, _count_running(change_times, start, end)
    # one column per pixel: start with the number that lasts from before, then take the highest,
    # which is reached when a job starts
    edges = np.linspace(start[0], last, _COLUMN_COUNT, endpoint=False)
    highest = _count_running(edges, start, end)
    first = np.searchsorted(start, edges)
    begun = np.flatnonzero(np.diff(first, append=len(start)))
    counts = np.arange(1, len(start) + 1) - np.searchsorted(end, start, "right")
    peaks = np.maximum.reduceat(counts, first[begun])
    highest[begun] = np.maximum(highest[begun], peaks)
    return np.append(edges, last), np.append(highest, _count_running(np.array([last]), start, end))


def _count_running(times: Floats, start: Floats, end: Floats) -> Floats:
    """Return how many jobs run from each time on, of sorted starts and ends."""
    counts = np.searchsorted(start, times, "right") - np.searchsorted(end, times, "right")
    return counts.astype(np.float64)
