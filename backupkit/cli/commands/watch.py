"""Command ``backupkit watch``: display of running jobs, as bars or as lines."""

import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol, Self

import typer

import backupkit as bk
from backupkit.cli.commands.collect import interrupt_on_sigterm, open_fleet_and_history
from backupkit.cli.options import (
    FLEET,
    HISTORY,
    ApplianceOption,
    AsJson,
    ConcurrencyOption,
    ConnectOption,
    DeadlineOption,
    FleetOption,
    GroupOption,
    HistoryOption,
    PollOption,
    ReadOption,
    ResponseOption,
    SiteOption,
    echo,
    frame_to_records,
    print_json,
    read_limit_options,
)
from backupkit.cli.selection import Selection
from backupkit.errors import BackupkitWarning, one_line

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BarDisplay", "LogDisplay", "fit_titles", "format_summary", "make_display", "watch"]

_LONG_BAR: Final = 24
_SHORT_BAR: Final = 10
_LONGEST_STATE: Final = 40  # "100 %, stalled, about 12 min 34 s left"; errors may be cut
_SHORTEST_NAME: Final = 8
_HOUR: Final = 3600  # s
_OUTCOME_LABELS: Final = {"success": "succeeded", "failure": "FAILED"}
"""Label of a job that has ended, by outcome."""

Row = Mapping[Any, Any]


def watch(  # noqa: PLR0913 # one parameter per option
    fleet: FleetOption = FLEET,
    history: HistoryOption = HISTORY,
    *,
    every: Annotated[str, typer.Option(metavar="DURATION", help="Time between two polls.")] = "10s",
    appliance: ApplianceOption = None,
    group: GroupOption = None,
    site: SiteOption = None,
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
    selection = Selection(appliance, group, site)
    appliances, store = open_fleet_and_history(fleet, history, selection)
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
        for row in rows:
            key = (row["appliance"], row["job_id"])
            if key not in self._bars:
                self._bars[key] = self._open_bar(
                    total=100, bar_format="{desc}", position=len(self._bars), dynamic_ncols=True
                )
        bars = [self._bars[row["appliance"], row["job_id"]] for row in rows]
        states = [_format_state(row) for row in rows]
        columns = bars[0].format_dict["ncols"] if bars else None
        titles, length = fit_titles(rows, states, columns)
        shown_bar = f" |{{bar:{length}}}|" if length else ""
        for bar, title, state, row in zip(bars, titles, states, rows, strict=True):
            bar.n = row["progress"] or 0
            text = state.replace("{", "{{").replace("}", "}}")
            bar.set_description_str(title, refresh=False)
            bar.bar_format = f"{{desc}}{shown_bar} {text}"
            bar.refresh()

    def warn(self, text: str) -> None:
        """Print a warning above the bars."""
        with self._open_bar.external_write_mode(file=sys.stderr):
            echo(text, err=True)


def fit_titles(
    rows: Sequence[Row], states: Sequence[str], columns: int | None
) -> tuple[list[str], int]:
    """Return titles of the same width, and the length of the bars, that leave room for the states.

    In a narrow terminal the bar becomes shorter, then the title loses the job's id, then the bar is
    left out, and at last the name is cut. Percent and time left stay. `columns` is None if the
    width is not known.

    Examples
    --------
    >>> row = {"appliance": "vc-hamburg-01", "job_id": "20261123-194500-24755230"}
    >>> [fit_titles([row], ["40 %, about 3 min 4 s left"], width) for width in (55, 30)]
    [(['vc-hamburg-01'], 10), (['vc-h...'], 0)]
    """
    names = [str(row["appliance"]) for row in rows]
    titles = [_format_title(row) for row in rows]
    needed = min(max(map(len, states), default=0), _LONGEST_STATE) + 2  # a blank, and the cursor
    for texts, length in (
        (titles, _LONG_BAR),
        (titles, _SHORT_BAR),
        (names, _SHORT_BAR),
        (names, 0),
    ):
        width = max(map(len, texts), default=0)
        if columns is None or width + (length + 3 if length else 0) + needed <= columns:
            return [text.ljust(width) for text in texts], length
    width = max(columns - needed, _SHORTEST_NAME)  # type: ignore[operator] # it is known here
    return [_cut(name, width).ljust(width) for name in names], 0


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


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
