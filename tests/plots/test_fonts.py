"""Characters of names in pictures."""

from collections.abc import Iterator

import pandas as pd
import pytest
from matplotlib.font_manager import findfont, fontManager
from matplotlib.ft2font import FT2Font

from backupkit.plots import fonts, timeline
from backupkit.plots.fonts import sanitise_text
from backupkit.plots.picture import render_png
from backupkit.tables import JOBS

MISSING = "\U000f1234"
"""A character for private use, which no font has."""


@pytest.fixture
def only_latin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Draw as on a system that has no other font than matplotlib's own."""
    _forget()
    monkeypatch.setattr(fonts, "_FALLBACKS", ())
    yield
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    for function in (fonts.list_fonts, fonts._load_fonts, fonts._has_glyph):
        function.cache_clear()


class TestSanitiseText:
    """`sanitise_text`."""

    @pytest.mark.usefixtures("only_latin")
    def test_a_character_without_a_font_is_escaped(self) -> None:
        """A character that no font has is an escape, complete or cut as a whole."""
        assert sanitise_text("\u6771-1", width=20) == "\\u6771-1"
        assert sanitise_text(f"vc-{MISSING}", width=20) == "vc-\\U000f1234"
        assert sanitise_text("\u6771\u4eac", width=10) == "\\u6771\u2026"

    def test_an_installed_font_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A character of a fallback that is installed stays as it is."""
        _forget()
        monkeypatch.setattr(fonts, "_FALLBACKS", ("not installed", "STIXGeneral"))
        own, other = (FT2Font(findfont(name)) for name in (fonts.FONT, "STIXGeneral"))
        only = next(code for code in other.get_charmap() if code not in own.get_charmap())
        assert sanitise_text(chr(only), width=9) == chr(only)
        assert fonts.list_fonts() == (fonts.FONT, "STIXGeneral")
        monkeypatch.undo()
        _forget()

    def test_direction_and_users(self) -> None:
        """A change of direction is a blank, and a user in a URI is masked, as in tables."""
        assert sanitise_text("vc-\u202egnp.exe", width=20) == "vc- gnp.exe"
        assert sanitise_text("ftp://joe:secret@nas/vc", width=40) == "ftp://***@nas/vc"

    def test_fonts_are_installed(self) -> None:
        """Only installed fonts are named, so that matplotlib warns of none."""
        assert set(fonts.list_fonts()) <= set(fontManager.get_font_names())


def test_a_picture_without_a_warning() -> None:
    """Names of any script are drawn without a warning about glyphs."""
    names = ["\u6771\u4eac-01", "vc-\U0001f600", MISSING, "\u0627\u0644", "\uc11c\uc6b8"]
    starts = [pd.Timestamp("2026-11-08T01:00Z")] * 5
    frame = JOBS.frame({"appliance": names, "outcome": ["success"] * 5, "start_time": starts})
    assert render_png(timeline(frame)).startswith(b"\x89PNG")
