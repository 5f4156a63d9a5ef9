"""Figures of compliance and failures over time."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from backupkit.plots import style
from backupkit.tables import IN_SCOPE_STATES

__all__ = ["compliance", "failures_over_time"]

_MAX_POINTS: Final = 4_000
_BINS: Final = 1_000
_MAX_DAYS_HOURLY: Final = 2
_MAX_DAYS_DAILY: Final = 200
_PATTERNS: Final = ("/////", ".....", "xxxxx", "-----", "\\\\\\\\\\", "")
_DAY: Final = pd.Timedelta(days=1)

Floats = npt.NDArray[np.float64]


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
    with style.context(theme) as active_theme:
        ax = style.axes(ax, height=2.8)
        in_scope = intervals[intervals["state"].isin(IN_SCOPE_STATES)]
        if in_scope.empty:
            return style.draw_message(ax, "No appliance was in scope in this period")
        days, (good, bad, unknown) = _counts(in_scope)
        with np.errstate(invalid="ignore"):
            strict = 100 * good / (good + bad + unknown)
            observed = 100 * good / (good + bad)
        caption = _caption(good[-1], bad[-1], unknown[-1])
        days, strict, observed = _downsampled(days, strict, observed)
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
            label="not known",
        )
        for line, linestyle, name in ((observed, "--", "observed"), (strict, "-", "strict")):
            ax.step(days, line, where="post", color=blue, linestyle=linestyle, lw=1.5, label=name)
        ax.margins(x=0)
        style.time_axis(ax, start, end)
        ax.set_ylim(-2, 103)
        ax.set_ylabel("compliant (%)")
        ax.grid(axis="y")
        style.title_and_legend(ax, "Compliance over time", [*ax.lines[::-1], *ax.collections])
        style.caption(ax, caption)
    return ax


def _counts(intervals: pd.DataFrame) -> tuple[Floats, list[Floats]]:
    """Return the times at which a count changes, and the count of each state from then on."""
    start_days, end_days = (style.days(intervals[name]).to_numpy() for name in ("start", "end"))
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


def _downsampled(days: Floats, strict: Floats, observed: Floats) -> tuple[Floats, Floats, Floats]:
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


def _caption(good: float, bad: float, unknown: float) -> str:
    in_scope, observed = good + bad + unknown, good + bad
    if not in_scope:
        return "at the end nobody is in scope"
    strict = f"{good:,.0f} of {in_scope:,.0f} in scope compliant (strict)"
    if not unknown:
        return f"at the end {strict}, all of them read"
    return f"at the end {strict}, {good:,.0f} of the {observed:,.0f} read (observed)"


def failures_over_time(
    jobs: pd.DataFrame, *, ax: Axes | None = None, limit: int = 5, theme: str = "light"
) -> Axes:
    """Draw the number of failed jobs per day, stacked by signature.

    Parameters
    ----------
    jobs : DataFrame
        Failed jobs; reads ``signature`` and ``end_time`` [UTC].
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    limit : int
        Maximum number of signatures to draw separately; the others share a part.
    theme : {"light", "dark"}
        Colour theme.

    Returns
    -------
    Axes
        With one stack per UTC day; per hour if the jobs span at most 2 days, per week if they span
        more than 200 days.

    Examples
    --------
    >>> jobs = pd.DataFrame(
    ...     {
    ...         "signature": ["disk full"] * 2,
    ...         "end_time": pd.to_datetime(["2026-11-02T01:00Z", "2026-11-06T01:00Z"]),
    ...     }
    ... )
    >>> failures_over_time(jobs).patches[0].get_data()[0]
    array([ 1., nan, nan, nan,  1.])
    """
    ended = jobs[jobs["end_time"].notna() & jobs["signature"].notna()]
    with style.context(theme) as active_theme:
        codes, names = pd.factorize(ended["signature"])
        part_count = min(len(names), limit + 1)
        ax = style.axes(ax, height=2.4 + 0.2 * part_count)
        if ended.empty:
            return style.draw_message(ax, "No backup job failed in this period")
        days = style.days(ended["end_time"]).to_numpy()
        width, unit = _bin_width(days.max() - days.min())
        first = np.floor(days.min() / width)
        column = (np.floor(days / width) - first).astype(np.int64)
        edges = (first + np.arange(column.max() + 2)) * width
        order = np.argsort(-np.bincount(codes, minlength=len(names)), kind="stable")
        rank = np.empty(len(names), dtype=np.int64)
        rank[order] = np.arange(len(names))
        part_codes = np.minimum(rank[codes], limit)
        base = np.zeros(len(edges) - 1)
        for code in range(part_count):
            others = code == limit
            height = np.bincount(column[part_codes == code], minlength=len(base))
            label = f"{len(names) - limit:,} others" if others else str(names[order[code]])
            colour = active_theme.of(
                style.MUTED if others else style.CURVES[code % len(style.CURVES)]
            )
            ax.stairs(
                np.where(height > 0, base + height, np.nan),
                edges,
                baseline=base,
                fill=True,
                facecolor=active_theme.tint(colour),
                edgecolor=colour,
                linewidth=0.8,
                hatch=_PATTERNS[code % len(_PATTERNS)],
                label=style.legend_label(label, width=70),
            )
            base = base + height  # a new array: the drawn part references the old one
        ax.set_ylim(0, 1.05 * base.max())
        style.time_axis(ax)
        ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        ax.set_ylabel(f"failed jobs a {unit}")
        ax.grid(axis="y")
        ax.set_title("Failures over time")
        style.legend_below(ax, columns=1)
    return ax


def _bin_width(span: float) -> tuple[float, str]:
    """Return the width of a bin [days] and its name."""
    if span <= _MAX_DAYS_HOURLY:
        return 1 / 24, "hour"
    return (7.0, "week") if span > _MAX_DAYS_DAILY else (1.0, "day")
