"""Error messages for bodies that cannot be decoded."""

from typing import Final

import msgspec

__all__ = ["DECODE_EXCEPTIONS", "decode_error_message"]

DECODE_EXCEPTIONS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Exceptions that decoding can raise."""


def decode_error_message(body: bytes, error: Exception) -> str:
    """Return the message of a decoding error, without quoting the body.

    Parameters
    ----------
    body : bytes
        Body that could not be decoded.
    error : Exception
        One of `DECODE_EXCEPTIONS`.

    Returns
    -------
    str
        Rest of a sentence about the body.

    Examples
    --------
    >>> decode_error_message(b"", msgspec.DecodeError())
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
