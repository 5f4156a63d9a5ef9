"""Sources of the figures: an assessment, or a frame with the columns that a figure reads."""

from collections.abc import Collection, Sequence
from typing import Any, Final, Protocol

import pandas as pd

from backupkit import tables
from backupkit.errors import TableError
from backupkit.tables import Table

__all__ = ["Assessed", "Source", "check_columns", "find_assessment"]


class Assessed(Protocol):
    """The parts of `backupkit.Assessment` that figures read."""

    @property
    def start(self) -> pd.Timestamp:
        """Start of the period."""

    @property
    def end(self) -> pd.Timestamp:
        """End of the period."""

    @property
    def figures(self) -> pd.DataFrame:
        """Of `backupkit.tables.APPLIANCES`, the worst first."""

    @property
    def fleet(self) -> pd.DataFrame:
        """Of `backupkit.tables.METRICS`."""

    @property
    def jobs(self) -> pd.DataFrame:
        """Of `backupkit.tables.ASSESSED_JOBS`."""

    @property
    def slots(self) -> pd.DataFrame:
        """Of `backupkit.tables.SLOTS`."""

    @property
    def intervals(self) -> pd.DataFrame:
        """Of `backupkit.tables.INTERVALS`."""

    @property
    def failures(self) -> pd.DataFrame:
        """Of `backupkit.tables.FAILURES`."""

    @property
    def anomalies(self) -> pd.DataFrame:
        """Of `backupkit.tables.ANOMALIES`."""

    @property
    def loads(self) -> pd.DataFrame:
        """Of `backupkit.tables.LOADS`."""

    @property
    def recovery_points(self) -> pd.DataFrame:
        """Recovery points, with appliance, available and point."""

    def failures_by(self, by: str = "appliance") -> pd.DataFrame:
        """Of `backupkit.tables.FAILURE_PARTS`."""


Source = pd.DataFrame | Assessed
"""What a figure is drawn from."""

_OWN_FRAMES: Final = {
    "a.jobs": tables.JOBS,
    "a.slots": tables.SLOTS,
    "a.intervals": tables.INTERVALS,
    "a.failures": tables.FAILURES,
    "a.anomalies": tables.ANOMALIES,
    "a.appliances": tables.APPLIANCES,
    "a.loads": tables.LOADS,
    "bk.failures_by(a)": tables.FAILURE_PARTS,
    "history.observations()": tables.OBSERVATIONS,
}
"""Frames that a user has at hand, by how they are called in an error message."""


def find_assessment(source: object, plot: str, expected: str) -> Assessed | None:
    """Return the source if it is an assessment, and None if it is a frame.

    Parameters
    ----------
    source : DataFrame or Assessment
        What a figure is to be drawn from.
    plot : str
        Name of the function that draws it.
    expected : str
        How to get a right frame.

    Raises
    ------
    TableError
        If it is neither.
    """
    if isinstance(source, pd.DataFrame):
        return None
    kind: Any = type(source)
    if hasattr(kind, "failures_by") and hasattr(kind, "intervals"):
        assessed: Any = source
        return assessed  # type: ignore[no-any-return] # the class has these names
    raise TableError(
        f"plots.{plot}: the first argument is of type {kind.__name__}. "
        f"It must be an assessment or a frame: plots.{plot}(a) or plots.{plot}({expected})."
    )


def check_columns(
    frame: object,
    columns: Sequence[str],
    plot: str,
    expected: str,
    *,
    argument: str = "",
    assessed: bool = True,
) -> pd.DataFrame:
    """Return a frame that has all columns that a figure reads.

    Parameters
    ----------
    frame : DataFrame
        The frame.
    columns : sequence of str
        The columns that must be there.
    plot : str
        Name of the function that draws it.
    expected : str
        How to get a right frame.
    argument : str
        Name of the argument; "" for the first one.
    assessed : bool
        Whether the function also takes an assessment.

    Raises
    ------
    TableError
        If it is no frame, or columns are missing. The message names them, what the given frame
        probably is, and what to call instead.

    Examples
    --------
    >>> from backupkit.tables import SLOTS
    >>> check_columns(SLOTS.empty(), ["appliance", "outcome"], "timeline", "a.jobs")
    Traceback (most recent call last):
    backupkit.errors.TableError: plots.timeline: the frame has no column outcome. It looks like
    a.slots. The figure reads appliance and outcome. Call plots.timeline(a) or
    plots.timeline(a.jobs).
    """
    name = f"{argument}=" if argument else ""
    calls = [f"plots.{plot}(a)"] if assessed else []
    calls.append(f"plots.{plot}(..., {name}{expected})" if name else f"plots.{plot}({expected})")
    call = " or ".join(calls)
    if not isinstance(frame, pd.DataFrame):
        raise TableError(
            f"plots.{plot}: {name or 'the source'} is of type {type(frame).__name__}, and must be "
            f"a frame with {_join(columns)}. Call {call}."
        )
    missing = [column for column in columns if column not in frame.columns]
    if not missing:
        return frame
    own = _recognise(frame.columns)
    raise TableError(
        f"plots.{plot}: the frame {name and f'of {name} '}has no column{'s' * (len(missing) > 1)} "
        f"{_join(missing)}. {f'It looks like {own}. ' if own else ''}"
        f"The figure reads {_join(columns)}. Call {call}."
    )


def _recognise(columns: Collection[str]) -> str:
    """Return how a user gets the frame that has these columns; "" for another frame."""
    found = {
        name: len(table.columns)
        for name, table in _OWN_FRAMES.items()
        if _list_plain_columns(table) <= set(columns)
    }
    return max(found, key=found.__getitem__, default="")


def _list_plain_columns(table: Table) -> set[str]:
    return set(table.names) - {table.index}


def _join(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
