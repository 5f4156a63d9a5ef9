"""Check result of an assessment for Nagios, Icinga or Checkmk."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pandas as pd

from backupkit.assessment import Assessment
from backupkit.display.format import ratio, sanitise
from backupkit.tables import IN_SCOPE_STATES, STATES

__all__ = ["CheckResult", "check_result"]

_STATUSES: Final = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_CODES: Final = {"compliant": 0, "breach": 2, "unknown": 3}
_LINE: Final = 1_000  # characters; some agents cut at 1,024
_NAMED: Final = 5
_RATIOS: Final = {
    "rpo_strict_micro": ("rpo_strict", "of the time inside the RPO"),
    "slot_strict_micro": ("runs_strict", "of scheduled backups completed"),
}
_SEPARATORS: Final = re.compile(r"[|\s]+")  # "|" separates the performance data


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Check result in the format of a monitoring plug-in.

    Attributes
    ----------
    code : int
        0 OK, 1 WARNING, 2 CRITICAL or 3 UNKNOWN.
    sentence : str
        Reason of the code.
    performance : str
        Performance data with thresholds.
    """

    code: int
    sentence: str
    performance: str

    @property
    def status(self) -> str:
        """Name of the code."""
        return _STATUSES[self.code]

    @property
    def line(self) -> str:
        """Check result as one line of at most 1,000 characters."""
        text = f"{self.status}: {self.sentence}"
        room = _LINE - len(self.performance) - len(" | ")
        if len(text) > room:
            text = f"{text[: room - 1].rstrip()}…"
        return f"{text} | {self.performance}"


def check_result(assessment: Assessment) -> CheckResult:
    """Return the check result of an assessment for a monitoring plug-in.

    Parameters
    ----------
    assessment : Assessment
        Assessment of one period.

    Returns
    -------
    CheckResult
        CRITICAL if an appliance is in breach. Else UNKNOWN if one is unknown or none is in scope.
        Else WARNING if one is at risk: in its grace time or with an open incident. Also WARNING if
        RPO or slot compliance is below the policy's target. Else OK.

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
    UNKNOWN: 1 of 1 in scope is unknown (vc-1) | breach=0;;0;0;1 unknown=1;;0;0;1 compliant=0;;;0;1
    excluded=0;;;0 unobserved=0;;;0 at_risk=0;0;;0 rpo_strict=0.000%;99:;;0;100
    runs_strict=U;99:;;0;100
    """
    verdict = assessment.verdict
    at_risk = assessment.at_risk
    below = list(_below_target(assessment))
    code = _CODES[verdict.state]
    sentence = verdict.sentence
    bad = assessment.appliances["state"].isin(["breach", "unknown", "unobserved"])
    worst = list(assessment.appliances.index[bad])
    if code == 0 and (len(at_risk) or below):
        code = 1
        count = [f"{len(at_risk):,} at risk"] if len(at_risk) else []
        sentence = ", ".join([sentence, *count, *below])
        worst = list(at_risk)
    if worst:
        names = ", ".join(sanitise(name, limit=60) for name in worst[:_NAMED])
        omitted = f" and {len(worst) - _NAMED:,} more" if len(worst) > _NAMED else ""
        sentence = f"{sentence} ({names}{omitted})"
    performance = " ".join(_performance(assessment, len(at_risk)))
    return CheckResult(code, _SEPARATORS.sub(" ", sentence), performance)


def _below_target(assessment: Assessment) -> Iterator[str]:
    target = assessment.policy.at(assessment.end).target
    figures = assessment.fleet.to_dict("index")
    for metric, (_, description) in _RATIOS.items():
        row = figures[metric]
        if pd.notna(row["value"]) and row["value"] < target:
            yield f"{ratio(row['numerator'], row['denominator'], row['unit'])} {description}"


def _performance(assessment: Assessment, at_risk: int) -> Iterator[str]:
    """Return ``label=value[unit];warning;critical;min;max`` of each figure."""
    verdict = assessment.verdict
    in_scope = verdict.in_scope
    for state in ("breach", "unknown"):
        yield f"{state}={getattr(verdict, state)};;0;0;{in_scope}"
    yield f"compliant={verdict.compliant};;;0;{in_scope}"
    for state in STATES[3:]:
        yield f"{state}={getattr(verdict, state)};;;0"
    yield f"at_risk={at_risk};0;;0"
    target = f"{100 * assessment.policy.at(assessment.end).target:g}"
    values = assessment.fleet["value"].to_dict()
    for metric, (label, _) in _RATIOS.items():
        value = values[metric]
        percent = "U" if pd.isna(value) else f"{100 * value:.3f}%"
        yield f"{label}={percent};{target}:;;0;100"
    yield from _worst_exposure(assessment)


def _worst_exposure(assessment: Assessment) -> Iterator[str]:
    """Return the performance data of the highest exposure, relative to its threshold."""
    rows = assessment.appliances
    used = (
        (rows["exposure"] / rows["threshold"]).where(rows["state"].isin(IN_SCOPE_STATES)).dropna()
    )
    if used.empty:
        return
    worst = rows.loc[[used.idxmax()]]
    rpo = assessment.policy.at(assessment.end).rules(worst.index)["rpo"].reindex(worst.index)
    durations = worst["exposure"], rpo, worst["threshold"]
    exposure, warning, critical = (
        round(duration.dt.total_seconds().iloc[0]) for duration in durations
    )
    yield f"worst_exposure={exposure}s;{warning};{critical};0"
