"""Slots: the jobs that belong to each, and its state."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import (
    NAT,
    Codes,
    Times,
    find_asof_index,
    find_group_first,
    find_sort_order,
    from_codes,
    to_codes,
    to_instant,
    to_spans,
    to_times,
    to_utc_column,
)
from backupkit.analysis.coverage import NO_EXCLUSIONS, Exclusions
from backupkit.analysis.jobs import job_times
from backupkit.analysis.undecided import attempt_starts, find_unplaced_until, is_undecided
from backupkit.tables import MISSED_SLOTS, SLOT_STATES, TERMINAL, UNCOUNTED_SLOTS
from backupkit.tables.constants import EARLIEST_START, RECENT

__all__ = ["infer_types", "judge_slots", "recent_slots", "slot_counts", "slot_parameters"]

_ATTEMPT_OUTCOMES: Final = (*TERMINAL, "open", "other")
_SUCCESS, _, _OPEN, _UNDECIDED = range(len(_ATTEMPT_OUTCOMES))
_TYPE_TOLERANCE: Final = np.timedelta64(10, "m")
_DAY: Final = pd.Timedelta(days=1)


def infer_types(jobs: pd.DataFrame, expected: pd.DataFrame) -> pd.DataFrame:
    """Infer the type of the jobs without one.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`.
    expected : DataFrame
        Result of `expected_slots`.

    Returns
    -------
    DataFrame
        A copy with ``type`` filled, SCHEDULED where the job started within 10 minutes of a slot,
        else MANUAL, and ``type_inferred``. A job without a start stays untyped.
    """
    start = to_times(jobs["start_time"])
    unknown = jobs["type"].isna().to_numpy() & ~np.isnat(start)
    names = pd.Index(expected["appliance"].unique())
    slot = to_times(expected["slot"])
    untyped = np.flatnonzero(unknown)
    nearest = find_asof_index(
        to_codes(expected["appliance"], names),
        slot,
        to_codes(jobs["appliance"].iloc[untyped], names),
        start[untyped] + _TYPE_TOLERANCE,
    )
    scheduled = np.zeros(len(untyped), dtype=bool)
    matched = nearest >= 0
    scheduled[matched] = slot[nearest[matched]] >= start[untyped[matched]] - _TYPE_TOLERANCE
    filled = jobs["type"].copy()
    if len(untyped):
        filled.iloc[untyped] = np.where(scheduled, "SCHEDULED", "MANUAL")
    return jobs.assign(
        type=filled,
        type_inferred=pd.Series(unknown, index=jobs.index, dtype="boolean"),
    )


def judge_slots(
    jobs: pd.DataFrame,
    expected: pd.DataFrame,
    coverage: pd.DataFrame,
    parameters: pd.DataFrame,
    *,
    now: pd.Timestamp,
) -> pd.DataFrame:
    """Return the state of each slot.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once, corrected for clock skew, with its type and
        its start as `estimate_starts` has it.
    expected : DataFrame
        Result of `expected_slots`.
    coverage : DataFrame
        Result of `backupkit.analysis.coverage`.
    parameters : DataFrame
        Result of `slot_parameters` for `expected`.
    now : Timestamp
        The time of the assessment.

    Returns
    -------
    DataFrame
        The columns of `backupkit.tables.SLOTS`, and overdue [UTC]: when the slot was overdue,
        missing if a job started in time or if that is not known yet.

    Notes
    -----
    Let k be the newest good poll. The attempts of a slot are the jobs (any but void) that started
    from `early` before it to `early` before the next one, each by the policy at its own slot.
    `early` is cut to half the gap between two slots, and to half a week. The deadline is the end of
    that span, or the completion target if that is earlier.

    * met: the first SCHEDULED attempt started no more than `late` after the slot and succeeded by
      the deadline. rescued: another attempt did. late: an attempt succeeded after the deadline.
    * unknown: an attempt may or may not have succeeded: one that could not be read, or is in a
      state not known. Once k reaches the deadline, also if such a job without any start may be one.
    * If k reaches the deadline: missed_overrun if an attempt is still open, missed_failed if there
      were attempts, missed_norun if there was none.
    * If k is before the deadline: missed_norun if `late` has passed at k and nothing has started;
      else pending if known_until, by the policy at the slot, reaches now, else unknown.
    * excluded in any case if a rule excludes the appliance at the slot's instant.

    References
    ----------
    .. [1] docs/sla.md, section 3, "Slot states", and section 5.
    """
    codes = to_codes(expected["appliance"], coverage.index)
    slot, dst_tolerance = to_times(expected["slot"]), to_spans(expected["dst_tolerance"])
    lower, upper = _find_start_bounds(expected, parameters)
    overdue = slot + to_spans(parameters["late"]) + dst_tolerance
    deadline = np.fmin(upper, slot + to_spans(parameters["completion"]))

    _, end = job_times(jobs)
    start = attempt_starts(jobs)
    outcome = to_codes(jobs["outcome"], pd.Index(_ATTEMPT_OUTCOMES))
    outcome = np.where(is_undecided(jobs), _UNDECIDED, outcome)
    attempt = np.flatnonzero((outcome >= 0) & ~np.isnat(start))
    owner = find_asof_index(
        codes, lower, to_codes(jobs["appliance"], coverage.index)[attempt], start[attempt]
    )
    belongs = start[attempt] < np.append(upper, NAT)[owner]  # position -1, no slot, reads NaT
    attempt, owner = attempt[belongs], owner[belongs]
    size = len(slot)
    attempts = np.bincount(owner, minlength=size)
    still_open, undecided = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    still_open[owner[outcome[attempt] == _OPEN]] = True
    undecided[owner[outcome[attempt] == _UNDECIDED]] = True
    may_have_run = lower <= find_unplaced_until(jobs, coverage.index)[codes]

    good = (outcome[attempt] == _SUCCESS) & ~np.isnat(end[attempt])
    scheduled = jobs["type"].eq("SCHEDULED").to_numpy()[attempt]
    earliest = _find_first_job(owner, attempt, start[attempt], size)
    success = _find_first_job(owner[good], attempt[good], end[attempt[good]], size)
    planned = _find_first_job(owner[scheduled], attempt[scheduled], start[attempt[scheduled]], size)
    ends = np.append(end, NAT)  # position -1, no job, reads NaT
    starts = np.append(start, NAT)
    is_success = np.append(outcome == _SUCCESS, np.False_)

    rescued = ends[success] <= deadline
    met = rescued & is_success[planned] & (ends[planned] <= deadline) & (starts[planned] <= overdue)
    late = ~rescued & (success >= 0)
    newest_good_poll = to_times(coverage["newest_good_poll"])[codes]
    reached = np.fmin(newest_good_poll, to_instant(now))
    knows_now = to_times(parameters["known_until"]) >= to_instant(now)
    passed = ~np.isnat(newest_good_poll) & (reached >= deadline)
    due = ~np.isnat(newest_good_poll) & (reached >= overdue)
    conditions = (  # the first that holds counts
        ("excluded", parameters["excluded"].to_numpy(dtype=bool)),
        ("met", met),
        ("rescued", rescued),
        ("late", late),
        ("unknown", undecided | (passed & may_have_run)),
        ("missed_overrun", passed & still_open),
        ("missed_failed", passed & (attempts > 0)),
        ("missed_norun", (passed | due) & (attempts == 0) & ~may_have_run),
        ("pending", knows_now),
    )
    state = np.select(
        [condition for _, condition in conditions],
        [SLOT_STATES.index(name) for name, _ in conditions],
        default=SLOT_STATES.index("unknown"),
    )
    did_not_run = due & ~(starts[earliest] <= overdue) & ~may_have_run
    deciding_job = np.where(
        met, planned, np.where(success >= 0, success, _find_last_job(owner, attempt, start, size))
    )
    return pd.DataFrame(
        {
            "appliance": expected["appliance"],
            "schedule": expected["schedule"],
            "slot": expected["slot"],
            "deadline": to_utc_column(deadline),
            "state": from_codes(state, SLOT_STATES),
            "job_id": jobs["job_id"].array.take(deciding_job, allow_fill=True),
            "attempts": pd.Series(attempts, dtype="Int64"),
            "first_outcome": from_codes(np.append(outcome, -1)[earliest], _ATTEMPT_OUTCOMES),
            "overdue": to_utc_column(np.where(did_not_run, overdue, NAT)),
        }
    )


def slot_parameters(
    expected: pd.DataFrame,
    revisions: Sequence[tuple[pd.Timestamp | None, pd.DataFrame]],
    known_until: Sequence[pd.Series],
    excluded: Exclusions = NO_EXCLUSIONS,
) -> pd.DataFrame:
    """Return the parameters of the policy in force at each slot.

    Parameters
    ----------
    expected : DataFrame
        Result of `expected_slots`.
    revisions : sequence of (Timestamp or None, DataFrame)
        Results of `Policy.rules` with the same index, each with its effective date, also of later
        ones than the last slot; the first also covers all earlier time.
    known_until : sequence of Series of datetime64
        The known_until of each appliance [UTC] by each of these policies, see `coverage`.
    excluded : Exclusions
        The dated exclusions.

    Returns
    -------
    DataFrame
        early, late, completion (timedelta64), target (float64), excluded (bool), known_until [UTC],
        and next_early (timedelta64, of the next slot), a row for each of `expected`.

    References
    ----------
    .. [1] docs/sla.md, section 4, "Retroactivity".
    """
    first = revisions[0][1]
    codes, slot = to_codes(expected["appliance"], first.index), to_times(expected["slot"])
    begins = np.array([to_instant(date) for date, _ in revisions[1:] if date is not None], "M8[us]")
    names = ["early", "late", "completion", "runs_target", "exclude"]
    rules = pd.concat([resolved[names] for _, resolved in revisions], ignore_index=True)

    def find_rows(times: Times) -> Codes:
        rows: Codes = np.searchsorted(begins, times, side="right") * len(first) + codes
        return rows

    row = find_rows(slot)
    parameters = {name: rules[name].to_numpy()[row] for name in names[:-1]}
    parameters["next_early"] = rules["early"].to_numpy()[find_rows(to_times(expected["next_slot"]))]
    in_rule = rules["exclude"].notna().to_numpy()[row]
    parameters["excluded"] = in_rule | excluded.contains(codes, slot)
    known = pd.concat(known_until, ignore_index=True).take(row).reset_index(drop=True)
    return pd.DataFrame(parameters).assign(known_until=known)


def recent_slots(
    slots: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp, appliances: pd.Index
) -> pd.DataFrame:
    """Count the missed and allowed slots of the last day and the last week.

    Parameters
    ----------
    slots : DataFrame
        The columns of `backupkit.tables.SLOTS`, and target (float64), from a week before the
        period's end on.
    start, end : Timestamp
        The period, half-open. Day and week end with it, and may begin before it.
    appliances : Index of str
        The appliances to report.

    Returns
    -------
    DataFrame
        By appliance, Float64: missed_24h, allowed_24h, missed_7d, allowed_7d and allowed, where
        allowed is (1 - target) x slots, of the resolved and unknown ones of the period.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 18.
    """
    counted = slots[~slots["state"].isin(UNCOUNTED_SLOTS)]
    missed = counted["state"].isin(MISSED_SLOTS)
    # rounded, as 1 - 0.99 is not quite 0.01
    allowed = (1 - counted["target"]).round(12)
    inside = counted["slot"] >= start
    counts = {"allowed": allowed[inside].groupby(counted["appliance"][inside]).sum()}
    for name, span in (("24h", _DAY), ("7d", RECENT)):
        late = counted["slot"] >= end - span
        by = counted["appliance"][late]
        counts[f"missed_{name}"] = missed[late].groupby(by).sum()
        counts[f"allowed_{name}"] = allowed[late].groupby(by).sum()
    frame = pd.DataFrame({name: count.reindex(appliances) for name, count in counts.items()})
    return frame.fillna(0).astype("Float64").set_axis(appliances)


def slot_counts(slots: pd.DataFrame, *, appliances: pd.Index) -> pd.DataFrame:
    """Count the slots of each appliance by state, and how their first attempts ended.

    Parameters
    ----------
    slots : DataFrame
        Of `backupkit.tables.SLOTS`.
    appliances : Index of str
        The appliances to report.

    Returns
    -------
    DataFrame
        By appliance, an Int64 column ``slots_<state>`` for each of
        `backupkit.tables.SLOT_STATES`; first_attempts (slots, neither excluded nor pending, with
        an attempt) and first_attempts_ok (those where the first one succeeded).

    References
    ----------
    .. [1] docs/sla.md, section 4, numbers 7 and 9.
    """
    codes = to_codes(slots["appliance"], appliances)
    states = to_codes(slots["state"], pd.Index(SLOT_STATES))
    size = len(appliances)
    by_state = np.bincount(codes * len(SLOT_STATES) + states, minlength=size * len(SLOT_STATES))
    columns = [f"slots_{state}" for state in SLOT_STATES]
    counts = pd.DataFrame(
        by_state.reshape(size, len(SLOT_STATES)), index=appliances, columns=columns
    )
    first = to_codes(slots["first_outcome"], pd.Index((*TERMINAL, "open")))
    first[slots["state"].isin(UNCOUNTED_SLOTS).to_numpy()] = -1
    counts["first_attempts"] = np.bincount(codes[first >= 0], minlength=size)
    counts["first_attempts_ok"] = np.bincount(codes[first == _SUCCESS], minlength=size)
    return counts.astype("Int64")


def _find_start_bounds(expected: pd.DataFrame, parameters: pd.DataFrame) -> tuple[Times, Times]:
    """Return the span in which a job must start to belong to each slot."""
    longest = np.timedelta64(EARLIEST_START)
    early = np.minimum(to_spans(parameters["early"]), longest)
    early_next = np.minimum(to_spans(parameters["next_early"]), longest)
    slot, previous, following = (
        to_times(expected[name]) for name in ("slot", "previous_slot", "next_slot")
    )
    lower = slot - np.fmin(early + to_spans(expected["dst_tolerance"]), (slot - previous) // 2)
    early_next = early_next + to_spans(expected["next_dst_tolerance"])
    return lower, following - np.fmin(early_next, (following - slot) // 2)


def _find_first_job(owner: Codes, rows: Codes, order_by: Times, size: int) -> Codes:
    """Return the first job of each slot, -1 if there is none."""
    picked = np.full(size, -1, dtype=np.intp)
    groups, first = find_group_first(owner, order_by)
    picked[groups] = rows[first]
    return picked


def _find_last_job(owner: Codes, rows: Codes, start: Times, size: int) -> Codes:
    """Return the job of each slot that started last, -1 if there is none."""
    picked = np.full(size, -1, dtype=np.intp)
    order = find_sort_order(owner, start[rows])
    picked[owner[order]] = rows[order]
    return picked
