"""Compliance of the fleet over time, with its target."""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from backupkit.plots import style, themes, time_axis
from backupkit.plots.sources import Source, check_columns, find_assessment
from backupkit.plots.style import Floats
from backupkit.plots.time_axis import MomentLike, to_moment
from backupkit.tables import IN_SCOPE_STATES

__all__ = ["compliance"]

_MAX_POINTS: Final = 4_000
_BINS: Final = 1_000
_COLUMNS: Final = ("appliance", "state", "start", "end")
_TARGET_METRIC: Final = "rpo_strict_micro"
_HIGH: Final = 70.0  # from this share on the axis does not begin at 0 [%]
_TOLERANCE: Final = 1e-9


def compliance(
    intervals: Source,
    *,
    ax: Axes | None = None,
    target: float | None = None,
    start: MomentLike | None = None,
    end: MomentLike | None = None,
    figsize: style.Size | None = None,
    theme: str = "light",
) -> Axes:
    """Draw the share of compliant appliances over time.

    Parameters
    ----------
    intervals : Assessment or DataFrame
        An assessment also gives target and period. A frame has ``appliance``, ``state``, ``start``
        [UTC] and ``end`` [UTC] of `backupkit.tables.INTERVALS`.
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    target : float, optional
        Share of the time that the policy demands, such as 0.99: drawn as a line. The title says
        whether the time in the whole period meets it.
    start, end : Timestamp or str, optional
        Period to show; by default that of the intervals.
    figsize : tuple of float, optional
        Width and height of the new figure [inch]; by default as the data needs.
    theme : {"light", "dark", "rc"}
        Colour theme; "rc" takes style and colours from matplotlib's settings.

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
    assessed, verdict = find_assessment(intervals, "compliance", "a.intervals"), None
    if assessed is not None:
        intervals = assessed.intervals
        start, end = start or assessed.start, end or assessed.end
        figure = assessed.fleet.reindex([_TARGET_METRIC]).iloc[0]
        if target is None and pd.notna(figure["target"]) and pd.notna(figure["value"]):
            target = float(figure["target"])
            verdict = float(figure["value"]), str(figure["target_state"])
    intervals = check_columns(intervals, _COLUMNS, "compliance", "a.intervals")
    start, end = to_moment(start), to_moment(end)
    with style.apply_style(theme) as active_theme:
        ax = style.prepare_axes(ax, height=2.8, figsize=figsize)
        in_scope = intervals[intervals["state"].isin(IN_SCOPE_STATES)]
        if in_scope.empty:
            return style.draw_message(ax, "No appliance was in scope in this period")
        days, (good, bad, unknown) = _count_states(in_scope)
        with np.errstate(invalid="ignore"):
            strict = 100 * good / (good + bad + unknown)
            observed = 100 * good / (good + bad)
        caption = _format_caption(good[-1], bad[-1], unknown[-1])
        days, strict, observed = _downsample(days, strict, observed)
        blue, purple = active_theme.of(themes.BLUE), active_theme.of(themes.PURPLE)
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
        time_axis.format_time_axis(ax, start, end)
        bottom = _choose_bottom(strict, target)
        ax.set_ylim(bottom - (100 - bottom) / 50, 100 + 3 * (100 - bottom) / 100)
        ax.set_ylabel("compliant (%)")
        ax.grid(axis="y")
        handles = [*ax.lines[::-1], *ax.collections]
        title = "Compliance over time"
        if target is not None:
            title += _describe_verdict(verdict or _judge(in_scope, target), target)
            handles.append(_draw_target(ax, target, active_theme))
        style.draw_title_and_legend(ax, title, handles)
        style.draw_caption(ax, caption, f"the axis begins at {bottom} %" if bottom else "")
    return ax


def _choose_bottom(strict: Floats, target: float | None) -> int:
    """Return the percentage at which the axis begins: 0, or 10 below the lowest line from 70 on.

    Otherwise 97 % and 99 % look equal.
    """
    lines = strict if target is None else np.append(strict, 100 * target)
    lowest = np.nanmin(lines) if not np.isnan(lines).all() else 0.0
    return int(lowest // 10 * 10 - 10) if lowest >= _HIGH else 0


def _draw_target(ax: Axes, target: float, active_theme: themes.Theme) -> Line2D:
    """Draw the target as a line, and name it at the right."""
    colour, percent = active_theme.of(themes.ORANGE), 100 * target
    style.draw_beside(ax, percent, f"target {percent:g} %", colour=colour)
    return ax.axhline(percent, color=colour, lw=1, ls=":", label="target", gid="target")


def _judge(in_scope: pd.DataFrame, target: float) -> tuple[float, str] | None:
    """Return the compliant share of the time in scope, and whether it meets a target."""
    spans = (in_scope["end"] - in_scope["start"]).dt.total_seconds()
    hours = spans.groupby(in_scope["state"].astype("str")).sum()
    good, total = hours.get("compliant", 0.0), hours.sum()
    if not total:
        return None
    needed = target * total * (1 - _TOLERANCE)
    if good >= needed:
        return good / total, "met"
    return good / total, "missed" if good + hours.get("unknown", 0.0) < needed else "unknown"


def _describe_verdict(verdict: tuple[float, str] | None, target: float) -> str:
    """Return share and target in words; a share that misses it is not rounded up to it."""
    if verdict is None:
        return ": no time in scope"
    percent, state = 100 * verdict[0], verdict[1]
    shown = round(percent, 1)
    if state != "met" and shown >= 100 * target:
        shown = np.floor(10 * percent) / 10
    word = "not decided" if state == "unknown" else state
    return f": {shown:.1f} % of the time, target {100 * target:g} % {word}"


def _count_states(intervals: pd.DataFrame) -> tuple[Floats, list[Floats]]:
    """Return the times at which a count changes, and the count of each state from then on."""
    start_days, end_days = (time_axis.to_day_numbers(intervals[name]) for name in ("start", "end"))
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
