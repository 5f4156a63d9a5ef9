"""Sanitising of untrusted text for figures."""

from functools import cache

from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font

__all__ = ["legend_label", "sanitise_text"]


@cache
def _figure_font() -> FT2Font:
    return FT2Font(findfont("DejaVu Sans"))


def sanitise_text(text: str, *, width: int) -> str:
    r"""Sanitise untrusted text for a figure: one line, limited length, characters of the font.

    Parameters
    ----------
    text : str
        Any text.
    width : int
        Maximum number of characters.

    Returns
    -------
    str
        The text; a cut text ends with an ellipsis. U+FFFD replaces unknown characters.

    Examples
    --------
    >>> sanitise_text("no space\n  left on device", width=12)
    'no space le…'
    """
    line = " ".join(text[: 8 * width].split())
    short = line if len(line) <= width else line[: width - 1] + "…"
    return "".join(char if _figure_font().get_char_index(ord(char)) else "\ufffd" for char in short)


def legend_label(name: str, *, width: int = 40) -> str:
    """Sanitise an untrusted name for a legend, which ignores labels that begin with "_".

    Parameters
    ----------
    name : str
        Any text.
    width : int
        Maximum number of characters.

    Returns
    -------
    str
        The name without leading "_"; "?" if nothing is left.

    Examples
    --------
    >>> legend_label("_vc-1")
    'vc-1'
    """
    return sanitise_text(name, width=width).lstrip("_") or "?"
