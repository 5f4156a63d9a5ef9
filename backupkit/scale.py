"""The same judgement on a Dask cluster, for a fleet whose history does not fit one machine.

Each worker opens the history by itself, reads some appliances of it, and judges them by the very
functions that judge a whole fleet in one process; only what those make of it comes back.
"""

import functools
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pandas as pd

from backupkit import analysis
from backupkit.assessment import Assessment
from backupkit.assessment.evaluation import known_at
from backupkit.assessment.judging import assess
from backupkit.assessment.part import Part, judge_part
from backupkit.assessment.setting import Setting, Times
from backupkit.errors import SettingsError
from backupkit.history import History
from backupkit.history.layout import neighbours
from backupkit.policy import Policy
from backupkit.settings import Instant

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["evaluate_dask"]

_AT_ONCE: Final = 500_000
"""Observations that a worker reads at once."""


def evaluate_dask(  # noqa: PLR0913 # the arguments of evaluate, and three
    history: History,
    policy: Policy,
    *,
    start: Instant | None = None,
    end: Instant | None = None,
    now: Instant | None = None,
    last: str | timedelta | None = None,
    as_if: bool = False,
    client: "Client | None" = None,
    partitions: int | None = None,
    all_jobs: bool = True,
) -> Assessment:
    """Judge a fleet over a period, its appliances spread over workers.

    Parameters
    ----------
    history : History
        What is known. Every worker must get to it by the same path, or URL.
    policy, start, end, now, last, as_if
        As of `backupkit.evaluate`.
    client : distributed.Client, optional
        The cluster. Without one the pieces are judged here, one after the other: that takes as long
        as `backupkit.evaluate`, and with `all_jobs=False` a fraction of its memory.
    partitions : int, optional
        How many pieces the fleet is cut into; by default so many that each reads about 500,000
        observations.
    all_jobs : bool
        Whether the assessment holds all jobs. False leaves out those that neither began, nor ran,
        nor ended in the period: no figure changes, and far less has to come back from the workers.

    Returns
    -------
    Assessment
        All facts, the same as `backupkit.evaluate` gives.

    Raises
    ------
    SettingsError
        As of `backupkit.evaluate`; or if there are no partitions.

    Examples
    --------
    >>> import tempfile
    >>> from backupkit import History, Policy
    >>> evaluate_dask(History(tempfile.mkdtemp()), Policy(), last="7d").verdict.state
    'unknown'
    """
    if partitions is not None and partitions < 1:
        raise SettingsError(f"partitions must be 1 or more, got {partitions}.")
    times = Times.asked(start=start, end=end, now=now, last=last)
    at = None if now is None else times.now
    polls = history.polls(at=at)
    polls = polls[polls["polled_at"] <= times.now]
    setting = Setting.of(policy, polls["appliance"].unique(), times, as_if=as_if)
    names = setting.rules.index
    number = min(partitions or 1 + history.count() // _AT_ONCE, max(len(names), 1))
    place = _Place(history.uri, tuple(sorted(history.storage_options.items())))
    judge = functools.partial(_judged, place, at=at, all_jobs=all_jobs)
    pieces = (
        (polls[polls["appliance"].isin(part)], setting.only(pd.Index(part)))
        for part in neighbours(names, number)
    )
    if client is None:
        parts = [judge(*piece) for piece in pieces]
    else:
        # each by itself: a graph of all would hold every visit
        futures = [client.submit(judge, *piece, pure=False) for piece in pieces]
        parts = client.gather(futures)  # type: ignore[no-untyped-call]
    return assess(parts, setting, version=analysis.data_version(polls))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a history is, and the keys to it, which Dask must not log with a task that fails."""

    uri: str
    options: tuple[tuple[str, str], ...] = field(repr=False)


def _judged(
    place: _Place,
    polls: pd.DataFrame,
    setting: Setting,
    *,
    at: pd.Timestamp | None,
    all_jobs: bool,
) -> Part:
    """Read some appliances, and judge them; this runs on a worker."""
    history = _opened(place, threading.get_ident())
    known = history.known(at=at, appliances=setting.rules.index, polls=polls)
    return judge_part(known_at(known, setting.times.now), setting, all_jobs=all_jobs)


@functools.lru_cache(maxsize=8)
def _opened(place: _Place, _thread: int) -> History:
    """Open a history once in each thread: its files are held against their seals once."""
    return History(place.uri, create=False, storage_options=dict(place.options))
