"""Numbers, times and text in words."""

import pandas as pd
import pytest

from backupkit.display.format import Ratio, Size, format_duration, format_relative, sanitise


class TestRatio:
    """`Ratio`."""

    def test_rounds_down(self) -> None:
        """A ratio below 100 %, or below its target, is not rounded up to it."""
        assert str(Ratio(2, 3)) == "66.7 % (2 of 3)"
        assert str(Ratio(98_960, 100_000, target=0.99)) == "98.9 % (98,960 of 100,000)"
        assert str(Ratio(98_960, 100_000)) == "99.0 % (98,960 of 100,000)"
        assert str(Ratio(99_999, 100_000)) == "99.9 % (99,999 of 100,000)"
        assert str(Ratio(0, 3, "slots")) == "0.0 % (0 of 3 runs)"
        assert str(Ratio(29, 100)) == "29.0 % (29 of 100)"

    @pytest.mark.parametrize("fraction", [(0, 0), (pd.NA, 3), (3, pd.NA)])
    def test_no_data(self, fraction: tuple[int, int]) -> None:
        """Without a denominator there is no data, neither 0 nor 100 %."""
        assert str(Ratio(*fraction)) == "no data"


class TestSpan:
    """`format_duration`."""

    @pytest.mark.parametrize(
        ("duration", "words"),
        [
            ("0s", "0 s"),
            ("59s", "59 s"),
            ("60s", "1 min"),
            ("71h59min", "71 h 59 min"),
            ("72h", "3 d"),
            ("73h", "3 d 1 h"),
            ("72h5min", "3 d"),
            ("-90min", "-1 h 30 min"),
        ],
    )
    def test_two_units_at_most(self, duration: str, words: str) -> None:
        """Durations have two units at most, hours up to three days."""
        assert format_duration(pd.Timedelta(duration)) == words


class TestAgo:
    """`format_relative`."""

    def test_the_future(self) -> None:
        """A time in the future is shown as such."""
        now = pd.Timestamp("2026-11-09T00:00Z")
        assert format_relative(now + pd.Timedelta(hours=2), now) == "in 2 h"


class TestSize:
    """`Size`."""

    def test_units(self) -> None:
        """Bytes use the unit with the shortest number."""
        assert [str(Size(10**power)) for power in (2, 5, 8, 11, 14)] == [
            "100 B",
            "97.7 KiB",
            "95.4 MiB",
            "93.1 GiB",
            "90.9 TiB",
        ]


class TestSanitise:
    """`sanitise`."""

    def test_control_characters(self) -> None:
        """Characters that reorder or hide text are removed."""
        assert sanitise("a\u202eb\x00c") == "a b c"

    def test_a_long_text_is_cut_and_says_so(self) -> None:
        """A text of 1 MB is cut and says so."""
        assert sanitise("vc " * 100, limit=6) == "vc vc…"
        short = sanitise("x" * 1_000_000)
        assert len(short) < 2_100
        assert "1,000,000 characters" in short
