"""The explorer, driven through its values, without a browser."""

import base64
import importlib
import sys
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from backupkit.policy import Member, Policy
from backupkit.tables import JOBS, OBSERVATIONS, POLLS, SCHEDULES
from backupkit.widgets import Explorer, Selection, explore

END = pd.Timestamp("2026-11-09T00:00Z")
DAY = pd.Timedelta(days=1)
EVIL = "<script>alert(1)</script>"


class Known:
    """What a history gives: methods that take the moment."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        starts = [END - DAY * back + pd.Timedelta(hours=1) for back in range(1, 41)]
        names = ["vc-ham", "vc-nyc"]
        appliance = [name for name in names for _ in starts]
        start = starts * 2
        failed = [name == "vc-nyc" for name in appliance]
        said: dict[str, Any] = {"id": "x", "default_message": EVIL, "args": []}
        self._jobs = JOBS.frame(
            {
                "appliance": appliance,
                "job_id": [f"{moment:%Y%m%d-%H%M%S}-1" for moment in start],
                "outcome": ["failure" if bad else "success" for bad in failed],
                "start_time": start,
                "end_time": [moment + pd.Timedelta(minutes=20) for moment in start],
                "duration": [pd.Timedelta(minutes=20)] * len(start),
                "messages": [[said] if bad else [] for bad in failed],
            }
        )
        self._polls = POLLS.frame({"appliance": names, "polled_at": [END] * 2, "ok": [True] * 2})
        self._observations = OBSERVATIONS.frame(
            {
                "appliance": names,
                "job_id": ["1", "2"],
                "observed_at": [END - DAY / 2] * 2,
                "progress": [10.0, 20.0],
            }
        )

    def jobs(self, *, at: object = None) -> pd.DataFrame:
        """Give the jobs."""
        self.asked.append(at)
        return self._jobs

    def polls(self, *, at: object = None) -> pd.DataFrame:
        """Give the polls."""
        self.asked.append(at)
        return self._polls

    def schedules(self, *, at: object = None) -> pd.DataFrame:
        """Give no schedules."""
        self.asked.append(at)
        return SCHEDULES.empty()

    def observations(self, *, at: object = None) -> pd.DataFrame:
        """Give the observations."""
        self.asked.append(at)
        return self._observations


@pytest.fixture
def explorer() -> Explorer:
    """Explore two appliances, one of which always fails."""
    return explore(Known(), Policy(), last="7d", now=END)


def judged(explorer: Explorer) -> Any:  # noqa: ANN401 # the assessment, which must be there
    """Give the assessment, which must have been made."""
    assert explorer.assessment is not None
    return explorer.assessment


class TestSelection:
    """What is shown."""

    def test_all_at_first(self, explorer: Explorer) -> None:
        """Without a choice every appliance is judged over the period asked for."""
        assert explorer.value == Selection(appliances=(), last="7d")
        assert list(judged(explorer).appliances.index) == ["vc-nyc", "vc-ham"]
        assert judged(explorer).start == END - 7 * DAY

    def test_choosing_an_appliance_judges_it_alone(self, explorer: Explorer) -> None:
        """A selection narrows the judgement, the jobs and the verdict to it."""
        explorer.value = Selection(appliances=("vc-ham",), last="24h")
        assert list(judged(explorer).appliances.index) == ["vc-ham"]
        assert judged(explorer).verdict.state == "compliant"
        assert explorer.jobs["appliance"].tolist() == ["vc-ham"]
        assert "COMPLIANT" in explorer._verdict.value

    def test_clicking_does_the_same(self, explorer: Explorer) -> None:
        """Changing the widgets, as a browser does, judges anew."""
        explorer._chosen.value = ("vc-nyc",)
        assert judged(explorer).verdict.state == "breach"
        explorer._period.value = "90d"
        assert explorer.value == Selection(appliances=("vc-nyc",), last="90d")
        assert len(explorer.jobs) == 40

    def test_the_newest_job_is_first(self, explorer: Explorer) -> None:
        """The jobs of the period come newest first."""
        assert len(explorer.jobs) == 14
        assert explorer.jobs["start_time"].is_monotonic_decreasing

    def test_the_appliances_given_at_first(self) -> None:
        """Appliances named at first are selected, a snapshot does as well as a history."""
        known = Known()
        parts = ("jobs", "polls", "schedules", "observations")
        snapshot = SimpleNamespace(**{part: getattr(known, part)() for part in parts})
        chosen = explore(snapshot, Policy(), appliances=["vc-nyc"], last="24h", now=END)
        assert chosen.value.appliances == ("vc-nyc",)

    def test_the_past_is_asked_for(self) -> None:
        """Every frame is read once, as it was known at the moment asked for."""
        known = Known()
        explore(known, Policy(), now=END)
        assert known.asked == [END] * 4

    def test_a_period_of_its_own(self, explorer: Explorer) -> None:
        """A period that is none of the presets becomes one."""
        explorer.value = Selection(last="3d")
        assert len(explorer.jobs) == 6

    def test_an_unknown_appliance(self, explorer: Explorer) -> None:
        """A name that is not there is refused, and the selection stays."""
        with pytest.raises(ValueError, match="no such appliance: vc-gone"):
            explorer.value = Selection(appliances=("vc-gone",))
        assert explorer.value == Selection(last="7d")

    def test_members_of_the_policy(self) -> None:
        """An appliance that is only in the policy can be chosen; the others do not come along."""
        policy = Policy(members=[Member(appliance="vc-new"), Member(appliance="vc-ham")])
        chosen = explore(Known(), policy, appliances=["vc-new"], now=END)
        assert list(judged(chosen).appliances.index) == ["vc-new"]


class TestSearch:
    """The search text."""

    def test_it_narrows_the_list_and_keeps_the_choice(self, explorer: Explorer) -> None:
        """Searching hides names that do not match, but never what is selected."""
        before = explorer.assessment
        explorer._search.value = "NYC"
        assert explorer._chosen.options == ("vc-nyc",)
        explorer._chosen.value = ("vc-nyc",)
        explorer._search.value = "ham"
        assert explorer._chosen.options == ("vc-ham", "vc-nyc")
        assert explorer.value.appliances == ("vc-nyc",)
        assert explorer.assessment is not before


class TestViews:
    """The tabs."""

    def test_only_the_open_tab_is_drawn(self, explorer: Explorer) -> None:
        """A tab is drawn when it is opened."""
        drawn = {name: bool(view.value) for name, view in explorer._views.items()}
        assert drawn == {"Timeline": True, "Progress": False, "Failures": False}

    @pytest.mark.parametrize(("tab", "name"), list(enumerate(["Timeline", "Progress", "Failures"])))
    def test_a_figure_is_a_picture(self, explorer: Explorer, tab: int, name: str) -> None:
        """Each figure is an image with its data in it and a text in its place."""
        explorer._tabs.selected_index = tab
        html = explorer._views[name].value
        data = html.partition("base64,")[2].partition('"')[0]
        assert base64.b64decode(data).startswith((b"<?xml", b"\x89PNG"))
        assert f'alt="{name} of the selection"' in html

    def test_jobs_are_paged(self, explorer: Explorer) -> None:
        """The table has pages; the buttons turn them and stop at the ends."""
        explorer.value = Selection(last="30d")
        explorer._tabs.selected_index = 3
        assert explorer._place.value == "page 1 of 3, 60 jobs"
        assert explorer._back.disabled
        explorer._forth.click()
        explorer._forth.click()
        assert explorer._place.value == "page 3 of 3, 60 jobs"
        assert explorer._forth.disabled
        assert explorer._table.value.count("<tr>") == 1 + 10
        explorer._back.click()
        assert explorer._place.value == "page 2 of 3, 60 jobs"

    def test_the_table_is_escaped(self, explorer: Explorer) -> None:
        """Markup in a message appears as text."""
        explorer._tabs.selected_index = 3
        assert EVIL not in explorer._table.value
        assert "&lt;script&gt;" in explorer._table.value

    def test_no_job(self, explorer: Explorer) -> None:
        """A period without a job says so."""
        explorer.value = Selection(last="10m")
        explorer._tabs.selected_index = 3
        assert "No job started" in explorer._table.value
        assert explorer._place.value == "page 1 of 1, 0 jobs"


class TestErrors:
    """What goes wrong is seen."""

    def test_it_shows_inside_the_widget(self, explorer: Explorer) -> None:
        """A period that makes no sense is an error in the widget, and nothing old stays."""
        explorer.value = Selection(last="<b>soon")
        assert "SettingsError" in explorer._error.value
        assert "&lt;b&gt;soon" in explorer._error.value
        assert explorer.assessment is None
        assert explorer.jobs.empty
        assert explorer._views["Timeline"].value == ""
        assert explorer._repr_mimebundle_()["text/html"] == explorer._error.value

    def test_it_goes_away(self, explorer: Explorer) -> None:
        """The next selection that can be judged clears the error."""
        explorer.value = Selection(last="soon")
        explorer.value = Selection(last="7d")
        assert explorer._error.value == ""
        assert explorer._views["Timeline"].value

    def test_without_ipywidgets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without ipywidgets the import says what to install."""
        monkeypatch.setitem(sys.modules, "ipywidgets", None)
        monkeypatch.delitem(sys.modules, "backupkit.widgets")
        with pytest.raises(ImportError, match=r"pip install 'backupkit\[lab\]'"):
            importlib.import_module("backupkit.widgets")


class TestDisplay:
    """What a front end gets."""

    def test_widget_and_still(self, explorer: Explorer) -> None:
        """A front end gets the widget; one without widgets a picture, the verdict and a table."""
        bundle = explorer._repr_mimebundle_(include=None, exclude=None)
        model = bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
        assert model == explorer.box.model_id
        assert "BREACH 1 of 2" in bundle["text/html"]
        assert "data:image/" in bundle["text/html"]
        assert "<table" in bundle["text/html"]
