"""Secrets of one session, and the headers and bodies that carry them: `Credentials`."""

from base64 import b64encode

from backupkit import protocol, wire
from backupkit.client.identity import ACCESS_TOKENS
from backupkit.client.masking import SecretMask
from backupkit.client.poll_time import PollTime
from backupkit.errors import CredentialError, PayloadError
from backupkit.fleet import Appliance
from backupkit.limits import Limits
from backupkit.wire import Flavour

__all__ = ["Credentials", "decode_session_token"]


class Credentials:
    """Secrets of one session; in none of its texts.

    Parameters
    ----------
    appliance : Appliance
        States how to log in.
    secret : str
        Password, access token, or secret of the OAuth 2.0 client.

    Attributes
    ----------
    mask : SecretMask
        Masks every secret that was sent or received.
    needs_exchange : bool
        Whether the login needs a SAML token, for which an access token is exchanged.
    """

    def __init__(self, appliance: Appliance, secret: str) -> None:
        self._appliance, self._secret = appliance, secret
        self.needs_exchange = appliance.login != "password"
        self.mask = SecretMask(appliance.account, "" if appliance.login == "token" else secret)
        self._login_header = self._access_token = self._session_token = ""
        if not self.needs_exchange:
            self._login_header = protocol.basic_header(appliance.user, secret)
        elif appliance.login == "token":
            if not (secret.isascii() and secret.isprintable()) or " " in secret:
                raise CredentialError(
                    "the access token has a blank, or a character outside ASCII",
                    advice="The first line of its source must be the access token alone.",
                    subject="token",
                )
            self._set_access_token(secret)

    def __repr__(self) -> str:
        return f"Credentials({self._appliance.name!r})"

    @property
    def session_token(self) -> str:
        """Token of the session; empty without a session."""
        return self._session_token

    def set_session_token(self, token: str) -> None:
        """Use a new session; an empty token ends it."""
        self.mask.add_token(token)
        self._session_token = token

    def fetch_access_token(self, limits: Limits, poll_time: PollTime) -> None:
        """Get an access token of the identity provider, if it issues them."""
        if self._appliance.provider is not None:
            token = ACCESS_TOKENS.get(
                self._appliance.provider, self._secret, self.mask, limits, poll_time
            )
            self._set_access_token(token)

    def _set_access_token(self, token: str) -> None:
        self.mask.add_token(token)
        self._access_token = token

    def set_assertion(self, body: bytes) -> None:
        """Use the SAML token in the response of a token exchange."""
        assertion = wire.decode_assertion(body)
        self._login_header = protocol.sign_header(assertion)
        for secret in (
            self._login_header.partition('"')[2].rstrip('"'),
            b64encode(assertion).decode("ascii"),
            assertion.decode("utf-8", "replace"),
        ):
            self.mask.add_token(secret)

    def build(self, request: protocol.Request) -> tuple[dict[str, str], bytes]:
        """Return the headers and the body that carry the secrets of a request."""
        if request.exchange:
            header = {"Authorization": protocol.bearer_header(self._access_token)}
            return header | protocol.FORM, protocol.exchange_form(self._access_token)
        if request.login:
            return {"Authorization": self._login_header, **protocol.NO_COOKIE}, b""
        return {protocol.SESSION_HEADER: self._session_token}, b""


def decode_session_token(body: bytes, flavour: Flavour) -> str:
    """Decode the token of a login response; raise if it does not fit into a header."""
    token = wire.decode_text(body, flavour, "the login")
    if not (token and token.isascii() and token.isprintable()):
        raise PayloadError("the response to the login does not follow the API: no token")
    return token
