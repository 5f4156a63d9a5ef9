"""Decompression of response bodies up to a limit.

A body of 1 MB can be 1 GiB decompressed. So it is decompressed here and not by urllib3, of which
old versions decompress all that they have received.
"""

import zlib
from typing import Final

import urllib3

__all__ = ["ACCEPTED_ENCODINGS", "decompress"]

ACCEPTED_ENCODINGS: Final = "gzip, deflate"
"""Value of the header Accept-Encoding."""

_GZIP: Final = frozenset({"gzip", "x-gzip"})
_GZIP_BITS: Final = 16 + zlib.MAX_WBITS
_RAW_BITS: Final = -zlib.MAX_WBITS  # deflate without the zlib header, as some servers send it
_ZLIB_METHOD: Final = 8


def decompress(body: bytes, encoding: str, *, limit: int) -> bytes:
    """Decompress a body, and return at most `limit` bytes of it.

    `encoding` is the value of the header Content-Encoding. A body with an encoding that was not
    accepted is returned as it is.

    Raises
    ------
    urllib3.exceptions.DecodeError
        If the body is not compressed as it says.

    Examples
    --------
    >>> decompress(zlib.compress(b"[" * 100), "deflate", limit=5)
    b'[[[[['
    """
    name = encoding.strip().lower()
    if name in _GZIP:
        bits = _GZIP_BITS
    elif name == "deflate":
        bits = _deflate_bits(body)
    else:
        return body[:limit]
    try:
        return _inflate(body, bits, limit)
    except zlib.error as error:
        raise urllib3.exceptions.DecodeError(f"the body is not {name}") from error


def _inflate(body: bytes, bits: int, limit: int) -> bytes:
    """Decompress all members of a body, up to the limit."""
    parts, left = list[bytes](), limit
    while body and left > 0:
        decoder = zlib.decompressobj(bits)
        parts.append(decoder.decompress(body, left))
        left -= len(parts[-1])
        body = decoder.unused_data
        if body[:1] == b"\0":  # padding after the last member
            break
    return b"".join(parts)


def _deflate_bits(body: bytes) -> int:
    """Return the window bits of a deflate body, with or without the zlib header."""
    has_header = (
        len(body) > 1 and body[0] & 0xF == _ZLIB_METHOD and (body[0] << 8 | body[1]) % 31 == 0
    )
    return zlib.MAX_WBITS if has_header else _RAW_BITS
