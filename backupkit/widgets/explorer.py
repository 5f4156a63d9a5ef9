"""Explorer widget: filters, verdict and tabs of a fleet."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, Final

import ipywidgets
import pandas as pd
from IPython.display import display

from backupkit.assessment import Assessment
from backupkit.plots.picture import without_pyplot
from backupkit.reports import report
from backupkit.reports.columns import stream_csv
from backupkit.reports.files import write_files
from backupkit.tables import ASSESSED_JOBS
from backupkit.widgets import view_html
from backupkit.widgets.busy import BusySign, is_in_page, make_button
from backupkit.widgets.explorer_data import ExplorerData
from backupkit.widgets.explorer_layout import arrange, format_call
from backupkit.widgets.figure import FigureWidget
from backupkit.widgets.filters import Filters
from backupkit.widgets.saving import choose_path, render_link
from backupkit.widgets.selection import Selection
from backupkit.widgets.still import render_hidden, render_hiding_style, render_still
from backupkit.widgets.tab import Tab
from backupkit.widgets.table_tabs import Appliances, Failures, Jobs, TableTab
from backupkit.widgets.table_widget import read_orders, set_orders
from backupkit.widgets.tabs import Durations, Matrix, Overview, Timeline
from backupkit.widgets.turns import in_turn
from backupkit.widgets.view import FilteredView

__all__ = ["Explorer"]

_DELAY: Final = 0.02  # time for further changes to arrive before a selection is drawn [s]

_NO_KERNEL: Final = "The explorer needs a running kernel. Its still picture is below."

_MAX_PAST: Final = 50  # selections that the button Back returns to


class Explorer:
    """Explorer widget: verdict, filters and seven tabs of one fleet.

    Parameters
    ----------
    data : ExplorerData
        Data of the fleet and its assessment; several explorers may share it.
    selection : Selection
        Initial selection.
    tab : str
        Name of the tab to open first.
    tables : mapping of str to mapping
        Initial sort and column filters of the tables, as in the attribute.
    folder : str or Path
        Folder of the exports.
    theme : {"light", "dark"}
        Colour theme of the figures. With anywidget, JupyterLab's theme replaces it.

    Attributes
    ----------
    value : Selection
        Current selection; it can be set.
    jobs : DataFrame
        Selected jobs, the newest first, each with its site and group.
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
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        folder: str | Path = ".",
        theme: str = "light",
    ) -> None:
        self._data = data
        self._folder, self._theme = Path(folder), theme
        self._view: FilteredView | None = None
        self._waiting: object | None = None  # the one change that is to be drawn soon
        self._assessment: Assessment | None = None
        self._past: list[Selection] = []
        self._shown_tab = 0
        self._still_class = f"backupkit-still-{secrets.token_hex(8)}"
        self._is_going_back = False
        self._build()
        self.tab = tab
        self.tables = tables or {}
        self.value = selection

    @property
    def value(self) -> Selection:
        """Current selection; it can be set."""
        return self._filters.value

    @value.setter
    def value(self, selection: Selection) -> None:
        self._data.check(selection)
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
    def tables(self) -> Mapping[str, Mapping[str, Any]]:
        """Sort and column filters of the tables, by tab, as for `explore`; they can be set."""
        return read_orders(self._tables)

    @tables.setter
    def tables(self, orders: Mapping[str, Mapping[str, Any]]) -> None:
        set_orders(self._tables, orders)

    @property
    def jobs(self) -> pd.DataFrame:
        """Selected jobs, the newest first: `backupkit.tables.ASSESSED_JOBS`, site and group."""
        self._finish()
        if self._view is None:
            return ASSESSED_JOBS.empty().assign(site="", group="")
        return self._view.jobs.join(self._view.members, on="appliance")

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
        return report(self.assessment).save(choose_path(self._folder, self._data.now, ".html"))[0]

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
        path = choose_path(self._folder, self._data.now, "-selected.csv")
        return write_files({path: stream_csv(self.jobs)})[0]

    def _build(self) -> None:
        self._filters = Filters(self._data, self._select_soon)
        kinds = (Overview, Appliances, Timeline, Matrix, Failures, Durations, Jobs)
        self._tabs: list[Tab] = [kind(self._change) for kind in kinds]
        self._tables = {tab.name: tab.table for tab in self._tabs if isinstance(tab, TableTab)}
        self._stack = ipywidgets.Tab(
            children=[tab.box for tab in self._tabs], titles=[tab.name for tab in self._tabs]
        )
        self._stack.observe(self._on_tab, names="selected_index")
        self._verdict, self._error, self._message = (ipywidgets.HTML() for _ in range(3))
        self._busy = BusySign(self._on_cancel)
        # invisible; reports the page's theme
        self._theme_listener = FigureWidget(on_theme=self._on_theme)
        self._back, *buttons = (
            make_button(text, icon, tooltip, partial(self._show_errors, step))
            for text, icon, tooltip, step in (
                ("Back", "undo", "Return to the selection before", self._go_back),
                ("HTML", "download", "Save the report", lambda: self._save(self.export_html)),
                ("CSV", "download", "Save the jobs as CSV", lambda: self._save(self.export_csv)),
                ("Code", "code", "Show the code that restores this", self._show_code),
            )
        )
        self._back.disabled = True
        self._filters.bar.children = (*self._filters.bar.children, self._back)
        self.box = arrange(
            self._filters,
            buttons,
            above=self._verdict,
            below=[
                self._message,
                self._error,
                self._busy.box,
                self._stack,
                ipywidgets.HTML(render_hiding_style(self._still_class)),
                self._theme_listener.widget,
            ],
        )

    @in_turn
    def _on_theme(self, dark: bool) -> None:  # noqa: FBT001 # a trait's value
        self._theme = "dark" if dark else "light"
        self._clear_inactive_tabs()
        self._show_errors(self._draw)

    def _change(self, **attributes: Any) -> None:  # noqa: ANN401 # those of Selection
        """Change some attributes of the selection, after a click in a tab."""
        self._select_soon(replace(self.value, **attributes))

    def _go_back(self) -> None:
        """Show the selection before the present one."""
        self._is_going_back = True
        self._select_soon(self._past.pop())

    def _on_cancel(self) -> None:
        """Return to the selection and the tab that are shown."""
        if self._view is not None:
            self._filters.value = self._view.selection
            self._stack.selected_index = self._shown_tab

    @in_turn
    def _on_tab(self, _change: object) -> None:
        """Draw the tab that was opened; compute beside the page what takes a while."""
        view, tab = self._view, self._tabs[self._stack.selected_index or 0]
        is_slow = view is not None and self._data.is_large and tab.name not in view.index.drawn_tabs
        if view is None or not is_slow or not is_in_page():
            self._show_errors(self._draw)
            return
        self._busy.run(
            self._data.describe_drawing(tab.name),
            lambda _stop: tab.prepare(view),
            lambda result: self._show_errors(lambda: self._draw_prepared(result)),
        )

    def _draw_prepared(self, prepare: Callable[[], None]) -> None:
        prepare()  # raises the error of the step, if any
        self._draw()

    @in_turn
    def _select_soon(self, selection: Selection) -> None:
        """Show a selection after the changes that are already waiting: only the last is drawn."""
        if not is_in_page():
            self._select(selection)
            return
        self._cancel_waiting()
        self._show_errors(lambda: setattr(self._filters, "value", selection))
        self._waiting = change = object()
        asyncio.get_running_loop().call_later(
            _DELAY, self._show_errors, partial(self._begin, change)
        )

    @in_turn
    def _begin(self, change: object) -> None:
        """Show the selection that waits; compute it beside the page if that takes a while."""
        if change is not self._waiting:
            return  # a newer one came
        selection, previous = self.value, self._view
        text = self._data.describe_slow_step(selection)
        if not text:
            self._select(selection)
            return
        self._waiting = None
        self._busy.run(
            text,
            lambda stop: FilteredView(self._data, selection, previous=previous).prepare(stop),
            lambda result: self._select(selection, result),
        )

    @in_turn
    def _finish(self) -> None:
        """Show the selection that waits, if any."""
        if self._waiting is not None or self._busy.is_busy:
            self._select(self.value)

    def _cancel_waiting(self) -> None:
        self._busy.clear()
        self._waiting = None

    @in_turn
    def _select(
        self, selection: Selection, prepared: Callable[[], FilteredView] | None = None
    ) -> None:
        """Show a selection, from the filters, a tab or the caller."""
        self._cancel_waiting()
        previous = self._view
        self._view = self._assessment = None
        self._error.value = self._message.value = ""
        self._show_errors(lambda: self._show(selection, previous, prepared))
        self._busy.clear()
        if self._view is None:
            self._verdict.value = ""
            for tab in self._tabs:
                tab.clear()

    def _show(
        self,
        selection: Selection,
        previous: FilteredView | None,
        prepared: Callable[[], FilteredView] | None,
    ) -> None:
        if self._filters.value != selection:  # else a text that is being typed would be lost
            self._filters.value = selection
        if prepared is None:
            if text := self._data.describe_slow_step(selection):
                self._busy.show(text)
            self._view = FilteredView(self._data, selection, previous=previous)
        else:
            self._view = prepared()
        self._remember(previous)
        self._clear_inactive_tabs()
        self._draw()
        self._verdict.value = view_html.render_verdict_bar(self._view)

    def _remember(self, previous: FilteredView | None) -> None:
        """Remember the selection that was shown before, for the button Back."""
        if previous is not None and previous.selection != self.value and not self._is_going_back:
            self._past = [*self._past, previous.selection][-_MAX_PAST:]
        self._is_going_back = False
        self._back.disabled = not self._past

    def _clear_inactive_tabs(self) -> None:
        """Clear the other tabs, so that none opens with outdated content."""
        for index, tab in enumerate(self._tabs):
            if index != self._stack.selected_index:
                tab.clear()

    @without_pyplot()
    def _draw(self) -> None:
        """Draw the open tab only."""
        if self._view is None:
            return
        index = self._view.index
        if self.tab not in index.drawn_tabs:  # an assessment computes its frames when needed
            self._busy.show(self._data.describe_drawing(self.tab))
        self._shown_tab = self._stack.selected_index or 0
        self._tabs[self._shown_tab].show(self._view, self._theme)
        index.drawn_tabs.add(self.tab)
        self._busy.clear()

    def _show_errors(self, step: Callable[[], None]) -> None:
        """Execute a step and show any error, because Jupyter drops a callback's errors."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 # the user must see any error
            self._error.value = view_html.render_error_message(error)

    def _save(self, export: Callable[[], Path]) -> None:
        self._message.value = render_link(export())

    def _show_code(self) -> None:
        """Show the line of Python that restores what is shown."""
        self._message.value = f"<code>{escape(self.code())}</code>"

    def code(self) -> str:
        """Return the line of Python that opens an explorer with this selection, tab and tables.

        Returns
        -------
        str
            A call of `explore`; in it, `history` and `policy` stand for your own.

        Examples
        --------
        >>> from backupkit.policy import Policy
        >>> from backupkit.tables import JOBS, POLLS, SCHEDULES, HistoryView
        >>> from backupkit.widgets import explore
        >>> history = HistoryView(JOBS.empty(), POLLS.empty(), SCHEDULES.empty())
        >>> explorer = explore(history, Policy(), now="2026-11-23T23:30:00Z", outcomes=["failure"])
        >>> print(explorer.code())
        bk.widgets.explore(history, policy, now='2026-11-23T23:30:00+00:00', outcomes=('failure',))
        """
        tab = None if self.tab == self._tabs[0].name else self.tab
        return format_call(self.value, at=self._data.at, tab=tab, tables=self.tables)

    def _ipython_display_(self) -> None:
        """Display the widget, and a still picture that is visible only where the widget is not."""
        display(self.box._repr_mimebundle_() | {"text/plain": _NO_KERNEL}, raw=True)
        html = render_hidden(self._render_static_html(), self._still_class)
        display({"text/html": html, "text/plain": ""}, raw=True)

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:  # noqa: ANN401 # as IPython asks
        """Return the widget, with static HTML as a fallback."""
        # not private: the method is part of IPython's display protocol
        return {**self.box._repr_mimebundle_(**options), "text/html": self._render_static_html()}

    def _render_static_html(self) -> str:
        """Render the selection as static HTML."""
        if self._view is None or self.assessment is None:
            return str(self._error.value)
        return render_still(self._view, self.assessment)
