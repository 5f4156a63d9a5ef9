"""Reasons for the state of an appliance, as sentences."""

import re
from collections.abc import Collection, Hashable
from typing import Any, Final

import pandas as pd

__all__ = ["reasons"]

_Row = dict[Hashable, Any]

_UNKNOWN: Final = "schedule not known"
_MAX_MESSAGE_LENGTH: Final = 200  # characters of a quoted message
_READ: Final = (
    *("state", "excluded_because", "onboarding_until", "strikes", "last_success", "last_outcome"),
    *("incident_since", "known_since", "known_until", "error", "detail", "failing_since"),
    *("last_poll", "last_ok", "undecided"),
)
_WHITESPACE: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def reasons(
    facts: pd.DataFrame,
    failed: pd.DataFrame,
    current: pd.DataFrame,
    *,
    end: pd.Timestamp,
    schedule_unknown: Collection[str] = (),
    newest_local: Collection[str] = (),
) -> pd.Series:
    """Return the reason for the state of each appliance.

    Parameters
    ----------
    facts : DataFrame
        By appliance; reads state, excluded_because, onboarding_until, `strikes`, last_success,
        last_outcome, incident_since, known_since, known_until, error, detail, failing_since,
        last_poll, last_ok and undecided (a sentence about a job that may or may not have
        succeeded).
    failed : DataFrame
        By appliance, of those whose newest finished jobs failed: text (of the newest failure) and
        since [UTC] (the end of the first of these failures).
    current : DataFrame
        The schedules in force, of `backupkit.tables.SCHEDULES`.
    end : Timestamp
        The instant of the states.
    schedule_unknown : collection of str
        Appliances without a known schedule: they were not read, or have no API for it (6.5).
    newest_local : collection of str
        Appliances whose newest success is on the appliance itself, and no recovery point.

    Returns
    -------
    Series of str
        A sentence by appliance; missing if there is no remark.
    """
    plan = _find_schedule_problems(current).reindex(facts.index)
    is_unknown = facts.index.isin(list(schedule_unknown))
    plan = plan.fillna(pd.Series("no schedule", facts.index).mask(is_unknown, _UNKNOWN))
    rows = facts[[*_READ]].join(failed.add_prefix("failure_")).assign(plan=plan)
    rows["local"] = facts.index.isin(list(newest_local))
    rows["name"] = rows.index
    sentences = [_explain_state(row, end) for row in rows.to_dict("records")]
    return pd.Series(sentences, index=facts.index, dtype="str", name="reason")


def _find_schedule_problems(current: pd.DataFrame) -> pd.Series:
    """Return the problem of each appliance's schedules, "" if there is none."""
    enabled = current["enabled"].fillna(value=False).astype("bool")
    planned = enabled & current["hour"].notna() & current["minute"].notna()
    switched_on, runs = (flag.groupby(current["appliance"]).any() for flag in (enabled, planned))
    unread = current["read_error"].notna().groupby(current["appliance"]).any()
    problems = pd.Series("schedule disabled", index=runs.index, dtype="str")
    problems = problems.mask(switched_on, "schedule without a time").mask(unread, _UNKNOWN)
    return problems.mask(runs, "")


def _explain_state(row: _Row, end: pd.Timestamp) -> str | None:
    match row["state"]:
        case "breach":
            return _explain_breach(row)
        case "unknown":
            decided = not row["known_until"] >= end
            return _explain_unknown(row) if decided else str(row["undecided"])
        case "excluded":
            return _explain_excluded(row)
        case "unobserved":
            since = row["known_since"]
            return "never read" if since is pd.NaT else f"not known before {_format_time(since)}"
        case _:
            return _format_remark(row, end)


def _explain_breach(row: _Row) -> str:
    plan = f", {row['plan']}" if row["plan"] else ""
    if row["local"]:
        plan = f", newest backup is on the appliance itself{plan}"
    if row["strikes"]:
        sentence = f"{_format_failures(row)} since {_format_time(row['failure_since'])}{plan}"
        return f"{sentence}: {_quote_message(row['failure_text'])}"
    if pd.isna(row["last_success"]):
        return f"no recovery point ever seen{plan}{_format_undecided(row)}"
    running = ", a backup is running" if row["last_outcome"] == "open" else ""
    undecided = _format_undecided(row)
    if undecided:
        return f"no newer backup than {_format_time(row['last_success'])}{plan}{undecided}{running}"
    if pd.notna(row["incident_since"]):
        return f"no run since {_format_time(row['last_success'])}{plan}{running}"
    return f"no newer backup than {_format_time(row['last_success'])}{plan}{running}"


def _format_undecided(row: _Row) -> str:
    return f", {row['undecided']}" if isinstance(row["undecided"], str) else ""


def _explain_unknown(row: _Row) -> str:
    if pd.isna(row["last_poll"]):
        return "never polled"
    if pd.isna(row["failing_since"]):
        return f"not polled since {_format_time(row['last_poll'])}"
    kind = row["error"] if isinstance(row["error"], str) else "not read"
    since = (
        "never read" if pd.isna(row["last_ok"]) else f"since {_format_time(row['failing_since'])}"
    )
    return f"{kind}, {since}: {_quote_message(row['detail'])}"


def _explain_excluded(row: _Row) -> str:
    if isinstance(row["excluded_because"], str):
        return str(row["excluded_because"])
    return f"onboarding: no success yet, until {_format_time(row['onboarding_until'])}"


def _format_remark(row: _Row, end: pd.Timestamp) -> str | None:
    if row["known_until"] < end:
        return f"judged by its last known recovery point; {_explain_unknown(row)}"
    if row["strikes"]:
        return f"{_format_failures(row)}: {_quote_message(row['failure_text'])}"
    if isinstance(row["undecided"], str):
        return str(row["undecided"])
    if pd.notna(row["incident_since"]):
        return f"an expected run did not start, overdue since {_format_time(row['incident_since'])}"
    return f"{row['plan']}" if row["plan"] else None


def _format_failures(row: _Row) -> str:
    return (
        "the last attempt failed" if row["strikes"] == 1 else f"{row['strikes']} failures in a row"
    )


def _quote_message(message: object) -> str:
    """Return a message on one line of bounded length."""
    plain = (
        _WHITESPACE.sub(" ", message[: 4 * _MAX_MESSAGE_LENGTH]).strip()
        if isinstance(message, str)
        else ""
    )
    if len(plain) > _MAX_MESSAGE_LENGTH:
        plain = plain[: _MAX_MESSAGE_LENGTH - 1].rstrip() + "…"
    return plain or "no message"


def _format_time(moment: pd.Timestamp) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
