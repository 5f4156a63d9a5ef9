"""Assessment of the whole fleet with its columns encoded as integers, to filter millions of rows.

Slots are sorted by time and jobs by start, so that a period is a slice of them.
"""

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backupkit.analysis import (
    correct_clock_skew,
    failure_signatures,
    job_times,
    skew_corrections,
)
from backupkit.analysis.arrays import to_codes, to_times
from backupkit.analysis.target_load import encode_targets
from backupkit.assessment import Assessment, find_coming_breach
from backupkit.causes import Catalogue
from backupkit.tables import OUTCOMES, SLOT_STATES, STATES

__all__ = ["AssessmentIndex", "Codes", "Flags", "Instants", "Positions", "list_unique_values"]

Codes = npt.NDArray[np.int32]
SmallCodes = npt.NDArray[np.int8]
Flags = npt.NDArray[np.bool_]
Instants = npt.NDArray[np.int64]
Positions = npt.NDArray[np.intp]

_FAILURE_COLUMNS: Final = (
    "appliance",
    "outcome",
    "build",
    "location",
    "start_time",
    "end_time",
    "last_seen_at",
)
_MESSAGE_FIELDS: Final = ("default_message", "localized", "id")


class AssessmentIndex:
    """Assessment of the whole fleet, with columns encoded as integers for fast filters.

    Attributes
    ----------
    appliances : Index of str
        Appliance names, the worst first; the code of an appliance is its position here.
    jobs : DataFrame
        Jobs of the assessment, corrected for clock skew as for the slots.
    order : array of intp, shape (jobs,)
        Positions in `jobs` by start, the newest first. All further arrays of jobs have this order.
    start, end, done : array of int64
        Start and end of each job, and when its result was available [µs since 1970 UTC].
    appliance_codes, outcome_codes, type_codes, signature_codes : array of int32
        -1 if missing.
    drawn_tabs : set of str
        Names of the tabs whose frames are computed.
    """

    def __init__(self, assessment: Assessment) -> None:
        self.assessment = assessment
        self.appliances = assessment.appliances.index
        self.jobs = jobs = correct_clock_skew(
            assessment.assessed_jobs, skew_corrections(assessment.coverage["clock_skew"])
        )
        start = _to_integers(jobs["start_time"])
        self.order = np.argsort(~start, kind="stable")  # newest first, missing starts last
        self.start = start[self.order]
        self.end = _to_integers(jobs["end_time"])[self.order]
        self.done = job_times(jobs)[1].view(np.int64)[self.order]
        self.types = list_unique_values(jobs["type"])
        self.signatures = list_unique_values(jobs["signature"])
        self.appliance_codes, self.outcome_codes, self.type_codes, self.signature_codes = (
            _encode(jobs[name], values)[self.order]
            for name, values in (
                ("appliance", self.appliances),
                ("outcome", pd.Index(OUTCOMES)),
                ("type", self.types),
                ("signature", self.signatures),
            )
        )
        self.drawn_tabs: set[str] = set()
        self._rules: dict[int, pd.DataFrame] = {}
        self._last_search: tuple[str, npt.NDArray[np.bool_]] | None = None

    def find_codes(self, label: str) -> tuple[Codes, pd.Index]:
        """Return the codes of the jobs' appliance, outcome, type, signature or target."""
        if label == "target":
            return self._targets
        categories = {
            "appliance": self.appliances,
            "outcome": pd.Index(OUTCOMES),
            "type": self.types,
            "signature": self.signatures,
        }
        codes: Codes = getattr(self, f"{label}_codes")
        return codes, categories[label]

    @cached_property
    def progress(self) -> npt.NDArray[np.float64]:
        """Progress of each job that has not ended [%]; NaN for the others."""
        progress = np.full(len(self.order), np.nan)
        is_open = np.flatnonzero(self.outcome_codes == OUTCOMES.index("open"))
        rows = self.jobs["progress"].iloc[self.order[is_open]]
        progress[is_open] = rows.to_numpy("float64", na_value=np.nan)
        return progress

    @cached_property
    def coming_breaches(self) -> pd.Series:
        """When each breach begins that no scheduled run can prevent [UTC], by appliance."""
        return find_coming_breach(self.assessment)

    # --- rules -----------------------------------------------------------------------------------

    def rules_at(self, moment: pd.Timestamp) -> pd.DataFrame:
        """Return the rules in force at a moment, by appliance code."""
        policy = self.assessment.policy
        changes = sum(date <= moment for date in policy.effective_dates)
        if changes not in self._rules:
            self._rules[changes] = policy.at(moment).rules(self.appliances).loc[self.appliances]
        return self._rules[changes]

    # --- slots and intervals ---------------------------------------------------------------------

    @cached_property
    def slot_order(self) -> Positions:
        """Positions in the assessment's slots by time; the arrays of slots have this order."""
        return np.argsort(_to_integers(self.assessment.slots["slot"]), kind="stable")

    @cached_property
    def slot_times(self) -> Instants:
        """Time of each slot [µs since 1970 UTC]."""
        return _to_integers(self.assessment.slots["slot"])[self.slot_order]

    @cached_property
    def slot_appliances(self) -> Codes:
        """Appliance code of each slot."""
        return _encode(self.assessment.slots["appliance"], self.appliances)[self.slot_order]

    @cached_property
    def slot_states(self) -> SmallCodes:
        """State of each slot, as position in `backupkit.tables.SLOT_STATES`."""
        codes = _encode(self.assessment.slots["state"], pd.Index(SLOT_STATES))
        return codes.astype(np.int8)[self.slot_order]

    @cached_property
    def slot_failed(self) -> Flags:
        """Mask of the slots that are pending although their first run failed."""
        pending = np.flatnonzero(self.slot_states == SLOT_STATES.index("pending"))
        rows = self.slot_order[pending]
        flags = np.zeros(len(self.slot_order), dtype=bool)
        first = self.assessment.slots["first_outcome"].iloc[rows]
        flags[pending] = first.eq("failure").to_numpy(dtype=bool, na_value=False)
        return flags

    @cached_property
    def interval_appliances(self) -> Codes:
        """Appliance code of each interval."""
        return _encode(self.assessment.intervals["appliance"], self.appliances)

    @cached_property
    def interval_states(self) -> Codes:
        """State of each interval, as position in `backupkit.tables.STATES`."""
        return _encode(self.assessment.intervals["state"], pd.Index(STATES))

    @cached_property
    def interval_times(self) -> tuple[Instants, Instants]:
        """Start and end of each interval [µs since 1970 UTC]."""
        intervals = self.assessment.intervals
        return _to_integers(intervals["start"]), _to_integers(intervals["end"])

    # --- backup targets and failures -------------------------------------------------------------

    @cached_property
    def _locations(self) -> tuple[Codes, pd.Index]:
        codes, locations = pd.factorize(self.jobs["location"])
        return codes[self.order].astype(np.int32), pd.Index(locations, dtype="str")

    @cached_property
    def _targets(self) -> tuple[Codes, pd.Index]:
        codes, locations = self._locations
        target_codes, targets = encode_targets(locations.to_series())  # each location once
        return np.append(target_codes, -1).astype(np.int32)[codes], targets

    @cached_property
    def failed_positions(self) -> Positions:
        """Positions of the failed jobs, the newest first."""
        return np.flatnonzero(self.outcome_codes == OUTCOMES.index("failure"))

    @cached_property
    def failed_rows(self) -> Positions:
        """Position of each of them in `failed_jobs`."""
        return np.argsort(np.argsort(self.order[self.failed_positions]))

    @cached_property
    def failed_jobs(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The failed jobs in the order of `jobs`, with the columns that failures need.

        The second frame is what their messages say: `backupkit.analysis.failure_signatures`.
        """
        jobs = self.jobs.iloc[np.sort(self.order[self.failed_positions])]
        texts = failure_signatures(jobs, self.own_causes)
        return jobs[list(_FAILURE_COLUMNS)], texts

    @cached_property
    def failed_causes(self) -> tuple[Codes, list[str]]:
        """Code of the cause of each job at `failed_positions`, -1 without one; and the names."""
        codes, names = pd.factorize(self.failed_jobs[1]["cause_name"])
        return codes[self.failed_rows].astype(np.int32), [str(name) for name in names]

    @cached_property
    def own_causes(self) -> Catalogue:
        """The own causes of the fleet."""
        return Catalogue(self.assessment.policy.causes)

    # --- search ----------------------------------------------------------------------------------

    def search(self, text: str) -> Flags:
        """Return a mask of the jobs that contain a text; case is ignored."""
        last = self._last_search
        if last is None or last[0] != text:
            self._last_search = last = text, self._find_text(text)
        return last[1]

    def has_searched(self, text: str) -> bool:
        """Return whether the jobs that contain a text are known already."""
        return self._last_search is not None and self._last_search[0] == text

    def _find_text(self, text: str) -> Flags:
        """Search each distinct text once; only the ids of jobs all differ."""
        matches = _contains(_to_arrow(self.jobs["job_id"]), text)[self.order]
        for codes, texts in (
            (self.appliance_codes, self.appliances),
            (self.type_codes, self.types),
            (self.signature_codes, self.signatures),
            self._locations,
        ):
            matches |= _find_codes(_to_arrow(texts), text)[codes]
        return matches | self.search_messages(text)

    def search_messages(self, text: str) -> Flags:
        """Return a mask of the jobs whose messages contain a text; case is ignored."""
        matches = np.zeros(len(self.order), dtype=bool)
        parents, fields = self._messages
        for codes, texts in fields:
            matches[parents[_find_codes(texts, text)[codes]]] = True
        return matches

    @cached_property
    def _messages(self) -> tuple[Positions, list[tuple[Codes, pa.Array]]]:
        """Position of each message's job; of each field its code and the distinct texts."""
        messages = _to_arrow(self.jobs["messages"])
        items = pc.list_flatten(messages)
        rank = np.empty(len(self.order), dtype=np.intp)
        rank[self.order] = np.arange(len(self.order))
        fields = []
        for name in _MESSAGE_FIELDS:
            encoded = pc.struct_field(items, name).dictionary_encode()
            fields.append((pc.fill_null(encoded.indices, -1).to_numpy(), encoded.dictionary))
        return rank[pc.list_parent_indices(messages).to_numpy()], fields


def list_unique_values(column: pd.Series) -> pd.Index:
    """Return the distinct texts of a column, sorted."""
    values: pd.Index = pd.Index(column.dropna().unique(), dtype="str").sort_values()
    return values


def _encode(column: pd.Series, values: pd.Index) -> Codes:
    """Return the position of each value of a column in an index; -1 if it is not there."""
    return to_codes(column, values).astype(np.int32)


def _to_integers(column: pd.Series) -> Instants:
    """Return times as integers [µs since 1970 UTC]; a missing one is the smallest int64."""
    return to_times(column).view(np.int64)


def _to_arrow(column: pd.Series | pd.Index) -> pa.Array:
    values = pa.array(column.array, from_pandas=True)
    return pa.concat_arrays(values.chunks) if isinstance(values, pa.ChunkedArray) else values


def _find_codes(texts: pa.Array, text: str) -> Flags:
    """Return which of the distinct texts contain a text; the last flag is for a missing one."""
    return np.append(_contains(texts, text), [False])


def _contains(texts: pa.Array, text: str) -> Flags:
    matches = pc.match_substring(texts, text, ignore_case=True).fill_null(False)
    flags: Flags = matches.to_numpy(zero_copy_only=False)
    return flags
