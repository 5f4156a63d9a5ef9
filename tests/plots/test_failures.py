"""The Pareto chart of error patterns."""

from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from backupkit.errors import TableError
from backupkit.plots import failures
from backupkit.plots.picture import ChartAxes, NotebookFigure, render_png, render_svg
from backupkit.tables import FAILURES


def chart(jobs: list[int], limit: int = 10, texts: list[str] | None = None) -> Axes:
    """Draw signatures with these numbers of jobs."""
    names = texts or [f"fault {place}" for place in range(len(jobs))]
    frame = FAILURES.frame({"signature": names, "jobs": jobs, "appliances": [1] * len(jobs)})
    return failures(frame, limit=limit)


class TestFailures:
    """`failures`."""

    def test_bars_are_ranked(self) -> None:
        """The most frequent signature is on top, and each bar is as long as its number of jobs."""
        ax = chart([2, 6])
        assert [bar.get_width() for bar in ax.patches] == [6, 2]  # type: ignore[attr-defined] # bars are rectangles
        assert [text.get_text() for text in ax.get_yticklabels()] == ["fault 1", "fault 0"]

    def test_the_line_is_the_cumulative_share(self) -> None:
        """The line has the cumulative share in percent, 100 at the end."""
        ax = chart([6, 3, 1])
        twin = next(other for other in ax.figure.axes if other is not ax)
        assert np.ravel(twin.lines[0].get_xdata()).tolist() == pytest.approx([60, 90, 100])

    def test_the_others_share_a_bar(self) -> None:
        """Signatures beyond the limit are summed in the last bar."""
        ax = chart([9, 4, 2, 1], limit=2)
        assert [bar.get_width() for bar in ax.patches] == [9, 4, 3]  # type: ignore[attr-defined] # bars are rectangles
        assert ax.get_yticklabels()[-1].get_text() == "2 other signatures"
        assert chart([9, 4], limit=1).get_yticklabels()[-1].get_text() == "1 other signature"

    def test_bars_have_their_numbers(self) -> None:
        """Each bar has its number of jobs and of appliances beside it."""
        frame = FAILURES.frame({"signature": ["a", "b"], "jobs": [3, 1], "appliances": [2, 1]})
        remarks = [text.get_text() for text in failures(frame).texts]
        assert remarks == ["3 (2 appliances)", "1 (1 appliance)"]

    def test_the_number_is_beside_the_longest_bar(self) -> None:
        """The number of the longest bar lies at the right of it, and inside the figure."""
        frame = FAILURES.frame({"signature": ["x" * 70], "jobs": [75], "appliances": [58]})
        ax = failures(frame)
        render_png(ax)
        (remark,), (bar,) = ax.texts, ax.patches
        box = remark.get_window_extent()
        assert remark.get_text() == "75 (58 appliances)"
        assert box.x0 >= bar.get_window_extent().x1
        assert box.x1 <= ax.figure.bbox.x1

    def test_untrusted_text_cannot_break_the_picture(self) -> None:
        """Formulas, markup and foreign characters are drawn as text."""
        ax = chart([3, 2, 1], texts=[r"$\frac{$ costs $5", "<script>\x00", "磁盘已满"])
        document = render_svg(ax)
        assert b"<script>" not in document
        assert render_png(ax).startswith(b"\x89PNG")


class TestParts:
    """`failures` with divided bars."""

    def test_parts_add_up(self) -> None:
        """Each bar is the sum of its parts; the largest five are named, the others counted."""
        frame = FAILURES.frame({"signature": ["a", "b"], "jobs": [10, 3], "appliances": [7, 1]})
        by = pd.DataFrame(
            {
                "signature": ["a"] * 7 + ["b"],
                "part": [f"vc-{n}" for n in range(7)] + ["vc-0"],
                "jobs": [4, 1, 1, 1, 1, 1, 1, 3],
            }
        )
        ax = failures(frame, by=by)
        bars = [bar for bar in ax.patches if isinstance(bar, Rectangle)]
        ends = [
            max(bar.get_x() + bar.get_width() for bar in bars if round(bar.get_y() + 0.31) == row)
            for row in (0, 1)
        ]
        assert ends == [10, 3]
        (legend,) = ax.figure.legends
        words = [text.get_text() for text in legend.get_texts()]
        assert words[0] == "vc-0"
        assert words[-1] == "2 others"
        assert len(words) == 6

    def test_long_names_fit_below(self) -> None:
        """The legend of the parts is not wider than the figure, however long the names are."""
        frame = FAILURES.frame({"signature": ["a"], "jobs": [7], "appliances": [7]})
        by = pd.DataFrame(
            {"signature": "a", "part": [f"vcenter-{n}" + 99 * "-site" for n in range(7)], "jobs": 1}
        )
        figure = cast("Figure", failures(frame, by=by).figure)
        figure.draw_without_rendering()
        (legend,) = figure.legends
        assert legend.get_window_extent().width <= figure.bbox.width

    def test_others_share_the_last_bar(self) -> None:
        """Parts of signatures beyond the limit are in the last bar."""
        frame = FAILURES.frame(
            {"signature": ["a", "b", "c"], "jobs": [5, 2, 1], "appliances": [1, 1, 1]}
        )
        by = pd.DataFrame({"signature": ["a", "b", "c"], "part": ["x"] * 3, "jobs": [5, 2, 1]})
        ax = failures(frame, by=by, limit=1)
        assert [bar.get_width() for bar in ax.patches] == [5, 3]  # type: ignore[attr-defined] # bars are rectangles


class TestSvg:
    """`render_svg`."""

    def test_the_same_axes_give_the_same_bytes(self) -> None:
        """Two renderings of the same frame have the same bytes."""
        assert render_svg(chart([3, 1])) == render_svg(chart([3, 1]))


class TestNotebookFigure:
    """The figure in a notebook."""

    def test_a_new_figure_shows_itself(self) -> None:
        """A new figure is a picture in a notebook's cell."""
        ax = chart([1])
        figure = ax.figure
        assert isinstance(figure, NotebookFigure)
        assert isinstance(ax, ChartAxes)
        assert figure._repr_png_().startswith(b"\x89PNG")
        assert ax._repr_png_() == figure._repr_png_()

    @pytest.mark.parametrize("by", ["site", pd.DataFrame({"signature": ["a"], "jobs": [1]})])
    def test_no_parts(self, by: Any) -> None:  # noqa: ANN401 # a wrong argument
        """Another argument is an error that says how to get the parts."""
        with pytest.raises(TableError, match=r"by=bk\.failures_by\(a, by=.site.\)"):
            failures(FAILURES.frame({"signature": ["a"], "jobs": [1]}), by=by)
