"""HTML building blocks, text formatting, and the style sheet."""

from backupkit.display.markup import (
    Badge,
    Cell,
    Rows,
    container,
    key_value_table,
    paragraph,
    show,
    state_badge,
    style_sheet,
    table,
)

__all__ = [
    "Badge",
    "Cell",
    "Rows",
    "container",
    "key_value_table",
    "paragraph",
    "show",
    "state_badge",
    "style_sheet",
    "table",
]
