"""The benchmark in the page runs, with very small numbers."""

from pathlib import Path

from tests.benchmarks.page import TABS, measure_clicks
from tests.benchmarks.scale import TINY
from tests.chromium import MARKS
from tests.jupyter.lab import Lab

pytestmark = MARKS


def test_each_tab_shows_another_picture(lab: Lab, notebooks: Path) -> None:
    """The time from a click to the picture is positive in each tab."""
    figures = [figure for one in measure_clicks(lab, notebooks, TINY) for figure in one.figures]
    assert len(figures) == len(TABS) * len(TINY.explored)
    assert all(figure.value > 0 for figure in figures)
