"""Output for monitoring plug-ins of Nagios, Icinga and Checkmk: the result of a check."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pandas as pd

from backupkit.assessment import Assessment, describe_inventory
from backupkit.assessment.result import breach_since, exposure
from backupkit.display.format import sanitise
from backupkit.tables import IN_SCOPE_STATES, STATES

__all__ = ["STATUSES", "CheckResult", "check_result", "clean_line", "count_missing"]

STATUSES: Final = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_CODE_BY_STATE: Final = {"compliant": 0, "breach": 2, "unknown": 3}
_MAX_LINE_LENGTH: Final = 1_000  # characters; some agents cut at 1,024
_MAX_NAMED: Final = 5
_RATIOS: Final = {
    "rpo_strict_micro": "rpo_strict",
    "slot_strict_micro": "runs_strict",
    "window_micro": "window",
    "duration_micro": "duration",
}
"""Labels of the figures with a target."""
_ALWAYS_SHOWN: Final = ("rpo_strict", "runs_strict")
_SEPARATORS: Final = re.compile(r"[|\s]+")  # "|" separates the performance data


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Check result of a plug-in: 0 OK, 1 WARNING, 2 CRITICAL or 3 UNKNOWN, and the reason."""

    code: int
    sentence: str
    performance: str

    @property
    def status(self) -> str:
        """Name of the code."""
        return STATUSES[self.code]

    @property
    def line(self) -> str:
        """Check result as one line of at most 1,000 characters."""
        text = f"{self.status}: {self.sentence}"
        room = _MAX_LINE_LENGTH - len(self.performance) - len(" | ")
        if len(text) > room:
            text = f"{text[: room - 1].rstrip()}…"
        return f"{text} | {self.performance}"


def check_result(assessment: Assessment) -> CheckResult:
    """Return the check result of an assessment for a monitoring plug-in.

    CRITICAL if an appliance is in breach. Else UNKNOWN if one is unknown or none is in scope.
    Else WARNING if one is at risk: in its grace time or with an open incident. Also WARNING if
    jobs could not be read, fleet.toml lacks a vCenter of its SSO domains, or the period did not
    meet its targets. Else OK.

    References
    ----------
    .. [1] https://www.monitoring-plugins.org/doc/guidelines.html

    Examples
    --------
    >>> from backupkit import evaluate_frames
    >>> from backupkit.policy import Member, Policy
    >>> from backupkit.tables import JOBS, POLLS, SCHEDULES
    >>> frames = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
    >>> policy = Policy(members=[Member(appliance="vc-1")])
    >>> end = "2026-11-09T00:00:00Z"
    >>> a = evaluate_frames(*frames, policy, start="2026-11-02T00:00:00Z", end=end, now=end)
    >>> print(check_result(a).line)
    UNKNOWN: 1 of 1 in scope is unknown (vc-1); target unknown: 0.0 % (0 of 168 h) of the time
    inside the RPO (target 99 %); what could not be read decides | breach=0;;0;0;1 unknown=1;;0;0;1
    compliant=0;;;0;1 excluded=0;;;0 unobserved=0;;;0 at_risk=0;0;;0 rpo_strict=0.000%;99:;;0;100
    runs_strict=U;;;0;100
    """
    verdict = assessment.verdict
    at_risk = assessment.at_risk
    period = assessment.period_verdict
    unread = find_partly_read(assessment)
    code = _CODE_BY_STATE[verdict.state]
    sentence = verdict.sentence
    bad = assessment.figures["state"].isin(["breach", "unknown", "unobserved"])
    worst = list(assessment.figures.index[bad])
    missing = count_missing(assessment)
    if code == 0 and (len(at_risk) or unread or missing or period.state != "met"):
        code = 1
        count = [f"{len(at_risk):,} at risk"] if len(at_risk) else []
        count += [f"{len(unread):,} with jobs that could not be read"] if unread else []
        sentence = ", ".join([sentence, *count])
        worst = list(dict.fromkeys([*at_risk, *unread]))
    if worst:
        names = ", ".join(sanitise(name, limit=60) for name in worst[:_MAX_NAMED])
        omitted = f" and {len(worst) - _MAX_NAMED:,} more" if len(worst) > _MAX_NAMED else ""
        sentence = f"{sentence} ({names}{omitted})"
    if not assessment.is_current:
        sentence = f"at the end of the period, {sentence}"
    sentence += _describe_worst(assessment)
    sentence = f"{sentence}; {'target met' if period.state == 'met' else period.sentence}"
    if missing:
        sentence += f"; {describe_inventory(assessment.inventory, assessment.now)}"
    performance = " ".join(_format_performance(assessment, len(at_risk)))
    return CheckResult(code, clean_line(sentence), performance)


def clean_line(text: str) -> str:
    """Return a text as one line, without the character that starts the performance data.

    Examples
    --------
    >>> clean_line("a| b  c")
    'a b c'
    """
    return _SEPARATORS.sub(" ", text)


def find_partly_read(assessment: Assessment) -> list[str]:
    """Return the appliances with listed jobs that their newest good poll could not read."""
    unread = assessment.coverage["jobs_unread"].gt(0).fillna(value=False)
    return list(assessment.coverage.index[unread & assessment.coverage["configured"]])


def count_missing(assessment: Assessment) -> int | None:
    """Return how many vCenters of the SSO domains fleet.toml lacks.

    None without a discovery, and for a selection: the checks of single appliances would all warn.
    """
    results = assessment.inventory["result"]
    if results.empty or assessment.is_selection:
        return None
    return int(results.eq("missing").sum())


def _describe_worst(assessment: Assessment) -> str:
    """Return since when the worst appliance is in breach, and who was never backed up; or ""."""
    rows = assessment.figures
    in_breach = rows[rows["state"] == "breach"]
    if in_breach.empty:
        return ""
    worst = in_breach.iloc[0]
    name = sanitise(in_breach.index[0], limit=60)
    since = breach_since(worst, "UTC")
    text = f"; {name} is in breach since {since}, exposure {exposure(worst)}"
    never = in_breach.index[1:].intersection(assessment.never_backed_up, sort=False)
    if never.empty:
        return text
    also = " too" if pd.isna(worst["last_success"]) else ""
    names = ", ".join(sanitise(name, limit=60) for name in never[:_MAX_NAMED])
    omitted = f" and {len(never) - _MAX_NAMED:,} more" if len(never) > _MAX_NAMED else ""
    return f"{text}; never backed up{also}: {names}{omitted}"


def _format_performance(assessment: Assessment, at_risk: int) -> Iterator[str]:
    """Return ``label=value[unit];warning;critical;min;max`` of each figure."""
    verdict = assessment.verdict
    in_scope = verdict.in_scope
    for state in ("breach", "unknown"):
        yield f"{state}={getattr(verdict, state)};;0;0;{in_scope}"
    yield f"compliant={verdict.compliant};;;0;{in_scope}"
    for state in STATES[3:]:
        yield f"{state}={getattr(verdict, state)};;;0"
    yield f"at_risk={at_risk};0;;0"
    if (missing := count_missing(assessment)) is not None:
        yield f"sso_missing={missing};0;;0"
    for metric, label in _RATIOS.items():
        ratio = assessment.ratio(metric)
        has_value = pd.notna(ratio.value)
        if has_value or label in _ALWAYS_SHOWN:
            percent = f"{100 * ratio.value:.3f}%" if has_value else "U"
            target = f"{100 * ratio.target:g}:" if has_value else ""
            yield f"{label}={percent};{target};;0;100"
    yield from _format_worst_exposure(assessment)


def _format_worst_exposure(assessment: Assessment) -> Iterator[str]:
    """Return the performance data of the highest exposure, relative to its threshold.

    Of an appliance that was never backed up, it is the lower bound.
    """
    rows = assessment.figures
    rows = rows.assign(exposure=rows["exposure"].fillna(rows["exposure_at_least"]))
    used = (
        (rows["exposure"] / rows["threshold"]).where(rows["state"].isin(IN_SCOPE_STATES)).dropna()
    )
    if used.empty:
        return
    worst = rows.loc[[used.idxmax()]]
    rpo = assessment.policy_until(assessment.end).rules(worst.index)["rpo"].reindex(worst.index)
    durations = worst["exposure"], rpo, worst["threshold"]
    exposure, warning, critical = (
        round(duration.dt.total_seconds().iloc[0]) for duration in durations
    )
    yield f"worst_exposure={exposure}s;{warning};{critical};0"
