"""Command ``backupkit watch``: display of running jobs, as bars or as lines."""

import sys
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol, Self

import typer

import backupkit as bk
from backupkit.cli.commands.collect import interrupt_on_sigterm, open_fleet_and_history
from backupkit.cli.options import (
    AsJson,
    ConcurrencyOption,
    ConnectOption,
    DeadlineOption,
    FleetOption,
    HistoryOption,
    PollOption,
    ReadOption,
    ResponseOption,
    echo,
    frame_to_records,
    print_json,
    read_limit_options,
)
from backupkit.errors import BackupkitWarning, one_line

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BarDisplay", "LogDisplay", "format_summary", "make_display", "watch"]

_BAR: Final = "{desc} |{bar:24}| "
_HOUR: Final = 3600  # s
_OUTCOME_LABELS: Final = {"success": "succeeded", "failure": "FAILED"}
"""Label of a job that has ended, by outcome."""

Row = Mapping[Any, Any]


def watch(  # noqa: PLR0913 # one parameter per option
    fleet: FleetOption,
    history: HistoryOption,
    *,
    every: Annotated[str, typer.Option(metavar="DURATION", help="Time between two polls.")] = "10s",
    connect: ConnectOption = None,
    read: ReadOption = None,
    response: ResponseOption = None,
    poll: PollOption = None,
    deadline: DeadlineOption = None,
    concurrency: ConcurrencyOption = None,
    as_json: AsJson = False,
) -> int:
    """Follow the running jobs, with a progress bar and the time left for each, until none runs.

    Each change is stored in the history. With --json each poll is one line of JSON on stdout. Exit
    code: 0 no job runs any more, 130 stopped with Ctrl-C; what was read by then is stored.
    """
    from backupkit.settings import parse_duration  # noqa: PLC0415 # keeps --help fast

    pause = parse_duration(every, where="--every").total_seconds()
    appliances, store = open_fleet_and_history(fleet, history)
    limits = read_limit_options(
        appliances,
        connect=connect,
        read=read,
        response=response,
        poll=poll,
        deadline=deadline,
        concurrency=concurrency,
    )
    with (
        interrupt_on_sigterm(),
        make_display() as display,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always", category=BackupkitWarning)
        for frame in bk.watch(appliances, store, every=pause, limits=limits):
            if as_json:
                print_json(frame_to_records(frame), indent=None)
            for warning in caught:
                display.warn(str(warning.message))
            caught.clear()
            display.show(frame)
            last = frame
    echo(format_summary(last), err=True)
    return 0


class Display(Protocol):
    """Display of successive polls."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def show(self, frame: "pd.DataFrame") -> None:
        """Show the result of one poll, rows of `backupkit.tables.RUNNING`."""
        ...

    def warn(self, text: str) -> None:
        """Print a warning."""
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

    def show(self, frame: "pd.DataFrame") -> None:
        """Print the jobs that changed since the last poll."""
        for row in _frame_to_rows(frame):
            key, text = (row["appliance"], row["job_id"]), _format_state(row)
            if self._last_texts.get(key) != text:
                self._last_texts[key] = text
                echo(f"{_format_title(row)}: {text}", err=True)

    def warn(self, text: str) -> None:
        """Print a warning."""
        echo(text, err=True)


class BarDisplay:
    """Display with one bar per job."""

    def __init__(self) -> None:
        from tqdm import tqdm  # noqa: PLC0415 # only in a terminal

        self._open_bar = tqdm
        self._bars: dict[tuple[str, str], tqdm[Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for bar in self._bars.values():
            bar.close()

    def show(self, frame: "pd.DataFrame") -> None:
        """Update the bars with the result of a poll."""
        rows = _frame_to_rows(frame)
        width = max((len(_format_title(row)) for row in rows), default=0)
        for row in rows:
            key = (row["appliance"], row["job_id"])
            if key not in self._bars:
                self._bars[key] = self._open_bar(
                    total=100,
                    desc=_format_title(row).ljust(width),
                    bar_format=_BAR,
                    position=len(self._bars),
                )
            bar = self._bars[key]
            bar.n = row["progress"] or 0
            bar.bar_format = _BAR + _format_state(row).replace("{", "{{").replace("}", "}}")
            bar.refresh()

    def warn(self, text: str) -> None:
        """Print a warning above the bars."""
        with self._open_bar.external_write_mode(file=sys.stderr):
            echo(text, err=True)


def format_summary(frame: "pd.DataFrame") -> str:
    """Return a sentence about how the jobs ended, from the last poll.

    Examples
    --------
    >>> from backupkit.tables import RUNNING
    >>> format_summary(RUNNING.empty())
    'No job is running.'
    """
    if frame.empty:
        return "No job is running."
    from backupkit.tables import outcome_of  # noqa: PLC0415 # keeps --help fast

    counts = (
        outcome_of(frame["state"]).map(_OUTCOME_LABELS).fillna("no longer listed").value_counts()
    )
    return f"All jobs have ended: {', '.join(f'{n} {word}' for word, n in counts.items())}."


def _frame_to_rows(frame: "pd.DataFrame") -> list[dict[Any, Any]]:
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _format_title(row: Row) -> str:
    return f"{row['appliance']} {one_line(row['job_id'], limit=40)}"


def _format_state(row: Row) -> str:
    """Return the state of a job in a few words."""
    from backupkit.tables.constants import OUTCOME_BY_STATUS  # noqa: PLC0415 # keeps --help fast

    if label := _OUTCOME_LABELS.get(OUTCOME_BY_STATUS.get(row["state"], "")):
        return f"{label} after {_format_duration(row['elapsed'])}"
    if row["detail"] is not None:
        return one_line(row["detail"])
    progress = row["progress"]
    parts = [one_line(row["state"]) if progress is None else f"{progress:.0f} %"]
    if row["stalled"]:
        parts.append("stalled")
    if row["time_left"] is not None:
        parts.append(f"about {_format_duration(row['time_left'])} left")
    return ", ".join(parts)


def _format_duration(duration: "pd.Timedelta | None") -> str:
    if duration is None:
        return "an unknown time"
    from backupkit.display.format import format_exactly  # noqa: PLC0415 # keeps --help fast

    return format_exactly(duration.round("s" if duration.total_seconds() < _HOUR else "min"))
