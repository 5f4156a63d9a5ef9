"""Assessment of each appliance by itself (the map step)."""

from dataclasses import dataclass
from typing import Final

import pandas as pd

from backupkit import analysis
from backupkit.analysis import Exclusions
from backupkit.analysis.arrays import instant, to_codes, utc
from backupkit.assessment.setting import Setting, Times, Turns
from backupkit.assessment.standing import exposures, failing, mute
from backupkit.policy import Policy
from backupkit.tables import ASSESSED_JOBS, JOBS, SCHEDULES, SLOTS, Known
from backupkit.tables.evidence import LATEST_START, RECENT

__all__ = ["Part", "judge_part"]

_LOOK_BACK: Final = pd.Timedelta(days=1_000)  # before the start; earlier slots are not judged
_AROUND: Final = pd.Timedelta(minutes=10)  # distance between a job and its slot
_DAY: Final = pd.Timedelta(days=1)
_COUNTS: Final = ["polls", "polls_ok", "jobs"]
_READ: Final = [name for name in JOBS.names if name != "messages"]  # no messages or extra columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Partial assessment: the figures of some appliances.

    Attributes
    ----------
    facts : DataFrame
        By appliance: its rules and its figures.
    intervals, slots, incidents, baselines, anomalies, schedules : DataFrame
        As in `Assessment`, sorted by appliance.
    jobs : DataFrame
        Of `backupkit.tables.ASSESSED_JOBS`.
    touching : DataFrame
        The jobs that overlap the period, corrected for clock skew, with the columns of
        `backupkit.analysis.failure_signatures`.
    due : DataFrame
        The slots of the period.
    recent_jobs : DataFrame
        Result of `backupkit.analysis.recent_jobs`.
    """

    facts: pd.DataFrame
    intervals: pd.DataFrame
    slots: pd.DataFrame
    incidents: pd.DataFrame
    baselines: pd.DataFrame
    anomalies: pd.DataFrame
    schedules: pd.DataFrame
    jobs: pd.DataFrame
    touching: pd.DataFrame
    due: pd.DataFrame
    recent_jobs: pd.DataFrame


def judge_part(data: Known, setting: Setting) -> Part:
    """Assess some appliances.

    Parameters
    ----------
    data : Known
        Their data, each job once: complete, or the result of
        `backupkit.analysis.restrict_to_period`.
    setting : Setting
        The setting of these appliances.

    Returns
    -------
    Part
        Their partial assessment.
    """
    times, turns, rules, excluded = setting.times, setting.turns, setting.rules, setting.excluded
    start, end, now = times.start, times.end, times.now

    totals = analysis.totals_of(data.jobs, data.polls) if data.totals is None else data.totals
    totals = totals.reindex(rules.index)
    visited = analysis.poll_summary(data.polls, appliances=rules.index)
    schedules = _with_plans(data.schedules, visited, setting.policy_of_plans)
    corrections = analysis.skew_corrections(visited["clock_skew"])
    jobs = analysis.correct_clock_skew(data.jobs, corrections)
    oldest = totals["oldest_start"] - corrections
    pieces = _pieces(jobs, oldest, visited, turns, excluded, times)
    known = analysis.coverage(oldest, visited, rules, start=start)
    points = analysis.recovery_points(jobs, anchor=rules["anchor"])

    since = _expect_since(jobs, known, turns, start)
    expected = analysis.expected_slots(
        schedules,
        fallback=rules["timezone"],
        since=_infer_since(jobs, known, since, start) - _AROUND,
        end=end + _AROUND,
        corrections=corrections,
    )
    jobs = analysis.infer_types(jobs, expected)
    owners = to_codes(expected["appliance"], rules.index)
    expected = expected[expected["slot"].array >= since.array.take(owners)]
    due = expected[expected["slot"] < end].reset_index(drop=True)
    numbers = analysis.slot_parameters(due, turns, excluded)
    judged = analysis.judge_slots(jobs, due, known, numbers, now=now)
    in_period = judged["slot"] >= start
    slots = SLOTS.conform(judged[in_period])

    scoped_jobs = _scoped(jobs, rules)
    scoped_slots = _scoped(judged[judged["state"] != "excluded"], rules)
    incidents = analysis.incidents(
        _outside(scoped_jobs, excluded, rules.index),
        scoped_slots,
        start=start,
        end=end,
        known_until=known["known_until"],
    )

    current = analysis.current_schedules(schedules, at=end)
    plan_zones = analysis.schedule_zones(current, fallback=rules["timezone"])
    zones = _zones(current, plan_zones, rules)
    baselines = analysis.baselines(jobs, current, end=end, appliances=rules.index, totals=totals)
    typical = baselines["typical_duration"]
    facts = pd.concat(
        [
            rules,
            totals[_COUNTS].fillna(0),
            visited,
            known,
            analysis.states_at(points, known, rules, at=end, excluded=excluded),
            exposures(jobs, points, known, end),
            analysis.last_attempts(jobs, at=end, appliances=rules.index),
            analysis.time_in_states(pieces, appliances=rules.index),
            analysis.worst_exposure(pieces, appliances=rules.index),
            analysis.attempt_counts(jobs, start=start, end=end, appliances=rules.index),
            analysis.slot_counts(slots, appliances=rules.index),
            analysis.recent_slots(
                judged.assign(target=numbers["target"].to_numpy()),
                start=start,
                end=end,
                appliances=rules.index,
            ),
            analysis.strikes(jobs, start=start, end=end, appliances=rules.index),
            analysis.incident_figures(incidents, pieces, appliances=rules.index),
            analysis.backup_days(jobs, pieces, turns, zones["zone"]),
            _runs(jobs, turns, zones["zone"], times),
            analysis.feasibility(current, rules, typical, zones=plan_zones, at=end),
        ],
        axis="columns",
    )
    facts = facts.join(analysis.ratios(facts))
    facts["lookback_from"] = end - facts["lookback"]
    facts["zone"], facts["zone_source"] = zones["zone"], zones["source"]
    facts["read"] = facts.index.isin(_read(data.polls, start, end))
    signatures = analysis.failure_signatures(data.jobs)
    failed = failing(jobs, signatures["text"], facts["last_success_end"], end)
    reasons = _reasons_at(setting.listed, end, rules.index)
    facts["excluded_because"] = facts["exclude"].fillna(reasons)
    facts["reason"] = analysis.reasons(facts, failed, current, end=end)
    touching = analysis.overlapping_jobs(jobs, start=start, end=end)
    assessed = data.jobs.assign(
        type=jobs["type"], type_inferred=jobs["type_inferred"], signature=signatures["signature"]
    )
    return Part(
        facts=facts,
        intervals=analysis.state_intervals(pieces),
        slots=slots,
        incidents=incidents,
        baselines=baselines,
        anomalies=analysis.anomalies(
            jobs,
            start=start,
            end=end,
            now=now,
            appliances=rules.index,
            polled=visited["last_ok"],
        ),
        schedules=SCHEDULES.conform(current),
        jobs=ASSESSED_JOBS.conform(assessed),
        touching=jobs.loc[touching, _READ].join(signatures[touching]),
        due=due[due["slot"] >= start],
        recent_jobs=analysis.recent_jobs(data.jobs),
    )


def _read(polls: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.Series:
    """Return the appliances with a good poll in the period."""
    good = polls["ok"].fillna(value=False).astype("bool")
    return polls.loc[good & polls["polled_at"].between(start, end), "appliance"]


def _spans(turns: Turns, times: Times) -> list[tuple[pd.DataFrame, pd.Timestamp, pd.Timestamp]]:
    """Return the rules, the start and the end of each part of the period."""
    begins = [times.start, *(max(moment, times.start) for moment, _ in turns[1:] if moment)]
    parts = zip(turns, begins, [*begins[1:], times.end], strict=True)
    return [(rules, begin, until) for (_, rules), begin, until in parts if begin < until]


def _runs(jobs: pd.DataFrame, turns: Turns, zones: pd.Series, times: Times) -> pd.DataFrame:
    """Check jobs against the backup window and duration limit in force when they ended."""
    _, done = analysis.job_times(jobs)
    parts = []
    for rules, begin, until in _spans(turns, times):
        # running jobs count once, at the period's end
        own = jobs if until == times.end else jobs[done < instant(until)]
        held = (
            analysis.window_runs(own, rules, zones, start=begin, end=until),
            analysis.duration_runs(own, rules, start=begin, end=until),
        )
        parts.append(pd.concat(held, axis="columns"))
    total = parts[0]
    for part in parts[1:]:
        # a part without a window, or without a limit, adds nothing
        total = (total + part).fillna(total).fillna(part)
    return total


def _pieces(
    jobs: pd.DataFrame,
    oldest: pd.Series,
    visited: pd.DataFrame,
    turns: Turns,
    excluded: Exclusions,
    times: Times,
) -> pd.DataFrame:
    """Return the segments of the period, each by the rules of its time."""
    pieces = [
        analysis.segments(
            analysis.recovery_points(jobs, anchor=rules["anchor"]),
            analysis.coverage(oldest, visited, rules, start=times.start),
            rules,
            start=begin,
            end=until,
            excluded=excluded,
            period_end=times.end,
        )
        for rules, begin, until in _spans(turns, times)
    ]
    if len(pieces) == 1:
        return pieces[0]
    whole = pd.concat(pieces, ignore_index=True)
    return whole.sort_values(["appliance", "start"], kind="stable", ignore_index=True)


def _with_plans(schedules: pd.DataFrame, visited: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    """Add the policy's schedules for appliances whose API does not report one."""
    without = mute(visited).difference(pd.Index(schedules["appliance"]))
    plans = policy.plans(without)
    plans = plans[plans["appliance"].isin(without)]
    return schedules if plans.empty else pd.concat([schedules, plans], ignore_index=True)


def _outside(jobs: pd.DataFrame, excluded: Exclusions, index: pd.Index) -> pd.DataFrame:
    """Drop failures that ended in excluded time, because they begin no incident."""
    _, done = analysis.job_times(jobs)
    codes = index.get_indexer(pd.Index(jobs["appliance"]))
    away = excluded.contains(codes, done) & jobs["outcome"].eq("failure").to_numpy()
    kept: pd.DataFrame = jobs[~away]
    return kept


def _reasons_at(listed: pd.DataFrame, end: pd.Timestamp, index: pd.Index) -> pd.Series:
    """Return the reason of the dated exclusion in force at the period's end."""
    begun = listed["start"].isna() | (listed["start"] <= end)
    holds = listed[begun & ~(listed["end"] <= end)]
    return holds.drop_duplicates("appliance").set_index("appliance")["reason"].reindex(index)


def _zones(current: pd.DataFrame, told: pd.DataFrame, rules: pd.DataFrame) -> pd.DataFrame:
    """Return the zone of each appliance: of its schedule, else of fleet.toml, else UTC."""
    told = told.assign(appliance=current["appliance"]).drop_duplicates("appliance")
    others = rules.index.difference(pd.Index(told["appliance"]))
    bare = SCHEDULES.frame({"appliance": others.to_list()})
    assumed = analysis.schedule_zones(bare, fallback=rules["timezone"])
    whole = pd.concat([told, assumed.assign(appliance=bare["appliance"])])
    return whole.set_index("appliance").reindex(rules.index)


def _expect_since(
    jobs: pd.DataFrame, known: pd.DataFrame, turns: Turns, start: pd.Timestamp
) -> pd.Series:
    """Return the time from which slots are judged.

    It is before the period's start: an incident that is open then began after the last success
    before it, and the burn rate counts back from the period's end.
    """
    _, done = analysis.job_times(jobs)
    before = jobs["outcome"].eq("success").to_numpy() & (done < instant(start))
    ended = utc(done[before]).groupby(jobs["appliance"][before].to_numpy()).max()
    limit = pd.Series(start - _LOOK_BACK, index=known.index)
    late = pd.concat([rules["late"] for _, rules in turns], axis="columns").max(axis="columns")
    wanted = pd.concat([ended.reindex(known.index).fillna(limit)], axis="columns")
    earliest = wanted.assign(recent=start - RECENT).min(axis="columns")
    earliest -= _DAY + late.where(late < LATEST_START, LATEST_START)
    return _since(earliest, known, limit)


def _infer_since(
    jobs: pd.DataFrame, known: pd.DataFrame, since: pd.Series, start: pd.Timestamp
) -> pd.Series:
    """Return the time from which slots are listed, to infer the type of older jobs."""
    untyped = jobs[jobs["type"].isna()].groupby("appliance")["start_time"].min() - _DAY
    earliest = pd.concat([since, untyped.reindex(known.index)], axis="columns").min(axis="columns")
    return _since(earliest, known, pd.Series(start - _LOOK_BACK, index=known.index))


def _since(earliest: pd.Series, known: pd.DataFrame, limit: pd.Series) -> pd.Series:
    """Return times that are not before the limit, nor before the appliance's ``since``."""
    since = pd.concat([known["since"], earliest, limit], axis="columns").max(axis="columns")
    return since.where(known["since"].notna())


def _scoped(frame: pd.DataFrame, rules: pd.DataFrame) -> pd.DataFrame:
    """Drop the rows of appliances that a rule excludes."""
    excluded = rules.index[rules["exclude"].notna()]
    kept: pd.DataFrame = frame[~frame["appliance"].isin(excluded)]
    return kept
