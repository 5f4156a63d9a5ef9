"""What an append added to a history."""

from dataclasses import dataclass, field
from typing import Final

import pandas as pd

from backupkit.tables import CONFLICTS, LISTED, conflicts_in

__all__ = ["Appended"]

_JOB: Final = ["appliance", "job_id"]


@dataclass(frozen=True, slots=True)
class Appended:
    """How many rows an append added; the rest was known already.

    Attributes
    ----------
    new, changed, vanished : int
        Observations of jobs never seen before, of known ones, and of jobs that are listed no more.
    polls, schedules : int
        Rows of these.
    conflicts : DataFrame
        Of `backupkit.tables.CONFLICTS`: the changed jobs that had ended, and are now told with
        another start or end. Both are kept, and the newer counts.
    """

    new: int = 0
    changed: int = 0
    vanished: int = 0
    polls: int = 0
    schedules: int = 0
    conflicts: pd.DataFrame = field(default_factory=CONFLICTS.empty, compare=False, repr=False)

    def __add__(self, other: "Appended") -> "Appended":
        """Return the sum of two appends."""
        names = ("new", "changed", "vanished", "polls", "schedules")
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        both = [one for one in (self.conflicts, other.conflicts) if len(one)]
        conflicts = pd.concat(both, ignore_index=True) if both else CONFLICTS.empty()
        return Appended(**sums, conflicts=conflicts)

    @property
    def observations(self) -> int:
        """Observations added, of any kind."""
        return self.new + self.changed + self.vanished

    @classmethod
    def of(
        cls, observations: pd.DataFrame, known: pd.DataFrame, *, polls: int, schedules: int
    ) -> "Appended":
        """Tell what was added, from the observations that were and those known before."""
        before = pd.MultiIndex.from_frame(known[_JOB]).unique()
        told = observations[observations["source"] != LISTED]
        # what tells of several visits may tell of a new job more than once
        first = ~told.duplicated(_JOB).to_numpy()
        new = int((first & ~pd.MultiIndex.from_frame(told[_JOB]).isin(before)).sum())
        return cls(
            new=new,
            changed=len(told) - new,
            vanished=len(observations) - len(told),
            polls=polls,
            schedules=schedules,
            conflicts=_conflicts(observations, known),
        )


def _conflicts(new: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Find what `new` tells otherwise of jobs that had ended."""
    ids = set(new["job_id"])
    found = conflicts_in(pd.concat([known[known["job_id"].isin(ids)], new], ignore_index=True))
    keys = [*_JOB, "observed_at"]
    arrived = pd.MultiIndex.from_frame(new[keys])
    return found[pd.MultiIndex.from_frame(found[keys]).isin(arrived)].reset_index(drop=True)
