"""Layout engine that sets the margins of the axes."""

from typing import Final

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine

__all__ = ["NOTE", "Margins"]

NOTE: Final = "note"
"""Group id of the caption below the axes."""

# heights and widths in points
_EDGE: Final = 5
_GAP: Final = 4  # between axes and tick labels, and around a legend
_TICKS: Final = 18  # a row of tick labels
_LABEL: Final = 16  # a line of an axis label
_TITLE: Final = 20
_KEY: Final = 16  # a legend of one line between axes and title
_DEPTH: Final = 45  # depth of a caption below the axes
_OVERHANG: Final = 30  # half of a tick label at the end of an axis, or the year there
_LEAST: Final = 0.25  # minimum share of the figure for the data


class Margins(LayoutEngine):
    """Layout engine that leaves room for labels, title, legend and caption.

    Notes
    -----
    matplotlib's engines draw every text twice more to measure it, which can double the drawing
    time. This engine measures only texts of variable size: row labels and legends.
    """

    def __init__(self) -> None:
        super().__init__()
        self._adjust_compatible = True
        self._colorbar_gridspec = False

    def execute(self, fig: Figure) -> None:
        """Set the position of the axes.

        Parameters
        ----------
        fig : Figure
            Its axes all get the same position.
        """
        points = 72 / fig.dpi
        margins = [_margins(ax, points) for ax in fig.axes]
        left, right, below, above = (max(side) + _EDGE for side in zip(*margins, strict=True))
        below += sum(_height(legend, points) + _GAP for legend in fig.legends)
        width, height = fig.get_size_inches() * 72
        right = min(right, (1 - _LEAST) * width / 2)
        left = min(left, (1 - _LEAST) * width - right)
        below = min(below, (1 - _LEAST) * height - above)
        place = (
            left / width,
            below / height,
            (width - left - right) / width,
            (height - below - above) / height,
        )
        for ax in fig.axes:
            ax.set_position(place)


def _width(artist: Artist, points: float) -> float:
    return points * artist.get_window_extent().width


def _height(artist: Artist, points: float) -> float:
    return points * artist.get_window_extent().height


def _margins(ax: Axes, points: float) -> tuple[float, float, float, float]:
    """Return the left, right, bottom and top margin of some axes [pt]."""
    if not ax.axison:
        return 0, 0, 0, 0
    names = ax.get_yticklabels() if ax.yaxis.get_visible() else []
    left = max((_width(name, points) for name in names), default=0) + 2 * _GAP
    right = below = above = 0.0
    left += _LABEL if ax.get_ylabel() else 0
    row = _TICKS + (_LABEL if ax.get_xlabel() else 0)
    if ax.xaxis.get_label_position() == "top":
        above = row
    else:
        noted = any(text.get_gid() == NOTE for text in ax.texts)
        below, right = max(row, _DEPTH if noted else 0), _OVERHANG
    above += _TITLE if ax.get_title("left") else 0
    legend = ax.get_legend()
    if legend is not None and legend.get_bbox_to_anchor().x0 > ax.bbox.x0:
        right = max(right, _width(legend, points) + 3 * _GAP)
    elif legend is not None:
        above += _KEY
    return left, right, below, above
