"""Evidence of a period in one zip file: report, data, policy, ledger, checksums, signature."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from backupkit.errors import OutputError, SettingsError, one_line
from backupkit.reports.files import Content, write_files

__all__ = ["NAMESPACE", "build_pack", "format_json", "sign", "write_pack"]

SUMS: Final = "SHA256SUMS"
SIGNATURE: Final = "SHA256SUMS.sig"
NAMESPACE: Final = "backupkit"
"""Namespace of the signatures, so that none is taken for one of another program."""

_FIRST_DATE: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can hold
_READABLE: Final = 0o100644 << 16  # a plain file, which others may read
_UNIX: Final = 3


def build_pack(contents: Mapping[str, Content], *, key: Path | None = None) -> bytes:
    """Build a zip file of some files, their checksums, and a signature of these.

    The same contents give the same bytes: times are fixed, and files are in the order of names.

    Parameters
    ----------
    contents : mapping of str to bytes or iterable of bytes
        Content of each file, by name.
    key : Path, optional
        Private key of OpenSSH that signs the checksums, or public key of one that an agent holds.

    Returns
    -------
    bytes
        The zip file.

    Raises
    ------
    SettingsError
        If the checksums cannot be signed with the key.

    Examples
    --------
    >>> pack = build_pack({"b.txt": b"second", "a.txt": [b"fir", b"st"]})
    >>> with zipfile.ZipFile(io.BytesIO(pack)) as archive:
    ...     archive.namelist(), archive.read("a.txt")
    (['SHA256SUMS', 'a.txt', 'b.txt'], b'first')
    >>> pack == build_pack({"a.txt": b"first", "b.txt": b"second"})
    True
    """
    files = {name: _join(content) for name, content in sorted(contents.items())}
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()
    ).encode()
    files[SUMS] = sums
    if key is not None:
        files[SIGNATURE] = sign(sums, key)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _FIRST_DATE)
            info.create_system = _UNIX
            info.external_attr = _READABLE
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, files[name])
    return buffer.getvalue()


def _join(content: Content) -> bytes:
    return content if isinstance(content, bytes) else b"".join(content)


def write_pack(path: Path, pack: bytes) -> None:
    """Write a pack to a new file; an equal one may exist.

    Raises
    ------
    OutputError
        If the file has another content, which is kept, or cannot be written.
    """
    try:
        is_other = os.path.lexists(path) and path.read_bytes() != pack
    except OSError as error:
        raise OutputError(f"{path} exists and cannot be read: {error.strerror}") from error
    if is_other:
        raise OutputError(
            f"{path} exists and has another content; evidence is never replaced. Name a new file, "
            "or remove this one."
        )
    write_files({path: pack})


def sign(content: bytes, key: Path) -> bytes:
    """Sign a content by ``ssh-keygen -Y sign``; it prompts if the key has a passphrase.

    Parameters
    ----------
    content : bytes
        What is signed.
    key : Path
        Private key of OpenSSH, or public key of one that an agent holds.

    Returns
    -------
    bytes
        The signature, in the format of OpenSSH.

    Raises
    ------
    SettingsError
        If OpenSSH is missing, or the key cannot sign.

    References
    ----------
    .. [1] https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig
    """
    program = shutil.which("ssh-keygen")
    if program is None:
        raise SettingsError("ssh-keygen was not found; install OpenSSH (8.1 or later), which signs")
    command = [program, "-q", "-Y", "sign", "-f", os.fspath(key), "-n", NAMESPACE]
    done = subprocess.run(command, input=content, capture_output=True, check=False)  # noqa: S603 # no shell
    if done.returncode or not done.stdout:
        reason = one_line(done.stderr.decode(errors="replace")) or "no reason was given"
        raise SettingsError(
            f"The key {key} cannot sign: {reason}. Name a private key of OpenSSH; a new one: "
            "ssh-keygen -t ed25519 -f evidence_key"
        )
    return done.stdout


def format_json(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON in UTF-8, indented."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
