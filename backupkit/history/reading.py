"""All that reads frames from a history, imported when first used: an append needs none of it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from backupkit.history.evidence import read_evidence
    from backupkit.history.exchange import backup, export, read_frames, read_notes
    from backupkit.history.queries import (
        Filter,
        find_head,
        format_info,
        parse_microseconds,
        read_info,
        read_jobs,
        read_observations,
        read_table,
        read_view,
    )
    from backupkit.history.retention import forget, prune
    from backupkit.history.rows import to_stored_frames
    from backupkit.history.verify import find_problems

__all__ = [
    "Filter",
    "backup",
    "export",
    "find_head",
    "find_problems",
    "forget",
    "format_info",
    "parse_microseconds",
    "prune",
    "read_evidence",
    "read_frames",
    "read_info",
    "read_jobs",
    "read_notes",
    "read_observations",
    "read_table",
    "read_view",
    "to_stored_frames",
]

_NAMES: Final = {
    "evidence": ("read_evidence",),
    "exchange": ("backup", "export", "read_frames", "read_notes"),
    "queries": (
        "Filter",
        "find_head",
        "format_info",
        "parse_microseconds",
        "read_info",
        "read_jobs",
        "read_observations",
        "read_table",
        "read_view",
    ),
    "retention": ("forget", "prune"),
    "rows": ("to_stored_frames",),
    "verify": ("find_problems",),
}
_HOME: Final = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 # any of the names above
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"backupkit.history.{_HOME[name]}"), name)
    globals()[name] = value
    return value
