"""Facts about the polls as of the end of a period that is over."""

import pandas as pd

from backupkit.analysis.coverage import poll_summary

__all__ = ["polls_at_end"]

_COLUMNS = ("last_poll", "last_ok", "failing_since", "error", "detail", "api", "version")


def polls_at_end(polls: pd.DataFrame, summary: pd.DataFrame, *, end: pd.Timestamp) -> pd.DataFrame:
    """Return the facts about the polls of each appliance as of the end of a period.

    Parameters
    ----------
    polls : DataFrame
        Of `backupkit.tables.POLLS`, up to now.
    summary : DataFrame
        The result of `poll_summary` for these polls.
    end : Timestamp
        The end of the period.

    Returns
    -------
    DataFrame
        The summary, with what the polls up to the end say about errors, versions and the newest
        poll. What a poll could not read, and a later one did read, is no longer missing.

    Examples
    --------
    >>> from backupkit.tables import POLLS
    >>> days = pd.to_datetime(["2026-10-31T12:00Z", "2026-11-01T12:00Z"])
    >>> columns = {"appliance": ["a", "a"], "polled_at": days, "ok": [True, False]}
    >>> polls = POLLS.frame(columns | {"error": [None, "login"]})
    >>> summary = poll_summary(polls, appliances=pd.Index(["a"]))
    >>> end = pd.Timestamp("2026-11-01", tz="UTC")
    >>> polls_at_end(polls, summary, end=end)[["error", "failing_since"]].isna().all(axis=None)
    np.True_
    """
    earlier = polls[polls["polled_at"] <= end]
    if len(earlier) == len(polls):
        return summary
    then = poll_summary(earlier, appliances=summary.index)
    facts = summary.assign(**{name: then[name] for name in _COLUMNS})
    read_now = summary["jobs_unread"].eq(0).fillna(value=False).astype("bool")
    facts["jobs_unread"] = then["jobs_unread"].mask(read_now & then["jobs_unread"].notna(), 0)
    facts["schedules_error"] = then["schedules_error"].where(summary["schedules_error"].notna())
    is_complete = then["error"].eq("partial") & facts["jobs_unread"].eq(0).fillna(value=False)
    for name in ("error", "detail"):
        facts[name] = then[name].mask(is_complete.fillna(value=False).astype("bool"))
    return facts
