"""The explorer without a browser, with the events that a page sends."""

import base64
import csv
import importlib
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import html5lib
import ipywidgets
import numpy as np
import pandas as pd
import pytest

import backupkit
from backupkit import Assessment, tables
from backupkit.errors import one_line
from backupkit.plots.themes import THEMES
from backupkit.policy import Member, Policy
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES
from backupkit.widgets import Explorer, Selection, explore
from backupkit.widgets.explorer_data import ExplorerData
from tests.builders import frame, message, schedule
from tests.widgets.conftest import DATA, find, walk
from tests.widgets.conftest import NOW as SAMPLE_NOW

END = pd.Timestamp("2026-11-09T00:00Z")
DAY = pd.Timedelta(days=1)
EVIL = "<script>alert(1)</script> $x^2$ \x1b[31mred"
TABS = ["Overview", "Appliances", "Timeline", "Matrix", "Failures", "Durations", "Jobs"]
NAMES = ["vc-ham", "vc-nyc"]
SEARCH = "Search appliances, jobs and messages"


class Fleet:
    """The methods of a history that the explorer calls. One appliance always fails."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        starts = [END - DAY * back + pd.Timedelta(hours=1) for back in range(1, 41)]
        appliance = [name for name in NAMES for _ in starts]
        start = starts * 2
        failed = [name == "vc-nyc" for name in appliance]
        took = [pd.Timedelta(minutes=20 + place % 7) for place in range(len(start))]
        self._jobs = JOBS.frame(
            {
                "appliance": appliance,
                "job_id": [f"{moment:%Y%m%d-%H%M%S}-1" for moment in start],
                "outcome": ["failure" if bad else "success" for bad in failed],
                "type": ["MANUAL" if bad else "SCHEDULED" for bad in failed],
                "size": range(len(start)),
                "location": [f"sftp://nas-{name}.example.com/vc" for name in appliance],
                "start_time": start,
                "end_time": [moment + span for moment, span in zip(start, took, strict=True)],
                "duration": took,
                "messages": [[message(EVIL)] if bad else [] for bad in failed],
            }
        )
        self._polls = POLLS.frame({"appliance": NAMES, "polled_at": [END] * 2, "ok": [True] * 2})
        self._observations = OBSERVATIONS.frame(
            {
                "appliance": ["vc-ham"] * 2,
                "job_id": ["1"] * 2,
                "state": ["INPROGRESS"] * 2,
                "observed_at": [END - DAY / 2, END - DAY / 3],
                "progress": [10.0, 20.0],
            }
        )

    def view(self, *, at: object = None) -> tables.HistoryView:
        """Return the jobs, the polls and a schedule for each appliance."""
        self.asked.append(at)
        schedules = frame(SCHEDULES, [schedule(name, seen_at=END - 60 * DAY) for name in NAMES])
        return tables.HistoryView(self._jobs, self._polls, schedules)

    def observations(self, **asked: object) -> pd.DataFrame:
        """Return the observations."""
        self.asked.append(asked)
        return self._observations


POLICY = Policy(
    members=[
        Member(appliance="vc-ham", site="Hamburg", group="production"),
        Member(appliance="vc-nyc", site="New York", group="edge"),
    ]
)


@pytest.fixture(scope="module")
def known() -> ExplorerData:
    """Evaluate two appliances, one of which always fails."""
    return ExplorerData(Fleet(), POLICY, now=END)


@pytest.fixture
def explorer(known: ExplorerData, tmp_path: Path) -> Explorer:
    """Return an explorer of them."""
    return Explorer(known, Selection(last="7d"), folder=tmp_path)


def judged(explorer: Explorer) -> Assessment:
    """Return the assessment of the selection."""
    assert explorer.assessment is not None
    return explorer.assessment


def texts_of(explorer: Explorer) -> str:
    """Return all texts of the explorer, as HTML."""
    kinds = {"HTML", "TablePage"}
    return "\n".join(str(one.value) for one in walk(explorer.box) if type(one).__name__ in kinds)


def canvas(explorer: Explorer) -> Any:  # noqa: ANN401 # anywidget says no types
    """Return the timeline that the page draws."""
    (found,) = (widget for widget in walk(explorer.box) if hasattr(widget, "runs"))
    return found


def grid(explorer: Explorer) -> Any:  # noqa: ANN401 # anywidget says no types
    """Return the grid of the open tab that the page draws."""
    box = find(explorer.box, selected_index=TABS.index(explorer.tab))
    tab = box.children[box.selected_index]
    (found,) = (widget for widget in walk(tab) if getattr(widget, "grid", {}))
    return found


def choose_cell(explorer: Explorer, row: int, column: int) -> None:
    """Choose a cell of the grid of the open tab, with the message of a page."""
    widget = grid(explorer)
    cell = {"row": row, "column": column, "serial": widget.grid["serial"]}
    widget._handle_custom_msg({"kind": "cell", **cell}, [])


def ask_cell(explorer: Explorer, row: int, column: int) -> str:
    """Return what the kernel says of a cell of the grid of the open tab."""
    widget = grid(explorer)
    answers: list[dict[str, Any]] = []
    widget.send = answers.append
    cell = {"row": row, "column": column, "serial": widget.grid["serial"]}
    widget._handle_custom_msg({"kind": "describe", **cell}, [])
    (answer,) = answers
    return str(answer["text"])


def pictures(explorer: Explorer) -> list[Any]:
    """Return the visible pictures of the open tab."""
    box = find(explorer.box, selected_index=TABS.index(explorer.tab))
    return pictures_in(box.children[box.selected_index])


def pictures_in(widget: ipywidgets.Widget) -> list[Any]:
    """Return the visible pictures in a widget."""
    return [found for found in walk(widget) if getattr(found, "src", "")]


class TestSelection:
    """Appliances and period."""

    def test_all_at_first(self, explorer: Explorer) -> None:
        """By default every appliance is evaluated over the given period."""
        assert explorer.value == Selection(last="7d")
        assert list(judged(explorer).appliances.index) == ["vc-nyc", "vc-ham"]
        assert judged(explorer).start == END - 7 * DAY

    def test_choosing_an_appliance(self, explorer: Explorer) -> None:
        """A selection limits the assessment, the jobs and the verdict to it."""
        explorer.value = Selection(appliances=("vc-ham",), last="24h")
        assert list(judged(explorer).appliances.index) == ["vc-ham"]
        assert judged(explorer).verdict.state == "compliant"
        assert explorer.jobs["appliance"].tolist() == ["vc-ham"]
        assert "OK 1 of 1 now" in texts_of(explorer)

    def test_set_from_code(self, explorer: Explorer) -> None:
        """Each filter selects the rows with its value."""
        for chosen, jobs in (
            (Selection(sites=("New York",)), {"vc-nyc"}),
            (Selection(groups=("production",)), {"vc-ham"}),
            (Selection(states=("breach",)), {"vc-nyc"}),
            (Selection(outcomes=("success",)), {"vc-ham"}),
            (Selection(types=("MANUAL",)), {"vc-nyc"}),
            (Selection(text="NAS-VC-HAM"), {"vc-ham"}),
        ):
            explorer.value = chosen
            assert set(explorer.jobs["appliance"]) == jobs

    def test_given_by_name(self) -> None:
        """The first selection can be given by name; None means no filter."""
        explorer = explore(
            Fleet(), POLICY, now=END, appliances=None, sites=["Hamburg"], outcomes=["success"]
        )
        assert explorer.value == Selection(sites=("Hamburg",), outcomes=("success",))

    def test_a_snapshot_does_as_well(self) -> None:
        """A snapshot with frames as attributes is accepted, too."""
        fleet = Fleet()
        known = fleet.view()
        snapshot = SimpleNamespace(
            jobs=known.jobs,
            polls=known.polls,
            schedules=known.schedules,
            observations=fleet.observations(),
        )
        chosen = explore(
            snapshot, Policy(), appliances=["vc-ham"], last="24h", now=END, tab="Timeline"
        )
        assert chosen.value.appliances == ("vc-ham",)
        assert len(pictures(chosen)) == 1

    def test_the_past_is_asked_for(self) -> None:
        """The history is read once, as it was known at the given time."""
        fleet = Fleet()
        explore(fleet, Policy(), now=END)
        assert fleet.asked == [END]

    def test_observations_are_read_when_needed(self) -> None:
        """Only the timeline reads observations, and only those of the selected appliances."""
        fleet = Fleet()
        explorer = explore(fleet, Policy(), now=END, last="7d", appliances=["vc-ham"])
        explorer.tab = "Timeline"
        assert fleet.asked[1:] == [{"at": END, "since": END - 7 * DAY, "appliances": ["vc-ham"]}]

    @pytest.mark.parametrize(
        ("wrong", "why"),
        [
            (
                {"appliances": ("vc-gone",)},
                r"no such appliance: vc-gone; there are: vc-ham, vc-nyc",
            ),
            ({"types": ("ODD",)}, r"no such type: ODD; there are: MANUAL, SCHEDULED"),
            ({"sites": ("Rome",)}, r"no such site: Rome; there are: Hamburg, New York"),
            ({"groups": ("x",)}, r"no such group: x; there are: edge, production"),
        ],
    )
    def test_what_is_not_there(
        self, explorer: Explorer, wrong: dict[str, tuple[str, ...]], why: str
    ) -> None:
        """An unknown name is an error, and the selection stays."""
        with pytest.raises(ValueError, match=why):
            explorer.value = Selection(**wrong)  # type: ignore[arg-type] # lists only
        assert explorer.value == Selection(last="7d")

    def test_path_of_a_history(self) -> None:
        """A text or a path is opened as a history."""
        path = DATA / "history.db"
        for source in (path, str(path)):
            explorer = explore(source, Policy(), now=SAMPLE_NOW, appliances=["vc-ham-01"])
            assert set(explorer.jobs["appliance"]) == {"vc-ham-01"}

    def test_members_of_the_policy(self) -> None:
        """An appliance that is only in the policy can be selected alone."""
        policy = Policy(members=[Member(appliance="vc-new"), Member(appliance="vc-ham")])
        chosen = explore(Fleet(), policy, appliances=["vc-new"], now=END)
        assert list(judged(chosen).appliances.index) == ["vc-new"]


class TestFilters:
    """The widgets that select."""

    def test_a_person_chooses(self, explorer: Explorer) -> None:
        """A change of a widget changes the selection."""
        find(explorer.box, options=("vc-ham", "vc-nyc")).value = ("vc-nyc",)
        assert judged(explorer).verdict.state == "breach"
        find(explorer.box, value="7d").value = "90d"
        assert explorer.value == Selection(appliances=("vc-nyc",), last="90d")
        assert len(explorer.jobs) == 40

    def test_chips(self, explorer: Explorer) -> None:
        """Pressed chips of one row are combined."""
        find(explorer.box, description="succeeded").value = True
        assert set(explorer.jobs["outcome"]) == {"success"}
        find(explorer.box, description="failed").value = True
        assert set(explorer.jobs["outcome"]) == {"success", "failure"}
        find(explorer.box, description="breach").value = True
        assert explorer.value.states == ("breach",)
        assert set(explorer.jobs["outcome"]) == {"failure"}
        find(explorer.box, description="manual").value = True
        assert explorer.value.types == ("MANUAL",)

    def test_slider(self, explorer: Explorer) -> None:
        """The slider selects a period between two midnights, or up to now."""
        slider = find(explorer.box, _model_name="SelectionRangeSliderModel")
        last = len(slider.options) - 1
        slider.index = (last - 3, last - 1)
        assert explorer.value.period(END) == (END - 3 * DAY, END - DAY)
        assert find(explorer.box, value="2026-11-06 00:00 to 2026-11-08 00:00 UTC")
        assert len(explorer.jobs) == 4
        slider.index = (last - 3, last)
        assert explorer.value.end is None
        slider.index = (2, 2)
        assert explorer.value.period(END) == (END - 3 * DAY, END)

    def test_presets_follow(self, explorer: Explorer) -> None:
        """A free period presses no preset; a preset moves the slider."""
        presets = find(explorer.box, value="7d")
        slider = find(explorer.box, _model_name="SelectionRangeSliderModel")
        explorer.value = Selection(start=END - 3 * DAY)
        assert presets.value is None
        assert slider.value == (END - 3 * DAY, END)
        explorer.value = Selection(last="3d")
        assert presets.value is None
        assert len(explorer.jobs) == 6
        presets.value = "24h"
        assert slider.value == (END - DAY, END)

    def test_search_narrows_the_list_and_keeps_the_choice(self, explorer: Explorer) -> None:
        """Search hides names that do not match, except selected ones."""
        names = find(explorer.box, options=("vc-ham", "vc-nyc"))
        search = find(explorer.box, placeholder=SEARCH)
        search.value = "NYC"
        assert names.options == ("vc-nyc",)
        names.value = ("vc-nyc",)
        search.value = "ham"
        assert names.options == ("vc-ham", "vc-nyc")
        assert explorer.value.appliances == ("vc-nyc",)

    def test_sites_and_groups(self, explorer: Explorer) -> None:
        """Sites and groups are offered where there are several."""
        find(explorer.box, options=("Hamburg", "New York")).value = ("Hamburg",)
        assert explorer.value.sites == ("Hamburg",)
        assert set(explorer.jobs["site"]) == {"Hamburg"}
        assert set(explorer.jobs["group"]) == {"production"}
        find(explorer.box, options=("edge", "production")).value = ("edge",)
        assert explorer.jobs.empty
        assert {"site", "group"} <= {*explorer.jobs}
        for tab in ("Appliances", "Jobs"):
            explorer.tab = tab
            assert "No appliance is left" in texts_of(explorer)

    def test_clear(self, explorer: Explorer) -> None:
        """One button clears all filters and keeps the period."""
        for period in ({"last": "7d"}, {"start": END - 3 * DAY, "end": END - DAY}):
            explorer.value = Selection(
                appliances=("vc-nyc",),
                outcomes=("failure",),
                text="x",
                **period,
            )
            assert find(explorer.box, tooltip="Remove: appliances vc-nyc")
            find(explorer.box, description="Clear filters").click()
            assert explorer.value == Selection(**period)
            assert "Shown:" not in [getattr(one, "value", "") for one in walk(explorer.box)]

    def test_remove_one(self, explorer: Explorer) -> None:
        """Each chosen value has a button that removes it; beyond eight the others are counted."""
        explorer.value = Selection(appliances=("vc-nyc", "vc-ham"), sites=("Hamburg",))
        find(explorer.box, tooltip="Remove: appliances vc-nyc").click()
        assert explorer.value == Selection(appliances=("vc-ham",), sites=("Hamburg",))
        explorer.value = Selection(signatures=tuple(f"error {number}" for number in range(11)))
        assert find(explorer.box, value="and 3 more")

    def test_back(self, explorer: Explorer) -> None:
        """Back returns to the selections before, one after the other."""
        back = find(explorer.box, description="Back")
        assert back.disabled
        explorer.value = Selection(last="24h")
        find(explorer.box, description="failed").value = True
        back.click()
        assert explorer.value == Selection(last="24h")
        back.click()
        assert explorer.value == Selection(last="7d")
        assert back.disabled

    def test_one_search(self, explorer: Explorer) -> None:
        """A name chooses its appliance, site or group; any other text filters the jobs."""
        search = find(explorer.box, placeholder=SEARCH)
        for text, chosen in (
            ("VC-NYC", {"appliances": ("vc-nyc",)}),
            ("new york", {"sites": ("New York",)}),
            ("edge", {"groups": ("edge",)}),
            ("vc-n", {"text": "vc-n"}),
        ):
            explorer.value = Selection(last="7d")
            search.value = text
            assert explorer.value == Selection(last="7d", **chosen)
            assert set(explorer.jobs["appliance"]) == {"vc-nyc"}
            assert search.value == chosen.get("text", "")

    def test_a_name_that_others_begin_with(self) -> None:
        """The name of an appliance that begins other names stays a text."""
        members = [Member(appliance=name) for name in ("vc-1", "vc-10")]
        explorer = explore(Fleet(), Policy(members=members), now=END)
        search = find(explorer.box, placeholder=SEARCH)
        search.value = "vc-1"
        assert explorer.value.text == "vc-1"
        search.value = "vc-10"
        assert explorer.value == Selection(appliances=("vc-10",))

    def test_more_filters(self, explorer: Explorer) -> None:
        """The panel with the lists is hidden until its button is pressed."""
        (panel,) = (
            one
            for one in walk(explorer.box)
            if type(one).__name__ == "HBox"
            and one.layout.display == "none"
            and len(one.children) > 2
        )
        find(explorer.box, description="More filters").value = True
        assert panel.layout.display == "flex"
        find(explorer.box, description="More filters").value = False
        assert panel.layout.display == "none"


class TestTabs:
    """The tabs."""

    def test_only_the_open_tab_is_drawn(self, explorer: Explorer) -> None:
        """A tab is drawn when it is opened."""
        drawn = pictures_in(explorer.box)
        assert drawn == pictures(explorer)
        assert [one.alt for one in drawn] == ["Timeline of the jobs of 2 appliances"]
        assert grid(explorer).label == "Failed jobs by error pattern and appliance"
        explorer.tab = "Matrix"
        assert grid(explorer).grid["rows"] == ["vc-nyc", "vc-ham"]
        explorer.value = Selection(last="24h")  # no old picture is left in the others
        assert pictures_in(explorer.box) == pictures(explorer)

    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_figures(self, known: ExplorerData, theme: str) -> None:
        """Each figure is a picture with its data and an alternative text."""
        explorer = Explorer(known, Selection(last="30d"), tab="Matrix", theme=theme)
        assert explorer.tab == "Matrix"
        for tab in TABS[:-1]:
            explorer.tab = tab
            assert "Error</strong>" not in texts_of(explorer)
            assert pictures(explorer) or grid(explorer).grid["rows"]
            for picture in pictures(explorer):
                data = base64.b64decode(picture.src.partition("base64,")[2])
                assert data.startswith(b"\x89PNG")
                assert picture.alt

    def test_no_such_tab(self, explorer: Explorer) -> None:
        """An unknown tab is an error that names it."""
        with pytest.raises(
            ValueError, match='no such tab: "Jokes"; there are Overview, Appliances'
        ):
            explorer.tab = "Jokes"

    def test_many_appliances_have_no_progress(self) -> None:
        """Above twelve appliances the timeline has no progress curves, and says so."""
        policy = Policy(members=[Member(appliance=f"vc-{n:02}") for n in range(13)])
        explorer = explore(Fleet(), policy, now=END, tab="Timeline")
        assert len(pictures(explorer)) == 0
        assert "Choose up to 12 appliances" in texts_of(explorer)

    def test_worst_first(self, explorer: Explorer) -> None:
        """The table lists appliances in breach first, with the reason."""
        explorer.tab = "Appliances"
        page = texts_of(explorer)
        assert page.index("vc-nyc") < page.index(">vc-ham")
        assert "✕ Breach" in page
        assert "In breach since (UTC)</th>" in page

    def test_the_past_has_no_reasons(self, explorer: Explorer) -> None:
        """A period in the past has no reasons, which apply to now only."""
        explorer.tab = "Appliances"
        explorer.value = Selection(last="7d", end=END - DAY)
        assert "Exposure</th>" not in texts_of(explorer)
        assert "In breach since" not in texts_of(explorer)
        assert "as of 2026-11-08 00:00 UTC" in texts_of(explorer)

    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_rows_without_a_job(self, theme: str) -> None:
        """The row of an appliance without a job and a slot has a sentence in a legible colour."""
        policy = Policy(members=[Member(appliance=name) for name in ("vc-ham", "vc-new")])
        explorer = Explorer(ExplorerData(Fleet(), policy, now=END), Selection(), theme=theme)
        ax = owners(explorer)[0]._axes
        names = [label.get_text() for label in ax.get_yticklabels()]
        (text,) = (text for text in ax.texts if text.get_gid() == "blank")
        assert text.get_text() == "unknown: could not be read"
        assert names[round(text.get_position()[1])] == "vc-new"
        assert text.get_color() == THEMES[theme].muted

    def test_failed_but_pending(self, sample: ExplorerData) -> None:
        """Runs that failed while a retry may succeed are named beside the figures."""
        explorer = Explorer(sample, Selection(last="24h"))
        assert "completed; 2 failed, retry window open</dt>" in texts_of(explorer)
        assert "(6 of 6 runs)" in texts_of(explorer)
        explorer.tab = "Appliances"
        rows = {row[0]: row for row in table_of(explorer)}
        assert rows["vc-ham-03"][7] == "no data + 1 failed, retry window open"
        assert rows["vc-ham-01"][7] == "100.0 % (1 of 1 runs)"
        explorer.tab = "Matrix"
        assert "Pending, but failed so far: vc-tyo-02, vc-ham-03." in texts_of(explorer)
        explorer.value = Selection(last="24h", appliances=("vc-ham-01",))
        assert "failed so far" not in texts_of(explorer)

    def test_many_failed_but_pending(self) -> None:
        """Beyond ten names the other appliances are counted."""
        names = [f"vc-{number:02}" for number in range(12)]
        start = END - pd.Timedelta(hours=2)
        jobs = JOBS.frame(
            {
                "appliance": names,
                "job_id": ["1"] * 12,
                "outcome": ["failure"] * 12,
                "type": ["SCHEDULED"] * 12,
                "start_time": [start] * 12,
                "end_time": [start + pd.Timedelta(minutes=5)] * 12,
                "messages": [[]] * 12,
            }
        )
        polls = POLLS.frame({"appliance": names, "polled_at": [END] * 12, "ok": [True] * 12})
        plans = [schedule(name, seen_at=END - 60 * DAY, hour=22) for name in names]
        snapshot = SimpleNamespace(
            jobs=jobs,
            polls=polls,
            schedules=frame(SCHEDULES, plans),
            observations=OBSERVATIONS.empty(),
        )
        explorer = explore(snapshot, Policy(), last="24h", now=END, tab="Matrix")
        assert "vc-08, vc-09 and 2 more. A retry" in texts_of(explorer)

    def test_many_are_counted(self) -> None:
        """Beyond twenty appliances there are more pages."""
        policy = Policy(members=[Member(appliance=f"vc-{n:02}") for n in range(30)])
        explorer = explore(Fleet(), policy, now=END, tab="Appliances")
        assert find(explorer.box, value="page 1 of 2, 32 appliances")
        assert len(table_of(explorer)) == 20


class TestLinks:
    """A click in one tab filters all tabs."""

    def test_a_signature_filters_every_tab(self, explorer: Explorer) -> None:
        """A selected signature filters every tab."""
        explorer.tab = "Failures"
        choose_cell(explorer, 0, 0)
        assert set(explorer.jobs["appliance"]) == {"vc-nyc"}
        explorer.tab = "Timeline"
        assert "of the jobs of 1 appliance" in canvas(explorer).label

    def test_no_failure(self, explorer: Explorer) -> None:
        """A selection without failed jobs has a sentence in place of the table."""
        explorer.value = Selection(last="7d", appliances=("vc-ham",))
        explorer.tab = "Failures"
        texts = [str(getattr(widget, "value", "")) for widget in walk(explorer.box)]
        assert any("No backup job failed" in text for text in texts)

    def test_a_bar_clicked(self, explorer: Explorer) -> None:
        """A click on a bar selects its signature, and a second click clears it."""
        explorer.tab = "Failures"
        choose_cell(explorer, 0, 0)
        assert len(signatures(explorer)) == 1
        assert grid(explorer).grid["chosen"] == [True]
        choose_cell(explorer, 0, 0)
        assert len(signatures(explorer)) == 0

    def test_a_row_clicked(self, explorer: Explorer) -> None:
        """A click on a row selects its appliance."""
        click(explorer, 0, days(END - DAY), 1.55)  # below the last row
        pictures(explorer)[0]._handle_custom_msg({"kind": "click", "x": 0.0, "y": 0.0}, [])
        assert not explorer.value.appliances
        click(explorer, 0, days(END - DAY), 1)
        assert explorer.value == Selection(last="7d", appliances=("vc-ham",))

    def test_a_cell_clicked(self, explorer: Explorer) -> None:
        """A click on a cell of the matrix selects its appliance and its UTC day."""
        explorer.tab = "Matrix"
        day = grid(explorer).grid["columns"].index(f"{END - 3 * DAY:%Y-%m-%d}")
        choose_cell(explorer, 1, day)
        assert explorer.value == Selection(
            last="7d", appliances=("vc-ham",), start=END - 3 * DAY, end=END - 2 * DAY
        )
        assert explorer.jobs["start_time"].tolist() == [END - 3 * DAY + pd.Timedelta(hours=1)]

    def test_days_of_the_matrix(self, explorer: Explorer) -> None:
        """The matrix has each day with its jobs; a span of days is the period, within it."""
        explorer.tab = "Matrix"
        shown = grid(explorer).grid
        names = [f"{END - number * DAY:%Y-%m-%d}" for number in range(7, 0, -1)]
        assert shown["columns"] == names
        assert np.frombuffer(shown["jobs"], "uint32").tolist() == [1] * 14
        words = [shown["styles"][code]["word"] for code in shown["values"]]
        assert words == ["failed"] * 7 + ["met"] * 7
        serial = shown["serial"]
        span = {"kind": "brush", "serial": serial, "from": 5, "to": 6}
        grid(explorer)._handle_custom_msg(span, [])
        assert explorer.value == Selection(last="7d", start=END - 2 * DAY, end=END)
        grid(explorer)._handle_custom_msg(span, [])  # of days that are no longer shown
        assert grid(explorer).grid["columns"] == names[5:]

    def test_a_cell_asked_for(self, explorer: Explorer) -> None:
        """The kernel knows the causes of the failed jobs of a cell, and nothing of the others."""
        explorer.tab = "Matrix"
        (pattern,) = explorer.jobs["signature"].dropna().unique()
        assert ask_cell(explorer, 0, 3) == one_line(pattern, limit=300)
        assert ask_cell(explorer, 1, 3) == ask_cell(explorer, 0, -1) == ""
        explorer.value = Selection(last="7d", outcomes=("success",))
        assert grid(explorer).grid["nouns"] == ["selected job", "selected jobs"]
        explorer.value = Selection(last="10m")
        assert grid(explorer).grid["rows"] == ["vc-nyc", "vc-ham"]

    def test_causes_of_a_day(self) -> None:
        """The three most frequent causes of a day are stated, and the others counted."""
        texts = ["broken pipe", "broken pipe", *(f"odd thing of kind {c}" for c in "abcd")]
        starts = [END - DAY + pd.Timedelta(hours=number) for number in range(6)]
        jobs = JOBS.frame(
            {
                "appliance": ["vc-1"] * 6,
                "job_id": [str(number) for number in range(6)],
                "outcome": ["failure"] * 6,
                "type": ["SCHEDULED"] * 6,
                "start_time": starts,
                "end_time": [start + pd.Timedelta(minutes=5) for start in starts],
                "messages": [[message(text)] for text in texts],
            }
        )
        snapshot = SimpleNamespace(
            jobs=jobs,
            polls=POLLS.frame({"appliance": ["vc-1"], "polled_at": [END], "ok": [True]}),
            schedules=frame(SCHEDULES, [schedule("vc-1", seen_at=END - 60 * DAY)]),
            observations=OBSERVATIONS.empty(),
        )
        explorer = explore(snapshot, Policy(), last="24h", now=END, tab="Matrix")
        lines = ask_cell(explorer, 0, 0).split("\n")
        assert lines[0].endswith(": broken pipe")
        assert [line[:17] for line in lines[1:3]] == ["odd thing of kind"] * 2
        assert lines[3:] == ["and 2 more"]

    def test_other_patterns(self) -> None:
        """The last bar of the Pareto chart stands for other patterns, and selects none."""
        names = [f"odd thing of kind {letter}" for letter in "abcdefghijkl"]
        starts = [END - DAY + pd.Timedelta(hours=number) for number in range(12)]
        jobs = JOBS.frame(
            {
                "appliance": ["vc-1"] * 12,
                "job_id": [str(number) for number in range(12)],
                "outcome": ["failure"] * 12,
                "type": ["SCHEDULED"] * 12,
                "start_time": starts,
                "end_time": [start + pd.Timedelta(minutes=5) for start in starts],
                "messages": [[message(name)] for name in names],
            }
        )
        snapshot = SimpleNamespace(
            jobs=jobs,
            polls=POLLS.frame({"appliance": ["vc-1"], "polled_at": [END], "ok": [True]}),
            schedules=SCHEDULES.empty(),
            observations=OBSERVATIONS.empty(),
        )
        explorer = explore(snapshot, Policy(), now=END, tab="Failures")
        assert grid(explorer).grid["rows"][-1] == "2 other patterns"
        choose_cell(explorer, 10, 0)
        assert explorer.value == Selection()
        assert ask_cell(explorer, 10, 0) == ""

    def test_many_in_the_matrix(self) -> None:
        """Above 25 rows the other appliances are counted; without any, a sentence says so."""
        policy = Policy(members=[Member(appliance=f"vc-{number:02}") for number in range(30)])
        shown = grid(explore(Fleet(), policy, now=END, tab="Matrix")).grid
        assert len(shown["rows"]) == 25
        assert shown["caption"].startswith("and 7 more")
        empty = SimpleNamespace(
            jobs=JOBS.empty(),
            polls=POLLS.empty(),
            schedules=SCHEDULES.empty(),
            observations=OBSERVATIONS.empty(),
        )
        shown = grid(explore(empty, Policy(), now=END, tab="Matrix")).grid
        assert (shown["rows"], shown["columns"]) == ([], [])

    def test_a_failure_clicked(self, explorer: Explorer) -> None:
        """A click on a cell of the heat map selects its error pattern and its appliance."""
        choose_cell(explorer, 0, 0)
        assert explorer.value.appliances == ("vc-nyc",)
        assert set(explorer.jobs["signature"]) == set(signatures(explorer))
        assert len(explorer.jobs) == 7

    def test_order_of_the_heat_map(self, sample: ExplorerData) -> None:
        """Rows and columns of the heat map lead to what is written beside them."""
        explorer = Explorer(sample, Selection())
        shown = grid(explorer).grid
        assert shown["rows"][-1] == shown["columns"][-1] == "all"
        for number, column in enumerate(shown["columns"][:-1]):
            explorer.value = Selection()
            choose_cell(explorer, 0, number)
            assert explorer.value.appliances == (column,)
            assert signatures(explorer) == (shown["rows"][0],)

    def test_totals_of_the_heat_map(self, explorer: Explorer) -> None:
        """A total selects its error pattern or its appliance alone; the corner nothing."""
        choose_cell(explorer, 1, 1)
        choose_cell(explorer, 1, -1)
        assert explorer.value == Selection(last="7d")
        choose_cell(explorer, 0, 1)
        assert (explorer.value.appliances, len(signatures(explorer))) == ((), 1)
        explorer.value = Selection(last="7d")
        choose_cell(explorer, 1, 0)
        assert (explorer.value.appliances, signatures(explorer)) == (("vc-nyc",), ())

    def test_causes(self, sample: ExplorerData) -> None:
        """The kernel states the known cause of a pattern, and nothing of a total."""
        explorer = Explorer(sample, Selection())
        for tab in ("Overview", "Failures"):
            explorer.tab = tab
            row = grid(explorer).grid["rows"].index("Connection to <host> lost: broken pipe")
            assert ask_cell(explorer, row, 0).startswith("connection-lost: ")
        explorer.tab = "Overview"
        assert ask_cell(explorer, len(grid(explorer).grid["rows"]) - 1, 0) == ""

    def test_patterns_that_begin_alike(self) -> None:
        """Patterns with the same begin have a row each, and failures without a message one, too."""
        texts = [
            "The upload of the component failed: disk",
            "The upload of the component failed: time",
        ]
        messages = [[message(texts[0])], [message(texts[0])], [message(texts[1])], [], [], []]
        starts = [END - DAY * (number + 1) for number in range(6)]
        jobs = JOBS.frame(
            {
                "appliance": ["vc-1"] * 6,
                "job_id": [str(number) for number in range(6)],
                "outcome": ["failure"] * 6,
                "type": ["SCHEDULED"] * 6,
                "start_time": starts,
                "end_time": [start + pd.Timedelta(minutes=5) for start in starts],
                "messages": messages,
            }
        )
        snapshot = SimpleNamespace(
            jobs=jobs,
            polls=POLLS.frame({"appliance": ["vc-1"], "polled_at": [END], "ok": [True]}),
            schedules=SCHEDULES.empty(),
            observations=OBSERVATIONS.empty(),
        )
        explorer = explore(snapshot, Policy(), now=END)
        names = grid(explorer).grid["rows"][:-1]
        assert names == ["(no message)", *texts]
        for row, name in enumerate(names):
            explorer.value = Selection()
            choose_cell(explorer, row, -1)
            assert signatures(explorer) == (name,)
            assert len(explorer.jobs) == (3, 2, 1)[row]

    def test_a_name_chosen(self, explorer: Explorer) -> None:
        """The name of a row selects it, and chosen names are marked."""
        chosen = Selection(last="7d", appliances=("vc-ham",))
        shown = pictures(explorer)[0]
        assert [(name, is_chosen) for name, _, _, is_chosen in shown.rows] == [
            ("vc-nyc", False),
            ("vc-ham", False),
        ]
        (_, first, height, _), (_, second, _, _) = shown.rows
        assert 0 < first < first + height <= second + 1e-6 < 1
        assert 0 < shown.edge < 0.5
        shown._handle_custom_msg({"kind": "row", "row": 1}, [])
        assert explorer.value == chosen
        (again,) = pictures(explorer)[0].rows
        assert again[0] == "vc-ham"
        assert again[3]
        shown._handle_custom_msg({"kind": "row", "row": 0}, [])
        assert explorer.value == Selection(last="7d")
        shown._handle_custom_msg({"kind": "row", "row": 2}, [])
        assert explorer.value == Selection(last="7d")

    def test_a_name_of_the_matrix(self, explorer: Explorer) -> None:
        """A name of the matrix selects its appliance, and again deselects it."""
        explorer.tab = "Matrix"
        choose_cell(explorer, 1, -1)
        assert explorer.value == Selection(last="7d", appliances=("vc-ham",))
        assert (grid(explorer).grid["rows"], grid(explorer).grid["chosen"]) == (["vc-ham"], [True])
        choose_cell(explorer, 0, -1)
        assert explorer.value == Selection(last="7d")

    def test_a_pattern_chosen(self, explorer: Explorer) -> None:
        """The name of an error pattern selects it in the heat map and in the Pareto chart."""
        for tab, column in (("Overview", -1), ("Failures", 0)):
            explorer.value = Selection(last="7d")
            explorer.tab = tab
            choose_cell(explorer, 0, column)
            assert len(signatures(explorer)) == 1
            assert set(explorer.jobs["appliance"]) == {"vc-nyc"}
            choose_cell(explorer, 0, column)
            assert explorer.value == Selection(last="7d")

    def test_a_row_of_a_table_picked(self, explorer: Explorer) -> None:
        """The rows of both tables select their appliance, and mark the chosen one."""
        for tab in ("Appliances", "Jobs"):
            explorer.value = Selection(last="24h")
            explorer.tab = tab
            table = table_widget(explorer)
            assert pressed(table.value) == ["false", "false"]
            names = [row[0] for row in rows_of(table.value)]
            table._handle_custom_msg({"kind": "pick", "row": names.index("vc-ham")}, [])
            assert explorer.value == Selection(last="24h", appliances=("vc-ham",))
            # the table of appliances keeps the others, to choose more of them
            expected = {"Appliances": ["false", "true"], "Jobs": ["true"]}[tab]
            assert pressed(table.value) == expected
            row = expected.index("true")
            table._handle_custom_msg({"kind": "pick", "row": row}, [])
            assert explorer.value == Selection(last="24h")
            table._handle_custom_msg({"kind": "pick", "row": 9}, [])
            table._handle_custom_msg({"kind": "else"}, [])
            assert explorer.value == Selection(last="24h")

    def test_a_span_brushed(self, explorer: Explorer) -> None:
        """Dragging over a time axis of any figure selects the period."""
        for tab, picture in (
            ("Overview", 0),
            ("Appliances", 0),
            ("Appliances", 1),
            ("Timeline", 0),
            ("Failures", 0),
            ("Durations", 1),
        ):
            explorer.value = before = Selection(last="7d")
            explorer.tab = tab
            shown = pictures(explorer)[picture]
            shown._handle_custom_msg({"kind": "brush", "from": 0.45, "to": 0.6}, [])
            start, end = explorer.value.period(END)
            assert explorer.value != before
            assert END - 7 * DAY <= start < end <= END

    def test_a_span_outside(self, explorer: Explorer) -> None:
        """A brush that begins or ends outside the axes, or is empty, changes nothing."""
        explorer.tab = "Timeline"
        before = explorer.value
        shown = pictures(explorer)[0]
        for place in (
            {"from": 0.0, "to": 0.5},
            {"from": 0.5, "to": 1.0},
            {"from": 0.5, "to": 0.5},
        ):
            shown._handle_custom_msg({"kind": "brush", **place}, [])
        shown._handle_custom_msg({"kind": "click", "x": 0.0, "y": 0.0}, [])
        shown._handle_custom_msg({"kind": "else"}, [])
        assert explorer.value == before

    def test_the_page_turns_dark(self, explorer: Explorer) -> None:
        """A page that becomes dark draws its figures again."""
        light = pictures(explorer)[0].src
        ear = explorer.box.children[-1]
        ear.dark = True
        assert pictures(explorer)[0].src != light
        ear.dark = False
        assert pictures(explorer)[0].src == light


class TestJobs:
    """The table of jobs."""

    def test_paged(self, explorer: Explorer) -> None:
        """The buttons turn the pages and stop at the first and the last."""
        explorer.value = Selection(last="30d")
        explorer.tab = "Jobs"
        jobs = explorer._stack.children[-1]
        back, forth = (find(jobs, description=name) for name in ("Previous", "Next"))
        assert find(explorer.box, value="page 1 of 3, 60 jobs")
        assert back.disabled
        forth.click()
        forth.click()
        assert find(explorer.box, value="page 3 of 3, 60 jobs")
        assert forth.disabled
        back.click()
        assert find(explorer.box, value="page 2 of 3, 60 jobs")

    def test_searched(self, explorer: Explorer) -> None:
        """Search filters all tabs, and an empty text has no effect."""
        explorer.tab = "Jobs"
        search = find(explorer.box, placeholder=SEARCH)
        search.value = "alert(1)"
        assert find(explorer.box, value="page 1 of 1, 7 jobs")
        assert explorer.value.text == "alert(1)"
        explorer.value = Selection(last="24h", text="alert(1)")
        assert find(explorer.box, value="page 1 of 1, 1 job")
        explorer.value = Selection(last="7d", text="alert")
        assert search.value == "alert"
        search.value = ""
        assert find(explorer.box, value="page 1 of 1, 14 jobs")

    def test_no_job(self, explorer: Explorer) -> None:
        """A period without a job says so."""
        explorer.value = Selection(last="10m")
        explorer.tab = "Jobs"
        assert "No job started" in texts_of(explorer)
        assert find(explorer.box, value="page 1 of 1, 0 jobs")

    def test_no_job_is_found(self, explorer: Explorer) -> None:
        """A search or a filter without a hit says so: jobs did start."""
        explorer.tab = "Jobs"
        explorer.value = Selection(last="7d", text="<gone>")
        assert "No job of this period matches the search “&lt;gone&gt;”" in texts_of(explorer)
        explorer.value = Selection(last="7d", outcomes=("open",))
        assert "No job of this period matches the search or filters" in texts_of(explorer)
        assert "No job started" not in texts_of(explorer)

    def test_an_empty_history(self, tmp_path: Path) -> None:
        """A history without an appliance says so: there is no filter to clear."""
        explorer = explore(tmp_path / "history.db", Policy(), now=END, tab="Appliances")
        assert "The history has no appliance." in texts_of(explorer)
        assert "clear a filter" not in texts_of(explorer)
        explorer.tab = "Jobs"
        assert "No job started in this period." in texts_of(explorer)


class TestExport:
    """Saving the selection."""

    def test_html(self, explorer: Explorer, tmp_path: Path) -> None:
        """The button saves the report of the selection and offers a link to it."""
        explorer.value = Selection(appliances=("vc-nyc",), last="7d")
        find(explorer.box, tooltip="Save the report").click()
        page = (tmp_path / "backupkit-20261109-0000.html").read_text(encoding="utf-8")
        html5lib.HTMLParser(strict=True).parse(page)
        assert "BREACH 1 of 1" in page
        assert (tmp_path / "backupkit-20261109-0000.json").exists()
        assert 'download="backupkit-20261109-0000.html"' in texts_of(explorer)

    def test_nothing_is_replaced(self, explorer: Explorer, tmp_path: Path) -> None:
        """An export never replaces a file of another export."""
        explorer.value = Selection(outcomes=("failure",), last="7d")
        first = explorer.export_csv()
        content = first.read_bytes()
        page = explorer.export_html()
        explorer.value = Selection(last="7d")
        second, again = explorer.export_csv(), explorer.export_html()
        assert first.read_bytes() == content != second.read_bytes()
        assert [path.name for path in (first, second, page, again)] == [
            "backupkit-20261109-0000-selected.csv",
            "backupkit-20261109-0000-2-selected.csv",
            "backupkit-20261109-0000.html",
            "backupkit-20261109-0000-2.html",
        ]
        assert len({*tmp_path.iterdir()}) == len([*tmp_path.iterdir()])

    def test_csv(self, explorer: Explorer, tmp_path: Path) -> None:
        """The button saves the selected jobs only."""
        explorer.value = Selection(outcomes=("failure",), last="7d")
        find(explorer.box, tooltip="Save the jobs as CSV").click()
        path = tmp_path / "backupkit-20261109-0000-selected.csv"
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        assert [row["outcome"] for row in rows] == ["failure"] * 7
        assert rows[0]["messages"].startswith("<script>")
        assert "Saved" in texts_of(explorer)

    def test_large_files_are_no_link(
        self, explorer: Explorer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that is too large for a page is saved without a link."""
        monkeypatch.setattr(sys.modules["backupkit.widgets.saving"], "_MAX_LINK_BYTES", 10)
        find(explorer.box, tooltip="Save the jobs as CSV").click()
        assert "Saved backupkit-" in texts_of(explorer)

    def test_nothing_to_export(self, explorer: Explorer) -> None:
        """Without an assessment nothing is saved, and a sentence says so."""
        explorer.value = Selection(last="soon")
        find(explorer.box, tooltip="Save the report").click()
        assert "nothing can be exported" in texts_of(explorer)


class TestErrors:
    """Errors are shown."""

    def test_it_shows_inside_the_widget(self, explorer: Explorer) -> None:
        """An invalid period is an error in the widget, and no old result stays."""
        explorer.tab = "Jobs"
        explorer.value = Selection(last="<b>soon")
        assert "SettingsError" in texts_of(explorer)
        assert "&lt;b&gt;soon" in texts_of(explorer)
        assert "<tbody>" not in texts_of(explorer)
        assert explorer.assessment is None
        assert explorer.jobs.empty
        assert "SettingsError" in explorer._repr_mimebundle_()["text/html"]

    def test_error_is_cleared(self, explorer: Explorer) -> None:
        """The next valid selection clears the error."""
        explorer.value = Selection(last="soon")
        explorer.value = Selection(last="7d")
        assert "SettingsError" not in texts_of(explorer)
        assert pictures(explorer)

    def test_clicks_before_anything_is_shown(self, explorer: Explorer) -> None:
        """A click on a picture that is gone changes nothing."""
        explorer.tab = "Timeline"
        shown = pictures(explorer)[0]
        explorer.value = Selection(last="soon")
        shown._handle_custom_msg({"kind": "click", "x": 0.5, "y": 0.5}, [])
        shown._handle_custom_msg({"kind": "brush", "from": 0.4, "to": 0.5}, [])
        assert explorer.jobs.empty

    def test_without_ipywidgets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without ipywidgets the import error says what to install."""
        monkeypatch.setitem(sys.modules, "ipywidgets", None)
        monkeypatch.delitem(sys.modules, "backupkit.widgets")
        with pytest.raises(ImportError, match=r'pip install "backupkit\[lab\]"'):
            importlib.import_module("backupkit.widgets")


class TestTimeline:
    """The timeline, which the page draws."""

    @pytest.fixture
    def timeline(self, explorer: Explorer) -> Any:  # noqa: ANN401 # anywidget says no types
        """Open the tab, and return the widget."""
        explorer.tab = "Timeline"
        return canvas(explorer)

    def test_a_row(self, explorer: Explorer, timeline: Any) -> None:  # noqa: ANN401 # as above
        """A row selects its appliance and marks it, a second click deselects it."""
        assert timeline.runs["labels"] == ["vc-nyc", "vc-ham"]
        timeline._handle_custom_msg({"kind": "click", "row": 2}, [])
        assert explorer.value == Selection(last="7d")
        timeline._handle_custom_msg({"kind": "click", "row": 1}, [])
        assert explorer.value == Selection(last="7d", appliances=("vc-ham",))
        assert timeline.runs["labels"] == ["vc-ham"]
        assert timeline.runs["chosen"] == [True]
        timeline._handle_custom_msg({"kind": "click", "row": 0}, [])
        assert explorer.value == Selection(last="7d")

    def test_a_span(self, explorer: Explorer, timeline: Any) -> None:  # noqa: ANN401 # as above
        """A span becomes the period, within the present one; an empty one changes nothing."""
        times = {"from": 1e3 * (END - 9 * DAY).timestamp(), "to": 1e3 * (END - DAY).timestamp()}
        timeline._handle_custom_msg({"kind": "brush", **times}, [])
        assert explorer.value == Selection(last="7d", start=END - 7 * DAY, end=END - DAY)
        timeline._handle_custom_msg({"kind": "brush", "from": times["to"], "to": times["to"]}, [])
        assert explorer.value == Selection(last="7d", start=END - 7 * DAY, end=END - DAY)

    def test_a_run(self, explorer: Explorer, timeline: Any) -> None:  # noqa: ANN401 # as above
        """The kernel tells job, size, cause and message of a run."""
        answers: list[dict[str, Any]] = []
        timeline.send = answers.append
        codes = list(timeline.runs["outcomes"])
        names = [style["name"] for style in timeline.runs["styles"]]
        failed = codes.index(names.index("failure"))
        timeline._handle_custom_msg({"kind": "describe", "run": failed}, [])
        (answer,) = answers
        starts = np.frombuffer(timeline.runs["starts"])
        jobs = explorer.jobs
        (job,) = jobs[
            (jobs["appliance"] == "vc-nyc")
            & (jobs["start_time"] == pd.Timestamp(starts[failed], unit="ms", tz="UTC"))
        ].itertuples()
        assert answer["text"].startswith(f"job {job.job_id}")
        assert "script" in answer["text"]

    def test_blank_rows(self) -> None:
        """The row of an appliance without a job and a slot says so, and the rest is counted."""
        policy = Policy(members=[Member(appliance=name) for name in ("vc-ham", "vc-new")])
        explorer = explore(Fleet(), policy, now=END, tab="Timeline")
        runs = canvas(explorer).runs
        notes = dict(zip(runs["labels"], runs["notes"], strict=True))
        assert notes["vc-new"] == "unknown: could not be read"
        assert notes["vc-ham"] == runs["caption"] == ""

    def test_a_running_job(self, sample: ExplorerData) -> None:
        """Its end is estimated from all earlier runs, also from those before the period."""
        runs = canvas(Explorer(sample, Selection(last="24h"), tab="Timeline")).runs
        (running,) = runs["running"]
        row = np.frombuffer(runs["rows"], "uint16")[running["run"]]
        assert runs["labels"][row] == "vc-ham-04"
        assert runs["now"] < running["earliest"] <= running["end"] <= running["latest"]
        assert runs["end"] >= running["latest"]
        assert running["text"].startswith("63 %, done 23:3")
        overview = Explorer(sample, Selection(last="24h"))
        texts = [text.get_text() for text in owners(overview)[0]._axes.texts]
        assert running["text"].partition(" (")[0] in texts

    def test_many(self) -> None:
        """Above 25 rows the other appliances are counted."""
        policy = Policy(members=[Member(appliance=f"vc-{number:02}") for number in range(30)])
        runs = canvas(explore(Fleet(), policy, now=END, tab="Timeline")).runs
        assert len(runs["labels"]) == 25
        assert runs["caption"].startswith("and 7 more")  # two more have jobs

    def test_cleared(self, explorer: Explorer, timeline: Any) -> None:  # noqa: ANN401 # as above
        """An impossible selection leaves nothing behind, and late messages change nothing."""
        explorer.value = Selection(last="soon")
        assert timeline.runs == {}
        timeline._handle_custom_msg({"kind": "describe", "run": 0}, [])
        assert explorer.jobs.empty


class TestWithoutAnywidget:
    """The explorer without anywidget."""

    def test_pictures_are_plain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Figures are images; signatures, appliances and periods are selected on the lists."""
        monkeypatch.setitem(sys.modules, "anywidget", None)
        for name in ("clickable", "grid_canvas", "run_canvas", "table_page"):
            monkeypatch.delitem(sys.modules, f"backupkit.widgets.{name}", raising=False)
        explorer = explore(Fleet(), POLICY, now=END, tab="Timeline")
        assert texts_of(explorer).count("data:image/png;base64,") == 2
        for tab, number in (("Matrix", 1), ("Overview", 2), ("Failures", 2)):
            explorer.tab = tab
            explorer.value = Selection(last="7d")
            explorer.value = Selection(last="24h")  # the pictures of other tabs are gone
            assert texts_of(explorer).count("data:image/png;base64,") == number
        explorer.tab = "Appliances"
        assert "vc-nyc" in texts_of(explorer)
        assert "<button" not in texts_of(explorer)
        explorer.value = Selection(last="soon")
        assert "data:image" not in texts_of(explorer)

    def test_jobs_are_sorted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each order of the list has the expected job first, and pages can be turned."""
        monkeypatch.setitem(sys.modules, "anywidget", None)
        for name in ("clickable", "grid_canvas", "run_canvas", "table_page"):
            monkeypatch.delitem(sys.modules, f"backupkit.widgets.{name}", raising=False)
        explorer = explore(Fleet(), POLICY, now=END, tab="Jobs", last="30d")
        order = find(explorer.box, value="newest")
        columns = ["appliance", "start_time", "outcome", "duration", "type", "size"]
        for name, column, first in (
            ("newest", "start_time", "2026-11-08 01:00"),
            ("oldest", "start_time", "2026-10-10 01:00"),
            ("longest", "duration", "26 min"),
            ("largest", "size", "69 B"),
            ("appliance", "appliance", "vc-nyc"),
            ("failed", "outcome", "✕ failed"),
        ):
            order.value = name
            label = dict(map(reversed, order.options))[name]
            page = texts_of(explorer)
            assert f">{label.capitalize()}. Times in UTC.<" in page
            assert rows_of(page[page.index("<table") :])[0][columns.index(column)] == first
        find(explorer._stack.children[-1], description="Next").click()
        assert find(explorer.box, value="page 2 of 3, 60 jobs")


class TestCode:
    """The line of Python that restores what is shown."""

    @pytest.mark.parametrize(
        "selection",
        [
            Selection(),
            Selection(last="7d", appliances=("vc-ham",), outcomes=("failure", "open")),
            Selection(start="2026-11-02T00:00:00Z", end=END - DAY, sites=("New York",)),
            Selection(groups=("edge",), states=("breach",), types=("MANUAL",)),
            Selection(signatures=(EVIL, 'it\'s "odd"\\'), text=EVIL),
        ],
    )
    @pytest.mark.parametrize("tab", ["Overview", "Jobs"])
    def test_round_trip(self, known: ExplorerData, selection: Selection, tab: str) -> None:
        """The line opens the same selection and tab at the same time."""
        explorer = Explorer(known, selection, tab=tab)
        names = {"bk": backupkit, "history": Fleet(), "policy": POLICY}
        restored = eval(explorer.code(), names)  # noqa: S307 # the line is what is tested
        assert restored.code() == explorer.code()
        assert (restored.tab, restored._data.now) == (tab, END)
        assert restored.value.period(END) == selection.period(END)
        untimed = (replace(one, start=None, end=None) for one in (restored.value, selection))
        assert next(untimed) == next(untimed)

    def test_now(self) -> None:
        """An explorer of the current time is opened at the current time again."""
        assert explore(Fleet(), POLICY).code() == "bk.widgets.explore(history, policy)"

    def test_shown(self, explorer: Explorer) -> None:
        """A button shows the line."""
        explorer.value = Selection(text="<b>")
        find(explorer.box, description="Code").click()
        assert "text=&#x27;&lt;b&gt;&#x27;)</code>" in texts_of(explorer)


class TestDisplay:
    """The display in a front end."""

    def test_widget_and_still(self, explorer: Explorer) -> None:
        """A front end without widgets gets a picture, the verdict and tables."""
        bundle = explorer._repr_mimebundle_(include=None, exclude=None)
        model = bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
        assert model == explorer.box.model_id
        assert "BREACH 1 of 2" in bundle["text/html"]
        assert "data:image/" in bundle["text/html"]
        assert "<table" in bundle["text/html"]
        assert "&lt;div" not in bundle["text/html"]  # escaped once, not twice

    def test_hidden_still(self, explorer: Explorer, capsys: pytest.CaptureFixture[str]) -> None:
        """IPython gets the widget, then the still, which a style in the widget hides."""
        explorer._ipython_display_()
        first, second = capsys.readouterr().out.split("'text/html'")
        assert explorer.box.model_id in first
        assert "needs a running kernel" in first
        (style,) = re.findall(
            r"<style>\.(backupkit-still-\w+) { display: none; }", texts_of(explorer)
        )
        assert f"<div class=\\'{style}\\'>" in second
        assert "BREACH 1 of 2" in second
        explorer.value = Selection(last="soon")
        explorer._ipython_display_()
        assert "SettingsError" in capsys.readouterr().out

    def test_hostile_text_is_text(self, explorer: Explorer) -> None:
        """Markup in a message is text, wherever it is shown."""
        for tab in TABS:
            explorer.tab = tab
            assert "<script" not in texts_of(explorer)
            assert "\x1b" not in texts_of(explorer)
            if tab in ("Failures", "Jobs"):
                assert "&lt;script&gt;" in texts_of(explorer)


def signatures(explorer: Explorer) -> tuple[str, ...]:
    """Return the selected signatures."""
    return explorer.value.signatures


def days(moment: pd.Timestamp) -> float:
    """Return a time in matplotlib's days."""
    return float(moment.timestamp() / 86_400)


def click(explorer: Explorer, picture: int, x: float, y: float) -> None:
    """Click at data coordinates of a figure, with the message of a page."""
    shown = pictures(explorer)[picture]
    ax = next(one for one in owners(explorer) if one.widget is shown)._axes
    assert ax is not None
    figure = ax.get_figure(root=True)
    across, up = figure.transFigure.inverted().transform(ax.transData.transform((x, y)))
    shown._handle_custom_msg({"kind": "click", "x": across, "y": 1 - up}, [])


def owners(explorer: Explorer) -> list[Any]:
    """Return the pictures of all tabs."""
    return [
        one
        for tab in explorer._tabs
        for one in vars(tab).values()
        if type(one).__name__ == "FigureWidget"
    ]


def table_widget(explorer: Explorer) -> ipywidgets.DOMWidget:
    """Return the table of the open tab."""
    box = find(explorer.box, selected_index=TABS.index(explorer.tab))
    (table,) = (
        one for one in walk(box.children[box.selected_index]) if type(one).__name__ == "TablePage"
    )
    return table


def table_of(explorer: Explorer) -> list[list[str]]:
    """Return the rows of the table of jobs."""
    return rows_of(table_widget(explorer).value)


def pressed(html: str) -> list[str | None]:
    """Return whether each button of a page is pressed."""
    tree = html5lib.parse(html, namespaceHTMLElements=False)
    return [button.get("aria-pressed") for button in tree.findall(".//button")]


def rows_of(html: str) -> list[list[str]]:
    """Return the texts of the rows of a table."""
    tree = html5lib.parse(html, namespaceHTMLElements=False)
    return [["".join(cell.itertext()) for cell in row] for row in tree.findall(".//tbody/tr")]
