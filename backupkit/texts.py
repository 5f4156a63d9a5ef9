"""Untrusted text: user and password in its URIs are masked before it is stored or shown."""

import re
from typing import Final

__all__ = ["mask_user"]

_USER_INFO: Final = re.compile(
    r"""(:\\?/\\?/)                          # also with the slashes escaped, as inside JSON
    (?: (?: [^\s/@]*+ @ )++
      | [^\s/@:\[]*+ : (?! \d{1,5} (?: [^\w.:@-] | $ ) )  # what follows is no port: a password
        (?: (?!://) [^\s"'<>] ){0,100}? @   # that has a slash
    )""",
    re.VERBOSE,
)


def mask_user(text: str) -> str:
    """Mask user and password in the URIs of a text.

    Examples
    --------
    >>> mask_user("no route to ftp://joe:secret@target/vc")
    'no route to ftp://***@target/vc'
    """
    return _USER_INFO.sub(r"\1***@", text) if "@" in text else text
