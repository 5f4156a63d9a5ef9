"""Data coordinates of a place in a picture."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from PIL import Image

from backupkit.plots import text_images, timeline
from backupkit.plots.picture import render_png, render_svg, to_data_coords, to_timestamp
from backupkit.tables import JOBS

NIGHT = pd.Timestamp("2026-11-08T00:00Z")
HOUR = pd.Timedelta(hours=1)


def drawn() -> Axes:
    """Draw two rows and eight hours on the middle half of a picture, beginning at a quarter."""
    jobs = JOBS.frame(
        {
            "appliance": ["vc-1", "vc-2"],
            "outcome": ["failure", "success"],
            "start_time": [NIGHT, NIGHT + HOUR],
            "end_time": [NIGHT + HOUR, NIGHT + 2 * HOUR],
        }
    )
    own = Figure().add_axes((0.25, 0.25, 0.5, 0.5))
    return timeline(jobs, ax=own, start=NIGHT, end=NIGHT + 8 * HOUR)


class TestPlaceOf:
    """`to_data_coords`."""

    def test_the_first_row_is_above(self) -> None:
        """Rows run from 0.6 above the first to 0.6 below the last: 2.2 rows on half a picture.

        The middle of row 0 is 0.6 / 2.2 of the axes' height below their top.
        """
        ax = drawn()
        render_png(ax)
        place = to_data_coords(ax, 0.5, 0.25 + 0.5 * 0.6 / 2.2)
        assert place is not None
        assert place[1] == pytest.approx(0)

    @pytest.mark.parametrize("render", [render_png, render_svg])
    def test_each_row_is_found(self, render: Callable[[Axes], bytes]) -> None:
        """After any rendering the coordinates of each row lead to it, in any layout."""
        jobs = JOBS.frame(
            {
                "appliance": [f"vc-{place}" for place in range(5)],
                "outcome": ["success"] * 5,
                "start_time": [NIGHT] * 5,
                "end_time": [NIGHT + HOUR] * 5,
            }
        )
        ax = timeline(jobs)
        render(ax)
        box = ax.get_position()
        for row in range(5):
            y = 1 - box.y1 + box.height * (row + 0.6) / 5.2
            place = to_data_coords(ax, (box.x0 + box.x1) / 2, y)
            assert place is not None
            assert place[1] == pytest.approx(row)

    def test_beside_the_axes(self) -> None:
        """A place outside of the axes has no coordinates."""
        ax = drawn()
        render_png(ax)
        assert to_data_coords(ax, 0.1, 0.5) is None
        assert to_data_coords(ax, 0.5, 0.9) is None


def test_rendering_again() -> None:
    """A picture is the same whether or not the figure was rendered before in another format."""
    jobs = JOBS.frame(
        {
            "appliance": ["vc-of-a-long-name-01"],
            "outcome": ["success"],
            "start_time": [NIGHT],
            "end_time": [NIGHT + HOUR],
        }
    )
    once, twice = timeline(jobs), timeline(jobs)
    render_svg(twice)
    assert render_png(once) == render_png(twice)


@pytest.mark.parametrize("dpi", [50, 110, 200])
@pytest.mark.parametrize("before", [render_svg, render_png, None])
def test_names_are_complete(before: Callable[[Axes], bytes] | None, dpi: int) -> None:
    """Names of rows lie inside the picture at any resolution, whatever was rendered before."""
    names = ["vc-" + "WIDE-" * 5, "vc-iiiiiiii", "vc-\u6771\u4eac"]
    jobs = JOBS.frame(
        {
            "appliance": names,
            "outcome": ["success"] * 3,
            "start_time": [NIGHT] * 3,
            "end_time": [NIGHT + HOUR] * 3,
        }
    )
    ax = timeline(jobs)
    if before is not None:
        before(ax)
    render_png(ax, dpi=dpi)
    assert all(label.get_window_extent().x0 >= 0 for label in ax.get_yticklabels())
    assert ax.figure.bbox.x1 - ax.bbox.x1 > 0


class TestMomentOf:
    """`to_timestamp`."""

    def test_the_hour_of_a_place(self) -> None:
        """A quarter of the way along an axis of eight hours is two hours after its start."""
        ax = drawn()
        render_png(ax, dpi=72)
        place = to_data_coords(ax, 0.25 + 0.5 / 4, 0.5)
        assert place is not None
        assert to_timestamp(place[0]).tz_convert("UTC").round("s") == NIGHT + 2 * HOUR

    def test_beside_the_axes(self) -> None:
        """A place outside of the axes has no time."""
        ax = drawn()
        render_png(ax)
        assert to_data_coords(ax, 0.9, 0.5) is None


class TestKeptTexts:
    """Images of texts that are kept from one picture to the next."""

    def test_no_pixel_differs(self) -> None:
        """A picture is the one of matplotlib alone, also when all texts are known."""
        plain = io.BytesIO()
        write_texts().savefig(plain, dpi=110)
        with Image.open(plain) as expected:
            for _ in range(2):
                with Image.open(io.BytesIO(render_png(write_texts().axes[0]))) as picture:
                    assert np.array_equal(np.asarray(picture), np.asarray(expected))
                    assert picture.info["dpi"] == pytest.approx((110, 110), abs=0.01)

    def test_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """If there are more texts than can be kept, the picture is the same."""
        monkeypatch.setattr(text_images, "_MAX_TEXTS", 2)
        first, second = (write_texts() for _ in range(2))
        for figure in (first, second):
            figure.axes[0].text(0.6, 0.8, "only here")
        assert render_png(first.axes[0]) == render_png(second.axes[0])

    def test_a_font_without_line_heights(self, tmp_path: Path) -> None:
        """Text of a font without a table of line heights is drawn, too."""
        font = pytest.importorskip("fontTools.ttLib").TTFont(findfont("DejaVu Sans"))
        del font["OS/2"]
        font.save(tmp_path / "own.ttf")
        first, second = write_texts(), write_texts()
        second.axes[0].text(0.1, 0.8, "own", font=tmp_path / "own.ttf")
        assert render_png(first.axes[0]) != render_png(second.axes[0])


def write_texts() -> Figure:
    """Write texts of several fonts, sizes, colours, angles and places."""
    figure = Figure(figsize=(4, 3.13))
    ax = figure.add_axes((0.2, 0.2, 0.7, 0.6))
    ax.set_title("Bold Ä\nof two lines", fontweight="bold")
    ax.set_xticks([0, 0.301, 0.7, 1], ["vc-1", "vc-1", "vc-1", "vc-2"], rotation=40)
    ax.set_ylabel("turned", color="#1d2125", alpha=0.5)
    ax.text(0.4, 0.5, "$x^2$")
    ax.text(0.1, 0.3, "rough", antialiased=False)
    return figure


def test_another_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A renderer without the part that is replaced is used as it is."""
    other = object()
    monkeypatch.setattr(FigureCanvasAgg, "get_renderer", lambda _: other)
    assert text_images.TextImageCanvas(Figure()).get_renderer() is other
