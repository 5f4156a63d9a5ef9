"""The matrix of expected runs."""

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.dates import date2num

from backupkit.plots import matrix
from backupkit.plots.matrix import CELL_STYLES, nights
from backupkit.plots.themes import SLOT_STYLES
from backupkit.tables import INTERVALS, SLOT_STATES, SLOTS, STATES
from tests.builders import frame

DAY = pd.Timestamp("2026-11-02T01:00Z")


def slots(*rows: tuple[str, int, str]) -> pd.DataFrame:
    """Build slots from (appliance, day, state)."""
    return frame(
        SLOTS,
        [
            {"appliance": name, "slot": DAY + pd.Timedelta(days=day), "state": state}
            for name, day, state in rows
        ],
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
        """Every day between the first and the last has a column; a day without a run is NA."""
        table = nights(slots(("a", 0, "met"), ("a", 2, "late")))
        assert table.shape == (1, 3)
        assert table.iloc[0].isna().tolist() == [False, True, False]

    def test_the_worst_of_a_day_counts(self) -> None:
        """Of several runs on a day the most serious state is kept."""
        assert nights(slots(("a", 0, "rescued"), ("a", 0, "missed_failed"))).iloc[0, 0] == (
            "missed_failed"
        )

    def test_appliances_without_a_slot(self) -> None:
        """With intervals they have a row with their worst state of each day, also if excluded."""
        noon = pd.Timestamp("2026-11-02T12:00Z")
        day = pd.Timedelta(days=1)
        intervals = INTERVALS.frame(
            {
                "appliance": ["a", "b", "b", "c", "d", "d"],
                "state": ["breach", "compliant", "breach", "excluded", "excluded", "compliant"],
                "start": [noon, noon, noon + day, noon, noon, noon + day],
                "end": [noon + n * day for n in (2, 1, 2, 2, 1, 2)],
            }
        )
        table = nights(slots(("a", 1, "met")), intervals)
        assert [f"{time:%d}" for time in table.columns] == ["02", "03", "04"]
        assert table.fillna("").agg(list, axis="columns").to_dict() == {
            "b": ["compliant", "breach", "breach"],
            "a": ["", "met", ""],
            "c": ["excluded", "excluded", "excluded"],
            "d": ["excluded", "compliant", "compliant"],
        }
        assert list(table.index) == ["b", "a", "c", "d"]
        assert list(nights(SLOTS.empty(), intervals).index) == ["a", "b", "c", "d"]
        assert nights(SLOTS.empty(), INTERVALS.empty()).empty

    def test_a_day_ends_before_midnight(self) -> None:
        """A state that ends at midnight is not of the next day."""
        midnight = pd.Timestamp("2026-11-02T00:00Z")
        day = {"appliance": "a", "state": "unknown", "start": midnight}
        intervals = frame(INTERVALS, [day | {"end": midnight + pd.Timedelta(days=1)}])
        assert nights(SLOTS.empty(), intervals).to_numpy().tolist() == [["unknown"]]

    def test_every_state_has_a_style(self) -> None:
        """Every slot state has a word, a symbol and a colour."""
        assert set(SLOT_STYLES) == set(SLOT_STATES)
        assert set(CELL_STYLES) == {*SLOT_STATES, *STATES}
        assert len({cell_style.symbol for cell_style in CELL_STYLES.values()}) == len(CELL_STYLES)


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

    def test_shapes_distinguish_states(self) -> None:
        """Marker and fill together are unique to a state, even without colour."""
        assert len(
            {(cell_style.marker, cell_style.fill) for cell_style in CELL_STYLES.values()}
        ) == len(CELL_STYLES)

    def test_omitted_rows_are_counted(self) -> None:
        """Rows beyond the limit are counted in a caption."""
        ax = matrix(slots(("a", 0, "met"), ("b", 0, "met")), limit=1)
        assert "and 1 more" in ax.texts[0].get_text()
        assert "(UTC)" in ax.get_xlabel()

    def test_states_give_rows_and_caption(self) -> None:
        """The rows follow the states, also without an expected run."""
        states = pd.Series(["breach", "compliant", "compliant"], index=["b", "none", "a"])
        ax = matrix(slots(("a", 0, "met"), ("b", 0, "late")), states=states, limit=2)
        assert [text.get_text() for text in ax.get_yticklabels()] == ["b", "none"]
        assert ax.texts[0].get_text() == "and 1 more, all compliant"

    def test_intervals_of_the_drawn_appliances(self) -> None:
        """Rows without a slot show the appliance's state; others than the drawn add no day."""
        ends = {"b": DAY + pd.Timedelta(hours=2), "c": DAY + pd.Timedelta(days=9)}
        rows = [
            {"appliance": name, "state": "breach", "start": DAY, "end": end}
            for name, end in ends.items()
        ]
        intervals = frame(INTERVALS, rows)
        states = pd.Series(["breach", "compliant"], index=["b", "a"])
        ax = matrix(slots(("a", 0, "met")), states=states, intervals=intervals)
        lines = {str(line.get_label()): np.ravel(line.get_ydata()).tolist() for line in ax.lines}
        assert lines == {"in breach (no run expected)": [0], "met": [1]}
        assert ax.get_xlim()[1] - ax.get_xlim()[0] < 2

    def test_very_many_cells_are_an_image(self) -> None:
        """Above 10,000 cells each is a pixel in its state's colour; no run is blank."""
        rows = [(f"vc-{n:03}", 0, "met") for n in range(100)]
        ax = matrix(slots(*rows, ("vc-000", 100, "missed_norun")), limit=100)
        (image,) = ax.images
        cells = np.asarray(image.get_array())
        assert cells.shape == (100, 101, 3)
        colours = {
            state: tuple(round(255 * part) for part in to_rgb(SLOT_STYLES[state].colour))
            for state in ("met", "missed_norun")
        }
        assert tuple(cells[0, 100]) == colours["missed_norun"]
        assert tuple(cells[7, 0]) == colours["met"]
        assert tuple(cells[7, 50]) == (255, 255, 255)
        assert ax.get_ylabel() == "appliance, in order"

    def test_cells_without_symbols_share_words(self) -> None:
        """In an image states of one colour share a word in the legend."""
        rows = [(f"vc-{n:03}", 0, "missed_failed") for n in range(100)]
        ax = matrix(slots(*rows, ("vc-000", 100, "missed_norun"), ("vc-001", 9, "met")), limit=100)
        legend = ax.get_legend()
        assert legend is not None
        labels = [text.get_text() for text in legend.get_texts()]
        assert labels == ["failed / did not run", "met"]
