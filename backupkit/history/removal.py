"""What is removed on purpose: by age, or all of one appliance; and the record of it."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import pandas as pd

from backupkit.history.layout import SHARD, shard_of
from backupkit.history.mark import Removal, amended
from backupkit.history.place import Place
from backupkit.history.stored import Stored

__all__ = ["forget", "prune"]


def prune(tables: Mapping[str, Stored], place: Place, before: pd.Timestamp) -> dict[str, int]:
    """Remove observations and polls learnt before an instant; see `backupkit.History.prune`."""
    text = f"{before.tz_convert('UTC'):%Y-%m-%dT%H:%M:%S.%f}Z"
    # the polls first: what no poll vouches for is not read, should it end in the middle
    removed = {
        name: tables[name].drop(f"{tables[name].time} < '{text}'")
        for name in ("polls", "observations")
    }
    _record(place, f"learnt before {before:%Y-%m-%d %H:%M} UTC", removed)
    return removed


def forget(tables: Mapping[str, Stored], place: Place, appliance: str) -> dict[str, int]:
    """Remove all of one appliance; see `backupkit.History.forget`."""
    quoted = appliance.replace("'", "''")
    where = f"{SHARD} = {shard_of(appliance)} AND appliance = '{quoted}'"
    removed = {name: tables[name].drop(where) for name in ("polls", "observations", "schedules")}
    _record(place, "all of one appliance", removed)
    return removed


def _record(place: Place, what: str, removed: Mapping[str, int]) -> None:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    record = Removal(at=now, what=what, rows=sum(removed.values()))
    amended(place, lambda mark: msgspec.structs.replace(mark, removed=(*mark.removed, record)))
