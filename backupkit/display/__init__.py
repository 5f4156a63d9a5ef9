"""HTML building blocks, text formatting, and the style sheet.

Names are imported when first used: what is only shown in a notebook needs them there alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backupkit.display.markup import (
        Badge,
        Cell,
        Rows,
        render_container,
        render_key_value_table,
        render_paragraph,
        show,
        state_badge,
        style_sheet,
        table,
        target_badge,
    )

__all__ = [
    "Badge",
    "Cell",
    "Rows",
    "render_container",
    "render_key_value_table",
    "render_paragraph",
    "show",
    "state_badge",
    "style_sheet",
    "table",
    "target_badge",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 # any of the names above
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.markup"), name)
    globals()[name] = value
    return value
