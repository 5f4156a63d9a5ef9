"""Tabs of the explorer with figures alone."""

from collections.abc import Sequence
from typing import Final

import ipywidgets
import pandas as pd

from backupkit import plots
from backupkit.plots.fonts import sanitise_text
from backupkit.plots.picture import to_timestamp
from backupkit.widgets import view_html
from backupkit.widgets.figure import FigureWidget
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
        self._cells = FigureWidget(on_click=self._on_cell_click, on_row=self._on_signature)
        self._arrange(self._bars, self._cells)
        self.box = ipywidgets.HBox(self.box.children, layout=ipywidgets.Layout(flex_flow="wrap"))

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw the runs of the worst appliances, and the failures of all."""
        self._view, self._rows = view, view.drawn_states.index[:_MAX_FIRST_ROWS]
        height = _FRAME_HEIGHT + _ROW_HEIGHT * max(len(self._rows), _MIN_ROWS)
        show_timeline(self._bars, view, self._rows, theme, figsize=(_BARS_WIDTH, height))
        parts = self._label_parts(view.failure_parts)
        self._cells.show(
            plots.failure_matrix(
                parts,
                limit=_MAX_CAUSES,
                columns=_MAX_PLACES,
                figsize=(_CELLS_WIDTH, height),
                theme=theme,
            ),
            "Failed jobs by error pattern and appliance",
            rows=self._signatures[:_MAX_CAUSES],
            chosen=view.selection.signatures,
        )

    def _label_parts(self, parts: pd.DataFrame) -> pd.DataFrame:
        """Shorten the error patterns to the room of the figure, and keep the order of its rows."""
        labels: dict[str, str] = {}  # signature by label
        for signature in parts["signature"].unique():
            label = sanitise_text(signature, width=_LABEL_LENGTH)
            labels[f"{label} {len(labels) + 1}" if label in labels else label] = signature
        short = {signature: label for label, signature in labels.items()}
        parts = parts.assign(signature=parts["signature"].map(short))
        self._signatures = [labels[label] for label in _rank(parts, "signature")]
        self._places = _rank(parts, "part")
        return parts

    def _on_signature(self, row: int) -> None:
        """Select an error pattern, or deselect it."""
        signature = _get(self._signatures[:_MAX_CAUSES], row)
        if signature:
            self._select(signatures=toggle(self._view.selection.signatures, signature))

    def _on_cell_click(self, x: float, y: float) -> None:
        """Select the error pattern and the appliance of a cell; a total selects one of them."""
        signature = _get(self._signatures[:_MAX_CAUSES], round(y))
        place = _get(self._places[:_MAX_PLACES], round(x))
        chosen = {"signatures": signature, "appliances": place}
        if signature or place:
            self._select(**{name: (value,) for name, value in chosen.items() if value})


def _rank(parts: pd.DataFrame, column: str) -> list[str]:
    """Return the values of a column in the order of the figure: the most failed jobs first."""
    totals = parts.groupby(column)["jobs"].sum()
    return [str(name) for name in sorted(totals.index, key=lambda name: (-totals[name], name))]


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
        self._cells = FigureWidget(
            on_click=self._on_cell_click, on_brush=self._on_span_drag, on_row=self._on_row
        )
        self._hint = ipywidgets.HTML()
        self._arrange(self._cells, self._hint)

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw one symbol per appliance and day."""
        self._hint.value = view_html.render_failed_hint(view)
        self._view, self._rows = view, view.drawn_states.index[:_MAX_ROWS]
        ax = plots.matrix(
            view.slots_of(self._rows),
            states=view.drawn_states,
            intervals=view.period.intervals,
            limit=_MAX_ROWS,
            theme=theme,
        )
        self._cells.show(
            ax,
            f"Expected runs of {len(view.drawn_states):,} appliances by day",
            rows=list(self._rows),
            chosen=view.selection.appliances,
        )

    def _on_cell_click(self, x: float, y: float) -> None:
        """Select the appliance and the day of a cell."""
        row = round(y)
        start = to_timestamp(x + 0.5).floor("D")  # a symbol is at the start of its UTC day
        end = min(start + pd.Timedelta(days=1), self._view.now)
        if 0 <= row < len(self._rows) and start < end:
            self._select(appliances=(str(self._rows[row]),), start=start, end=end)


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
