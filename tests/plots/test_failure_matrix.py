"""Matrix of failure signatures by another property."""

from typing import Any, cast

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from backupkit.errors import SettingsError
from backupkit.plots import failure_matrix
from backupkit.plots.themes import THEMES
from backupkit.tables import FAILURE_PARTS, FAILURES
from tests.builders import assess_week


def parts(*rows: tuple[str | None, str | None, int]) -> pd.DataFrame:
    """Build rows of signature, part and number of jobs."""
    signatures, names, jobs = zip(*rows, strict=True)
    return FAILURE_PARTS.frame({"signature": signatures, "part": names, "jobs": jobs})


def cells(ax: Axes) -> dict[tuple[int, int], str]:
    """Return the text of each cell by row and column."""
    return {
        (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text()
        for text in ax.texts
    }


def test_cells() -> None:
    """The most frequent signature is on top, the most affected part at the left, as numbers."""
    ax = failure_matrix(
        parts(("full", "vc-1", 1), ("full", "vc-2", 1_200), ("lost", "vc-1", 3), (None, None, 2))
    )
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        *("full", "lost", "(no message)", "all"),
    ]
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        *("vc-2", "vc-1", "(not known)", "all"),
    ]
    drawn = cells(ax)
    by_row = {(row, 3): drawn.pop((row, 3)) for row in range(4)}
    by_column = {(3, column): drawn.pop((3, column)) for column in range(3)}
    assert drawn == {(0, 0): "1,200", (0, 1): "1", (1, 1): "3", (2, 2): "2"}
    assert by_row == {(0, 3): "1,201", (1, 3): "3", (2, 3): "2", (3, 3): "1,206"}
    assert by_column == {(3, 0): "1,200", (3, 1): "4", (3, 2): "2"}


def test_shades() -> None:
    """A cell without failures has the colour of the paper; more failures are a stronger colour."""
    for name, theme in THEMES.items():
        ax = failure_matrix(
            parts(("full", "vc-1", 100), ("full", "vc-2", 1), ("lost", "vc-2", 1)), theme=name
        )
        (image,) = ax.images
        shades = image.get_array()
        assert shades is not None
        paper = sum(to_rgb(theme.paper))
        distance = [[abs(sum(shade) - paper) for shade in row] for row in shades.tolist()]
        assert distance[1][0] == 0
        assert 0 < distance[0][1] < distance[0][0]
        assert distance[0][1] == distance[1][1]


def test_others() -> None:
    """Signatures and parts beyond the limits share a row and a column, which say how many."""
    places = [(row, column) for row in range(4) for column in range(4)]
    rows = ((f"s{row}", f"vc-{column}", 10 - row - column) for row, column in places)
    ax = failure_matrix(parts(*rows), limit=2, columns=3)
    assert ax.get_yticklabels()[-2].get_text() == "2 other patterns"
    assert ax.get_xticklabels()[-2].get_text() == "1 other"
    # rows 2 and 3, columns 0 and 3
    assert (cells(ax)[2, 0], cells(ax)[2, 3]) == ("15", "9")


def test_labels_are_complete() -> None:
    """The slanted names below the matrix lie inside the figure, however long they are."""
    for name in ("vc-1", "vc-with-a-long-name-01"):
        ax = failure_matrix(parts(("full", name, 1), ("lost", name, 1)))
        figure = ax.get_figure(root=True)
        assert figure is not None
        figure.draw_without_rendering()
        label, _ = ax.get_xticklabels()
        assert label.get_window_extent().y0 >= 0


def test_causes_of_an_assessment() -> None:
    """Rows of an assessment are causes with their most frequent pattern; columns any property."""
    a = assess_week()
    ax = failure_matrix(a, by="site")
    assert ax.get_title("left") == "Failed jobs by cause and site"
    failed = int(a.failures["jobs"].sum())
    assert cells(ax)[len(ax.get_yticklabels()) - 1, len(ax.get_xticklabels()) - 1] == f"{failed:,}"
    with pytest.raises(SettingsError, match='by: "nonsense" must be one of appliance, site'):
        failure_matrix(a, by="nonsense")


def test_signatures_of_one_cause_share_a_row() -> None:
    """Two patterns with the same cause are one row; one without a cause is its own."""
    failures = FAILURES.frame(
        {
            "signature": ["full", "quota", "odd"],
            "jobs": [2, 3, 1],
            "cause_name": ["no-space", "no-space", None],
        }
    )
    given = parts(("full", "vc-1", 2), ("quota", "vc-1", 3), ("odd", "vc-1", 1))

    class Given:
        """An assessment with these failures alone."""

        def __init__(self) -> None:
            self.failures = failures

        intervals = None

        def failures_by(self, by: str) -> pd.DataFrame:
            """Return the parts."""
            assert by == "appliance"
            return given

    ax = failure_matrix(cast("Any", Given()))
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        *("no-space: quota", "odd", "all"),
    ]
    assert cells(ax)[0, 0] == "5"
