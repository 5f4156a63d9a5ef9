"""Assessment of a fleet over a period under a policy."""

from backupkit.assessment.breakdown import failures_by
from backupkit.assessment.diff import CHANGE_KINDS, Comparison, compare, previous_period
from backupkit.assessment.evaluation import evaluate, evaluate_frames
from backupkit.assessment.result import Assessment, Verdict

__all__ = [
    "CHANGE_KINDS",
    "Assessment",
    "Comparison",
    "Verdict",
    "compare",
    "evaluate",
    "evaluate_frames",
    "failures_by",
    "previous_period",
]
