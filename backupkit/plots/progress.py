"""Figure of the progress of jobs, with the expected end of running ones."""

from datetime import timedelta
from typing import Final

import pandas as pd
from matplotlib.axes import Axes

from backupkit.plots import style

__all__ = ["progress"]

_PATIENCE: Final = timedelta(minutes=10)
_STALL_SHARE: Final = 0.1
_LEARNT: Final = 10
_TELLING: Final = 5.0
"""Minimum progress to estimate the time left from the pace alone [%]."""

_DONE: Final = 100.0
_KEY: Final = ["appliance", "job_id"]


def progress(
    observations: pd.DataFrame,
    *,
    ax: Axes | None = None,
    now: pd.Timestamp | None = None,
    stall: timedelta | None = None,
    limit: int = 12,
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
    theme : {"light", "dark"}
        Colour theme.

    Returns
    -------
    Axes
        With one line per job, from its start through each observation to its end. A dashed line
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
    seen = _courses(observations)
    newest = seen.groupby(_KEY)["observed_at"].max()
    newest = newest.sort_values(ascending=False, kind="stable")
    with style.context(theme) as active_theme:
        ax = style.axes(ax, height=3.6)
        if newest.empty:
            return style.draw_message(ax, "No job was seen running in this period")
        present = newest.iloc[0] if now is None else now
        of_job = seen.groupby(_KEY)
        for place, (appliance, job_id) in enumerate(newest.index[:limit]):
            curve = of_job.get_group((appliance, job_id))
            name = style.legend_label(f"{appliance}  {job_id}", width=48)
            usual = _typical(observations, appliance)
            share = timedelta(0) if usual is None else _STALL_SHARE * usual
            patience = max(_PATIENCE, share) if stall is None else stall
            _draw(
                ax,
                curve,
                name,
                place,
                usual,
                now=present,
                stall=patience,
                active_theme=active_theme,
            )
        style.time_axis(ax)
        ax.set_ylim(-2, 104)
        ax.set_ylabel("progress (%)")
        ax.grid()
        ax.set_title(f"Progress of {len(newest):,} job{'s' if len(newest) > 1 else ''}")
        style.legend_right(ax)
        more = len(newest) - limit
        style.caption(ax, f"and {more:,} more, seen earlier, not drawn" if more > 0 else "")
    return ax


def _draw(
    ax: Axes,
    curve: pd.DataFrame,
    name: str,
    place: int,
    usual: timedelta | None,
    *,
    now: pd.Timestamp,
    stall: timedelta,
    active_theme: style.Theme,
) -> None:
    colour = active_theme.of(style.CURVES[place % len(style.CURVES)])
    days, percent = style.days(curve["time"]), curve["progress"].astype("float64")
    ax.plot(
        days,
        percent,
        color=colour,
        linestyle=("-", "--", ":")[place // len(style.CURVES) % 3],
        marker="os^Dv*"[place % 6],
        markersize=4,
        label=name,
    )
    halted = (curve["time"].diff() > stall) & (percent.diff() == 0)
    for at in range(1, len(curve)):
        if halted.iloc[at]:
            ax.plot(
                days.iloc[at - 1 : at + 1],
                percent.iloc[at - 1 : at + 1],
                color=colour,
                lw=4,
                alpha=0.5,
                solid_capstyle="butt",
                gid="stall",
            )
    last = curve.iloc[-1]
    if last["state"] == "INPROGRESS" and pd.isna(last["end_time"]):
        _go_on(ax, last, colour, usual, now=now, stall=stall)


def _go_on(
    ax: Axes,
    last: pd.Series,
    colour: str,
    usual: timedelta | None,
    *,
    now: pd.Timestamp,
    stall: timedelta,
) -> None:
    """Extend the line of a running job to its expected end, or to `now` if it is stalled."""
    then, percent = last["time"], float(last["progress"])
    if now - then > stall:
        ends, to, kind = [then, now], percent, ":"
    else:
        elapsed = None if pd.isna(last["start_time"]) else then - last["start_time"]
        left = None if elapsed is None else _left(elapsed, percent / _DONE, usual)
        if left is None:
            return
        ends, to, kind = [then, then + left], _DONE, "--"
    days = style.days(pd.Series(ends))
    ax.plot(days, [percent, to], color=colour, linestyle=kind, lw=1.2, gid="expected")
    word = "stalled" if kind == ":" else f"done {ends[1]:%H:%M}?"
    ax.annotate(
        word,
        (days.iloc[1], to),
        (-8, 0) if to == _DONE else (0, -4),  # beside the line
        textcoords="offset points",
        color=colour,
        fontsize=8,
        ha="right",
        va="center" if to == _DONE else "top",
        annotation_clip=False,
    )


def _left(elapsed: timedelta, done: float, usual: timedelta | None) -> timedelta | None:
    """Estimate the time left of a job; return None if there is no basis for it."""
    at_its_pace = elapsed / done - elapsed if done > 0 else None
    if usual is None:
        return at_its_pace if done * _DONE >= _TELLING else None
    as_usual = max(usual - elapsed, timedelta(0))
    return as_usual if at_its_pace is None else done * at_its_pace + (1 - done) * as_usual


def _typical(observations: pd.DataFrame, appliance: str) -> timedelta | None:
    """Return the median duration of an appliance's ten newest successes; None without any."""
    good = observations[
        (observations["appliance"] == appliance) & (observations["state"] == "SUCCEEDED")
    ]
    runs = good.drop_duplicates("job_id", keep="last").sort_values("end_time", kind="stable")
    spans = (runs["end_time"] - runs["start_time"]).dropna().tail(_LEARNT)
    return None if spans.empty else timedelta(seconds=spans.dt.total_seconds().median())


def _courses(observations: pd.DataFrame) -> pd.DataFrame:
    """Return the points of each job that was observed running, with its start, by time."""
    seen = observations[observations["progress"].notna() & observations["observed_at"].notna()]
    running = pd.MultiIndex.from_frame(seen.loc[seen["state"] == "INPROGRESS", _KEY])
    seen = seen[pd.MultiIndex.from_frame(seen[_KEY]).isin(running)]
    points = seen.assign(time=seen["end_time"].fillna(seen["observed_at"]))
    starts = points.drop_duplicates(_KEY).dropna(subset="start_time")
    starts = starts.assign(time=starts["start_time"], progress=0.0)
    starts["progress"] = starts["progress"].astype(points["progress"].dtype)
    return pd.concat([starts, points]).sort_values("time", kind="stable")
