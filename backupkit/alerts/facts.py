"""The problems that an assessment shows, as facts for `backupkit.alerts.decisions`."""

import hashlib
import math
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Final

import pandas as pd

from backupkit.alerts.decisions import Fact, Facts
from backupkit.alerts.early_warnings import (
    EARLY_WARNINGS,
    find_early_warnings,
    find_undecided_warnings,
)
from backupkit.assessment import Assessment
from backupkit.display.format import format_count, format_duration, format_number
from backupkit.errors import one_line
from backupkit.tables.alerts import DEFAULT_KINDS, FLEET_SUBJECT

__all__ = ["find_facts"]

_NOT_KNOWN: Final = ("unknown", "unobserved")
_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_MAX_DETAIL: Final = 300  # characters
_AT_RISK, _MISSED = 1, 2  # levels of the kind target


def find_facts(
    assessment: Assessment,
    *,
    kinds: Collection[str] = DEFAULT_KINDS,
    target_within: timedelta = _WEEK,
) -> Facts:
    """Return the problems that an assessment shows.

    Parameters
    ----------
    assessment : Assessment
        One whose period ends now. Of a selection of appliances, only these are judged.
    kinds : collection of str
        Kinds of alert to look for.
    target_within : timedelta
        A target is at risk if its error budget is used up within this time.

    Returns
    -------
    Facts
        The problems, and what could not be judged.

    Notes
    -----
    * breach: level 1; one more each time the newest backup is twice as old: at 2, 4, 8 times the
      threshold.
    * unknown: the state is unknown, or the appliance was never read.
    * failure: jobs failed by this cause since the last success.
    * breach-soon: no scheduled run can prevent a breach within a day.
    * running: level 2 if a running job is stalled, level 1 if it takes longer than usual.
    * slower: runs grow too long for the RPO within 30 days.
    * target, of the fleet and of each site: level 2 if the error budget is used up, level 1 if the
      missed runs of the last 7 days would use up the rest within `target_within`.

    References
    ----------
    .. [1] docs/sla.md, section 4, numbers 18, 19, 34 and 39.

    Examples
    --------
    >>> from backupkit import evaluate_frames
    >>> from backupkit.policy import Member, Policy
    >>> from backupkit.tables import JOBS, POLLS, SCHEDULES
    >>> frames = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
    >>> policy = Policy(members=[Member(appliance="vc-1")])
    >>> end = "2026-11-09T00:00:00Z"
    >>> a = evaluate_frames(*frames, policy, start="2026-11-02T00:00:00Z", end=end, now=end)
    >>> [(fact.kind, fact.subject) for fact in find_facts(a).present]
    [('unknown', 'vc-1')]
    """
    # the target is that of all appliances, and of a period that is over nothing is to come
    left_out = ("target",) * assessment.is_selection + EARLY_WARNINGS * (not assessment.is_current)
    wanted = tuple(kind for kind in kinds if kind not in left_out)
    rows = assessment.appliances
    names = [str(name) for name in rows.index]
    states = {
        name: one_line(_text(reason) or str(state), limit=_MAX_DETAIL)
        for name, state, reason in zip(names, rows["state"], rows["reason"], strict=True)
    }
    unclear = [
        name for name, state in zip(names, rows["state"], strict=True) if state in _NOT_KNOWN
    ]
    undecided = {(kind, name) for name in unclear for kind in ("breach", "failure")}
    undecided |= find_undecided_warnings(assessment)
    present = [
        *_find_states(rows, states),
        *_find_failures(assessment),
        *find_early_warnings(assessment, wanted),
    ]
    for fact, subject, sentence in _judge_targets(assessment, target_within):
        if sentence:
            states[subject] = sentence
        else:
            undecided.add(("target", subject))
        present += [] if fact is None else [fact]
    return Facts(
        present=tuple(fact for fact in present if fact.kind in wanted),
        undecided=frozenset(undecided),
        states=states,
        kinds=wanted,
        subjects=frozenset(names) if assessment.is_selection else None,
    )


def _text(value: object) -> str:
    """Return a text that may be missing."""
    return value if isinstance(value, str) else ""


def _find_states(rows: pd.DataFrame, states: dict[str, str]) -> Iterator[Fact]:
    """Yield the appliances in breach, and those whose state is not known."""
    for name, row in rows.iterrows():
        subject, state = str(name), row["state"]
        if state != "breach" and state not in _NOT_KNOWN:
            continue
        yield Fact(
            kind="breach" if state == "breach" else "unknown",
            subject=subject,
            site=_text(row["site"]),
            group=_text(row["group"]),
            detail=states[subject],
            level=_measure_breach(row) if state == "breach" else 1,
        )


def _measure_breach(row: pd.Series) -> int:
    """Return the level of a breach: one more for each doubling of the threshold."""
    exposure = row["exposure"] if pd.notna(row["exposure"]) else row["exposure_at_least"]
    if pd.isna(exposure) or not row["threshold"] > pd.Timedelta(0):
        return 1
    return 1 + max(0, math.floor(math.log2(exposure / row["threshold"])))


def _find_failures(assessment: Assessment) -> Iterator[Fact]:
    """Yield the causes of failures since the last success of each appliance."""
    rows = assessment.appliances
    failing = rows[rows["strikes"].fillna(0).gt(0) & rows["state"].isin(["compliant", "breach"])]
    jobs = assessment.assessed_jobs
    jobs = jobs[jobs["outcome"].eq("failure") & jobs["appliance"].isin(failing.index)]
    since = failing["last_success"].reindex(jobs["appliance"]).set_axis(jobs.index)
    ended_at = jobs["end_time"].fillna(jobs["last_seen_at"])
    jobs = jobs.assign(ended_at=ended_at)[since.isna() | (ended_at > since)]
    pattern = jobs["signature"].fillna("")
    causes = jobs["cause_name"].fillna(pattern.map(_name_pattern))
    owners = failing[["site", "group"]].to_dict("index")
    newest_first = jobs.assign(cause=causes, pattern=pattern).sort_values(
        "ended_at", ascending=False, kind="stable"
    )
    groups = newest_first.groupby(["appliance", "cause"])["pattern"].agg(["first", "size"])
    for (name, cause), newest, number in zip(
        groups.index, groups["first"], groups["size"], strict=True
    ):
        count = format_count(int(number), "failed job")
        yield Fact(
            kind="failure",
            subject=str(name),
            cause=str(cause),
            site=_text(owners[name]["site"]),
            group=_text(owners[name]["group"]),
            detail=one_line(f"{count} since the last success: {newest}", limit=_MAX_DETAIL),
        )


def _name_pattern(signature: str) -> str:
    """Return a short name of an error pattern without a known cause."""
    return f"pattern-{hashlib.sha256(signature.encode()).hexdigest()[:8]}"


def _judge_targets(
    assessment: Assessment, within: timedelta
) -> Iterator[tuple[Fact | None, str, str]]:
    """Yield the fact, subject and state of each error budget; the state is "" if not known."""
    fleet, groups = assessment.fleet, assessment.groups
    yield _judge_budget(fleet, FLEET_SUBJECT, "", within)
    sites = groups[groups["property"] == "site"]
    for name, own in sites.groupby("name"):
        yield _judge_budget(own.set_index("metric"), f"site {name}", str(name), within)


def _judge_budget(
    figures: pd.DataFrame, subject: str, site: str, within: timedelta
) -> tuple[Fact | None, str, str]:
    rows = figures.to_dict("index")
    missed, allowed = (rows["error_budget"][side] for side in ("numerator", "denominator"))
    if pd.isna(allowed) or not allowed > 0:
        return None, subject, ""
    noun = "run" if missed == 1 else "runs"
    basis = f"{format_number(missed)} {noun} missed, {allowed:.4g} allowed in the period"
    daily = rows["burn_rate_7d"]["numerator"] / (_WEEK / _DAY)
    days_left = (allowed - missed) / daily if daily else math.inf
    if missed > allowed:
        state, level = f"the error budget is used up: {basis}", _MISSED
    elif days_left <= within / _DAY:
        left = format_duration(days_left * _DAY)
        state = f"{basis}; at the rate of the last 7 days the rest is used up in {left}"
        level = _AT_RISK
    else:
        return None, subject, basis
    return (
        Fact(kind="target", subject=subject, site=site, detail=state, level=level),
        subject,
        state,
    )
