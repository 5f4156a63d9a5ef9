"""HTML of the watcher: a progress bar for each running job; every text is escaped."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pandas as pd
from markupsafe import Markup

from backupkit.collection.snapshot import render_errors_table
from backupkit.display import render_paragraph, table
from backupkit.display.format import format_duration
from backupkit.errors import one_line
from backupkit.tables import ERRORS, RUNNING, has_ended
from backupkit.tables.constants import OUTCOME_BY_STATUS

__all__ = ["State", "render_bars"]

Row = Mapping[Hashable, Any]

MAX_ROWS: Final = 30
"""Maximum number of jobs to show, the worst first; the rest is counted."""

_MAX_ERRORS: Final = 10
_ENDED_LABELS: Final = {"success": "✓ succeeded", "failure": "✕ FAILED"}
"""Label of a job that has ended, by outcome."""
_COLUMNS: Final = {
    "Appliance": "",
    "Job": "w",
    "Progress": "w",
    "Left": "n",
    "Running for": "n",
    "Message": "text",
}


@dataclass(frozen=True, kw_only=True)
class State:
    """State of a watcher at one moment.

    The jobs in `frame` are those of the newest refresh, the errors those of the newest collection.
    """

    appliance_count: int
    running: bool = False
    frame: pd.DataFrame = field(default_factory=RUNNING.empty)
    refreshed_at: pd.Timestamp | None = None
    collected_at: pd.Timestamp | None = None
    errors: pd.DataFrame = field(default_factory=ERRORS.empty)
    messages: tuple[str, ...] = ()


def render_bars(state: State) -> Markup:
    """Render the running jobs with their progress, and the errors; without the style sheet.

    Examples
    --------
    >>> print(render_bars(State(appliance_count=3)))
    <p class="sentence">Not polled yet.</p><p class="fine">Stopped.</p>
    """
    sections = [render_paragraph(_render_headline(state), "sentence")]
    if len(state.frame):
        rows = [
            _build_row(job)
            for job in _sort_worst_first(state.frame).head(MAX_ROWS).to_dict("records")
        ]
        sections.append(table(_COLUMNS, rows, limit=MAX_ROWS, total=len(state.frame)))
    sections += [
        render_paragraph(one_line(message, limit=600), "breach") for message in state.messages
    ]
    if len(state.errors):
        sections.append(render_errors_table(state.errors, limit=_MAX_ERRORS))
    return Markup().join([*sections, render_paragraph(_render_status_line(state))])


def _render_headline(state: State) -> str:
    if state.collected_at is None and state.frame.empty:
        plural = "s" if state.appliance_count != 1 else ""
        polling = f"Polling {state.appliance_count:,} appliance{plural}…"
        return polling if state.running else "Not polled yet."
    frame = state.frame[~has_ended(state.frame["state"])]
    unread_count = state.errors.loc[state.errors["job_id"].isna(), "appliance"].nunique()
    if frame.empty:
        text = "No job is running"
    else:
        text = "1 job is running" if len(frame) == 1 else f"{len(frame):,} jobs are running"
        if stalled := int(frame["stalled"].sum()):
            text += f", {stalled:,} stalled"
    if unread_count:
        text += (
            f"; {unread_count:,} of {state.appliance_count:,} appliances could not be read "
            "in the newest collection"
        )
    if state.collected_at is None:
        text += "; not all appliances have been polled yet"
    return f"{text}."


def _render_status_line(state: State) -> str:
    """Return whether the watcher is running, and the times of its data."""
    parts = ["Watching" if state.running else "Stopped"]
    if state.refreshed_at is not None:
        parts.append(f"as of {state.refreshed_at:%Y-%m-%d %H:%M:%S} UTC")
    if state.collected_at is not None:
        parts.append(f"newest collection at {state.collected_at:%H:%M:%S} UTC")
    return f"{', '.join(parts)}."


def _sort_worst_first(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort jobs: stalled and unreachable ones first, then longest time left; ended ones last."""
    ended = has_ended(frame["state"])
    keys = pd.DataFrame(
        {
            "ended": ended,
            "is_fine": ~(frame["stalled"].astype("bool") | (frame["detail"].notna() & ~ended)),
            "left": -frame["time_left"].dt.total_seconds().fillna(float("inf")),
            "appliance": frame["appliance"].astype("object"),
            "job_id": frame["job_id"].astype("object"),
        }
    )
    return frame.loc[keys.sort_values(list(keys.columns)).index]


def _build_row(row: Row) -> list[str | Markup | None]:
    outcome = OUTCOME_BY_STATUS.get(str(row["state"]), "")
    label = _ENDED_LABELS.get(outcome)
    unreachable = label is None and not pd.isna(row["detail"])
    time_left = _format_span(row["time_left"]) if label is None else ""
    return [
        row["appliance"],
        one_line(row["job_id"], limit=40),
        Markup('<span class="{}">{}</span>').format(outcome, label) if label else _render_bar(row),
        f"about {time_left}" if time_left else None,
        _format_span(row["elapsed"]),
        _render_message_cell(row, unreachable=unreachable),
    ]


def _format_span(duration: Any) -> str:  # noqa: ANN401 # a timedelta or NaT
    return "" if pd.isna(duration) else format_duration(duration)


def _render_bar(row: Row) -> Markup:
    if pd.isna(row["progress"]):
        return Markup("<progress></progress> {}").format(one_line(row["state"], limit=40))
    done = f"{row['progress']:.0f}"
    return Markup('<progress max="100" value="{0}">{0} %</progress> {0} %').format(done)


def _render_message_cell(row: Row, *, unreachable: bool) -> Markup:
    """Return the stall warning, the polling error and the newest message of a job."""
    lines = []
    if row["stalled"]:
        stalled_for = format_duration(row["observed_at"] - row["changed_at"])
        lines.append(
            Markup('<b class="stalled">⚠ stalled</b>: no progress for {}').format(stalled_for)
        )
    if unreachable:
        lines.append(Markup('<span class="breach">{}</span>').format(one_line(row["detail"])))
    if not pd.isna(row["message"]):
        lines.append(Markup("{}").format(one_line(row["message"])))
    return Markup("<br>").join(lines)
