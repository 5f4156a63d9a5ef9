"""Style of the figures: themes, styles of states, sanitised text and shared drawing functions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import cast

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font
from matplotlib.legend import Legend

from backupkit.plots.picture import CAPTION_GID, FixedMargins, NotebookFigure
from backupkit.tables import find_implausible_times

__all__ = ["OUTCOME_STYLES", "SLOT_STYLES", "THEMES", "StatusStyle", "Theme", "sanitise_text"]

Floats = npt.NDArray[np.float64]

INK = "#1d2125"
MUTED = "#595959"
LINE = "#d5d8dc"
BLUE = "#0072B2"
ORANGE = "#B54708"
BROWN = "#8A5A00"
PURPLE = "#6A3D9A"
CURVES = (BLUE, ORANGE, PURPLE, BROWN, MUTED, INK)

_MICROSECONDS_PER_DAY = 86_400_000_000
_FONT = "DejaVu Sans"
_MAX_NAMED_ROWS = 60
"""Maximum number of rows with a name each."""


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a figure: background, text, secondary text and guide lines."""

    paper: str
    ink: str
    muted: str
    line: str
    colours: Mapping[str, str]
    """Colour of this theme by colour of the light theme."""

    def of(self, colour: str) -> str:
        """Return this theme's equivalent of a colour of the light theme.

        Examples
        --------
        >>> THEMES["dark"].of(BLUE)
        '#71bdec'
        """
        return self.colours.get(colour, colour)

    def tint(self, colour: str) -> str:
        """Return a tint to fill areas: a quarter of the colour, three quarters of the paper."""
        channels = (
            (int(colour[index : index + 2], 16) + 3 * int(self.paper[index : index + 2], 16)) // 4
            for index in (1, 3, 5)
        )
        return "#" + "".join(f"{channel:02x}" for channel in channels)


_DARK = {
    INK: "#e6e8ea",
    MUTED: "#a4abb3",
    LINE: "#3d444c",
    BLUE: "#71bdec",
    ORANGE: "#f5a167",
    BROWN: "#e0b95f",
    PURPLE: "#c8a9ec",
}

THEMES: Mapping[str, Theme] = MappingProxyType(
    {
        "light": Theme("#ffffff", INK, MUTED, LINE, MappingProxyType({})),
        "dark": Theme("#1b1f23", _DARK[INK], _DARK[MUTED], _DARK[LINE], MappingProxyType(_DARK)),
    }
)
"""Themes by name; each colour has a contrast of at least 4.5 : 1 on its paper."""


@dataclass(frozen=True, slots=True)
class StatusStyle:
    """Style of one outcome or slot state, distinct without colour.

    The symbol is for text. Hatch (of a bar), marker and fill (of a point) are in matplotlib's
    notation.
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
        "other": StatusStyle("other state", "?", BROWN, hatch="+++++"),
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


@contextmanager
def apply_style(theme: str = "light") -> Iterator[Theme]:
    """Set backupkit's matplotlib style within a context, and restore it afterwards.

    Raises
    ------
    ValueError
        If the theme does not exist.

    Examples
    --------
    >>> with apply_style("dark"):
    ...     mpl.rcParams["axes.spines.top"], mpl.rcParams["figure.facecolor"]
    (False, '#1b1f23')
    """
    if theme not in THEMES:
        raise ValueError(f'theme: "{theme}" must be one of {", ".join(THEMES)}.')
    colours = THEMES[theme]
    settings = {
        "font.family": _FONT,
        "font.size": 9,
        "axes.edgecolor": colours.line,
        "axes.facecolor": colours.paper,
        "axes.labelcolor": colours.muted,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": colours.ink,
        "axes.titlelocation": "left",
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.axisbelow": True,
        "figure.facecolor": colours.paper,
        "grid.color": colours.line,
        "grid.linewidth": 0.6,
        "hatch.linewidth": 0.7,
        "legend.frameon": False,
        "legend.labelcolor": colours.ink,
        "text.color": colours.ink,
        "xtick.color": colours.muted,
        "ytick.color": colours.muted,
        "ytick.labelcolor": colours.ink,
        "ytick.left": False,
    }
    with mpl.rc_context(settings):
        yield colours


# --- text ----------------------------------------------------------------------------------------


@cache
def _find_figure_font() -> FT2Font:
    return FT2Font(findfont(_FONT))


def sanitise_text(text: str, *, width: int) -> str:
    r"""Sanitise untrusted text for a figure: one line, limited length, characters of the font.

    A cut text ends with an ellipsis. U+FFFD replaces characters that the font does not have.

    Examples
    --------
    >>> sanitise_text("no space\n  left on device", width=12)
    'no space le…'
    """
    line = " ".join(text[: 8 * width].split())
    short = line if len(line) <= width else line[: width - 1] + "…"
    return "".join(
        char if _find_figure_font().get_char_index(ord(char)) else "\ufffd" for char in short
    )


def sanitise_legend_label(name: str, *, width: int = 40) -> str:
    """Sanitise an untrusted name for a legend, which ignores labels that begin with "_".

    Examples
    --------
    >>> sanitise_legend_label("_vc-1")
    'vc-1'
    """
    return sanitise_text(name, width=width).lstrip("_") or "?"


# --- axes, title, legend and caption -------------------------------------------------------------


def prepare_axes(ax: Axes | None, *, height: float, width: float = 9.0) -> Axes:
    """Return the given axes, or those of a new figure that pyplot does not manage [inch]."""
    if ax is not None:
        return ax
    return NotebookFigure(figsize=(width, height), layout=FixedMargins()).subplots()


def draw_message(ax: Axes, message: str) -> Axes:
    """Draw one sentence in place of data: the reason why there is nothing to draw."""
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


def draw_title_and_legend(ax: Axes, title: str, handles: Sequence[Artist]) -> None:
    """Draw the title, and below it the legend in one line, if it has entries."""
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


def draw_caption(ax: Axes, *parts: str) -> None:
    """Draw a caption below the axes, unless all its parts are empty."""
    text = "; ".join(part for part in parts if part)
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


def count_omitted(omitted: int, which: str, states: pd.Series | None = None) -> str:
    """Return a caption that counts what is not drawn; "" if all is drawn.

    `which` says what is omitted. With the states of all appliances, in drawing order, the caption
    counts those of the omitted ones, at the end, instead.

    Examples
    --------
    >>> count_omitted(2, "with a newer success")
    'and 2 more, with a newer success, not drawn'
    >>> count_omitted(3, "", pd.Series(["breach", "unknown", "compliant", "compliant"]))
    'and 3 more: 1 unknown, 2 compliant'
    >>> count_omitted(2, "", pd.Series(["breach", "compliant", "compliant"]))
    'and 2 more, all compliant'
    """
    if omitted <= 0:
        return ""
    if states is None:
        return f"and {omitted:,} more, {which}, not drawn"
    counts = states.iloc[-omitted:].value_counts(sort=False)
    if len(counts) == 1:
        return f"and {omitted:,} more, all {counts.index[0]}"
    return f"and {omitted:,} more: " + ", ".join(f"{n:,} {state}" for state, n in counts.items())


def draw_legend_right(ax: Axes) -> None:
    """Draw the legend at the right of the axes; labels may be untrusted text."""
    _disable_math(ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1)))


def draw_legend_below(ax: Axes, *, columns: int) -> None:
    """Draw the legend below the axes; labels may be untrusted text."""
    figure = cast("Figure", ax.get_figure(root=True))  # only removed axes have none
    handles, labels = ax.get_legend_handles_labels()
    _disable_math(
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, fontsize=8)
    )


def _disable_math(legend: Legend) -> None:
    for text in legend.get_texts():
        text.set_parse_math(False)


# --- rows ----------------------------------------------------------------------------------------


def compute_height(rows: int) -> float:
    """Return the height of rows [inch]: a line of text for up to 60 rows, at least a pixel each.

    Examples
    --------
    >>> round(compute_height(25), 2), round(compute_height(2_000), 2)
    (6.0, 20.0)
    """
    return max(0.24 * min(rows, _MAX_NAMED_ROWS), 0.01 * rows)


def label_rows(ax: Axes, labels: list[str], *, width: int = 60) -> None:
    """Label the rows of a chart, the first on top, with untrusted text of limited width.

    Above 60 rows they are only numbered.
    """
    ax.set_ylim(len(labels) - 0.4, -0.6)
    if len(labels) > _MAX_NAMED_ROWS:
        ax.set_ylabel("appliance, in order")
        return
    ax.set_yticks(range(len(labels)), [sanitise_text(label, width=width) for label in labels])
    for label in ax.get_yticklabels():
        label.set_parse_math(False)


# --- time ----------------------------------------------------------------------------------------


def format_time_axis(
    ax: Axes, start: pd.Timestamp | None = None, end: pd.Timestamp | None = None
) -> None:
    """Format the horizontal axis as UTC time, and label it.

    By default, or if the period is empty, the axis shows that of the data.
    """
    if start is not None and start != end:
        ax.set_xlim(left=to_day_number(start))
    if end is not None and start != end:
        ax.set_xlim(right=to_day_number(end))
    locator = AutoDateLocator(tz="UTC", minticks=3, maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))
    ax.set_xlabel("time (UTC)")


def to_day_number(time: pd.Timestamp) -> float:
    """Convert a time to matplotlib's day number: days since 1970 UTC."""
    return float(date2num(time.tz_convert("UTC").tz_localize(None).to_datetime64()))


def to_day_numbers(times: pd.Series | pd.DatetimeIndex) -> Floats:
    """Convert UTC times to matplotlib's day numbers; NaN where the time is missing."""
    naive = pd.DatetimeIndex(times).tz_localize(None).to_numpy("datetime64[us]")
    # date2num is ten times slower
    numbers = naive.view(np.int64) / _MICROSECONDS_PER_DAY
    numbers[np.isnat(naive)] = np.nan
    return numbers


def drop_implausible_times(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return jobs without the times that cannot be right, which would stretch an axis.

    Reads ``last_seen_at`` of jobs, or ``observed_at`` of observations, if there.
    """
    seen = next((jobs[name] for name in ("last_seen_at", "observed_at") if name in jobs), None)
    seen_at = np.array("NaT", "datetime64[us]") if seen is None else _to_naive(seen)
    implausible = {
        name: find_implausible_times(_to_naive(jobs[name]), seen_at)
        for name in ("start_time", "end_time")
        if name in jobs
    }
    return jobs.assign(
        **{name: jobs[name].mask(flags) for name, flags in implausible.items() if flags.any()}
    )


def _to_naive(times: pd.Series) -> npt.NDArray[np.datetime64]:
    naive: npt.NDArray[np.datetime64] = times.dt.tz_localize(None).to_numpy("datetime64[us]")
    return naive


def find_job_ends(jobs: pd.DataFrame) -> pd.Series:
    """Return when each job ended, or vanished from its appliance's list without an end."""
    ends = jobs["end_time"]
    return ends.fillna(jobs["vanished_at"]) if "vanished_at" in jobs else ends
