"""Files of a report: atomic writing, and the key file of redacted reports."""

import gzip
import json
import os
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from html import unescape
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from backupkit.errors import OutputError, SettingsError

__all__ = ["Content", "check_foreign", "find_own_files", "read_key", "write_files", "write_key"]

Content = bytes | Iterable[bytes]
"""Content of a file, whole or in pieces."""

_GENERATOR: Final = b'<meta name="generator" content="backupkit">'
_DATA_FILES: Final = re.compile(rb"<dt>Data files</dt><dd>(.*?): everything;", re.DOTALL)
_SECRET_LENGTH: Final = 32  # bytes of a new secret
_OWNER_ONLY: Final = 0o600


def find_own_files(page: Path, paths: Iterable[Path]) -> frozenset[Path]:
    """Return which files the page of an earlier report names; none if there is no page."""
    try:
        content = page.read_bytes()
    except OSError:  # no page; whether it can be written shows when it is
        return frozenset()
    names = _DATA_FILES.search(content) if _GENERATOR in content else None
    if names is None:
        return frozenset()
    listed = f", {unescape(names[1].decode(errors='replace'))}, "
    return frozenset(path for path in paths if f", {path.name}, " in listed)


def check_foreign(paths: Iterable[Path], own: Collection[Path]) -> None:
    """Raise if a file exists that is not one of the own ones.

    Raises
    ------
    OutputError
        With the first such file; it is left as it is.
    """
    foreign = next((path for path in paths if path not in own and os.path.lexists(path)), None)
    if foreign is not None:
        raise OutputError(
            f"{foreign} exists, and is not of the report that is replaced. It stays as it is: "
            "choose another name for the report, or move this file away."
        )


def write_files(
    contents: Mapping[Path, Content], *, obsolete: Collection[Path] = ()
) -> tuple[Path, ...]:
    """Write files atomically: a reader never sees an incomplete one.

    A file that ends in ``.gz`` is compressed; the same content gives the same bytes. Then the
    `obsolete` files are removed.

    Raises
    ------
    OutputError
        If a file cannot be written. No file is replaced before all are written, and temporary
        files are removed.
    """
    try:
        _replace_files(contents, mode=0o666)
        for path in obsolete:
            path.unlink(missing_ok=True)
    except OSError as error:
        failed = Path(error.filename)
        raise OutputError(
            f"Cannot write to {failed.parent}: {error.strerror} ({failed}). Check that the"
            " folder exists, that you may write to it and that it has space left, or choose"
            " another path."
        ) from error
    return tuple(contents)


def _replace_files(contents: Mapping[Path, Content], *, mode: int) -> None:
    """Write each file to disk beside its target; replace the targets when all are written."""
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in contents}
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        for path, content in contents.items():
            with _name_target(path):
                temporary[path].unlink(missing_ok=True)
                handle = os.open(temporary[path], flags, mode)
                with os.fdopen(handle, "wb") as file:
                    pieces = (content,) if isinstance(content, bytes) else content
                    if path.suffix == ".gz":
                        _write_compressed(file, pieces)
                    else:
                        file.writelines(pieces)
                    file.flush()
                    os.fsync(handle)
        for path, source in temporary.items():
            with _name_target(path):
                source.replace(path)
    finally:
        for source in temporary.values():
            # after a failure the temporary file may not exist or not be accessible
            with suppress(OSError):
                source.unlink(missing_ok=True)


@contextmanager
def _name_target(path: Path) -> Iterator[None]:
    """Name the file that was asked for in an error, which may have no name or the temporary one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or type(error).__name__, str(path)) from error


def _write_compressed(file: BinaryIO, pieces: Iterable[bytes]) -> None:
    # without a name and a time, which would change the bytes
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as packed:
        packed.writelines(pieces)


class _Key(msgspec.Struct, forbid_unknown_fields=True):
    """Content of the key file."""

    secret: str
    aliases: dict[str, str]


def read_key(path: Path) -> tuple[bytes, dict[str, str]]:
    """Read the key file, or create a new secret if there is no file.

    Return the secret, and the original names of earlier reports by alias.

    Raises
    ------
    SettingsError
        If the file cannot be read or is not a key file; it is not changed.
    """
    try:
        key = msgspec.json.decode(path.read_bytes(), type=_Key)
        secret = bytes.fromhex(key.secret)
    except FileNotFoundError:
        return secrets.token_bytes(_SECRET_LENGTH), {}
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

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    document = {"secret": secret.hex(), "aliases": dict(sorted(aliases.items()))}
    content = json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
    try:
        _replace_files({path: content}, mode=_OWNER_ONLY)
    except OSError as error:
        raise OutputError(
            f"The key file {path} cannot be written: {error.strerror}. Name another place: without "
            "it nobody can resolve the aliases."
        ) from error
