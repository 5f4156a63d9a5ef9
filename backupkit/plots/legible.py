"""Sanitising of untrusted text for figures."""

from functools import cache

from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font

__all__ = ["legible", "series"]


@cache
def _font() -> FT2Font:
    return FT2Font(findfont("DejaVu Sans"))


def legible(text: str, *, width: int) -> str:
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
    >>> legible("no space\n  left on device", width=12)
    'no space le…'
    """
    line = " ".join(text[: 8 * width].split())
    cut = line if len(line) <= width else line[: width - 1] + "…"
    return "".join(c if _font().get_char_index(ord(c)) else "\ufffd" for c in cut)


def series(name: str, *, width: int = 40) -> str:
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
    >>> series("_vc-1")
    'vc-1'
    """
    return legible(name, width=width).lstrip("_") or "?"
