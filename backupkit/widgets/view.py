"""Filtered view of the assessment of the whole fleet: appliances, period and jobs.

Filtering gives the same figures as assessing the selected part alone. The states, slots and jobs of
an appliance depend neither on other appliances nor on the period.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.analysis.arrays import instant
from backupkit.assessment import Verdict
from backupkit.tables import (
    COMPLETED_SLOTS,
    INTERVALS,
    MISSED_SLOTS,
    OUTCOMES,
    SLOT_STATES,
    STATES,
    STATES_BY_SEVERITY,
)
from backupkit.widgets.explorer_data import AssessmentIndex, Codes, ExplorerData, Instants
from backupkit.widgets.selection import Selection

__all__ = ["FilteredView", "Fraction"]

Flags = npt.NDArray[np.bool_]
Fractions = npt.NDArray[np.float64]
"""Array of shape (appliances, 2): numerator and denominator per appliance."""


_FAILURE_CODE: Final = OUTCOMES.index("failure")


@dataclass(frozen=True, slots=True)
class Fraction:
    """Fraction with its unit; the denominator may be 0.

    Attributes
    ----------
    numerator, denominator : float
        Amounts, in `unit`.
    unit : str
        Unit of both.
    """

    numerator: float
    denominator: float
    unit: str


class FilteredView:
    """Filtered view of the fleet's assessment.

    Parameters
    ----------
    data : ExplorerData
        Data of the whole fleet.
    selection : Selection
        Filters to apply.

    Attributes
    ----------
    start, end : Timestamp
        The period [UTC].

    Raises
    ------
    SettingsError
        If the period cannot be parsed or is empty.
    """

    def __init__(self, data: ExplorerData, selection: Selection) -> None:
        self.selection = selection
        self.start, self.end = selection.period(data.now)
        self._data = data
        self._index = data.assessment_index(self.start)
        self._start_us, self._end_us = (
            int(instant(t).astype(np.int64)) for t in (self.start, self.end)
        )

    @property
    def now(self) -> pd.Timestamp:
        """Time of the assessment."""
        return self._data.now

    @property
    def failure(self) -> int:
        """Outcome code of a failed job."""
        return _FAILURE_CODE

    def with_selection(self, selection: Selection) -> "FilteredView":
        """Return the view of another selection."""
        return FilteredView(self._data, selection)

    @property
    def assessment_index(self) -> AssessmentIndex:
        """Indexed assessment of the whole fleet."""
        return self._index

    # --- appliances ------------------------------------------------------------------------------

    @cached_property
    def states(self) -> pd.Series:
        """State of each selected appliance at the period's end, the worst first.

        Series of str, indexed by appliance.
        """
        all_states = self._all_states
        selected = all_states[self._is_selected]
        rank = selected.map({state: index for index, state in enumerate(STATES_BY_SEVERITY)})
        # a stable sort keeps the assessment's order within a state: longest exposure first
        return selected.iloc[np.argsort(rank.to_numpy(), kind="stable")]

    @cached_property
    def verdict(self) -> Verdict:
        """Verdict of the selected appliances at the period's end."""
        counts = self.states.value_counts()
        return Verdict(**{state: int(counts.get(state, 0)) for state in STATES})

    @property
    def is_all(self) -> bool:
        """True if every appliance is selected."""
        return bool(self._is_selected.all())

    @cached_property
    def _all_states(self) -> pd.Series:
        assessment = self._index.assessment
        if self.end == assessment.end:
            return assessment.appliances["state"]
        intervals = assessment.intervals
        last = intervals[(intervals["start"] < self.end) & (intervals["end"] >= self.end)]
        states = last.set_index("appliance")["state"].reindex(self._index.appliances)
        return states.fillna("unobserved")

    @cached_property
    def _is_selected(self) -> Flags:
        """Mask of the selected appliances, by appliance code."""
        selection, names = self.selection, self._index.appliances
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

    # --- jobs ------------------------------------------------------------------------------------

    @cached_property
    def positions(self) -> npt.NDArray[np.intp]:
        """Positions of the selected jobs that started in the period, the newest first.

        They index the arrays of `AssessmentIndex`.
        """
        # jobs are sorted by start: the period is a slice
        ascending = self._index.start[::-1]
        first, last = np.searchsorted(ascending, [self._start_us, self._end_us])
        size = len(ascending)
        span = slice(size - last, size - first)
        return np.arange(size)[span][self._matches(span)]

    @cached_property
    def jobs(self) -> pd.DataFrame:
        """Selected jobs, the newest first, of `backupkit.tables.ASSESSED_JOBS`."""
        return self.jobs_at(self.positions)

    def jobs_at(self, positions: npt.NDArray[np.intp]) -> pd.DataFrame:
        """Return the jobs at some positions, with all columns."""
        jobs = self._index.assessment.jobs
        return jobs.iloc[self._index.order[positions]].reset_index(drop=True)

    def plot_frame(self, positions: npt.NDArray[np.intp]) -> pd.DataFrame:
        """Return the columns that figures need of some jobs.

        They are appliance, outcome, signature, target, start_time, end_time and duration.
        """
        index = self._index
        start, end = (
            pd.DatetimeIndex(times[positions].view("datetime64[us]")).tz_localize("UTC")
            for times in (index.start, index.end)
        )
        return pd.DataFrame(
            {
                "appliance": _categories(index.appliance_codes[positions], index.appliances),
                "outcome": _categories(index.outcome_codes[positions], pd.Index(OUTCOMES)),
                "signature": _categories(index.signature_codes[positions], index.signatures),
                "target": _categories(index.target_codes[positions], index.targets),
                "start_time": start,
                "end_time": end,
                "duration": end - start,
            }
        )

    def positions_of(self, appliances: pd.Index) -> npt.NDArray[np.intp]:
        """Return the positions of the selected jobs of some appliances."""
        flags = np.zeros(len(self._index.appliances), dtype=bool)
        flags[self._index.appliances.get_indexer(appliances)] = True
        return self.positions[flags[self._index.appliance_codes[self.positions]]]

    @cached_property
    def drawn_states(self) -> pd.Series:
        """States of the appliances to draw; with a job filter, only those with selected jobs."""
        if not self.selection.chooses_jobs:
            return self.states
        names = self._index.appliances[np.unique(self._index.appliance_codes[self.positions])]
        return self.states[self.states.index.isin(names)]

    @cached_property
    def failures(self) -> pd.DataFrame:
        """Selected failures that ended in the period, by signature, the most frequent first.

        Columns signature, jobs, appliances, share, first_seen, last_seen, text, cause and
        next_step of `backupkit.tables.FAILURES`. The last three may be missing.
        """
        index, positions = self._index, self.failed_positions
        signature_codes, appliance_codes = (
            index.signature_codes[positions],
            index.appliance_codes[positions].astype(np.int64),
        )
        size = len(index.signatures)
        counts = np.bincount(signature_codes, minlength=size)
        pairs = np.unique(signature_codes * len(index.appliances) + appliance_codes)
        appliance_counts = np.bincount(pairs // max(len(index.appliances), 1), minlength=size)
        first, last = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
        np.minimum.at(first, signature_codes, index.end[positions])
        np.maximum.at(last, signature_codes, index.end[positions])
        codes = np.flatnonzero(counts)
        texts = index.signatures[codes].to_numpy(dtype=object)
        ranked = codes[np.lexsort((texts, -last[codes], -counts[codes]))]
        table = pd.DataFrame(
            {
                "signature": index.signatures[ranked],
                "jobs": counts[ranked],
                "appliances": appliance_counts[ranked],
                "share": counts[ranked] / max(len(positions), 1),
                "first_seen": _to_timestamps(first[ranked]),
                "last_seen": _to_timestamps(last[ranked]),
            }
        )
        explained = index.assessment.failures[["signature", "text", "cause", "next_step"]]
        return table.merge(explained, on="signature", how="left")

    @cached_property
    def failed_positions(self) -> npt.NDArray[np.intp]:
        """Positions of the selected failed jobs that ended in the period, the newest first."""
        index = self._index
        ended = (index.end >= self._start_us) & (index.end < self._end_us)
        ended &= index.in_scope[index.appliance_codes]
        positions = np.flatnonzero(
            ended & (index.outcome_codes == _FAILURE_CODE) & (index.signature_codes >= 0)
        )
        return positions[self._matches(positions)]

    def _matches(self, positions: slice | npt.NDArray[np.intp]) -> Flags:
        """Return a mask of the selected jobs at some positions; the period is ignored."""
        index, selection = self._index, self.selection
        flags: Flags = self._is_selected[index.appliance_codes[positions]]
        for values, codes, categories in (
            (selection.outcomes, index.outcome_codes, pd.Index(OUTCOMES)),
            (selection.types, index.type_codes, index.types),
            (selection.signatures, index.signature_codes, index.signatures),
        ):
            if values:
                wanted_codes = categories.get_indexer(pd.Index(values))
                # drop -1: unknown values, and the code of jobs without a value
                flags = flags & np.isin(codes[positions], wanted_codes[wanted_codes >= 0])
        if selection.text:
            flags = flags & self._index.search(selection.text)[positions]
        return flags

    # --- states and slots ------------------------------------------------------------------------

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """States over time of the selected appliances, of `backupkit.tables.INTERVALS`."""
        intervals = self._index.assessment.intervals[
            self._is_selected[self._index.interval_appliances]
        ]
        start = intervals["start"].where(intervals["start"] > self.start, self.start)
        end = intervals["end"].where(intervals["end"] < self.end, self.end)
        return INTERVALS.conform(intervals.assign(start=start, end=end)[start < end])

    @cached_property
    def slots(self) -> pd.DataFrame:
        """Slots of the selected appliances in the period, of `backupkit.tables.SLOTS`."""
        return self._index.assessment.slots[self._slot_flags]

    def slots_of(self, appliances: pd.Index) -> pd.DataFrame:
        """Return the slots of some appliances."""
        codes = self._index.appliances.get_indexer(appliances)
        flags = self._slot_flags & np.isin(self._index.slot_appliances, codes)
        return self._index.assessment.slots[flags]

    @cached_property
    def _slot_flags(self) -> Flags:
        times, appliance_codes = self._index.slot_times, self._index.slot_appliances
        flags: Flags = (
            (times >= self._start_us) & (times < self._end_us) & self._is_selected[appliance_codes]
        )
        return flags

    @cached_property
    def state_hours(self) -> pd.DataFrame:
        """Time of each selected appliance in each state [h]; a row per appliance."""
        intervals = self.intervals
        hours = (intervals["end"] - intervals["start"]).dt.total_seconds().to_numpy() / 3_600
        appliance_codes = self._index.appliances.get_indexer(pd.Index(intervals["appliance"]))
        state_codes = pd.Index(STATES).get_indexer(pd.Index(intervals["state"]))
        return self._sums(appliance_codes, state_codes, STATES, hours)

    @cached_property
    def slot_counts(self) -> pd.DataFrame:
        """Number of slots of each selected appliance in each slot state; a row per appliance."""
        index, flags = self._index, self._slot_flags
        return self._sums(index.slot_appliances[flags], index.slot_states[flags], SLOT_STATES)

    def _sums(
        self,
        appliance_codes: npt.NDArray[np.integer[Any]],
        state_codes: npt.NDArray[np.integer[Any]],
        states: tuple[str, ...],
        weights: npt.NDArray[np.floating[Any]] | None = None,
    ) -> pd.DataFrame:
        """Return sums of weights, or counts, by selected appliance and state."""
        size = len(self._index.appliances), len(states)
        cells = appliance_codes.astype(np.int64) * size[1] + state_codes
        sums = np.bincount(cells, weights=weights, minlength=size[0] * size[1]).reshape(size)
        table = pd.DataFrame(sums, index=self._index.appliances, columns=list(states))
        return table.loc[self.states.index]

    @property
    def figures(self) -> dict[str, Fraction]:
        """Key figures: RPO compliance, slot compliance and coverage."""
        rpo = _sum_fraction(_time_fractions(self.state_hours), "h")
        observed = rpo.denominator - float(self.state_hours["unknown"].sum())
        return {
            "rpo_strict_micro": rpo,
            "slot_strict_micro": _sum_fraction(_slot_fractions(self.slot_counts), "runs"),
            "coverage_time": Fraction(observed, rpo.denominator, "h"),
        }

    def slot_compliance(self, appliances: pd.Index) -> list[Fraction]:
        """Return the slot compliance of some appliances, strict."""
        fractions = _slot_fractions(self.slot_counts.loc[appliances]).tolist()
        return [Fraction(numerator, denominator, "runs") for numerator, denominator in fractions]

    def rpo_compliance(self, appliances: pd.Index) -> list[Fraction]:
        """Return the RPO compliance of some appliances, strict."""
        fractions = _time_fractions(self.state_hours.loc[appliances]).tolist()
        return [Fraction(numerator, denominator, "h") for numerator, denominator in fractions]


def _slot_fractions(counts: pd.DataFrame) -> Fractions:
    good = counts[list(COMPLETED_SLOTS)].to_numpy("float64").sum(axis=1)
    others = counts[[*MISSED_SLOTS, "unknown"]].to_numpy("float64").sum(axis=1)
    return np.stack([good, good + others], axis=1)


def _time_fractions(hours: pd.DataFrame) -> Fractions:
    good = hours["compliant"].to_numpy("float64")
    others = hours[["breach", "unknown"]].to_numpy("float64").sum(axis=1)
    return np.stack([good, good + others], axis=1)


def _sum_fraction(fractions: Fractions, unit: str) -> Fraction:
    numerator, denominator = fractions.sum(axis=0).tolist()
    return Fraction(numerator, denominator, unit)


def _categories(codes: Codes, categories: pd.Index) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, categories=categories)


def _to_timestamps(times: Instants) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(times.view("datetime64[us]")).tz_localize("UTC")
