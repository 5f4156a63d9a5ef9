"""From a change of a filter to the new picture, in the kernel; and the memory a fleet takes."""

import gc
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import cast

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing

from backupkit.history import History
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

TABS = ("Overview", "Appliances", "Timeline", "Matrix", "Failures", "Durations", "Jobs")
GOAL = 2
"""Times plain axes without data."""

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
        yield _latency(
            fleet_of(appliances, nights), scale.turns, changes=5 if scale.thorough else 1
        )
    yield _memory(scale)


def _latency(fleet: Fleet, turns: int, *, changes: int) -> Section:
    """Change the filter in each tab, and by turns draw plain axes as large as its pictures."""
    frames = Frames(fleet.jobs, fleet.polls, fleet.schedules, OBSERVATIONS.empty())
    began = time.process_time()
    explorer = explore(frames, Policy(), now=fleet.end, start=fleet.start)
    opened = time.process_time() - began
    changed: dict[str, list[float]] = {tab: [] for tab in TABS}
    plain: dict[str, list[float]] = {tab: [] for tab in TABS}
    for turn in range(turns + 1):
        print(f"  turn {turn} of {turns}: {len(fleet.jobs):,} jobs", file=sys.stderr, flush=True)
        for tab in TABS:
            explorer.tab = tab
            for selection in islice(_selections(fleet, turn), changes):
                first = _measure(partial(setattr, explorer, "value", selection))
                second = _measure(lambda: _draw_plain(_sizes(explorer)))
                if turn:  # the first one computes what is kept
                    changed[tab].append(first)
                    plain[tab].append(second)
    figures = [Figure("opening: judge the whole history, draw", opened, "s of CPU")]
    figures += [
        Figure(
            f"{tab}: change of a filter / plain axes of the same size",
            median(times) / median(plain[tab]),
            "x",
            GOAL,
            True,
        )
        for tab, times in changed.items()
    ]
    figures += [
        Figure(f"{tab}: change of a filter", 1e3 * median(times), "ms of CPU")
        for tab, times in changed.items()
    ]
    figures += [
        Figure(f"{tab}: plain axes", 1e3 * median(times), "ms of CPU")
        for tab, times in plain.items()
    ]
    return Section(
        f"{len(fleet.jobs):,} jobs explored: from a change of a filter until verdict, pictures and "
        f"tables are sent to the page; median of {turns} times {changes} changes",
        {},
        figures,
    )


def _selections(fleet: Fleet, turn: int) -> Iterator[Selection]:
    """Choose a week, a month of some appliances, failures, a quarter and all, new in each turn."""
    back, end = pd.Timedelta(hours=turn), fleet.end
    some = tuple(fleet.schedules["appliance"].iloc[turn : turn + 12])
    yield Selection(start=end - pd.Timedelta(days=7) - back)
    yield Selection(start=end - pd.Timedelta(days=30) - back, appliances=some)
    yield Selection(start=end - pd.Timedelta(days=90) - back, outcomes=("failure",))
    yield Selection(start=end - pd.Timedelta(days=90) - back)
    yield Selection(start=fleet.start + back)


def _measure(step: Callable[[], object]) -> float:
    """Return the CPU time of a step [s]."""
    gc.collect()
    began = time.process_time()
    step()
    return time.process_time() - began


def _sizes(explorer: Explorer) -> list[tuple[float, float]]:
    """Return the sizes of the open tab's pictures; of a tall one for a table [inch]."""
    held = vars(explorer._tabs[TABS.index(explorer.tab)]).values()
    drawn = (one._axes for one in held if isinstance(one, FigureWidget) and one._axes is not None)
    sizes = [cast("Drawing", ax.get_figure(root=True)).get_size_inches() for ax in drawn]
    return [(width, height) for width, height in sizes] or [(9, 1.4 + 0.24 * ROWS)]


def _draw_plain(sizes: list[tuple[float, float]]) -> None:
    """Draw empty axes by matplotlib alone, as PNG images of the same resolution."""
    for size in sizes:
        drawing = Drawing(figsize=size, dpi=110)
        drawing.subplots()
        FigureCanvasAgg(drawing).print_png(io.BytesIO())


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
