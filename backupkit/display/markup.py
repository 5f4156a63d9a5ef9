"""HTML building blocks that escape every text, and output in the running notebook cell."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from numbers import Real
from typing import Any, Final, NamedTuple, TypeVar

import pandas as pd
from markupsafe import Markup, escape

from backupkit.display.format import (
    NO_DATA,
    STATE_LABELS,
    format_duration,
    format_number,
    format_timestamp,
    sanitise,
)
from backupkit.errors import one_line
from backupkit.progress import is_notebook
from backupkit.texts import mask_user

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

T_co = TypeVar("T_co", covariant=True)

Cell = Any
"""Content of a cell: a text, `Ratio`, `Size`, time, duration, number, NA, or HTML."""

ROWS: Final = 20
"""Default limit of the rows of a table."""

_RIGHT_ALIGNED: Final = frozenset(
    {"n", "r"}
)  # classes of columns whose titles are at the right too
_MAX_CELL_LENGTH: Final = 600  # characters of a cell
_MAX_LINES_LENGTH: Final = (
    2_200  # characters of a cell with several lines, as `sanitise` leaves them
)


class Badge(NamedTuple):
    """Label of a state; `kind` is the state, and the CSS class of its cell."""

    kind: str
    label: str


def state_badge(state: str) -> Badge:
    """Return a state of an appliance with its label."""
    return Badge(state, STATE_LABELS[state])


def target_badge(state: str | None) -> Badge:
    """Return the state of a target with its label, in the colour of a state of an appliance."""
    if state is None or pd.isna(state):
        return Badge("excluded", "- No target")
    kind, label = {
        "met": ("compliant", "● Target met"),
        "missed": ("breach", "✕ Target missed"),
        "unknown": ("unknown", "? Target unknown"),
    }[state]
    return Badge(kind, label)


class Rows(tuple[T_co, ...]):  # noqa: SLOT001 # Python allows no slots in a subclass of tuple
    """First rows of a longer list; `omitted` is the number of the others.

    Examples
    --------
    >>> rows = Rows("ab", total=5)
    >>> len(rows), rows.omitted
    (2, 3)
    """

    total: int

    def __new__(cls, rows: Iterable[T_co], total: int | None = None) -> "Rows[T_co]":
        """Create it; without `total`, nothing is omitted."""
        self = super().__new__(cls, rows)
        self.total = len(self) if total is None else total
        return self

    @property
    def omitted(self) -> int:
        """Number of rows that are not listed."""
        return self.total - len(self)

    def first(self, count: int) -> "Rows[T_co]":
        """Return the first rows of these."""
        return Rows(self[:count], self.total)


@cache
def style_sheet() -> str:
    """Return the style sheet of reports, widgets and displays."""
    return files("backupkit.display").joinpath("style.css").read_text(encoding="utf-8")


def render_container(*parts: str, styled: bool = True) -> Markup:
    """Join parts into self-contained HTML for a notebook cell; MathJax ignores its text.

    Parts are escaped unless they are `Markup`. Without the style sheet, the page must have it.

    Examples
    --------
    >>> print(render_container("a < b", styled=False))
    <div class="bk mathjax_ignore tex2jax_ignore">a &lt; b</div>
    """
    style = Markup("<style>{}</style>").format(Markup(style_sheet())) if styled else Markup()  # noqa: S704 # our own file
    inner = style + Markup().join(parts)
    return Markup('<div class="bk mathjax_ignore tex2jax_ignore">{}</div>').format(inner)


def render_paragraph(text: str, kind: str = "fine") -> Markup:
    """Return a paragraph of a text; `kind` is its CSS class.

    Examples
    --------
    >>> print(render_paragraph("2 of <3>"))
    <p class="fine">2 of &lt;3&gt;</p>
    """
    return Markup('<p class="{}">{}</p>').format(kind, text)


def table(
    columns: Mapping[str, str | None],
    rows: Sequence[Sequence[Cell]],
    *,
    caption: str = "",
    kind: str = "",
    header: str | None = None,
    limit: int | None = ROWS,
    total: int | None = None,
    more: str = "",
) -> Markup:
    """Return a table as HTML: the one way to draw a table on pages, in notebooks and in widgets.

    Parameters
    ----------
    columns : mapping of str to str or None
        CSS classes of each column by title, such as "n" for numbers, "w" for text that must not
        wrap, "text" for long text, "pre" for text whose line ends are kept, "code" and "s" for
        states. A column of the class None is omitted.
    rows : sequence of sequences
        Cells, one per column. Text may be untrusted: it is cleaned and escaped. A time, duration,
        number, `Ratio` or `Size` is formatted, None is an empty cell, and NA is "no data". A
        `Badge` adds its kind to the classes of its cell. `Markup`, and an object with
        ``__html__``, is HTML. `Rows` know how many there are in all.
    caption : str
        Caption of the table; "" for none.
    kind : str
        CSS classes of the table, such as "narrow", or "stack" for a table whose rows become
        labelled lines on a narrow screen.
    header : str, optional
        Title of the column that holds the row headers; the first by default.
    limit : int, optional
        Number of rows to show at most; None for all.
    total : int, optional
        Number of all rows, if `rows` holds only some of them.
    more : str
        End of the line below the table that counts the omitted rows, such as ", in the file".

    Returns
    -------
    Markup
        HTML. It needs the style sheet, as `render_container` includes it.

    Examples
    --------
    >>> from backupkit.display.format import Size
    >>> text = table({"Name": "", "Size": "n"}, [("<b>", Size(7)), ("c", None)], limit=1)
    >>> "&lt;b&gt;" in text, "7 B" in text, "and 1 more" in text
    (True, True, True)
    """
    header = next(iter(columns)) if header is None else header
    titles = Markup().join(
        Markup('<th scope="col"{}>{}</th>').format(
            _format_class(*_RIGHT_ALIGNED & set(css.split())), title
        )
        for title, css in columns.items()
        if css is not None
    )
    is_stack = "stack" in kind.split()
    renderers = [
        None if css is None else _build_renderer(title, css, header=header, is_stack=is_stack)
        for title, css in columns.items()
    ]
    body = Markup(  # noqa: S704 # of escaped cells
        "".join(
            f"<tr>{''.join(cells)}</tr>"
            for cells in (
                [render(cell) for render, cell in zip(renderers, row, strict=True) if render]
                for row in rows[:limit]
            )
        )
    )
    html = Markup(
        '<div class="scroll"><table{}>{}<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(_format_class(kind), _render_caption(caption), titles, body)
    if total is None:
        total = rows.total if isinstance(rows, Rows) else len(rows)
    omitted = total - len(rows[:limit])
    if omitted <= 0:
        return html
    return html + Markup('<p class="more">and {} more{}</p>').format(f"{omitted:,}", more)


def render_key_value_table(values: Mapping[str, Cell], *, caption: str = "") -> Markup:
    """Return a narrow table of names and values, without column titles.

    Examples
    --------
    >>> print(render_key_value_table({"RPO": "24 h"}))
    <table class="narrow"><tbody><tr><th scope="row" class="plain">RPO</th><td
    class="text">24 h</td></tr></tbody></table>
    """
    body = Markup().join(
        Markup('<tr><th scope="row" class="plain">{}</th><td class="text">{}</td></tr>').format(
            _render_content(name), _render_content(value)
        )
        for name, value in values.items()
    )
    return Markup('<table class="narrow">{}<tbody>{}</tbody></table>').format(
        _render_caption(caption), body
    )


def show(thing: Any) -> bool:  # noqa: ANN401 # any displayable object
    """Display an object below the running notebook cell; return whether there is one.

    Examples
    --------
    >>> show("a thing")
    False
    """
    if not is_notebook():
        return False
    sys.modules["IPython"].display.display(thing)
    return True


def _format_class(*names: str) -> Markup:
    text = f' class="{escape(" ".join(names))}"' if any(names) else ""
    return Markup(text)  # noqa: S704 # escaped


def _render_caption(text: str) -> Markup:
    return Markup("<caption>{}</caption>").format(text) if text else Markup()


def _build_renderer(title: str, css: str, *, header: str, is_stack: bool) -> Callable[[Cell], str]:
    """Return the function that renders a cell of a column.

    It joins escaped texts: `Markup.format` takes several times as long, and tables are large.
    """
    classes = css.split()
    several_lines, is_code = "pre" in classes, "code" in classes
    classes = [name for name in classes if name != "code"]
    tag, attribute = "td", ""
    if title == header:
        tag, attribute = "th", ' scope="row"'
    elif is_stack and not {"text", "s"} & set(classes):
        attribute = f' data-label="{escape(title.removesuffix(" (UTC)"))}"'
    plain_start = f"<{tag}{attribute}{_format_class(*classes)}>"

    def render(value: Cell) -> str:
        start = plain_start
        if isinstance(value, Badge):
            start = f"<{tag}{attribute}{_format_class(*classes, value.kind)}>"
            value = value.label
        content = escape(_render_content(value, several_lines=several_lines))
        return f"{start}<code>{content}</code></{tag}>" if is_code else f"{start}{content}</{tag}>"

    return render


def _render_content(value: Cell, *, several_lines: bool = False) -> str:
    """Return the content of a cell without control characters, users or passwords."""
    match value:
        case None:
            text = ""
        case _ if hasattr(value, "__html__"):
            text = escape(value)
        case str() if several_lines:
            text = sanitise(value, limit=_MAX_LINES_LENGTH)
        case str():
            text = one_line(mask_user(value), limit=_MAX_CELL_LENGTH)
        case _ if pd.isna(value):
            text = NO_DATA
        case pd.Timestamp():
            text = format_timestamp(value)
        case pd.Timedelta():
            text = format_duration(value)
        case Real():
            text = format_number(float(value))
        case _:
            text = str(value)
    return text
