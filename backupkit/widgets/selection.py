"""Selection of the explorer: its filters and period."""

from dataclasses import dataclass, fields
from typing import Final

import pandas as pd

from backupkit.errors import SettingsError
from backupkit.settings import Instant, parse_duration, parse_instant
from backupkit.tables import OUTCOMES, STATES

__all__ = ["LISTS", "Selection"]

_JOB_FILTERS: Final = ("outcomes", "types", "signatures")

LISTS: Final = ("appliances", "sites", "groups", "states", *_JOB_FILTERS)
"""Attributes of a selection that hold tuples of values."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters of the explorer. An empty tuple or text does not filter.

    Attributes
    ----------
    appliances : tuple of str
        Names of appliances.
    last : str
        Length of the period before `end`, such as ``"7d"``; ignored if `start` is set.
    start, end : datetime or str, optional
        Start and end of the period; the end is now by default.
    sites, groups : tuple of str
        Sites and groups of appliances, from fleet.toml.
    states : tuple of str
        States at the period's end: compliant, breach, unknown, excluded, unobserved.
    outcomes : tuple of str
        Outcomes of jobs: success, failure, open, void, other.
    types : tuple of str
        Types of jobs: SCHEDULED, MANUAL, ...
    signatures : tuple of str
        Error patterns of jobs.
    text : str
        Text in a job's appliance, id, type, location, signature or messages; case is ignored.

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
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in LISTS:
                if isinstance(value, str):
                    raise TypeError(f'{field.name} must be several texts, such as ("{value}",).')
                object.__setattr__(self, field.name, tuple(value))
        for name, known in (("states", STATES), ("outcomes", OUTCOMES)):
            if unknown := sorted(set(getattr(self, name)) - set(known)):
                raise ValueError(
                    f"no such {name[:-1]}: {', '.join(map(str, unknown))}; "
                    f"there are: {', '.join(known)}"
                )

    @property
    def only_period(self) -> "Selection":
        """The same period without a filter."""
        return Selection(last=self.last, start=self.start, end=self.end)

    @property
    def chooses_jobs(self) -> bool:
        """True if any filter of jobs is set."""
        return bool(self.text) or any(getattr(self, name) for name in _JOB_FILTERS)

    def format_arguments(self) -> list[str]:
        """Return the arguments of `explore` that restore this selection, as Python code.

        Examples
        --------
        >>> Selection(last="7d", outcomes=("failure",)).format_arguments()
        ["last='7d'", "outcomes=('failure',)"]
        """
        usual, arguments = Selection(), []
        for field in fields(self):
            value = getattr(self, field.name)
            if value == getattr(usual, field.name):
                continue
            if field.name in ("start", "end"):
                value = parse_instant(value, where=field.name).isoformat()
            arguments.append(f"{field.name}={value!r}")
        return arguments

    def period(self, now: pd.Timestamp) -> tuple[pd.Timestamp, pd.Timestamp]:
        """Return the period as a half-open interval.

        Parameters
        ----------
        now : Timestamp
            Time of the assessment; the end is never later.

        Returns
        -------
        start, end : Timestamp
            In UTC.

        Raises
        ------
        SettingsError
            If a time cannot be parsed, or the period is empty.

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
