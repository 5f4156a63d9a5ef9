"""Filters of the explorer: a bar with period and search, chips, and a panel with all others."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import ipywidgets
import pandas as pd

from backupkit.display.format import format_timestamp, sanitise
from backupkit.plots.themes import OUTCOME_STYLES
from backupkit.tables import STATES
from backupkit.widgets.explorer_data import ExplorerData
from backupkit.widgets.selection import Selection
from backupkit.widgets.turns import in_turn

__all__ = ["Filters"]

_PERIOD_PRESETS: Final = (("24 h", "24h"), ("7 d", "7d"), ("30 d", "30d"), ("90 d", "90d"))
_MAX_STEPS: Final = 400
"""Maximum number of steps of the period slider."""

_DAY: Final = pd.Timedelta(days=1)
_MAX_TYPES: Final = 6
"""Maximum number of job types to choose from."""

_MAX_LIVE_SEARCH: Final = 200_000
"""Up to this number of jobs, the search updates at each key press."""

_MAX_REMOVERS: Final = 8
"""Maximum number of active values that have a button of their own."""

_REMOVABLE: Final = ("appliances", "sites", "groups", "signatures")
_ROW: Final[Mapping[str, Any]] = {"flex_flow": "row wrap", "align_items": "center"}


class Filters:
    """Filter widgets, with the current selection.

    `bar` has the period and the search, `chips` the states and outcomes, `active` a button for each
    chosen value, and `panel` everything else; it is hidden until a user opens it. `on_change` is
    called with the new selection after a user changed it.
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
            self._search.value = selection.text
            self._list_appliances()
            for name, widget in self._lists.items():
                widget.value = [
                    value for value in getattr(selection, name) if value in widget.options
                ]
            for name, group in self._toggle_groups.items():
                group.value = getattr(selection, name)
            self._list_removers()
            self._show_period()
        finally:
            self._ignore_changes = False

    def _build(self) -> None:
        self._presets = ipywidgets.ToggleButtons(
            options=_PERIOD_PRESETS, value=None, style={"button_width": "auto"}, tooltip="Period"
        )
        self._presets.observe(self._on_preset, names="value")
        self._readout = ipywidgets.Label()
        places = {value for name in ("sites", "groups") for value in self._list_values(name)}
        self._search = ipywidgets.Combobox(
            placeholder="Search appliances, jobs and messages",
            options=list(dict.fromkeys([*self._data.names, *sorted(places)])),
            continuous_update=self._data.job_count <= _MAX_LIVE_SEARCH,
            tooltip="Search appliances, jobs and messages",
            layout=ipywidgets.Layout(width="260px"),
        )
        self._search.observe(self._on_search, names="value")
        self._more = ipywidgets.ToggleButton(
            description="More filters", icon="filter", layout=ipywidgets.Layout(width="auto")
        )
        self._more.observe(self._on_more, names="value")
        self.clear = ipywidgets.Button(
            description="Clear filters", icon="times", layout=ipywidgets.Layout(width="auto")
        )
        self.clear.on_click(lambda _button: self._change(self._selection.only_period))
        self.bar = ipywidgets.HBox(
            [self._presets, self._readout, self._search, self._more, self.clear],
            layout=ipywidgets.Layout(**_ROW),
        )
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
        self.chips = [self._toggle_groups[name].box for name in ("states", "outcomes")]
        self.active = ipywidgets.HBox(layout=ipywidgets.Layout(**_ROW))
        self._build_panel()

    def _build_panel(self) -> None:
        full_width = ipywidgets.Layout(width="auto")
        self._appliance_list = ipywidgets.SelectMultiple(
            options=self._data.names, rows=6, layout=full_width, tooltip="Appliances"
        )
        self._lists = {"appliances": self._appliance_list}
        columns = [_label("Appliances (none = all)", self._appliance_list)]
        for name in ("sites", "groups"):
            values = self._list_values(name)
            if len(values) > 1:
                choice = ipywidgets.SelectMultiple(
                    options=values, rows=6, layout=full_width, tooltip=name.capitalize()
                )
                self._lists[name] = choice
                columns.append(_label(name.capitalize(), choice))
        for choice in self._lists.values():
            choice.observe(self._on_choice, names="value")
        self._slider_times = self._list_steps()
        labels = [format_timestamp(time) for time in self._slider_times]
        self._slider = ipywidgets.SelectionRangeSlider(
            options=list(zip(labels, self._slider_times, strict=True)),
            index=(0, len(labels) - 1),
            continuous_update=False,
            readout=False,
            tooltip="Period",
            layout=ipywidgets.Layout(width="320px"),
        )
        self._slider.observe(self._on_slide, names="index")
        last = ipywidgets.VBox([_label("Period", self._slider), self._toggle_groups["types"].box])
        self.panel = ipywidgets.HBox(
            [*columns, last], layout=ipywidgets.Layout(display="none", **_ROW)
        )

    def _list_values(self, name: str) -> list[str]:
        """Return the sites or groups."""
        value_of: Mapping[str, str | None] = getattr(self._data, name)
        return sorted({value for value in value_of.values() if value})

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
        found = {name for name in self._data.names if search_text in name.casefold()}
        listed = [name for name in self._data.names if name in chosen or name in found]
        listed = listed if found else list(self._data.names)  # a text of jobs hides no name
        before, self._ignore_changes = self._ignore_changes, True
        if list(self._appliance_list.options) != listed:
            self._appliance_list.value = ()  # first: the value must be among the options
            self._appliance_list.options = listed
            self._appliance_list.value = [
                name for name in self._selection.appliances if name in listed
            ]
        self._ignore_changes = before

    def _list_removers(self) -> None:
        """Show a button for each chosen value, which removes it."""
        chosen = [(name, value) for name in _REMOVABLE for value in getattr(self._selection, name)]
        before = self.active.children
        if not chosen and not before:
            return
        children: list[ipywidgets.Widget] = []
        for name, value in chosen[:_MAX_REMOVERS]:
            button = ipywidgets.Button(
                description=sanitise(value, limit=40),
                icon="times",
                tooltip=f"Remove: {name} {sanitise(value, limit=120)}",
                layout=ipywidgets.Layout(
                    width="auto", height="26px", padding="0 8px", margin="1px"
                ),
            )
            button.on_click(partial(self._remove, name, value))
            children.append(button)
        if omitted := len(chosen) - _MAX_REMOVERS:
            children += [ipywidgets.Label(f"and {omitted:,} more")] if omitted > 0 else []
        self.active.children = [ipywidgets.Label("Shown:"), *children] if children else []
        for widget in before:
            widget.close()

    @in_turn
    def _remove(self, name: str, value: str, _button: object) -> None:
        kept: dict[str, Any] = {
            name: tuple(other for other in getattr(self._selection, name) if other != value)
        }
        self._change(replace(self._selection, **kept))

    @in_turn
    def _on_more(self, change: Mapping[str, Any]) -> None:
        self.panel.layout.display = "flex" if change["new"] else "none"

    @in_turn
    def _on_search(self, change: Mapping[str, Any]) -> None:
        if self._ignore_changes:
            return
        text = change["new"]
        for name, value in self._find_named(text):
            chosen: dict[str, Any] = {
                name: tuple(dict.fromkeys([*getattr(self._selection, name), value])),
                "text": "",
            }
            self._change(replace(self._selection, **chosen))
            return
        self._list_appliances()
        self._change(replace(self._selection, text=text))

    def _find_named(self, text: str) -> Iterator[tuple[str, str]]:
        """Find the one appliance, site or group that has this name, if no other begins so."""
        wanted = text.casefold()
        begins = [name for name in self._search.options if name.casefold().startswith(wanted)]
        if len(begins) == 1 and begins[0].casefold() == wanted:
            for name in ("appliances", "sites", "groups"):
                values = self._data.names if name == "appliances" else self._list_values(name)
                if begins[0] in values:
                    yield name, begins[0]

    @in_turn
    def _on_choice(self, _change: Mapping[str, Any]) -> None:
        chosen: dict[str, Any] = {n: tuple(widget.value) for n, widget in self._lists.items()}
        self._change(replace(self._selection, **chosen))

    @in_turn
    def _on_press(self) -> None:
        pressed: dict[str, Any] = {name: group.value for name, group in self._toggle_groups.items()}
        self._change(replace(self._selection, **pressed))

    @in_turn
    def _on_preset(self, change: Mapping[str, Any]) -> None:
        if change["new"] is not None:
            self._change(replace(self._selection, last=change["new"], start=None, end=None))

    @in_turn
    def _on_slide(self, change: Mapping[str, Any]) -> None:
        first, last = change["new"]
        if first == last:
            return
        end = None if last == len(self._slider_times) - 1 else self._slider_times[last]
        self._change(replace(self._selection, start=self._slider_times[first], end=end))

    @in_turn
    def _change(self, selection: Selection) -> None:
        if not self._ignore_changes and selection != self._selection:
            self._on_change(selection)


def _label(text: str, widget: ipywidgets.Widget) -> ipywidgets.VBox:
    """Return a widget below a label."""
    return ipywidgets.VBox(
        [ipywidgets.HTML(f"<small>{text}</small>"), widget],
        layout=ipywidgets.Layout(margin="0 14px 0 0", min_width="150px"),
    )


class _ToggleGroup:
    """Toggle buttons with a label; any number can be pressed. `texts` are by value."""

    def __init__(self, label: str, texts: Mapping[str, str], on_change: Callable[[], None]) -> None:
        button_layout = ipywidgets.Layout(
            width="auto", height="26px", padding="0 8px", margin="1px"
        )
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
        label_widget = ipywidgets.Label(label, layout=ipywidgets.Layout(margin="0 6px 0 2px"))
        row = ipywidgets.HBox(list(self._buttons.values()), layout=ipywidgets.Layout(**_ROW))
        box_layout = ipywidgets.Layout(margin="0 10px 0 0", align_items="center")
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

    @in_turn
    def _on_press(self, _change: Mapping[str, Any]) -> None:
        if not self._ignore_changes:
            self._on_change()
