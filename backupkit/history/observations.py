"""Jobs from observations, row by row, as an append needs them.

`backupkit.tables.jobs_from` does the same for frames. `backupkit history verify` compares the two.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple, cast

from backupkit.tables.constants import ENDED, LISTED, OUTCOME_BY_STATUS

__all__ = [
    "Job",
    "Key",
    "Observation",
    "find_changes",
    "find_conflicts",
    "find_repeats",
    "fold",
    "to_observations",
]

Key = tuple[str, str]
"""Appliance and id of a job."""


class Observation(NamedTuple):
    """Stored row of `backupkit.tables.OBSERVATIONS`."""

    appliance: str
    job_id: str
    observed_at: int
    state: str | None = None
    status: str | None = None
    progress: float | None = None
    start_time: int | None = None
    end_time: int | None = None
    messages: str | None = None
    type: str | None = None
    size: int | None = None
    location: str | None = None
    build: str | None = None
    source: str | None = None
    read_error: str | None = None

    @property
    def key(self) -> Key:
        """Appliance and id of the job."""
        return self.appliance, self.job_id

    @property
    def is_seen(self) -> bool:
        """True if the job was seen; False if it was found to be no longer listed."""
        return self.source != LISTED


class Job(NamedTuple):
    """Stored row of `backupkit.tables.JOBS`, without the duration."""

    appliance: str
    job_id: str
    state: str | None = None
    status: str | None = None
    progress: float | None = None
    start_time: int | None = None
    end_time: int | None = None
    messages: str | None = None
    type: str | None = None
    size: int | None = None
    location: str | None = None
    build: str | None = None
    source: str | None = None
    read_error: str | None = None
    outcome: str | None = None
    first_seen_at: int | None = None
    last_seen_at: int | None = None
    vanished_at: int | None = None

    @property
    def key(self) -> Key:
        """Appliance and id of the job."""
        return self.appliance, self.job_id


_SHARED: Final = Observation._fields[3:]
_DETAILS: Final = ("type", "size", "location", "build")
"""Fields that job/{id} never returns."""


def find_repeats(rows: Sequence[Any], *, key: int, optional: Sequence[int] = ()) -> list[bool]:
    """Return which rows of one key, by time, equal the row before them.

    Parameters
    ----------
    rows : sequence of tuple
        Rows of one key in the order of their times.
    key : int
        Number of fields, of key and time, that are not compared.
    optional : sequence of int
        Fields in which a missing value is no difference.

    Examples
    --------
    >>> find_repeats([("a", 1, "x", 5), ("a", 2, "x", None), ("a", 3, "y", 5)], key=2, optional=[3])
    [False, True, False]
    """
    compared = [place for place in range(key, len(rows[0])) if place not in optional]
    before: list[Any] | None = None
    known: list[Any] = [None] * len(optional)
    repeats = []
    for row in rows:
        values = [row[place] for place in compared]
        details = [row[place] for place in optional]
        same = all(new is None or new == old for new, old in zip(details, known, strict=True))
        repeats.append(values == before and same)
        before = values
        known = [old if new is None else new for new, old in zip(details, known, strict=True)]
    return repeats


_OPTIONAL: Final = [Observation._fields.index(name) for name in _DETAILS]


def _find_repeated(rows: Sequence[Observation]) -> list[bool]:
    """Return which observations of one job, by time, equal the one before them."""
    # job and details are two ways to read the same
    marked = [row._replace(source=LISTED if row.source == LISTED else "") for row in rows]
    return find_repeats(marked, key=3, optional=_OPTIONAL) if rows else []


def find_changes(new: Sequence[Observation], known: Sequence[Observation]) -> list[int]:
    """Return the positions of the new observations of a job that differ from those before them.

    Observations may arrive late: each is compared with the one of its time. One with a known time
    is not new; of several with the same time the last counts.

    Examples
    --------
    >>> one = Observation("vc-1", "a", 1, status="INPROGRESS")
    >>> two = one._replace(observed_at=2)
    >>> find_changes([two, two._replace(observed_at=3, status="SUCCEEDED")], [one])
    [1]
    """
    if not known and len(new) == 1:
        return [0]
    times = {row.observed_at for row in known}
    arrived = {row.observed_at: place for place, row in enumerate(new)}
    rows = [(row, -1) for row in known] + [(new[place], place) for place in arrived.values()]
    rows.sort(key=lambda pair: pair[0].observed_at)
    repeats = _find_repeated([row for row, _ in rows])
    return sorted(
        place
        for (row, place), repeated in zip(rows, repeats, strict=True)
        if place >= 0 and not repeated and row.observed_at not in times
    )


def fold(observations: Sequence[Observation], *, first_seen_at: int | None = None) -> Job | None:
    """Return a job from its observations; None if it was never seen.

    `first_seen_at` is known if older observations are left out. The rules are those of
    `backupkit.tables.jobs_from`.

    Examples
    --------
    >>> one = Observation("vc-1", "a", 1, status="INPROGRESS", start_time=0, type="MANUAL")
    >>> job = fold([one, Observation("vc-1", "a", 9, status="SUCCEEDED", end_time=8)])
    >>> job.outcome, job.start_time, job.type, job.last_seen_at
    ('success', 0, 'MANUAL', 9)
    """
    ordered = sorted(observations, key=lambda row: row.observed_at)
    repeats = _find_repeated(ordered)
    kept = [row for row, repeated in zip(ordered, repeats, strict=True) if not repeated]
    seen = [row for row in kept if row.is_seen]
    if not seen:
        return None
    newest = seen[-1]
    chosen = next((row for row in reversed(seen) if row.status in ENDED), newest)
    values = {name: getattr(chosen, name) for name in _SHARED}
    for name in (*_DETAILS, "start_time"):
        if name in _DETAILS or values[name] is None:
            known = (getattr(row, name) for row in reversed(seen))
            values[name] = next((value for value in known if value is not None), None)
    gone = (row.observed_at for row in kept if not row.is_seen)
    return Job(
        newest.appliance,
        newest.job_id,
        **values,
        outcome=OUTCOME_BY_STATUS.get(chosen.status or "", "other"),
        first_seen_at=seen[0].observed_at if first_seen_at is None else first_seen_at,
        last_seen_at=newest.observed_at,
        vanished_at=next((moment for moment in gone if moment > newest.observed_at), None),
    )


def to_observations(job: Job) -> Iterator[Observation]:
    """Yield observations from which `fold` makes a job that was seen, but for its first time."""
    seen_at = cast("int", job.last_seen_at)
    yield Observation(*job.key, seen_at, **{name: getattr(job, name) for name in _SHARED})
    if job.vanished_at is not None:
        yield Observation(*job.key, job.vanished_at, source=LISTED)


def find_conflicts(
    new: Sequence[Observation], known: Sequence[Observation]
) -> Iterator[tuple[Any, ...]]:
    """Yield rows of `backupkit.tables.CONFLICTS`: what new observations of one job contradict."""
    arrived = {row.observed_at for row in new}
    ended = sorted(
        (row for row in (*known, *new) if row.status in ENDED), key=lambda row: row.observed_at
    )
    for before, row in pairwise(ended):
        pairs = ((before.start_time, row.start_time), (before.end_time, row.end_time))
        differs = any(old is not None and now not in {None, old} for old, now in pairs)
        if differs and row.observed_at in arrived:
            yield (
                *row.key,
                row.observed_at,
                row.start_time,
                row.end_time,
                before.start_time,
                before.end_time,
            )
