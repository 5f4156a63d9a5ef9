"""What is done to a history that an earlier version began: named steps, in order, forwards only.

A history is read as it is, whatever version began it. The first append does what is not done yet,
and the mark records it. Each step may be done twice: a process may be killed in the middle.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from backupkit.history.mark import FORMAT, Mark, amended
from backupkit.history.place import Place
from backupkit.history.sealed import Sealed
from backupkit.history.stored import Stored

__all__ = ["STEPS", "migrated"]


def _seal(stored: Stored) -> None:
    """Seal every file: from then on what has no seal was not acknowledged."""
    if isinstance(stored, Sealed):
        stored.seal()


def _lay_out(stored: Stored) -> None:
    """Put the rows of each month into a folder, sorted by appliance."""
    stored.lay_out()


_DO: Final[Mapping[str, Callable[[Stored], None]]] = MappingProxyType(
    {"seals": _seal, "months": _lay_out}
)
STEPS: Final = tuple(_DO)
"""The names of the steps, in their order; a new history has them all."""


def migrated(mark: Mark, tables: Iterable[Stored], place: Place) -> Mark:
    """Do the steps that a history lacks.

    Parameters
    ----------
    mark : Mark
        The history's mark.
    tables : iterable of Stored
        Its tables.
    place : Place
        Where the mark is.

    Returns
    -------
    Mark
        With all steps in it.

    Raises
    ------
    OSError, ValueError, DeltaError
        If the history cannot be read or written.
    """
    stored = list(tables)
    for step in STEPS:
        if step not in mark.steps:
            for table in stored:
                _DO[step](table)
            mark = amended(place, functools.partial(_with, step))
    return mark


def _with(step: str, mark: Mark) -> Mark:
    steps = mark.steps if step in mark.steps else (*mark.steps, step)
    return msgspec.structs.replace(mark, steps=steps, format=FORMAT)
