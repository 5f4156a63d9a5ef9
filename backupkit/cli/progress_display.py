"""Display of followed jobs in a terminal: one bar per job, or one line per change."""

import sys
from collections.abc import Hashable, Mapping
from typing import Any, Final, Protocol, Self

import pandas as pd
import typer
from tqdm import tqdm

from backupkit.display.format import format_exactly
from backupkit.errors import one_line
from backupkit.tables import outcome_of
from backupkit.tables.constants import OUTCOME_BY_STATUS

__all__ = ["BarDisplay", "LogDisplay", "make_display", "summary"]

_BAR: Final = "{desc} |{bar:24}| "
_HOUR: Final = pd.Timedelta(hours=1)
_ENDED: Final = {"success": "succeeded", "failure": "FAILED"}
"""Label of a job that has ended, by outcome."""

Row = Mapping[Hashable, Any]


class Display(Protocol):
    """Display of successive polls."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def show(self, frame: pd.DataFrame) -> None:
        """Show the result of one poll, rows of `backupkit.tables.RUNNING`."""
        ...


def make_display() -> Display:
    """Return bars for a terminal, otherwise lines."""
    return BarDisplay() if sys.stderr.isatty() else LogDisplay()


class LogDisplay:
    """Display with one line per change, for a log or a pipe."""

    def __init__(self) -> None:
        self._last_texts: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Do nothing: printed lines stay."""

    def show(self, frame: pd.DataFrame) -> None:
        """Print the jobs that changed since the last poll."""
        for row in frame.to_dict("records"):
            key, text = (row["appliance"], row["job_id"]), _state_text(row)
            if self._last_texts.get(key) != text:
                self._last_texts[key] = text
                typer.echo(f"{_title(row)}: {text}", err=True)


class BarDisplay:
    """Display with one bar per job."""

    def __init__(self) -> None:
        self._bars: dict[tuple[str, str], tqdm[Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for bar in self._bars.values():
            bar.close()

    def show(self, frame: pd.DataFrame) -> None:
        """Update the bars with the result of a poll."""
        rows = frame.to_dict("records")
        width = max((len(_title(row)) for row in rows), default=0)
        for row in rows:
            key = (row["appliance"], row["job_id"])
            if key not in self._bars:
                self._bars[key] = tqdm(
                    total=100,
                    desc=_title(row).ljust(width),
                    bar_format=_BAR,
                    position=len(self._bars),
                )
            bar = self._bars[key]
            bar.n = 0 if pd.isna(row["progress"]) else row["progress"]
            bar.bar_format = _BAR + _state_text(row).replace("{", "{{").replace("}", "}}")
            bar.refresh()


def summary(frame: pd.DataFrame) -> str:
    """Return a sentence about how the jobs ended.

    Parameters
    ----------
    frame : DataFrame
        Rows of `backupkit.tables.RUNNING`: the last poll.

    Returns
    -------
    str
        One sentence.

    Examples
    --------
    >>> from backupkit.tables import RUNNING
    >>> summary(RUNNING.empty())
    'Nothing runs.'
    """
    if frame.empty:
        return "Nothing runs."
    counts = outcome_of(frame["state"]).map(_ENDED).fillna("no longer listed").value_counts()
    return f"Nothing runs any more: {', '.join(f'{n} {word}' for word, n in counts.items())}."


def _title(row: Row) -> str:
    return f"{row['appliance']} {one_line(row['job_id'], limit=40)}"


def _state_text(row: Row) -> str:
    """Return the state of a job in a few words."""
    if label := _ENDED.get(OUTCOME_BY_STATUS.get(row["state"], "")):
        return f"{label} after {_span(row['elapsed'])}"
    if not pd.isna(row["detail"]):
        return one_line(row["detail"])
    parts = [one_line(row["state"]) if pd.isna(row["progress"]) else f"{row['progress']:.0f} %"]
    if row["stalled"]:
        parts.append("stalled")
    if not pd.isna(row["time_left"]):
        parts.append(f"about {_span(row['time_left'])} left")
    return ", ".join(parts)


def _span(span: Any) -> str:  # noqa: ANN401 # a timedelta or NaT
    if pd.isna(span):
        return "an unknown time"
    return format_exactly(span.round("s" if span < _HOUR else "min"))
