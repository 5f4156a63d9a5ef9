"""Failures: Pareto chart of the signatures, and failed jobs over time."""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from backupkit.plots import style, themes, time_axis
from backupkit.plots.fonts import sanitise_legend_label
from backupkit.plots.sources import Source, check_columns, find_assessment

__all__ = ["failures", "failures_over_time"]

_COLUMNS: Final = ("signature", "jobs", "appliances")
_PART_COLUMNS: Final = ("signature", "part", "jobs")
_MAX_PARTS: Final = 5
_PART_PATTERNS: Final = ("", "/////", ".....", "xxxxx", "-----", "")
_STACK_PATTERNS: Final = ("/////", ".....", "xxxxx", "-----", "\\\\\\\\\\", "")
_MAX_DAYS_HOURLY: Final = 2
_MAX_DAYS_DAILY: Final = 200


def failures(
    failures: Source,
    *,
    ax: Axes | None = None,
    by: str | pd.DataFrame | None = None,
    limit: int = 10,
    figsize: style.Size | None = None,
    theme: str = "light",
) -> Axes:
    """Draw the failure signatures as a Pareto chart: jobs as bars, cumulative share as a line.

    Parameters
    ----------
    failures : Assessment or DataFrame
        A frame has ``signature``, ``jobs`` and ``appliances`` of `backupkit.tables.FAILURES`.
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    by : str or DataFrame, optional
        Breakdown of the jobs of each signature: of an assessment the name of a property, as in
        `backupkit.failures_by`; else its result, with ``signature``, ``part`` (an appliance, a
        group) and ``jobs``. Each of the five largest parts has its own pattern; the others share
        one.
    limit : int
        Maximum number of signatures to draw; the others share the last bar.
    figsize : tuple of float, optional
        Width and height of the new figure [inch]; by default as the data needs.
    theme : {"light", "dark", "rc"}
        Colour theme; "rc" takes style and colours from matplotlib's settings.

    Returns
    -------
    Axes
        With one bar per signature, the most frequent on top. A second horizontal axis shows the
        cumulative share [%].

    Raises
    ------
    TableError
        If `failures` or `by` is no such frame.
    SettingsError
        If `by` names no property.

    Examples
    --------
    >>> from backupkit.tables import FAILURES
    >>> ax = failures(FAILURES.frame({"signature": ["disk full"], "jobs": [3], "appliances": [2]}))
    >>> float(ax.patches[0].get_width())
    3.0
    """
    assessed = find_assessment(failures, "failures", "a.failures")
    if assessed is not None:
        failures = assessed.failures
        by = assessed.failures_by(by) if isinstance(by, str) else by
    failures = check_columns(failures, _COLUMNS, "failures", "a.failures")
    if by is not None:
        expected = 'bk.failures_by(a, by="site")'
        by = check_columns(by, _PART_COLUMNS, "failures", expected, argument="by")
    ranked = failures.sort_values("jobs", ascending=False, kind="stable")
    top, others = ranked.iloc[:limit], ranked.iloc[limit:]
    with style.apply_style(theme) as active_theme:
        height = 1.6 + 0.34 * max(len(top) + (len(others) > 0), 2)
        ax = style.prepare_axes(ax, height=height, figsize=figsize)
        if ranked.empty:
            return style.draw_message(ax, "No backup job failed in this period")
        labels = [str(text) for text in top["signature"].fillna("(no message)")]
        counts = top["jobs"].astype("float64").tolist()
        remarks = [
            f"{count:,.0f} ({_format_job_count(affected)})"
            for count, affected in zip(counts, top["appliances"], strict=True)
        ]
        if len(others):
            labels.append(f"{len(others):,} other signature{'s' if len(others) > 1 else ''}")
            counts.append(float(others["jobs"].sum()))
            remarks.append(f"{counts[-1]:,.0f}")
        if by is None:
            positions = list(range(len(labels)))
            colour = active_theme.of(themes.OUTCOME_STYLES["failure"].colour)
            ax.barh(positions, counts, height=0.62, color=colour, label="failed jobs")
        else:
            _draw_stacked(ax, by, ranked["signature"], limit, active_theme)
        _draw_pareto(ax, labels, counts, remarks, active_theme)
    return ax


def _draw_stacked(
    ax: Axes, by: pd.DataFrame, signatures: pd.Series, limit: int, active_theme: themes.Theme
) -> None:
    """Draw stacked bars, with the largest parts of the whole frame first."""
    bar = pd.Index(signatures.fillna("")).get_indexer(pd.Index(by["signature"].fillna("")))
    bar = np.minimum(bar, limit)  # the others share the last bar
    shares = by.assign(bar=bar, part=by["part"].astype("str"))[bar >= 0]
    part_totals = shares.groupby("part")["jobs"].sum().sort_values(ascending=False, kind="stable")
    largest_parts = list(part_totals.index[:_MAX_PARTS])
    shares["part"] = shares["part"].where(shares["part"].isin(largest_parts))
    left = np.zeros(int(shares["bar"].max()) + 1)
    for index, part in enumerate([*largest_parts, None]):
        rows = shares[shares["part"].isna() if part is None else shares["part"] == part]
        if rows.empty:
            continue
        width = np.bincount(rows["bar"], weights=rows["jobs"], minlength=len(left))
        others = len(part_totals) - len(largest_parts)
        colour = active_theme.of(themes.CURVES[index] if part is not None else themes.MUTED)
        ax.barh(
            range(len(left)),
            width,
            left=left,
            height=0.62,
            facecolor=active_theme.tint(colour),
            edgecolor=colour,
            hatch=_PART_PATTERNS[index],
            label=f"{others:,} others" if part is None else sanitise_legend_label(part, width=32),
        )
        left = left + width
    style.draw_legend_below(ax, columns=3)


def _draw_pareto(
    ax: Axes, labels: list[str], counts: list[float], remarks: list[str], active_theme: themes.Theme
) -> None:
    positions = list(range(len(labels)))
    for position, remark in zip(positions, remarks, strict=True):
        style.draw_beside(ax, position, remark, colour=active_theme.muted)
    style.label_rows(ax, labels, width=58)
    style.draw_title_and_legend(ax, "Failed jobs by error pattern")
    ax.set_xlim(0, max(counts) * 1.03)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    ax.set_xlabel("failed jobs")
    ax.grid(axis="x")
    total = sum(counts)
    share = (100 * pd.Series(counts).cumsum() / total).tolist()
    share_axes = ax.twiny()
    share_axes.plot(
        share, positions, color=active_theme.ink, marker="D", ms=4, lw=1, label="cumulative share"
    )
    share_axes.set_xlim(0, 103)
    share_axes.set_xticks([0, 25, 50, 75, 100])
    share_axes.set_xlabel("cumulative share of failed jobs (%)")
    share_axes.spines["top"].set_visible(True)


def _format_job_count(count: int) -> str:
    return "1 appliance" if count == 1 else f"{count:,} appliances"


def failures_over_time(
    jobs: Source,
    *,
    ax: Axes | None = None,
    limit: int = 5,
    figsize: style.Size | None = None,
    theme: str = "light",
) -> Axes:
    """Draw the number of failed jobs per day, stacked by signature.

    Parameters
    ----------
    jobs : Assessment or DataFrame
        A frame of failed jobs has ``signature`` and ``end_time`` [UTC], as ``a.jobs``. Of an
        assessment, the jobs that ended in its period are drawn.
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    limit : int
        Maximum number of signatures to draw separately; the others share a part.
    figsize : tuple of float, optional
        Width and height of the new figure [inch]; by default as the data needs.
    theme : {"light", "dark", "rc"}
        Colour theme; "rc" takes style and colours from matplotlib's settings.

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
    assessed = find_assessment(jobs, "failures_over_time", "a.jobs")
    jobs = jobs if assessed is None else assessed.jobs
    jobs = check_columns(jobs, ("signature", "end_time"), "failures_over_time", "a.jobs")
    jobs = time_axis.drop_implausible_times(jobs)
    ended = jobs[jobs["end_time"].notna() & jobs["signature"].notna()]
    if assessed is not None:
        ended = ended[ended["end_time"].between(assessed.start, assessed.end, inclusive="left")]
    with style.apply_style(theme) as active_theme:
        codes, names = pd.factorize(ended["signature"])
        part_count = min(len(names), limit + 1)
        ax = style.prepare_axes(ax, height=2.4 + 0.2 * part_count, figsize=figsize)
        if ended.empty:
            return style.draw_message(ax, "No backup job failed in this period")
        days = time_axis.to_day_numbers(ended["end_time"])
        width, unit = _choose_bin_width(days.max() - days.min())
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
                themes.MUTED if others else themes.CURVES[code % len(themes.CURVES)]
            )
            ax.stairs(
                np.where(height > 0, base + height, np.nan),
                edges,
                baseline=base,
                fill=True,
                facecolor=active_theme.tint(colour),
                edgecolor=colour,
                linewidth=0.8,
                hatch=_STACK_PATTERNS[code % len(_STACK_PATTERNS)],
                label=sanitise_legend_label(label, width=70),
            )
            base = base + height  # a new array: the drawn part references the old one
        ax.set_ylim(0, 1.05 * base.max())
        time_axis.format_time_axis(ax)
        ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        ax.set_ylabel(f"failed jobs a {unit}")
        ax.grid(axis="y")
        style.draw_title_and_legend(ax, "Failures over time")
        style.draw_legend_below(ax, columns=1)
    return ax


def _choose_bin_width(span: float) -> tuple[float, str]:
    """Return the width of a bin [days] and its name."""
    if span <= _MAX_DAYS_HOURLY:
        return 1 / 24, "hour"
    return (7.0, "week") if span > _MAX_DAYS_DAILY else (1.0, "day")
