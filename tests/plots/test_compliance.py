"""Compliance and failures over time."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.patches import StepPatch

from backupkit.plots import compliance, failures_over_time
from backupkit.tables import INTERVALS
from tests.builders import assess_week, frame

START = pd.Timestamp("2026-11-02T00:00Z")
DAY = pd.Timedelta(days=1)


def intervals(*rows: tuple[str, str, float, float]) -> pd.DataFrame:
    """Build intervals from (appliance, state, from, to) in days."""
    return frame(
        INTERVALS,
        [
            {
                "appliance": name,
                "state": state,
                "start": START + start * DAY,
                "end": START + end * DAY,
            }
            for name, state, start, end in rows
        ],
    )


def lines(frame: pd.DataFrame) -> dict[str, list[float]]:
    """Draw and return the percentages of each line."""
    ax = compliance(frame)
    return {str(line.get_label()): np.ravel(line.get_ydata()).tolist() for line in ax.lines}


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (0.5, "75.0 % of the time, target 50 % met"),
        (0.75, "75.0 % of the time, target 75 % met"),
        (0.85, "75.0 % of the time, target 85 % not decided"),
        (0.99, "75.0 % of the time, target 99 % missed"),
        (0.7501, "75.0 % of the time, target 75.01 % not decided"),
    ],
)
def test_the_target(target: float, words: str) -> None:
    """The target is a line at its share; the title says whether the time in scope meets it.

    Of 4 days, 3 are compliant, half a day is unknown, and half a day is in breach.
    """
    given = intervals(("a", "compliant", 0, 3), ("a", "unknown", 3, 3.5), ("a", "breach", 3.5, 4))
    ax = compliance(given, target=target)
    assert ax.get_title("left") == f"Compliance over time: {words}"
    (line,) = (line for line in ax.lines if line.get_gid() == "target")
    assert np.ravel(line.get_ydata()).tolist() == pytest.approx([100 * target] * 2)


def test_the_target_of_an_assessment() -> None:
    """An assessment brings its own target, and the title agrees with its verdict."""
    a = assess_week()
    row = a.fleet.loc["rpo_strict_micro"]
    title = compliance(a).get_title("left")
    assert f"target {100 * row['target']:g} % {row['target_state']}" in title
    assert f"{100 * row['value']:.1f} %" in title


def test_a_missed_target_is_not_rounded_up() -> None:
    """A share of 98.97 % reads 98.9 % against a target of 99 %."""
    given = intervals(("a", "compliant", 0, 98.97), ("a", "breach", 98.97, 100))
    title = compliance(given, target=0.99).get_title("left")
    assert title.endswith("98.9 % of the time, target 99 % missed")


def test_a_target_without_time() -> None:
    """Without any time in scope no target is met or missed."""
    given = intervals(("a", "compliant", 0, 0))
    assert "no time in scope" in compliance(given, target=0.9).get_title("left")


def stacks(ax: Axes) -> list[tuple[list[float], list[float]]]:
    """Return the lower and upper edges of each part of the stacks."""
    parts = [patch.get_data() for patch in ax.patches if isinstance(patch, StepPatch)]
    return [(np.ravel(feet).tolist(), np.ravel(tops).tolist()) for tops, _, feet in parts]


class TestCompliance:
    """`compliance`."""

    @pytest.mark.parametrize(
        ("compliant", "target", "bottom"),
        [(97, 0.99, 80), (72, 0.99, 60), (69, 0.99, 0), (97, 0.5, 0)],
    )
    def test_the_axis_shows_small_differences(
        self, compliant: int, target: float, bottom: int
    ) -> None:
        """From 70 % on the axis begins above 0, below line and target, and the caption says so."""
        names = [f"vc-{number}" for number in range(100)]
        kinds = ["compliant"] * compliant + ["breach"] * (100 - compliant)
        rows = [(name, kind, 0, 1) for name, kind in zip(names, kinds, strict=True)]
        ax = compliance(intervals(*rows), target=target)
        assert ax.get_ylim() == pytest.approx(
            (bottom - (100 - bottom) / 50, 100 + 0.03 * (100 - bottom))
        )
        noted = any(f"the axis begins at {bottom} %" in text.get_text() for text in ax.texts)
        assert noted == (bottom > 0)

    def test_exact_steps(self) -> None:
        """The lines change when a state changes; unknown lowers only the strict one."""
        shares = lines(
            intervals(
                ("a", "compliant", 0, 4),
                ("b", "compliant", 0, 1),
                ("b", "breach", 1, 2),
                ("b", "unknown", 2, 4),
            )
        )
        assert shares["strict"] == [100, 50, 50, 50]
        assert shares["observed"] == [100, 50, 100, 100]

    def test_out_of_scope(self) -> None:
        """Excluded and unobserved appliances are in no denominator."""
        shares = lines(
            intervals(("a", "compliant", 0, 1), ("b", "excluded", 0, 1), ("c", "unobserved", 0, 1))
        )
        assert shares["strict"] == [100, 100]

    def test_a_gap(self) -> None:
        """Without an appliance in scope there is a gap."""
        shares = lines(intervals(("a", "compliant", 0, 1), ("a", "breach", 2, 3)))
        assert np.isnan(shares["strict"][1])
        assert shares["strict"][2:] == [0, 0]

    def test_the_caption_has_the_fraction(self) -> None:
        """The caption has the fraction at the end."""
        ax = compliance(intervals(("a", "compliant", 0, 1), ("b", "unknown", 0, 1)))
        assert ax.texts[0].get_text() == (
            "at the end 1 of 2 in scope compliant (strict), 1 of the 1 read (observed)"
        )
        ax = compliance(intervals(("a", "compliant", 0, 1)))
        assert ax.texts[0].get_text().endswith("all of them read; the axis begins at 90 %")

    def test_a_state_of_a_moment(self) -> None:
        """States without a duration do not count, not even at the end."""
        ax = compliance(intervals(("a", "compliant", 0, 0)))
        assert ax.texts[0].get_text() == "at the end no appliance is in scope"

    def test_the_axis_is_the_period(self) -> None:
        """The axis spans the intervals, or the given period."""
        frame = intervals(("a", "compliant", 0, 1))
        assert compliance(frame).get_xlim() == (date2num(START), date2num(START + DAY))
        ax = compliance(frame, start=START - DAY, end=START + 2 * DAY)
        assert ax.get_xlim() == (date2num(START - DAY), date2num(START + 2 * DAY))

    def test_long_histories_keep_their_dips(self) -> None:
        """Of very many steps the lowest of each bin is drawn."""
        rows = [("a", "compliant" if n % 2 == 0 else "breach", n, n + 1) for n in range(6_000)]
        (strict,) = {
            tuple(values) for name, values in lines(intervals(*rows)).items() if name == "strict"
        }
        assert len(strict) == 2_000
        assert min(strict) == 0

    def test_a_dip_of_many_steps_ends(self) -> None:
        """Of very many steps the value after a dip is drawn until the next one."""
        rows = [
            ("a", "breach" if n % 2 else "compliant", night + n / 3_000, night + (n + 1) / 3_000)
            for night in (0, 50)
            for n in range(2_999)
        ]
        quiet = [("a", "compliant", 2_999 / 3_000, 50), ("a", "compliant", 50 + 2_999 / 3_000, 100)]
        lines = compliance(intervals(*rows, *quiet)).lines
        (strict,) = (line for line in lines if line.get_label() == "strict")
        days = np.ravel(strict.get_xdata()) - date2num(START)
        percent = np.ravel(strict.get_ydata())
        drawn = (np.diff(days) * percent[:-1]).sum() / 100
        assert drawn > 97
        assert percent.min() == 0


class TestFailuresOverTime:
    """`failures_over_time`."""

    @staticmethod
    def jobs(*rows: tuple[str, float]) -> pd.DataFrame:
        """Build failed jobs from (signature, day)."""
        ends = pd.to_datetime([START + row[1] * DAY for row in rows])
        return pd.DataFrame(
            {"signature": pd.Series([row[0] for row in rows], dtype="str"), "end_time": ends}
        )

    def test_stacked_by_signature(self) -> None:
        """Each day has a stack, with the most frequent signature at the bottom."""
        ax = failures_over_time(self.jobs(("x", 0.1), ("y", 0.2), ("x", 0.3), ("x", 4.5)))
        (feet, tops), (next_feet, next_tops) = stacks(ax)
        assert feet == [0, 0, 0, 0, 0]
        assert tops == pytest.approx([2, np.nan, np.nan, np.nan, 1], nan_ok=True)
        assert next_feet[0] == 2
        assert next_tops == pytest.approx([3, *[np.nan] * 4], nan_ok=True)
        assert ax.get_ylabel() == "failed jobs a day"

    @pytest.mark.parametrize(("days", "word"), [(1, "hour"), (50, "day"), (300, "week")])
    def test_bars_fit_the_span(self, days: float, word: str) -> None:
        """Short periods have a bar an hour, long ones a bar a week."""
        ax = failures_over_time(self.jobs(("x", 0), ("x", days)))
        assert ax.get_ylabel() == f"failed jobs a {word}"

    def test_the_others_share_a_part(self) -> None:
        """Signatures beyond the limit share a part, and are counted."""
        ax = failures_over_time(self.jobs(("x", 0), ("x", 0), ("y", 0), ("z", 0)), limit=1)
        (legend,) = ax.figure.legends
        assert [text.get_text() for text in legend.get_texts()] == ["x", "2 others"]
        assert stacks(ax) == [([0], [2]), ([2], [4])]
