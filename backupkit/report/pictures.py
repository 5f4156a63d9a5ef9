"""Figures as data URIs, each with what it shows in words."""

import base64

from matplotlib.axes import Axes

from backupkit.plots.picture import png, svg
from backupkit.report.facts import Picture

__all__ = ["image", "picture"]

_LARGEST_SVG = 60_000  # bytes; about a hundred marks


def picture(ax: Axes, alt: str) -> Picture:
    """Make a picture of a drawn figure.

    Parameters
    ----------
    ax : Axes
        Drawn axes.
    alt : str
        What it shows, in words.

    Returns
    -------
    Picture
        For an ``img``.
    """
    return Picture(image(ax), alt)


def image(ax: Axes) -> str:
    """Give a drawn figure as a data URI: an SVG, or a PNG where that is far smaller.

    Parameters
    ----------
    ax : Axes
        Drawn axes.

    Returns
    -------
    str
        For the ``src`` of an ``img``.
    """
    drawn, kind = svg(ax), "svg+xml"
    if len(drawn) > _LARGEST_SVG:
        drawn, kind = png(ax), "png"
    return f"data:image/{kind};base64,{base64.b64encode(drawn).decode()}"
