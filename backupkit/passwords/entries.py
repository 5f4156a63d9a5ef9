"""Entries of password sources in TOML files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from backupkit.errors import SettingsError
from backupkit.passwords.commands import join_command
from backupkit.passwords.sources import PROMPTED, PasswordSource
from backupkit.settings import check_text, convert

__all__ = ["SOURCE_FORMS", "PasswordEntry", "convert_table"]

T = TypeVar("T")

SOURCE_FORMS: Final = (
    '{ env = "VARIABLE" }, { file = "path" }, { keyring = "service" }, '
    '{ command = ["program", "argument"] } or { prompt = true }'
)


class PasswordEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Password source in fleet.toml: exactly one of the keys is set."""

    env: str | None = None
    file: str | None = None
    keyring: str | None = None
    command: list[str] | None = None
    prompt: bool | None = None

    def source(self, *, where: str, folder: Path, key: str = "password") -> PasswordSource:
        """Return the password source; `folder` is the base of a relative file path."""
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value}
        if len(given) != 1:
            raise SettingsError(f'{where}: "{key}" must be one of {SOURCE_FORMS}.')
        [(kind, place)] = given.items()
        match kind:
            case "file":
                place = str(folder / place)
            case "command":
                check_text(" ".join(place), where=f"{where}: command")
                place = join_command(place)
            case "prompt":
                place = PROMPTED
        return PasswordSource(kind, place)  # type: ignore[arg-type] # a field's name is the kind


def convert_table(
    table: Mapping[str, Any], kind: type[T], *, where: str, examples: Mapping[str, str]
) -> T:
    """Convert a table that may have a password source; reject a secret written as text."""
    oauth = table.get("oauth")
    secret = oauth.get("secret") if isinstance(oauth, Mapping) else None
    for key, value in (
        ("password", table.get("password")),
        ("token", table.get("token")),
        ("secret", secret),
    ):
        if isinstance(value, str):
            raise SettingsError(
                f"{where}: a {key} must not be in this file. Name its source: "
                f"{key} = {SOURCE_FORMS}."
            )
    return convert(table, kind, where=where, examples=examples)
