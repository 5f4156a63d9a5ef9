"""The sample history, evaluated once, and functions that find a widget."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import ipywidgets
import pytest

from backupkit import History, Policy
from backupkit.widgets.explorer_data import ExplorerData

DATA = Path(__file__).parent.parent.parent / "data"
NOW = "2026-11-23T23:30:00Z"


@pytest.fixture(autouse=True)
def no_event_loop() -> Iterator[None]:
    """Hide the event loop that the browser of other tests keeps running in this thread."""
    running = asyncio._get_running_loop()  # there is no other way
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(running)


def open_sample() -> ExplorerData:
    """Return the twelve appliances of the sample history, as of the time it was made."""
    return ExplorerData(
        History(DATA / "history.db"), Policy.load(DATA / "fleet.example.toml"), now=NOW
    )


@pytest.fixture(scope="session")
def sample() -> ExplorerData:
    """Return the sample; the period that is assessed depends on the tests before."""
    return open_sample()


def walk(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """Iterate over a widget and all its descendants."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def find(widget: ipywidgets.Widget, **traits: object) -> ipywidgets.Widget:
    """Return the only widget with these traits."""
    found = [
        one
        for one in walk(widget)
        if all(getattr(one, name, None) == value for name, value in traits.items())
    ]
    assert len(found) == 1, f"{len(found)} widgets have {traits}"
    return found[0]
