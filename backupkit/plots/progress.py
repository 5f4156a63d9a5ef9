"""Figure of the progress of jobs, with the expected end of running ones."""

from datetime import timedelta
from typing import Final

import pandas as pd
from matplotlib.axes import Axes

from backupkit.plots import style, themes, time_axis
from backupkit.plots.fonts import sanitise_legend_label
from backupkit.plots.sources import check_columns
from backupkit.tables.estimates import stall_limit, time_left, typical_duration, usual_durations

__all__ = ["progress"]

_COLUMNS: Final = (
    *("appliance", "job_id", "state", "observed_at", "start_time", "end_time", "progress"),
)
_COMPLETE: Final = 100.0
_MAX_BANDS: Final = 3
"""Maximum number of jobs with a band of earlier runs; more bands would hide each other."""

_JOB_KEY: Final = ["appliance", "job_id"]


def progress(
    observations: pd.DataFrame,
    *,
    ax: Axes | None = None,
    now: pd.Timestamp | None = None,
    stall: timedelta | None = None,
    limit: int = 12,
    figsize: style.Size | None = None,
    theme: str = "light",
) -> Axes:
    """Draw the progress of each job that was observed running, one curve per job.

    Parameters
    ----------
    observations : DataFrame
        Reads ``appliance``, ``job_id``, ``state``, ``observed_at`` [UTC], ``start_time`` [UTC],
        ``end_time`` [UTC] and ``progress`` [%] of `backupkit.tables.OBSERVATIONS`.
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    now : Timestamp, optional
        Current time; by default that of the newest observation.
    stall : timedelta, optional
        Time without progress after which a job counts as stalled; by default 10 min, or 10 % of
        the typical duration if that is longer.
    limit : int
        Maximum number of jobs to draw, those observed last; a caption counts the rest.
    figsize : tuple of float, optional
        Width and height of the new figure [inch]; by default as the data needs.
    theme : {"light", "dark", "rc"}
        Colour theme; "rc" takes style and colours from matplotlib's settings.

    Returns
    -------
    Axes
        With one line per job, from its start through each observation to its end. For up to three
        running jobs, a band spans the paces of the middle 80 % of the appliance's earlier runs, if
        the frame has ten of them. A dashed line
        extends a running job to 100 % at its expected end. A level dotted line extends a stalled
        job to `now`. Periods without progress are bold.

    Notes
    -----
    Jobs that were only observed after their end are left out. The typical duration is the median
    of the appliance's ten newest successes in the frame. The time left combines the job's pace and
    the typical duration, weighted by progress. `backupkit.watch` uses the same estimate.

    Examples
    --------
    >>> from backupkit.tables import OBSERVATIONS
    >>> ax = progress(
    ...     OBSERVATIONS.frame(
    ...         {
    ...             "appliance": ["vc-1"] * 2,
    ...             "job_id": ["7"] * 2,
    ...             "state": ["INPROGRESS"] * 2,
    ...             "observed_at": ["2026-11-08T01:00Z", "2026-11-08T01:09Z"],
    ...             "progress": [0, 45],
    ...         }
    ...     )
    ... )
    >>> [float(y) for y in ax.lines[0].get_ydata()]
    [0.0, 45.0]
    """
    expected = "history.observations()"
    check_columns(observations, _COLUMNS, "progress", expected, assessed=False)
    observations = time_axis.drop_implausible_times(observations)
    points = _list_progress_points(observations)
    newest = points.groupby(_JOB_KEY)["observed_at"].max()
    newest = newest.sort_values(ascending=False, kind="stable")
    with style.apply_style(theme) as active_theme:
        ax = style.prepare_axes(ax, height=3.6, figsize=figsize)
        if newest.empty:
            return style.draw_message(ax, "No job was observed running in this period")
        current = newest.iloc[0] if now is None else now
        by_job = points.groupby(_JOB_KEY)
        for index, (appliance, job_id) in enumerate(newest.index[:limit]):
            curve = by_job.get_group((appliance, job_id))
            name = sanitise_legend_label(f"{appliance}  {job_id}", width=48)
            earlier = _list_earlier_durations(observations, appliance)
            typical = typical_duration(earlier)
            stalled_after = stall_limit(typical) if stall is None else stall
            _draw_job(ax, curve, name, index, typical, current, stalled_after, active_theme)
            if index < _MAX_BANDS:
                colour = active_theme.of(themes.CURVES[index])
                _draw_band(ax, curve, earlier, active_theme.tint(colour))
        time_axis.format_time_axis(ax)
        ax.set_ylim(-2, 104)
        ax.set_ylabel("progress (%)")
        ax.grid()
        style.draw_title_and_legend(
            ax, f"Progress of {len(newest):,} job{'s' if len(newest) > 1 else ''}"
        )
        style.draw_legend_right(ax)
        bands = any(shape.get_gid() == "usual" for shape in ax.collections)
        style.draw_caption(
            ax,
            style.count_omitted(len(newest) - limit, "observed earlier"),
            "band: at an even pace, as long as 80 % of the earlier runs" if bands else "",
        )
    return ax


def _draw_job(
    ax: Axes,
    curve: pd.DataFrame,
    name: str,
    index: int,
    typical: timedelta | None,
    now: pd.Timestamp,
    stall: timedelta,
    active_theme: themes.Theme,
) -> None:
    colour = active_theme.of(themes.CURVES[index % len(themes.CURVES)])
    days, percent = time_axis.to_day_numbers(curve["time"]), curve["progress"].astype("float64")
    ax.plot(
        days,
        percent,
        color=colour,
        linestyle=("-", "--", ":")[index // len(themes.CURVES) % 3],
        marker="os^Dv*"[index % 6],
        markersize=4,
        label=name,
    )
    is_stalled = (curve["time"].diff() > stall) & (percent.diff() == 0)
    for row in range(1, len(curve)):
        if is_stalled.iloc[row]:
            ax.plot(
                days[row - 1 : row + 1],
                percent.iloc[row - 1 : row + 1],
                color=colour,
                lw=4,
                alpha=0.5,
                solid_capstyle="butt",
                gid="stall",
            )
    last = curve.iloc[-1]
    if _is_running(last):
        _draw_forecast(ax, last, colour, typical, now=now, stall=stall)


def _draw_forecast(
    ax: Axes,
    last: pd.Series,
    colour: str,
    typical: timedelta | None,
    *,
    now: pd.Timestamp,
    stall: timedelta,
) -> None:
    """Extend the line of a running job to its expected end, or to `now` if it is stalled."""
    last_time, percent = last["time"], float(last["progress"])
    if now - last_time > stall:
        times, end_progress, linestyle = [last_time, now], percent, ":"
    else:
        elapsed = None if pd.isna(last["start_time"]) else last_time - last["start_time"]
        left = None if elapsed is None else time_left(elapsed, percent, typical)
        if left is None:
            return
        times, end_progress, linestyle = [last_time, last_time + left], _COMPLETE, "--"
    days = time_axis.to_day_numbers(pd.Series(times))
    ax.plot(
        days, [percent, end_progress], color=colour, linestyle=linestyle, lw=1.2, gid="expected"
    )
    label = "stalled" if linestyle == ":" else f"done {times[1]:%H:%M}?"
    ax.annotate(
        label,
        (days[1], end_progress),
        (-8, 0) if end_progress == _COMPLETE else (0, -4),  # beside the line
        textcoords="offset points",
        color=colour,
        fontsize=8,
        ha="right",
        va="center" if end_progress == _COMPLETE else "top",
        annotation_clip=False,
    )


def _draw_band(ax: Axes, curve: pd.DataFrame, earlier: list[timedelta], colour: str) -> None:
    """Draw where a running job would be if it took as long as 80 % of the earlier runs."""
    last, usual = curve.iloc[-1], usual_durations(earlier)
    if usual is None or not _is_running(last) or pd.isna(last["start_time"]):
        return
    start = last["start_time"]
    first, latest = (time_axis.to_day_number(start + duration) for duration in usual)
    begin = time_axis.to_day_number(start)
    ax.fill_betweenx([0, _COMPLETE], [begin, first], [begin, latest], color=colour, gid="usual")


def _is_running(last: pd.Series) -> bool:
    return bool(last["state"] == "INPROGRESS" and pd.isna(last["end_time"]))


def _list_earlier_durations(observations: pd.DataFrame, appliance: str) -> list[timedelta]:
    """Return the durations of an appliance's successes, the oldest first."""
    successes = observations[
        (observations["appliance"] == appliance) & (observations["state"] == "SUCCEEDED")
    ]
    jobs = successes.drop_duplicates("job_id", keep="last").sort_values("end_time", kind="stable")
    return list((jobs["end_time"] - jobs["start_time"]).dropna())


def _list_progress_points(observations: pd.DataFrame) -> pd.DataFrame:
    """Return the points of each job that was observed running, with its start, by time."""
    observed = observations[observations["progress"].notna() & observations["observed_at"].notna()]
    running = pd.MultiIndex.from_frame(observed.loc[observed["state"] == "INPROGRESS", _JOB_KEY])
    observed = observed[pd.MultiIndex.from_frame(observed[_JOB_KEY]).isin(running)]
    points = observed.assign(time=observed["end_time"].fillna(observed["observed_at"]))
    starts = points.drop_duplicates(_JOB_KEY).dropna(subset="start_time")
    starts = starts.assign(time=starts["start_time"], progress=0.0)
    starts["progress"] = starts["progress"].astype(points["progress"].dtype)
    return pd.concat([starts, points]).sort_values("time", kind="stable")
