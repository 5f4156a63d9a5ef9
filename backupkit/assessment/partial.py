"""Assessment of each appliance by itself (the map step)."""

from dataclasses import dataclass
from typing import Final

import pandas as pd

from backupkit import analysis
from backupkit.analysis import Clocks, Exclusions
from backupkit.analysis.arrays import Flags, to_codes, to_instant, to_times, to_utc_column
from backupkit.assessment.context import EvaluationContext, Period, Revisions
from backupkit.causes import Catalogue
from backupkit.policy import Policy
from backupkit.tables import ASSESSED_JOBS, JOBS, SCHEDULES, SLOTS, HistoryView, list_was_read
from backupkit.tables.constants import LATEST_START, RECENT

__all__ = ["PartialAssessment", "assess_appliances", "find_without_schedule_api"]

_MAX_LOOKBACK: Final = pd.Timedelta(days=1_000)  # before the start; earlier slots are not judged
_SLOT_TOLERANCE: Final = pd.Timedelta(minutes=10)  # distance between a job and its slot
_DAY: Final = pd.Timedelta(days=1)
_COUNT_COLUMNS: Final = ["polls", "polls_ok", "jobs"]
# no messages or extra columns
_ASSESSED_COLUMNS: Final = [name for name in JOBS.names if name != "messages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialAssessment:
    """Figures of some appliances; the frames are as in `Assessment`, sorted by appliance.

    `facts` has the rules and the figures of each appliance. `overlapping_jobs` are the jobs that
    overlap the period, corrected for clock skew, with the columns of `failure_signatures`.
    `recent_jobs` is the result of `backupkit.analysis.recent_jobs`.
    """

    facts: pd.DataFrame
    intervals: pd.DataFrame
    slots: pd.DataFrame
    incidents: pd.DataFrame
    baselines: pd.DataFrame
    anomalies: pd.DataFrame
    schedules: pd.DataFrame
    drift: pd.DataFrame
    jobs: pd.DataFrame
    overlapping_jobs: pd.DataFrame
    period_slots: pd.DataFrame
    recent_jobs: pd.DataFrame


def assess_appliances(data: HistoryView, context: EvaluationContext) -> PartialAssessment:
    """Assess the appliances of the context from their data, each job once."""
    period, revisions, resolved_policy, exclusions = (
        context.period,
        context.revisions,
        context.resolved_policy,
        context.exclusions,
    )
    start, end, now = period.start, period.end, period.now

    totals = analysis.totals_of(data.jobs, data.polls) if data.totals is None else data.totals
    totals = totals.reindex(resolved_policy.index)
    poll_summary = analysis.poll_summary(data.polls, appliances=resolved_policy.index)
    reported = analysis.complete_schedules(data.schedules, data.polls)
    schedules = _add_policy_schedules(reported, poll_summary, context.schedule_policy)
    schedules = _fill_zones(schedules, poll_summary["own_timezone"])
    clocks = analysis.Clocks.of(data.polls, resolved_policy.index, start=start, end=end)
    known_jobs = analysis.drop_implausible_times(data.jobs, clocks)
    jobs = analysis.correct_clock_skew(analysis.estimate_starts(known_jobs), clocks)
    oldest = _correct_oldest_starts(totals["oldest_start"], clocks)
    local = analysis.local_backups(jobs, [*revisions, *context.later_revisions])
    counted = _drop_jobs(jobs, local)
    possible = analysis.possible_recovery_points(counted)
    segments = _build_segments(
        counted, possible, oldest, poll_summary, revisions, exclusions, period
    )
    coverage = analysis.coverage(oldest, poll_summary, resolved_policy, start=start)
    recovery_points = analysis.recovery_points(counted, anchor=resolved_policy["anchor"])

    since = _find_first_judged_slot(counted, coverage, revisions, start)
    expected = analysis.expected_slots(
        schedules,
        fallback=resolved_policy["timezone"],
        since=_find_first_listed_slot(jobs, coverage, since, start) - _SLOT_TOLERANCE,
        end=end + _SLOT_TOLERANCE,
        clocks=clocks,
    )
    jobs = analysis.infer_types(jobs, expected)
    counted = _drop_jobs(jobs, local)
    owners = to_codes(expected["appliance"], resolved_policy.index)
    expected = expected[expected["slot"].array >= since.array.take(owners)]
    period_slots = expected[expected["slot"] < end].reset_index(drop=True)
    parameters = _find_slot_parameters(period_slots, oldest, poll_summary, context)
    judged = analysis.judge_slots(counted, period_slots, coverage, parameters, now=now)
    in_period = judged["slot"] >= start
    slots = SLOTS.conform(judged[in_period])

    scoped_jobs = _drop_excluded_appliances(counted, resolved_policy)
    scoped_slots = _drop_excluded_appliances(judged[judged["state"] != "excluded"], resolved_policy)
    incidents = analysis.incidents(
        _drop_excluded_failures(scoped_jobs, exclusions, resolved_policy.index),
        scoped_slots,
        start=start,
        end=end,
        known_until=coverage["known_until"],
    )

    current = analysis.current_schedules(schedules, at=end)
    plan_zones = analysis.schedule_zones(current, fallback=resolved_policy["timezone"])
    zones = _find_appliance_zones(
        current, plan_zones, resolved_policy["timezone"], poll_summary["own_timezone"]
    )
    baselines = analysis.baselines(
        jobs, current, end=end, appliances=resolved_policy.index, totals=totals
    )
    typical = baselines["typical_duration"]
    facts = pd.concat(
        [
            resolved_policy,
            totals[_COUNT_COLUMNS].fillna(0),
            analysis.polls_at_end(data.polls, poll_summary, end=end),
            _cut_known_until(coverage, period),
            analysis.states_at(
                recovery_points,
                coverage,
                resolved_policy,
                at=end,
                excluded=exclusions,
                possible=possible,
            ),
            _measure_exposure_at_end(counted, recovery_points, coverage, end),
            analysis.last_attempts(jobs, at=end, appliances=resolved_policy.index),
            analysis.time_in_states(segments, appliances=resolved_policy.index),
            analysis.worst_exposure(segments, appliances=resolved_policy.index),
            analysis.allowed_time(segments, appliances=resolved_policy.index),
            analysis.mean_exposure(segments, appliances=resolved_policy.index),
            analysis.attempt_counts(jobs, start=start, end=end, appliances=resolved_policy.index),
            analysis.typical_throughput(
                jobs, start=start, end=end, appliances=resolved_policy.index
            ),
            analysis.slot_counts(slots, appliances=resolved_policy.index),
            analysis.recent_slots(
                judged.assign(target=parameters["runs_target"].to_numpy()),
                start=start,
                end=end,
                appliances=resolved_policy.index,
            ),
            analysis.strikes(counted, start=start, end=end, appliances=resolved_policy.index),
            analysis.incident_figures(incidents, segments, appliances=resolved_policy.index),
            analysis.backup_days(counted, segments, revisions, zones["zone"]),
            analysis.check_runs(jobs, _list_revision_spans(revisions, period), zones["zone"]),
            analysis.feasibility(current, resolved_policy, typical, zones=plan_zones, at=end),
        ],
        axis="columns",
    )
    facts = facts.join(analysis.ratios(facts))
    facts["target_state"] = analysis.target_state(facts)
    facts["lookback_from"] = end - facts["lookback"]
    facts["zone"], facts["zone_source"] = zones["zone"], zones["source"]
    facts["read"] = facts.index.isin(_find_read_appliances(data.polls, start, end))
    signatures = analysis.failure_signatures(data.jobs, Catalogue(context.policy.causes))
    facts = _add_reasons(facts, jobs, local, signatures["text"], current, context)
    overlapping = analysis.overlapping_jobs(jobs, start=start, end=end)
    facts["local_runs"] = jobs.loc[local & overlapping, "appliance"].value_counts()
    assessed_jobs = analysis.describe_jobs(data.jobs, clocks, local=local).assign(
        type=jobs["type"],
        type_inferred=jobs["type_inferred"],
        throughput=analysis.throughput(jobs),
        local=local,
        in_period=overlapping | _find_undated(jobs, start, end),
        **signatures[["signature", "cause_name"]],
    )
    return PartialAssessment(
        facts=facts,
        intervals=analysis.state_intervals(segments),
        slots=slots,
        incidents=incidents,
        baselines=baselines,
        anomalies=analysis.anomalies(
            # of a period that is over, no job is running
            jobs if end == now else jobs[jobs["outcome"].ne("open").to_numpy()],
            start=start,
            end=end,
            now=now,
            appliances=resolved_policy.index,
            polled=poll_summary["last_ok"],
        ),
        schedules=SCHEDULES.conform(current),
        drift=analysis.schedule_drift(reported, start=start, end=end),
        jobs=ASSESSED_JOBS.conform(assessed_jobs),
        overlapping_jobs=jobs.loc[overlapping, _ASSESSED_COLUMNS].join(signatures[overlapping]),
        period_slots=period_slots[period_slots["slot"] >= start],
        recent_jobs=analysis.recent_jobs(known_jobs),
    )


def _add_reasons(
    facts: pd.DataFrame,
    jobs: pd.DataFrame,
    local: Flags,
    text: pd.Series,
    current: pd.DataFrame,
    context: EvaluationContext,
) -> pd.DataFrame:
    """Return the facts with the reason of each state; `text` is that of each failure."""
    start, end = context.period.start, context.period.end
    last_success = facts["last_success_end"]
    older = end - facts["threshold"]
    explained = facts.assign(
        excluded_because=facts["exclude"].fillna(
            _find_exclusion_reasons(context.exclusion_rows, end, facts.index)
        ),
        undecided=analysis.describe_undecided(
            _drop_jobs(jobs, local), since=older.where(older < start, start), end=end
        ),
    )
    explained["onboarding_until"] = _find_end_of_onboarding(explained)
    explained["reason"] = analysis.reasons(
        explained,
        _find_current_failures(jobs, text, last_success, end),
        current,
        end=end,
        schedule_unknown=find_without_schedule_api(facts).union(
            facts.index[facts["schedules_error"].notna()]
        ),
        newest_local=analysis.newest_local(jobs, local, last_success, end=end),
    )
    return explained


def _drop_jobs(jobs: pd.DataFrame, dropped: Flags) -> pd.DataFrame:
    """Return the other jobs on a new range index."""
    return jobs[~dropped].reset_index(drop=True) if dropped.any() else jobs


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


def _list_revision_spans(
    revisions: Revisions, period: Period
) -> list[tuple[pd.DataFrame, pd.Timestamp, pd.Timestamp]]:
    """Return the rules, the start and the end of each part of the period."""
    starts = [period.start, *(max(date, period.start) for date, _ in revisions[1:] if date)]
    spans = zip(revisions, starts, [*starts[1:], period.end], strict=True)
    return [
        (resolved_policy, start, end) for (_, resolved_policy), start, end in spans if start < end
    ]


def _build_segments(
    jobs: pd.DataFrame,
    possible: pd.DataFrame,
    oldest: pd.Series,
    poll_summary: pd.DataFrame,
    revisions: Revisions,
    exclusions: Exclusions,
    period: Period,
) -> pd.DataFrame:
    """Return the segments of the period, each by the rules of its time."""
    spans = _list_revision_spans(revisions, period)
    results = [
        analysis.segments(
            analysis.recovery_points(jobs, anchor=resolved_policy["anchor"]),
            analysis.coverage(oldest, poll_summary, resolved_policy, start=period.start),
            resolved_policy,
            start=start,
            end=end,
            excluded=exclusions,
            possible=possible,
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
    added = policy.plans(without)
    added = added[added["appliance"].isin(without)]
    return schedules if added.empty else pd.concat([schedules, added], ignore_index=True)


def _find_slot_parameters(
    slots: pd.DataFrame, oldest: pd.Series, poll_summary: pd.DataFrame, context: EvaluationContext
) -> pd.DataFrame:
    """Return the parameters of each slot, by the policy of its time."""
    revisions = [*context.revisions, *context.later_revisions]
    known_until = [
        analysis.coverage(oldest, poll_summary, resolved, start=context.period.start)["known_until"]
        for _, resolved in revisions
    ]
    return analysis.slot_parameters(slots, revisions, known_until, context.exclusions)


def _correct_oldest_starts(oldest: pd.Series, clocks: Clocks) -> pd.Series:
    """Return the start of the oldest job of each appliance by our clock."""
    codes = clocks.index.get_indexer(oldest.index)
    return to_utc_column(clocks.correct(codes, to_times(oldest))).set_axis(oldest.index)


def _fill_zones(schedules: pd.DataFrame, own: pd.Series) -> pd.DataFrame:
    """Fill the zone of schedules without one: the zone that the appliance itself reported."""
    reported = own.reindex(schedules["appliance"]).set_axis(schedules.index)
    return schedules.assign(timezone=schedules["timezone"].fillna(reported))


def _drop_excluded_failures(
    jobs: pd.DataFrame, exclusions: Exclusions, index: pd.Index
) -> pd.DataFrame:
    """Drop failures that ended in excluded time, because they begin no incident."""
    _, ended_at = analysis.job_times(jobs)
    codes = index.get_indexer(pd.Index(jobs["appliance"]))
    dropped = exclusions.contains(codes, ended_at) & jobs["outcome"].eq("failure").to_numpy()
    kept: pd.DataFrame = jobs[~dropped]
    return kept


def _find_exclusion_reasons(
    exclusion_rows: pd.DataFrame, end: pd.Timestamp, index: pd.Index
) -> pd.Series:
    """Return the reason of the dated exclusion in force at the period's end."""
    started = exclusion_rows["start"].isna() | (exclusion_rows["start"] <= end)
    active = exclusion_rows[started & ~(exclusion_rows["end"] <= end)]
    return active.drop_duplicates("appliance").set_index("appliance")["reason"].reindex(index)


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


def _drop_excluded_appliances(frame: pd.DataFrame, resolved_policy: pd.DataFrame) -> pd.DataFrame:
    """Drop the rows of appliances that a rule excludes."""
    excluded = resolved_policy.index[resolved_policy["exclude"].notna()]
    kept: pd.DataFrame = frame[~frame["appliance"].isin(excluded)]
    return kept


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


def find_without_schedule_api(poll_summary: pd.DataFrame) -> pd.Index:
    """Return the appliances whose API has no schedules (6.5)."""
    return poll_summary.index[poll_summary["details"].eq(other=False).fillna(value=False)]
