"""Rows of the explorer's tables: appliances, error patterns and jobs of a view."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.assessment.result import exposure
from backupkit.display import Cell, state_badge
from backupkit.display.format import (
    STATE_LABELS,
    Ratio,
    format_duration,
    format_timestamp,
    sanitise,
)
from backupkit.plots.themes import OUTCOME_STYLES
from backupkit.reports.appliances import build_job_row, build_since
from backupkit.reports.facts import Example
from backupkit.tables import OUTCOMES, STATES_BY_SEVERITY
from backupkit.widgets import view_html
from backupkit.widgets.assessment_index import Flags, Positions
from backupkit.widgets.period_figures import compute_ratios
from backupkit.widgets.table_columns import NumberColumn, TableColumn, TextColumn
from backupkit.widgets.view import FilteredView

__all__ = ["ApplianceRows", "JobRows", "PatternRows"]

_SECOND: Final = 1e6  # microseconds
_OUTCOME_CHOICE: Final = tuple((name, OUTCOME_STYLES[name].label) for name in OUTCOMES)
_STATE_CHOICE: Final = tuple((name, STATE_LABELS[name]) for name in STATES_BY_SEVERITY)
_MAX_TYPES: Final = 20
_JOB_COLUMNS: Final = [
    "appliance",
    "start_time",
    "end_time",
    "outcome",
    "duration",
    "type",
    "size",
    "job_id",
    "messages",
]
"""Columns of a job that are copied."""


class ApplianceRows:
    """Appliances of a view, the worst first; see `backupkit.widgets.table_rows.TableSource`."""

    def __init__(self, view: FilteredView) -> None:
        is_current = view.end == view.index.assessment.end
        is_whole = is_current and view.start == view.index.assessment.start
        names = view.states.index
        self.size = len(names)
        self.caption = f"Worst first, as of {format_timestamp(view.end, 'UTC')}; times in UTC."
        self._names, self._states = names, view.states
        facts = view.index.assessment.appliances.loc[names]
        # that of the assessment is of a longer period
        facts = self._facts = facts.assign(mttr=view.period.restore_times)
        amounts = self._amounts = view.period.amounts.loc[names]
        now, whole = "" if is_current else None, "" if is_whole else None
        notes = self._notes = view.notes
        columns: tuple[tuple[TableColumn, str | None], ...] = (
            (TextColumn("Appliance", "", _read_distinct(names)), ""),
            (TextColumn("State", "s", self._read_states, options=_STATE_CHOICE), ""),
            (
                NumberColumn(
                    "In breach since (UTC)", "", "time", lambda: _read_times(facts["breach_since"])
                ),
                now,
            ),
            (
                NumberColumn(
                    "Exposure",
                    "n",
                    "duration",
                    lambda: _to_seconds(facts["exposure"].fillna(facts["exposure_at_least"])),
                ),
                now,
            ),
            (_time_column("Last success (UTC)", facts["last_success"]), now),
            (
                NumberColumn(
                    "Failures in a row",
                    "n",
                    "number",
                    lambda: facts["strikes"].to_numpy("float64", na_value=np.nan),
                ),
                now,
            ),
            (_share_column("Time inside RPO", amounts["compliant"], amounts["in_scope"]), ""),
            (_share_column("Runs completed", amounts["completed"], amounts["counted"]), ""),
            (
                NumberColumn(
                    "Mean exposure", "n", "duration", lambda: _to_seconds(facts["mean_exposure"])
                ),
                whole,
            ),
            (NumberColumn("MTTR", "n", "duration", lambda: _to_seconds(facts["mttr"])), ""),
            (TextColumn("Why", "text", _read_column(facts["reason"])), now),
            (
                TextColumn("Notes", "text", _read_column(notes)),
                "" if notes.notna().any() else None,
            ),
        )
        self.titles: Sequence[str] = [column.title for column, _ in columns]
        self._is_shown = [is_shown is not None for _, is_shown in columns]
        self.columns = [column for column, is_shown in columns if is_shown is not None]

    def list_cells(self, rows: Positions) -> Sequence[Sequence[Cell]]:
        """Return the cells of some rows."""
        cells = []
        frames = (frame.iloc[rows].iterrows() for frame in (self._facts, self._amounts))
        for (name, row), (_, amounts), note in zip(*frames, self._notes.iloc[rows], strict=True):
            ratios = compute_ratios(amounts)
            all_cells = (
                str(name),
                state_badge(self._states[name]),
                build_since(row),
                exposure(row),
                row["last_success"],
                row["strikes"],
                view_html.format_ratio(ratios["rpo_strict_micro"]),
                view_html.format_ratio(
                    ratios["slot_strict_micro"], view_html.format_pending(amounts)
                ),
                format_duration(row["mean_exposure"]),
                format_duration(row["mttr"]),
                sanitise(row["reason"]),
                sanitise(note),
            )
            cells.append(
                [cell for cell, is_shown in zip(all_cells, self._is_shown, strict=True) if is_shown]
            )
        return cells

    def name_of(self, row: int) -> str:
        """Return the name of an appliance."""
        return str(self._names[row])

    def frame(self, rows: Positions) -> pd.DataFrame:
        """Return appliance, state, the facts at the end, and the ratios over the period."""
        facts, amounts = self._facts.iloc[rows], self._amounts.iloc[rows]
        names = ["breach_since", "last_success", "strikes", "mean_exposure", "mttr", "reason"]
        columns = {
            "appliance": facts.index,
            "state": self._states.iloc[rows].to_numpy(),
            "exposure": facts["exposure"].to_numpy(),
            "rpo_strict": _divide(amounts["compliant"], amounts["in_scope"]),
            "slot_strict": _divide(amounts["completed"], amounts["counted"]),
        }
        copied = {name: facts[name].reset_index(drop=True) for name in names}
        if self._notes.notna().any():
            copied["notes"] = self._notes.iloc[rows].reset_index(drop=True)
        return pd.DataFrame(columns).assign(**copied)

    def _read_states(self) -> tuple[npt.NDArray[Any], pd.Index]:
        codes, texts = pd.factorize(self._states)
        return codes, pd.Index(texts)


class PatternRows:
    """Error patterns, the most frequent first, of a frame of `backupkit.tables.FAILURES`."""

    def __init__(self, failures: pd.DataFrame) -> None:
        self._failures = failures
        self.size = len(failures)
        self._total = failures["jobs"].sum()
        self.caption = f"The most frequent first; shares of {self._total:,} failed jobs."
        jobs = failures["jobs"].to_numpy("float64")
        self.columns: Sequence[TableColumn] = (
            TextColumn("Error pattern", "plain text", _read_column(failures["signature"])),
            NumberColumn(
                "Share of failures", "n", "share", lambda: 100 * jobs / max(self._total, 1)
            ),
            NumberColumn(
                "Appliances", "n", "number", lambda: failures["appliances"].to_numpy("float64")
            ),
            _time_column("First seen (UTC)", failures["first_seen"]),
            _time_column("Last seen (UTC)", failures["last_seen"]),
            TextColumn("What it means, what to look at", "text", self._read_advice),
        )
        self.titles: Sequence[str] = [column.title for column in self.columns]

    def list_cells(self, rows: Positions) -> Sequence[Sequence[Cell]]:
        """Return the cells of some rows."""
        return [
            (
                Example(
                    sanitise(row["signature"], limit=300),
                    sanitise(row["text"]) or "The message is in the Jobs tab.",
                ),
                Ratio(row["jobs"], self._total),
                row["appliances"],
                row["first_seen"],
                row["last_seen"],
                _join_advice(row),
            )
            for _, row in self._failures.iloc[rows].iterrows()
        ]

    def name_of(self, row: int) -> str:
        """Return an error pattern."""
        return str(self._failures["signature"].iloc[row])

    def frame(self, rows: Positions) -> pd.DataFrame:
        """Return the patterns with their causes."""
        columns = ["signature", "jobs", "appliances", "first_seen", "last_seen", "cause"]
        return self._failures[[*columns, "next_step", "text"]].iloc[rows].reset_index(drop=True)

    def _read_advice(self) -> tuple[npt.NDArray[Any], pd.Index]:
        texts = [_join_advice(row) for _, row in self._failures.iterrows()]
        return _read_column(pd.Series(texts, dtype="str"))()


class JobRows:
    """Jobs of a view at some positions, in their order."""

    def __init__(self, view: FilteredView, positions: Positions, order: str) -> None:
        self._view, self._positions = view, positions
        self.size = len(positions)
        self.caption = f"{order.capitalize()}. Times in UTC."
        index = view.index
        types = tuple((name, sanitise(name, limit=40).lower()) for name in index.types[:_MAX_TYPES])
        self.columns: Sequence[TableColumn] = (
            TextColumn("Appliance", "", lambda: self._read("appliance")),
            NumberColumn(
                "Start (UTC)", "w", "time", lambda: _to_numbers(index.start[positions]) / _SECOND
            ),
            TextColumn("Outcome", "s", lambda: self._read("outcome"), options=_OUTCOME_CHOICE),
            NumberColumn("Took", "n", "duration", self._read_durations),
            TextColumn("Type", "", lambda: self._read("type"), options=types),
            NumberColumn("Size", "n", "size", self._read_sizes),
            TextColumn("Job", "code", self._read_ids),
            TextColumn(
                "Message", "text pre", lambda: self._read("signature"), search=self._search_messages
            ),
        )
        self.titles: Sequence[str] = [column.title for column in self.columns]

    def list_cells(self, rows: Positions) -> Sequence[Sequence[Cell]]:
        """Return the cells of some rows."""
        cells = []
        for _, job in self._view.jobs_at(self._positions[rows]).iterrows():
            start, _, *others = build_job_row(job)
            cells.append((str(job["appliance"]), start, *others))
        return cells

    def name_of(self, row: int) -> str:
        """Return the name of a job's appliance."""
        return str(
            self._view.index.appliances[self._view.index.appliance_codes[self._positions[row]]]
        )

    def frame(self, rows: Positions) -> pd.DataFrame:
        """Return some jobs with the columns of the table."""
        return self._view.jobs_at(self._positions[rows])[_JOB_COLUMNS]

    def _read(self, label: str) -> tuple[npt.NDArray[Any], pd.Index]:
        codes, texts = self._view.index.find_codes(label)
        return codes[self._positions], texts

    def _read_durations(self) -> npt.NDArray[np.float64]:
        index, positions = self._view.index, self._positions
        took = _to_numbers(index.end[positions]) - _to_numbers(index.start[positions])
        return took / _SECOND

    def _read_sizes(self) -> npt.NDArray[np.float64]:
        index = self._view.index
        sizes = index.assessment.assessed_jobs["size"].iloc[index.order[self._positions]]
        numbers: npt.NDArray[np.float64] = sizes.to_numpy("float64", na_value=np.nan)
        return numbers

    def _read_ids(self) -> tuple[npt.NDArray[Any], pd.Index]:
        index = self._view.index
        return _read_column(index.jobs["job_id"].iloc[index.order[self._positions]])()

    def _search_messages(self, text: str) -> Flags:
        return self._view.index.search_messages(text)[self._positions]


def _divide(part: pd.Series, whole: pd.Series) -> npt.NDArray[np.float64]:
    """Return ratios; NaN where the whole is 0."""
    ratios: npt.NDArray[np.float64] = (part / whole.where(whole > 0)).to_numpy("float64")
    return ratios


def _share_column(title: str, part: pd.Series, whole: pd.Series) -> NumberColumn:
    return NumberColumn(title, "r", "share", lambda: 100 * _divide(part, whole))


def _time_column(title: str, times: pd.Series) -> NumberColumn:
    return NumberColumn(title, "w", "time", lambda: _read_times(times))


def _read_times(times: pd.Series) -> npt.NDArray[np.float64]:
    """Return times in seconds since 1970; NaN where one is missing."""
    values = times.dt.tz_localize(None).to_numpy("datetime64[us]").view(np.int64)
    return _to_numbers(values) / _SECOND


def _to_seconds(spans: pd.Series) -> npt.NDArray[np.float64]:
    seconds: npt.NDArray[np.float64] = spans.dt.total_seconds().to_numpy("float64")
    return seconds


def _to_numbers(times: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return times as numbers; NaN where one is missing."""
    return np.where(times == np.iinfo(np.int64).min, np.nan, times)


def _read_distinct(texts: pd.Index) -> Callable[[], tuple[npt.NDArray[Any], pd.Index]]:
    return lambda: (np.arange(len(texts)), texts)


def _read_column(texts: pd.Series) -> Callable[[], tuple[npt.NDArray[Any], pd.Index]]:
    """Return a function that encodes texts."""

    def read() -> tuple[npt.NDArray[Any], pd.Index]:
        codes, distinct = pd.factorize(texts)
        return codes, pd.Index(distinct, dtype="str")

    return read


def _join_advice(row: pd.Series) -> str:
    return " ".join(sanitise(row[name]) for name in ("cause", "next_step")).strip()
