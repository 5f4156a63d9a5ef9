"""Report of an assessment: one self-contained HTML file, with data files beside it.

Names are imported when first used, so that the output for monitoring draws no picture.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backupkit.reports.output import Report, report

__all__ = ["Report", "report"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 # either of the names above
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.output"), name)
    globals()[name] = value
    return value
