"""Jobs over time."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.dates import date2num
from matplotlib.patches import Rectangle

from backupkit.plots import timeline
from backupkit.plots.picture import render_png
from backupkit.plots.themes import ORANGE, OUTCOME_STYLES
from backupkit.tables import ANOMALIES, JOBS, RUNNING, SLOTS

NIGHT = pd.Timestamp("2026-11-08T01:00Z")
HOUR = pd.Timedelta(hours=1)
DAY = pd.Timedelta(days=1)


def jobs(*rows: tuple[str, str, pd.Timestamp | None, pd.Timestamp | None]) -> pd.DataFrame:
    """Build jobs from (appliance, outcome, start, end)."""
    columns = ("appliance", "outcome", "start_time", "end_time")
    values = {name: [row[place] for row in rows] for place, name in enumerate(columns)}
    return JOBS.frame({**values, "last_seen_at": [NIGHT + 3 * HOUR] * len(rows)})


def bars(collection: PolyCollection) -> list[tuple[float, float, float]]:
    """Return (left, right, middle) of each bar of an artist."""
    boxes = [path.get_extents() for path in collection.get_paths()]
    return [(box.x0, box.x1, (box.y0 + box.y1) / 2) for box in boxes]


def collections(jobs: pd.DataFrame, **options: object) -> dict[str, PolyCollection]:
    """Draw and return the bars by outcome."""
    drawn = timeline(jobs, **options).collections  # type: ignore[arg-type] # options are limit or slots
    return {str(bars.get_gid()): bars for bars in drawn if isinstance(bars, PolyCollection)}


def patches(ax: Axes, gid: str) -> list[Rectangle]:
    """Return the rectangles of a kind, in the order of the rows."""
    found = [patch for patch in ax.patches if patch.get_gid() == gid]
    return sorted((patch for patch in found if isinstance(patch, Rectangle)), key=Rectangle.get_y)


class TestTimeline:
    """`timeline`."""

    def test_a_bar_spans_the_job(self) -> None:
        """A bar starts where the job starts and ends where it ends."""
        drawn = collections(jobs(("vc-1", "success", NIGHT, NIGHT + HOUR)))
        assert bars(drawn["success"]) == [
            (date2num(NIGHT), date2num(NIGHT + HOUR), 0.0),
        ]

    def test_outcomes_differ_in_colour_and_hatch(self) -> None:
        """Each outcome has a colour, and a hatch that distinguishes it without colour."""
        outcomes = list(OUTCOME_STYLES)
        drawn = collections(
            jobs(*((f"vc-{place}", out, NIGHT, NIGHT + HOUR) for place, out in enumerate(outcomes)))
        )
        assert set(drawn) == set(outcomes)
        assert len({bars.get_hatch() for bars in drawn.values()}) == len(outcomes)
        assert len({tuple(bars.get_edgecolor()[0]) for bars in drawn.values()}) == len(outcomes)

    @pytest.mark.parametrize(("span", "shown"), [(HOUR, True), (HOUR / 60, False)])
    def test_hatch_of_a_thin_bar(self, span: pd.Timedelta, *, shown: bool) -> None:
        """A hatch is not drawn in bars of less than a pixel, where it cannot be seen."""
        given = jobs(("vc-1", "failure", NIGHT, NIGHT + span))
        drawn, plain = (timeline(given, start=NIGHT, end=NIGHT + 100 * HOUR) for _ in range(2))
        plain.collections[0].set_hatch("")
        assert (render_png(drawn) != render_png(plain)) == shown
        assert drawn.collections[0].get_hatch() == OUTCOME_STYLES["failure"].hatch

    def test_a_running_job_is_open_ended(self) -> None:
        """A job without an end reaches to the last time in the data and has an arrow."""
        ax = timeline(jobs(("vc-1", "open", NIGHT, None)))
        (running,) = patches(ax, "open")
        assert running.get_x() + running.get_width() == date2num(NIGHT + 3 * HOUR)
        (arrow,) = (line for line in ax.lines if line.get_marker() == ">")
        assert np.ravel(arrow.get_xdata()).tolist() == [date2num(NIGHT + 3 * HOUR)]

    def test_a_vanished_job_ends_there(self) -> None:
        """A vanished job without an end ends when it vanished."""
        given = jobs(("vc-1", "open", NIGHT, None))
        given["vanished_at"] = NIGHT + HOUR
        ax = timeline(given)
        (bar,) = ax.collections
        assert bars(bar)[0][1] == date2num(NIGHT + HOUR)  # type: ignore[arg-type] # the one collection is of bars
        assert not ax.lines

    def test_the_worst_is_on_top(self) -> None:
        """Appliances without a success come first, then those with the oldest."""
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

    def test_omitted_rows_are_counted(self) -> None:
        """Rows beyond the limit are counted in a caption."""
        ax = timeline(
            jobs(*((f"vc-{n}", "success", NIGHT + n * HOUR, None) for n in range(5))), limit=2
        )
        assert len(ax.get_yticks()) == 2
        assert "and 3 more" in ax.texts[0].get_text()

    def test_expected_runs_are_marked(self) -> None:
        """An expected run is a tick on its appliance's row, even without a job."""
        slots = SLOTS.frame({"appliance": ["vc-2"], "slot": [NIGHT]})
        ax = timeline(jobs(("vc-1", "success", NIGHT, NIGHT + HOUR)), slots=slots)
        (marks,) = (line for line in ax.lines if line.get_label() == "expected")
        assert np.ravel(marks.get_xdata()).tolist() == [date2num(NIGHT)]
        assert [text.get_text() for text in ax.get_yticklabels()] == ["vc-2", "vc-1"]

    def test_only_expected_runs(self) -> None:
        """Expected runs are drawn without jobs, with their own legend."""
        slots = SLOTS.frame({"appliance": ["vc-2"], "slot": [NIGHT]})
        legend = timeline(JOBS.empty(), slots=slots).get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["expected"]

    def test_the_axis_names_its_zone(self) -> None:
        """The time axis has the label UTC."""
        ax = timeline(jobs(("vc-1", "success", NIGHT, NIGHT + HOUR)))
        assert ax.get_xlabel() == "time (UTC)"

    def test_an_unknown_outcome_is_other(self) -> None:
        """An unknown outcome is drawn as other."""
        assert set(collections(jobs(("vc-1", "exploded", NIGHT, NIGHT + HOUR)))) == {"other"}

    def test_states_give_rows_and_caption(self) -> None:
        """Rows follow the states, also without a job; the caption counts the others."""
        states = pd.Series(
            ["breach", "unknown", "compliant", "compliant"], index=["vc-9", "vc-1", "vc-2", "vc-3"]
        )
        given = jobs(("vc-1", "success", NIGHT, NIGHT + HOUR))
        ax = timeline(given, states=states, limit=2)
        assert [text.get_text() for text in ax.get_yticklabels()] == ["vc-9", "vc-1"]
        assert [text.get_text() for text in ax.texts] == [
            "in breach: no job and no expected run",
            "and 2 more, all compliant",
        ]
        assert ax.get_title("left") == "Backup jobs of 4 appliances"
        one = timeline(given, states=states, limit=1)
        assert one.texts[-1].get_text() == "and 3 more: 1 unknown, 2 compliant"
        assert all(text.get_gid() == "blank" for text in timeline(given, states=states).texts)

    def test_empty_rows_say_why(self) -> None:
        """A row without a job and an expected run says why, a row with one of them nothing."""
        kinds = ["breach", "unknown", "excluded", "unobserved", "compliant"]
        states = pd.Series([*kinds, "breach", "breach"], index=[*kinds, "run", "slot"])
        slots = SLOTS.frame({"appliance": ["slot"], "slot": [NIGHT]})
        ax = timeline(jobs(("run", "open", NIGHT, None)), slots=slots, states=states)
        notes = {text.get_position()[1]: text.get_text() for text in ax.texts if text.get_gid()}
        notes = {row: text for row, text in notes.items() if row < len(kinds)}
        assert list(notes.values()) == [
            "in breach: no job and no expected run",
            "unknown: could not be read",
            "excluded",
            "not observed: not read yet",
            "no job and no expected run",
        ]
        assert sum(text.get_gid() == "blank" for text in ax.texts) == len(kinds)

    def test_the_period_is_the_axis(self) -> None:
        """Start and end are the limits of the axis; a running job reaches to the end."""
        ax = timeline(jobs(("vc-1", "open", NIGHT, None)), start=NIGHT - HOUR, end=NIGHT + 5 * HOUR)
        assert ax.get_xlim() == (date2num(NIGHT - HOUR), date2num(NIGHT + 5 * HOUR))
        (running,) = patches(ax, "open")
        assert running.get_x() + running.get_width() == date2num(NIGHT + 5 * HOUR)

    def test_only_what_is_in_the_period_is_drawn(self) -> None:
        """Jobs outside the period have no bar, but order the rows."""
        given = jobs(
            ("vc-1", "success", NIGHT, NIGHT + HOUR),
            ("vc-2", "success", NIGHT + 4 * HOUR, NIGHT + 7 * HOUR),
            ("vc-2", "success", NIGHT + 9 * HOUR, NIGHT + 10 * HOUR),
        )
        ax = timeline(given, start=NIGHT + 5 * HOUR, end=NIGHT + 8 * HOUR)
        (drawn,) = ax.collections
        assert [bar[2] for bar in bars(drawn)] == [1]  # type: ignore[arg-type] # the one collection is of bars
        assert [text.get_text() for text in ax.get_yticklabels()] == ["vc-1", "vc-2"]

    def test_very_many_rows_have_no_names(self) -> None:
        """Above 60 rows they are numbered, and the size of the figure is limited."""
        given = jobs(*((f"vc-{n:03}", "success", NIGHT, NIGHT + HOUR) for n in range(61)))
        ax = timeline(given, limit=100)
        assert ax.get_ylabel() == "appliance, in order"
        assert ax.figure.get_figheight() < 20  # type: ignore[union-attr] # a figure, not a part of one

    def test_categories(self) -> None:
        """Categories are drawn like texts."""
        given = jobs(
            ("vc-2", "success", NIGHT, NIGHT + HOUR), ("vc-1", "failure", NIGHT, NIGHT + HOUR)
        )
        same = given.astype({"appliance": "category", "outcome": "category"})
        for one, other in zip(collections(given).values(), collections(same).values(), strict=True):
            assert bars(one) == bars(other)

    def test_very_many_jobs_are_counted_in_cells(self) -> None:
        """Above 10,000 jobs the picture is one image with the most serious outcome of each cell."""
        count = 10_001
        given = JOBS.frame(
            {
                "appliance": ["vc-1"] * (count - 1) + ["vc-2"],
                "outcome": ["success"] * (count - 1) + ["failure"],
                "start_time": [NIGHT + place * pd.Timedelta("1min") for place in range(count)],
            }
        )
        ax = timeline(given)
        (image,) = ax.images
        cells = np.asarray(image.get_array())
        assert cells.shape[0] == 2
        failed, good = cells  # vc-2 has no success, so it is on top
        assert failed[-1, :3] == pytest.approx(to_rgb(OUTCOME_STYLES["failure"].colour))
        assert failed[:-1, 3].max() == 0
        assert (good[:-1, 3] > 0).all()
        legend = ax.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["failed", "succeeded"]

    def test_the_cells_are_those_of_the_period(self) -> None:
        """Only jobs in the period are counted; one from before is at its edge."""
        count = 10_002  # the newest one is drawn as running
        given = JOBS.frame(
            {
                "appliance": ["vc-1"] * count,
                "outcome": ["open"] * count,
                "start_time": [NIGHT + place * pd.Timedelta("1min") for place in range(count)],
            }
        )
        start = NIGHT + 100 * HOUR
        (image,) = timeline(given, start=start).images
        assert image.get_extent()[0] == date2num(start)
        assert not timeline(given, end=NIGHT + HOUR).images

    def test_nightly_jobs_have_no_gaps(self) -> None:
        """In a year of nightly jobs each night has a cell: no empty column between others."""
        nights = pd.date_range(NIGHT - 400 * DAY, periods=401, freq="D")
        given = pd.concat(
            JOBS.frame(
                {
                    "appliance": [f"vc-{n:02}"] * 401,
                    "outcome": ["success"] * 401,
                    "start_time": (nights + pd.Timedelta(minutes=n)).to_series(),
                }
            )
            for n in range(26)
        )
        ax = timeline(given, limit=26)
        (image,) = ax.images
        cells = np.asarray(image.get_array())
        assert (cells[:, :, 3] > 0).all()
        left, right, _, _ = image.get_extent()
        assert (right - left) / cells.shape[1] == 1


PAST = [("vc-1", "success", NIGHT - n * DAY, NIGHT - n * DAY + HOUR) for n in range(1, 11)]
"""Ten runs of an hour each."""


def running(progress: float | None) -> pd.DataFrame:
    """Build the ten runs, and one that began at NIGHT and was seen half an hour later."""
    frame = jobs(*PAST, ("vc-1", "open", NIGHT, None))
    frame["progress"] = pd.Series([100.0] * 10 + [progress], dtype="Float64")
    frame["last_seen_at"] = NIGHT + HOUR / 2
    return frame


class TestRunning:
    """Running jobs in the timeline."""

    def test_the_filled_part_is_the_progress(self) -> None:
        """At 50 % after half an hour, the end is in half an hour, and half of the bar is filled.

        Own pace and earlier runs agree: 0.5 x 30 min + 0.5 x (60 - 30) min are left.
        """
        ax = timeline(running(50), end=NIGHT + HOUR / 2)
        (bar,), (done,) = patches(ax, "open"), patches(ax, "progress")
        assert bar.get_x() == date2num(NIGHT)
        assert bar.get_width() == pytest.approx(1 / 24)
        assert done.get_width() == pytest.approx(bar.get_width() / 2)
        assert [text.get_text() for text in ax.texts] == ["50 %, done 02:00"]
        assert ax.get_xlim()[1] == pytest.approx(date2num(NIGHT + HOUR))
        (now,) = (line for line in ax.lines if line.get_gid() == "now")
        assert np.ravel(now.get_xdata())[0] == date2num(NIGHT + HOUR / 2)

    def test_the_range_is_of_the_own_past(self) -> None:
        """With runs of 50 to 68 min, the whisker spans their 10 % and 90 % quantile.

        At 50 % after 30 min the own pace has half of the weight: 30 min left. The quantiles are
        51.8 and 66.2 min: 0.5 x 30 + 0.5 x 21.8 = 25.9 and 0.5 x 30 + 0.5 x 36.2 = 33.1 min.
        """
        frame = running(50)
        frame.loc[range(10), "end_time"] = [
            start + pd.Timedelta(minutes=50 + 2 * n)
            for n, start in enumerate(frame["start_time"][:10])
        ]
        ax = timeline(frame, end=NIGHT + HOUR / 2)
        (whisker,) = (line for line in ax.lines if line.get_gid() == "usual end")
        minutes = (np.ravel(whisker.get_xdata()) - date2num(NIGHT)) * 24 * 60
        assert minutes == pytest.approx([55.9, 63.1])
        assert ax.texts[0].get_text() == "50 %, done 01:59 (01:55 to 02:03)"
        for width, text in ((5.0, "50 %"), (8.0, "50 %, done 01:59")):
            narrow = timeline(frame, end=NIGHT + HOUR / 2, figsize=(width, 3))
            assert narrow.texts[0].get_text() == text

    def test_no_range_without_enough_runs(self) -> None:
        """With nine earlier runs, the end has no range; without any and without progress no end."""
        ax = timeline(running(50).iloc[1:])
        assert not [line for line in ax.lines if line.get_gid() == "usual end"]
        assert ax.texts[0].get_text() == "50 %, done 02:00"
        alone = timeline(running(None).iloc[10:])
        assert alone.texts[0].get_text() == "running"
        assert not patches(alone, "progress")

    @pytest.mark.parametrize(
        ("kind", "text"),
        [("stall", "! stalled, 50 %"), ("overrun", "! longer than usual, 50 %")],
    )
    def test_what_is_wrong(self, kind: str, text: str) -> None:
        """A stalled job, and one that takes unusually long, say so in another colour."""
        anomalies = ANOMALIES.frame({"appliance": ["vc-1"], "start_time": [NIGHT], "kind": [kind]})
        ax = timeline(running(50), anomalies=anomalies, end=NIGHT + HOUR / 2)
        (bar,) = patches(ax, "open")
        assert ax.texts[0].get_text() == text
        assert to_hex(bar.get_edgecolor()) == ORANGE.lower()

    def test_an_old_observation_has_its_time(self) -> None:
        """If the progress was seen some time ago, the text says when; a day ago, with the date."""
        late = timeline(running(50), end=NIGHT + 2 * HOUR)
        assert late.texts[0].get_text() == "50 % at 01:30, end expected 02:00"
        later = timeline(running(50), end=NIGHT + 2 * DAY)
        assert later.texts[0].get_text() == (
            "50 % at 2026-11-08 01:30, end expected 2026-11-08 02:00"
        )

    def test_jobs_of_watch(self) -> None:
        """Jobs that are watched have their own estimates and stalls."""
        frame = RUNNING.frame(
            {
                "appliance": ["vc-1", "vc-2", "vc-3"],
                "job_id": ["1", "2", "3"],
                "state": ["INPROGRESS", "INPROGRESS", "SUCCEEDED"],
                "progress": [40, 60, 100],
                "start_time": [NIGHT] * 3,
                "end_time": [None, None, NIGHT + HOUR],
                "observed_at": [NIGHT + HOUR] * 3,
                "time_left": [HOUR, None, None],
                "stalled": [False, True, False],
            }
        )
        ax = timeline(frame)
        texts = [text.get_text() for text in ax.texts]
        assert sorted(texts) == ["! stalled, 60 %", "40 %, done 03:00"]

    def test_an_older_open_job_is_a_plain_bar(self) -> None:
        """Of several open jobs of an appliance, only the newest has progress."""
        frame = jobs(("vc-1", "open", NIGHT - DAY, None), ("vc-1", "open", NIGHT, None))
        ax = timeline(frame)
        assert len(patches(ax, "open")) == 1
        (older,) = ax.collections
        assert older.get_gid() == "open"

    def test_the_last_part(self) -> None:
        """`last` shows the part before the end; times may be texts."""
        ax = timeline(running(50), end="2026-11-08T04:00Z", last="6h")
        end = pd.Timestamp("2026-11-08T04:00Z")
        assert ax.get_xlim() == (date2num(end - 6 * HOUR), date2num(end))
