"""The page of the figures is right: each of its examples runs."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "notebooks" / "metrics.md"


def test_examples_run() -> None:
    """Every number on the page is what backupkit says."""
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted > 25
    assert result.failed == 0


def test_all_are_there() -> None:
    """Each of the 23 figures is named."""
    text = PAGE.read_text(encoding="utf-8")
    told = {int(number) for number in re.findall(r"(?<!\d)\*\*(\d+)[ ,]", text)}
    assert told == set(range(1, 24))
