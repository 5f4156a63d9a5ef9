"""Figure of the exposure of each appliance over time."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from backupkit.plots import style

__all__ = ["exposure"]

_HOUR: Final = 1 / 24

Floats = npt.NDArray[np.float64]


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
    with style.context(theme) as active_theme:
        ax = style.axes(ax, height=3.4)
        last = valid_points["available"].max() if end is None else end
        if len(valid_points):
            valid_points = valid_points[valid_points["available"] <= last]
        if valid_points.empty:
            return style.draw_message(ax, "No recovery point is known")
        first = valid_points["available"].min() if start is None else start
        newest = valid_points.groupby("appliance", observed=True)["point"].max()
        newest.index = newest.index.astype("str")
        thresholds = _threshold_hours(threshold, newest.index)
        differ = len(set(thresholds.values())) > 1 and len(thresholds) == len(newest)
        exposed = (last - newest).dt.total_seconds() / 3_600
        if differ:
            exposed /= pd.Series(thresholds)
        drawn_names = list(exposed.sort_values(ascending=False, kind="stable").index[:limit])
        for index, name in enumerate(drawn_names):
            appliance_points = valid_points[valid_points["appliance"] == name].sort_values(
                "available", kind="stable"
            )
            days, hours = _sawtooth(appliance_points, first, last)
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
                label=style.legend_label(name),
                zorder=2 + 1 / (index + 1),  # highest exposure in front
            )
            if name in thresholds:
                level = 1.0 if differ else thresholds[name]
                ax.fill_between(
                    days,
                    hours,
                    level,
                    where=(hours >= level).tolist(),
                    interpolate=True,
                    color=active_theme.tint(active_theme.of(style.ORANGE)),
                    zorder=0.5,
                    linewidth=0,
                )
        drawn_thresholds = {thresholds[name] for name in drawn_names if name in thresholds}
        for threshold_line in [1.0] if differ else sorted(drawn_thresholds):
            orange = active_theme.of(style.ORANGE)
            ax.axhline(threshold_line, color=orange, lw=1, ls="--", label="RPO + grace")
        style.time_axis(ax, first, last)
        ax.set_ylim(bottom=0)
        ax.set_ylabel("exposure / (RPO + grace)" if differ else "exposure (h)")
        ax.grid(axis="y")
        ax.set_title("Age of the newest backup")
        style.legend_right(ax)
        style.caption(
            ax,
            _omitted_caption(
                len(newest) - len(drawn_names), _count_without_point(threshold, newest.index)
            ),
        )
    return ax


def _count_without_point(threshold: pd.Timedelta | pd.Series | None, names: pd.Index) -> int:
    """Count the appliances that have a threshold but no recovery point."""
    return len(threshold.index.difference(names)) if isinstance(threshold, pd.Series) else 0


def _omitted_caption(omitted: int, without_point: int) -> str:
    parts = []
    if omitted:
        parts.append(f"and {omitted:,} more, less exposed, not drawn")
    if without_point:
        parts.append(f"{without_point:,} without any recovery point")
    return "; ".join(parts)


def _threshold_hours(
    threshold: pd.Timedelta | pd.Series | None, names: pd.Index
) -> dict[str, float]:
    """Return the threshold of each appliance that has one [h]."""
    if threshold is None:
        return {}
    if isinstance(threshold, pd.Series):
        appliance_hours = threshold.reindex(names).dropna().dt.total_seconds() / 3_600
        return {str(name): float(hours) for name, hours in appliance_hours.items()}
    return dict.fromkeys(names, threshold.total_seconds() / 3_600)


def _sawtooth(
    appliance_points: pd.DataFrame, first: pd.Timestamp, last: pd.Timestamp
) -> tuple[Floats, Floats]:
    """Return times and exposures [h] before and after each fall, within the period."""
    falls, points = (
        style.days(appliance_points[name]).to_numpy() for name in ("available", "point")
    )
    start, end = style.days(pd.Series([first, last])).to_numpy()
    count_before = np.searchsorted(falls, start, side="right")
    first_point = points[count_before - 1] if count_before else np.nan
    falls, points = falls[count_before:], points[count_before:]
    corners = np.concatenate([[start], np.repeat(falls, 2), [end]])
    point_times = np.repeat(np.concatenate([[first_point], points]), 2)
    hours = (corners - point_times) / _HOUR
    is_defined = ~np.isnan(hours)
    return corners[is_defined], hours[is_defined]
