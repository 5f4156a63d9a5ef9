"""The judgement of a fleet over a period under a policy: all facts, computed once."""

from backupkit.assessment.evaluation import evaluate, evaluate_frames
from backupkit.assessment.result import Assessment, Verdict

__all__ = ["Assessment", "Verdict", "evaluate", "evaluate_frames"]
