"""Key file of redacted reports, readable by its owner only."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from backupkit.errors import OutputError, SettingsError

__all__ = ["read_key", "write_key"]

_LENGTH: Final = 32  # bytes of a new secret
_OWNER: Final = 0o600


class _Key(msgspec.Struct, forbid_unknown_fields=True):
    """Content of the key file."""

    secret: str
    aliases: dict[str, str]


def read_key(path: Path) -> tuple[bytes, dict[str, str]]:
    """Read the key file, or create a new secret if there is no file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    secret : bytes
        Key of the aliases.
    aliases : dict of str to str
        Original name by alias, of earlier reports.

    Raises
    ------
    SettingsError
        If the file cannot be read or is not a key file; it is not changed.
    """
    try:
        key = msgspec.json.decode(path.read_bytes(), type=_Key)
        secret = bytes.fromhex(key.secret)
    except FileNotFoundError:
        return secrets.token_bytes(_LENGTH), {}
    except OSError as error:
        raise SettingsError(f"The key file {path} cannot be read: {error.strerror}.") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise SettingsError(
            f"{path} is not the key file of a redacted report; it is left as it is. Put it back "
            "from a backup, or name a file that does not exist yet: its aliases will be new."
        ) from error
    return secret, key.aliases


def write_key(path: Path, secret: bytes, aliases: Mapping[str, str]) -> None:
    """Write the key file atomically, readable by its owner only.

    Parameters
    ----------
    path : Path
        The file; an existing one is replaced.
    secret : bytes
        Key of the aliases.
    aliases : mapping of str to str
        Original name by alias.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    document = {"secret": secret.hex(), "aliases": dict(sorted(aliases.items()))}
    content = json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.unlink(missing_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"The key file {path} cannot be written: {error.strerror}. Name another place: without "
            "it nobody can tell what the aliases stand for."
        ) from error
