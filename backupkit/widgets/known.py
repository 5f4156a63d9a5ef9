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
from backupkit.analysis import correct_clock_skew, skew_corrections, target_of
from backupkit.analysis.arrays import times_of
from backupkit.assessment import Assessment, evaluate
from backupkit.policy import Policy
from backupkit.settings import Instant, parse_instant
from backupkit.tables import ASSESSED_JOBS, OUTCOMES, SLOT_STATES

__all__ = ["Codes", "Instants", "Judged", "Known", "Source"]

Codes = npt.NDArray[np.int32]
Instants = npt.NDArray[np.int64]

_AT_LEAST: Final = timedelta(days=90)
"""Minimum period to assess, so that the usual periods need no second assessment."""


_TYPES: Final = ("SCHEDULED", "MANUAL")
"""Job types that are always offered as filters."""


class _History(Protocol):
    def known(self, *, at: Instant | None = None) -> tables.Known: ...
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


class Judged:
    """Assessment of the whole fleet, with columns encoded as integers for fast filters.

    Parameters
    ----------
    assessment : Assessment
        Assessment of the whole fleet.

    Attributes
    ----------
    appliances : Index of str
        Appliance names, the worst first; the code of an appliance is its position here.
    in_scope : array of bool, shape (appliances,)
        Whether no rule excludes the appliance permanently.
    order : array of intp, shape (jobs,)
        Jobs by start, the newest first, as positions in the assessment's ``jobs``.
    who, outcome, kind, why, target : array of int32, shape (jobs,)
        Codes of appliance, outcome, type, signature and backup target of each job, in that order;
        -1 if missing.
    start, end : array of int64, shape (jobs,)
        Start and end of each job in that order, corrected for clock skew [µs since 1970 UTC].
    """

    def __init__(self, assessment: Assessment) -> None:
        self.assessment = assessment
        self.appliances = assessment.appliances.index
        rules = assessment.policy.at(assessment.end).rules(self.appliances)
        self.in_scope = rules["exclude"].isna().reindex(self.appliances).to_numpy(dtype=bool)
        # correct the clock skew, as for the slots
        jobs = correct_clock_skew(
            assessment.jobs, skew_corrections(assessment.coverage["clock_skew"])
        )
        start = _stamps(jobs["start_time"])
        self.order = np.argsort(~start, kind="stable")  # newest first, missing starts last
        self.start = start[self.order]
        self.end = _stamps(jobs["end_time"])[self.order]
        self.who = self._appliance_codes(jobs)[self.order]
        self.outcome = _codes(jobs["outcome"], pd.Index(OUTCOMES))[self.order]
        self.types = _words(jobs["type"])
        self.kind = _codes(jobs["type"], self.types)[self.order]
        # the assessment's signatures by frequency, then those of jobs outside the period
        told = pd.Index(assessment.failures["signature"])
        self.signatures = told.append(_words(jobs["signature"]).difference(told))
        self.why = _codes(jobs["signature"], self.signatures)[self.order]
        self._said: tuple[str, npt.NDArray[np.bool_]] | None = None

    @cached_property
    def targets(self) -> pd.Index:
        """Backup targets, as scheme and host."""
        return _words(self._target_names)

    @cached_property
    def target(self) -> Codes:
        """Code of each job's backup target, in `order`; -1 if unknown."""
        return _codes(self._target_names, self.targets)[self.order]

    @cached_property
    def _target_names(self) -> pd.Series:
        locations = self.assessment.jobs["location"]
        known = {place: target_of(place) for place in _words(locations)}
        return locations.map(known).astype("str")

    @cached_property
    def slot_who(self) -> Codes:
        """Appliance code of each slot."""
        return self._appliance_codes(self.assessment.slots)

    @cached_property
    def slot_state(self) -> Codes:
        """State code of each slot."""
        return _codes(self.assessment.slots["state"], pd.Index(SLOT_STATES))

    @cached_property
    def slot_at(self) -> Instants:
        """Time of each slot [µs since 1970 UTC]."""
        return _stamps(self.assessment.slots["slot"])

    @cached_property
    def interval_who(self) -> Codes:
        """Appliance code of each interval."""
        return self._appliance_codes(self.assessment.intervals)

    def said(self, text: str) -> npt.NDArray[np.bool_]:
        """Return a mask of the jobs, in `order`, that contain a text; case is ignored."""
        if self._said is None or self._said[0] != text:
            self._said = text, self._search(text)
        return self._said[1]

    def _search(self, text: str) -> npt.NDArray[np.bool_]:
        jobs = self.assessment.jobs
        found = np.zeros(len(jobs), dtype=bool)
        for name in ("appliance", "job_id", "type", "location", "signature"):
            found |= _has(pa.array(jobs[name].array, from_pandas=True), text)
        messages = pa.array(jobs["messages"].array, from_pandas=True)
        chunks = messages.chunks if isinstance(messages, pa.ChunkedArray) else [messages]
        whole = pa.concat_arrays(chunks)
        words = pc.list_flatten(whole)
        parents = pc.list_parent_indices(whole).to_numpy()
        for name in ("default_message", "localized", "id"):
            found[parents[_has(pc.struct_field(words, name), text)]] = True
        return found[self.order]

    def _appliance_codes(self, frame: pd.DataFrame) -> Codes:
        return _codes(frame["appliance"], self.appliances)


class Known:
    """Frames of a source and their assessment.

    Parameters
    ----------
    source : History or Snapshot
        Source of the data; jobs, polls and schedules are read immediately.
    policy : Policy
        SLA parameters.
    now : datetime or str, optional
        Time of the assessment; by default the current time.
    """

    def __init__(self, source: Source, policy: Policy, *, now: Instant | None = None) -> None:
        self._source = source
        self._at = None if now is None else parse_instant(now, where="now")
        self.now = pd.Timestamp.now("UTC") if self._at is None else self._at
        self.policy = policy
        found = source.known(at=now) if hasattr(source, "known") else source
        self._frames = tables.Known(found.jobs, found.polls, found.schedules)
        members = {member.appliance: member for member in policy.members}
        told = (
            str(name)
            for frame in (found.jobs, found.polls, found.schedules)
            for name in frame["appliance"].unique()
        )
        self.names = tuple(sorted({*told, *members}))
        self.sites = {name: members[name].site for name in self.names if name in members}
        self.groups = {name: members[name].group for name in self.names if name in members}
        self.types = tuple(dict.fromkeys([*_TYPES, *_words(found.jobs["type"])]))
        first = found.jobs["start_time"].min()
        self.first = self.now if pd.isna(first) else min(first, self.now)
        self._judged: Judged | None = None

    @property
    def no_jobs(self) -> pd.DataFrame:
        """Empty frame of `backupkit.tables.ASSESSED_JOBS`."""
        return ASSESSED_JOBS.empty()

    def judged(self, start: pd.Timestamp) -> Judged:
        """Return the assessment of the whole fleet from `start` or earlier up to now."""
        if self._judged is None or start < self._judged.assessment.start:
            begin = min(start, self.now - _AT_LEAST)
            self._judged = Judged(evaluate(self._frames, self.policy, start=begin, now=self.now))
        return self._judged

    def assess(
        self, appliances: tuple[str, ...], start: pd.Timestamp, end: pd.Timestamp
    ) -> Assessment:
        """Assess some appliances over a period."""
        frames = self._frames.only(appliances)
        members = tuple(one for one in self.policy.members if one.appliance in appliances)
        policy = replace(self.policy, members=members)
        return evaluate(frames, policy, start=start, end=end, now=self.now)

    def observations(self, appliances: Iterable[str], since: pd.Timestamp) -> pd.DataFrame:
        """Return the observations of some appliances; they are read on each call."""
        names = list(appliances)
        if callable(self._source.observations):
            return self._source.observations(at=self._at, since=since, appliances=names)
        seen = self._source.observations
        return seen[seen["appliance"].isin(names) & (seen["observed_at"] >= since)]


def _codes(column: pd.Series, words: pd.Index) -> Codes:
    """Return the position of each value of a column in an index; -1 if it is not there."""
    numbers, found = pd.factorize(column)
    places = words.get_indexer(pd.Index(found))
    return np.append(places, -1)[numbers].astype(np.int32)  # -1, a missing value, takes the last


def _words(column: pd.Series) -> pd.Index:
    words: pd.Index = pd.Index(column.dropna().unique(), dtype="str").sort_values()
    return words


def _stamps(column: pd.Series) -> Instants:
    """Return times as integers [µs since 1970 UTC]; a missing one is the smallest int64."""
    return times_of(column).view(np.int64)


def _has(texts: pa.Array | pa.ChunkedArray, text: str) -> npt.NDArray[np.bool_]:
    found = pc.match_substring(texts, text, ignore_case=True).fill_null(False)
    flags: npt.NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
    return flags
