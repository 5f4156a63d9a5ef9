"""How figures look: one look per outcome and per slot state, told apart without colour too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from backupkit.plots.layout import NOTE, Margins
from backupkit.plots.legible import legible, series
from backupkit.plots.picture import NotebookFigure
from backupkit.plots.theme import (
    BLUE,
    BROWN,
    CURVES,
    INK,
    LINE,
    MUTED,
    ORANGE,
    PURPLE,
    THEMES,
    Theme,
    context,
)

__all__ = [
    "BLUE",
    "BROWN",
    "CURVES",
    "INK",
    "LINE",
    "MUTED",
    "ORANGE",
    "OUTCOME_LOOKS",
    "PURPLE",
    "SLOT_LOOKS",
    "THEMES",
    "Look",
    "Theme",
    "context",
    "legible",
    "series",
]

_NAMED = 60
"""The most rows that have a name each."""


@dataclass(frozen=True, slots=True)
class Look:
    """How one state is shown: in a word, a symbol, a colour and a pattern.

    Attributes
    ----------
    label : str
        The word for people.
    symbol : str
        The character that stands for it in text.
    colour : str
        At least 4.5 : 1 on white, and safe for colour-blind readers.
    hatch : str
        The pattern of a bar, in matplotlib's notation.
    marker : str
        The marker of a point, in matplotlib's notation.
    fill : str
        The marker's fill style.
    """

    label: str
    symbol: str
    colour: str
    hatch: str = ""
    marker: str = "o"
    fill: str = "full"


OUTCOME_LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "success": Look("succeeded", "●", BLUE),
        "failure": Look("failed", "✕", ORANGE, hatch="/////"),
        "open": Look("running", "▶", PURPLE, hatch="....."),
        "void": Look("not started", "○", MUTED, hatch="-----"),
        "other": Look("state not known", "?", BROWN, hatch="+++++"),
    }
)
"""One look per outcome of a job."""

SLOT_LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "missed_failed": Look("failed", "✕", ORANGE, marker="X"),
        "missed_overrun": Look("overran", "»", ORANGE, marker=">", fill="none"),
        "missed_norun": Look("did not run", "○", ORANGE, fill="none"),
        "unknown": Look("unknown", "?", PURPLE, marker="$?$"),
        "late": Look("late", "◑", BROWN, fill="right"),
        "rescued": Look("rescued", "◐", BROWN, fill="left"),
        "pending": Look("pending", "…", MUTED, marker="$…$"),
        "met": Look("met", "●", BLUE),
        "excluded": Look("excluded", "-", MUTED, marker="_"),
    }
)
"""One look per slot state, the most serious first."""


def axes(ax: Axes | None, *, height: float, width: float = 9.0) -> Axes:
    """Give the axes to draw on: the caller's, or those of a new figure that pyplot never sees.

    Parameters
    ----------
    ax : Axes or None
        The caller's.
    height, width : float
        Size of a new figure [inch].

    Returns
    -------
    Axes
        To draw on.
    """
    if ax is not None:
        return ax
    return NotebookFigure(figsize=(width, height), layout=Margins()).subplots()


def say(ax: Axes, sentence: str) -> Axes:
    """Write one sentence on axes that have nothing to draw.

    Parameters
    ----------
    ax : Axes
        The axes; their frame and ticks are taken away.
    sentence : str
        Why there is nothing.

    Returns
    -------
    Axes
        The same.
    """
    ax.set_axis_off()
    ax.text(
        0.5,
        0.5,
        sentence,
        color=mpl.rcParams["axes.labelcolor"],
        ha="center",
        va="center",
        transform=ax.transAxes,
        parse_math=False,
    )
    return ax


def heading(ax: Axes, title: str, handles: Sequence[Artist]) -> None:
    """Write the title, and under it the legend in one line.

    Parameters
    ----------
    ax : Axes
        The axes.
    title : str
        What is drawn.
    handles : sequence of Artist
        What the legend explains; it may be empty.
    """
    ax.set_title(title, pad=22 if handles else None)
    if handles:
        ax.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=0.2,
            borderpad=0,
            columnspacing=1.2,
            fontsize=8,
            handlelength=1.4,
            handletextpad=0.4,
            ncols=len(handles),
        )


def note(ax: Axes, sentence: str) -> None:
    """Write what was left out below the axes.

    Parameters
    ----------
    ax : Axes
        The axes.
    sentence : str
        The caption; "" writes nothing.
    """
    if sentence:
        ax.annotate(
            sentence,
            (0, 0),
            (0, -34),
            xycoords="axes fraction",
            textcoords="offset points",
            color=mpl.rcParams["axes.labelcolor"],
            va="top",
            fontsize=8,
            annotation_clip=False,
            gid=NOTE,
        )


def key_beside(ax: Axes) -> None:
    """Explain the labelled marks at the right of the axes; labels may be untrusted text.

    Parameters
    ----------
    ax : Axes
        The axes.
    """
    _plain(ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1)))


def key_below(ax: Axes, *, columns: int) -> None:
    """Explain the labelled marks below the axes; labels may be untrusted text.

    Parameters
    ----------
    ax : Axes
        The axes.
    columns : int
        In how many columns.
    """
    figure = cast("Figure", ax.get_figure(root=True))  # drawn axes belong to one
    handles, words = ax.get_legend_handles_labels()
    _plain(figure.legend(handles, words, loc="outside lower left", ncols=columns, fontsize=8))


def _plain(legend: Legend) -> None:
    for text in legend.get_texts():
        text.set_parse_math(False)


def height(rows: int) -> float:
    """Give the height of so many rows [inch]: a line of text each, or at least a pixel.

    Parameters
    ----------
    rows : int
        How many.

    Returns
    -------
    float
        The height.

    Examples
    --------
    >>> round(height(25), 2), round(height(2_000), 2)
    (6.0, 20.0)
    """
    return max(0.24 * min(rows, _NAMED), 0.01 * rows)


def row_labels(ax: Axes, labels: list[str], *, width: int = 60) -> None:
    """Name the rows of a chart, the first on top; above 60 they are only numbered.

    Parameters
    ----------
    ax : Axes
        The axes.
    labels : list of str
        One per row; untrusted text.
    width : int
        Where a label is cut [characters].
    """
    ax.set_ylim(len(labels) - 0.4, -0.6)
    if len(labels) > _NAMED:
        ax.set_ylabel("appliance, in order")
        return
    ax.set_yticks(range(len(labels)), [legible(label, width=width) for label in labels])
    for label in ax.get_yticklabels():
        label.set_parse_math(False)


def time_axis(ax: Axes, start: pd.Timestamp | None = None, end: pd.Timestamp | None = None) -> None:
    """Make the horizontal axis one of UTC times, and say so.

    Parameters
    ----------
    ax : Axes
        The axes; their numbers are matplotlib's days.
    start, end : Timestamp, optional
        The period to show; as far as the data reach by default, and where it is but a moment.
    """
    if start is not None and start != end:
        ax.set_xlim(left=day(start))
    if end is not None and start != end:
        ax.set_xlim(right=day(end))
    locator = AutoDateLocator(tz="UTC", minticks=3, maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))
    ax.set_xlabel("time (UTC)")


def day(moment: pd.Timestamp) -> float:
    """Turn a time into matplotlib's day number.

    Parameters
    ----------
    moment : Timestamp
        The time, with a zone.

    Returns
    -------
    float
        Days.
    """
    return float(date2num(moment.tz_convert("UTC").tz_localize(None).to_datetime64()))


def rest(states: pd.Series, more: int) -> str:
    """Say how the appliances stand that are not drawn.

    Parameters
    ----------
    states : Series of str
        The states of all, in the order in which they are drawn.
    more : int
        How many of them, the last ones, are not drawn.

    Returns
    -------
    str
        A caption; "" if all are drawn.

    Examples
    --------
    >>> rest(pd.Series(["breach", "unknown", "compliant", "compliant"]), 3)
    'and 3 more: 1 unknown, 2 compliant'
    >>> rest(pd.Series(["breach", "compliant", "compliant"]), 2)
    'and 2 more, all compliant'
    """
    if more <= 0:
        return ""
    counts = states.iloc[-more:].value_counts(sort=False)
    if len(counts) == 1:
        return f"and {more:,} more, all {counts.index[0]}"
    return f"and {more:,} more: " + ", ".join(f"{n:,} {state}" for state, n in counts.items())


def days(times: pd.Series) -> pd.Series:
    """Turn UTC times into matplotlib's day numbers.

    Parameters
    ----------
    times : Series of datetime64[us, UTC]
        The times.

    Returns
    -------
    Series of float64
        Days; NaN where the time is missing.
    """
    return pd.Series(date2num(times.dt.tz_localize(None).to_numpy()), index=times.index)
