"""Data of the explorer: the frames of a source and their assessment, both cached."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backupkit import tables
from backupkit.analysis import (
    correct_clock_skew,
    failure_signatures,
    job_times,
    skew_corrections,
)
from backupkit.analysis.arrays import to_codes, to_times
from backupkit.analysis.target_load import encode_targets
from backupkit.assessment import Assessment, evaluate
from backupkit.causes import Catalogue
from backupkit.policy import Policy
from backupkit.settings import Instant, parse_instant
from backupkit.tables import OUTCOMES

__all__ = ["AssessmentIndex", "Codes", "ExplorerData", "Instants", "Source"]

Codes = npt.NDArray[np.int32]
Instants = npt.NDArray[np.int64]

_MIN_PERIOD: Final = timedelta(days=90)
"""Minimum period to assess, so that the usual periods need no second assessment."""

_DEFAULT_TYPES: Final = ("SCHEDULED", "MANUAL")
"""Job types that are always offered as filters."""


class _History(Protocol):
    def view(self, *, at: Instant | None = None) -> tables.HistoryView: ...
    def observations(
        self,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
    ) -> pd.DataFrame: ...


class _Snapshot(Protocol):
    @property
    def jobs(self) -> pd.DataFrame: ...
    @property
    def polls(self) -> pd.DataFrame: ...
    @property
    def schedules(self) -> pd.DataFrame: ...
    @property
    def observations(self) -> pd.DataFrame: ...


Source = _History | _Snapshot


class AssessmentIndex:
    """Assessment of the whole fleet, with columns encoded as integers for fast filters.

    Attributes
    ----------
    appliances : Index of str
        Appliance names, the worst first; the code of an appliance is its position here.
    jobs : DataFrame
        Jobs of the assessment, corrected for clock skew as for the slots.
    order : array of intp, shape (jobs,)
        Positions in `jobs` by start, the newest first. All further arrays have this order.
    start, end, done : array of int64
        Start and end of each job, and when its result was available [µs since 1970 UTC].
    appliance_codes, outcome_codes, type_codes, signature_codes : array of int32
        -1 if missing.
    """

    failure = OUTCOMES.index("failure")
    """Outcome code of a failed job."""

    def __init__(self, assessment: Assessment) -> None:
        self.assessment = assessment
        self.appliances = assessment.appliances.index
        self.jobs = jobs = correct_clock_skew(
            assessment.jobs, skew_corrections(assessment.coverage["clock_skew"])
        )
        start = _to_microseconds(jobs["start_time"])
        self.order = np.argsort(~start, kind="stable")  # newest first, missing starts last
        self.start = start[self.order]
        self.end = _to_microseconds(jobs["end_time"])[self.order]
        self.done = job_times(jobs)[1].view(np.int64)[self.order]
        self.types = _list_unique_values(jobs["type"])
        self.signatures = _list_unique_values(jobs["signature"])
        self.appliance_codes, self.outcome_codes, self.type_codes, self.signature_codes = (
            _encode(jobs[name], values)[self.order]
            for name, values in (
                ("appliance", self.appliances),
                ("outcome", pd.Index(OUTCOMES)),
                ("type", self.types),
                ("signature", self.signatures),
            )
        )
        self._last_search: tuple[str, npt.NDArray[np.bool_]] | None = None

    @cached_property
    def _targets(self) -> tuple[npt.NDArray[np.intp], pd.Index]:
        return encode_targets(self.jobs["location"])

    @property
    def targets(self) -> pd.Index:
        """Backup targets, as scheme and host."""
        return self._targets[1]

    @property
    def target_codes(self) -> npt.NDArray[np.intp]:
        """Code of each job's backup target, in `order`; -1 if unknown."""
        return self._targets[0][self.order]

    @cached_property
    def failure_texts(self) -> pd.DataFrame:
        """Content of each failed job's messages, from `backupkit.analysis.failure_signatures`."""
        return failure_signatures(self.jobs, self.own_causes)

    @cached_property
    def own_causes(self) -> Catalogue:
        """The own causes of the fleet."""
        return Catalogue(self.assessment.policy.causes)

    @cached_property
    def slot_appliances(self) -> Codes:
        """Appliance code of each slot."""
        return _encode(self.assessment.slots["appliance"], self.appliances)

    @cached_property
    def slot_times(self) -> Instants:
        """Time of each slot [µs since 1970 UTC]."""
        return _to_microseconds(self.assessment.slots["slot"])

    @cached_property
    def interval_appliances(self) -> Codes:
        """Appliance code of each interval."""
        return _encode(self.assessment.intervals["appliance"], self.appliances)

    def search(self, text: str) -> npt.NDArray[np.bool_]:
        """Return a mask of the jobs, in `order`, that contain a text; case is ignored."""
        if self._last_search is None or self._last_search[0] != text:
            self._last_search = text, self._find_text(text)
        return self._last_search[1]

    def _find_text(self, text: str) -> npt.NDArray[np.bool_]:
        jobs = self.jobs
        matches = np.zeros(len(jobs), dtype=bool)
        for name in ("appliance", "job_id", "type", "location", "signature"):
            matches |= _contains(pa.array(jobs[name].array, from_pandas=True), text)
        messages = pa.array(jobs["messages"].array, from_pandas=True)
        chunks = messages.chunks if isinstance(messages, pa.ChunkedArray) else [messages]
        combined = pa.concat_arrays(chunks)
        items = pc.list_flatten(combined)
        parents = pc.list_parent_indices(combined).to_numpy()
        for name in ("default_message", "localized", "id"):
            matches[parents[_contains(pc.struct_field(items, name), text)]] = True
        return matches[self.order]


class ExplorerData:
    """Frames of a source, read immediately, and their assessment.

    The time of the assessment is the current time by default.
    """

    def __init__(self, source: Source, policy: Policy, *, now: Instant | None = None) -> None:
        self._source = source
        self._at = None if now is None else parse_instant(now, where="now")
        self.now = pd.Timestamp.now("UTC") if self._at is None else self._at
        self.policy = policy
        frames = source.view(at=now) if hasattr(source, "view") else source
        self._frames = tables.HistoryView(frames.jobs, frames.polls, frames.schedules)
        members = {member.appliance: member for member in policy.members}
        recorded = (
            str(name)
            for frame in (frames.jobs, frames.polls, frames.schedules)
            for name in frame["appliance"].unique()
        )
        self.names = tuple(sorted({*recorded, *members}))
        self.sites = {name: members[name].site for name in self.names if name in members}
        self.groups = {name: members[name].group for name in self.names if name in members}
        self.types = tuple(
            dict.fromkeys([*_DEFAULT_TYPES, *_list_unique_values(frames.jobs["type"])])
        )
        starts = frames.jobs["start_time"]
        first = starts[starts >= tables.EARLIEST_TIME].min()
        self.first_start = self.now if pd.isna(first) else min(first, self.now)
        self._index: AssessmentIndex | None = None

    def assessment_index(self, start: pd.Timestamp) -> AssessmentIndex:
        """Return the assessment of the whole fleet from `start` or earlier up to now."""
        if self._index is None or start < self._index.assessment.start:
            begin = min(start, self.now - _MIN_PERIOD)
            self._index = AssessmentIndex(
                evaluate(self._frames, self.policy, start=begin, now=self.now)
            )
        return self._index

    def assess(
        self, appliances: tuple[str, ...], start: pd.Timestamp, end: pd.Timestamp
    ) -> Assessment:
        """Assess some appliances over a period."""
        frames = self._frames.only(appliances)
        members = tuple(member for member in self.policy.members if member.appliance in appliances)
        policy = replace(self.policy, members=members)
        return evaluate(frames, policy, start=start, end=end, now=self.now)

    def observations(self, appliances: Iterable[str], since: pd.Timestamp) -> pd.DataFrame:
        """Return the observations of some appliances; they are read on each call."""
        names = list(appliances)
        if callable(self._source.observations):
            return self._source.observations(at=self._at, since=since, appliances=names)
        observations = self._source.observations
        return observations[
            observations["appliance"].isin(names) & (observations["observed_at"] >= since)
        ]


def _encode(column: pd.Series, values: pd.Index) -> Codes:
    """Return the position of each value of a column in an index; -1 if it is not there."""
    return to_codes(column, values).astype(np.int32)


def _list_unique_values(column: pd.Series) -> pd.Index:
    values: pd.Index = pd.Index(column.dropna().unique(), dtype="str").sort_values()
    return values


def _to_microseconds(column: pd.Series) -> Instants:
    """Return times as integers [µs since 1970 UTC]; a missing one is the smallest int64."""
    return to_times(column).view(np.int64)


def _contains(texts: pa.Array | pa.ChunkedArray, text: str) -> npt.NDArray[np.bool_]:
    matches = pc.match_substring(texts, text, ignore_case=True).fill_null(False)
    flags: npt.NDArray[np.bool_] = matches.to_numpy(zero_copy_only=False)
    return flags
