"""Changes between two assessments of one fleet."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pandas as pd

from backupkit.assessment.result import Assessment
from backupkit.tables import CHANGES

__all__ = ["CHANGE_KINDS", "Comparison", "compare"]

CHANGE_KINDS: Final = (
    "newly in breach",
    "newly unknown",
    "new failure",
    "no longer in fleet.toml",
    "newly excluded",
    "new appliance",
    "recovered",
    "readable again",
    "back in scope",
    "failure not seen again",
)
"""The kinds of change, the most important first."""

_TO: Final = {
    "breach": "newly in breach",
    "unknown": "newly unknown",
    "unobserved": "newly unknown",
    "excluded": "newly excluded",
}
_BACK_FROM: Final = {
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
    changes : DataFrame
        Of `backupkit.tables.CHANGES`.
    """

    start: pd.Timestamp
    end: pd.Timestamp
    now: pd.Timestamp
    version: str
    changes: pd.DataFrame

    @property
    def sentence(self) -> str:
        """The number of changes of each kind, in a sentence."""
        if _is_empty(self.version):
            return "nothing was known yet then"
        counts = self.changes["kind"].value_counts()
        told = [f"{counts[kind]:,} {kind}" for kind in CHANGE_KINDS if counts.get(kind, 0)]
        return ", ".join(told) or "nothing changed"


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
    rows = [] if is_empty else [*_appliances(before, after), *_signatures(before, after)]
    rank = {kind: place for place, kind in enumerate(CHANGE_KINDS)}
    rows.sort(key=lambda row: rank[str(row["kind"])])  # stable: keeps the worst first within a kind
    return Comparison(
        start=before.start,
        end=before.end,
        now=before.now,
        version=before.version,
        changes=CHANGES.frame({name: [row.get(name) for row in rows] for name in CHANGES.names}),
    )


def _is_empty(version: str) -> bool:
    """Return whether a data version is of an empty history or of frames without polls."""
    return not version or version.startswith("0-")


def _appliances(before: Assessment, after: Assessment) -> Iterator[dict[str, str | None]]:
    """Yield the change of each appliance, in the order of the later assessment."""
    were = before.appliances["state"].where(_visited(before)).to_dict()
    gone = _gone(before, after)
    visited = _visited(after).to_dict()
    reasons = after.appliances["reason"].to_dict()
    for name, now in after.appliances["state"].items():
        was = were.get(name)
        kind = _kind(
            None if pd.isna(was) else str(was), str(now), known=visited[name], gone=name in gone
        )
        if kind is not None:
            reason = reasons[name]
            yield {
                "kind": kind,
                "appliance": str(name),
                "was": None if pd.isna(was) else str(was),
                "now": None if name in gone else str(now),
                "detail": None if pd.isna(reason) else str(reason),
            }
    for name, was in were.items():
        if name not in after.appliances.index and pd.notna(was):
            yield {"kind": "no longer in fleet.toml", "appliance": str(name), "was": str(was)}


def _gone(before: Assessment, after: Assessment) -> frozenset[str]:
    """Return the appliances that fleet.toml no longer lists and that were not polled since."""
    if before.now == after.now:
        return frozenset()
    left = after.coverage[~after.coverage["configured"].astype("bool")]
    quiet = left.index[left["last_poll"] <= before.now]
    visits = before.coverage["last_poll"].reindex(quiet)
    return frozenset(str(name) for name in quiet[visits > before.start])


def _visited(assessment: Assessment) -> pd.Series:
    """Return which appliances were ever polled; the others cannot change."""
    visits = assessment.coverage["polls"].reindex(assessment.appliances.index)
    return visits.fillna(0).gt(0).astype("bool")


def _kind(was: str | None, now: str, *, known: bool, gone: bool) -> str | None:
    """Return the kind of a change of state, None if it is no change."""
    if was is None:
        new = _TO["breach"] if now == "breach" else "new appliance"
        return new if known and not gone else None
    if gone:
        return "no longer in fleet.toml"
    if was == now or {was, now} <= {"unknown", "unobserved"}:
        return None
    return _TO[now] if now in _TO else _BACK_FROM[was]


def _signatures(before: Assessment, after: Assessment) -> Iterator[dict[str, str | None]]:
    """Yield the failure signatures that appeared or were not seen again."""
    then, now = before.failures["signature"], after.failures
    new = now[~now["signature"].isin(then)]
    for signature, jobs, hit in zip(new["signature"], new["jobs"], new["appliances"], strict=True):
        yield {
            "kind": "new failure",
            "signature": str(signature),
            "detail": f"{_count(jobs, 'job')} of {_count(hit, 'appliance')}",
        }
    for signature in then[~then.isin(now["signature"])]:
        yield {"kind": "failure not seen again", "signature": str(signature)}


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
