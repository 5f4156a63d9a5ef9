"""Examples on the page about metrics."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "notebooks" / "metrics.md"


def test_examples_run() -> None:
    """Every example has the shown result."""
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted > 25
    assert result.failed == 0


def test_complete() -> None:
    """Each of the first 23 figures is named."""
    text = PAGE.read_text(encoding="utf-8")
    numbers = {int(number) for number in re.findall(r"(?<!\d)\*\*(\d+)[ ,]", text)}
    assert numbers >= set(range(1, 24))
