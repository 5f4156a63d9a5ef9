"""Changes between two assessments of one fleet."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pandas as pd

from backupkit.analysis import WARNING_RESULTS, describe_schedule_change, score_warnings
from backupkit.assessment.result import Assessment
from backupkit.display.format import format_count
from backupkit.errors import one_line
from backupkit.tables import CHANGES, WARNING_SCORES

__all__ = ["CHANGE_KINDS", "Comparison", "compare"]

CHANGE_KINDS: Final = (
    "newly in breach",
    "newly unknown",
    "new failure",
    "schedule changed",
    "no longer in fleet.toml",
    "newly excluded",
    "new appliance",
    "recovered",
    "readable again",
    "back in scope",
    "failure not seen again",
)
"""The kinds of change, the most important first."""

_PLURALS: Final = {
    "new failure": "new failures",
    "schedule changed": "schedules changed",
    "new appliance": "new appliances",
    "failure not seen again": "failures not seen again",
}
"""Several changes of the kinds that have a noun."""

_KIND_BY_NEW_STATE: Final = {
    "breach": "newly in breach",
    "unknown": "newly unknown",
    "unobserved": "newly unknown",
    "excluded": "newly excluded",
}
_KIND_BY_OLD_STATE: Final = {
    "breach": "recovered",
    "unknown": "readable again",
    "unobserved": "readable again",
    "excluded": "back in scope",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Changes since an earlier assessment.

    Attributes
    ----------
    start, end, now : Timestamp
        The period and the time of the earlier assessment [UTC].
    version : str
        The data version of the earlier assessment.
    fleet : DataFrame
        Of `backupkit.tables.METRICS`: the figures of the fleet then.
    changes : DataFrame
        Of `backupkit.tables.CHANGES`.
    warnings : DataFrame
        Of `backupkit.tables.WARNING_SCORES`: the warnings of the earlier assessment by what
        happened until the end of the later one, and the breaches without a warning.
    """

    start: pd.Timestamp
    end: pd.Timestamp
    now: pd.Timestamp
    version: str
    fleet: pd.DataFrame
    changes: pd.DataFrame
    warnings: pd.DataFrame

    @property
    def warning_sentence(self) -> str:
        """The number of earlier warnings by result; "" if there is nothing to score."""
        counts = self.warnings["result"].value_counts()
        phrases = [
            f"{counts[result]:,} {result}"
            for result in WARNING_RESULTS
            if result != "missed" and counts.get(result, 0)
        ]
        issued = len(self.warnings) - int(counts.get("missed", 0))
        sentence = f"of {format_count(issued, 'warning')}: {', '.join(phrases)}" if issued else ""
        if not (missed := int(counts.get("missed", 0))):
            return sentence
        without = f"{missed:,} in breach without a warning"
        return f"{sentence}; {without}" if sentence else f"no warning was issued; {without}"

    @property
    def is_empty(self) -> bool:
        """True if nothing was known at the time of the earlier assessment: nothing to compare."""
        return _is_empty(self.version)

    @property
    def sentence(self) -> str:
        """The number of changes of each kind, in a sentence."""
        if self.is_empty:
            return "nothing was known yet then"
        counts = self.changes["kind"].value_counts()
        phrases = [
            f"{count:,} {_PLURALS.get(kind, kind) if count > 1 else kind}"
            for kind in CHANGE_KINDS
            if (count := int(counts.get(kind, 0)))
        ]
        return ", ".join(phrases) or "nothing changed"


def compare(before: Assessment, after: Assessment) -> Comparison:
    """Compare two assessments of one fleet.

    Parameters
    ----------
    before, after : Assessment
        The earlier and the later assessment.

    Returns
    -------
    Comparison
        One row per appliance that is worse, better, new or gone, and per failure signature that
        appeared or was not seen again. No row if the earlier assessment had no polls.

    Examples
    --------
    >>> from backupkit import evaluate_frames
    >>> from backupkit.policy import Member, Policy
    >>> from backupkit.tables import JOBS, POLLS, SCHEDULES
    >>> frames = JOBS.empty(), POLLS.empty(), SCHEDULES.empty()
    >>> policy = Policy(members=[Member(appliance="vc-1")])
    >>> end = "2026-11-09T00:00:00Z"
    >>> a = evaluate_frames(*frames, policy, start="2026-11-02T00:00:00Z", end=end, now=end)
    >>> compare(a, a).sentence
    'nothing was known yet then'
    """
    is_empty = _is_empty(before.version)
    rows = (
        []
        if is_empty
        else [
            *_find_appliance_changes(before, after),
            *_find_schedule_changes(before, after),
            *_find_signature_changes(before, after),
        ]
    )
    rank = {kind: position for position, kind in enumerate(CHANGE_KINDS)}
    rows.sort(key=lambda row: rank[str(row["kind"])])  # stable: keeps the worst first within a kind
    return Comparison(
        start=before.start,
        end=before.end,
        now=before.now,
        version=before.version,
        fleet=before.fleet,
        changes=CHANGES.frame({name: [row.get(name) for row in rows] for name in CHANGES.names}),
        warnings=WARNING_SCORES.empty() if is_empty else _score_warnings(before, after),
    )


def _score_warnings(before: Assessment, after: Assessment) -> pd.DataFrame:
    """Return the score of the earlier warnings; nothing if the later period ends no later."""
    if after.end <= before.end:
        return WARNING_SCORES.empty()
    return score_warnings(
        before.warnings,
        before.appliances["state"],
        after.intervals,
        since=before.end,
        known_until=after.end,
    )


def _is_empty(version: str) -> bool:
    """Return whether a data version is of an empty history or of frames without polls."""
    return not version or version.startswith("0-")


def _find_appliance_changes(
    before: Assessment, after: Assessment
) -> Iterator[dict[str, str | None]]:
    """Yield the change of each appliance, in the order of the later assessment."""
    old_states = before.appliances["state"].where(_find_polled_appliances(before)).to_dict()
    removed = _find_removed_appliances(before, after)
    polled = _find_polled_appliances(after).to_dict()
    reasons = after.appliances["reason"].to_dict()
    for name, new in after.appliances["state"].items():
        old = old_states.get(name)
        kind = _classify_change(
            None if pd.isna(old) else str(old),
            str(new),
            polled=polled[name],
            removed=name in removed,
        )
        if kind is not None:
            reason = reasons[name]
            yield {
                "kind": kind,
                "appliance": str(name),
                "state_before": None if pd.isna(old) else str(old),
                "state_after": None if name in removed else str(new),
                "detail": None if pd.isna(reason) else str(reason),
            }
    for name, old in old_states.items():
        if name not in after.appliances.index and pd.notna(old):
            yield {
                "kind": "no longer in fleet.toml",
                "appliance": str(name),
                "state_before": str(old),
            }


def _find_removed_appliances(before: Assessment, after: Assessment) -> frozenset[str]:
    """Return the appliances that fleet.toml no longer lists and that were not polled since."""
    if before.now == after.now:
        return frozenset()
    unlisted = after.coverage[~after.coverage["configured"].astype("bool")]
    unpolled = unlisted.index[unlisted["last_poll"] <= before.now]
    last_polls = before.coverage["last_poll"].reindex(unpolled)
    return frozenset(str(name) for name in unpolled[last_polls > before.start])


def _find_polled_appliances(assessment: Assessment) -> pd.Series:
    """Return which appliances were ever polled; the others cannot change."""
    polls = assessment.coverage["polls"].reindex(assessment.appliances.index)
    return polls.fillna(0).gt(0).astype("bool")


def _classify_change(old: str | None, new: str, *, polled: bool, removed: bool) -> str | None:
    """Return the kind of a change of state, None if it is no change."""
    if old is None:
        kind = _KIND_BY_NEW_STATE["breach"] if new == "breach" else "new appliance"
        return kind if polled and not removed else None
    if removed:
        return "no longer in fleet.toml"
    if old == new or {old, new} <= {"unknown", "unobserved"}:
        return None
    return _KIND_BY_NEW_STATE[new] if new in _KIND_BY_NEW_STATE else _KIND_BY_OLD_STATE[old]


def _find_schedule_changes(
    before: Assessment, after: Assessment
) -> Iterator[dict[str, str | None]]:
    """Yield the schedules that were changed or removed."""
    key = ["appliance", "schedule"]
    old, new = before.schedules.set_index(key), after.schedules.set_index(key)
    known = after.coverage.index[after.coverage["schedules_error"].isna()]
    for name, schedule in old.index:
        plan = old.loc[(name, schedule)]
        if name not in after.appliances.index:
            continue
        if (name, schedule) in new.index:
            change = describe_schedule_change(plan, new.loc[(name, schedule)])
        else:
            change = "schedule removed" if name in known else ""
        if change:
            label = one_line(str(schedule), limit=60)
            yield {
                "kind": "schedule changed",
                "appliance": str(name),
                "detail": f'"{label}": {change}',
            }


def _find_signature_changes(
    before: Assessment, after: Assessment
) -> Iterator[dict[str, str | None]]:
    """Yield the failure signatures that appeared or were not seen again."""
    old, new = before.failures["signature"], after.failures
    added = new[~new["signature"].isin(old)]
    for signature, jobs, appliances in zip(
        added["signature"], added["jobs"], added["appliances"], strict=True
    ):
        yield {
            "kind": "new failure",
            "signature": str(signature),
            "detail": f"{format_count(jobs, 'job')} of {format_count(appliances, 'appliance')}",
        }
    for signature in old[~old.isin(new["signature"])]:
        yield {"kind": "failure not seen again", "signature": str(signature)}
