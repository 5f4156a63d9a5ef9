"""Assessment of a fleet over a period under a policy."""

from backupkit.assessment.breakdown import failures_by
from backupkit.assessment.diff import CHANGE_KINDS, Comparison, compare
from backupkit.assessment.evaluation import evaluate, evaluate_frames
from backupkit.assessment.failure_sentence import describe_causes
from backupkit.assessment.inventory_sentence import describe_inventory
from backupkit.assessment.outlook import (
    explain_coming_breach,
    find_coming_breach,
    forecast,
)
from backupkit.assessment.result import Assessment
from backupkit.assessment.verdict import PeriodVerdict, TargetResult, Verdict

__all__ = [
    "CHANGE_KINDS",
    "Assessment",
    "Comparison",
    "PeriodVerdict",
    "TargetResult",
    "Verdict",
    "compare",
    "describe_causes",
    "describe_inventory",
    "evaluate",
    "evaluate_frames",
    "explain_coming_breach",
    "failures_by",
    "find_coming_breach",
    "forecast",
]
