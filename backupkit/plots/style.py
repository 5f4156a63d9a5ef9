"""How figures look: one look per outcome and per slot state, told apart without colour too."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font

from backupkit.plots.picture import NotebookFigure

__all__ = ["OUTCOME_LOOKS", "SLOT_LOOKS", "Look", "context", "legible"]

INK = "#1d2125"
MUTED = "#595959"
LINE = "#d5d8dc"
BLUE = "#0072B2"
ORANGE = "#B54708"
BROWN = "#8A5A00"
PURPLE = "#6A3D9A"
CURVES = (BLUE, ORANGE, PURPLE, BROWN, MUTED, INK)

_SETTINGS: Mapping[str, object] = MappingProxyType(
    {
        "font.family": ["DejaVu Sans", "sans-serif"],
        "font.size": 9,
        "axes.edgecolor": LINE,
        "axes.labelcolor": MUTED,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.axisbelow": True,
        "figure.facecolor": "white",
        "figure.constrained_layout.use": True,
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "hatch.linewidth": 0.7,
        "legend.frameon": False,
        "text.color": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "ytick.labelcolor": INK,
        "ytick.major.size": 0,
    }
)


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


@contextmanager
def context() -> Iterator[None]:
    """Draw in backupkit's style, and leave the process as it was.

    Examples
    --------
    >>> with context():
    ...     mpl.rcParams["axes.spines.top"]
    False
    """
    with mpl.rc_context(dict(_SETTINGS)):
        yield


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
    return NotebookFigure(figsize=(width, height)).subplots() if ax is None else ax


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
        color=MUTED,
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
    ax.set_title(title, pad=22)
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
            color=MUTED,
            va="top",
            fontsize=8,
            annotation_clip=False,
        )


def row_labels(ax: Axes, labels: list[str], *, width: int = 60) -> None:
    """Name the rows of a chart, the first on top.

    Parameters
    ----------
    ax : Axes
        The axes.
    labels : list of str
        One per row; untrusted text.
    width : int
        Where a label is cut [characters].
    """
    ax.set_yticks(range(len(labels)), [legible(label, width=width) for label in labels])
    ax.set_ylim(len(labels) - 0.4, -0.6)
    for label in ax.get_yticklabels():
        label.set_parse_math(False)


def time_axis(ax: Axes) -> None:
    """Make the horizontal axis one of UTC times, and say so.

    Parameters
    ----------
    ax : Axes
        The axes; their numbers are matplotlib's days.
    """
    locator = AutoDateLocator(tz="UTC", minticks=3, maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))
    ax.set_xlabel("time (UTC)")


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


@cache
def _font() -> FT2Font:
    return FT2Font(findfont("DejaVu Sans"))


def legible(text: str, *, width: int) -> str:
    r"""Make untrusted text fit for a figure: one line, cut, only characters the font has.

    Parameters
    ----------
    text : str
        Any text.
    width : int
        The most characters to keep.

    Returns
    -------
    str
        The text, with an ellipsis where it was cut.

    Examples
    --------
    >>> legible("no space\n  left on device", width=12)
    'no space le…'
    """
    line = " ".join(text[: 8 * width].split())
    cut = line if len(line) <= width else line[: width - 1] + "…"
    return "".join(c if _font().get_char_index(ord(c)) else "\ufffd" for c in cut)
