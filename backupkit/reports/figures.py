"""Figures as data URIs, with alternative texts."""

import base64

from matplotlib.axes import Axes

from backupkit.plots.picture import png, svg
from backupkit.reports.facts import Picture

__all__ = ["data_uri", "embed_figure"]

_LARGEST_SVG = 60_000  # bytes


def embed_figure(ax: Axes, alt: str) -> Picture:
    """Return a drawn figure with its alternative text.

    Parameters
    ----------
    ax : Axes
        Drawn axes.
    alt : str
        Alternative text.

    Returns
    -------
    Picture
        For an ``img`` element.
    """
    return Picture(data_uri(ax), alt)


def data_uri(ax: Axes) -> str:
    """Return a drawn figure as a data URI: SVG, or PNG if the SVG exceeds 60,000 bytes.

    Parameters
    ----------
    ax : Axes
        Drawn axes.

    Returns
    -------
    str
        For the ``src`` of an ``img`` element.
    """
    content, kind = svg(ax), "svg+xml"
    if len(content) > _LARGEST_SVG:
        content, kind = png(ax), "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
