"""Exposure of each appliance over time: the age of its newest backup."""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from backupkit.plots import style, themes, time_axis
from backupkit.plots.fonts import sanitise_legend_label
from backupkit.plots.sources import Source, check_columns, find_assessment
from backupkit.plots.style import Floats
from backupkit.plots.time_axis import MomentLike, to_moment

__all__ = ["exposure"]

_COLUMNS: Final = ("appliance", "available", "point")
_HOUR: Final = 1 / 24
_MAX_FALLS: Final = 20
"""Maximum number of falls of a line to draw; more would hide the other lines."""

_MAX_STEPS: Final = 240
"""Maximum number of steps of a line with more falls; about three pixels each."""


def exposure(
    points: Source,
    *,
    ax: Axes | None = None,
    threshold: pd.Timedelta | pd.Series | None = None,
    start: MomentLike | None = None,
    end: MomentLike | None = None,
    limit: int = 6,
    figsize: style.Size | None = None,
    theme: str = "light",
) -> Axes:
    """Draw the exposure of each appliance over time, with its threshold.

    Parameters
    ----------
    points : Assessment or DataFrame
        An assessment also gives thresholds and period. A frame has ``appliance``, ``available``
        [UTC] and ``point`` [UTC], as ``a.recovery_points``.
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    threshold : Timedelta or Series of timedelta64, optional
        RPO + grace. A Series is indexed by appliance; the caption counts its appliances without a
        recovery point.
    start, end : Timestamp or str, optional
        Period to show; by default from the first to the last recovery point.
    limit : int
        Maximum number of appliances to draw, those with the highest exposure at the end; a caption
        counts the rest.
    figsize : tuple of float, optional
        Width and height of the new figure [inch]; by default as the data needs.
    theme : {"light", "dark", "rc"}
        Colour theme; "rc" takes style and colours from matplotlib's settings.

    Returns
    -------
    Axes
        With one line per appliance [h]. It rises by 1 h per hour and falls when a recovery point
        becomes available. A line of more than 20 falls is reduced to the highest value of each
        day, or of as many days as fit, as steps. The area between a line and a threshold below it
        is filled. If the thresholds differ, lines are multiples of the appliance's threshold
        instead.

    Examples
    --------
    >>> night = pd.Timestamp("2026-11-08T01:00Z")
    >>> hour = pd.Timedelta(hours=1)
    >>> points = pd.DataFrame({"appliance": ["vc-1"], "available": [night], "point": [night]})
    >>> line = exposure(points, end=night + 6 * hour).lines[0]
    >>> [round(float(y), 3) for y in line.get_ydata()]
    [0.0, 6.0]
    """
    assessed = find_assessment(points, "exposure", "a.recovery_points")
    if assessed is not None:
        rows = assessed.figures
        scoped = rows.index[rows["state"].ne("excluded")]
        points = assessed.recovery_points
        points = points[points["appliance"].isin(scoped)]
        threshold = rows["threshold"].reindex(scoped) if threshold is None else threshold
        start, end = start or assessed.start, end or assessed.end
    points = check_columns(points, _COLUMNS, "exposure", "a.recovery_points")
    start, end = to_moment(start), to_moment(end)
    valid_points = points[points["available"].notna() & points["point"].notna()]
    with style.apply_style(theme) as active_theme:
        ax = style.prepare_axes(ax, height=3.4, figsize=figsize)
        last = valid_points["available"].max() if end is None else end
        if len(valid_points):
            valid_points = valid_points[valid_points["available"] <= last]
        if valid_points.empty:
            return style.draw_message(ax, "No recovery point is known")
        first = valid_points["available"].min() if start is None else start
        newest = valid_points.groupby("appliance", observed=True)["point"].max()
        newest.index = newest.index.astype("str")
        thresholds = _get_threshold_hours(threshold, newest.index)
        differ = len(set(thresholds.values())) > 1 and len(thresholds) == len(newest)
        exposed = (last - newest).dt.total_seconds() / 3_600
        if differ:
            exposed /= pd.Series(thresholds)
        drawn_names = list(exposed.sort_values(ascending=False, kind="stable").index[:limit])
        reduced = ""
        for index, name in enumerate(drawn_names):
            appliance_points = valid_points[valid_points["appliance"] == name].sort_values(
                "available", kind="stable"
            )
            days, hours = _build_sawtooth(appliance_points, first, last)
            if len(days) > 2 * _MAX_FALLS + 2:
                days, hours = _reduce_to_peaks(days, hours)
                reduced = f"of more than {_MAX_FALLS} backups: the oldest age of each day"
            if differ:
                hours = hours / thresholds[name]
            colour = active_theme.of(themes.CURVES[index % len(themes.CURVES)])
            linestyle = ("-", "--", ":")[index // len(themes.CURVES) % 3]
            ax.plot(
                days,
                hours,
                color=colour,
                lw=1.3,
                linestyle=linestyle,
                label=sanitise_legend_label(name),
                zorder=2 + 1 / (index + 1),  # highest exposure in front
            )
            if name in thresholds:
                level = 1.0 if differ else thresholds[name]
                ax.fill_between(
                    *_cut_off_below(days, hours, level),
                    level,
                    color=active_theme.tint(active_theme.of(themes.ORANGE)),
                    zorder=0.5,
                    linewidth=0,
                )
        drawn_thresholds = {thresholds[name] for name in drawn_names if name in thresholds}
        _draw_thresholds(ax, [1.0] if differ else sorted(drawn_thresholds), active_theme)
        time_axis.format_time_axis(ax, first, last)
        ax.set_ylim(bottom=0)
        ax.set_ylabel("exposure / (RPO + grace)" if differ else "exposure (h)")
        ax.grid(axis="y")
        style.draw_title_and_legend(ax, "Age of the newest backup")
        style.draw_legend_right(ax)
        style.draw_caption(
            ax,
            style.count_omitted(len(newest) - len(drawn_names), "less exposed"),
            _count_without_point(threshold, newest.index),
            reduced,
        )
    return ax


def _draw_thresholds(ax: Axes, levels: list[float], active_theme: themes.Theme) -> None:
    for level in levels:
        colour = active_theme.of(themes.ORANGE)
        ax.axhline(level, color=colour, lw=1, ls="--", label="RPO + grace")


def _count_without_point(threshold: pd.Timedelta | pd.Series | None, names: pd.Index) -> str:
    """Return a caption that counts the appliances with a threshold but no recovery point."""
    count = len(threshold.index.difference(names)) if isinstance(threshold, pd.Series) else 0
    return f"{count:,} without any recovery point" if count else ""


def _get_threshold_hours(
    threshold: pd.Timedelta | pd.Series | None, names: pd.Index
) -> dict[str, float]:
    """Return the threshold of each appliance that has one [h]."""
    if threshold is None:
        return {}
    if isinstance(threshold, pd.Series):
        appliance_hours = threshold.reindex(names).dropna().dt.total_seconds() / 3_600
        return {str(name): float(hours) for name, hours in appliance_hours.items()}
    return dict.fromkeys(names, threshold.total_seconds() / 3_600)


def _build_sawtooth(
    appliance_points: pd.DataFrame, first: pd.Timestamp, last: pd.Timestamp
) -> tuple[Floats, Floats]:
    """Return times and exposures [h] before and after each fall, within the period."""
    falls, points = (
        time_axis.to_day_numbers(appliance_points[name]) for name in ("available", "point")
    )
    start, end = time_axis.to_day_numbers(pd.Series([first, last]))
    count_before = np.searchsorted(falls, start, side="right")
    first_point = points[count_before - 1] if count_before else np.nan
    falls, points = falls[count_before:], points[count_before:]
    corners = np.concatenate([[start], np.repeat(falls, 2), [end]])
    point_times = np.repeat(np.concatenate([[first_point], points]), 2)
    hours = (corners - point_times) / _HOUR
    is_defined = ~np.isnan(hours)
    return corners[is_defined], hours[is_defined]


def _reduce_to_peaks(days: Floats, hours: Floats) -> tuple[Floats, Floats]:
    """Reduce a sawtooth to steps: the highest value of each bin.

    A bin is a UTC day, or as many days as are needed for at most 240 bins.
    """
    width = max(np.ceil((days[-1] - days[0]) / _MAX_STEPS), 1)
    edges = np.arange(np.floor(days[0] / width) * width, days[-1], width)
    ends = np.append(edges[1:], days[-1])
    # also the value that the line has at the end of a bin
    order = np.argsort(np.concatenate([days, ends]), kind="stable")
    times = np.concatenate([days, ends])[order]
    values = np.concatenate([hours, np.interp(ends, days, hours)])[order]
    firsts = np.clip(np.searchsorted(times, edges), 0, len(times) - 1)
    peaks = np.maximum.reduceat(values, firsts)
    steps = np.column_stack([np.maximum(edges, days[0]), ends])
    return np.ravel(steps), np.repeat(peaks, 2)


def _cut_off_below(days: Floats, hours: Floats, level: float) -> tuple[Floats, Floats]:
    """Return a curve that follows another one above a level, and the level below it."""
    above = hours - level
    crossed = np.flatnonzero(above[:-1] * above[1:] < 0)
    share = above[crossed] / (above[crossed] - above[crossed + 1])
    crossings = days[crossed] + share * (days[crossed + 1] - days[crossed])
    return (
        np.insert(days, crossed + 1, crossings),
        np.insert(np.maximum(hours, level), crossed + 1, level),
    )
