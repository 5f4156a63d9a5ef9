"""Tabs of the explorer with figures alone."""

from collections.abc import Sequence
from typing import Any, Final

import ipywidgets
import pandas as pd

from backupkit import plots
from backupkit.errors import one_line
from backupkit.plots import style
from backupkit.plots.failure_matrix import count_failures
from backupkit.plots.fonts import sanitise_text
from backupkit.plots.matrix import nights
from backupkit.widgets import view_html
from backupkit.widgets.figure import FigureWidget
from backupkit.widgets.grid import Grid
from backupkit.widgets.grid_arrays import encode_counts, encode_days
from backupkit.widgets.run_timeline import RunTimeline
from backupkit.widgets.tab import Select, Tab, toggle
from backupkit.widgets.view import FilteredView

__all__ = ["Durations", "Matrix", "Overview", "Timeline"]

_MAX_ROWS: Final = 25
_MAX_FIRST_ROWS: Final = 10
"""Maximum number of rows of the first picture, so that it is on one screen with the filters."""

_MIN_ROWS: Final = 6
_MAX_CAUSES: Final = 8
_MAX_PLACES: Final = 8
_LABEL_LENGTH: Final = 26
_BARS_WIDTH: Final = 6.35
_CELLS_WIDTH: Final = 4.05  # [inch]; both are beside each other on a screen of 1,366 pixels
_FRAME_HEIGHT: Final = 1.55
_ROW_HEIGHT: Final = 0.24
_MAX_CURVES: Final = 12
_MAX_LINES: Final = 3
_MAX_TEXT: Final = 300
_DAY: Final = pd.Timedelta(days=1)
_JOBS: Final = ("job", "jobs")
_SELECTED_JOBS: Final = ("selected job", "selected jobs")
_PROGRESS_HINT: Final = (
    f"<small>Choose up to {_MAX_CURVES} appliances to see how their jobs progressed.</small>"
)


class Overview(Tab):
    """Tab with the two main pictures: the runs, and the failures by pattern and appliance."""

    name = "Overview"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._bars = FigureWidget(
            on_click=self._on_row_click, on_brush=self._on_span_drag, on_row=self._on_row
        )
        self._cells = Grid(on_cell=self._on_cell, describe=self._describe)
        self._cells.widget.layout = ipywidgets.Layout(flex="1 1 300px", min_width="0")
        self._arrange(self._bars, self._cells)
        self.box = ipywidgets.HBox(self.box.children, layout=ipywidgets.Layout(flex_flow="wrap"))

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw the runs of the worst appliances, and the failures of all."""
        self._view, self._rows = view, view.drawn_states.index[:_MAX_FIRST_ROWS]
        height = _FRAME_HEIGHT + _ROW_HEIGHT * max(len(self._rows), _MIN_ROWS)
        show_timeline(self._bars, view, self._rows, theme, figsize=(_BARS_WIDTH, height))
        self._cells.show(
            "Failed jobs by error pattern and appliance",
            encode=self._encode,
            draw=lambda: plots.failure_matrix(
                _shorten(view.failure_parts),
                limit=_MAX_CAUSES,
                columns=_MAX_PLACES,
                figsize=(_CELLS_WIDTH, height),
                theme=theme,
            ),
        )

    def _encode(self) -> dict[str, Any]:
        """Return the number of failed jobs by error pattern and appliance."""
        selection = self._view.selection
        self._counted = count_failures(
            self._view.failure_parts, limit=_MAX_CAUSES, columns=_MAX_PLACES
        )
        return encode_counts(
            self._counted, chosen=selection.signatures, chosen_columns=selection.appliances
        )

    def _on_cell(self, row: int, column: int) -> None:
        """Select the error pattern and the appliance of a cell; a total selects one of them."""
        signature = _get(self._counted.rows, row)
        if column < 0:
            if signature:
                self._select(signatures=toggle(self._view.selection.signatures, signature))
            return
        chosen = {"signatures": signature, "appliances": _get(self._counted.columns, column)}
        if any(chosen.values()):
            self._select(**{name: (value,) for name, value in chosen.items() if value})

    def _describe(self, row: int, _column: int) -> str:
        """Return the cause of the error pattern of a row."""
        return self._view.describe_cause(_get(self._counted.rows, row))


def _shorten(parts: pd.DataFrame) -> pd.DataFrame:
    """Shorten the error patterns to the room of the picture; no two of them become the same."""
    labels: dict[str, str] = {}  # signature by label
    for signature in parts["signature"].unique():
        label = sanitise_text(signature, width=_LABEL_LENGTH)
        labels[f"{label} {len(labels) + 1}" if label in labels else label] = signature
    return parts.assign(
        signature=parts["signature"].map({name: label for label, name in labels.items()})
    )


def _get(values: Sequence[str], place: int) -> str:
    """Return the value at a place; "" if there is none."""
    return values[place] if 0 <= place < len(values) else ""


def show_timeline(
    figure: FigureWidget,
    view: FilteredView,
    rows: pd.Index,
    theme: str,
    figsize: tuple[float, float] | None = None,
) -> None:
    """Draw the jobs of some appliances as bars."""
    jobs, slots = view.timeline_frame(rows), view.slots_of(rows)
    ax = plots.timeline(
        jobs,
        slots=slots,
        states=view.drawn_states,
        anomalies=view.index.assessment.anomalies,
        start=view.start,
        end=view.end,
        limit=len(rows),
        figsize=figsize,
        theme=theme,
    )
    count = len(view.drawn_states)
    figure.show(
        ax,
        f"Timeline of the jobs of {count:,} appliance{'s' if count != 1 else ''}",
        rows=list(rows),
        chosen=view.selection.appliances,
    )


class Timeline(Tab):
    """Tab with the timeline of the jobs and their progress."""

    name = "Timeline"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        picture = FigureWidget(
            on_click=self._on_row_click, on_brush=self._on_span_drag, on_row=self._on_row
        )
        self._bars = RunTimeline(
            on_row=self._on_row, on_span=self._on_span, picture=picture, draw=show_timeline
        )
        self._progress = FigureWidget(on_brush=self._on_span_drag)
        self._hint = ipywidgets.HTML()
        self._arrange(self._bars, self._hint, self._progress)

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw the jobs as bars; for up to 12 appliances also their progress."""
        self._view, self._rows = view, view.drawn_states.index[:_MAX_ROWS]
        self._bars.show(view, self._rows, theme)
        draw_progress = len(view.drawn_states) <= _MAX_CURVES
        self._hint.value = "" if draw_progress else _PROGRESS_HINT
        if draw_progress:
            self._progress.show(
                plots.progress(view.observations(), theme=theme), "Progress of jobs"
            )
        else:
            self._progress.clear()


class Matrix(Tab):
    """Tab with the slot states by appliance and day."""

    name = "Matrix"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._cells = Grid(on_cell=self._on_cell, on_span=self._on_days, describe=self._describe)
        self._hint = ipywidgets.HTML()
        self._arrange(self._cells, self._hint)

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw one symbol per appliance and day."""
        self._hint.value = view_html.render_failed_hint(view)
        self._view, self._rows = view, view.drawn_states.index[:_MAX_ROWS]
        count = len(view.drawn_states)
        self._cells.show(
            f"Expected runs of {count:,} appliance{'s' if count != 1 else ''} by day",
            encode=self._encode,
            draw=lambda: plots.matrix(
                view.slots_of(self._rows),
                states=view.drawn_states,
                intervals=view.period.intervals,
                limit=_MAX_ROWS,
                theme=theme,
            ),
        )

    def _encode(self) -> dict[str, Any]:
        """Return the states and the number of jobs by appliance and day."""
        view, rows = self._view, self._rows
        intervals = view.period.intervals
        states = nights(view.slots_of(rows), intervals[intervals["appliance"].isin(rows)])
        self._days = pd.DatetimeIndex(states.columns)
        shown = rows if len(states) else rows[:0]
        omitted = len(view.drawn_states) - len(rows)
        return encode_days(
            states.reindex(shown),
            view.count_by_day(shown, self._days),
            chosen=view.selection.appliances,
            caption=style.count_omitted(omitted, "", view.drawn_states),
            nouns=_SELECTED_JOBS if view.selection.chooses_jobs else _JOBS,
        )

    def _on_cell(self, row: int, column: int) -> None:
        """Select the appliance and the day of a cell, or the appliance of a name."""
        if column < 0:
            self._on_row(row)
            return
        start = self._days[column]
        end = min(start + _DAY, self._view.now)  # each day begins before now
        self._select(appliances=(str(self._rows[row]),), start=start, end=end)

    def _on_days(self, first: int, last: int) -> None:
        self._on_span(self._days[first], self._days[last] + _DAY)

    def _describe(self, row: int, column: int) -> str:
        """Return the causes of the failed jobs of a cell, the most frequent first."""
        if column < 0:
            return ""
        view = self._view
        jobs = view.jobs_at(view.positions_of_day(str(self._rows[row]), self._days[column]))
        failed = jobs.loc[jobs["outcome"] == "failure", ["cause_name", "signature"]]
        counts = failed.astype("object").value_counts(dropna=False)
        lines = [
            ": ".join(one_line(part, limit=_MAX_TEXT) for part in causes if pd.notna(part))
            for causes in counts.index[:_MAX_LINES]
        ]
        if len(counts) > _MAX_LINES:
            lines.append(f"and {len(counts) - _MAX_LINES:,} more")
        return "\n".join(lines)


class Durations(Tab):
    """Tab with the durations of the jobs and the load of the backup targets."""

    name = "Durations"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._lengths = FigureWidget()
        self._load = FigureWidget(on_brush=self._on_span_drag)
        self._arrange(self._lengths, self._load)

    def prepare(self, view: FilteredView) -> None:
        """Find the unusual jobs and the load of the targets, once."""
        _ = view.index.assessment.anomalies, view.index.assessment.loads

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw the durations with unusual jobs marked, then the load of the targets."""
        self._view = view
        jobs = view.plot_frame(view.positions, "appliance", "outcome", "target")
        assessment = view.index.assessment
        self._lengths.show(
            plots.durations(jobs, anomalies=assessment.anomalies, theme=theme),
            "Durations of the jobs",
        )
        self._load.show(
            plots.load(jobs, loads=assessment.loads, theme=theme),
            "Concurrent jobs per target",
        )
