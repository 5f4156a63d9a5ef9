"""HTML building blocks that escape every text."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from markupsafe import Markup

from backupkit.display.format import without_user
from backupkit.errors import one_line

__all__ = ["container", "key_value_table", "paragraph", "style_sheet", "table"]

Cell = str | Markup | None

ROWS: Final = 20
"""Default limit of the rows of a table."""

_LONGEST: Final = 400  # characters of a cell


@cache
def style_sheet() -> str:
    """Return the style sheet of reports, widgets and displays."""
    return files("backupkit.display").joinpath("style.css").read_text(encoding="utf-8")


def container(*parts: str, styled: bool = True) -> Markup:
    """Join parts into HTML for a notebook cell.

    Parameters
    ----------
    *parts : str
        Escaped unless they are `Markup`.
    styled : bool
        Whether to include the style sheet. Without it, the page must already have it.

    Returns
    -------
    Markup
        Self-contained HTML. MathJax ignores its text.

    Examples
    --------
    >>> print(container("a < b", styled=False))
    <div class="bk mathjax_ignore tex2jax_ignore">a &lt; b</div>
    """
    style = Markup("<style>{}</style>").format(Markup(style_sheet())) if styled else Markup()  # noqa: S704 # our own file
    inner = style + Markup().join(parts)
    return Markup('<div class="bk mathjax_ignore tex2jax_ignore">{}</div>').format(inner)


def paragraph(text: str, kind: str = "fine") -> Markup:
    """Return a paragraph.

    Parameters
    ----------
    text : str
        Its text, escaped.
    kind : str
        Its CSS class.

    Returns
    -------
    Markup
        HTML.

    Examples
    --------
    >>> print(paragraph("2 of <3>"))
    <p class="fine">2 of &lt;3&gt;</p>
    """
    return Markup('<p class="{}">{}</p>').format(kind, text)


def table(
    columns: Mapping[str, str],
    rows: Sequence[Sequence[Cell]],
    *,
    caption: str = "",
    limit: int = ROWS,
    total: int | None = None,
) -> Markup:
    """Return a table whose first column holds the row headers.

    Parameters
    ----------
    columns : mapping of str to str
        CSS class of each column, by title.
    rows : sequence of sequences
        Cells. Text may be untrusted; `Markup` is not escaped; None is an empty cell.
    caption : str
        Caption of the table; "" for none.
    limit : int
        Number of rows to show at most.
    total : int, optional
        Number of all rows, if `rows` holds only some of them.

    Returns
    -------
    Markup
        HTML. A line below the table counts the omitted rows.

    Examples
    --------
    >>> text = table({"Name": "", "Size": "n"}, [("<b>", "7"), ("c", None)], limit=1)
    >>> "&lt;b&gt;" in text, "and 1 more" in text
    (True, True)
    """
    head = Markup().join(
        Markup('<th scope="col" class="{}">{}</th>').format(kind, title)
        for title, kind in columns.items()
    )
    kinds = list(columns.values())
    body = Markup().join(_row(row, kinds) for row in rows[:limit])
    top = Markup("<caption>{}</caption>").format(caption) if caption else Markup()
    html = Markup(
        '<div class="scroll"><table>{}<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(top, head, body)
    omitted = (len(rows) if total is None else total) - min(len(rows), limit)
    return html + (paragraph(f"and {omitted:,} more", "more") if omitted > 0 else Markup())


def key_value_table(values: Mapping[str, Cell], *, caption: str = "") -> Markup:
    """Return a narrow table of names and values.

    Parameters
    ----------
    values : mapping of str to str
        Value by name.
    caption : str
        Caption of the table; "" for none.

    Returns
    -------
    Markup
        HTML.

    Examples
    --------
    >>> print(key_value_table({"RPO": "24 h"}))
    <table class="narrow"><tbody><tr><th scope="row" class="plain">RPO</th><td
    class="text">24 h</td></tr></tbody></table>
    """
    top = Markup("<caption>{}</caption>").format(caption) if caption else Markup()
    body = Markup().join(
        Markup('<tr><th scope="row" class="plain">{}</th><td class="text">{}</td></tr>').format(
            _cell(name), _cell(value)
        )
        for name, value in values.items()
    )
    return Markup('<table class="narrow">{}<tbody>{}</tbody></table>').format(top, body)


def _row(cells: Sequence[Cell], kinds: Sequence[str]) -> Markup:
    name, *rest = cells
    first = Markup('<tr><th scope="row">{}</th>').format(_cell(name))
    others = (
        Markup('<td class="{}">{}</td>').format(kind, _cell(cell))
        for cell, kind in zip(rest, kinds[1:], strict=True)
    )
    return first + Markup().join(others) + Markup("</tr>")


def _cell(value: Cell) -> str:
    """Return a cell as one line without control characters, users or passwords."""
    if value is None:
        return ""
    return value if isinstance(value, Markup) else without_user(one_line(value, limit=_LONGEST))
