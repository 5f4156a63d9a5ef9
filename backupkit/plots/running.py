"""Running jobs in the timeline: their progress, their estimated end, and how certain it is."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from backupkit.plots import style, themes
from backupkit.plots.time_axis import find_job_ends, to_day_number
from backupkit.tables.estimates import time_left, typical_duration, usual_durations

__all__ = ["RunningJob", "draw_running_jobs", "find_running_jobs", "find_shown_end"]

STALLED: Final = "stalled"

_HALF_HEIGHT: Final = 0.31

_MAX_ROOM: Final = 0.25
"""Maximum room for estimated ends after the end of the period, as a share of it."""

_OLD: Final = timedelta(minutes=10)
"""Age of an observation from which its time is shown."""

_WIDE: Final = 9.0
"""Width of a chart from which the range of the estimated end is written beside a job [inch]."""

_NARROW: Final = 5.5
"""Width of a chart below which not even the estimated end is written beside a job [inch]."""

_DAY: Final = timedelta(days=1)
_NO_TIME: Final = timedelta(0)


class RunningJob(NamedTuple):
    """The newest running job of a row.

    `place` is its position in the frame of the jobs. `seen_at` is the time of its progress [%].
    `end` is its estimated end; `earliest` and `latest` are those by the 10 % and the 90 % quantile
    of the appliance's earlier durations. `remark` is what is wrong with it: stalled, or longer than
    usual.
    """

    row: int
    place: int
    start: pd.Timestamp
    seen_at: pd.Timestamp
    progress: float | None
    end: pd.Timestamp | None = None
    earliest: pd.Timestamp | None = None
    latest: pd.Timestamp | None = None
    remark: str = ""

    @property
    def latest_end(self) -> pd.Timestamp | None:
        """The last time that is drawn of it, if its end is estimated."""
        return self.latest if self.latest is not None else self.end

    def describe(self, now: pd.Timestamp) -> str:
        """Return progress and estimated end in words."""
        percent = "running" if self.progress is None else f"{self.progress:.0f} %"
        if now - self.seen_at > _OLD:
            percent += f" at {_format_time(self.seen_at, now)}"
        if self.remark:
            return f"! {self.remark}, {percent}"
        if self.end is None:
            return percent
        if self.end < now:
            return f"{percent}, end expected {_format_time(self.end, now)}"
        done = f"{percent}, done {_format_time(self.end, now)}"
        if self.earliest is None or self.latest is None:
            return done
        first, last = (_format_time(time, now) for time in (self.earliest, self.latest))
        return done if first == last else f"{done} ({first} to {last})"


def find_running_jobs(
    jobs: pd.DataFrame,
    names: Sequence[str],
    now: pd.Timestamp,
    anomalies: pd.DataFrame | None = None,
) -> list[RunningJob]:
    """Return the newest running job of each row, with its estimated end.

    Parameters
    ----------
    jobs : DataFrame
        Jobs with a start, of `backupkit.tables.JOBS`, or of ``RUNNING``, whose estimates are used.
        Without ``last_seen_at``, progress is of `now`.
    names : sequence of str
        The appliances of the rows.
    now : Timestamp
        Jobs that started later are left out.
    anomalies : DataFrame, optional
        Of `backupkit.tables.ANOMALIES`: kind stall and overrun.
    """
    is_open = jobs["outcome"].eq("open") & find_job_ends(jobs).isna() & jobs["start_time"].le(now)
    found = jobs.assign(place=np.arange(len(jobs)))[is_open]
    newest = found.sort_values("start_time", kind="stable").drop_duplicates(
        "appliance", keep="last"
    )
    rows = {name: row for row, name in enumerate(names)}
    newest = newest[newest["appliance"].astype("str").isin(rows)]
    earlier = _list_durations(jobs, newest["appliance"])
    key = "start_time"  # without ids, by the time, which a correction of the clock may change
    if anomalies is not None and "job_id" in anomalies and "job_id" in jobs:
        key = "job_id"
    remarks = {} if anomalies is None else _list_remarks(anomalies, key)
    return [
        _estimate(
            job,
            rows[str(job["appliance"])],
            now,
            earlier.get(str(job["appliance"]), []),
            remarks.get((str(job["appliance"]), job[key]), ""),
        )
        for job in newest.to_dict("records")
    ]


def _list_durations(jobs: pd.DataFrame, appliances: pd.Series) -> dict[str, list[timedelta]]:
    """Return the durations of the successes of some appliances, the oldest first."""
    ended = jobs[
        jobs["outcome"].eq("success")
        & jobs["end_time"].ge(jobs["start_time"])
        & jobs["appliance"].isin(appliances)
    ].sort_values("end_time", kind="stable")
    spans = ended["end_time"] - ended["start_time"]
    by_name = spans.groupby(ended["appliance"].astype("str").to_numpy())
    return {str(name): list(group) for name, group in by_name}


def _list_remarks(anomalies: pd.DataFrame, key: str) -> dict[tuple[str, Any], str]:
    """Return the remark of each running job that is an anomaly; a stall is more serious."""
    words = {"overrun": "longer than usual", "stall": STALLED}
    found = {}
    for kind, remark in words.items():
        rows = anomalies[anomalies["kind"] == kind]
        for name, job in zip(rows["appliance"], rows[key], strict=True):
            found[str(name), job] = remark
    return found


def _estimate(
    job: dict[Any, Any],
    row: int,
    now: pd.Timestamp,
    earlier: list[timedelta],
    remark: str,
) -> RunningJob:
    value, start = job.get("progress"), job["start_time"]
    progress = None if pd.isna(value) else min(max(float(value), 0.0), 100.0)
    seen = job.get("observed_at", job.get("last_seen_at"))
    seen_at = now if pd.isna(seen) or seen > now else max(seen, start)
    found = RunningJob(row, job["place"], start, seen_at, progress, remark=remark)
    if "time_left" in job:  # of watch, which has estimated already
        left = job["time_left"]
        if job.get("stalled") is True:
            return found._replace(remark=STALLED)
        return found._replace(end=None if pd.isna(left) else seen_at + left)
    if remark == STALLED:
        return found
    elapsed = seen_at - start
    left = time_left(elapsed, progress, typical_duration(earlier))
    if left is None:
        return found
    end = seen_at + left
    usual = usual_durations(earlier)
    if usual is None:
        return found._replace(end=end)
    first, last = (seen_at + (time_left(elapsed, progress, one) or _NO_TIME) for one in usual)
    return found._replace(end=end, earliest=min(first, end), latest=max(last, end))


def _format_time(time: pd.Timestamp, now: pd.Timestamp) -> str:
    near = abs(time - now) < _DAY
    return f"{time:%H:%M}" if near else f"{time:%Y-%m-%d %H:%M}"


def find_shown_end(
    running: Sequence[RunningJob], start: pd.Timestamp | None, end: pd.Timestamp | None
) -> pd.Timestamp | None:
    """Return the end of the axis: later than that of the period if running jobs end later."""
    if end is None:
        return None
    ends = [job.latest_end for job in running if job.latest_end is not None]
    latest = max([end, *ends])
    room = end + _MAX_ROOM * (end - start) if start is not None else latest
    return min(latest, room)


def draw_running_jobs(
    ax: Axes, running: Sequence[RunningJob], now: pd.Timestamp, active_theme: themes.Theme
) -> list[Artist]:
    """Draw running jobs up to their estimated ends, and return what the legend explains."""
    status = themes.OUTCOME_STYLES["open"]
    colour, alarm = active_theme.of(status.colour), active_theme.of(themes.ORANGE)
    for job in running:
        start, right = to_day_number(job.start), to_day_number(max(job.end or now, job.start))
        length, edge = right - start, alarm if job.remark else colour
        ax.add_patch(_build_bar(job.row, start, length, edge, active_theme.tint(edge), "open"))
        if job.progress is not None:
            done = length * job.progress / 100
            ax.add_patch(_build_bar(job.row, start, done, edge, edge, "progress"))
        if job.end is None:
            ax.plot(
                [right],
                [job.row],
                linestyle="none",
                marker=">",
                markersize=6,
                color=edge,
                clip_on=False,  # the arrow is at the edge of the axes
            )
        elif job.earliest is not None and job.latest is not None:
            ends = [to_day_number(time) for time in (job.earliest, job.latest)]
            ax.plot(
                ends,
                [job.row] * 2,
                color=active_theme.ink,
                lw=1.2,
                marker="|",
                markersize=8,
                gid="usual end",
                zorder=2.8,
            )
        shade = alarm if job.remark else active_theme.muted
        text = job.describe(now)
        width = style.get_width(ax)
        if width < _WIDE:
            text = text.partition(" (")[0]
        if width < _NARROW:
            text = text.partition(", end")[0].partition(", done")[0]
        style.draw_beside(ax, job.row, text, colour=shade)
    return _list_handles(running, colour, active_theme)


def _build_bar(row: int, start: float, length: float, edge: str, face: str, gid: str) -> Rectangle:
    return Rectangle(
        (start, row - _HALF_HEIGHT),
        length,
        2 * _HALF_HEIGHT,
        facecolor=face,
        edgecolor=edge,
        linewidth=0.9,
        gid=gid,
        zorder=2.6,
    )


def _list_handles(
    running: Sequence[RunningJob], colour: str, active_theme: themes.Theme
) -> list[Artist]:
    label = "running, filled by progress"
    handles: list[Artist] = []
    if any(job.progress is not None for job in running):
        handles.append(Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor=colour, label=label))
    elif running:
        paper = active_theme.tint(colour)
        label = themes.OUTCOME_STYLES["open"].label
        handles.append(Rectangle((0, 0), 1, 1, facecolor=paper, edgecolor=colour, label=label))
    if any(job.latest is not None for job in running):
        label = "likely end (80 % of runs)"
        handles.append(
            Line2D([], [], color=active_theme.ink, lw=1.2, marker="|", markersize=8, label=label)
        )
    return handles
