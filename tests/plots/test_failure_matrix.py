"""Matrix of failure signatures by another property."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from backupkit.plots import failure_matrix
from backupkit.plots.style import THEMES
from backupkit.tables import FAILURE_PARTS


def parts(*rows: tuple[str | None, str | None, int]) -> pd.DataFrame:
    """Build rows of signature, part and number of jobs."""
    signatures, names, jobs = zip(*rows, strict=True)
    return FAILURE_PARTS.frame({"signature": signatures, "part": names, "jobs": jobs})


def cells(ax: Axes) -> dict[tuple[int, int], str]:
    """Return the text of each cell by row and column."""
    texts = [text for text in ax.texts if text.get_position() != (0, 0)]
    texts = [*ax.texts]
    return {
        (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text()
        for text in texts
    }


def test_cells() -> None:
    """The most frequent signature is on top, the most affected part at the left, as numbers."""
    ax = failure_matrix(
        parts(("full", "vc-1", 1), ("full", "vc-2", 1_200), ("lost", "vc-1", 3), (None, None, 2))
    )
    assert [label.get_text() for label in ax.get_yticklabels()] == ["full", "lost", "(no message)"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["vc-2", "vc-1", "(not known)"]
    assert cells(ax) == {(0, 0): "1,200", (0, 1): "1", (1, 1): "3", (2, 2): "2"}


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
    assert ax.get_yticklabels()[-1].get_text() == "2 other signatures"
    assert ax.get_xticklabels()[-1].get_text() == "1 other"
    # rows 2 and 3, columns 0 and 3
    assert (cells(ax)[2, 0], cells(ax)[2, 3]) == ("15", "9")


def test_labels_are_complete() -> None:
    """The slanted names below the matrix lie inside the figure, however long they are."""
    for name in ("vc-1", "vc-with-a-long-name-01"):
        ax = failure_matrix(parts(("full", name, 1), ("lost", name, 1)))
        figure = ax.get_figure(root=True)
        assert figure is not None
        figure.draw_without_rendering()
        (label,) = ax.get_xticklabels()
        assert label.get_window_extent().y0 >= 0
