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
from backupkit.tables import INTERVALS, OUTCOMES, SLOT_STATES, STATES
from backupkit.widgets.known import Codes, Instants, Judged, Known
from backupkit.widgets.selection import Selection

__all__ = ["Fraction", "View"]

Flags = npt.NDArray[np.bool_]
Parts = npt.NDArray[np.float64]
"""Array of shape (appliances, 2): numerator and denominator per appliance."""


_WORST_FIRST: Final = ("breach", "unknown", "unobserved", "compliant", "excluded")
_GOOD: Final = ("met", "rescued", "late")
_MISSED: Final = ("missed_failed", "missed_norun", "missed_overrun")
_FAILURE: Final = OUTCOMES.index("failure")


@dataclass(frozen=True, slots=True)
class Fraction:
    """Fraction with its unit; the denominator may be 0.

    Attributes
    ----------
    part, whole : float
        Numerator and denominator.
    unit : str
        Unit of both.
    """

    part: float
    whole: float
    unit: str


class View:
    """Filtered view of the fleet's assessment.

    Parameters
    ----------
    known : Known
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

    def __init__(self, known: Known, selection: Selection) -> None:
        self.selection = selection
        self.start, self.end = selection.period(known.now)
        self._known = known
        self._judged = known.judged(self.start)
        self._from, self._to = (int(instant(t).astype(np.int64)) for t in (self.start, self.end))

    @property
    def now(self) -> pd.Timestamp:
        """Time of the assessment."""
        return self._known.now

    @property
    def failure(self) -> int:
        """Outcome code of a failed job."""
        return _FAILURE

    def with_selection(self, selection: Selection) -> "View":
        """Return the view of another selection."""
        return View(self._known, selection)

    @property
    def judged(self) -> Judged:
        """Indexed assessment of the whole fleet."""
        return self._judged

    # --- appliances ------------------------------------------------------------------------------

    @cached_property
    def states(self) -> pd.Series:
        """State of each selected appliance at the period's end, the worst first.

        Series of str, indexed by appliance.
        """
        every = self._every_state
        chosen = every[self._chosen]
        rank = chosen.map({state: place for place, state in enumerate(_WORST_FIRST)})
        # a stable sort keeps the assessment's order within a state: longest exposure first
        return chosen.iloc[np.argsort(rank.to_numpy(), kind="stable")]

    @cached_property
    def verdict(self) -> Verdict:
        """Verdict of the selected appliances at the period's end."""
        counts = self.states.value_counts()
        return Verdict(**{state: int(counts.get(state, 0)) for state in STATES})

    @property
    def is_all(self) -> bool:
        """True if every appliance is selected."""
        return bool(self._chosen.all())

    @cached_property
    def _every_state(self) -> pd.Series:
        whole = self._judged.assessment
        if self.end == whole.end:
            return whole.appliances["state"]
        intervals = whole.intervals
        last = intervals[(intervals["start"] < self.end) & (intervals["end"] >= self.end)]
        found = last.set_index("appliance")["state"].reindex(self._judged.appliances)
        return found.fillna("unobserved")

    @cached_property
    def _chosen(self) -> Flags:
        """Mask of the selected appliances, by appliance code."""
        wanted, names = self.selection, self._judged.appliances
        chosen = np.ones(len(names), dtype=bool)
        for values, told in (
            (wanted.sites, self._known.sites),
            (wanted.groups, self._known.groups),
        ):
            if values:
                chosen &= np.array([told.get(name) in values for name in names], dtype=bool)
        if wanted.appliances:
            chosen &= names.isin(wanted.appliances)
        if wanted.states:
            chosen &= self._every_state.isin(wanted.states).to_numpy()
        return chosen

    # --- jobs ------------------------------------------------------------------------------------

    @cached_property
    def places(self) -> npt.NDArray[np.intp]:
        """Positions of the selected jobs that started in the period, the newest first.

        They index the arrays of `Judged`.
        """
        # jobs are sorted by start: the period is a slice
        ascending = self._judged.start[::-1]
        first, last = np.searchsorted(ascending, [self._from, self._to])
        size = len(ascending)
        span = slice(size - last, size - first)
        return np.arange(size)[span][self._wanted(span)]

    @cached_property
    def jobs(self) -> pd.DataFrame:
        """Selected jobs, the newest first, of `backupkit.tables.ASSESSED_JOBS`."""
        return self.rows(self.places)

    def rows(self, places: npt.NDArray[np.intp]) -> pd.DataFrame:
        """Return the jobs at some positions, with all columns."""
        jobs = self._judged.assessment.jobs
        return jobs.iloc[self._judged.order[places]].reset_index(drop=True)

    def drawn(self, places: npt.NDArray[np.intp]) -> pd.DataFrame:
        """Return the columns that figures need of some jobs.

        They are appliance, outcome, signature, target, start_time, end_time and duration.
        """
        judged = self._judged
        start, end = (
            pd.DatetimeIndex(stamps[places].view("datetime64[us]")).tz_localize("UTC")
            for stamps in (judged.start, judged.end)
        )
        return pd.DataFrame(
            {
                "appliance": _categories(judged.who[places], judged.appliances),
                "outcome": _categories(judged.outcome[places], pd.Index(OUTCOMES)),
                "signature": _categories(judged.why[places], judged.signatures),
                "target": _categories(judged.target[places], judged.targets),
                "start_time": start,
                "end_time": end,
                "duration": end - start,
            }
        )

    def of(self, appliances: pd.Index) -> npt.NDArray[np.intp]:
        """Return the positions of the selected jobs of some appliances."""
        wanted = np.zeros(len(self._judged.appliances), dtype=bool)
        wanted[self._judged.appliances.get_indexer(appliances)] = True
        return self.places[wanted[self._judged.who[self.places]]]

    @cached_property
    def concerned(self) -> pd.Series:
        """States of the appliances to draw; with a job filter, only those with selected jobs."""
        if not self.selection.chooses_jobs:
            return self.states
        having = self._judged.appliances[np.unique(self._judged.who[self.places])]
        return self.states[self.states.index.isin(having)]

    @cached_property
    def failures(self) -> pd.DataFrame:
        """Selected failures that ended in the period, by signature, the most frequent first.

        Columns signature, jobs, appliances, share, first_seen, last_seen, text, cause and
        next_step of `backupkit.tables.FAILURES`. The last three may be missing.
        """
        judged, places = self._judged, self.failed
        why, who = judged.why[places], judged.who[places].astype(np.int64)
        size = len(judged.signatures)
        counts = np.bincount(why, minlength=size)
        pairs = np.unique(why * len(judged.appliances) + who)
        hit = np.bincount(pairs // max(len(judged.appliances), 1), minlength=size)
        first, last = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
        np.minimum.at(first, why, judged.end[places])
        np.maximum.at(last, why, judged.end[places])
        found = np.flatnonzero(counts)
        words = judged.signatures[found].to_numpy(dtype=object)
        ranked = found[np.lexsort((words, -last[found], -counts[found]))]
        told = pd.DataFrame(
            {
                "signature": judged.signatures[ranked],
                "jobs": counts[ranked],
                "appliances": hit[ranked],
                "share": counts[ranked] / max(len(places), 1),
                "first_seen": _times(first[ranked]),
                "last_seen": _times(last[ranked]),
            }
        )
        explained = judged.assessment.failures[["signature", "text", "cause", "next_step"]]
        return told.merge(explained, on="signature", how="left")

    @cached_property
    def failed(self) -> npt.NDArray[np.intp]:
        """Positions of the selected failed jobs that ended in the period, the newest first."""
        judged = self._judged
        ended = (judged.end >= self._from) & (judged.end < self._to)
        ended &= judged.in_scope[judged.who]
        rows = np.flatnonzero(ended & (judged.outcome == _FAILURE) & (judged.why >= 0))
        return rows[self._wanted(rows)]

    def _wanted(self, rows: slice | npt.NDArray[np.intp]) -> Flags:
        """Return a mask of the selected jobs at some positions; the period is ignored."""
        judged, wanted = self._judged, self.selection
        flags: Flags = self._chosen[judged.who[rows]]
        for values, codes, words in (
            (wanted.outcomes, judged.outcome, pd.Index(OUTCOMES)),
            (wanted.types, judged.kind, judged.types),
            (wanted.signatures, judged.why, judged.signatures),
        ):
            if values:
                places = words.get_indexer(pd.Index(values))
                # drop -1: unknown values, and the code of jobs without a value
                flags = flags & np.isin(codes[rows], places[places >= 0])
        if wanted.text:
            flags = flags & self._judged.said(wanted.text)[rows]
        return flags

    # --- states and slots ------------------------------------------------------------------------

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """States over time of the selected appliances, of `backupkit.tables.INTERVALS`."""
        intervals = self._judged.assessment.intervals[self._chosen[self._judged.interval_who]]
        start = intervals["start"].where(intervals["start"] > self.start, self.start)
        end = intervals["end"].where(intervals["end"] < self.end, self.end)
        return INTERVALS.conform(intervals.assign(start=start, end=end)[start < end])

    @cached_property
    def slots(self) -> pd.DataFrame:
        """Slots of the selected appliances in the period, of `backupkit.tables.SLOTS`."""
        return self._judged.assessment.slots[self._slot_flags]

    def slots_of(self, appliances: pd.Index) -> pd.DataFrame:
        """Return the slots of some appliances."""
        numbers = self._judged.appliances.get_indexer(appliances)
        few = self._slot_flags & np.isin(self._judged.slot_who, numbers)
        return self._judged.assessment.slots[few]

    @cached_property
    def _slot_flags(self) -> Flags:
        at, who = self._judged.slot_at, self._judged.slot_who
        flags: Flags = (at >= self._from) & (at < self._to) & self._chosen[who]
        return flags

    @cached_property
    def times(self) -> pd.DataFrame:
        """Time of each selected appliance in each state [h]; a row per appliance."""
        cut = self.intervals
        spent = (cut["end"] - cut["start"]).dt.total_seconds().to_numpy() / 3_600
        who = self._judged.appliances.get_indexer(pd.Index(cut["appliance"]))
        state = pd.Index(STATES).get_indexer(pd.Index(cut["state"]))
        return self._sums(who, state, STATES, spent)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Number of slots of each selected appliance in each slot state; a row per appliance."""
        judged, rows = self._judged, self._slot_flags
        return self._sums(judged.slot_who[rows], judged.slot_state[rows], SLOT_STATES)

    def _sums(
        self,
        who: npt.NDArray[np.integer[Any]],
        what: npt.NDArray[np.integer[Any]],
        names: tuple[str, ...],
        weights: npt.NDArray[np.floating[Any]] | None = None,
    ) -> pd.DataFrame:
        """Return sums of weights, or counts, by selected appliance and state."""
        size = len(self._judged.appliances), len(names)
        cells = who.astype(np.int64) * size[1] + what
        sums = np.bincount(cells, weights=weights, minlength=size[0] * size[1]).reshape(size)
        table = pd.DataFrame(sums, index=self._judged.appliances, columns=list(names))
        return table.loc[self.states.index]

    @property
    def figures(self) -> dict[str, Fraction]:
        """Key figures: RPO compliance, slot compliance and coverage."""
        time = _whole(_time(self.times), "h")
        observed = time.whole - float(self.times["unknown"].sum())
        return {
            "rpo_strict_micro": time,
            "slot_strict_micro": _whole(_done(self.runs), "runs"),
            "coverage_time": Fraction(observed, time.whole, "h"),
        }

    def good_runs(self, appliances: pd.Index) -> list[Fraction]:
        """Return the slot compliance of some appliances, strict."""
        parts = _done(self.runs.loc[appliances]).tolist()
        return [Fraction(good, whole, "runs") for good, whole in parts]

    def good_time(self, appliances: pd.Index) -> list[Fraction]:
        """Return the RPO compliance of some appliances, strict."""
        parts = _time(self.times.loc[appliances]).tolist()
        return [Fraction(good, whole, "h") for good, whole in parts]


def _done(runs: pd.DataFrame) -> Parts:
    good = runs[list(_GOOD)].to_numpy("float64").sum(axis=1)
    rest = runs[[*_MISSED, "unknown"]].to_numpy("float64").sum(axis=1)
    return np.stack([good, good + rest], axis=1)


def _time(times: pd.DataFrame) -> Parts:
    good = times["compliant"].to_numpy("float64")
    rest = times[["breach", "unknown"]].to_numpy("float64").sum(axis=1)
    return np.stack([good, good + rest], axis=1)


def _whole(parts: Parts, unit: str) -> Fraction:
    part, whole = parts.sum(axis=0).tolist()
    return Fraction(part, whole, unit)


def _categories(codes: Codes, words: pd.Index) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, categories=words)


def _times(stamps: Instants) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(stamps.view("datetime64[us]")).tz_localize("UTC")
