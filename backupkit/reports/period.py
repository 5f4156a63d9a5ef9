"""Contents of a report on a period that is over: nothing that happened after it."""

from collections.abc import Collection
from typing import Final

import pandas as pd

from backupkit.assessment import Assessment

__all__ = ["PERIOD_OVER", "find_period_jobs", "is_current", "is_over", "select_period_jobs"]

PERIOD_OVER: Final = "This period is over: a report up to now has the next steps."
"""Note in place of the next steps in a report on a period that is over."""

_RECENT: Final = pd.Timedelta(hours=1)
_OBSERVED: Final = ("first_seen_at", "last_seen_at", "vanished_at")


def is_current(assessment: Assessment) -> bool:
    """Return whether the period ends now, so that a job can be running now."""
    return assessment.end == assessment.now


def is_over(assessment: Assessment) -> bool:
    """Return whether the period ended more than an hour ago: next steps are too late for it."""
    return assessment.now - assessment.end > _RECENT


def find_period_jobs(assessment: Assessment) -> pd.Series:
    """Return whether each job overlaps the period."""
    return assessment.assessed_jobs["in_period"].fillna(value=False).astype("bool")


def select_period_jobs(
    assessment: Assessment, appliances: Collection[str] | None = None
) -> pd.DataFrame:
    """Return the jobs that overlap the period, of `backupkit.tables.ASSESSED_JOBS`.

    Of a period that is over, observations after its end are missing: the job was still listed then.
    With `appliances`, only their jobs are returned.
    """
    is_selected = find_period_jobs(assessment)
    if appliances is not None:
        is_selected &= assessment.assessed_jobs["appliance"].isin(appliances)
    jobs = assessment.assessed_jobs[is_selected]
    if is_current(assessment):
        return jobs
    observed = {name: jobs[name].mask(jobs[name] > assessment.end) for name in _OBSERVED}
    return jobs.assign(**observed)
