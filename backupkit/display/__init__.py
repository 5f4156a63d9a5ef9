"""HTML building blocks, text formatting, and the style sheet."""

from backupkit.display.cell import show
from backupkit.display.markup import container, key_value_table, paragraph, style_sheet, table

__all__ = ["container", "key_value_table", "paragraph", "show", "style_sheet", "table"]
