"""Sources of passwords, as fleet.toml names them; never the passwords themselves."""

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar

import msgspec

from backupkit.errors import CredentialError, SettingsError
from backupkit.settings import check_text, convert, decode_text, has_control_characters

__all__ = ["SOURCE_FORMS", "PasswordEntry", "PasswordSource", "convert_table"]

T = TypeVar("T")

PROMPTED: Final = "the fleet"
"""Target that the prompt for the password of a fleet names."""

SOURCE_FORMS: Final = (
    '{ env = "VARIABLE" }, { file = "path" }, { keyring = "service" } or { prompt = true }'
)


@dataclass(frozen=True, slots=True)
class PasswordSource:
    """Source of a password; never the password itself.

    Attributes
    ----------
    kind : {"env", "file", "keyring", "prompt"}
        Type of the source.
    place : str
        Environment variable, file path, keyring service, or target named in the prompt.

    Examples
    --------
    >>> PasswordSource("env", "VCSA_PASSWORD")
    PasswordSource(kind='env', place='VCSA_PASSWORD')
    """

    kind: Literal["env", "file", "keyring", "prompt"]
    place: str

    @classmethod
    def parse(cls, text: str, *, where: str) -> Self:
        """Return the source that a text names, as in ``env:VCSA_PASSWORD``.

        Raises
        ------
        SettingsError
            If the text names none. The message does not quote it, as it may be a password.

        Examples
        --------
        >>> PasswordSource.parse("file:secrets/vc", where="--password-from")
        PasswordSource(kind='file', place='secrets/vc')
        """
        check_text(text, where=where)
        kind, _, place = text.strip().partition(":")
        if text.strip() == "prompt":
            return cls("prompt", PROMPTED)
        if kind in {"env", "file", "keyring"} and place.strip():
            return cls(kind, place.strip())  # type: ignore[arg-type] # one of the three
        raise SettingsError(
            f"{where}: this is no source of a password; write env:VARIABLE, file:PATH, "
            "keyring:SERVICE or prompt. The password itself must not be written there."
        )

    def read(self, user: str) -> str:
        """Return the password from the source.

        Parameters
        ----------
        user : str
            User name, for the keyring and the prompt.

        Returns
        -------
        str
            The password.

        Raises
        ------
        CredentialError
            If the source has no password, or one that cannot be sent; the message names the
            source.
        """
        match self.kind:
            case "env":
                password = os.environ.get(self.place, "")
                problem = f"the environment variable {self.place} is not set"
                advice = "Set it to the password."
            case "file":
                password = self._read_file()
                problem = f"the file {self.place} is empty"
                advice = "Write the password on its first line."
            case "keyring":
                password = self._read_keyring(user)
                problem = f"the keyring has no password of {user} for {self.place}"
                advice = f"Store it with: keyring set {self.place} {user}"
            case _:
                password = self._prompt(user)
                problem, advice = "none was typed", "Run the command again at a terminal."
        password = password.removeprefix("\ufeff")  # of a file that the shell has read
        if not password:
            raise CredentialError(problem, advice=advice, subject="password")
        if has_control_characters(password):  # wrong log-ins would lock the account
            raise CredentialError(
                f"the password of {self.kind} {self.place} has a control character, or bytes that "
                "are not UTF-8",
                advice="Store it again, as one line of UTF-8 text.",
                subject="password",
            )
        return password

    def _read_file(self) -> str:
        try:
            lines = decode_text(Path(self.place).read_bytes()).splitlines()
        except (OSError, ValueError) as error:  # ValueError: a path with NUL, or not UTF-8
            not_text = isinstance(error, UnicodeDecodeError)
            reason = "it is not UTF-8 text" if not_text else "there is no such path"
            raise CredentialError(
                f"the file {self.place} cannot be read: "
                f"{getattr(error, 'strerror', None) or reason}",
                subject="password",
            ) from error
        return lines[0].strip() if lines else ""

    def _prompt(self, user: str) -> str:
        try:
            return getpass.getpass(f"Password of {user} for {self.place}: ")
        except EOFError:  # no terminal, as in a scheduled run
            return ""
        except UnicodeDecodeError as error:
            raise CredentialError(
                "the typed password has bytes that are not text in the terminal's encoding",
                advice="Set the encoding of the terminal to UTF-8.",
                subject="password",
            ) from error

    def _read_keyring(self, user: str) -> str:
        try:
            import keyring  # noqa: PLC0415 # optional dependency
        except ImportError as error:
            raise CredentialError(
                "the keyring package is missing",
                advice="Install it with: pip install 'backupkit[keyring]'",
                subject="password",
            ) from error
        try:
            return keyring.get_password(self.place, user) or ""
        except keyring.errors.KeyringError as error:
            raise CredentialError(
                f"the keyring cannot be read for {self.place}: {type(error).__name__}",
                subject="password",
            ) from error


class PasswordEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Password source in fleet.toml: exactly one of the four keys is set."""

    env: str | None = None
    file: str | None = None
    keyring: str | None = None
    prompt: bool | None = None

    def source(self, *, where: str, folder: Path, key: str = "password") -> PasswordSource:
        """Return the source; `folder` is the base of a relative file path, `key` the entry."""
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value}
        if len(given) != 1:
            raise SettingsError(f'{where}: "{key}" must be one of {SOURCE_FORMS}.')
        [(kind, place)] = given.items()
        if kind == "file":
            place = str(folder / place)
        return PasswordSource(kind, PROMPTED if kind == "prompt" else place)  # type: ignore[arg-type] # a field's name is the kind


def convert_table(
    table: Mapping[str, Any], kind: type[T], *, where: str, examples: Mapping[str, str]
) -> T:
    """Convert a table that may have a password source; reject a password written as text."""
    if isinstance(table.get("password"), str):
        raise SettingsError(
            f"{where}: a password must not be in this file. Name its source: "
            f"password = {SOURCE_FORMS}."
        )
    return convert(table, kind, where=where, examples=examples)
