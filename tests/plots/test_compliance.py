"""The matrix of expected runs."""

import numpy as np
import pandas as pd
from matplotlib.dates import date2num

from backupkit.plots import matrix
from backupkit.plots.compliance import nights
from backupkit.plots.style import SLOT_LOOKS
from backupkit.tables import SLOT_STATES, SLOTS

DAY = pd.Timestamp("2026-11-02T01:00Z")


def slots(*rows: tuple[str, int, str]) -> pd.DataFrame:
    """Build slots from (appliance, day, state)."""
    return SLOTS.frame(
        {
            "appliance": [row[0] for row in rows],
            "slot": [DAY + pd.Timedelta(days=row[1]) for row in rows],
            "state": [row[2] for row in rows],
        }
    )


class TestNights:
    """`nights`."""

    def test_the_most_missed_come_first(self) -> None:
        """Rows are ordered by missed days, then unknown ones, then name."""
        table = nights(
            slots(
                ("b", 0, "met"),
                ("a", 0, "met"),
                ("c", 0, "unknown"),
                ("d", 0, "missed_norun"),
            )
        )
        assert list(table.index) == ["d", "c", "a", "b"]

    def test_days_without_a_run_are_missing(self) -> None:
        """Every day between the first and the last has a column; no expectation is NA."""
        table = nights(slots(("a", 0, "met"), ("a", 2, "late")))
        assert table.shape == (1, 3)
        assert table.iloc[0].isna().tolist() == [False, True, False]

    def test_the_worst_of_a_day_counts(self) -> None:
        """Of several runs on a day the most serious one is kept."""
        assert nights(slots(("a", 0, "rescued"), ("a", 0, "missed_failed"))).iloc[0, 0] == (
            "missed_failed"
        )

    def test_every_state_has_a_look(self) -> None:
        """No slot state is without word, symbol and colour."""
        assert set(SLOT_LOOKS) == set(SLOT_STATES)
        assert len({look.symbol for look in SLOT_LOOKS.values()}) == len(SLOT_STATES)


class TestMatrix:
    """`matrix`."""

    def test_a_marker_for_each_state(self) -> None:
        """Each state is one line of markers in its own shape, at its day and row."""
        ax = matrix(slots(("a", 0, "met"), ("a", 1, "missed_failed"), ("b", 1, "met")))
        lines = {line.get_label(): line for line in ax.lines}
        midnight = DAY.normalize()
        assert np.ravel(lines["failed"].get_xdata()).tolist() == [
            date2num(midnight + pd.Timedelta(days=1))
        ]
        assert np.ravel(lines["failed"].get_ydata()).tolist() == [0]
        assert np.ravel(lines["met"].get_ydata()).tolist() == [0, 1]
        assert lines["met"].get_marker() != lines["failed"].get_marker()

    def test_shapes_tell_states_apart(self) -> None:
        """Marker and fill together are unique to a state, so that grey-scale is enough."""
        assert len({(look.marker, look.fill) for look in SLOT_LOOKS.values()}) == len(SLOT_LOOKS)

    def test_the_rest_is_counted(self) -> None:
        """Rows beyond the limit are counted in a caption."""
        ax = matrix(slots(("a", 0, "met"), ("b", 0, "met")), limit=1)
        assert "and 1 more" in ax.texts[0].get_text()
        assert "(UTC)" in ax.get_xlabel()

    def test_no_slot_says_so(self) -> None:
        """Without an expected run the axes hold a sentence."""
        assert "No backup run" in matrix(SLOTS.empty()).texts[0].get_text()
