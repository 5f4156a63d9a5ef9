"""Sources of plots: an assessment, or a frame with the right columns."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backupkit import Assessment, failures_by, plots
from backupkit.errors import SettingsError, TableError
from backupkit.plots.picture import render_png
from tests import builders

PLOTS_OF_AN_ASSESSMENT = (
    *(plots.timeline, plots.matrix, plots.failures, plots.failure_matrix),
    *(plots.failures_over_time, plots.compliance, plots.exposure, plots.durations, plots.load),
)


@cache
def week() -> Assessment:
    """Return one assessment for all tests."""
    return builders.assess_week()


class TestAssessments:
    """An assessment as the source."""

    @pytest.mark.parametrize("plot", PLOTS_OF_AN_ASSESSMENT)
    def test_a_picture_of_a_size(self, plot: Callable[..., Axes]) -> None:
        """Every plot but `progress` draws an assessment, in the size that is asked for."""
        ax = plot(week(), figsize=(7, 3), theme="dark")
        figure = ax.get_figure(root=True)
        assert figure is not None
        assert figure.get_size_inches().tolist() == [7, 3]
        assert render_png(ax).startswith(b"\x89PNG")

    def test_the_same_as_its_frames(self) -> None:
        """The picture of an assessment is that of its frames."""
        a = week()
        given = plots.matrix(a.slots, states=a.figures["state"], intervals=a.intervals)
        assert render_png(plots.matrix(a)) == render_png(given)
        parts = failures_by(a, by="site")
        assert render_png(plots.failures(a, by="site")) == render_png(
            plots.failures(a.failures, by=parts)
        )

    def test_recovery_points(self) -> None:
        """The newest recovery point of each appliance is as old as its exposure."""
        a = week()
        points = a.recovery_points
        newest = points[points["available"] <= a.end].groupby("appliance")["point"].max()
        exposed = a.figures["exposure"].dropna().drop("vc-shaky")  # its clock is 9 min behind
        assert (a.end - newest).reindex(exposed.index).to_list() == exposed.to_list()

    def test_a_property_that_is_none(self) -> None:
        """A property by which failures cannot be divided is an error that names those that can."""
        with pytest.raises(SettingsError, match='by: "nonsense" must be one of appliance, site'):
            plots.failures(week(), by="nonsense")


class TestColumns:
    """Frames without the columns that a plot reads."""

    @pytest.mark.parametrize(
        ("plot", "frame", "words"),
        [
            (
                plots.exposure,
                "jobs",
                [
                    "plots.exposure: the frame has no columns available and point.",
                    "It looks like a.jobs.",
                    "Call plots.exposure(a) or plots.exposure(a.recovery_points).",
                ],
            ),
            (plots.timeline, "slots", ["no columns outcome, start_time and end_time", "a.slots"]),
            (plots.matrix, "jobs", ["states are not those of slots", "plots.matrix(a.slots)"]),
            (plots.matrix, "intervals", ["no column slot.", "plots.matrix(a.slots)"]),
            (plots.failures, "jobs", ["no columns jobs and appliances", "plots.failures(a)"]),
            (plots.failure_matrix, "failures", ["no column part", "bk.failures_by(a)"]),
            (plots.failures_over_time, "failures", ["no column end_time", "a.jobs"]),
            (plots.compliance, "jobs", ["no columns start and end", "a.intervals"]),
            (plots.durations, "slots", ["no columns outcome, start_time and duration"]),
            (plots.load, "slots", ["no columns location, start_time and end_time", "a.jobs"]),
            (
                plots.progress,
                "slots",
                [
                    "no columns observed_at, start_time, end_time and progress",
                    "Call plots.progress(history.observations()).",
                ],
            ),
        ],
    )
    def test_missing_ones_are_named(
        self, plot: Callable[..., Axes], frame: str, words: list[str]
    ) -> None:
        """The error names what is missing, the frame that was given, and what to call instead."""
        with pytest.raises(TableError) as caught:
            plot(getattr(week(), frame))
        for word in words:
            assert word in caught.value.text

    @pytest.mark.parametrize(
        ("plot", "arguments", "words"),
        [
            (plots.timeline, {"slots": "intervals"}, "the frame of slots= has no column slot"),
            (plots.timeline, {"anomalies": "jobs"}, "the frame of anomalies= has no column kind"),
            (plots.matrix, {"intervals": "slots"}, "the frame of intervals= has no columns start"),
            (plots.durations, {"anomalies": "slots"}, "has no columns start_time and kind"),
            (plots.load, {"loads": "slots"}, "the frame of loads= has no column planned_peak"),
        ],
    )
    def test_of_other_arguments(
        self, plot: Callable[..., Axes], arguments: dict[str, str], words: str
    ) -> None:
        """The error names the argument."""
        frames = {name: getattr(week(), frame) for name, frame in arguments.items()}
        with pytest.raises(TableError) as caught:
            plot(week(), **frames)
        assert words in caught.value.text

    def test_no_frame(self) -> None:
        """Another object is an error that says what can be drawn."""
        nothing: Any = [1, 2]
        with pytest.raises(TableError, match=r"plots\.load: the first argument is of type list"):
            plots.load(nothing)
        with pytest.raises(TableError, match="the source is of type Assessment, and must be a"):
            plots.progress(week())  # type: ignore[arg-type] # it has no observations

    def test_a_frame_of_ones_own(self) -> None:
        """A frame that is none of backupkit's is not said to be one."""
        with pytest.raises(TableError) as caught:
            plots.load(pd.DataFrame({"x": [1]}))
        assert "looks like" not in caught.value.text


def test_targets_of_locations() -> None:
    """Without a target, the load is that of the jobs' locations."""
    jobs = week().jobs.drop(columns="target")
    jobs["location"] = "sftp://user:secret@NAS.example.test:22/vc"
    label = plots.load(jobs).get_yticklabels()[0].get_text()
    assert label.startswith("sftp://nas.example.test: at most ")


class TestGivenAxes:
    """Axes of the user's own figure."""

    @pytest.mark.parametrize("plot", PLOTS_OF_AN_ASSESSMENT)
    def test_nothing_is_cut(self, plot: Callable[..., Axes]) -> None:
        """Title and axis labels lie inside a small figure."""
        figure = Figure(figsize=(4.5, 3))
        ax = plot(week(), ax=figure.subplots())
        figure.draw_without_rendering()
        box = figure.bbox
        for text in (ax.title, ax.xaxis.label, ax.yaxis.label):
            if text.get_text():
                extent = text.get_window_extent()
                assert extent.y1 <= box.y1
                assert extent.y0 >= box.y0
                assert extent.x1 <= box.x1
                assert extent.x0 >= box.x0

    def test_a_new_title_replaces_ours(self) -> None:
        """`set_title` leaves one title, on the user's axes and on our own."""
        own = Figure().subplots()
        for ax in (plots.matrix(week(), ax=own), plots.matrix(week())):
            ax.set_title("Mine")
            render_png(ax)
            legend = ax.get_legend()
            assert legend is not None
            title = ax.title if ax is own else ax._left_title  # type: ignore[attr-defined]
            assert not title.get_window_extent().overlaps(legend.get_window_extent())
            titles = [ax.get_title(side) for side in ("left", "center", "right")]
            assert sorted(titles) == ["", "", "Mine"]

    def test_a_title_in_the_middle(self) -> None:
        """A title that the user puts in the middle of our axes stays there."""
        ax = plots.matrix(week())
        ax.set_title("")
        ax.set_title("Mine", loc="center")
        render_png(ax)
        box = ax.title.get_window_extent()
        assert (box.x0 + box.x1) / 2 == pytest.approx((ax.bbox.x0 + ax.bbox.x1) / 2)

    def test_a_layout_is_kept(self) -> None:
        """The layout engine that the user has chosen stays."""
        figure = Figure(layout="tight")
        engine = figure.get_layout_engine()
        plots.load(week(), ax=figure.subplots())
        assert figure.get_layout_engine() is engine


def test_an_empty_figure_is_small() -> None:
    """A figure of our own without data is half an inch high; given axes keep their size."""
    empty = week().slots.iloc[:0]
    figure = plots.matrix(empty).get_figure(root=True)
    assert figure is not None
    assert figure.get_figheight() < 0.6
    own = Figure(figsize=(5, 4))
    plots.matrix(empty, ax=own.subplots())
    assert own.get_figheight() == 4


def test_names() -> None:
    """The package lists its plots, and none of its modules."""
    assert dir(plots) == sorted(plots.__all__)
