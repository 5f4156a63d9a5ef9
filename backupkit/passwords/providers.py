"""Identity providers that issue access tokens: `IdentityProvider`, and its entry in fleet.toml."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from backupkit.errors import SettingsError, one_line
from backupkit.passwords.entries import PasswordEntry
from backupkit.settings import check_host, check_text

__all__ = ["IdentityProvider", "OAuthEntry"]

_EXAMPLE: Final = 'url = "https://idp.example.com/acs/t/CUSTOMER/token"'


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityProvider:
    """OAuth 2.0 client of an identity provider; never its secret.

    Attributes
    ----------
    url : str
        Token endpoint, beginning with ``https://``.
    client : str
        Id of the client, which the provider issues access tokens for.
    scope : str, optional
        Scope to request; default: the provider's own.
    ca_bundle : Path, optional
        PEM file of the certificate authority; default: the system's authorities.

    Raises
    ------
    SettingsError
        If the URL or the client is invalid.

    References
    ----------
    .. [1] RFC 6749, section 4.4, client credentials grant.

    Examples
    --------
    >>> provider = IdentityProvider(url="https://idp.test:8443/token?t=1", client="backupkit")
    >>> provider.host, provider.path
    ('idp.test:8443', '/token?t=1')
    """

    url: str
    client: str
    scope: str | None = None
    ca_bundle: Path | None = None

    def __post_init__(self) -> None:
        for key in ("url", "client", "scope"):
            check_text(getattr(self, key) or "", where=f"oauth: {key}")
        if not self.client.strip() or ":" in self.client:  # which would end it in the header
            raise SettingsError(
                'oauth: the client is empty or has a colon; for example: client = "backupkit"'
            )
        problem = ""
        try:
            parts = urlsplit(self.url)
            if not (parts.hostname and parts.port != 0 and self.url.isascii()):
                problem = "has no valid host"
        except ValueError:
            problem = "has no valid host or port"
        if not problem and parts.scheme != "https":
            problem = "must begin with https://, as the secret of the client is sent there"
        if not problem and ("@" in parts.netloc or parts.fragment or " " in self.url):
            problem = "must have neither a user nor a fragment nor blanks"
        if problem:  # the URL is not quoted: it may hold a password
            raise SettingsError(f"oauth: url {problem}; for example: {_EXAMPLE}")
        if ":" not in (parts.hostname or ""):
            check_host(parts.hostname or "", where="oauth: url")

    @property
    def host(self) -> str:
        """Host of the token endpoint, with its port if the URL has one."""
        return urlsplit(self.url).netloc

    @property
    def path(self) -> str:
        """Path of the token endpoint, with its query."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class OAuthEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Identity provider in fleet.toml, and the source of the client's secret."""

    url: str
    client: str
    secret: PasswordEntry
    scope: str | None = None
    ca_bundle: str | None = None

    def provider(self, *, where: str, folder: Path) -> IdentityProvider:
        """Return the identity provider; `folder` is the base of a relative file path."""
        ca_bundle = None if self.ca_bundle is None else folder / self.ca_bundle
        if ca_bundle is not None and not ca_bundle.is_file():
            raise SettingsError(
                f'{where}: oauth: ca_bundle: no such file "{one_line(str(ca_bundle))}".'
            )
        try:
            return IdentityProvider(
                url=self.url, client=self.client, scope=self.scope, ca_bundle=ca_bundle
            )
        except SettingsError as error:
            raise SettingsError(f"{where}: {error}") from error
