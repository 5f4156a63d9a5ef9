"""A drawn figure as bytes: the same axes give the same bytes."""

import io
from typing import cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

__all__ = ["NotebookFigure", "png", "svg"]


class NotebookFigure(Figure):
    """A figure that a notebook shows by itself, though pyplot never hears of it."""

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
        UTF-8, without date or random ids.

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
    """Render the figure of some axes as a PNG picture.

    Parameters
    ----------
    ax : Axes
        Drawn axes; their whole figure is rendered.
    dpi : int
        Resolution [dots per inch].

    Returns
    -------
    bytes
        The picture.

    Examples
    --------
    >>> from backupkit.plots import failures
    >>> from backupkit.tables import FAILURES
    >>> png(failures(FAILURES.empty()))[1:4]
    b'PNG'
    """
    return _png(_figure(ax), dpi=dpi)


def _png(figure: Figure, *, dpi: int) -> bytes:
    buffer = io.BytesIO()
    figure.set_dpi(dpi)
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _figure(ax: Axes) -> Figure:
    # axes that were drawn on always belong to a figure; only removed ones do not
    return cast("Figure", ax.get_figure(root=True))
