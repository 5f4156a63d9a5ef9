"""Check of regular expressions: on untrusted text, each takes a bounded number of steps."""

import re
from typing import Final

__all__ = ["MAX_LENGTH", "MAX_WAYS", "check_pattern", "find_needle"]

MAX_LENGTH: Final = 500
"""Maximum length of a pattern [characters]."""

MAX_WAYS: Final = 1_000
"""Maximum number of ways to match a pattern from one position."""

_LIMIT: Final = re.compile(r"\{(\d{0,5})(,?)(\d{0,5})\}")
_GROUP: Final = re.compile(r"\((?:\?(?::|=|!|<=|<!)|(?!\?))")
_LITERAL: Final = re.compile(r"[A-Za-z0-9 ]")
_REPEATS: Final = frozenset({"?", "{"})
_CLASS: Final = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def check_pattern(pattern: str) -> None:
    """Raise if a regular expression could take long, or is not valid.

    Parameters
    ----------
    pattern : str
        A regular expression as the module `re` reads it.

    Raises
    ------
    ValueError
        The message is the end of a sentence about the pattern.

    Notes
    -----
    Each repetition needs an upper limit, as in ``.{0,60}``. What repeats has no repetition and no
    alternative inside. The product of all limits and alternatives is at most 1,000. So a search
    in a text of 4,000 characters takes a few million steps at most, whatever the text says.

    Examples
    --------
    >>> check_pattern(r"No space .{0,60} device")
    >>> check_pattern(r"(a+)+b")
    Traceback (most recent call last):
        ...
    ValueError: repeats without an upper limit (+); write for example {1,60}
    """
    if len(pattern) > MAX_LENGTH:
        raise ValueError(f"is longer than {MAX_LENGTH} characters")
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is no valid regular expression: {error}") from error
    if _count_ways(pattern) > MAX_WAYS:
        raise ValueError(
            f"can match in more than {MAX_WAYS:,} ways; use fewer or smaller repetitions"
        )
    if compiled.search("") is not None:
        raise ValueError("matches an empty text, and so every text")


def _count_ways(pattern: str) -> int:
    """Return the product of all limits and alternatives; raise for what has no bound."""
    ways, position = 1, 0
    last_is_simple = True  # whether what a repetition would repeat has only one way to match
    opened: list[tuple[int, int]] = []  # ways before each open group, and its alternatives
    while position < len(pattern):
        character = pattern[position]
        position = _find_end_of_atom(pattern, position)
        if character == "(":
            opened.append((ways, 1))
        elif character == "|" and opened:
            opened[-1] = (opened[-1][0], opened[-1][1] + 1)
        elif character == ")":
            before, alternatives = opened.pop()
            ways *= alternatives
            last_is_simple = ways == before
        elif character in "*+":
            raise ValueError(
                f"repeats without an upper limit ({character}); write for example "
                + ("{1,60}" if character == "+" else "{0,60}")
            )
        elif character == "?" or (character == "{" and _LIMIT.match(pattern, position - 1)):
            least, most, position = _read_limits(pattern, position - 1)
            if most > 1 and not last_is_simple:
                raise ValueError("repeats a group that can itself match in several ways")
            ways *= most - least + 1
            last_is_simple = False
        else:
            last_is_simple = True
    return ways


def _find_end_of_atom(pattern: str, position: int) -> int:
    r"""Return where a character, an escape, a class or the beginning of a group ends."""
    character = pattern[position]
    if character == "\\":
        if pattern[position + 1].isdigit() and pattern[position + 1] != "0":
            raise ValueError("refers to an earlier group")
        return position + 2
    if character == "[":
        found = _CLASS.match(pattern, position)
        return found.end() if found else position + 1
    if character == "(":
        found = _GROUP.match(pattern, position)
        if found is None:
            raise ValueError("has a group of a kind that is not supported; write (?:...)")
        return found.end()
    return position + 1


def _read_limits(pattern: str, position: int) -> tuple[int, int, int]:
    """Return the least and the greatest number of a repetition, and where it ends."""
    if pattern[position] == "?":
        least, most, end = 0, 1, position + 1
    else:
        found = _LIMIT.match(pattern, position)
        first, comma, last = found.groups() if found else ("", "", "")
        if comma and not last:
            raise ValueError("repeats without an upper limit; write for example {1,60}")
        least = int(first or 0)
        most, end = int(last) if comma else least, position + len(first + comma + last) + 2
    # a lazy or possessive repetition has the same number of ways
    return least, most, end + (pattern[end : end + 1] in {"?", "+"})


def find_needle(pattern: str) -> str:
    r"""Return a text in lower case that each match of a checked pattern contains.

    Returns
    -------
    str
        The longest one outside groups; "" if there is none.

    Examples
    --------
    >>> find_needle(r"\bcurl(?: error)?:? {0,2}\(?67\b"), find_needle("one|two")
    ('curl', '')
    """
    runs, depth, position = [""], 0, 0
    while position < len(pattern):
        character, begin = pattern[position], position
        position = _find_end_of_atom(pattern, position)
        if character == "|" and not depth:
            return ""
        depth += (character == "(") - (character == ")")
        if (
            depth
            or not _LITERAL.fullmatch(character)
            or pattern[position : position + 1] in _REPEATS
        ):
            runs.append("")
            if _LIMIT.match(pattern, begin):
                position = _read_limits(pattern, begin)[2]
        else:
            runs[-1] += character.lower()
    return max(runs, key=len)
