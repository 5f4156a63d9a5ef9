"""Small pieces of HTML in which every text is escaped."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from markupsafe import Markup

from backupkit.display.wording import without_user
from backupkit.errors import one_line

__all__ = ["fact_table", "line", "panel", "style_sheet", "table"]

Cell = str | Markup | None

ROWS: Final = 20
"""So many rows are shown at most, unless the caller says otherwise."""

_LONGEST: Final = 400  # characters of a cell


@cache
def style_sheet() -> str:
    """Give the one style sheet of reports, widgets and displays."""
    return files("backupkit.display").joinpath("style.css").read_text(encoding="utf-8")


def panel(*parts: str, styled: bool = True) -> Markup:
    """Put parts together to what a cell can show.

    Parameters
    ----------
    *parts : str
        Escaped unless they are markup.
    styled : bool
        Whether to bring the style sheet along; without, it must be on the page already.

    Returns
    -------
    Markup
        HTML that needs nothing else, and in which no text is taken for mathematics.

    Examples
    --------
    >>> print(panel("a < b", styled=False))
    <div class="bk mathjax_ignore tex2jax_ignore">a &lt; b</div>
    """
    style = Markup("<style>{}</style>").format(Markup(style_sheet())) if styled else Markup()  # noqa: S704 # our own file
    inner = style + Markup().join(parts)
    return Markup('<div class="bk mathjax_ignore tex2jax_ignore">{}</div>').format(inner)


def line(text: str, kind: str = "fine") -> Markup:
    """Make a paragraph.

    Parameters
    ----------
    text : str
        What it says.
    kind : str
        Its class in the style sheet.

    Returns
    -------
    Markup
        HTML.

    Examples
    --------
    >>> print(line("2 of <3>"))
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
    """Make a table; the first column names the rows.

    Parameters
    ----------
    columns : mapping of str to str
        The class of each column in the style sheet, by its title.
    rows : sequence of sequences
        Texts, which may be another's words; markup stays as it is, and None is an empty cell.
    caption : str
        What the table is.
    limit : int
        How many rows are shown.
    total : int, optional
        How many rows there are, if `rows` has not all of them.

    Returns
    -------
    Markup
        HTML; what is left out is counted below.

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
    drawn = Markup(
        '<div class="scroll"><table>{}<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(top, head, body)
    more = (len(rows) if total is None else total) - min(len(rows), limit)
    return drawn + (line(f"and {more:,} more", "more") if more > 0 else Markup())


def fact_table(facts: Mapping[str, Cell], *, caption: str = "") -> Markup:
    """Make a narrow table of names and what is known of each.

    Parameters
    ----------
    facts : mapping of str to str
        By name.
    caption : str
        What they are about.

    Returns
    -------
    Markup
        HTML.

    Examples
    --------
    >>> print(fact_table({"RPO": "24 h"}))
    <table class="narrow"><tbody><tr><th scope="row" class="plain">RPO</th><td
    class="text">24 h</td></tr></tbody></table>
    """
    top = Markup("<caption>{}</caption>").format(caption) if caption else Markup()
    body = Markup().join(
        Markup('<tr><th scope="row" class="plain">{}</th><td class="text">{}</td></tr>').format(
            _cell(name), _cell(value)
        )
        for name, value in facts.items()
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
    """Make a text fit to be read; a password in an address is none of anybody's business."""
    if value is None:
        return ""
    return value if isinstance(value, Markup) else without_user(one_line(value, limit=_LONGEST))
