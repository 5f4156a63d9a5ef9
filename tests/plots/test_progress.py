"""The progress of jobs over time."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.lines import Line2D

from backupkit.plots import progress
from backupkit.tables import OBSERVATIONS
from tests.builders import frame, observation

NIGHT = pd.Timestamp("2026-11-08T01:00Z")
MINUTE = pd.Timedelta(minutes=1)


def observations(*rows: tuple[str, str, int, float | None]) -> pd.DataFrame:
    """Build observations from (appliance, job, minutes, progress)."""
    return frame(
        OBSERVATIONS,
        [
            observation(
                name, job, "INPROGRESS", observed_at=NIGHT + after * MINUTE, progress=progress
            )
            for name, job, after, progress in rows
        ],
    )


def plain(ax: Axes) -> list[Line2D]:
    """Return the curves without expected ones."""
    return [line for line in ax.lines if line.get_gid() is None]


def beside(ax: Axes, kind: str) -> list[tuple[list[float], list[float]]]:
    """Return (minutes, percent) of the lines of stalls or expectations."""
    return [
        (
            np.round((np.ravel(line.get_xdata()) - date2num(NIGHT)) * 24 * 60, 3).tolist(),
            np.ravel(line.get_ydata()).tolist(),
        )
        for line in ax.lines
        if line.get_gid() == kind
    ]


class TestProgress:
    """`progress`."""

    def test_one_curve_a_job_in_order_of_time(self) -> None:
        """Each job has one curve through its observations, ordered by time."""
        ax = progress(observations(("vc-1", "7", 9, 40), ("vc-1", "7", 0, 0), ("vc-2", "7", 4, 12)))
        curves = {line.get_label(): np.ravel(line.get_ydata()).tolist() for line in plain(ax)}
        assert curves == {"vc-1 7": [0.0, 40.0], "vc-2 7": [12.0]}

    def test_omitted_rows_are_counted(self) -> None:
        """Jobs beyond the limit are counted; those seen last are drawn."""
        ax = progress(
            observations(("vc-1", "old", 0, 1), ("vc-1", "new", 9, 1), ("vc-1", "mid", 5, 1)),
            limit=2,
        )
        assert [line.get_label() for line in plain(ax)] == ["vc-1 new", "vc-1 mid"]
        assert any("and 1 more" in text.get_text() for text in ax.texts)

    def test_from_start_to_end(self) -> None:
        """A curve begins at 0 % where the job started and ends where the job ended."""
        seen = observations(("vc-1", "7", 9, 40), ("vc-1", "7", 60, 100))
        seen["state"] = ["INPROGRESS", "SUCCEEDED"]
        seen["start_time"] = NIGHT
        seen.loc[1, "end_time"] = NIGHT + pd.Timedelta(minutes=20)
        [line] = progress(seen).lines
        minutes = (np.ravel(line.get_xdata()) - date2num(NIGHT)) * 24 * 60
        assert np.round(minutes, 3).tolist() == [0.0, 9.0, 20.0]
        assert np.ravel(line.get_ydata()).tolist() == [0.0, 40.0, 100.0]

    def test_only_jobs_seen_running(self) -> None:
        """A job that had ended when it was first seen has no curve."""
        seen = observations(("vc-1", "7", 9, 100))
        seen["state"] = "SUCCEEDED"
        assert "No job was observed running" in progress(seen).texts[0].get_text()

    def test_a_running_job_continues_at_its_pace(self) -> None:
        """A job with 50 % after 20 minutes is expected to end after 40."""
        seen = observations(("vc-1", "7", 20, 50))
        seen["start_time"] = NIGHT
        ax = progress(seen, now=NIGHT + 22 * MINUTE)
        assert beside(ax, "expected") == [([20, 40], [50, 100])]
        assert ax.texts[0].get_text() == "done 01:40?"

    def test_too_early(self) -> None:
        """A running job below 5 %, or without a start, has no expectation."""
        early = observations(("vc-1", "7", 20, 4))
        early["start_time"] = NIGHT
        assert beside(progress(early), "expected") == []
        assert beside(progress(observations(("vc-1", "7", 20, 50))), "expected") == []

    def test_typical_duration_counts(self) -> None:
        """The time left combines the job's pace and its typical duration, weighted by progress.

        Half done after 20 minutes: 20 more at its pace, 40 more as its runs of 60 minutes usually
        take; half of each is 30, so it is done after 50 minutes.
        """
        seen = observations(*(("vc-1", str(n), 0, 100) for n in range(12)), ("vc-1", "now", 20, 50))
        seen["state"] = ["SUCCEEDED"] * 12 + ["INPROGRESS"]
        seen["start_time"] = [NIGHT - n * 24 * 60 * MINUTE for n in range(12)] + [NIGHT]
        ends = [*(60 if n < 10 else 9_000 for n in range(12)), None]
        seen["end_time"] = seen["start_time"] + pd.to_timedelta(pd.Series(ends), unit="min")
        assert beside(progress(seen), "expected") == [([20, 50], [50, 100])]
        none = seen.assign(progress=[100.0] * 12 + [0.0])
        assert beside(progress(none), "expected") == [([20, 60], [0, 100])]

    def test_long_runs_may_pause_longer(self) -> None:
        """With a typical duration of five hours only more than 30 minutes are a stall."""
        seen = observations(("vc-1", "1", 0, 100), ("vc-1", "now", 20, 50))
        seen["state"] = ["SUCCEEDED", "INPROGRESS"]
        seen["start_time"] = NIGHT - 400 * MINUTE
        seen["end_time"] = pd.Series([NIGHT - 100 * MINUTE, pd.NaT], dtype="datetime64[us, UTC]")
        labels = [
            [text.get_text() for text in progress(seen, now=NIGHT + n * MINUTE).texts]
            for n in (49, 51)
        ]
        assert "stalled" not in labels[0]
        assert labels[1] == ["stalled"]
        assert progress(seen, now=NIGHT + 49 * MINUTE, stall=5 * MINUTE).texts[0].get_text() == (
            "stalled"
        )

    def test_a_stalled_job(self) -> None:
        """A job without a change for ten minutes continues level, and is labelled as stalled."""
        seen = observations(("vc-1", "7", 20, 50))
        ax = progress(seen, now=NIGHT + 31 * MINUTE)
        assert beside(ax, "expected") == [([20, 31], [50, 50])]
        assert ax.texts[0].get_text() == "stalled"

    def test_a_pause_in_progress(self) -> None:
        """A pause longer than allowed is drawn bold."""
        seen = observations(
            ("vc-1", "7", 0, 10), ("vc-1", "7", 9, 10), ("vc-1", "7", 25, 10), ("vc-1", "7", 26, 90)
        )
        assert beside(progress(seen), "stall") == [([9, 25], [10, 10])]
