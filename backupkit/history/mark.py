"""The mark that makes a place a history: the version of its layout, who it is, what was done."""

import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from backupkit.errors import HistoryError
from backupkit.history.place import Place

__all__ = ["FORMAT", "Mark", "Removal", "amended", "identity", "opened", "recorded"]

FORMAT: Final = 2
"""The version of the layout that is written; an earlier one is read, a later one is not."""

_NAME: Final = "backupkit-history.json"
_DAMAGED: Final = "Put the file back from a backup, or name a key file with --redact-key."


class Removal(msgspec.Struct, frozen=True):
    """What was removed on purpose, and when.

    Attributes
    ----------
    at : str
        When it was removed, ISO 8601 in UTC.
    what : str
        What it was, in words that name no appliance.
    rows : int
        How many rows it was.
    """

    at: str
    what: str
    rows: int


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the mark holds.

    Attributes
    ----------
    format : int
        The version of the layout.
    id : str
        Random, of this history alone; "" in one of an earlier version.
    steps : tuple of str
        What was done to the history since it began, by name: see `backupkit.history.migrations`.
    removed : tuple of Removal
        What was removed on purpose, the oldest first.
    """

    format: int
    id: str = ""
    steps: tuple[str, ...] = ()
    removed: tuple[Removal, ...] = ()


def opened(place: Place, steps: tuple[str, ...], *, create: bool) -> Mark:
    """Read the mark of a place, or make it a history.

    Parameters
    ----------
    place : Place
        The place.
    steps : tuple of str
        What a new history has from its beginning.
    create : bool
        Whether a missing or an empty place becomes one.

    Raises
    ------
    HistoryError
        If the place is something else, or cannot be used.
    """
    try:
        known = _read(place)
        if known is None:
            place.claim(create=create)
            _write(place, Mark(FORMAT, secrets.token_hex(16), steps))
            known = amended(place, lambda mark: mark)  # another process may have been quicker
    except OSError as error:
        why = error.strerror or error
        raise HistoryError(
            f"The history {place.uri} cannot be used: {why}.{place.advice('used')}"
        ) from error
    except msgspec.MsgspecError as error:
        raise HistoryError(
            f"The history {place.uri} is damaged: {_NAME} cannot be read. Put it back from a "
            'backup, or write {"format": 1} into it.'
        ) from error
    if not 1 <= known.format <= FORMAT:
        raise HistoryError(
            f"The history {place.uri} has format {known.format}; this version of backupkit reads "
            f"formats 1 to {FORMAT}. Update backupkit."
        )
    return known


def identity(place: Place) -> bytes:
    """Give random bytes of a history alone, and keep them in one that has none yet.

    Raises
    ------
    HistoryError
        If they cannot be read, or not be kept.
    """
    try:
        known = amended(
            place,
            lambda mark: (
                mark if mark.id else msgspec.structs.replace(mark, id=secrets.token_hex(16))
            ),
        )
        return bytes.fromhex(known.id)
    except OSError as error:
        raise HistoryError(
            f"The history {place.uri} has no identity yet, and none can be written: "
            f"{error.strerror or error}. Name a key file with --redact-key."
        ) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise HistoryError(
            f"The history {place.uri} is damaged: the identity in {_NAME} cannot be read. "
            f"{_DAMAGED}"
        ) from error


def amended(place: Place, change: Callable[[Mark], Mark]) -> Mark:
    """Change a mark as it is now, which another process may have changed since.

    Raises
    ------
    OSError
        If it cannot be read or written.
    """
    known = _read(place)
    if known is None:
        raise FileNotFoundError(2, f"{_NAME} is gone")
    new = change(known)
    if new != known:
        _write(place, new)
    return new


def recorded(place: Place, removal: Removal) -> Mark:
    """Record what was removed."""
    return amended(
        place,
        lambda mark: msgspec.structs.replace(mark, removed=(*mark.removed, removal)),
    )


def _read(place: Place) -> Mark | None:
    content = place.read()
    return None if content is None else msgspec.json.decode(content, type=Mark)


def _write(place: Place, mark: Mark) -> None:
    place.write(msgspec.json.encode(mark) + b"\n")
