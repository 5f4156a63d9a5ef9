"""Durations of jobs."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh

from backupkit.plots import durations, themes
from backupkit.tables import ANOMALIES, JOBS
from tests.builders import frame

NIGHT = pd.Timestamp("2026-11-08T01:00Z")
DAY = pd.Timedelta(days=1)
MINUTE = pd.Timedelta(minutes=1)


def jobs(*rows: tuple[str, str, float]) -> pd.DataFrame:
    """Build jobs of successive nights from (appliance, outcome, minutes)."""
    columns = ("appliance", "outcome", "duration", "start_time")
    values = [
        (name, outcome, minutes * MINUTE, NIGHT + night * DAY)
        for night, (name, outcome, minutes) in enumerate(rows)
    ]
    return frame(JOBS, [dict(zip(columns, row, strict=True)) for row in values])


def series(ax: Axes) -> dict[str, list[float]]:
    """Return the heights of each series by its label."""
    return {str(line.get_label()): np.ravel(line.get_ydata()).tolist() for line in ax.lines}


class TestFew:
    """Up to six appliances."""

    def test_minutes_against_the_start(self) -> None:
        """Each appliance has its points; failures are distinguished, open jobs are not drawn."""
        ax = durations(
            jobs(("a", "success", 20), ("b", "success", 30), ("a", "failure", 5), ("a", "open", 9))
        )
        assert series(ax) == {"a": [20], "a (failed)": [5], "b": [30]}
        assert ax.get_title("left") == "Durations of 3 jobs of 2 appliances"

    def test_the_band(self) -> None:
        """One appliance with ten successes has a band of 3.5 robust spreads about the median.

        Median 20, steps of 1 / 1.414 and a floor of 0.05 x 20 = 1: 3.5 x 1 / 0.6745 = 5.189 minutes
        either way.
        """
        minutes = [19, 20, 19, 20, 21, 20, 21, 20, 21, 20]
        ax = durations(jobs(*(("a", "success", m) for m in minutes)))
        (band,) = ax.patches
        assert band.get_y() == pytest.approx(20 - 5.189, abs=1e-3)  # type: ignore[attr-defined] # a rectangle
        assert band.get_label() == "usual of the first 10"
        assert series(ax)["median of 10"] == [20]
        assert ax.texts[0].get_text() == (
            "usual: 20 min in the first 10 successes, until 2026-11-17"
        )
        assert not durations(jobs(*(("a", "success", m) for m in minutes[:9]))).patches

    def test_growth_leaves_the_band(self) -> None:
        """Runs that grow from 90 to 215 min in a month leave the band of the first ten.

        The first ten take 90 to 126 min, median 108. Steps of 4 min are less than the floor of
        0.05 x 108 = 5.4: up to 108 + 3.5 x 5.4 / 0.6745 = 136.0.
        The newest ten take 174 to 210 min, median 192: 1.8 times as long.
        """
        grown = [90 + 4 * night for night in range(31)]
        ax = durations(jobs(*(("a", "success", minutes) for minutes in grown)))
        (band,) = ax.patches
        assert band.get_y() + band.get_height() == pytest.approx(136.0, abs=0.1)  # type: ignore[attr-defined] # a rectangle
        medians = series(ax)["median of 10"]
        assert (medians[0], medians[-1]) == (108, 192)
        assert "; now 192 min, 1.8 times as long" in ax.texts[0].get_text()
        shrunk = durations(jobs(*(("a", "success", minutes) for minutes in grown[::-1])))
        assert "; now 108 min, shorter than usual" in shrunk.texts[0].get_text()

    def test_ticks_of_similar_durations(self) -> None:
        """An axis of multiples has at least three ticks, also if all are near to 1."""
        rows = [(f"vc-{n}", "success", 20 + night) for n in range(7) for night in range(3)]
        for given in (rows, [*rows, ("vc-0", "success", 200)]):
            ax = durations(jobs(*given))
            low, high = ax.get_xlim()
            assert sum(low <= tick <= high for tick in ax.get_xticks()) >= 3

    def test_failures_of_one_stand_out(self) -> None:
        """The failures of a single appliance have the colour of failures."""
        ax = durations(jobs(("a", "success", 20), ("a", "failure", 5)))
        good, bad = ax.lines
        assert good.get_color() == themes.BLUE
        assert bad.get_color() == themes.ORANGE

    def test_unusual_ones_are_ringed(self) -> None:
        """A job with an unusual duration has a ring."""
        listed = ANOMALIES.frame(
            {
                "appliance": ["a", "a"],
                "start_time": [NIGHT + DAY, NIGHT],
                "kind": ["duration", "size"],
            }
        )
        given = jobs(("a", "success", 20), ("a", "success", 90))
        assert series(durations(given, anomalies=listed))["unusual"] == [90]
        assert "unusual" not in series(durations(given, anomalies=ANOMALIES.empty()))

    def test_wide_spreads_are_logarithmic(self) -> None:
        """Minutes and days fit on one logarithmic axis."""
        assert durations(jobs(("a", "success", 1), ("a", "success", 900))).get_yscale() == "symlog"
        assert durations(jobs(("a", "success", 1), ("a", "success", 9))).get_yscale() == "linear"

    def test_very_many_are_counted_in_cells(self) -> None:
        """Above 10,000 jobs the cells of the picture show numbers of jobs."""
        count = 10_001
        given = JOBS.frame(
            {
                "appliance": ["a"] * count,
                "outcome": ["success"] * count,
                "start_time": [NIGHT + place * MINUTE for place in range(count)],
                "duration": [(20 + place % 9) * MINUTE for place in range(count)],
            }
        )
        ax = durations(given)
        (cells,) = (one for one in ax.collections if isinstance(one, QuadMesh))
        assert float(np.nansum(np.asarray(cells.get_array()))) == count


class TestMany:
    """More than six appliances."""

    def test_rows_of_multiples(self) -> None:
        """Each appliance has a row of multiples of its median success, the most uneven on top."""
        rows = [(f"vc-{n}", "success", 20.0) for n in range(7)] * 3
        ax = durations(jobs(*rows, ("vc-5", "success", 60), ("vc-2", "failure", 30)), limit=3)
        names = [text.get_text() for text in ax.get_yticklabels()]
        assert names == ["vc-5", "vc-2", "vc-0"]
        good = next(line for line in ax.lines if line.get_label() == "succeeded")
        bad = next(line for line in ax.lines if line.get_label() == "failed")
        assert max(np.ravel(good.get_xdata())) == pytest.approx(3)
        assert np.ravel(bad.get_xdata()).tolist() == pytest.approx([1.5])
        assert np.ravel(bad.get_ydata()).tolist() == [1]
        assert ax.texts[-1].get_text() == "and 4 more, with smaller multiples, not drawn"
        legend = ax.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["succeeded", "failed"]

    def test_only_failures(self) -> None:
        """An appliance without success is measured by its failures; a duration of 0 is drawn."""
        rows = [(f"vc-{n}", "failure", 0.0) for n in range(7)]
        ax = durations(jobs(*rows, ("vc-0", "failure", 4)))
        assert ax.get_yticklabels()[0].get_text() == "vc-0"

    def test_very_many_are_counted_in_cells(self) -> None:
        """Above 10,000 jobs the cells of each row show numbers of jobs."""
        count = 10_010
        given = JOBS.frame(
            {
                "appliance": [f"vc-{place % 10}" for place in range(count)],
                "outcome": ["success"] * count,
                "start_time": [NIGHT + place * MINUTE for place in range(count)],
                "duration": [(20 + place % 9) * MINUTE for place in range(count)],
            }
        )
        ax = durations(given)
        (cells,) = (one for one in ax.collections if isinstance(one, QuadMesh))
        counts = np.asarray(cells.get_array())
        assert float(np.nansum(counts)) == count
        assert counts.shape[0] == 10
        highest = f"{np.nanmax(counts):,.0f}"
        assert ax.texts[-1].get_text().endswith(f"more jobs: 1 to {highest}")
