"""Figures beside pyplot: shown once, current for pyplot if the user has imported it."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import cast

import matplotlib as mpl
import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from backupkit import plots
from backupkit.plots.picture import ChartAxes, render_png
from backupkit.policy import Policy
from backupkit.reports.page import render_fragment
from backupkit.tables import JOBS
from backupkit.widgets import explore
from tests import builders

NIGHT = pd.Timestamp("2026-11-08T01:00Z")
JOB = JOBS.frame(
    {
        "appliance": ["vc-1"],
        "outcome": ["success"],
        "start_time": [NIGHT],
        "end_time": [NIGHT + pd.Timedelta(hours=1)],
    }
)


@pytest.fixture
def pyplot(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return pyplot as a user imports it, without a display, and forget it afterwards."""
    mpl.use("agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415 # its import is what is tested

    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", plt)
    yield plt
    plt.close("all")
    monkeypatch.undo()
    sys.modules.pop("matplotlib.pyplot", None)


def draw() -> ChartAxes:
    """Draw one job."""
    return cast("ChartAxes", plots.timeline(JOB))


class TestPyplot:
    """Plots after `import matplotlib.pyplot`."""

    def test_the_figure_is_current(self, pyplot: ModuleType) -> None:
        """`gcf`, `gca` and `savefig` act on the figure of the plot."""
        ax = draw()
        assert pyplot.gcf() is ax.figure
        assert pyplot.gca() is ax
        picture = io.BytesIO()
        pyplot.savefig(picture)
        assert len(picture.getvalue()) > 5_000  # an empty figure has less

    def test_a_shown_figure_is_closed(self, pyplot: ModuleType) -> None:
        """A figure that a cell has shown is not shown a second time at the cell's end."""
        ax = draw()
        picture = ax._repr_png_()
        assert picture is not None
        assert picture.startswith(b"\x89PNG")
        assert pyplot.get_fignums() == []
        assert ax._repr_png_() == picture

    def test_a_window_is_no_picture(
        self, pyplot: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If pyplot shows windows, the result of a cell is no second picture."""
        ax = draw()
        monkeypatch.setattr(mpl, "get_backend", lambda: "qtagg")
        assert ax._repr_png_() is None
        assert pyplot.get_fignums() == [1]

    def test_rendering_keeps_its_canvas(self, pyplot: ModuleType) -> None:
        """A picture of a figure that pyplot manages leaves it the canvas of its window."""
        ax = draw()
        canvas = pyplot.gcf().canvas
        render_png(ax)
        assert pyplot.gcf().canvas is canvas

    def test_a_report_leaves_no_figure(self, pyplot: ModuleType) -> None:
        """The figures of a report are not pyplot's."""
        assert "<img" in render_fragment(builders.assess_week())
        assert pyplot.get_fignums() == []

    def test_an_explorer_leaves_no_figure(self, pyplot: ModuleType) -> None:
        """The figures of an explorer's tabs, and of its still picture, are not pyplot's."""
        seen = builders.snapshot(1, builders.observation("vc-1"))
        seen.jobs = JOB
        explorer = explore(seen, Policy(), now=NIGHT + pd.Timedelta(days=1))
        explorer.tab = "Failures"
        assert "text/html" in explorer._repr_mimebundle_()
        assert pyplot.get_fignums() == []

    def test_given_axes_stay_the_only_figure(self, pyplot: ModuleType) -> None:
        """On axes of pyplot, no second figure is made."""
        _, ax = pyplot.subplots()
        assert plots.timeline(JOB, ax=ax) is ax
        assert pyplot.get_fignums() == [1]


CELLS = {
    "jobs": """
import pandas as pd
from backupkit import plots
from backupkit.policy import Policy
from backupkit.tables import JOBS
from backupkit.widgets import explore
nights = pd.Timestamp("2026-11-08T01:00Z") + pd.to_timedelta([0, 1], unit="D")
jobs = JOBS.frame(
    {"appliance": ["a", "b"], "outcome": ["success"] * 2, "start_time": list(nights)}
)
plots.timeline(jobs)
""",
    "pyplot": "import matplotlib.pyplot as plt\nplots.timeline(jobs)",
    "save": "plots.timeline(jobs)\nplt.savefig('saved.png')",
    "show": "plots.timeline(jobs)\nplt.show()",
    "own axes": "_, ax = plt.subplots(figsize=(6, 4))\nplots.timeline(jobs, ax=ax);",
    "none left": "print(plt.get_fignums())",
}
"""Cells of a notebook; each but the last shows one picture."""


def test_in_a_notebook(tmp_path: Path) -> None:
    """Each cell of a notebook shows its picture once, without a warning."""
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, resources=resources).execute()
    shown = {
        name: [list(output.get("data", {"text": ""})) for output in cell.outputs]
        for name, cell in zip(CELLS, cells, strict=True)
    }
    last = shown.pop("none left")
    assert shown == {name: [["text/plain", "image/png"]] for name in shown}
    assert last == [["text"]]
    assert cells[-1].outputs[0]["text"] == "[]\n"
    assert (tmp_path / "saved.png").stat().st_size > 5_000


class TestStyles:
    """Style sheets and settings of the user."""

    def test_our_themes_ignore_them(self) -> None:
        """With our themes a picture is the same under any settings."""
        plain = render_png(plots.timeline(JOB))
        with mpl.rc_context({"font.size": 20, "axes.grid": True, "lines.linewidth": 5}):
            assert render_png(plots.timeline(JOB)) == plain

    def test_the_theme_rc_follows_them(self) -> None:
        """With the theme "rc", settings hold: colours, sizes and spines."""
        settings = {
            "axes.facecolor": "#000000",
            "axes.labelcolor": "#00ff00",
            "axes.titlesize": 20,
            "axes.spines.right": True,
        }
        with mpl.rc_context(settings):
            ax = plots.timeline(JOB, theme="rc")
        assert ax.get_facecolor() == (0, 0, 0, 1)
        assert ax.xaxis.label.get_color() == "#00ff00"
        assert ax.spines["right"].get_visible()
        assert next(t for t in ax.get_children() if t is ax._left_title).get_fontsize() == 20  # type: ignore[attr-defined]
