"""SLA policies: parameters, the appliances they apply to, and effective dates."""

from backupkit.policy.parameters import PARAMETERS, Anchor, UnknownMode
from backupkit.policy.policy import Policy
from backupkit.policy.scope import Exclusion, Member
from backupkit.policy.values import Plan, Window

__all__ = [
    "PARAMETERS",
    "Anchor",
    "Exclusion",
    "Member",
    "Plan",
    "Policy",
    "UnknownMode",
    "Window",
]
