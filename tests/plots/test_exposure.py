"""Exposure over time."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.dates import date2num

from backupkit.plots import exposure
from tests.builders import assess_week

NIGHT = pd.Timestamp("2026-11-08T01:00Z")
HOUR = pd.Timedelta(hours=1)


def points(*rows: tuple[str, float, float]) -> pd.DataFrame:
    """Build recovery points from (appliance, available, point) in hours after the first night."""
    return pd.DataFrame(
        {
            "appliance": pd.Series([row[0] for row in rows], dtype="str"),
            "available": pd.to_datetime([NIGHT + row[1] * HOUR for row in rows]),
            "point": pd.to_datetime([NIGHT + row[2] * HOUR for row in rows]),
        }
    )


class TestExposure:
    """`exposure`."""

    def test_a_saw_tooth(self) -> None:
        """Exposure grows with time, and falls to the age of a new point when it is available."""
        ax = exposure(points(("a", 0.5, 0), ("a", 24.5, 24)), end=NIGHT + 30 * HOUR)
        (line,) = ax.lines
        hours = (np.ravel(line.get_xdata()) - date2num(NIGHT)) * 24
        assert np.round(hours, 6).tolist() == [0.5, 24.5, 24.5, 30]
        assert np.round(np.ravel(line.get_ydata()), 6).tolist() == [0.5, 24.5, 0.5, 6]

    def test_what_was_before_the_period(self) -> None:
        """A point from before the period is the start of the curve."""
        ax = exposure(points(("a", 0, 0)), start=NIGHT + 10 * HOUR, end=NIGHT + 12 * HOUR)
        assert np.round(np.ravel(ax.lines[0].get_ydata()), 6).tolist() == [10, 12]

    def test_the_most_exposed_are_drawn(self) -> None:
        """The appliances with the oldest points come first; the others are counted."""
        ax = exposure(points(("a", 9, 9), ("b", 1, 1), ("c", 5, 5)), end=NIGHT + 10 * HOUR, limit=2)
        assert [line.get_label() for line in ax.lines] == ["b", "c"]
        front, behind = ax.lines
        assert front.get_zorder() > behind.get_zorder()
        assert ax.texts[0].get_text() == "and 1 more, less exposed, not drawn"

    def test_one_limit(self) -> None:
        """One threshold is one line in hours, and the area above it is filled."""
        ax = exposure(points(("a", 0, 0)), threshold=26 * HOUR, end=NIGHT + 40 * HOUR)
        (limit,) = (line for line in ax.lines if line.get_label() == "RPO + grace")
        assert np.ravel(limit.get_ydata()).tolist() == [26, 26]
        (area,) = ax.collections
        assert area.get_datalim(ax.transData).y0 == pytest.approx(26)
        corners = [tuple(corner) for path in area.get_paths() for corner in np.array(path.vertices)]
        assert {x for x, y in corners if y > 26} == {date2num(NIGHT + 40 * HOUR)}
        assert (date2num(NIGHT + 26 * HOUR), 26) in corners
        assert ax.get_ylabel() == "exposure (h)"

    def test_several_limits(self) -> None:
        """With different thresholds each appliance is measured by its own."""
        allowed = pd.Series({"a": 10 * HOUR, "b": 20 * HOUR})
        ax = exposure(points(("a", 0, 0), ("b", 0, 0)), threshold=allowed, end=NIGHT + 20 * HOUR)
        ends = {line.get_label(): np.ravel(line.get_ydata())[-1] for line in ax.lines}
        assert ends == pytest.approx({"a": 2, "b": 1, "RPO + grace": 1})
        assert ax.get_ylabel() == "exposure / (RPO + grace)"

    def test_the_most_exposed_by_their_own_limits(self) -> None:
        """With different thresholds the largest excess comes first: 2 before 1.5."""
        allowed = pd.Series({"a": 20 * HOUR, "b": 5 * HOUR})
        ax = exposure(
            points(("a", 0, 0), ("b", 20, 20)), threshold=allowed, end=NIGHT + 30 * HOUR, limit=1
        )
        assert ax.lines[0].get_label() == "b"

    def test_an_appliance_without_a_point(self) -> None:
        """An appliance with a threshold but without a recovery point is counted in the caption."""
        allowed = pd.Series({"a": 10 * HOUR, "b": 20 * HOUR, "never": 20 * HOUR})
        ax = exposure(
            points(("a", 0, 0), ("b", 0, 0)), threshold=allowed, end=NIGHT + 9 * HOUR, limit=1
        )
        assert ax.texts[0].get_text() == (
            "and 1 more, less exposed, not drawn; 1 without any recovery point"
        )

    def test_an_appliance_without_a_limit(self) -> None:
        """An appliance without a threshold leaves the axis in hours."""
        ax = exposure(
            points(("a", 0, 0), ("b", 0, 0)),
            threshold=pd.Series({"a": 10 * HOUR}),
            end=NIGHT + 20 * HOUR,
        )
        assert len(ax.collections) == 1
        assert ax.get_ylabel() == "exposure (h)"

    def test_many_backups_are_steps(self) -> None:
        """Of 400 daily backups, the line has the oldest age of each day, and never less.

        A backup at noon, available an hour later, is 25 h old when the next one is available. The
        night without one, before day 300, makes it 49 h.
        """
        days = [day for day in range(400) if day != 300]
        noon = [24 * day + 11 for day in days]  # the first night begins at 01:00
        given = points(*(("a", hour + 1, hour) for hour in noon))
        ax = exposure(given, end=NIGHT + 400 * 24 * HOUR)
        (line,) = ax.lines
        hours = np.ravel(line.get_ydata())
        assert len(hours) <= 2 * 241
        assert hours.max() == pytest.approx(49)
        assert np.median(hours) == pytest.approx(25)
        assert "of more than 20 backups: the oldest age of each day" in ax.texts[0].get_text()

    def test_an_assessment(self) -> None:
        """Of an assessment, the appliances in scope are drawn, in its period."""
        a = assess_week()
        ax = exposure(a)
        assert ax.get_xlim() == (date2num(a.start), date2num(a.end))
        assert "vc-retired" not in [line.get_label() for line in ax.lines]
