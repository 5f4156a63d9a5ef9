"""HTML building blocks, text formatting, and the style sheet."""

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
