"""Figures of assessed frames, drawn on matplotlib axes without pyplot."""

from backupkit.plots.compliance import compliance
from backupkit.plots.durations import durations
from backupkit.plots.exposure import exposure
from backupkit.plots.failure_matrix import failure_matrix
from backupkit.plots.failures import failures, failures_over_time
from backupkit.plots.load import load
from backupkit.plots.matrix import matrix
from backupkit.plots.progress import progress
from backupkit.plots.timeline import timeline

__all__ = [
    "compliance",
    "durations",
    "exposure",
    "failure_matrix",
    "failures",
    "failures_over_time",
    "load",
    "matrix",
    "progress",
    "timeline",
]


def __dir__() -> list[str]:
    return __all__
