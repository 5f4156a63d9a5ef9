"""The SLA's numbers: what they are, to whom they apply, and since when."""

from backupkit.policy.numbers import Anchor, Policy, UnknownMode
from backupkit.policy.scope import Exclusion, Member
from backupkit.policy.times import Plan, Window

__all__ = ["Anchor", "Exclusion", "Member", "Plan", "Policy", "UnknownMode", "Window"]
