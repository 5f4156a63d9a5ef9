"""Figures without pyplot: margins, reproducible SVG and PNG, and positions in the image."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, cast

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import num2date
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine
from matplotlib.legend import Legend
from matplotlib.text import Text

from backupkit.plots.text_images import TextImageCanvas

__all__ = [
    "ChartAxes",
    "FixedMargins",
    "NotebookFigure",
    "create_figure",
    "load_backend",
    "render_png",
    "render_svg",
    "to_data_coords",
    "to_timestamp",
    "without_pyplot",
]

CAPTION_GID: Final = "note"
"""Group id of the caption below the axes."""

BESIDE_GID: Final = "beside"
"""Group id of texts at the right of the axes."""

_DPI: Final = 110

# heights and widths in points
_EDGE: Final = 5
_GAP: Final = 4  # between axes and tick labels, and around a legend
_TICK_HEIGHT: Final = 18  # a row of tick labels
_LABEL_HEIGHT: Final = 16  # a line of an axis label
_TITLE_GAP: Final = 8  # below and above a title
_CAPTION_DEPTH: Final = 45  # depth of a caption below the axes
_TICK_OVERHANG: Final = 30  # half of a tick label at the end of an axis, or the year there
_MIN_DATA_SHARE: Final = 0.25  # minimum share of the figure for the data

_USES_PYPLOT: Final = ContextVar("uses_pyplot", default=True)


class NotebookFigure(Figure):
    """Figure that a notebook displays without pyplot."""

    def _repr_png_(self) -> bytes:
        return _png(self, dpi=_DPI)


class ChartAxes(Axes):
    """Axes that a notebook displays as the picture of their figure.

    Their title is at the left by default. One that is set later has the style of the first one.
    """

    def set_title(self, label: str, *args: Any, **options: Any) -> Text:  # noqa: ANN401 # as matplotlib's
        """Set the title, by default at the left and in the style of the present one."""
        present: Text = self._left_title  # type: ignore[attr-defined] # has no public name
        if present.get_text():
            style = {
                "color": present.get_color(),
                "fontsize": present.get_fontsize(),
                "fontweight": present.get_fontweight(),
                "pad": self._title_pad,
            }
            options = style | options
        self._title_pad: float | None = options.get("pad")
        return super().set_title(label, *args, **{"loc": "left", **options})

    def _repr_png_(self) -> bytes | None:
        """Return the picture; None if a window of pyplot shows the figure."""
        figure, pyplot = _get_figure(self), sys.modules.get("matplotlib.pyplot")
        if pyplot is not None and getattr(figure, "number", 0) in pyplot.get_fignums():
            backend = mpl.get_backend().lower()
            if backend != "agg" and "inline" not in backend:
                return None
            picture = _png(figure, dpi=_DPI)
            pyplot.close(figure)  # else the end of the cell would show it again
            return picture
        return _png(figure, dpi=_DPI)


def create_figure(figsize: tuple[float, float]) -> ChartAxes:
    """Create a figure of a size [inch], and return its axes.

    If the user has imported pyplot, it is pyplot's current figure, but `without_pyplot`.
    """
    pyplot = _find_pyplot()
    layout = FixedMargins()
    figure: Figure
    if pyplot is None:
        figure = NotebookFigure(figsize=figsize, layout=layout)
    else:
        figure = pyplot.figure(FigureClass=NotebookFigure, figsize=figsize, layout=layout)
    return cast("ChartAxes", figure.add_subplot(axes_class=ChartAxes))


def load_backend() -> None:
    """Load the backend of pyplot, if a plot will use it.

    A backend may change settings when it is loaded. In a context of settings they would be lost.
    """
    pyplot = _find_pyplot()
    if pyplot is not None:
        pyplot.draw_if_interactive()


@contextmanager
def without_pyplot() -> Iterator[None]:
    """Keep the plots drawn meanwhile out of pyplot: they are parts of a page or a widget.

    Examples
    --------
    >>> from backupkit.plots import failures
    >>> from backupkit.tables import FAILURES
    >>> with without_pyplot():
    ...     print(type(failures(FAILURES.empty())).__name__)
    ChartAxes
    """
    token = _USES_PYPLOT.set(False)
    try:
        yield
    finally:
        _USES_PYPLOT.reset(token)


def _find_pyplot() -> Any:  # noqa: ANN401 # a module without types
    """Return pyplot if the user has imported it, and calls a plot; else None."""
    return sys.modules.get("matplotlib.pyplot") if _USES_PYPLOT.get() else None


class FixedMargins(LayoutEngine):
    """Layout engine that leaves room for labels, title, legend and caption.

    matplotlib's engines draw every text twice more to measure it, which can double the drawing
    time. This engine measures only texts of variable size: row labels and legends.
    """

    def __init__(self) -> None:
        super().__init__()
        self._adjust_compatible = True
        self._colorbar_gridspec = False

    def execute(self, fig: Figure) -> None:
        """Set the position of the axes; they all get the same."""
        points = 72 / fig.dpi
        # texts keep the renderer of the last drawing, whose resolution may be another one
        renderer = fig._get_renderer()  # type: ignore[attr-defined] # noqa: SLF001 # as matplotlib's

        def measure(artist: Artist) -> tuple[float, float]:
            extent = artist.get_window_extent(renderer)
            return points * extent.width, points * extent.height

        margins = [_measure_margins(ax, measure) for ax in fig.axes]
        left, right, below, above = (max(side) + _EDGE for side in zip(*margins, strict=True))
        above += max(_measure_head(ax, measure) for ax in fig.axes)
        below += sum(measure(legend)[1] + _GAP for legend in fig.legends)
        width, height = fig.get_size_inches() * 72
        right = min(right, (1 - _MIN_DATA_SHARE) * width / 2)
        left = min(left, (1 - _MIN_DATA_SHARE) * width - right)
        below = min(below, (1 - _MIN_DATA_SHARE) * height - above)
        position = (
            left / width,
            below / height,
            (width - left - right) / width,
            (height - below - above) / height,
        )
        for ax in fig.axes:
            ax.set_position(position)
            _move_head_to_edge(ax, -(left - _EDGE) / (width - left - right))


def _measure_margins(
    ax: Axes, measure: Callable[[Artist], tuple[float, float]]
) -> tuple[float, float, float, float]:
    """Return the left, right, bottom and top margin of some axes [pt]."""
    if not ax.axison:
        return 0, 0, 0, 0
    row_labels = ax.get_yticklabels() if ax.yaxis.get_visible() else []
    left = max((measure(name)[0] for name in row_labels), default=0) + 2 * _GAP
    right = below = above = 0.0
    left += _LABEL_HEIGHT if ax.get_ylabel() else 0
    axis_height = _TICK_HEIGHT + (_LABEL_HEIGHT if ax.get_xlabel() else 0)
    if ax.xaxis.get_label_position() == "top":
        above = axis_height
    else:
        has_caption = any(text.get_gid() == CAPTION_GID for text in ax.texts)
        below, right = max(axis_height, _CAPTION_DEPTH if has_caption else 0), _TICK_OVERHANG
        if {"rotation", "labelrotation"} & ax.xaxis.get_tick_params().keys():
            tallest = max(measure(label)[1] for label in ax.get_xticklabels())
            below = max(below, tallest + 2 * _GAP)
    beside = [measure(text)[0] for text in ax.texts if text.get_gid() == BESIDE_GID]
    right = max([right, *(width + 2 * _GAP for width in beside)])
    legend = ax.get_legend()
    if legend is not None and not _is_above(legend, ax):
        right = max(right, measure(legend)[0] + 3 * _GAP)
    return left, right, below, above


def _measure_head(ax: Axes, measure: Callable[[Artist], tuple[float, float]]) -> float:
    """Return the height of the title, and of a legend between it and the axes [pt]."""
    if not ax.axison:
        return 0
    height = max((measure(title)[1] + _TITLE_GAP for title in _list_titles(ax)), default=0.0)
    legend = ax.get_legend()
    if legend is not None and _is_above(legend, ax):
        height += measure(legend)[1] + _GAP
    return height


def _move_head_to_edge(ax: Axes, x: float) -> None:
    """Move title and legend to the edge of the figure, where there is most room for them."""
    for title in _list_titles(ax):
        if title.get_horizontalalignment() == "left":
            title.set_x(x)
    legend = ax.get_legend()
    if legend is not None and _is_above(legend, ax):
        legend.set_bbox_to_anchor((x, 1), transform=ax.transAxes)


def _list_titles(ax: Axes) -> list[Text]:
    """Return the titles in the middle and at the left that have a text."""
    titles = (ax.title, ax._left_title)  # type: ignore[attr-defined] # noqa: SLF001 # has no public name
    return [title for title in titles if title.get_text()]


def _is_above(legend: Legend, ax: Axes) -> bool:
    return bool(legend.get_bbox_to_anchor().x0 <= ax.bbox.x0 + 1)


def render_svg(ax: Axes) -> bytes:
    """Render the figure of some drawn axes as an SVG document without a date or random ids.

    Examples
    --------
    >>> from backupkit.plots import failures
    >>> from backupkit.tables import FAILURES
    >>> render_svg(failures(FAILURES.empty()))[:5]
    b'<?xml'
    """
    buffer = io.BytesIO()
    figure = _get_figure(ax)
    canvas = figure.canvas
    with mpl.rc_context({"svg.hashsalt": "backupkit", "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    figure.set_canvas(canvas)
    return buffer.getvalue()


def render_png(ax: Axes, *, dpi: int = _DPI) -> bytes:
    """Render the figure of some drawn axes as a PNG image.

    Examples
    --------
    >>> from backupkit.plots import failures
    >>> from backupkit.tables import FAILURES
    >>> render_png(failures(FAILURES.empty()))[1:4]
    b'PNG'
    """
    return _png(_get_figure(ax), dpi=dpi)


def to_data_coords(ax: Axes, x: float, y: float) -> tuple[float, float] | None:
    """Convert a position in the rendered image to data coordinates; None outside the axes.

    The position is measured from the left and the top, as fractions of width and height.

    Examples
    --------
    >>> from backupkit.plots import failures
    >>> from backupkit.tables import FAILURES
    >>> ax = failures(FAILURES.frame({"signature": ["a"], "jobs": [4], "appliances": [1]}))
    >>> _ = render_png(ax)
    >>> round(to_data_coords(ax, 0.5, 0.5)[1]), to_data_coords(ax, 0.0, 0.0)
    (0, None)
    """
    pixel = _get_figure(ax).transFigure.transform((x, 1 - y))
    if not ax.bbox.contains(*pixel):
        return None
    column, row = ax.transData.inverted().transform(pixel)
    return float(column), float(row)


def to_timestamp(day: float) -> pd.Timestamp:
    """Convert a horizontal data coordinate of a time axis to a time [UTC].

    Examples
    --------
    >>> to_timestamp(0.5)
    Timestamp('1970-01-01 12:00:00+0000', tz='UTC')
    """
    return pd.Timestamp(num2date(day))


def _png(figure: Figure, *, dpi: int) -> bytes:
    buffer = io.BytesIO()
    canvas = figure.canvas
    figure.set_dpi(dpi)
    options = {"compress_level": 1}  # slightly larger, but three times as fast
    TextImageCanvas(figure).print_png(buffer, metadata={"Software": None}, pil_kwargs=options)
    figure.set_canvas(canvas)
    return buffer.getvalue()


def _get_figure(ax: Axes) -> Figure:
    # only removed axes have no figure
    return cast("Figure", ax.get_figure(root=True))
