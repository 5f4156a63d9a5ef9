"""Changes of the explorer that follow each other quickly, as in a page, and slow ones."""

import asyncio
from collections.abc import Callable

import ipywidgets
import pandas as pd
import pytest

from backupkit.widgets import Explorer, Selection
from backupkit.widgets.explorer_data import ExplorerData
from tests.widgets.conftest import find, walk
from tests.widgets.test_explore import END, POLICY, Fleet

ENOUGH = 0.2
"""After so long, what waited is drawn [s]."""


@pytest.fixture(scope="module")
def known() -> ExplorerData:
    """Evaluate two appliances, one of which always fails."""
    return ExplorerData(Fleet(), POLICY, now=END)


@pytest.fixture
def explorer(known: ExplorerData) -> Explorer:
    """Return an explorer with one picture."""
    return Explorer(known, Selection(last="7d"), tab="Matrix")


def note_pictures(explorer: Explorer) -> list[str]:
    """Return a list that gets each picture that is sent from now on."""
    (picture,) = (one for one in walk(explorer.box) if getattr(one, "src", ""))
    sent: list[str] = []
    picture.observe(lambda change: sent.append(change["new"]), names="src")
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
        """The selection changes at once, and one picture of the last one follows."""
        sent = note_pictures(explorer)

        def press() -> None:
            for name in ("succeeded", "failed", "breach"):
                find(explorer.box, description=name).value = True
            find(explorer.box, description="succeeded").value = False
            assert explorer.value == Selection(last="7d", states=("breach",), outcomes=("failure",))
            assert not sent

        in_page(press)
        expected = Explorer(known, explorer.value, tab="Matrix")
        (picture,) = (one.src for one in walk(expected.box) if getattr(one, "src", ""))
        assert sent == [picture]

    def test_asked_before_it_is_drawn(self, explorer: Explorer) -> None:
        """Jobs and assessment are always those of the selection, and are drawn once."""
        sent = note_pictures(explorer)

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
            find(explorer.box, placeholder="Search jobs and messages").value = "alert"
            assert explorer.value == Selection(last="7d", outcomes=("failure",), text="alert")

        in_page(search)
        assert find(explorer.box, value="page 1 of 1, 7 jobs")

    def test_code_does_not_wait(self, explorer: Explorer) -> None:
        """A selection from code is shown at once, and replaces what waits."""
        sent = note_pictures(explorer)

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
        assert any("Assessing 80 jobs" in text for text in messages)
        assert messages[-1] == ""
        messages.clear()
        explorer.tab = "Overview"
        explorer.tab = "Durations"
        assert not any(messages)


def note_messages(explorer: Explorer) -> list[str]:
    """Return a list that gets each text above the tabs from now on."""
    texts: list[str] = []
    (tabs,) = (one for one in walk(explorer.box) if isinstance(one, ipywidgets.Tab))
    (column,) = (one for one in walk(explorer.box) if tabs in getattr(one, "children", ()))
    column.children[column.children.index(tabs) - 1].observe(
        lambda change: texts.append(change["new"]), names="value"
    )
    return texts
