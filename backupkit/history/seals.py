"""Seals: the size and the digest of each file that an acknowledged append rests on.

Delta Lake notices neither a commit that is gone or empty nor a flipped bit. A seal is a small file
that is written, and synced to disk, once all it names is on disk. What is sealed was acknowledged;
what is read is held against it.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from backupkit.history.durable import sync, write_whole

__all__ = ["DamageError", "Seals"]

_CHUNK: Final = 1 << 20

_Sealed = tuple[int, str]  # size [bytes], SHA-256


class DamageError(ValueError):
    """A file is not as it was sealed."""


class _Seal(msgspec.Struct):
    """What one file of seals holds."""

    files: dict[str, _Sealed]
    check: str


class Seals:
    """The seals of one history.

    Parameters
    ----------
    folder : Path
        The history's folder.

    Attributes
    ----------
    complete : bool
        Whether all that was ever acknowledged is sealed; not so in a folder of an earlier version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.complete = False
        self.place = folder / "seals"
        self._read: dict[str, Mapping[str, _Sealed]] = {}
        self._seen: dict[str, tuple[int, int, int]] = {}

    def __len__(self) -> int:
        return len(self._read)

    def files(self) -> dict[str, _Sealed]:
        """Give what is sealed.

        Returns
        -------
        dict of str to (int, str)
            Size [bytes] and digest, by path in the history's folder.

        Raises
        ------
        DamageError
            If a seal is not as it was written.
        """
        sealed: dict[str, _Sealed] = {}
        names = self._names()
        for name in names:
            if name not in self._read:
                try:
                    self._read[name] = _parsed((self.place / name).read_bytes(), name)
                except FileNotFoundError:
                    if self._names() != names:  # joined by another process
                        return self.files()
                    continue
            sealed.update(self._read[name])
        self._read = {name: self._read[name] for name in names if name in self._read}
        return sealed

    def _names(self) -> list[str]:
        return sorted(path.name for path in self.place.glob("*.json"))

    def seal(self, files: Iterable[Path]) -> None:
        """Have files written to disk, then seal them.

        Parameters
        ----------
        files : iterable of Path
            Complete files in the history's folder.

        Raises
        ------
        OSError
            If one cannot be read or written.
        """
        wanted = list(files)
        if not wanted:
            return
        sync(wanted, self.folder)
        told = {self.name(path): _digest(path) for path in wanted if path.exists()}
        self._write(told)

    def join(self, live: Iterable[Path]) -> None:
        """Put all seals into one, of the files that are still in use.

        Parameters
        ----------
        live : iterable of Path
            The files in use, each of them sealed; taken once all seals are read.
        """
        sealed = self.files()
        old = [self.place / name for name in self._read]
        names = {self.name(path) for path in live}
        self._write({name: seal for name, seal in sealed.items() if name in names})
        for path in old:
            path.unlink(missing_ok=True)

    def faults(self) -> Iterator[tuple[str, str]]:
        """Name the seals that are not as they were written, and what is wrong with each."""
        for path in sorted(self.place.glob("*.json")):
            try:
                _parsed(path.read_bytes(), path.name)
            except DamageError as error:
                yield self.name(path), str(error).removeprefix(f"{self.name(path)} ")

    def check(self, files: Iterable[Path], sealed: Mapping[str, _Sealed]) -> None:
        """Hold files against their seals; one that is not sealed is taken as it is.

        Parameters
        ----------
        files : iterable of Path
            The files that are to be read.
        sealed : mapping
            What `files` gave.

        Raises
        ------
        DamageError
            If one is not as it was sealed.
        """
        for path in files:
            name = self.name(path)
            if name in sealed:
                self._check(path, name, sealed[name])

    def forget(self) -> None:
        """Take no file for whole any more because it was so before."""
        self._read, self._seen = {}, {}

    def _check(self, path: Path, name: str, seal: _Sealed) -> None:
        try:
            state = path.stat()
        except FileNotFoundError as error:
            raise DamageError(f"{name} is missing") from error
        mark = (state.st_size, state.st_mtime_ns, state.st_ino)
        if self._seen.get(name) == mark:
            return  # it was whole, and nobody has touched it since
        size, digest = seal
        if state.st_size != size:
            raise DamageError(f"{name} has {state.st_size:,} bytes and not {size:,}")
        if _digest(path)[1] != digest:
            raise DamageError(f"{name} is not as it was written")
        self._seen[name] = mark

    def name(self, path: Path) -> str:
        """Give a file's path in the history's folder."""
        return path.relative_to(self.folder).as_posix()

    def _write(self, files: Mapping[str, _Sealed]) -> None:
        if not self.place.is_dir():
            self.place.mkdir(exist_ok=True)
            sync([self.place], self.folder)
        told = {"files": dict(sorted(files.items()))}
        content = json.dumps({**told, "check": _hash(told["files"])}).encode() + b"\n"
        # no two writers choose the same name
        write_whole(self.place / f"{os.getpid()}-{secrets.token_hex(8)}.json", content)


def _parsed(content: bytes, name: str) -> Mapping[str, _Sealed]:
    try:
        seal = msgspec.json.decode(content, type=_Seal)
    except msgspec.MsgspecError as error:
        raise DamageError(f"seals/{name} cannot be read") from error
    if _hash(seal.files) != seal.check:
        raise DamageError(f"seals/{name} is not as it was written")
    return seal.files


def _hash(files: Mapping[str, _Sealed]) -> str:
    plain = [[name, *files[name]] for name in sorted(files)]
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()


def _digest(path: Path) -> _Sealed:
    size = 0
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            digest.update(chunk)
    return size, digest.hexdigest()
