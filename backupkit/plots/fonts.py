"""Fonts of the figures: DejaVu Sans, then installed fonts for scripts that it does not have."""

from functools import cache
from typing import Final

from matplotlib.font_manager import findfont, fontManager
from matplotlib.ft2font import FT2Font

from backupkit.texts import clean_text, mask_user

__all__ = ["FONT", "list_fonts", "sanitise_legend_label", "sanitise_text"]

FONT: Final = "DejaVu Sans"
"""The first font; matplotlib has it on every system."""

_FALLBACKS: Final = (
    *("Noto Sans CJK JP", "Noto Sans JP", "Source Han Sans", "Source Han Sans JP", "IPAexGothic"),
    *("IPAGothic", "Yu Gothic", "Meiryo", "MS Gothic", "Hiragino Sans", "Hiragino Maru Gothic Pro"),
    *("Noto Sans CJK SC", "Noto Sans SC", "Microsoft YaHei", "PingFang SC", "SimHei"),
    *("WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "Arial Unicode MS"),
    *("Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic", "AppleGothic", "NanumGothic"),
    *("Noto Sans Thai", "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil"),
    *("Leelawadee UI", "Nirmala UI", "Unifont", "Noto Sans Symbols", "Noto Sans Symbols 2"),
    *("Noto Emoji", "Symbola", "Segoe UI Symbol"),
)
"""Fonts with outlines that systems or packages install; fonts of coloured bitmaps do not work."""

_FIRST_ESCAPED: Final = 0x10000
"""First code point that needs eight digits in an escape."""


@cache
def list_fonts() -> tuple[str, ...]:
    """Return the families to draw texts with: the first, then the fallbacks that are installed."""
    installed = set(fontManager.get_font_names())
    return (FONT, *(name for name in _FALLBACKS if name in installed))


@cache
def _has_glyph(char: str) -> bool:
    return any(font.get_char_index(ord(char)) for font in _load_fonts())


@cache
def _load_fonts() -> tuple[FT2Font, ...]:
    return tuple(FT2Font(findfont(name)) for name in list_fonts())


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code < _FIRST_ESCAPED else f"\\U{code:08x}"


def sanitise_text(text: str, *, width: int) -> str:
    r"""Sanitise untrusted text for a figure: one line, limited length, characters of the fonts.

    Control characters, and those that change the direction of the text, become blanks, as in
    tables. A cut text ends with an ellipsis. A character that no installed font has is escaped.

    Examples
    --------
    >>> sanitise_text("no space\n  left on device", width=12)
    'no space le…'
    >>> sanitise_text("vc-\u202e10", width=12)
    'vc- 10'
    >>> print(sanitise_text("vc-\U000f0000", width=40))
    vc-\U000f0000
    """
    line = " ".join(mask_user(clean_text(text[: 8 * width])).split())
    if all(map(_has_glyph, line)):
        return line if len(line) <= width else line[: width - 1] + "…"
    shown: list[str] = []
    room = width
    for char in line:
        part = char if _has_glyph(char) else _escape(char)
        room -= len(part)
        if room < 1:  # an escape is shown complete, or not at all
            return "".join(shown) + "…"
        shown.append(part)
    return "".join(shown)


def sanitise_legend_label(name: str, *, width: int = 40) -> str:
    """Sanitise an untrusted name for a legend, which ignores labels that begin with "_".

    Examples
    --------
    >>> sanitise_legend_label("_vc-1")
    'vc-1'
    """
    return sanitise_text(name, width=width).lstrip("_") or "?"
