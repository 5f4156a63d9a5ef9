"""HTML building blocks, text formatting, and the style sheet."""

from backupkit.display.markup import (
    Badge,
    Rows,
    container,
    key_value_table,
    paragraph,
    show,
    style_sheet,
    table,
)

__all__ = [
    "Badge",
    "Rows",
    "container",
    "key_value_table",
    "paragraph",
    "show",
    "style_sheet",
    "table",
]
