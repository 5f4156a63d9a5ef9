"""Watcher widget: the running jobs with progress and estimated time left."""

import threading
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import ipywidgets
import pandas as pd

from backupkit.client import Limits
from backupkit.collect.snapshot import Snapshot
from backupkit.collect.watching import Keeper, Watch
from backupkit.display import container, style_sheet
from backupkit.errors import BackupkitError
from backupkit.fleet import Appliance, Fleet
from backupkit.widgets.bars import State, bars

__all__ = ["Watcher", "watch"]

LINGER: Final = timedelta(minutes=1)
"""Time for which an ended job is still shown."""

PATIENCE: Final = 15.0
"""Time for which `Watcher.stop` waits for the log-outs [s]."""

FAREWELL: Final = 3.0
"""Time for which the interpreter's exit waits for the log-outs [s]."""

GLANCE: Final = 2.0
"""Time for which the display waits for the first refresh, for front ends without widgets [s]."""

_on_screen: dict[tuple[str, ...], "Watcher"] = {}


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
    looks : int
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
        history: Keeper,
        *,
        every: float = 10.0,
        find_every: float = 60.0,
        limits: Limits | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._appliances = list(fleet)
        self._history, self._limits, self._clock = history, limits, clock
        self._pauses = (every, find_every)
        self._run: _Run | None = None
        self._state = State(asked=len(self._appliances))
        self._end: weakref.finalize[..., Any] = weakref.finalize(self, bool)  # nothing to end yet
        self.looks = 0
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
        return self._run is not None and self._run.is_alive()

    @property
    def box(self) -> ipywidgets.VBox:
        """The widget, to embed in another one."""
        return self._box

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
        self._state, self.looks = State(asked=len(self._appliances), running=True), 0
        self._run = _Run(watching, weakref.WeakMethod(self._show), self._state, *self._pauses)
        self._end.detach()
        self._end = weakref.finalize(self, self._run.end, FAREWELL)
        self._refresh()
        self._run.start()

    def stop(self) -> None:
        """Stop watching and log out; wait for the log-outs at most 15 s."""
        if self._run is not None:
            self._run.end(PATIENCE)

    def close(self) -> None:
        """Stop watching and remove the widget from the page."""
        self.stop()
        if _on_screen.get(self._key) is self:
            del _on_screen[self._key]
        parts = [*self._buttons.children, self._buttons, self._style, self._html, self._box]
        for part in parts:
            for belonging in (part.layout, getattr(part, "style", None)):
                if belonging is not None:
                    belonging.close()
            part.close()

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
        me = weakref.ref(self)
        self._start.on_click(lambda _button: _call(me, Watcher._on_start))
        self._stop.on_click(lambda _button: _call(me, Watcher._on_stop))
        self._buttons = ipywidgets.HBox([self._start, self._stop])
        self._box = ipywidgets.VBox([self._style, self._buttons, self._html])

    @property
    def _key(self) -> tuple[str, ...]:
        """History and appliance names, as the key of displayed watchers."""
        return (repr(self._history), *(one.name for one in self._appliances))

    def _on_start(self) -> None:
        """Start and show any error, because Jupyter drops a callback's errors."""
        try:
            self.start()
        except BackupkitError as error:
            self._state = replace(self._state, troubles=(str(error),))
            self._refresh()

    def _on_stop(self) -> None:
        """Stop without waiting for the log-outs, so that the page is not blocked."""
        if self._run is not None:
            self._run.end(0.0)

    def _show(self, state: State, looks: int) -> None:
        """Show a new state; called by the background thread."""
        self._state, self.looks = state, looks
        self._refresh()

    def _refresh(self) -> None:
        self._html.value = container(bars(self._state), styled=False)
        self._start.disabled = self._state.running
        self._stop.disabled = not self._state.running

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:  # noqa: ANN401 # as IPython asks
        """Return the widget, with static HTML as a fallback."""
        before = _on_screen.get(self._key)
        if before is not None and before is not self:  # the cell was executed again
            before._on_stop()  # noqa: SLF001 # same class
        _on_screen[self._key] = self
        if self._run is not None:
            self._run.looked.wait(GLANCE)
        # not private: the method is part of IPython's display protocol
        bundle = self._box._repr_mimebundle_(**options)
        return {**bundle, "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        return str(container(bars(self._state)))


class _Run(threading.Thread):
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
        self.looked = threading.Event()
        self._state = state
        self._looks = 0
        self._wrong: dict[str, str] = {}
        self._finding: Future[Snapshot] | None = None
        self._due = 0.0

    def end(self, patience: float) -> None:
        """Stop, and wait at most `patience` for the log-outs [s]."""
        self._ended.set()
        self._watching.stop()
        if self is not threading.current_thread():
            self.join(patience)

    def run(self) -> None:
        """Collect and refresh until stopped; show errors and try again."""
        with self._watching, ThreadPoolExecutor(1, thread_name_prefix="watch-round") as finder:
            while not self._ended.is_set():
                self._try("The round", lambda: self._find(finder))
                self._try("The look", self._look)
                self._tell()
                if self._finding is not None and self._state.found_at is None:
                    wait([self._finding])  # nothing to refresh yet
                else:
                    self._ended.wait(self._every)
            self._watching.stop()  # before the executor waits for the collection
        self._state = replace(self._state, running=False)
        self._tell()

    def _try(self, what: str, step: Callable[[], bool]) -> None:
        """Execute a step; keep its error on display until the same step succeeds."""
        try:
            if step():
                self._wrong.pop(what, None)
        except Exception as error:  # noqa: BLE001 # otherwise a thread's errors are lost
            self._wrong[what] = f"{what} failed: {type(error).__name__}: {error}"

    def _find(self, finder: ThreadPoolExecutor) -> bool:
        """Store a finished collection, or start one if it is due; return whether one was stored."""
        if self._finding is not None and self._finding.done():
            found, self._finding = self._finding, None
            self._due = time.monotonic() + self._find_every
            snapshot = found.result()
            self._state = replace(self._state, errors=snapshot.errors, found_at=self._now())
            self._watching.take(snapshot)
            return True
        if self._finding is None and time.monotonic() >= self._due:
            self._finding = finder.submit(self._watching.find)
        return False

    def _look(self) -> bool:
        """Refresh the running jobs; do not wait for appliances that answer late."""
        self._watching.forget(self._watching.now - LINGER)
        self._watching.look(patience=self._every)
        if self._state.found_at is not None:
            self._looks += 1
            frame = self._watching.running()
            self._state = replace(self._state, frame=frame, looked_at=self._now())
        return True

    def _now(self) -> pd.Timestamp:
        return pd.Timestamp(self._watching.now.astimezone(UTC))

    def _tell(self) -> None:
        self._state = replace(self._state, troubles=tuple(self._wrong.values()))
        show = self._show()
        if show is None:  # the watcher was freed
            self._ended.set()
        else:
            show(self._state, self._looks)
        if self._looks:
            self.looked.set()


def _call(ref: "weakref.ref[Watcher]", method: Callable[[Watcher], None]) -> None:
    """Call a method of a watcher, unless it was freed."""
    watcher = ref()
    if watcher is not None:
        method(watcher)


def watch(
    fleet: Fleet | Iterable[Appliance],
    history: Keeper,
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
