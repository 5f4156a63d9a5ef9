"""Jobs, schedules, slots and segments of some appliances, from which figures are computed."""

from functools import cached_property
from typing import Final

import pandas as pd

from backupkit import analysis
from backupkit.analysis import Clocks
from backupkit.analysis.arrays import Flags, to_codes, to_instant, to_times, to_utc_column
from backupkit.assessment.context import EvaluationContext, Period, Revisions
from backupkit.policy import Policy
from backupkit.tables import SCHEDULES, HistoryView
from backupkit.tables.constants import LATEST_START, RECENT

__all__ = ["PreparedData", "drop_jobs", "find_without_schedule_api", "list_revision_spans"]

_MAX_LOOKBACK: Final = pd.Timedelta(days=1_000)  # before the start; earlier slots are not judged
_SLOT_TOLERANCE: Final = pd.Timedelta(minutes=10)  # distance between a job and its slot
_DAY: Final = pd.Timedelta(days=1)


class PreparedData:
    """The data of some appliances, each job once, in the forms that the figures need.

    Each form is computed when it is first asked for. Times of jobs are by our clock.
    """

    def __init__(self, data: HistoryView, context: EvaluationContext) -> None:
        self.data, self.context = data, context
        self.period = context.period
        self.resolved_policy = context.resolved_policy
        self.appliances = context.resolved_policy.index

    @cached_property
    def totals(self) -> pd.DataFrame:
        """Counts over all jobs and polls, also those that no figure needs."""
        data = self.data
        totals = analysis.totals_of(data.jobs, data.polls) if data.totals is None else data.totals
        return totals.reindex(self.appliances)

    @cached_property
    def poll_summary(self) -> pd.DataFrame:
        """The result of `backupkit.analysis.poll_summary`."""
        return analysis.poll_summary(self.data.polls, appliances=self.appliances)

    @cached_property
    def clocks(self) -> Clocks:
        """The clocks of the appliances."""
        start, end = self.period.start, self.period.end
        return analysis.Clocks.of(self.data.polls, self.appliances, start=start, end=end)

    @cached_property
    def known_jobs(self) -> pd.DataFrame:
        """The jobs by the appliances' own clocks, without implausible times."""
        return analysis.drop_implausible_times(self.data.jobs, self.clocks)

    @cached_property
    def jobs(self) -> pd.DataFrame:
        """The jobs, each with a type."""
        return analysis.infer_types(self._untyped_jobs, self._listed_slots)

    @cached_property
    def is_local(self) -> Flags:
        """True for jobs that saved to the appliance itself, and are no recovery points."""
        revisions = [*self.context.revisions, *self.context.later_revisions]
        return analysis.local_backups(self._untyped_jobs, revisions)

    @cached_property
    def counted(self) -> pd.DataFrame:
        """The jobs without those that saved to the appliance itself."""
        return drop_jobs(self.jobs, self.is_local)

    @cached_property
    def possible(self) -> pd.DataFrame:
        """The result of `backupkit.analysis.possible_recovery_points`."""
        return analysis.possible_recovery_points(self._untyped_counted)

    @cached_property
    def recovery_points(self) -> pd.DataFrame:
        """The recovery points by the rules at the period's end."""
        anchor = self.resolved_policy["anchor"]
        return analysis.recovery_points(self._untyped_counted, anchor=anchor)

    def find_recovery_points(self, resolved_policy: pd.DataFrame) -> pd.DataFrame:
        """Return the recovery points by some rules; those at the period's end are computed once."""
        if resolved_policy is self.resolved_policy:
            return self.recovery_points
        anchor = resolved_policy["anchor"]
        return analysis.recovery_points(self._untyped_counted, anchor=anchor)

    @cached_property
    def segments(self) -> pd.DataFrame:
        """The segments of the period, each by the rules of its time."""
        return _build_segments(self)

    @cached_property
    def coverage(self) -> pd.DataFrame:
        """The known time of each appliance by the rules at the period's end."""
        return self.cover(self.resolved_policy)

    def cover(self, resolved_policy: pd.DataFrame) -> pd.DataFrame:
        """Return what is known of each appliance by some rules."""
        return analysis.coverage(
            self._oldest_start, self.poll_summary, resolved_policy, start=self.period.start
        )

    @cached_property
    def reported_schedules(self) -> pd.DataFrame:
        """The schedules that the appliances reported."""
        return analysis.complete_schedules(self.data.schedules, self.data.polls)

    @cached_property
    def current_schedules(self) -> pd.DataFrame:
        """The schedules in force at the period's end."""
        return analysis.current_schedules(self._schedules, at=self.period.end)

    @cached_property
    def schedule_zones(self) -> pd.DataFrame:
        """The zone of each current schedule."""
        fallback = self.resolved_policy["timezone"]
        return analysis.schedule_zones(self.current_schedules, fallback=fallback)

    @cached_property
    def zones(self) -> pd.DataFrame:
        """The zone of each appliance, and its source."""
        return _find_appliance_zones(
            self.current_schedules,
            self.schedule_zones,
            self.resolved_policy["timezone"],
            self.poll_summary["own_timezone"],
        )

    @cached_property
    def typical_durations(self) -> pd.Series:
        """The typical duration of each appliance."""
        return analysis.typical_durations(
            self.jobs, end=self.period.end, appliances=self.appliances
        )

    @cached_property
    def expected_slots(self) -> pd.DataFrame:
        """The slots that are judged, also before the period, with their deadlines."""
        listed, since = self._listed_slots, self._first_judged_slot
        owners = to_codes(listed["appliance"], self.appliances)
        judged = listed["slot"].array >= since.array.take(owners)
        before_end = listed["slot"] < self.period.end
        expected: pd.DataFrame = listed[before_end & judged].reset_index(drop=True)
        return expected

    @cached_property
    def slot_parameters(self) -> pd.DataFrame:
        """The parameters of each expected slot, by the policy of its time."""
        revisions = [*self.context.revisions, *self.context.later_revisions]
        known_until = [self.cover(resolved)["known_until"] for _, resolved in revisions]
        return analysis.slot_parameters(
            self.expected_slots, revisions, known_until, self.context.exclusions
        )

    @cached_property
    def _untyped_jobs(self) -> pd.DataFrame:
        started = analysis.estimate_starts(self.known_jobs)
        return analysis.correct_clock_skew(started, self.clocks)

    @cached_property
    def _untyped_counted(self) -> pd.DataFrame:
        return drop_jobs(self._untyped_jobs, self.is_local)

    @cached_property
    def _oldest_start(self) -> pd.Series:
        """The start of the oldest job of each appliance."""
        oldest = self.totals["oldest_start"]
        codes = self.clocks.index.get_indexer(oldest.index)
        corrected = self.clocks.correct(codes, to_times(oldest))
        return to_utc_column(corrected).set_axis(oldest.index)

    @cached_property
    def _schedules(self) -> pd.DataFrame:
        """All schedules, also those of the policy, with their zones."""
        schedules = _add_policy_schedules(
            self.reported_schedules, self.poll_summary, self.context.schedule_policy
        )
        return _fill_zones(schedules, self.poll_summary["own_timezone"])

    @cached_property
    def _first_judged_slot(self) -> pd.Series:
        return _find_first_judged_slot(
            self._untyped_counted, self.coverage, self.context.revisions, self.period.start
        )

    @cached_property
    def _listed_slots(self) -> pd.DataFrame:
        """The expected slots, and older ones that the type of a job is inferred from."""
        first = _find_first_listed_slot(
            self._untyped_jobs, self.coverage, self._first_judged_slot, self.period.start
        )
        return analysis.expected_slots(
            self._schedules,
            fallback=self.resolved_policy["timezone"],
            since=first - _SLOT_TOLERANCE,
            end=self.period.end + _SLOT_TOLERANCE,
            clocks=self.clocks,
        )


def drop_jobs(jobs: pd.DataFrame, dropped: Flags) -> pd.DataFrame:
    """Return the other jobs on a new range index."""
    return jobs[~dropped].reset_index(drop=True) if dropped.any() else jobs


def list_revision_spans(
    revisions: Revisions, period: Period
) -> list[tuple[pd.DataFrame, pd.Timestamp, pd.Timestamp]]:
    """Return the rules, the start and the end of each part of the period."""
    starts = [period.start, *(max(date, period.start) for date, _ in revisions[1:] if date)]
    spans = zip(revisions, starts, [*starts[1:], period.end], strict=True)
    return [
        (resolved_policy, start, end) for (_, resolved_policy), start, end in spans if start < end
    ]


def _build_segments(prepared: PreparedData) -> pd.DataFrame:
    """Return the segments of the period, each by the rules of its time."""
    period = prepared.period
    spans = list_revision_spans(prepared.context.revisions, period)
    results = [
        analysis.segments(
            prepared.find_recovery_points(resolved_policy),
            prepared.cover(resolved_policy),
            resolved_policy,
            start=start,
            end=end,
            excluded=prepared.context.exclusions,
            possible=prepared.possible,
            period_end=period.end,
        )
        for resolved_policy, start, end in spans
    ]
    for segments, (resolved_policy, *_) in zip(results, spans, strict=True):
        codes = to_codes(segments["appliance"], resolved_policy.index)
        segments["target"] = resolved_policy["rpo_target"].to_numpy()[codes]
    if len(results) == 1:
        return results[0]
    combined = pd.concat(results, ignore_index=True)
    return combined.sort_values(["appliance", "start"], kind="stable", ignore_index=True)


def _add_policy_schedules(
    schedules: pd.DataFrame, poll_summary: pd.DataFrame, policy: Policy
) -> pd.DataFrame:
    """Add the policy's schedules for appliances whose API does not report one."""
    without = find_without_schedule_api(poll_summary).difference(pd.Index(schedules["appliance"]))
    if without.empty:
        return schedules
    added = policy.plans(without)
    added = added[added["appliance"].isin(without)]
    return schedules if added.empty else pd.concat([schedules, added], ignore_index=True)


def _fill_zones(schedules: pd.DataFrame, own: pd.Series) -> pd.DataFrame:
    """Fill the zone of schedules without one: the zone that the appliance itself reported."""
    reported = own.reindex(schedules["appliance"]).set_axis(schedules.index)
    return schedules.assign(timezone=schedules["timezone"].fillna(reported))


def _find_appliance_zones(
    current: pd.DataFrame, schedule_zones: pd.DataFrame, fallback: pd.Series, own: pd.Series
) -> pd.DataFrame:
    """Return the zone of each appliance: of its schedule, its own, of fleet.toml, else UTC."""
    schedule_zones = schedule_zones.assign(appliance=current["appliance"]).drop_duplicates(
        "appliance"
    )
    without = fallback.index.difference(pd.Index(schedule_zones["appliance"]))
    empty_rows = _fill_zones(SCHEDULES.frame({"appliance": without.to_list()}), own)
    assumed = analysis.schedule_zones(empty_rows, fallback=fallback)
    combined = pd.concat([schedule_zones, assumed.assign(appliance=empty_rows["appliance"])])
    return combined.set_index("appliance").reindex(fallback.index)


def _find_first_judged_slot(
    jobs: pd.DataFrame, coverage: pd.DataFrame, revisions: Revisions, start: pd.Timestamp
) -> pd.Series:
    """Return the time from which slots are judged.

    It is before the period's start: an incident that is open then began after the last success
    before it, and the burn rate counts back from the period's end.
    """
    _, ended_at = analysis.job_times(jobs)
    before = jobs["outcome"].eq("success").to_numpy() & (ended_at < to_instant(start))
    ended = to_utc_column(ended_at[before]).groupby(jobs["appliance"][before].to_numpy()).max()
    limit = pd.Series(start - _MAX_LOOKBACK, index=coverage.index)
    late = pd.concat(
        [resolved_policy["late"] for _, resolved_policy in revisions], axis="columns"
    ).max(axis="columns")
    wanted = pd.concat([ended.reindex(coverage.index).fillna(limit)], axis="columns")
    earliest = wanted.assign(recent=start - RECENT).min(axis="columns")
    earliest -= _DAY + late.where(late < LATEST_START, LATEST_START)
    return _limit_first_slot(earliest, coverage, limit)


def _find_first_listed_slot(
    jobs: pd.DataFrame, coverage: pd.DataFrame, since: pd.Series, start: pd.Timestamp
) -> pd.Series:
    """Return the time from which slots are listed, to infer the type of older jobs."""
    untyped = jobs[jobs["type"].isna()].groupby("appliance")["start_time"].min() - _DAY
    earliest = pd.concat([since, untyped.reindex(coverage.index)], axis="columns").min(
        axis="columns"
    )
    return _limit_first_slot(
        earliest, coverage, pd.Series(start - _MAX_LOOKBACK, index=coverage.index)
    )


def _limit_first_slot(earliest: pd.Series, coverage: pd.DataFrame, limit: pd.Series) -> pd.Series:
    """Return times that are not before the limit, nor before the appliance's ``since``."""
    since = pd.concat([coverage["since"], earliest, limit], axis="columns").max(axis="columns")
    return since.where(coverage["since"].notna())


def find_without_schedule_api(poll_summary: pd.DataFrame) -> pd.Index:
    """Return the appliances whose API has no schedules (6.5)."""
    return poll_summary.index[poll_summary["details"].eq(other=False).fillna(value=False)]
