"""One sentence about all failures: whether they have one cause or several."""

from functools import cache

import pandas as pd

from backupkit.causes import known_causes
from backupkit.display.format import format_count, sanitise

__all__ = ["describe_causes"]

_MAX_LENGTH = 160  # characters of a cause or an error pattern


def describe_causes(failures: pd.DataFrame, *, appliances: int) -> str:
    """Describe whether the failures of a period have one cause or several, in a sentence.

    Error patterns with the same cause are one cause. A pattern without a known cause is named as
    such, and never counted as a cause. Neither is one whose message only says that the job failed.

    Parameters
    ----------
    failures : DataFrame
        Of `backupkit.tables.FAILURES`; reads signature, jobs, cause_name and cause.
    appliances : int
        Number of appliances that they occurred on.

    Returns
    -------
    str
        The sentence, with cleaned texts.

    Examples
    --------
    >>> failures = pd.DataFrame(
    ...     {
    ...         "signature": ["disk full", "quota", "odd", "strange"],
    ...         "jobs": [20, 9, 3, 2],
    ...         "cause_name": ["space", "space", None, None],
    ...         "cause": ["The target is full.", "The target is full.", None, None],
    ...     }
    ... )
    >>> print(describe_causes(failures, appliances=12))
    34 failed jobs on 12 appliances: 29 by one cause (The target is full), 5 without a known cause
    (2 error patterns).
    >>> print(describe_causes(failures[2:3], appliances=1))
    3 failed jobs on 1 appliance, all without a known cause (“odd”).
    """
    total = int(failures["jobs"].sum())
    if not total:
        return "No backup job failed in this period."
    # a pattern whose messages have different causes has advice, but no cause
    is_known = failures["cause_name"].notna() & ~failures["cause_name"].isin(_list_empty_causes())
    known, other = failures[is_known], failures[~is_known]
    causes = known.groupby("cause_name").agg(jobs=("jobs", "sum"), cause=("cause", "first"))
    causes = causes.sort_values("jobs", ascending=False, kind="stable")
    parts = []
    if len(causes):
        first = sanitise(causes["cause"].iloc[0], limit=_MAX_LENGTH).rstrip(".")
        parts.append((int(causes["jobs"].iloc[0]), f"by one cause ({first})"))
    if len(causes) > 1:
        noun = "other cause" if len(causes) == 2 else "other causes"  # noqa: PLR2004 # one more
        parts.append((int(causes["jobs"].iloc[1:].sum()), f"by {len(causes) - 1:,} {noun}"))
    if len(other):
        text = "without a known cause"
        if len(other) > 1:
            text += f" ({len(other):,} error patterns)"
        elif len(failures) == 1:
            pattern = sanitise(other["signature"].iloc[0], limit=_MAX_LENGTH) or "no message"
            text += f" (“{pattern}”)"
        parts.append((int(other["jobs"].sum()), text))
    head = f"{format_count(total, 'failed job')} on {format_count(appliances, 'appliance')}"
    if len(parts) == 1:
        return f"{head}, all {parts[0][1]}." if total > 1 else f"{head}, {parts[0][1]}."
    return f"{head}: {', '.join(f'{number:,} {text}' for number, text in parts)}."


@cache
def _list_empty_causes() -> frozenset[str]:
    """Return the names of the causes whose messages only say that a job failed."""
    return frozenset(cause.name for cause in known_causes().causes if cause.tells == "nothing")
