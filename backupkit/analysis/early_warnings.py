"""Warnings before a breach, and their score: which came true, and which breach had none."""

from typing import Final

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import Flags, to_codes, to_instant, to_times
from backupkit.analysis.baselines import compute_growth_rates
from backupkit.analysis.jobs import job_times
from backupkit.analysis.measured_jobs import MeasuredJobs, measure_jobs
from backupkit.display.format import format_duration, format_timestamp
from backupkit.tables import WARNING_SCORES, WARNINGS

__all__ = ["WARNING_RESULTS", "score_warnings", "warn_at_risk", "warn_slower"]

WARNING_RESULTS: Final = ("came true", "did not come true", "not known", "open", "missed")
"""The results of a warning; a breach without a warning is missed."""

_AT_RISK_HORIZON: Final = pd.Timedelta(days=1)
_SLOWER_HORIZON: Final = pd.Timedelta(days=30)
_DAY: Final = pd.Timedelta(days=1)
_SLOWER_TEXT: Final = (
    "runs take {} longer in 30 days: with the longest gap of {} they need {}, more than {}"
)


def warn_at_risk(appliances: pd.DataFrame, rpo: pd.Series, *, at: pd.Timestamp) -> pd.DataFrame:
    """Warn of the appliances that may be in breach within a day.

    Parameters
    ----------
    appliances : DataFrame
        The rows of `backupkit.tables.APPLIANCES` that are at risk.
    rpo : Series of timedelta64
        The recovery point objective of each of them.
    at : Timestamp
        The time of the warning.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.WARNINGS`.

    Examples
    --------
    >>> from backupkit.tables import APPLIANCES
    >>> at, day = pd.Timestamp("2026-11-02", tz="UTC"), pd.Timedelta(days=1)
    >>> row = {"appliance": ["vc-1"], "exposure": [day + pd.Timedelta(hours=1)]}
    >>> rpo = pd.Series({"vc-1": day})
    >>> warn_at_risk(APPLIANCES.frame(row), rpo, at=at)["text"].to_list()
    ['the newest backup is 25 h old, the RPO is 24 h']
    """
    texts = []
    objectives = rpo.reindex(appliances.index)
    for (_, row), objective in zip(appliances.iterrows(), objectives, strict=True):
        if pd.notna(row["exposure"]) and row["exposure"] > objective:
            age, allowed = format_duration(row["exposure"]), format_duration(objective)
            texts.append(f"the newest backup is {age} old, the RPO is {allowed}")
        else:
            since = format_timestamp(row["incident_since"], "UTC")
            texts.append(f"no run succeeded since {since}")
    return _build_warnings("at risk", list(appliances.index), texts, at, _AT_RISK_HORIZON)


def warn_slower(
    appliances: pd.DataFrame, jobs: pd.DataFrame, thresholds: pd.Series, *, at: pd.Timestamp
) -> pd.DataFrame:
    """Warn of the appliances whose runs grow too long for the RPO within 30 days.

    Parameters
    ----------
    appliances : DataFrame
        Of `backupkit.tables.APPLIANCES`.
    jobs : DataFrame
        Of `backupkit.tables.JOBS`.
    thresholds : Series of timedelta64
        RPO and grace of each appliance.
    at : Timestamp
        The time of the warning; later jobs are ignored.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.WARNINGS`: compliant appliances whose longest gap between two slots
        and median duration of the newest 100 successes fit into the threshold today, but not with
        30 days of the Theil-Sen slope of these durations.

    Examples
    --------
    >>> from backupkit.tables import APPLIANCES, JOBS
    >>> nothing = pd.Series(dtype="timedelta64[us]")
    >>> at = pd.Timestamp("2026-11-02", tz="UTC")
    >>> len(warn_slower(APPLIANCES.empty(), JOBS.empty(), nothing, at=at))
    0
    """
    names = pd.Index(appliances.index)
    codes = to_codes(jobs["appliance"], names)
    started_at, ended_at = job_times(jobs)
    seconds = measure_jobs(jobs)["duration"]
    success = jobs["outcome"].eq("success").to_numpy() & (ended_at <= to_instant(at))
    order = MeasuredJobs.select(
        codes, ended_at, np.arange(len(jobs), dtype=np.float64), success & ~np.isnan(seconds)
    )
    places = order.measured.astype(np.intp)
    slope, share = compute_growth_rates(order, started_at[places], seconds[places], len(names))
    growth = pd.Series(pd.to_timedelta(slope * _SLOWER_HORIZON / _DAY, unit="s"), index=names)
    typical = growth / pd.Series(share, index=names).where(share > 0)  # 30 days of growth / share
    needed = appliances["max_gap"] + typical
    limit = thresholds.reindex(names)
    later = needed + growth
    chosen = appliances["state"].eq("compliant") & (needed <= limit) & (later > limit)
    figures = zip(
        growth[chosen], appliances["max_gap"][chosen], later[chosen], limit[chosen], strict=True
    )
    texts = [_SLOWER_TEXT.format(*map(format_duration, row)) for row in figures]
    return _build_warnings("slower", list(names[chosen]), texts, at, _SLOWER_HORIZON)


def _build_warnings(
    kind: str, names: list[str], texts: list[str], at: pd.Timestamp, horizon: pd.Timedelta
) -> pd.DataFrame:
    number = len(names)
    return WARNINGS.frame(
        {
            "appliance": names,
            "kind": [kind] * number,
            "issued_at": [at] * number,
            "until": [at + horizon] * number,
            "text": texts,
        }
    )


def score_warnings(
    warnings: pd.DataFrame,
    states: pd.Series,
    intervals: pd.DataFrame,
    *,
    since: pd.Timestamp,
    known_until: pd.Timestamp,
) -> pd.DataFrame:
    """Score the warnings of an earlier assessment by what is known now.

    Parameters
    ----------
    warnings : DataFrame
        Of `backupkit.tables.WARNINGS`, all issued at `since`.
    states : Series of str
        The state of each appliance at `since`.
    intervals : DataFrame
        Of `backupkit.tables.INTERVALS`, of the later assessment.
    since, known_until : Timestamp
        The end of the earlier and of the later assessment.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.WARNING_SCORES`. "came true": the appliance was in breach before the
        horizon. "not known": it was not, but its state was not known all the time. "open": the
        horizon is still to come. "missed": an appliance that was compliant was in breach, and had
        no warning.

    Examples
    --------
    >>> from backupkit.tables import INTERVALS, WARNINGS
    >>> day, hour = pd.Timestamp("2026-11-02", tz="UTC"), pd.Timedelta(hours=1)
    >>> row = {"appliance": ["a"], "kind": ["at risk"], "issued_at": [day]}
    >>> warnings = WARNINGS.frame(row | {"until": [day + 24 * hour]})
    >>> breach = {"appliance": ["a", "b"], "state": ["breach"] * 2, "start": [day + hour] * 2}
    >>> intervals = INTERVALS.frame(breach | {"end": [day + 9 * hour] * 2})
    >>> states = pd.Series({"a": "compliant", "b": "compliant"})
    >>> scores = score_warnings(warnings, states, intervals, since=day, known_until=day + 48 * hour)
    >>> scores[["appliance", "result"]].values.tolist()
    [['a', 'came true'], ['b', 'missed']]
    """
    later = intervals[(intervals["end"] > since) & (intervals["start"] < known_until)]
    breaches = later[later["state"] == "breach"]
    unclear = later[later["state"].isin(["unknown", "unobserved"])]
    until = warnings["until"].where(warnings["until"] < known_until, known_until)
    is_true = _has_interval(warnings["appliance"], until, breaches)
    is_unclear = _has_interval(warnings["appliance"], until, unclear)
    is_seen = _has_interval(warnings["appliance"], until, later)
    result = np.select(
        [is_true, (warnings["until"] > known_until).to_numpy(), is_unclear | ~is_seen],
        ["came true", "open", "not known"],
        "did not come true",
    )
    was_compliant = breaches["appliance"].map(states).eq("compliant")
    warned = breaches["appliance"].isin(warnings["appliance"])
    missed = breaches[was_compliant & ~warned].drop_duplicates("appliance")
    return pd.concat(
        [
            WARNING_SCORES.conform(warnings.assign(result=pd.Series(result, dtype="str"))),
            WARNING_SCORES.conform(
                missed[["appliance"]].assign(
                    issued_at=missed["start"], until=missed["end"], result="missed"
                )
            ),
        ],
        ignore_index=True,
    )


def _has_interval(names: pd.Series, until: pd.Series, intervals: pd.DataFrame) -> Flags:
    """Return whether each appliance has an interval that starts before a time."""
    first = intervals.groupby("appliance")["start"].min()
    starts = first.reindex(pd.Index(names))
    return to_times(starts) < to_times(until)
