"""Failures of an assessment by one more property."""

import pandas as pd

from backupkit.assessment.result import Assessment

__all__ = ["failures_by"]


def failures_by(assessment: Assessment, by: str = "appliance") -> pd.DataFrame:
    """Add up the failed jobs of a period by error pattern and one more property.

    Parameters
    ----------
    assessment : Assessment
        The assessment.
    by : str
        appliance, site, group, target, build, hour (of the jobs' ends, UTC) or day (UTC).

    Returns
    -------
    DataFrame
        Of `backupkit.tables.FAILURE_PARTS`. `backupkit.plots.failure_matrix` draws it, and
        ``backupkit.plots.failures(a.failures, by=...)`` divides its bars by it.

    Raises
    ------
    SettingsError
        If `by` is none of these.

    Examples
    --------
    >>> from backupkit import evaluate_frames
    >>> from backupkit.policy import Policy
    >>> from backupkit.tables import JOBS, POLLS, SCHEDULES
    >>> frames = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
    >>> end = "2026-11-09T00:00:00Z"
    >>> a = evaluate_frames(*frames, Policy(), start="2026-11-02T00:00:00Z", end=end, now=end)
    >>> failures_by(a, by="site").columns.to_list()
    ['signature', 'part', 'jobs', 'appliances']
    """
    return assessment.failures_by(by)
