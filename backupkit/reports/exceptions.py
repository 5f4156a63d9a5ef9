"""Page that lists only what needs attention: what it leaves out, and the sentence about that."""

from typing import Final, NamedTuple

import pandas as pd

from backupkit.assessment import Assessment, find_coming_breach
from backupkit.display import Rows, state_badge
from backupkit.display.format import format_count
from backupkit.reports.facts import Details, Link, Summary
from backupkit.reports.summary import build_links
from backupkit.tables import IN_SCOPE_STATES

__all__ = ["LeftOut", "find_exceptions", "leave_out_good"]

_SECTIONS: Final = (
    "Fleet, Runs, Trend, Longest incidents, Windows, Day by day, Forecast, Load, Duration and size"
)


class LeftOut(NamedTuple):
    """Appliances that a page leaves out, with their anchors, and the sentence about it."""

    sentence: str
    names: tuple[Link, ...]


def find_exceptions(assessment: Assessment) -> pd.Index:
    """Return the appliances that need attention, the worst first.

    They are in breach now or soon, at risk, unknown or not observed, or were read in part.

    Examples
    --------
    >>> from backupkit import evaluate_frames
    >>> from backupkit.policy import Member, Policy
    >>> from backupkit.tables import JOBS, POLLS, SCHEDULES
    >>> frames = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
    >>> retired = Member(appliance="vc-2", exclude="retired")
    >>> policy = Policy(members=[Member(appliance="vc-1"), retired])
    >>> end = "2026-11-09T00:00:00Z"
    >>> a = evaluate_frames(*frames, policy, start="2026-11-02T00:00:00Z", end=end, now=end)
    >>> find_exceptions(a).to_list()
    ['vc-1']
    """
    rows = assessment.appliances
    basis = assessment.coverage.reindex(rows.index)
    in_part = basis["jobs_unread"].gt(0).fillna(value=False) | basis["schedules_error"].notna()
    is_bad = rows["state"].isin(["breach", "unknown", "unobserved"]) | (
        in_part & rows["state"].isin(IN_SCOPE_STATES)
    )
    coming = find_coming_breach(assessment).index
    return rows.index[is_bad | rows.index.isin(assessment.at_risk) | rows.index.isin(coming)]


def leave_out_good(
    assessment: Assessment, summary: Summary, details: Details
) -> tuple[Summary, Details, LeftOut]:
    """Return the sections without what is good, and what was left out."""
    is_bad = assessment.appliances.index.isin(find_exceptions(assessment))
    groups = [
        group
        for group in summary.groups
        if {group.target.kind, group.state.kind} - {"compliant", "excluded"}
    ]
    states = assessment.appliances.loc[~is_bad, "state"].value_counts()
    counts = ", ".join(
        f"{state_badge(str(state)).label[2:].lower()} {count:,}" for state, count in states.items()
    )
    total = format_count(len(is_bad), "appliance")
    left_out = int((~is_bad).sum())
    sentence = (
        f"{left_out:,} of {total} left out" + (f" ({counts})" if counts else "") + "; so are sites"
        f" and groups that meet their targets, and the sections {_SECTIONS}. The figures are those"
        " of all appliances, and a report without --exceptions-only has everything."
    )
    links = build_links(assessment).values()
    return (
        summary._replace(groups=Rows(groups, summary.groups.total)),
        details._replace(
            appliances=tuple(
                facts for facts, bad in zip(details.appliances, is_bad, strict=True) if bad
            ),
            reproduce_command=f"{details.reproduce_command} --exceptions-only",
        ),
        LeftOut(sentence, tuple(link for link, bad in zip(links, is_bad, strict=True) if not bad)),
    )
