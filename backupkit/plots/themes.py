"""Themes of the figures, and styles of outcomes and states."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = [
    "BLUE",
    "BROWN",
    "CURVES",
    "INK",
    "LINE",
    "MUTED",
    "ORANGE",
    "OUTCOME_STYLES",
    "PURPLE",
    "SLOT_STYLES",
    "THEMES",
    "StatusStyle",
    "Theme",
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
