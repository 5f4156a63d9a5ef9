"""Filtered view of the fleet's assessment.

Filtering gives the same figures as assessing the selected part alone: the states, slots and jobs of
an appliance depend neither on other appliances nor on the period. The figures themselves are
computed by `backupkit.analysis`, as for a report.
"""

from functools import cached_property
from threading import Event
from typing import Any, Final

import numpy as np
import pandas as pd

from backupkit.analysis import failures, recovery_points
from backupkit.analysis.arrays import to_instant
from backupkit.assessment import Verdict, describe_causes
from backupkit.reports.notes import format_notes, select_notes
from backupkit.tables import OUTCOMES, STATES_BY_SEVERITY
from backupkit.widgets.assessment_index import AssessmentIndex, Codes, Flags, Positions
from backupkit.widgets.explorer_data import ExplorerData
from backupkit.widgets.failed_jobs import count_by_appliance, count_by_cause
from backupkit.widgets.period_figures import PeriodFigures
from backupkit.widgets.selection import Selection

__all__ = ["Cancelled", "FilteredView"]


_DAY: Final = 86_400_000_000  # microseconds


class Cancelled(Exception):  # noqa: N818 # not an error: a user wanted it
    """A slow step ended early because its result is no longer wanted."""


class FilteredView:
    """Filtered view of the fleet's assessment over the period `start` to `end` [UTC].

    Figures of the `previous` view are kept if it has the same appliances and period. Raises
    SettingsError if the period cannot be parsed or is empty.
    """

    def __init__(
        self,
        data: ExplorerData,
        selection: Selection,
        *,
        previous: "FilteredView | None" = None,
    ) -> None:
        self.selection = selection
        self.start, self.end = selection.period(data.now)
        self.now = data.now
        self._data = data
        self.index: AssessmentIndex = data.assessment_index(self.start)
        self._start_us, self._end_us = (
            int(to_instant(t).astype(np.int64)) for t in (self.start, self.end)
        )
        if previous is not None and self._has_same_period(previous):
            self.states, self.period = previous.states, previous.period

    def _has_same_period(self, other: "FilteredView") -> bool:
        """Return whether another view has the same appliances and period."""
        return (
            (self.index, self.start, self.end) == (other.index, other.start, other.end)
        ) and np.array_equal(self.is_selected, other.is_selected)

    def with_selection(
        self, selection: Selection, *, previous: "FilteredView | None" = None
    ) -> "FilteredView":
        """Return the view of another selection."""
        return FilteredView(self._data, selection, previous=previous)

    # --- appliances ------------------------------------------------------------------------------

    @cached_property
    def states(self) -> pd.Series:
        """State of each selected appliance at the period's end, the worst first."""
        selected = self._all_states[self.is_selected]
        rank = pd.Index(STATES_BY_SEVERITY).get_indexer(pd.Index(selected))
        # a stable sort keeps the assessment's order within a state: longest exposure first
        return selected.iloc[np.argsort(rank, kind="stable")]

    @cached_property
    def verdict(self) -> Verdict:
        """Verdict of the selected appliances at the period's end."""
        return Verdict.of(self.states)

    @cached_property
    def coming_breaches(self) -> pd.Series:
        """Breaches of selected appliances that no scheduled run can prevent; none for the past."""
        coming = self.index.coming_breaches
        return coming[coming.index.isin(self.states.index) & (self.end == self.now)]

    @property
    def is_all(self) -> bool:
        """True if every appliance is selected."""
        return bool(self.is_selected.all())

    @cached_property
    def notes(self) -> pd.Series:
        """Notes of operators on the period, by appliance; missing without one."""
        valid = [note for note in self._data.notes if self.start <= note.at <= self.end]
        texts = format_notes(self.index.assessment, select_notes(self.index.assessment, valid))
        joined = {name: "; ".join(own) for name, own in texts.items()}
        return pd.Series(joined, dtype="str").reindex(self.states.index)

    @cached_property
    def _all_states(self) -> pd.Series:
        assessment = self.index.assessment
        if self.end == assessment.end:
            return assessment.appliances["state"]
        intervals = assessment.intervals
        last = intervals[(intervals["start"] < self.end) & (intervals["end"] >= self.end)]
        states = last.set_index("appliance")["state"].reindex(self.index.appliances)
        return states.fillna("unobserved")

    @cached_property
    def is_selected(self) -> Flags:
        """Mask of the selected appliances, by appliance code."""
        selection, names = self.selection, self.index.appliances
        flags = np.ones(len(names), dtype=bool)
        for values, value_of in (
            (selection.sites, self._data.sites),
            (selection.groups, self._data.groups),
        ):
            if values:
                flags &= np.array([value_of.get(name) in values for name in names], dtype=bool)
        if selection.appliances:
            flags &= names.isin(selection.appliances)
        if selection.states:
            flags &= self._all_states.isin(selection.states).to_numpy()
        return flags

    @cached_property
    def _rules(self) -> pd.DataFrame:
        """Rules of all appliances at the period's end, by appliance code."""
        return self.index.rules_at(self.end - pd.Timedelta(microseconds=1))

    @cached_property
    def _in_scope(self) -> Flags:
        """Mask of the appliances that no rule excludes at the period's end, by appliance code."""
        return self._rules["exclude"].isna().to_numpy(dtype=bool)

    def recovery_points(self, appliances: pd.Index) -> pd.DataFrame:
        """Return the recovery points of some appliances, as the assessment counts them."""
        index = self.index
        wanted = np.append(index.appliances.isin(appliances), [False])[index.appliance_codes]
        rows = np.sort(index.order[wanted])
        columns = ["appliance", "outcome", "start_time", "end_time", "last_seen_at", "local"]
        jobs = index.jobs[columns].iloc[rows]
        return recovery_points(jobs[jobs["local"].ne(other=True)], anchor=self._rules["anchor"])

    def prepare(self, stop: Event) -> "FilteredView":
        """Compute what takes a while, and return the view; raise Cancelled if `stop` is set."""
        for step in (
            lambda: self.positions,
            lambda: self.period.verdict,
            lambda: self.coming_breaches,
        ):
            if stop.is_set():
                raise Cancelled
            step()
        return self

    def observations(self) -> pd.DataFrame:
        """Return the observations of the appliances to draw; they are read on each call."""
        observations = self._data.observations(self.drawn_states.index, self.start)
        if self.end < self.now:
            observations = observations[observations["observed_at"] <= self.end]
        return observations

    # --- jobs ------------------------------------------------------------------------------------

    @cached_property
    def positions(self) -> Positions:
        """Positions of the selected jobs that started in the period, the newest first.

        They index the arrays of `AssessmentIndex`.
        """
        # jobs are sorted by start: the period is a slice
        ascending = self.index.start[::-1]
        first, last = np.searchsorted(ascending, [self._start_us, self._end_us])
        size = len(ascending)
        span = slice(size - last, size - first)
        return np.arange(size)[span][self._match_filters(span)]

    @cached_property
    def jobs(self) -> pd.DataFrame:
        """Selected jobs, the newest first, of `backupkit.tables.ASSESSED_JOBS`."""
        return self.jobs_at(self.positions)

    @property
    def members(self) -> pd.DataFrame:
        """Site and group of each appliance."""
        return self.index.assessment.figures[["site", "group"]]

    def jobs_at(self, positions: Positions) -> pd.DataFrame:
        """Return the jobs at some positions, with all columns."""
        jobs = self.index.assessment.assessed_jobs
        return jobs.iloc[self.index.order[positions]].reset_index(drop=True)

    def plot_frame(self, positions: Positions, *labels: str) -> pd.DataFrame:
        """Return the columns that figures need of some jobs.

        They are start_time, end_time and duration, and of the labels appliance, outcome, signature
        and target those that are named; with the label progress, also that of running jobs.
        """
        index = self.index
        start, end = (
            pd.DatetimeIndex(times[positions].view("datetime64[us]")).tz_localize("UTC")
            for times in (index.start, index.end)
        )
        columns: dict[str, Any] = {
            name: pd.Categorical.from_codes(codes[positions], categories=categories)
            for name in labels
            if name != "progress"
            for codes, categories in [index.find_codes(name)]
        }
        if "progress" in labels:
            columns["progress"] = index.progress[positions]
        return pd.DataFrame(
            {**columns, "start_time": start, "end_time": end, "duration": end - start}
        )

    def timeline_frame(self, appliances: pd.Index) -> pd.DataFrame:
        """Return the columns that a timeline needs of the selected jobs of some appliances.

        The jobs at `positions_of` these appliances come first. The earlier successes of those with
        a running job follow, whatever the period, as its end is estimated from them.
        """
        positions = self.positions_of(appliances)
        index = self.index
        is_open = index.outcome_codes[positions] == OUTCOMES.index("open")
        running = np.unique(index.appliance_codes[positions[is_open]])
        if len(running):
            is_earlier = (index.start < self._start_us) & np.isin(index.appliance_codes, running)
            is_earlier &= index.outcome_codes == OUTCOMES.index("success")
            positions = np.concatenate([positions, np.flatnonzero(is_earlier)])
        times = index.jobs[["last_seen_at", "vanished_at"]].iloc[index.order[positions]]
        frame = self.plot_frame(positions, "appliance", "outcome", "progress")
        return frame.assign(**times.set_axis(frame.index))

    def positions_of(self, appliances: pd.Index) -> Positions:
        """Return the positions of the selected jobs of some appliances."""
        flags = self.index.appliances.isin(appliances)
        return self.positions[flags[self.index.appliance_codes[self.positions]]]

    def positions_of_day(self, appliance: str, day: pd.Timestamp) -> Positions:
        """Return the positions of the selected jobs of an appliance that started on a UTC day."""
        positions = self.positions_of(pd.Index([appliance]))
        days = self.index.start[positions] // _DAY
        found: Positions = positions[days == int(to_instant(day).astype(np.int64)) // _DAY]
        return found

    def count_by_day(self, appliances: pd.Index, days: pd.DatetimeIndex) -> Codes:
        """Return the number of selected jobs by appliance and UTC day of their start.

        The days follow each other. Each appliance has a row, and each day a column.
        """
        counts = np.zeros((len(appliances), len(days)), dtype=np.int32)
        if not counts.size:
            return counts
        positions = self.positions_of(appliances)
        first = int(to_instant(days[0]).astype(np.int64)) // _DAY
        column = self.index.start[positions] // _DAY - first
        row = appliances.get_indexer(self.index.appliances)[self.index.appliance_codes[positions]]
        is_shown = (column >= 0) & (column < len(days))
        np.add.at(counts, (row[is_shown], column[is_shown]), 1)
        return counts

    @cached_property
    def drawn_states(self) -> pd.Series:
        """States of the appliances to draw; with a job filter, only those with selected jobs."""
        if not self.selection.chooses_jobs:
            return self.states
        names = self.index.appliances[np.unique(self.index.appliance_codes[self.positions])]
        return self.states[self.states.index.isin(names)]

    @cached_property
    def failures(self) -> pd.DataFrame:
        """Selected failures that ended in the period, by signature, the most frequent first.

        Of `backupkit.tables.FAILURES`.
        """
        jobs, texts = self.index.failed_jobs
        rows = np.sort(self.index.failed_rows[self._failed_selection])
        return failures(
            jobs.iloc[rows], texts.iloc[rows], self.index.own_causes, start=self.start, end=self.end
        )

    @cached_property
    def causes(self) -> str:
        """Sentence that says whether the selected failures have one cause or several."""
        codes = self.index.appliance_codes[self.failed_positions]
        return describe_causes(self._cause_counts, appliances=len(np.unique(codes)))

    @cached_property
    def _cause_counts(self) -> pd.DataFrame:
        return count_by_cause(self.index, self._failed_selection)

    def describe_cause(self, signature: str) -> str:
        """Return name and text of the cause of an error pattern; "" if it has none."""
        counts = self._cause_counts
        known = counts[counts["signature"] == signature].dropna(subset="cause_name")
        return "" if known.empty else f"{known['cause_name'].iloc[0]}: {known['cause'].iloc[0]}"

    @cached_property
    def failure_parts(self) -> pd.DataFrame:
        """Selected failures by signature and appliance, of `backupkit.tables.FAILURE_PARTS`."""
        return count_by_appliance(self.index, self.failed_positions)

    @property
    def failed_positions(self) -> Positions:
        """Positions of the selected failed jobs that ended in the period, the newest first."""
        return self.index.failed_positions[self._failed_selection]

    @cached_property
    def _failed_selection(self) -> Flags:
        """Mask of `AssessmentIndex.failed_positions`."""
        index, positions = self.index, self.index.failed_positions
        done = index.done[positions]
        flags = (done >= self._start_us) & (done < self._end_us)
        flags &= self._in_scope[index.appliance_codes[positions]]
        return flags & self._match_filters(positions)

    def _match_filters(self, positions: slice | Positions) -> Flags:
        """Return a mask of the selected jobs at some positions; the period is ignored."""
        index, selection = self.index, self.selection
        flags: Flags = self.is_selected[index.appliance_codes[positions]]
        for name, values in (
            ("outcome", selection.outcomes),
            ("type", selection.types),
            ("signature", selection.signatures),
        ):
            codes, categories = index.find_codes(name)
            if values:
                wanted_codes = categories.get_indexer(pd.Index(values))
                # drop -1: unknown values, and the code of jobs without a value
                flags = flags & np.isin(codes[positions], wanted_codes[wanted_codes >= 0])
        if selection.text:
            flags = flags & index.search(selection.text)[positions]
        return flags

    # --- states and slots ------------------------------------------------------------------------

    def slots_of(self, appliances: pd.Index) -> pd.DataFrame:
        """Return appliance, time and state of the slots of some appliances in the period."""
        index = self.index
        span = slice(*np.searchsorted(index.slot_times, [self._start_us, self._end_us]))
        wanted = self.is_selected & index.appliances.isin(appliances)
        rows = np.sort(index.slot_order[span][wanted[index.slot_appliances[span]]])
        return index.assessment.slots[["appliance", "slot", "state"]].iloc[rows]

    @cached_property
    def period(self) -> PeriodFigures:
        """Figures of the selected appliances over the period."""
        names = self.states.index
        in_scope = self._in_scope[self.index.appliances.get_indexer(names)]
        return PeriodFigures(self.index, names, in_scope, start=self.start, end=self.end)
