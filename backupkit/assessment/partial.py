"""Assessment of each appliance by itself (the map step)."""

from copy import copy
from functools import cached_property
from typing import Any, Final, Self

import pandas as pd

from backupkit import analysis
from backupkit.analysis import Exclusions
from backupkit.analysis.arrays import Flags, mark_among, to_instant
from backupkit.assessment.context import EvaluationContext, Period
from backupkit.assessment.prepared import (
    PreparedData,
    find_without_schedule_api,
    list_revision_spans,
)
from backupkit.causes import Catalogue
from backupkit.tables import ASSESSED_JOBS, JOBS, SCHEDULES, SLOTS, HistoryView, list_was_read

__all__ = ["PartialAssessment", "drop_excluded_appliances"]

_COUNT_COLUMNS: Final = ["polls", "polls_ok", "jobs"]
# no messages or extra columns
_ASSESSED_COLUMNS: Final = [name for name in JOBS.names if name != "messages"]
_RESULTS: Final = (
    *(
        "facts",
        "reasons",
        "intervals",
        "slots",
        "incidents",
        "baselines",
        "anomalies",
        "schedules",
        "drift",
    ),
    *("jobs", "overlapping_jobs", "explained_jobs", "period_slots", "recent_jobs"),
)


class PartialAssessment:
    """Figures of some appliances, each computed when it is first asked for.

    The frames are as in `Assessment`, sorted by appliance. A copy holds all results, and not the
    data.
    """

    def __init__(self, data: HistoryView, context: EvaluationContext) -> None:
        self._prepared, self._context = PreparedData(data, context), context

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _RESULTS}

    def computed(self) -> Self:
        """Return a copy that holds all results, and the data no longer."""
        return copy(self)

    @cached_property
    def reasons(self) -> pd.DataFrame:
        """The reason of the state of each appliance, in one column."""
        facts, prepared, context = self.facts, self._prepared, self._context
        start, end = context.period.start, context.period.end
        jobs, is_local = prepared.jobs, prepared.is_local
        last_success = facts["last_success_end"]
        older = end - facts["threshold"]
        undecided = analysis.describe_undecided(
            prepared.counted, since=older.where(older < start, start), end=end
        )
        reasons = analysis.reasons(
            facts.assign(undecided=undecided),
            _find_current_failures(jobs, self._all_signatures["text"], last_success, end),
            prepared.current_schedules,
            end=end,
            schedule_unknown=find_without_schedule_api(facts).union(
                facts.index[facts["schedules_error"].notna()]
            ),
            newest_local=analysis.newest_local(jobs, is_local, last_success, end=end),
        )
        return reasons.to_frame("reason")

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """As in `Assessment`."""
        return analysis.state_intervals(self._prepared.segments)

    @cached_property
    def slots(self) -> pd.DataFrame:
        """As in `Assessment`."""
        judged = self._judged_slots
        return SLOTS.conform(judged[judged["slot"] >= self._context.period.start])

    @cached_property
    def incidents(self) -> pd.DataFrame:
        """As in `Assessment`."""
        prepared, resolved_policy = self._prepared, self._context.resolved_policy
        judged = self._judged_slots
        failures = _drop_excluded_failures(
            drop_excluded_appliances(prepared.counted, resolved_policy),
            self._context.exclusions,
            resolved_policy.index,
        )
        return analysis.incidents(
            failures,
            drop_excluded_appliances(judged[judged["state"] != "excluded"], resolved_policy),
            start=prepared.period.start,
            end=prepared.period.end,
            known_until=prepared.coverage["known_until"],
        )

    @cached_property
    def baselines(self) -> pd.DataFrame:
        """As in `Assessment`."""
        prepared = self._prepared
        return analysis.baselines(
            prepared.jobs,
            prepared.current_schedules,
            end=prepared.period.end,
            appliances=prepared.appliances,
            totals=prepared.totals,
        )

    @cached_property
    def anomalies(self) -> pd.DataFrame:
        """As in `Assessment`."""
        prepared, period = self._prepared, self._context.period
        jobs = prepared.jobs
        return analysis.anomalies(
            # of a period that is over, no job is running
            jobs if period.end == period.now else jobs[jobs["outcome"].ne("open").to_numpy()],
            start=period.start,
            end=period.end,
            now=period.now,
            appliances=prepared.appliances,
            polled=prepared.poll_summary["last_ok"],
        )

    @cached_property
    def schedules(self) -> pd.DataFrame:
        """As in `Assessment`."""
        return SCHEDULES.conform(self._prepared.current_schedules)

    @cached_property
    def drift(self) -> pd.DataFrame:
        """The result of `backupkit.analysis.schedule_drift`."""
        period = self._context.period
        reported = self._prepared.reported_schedules
        return analysis.schedule_drift(reported, start=period.start, end=period.end)

    @cached_property
    def jobs(self) -> pd.DataFrame:
        """As in `Assessment`."""
        prepared, period = self._prepared, self._context.period
        jobs, is_local = prepared.jobs, prepared.is_local
        undated = _find_undated(jobs, period.start, period.end)
        described = analysis.describe_jobs(prepared.data.jobs, prepared.clocks, local=is_local)
        return ASSESSED_JOBS.conform(
            described.assign(
                type=jobs["type"],
                type_inferred=jobs["type_inferred"],
                throughput=analysis.throughput(jobs),
                local=is_local,
                in_period=self._is_overlapping | undated,
                **self._all_signatures[["signature", "cause_name"]],
            )
        )

    @cached_property
    def overlapping_jobs(self) -> pd.DataFrame:
        """The jobs that overlap the period, corrected for clock skew."""
        return self._prepared.jobs.loc[self._is_overlapping, _ASSESSED_COLUMNS]

    @cached_property
    def explained_jobs(self) -> pd.DataFrame:
        """These jobs with the columns of `backupkit.analysis.failure_signatures`."""
        return self.overlapping_jobs.join(self._all_signatures[self._is_overlapping])

    @cached_property
    def period_slots(self) -> pd.DataFrame:
        """The expected slots of the period, with their deadlines."""
        expected = self._prepared.expected_slots
        return expected[expected["slot"] >= self._context.period.start]

    @cached_property
    def recent_jobs(self) -> pd.DataFrame:
        """The result of `backupkit.analysis.recent_jobs`."""
        return analysis.recent_jobs(self._prepared.known_jobs)

    @cached_property
    def _all_signatures(self) -> pd.DataFrame:
        catalogue = Catalogue(self._context.policy.causes)
        return analysis.failure_signatures(self._prepared.data.jobs, catalogue)

    @cached_property
    def _is_overlapping(self) -> Flags:
        period = self._context.period
        return analysis.overlapping_jobs(self._prepared.jobs, start=period.start, end=period.end)

    @cached_property
    def _judged_slots(self) -> pd.DataFrame:
        """The slots of the period, and those before it that its figures need."""
        prepared = self._prepared
        return analysis.judge_slots(
            prepared.counted,
            prepared.expected_slots,
            prepared.coverage,
            prepared.slot_parameters,
            now=self._context.period.now,
        )

    @cached_property
    def facts(self) -> pd.DataFrame:
        """The rules and the figures of each appliance."""
        prepared, period, names = self._prepared, self._context.period, self._prepared.appliances
        start, end = period.start, period.end
        spans = list_revision_spans(self._context.revisions, period)
        jobs, counted, segments = prepared.jobs, prepared.counted, prepared.segments
        zones = prepared.zones
        facts = pd.concat(
            [
                prepared.resolved_policy,
                prepared.totals[_COUNT_COLUMNS].fillna(0),
                analysis.polls_at_end(prepared.data.polls, prepared.poll_summary, end=end),
                _cut_known_until(prepared.coverage, period),
                analysis.states_at(
                    prepared.recovery_points,
                    prepared.coverage,
                    prepared.resolved_policy,
                    at=end,
                    excluded=self._context.exclusions,
                    possible=prepared.possible,
                ),
                _measure_exposure_at_end(counted, prepared.recovery_points, prepared.coverage, end),
                analysis.last_attempts(jobs, at=end, appliances=names),
                analysis.time_in_states(segments, appliances=names),
                analysis.worst_exposure(segments, appliances=names),
                analysis.allowed_time(segments, appliances=names),
                analysis.mean_exposure(segments, appliances=names),
                analysis.attempt_counts(jobs, start=start, end=end, appliances=names),
                analysis.typical_throughput(jobs, start=start, end=end, appliances=names),
                analysis.slot_counts(self.slots, appliances=names),
                analysis.recent_slots(
                    self._judged_slots.assign(
                        target=prepared.slot_parameters["runs_target"].to_numpy()
                    ),
                    start=start,
                    end=end,
                    appliances=names,
                ),
                analysis.strikes(counted, start=start, end=end, appliances=names),
                analysis.incident_figures(self.incidents, segments, appliances=names),
                analysis.backup_days(counted, segments, self._context.revisions, zones["zone"]),
                analysis.check_runs(jobs, spans, zones["zone"]),
                analysis.feasibility(
                    prepared.current_schedules,
                    prepared.resolved_policy,
                    prepared.typical_durations,
                    zones=prepared.schedule_zones,
                    at=end,
                ),
            ],
            axis="columns",
        )
        facts = facts.join(analysis.ratios(facts))
        facts["excluded_because"] = facts["exclude"].fillna(
            _find_exclusion_reasons(self._context.exclusion_rows, end, facts.index)
        )
        read = _find_read_appliances(prepared.data.polls, start, end)
        local_runs = jobs.loc[prepared.is_local & self._is_overlapping, "appliance"]
        return facts.assign(
            target_state=analysis.target_state(facts),
            breach_since=analysis.breach_since(
                facts, self.intervals, start=start, end=end, excluded=self._context.exclusions
            ),
            onboarding_until=_find_end_of_onboarding(facts),
            lookback_from=end - facts["lookback"],
            zone=zones["zone"],
            zone_source=zones["source"],
            read=mark_among(facts.index.to_series(), pd.Index(read.unique())),
            local_runs=local_runs.value_counts(),
        )


def _cut_known_until(coverage: pd.DataFrame, period: Period) -> pd.DataFrame:
    """Cut known_until to the period's end, if the period is over."""
    if period.end == period.now:
        return coverage
    known_until = coverage["known_until"]
    return coverage.assign(known_until=known_until.mask(known_until > period.end, period.end))


def _find_end_of_onboarding(facts: pd.DataFrame) -> pd.Series:
    """Return until when the appliances without a success are excluded."""
    onboarding = facts["state"].eq("excluded") & facts["excluded_because"].isna()
    return (facts["known_since"] + facts["threshold"]).where(onboarding)


def _find_undated(jobs: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.Series:
    """Return which jobs have no known start, and may be of the period: none is left out."""
    _, ended_at = analysis.job_times(jobs)
    seen = ~(jobs["first_seen_at"] > end) & ~(jobs["last_seen_at"] < start)
    return jobs["start_time"].isna() & seen & ~(ended_at < to_instant(start))


def _find_read_appliances(polls: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.Series:
    """Return the appliances with a good poll in the period."""
    good = list_was_read(polls).fillna(value=False).astype("bool")
    return polls.loc[good & polls["polled_at"].between(start, end), "appliance"]


def _drop_excluded_failures(
    jobs: pd.DataFrame, exclusions: Exclusions, index: pd.Index
) -> pd.DataFrame:
    """Drop failures that ended in excluded time, because they begin no incident."""
    _, ended_at = analysis.job_times(jobs)
    codes = index.get_indexer(pd.Index(jobs["appliance"]))
    dropped = exclusions.contains(codes, ended_at) & jobs["outcome"].eq("failure").to_numpy()
    return jobs[~dropped] if dropped.any() else jobs


def _find_exclusion_reasons(
    exclusion_rows: pd.DataFrame, end: pd.Timestamp, index: pd.Index
) -> pd.Series:
    """Return the reason of the dated exclusion in force at the period's end."""
    started = exclusion_rows["start"].isna() | (exclusion_rows["start"] <= end)
    active = exclusion_rows[started & ~(exclusion_rows["end"] <= end)]
    return active.drop_duplicates("appliance").set_index("appliance")["reason"].reindex(index)


def drop_excluded_appliances(frame: pd.DataFrame, resolved_policy: pd.DataFrame) -> pd.DataFrame:
    """Drop the rows of appliances that a rule excludes."""
    excluded = resolved_policy.index[resolved_policy["exclude"].notna()]
    return frame if excluded.empty else frame[~mark_among(frame["appliance"], excluded)]


def _measure_exposure_at_end(
    jobs: pd.DataFrame, recovery_points: pd.DataFrame, coverage: pd.DataFrame, end: pd.Timestamp
) -> pd.DataFrame:
    """Return the exposure of each appliance at the end, and its newest success."""
    _, ended_at = analysis.job_times(jobs)
    finished = pd.Series(ended_at, index=jobs.index).dt.tz_localize("UTC")
    successful = ((jobs["outcome"] == "success") & (finished <= end)).to_numpy()
    ended = jobs.loc[successful, ["appliance", "start_time"]].assign(ended_at=finished[successful])
    newest = ended.groupby("appliance").max().reindex(coverage.index)
    exposure = analysis.exposure_at(recovery_points, at=end, appliances=coverage.index)
    lower_bound = (end - coverage["known_since"]).where(newest["ended_at"].isna())
    return pd.DataFrame(
        {
            "exposure": exposure,
            "exposure_at_least": lower_bound.where(coverage["known_since"] <= end),
            "last_success": newest["start_time"],
            "last_success_end": newest["ended_at"],
        }
    )


def _find_current_failures(
    jobs: pd.DataFrame, text: pd.Series, last_success: pd.Series, end: pd.Timestamp
) -> pd.DataFrame:
    """Return the newest failure's text and the first failure's end of each failing appliance."""
    _, ended_at = analysis.job_times(jobs)
    failed = jobs["outcome"].eq("failure").to_numpy()
    failures = jobs.loc[failed, ["appliance"]]
    failures = failures.assign(
        text=text[failed],
        ended_at=pd.Series(ended_at[failed], index=failures.index).dt.tz_localize("UTC"),
        success=last_success.reindex(failures["appliance"]).set_axis(failures.index),
    )
    after = failures["success"].isna() | (failures["ended_at"] > failures["success"])
    rows = failures[after & (failures["ended_at"] <= end)].sort_values("ended_at", kind="stable")
    newest = rows.drop_duplicates("appliance", keep="last").set_index("appliance")["text"]
    return pd.DataFrame({"text": newest, "since": rows.groupby("appliance")["ended_at"].min()})
