"""Changes of the explorer that follow each other quickly, as in a page, and slow ones."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import ipywidgets
import pandas as pd
import pytest

from backupkit.policy import Policy
from backupkit.tables import OBSERVATIONS
from backupkit.widgets import Explorer, Selection
from backupkit.widgets.explorer_data import ExplorerData
from tests.benchmarks.fleet import fleet_of
from tests.widgets.conftest import find, walk
from tests.widgets.test_explore import END, POLICY, SEARCH, Fleet

ENOUGH = 0.2
"""After so long, what waited is drawn [s]."""


@pytest.fixture(scope="module")
def known() -> ExplorerData:
    """Evaluate two appliances, one of which always fails."""
    return ExplorerData(Fleet(), POLICY, now=END)


@pytest.fixture
def explorer(known: ExplorerData) -> Explorer:
    """Return an explorer with one grid."""
    return Explorer(known, Selection(last="7d"), tab="Matrix")


def grid_of(explorer: Explorer) -> Any:  # noqa: ANN401 # anywidget says no types
    """Return the grid that is drawn."""
    (grid,) = (one for one in walk(explorer.box) if getattr(one, "grid", {}))
    return grid


def note_grids(explorer: Explorer) -> list[dict[str, Any]]:
    """Return a list that gets each grid that is sent from now on."""
    sent: list[dict[str, Any]] = []
    grid_of(explorer).observe(lambda change: sent.append(change["new"]), names="grid")
    return sent


def in_page(step: Callable[[], None]) -> None:
    """Do something while events are processed, as in a kernel, and wait until all is drawn."""

    async def run() -> None:
        step()
        await asyncio.sleep(ENOUGH)

    asyncio.run(run())


class TestQuickChanges:
    """Several changes before the first of them is drawn."""

    def test_only_the_last_is_drawn(self, known: ExplorerData, explorer: Explorer) -> None:
        """The selection changes at once, and one grid of the last one follows."""
        sent = note_grids(explorer)

        def press() -> None:
            for name in ("succeeded", "failed", "breach"):
                find(explorer.box, description=name).value = True
            find(explorer.box, description="succeeded").value = False
            assert explorer.value == Selection(last="7d", states=("breach",), outcomes=("failure",))
            assert not sent

        in_page(press)
        expected = Explorer(known, explorer.value, tab="Matrix")
        (grid,) = sent
        assert grid | {"serial": 1} == grid_of(expected).grid

    def test_asked_before_it_is_drawn(self, explorer: Explorer) -> None:
        """Jobs and assessment are always those of the selection, and are drawn once."""
        sent = note_grids(explorer)

        def ask() -> None:
            find(explorer.box, options=("vc-ham", "vc-nyc")).value = ("vc-ham",)
            assert set(explorer.jobs["appliance"]) == {"vc-ham"}
            assert len(sent) == 1
            find(explorer.box, options=("vc-ham", "vc-nyc")).value = ("vc-nyc",)
            assert explorer.assessment is not None
            assert list(explorer.assessment.appliances.index) == ["vc-nyc"]

        in_page(ask)
        assert len(sent) == 2

    def test_a_tab_adds_to_what_waits(self, known: ExplorerData) -> None:
        """A change in a tab keeps the filters that are not drawn yet."""
        explorer = Explorer(known, Selection(last="7d"), tab="Jobs")

        def search() -> None:
            find(explorer.box, description="failed").value = True
            find(explorer.box, placeholder=SEARCH).value = "alert"
            assert explorer.value == Selection(last="7d", outcomes=("failure",), text="alert")

        in_page(search)
        assert find(explorer.box, value="page 1 of 1, 7 jobs")

    def test_code_does_not_wait(self, explorer: Explorer) -> None:
        """A selection from code is shown at once, and replaces what waits."""
        sent = note_grids(explorer)

        def replace() -> None:
            find(explorer.box, description="failed").value = True
            explorer.value = Selection(last="24h")
            assert len(sent) == 1

        in_page(replace)
        assert len(sent) == 1
        assert explorer.value == Selection(last="24h")


class TestSlowChange:
    """Changes that take more than a moment."""

    def test_another_period(self, explorer: Explorer) -> None:
        """A message counts the jobs that are assessed, and disappears."""
        messages = note_messages(explorer)
        explorer.value = Selection(start=END - pd.Timedelta(days=100))
        assert any("Assessing 80 jobs from 2026-08-01 00:00 UTC" in text for text in messages)
        assert messages[-1] == ""
        messages.clear()
        explorer.value = Selection(start=END - pd.Timedelta(days=99))
        assert not any(messages)

    def test_another_tab(self) -> None:
        """A tab that needs further figures has the message when it is opened first."""
        explorer = Explorer(ExplorerData(Fleet(), POLICY, now=END), Selection(last="7d"))
        messages = note_messages(explorer)
        explorer.tab = "Durations"
        assert any("Drawing Durations of 80 jobs" in text for text in messages)
        assert messages[-1] == ""
        messages.clear()
        explorer.tab = "Overview"
        explorer.tab = "Durations"
        assert not any(messages)


class TestBesideThePage:
    """A slow step while events are processed: the page stays alive."""

    def test_busy_until_it_is_done(self) -> None:
        """The sign and its button are visible until the result is, and then disappear."""
        explorer = open_explorer()

        async def change() -> None:
            with explorer._data._lock:  # the step waits for it
                await press_long_period(explorer)
                assert is_visible(find(explorer.box, description="Cancel"))
                assert "Assessing 80 jobs from 2026-08-01" in busy_text(explorer)
                assert judged_start(explorer) == END - pd.Timedelta(days=7)
            await until(lambda: not busy_text(explorer))
            assert judged_start(explorer) == END - pd.Timedelta(days=100)
            assert explorer.value.start == END - pd.Timedelta(days=100)

        asyncio.run(change())

    def test_cancel(self) -> None:
        """Cancel returns to what is shown, at once."""
        explorer = open_explorer()

        async def change() -> None:
            with explorer._data._lock:
                await press_long_period(explorer)
                find(explorer.box, description="Cancel").click()
                assert busy_text(explorer) == ""
                assert explorer.value == Selection(last="7d")
            await asyncio.sleep(ENOUGH)
            assert explorer.value == Selection(last="7d")
            assert judged_start(explorer) == END - pd.Timedelta(days=7)

        asyncio.run(change())

    def test_another_change_meanwhile(self) -> None:
        """A quick change replaces the slow one, and does not wait for it."""
        explorer = open_explorer()

        async def change() -> None:
            with explorer._data._lock:
                await press_long_period(explorer)
                find(explorer.box, value=None, _model_name="ToggleButtonsModel").value = "24h"
                await until(lambda: judged_start(explorer) == END - pd.Timedelta(days=1))
                assert busy_text(explorer) == ""
            await asyncio.sleep(ENOUGH)
            assert explorer.value == Selection(last="24h")

        asyncio.run(change())

    def test_asked_meanwhile(self) -> None:
        """Code that needs the jobs waits for the result."""
        explorer = open_explorer()

        async def change() -> None:
            await press_long_period(explorer)
            assert explorer.jobs["start_time"].min() == END - pd.Timedelta(days=39, hours=23)
            assert busy_text(explorer) == ""

        asyncio.run(change())

    def test_many_jobs(self) -> None:
        """A search over many jobs has the sign, once for each text; so has a tab, once."""
        fleet = fleet_of(10, 5_100)
        frames = SimpleNamespace(
            jobs=fleet.jobs,
            polls=fleet.polls,
            schedules=fleet.schedules,
            observations=OBSERVATIONS.empty(),
        )
        data = ExplorerData(frames, Policy(), now=fleet.end)
        explorer = Explorer(data, Selection(last="7d"), tab="Jobs")
        messages = note_messages(explorer)

        async def search() -> None:
            find(explorer.box, placeholder=SEARCH).value = "NAS-"
            await until(lambda: bool(messages) and messages[-1] == "")
            assert any(f"Searching {len(fleet.jobs):,} jobs" in text for text in messages)
            assert explorer.jobs["location"].str.contains("nas-").all()
            assert len(explorer.jobs) > 50
            messages.clear()
            explorer.value = Selection(last="30d", text="NAS-")
            assert not any(messages)

        async def open_tabs() -> None:
            for tab in ("Failures", "Durations"):
                explorer.tab = tab
                assert "Drawing" in busy_text(explorer)
                find(explorer.box, description="Cancel").click()
                assert (explorer.tab, busy_text(explorer)) == ("Jobs", "")
                explorer.tab = tab
                assert not pictures_of(explorer)
                await until(lambda: busy_text(explorer) == "")
                assert pictures_of(explorer)
                explorer.tab = "Jobs"
                messages.clear()
                explorer.tab = tab
                assert not any(messages)
                explorer.tab = "Jobs"

        asyncio.run(search())
        asyncio.run(open_tabs())

    def test_an_error(self) -> None:
        """An error of a slow step is shown."""
        explorer = open_explorer()

        async def change() -> None:
            explorer._data.policy = None  # type: ignore[assignment] # breaks the next step
            await press_long_period(explorer)
            await until(lambda: not busy_text(explorer))
            texts = [str(getattr(one, "value", "")) for one in walk(explorer.box)]
            assert any("AttributeError" in text for text in texts)

        asyncio.run(change())


def open_explorer() -> Explorer:
    """Return an explorer of its own data, of which the last 90 days are assessed."""
    return Explorer(ExplorerData(Fleet(), POLICY, now=END), Selection(last="7d"), tab="Matrix")


async def press_long_period(explorer: Explorer) -> None:
    """Choose 100 days, as a click in a tab does, and wait until the slow step runs."""
    explorer._change(start=END - pd.Timedelta(days=100))
    await asyncio.sleep(ENOUGH / 4)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen in time")


def pictures_of(explorer: Explorer) -> list[ipywidgets.DOMWidget]:
    """Return the pictures of the open tab that are drawn."""
    (tabs,) = (one for one in walk(explorer.box) if isinstance(one, ipywidgets.Tab))
    return [one for one in walk(tabs.children[tabs.selected_index]) if getattr(one, "src", "")]


def judged_start(explorer: Explorer) -> pd.Timestamp:
    """Return the start of the period that is shown."""
    assert explorer._view is not None
    return explorer._view.start


def is_visible(widget: ipywidgets.DOMWidget) -> bool:
    """Return whether a widget is not hidden by itself."""
    return bool(widget.layout.display != "none")


def busy_text(explorer: Explorer) -> str:
    """Return the text of the sign."""
    return str(explorer._busy._text.value)


def note_messages(explorer: Explorer) -> list[str]:
    """Return a list that gets each text above the tabs from now on."""
    texts: list[str] = []
    (tabs,) = (one for one in walk(explorer.box) if isinstance(one, ipywidgets.Tab))
    (column,) = (one for one in walk(explorer.box) if tabs in getattr(one, "children", ()))
    sign = column.children[column.children.index(tabs) - 1]
    sign.children[0].observe(lambda change: texts.append(change["new"]), names="value")
    return texts
