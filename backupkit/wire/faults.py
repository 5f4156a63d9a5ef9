"""What can be wrong with a body, in words for a person."""

from typing import Final

import msgspec

__all__ = ["UNREADABLE", "fault"]

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding may raise, whatever the body holds."""


def fault(body: bytes, error: Exception) -> str:
    """Word a decoding error without repeating what the appliance sent.

    Parameters
    ----------
    body : bytes
        What could not be decoded.
    error : Exception
        One of `UNREADABLE`.

    Returns
    -------
    str
        The rest of a sentence about it.

    Examples
    --------
    >>> fault(b"", msgspec.DecodeError())
    'is empty'
    """
    start = body.lstrip()[:1]
    if not start:
        return "is empty"
    if start == b"<":
        return (
            "is HTML and not JSON: a proxy or a starting service answered in the appliance's "
            "place; look at the address in fleet.toml, or try again when its services are up"
        )
    if isinstance(error, msgspec.ValidationError):
        return f"is not what the API promises: {str(error).replace('`', '')}"
    return "is not valid JSON: it is cut off or damaged"
