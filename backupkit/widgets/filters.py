"""Filters of the explorer: appliances, period and jobs."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import ipywidgets
import pandas as pd

from backupkit.display.wording import sanitise
from backupkit.plots.style import OUTCOME_LOOKS
from backupkit.tables import STATES
from backupkit.widgets.chips import Chips
from backupkit.widgets.known import Known
from backupkit.widgets.selection import Selection

__all__ = ["Filters"]

_PERIODS: Final = (("24 h", "24h"), ("7 d", "7d"), ("30 d", "30d"), ("90 d", "90d"))
_STEPS: Final = 400
"""Maximum number of steps of the period slider."""

_DAY: Final = pd.Timedelta(days=1)
_TYPES: Final = 6
"""Maximum number of job types to choose from."""


class Filters:
    """Filter widgets in two boxes, with the current selection.

    Parameters
    ----------
    known : Known
        Source of the choices.
    on_change : callable
        Called with the new selection after a user changed it.

    Attributes
    ----------
    side, top : ipywidgets.VBox
        Filters of appliances; filters of period and jobs.
    """

    def __init__(self, known: Known, on_change: Callable[[Selection], None]) -> None:
        self._known = known
        self._on_change = on_change
        self._selection = Selection()
        self._quiet = False
        self._build()

    @property
    def value(self) -> Selection:
        """Current selection; setting it updates the widgets without calling `on_change`."""
        return self._selection

    @value.setter
    def value(self, selection: Selection) -> None:
        self._quiet = True
        try:
            self._selection = selection
            self._search.value = ""
            self._list_appliances()
            for name, widget in self._lists.items():
                widget.value = [one for one in getattr(selection, name) if one in widget.options]
            for name, chips in self._chips.items():
                chips.value = getattr(selection, name)
            self._show_period()
        finally:
            self._quiet = False

    def _build(self) -> None:
        filled = ipywidgets.Layout(width="auto")
        self._search = ipywidgets.Text(placeholder="Search appliances", layout=filled)
        self._search.observe(self._on_search, names="value")
        self._names = ipywidgets.SelectMultiple(
            options=self._known.names, rows=min(max(len(self._known.names), 3), 14), layout=filled
        )
        self._lists = {"appliances": self._names}
        shown = [self._search, self._names, ipywidgets.HTML("<small>none chosen = all</small>")]
        for name, told in (("sites", self._known.sites), ("groups", self._known.groups)):
            places = sorted({place for place in told.values() if place})
            if len(places) > 1:
                choice = ipywidgets.SelectMultiple(
                    options=places, rows=min(len(places), 5), layout=filled
                )
                self._lists[name] = choice
                shown += [ipywidgets.HTML(f"<small>{name.capitalize()}</small>"), choice]
        for choice in self._lists.values():
            choice.observe(self._on_choice, names="value")
        self._chips = {
            "states": Chips("State", {state: state for state in STATES}, self._on_press),
            "outcomes": Chips(
                "Outcome",
                {name: look.label for name, look in OUTCOME_LOOKS.items()},
                self._on_press,
            ),
            "types": Chips(
                "Type",
                {kind: sanitise(kind, limit=20).lower() for kind in self._known.types[:_TYPES]},
                self._on_press,
            ),
        }
        self._presets = ipywidgets.ToggleButtons(
            options=_PERIODS, value=None, style={"button_width": "auto"}
        )
        self._presets.observe(self._on_preset, names="value")
        self._moments = self._steps()
        labels = [f"{moment:%Y-%m-%d %H:%M}" for moment in self._moments]
        self._slider = ipywidgets.SelectionRangeSlider(
            options=list(zip(labels, self._moments, strict=True)),
            index=(0, len(labels) - 1),
            continuous_update=False,
            readout=False,
            layout=ipywidgets.Layout(width="100%", max_width="420px", min_width="160px"),
        )
        self._slider.observe(self._on_slide, names="index")
        self._readout = ipywidgets.Label()
        self._clear = ipywidgets.Button(
            description="Clear filters", icon="times", layout=ipywidgets.Layout(width="auto")
        )
        self._clear.on_click(lambda _button: self._change(Selection(last="30d")))
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        self.side = ipywidgets.VBox(
            shown, layout=ipywidgets.Layout(flex="0 0 220px", margin="0 12px 0 0")
        )
        self.top = ipywidgets.VBox(
            [
                ipywidgets.HBox([self._presets, self._slider, self._readout], layout=row),
                ipywidgets.HBox([chips.box for chips in self._chips.values()], layout=row),
            ]
        )

    @property
    def clear(self) -> ipywidgets.Button:
        """Button that clears all filters."""
        return self._clear

    def _steps(self) -> list[pd.Timestamp]:
        """Return the steps of the period slider: UTC midnights, and now."""
        first, now = self._known.first.floor("D"), self._known.now
        days = max(int((now - first) / _DAY), 1)
        step = _DAY * -(-days // _STEPS)
        last = now.floor("D")
        count = int((last - first) / step)
        midnights = [last - step * back for back in range(count, -1, -1)]
        return [*(moment for moment in midnights if moment < now), now]

    def _show_period(self) -> None:
        """Update preset, slider and readout to the selection's period."""
        selection = self._selection
        values = [value for _, value in _PERIODS]
        preset = selection.start is None and selection.end is None and selection.last in values
        self._presets.value = selection.last if preset else None
        start, end = selection.period(self._known.now)
        steps = pd.DatetimeIndex(self._moments)
        last = min(int(steps.searchsorted(end)), len(steps) - 1)
        first = min(max(int(steps.searchsorted(start, side="right")) - 1, 0), last)
        self._slider.index = (first, last)
        self._readout.value = f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"

    def _list_appliances(self) -> None:
        # keep selected names on the list, so that a search does not change the selection
        wanted, chosen = self._search.value.casefold(), set(self._selection.appliances)
        listed = [one for one in self._known.names if wanted in one.casefold() or one in chosen]
        before, self._quiet = self._quiet, True
        if list(self._names.options) != listed:
            self._names.value = ()  # first: the value must be among the options
            self._names.options = listed
            self._names.value = [one for one in self._selection.appliances if one in listed]
        self._quiet = before

    def _on_search(self, _change: Mapping[str, Any]) -> None:
        if not self._quiet:
            self._list_appliances()

    def _on_choice(self, _change: Mapping[str, Any]) -> None:
        chosen: dict[str, Any] = {n: tuple(widget.value) for n, widget in self._lists.items()}
        self._change(replace(self._selection, **chosen))

    def _on_press(self) -> None:
        pressed: dict[str, Any] = {name: chips.value for name, chips in self._chips.items()}
        self._change(replace(self._selection, **pressed))

    def _on_preset(self, change: Mapping[str, Any]) -> None:
        if change["new"] is not None:
            self._change(replace(self._selection, last=change["new"], start=None, end=None))

    def _on_slide(self, change: Mapping[str, Any]) -> None:
        first, last = change["new"]
        if first == last:
            return
        end = None if last == len(self._moments) - 1 else self._moments[last]
        self._change(replace(self._selection, start=self._moments[first], end=end))

    def _change(self, selection: Selection) -> None:
        if not self._quiet and selection != self._selection:
            self._on_change(selection)
