"""The load on backup targets."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.dates import date2num

from backupkit.plots import load
from backupkit.tables import LOADS

NIGHT = pd.Timestamp("2026-11-08T01:00Z")
HOUR = pd.Timedelta(hours=1)


def jobs(*rows: tuple[str | None, float, float | None]) -> pd.DataFrame:
    """Build jobs from (target, start, end) in hours."""
    ends = [pd.NaT if row[2] is None else NIGHT + row[2] * HOUR for row in rows]
    return pd.DataFrame(
        {
            "target": pd.Series([row[0] for row in rows], dtype="str"),
            "start_time": pd.to_datetime([NIGHT + row[1] * HOUR for row in rows]),
            "end_time": pd.Series(ends, dtype="datetime64[us, UTC]"),
        }
    )


def curve(ax: Axes) -> npt.NDArray[np.float64]:
    """Return the corners of the only curve: day, and concurrent jobs of at most 2."""
    (area,) = ax.collections
    corners = np.array(area.get_paths()[0].vertices, dtype=np.float64)
    return np.column_stack([corners[:, 0], np.round((0.4 - corners[:, 1]) / 0.4)])


def labels(*rows: tuple[str | None, float, float | None], **options: object) -> list[str]:
    """Draw and return the labels of the rows."""
    ax = load(jobs(*rows), **options)  # type: ignore[arg-type] # options are loads or limit
    return [text.get_text() for text in ax.get_yticklabels()]


class TestLoad:
    """`load`."""

    def test_peaks(self) -> None:
        """The target with the highest peak is on top; ends come before starts."""
        rows: list[tuple[str | None, float, float | None]] = [
            ("a", 0, 1),
            ("a", 1, 2),
            ("b", 0, 2),
            ("b", 1, 3),
        ]
        assert labels(*rows) == ["b: at most 2", "a: at most 1"]

    def test_a_job_that_runs(self) -> None:
        """A job without an end lasts to the last time in the data."""
        assert labels(("a", 0, None), ("a", 5, 6)) == ["a: at most 2"]
        assert labels(("a", 0, None)) == ["a: at most 1"]

    def test_a_job_that_vanished(self) -> None:
        """A vanished job without an end lasts until it vanished."""
        frame = jobs(("a", 0, None), ("a", 5, 6))
        assert load(frame).get_yticklabels()[0].get_text() == "a: at most 2"
        frame["vanished_at"] = pd.Series([NIGHT + HOUR, pd.NaT], dtype="datetime64[us, UTC]")
        assert load(frame).get_yticklabels()[0].get_text() == "a: at most 1"

    def test_what_is_planned(self) -> None:
        """The plan of a target is a dotted line and part of its label; a target may have none."""
        loads = LOADS.frame({"target": ["a", "b"], "planned_peak": [3, None]})
        frame = jobs(("a", 0, 2), ("b", 0, 2), ("c", 0, 2))
        ax = load(frame, loads=loads)
        labels = [text.get_text() for text in ax.get_yticklabels()]
        assert labels == ["a: at most 1, planned 3", "b: at most 1", "c: at most 1"]
        (line,) = (one for one in ax.lines if one.get_gid() == "planned")
        assert np.ravel(line.get_ydata()).tolist() == pytest.approx([0.4 - 0.8] * 2)

    def test_the_same_measure_for_all(self) -> None:
        """One job has the same height on every row."""
        ax = load(jobs(("a", 0, 2), ("a", 1, 2), ("b", 0, 2)))
        tops = [area.get_datalim(ax.transData).y0 for area in ax.collections]
        assert tops == pytest.approx([0 + 0.4 - 0.8, 1 + 0.4 - 0.4])

    def test_omitted_are_counted(self) -> None:
        """Targets beyond the limit, and jobs without a target, are counted."""
        ax = load(jobs(("a", 0, 2), ("b", 0, 2), (None, 0, 1)), limit=1)
        assert ax.texts[0].get_text() == (
            "and 1 more, with a lower peak, not drawn; 1 job without a target"
        )
        ax = load(jobs(("a", 0, 2), (None, 0, 1), (None, 2, 3)))
        assert ax.texts[0].get_text() == "2 jobs without a target"

    def test_very_many_steps(self) -> None:
        """Above 10,000 steps each column of pixels has its highest number, to the end."""
        corners = curve(load(jobs(*(("a", n, n + 1.5) for n in range(12_000)))))
        assert corners[:, 0].max() == date2num(NIGHT + 12_000.5 * HOUR)
        assert set(corners[:, 1]) == {0, 2}
        assert len(set(corners[:, 0])) == 901

    def test_jobs_between_many_steps(self) -> None:
        """A job also counts in columns of pixels in which no job starts or ends."""
        short = [("a", n / 6_000, (n + 0.5) / 6_000) for n in range(6_000)]
        corners = curve(load(jobs(("a", 0, 1_000), *short)))
        quiet = corners[corners[:, 0] > date2num(NIGHT + 2 * HOUR)]
        assert len(set(quiet[quiet[:, 1] == 1, 0])) > 890
