"""Figures without pyplot: margins, reproducible SVG and PNG, and positions in the image."""

import io
from collections.abc import Callable
from typing import Final, cast

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import num2date
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine

from backupkit.plots.text_images import TextImageCanvas

__all__ = [
    "FixedMargins",
    "NotebookFigure",
    "render_png",
    "render_svg",
    "to_data_coords",
    "to_timestamp",
]

CAPTION_GID: Final = "note"
"""Group id of the caption below the axes."""

# heights and widths in points
_EDGE: Final = 5
_GAP: Final = 4  # between axes and tick labels, and around a legend
_TICK_HEIGHT: Final = 18  # a row of tick labels
_LABEL_HEIGHT: Final = 16  # a line of an axis label
_TITLE_HEIGHT: Final = 20
_LEGEND_HEIGHT: Final = 16  # a legend of one line between axes and title
_CAPTION_DEPTH: Final = 45  # depth of a caption below the axes
_TICK_OVERHANG: Final = 30  # half of a tick label at the end of an axis, or the year there
_MIN_DATA_SHARE: Final = 0.25  # minimum share of the figure for the data


class NotebookFigure(Figure):
    """Figure that a notebook displays without pyplot."""

    def _repr_png_(self) -> bytes:
        return _png(self, dpi=110)


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
    above += _TITLE_HEIGHT if ax.get_title("left") else 0
    legend = ax.get_legend()
    if legend is not None and legend.get_bbox_to_anchor().x0 > ax.bbox.x0:
        right = max(right, measure(legend)[0] + 3 * _GAP)
    elif legend is not None:
        above += _LEGEND_HEIGHT
    return left, right, below, above


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
    with mpl.rc_context({"svg.hashsalt": "backupkit", "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def render_png(ax: Axes, *, dpi: int = 110) -> bytes:
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
    figure.set_dpi(dpi)
    options = {"compress_level": 1}  # slightly larger, but three times as fast
    TextImageCanvas(figure).print_png(buffer, metadata={"Software": None}, pil_kwargs=options)
    return buffer.getvalue()


def _get_figure(ax: Axes) -> Figure:
    # only removed axes have no figure
    return cast("Figure", ax.get_figure(root=True))
