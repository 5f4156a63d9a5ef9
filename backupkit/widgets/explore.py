"""Explorer widget: filters, verdict and tabs of a fleet."""

import asyncio
import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, Final

import ipywidgets
import pandas as pd

from backupkit import plots
from backupkit.assessment import Assessment
from backupkit.policy import Policy
from backupkit.reports import report
from backupkit.reports.columns import stream_csv
from backupkit.reports.facts import build_data_uri
from backupkit.reports.files import write_files
from backupkit.reports.page import render, render_fragment
from backupkit.settings import Instant
from backupkit.tables import ASSESSED_JOBS
from backupkit.widgets import view_html
from backupkit.widgets.explorer_data import ExplorerData, Source
from backupkit.widgets.figure import FigureWidget
from backupkit.widgets.filters import Filters
from backupkit.widgets.tabs import Durations, Failures, Jobs, Matrix, Overview, Tab, Timeline
from backupkit.widgets.view import LISTS, FilteredView, Selection

__all__ = ["Explorer", "explore"]

_DELAY: Final = 0.02
"""Time for further changes to arrive before a selection is drawn [s]."""

_MAX_LINK_BYTES: Final = 6_000_000
"""Up to this size, a saved file is also a download link in the page [bytes]."""


class Explorer:
    """Explorer widget: filters, verdict and six tabs of one fleet.

    Parameters
    ----------
    data : ExplorerData
        Data of the fleet and its assessment; several explorers may share it.
    selection : Selection
        Initial selection.
    tab : str
        Name of the tab to open first.
    folder : str or Path
        Folder of the exports.
    theme : {"light", "dark"}
        Colour theme of the figures. With anywidget, JupyterLab's theme replaces it.

    Attributes
    ----------
    value : Selection
        Current selection; it can be set.
    jobs : DataFrame
        Selected jobs, the newest first.
    assessment : Assessment or None
        Assessment of the selected appliances over the period; None if the selection is invalid.
    box : ipywidgets.VBox
        The widget, to embed in another one.
    """

    def __init__(
        self,
        data: ExplorerData,
        selection: Selection,
        *,
        tab: str = "Overview",
        folder: str | Path = ".",
        theme: str = "light",
    ) -> None:
        self._data = data
        self._folder, self._theme = Path(folder), theme
        self._view: FilteredView | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._assessment: Assessment | None = None
        self._build()
        self.tab = tab
        self.value = selection

    @property
    def value(self) -> Selection:
        """Current selection; it can be set."""
        return self._filters.value

    @value.setter
    def value(self, selection: Selection) -> None:
        self._check_selection(selection)
        self._select(selection)

    @property
    def tab(self) -> str:
        """Name of the open tab."""
        return self._tabs[self._stack.selected_index or 0].name

    @tab.setter
    def tab(self, name: str) -> None:
        names = [tab.name for tab in self._tabs]
        if name not in names:
            raise ValueError(f'no such tab: "{name}"; there are {", ".join(names)}')
        self._stack.selected_index = names.index(name)

    @property
    def jobs(self) -> pd.DataFrame:
        """Selected jobs, the newest first, of `backupkit.tables.ASSESSED_JOBS`."""
        self._finish()
        return self._view.jobs if self._view is not None else ASSESSED_JOBS.empty()

    @property
    def assessment(self) -> Assessment | None:
        """Assessment of the selected appliances over the period, computed on first access."""
        self._finish()
        if self._assessment is None and self._view is not None:
            view = self._view
            self._assessment = self._data.assess(tuple(view.states.index), view.start, view.end)
        return self._assessment

    def export_html(self) -> Path:
        """Save the report of the selected appliances, with its data files.

        Returns
        -------
        Path
            The HTML file.

        Raises
        ------
        OutputError
            If a file cannot be written.
        SettingsError
            If the selection cannot be assessed.
        ValueError
            If the selection is invalid, so that nothing is shown.
        """
        if self.assessment is None:
            raise ValueError("nothing can be exported: the selection cannot be shown")
        return report(self.assessment).save(self._folder / f"{self._build_file_name()}.html")[0]

    def export_csv(self) -> Path:
        """Save the selected jobs as CSV, one row per job, with uncut messages.

        Returns
        -------
        Path
            The CSV file, safe to open in a spreadsheet.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        path = self._folder / f"{self._build_file_name()}.jobs.csv"
        return write_files({path: stream_csv(self.jobs)})[0]

    def _build_file_name(self) -> str:
        return f"backupkit-{self._data.now:%Y%m%d-%H%M}"

    def _check_selection(self, selection: Selection) -> None:
        """Raise ValueError if an appliance, site or group does not exist."""
        for name, existing in (
            ("appliances", self._data.names),
            ("sites", {site for site in self._data.sites.values() if site}),
            ("groups", {group for group in self._data.groups.values() if group}),
        ):
            unknown = sorted(set(getattr(selection, name)) - set(existing))
            if unknown:
                examples = ", ".join(sorted(existing)[:10]) or "none"
                raise ValueError(
                    f"no such {name[:-1]}: {', '.join(unknown)}; there are: {examples}"
                )

    def _build(self) -> None:
        self._filters = Filters(self._data, self._select_soon)
        self._tabs: list[Tab] = [
            Overview(self._change),
            Timeline(self._change, self._observations),
            Matrix(self._change),
            Failures(self._change),
            Durations(self._change),
            Jobs(self._change),
        ]
        self._stack = ipywidgets.Tab(
            children=[tab.box for tab in self._tabs], titles=[tab.name for tab in self._tabs]
        )
        self._stack.observe(lambda _change: self._show_errors(self._draw), names="selected_index")
        self._verdict, self._error, self._saved_message, self._progress = (
            ipywidgets.HTML() for _ in range(4)
        )
        # invisible; reports the page's theme
        self._theme_listener = FigureWidget(on_theme=self._on_theme)
        button_layout = ipywidgets.Layout(width="auto")
        html = ipywidgets.Button(description="Export HTML", icon="download", layout=button_layout)
        csv = ipywidgets.Button(description="Export CSV", icon="download", layout=button_layout)
        html.on_click(lambda _button: self._show_errors(lambda: self._save(self.export_html)))
        csv.on_click(lambda _button: self._show_errors(lambda: self._save(self.export_csv)))
        row_layout = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        buttons = ipywidgets.HBox(
            [self._filters.clear, html, csv, self._saved_message], layout=row_layout
        )
        main_layout = ipywidgets.Layout(flex="1 1 auto", min_width="0")
        main = [
            self._filters.top,
            self._verdict,
            buttons,
            self._error,
            self._progress,
            self._stack,
        ]
        columns = ipywidgets.HBox([self._filters.side, ipywidgets.VBox(main, layout=main_layout)])
        self.box = ipywidgets.VBox([columns, self._theme_listener.widget])

    def _on_theme(self, dark: bool) -> None:  # noqa: FBT001 # a trait's value
        self._theme = "dark" if dark else "light"
        self._clear_inactive_tabs()
        self._show_errors(self._draw)

    def _change(self, **attributes: Any) -> None:  # noqa: ANN401 # those of Selection
        """Change some attributes of the selection, after a click in a tab."""
        self._select_soon(replace(self.value, **attributes))

    def _select_soon(self, selection: Selection) -> None:
        """Show a selection after the changes that are already waiting: only the last is drawn."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # not in Jupyter
            self._select(selection)
            return
        self._cancel_waiting()
        self._show_errors(lambda: setattr(self._filters, "value", selection))
        self._waiting = loop.call_later(_DELAY, self._finish)

    def _finish(self) -> None:
        """Show the selection that waits, if any."""
        if self._waiting is not None:
            self._select(self.value)

    def _cancel_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _select(self, selection: Selection) -> None:
        """Show a selection, from the filters, a tab or the caller."""
        self._cancel_waiting()
        previous = self._view
        self._view = self._assessment = None
        self._error.value = self._saved_message.value = ""
        self._show_errors(lambda: self._show(selection, previous))
        self._progress.value = ""
        if self._view is None:
            self._verdict.value = ""
            for tab in self._tabs:
                tab.clear()

    def _show(self, selection: Selection, previous: FilteredView | None) -> None:
        self._filters.value = selection
        start, _ = selection.period(self._data.now)
        if not self._data.is_assessed(start):
            self._show_progress(start)
        self._view = FilteredView(self._data, selection, previous=previous)
        self._clear_inactive_tabs()
        self._draw()
        self._verdict.value = view_html.render_verdict_bar(self._view)

    def _clear_inactive_tabs(self) -> None:
        """Clear the other tabs, so that none opens with outdated content."""
        for index, tab in enumerate(self._tabs):
            if index != self._stack.selected_index:
                tab.clear()

    def _draw(self) -> None:
        """Draw the open tab only."""
        if self._view is None:
            return
        index = self._view.index
        if self.tab not in index.drawn_tabs:  # an assessment computes its frames when needed
            self._show_progress(index.assessment.start)
        self._tabs[self._stack.selected_index or 0].show(self._view, self._theme)
        index.drawn_tabs.add(self.tab)
        self._progress.value = ""

    def _show_progress(self, start: pd.Timestamp) -> None:
        """Show that jobs are assessed, the only step that takes more than a moment."""
        self._progress.value = view_html.render_progress_message(self._data.job_count, start)

    def _show_errors(self, step: Callable[[], None]) -> None:
        """Execute a step and show any error, because Jupyter drops a callback's errors."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 # the user must see any error
            self._error.value = view_html.render_error_message(error)

    def _save(self, export: Callable[[], Path]) -> None:
        path = export()
        data = path.read_bytes()
        name = escape(path.name)
        if len(data) <= _MAX_LINK_BYTES:
            media_type = "text/html" if path.suffix == ".html" else "text/csv"
            link = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
            name = f'<a download="{name}" href="{link}">{name}</a>'
        self._saved_message.value = f"Saved {name} ({len(data) / 1024:,.0f} KiB)"

    def _observations(self, view: FilteredView) -> pd.DataFrame:
        observations = self._data.observations(view.drawn_states.index, view.start)
        return (
            observations[observations["observed_at"] <= view.end]
            if view.end < view.now
            else observations
        )

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:  # noqa: ANN401 # as IPython asks
        """Return the widget, with static HTML as a fallback."""
        # not private: the method is part of IPython's display protocol
        return {**self.box._repr_mimebundle_(**options), "text/html": self._render_static_html()}

    def _render_static_html(self) -> str:
        """Render verdict, worst appliances, timeline and newest jobs as static HTML."""
        if self._view is None or self.assessment is None:
            return str(self._error.value)
        view = self._view
        ax = plots.timeline(
            view.plot_frame(
                view.positions_of(view.drawn_states.index[:25]), "appliance", "outcome"
            ),
            slots=view.slots_of(view.drawn_states.index[:25]),
            states=view.drawn_states,
            start=view.start,
            end=view.end,
        )
        timeline = render("image.html", src=build_data_uri(ax), alt="Timeline of the selection")
        newest_jobs = view_html.render_jobs_table(view.jobs_at(view.positions[:25]))
        return "".join((render_fragment(self.assessment), timeline, newest_jobs))


def explore(
    source: Source,
    policy: Policy,
    *,
    last: str = "30d",
    tab: str = "Overview",
    now: Instant | None = None,
    folder: str | Path = ".",
    theme: str = "light",
    **chosen: Any,  # noqa: ANN401 # the attributes of Selection, checked there
) -> Explorer:
    """Open an explorer of a fleet: filters, figures and jobs.

    Parameters
    ----------
    source : History or Snapshot
        Source of the data; jobs, polls and schedules are read once.
    policy : Policy
        SLA parameters.
    last : str
        Length of the initial period, such as ``"7d"``.
    tab : str
        Tab to open first: Overview, Timeline, Matrix, Failures, Durations or Jobs.
    now : datetime or str, optional
        Time of the assessment; by default the current time.
    folder : str or Path
        Folder of the exports.
    theme : {"light", "dark"}
        Colour theme of the figures. With anywidget, JupyterLab's theme replaces it.
    **chosen
        Initial filters, by the attributes of `Selection`: ``appliances=["vc-1"]``,
        ``states=["breach"]``, ``outcomes=["failure"]``, ``start=...`` and so on.

    Returns
    -------
    Explorer
        ``.value`` is the selection, ``.jobs`` the selected jobs, ``.assessment`` the assessment.

    Raises
    ------
    TypeError
        If `Selection` has no such attribute, or a str is given instead of a list of str.
    ValueError
        If an appliance, site, group or tab does not exist.
    SettingsError
        If `now` cannot be parsed.
    """
    lists: Mapping[str, Any] = {
        name: value or () if name in LISTS else value for name, value in chosen.items()
    }
    selection = Selection(last=last, **lists)
    data = ExplorerData(source, policy, now=now)
    return Explorer(data, selection, tab=tab, folder=folder, theme=theme)
