"""Number of rows that an append added to a history."""

from dataclasses import dataclass, field
from typing import Final

import pandas as pd

from backupkit.tables import CONFLICTS, LISTED, conflicts_in

__all__ = ["AppendResult"]

_JOB: Final = ["appliance", "job_id"]


@dataclass(frozen=True, slots=True)
class AppendResult:
    """Number of rows that an append added; all other rows were stored already.

    Attributes
    ----------
    new, changed, vanished : int
        Observations of new jobs, of known jobs, and of jobs that are no longer listed.
    polls, schedules : int
        Rows of these.
    conflicts : DataFrame
        Of `backupkit.tables.CONFLICTS`: jobs that had ended and now have another start or
        end. Both observations are stored; the newer one counts.
    """

    new: int = 0
    changed: int = 0
    vanished: int = 0
    polls: int = 0
    schedules: int = 0
    conflicts: pd.DataFrame = field(default_factory=CONFLICTS.empty, compare=False, repr=False)

    def __add__(self, other: "AppendResult") -> "AppendResult":
        """Return the sum of two appends."""
        names = ("new", "changed", "vanished", "polls", "schedules")
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        both = [one for one in (self.conflicts, other.conflicts) if len(one)]
        conflicts = pd.concat(both, ignore_index=True) if both else CONFLICTS.empty()
        return AppendResult(**sums, conflicts=conflicts)

    @property
    def observations(self) -> int:
        """Observations added, of any kind."""
        return self.new + self.changed + self.vanished

    @classmethod
    def of(
        cls, observations: pd.DataFrame, known: pd.DataFrame, *, polls: int, schedules: int
    ) -> "AppendResult":
        """Count what was added: the new observations against those stored before."""
        before = pd.MultiIndex.from_frame(known[_JOB]).unique()
        observed = observations[observations["source"] != LISTED]
        # what tells of several visits may tell of a new job more than once
        first = ~observed.duplicated(_JOB).to_numpy()
        new = int((first & ~pd.MultiIndex.from_frame(observed[_JOB]).isin(before)).sum())
        return cls(
            new=new,
            changed=len(observed) - new,
            vanished=len(observations) - len(observed),
            polls=polls,
            schedules=schedules,
            conflicts=_conflicts(observations, known),
        )


def _conflicts(new: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return the conflicts that `new` adds: ended jobs with another start or end."""
    ids = set(new["job_id"])
    found = conflicts_in(pd.concat([known[known["job_id"].isin(ids)], new], ignore_index=True))
    keys = [*_JOB, "observed_at"]
    arrived = pd.MultiIndex.from_frame(new[keys])
    return found[pd.MultiIndex.from_frame(found[keys]).isin(arrived)].reset_index(drop=True)
