"""From a change of a filter to the new picture, in the kernel; and the memory a fleet takes."""

import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, cast

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from backupkit.history import History
from backupkit.plots import style
from backupkit.plots.picture import render_png
from backupkit.policy import Policy
from backupkit.tables import ERRORS, OBSERVATIONS
from backupkit.widgets import Explorer, Selection, explore
from backupkit.widgets.figure import FigureWidget
from tests.benchmarks.figures import Figure, Section
from tests.benchmarks.fleet import Fleet, fleet_of
from tests.benchmarks.scale import Scale

__all__ = ["sections"]

ROWS = 25
"""Of the tallest figures; the table of jobs is held against one of those."""

TABS = ("Overview", "Timeline", "Matrix", "Failures", "Durations", "Jobs")
GOAL = 3
"""Times the same axes without data."""

MEMORY = 1_500
"""The limit of explore() [MB]."""

MANY_NIGHTS = 365


@dataclass(frozen=True)
class Frames:
    """The frames that the explorer reads, without a history."""

    jobs: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame
    observations: pd.DataFrame


def sections(scale: Scale) -> Iterator[Section]:
    """Measure fleets of three sizes, then the memory of a large one."""
    for appliances, nights in scale.explored:
        yield _latency(fleet_of(appliances, nights), scale.turns)
    yield _memory(scale)


def _latency(fleet: Fleet, turns: int) -> Section:
    """Change the filter in each tab, and measure the time to the first picture."""
    frames = Frames(fleet.jobs, fleet.polls, fleet.schedules, OBSERVATIONS.empty())
    began = time.perf_counter()
    explorer = explore(frames, Policy(), now=fleet.end, last="90d")
    opened = time.perf_counter() - began
    some = tuple(fleet.schedules["appliance"].head(12))
    selections = [
        Selection(last="7d"),
        Selection(last="90d", outcomes=("failure",)),
        Selection(last="30d", appliances=some),
        Selection(last="90d"),
    ]
    empty: dict[str, list[float]] = {tab: [] for tab in TABS}
    first: dict[str, list[float]] = {tab: [] for tab in TABS}
    complete: dict[str, list[float]] = {tab: [] for tab in TABS}
    for number in range(1, turns + 1):
        print(f"  turn {number} of {turns}: {len(fleet.jobs):,} jobs", file=sys.stderr, flush=True)
        for tab in TABS:
            explorer.tab = tab
            for selection in selections:
                gc.collect()
                drawn, done = _changed(explorer, selection)
                first[tab].append(drawn)
                complete[tab].append(done)
                empty[tab].append(_empty(_first_axes(explorer)))
    figures = [Figure("opening: judge 90 days, draw", opened, "s")]
    figures += [
        Figure(
            f"{tab}: first picture / the same axes, empty",
            median(times) / median(empty[tab]),
            "x",
            GOAL,
            True,
        )
        for tab, times in first.items()
    ]
    figures += [
        Figure(f"{tab}: the same axes, empty", 1e3 * median(times), "ms")
        for tab, times in empty.items()
    ]
    figures += [
        Figure(f"{tab}: everything", 1e3 * median(times), "ms") for tab, times in complete.items()
    ]
    return Section(
        f"{len(fleet.jobs):,} jobs explored: from a change of the filter to what is sent to the "
        f"page; median of {turns} times {len(selections)} changes",
        {},
        figures,
    )


def _first_axes(explorer: Explorer) -> Axes | None:
    """Return the axes of the first picture of the open tab; None if it is a table."""
    held = vars(explorer._tabs[TABS.index(explorer.tab)]).values()
    return next((one._axes for one in held if isinstance(one, FigureWidget)), None)


def _empty(like: Axes | None) -> float:
    """Draw axes of the same size, with the same names of rows and of columns, without data [s]."""
    gc.collect()
    width, height = 9, 1.4 + 0.24 * ROWS
    rows = []
    if like is not None:
        width, height = cast("Drawing", like.get_figure(root=True)).get_size_inches()
        rows = [label.get_text() for label in like.get_yticklabels()]
    began = time.perf_counter()
    with style.apply_style():
        ax = style.prepare_axes(None, height=height, width=width)
        if like is not None:
            ax.set_title(like.get_title("left"))
            ax.set_xlabel(like.get_xlabel())
            ax.set_ylabel(like.get_ylabel())
            if rows and not like.get_ylabel():
                style.label_rows(ax, rows)
        render_png(ax)
    return time.perf_counter() - began


def _changed(explorer: Explorer, selection: Selection) -> tuple[float, float]:
    """Change the selection; return the times to the first and to the last picture or table [s]."""
    sent: list[float] = []
    opened = explorer._tabs[TABS.index(explorer.tab)].box
    name = "value" if explorer.tab == "Jobs" else "src"  # the jobs are a table
    shown = [one for one in _walk(opened) if hasattr(one, name)]

    def note(change: dict[str, Any]) -> None:
        if change["new"]:
            sent.append(time.perf_counter())

    for one in shown:
        one.observe(note, names=name)
    began = time.perf_counter()
    explorer.value = selection
    done = time.perf_counter() - began
    for one in shown:
        one.unobserve(note, names=name)
    pictures = [moment for moment in sent if moment > began]
    return (pictures[0] if pictures else began + done) - began, done


def _walk(widget: Any) -> Iterator[Any]:  # noqa: ANN401 # any widget
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _walk(child)


def _memory(scale: Scale) -> Section:
    """Store a year of a large fleet in a history, and explore it in another process."""
    fleet = fleet_of(scale.judged, min(MANY_NIGHTS, scale.judged_jobs))
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder) / "history.db")
        history.append(_snapshot(fleet))
        result = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.explore", history.uri, str(fleet.end)],
            check=True,
            capture_output=True,
            text=True,
        )
    peak, seconds = (float(number) for number in result.stdout.split())
    return Section(
        f"{len(fleet.jobs):,} jobs of {scale.judged:,} appliances in a history: opened and "
        "filtered in every tab, in a process of its own",
        {},
        [
            Figure("most memory", peak, "MB", MEMORY, True),
            Figure("explore() until it is shown", seconds, "s"),
        ],
    )


@dataclass(frozen=True)
class _Snapshot:
    observations: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame
    errors: pd.DataFrame


def _snapshot(fleet: Fleet) -> _Snapshot:
    """Return the fleet's frames as the snapshot of one collection."""
    names = [name for name in OBSERVATIONS.names if name in fleet.jobs]
    last = fleet.polls.groupby("appliance")["polled_at"].max()
    seen = fleet.jobs[names].assign(observed_at=fleet.jobs["appliance"].map(last), source="details")
    plans = fleet.schedules.assign(seen_at=fleet.start)
    return _Snapshot(OBSERVATIONS.conform(seen), fleet.polls, plans, ERRORS.empty())


def _explore_alone(path: str, now: str) -> None:
    """Open a history, filter in every tab, and print the most memory [MB] and the time [s]."""
    import resource  # noqa: PLC0415 # not on every machine

    began = time.perf_counter()
    explorer = explore(History(path), Policy(), now=now.replace(" ", "T"), last="30d")
    opened = time.perf_counter() - began
    for tab in TABS:
        explorer.tab = tab
        for selection in (Selection(last="90d"), Selection(last="7d", outcomes=("failure",))):
            explorer.value = selection
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024, opened)


if __name__ == "__main__":
    _explore_alone(sys.argv[1], sys.argv[2])
