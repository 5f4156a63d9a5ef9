"""Jobs and their progress over time."""

import numpy as np
import pandas as pd
from matplotlib.collections import PolyCollection
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from backupkit.plots import progress, timeline
from backupkit.plots.style import OUTCOME_LOOKS
from backupkit.tables import JOBS, OBSERVATIONS, SLOTS

NIGHT = pd.Timestamp("2026-11-08T01:00Z")
HOUR = pd.Timedelta(hours=1)


def jobs(*rows: tuple[str, str, pd.Timestamp | None, pd.Timestamp | None]) -> pd.DataFrame:
    """Build jobs from (appliance, outcome, start, end)."""
    columns = ("appliance", "outcome", "start_time", "end_time")
    values = {name: [row[place] for row in rows] for place, name in enumerate(columns)}
    return JOBS.frame({**values, "last_seen_at": [NIGHT + 3 * HOUR] * len(rows)})


def bars(collection: PolyCollection) -> list[tuple[float, float, float]]:
    """Read (left, right, middle) of each bar back from its artist."""
    boxes = [path.get_extents() for path in collection.get_paths()]
    return [(box.x0, box.x1, (box.y0 + box.y1) / 2) for box in boxes]


def collections(jobs: pd.DataFrame, **options: object) -> dict[str, PolyCollection]:
    """Draw, and give the bars by outcome."""
    drawn = timeline(jobs, **options).collections  # type: ignore[arg-type] # options are limit or slots
    return {str(bars.get_gid()): bars for bars in drawn if isinstance(bars, PolyCollection)}


class TestTimeline:
    """`timeline`."""

    def test_a_bar_spans_the_job(self) -> None:
        """A bar starts where the job starts and ends where it ends."""
        drawn = collections(jobs(("vc-1", "success", NIGHT, NIGHT + HOUR)))
        assert bars(drawn["success"]) == [
            (date2num(NIGHT), date2num(NIGHT + HOUR), 0.0),
        ]

    def test_outcomes_differ_in_colour_and_hatch(self) -> None:
        """Each outcome has a colour, and a hatch that tells it apart without colour."""
        outcomes = list(OUTCOME_LOOKS)
        drawn = collections(
            jobs(*((f"vc-{place}", out, NIGHT, NIGHT + HOUR) for place, out in enumerate(outcomes)))
        )
        assert set(drawn) == set(outcomes)
        assert len({bars.get_hatch() for bars in drawn.values()}) == len(outcomes)
        assert len({tuple(bars.get_edgecolor()[0]) for bars in drawn.values()}) == len(outcomes)

    def test_a_running_job_is_open_ended(self) -> None:
        """A job without an end reaches to the last moment in the data and carries an arrow."""
        ax = timeline(jobs(("vc-1", "open", NIGHT, None)))
        (running,) = ax.collections
        assert bars(running)[0][1] == date2num(NIGHT + 3 * HOUR)  # type: ignore[arg-type] # the one collection is of bars
        (arrow,) = (line for line in ax.lines if line.get_marker() == ">")
        assert np.ravel(arrow.get_xdata()).tolist() == [date2num(NIGHT + 3 * HOUR)]

    def test_the_worst_is_on_top(self) -> None:
        """Who has no success comes first, then who has the oldest."""
        ax = timeline(
            jobs(
                ("vc-fresh", "success", NIGHT, NIGHT + HOUR),
                ("vc-stale", "success", NIGHT - 24 * HOUR, NIGHT - 23 * HOUR),
                ("vc-never", "failure", NIGHT, NIGHT + HOUR),
            )
        )
        assert [text.get_text() for text in ax.get_yticklabels()] == [
            "vc-never",
            "vc-stale",
            "vc-fresh",
        ]
        bottom, top = ax.get_ylim()
        assert bottom > top

    def test_the_rest_is_counted(self) -> None:
        """Rows beyond the limit are counted in a caption, not dropped in silence."""
        ax = timeline(
            jobs(*((f"vc-{n}", "success", NIGHT + n * HOUR, None) for n in range(5))), limit=2
        )
        assert len(ax.get_yticks()) == 2
        assert "and 3 more" in ax.texts[0].get_text()

    def test_expected_runs_are_marked(self) -> None:
        """An expected run is a tick on its appliance's row, even where nothing ever ran."""
        slots = SLOTS.frame({"appliance": ["vc-2"], "slot": [NIGHT]})
        ax = timeline(jobs(("vc-1", "success", NIGHT, NIGHT + HOUR)), slots=slots)
        (marks,) = (line for line in ax.lines if line.get_label() == "expected")
        assert np.ravel(marks.get_xdata()).tolist() == [date2num(NIGHT)]
        assert [text.get_text() for text in ax.get_yticklabels()] == ["vc-2", "vc-1"]

    def test_only_expected_runs(self) -> None:
        """Expected runs alone are drawn, without a legend of outcomes."""
        slots = SLOTS.frame({"appliance": ["vc-2"], "slot": [NIGHT]})
        ax = timeline(JOBS.empty(), slots=slots)
        assert ax.get_legend() is None

    def test_the_axis_names_its_zone(self) -> None:
        """The time axis says UTC."""
        ax = timeline(jobs(("vc-1", "success", NIGHT, NIGHT + HOUR)))
        assert ax.get_xlabel() == "time (UTC)"

    def test_an_unknown_outcome_is_other(self) -> None:
        """An outcome nobody foresaw is drawn as not known."""
        assert set(collections(jobs(("vc-1", "exploded", NIGHT, NIGHT + HOUR)))) == {"other"}

    def test_nothing_to_draw_says_so(self) -> None:
        """Without a job the axes hold a sentence; a job without a start is none."""
        for nothing in (JOBS.empty(), jobs(("vc-1", "void", None, None))):
            ax = timeline(nothing)
            assert "No backup job" in ax.texts[0].get_text()

    def test_the_callers_axes_are_used(self) -> None:
        """Axes handed in are drawn on and given back."""
        own = Figure().subplots()
        assert timeline(jobs(("vc-1", "success", NIGHT, NIGHT + HOUR)), ax=own) is own

    def test_the_input_is_unchanged(self) -> None:
        """Drawing changes nothing in the frame."""
        given = jobs(("vc-1", "open", NIGHT, None))
        before = given.copy(deep=True)
        timeline(given)
        pd.testing.assert_frame_equal(given, before)


def observations(*rows: tuple[str, str, int, float | None]) -> pd.DataFrame:
    """Build observations from (appliance, job, minutes, progress)."""
    return OBSERVATIONS.frame(
        {
            "appliance": [row[0] for row in rows],
            "job_id": [row[1] for row in rows],
            "observed_at": [NIGHT + pd.Timedelta(minutes=row[2]) for row in rows],
            "state": ["INPROGRESS"] * len(rows),
            "progress": [row[3] for row in rows],
        }
    )


class TestProgress:
    """`progress`."""

    def test_one_curve_a_job_in_order_of_time(self) -> None:
        """Each job has one curve through its observations, in the order of their time."""
        ax = progress(observations(("vc-1", "7", 9, 40), ("vc-1", "7", 0, 0), ("vc-2", "7", 4, 12)))
        curves = {line.get_label(): np.ravel(line.get_ydata()).tolist() for line in ax.lines}
        assert curves == {"vc-1 7": [0.0, 40.0], "vc-2 7": [12.0]}

    def test_the_rest_is_counted(self) -> None:
        """Jobs beyond the limit are counted; those seen last are drawn."""
        ax = progress(
            observations(("vc-1", "old", 0, 1), ("vc-1", "new", 9, 1), ("vc-1", "mid", 5, 1)),
            limit=2,
        )
        assert [line.get_label() for line in ax.lines] == ["vc-1 new", "vc-1 mid"]
        assert "and 1 more" in ax.texts[0].get_text()

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
        assert "No job was seen running" in progress(seen).texts[0].get_text()

    def test_no_progress_says_so(self) -> None:
        """Observations without progress leave a sentence."""
        ax = progress(observations(("vc-1", "7", 0, None)))
        assert "No job was seen running" in ax.texts[0].get_text()
