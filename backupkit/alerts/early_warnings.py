"""Facts before a breach: breaches to come, running jobs that are too slow, runs that grow."""

from collections.abc import Collection, Iterator
from typing import Final

from backupkit.alerts.decisions import Fact
from backupkit.assessment import Assessment, explain_coming_breach, find_coming_breach
from backupkit.errors import one_line

__all__ = ["EARLY_WARNINGS", "find_early_warnings", "find_undecided_warnings"]

EARLY_WARNINGS: Final = ("breach-soon", "running", "slower")
"""The kinds of alert that this module finds."""

_LEVELS: Final = {"overrun": 1, "stall": 2}
_MAX_DETAIL: Final = 300  # characters


def find_early_warnings(assessment: Assessment, kinds: Collection[str]) -> Iterator[Fact]:
    """Find what may become a breach.

    Parameters
    ----------
    assessment : Assessment
        One whose period ends now.
    kinds : collection of str
        Kinds to look for; those that are not in `EARLY_WARNINGS` are ignored.

    Yields
    ------
    Fact
        The early warnings of each appliance that is compliant or in breach.

    Examples
    --------
    >>> from backupkit import evaluate_frames
    >>> from backupkit.policy import Policy
    >>> from backupkit.tables import JOBS, POLLS, SCHEDULES
    >>> frames = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
    >>> end = "2026-11-09T00:00:00Z"
    >>> a = evaluate_frames(*frames, Policy(), start="2026-11-02T00:00:00Z", end=end, now=end)
    >>> list(find_early_warnings(a, EARLY_WARNINGS))
    []
    """
    if "breach-soon" in kinds:
        for name, begins in find_coming_breach(assessment).items():
            text = explain_coming_breach(begins, assessment.end)
            yield _build_fact(assessment, "breach-soon", str(name), text)
    if "running" in kinds:
        yield from _find_slow_jobs(assessment)
    if "slower" in kinds:
        warnings = assessment.warnings
        slower = warnings[warnings["kind"] == "slower"]
        for name, text in zip(slower["appliance"], slower["text"], strict=True):
            yield _build_fact(assessment, "slower", str(name), text)


def find_undecided_warnings(assessment: Assessment) -> set[tuple[str, str]]:
    """Return kind and appliance of the early warnings that cannot be judged now.

    An open job may still prevent the breach. Of an appliance that is not known, nothing can be
    judged, and of one in breach not whether its runs grow too long.
    """
    rows = assessment.appliances
    is_known = rows["state"].isin(["compliant", "breach", "excluded"])
    is_open = rows["state"].eq("compliant") & rows["last_outcome"].eq("open").fillna(value=False)
    unclear = {
        "breach-soon": ~is_known | is_open,
        "running": ~is_known,
        "slower": ~is_known | rows["state"].eq("breach"),
    }
    return {(kind, str(name)) for kind, chosen in unclear.items() for name in rows.index[chosen]}


def _find_slow_jobs(assessment: Assessment) -> Iterator[Fact]:
    """Yield the appliances with a running job that is stalled, or longer than usual."""
    rows, states = assessment.anomalies, assessment.appliances["state"]
    judged = states.index[states.isin(["compliant", "breach"])]
    rows = rows[rows["kind"].isin(_LEVELS) & rows["appliance"].isin(judged)]
    for name, own in rows.groupby("appliance"):
        texts = [
            f"job {job} since {start:%Y-%m-%d %H:%M} UTC: {rule}"
            for job, start, rule in zip(own["job_id"], own["start_time"], own["rule"], strict=True)
        ]
        levels = own["kind"].map(_LEVELS)
        worst = texts[int(levels.to_numpy().argmax())]
        yield _build_fact(assessment, "running", str(name), worst, level=int(levels.max()))


def _build_fact(
    assessment: Assessment, kind: str, name: str, detail: str, *, level: int = 1
) -> Fact:
    row = assessment.appliances.loc[name]
    site, group = (value if isinstance(value, str) else "" for value in row[["site", "group"]])
    return Fact(
        kind=kind,
        subject=name,
        site=site,
        group=group,
        detail=one_line(detail, limit=_MAX_DETAIL),
        level=level,
    )
