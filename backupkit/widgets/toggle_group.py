"""Group of toggle buttons."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ipywidgets

__all__ = ["ToggleGroup"]


class ToggleGroup:
    """Group of toggle buttons with a label; any number can be pressed.

    Parameters
    ----------
    label : str
        Label of the group.
    texts : mapping of str to str
        Button text by value. No pressed button means no filter.
    on_change : callable
        Called after a user presses a button.

    Attributes
    ----------
    box : ipywidgets.HBox
        The label and the buttons.
    """

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
