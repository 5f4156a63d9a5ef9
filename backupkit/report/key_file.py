"""The key of redacted reports: a file of its own, for its owner alone."""

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
    """What the file holds."""

    secret: str
    aliases: dict[str, str]


def read_key(path: Path) -> tuple[bytes, dict[str, str]]:
    """Read the key, or make a new one where there is no file yet.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    secret : bytes
        What the aliases are made with.
    aliases : dict of str to str
        What stands behind those of earlier reports.

    Raises
    ------
    SettingsError
        If the file is no key; it is left as it is.
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
    """Keep the key, readable by its owner alone.

    Parameters
    ----------
    path : Path
        The file; what it held is replaced once the new one is whole.
    secret : bytes
        What the aliases are made with.
    aliases : mapping of str to str
        What stands behind each.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    told = {"secret": secret.hex(), "aliases": dict(sorted(aliases.items()))}
    content = json.dumps(told, indent=1, ensure_ascii=False).encode() + b"\n"
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            f"The key file {path} cannot be written: {error.strerror}. Name another place: without "
            "it nobody can tell what the aliases stand for."
        ) from error
