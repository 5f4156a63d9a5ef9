"""The watcher: which jobs run now, how far each is, and when it will be done."""

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
from backupkit.display import panel, style_sheet
from backupkit.errors import BackupkitError
from backupkit.fleet import Appliance, Fleet
from backupkit.widgets.bars import State, bars

__all__ = ["Watcher", "watch"]

LINGER: Final = timedelta(minutes=1)
"""How long a job is still shown after its end."""

PATIENCE: Final = 15.0
"""How long `Watcher.stop` waits for all log-outs [s]."""

FAREWELL: Final = 3.0
"""How long the end of the interpreter waits for them [s]."""

GLANCE: Final = 2.0
"""How long showing it waits for the first look, which is all that some front ends ever show [s]."""

_on_screen: dict[tuple[str, ...], "Watcher"] = {}


class Watcher:
    """Bars of the jobs that run, kept up to date by a thread of its own.

    Parameters
    ----------
    fleet : Fleet or iterable of Appliance
        Whom to ask.
    history : History
        Keeps each round, and each change.
    every : float
        How long to wait between two looks at the jobs that run [s].
    find_every : float
        How long to wait between two rounds, which find the jobs that began meanwhile [s].
    limits : Limits, optional
        How long to wait, how often to try, and how much to ask for at once.
    clock : callable, optional
        Gives the present as an aware datetime; by default the machine's clock.

    Attributes
    ----------
    value : DataFrame
        The newest look, of `backupkit.tables.RUNNING`.
    errors : DataFrame
        What the newest round could not read, of `backupkit.tables.ERRORS`.
    running : bool
        Whether it watches.
    looks : int
        How often it has looked since it was started.
    box : ipywidgets.VBox
        The widget itself, to be put into a larger one.

    Notes
    -----
    It has a fixed number of widgets, whatever it shows. It stops when nothing refers to it any
    more; once shown, the page does, until the same fleet is watched anew.
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
        """The newest look, of `backupkit.tables.RUNNING`."""
        return self._state.frame

    @property
    def errors(self) -> pd.DataFrame:
        """What the newest round could not read, of `backupkit.tables.ERRORS`."""
        return self._state.errors

    @property
    def running(self) -> bool:
        """Whether it watches."""
        return self._run is not None and self._run.is_alive()

    @property
    def box(self) -> ipywidgets.VBox:
        """The widget itself, to be put into a larger one."""
        return self._box

    def start(self) -> None:
        """Begin to watch, or go on; where it watches already, nothing changes.

        Raises
        ------
        CredentialError
            If a password that a person should type is not typed.
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
        """Stop watching: log out everywhere, and wait until that is done; no more than 15 s."""
        if self._run is not None:
            self._run.end(PATIENCE)

    def close(self) -> None:
        """Stop watching, and take the widget off the page."""
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
        # once; looks bring only what changes
        style = f"<style>{style_sheet()}</style>"
        self._style = ipywidgets.HTML(style, layout=ipywidgets.Layout(display="none"))
        self._html = ipywidgets.HTML()
        self._start = ipywidgets.Button(description="Start", icon="play")
        self._stop = ipywidgets.Button(description="Stop", icon="stop")
        # the page keeps the buttons, which must not keep the watcher
        me = weakref.ref(self)
        self._start.on_click(lambda _button: _call(me, Watcher._on_start))
        self._stop.on_click(lambda _button: _call(me, Watcher._on_stop))
        self._buttons = ipywidgets.HBox([self._start, self._stop])
        self._box = ipywidgets.VBox([self._style, self._buttons, self._html])

    @property
    def _key(self) -> tuple[str, ...]:
        """What is watched, and where it is kept."""
        return (repr(self._history), *(one.name for one in self._appliances))

    def _on_start(self) -> None:
        """Start; what goes wrong is shown, because Jupyter drops a callback's errors."""
        try:
            self.start()
        except BackupkitError as error:
            self._state = replace(self._state, troubles=(str(error),))
            self._refresh()

    def _on_stop(self) -> None:
        """Stop, and leave the log-outs to the thread: a page does not wait."""
        if self._run is not None:
            self._run.end(0.0)

    def _show(self, state: State, looks: int) -> None:
        """Show what the thread brings."""
        self._state, self.looks = state, looks
        self._refresh()

    def _refresh(self) -> None:
        self._html.value = panel(bars(self._state), styled=False)
        self._start.disabled = self._state.running
        self._stop.disabled = not self._state.running

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:  # noqa: ANN401 # as IPython asks
        """Show the widget, and what it shows where no widget can be shown."""
        before = _on_screen.get(self._key)
        if before is not None and before is not self:  # the cell was run again
            before._on_stop()  # noqa: SLF001 # another of this class
        _on_screen[self._key] = self
        if self._run is not None:
            self._run.looked.wait(GLANCE)
        # the method's name is IPython's protocol, not a private matter of the box
        bundle = self._box._repr_mimebundle_(**options)
        return {**bundle, "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        return str(panel(bars(self._state)))


class _Run(threading.Thread):
    """From start to stop: rounds that find jobs, and looks that follow them."""

    def __init__(
        self,
        watching: Watch,
        show: "weakref.WeakMethod[Callable[[State, int], None]]",
        state: State,
        every: float,
        find_every: float,
    ) -> None:
        super().__init__(name="watch", daemon=True)  # nobody's exit waits for it
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
        """Stop, and wait so long for the log-outs [s]."""
        self._ended.set()
        self._watching.stop()
        if self is not threading.current_thread():
            self.join(patience)

    def run(self) -> None:
        """Go on until stopped; what goes wrong is shown, and the next look may go well."""
        with self._watching, ThreadPoolExecutor(1, thread_name_prefix="watch-round") as finder:
            while not self._ended.is_set():
                self._try("The round", lambda: self._find(finder))
                self._try("The look", self._look)
                self._tell()
                if self._finding is not None and self._state.found_at is None:
                    wait([self._finding])  # there is nothing to look at yet
                else:
                    self._ended.wait(self._every)
            self._watching.stop()  # before the finder is waited for
        self._state = replace(self._state, running=False)
        self._tell()

    def _try(self, what: str, step: Callable[[], bool]) -> None:
        """Take a step; what went wrong is shown until the same goes well."""
        try:
            if step():
                self._wrong.pop(what, None)
        except Exception as error:  # noqa: BLE001 # a thread's errors reach nobody otherwise
            self._wrong[what] = f"{what} failed: {type(error).__name__}: {error}"

    def _find(self, finder: ThreadPoolExecutor) -> bool:
        """Take a round that is done, and begin one when it is time; tell whether one was taken."""
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
        """Ask what runs; who does not answer in time is not waited for."""
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
        if show is None:  # the watcher is gone
            self._ended.set()
        else:
            show(self._state, self._looks)
        if self._looks:
            self.looked.set()


def _call(ref: "weakref.ref[Watcher]", method: Callable[[Watcher], None]) -> None:
    """Call a method of a watcher, if it is still there."""
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
    """Show the jobs that run with bars that move, and keep each change in the history.

    Parameters
    ----------
    fleet : Fleet or iterable of Appliance
        Whom to ask. Passwords that a person types are asked for now, once.
    history : History
        Keeps each round, and each change.
    every : float
        How long to wait between two looks at the jobs that run [s].
    find_every : float
        How long to wait between two rounds, which find the jobs that began meanwhile [s].
    limits : Limits, optional
        How long to wait, how often to try, and how much to ask for at once.
    clock : callable, optional
        Gives the present as an aware datetime; by default the machine's clock.

    Returns
    -------
    Watcher
        It watches already, and the kernel stays free. ``.stop()``, or its Stop button, logs out
        everywhere; a front end without widgets shows the bars as they are.

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
