"""What the explorer shows: a value that can be read, kept and set."""

from dataclasses import dataclass, fields

import pandas as pd

from backupkit.errors import SettingsError
from backupkit.settings import Instant, parse_duration, parse_instant

__all__ = ["JOB_FILTERS", "Selection"]

JOB_FILTERS = ("outcomes", "types", "signatures")
"""What chooses jobs; the other lists choose appliances."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What the explorer shows. An empty tuple, and an empty text, leave nothing out.

    Attributes
    ----------
    appliances : tuple of str
        Their names.
    last : str
        The length of the period up to now, such as ``"7d"``; `start` has precedence.
    start, end : datetime or str, optional
        A period of its own; the end is now by default.
    sites, groups : tuple of str
        Of the appliances, as fleet.toml says.
    states : tuple of str
        Of the appliances at the period's end: compliant, breach, unknown, excluded, unobserved.
    outcomes : tuple of str
        Of the jobs: success, failure, open, void, other.
    types : tuple of str
        Of the jobs: SCHEDULED, MANUAL, ...
    signatures : tuple of str
        Of the failed jobs.
    text : str
        Found in a job's appliance, id, type, location or message, in upper or lower case.

    Examples
    --------
    >>> Selection(outcomes=("failure",)).chooses_jobs, Selection(sites=("ham",)).chooses_jobs
    (True, False)
    """

    appliances: tuple[str, ...] = ()
    last: str = "30d"
    start: Instant | None = None
    end: Instant | None = None
    sites: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    signatures: tuple[str, ...] = ()
    text: str = ""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in LISTS:
                if isinstance(value, str):
                    raise TypeError(f'{one.name} must be several texts, such as ("{value}",).')
                object.__setattr__(self, one.name, tuple(value))

    @property
    def chooses_jobs(self) -> bool:
        """Whether some jobs of the appliances are left out."""
        return bool(self.text) or any(getattr(self, name) for name in JOB_FILTERS)

    def period(self, now: pd.Timestamp) -> tuple[pd.Timestamp, pd.Timestamp]:
        """Give the period, half-open.

        Parameters
        ----------
        now : Timestamp
            The moment of the judgement; the end is never later.

        Returns
        -------
        start, end : Timestamp
            In UTC.

        Raises
        ------
        SettingsError
            If a time cannot be read, or the period is empty.

        Examples
        --------
        >>> start, end = Selection(last="7d").period(pd.Timestamp("2026-11-09T00:00Z"))
        >>> str(start)
        '2026-11-02 00:00:00+00:00'
        """
        end = now if self.end is None else min(now, parse_instant(self.end, where="end"))
        if self.start is None:
            start = end - parse_duration(self.last, where="last")
        else:
            start = parse_instant(self.start, where="start")
        if start >= end:
            raise SettingsError(f"The period is empty: it starts at {start} and ends at {end}.")
        return start, end


LISTS = ("appliances", "sites", "groups", "states", *JOB_FILTERS)
"""The attributes that list what to choose."""
