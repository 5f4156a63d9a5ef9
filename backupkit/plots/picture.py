"""Reproducible rendering of figures as SVG or PNG, and conversion of positions in them."""

import io
from typing import cast

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import num2date
from matplotlib.figure import Figure

__all__ = ["NotebookFigure", "png", "svg", "to_data_coords", "to_timestamp"]


class NotebookFigure(Figure):
    """Figure that a notebook displays without pyplot."""

    def _repr_png_(self) -> bytes:
        return _png(self, dpi=110)


def svg(ax: Axes) -> bytes:
    """Render the figure of some axes as an SVG document.

    Parameters
    ----------
    ax : Axes
        Drawn axes; their whole figure is rendered.

    Returns
    -------
    bytes
        UTF-8 text without a date or random ids.

    Examples
    --------
    >>> from backupkit.plots import failures
    >>> from backupkit.tables import FAILURES
    >>> svg(failures(FAILURES.empty()))[:5]
    b'<?xml'
    """
    buffer = io.BytesIO()
    figure = _figure(ax)
    with mpl.rc_context({"svg.hashsalt": "backupkit", "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def png(ax: Axes, *, dpi: int = 110) -> bytes:
    """Render the figure of some axes as a PNG image.

    Parameters
    ----------
    ax : Axes
        Drawn axes; their whole figure is rendered.
    dpi : int
        Resolution [dots per inch].

    Returns
    -------
    bytes
        The image.

    Examples
    --------
    >>> from backupkit.plots import failures
    >>> from backupkit.tables import FAILURES
    >>> png(failures(FAILURES.empty()))[1:4]
    b'PNG'
    """
    return _png(_figure(ax), dpi=dpi)


def to_data_coords(ax: Axes, x: float, y: float) -> tuple[float, float] | None:
    """Convert a position in the image to data coordinates of the axes.

    Parameters
    ----------
    ax : Axes
        Axes whose figure was rendered by `svg` or `png`.
    x, y : float
        Position from the left and the top, as fractions of width and height.

    Returns
    -------
    tuple of float or None
        x and y in data coordinates; None outside the axes.

    Examples
    --------
    >>> from backupkit.plots import failures
    >>> from backupkit.tables import FAILURES
    >>> ax = failures(FAILURES.frame({"signature": ["a"], "jobs": [4], "appliances": [1]}))
    >>> _ = png(ax)
    >>> round(to_data_coords(ax, 0.5, 0.5)[1]), to_data_coords(ax, 0.0, 0.0)
    (0, None)
    """
    pixel = _figure(ax).transFigure.transform((x, 1 - y))
    if not ax.bbox.contains(*pixel):
        return None
    column, row = ax.transData.inverted().transform(pixel)
    return float(column), float(row)


def to_timestamp(ax: Axes, x: float, y: float) -> pd.Timestamp | None:
    """Convert a position in the image to a time.

    Parameters
    ----------
    ax : Axes
        Axes with a time axis, whose figure was rendered by `svg` or `png`.
    x, y : float
        Position from the left and the top, as fractions of width and height.

    Returns
    -------
    Timestamp or None
        The time [UTC]; None outside the axes.

    Examples
    --------
    >>> from backupkit.plots import timeline
    >>> from backupkit.tables import JOBS
    >>> night = pd.Timestamp("2026-11-08T01:00Z")
    >>> jobs = JOBS.frame({"appliance": ["a"], "outcome": ["success"], "start_time": [night]})
    >>> ax = timeline(jobs, start=night, end=night + pd.Timedelta(hours=8))
    >>> _ = png(ax)
    >>> night < to_timestamp(ax, 0.5, 0.5) < night + pd.Timedelta(hours=8)
    True
    """
    position = to_data_coords(ax, x, y)
    return None if position is None else pd.Timestamp(num2date(position[0]))


def _png(figure: Figure, *, dpi: int) -> bytes:
    buffer = io.BytesIO()
    figure.set_dpi(dpi)
    options = {"compress_level": 1}  # slightly larger, but three times as fast
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None}, pil_kwargs=options)
    return buffer.getvalue()


def _figure(ax: Axes) -> Figure:
    # only removed axes have no figure
    return cast("Figure", ax.get_figure(root=True))
