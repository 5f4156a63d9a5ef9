"""Sync state of an appliance: what the next collection needs to know."""

from dataclasses import dataclass

__all__ = ["SyncState"]


@dataclass(frozen=True, slots=True)
class SyncState:
    """Sync state of one appliance, from earlier collections.

    `listed` are the ids on its job list; `jobs` is their number, also if `listed` is read only when
    the poll starts. Jobs in `finished` are not requested again. `api` is that of the newest good
    poll, None if it must be detected, as after an upgrade. `schedules` are the names of the
    schedules on the appliance. `list_digest` is that of its job list, if all jobs on it have ended
    and are known: an appliance that sends the same list again has nothing new.
    """

    listed: frozenset[str] = frozenset()
    finished: frozenset[str] = frozenset()
    jobs: int = 0
    api: str | None = None
    details: bool | None = None
    version: str | None = None
    timezone: str | None = None
    schedules: frozenset[str] = frozenset()
    list_digest: str | None = None
