"""Style of the figures: shared drawing functions, and styles that do not rely on colour alone."""

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

from backupkit.plots.layout import CAPTION_GID, FixedMargins
from backupkit.plots.picture import NotebookFigure
from backupkit.plots.sanitise_text import legend_label, sanitise_text
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
    "OUTCOME_STYLES",
    "PURPLE",
    "SLOT_STYLES",
    "THEMES",
    "StatusStyle",
    "Theme",
    "context",
    "legend_label",
    "sanitise_text",
]

_MAX_NAMED_ROWS = 60
"""Maximum number of rows with a name each."""


@dataclass(frozen=True, slots=True)
class StatusStyle:
    """Style of one outcome or slot state: label, symbol, colour and pattern.

    Attributes
    ----------
    label : str
        Label for display.
    symbol : str
        Character for use in text.
    colour : str
        Colour with a contrast of at least 4.5 : 1 on white, safe for colour-blind readers.
    hatch : str
        Pattern of a bar, in matplotlib's notation.
    marker : str
        Marker of a point, in matplotlib's notation.
    fill : str
        Fill style of the marker, in matplotlib's notation.
    """

    label: str
    symbol: str
    colour: str
    hatch: str = ""
    marker: str = "o"
    fill: str = "full"


OUTCOME_STYLES: Mapping[str, StatusStyle] = MappingProxyType(
    {
        "success": StatusStyle("succeeded", "●", BLUE),
        "failure": StatusStyle("failed", "✕", ORANGE, hatch="/////"),
        "open": StatusStyle("running", "▶", PURPLE, hatch="....."),
        "void": StatusStyle("not started", "○", MUTED, hatch="-----"),
        "other": StatusStyle("state not known", "?", BROWN, hatch="+++++"),
    }
)
"""Style of each job outcome."""

SLOT_STYLES: Mapping[str, StatusStyle] = MappingProxyType(
    {
        "missed_failed": StatusStyle("failed", "✕", ORANGE, marker="X"),
        "missed_overrun": StatusStyle("overran", "»", ORANGE, marker=">", fill="none"),
        "missed_norun": StatusStyle("did not run", "○", ORANGE, fill="none"),
        "unknown": StatusStyle("unknown", "?", PURPLE, marker="$?$"),
        "late": StatusStyle("late", "◑", BROWN, fill="right"),
        "rescued": StatusStyle("rescued", "◐", BROWN, fill="left"),
        "pending": StatusStyle("pending", "…", MUTED, marker="$…$"),
        "met": StatusStyle("met", "●", BLUE),
        "excluded": StatusStyle("excluded", "-", MUTED, marker="_"),
    }
)
"""Style of each slot state, the most serious first."""


def axes(ax: Axes | None, *, height: float, width: float = 9.0) -> Axes:
    """Return the given axes, or those of a new figure that pyplot does not manage.

    Parameters
    ----------
    ax : Axes or None
        Axes of the caller.
    height, width : float
        Size of a new figure [inch].

    Returns
    -------
    Axes
        Axes to draw on.
    """
    if ax is not None:
        return ax
    return NotebookFigure(figsize=(width, height), layout=FixedMargins()).subplots()


def draw_message(ax: Axes, message: str) -> Axes:
    """Draw one sentence on axes without data.

    Parameters
    ----------
    ax : Axes
        The axes; their frame and ticks are removed.
    message : str
        Reason why there is nothing to draw.

    Returns
    -------
    Axes
        The same axes.
    """
    ax.set_axis_off()
    ax.text(
        0.5,
        0.5,
        message,
        color=mpl.rcParams["axes.labelcolor"],
        ha="center",
        va="center",
        transform=ax.transAxes,
        parse_math=False,
    )
    return ax


def title_and_legend(ax: Axes, title: str, handles: Sequence[Artist]) -> None:
    """Draw the title, and below it the legend in one line.

    Parameters
    ----------
    ax : Axes
        The axes.
    title : str
        The title.
    handles : sequence of Artist
        Entries of the legend; no legend if empty.
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


def caption(ax: Axes, text: str) -> None:
    """Draw a caption below the axes.

    Parameters
    ----------
    ax : Axes
        The axes.
    text : str
        The caption; "" draws nothing.
    """
    if text:
        ax.annotate(
            text,
            (0, 0),
            (0, -34),
            xycoords="axes fraction",
            textcoords="offset points",
            color=mpl.rcParams["axes.labelcolor"],
            va="top",
            fontsize=8,
            annotation_clip=False,
            gid=CAPTION_GID,
        )


def legend_right(ax: Axes) -> None:
    """Draw the legend at the right of the axes; labels may be untrusted text.

    Parameters
    ----------
    ax : Axes
        The axes.
    """
    _disable_math(ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1)))


def legend_below(ax: Axes, *, columns: int) -> None:
    """Draw the legend below the axes; labels may be untrusted text.

    Parameters
    ----------
    ax : Axes
        The axes.
    columns : int
        Number of columns.
    """
    figure = cast("Figure", ax.get_figure(root=True))  # only removed axes have none
    handles, labels = ax.get_legend_handles_labels()
    _disable_math(
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, fontsize=8)
    )


def _disable_math(legend: Legend) -> None:
    for text in legend.get_texts():
        text.set_parse_math(False)


def height(rows: int) -> float:
    """Return the height of rows: a line of text each for up to 60 rows, at least a pixel each.

    Parameters
    ----------
    rows : int
        Number of rows.

    Returns
    -------
    float
        The height [inch].

    Examples
    --------
    >>> round(height(25), 2), round(height(2_000), 2)
    (6.0, 20.0)
    """
    return max(0.24 * min(rows, _MAX_NAMED_ROWS), 0.01 * rows)


def row_labels(ax: Axes, labels: list[str], *, width: int = 60) -> None:
    """Label the rows of a chart, the first on top; above 60 rows they are only numbered.

    Parameters
    ----------
    ax : Axes
        The axes.
    labels : list of str
        Label of each row; untrusted text.
    width : int
        Maximum length of a label [characters].
    """
    ax.set_ylim(len(labels) - 0.4, -0.6)
    if len(labels) > _MAX_NAMED_ROWS:
        ax.set_ylabel("appliance, in order")
        return
    ax.set_yticks(range(len(labels)), [sanitise_text(label, width=width) for label in labels])
    for label in ax.get_yticklabels():
        label.set_parse_math(False)


def time_axis(ax: Axes, start: pd.Timestamp | None = None, end: pd.Timestamp | None = None) -> None:
    """Format the horizontal axis as UTC time, and label it.

    Parameters
    ----------
    ax : Axes
        The axes; x is in matplotlib's day numbers.
    start, end : Timestamp, optional
        Period to show; by default, or if it is empty, that of the data.
    """
    if start is not None and start != end:
        ax.set_xlim(left=day(start))
    if end is not None and start != end:
        ax.set_xlim(right=day(end))
    locator = AutoDateLocator(tz="UTC", minticks=3, maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))
    ax.set_xlabel("time (UTC)")


def day(time: pd.Timestamp) -> float:
    """Convert a time to matplotlib's day number.

    Parameters
    ----------
    time : Timestamp
        Time with a zone.

    Returns
    -------
    float
        Days since 1970 UTC.
    """
    return float(date2num(time.tz_convert("UTC").tz_localize(None).to_datetime64()))


def omitted_caption(states: pd.Series, omitted: int) -> str:
    """Return a caption that counts the states of the appliances that are not drawn.

    Parameters
    ----------
    states : Series of str
        States of all appliances, in drawing order.
    omitted : int
        Number of appliances at the end that are not drawn.

    Returns
    -------
    str
        The caption; "" if all are drawn.

    Examples
    --------
    >>> omitted_caption(pd.Series(["breach", "unknown", "compliant", "compliant"]), 3)
    'and 3 more: 1 unknown, 2 compliant'
    >>> omitted_caption(pd.Series(["breach", "compliant", "compliant"]), 2)
    'and 2 more, all compliant'
    """
    if omitted <= 0:
        return ""
    counts = states.iloc[-omitted:].value_counts(sort=False)
    if len(counts) == 1:
        return f"and {omitted:,} more, all {counts.index[0]}"
    return f"and {omitted:,} more: " + ", ".join(f"{n:,} {state}" for state, n in counts.items())


def days(times: pd.Series) -> pd.Series:
    """Convert UTC times to matplotlib's day numbers.

    Parameters
    ----------
    times : Series of datetime64[us, UTC]
        Times; missing values are allowed.

    Returns
    -------
    Series of float64
        Days since 1970 UTC; NaN where the time is missing.
    """
    return pd.Series(date2num(times.dt.tz_localize(None).to_numpy()), index=times.index)
