"""Colour themes of the figures, light and dark."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

import matplotlib as mpl

__all__ = [
    "BLUE",
    "BROWN",
    "CURVES",
    "INK",
    "LINE",
    "MUTED",
    "ORANGE",
    "PURPLE",
    "THEMES",
    "Theme",
    "context",
]

INK = "#1d2125"
MUTED = "#595959"
LINE = "#d5d8dc"
BLUE = "#0072B2"
ORANGE = "#B54708"
BROWN = "#8A5A00"
PURPLE = "#6A3D9A"
CURVES = (BLUE, ORANGE, PURPLE, BROWN, MUTED, INK)


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a figure.

    Attributes
    ----------
    paper, ink, muted, line : str
        Colours of background, text, secondary text and guide lines.
    colours : mapping of str to str
        Colour of this theme by colour of the light theme.
    """

    paper: str
    ink: str
    muted: str
    line: str
    colours: Mapping[str, str]

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


THEMES: Mapping[str, Theme] = MappingProxyType(
    {
        "light": Theme("#ffffff", INK, MUTED, LINE, MappingProxyType({})),
        "dark": Theme(
            "#1b1f23",
            "#e6e8ea",
            "#a4abb3",
            "#3d444c",
            MappingProxyType(
                {
                    INK: "#e6e8ea",
                    MUTED: "#a4abb3",
                    LINE: "#3d444c",
                    BLUE: "#71bdec",
                    ORANGE: "#f5a167",
                    BROWN: "#e0b95f",
                    PURPLE: "#c8a9ec",
                }
            ),
        ),
    }
)
"""Themes by name; each colour has a contrast of at least 4.5 : 1 on its paper."""


def _settings(theme: Theme) -> dict[str, object]:
    return {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.edgecolor": theme.line,
        "axes.facecolor": theme.paper,
        "axes.labelcolor": theme.muted,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": theme.ink,
        "axes.titlelocation": "left",
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.axisbelow": True,
        "figure.facecolor": theme.paper,
        "grid.color": theme.line,
        "grid.linewidth": 0.6,
        "hatch.linewidth": 0.7,
        "legend.frameon": False,
        "legend.labelcolor": theme.ink,
        "text.color": theme.ink,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "ytick.labelcolor": theme.ink,
        "ytick.left": False,
    }


@contextmanager
def context(theme: str = "light") -> Iterator[Theme]:
    """Set backupkit's matplotlib style within a context, and restore it afterwards.

    Parameters
    ----------
    theme : {"light", "dark"}
        Colour theme.

    Yields
    ------
    Theme
        Its colours.

    Raises
    ------
    ValueError
        If the theme does not exist.

    Examples
    --------
    >>> with context("dark"):
    ...     mpl.rcParams["axes.spines.top"], mpl.rcParams["figure.facecolor"]
    (False, '#1b1f23')
    """
    if theme not in THEMES:
        raise ValueError(f'theme: "{theme}" must be one of {", ".join(THEMES)}.')
    with mpl.rc_context(_settings(THEMES[theme])):
        yield THEMES[theme]
