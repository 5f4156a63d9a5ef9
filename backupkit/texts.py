"""Untrusted text: no users in URIs, no control characters on a terminal, no formulas in CSV.

In Markdown it makes no links, and breaks no tables.
"""

import re
from typing import Final

__all__ = [
    "clean_text",
    "escape_controls",
    "escape_formula",
    "escape_markdown",
    "mask_user",
    "replace_controls",
]

_USER_INFO: Final = re.compile(
    r"""(:\\?/\\?/)                          # also with the slashes escaped, as inside JSON
    (?: (?: [^\s/@]*+ @ )++
      | [^\s/@:\[]*+ : (?! \d{1,5} (?: [^\w.:@-] | $ ) )  # what follows is no port: a password
        (?: (?!://) [^\s"'<>] ){0,100}? @   # that has a slash
    )""",
    re.VERBOSE,
)

_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters except tab and line end, characters that change the direction, no text."""

# start of a cell; some spreadsheets also split cells at semicolons or tabs
_FORMULA: Final = re.compile(
    "(^|[;\t\r\n])([\\s\x00-\x1f\x7f\u200b-\u200f\ufeff]*[=+@\uff1d\uff0b\uff0d\uff20-])|^(?=[\t\r\n])"
)
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")

_MARKDOWN: Final = re.compile(r"[\\`*_{}\[\]<>#|~$&^]")
# renderers make links of these without any markup: URIs, host names, addresses and users, tickets
_LINK_AFTER: Final = re.compile(r":(?=//)|@|\bwww(?=\.)|#(?=\d)", re.IGNORECASE)
_NO_LINK: Final = "\u200b"
"""Space without a width."""


def mask_user(text: str) -> str:
    """Mask user and password in the URIs of a text.

    Examples
    --------
    >>> mask_user("no route to ftp://joe:secret@target/vc")
    'no route to ftp://***@target/vc'
    """
    return _USER_INFO.sub(r"\1***@", text) if "@" in text else text


def clean_text(text: str) -> str:
    r"""Replace what could control a terminal by blanks: escape sequences, a change of direction.

    Examples
    --------
    >>> clean_text("state \x1b[31mOK\x9b2J\n")
    'state  [31mOK 2J\n'
    """
    return _UNPRINTABLE.sub(" ", text)


def escape_controls(document: str) -> str:
    r"""Escape in a JSON document what could control a terminal; its values stay the same.

    Examples
    --------
    >>> escape_controls('{"state": "\x9b31m"}')
    '{"state": "\\u009b31m"}'
    """
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def escape_formula(text: str) -> str:
    """Return the text of a CSV cell, with a quote before what a spreadsheet takes as a formula.

    Examples
    --------
    >>> escape_formula("=1+1"), escape_formula("a;=1+1"), escape_formula("vc-1")
    ("'=1+1", "a;'=1+1", 'vc-1')
    """
    return replace_controls(_FORMULA.sub(r"\1'\2", text))


def replace_controls(text: str) -> str:
    """Replace control characters, which spreadsheets reject, by U+FFFD; keep line ends and tabs."""
    return _CONTROL.sub("\ufffd", text)


def escape_markdown(text: str) -> str:
    r"""Return untrusted text as one line of Markdown: plain text, which also fits a table cell.

    Markup is escaped. A space without a width breaks URIs, addresses, users and ticket numbers, so
    that no renderer makes a link of them.

    Examples
    --------
    >>> escape_markdown("a|b *c*\n[d](e)")
    'a\\|b \\*c\\* \\[d\\](e)'
    >>> "://" in escape_markdown("https://example.com")
    False
    """
    line = " ".join(_UNPRINTABLE.sub(" ", text).split())
    return _MARKDOWN.sub(r"\\\g<0>", _LINK_AFTER.sub(rf"\g<0>{_NO_LINK}", line))
