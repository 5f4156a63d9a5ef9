"""Style of the figures, and drawing functions that they share."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final, cast

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.transforms import ScaledTranslation

from backupkit.plots.fonts import list_fonts, sanitise_text
from backupkit.plots.picture import (
    BESIDE_GID,
    CAPTION_GID,
    ChartAxes,
    create_figure,
    load_backend,
)
from backupkit.plots.themes import INK, MUTED, THEMES, Theme

Floats = npt.NDArray[np.float64]

Size = tuple[float, float]
"""Width and height of a figure [inch]."""

_MAX_NAMED_ROWS = 60
"""Maximum number of rows with a name each."""

_LEGEND_ENTRY: Final = 105  # width of an entry [pt]
_TITLE_LETTER: Final = 7.8  # mean width of a letter [pt]
_MIN_TITLE_LETTERS: Final = 12
_DATA_SHARE: Final = 0.7  # of the width of given axes, the part beside labels and legend
_LEGEND_LINE: Final = 14  # height of a line [pt]
_MESSAGE_HEIGHT: Final = 0.55  # of a figure without data [inch]
_NOT_OF_A_STYLE: Final = (
    *("backend", "date.epoch", "docstring", "figure.max_open_warning", "figure.raise_window"),
    *("interactive", "savefig.", "timezone", "tk.", "toolbar", "webagg."),
)
"""First letters of the settings that do not belong to the style of a figure."""

_CAPTION_DEPTH: Final = 34  # below the axes [pt]
_LABEL_SHARE: Final = 0.55  # of the width of a chart, at most, for the labels of rows
_LETTER: Final = 5.6  # mean width of a letter of a label [pt]
_DARKEST_PAPER: Final = 0.4
"""Brightness below which a background is dark."""


@contextmanager
def apply_style(theme: str = "light") -> Iterator[Theme]:
    """Set backupkit's matplotlib style within a context, and restore it afterwards.

    "light" and "dark" depend on no setting of matplotlib and on no style sheet. "rc" changes no
    setting, and takes the colours of background, texts and guide lines from ``rcParams``.

    Raises
    ------
    ValueError
        If the theme does not exist.

    Examples
    --------
    >>> from backupkit.plots.themes import BLUE
    >>> with apply_style("dark"):
    ...     mpl.rcParams["axes.spines.top"], mpl.rcParams["figure.facecolor"]
    (False, '#1b1f23')
    >>> with mpl.rc_context({"axes.facecolor": "black"}), apply_style("rc") as active_theme:
    ...     active_theme.paper, active_theme.of(BLUE)
    ('#000000', '#71bdec')
    """
    load_backend()
    if theme == "rc":
        yield _read_theme()
        return
    if theme not in THEMES:
        raise ValueError(f'theme: "{theme}" must be one of {", ".join(THEMES)}, rc.')
    colours = THEMES[theme]
    settings = {
        "font.family": list(list_fonts()),
        "font.size": 9,
        "axes.edgecolor": colours.line,
        "axes.facecolor": colours.paper,
        "axes.labelcolor": colours.muted,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": colours.ink,
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
    with mpl.rc_context(_list_changed_settings() | settings):
        yield colours


def _list_changed_settings() -> dict[str, Any]:
    """Return matplotlib's own value of each setting that a user or a style sheet has changed."""
    return {
        name: value
        for name, value in mpl.rcParamsDefault.items()
        if not name.startswith(_NOT_OF_A_STYLE) and mpl.rcParams[name] != value
    }


def _read_theme() -> Theme:
    """Return the theme of the present settings of matplotlib."""
    settings = mpl.rcParams
    paper, ink, muted, line = (
        to_hex(settings[name])
        for name in ("axes.facecolor", "text.color", "axes.labelcolor", "grid.color")
    )
    is_dark = sum(to_rgb(paper)) / 3 < _DARKEST_PAPER
    colours = THEMES["dark" if is_dark else "light"].colours
    return Theme(paper, ink, muted, line, MappingProxyType({**colours, INK: ink, MUTED: muted}))


# --- axes, title, legend and caption -------------------------------------------------------------


def prepare_axes(
    ax: Axes | None, *, height: float, width: float = 9.0, figsize: Size | None = None
) -> Axes:
    """Return the given axes, or those of a new figure of a size [inch].

    A figure of given axes without a layout engine gets one, so that no text is cut.
    """
    if ax is None:
        return create_figure(figsize or (width, height))
    figure = _get_figure(ax)
    if figure.get_layout_engine() is None and ax.get_subplotspec() is not None:
        figure.set_layout_engine("constrained")
    return ax


def _get_figure(ax: Axes) -> Figure:
    return cast("Figure", ax.get_figure(root=True))  # only removed axes have none


def get_width(ax: Axes) -> float:
    """Return the width that a chart has, with its labels [inch]."""
    width: float = _get_figure(ax).get_figwidth()
    return width if isinstance(ax, ChartAxes) else width * ax.get_position().width


def draw_message(ax: Axes, message: str) -> Axes:
    """Draw one sentence in place of data: the reason why there is nothing to draw.

    A figure of our own becomes as small as the sentence.
    """
    ax.set_axis_off()
    if isinstance(ax, ChartAxes):
        figure = _get_figure(ax)
        figure.set_size_inches(figure.get_figwidth(), _MESSAGE_HEIGHT)
    ax.text(
        0.5,
        0.5,
        message,
        color=mpl.rcParams["axes.labelcolor"],
        ha="center",
        va="center",
        transform=ax.transAxes,
        parse_math=False,
        wrap=True,
    )
    return ax


def draw_title_and_legend(ax: Axes, title: str, handles: Sequence[Artist] = ()) -> None:
    """Draw the title and, if it has entries, the legend.

    The legend is below the title. On given axes it is below them, so that a title that the user
    sets has its usual place.
    """
    is_own = isinstance(ax, ChartAxes)
    width = 72 * get_width(ax) * (1 if is_own else _DATA_SHARE)
    columns = max(int(width / _LEGEND_ENTRY), 1)
    lines = -(-len(handles) // columns)
    wrapped = textwrap.fill(title, max(int(width / _TITLE_LETTER), _MIN_TITLE_LETTERS))
    ax.set_title(wrapped, pad=8 + _LEGEND_LINE * lines if handles and is_own else None)
    if not handles:
        return
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1)}
    if not is_own:
        depth = _CAPTION_DEPTH + _LEGEND_LINE * _has_caption(ax)
        below = ScaledTranslation(0, -depth / 72, _get_figure(ax).dpi_scale_trans)
        place = {"loc": "upper left", "bbox_to_anchor": (0, 0)}
        place["bbox_transform"] = ax.transAxes + below
    columns = min(columns, len(handles))
    ax.legend(
        # matplotlib fills column by column, people read line by line
        handles=[handle for column in range(columns) for handle in handles[column::columns]],
        **place,
        borderaxespad=0.2,
        borderpad=0,
        columnspacing=1.2,
        fontsize=8,
        handleheight=1.0,
        handlelength=2.2,  # room for a pattern
        handletextpad=0.4,
        ncols=columns,
    )


def _has_caption(ax: Axes) -> bool:
    return any(text.get_gid() == CAPTION_GID for text in ax.texts)


def draw_beside(ax: Axes, y: float, text: str, *, colour: str, x: float = 1.0) -> None:
    """Draw a text at the right of the axes, beside a row; untrusted text must be sanitised.

    `x` is a fraction of the width of the axes. The figure leaves room for the text.
    """
    ax.annotate(
        text,
        (x, y),
        (5, 0),
        xycoords=ax.get_yaxis_transform(),
        textcoords="offset points",
        color=colour,
        fontsize=8,
        va="center",
        annotation_clip=False,
        gid=BESIDE_GID,
        parse_math=False,
    )


def draw_caption(ax: Axes, *parts: str) -> None:
    """Draw a caption below the axes, unless all its parts are empty."""
    text = "; ".join(part for part in parts if part)
    legend = ax.get_legend()
    lines = 0 if isinstance(ax, ChartAxes) or legend is None else len(legend.get_texts())
    if text:
        ax.annotate(
            text,
            (0, 0),
            (0, -_CAPTION_DEPTH - _LEGEND_LINE * lines),
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
    figure = _get_figure(ax)
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
    width = min(width, int(72 * get_width(ax) * _LABEL_SHARE / _LETTER))
    ax.set_yticks(range(len(labels)), [sanitise_text(label, width=width) for label in labels])
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
