"""Output of a pipeline gate: the check of the age of the newest recovery points, one rule alone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

import pandas as pd

from backupkit.assessment import Assessment
from backupkit.display.format import format_duration, format_exactly, sanitise
from backupkit.reports.monitoring import CheckResult
from backupkit.reports.rows import iterate_rows

__all__ = ["ApplianceAge", "check_age"]

_MAX_NAMED: Final = 5
_CODES: Final = {"OK": 0, "UNKNOWN": 3, "CRITICAL": 2}  # the worst last

Status = Literal["OK", "UNKNOWN", "CRITICAL"]


@dataclass(frozen=True, slots=True)
class ApplianceAge:
    """Newest recovery point of an appliance, its age, and the result.

    `age` and `recovery_point` are missing (NaT) if no successful backup is known.
    """

    appliance: str
    status: Status
    reason: str
    age: Any
    recovery_point: Any

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; the age in seconds [s], the time in UTC."""
        return {
            "appliance": self.appliance,
            "status": self.status,
            "reason": self.reason,
            "age": None if pd.isna(self.age) else self.age.total_seconds(),
            "recovery_point": None if pd.isna(self.age) else self.recovery_point.isoformat(),
        }


def check_age(
    assessment: Assessment, max_age: timedelta
) -> tuple[CheckResult, tuple[ApplianceAge, ...]]:
    """Compare the age of the newest recovery point of each appliance with a limit.

    An appliance is OK if its newest recovery point is not older than the limit. Otherwise it is
    UNKNOWN if it could not be read, as a newer one may exist, else CRITICAL. Neither the policy's
    RPO nor its targets nor its exclusions matter. The worst appliance decides.

    Parameters
    ----------
    assessment : Assessment
        Its end is the moment to which the age counts.
    max_age : timedelta
        The limit.

    Returns
    -------
    result : CheckResult
        Of all appliances; UNKNOWN if there is none.
    ages : tuple of ApplianceAge
        Of each appliance of fleet.toml.

    Examples
    --------
    >>> from backupkit import evaluate_frames
    >>> from backupkit.policy import Member, Policy
    >>> from backupkit.tables import JOBS, POLLS, SCHEDULES
    >>> frames = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
    >>> policy = Policy(members=[Member(appliance="vc-1")])
    >>> end = "2026-11-09T00:00:00Z"
    >>> a = evaluate_frames(*frames, policy, start="2026-11-02T00:00:00Z", end=end, now=end)
    >>> print(check_age(a, timedelta(hours=12))[0].line)
    UNKNOWN: vc-1: it was never read | worst_exposure=U;;43200;0
    """
    ages = tuple(_list_ages(assessment, max_age))
    statuses = {one.status for one in ages}
    status = next((one for one in reversed(_CODES) if one in statuses), "UNKNOWN")
    known = [one.age for one in ages if pd.notna(one.age)]
    worst = f"{max(known).total_seconds():.0f}s" if known else "U"
    performance = f"worst_exposure={worst};;{max_age.total_seconds():.0f};0"
    result = CheckResult(_CODES[status], _build_sentence(ages, status, max_age), performance)
    return result, ages


def _list_ages(assessment: Assessment, max_age: timedelta) -> Iterator[ApplianceAge]:
    coverage = assessment.coverage[assessment.coverage["configured"]].sort_index()
    limit = format_exactly(max_age)
    for name, row in iterate_rows(coverage.join(assessment.figures[["exposure", "last_success"]])):
        age = row["exposure"]
        is_current = pd.isna(row["failing_since"]) and row["known_until"] >= assessment.end
        found = (
            f"the newest recovery point is {format_duration(age)} old (limit {limit})"
            if pd.notna(age)
            else "it has no recovery point"
        )
        status: Status = "CRITICAL"
        if pd.notna(age) and age <= max_age:
            status = "OK"
        elif pd.isna(row["last_ok"]):
            status, found = "UNKNOWN", _explain("it was never read", row["detail"])
        elif not is_current:
            found = _explain(f"{found}, but it could not be read", row["detail"])
            status = "UNKNOWN"
        elif pd.notna(row["jobs_unread"]) and row["jobs_unread"]:
            status, found = "UNKNOWN", f"{found}, but some of its jobs could not be read"
        yield ApplianceAge(str(name), status, found, age, row["last_success"])


def _explain(text: str, detail: Any) -> str:  # noqa: ANN401 # text, or missing
    """Return a text with the error of the newest poll, if there is one."""
    cause = sanitise(detail, limit=500)  # a fingerprint and two ways to use it
    return f"{text}: {cause.rstrip('.')}" if cause else text


def _build_sentence(ages: Iterable[ApplianceAge], status: str, max_age: timedelta) -> str:
    """Return the reason of the result; "|" would start the performance data."""
    ages = list(ages)
    worst = [one for one in ages if one.status == status]
    if not worst:
        return "no appliance is selected"
    if len(ages) == 1:
        sentence = f"{sanitise(worst[0].appliance, limit=60)}: {worst[0].reason}"
    elif status == "OK":
        sentence = (
            f"the newest recovery point of each of {len(ages):,} appliances is at most "
            f"{format_exactly(max_age)} old"
        )
    else:
        texts = [f"{sanitise(one.appliance, limit=60)}: {one.reason}" for one in worst[:_MAX_NAMED]]
        omitted = f"; and {len(worst) - _MAX_NAMED:,} more" if len(worst) > _MAX_NAMED else ""
        sentence = f"{len(worst):,} of {len(ages):,} appliances: {'; '.join(texts)}{omitted}"
    return " ".join(sentence.replace("|", "/").split())
