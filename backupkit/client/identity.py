"""Access tokens of identity providers, one for all appliances: `AccessTokens`."""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from backupkit import protocol, wire
from backupkit.client.connection_errors import CONNECTION_ERRORS, connection_error
from backupkit.client.masking import SecretMask
from backupkit.client.poll_time import PollTime
from backupkit.client.retries import Retries
from backupkit.client.transport import Response, Transport
from backupkit.errors import (
    ApplianceError,
    BackupkitError,
    CertificateError,
    CredentialError,
    PayloadError,
    ServerError,
)
from backupkit.fleet import Appliance
from backupkit.limits import Limits
from backupkit.passwords import IdentityProvider, PasswordSource

__all__ = ["ACCESS_TOKENS", "AccessTokens"]

MARGIN: Final = 60.0
"""Time before its end from which a token is not used any more [s]; at most half its life."""

DEFAULT_LIFETIME: Final = 60.0
"""Lifetime of a token without a stated one [s]."""

ERROR_AGE: Final = 30.0
"""Time for which a failure is not tried again [s]: it would be the same for each appliance."""

_SERVER_ERROR: Final = 500
_BUSY: Final = 429
_NOT_FOUND: Final = 404

_ADVICE: Final = (
    "Check url of oauth in fleet.toml, and whether this machine reaches the identity provider "
    "without a proxy."
)
_CERTIFICATE_ADVICE: Final = (
    "Save the certificate of its authority as a PEM file, and add ca_bundle to oauth in fleet.toml."
)
_CLIENT_ADVICE: Final = (
    "Check client, secret and scope of oauth in fleet.toml, and that the client may use the grant "
    "client_credentials."
)


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    token: str = ""
    error: CredentialError | None = None
    valid_until: float = float("-inf")


class AccessTokens:
    """Access tokens by provider and client, in memory only; thread-safe.

    One request serves all appliances until the token is about to expire. A failure is repeated for
    half a minute, so that a wrong secret does not lock the client.

    Parameters
    ----------
    clock : callable, optional
        Returns the time [s]; default: the monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._entries: dict[tuple[IdentityProvider, bytes], _Entry] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "AccessTokens()"

    def get(
        self,
        provider: IdentityProvider,
        secret: str,
        mask: SecretMask,
        limits: Limits,
        poll_time: PollTime,
    ) -> str:
        """Return an access token that is still valid.

        Raises
        ------
        CredentialError
            If the provider cannot be reached, refuses the client, or sends no token.
        DeadlineError, StoppedError
            If the time has passed, or the collection was stopped.
        """
        key = (provider, hashlib.sha256(secret.encode()).digest())
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
        with entry.lock:
            if self._clock() >= entry.valid_until:
                try:
                    entry.token, lifetime = _fetch(provider, secret, mask, limits, poll_time)
                    entry.error = None
                except CredentialError as error:
                    entry.error, lifetime = error, ERROR_AGE
                entry.valid_until = self._clock() + lifetime
            if entry.error is not None:
                raise entry.error
            return entry.token


ACCESS_TOKENS: Final = AccessTokens()
"""Access tokens of this process."""


def _fetch(
    provider: IdentityProvider,
    secret: str,
    mask: SecretMask,
    limits: Limits,
    poll_time: PollTime,
) -> tuple[str, float]:
    """Return a new access token, and for how long it may be used [s]."""
    # the provider is a host like any other: same TLS, same limits
    host = Appliance(
        name="the identity provider",
        host=provider.host,
        user=provider.client,
        password=PasswordSource("prompt", provider.host),
        ca_bundle=provider.ca_bundle,
    )
    transport, retries, attempts = Transport(host, limits), Retries(limits), 0
    try:
        while True:
            attempts += 1
            try:
                response = _request(transport, host, provider, secret, limits, poll_time)
                return _read(response, mask, limits)
            except ApplianceError as error:
                backoff = retries.backoff(error, attempts=attempts, time_left=poll_time.left)
                if backoff is None:
                    raise _credential_error(error, provider) from error
                poll_time.stop.wait(backoff)
    finally:
        transport.close()


def _request(
    transport: Transport,
    host: Appliance,
    provider: IdentityProvider,
    secret: str,
    limits: Limits,
    poll_time: PollTime,
) -> Response:
    poll_time.check("the access token")
    basic = protocol.basic_header(provider.client, secret)
    try:
        return transport.exchange(
            "POST",
            provider.path,
            {"Authorization": basic, **protocol.FORM},
            body=protocol.grant_form(provider.scope),
            read=limits.read,
            deadline=min(poll_time.end, monotonic() + limits.response),
            stop=poll_time.stop,
        )
    except CONNECTION_ERRORS as error:
        poll_time.check("the access token")
        raise connection_error(error, host, limits, resource="the access token") from error


def _read(response: Response, mask: SecretMask, limits: Limits) -> tuple[str, float]:
    """Return the access token of a response, and for how long it may be used [s]."""
    if response.ok and len(response.body) <= limits.body:
        token, stated = wire.decode_access_token(response.body)
        lifetime = DEFAULT_LIFETIME if stated is None else max(stated, 0.0)
        return token, lifetime - min(MARGIN, lifetime / 2)
    if response.ok:
        raise PayloadError("its response is too large")
    status = response.status
    if status >= _SERVER_ERROR or status == _BUSY:
        raise ServerError(f"it cannot issue an access token now ({status})")
    said = wire.decode_oauth_error(mask.mask_body(response.body, ok=False))
    problem = f'({status}): "{said}"' if said else f"({status})"
    is_wrong_url = not said and (status < 400 or status == _NOT_FOUND)  # noqa: PLR2004 # HTTP's
    raise CredentialError(
        f"the identity provider refused to issue an access token {problem}",
        advice=_ADVICE if is_wrong_url else _CLIENT_ADVICE,
        subject="oauth",
    )


def _credential_error(error: ApplianceError, provider: IdentityProvider) -> BackupkitError:
    """Return the error of the credentials for an error of the identity provider."""
    if error.kind in {"deadline", "stopped"}:
        return error
    advice = _ADVICE
    if isinstance(error, CertificateError):
        advice = _CERTIFICATE_ADVICE
    elif isinstance(error, ServerError):
        advice = "Collect again in a few minutes. If it stays so, check the identity provider."
    return CredentialError(
        f"no access token from the identity provider {provider.host}: {error.problem}",
        advice=advice,
        subject="oauth",
    )
