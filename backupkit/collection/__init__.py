"""Collection of jobs and schedules from many appliances, and watch of running jobs.

`read_saved_answers` reads API responses that somebody else saved.

A failed appliance is a row in `Snapshot.errors` and `Snapshot.polls`, never an exception.

Names are imported when first used: a collection needs no frame, a watch does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from backupkit.collection.batches import collect_into
    from backupkit.collection.collector import collect
    from backupkit.collection.job_files import read_job_files
    from backupkit.collection.poll_result import Strategy
    from backupkit.collection.saved_files import read_saved_answers
    from backupkit.collection.snapshot import Snapshot
    from backupkit.collection.watcher import watch

__all__ = [
    "Snapshot",
    "Strategy",
    "collect",
    "collect_into",
    "read_job_files",
    "read_saved_answers",
    "watch",
]

_HOME: Final = {
    "Snapshot": "snapshot",
    "Strategy": "poll_result",
    "collect": "collector",
    "collect_into": "batches",
    "read_job_files": "job_files",
    "read_saved_answers": "saved_files",
    "watch": "watcher",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 # any of the names above
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
