"""Slow steps beside the page: a sign that one runs, with a button to cancel it."""

import asyncio
from collections.abc import Callable
from threading import Event
from typing import TypeVar

import ipywidgets

from backupkit.widgets import view_html
from backupkit.widgets.turns import in_turn
from backupkit.widgets.view import Cancelled

__all__ = ["BusySign", "is_in_page", "make_button"]

Result = TypeVar("Result")


def is_in_page() -> bool:
    """Return whether an event loop runs, as in a kernel: a page waits for what comes next."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def make_button(text: str, icon: str, tooltip: str, step: Callable[[], None]) -> ipywidgets.Button:
    """Return a small button that runs a step."""
    button = ipywidgets.Button(
        description=text,
        icon=icon,
        tooltip=tooltip,
        layout=ipywidgets.Layout(width="auto", height="26px"),
    )
    button.on_click(in_turn(lambda _button: step()))
    return button


class BusySign:
    """Sign that a slow step runs, as `box`; its button calls `on_cancel`."""

    def __init__(self, on_cancel: Callable[[], None]) -> None:
        self._text = ipywidgets.HTML()
        self._button = make_button("Cancel", "stop", "Keep what is shown", self._cancel)
        self._on_cancel = on_cancel
        self._stop: Event | None = None
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="center", display="none")
        self.box = ipywidgets.HBox([self._text, self._button], layout=row)

    @property
    def is_busy(self) -> bool:
        """True while a step runs beside the page."""
        return self._stop is not None

    def show(self, text: str, *, can_cancel: bool = False) -> None:
        """Show what is being computed."""
        self._text.value = view_html.render_busy_message(text)
        self._button.layout.display = "" if can_cancel else "none"
        self.box.layout.display = "flex"

    def clear(self) -> None:
        """Remove the sign, and give up the step that runs, if any."""
        if self._stop is not None:
            self._stop.set()
            self._stop = None
        if self._text.value:
            self._text.value = ""
            self.box.layout.display = "none"

    def run(
        self,
        text: str,
        step: Callable[[Event], Result],
        then: Callable[[Callable[[], Result]], None],
    ) -> None:
        """Run a step in a thread; afterwards call `then` in the event loop with its result.

        The step gets an event that is set when its result is no longer wanted. Then `then` is not
        called. Its argument returns the result of the step, or raises its error.
        """
        self.clear()
        self._stop = stop = Event()
        self.show(text, can_cancel=True)
        future = asyncio.get_running_loop().run_in_executor(None, step, stop)

        @in_turn
        def finish(done: asyncio.Future[Result]) -> None:
            error = done.exception()  # also marks it as seen
            if not stop.is_set():
                self.clear()
                then(done.result)
            elif error is not None and not isinstance(error, Cancelled):
                raise error

        future.add_done_callback(finish)

    def _cancel(self) -> None:
        self.clear()
        self._on_cancel()
