"""Timeline of the explorer: drawn by the page if anywidget is installed, otherwise a picture."""

from collections.abc import Callable
from typing import Any, Final

import ipywidgets
import numpy as np
import pandas as pd

from backupkit.display.format import Size
from backupkit.errors import one_line
from backupkit.plots import style
from backupkit.plots.running import find_running_jobs
from backupkit.plots.time_axis import drop_implausible_times
from backupkit.plots.timeline import explain_blank_row
from backupkit.widgets.figure import FigureWidget
from backupkit.widgets.view import FilteredView

__all__ = ["RunTimeline"]

_MAX_TEXT: Final = 300


class RunTimeline:
    """Timeline of the jobs of some appliances, to be put into a page as `widget`.

    Parameters
    ----------
    on_row : callable
        Called with the number of a row that was chosen.
    on_span : callable
        Called with start and end of a span that was dragged [UTC].
    picture : FigureWidget
        Shows the timeline where the page cannot draw it.
    draw : callable
        Draws the timeline into the picture.
    """

    def __init__(
        self,
        *,
        on_row: Callable[[int], None],
        on_span: Callable[[pd.Timestamp, pd.Timestamp], None],
        picture: FigureWidget,
        draw: Callable[[FigureWidget, FilteredView, pd.Index, str], None],
    ) -> None:
        self._picture, self._draw = picture, draw
        self._canvas: Any = None
        try:
            from backupkit.widgets.run_canvas import (  # noqa: PLC0415 # anywidget may be missing
                RunCanvas,
            )
        except ImportError:
            self.widget: ipywidgets.DOMWidget = picture.widget
        else:
            self.widget = self._canvas = RunCanvas(
                on_click=on_row, on_brush=on_span, describe=self._describe
            )

    def show(self, view: FilteredView, rows: pd.Index, theme: str) -> None:
        """Show the jobs of the appliances of `rows`, from the top."""
        if self._canvas is None:
            self._draw(self._picture, view, rows, theme)
            return
        from backupkit.widgets.run_canvas import encode_runs  # noqa: PLC0415 # as above

        self._view = view
        positions = view.positions_of(rows)
        frame = drop_implausible_times(view.timeline_frame(rows))
        started = frame["start_time"].notna().to_numpy()
        known = frame[started].reset_index(drop=True)  # and earlier ones, for the estimates
        self._positions = positions[started[: len(positions)]]
        jobs = known.iloc[: len(self._positions)]
        slots = view.slots_of(rows)
        shown = {*jobs["appliance"].unique(), *slots["appliance"].unique()}
        states = view.drawn_states
        notes = [
            "" if name in shown else explain_blank_row(state)
            for name, state in states[rows].items()
        ]
        names = [str(name) for name in rows]
        running = find_running_jobs(known, names, view.end, view.index.assessment.anomalies)
        runs = encode_runs(jobs, slots, rows=names, start=view.start, end=view.end, running=running)
        runs |= {
            "notes": notes,
            "chosen": [name in view.selection.appliances for name in rows],
            "caption": style.count_omitted(len(states) - len(rows), "with a newer success", states),
        }
        plural = "" if len(states) == 1 else "s"
        self._canvas.show(runs, f"Timeline of the jobs of {len(states):,} appliance{plural}")

    def clear(self) -> None:
        """Remove the timeline."""
        self._positions = np.empty(0, dtype=np.intp)
        if self._canvas is None:
            self._picture.clear()
        else:
            self._canvas.clear()

    def _describe(self, run: int) -> str:
        """Return job, size, cause and message of a run."""
        job = self._view.jobs_at(self._positions[[run]]).iloc[0]
        parts = [f"job {job['job_id']}"]
        if pd.notna(job["size"]):
            parts.append(str(Size(job["size"])))
        lines = [", ".join(parts)]
        lines += [str(job[name]) for name in ("cause_name", "signature") if pd.notna(job[name])]
        return "\n".join(one_line(line, limit=_MAX_TEXT) for line in lines)
