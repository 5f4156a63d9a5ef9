"""Source of a password: where it is, never the password itself."""

import getpass
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self

from backupkit.errors import CredentialError, SettingsError, describe_installation
from backupkit.passwords.commands import join_command, run_command, split_command
from backupkit.settings import check_text, decode_text, has_control_characters

__all__ = ["PROMPTED", "PasswordSource"]

PROMPTED: Final = "the fleet"
"""Target that the prompt for the password of a fleet names."""


@dataclass(frozen=True, slots=True)
class PasswordSource:
    """Source of a password; never the password itself.

    Attributes
    ----------
    kind : {"env", "file", "keyring", "command", "prompt"}
        Type of the source.
    place : str
        Environment variable, file path, keyring service, command line that prints the password,
        or target named in the prompt.
    secret : str
        Word of what it holds, for prompts and errors: password, access token or client secret.

    Examples
    --------
    >>> PasswordSource("env", "VCSA_PASSWORD")
    PasswordSource(kind='env', place='VCSA_PASSWORD')
    """

    kind: Literal["env", "file", "keyring", "command", "prompt"]
    place: str
    secret: str = field(default="password", repr=False, compare=False)

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
        >>> PasswordSource.parse("command:pass show 'vcenter reader'", where="--password-from")
        PasswordSource(kind='command', place="pass show 'vcenter reader'")
        """
        check_text(text, where=where)
        kind, _, place = text.strip().partition(":")
        if text.strip() == "prompt":
            return cls("prompt", PROMPTED)
        if kind in {"env", "file", "keyring"} and place.strip():
            return cls(kind, place.strip())  # type: ignore[arg-type] # one of the three
        if kind == "command" and place.strip():
            return cls("command", join_command(split_command(place, where=where)))
        raise SettingsError(
            f"{where}: this is no source of a secret; write env:VARIABLE, file:PATH, "
            "keyring:SERVICE, command:PROGRAM or prompt. The secret itself must not be "
            "written there."
        )

    def read(self, user: str, *, stop: threading.Event | None = None) -> str:
        """Return the password from the source.

        Parameters
        ----------
        user : str
            User name, for the keyring and the prompt.
        stop : Event, optional
            Ends a command once set.

        Returns
        -------
        str
            The password, or the other secret.

        Raises
        ------
        CredentialError
            If the source has none, or one that cannot be sent; the message names the source.
        StoppedError
            If `stop` was set before a command ended.
        """
        match self.kind:
            case "env":
                password = os.environ.get(self.place, "")
                problem = f"the environment variable {self.place} is not set"
                advice = f"Set {self.place} to the {self.secret}."
            case "file":
                password = self._read_file()
                problem = f"the file {self.place} is empty"
                advice = f"Write the {self.secret} on its first line."
            case "keyring":
                password = self._read_keyring(user)
                problem = f"the keyring has no {self.secret} of {user} for {self.place}"
                advice = f"Store it with: keyring set {self.place} {user}"
            case "command":
                password = run_command(self.place, secret=self.secret, stop=stop)
                problem = f"the command {self.place} printed nothing on its first line"
                advice = f"Run it by hand: its first line of output must be the {self.secret}."
            case _:
                password = self._prompt(user)
                problem, advice = "none was typed", "Run the command again at a terminal."
        password = password.removeprefix("\ufeff")  # of a file that the shell has read
        if not password:
            raise CredentialError(problem, advice=advice, subject=self.secret)
        if has_control_characters(password):  # wrong log-ins would lock the account
            raise CredentialError(
                f"the {self.secret} of {self.kind} {self.place} has a control character, or bytes "
                "that are not UTF-8",
                advice="Store it again, as one line of UTF-8 text.",
                subject=self.secret,
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
                advice=f"Name a readable file with the {self.secret} on its first line.",
                subject=self.secret,
            ) from error
        return lines[0].strip() if lines else ""

    def _prompt(self, user: str) -> str:
        try:
            return getpass.getpass(f"{self.secret.capitalize()} of {user} for {self.place}: ")
        except EOFError:  # no terminal, as in a scheduled run
            return ""
        except UnicodeDecodeError as error:
            raise CredentialError(
                f"the typed {self.secret} has bytes that are not text in the terminal's encoding",
                advice="Set the encoding of the terminal to UTF-8.",
                subject=self.secret,
            ) from error

    def _read_keyring(self, user: str) -> str:
        try:
            import keyring  # noqa: PLC0415 # optional dependency
        except ImportError as error:
            raise CredentialError(
                "the keyring package is missing",
                advice=describe_installation("keyring"),
                subject=self.secret,
            ) from error
        try:
            return keyring.get_password(self.place, user) or ""
        except keyring.errors.KeyringError as error:
            raise CredentialError(
                f"the keyring cannot be read for {self.place}: {type(error).__name__}",
                subject=self.secret,
            ) from error
