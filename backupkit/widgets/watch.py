"""Watcher widget: the running jobs with progress and estimated time left."""

import threading
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import ipywidgets
import pandas as pd

from backupkit.client import Limits
from backupkit.collection.watcher import BackgroundCollection, Store, Watch
from backupkit.display import render_container, style_sheet
from backupkit.errors import BackupkitError
from backupkit.fleet import Appliance, Fleet, limits_of
from backupkit.widgets.bars import State, render_bars

__all__ = ["Watcher", "watch"]

KEEP_ENDED: Final = timedelta(minutes=1)
"""Time for which an ended job is still shown."""

STOP_TIMEOUT: Final = 15.0
"""Time for which `Watcher.stop` waits for the log-outs [s]."""

EXIT_TIMEOUT: Final = 3.0
"""Time for which the interpreter's exit waits for the log-outs [s]."""

FIRST_RENDER_TIMEOUT: Final = 2.0
"""Time for which the display waits for the first refresh, for front ends without widgets [s]."""

_displayed: dict[tuple[str, ...], "Watcher"] = {}


class Watcher:
    """Progress bars of the running jobs, updated by a background thread.

    Parameters
    ----------
    fleet : Fleet or iterable of Appliance
        Appliances to watch.
    history : History
        History that stores each collection and each change of a job.
    every : float
        Pause between two refreshes of the running jobs [s].
    find_every : float
        Pause between two collections, which find new jobs [s].
    limits : Limits, optional
        Timeouts, retries and concurrency.
    clock : callable, optional
        Returns the current time as an aware datetime; by default the system clock.

    Attributes
    ----------
    value : DataFrame
        Jobs at the newest refresh, of `backupkit.tables.RUNNING`.
    errors : DataFrame
        Errors of the newest collection, of `backupkit.tables.ERRORS`.
    running : bool
        Whether it is watching.
    refreshes : int
        Number of refreshes since the start.
    box : ipywidgets.VBox
        The widget, to embed in another one.

    Notes
    -----
    The number of widgets is fixed. The watcher stops once it is no longer referenced. A displayed
    watcher stays referenced until the same fleet is watched again.
    """

    def __init__(
        self,
        fleet: Fleet | Iterable[Appliance],
        history: Store,
        *,
        every: float = 10.0,
        find_every: float = 60.0,
        limits: Limits | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._appliances = list(fleet)
        self._history, self._limits, self._clock = history, limits_of(fleet, limits), clock
        self._pauses = (every, find_every)
        self._thread: _WatchThread | None = None
        self._state = State(appliance_count=len(self._appliances))
        # nothing to end yet
        self._finalizer: weakref.finalize[..., Any] = weakref.finalize(self, bool)
        self.refreshes = 0
        self._build()
        self._refresh()

    @property
    def value(self) -> pd.DataFrame:
        """Jobs at the newest refresh, of `backupkit.tables.RUNNING`."""
        return self._state.frame

    @property
    def errors(self) -> pd.DataFrame:
        """Errors of the newest collection, of `backupkit.tables.ERRORS`."""
        return self._state.errors

    @property
    def running(self) -> bool:
        """True while it is watching."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start or resume watching; do nothing if it is already watching.

        Raises
        ------
        CredentialError
            If a password must be typed and is not.
        """
        if self.running:
            return
        watching = Watch(self._appliances, self._history, limits=self._limits, clock=self._clock)
        self._state = State(appliance_count=len(self._appliances), running=True)
        self.refreshes = 0
        self._thread = _WatchThread(
            watching, weakref.WeakMethod(self._show), self._state, *self._pauses
        )
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, self._thread.end, EXIT_TIMEOUT)
        self._refresh()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching and log out; wait for the log-outs at most 15 s."""
        if self._thread is not None:
            self._thread.end(STOP_TIMEOUT)

    def close(self) -> None:
        """Stop watching and remove the widget from the page."""
        self.stop()
        if _displayed.get(self._key) is self:
            del _displayed[self._key]
        widgets = [*self._buttons.children, self._buttons, self._style, self._html, self.box]
        for widget in widgets:
            for attached in (widget.layout, getattr(widget, "style", None)):
                if attached is not None:
                    attached.close()
            widget.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _build(self) -> None:
        # build once; refreshes update only values
        style = f"<style>{style_sheet()}</style>"
        self._style = ipywidgets.HTML(style, layout=ipywidgets.Layout(display="none"))
        self._html = ipywidgets.HTML()
        self._start = ipywidgets.Button(description="Start", icon="play")
        self._stop = ipywidgets.Button(description="Stop", icon="stop")
        # the page references the buttons; a weak reference lets the watcher be freed
        watcher_ref = weakref.ref(self)
        self._start.on_click(lambda _button: _call(watcher_ref, Watcher._on_start))
        self._stop.on_click(lambda _button: _call(watcher_ref, Watcher._on_stop))
        self._buttons = ipywidgets.HBox([self._start, self._stop])
        self.box = ipywidgets.VBox([self._style, self._buttons, self._html])

    @property
    def _key(self) -> tuple[str, ...]:
        """History and appliance names, as the key of displayed watchers."""
        return (repr(self._history), *(appliance.name for appliance in self._appliances))

    def _on_start(self) -> None:
        """Start and show any error, because Jupyter drops a callback's errors."""
        try:
            self.start()
        except BackupkitError as error:
            self._state = replace(self._state, messages=(str(error),))
            self._refresh()

    def _on_stop(self) -> None:
        """Stop without waiting for the log-outs, so that the page is not blocked."""
        if self._thread is not None:
            self._thread.end(0.0)

    def _show(self, state: State, refresh_count: int) -> None:
        """Show a new state; called by the background thread."""
        self._state, self.refreshes = state, refresh_count
        self._refresh()

    def _refresh(self) -> None:
        self._html.value = render_container(render_bars(self._state), styled=False)
        self._start.disabled = self._state.running
        self._stop.disabled = not self._state.running

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:  # noqa: ANN401 # as IPython asks
        """Return the widget, with static HTML as a fallback."""
        previous = _displayed.get(self._key)
        if previous is not None and previous is not self:  # the cell was executed again
            previous._on_stop()  # noqa: SLF001 # same class
        _displayed[self._key] = self
        if self._thread is not None:
            self._thread.refreshed.wait(FIRST_RENDER_TIMEOUT)
        # not private: the method is part of IPython's display protocol
        bundle = self.box._repr_mimebundle_(**options)
        return {**bundle, "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        return str(render_container(render_bars(self._state)))


class _WatchThread(threading.Thread):
    """Background thread of a watcher: collections find jobs, refreshes follow them."""

    def __init__(
        self,
        watching: Watch,
        show: "weakref.WeakMethod[Callable[[State, int], None]]",
        state: State,
        every: float,
        find_every: float,
    ) -> None:
        super().__init__(name="watch", daemon=True)  # does not block the interpreter's exit
        self._watching, self._show = watching, show
        self._every, self._find_every = every, find_every
        self._ended = threading.Event()
        self.refreshed = threading.Event()
        self._state = state
        self._refresh_count = 0
        self._step_errors: dict[str, str] = {}
        self._pending_collection: BackgroundCollection | None = None
        self._next_collection = 0.0

    def end(self, timeout: float) -> None:
        """Stop, and wait at most `timeout` for the log-outs [s]."""
        self._ended.set()
        self._watching.stop()
        if self is not threading.current_thread():
            self.join(timeout)

    def run(self) -> None:
        """Collect and refresh until stopped; show errors and try again."""
        with (
            self._watching,
            ThreadPoolExecutor(1, thread_name_prefix="watch-collect") as executor,
        ):
            while not self._ended.is_set():
                self._run_step("The collection", lambda: self._collect(executor))
                self._run_step("The refresh", self._refresh_jobs)
                self._publish()
                if self._pending_collection is not None and self._state.frame.empty:
                    self._pending_collection.wait(self._every)  # nothing to refresh yet
                else:
                    self._ended.wait(self._every)
            self._watching.stop()  # before the executor waits for the collection
        self._state = replace(self._state, running=False)
        self._publish()

    def _run_step(self, name: str, step: Callable[[], bool]) -> None:
        """Execute a step; keep its error on display until the same step succeeds."""
        try:
            if step():
                self._step_errors.pop(name, None)
        except Exception as error:  # noqa: BLE001 # otherwise a thread's errors are lost
            self._step_errors[name] = f"{name} failed: {type(error).__name__}: {error}"

    def _collect(self, executor: ThreadPoolExecutor) -> bool:
        """Store the polls of a collection that have ended, or start one if it is due.

        Returns whether a collection is complete.
        """
        collection = self._pending_collection
        if collection is None:
            if time.monotonic() >= self._next_collection:
                self._pending_collection = BackgroundCollection(self._watching, executor)
            return False
        if not collection.done:
            self._watching.ingest(collection.take_ended())
            return False
        self._pending_collection = None
        self._next_collection = time.monotonic() + self._find_every
        snapshot = collection.result()
        self._state = replace(self._state, errors=snapshot.errors, collected_at=self._now())
        self._watching.ingest(collection.take_rest())
        return True

    def _refresh_jobs(self) -> bool:
        """Refresh the running jobs; do not wait for appliances that answer late."""
        self._watching.forget(self._watching.now - KEEP_ENDED)
        self._watching.poll(timeout=self._every)
        frame = self._watching.get_progress()
        if self._state.collected_at is not None or not frame.empty:
            self._refresh_count += 1
            self._state = replace(self._state, frame=frame, refreshed_at=self._now())
        return True

    def _now(self) -> pd.Timestamp:
        return pd.Timestamp(self._watching.now.astimezone(UTC))

    def _publish(self) -> None:
        self._state = replace(self._state, messages=tuple(self._step_errors.values()))
        show = self._show()
        if show is None:  # the watcher was freed
            self._ended.set()
        else:
            show(self._state, self._refresh_count)
        if self._refresh_count:
            self.refreshed.set()


def _call(ref: "weakref.ref[Watcher]", method: Callable[[Watcher], None]) -> None:
    """Call a method of a watcher, unless it was freed."""
    watcher = ref()
    if watcher is not None:
        method(watcher)


def watch(
    fleet: Fleet | Iterable[Appliance],
    history: Store,
    *,
    every: float = 10.0,
    find_every: float = 60.0,
    limits: Limits | None = None,
    clock: Callable[[], datetime] | None = None,
) -> Watcher:
    """Show live progress bars of the running jobs, and store each change in the history.

    Parameters
    ----------
    fleet : Fleet or iterable of Appliance
        Appliances to watch. Passwords that must be typed are prompted for now, once.
    history : History
        History that stores each collection and each change of a job.
    every : float
        Pause between two refreshes of the running jobs [s].
    find_every : float
        Pause between two collections, which find new jobs [s].
    limits : Limits, optional
        Timeouts, retries and concurrency.
    clock : callable, optional
        Returns the current time as an aware datetime; by default the system clock.

    Returns
    -------
    Watcher
        Already watching; the kernel is not blocked. ``.stop()`` or the Stop button logs out
        everywhere. A front end without widgets shows a static copy of the bars.

    Raises
    ------
    CredentialError
        If a password must be typed and is not.

    Examples
    --------
    >>> import tempfile
    >>> from backupkit import Fleet, History
    >>> watcher = watch(Fleet([]), History(tempfile.mkdtemp() + "/history.db"))
    >>> watcher.stop()
    >>> watcher.running, len(watcher.value)
    (False, 0)
    """
    watcher = Watcher(
        fleet, history, every=every, find_every=find_every, limits=limits, clock=clock
    )
    watcher.start()
    return watcher
