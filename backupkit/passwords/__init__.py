"""Sources of passwords, as fleet.toml names them; never the passwords themselves."""

from backupkit.passwords.cache import PasswordCache
from backupkit.passwords.commands import split_command
from backupkit.passwords.entries import SOURCE_FORMS, PasswordEntry, convert_table
from backupkit.passwords.logins import LOGIN_EXAMPLES, LOGINS, LoginEntry
from backupkit.passwords.providers import IdentityProvider
from backupkit.passwords.sources import PasswordSource

__all__ = [
    "LOGINS",
    "LOGIN_EXAMPLES",
    "SOURCE_FORMS",
    "IdentityProvider",
    "LoginEntry",
    "PasswordCache",
    "PasswordEntry",
    "PasswordSource",
    "convert_table",
    "split_command",
]
