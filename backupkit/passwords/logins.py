"""Keys of fleet.toml that say how to log in: `LoginEntry`."""

from pathlib import Path
from typing import Any, Final

import msgspec

from backupkit.errors import SettingsError
from backupkit.passwords.entries import PasswordEntry
from backupkit.passwords.providers import OAuthEntry

__all__ = ["LOGINS", "LOGIN_EXAMPLES", "LoginEntry"]

LOGINS: Final = frozenset({"password", "token", "oauth"})
"""Keys of which an appliance has exactly one."""

LOGIN_EXAMPLES: Final = {
    "user": 'user = "backup-reader@vsphere.local"',
    "password": 'password = { env = "BACKUPKIT_PASSWORD" }',
    "token": 'token = { command = ["print-access-token"] }',
    "oauth": 'oauth = { url = "https://idp.example.com/token", client = "backupkit", '
    'secret = { env = "BACKUPKIT_SECRET" } }',
}
"""Example of each key."""


class LoginEntry(msgspec.Struct, frozen=True, kw_only=True):
    """User, and exactly one of password, access token and identity provider."""

    user: str | None = None
    password: PasswordEntry | None = None
    token: PasswordEntry | None = None
    oauth: OAuthEntry | None = None

    def read(self, *, where: str, folder: Path) -> dict[str, Any]:
        """Return user, login, password and provider, as the fields of an appliance.

        Raises
        ------
        SettingsError
            If a key is missing, or if there are two that exclude each other.
        """
        given = sorted(key for key in LOGINS if getattr(self, key) is not None)
        if self.user is None and given in ([], ["password"]):
            raise SettingsError(f'{where}: "user" is missing; for example: {_of("user")}')
        if not given:
            raise SettingsError(f'{where}: "password" is missing; for example: {_of("password")}')
        if len(given) > 1:
            raise SettingsError(
                f"{where}: state one of {' and '.join(given)}; for example: {_of(given[0])}"
            )
        fields: dict[str, Any] = {"user": self.user or "", "login": given[0], "provider": None}
        [key] = given
        source: PasswordEntry = getattr(self, key)
        if self.oauth is not None:
            source, key = self.oauth.secret, "secret"
            fields["provider"] = self.oauth.provider(where=where, folder=folder)
        if key == "token" and source.prompt:
            raise SettingsError(f"{where}: a token cannot be typed; for example: {_of(key)}")
        return fields | {"password": source.source(where=where, folder=folder, key=key)}


def _of(key: str) -> str:
    return LOGIN_EXAMPLES[key]
