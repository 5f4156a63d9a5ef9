"""Filters of the explorer: appliances, period and jobs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import ipywidgets
import pandas as pd

from backupkit.display.format import format_timestamp, sanitise
from backupkit.plots.style import OUTCOME_STYLES
from backupkit.tables import STATES
from backupkit.widgets.explorer_data import ExplorerData
from backupkit.widgets.view import Selection

__all__ = ["Filters"]

_PERIOD_PRESETS: Final = (("24 h", "24h"), ("7 d", "7d"), ("30 d", "30d"), ("90 d", "90d"))
_MAX_STEPS: Final = 400
"""Maximum number of steps of the period slider."""

_DAY: Final = pd.Timedelta(days=1)
_MAX_TYPES: Final = 6
"""Maximum number of job types to choose from."""


class Filters:
    """Filter widgets in two boxes, with the current selection.

    `side` has the filters of appliances, `top` those of period and jobs; `clear` is the button that
    clears all filters. `on_change` is called with the new selection after a user changed it.
    """

    def __init__(self, data: ExplorerData, on_change: Callable[[Selection], None]) -> None:
        self._data = data
        self._on_change = on_change
        self._selection = Selection()
        self._ignore_changes = False
        self._build()

    @property
    def value(self) -> Selection:
        """Current selection; setting it updates the widgets without calling `on_change`."""
        return self._selection

    @value.setter
    def value(self, selection: Selection) -> None:
        self._ignore_changes = True
        try:
            self._selection = selection
            self._search.value = ""
            self._list_appliances()
            for name, widget in self._lists.items():
                widget.value = [
                    value for value in getattr(selection, name) if value in widget.options
                ]
            for name, group in self._toggle_groups.items():
                group.value = getattr(selection, name)
            self._show_period()
        finally:
            self._ignore_changes = False

    def _build(self) -> None:
        full_width = ipywidgets.Layout(width="auto")
        self._search = ipywidgets.Text(placeholder="Search appliances", layout=full_width)
        self._search.observe(self._on_search, names="value")
        self._appliance_list = ipywidgets.SelectMultiple(
            options=self._data.names, rows=min(max(len(self._data.names), 3), 14), layout=full_width
        )
        self._lists = {"appliances": self._appliance_list}
        side_widgets = [
            self._search,
            self._appliance_list,
            ipywidgets.HTML("<small>Nothing selected = all</small>"),
        ]
        for name, value_of in (("sites", self._data.sites), ("groups", self._data.groups)):
            values = sorted({value for value in value_of.values() if value})
            if len(values) > 1:
                choice = ipywidgets.SelectMultiple(
                    options=values, rows=min(len(values), 5), layout=full_width
                )
                self._lists[name] = choice
                side_widgets += [ipywidgets.HTML(f"<small>{name.capitalize()}</small>"), choice]
        for choice in self._lists.values():
            choice.observe(self._on_choice, names="value")
        self._toggle_groups = {
            "states": _ToggleGroup("State", {state: state for state in STATES}, self._on_press),
            "outcomes": _ToggleGroup(
                "Outcome",
                {name: status_style.label for name, status_style in OUTCOME_STYLES.items()},
                self._on_press,
            ),
            "types": _ToggleGroup(
                "Type",
                {
                    job_type: sanitise(job_type, limit=20).lower()
                    for job_type in self._data.types[:_MAX_TYPES]
                },
                self._on_press,
            ),
        }
        self._presets = ipywidgets.ToggleButtons(
            options=_PERIOD_PRESETS, value=None, style={"button_width": "auto"}
        )
        self._presets.observe(self._on_preset, names="value")
        self._slider_times = self._list_steps()
        labels = [format_timestamp(time) for time in self._slider_times]
        self._slider = ipywidgets.SelectionRangeSlider(
            options=list(zip(labels, self._slider_times, strict=True)),
            index=(0, len(labels) - 1),
            continuous_update=False,
            readout=False,
            layout=ipywidgets.Layout(width="100%", max_width="420px", min_width="160px"),
        )
        self._slider.observe(self._on_slide, names="index")
        self._readout = ipywidgets.Label()
        self.clear = ipywidgets.Button(
            description="Clear filters", icon="times", layout=ipywidgets.Layout(width="auto")
        )
        self.clear.on_click(lambda _button: self._change(Selection(last="30d")))
        row_layout = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        self.side = ipywidgets.VBox(
            side_widgets, layout=ipywidgets.Layout(flex="0 0 220px", margin="0 12px 0 0")
        )
        self.top = ipywidgets.VBox(
            [
                ipywidgets.HBox([self._presets, self._slider, self._readout], layout=row_layout),
                ipywidgets.HBox(
                    [group.box for group in self._toggle_groups.values()], layout=row_layout
                ),
            ]
        )

    def _list_steps(self) -> list[pd.Timestamp]:
        """Return the steps of the period slider: UTC midnights, and now."""
        first, now = self._data.first_start.floor("D"), self._data.now
        days = max(int((now - first) / _DAY), 1)
        step = _DAY * -(-days // _MAX_STEPS)
        last = now.floor("D")
        count = int((last - first) / step)
        midnights = [last - step * back for back in range(count, -1, -1)]
        return [*(time for time in midnights if time < now), now]

    def _show_period(self) -> None:
        """Update preset, slider and readout to the selection's period."""
        selection = self._selection
        values = [value for _, value in _PERIOD_PRESETS]
        preset = selection.start is None and selection.end is None and selection.last in values
        self._presets.value = selection.last if preset else None
        start, end = selection.period(self._data.now)
        steps = pd.DatetimeIndex(self._slider_times)
        last = min(int(steps.searchsorted(end)), len(steps) - 1)
        first = min(max(int(steps.searchsorted(start, side="right")) - 1, 0), last)
        self._slider.index = (first, last)
        self._readout.value = f"{format_timestamp(start)} to {format_timestamp(end)} UTC"

    def _list_appliances(self) -> None:
        # keep selected names on the list, so that a search does not change the selection
        search_text, chosen = self._search.value.casefold(), set(self._selection.appliances)
        listed = [
            name for name in self._data.names if search_text in name.casefold() or name in chosen
        ]
        before, self._ignore_changes = self._ignore_changes, True
        if list(self._appliance_list.options) != listed:
            self._appliance_list.value = ()  # first: the value must be among the options
            self._appliance_list.options = listed
            self._appliance_list.value = [
                name for name in self._selection.appliances if name in listed
            ]
        self._ignore_changes = before

    def _on_search(self, _change: Mapping[str, Any]) -> None:
        if not self._ignore_changes:
            self._list_appliances()

    def _on_choice(self, _change: Mapping[str, Any]) -> None:
        chosen: dict[str, Any] = {n: tuple(widget.value) for n, widget in self._lists.items()}
        self._change(replace(self._selection, **chosen))

    def _on_press(self) -> None:
        pressed: dict[str, Any] = {name: group.value for name, group in self._toggle_groups.items()}
        self._change(replace(self._selection, **pressed))

    def _on_preset(self, change: Mapping[str, Any]) -> None:
        if change["new"] is not None:
            self._change(replace(self._selection, last=change["new"], start=None, end=None))

    def _on_slide(self, change: Mapping[str, Any]) -> None:
        first, last = change["new"]
        if first == last:
            return
        end = None if last == len(self._slider_times) - 1 else self._slider_times[last]
        self._change(replace(self._selection, start=self._slider_times[first], end=end))

    def _change(self, selection: Selection) -> None:
        if not self._ignore_changes and selection != self._selection:
            self._on_change(selection)


class _ToggleGroup:
    """Toggle buttons with a label; any number can be pressed. `texts` are by value."""

    def __init__(self, label: str, texts: Mapping[str, str], on_change: Callable[[], None]) -> None:
        button_layout = ipywidgets.Layout(width="auto", height="26px", padding="0 9px")
        self._buttons = {
            value: ipywidgets.ToggleButton(
                description=text, tooltip=f"{label}: {text}", layout=button_layout
            )
            for value, text in texts.items()
        }
        self._on_change = on_change
        self._ignore_changes = False
        for button in self._buttons.values():
            button.observe(self._on_press, names="value")
        label_widget = ipywidgets.HTML(label, layout=ipywidgets.Layout(margin="0 6px 0 2px"))
        row_layout = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        row = ipywidgets.HBox(list(self._buttons.values()), layout=row_layout)
        box_layout = ipywidgets.Layout(margin="0 14px 0 0")
        self.box = ipywidgets.HBox([label_widget, row], layout=box_layout)

    @property
    def value(self) -> tuple[str, ...]:
        """Values of the pressed buttons."""
        return tuple(value for value, button in self._buttons.items() if button.value)

    @value.setter
    def value(self, values: Iterable[str]) -> None:
        pressed = set(values)
        self._ignore_changes = True
        for value, button in self._buttons.items():
            button.value = value in pressed
        self._ignore_changes = False

    def _on_press(self, _change: Mapping[str, Any]) -> None:
        if not self._ignore_changes:
            self._on_change()
