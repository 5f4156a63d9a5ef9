"""HTML building blocks, text formatting, and the style sheet."""

from backupkit.display.cell import show
from backupkit.display.markup import fact_table, line, panel, style_sheet, table

__all__ = ["fact_table", "line", "panel", "show", "style_sheet", "table"]
