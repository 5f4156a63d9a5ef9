"""Headers and forms of a sign-in: password, OAuth 2.0 client, access token, SAML token; no I/O.

References
----------
.. [1] RFC 6749, The OAuth 2.0 Authorization Framework, sections 2.3.1 and 4.4.2.
.. [2] RFC 6750, Bearer Token Usage, section 2.1.
.. [3] RFC 8693, OAuth 2.0 Token Exchange, section 2.1.
.. [4] vSphere Automation API, vcenter/authentication/token and session.
"""

import gzip
from base64 import b64encode
from typing import Final
from urllib.parse import urlencode

__all__ = [
    "FORM",
    "basic_header",
    "bearer_header",
    "exchange_form",
    "grant_form",
    "sign_header",
]

FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}

_GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 # a name
_SAML2: Final = "urn:ietf:params:oauth:token-type:saml2"


def basic_header(user: str, password: str) -> str:
    """Return the header Authorization of a user, or of an OAuth 2.0 client.

    Id and secret of a client are sent as they are, as VMware documents it. RFC 6749 would have them
    form-encoded, which is the same for letters, digits and ``-._``.

    Examples
    --------
    >>> basic_header("Aladdin", "open sesame")
    'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='
    """
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode('ascii')}"


def bearer_header(access_token: str) -> str:
    """Return the header Authorization of an access token (RFC 6750).

    Examples
    --------
    >>> bearer_header("mF_9.B5f-4.1JqM")
    'Bearer mF_9.B5f-4.1JqM'
    """
    return f"Bearer {access_token}"


def sign_header(assertion: bytes) -> str:
    """Return the header Authorization of a SAML token: compressed, in base64.

    Examples
    --------
    >>> sign_header(b"<saml2:Assertion/>")[:18]
    'SIGN token="H4sIAA'
    """
    # the same token gives the same header
    return f'SIGN token="{b64encode(gzip.compress(assertion, mtime=0)).decode("ascii")}"'


def grant_form(scope: str | None) -> bytes:
    """Return the form that requests an access token for the client itself.

    Examples
    --------
    >>> grant_form("openid vcenter")
    b'grant_type=client_credentials&scope=openid+vcenter'
    """
    fields = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    return urlencode(fields).encode("ascii")


def exchange_form(access_token: str) -> bytes:
    """Return the form that exchanges an access token for a SAML token.

    Examples
    --------
    >>> exchange_form("abc").rpartition(b"&")[2]
    b'subject_token=abc'
    """
    return urlencode(
        {
            "grant_type": _GRANT,
            "requested_token_type": _SAML2,
            "subject_token_type": _ACCESS_TOKEN,
            "subject_token": access_token,
        }
    ).encode("ascii")
