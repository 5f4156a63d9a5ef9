"""Decoders of a sign-in: access token, SAML token, and errors of OAuth 2.0.

References
----------
.. [1] RFC 6749, sections 5.1 and 5.2; RFC 8693, section 2.2.
"""

import re
from base64 import b64decode
from binascii import Error
from math import isfinite
from typing import Final

import msgspec

from backupkit.errors import PayloadError, one_line
from backupkit.wire.decode import DECODE_EXCEPTIONS, payload_error

__all__ = ["decode_access_token", "decode_assertion", "decode_oauth_error"]

_CODE: Final = re.compile(r"[\w.-]{1,60}", re.ASCII)
_TO_STANDARD: Final = str.maketrans("-_", "+/")


class _Token(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float | str | None = None


class _OAuthError(msgspec.Struct, frozen=True):
    error: str
    error_description: str = ""


def decode_access_token(body: bytes) -> tuple[str, float | None]:
    """Decode the access token of an identity provider, and its lifetime [s] if it is stated.

    Some providers write the lifetime as a text.

    Raises
    ------
    PayloadError
        If the body has no token that fits into a header.

    Examples
    --------
    >>> decode_access_token(b'{"access_token": "abc", "token_type": "Bearer", "expires_in": 300}')
    ('abc', 300.0)
    """
    what = "its response"
    token = _decode_token(body, what)
    text = token.access_token
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise PayloadError(f"{what} has no access token that fits into a header")
    try:
        lifetime = None if token.expires_in is None else float(token.expires_in)
    except ValueError:
        lifetime = None
    return text, lifetime if lifetime is not None and isfinite(lifetime) else None


def decode_assertion(body: bytes) -> bytes:
    """Decode the SAML token of a token exchange: XML in base64, of either alphabet.

    Raises
    ------
    PayloadError
        If the body has no such token.

    Examples
    --------
    >>> decode_assertion(b'{"access_token": "PHNhbWwyOkFzc2VydGlvbi8-"}')
    b'<saml2:Assertion/>'
    """
    what = "the response to the token exchange"
    text = "".join(_decode_token(body, what).access_token.split()).translate(_TO_STANDARD)
    try:
        assertion = b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (Error, ValueError):  # ValueError: not ASCII
        assertion = b""
    if not assertion.lstrip().startswith(b"<"):
        raise PayloadError(f"{what} does not follow the API: it has no SAML token in base64")
    return assertion


def decode_oauth_error(body: bytes) -> str:
    """Return code and description of an OAuth 2.0 error as one line; empty if it is none.

    Examples
    --------
    >>> decode_oauth_error(b'{"error": "invalid_client", "error_description": "no such client"}')
    'invalid_client: no such client'
    """
    try:
        error = msgspec.json.decode(body, type=_OAuthError)
    except DECODE_EXCEPTIONS:
        return ""
    if not _CODE.fullmatch(error.error):
        return ""
    description = one_line(error.error_description, limit=120)
    return f"{error.error}: {description}" if description else error.error


def _decode_token(body: bytes, what: str) -> _Token:
    try:
        return msgspec.json.decode(body, type=_Token)
    except DECODE_EXCEPTIONS as error:
        raise payload_error(what, body, error) from None  # the cause may quote the token
