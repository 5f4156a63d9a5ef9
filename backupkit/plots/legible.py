"""Untrusted text made fit for a figure."""

from functools import cache

from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font

__all__ = ["legible", "series"]


@cache
def _font() -> FT2Font:
    return FT2Font(findfont("DejaVu Sans"))


def legible(text: str, *, width: int) -> str:
    r"""Make untrusted text fit for a figure: one line, cut, only characters the font has.

    Parameters
    ----------
    text : str
        Any text.
    width : int
        The most characters to keep.

    Returns
    -------
    str
        The text, with an ellipsis where it was cut.

    Examples
    --------
    >>> legible("no space\n  left on device", width=12)
    'no space le…'
    """
    line = " ".join(text[: 8 * width].split())
    cut = line if len(line) <= width else line[: width - 1] + "…"
    return "".join(c if _font().get_char_index(ord(c)) else "\ufffd" for c in cut)


def series(name: str, *, width: int = 40) -> str:
    """Make an untrusted name fit for a legend, which passes over those that begin with "_".

    Parameters
    ----------
    name : str
        Any text.
    width : int
        The most characters to keep.

    Returns
    -------
    str
        The name.

    Examples
    --------
    >>> series("_vc-1")
    'vc-1'
    """
    return legible(name, width=width).lstrip("_") or "?"
