"""Data of the explorer: the frames of a source and their assessment, both cached."""

from collections.abc import Iterable
from datetime import timedelta
from threading import Lock
from typing import Final, Protocol

import pandas as pd

from backupkit import tables
from backupkit.assessment import Assessment, evaluate
from backupkit.display.format import format_timestamp
from backupkit.policy import Policy
from backupkit.settings import Instant, parse_instant
from backupkit.tables.notes import Note
from backupkit.widgets.assessment_index import AssessmentIndex, list_unique_values
from backupkit.widgets.selection import Selection

__all__ = ["ExplorerData", "Source"]

_MAX_QUICK: Final = 50_000
"""Up to this number of jobs, a search and a tab take no noticeable time."""

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


class ExplorerData:
    """Frames of a source, read immediately, and their assessment.

    The time of the assessment is the current time by default.
    """

    def __init__(self, source: Source, policy: Policy, *, now: Instant | None = None) -> None:
        self._source = source
        self.at = None if now is None else parse_instant(now, where="now")
        self.now = pd.Timestamp.now("UTC") if self.at is None else self.at
        self.policy = policy
        frames = source.view(at=now) if hasattr(source, "view") else source
        self._frames = tables.HistoryView(
            frames.jobs,
            frames.polls,
            frames.schedules,
            domain_nodes=getattr(frames, "domain_nodes", ()),
        )
        log = getattr(source, "notes", None)  # a snapshot has none
        self.notes: tuple[Note, ...] = () if log is None else log.read()
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
            dict.fromkeys([*_DEFAULT_TYPES, *list_unique_values(frames.jobs["type"])])
        )
        starts = frames.jobs["start_time"]
        first = starts[starts >= tables.EARLIEST_TIME].min()
        self.first_start = self.now if pd.isna(first) else min(first, self.now)
        self._index: AssessmentIndex | None = None
        self._lock = Lock()  # a thread may assess while another one waits for it

    @property
    def job_count(self) -> int:
        """Number of jobs."""
        return len(self._frames.jobs)

    @property
    def is_large(self) -> bool:
        """True if a search or the first look at a tab takes more than a moment."""
        return self.job_count > _MAX_QUICK

    def check(self, selection: Selection) -> None:
        """Raise ValueError if an appliance, site, group or type of job does not exist."""
        for name, existing in (
            ("appliances", self.names),
            ("sites", {site for site in self.sites.values() if site}),
            ("groups", {group for group in self.groups.values() if group}),
            ("types", self.types),
        ):
            unknown = sorted(set(getattr(selection, name)) - set(existing))
            if unknown:
                examples = ", ".join(sorted(existing)[:10]) or "none"
                raise ValueError(
                    f"no such {name[:-1]}: {', '.join(unknown)}; there are: {examples}"
                )

    def is_assessed(self, start: pd.Timestamp) -> bool:
        """Return whether the fleet is assessed from `start` on, so that a view is quick."""
        return self._index is not None and self._index.assessment.start <= start

    def describe_slow_step(self, selection: Selection) -> str:
        """Return what takes a while before a selection can be shown; "" if it is quick."""
        start, _ = selection.period(self.now)
        if not self.is_assessed(start):
            return f"Assessing {self.job_count:,} jobs from {format_timestamp(start, 'UTC')} on …"
        index = self.assessment_index(start)
        if selection.text and self.is_large and not index.has_searched(selection.text):
            return f"Searching {self.job_count:,} jobs …"
        return ""

    def describe_drawing(self, tab: str) -> str:
        """Return what takes a while when a tab is opened first."""
        return f"Drawing {tab} of {self.job_count:,} jobs …"

    def assessment_index(self, start: pd.Timestamp) -> AssessmentIndex:
        """Return the assessment of the whole fleet from `start` or earlier up to now."""
        if self._index is not None and self.is_assessed(start):
            return self._index  # without waiting for a thread that assesses a longer period
        with self._lock:
            if self._index is None or not self.is_assessed(start):
                begin = min(start, self.now - _MIN_PERIOD)
                self._index = AssessmentIndex(
                    evaluate(self._frames, self.policy, start=begin, now=self.now)
                )
            return self._index

    def assess(
        self, appliances: tuple[str, ...], start: pd.Timestamp, end: pd.Timestamp
    ) -> Assessment:
        """Assess some appliances over a period."""
        return evaluate(
            self._frames,
            self.policy,
            appliances=appliances,
            start=start,
            end=end,
            now=self.now,
        )

    def observations(self, appliances: Iterable[str], since: pd.Timestamp) -> pd.DataFrame:
        """Return the observations of some appliances; they are read on each call."""
        names = list(appliances)
        if callable(self._source.observations):
            return self._source.observations(at=self.at, since=since, appliances=names)
        observations = self._source.observations
        return observations[
            observations["appliance"].isin(names) & (observations["observed_at"] >= since)
        ]
