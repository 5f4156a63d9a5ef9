"""Identity provider that issues access tokens, and the SAML tokens of an appliance.

The provider is a server of its own, as that of VMware Cloud Foundation is. Documents only look like
SAML: nothing in them is signed.
"""

import base64
import gzip
import hashlib
import re
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from backupkit.simulator.wire import JSON, Reply, Request

CLIENT = "backupkit"
SECRET = "Simulated secret: 1+1"  # noqa: S105  # it opens nothing but simulated appliances
PATH = "/acs/t/CUSTOMER/token"
LIFETIME = timedelta(minutes=30)
SAML_LIFETIME = timedelta(seconds=299)
FORM = "application/x-www-form-urlencoded"
EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "requested_token_type": "urn:ietf:params:oauth:token-type:saml2",
    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
}
ACTOR = ("actor_token", "actor_token_type")  # of a person who logged in
_SIGN = re.compile(r'token="([A-Za-z0-9+/]+={0,2})"')


def oauth_error(status: int, code: str, description: str) -> Reply:
    """Return an error of OAuth 2.0 (RFC 6749, section 5.2)."""
    body = {"error": code, "error_description": description}
    challenge = (("WWW-Authenticate", "Basic"),) if code == "invalid_client" else ()
    return Reply(status, (*JSON, *challenge), msgspec.json.encode(body))


def _read_form(request: Request) -> tuple[dict[str, str], str]:
    """Return the fields of a form, and what is wrong with it."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return {}, f"The content type must be {FORM}."
    try:
        pairs = urllib.parse.parse_qsl(
            request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True
        )
    except ValueError:
        return {}, "The body is not form-encoded."
    if len({name for name, _ in pairs}) < len(pairs):
        return {}, "A field occurs twice."
    return dict(pairs), ""


def read_exchange(request: Request) -> tuple[Mapping[str, str], str]:
    """Return the fields of a token exchange, and what is wrong with it; JSON is a form, too.

    VMware's client sends JSON. Each field must be there, with the one value that is documented.
    """
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            fields = msgspec.json.decode(request.body, type=dict[str, str])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return {}, "The body is no object of texts."
    else:
        fields, problem = _read_form(request)
        if problem:
            return {}, problem
    for name, value in EXCHANGE.items():
        if fields.get(name) != value:
            return {}, f"The field {name} must be {value}."
    if not fields.get("subject_token"):
        return {}, "The field subject_token is missing."
    if unknown := sorted(set(fields) - {*EXCHANGE, "subject_token", *ACTOR}):
        return {}, f"The field {unknown[0]} is not supported."
    return fields, ""


class IdentityProvider:
    """Simulated identity provider with one client; thread-safe.

    Parameters
    ----------
    client, secret : str
        Credentials of the client.
    clock : callable, optional
        Returns the time as an aware datetime; default: the true time.
    lifetime : timedelta
        Lifetime of an access token.
    scope : str, optional
        Scope that a request must have.

    Attributes
    ----------
    host : str
        Address as ``address:port``; empty until a fleet has started it.
    issued : list of str
        Access tokens, oldest first.
    refused : int
        Number of requests that were refused.

    Examples
    --------
    >>> provider = IdentityProvider()
    >>> provider.answer(Request(method="POST", target=provider.path)).status
    401
    """

    path = PATH

    def __init__(
        self,
        client: str = CLIENT,
        secret: str = SECRET,
        *,
        clock: Callable[[], datetime] | None = None,
        lifetime: timedelta = LIFETIME,
        scope: str | None = None,
    ) -> None:
        self.client, self.secret, self.scope = client, secret, scope
        self.host = ""
        self.issued: list[str] = []
        self.refused = 0
        self._clock = clock or (lambda: datetime.now(UTC))
        self._lifetime = lifetime
        self._ends: dict[str, datetime] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Token endpoint."""
        return f"https://{self.host}{self.path}"

    def answer(self, request: Request) -> Reply:
        """Return the reply to a request (RFC 6749, sections 2.3.1 and 4.4)."""
        with self._lock:
            reply = self._answer(request)
            self.refused += reply.status != 200  # noqa: PLR2004  # HTTP's
            return reply

    def _answer(self, request: Request) -> Reply:
        if (request.method, request.path) != ("POST", self.path):
            return Reply(404)
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True).decode()
        except ValueError:
            given = ""
        if scheme != "Basic" or given != f"{self.client}:{self.secret}":
            return oauth_error(401, "invalid_client", "Client authentication failed.")
        fields, problem = _read_form(request)
        if problem:
            return oauth_error(400, "invalid_request", problem)
        if fields.get("grant_type") != "client_credentials":
            return oauth_error(400, "unsupported_grant_type", "Use client_credentials.")
        if fields.get("scope") != self.scope or set(fields) - {"grant_type", "scope"}:
            return oauth_error(400, "invalid_scope", "The client may not have this scope.")
        token = self.issue()
        body = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self._lifetime.total_seconds()),
        }
        return Reply(200, (*JSON, ("Cache-Control", "no-store")), msgspec.json.encode(body))

    def issue(self) -> str:
        """Return a new access token, which looks like a JWT."""
        number = len(self.issued) + 1
        parts = (
            msgspec.json.encode({"alg": "none", "typ": "JWT"}),
            msgspec.json.encode({"sub": self.client, "jti": number}),
            hashlib.sha256(f"{self.host}/{self.secret}/{number}".encode()).digest(),
        )
        token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        self._ends[token] = self._clock() + self._lifetime
        self.issued.append(token)
        return token

    def find_client(self, token: str) -> str | None:
        """Return the client of an access token; None if it is unknown or has expired."""
        end = self._ends.get(token)
        return self.client if end is not None and self._clock() < end else None


class SamlTokens:
    """SAML tokens that an appliance issued; thread-safe.

    Parameters
    ----------
    seed : str
        Decides the ids of the tokens.
    clock : callable
        Returns the time as an aware datetime.

    Attributes
    ----------
    issued : list of str
        Documents, oldest first.
    """

    def __init__(self, seed: str, clock: Callable[[], datetime]) -> None:
        self.issued: list[str] = []
        self._seed, self._clock = seed, clock
        self._valid: dict[str, tuple[str, datetime]] = {}
        self._lock = threading.Lock()

    def issue(self, user: str) -> dict[str, object]:
        """Return the response of a token exchange: a new document in base64 (RFC 8693)."""
        with self._lock:
            end = self._clock() + SAML_LIFETIME
            number = len(self.issued) + 1
            name = hashlib.sha256(f"{self._seed}/saml/{number}".encode()).hexdigest()
            document = (
                '<?xml version="1.0" encoding="UTF-8"?><saml2:Assertion '
                f'xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion" ID="_{name}" Version="2.0">'
                f"<saml2:Subject><saml2:NameID>{user}</saml2:NameID></saml2:Subject>"
                f'<saml2:Conditions NotOnOrAfter="{end:%Y-%m-%dT%H:%M:%SZ}"/></saml2:Assertion>'
            )
            self.issued.append(document)
            self._valid[document] = (user, end)
        return {
            "access_token": base64.b64encode(document.encode()).decode(),
            "issued_token_type": EXCHANGE["requested_token_type"],
            "token_type": "Bearer",
            "expires_in": int(SAML_LIFETIME.total_seconds()),
        }

    def find_user(self, credentials: str) -> str | None:
        """Return the user of ``token="..."``; None if it is not valid, or has expired."""
        matched = _SIGN.fullmatch(credentials)
        if matched is None:
            return None
        try:
            document = gzip.decompress(base64.b64decode(matched[1], validate=True)).decode()
        except (ValueError, OSError, EOFError):  # no base 64, no gzip, not complete
            return None
        user, end = self._valid.get(document, ("", datetime.min.replace(tzinfo=UTC)))
        return user if self._clock() < end else None
