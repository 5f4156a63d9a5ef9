"""Compliance of the fleet and exposure of each appliance over time."""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from backupkit.plots import style
from backupkit.plots.style import Floats
from backupkit.tables import IN_SCOPE_STATES

__all__ = ["compliance", "exposure"]

_MAX_POINTS: Final = 4_000
_BINS: Final = 1_000
_HOUR: Final = 1 / 24


def compliance(
    intervals: pd.DataFrame,
    *,
    ax: Axes | None = None,
    start: pd.Timestamp | None = None,
    end: pd.Timestamp | None = None,
    theme: str = "light",
) -> Axes:
    """Draw the share of compliant appliances over time.

    Parameters
    ----------
    intervals : DataFrame
        Reads ``appliance``, ``state``, ``start`` [UTC] and ``end`` [UTC] of
        `backupkit.tables.INTERVALS`.
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    start, end : Timestamp, optional
        Period to show; by default that of the intervals.
    theme : {"light", "dark"}
        Colour theme.

    Returns
    -------
    Axes
        With two step lines [%]: strict counts unknown appliances as not compliant, observed leaves
        them out. The band between them is unknown. Times without appliances in scope are gaps.
        More than 4,000 changes are reduced to the lowest value in each of 1,000 bins, so that dips
        stay visible.

    Examples
    --------
    >>> from backupkit.tables import INTERVALS
    >>> ax = compliance(
    ...     INTERVALS.frame(
    ...         {
    ...             "appliance": ["a", "b"],
    ...             "state": ["compliant", "unknown"],
    ...             "start": ["2026-11-02T00:00Z"] * 2,
    ...             "end": ["2026-11-03T00:00Z"] * 2,
    ...         }
    ...     )
    ... )
    >>> [float(line.get_ydata()[0]) for line in ax.lines]
    [100.0, 50.0]
    """
    with style.apply_style(theme) as active_theme:
        ax = style.prepare_axes(ax, height=2.8)
        in_scope = intervals[intervals["state"].isin(IN_SCOPE_STATES)]
        if in_scope.empty:
            return style.draw_message(ax, "No appliance was in scope in this period")
        days, (good, bad, unknown) = _count_states(in_scope)
        with np.errstate(invalid="ignore"):
            strict = 100 * good / (good + bad + unknown)
            observed = 100 * good / (good + bad)
        caption = _format_caption(good[-1], bad[-1], unknown[-1])
        days, strict, observed = _downsample(days, strict, observed)
        blue, purple = active_theme.of(style.BLUE), active_theme.of(style.PURPLE)
        upper = np.where(np.isnan(observed) & ~np.isnan(strict), 100.0, observed)
        ax.fill_between(
            days,
            strict,
            upper,
            step="post",
            facecolor=active_theme.tint(purple),
            edgecolor=purple,
            hatch="/////",
            linewidth=0,
            label="unknown",
        )
        for line, linestyle, name in ((observed, "--", "observed"), (strict, "-", "strict")):
            ax.step(days, line, where="post", color=blue, linestyle=linestyle, lw=1.5, label=name)
        ax.margins(x=0)
        style.format_time_axis(ax, start, end)
        ax.set_ylim(-2, 103)
        ax.set_ylabel("compliant (%)")
        ax.grid(axis="y")
        style.draw_title_and_legend(ax, "Compliance over time", [*ax.lines[::-1], *ax.collections])
        style.draw_caption(ax, caption)
    return ax


def _count_states(intervals: pd.DataFrame) -> tuple[Floats, list[Floats]]:
    """Return the times at which a count changes, and the count of each state from then on."""
    start_days, end_days = (style.to_day_numbers(intervals[name]) for name in ("start", "end"))
    change_times, inverse = np.unique(np.concatenate([start_days, end_days]), return_inverse=True)
    counts = []
    for state in IN_SCOPE_STATES:
        rows = intervals["state"].eq(state).to_numpy()
        starts, stops = (
            np.bincount(positions[rows], minlength=len(change_times))
            for positions in (inverse[: len(start_days)], inverse[len(start_days) :])
        )
        counts.append(np.cumsum(starts - stops).astype(np.float64))
    last = len(change_times) - 1
    # all counts are 0 at the last time: repeat the counts before it
    return change_times, [np.append(count[:last], count[last - 1]) for count in counts]


def _downsample(days: Floats, strict: Floats, observed: Floats) -> tuple[Floats, Floats, Floats]:
    """Reduce the points to two per bin: the lowest value at its start, and its last value."""
    if len(days) <= _MAX_POINTS:
        return days, strict, observed
    edges = np.linspace(days[0], days[-1], _BINS, endpoint=False)
    firsts = np.unique(np.searchsorted(days, edges))
    lasts = np.append(firsts[1:], len(days)) - 1  # this value may last for many bins
    lowest, low_observed = (
        # fmin ignores gaps unless the bin has no value
        np.ravel(np.column_stack([np.fmin.reduceat(line, firsts), line[lasts]]))
        for line in (strict, observed)
    )
    return np.ravel(np.column_stack([days[firsts], days[lasts]])), lowest, low_observed


def _format_caption(good: float, bad: float, unknown: float) -> str:
    in_scope, observed = good + bad + unknown, good + bad
    if not in_scope:
        return "at the end no appliance is in scope"
    strict = f"{good:,.0f} of {in_scope:,.0f} in scope compliant (strict)"
    if not unknown:
        return f"at the end {strict}, all of them read"
    return f"at the end {strict}, {good:,.0f} of the {observed:,.0f} read (observed)"


def exposure(
    points: pd.DataFrame,
    *,
    ax: Axes | None = None,
    threshold: pd.Timedelta | pd.Series | None = None,
    start: pd.Timestamp | None = None,
    end: pd.Timestamp | None = None,
    limit: int = 6,
    theme: str = "light",
) -> Axes:
    """Draw the exposure of each appliance over time, with its threshold.

    Parameters
    ----------
    points : DataFrame
        Recovery points from `backupkit.analysis.recovery_points`; reads ``appliance``,
        ``available`` [UTC] and ``point`` [UTC].
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    threshold : Timedelta or Series of timedelta64, optional
        RPO + grace. A Series is indexed by appliance; the caption counts its appliances without a
        recovery point.
    start, end : Timestamp, optional
        Period to show; by default from the first to the last recovery point.
    limit : int
        Maximum number of appliances to draw, those with the highest exposure at the end; a caption
        counts the rest.
    theme : {"light", "dark"}
        Colour theme.

    Returns
    -------
    Axes
        With one line per appliance [h]. It rises by 1 h per hour and falls when a recovery point
        becomes available. The area between a line and a threshold below it is filled. If the
        thresholds differ, lines are multiples of the appliance's threshold instead.

    Examples
    --------
    >>> night = pd.Timestamp("2026-11-08T01:00Z")
    >>> hour = pd.Timedelta(hours=1)
    >>> points = pd.DataFrame({"appliance": ["vc-1"], "available": [night], "point": [night]})
    >>> line = exposure(points, end=night + 6 * hour).lines[0]
    >>> [round(float(y), 3) for y in line.get_ydata()]
    [0.0, 6.0]
    """
    valid_points = points[points["available"].notna() & points["point"].notna()]
    with style.apply_style(theme) as active_theme:
        ax = style.prepare_axes(ax, height=3.4)
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
        for index, name in enumerate(drawn_names):
            appliance_points = valid_points[valid_points["appliance"] == name].sort_values(
                "available", kind="stable"
            )
            days, hours = _build_sawtooth(appliance_points, first, last)
            if differ:
                hours = hours / thresholds[name]
            colour = active_theme.of(style.CURVES[index % len(style.CURVES)])
            linestyle = ("-", "--", ":")[index // len(style.CURVES) % 3]
            ax.plot(
                days,
                hours,
                color=colour,
                lw=1.3,
                linestyle=linestyle,
                label=style.sanitise_legend_label(name),
                zorder=2 + 1 / (index + 1),  # highest exposure in front
            )
            if name in thresholds:
                level = 1.0 if differ else thresholds[name]
                ax.fill_between(
                    *_cut_off_below(days, hours, level),
                    level,
                    color=active_theme.tint(active_theme.of(style.ORANGE)),
                    zorder=0.5,
                    linewidth=0,
                )
        drawn_thresholds = {thresholds[name] for name in drawn_names if name in thresholds}
        for threshold_line in [1.0] if differ else sorted(drawn_thresholds):
            orange = active_theme.of(style.ORANGE)
            ax.axhline(threshold_line, color=orange, lw=1, ls="--", label="RPO + grace")
        style.format_time_axis(ax, first, last)
        ax.set_ylim(bottom=0)
        ax.set_ylabel("exposure / (RPO + grace)" if differ else "exposure (h)")
        ax.grid(axis="y")
        ax.set_title("Age of the newest backup")
        style.draw_legend_right(ax)
        style.draw_caption(
            ax,
            style.count_omitted(len(newest) - len(drawn_names), "less exposed"),
            _count_without_point(threshold, newest.index),
        )
    return ax


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
        style.to_day_numbers(appliance_points[name]) for name in ("available", "point")
    )
    start, end = style.to_day_numbers(pd.Series([first, last]))
    count_before = np.searchsorted(falls, start, side="right")
    first_point = points[count_before - 1] if count_before else np.nan
    falls, points = falls[count_before:], points[count_before:]
    corners = np.concatenate([[start], np.repeat(falls, 2), [end]])
    point_times = np.repeat(np.concatenate([[first_point], points]), 2)
    hours = (corners - point_times) / _HOUR
    is_defined = ~np.isnan(hours)
    return corners[is_defined], hours[is_defined]


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
