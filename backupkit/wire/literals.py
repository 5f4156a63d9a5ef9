"""Changes of the texts of a JSON body that leave everything else as it came, byte by byte."""

import json
import re
from collections.abc import Callable
from typing import Final

__all__ = ["map_texts"]

_LITERAL: Final = re.compile(r'"((?:[^"\\]|\\.)*+)"(\s*+:\s*+)?', re.DOTALL)
"""A text of JSON, and the colon that makes it a key."""


def map_texts(body: str, change: Callable[[str, str], str]) -> str:
    r"""Change the texts and keys of a JSON body, also of a damaged one.

    Parameters
    ----------
    body : str
        Body with JSON in any state.
    change : callable
        Gets a text without JSON's escapes, and its key; "" for an item of a list, and for a key.

    Examples
    --------
    >>> map_texts(r'{"id": "a\/b", "args": ["a\/b", 1]}', lambda text, key: text.replace("/", "-"))
    '{"id": "a-b", "args": ["a-b", 1]}'
    """
    last_key, value_at = "", -1

    def change_match(match: re.Match[str]) -> str:
        nonlocal last_key, value_at
        literal, colon = match[1], match[2]
        if not literal:
            return match[0]
        text = _unescape(literal)
        changed = change(text, last_key if colon is None and match.start() == value_at else "")
        if colon is not None:
            last_key, value_at = text, match.end()
        return match[0] if changed == text else f"{json.dumps(changed)}{colon or ''}"

    return _LITERAL.sub(change_match, body)


def _unescape(literal: str) -> str:
    if "\\" not in literal:
        return literal
    try:
        text: str = json.loads(f'"{literal}"', strict=False)
    except ValueError:  # an invalid escape
        return literal
    return text
