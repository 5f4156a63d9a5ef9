"""A page that is answered by two threads of the kernel, as JupyterLab does it."""

import asyncio
import time
from collections.abc import Callable
from threading import Event, Thread

import pytest

from backupkit.widgets import Explorer, Selection
from backupkit.widgets.explorer_data import ExplorerData
from backupkit.widgets.turns import in_turn
from tests.widgets.conftest import find
from tests.widgets.test_explore import END, POLICY, SEARCH, Fleet

PATIENCE = 10.0
"""Time for an answer [s]."""


def answer(message: Callable[[], None], *, until: Callable[[], bool]) -> None:
    """Handle a message of the page in a thread with a loop of its own, until all is drawn."""

    async def run() -> None:
        message()
        due = time.monotonic() + PATIENCE
        while not until() and time.monotonic() < due:  # noqa: ASYNC110 # of another thread, too
            await asyncio.sleep(0.01)

    asyncio.run(run())


def test_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that is typed on while its first letter is drawn shows the whole text at the end."""
    explorer = Explorer(ExplorerData(Fleet(), POLICY, now=END), Selection(last="7d"), tab="Matrix")
    search = find(explorer.box, placeholder=SEARCH)
    (first, typed) = ("v", "vc-2")
    draws, is_drawing, is_over = list[str](), Event(), Event()
    show = type(explorer._tabs[3]).show

    def show_slowly(*args: object) -> None:
        text = explorer.value.text
        if text == first:
            is_drawing.set()
            is_over.wait(0.3)  # time enough for the other thread, if it may
        show(*args)  # type: ignore[arg-type]
        draws.append(text)
        if text == typed:
            is_over.set()

    monkeypatch.setattr(type(explorer._tabs[3]), "show", show_slowly)

    def write(text: str) -> None:
        search.set_state({"value": text})

    main = Thread(
        target=answer, args=[lambda: write(first)], kwargs={"until": lambda: first in draws}
    )
    main.start()
    assert is_drawing.wait(PATIENCE)
    answer(lambda: write(typed), until=lambda: typed in draws)
    main.join(PATIENCE)
    assert not main.is_alive()
    assert search.value == typed
    assert draws == [first, typed]
    assert explorer.value == Selection(last="7d", text=typed)


def test_one_callback_at_a_time() -> None:
    """A callback waits for that of another thread, and may call another one."""
    events, is_inside = list[str](), Event()

    @in_turn
    def note(text: str) -> str:
        events.append(text)
        return text

    @in_turn
    def note_twice() -> str:
        events.append("begin")
        is_inside.set()
        time.sleep(0.1)
        return note("end")

    thread = Thread(target=note_twice)
    thread.start()
    assert is_inside.wait(PATIENCE)
    assert note("after") == "after"
    thread.join(PATIENCE)
    assert events == ["begin", "end", "after"]
