"""Jobs over time: when each ran, how long, and what became of it."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch

from backupkit.plots import style
from backupkit.tables import SLOTS

__all__ = ["progress", "timeline"]

_HALF_HEIGHT = {"success": 0.24, "failure": 0.38}
_OTHER_HALF_HEIGHT = 0.31
_ORDER = {"open": 1.5, "failure": 2.5}  # a long running bar must not hide a failure


def timeline(
    jobs: pd.DataFrame,
    *,
    ax: Axes | None = None,
    slots: pd.DataFrame | None = None,
    limit: int = 25,
) -> Axes:
    """Draw each job as a bar on its appliance's row, the longest unprotected appliance on top.

    Parameters
    ----------
    jobs : DataFrame
        Reads ``appliance``, ``outcome``, ``start_time`` [UTC], ``end_time`` [UTC] and, if there,
        ``last_seen_at`` [UTC] of `backupkit.tables.JOBS`.
    ax : Axes, optional
        Where to draw; a new figure by default.
    slots : DataFrame, optional
        Expected runs, marked as ticks; reads ``appliance`` and ``slot`` [UTC] of
        `backupkit.tables.SLOTS`. Their appliances get a row even without a job.
    limit : int
        The most rows to draw; the rest is counted in a caption.

    Returns
    -------
    Axes
        With one collection per outcome.

    Notes
    -----
    The order is by the start of the newest success, none first. A job without an end reaches to
    the last moment in the data and is drawn with an arrow: it goes on.

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> timeline(
    ...     JOBS.frame(
    ...         {
    ...             "appliance": ["vc-1"],
    ...             "outcome": ["failure"],
    ...             "start_time": ["2026-11-08T01:00Z"],
    ...             "end_time": ["2026-11-08T01:05Z"],
    ...         }
    ...     )
    ... ).get_title("left")
    'Backup jobs of 1 appliance'
    """
    started = jobs[jobs["start_time"].notna()]
    expected = SLOTS.empty() if slots is None else slots
    order = _worst_first(started, expected)
    with style.context():
        shown = order[:limit]
        ax = style.axes(ax, height=1.4 + 0.24 * max(len(shown), 4))
        if not order:
            return style.say(ax, "No backup job in this period")
        now = _newest(started, expected)
        rows = pd.Series(range(len(shown)), index=shown)
        _draw_slots(ax, expected, rows)
        drawn = started[started["appliance"].isin(shown)]
        handles = [
            _draw_outcome(ax, bars, outcome=outcome, rows=rows, now=now)
            for outcome in style.OUTCOME_LOOKS
            if len(bars := drawn[_outcome(drawn) == outcome])
        ]
        style.row_labels(ax, shown, width=32)
        style.time_axis(ax)
        ax.autoscale_view(scaley=False)
        ax.grid(axis="x")
        style.heading(
            ax, f"Backup jobs of {len(order):,} appliance{'s' if len(order) > 1 else ''}", handles
        )
        more = len(order) - len(shown)
        style.note(ax, f"and {more:,} more, with a newer success, not drawn" if more else "")
    return ax


def progress(observations: pd.DataFrame, *, ax: Axes | None = None, limit: int = 12) -> Axes:
    """Draw how far each job that was seen running had come, one curve a job.

    Parameters
    ----------
    observations : DataFrame
        Reads ``appliance``, ``job_id``, ``state``, ``observed_at`` [UTC], ``start_time`` [UTC],
        ``end_time`` [UTC] and ``progress`` [%] of `backupkit.tables.OBSERVATIONS`.
    ax : Axes, optional
        Where to draw; a new figure by default.
    limit : int
        The most jobs to draw, those seen last; the rest is counted in a caption.

    Returns
    -------
    Axes
        With one line per job, from its start through each observation to its end.

    Notes
    -----
    A job that was first seen when it had ended tells nothing of its course and is left out.

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
    newest = seen.groupby(["appliance", "job_id"])["observed_at"].max()
    newest = newest.sort_values(ascending=False, kind="stable")
    with style.context():
        ax = style.axes(ax, height=3.6)
        if newest.empty:
            return style.say(ax, "No job was seen running in this period")
        of_job = seen.groupby(["appliance", "job_id"])
        for place, (appliance, job_id) in enumerate(newest.index[:limit]):
            curve = of_job.get_group((appliance, job_id))
            (line,) = ax.plot(
                style.days(curve["time"]),
                curve["progress"].astype("float64"),
                color=style.CURVES[place % len(style.CURVES)],
                linestyle=("-", "--", ":")[place // len(style.CURVES) % 3],
                marker="os^Dv*"[place % 6],
                markersize=4,
            )
            line.set_label(style.legible(f"{appliance}  {job_id}", width=48).lstrip("_"))
        style.time_axis(ax)
        ax.set_ylim(-2, 104)
        ax.set_ylabel("progress (%)")
        ax.grid()
        ax.set_title(f"Progress of {len(newest):,} job{'s' if len(newest) > 1 else ''}")
        legend = ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
        for text in legend.get_texts():
            text.set_parse_math(False)
        more = len(newest) - limit
        style.note(ax, f"and {more:,} more, seen earlier, not drawn" if more > 0 else "")
    return ax


def _courses(observations: pd.DataFrame) -> pd.DataFrame:
    """Give the points of each job that was seen running, its start added, in order of time."""
    seen = observations[observations["progress"].notna() & observations["observed_at"].notna()]
    key = ["appliance", "job_id"]
    running = pd.MultiIndex.from_frame(seen.loc[seen["state"] == "INPROGRESS", key])
    seen = seen[pd.MultiIndex.from_frame(seen[key]).isin(running)]
    points = seen.assign(time=seen["end_time"].fillna(seen["observed_at"]))
    starts = points.drop_duplicates(key).dropna(subset="start_time")
    starts = starts.assign(time=starts["start_time"], progress=0.0)
    starts["progress"] = starts["progress"].astype(points["progress"].dtype)
    return pd.concat([starts, points]).sort_values("time", kind="stable")


def _worst_first(jobs: pd.DataFrame, slots: pd.DataFrame) -> list[str]:
    names = pd.concat([jobs["appliance"], slots["appliance"]]).drop_duplicates().sort_values()
    succeeded = jobs[jobs["outcome"] == "success"].groupby("appliance")["start_time"].max()
    age = succeeded.reindex(names).sort_values(na_position="first", kind="stable")
    return [str(name) for name in age.index]


def _newest(jobs: pd.DataFrame, slots: pd.DataFrame) -> pd.Timestamp:
    times = [jobs[name] for name in ("start_time", "end_time", "last_seen_at") if name in jobs]
    newest: pd.Timestamp = pd.concat([*times, slots["slot"]]).max()
    return newest


def _outcome(jobs: pd.DataFrame) -> pd.Series:
    known = jobs["outcome"].isin(list(style.OUTCOME_LOOKS))
    return jobs["outcome"].where(known, "other")


def _draw_slots(ax: Axes, slots: pd.DataFrame, rows: pd.Series) -> None:
    marked = slots[slots["appliance"].isin(rows.index)]
    if len(marked):
        ax.plot(
            style.days(marked["slot"]),
            marked["appliance"].map(rows) + 0.42,
            linestyle="none",
            marker="|",
            markersize=5,
            color=style.MUTED,
            label="expected",
            zorder=1,
        )


def _draw_outcome(
    ax: Axes, jobs: pd.DataFrame, *, outcome: str, rows: pd.Series, now: pd.Timestamp
) -> Patch:
    look = style.OUTCOME_LOOKS[outcome]
    running = jobs["end_time"].isna()
    left = style.days(jobs["start_time"]).to_numpy()
    right = style.days(jobs["end_time"].fillna(now)).to_numpy()
    middle = jobs["appliance"].map(rows).to_numpy(dtype="float64")
    half = _HALF_HEIGHT.get(outcome, _OTHER_HALF_HEIGHT)
    corners = np.stack(
        [
            np.stack([left, middle - half], axis=-1),
            np.stack([right, middle - half], axis=-1),
            np.stack([right, middle + half], axis=-1),
            np.stack([left, middle + half], axis=-1),
        ],
        axis=1,
    )
    face = look.colour if outcome == "success" else _pale(look.colour)
    # a nightly job is thinner than a pixel in a month: its outline keeps it visible
    bars = PolyCollection(
        list(corners),
        facecolor=face,
        edgecolor=look.colour,
        hatch=look.hatch,
        linewidth=0.9,
        label=look.label,
        gid=outcome,
        zorder=_ORDER.get(outcome, 2),
    )
    ax.add_collection(bars)
    ax.plot(right[running], middle[running], linestyle="none", marker=">", ms=6, color=look.colour)
    return Patch(facecolor=face, edgecolor=look.colour, hatch=look.hatch, label=look.label)


def _pale(colour: str) -> str:
    channels = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{(channel + 3 * 255) // 4:02x}" for channel in channels)
