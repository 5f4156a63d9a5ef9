"""Forecast of the breaches of the next day from an assessment."""

import pandas as pd

from backupkit import analysis
from backupkit.analysis import Forecasts
from backupkit.assessment.result import Assessment

__all__ = ["forecast"]

_DAY = pd.Timedelta(days=1)


def forecast(assessment: Assessment) -> Forecasts:
    """Forecast which compliant appliances are in breach within a day after the period.

    Parameters
    ----------
    assessment : Assessment
        The assessment. Its period is the past that the forecast learns from, and that its
        reliability is measured on: 90 days are best.

    Returns
    -------
    Forecasts
        ``forecast``, of `backupkit.tables.FORECAST`, the most probable breach first, without the
        appliances that have fewer than 10 resolved slots; and ``reliability``, of ``RELIABILITY``.

    Examples
    --------
    >>> from backupkit import evaluate_frames
    >>> from backupkit.policy import Policy
    >>> from backupkit.tables import JOBS, POLLS, SCHEDULES
    >>> frames = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
    >>> end = "2026-11-09T00:00:00Z"
    >>> a = evaluate_frames(*frames, Policy(), start="2026-11-02T00:00:00Z", end=end, now=end)
    >>> len(forecast(a).forecast)
    0
    """
    end, names = assessment.end, assessment.appliances.index
    rules = assessment.policy_until(end).rules(names).reindex(names)
    upcoming = analysis.expected_slots(
        assessment.schedules,
        fallback=rules["timezone"],
        since=pd.Series(end, index=names),
        end=end + _DAY,
    )
    return analysis.forecast_breach(
        assessment.appliances,
        assessment.assessed_jobs[
            assessment.assessed_jobs["local"].ne(other=True).fillna(value=True)
        ],
        assessment.slots,
        assessment.intervals,
        upcoming=upcoming,
        rules=rules.assign(typical_duration=assessment.baselines["typical_duration"]),
        start=assessment.start,
        end=end,
    )
