"""How followed jobs are shown in a terminal: a bar each, or a line for each change."""

import sys
from collections.abc import Hashable, Mapping
from typing import Any, Final, Protocol, Self

import pandas as pd
import typer
from tqdm import tqdm

from backupkit.errors import one_line

__all__ = ["Bars", "Lines", "suited", "summary"]

_BAR: Final = "{desc} |{bar:24}| "
_ENDED: Final = {"SUCCEEDED": "succeeded", "FAILED": "FAILED"}

Row = Mapping[Hashable, Any]


class Shown(Protocol):
    """Shows one look after the other."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def show(self, frame: pd.DataFrame) -> None:
        """Show what one look told, a frame of `backupkit.tables.RUNNING`."""
        ...


def suited() -> Shown:
    """Give bars where a person looks, lines elsewhere."""
    return Bars() if sys.stderr.isatty() else Lines()


class Lines:
    """A line for each change: for a log or a pipe."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Leave what was said."""

    def show(self, frame: pd.DataFrame) -> None:
        """Say what is new in a look."""
        for row in frame.to_dict("records"):
            key, told = (row["appliance"], row["job_id"]), _told(row)
            if self._said.get(key) != told:
                self._said[key] = told
                typer.echo(f"{_title(row)}: {told}", err=True)


class Bars:
    """A bar for each job."""

    def __init__(self) -> None:
        self._bars: dict[tuple[str, str], tqdm[Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for bar in self._bars.values():
            bar.close()

    def show(self, frame: pd.DataFrame) -> None:
        """Bring the bars up to what a look told."""
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
            bar.bar_format = _BAR + _told(row).replace("{", "{{").replace("}", "}}")
            bar.refresh()


def summary(frame: pd.DataFrame) -> str:
    """Say how all ended.

    Parameters
    ----------
    frame : DataFrame
        Of `backupkit.tables.RUNNING`: the last look.

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
    counts = frame["state"].map(_ENDED).fillna("no longer listed").value_counts()
    return f"Nothing runs any more: {', '.join(f'{n} {word}' for word, n in counts.items())}."


def _title(row: Row) -> str:
    return f"{row['appliance']} {one_line(row['job_id'], limit=40)}"


def _told(row: Row) -> str:
    """Say how a job is, in a few words."""
    if row["state"] in _ENDED:
        return f"{_ENDED[row['state']]} after {_span(row['elapsed'])}"
    if not pd.isna(row["detail"]):
        return one_line(row["detail"])
    words = [one_line(row["state"]) if pd.isna(row["progress"]) else f"{row['progress']:.0f} %"]
    if row["stalled"]:
        words.append("stalled")
    if not pd.isna(row["time_left"]):
        words.append(f"about {_span(row['time_left'])} left")
    return ", ".join(words)


def _span(span: Any) -> str:  # noqa: ANN401 # a timedelta or NaT
    if pd.isna(span):
        return "an unknown time"
    minutes, seconds = divmod(round(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
