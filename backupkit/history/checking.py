"""Whether a history is whole: each file held against its seal, and each row read."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Final

import pandas as pd
from deltalake.exceptions import DeltaError

from backupkit.history.reason import reason
from backupkit.history.sealed import Sealed
from backupkit.history.seals import DamageError, Seals
from backupkit.history.stored import Stored

__all__ = ["problems"]

_COLUMNS: Final = ("file", "problem", "lost")
_SETTLED: Final = 60.0  # s; an append has sealed what it wrote long before
_ALL: Final = "all rows of {table} that it leads to"


def problems(tables: Mapping[str, Stored], seals: Seals | None) -> pd.DataFrame:
    """Look for damage.

    Parameters
    ----------
    tables : mapping of str to Stored
        The tables, by name.
    seals : Seals or None
        What was acknowledged; None at a URL, where nothing is sealed.

    Returns
    -------
    DataFrame
        file, problem and lost (what cannot be read without it), all str; a row each. Empty if the
        history is whole.
    """
    found: list[tuple[str, str, str]] = []
    if seals is not None:
        seals.forget()
        found += _seals(seals)
    if found:  # without them nothing can be read
        return pd.DataFrame(found, columns=list(_COLUMNS), dtype="str")
    for stored in tables.values():
        if isinstance(stored, Sealed):
            found += list(_sealed(stored)) or list(_readable(stored)) or _unsealed(stored)
        else:
            found += _readable(stored)
    return pd.DataFrame(found, columns=list(_COLUMNS), dtype="str")


def _seals(seals: Seals) -> Iterator[tuple[str, str, str]]:
    for name, fault in seals.faults():
        yield name, fault, "no row: only what it says of other files cannot be told"


def _sealed(stored: Sealed) -> Iterator[tuple[str, str, str]]:
    """Hold the files in use against their seals, one by one."""
    for path, seal in stored.relied_on().items():
        try:
            stored.seals.check([path], {stored.seals.name(path): seal})
        except DamageError as error:
            name, _, fault = str(error).partition(" ")
            yield name, fault, stored.worth(path)


def _readable(stored: Stored) -> Iterator[tuple[str, str, str]]:
    """Read every row, also of files that no seal vouches for."""
    try:
        stored.rows(stored.table.names)
    except (DeltaError, OSError, ValueError) as error:
        yield stored.table.name, reason(error), _ALL.format(table=stored.table.name)


def _unsealed(stored: Sealed) -> Iterator[tuple[str, str, str]]:
    """Name the files in use whose seal is gone."""
    if not stored.seals.complete:
        return
    for path in stored.unsealed():
        with contextlib.suppress(FileNotFoundError):  # tidied away meanwhile
            if time.time() - path.stat().st_mtime > _SETTLED:
                yield (
                    stored.seals.name(path),
                    "has no seal: it was removed, or a collector was killed before it made one",
                    "no row: only whether it is as it was written cannot be told",
                )
