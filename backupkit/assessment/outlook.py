"""Forecast of the breaches of the next day from an assessment: the probable and the certain."""

import pandas as pd

from backupkit import analysis
from backupkit.analysis import Forecasts
from backupkit.assessment.result import Assessment
from backupkit.display.format import format_duration, format_timestamp

__all__ = ["explain_coming_breach", "find_coming_breach", "forecast"]

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
    upcoming = _list_upcoming(assessment, rules)
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


def find_coming_breach(assessment: Assessment) -> pd.Series:
    """Find the compliant appliances that no scheduled run can keep from a breach within a day.

    Parameters
    ----------
    assessment : Assessment
        The assessment. If its period is over, what followed is not forecast: the result is empty.

    Returns
    -------
    Series of datetime64
        When the breach begins [UTC], by appliance, the earliest first.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 39.
    """
    figures = assessment.figures
    if not assessment.is_current:
        return figures["breach_since"][:0].rename("breach_at")
    rules = assessment.policy_until(assessment.end).rules(figures.index).reindex(figures.index)
    pending = assessment.slots.loc[assessment.slots["state"] == "pending", ["appliance", "slot"]]
    runs = [pending, _list_upcoming(assessment, rules)[["appliance", "slot"]]]
    return analysis.coming_breach(
        figures,
        pd.concat(runs, ignore_index=True),
        typical_duration=assessment.baselines["typical_duration"],
        at=assessment.end,
    )


def explain_coming_breach(begins: pd.Timestamp, end: pd.Timestamp) -> str:
    """Return a sentence on a breach that no scheduled run can prevent.

    Parameters
    ----------
    begins : Timestamp
        When the breach begins, as `find_coming_breach` has it.
    end : Timestamp
        The period's end.

    Examples
    --------
    >>> end = pd.Timestamp("2026-11-09T00:00Z")
    >>> explain_coming_breach(end + pd.Timedelta(hours=6), end)[:57]
    'will be in breach in 6 h, from 2026-11-09 06:00 UTC, unle'
    """
    return (
        f"will be in breach in {format_duration(begins - end)}, from"
        f" {format_timestamp(begins, 'UTC')}, unless a backup is started by hand: no scheduled run"
        " can end before"
    )


def _list_upcoming(assessment: Assessment, rules: pd.DataFrame) -> pd.DataFrame:
    """Return the slots of the day after the period."""
    return analysis.expected_slots(
        assessment.schedules,
        fallback=rules["timezone"],
        since=pd.Series(assessment.end, index=rules.index),
        end=assessment.end + _DAY,
    )
