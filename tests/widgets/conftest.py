"""The sample history, judged once for all tests of the widgets, and a way to find a widget."""

from collections.abc import Iterator
from pathlib import Path

import ipywidgets
import pytest

from backupkit import History, Policy
from backupkit.widgets.explorer_data import ExplorerData

DATA = Path(__file__).parent.parent.parent / "data"
NOW = "2026-11-23T23:30:00Z"


@pytest.fixture(scope="session")
def sample() -> ExplorerData:
    """Give the twelve appliances of the sample history, as of the moment it was made."""
    return ExplorerData(
        History(DATA / "history.db"), Policy.load(DATA / "fleet.example.toml"), now=NOW
    )


def walk(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """Go through a widget and all in it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def find(widget: ipywidgets.Widget, **traits: object) -> ipywidgets.Widget:
    """Find the one widget with some traits, as a person finds it by what stands on it."""
    found = [
        one
        for one in walk(widget)
        if all(getattr(one, name, None) == value for name, value in traits.items())
    ]
    assert len(found) == 1, f"{len(found)} widgets have {traits}"
    return found[0]
