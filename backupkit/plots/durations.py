"""Figure of the durations of jobs, with unusual ones marked."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from backupkit.plots import style, themes, time_axis
from backupkit.plots.fonts import sanitise_legend_label
from backupkit.plots.picture import to_timestamp
from backupkit.plots.sources import Source, check_columns, find_assessment
from backupkit.plots.style import Floats
from backupkit.tables import TERMINAL
from backupkit.tables.constants import BASELINE_RUNS

__all__ = ["durations"]

_COLUMNS: Final = ("appliance", "outcome", "start_time", "duration")
_MAX_SERIES: Final = 6
"""Maximum number of appliances to draw as a series each; more are drawn as rows."""

_MAX_POINTS: Final = 10_000
"""Maximum number of points to draw; more are drawn as a density."""

_MIN_TICKS: Final = 3
_BAND_SPREADS: Final = 3.5
_MIN_SPREAD_SHARE: Final = 0.05
_MAD_FACTOR: Final = 0.6745
_LOG_SCALE_RATIO: Final = 30.0
_SERIES_MARKERS: Final = ("|", "x", "o")

_MAX_DURATION: Final = 2**45 - 1
"""Upper limit of a duration in the packed sort key, more than a year [µs]."""

Flags = npt.NDArray[np.bool_]


def durations(
    jobs: Source,
    *,
    ax: Axes | None = None,
    anomalies: pd.DataFrame | None = None,
    limit: int = 25,
    figsize: style.Size | None = None,
    theme: str = "light",
) -> Axes:
    """Draw the duration of each finished job.

    Parameters
    ----------
    jobs : Assessment or DataFrame
        Of an assessment, the jobs of its period are drawn, with its anomalies. A frame has
        ``appliance``, ``outcome``, ``start_time`` [UTC] and ``duration`` of
        `backupkit.tables.JOBS`.
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    anomalies : DataFrame, optional
        Anomalies; those of kind ``duration`` are circled. Reads ``appliance``, ``start_time``
        [UTC] and ``kind`` of `backupkit.tables.ANOMALIES`.
    limit : int
        Maximum number of rows to draw; a caption counts the rest.
    figsize : tuple of float, optional
        Width and height of the new figure [inch]; by default as the data needs.
    theme : {"light", "dark", "rc"}
        Colour theme; "rc" takes style and colours from matplotlib's settings.

    Returns
    -------
    Axes
        Up to six appliances: duration [min] by start, one series each. A single appliance also has
        a band about the median of its first ten successes, of 3.5 times their robust spread from
        one to the next, and a line of the median of the ten successes up to each time, the
        baseline. The caption names both if the newest ones left the band. The band is not the limit
        of an anomaly, which comes from 100 runs. More than six: one row each, with durations as
        multiples of the median of the appliance's successes; the row with the largest multiple is
        on top. Above 10,000 jobs: the number of jobs per cell, as colour.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 19: the limits of an anomaly.

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> ax = durations(
    ...     JOBS.frame(
    ...         {
    ...             "appliance": ["vc-1"],
    ...             "outcome": ["success"],
    ...             "start_time": ["2026-11-08T01:00Z"],
    ...             "duration": [pd.Timedelta(minutes=20)],
    ...         }
    ...     )
    ... )
    >>> ax.get_ylabel()
    'duration (min)'
    """
    assessed = find_assessment(jobs, "durations", "a.jobs")
    if assessed is not None:
        jobs = assessed.jobs[assessed.jobs["in_period"]]
        anomalies = assessed.anomalies if anomalies is None else anomalies
    jobs = check_columns(jobs, _COLUMNS, "durations", "a.jobs")
    if anomalies is not None:
        columns = ("appliance", "start_time", "kind")
        check_columns(anomalies, columns, "durations", "a.anomalies", argument="anomalies")
    ended = jobs["outcome"].isin(TERMINAL) & jobs["duration"].notna() & jobs["start_time"].notna()
    finished = jobs[ended & (jobs["duration"] >= pd.Timedelta(0))]
    appliance_codes, uniques = pd.factorize(finished["appliance"], sort=True)
    names = [str(name) for name in uniques]
    minutes = finished["duration"].to_numpy("timedelta64[us]").astype(np.float64) / 60e6
    with style.apply_style(theme) as active_theme:
        height = (
            3.6 if len(names) <= _MAX_SERIES else 1.4 + style.compute_height(min(len(names), limit))
        )
        ax = style.prepare_axes(ax, height=height, figsize=figsize)
        if finished.empty:
            return style.draw_message(ax, "No job has finished in this period")
        count = f"{len(names):,} appliances" if len(names) > 1 else "1 appliance"
        title = f"Durations of {len(finished):,} jobs of {count}"
        if len(names) > _MAX_SERIES:
            _draw_rows(
                ax, finished, appliance_codes, names, minutes, anomalies, limit, active_theme
            )
        elif len(finished) > _MAX_POINTS:
            _draw_density(
                ax, time_axis.to_day_numbers(finished["start_time"]), minutes, active_theme
            )
            time_axis.format_time_axis(ax)
        else:
            _draw_series(ax, finished, appliance_codes, names, minutes, anomalies, active_theme)
            time_axis.format_time_axis(ax)
        style.draw_title_and_legend(
            ax, title, _list_legend_lines(ax) if len(names) > _MAX_SERIES else []
        )
    return ax


def _list_legend_lines(ax: Axes) -> list[Line2D]:
    """Return the lines to explain in the legend: those that have points."""
    marked_lines = [line for line in ax.lines if line.get_marker() in _SERIES_MARKERS]
    return [line for line in marked_lines if len(np.ravel(line.get_xdata()))]


def _draw_series(
    ax: Axes,
    finished: pd.DataFrame,
    appliance_codes: npt.NDArray[np.intp],
    names: list[str],
    minutes: Floats,
    anomalies: pd.DataFrame | None,
    active_theme: themes.Theme,
) -> None:
    days = time_axis.to_day_numbers(finished["start_time"])
    failed = finished["outcome"].eq("failure").to_numpy()
    if len(names) == 1:
        order = np.argsort(days[~failed], kind="stable")
        _draw_band(ax, days[~failed][order], minutes[~failed][order], active_theme)
    for index, name in enumerate(names):
        colour, label = active_theme.of(themes.CURVES[index]), sanitise_legend_label(name)
        failure_colour = colour if len(names) > 1 else active_theme.of(themes.ORANGE)
        for flags, marker, fill, series_label in (
            (~failed, "os^Dv*"[index], colour, label),
            (failed, "x", failure_colour, f"{label} (failed)"),
        ):
            rows = (appliance_codes == index) & flags
            if rows.any():
                size = 4 if marker != "x" else 5
                _draw_points(ax, days[rows], minutes[rows], marker, size, fill, series_label)
    anomalous = _mark_anomalies(finished, anomalies)
    if anomalous.any():
        _circle_anomalies(ax, days[anomalous], minutes[anomalous], active_theme)
    positive = minutes[minutes > 0]
    if len(positive) and positive.max() > _LOG_SCALE_RATIO * positive.min():
        ax.set_yscale("symlog", linthresh=max(float(positive.min()), 0.1))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
    ax.set_ylim(bottom=0)
    ax.set_ylabel("duration (min)")
    ax.grid()
    style.draw_legend_right(ax)


def _draw_band(ax: Axes, days: Floats, minutes: Floats, active_theme: themes.Theme) -> None:
    """Draw what was usual at the start, and what is now; nothing for fewer than ten successes.

    The band is the spread of the first ten, so that a slow growth leaves it.
    """
    if len(minutes) < BASELINE_RUNS:
        return
    first = minutes[:BASELINE_RUNS]
    median = float(np.median(first))
    # from run to run, which a slow growth does not widen
    steps = float(np.median(np.abs(np.diff(first)))) / np.sqrt(2)
    half_width = _BAND_SPREADS * max(steps, _MIN_SPREAD_SHARE * median) / _MAD_FACTOR
    blue = active_theme.of(themes.BLUE)
    ax.axhspan(
        max(median - half_width, 0),
        median + half_width,
        color=active_theme.tint(blue),
        zorder=0,
        label=f"usual of the first {BASELINE_RUNS}",
    )
    windows = np.lib.stride_tricks.sliding_window_view(minutes, BASELINE_RUNS)
    ax.plot(
        days[BASELINE_RUNS - 1 :],
        np.median(windows, axis=1),
        color=blue,
        lw=0.8,
        ls="--",
        label=f"median of {BASELINE_RUNS}",
    )
    newest = float(np.median(minutes[-BASELINE_RUNS:]))
    since = f"{to_timestamp(days[BASELINE_RUNS - 1]):%Y-%m-%d}"
    text = f"usual: {median:,.0f} min in the first {BASELINE_RUNS} successes, until {since}"
    if newest > median + half_width:
        text += f"; now {newest:,.0f} min, {newest / median:.1f} times as long"
    elif newest < median - half_width:
        text += f"; now {newest:,.0f} min, shorter than usual"
    style.draw_caption(ax, text)


def _draw_rows(
    ax: Axes,
    finished: pd.DataFrame,
    appliance_codes: npt.NDArray[np.intp],
    names: list[str],
    minutes: Floats,
    anomalies: pd.DataFrame | None,
    limit: int,
    active_theme: themes.Theme,
) -> None:
    failed = finished["outcome"].eq("failure").to_numpy()
    medians = _compute_medians(appliance_codes, minutes, failed, len(names))
    largest = np.zeros(len(names))
    np.maximum.at(largest, appliance_codes, minutes / medians[appliance_codes])
    worst = np.argsort(-largest, kind="stable")[:limit]
    row = np.full(len(names), -1)
    row[worst] = np.arange(len(worst))
    is_drawn = row[appliance_codes] >= 0
    multiple = np.maximum(minutes[is_drawn] / medians[appliance_codes[is_drawn]], 1e-2)
    rows = row[appliance_codes[is_drawn]]
    failed = failed[is_drawn]
    omitted = len(names) - len(worst)
    density = ""
    if len(multiple) > _MAX_POINTS:
        edges_x: Floats = np.geomspace(multiple.min(), max(multiple.max(), 1.01), 240)
        counts, edges_y, _ = np.histogram2d(
            rows, multiple, bins=[np.arange(len(worst) + 1), edges_x]
        )
        density = _draw_cells(ax, edges_x, edges_y - 0.5, counts, active_theme)
    else:
        for flags, marker, colour, label in (
            (~failed, "|", themes.BLUE, "succeeded"),
            (failed, "x", themes.ORANGE, "failed"),
        ):
            size, shade = 7 if marker == "|" else 5, active_theme.of(colour)
            _draw_points(ax, multiple[flags], rows[flags], marker, size, shade, label)
        anomalous = _mark_anomalies(finished[is_drawn], anomalies)
        _circle_anomalies(ax, multiple[anomalous], rows[anomalous], active_theme)
    ax.set_xscale("log")
    ax.axvline(1, color=active_theme.muted, lw=0.8, zorder=0)
    ax.xaxis.set_major_locator(_choose_ticks(multiple))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}x"))
    ax.xaxis.set_minor_locator(NullLocator())
    style.label_rows(ax, [names[code] for code in worst], width=32)
    ax.set_xlabel("multiple of the appliance's median")
    ax.grid(axis="x")
    style.draw_caption(ax, style.count_omitted(omitted, "with smaller multiples"), density)


def _choose_ticks(multiples: Floats) -> LogLocator | MaxNLocator:
    """Return ticks at 1, 2, 5, 10, ...; at even steps if fewer than three would be in sight."""
    low, high = float(multiples.min()), float(multiples.max())
    steps = np.outer(10.0 ** np.arange(-3, 9), (1, 2, 5))
    if ((steps >= low) & (steps <= high)).sum() < _MIN_TICKS:
        return MaxNLocator(nbins=6, min_n_ticks=_MIN_TICKS)
    return LogLocator(subs=(1, 2, 5), numticks=16)


def _compute_medians(
    appliance_codes: npt.NDArray[np.intp],
    minutes: Floats,
    failed: Flags,
    count: int,
) -> Floats:
    """Return each appliance's median duration [min], of its successes or else of its failures."""
    # appliance, failure and duration packed into one integer: one sort is faster than a groupby
    microseconds = np.minimum(minutes * 60e6, _MAX_DURATION).astype(np.int64)
    ordered = np.sort((2 * appliance_codes + failed) * (_MAX_DURATION + 1) + microseconds)
    first = np.searchsorted(ordered, np.arange(count) * (2 * (_MAX_DURATION + 1)))
    successes = np.bincount(appliance_codes[~failed], minlength=count)
    counts = np.where(successes > 0, successes, np.bincount(appliance_codes, minlength=count))
    medians = ordered[first + (counts - 1) // 2] % (_MAX_DURATION + 1) / 60e6
    return np.where(medians > 0, medians, 1.0)


def _draw_density(ax: Axes, days: Floats, minutes: Floats, active_theme: themes.Theme) -> None:
    counts, edges_x, edges_y = np.histogram2d(days, minutes, bins=[240, 80])
    density = _draw_cells(ax, edges_x, edges_y, counts.T, active_theme)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("duration (min)")
    style.draw_caption(ax, density)


def _draw_cells(
    ax: Axes,
    edges_x: Floats,
    edges_y: Floats,
    counts: Floats,
    active_theme: themes.Theme,
) -> str:
    """Draw the number of jobs in each cell as its colour; return the caption for it."""
    blue = active_theme.of(themes.BLUE)
    ax.pcolormesh(
        edges_x,
        edges_y,
        np.where(counts > 0, counts, np.nan),
        cmap=LinearSegmentedColormap.from_list(
            "jobs", [active_theme.tint(blue), blue, active_theme.ink]
        ),
        norm=LogNorm(1, max(counts.max(), 2)),
        rasterized=True,
    )
    return f"the stronger the colour of a cell, the more jobs: 1 to {counts.max():,.0f}"


def _draw_points(
    ax: Axes, x: Floats, y: Floats, marker: str, size: float, colour: str, label: str
) -> None:
    ax.plot(x, y, linestyle="none", marker=marker, markersize=size, color=colour, label=label)


def _circle_anomalies(ax: Axes, x: Floats, y: Floats, active_theme: themes.Theme) -> None:
    ax.plot(
        x,
        y,
        linestyle="none",
        marker="o",
        markersize=10,
        markerfacecolor="none",
        color=active_theme.of(themes.ORANGE),
        label="unusual",
    )


def _mark_anomalies(finished: pd.DataFrame, anomalies: pd.DataFrame | None) -> Flags:
    """Return a mask of the jobs that are anomalies of kind ``duration``."""
    if anomalies is None or anomalies.empty:
        return np.zeros(len(finished), dtype=bool)
    marked = anomalies[anomalies["kind"] == "duration"]
    anomaly_keys = pd.MultiIndex.from_frame(marked[["appliance", "start_time"]])
    job_keys = pd.MultiIndex.from_arrays(
        [finished["appliance"].astype("str"), finished["start_time"]]
    )
    flags: Flags = job_keys.isin(anomaly_keys)
    return flags
