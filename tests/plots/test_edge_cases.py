"""Every plot with odd frames and hostile texts."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from backupkit import plots
from backupkit.plots.picture import render_svg
from backupkit.plots.themes import THEMES
from backupkit.tables import FAILURE_PARTS, FAILURES, INTERVALS, JOBS, SLOTS
from tests import builders

NIGHT = pd.Timestamp("2026-11-08T01:00Z")
HOUR = pd.Timedelta(hours=1)
TIME = "datetime64[us, UTC]"

HOSTILE = (
    "<script>alert(1)</script>",
    "$x^2$ costs $\\frac{",
    "\x1b[31mred\x1b[0m \x00\x07",
    "_hidden",
    "",
    "磁盘已满 \u202e",
    "a" * 1_000_000,
)


def jobs(
    appliance: str = "vc-1",
    outcome: str = "success",
    start: pd.Timestamp | None = NIGHT,
    end: pd.Timestamp | None = NIGHT + HOUR,
) -> pd.DataFrame:
    """Build one row with every column that a plot of jobs reads."""
    texts = {"appliance": appliance, "outcome": outcome, "signature": appliance}
    frame = pd.DataFrame({name: pd.Series([text], dtype="str") for name, text in texts.items()})
    frame["target"] = frame["appliance"]
    for name, moment in (("start_time", start), ("end_time", end), ("last_seen_at", end)):
        frame[name] = pd.Series([moment], dtype=TIME)
    frame["duration"] = frame["end_time"] - frame["start_time"]
    return frame


def several(*frames: pd.DataFrame) -> pd.DataFrame:
    """Join rows to a frame."""
    return pd.concat(frames, ignore_index=True)


def observations(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one observation of each job while it runs."""
    return frame.assign(
        job_id=frame["appliance"],
        observed_at=frame["start_time"],
        state="INPROGRESS",
        progress=40.0,
    )


def slots(frame: pd.DataFrame) -> pd.DataFrame:
    """Return an expected run for each job."""
    return frame.assign(slot=frame["start_time"], state="missed_failed")


def intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """Return an interval for each job."""
    ended = frame[frame["end_time"].notna() & frame["start_time"].notna()]
    return ended.assign(state="compliant", start=ended["start_time"], end=ended["end_time"])


def counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a signature for each job."""
    signatures = frame.drop_duplicates("signature")
    return signatures.assign(jobs=1, appliances=1, part=signatures["appliance"])


def seen(ax: Axes) -> list[Text]:
    """Return the visible texts of a picture."""
    texts = cast("list[Text]", ax.figure.findobj(Text))
    return [text for text in texts if text.get_visible() and text.get_text()]


def points(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a recovery point for each job."""
    return frame.assign(available=frame["end_time"], point=frame["start_time"])


Arguments = dict[str, object]

PLOTS: Mapping[str, tuple[Callable[..., Axes], Callable[[pd.DataFrame], Arguments]]] = {
    "timeline": (plots.timeline, lambda frame: {"jobs": frame, "slots": slots(frame)}),
    "progress": (plots.progress, lambda frame: {"observations": observations(frame)}),
    "matrix": (plots.matrix, lambda frame: {"slots": slots(frame)}),
    "failures": (plots.failures, lambda frame: {"failures": counts(frame)}),
    "parts": (plots.failures, lambda frame: {"failures": counts(frame), "by": counts(frame)}),
    "failure_matrix": (plots.failure_matrix, lambda frame: {"parts": counts(frame)}),
    "failures_over_time": (plots.failures_over_time, lambda frame: {"jobs": frame}),
    "compliance": (plots.compliance, lambda frame: {"intervals": intervals(frame)}),
    "durations": (plots.durations, lambda frame: {"jobs": frame}),
    "exposure": (
        plots.exposure,
        lambda frame: {"points": points(frame), "threshold": 26 * HOUR},
    ),
    "load": (plots.load, lambda frame: {"jobs": frame}),
}


def draw(plot: str, frame: pd.DataFrame, **options: object) -> Axes:
    """Draw a frame of jobs, or a frame made from it."""
    function, arguments = PLOTS[plot]
    return function(**arguments(frame), **options)


FRAMES: Mapping[str, pd.DataFrame] = {
    "empty": jobs().iloc[:0],
    "one row": jobs(),
    "all failed": several(jobs("a", "failure"), jobs("b", "failure")),
    "running now": jobs(outcome="open", end=None),
    "no start": several(jobs(start=None), jobs("b")),
    "no time at all": several(jobs(start=None, end=None), jobs("b", start=None, end=None)),
    "no length": jobs(end=NIGHT),
    "ended before it started": jobs(end=NIGHT - HOUR),
    "an outcome never seen": jobs(outcome="exploded"),
    "categories": several(jobs(), jobs("b", "failure")).astype(
        dict.fromkeys(("appliance", "outcome", "signature", "target"), "category")
    ),
    "a category without rows": several(jobs("a"), jobs("b"))
    .astype({"appliance": "category"})
    .iloc[:1],
    "an index of its own": several(jobs("a"), jobs("b", "failure")).set_index(pd.Index(["x", "x"])),
    "centuries": several(jobs(), jobs(start=NIGHT - 24 * 36_525 * HOUR)),
}


EXCLUDED = builders.frame(
    INTERVALS,
    [{"appliance": "a", "state": "excluded", "start": NIGHT, "end": NIGHT + HOUR}],
)


@pytest.mark.parametrize(
    ("draw_plot", "data", "sentence"),
    [
        (plots.compliance, EXCLUDED, "No appliance was in scope"),
        (plots.durations, jobs(outcome="open"), "No job has finished in this period"),
        (plots.exposure, points(jobs()).iloc[:0], "No recovery point is known"),
        (
            partial(plots.exposure, end=NIGHT + HOUR / 2),
            points(jobs()),
            "No recovery point is known",
        ),
        (plots.failures, FAILURES.empty(), "No backup job failed"),
        (plots.failure_matrix, FAILURE_PARTS.empty(), "No backup job failed"),
        (plots.failures_over_time, jobs().iloc[:0], "No backup job failed"),
        (
            plots.load,
            jobs().assign(target=pd.Series([None], dtype="str")),
            "No job has a known target",
        ),
        (plots.matrix, SLOTS.empty(), "No backup run"),
        (
            plots.progress,
            observations(jobs()).assign(progress=np.nan),
            "No job was observed running",
        ),
        (plots.timeline, JOBS.empty(), "No backup job"),
        (plots.timeline, jobs(outcome="void", start=None, end=None), "No backup job"),
    ],
)
def test_nothing_to_draw(
    draw_plot: Callable[[pd.DataFrame], Axes], data: pd.DataFrame, sentence: str
) -> None:
    """Without anything to draw the axes have a sentence."""
    assert sentence in draw_plot(data).texts[0].get_text()


@pytest.mark.parametrize("plot", PLOTS)
class TestEveryPlot:
    """All plots."""

    @pytest.mark.parametrize("frame", FRAMES)
    def test_odd_frames_are_drawn(self, plot: str, frame: str) -> None:
        """An odd frame has axes with finite limits and few ticks, and is unchanged."""
        given = FRAMES[frame]
        before = given.copy(deep=True)
        ax = draw(plot, given)
        assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()
        assert len(ax.get_xticks()) < 20
        pd.testing.assert_frame_equal(given, before)

    def test_hostile_texts_are_plain_and_cut(self, plot: str) -> None:
        """Markup, formulas, escapes and a long text are drawn as short plain text."""
        given = several(*(jobs(text, "failure") for text in HOSTILE))
        ax = draw(plot, given)
        document = render_svg(ax)
        assert b"<script>" not in document
        assert b"\x1b" not in document
        texts = seen(ax)
        assert max(len(text.get_text()) for text in texts) < 100
        assert not any(text.get_parse_math() for text in texts if "$" in text.get_text())

    @pytest.mark.parametrize("theme", THEMES)
    def test_a_theme_colours_paper_and_text(self, plot: str, theme: str) -> None:
        """Background and texts have the colours of the theme."""
        active_theme = THEMES[theme]
        ax = draw(plot, several(jobs(), jobs("b", "failure")), theme=theme)
        assert to_hex(ax.figure.get_facecolor()) == active_theme.paper
        colours = {
            active_theme.ink,
            active_theme.muted,
            *(active_theme.of(colour) for colour in THEMES["dark"].colours),
        }
        assert {to_hex(text.get_color()) for text in seen(ax)} <= colours

    def test_given_axes_are_used(self, plot: str) -> None:
        """Given axes are drawn on and returned."""
        own = Figure().subplots()
        given = several(jobs(), jobs("b", "failure"))
        assert draw(plot, given, ax=own) is own
