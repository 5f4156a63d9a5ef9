"""Which rows of a table are wanted, and the condition by which its files are read."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from operator import and_, or_
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as ds

from backupkit.history.layout import SHARD, shards_of
from backupkit.settings import Instant, parse_instant

__all__ = ["ALL", "Choice"]

_DAY: Final = 8
"""Letters of a job id: most are like 20261125-040000-24322831, of which these are the day."""

_SPANS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which rows are wanted; each condition is optional.

    Attributes
    ----------
    at, since : datetime or str, optional
        Learnt no later, and no earlier, than this.
    appliances, jobs : collection of str, optional
        Only these.
    """

    at: Instant | None = None
    since: Instant | None = None
    appliances: Collection[str] | None = None
    jobs: Collection[str] | None = None

    @classmethod
    def of(
        cls,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
    ) -> "Choice":
        """Take what a caller asks for; the names may come from an iterator."""
        names = None if appliances is None else frozenset(appliances)
        return cls(at=at, since=since, appliances=names)

    def condition(self, time: str, columns: Collection[str]) -> ds.Expression | None:
        """Give the condition for a table of these columns, None for all rows.

        Spans of job ids and of shards leave out no row that the names do not; but of them a file's
        own statistics can tell without a look at its rows.
        """
        wanted = []
        if self.at is not None:
            wanted.append(ds.field(time) <= _arrow(self.at))
        if self.since is not None:
            wanted.append(ds.field(time) >= _arrow(self.since))
        for column, names in (("appliance", self.appliances), ("job_id", self.jobs)):
            if names is not None:
                typed = pa.array(sorted(names), type=pa.string())  # typed, since it may be empty
                wanted.append(ds.field(column).isin(typed))
        if self.jobs:
            wanted.append(reduce(or_, map(_between, _spans(self.jobs))))
        if SHARD in columns and (shards := shards_of(self.appliances or ())):
            first, last = shards
            wanted += [ds.field(SHARD) >= first, ds.field(SHARD) <= last]
        return reduce(and_, wanted) if wanted else None


def _spans(names: Iterable[str]) -> list[tuple[str, str]]:
    """Give the first and the last of names that begin alike, as the ids of a day's jobs do.

    Examples
    --------
    >>> _spans(["20260301-0100", "20260302-0200", "20260302-0100"])
    [('20260301-0100', '20260301-0100'), ('20260302-0100', '20260302-0200')]
    """
    ordered = sorted(names)
    days = [list(alike) for _, alike in groupby(ordered, key=lambda name: name[:_DAY])]
    if len(days) > _SPANS:  # to hold each file against many would take longer than to read it
        days = [ordered]
    return [(day[0], day[-1]) for day in days]


ALL = Choice()
"""Every row."""


def _between(span: tuple[str, str]) -> ds.Expression:
    first, last = (pa.scalar(name, pa.string()) for name in span)
    return (ds.field("job_id") >= first) & (ds.field("job_id") <= last)


def _arrow(when: Instant) -> Any:  # noqa: ANN401 # an Arrow scalar
    return pa.scalar(parse_instant(when, where="the time"), type=pa.timestamp("us", tz="UTC"))
