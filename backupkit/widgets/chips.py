"""A row of small buttons of which any number can be pressed."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ipywidgets

__all__ = ["Chips"]


class Chips:
    """A choice among a few words.

    Parameters
    ----------
    label : str
        What is chosen.
    words : mapping of str to str
        What each value is called; none pressed means all.
    on_change : callable
        Is called when a person presses one.

    Attributes
    ----------
    box : ipywidgets.HBox
        The label and the buttons.
    """

    def __init__(self, label: str, words: Mapping[str, str], on_change: Callable[[], None]) -> None:
        small = ipywidgets.Layout(width="auto", height="26px", padding="0 9px")
        self._buttons = {
            value: ipywidgets.ToggleButton(
                description=word, tooltip=f"{label}: {word}", layout=small
            )
            for value, word in words.items()
        }
        self._on_change = on_change
        self._quiet = False
        for button in self._buttons.values():
            button.observe(self._pressed, names="value")
        name = ipywidgets.HTML(label, layout=ipywidgets.Layout(margin="0 6px 0 2px"))
        wrapped = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        row = ipywidgets.HBox(list(self._buttons.values()), layout=wrapped)
        beside = ipywidgets.Layout(margin="0 14px 0 0")
        self.box = ipywidgets.HBox([name, row], layout=beside)

    @property
    def value(self) -> tuple[str, ...]:
        """The values that are pressed."""
        return tuple(value for value, button in self._buttons.items() if button.value)

    @value.setter
    def value(self, values: Iterable[str]) -> None:
        wanted = set(values)
        self._quiet = True
        for value, button in self._buttons.items():
            button.value = value in wanted
        self._quiet = False

    def _pressed(self, _change: Mapping[str, Any]) -> None:
        if not self._quiet:
            self._on_change()
