"""Figures of the judged frames: frame in, matplotlib axes out, no pyplot state touched."""

from backupkit.plots.compliance import matrix
from backupkit.plots.failures import failures
from backupkit.plots.timeline import progress, timeline

__all__ = ["failures", "matrix", "progress", "timeline"]
