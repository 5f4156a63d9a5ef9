"""Figures of the selected appliances over a period, and the verdict on it.

Times and slots are counted from the integers of `AssessmentIndex`, because a frame of a million
slots takes longer to filter than to count. `backupkit.analysis` judges them.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.analysis import RuleSpan, check_runs, cut_incidents, mean_restore_time
from backupkit.analysis.arrays import to_instant
from backupkit.analysis.targets import judge_target, target_shares
from backupkit.assessment import PeriodVerdict, TargetResult
from backupkit.assessment.verdict import TARGET_LABELS
from backupkit.display.format import Ratio
from backupkit.tables import (
    COMPLETED_SLOTS,
    IN_SCOPE_STATES,
    OBSERVED_STATES,
    SLOT_STATES,
    STATES,
    TARGETS,
    UNCOUNTED_SLOTS,
)
from backupkit.widgets.assessment_index import AssessmentIndex, Codes, Flags

__all__ = ["PeriodFigures", "compute_ratios"]

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_SECOND = 1_000_000  # microseconds
_HOUR = 3_600  # seconds
_UNITS = {"rpo_strict": "h", "slot_strict": "slots", "window": "jobs", "duration": "jobs"}
_JOB_COLUMNS = (
    "appliance",
    "outcome",
    "type",
    "start_time",
    "end_time",
    "last_seen_at",
    "vanished_at",
)
"""Columns of jobs that the checks of window and duration read."""


class PeriodFigures:
    """Figures of some appliances over a period.

    Parameters
    ----------
    index : AssessmentIndex
        Assessment of the whole fleet, over this period at least.
    names : Index of str
        The appliances.
    in_scope : array of bool
        Which of them no rule excludes at the period's end.
    start, end : Timestamp
        The period, half-open [UTC].
    """

    def __init__(
        self,
        index: AssessmentIndex,
        names: pd.Index,
        in_scope: Flags,
        *,
        start: pd.Timestamp,
        end: pd.Timestamp,
    ) -> None:
        self._index, self._names, self._in_scope = index, names, in_scope
        self._codes = index.appliances.get_indexer(names)
        dates = [date for date in index.assessment.policy.effective_dates if start < date < end]
        self._bounds = list(zip([start, *dates], [*dates, end], strict=True))

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """States over time of the appliances, of `backupkit.tables.INTERVALS`."""
        index, (start, end) = self._index, (self._bounds[0][0], self._bounds[-1][1])
        first, last = index.interval_times
        rows = (first < _to_integer(end)) & (last > _to_integer(start))
        rows &= np.isin(index.interval_appliances, self._codes)
        intervals = index.assessment.intervals[rows]
        return intervals.assign(
            start=intervals["start"].where(intervals["start"] > start, start),
            end=intervals["end"].where(intervals["end"] < end, end),
        )

    @cached_property
    def amounts(self) -> pd.DataFrame:
        """Amounts whose ratios are the compliance and the coverage of each appliance.

        compliant, observed, in_scope [h], completed and counted [slots]. Strict RPO compliance is
        compliant / in_scope, strict slot compliance completed / counted, and coverage observed /
        in_scope; for several appliances, of their sums. The slots that are pending are in neither;
        of these, failed have a failed run already.
        """
        hours, slots = self._times.sum(axis=0) / _SECOND / _HOUR, self._slots.sum(axis=0)
        columns = {
            "compliant": hours[:, STATES.index("compliant")],
            "observed": hours[:, _find(STATES, OBSERVED_STATES)].sum(axis=1),
            "in_scope": hours[:, _find(STATES, IN_SCOPE_STATES)].sum(axis=1),
            "completed": slots[:, _find(SLOT_STATES, COMPLETED_SLOTS)].sum(axis=1),
            "counted": slots[:, ~_find(SLOT_STATES, UNCOUNTED_SLOTS)].sum(axis=1),
            "pending": slots[:, SLOT_STATES.index("pending")],
            "failed": self._failed_slots,
        }
        return pd.DataFrame(columns, index=self._names, dtype="float64")

    @cached_property
    def restore_times(self) -> pd.Series:
        """Mean time to restore of each appliance, of the incidents of this period."""
        start, end = self._bounds[0][0], self._bounds[-1][1]
        incidents = cut_incidents(self._index.assessment.incidents, start=start, end=end)
        return mean_restore_time(incidents, appliances=self._names)

    @cached_property
    def ratios(self) -> dict[str, Ratio]:
        """Key figures of the appliances that no rule excludes."""
        return compute_ratios(self.totals)

    @cached_property
    def totals(self) -> pd.Series:
        """Sums of the amounts of the appliances that no rule excludes."""
        return self.amounts[self._in_scope].sum()

    @cached_property
    def verdict(self) -> PeriodVerdict:
        """Verdict on the period; each part of it has the targets of its time."""
        sides = self._compute_target_sides()
        states = judge_target(*(pd.Series(np.ravel(side)) for side in sides))
        is_met, is_known = (
            flags.to_numpy().reshape(len(TARGETS), -1)
            for flags in (states.eq("met"), states.notna())
        )
        judged = is_known.any(axis=0)
        met = judged & (is_met | ~is_known).all(axis=0)
        sums = [pd.Series(side.sum(axis=1), index=list(TARGETS)) for side in sides]
        numerator, denominator, _, allowed = sums
        targets = pd.DataFrame(
            {
                "numerator": numerator,
                "denominator": denominator,
                "target": target_shares(allowed, denominator),
                "state": judge_target(*sums),
            }
        ).dropna(subset="state")
        return PeriodVerdict(
            targets=tuple(
                TargetResult(
                    metric=f"{name}_micro",
                    label=TARGET_LABELS[str(name)],
                    ratio=Ratio(
                        row["numerator"], row["denominator"], _UNITS[str(name)], row["target"]
                    ),
                    state=row["state"],
                )
                for name, row in targets.to_dict("index").items()
            ),
            appliances=Ratio(int(met.sum()), int(judged.sum()), "appliances"),
        )

    def _compute_target_sides(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return numerator, denominator, undecided and allowed by target and appliance in scope."""
        amounts = self.amounts[self._in_scope]
        times, slots = self._times[:, self._in_scope], self._slots[:, self._in_scope]
        scoped = times[:, :, _find(STATES, IN_SCOPE_STATES)].sum(axis=2) / _SECOND / _HOUR
        counted = slots[:, :, ~_find(SLOT_STATES, UNCOUNTED_SLOTS)].sum(axis=2)
        unknown = slots[:, :, SLOT_STATES.index("unknown")].sum(axis=0)
        sides = {
            "rpo_strict": (
                amounts["compliant"],
                amounts["in_scope"],
                amounts["in_scope"] - amounts["observed"],
                self._sum_allowed(scoped, "rpo_target"),
            ),
            "slot_strict": (
                amounts["completed"],
                amounts["counted"],
                unknown,
                self._sum_allowed(counted, "runs_target"),
            ),
            **self._check_runs(),
        }
        numerator, denominator, undecided, allowed = (
            np.array([sides[name][side] for name in TARGETS], dtype=np.float64) for side in range(4)
        )
        return numerator, denominator, undecided, allowed

    def _sum_allowed(self, amounts: Floats | Counts, target: str) -> Floats:
        """Sum what may be missing from the amounts of each part of the period."""
        targets = np.array([rules[target].to_numpy("float64") for rules, *_ in self._rule_spans])
        allowed: Floats = ((1 - targets).round(12) * amounts).sum(axis=0)
        return allowed

    def _check_runs(self) -> dict[str, list[Floats]]:
        """Check the jobs of the appliances that have a window or a duration limit."""
        names, spans = self._names[self._in_scope], self._rule_spans
        limited = np.zeros(len(names), dtype=bool)
        for rules, *_ in spans:
            limited |= (rules["window_start"].notna() | rules["duration_limit"].notna()).to_numpy()
        nothing = [np.zeros(len(names))] * 4
        if not limited.any():
            return {"window": nothing, "duration": nothing}
        jobs = self._select_jobs(names[limited])
        zones = self._index.assessment.coverage["timezone"].reindex(names)
        runs = check_runs(jobs, spans, zones)
        return {
            name: [
                runs[f"{name}_ok"].to_numpy("float64", na_value=0),
                runs[f"{name}_runs"].to_numpy("float64", na_value=0),
                nothing[0],
                runs[f"{name}_allowed"].to_numpy("float64", na_value=0),
            ]
            for name in ("window", "duration")
        }

    def _select_jobs(self, names: pd.Index) -> pd.DataFrame:
        """Return the jobs of some appliances that ran or ended in the period."""
        index = self._index
        start, end = (_to_integer(moment) for moment in (self._bounds[0][0], self._bounds[-1][1]))
        wanted = np.append(index.appliances.isin(names), [False])[index.appliance_codes]
        is_open = index.done < -(2**62)  # a job that has not finished has no such time
        positions = wanted & (index.start < end) & (is_open | (index.done >= start))
        return index.jobs[list(_JOB_COLUMNS)].iloc[index.order[positions]]

    @cached_property
    def _rule_spans(self) -> list[RuleSpan]:
        """Rules of the appliances in scope for each part of the period."""
        names = self._names[self._in_scope]
        return [(self._index.rules_at(start).loc[names], start, end) for start, end in self._bounds]

    @cached_property
    def _times(self) -> Counts:
        """Time in each state [µs] by part of the period, appliance and state."""
        index, parts = self._index, []
        starts, ends = index.interval_times
        cells = index.interval_appliances * len(STATES) + index.interval_states
        for start, end in self._bounds:
            first, last = np.maximum(starts, _to_integer(start)), np.minimum(ends, _to_integer(end))
            parts.append(self._count(cells, STATES, weights=np.maximum(last - first, 0)))
        return np.array(parts)

    @cached_property
    def _slots(self) -> Counts:
        """Number of slots by part of the period, appliance and state."""
        index, parts = self._index, []
        for start, end in self._bounds:
            span = slice(*np.searchsorted(index.slot_times, [_to_integer(start), _to_integer(end)]))
            cells = index.slot_appliances[span] * len(SLOT_STATES) + index.slot_states[span]
            parts.append(self._count(cells, SLOT_STATES))
        return np.array(parts)

    @cached_property
    def _failed_slots(self) -> Counts:
        """Number of pending slots with a failed run, by appliance."""
        index, (start, end) = self._index, (self._bounds[0][0], self._bounds[-1][1])
        span = slice(*np.searchsorted(index.slot_times, [_to_integer(start), _to_integer(end)]))
        failed = index.slot_appliances[span][index.slot_failed[span]]
        return np.bincount(failed, minlength=len(index.appliances))[self._codes]

    def _count(
        self, cells: Codes, states: tuple[str, ...], *, weights: Counts | None = None
    ) -> Counts:
        """Count or sum rows by their appliance and state, of these appliances."""
        size = len(self._index.appliances) * len(states)
        # exact also as floats: a million years have fewer than 2**53 microseconds
        counts = np.bincount(cells, weights=weights, minlength=size).astype(np.int64)
        return counts.reshape(-1, len(states))[self._codes]


def compute_ratios(amounts: pd.Series) -> dict[str, Ratio]:
    """Return strict RPO compliance, strict slot compliance and coverage, by metric."""
    return {
        "rpo_strict_micro": Ratio(amounts["compliant"], amounts["in_scope"], "h"),
        "slot_strict_micro": Ratio(amounts["completed"], amounts["counted"], "slots"),
        "coverage_time": Ratio(amounts["observed"], amounts["in_scope"], "h"),
    }


def _find(states: tuple[str, ...], wanted: Sequence[str]) -> Flags:
    """Return which states are wanted ones."""
    return np.isin(states, wanted)


def _to_integer(moment: pd.Timestamp) -> int:
    """Return a moment as integer [µs since 1970 UTC]."""
    return int(to_instant(moment).astype(np.int64))
