"""Long lines on a terminal."""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Final

__all__ = ["wrap_line"]

_MAX_WIDTH: Final = 110


def wrap_line(text: str, prefix: str) -> Sequence[str]:
    """Wrap a line to the terminal; without a terminal, one line is easier to search.

    Parameters
    ----------
    text : str
        The line.
    prefix : str
        How it begins; further lines are indented by its length.

    Examples
    --------
    >>> wrap_line("no backup for 30 h", "    ")
    ['    no backup for 30 h']
    """
    if not sys.stdout.isatty():
        return [prefix + text]
    return textwrap.wrap(
        text,
        max(len(prefix) + 20, min(_MAX_WIDTH, shutil.get_terminal_size().columns)),
        initial_indent=prefix,
        subsequent_indent=" " * len(prefix),
        break_long_words=False,
        break_on_hyphens=False,
    )
