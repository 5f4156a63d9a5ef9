"""SLA policies: parameters, the appliances they apply to, and effective dates."""

from backupkit.policy.policy import Anchor, Policy, UnknownMode
from backupkit.policy.scope import Exclusion, Member
from backupkit.policy.times import Plan, Window

__all__ = ["Anchor", "Exclusion", "Member", "Plan", "Policy", "UnknownMode", "Window"]
